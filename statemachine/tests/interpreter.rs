//! The rules of the language, one by one, on machines of a few states.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

use std::time::{Duration, Instant};

use deathstar_statemachine::asl::{Definition, PAYLOAD_LIMIT};
use deathstar_statemachine::interpreter::{Execution, Failure, Step, StepId, Until};
use serde_json::{Value, json};

/// The machine that starts at its state `A`.
fn machine(states: &Value) -> Definition {
    Definition::parse(&json!({ "StartAt": "A", "States": states }).to_string(), &[]).unwrap()
}

/// A Task that sends its whole input to function `f`, with more fields.
fn task(more: &Value) -> Value {
    let mut task = json!({
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": { "FunctionName": "f", "Payload.$": "$" }
    });
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    task
}

fn end_task() -> Value {
    task(&json!({ "End": true }))
}

fn execution(definition: &Definition, input: Value) -> Execution {
    Execution::start(definition, "run-1", "2026-11-24T05:50:22Z".parse().unwrap(), input)
}

/// What happened in a whole run.
#[derive(Debug)]
struct Ran {
    outcome: Result<Value, Failure>,
    waits: Vec<Until>,
    trace: Vec<String>,
}

impl Ran {
    fn error(&self) -> &str {
        &self.outcome.as_ref().unwrap_err().error
    }
}

/// Runs a machine, answering each call in turn and ending each wait at once.
fn run(states: &Value, input: Value, mut answer: impl FnMut(&Value) -> Result<Value, Failure>) -> Ran {
    let mut execution = execution(&machine(states), input);
    let mut waits = Vec::new();
    loop {
        match execution.next_step().expect("nothing is in the driver's hands") {
            Step::Call { id, payload, .. } => execution.complete(id, answer(&payload)),
            Step::Wait { id, until } => {
                waits.push(until);
                execution.woke(id);
            }
            Step::Cancel { .. } => {}
            Step::Finished(outcome) => {
                assert_eq!(execution.next_step(), None, "finished comes once");
                let trace = execution.trace().iter().map(ToString::to_string).collect();
                return Ran { outcome, waits, trace };
            }
        }
    }
}

fn fails(error: &str) -> Result<Value, Failure> {
    Err(Failure::new(error, "because"))
}

fn seconds(seconds: f64) -> Until {
    Until::After(Duration::from_secs_f64(seconds))
}

/// A Pass with these fields, alone.
fn pass(fields: &Value, input: Value) -> Result<Value, Failure> {
    let mut state = json!({ "Type": "Pass", "End": true });
    state.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    run(&json!({ "A": state }), input, |_| panic!("no call")).outcome
}

/// The ids of all calls that are ready.
fn calls(execution: &mut Execution) -> Vec<StepId> {
    let mut ids = Vec::new();
    while let Some(step) = execution.next_step() {
        match step {
            Step::Call { id, .. } => ids.push(id),
            other => panic!("{other:?} is no call"),
        }
    }
    ids
}

#[test]
fn data_flows_through_paths_and_templates() {
    let input = || json!({ "a": { "b": [1, 2] }, "c": "x" });
    assert_eq!(pass(&json!({}), input()).unwrap(), input());
    assert_eq!(pass(&json!({ "InputPath": "$.a.b[1]" }), input()).unwrap(), json!(2));
    assert_eq!(pass(&json!({ "OutputPath": "$.a" }), input()).unwrap(), json!({ "b": [1, 2] }));
    assert_eq!(pass(&json!({ "InputPath": null }), input()).unwrap(), json!({}));
    assert_eq!(pass(&json!({ "OutputPath": null }), input()).unwrap(), json!({}));
    let parameters = json!({ "Parameters": { "k": [{ "v.$": "$.c" }, 7], "n": "$.c" } });
    assert_eq!(pass(&parameters, input()).unwrap(), json!({ "k": [{ "v": "x" }, 7], "n": "$.c" }));
}

#[test]
fn results_go_where_the_result_path_says() {
    let put = |path: Value, input: Value| pass(&json!({ "Result": 1, "ResultPath": path }), input);
    assert_eq!(put(json!("$"), json!({ "a": 0 })).unwrap(), json!(1));
    assert_eq!(put(Value::Null, json!({ "a": 0 })).unwrap(), json!({ "a": 0 }));
    assert_eq!(put(json!("$.a"), json!({ "a": 0, "z": 0 })).unwrap(), json!({ "a": 1, "z": 0 }));
    assert_eq!(put(json!("$.x.y"), json!({})).unwrap(), json!({ "x": { "y": 1 } }));
    assert_eq!(put(json!("$.a.b"), json!({ "a": 0 })).unwrap_err().error, "States.ResultPathMatchFailure");
    // Beside the raw input, not beside what InputPath left of it.
    let fields = json!({ "InputPath": "$.a", "ResultPath": "$.copy" });
    assert_eq!(pass(&fields, json!({ "a": 5 })).unwrap(), json!({ "a": 5, "copy": 5 }));
}

#[test]
fn the_context_is_what_was_given_at_the_start() {
    let parameters = json!({ "Parameters": {
        "name.$": "$$.Execution.Name", "at.$": "$$.Execution.StartTime",
        "in.$": "$$.Execution.Input.x", "state.$": "$$.State.Name"
    } });
    let expected = json!({ "name": "run-1", "at": "2026-11-24T05:50:22Z", "in": 1, "state": "A" });
    assert_eq!(pass(&parameters, json!({ "x": 1 })).unwrap(), expected);
}

#[test]
fn a_task_calls_and_its_payload_is_wrapped() {
    let states = json!({ "A": task(&json!({
        "TimeoutSeconds": 5, "ResultSelector": { "r.$": "$.Payload.v", "s.$": "$.StatusCode" },
        "ResultPath": "$.out", "End": true
    })) });
    let mut execution = execution(&machine(&states), json!({ "x": 1 }));
    let Some(Step::Call { id, function, payload, timeout }) = execution.next_step() else { panic!("a call") };
    assert_eq!((function.as_str(), payload, timeout), ("f", json!({ "x": 1 }), Some(Duration::from_secs(5))));
    assert_eq!(execution.next_step(), None);
    execution.woke(id);
    assert_eq!(execution.next_step(), None, "a call does not end by waking");
    execution.complete(id, Ok(json!({ "v": "answer" })));
    let expected = json!({ "x": 1, "out": { "r": "answer", "s": 200 } });
    assert_eq!(execution.next_step(), Some(Step::Finished(Ok(expected))));
    execution.complete(id, Ok(json!(2)));
    assert_eq!(execution.next_step(), None, "a second answer is ignored");
}

#[test]
fn choices_take_the_first_rule_that_holds() {
    let choose = |rule: Value, input: Value| {
        let mut rule = rule;
        rule["Next"] = json!("Yes");
        let choice = json!({ "Type": "Choice", "Choices": [rule], "Default": "No" });
        let states =
            json!({ "A": choice, "Yes": { "Type": "Succeed" }, "No": { "Type": "Fail", "Error": "No" } });
        match run(&states, input, |_| panic!("no call")).outcome {
            Ok(_) => true,
            Err(failure) if failure.error == "No" => false,
            Err(failure) => panic!("{failure}"),
        }
    };
    let x = |value: Value| json!({ "x": value });
    let test = |name: &str, value: Value| json!({ "Variable": "$.x", name: value });
    for (rule, input, expected) in [
        (test("BooleanEquals", json!(true)), x(json!(true)), true),
        (test("BooleanEquals", json!(true)), x(json!("true")), false),
        (test("NumericEquals", json!(1)), x(json!(1.0)), true),
        (test("NumericLessThan", json!(2)), x(json!(2)), false),
        (test("NumericLessThanEquals", json!(2)), x(json!(2)), true),
        (
            test("NumericGreaterThan", json!(9_007_199_254_740_992_i64)),
            x(json!(9_007_199_254_740_993_i64)),
            true,
        ),
        (test("NumericGreaterThanEquals", json!(0.5)), x(json!(0.4)), false),
        (test("NumericEquals", json!(1)), x(json!("1")), false),
        (test("StringEquals", json!("a")), x(json!("a")), true),
        (test("StringLessThan", json!("b")), x(json!("a")), true),
        (test("IsNull", json!(true)), x(Value::Null), true),
        (test("IsPresent", json!(false)), json!({}), true),
        (test("IsPresent", json!(true)), x(Value::Null), true),
        (test("IsString", json!(true)), x(json!(1)), false),
        (test("IsNumeric", json!(true)), x(json!(1)), true),
        (json!({ "Not": test("IsBoolean", json!(true)) }), x(json!(1)), true),
    ] {
        assert_eq!(choose(rule.clone(), input.clone()), expected, "{rule} of {input}");
    }
    // And stops at the first that does not hold, so it can ask whether there is anything to ask about.
    let guarded = json!({ "And": [test("IsPresent", json!(true)), test("NumericEquals", json!(1))] });
    assert!(!choose(guarded.clone(), json!({})));
    assert!(choose(guarded, x(json!(1))));
    assert!(choose(
        json!({ "Or": [test("IsNull", json!(true)), test("IsNumeric", json!(true))] }),
        x(json!(1))
    ));
}

#[test]
fn a_choice_without_a_match_fails() {
    let choice = json!({ "Type": "Choice",
        "Choices": [{ "Variable": "$.x", "IsNull": true, "Next": "B" }] });
    let states = json!({ "A": choice, "B": { "Type": "Succeed" } });
    assert_eq!(run(&states, json!({ "x": 1 }), |_| panic!("no call")).error(), "States.NoChoiceMatched");
    assert_eq!(run(&states, json!({}), |_| panic!("no call")).error(), "States.Runtime");
}

#[test]
fn waits_are_handed_out_as_they_stand() {
    let wait = |field: &str, value: Value| {
        let states = json!({ "A": { "Type": "Wait", field: value, "End": true } });
        run(&states, json!({ "s": 7, "t": "2026-11-24T06:00:00.5+01:00", "bad": "tomorrow" }), |_| {
            panic!("no call")
        })
    };
    let at = |text: &str| Until::At(text.parse().unwrap());
    assert_eq!(wait("Seconds", json!(3)).waits, [seconds(3.0)]);
    assert_eq!(wait("SecondsPath", json!("$.s")).waits, [seconds(7.0)]);
    assert_eq!(wait("Timestamp", json!("2026-11-24T06:00:00Z")).waits, [at("2026-11-24T06:00:00Z")]);
    assert_eq!(wait("TimestampPath", json!("$.t")).waits, [at("2026-11-24T05:00:00.5Z")]);
    assert_eq!(wait("TimestampPath", json!("$.bad")).error(), "States.Runtime");
    assert_eq!(wait("SecondsPath", json!("$.t")).error(), "States.Runtime");
    assert_eq!(wait("Seconds", json!(3)).outcome.unwrap()["s"], 7, "a wait passes its input on");
}

#[test]
fn retries_back_off_up_to_the_longest_delay_and_then_catch() {
    let states = json!({
        "A": task(&json!({
            "Retry": [{ "ErrorEquals": ["Busy"], "IntervalSeconds": 2, "MaxAttempts": 4, "BackoffRate": 1.5,
                        "MaxDelaySeconds": 5 },
                      { "ErrorEquals": ["States.ALL"], "MaxAttempts": 1 }],
            "Catch": [{ "ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "B" }],
            "End": true })),
        "B": { "Type": "Succeed" }
    });
    let mut called = 0;
    let ran = run(&states, json!({ "x": 1 }), |_| {
        called += 1;
        fails(if called == 2 { "Other" } else { "Busy" })
    });
    // Each retrier counts for itself.
    assert_eq!(ran.waits, [2.0, 1.0, 3.0, 4.5, 5.0].map(seconds));
    assert_eq!(called, 6);
    let failure = json!({ "Error": "Busy", "Cause": "because" });
    assert_eq!(ran.outcome.unwrap(), json!({ "x": 1, "failure": failure }));
    assert_eq!(ran.trace, ["A", "B"], "a retry does not enter its state again");
}

#[test]
fn the_first_retrier_that_matches_decides_alone() {
    let retry = json!([{ "ErrorEquals": ["Never"], "MaxAttempts": 0 }, { "ErrorEquals": ["States.ALL"] }]);
    let states = json!({ "A": task(&json!({ "Retry": retry, "End": true })) });
    let ran = run(&states, json!({}), |_| fails("Never"));
    assert_eq!((ran.error(), ran.waits.len()), ("Never", 0));
    let ran = run(&states, json!({}), |_| fails("Else"));
    assert_eq!((ran.error(), ran.waits.len()), ("Else", 3));
}

#[test]
fn retry_count_is_in_the_context() {
    let mut state = task(&json!({ "Retry": [{ "ErrorEquals": ["States.ALL"] }], "End": true }));
    state["Parameters"]["Payload.$"] = json!("$$.State.RetryCount");
    let mut seen = Vec::new();
    run(&json!({ "A": state }), json!({}), |payload| {
        seen.push(payload.clone());
        if seen.len() == 3 { Ok(json!({})) } else { fails("Busy") }
    });
    assert_eq!(seen, [0, 1, 2]);
}

/// Whether a catcher of `names` catches `error`.
fn catches(name: &str, error: &str) -> bool {
    let catch = json!([{ "ErrorEquals": [name], "Next": "B" }]);
    let states = json!({ "A": task(&json!({ "Catch": catch, "End": true })), "B": { "Type": "Succeed" } });
    run(&states, json!({}), |_| fails(error)).outcome.is_ok()
}

#[test]
fn error_names_match_as_on_aws() {
    for (name, error, expected) in [
        ("States.ALL", "Anything", true),
        ("States.ALL", "States.Timeout", true),
        ("States.ALL", "Lambda.Unknown", true),
        ("States.ALL", "States.DataLimitExceeded", false),
        ("States.ALL", "States.Runtime", false),
        ("States.DataLimitExceeded", "States.DataLimitExceeded", true),
        ("States.TaskFailed", "Anything", true),
        ("States.TaskFailed", "States.Timeout", false),
        ("States.TaskFailed", "States.Runtime", false),
        ("States.Timeout", "States.Timeout", true),
        ("DeathStar.Throttled", "DeathStar.Throttled", true),
        ("DeathStar.Throttled", "DeathStar.throttled", false),
    ] {
        assert_eq!(catches(name, error), expected, "{name} and {error}");
    }
}

#[test]
fn a_path_that_leads_nowhere_is_caught_by_nobody() {
    let everything = json!([{ "ErrorEquals": ["States.ALL"], "Next": "B" }]);
    for (field, value) in [
        ("InputPath", json!("$.none")),
        ("OutputPath", json!("$.none")),
        ("ResultSelector", json!({ "x.$": "$.Payload.none" })),
        ("Parameters", json!({ "FunctionName": "f", "Payload.$": "$.none" })),
        ("Parameters", json!({ "FunctionName.$": "$", "Payload": 1 })),
    ] {
        let mut state = task(&json!({ "Catch": everything, "End": true }));
        state[field] = value;
        // Neither where it happens, nor around it.
        let branch = json!({ "StartAt": "A1", "States": { "A1": state, "B": { "Type": "Succeed" } } });
        let catch = json!([{ "ErrorEquals": ["States.ALL"], "Next": "C" }]);
        let parallel = json!({ "Type": "Parallel", "Branches": [branch], "Catch": catch, "Next": "C" });
        let ran = run(&json!({ "A": parallel, "C": { "Type": "Succeed" } }), json!({}), |_| Ok(json!({})));
        assert_eq!(ran.error(), "States.Runtime", "{field}");
    }
}

#[test]
fn a_payload_over_the_limit_is_refused_and_one_at_it_is_not() {
    let states = json!({ "A": task(&json!({ "ResultSelector": {}, "End": true })) });
    // The wrapped answer is this much longer than the text in it.
    let around = json!({ "ExecutedVersion": "$LATEST", "Payload": "", "StatusCode": 200 }).to_string().len();
    let answer = |length: usize| Ok(json!("x".repeat(length - around)));
    assert_eq!(run(&states, json!({}), |_| answer(PAYLOAD_LIMIT)).outcome.unwrap(), json!({}));
    assert_eq!(run(&states, json!({}), |_| answer(PAYLOAD_LIMIT + 1)).error(), "States.DataLimitExceeded");
    let input = json!("x".repeat(PAYLOAD_LIMIT - 1));
    assert_eq!(run(&states, input, |_| panic!("no call")).error(), "States.DataLimitExceeded");
    let doubled = json!({ "Parameters": { "a.$": "$", "b.$": "$" } });
    let input = json!("x".repeat(PAYLOAD_LIMIT / 2));
    assert_eq!(pass(&doubled, input).unwrap_err().error, "States.DataLimitExceeded");
}

#[test]
fn an_overlong_cause_is_cut() {
    let catch = json!([{ "ErrorEquals": ["States.ALL"], "Next": "B" }]);
    let states = json!({ "A": task(&json!({ "Catch": catch, "End": true })), "B": { "Type": "Succeed" } });
    let ran = run(&states, json!({}), |_| Err(Failure::new("E", "é".repeat(PAYLOAD_LIMIT))));
    assert_eq!(ran.outcome.unwrap()["Cause"].as_str().unwrap().len(), 32_768);
}

#[test]
fn a_parallel_calls_all_at_once_and_collects_in_order() {
    let branch = |name: &str| json!({ "StartAt": name, "States": { name: end_task() } });
    let parallel = json!({ "Type": "Parallel", "Branches": [branch("L"), branch("R")],
        "ResultSelector": { "l.$": "$[0].Payload", "r.$": "$[1].Payload" }, "End": true });
    let mut execution = execution(&machine(&json!({ "A": parallel })), json!({}));
    let ids = calls(&mut execution);
    assert_eq!(ids.len(), 2);
    execution.complete(ids[1], Ok(json!("right")));
    assert_eq!(execution.next_step(), None);
    execution.complete(ids[0], Ok(json!("left")));
    let expected = json!({ "l": "left", "r": "right" });
    assert_eq!(execution.next_step(), Some(Step::Finished(Ok(expected))));
    let trace: Vec<_> = execution.trace().iter().map(ToString::to_string).collect();
    assert_eq!(trace, ["A", "A/0/L", "A/1/R"]);
}

#[test]
fn a_failed_branch_cancels_its_siblings_and_is_the_parallels_error() {
    let branch = |name: &str| json!({ "StartAt": name, "States": { name: end_task() } });
    let nested = json!({ "StartAt": "N", "States": {
        "N": { "Type": "Parallel", "Branches": [branch("N1"), branch("N2")], "End": true } } });
    let catch = json!([{ "ErrorEquals": ["Broken"], "ResultPath": "$.why", "Next": "B" }]);
    let parallel =
        json!({ "Type": "Parallel", "Branches": [branch("L"), nested], "Catch": catch, "End": true });
    let states = json!({ "A": parallel, "B": { "Type": "Succeed" } });
    let mut execution = execution(&machine(&states), json!({}));
    let ids = calls(&mut execution);
    assert_eq!(ids.len(), 3);
    execution.complete(ids[0], fails("Broken"));
    assert_eq!(execution.next_step(), Some(Step::Cancel { id: ids[1] }));
    assert_eq!(execution.next_step(), Some(Step::Cancel { id: ids[2] }));
    execution.complete(ids[1], Ok(json!("late")));
    let expected = json!({ "why": { "Error": "Broken", "Cause": "because" } });
    assert_eq!(execution.next_step(), Some(Step::Finished(Ok(expected))));
}

#[test]
fn a_call_that_was_never_given_out_is_not_cancelled() {
    let failing = json!({ "StartAt": "F", "States": { "F": { "Type": "Fail", "Error": "E" } } });
    let calling = json!({ "StartAt": "C", "States": { "C": end_task() } });
    let parallel = json!({ "Type": "Parallel", "Branches": [failing, calling], "End": true });
    let mut execution = execution(&machine(&json!({ "A": parallel })), json!({}));
    let Some(Step::Finished(Err(failure))) = execution.next_step() else { panic!("no call") };
    assert_eq!(failure.error, "E");
}

/// A Map of one Task over the items of its input, with more fields.
fn mapping(kind: &str, more: &Value) -> Value {
    let mut config = json!({ "Mode": kind });
    if kind == "DISTRIBUTED" {
        config["ExecutionType"] = json!("STANDARD");
    }
    let processor = json!({ "ProcessorConfig": config, "StartAt": "T", "States": {
        "T": task(&json!({ "OutputPath": "$.Payload", "End": true })) } });
    let mut state = json!({ "Type": "Map", "ItemProcessor": processor, "End": true });
    state.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "A": state })
}

#[test]
fn a_map_runs_its_processor_for_each_item() {
    let more = json!({ "ItemsPath": "$.list",
        "ItemSelector": { "i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value.n", "all.$": "$.all" } });
    for mode in ["INLINE", "DISTRIBUTED"] {
        let input = json!({ "list": [{ "n": "a" }, { "n": "b" }], "all": 1 });
        let ran = run(&mapping(mode, &more), input, |payload| Ok(payload.clone()));
        let expected = json!([{ "i": 0, "v": "a", "all": 1 }, { "i": 1, "v": "b", "all": 1 }]);
        assert_eq!(ran.outcome.unwrap(), expected, "{mode}");
        assert_eq!(ran.trace, ["A", "A/0/T", "A/1/T"]);
        let ran = run(&mapping(mode, &json!({})), json!([]), |_| panic!("no call"));
        assert_eq!(ran.outcome.unwrap(), json!([]));
        assert_eq!(
            run(&mapping(mode, &json!({})), json!({}), |_| panic!("no call")).error(),
            "States.Runtime"
        );
    }
}

#[test]
fn max_concurrency_is_kept() {
    let states = mapping("INLINE", &json!({ "MaxConcurrency": 2 }));
    let mut execution = execution(&machine(&states), json!([1, 2, 3]));
    let first = calls(&mut execution);
    assert_eq!(first.len(), 2);
    execution.complete(first[1], Ok(json!("two")));
    let second = calls(&mut execution);
    assert_eq!(second.len(), 1);
    execution.complete(first[0], Ok(json!("one")));
    execution.complete(second[0], Ok(json!("three")));
    assert_eq!(execution.next_step(), Some(Step::Finished(Ok(json!(["one", "two", "three"])))));
}

#[test]
fn an_inline_map_fails_with_its_first_failure() {
    let ran = run(&mapping("INLINE", &json!({})), json!([1, 2, 3]), |item| {
        if *item == 2 { fails("Broken") } else { Ok(json!({})) }
    });
    assert_eq!(ran.error(), "Broken");
}

#[test]
fn a_distributed_map_tolerates_what_it_says_and_no_more() {
    let fails_at_most = |limit: i64| {
        move |item: &Value| if item.as_i64().unwrap() <= limit { fails("Broken") } else { Ok(json!({})) }
    };
    let items = || json!([1, 2, 3, 4]);
    let tolerating =
        |field: &str, value: u32| mapping("DISTRIBUTED", &json!({ field: value, "ResultPath": null }));
    for (states, failures, survives) in [
        (mapping("DISTRIBUTED", &json!({})), 0, true),
        (mapping("DISTRIBUTED", &json!({})), 1, false),
        (tolerating("ToleratedFailurePercentage", 50), 2, true),
        (tolerating("ToleratedFailurePercentage", 50), 3, false),
        (tolerating("ToleratedFailurePercentage", 100), 4, true),
        (tolerating("ToleratedFailureCount", 1), 1, true),
        (tolerating("ToleratedFailureCount", 1), 2, false),
    ] {
        let ran = run(&states, items(), fails_at_most(failures));
        match ran.outcome {
            Ok(_) => assert!(survives, "{failures} failures of {states}"),
            Err(failure) => {
                assert!(!survives, "{failures} failures of {states}");
                assert_eq!(failure.error, "States.ExceedToleratedFailureThreshold");
            }
        }
    }
}

#[test]
fn a_runtime_error_in_a_child_execution_ends_that_child_only() {
    let mut states =
        mapping("DISTRIBUTED", &json!({ "ToleratedFailurePercentage": 100, "ResultPath": null }));
    states["A"]["ItemProcessor"]["States"]["T"]["InputPath"] = json!("$.none");
    assert_eq!(run(&states, json!([1, 2]), |_| panic!("no call")).outcome.unwrap(), json!([1, 2]));
}

#[test]
fn abort_forgets_everything_and_is_caught_by_nobody() {
    let catch = json!([{ "ErrorEquals": ["States.ALL"], "Next": "B" }]);
    let mut states = mapping("INLINE", &json!({ "Catch": catch }));
    states["B"] = json!({ "Type": "Succeed" });
    let mut execution = execution(&machine(&states), json!([1, 2]));
    let ids = calls(&mut execution);
    execution.abort(Failure::timeout());
    assert_eq!(execution.next_step(), Some(Step::Cancel { id: ids[0] }));
    assert_eq!(execution.next_step(), Some(Step::Cancel { id: ids[1] }));
    assert_eq!(execution.next_step(), Some(Step::Finished(Err(Failure::timeout()))));
    execution.complete(ids[0], Ok(json!({})));
    execution.abort(Failure::timeout());
    assert_eq!(execution.next_step(), None);
}

#[test]
fn ten_thousand_items_take_a_moment() {
    let items: Vec<u32> = (0..10_000).collect();
    let states = mapping("DISTRIBUTED", &json!({ "ToleratedFailurePercentage": 100, "ResultPath": null }));
    #[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
    let started = Instant::now();
    let mut execution = execution(&machine(&states), json!(items));
    let ids = calls(&mut execution);
    assert_eq!(ids.len(), 10_000);
    for id in ids {
        execution.complete(id, fails("Lambda.Unknown"));
    }
    assert!(matches!(execution.next_step(), Some(Step::Finished(Ok(_)))));
    // Generous: an unoptimised build on a busy machine needs a tenth of it.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
