//! What a run found, as its JSON says it (schema version 1).
//!
//! `report::merge` adds up what workers saw; `report::judge` decides what may
//! be concluded. This file is the shape that others build on: names are added,
//! never renamed. Ratios are 0–1, times are milliseconds, rates are per second;
//! a number that was never measured is `null`.

mod answers;
mod bursts;
mod capacity;
mod judge;
mod merge;
mod resources;
mod step;
mod stretch;
mod timeline;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use answers::{Answer, Confidence};
pub use capacity::{Capacity, GaveWay};
pub use merge::Merge;
pub use resources::ResourceReport;
pub use step::StepSeen;

use crate::bootstrap::Interval;
use crate::burst::Burst;
use crate::histogram::Histogram;
use crate::ids::RunId;
use crate::knee;
use crate::message::CaughtFailure;
use crate::regression::Binding;
use crate::scaling::Scaling;
use crate::search::{Outcome, Purpose, Step, Tried};
use crate::units::duration_text;
use crate::window::{self, Series, Tally};

/// The version of the report's shape.
pub const SCHEMA: u32 = 1;

/// The least coverage, as a ratio, under which nothing is promised.
pub const COVERAGE: f64 = 0.99;

/// A stretch of load between two decisions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// From 0.
    pub number: u32,
    /// Where it starts in the load, in microseconds.
    pub from: u64,
    /// Where it ends in the load, in microseconds.
    pub until: u64,
    /// The wall-clock time of `from`.
    pub t0: Timestamp,
    /// How many slices each shard is cut into.
    pub slices: u32,
    /// Whether its windows have been looked at, so that another may follow.
    pub judged: bool,
    /// Of a search: what is tried in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// What came of that, once it was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How long from its beginning the target may be busy with what was given up on in
    /// it; nothing where nothing was.
    #[serde(default, with = "duration_text")]
    pub busy: Duration,
}

impl Round {
    /// The step of a search that it was, once it is known what came of it.
    #[must_use]
    pub fn tried(&self) -> Option<Tried> {
        Some(Tried { step: self.step.clone()?, outcome: self.outcome.clone()? })
    }
}

/// Why a run stopped before its load was over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Stop {
    /// Ctrl-C, or the terminal went away.
    Interrupted,
    /// Someone asked for it.
    Requested,
    /// The config's `stop_if` came true for more than half of the workers.
    Condition {
        /// The condition.
        rule: String,
    },
    /// A worker could not send what the config asks for. What one lacks, a
    /// secret for example, all lack.
    Unable {
        /// What it lacks.
        why: String,
    },
}

/// How far a run had come when its report was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is over: all that was due has been, and whoever has not reported by
    /// now never will.
    Over,
    /// Its process was killed: the load reached no further than what it had
    /// written down.
    Killed,
    /// It goes on: neither has it reached its end, nor has it anything that it
    /// should have released.
    UnderWay,
}

/// How a slice of a shard ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceEnd {
    /// Where in the load its arrivals stopped, in microseconds: the slice's
    /// end, or earlier when the run was stopped.
    pub until: u64,
    /// Totals with three digits, by request; none when its windows stand for
    /// them.
    pub totals: Vec<Series>,
}

/// What may be concluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every promise held, and the evidence is whole.
    Passed,
    /// A promise broke, the run stopped itself, or nothing succeeded.
    Failed,
    /// The evidence does not carry a conclusion.
    Inconclusive,
}

impl Verdict {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// A run's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The run.
    pub run_id: RunId,
    /// The config's name.
    pub name: String,
    /// `embedded` or `aws`.
    pub mode: String,
    /// What may be concluded.
    pub verdict: Verdict,
    /// Why, in sentences.
    pub reasons: Vec<String>,
    /// What was asked, answered as far as the evidence goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    /// When the first request was due.
    pub started_at: Option<Timestamp>,
    /// How long requests were due, in seconds.
    pub duration_s: f64,
    /// Why it stopped early, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stop>,
    /// What the state machine caught, when the machinery itself failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<CaughtFailure>,
    /// How much of the run was seen.
    pub coverage: Coverage,
    /// How the generator itself did.
    pub generator: Generator,
    /// Every promise of every attack.
    pub slo: Vec<Promise>,
    /// In the config's order.
    pub attacks: Vec<AttackReport>,
    /// What it cost.
    pub cost: Cost,
    /// Ledger entries that could not be released.
    pub leaks: u64,
}

/// How much of the run was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Worker time that was reported ÷ worker time that was due, 0–1.
    pub ratio: f64,
    /// Worker time that was reported, in seconds.
    pub seen_s: f64,
    /// Worker time that was due, in seconds.
    pub due_s: f64,
    /// Workers that shared the load.
    pub workers: u32,
    /// Workers that never reported their end.
    pub workers_lost: u32,
}

/// Three points of a distribution, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    /// The median.
    pub p50: Option<f64>,
    /// The 99th percentile.
    pub p99: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
}

impl Lag {
    fn of(histogram: &Histogram) -> Self {
        Self { p50: histogram.quantile_ms(0.5), p99: histogram.quantile_ms(0.99), max: histogram.max_ms() }
    }
}

/// How the generator itself did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Whether it, rather than the target, was the bottleneck.
    pub limited: bool,
    /// Why, when it was.
    pub limits: Vec<String>,
    /// Lateness of our own making.
    pub pacing_lag_ms: Lag,
    /// Lateness of sending, the wait for a free connection included.
    pub send_lag_ms: Lag,
    /// The busiest worker thread's mean CPU time ÷ wall time, 0–1.
    pub cpu_ratio: Option<f64>,
    /// The most requests in flight at once, over all workers.
    pub in_flight_max: u64,
    /// The most descriptors open in one process.
    pub sockets_max: Option<u32>,
    /// Arrivals that were dropped for the generator's own reasons.
    #[serde(default)]
    pub unsent: u64,
    /// How many workers would have kept up, when these did not.
    pub workers_needed: Option<u32>,
}

/// A promise and whether it was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// The rule as written.
    pub rule: String,
    /// The attack it was judged on.
    pub attack: String,
    /// What was seen, in the rule's unit: milliseconds, a ratio, or per second.
    pub observed: Option<f64>,
    /// Whether it held.
    pub verdict: Verdict,
    /// Why it is inconclusive, when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The ledger of requests:
/// `scheduled = completed + failed + timed_out + dropped + lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrivals {
    /// Requests due.
    pub scheduled: u64,
    /// Responses that met their expectations.
    pub completed: u64,
    /// Any other response, or a transport error.
    pub failed: u64,
    /// Not done at their timeout.
    pub timed_out: u64,
    /// Due, never sent.
    pub dropped: u64,
    /// Due, and how they ended was never reported.
    pub lost: u64,
}

/// Requests per second, over the time in which the attack's requests were due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Due.
    pub scheduled: f64,
    /// Answered, with any status, before the load ended or within a second of
    /// being due.
    pub achieved: f64,
    /// Completed.
    pub succeeded: f64,
}

/// A distribution, in milliseconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Times {
    pub min: Option<f64>,
    pub mean: Option<f64>,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub p9999: Option<f64>,
    pub max: Option<f64>,
}

impl Times {
    fn of(histogram: &Histogram) -> Self {
        let quantile = |q| histogram.quantile_ms(q);
        Self {
            min: histogram.min_ms(),
            mean: histogram.mean_ms(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p999: quantile(0.999),
            p9999: quantile(0.9999),
            max: histogram.max_ms(),
        }
    }
}

/// Bytes on the wire, before encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// Requests: heads and bodies.
    pub sent: u64,
    /// Response bodies.
    pub received: u64,
}

/// Counts and times of an attack, or of one request kind within it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The attack's or the request's name.
    pub name: String,
    /// The ledger of requests.
    pub arrivals: Arrivals,
    /// Per second.
    pub rate: Rates,
    /// From intended to done, of completed and timed-out requests.
    pub response_time_ms: Times,
    /// From sent to done, of the same.
    pub service_time_ms: Times,
    /// From intended to done, of failed requests.
    pub failure_time_ms: Times,
    /// How long connections took to open: part of the service time of those requests
    /// that had one opened.
    #[serde(default)]
    pub connect_time_ms: Times,
    /// How long TLS took on them, likewise.
    #[serde(default)]
    pub tls_time_ms: Times,
    /// Responses by status.
    pub status_codes: BTreeMap<String, u64>,
    /// (failed + timed out + dropped) ÷ (scheduled − lost), 0–1.
    pub error_ratio: Option<f64>,
    /// Failed requests by class.
    pub errors: BTreeMap<String, u64>,
    /// Requests that were sent because an answer led on to them; the target sees them
    /// beside those in `arrivals`.
    #[serde(default, skip_serializing_if = "window::is_zero")]
    pub redirects: u64,
    /// On the wire.
    pub bytes: Bytes,
}

/// What one attack found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttackReport {
    /// All requests together.
    #[serde(flatten)]
    pub all: Measured,
    /// The load profile's name.
    pub profile: String,
    /// By request name, in the config's order.
    pub requests: Vec<Measured>,
    /// By second of the load, or by longer windows where many workers write.
    pub timeline: Vec<Moment>,
    /// By step, for profiles that have steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<CurvePoint>,
    /// The distribution of response times, for a picture.
    pub distribution: Vec<Column>,
    /// Of a search: what it found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// Of a burst profile: what became of the peak that it took worst.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// Where there are several peaks, each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bursts: Vec<Burst>,
    /// What was read of the target's resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceReport>,
    /// The resource that is full first as the rate rises, for profiles that have steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding_resource: Option<Binding>,
    /// At what level to scale out, where the config declares what is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Scaling>,
}

/// One second of an attack's timeline, by when requests were due; or more where
/// windows are longer, or the load lasts for over two hours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Seconds from the start of the load.
    pub at_s: f64,
    /// Requests due.
    pub scheduled: u64,
    /// Of these, completed.
    pub completed: u64,
    /// Of these, failed, timed out or dropped.
    pub errors: u64,
    /// Response time, in milliseconds.
    pub p50: Option<f64>,
    /// Response time, in milliseconds.
    pub p99: Option<f64>,
}

/// One step of a curve of latency against load. Of a step of a search, its warm-up is
/// left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Requests due per second.
    pub rate: f64,
    /// Answered per second, with any status, by when the answers came: what a step
    /// leaves behind and the next one's time answers does not count for it.
    pub achieved: f64,
    /// Of the requests due, how many per second were completed, however late.
    #[serde(default)]
    pub succeeded: f64,
    /// Response time, in milliseconds.
    pub p50: Option<f64>,
    /// Response time, in milliseconds.
    pub p99: Option<f64>,
    /// What holds the p50 with 95 % confidence; nothing with too few windows.
    #[serde(default)]
    pub p50_interval: Option<Interval>,
    /// The same of the p99.
    #[serde(default)]
    pub p99_interval: Option<Interval>,
    /// As in [`Measured::response_time_ms`], to two digits.
    #[serde(default)]
    pub response_time_ms: Times,
    /// As in [`Measured::service_time_ms`], to two digits.
    #[serde(default)]
    pub service_time_ms: Times,
    /// As in [`Measured::error_ratio`].
    pub error_ratio: Option<f64>,
    /// Of a search: what the step was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// Of a search: what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

impl CurvePoint {
    /// It, as a point of a curve that may have a knee.
    const fn knee_point(&self) -> knee::Point {
        knee::Point { rate: self.rate, achieved: self.served(), response_time_ms: self.p50 }
    }

    /// Requests served per second: neither refused, nor left to a later step.
    const fn served(&self) -> f64 {
        self.succeeded.min(self.achieved)
    }
}

/// (failed + timed out + dropped) ÷ (scheduled − lost): what is not lost has ended.
fn error_ratio(tally: &Tally) -> Option<f64> {
    let ended = tally.ended();
    (ended > 0).then(|| (ended - tally.completed) as f64 / ended as f64)
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}

/// One column of a distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its upper end, in milliseconds.
    pub up_to_ms: f64,
    /// How many requests fall in it.
    pub count: u64,
}

/// What a run cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// What its plan estimated, in US dollars; 0 on the user's own machine.
    pub estimated_usd: f64,
}
