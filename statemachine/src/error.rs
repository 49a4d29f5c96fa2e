//! How a task fails, by a name that never changes.
//!
//! The name becomes the Lambda error type, and the definition retries and
//! catches by it; `tests/definition.rs` proves that both lists agree.

use thiserror::Error;

/// Why a task of the state machine failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TaskError {
    /// Workers are still being made; ask again.
    #[error("{pending} of {total} worker functions are not ready yet")]
    FleetPending {
        /// Functions not yet active.
        pending: usize,
        /// Functions of the run.
        total: usize,
    },
    /// The platform asked us to slow down; ask again.
    #[error("throttled: {0}")]
    Throttled(String),
    /// The run's table could not be read or written; it may come back.
    #[error("the run's table is unavailable: {0}")]
    TableUnavailable(String),
    /// The config is missing or does not hold.
    #[error("{0}")]
    BadConfig(String),
    /// The plan needs more than this place allows.
    #[error("{0}")]
    OverLimit(String),
    /// Another installation has what this run's names stand for.
    #[error("{0}")]
    NotOurs(String),
    /// The run has been torn down; nothing may be created or sent for it.
    #[error("run {0} is over: it has been torn down")]
    RunOver(String),
    /// A function, row or message is not what it must be: our bug, or a
    /// damaged table.
    #[error("{0}")]
    Broken(String),
}

impl TaskError {
    /// A failure of DynamoDB, by the code it gave. What passes by itself is tried
    /// again by the definition; what does not, is not.
    #[must_use]
    pub fn of_dynamodb(table: &str, region: &str, code: Option<&str>, what: &str) -> Self {
        match code {
            Some("ResourceNotFoundException") => Self::TableUnavailable(format!(
                "there is no table {table} in {region}: is the stack deployed there? {what}"
            )),
            Some(
                "AccessDeniedException" | "ValidationException" | "ItemCollectionSizeLimitExceededException",
            ) => Self::Broken(format!("table {table}: {what}")),
            Some(
                "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "TransactionConflictException"
                | "TransactionInProgressException",
            ) => Self::Throttled(format!("table {table}: {what}")),
            _ => Self::TableUnavailable(format!("table {table}: {what}")),
        }
    }

    /// The stable name that the definition matches on.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FleetPending { .. } => "DeathStar.FleetPending",
            Self::Throttled(_) => "DeathStar.Throttled",
            Self::TableUnavailable(_) => "DeathStar.TableUnavailable",
            Self::BadConfig(_) => "DeathStar.BadConfig",
            Self::OverLimit(_) => "DeathStar.OverLimit",
            Self::NotOurs(_) => "DeathStar.NotOurs",
            Self::RunOver(_) => "DeathStar.RunOver",
            Self::Broken(_) => "DeathStar.Broken",
        }
    }
}
