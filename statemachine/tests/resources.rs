//! What a report says of resources, against arithmetic done by hand.
//!
//! Steps of 100, 200, 300, 400 and 500/s, 10 s each, all answered in 10 ms, on a target
//! whose resources are formulas; they are read every second.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]
#![allow(clippy::float_cmp, reason = "what was read comes out exactly as it went in")]

mod common;

use std::time::Duration;

use deathstar_statemachine::ids::SliceId;
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::regression::{Bottleneck, Effect, LeakVerdict};
use deathstar_statemachine::report::{AttackReport, Merge, Phase, Report, Round, SliceEnd};
use deathstar_statemachine::resources::{Metric, Miss, Place, Reading};
use deathstar_statemachine::scaling;
use deathstar_statemachine::window::{Outcome, Series, Tally, Timing, Window};

const S: u64 = 1_000_000;
const MIB: f64 = 1024.0 * 1024.0;
const STEPS: &str = "steps: { rates: [100/s, 200/s, 300/s, 400/s, 500/s], each: 10s }";

fn plan(load: &str, more: &str) -> Plan {
    common::plan_of(
        &format!(
            "name: test\nworkers: 1\nattacks:\n  - name: home\n    url: http://127.0.0.1:1/\n    load: {{ {load} }}\n    resources: [{{ pid: 7 }}, {{ prometheus: 'http://127.0.0.1:1/', name: second }}]\n{more}"
        ),
        600,
    )
}

fn reading(resource: u32, at: u64, metric: Metric, value: f64, capacity: Option<f64>) -> Reading {
    Reading { place: Place { attack: 0, resource }, at, metric, value, capacity }
}

/// A report of a run in which `due` requests were due in each second, answered in so many
/// milliseconds, and this was read at its end.
fn report(
    plan: &Plan,
    due: impl Fn(u64) -> (u64, u64),
    read: impl Fn(u64) -> (Vec<Reading>, Vec<Miss>),
) -> Report {
    report_of(plan, due, |_| u64::MAX, read)
}

/// The same where of those due in a second so many at most are answered in time.
fn report_of(
    plan: &Plan,
    due: impl Fn(u64) -> (u64, u64),
    in_time: impl Fn(u64) -> u64,
    read: impl Fn(u64) -> (Vec<Reading>, Vec<Miss>),
) -> Report {
    let until = plan.load_end();
    let t0 = "2026-01-01T00:00:01Z".parse().unwrap();
    let round = Round {
        number: 0,
        from: 0,
        until,
        t0,
        slices: 1,
        judged: true,
        step: None,
        outcome: None,
        busy: Duration::ZERO,
    };
    let mut merge = Merge::new(plan, vec![round]);
    let id = SliceId { run: "test".parse().unwrap(), round: 0, shard: 0, slice: 0 };
    merge.end(&id, &SliceEnd { until, totals: vec![] });
    for second in 0..until / S {
        let (count, millis) = due(second);
        let mut tally = Tally::window();
        tally.scheduled = count;
        let (zero, done) = (Duration::ZERO, Duration::from_millis(millis));
        let timing = Timing { intended: zero, sent: zero, done };
        let most = in_time(second);
        (0..count).for_each(|n| tally.record(Outcome::Completed { status: 200 }, &timing, n < most));
        tally.answered = tally.in_time;
        let (readings, misses) = read((second + 1) * S);
        let series = vec![Series { attack: 0, request: 0, tally }];
        merge.window(&id, &Window { series, readings, misses, ..Window::empty(second * S, S) });
    }
    merge.report(None, None, 0, Phase::Over)
}

/// What a run with the usual steps, all answered in 10 ms, says of both resources.
fn of_steps(read: impl Fn(u64) -> Vec<Reading>) -> Report {
    report(&plan(STEPS, ""), |second| ((second / 10 + 1) * 100, 10), |at| (read(at), vec![]))
}

/// The rate of the step in which a second ends.
fn rate_at(at: u64) -> f64 {
    ((at - 1) / (10 * S) + 1) as f64 * 100.0
}

fn stepped(read: impl Fn(u64) -> (Vec<Reading>, Vec<Miss>)) -> AttackReport {
    report(&plan(STEPS, ""), |second| ((second / 10 + 1) * 100, 10), read).attacks.remove(0)
}

fn answer<'a>(report: &'a Report, about: &str) -> &'a str {
    let answer = report.answers.iter().find(|answer| answer.question.contains(about));
    &answer.unwrap_or_else(|| panic!("{about}: {:#?}", report.answers)).answer
}

#[test]
fn each_step_is_the_mean_of_what_was_read_wholly_in_it() {
    // Half a processor and a thousandth for each request per second: two at 1,500/s. A
    // reading at the end of a step is still of that step.
    let cpu = |at: u64| reading(0, at, Metric::Cpu, 0.5 + rate_at(at) / 1000.0, Some(2.0));
    let memory = |at| reading(0, at, Metric::Memory, 64.0 * MIB, Some(1024.0 * MIB));
    let files = |at| reading(1, at, Metric::Descriptors, 9.0, Some(1024.0));
    let attack = stepped(|at| (vec![cpu(at), memory(at), files(at)], vec![]));
    let binding = attack.binding_resource.unwrap();
    assert_eq!((binding.verdict, binding.name.as_deref()), (Bottleneck::NoneBinds, Some("cpu")));
    let line = binding.line.unwrap();
    assert!((line.slope - 0.001).abs() < 1e-9 && (line.intercept - 0.5).abs() < 1e-6, "{line:?}");
    assert!((binding.full_at.unwrap() - 1500.0).abs() < 1e-3);
    let [cpu, memory, files] = attack.resources.as_slice() else { panic!("{:?}", attack.resources) };
    assert_eq!((cpu.readings, cpu.max, cpu.series.len()), (50, Some(1.0), 50));
    assert!((cpu.mean.unwrap() - 0.8).abs() < 1e-9);
    assert_eq!(memory.trend.as_ref().unwrap().verdict, Effect::Flat);
    assert_eq!((files.name.as_str(), files.source.as_str(), files.readings), ("descriptors", "second", 50));
}

#[test]
fn steps_shorter_than_what_a_source_resolves_are_no_evidence() {
    // Two readings in each step.
    let attack = stepped(|at| {
        let is_read = at % (5 * S) == 0;
        (if is_read { vec![reading(0, at, Metric::Cpu, rate_at(at), Some(500.0))] } else { vec![] }, vec![])
    });
    assert_eq!(attack.binding_resource.unwrap().verdict, Bottleneck::NoEvidence);
    let trend = attack.resources[0].trend.as_ref().unwrap();
    assert!(trend.reason.as_deref().unwrap().contains("0 of 5 steps have 3 samples"), "{trend:?}");
}

#[test]
fn two_sources_of_one_metric_are_told_apart_and_misses_are_counted() {
    let plan = plan(STEPS, "");
    let report = report(
        &plan,
        |second| ((second / 10 + 1) * 100, 10),
        |at| {
            let cpu = |resource, each| reading(resource, at, Metric::Cpu, rate_at(at) * each, Some(1.0));
            let place = Place { attack: 0, resource: 1 };
            let miss = Miss { place, at, why: format!("refused at {at}") };
            (vec![cpu(0, 0.0019), cpu(1, 0.001)], if at > 40 * S { vec![miss] } else { vec![] })
        },
    );
    let names: Vec<&str> =
        report.attacks[0].resources.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["pid 7 cpu", "second cpu"]);
    let second = &report.attacks[0].resources[1];
    assert_eq!((second.missed, second.why.as_deref()), (10, Some("refused at 50000000")));
    // 0.19 % of a processor for each request per second: full at 526/s, 95 % at 500/s.
    assert_eq!(
        answer(&report, "How does load affect"),
        "pid 7 cpu is full first: +0.1900 %/(req/s), full at 526/s."
    );
}

/// Of 1,024 descriptors nine, whatever the load.
fn few_files(at: u64) -> Reading {
    reading(1, at, Metric::Descriptors, 9.0, Some(1024.0))
}

#[test]
fn what_grows_and_is_full_nobody_knows_when_is_no_evidence() {
    // A process that says of its CPU how much, and not of how much.
    let of_cpu = |capacity| {
        of_steps(|at| vec![reading(0, at, Metric::Cpu, rate_at(at) / 300.0, capacity), few_files(at)])
    };
    let report = of_cpu(None);
    let binding = report.attacks[0].binding_resource.as_ref().unwrap();
    assert_eq!((binding.verdict, &binding.name), (Bottleneck::NoEvidence, &None));
    assert_eq!(
        answer(&report, "How does load affect"),
        "No evidence: nobody says when cpu is full: give its capacity, such as capacity: { cpu: 2 }."
    );
    // 500 ÷ 300 of two processors are 83 %: full at 600/s.
    assert_eq!(
        answer(&of_cpu(Some(2.0)), "How does load affect"),
        "cpu is full first: +0.1667 %/(req/s), full at 600/s."
    );
    // Two sources of it: the key is that of the config.
    let both = of_steps(|at| {
        let cpu = |resource| reading(resource, at, Metric::Cpu, rate_at(at) / 300.0, None);
        vec![cpu(0), cpu(1)]
    });
    assert_eq!(
        answer(&both, "How does load affect"),
        "No evidence: nobody says when pid 7 cpu and second cpu are full: give their capacity, such as capacity: { cpu: 2 }."
    );
}

#[test]
fn what_is_nearly_full_binds_without_a_line() {
    // x̄ = 3 and ȳ = 64.4, x in hundreds: Σ(x−x̄)(y−ȳ) = 212, Σ(x−x̄)² = 10 and
    // Σ(y−ȳ)² = 5,795.2, so R² = 21.2² × 10 ÷ 5,795.2 = 0.776.
    let report = of_steps(|at| {
        let used = [10.0, 40.0, 96.0, 80.0, 96.0][usize::try_from((at - 1) / (10 * S)).unwrap()];
        vec![reading(0, at, Metric::Cpu, used, Some(100.0)), few_files(at)]
    });
    let trend = report.attacks[0].resources[0].trend.as_ref().unwrap();
    assert!(trend.verdict == Effect::Grows && trend.line.unwrap().r2 < 0.8, "{trend:?}");
    assert_eq!((trend.full_at, trend.full_ratio), (None, Some(0.96)));
    let binding = report.attacks[0].binding_resource.as_ref().unwrap();
    assert_eq!((binding.verdict, binding.name.as_deref()), (Bottleneck::Binds, Some("cpu")));
    assert_eq!(
        answer(&report, "How does load affect"),
        "cpu is nearest to being full: 96 % of it was reached."
    );
}

#[test]
fn what_was_not_read_where_it_matters_is_no_evidence() {
    let no_evidence = |report: &Report| {
        let binding = report.attacks[0].binding_resource.as_ref().unwrap();
        assert_eq!((binding.verdict, &binding.name), (Bottleneck::NoEvidence, &None));
        answer(report, "How does load affect").to_owned()
    };
    // Nothing of one resource.
    let unread = of_steps(|at| vec![few_files(at)]);
    assert_eq!(
        no_evidence(&unread),
        "No evidence: too little is known of pid 7: it was not read in any step."
    );
    let facts = &unread.answers[0].evidence;
    assert!(facts.contains(&"pid 7 was never read".to_owned()), "{facts:?}");
    let missing = &unread.attacks[0].resources[0];
    assert_eq!((missing.name.as_str(), &missing.metric, missing.readings), ("pid 7", &None, 0));
    // Its processor until 200/s, when it was at 8 %.
    let cpu = |at: u64| (at <= 20 * S).then(|| reading(0, at, Metric::Cpu, rate_at(at) / 25.0, Some(100.0)));
    let early = of_steps(|at| cpu(at).into_iter().chain([few_files(at)]).collect());
    let said = no_evidence(&early);
    assert!(said.starts_with("No evidence: too little is known of cpu: 2 of 5 steps have"), "{said}");
}

#[test]
fn something_else_gave_way_only_where_something_did() {
    let near_none = |due: fn(u64) -> (u64, u64)| {
        let read =
            |at: u64| vec![reading(0, at, Metric::Cpu, rate_at(at) / 1000.0, Some(1.0)), few_files(at)];
        let report = report(&plan(STEPS, ""), due, |at| (read(at), vec![]));
        answer(&report, "How does load affect").to_owned()
    };
    assert_eq!(
        near_none(|second| ((second / 10 + 1) * 100, 10)),
        "None of those that were watched is near being full, up to the highest rate that was tried."
    );
    // At 500/s only 400 are answered in time: the others take until after the load.
    let report = report_of(
        &plan(STEPS, ""),
        |second| ((second / 10 + 1) * 100, 10),
        |second| if second >= 40 { 400 } else { u64::MAX },
        |at| (vec![reading(0, at, Metric::Cpu, rate_at(at) / 1000.0, Some(1.0)), few_files(at)], vec![]),
    );
    assert_eq!(
        answer(&report, "How does load affect"),
        "None of those that were watched is near being full; something else gave way."
    );
}

#[test]
fn an_overloaded_step_is_no_point_of_a_line() {
    // A thousandth of a processor for each request per second that is kept up with. At
    // 500/s half are answered in time, and what waits takes more: 0.9 at 250/s.
    let report = report_of(
        &plan(STEPS, ""),
        |second| ((second / 10 + 1) * 100, 10),
        |second| if second >= 40 { 250 } else { u64::MAX },
        |at| {
            let used = if at > 40 * S { 0.9 } else { rate_at(at) / 1000.0 };
            (vec![reading(0, at, Metric::Cpu, used, Some(1.0)), few_files(at)], vec![])
        },
    );
    let trend = report.attacks[0].resources[0].trend.as_ref().unwrap();
    assert!(trend.verdict == Effect::Grows && (trend.full_ratio.unwrap() - 0.9).abs() < 1e-9, "{trend:?}");
    assert!((trend.full_at.unwrap() - 1000.0).abs() < 1e-3, "{trend:?}");
    assert_eq!(trend.line.unwrap().points, 4);
}

#[test]
fn a_hold_that_was_seen_in_part_is_no_evidence() {
    // As below, but of the minute the first fifth only: its end was not seen to leak.
    let plan = plan("constant: { rate: 300/s, for: 10m }", "");
    let report = report(
        &plan,
        |_| (300, 10),
        |at| {
            let memory = (100.0 + at as f64 / S as f64) * MIB;
            let seen = at <= 120 * S;
            let read = vec![reading(0, at, Metric::Memory, memory, Some(1000.0 * MIB))];
            (if seen { read } else { vec![] }, vec![])
        },
    );
    let leak = report.attacks[0].resources[0].leak.clone().unwrap();
    assert_eq!(leak.verdict, LeakVerdict::NoEvidence, "{leak:?}");
    // From its second minute on it counts: 61 readings.
    assert_eq!(leak.reason.as_deref(), Some("61 readings leave 0 in one tenth of the hold; it takes 3"));
}

#[test]
fn a_hold_says_what_leaks() {
    // 6 MiB in every second, from 100 MiB: 21,600 MiB an hour, and 1,000 MiB are full
    // (1,000 − 460) ÷ 21,600 = 0.025 hours after that minute.
    let plan = plan("constant: { rate: 300/s, for: 60s }", "");
    let read = |grows: f64| {
        move |at: u64| {
            let seconds = at as f64 / S as f64;
            let memory = reading(0, at, Metric::Memory, (100.0 + grows * seconds) * MIB, Some(1000.0 * MIB));
            (vec![memory, reading(0, at, Metric::Cpu, seconds, Some(2.0))], vec![])
        }
    };
    let leaking = report(&plan, |_| (300, 10), read(6.0));
    let leak = leaking.attacks[0].resources[1].leak.clone().unwrap();
    assert_eq!(leak.verdict, LeakVerdict::Leaks);
    assert!((leak.per_hour.unwrap() / MIB - 21_600.0).abs() < 1.0);
    assert!((leak.hours_to_exhaustion.unwrap() - 0.025).abs() < 1e-4, "{leak:?}");
    assert_eq!(answer(&leaking, "leak"), "memory keeps growing.");
    assert_eq!(leaking.attacks[0].resources[0].leak, None, "a busy processor is no leak");
    let steady = report(&plan, |_| (300, 10), read(0.0));
    assert_eq!(answer(&steady, "leak"), "No steady growth shows.");
    let unread = report(&plan, |_| (300, 10), |_| (vec![], vec![]));
    assert!(unread.answers.iter().all(|answer| !answer.question.contains("leak")), "{:?}", unread.answers);
}

#[test]
fn a_level_to_scale_at_comes_with_its_arithmetic() {
    let more = "    autoscaling: { peak: 2000/s, scale_out_delay: 30s, minimum_fleet: 2, climb: 10m }\n";
    // Beyond 400/s response time doubles with every step: the knee is there.
    let load = "steps: { rates: [100/s, 200/s, 300/s, 400/s, 500/s, 600/s], each: 10s }";
    let plan = plan(load, more);
    let took = |second: u64| [10, 10, 11, 12, 40, 160][usize::try_from(second / 10).unwrap()];
    let report = report(
        &plan,
        |second| ((second / 10 + 1) * 100, took(second)),
        |at| (vec![reading(0, at, Metric::Cpu, rate_at(at) / 600.0, Some(1.0))], vec![]),
    );
    let scaling = report.attacks[0].autoscaling.as_ref().unwrap();
    // 400/s each at the knee; 2,000/s in 10 min are 3.33/s every second, 100/s in 30 s:
    // two instances begin at 800 − 100 = 700/s, 350/s each, where cpu is at 58.3 %.
    assert_eq!(scaling.verdict, scaling::Verdict::ScaleAt, "{scaling:?}");
    assert_eq!((scaling.utilisation, scaling.rate_per_instance), (Some(0.58), Some(350.0)));
    assert_eq!((scaling.minimum_fleet, scaling.maximum_fleet), (Some(2), Some(6)));
    assert_eq!(answer(&report, "scale out"), "At 58 % of cpu, 350/s an instance, with 2 to 6 instances.");
}

#[test]
fn the_manifests_name_the_metric_and_not_its_source() {
    let more = "    autoscaling: { peak: 2000/s, scale_out_delay: 30s, minimum_fleet: 2, climb: 10m }\n";
    let load = "steps: { rates: [100/s, 200/s, 300/s, 400/s, 500/s, 600/s], each: 10s }";
    let took = |second: u64| [10, 10, 11, 12, 40, 160][usize::try_from(second / 10).unwrap()];
    let report = report(
        &plan(load, more),
        |second| ((second / 10 + 1) * 100, took(second)),
        |at| {
            let cpu = |resource, of| reading(resource, at, Metric::Cpu, rate_at(at) / of, Some(1.0));
            (vec![cpu(0, 600.0), cpu(1, 2000.0)], vec![])
        },
    );
    let scaling = report.attacks[0].autoscaling.as_ref().unwrap();
    assert_eq!(scaling.resource.as_deref(), Some("pid 7 cpu"));
    let policy = &scaling.target_tracking.as_ref().unwrap().target_tracking_scaling_policy_configuration;
    let predefined = policy.predefined_metric_specification.as_ref();
    assert_eq!(
        predefined.map(|metric| metric.predefined_metric_type.as_str()),
        Some("ECSServiceAverageCPUUtilization"),
        "{policy:?}"
    );
    let hpa = scaling.hpa.as_ref().unwrap();
    assert!(hpa.contains("type: Resource\n      resource:\n        name: cpu\n"), "{hpa}");
}

#[test]
fn a_peak_that_was_held_needs_no_scaling_and_no_knee() {
    let says = |peak: u32, due: fn(u64) -> (u64, u64)| {
        let more = format!("    autoscaling: {{ peak: {peak}/s, scale_out_delay: 30s, minimum_fleet: 2 }}\n");
        let report = report(&plan(STEPS, &more), due, |_| (vec![], vec![]));
        (answer(&report, "scale out").to_owned(), report.attacks[0].autoscaling.clone().unwrap().arithmetic)
    };
    // One instance held 500/s: two serve 1,000/s or more, and 80 % of that are 800.
    let steady = |second| ((second / 10 + 1) * 100, 10);
    let (said, arithmetic) = says(800, steady);
    assert_eq!(said, "Not needed: the smallest fleet serves the declared peak with a margin.");
    assert_eq!(
        arithmetic,
        [
            "there is no knee: response time did not climb faster than throughput up to the highest rate",
            "500.0/s is the highest rate that held, with 1 instance: at least 500.0/s each",
            "the peak of 800.0/s is within 80 % of what 2 instances serve at least (1000.0/s)",
        ]
    );
    assert!(says(801, steady).0.starts_with("No evidence: there is no knee"));
    // Where response time climbed from the start only the lowest rate held: 100/s.
    let climbs = |second: u64| {
        let step = second / 10;
        ((step + 1) * 100, 10 << (2 * step))
    };
    assert!(says(160, climbs).0.starts_with("Not needed"));
    assert!(says(161, climbs).0.starts_with("No evidence"));
}

#[test]
fn an_autoscaler_shows_how_long_it_took() {
    let load = "burst: { base: 10/s, peak: 100/s, warm: 10s, spike: 10s, recover: 10s, times: 2 }";
    let report = report(
        &plan(load, ""),
        |second| (if second % 20 < 10 { 10 } else { 100 }, 10),
        |at| {
            // A third instance 7 s after the first peak began; none after the second.
            let instances = if at >= 17 * S { 3.0 } else { 2.0 };
            (vec![reading(0, at, Metric::Instances, instances, None)], vec![])
        },
    );
    let bursts = &report.attacks[0].bursts;
    let after: Vec<Option<f64>> = bursts.iter().map(|burst| burst.scaled_out_s).collect();
    assert_eq!(after, [Some(7.0), None]);
}

#[test]
fn a_plan_warns_of_steps_that_are_too_short() {
    let every = |every: &str| STEPS.replace("10s", every);
    let warned = |load: &str| plan(load, "").warnings.join(" ");
    // Three readings of a second each, which begin anywhere within a second: of 3 s, two
    // lie wholly in a step.
    let short = warned(&every("3s"));
    assert!(short.contains("is read every 1s, and 3s of a step count"), "{short}");
    assert!(short.contains("make that 4s or more"), "{short}");
    assert!(!warned(&every("4s")).contains("is read every"));
    // Of a search's step, a fifth is warm-up: 5 s leave 4.
    let search = |step| {
        let text = format!(
            "name: t\nslo: [errors < 1%]\nattacks: [{{ name: a, url: 'http://127.0.0.1:1/', load: {{ search: {{ from: 1/s, up_to: 9/s, step: {step} }} }}, resources: [{{ pid: 7 }}] }}]"
        );
        common::plan_of(&text, 600).warnings.join(" ")
    };
    assert!(search("4s").contains("3.2s of a step count"), "{}", search("4s"));
    assert!(!search("5s").contains("of a step count"));
}
