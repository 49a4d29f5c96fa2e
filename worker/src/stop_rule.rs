//! Judges `stop_if` on what this worker sees, second by second.
//!
//! A second counts by when requests *ended*, since what is due now has not
//! answered yet. A second in which nothing ended says nothing either way.

use deathstar_statemachine::slo::{Metric, StopIf};
use deathstar_statemachine::window::{Outcome, Tally, Timing};

/// The state of a stop condition, by attack.
#[derive(Debug)]
pub(crate) struct StopRule {
    stop_if: StopIf,
    attacks: Vec<Seen>,
}

#[derive(Debug)]
struct Seen {
    second: Tally,
    holding_s: u64,
}

impl StopRule {
    pub(crate) fn new(stop_if: StopIf, attacks: usize) -> Self {
        let seen = || Seen { second: Tally::window(), holding_s: 0 };
        Self { stop_if, attacks: (0..attacks).map(|_| seen()).collect() }
    }

    /// Counts a request that ended in the current second.
    pub(crate) fn ended(&mut self, attack: usize, outcome: Outcome, timing: &Timing) {
        self.attacks[attack].second.record(outcome, timing, false);
    }

    /// Ends the current second; says whether the condition has held for as long
    /// as it must, for any attack.
    pub(crate) fn tick(&mut self) -> bool {
        let mut stop = false;
        for seen in &mut self.attacks {
            let second = std::mem::replace(&mut seen.second, Tally::window());
            match observed(self.stop_if.rule.metric(), &second) {
                Some(value) if self.stop_if.rule.holds(value) => seen.holding_s += 1,
                Some(_) => seen.holding_s = 0,
                None => {}
            }
            stop |= seen.holding_s >= self.stop_if.lasting.as_secs();
        }
        stop
    }
}

fn observed(metric: Metric, second: &Tally) -> Option<f64> {
    match metric {
        Metric::Errors => {
            let ended = second.ended();
            (ended > 0).then(|| (ended - second.completed) as f64 / ended as f64)
        }
        Metric::Percentile(percentile) => second.response_time.quantile_ms(percentile / 100.0),
        Metric::Max => second.response_time.max_ms(),
        Metric::Mean => second.response_time.mean_ms(),
        // The config refuses them: one worker cannot judge a rate.
        Metric::Achieved | Metric::Rate => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use deathstar_statemachine::window::ErrorClass;

    use super::*;

    #[test]
    fn a_condition_must_hold_without_a_break() {
        let mut rule = StopRule::new("errors > 20% for 3s".parse().unwrap(), 1);
        let timing =
            Timing { intended: Duration::ZERO, sent: Duration::ZERO, done: Duration::from_millis(1) };
        let mut second = |good: u32, bad: u32| {
            (0..good).for_each(|_| rule.ended(0, Outcome::Completed { status: 200 }, &timing));
            let refused = Outcome::Failed { class: ErrorClass::Refused, status: None };
            (0..bad).for_each(|_| rule.ended(0, refused, &timing));
            rule.tick()
        };
        assert!(!second(0, 10));
        assert!(!second(0, 10));
        assert!(!second(8, 2), "20 % is not more than 20 %, so the count starts again");
        assert!(!second(7, 3));
        assert!(!second(0, 0), "a second without an end says nothing");
        assert!(!second(7, 3));
        assert!(second(7, 3));
    }
}
