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
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RunId {
    type Err = RunIdError;
    fn from_str(text: &str) -> Result<Self, RunIdError> {
        let valid = (1..=RUN_ID_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if valid { Ok(Self(text.to_owned())) } else { Err(RunIdError(text.to_owned())) }
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
        assert!("Upper".parse::<RunId>().is_err());
        assert!("a".repeat(41).parse::<RunId>().is_err());
    }
}
