//! What comes after a slice that has lost its worker, and when both chains of its
//! shard must end.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use deathstar_controller::clock::Clock;
use deathstar_controller::dispatch::run_task;
use deathstar_controller::embedded::EmbeddedPorts;
use deathstar_controller::embedded::functions::{InProcessFunctions, Limits};
use deathstar_controller::embedded::metrics::NoMetrics;
use deathstar_controller::embedded::switches::InProcessSwitches;
use deathstar_controller::embedded::table::SqliteTable;
use deathstar_controller::ports::{Ports, Table};
use deathstar_statemachine::config::Config;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::ConfigRef;
use deathstar_statemachine::plan::Place;
use deathstar_statemachine::policy::Policy;
use deathstar_statemachine::report::Stop;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The embedded ports, with a clock of our own.
#[derive(Debug, Clone)]
struct Bench {
    ports: EmbeddedPorts,
    clock: Sleeps,
}

/// Time passes when someone sleeps, and then at once.
#[derive(Debug, Clone, Default)]
struct Sleeps {
    /// Of the epoch.
    millis: Arc<AtomicI64>,
    /// When the run is stopped.
    stops_at: Arc<AtomicI64>,
    table: Option<SqliteTable>,
}

impl Clock for Sleeps {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.millis.load(Ordering::Relaxed)).unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        let by = i64::try_from(duration.as_millis()).unwrap();
        let now = self.millis.fetch_add(by, Ordering::Relaxed) + by;
        if let Some(table) = &self.table
            && now >= self.stops_at.load(Ordering::Relaxed)
        {
            table.request_stop(&run(), &Stop::Requested).await.unwrap();
        }
    }
}

impl Ports for Bench {
    type Table = SqliteTable;
    type Functions = InProcessFunctions;
    type Switches = InProcessSwitches;
    type Metrics = NoMetrics;
    type Clock = Sleeps;

    fn table(&self) -> &SqliteTable {
        &self.ports.table
    }
    fn functions(&self) -> &InProcessFunctions {
        &self.ports.functions
    }
    fn switches(&self) -> &InProcessSwitches {
        &self.ports.switches
    }
    fn metrics(&self) -> &NoMetrics {
        &NoMetrics
    }
    fn clock(&self) -> &Sleeps {
        &self.clock
    }
    fn place(&self) -> &Place {
        &self.ports.place
    }
    fn policy(&self) -> &Policy {
        &self.ports.policy
    }
}

fn run() -> RunId {
    "a-run".parse().unwrap()
}

impl Bench {
    /// A run of four slices of 10 min, of which the first begins after 8 s.
    async fn new() -> (TempDir, Self) {
        let folder = tempfile::tempdir().unwrap();
        let table = SqliteTable::open(&folder.path().join("runs.db")).unwrap();
        let functions = InProcessFunctions::new(Limits::default(), Box::new(|_| unreachable!("none runs")));
        let many = NonZeroU32::new(100).unwrap();
        let place = Place {
            mode: "test".into(),
            cores: many,
            rate_per_worker: many,
            sockets: many,
            workers_share_process: true,
            workers_per_function: many,
            lead: Duration::from_secs(8),
            checkpoint: Duration::from_secs(5),
            slice: Duration::from_secs(600),
            invocation: Duration::from_secs(900),
            setup: Duration::from_secs(60),
            grace: Duration::from_secs(60),
        };
        let bench = Self { ports: EmbeddedPorts::new(table, functions, place), clock: Sleeps::default() };
        let text = "name: a\nattacks: [{ name: a, url: 'http://127.0.0.1:1/', rate: 1/s, duration: 40m }]";
        let config = Config::from_text(text, |_| Err(String::new())).unwrap();
        let at = ConfigRef { name: "a".to_owned(), version: "1".to_owned() };
        bench.ports.table.put_config(&at, &config).await.unwrap();
        let input = json!({ "run": "a-run", "config": at });
        let plan = json!({ "task": "Plan", "execution": "a-run", "started_at": "1970-01-01T00:00:00Z", "input": input });
        bench.task(plan).await.unwrap();
        let round = bench.task(json!({ "task": "NextRound", "run": "a-run" })).await.unwrap();
        assert_eq!((&round["slices"], &round["odd_at"]), (&json!(4), &json!("1970-01-01T00:10:00Z")));
        (folder, bench)
    }

    async fn task(&self, task: Value) -> Result<Value, TaskError> {
        run_task(self, task).await
    }

    /// Asked at a second, says what comes after a slice, and when it was said.
    async fn after(&self, slice: u32, asked_s: i64) -> (Value, i64) {
        self.clock.millis.store(asked_s * 1000, Ordering::Relaxed);
        let lost = json!({ "task": "NextSlice", "run": "a-run", "round": 0, "shard": 0, "slice": slice });
        let answer = self.task(lost).await.unwrap();
        (answer, self.clock.millis.load(Ordering::Relaxed) / 1000)
    }
}

#[tokio::test]
async fn the_chain_goes_on_when_the_others_next_worker_is_there() {
    let (_folder, bench) = Bench::new().await;
    let next = |next: u32, at: &str| json!({ "next": next, "more": true, "wake_at": at, "stopped": false });
    let third = next(2, "1970-01-01T00:20:00Z");
    assert_eq!(bench.after(0, 250).await, (third.clone(), 600));
    // Its worker died when that one was there already: waiting for its last answers.
    assert_eq!(bench.after(0, 610).await, (third, 610));
    assert_eq!(bench.after(1, 700).await, (next(3, "1970-01-01T00:30:00Z"), 1200));
    // There is none after it, and the last slice is still to come.
    let none =
        |slice: u32, at: &str| json!({ "next": slice, "more": false, "wake_at": at, "stopped": false });
    assert_eq!(bench.after(2, 1300).await, (none(4, "1970-01-01T00:20:00Z"), 1800));
    assert_eq!(bench.after(3, 1900).await, (none(5, "1970-01-01T00:30:00Z"), 1900));
}

#[tokio::test]
async fn a_stop_is_seen_in_the_place_of_the_worker_that_died() {
    let (_folder, mut bench) = Bench::new().await;
    bench.clock.table = Some(bench.ports.table.clone());
    bench.clock.stops_at.store(300_000, Ordering::Relaxed);
    let (answer, said_s) = bench.after(0, 101).await;
    assert_eq!((&answer["stopped"], &answer["more"]), (&json!(true), &json!(false)));
    // At the next look, and when whoever else is at work has obeyed.
    assert!((304..=310).contains(&said_s), "{said_s}");
    // Nobody sleeps whom the last slice could wake.
    let (answer, said_s) = bench.after(3, 1900).await;
    assert_eq!((&answer["more"], said_s), (&json!(false), 1900));
}

#[tokio::test]
async fn nothing_comes_after_the_end_of_a_run() {
    let (_folder, bench) = Bench::new().await;
    let (_, said_s) = bench.after(0, 8000).await;
    assert_eq!(said_s, 8000);
    let (answer, _) = bench.after(0, 8000).await;
    assert_eq!(answer["stopped"], true, "its deadline has passed");
    bench.ports.table.end_run(&run()).await.unwrap();
    let (answer, said_s) = bench.after(0, 100).await;
    assert_eq!((&answer["stopped"], &answer["more"], said_s), (&json!(true), &json!(false), 100));
    let unknown = json!({ "task": "NextSlice", "run": "a-run", "round": 1, "shard": 0, "slice": 0 });
    assert_eq!(bench.task(unknown).await.unwrap_err().name(), "DeathStar.Broken");
    let gone = json!({ "task": "NextSlice", "run": "gone", "round": 0, "shard": 0, "slice": 0 });
    assert_eq!(bench.task(gone).await.unwrap_err().name(), "DeathStar.Broken");
}
