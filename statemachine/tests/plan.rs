//! What a plan refuses, and what it warns of.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::num::NonZeroU32;
use std::time::Duration;

use deathstar_statemachine::config::Config;
use deathstar_statemachine::plan::{Place, Plan, PlanError};

fn plan(mode: &str, head: &str, fields: &str) -> Result<Plan, PlanError> {
    let text = format!(
        "name: t\n{head}attacks:\n  - name: a\n    url: http://h/\n    rate: 1000/s\n    duration: 5m\n{fields}"
    );
    let config = Config::from_text(&text, |_| Err(String::new())).unwrap();
    let many = NonZeroU32::new(100_000).unwrap();
    let place = Place {
        mode: mode.into(),
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
    };
    Plan::new("t".parse().unwrap(), config, place, "2026-01-01T00:00:00Z".parse().unwrap())
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
