//! What is wrong, said in words that help: nothing is printed on standard
//! output, the exit code says whose fault it is, and nothing is left.

use std::process::Command;

use deathstar::target::ThreadTarget;
use serde_json::{Value, json};

use crate::cloud::{Cloud, target, words};
use crate::fault::Fault;

/// A config that a stack of these tests accepts, and that nobody answers.
const ACCEPTED: &str = "name: quiet\nworkers: 2\nattacks: [{ name: a, url: 'http://127.0.0.1:1/', rate: 2/s, duration: 8s, timeout: 1s }]\n";

/// The commands that need an installation; those of a config have this one.
fn commands(config: &str) -> [Vec<&str>; 13] {
    [
        vec!["submit", config],
        vec!["run", config, "--on", "aws"],
        vec!["plan", config, "--on", "aws"],
        vec!["results", "--on", "aws"],
        vec!["results", "a-run", "--on", "aws"],
        vec!["results", "a-run", "--on", "aws", "--wait"],
        vec!["list", "--on", "aws"],
        vec!["stop", "a-run", "--on", "aws"],
        vec!["watch", "a-run"],
        vec!["watch"],
        vec!["schedule", "add", "a", config, "--rate", "1h"],
        vec!["schedule", "list"],
        vec!["schedule", "remove", "a"],
    ]
}

/// A command ends with this code, says all of this on standard error, and
/// prints nothing.
#[track_caller]
fn refused(command: &mut Command, code: i32, says: &[&str]) {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{}", words(&output));
    assert!(output.stdout.is_empty(), "{command:?}\n{}", words(&output));
    assert!(said.starts_with("error: "), "{command:?}\n{said}");
    for text in says {
        assert!(said.contains(text), "{text:?} is not said by {command:?}\n{said}");
    }
}

/// Nothing was started, and nothing is left.
#[track_caller]
fn nothing_came_of_it(cloud: &Cloud<'_>) {
    assert_eq!(cloud.account().count("StepFunctions.StartExecution"), 0);
    assert_eq!(cloud.account().count("Lambda.CreateFunction"), 0);
    cloud.is_clean();
}

#[test]
fn whoever_is_not_let_in_is_told_why() {
    let cloud = Cloud::new();
    let config = cloud.config("quiet", ACCEPTED);
    let account = cloud.account();
    for arguments in commands(&config) {
        // The emulator is asked nothing: there is nobody to ask as.
        let mut command = cloud.command(&arguments);
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nowhere");
        for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
            command.env_remove(variable);
        }
        refused(&mut command, 2, &["there are no AWS credentials", "hint: set AWS_PROFILE, or"]);
    }
    for arguments in commands(&config) {
        let mut command = cloud.command(&arguments);
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nowhere").env_remove("AWS_REGION");
        refused(&mut command, 2, &["no AWS region is set", "hint: name it with --region"]);
    }
    {
        let _expired = account.on("*").answer(Fault::ExpiredToken);
        for arguments in commands(&config) {
            let says = ["cannot read the table deathstar", "credentials have expired", "hint: log in again"];
            refused(&mut cloud.command(&arguments), 2, &says);
        }
    }
    {
        let _denied = account.on("*").answer(Fault::AccessDenied);
        for arguments in commands(&config) {
            let says = [
                "cannot read the table deathstar: permission denied: dynamodb:GetItem is missing",
                "hint: ask whoever keeps the account's policies to allow dynamodb:GetItem",
            ];
            refused(&mut cloud.command(&arguments), 2, &says);
        }
    }
    // A permission that is missing further on.
    for (operation, permission, arguments) in [
        ("DynamoDB.PutItem", "dynamodb:PutItem", vec!["submit", &config]),
        ("DynamoDB.Query", "dynamodb:Query", vec!["list", "--on", "aws"]),
        ("StepFunctions.StartExecution", "states:StartExecution", vec!["submit", &config]),
        ("StepFunctions.StartExecution", "states:StartExecution", vec!["run", &config, "--on", "aws"]),
        ("StepFunctions.DescribeExecution", "states:DescribeExecution", vec!["stop", "a", "--on", "aws"]),
        (
            "Scheduler.CreateSchedule",
            "scheduler:CreateSchedule",
            vec!["schedule", "add", "a", &config, "--rate", "1h"],
        ),
        ("Scheduler.ListSchedules", "scheduler:ListSchedules", vec!["schedule", "list"]),
        ("Lambda.ListFunctions", "lambda:ListFunctions", vec!["leaks"]),
    ] {
        let denied = account.on(operation).answer(Fault::AccessDenied);
        refused(&mut cloud.command(&arguments), 2, &[&format!("to allow {permission} to these credentials")]);
        assert!(denied.fired() > 0, "{operation}");
    }
    for arguments in commands(&config) {
        let mut command = cloud.command(&arguments);
        // Nobody listens there.
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
        refused(&mut command, 2, &["AWS cannot be reached", "hint: look at the network"]);
    }
    // What was denied was asked for, and started nothing.
    assert!(executions(&cloud).is_empty());
    cloud.is_clean();
}

/// The executions that there are.
fn executions(cloud: &Cloud<'_>) -> Vec<Value> {
    let machine =
        cloud.execution("a").replace(":execution:", ":stateMachine:").replace("deathstar:a", "deathstar");
    let list = json!({ "stateMachineArn": machine }).to_string();
    let listed = cloud.account().ask("AWSStepFunctions.ListExecutions", &list);
    listed["executions"].as_array().unwrap().clone()
}

#[test]
fn an_installation_that_cannot_be_used_is_named() {
    let cloud = Cloud::new();
    let config = cloud.config("quiet", ACCEPTED);
    let account = cloud.account();
    for arguments in commands(&config) {
        let elsewhere = [arguments.as_slice(), &["--stack", "other"]].concat();
        let says = ["there is no stack other in us-east-1", "hint: deathstar deploy makes one; --region"];
        refused(&mut cloud.command(&elsewhere), 2, &says);
        let elsewhere = [arguments.as_slice(), &["--region", "eu-west-1"]].concat();
        refused(&mut cloud.command(&elsewhere), 2, &["there is no stack deathstar in eu-west-1"]);
    }
    // A throttled table is asked again, and in the end it is said.
    for (operation, arguments) in [
        ("DynamoDB.GetItem", vec!["list", "--on", "aws"]),
        ("DynamoDB.Query", vec!["list", "--on", "aws"]),
        ("DynamoDB.PutItem", vec!["schedule", "add", "a", &config, "--rate", "1h"]),
    ] {
        let throttled = account.on(operation).times(2).answer(Fault::Throttled);
        cloud.ends(0, &arguments);
        assert_eq!(throttled.fired(), 2, "{operation}");
    }
    cloud.ends(0, &["schedule", "remove", "a"]);
    for (operation, fault, arguments) in [
        ("DynamoDB.GetItem", Fault::Throttled, vec!["list", "--on", "aws"]),
        ("DynamoDB.GetItem", Fault::ThroughputExceeded, vec!["results", "a", "--on", "aws", "--wait"]),
        ("DynamoDB.Query", Fault::ThroughputExceeded, vec!["list", "--on", "aws"]),
        ("DynamoDB.PutItem", Fault::Throttled, vec!["submit", &config]),
        ("StepFunctions.StartExecution", Fault::Throttled, vec!["submit", &config]),
    ] {
        let throttled = account.on(operation).answer(fault);
        let what = if operation.starts_with("DynamoDB") { "table deathstar" } else { "start run quiet-" };
        let code =
            if fault == Fault::Throttled { "ThrottlingException" } else { "ThroughputExceededException" };
        refused(&mut cloud.command(&arguments), 4, &[what, code, "hint: wait a minute and try again"]);
        assert!(throttled.fired() > 1, "{operation} is asked again");
    }
    // A table that goes while a command is under way.
    let gone = Fault::Other(400, "ResourceNotFoundException");
    for (operation, arguments) in
        [("DynamoDB.PutItem", vec!["submit", &config]), ("DynamoDB.Query", vec!["list", "--on", "aws"])]
    {
        let _gone = account.on(operation).answer(gone);
        refused(
            &mut cloud.command(&arguments),
            4,
            &["there is no table deathstar in us-east-1: is the stack deployed"],
        );
    }
    assert!(executions(&cloud).is_empty());
    cloud.is_clean();

    let row =
        json!({ "TableName": "deathstar", "Key": { "pk": { "S": "install" }, "sk": { "S": "install" } } });
    let mut item = account.ask("DynamoDB_20120810.GetItem", &row.to_string())["Item"].clone();
    let body: Value = serde_json::from_str(item["body"]["S"].as_str().unwrap()).unwrap();
    let mut put = |body: &Value| {
        item["body"]["S"] = json!(body.to_string());
        let put = json!({ "TableName": "deathstar", "Item": item });
        account.ask("DynamoDB_20120810.PutItem", &put.to_string());
    };
    // Of another version the row may be anything but the version's own.
    let mut other = body.clone();
    other["version"] = json!("0.0.99");
    for row in [other, json!({ "version": "0.0.99", "things": [] })] {
        put(&row);
        for arguments in commands(&config) {
            let says = [
                "the stack deathstar is of version 0.0.99 and this program of",
                "hint: deathstar deploy brings",
            ];
            refused(&mut cloud.command(&arguments), 2, &says);
        }
    }
    refused(&mut cloud.command(&["leaks"]), 2, &["the stack deathstar is of version 0.0.99"]);
    put(&body);
    cloud.ends(0, &["list", "--on", "aws"]);

    // The table is deleted behind the stack's back.
    account.ask("DynamoDB_20120810.DeleteTable", &json!({ "TableName": "deathstar" }).to_string());
    for arguments in commands(&config) {
        refused(&mut cloud.command(&arguments), 2, &["there is no stack deathstar in us-east-1"]);
    }
    assert!(executions(&cloud).is_empty());
    assert_eq!((cloud.functions(), cloud.switches()), (Vec::new(), Vec::new()));
    cloud.ends(0, &["leaks"]);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_asked_for() {
    let cloud = Cloud::new();
    let config = cloud.config("quiet", ACCEPTED);
    // Runs that there are not.
    for arguments in [
        &["results", "nobody", "--on", "aws"][..],
        &["results", "nobody", "--on", "aws", "--wait"],
        &["stop", "nobody", "--on", "aws"],
        &["stop", "nobody", "--on", "aws", "--force"],
        &["watch", "nobody"],
    ] {
        let says = ["there is no run nobody; deathstar list --on aws shows those there are"];
        refused(&mut cloud.command(arguments), 2, &says);
    }
    for arguments in [&["results", "--on", "aws"][..], &["watch"]] {
        refused(&mut cloud.command(arguments), 2, &["there are no runs yet"]);
    }
    for arguments in [
        &["results", "No Run", "--on", "aws"][..],
        &["submit", &config, "--id", "No Run"],
        &["submit", &config, "--id", &"a".repeat(41)],
        &["list", "--on", "aws", "--stack", "No Stack"],
    ] {
        refused(&mut cloud.command(arguments), 2, &["invalid value"]);
    }
    // Configs that are too large, or that are none.
    let large = cloud.config("large", &format!("{ACCEPTED}# {}\n", "x".repeat(16 << 20)));
    cloud.config("body", &"x".repeat((16 << 20) + 1));
    let body =
        cloud.config("of-body", &ACCEPTED.replace("timeout: 1s", "method: POST, body_file: body.yaml"));
    // Of a size that this machine would do, and no table on AWS.
    cloud.config("half", &"x".repeat(1 << 20));
    let half =
        cloud.config("of-half", &ACCEPTED.replace("timeout: 1s", "method: POST, body_file: half.yaml"));
    let none = cloud.config("none", "name: none\nattacks: []\n");
    for (path, says) in [
        (large.as_str(), &["large.yaml has more than 16777216 bytes, the limit"][..]),
        (&body, &["of-body.yaml cannot be used", "body.yaml has more than 16777216 bytes, the limit"]),
        (&none, &["none.yaml cannot be used", "attacks"]),
        ("nowhere.yaml", &["cannot read nowhere.yaml"]),
    ] {
        for arguments in [&["submit", path][..], &["schedule", "add", "a", path, "--rate", "1h"]] {
            refused(&mut cloud.command(arguments), 2, says);
        }
    }
    // Load that this installation does not allow.
    let local = cloud.config("local", &ACCEPTED.replace("127.0.0.1", "localhost"));
    let fast = cloud.config("fast", &ACCEPTED.replace("2/s", "1001/s"));
    let abroad = ACCEPTED.replace("workers: 2", "workers: { count: 2, regions: [eu-west-1] }");
    let abroad = cloud.config("abroad", &abroad);
    let wide = cloud.config("wide", &ACCEPTED.replace("workers: 2", "workers: 101").replace("2/s", "500/s"));
    for (path, says) in [
        (
            &local,
            &["localhost:1 is not on the list of hosts", "deathstar deploy --allow localhost:1 adds it"][..],
        ),
        (&fast, &["1001/s at the peak", "allows 1000/s (deathstar deploy --max-rate)"]),
        (&wide, &["101 workers", "100"]),
        (&abroad, &["attacks from eu-west-1", "is in us-east-1", "name one there with --region eu-west-1"]),
        (&half, &["bytes with its bodies; this installation allows 1048576"]),
    ] {
        for arguments in [
            &["submit", path][..],
            &["run", path, "--on", "aws"],
            &["schedule", "add", "a", path, "--rate", "1h"],
        ] {
            refused(&mut cloud.command(arguments), 2, says);
        }
    }
    bad_schedules(&cloud, &config);
    nothing_came_of_it(&cloud);
}

fn bad_schedules(cloud: &Cloud<'_>, config: &str) {
    for (options, says) in [
        (&["--cron", "0 3 * * *"][..], "5 fields, and there are six"),
        (&["--cron", "0 3 * * * *"], "must be ?, and the other one not"),
        (&["--cron", "60 3 * * ? *"], "60 is no minute: it is 0 to 59"),
        (&["--cron", "0 3 * * ? ;"], "\";\" is no"),
        (&["--cron", ""], "0 fields, and there are six"),
        (&["--rate", "90s"], "90s is no whole number of minutes, from 1m"),
        (&["--rate", "0m"], "0m is no whole number of minutes, from 1m"),
        (&["--rate", "often"], "often"),
        (&["--at", "tomorrow"], "\"tomorrow\" is no local time; write it like"),
        (&["--at", "2020-01-01T00:00"], "at(2020-01-01T00:00:00) in UTC has passed"),
        (&["--at", "2030-01-01T00:00", "--timezone", "Mars/Base!"], "there is no time zone \"Mars/Base!\""),
        (&["--rate", "1h", "--timezone", "UTC"], "cannot be used with"),
        (&["--rate", "1h", "--cron", "0 3 * * ? *"], "cannot be used with"),
        (&[], "required"),
    ] {
        let arguments = [&["schedule", "add", "nightly", config], options].concat();
        refused(&mut cloud.command(&arguments), 2, &[says]);
    }
    let add = ["schedule", "add", "nightly", config, "--cron", "0 3 * * ? *"];
    refused(
        &mut cloud.command(&["schedule", "add", "No Name", config, "--rate", "1h"]),
        2,
        &["invalid value"],
    );
    refused(&mut cloud.command(&["schedule", "remove", "nightly"]), 2, &["there is no schedule nightly"]);
    {
        let _no =
            cloud.account().on("Scheduler.CreateSchedule").answer(Fault::Other(400, "ValidationException"));
        refused(&mut cloud.command(&add), 2, &["cron(0 3 * * ? *) UTC is not accepted"]);
    }
    assert_eq!(cloud.ends(0, &["schedule", "list", "--output", "json"]).trim(), "[]");
    cloud.ends(0, &add);
    let again = ["there is a schedule nightly already; --replace puts this one in its place"];
    refused(&mut cloud.command(&add), 2, &again);
    cloud.ends(0, &["schedule", "remove", "nightly"]);
}

/// A config of two workers and two slices.
fn two_slices(target: &ThreadTarget) -> String {
    ACCEPTED.replace("127.0.0.1:1", &target.address().to_string())
}

#[test]
fn a_quota_that_is_too_small_is_said_and_nothing_is_left() {
    let cloud = Cloud::new();
    let target = target();
    let account = cloud.account();
    let config = cloud.config("quiet", &two_slices(&target));

    // Two workers of which each overlaps with itself, and two invocations for
    // the control plane: 6, and there are 3.
    let settings = r#"{"AccountLimit":{"ConcurrentExecutions":10,"UnreservedConcurrentExecutions":3}}"#;
    let says = [
        "run few failed before it was planned: 2 workers need 4 invocations at once, and 1 may run",
        "ask for 3 more concurrent executions, or use fewer workers",
        "DeathStar.OverLimit",
    ];
    {
        let few = account.on("Lambda.GetAccountSettings").answer(Fault::Json(settings));
        cloud.submit("few", &two_slices(&target));
        for arguments in [
            &["results", "few", "--on", "aws", "--wait"][..],
            &["results", "few", "--on", "aws"],
            &["watch", "few"],
            &["run", &config, "--on", "aws", "--id", "few"],
        ] {
            let output = cloud.call(arguments);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{}", words(&output));
            assert!(output.stdout.is_empty(), "{}", words(&output));
            says.iter().for_each(|text| assert!(words(&output).contains(text), "{text}\n{}", words(&output)));
        }
        assert_eq!(few.fired(), 1, "a limit is asked for once: no pause makes it larger");
    }
    refused(&mut cloud.command(&["stop", "few", "--on", "aws"]), 2, &["run few is not under way"]);
    assert_eq!((account.count("Lambda.CreateFunction"), account.count("Scheduler.CreateSchedule")), (0, 0));
    assert_eq!(cloud.ended("few"), "FAILED");
    cloud.is_clean();

    // The same run id with another config.
    let another = cloud.config("another", &two_slices(&target).replace("2/s", "3/s"));
    for arguments in
        [&["submit", &another, "--id", "few"][..], &["run", &another, "--on", "aws", "--id", "few"]]
    {
        let says = ["there is a run few of another config already; choose another --id"];
        refused(&mut cloud.command(arguments), 2, &says);
    }

    // What fails when functions are made is in the report.
    for (run, fault, code) in [
        ("full", Fault::Other(400, "CodeStorageExceededException"), "CodeStorageExceededException"),
        ("denied", Fault::AccessDenied, "lambda:CreateFunction"),
    ] {
        let refusal = account.on("Lambda.CreateFunction").answer(fault);
        cloud.submit(run, &two_slices(&target));
        let output = cloud.call(&["results", run, "--on", "aws", "--wait", "--output", "json"]);
        assert_eq!(output.status.code(), Some(4), "{}", words(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let failure = &report["failure"];
        assert!(failure.to_string().contains(code), "{failure}");
        assert_eq!((&report["verdict"], &report["leaks"]), (&json!("inconclusive"), &json!(0)), "{report}");
        assert_eq!(refusal.fired(), 1, "no pause makes it better");
        let text = cloud.call(&["results", run, "--on", "aws"]);
        assert_eq!(text.status.code(), Some(4), "{}", words(&text));
        assert!(words(&text).contains(code), "{}", words(&text));
        assert_eq!(cloud.ended(run), "FAILED");
        cloud.is_clean();
    }

    // A permission that the controller lacks before there is a plan.
    {
        let _denied = account.on("DynamoDB.PutItem").holding("run#walled").answer(Fault::AccessDenied);
        cloud.submit("walled", &two_slices(&target));
        let says = ["run walled failed before it was planned", "dynamodb:PutItem", "DeathStar.Broken"];
        refused(&mut cloud.command(&["results", "walled", "--on", "aws", "--wait"]), 4, &says);
    }
    cloud.is_clean();
    assert_eq!(target.counts().received, 0, "none of them sent anything");
}
