//! When each arrival is due: exact, computed, never accumulated.
//!
//! An open profile is a list of stretches in each of which the rate is a
//! straight line. The number of arrivals due before an instant is the integral
//! of the rate up to it, kept as a whole number of tiny units, so nothing is
//! rounded until the very end:
//!
//! ```text
//!   N(t) = ∫ rate         arrival n is due at the largest t with N(t) ≤ n
//!   due before t: ⌈N(t)⌉  so arrival 0 is due at once
//! ```
//!
//! Rates are thousandths of a request per hour ([`Rate::units`]) and times are
//! microseconds, so one request is `Q` = 3.6·10¹² unit-microseconds. Sums are
//! kept in halves of that, since a ramp's area has a ½ in it. With the limits
//! of [`crate::units`] every product stays below 2¹²⁷.
//!
//! Sharding is interleaving: arrival `n` of the whole attack belongs to worker
//! `n mod N`, whatever `N` is.

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use crate::load::Load;
use crate::mix::SplitMix64;
use crate::units::Rate;

/// Unit-microseconds in one request, twice over: see the module's formula.
const TWO_Q: i128 = 2 * 3_600_000_000_000;

/// The due times of an open profile, counted from the attack's own start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    stretches: Vec<Stretch>,
    duration: u64,
}

/// A stretch of time in which the rate is a straight line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    /// Microseconds from the attack's start.
    start: u64,
    /// Microseconds, above zero.
    len: u64,
    first_rate: i128,
    last_rate: i128,
    /// Twice the arrivals before `start`, in unit-microseconds.
    before: i128,
}

impl Stretch {
    /// Twice the arrivals between `start` and `start + t`, times `len`.
    fn area(&self, t: u64) -> i128 {
        let (t, len) = (i128::from(t), i128::from(self.len));
        2 * self.first_rate * t * len + (self.last_rate - self.first_rate) * t * t
    }

    /// Twice the arrivals of the whole stretch.
    fn whole(&self) -> i128 {
        (self.first_rate + self.last_rate) * i128::from(self.len)
    }

    /// The largest `t` in nanoseconds with at most `rest` (twice the arrivals,
    /// in unit-microseconds) between the start and `start + t`.
    fn reach(&self, rest: i128) -> u64 {
        if self.first_rate == self.last_rate {
            // A constant rate divides exactly, down to the nanosecond.
            return u64::try_from(rest * 1000 / (2 * self.first_rate)).unwrap_or(u64::MAX);
        }
        let area = rest * i128::from(self.len);
        let fits = |t: u64| self.area(t) <= area;
        // Floating point guesses the root of the quadratic, in the form that
        // does not cancel; whole numbers then decide. The guess is a
        // microsecond off at most, but where the rate falls to zero.
        let (b, c) = (self.first_rate as f64 * self.len as f64, area as f64);
        let slope = (self.last_rate - self.first_rate) as f64;
        let guess = c / (b + (b * b + slope * c).max(0.0).sqrt());
        // The casts saturate, and a NaN (0 ÷ 0) becomes 0.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating is meant")]
        let guess = (guess as u64).min(self.len);
        let (mut low, mut high) = (guess, guess);
        let mut step = 1;
        while !fits(low) {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while high < self.len && fits(high) {
            high = (high + step).min(self.len);
            step *= 2;
        }
        // `low` fits; `high` does not, or is the end.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle) { low = middle } else { high = middle }
        }
        low * 1000
    }
}

impl Schedule {
    /// The schedule of an open profile; `None` for the closed model, whose
    /// requests are due when a user is ready for them, and for a search, whose steps
    /// each have one.
    #[must_use]
    pub fn of(load: &Load) -> Option<Self> {
        let lines: Vec<(Duration, Rate, Rate)> = match load {
            Load::Constant { rate, duration } => vec![(*duration, *rate, *rate)],
            Load::Ramp { from, to, over, hold } => vec![(*over, *from, *to), (*hold, *to, *to)],
            Load::Steps { rates, each } => rates.iter().map(|rate| (*each, *rate, *rate)).collect(),
            Load::Burst { base, peak, warm, spike, recover, times } => {
                let once = [(*spike, *peak, *peak), (*recover, *base, *base)];
                let bursts = std::iter::repeat_n(once, times.get() as usize).flatten();
                std::iter::once((*warm, *base, *base)).chain(bursts).collect()
            }
            Load::Step { after, rate, duration, .. } => {
                vec![(*after, Rate::ZERO, Rate::ZERO), (*duration, *rate, *rate)]
            }
            // Not known before it has been decided.
            Load::Search(_) | Load::Users { .. } => return None,
        };
        let mut stretches = Vec::with_capacity(lines.len());
        let (mut start, mut before) = (0, 0);
        for (duration, first, last) in lines {
            let len = micros(duration);
            if len == 0 {
                continue;
            }
            let stretch = Stretch {
                start,
                len,
                first_rate: i128::from(first.units()),
                last_rate: i128::from(last.units()),
                before,
            };
            start += len;
            before += stretch.whole();
            stretches.push(stretch);
        }
        Some(Self { stretches, duration: start })
    }

    /// How many arrivals are due before `offset`, in microseconds from the
    /// attack's start; all of them once it is over.
    #[must_use]
    pub fn due_before(&self, offset: u64) -> u64 {
        let (twice, len) = self.before(offset);
        let arrivals = (twice + TWO_Q * len - 1).div_euclid(TWO_Q * len);
        u64::try_from(arrivals).unwrap_or(u64::MAX)
    }

    /// Twice the arrivals before `offset`, in unit-microseconds, as a fraction: its
    /// numerator and its denominator.
    fn before(&self, offset: u64) -> (i128, i128) {
        let index = self.stretches.partition_point(|stretch| stretch.start <= offset);
        let Some(stretch) = index.checked_sub(1).map(|index| &self.stretches[index]) else { return (0, 1) };
        let t = (offset - stretch.start).min(stretch.len);
        let len = i128::from(stretch.len);
        (stretch.before * len + stretch.area(t), len)
    }

    /// The same, down to a whole unit-microsecond.
    fn whole_before(&self, offset: u64) -> i128 {
        let (twice, len) = self.before(offset);
        twice.div_euclid(len)
    }

    /// How many arrivals a stretch holds on average, in microseconds from the
    /// attack's start: the integral of the rate.
    #[must_use]
    pub fn expected(&self, stretch: Range<u64>) -> f64 {
        let twice = self.whole_before(stretch.end) - self.whole_before(stretch.start);
        twice as f64 / TWO_Q as f64
    }

    /// An instant of a stretch, in microseconds from the attack's start, drawn with
    /// the rate as its density; `None` where nothing is ever due. A second of the
    /// highest rate is below 2⁶³ of what is drawn from.
    pub fn at_random(&self, stretch: Range<u64>, random: &mut SplitMix64) -> Option<Duration> {
        let first = self.whole_before(stretch.start);
        let weight =
            u64::try_from(self.whole_before(stretch.end) - first).ok().filter(|weight| *weight > 0)?;
        self.reached(first + i128::from(random.below(weight)))
    }

    /// How long it lasts, in microseconds.
    #[must_use]
    pub const fn duration(&self) -> u64 {
        self.duration
    }

    /// All arrivals.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.due_before(self.duration)
    }

    /// When arrival `n` is due, from the attack's start; `None` when there are
    /// not so many.
    #[must_use]
    pub fn due(&self, n: u64) -> Option<Duration> {
        self.reached(TWO_Q * i128::from(n))
    }

    /// When twice the arrivals, in unit-microseconds, have come to `target`.
    fn reached(&self, target: i128) -> Option<Duration> {
        let index = self.stretches.partition_point(|stretch| stretch.before + stretch.whole() <= target);
        let stretch = self.stretches.get(index)?;
        let nanos = stretch.start * 1000 + stretch.reach(target - stretch.before);
        Some(Duration::from_nanos(nanos))
    }
}

/// One worker's share: every `of`-th arrival of the whole attack.
///
/// Shards interleave instead of each running `rate ÷ of` from the same start,
/// which would land `of` requests on the target at the same instant. A run
/// with one worker is shard 0 of 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    of: NonZeroU32,
}

impl Shard {
    /// Shard `index` of `of`; `None` unless `index < of`.
    #[must_use]
    pub fn new(index: u32, of: NonZeroU32) -> Option<Self> {
        (index < of.get()).then_some(Self { index, of })
    }

    /// From 0.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// How many of the arrivals `0..before` are this shard's.
    #[must_use]
    pub fn share_of(self, before: u64) -> u64 {
        let (index, of) = (u64::from(self.index), u64::from(self.of.get()));
        if before > index { (before - index - 1) / of + 1 } else { 0 }
    }

    /// This shard's first arrival at or after `n`.
    #[must_use]
    pub fn first_from(self, n: u64) -> u64 {
        self.share_of(n) * u64::from(self.of.get()) + u64::from(self.index)
    }

    /// Its part of a number of things, such as connections, that are shared out as
    /// evenly as whole numbers are: all parts together are the whole.
    #[must_use]
    pub fn part_of(self, whole: u32) -> u32 {
        whole / self.of + u32::from(self.index < whole % self.of)
    }

    /// The distance between two arrivals of this shard.
    #[must_use]
    pub fn stride(self) -> u64 {
        u64::from(self.of.get())
    }
}

/// When user `u` of `count` starts, in microseconds from the attack's start:
/// users start evenly over `ramp`, user 0 at once.
#[must_use]
pub fn user_start(user: u32, count: NonZeroU32, ramp: Duration) -> u64 {
    let start = u128::from(micros(ramp)) * u128::from(user) / u128::from(count.get());
    u64::try_from(start).unwrap_or(u64::MAX)
}

/// Whole microseconds of a duration; every configured one has no finer part.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn five_hundred_a_second_for_ten_seconds_is_five_thousand() {
        let schedule = Schedule::of(&Load::Constant { rate: rate("500/s"), duration: seconds(10) }).unwrap();
        assert_eq!(schedule.total(), 5000);
        assert_eq!(schedule.due(0), Some(Duration::ZERO));
        assert_eq!(schedule.due(1), Some(Duration::from_millis(2)));
        assert_eq!(schedule.due(4999), Some(Duration::from_millis(9998)));
        assert_eq!(schedule.due(5000), None);
        assert_eq!(schedule.due_before(1_000_000), 500);
        assert_eq!(schedule.due_before(1_000_001), 501);
    }

    #[test]
    fn an_awkward_rate_never_drifts() {
        // 7 a minute for a day: 10,080, and the last is due 60/7 s before the end.
        let schedule =
            Schedule::of(&Load::Constant { rate: rate("7/m"), duration: seconds(86_400) }).unwrap();
        assert_eq!(schedule.total(), 10_080);
        assert_eq!(schedule.due(10_079), Some(Duration::from_nanos(10_079 * 60_000_000_000 / 7)));
    }

    #[test]
    fn a_ramp_from_zero_is_half_its_rectangle() {
        // 0 → 100/s over 10 s: N(t) = 5t², so arrival n is due at √(n/5).
        let load = Load::Ramp { from: Rate::ZERO, to: rate("100/s"), over: seconds(10), hold: seconds(5) };
        let schedule = Schedule::of(&load).unwrap();
        assert_eq!(schedule.due_before(10_000_000), 500);
        assert_eq!(schedule.total(), 1000);
        assert_eq!(schedule.due(5), Some(seconds(1)));
        assert_eq!(schedule.due(20), Some(seconds(2)));
        assert_eq!(schedule.due(1).unwrap().as_micros(), 447_213);
        assert_eq!(schedule.due(500), Some(seconds(10)));
        assert_eq!(schedule.due(501), Some(Duration::from_millis(10_010)));
    }

    #[test]
    fn a_falling_ramp_ends_where_it_should() {
        // 100/s → 0 over 10 s: N(t) = 100t − 5t².
        let load =
            Load::Ramp { from: rate("100/s"), to: Rate::ZERO, over: seconds(10), hold: Duration::ZERO };
        let schedule = Schedule::of(&load).unwrap();
        assert_eq!(schedule.total(), 500);
        assert_eq!(schedule.due(95), Some(seconds(1)));
        // 499 = 100t − 5t² at t = 10 − √0.2.
        assert_eq!(schedule.due(499).unwrap().as_micros(), 9_552_786);
    }

    #[test]
    fn steps_add_up_across_odd_edges() {
        // 3/s for 0.5 s is 1.5 arrivals; the half carries into the next step.
        let load = Load::Steps { rates: vec![rate("3/s"), rate("10/s")], each: Duration::from_millis(500) };
        let schedule = Schedule::of(&load).unwrap();
        // 1.5 + 5 = 6.5, so 7 arrivals are due before the end.
        assert_eq!(schedule.total(), 7);
        assert_eq!(schedule.due(2), Some(Duration::from_millis(550)));
        assert_eq!(schedule.due(6), Some(Duration::from_millis(950)));
    }

    #[test]
    fn a_burst_comes_and_goes_as_often_as_it_says() {
        // 10/s for 2 s, then twice 100/s for 0.5 s and 10/s for 3 s.
        let load = Load::Burst {
            base: rate("10/s"),
            peak: rate("100/s"),
            warm: seconds(2),
            spike: Duration::from_millis(500),
            recover: seconds(3),
            times: NonZeroU32::new(2).unwrap(),
        };
        assert_eq!(load.duration(), seconds(9));
        let schedule = Schedule::of(&load).unwrap();
        assert_eq!(schedule.total(), 20 + 2 * (50 + 30));
        assert_eq!(schedule.due(20), Some(seconds(2)));
        assert_eq!(schedule.due(21), Some(Duration::from_millis(2010)));
        assert_eq!(schedule.due_before(5_500_000), 100);
        assert_eq!(schedule.due(101), Some(Duration::from_millis(5510)));
        assert!((schedule.expected(2_000_000..6_000_000) - 130.0).abs() < 1e-9);
    }

    #[test]
    fn the_largest_legal_load_stays_exact() {
        let month = seconds(30 * 86_400);
        let load = Load::Ramp { from: rate("1000000/s"), to: Rate::ZERO, over: month, hold: Duration::ZERO };
        let schedule = Schedule::of(&load).unwrap();
        assert_eq!(schedule.total(), 1_000_000 * 30 * 86_400 / 2);
        let middle = schedule.due(schedule.total() / 2).unwrap();
        assert_eq!(schedule.due_before(micros(middle) + 1), schedule.total() / 2 + 1);
        let load = Load::Constant { rate: rate("1000000/s"), duration: month };
        assert_eq!(Schedule::of(&load).unwrap().total(), 1_000_000 * 30 * 86_400);
    }

    #[test]
    fn users_start_evenly() {
        let count = NonZeroU32::new(4).unwrap();
        let starts: Vec<u64> = (0..4).map(|u| user_start(u, count, seconds(1))).collect();
        assert_eq!(starts, [0, 250_000, 500_000, 750_000]);
    }

    #[test]
    fn a_shard_counts_its_own() {
        let shard = Shard::new(2, NonZeroU32::new(5).unwrap()).unwrap();
        // Of 0..13: 2, 7, 12.
        assert_eq!(shard.share_of(13), 3);
        assert_eq!(shard.share_of(2), 0);
        assert_eq!(shard.share_of(3), 1);
        assert_eq!(shard.first_from(3), 7);
        assert_eq!(shard.first_from(2), 2);
        assert!(Shard::new(5, NonZeroU32::new(5).unwrap()).is_none());
        // 12 connections for 5 workers.
        let parts = (0..5).map(|index| Shard::new(index, NonZeroU32::new(5).unwrap()).unwrap().part_of(12));
        assert_eq!(parts.collect::<Vec<_>>(), [3, 3, 2, 2, 2]);
    }
}
