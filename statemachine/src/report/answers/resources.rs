//! The answers about resources: which one load fills, which one time fills, and at
//! what level to scale out.

use super::{Answer, Confidence, per_second};
use crate::regression::{Binding, Bottleneck, Effect, KEPT_UP, Leak, LeakVerdict, MIN_R2, NEAR, Trend};
use crate::report::resources::{ERRORS, offered};
use crate::report::{AttackReport, CurvePoint, ResourceReport};
use crate::scaling::Verdict;
use crate::search;

/// How load affects the target's resources. Asked of every load that has steps.
pub(super) fn of_load(attack: &AttackReport) -> Option<Answer> {
    let answer = |answer: String, evidence: Vec<String>, confidence: Confidence| Answer {
        attack: attack.all.name.clone(),
        question: "How does load affect its resources, and which one is full first?".to_owned(),
        answer,
        evidence,
        confidence,
    };
    let unwatched = || {
        let what = "No evidence: no resource was watched; name some under resources".to_owned();
        answer(format!("{what}."), Vec::new(), Confidence::NoEvidence)
    };
    let Some(binding) = &attack.binding_resource else {
        return attack.capacity.as_ref().map(|_| unwatched());
    };
    let blind = binding.resources.iter().all(|trend| trend.verdict == Effect::NoEvidence);
    let unread = attack.resources.iter().filter_map(unread);
    let facts: Vec<String> =
        attack.resources.iter().filter_map(|of| fact(of, of.trend.as_ref()?)).chain(unread).collect();
    Some(match binding.verdict {
        Bottleneck::NoEvidence if attack.resources.is_empty() => unwatched(),
        Bottleneck::NoEvidence => {
            let why = binding.reason.as_deref().filter(|_| !blind);
            let why = why.unwrap_or("too little is known of any resource");
            answer(format!("No evidence: {why}."), facts, Confidence::NoEvidence)
        }
        Bottleneck::Binds => answer(binds(binding), facts, Confidence::Measured),
        Bottleneck::NoneBinds => answer(none_binds(attack, binding), facts, Confidence::Measured),
    })
}

fn none_binds(attack: &AttackReport, binding: &Binding) -> String {
    // One may be nearly full all the time, whatever the load.
    let is_full = |trend: &Trend| trend.full_ratio.is_some_and(|ratio| ratio >= NEAR);
    let none = if binding.resources.iter().any(is_full) {
        "Load fills none of those that were watched"
    } else {
        "None of those that were watched is near being full"
    };
    if gave_way(attack) {
        format!("{none}; something else gave way.")
    } else {
        format!("{none}, up to the highest rate that was tried.")
    }
}

/// Whether the target gave way at all: a promise broke in a search, or at the highest
/// step much was not answered in time, or more failed than at the lowest.
fn gave_way(attack: &AttackReport) -> bool {
    if let Some(capacity) = &attack.capacity {
        return match capacity.conclusion.verdict {
            search::Verdict::Sustained | search::Verdict::BelowFrom => true,
            search::Verdict::AtLeastUpTo => false,
            search::Verdict::Inconclusive => capacity.gave_way.is_some(),
        };
    }
    let by_rate = |a: &&CurvePoint, b: &&CurvePoint| a.rate.total_cmp(&b.rate);
    let lowest = attack.curve.iter().min_by(by_rate);
    let highest = attack.curve.iter().max_by(by_rate);
    lowest.zip(highest).is_some_and(|(lowest, highest)| {
        let errors = |point: &CurvePoint| point.error_ratio.unwrap_or(0.0);
        highest.achieved < KEPT_UP * offered(highest) || errors(highest) > errors(lowest) + ERRORS
    })
}

/// `cpu is full first: +0.0412 %/(req/s), full at 2,050/s.` Or, where that rate is not
/// known: `cpu is nearest to being full: 96 % of it was reached.`
fn binds(binding: &Binding) -> String {
    let name = binding.name.as_deref().unwrap_or("a resource");
    // One that is far from full may be full at a lower rate than one that always nearly is.
    let is_first =
        |rate: &f64| binding.resources.iter().all(|of| of.full_at.is_none_or(|other| other >= *rate));
    let Some(full_at) = binding.full_at.filter(is_first) else {
        let trend = binding.resources.iter().find(|trend| Some(&trend.name) == binding.name.as_ref());
        let reached = trend.and_then(|trend| trend.full_ratio).unwrap_or(NEAR);
        return format!("{name} is nearest to being full: {:.0} % of it was reached.", reached * 100.0);
    };
    let slope = binding.line.filter(|line| line.r2 >= MIN_R2).zip(binding.capacity);
    let slope = slope.map_or(String::new(), |(line, capacity)| {
        format!("{:+.4} %/(req/s), ", line.slope / capacity * 100.0)
    });
    format!("{name} is full first: {slope}full at {}.", per_second(full_at))
}

fn fact(of: &ResourceReport, trend: &Trend) -> Option<String> {
    let name = &of.name;
    let unit = of.metric.as_deref()?;
    let reached =
        trend.full_ratio.map_or(String::new(), |ratio| format!(", {:.0} % of it at most", ratio * 100.0));
    let line = trend.line.map(|line| {
        let slope = of.capacity.map_or_else(
            || format!("{:+.4} {unit}/(req/s)", line.slope),
            |capacity| format!("{:+.4} %/(req/s)", line.slope / capacity * 100.0),
        );
        format!("{slope}, R² {:.3}", line.r2)
    });
    let line = line.map_or(String::new(), |line| format!(" ({line})"));
    let full = trend.full_at.map_or(String::new(), |rate| format!(", full at {}", per_second(rate)));
    let why = trend.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    Some(match trend.verdict {
        Effect::Grows => format!("{name} grows with load{line}{reached}{full}{why}"),
        Effect::Flat => format!("{name} is flat{reached}"),
        Effect::Falls => format!("{name} falls with load{line}"),
        Effect::Accumulates => format!("{name} accumulates{reached}{why}"),
        Effect::NoEvidence => format!("no evidence of {name}{why}"),
    })
}

/// What could not be read.
fn unread(of: &ResourceReport) -> Option<String> {
    let why = of.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
    of.metric.is_none().then(|| format!("{} was never read{why}", of.name))
}

/// Whether something keeps growing though the load does not.
pub(super) fn of_hold(attack: &AttackReport) -> Option<Answer> {
    let seen: Vec<(&ResourceReport, &Leak)> =
        attack.resources.iter().filter_map(|of| Some((of, of.leak.as_ref()?))).collect();
    let known = |leak: &Leak| leak.verdict != LeakVerdict::NoEvidence;
    // A search is not made for this, and most of its holds are too short to tell.
    if seen.is_empty() || (attack.capacity.is_some() && !seen.iter().any(|(_, leak)| known(leak))) {
        return None;
    }
    let leaks: Vec<&str> = seen
        .iter()
        .filter(|(_, leak)| leak.verdict == LeakVerdict::Leaks)
        .map(|(of, _)| of.name.as_str())
        .collect();
    let (answer, confidence) = if !leaks.is_empty() {
        (format!("{} keeps growing.", leaks.join(" and ")), Confidence::Measured)
    } else if seen.iter().all(|(_, leak)| known(leak)) {
        ("No steady growth shows.".to_owned(), Confidence::Measured)
    } else {
        ("No evidence: too little was seen.".to_owned(), Confidence::NoEvidence)
    };
    Some(Answer {
        attack: attack.all.name.clone(),
        question: "Does it leak under a load that stays the same?".to_owned(),
        answer,
        evidence: seen.iter().map(|(of, leak)| growth(of, leak)).collect(),
        confidence,
    })
}

fn growth(of: &ResourceReport, leak: &Leak) -> String {
    let name = &of.name;
    let amount = |value: f64| amount(of.metric.as_deref(), value);
    let interval = leak.per_hour_interval.map_or(String::new(), |[low, high]| {
        format!(", 95 % sure between {} and {}", amount(low), amount(high))
    });
    match (leak.verdict, leak.per_hour) {
        (LeakVerdict::Leaks, Some(per_hour)) => {
            let full =
                leak.hours_to_exhaustion.map_or(String::new(), |hours| format!("; full in {hours:.1} hours"));
            format!("{name} grows by {} an hour{interval}{full}", amount(per_hour))
        }
        (LeakVerdict::None, Some(_)) => {
            let unseen = leak.per_hour_interval.map_or(String::new(), |[_, high]| {
                format!("; what could go unseen is {} an hour", amount(high.max(0.0)))
            });
            format!("{name} shows no steady growth{unseen}")
        }
        _ => format!("no evidence of {name}: {}", leak.reason.as_deref().unwrap_or("too little was seen")),
    }
}

/// An amount of a metric as people read it.
fn amount(metric: Option<&str>, value: f64) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    if metric == Some("memory") { format!("{:.1} MiB", value / MIB) } else { format!("{value:.1}") }
}

/// At what level to scale out.
pub(super) fn of_scaling(attack: &AttackReport) -> Option<Answer> {
    let answer = |answer: String, evidence: Vec<String>, confidence: Confidence| Answer {
        attack: attack.all.name.clone(),
        question: "At what level should it scale out, if at all?".to_owned(),
        answer,
        evidence,
        confidence,
    };
    let Some(scaling) = &attack.autoscaling else {
        return attack.capacity.as_ref().map(|_| {
            let what =
                "No evidence: nothing is declared under autoscaling, such as the peak that is expected.";
            answer(what.to_owned(), Vec::new(), Confidence::NoEvidence)
        });
    };
    let fleet =
        |instances: Option<u32>| instances.map_or("–".to_owned(), |instances| instances.to_string());
    let short = match scaling.verdict {
        Verdict::ScaleAt => format!(
            "At {:.0} % of {}, {} an instance, with {} to {} instances.",
            scaling.utilisation.unwrap_or(0.0) * 100.0,
            scaling.resource.as_deref().unwrap_or("its resource"),
            scaling.rate_per_instance.map_or("–".to_owned(), per_second),
            fleet(scaling.minimum_fleet),
            fleet(scaling.maximum_fleet),
        ),
        Verdict::NotNeeded => {
            "Not needed: the smallest fleet serves the declared peak with a margin.".to_owned()
        }
        Verdict::TooSlow => {
            format!("It would come too late; keep {} instances from the start.", fleet(scaling.minimum_fleet))
        }
        Verdict::NoEvidence => {
            let why = scaling.arithmetic.first().map_or("the measurements do not say", String::as_str);
            return Some(answer(format!("No evidence: {why}."), Vec::new(), Confidence::NoEvidence));
        }
    };
    Some(answer(short, scaling.arithmetic.clone(), Confidence::Measured))
}
