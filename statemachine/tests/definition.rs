//! What the definition promises, most of it read off its own text.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use deathstar_statemachine::asl::{ATTACK, Definition};
use deathstar_statemachine::cost;
use deathstar_statemachine::error::{Credentials, TaskError};
use deathstar_statemachine::ids::SliceId;
use deathstar_statemachine::interpreter::{Entered, Execution, Failure, Step};
use deathstar_statemachine::message::Task;
use deathstar_statemachine::plan::MAX_SLICES;
use deathstar_statemachine::search::{MAX_REST, Search};
use deathstar_statemachine::units::Rate;
use serde_json::{Map, Value, json};

/// Our own names, by which a handler fails.
fn ours() -> [&'static str; 9] {
    let why = String::new;
    [
        TaskError::FleetPending { pending: 1, total: 1 },
        TaskError::Throttled(why()),
        TaskError::TableUnavailable(why()),
        TaskError::Credentials { credentials: Credentials::Expired, what: why() },
        TaskError::BadConfig(why()),
        TaskError::OverLimit(why()),
        TaskError::NotOurs(why()),
        TaskError::RunOver(why()),
        TaskError::Broken(why()),
    ]
    .map(|error| error.name())
}

/// Those of AWS that the definition may name. See "Handling errors" in the Step
/// Functions guide, and the errors of Invoke in Lambda's API reference.
const OF_AWS: [&str; 11] = [
    "States.ALL",
    "States.Timeout",
    "States.DataLimitExceeded",
    "Lambda.Unknown",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
    "Lambda.ResourceNotReadyException",
    "Lambda.ResourceConflictException",
];

/// What the controller handles, which is a state of the same name each,
const TASKS: [&str; 7] = ["AwaitFleet", "Judge", "NextRound", "Plan", "Provision", "Report", "TearDown"];

/// and what both chains of a shard ask it after they have lost a worker: `NextSlice`.
const LOST: [&str; 2] = ["EvenLost", "OddLost"];

fn json() -> Value {
    serde_json::from_str(ATTACK).unwrap()
}

/// All states of a chain and of the chains in it, by name.
fn states(chain: &Value, into: &mut BTreeMap<String, Value>) {
    for (name, state) in chain["States"].as_object().unwrap() {
        into.insert(name.clone(), state.clone());
        for branch in state["Branches"].as_array().into_iter().flatten() {
            states(branch, into);
        }
        if let Some(processor) = state.get("ItemProcessor") {
            states(processor, into);
        }
    }
}

fn all_states() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    states(&json(), &mut all);
    all
}

fn tasks() -> BTreeMap<String, Value> {
    all_states().into_iter().filter(|(_, state)| state["Type"] == "Task").collect()
}

/// The texts in a list of retriers or catchers.
fn error_names(state: &Value, field: &str) -> Vec<String> {
    let list = state[field].as_array().into_iter().flatten();
    list.flat_map(|one| one["ErrorEquals"].as_array().unwrap())
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

/// What may come after a state: by success, by choice, by catch.
fn successors(state: &Value) -> Vec<String> {
    let mut targets = vec![&state["Next"], &state["Default"]];
    targets.extend(state["Choices"].as_array().into_iter().flatten().map(|rule| &rule["Next"]));
    targets.extend(state["Catch"].as_array().into_iter().flatten().map(|catcher| &catcher["Next"]));
    targets.into_iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn the_definition_parses() {
    let definition = Definition::parse(ATTACK, &[("ControllerFunction", "controller")]).unwrap();
    assert_eq!(definition.timeout().unwrap().as_secs(), 32 * 24 * 3600);
    let error = Definition::parse(ATTACK, &[]).unwrap_err().to_string();
    assert_eq!(error, "no value was given for the substitution ${ControllerFunction}");
}

#[test]
fn the_definition_is_far_below_the_megabyte_that_aws_takes() {
    assert!(ATTACK.len() < 100_000, "{} bytes", ATTACK.len());
}

#[test]
fn every_task_has_a_time_out() {
    for (name, state) in tasks() {
        // A Lambda function ends after 900 s, so a longer one would never be seen.
        let seconds = state["TimeoutSeconds"].as_u64().unwrap_or_else(|| panic!("{name} has no time-out"));
        assert!((1..=900).contains(&seconds), "{name}: {seconds}");
    }
}

#[test]
fn the_task_between_two_steps_may_let_the_target_rest() {
    let seconds = tasks()["NextRound"]["TimeoutSeconds"].as_u64().unwrap();
    assert!(Duration::from_secs(seconds) >= MAX_REST + Duration::from_secs(60), "{seconds} s");
}

#[test]
fn a_controller_task_is_called_like_its_state_and_a_worker_is_not_named() {
    let mut of_controller = Vec::new();
    for (name, state) in tasks() {
        let parameters = &state["Parameters"];
        if parameters["FunctionName"] == "${ControllerFunction}" {
            let is_lost = LOST.contains(&name.as_str());
            let task = if is_lost { "NextSlice" } else { name.as_str() };
            assert_eq!(parameters["Payload"]["task"], task);
            of_controller.extend((!is_lost).then_some(name));
        } else {
            assert_eq!(parameters["FunctionName.$"], "$.function", "{name}");
        }
    }
    assert_eq!(of_controller, TASKS);
}

#[test]
fn a_worker_is_told_its_slice_and_nothing_else() {
    for name in ["EvenFire", "OddFire"] {
        let payload: Map<_, _> = tasks()[name]["Parameters"]["Payload"].as_object().unwrap().clone();
        assert_eq!(payload.keys().collect::<Vec<_>>(), ["round.$", "run.$", "shard.$", "slice.$"]);
    }
}

#[test]
fn every_error_name_is_ours_or_of_aws() {
    for (name, state) in all_states() {
        for error in [error_names(&state, "Retry"), error_names(&state, "Catch")].concat() {
            let known = ours().contains(&error.as_str()) || OF_AWS.contains(&error.as_str());
            assert!(known, "{name} matches {error}, which nobody raises");
        }
    }
}

#[test]
fn a_worker_is_retried_only_when_it_has_not_run() {
    let not_started = [
        "Lambda.TooManyRequestsException",
        "Lambda.ResourceNotReadyException",
        "Lambda.ResourceConflictException",
    ];
    for name in ["EvenFire", "OddFire"] {
        assert_eq!(error_names(&tasks()[name], "Retry"), not_started, "{name}");
    }
}

#[test]
fn a_controller_task_is_retried_after_what_passes_by_itself() {
    for name in TASKS.into_iter().chain(LOST) {
        let retried = error_names(&tasks()[name], "Retry");
        let everything = retried.contains(&"States.ALL".to_owned());
        for error in ["DeathStar.Throttled", "DeathStar.TableUnavailable", "Lambda.ServiceException"] {
            assert!(everything || retried.contains(&error.to_owned()), "{name} is not retried after {error}");
        }
        for error in ["DeathStar.BadConfig", "DeathStar.OverLimit", "DeathStar.RunOver", "DeathStar.Broken"] {
            assert!(!retried.contains(&error.to_owned()), "{name} is retried after {error}, which stays");
        }
    }
}

#[test]
fn only_what_creates_nothing_runs_before_the_guard() {
    let definition = json();
    let top: BTreeSet<_> = definition["States"].as_object().unwrap().keys().cloned().collect();
    let expected = ["AlreadyClaimed", "Failed", "Guard", "Outcome", "Over", "Plan", "Report", "TearDown"]
        .map(str::to_owned);
    assert_eq!(top, BTreeSet::from(expected));
    assert_eq!(definition["StartAt"], "Plan");
}

#[test]
fn every_path_from_the_guard_leads_through_tear_down_and_report() {
    let all = all_states();
    // However each of them ends, there is one place to go.
    for (from, to) in [("Guard", "TearDown"), ("TearDown", "Report"), ("Report", "Outcome")] {
        let targets = BTreeSet::from_iter(successors(&all[from]));
        assert_eq!(targets, BTreeSet::from([to.to_owned()]), "after {from}");
    }
    for name in ["Guard", "TearDown"] {
        let caught = error_names(&all[name], "Catch");
        assert_eq!(
            caught,
            ["States.DataLimitExceeded", "States.ALL"],
            "{name} catches all that can be caught"
        );
    }
    assert!(all["Report"].get("Catch").is_none(), "a run without a report has failed");
}

#[test]
fn states_of_a_child_end_with_nothing() {
    // 10,000 children's outputs are one payload, which must stay below 256 KiB.
    for name in ["EvenOver", "OddOver", "Sent", "Fired", "Attacked"] {
        let state = &all_states()[name];
        assert_eq!(state["Type"], "Pass");
        assert_eq!(state["Result"], Value::Object(Map::new()), "{name}");
        assert_eq!(state["End"], true, "{name}");
    }
}

/// The names of the states that were entered.
fn trace(execution: &Execution) -> Vec<&str> {
    execution.trace().iter().map(Entered::state).collect()
}

/// Slices of a shard for which a worker was invoked, in order, whatever became of it.
fn fired(calls: &[Value]) -> Vec<u64> {
    let mut slices: Vec<u64> = calls
        .iter()
        .filter(|payload| payload["task"].is_null())
        .map(|payload| payload["slice"].as_u64().unwrap())
        .collect();
    slices.sort_unstable();
    slices
}

/// One worker of so many slices; those of `dead` never answer for theirs.
fn run_with_dead(slices: u64, dead: impl Fn(u64) -> bool) -> (Execution, Vec<Value>) {
    let mut calls = Vec::new();
    let execution = drive(&mut rounds(1, 1, u32::try_from(slices).unwrap(), 1), |payload| {
        calls.push(payload.clone());
        let slice = payload["slice"].as_u64().unwrap();
        if payload["task"].is_null() && dead(slice) {
            return Err(Failure::new("Lambda.Unknown", "its process was killed"));
        }
        Ok(next_slice(slice, slices))
    });
    (execution, calls)
}

#[test]
fn a_worker_that_dies_loses_its_slice_and_none_that_comes_after() {
    for slices in 1..=7 {
        for dead in 0..slices {
            let (execution, calls) = run_with_dead(slices, |slice| slice == dead);
            assert_eq!(fired(&calls), (0..slices).collect::<Vec<_>>(), "{dead} of {slices} died");
            let asked: Vec<&Value> = calls.iter().filter(|payload| payload["task"] == "NextSlice").collect();
            let expected =
                json!({ "task": "NextSlice", "run": "r".repeat(40), "round": 0, "shard": 0, "slice": dead });
            assert_eq!(asked, [&expected]);
            assert!(trace(&execution).contains(&"Sent"));
        }
    }
    let (_, calls) = run_with_dead(7, |_| true);
    assert_eq!(fired(&calls), (0..7).collect::<Vec<_>>(), "nor when all of them die");
}

#[test]
fn a_chain_ends_when_nobody_knows_what_comes_next() {
    for error in ["DeathStar.Broken", "States.DataLimitExceeded"] {
        let mut slices = Vec::new();
        let execution = drive(&mut rounds(1, 1, 6, 1), |payload| {
            if payload["slice"] == 2 {
                return Err(Failure::new(error, "there is no plan"));
            }
            slices.extend(payload["slice"].as_u64());
            Ok(next_slice(payload["slice"].as_u64().unwrap(), 6))
        });
        slices.sort_unstable();
        assert_eq!(slices, [0, 1, 3, 5], "{error}");
        assert_eq!(trace(&execution).last(), Some(&"Over"));
    }
}

/// A stop of the run comes to its report without waiting for what sleeps.
#[test]
fn a_chain_that_was_stopped_wakes_the_other() {
    // By the worker of a slice, or by who looks when that is dead.
    for dead in [false, true] {
        let mut execution = start();
        let mut rounds = rounds(1, 1, 9, 1);
        let mut asleep = Vec::new();
        let mut cancelled = Vec::new();
        loop {
            match execution.next_step().expect("the execution waits for the chain that sleeps") {
                Step::Call { id, payload, .. } => {
                    let answer = match payload["task"].as_str() {
                        None if dead => Err(Failure::new("Lambda.Unknown", "killed")),
                        None | Some("NextSlice") => {
                            let at = "2026-11-24T05:50:22Z";
                            Ok(json!({ "next": 2, "more": false, "wake_at": at, "stopped": true }))
                        }
                        Some(_) => Ok(controller(&payload, &mut rounds)),
                    };
                    execution.complete(id, answer);
                }
                Step::Wait { id, .. } => asleep.push(id),
                Step::Cancel { id } => cancelled.push(id),
                Step::Finished(outcome) => {
                    outcome.unwrap();
                    break;
                }
            }
        }
        assert_eq!((asleep.len(), &cancelled), (1, &asleep));
        let trace = trace(&execution);
        let from = trace.iter().position(|state| *state == "EvenStopped").unwrap();
        let after = ["EvenStopped", "Sent", "Fired", "Judge", "NextRound", "MoreRounds", "Attacked"];
        assert_eq!(trace[from..from + after.len()], after);
    }
}

/// The events that entering a state of this type once leaves in the history. See
/// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html>.
fn events_of(state: &Value) -> u64 {
    match state["Type"].as_str().unwrap() {
        // Entered, scheduled, started, succeeded, exited.
        "Task" => 5,
        // These, and the run of the children: started, succeeded.
        "Map" if state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED" => 6,
        // Entered, started, succeeded, exited.
        "Map" | "Parallel" => 4,
        // Entered, exited.
        "Pass" | "Choice" | "Wait" => 2,
        // Entered, exited; the end of the execution.
        "Succeed" | "Fail" => 3,
        other => panic!("how many events does a {other} have?"),
    }
}

/// A try that failed: failed, scheduled, started.
const EVENTS_OF_A_RETRY: u64 = 3;

/// AWS ends an execution at 25,000 events of its history; ours stay below 20,000.
#[test]
fn the_longest_run_stays_within_the_history_that_aws_keeps() {
    const LIMIT: u64 = 20_000;
    let all = all_states();
    // Of the definition, run with as many slices as a plan may have.
    let execution = run_largest(1, 1, MAX_SLICES);
    let fired = execution.trace().iter().filter(|entered| entered.state().ends_with("Fire")).count();
    assert_eq!(fired, MAX_SLICES as usize);
    let in_child = |entered: &&Entered| entered.to_string().contains("Slices");
    let (child, parent): (Vec<&Entered>, Vec<&Entered>) = execution.trace().iter().partition(in_child);
    let events = |entered: &[&Entered]| entered.iter().map(|one| events_of(&all[one.state()])).sum::<u64>();
    // The history of a distributed Map's child is its own. Its start is an event,
    // and one try in three of its tasks may fail.
    let child = 1 + events(&child) + fired as u64 / 3 * EVENTS_OF_A_RETRY;
    assert!(child < LIMIT, "{child} events of a shard");
    assert!(child > 9 * u64::from(MAX_SLICES) - 100, "{child} events of a shard are too few to be true");
    // In the run itself: every retry that the fleet may need, and an iteration
    // (started, succeeded) and a Map for each of 40 functions.
    let retries: u64 = parent.iter().map(|one| most_retries(&all[one.state()])).sum();
    let parent = 1 + events(&parent) + retries * EVENTS_OF_A_RETRY + 40 * (2 + 6 + 2);
    assert!(parent < LIMIT, "{parent} events of a run");
}

/// What a shard loses adds to its history: a third of the workers of the longest run
/// may die, or all of a run of 1,500 slices. A history that bursts would be one more
/// lost shard.
#[test]
fn a_shard_that_loses_workers_stays_within_it_too() {
    const LIMIT: u64 = 25_000;
    let all = all_states();
    for (slices, every) in [(u64::from(MAX_SLICES), 3), (1500, 1)] {
        let (execution, _) = run_with_dead(slices, |slice| slice % every == 0);
        let in_child = execution.trace().iter().filter(|entered| entered.to_string().contains("Slices"));
        let events = 1 + in_child.map(|entered| events_of(&all[entered.state()])).sum::<u64>();
        // One try in three of its workers may fail besides.
        let events = events + slices / 3 * EVENTS_OF_A_RETRY;
        assert!(events < LIMIT, "{events} events of a shard that loses every {every} of {slices}");
    }
}

/// A search is as many rounds, and each adds to one history.
#[test]
fn the_longest_search_stays_within_it_too() {
    const LIMIT: u64 = 20_000;
    let all = all_states();
    // The lowest rate that can be written, the highest, and as near as can be asked for.
    let (from, up_to): (Rate, Rate) = ("1/h".parse().unwrap(), "1000000/s".parse().unwrap());
    let search = Search::new(from, up_to, Duration::from_secs(3600), 0.001).unwrap();
    let (likely, most) = (search.steps_at_most(), search.steps_whatever_happens());
    for (rounds, functions) in [(likely, 10), (most, 10)] {
        // The hold of three steps of an hour is cut into 18 slices.
        let execution = run_rounds(functions, 1, 18, rounds);
        let trace: Vec<&Entered> = execution.trace().iter().collect();
        let judged = trace.iter().filter(|entered| entered.state() == "Judge").count();
        assert_eq!(judged, rounds as usize);
        let parent: Vec<&Entered> =
            trace.into_iter().filter(|entered| !entered.to_string().contains("Slices")).collect();
        let events: u64 = parent.iter().map(|one| events_of(&all[one.state()])).sum();
        // An iteration and a Map for each function of each round; one try in ten fails.
        let fleets = u64::from(rounds) * functions as u64 * (2 + 6 + 2);
        let retries = parent.len() as u64 / 10 * EVENTS_OF_A_RETRY;
        let events = 1 + events + fleets + retries;
        eprintln!("{rounds} rounds of {functions} functions: {events} events");
        assert!(events < LIMIT, "{rounds} rounds of {functions} functions: {events} events");
    }
}

/// What Step Functions charges for, against the definition itself.
#[test]
fn the_estimate_counts_every_state_that_is_entered() {
    for (functions, shards, slices) in [(1, 1, 1), (1, 1, 2), (1, 3, 3), (2, 2, 4), (3, 1, 9)] {
        let entered = run_largest(functions, shards, slices).trace().len() as u64;
        let workers = u32::try_from(functions * shards).unwrap();
        // And the start of the run and of each child.
        let expected = entered + 1 + u64::from(workers);
        assert_eq!(cost::transitions(functions, workers, slices), expected, "{workers} of {slices}");
    }
}

fn most_retries(state: &Value) -> u64 {
    let retriers = state["Retry"].as_array().into_iter().flatten();
    retriers.map(|retrier| retrier["MaxAttempts"].as_u64().unwrap()).sum()
}

/// One round of this many worker functions of this many shards and slices each,
/// in which all goes well.
fn run_largest(functions: usize, shards: usize, slices: u32) -> Execution {
    run_rounds(functions, shards, slices, 1)
}

/// The same, round after round.
fn run_rounds(functions: usize, shards: usize, slices: u32, count: u32) -> Execution {
    drive(&mut rounds(functions, shards, slices, count), |payload| {
        Ok(next_slice(payload["slice"].as_u64().unwrap(), u64::from(slices)))
    })
}

/// An execution of a long name that was started just now.
fn start() -> Execution {
    let definition = Definition::parse(ATTACK, &[("ControllerFunction", "controller")]).unwrap();
    let input = json!({ "run": "r".repeat(40), "config": { "name": "largest", "version": "1" } });
    Execution::start(&definition, &"r".repeat(40), "2026-11-24T05:50:22Z".parse().unwrap(), input)
}

/// What `NextRound` answers: so many rounds, the last of them first.
fn rounds(functions: usize, shards: usize, slices: u32, count: u32) -> Vec<Value> {
    let (at, run) = ("2026-11-24T05:50:22Z", "r".repeat(40));
    let fleets: Vec<_> = (0..functions)
        .map(|f| {
            json!({ "function": format!("deathstar-w-{run}-{f}"),
                         "shards": (f * shards..(f + 1) * shards).collect::<Vec<_>>() })
        })
        .collect();
    let mut rounds = vec![json!({ "round": count, "done": true, "slices": 0, "odd_at": at, "fleets": [] })];
    rounds.extend((0..count).rev().map(
        |round| json!({ "round": round, "done": false, "slices": slices, "odd_at": at, "fleets": fleets }),
    ));
    rounds
}

/// What a worker answers, and who knows what comes after it.
fn next_slice(slice: u64, slices: u64) -> Value {
    let next = slice + 2;
    json!({ "next": next, "more": next < slices, "wake_at": "2026-11-24T05:50:22Z", "stopped": false })
}

/// What the controller answers to the tasks of the run itself.
fn controller(payload: &Value, rounds: &mut Vec<Value>) -> Value {
    match payload["task"].as_str() {
        Some("Plan") => json!({ "run": "r".repeat(40), "duplicate": false }),
        Some("NextRound") => rounds.pop().unwrap(),
        _ => json!({}),
    }
}

/// Drives an execution to its end, in which all goes well but for what `of_slice`
/// answers: workers, and who is asked what comes after them.
fn drive(rounds: &mut Vec<Value>, mut of_slice: impl FnMut(&Value) -> Result<Value, Failure>) -> Execution {
    let mut execution = start();
    loop {
        match execution.next_step().unwrap() {
            Step::Call { id, payload, .. } => {
                let answer = match payload["task"].as_str() {
                    None if serde_json::from_value::<SliceId>(payload.clone()).is_err() => {
                        panic!("{payload} is no message for a worker")
                    }
                    Some(_) if serde_json::from_value::<Task>(payload.clone()).is_err() => {
                        panic!("{payload} is no message for the controller")
                    }
                    None | Some("NextSlice") => of_slice(&payload),
                    Some(_) => Ok(controller(&payload, rounds)),
                };
                execution.complete(id, answer);
            }
            Step::Wait { id, .. } => execution.woke(id),
            Step::Cancel { id } => panic!("{id} was cancelled"),
            Step::Finished(outcome) => {
                outcome.unwrap();
                return execution;
            }
        }
    }
}

#[test]
fn the_largest_plan_fits_every_payload_and_takes_a_moment() {
    for functions in [1, 40] {
        #[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
        let started = Instant::now();
        let execution = run_largest(functions, 10_000 / functions, 2);
        let fired = execution.trace().iter().filter(|entered| entered.state().ends_with("Fire")).count();
        assert_eq!(fired, 20_000);
        // AWS takes 256 KiB.
        let largest = execution.largest_payload();
        assert!(largest < 128 << 10, "{largest} bytes");
        assert!(largest > 40 << 10, "{largest} bytes cannot carry 10,000 shards");
        // A moment, even of an unoptimised build on a busy machine.
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    }
}
