//! How functions see the emulator: theirs is the proxy's address, and their
//! account is their maker's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::account::Account;
use crate::clock;
use crate::fault::Fault;
use crate::ministack::Ministack;

/// A custom runtime in Python: reads a table whenever it is invoked, and
/// answers with what it was told and where it is.
const BOOTSTRAP: &str = r#"#!/usr/bin/env python3
import json, os, urllib.error, urllib.request
runtime = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    event = urllib.request.urlopen(runtime + "next")
    event.read()
    key = os.environ["AWS_ACCESS_KEY_ID"]
    headers = {
        "x-amz-target": "DynamoDB_20120810.DescribeTable",
        "content-type": "application/x-amz-json-1.0",
        "authorization": f"AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
    }
    body = json.dumps({"TableName": os.environ["TABLE"]}).encode()
    try:
        answer = urllib.request.urlopen(urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/", body, headers))
        said = [answer.status, ""]
    except urllib.error.HTTPError as error:
        said = [error.code, json.load(error)["__type"]]
    result = {"said": said, "environment": dict(os.environ), "process": os.getpid()}
    identity = event.headers["Lambda-Runtime-Aws-Request-Id"]
    urllib.request.urlopen(urllib.request.Request(runtime + identity + "/response", json.dumps(result).encode())).read()
"#;

/// Makes the function `reader`, and waits until it can be invoked.
fn make_function(account: &Account<'_>) {
    // Buckets are everybody's: the account is in the name.
    let bucket = format!("code-{}", account.id());
    let sent = |first: &str, body: &[u8]| {
        let answer = account.send(&account.request(first, &[], body)).unwrap();
        assert!(answer.status().is_some_and(|status| status < 300), "{first}: {}", answer.text());
        answer
    };
    sent(&format!("PUT /{bucket}"), b"");
    sent(&format!("PUT /{bucket}/function.zip"), &zip());
    let function = json!({
        "FunctionName": "reader", "Runtime": "provided.al2023", "Handler": "bootstrap",
        "Role": format!("arn:aws:iam::{}:role/reader", account.id()), "Timeout": 60,
        "Code": { "S3Bucket": bucket, "S3Key": "function.zip" },
        "Environment": { "Variables": { "TABLE": "things" } },
    });
    sent("POST /2015-03-31/functions", function.to_string().as_bytes());
    clock::wait_for("a function to be active", || {
        let answer = sent("GET /2015-03-31/functions/reader", b"");
        let function: Value = serde_json::from_slice(answer.body()).unwrap();
        (function["Configuration"]["State"] == "Active").then_some(())
    });
}

/// The bootstrap as a package.
fn zip() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = folder.path().join("bootstrap");
    fs::write(&bootstrap, BOOTSTRAP).unwrap();
    fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755)).unwrap();
    let mut python = Command::new("python3");
    python.args(["-m", "zipfile", "-c", "function.zip", "bootstrap"]).current_dir(&folder);
    assert!(python.stdin(Stdio::null()).status().unwrap().success());
    fs::read(folder.path().join("function.zip")).unwrap()
}

fn invoke(account: &Account<'_>) -> Value {
    let request = account.request("POST /2015-03-31/functions/reader/invocations", &[], b"{}");
    let answer = account.send(&request).unwrap();
    assert_eq!(answer.header("x-amz-function-error"), None, "{}", answer.text());
    serde_json::from_slice(answer.body()).unwrap()
}

/// Runs a state machine of one step that invokes `reader`, to its end.
fn execute(account: &Account<'_>) -> Value {
    let definition = json!({ "StartAt": "Read", "States": { "Read": {
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": { "FunctionName": "reader", "Payload": {} }, "OutputPath": "$.Payload", "End": true,
    } } });
    let machine = json!({
        "name": "machine", "definition": definition.to_string(),
        "roleArn": format!("arn:aws:iam::{}:role/machine", account.id()),
    });
    let machine = account.ask("AWSStepFunctions.CreateStateMachine", &machine.to_string());
    let start = json!({ "stateMachineArn": machine["stateMachineArn"], "name": "one", "input": "{}" });
    let started = account.ask("AWSStepFunctions.StartExecution", &start.to_string());
    let describe = json!({ "executionArn": started["executionArn"] }).to_string();
    let ended = clock::wait_for("an execution to end", || {
        let execution = account.ask("AWSStepFunctions.DescribeExecution", &describe);
        (execution["status"] != "RUNNING").then_some(execution)
    });
    assert_eq!(ended["status"], "SUCCEEDED", "{ended}");
    serde_json::from_str(ended["output"].as_str().unwrap()).unwrap()
}

#[test]
fn the_calls_of_a_function_pass_the_proxy() {
    let account = Account::new();
    account.make_table();
    make_function(&account);

    let result = invoke(&account);
    assert_eq!(result["said"], json!([200, ""]));
    let environment = &result["environment"];
    assert_eq!(environment["AWS_ENDPOINT_URL"], account.server().url());
    assert_eq!(environment["AWS_ACCESS_KEY_ID"], account.id());
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_NAME"], "reader");
    for ours in ["CARGO", "CARGO_MANIFEST_DIR", "USER"] {
        assert_eq!(environment[ours], Value::Null, "functions see nothing of the tests' environment");
    }
    assert_eq!((account.count("Lambda.Invoke"), account.count("DynamoDB.DescribeTable")), (1, 1));

    // A state machine invokes inside the emulator; what its functions call
    // passes all the same, and can be let fail.
    let denied = account.on("DynamoDB.DescribeTable").times(1).answer(Fault::AccessDenied);
    let result = execute(&account);
    assert_eq!(result["said"], json!([400, "com.amazonaws#AccessDeniedException"]));
    assert_eq!(denied.fired(), 1);
    assert_eq!((account.count("Lambda.Invoke"), account.count("DynamoDB.DescribeTable")), (1, 2));
}

#[test]
fn an_emulator_that_is_dropped_takes_its_functions_along() {
    let server = Ministack::start(&[("LAMBDA_ACCOUNT_CONCURRENCY", "33")]);
    let account = Account::on_server(&server);
    account.make_table();
    make_function(&account);
    let process = invoke(&account)["process"].as_u64().unwrap();
    let alive = || fs::metadata(format!("/proc/{process}")).is_ok();
    assert!(alive(), "a function's process waits for its next invocation");

    // And what was in its environment has been heeded.
    let settings = account.send(&account.request("GET /2016-08-19/account-settings", &[], b"")).unwrap();
    let settings: Value = serde_json::from_slice(settings.body()).unwrap();
    assert_eq!(settings["AccountLimit"]["ConcurrentExecutions"], 33);

    let folder = server.folder().to_owned();
    drop(server);
    clock::wait_for("a function's process to end", || (!alive()).then_some(()));
    assert!(!folder.exists());
}
