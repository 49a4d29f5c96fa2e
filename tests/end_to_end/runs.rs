//! Runs as others see them: other terminals, other runs, readers that leave.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::clock;
use crate::command::{Home, Running};
use crate::report::Report;
use crate::server::{After, Server};

fn config(server: &Server, duration: &str) -> String {
    format!(
        "name: runs\nattacks:\n  - {{ name: x, url: '{}', rate: 50/s, duration: {duration} }}\n",
        server.url()
    )
}

fn runs(home: &Home) -> Vec<Value> {
    let list = home.beside(&["list", "--output", "json"]);
    serde_json::from_str(&list.exits(0).stdout).unwrap()
}

fn state(home: &Home, run: &str) -> Option<String> {
    let runs = runs(home);
    runs.iter().find(|row| row["run"] == run).map(|row| row["state"].as_str().unwrap().to_owned())
}

/// Waits until the target has seen something of a run.
fn until_load(server: &Server) {
    clock::wait_for("the load to begin", || (server.count() > 0).then_some(()));
}

#[test]
fn results_are_what_the_run_printed() {
    let (home, server) = (Home::new(), Server::good());
    let output = home.run_with(&config(&server, "1s"), &["--id", "printed"]);
    let printed = output.exits(0).report();
    assert_eq!(printed.0["run_id"], "printed");
    let again = home.deathstar(&["results", "printed", "--output", "json"]);
    assert_eq!(again.exits(0).report(), printed);
    let newest = home.deathstar(&["results", "--output", "json"]);
    assert_eq!(newest.exits(0).report(), printed);
    let text = home.deathstar(&["results", "printed"]);
    assert!(text.exits(0).stdout.contains("PASSED"), "{}", text.stdout);
    assert!(!text.stdout.contains('\u{1b}'), "no colour where there is no terminal");
    assert_eq!(state(&home, "printed").as_deref(), Some("passed"));
}

#[test]
fn results_exit_as_their_run_did() {
    let home = Home::new();
    let server =
        Server::saying("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", After::Keep);
    home.run_with(&config(&server, "1s"), &["--id", "bad"]).exits(1);
    home.deathstar(&["results", "bad"]).exits(1);
    assert_eq!(state(&home, "bad").as_deref(), Some("failed"));
}

#[test]
fn a_run_id_is_used_once() {
    let (home, server) = (Home::new(), Server::good());
    home.run_with(&config(&server, "1s"), &["--id", "once"]).exits(0);
    let count = server.count();
    let again = home.run_with(&config(&server, "1s"), &["--id", "once"]);
    again.exits(2).says(&["once", "already"]);
    assert_eq!(again.stdout, "");
    assert_eq!(server.count(), count, "nothing was sent");
}

#[test]
fn a_run_under_way_can_be_watched_and_stopped_from_elsewhere() {
    let (home, server) = (Home::new(), Server::good());
    let running = home.start_run(&config(&server, "10m"), &["--id", "long"]);
    until_load(&server);
    assert_eq!(state(&home, "long").as_deref(), Some("running"));
    // Its results so far hold together, too; they are there once it has written.
    let so_far = clock::wait_for("a first checkpoint", || {
        let output = home.beside(&["results", "long", "--output", "json"]);
        output.says(&["still under way"]);
        (output.report().arrivals().completed > 0).then_some(output)
    });
    assert_ne!(so_far.code, Some(0), "what is not over has not passed");
    let taken = home.beside(&["run", &second_config(&home, &server), "--id", "long"]);
    taken.exits(2).says(&["long"]);
    home.beside(&["stop", "long"]).exits(0).says(&["asked run long to stop"]);
    let output = running.wait();
    let report = output.exits(3).report();
    assert!(report.reasons().contains("stopped on request"), "{}", report.reasons());
    assert!(report.0["duration_s"].as_f64().unwrap() < 300.0);
    assert_eq!(report.arrivals().lost, 0);
    assert_eq!(server.count(), report.arrivals().sent());
    home.assert_nothing_left();
    home.beside(&["stop", "long"]).exits(2).says(&["not under way"]);
}

fn second_config(home: &Home, server: &Server) -> String {
    home.file("second.yaml", config(server, "1s")).to_str().unwrap().to_owned()
}

#[test]
fn what_is_in_flight_at_a_stop_is_aborted_and_counted() {
    let home = Home::new();
    let server = Server::start(|_, stream| crate::server::until_closed(stream));
    let running = home.start_run(&config(&server, "10m"), &["--id", "hanging"]);
    until_load(&server);
    home.beside(&["stop", "hanging"]).exits(0);
    let output = running.wait();
    let report = output.exits(1).report();
    let arrivals = report.arrivals();
    assert_eq!(report.errors().get("aborted").copied(), Some(arrivals.sent()), "{}", output.stdout);
    assert_eq!(server.count(), arrivals.sent());
    home.assert_nothing_left();
}

#[test]
fn two_runs_share_a_home() {
    let home = Home::new();
    let (one, two) = (Server::good(), Server::good());
    let first = home.start_run(&config(&one, "2s"), &["--id", "one"]);
    let second = home.start_run(&config(&two, "1s"), &["--id", "two"]);
    let (first, second) = (first.wait(), second.wait());
    assert_eq!(first.exits(0).report().arrivals().scheduled, 100);
    assert_eq!(second.exits(0).report().arrivals().scheduled, 50);
    assert_eq!(one.count(), first.report().arrivals().sent());
    assert_eq!(two.count(), second.report().arrivals().sent());
    home.assert_nothing_left();
    assert_eq!(runs(&home).len(), 2);
}

#[test]
fn an_interrupted_run_tears_down_and_reports() {
    let (home, server) = (Home::new(), Server::good());
    let running = home.start_run(&config(&server, "10m"), &["--id", "interrupted"]);
    until_load(&server);
    signal(&running, "INT");
    let output = running.wait();
    let report = output.exits(130).report();
    assert_eq!(report.0["stopped"]["kind"], "interrupted");
    assert_eq!(server.count(), report.arrivals().sent());
    home.assert_nothing_left();
}

#[test]
fn a_killed_run_shows_as_interrupted_and_keeps_what_it_wrote() {
    let (home, server) = (Home::new(), Server::good());
    let running = home.start_run(&config(&server, "10m"), &["--id", "killed"]);
    clock::wait_for("a first checkpoint", || {
        let windows = || {
            let path = home.data().join("runs.db");
            path.exists().then(|| {
                home.table().query_row("SELECT count(*) FROM windows", [], |row| row.get::<_, i64>(0)).ok()
            })?
        };
        windows().filter(|count| *count > 0)
    });
    signal(&running, "KILL");
    assert_eq!(running.wait().code, None);
    assert_eq!(state(&home, "killed").as_deref(), Some("interrupted"));
    let output = home.deathstar(&["results", "killed", "--output", "json"]);
    let report = output.exits(3).report();
    assert!(report.reasons().contains("killed"), "{}", report.reasons());
    assert!(report.arrivals().sent() > 0);
    assert!(server.count() >= report.arrivals().sent());
    home.deathstar(&["stop", "killed"]).exits(2).says(&["not under way", "interrupted"]);
}

fn signal(running: &Running, name: &str) {
    let id = running.id().to_string();
    let sent = std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_plan_creates_nothing() {
    let (home, server) = (Home::new(), Server::good());
    let path = home.file("plan.yaml", config(&server, "10s"));
    let text = home.deathstar(&["plan", path.to_str().unwrap()]);
    assert!(text.exits(0).stdout.contains("500 requests"), "{}", text.stdout);
    let json = home.deathstar(&["plan", path.to_str().unwrap(), "--output", "json"]);
    let plan: Value = serde_json::from_str(&json.exits(0).stdout).unwrap();
    assert_eq!(plan["requests"], 500);
    assert_eq!(plan["workers"], 1);
    assert!(text.stdout.contains("engine: fast, HTTP/1.1"), "{}", text.stdout);
    assert_eq!(plan["attacks"][0]["engines"], serde_json::json!(["fast"]));
    assert!(!home.data().exists());
    assert_eq!(server.connections(), 0, "the target is left alone");
}

#[test]
fn the_schema_is_one_document() {
    let output = Home::new().deathstar(&["schema"]);
    let schema: Value = serde_json::from_str(&output.exits(0).stdout).unwrap();
    assert!(schema["$schema"].is_string() && schema["properties"]["attacks"].is_object());
}

/// Runs a command whose standard output nobody reads any more.
fn with_closed_output(home: &Home, args: &[&str]) -> (Option<i32>, String) {
    let mut command = home.command(args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let status = clock::wait_for("a command without a reader", || child.try_wait().unwrap());
    (status.code(), stderr)
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (home, server) = (Home::new(), Server::good());
    let path = home.file("pipe.yaml", config(&server, "1s"));
    let path = path.to_str().unwrap();
    for args in [vec!["run", path], vec!["plan", path], vec!["schema"], vec!["results"], vec!["list"]] {
        assert_eq!(with_closed_output(&home, &args), (Some(0), String::new()), "{args:?}");
    }
    home.assert_nothing_left();
}

#[test]
fn a_reader_that_leaves_does_not_turn_failed_into_passed() {
    let home = Home::new();
    let server =
        Server::saying("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", After::Keep);
    let path = home.file("pipe.yaml", config(&server, "1s"));
    assert_eq!(with_closed_output(&home, &["run", path.to_str().unwrap()]), (Some(1), String::new()));
    assert_eq!(with_closed_output(&home, &["results"]), (Some(1), String::new()));
    home.assert_nothing_left();
}

#[test]
fn the_demo_works_from_end_to_end() {
    let home = Home::new();
    let output = home.deathstar(&["demo"]);
    output.says(&["a target listens on http://127.0.0.1:"]);
    assert!(output.stdout.contains("How to read this"), "{}", output.stdout);
    assert!(matches!(output.code, Some(0 | 3)), "{}\n{}", output.stdout, output.stderr);
    home.assert_nothing_left();
    let report = home.deathstar(&["results", "--output", "json"]);
    let report: &Report = report.report();
    assert_eq!(report.arrivals().scheduled, 1800);
}
