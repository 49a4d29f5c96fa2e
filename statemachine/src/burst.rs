//! What a sudden burst does to a target: shed or queued, and how soon over.
//!
//! The load is a baseline, a spike, and the baseline again. Moments are by when
//! requests were *due*, so a second of the spike says what became of those who
//! came in it, however long they waited.
//!
//! # What gave way
//!
//! A target that cannot serve all who come either refuses some (*shed*) or
//! lets them wait (*queued*). Most do a bit of both: a bounded queue fills first,
//! and refuses then. What became of the excess decides: those who are refused
//! do not wait, so a burst of which a hundredth or more was refused was shed, and
//! one that merely took longer was queued. A request that timed out was not
//! refused; it waited for longer than its caller.
//!
//! # When it is over
//!
//! At the first second after the spike that is as good as before, if so are
//! four in five of those that begin with it, and four in five of all to the end.
//! What is as good as before, the baseline says (`burst/baseline.rs`). A target that is not
//! may still be on its way (`burst/trend.rs`).

mod baseline;
mod trend;

use serde::{Deserialize, Serialize};

use self::baseline::Baseline;
use self::trend::is_getting_better;

/// The fewest seconds of baseline with a p99, and the fewest after the spike.
pub const MIN_SECONDS: usize = 5;

/// As good as before is this ratio of the baseline's p99 or less.
pub const WITHIN: f64 = 1.1;

/// A burst is shed when at least this ratio of it was refused.
pub const SHED: f64 = 0.01;

/// A burst is queued when its p99 reaches this ratio of the baseline's.
pub const QUEUED: f64 = 2.0;

/// Of the seconds from a recovery to the end, how many must be as good as before.
const LASTING: f64 = 0.8;

/// The same of the [`MIN_SECONDS`] that begin with it.
const AT_ONCE: usize = 4;

/// Which part of the burst requests were due in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before it, once warmed up.
    Base,
    /// The burst itself.
    Spike,
    /// After it, at the rate from before.
    Recover,
}

/// One second, by when requests were due.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Seconds from the start of the load.
    pub at_s: f64,
    /// Which part it belongs to.
    pub phase: Phase,
    /// Requests due, but for those that the generator could not send for reasons of
    /// its own: they say nothing of the target.
    pub scheduled: u64,
    /// Of these, completed.
    pub completed: u64,
    /// Of these, failed, timed out or dropped.
    pub errors: u64,
    /// Of the errors, those that timed out, or were never sent because no
    /// connection came free: they waited.
    pub waited: u64,
    /// Response time, in milliseconds, of completed and timed-out requests.
    pub p99: Option<f64>,
}

/// What became of the excess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GaveWay {
    /// Nothing: the burst was served like the baseline.
    Nothing,
    /// It was refused.
    Shed,
    /// It waited.
    Queued,
}

/// Whether the target is as good as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Recovered,
    /// Not yet, and it was still getting better when the load ended.
    Recovering,
    /// It is not, and it was not getting better: a metastable failure.
    NeverRecovered,
    /// Too little was seen, or the generator was the bottleneck.
    NoEvidence,
}

/// What a burst did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Burst {
    /// Whether the target is as good as before.
    pub verdict: Verdict,
    /// What became of the excess.
    pub gave_way: Option<GaveWay>,
    /// The p99 of the baseline, in milliseconds: the median of its seconds.
    pub baseline_p99_ms: Option<f64>,
    /// From the start of the spike to the first second with a larger error ratio
    /// than is usual in the baseline, in seconds.
    pub first_error_s: Option<f64>,
    /// The largest p99 of a second from the start of the spike on, in
    /// milliseconds.
    pub peak_p99_ms: Option<f64>,
    /// Requests of the spike that were refused, beyond what the baseline refuses,
    /// as a ratio of the spike.
    pub shed_ratio: Option<f64>,
    /// From the end of the spike to the second that was as good as before, in
    /// seconds.
    pub recovery_s: Option<f64>,
    /// Whether there was such a second.
    pub recovered: bool,
    /// From the start of the spike until there were more instances, in seconds, where a
    /// resource counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaled_out_s: Option<f64>,
    /// Why there is no evidence, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a burst did, from its moments in the order of time. Those of a warm-up
/// are to be left out.
#[must_use]
pub fn judge(moments: &[Moment]) -> Burst {
    let of = |phase: Phase| -> Vec<&Moment> {
        moments.iter().filter(|moment| moment.phase == phase && moment.scheduled > 0).collect()
    };
    let (base, spike, after) = (of(Phase::Base), of(Phase::Spike), of(Phase::Recover));
    let baseline = match Baseline::of(&base) {
        Some(baseline) if !spike.is_empty() && after.len() >= MIN_SECONDS => baseline,
        _ => {
            return no_evidence(format!(
                "{} seconds of baseline, {} of spike and {} after it are too few; it takes {MIN_SECONDS}, 1 and {MIN_SECONDS}",
                base.iter().filter(|moment| moment.p99.is_some()).count(),
                spike.len(),
                after.len()
            ));
        }
    };
    let burst = || spike.iter().chain(&after).copied();
    let first_error = burst().find(|moment| error_ratio(moment) > baseline.most_errors(moment));
    let peak = burst().filter_map(|moment| moment.p99).max_by(f64::total_cmp);
    let shed_ratio = baseline.refused_beyond(&spike);
    let back = recovery(&after, &baseline);
    let (from, until) = (spike[0].at_s, after[0].at_s);
    Burst {
        verdict: match back {
            Some(_) => Verdict::Recovered,
            None if is_getting_better(&after, &baseline) => Verdict::Recovering,
            None => Verdict::NeverRecovered,
        },
        gave_way: Some(gave_way(shed_ratio, peak, &spike, &baseline)),
        baseline_p99_ms: Some(baseline.p99),
        first_error_s: first_error.map(|moment| moment.at_s - from),
        peak_p99_ms: peak,
        shed_ratio: Some(shed_ratio),
        recovery_s: back.map(|moment| moment.at_s - until),
        recovered: back.is_some(),
        scaled_out_s: None,
        reason: None,
    }
}

/// Nothing is said of a burst, for this reason.
pub(crate) fn no_evidence(reason: String) -> Burst {
    Burst {
        verdict: Verdict::NoEvidence,
        gave_way: None,
        baseline_p99_ms: None,
        first_error_s: None,
        peak_p99_ms: None,
        shed_ratio: None,
        recovery_s: None,
        recovered: false,
        scaled_out_s: None,
        reason: Some(reason),
    }
}

fn gave_way(shed_ratio: f64, peak: Option<f64>, spike: &[&Moment], baseline: &Baseline) -> GaveWay {
    let waited = ratio(spike, |moment| moment.waited);
    if shed_ratio >= SHED && shed_ratio >= waited {
        GaveWay::Shed
    } else if waited >= SHED || peak.is_some_and(|peak| peak >= QUEUED * baseline.p99) {
        GaveWay::Queued
    } else {
        GaveWay::Nothing
    }
}

/// The first second from which on all is as good as before.
fn recovery<'a>(after: &[&'a Moment], baseline: &Baseline) -> Option<&'a Moment> {
    let normal: Vec<bool> = after.iter().map(|moment| baseline.is_normal(moment)).collect();
    let like_most: Vec<bool> = after.iter().map(|moment| baseline.is_like_most(moment)).collect();
    let good = |seconds: &[bool]| seconds.iter().filter(|good| **good).count();
    let is_recovered = |start: &usize| {
        let rest = &normal[*start..];
        rest.len() >= MIN_SECONDS
            && rest[0]
            && good(&rest[..MIN_SECONDS]) >= AT_ONCE
            && good(rest) as f64 >= LASTING * rest.len() as f64
            && good(&like_most[*start..]) * 2 >= rest.len()
    };
    (0..after.len()).find(is_recovered).map(|start| after[start])
}

fn error_ratio(moment: &Moment) -> f64 {
    moment.errors as f64 / moment.scheduled as f64
}

fn refused(moments: &[&Moment]) -> f64 {
    ratio(moments, |moment| moment.errors.saturating_sub(moment.waited))
}

/// So many of all that were scheduled, 0–1; 0 of none.
fn ratio(moments: &[&Moment], count: fn(&Moment) -> u64) -> f64 {
    let scheduled: u64 = moments.iter().map(|moment| moment.scheduled).sum();
    let counted: u64 = moments.iter().map(|moment| count(moment)).sum();
    counted as f64 / scheduled.max(1) as f64
}

/// The middle of sorted values, the lower of two.
fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests;
