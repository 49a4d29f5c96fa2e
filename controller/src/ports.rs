//! What the handlers need, in our words: adapters translate.

use std::future::Future;
use std::time::Duration;

use deathstar_statemachine::config::Config;
use deathstar_statemachine::config::source::CloudWatch;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{RunId, SliceId};
use deathstar_statemachine::message::ConfigRef;
use deathstar_statemachine::plan::{Place, Plan};
use deathstar_statemachine::policy::Policy;
use deathstar_statemachine::report::{Report, Round, SliceEnd, Stop};
use deathstar_statemachine::table::{LedgerEntry, LedgerState};
use deathstar_statemachine::window::Window;
use jiff::Timestamp;

use crate::clock::Clock;

/// All that handlers reach the world through.
pub trait Ports: Send + Sync {
    /// The run's table.
    type Table: Table;
    /// Worker functions.
    type Functions: Functions;
    /// What tears a run down when nothing else has.
    type Switches: Switches;
    /// What the platform measures.
    type Metrics: Metrics;
    /// Time.
    type Clock: Clock;

    /// The run's table.
    fn table(&self) -> &Self::Table;
    /// Worker functions.
    fn functions(&self) -> &Self::Functions;
    /// What tears a run down when nothing else has.
    fn switches(&self) -> &Self::Switches;
    /// What the platform measures.
    fn metrics(&self) -> &Self::Metrics;
    /// Time.
    fn clock(&self) -> &Self::Clock;
    /// What this place offers a plan.
    fn place(&self) -> &Place;
    /// What may be attacked from here, and how hard.
    fn policy(&self) -> &Policy;
}

/// The verdict on a run that was refused before it had a plan.
pub const REFUSED: &str = "refused";

/// A run as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// The execution that has it. A schedule's is not named after the run.
    pub execution: String,
    /// The config's name.
    pub name: String,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// Whether it was torn down.
    pub over: bool,
    /// The verdict, once there is a report; [`REFUSED`] when there never will be.
    pub verdict: Option<String>,
}

/// The result of a table's question.
pub type TableResult<T> = Result<T, TaskError>;

/// The run's table. Every write is idempotent. All methods fail with
/// [`TaskError::TableUnavailable`] when the table cannot be reached, and with
/// [`TaskError::Broken`] when a row is not what it must be.
pub trait Table: Send + Sync {
    /// Stores a config under its name and version.
    fn put_config(&self, at: &ConfigRef, config: &Config) -> impl Future<Output = TableResult<()>> + Send;

    /// A stored config.
    fn config(&self, at: &ConfigRef) -> impl Future<Output = TableResult<Option<Config>>> + Send;

    /// Claims a run for an execution: true when it is this execution's, now or
    /// from an earlier try; false when another has it.
    fn claim_run(
        &self,
        run: &RunId,
        execution: &str,
        name: &str,
        now: Timestamp,
    ) -> impl Future<Output = TableResult<bool>> + Send;

    /// Marks a claimed run as refused: it never has a plan, and nothing is made
    /// for it.
    fn refuse_run(&self, run: &RunId) -> impl Future<Output = TableResult<()>> + Send;

    /// Stores the plan.
    fn put_plan(&self, plan: &Plan) -> impl Future<Output = TableResult<()>> + Send;

    /// The run's plan, once there is one.
    fn plan(&self, run: &RunId) -> impl Future<Output = TableResult<Option<Plan>>> + Send;

    /// Opens a round, unless there is one of its number: two tasks may decide on it at
    /// once, each by its own clock. Returns the one that there is.
    fn open_round(&self, run: &RunId, round: &Round) -> impl Future<Output = TableResult<Round>> + Send;

    /// Stores a round, replacing an earlier state of it.
    fn put_round(&self, run: &RunId, round: &Round) -> impl Future<Output = TableResult<()>> + Send;

    /// All rounds, in order.
    fn rounds(&self, run: &RunId) -> impl Future<Output = TableResult<Vec<Round>>> + Send;

    /// How slices ended, those that did: at most `limit` of them, in an order of
    /// the table's own; those after `after`, the last one of the page before,
    /// when there was one. An empty page is the last.
    fn slice_ends(
        &self,
        run: &RunId,
        after: Option<&SliceId>,
        limit: u32,
    ) -> impl Future<Output = TableResult<Vec<(SliceId, SliceEnd)>>> + Send;

    /// At most `limit` windows that start at or after `from`, in microseconds
    /// of the load, in order of their start; those after `after`, the last one
    /// of the page before, when there was one. An empty page is the last.
    fn windows(
        &self,
        run: &RunId,
        from: u64,
        after: Option<&(SliceId, Window)>,
        limit: u32,
    ) -> impl Future<Output = TableResult<Vec<(SliceId, Window)>>> + Send;

    /// Writes the intent to create a resource. False when the run is over:
    /// nothing may be created then.
    fn intend(&self, run: &RunId, name: &str) -> impl Future<Output = TableResult<bool>> + Send;

    /// Moves a resource forwards in the ledger.
    fn advance(
        &self,
        run: &RunId,
        name: &str,
        state: LedgerState,
    ) -> impl Future<Output = TableResult<()>> + Send;

    /// Everything the run has made, or meant to.
    fn ledger(&self, run: &RunId) -> impl Future<Output = TableResult<Vec<LedgerEntry>>> + Send;

    /// Marks the run as over. From then on nothing is created, claimed or
    /// decided for it.
    fn end_run(&self, run: &RunId) -> impl Future<Output = TableResult<()>> + Send;

    /// Whether the run is over.
    fn is_over(&self, run: &RunId) -> impl Future<Output = TableResult<bool>> + Send;

    /// Asks the run to stop; the first reason given is kept.
    fn request_stop(&self, run: &RunId, stop: &Stop) -> impl Future<Output = TableResult<()>> + Send;

    /// Why the run was asked to stop, if it was.
    fn stop(&self, run: &RunId) -> impl Future<Output = TableResult<Option<Stop>>> + Send;

    /// Stores the report.
    fn put_report(&self, run: &RunId, report: &Report) -> impl Future<Output = TableResult<()>> + Send;

    /// The report, once there is one.
    fn report(&self, run: &RunId) -> impl Future<Output = TableResult<Option<Report>>> + Send;

    /// A run as a list shows it, once it is claimed.
    fn run(&self, run: &RunId) -> impl Future<Output = TableResult<Option<RunSummary>>> + Send;

    /// All runs, the newest first.
    fn runs(&self) -> impl Future<Output = TableResult<Vec<RunSummary>>> + Send;
}

/// How a function is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FunctionState {
    /// Being made; an invocation now would fail.
    Pending,
    /// Ready.
    Active,
    /// It will never be ready.
    Failed(String),
    /// There is none of that name.
    Missing,
}

/// A function to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionSpec {
    /// Its name, derived from the run id.
    pub name: String,
    /// The run that it serves.
    pub run: RunId,
    /// Its memory, in megabytes; CPU comes with it.
    pub memory_mb: u32,
    /// When it must be gone.
    pub expires_at: Timestamp,
}

/// A function or a schedule that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// When it must be gone, if it says so.
    pub expires_at: Option<Timestamp>,
}

/// The dead-man's switches: one for each run, armed before anything else is
/// made, so that the run is released ([`deathstar_statemachine::message::Task::Release`])
/// even when its execution, its client and every event are gone.
pub trait Switches: Send + Sync {
    /// Arms a run's switch for `at`; one that is armed already is as good.
    fn arm(&self, run: &RunId, at: Timestamp) -> impl Future<Output = Result<(), TaskError>> + Send;

    /// Disarms a run's switch; one that does not exist is as good.
    fn disarm(&self, run: &RunId) -> impl Future<Output = Result<(), TaskError>> + Send;

    /// All that are armed, by the name in the ledger.
    fn list(&self) -> impl Future<Output = Result<Vec<Listed>, TaskError>> + Send;
}

/// A metric of the platform, and in which periods it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Which.
    pub metric: CloudWatch,
    /// How long a period is, in whole seconds.
    pub period: Duration,
}

/// What the platform measures of targets on it.
pub trait Metrics: Send + Sync {
    /// The starts of the periods between two instants, in order, each with its value.
    /// One without a value is missing.
    fn read(
        &self,
        query: &Query,
        from: Timestamp,
        until: Timestamp,
    ) -> impl Future<Output = Result<Vec<(Timestamp, f64)>, TaskError>> + Send;
}

/// Worker functions. All methods fail with [`TaskError::Throttled`] when the
/// platform wants us to slow down.
pub trait Functions: Send + Sync {
    /// Invocations that may run at once, over all functions that are not ours
    /// too.
    fn concurrency(&self) -> impl Future<Output = Result<u32, TaskError>> + Send;

    /// Creates a function; one that exists already is as good, unless it is another
    /// installation's: then it fails with [`TaskError::NotOurs`].
    fn create(&self, spec: &FunctionSpec) -> impl Future<Output = Result<(), TaskError>> + Send;

    /// How a function is doing.
    fn state(&self, name: &str) -> impl Future<Output = Result<FunctionState, TaskError>> + Send;

    /// Deletes a function; one that does not exist is as good, and so is one of
    /// another installation, which stays.
    fn delete(&self, name: &str) -> impl Future<Output = Result<(), TaskError>> + Send;

    /// All functions whose names start with `prefix`.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<Listed>, TaskError>> + Send;
}
