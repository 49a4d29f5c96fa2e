//! How a task fails, by a name that never changes.
//!
//! The name becomes the Lambda error type, and the definition retries and
//! catches by it; `tests/definition.rs` proves that both lists agree.

use thiserror::Error;

/// What is wrong with the credentials that AWS is called with. Time mends none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing gives any.
    Missing,
    /// They are configured, and could not be had.
    Unavailable,
    /// They were good once.
    Expired,
    /// AWS does not know them, or their signature does not match.
    Rejected,
}

impl Credentials {
    /// What the error code of a service says of them, if anything.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        match code {
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired" => {
                Some(Self::Expired)
            }
            "AuthFailure"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "InvalidToken"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "NotSignedUp"
            | "OptInRequired"
            | "RequestTimeTooSkewed"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException" => Some(Self::Rejected),
            _ => None,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Missing => "there are no AWS credentials",
            Self::Unavailable => "the AWS credentials cannot be loaded",
            Self::Expired => "the AWS credentials have expired",
            Self::Rejected => "AWS does not accept the credentials",
        }
    }
}

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
    /// The credentials do not do, so that asking again helps nobody.
    #[error("{} ({what})", credentials.words())]
    Credentials {
        /// What is wrong with them.
        credentials: Credentials,
        /// What was said of them.
        what: String,
    },
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
        if let Some(refused) = Self::of_credentials(code, &format!("table {table}: {what}")) {
            return refused;
        }
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

    /// A failure of any service, when its code says that the credentials are to blame.
    #[must_use]
    pub fn of_credentials(code: Option<&str>, what: &str) -> Option<Self> {
        let credentials = Credentials::of_code(code?)?;
        Some(Self::Credentials { credentials, what: what.to_owned() })
    }

    /// The stable name that the definition matches on.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FleetPending { .. } => "DeathStar.FleetPending",
            Self::Throttled(_) => "DeathStar.Throttled",
            Self::TableUnavailable(_) => "DeathStar.TableUnavailable",
            Self::Credentials { .. } => "DeathStar.Credentials",
            Self::BadConfig(_) => "DeathStar.BadConfig",
            Self::OverLimit(_) => "DeathStar.OverLimit",
            Self::NotOurs(_) => "DeathStar.NotOurs",
            Self::RunOver(_) => "DeathStar.RunOver",
            Self::Broken(_) => "DeathStar.Broken",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_refuses_by_names_that_say_whether_to_ask_again() {
        for (code, name) in [
            (Some("ExpiredTokenException"), "DeathStar.Credentials"),
            (Some("UnrecognizedClientException"), "DeathStar.Credentials"),
            (Some("InvalidClientTokenId"), "DeathStar.Credentials"),
            (Some("ThrottlingException"), "DeathStar.Throttled"),
            (Some("ValidationException"), "DeathStar.Broken"),
            (Some("InternalServerError"), "DeathStar.TableUnavailable"),
            (None, "DeathStar.TableUnavailable"),
        ] {
            assert_eq!(TaskError::of_dynamodb("t", "eu-west-1", code, "said").name(), name, "{code:?}");
        }
        let expired = TaskError::of_dynamodb("t", "eu-west-1", Some("ExpiredTokenException"), "late");
        assert_eq!(expired.to_string(), "the AWS credentials have expired (table t: late)");
    }
}
