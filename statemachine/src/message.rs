//! What the states of the definition say to one another.
//!
//! Messages carry references, never data: the config, the plan, windows and
//! the report stay in the run's table. A payload must stay far below the
//! 256 KiB of a Step Functions state at 10,000 workers; a test builds that
//! plan and measures every message.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::ids::{RunId, ScheduleName, SliceId};
use crate::plan::Plan;
use crate::report::Round;

/// What an execution starts with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Start {
    /// Someone's run.
    Run {
        /// The run to make.
        run: RunId,
        /// The config to run, already in the table.
        config: ConfigRef,
    },
    /// A schedule's.
    Tick {
        /// The schedule.
        schedule: ScheduleName,
        /// The time that it was due, which names the run, so that a tick that is
        /// delivered twice is one run. Where it is no time, the minute in which
        /// the execution started stands for it.
        tick: String,
        /// The config to run, already in the table.
        config: ConfigRef,
    },
}

impl Start {
    /// The run to make, by an execution that started at `started_at`.
    #[must_use]
    pub fn run(&self, started_at: Timestamp) -> RunId {
        match self {
            Self::Run { run, .. } => run.clone(),
            Self::Tick { schedule, tick, .. } => schedule.run(tick.parse().unwrap_or(started_at)),
        }
    }

    /// The config to run.
    #[must_use]
    pub const fn config(&self) -> &ConfigRef {
        match self {
            Self::Run { config, .. } | Self::Tick { config, .. } => config,
        }
    }
}

/// Where a config is in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRef {
    /// The config's name.
    pub name: String,
    /// Its version; what it says never changes.
    pub version: String,
}

/// Bytes of a digest that make a version: 2⁶⁴ of them are enough for the
/// configs of one name.
const VERSION_BYTES: usize = 8;

impl ConfigRef {
    /// Where this config belongs. Its version is taken from all that it says, so
    /// that the same config has the same place, and another one never does.
    ///
    /// # Panics
    /// When a config is no JSON, which it was read from.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let text = serde_json::to_vec(config).expect("a config is JSON");
        let digest = Sha256::digest(&text);
        let version = digest.iter().take(VERSION_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Self { name: config.name().to_owned(), version }
    }
}

/// A task of the state machine with its input, as the controller receives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task")]
pub enum Task {
    /// Claim the run; plan it.
    Plan(PlanInput),
    /// Create worker functions, ledger first.
    Provision(RunInput),
    /// Wait until they are active.
    AwaitFleet(RunInput),
    /// Decide on the next stretch of load.
    NextRound(RunInput),
    /// Say what comes after a slice that has lost its worker.
    NextSlice(SliceId),
    /// Look at a round that is over.
    Judge(RoundInput),
    /// Release everything in the ledger.
    TearDown(RunInput),
    /// Merge all, judge the promises, write the report.
    Report(ReportInput),
    /// Tear down and report a run whose execution cannot do it itself any more.
    Release(ReleaseInput),
    /// Look for what outlived its run, and release it.
    Janitor,
}

/// Input of `Plan`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanInput {
    /// The execution's name.
    pub execution: String,
    /// When it started.
    pub started_at: Timestamp,
    /// What the execution started with.
    pub input: Start,
}

/// Answer of `Plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanOutput {
    /// The run that was planned.
    pub run: RunId,
    /// Whether another execution has this run already; this one is then over.
    pub duplicate: bool,
}

/// Input of the tasks that need the run only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInput {
    /// The run.
    pub run: RunId,
}

/// Input of `Judge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundInput {
    /// The run.
    pub run: RunId,
    /// The round that is over.
    pub round: u32,
}

/// Answer of the tasks that have nothing to say: what they did is in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// Answer of `NextRound`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NextRoundOutput {
    /// The round to attack, from 0; when `done`, how many there were.
    pub round: u32,
    /// Whether no round is left.
    pub done: bool,
    /// How many slices each shard is cut into; 0 when done.
    pub slices: u32,
    /// When the chain of odd slices is invoked first.
    pub odd_at: Timestamp,
    /// Which function runs which shards.
    pub fleets: Vec<FleetShards>,
}

/// The shards of one worker function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetShards {
    /// The function's name.
    pub function: String,
    /// Its shards.
    pub shards: Vec<u32>,
}

/// Input of a worker: where to find its work.
pub type WorkerInput = SliceId;

/// Answer of a worker, and of `NextSlice` in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerOutput {
    /// The slice after the next one: even and odd slices are two chains.
    pub next: u32,
    /// Whether there is such a slice, and the run goes on.
    pub more: bool,
    /// When to invoke it.
    pub wake_at: Timestamp,
    /// Whether the run was stopped, and no worker of the shard is at work any
    /// more: what comes of the shard's slices need not be waited for.
    pub stopped: bool,
}

impl WorkerOutput {
    /// What comes after a slice: of its chain, the one after the next.
    #[must_use]
    pub fn after(plan: &Plan, round: &Round, slice: u32, stopped: bool) -> Self {
        let next = slice.saturating_add(2);
        let more = !stopped && next < round.slices;
        Self { next, more, wake_at: invoked_at(plan, round, if more { next } else { slice }), stopped }
    }
}

/// When a slice's worker is invoked: a lead before its load begins, so that it is
/// ready then.
#[must_use]
pub fn invoked_at(plan: &Plan, round: &Round, slice: u32) -> Timestamp {
    let start = SignedDuration::try_from(plan.slice.saturating_mul(slice)).unwrap_or(SignedDuration::ZERO);
    let lead = SignedDuration::try_from(plan.place.lead).unwrap_or(SignedDuration::ZERO);
    round.t0.saturating_add(start - lead).unwrap_or(round.t0)
}

/// Input of `Report`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportInput {
    /// The run.
    pub run: RunId,
    /// The execution's state; its `failure`, when there is one, is what the
    /// guard caught, its `tear_down_failure` what the tear-down did.
    pub state: Value,
}

/// An error name and its cause, as the States Language writes a caught error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaughtFailure {
    /// A stable name such as `DeathStar.Throttled`.
    #[serde(rename = "Error")]
    pub error: String,
    /// What happened.
    #[serde(rename = "Cause", default)]
    pub cause: String,
}

/// Input of `Release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseInput {
    /// The run.
    pub run: RunId,
    /// The name of the execution that has ended, when that is why: a run that
    /// another one has is none of its business. `None` when the run's own time has
    /// come, whoever has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
    /// What became of its execution. `None` when someone stopped it.
    pub failure: Option<CaughtFailure>,
}

/// Answer of `Janitor`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JanitorOutput {
    /// Runs that were overdue, and are torn down and reported now.
    pub released: Vec<RunId>,
    /// Functions and schedules that had outlived their run, and are gone now.
    pub deleted: Vec<String>,
    /// Worker functions among these whose time had passed: nothing before the
    /// janitor had deleted them.
    #[serde(default)]
    pub leaked: Vec<String>,
    /// Runs under way.
    pub live: Vec<RunId>,
}

impl ReportInput {
    /// What failed, if anything did: the run itself before its tear-down.
    #[must_use]
    pub fn failure(&self) -> Option<CaughtFailure> {
        let caught = |name: &str| serde_json::from_value(self.state.get(name)?.clone()).ok();
        caught("failure").or_else(|| caught("tear_down_failure"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> ConfigRef {
        ConfigRef::of(&Config::from_text(text, |_| Err(String::new())).unwrap())
    }

    #[test]
    fn a_version_is_what_a_config_says_and_not_how_it_is_written() {
        let yaml = "name: a\nattacks:\n  - { name: b, url: 'http://c.test/', rate: 5/s, duration: 10s }\n";
        let json = r#"{"attacks": [{"duration": "10s", "rate": "5/s", "url": "http://c.test/", "name": "b"}], "name": "a"}"#;
        let one = at(yaml);
        assert_eq!(one.name, "a");
        assert_eq!(one.version.len(), 16);
        assert!(one.version.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", one.version);
        assert_eq!(at(json), one);
        assert_ne!(at(&yaml.replace("5/s", "6/s")), one);
        let with_headers =
            |headers: &str| at(&yaml.replace("rate", &format!("headers: {{ {headers} }}, rate")));
        assert_ne!(with_headers("x: one, y: two"), with_headers("y: two, x: one"), "their order is sent");
    }
}
