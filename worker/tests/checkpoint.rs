//! What a worker writes down, and when it sends nothing: the handler over a
//! table with behaviour, under a clock that tests own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deathstar_statemachine::config::{Config, Request};
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{RunId, SliceId};
use deathstar_statemachine::message::WorkerOutput;
use deathstar_statemachine::pace::Pace;
use deathstar_statemachine::plan::{Place, Plan};
use deathstar_statemachine::report::{Round, SliceEnd, Stop};
use deathstar_statemachine::secret::{Reference, Secret};
use deathstar_statemachine::table::Claim;
use deathstar_statemachine::window::{Tally, Window};
use deathstar_worker::clock::{self, Timers, WallClock};
use deathstar_worker::handler;
use deathstar_worker::ports::{Control, Secrets, WorkerTable};
use deathstar_worker::transport::{Call, Reply, Transport, TransportError};
use jiff::Timestamp;
use tokio::time::Instant;

const LEAD: Duration = Duration::from_millis(100);

/// A wall clock that goes with tokio's.
struct Wall(Instant);

impl WallClock for Wall {
    fn now(&self) -> Timestamp {
        epoch() + clock::monotonic().duration_since(self.0)
    }

    fn timers(&self) -> Timers {
        Timers::Tokio
    }
}

fn epoch() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

type Windows = Arc<Mutex<BTreeMap<u64, Window>>>;

/// A table that keeps what it is given.
struct Table {
    wall: Wall,
    plan: Plan,
    round: Round,
    windows: Windows,
    claimed: Cell<u32>,
    end: RefCell<Option<SliceEnd>>,
    /// When other slices of the shard end, if they ever do.
    others: RefCell<BTreeMap<u32, Instant>>,
    stop: RefCell<Option<Stop>>,
    /// Until then, no slice can be ended.
    away_until: Cell<Instant>,
    /// How long each write of windows takes, in order; the others take none.
    /// As on a blocking thread, it goes on when nobody waits for it any more.
    writes_take: RefCell<Vec<Duration>>,
}

impl WorkerTable for Table {
    async fn plan(&self, _: &RunId) -> Result<Plan, TaskError> {
        Ok(self.plan.clone())
    }

    async fn round(&self, _: &RunId, _: u32) -> Result<Round, TaskError> {
        Ok(self.round.clone())
    }

    async fn claim(&self, _: &SliceId, _: &str) -> Result<Claim, TaskError> {
        self.claimed.set(self.claimed.get() + 1);
        Ok(Claim::Won)
    }

    async fn slice_end(&self, slice: &SliceId) -> Result<Option<SliceEnd>, TaskError> {
        let ends_at = self.others.borrow().get(&slice.slice).copied();
        let has_ended = ends_at.is_some_and(|at| clock::monotonic() >= at);
        Ok(has_ended.then(|| SliceEnd { until: 0, totals: Vec::new() }))
    }

    async fn checkpoint(&self, _: &SliceId, windows: Vec<Window>) -> Result<(), TaskError> {
        let takes = self.writes_take.borrow_mut().pop().unwrap_or_default();
        let table = Arc::clone(&self.windows);
        let write = tokio::spawn(async move {
            tokio::time::sleep(takes).await;
            table.lock().unwrap().extend(windows.into_iter().map(|window| (window.at, window)));
        });
        write.await.unwrap();
        Ok(())
    }

    async fn finish(&self, _: &SliceId, end: SliceEnd) -> Result<(), TaskError> {
        if clock::monotonic() < self.away_until.get() {
            return Err(TaskError::TableUnavailable("away".into()));
        }
        self.end.replace(Some(end));
        Ok(())
    }

    async fn control(&self, _: &RunId) -> Result<Control, TaskError> {
        Ok(Control { stop: self.stop.borrow().is_some() })
    }

    async fn vote(&self, _: &SliceId) -> Result<u32, TaskError> {
        Ok(1)
    }

    async fn request_stop(&self, _: &RunId, stop: Stop) -> Result<(), TaskError> {
        self.stop.replace(Some(stop));
        Ok(())
    }
}

/// Answers what it is told to, reference after reference.
#[derive(Default)]
struct Vault {
    answers: RefCell<VecDeque<Result<Secret, TaskError>>>,
    /// What it was asked for, and when.
    asked: RefCell<Vec<(String, Instant)>>,
}

impl Vault {
    fn answering(answers: impl IntoIterator<Item = Result<&'static str, TaskError>>) -> Self {
        let answers = answers.into_iter().map(|answer| answer.map(|value| Secret::new(value.to_owned())));
        Self { answers: RefCell::new(answers.collect()), asked: RefCell::default() }
    }
}

impl Secrets for Vault {
    async fn resolve(&self, reference: &Reference) -> Result<Secret, TaskError> {
        self.asked.borrow_mut().push((reference.to_string(), clock::monotonic()));
        let mut answers = self.answers.borrow_mut();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
    }
}

/// Answers at once, and keeps every request that it was given to send.
struct Keeper(Rc<RefCell<Vec<Request>>>);

impl Transport for Keeper {
    type Prepared = ();

    fn prepare(&self, request: &Request) -> Result<(), TransportError> {
        self.0.borrow_mut().push(request.clone());
        Ok(())
    }

    async fn exchange(&self, (): &(), call: &Call) -> Reply {
        call.mark_sent(clock::monotonic(), 100);
        Reply::Response { status: 200 }
    }
}

/// Runs the only slice of a table whose config refers to secrets; gives what was
/// to be sent, once it is prepared.
async fn run_with(table: &Table, vault: &Vault) -> Result<Vec<Request>, TaskError> {
    let kept = Rc::new(RefCell::default());
    let input = SliceId { run: "test".parse().unwrap(), round: 0, shard: 0, slice: 0 };
    let keeper = Keeper(Rc::clone(&kept));
    handler::handle(table, vault, &table.wall, &input, "token", |_| keeper).await?;
    Ok(kept.take())
}

const WITH_SECRETS: &str = "    base_url: http://127.0.0.1:1\n    rate: 10/s\n    duration: 2s\n    headers: { authorization: 'Bearer ${secret:ssm:/token}' }\n    requests:\n      - { name: a, get: '/${secret:secretsmanager:a#b}' }\n      - { name: b, post: /, body: '${secret:ssm:/token}' }\n";

/// Answers request after request as the function says.
struct Target<F> {
    behaviour: F,
    sent: Rc<Cell<usize>>,
}

impl<F: Fn(usize) -> A, A: Future<Output = Reply>> Transport for Target<F> {
    type Prepared = ();

    fn prepare(&self, _: &Request) -> Result<(), TransportError> {
        Ok(())
    }

    async fn exchange(&self, (): &(), call: &Call) -> Reply {
        let number = self.sent.get();
        self.sent.set(number + 1);
        call.mark_sent(clock::monotonic(), 100);
        let answer = (self.behaviour)(number);
        tokio::time::timeout(call.timeout(), answer).await.unwrap_or(Reply::TimedOut)
    }
}

async fn answer_in(millis: u64) -> Reply {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    Reply::Response { status: 200 }
}

fn table(attack: &str) -> Table {
    let text = format!("name: test\nworkers: 1\nattacks:\n  - name: a\n{attack}");
    let config = Config::from_text(&text, |_| Err(String::new())).unwrap();
    let many = NonZeroU32::new(10_000).unwrap();
    let place = Place {
        mode: "test".into(),
        cores: many,
        rate_per_worker: many,
        sockets: many,
        workers_share_process: true,
        workers_per_function: many,
        lead: LEAD,
        checkpoint: Duration::from_secs(1),
        slice: Duration::from_secs(600),
        invocation: Duration::from_secs(900),
        setup: Duration::from_secs(60),
        grace: Duration::from_secs(60),
    };
    let plan = Plan::new("test".parse().unwrap(), config, place, epoch()).unwrap();
    let round = Round {
        number: 0,
        from: 0,
        until: plan.load_end(),
        t0: epoch() + LEAD,
        slices: plan.slices(0, plan.load_end()),
        judged: false,
        step: None,
        outcome: None,
        busy: Duration::ZERO,
    };
    Table {
        wall: Wall(clock::monotonic()),
        plan,
        round,
        windows: Windows::default(),
        claimed: Cell::new(0),
        end: RefCell::default(),
        others: RefCell::default(),
        stop: RefCell::default(),
        away_until: Cell::new(clock::monotonic()),
        writes_take: RefCell::default(),
    }
}

/// Runs a slice; says what the worker answered, and how many requests left.
async fn run<F, A>(table: &Table, slice: u32, behaviour: F) -> (WorkerOutput, usize)
where
    F: Fn(usize) -> A + 'static,
    A: Future<Output = Reply> + 'static,
{
    let sent = Rc::new(Cell::new(0));
    let target = Target { behaviour, sent: Rc::clone(&sent) };
    let input = SliceId { run: "test".parse().unwrap(), round: 0, shard: 0, slice };
    let output =
        handler::handle(table, &Vault::default(), &table.wall, &input, "token", |_| target).await.unwrap();
    (output, sent.get())
}

impl Table {
    /// By window: start and length in milliseconds, scheduled, ended.
    fn written(&self) -> Vec<(u64, u64, u64, u64)> {
        let line = |window: &Window| {
            let mut tally = Tally::window();
            window.series.iter().for_each(|series| tally.add(&series.tally));
            (window.at / 1000, window.len / 1000, tally.scheduled, tally.ended())
        };
        self.windows.lock().unwrap().values().map(line).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_that_a_step_ends_keeps_what_it_counted() {
    let table =
        table("    url: http://127.0.0.1:1/\n    load: { steps: { rates: [100/s, 200/s], each: 1500ms } }\n");
    run(&table, 0, |_| answer_in(1)).await;
    let expected = [(0, 1000, 100, 100), (1000, 500, 50, 50), (1500, 500, 100, 100), (2000, 1000, 200, 200)];
    assert_eq!(table.written(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_last_window_survives_a_wait_for_an_earlier_one() {
    let table = table("    url: http://127.0.0.1:1/\n    rate: 10/s\n    duration: 2s\n    timeout: 5s\n");
    // The first second's requests time out, long after the second one's ended.
    run(&table, 0, |number| async move {
        if number < 10 { std::future::pending().await } else { answer_in(1).await }
    })
    .await;
    assert_eq!(table.written(), [(0, 1000, 10, 10), (1000, 1000, 10, 10)]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_write_never_undoes_a_later_one() {
    let table = table("    url: http://127.0.0.1:1/\n    rate: 10/s\n    duration: 2s\n");
    // The second write, at 1.9 s of the load, is under way when the load ends.
    table.writes_take.replace(vec![Duration::from_secs(1), Duration::ZERO]);
    run(&table, 0, |_| answer_in(1)).await;
    // Whatever is still on its way arrives.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(table.written(), [(0, 1000, 10, 10), (1000, 1000, 10, 10)]);
}

#[tokio::test(start_paused = true)]
async fn a_slice_of_a_run_that_was_stopped_sends_nothing() {
    let table = table("    url: http://127.0.0.1:1/\n    rate: 10/s\n    duration: 20m\n");
    assert_eq!(table.round.slices, 2);
    table.stop.replace(Some(Stop::Requested));
    // Half a slice late, so that requests would be due at once.
    tokio::time::advance(Duration::from_secs(900)).await;
    let (output, sent) = run(&table, 1, |_| answer_in(1)).await;
    assert_eq!((output.more, output.stopped, sent), (false, true, 0));
    let end = table.end.borrow().clone().unwrap();
    assert_eq!((end.until, end.totals.len()), (600_000_000, 0), "it ended before it began");
}

/// Its answer ends the chains of its shard, and nobody may judge under live load.
#[tokio::test(start_paused = true)]
async fn a_worker_that_was_stopped_answers_when_no_other_of_its_shard_is_at_work() {
    let stopped_after = |into_load_s: u64, others: &'static [(u32, u64)]| async move {
        let mut table =
            table("    url: http://127.0.0.1:1/\n    rate: 10/s\n    duration: 30m\n    timeout: 5s\n");
        // The slice after this one is invoked 8 s before it begins.
        table.plan.place.lead = Duration::from_secs(8);
        let started = clock::monotonic();
        let at = |second: u64| started + LEAD + Duration::from_secs(second);
        table.others.borrow_mut().extend(others.iter().map(|(slice, second)| (*slice, at(*second))));
        tokio::time::advance(LEAD + Duration::from_secs(600)).await;
        let stop = async {
            tokio::time::sleep_until(at(into_load_s)).await;
            table.stop.replace(Some(Stop::Requested));
        };
        let ((output, _), ()) = tokio::join!(run(&table, 1, |_| answer_in(1)), stop);
        assert_eq!((output.next, output.more, output.stopped), (3, false, true));
        clock::monotonic().duration_since(at(into_load_s)).as_secs()
    };
    // In the middle of its slice it is alone: the one before it has ended or died, and
    // the one after it is not invoked yet.
    assert!(stopped_after(900, &[]).await <= 2);
    // The one before still waits for its last answers, or has died.
    assert_eq!(stopped_after(602, &[(0, 606)]).await, 4);
    assert!((4..=7).contains(&stopped_after(602, &[]).await));
    // The one after is there already.
    assert_eq!(stopped_after(1194, &[(2, 1198)]).await, 4);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_slice_waits_for_a_table_that_is_away() {
    let attack = "    base_url: http://127.0.0.1:1\n    rate: 10/s\n    duration: 2s\n    requests:\n      - { name: a, get: /, weight: 1 }\n      - { name: b, get: /, weight: 1 }\n";
    let table = table(attack);
    table.away_until.set(clock::monotonic() + Duration::from_secs(9));
    run(&table, 0, |_| answer_in(1)).await;
    let end = table.end.borrow().clone().unwrap();
    let counts: Vec<u64> = end.totals.iter().map(|series| series.tally.completed).collect();
    assert_eq!((end.until, counts), (2_000_000, vec![10, 10]));
}

#[tokio::test(start_paused = true)]
async fn one_of_very_many_workers_writes_long_windows_and_ends_in_its_turn() {
    let mut table = table("    url: http://127.0.0.1:1/\n    rate: 10/s\n    duration: 25s\n");
    let (window, spread) = (Duration::from_secs(10), Duration::from_secs(40));
    table.plan.pace = Pace { window, checkpoint: window, spread, totals: false, kb_per_s: 9000 };
    let started = clock::monotonic();
    run(&table, 0, |_| answer_in(1)).await;
    let first = clock::monotonic() - started;
    assert!(first < Duration::from_secs(26), "the first has no wait: {first:?}");
    assert_eq!(table.written(), [(0, 10_000, 100, 100), (10_000, 10_000, 100, 100), (20_000, 5000, 50, 50)]);
    let end = table.end.borrow().clone().unwrap();
    assert_eq!((end.until, end.totals.len()), (25_000_000, 0), "its windows are all there is");
    // The second worker comes in its turn: after 0.618 of the time.
    table.plan.workers = NonZeroU32::new(2).unwrap();
    let input = SliceId { run: "test".parse().unwrap(), round: 0, shard: 1, slice: 0 };
    (table.wall, table.end) = (Wall(clock::monotonic()), RefCell::default());
    let started = clock::monotonic();
    let keeper = Keeper(Rc::default());
    handler::handle(&table, &Vault::default(), &table.wall, &input, "token", |_| keeper).await.unwrap();
    let took = clock::monotonic() - started;
    assert!(took.as_secs_f64() > 49.7 && took.as_secs_f64() < 50.0, "{took:?}");
    assert!(table.end.borrow().is_some());
}

#[tokio::test(start_paused = true)]
async fn each_reference_is_resolved_once_and_its_value_is_sent() {
    let table = table(WITH_SECRETS);
    let vault = Vault::answering([Ok("one"), Ok("t/w")]);
    let sent = run_with(&table, &vault).await.unwrap();
    let asked: Vec<String> = vault.asked.borrow().iter().map(|(reference, _)| reference.clone()).collect();
    assert_eq!(asked, ["${secret:ssm:/token}", "${secret:secretsmanager:a#b}"]);
    let [a, b] = sent.as_slice() else { panic!("two requests, each prepared once") };
    assert_eq!(a.url.as_str(), "http://127.0.0.1:1/t%2Fw");
    assert_eq!(a.headers, [("authorization".to_owned(), "Bearer one".to_owned())]);
    assert_eq!(b.body, b"one");
    assert_eq!(table.written().iter().map(|(_, _, scheduled, _)| scheduled).sum::<u64>(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_had_sends_and_claims_nothing() {
    let missing = || TaskError::BadConfig("${secret:ssm:/token} is not there".into());
    for (answers, told) in [
        (vec![Err(missing())], "${secret:ssm:/token} is not there"),
        // The value itself is never told.
        (
            vec![Ok("hunter2\n"), Ok("fine")],
            "attacks[0].headers.authorization: the value of ${secret:ssm:/token} holds a line break, which a header cannot carry; remove it where the value is kept",
        ),
    ] {
        let table = table(WITH_SECRETS);
        let error = run_with(&table, &Vault::answering(answers)).await.unwrap_err();
        assert!(matches!(&error, TaskError::BadConfig(_)), "{error:?}");
        assert!(error.to_string().starts_with(told) && !format!("{error:?}").contains("hunter2"), "{error}");
        assert_eq!(table.claimed.get(), 0);
        assert!(table.end.borrow().is_none());
        // The other workers lack it, too, and the report says so.
        assert_eq!(table.stop.take(), Some(Stop::Unable { why: error.to_string() }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_asks_to_slow_down_is_asked_again_for_a_while() {
    let slow = || Err(TaskError::Throttled("slow down".into()));
    let table = table(WITH_SECRETS);
    let vault = Vault::answering([slow(), slow(), slow(), Ok("one")]);
    assert_eq!(run_with(&table, &vault).await.unwrap()[1].body, b"one");
    let asked = vault.asked.borrow().clone();
    assert_eq!(asked.len(), 5);
    assert!(asked.windows(2).take(3).all(|pair| pair[0].1 < pair[1].1), "not at once");

    let never = Vault::answering([slow()]);
    let began = clock::monotonic();
    let error = run_with(&table, &never).await.unwrap_err();
    assert_eq!(error, TaskError::Throttled("slow down".into()));
    let waited = clock::monotonic() - began;
    assert!(waited >= Duration::from_secs(30) && waited < Duration::from_secs(31), "{waited:?}");
    assert!(never.asked.borrow().len() < 60, "{} times", never.asked.borrow().len());
    assert_eq!(table.claimed.get(), 1, "the first run's");
}
