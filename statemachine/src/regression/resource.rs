//! What load does to a resource: its line against the achieved rate.

use serde::{Deserialize, Serialize};

use super::Line;

/// The fewest steps at different rates that say how a resource grows: two
/// degrees of freedom.
pub const MIN_STEPS: usize = 4;

/// The fewest samples of a step that count; a source that is read less often
/// during a step says nothing about it.
pub const MIN_SAMPLES: u32 = 3;

/// The least ratio of the highest achieved rate to the lowest: a line must not
/// be drawn much farther than it was seen.
pub const MIN_SPAN: f64 = 2.0;

/// A resource is flat when, from the lowest rate to the highest, it changes by
/// less than this ratio of its capacity, or of its largest value when it has
/// none.
pub const FLAT: f64 = 0.05;

/// The least R² of a line that is drawn on to where the resource is full. A worse one
/// does not say how full it is either.
pub const MIN_R2: f64 = 0.8;

/// A resource binds when, at the highest rate that was achieved, it is at least
/// this full. Below it, something else gave way.
pub const NEAR: f64 = 0.8;

/// A resource at this ratio of its capacity is full, and cannot tell how much
/// more was asked of it.
const FULL: f64 = 0.98;

/// A step whose answered rate is below this ratio of what was asked of it is
/// overloaded: what a resource does there is not what that answered rate takes.
pub const KEPT_UP: f64 = 0.95;

/// A step of whose requests so many more failed than of the one with the fewest, as a
/// ratio, is overloaded likewise: what is refused at once takes little of anything.
const FAILED_MORE: f64 = 0.05;

/// A later step that is at this ratio of an earlier one's rate, or below, tells what
/// grows with the rate from what grows with time.
const LOWER: f64 = 0.9;

/// A slope is there when noise alone is less likely than this to show it.
const SIGNIFICANCE: f64 = 0.05;

/// A resource during one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Requests due per second; zero where nobody knows.
    #[serde(default)]
    pub offered: f64,
    /// Requests answered per second.
    pub achieved: f64,
    /// Requests that failed ÷ requests due, 0–1.
    #[serde(default)]
    pub failed: f64,
    /// Requests answered since the load began, at the middle of the step.
    #[serde(default)]
    pub answered: f64,
    /// Its mean, in its own unit.
    pub value: f64,
    /// How many samples that is the mean of.
    pub samples: u32,
}

impl Observation {
    /// Whether enough of what was asked was answered in time, and as well as in the step
    /// where the fewest failed.
    fn kept_up(&self, fewest_failed: f64) -> bool {
        self.achieved >= KEPT_UP * self.offered && self.failed <= fewest_failed + FAILED_MORE
    }
}

/// A resource during all steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// What reports call it.
    pub name: String,
    /// `cpu`, `memory`, or what its source calls it: its name in a config. Nothing when
    /// nothing was read of it.
    pub metric: Option<String>,
    /// At what value it is full, in its own unit (100 for a percentage); nothing
    /// when it has no end or nobody knows it.
    pub capacity: Option<f64>,
    /// In any order.
    pub observations: Vec<Observation>,
}

/// What load does to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It grows with load.
    Grows,
    /// It does not change to speak of.
    Flat,
    /// It falls with load.
    Falls,
    /// It grows with the number of requests that were served so far, whatever their
    /// rate: what was taken is not given back.
    Accumulates,
    /// Too little was seen, or it was too noisy.
    NoEvidence,
}

/// A resource against load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// The resource.
    pub name: String,
    /// What load does to it.
    pub verdict: Effect,
    /// Its value against the achieved rate, where there was enough to draw it.
    #[serde(flatten)]
    pub line: Option<Line>,
    /// How full it is at the highest rate that was achieved, as a ratio: the
    /// larger of what was seen and what the line says, if it is one.
    pub full_ratio: Option<f64>,
    /// The achieved rate at which it is full, per second: where its line reaches
    /// its capacity, or where it was seen full when the steps below make no line.
    pub full_at: Option<f64>,
    /// Why there is no evidence, or no rate at which it is full, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

pub(super) fn is_sampled(observation: &Observation) -> bool {
    observation.samples >= MIN_SAMPLES
        && observation.achieved.is_finite()
        && observation.achieved > 0.0
        && observation.value.is_finite()
}

pub(super) fn trend(resource: &Resource) -> Trend {
    let capacity = resource.capacity.filter(|capacity| *capacity > 0.0 && capacity.is_finite());
    let seen: Vec<&Observation> = resource.observations.iter().filter(|of| is_sampled(of)).collect();
    let is_full = |observation: &Observation| capacity.is_some_and(|full| observation.value >= FULL * full);
    let (full, below): (Vec<&Observation>, Vec<&Observation>) =
        seen.iter().copied().partition(|observation| is_full(observation));
    let fewest_failed = seen.iter().map(|of| of.failed).min_by(f64::total_cmp).unwrap_or(0.0);
    let kept_up = |of: &&Observation| of.kept_up(fewest_failed);
    let growing: Vec<&Observation> = below.into_iter().filter(kept_up).collect();
    // Of steps that were overloaded the highest counts: what is full may answer less and less.
    let (full, overloaded): (Vec<&Observation>, Vec<&Observation>) = full.into_iter().partition(kept_up);
    let full_at = lowest(&full).or(overloaded.iter().map(|of| of.achieved).max_by(f64::total_cmp));
    let points: Vec<(f64, f64)> =
        growing.iter().map(|observation| (observation.achieved, observation.value)).collect();
    let reached = seen.iter().map(|observation| observation.achieved).fold(0.0, f64::max);
    let highest = seen.iter().map(|observation| observation.value).max_by(f64::total_cmp);
    let ratio = |value: f64| capacity.map(|capacity| value / capacity);
    let mut trend = Trend {
        name: resource.name.clone(),
        verdict: Effect::NoEvidence,
        line: None,
        full_ratio: highest.and_then(ratio),
        full_at: None,
        reason: None,
    };
    let (line, span) = match line(resource, &points) {
        Ok(found) => found,
        Err(reason) => {
            trend.reason = Some(reason);
            return seen_full(trend, full_at, &growing);
        }
    };
    trend.line = Some(line);
    if line.r2 >= MIN_R2 {
        trend.full_ratio = highest.and_then(|highest| ratio(highest.max(line.at(reached))));
    }
    // How much it changes over the rates that were seen, and how sure that is.
    let largest = points.iter().map(|(_, value)| value.abs()).fold(0.0, f64::max);
    let scale = capacity.unwrap_or(largest);
    let (change, margin) = (line.slope * span, line.margin() * span);
    if change.abs() >= FLAT * scale && scale > 0.0 && line.p_value() < SIGNIFICANCE {
        trend.verdict = if change > 0.0 { Effect::Grows } else { Effect::Falls };
    } else if change.abs() + margin <= 2.0 * FLAT * scale {
        trend.verdict = Effect::Flat;
    } else {
        trend.reason = Some("it varied too much from step to step to tell what load does to it".to_owned());
    }
    let least = points.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    let spread = points.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max) - least;
    if scale > 0.0 && spread >= FLAT * scale && accumulates(&growing, &line) {
        trend.verdict = Effect::Accumulates;
        trend.reason =
            Some("it grows with the requests that were served, and not with their rate".to_owned());
        return trend;
    }
    if trend.verdict == Effect::Grows {
        match capacity {
            None => trend.reason = Some("nobody said when it is full".to_owned()),
            Some(_) if line.r2 < MIN_R2 => {
                trend.reason =
                    Some(format!("it grows, but not along a line (R² {:.2}; it takes {MIN_R2})", line.r2));
            }
            Some(capacity) => trend.full_at = line.reaches(capacity),
        }
    }
    if trend.full_at.is_none() { seen_full(trend, full_at, &growing) } else { trend }
}

/// Whether the requests served so far explain a resource better than their rate does,
/// as well as a line must. Rates that only ever rise cannot tell the two apart, and
/// then it is the rate.
fn accumulates(steps: &[&Observation], against_rate: &Line) -> bool {
    let falls_back = |one: &&Observation| {
        steps.iter().any(|later| later.answered > one.answered && later.achieved < LOWER * one.achieved)
    };
    if !steps.iter().any(falls_back) {
        return false;
    }
    let so_far: Vec<(f64, f64)> = steps.iter().map(|step| (step.answered, step.value)).collect();
    Line::fit(&so_far).is_some_and(|line| line.slope > 0.0 && line.r2 >= MIN_R2 && line.r2 > against_rate.r2)
}

/// Takes the rate at which a resource was seen full for the one at which it is, if at a
/// lower one it was not: what is always full is not filled by load.
fn seen_full(trend: Trend, full_at: Option<f64>, growing: &[&Observation]) -> Trend {
    match (lowest(growing), full_at) {
        (Some(below), Some(full)) if below < full => {
            Trend { verdict: Effect::Grows, full_at: Some(full), ..trend }
        }
        _ => trend,
    }
}

/// The lowest rate of steps.
fn lowest(steps: &[&Observation]) -> Option<f64> {
    steps.iter().map(|step| step.achieved).min_by(f64::total_cmp)
}

/// The line through the steps that count, and how many requests per second they
/// span; or why there is none.
fn line(resource: &Resource, points: &[(f64, f64)]) -> Result<(Line, f64), String> {
    if resource.observations.iter().all(|step| step.samples == 0) {
        return Err("it was not read in any step".to_owned());
    }
    let mut rates: Vec<f64> = points.iter().map(|(achieved, _)| *achieved).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    if rates.len() < MIN_STEPS {
        return Err(format!(
            "{} of {} steps have {MIN_SAMPLES} samples below its capacity, and kept up; it takes {MIN_STEPS} at different rates",
            rates.len(),
            resource.observations.len()
        ));
    }
    let (lowest, highest) = (rates[0], rates[rates.len() - 1]);
    if highest < lowest * MIN_SPAN {
        return Err(format!(
            "rates from {lowest:.1}/s to {highest:.1}/s are too close; it takes {MIN_SPAN}-fold"
        ));
    }
    let line = Line::fit(points).ok_or("no line passes through the steps")?;
    Ok((line, highest - lowest))
}
