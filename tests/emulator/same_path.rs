//! One definition in two places: a config takes the same path through it here
//! and on AWS, and its reports count the same.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use deathstar::embedded::Embedded;
use deathstar::machine;
use deathstar::target::ThreadTarget;
use deathstar_controller::embedded::functions::Limits;
use deathstar_controller::embedded::table::SqliteTable;
use deathstar_controller::ports::Table;
use deathstar_statemachine::config::Config;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::plan::Place;
use deathstar_worker::transport::auto::Auto;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::clock;
use crate::cloud::{Cloud, target};
use crate::fault::Fault;

/// The states that ask the controller, which are called like its tasks.
const TASKS: [&str; 7] = ["Plan", "Provision", "AwaitFleet", "NextRound", "Judge", "TearDown", "Report"];

/// A slice of 5 s, as the stacks of these tests have it.
const SLICE: Duration = Duration::from_secs(5);

/// What a run did, wherever it was.
#[derive(Debug)]
struct Ran {
    /// The states of the definition's outermost level, as they were entered.
    states: Vec<String>,
    /// What the controller was asked for and did, in order.
    tasks: Vec<String>,
    /// Round, worker and slice of each claim.
    claims: BTreeSet<[u32; 3]>,
    /// The error that its execution ended with.
    error: Option<String>,
    /// Null when there is none.
    report: Value,
}

/// Runs a config in this process.
fn here(run: &str, text: &str, limits: Limits) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let table = SqliteTable::open(&path).unwrap();
    let config = Config::from_text(text, |_| Err(String::new())).unwrap();
    let many = NonZeroU32::new(100).unwrap();
    let place = Place {
        slice: SLICE,
        lead: Duration::from_secs(2),
        checkpoint: Duration::from_secs(1),
        cores: many,
        ..machine::place()
    };
    let embedded = Embedded::with_transport(table.clone(), place, limits, Auto::new);
    let run: RunId = run.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(embedded.run(&run, &config)).unwrap();
    let report = runtime.block_on(table.report(&run)).unwrap();
    let names = ended.trace.iter().filter_map(|state| state.rsplit('/').next());
    Ran {
        states: ended.trace.iter().filter(|state| !state.contains('/')).cloned().collect(),
        tasks: names.filter(|name| TASKS.contains(name)).map(ToOwned::to_owned).collect(),
        claims: claims(&Connection::open(&path).unwrap()),
        error: ended.result.err().map(|failure| failure.error),
        report: report.map_or(Value::Null, |report| serde_json::to_value(report).unwrap()),
    }
}

fn claims(table: &Connection) -> BTreeSet<[u32; 3]> {
    let mut select = table.prepare("SELECT round, shard, slice FROM claims").unwrap();
    let claims = select.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).unwrap();
    claims.map(Result::unwrap).collect()
}

/// Runs a config on the emulator.
fn there(cloud: &Cloud<'_>, run: &str, text: &str) -> Ran {
    cloud.submit(run, text);
    cloud.ended(run);
    let execution = json!({ "executionArn": cloud.execution(run), "maxResults": 1000 }).to_string();
    let account = cloud.account();
    let history = account.ask("AWSStepFunctions.GetExecutionHistory", &execution);
    assert!(history["nextToken"].is_null(), "it is all there");
    let entered = history["events"].as_array().unwrap().iter();
    let entered = entered.filter_map(|event| event["stateEnteredEventDetails"]["name"].as_str());
    let described = account.ask("AWSStepFunctions.DescribeExecution", &execution);
    let reported = described["error"] != "DeathStar.OverLimit";
    let rows = cloud.rows();
    let keys = rows.iter().map(|row| (row["pk"]["S"].as_str().unwrap(), row["sk"]["S"].as_str().unwrap()));
    let of_run = format!("work#{run}#");
    let claims = keys.filter(|(pk, _)| pk.starts_with(&of_run));
    let claims = claims.filter_map(|(_, sk)| sk.strip_prefix("claim#"));
    let ran = Ran {
        states: entered.map(ToOwned::to_owned).collect(),
        tasks: tasks(cloud, run),
        claims: claims.map(numbers).collect(),
        error: described["error"].as_str().map(ToOwned::to_owned),
        report: if reported { cloud.report(run) } else { Value::Null },
    };
    cloud.is_clean();
    ran
}

/// `round#worker#slice`
fn numbers(claim: &str) -> [u32; 3] {
    let numbers: Vec<u32> = claim.split('#').map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// What a run's controller did, by the log of the stack; of a task that was
/// tried again, the last.
fn tasks(cloud: &Cloud<'_>, run: &str) -> Vec<String> {
    let lines = || {
        let filter = json!({ "logGroupName": "/deathstar/deathstar", "filterPattern": "", "limit": 10000 });
        let found = cloud.account().ask("Logs_20140328.FilterLogEvents", &filter.to_string());
        let events = found["events"].as_array().unwrap().clone();
        let lines = events.into_iter().filter_map(|event| {
            let line: Value = serde_json::from_str(event["message"].as_str()?).ok()?;
            // What tears down after an execution that failed is no state's.
            let of_state = TASKS.iter().any(|task| line["task"] == *task);
            (line["run"] == run && of_state).then_some(line)
        });
        lines.collect::<Vec<_>>()
    };
    let lines = clock::wait_for("the log of the last task", || {
        // An execution that ends at Plan has no other.
        let lines = lines();
        let last = lines.last()?;
        (last["task"] == "Report" || last["error"] == "DeathStar.OverLimit").then_some(lines)
    });
    let again =
        |line: &&Value| ["DeathStar.FleetPending", "DeathStar.Throttled"].iter().all(|e| line["error"] != *e);
    lines.iter().filter(again).map(|line| line["task"].as_str().unwrap().to_owned()).collect()
}

/// What a report counts, without anything that was measured.
fn counts(report: &Value) -> Value {
    let of = |counted: &Value| {
        json!({
            "name": counted["name"], "arrivals": counted["arrivals"], "errors": counted["errors"],
            "status_codes": counted["status_codes"],
            "rate": counted["rate"]["scheduled"],
        })
    };
    let list = |list: &Value, of: &dyn Fn(&Value) -> Value| {
        list.as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let due = |second: &Value| json!([second["at_s"], second["scheduled"], second["completed"]]);
    let attack = |attack: &Value| {
        json!({
            "all": of(attack),
            "profile": attack["profile"],
            "bytes": attack["bytes"],
            "requests": list(&attack["requests"], &of),
            "timeline": list(&attack["timeline"], &due),
        })
    };
    let coverage = &report["coverage"];
    json!({
        "name": report["name"], "schema": report["schema"], "stopped": report["stopped"],
        "workers": [coverage["workers"], coverage["workers_lost"], coverage["due_s"], coverage["seen_s"]],
        "leaks": report["leaks"],
        "slo": list(&report["slo"], &|slo| slo["slo"].clone()),
        "attacks": list(&report["attacks"], &attack),
    })
}

fn mixed(target: &ThreadTarget) -> String {
    let address = target.address();
    format!(
        "name: mixed
workers: 2
attacks:
  - name: shop
    rate: 20/s
    duration: 12s
    timeout: 10s
    requests:
      - {{ name: browse, url: 'http://{address}/browse', weight: 7 }}
      - {{ name: buy, url: 'http://{address}/buy', method: POST, body: a book, weight: 2 }}
  - {{ name: search, url: 'http://{address}/search', rate: 7/s, duration: 6s, timeout: 10s }}
slo:
  - errors < 1%
"
    )
}

#[test]
fn a_run_takes_the_same_path_in_both_places_and_counts_the_same() {
    let cloud = Cloud::new();
    // One for both, since it is in the config.
    let target = target();
    let text = mixed(&target);
    let here = here("mixed", &text, Limits::default());
    let sent_here = target.counts().received;
    let there = there(&cloud, "mixed", &text);
    let sent_on_aws = target.counts().received - sent_here;

    let expected =
        ["Plan", "Provision", "AwaitFleet", "NextRound", "Judge", "NextRound", "TearDown", "Report"];
    assert_eq!(here.tasks, expected);
    assert_eq!(there.tasks, expected);
    assert_eq!(here.states, ["Plan", "AlreadyClaimed", "Guard", "TearDown", "Report", "Outcome", "Over"]);
    assert_eq!(there.states, here.states);
    assert_eq!((&here.error, &there.error), (&None, &None));
    let slices: BTreeSet<[u32; 3]> =
        (0..2).flat_map(|worker| (0..3).map(move |slice| [0, worker, slice])).collect();
    assert_eq!((&here.claims, &there.claims), (&slices, &slices));

    let (counted_here, counted_on_aws) = (counts(&here.report), counts(&there.report));
    assert_eq!(counted_here["attacks"][0]["all"]["arrivals"]["scheduled"], 240);
    assert_eq!(counted_here["attacks"][0]["all"]["arrivals"]["completed"], 240);
    assert_eq!(
        serde_json::to_string_pretty(&counted_on_aws).unwrap(),
        serde_json::to_string_pretty(&counted_here).unwrap()
    );
    assert_eq!((sent_here, sent_on_aws), (240 + 42, 240 + 42));
    assert_eq!((&here.report["mode"], &there.report["mode"]), (&json!("embedded"), &json!("aws")));
}

/// The target takes whatever is asked for, so the search ends at its highest rate, by the
/// same rounds everywhere.
#[test]
fn a_search_takes_the_same_path_round_by_round() {
    let cloud = Cloud::new();
    let target = target();
    let text = format!(
        "name: rounds\nworkers: 2\nslo: [p99 < 2s, errors < 1%]\nattacks:\n  - name: all\n    url: 'http://{}/'\n    timeout: 5s\n    load: {{ search: {{ from: 5/s, up_to: 40/s, step: 2s }} }}\n",
        target.address()
    );
    let here = here("rounds", &text, Limits::default());
    let sent_here = target.counts().received;
    let there = there(&cloud, "rounds", &text);
    let sent_on_aws = target.counts().received - sent_here;
    let capacity = |ran: &Ran| ran.report["attacks"][0]["capacity"].clone();
    for ran in [&here, &there] {
        let capacity = capacity(ran);
        assert_eq!((&capacity["verdict"], &capacity["confirmed"]), (&json!("at_least_up_to"), &json!(true)));
        let rounds = capacity["steps"].as_u64().unwrap();
        assert!(rounds >= 3, "{capacity}");
        let judged = ran.tasks.iter().filter(|task| *task == "Judge").count() as u64;
        assert_eq!(judged, rounds, "{:?}", ran.tasks);
        assert_eq!(ran.report["verdict"], "passed", "{}", ran.report["reasons"]);
    }
    assert_eq!(there.tasks, here.tasks);
    assert_eq!(there.states, here.states);
    assert_eq!(there.claims, here.claims);
    assert_eq!(capacity(&there)["sustained"], capacity(&here)["sustained"]);
    assert_eq!(
        serde_json::to_string_pretty(&counts(&there.report)).unwrap(),
        serde_json::to_string_pretty(&counts(&here.report)).unwrap()
    );
    let scheduled = here.report["attacks"][0]["arrivals"]["scheduled"].as_u64();
    assert_eq!((Some(sent_here), Some(sent_on_aws)), (scheduled, scheduled));
}

#[test]
fn a_run_that_does_not_get_through_leaves_the_path_at_the_same_state() {
    let cloud = Cloud::new();
    // Nothing listens there, and that stops the run.
    let text = "name: wall\nworkers: 2\nattacks: [{ name: a, url: 'http://127.0.0.1:1/', rate: 20/s, duration: 30s, timeout: 1s }]\nstop_if: errors > 20% for 1s\n";
    let stopped_here = here("stopped", text, Limits::default());
    let stopped_on_aws = there(&cloud, "stopped", text);
    let expected =
        ["Plan", "Provision", "AwaitFleet", "NextRound", "Judge", "NextRound", "TearDown", "Report"];
    assert_eq!(stopped_here.tasks, expected);
    assert_eq!(stopped_on_aws.tasks, expected);
    assert_eq!(stopped_on_aws.states, stopped_here.states);
    assert_eq!(stopped_on_aws.error, stopped_here.error);
    for field in ["verdict", "leaks"] {
        assert_eq!(stopped_on_aws.report[field], stopped_here.report[field], "{field}");
    }
    let kind = |ran: &Ran| ran.report["stopped"]["kind"].clone();
    assert_eq!((kind(&stopped_on_aws), kind(&stopped_here)), (json!("condition"), json!("condition")));

    // Two workers of several slices each need four invocations at once.
    let limits = Limits { concurrency: 3, ..Limits::default() };
    let settings = r#"{"AccountLimit":{"ConcurrentExecutions":10,"UnreservedConcurrentExecutions":3}}"#;
    let refused_here = here("refused", text, limits);
    let _few = cloud.account().on("Lambda.GetAccountSettings").answer(Fault::Json(settings));
    let refused_on_aws = there(&cloud, "refused", text);
    for refused in [refused_here, refused_on_aws] {
        assert_eq!((refused.states, refused.tasks), (vec!["Plan".to_owned()], vec!["Plan".to_owned()]));
        assert_eq!(refused.error.as_deref(), Some("DeathStar.OverLimit"));
        assert_eq!((refused.claims.len(), refused.report), (0, Value::Null));
    }
}
