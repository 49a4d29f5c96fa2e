//! Names of a run and of what belongs to it.
//!
//! A run id becomes a Step Functions execution name and part of function and
//! schedule names, so it obeys the strictest of their rules: at most 40 of
//! `a–z`, `0–9` and `-`. See <https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html>
//! (function names end at 64 characters).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest run id, in characters.
pub const RUN_ID_MAX: usize = 40;

/// What every function of every run is called by, so that a janitor can list them.
pub const FUNCTION_PREFIX: &str = "deathstar-w-";

/// What the schedules are called by that tear runs down which nothing else has.
pub const SWITCH_PREFIX: &str = "run-";

/// The longest name of a schedule: a run id is made of it, and of a minute.
pub const SCHEDULE_NAME_MAX: usize = RUN_ID_MAX - "-20261124-0550".len();

/// Why a text is no schedule name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no name of a schedule: use 1 to {SCHEDULE_NAME_MAX} of a-z, 0-9 and -")]
pub struct ScheduleNameError(String);

/// A schedule that starts runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScheduleName(String);

impl ScheduleName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The run of the tick that was due at `time`; ticks are whole minutes.
    #[must_use]
    pub fn run(&self, time: jiff::Timestamp) -> RunId {
        RunId(format!("{self}-{}", time.strftime("%Y%m%d-%H%M")))
    }
}

impl fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ScheduleName {
    type Err = ScheduleNameError;
    fn from_str(text: &str) -> Result<Self, ScheduleNameError> {
        if is_id(text, SCHEDULE_NAME_MAX) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ScheduleNameError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for ScheduleName {
    type Error = ScheduleNameError;
    fn try_from(text: String) -> Result<Self, ScheduleNameError> {
        text.parse()
    }
}

impl From<ScheduleName> for String {
    fn from(name: ScheduleName) -> Self {
        name.0
    }
}

fn is_id(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Why a text is no run id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no run id: use 1 to {RUN_ID_MAX} of a-z, 0-9 and -")]
pub struct RunIdError(String);

/// One execution of a config.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// A run id that says what ran and when, for example
    /// `quickstart-20261124-055022-x7k2`. `name` is shortened and cleaned.
    #[must_use]
    pub fn of(name: &str, started: jiff::Timestamp, salt: u32) -> Self {
        let stamp = started.strftime("%Y%m%d-%H%M%S");
        let mut salt_text = String::new();
        let mut rest = salt;
        for _ in 0..4 {
            // 32 letters that are not mistaken for one another.
            salt_text.push(char::from(b"abcdefghjkmnpqrstuvwxyz023456789"[(rest % 32) as usize]));
            rest /= 32;
        }
        let mut clean = String::new();
        for c in name.chars().flat_map(char::to_lowercase) {
            if c.is_ascii_alphanumeric() {
                clean.push(c);
            } else if !clean.is_empty() && !clean.ends_with('-') {
                clean.push('-');
            }
        }
        clean.truncate(RUN_ID_MAX - 21);
        let clean = clean.trim_matches('-');
        let clean = if clean.is_empty() { "run" } else { clean };
        Self(format!("{clean}-{stamp}-{salt_text}"))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of this run's worker function number `fleet`.
    #[must_use]
    pub fn function_name(&self, fleet: u32) -> String {
        format!("{FUNCTION_PREFIX}{self}-{fleet}")
    }

    /// The run that a worker function of this name belongs to.
    #[must_use]
    pub fn of_function(name: &str) -> Option<Self> {
        let (run, _fleet) = name.strip_prefix(FUNCTION_PREFIX)?.rsplit_once('-')?;
        run.parse().ok()
    }

    /// The name of the schedule that tears this run down if nothing else has.
    #[must_use]
    pub fn switch_name(&self) -> String {
        format!("{SWITCH_PREFIX}{self}")
    }

    /// The run that a schedule of this name tears down.
    #[must_use]
    pub fn of_switch(name: &str) -> Option<Self> {
        name.strip_prefix(SWITCH_PREFIX)?.parse().ok()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RunId {
    type Err = RunIdError;
    fn from_str(text: &str) -> Result<Self, RunIdError> {
        if is_id(text, RUN_ID_MAX) { Ok(Self(text.to_owned())) } else { Err(RunIdError(text.to_owned())) }
    }
}

impl TryFrom<String> for RunId {
    type Error = RunIdError;
    fn try_from(text: String) -> Result<Self, RunIdError> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

/// One invocation's worth of load: a slice of one worker's shard of a round.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SliceId {
    /// The run.
    pub run: RunId,
    /// The round within the run, from 0.
    pub round: u32,
    /// The worker's shard, from 0.
    pub shard: u32,
    /// The slice within the round, from 0.
    pub slice: u32,
}

impl fmt::Display for SliceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} round {} shard {} slice {}", self.run, self.round, self.shard, self.slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_fits_every_name_made_of_it() {
        let at: jiff::Timestamp = "2026-11-24T05:50:22Z".parse().unwrap();
        for name in
            ["quickstart", "", "Ünïcode & spaces!!", "a-very-long-name-that-goes-on-and-on-and-on-for-ever"]
        {
            let id = RunId::of(name, at, u32::MAX);
            assert!(id.as_str().parse::<RunId>().is_ok(), "{id}");
            assert!(id.function_name(9999).len() <= 64, "{id}");
        }
        assert_eq!(RunId::of("Quick Start", at, 0).as_str(), "quick-start-20261124-055022-aaaa");
        let run: RunId = "a-b-3".parse().unwrap();
        assert_eq!(RunId::of_function(&run.function_name(12)), Some(run.clone()));
        assert_eq!(RunId::of_switch(&run.switch_name()), Some(run));
        let longest: ScheduleName = "n".repeat(SCHEDULE_NAME_MAX).parse().unwrap();
        assert_eq!(longest.run(at).as_str().len(), RUN_ID_MAX);
        assert!("Upper".parse::<RunId>().is_err());
        assert!("a".repeat(41).parse::<RunId>().is_err());
    }
}
