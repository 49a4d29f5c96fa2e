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
//! As good as before means no more than 10 % above the baseline's p99, or three
//! standard deviations where that is more, since a p99 of one second varies by
//! itself; and no larger a share of errors than is usual in the baseline.
//! Both median and deviation are such that a stall in the baseline does not move
//! them (median absolute deviation ÷ 0.6745).
//!
//! Of errors, usual is what a second of the baseline has at most, its worst
//! second in twenty left out (one at least), or three standard deviations of a
//! binomial count above the ratio of those that are left. A target that was bad for
//! longer than that before the burst must not be so for ever after it: half of the
//! seconds from a recovery on must also have no more errors than the baseline's
//! median second, with the same margin.
//!
//! # When it is on its way
//!
//! A target that is not as good as before at the end may still be on its way:
//! a backlog drains, and each second is better than the last. One that is no
//! better is stuck under a load that it served before the burst, which is called a
//! metastable failure (N. Bronson et al., "Metastable failures in distributed
//! systems", 2021, <https://doi.org/10.1145/3458336.3465286>): it has *never
//! recovered*.
//!
//! What keeps such a target busy are callers who give up and come again. So
//! nobody is seen to wait for longer than they bear, or than our own timeout: after
//! a fall to there its p99 stays, give or take some noise, and its share of errors
//! stays, too. A backlog that drains falls, however slowly, until the end. Hence a
//! target is on its way when a line through its p99s, or through its error ratios,
//!
//! - falls over all seconds after the spike (p < 0.01), and over the later half
//!   of them (p < 0.05), for a fall that ended long ago is none; or over the later
//!   half alone (p < 0.001), since a backlog may grow until there are more instances,
//! - and comes to what is normal, as fast as in the later half, within twenty
//!   times the time that was watched: what falls more slowly may as well be flat,
//! - while the other of the two gets no worse, and requests are answered at
//!   all: those who fail at once leave the rest quick.

use serde::{Deserialize, Serialize};

use crate::regression::Line;

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

/// How many standard deviations above its median a second of the baseline may
/// be. The median absolute deviation of a normal distribution is 0.6745 of its
/// standard deviation.
const DEVIATIONS: f64 = 3.0 / 0.6745;

/// The same of a share of errors, whose standard deviation is known.
const ERROR_DEVIATIONS: f64 = 3.0;

/// Of so many seconds of the baseline, one may have any share of errors.
const LEFT_OUT: usize = 20;

/// How likely noise alone may be to give a line that falls like that over all
/// seconds after the spike.
const BY_CHANCE: f64 = 0.01;

/// The same over the later half of them, where all of them fall.
const STILL_BY_CHANCE: f64 = 0.05;

/// The same where they do not: a stricter one, since the noise of a busy queue
/// lasts for longer than a second, and the shorter a line, the more it follows.
const ALONE_BY_CHANCE: f64 = 0.001;

/// What falls must come to what is normal within so many times the time that was
/// watched.
const PATIENCE: f64 = 20.0;

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

/// What is normal.
struct Baseline {
    /// The median second's, in milliseconds.
    p99: f64,
    /// The most that counts as normal, in milliseconds.
    normal_p99: f64,
    /// Errors ÷ scheduled, 0–1, its worst seconds left out,
    error_ratio: f64,
    /// and the largest of a second.
    largest_error_ratio: f64,
    /// That of the median second, of all.
    median_error_ratio: f64,
    /// Refused ÷ scheduled over all seconds, 0–1.
    refused: f64,
}

impl Baseline {
    fn of(base: &[&Moment]) -> Option<Self> {
        let mut times: Vec<f64> = base.iter().filter_map(|moment| moment.p99).collect();
        times.sort_by(f64::total_cmp);
        if times.len() < MIN_SECONDS {
            return None;
        }
        let p99 = median(&times)?;
        let mut off: Vec<f64> = times.iter().map(|time| (time - p99).abs()).collect();
        off.sort_by(f64::total_cmp);
        let usual = p99 + DEVIATIONS * median(&off)?;
        let mut by_errors = base.to_vec();
        by_errors.sort_by(|a, b| error_ratio(a).total_cmp(&error_ratio(b)));
        let ratios: Vec<f64> = by_errors.iter().map(|moment| error_ratio(moment)).collect();
        let counted = base.len() - (base.len() / LEFT_OUT).max(1);
        Some(Self {
            p99,
            normal_p99: usual.max(p99 * WITHIN),
            error_ratio: ratio(&by_errors[..counted], |moment| moment.errors),
            largest_error_ratio: ratios[counted - 1],
            median_error_ratio: median(&ratios)?,
            refused: refused(base),
        })
    }

    fn is_normal(&self, moment: &Moment) -> bool {
        let quick = moment.p99.is_some_and(|p99| p99 <= self.normal_p99);
        quick && error_ratio(moment) <= self.most_errors(moment)
    }

    /// The largest error ratio that counts as normal in a second.
    fn most_errors(&self, moment: &Moment) -> f64 {
        self.largest_error_ratio.max(with_margin(self.error_ratio, moment))
    }

    /// Whether a second fails no more than the median one did.
    fn is_like_most(&self, moment: &Moment) -> bool {
        error_ratio(moment) <= with_margin(self.median_error_ratio, moment)
    }

    fn refused_beyond(&self, spike: &[&Moment]) -> f64 {
        (refused(spike) - self.refused).max(0.0)
    }
}

/// The share of errors that a second may have by chance where all fail at a ratio.
fn with_margin(ratio: f64, moment: &Moment) -> f64 {
    let variance = ratio * (1.0 - ratio) / moment.scheduled as f64;
    ratio + ERROR_DEVIATIONS * variance.max(0.0).sqrt()
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

/// Whether it is on its way to be as good as before.
fn is_getting_better(after: &[&Moment], baseline: &Baseline) -> bool {
    let third = (after.len() / 3).max(1);
    let (first, last) = (&after[..third], &after[after.len() - third..]);
    // A second in which nobody is answered is as slow as can be.
    if !median_p99(last).is_finite() {
        return false;
    }
    let times: Vec<(f64, f64)> = after.iter().filter_map(|moment| Some((moment.at_s, moment.p99?))).collect();
    let errors: Vec<(f64, f64)> = after.iter().map(|moment| (moment.at_s, error_ratio(moment))).collect();
    // What is normal already cannot get better, and need not.
    let was_slow = median_p99(first) > baseline.normal_p99;
    let had_errors = ratio(first, |moment| moment.errors) > baseline.most_errors(first[0]);
    let is_slower = rises(&times) && median_p99(last) > baseline.normal_p99;
    (was_slow && falls_to(&times, baseline.normal_p99) && !fails_more(first, last))
        || (had_errors && falls_to(&errors, baseline.error_ratio) && !is_slower)
}

/// Whether a line through seconds falls to its very end, and will come to a level
/// in a time that matters.
fn falls_to(points: &[(f64, f64)], level: f64) -> bool {
    // The later half, as far as that is enough for a line.
    let half = &points[points.len() - (points.len() / 2).max(MIN_SECONDS).min(points.len())..];
    let (Some(whole), Some(still)) = (Line::fit(points), Line::fit(half)) else { return false };
    let falls = |line: &Line, by_chance| line.slope < 0.0 && line.p_value() < by_chance;
    let is_falling =
        (falls(&whole, BY_CHANCE) && falls(&still, STILL_BY_CHANCE)) || falls(&still, ALONE_BY_CHANCE);
    let (from, until) = (points[0].0, points[points.len() - 1].0);
    is_falling && still.at(until) - level <= -still.slope * PATIENCE * (until - from)
}

fn rises(points: &[(f64, f64)]) -> bool {
    Line::fit(points).is_some_and(|line| line.slope > 0.0 && line.p_value() < BY_CHANCE)
}

/// Whether the share of errors is larger in later seconds than noise explains: by
/// more than three standard deviations of the difference of two binomial counts.
fn fails_more(earlier: &[&Moment], later: &[&Moment]) -> bool {
    let errors = |seconds: &[&Moment]| ratio(seconds, |moment| moment.errors);
    let scheduled =
        |seconds: &[&Moment]| seconds.iter().map(|moment| moment.scheduled).sum::<u64>().max(1) as f64;
    let (before, after) = (scheduled(earlier), scheduled(later));
    let both = (errors(earlier) * before + errors(later) * after) / (before + after);
    let variance = both * (1.0 - both) * (1.0 / before + 1.0 / after);
    errors(later) - errors(earlier) > ERROR_DEVIATIONS * variance.max(0.0).sqrt()
}

/// The median p99 of seconds; infinite when most of them have none.
fn median_p99(seconds: &[&Moment]) -> f64 {
    let mut times: Vec<f64> = seconds.iter().map(|moment| moment.p99.unwrap_or(f64::INFINITY)).collect();
    times.sort_by(f64::total_cmp);
    median(&times).unwrap_or(f64::INFINITY)
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mix::SplitMix64;

    /// A server that does 1,000 a second, under 400/s for 20 s, 2,000/s for 10 s
    /// and 400/s for 60 s. Requests that find more than `room` before them are
    /// refused; those that would wait for longer than `patience` seconds time out,
    /// and are served nevertheless.
    fn server(room: f64, patience: f64) -> Vec<Moment> {
        let mut backlog: f64 = 0.0;
        let second = |second: u32| {
            let phase = match second {
                0..20 => Phase::Base,
                20..30 => Phase::Spike,
                _ => Phase::Recover,
            };
            let due = if phase == Phase::Spike { 2000.0 } else { 400.0 };
            // What comes beyond the capacity waits, as far as there is room.
            let excess = backlog + due - 1000.0;
            let refused = (excess - room).max(0.0);
            backlog = excess.clamp(0.0, room);
            let wait = backlog / 1000.0;
            let gone = if wait > patience { due - refused } else { 0.0 };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
            let count = |number: f64| number as u64;
            Moment {
                at_s: f64::from(second),
                phase,
                scheduled: count(due),
                completed: count(due - refused - gone),
                errors: count(refused + gone),
                waited: count(gone),
                p99: Some(5.0 + wait.min(patience) * 1000.0),
            }
        };
        (0..90).map(second).collect()
    }

    #[test]
    fn an_unbounded_queue_is_queued_and_drains() {
        let burst = judge(&server(f64::INFINITY, f64::INFINITY));
        assert_eq!((burst.verdict, burst.gave_way), (Verdict::Recovered, Some(GaveWay::Queued)));
        // 10 s of 1,000/s too many are 10,000, and 600/s drain: 16.7 s.
        assert_eq!(burst.peak_p99_ms, Some(10_005.0));
        assert_eq!(burst.recovery_s, Some(16.0));
        assert_eq!((burst.first_error_s, burst.shed_ratio), (None, Some(0.0)));
        assert_eq!(burst.baseline_p99_ms, Some(5.0));
    }

    #[test]
    fn a_bounded_queue_sheds() {
        let burst = judge(&server(1500.0, f64::INFINITY));
        assert_eq!((burst.verdict, burst.gave_way), (Verdict::Recovered, Some(GaveWay::Shed)));
        // 1,000 wait after the first second, 500 more fit in the next; 8,500 of
        // 20,000 are refused, and 1,500 drain within 2.5 s.
        assert_eq!(burst.first_error_s, Some(1.0));
        assert_eq!(burst.shed_ratio, Some(0.425));
        assert_eq!(burst.peak_p99_ms, Some(1505.0));
        assert_eq!(burst.recovery_s, Some(2.0));
    }

    #[test]
    fn those_who_time_out_were_queued() {
        let burst = judge(&server(f64::INFINITY, 5.0));
        assert_eq!((burst.verdict, burst.gave_way), (Verdict::Recovered, Some(GaveWay::Queued)));
        // More than 5 s of backlog from the sixth second on.
        assert_eq!(burst.first_error_s, Some(5.0));
        assert_eq!((burst.shed_ratio, burst.peak_p99_ms), (Some(0.0), Some(5005.0)));
    }

    #[test]
    fn a_burst_within_the_capacity_is_none() {
        let mut moments = server(f64::INFINITY, f64::INFINITY);
        moments.iter_mut().for_each(|moment| moment.p99 = Some(5.0));
        let burst = judge(&moments);
        assert_eq!((burst.verdict, burst.gave_way), (Verdict::Recovered, Some(GaveWay::Nothing)));
        assert_eq!(burst.recovery_s, Some(0.0));
    }

    #[test]
    fn a_target_that_stays_bad_has_never_recovered() {
        // Retries keep it busy: half of all fail, and it takes seconds.
        let mut moments = server(f64::INFINITY, f64::INFINITY);
        for moment in moments.iter_mut().filter(|moment| moment.at_s >= 25.0) {
            let wobble = if moment.at_s % 3.0 == 0.0 { 400.0 } else { 0.0 };
            moment.p99 = Some(4000.0 + wobble);
            (moment.errors, moment.waited) = (moment.scheduled / 2, 0);
            moment.completed = moment.scheduled - moment.errors;
        }
        let burst = judge(&moments);
        assert_eq!(burst.verdict, Verdict::NeverRecovered);
        assert_eq!((burst.recovered, burst.recovery_s), (false, None));
        // Answers that are quick again are none when half of them are errors.
        moments.iter_mut().for_each(|moment| moment.p99 = Some(5.0));
        assert_eq!(judge(&moments).verdict, Verdict::NeverRecovered);
        // Nor does it get better where nothing at all is answered as it should be.
        for moment in moments.iter_mut().filter(|moment| moment.at_s >= 25.0) {
            (moment.p99, moment.errors, moment.completed) = (None, moment.scheduled, 0);
        }
        assert_eq!(judge(&moments).verdict, Verdict::NeverRecovered);
    }

    #[test]
    fn a_backlog_that_still_drains_is_not_called_stuck() {
        let moments = server(f64::INFINITY, f64::INFINITY);
        // 12 of the 16.7 s that it takes.
        let burst = judge(&moments[..42]);
        assert_eq!((burst.verdict, burst.recovered), (Verdict::Recovering, false));
    }

    /// The server above, with so many seconds after the spike, of which each has the p99
    /// and the share of errors that are given for it.
    fn recovering(seconds: u32, after: impl Fn(f64) -> (Option<f64>, f64)) -> Vec<Moment> {
        let mut moments = server(f64::INFINITY, f64::INFINITY);
        moments.truncate(30 + seconds as usize);
        for moment in moments.iter_mut().filter(|moment| moment.phase == Phase::Recover) {
            let (p99, errors) = after(moment.at_s - 30.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 400")]
            let errors = (errors * 400.0) as u64;
            (moment.p99, moment.errors, moment.completed) = (p99, errors, 400 - errors);
        }
        moments
    }

    #[test]
    fn a_backlog_that_drains_slowly_is_not_called_stuck() {
        // From 8.0 s to 6.1 s in 20 s: it takes a minute more.
        let slow = |second: f64| 8000.0 - 100.0 * second;
        let verdict = |moments: &[Moment]| judge(moments).verdict;
        assert_eq!(verdict(&recovering(20, |at| (Some(slow(at)), 0.0))), Verdict::Recovering);
        // Each second a little off, up and down.
        let wobble = |second: f64| if second % 2.0 == 0.0 { 1.01 } else { 0.99 };
        assert_eq!(verdict(&recovering(20, |at| (Some(slow(at) * wobble(at)), 0.0))), Verdict::Recovering);
        // A backlog that grew for 20 s, until there were more instances.
        let late = |at: f64| if at < 20.0 { 8000.0 + 100.0 * at } else { 10_000.0 - 200.0 * (at - 20.0) };
        assert_eq!(verdict(&recovering(40, |at| (Some(late(at)), 0.0))), Verdict::Recovering);
        // Errors that become fewer, from 60 % by 1 % a second, of what is quick otherwise.
        assert_eq!(verdict(&recovering(30, |at| (Some(5.0), 0.6 - 0.01 * at))), Verdict::Recovering);
        assert_eq!(verdict(&recovering(30, |at| (Some(5.0), 0.3 + 0.01 * at))), Verdict::NeverRecovered);
    }

    #[test]
    fn a_backlog_that_grows_has_never_recovered() {
        let verdict = |moments: &[Moment]| judge(moments).verdict;
        assert_eq!(verdict(&recovering(20, |at| (Some(6000.0 + 100.0 * at), 0.0))), Verdict::NeverRecovered);
        // Those who are left are quicker, since more and more fail: 10 to 48 %.
        assert_eq!(
            verdict(&recovering(20, |at| (Some(8000.0 - 100.0 * at), 0.1 + 0.02 * at))),
            Verdict::NeverRecovered
        );
        // In the end nobody is answered at all.
        let dies = |at: f64| if at < 14.0 { (Some(8000.0 - 300.0 * at), 1.0) } else { (None, 1.0) };
        assert_eq!(verdict(&recovering(20, dies)), Verdict::NeverRecovered);
    }

    #[test]
    fn what_falls_by_next_to_nothing_is_stuck() {
        // By 1 ms a second: it would take 2 h to be as good as before.
        assert_eq!(judge(&recovering(20, |at| (Some(8000.0 - at), 0.0))).verdict, Verdict::NeverRecovered);
    }

    #[test]
    fn a_queue_that_fell_to_what_callers_bear_is_stuck() {
        // The backlog of the spike drains within 8 s; then callers give up after 4 s, and
        // come again.
        let mut random = SplitMix64(11);
        let storm: Vec<f64> = (0..30)
            .map(|at| {
                (8000.0 - 500.0 * f64::from(at)).max(4000.0) * (0.98 + random.below(41) as f64 / 1000.0)
            })
            .collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 30")]
        let moments = recovering(30, |at| (Some(storm[at as usize]), 0.5));
        assert_eq!(judge(&moments).verdict, Verdict::NeverRecovered);
    }

    /// How many of 500 retry storms are not called stuck: about 4 s, and half of all fail,
    /// each second by up to a fifth more or less. So much of a second's noise stays for
    /// the next.
    fn rescued(seconds: u32, stays: f64) -> u32 {
        let mut random = SplitMix64(5);
        let mut next = |noise: &mut f64| {
            *noise = *noise * stays + random.below(401) as f64 / 1000.0 - 0.2;
            1.0 + *noise
        };
        let mut storm = || {
            let (mut times, mut errors) = (0.0, 0.0);
            let mut moments = recovering(seconds, |_| (None, 0.5));
            for moment in moments.iter_mut().filter(|moment| moment.phase == Phase::Recover) {
                moment.p99 = Some(4000.0 * next(&mut times));
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 400")]
                let failed = (200.0 * next(&mut errors)) as u64;
                (moment.errors, moment.completed) = (failed, 400 - failed);
            }
            u32::from(judge(&moments).verdict != Verdict::NeverRecovered)
        };
        (0..500).map(|_| storm()).sum()
    }

    #[test]
    fn noise_rescues_no_retry_storm() {
        for seconds in [5, 10, 25, 60] {
            // 1 % of either line by chance; a few more where noise lasts.
            let (short, lasting) = (rescued(seconds, 0.0), rescued(seconds, 0.5));
            assert!(short <= 10 && lasting <= 40, "{seconds} s: {short} and {lasting} of 500");
        }
    }

    #[test]
    fn a_bad_second_of_the_baseline_excuses_nothing() {
        // 30 % fail in one second before the burst, and 25 % in all from the burst on.
        let mut moments = server(f64::INFINITY, f64::INFINITY);
        for moment in &mut moments {
            moment.p99 = Some(5.0);
            let refused = if moment.phase == Phase::Base { 0 } else { moment.scheduled / 4 };
            (moment.errors, moment.completed) = (refused, moment.scheduled - refused);
        }
        (moments[7].errors, moments[7].completed) = (120, 280);
        let burst = judge(&moments);
        assert_eq!((burst.verdict, burst.first_error_s), (Verdict::NeverRecovered, Some(0.0)));
        // 25 % of the burst, less 120 of the baseline's 8,000.
        assert_eq!(burst.shed_ratio, Some(0.25 - 0.015));
        // Nor two in eight seconds.
        (moments[15].errors, moments[15].completed) = (120, 280);
        (moments[16].errors, moments[16].completed) = (120, 280);
        assert_eq!(judge(&moments[12..]).verdict, Verdict::NeverRecovered);
    }

    #[test]
    fn a_target_that_always_fails_a_little_is_as_good_as_before() {
        // Four of 400 fail in each second, a few more or fewer; in the spike, no more.
        let mut moments = server(f64::INFINITY, f64::INFINITY);
        let usual = [4, 2, 6, 3, 5, 4, 7, 1, 4, 4];
        for (moment, failed) in moments.iter_mut().zip(usual.into_iter().cycle()) {
            moment.p99 = Some(5.0);
            (moment.errors, moment.completed) = (failed, moment.scheduled - failed);
        }
        let burst = judge(&moments);
        assert_eq!((burst.verdict, burst.recovery_s), (Verdict::Recovered, Some(0.0)));
        assert_eq!((burst.first_error_s, burst.shed_ratio), (None, Some(0.0)));
        // Three standard deviations of 4 in 400 are 6: eleven are more than is usual.
        (moments[25].errors, moments[40].errors) = (55, 11);
        assert_eq!(judge(&moments).first_error_s, Some(5.0));
        moments[25].errors = 4;
        assert_eq!(judge(&moments).first_error_s, Some(20.0));
    }

    #[test]
    fn a_good_second_is_no_recovery() {
        let mut moments = server(f64::INFINITY, f64::INFINITY);
        for moment in moments.iter_mut().filter(|moment| moment.at_s >= 30.0) {
            moment.p99 = Some(4000.0);
        }
        // Four good seconds at the very end, and one now and then.
        for at in [33, 47, 61, 86, 87, 88, 89] {
            moments[at].p99 = Some(5.0);
        }
        assert_eq!(judge(&moments).verdict, Verdict::NeverRecovered);
        // And one bad second is no relapse, nor a good one the end of the drain.
        let mut moments = server(f64::INFINITY, f64::INFINITY);
        moments[70].p99 = Some(50.0);
        moments[35].p99 = Some(5.0);
        moments[40].p99 = Some(5.0);
        assert_eq!(judge(&moments).recovery_s, Some(16.0));
        // But a relapse is one.
        for moment in moments.iter_mut().filter(|moment| moment.at_s >= 60.0) {
            moment.p99 = Some(4000.0);
        }
        assert_eq!(judge(&moments).verdict, Verdict::NeverRecovered);
    }

    #[test]
    fn a_noisy_baseline_is_not_held_to_its_median() {
        let mut moments = server(f64::INFINITY, f64::INFINITY);
        for moment in &mut moments {
            // Every tenth second is twice as slow, and one in a hundred fails.
            if moment.at_s % 10.0 == 0.0 {
                moment.p99 = moment.p99.map(|p99| p99 + 5.0);
                moment.errors += moment.scheduled / 100;
            }
        }
        let burst = judge(&moments);
        assert_eq!(burst.verdict, Verdict::Recovered);
        assert_eq!((burst.recovery_s, burst.first_error_s), (Some(16.0), None));
    }

    #[test]
    fn noise_hides_no_recovery() {
        // The p99 of each second is anything from 0.7 to 1.3 times what it should be.
        let mut random = SplitMix64(7);
        let (mut missed, mut late) = (0, 0);
        for _ in 0..500 {
            let mut moments = server(f64::INFINITY, f64::INFINITY);
            for moment in &mut moments {
                let noise = 0.7 + random.below(601) as f64 / 1000.0;
                moment.p99 = moment.p99.map(|p99| p99 * noise);
            }
            match judge(&moments).recovery_s {
                Some(time) => {
                    assert!(time >= 16.0, "{time}");
                    late += usize::from(time > 19.0);
                }
                None => missed += 1,
            }
        }
        assert!(missed <= 5 && late <= 5, "{missed} of 500 are missed, and {late} more than 3 s late");
    }

    #[test]
    fn too_little_is_no_evidence() {
        let moments = server(f64::INFINITY, f64::INFINITY);
        let burst = judge(&moments[16..]);
        assert_eq!((burst.verdict, burst.gave_way), (Verdict::NoEvidence, None));
        assert_eq!(
            burst.reason.as_deref(),
            Some("4 seconds of baseline, 10 of spike and 60 after it are too few; it takes 5, 1 and 5")
        );
        assert_eq!(judge(&moments[..34]).verdict, Verdict::NoEvidence);
        assert_eq!(judge(&moments[..20]).verdict, Verdict::NoEvidence);
        assert_eq!(judge(&[]).verdict, Verdict::NoEvidence);
    }

    #[test]
    fn its_json_has_the_names_of_the_report() {
        let burst = judge(&server(1500.0, f64::INFINITY));
        let json = serde_json::to_value(&burst).unwrap();
        assert_eq!(json["verdict"], "recovered");
        assert_eq!(json["gave_way"], "shed");
        for name in ["first_error_s", "peak_p99_ms", "shed_ratio", "recovery_s"] {
            assert!(json[name].is_f64(), "{name}");
        }
        assert_eq!(json["recovered"], true);
        assert_eq!(serde_json::from_value::<Burst>(json).unwrap(), burst);
    }

    /// 600/s drain what waits, down to the half of a request, 10 % of 5 ms, with which a
    /// second is as good as before. The second in which that happens is the recovery: it
    /// begins before, and not more than a second.
    fn drains_in_time(waits: f64, recovery_s: f64) -> Result<(), TestCaseError> {
        let drained = (waits - 0.5) / 600.0;
        // Floats are not exact where both meet.
        prop_assert!(
            (drained - 1.0 - 1e-9..drained + 1e-9).contains(&recovery_s),
            "{recovery_s} for {drained}"
        );
        Ok(())
    }

    #[test]
    fn half_a_request_is_no_delay() {
        // 16 s drain 9,600: with 0.1 request left the sixteenth is as good as before, with
        // 0.6 it is not, and with half it is.
        for (room, expected) in [(9_600.098_723_527_031, 15.0), (9600.6, 16.0), (1200.5, 1.0), (600.0, 0.0)] {
            let burst = judge(&server(room, f64::INFINITY));
            assert_eq!(burst.recovery_s, Some(expected), "{room}");
            drains_in_time(room, expected).unwrap();
        }
    }

    proptest! {
        /// The time to recover is that of the drain, whatever is queued.
        #[test]
        fn recovery_is_the_time_to_drain(room in 100.0_f64..20_000.0) {
            let burst = judge(&server(room, f64::INFINITY));
            prop_assert!(burst.recovered);
            drains_in_time(room.min(10_000.0), burst.recovery_s.unwrap())?;
        }

        /// Whatever was seen, ratios are ratios and a recovery is within the load.
        #[test]
        fn what_it_says_is_possible(
            seconds in prop::collection::vec((0_u64..1000, 0_u64..1000, prop::option::of(0.0_f64..1e5)), 0..60),
            spike in 0_usize..60,
            after in 0_usize..60,
        ) {
            let moment = |(index, (good, bad, p99)): (usize, &(u64, u64, Option<f64>))| Moment {
                at_s: index as f64,
                phase: match index {
                    _ if index < spike => Phase::Base,
                    _ if index < spike + after => Phase::Spike,
                    _ => Phase::Recover,
                },
                scheduled: good + bad,
                completed: *good,
                errors: *bad,
                waited: bad / 3,
                p99: *p99,
            };
            let moments: Vec<Moment> = seconds.iter().enumerate().map(moment).collect();
            let burst = judge(&moments);
            prop_assert_eq!(burst.recovered, burst.verdict == Verdict::Recovered);
            prop_assert_eq!(burst.recovered, burst.recovery_s.is_some());
            prop_assert!(burst.shed_ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
            prop_assert!(burst.recovery_s.is_none_or(|time| (0.0..60.0).contains(&time)));
            prop_assert!(burst.first_error_s.is_none_or(|time| time >= 0.0));
        }
    }
}
