//! The part of the Amazon States Language that we accept.
//!
//! [`Definition::parse`] reads a state machine and refuses, by name and place,
//! every field and value that [`crate::interpreter`] does not carry out. So a
//! definition that parses here means the same thing here and on Step
//! Functions. The language is specified at <https://states-language.net/>;
//! where AWS differs from it, AWS is followed.
//!
//! Accepted, in plain JSONPath:
//!
//! | | |
//! |---|---|
//! | states | Task (`lambda:invoke`), Choice, Wait, Pass, Parallel, Map (inline and distributed), Succeed, Fail |
//! | data | `InputPath`, `Parameters`, `ItemSelector`, `ResultSelector`, `ResultPath`, `OutputPath` |
//! | paths | reference paths only: `$`, `$.a.b`, `$.a[0]`, and a few `$$.…` of the context |
//! | errors | `Retry` without jitter, `Catch`, `TimeoutSeconds` on a Task and on the machine |
//!
//! Refused on purpose, though AWS takes them: intrinsic functions, `JSONata`,
//! anything that needs a clock or a random number (`$$.State.EnteredTime`,
//! `JitterStrategy`), catching `States.Runtime` (it never is), and collecting
//! the result of a distributed Map that tolerates failures.
//!
//! This module owns types and their checks. What they do at run time is
//! [`crate::interpreter`]'s.

mod chain;
mod choice;
mod fields;
mod path;
mod recovery;
mod state;
mod substitute;
mod template;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

pub(crate) use chain::Chain;
pub(crate) use choice::{Comparison, Rule, Test};
pub(crate) use path::{Path, PathStep, ResultPath, Root};
pub(crate) use recovery::{DATA_LIMIT_EXCEEDED, RUNTIME};
pub(crate) use state::{Kind, MAX_SECONDS, Mode, Next, State, Task, Until, timestamp};
pub(crate) use template::Template;

use fields::Fields;
use path::Scope;

/// The definition of a run: the one description of the order of its steps.
///
/// Its one substitution is `ControllerFunction`, the name of the function that
/// handles every state but the workers'.
pub const ATTACK: &str = include_str!("../definition/attack.asl.json");

/// The most bytes a payload may have, as JSON in UTF-8: 256 KiB.
pub const PAYLOAD_LIMIT: usize = 262_144;

/// The longest an execution may last on AWS, in seconds: one year.
const YEAR_SECONDS: u64 = 31_536_000;

/// Why a text is no definition that we can run.
#[derive(Debug, Error)]
pub enum DefinitionError {
    /// The text is not JSON.
    #[error("the definition is not JSON")]
    Json(#[source] serde_json::Error),
    /// The text has a `${Name}` that nobody gave a value for.
    #[error("no value was given for the substitution ${{{name}}}")]
    Substitution {
        /// The name between the braces; empty when they are never closed.
        name: String,
    },
    /// A field that exists on AWS or nowhere, and that we do not carry out.
    #[error("{at}: field {field:?} is not implemented")]
    Field {
        /// Where it stands.
        at: String,
        /// Its name.
        field: String,
    },
    /// A field that must be there is not.
    #[error("{at}: field {field:?} is missing")]
    Missing {
        /// Where it should stand.
        at: String,
        /// Its name.
        field: String,
    },
    /// A field has a value that we do not carry out.
    #[error("{at}: field {field:?} is {value}; expected {expected}")]
    Value {
        /// Where it stands.
        at: String,
        /// Its name.
        field: String,
        /// What it is, as JSON.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// A state's successor does not exist beside it.
    #[error("{at}: there is no state {target:?} to go to")]
    UnknownState {
        /// Who names it.
        at: String,
        /// The name.
        target: String,
    },
    /// Two states have one name, which AWS refuses in the whole machine.
    #[error("two states are called {name:?}")]
    DuplicateState {
        /// The name.
        name: String,
    },
    /// No path leads to a state.
    #[error("state {name:?} is never reached")]
    Unreachable {
        /// The state.
        name: String,
    },
    /// No path leads from a state to an end.
    #[error("state {name:?} never comes to an end")]
    Endless {
        /// The state.
        name: String,
    },
}

/// A state machine that [`crate::interpreter::Execution`] can run.
#[derive(Debug)]
pub struct Definition {
    pub(crate) chain: Arc<Chain>,
    timeout: Option<Duration>,
}

impl Definition {
    /// Reads a definition from its JSON text, after each `${Name}` in it was
    /// replaced by the value that `substitutions` has for it.
    ///
    /// # Errors
    /// When the text is not JSON, uses what we do not implement, or does not
    /// hang together; the error says where.
    pub fn parse(text: &str, substitutions: &[(&str, &str)]) -> Result<Self, DefinitionError> {
        let text = substitute::substitute(text, substitutions)?;
        let json = serde_json::from_str(&text).map_err(DefinitionError::Json)?;
        let mut fields = Fields::of("the state machine", "", json)?;
        fields.comment()?;
        let timeout = fields.integer("TimeoutSeconds", 1..=YEAR_SECONDS)?.map(Duration::from_secs);
        let chain = Chain::parse(&mut fields, Scope::default(), &mut chain::Names::default())?;
        fields.finish()?;
        Ok(Self { chain: Arc::new(chain), timeout })
    }

    /// How long a whole execution may last. The driver watches it, and calls
    /// [`crate::interpreter::Execution::abort`] with `States.Timeout` after it.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

#[cfg(test)]
mod tests;
