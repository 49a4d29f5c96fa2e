//! Runs a definition, one step at a time, without doing any I/O.
//!
//! An [`Execution`] says what to do next and is told what happened:
//!
//! ```text
//!                next_step()  ┌────────┐  call, wait, forget …
//!   Execution ───────────────▶│ driver │───────────────────────▶ the world
//!             ◀───────────────└────────┘◀───────────────────────
//!        complete(), woke(), abort()
//! ```
//!
//! It has no clock, so a wait, a time-out and the machine's own time-out are
//! the driver's to keep. Which errors mean what, and which can be caught, is as
//! on AWS:
//!
//! - `States.ALL` matches neither `States.DataLimitExceeded` (a payload over
//!   [`PAYLOAD_LIMIT`](crate::asl::PAYLOAD_LIMIT)) nor `States.Runtime`.
//!   The first is caught by its own name; the second by nothing.
//! - `States.Runtime` is a path that leads nowhere, anywhere but in a
//!   `ResultPath`, which raises `States.ResultPathMatchFailure`. It ends the
//!   execution, or the child of a distributed Map in which it happened. AWS
//!   documents `States.ParameterPathFailure` for `Parameters`, and raises
//!   `States.Runtime` there as well.
//! - A Parallel and an inline Map fail with the error of the branch that failed
//!   first, and cancel the others. A distributed Map fails with
//!   `States.ExceedToleratedFailureThreshold`.
//! - [`Execution::abort`], that is a time-out of the machine or a stop from
//!   outside, is caught by nothing and runs nothing more.

mod data;
mod execution;
mod fan;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use execution::Execution;

/// The longest cause that is kept, in bytes; AWS allows as many characters.
const CAUSE_LIMIT: usize = 32_768;

/// Names a call or a wait. No two of one execution are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(u64);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}", self.0)
    }
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Call a function, and report its end with [`Execution::complete`].
    Call {
        /// Names this call.
        id: StepId,
        /// The function's name or ARN.
        function: String,
        /// What to send it.
        payload: Value,
        /// When it has not answered after this long, it has failed with
        /// [`Failure::timeout`].
        timeout: Option<Duration>,
    },
    /// Wait, and report it with [`Execution::woke`].
    Wait {
        /// Names this wait.
        id: StepId,
        /// How long.
        until: Until,
    },
    /// Forget a call or wait: a sibling has failed. What comes of it is ignored.
    Cancel {
        /// The call or wait.
        id: StepId,
    },
    /// The execution has ended. Comes once; there are no steps after it.
    Finished(Result<Value, Failure>),
}

/// When a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// This long after the step was given.
    After(Duration),
    /// At this time, or at once when it has passed.
    At(jiff::Timestamp),
}

/// Why a call, or an execution, failed; as it appears in a state's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Failure {
    /// The name that retriers and catchers match.
    pub error: String,
    /// What happened, for people.
    pub cause: String,
}

impl Failure {
    /// A failure by this name, for this reason.
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: error.into(), cause: cause.into() }
    }

    /// A call, or a whole execution, that took longer than it may.
    #[must_use]
    pub fn timeout() -> Self {
        Self::new("States.Timeout", "")
    }

    /// Cuts an overlong cause, so that it cannot burst the payload it ends up in.
    fn shortened(mut self) -> Self {
        if self.cause.len() > CAUSE_LIMIT {
            let end = (0..=CAUSE_LIMIT).rev().find(|&at| self.cause.is_char_boundary(at));
            self.cause.truncate(end.unwrap_or(0));
        }
        self
    }

    fn into_value(self) -> Value {
        serde_json::json!({ "Error": self.error, "Cause": self.cause })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cause.is_empty() {
            f.write_str(&self.error)
        } else {
            write!(f, "{}: {}", self.error, self.cause)
        }
    }
}

impl std::error::Error for Failure {}

/// A state that was entered. Shows as its path, such as
/// `Guard/0/Attack/3/Shards/17/Slices/0/EvenFire`: each Parallel or Map, the
/// number of the branch or item in it, and the state at last. A retry does not
/// enter its state again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    scope: Arc<str>,
    state: Arc<str>,
}

impl Entered {
    /// The state's own name.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }
}

impl fmt::Display for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scope, self.state)
    }
}
