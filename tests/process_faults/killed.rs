//! A process that is killed outright leaves what it had written down, and
//! stands in nobody's way.

use std::time::Duration;

use rustix::process::Signal;

use crate::bench::{Arrivals, Home, constant, json, reasons, stderr, target, until};

#[test]
fn a_killed_run_shows_as_interrupted_and_tells_what_it_saw() {
    let (home, target) = (Home::new(), target(Duration::from_millis(1)));
    let run = home.start("killed", &constant(&target, 200, 600));
    until("windows are written down", || {
        home.query::<i64>("SELECT count(*) FROM windows").is_some_and(|windows| windows >= 6)
    });
    assert_eq!(home.state("killed"), "running");
    run.signal(Signal::KILL);
    let output = run.end();
    assert_eq!(output.status.code(), None, "it was killed");
    assert!(output.stdout.is_empty());
    assert_eq!(home.state("killed"), "interrupted");

    let results = home.call(&["results", "killed", "--output", "json"]);
    assert_eq!(results.status.code(), Some(3), "{}", stderr(&results));
    let report = json(&results);
    assert_eq!(report["verdict"], "inconclusive");
    assert!(reasons(&report).contains("the run was killed"), "{}", reasons(&report));
    assert_eq!(report["coverage"]["workers_lost"], 2);
    assert_eq!(report["leaks"], 0, "the functions went with their process");
    let ratio = report["coverage"]["ratio"].as_f64().unwrap();
    assert!(ratio > 0.0 && ratio <= 1.0, "{ratio}");
    let arrivals = Arrivals::of(&report);
    assert!(arrivals.completed >= 300, "three seconds of 200/s less the last: {arrivals:?}");
    assert!(arrivals.sent() <= target.counts().received, "no more than the target saw: {arrivals:?}");

    // In words for people, and without naming the run.
    let text = home.call(&["results"]);
    assert_eq!(text.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&text.stdout).contains("killed"));

    // Its name is taken, but nothing else is.
    let again = home.start("killed", &constant(&target, 50, 1)).end();
    assert_eq!(again.status.code(), Some(2), "{}", stderr(&again));
    let next = home.start("next", &constant(&target, 50, 1)).end();
    assert_eq!(next.status.code(), Some(0), "{}", stderr(&next));
    assert_eq!((home.state("next"), home.state("killed")), ("passed".to_owned(), "interrupted".to_owned()));
}

#[test]
fn a_run_that_never_was_has_nothing_to_say_and_says_so() {
    let home = Home::new();
    let absent = home.call(&["results", "never-was"]);
    assert_eq!(absent.status.code(), Some(2));
    assert!(stderr(&absent).contains("there is no run never-was"), "{}", stderr(&absent));
    let none = home.call(&["results"]);
    assert_eq!(none.status.code(), Some(2), "{}", stderr(&none));
}
