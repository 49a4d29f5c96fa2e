//! Which requests one worker sends, and when: its share of an open attack.
//!
//! Even arrivals are the schedule itself, dealt out in turn: arrival `n` of the
//! whole attack belongs to worker `n mod N`. Any number of workers together send
//! the same requests at the same instants.
//!
//! Poisson arrivals come at random, as those of many independent callers do.
//! Each worker has a process of its own, with its part of the rate; together they
//! are a Poisson process of the whole rate. Every second of the attack is drawn by
//! itself from the seed, the worker and the second, so a worker may begin at any:
//!
//! ```text
//!   how many:  K ~ Poisson(∫ rate over that second ÷ N)
//!   when:      K instants, independent, with the rate as their density
//! ```
//!
//! Both use only operations that IEEE 754 defines to the last bit, so a controller
//! and a worker of different makes draw the same.

use std::iter;
use std::ops::Range;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::load::Load;
use crate::mix::SplitMix64;
use crate::schedule::{Schedule, Shard, micros};

/// How requests of an open load follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// Evenly, as the rate says.
    #[default]
    Even,
    /// At random, with the rate as their mean.
    Poisson,
}

/// A request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When, from the start of the attack.
    pub due: Duration,
    /// What decides which request it makes: see [`crate::mix::Mix::pick`].
    pub stream: u64,
    /// Its number in that stream.
    pub number: u64,
}

/// One worker's arrivals of one open attack.
#[derive(Debug, Clone)]
pub struct Process {
    schedule: Schedule,
    shard: Shard,
    arrivals: Spacing,
    seed: u64,
}

/// What is drawn at once, in microseconds.
const CELL: u64 = 1_000_000;

impl Process {
    /// The share of a worker; nothing in the closed model. `seed` is the attack's.
    #[must_use]
    pub fn of(load: &Load, arrivals: Spacing, shard: Shard, seed: u64) -> Option<Self> {
        Schedule::of(load).map(|schedule| Self { schedule, shard, arrivals, seed })
    }

    /// How many are due in a stretch of the attack, in microseconds from its start.
    /// Even ones are computed; Poisson ones are drawn, a second at a time.
    #[must_use]
    pub fn due_within(&self, stretch: Range<u64>) -> u64 {
        if self.arrivals == Spacing::Even {
            let before = |at| self.shard.share_of(self.schedule.due_before(at));
            return before(stretch.end).saturating_sub(before(stretch.start));
        }
        let end = stretch.end.min(self.schedule.duration());
        let cells = stretch.start / CELL..end.div_ceil(CELL);
        let count = |cell: u64| {
            if stretch.start <= cell * CELL && (cell + 1) * CELL <= end {
                return self.count(cell).1;
            }
            let within = |due: &Duration| stretch.contains(&micros(*due));
            self.draw(cell).into_iter().filter(within).count() as u64
        };
        cells.map(count).sum()
    }

    /// Those due at `at` or later, in microseconds from the attack's start, in the
    /// order in which they are due.
    #[must_use]
    pub fn since(&self, at: u64) -> Box<dyn Iterator<Item = Arrival> + '_> {
        match self.arrivals {
            Spacing::Even => {
                let mut n = self.shard.first_from(self.schedule.due_before(at));
                Box::new(iter::from_fn(move || {
                    let arrival = Arrival { due: self.schedule.due(n)?, stream: 0, number: n };
                    n += self.shard.stride();
                    Some(arrival)
                }))
            }
            Spacing::Poisson => {
                let cells = at / CELL..self.schedule.duration().div_ceil(CELL);
                let of_cell = move |cell: u64| {
                    let stream = self.seed_of(cell);
                    let arrival = move |(number, due)| Arrival { due, stream, number };
                    (0..).zip(self.draw(cell)).map(arrival)
                };
                Box::new(cells.flat_map(of_cell).skip_while(move |arrival| micros(arrival.due) < at))
            }
        }
    }

    /// Where a second's own random numbers begin.
    fn seed_of(&self, cell: u64) -> u64 {
        let of_shard = SplitMix64(self.seed ^ (u64::from(self.shard.index()) << 32)).next();
        SplitMix64(of_shard.wrapping_add(cell)).next()
    }

    /// How many are due in a second, and the random numbers that follow.
    fn count(&self, cell: u64) -> (SplitMix64, u64) {
        let mut random = SplitMix64(self.seed_of(cell));
        let mean = self.schedule.expected(cell * CELL..(cell + 1) * CELL) / self.shard.stride() as f64;
        let count = poisson(mean, &mut random);
        (random, count)
    }

    /// When those of a second are due, in order.
    fn draw(&self, cell: u64) -> Vec<Duration> {
        let (mut random, count) = self.count(cell);
        let second = cell * CELL..(cell + 1) * CELL;
        let mut due: Vec<Duration> =
            (0..count).filter_map(|_| self.schedule.at_random(second.clone(), &mut random)).collect();
        due.sort_unstable();
        due
    }
}

/// Draws from a Poisson distribution, by Knuth's multiplication of uniform numbers
/// (The Art of Computer Programming, vol. 2, §3.4.1). A large mean is a sum of
/// smaller ones, as the sum of independent Poisson numbers is one.
fn poisson(mean: f64, random: &mut SplitMix64) -> u64 {
    const PART: f64 = 16.0;
    let mut count = 0;
    let mut left = mean;
    while left > 0.0 {
        let limit = exp_minus(left.min(PART));
        left -= PART;
        let mut product = uniform(random);
        while product > limit {
            count += 1;
            product *= uniform(random);
        }
    }
    count
}

/// Uniform over (0, 1], in steps of 2⁻⁵³.
fn uniform(random: &mut SplitMix64) -> f64 {
    ((random.next() >> 11) + 1) as f64 / 9_007_199_254_740_992.0
}

/// e⁻ˣ for 0 ≤ x ≤ 16, to about 12 digits: a Taylor series of x ÷ 1024, squared ten
/// times. The system's own differs between systems in its last bit.
fn exp_minus(x: f64) -> f64 {
    let y = x / 1024.0;
    let mut power = (1..=7).rev().map(f64::from).fold(1.0, |rest, term| 1.0 - y / term * rest);
    for _ in 0..10 {
        power *= power;
    }
    power
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::units::Rate;

    fn shard(index: u32, of: u32) -> Shard {
        Shard::new(index, NonZeroU32::new(of).unwrap()).unwrap()
    }

    fn process(load: &Load, arrivals: Spacing, shard: Shard) -> Process {
        Process::of(load, arrivals, shard, 7).unwrap()
    }

    fn constant(rate: u32, seconds: u64) -> Load {
        Load::Constant { rate: Rate::per_second(rate), duration: Duration::from_secs(seconds) }
    }

    #[test]
    fn the_exponential_is_the_exponential() {
        // From tables: e⁻¹, e⁻¹⁶ and e⁻⁰·⁵.
        for (x, expected) in [
            (1.0, 0.367_879_441_171_442_3),
            (16.0, 1.125_351_747_192_591_1e-7),
            (0.5, 0.606_530_659_712_633_4),
        ] {
            assert!((exp_minus(x) / expected - 1.0).abs() < 1e-12, "e^-{x} = {}", exp_minus(x));
        }
        assert!((exp_minus(0.0) - 1.0).abs() < 1e-15);
    }

    /// Pearson's χ² against the probabilities of a Poisson distribution of mean 3,
    /// as tables have them.
    #[test]
    fn counts_follow_the_distribution() {
        const TABLE: [f64; 9] = [0.0498, 0.1494, 0.2240, 0.2240, 0.1680, 0.1008, 0.0504, 0.0216, 0.0120];
        let mut random = SplitMix64(1);
        let draws = 20_000;
        let mut seen = [0.0; 9];
        for _ in 0..draws {
            seen[usize::try_from(poisson(3.0, &mut random)).unwrap().min(8)] += 1.0;
        }
        let of = |(seen, p): (&f64, &f64)| (seen - p * f64::from(draws)).powi(2) / (p * f64::from(draws));
        let chi_squared: f64 = seen.iter().zip(&TABLE).map(of).sum();
        // With 8 degrees of freedom, 26.1 is exceeded once in 1,000 draws.
        assert!(chi_squared < 26.1, "{chi_squared}: {seen:?}");
    }

    /// Gaps of a Poisson process are exponential: a ratio e⁻ᵗ of them are longer
    /// than t means. Also across the edges of what is drawn at once.
    #[test]
    fn gaps_are_exponential() {
        let all: Vec<Arrival> =
            process(&constant(100, 200), Spacing::Poisson, shard(0, 1)).since(0).collect();
        let (count, expected) = (all.len() as f64, 20_000.0);
        // Five standard deviations of a Poisson number are 5 √20,000 = 707.
        assert!((count - expected).abs() < 707.0, "{count}");
        let gaps: Vec<f64> =
            all.windows(2).map(|two| two[1].due.saturating_sub(two[0].due).as_secs_f64() * 100.0).collect();
        for (means, longer) in
            [(0.1, 0.904_84), (0.5, 0.606_53), (1.0, 0.367_88), (2.0, 0.135_34), (4.0, 0.018_32)]
        {
            let ratio = gaps.iter().filter(|gap| **gap > means).count() as f64 / gaps.len() as f64;
            assert!((ratio - longer).abs() < 0.012, "{ratio} of gaps are over {means} means, not {longer}");
        }
    }

    #[test]
    fn a_ramp_is_thin_where_its_rate_is_low() {
        let load = Load::Ramp {
            from: Rate::ZERO,
            to: Rate::per_second(1000),
            over: Duration::from_secs(20),
            hold: Duration::ZERO,
        };
        let process = process(&load, Spacing::Poisson, shard(0, 1));
        // N(t) = 25 t²: a quarter of 10,000 lies in the first half; so does of any
        // second a part below the middle. Five standard deviations each.
        let first = process.due_within(0..10_000_000) as f64;
        assert!((first - 2500.0).abs() < 250.0, "{first}");
        let early = process.since(0).filter(|one| one.due.subsec_millis() < 500).count() as f64;
        // Σ over seconds of 25 (s + ½)² − 25 s² = 25 Σ (s + ¼) = 25 × 195.
        assert!((early - 4875.0).abs() < 350.0, "{early}");
    }

    #[test]
    fn a_worker_may_begin_anywhere_and_counts_agree() {
        let load = Load::Steps {
            rates: vec![Rate::per_second(40), Rate::per_second(500), Rate::per_second(3)],
            each: Duration::from_millis(1700),
        };
        for arrivals in [Spacing::Even, Spacing::Poisson] {
            let process = process(&load, arrivals, shard(1, 3));
            let all: Vec<Arrival> = process.since(0).collect();
            assert!(all.is_sorted_by_key(|arrival| arrival.due));
            assert!(all.last().unwrap().due < load.duration());
            for at in [0, 1, 999_999, 1_000_000, 1_700_000, 2_345_678, 5_099_999, 5_100_000, 9_000_000] {
                let rest: Vec<Arrival> = process.since(at).collect();
                let expected: Vec<Arrival> =
                    all.iter().copied().filter(|arrival| micros(arrival.due) >= at).collect();
                assert_eq!(rest, expected, "from {at}");
                assert_eq!(process.due_within(at..6_000_000), rest.len() as u64, "{arrivals:?} from {at}");
                assert_eq!(process.due_within(0..at), (all.len() - rest.len()) as u64);
            }
        }
    }

    #[test]
    fn workers_draw_independently_and_share_the_rate() {
        let load = constant(300, 30);
        let all = |index, of| -> Vec<Arrival> {
            process(&load, Spacing::Poisson, shard(index, of)).since(0).collect()
        };
        let (one, other) = (all(0, 2), all(1, 2));
        // 4,500 each; five standard deviations are 335.
        for share in [&one, &other] {
            assert!((share.len() as f64 - 4500.0).abs() < 335.0, "{}", share.len());
        }
        assert!(!one.iter().any(|a| other.iter().any(|b| a.due == b.due || a.stream == b.stream)));
        assert_eq!(one, all(0, 2), "the same again");
    }
}
