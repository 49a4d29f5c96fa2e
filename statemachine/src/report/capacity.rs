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
    /// What gave way at the lowest rate that broke.
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
        let broke = history.iter().zip(tallies).filter_map(|(tried, tally)| match &tried.outcome {
            Outcome::Broke { promise } => Some((tried.step.rate, promise, tally)),
            _ => None,
        });
        let lowest = broke.min_by_key(|(rate, ..)| *rate);
        Self {
            conclusion,
            knee: knee.rate(),
            knee_detail: knee,
            gave_way: lowest.map(|(_, promise, tally)| gave_way(promise, tally)),
            usl,
            workers_needed: None,
        }
    }

    /// Why it is inconclusive, when it is.
    pub(super) fn why(&self) -> String {
        match self.conclusion.reason {
            Some(Reason::GeneratorLimited) => {
                let would_do = self
                    .workers_needed
                    .map_or(String::new(), |workers| format!("; {workers} workers would do"));
                format!("generator-limited: a promise broke while the generator itself was behind{would_do}")
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
    let load = point.achieved * point.service_time_ms.mean? / 1000.0;
    Some(usl::Point { load, throughput: point.achieved })
}

/// A promise on errors is broken by those who were refused, or by those who waited too
/// long; any other by those who waited, unless nothing was served at all.
fn gave_way(promise: &str, tally: &Tally) -> GaveWay {
    let refused = tally.failures() > tally.timed_out + tally.dropped;
    let about_errors = promise.parse::<Rule>().map_or(true, |rule| rule.metric() == Metric::Errors);
    if about_errors && refused { GaveWay::Errors } else { GaveWay::Queueing }
}
