//! Whose fault it is when answers are late: the target's, or that of a machine
//! that does not let us send.

use std::thread;
use std::time::Duration;

use deathstar::target::{TargetArgs, TargetConfig, spawn_on_thread};
use rustix::process::Signal;
use serde_json::Value;

use crate::bench::{Home, constant, json, reasons, stderr, target, until};

/// How long the process is stopped, and how long it then runs: the machine gives
/// it half of its time.
const AWAY: Duration = Duration::from_millis(100);

fn lag(report: &Value, lag: &str, point: &str) -> f64 {
    report["generator"][lag][point].as_f64().unwrap()
}

#[test]
fn a_generator_that_is_starved_of_cpu_does_not_accuse_the_target() {
    let (home, target) = (Home::new(), target(Duration::from_millis(1)));
    let config = constant(&target, 200, 5).replace("errors < 1%", "p95 < 20ms");
    let mut run = home.start("starved", &config);
    until("load has been seen", || target.counts().received >= 20);
    while !run.has_ended() {
        run.signal(Signal::STOP);
        thread::sleep(AWAY);
        run.signal(Signal::CONT);
        thread::sleep(AWAY);
    }
    let output = run.end();
    let report = json(&output);
    assert_eq!(output.status.code(), Some(3), "{}\n{report:#}", stderr(&output));
    assert_eq!(report["slo"][0]["verdict"], "inconclusive");
    // What was due while it was away waited 50 ms on average.
    assert!(report["slo"][0]["observed"].as_f64().unwrap() >= 20.0, "{report:#}");
    assert_eq!(report["generator"]["limited"], true);
    assert!(lag(&report, "pacing_lag_ms", "p99") >= 50.0, "{}", report["generator"]);
    assert!(reasons(&report).contains("requests left more than 10 ms late"), "{}", reasons(&report));
    assert!(report["generator"]["workers_needed"].as_u64().unwrap() > 2);
}

#[test]
fn a_slow_target_does_not_make_the_generator_limited() {
    // 50/s is all that it can; 100/s over two connections wait ever longer.
    let args = TargetArgs { servers: 1, service: Duration::from_millis(20), ..TargetArgs::default() };
    let target = spawn_on_thread(TargetConfig::try_from(args).unwrap()).unwrap();
    let slo = "    connections: 2\nslo:\n  - p95 < 300ms\n";
    let config = constant(&target, 100, 5).replace("slo:\n  - errors < 1%\n", slo);
    let home = Home::new();
    let output = home.start("slow", &config).end();
    let report = json(&output);
    // All wait for a connection, and none for us; one that is late now and then,
    // since the machine has other work, does not change the median.
    assert!(lag(&report, "send_lag_ms", "p50") >= 500.0, "{}", report["generator"]);
    assert!(lag(&report, "pacing_lag_ms", "p50") <= 10.0, "{}", report["generator"]);
    let limited = report["generator"]["limited"] == true;
    assert!(!limited || lag(&report, "pacing_lag_ms", "p99") > 10.0, "limited without a reason: {report:#}");
    let (verdict, code) = if limited { ("inconclusive", 3) } else { ("failed", 1) };
    assert_eq!((&report["slo"][0]["verdict"], output.status.code()), (&verdict.into(), Some(code)));
    assert_eq!(report["generator"]["unsent"], 0);
}
