//! How sure a percentile is: an interval by resampling windows.
//!
//! Requests within a second share its fate, a stall or a quiet moment, so they
//! are no independent samples, and neither are neighbouring seconds of a busy
//! target. So what is drawn again are blocks of consecutive windows, around the
//! end of the step into its beginning (the circular block bootstrap: D. N.
//! Politis and J. P. Romano, 1992), each as long as the cube root of their
//! number. Every draw of as many windows as there were is merged, and has its
//! percentile; the middle 95 % of those are the interval.
//!
//! With few blocks that is too narrow, as if a standard deviation were divided by
//! n rather than n − 1 and its quantile taken from the normal rather than from
//! Student's distribution. It is widened to make up for both: instead of the
//! probability α of each tail, it cuts off
//!
//! ```text
//! Φ(−t(α, n − 1) × √(n ÷ (n − 1)))        for n blocks
//! ```
//!
//! (the expanded percentile interval: T. Hesterberg, "What teachers should know
//! about the bootstrap", 2014, <https://arxiv.org/abs/1411.5279>).
//!
//! The same windows and the same seed give the same interval.

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;
use crate::mix::SplitMix64;
use crate::student;

/// The confidence of an interval, as a ratio.
pub const CONFIDENCE: f64 = 0.95;

/// The fewest windows in which anything was counted.
pub const MIN_WINDOWS: usize = 10;

/// The fewest requests on either side of the percentile: with fewer, what is
/// drawn again is always the same few.
pub const MIN_BEYOND: u64 = 10;

/// How often windows are drawn again: the ends of the interval are then known
/// to about a tenth of its width.
const DRAWS: usize = 1000;

/// An interval that holds a percentile with [`CONFIDENCE`], in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end.
    pub low_ms: f64,
    /// Its upper end.
    pub high_ms: f64,
}

/// The interval of the quantile `q` (above 0, below 1) of all times in
/// windows, which are those of one step in the order of time, each merged over
/// workers.
///
/// Nothing with fewer than [`MIN_WINDOWS`] windows, or fewer than
/// [`MIN_BEYOND`] times on either side of the quantile.
#[must_use]
pub fn interval(windows: &[Histogram], q: f64, seed: u64) -> Option<Interval> {
    let windows: Vec<&Histogram> = windows.iter().filter(|window| window.count() > 0).collect();
    let times = Times::of(&windows);
    let total: u64 = times.counts.iter().sum();
    let beyond = (1.0 - q).min(q) * total as f64;
    // A hundredth of 1,000 is 10, also when 1 − 0.99 comes out a bit below it.
    if windows.len() < MIN_WINDOWS || beyond.is_nan() || beyond < MIN_BEYOND as f64 - 1e-6 {
        return None;
    }
    let count = windows.len();
    let length = (1..=count).find(|length| length * length * length >= count)?;
    let mut random = SplitMix64(seed);
    let mut drawn: Vec<u64> = (0..DRAWS)
        .map(|_| {
            let mut weights = vec![0_u64; count];
            let mut left = count;
            while left > 0 {
                // Below the number of windows.
                let start = usize::try_from(random.below(count as u64)).unwrap_or(0);
                for window in 0..length.min(left) {
                    weights[(start + window) % count] += 1;
                }
                left -= length.min(left);
            }
            times.quantile(q, &weights)
        })
        .collect();
    drawn.sort_unstable();
    let tail = expanded_tail(count.div_ceil(length));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of draws")]
    let cut = ((tail * DRAWS as f64).round() as usize).min(DRAWS / 2 - 1);
    let millis = |micros: u64| micros as f64 / 1000.0;
    Some(Interval { low_ms: millis(drawn[cut]), high_ms: millis(drawn[DRAWS - 1 - cut]) })
}

/// The probability that each tail cuts off: see the module's formula.
fn expanded_tail(blocks: usize) -> f64 {
    let blocks = u32::try_from(blocks).unwrap_or(u32::MAX).max(2);
    let t = student::critical(1.0 - CONFIDENCE, blocks - 1);
    let blocks = f64::from(blocks);
    student::normal(-t * (blocks / (blocks - 1.0)).sqrt())
}

/// How often each window saw each time.
struct Times {
    /// By falling time: microseconds, the window, and how often.
    seen: Vec<(u64, usize, u64)>,
    /// How often each window saw what comes before every `stride`-th of those,
    /// so that a quantile is found without adding them all.
    before: Vec<Vec<u64>>,
    stride: usize,
    /// Of each window.
    counts: Vec<u64>,
}

impl Times {
    fn of(windows: &[&Histogram]) -> Self {
        let mut seen: Vec<(u64, usize, u64)> = Vec::new();
        for (index, window) in windows.iter().enumerate() {
            seen.extend(window.buckets().map(|(micros, count)| (micros, index, count)));
        }
        seen.sort_unstable_by(|a, b| b.cmp(a));
        // As much again as the times themselves, at most.
        let stride = windows.len().max(64);
        let mut counts = vec![0; windows.len()];
        let mut before = Vec::new();
        for some in seen.chunks(stride) {
            before.push(counts.clone());
            some.iter().for_each(|(_, window, count)| counts[*window] += count);
        }
        Self { seen, before, stride, counts }
    }

    /// The quantile of windows that count as often as their weights say, in
    /// microseconds, as [`Histogram::quantile_ms`] has it.
    fn quantile(&self, q: f64, weights: &[u64]) -> u64 {
        let weigh = |counts: &Vec<u64>| -> u64 {
            counts.iter().zip(weights).map(|(count, weight)| count * weight).sum()
        };
        let total = weigh(&self.counts);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 10⁹")]
        let billionths = (q * 1e9).round() as u128;
        let rank = (billionths * u128::from(total)).div_ceil(1_000_000_000).max(1);
        // How many are larger, at most.
        let beyond = total - u64::try_from(rank).unwrap_or(total).min(total);
        let chunk = self.before.partition_point(|before| weigh(before) <= beyond).saturating_sub(1);
        let mut larger = self.before.get(chunk).map_or(0, weigh);
        for (micros, window, count) in self.seen.iter().skip(chunk * self.stride) {
            larger += count * weights[*window];
            if larger > beyond {
                return *micros;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Uniform above 0, at most 1.
    fn uniform(random: &mut SplitMix64) -> f64 {
        ((random.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Exponential with a mean of one.
    fn exponential(random: &mut SplitMix64) -> f64 {
        -uniform(random).ln()
    }

    /// A window of so many times, in milliseconds.
    fn window(times: impl Iterator<Item = f64>) -> Histogram {
        let mut window = Histogram::window();
        times.for_each(|ms| window.record(Duration::from_secs_f64(ms / 1000.0)));
        window
    }

    /// In how many of 200 steps of 30 windows the interval holds the truth, as a
    /// ratio.
    fn coverage(q: f64, truth: f64, mut step: impl FnMut(&mut SplitMix64) -> Vec<Histogram>) -> f64 {
        let mut random = SplitMix64(2024);
        let steps = 200;
        let held = (0..steps).filter(|_| {
            let windows = step(&mut random);
            let interval = interval(&windows, q, random.next()).unwrap();
            (interval.low_ms..=interval.high_ms).contains(&truth)
        });
        held.count() as f64 / f64::from(steps)
    }

    // 95 % of 200 is 190, and chance alone leaves it between 92 % and 98 %.
    const CHANCE: std::ops::RangeInclusive<f64> = 0.92..=0.985;

    #[test]
    fn intervals_of_independent_times_hold_the_truth() {
        // Exponential with a mean of 10 ms: the quantile q is −10 ln (1 − q).
        for q in [0.5, 0.9, 0.99] {
            let truth = -10.0 * (1.0_f64 - q).ln();
            let held = coverage(q, truth, |random| {
                (0..30).map(|_| window((0..100).map(|_| 10.0 * exponential(random)))).collect()
            });
            assert!(CHANCE.contains(&held), "p{}: {held}", q * 100.0);
        }
    }

    #[test]
    fn intervals_of_windows_that_share_their_fate_hold_the_truth() {
        // Each second is slow by a factor of its own, exponential, too. The time X
        // is a product of two exponentials, P(X > x) = 2 √x K₁(2 √x); its median
        // solves that for ½: at x = 0.39511 (of 10 ms).
        let held = coverage(0.5, 3.951_1, |random| {
            (0..30)
                .map(|_| {
                    let slow = 10.0 * exponential(random);
                    window((0..100).map(|_| slow * exponential(random)))
                })
                .collect()
        });
        assert!(CHANCE.contains(&held), "{held}");
    }

    #[test]
    fn intervals_of_windows_that_depend_on_each_other_hold_the_truth() {
        // Each second keeps half of how slow the last one was. The logarithm of a
        // time is normal around that of 10 ms, which is the median.
        let normal = |random: &mut SplitMix64| {
            (-2.0 * uniform(random).ln()).sqrt() * (2.0 * std::f64::consts::PI * uniform(random)).cos()
        };
        let held = coverage(0.5, 10.0, |random| {
            let mut slow = normal(random) / 0.75_f64.sqrt();
            (0..30)
                .map(|_| {
                    slow = 0.5 * slow + normal(random);
                    window((0..100).map(|_| 10.0 * (0.3 * slow + 0.3 * normal(random)).exp()))
                })
                .collect()
        });
        // Blocks of four of 30 windows see most of that, and not all.
        assert!((0.90..=0.985).contains(&held), "{held}");
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let mut random = SplitMix64(5);
        let windows: Vec<Histogram> =
            (0..20).map(|_| window((0..200).map(|_| 10.0 * exponential(&mut random)))).collect();
        let first = interval(&windows, 0.99, 1);
        assert_eq!(interval(&windows, 0.99, 1), first);
        assert_ne!(interval(&windows, 0.99, 2), first);
        // Windows in which nothing was due change nothing.
        let mut sparse = windows.clone();
        sparse.insert(3, Histogram::window());
        assert_eq!(interval(&sparse, 0.99, 1), first);
        let text = serde_json::to_string(&first).unwrap();
        assert!(text.starts_with(r#"{"low_ms":"#) && text.contains("high_ms"));
        assert_eq!(serde_json::from_str::<Option<Interval>>(&text).unwrap(), first);
    }

    #[test]
    fn too_little_has_no_interval() {
        let windows = vec![window((0..100).map(f64::from)); 10];
        assert!(interval(&windows, 0.99, 1).is_some(), "10 of 1,000 are beyond");
        assert_eq!(interval(&windows[..9], 0.5, 1), None);
        assert_eq!(interval(&windows, 0.991, 1), None);
        assert_eq!(interval(&windows, 0.009, 1), None);
        assert_eq!(interval(&windows, f64::NAN, 1), None);
        assert_eq!(interval(&[], 0.5, 1), None);
    }

    #[test]
    fn windows_that_are_all_alike_leave_no_doubt() {
        let windows = vec![window((1..=100).map(f64::from)); 30];
        let interval = interval(&windows, 0.9, 1).unwrap();
        assert!((interval.low_ms - interval.high_ms).abs() < f64::EPSILON);
        assert!((90.0..=90.9).contains(&interval.low_ms), "to 1 %");
    }

    #[test]
    fn the_tail_is_expanded_for_few_blocks() {
        // With 8 blocks t is 2.365: Φ(−2.365 × √(8 ÷ 7)) = Φ(−2.528) = 0.00573. With
        // very many it is the 2.5 % of the normal distribution.
        assert!((expanded_tail(8) - 0.005_73).abs() < 2e-5, "{}", expanded_tail(8));
        assert!((expanded_tail(1_000_000) - 0.025).abs() < 2e-4);
    }

    proptest! {
        /// Every window once is the merged histogram, and the interval is about it.
        #[test]
        fn every_window_once_is_the_percentile(
            windows in prop::collection::vec(prop::collection::vec(0.001_f64..100_000.0, 1..40), 1..20),
            q in 0.001_f64..0.999,
        ) {
            let windows: Vec<Histogram> = windows.iter().map(|times| window(times.iter().copied())).collect();
            let mut merged = Histogram::total();
            windows.iter().for_each(|window| merged.add(window));
            let all: Vec<&Histogram> = windows.iter().collect();
            let micros = Times::of(&all).quantile(q, &vec![1; windows.len()]);
            prop_assert_eq!(Some(micros as f64 / 1000.0), merged.quantile_ms(q));
            if let Some(interval) = interval(&windows, q, 9) {
                prop_assert!(interval.low_ms <= interval.high_ms);
                prop_assert!(merged.min_ms().unwrap() <= interval.high_ms);
                prop_assert!(interval.low_ms <= merged.max_ms().unwrap());
            }
        }
    }
}
