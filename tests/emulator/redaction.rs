//! A secret that a config refers to: it arrives at the target, and is nowhere
//! else.

use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::cloud::{Cloud, words};
use crate::message::Message;

/// What is planted, in a parameter and in a secret. Nothing else is called so.
const PARAMETER: &str = "Hoth-7f3a9c";
const SECRET: &str = "Endor-51d20b";
/// No header can have it: the newline would end it.
const NO_HEADER: &str = "Dagobah-88ce41\nand more";

/// A target that keeps what it gets. It ends with the process.
struct Recorder {
    address: SocketAddr,
    got: Arc<Mutex<Vec<(String, String)>>>,
}

impl Recorder {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::<Mutex<Vec<_>>>::default();
        let kept = Arc::clone(&got);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                // Whoever leaves ends its thread.
                thread::spawn(move || drop(serve(&stream, &kept)));
            }
        });
        Self { address, got }
    }
}

/// Keeps the header and the body of every request.
fn serve(stream: &TcpStream, kept: &Mutex<Vec<(String, String)>>) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    while let Some(request) = Message::read_request(&mut reader, &mut writer)? {
        let header = request.header("authorization").unwrap_or_default().to_owned();
        kept.lock().unwrap().push((header, request.text()));
        Message::new("HTTP/1.1 200 OK", &[], b"").write(&mut writer)?;
    }
    Ok(())
}

/// Everything that an account shows of its runs.
fn shown(cloud: &Cloud, runs: &[&str]) -> String {
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
    let target = Recorder::start();
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
        target.address
    );
    let path = cloud.config("secrets", &config);
    let mut said = String::new();
    for arguments in [&["plan", &path, "--on", "aws"][..], &["run", &path, "--on", "aws", "--id", "kept"]] {
        let output = cloud.call(arguments);
        said += &words(&output);
        assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    }
    let got = target.got.lock().unwrap().clone();
    assert_eq!(got.len(), 30);
    for (header, body) in &got {
        assert_eq!((header.as_str(), body.as_str()), ("Bearer Hoth-7f3a9c", "token=Endor-51d20b"));
    }

    // What cannot be sent is not told either.
    let bad = config.replace("/shop/token", "/shop/bad");
    cloud.submit("bad", &bad);
    cloud.ended("bad");
    let output = cloud.call(&["results", "bad", "--on", "aws", "--wait"]);
    said += &words(&output);
    assert!(matches!(output.status.code(), Some(1..)), "{said}");
    assert_eq!(target.got.lock().unwrap().len(), 30, "nothing was sent");

    said += &shown(&cloud, &["kept", "bad"]);
    assert!(said.contains("${secret:ssm:/shop/token}"), "the reference itself is kept");
    for planted in [PARAMETER, SECRET, "Dagobah-88ce41"] {
        assert!(!said.contains(planted), "{planted} is shown");
    }
    cloud.is_clean();
}
