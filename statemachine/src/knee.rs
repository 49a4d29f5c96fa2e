//! The knee of a curve of response time against load: where response time
//! starts to climb faster than throughput.
//!
//! That is where Kleinrock's *power* is largest,
//!
//! ```text
//! power = throughput ÷ response time
//! ```
//!
//! since at its maximum one percent more throughput costs one percent more
//! response time: before it less, behind it more. (L. Kleinrock, "Power and
//! deterministic rules of thumb for probabilistic problems in computer
//! communications", ICC 1979; as the knee: R. Jain, K. Ramakrishnan and D. Chiu,
//! "Congestion avoidance in computer networks with a connectionless network
//! layer", <https://arxiv.org/abs/cs/9809094>.) For a queue with one server
//! and random arrivals (M/M/1) it is at half of the capacity.
//!
//! Methods that look for the sharpest bend, such as Kneedle (Satopää et al.,
//! 2011), first scale both axes to what was measured. So where they find the bend
//! depends on how far beyond it one went: a search that ends in seconds of
//! response time would move it. Power has no such scale, and no parameter.
//!
//! There is no knee without evidence that it was passed: see [`find`].

use serde::{Deserialize, Serialize};

/// The fewest rates that make a curve.
pub const MIN_RATES: usize = 5;

/// A knee was passed when, at the highest rate, power has fallen to this ratio
/// of its maximum or below. Less may be noise: a median that is 10 % off at two
/// rates.
pub const FALLEN: f64 = 0.8;

/// One step of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Requests due per second.
    pub rate: f64,
    /// Requests per second that were answered as they should: errors are no
    /// throughput.
    pub achieved: f64,
    /// The mean response time, or the median, in milliseconds; nothing when
    /// there was none.
    pub response_time_ms: Option<f64>,
}

/// Where the knee is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Knee {
    /// At one of the rates that were tried.
    Found {
        /// Requests due per second.
        rate: f64,
        /// The rates next to it: the knee lies between them.
        between: [f64; 2],
        /// The response time there, in milliseconds.
        response_time_ms: f64,
    },
    /// The curve does not show one.
    None {
        /// Why, as a sentence.
        reason: String,
    },
}

impl Knee {
    /// The rate of the knee, in requests due per second.
    #[must_use]
    pub const fn rate(&self) -> Option<f64> {
        match self {
            Self::Found { rate, .. } => Some(*rate),
            Self::None { .. } => None,
        }
    }
}

/// The knee of a curve, whose points may come in any order; of several at one
/// rate the last counts. Points that are no measurement are left out: no
/// response time though there were answers, or a number that is none.
///
/// It answers *none* when there are fewer than [`MIN_RATES`] rates, when power is
/// largest at the lowest or the highest rate, or when it has not clearly fallen
/// at the highest ([`FALLEN`]).
#[must_use]
pub fn find(points: &[Point]) -> Knee {
    let curve = curve(points);
    let none = |reason: String| Knee::None { reason };
    if curve.len() < MIN_RATES {
        return none(format!("{} rates are no curve; it takes {MIN_RATES}", curve.len()));
    }
    // The first of equals: at the others response time has grown, too.
    let top = (1..curve.len()).fold(
        0,
        |top, index| {
            if curve[index].power > curve[top].power { index } else { top }
        },
    );
    let (Some(below), Some(above)) = (top.checked_sub(1).map(|index| curve[index]), curve.get(top + 1))
    else {
        let first_or_last = if top == 0 {
            "response time climbed faster than throughput from the lowest rate on"
        } else {
            "response time did not climb faster than throughput up to the highest rate"
        };
        return none(first_or_last.to_owned());
    };
    let fallen = curve[curve.len() - 1].power / curve[top].power;
    if fallen > FALLEN {
        return none(format!(
            "throughput ÷ response time fell by {:.0} % behind {:.1}/s: too little to tell it from noise",
            (1.0 - fallen) * 100.0,
            curve[top].rate
        ));
    }
    Knee::Found {
        rate: curve[top].rate,
        between: [below.rate, above.rate],
        response_time_ms: curve[top].response_time_ms,
    }
}

/// A rate and its power, in answers per second and millisecond.
#[derive(Clone, Copy)]
struct Powered {
    rate: f64,
    power: f64,
    response_time_ms: f64,
}

/// The points that are measurements, by rising rate, one for each.
fn curve(points: &[Point]) -> Vec<Powered> {
    let powered = |point: &Point| {
        let numbers = point.rate.is_finite() && point.achieved.is_finite() && point.achieved >= 0.0;
        // Where nothing was answered power is zero, whatever the time.
        let time = if point.achieved == 0.0 { Some(f64::INFINITY) } else { point.response_time_ms };
        let response_time_ms = time.filter(|time| numbers && *time > 0.0)?;
        Some(Powered { rate: point.rate, power: point.achieved / response_time_ms, response_time_ms })
    };
    let mut curve: Vec<Powered> = points.iter().rev().filter_map(powered).collect();
    // Stable, so that of equal rates the last to be measured comes first.
    curve.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    curve.dedup_by(|a, b| a.rate.total_cmp(&b.rate).is_eq());
    curve
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A curve from the mean response time of a queue, in service times, at
    /// loads ρ = 0.05, 0.10 … 0.95, for a server that does 1,000 a second.
    fn queue(response: impl Fn(f64) -> f64) -> Vec<Point> {
        let loads = (1..=19).map(|step| f64::from(step) / 20.0);
        let point = |load: f64| Point {
            rate: load * 1000.0,
            achieved: load * 1000.0,
            response_time_ms: Some(response(load)),
        };
        loads.map(point).collect()
    }

    fn reason(knee: Knee) -> String {
        match knee {
            Knee::None { reason } => reason,
            Knee::Found { rate, .. } => panic!("a knee at {rate}"),
        }
    }

    #[test]
    fn the_knee_of_one_server_is_at_half_its_capacity() {
        // M/M/1: R = 1 ÷ (1 − ρ), so power is ρ (1 − ρ): largest at ½.
        let knee = find(&queue(|load| 1.0 / (1.0 - load)));
        assert_eq!(knee, Knee::Found { rate: 500.0, between: [450.0, 550.0], response_time_ms: 2.0 });
    }

    #[test]
    fn the_knee_of_a_steady_server_is_where_kleinrock_puts_it() {
        // M/D/1: R = (2 − ρ) ÷ (2 (1 − ρ)), so power is largest at 2 − √2 = 0.586.
        let knee = find(&queue(|load| (2.0 - load) / (2.0 * (1.0 - load))));
        let Knee::Found { rate, between: [low, high], .. } = knee else { panic!("{knee:?}") };
        assert!((rate - 600.0).abs() < 1e-9);
        assert!(low < 586.0 && 586.0 < high);
    }

    #[test]
    fn beyond_the_capacity_of_many_servers_the_knee_is_near_it() {
        // 8 servers of 5 ms: flat, then the wait of a backlog. Throughput ends
        // at 1,600/s.
        let points = [
            (50.0, 50.0, 5.0),
            (350.0, 350.0, 5.0),
            (800.0, 800.0, 5.1),
            (1200.0, 1200.0, 5.8),
            (1500.0, 1500.0, 8.0),
            (1560.0, 1560.0, 15.0),
            (1700.0, 1600.0, 900.0),
        ]
        .map(|(rate, achieved, time)| Point { rate, achieved, response_time_ms: Some(time) });
        assert_eq!(find(&points).rate(), Some(1200.0));
        // How far one went beyond does not move it.
        assert_eq!(find(&points[..6]).rate(), Some(1200.0));
    }

    #[test]
    fn a_curve_that_was_not_followed_to_its_knee_has_none() {
        let flat = queue(|_| 5.0);
        assert_eq!(
            reason(find(&flat)),
            "response time did not climb faster than throughput up to the highest rate"
        );
        let mm1 = queue(|load| 1.0 / (1.0 - load));
        assert_eq!(reason(find(&mm1[..4])), "4 rates are no curve; it takes 5");
        assert!(reason(find(&mm1[..12])).contains("fell by 4 % behind 500.0/s"));
        assert_eq!(
            reason(find(&mm1[10..])),
            "response time climbed faster than throughput from the lowest rate on"
        );
    }

    #[test]
    fn a_repeated_rate_counts_as_last_measured() {
        let mut points = queue(|load| 1.0 / (1.0 - load));
        let clean = find(&points);
        points.insert(0, Point { rate: 250.0, achieved: 250.0, response_time_ms: Some(0.001) });
        assert_eq!(find(&points), clean);
    }

    #[test]
    fn what_was_not_measured_is_left_out() {
        let mut points = queue(|load| 1.0 / (1.0 - load));
        points.push(Point { rate: 700.0, achieved: 5.0, response_time_ms: None });
        points.push(Point { rate: f64::NAN, achieved: 5.0, response_time_ms: Some(1.0) });
        points.push(Point { rate: 980.0, achieved: 980.0, response_time_ms: Some(0.0) });
        points.push(Point { rate: 2000.0, achieved: 0.0, response_time_ms: None });
        assert_eq!(find(&points).rate(), Some(500.0));
    }

    #[test]
    fn its_json_says_what_it_is() {
        let knee = Knee::Found { rate: 500.0, between: [450.0, 550.0], response_time_ms: 2.0 };
        let text = r#"{"verdict":"found","rate":500.0,"between":[450.0,550.0],"response_time_ms":2.0}"#;
        assert_eq!(serde_json::to_string(&knee).unwrap(), text);
        assert_eq!(serde_json::from_str::<Knee>(text).unwrap(), knee);
    }

    proptest! {
        /// Neither the units nor the order of the points matter, and a knee has
        /// rates on both sides.
        #[test]
        fn the_knee_does_not_depend_on_units_or_order(
            values in prop::collection::vec((0.1_f64..1.0, 1.0_f64..1000.0), 0..30),
            unit in 0.001_f64..1000.0,
        ) {
            let point = |(index, (achieved, time)): (usize, &(f64, f64))| {
                let rate = 10.0 * (index + 1) as f64;
                Point { rate, achieved: rate * achieved, response_time_ms: Some(*time) }
            };
            let mut points: Vec<Point> = values.iter().enumerate().map(point).collect();
            let knee = find(&points);
            points.reverse();
            prop_assert_eq!(&find(&points), &knee);
            if let Knee::Found { rate, between: [low, high], .. } = knee {
                prop_assert!(low < rate && rate < high);
                for point in &mut points {
                    point.response_time_ms = point.response_time_ms.map(|time| time * unit);
                }
                prop_assert_eq!(find(&points).rate(), Some(rate));
            }
        }
    }
}
