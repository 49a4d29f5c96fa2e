//! What is refused, and how it is said.

use serde_json::{Value, json};

use super::Definition;

/// The message for a machine with this text.
fn refusal(text: &str) -> String {
    Definition::parse(text, &[]).expect_err(text).to_string()
}

/// The message for a machine of state `A` with these fields, and `B` after it.
fn refusal_of(state: &Value) -> String {
    let states = json!({ "A": state, "B": { "Type": "Succeed" } });
    refusal(&json!({ "StartAt": "A", "States": states }).to_string())
}

fn with(mut base: Value, field: &str, value: Value) -> Value {
    base[field] = value;
    base
}

fn pass() -> Value {
    json!({ "Type": "Pass", "Next": "B" })
}

fn task() -> Value {
    json!({ "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": { "FunctionName": "f", "Payload": {} }, "Next": "B" })
}

fn map() -> Value {
    json!({ "Type": "Map", "Next": "B", "ItemProcessor": {
        "StartAt": "C", "States": { "C": { "Type": "Succeed" } } } })
}

#[test]
fn fields_that_are_not_implemented_are_refused_by_name() {
    let not = |at: &str, field: &str| format!("{at}: field {field:?} is not implemented");
    for (state, field) in [
        (map(), "ItemReader"),
        (map(), "ItemBatcher"),
        (map(), "ResultWriter"),
        (map(), "Iterator"),
        (map(), "ToleratedFailureCount"), // not in an inline Map
        (task(), "HeartbeatSeconds"),
        (task(), "TimeoutSecondsPath"),
        (task(), "Credentials"),
        (task(), "Assign"),
        (pass(), "Retry"),
        (pass(), "QueryLanguage"),
        (json!({ "Type": "Wait", "Seconds": 1, "Next": "B" }), "Catch"),
        (json!({ "Type": "Wait", "Seconds": 1, "Next": "B" }), "SecondsPath"),
        (json!({ "Type": "Fail", "Error": "E" }), "CausePath"),
    ] {
        let state = with(state, field, json!("$.x"));
        assert_eq!(refusal_of(&state), not("state \"A\"", field));
    }
    let text = json!({ "StartAt": "A", "States": { "A": { "Type": "Succeed" } }, "Version": "1.0" });
    assert_eq!(refusal(&text.to_string()), not("the state machine", "Version"));
    let retry = json!([{ "ErrorEquals": ["E"], "JitterStrategy": "FULL" }]);
    assert_eq!(refusal_of(&with(task(), "Retry", retry)), not("state \"A\": Retry[0]", "JitterStrategy"));
    let rule = json!({ "Variable": "$.x", "IsNull": true, "StringMatches": "*", "Next": "B" });
    let choice = json!({ "Type": "Choice", "Choices": [rule] });
    assert_eq!(refusal_of(&choice), not("state \"A\": Choices[0]", "StringMatches"));
}

#[test]
fn values_that_are_not_implemented_are_refused_with_what_may_be_there() {
    let message = refusal_of(&with(task(), "Resource", json!("arn:aws:states:::sqs:sendMessage")));
    assert_eq!(
        message,
        "state \"A\": field \"Resource\" is \"arn:aws:states:::sqs:sendMessage\"; \
         expected arn:aws:states:::lambda:invoke"
    );
    for (state, field, value) in [
        (pass(), "Type", json!("Activity")),
        (task(), "TimeoutSeconds", json!(0)),
        (task(), "TimeoutSeconds", json!("5")),
        (map(), "MaxConcurrency", json!(-1)),
        (json!({ "Type": "Wait", "Next": "B" }), "Timestamp", json!("2026-11-24 05:50:22Z")),
        (json!({ "Type": "Wait", "Next": "B" }), "Timestamp", json!("2026-11-24T05:50:22z")),
        (json!({ "Type": "Fail" }), "Error", json!("States.Mine")),
    ] {
        let message = refusal_of(&with(state, field, value));
        assert!(message.starts_with(&format!("state \"A\": field {field:?} is ")), "{message}");
    }
    let map = with(
        map(),
        "ItemProcessor",
        json!({ "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS" } }),
    );
    assert!(refusal_of(&map).contains("field \"ExecutionType\" is \"EXPRESS\"; expected STANDARD"));
}

#[test]
fn paths_are_reference_paths() {
    for path in ["$..a", "$.a[*]", "$.a[-1]", "$.a[0:2]", "$.a[?(@.b)]", "a", "$.", "$a", "$['a']", "$.a-b"] {
        let message = refusal_of(&with(pass(), "InputPath", json!(path)));
        assert!(message.contains("expected a reference path"), "{path}: {message}");
    }
    for path in
        ["$$", "$$.State.EnteredTime", "$$.Task.Token", "$$.Execution", "$$.Execution.Names", "$$.Map.Item"]
    {
        let message = refusal_of(&with(pass(), "InputPath", json!(path)));
        assert!(message.contains("expected one of $$.Execution.Id"), "{path}: {message}");
    }
    let parameters = |path: &str| with(pass(), "Parameters", json!({ "deep": [{ "x.$": path }] }));
    let message = refusal_of(&parameters("States.Format('{}', $.x)"));
    assert!(message.starts_with("state \"A\": Parameters: deep: 0: field \"x.$\" is "), "{message}");
    assert!(refusal_of(&parameters("$$.Map.Item.Value")).contains("outside an ItemSelector"));
    assert!(refusal_of(&with(pass(), "ResultPath", json!("$$.State.Name"))).contains("expected null, $"));
}

#[test]
fn a_child_execution_has_a_context_of_its_own() {
    let inner = |path: &str| {
        let state = json!({ "Type": "Pass", "InputPath": path, "End": true });
        json!({ "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" },
                "StartAt": "C", "States": { "C": state } })
    };
    let message = refusal_of(&with(map(), "ItemProcessor", inner("$$.Execution.Name")));
    assert!(message.contains("no $$.Execution in a distributed Map"), "{message}");
    let message = refusal_of(&with(map(), "ItemProcessor", inner("$$.Map.Item.Value")));
    assert!(message.contains("no $$.Map.Item outside"), "{message}");
}

#[test]
fn a_tolerant_distributed_map_may_not_keep_its_result() {
    let mut map = with(map(), "ToleratedFailurePercentage", json!(100));
    map["ItemProcessor"]["ProcessorConfig"] = json!({ "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" });
    assert!(refusal_of(&map).contains("field \"ResultPath\""));
}

#[test]
fn retriers_and_catchers_are_checked() {
    let retry = |errors: Value| with(task(), "Retry", json!([{ "ErrorEquals": errors }]));
    assert!(refusal_of(&retry(json!(["States.ALL", "E"]))).contains("States.ALL to stand alone"));
    assert!(refusal_of(&retry(json!(["States.Runtime"]))).contains("that can be matched"));
    assert!(refusal_of(&retry(json!([]))).contains("a list of one or more"));
    let early = json!([{ "ErrorEquals": ["States.ALL"] }, { "ErrorEquals": ["E"] }]);
    assert!(refusal_of(&with(task(), "Retry", early)).contains("States.ALL to come last"));
    let early =
        json!([{ "ErrorEquals": ["States.ALL"], "Next": "B" }, { "ErrorEquals": ["E"], "Next": "B" }]);
    assert!(refusal_of(&with(task(), "Catch", early)).contains("States.ALL to come last"));
    let delay = json!([{ "ErrorEquals": ["E"], "IntervalSeconds": 5, "MaxDelaySeconds": 5 }]);
    assert!(refusal_of(&with(task(), "Retry", delay)).contains("a whole number from 6"));
    let backoff = json!([{ "ErrorEquals": ["E"], "BackoffRate": 0.5 }]);
    assert!(refusal_of(&with(task(), "Retry", backoff)).contains("\"BackoffRate\""));
    let catch = json!([{ "ErrorEquals": ["E"], "Next": "Nowhere" }]);
    let message = refusal_of(&with(task(), "Catch", catch));
    assert_eq!(message, "state \"A\": Catch[0]: there is no state \"Nowhere\" to go to");
}

#[test]
fn states_hang_together() {
    let machine =
        |start: &str, states: Value| refusal(&json!({ "StartAt": start, "States": states }).to_string());
    let to = |next: &str| json!({ "Type": "Pass", "Next": next });
    let end = || json!({ "Type": "Succeed" });
    assert_eq!(machine("X", json!({ "A": end() })), "the state machine: there is no state \"X\" to go to");
    assert_eq!(machine("A", json!({ "A": to("X") })), "state \"A\": there is no state \"X\" to go to");
    assert_eq!(machine("A", json!({ "A": end(), "B": end() })), "state \"B\" is never reached");
    assert!(machine("A", json!({ "A": to("B"), "B": to("A") })).ends_with("never comes to an end"));
    assert_eq!(machine("A", json!({ "A": { "Type": "Pass" } })), "state \"A\": field \"Next\" is missing");
    let both = json!({ "Type": "Pass", "Next": "B", "End": true });
    assert!(machine("A", json!({ "A": both, "B": end() })).contains("no End beside Next"));
    // A branch cannot leave its Parallel, and its names are not used twice.
    let parallel = |name: &str, state: Value| json!({ "Type": "Parallel", "Next": "B", "Branches": [{ "StartAt": name, "States": { name: state } }] });
    let leaving = machine("A", json!({ "A": parallel("C", to("B")), "B": end() }));
    assert_eq!(leaving, "state \"C\": there is no state \"B\" to go to");
    assert_eq!(machine("A", json!({ "A": parallel("B", end()), "B": end() })), "two states are called \"B\"");
}

#[test]
fn substitutions_are_all_given_and_keep_the_text_json() {
    let text = r#"{ "StartAt": "A", "States": { "A": { "Type": "Fail", "Error": "${Name}" } } }"#;
    assert!(Definition::parse(text, &[("Name", "quo\"ted")]).is_ok());
    assert_eq!(refusal(text), "no value was given for the substitution ${Name}");
    assert_eq!(refusal("\"${Name\""), "no value was given for the substitution ${}");
    assert_eq!(refusal("{"), "the definition is not JSON");
}
