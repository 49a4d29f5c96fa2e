//! What a plan refuses, and what it warns of.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::num::NonZeroU32;
use std::time::Duration;

use deathstar_statemachine::config::Config;
use deathstar_statemachine::plan::{Place, Plan, PlanError};

fn plan(mode: &str, head: &str, fields: &str) -> Result<Plan, PlanError> {
    plan_at(100_000, mode, head, fields)
}

/// 1,000/s for 5 minutes, where a worker sends so many a second.
fn plan_at(rate_per_worker: u32, mode: &str, head: &str, fields: &str) -> Result<Plan, PlanError> {
    let text = format!(
        "name: t\n{head}attacks:\n  - name: a\n    url: http://h/\n    rate: 1000/s\n    duration: 5m\n{fields}"
    );
    let config = Config::from_text(&text, |_| Err(String::new())).unwrap();
    let place =
        Place { mode: mode.into(), rate_per_worker: NonZeroU32::new(rate_per_worker).unwrap(), ..place() };
    Plan::new("t".parse().unwrap(), config, place, "2026-01-01T00:00:00Z".parse().unwrap())
}

fn place() -> Place {
    let many = NonZeroU32::new(100_000).unwrap();
    Place {
        mode: "aws".into(),
        cores: many,
        rate_per_worker: many,
        sockets: many,
        workers_share_process: false,
        workers_per_function: NonZeroU32::new(1000).unwrap(),
        lead: Duration::from_secs(8),
        checkpoint: Duration::from_secs(5),
        slice: Duration::from_secs(600),
        invocation: Duration::from_secs(900),
        setup: Duration::from_secs(60),
        grace: Duration::from_secs(60),
    }
}

/// 1/s for so long, where an installation has slices of so many seconds, and requests
/// may take so long.
fn sliced(slice_s: u64, duration: &str, timeout: &str) -> Result<Plan, PlanError> {
    let text = format!(
        "name: t\nattacks: [{{ name: a, url: http://h/, rate: 1/s, duration: {duration}, timeout: {timeout} }}]\n"
    );
    let config = Config::from_text(&text, |_| Err(String::new())).unwrap();
    let place = Place { slice: Duration::from_secs(slice_s), ..place() };
    Plan::new("t".parse().unwrap(), config, place, "2026-01-01T00:00:00Z".parse().unwrap())
}

/// A worker of slice k ends 2 x timeout and 30 s after its load at the latest, which is
/// when slice k + 2 can be invoked, 8 s before it begins.
#[test]
fn slices_are_long_enough_for_a_target_that_hangs() {
    // 900 - 30 - 2 x 208 is as long as 2 x 208 + 30 + 8.
    for (duration, timeout, slice) in [("1h", "135s", 600), ("1h", "208s", 454), ("904s", "209s", 452)] {
        let plan = sliced(600, duration, timeout).unwrap();
        assert_eq!((plan.slice.as_secs(), plan.warnings.len()), (slice, 0), "{timeout}: {:?}", plan.warnings);
    }
    assert_eq!(
        sliced(600, "905s", "209s").unwrap_err().to_string(),
        "attack \"a\" allows requests to take 209s, and a load of 905s is cut into slices of 452s: a worker that waits for its last requests would come late for the slice after the next; the limit is 208s, or a load of 904s"
    );
    // No slice does, however short the installation's.
    assert!(matches!(sliced(5, "1h", "209s"), Err(PlanError::TimeoutTooLongForSlices { .. })));
}

#[test]
fn an_installation_with_slices_that_are_too_short_is_warned_of() {
    let warnings = |slice, duration, timeout| sliced(slice, duration, timeout).unwrap().warnings;
    assert_eq!(
        warnings(5, "12s", "10s"),
        [
            "this installation has slices of 5s: when the target hangs, a worker may wait for its last requests and come late for the slice after the next, and what was due before is dropped; slices of 58s (deathstar deploy --slice) or a shorter timeout than the 10s of attack \"a\" would do"
        ]
    );
    // Two slices do not wait for each other.
    assert!(warnings(5, "10s", "10s").is_empty());
    assert!(warnings(60, "1h", "11s").is_empty());
}

#[test]
fn a_reference_that_has_no_value_there_is_refused() {
    let env = "    headers: { a: '${env:A}', b: '${env:B}' }\n";
    let PlanError::References(sentences) = plan("aws", "", env).unwrap_err() else { panic!("references") };
    assert_eq!(sentences.len(), 2, "all at once: {sentences:?}");
    assert!(sentences[0].starts_with("${env:A} is a variable of your machine"), "{sentences:?}");
    assert!(plan("embedded", "", env).is_ok());

    let secret = "    headers: { a: '${secret:ssm:/a}' }\n";
    let error = plan("embedded", "", secret).unwrap_err().to_string();
    assert!(error.starts_with("${secret:ssm:/a} is resolved on AWS"), "{error}");
    assert!(plan("aws", "", secret).is_ok());
}

#[test]
fn a_budget_below_the_estimate_is_refused_with_both() {
    let workers = "workers: { count: 100, memory: 2GB }\n";
    let cost = plan("aws", workers, "").unwrap().cost_usd();
    assert!(cost > 1.02 && cost < 1.1, "60,000 GB-seconds and the leads: {cost}");
    let with = |usd: &str| plan("aws", &format!("{workers}budget: {{ max_usd: {usd} }}\n"), "");
    assert!(with("1.1").is_ok());
    assert_eq!(
        with("1").unwrap_err().to_string(),
        format!("the run would cost about {cost:.4} USD; its budget is 1.00 USD (max_usd)")
    );
    assert!(plan("embedded", &format!("{workers}budget: {{ max_usd: 0 }}\n"), "").is_ok(), "costs nothing");
}

#[test]
fn a_worker_sends_as_much_as_its_part_of_a_vcpu_lets_it_and_no_more_than_one() {
    // Half a vCPU is 885 MB of 1,769, and sends 250/s of 500.
    for (mode, memory, workers, warned) in [
        ("aws", "1769MB", 2, false),
        ("aws", "885MB", 4, false),
        ("aws", "3000MB", 2, false),
        ("aws", "3538MB", 2, true),
        ("embedded", "885MB", 2, false),
    ] {
        let head = format!("workers: {{ count: auto, memory: {memory} }}\n");
        let plan = plan_at(500, mode, &head, "").unwrap();
        assert_eq!(plan.workers.get(), workers, "{memory}");
        let warning = "a worker of 3538 MB has 2.0 vCPUs, and sends from one thread: 4 workers of 1769 MB send more for the same price";
        assert_eq!(plan.warnings, if warned { vec![warning] } else { vec![] }, "{memory}");
    }
}

#[test]
fn redirects_keep_workers_busy_as_requests_do() {
    let workers = |fields: &str| plan_at(500, "aws", "", fields).unwrap().workers.get();
    assert_eq!((workers(""), workers("    redirects: 1\n"), workers("    redirects: 2\n")), (2, 4, 6));
}

#[test]
fn connections_are_shared_out_and_bound_the_workers() {
    let few = "    connections: 3\n    warm_up: 3\n";
    assert_eq!(plan_at(100, "aws", "", few).unwrap().workers.get(), 3, "auto");
    let error = plan("aws", "workers: 4\n", few).unwrap_err();
    assert_eq!(
        error.to_string(),
        "attack \"a\" may have 3 connections, too few for one each of 4 workers; raise connections or ask for fewer workers"
    );
    let plan = plan("aws", "workers: 2\n", few).unwrap();
    let of = |shard| plan.connections_of(&plan.config.attacks()[0], plan.shard(shard).unwrap());
    assert_eq!((of(0), of(1)), (2, 1));
    // Without a limit, as many as the worker can have; with too high a one, too.
    assert!(plan.warnings.is_empty());
    let many = plan_at(500, "aws", "workers: 2\n", "    connections: 900000\n").unwrap();
    let attack = &many.config.attacks()[0];
    assert_eq!(many.connections_of(attack, many.shard(0).unwrap()), many.connections.get());
    let sockets = many.connections.get() * 2;
    assert_eq!(
        many.warnings,
        [format!("attack \"a\" asks for 900000 connections, and the workers can have {sockets} in all")]
    );
}

#[test]
fn many_readers_of_ssm_are_warned_of() {
    let warnings = |mode, workers: u32, reference: &str| {
        let fields =
            format!("    headers: {{ a: '${{secret:{reference}}}', b: '${{secret:secretsmanager:b}}' }}\n");
        plan(mode, &format!("workers: {workers}\n"), &fields).unwrap().warnings
    };
    assert_eq!(
        warnings("aws", 101, "ssm:/a"),
        [
            "101 workers read 1 SSM parameter at the start of each slice, and SSM answers 40 a second by default: that takes 3 s, and who comes later than the lead of 8s drops what was due before; keep it in Secrets Manager, which answers 10,000, or raise SSM's throughput"
        ]
    );
    assert!(warnings("aws", 100, "ssm:/a").is_empty());
    assert!(warnings("aws", 1000, "secretsmanager:a").is_empty());
}
