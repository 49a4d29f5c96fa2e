//! What the CloudFormation template grants, against what the code calls: the
//! emulator that other tests run on refuses nothing, so a permission too few
//! would be found by users, and one too many by nobody.
//!
//! [`Role::allows`] is IAM in small. The lists of calls below are also the
//! documentation of who calls what.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::{Value, json};

const STACK: &str = "deathstar";
const REGION: &str = "eu-west-1";
const ACCOUNT: &str = "123456789012";

/// The largest template that may be sent as it is, in bytes. See
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html>.
const LARGEST: usize = 51_200;

/// What AWS knows no resource for; all of it only reads.
const WITHOUT_RESOURCE: [&str; 4] = [
    "cloudwatch:GetMetricData",
    "lambda:GetAccountSettings",
    "lambda:ListFunctions",
    "scheduler:ListSchedules",
];

/// By the method of an SDK's client: the permissions that the controller needs
/// for it, each on one resource that it is called with.
const CONTROLLER_CALLS: &[(&str, &[(&str, &str)])] = &[
    // controller/src/aws/functions.rs
    (
        "create_function",
        &[
            ("lambda:CreateFunction", WORKER),
            // For the tags of a new function.
            ("lambda:TagResource", WORKER),
            (
                "iam:PassRole to lambda.amazonaws.com",
                "arn:aws:iam::123456789012:role/deathstar-worker-eu-west-1",
            ),
        ],
    ),
    ("put_function_event_invoke_config", &[("lambda:PutFunctionEventInvokeConfig", WORKER)]),
    ("get_function", &[("lambda:GetFunction", WORKER)]),
    ("delete_function", &[("lambda:DeleteFunction", WORKER)]),
    ("list_functions", &[("lambda:ListFunctions", "*")]),
    ("get_account_settings", &[("lambda:GetAccountSettings", "*")]),
    // controller/src/aws/switches.rs
    (
        "create_schedule",
        &[
            ("scheduler:CreateSchedule", SWITCH),
            (
                "iam:PassRole to scheduler.amazonaws.com",
                "arn:aws:iam::123456789012:role/deathstar-scheduler-eu-west-1",
            ),
        ],
    ),
    ("get_schedule", &[("scheduler:GetSchedule", SWITCH)]),
    ("delete_schedule", &[("scheduler:DeleteSchedule", SWITCH)]),
    ("list_schedules", &[("scheduler:ListSchedules", "*")]),
    // controller/src/aws/table.rs
    ("get_item", &[("dynamodb:GetItem", TABLE)]),
    ("put_item", &[("dynamodb:PutItem", TABLE)]),
    ("update_item", &[("dynamodb:UpdateItem", TABLE)]),
    ("query", &[("dynamodb:Query", TABLE)]),
    ("batch_write_item", &[("dynamodb:BatchWriteItem", TABLE)]),
    // An update, when the run is not over.
    ("transact_write_items", &[("dynamodb:UpdateItem", TABLE), ("dynamodb:ConditionCheckItem", TABLE)]),
];

/// What Lambda does in the controller's name, and what no SDK's client does.
const CONTROLLER_BESIDE: &[(&str, &str)] = &[
    // A call of our own: controller/src/aws/cloudwatch.rs
    ("cloudwatch:GetMetricData", "*"),
    ("logs:CreateLogStream", LOGS),
    ("logs:PutLogEvents", LOGS),
    ("sqs:SendMessage", "arn:aws:sqs:eu-west-1:123456789012:deathstar-dead-letters"),
];

/// By the method: what the worker needs, and the families of rows it is called
/// with (worker/src/aws/table.rs).
const WORKER_CALLS: &[(&str, &str, &[&[&str]])] = &[
    ("get_item", "dynamodb:GetItem", &[&["read#a-run#03"], &["work#a-run#03"]]),
    ("put_item", "dynamodb:PutItem", &[&["work#a-run#03"]]),
    ("update_item", "dynamodb:UpdateItem", &[&["work#a-run#03"]]),
    ("batch_write_item", "dynamodb:BatchWriteItem", &[&["work#a-run#03"]]),
    // The control row and the stop row in one request.
    ("batch_get_item", "dynamodb:BatchGetItem", &[&["read#a-run#03", "work#a-run#03"]]),
];

const WORKER_BESIDE: &[(&str, &str)] = &[("logs:CreateLogStream", LOGS), ("logs:PutLogEvents", LOGS)];

const WORKER: &str = "arn:aws:lambda:eu-west-1:123456789012:function:deathstar-w-a-run-0";
const CONTROLLER: &str = "arn:aws:lambda:eu-west-1:123456789012:function:deathstar-controller";
const SWITCH: &str = "arn:aws:scheduler:eu-west-1:123456789012:schedule/deathstar/run-a-run";
const TABLE: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/deathstar";
const LOGS: &str = "arn:aws:logs:eu-west-1:123456789012:log-group:/deathstar/deathstar:*";
const MACHINE: &str = "arn:aws:states:eu-west-1:123456789012:stateMachine:deathstar";
const DEAD_LETTERS: &str = "arn:aws:sqs:eu-west-1:123456789012:deathstar-dead-letters";

fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

fn text() -> String {
    fs::read_to_string(path("template/deathstar.yaml")).unwrap()
}

fn template() -> &'static Value {
    static TEMPLATE: LazyLock<Value> = LazyLock::new(|| serde_saphyr::from_str(&text()).unwrap());
    &TEMPLATE
}

/// The properties of a resource.
fn properties(name: &str) -> Value {
    let properties = template()["Resources"][name]["Properties"].clone();
    assert!(properties.is_object(), "there is no resource {name}");
    properties
}

/// A value as CloudFormation would work it out, for the stack above.
fn resolve(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(function) => {
            let (function, argument) = function.iter().next().unwrap();
            match (function.as_str(), argument) {
                ("Ref", Value::String(name)) => reference(name),
                ("Fn::Sub", Value::String(text)) => substitute(text),
                ("Fn::GetAtt", Value::Array(parts)) => {
                    let name = parts[0].as_str().unwrap();
                    if parts[1] == "Arn" { arn(name) } else { reference(name) }
                }
                other => panic!("{other:?} is not understood here"),
            }
        }
        other => panic!("{other} is no text"),
    }
}

fn substitute(text: &str) -> String {
    let mut rest = text;
    let mut done = String::new();
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').unwrap();
        done += before;
        done += &reference(name);
        rest = after;
    }
    done + rest
}

fn reference(name: &str) -> String {
    match name {
        "AWS::StackName" => STACK.to_owned(),
        "AWS::Region" => REGION.to_owned(),
        "AWS::AccountId" => ACCOUNT.to_owned(),
        "AWS::Partition" => "aws".to_owned(),
        "StateMachine" => MACHINE.to_owned(),
        name if template()["Parameters"][name].is_object() => format!("<{name}>"),
        name => {
            let properties = properties(name);
            let keys = ["TableName", "FunctionName", "LogGroupName", "QueueName", "RoleName", "Name"];
            let named = keys.iter().find_map(|key| properties.get(key));
            resolve(named.unwrap_or_else(|| panic!("{name} has no name of its own")))
        }
    }
}

fn arn(name: &str) -> String {
    let kind = template()["Resources"][name]["Type"].as_str().unwrap().to_owned();
    let named = reference(name);
    let at = |service: &str, rest: &str| format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}{named}");
    match kind.as_str() {
        "AWS::DynamoDB::Table" => at("dynamodb", "table/"),
        "AWS::IAM::Role" => format!("arn:aws:iam::{ACCOUNT}:role/{named}"),
        "AWS::Lambda::Function" => at("lambda", "function:"),
        "AWS::SQS::Queue" => at("sqs", ""),
        "AWS::Events::Rule" => at("events", "rule/"),
        // This one is what CloudFormation answers: it ends in a star.
        "AWS::Logs::LogGroup" => at("logs", "log-group:") + ":*",
        other => panic!("no ARN for {other}"),
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

/// A statement of a role.
#[derive(Debug)]
struct Statement {
    sid: String,
    actions: Vec<String>,
    resources: Vec<String>,
    condition: Value,
}

/// A role with all that is always granted to it.
#[derive(Debug)]
struct Role {
    name: &'static str,
    statements: Vec<Statement>,
}

const ROLES: [&str; 4] = ["ControllerRole", "WorkerRole", "StateMachineRole", "SchedulerRole"];

impl Role {
    fn of(name: &'static str) -> Self {
        let properties = properties(name);
        let policies = properties["Policies"].as_array().unwrap().clone();
        let statements = policies.iter().flat_map(|policy| list(&policy["PolicyDocument"]["Statement"]));
        let statement = |statement: Value| {
            assert_eq!(statement["Effect"], "Allow", "{statement}");
            for negation in ["NotAction", "NotResource"] {
                assert!(statement.get(negation).is_none(), "{statement} grants all but something");
            }
            Statement {
                sid: statement["Sid"].as_str().unwrap_or_default().to_owned(),
                actions: list(&statement["Action"]).iter().map(resolve).collect(),
                resources: list(&statement["Resource"]).iter().map(resolve).collect(),
                condition: statement["Condition"].clone(),
            }
        };
        Self { name, statements: statements.map(statement).collect() }
    }

    fn all() -> Vec<Self> {
        ROLES.into_iter().map(Self::of).collect()
    }

    /// Whether a call is allowed: an action (`iam:PassRole to SERVICE` names whom
    /// the role is passed to), on a resource, with rows of these partitions.
    fn allows(&self, action: &str, resource: &str, partitions: &[&str]) -> bool {
        let (action, passed_to) = action.split_once(" to ").unwrap_or((action, ""));
        self.statements.iter().any(|statement| {
            statement.actions.iter().any(|granted| granted == action)
                && statement.resources.iter().any(|pattern| matches(pattern, resource))
                && holds(&statement.condition, passed_to, partitions)
        })
    }
}

/// Whether a condition holds. One that is not understood is an error, so that
/// none is thought to limit what it does not.
fn holds(condition: &Value, passed_to: &str, partitions: &[&str]) -> bool {
    match condition {
        Value::Null => true,
        Value::Object(operators) => operators.iter().all(|(operator, keys)| {
            let (key, values) = keys.as_object().unwrap().iter().next().unwrap();
            let values: Vec<String> = list(values).iter().map(resolve).collect();
            match (operator.as_str(), key.as_str()) {
                ("StringEquals", "iam:PassedToService") => values.iter().any(|value| value == passed_to),
                ("ForAllValues:StringLike", "dynamodb:LeadingKeys") => partitions
                    .iter()
                    .all(|partition| values.iter().any(|pattern| matches(pattern, partition))),
                other => panic!("the condition {other:?} is not understood here"),
            }
        }),
        other => panic!("{other} is no condition"),
    }
}

/// IAM's wildcard: a star is any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len()).any(|at| text.is_char_boundary(at) && matches(rest, &text[at..]))
        }),
    }
}

/// The methods of SDK clients that the adapters of a crate call.
fn calls(folder: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(path(folder)).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            found.extend(calls(&format!("{folder}/{}", entry.file_name().to_string_lossy())));
            continue;
        }
        let source: String = fs::read_to_string(entry.path()).unwrap().split_whitespace().collect();
        // `self.client.get_item()`, over as many lines as rustfmt likes.
        for (at, client) in source.match_indices("client.") {
            let rest = &source[at + client.len()..];
            let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(rest.len());
            let call = rest[end..].starts_with("()") && end > 0;
            // What a client is made of is no call.
            if call && &rest[..end] != "config" {
                found.insert(rest[..end].to_owned());
            }
        }
    }
    found
}

#[test]
fn it_is_small_enough_to_be_sent() {
    assert!(text().len() < LARGEST, "{} bytes", text().len());
    assert_eq!(template()["AWSTemplateFormatVersion"], "2010-09-09");
}

#[test]
fn no_statement_is_wide() {
    for Role { name, statements } in Role::all() {
        for Statement { sid, actions, resources, .. } in statements {
            assert!(!sid.is_empty(), "a statement of {name} does not say what it is for");
            for action in &actions {
                assert!(!action.contains('*'), "{name} {sid}: {action}");
            }
            for resource in &resources {
                if resource == "*" {
                    let known = actions.iter().all(|action| WITHOUT_RESOURCE.contains(&action.as_str()));
                    assert!(known, "{name} {sid}: {actions:?} could be limited to a resource");
                } else {
                    let (_, of) = resource.split_once(&format!("{ACCOUNT}:")).unwrap();
                    assert!(of.contains(STACK), "{name} {sid}: {resource} is not limited to our names");
                }
            }
        }
    }
}

#[test]
fn the_controller_may_do_what_it_calls_and_nothing_else() {
    let role = Role::of("ControllerRole");
    let known: BTreeSet<String> = CONTROLLER_CALLS.iter().map(|(method, _)| (*method).to_owned()).collect();
    assert_eq!(
        calls("../controller/src/aws"),
        known,
        "the list of calls above, and the template, follow the adapters"
    );
    let calls = CONTROLLER_CALLS.iter().flat_map(|(_, needs)| *needs).chain(CONTROLLER_BESIDE);
    let mut needed = BTreeSet::new();
    for (action, resource) in calls {
        let partitions: &[&str] = if *resource == TABLE { &["run#a-run"] } else { &[] };
        assert!(role.allows(action, resource, partitions), "{action} on {resource} is not granted");
        needed.insert(action.split(' ').next().unwrap().to_owned());
    }
    let granted: BTreeSet<String> = role.statements.into_iter().flat_map(|granted| granted.actions).collect();
    assert_eq!(granted, needed, "what nothing calls is not granted");
}

#[test]
fn the_worker_may_do_what_it_calls_and_nothing_else() {
    let role = Role::of("WorkerRole");
    let known: BTreeSet<String> = WORKER_CALLS.iter().map(|(method, ..)| (*method).to_owned()).collect();
    assert_eq!(
        calls("../worker/src/aws"),
        known,
        "the list of calls above, and the template, follow the adapters"
    );
    let mut needed = BTreeSet::new();
    for (_, action, requests) in WORKER_CALLS {
        for partitions in *requests {
            assert!(role.allows(action, TABLE, partitions), "{action} on {partitions:?} is not granted");
        }
        needed.insert((*action).to_owned());
    }
    for (action, resource) in WORKER_BESIDE {
        assert!(role.allows(action, resource, &[]), "{action} on {resource} is not granted");
        needed.insert((*action).to_owned());
    }
    let granted: BTreeSet<String> = role.statements.into_iter().flat_map(|granted| granted.actions).collect();
    assert_eq!(granted, needed, "what nothing calls is not granted");
}

#[test]
fn a_worker_writes_only_what_it_saw() {
    let role = Role::of("WorkerRole");
    for action in
        ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:BatchWriteItem", "dynamodb:DeleteItem"]
    {
        for partition in ["run#a-run", "runs", "config#a", "install", "read#a-run#03"] {
            assert!(!role.allows(action, TABLE, &[partition]), "{action} on {partition}");
            assert!(!role.allows(action, TABLE, &["work#a-run#03", partition]), "hidden among its own");
        }
    }
    for partition in ["run#a-run", "runs", "config#a", "install"] {
        for action in ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"] {
            assert!(!role.allows(action, TABLE, &[partition]), "{action} on {partition}");
        }
    }
    // A request without keys would pass the condition.
    for action in ["dynamodb:Scan", "dynamodb:PartiQLSelect", "dynamodb:DescribeTable"] {
        assert!(!role.allows(action, TABLE, &[]), "{action}");
    }
    for action in ["lambda:InvokeFunction", "lambda:CreateFunction"] {
        assert!(!role.allows(action, WORKER, &[]), "{action}");
        assert!(!role.allows(action, CONTROLLER, &[]), "{action}");
    }
    assert!(!role.allows("states:StartExecution", MACHINE, &[]));
}

#[test]
fn the_controller_touches_no_function_but_workers() {
    let role = Role::of("ControllerRole");
    for other in [CONTROLLER, "arn:aws:lambda:eu-west-1:123456789012:function:shop", "*"] {
        for (_, needs) in CONTROLLER_CALLS {
            for (action, _) in needs.iter().filter(|(_, resource)| *resource == WORKER) {
                assert!(!role.allows(action, other, &[]), "{action} on {other}");
            }
        }
    }
    for action in [
        "lambda:AddPermission",
        "lambda:CreateFunctionUrlConfig",
        "lambda:InvokeFunction",
        "lambda:UpdateFunctionCode",
        "lambda:UpdateFunctionConfiguration",
    ] {
        assert!(!role.allows(action, WORKER, &[]), "{action}");
    }
}

#[test]
fn the_controller_passes_two_roles_each_to_its_service() {
    let role = Role::of("ControllerRole");
    let services = ["lambda.amazonaws.com", "scheduler.amazonaws.com", "ec2.amazonaws.com", ""];
    let mut passed = Vec::new();
    for of in ["worker", "scheduler", "controller", "statemachine", "admin"] {
        let named = format!("arn:aws:iam::{ACCOUNT}:role/{STACK}-{of}-{REGION}");
        for service in services {
            if role.allows(&format!("iam:PassRole to {service}"), &named, &[]) {
                passed.push((of, service));
            }
        }
    }
    assert_eq!(passed, [("worker", services[0]), ("scheduler", services[1])]);
    assert!(!role.allows("iam:PassRole to lambda.amazonaws.com", "*", &[]));
}

#[test]
fn the_controller_touches_no_schedule_but_switches() {
    let role = Role::of("ControllerRole");
    for other in ["deathstar/janitor", "deathstar/tick-nightly", "default/run-a", "other/run-a"] {
        let schedule = format!("arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{other}");
        for action in ["scheduler:CreateSchedule", "scheduler:DeleteSchedule", "scheduler:UpdateSchedule"] {
            assert!(!role.allows(action, &schedule, &[]), "{action} on {other}");
        }
    }
}

#[test]
fn the_state_machine_invokes_what_its_definition_does() {
    let definition = fs::read_to_string(path("../statemachine/definition/attack.asl.json")).unwrap();
    let resources = definition.matches("\"Resource\":").count();
    let invocations = definition.matches("\"Resource\": \"arn:aws:states:::lambda:invoke\"").count();
    assert_eq!(resources, invocations, "the definition does nothing but invoke functions");
    let role = Role::of("StateMachineRole");
    assert!(role.allows("lambda:InvokeFunction", CONTROLLER, &[]));
    assert!(role.allows("lambda:InvokeFunction", WORKER, &[]));
    assert!(!role.allows(
        "lambda:InvokeFunction",
        "arn:aws:lambda:eu-west-1:123456789012:function:shop",
        &[]
    ));
    // Its Distributed Map starts children of itself, and follows them. See
    // <https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html>.
    let execution = MACHINE.replace(":stateMachine:", ":execution:");
    assert!(role.allows("states:StartExecution", MACHINE, &[]));
    for child in [format!("{execution}:a"), format!("{execution}/Shards:a")] {
        assert!(role.allows("states:DescribeExecution", &child, &[]), "{child}");
        assert!(role.allows("states:StopExecution", &child, &[]), "{child}");
    }
    assert!(!role.allows("states:StartExecution", &format!("{MACHINE}-of-others"), &[]));
    assert!(!role.allows("states:StopExecution", &format!("{execution}-of-others:a"), &[]));
    let machine = properties("StateMachine");
    assert_eq!(machine["StateMachineType"], "STANDARD");
    assert_eq!(resolve(&machine["StateMachineName"]), STACK);
    assert_eq!(resolve(&machine["DefinitionSubstitutions"]["ControllerFunction"]), "deathstar-controller");
}

#[test]
fn the_scheduler_cleans_up_and_starts_runs() {
    let role = Role::of("SchedulerRole");
    assert!(role.allows("lambda:InvokeFunction", CONTROLLER, &[]));
    assert!(role.allows("states:StartExecution", MACHINE, &[]));
    assert!(role.allows("sqs:SendMessage", DEAD_LETTERS, &[]));
    assert!(!role.allows("lambda:InvokeFunction", WORKER, &[]));
    let actions: usize = role.statements.iter().map(|statement| statement.actions.len()).sum();
    assert_eq!(actions, 3);
}

#[test]
fn secrets_are_read_only_by_name() {
    let template = template();
    assert_eq!(template["Parameters"]["AllowedSecrets"]["Default"], "");
    assert!(!template["Parameters"]["AllowedSecrets"]["AllowedPattern"].as_str().unwrap().contains("\\*"));
    let secrets = &template["Resources"]["WorkerSecrets"];
    assert_eq!(secrets["Condition"], "HasSecrets", "none named, none readable");
    assert_eq!(secrets["Properties"]["Roles"], json!([{ "Ref": "WorkerRole" }]));
    let statements = list(&secrets["Properties"]["PolicyDocument"]["Statement"]);
    assert_eq!(statements.len(), 1);
    assert_eq!(statements[0]["Resource"], json!({ "Fn::Split": [",", { "Ref": "AllowedSecrets" }] }));
    assert_eq!(
        statements[0]["Action"],
        json!(["kms:Decrypt", "secretsmanager:GetSecretValue", "ssm:GetParameter"])
    );
}

#[test]
fn nothing_may_be_attacked_unless_it_is_named() {
    assert_eq!(template()["Parameters"]["AllowedHosts"]["Default"], "");
}

#[test]
fn roles_are_taken_on_by_their_service_only() {
    let services = ["lambda", "lambda", "states", "scheduler"];
    for (role, service) in ROLES.into_iter().zip(services) {
        let properties = properties(role);
        assert!(properties["Description"].as_str().unwrap().len() > 40, "{role} says what it is for");
        assert!(properties.get("ManagedPolicyArns").is_none(), "{role} is granted what is written here only");
        let trust = list(&properties["AssumeRolePolicyDocument"]["Statement"]);
        assert_eq!(trust.len(), 1);
        assert_eq!(trust[0]["Principal"], json!({ "Service": format!("{service}.amazonaws.com") }));
        assert_eq!(trust[0]["Action"], "sts:AssumeRole");
        let name = role.trim_end_matches("Role").to_lowercase();
        assert_eq!(resolve(&properties["RoleName"]), format!("{STACK}-{name}-{REGION}"));
    }
    let kinds = template()["Resources"].as_object().unwrap().clone();
    let roles = kinds.values().filter(|resource| resource["Type"] == "AWS::IAM::Role").count();
    let policies = kinds.values().filter(|resource| resource["Type"].as_str().unwrap().contains("Policy"));
    assert_eq!(roles, ROLES.len(), "these tests know every role");
    assert_eq!(policies.count(), 2, "these tests know every policy: that of secrets, and the queue's");
}

#[test]
fn no_role_makes_a_log_group() {
    for role in Role::all() {
        assert!(!role.allows("logs:CreateLogGroup", LOGS, &[]), "{}", role.name);
    }
    let group = properties("LogGroup");
    assert_eq!(resolve(&group["LogGroupName"]), "/deathstar/deathstar");
    assert_eq!(resolve(&group["RetentionInDays"]), "<LogRetentionDays>");
    assert_eq!(resolve(&properties("Controller")["LoggingConfig"]["LogGroup"]), "/deathstar/deathstar");
}

#[test]
fn rows_that_may_go_expire() {
    let table = properties("Table");
    assert_eq!(table["TimeToLiveSpecification"], json!({ "AttributeName": "expires", "Enabled": true }));
    assert_eq!(table["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(table["KeySchema"][0]["AttributeName"], "pk");
    assert_eq!(table["KeySchema"][1]["AttributeName"], "sk");
    assert_eq!(resolve(&table["TableName"]), STACK);
}

#[test]
fn no_event_is_lost_silently() {
    let rule = properties("Ended");
    let pattern = &rule["EventPattern"];
    assert_eq!(pattern["detail"]["status"], json!(["FAILED", "TIMED_OUT", "ABORTED"]));
    assert_eq!(pattern["detail"]["stateMachineArn"], json!([{ "Ref": "StateMachine" }]));
    let target = &rule["Targets"][0];
    assert!(target.get("Input").is_none() && target.get("InputTransformer").is_none(), "the event as it is");
    let janitor = properties("Janitor");
    assert_eq!(janitor["Target"]["Input"], r#"{"task":"Janitor"}"#);
    assert_eq!(resolve(&janitor["GroupName"]), STACK);
    for target in [target, &janitor["Target"]] {
        assert_eq!(resolve(&target["Arn"]), CONTROLLER);
        assert_eq!(resolve(&target["DeadLetterConfig"]["Arn"]), DEAD_LETTERS);
        assert!(target["RetryPolicy"]["MaximumRetryAttempts"].as_u64().unwrap() > 0);
    }
    let events = properties("ControllerEvents");
    assert_eq!(resolve(&events["DestinationConfig"]["OnFailure"]["Destination"]), DEAD_LETTERS);
    assert_eq!(events["MaximumRetryAttempts"], 2);
    // Only the rule may put there what it could not deliver.
    let policy = list(&properties("DeadLettersPolicy")["PolicyDocument"]["Statement"]);
    assert_eq!(policy.len(), 1);
    assert_eq!(policy[0]["Principal"], json!({ "Service": "events.amazonaws.com" }));
    let source = &policy[0]["Condition"]["ArnEquals"]["aws:SourceArn"];
    assert_eq!(resolve(source), "arn:aws:events:eu-west-1:123456789012:rule/deathstar-ended");
    // And only it may invoke the controller from outside.
    assert_eq!(properties("EndedMayInvoke")["SourceArn"], *source);
}

#[test]
fn what_was_left_behind_alarms() {
    let letters = properties("DeadLettersAlarm");
    assert_eq!(resolve(&letters["Dimensions"][0]["Value"]), "deathstar-dead-letters");
    let leaked = properties("LeakedWorkersAlarm");
    let metric = fs::read_to_string(path("../controller/src/aws/entry.rs")).unwrap();
    for (what, word) in [("Namespace", &leaked["Namespace"]), ("Name", &leaked["MetricName"])] {
        assert!(metric.contains(&format!("\"{what}\": {word}")), "the controller writes no such metric");
    }
    // A metric with a dimension is another than the one without.
    let dimension = &leaked["Dimensions"][0];
    assert!(metric.contains(&format!("\"Dimensions\": [[{}]]", dimension["Name"])));
    assert_eq!(resolve(&dimension["Value"]), STACK);
    for alarm in [letters, leaked] {
        assert_eq!(alarm["Threshold"], 0);
        assert_eq!(alarm["ComparisonOperator"], "GreaterThanThreshold");
    }
}

#[test]
fn the_controller_is_told_what_it_reads() {
    let settings = fs::read_to_string(path("../controller/src/aws/settings.rs")).unwrap();
    let (settings, _) = settings.split_once("#[cfg(test)]").unwrap();
    let controller = properties("Controller");
    let told = controller["Environment"]["Variables"].as_object().unwrap();
    for variable in told.keys() {
        assert!(settings.contains(&format!("\"{variable}\"")), "nobody reads {variable}");
    }
    for (_, after) in
        settings.match_indices("needed(\"").map(|(at, found)| settings.split_at(at + found.len()))
    {
        let (variable, _) = after.split_once('"').unwrap();
        assert!(told.contains_key(variable), "{variable} is missing");
    }
    // Its reader wants a unit.
    assert_eq!(resolve(&told["DEATHSTAR_MAX_RATE"]), "<MaxRate>/s");
    assert_eq!(resolve(&told["DEATHSTAR_DEAD_LETTERS"]), DEAD_LETTERS);
    assert_eq!(controller["Timeout"], 900);
    assert_eq!(resolve(&controller["FunctionName"]), "deathstar-controller");
}

#[test]
fn this_reading_of_policies_refuses_what_iam_would() {
    assert!(matches("arn:function:deathstar-w-*", "arn:function:deathstar-w-a-0"));
    assert!(!matches("arn:function:deathstar-w-*", "arn:function:deathstar-controller"));
    assert!(matches("a*c*e", "abcde") && !matches("a*c*e", "abde") && matches("*", ""));
    let condition = json!({ "ForAllValues:StringLike": { "dynamodb:LeadingKeys": ["read#*"] } });
    assert!(holds(&condition, "", &["read#a"]));
    assert!(!holds(&condition, "", &["read#a", "work#a"]));
    assert!(holds(&condition, "", &[]), "a request without keys passes, as it would in AWS");
}
