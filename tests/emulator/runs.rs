//! Whole runs on the emulator: submitted, left alone, reported, gone.

use std::time::Duration;

use deathstar::target::ThreadTarget;
use serde_json::{Value, json};

use crate::clock;
use crate::cloud::{Cloud, target, words};
use crate::fault::Fault;

/// One attack at a constant rate, by two workers.
fn constant(target: &ThreadTarget, rate: u32, seconds: u32) -> String {
    format!(
        "name: cloud\nworkers: 2\nattacks:\n  - name: home\n    url: http://{}/\n    rate: {rate}/s\n    duration: {seconds}s\n    timeout: 2s\nslo:\n  - errors < 1%\n",
        target.address()
    )
}

fn arrivals(report: &Value, name: &str) -> u64 {
    report["attacks"][0]["arrivals"][name].as_u64().unwrap()
}

/// Requests that left, by a report.
fn sent(report: &Value) -> u64 {
    ["completed", "failed", "timed_out"].iter().map(|name| arrivals(report, name)).sum()
}

#[test]
fn a_run_is_submitted_left_and_reported_and_nothing_is_left() {
    let cloud = Cloud::new();
    let target = target();
    cloud.submit("a-run", &constant(&target, 100, 6));
    // The same again starts nothing.
    cloud.submit("a-run", &constant(&target, 100, 6));
    let report = cloud.report("a-run");
    assert_eq!(report["mode"], "aws");
    assert_eq!(arrivals(&report, "scheduled"), 600);
    assert_eq!(target.counts().received, sent(&report), "what was sent is what arrived, once");
    assert_eq!(report["coverage"]["workers_lost"], 0);
    assert_eq!(cloud.ended("a-run"), "SUCCEEDED");
    cloud.is_clean();
    let listed: Value =
        serde_json::from_str(&cloud.ends(0, &["list", "--on", "aws", "--output", "json"])).unwrap();
    assert_eq!((&listed[0]["run"], listed.as_array().unwrap().len()), (&json!("a-run"), 1));
}

#[test]
fn a_stopped_run_tears_down_and_reports() {
    let cloud = Cloud::new();
    let target = target();
    cloud.submit("stopped", &constant(&target, 50, 60));
    clock::wait_for("the load to begin", || Some(target.counts().received).filter(|count| *count > 0));
    cloud.ends(0, &["stop", "stopped", "--on", "aws"]);
    let report = cloud.report("stopped");
    assert_eq!(report["stopped"]["kind"], "requested");
    assert_eq!(target.counts().received, sent(&report));
    assert!(arrivals(&report, "scheduled") < 50 * 60);
    cloud.is_clean();
}

#[test]
fn an_execution_that_is_stopped_from_outside_is_torn_down_and_reported() {
    let cloud = Cloud::new();
    let target = target();
    cloud.submit("aborted", &constant(&target, 50, 60));
    clock::wait_for("the load to begin", || Some(target.counts().received).filter(|count| *count > 0));
    let arn = cloud.execution("aborted");
    cloud.account().ask("AWSStepFunctions.StopExecution", &json!({ "executionArn": arn }).to_string());
    let report = cloud.report("aborted");
    assert_eq!(report["stopped"]["kind"], "requested");
    assert_eq!(cloud.status("aborted"), "ABORTED");
    clock::wait_for("everything to be gone", || {
        (cloud.functions().is_empty() && cloud.switches().is_empty()).then_some(())
    });
    cloud.is_clean();
}

#[test]
fn the_end_of_another_execution_of_a_run_leaves_it_alone() {
    let cloud = Cloud::new();
    let target = target();
    cloud.submit("once", &constant(&target, 20, 6));
    clock::wait_for("the load to begin", || Some(target.counts().received).filter(|count| *count > 0));
    // As the rule on executions tells of one that was started with the same input.
    let arn = json!({ "executionArn": cloud.execution("once") }).to_string();
    let told = cloud.account().ask("AWSStepFunctions.DescribeExecution", &arn);
    for status in ["FAILED", "ABORTED"] {
        let detail = json!({ "name": "another", "status": status, "input": told["input"] });
        let done = cloud.invoke("deathstar-controller", &json!({ "source": "aws.states", "detail": detail }));
        assert_eq!(done, json!({}));
    }
    let report = cloud.report("once");
    assert_eq!((&report["stopped"], &report["failure"]), (&Value::Null, &Value::Null), "{report}");
    assert_eq!((target.counts().received, sent(&report)), (120, 120));
    cloud.is_clean();
}

#[test]
fn a_worker_that_fails_loses_no_slice_but_its_own() {
    let cloud = Cloud::new();
    let target = target();
    // The first of four slices of the first worker of two is never claimed.
    let claim = cloud.account().on("DynamoDB.PutItem").holding("claim#00000#00000#00000");
    let claim = claim.answer(Fault::AccessDenied);
    cloud.submit("lost", &constant(&target, 20, 18));
    let report = cloud.report("lost");
    assert!(claim.fired() > 0);
    let lost = 10 * 5;
    assert_eq!((arrivals(&report, "scheduled"), arrivals(&report, "lost")), (360, lost));
    assert_eq!(report["coverage"]["workers_lost"], 1);
    assert_eq!((target.counts().received, sent(&report)), (360 - lost, 360 - lost));
    assert_eq!(cloud.ended("lost"), "SUCCEEDED");
    cloud.is_clean();
}

#[test]
fn a_worker_that_is_invoked_again_sends_nothing() {
    let cloud = Cloud::new();
    let target = target();
    cloud.submit("again", &constant(&target, 50, 5));
    clock::wait_for("the load to begin", || Some(target.counts().received).filter(|count| *count > 0));
    let function = cloud.functions().pop().unwrap();
    let slice = json!({ "run": "again", "round": 0, "shard": 0, "slice": 0 });
    let answer = cloud.invoke(&function, &slice);
    // It waited for the winner, and says what that one would say.
    assert_eq!(answer["more"], false, "{answer}");
    let report = cloud.report("again");
    assert_eq!(target.counts().received, sent(&report));
    assert_eq!(arrivals(&report, "scheduled"), 250);
    cloud.is_clean();
}

#[test]
fn what_may_not_be_attacked_is_refused_by_the_controller_too() {
    let cloud = Cloud::new();
    let config =
        "name: cannon\nattacks: [{ name: a, url: 'http://localhost:1/', rate: 1/s, duration: 5s }]\n";
    let path = cloud.config("cannon", config);
    let refused = cloud.call(&["submit", &path]);
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));
    assert!(words(&refused).contains("localhost:1 is not on the list"), "{}", words(&refused));
    // Whoever goes round the client meets the controller.
    let start = json!({ "run": "cannon", "config": { "name": "cannon", "version": "1" } });
    let item = json!({
        "pk": { "S": "config#cannon" }, "sk": { "S": "1#0000" }, "parts": { "N": "1" },
        "body": { "S": json!({
            "name": "cannon",
            "attacks": [{ "name": "a", "url": "http://localhost:1/", "rate": "1/s", "duration": "5s" }],
        }).to_string() },
    });
    let account = cloud.account();
    account.ask("DynamoDB_20120810.PutItem", &json!({ "TableName": "deathstar", "Item": item }).to_string());
    let machine = cloud.execution("cannon").replace(":execution:", ":stateMachine:").replace(":cannon", "");
    let start = json!({ "stateMachineArn": machine, "name": "cannon", "input": start.to_string() });
    account.ask("AWSStepFunctions.StartExecution", &start.to_string());
    assert_eq!(cloud.ended("cannon"), "FAILED");
    cloud.is_clean();
    let told = cloud.call(&["results", "cannon", "--on", "aws", "--wait"]);
    assert_eq!(told.status.code(), Some(2), "{}", words(&told));
    assert!(words(&told).contains("localhost:1 is not on the list"), "{}", words(&told));
}

#[test]
fn a_tick_that_comes_twice_is_one_run() {
    let cloud = Cloud::new();
    let target = target();
    let path = cloud.config("nightly", &constant(&target, 20, 3));
    cloud.ends(
        0,
        &["schedule", "add", "nightly", &path, "--cron", "0 3 * * ? *", "--timezone", "Europe/Berlin"],
    );
    let listed = cloud.ends(0, &["schedule", "list"]);
    assert!(listed.contains("nightly"), "{listed}");
    // What the schedule holds, with the time that AWS puts in, delivered twice.
    let account = cloud.account();
    let get = account.request("GET /schedules/tick-nightly?groupName=deathstar", &[], b"");
    let schedule: Value = serde_json::from_slice(account.send(&get).unwrap().body()).unwrap();
    let input = schedule["Target"]["Input"].as_str().unwrap();
    let input = input.replace("<aws.scheduler.scheduled-time>", "2026-11-24T03:00:00Z");
    assert!(input.contains("2026-11-24T03:00:00Z"), "{input}");
    for delivery in ["one", "two"] {
        let start = json!({ "stateMachineArn": schedule["Target"]["Arn"], "name": delivery, "input": input });
        account.ask("AWSStepFunctions.StartExecution", &start.to_string());
    }
    assert_eq!((cloud.ended("one").as_str(), cloud.ended("two").as_str()), ("SUCCEEDED", "SUCCEEDED"));
    let report = cloud.report("nightly-20261124-0300");
    assert_eq!((target.counts().received, sent(&report)), (60, 60));
    cloud.ends(0, &["schedule", "remove", "nightly"]);
    cloud.is_clean();
}

#[test]
fn the_switch_tears_down_what_nothing_else_has() {
    let cloud = Cloud::new();
    let target = target();
    // The event that the execution was stopped is lost.
    let rule = json!({ "Name": "deathstar-ended" }).to_string();
    cloud.account().ask("AWSEvents.DisableRule", &rule);
    cloud.submit("lost", &constant(&target, 20, 3));
    clock::wait_for("the fleet to be made", || (!cloud.functions().is_empty()).then_some(()));
    let arn = cloud.execution("lost");
    cloud.account().ask("AWSStepFunctions.StopExecution", &json!({ "executionArn": arn }).to_string());
    clock::wait_within(Duration::from_secs(300), "the switch to come", || {
        (cloud.functions().is_empty() && cloud.switches().is_empty()).then_some(())
    });
    cloud.report("lost");
    cloud.is_clean();
}
