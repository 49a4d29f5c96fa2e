//! What a run comes to: verdicts, reasons and exit codes.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::command::{Home, Output};
use crate::server::{After, OK, Server};

fn run(server: &Server, more: &str) -> Output {
    let home = Home::new();
    let output = home.run(&format!(
        "name: verdict\nattacks:\n  - {{ name: x, url: '{}', rate: 50/s, duration: 1s }}\n{more}",
        server.url()
    ));
    home.assert_nothing_left();
    output
}

/// Answers every other request with 503.
fn half_good() -> Server {
    let turn = AtomicU64::new(0);
    Server::start(move |_, stream| {
        let good = turn.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        let bad = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(if good { OK } else { bad }.as_bytes())?;
        Ok(After::Keep)
    })
}

#[test]
fn promises_that_hold_pass() {
    let server = Server::good();
    let output = run(&server, "slo: [p99 < 60s, errors < 60%, max < 1m, rate > 1/s]\n");
    let report = output.exits(0).report();
    assert_eq!(report.verdict(), "passed");
    assert_eq!(report.reasons(), "");
    for promise in report.0["slo"].as_array().unwrap() {
        assert_eq!((&promise["verdict"], &promise["attack"]), (&"passed".into(), &"x".into()));
        assert!(promise["observed"].is_number());
    }
    assert_eq!(report.0["leaks"], 0);
}

#[test]
fn a_run_without_promises_passes_when_something_succeeded() {
    let server = half_good();
    let output = run(&server, "");
    assert_eq!(output.exits(0).report().verdict(), "passed");
}

#[test]
fn a_broken_promise_fails() {
    let server = half_good();
    let output = run(&server, "slo: [errors < 0.1%, p99 < 60s]\n");
    let report = output.report();
    // A generator that this machine starved may not accuse the target.
    if report.0["generator"]["limited"] == true {
        output.exits(3);
        return;
    }
    output.exits(1);
    assert_eq!(report.verdict(), "failed");
    assert!(report.reasons().contains("x broke errors < 0.1%"), "{}", report.reasons());
    assert_eq!(report.0["slo"][0]["verdict"], "failed");
    assert_eq!(report.0["slo"][1]["verdict"], "passed");
}

#[test]
fn an_attack_may_have_promises_of_its_own() {
    let home = Home::new();
    let (good, bad) = (Server::good(), half_good());
    let output = home.run(&format!(
        "name: own
attacks:
  - {{ name: good, url: '{}', rate: 50/s, duration: 1s }}
  - {{ name: bad, url: '{}', rate: 50/s, duration: 1s, slo: [errors < 90%, errors > 10%] }}
slo: [p50 < 60s]
",
        good.url(),
        bad.url()
    ));
    let promises: Vec<(&str, &str)> = output.exits(0).report().0["slo"]
        .as_array()
        .unwrap()
        .iter()
        .map(|promise| (promise["attack"].as_str().unwrap(), promise["rule"].as_str().unwrap()))
        .collect();
    let has = |attack, rule| promises.contains(&(attack, rule));
    assert_eq!(promises.len(), 4, "{promises:?}");
    assert!(has("good", "p50 < 60s") && has("bad", "p50 < 60s"), "{promises:?}");
    assert!(has("bad", "errors < 90%") && has("bad", "errors > 10%"), "{promises:?}");
}

#[test]
fn a_promise_over_no_data_is_never_kept() {
    // Everything fails, so there is no response time to judge.
    let server =
        Server::saying("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", After::Keep);
    let output = run(&server, "slo: [p99 < 60s]\n");
    let report = output.exits(1).report();
    assert_eq!(report.0["slo"][0]["verdict"], "inconclusive");
    assert_eq!(report.verdict(), "failed");
    assert!(report.reasons().contains("nothing succeeded"), "{}", report.reasons());
}

#[test]
fn stop_if_ends_a_run_early_as_failed() {
    let home = Home::new();
    let server =
        Server::saying("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", After::Keep);
    let output = home.run(&format!(
        "name: stop
attacks:
  - {{ name: x, url: '{}', rate: 50/s, duration: 10m }}
stop_if: errors > 20% for 1s
workers: 2
",
        server.url()
    ));
    home.assert_nothing_left();
    let report = output.exits(1).report();
    assert!(report.reasons().contains("errors > 20% for 1s"), "{}", report.reasons());
    assert_eq!(report.0["stopped"]["kind"], "condition");
    assert!(report.0["duration_s"].as_f64().unwrap() < 60.0);
    assert_eq!(report.arrivals().lost, 0);
    assert_eq!(server.count(), report.arrivals().sent());
}

#[test]
fn stop_if_leaves_a_good_run_alone() {
    let server = Server::good();
    let output = run(&server, "stop_if: errors > 99% for 1s\n");
    assert!(output.exits(0).report().0["stopped"].is_null());
}
