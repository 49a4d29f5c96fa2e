//! Fault runs: one run, one fault that a seed picks, and then nothing may be
//! left and nothing may have been sent twice.
//!
//! A seed says what happens and when, so a run that fails can be had again; what
//! the machine makes of it in between is its own. `DEATHSTAR_FAULT_SEEDS=1-50`
//! runs those seeds instead of the few that every test of the project runs.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::account::Account;
use crate::clock;
use crate::cloud::{Cloud, target, words};
use crate::fault::Fault;
use crate::ministack::Ministack;
use crate::proxy::{Call, Calls, Rule};

/// Without `DEATHSTAR_FAULT_SEEDS`: each has a fault of another kind.
const FEW: [u64; 6] = [6, 9, 10, 11, 12, 14];

/// The runs of the table that is measured.
const ALL: RangeInclusive<u64> = 1..=50;

/// Kinds of faults: a controller killed in each of seven states, and the rest.
const KINDS: u64 = 19;

/// How many runs go on beside each other.
const BESIDE: usize = 6;

/// How long a call takes during which the controller is killed. It arrives all
/// the same, when its caller has long been dead.
const DELAY: Duration = Duration::from_secs(3);

/// So long must nothing be left until it counts as clean: what was still on its
/// way has arrived by then.
const QUIET: Duration = Duration::from_secs(6);

/// So long may something be left that no switch will come for.
const STUCK: Duration = Duration::from_secs(20);

/// When a run's switch has come for certain: the run's setup (20 s), lead (2 s),
/// load (5 s at most), twice its timeout (1 s), an invocation's margin (30 s)
/// and the grace (1 s) after its plan; 10 s until the scheduler looks; 4 s until
/// its workers have obeyed; and what a busy machine takes for each.
const SWITCHED: Duration = Duration::from_secs(150);

/// Before this, no switch has come: what [`SWITCHED`] counts, of the shortest
/// load.
const UNSWITCHED: Duration = Duration::from_secs(55);

/// The pause between two looks at what is left.
const LOOK: Duration = Duration::from_millis(300);

/// Workers write down what they saw at this interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// How late a write may be on a busy machine. What is lost is measured against
/// the writes that came, however late they were.
const LATE: Duration = Duration::from_secs(3);

/// A row of bits from a seed: `SplitMix64`, see <https://prng.di.unimi.it/splitmix64.c>.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number of this range.
    fn of(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.next() % (range.end() - range.start() + 1)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.next() % of.len() as u64).unwrap()]
    }

    fn ms(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.of(range))
    }
}

/// A call of the controller: in which state of the definition, which operation,
/// and what its path or body holds.
type Cue = (&'static str, &'static str, &'static str);

/// What the controller calls in each of its states, and in no other before it.
const CUES: [&[Cue]; 7] = [
    &[("Plan", "Lambda.GetAccountSettings", ""), ("Plan", "DynamoDB.BatchWriteItem", "plan#")],
    &[
        ("Provision", "Scheduler.CreateSchedule", ""),
        ("Provision", "Lambda.CreateFunction", ""),
        ("Provision", "Lambda.PutFunctionEventInvokeConfig", ""),
    ],
    &[("AwaitFleet", "Lambda.GetFunction", "deathstar-w-")],
    &[
        ("NextRound", "DynamoDB.PutItem", r#"judged\":false"#),
        ("NextRound", "DynamoDB.BatchWriteItem", r#"judged\":false"#),
    ],
    &[("Judge", "DynamoDB.PutItem", r#"judged\":true"#)],
    &[
        ("TearDown", "Lambda.DeleteFunction", "deathstar-w-"),
        ("TearDown", "Lambda.ListFunctions", "2015"),
        ("TearDown", "Scheduler.DeleteSchedule", "run-"),
    ],
    &[("Report", "DynamoDB.PutItem", "report#0000")],
];

/// What goes wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mishap {
    /// The controller's process, while a call of it is under way.
    ControllerKilled(Cue),
    /// So many times; for ever without a number.
    CreateThrottled(Option<u64>),
    CreateAnswersLost(u64),
    DeleteThrottled(u64),
    TableThrottled {
        after: Duration,
        lasting: Duration,
    },
    TableAnswersLost {
        after: Duration,
        lasting: Duration,
    },
    /// The execution, from outside.
    Stopped {
        after: Duration,
    },
    /// The same, and the event of it never comes.
    EventLost {
        after: Duration,
    },
    /// The same, and the event comes thrice.
    EventAgain {
        after: Duration,
        again: Duration,
    },
    /// The execution ran into its own limit.
    TimedOut {
        after: Duration,
    },
    WorkerInvokedAgain {
        after: Duration,
        shard: u64,
    },
    WorkerKilled {
        after_percent: u64,
        which: u64,
    },
}

impl Mishap {
    /// The mishap of a seed: seeds that follow each other go through all kinds,
    /// and what there is of a kind is diced.
    fn of(seed: u64, dice: &mut Dice) -> Self {
        // Up to 10 s: about a run's length, and its making.
        let after = dice.ms(0..=10_000);
        let (early, lasting) = (dice.ms(0..=8000), dice.ms(500..=5000));
        // Coprime to their number, so that every kind has its turn.
        match seed * 7 % KINDS {
            0 => Self::TimedOut { after },
            1 => Self::WorkerKilled { after_percent: dice.of(1..=70), which: dice.of(0..=1) },
            2 => Self::WorkerInvokedAgain { after: dice.ms(0..=4000), shard: dice.of(0..=1) },
            3 => Self::EventAgain { after, again: dice.ms(0..=3000) },
            4 => Self::EventLost { after },
            5 => Self::Stopped { after },
            6 => Self::TableAnswersLost { after: early, lasting },
            7 => Self::TableThrottled { after: early, lasting },
            8 => Self::DeleteThrottled(dice.of(1..=14)),
            9 => Self::CreateAnswersLost(dice.of(1..=2)),
            10 => Self::CreateThrottled(None),
            11 => Self::CreateThrottled(Some(dice.of(1..=9))),
            state => Self::ControllerKilled(dice.pick(CUES[usize::try_from(state - 12).unwrap()])),
        }
    }

    /// What must be in place before the run begins.
    fn prepare(self, cloud: &Cloud<'_>) -> Option<Rule> {
        let account = cloud.account();
        match self {
            Self::ControllerKilled((_, operation, holding)) => {
                Some(account.on(operation).holding(holding).times(1).delay(DELAY))
            }
            Self::CreateThrottled(times) => {
                let calls = account.on("Lambda.CreateFunction");
                Some(times.into_iter().fold(calls, Calls::times).answer(Fault::Throttled))
            }
            Self::CreateAnswersLost(times) => {
                Some(account.on("Lambda.CreateFunction").times(times).drop_answer())
            }
            Self::DeleteThrottled(times) => {
                Some(account.on("Lambda.DeleteFunction").times(times).answer(Fault::Throttled))
            }
            Self::EventLost { .. } | Self::TimedOut { .. } => {
                account.ask("AWSEvents.DisableRule", &json!({ "Name": "deathstar-ended" }).to_string());
                None
            }
            _ => None,
        }
    }

    /// Whether a function may come into being after its run was torn down: it was
    /// asked for by a process that is dead, and nobody waits for the answer.
    fn may_need_the_janitor(self) -> bool {
        matches!(self, Self::ControllerKilled((_, "Lambda.CreateFunction", _)))
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = |count: u64| if count == 1 { "once".to_owned() } else { format!("{count} times") };
        match *self {
            Self::ControllerKilled((state, operation, _)) => {
                write!(f, "controller killed in {state}, at {operation}")
            }
            Self::CreateThrottled(None) => write!(f, "CreateFunction throttled for ever"),
            Self::CreateThrottled(Some(count)) => write!(f, "CreateFunction throttled {}", times(count)),
            Self::CreateAnswersLost(count) => write!(f, "CreateFunction's answer lost {}", times(count)),
            Self::DeleteThrottled(count) => write!(f, "DeleteFunction throttled {}", times(count)),
            Self::TableThrottled { after, lasting } => {
                write!(f, "DynamoDB throttled for {lasting:?} after {after:?}")
            }
            Self::TableAnswersLost { after, lasting } => {
                write!(f, "DynamoDB's answers lost for {lasting:?} after {after:?}")
            }
            Self::Stopped { after } => write!(f, "execution stopped after {after:?}"),
            Self::EventLost { after } => write!(f, "execution stopped after {after:?}, event lost"),
            Self::EventAgain { after, again } => {
                write!(f, "execution stopped after {after:?}, event twice again after {again:?}")
            }
            Self::TimedOut { after } => write!(f, "execution timed out after {after:?}"),
            Self::WorkerInvokedAgain { after, shard } => {
                write!(f, "worker {shard} invoked again {after:?} after its making")
            }
            Self::WorkerKilled { after_percent, .. } => {
                write!(f, "worker killed after {after_percent} % of the load")
            }
        }
    }
}

/// How a run ended.
#[derive(Debug)]
struct Outcome {
    seed: u64,
    mishap: String,
    ended: String,
    cleaned_by: &'static str,
    clean_after: Duration,
    functions: usize,
    switches: usize,
    /// What must not be.
    wrong: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, mishap, ended, cleaned_by, clean_after, functions, switches, wrong } = self;
        let clean_after = clean_after.as_secs_f64();
        write!(
            f,
            "| {seed} | {mishap} | {ended} | {clean_after:.0} | {cleaned_by} | {functions} | {switches} |"
        )?;
        wrong.iter().try_for_each(|wrong| write!(f, " WRONG: {wrong}"))
    }
}

/// A run under its fault.
struct Scene<'server> {
    cloud: Cloud<'server>,
    target: deathstar::target::ThreadTarget,
    run: String,
    rate: u64,
    seconds: u64,
    /// When the first request came, and when a worker was killed.
    killed: Option<(Instant, Instant)>,
    wrong: Vec<String>,
}

impl Scene<'_> {
    fn scheduled(&self) -> u64 {
        self.rate * self.seconds
    }

    fn config(&self) -> String {
        format!(
            "name: fault\nworkers: 2\nattacks:\n  - name: home\n    url: http://{}/\n    rate: {}/s\n    duration: {}s\n    timeout: 1s\n",
            self.target.address(),
            self.rate,
            self.seconds
        )
    }

    /// What of the run is there: functions, and switches.
    fn left(&self) -> (usize, usize) {
        (self.cloud.functions().len(), self.cloud.switches().len())
    }

    fn has_row(&self, sort_key: &str) -> bool {
        let key = json!({ "pk": { "S": format!("run#{}", self.run) }, "sk": { "S": sort_key } });
        let get = json!({ "TableName": "deathstar", "Key": key, "ConsistentRead": true });
        !self.cloud.account().ask("DynamoDB_20120810.GetItem", &get.to_string())["Item"].is_null()
    }

    /// Makes the fault happen.
    fn strike(&mut self, mishap: Mishap, rule: Option<&Rule>) {
        match mishap {
            Mishap::ControllerKilled(cue) => {
                let rule = rule.unwrap();
                self.await_call(rule);
                let killed = kill(&self.processes("deathstar-controller"));
                self.check(killed > 0, || format!("no controller was there to be killed in {}", cue.0));
            }
            Mishap::CreateThrottled(_) | Mishap::CreateAnswersLost(_) | Mishap::DeleteThrottled(_) => {
                let rule = rule.unwrap();
                self.await_call(rule);
            }
            Mishap::TableThrottled { after, lasting } => {
                thread::sleep(after);
                let _rule = self.cloud.account().on("DynamoDB.*").answer(Fault::ThroughputExceeded);
                thread::sleep(lasting);
            }
            Mishap::TableAnswersLost { after, lasting } => {
                thread::sleep(after);
                let _rule = self.cloud.account().on("DynamoDB.*").drop_answer();
                thread::sleep(lasting);
            }
            Mishap::Stopped { after } | Mishap::EventLost { after } => {
                thread::sleep(after);
                self.stop();
            }
            Mishap::EventAgain { after, again } => {
                thread::sleep(after);
                self.stop();
                thread::sleep(again);
                let event = self.event(None);
                let answers: Vec<Value> = thread::scope(|scope| {
                    let invoke = || self.cloud.invoke("deathstar-controller", &event);
                    let both = [scope.spawn(invoke), scope.spawn(invoke)];
                    both.into_iter().map(|one| one.join().unwrap()).collect()
                });
                for answer in answers {
                    self.check(answer == json!({}), || format!("a second event was answered {answer}"));
                }
            }
            Mishap::TimedOut { after } => {
                thread::sleep(after);
                self.stop();
                let answer = self.cloud.invoke("deathstar-controller", &self.event(Some("TIMED_OUT")));
                self.check(answer == json!({}), || format!("the event was answered {answer}"));
            }
            Mishap::WorkerInvokedAgain { after, shard } => {
                let function = clock::wait_for("a worker to be made", || self.cloud.functions().pop());
                thread::sleep(after);
                let slice = json!({ "run": self.run, "round": 0, "shard": shard, "slice": 0 });
                // Too early, it fails; too late, there is none. What counts is
                // what arrives.
                self.cloud.invoke(&function, &slice);
            }
            Mishap::WorkerKilled { after_percent, which } => {
                let enough = (self.scheduled() * after_percent / 100).max(1);
                let received = |least: u64| {
                    clock::wait_for("the load", || (self.target.counts().received >= least).then(clock::now))
                };
                let began = received(1);
                received(enough);
                let workers = self.processes("deathstar-w-");
                self.check(workers.len() == 2, || format!("{} workers send", workers.len()));
                let which = usize::try_from(which).unwrap();
                kill(workers.get(which).map(std::slice::from_ref).unwrap_or_default());
                self.killed = Some((began, clock::now()));
            }
        }
    }

    /// Waits for the controller to make the call that the fault is for.
    ///
    /// # Panics
    /// When the execution ends without it, or hangs; with all there is to tell why.
    fn await_call(&self, rule: &Rule) {
        let start = clock::now();
        while rule.fired() == 0 {
            let status = self.cloud.status(&self.run);
            if (status != "RUNNING" && rule.fired() == 0) || start.elapsed() > clock::DEADLINE {
                let arn = json!({ "executionArn": self.cloud.execution(&self.run) }).to_string();
                let history = self.cloud.account().ask("AWSStepFunctions.GetExecutionHistory", &arn);
                let calls = self.cloud.account().calls();
                let calls: Vec<(Duration, &str)> = calls
                    .iter()
                    .filter(|call| call.operation != "StepFunctions.DescribeExecution")
                    .map(|call| (call.at.saturating_duration_since(start), call.operation.as_str()))
                    .collect();
                let log = self.cloud.account().server().log();
                panic!("{status} without the call\n{history:#}\n{calls:?}\n{log}");
            }
            thread::sleep(LOOK);
        }
    }

    fn check(&mut self, holds: bool, wrong: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(wrong());
        }
    }

    /// Stops the execution, unless it is over: a quick machine's run may be.
    fn stop(&self) {
        if self.cloud.status(&self.run) != "RUNNING" {
            return;
        }
        let arn = json!({ "executionArn": self.cloud.execution(&self.run) }).to_string();
        let answer = self.cloud.account().target("AWSStepFunctions.StopExecution", &arn);
        let over = answer.text().contains("Execution is not running");
        assert!(answer.status() == Some(200) || over, "{}", answer.text());
    }

    /// The end of the execution as a rule tells it, perhaps with another status.
    fn event(&self, status: Option<&str>) -> Value {
        let arn = json!({ "executionArn": self.cloud.execution(&self.run) }).to_string();
        let told = self.cloud.account().ask("AWSStepFunctions.DescribeExecution", &arn);
        json!({
            "source": "aws.states",
            "detail-type": "Step Functions Execution Status Change",
            "detail": {
                "name": self.run,
                "status": status.map_or_else(|| told["status"].clone(), |status| json!(status)),
                "input": told["input"],
                "error": null,
                "cause": null,
            },
        })
    }

    /// The last time before its death by which what either worker saw had come to
    /// the table; which of them died is not known.
    fn written(&self, began: Instant, killed: Instant) -> Instant {
        let calls = self.cloud.account().calls();
        let of = |shard: u32| {
            let partition = format!("work#{}#{shard:02}", self.run);
            let windows = |call: &&Call| {
                call.operation == "DynamoDB.BatchWriteItem"
                    && call.body.contains(&partition)
                    && call.body.contains("\"w#")
            };
            let times = calls.iter().filter(windows).map(|call| call.at);
            times.filter(|at| *at < killed).max().unwrap_or(began)
        };
        of(0).min(of(1))
    }

    /// The processes of this account's functions whose names begin so. Other
    /// emulators of the machine may have an account of the same number.
    fn processes(&self, function: &str) -> Vec<Pid> {
        let has = |all: &[&str], name: &str, fits: &dyn Fn(&str) -> bool| {
            all.iter().filter_map(|one| one.split_once('=')).any(|(key, value)| key == name && fits(value))
        };
        let account = self.cloud.account();
        let (id, url) = (account.id(), account.server().url());
        let of_ours = |environment: &[u8]| {
            let text = String::from_utf8_lossy(environment);
            let all: Vec<&str> = text.split('\0').collect();
            has(&all, "AWS_LAMBDA_FUNCTION_NAME", &|name| name.starts_with(function))
                && has(&all, "AWS_ACCESS_KEY_ID", &|key| key == id)
                && has(&all, "AWS_ENDPOINT_URL", &|at| at == url)
        };
        let folders = fs::read_dir("/proc").unwrap().flatten();
        let mut found: Vec<i32> = folders
            .filter_map(|folder| folder.file_name().to_str()?.parse().ok())
            .filter(|id| fs::read(format!("/proc/{id}/environ")).is_ok_and(|all| of_ours(&all)))
            .collect();
        found.sort_unstable();
        found.into_iter().filter_map(Pid::from_raw).collect()
    }

    /// Waits until nothing is left and nothing happens any more; says since
    /// when. Nothing, when something stays.
    fn clean_since(&self, submitted: Instant) -> Option<Instant> {
        let mut ended = false;
        let mut clean: Option<Instant> = None;
        let mut stuck: Option<Instant> = None;
        loop {
            ended = ended || self.cloud.status(&self.run) != "RUNNING";
            let (functions, switches) = self.left();
            let now = clock::now();
            clean = if (functions, switches, ended) == (0, 0, true) { clean.or(Some(now)) } else { None };
            stuck = if ended && functions > 0 && switches == 0 { stuck.or(Some(now)) } else { None };
            if clean.is_some_and(|since| since.elapsed() >= QUIET) {
                return clean;
            }
            let given_up = stuck.is_some_and(|since| since.elapsed() >= STUCK);
            if clean.is_none() && (given_up || submitted.elapsed() >= SWITCHED) {
                return None;
            }
            thread::sleep(LOOK);
        }
    }

    /// What the report says, and whether that is what arrived.
    fn judge(&mut self) -> String {
        let (received, scheduled) = (self.target.counts().received, self.scheduled());
        self.check(received <= scheduled, || format!("{received} requests came of {scheduled} planned"));
        let status = self.cloud.status(&self.run);
        if !self.has_row("plan#0000") {
            self.check(received == 0, || format!("{received} requests came without a plan"));
            return format!("{status}, never planned");
        }
        let start = clock::now();
        while !self.has_row("report#0000") {
            if start.elapsed() > STUCK {
                self.check(false, || "there is no report".to_owned());
                return format!("{status}, no report, {received}/{scheduled} sent");
            }
            thread::sleep(LOOK);
        }
        let report = self.cloud.report(&self.run);
        let count = |name: &str| report["attacks"][0]["arrivals"][name].as_u64().unwrap_or(0);
        let sent = count("completed") + count("failed") + count("timed_out");
        let lost = report["coverage"]["workers_lost"].as_u64().unwrap_or(u64::MAX);
        // What failed or timed out may have done so on its way.
        self.check(received >= count("completed"), || format!("{sent} reported, {received} came"));
        let identity = sent + count("dropped") + count("lost");
        let due = count("scheduled");
        self.check(identity == due, || format!("{identity} requests accounted for of {due}"));
        if let Some((began, killed)) = self.killed {
            self.check(lost == 1, || format!("{lost} workers lost"));
            let unwritten = killed.duration_since(self.written(began, killed));
            self.check(unwritten <= INTERVAL + LATE, || format!("nothing was written for {unwritten:?}"));
            // One was on its way, and one was due at either end.
            let most = u64::try_from(unwritten.as_millis()).unwrap() * self.rate / 2000 + 4;
            let unseen = received.saturating_sub(sent);
            self.check(unseen <= most, || {
                format!("{unseen} requests unseen, {most} came in {unwritten:?} at most")
            });
            // What was lost is what is missing of the coverage: the load is constant.
            let ratio = report["coverage"]["ratio"].as_f64().unwrap_or(f64::NAN);
            let missing = (1.0 - ratio) * scheduled as f64;
            self.check((missing - count("lost") as f64).abs() <= 2.0, || {
                format!("coverage {ratio}, yet {} of {scheduled} requests lost", count("lost"))
            });
        } else {
            self.check(received <= sent, || format!("{received} requests came, {sent} reported"));
        }
        let lost = if lost == 0 { String::new() } else { format!(", {lost} of 2 workers lost") };
        let verdict = report["verdict"].as_str().or_else(|| report["verdict"]["verdict"].as_str());
        format!(
            "{status}, {}, {received}/{scheduled} sent, {sent} reported{lost}",
            verdict.unwrap_or("no verdict")
        )
    }
}

/// Ends processes, at once; how many.
fn kill(processes: &[Pid]) -> usize {
    processes.iter().filter(|process| kill_process(**process, Signal::KILL).is_ok()).count()
}

/// One run, with the fault of this seed.
fn fault_run(seed: u64) -> Outcome {
    let mut dice = Dice(seed);
    let mishap = Mishap::of(seed, &mut dice);
    let (rate, seconds) = (dice.of(10..=25) * 2, dice.of(3..=5));
    // An emulator of its own: when a stack is made, the emulator ends the
    // processes of functions of the same name in all accounts.
    let server = Ministack::start(&[]);
    let (cloud, run) = (Cloud::in_account(Account::on_server(&server)), format!("fault-{seed}"));
    let mut scene = Scene { cloud, target: target(), run, rate, seconds, killed: None, wrong: Vec::new() };
    let rule = mishap.prepare(&scene.cloud);
    scene.cloud.submit(&scene.run, &scene.config());
    let submitted = clock::now();
    scene.strike(mishap, rule.as_ref());
    let struck = clock::now();
    let clean = scene.clean_since(submitted);
    drop(rule);
    let (clean, cleaned_by) = if let Some(clean) = clean {
        let late = clean.duration_since(submitted) > UNSWITCHED;
        let switched = late && scene.cloud.status(&scene.run) != "SUCCEEDED";
        (clean, if switched { "switch" } else { "itself" })
    } else {
        scene.check(mishap.may_need_the_janitor(), || "only the janitor cleaned up".to_owned());
        // What outlived its run is what `leaks` is for, and the janitor.
        let leaks = scene.cloud.call(&["leaks"]);
        scene.check(leaks.status.code() == Some(5), || format!("leaks sees nothing: {}", words(&leaks)));
        scene.cloud.invoke("deathstar-controller", &json!({ "task": "Janitor" }));
        (clock::now(), "janitor")
    };
    let ended = scene.judge();
    let (functions, switches) = scene.left();
    scene.check((functions, switches) == (0, 0), || "something is left".to_owned());
    let leaks = scene.cloud.call(&["leaks"]);
    scene.check(leaks.status.code() == Some(0), || format!("leaks: {}", words(&leaks)));
    Outcome {
        seed,
        mishap: mishap.to_string(),
        ended,
        cleaned_by,
        clean_after: clean.saturating_duration_since(struck),
        functions,
        switches,
        wrong: scene.wrong,
    }
}

/// The seeds to run: `1-50`, `7`, or `3,5,8-9`.
fn seeds(text: &str) -> Vec<u64> {
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or_else(|_| panic!("{text:?} is no seed"));
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        number(first)..=number(last)
    };
    text.split(',').flat_map(part).collect()
}

#[test]
fn whatever_goes_wrong_nothing_is_left_and_nothing_is_sent_twice() {
    let chosen = std::env::var("DEATHSTAR_FAULT_SEEDS");
    let seeds = chosen.map_or_else(|_| FEW.to_vec(), |text| seeds(&text));
    let next = Mutex::new(seeds.iter());
    let wrong = Mutex::new(Vec::new());
    let take = || next.lock().unwrap().next().copied();
    thread::scope(|scope| {
        for _ in 0..BESIDE.min(seeds.len()) {
            scope.spawn(|| {
                while let Some(seed) = take() {
                    if let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| fault_run(seed))) {
                        println!("{outcome}");
                        let all = outcome.wrong.iter().map(|wrong| format!("seed {seed}: {wrong}"));
                        wrong.lock().unwrap().extend(all);
                    } else {
                        let mishap = Mishap::of(seed, &mut Dice(seed));
                        println!("| {seed} | {mishap} | a panic | | | | | WRONG: see above");
                        wrong.lock().unwrap().push(format!("seed {seed}: a panic, see above"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Faults of one kind: controllers killed in one state, for example.
fn kind(mishap: Mishap) -> String {
    match mishap {
        Mishap::ControllerKilled((state, ..)) => format!("controller killed in {state}"),
        Mishap::CreateThrottled(None) => "create throttled for ever".to_owned(),
        other => format!("{:?}", std::mem::discriminant(&other)),
    }
}

#[test]
fn the_seeds_have_faults_of_every_kind() {
    let kinds = |seeds: &[u64]| {
        let kind = |seed: &u64| kind(Mishap::of(*seed, &mut Dice(*seed)));
        seeds.iter().map(kind).collect::<BTreeSet<String>>().len()
    };
    assert_eq!(kinds(&FEW), FEW.len());
    assert_eq!(kinds(&ALL.collect::<Vec<u64>>()) as u64, KINDS);
}
