//! What a search found, in one place: how much the target takes, where and how it
//! breaks, and what the curve says besides.

use serde::{Deserialize, Serialize};

use super::CurvePoint;
use crate::knee::{self, Knee};
use crate::search::{Conclusion, Outcome, Reason, Search, Tried};
use crate::slo::{Metric, Rule};
use crate::usl::{self, Usl};
use crate::window::Tally;

/// What gave way where a promise broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GaveWay {
    /// Requests failed, and were told so.
    Errors,
    /// Requests waited.
    Queueing,
}

/// What a search found. Rates are requests per second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// What may be concluded, and what was tried.
    #[serde(flatten)]
    pub conclusion: Conclusion,
    /// Where response time begins to climb faster than throughput.
    pub knee: Option<f64>,
    /// That, with its evidence, or why there is none.
    pub knee_detail: Knee,
    /// What gave way there.
    pub gave_way: Option<GaveWay>,
    /// The Universal Scalability Law of the target, if it follows one: load is requests
    /// being served at once.
    pub usl: Usl,
    /// How many workers would have kept up, where the generator did not.
    pub workers_needed: Option<u32>,
}

impl Capacity {
    /// What these steps come to, with the row of the curve of each and all that was
    /// counted in it.
    pub(super) fn of(search: &Search, history: &[Tried], curve: &[CurvePoint], tallies: &[&Tally]) -> Self {
        let conclusion = search.conclusion(history);
        let knee = knee::find(&curve.iter().map(CurvePoint::knee_point).collect::<Vec<_>>());
        let usl = usl::fit(&curve.iter().filter_map(usl_point).collect::<Vec<_>>());
        // The step that the conclusion names, not one that its repeat refuted.
        let named = |tried: &Tried, promise: &str| {
            conclusion.broke.as_deref() == Some(promise)
                && conclusion.sustained[1] == Some(tried.step.rate.as_per_second())
        };
        let gave_way = history.iter().zip(tallies).rev().find_map(|(tried, tally)| match &tried.outcome {
            Outcome::Broke { promise } if named(tried, promise) => Some(gave_way(promise, tally)),
            _ => None,
        });
        Self { conclusion, knee: knee.rate(), knee_detail: knee, gave_way, usl, workers_needed: None }
    }

    /// Why it is inconclusive, when it is.
    pub(super) fn why(&self) -> String {
        match self.conclusion.reason {
            Some(Reason::GeneratorLimited) => {
                let would_do = self
                    .workers_needed
                    .map_or(String::new(), |workers| format!("; it would take at least {workers} workers"));
                format!(
                    "generator-limited: the generator itself was behind, or did not send all that was due{would_do}"
                )
            }
            Some(Reason::NoEvidence) => "a step showed too little, twice".to_owned(),
            Some(Reason::NotConfirmed) => {
                "rates that held for a step broke when they were held for longer; longer steps may tell"
                    .to_owned()
            }
            Some(Reason::Unfinished) | None => "the search was not over".to_owned(),
        }
    }
}

/// By Little's law, as many requests are being served as are answered in the time that
/// serving one takes. Those that wait for a connection of ours are not.
fn usl_point(point: &CurvePoint) -> Option<usl::Point> {
    let throughput = point.served();
    Some(usl::Point { load: throughput * point.service_time_ms.mean? / 1000.0, throughput })
}

/// A promise on errors is broken by those who were refused, or by those who waited too
/// long; any other by those who waited, unless nothing was served at all.
fn gave_way(promise: &str, tally: &Tally) -> GaveWay {
    let refused = tally.failures() > tally.timed_out + tally.dropped;
    let about_errors = promise.parse::<Rule>().map_or(true, |rule| rule.metric() == Metric::Errors);
    if about_errors && refused { GaveWay::Errors } else { GaveWay::Queueing }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::search::{Decision, Step};
    use crate::window::{ErrorClass, Outcome as Ended, Timing};

    /// At 100/s it once refused, and did not again; beyond 500/s requests wait. The
    /// sentence names what broke where it says that it broke.
    #[test]
    fn what_gave_way_did_so_where_it_broke() {
        let per_second = |rate: &str| rate.parse().unwrap();
        let step = Duration::from_secs(10);
        let search = Search::new(per_second("100/s"), per_second("1000/s"), step, 0.1).unwrap();
        let timing = Timing { intended: Duration::ZERO, sent: Duration::ZERO, done: Duration::from_secs(1) };
        let mut refused = Tally::window();
        refused.record(Ended::Failed { class: ErrorClass::Status, status: Some(503) }, &timing, true);
        let mut served = Tally::window();
        served.record(Ended::Completed { status: 200 }, &timing, true);
        let (mut history, mut tallies) = (Vec::<Tried>::new(), Vec::new());
        let broke = |promise: &str| Outcome::Broke { promise: promise.to_owned() };
        while let Decision::Next(step) = search.decide(&history) {
            let Step { rate, .. } = step;
            let (outcome, tally) = match history.len() {
                0 => (broke("errors < 1%"), &refused),
                _ if rate > per_second("500/s") => (broke("p99 < 300ms"), &served),
                _ => (Outcome::Held, &served),
            };
            history.push(Tried { step, outcome });
            tallies.push(tally);
        }
        let found = Capacity::of(&search, &history, &[], &tallies);
        assert_eq!(found.conclusion.broke.as_deref(), Some("p99 < 300ms"));
        assert_eq!(found.gave_way, Some(GaveWay::Queueing));
    }
}
