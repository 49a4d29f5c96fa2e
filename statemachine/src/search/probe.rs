//! Which rate to try: the arithmetic that the module above explains.

use super::{MAX_GROWTH, Search};
use crate::units::Rate;

/// How many steps an answer takes.
#[derive(Clone, Copy)]
pub(super) struct Costs {
    pub(super) held: u32,
    pub(super) broke: u32,
    pub(super) confirm: u32,
}

impl Search {
    /// The costliest path from here to a conclusion.
    pub(super) fn longest(&self, held: Option<Rate>, broke: Option<Rate>, costs: Costs) -> u32 {
        let Some(probe) = self.probe(held, broke) else { return costs.confirm };
        let above = costs.held + self.longest(Some(probe), broke, costs);
        // When `from` breaks there is nothing left to search.
        let below = costs.broke + if held.is_some() { self.longest(held, Some(probe), costs) } else { 0 };
        above.max(below)
    }

    /// The rate to try between one that held and one that broke, or `up_to`
    /// when none has; nothing when they are near enough.
    pub(super) fn probe(&self, held: Option<Rate>, broke: Option<Rate>) -> Option<Rate> {
        let Some(held) = held else { return Some(self.from) };
        let high = broke.unwrap_or(self.up_to);
        if high.units().saturating_sub(held.units()) <= u64::from(broke.is_some()) {
            return None;
        }
        // How many tolerances apart the two are, counted in ratios.
        let tolerance = (1.0 + self.tolerance()).ln();
        let apart = (high.units() as f64 / held.units() as f64).ln() / tolerance;
        // Rates are whole numbers, and a logarithm is not exact.
        if broke.is_some() && apart <= 1.0 + 1e-9 {
            return None;
        }
        // Whatever is at `up_to` or above is one more interval.
        let intervals = if broke.is_some() { apart } else { apart + 1.0 };
        let mut up = intervals * share_below(intervals);
        if broke.is_none() {
            if up >= apart {
                return Some(self.up_to);
            }
            up = up.min(MAX_GROWTH.ln() / tolerance);
        }
        let rate = self.rounded(held.units() as f64 * (up * tolerance).exp()).max(held.units() + 1);
        // Rounding may reach the upper end, which is known when it broke.
        let highest = if broke.is_some() { high.units() - 1 } else { high.units() };
        Some(Rate::from_units(rate.min(highest)))
    }

    /// Rounds a rate, in [`Rate::units`], to the coarsest that reads well and is
    /// fine enough: a hundredth of the tolerance, so that rounding does not cost
    /// a step.
    fn rounded(&self, units: f64) -> u64 {
        let finest = units * self.tolerance() / 100.0;
        // 1,000/s down to 0.001/s, then 0.001/m, then what a rate is made of.
        let decimals = (0..=6).rev().map(|exponent| 3600 * 10_u64.pow(exponent));
        let quantum = decimals.chain([60]).find(|quantum| *quantum as f64 <= finest).unwrap_or(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive and below 2⁵³ units"
        )]
        let quanta = (units / quantum as f64).round() as u64;
        quanta * quantum
    }

    /// The rate to hold after holds that broke, of which the last is given:
    /// one tolerance below the answer, then two more, then four, and not below
    /// `from`.
    pub(super) fn lower_hold(&self, broken: Rate, holds: usize) -> Rate {
        let steps = 1_i32 << holds.saturating_sub(1).min(8);
        let rate = self.rounded(broken.units() as f64 / (1.0 + self.tolerance()).powi(steps));
        Rate::from_units(rate.min(broken.units().saturating_sub(1))).max(self.from)
    }
}

/// How much of so many intervals to leave below the probe, 0–1, such that the
/// steps they take are fewest: see the module's formula.
fn share_below(intervals: f64) -> f64 {
    let (mut before, mut last, mut whole) = (0_u32, 1_u32, 1_u32);
    while f64::from(whole) < intervals - 1e-9 {
        (before, last, whole) = (last, whole, last + whole);
    }
    // Of two intervals or fewer, either side is one.
    if whole <= 1 { 0.5 } else { f64::from(before.max(1)) / f64::from(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_is_where_the_fibonacci_numbers_put_it() {
        // Of N(n) intervals, N(n − 2) are below: 89 of 233, 1 of 3, 1 of 2.
        for (intervals, share) in [(204.0, 89.0 / 233.0), (3.0, 1.0 / 3.0), (2.5, 1.0 / 3.0), (1.5, 0.5)] {
            assert!((share_below(intervals) - share).abs() < 1e-12, "{intervals}");
        }
    }
    #[test]
    fn no_constant_factor_of_growth_keeps_to_fourteen_steps() {
        // From 50/s to 20,000/s within 3 %, bisecting as well as can be.
        let steps_of = |intervals: f64| {
            let (mut last, mut whole, mut steps) = (1.0, 1.0, 0);
            while whole < intervals - 1e-9 {
                (last, whole, steps) = (whole, last + whole, steps + 1);
            }
            // N(1) is no more than N(0): one step tells nothing apart.
            if steps == 0 { 0 } else { steps + 1 }
        };
        let most = |factor: f64| {
            let (mut held, mut grown, mut most) = (50.0, 0, 0);
            while held < 20_000.0 {
                let next: f64 = (held * factor).min(20_000.0);
                // `from`, what was grown, the one that breaks twice, and the hold.
                let steps = 1 + grown + 2 + steps_of((next / held).ln() / 1.03_f64.ln()) + 1;
                most = most.max(steps);
                (held, grown) = (next, grown + 1);
            }
            most
        };
        let factors = (15..4001).map(|tenth| f64::from(tenth) / 10.0);
        assert_eq!(factors.map(most).min(), Some(15));
    }
}
