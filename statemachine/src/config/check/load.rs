//! How much is sent and when: the load, its pauses and its connections.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Check, LONGEST};
use crate::arrivals::Spacing;
use crate::config::problem::{Invalid, Path};
use crate::config::raw::{DurationText, PercentText, RawAttack, RawLoad, RawThink};
use crate::config::{MAX_BURSTS, MAX_CONNECTIONS, MAX_STEPS, MAX_THINK, MAX_USERS};
use crate::load::{Load, Think};
use crate::search::Search;
use crate::slo;
use crate::units::Rate;

/// How long a rate of a search is tried when the config does not say.
const DEFAULT_STEP: Duration = Duration::from_secs(30);
/// How near a search comes when the config does not say, as a ratio.
const DEFAULT_TOLERANCE: f64 = 0.03;

impl Check<'_> {
    pub(super) fn load_of(&mut self, path: &Path, raw: &RawAttack) -> Option<Load> {
        let load = match (&raw.load, &raw.rate, &raw.duration) {
            (Some(load), None, None) => self.load(&path.field("load"), load),
            (Some(load), rate, duration) => {
                for (field, there) in [("rate", rate.is_some()), ("duration", duration.is_some())] {
                    if there {
                        self.note(&path.field(field), Invalid::LoadTwice(field));
                    }
                }
                self.load(&path.field("load"), load);
                None
            }
            (None, Some(rate), Some(duration)) => {
                let rate = self.positive_rate(&path.field("rate"), rate);
                let duration = self.positive_duration(&path.field("duration"), duration);
                Some(Load::Constant { rate: rate?, duration: duration? })
            }
            (None, Some(rate), None) => {
                self.positive_rate(&path.field("rate"), rate);
                self.note(&path.field("rate"), Invalid::HalfLoad { there: "rate", missing: "duration" });
                None
            }
            (None, None, Some(duration)) => {
                self.positive_duration(&path.field("duration"), duration);
                self.note(&path.field("duration"), Invalid::HalfLoad { there: "duration", missing: "rate" });
                None
            }
            (None, None, None) => {
                self.note(path, Invalid::NoLoad);
                None
            }
        }?;
        // Parts that are each short enough may still add up.
        self.at_most(&path.field("load"), load.duration(), LONGEST)?;
        Some(load)
    }

    fn load(&mut self, path: &Path, raw: &RawLoad) -> Option<Load> {
        match raw {
            RawLoad::Constant { rate, duration } => {
                let path = path.field("constant");
                let rate = self.positive_rate(&path.field("rate"), rate);
                let duration = self.positive_duration(&path.field("for"), duration);
                Some(Load::Constant { rate: rate?, duration: duration? })
            }
            RawLoad::Ramp { from, to, over, hold } => {
                let path = path.field("ramp");
                let (from_text, to_text) = (from, to);
                let from = self.rate(&path.field("from"), from);
                let to = self.rate(&path.field("to"), to);
                let over = self.positive_duration(&path.field("over"), over);
                let hold = self.optional_duration(&path.field("hold"), hold.as_ref());
                if from.zip(to).is_some_and(|(from, to)| from.is_zero() && to.is_zero()) {
                    self.note(&path, Invalid::FlatRamp { from: from_text.0.clone(), to: to_text.0.clone() });
                    return None;
                }
                Some(Load::Ramp { from: from?, to: to?, over: over?, hold: hold? })
            }
            RawLoad::Steps { rates, each } => {
                let path = path.field("steps");
                let each = self.positive_duration(&path.field("each"), each);
                let path = path.field("rates");
                if rates.is_empty() {
                    self.note(&path, Invalid::NoEntry("step"));
                    return None;
                }
                if !self.counted(&path, "steps", rates.len(), MAX_STEPS) {
                    return None;
                }
                let valid: Vec<Option<Rate>> = rates
                    .iter()
                    .enumerate()
                    .map(|(index, rate)| self.positive_rate(&path.index(index), rate))
                    .collect();
                Some(Load::Steps { rates: valid.into_iter().collect::<Option<_>>()?, each: each? })
            }
            RawLoad::Burst { base, peak, warm, spike, recover, times } => {
                let path = path.field("burst");
                let (base_text, peak_text) = (base, peak);
                let base = self.positive_rate(&path.field("base"), base);
                let peak = self.positive_rate(&path.field("peak"), peak);
                let warm = self.positive_duration(&path.field("warm"), warm);
                let spike = self.positive_duration(&path.field("spike"), spike);
                let recover = self.positive_duration(&path.field("recover"), recover);
                let times = times.map_or(Some(NonZeroU32::MIN), |times| {
                    self.whole(&path.field("times"), "number of peaks", times, MAX_BURSTS)
                });
                if base.zip(peak).is_some_and(|(base, peak)| base >= peak) {
                    let (base, peak) = (base_text.0.clone(), peak_text.0.clone());
                    self.note(&path, Invalid::FlatBurst { base, peak });
                    return None;
                }
                let (base, peak, warm) = (base?, peak?, warm?);
                Some(Load::Burst { base, peak, warm, spike: spike?, recover: recover?, times: times? })
            }
            RawLoad::Search { from, up_to, step, tolerance } => {
                let path = path.field("search");
                let from = self.positive_rate(&path.field("from"), from);
                let up_to = self.positive_rate(&path.field("up_to"), up_to);
                let step = step
                    .as_ref()
                    .map_or(Some(DEFAULT_STEP), |step| self.positive_duration(&path.field("step"), step));
                let tolerance = tolerance.as_ref().map_or(Some(DEFAULT_TOLERANCE), |PercentText(text)| {
                    let ratio = slo::percent(text.trim()).ok_or_else(|| Invalid::Tolerance(text.clone()));
                    self.take(&path.field("tolerance"), ratio)
                });
                let search = Search::new(from?, up_to?, step?, tolerance?);
                self.take(&path, search).map(Load::Search)
            }
            RawLoad::Users { count, ramp, duration } => {
                let path = path.field("users");
                let count = self.whole(&path.field("count"), "number of users", *count, u64::from(MAX_USERS));
                let ramp = self.optional_duration(&path.field("ramp"), ramp.as_ref());
                let duration = self.positive_duration(&path.field("for"), duration);
                Some(Load::Users { count: count?, ramp: ramp?, duration: duration? })
            }
        }
    }

    pub(super) fn think(&mut self, path: &Path, raw: &RawAttack) -> Think {
        let Some(think) = &raw.think else { return Think::default() };
        let path = path.field("think");
        // What was written, since the load itself may be wrong elsewhere.
        let open = match &raw.load {
            Some(RawLoad::Users { .. }) => None,
            Some(RawLoad::Ramp { .. }) => Some("ramp"),
            Some(RawLoad::Steps { .. }) => Some("steps"),
            Some(RawLoad::Burst { .. }) => Some("burst"),
            Some(RawLoad::Search { .. }) => Some("search"),
            Some(RawLoad::Constant { .. }) => Some("constant"),
            None => raw.rate.as_ref().map(|_| "constant"),
        };
        if let Some(load) = open {
            self.note(&path, Invalid::ThinkInOpenModel(load));
        }
        let mut pause = |path: &Path, text: &DurationText| {
            self.duration(path, text).and_then(|pause| self.at_most(path, pause, MAX_THINK))
        };
        match think {
            RawThink::Fixed(text) => {
                let pause = pause(&path, text).unwrap_or_default();
                Think { min: pause, max: pause }
            }
            RawThink::Between(range) => {
                let min = pause(&path.field("min"), &range.min);
                let max = pause(&path.field("max"), &range.max);
                let (Some(min), Some(max)) = (min, max) else { return Think::default() };
                if min > max {
                    let (min, max) = (range.min.0.clone(), range.max.0.clone());
                    self.note(&path, Invalid::ThinkOrder { min, max });
                }
                Think { min, max }
            }
        }
    }

    pub(super) fn arrivals(&mut self, path: &Path, raw: &RawAttack) {
        if raw.arrivals != Spacing::Even && matches!(raw.load, Some(RawLoad::Users { .. })) {
            self.note(&path.field("arrivals"), Invalid::ArrivalsInClosedModel);
        }
    }

    pub(super) fn connections(&mut self, path: &Path, number: Option<u64>) -> Option<NonZeroU32> {
        self.whole(path, "number of connections", number?, MAX_CONNECTIONS)
    }

    pub(super) fn warm_up(&mut self, path: &Path, raw: &RawAttack) -> u32 {
        let warm_up = self.connections(path, raw.warm_up).map_or(0, NonZeroU32::get);
        if let Some(limit) = raw.connections.filter(|limit| u64::from(warm_up) > *limit) {
            self.note(path, Invalid::WarmUpOverLimit { warm_up, limit });
        }
        warm_up
    }
}
