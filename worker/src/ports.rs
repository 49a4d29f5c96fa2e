//! What a worker needs: the run's table, and the values that its config refers to.
//!
//! Embedded mode answers from SQLite and the environment, AWS mode from DynamoDB
//! and the stores of secrets; both answer the same questions.

use std::future::Future;

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{RunId, SliceId};
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::report::{Round, SliceEnd, Stop};
use deathstar_statemachine::secret::{Reference, Secret};
use deathstar_statemachine::table::Claim;
use deathstar_statemachine::window::Window;

/// What a running worker obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Control {
    /// Whether the run was asked to stop, or torn down.
    pub stop: bool,
}

/// The part of the run's table that workers read and write. Every write is
/// idempotent.
pub trait WorkerTable {
    /// The run's plan.
    ///
    /// # Errors
    /// When there is none, or the table is unavailable.
    fn plan(&self, run: &RunId) -> impl Future<Output = Result<Plan, TaskError>>;

    /// A round of the run.
    ///
    /// # Errors
    /// When there is none, or the table is unavailable.
    fn round(&self, run: &RunId, number: u32) -> impl Future<Output = Result<Round, TaskError>>;

    /// Claims a slice for the invocation called `token`, before its first
    /// request. A repeat of the winner's own claim wins again.
    ///
    /// # Errors
    /// When the table is unavailable; nothing may be sent then.
    fn claim(&self, slice: &SliceId, token: &str) -> impl Future<Output = Result<Claim, TaskError>>;

    /// How a slice ended, once it has.
    ///
    /// # Errors
    /// When the table is unavailable.
    fn slice_end(&self, slice: &SliceId) -> impl Future<Output = Result<Option<SliceEnd>, TaskError>>;

    /// Writes windows, replacing earlier states of the same ones.
    ///
    /// # Errors
    /// When the table is unavailable; the windows are written again later.
    fn checkpoint(
        &self,
        slice: &SliceId,
        windows: Vec<Window>,
    ) -> impl Future<Output = Result<(), TaskError>>;

    /// Writes how a slice ended; nothing follows it.
    ///
    /// # Errors
    /// When the table is unavailable.
    fn finish(&self, slice: &SliceId, end: SliceEnd) -> impl Future<Output = Result<(), TaskError>>;

    /// What the worker should obey now.
    ///
    /// # Errors
    /// When the table is unavailable.
    fn control(&self, run: &RunId) -> impl Future<Output = Result<Control, TaskError>>;

    /// Votes to stop the run; returns how many workers have.
    ///
    /// # Errors
    /// When the table is unavailable.
    fn vote(&self, slice: &SliceId) -> impl Future<Output = Result<u32, TaskError>>;

    /// Asks the whole run to stop; the first reason given is kept.
    ///
    /// # Errors
    /// When the table is unavailable.
    fn request_stop(&self, run: &RunId, stop: Stop) -> impl Future<Output = Result<(), TaskError>>;
}

/// Where the values are that a config refers to.
pub trait Secrets {
    /// What a reference stands for, as it is now.
    ///
    /// # Errors
    /// [`TaskError::BadConfig`] when it stands for nothing here, or may not be
    /// read: it names the reference and says why. [`TaskError::Throttled`] when
    /// asking again may help.
    fn resolve(&self, reference: &Reference) -> impl Future<Output = Result<Secret, TaskError>>;
}
