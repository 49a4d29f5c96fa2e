//! A secret that a config refers to: it arrives at the target, and is nowhere
//! else.

use serde_json::{Value, json};

use crate::cloud::{Cloud, words};
use crate::listener::{Got, Listener};

/// What is planted, in a parameter and in a secret. Nothing else is called so.
const PARAMETER: &str = "Hoth-7f3a9c";
const SECRET: &str = "Endor-51d20b";
/// No header can have it: the newline would end it.
const NO_HEADER: &str = "Dagobah-88ce41\nand more";

/// Everything that an account shows of its runs.
fn shown(cloud: &Cloud<'_>, runs: &[&str]) -> String {
    let account = cloud.account();
    let mut text: String = cloud.rows().iter().map(Value::to_string).collect();
    let groups = account.ask("Logs_20140328.DescribeLogGroups", "{}");
    let groups = groups["logGroups"].as_array().unwrap();
    assert!(groups.iter().any(|group| group["logGroupName"] == "/deathstar/deathstar"), "{groups:?}");
    for group in groups {
        let filter = json!({ "logGroupName": group["logGroupName"], "limit": 10000 });
        let found = account.ask("Logs_20140328.FilterLogEvents", &filter.to_string());
        text += &found.to_string();
    }
    for run in runs {
        let execution = json!({ "executionArn": cloud.execution(run), "maxResults": 1000 }).to_string();
        for operation in ["DescribeExecution", "GetExecutionHistory"] {
            text += &account.ask(&format!("AWSStepFunctions.{operation}"), &execution).to_string();
        }
        for arguments in [
            &["results", run, "--on", "aws"][..],
            &["results", run, "--on", "aws", "--output", "json"],
            &["watch", run],
            &["list", "--on", "aws"],
            &["leaks"],
        ] {
            text += &words(&cloud.call(arguments));
        }
    }
    text
}

#[test]
fn a_secret_arrives_at_the_target_and_is_nowhere_else() {
    let cloud = Cloud::with(&[
        "--allow-secret",
        "ssm:/shop/token,ssm:/shop/bad",
        "--allow-secret",
        // The emulator does not ask whether workers may; the template's policy
        // is looked at elsewhere.
        "secretsmanager:arn:aws:secretsmanager:us-east-1:123456789012:secret:shop-abcdef",
    ]);
    let account = cloud.account();
    for (name, value) in [("/shop/token", PARAMETER), ("/shop/bad", NO_HEADER)] {
        let parameter = json!({ "Name": name, "Value": value, "Type": "SecureString" });
        account.ask("AmazonSSM.PutParameter", &parameter.to_string());
    }
    let secret = json!({ "Name": "shop", "SecretString": json!({ "token": SECRET }).to_string() });
    account.ask("secretsmanager.CreateSecret", &secret.to_string());
    let target = Listener::start();
    let config = format!(
        "name: secrets
workers: 2
attacks:
  - name: orders
    rate: 5/s
    duration: 6s
    timeout: 5s
    url: http://{}/
    method: POST
    headers: {{ authorization: 'Bearer ${{secret:ssm:/shop/token}}' }}
    body: 'token=${{secret:secretsmanager:shop#token}}'
",
        target.address()
    );
    let path = cloud.config("secrets", &config);
    let mut said = String::new();
    for arguments in [&["plan", &path, "--on", "aws"][..], &["run", &path, "--on", "aws", "--id", "kept"]] {
        let output = cloud.call(arguments);
        said += &words(&output);
        assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    }
    let got = target.got();
    assert_eq!(got.len(), 30);
    for Got { authorization, body, .. } in &got {
        assert_eq!((authorization.as_str(), body.as_str()), ("Bearer Hoth-7f3a9c", "token=Endor-51d20b"));
    }

    // What cannot be sent is not told either.
    let bad = config.replace("/shop/token", "/shop/bad");
    cloud.submit("bad", &bad);
    cloud.ended("bad");
    let output = cloud.call(&["results", "bad", "--on", "aws", "--wait"]);
    said += &words(&output);
    assert!(matches!(output.status.code(), Some(1..)), "{said}");
    let why = "no worker could send: attacks[0].headers.authorization: the value of ${secret:ssm:/shop/bad} holds a line break";
    assert!(said.contains(why), "{said}");
    assert_eq!(target.got().len(), 30, "nothing was sent");

    said += &shown(&cloud, &["kept", "bad"]);
    assert!(said.contains("${secret:ssm:/shop/token}"), "the reference itself is kept");
    for planted in [PARAMETER, SECRET, "Dagobah-88ce41"] {
        assert!(!said.contains(planted), "{planted} is shown");
    }
    cloud.is_clean();
}
