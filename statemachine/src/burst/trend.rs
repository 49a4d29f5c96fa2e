//! Whether a target that is not as good as before is on its way to be so.
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

use super::baseline::{Baseline, ERROR_DEVIATIONS};
use super::{MIN_SECONDS, Moment, error_ratio, median, ratio};
use crate::regression::Line;

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

/// Whether it is on its way to be as good as before.
pub(super) fn is_getting_better(after: &[&Moment], baseline: &Baseline) -> bool {
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
