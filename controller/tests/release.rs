//! What outlives its run goes: by the rule on an execution's end, by the
//! dead-man's switch, by the janitor; and what an installation does not allow
//! never begins.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::num::NonZeroU32;
use std::time::Duration;

use deathstar_controller::clock::Clock;
use deathstar_controller::dispatch::run_task;
use deathstar_controller::embedded::EmbeddedPorts;
use deathstar_controller::embedded::functions::{InProcessFunctions, Limits};
use deathstar_controller::embedded::switches::InProcessSwitches;
use deathstar_controller::embedded::table::SqliteTable;
use deathstar_controller::ports::{
    FunctionSpec, FunctionState, Functions, Listed, Metrics, Ports, Query, REFUSED, Switches, Table,
};
use deathstar_statemachine::config::Config;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::ConfigRef;
use deathstar_statemachine::plan::Place;
use deathstar_statemachine::policy::Policy;
use deathstar_statemachine::report::Stop;
use deathstar_statemachine::table::LedgerState;
use deathstar_statemachine::units::Rate;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The embedded ports, with a clock of our own, functions that may stay, and metrics
/// that never come.
#[derive(Debug, Clone)]
struct Bench {
    ports: EmbeddedPorts,
    clock: Now,
    stubborn: Stubborn,
}

/// Functions of which one cannot be deleted.
#[derive(Debug, Clone)]
struct Stubborn {
    functions: InProcessFunctions,
    stays: Option<&'static str>,
}

impl Functions for Stubborn {
    async fn concurrency(&self) -> Result<u32, TaskError> {
        self.functions.concurrency().await
    }

    async fn create(&self, spec: &FunctionSpec) -> Result<(), TaskError> {
        self.functions.create(spec).await
    }

    async fn state(&self, name: &str) -> Result<FunctionState, TaskError> {
        self.functions.state(name).await
    }

    async fn delete(&self, name: &str) -> Result<(), TaskError> {
        if self.stays == Some(name) {
            return Err(TaskError::Broken(format!("{name} stays")));
        }
        self.functions.delete(name).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, TaskError> {
        self.functions.list(prefix).await
    }
}

/// CloudWatch, which has no values yet.
#[derive(Debug)]
struct Late;

impl Metrics for Late {
    async fn read(&self, _: &Query, _: Timestamp, _: Timestamp) -> Result<Vec<(Timestamp, f64)>, TaskError> {
        Ok(Vec::new())
    }
}

/// The date stands still.
#[derive(Debug, Clone)]
struct Now(Timestamp);

impl Clock for Now {
    fn now(&self) -> Timestamp {
        self.0
    }

    async fn sleep(&self, duration: Duration) {
        // Functions become active in real time; nobody else need be waited for.
        tokio::time::sleep(duration.min(Duration::from_millis(2))).await;
    }
}

impl Ports for Bench {
    type Table = SqliteTable;
    type Functions = Stubborn;
    type Switches = InProcessSwitches;
    type Metrics = Late;
    type Clock = Now;

    fn table(&self) -> &SqliteTable {
        &self.ports.table
    }
    fn functions(&self) -> &Stubborn {
        &self.stubborn
    }
    fn switches(&self) -> &InProcessSwitches {
        &self.ports.switches
    }
    fn metrics(&self) -> &Late {
        &Late
    }
    fn clock(&self) -> &Now {
        &self.clock
    }
    fn place(&self) -> &Place {
        &self.ports.place
    }
    fn policy(&self) -> &Policy {
        &self.ports.policy
    }
}

const CONFIG: &str = "name: a\nworkers: 2\nattacks: [{ name: a, url: 'http://shop.example.com:8080/', rate: 10/s, duration: 9s, timeout: 1s }]";

/// When a run planned at the start of the epoch is overdue: 60 s of setup, 1 s
/// of lead, 9 s of load, 2 s for the slowest request, 30 s for a worker's start
/// and end, and 60 s of grace.
const EXPIRES_S: i64 = 60 + 1 + 9 + 2 + 30 + 60;

impl Bench {
    fn new() -> (TempDir, Self) {
        let folder = tempfile::tempdir().unwrap();
        let table = SqliteTable::open(&folder.path().join("runs.db")).unwrap();
        let functions = InProcessFunctions::new(Limits::default(), Box::new(|_| unreachable!("none runs")));
        let two = NonZeroU32::new(2).unwrap();
        let place = Place {
            mode: "test".into(),
            cores: two,
            rate_per_worker: two,
            sockets: NonZeroU32::new(100).unwrap(),
            workers_share_process: true,
            workers_per_function: NonZeroU32::MIN,
            lead: Duration::from_secs(1),
            checkpoint: Duration::from_secs(1),
            slice: Duration::from_secs(60),
            invocation: Duration::from_secs(900),
            setup: Duration::from_secs(60),
            grace: Duration::from_secs(60),
        };
        let ports = EmbeddedPorts::new(table, functions, place);
        let stubborn = Stubborn { functions: ports.functions.clone(), stays: None };
        (folder, Self { ports, clock: Now(Timestamp::UNIX_EPOCH), stubborn })
    }

    /// The same world, so much later.
    fn later(&self, seconds: i64) -> Self {
        let clock = Now(self.clock.0 + SignedDuration::from_secs(seconds));
        Self { clock, ..self.clone() }
    }

    async fn task(&self, task: Value) -> Result<Value, TaskError> {
        run_task(self, task).await
    }

    async fn plan(&self, run: &str) -> Result<Value, TaskError> {
        self.plan_of(run, CONFIG).await
    }

    async fn plan_of(&self, run: &str, text: &str) -> Result<Value, TaskError> {
        let config = Config::from_text(text, |_| Err(String::new())).unwrap();
        let at = ConfigRef { name: "a".to_owned(), version: "1".to_owned() };
        self.ports.table.put_config(&at, &config).await.unwrap();
        let input = json!({ "run": run, "config": at });
        self.task(
            json!({ "task": "Plan", "execution": run, "started_at": "1970-01-01T00:00:00Z", "input": input }),
        )
        .await
    }

    /// A run with its functions made and its round open.
    async fn under_way(&self, run: &str) -> RunId {
        self.under_way_with(run, CONFIG).await
    }

    async fn under_way_with(&self, run: &str, config: &str) -> RunId {
        self.plan_of(run, config).await.unwrap();
        for task in ["Provision", "AwaitFleet", "NextRound"] {
            self.task(json!({ "task": task, "run": run })).await.unwrap();
        }
        run.parse().unwrap()
    }

    async fn functions(&self) -> Vec<String> {
        self.ports.functions.list("").await.unwrap().into_iter().map(|listed| listed.name).collect()
    }

    async fn switches(&self) -> Vec<String> {
        self.ports.switches.list().await.unwrap().into_iter().map(|listed| listed.name).collect()
    }

    async fn is_clean(&self, run: &RunId) -> bool {
        let ledger = self.ports.table.ledger(run).await.unwrap();
        self.functions().await.is_empty()
            && self.switches().await.is_empty()
            && !ledger.is_empty()
            && ledger.iter().all(|entry| entry.state == LedgerState::Deleted)
    }
}

#[tokio::test]
async fn the_switch_is_armed_before_anything_else_is_made() {
    let (_folder, bench) = Bench::new();
    let run = bench.under_way("a-run").await;
    let switches = bench.ports.switches.list().await.unwrap();
    let expires_at = Some(Timestamp::from_second(EXPIRES_S).unwrap());
    assert_eq!((switches.len(), switches[0].name.as_str()), (1, "run-a-run"));
    assert_eq!(switches[0].expires_at, expires_at);
    for function in bench.ports.functions.list("").await.unwrap() {
        assert_eq!(function.expires_at, expires_at, "{}", function.name);
    }
    assert_eq!(bench.functions().await, ["deathstar-w-a-run-0", "deathstar-w-a-run-1"]);
    let ledger = bench.ports.table.ledger(&run).await.unwrap();
    assert_eq!(ledger.len(), 3, "{ledger:?}");
}

#[tokio::test]
async fn a_load_that_its_switch_would_cut_off_does_not_begin() {
    let (_folder, bench) = Bench::new();
    bench.plan("in-time").await.unwrap();
    bench.plan("late").await.unwrap();
    let round = bench.later(60).task(json!({ "task": "NextRound", "run": "in-time" })).await.unwrap();
    assert_eq!(round["done"], false, "60 s of setup");
    let refused = bench.later(61).task(json!({ "task": "NextRound", "run": "late" })).await.unwrap_err();
    assert_eq!(refused.name(), "DeathStar.OverLimit");
    assert_eq!(
        refused.to_string(),
        "the load could begin 61s after it was planned, and everything before it may take 1m; the installation's --setup allows more"
    );
    assert!(bench.ports.table.rounds(&"late".parse().unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_stopped_execution_is_torn_down_and_reported() {
    let (_folder, bench) = Bench::new();
    let run = bench.under_way("a-run").await;
    let release = json!({ "task": "Release", "run": "a-run", "failure": null });
    for _ in 0..2 {
        bench.task(release.clone()).await.unwrap();
        assert!(bench.is_clean(&run).await);
        let report = bench.ports.table.report(&run).await.unwrap().unwrap();
        assert_eq!((report.stopped, report.failure, report.leaks), (Some(Stop::Requested), None, 0));
    }
    // The aborted execution's own steps come after, and do nothing.
    let done = bench.task(json!({ "task": "NextRound", "run": "a-run" })).await.unwrap();
    assert_eq!(done["done"], true);
    let refused = bench.task(json!({ "task": "Provision", "run": "a-run" })).await;
    assert!(refused.is_ok() || matches!(refused, Err(TaskError::RunOver(_))), "{refused:?}");
    assert!(bench.is_clean(&run).await);
}

#[tokio::test]
async fn a_run_that_has_its_report_keeps_it() {
    let (_folder, bench) = Bench::new();
    let run = bench.under_way("a-run").await;
    bench.task(json!({ "task": "TearDown", "run": "a-run" })).await.unwrap();
    bench.task(json!({ "task": "Report", "run": "a-run", "state": {} })).await.unwrap();
    let before = bench.ports.table.report(&run).await.unwrap();
    let failure = json!({ "Error": "States.Timeout", "Cause": "late" });
    bench.task(json!({ "task": "Release", "run": "a-run", "failure": failure })).await.unwrap();
    assert_eq!(bench.ports.table.report(&run).await.unwrap(), before);
}

#[tokio::test]
async fn the_end_of_another_execution_leaves_a_run_alone() {
    let (_folder, bench) = Bench::new();
    let failure = json!({ "Error": "DeathStar.TableUnavailable", "Cause": "away" });
    let release = |run: &str, execution: &str, failure: &Value| json!({ "task": "Release", "run": run, "execution": execution, "failure": failure });
    let run = bench.under_way("a-run").await;
    for failure in [&failure, &Value::Null] {
        bench.task(release("a-run", "another", failure)).await.unwrap();
        assert!(!bench.ports.table.is_over(&run).await.unwrap());
        assert_eq!(bench.ports.table.stop(&run).await.unwrap(), None);
        assert_eq!(bench.ports.table.report(&run).await.unwrap(), None);
        assert_eq!((bench.functions().await.len(), bench.switches().await.len()), (2, 1));
    }
    bench.task(release("a-run", "a-run", &failure)).await.unwrap();
    assert!(bench.is_clean(&run).await, "its own ends it");
    // A schedule's execution is not named after its run.
    let tick = |execution: &str| {
        json!({
            "task": "Plan", "execution": execution, "started_at": "1970-01-01T00:00:00Z",
            "input": {
                "schedule": "nightly", "tick": "1970-01-01T03:00:00Z", "config": { "name": "a", "version": "1" },
            },
        })
    };
    bench.task(tick("0a1b")).await.unwrap();
    let (run, name) = ("nightly-19700101-0300".parse().unwrap(), "nightly-19700101-0300");
    bench.task(release(name, "2c3d", &failure)).await.unwrap();
    assert_eq!(bench.ports.table.report(&run).await.unwrap(), None);
    bench.task(release(name, "0a1b", &failure)).await.unwrap();
    assert_eq!(bench.ports.table.report(&run).await.unwrap().unwrap().failure.unwrap().cause, "away");
    // One that died before its claim: whoever comes after finds the run over.
    bench.task(release("never", "never", &failure)).await.unwrap();
    assert!(bench.ports.table.is_over(&"never".parse().unwrap()).await.unwrap());
}

#[tokio::test]
async fn a_report_keeps_how_the_execution_ended() {
    let (_folder, bench) = Bench::new();
    let report = json!({ "task": "Report", "run": "a-run", "state": {} });
    let run = bench.under_way("a-run").await;
    let failure = json!({ "Error": "States.Timeout", "Cause": "late" });
    bench.task(json!({ "task": "Release", "run": "a-run", "failure": failure })).await.unwrap();
    // The Report of the execution that timed out is still at it.
    bench.task(report.clone()).await.unwrap();
    let kept = bench.ports.table.report(&run).await.unwrap().unwrap();
    assert_eq!((kept.failure.unwrap().error.as_str(), kept.stopped), ("States.Timeout", None));
    let run = bench.under_way("b-run").await;
    bench.task(json!({ "task": "Release", "run": "b-run", "failure": null })).await.unwrap();
    bench.task(json!({ "task": "Report", "run": "b-run", "state": { "failure": failure } })).await.unwrap();
    let kept = bench.ports.table.report(&run).await.unwrap().unwrap();
    assert_eq!(
        (kept.failure.unwrap().error.as_str(), kept.stopped),
        ("States.Timeout", Some(Stop::Requested))
    );
}

#[tokio::test]
async fn an_execution_that_ended_before_its_plan_leaves_nothing_to_report() {
    let (_folder, bench) = Bench::new();
    bench.task(json!({ "task": "Release", "run": "never", "failure": null })).await.unwrap();
    assert_eq!(bench.ports.table.report(&"never".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn a_run_that_was_stopped_while_it_was_planned_is_reported() {
    let (_folder, bench) = Bench::new();
    let run: RunId = "a-run".parse().unwrap();
    bench.ports.table.claim_run(&run, "a-run", "a", Timestamp::UNIX_EPOCH).await.unwrap();
    // The rule on its end comes first, and its plan after.
    bench.task(json!({ "task": "Release", "run": "a-run", "failure": null })).await.unwrap();
    assert_eq!(bench.ports.table.report(&run).await.unwrap(), None);
    for _ in 0..2 {
        let planned = bench.plan("a-run").await;
        assert!(matches!(planned, Err(TaskError::RunOver(_))), "{planned:?}");
        let report = bench.ports.table.report(&run).await.unwrap().unwrap();
        assert_eq!((report.stopped, report.failure, report.leaks), (Some(Stop::Requested), None, 0));
    }
    assert!(bench.functions().await.is_empty() && bench.switches().await.is_empty());
}

#[tokio::test]
async fn a_function_that_cannot_be_deleted_keeps_no_other_one() {
    let (_folder, mut bench) = Bench::new();
    let run = bench.under_way("a-run").await;
    let late = FunctionSpec {
        name: run.function_name(2),
        run: run.clone(),
        memory_mb: 128,
        expires_at: Timestamp::UNIX_EPOCH,
    };
    bench.ports.functions.create(&late).await.unwrap();
    bench.stubborn.stays = Some("deathstar-w-a-run-0");
    let tear_down = json!({ "task": "TearDown", "run": "a-run" });
    let failed = bench.task(tear_down.clone()).await.unwrap_err();
    assert_eq!(failed.to_string(), "deathstar-w-a-run-0 stays");
    assert_eq!(bench.functions().await, ["deathstar-w-a-run-0"], "neither those in the ledger nor others");
    bench.task(json!({ "task": "Report", "run": "a-run", "state": {} })).await.unwrap();
    assert_eq!(bench.ports.table.report(&run).await.unwrap().unwrap().leaks, 1);
    bench.stubborn.stays = None;
    bench.task(tear_down).await.unwrap();
    assert_eq!(bench.functions().await, [""; 0]);
}

#[tokio::test]
async fn a_function_that_has_vanished_is_no_end_of_the_run() {
    let (_folder, bench) = Bench::new();
    let run = bench.under_way("a-run").await;
    bench.ports.functions.delete("deathstar-w-a-run-1").await.unwrap();
    let wait = json!({ "task": "AwaitFleet", "run": "a-run" });
    let vanished = bench.task(wait.clone()).await.unwrap_err();
    assert_eq!(vanished.name(), "DeathStar.Broken");
    assert!(
        vanished.to_string().starts_with("worker function deathstar-w-a-run-1 has vanished"),
        "{vanished}"
    );
    bench.ports.table.end_run(&run).await.unwrap();
    assert!(matches!(bench.task(wait).await, Err(TaskError::RunOver(_))));
}

/// The date stands still, so a wait for what comes late would never end.
#[tokio::test]
async fn the_report_of_a_run_that_was_stopped_waits_for_no_metric() {
    let (_folder, mut bench) = Bench::new();
    bench.ports.place.mode = "aws".to_owned();
    let metric = "resources: [{ cloudwatch: { namespace: AWS/ECS, metric: CPUUtilization, dimensions: { ServiceName: web } } }]";
    let config = CONFIG.replace("timeout: 1s", &format!("timeout: 1s, {metric}")).replace("9s", "180s");
    let report = json!({ "task": "Report", "run": "a-run", "state": {} });
    let run = bench.under_way_with("a-run", &config).await;
    let bench = bench.later(150);
    let waits = tokio::time::timeout(Duration::from_millis(200), bench.task(report.clone())).await;
    assert!(waits.is_err(), "the last minute's value may still come");
    bench.ports.table.request_stop(&run, &Stop::Requested).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), bench.task(report)).await.unwrap().unwrap();
    let report = bench.ports.table.report(&run).await.unwrap().unwrap();
    assert_eq!(report.stopped, Some(Stop::Requested));
    assert!(report.attacks[0].resources[0].why.as_ref().unwrap().contains("no value"), "{report:?}");
}

#[tokio::test]
async fn the_janitor_leaves_a_run_alone_until_it_is_overdue() {
    let (_folder, bench) = Bench::new();
    let run = bench.under_way("a-run").await;
    let found = bench.later(EXPIRES_S).task(json!({ "task": "Janitor" })).await.unwrap();
    assert_eq!(found, json!({ "released": [], "deleted": [], "leaked": [], "live": ["a-run"] }));
    let found = bench.later(EXPIRES_S + 1).task(json!({ "task": "Janitor" })).await.unwrap();
    assert_eq!(found["released"], json!(["a-run"]));
    assert_eq!(found["deleted"], json!(["deathstar-w-a-run-0", "deathstar-w-a-run-1", "run-a-run"]));
    assert_eq!(
        found["leaked"],
        json!(["deathstar-w-a-run-0", "deathstar-w-a-run-1"]),
        "a switch is no worker"
    );
    assert!(bench.is_clean(&run).await);
    let report = bench.ports.table.report(&run).await.unwrap().unwrap();
    assert_eq!(report.failure.unwrap().error, "DeathStar.Overdue");
    let found = bench.later(EXPIRES_S + 2).task(json!({ "task": "Janitor" })).await.unwrap();
    assert_eq!(found, json!({ "released": [], "deleted": [], "leaked": [], "live": [] }));
}

#[tokio::test]
async fn the_janitor_deletes_what_was_created_after_the_tear_down() {
    let (_folder, bench) = Bench::new();
    let run = bench.under_way("a-run").await;
    bench.task(json!({ "task": "TearDown", "run": "a-run" })).await.unwrap();
    assert_eq!(bench.switches().await, ["run-a-run"], "until it has its report");
    let late = FunctionSpec {
        name: run.function_name(0),
        run: run.clone(),
        memory_mb: 128,
        expires_at: Timestamp::from_second(EXPIRES_S).unwrap(),
    };
    bench.ports.functions.create(&late).await.unwrap();
    let found = bench.task(json!({ "task": "Janitor" })).await.unwrap();
    assert_eq!(found["deleted"], json!(["deathstar-w-a-run-0"]), "at once: its run is over");
    assert_eq!(found["leaked"], json!([]), "which its own tear-down may be about to do");
    assert_eq!((bench.functions().await, bench.switches().await), (vec![], vec!["run-a-run".to_owned()]));
    bench.task(json!({ "task": "Report", "run": "a-run", "state": {} })).await.unwrap();
    assert!(bench.is_clean(&run).await);
    // And once more, after it.
    bench.ports.functions.create(&late).await.unwrap();
    let found = bench.task(json!({ "task": "Janitor" })).await.unwrap();
    assert_eq!(found["deleted"], json!(["deathstar-w-a-run-0"]));
    assert!(bench.is_clean(&run).await);
}

#[tokio::test]
async fn a_run_whose_execution_ends_between_tear_down_and_report_is_reported_by_its_switch() {
    let (_folder, bench) = Bench::new();
    let run = bench.under_way("a-run").await;
    bench.task(json!({ "task": "TearDown", "run": "a-run" })).await.unwrap();
    let found = bench.task(json!({ "task": "Janitor" })).await.unwrap();
    assert_eq!(
        found,
        json!({ "released": [], "deleted": [], "leaked": [], "live": [] }),
        "its switch is its own"
    );
    assert_eq!(bench.ports.table.report(&run).await.unwrap(), None);
    // What the switch does.
    let failure = json!({ "Error": "DeathStar.Overdue", "Cause": "late" });
    bench.task(json!({ "task": "Release", "run": "a-run", "failure": failure })).await.unwrap();
    assert_eq!(bench.ports.table.report(&run).await.unwrap().unwrap().leaks, 0);
    assert!(bench.is_clean(&run).await);
}

#[tokio::test]
async fn a_run_does_not_tear_down_one_whose_name_begins_alike() {
    let (_folder, bench) = Bench::new();
    bench.under_way("a").await;
    bench.under_way("a-1").await;
    bench.task(json!({ "task": "TearDown", "run": "a" })).await.unwrap();
    assert_eq!(bench.functions().await, ["deathstar-w-a-1-0", "deathstar-w-a-1-1"]);
    bench.task(json!({ "task": "Report", "run": "a", "state": {} })).await.unwrap();
    assert_eq!(bench.switches().await, ["run-a-1"]);
}

#[tokio::test]
async fn a_tick_that_is_delivered_twice_is_one_run() {
    let (_folder, bench) = Bench::new();
    bench.plan("other").await.unwrap();
    let tick = |execution: &str, started_at: &str| {
        json!({
            "task": "Plan", "execution": execution, "started_at": started_at,
            "input": {
                "schedule": "nightly", "tick": "2026-11-24T03:00:00Z", "config": { "name": "a", "version": "1" },
            },
        })
    };
    let first = bench.task(tick("one", "2026-11-24T03:00:02Z")).await.unwrap();
    assert_eq!(first, json!({ "run": "nightly-20261124-0300", "duplicate": false }));
    // Much later, as a delivery that was tried again may be.
    let second = bench.task(tick("two", "2026-11-24T03:09:00Z")).await.unwrap();
    assert_eq!(second, json!({ "run": "nightly-20261124-0300", "duplicate": true }));
    let repeat = bench.task(tick("one", "2026-11-24T03:00:02Z")).await.unwrap();
    assert_eq!(repeat["duplicate"], false, "the first execution's own repeat goes on");
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_before_anything_is_made() {
    let limits: [(Policy, &str); 5] = [
        (
            Policy { allow: Some(vec![]), ..Policy::unrestricted() },
            "shop.example.com:8080 is not on the list",
        ),
        (
            Policy { allow: Some(vec!["example.com".parse().unwrap()]), ..Policy::unrestricted() },
            "(example.com)",
        ),
        (Policy { max_rate: Some(Rate::per_second(9)), ..Policy::unrestricted() }, "10/s at the peak"),
        (Policy { max_workers: NonZeroU32::new(1), ..Policy::unrestricted() }, "2 workers"),
        (Policy { max_config_bytes: Some(100), ..Policy::unrestricted() }, "this installation allows 100"),
    ];
    for (policy, words) in limits {
        let (_folder, mut bench) = Bench::new();
        bench.ports.policy = policy;
        let refused = bench.plan("a-run").await.unwrap_err();
        assert_eq!(refused.name(), "DeathStar.OverLimit");
        assert!(refused.to_string().contains(words), "{refused}");
        let run = "a-run".parse().unwrap();
        assert_eq!(bench.ports.table.plan(&run).await.unwrap(), None);
        let listed = bench.ports.table.run(&run).await.unwrap().unwrap();
        assert_eq!(listed.verdict.as_deref(), Some(REFUSED), "{listed:?}");
    }
    let (_folder, mut bench) = Bench::new();
    let allow = Some(vec!["*.example.com:8080".parse().unwrap()]);
    bench.ports.policy = Policy { allow, max_workers: NonZeroU32::new(2), ..Policy::unrestricted() };
    bench.plan("a-run").await.unwrap();
}

#[tokio::test]
async fn a_plan_that_needs_more_invocations_than_may_run_is_refused() {
    let (_folder, mut bench) = Bench::new();
    let limits = Limits { concurrency: 1, ..Limits::default() };
    bench.stubborn.functions = InProcessFunctions::new(limits, Box::new(|_| unreachable!("none runs")));
    let refused = bench.plan("a-run").await.unwrap_err();
    assert_eq!(refused.name(), "DeathStar.OverLimit");
    assert!(refused.to_string().contains("2 workers need 2 invocations at once, and 1 may run"), "{refused}");
}
