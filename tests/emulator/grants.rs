//! What the stack's roles grant is enough for a whole run, where grants are
//! enforced.
//!
//! An emulator that is told to asks of every call whether its caller's role
//! allows it, as AWS does. Two things it cannot know: it judges what is made, a
//! function or a schedule, without its name and tags, and it knows no condition on
//! a row's key; and it takes `PutFunctionEventInvokeConfig` for `UpdateFunctionCode`.
//! What it misjudges is granted by the test; all of it is judged in
//! `client/tests/template.rs`.

use serde_json::Value;

use crate::account::Account;
use crate::cloud::{Cloud, target};
use crate::ministack::Ministack;

/// What the test grants the controller beyond the template.
const WIDER: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["lambda:CreateFunction","lambda:TagResource","lambda:UpdateFunctionCode","scheduler:CreateSchedule","scheduler:DeleteSchedule","scheduler:GetSchedule"],"Resource":"*"}]}"#;

/// Calls IAM, whose requests are forms.
fn iam(cloud: &Cloud<'_>, form: &[(&str, &str)]) -> String {
    let form = form.iter().map(|(name, value)| format!("{name}={}", percent(value)));
    let body = form.collect::<Vec<_>>().join("&");
    let answer = cloud.account().form("iam", &body);
    assert_eq!(answer.status(), Some(200), "{}", answer.text());
    answer.text()
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[test]
fn a_run_needs_no_more_than_its_roles_grant() {
    let server = Ministack::start(&[("AUTH", "true")]);
    let cloud = Cloud::in_account(Account::on_server(&server));
    let listed = iam(&cloud, &[("Action", "ListRoles"), ("Version", "2010-05-08")]);
    let roles = listed.split("<RoleName>").skip(1).filter_map(|rest| rest.split('<').next());
    let controller = roles.filter(|role| role.to_lowercase().contains("controller")).collect::<Vec<_>>();
    assert_eq!(controller.len(), 1, "{listed}");
    let target = target();
    let config = format!(
        "name: granted\nworkers: 2\nattacks:\n  - name: a\n    url: 'http://{}/'\n    rate: 20/s\n    duration: 8s\n    resources: [{{ cloudwatch: {{ namespace: Test, metric: None }}, every: 1s }}]\n",
        target.address()
    );
    // Without it nothing is made: grants are enforced.
    cloud.submit("refused", &config);
    assert_eq!(cloud.ended("refused"), "FAILED");
    let refused = cloud.report("refused");
    let cause = refused["failure"]["Cause"].as_str().unwrap_or_default();
    assert!(cause.contains("not authorized to perform: scheduler:CreateSchedule"), "{refused}");
    assert_eq!(target.counts().received, 0);

    iam(
        &cloud,
        &[
            ("Action", "PutRolePolicy"),
            ("Version", "2010-05-08"),
            ("RoleName", controller[0]),
            ("PolicyName", "wider"),
            ("PolicyDocument", WIDER),
        ],
    );
    cloud.submit("granted", &config);
    let report: Value = cloud.report("granted");
    assert_eq!(report["attacks"][0]["arrivals"]["completed"], 160, "{report}");
    // It was allowed to ask.
    let why = &report["attacks"][0]["resources"][0]["why"];
    assert!(why.as_str().unwrap().contains("CloudWatch has no value"), "{why}");
    assert_eq!(target.counts().received, 160);
    assert_eq!(cloud.ended("granted"), "SUCCEEDED");
    cloud.is_clean();
}
