//! Which of several resources binds: the one that is full first as the rate rises.

use serde::{Deserialize, Serialize};

use super::Line;
use super::resource::{Effect, NEAR, Observation, Resource, Trend, is_sampled, trend};

/// A resource was seen under the highest rate when it was read in a step that is at this
/// ratio of it, or above.
const TOP: f64 = 0.9;

/// Whether a resource binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bottleneck {
    /// Load fills one, and nearly has at the highest rate.
    Binds,
    /// Load brings none of those that were watched near being full.
    NoneBinds,
    /// Too little is known of one that may be what binds.
    NoEvidence,
}

/// The resource that binds, and all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// Whether one does.
    pub verdict: Bottleneck,
    /// The one that binds; else, where none does, the one that would be full first.
    pub name: Option<String>,
    /// What of it was read, as a config calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Its capacity, in its own unit.
    pub capacity: Option<f64>,
    /// Its line.
    #[serde(flatten)]
    pub line: Option<Line>,
    /// The achieved rate at which it is full, per second.
    pub full_at: Option<f64>,
    /// Why there is no evidence, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What load does to each, in the order they were given.
    pub resources: Vec<Trend>,
}

/// Regresses each resource on the achieved rate, and names the one that is
/// full first.
///
/// Steps in which a resource is full (98 % of its capacity) show that it is, and
/// are left out of its line: it cannot grow any more, though the load may. When
/// the others make no line, the lowest rate at which it was full counts. Steps that
/// are overloaded ([`KEPT_UP`](super::KEPT_UP)) say how full it becomes, and are left out likewise.
///
/// None binds only where that is known of each: one that grows, and is full nobody
/// knows when, may be what binds, and so may one that was not read.
#[must_use]
pub fn bottleneck(resources: &[Resource]) -> Binding {
    let trends: Vec<Trend> = resources.iter().map(trend).collect();
    let all = || resources.iter().zip(&trends);
    let near = |trend: &Trend| trend.verdict == Effect::Grows && is_near(trend);
    let blind = trends.iter().all(|trend| trend.verdict == Effect::NoEvidence);
    let (verdict, first, reason) = if let Some(binds) = fullest(all().filter(|(_, trend)| near(trend))) {
        (Bottleneck::Binds, Some(binds), None)
    } else if let Some(reason) = unknown(all()) {
        (Bottleneck::NoEvidence, None, Some(reason))
    } else if blind {
        (Bottleneck::NoEvidence, None, None)
    } else {
        (Bottleneck::NoneBinds, earliest(all()), None)
    };
    Binding {
        verdict,
        name: first.map(|(_, trend)| trend.name.clone()),
        metric: first.and_then(|(resource, _)| resource.metric.clone()),
        capacity: first.and_then(|(resource, _)| resource.capacity),
        line: first.and_then(|(_, trend)| trend.line),
        full_at: first.and_then(|(_, trend)| trend.full_at),
        reason,
        resources: trends,
    }
}

/// A resource, and what load does to it.
type Seen<'a> = (&'a Resource, &'a Trend);

fn is_near(trend: &Trend) -> bool {
    trend.full_ratio.is_some_and(|ratio| ratio >= NEAR)
}

/// The one that is full at the lowest rate.
fn earliest<'a>(seen: impl Iterator<Item = Seen<'a>>) -> Option<Seen<'a>> {
    let rated = seen.filter_map(|one| Some((one.1.full_at?, one)));
    rated.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, one)| one)
}

/// The one that is full at the lowest rate, unless another is fuller, of which nobody
/// knows the rate.
fn fullest<'a>(near: impl Iterator<Item = Seen<'a>>) -> Option<Seen<'a>> {
    let ratio = |one: &Seen<'_>| one.1.full_ratio.unwrap_or(0.0);
    let (rated, unrated): (Vec<Seen<'a>>, Vec<Seen<'a>>) =
        near.partition(|(_, trend)| trend.full_at.is_some());
    let unrated = unrated.into_iter().max_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    match (earliest(rated.into_iter()), unrated) {
        (Some(rated), Some(unrated)) if ratio(&unrated) > ratio(&rated) => Some(unrated),
        (rated, unrated) => rated.or(unrated),
    }
}

/// Why one of them may be what binds, though none was seen to; nothing when none may.
fn unknown<'a>(seen: impl Iterator<Item = Seen<'a>>) -> Option<String> {
    let (mut endless, mut others) = (Vec::new(), Vec::new());
    for (resource, trend) in seen {
        let Trend { name, verdict, .. } = trend;
        let too_little = |why: &str| format!("too little is known of {name}: {why}");
        let why = || too_little(trend.reason.as_deref().unwrap_or("it varied too much"));
        let at_top = seen_at_top(resource);
        // What load does not fill is not what binds, however full it is.
        let fills = !matches!(verdict, Effect::Flat | Effect::Falls);
        if *verdict == Effect::NoEvidence && !at_top {
            others.push(why());
        } else if !at_top {
            others.push(too_little("it was not read long enough near the highest rate"));
        } else if fills && trend.full_ratio.is_none() {
            endless.push(resource);
        } else if *verdict == Effect::Accumulates && is_near(trend) {
            others.push(format!("{name} is nearly full, and not of the rate: it accumulates"));
        } else if fills && is_near(trend) {
            others.push(why());
        }
    }
    let endless = (!endless.is_empty()).then(|| no_capacity(&endless));
    let sentences: Vec<String> = endless.into_iter().chain(others.into_iter().take(1)).collect();
    (!sentences.is_empty()).then(|| sentences.join("; "))
}

/// Whether enough was read of it where the most was achieved.
fn seen_at_top(resource: &Resource) -> bool {
    let achieved = |of: &Observation| Some(of.achieved).filter(|achieved| achieved.is_finite());
    let most = resource.observations.iter().filter_map(achieved).fold(0.0, f64::max);
    resource.observations.iter().any(|of| is_sampled(of) && of.achieved >= TOP * most)
}

/// `nobody says when cpu is full: give its capacity, such as capacity: { cpu: 2 }`
fn no_capacity(endless: &[&Resource]) -> String {
    let names: Vec<&str> = endless.iter().map(|resource| resource.name.as_str()).collect();
    let (are, their) = if names.len() > 1 { ("are", "their") } else { ("is", "its") };
    let key = endless.first().map_or("", |first| first.metric.as_deref().unwrap_or(&first.name));
    let example = match key {
        "cpu" => "2",
        "memory" => "1.5e9",
        _ => "1000",
    };
    let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    // Within single quotes YAML knows nothing but the quote, which is doubled.
    let key = if plain { key.to_owned() } else { format!("'{}'", key.replace('\'', "''")) };
    format!(
        "nobody says when {} {are} full: give {their} capacity, such as capacity: {{ {key}: {example} }}",
        names.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resource(name: &str, capacity: Option<f64>, points: &[(f64, f64)]) -> Resource {
        // Steps of half a minute, one after another.
        let mut answered = 0.0;
        let observation = |&(achieved, value): &(f64, f64)| {
            answered += achieved * 30.0;
            let answered = answered - achieved * 15.0;
            Observation { offered: achieved, achieved, failed: 0.0, answered, value, samples: 30 }
        };
        let observations = points.iter().map(observation).collect();
        Resource { name: name.to_owned(), metric: Some(name.to_owned()), capacity, observations }
    }

    /// The rates of a search, and what each adds to a line: ± a third.
    fn along(line: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        let rates = [50.0, 350.0, 1500.0, 900.0, 1200.0, 1350.0];
        let noise = [0.3, -0.3, 0.1, 0.2, -0.1, -0.2];
        rates.iter().zip(noise).map(|(rate, noise)| (*rate, line(*rate) + noise)).collect()
    }

    #[test]
    fn the_resource_that_is_full_first_binds() {
        let cpu = along(|rate| 2.0 + 0.06 * rate);
        let memory = along(|_| 512.0);
        let descriptors = along(|rate| 20.0 + 0.01 * rate);
        let binding = bottleneck(&[
            resource("memory", Some(2048.0), &memory),
            resource("descriptors", Some(1024.0), &descriptors),
            resource("cpu", Some(100.0), &cpu),
        ]);
        assert_eq!(binding.verdict, Bottleneck::Binds);
        assert_eq!(binding.name.as_deref(), Some("cpu"));
        // (100 − 2) ÷ 0.06 = 1,633/s.
        let full_at = binding.full_at.unwrap();
        assert!((full_at - 1633.0).abs() < 10.0, "{full_at}");
        let line = binding.line.unwrap();
        assert!((line.slope - 0.06).abs() < 0.001 && line.r2 > 0.99);
        let verdicts: Vec<Effect> = binding.resources.iter().map(|trend| trend.verdict).collect();
        assert_eq!(verdicts, [Effect::Flat, Effect::Flat, Effect::Grows]);
    }

    #[test]
    fn a_resource_far_from_full_does_not_bind() {
        // An idle target: 9 % of a CPU at the rate where it gives way.
        let binding = bottleneck(&[resource("cpu", Some(100.0), &along(|rate| 1.0 + 0.0055 * rate))]);
        assert_eq!(binding.verdict, Bottleneck::NoneBinds);
        assert_eq!(binding.name.as_deref(), Some("cpu"));
        let full_at = binding.full_at.unwrap();
        assert!((full_at - 18_000.0).abs() < 1500.0, "{full_at}");
    }

    #[test]
    fn a_full_resource_does_not_bend_its_line() {
        let mut cpu = along(|rate| 2.0 + 0.06 * rate);
        // Overloaded: full, and answering less than it could.
        cpu.extend([(1500.0, 100.0), (1100.0, 100.0), (1600.0, 99.0)]);
        let binding = bottleneck(&[resource("cpu", Some(100.0), &cpu)]);
        assert_eq!(binding.verdict, Bottleneck::Binds);
        assert!((binding.full_at.unwrap() - 1633.0).abs() < 10.0);
        assert!((binding.resources[0].full_ratio.unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_resource_that_was_seen_full_needs_no_line_to_bind() {
        let cpu = [(50.0, 4.0), (350.0, 20.0), (1650.0, 99.0), (1600.0, 100.0), (1640.0, 98.5)];
        let binding = bottleneck(&[resource("cpu", Some(100.0), &cpu)]);
        assert_eq!((binding.verdict, binding.full_at), (Bottleneck::Binds, Some(1600.0)));
        assert_eq!((binding.line, binding.resources[0].verdict), (None, Effect::Grows));
        // Nor one that is idle until it is full.
        let jump: Vec<(f64, f64)> = [50.0, 350.0, 700.0, 1000.0, 1500.0, 1600.0]
            .map(|rate| (rate, if rate > 1200.0 { 100.0 } else { 10.0 }))
            .into();
        let binding = bottleneck(&[resource("locks", Some(100.0), &jump)]);
        assert_eq!((binding.verdict, binding.full_at), (Bottleneck::Binds, Some(1500.0)));
        // What is full at any load is not filled by it.
        let cache = cpu.map(|(rate, _)| (rate, 99.0));
        assert_eq!(bottleneck(&[resource("memory", Some(100.0), &cache)]).verdict, Bottleneck::NoEvidence);
    }

    #[test]
    fn too_little_is_no_evidence() {
        let cpu = along(|rate| 2.0 + 0.06 * rate);
        let reason = |resource: &Resource| {
            let binding = bottleneck(std::slice::from_ref(resource));
            assert_eq!((binding.verdict, binding.name), (Bottleneck::NoEvidence, None));
            binding.resources[0].reason.clone().unwrap()
        };
        let few = resource("cpu", Some(100.0), &cpu[..3]);
        assert!(reason(&few).starts_with("3 of 3 steps"));
        // Six steps, of which three were too short for the source.
        let mut short = resource("cpu", Some(100.0), &cpu);
        short.observations[3..].iter_mut().for_each(|observation| observation.samples = 2);
        assert!(reason(&short).starts_with("3 of 6 steps"));
        let close = resource("cpu", Some(100.0), &[(100.0, 5.0), (110.0, 6.0), (120.0, 7.0), (130.0, 8.0)]);
        assert!(reason(&close).contains("too close"));
        let noisy = [(100.0, 5.0), (200.0, 60.0), (300.0, 20.0), (400.0, 70.0), (500.0, 10.0)];
        assert!(reason(&resource("cpu", Some(100.0), &noisy)).contains("varied too much"));
        assert_eq!(bottleneck(&[]).verdict, Bottleneck::NoEvidence);
    }

    #[test]
    fn what_grows_to_where_nobody_knows_may_be_what_binds() {
        let threads = resource("threads", None, &along(|rate| 10.0 + 0.5 * rate));
        // Which is not made up for by another that is known: 9 % at most.
        let cpu = resource("cpu", Some(100.0), &along(|rate| 1.0 + 0.0055 * rate));
        for resources in [vec![threads.clone()], vec![threads.clone(), cpu.clone()]] {
            let binding = bottleneck(&resources);
            assert_eq!((binding.verdict, binding.full_at), (Bottleneck::NoEvidence, None));
            assert_eq!(
                binding.reason.as_deref(),
                Some(
                    "nobody says when threads is full: give its capacity, such as capacity: { threads: 1000 }"
                )
            );
            assert_eq!(binding.resources[0].verdict, Effect::Grows);
            assert_eq!(binding.resources[0].reason.as_deref(), Some("nobody said when it is full"));
        }
        let known = Resource { capacity: Some(10_000.0), ..threads };
        assert_eq!(bottleneck(&[known, cpu]).verdict, Bottleneck::NoneBinds);
        let named = resource("q{a=\"b's\"}", None, &along(|rate| 10.0 + 0.5 * rate));
        let reason = bottleneck(&[named]).reason.unwrap();
        assert!(reason.ends_with("such as capacity: { 'q{a=\"b''s\"}': 1000 }"), "{reason}");
    }

    #[test]
    fn a_resource_that_does_not_grow_needs_no_capacity() {
        let cpu = resource("cpu", Some(100.0), &along(|rate| 1.0 + 0.0055 * rate));
        let pool = resource("pool", None, &along(|_| 500.0));
        assert_eq!(bottleneck(&[cpu, pool]).verdict, Bottleneck::NoneBinds);
    }

    #[test]
    fn what_was_not_read_may_be_what_binds() {
        let memory = resource("memory", Some(2048.0), &along(|_| 512.0));
        let cpu = || resource("cpu", Some(100.0), &along(|rate| 1.0 + 0.0055 * rate));
        let with = |cpu: Resource| {
            let binding = bottleneck(&[memory.clone(), cpu]);
            (binding.verdict, binding.reason.unwrap_or_default())
        };
        assert_eq!(with(cpu()), (Bottleneck::NoneBinds, String::new()));
        let mut unread = cpu();
        unread.observations.iter_mut().for_each(|step| step.samples = 0);
        assert_eq!(
            with(unread),
            (Bottleneck::NoEvidence, "too little is known of cpu: it was not read in any step".to_owned())
        );
        // At 1,500/s not, and else at 1,350/s at most: that is nine tenths of it. Then
        // neither there.
        let mut most = cpu();
        most.observations[2].samples = 0;
        assert_eq!(with(most.clone()).0, Bottleneck::NoneBinds);
        most.observations[5].samples = 0;
        assert_eq!(
            with(most),
            (
                Bottleneck::NoEvidence,
                "too little is known of cpu: it was not read long enough near the highest rate".to_owned()
            )
        );
    }

    #[test]
    fn what_varies_far_from_full_does_not_bind() {
        // 30 % at most, up and down.
        let noisy = [(100.0, 5.0), (200.0, 30.0), (300.0, 10.0), (400.0, 25.0), (500.0, 8.0)];
        let files = resource("descriptors", Some(100.0), &noisy);
        let memory = resource("memory", Some(2048.0), &noisy.map(|(rate, _)| (rate, 512.0)));
        let binding = bottleneck(&[files, memory.clone()]);
        assert_eq!(binding.resources[0].verdict, Effect::NoEvidence);
        assert_eq!(binding.verdict, Bottleneck::NoneBinds);
        // Three times as much is 90 %.
        let near = resource("descriptors", Some(100.0), &noisy.map(|(rate, value)| (rate, value * 3.0)));
        let binding = bottleneck(&[near, memory]);
        assert_eq!(binding.verdict, Bottleneck::NoEvidence);
        assert!(binding.reason.unwrap().contains("it varied too much"));
    }

    #[test]
    fn what_is_nearly_full_binds_though_its_line_is_none() {
        // R² = 0.776: see the answers' tests.
        let jumps = [(100.0, 10.0), (200.0, 40.0), (300.0, 96.0), (400.0, 80.0), (500.0, 96.0)];
        let cpu = resource("cpu", Some(100.0), &jumps);
        // 85 % at 500/s, full at 589/s.
        let pool = resource("pool", Some(100.0), &jumps.map(|(rate, _)| (rate, 0.17 * rate)));
        let binding = bottleneck(&[pool.clone(), cpu.clone()]);
        assert_eq!((binding.verdict, binding.name.as_deref()), (Bottleneck::Binds, Some("cpu")));
        assert_eq!((binding.full_at, binding.metric.as_deref()), (None, Some("cpu")));
        // A line that is fuller says at what rate: 96.25 % at 500/s, so full at 519.48/s.
        let fuller = resource("pool", Some(100.0), &jumps.map(|(rate, _)| (rate, 0.1925 * rate)));
        let binding = bottleneck(&[fuller, cpu]);
        assert_eq!((binding.verdict, binding.name.as_deref()), (Bottleneck::Binds, Some("pool")));
        assert!((binding.full_at.unwrap() - 519.48).abs() < 0.01);
    }

    #[test]
    fn a_line_that_is_none_does_not_say_how_full_it_is() {
        // Six tenths at most: at 500/s the line is at 66.75, R² 0.776.
        let jumps = [(100.0, 6.25), (200.0, 25.0), (300.0, 60.0), (400.0, 50.0), (500.0, 60.0)];
        let trend = &bottleneck(&[resource("cpu", Some(80.0), &jumps)]).resources[0];
        assert_eq!((trend.verdict, trend.full_ratio), (Effect::Grows, Some(0.75)));
    }

    #[test]
    fn an_overloaded_step_does_not_bend_a_line() {
        let mut cpu = resource("cpu", Some(100.0), &along(|rate| 2.0 + 0.06 * rate));
        let step = |offered, achieved, value| {
            let (failed, answered, samples) = (0.0, 1e6, 30);
            Observation { offered, achieved, failed, answered, value, samples }
        };
        // Asked for more and more, it answers less and less, at 97 %.
        cpu.observations.extend([step(2000.0, 1200.0, 97.0), step(3000.0, 600.0, 97.0)]);
        let binding = bottleneck(std::slice::from_ref(&cpu));
        assert!((binding.full_at.unwrap() - 1633.0).abs() < 10.0, "{binding:?}");
        assert_eq!(binding.line.unwrap().points, 6);
        // Still it was seen that full: 97 % of it, where the line ends at 92 %.
        assert!((binding.resources[0].full_ratio.unwrap() - 0.97).abs() < 1e-12);
        // Full in steps that collapsed, and without a line: at what it answered at best.
        let mut collapsed = resource("cpu", Some(100.0), &[(50.0, 4.0), (350.0, 20.0)]);
        collapsed.observations.extend([step(2000.0, 1200.0, 99.0), step(3000.0, 30.0, 100.0)]);
        let binding = bottleneck(&[collapsed]);
        assert_eq!((binding.verdict, binding.full_at), (Bottleneck::Binds, Some(1200.0)));
    }

    #[test]
    fn a_step_that_refuses_at_once_does_not_bend_a_line() {
        // Of 256, twelve and half a one per request and second: full at 488/s. Of 600/s,
        // a fifth finds none and is refused, which is an answer, too.
        let steps = [50.0, 100.0, 200.0, 300.0, 400.0].map(|rate| (rate, 12.0 + 0.5 * rate));
        let mut files = resource("descriptors", Some(256.0), &steps);
        let (achieved, answered, samples) = (598.0, 1e6, 30);
        let refuses = Observation { offered: 600.0, achieved, failed: 0.22, answered, value: 248.0, samples };
        files.observations.push(refuses);
        let binding = bottleneck(std::slice::from_ref(&files));
        assert_eq!((binding.verdict, binding.line.unwrap().points), (Bottleneck::Binds, 5));
        assert!((binding.full_at.unwrap() - 488.0).abs() < 1e-6, "{binding:?}");
        // Where a fifth fails at any rate, that is how it is.
        files.observations.iter_mut().for_each(|of| of.failed = 0.22);
        assert_eq!(bottleneck(&[files]).line.unwrap().points, 6);
    }

    #[test]
    fn what_grows_in_a_jump_has_no_line() {
        let jump = along(|rate| if rate > 1000.0 { 70.0 } else { 10.0 });
        let trend = &bottleneck(&[resource("cpu", Some(100.0), &jump)]).resources[0];
        assert_eq!((trend.verdict, trend.full_at), (Effect::Grows, None));
        assert!(trend.reason.as_deref().unwrap().contains("not along a line"));
    }

    #[test]
    fn what_is_never_given_back_is_not_taken_for_load() {
        // 10 MiB for every 1,000 requests, whatever the rate, of 4,096 MiB.
        let mut leaking = resource("memory", Some(4096.0), &along(|_| 0.0));
        leaking.observations.iter_mut().for_each(|step| step.value += 50.0 + step.answered / 100.0);
        let binding = bottleneck(&[leaking]);
        assert_eq!(binding.resources[0].verdict, Effect::Accumulates);
        assert_eq!((binding.verdict, binding.full_at), (Bottleneck::NoneBinds, None));
    }

    #[test]
    fn what_falls_is_neither_flat_nor_binding() {
        let binding = bottleneck(&[resource("cpu", Some(100.0), &along(|rate| 90.0 - 0.05 * rate))]);
        assert_eq!(binding.resources[0].verdict, Effect::Falls);
        assert_eq!(binding.verdict, Bottleneck::NoneBinds);
    }

    #[test]
    fn its_json_says_what_it_is() {
        let binding = bottleneck(&[resource("cpu", Some(100.0), &along(|rate| 2.0 + 0.06 * rate))]);
        let json = serde_json::to_value(&binding).unwrap();
        assert_eq!((&json["verdict"], &json["name"]), (&"binds".into(), &"cpu".into()));
        assert!(json["slope"].is_f64() && json["r2"].is_f64() && json["standard_error"].is_f64());
        assert_eq!(json["resources"][0]["verdict"], "grows");
        assert_eq!((&json["metric"], json.get("reason")), (&"cpu".into(), None));
        assert_eq!(serde_json::from_value::<Binding>(json).unwrap(), binding);
        let none = bottleneck(&[]);
        let text = serde_json::to_string(&none).unwrap();
        assert_eq!(serde_json::from_str::<Binding>(&text).unwrap(), none);
    }

    proptest! {
        /// Whatever was seen, one that binds is the first to be full of all.
        #[test]
        fn the_first_to_be_full_is_named(
            slopes in prop::collection::vec((0.0_f64..1.0, 0.0_f64..50.0), 1..6),
        ) {
            let resources: Vec<Resource> = slopes
                .iter()
                .enumerate()
                .map(|(index, (slope, idle))| {
                    resource(&index.to_string(), Some(100.0), &along(|rate| idle + slope * rate))
                })
                .collect();
            let binding = bottleneck(&resources);
            // Of those that are near, if any is.
            let binds = binding.verdict == Bottleneck::Binds;
            let counts = |trend: &&Trend| !binds || trend.full_ratio.is_some_and(|ratio| ratio >= NEAR);
            let rates = binding.resources.iter().filter(counts).filter_map(|trend| trend.full_at);
            let earliest = rates.min_by(f64::total_cmp).filter(|_| binding.reason.is_none());
            prop_assert_eq!(binding.full_at, earliest);
            prop_assert_eq!(binding.resources.len(), resources.len());
        }
    }
}
