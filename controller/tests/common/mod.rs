//! Handlers on the embedded ports, with a clock that is set by hand.

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
pub(crate) struct Bench {
    pub(crate) ports: EmbeddedPorts,
    pub(crate) clock: Sleeps,
}

/// Time passes when someone sleeps, and then at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sleeps {
    /// Of the epoch.
    pub(crate) millis: Arc<AtomicI64>,
    /// When the run is stopped.
    pub(crate) stops_at: Arc<AtomicI64>,
    /// Where, if it ever is.
    pub(crate) table: Option<SqliteTable>,
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

pub(crate) fn run() -> RunId {
    "a-run".parse().unwrap()
}

impl Bench {
    /// A run of a config, planned at the epoch: slices of 10 min, of which the first begins
    /// after 8 s.
    pub(crate) async fn of(text: &str) -> (TempDir, Self) {
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
        let config = Config::from_text(text, |_| Err(String::new())).unwrap();
        let at = ConfigRef { name: "a".to_owned(), version: "1".to_owned() };
        bench.ports.table.put_config(&at, &config).await.unwrap();
        let input = json!({ "run": "a-run", "config": at });
        let plan = json!({ "task": "Plan", "execution": "a-run", "started_at": "1970-01-01T00:00:00Z", "input": input });
        bench.task(plan).await.unwrap();
        (folder, bench)
    }

    pub(crate) async fn task(&self, task: Value) -> Result<Value, TaskError> {
        run_task(self, task).await
    }

    /// The same of a task that is asked at a second: its answer, and when that came.
    pub(crate) async fn task_at(&self, asked_s: i64, task: Value) -> (Value, i64) {
        self.clock.millis.store(asked_s * 1000, Ordering::Relaxed);
        let answer = self.task(task).await.unwrap();
        (answer, self.clock.millis.load(Ordering::Relaxed) / 1000)
    }
}
