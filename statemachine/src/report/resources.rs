//! What load did to the target's resources: readings beside the load, put together
//! with its steps and its holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CurvePoint, seconds};
use crate::config::Attack;
use crate::knee::{self, Knee};
use crate::load::Load;
use crate::plan::Span;
use crate::regression::{Binding, KEPT_UP, Leak, Observation, Resource, Sample, Trend, bottleneck, leak};
use crate::resources::{Metric, Miss, Place, Reading};
use crate::scaling::{self, Scaling};
use crate::schedule::micros;
use crate::search::Outcome;

/// How much of a load that stays the same is warm-up, one part in so many.
const WARM_UP: u64 = 10;

/// Readings of one metric that are held; of more, each two become their mean.
const MOST: usize = 20_000;

/// By how much, as a ratio of all requests, errors must rise to be called so.
pub(super) const ERRORS: f64 = 0.01;

/// Points of a metric in a report.
const POINTS: usize = 600;

/// One metric of a resource during a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceReport {
    /// `cpu`, `memory`, or what its source calls it; with the resource's name before it
    /// where several have such a metric. The resource's name alone where nothing was
    /// read of it.
    pub name: String,
    /// The resource's name in the config.
    pub source: String,
    /// What was read; nothing when nothing was.
    pub metric: Option<String>,
    /// At what value it is full, in the metric's unit: processors, bytes, a count, or
    /// the source's own; as it was last.
    pub capacity: Option<f64>,
    /// Of all readings, in the metric's unit.
    pub mean: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// How many readings there were.
    pub readings: u64,
    /// What load does to it, where the load has steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trend: Option<Trend>,
    /// Whether it keeps growing under a load that stays the same, where there was one;
    /// of memory and descriptors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leak: Option<Leak>,
    /// How often its source could not be read.
    pub missed: u64,
    /// Why, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its values over time, at most 600: where there were more, means.
    pub series: Vec<Sample>,
}

/// What was concluded of an attack's resources.
#[derive(Debug, Default)]
pub(super) struct Concluded {
    pub(super) resources: Vec<ResourceReport>,
    pub(super) binding: Option<Binding>,
    pub(super) autoscaling: Option<Scaling>,
}

/// All readings of a run, being collected.
#[derive(Debug, Default)]
pub(super) struct Readings {
    values: BTreeMap<(Place, Metric), Values>,
    /// How often a source was not read, when last, and why.
    missed: BTreeMap<Place, (u64, u64, String)>,
}

#[derive(Debug, Default)]
struct Values {
    /// Microseconds of the load, and the value; in the order of time once sorted.
    read: Vec<(u64, f64)>,
    count: u64,
    sum: f64,
    max: Option<f64>,
    /// The last one that was known, and when.
    capacity: Option<(u64, f64)>,
}

/// A stretch of load at one rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct AtRate {
    /// What counts of it.
    pub(super) span: Span,
    /// Requests due in it, per second: see [`offered`].
    pub(super) offered: f64,
    /// Requests answered in it, per second.
    pub(super) achieved: f64,
    /// Requests of it that failed, 0–1.
    pub(super) failed: f64,
    /// Requests answered from the start of the load to the middle of it.
    pub(super) answered: f64,
}

impl Readings {
    /// Adds what was read, and what could not be.
    pub(super) fn add(&mut self, readings: &[Reading], misses: &[Miss]) {
        for reading in readings {
            let values = self.values.entry((reading.place, reading.metric.clone())).or_default();
            values.add(reading.at, reading.value);
            if let Some(capacity) = reading.capacity
                && values.capacity.is_none_or(|(at, _)| at <= reading.at)
            {
                values.capacity = Some((reading.at, capacity));
            }
        }
        for miss in misses {
            let (count, at, why) = self.missed.entry(miss.place).or_default();
            *count += 1;
            if *at <= miss.at {
                (*at, *why) = (miss.at, miss.why.clone());
            }
        }
    }

    /// What may be concluded of one attack's resources, whose load had these rates.
    /// `span` is as long as its load came, and `held` the hold of a search.
    pub(super) fn conclude(
        &mut self,
        index: usize,
        attack: &Attack,
        rates: &[AtRate],
        curve: &[CurvePoint],
        hold: Option<Span>,
    ) -> Concluded {
        if attack.resources.is_empty() && attack.autoscaling.is_none() {
            return Concluded::default();
        }
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.values.values_mut().for_each(|values| values.read.sort_by_key(|(at, _)| *at));
        let mut resources = Vec::new();
        let mut watched = Vec::new();
        for (number, probe) in (0..).zip(&attack.resources) {
            let place = Place { attack: index, resource: number };
            let (missed, _, why) = self.missed.get(&place).cloned().unwrap_or_default();
            let nothing = ResourceReport {
                name: probe.name.clone(),
                source: probe.name.clone(),
                metric: None,
                capacity: None,
                mean: None,
                max: None,
                readings: 0,
                trend: None,
                leak: None,
                missed,
                why: (missed > 0).then_some(why),
                series: Vec::new(),
            };
            let of_place = self.values.iter().filter(|((at, _), _)| *at == place);
            let read: Vec<_> = of_place.map(|((_, metric), values)| (metric, values)).collect();
            if read.is_empty() {
                // Which may be the one that binds.
                if !rates.is_empty() {
                    let every = micros(probe.every);
                    watched
                        .push((resources.len(), Values::default().against(&probe.name, None, rates, every)));
                }
                resources.push(nothing);
                continue;
            }
            for (metric, values) in read {
                let alone =
                    self.values.keys().filter(|(at, one)| at.attack == index && one == metric).count() == 1;
                let name = if alone {
                    metric.name().to_owned()
                } else {
                    format!("{} {}", probe.name, metric.name())
                };
                let every = micros(probe.every);
                if *metric != Metric::Instances && !rates.is_empty() {
                    let what = Some(metric.name());
                    watched.push((resources.len(), values.against(&name, what, rates, every)));
                }
                let may_leak = matches!(metric, Metric::Memory | Metric::Descriptors);
                resources.push(ResourceReport {
                    name,
                    metric: Some(metric.name().to_owned()),
                    capacity: values.capacity(),
                    mean: Some(values.sum / values.count as f64),
                    max: values.max,
                    readings: values.count,
                    leak: hold.filter(|_| may_leak).map(|hold| values.leak_in(hold)),
                    series: values.series(),
                    ..nothing.clone()
                });
            }
        }
        let (places, watched): (Vec<usize>, Vec<Resource>) = watched.into_iter().unzip();
        let binding = (!rates.is_empty()).then(|| bottleneck(&watched));
        for (place, trend) in places.iter().zip(binding.iter().flat_map(|binding| &binding.resources)) {
            resources[*place].trend = Some(trend.clone());
        }
        let autoscaling = attack.autoscaling.as_ref().map(|demand| {
            let points: Vec<knee::Point> = curve.iter().map(CurvePoint::knee_point).collect();
            let knee: Knee = knee::find(&points);
            let binding = binding.clone().unwrap_or_else(|| bottleneck(&[]));
            scaling::recommend(&knee, held(curve), &binding, demand)
        });
        Concluded { resources, binding, autoscaling }
    }

    /// When a metric that counts instances first rose above the most that it was in
    /// `before`, in microseconds of the load.
    pub(super) fn scaled_out(&self, attack: usize, before: Span) -> Option<u64> {
        let attack = u32::try_from(attack).ok()?;
        let counts =
            |(place, metric): &(Place, Metric)| place.attack == attack && *metric == Metric::Instances;
        let series = self.values.iter().filter(|(key, _)| counts(key)).map(|(_, values)| &values.read);
        let rose = series.filter_map(|read| {
            let most = read.iter().filter(|(at, _)| (before.start..before.end).contains(at));
            let most = most.map(|(_, value)| *value).max_by(f64::total_cmp)?;
            let more = read.iter().filter(|(at, value)| *at >= before.end && *value > most);
            more.map(|(at, _)| *at).min()
        });
        rose.min()
    }
}

impl Values {
    fn add(&mut self, at: u64, value: f64) {
        self.count += 1;
        self.sum += value;
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
        self.read.push((at, value));
        if self.read.len() >= 2 * MOST {
            self.read.sort_by_key(|(at, _)| *at);
            self.read = means(&self.read, MOST);
        }
    }

    fn capacity(&self) -> Option<f64> {
        self.capacity.map(|(_, capacity)| capacity)
    }

    /// Its mean in each stretch of load. A reading stands for the time since the one
    /// before it, so the first that counts is one that lies wholly in the stretch.
    fn against(&self, name: &str, metric: Option<&str>, rates: &[AtRate], every: u64) -> Resource {
        let observation = |rate: &AtRate| {
            let within = self.within(Span { start: rate.span.start + every, end: rate.span.end + 1 });
            let sum: f64 = within.iter().map(|(_, value)| value).sum();
            Observation {
                offered: rate.offered,
                achieved: rate.achieved,
                failed: rate.failed,
                answered: rate.answered,
                value: if within.is_empty() { 0.0 } else { sum / within.len() as f64 },
                samples: u32::try_from(within.len()).unwrap_or(u32::MAX),
            }
        };
        Resource {
            name: name.to_owned(),
            metric: metric.map(ToOwned::to_owned),
            capacity: self.capacity(),
            observations: rates.iter().map(observation).collect(),
        }
    }

    fn within(&self, span: Span) -> &[(u64, f64)] {
        let from = self.read.partition_point(|(at, _)| *at < span.start);
        let until = self.read.partition_point(|(at, _)| *at < span.end);
        self.read.get(from..until).unwrap_or_default()
    }

    fn leak_in(&self, hold: Span) -> Leak {
        let samples: Vec<Sample> = self.within(hold).iter().map(sample).collect();
        leak(&samples, [seconds(hold.start), seconds(hold.end)], self.capacity())
    }

    fn series(&self) -> Vec<Sample> {
        means(&self.read, POINTS).iter().map(sample).collect()
    }
}

fn sample(&(at, value): &(u64, f64)) -> Sample {
    Sample { at_s: seconds(at), value }
}

/// The means of as many neighbours as leave no more than `most`.
fn means(read: &[(u64, f64)], most: usize) -> Vec<(u64, f64)> {
    let each = read.len().div_ceil(most).max(1);
    let mean = |part: &[(u64, f64)]| {
        let count = part.len() as u64;
        let at = part.iter().map(|(at, _)| *at / count).sum::<u64>();
        (at, part.iter().map(|(_, value)| value).sum::<f64>() / count as f64)
    };
    read.chunks(each).map(mean).collect()
}

/// How many requests per second a step asked of the target. By its schedule it may be
/// more or less: random arrivals fall as they were drawn, and what a lost worker would
/// have sent nobody asked.
pub(super) fn offered(point: &CurvePoint) -> f64 {
    let errors = point.error_ratio.filter(|errors| *errors < 1.0);
    errors.map_or(point.rate, |errors| point.succeeded / (1.0 - errors))
}

/// The highest rate that held, and every lower one with it; of several steps at one rate
/// the last counts. A search says which held. Other steps did when they kept up, errors
/// had not risen, and throughput ÷ response time had not fallen as it does behind a knee.
fn held(curve: &[CurvePoint]) -> Option<f64> {
    let mut steps: Vec<&CurvePoint> = curve.iter().collect();
    steps.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let mut held = None;
    let mut power = 0.0_f64;
    for (index, step) in steps.iter().enumerate() {
        if steps.get(index + 1).is_some_and(|next| next.rate <= step.rate) {
            continue;
        }
        let due = offered(step);
        let holds = match &step.outcome {
            Some(Outcome::Held) => true,
            Some(Outcome::Broke { .. }) => false,
            // What says nothing of the target.
            Some(Outcome::GeneratorLimited | Outcome::NoEvidence) => continue,
            None => {
                let at = step.p50.map_or(0.0, |p50| step.succeeded / p50);
                power = power.max(at);
                step.achieved >= KEPT_UP * due
                    && step.error_ratio.is_some_and(|errors| errors <= ERRORS)
                    && at >= knee::FALLEN * power
            }
        };
        if !holds {
            break;
        }
        held = Some(due);
    }
    held
}

/// The longest stretch in which an attack's load stays the same, its beginning left
/// out; nothing when it never does for long.
pub(super) fn hold(load: &Load, span: Span) -> Option<Span> {
    let start = match load {
        Load::Constant { .. } => span.start,
        Load::Ramp { over, .. } => span.start + micros(*over),
        Load::Users { ramp, .. } => span.start + micros(*ramp),
        Load::Steps { .. } | Load::Burst { .. } | Load::Search(_) | Load::Step { .. } => return None,
    };
    let length = span.end.checked_sub(start).filter(|length| *length > 0)?;
    Some(Span { start: start + length / WARM_UP, end: span.end })
}
