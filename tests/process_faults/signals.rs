//! Ctrl-C and its kin: the first one ends the load, tears down and reports; the
//! second gives up at once.

use std::time::Duration;

use rustix::process::Signal;

use crate::bench::until;
use crate::bench::{Arrivals, Home, PATIENCE, constant, json, reasons, stderr, target};

#[test]
fn ctrl_c_ends_the_load_tears_down_and_reports() {
    a_signal_ends_the_load_tears_down_and_reports(Signal::INT);
}

#[test]
fn a_polite_kill_is_like_ctrl_c() {
    a_signal_ends_the_load_tears_down_and_reports(Signal::TERM);
}

#[test]
fn a_closed_terminal_is_like_ctrl_c() {
    a_signal_ends_the_load_tears_down_and_reports(Signal::HUP);
}

fn a_signal_ends_the_load_tears_down_and_reports(signal: Signal) {
    let (home, target) = (Home::new(), target(Duration::from_millis(1)));
    // Longer than a test waits: only the signal can end it.
    let run = home.start("interrupted", &constant(&target, 200, 600));
    until("load has been seen", || target.counts().received >= 300);
    run.signal(signal);
    let output = run.end();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("stopping"), "{}", stderr(&output));

    let report = json(&output);
    assert_eq!(
        (&report["verdict"], &report["stopped"]["kind"]),
        (&"inconclusive".into(), &"interrupted".into())
    );
    assert!(reasons(&report).contains("interrupted after"), "{}", reasons(&report));
    assert_eq!(report["leaks"], 0);
    assert_eq!(report["coverage"]["workers_lost"], 0);
    let lasted = report["duration_s"].as_f64().unwrap();
    assert!(lasted > 1.0 && lasted < PATIENCE.as_secs_f64(), "{lasted} s");
    let arrivals = Arrivals::of(&report);
    assert_eq!((arrivals.failed, arrivals.timed_out, arrivals.lost), (0, 0, 0), "{arrivals:?}");
    // The load ended with the process: the target has seen what the report
    // says, and no more.
    assert_eq!(target.stop().received, arrivals.sent());
    home.assert_nothing_is_left();
    assert_eq!(home.state("interrupted"), "inconclusive");
}

#[test]
fn a_second_ctrl_c_gives_up_at_once_and_says_what_remains() {
    // Nothing is ever answered, so the first one has something to wait for.
    let (home, target) = (Home::new(), target(Duration::from_secs(3600)));
    let mut run = home.start("given-up", &constant(&target, 50, 600));
    until("load has been seen", || target.counts().received >= 20);
    run.signal(Signal::INT);
    run.wait_for_words("stopping");
    run.signal(Signal::INT);
    let output = run.end();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(output.stdout.is_empty(), "a run that was given up has no report");
    let said = stderr(&output);
    assert!(said.contains("given up: 1 worker function of run given-up"), "{said}");
    assert!(said.contains("deathstar results given-up"), "{said}");
    assert_eq!(home.state("given-up"), "interrupted");
    // The hint is right.
    let results = home.call(&["results", "given-up", "--output", "json"]);
    assert_eq!(results.status.code(), Some(130), "{}", stderr(&results));
    Arrivals::of(&json(&results));
}
