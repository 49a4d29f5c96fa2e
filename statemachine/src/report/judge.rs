//! Decides what may be concluded from what was measured.
//!
//! In doubt the answer is *inconclusive*, never *passed*: no data, too little
//! coverage, a load that was cut short, or a generator that may itself have
//! broken the promise. Lag only ever lengthens response time, so a promise
//! that held while the generator was limited still holds.

use std::time::Duration;

use super::{COVERAGE, Capacity, Phase, Promise, Report, StepSeen, Stop, Verdict, error_ratio};
use crate::plan::Plan;
use crate::search;
use crate::slo::{Metric, Rule};
use crate::window::Tally;

/// What the judgement looks at beside the report itself.
pub(super) struct Observed<'a> {
    /// By attack.
    pub totals: &'a [Tally],
    /// By attack: how long its requests were due.
    pub run_for: &'a [Duration],
    /// Of a search: the step that decides, the confirming hold or else the last.
    pub deciding: Option<&'a StepSeen<'a>>,
    /// How far the run had come.
    pub phase: Phase,
}

/// Fills in promises, reasons and the verdict.
pub(super) fn judge(report: &mut Report, plan: &Plan, observed: &Observed<'_>) {
    for (index, attack) in plan.config.attacks().iter().enumerate() {
        for rule in &attack.slo {
            let promise = match &report.attacks[index].capacity {
                Some(capacity) => criterion(rule, &attack.name, capacity, observed),
                None => promise(rule, index, report, observed),
            };
            report.slo.push(promise);
        }
    }
    let failures = reasons_to_fail(report);
    let doubts = reasons_to_doubt(report, observed);
    report.verdict = if !failures.is_empty() {
        Verdict::Failed
    } else if !doubts.is_empty() {
        Verdict::Inconclusive
    } else {
        Verdict::Passed
    };
    report.reasons = failures.into_iter().chain(doubts).collect();
}

/// What a metric comes to, in its unit, when so many requests were due in a time;
/// nothing without data.
pub(super) fn observed(metric: Metric, tally: &Tally, scheduled: u64, run_for: Duration) -> Option<f64> {
    let times = &tally.response_time;
    match metric {
        Metric::Percentile(percentile) => times.quantile_ms(percentile / 100.0),
        Metric::Max => times.max_ms(),
        Metric::Mean => times.mean_ms(),
        Metric::Errors => error_ratio(tally),
        Metric::Achieved => (scheduled > 0).then(|| tally.in_time as f64 / scheduled as f64),
        Metric::Rate => {
            (scheduled > 0 && !run_for.is_zero()).then(|| tally.in_time as f64 / run_for.as_secs_f64())
        }
    }
}

fn promise(rule: &Rule, attack: usize, report: &Report, observed: &Observed<'_>) -> Promise {
    let measured = &report.attacks[attack].all;
    let (tally, run_for) = (&observed.totals[attack], observed.run_for[attack]);
    let value = self::observed(rule.metric(), tally, measured.arrivals.scheduled, run_for);
    let (verdict, reason) = match value {
        None => (Verdict::Inconclusive, Some("there is no data to judge it by".to_owned())),
        Some(_) if report.coverage.ratio < COVERAGE => {
            (Verdict::Inconclusive, Some(format!("only {} was seen", coverage_text(report))))
        }
        Some(value) if rule.holds(value) => (Verdict::Passed, None),
        Some(_) if report.generator.limited => {
            (Verdict::Inconclusive, Some("it broke while the generator itself was limited".to_owned()))
        }
        Some(_) => (Verdict::Failed, None),
    };
    Promise { rule: rule.text().to_owned(), attack: measured.name.clone(), observed: value, verdict, reason }
}

/// A promise of a search is what it searches by: it holds when the search concluded,
/// and a hold confirmed it.
fn criterion(rule: &Rule, attack: &str, capacity: &Capacity, observed: &Observed<'_>) -> Promise {
    let value = observed.deciding.and_then(|step| step.value(rule));
    let (verdict, reason) = match capacity.conclusion.verdict {
        search::Verdict::Sustained | search::Verdict::AtLeastUpTo => (Verdict::Passed, None),
        search::Verdict::BelowFrom if value.is_some_and(|value| rule.holds(value)) => (Verdict::Passed, None),
        search::Verdict::BelowFrom => (Verdict::Failed, None),
        search::Verdict::Inconclusive => (Verdict::Inconclusive, Some(capacity.why())),
    };
    Promise { rule: rule.text().to_owned(), attack: attack.to_owned(), observed: value, verdict, reason }
}

fn reasons_to_fail(report: &Report) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(Stop::Condition { rule }) = &report.stopped {
        reasons.push(format!("stopped after {:.1} s: {rule}", report.duration_s));
    }
    let all = |count: fn(&super::Arrivals) -> u64| -> u64 {
        report.attacks.iter().map(|attack| count(&attack.all.arrivals)).sum()
    };
    let judged = all(|arrivals| arrivals.scheduled - arrivals.lost);
    if judged > 0 && all(|arrivals| arrivals.completed) == 0 {
        reasons.push(format!("nothing succeeded: {}", what_happened(report)));
    }
    for promise in report.slo.iter().filter(|promise| promise.verdict == Verdict::Failed) {
        reasons.push(format!("{} broke {}", promise.attack, promise.rule));
    }
    // A promise may hold of requests none of which succeeded.
    let silent = reasons.is_empty();
    for attack in report.attacks.iter().filter(|_| silent) {
        let found = attack.capacity.as_ref().map(|capacity| &capacity.conclusion);
        if let Some(found) = found.filter(|found| found.verdict == search::Verdict::BelowFrom) {
            let why = found.broke.as_deref().unwrap_or("a promise broke");
            reasons.push(format!("{why}, where the search of {} begins", attack.all.name));
        }
    }
    reasons
}

fn reasons_to_doubt(report: &Report, observed: &Observed<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(failure) = &report.failure {
        reasons.push(format!("the run did not go as planned: {} ({})", failure.cause, failure.error));
    }
    match &report.stopped {
        Some(Stop::Interrupted) => reasons.push(format!("interrupted after {:.1} s", report.duration_s)),
        Some(Stop::Requested) => reasons.push(format!("stopped on request after {:.1} s", report.duration_s)),
        Some(Stop::Unable { why }) => reasons.push(format!("no worker could send: {why}")),
        Some(Stop::Condition { .. }) | None => {}
    }
    let written = format!("written down reaches to {:.1} s", report.duration_s);
    match observed.phase {
        Phase::Killed if report.stopped.is_none() => {
            reasons.push(format!("the run was killed; what it had {written}"));
        }
        Phase::UnderWay => reasons.push(format!("the run is under way; what it has {written}")),
        Phase::Killed | Phase::Over => {}
    }
    if report.coverage.due_s == 0.0 {
        reasons.push("no load was due".to_owned());
    } else if report.coverage.ratio < COVERAGE {
        let why = match report.coverage.workers_lost {
            0 => "the load ended early, and nobody says why".to_owned(),
            _ => format!("{} lost", workers_lost(report)),
        };
        reasons.push(format!("coverage is {}: {why}", coverage_text(report)));
    }
    for capacity in report.attacks.iter().filter_map(|attack| attack.capacity.as_ref()) {
        if capacity.conclusion.verdict == search::Verdict::Inconclusive {
            reasons.push(format!("the search is inconclusive: {}", capacity.why()));
            return reasons;
        }
    }
    let doubtful = report.slo.iter().filter(|promise| promise.verdict == Verdict::Inconclusive);
    for promise in doubtful {
        let why = promise.reason.as_deref().unwrap_or("the evidence is missing");
        reasons.push(format!("{} on {}: {why}", promise.rule, promise.attack));
    }
    if report.generator.limited && report.slo.iter().any(|promise| promise.verdict == Verdict::Inconclusive) {
        let needed = report.generator.workers_needed.unwrap_or(0);
        reasons
            .push(format!("{}; it would take at least {needed} workers", report.generator.limits.join("; ")));
    }
    reasons
}

/// The commonest way in which requests ended, for a run without a success.
fn what_happened(report: &Report) -> String {
    let mut ways = std::collections::BTreeMap::<&str, u64>::new();
    for attack in &report.attacks {
        for (class, count) in &attack.all.errors {
            *ways.entry(class).or_default() += count;
        }
        *ways.entry("timed out").or_default() += attack.all.arrivals.timed_out;
        *ways.entry("dropped").or_default() += attack.all.arrivals.dropped;
    }
    let commonest = ways.into_iter().max_by_key(|(_, count)| *count);
    commonest.map_or_else(|| "nothing was sent".to_owned(), |(way, count)| format!("{count} × {way}"))
}

fn workers_lost(report: &Report) -> String {
    format!("{} of {} workers", report.coverage.workers_lost, report.coverage.workers)
}

/// Coverage as people say it: `49.2 of 50 worker-minutes`.
fn coverage_text(report: &Report) -> String {
    let (seen, due) = (report.coverage.seen_s, report.coverage.due_s);
    if due >= 120.0 {
        format!("{:.1} of {:.1} worker-minutes", seen / 60.0, due / 60.0)
    } else {
        format!("{seen:.1} of {due:.1} worker-seconds")
    }
}
