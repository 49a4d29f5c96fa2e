//! What is normal for a target: its baseline, before the burst.
//!
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

use super::{MIN_SECONDS, Moment, WITHIN, error_ratio, median, ratio, refused};

/// How many standard deviations above its median a second of the baseline may
/// be. The median absolute deviation of a normal distribution is 0.6745 of its
/// standard deviation.
const DEVIATIONS: f64 = 3.0 / 0.6745;

/// The same of a share of errors, whose standard deviation is known.
pub(super) const ERROR_DEVIATIONS: f64 = 3.0;

/// Of so many seconds of the baseline, one may have any share of errors.
const LEFT_OUT: usize = 20;

/// What is normal.
pub(super) struct Baseline {
    /// The median second's, in milliseconds.
    pub(super) p99: f64,
    /// The most that counts as normal, in milliseconds.
    pub(super) normal_p99: f64,
    /// Errors ÷ scheduled, 0–1, its worst seconds left out,
    pub(super) error_ratio: f64,
    /// and the largest of a second.
    largest_error_ratio: f64,
    /// That of the median second, of all.
    median_error_ratio: f64,
    /// Refused ÷ scheduled over all seconds, 0–1.
    refused: f64,
}

impl Baseline {
    pub(super) fn of(base: &[&Moment]) -> Option<Self> {
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

    pub(super) fn is_normal(&self, moment: &Moment) -> bool {
        let quick = moment.p99.is_some_and(|p99| p99 <= self.normal_p99);
        quick && error_ratio(moment) <= self.most_errors(moment)
    }

    /// The largest error ratio that counts as normal in a second.
    pub(super) fn most_errors(&self, moment: &Moment) -> f64 {
        self.largest_error_ratio.max(with_margin(self.error_ratio, moment))
    }

    /// Whether a second fails no more than the median one did.
    pub(super) fn is_like_most(&self, moment: &Moment) -> bool {
        error_ratio(moment) <= with_margin(self.median_error_ratio, moment)
    }

    pub(super) fn refused_beyond(&self, spike: &[&Moment]) -> f64 {
        (refused(spike) - self.refused).max(0.0)
    }
}

/// The share of errors that a second may have by chance where all fail at a ratio.
fn with_margin(ratio: f64, moment: &Moment) -> f64 {
    let variance = ratio * (1.0 - ratio) / moment.scheduled as f64;
    ratio + ERROR_DEVIATIONS * variance.max(0.0).sqrt()
}
