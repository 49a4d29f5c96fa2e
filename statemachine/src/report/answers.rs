//! The answers with which a report opens: in plain sentences, each with its evidence
//! and how sure it is. Where the evidence is missing, the answer says so.

use serde::{Deserialize, Serialize};

use super::{AttackReport, Capacity, GaveWay, Report};
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

/// A rate as people read it.
fn per_second(rate: f64) -> String {
    if rate >= 100.0 { format!("{rate:.0}/s") } else { format!("{rate:.1}/s") }
}
