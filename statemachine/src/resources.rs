//! What probes read of a target's resources beside the load.
//!
//! A probe reads the sources that an attack names at a fixed interval. What it
//! reads travels in the windows of the worker that reads, the first: more readers
//! would be a load of their own. Readings are levels: what a source counts up, such
//! as seconds of CPU, is turned into a rate before it gets here.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::load::Load;
use crate::regression::MIN_SAMPLES;
use crate::units::display_duration;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Processors in use, on average since the reading before: 1.5 is one and a half.
    /// In percent where the source knows no number of processors; its capacity is 100
    /// then.
    Cpu,
    /// Bytes in use, or percent likewise.
    Memory,
    /// File descriptors open.
    Descriptors,
    /// Instances that serve: what an autoscaler changes.
    Instances,
    /// Anything else, by the name that its source has for it: its value, or its
    /// increase per second when it is a counter.
    Series(String),
}

impl Metric {
    /// The name in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::Instances => "instances",
            Self::Series(name) => name,
        }
    }
}

/// Where something was read: positions in the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The attack's index.
    pub attack: u32,
    /// The index within its `resources`.
    pub resource: u32,
}

/// One value of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// When it was read, in microseconds from the start of the load.
    pub at: u64,
    /// What.
    pub metric: Metric,
    /// In the metric's unit; a finite number.
    pub value: f64,
    /// At what value it is full, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<f64>,
}

/// A time at which a source could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Miss {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// When, in microseconds from the start of the load.
    pub at: u64,
    /// Why, as a clause: `connection refused`.
    pub why: String,
}

/// What of a config is read too seldom to say anything of its steps: a sentence for each
/// resource.
#[must_use]
pub fn read_too_seldom(config: &Config) -> Vec<String> {
    let mut sentences = Vec::new();
    for attack in config.attacks() {
        let counted = match &attack.load {
            Load::Steps { each, .. } => *each,
            Load::Search(search) => search.step().saturating_sub(search.warm_up()),
            _ => continue,
        };
        for probe in &attack.resources {
            // A reading stands for the time since the one before it, and of so many
            // intervals one is cut by the beginning of the step.
            let takes = probe.every * (MIN_SAMPLES + 1);
            if takes > counted {
                sentences.push(format!(
                    "resource {:?} of attack {:?} is read every {}, and {} of a step count: it takes {MIN_SAMPLES} readings that lie wholly in a step, so nothing may be said of what load does to it; make that {} or more",
                    probe.name,
                    attack.name,
                    display_duration(probe.every),
                    display_duration(counted),
                    display_duration(takes)
                ));
            }
        }
    }
    sentences
}
