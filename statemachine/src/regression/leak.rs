//! Whether a resource keeps growing though the load does not.
//!
//! Memory is no independent noise around a line: it goes up and down with
//! garbage collection, wanders, and fills caches. A plain regression of its
//! samples finds a slope in all of that. So the hold is cut into [`BLOCKS`] blocks,
//! each of which counts as one point (its mean), and a leak must pass four
//! questions:
//!
//! 1. Does the line through the blocks rise (t test)? Noise within a block does
//!    not count.
//! 2. Do the steps from block to block rise on average (t test)? What merely
//!    wanders, each block from the last, draws lines but does not pass this.
//! 3. Does it still rise in the second half, at least half as steeply? A cache
//!    that fills does not.
//! 4. Is it worth speaking of: over the hold, 1 % of the level or more, and more
//!    than readings stray from the line (their standard deviation)?
//!
//! A hold must see several rounds of garbage collection: in less than one,
//! memory does nothing but grow.

use serde::{Deserialize, Serialize};

use super::Line;
use crate::student;

/// How many blocks a hold is cut into.
pub const BLOCKS: usize = 10;

/// The fewest samples of a block.
const MIN_SAMPLES: usize = 3;

/// Noise alone passes a test about this often.
const SIGNIFICANCE: f64 = 0.01;

/// The least growth over the hold, as a ratio of the mean level.
const MIN_GROWTH: f64 = 0.01;

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds, from wherever.
    pub at_s: f64,
    /// In the resource's unit.
    pub value: f64,
}

/// What may be concluded of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakVerdict {
    /// It grows steadily, and noise does not explain it.
    Leaks,
    /// No steady growth shows.
    None,
    /// Too little was seen.
    NoEvidence,
}

/// A resource against time, under a load that stays the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leak {
    /// What may be concluded.
    pub verdict: LeakVerdict,
    /// Its slope, in its unit per hour.
    pub per_hour: Option<f64>,
    /// The interval that holds the slope with a confidence of 95 %. Without a
    /// leak its upper end says how small a one could have gone unseen.
    pub per_hour_interval: Option<[f64; 2]>,
    /// How likely noise alone is to rise so steadily, 0–1: the larger of both
    /// tests.
    pub p_value: Option<f64>,
    /// When it is full if it goes on, in hours from the end of the hold; nothing
    /// without a leak or without a limit.
    pub hours_to_exhaustion: Option<f64>,
    /// Why there is no evidence, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Looks for a leak in readings at a constant load, in any order. `hold` is when that
/// load began, warm-up left out, and when it ended, in seconds from where the readings'
/// are: what was read in a part of it only does not tell of all. `limit` is where the
/// resource is full, in its unit.
///
/// It takes three readings in each tenth of the hold, read anew each time: a
/// reading that a source repeats is no further evidence.
#[must_use]
pub fn leak(samples: &[Sample], hold: [f64; 2], limit: Option<f64>) -> Leak {
    let [start, end] = hold;
    let counts = |sample: &&Sample| (start..=end).contains(&sample.at_s) && sample.value.is_finite();
    let samples: Vec<Sample> = samples.iter().filter(counts).copied().collect();
    let span = end - start;
    let blocks = match blocks(&samples, start, span) {
        Ok(found) => found,
        Err(reason) => return no_evidence(reason),
    };
    let (Some(line), Some(late)) = (Line::fit(&blocks), Line::fit(&blocks[BLOCKS / 2..])) else {
        return no_evidence("no line passes through the readings".to_owned());
    };
    let p_value = rises(line.p_value(), line.slope).max(steps_rise(&blocks));
    let mean = blocks.iter().map(|(_, value)| *value).sum::<f64>() / blocks.len() as f64;
    let growth = line.slope * span;
    let leaks = p_value < SIGNIFICANCE
        && late.slope >= line.slope / 2.0
        && growth >= MIN_GROWTH * mean.abs()
        && growth >= strays(&samples, &line);
    // The last block is seen in its middle, and grows until the hold ends.
    let (seen_at, last) = blocks[BLOCKS - 1];
    let level = last + line.slope * (end - seen_at);
    let hours = limit.filter(|_| leaks).map(|limit| (limit - level).max(0.0) / (line.slope * 3600.0));
    let margin = line.margin();
    Leak {
        verdict: if leaks { LeakVerdict::Leaks } else { LeakVerdict::None },
        per_hour: Some(line.slope * 3600.0),
        per_hour_interval: Some([(line.slope - margin) * 3600.0, (line.slope + margin) * 3600.0]),
        p_value: Some(p_value),
        hours_to_exhaustion: hours.filter(|hours| hours.is_finite()),
        reason: None,
    }
}

fn no_evidence(reason: String) -> Leak {
    Leak {
        verdict: LeakVerdict::NoEvidence,
        per_hour: None,
        per_hour_interval: None,
        p_value: None,
        hours_to_exhaustion: None,
        reason: Some(reason),
    }
}

/// The standard deviation of readings from a line.
fn strays(samples: &[Sample], line: &Line) -> f64 {
    let squares: f64 = samples.iter().map(|sample| (sample.value - line.at(sample.at_s)).powi(2)).sum();
    (squares / samples.len() as f64).sqrt()
}

/// The mean time and value of each tenth of the hold; or why there are none.
fn blocks(samples: &[Sample], start: f64, span: f64) -> Result<Vec<(f64, f64)>, String> {
    let mut sums = vec![(0_u32, 0.0, 0.0); BLOCKS];
    for sample in samples {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10; NaN is 0")]
        let block = ((sample.at_s - start) / span * BLOCKS as f64) as usize;
        let (count, at, value) = &mut sums[block.min(BLOCKS - 1)];
        *count += 1;
        *at += sample.at_s;
        *value += sample.value;
    }
    let fewest = sums.iter().map(|(count, ..)| *count as usize).min().unwrap_or(0);
    if fewest < MIN_SAMPLES {
        return Err(format!(
            "{} readings leave {fewest} in one tenth of the hold; it takes {MIN_SAMPLES}",
            samples.len()
        ));
    }
    let mean = |&(count, at, value): &(u32, f64, f64)| (at / f64::from(count), value / f64::from(count));
    Ok(sums.iter().map(mean).collect())
}

/// The probability of one tail, for what can only be a leak if it rises.
fn rises(two_sided: f64, slope: f64) -> f64 {
    if slope > 0.0 { two_sided / 2.0 } else { 1.0 }
}

/// How likely noise alone is to make the steps between blocks rise so much on
/// average. Steps between the means of what wanders are correlated by ¼ (H.
/// Working, "Note on the correlation of first differences of averages in a random
/// chain", 1960), so their mean varies half as much again.
fn steps_rise(blocks: &[(f64, f64)]) -> f64 {
    let steps: Vec<f64> = blocks.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    let count = steps.len() as f64;
    let mean = steps.iter().sum::<f64>() / count;
    let variance = steps.iter().map(|step| (step - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let freedom = u32::try_from(steps.len() - 1).unwrap_or(u32::MAX);
    rises(student::two_sided(mean / (1.5 * variance / count).sqrt(), freedom), mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::SplitMix64;

    const HOUR: [f64; 2] = [0.0, 3600.0];

    fn leak(samples: &[Sample], limit: Option<f64>) -> Leak {
        super::leak(samples, HOUR, limit)
    }

    /// A hold of an hour, read every six seconds.
    fn hold(mut value: impl FnMut(f64) -> f64) -> Vec<Sample> {
        (0..600).map(|n| f64::from(n) * 6.0).map(|at_s| Sample { at_s, value: value(at_s) }).collect()
    }

    /// Uniform between −1 and 1.
    fn noise(random: &mut SplitMix64) -> f64 {
        (random.next() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    #[test]
    fn a_leak_is_found_and_so_is_its_end() {
        let mut random = SplitMix64(1);
        // 500 MiB and 100 more an hour, ± 5: full at 1,000 in 4 hours from the end.
        let leak = leak(&hold(|at| 500.0 + at / 36.0 + 5.0 * noise(&mut random)), Some(1000.0));
        assert_eq!(leak.verdict, LeakVerdict::Leaks);
        let per_hour = leak.per_hour.unwrap();
        assert!((per_hour - 100.0).abs() < 2.0, "{per_hour}");
        let [low, high] = leak.per_hour_interval.unwrap();
        assert!(low < 100.0 && 100.0 < high && high - low < 5.0, "{low} … {high}");
        let hours = leak.hours_to_exhaustion.unwrap();
        assert!((hours - 4.0).abs() < 0.1, "{hours}");
        assert!(leak.p_value.unwrap() < 1e-6);
    }

    #[test]
    fn hours_count_from_the_end_of_the_hold() {
        // 500 and 100 more an hour, exactly: 600 at its end, and 400 more take 4 hours.
        let leak = leak(&hold(|at| 500.0 + at / 36.0), Some(1000.0));
        assert!((leak.hours_to_exhaustion.unwrap() - 4.0).abs() < 1e-9, "{leak:?}");
    }

    #[test]
    fn what_was_seen_of_a_part_of_the_hold_is_no_evidence() {
        // The process died after five minutes: 51 readings.
        let leaking: Vec<Sample> =
            hold(|at| 500.0 + at).into_iter().filter(|sample| sample.at_s <= 300.0).collect();
        let cut = leak(&leaking, Some(1000.0));
        assert_eq!((cut.verdict, cut.hours_to_exhaustion), (LeakVerdict::NoEvidence, None));
        assert_eq!(cut.reason.as_deref(), Some("51 readings leave 0 in one tenth of the hold; it takes 3"));
        // Of a hold that long it is all, and what lies outside of it does not count.
        let outside = Sample { at_s: 900.0, value: 0.0 };
        let all: Vec<Sample> = leaking.into_iter().chain([outside]).collect();
        assert_eq!(super::leak(&all, [0.0, 300.0], None).verdict, LeakVerdict::Leaks);
    }

    #[test]
    fn a_leak_shows_through_garbage_collection() {
        // A sawtooth of 100 MiB every 80 s on 300 MiB, and 60 more an hour.
        let leak = leak(&hold(|at| 300.0 + at / 60.0 + at % 80.0 * 1.25), None);
        assert_eq!((leak.verdict, leak.hours_to_exhaustion), (LeakVerdict::Leaks, None));
        assert!((leak.per_hour.unwrap() - 60.0).abs() < 5.0);
    }

    /// How many of 500 holds of a kind are called a leak.
    fn called_a_leak(mut hold_of: impl FnMut(&mut SplitMix64) -> Vec<Sample>) -> usize {
        let mut random = SplitMix64(42);
        let leaks = |_: &i32| leak(&hold_of(&mut random), None).verdict == LeakVerdict::Leaks;
        (0..500).filter(leaks).count()
    }

    #[test]
    fn noise_is_not_called_a_leak() {
        // The tests allow one in a hundred each, and growth must be 1 % as well.
        let calm = called_a_leak(|random| hold(|_| 500.0 + 50.0 * noise(random)));
        assert!(calm <= 2, "{calm} of 500 calm ones");
        let sawtooth = called_a_leak(|random| {
            let (period, phase) = (100.0 + 400.0 * noise(random).abs(), 500.0 * noise(random).abs());
            hold(|at| 300.0 + (at + phase) % period / period * 200.0)
        });
        assert_eq!(sawtooth, 0, "of 500 sawtooth ones");
        // Each reading keeps 90 % of how far the last one was off.
        let lagging = called_a_leak(|random| {
            let mut off = 0.0;
            hold(|_| {
                off = 0.9 * off + 10.0 * noise(random);
                500.0 + off
            })
        });
        assert!(lagging <= 5, "{lagging} of 500 lagging ones");
        // A random walk is the worst: nothing pulls it back, and only the test of
        // its steps holds it off. In 6,000 it let 1.3 % pass.
        let wandering = called_a_leak(|random| {
            let mut off = 0.0;
            hold(|_| {
                off += noise(random);
                100.0 + off
            })
        });
        assert!(wandering <= 10, "{wandering} of 500 wandering ones");
    }

    #[test]
    fn a_cache_that_fills_is_no_leak() {
        // Full to 98 % at the end of the hold.
        let leak = leak(&hold(|at| 300.0 + 200.0 * (1.0 - (-at / 900.0).exp())), Some(1000.0));
        assert_eq!((leak.verdict, leak.hours_to_exhaustion), (LeakVerdict::None, None));
        assert!(leak.per_hour.unwrap() > 0.0);
    }

    #[test]
    fn growth_not_worth_speaking_of_is_none() {
        let slow = leak(&hold(|at| 500.0 + at / 3600.0), Some(1000.0));
        assert_eq!(slow.verdict, LeakVerdict::None);
        assert!((slow.per_hour.unwrap() - 1.0).abs() < 1e-6);
        let falling = leak(&hold(|at| 500.0 - at / 36.0), Some(1000.0));
        assert_eq!(falling.verdict, LeakVerdict::None);
        assert_eq!(leak(&hold(|_| 500.0), None).verdict, LeakVerdict::None);
    }

    #[test]
    fn few_readings_are_no_evidence() {
        let all = hold(|at| 500.0 + at);
        // Three in each 17.4 s but the last, which has those of 162 s and 168 s.
        let few = super::leak(&all[..29], [0.0, 174.0], Some(1000.0));
        assert_eq!(few.verdict, LeakVerdict::NoEvidence);
        assert!(few.reason.unwrap().starts_with("29 readings leave 2"));
        // A gap is a tenth of the hold without readings.
        let gap: Vec<Sample> = all.iter().copied().filter(|s| !(900.0..1800.0).contains(&s.at_s)).collect();
        assert!(leak(&gap, None).reason.unwrap().contains("leave 0 in one tenth"));
        let at_once = vec![Sample { at_s: 1.0, value: 1.0 }; 50];
        assert_eq!(leak(&at_once, None).verdict, LeakVerdict::NoEvidence);
        assert_eq!(super::leak(&at_once, [1.0, 1.0], None).verdict, LeakVerdict::NoEvidence);
        assert_eq!(leak(&[], None).verdict, LeakVerdict::NoEvidence);
    }

    #[test]
    fn its_json_says_what_it_is() {
        let leaks = leak(&hold(|at| 500.0 + at / 36.0), Some(1000.0));
        let json = serde_json::to_value(&leaks).unwrap();
        assert_eq!(json["verdict"], "leaks");
        assert!(json["per_hour"].is_f64() && json["hours_to_exhaustion"].is_f64());
        assert_eq!(serde_json::from_value::<Leak>(json).unwrap(), leaks);
    }
}
