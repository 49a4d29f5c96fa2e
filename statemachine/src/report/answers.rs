//! The answers with which a report opens: in plain sentences, each with its evidence
//! and how sure it is. Where the evidence is missing, the answer says so.

mod resources;

use serde::{Deserialize, Serialize};

use super::{AttackReport, Capacity, CurvePoint, GaveWay, Report};
use crate::burst::{self, Burst};
use crate::plan::Plan;
use crate::search::{HOLD_STEPS, Search, Verdict};
use crate::units::display_duration;
use crate::usl::{Limit, Usl};

/// How far an answer may be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It was found, and found again.
    Confirmed,
    /// It was measured.
    Measured,
    /// The evidence does not carry one.
    NoEvidence,
}

/// An answer to one of the questions that a run was made for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The attack.
    pub attack: String,
    /// What was asked.
    pub question: String,
    /// The answer, as a sentence.
    pub answer: String,
    /// What it rests on.
    pub evidence: Vec<String>,
    /// How far it goes.
    pub confidence: Confidence,
}

/// What a report answers.
pub(super) fn answers(report: &Report, plan: &Plan) -> Vec<Answer> {
    let mut answers = Vec::new();
    for attack in &report.attacks {
        if let (Some(capacity), Some(search)) = (&attack.capacity, plan.config.search()) {
            answers.push(of_capacity(attack, capacity, search));
        }
        answers.extend(resources::of_load(attack));
        answers.extend(resources::of_hold(attack));
        answers.extend(resources::of_scaling(attack));
        answers.extend(of_latency(attack));
        answers.extend(attack.burst.as_ref().map(|burst| of_burst(attack, burst)));
    }
    answers
}

fn of_capacity(attack: &AttackReport, capacity: &Capacity, search: &Search) -> Answer {
    let found = &capacity.conclusion;
    let broke = || {
        let promise = found.broke.as_deref().unwrap_or("a promise");
        let how = match capacity.gave_way {
            Some(GaveWay::Errors) => ", as it refused requests",
            Some(GaveWay::Queueing) => ", as requests queued up",
            None => "",
        };
        format!("{promise} broke first{how}")
    };
    let [low, high] = found.sustained.map(|rate| rate.map_or("–".to_owned(), per_second));
    let answer = match found.verdict {
        Verdict::Sustained => format!("It sustains {low} and not {high}: {} there.", broke()),
        Verdict::AtLeastUpTo => {
            format!("It sustains {low}, the most that was to be tried; where it breaks is beyond.")
        }
        Verdict::BelowFrom => format!("It does not sustain {}: {}.", search.from(), broke()),
        Verdict::Inconclusive => format!("Inconclusive: {}.", capacity.why()),
    };
    let confidence = match found.verdict {
        Verdict::Sustained | Verdict::AtLeastUpTo => Confidence::Confirmed,
        Verdict::BelowFrom => Confidence::Measured,
        Verdict::Inconclusive => Confidence::NoEvidence,
    };
    Answer {
        attack: attack.all.name.clone(),
        question: "How much traffic can it serve, and where does it break?".to_owned(),
        answer,
        evidence: evidence(capacity, search),
        confidence,
    }
}

fn evidence(capacity: &Capacity, search: &Search) -> Vec<String> {
    let found = &capacity.conclusion;
    let repeated = match found.repeats {
        0 => String::new(),
        1 => ", one of them to see a failure again".to_owned(),
        repeats => format!(", {repeats} of them to see a failure again"),
    };
    let step = display_duration(search.step());
    let mut evidence = vec![format!("{} steps of {step}{repeated}", found.steps)];
    if let (true, [Some(rate), _]) = (found.confirmed, found.sustained) {
        let hold = display_duration(search.step() * HOLD_STEPS);
        evidence.push(format!("{} was held for {hold}, and every promise with it", per_second(rate)));
    }
    if let Some(rate) = capacity.knee {
        evidence.push(format!(
            "the knee is at {}: beyond it response time grows faster than throughput",
            per_second(rate)
        ));
    }
    if let Usl::Fits { sigma, kappa, r2, limit, ceiling, peak, .. } = &capacity.usl {
        let law = match limit {
            Limit::Nothing => "nothing limits it as far as it was loaded".to_owned(),
            Limit::Contention => format!(
                "contention limits it (σ {sigma:.3}){}",
                ceiling.map_or(String::new(), |most| format!(", at {} in the end", per_second(most)))
            ),
            Limit::Coherency => format!(
                "coherency limits it (κ {kappa:.5}){}",
                peak.map_or(String::new(), |peak| format!(", {} at most", per_second(peak.throughput)))
            ),
        };
        evidence.push(format!("by the Universal Scalability Law, {law}; R² {r2:.3}"));
    }
    evidence
}

/// At the lowest and at the highest rate that was tried. What failed is in no
/// percentile, so how much that was stands beside it.
fn of_latency(attack: &AttackReport) -> Option<Answer> {
    let mut curve: Vec<&CurvePoint> = attack.curve.iter().collect();
    curve.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let (lowest, highest) = (curve.first()?, curve.last().filter(|_| curve.len() > 1)?);
    if curve.iter().all(|point| point.p99.is_none()) {
        return None;
    }
    let at = |point: &CurvePoint| {
        let rate = per_second(point.rate);
        let errors = point.error_ratio.unwrap_or(0.0) * 100.0;
        match point.p99 {
            None => format!("unknown at {rate}, where nothing succeeded"),
            Some(_) if errors > 0.0 => {
                format!("{} at {rate}, where {errors:.1} % failed", time(point.p99))
            }
            Some(_) => format!("{} at {rate}", time(point.p99)),
        }
    };
    let intervals = curve.iter().filter(|point| point.p99_interval.is_some()).count();
    Some(Answer {
        attack: attack.all.name.clone(),
        question: "What is its latency, and how does that vary with load?".to_owned(),
        answer: format!("p99 is {}, and {}.", at(lowest), at(highest)),
        evidence: vec![format!(
            "the curve below: {} steps, {intervals} of them long enough for an interval that holds p99 with 95 % confidence",
            curve.len()
        )],
        confidence: Confidence::Measured,
    })
}

fn of_burst(attack: &AttackReport, burst: &Burst) -> Answer {
    let seconds = |s: Option<f64>| s.map_or("–".to_owned(), |s| format!("{s:.1} s"));
    let excess = match burst.gave_way {
        Some(burst::GaveWay::Nothing) => "It served the burst like the rest".to_owned(),
        Some(burst::GaveWay::Shed) => {
            format!("It shed {:.1} % of the burst", burst.shed_ratio.unwrap_or(0.0) * 100.0)
        }
        Some(burst::GaveWay::Queued) => "It queued the excess of the burst".to_owned(),
        None => "Nothing can be said of the burst".to_owned(),
    };
    let since = match burst.verdict {
        burst::Verdict::Recovered => {
            format!("it was as good as before {} after it", seconds(burst.recovery_s))
        }
        burst::Verdict::Recovering => {
            "when the load ended it was getting better, and not as good yet".to_owned()
        }
        burst::Verdict::NeverRecovered => {
            "it never recovered: long after, it is no better (a metastable failure)".to_owned()
        }
        burst::Verdict::NoEvidence => {
            burst.reason.clone().unwrap_or_else(|| "too little was seen".to_owned())
        }
    };
    let mut evidence = Vec::new();
    if let (Some(base), Some(peak)) = (burst.baseline_p99_ms, burst.peak_p99_ms) {
        evidence.push(format!("p99 was {} before, and {} at most", time(Some(base)), time(Some(peak))));
    }
    if let Some(first) = burst.first_error_s {
        evidence.push(format!("the first errors came {first:.1} s into it"));
    }
    if let Some(after) = burst.scaled_out_s {
        evidence.push(format!("there were more instances {after:.1} s after it began"));
    }
    let is_evidence = |burst: &&Burst| burst.verdict != burst::Verdict::NoEvidence;
    match (attack.bursts.len(), attack.bursts.iter().filter(is_evidence).count()) {
        (0 | 1, _) => {}
        (all, 0) => evidence.push(format!("none of {all} bursts is evidence")),
        (all, some) if some < all => {
            evidence.push(format!("the worst of the {some} of {all} bursts of which something can be said"));
        }
        (all, _) => evidence.push(format!("the worst of {all} bursts")),
    }
    let confidence = if burst.verdict == burst::Verdict::NoEvidence {
        Confidence::NoEvidence
    } else {
        Confidence::Measured
    };
    Answer {
        attack: attack.all.name.clone(),
        question: "How does it take a sudden burst?".to_owned(),
        answer: format!("{excess}; {since}."),
        evidence,
        confidence,
    }
}

/// A time as people read it.
fn time(ms: Option<f64>) -> String {
    match ms {
        None => "–".to_owned(),
        Some(ms) if ms >= 1000.0 => format!("{:.2} s", ms / 1000.0),
        Some(ms) if ms >= 100.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{ms:.1} ms"),
    }
}

/// A rate as people read it: `45.2/s`, `1,587/s`.
fn per_second(rate: f64) -> String {
    if rate < 100.0 {
        return format!("{rate:.1}/s");
    }
    let digits = format!("{rate:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + "/s"
}
