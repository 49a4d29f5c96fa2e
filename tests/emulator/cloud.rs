//! DeathStar, installed in an account of its own by its own command.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use deathstar::target::{TargetArgs, TargetConfig, ThreadTarget, spawn_on_thread};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::account::Account;
use crate::clock;
use crate::ministack::Ministack;

/// How the stack is parametrised, so that tests need not wait.
const QUICK: [&str; 12] = [
    "--allow",
    "127.0.0.1",
    "--lead",
    "2s",
    "--checkpoint",
    "1s",
    "--slice",
    "5s",
    "--setup",
    "20s",
    "--grace",
    "1s",
];

/// An account with a stack in it, and a client's home.
#[derive(Debug)]
pub(crate) struct Cloud<'server> {
    account: Account<'server>,
    home: TempDir,
}

/// The programs under test: those that `cargo dev test` built.
pub(crate) fn built(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    // Next to this test's own folder: target/PROFILE/deps.
    this.parent().unwrap().parent().unwrap().join(name)
}

/// A package that `cargo dev test` made.
pub(crate) fn package(name: &str) -> PathBuf {
    packages().join(name)
}

/// The folder of packages: the one that `DEATHSTAR_PACKAGES` names.
fn packages() -> &'static Path {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let folder = std::env::var_os("DEATHSTAR_PACKAGES")
            .map_or_else(|| built("").parent().unwrap().join("packages"), PathBuf::from);
        assert!(
            folder.join("controller.zip").exists(),
            "{} is missing; `cargo dev test` makes it, and then runs this test",
            folder.join("controller.zip").display()
        );
        folder
    })
}

impl Cloud<'static> {
    /// A new account with a new stack in it, in an emulator of its own: when
    /// the emulator makes a function, it ends running ones of that name in every
    /// account, and each stack's controller has the same. The emulator ends with
    /// the tests.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// The same, with more options for its deploy.
    pub(crate) fn with(options: &[&str]) -> Self {
        Self::deployed(Account::on_server(Box::leak(Box::new(Ministack::start(&[])))), options)
    }
}

impl<'server> Cloud<'server> {
    /// A new stack in an account that has none.
    pub(crate) fn in_account(account: Account<'server>) -> Self {
        Self::deployed(account, &[])
    }

    fn deployed(account: Account<'server>, options: &[&str]) -> Self {
        let this = Self { account, home: tempfile::tempdir().unwrap() };
        let folder = packages().to_str().unwrap();
        let deployed = this.call(&[&["deploy", "--packages", folder], QUICK.as_slice(), options].concat());
        assert_eq!(deployed.status.code(), Some(0), "{}", words(&deployed));
        this
    }

    pub(crate) const fn account(&self) -> &Account<'server> {
        &self.account
    }

    /// `deathstar …` as this account, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let binary = std::env::var_os("DEATHSTAR_BIN").map_or_else(|| built("deathstar"), PathBuf::from);
        let mut command = Command::new(binary);
        command.args(arguments).envs(self.account.environment()).env("DEATHSTAR_HOME", self.home.path());
        command.stdin(std::process::Stdio::null());
        command
    }

    /// `deathstar …`, run to its end.
    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The same, and it must end with this exit code; gives what it printed.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub(crate) fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        let log = || tail(&self.account.server().log());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{}\n{}", words(&output), log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// A config file.
    pub(crate) fn config(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(format!("{name}.yaml"));
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Submits a config under a run id.
    #[track_caller]
    pub(crate) fn submit(&self, run: &str, config: &str) {
        let path = self.config(run, config);
        assert_eq!(self.ends(0, &["submit", &path, "--id", run]).trim(), run);
    }

    /// Waits for a run's report.
    #[track_caller]
    pub(crate) fn report(&self, run: &str) -> Value {
        let output = self.call(&["results", run, "--on", "aws", "--wait", "--output", "json"]);
        let parsed = serde_json::from_slice(&output.stdout);
        parsed.unwrap_or_else(|_| {
            panic!("run {run} has no report:\n{}\n{}", words(&output), tail(&self.account.server().log()))
        })
    }

    /// The state of a run's execution.
    pub(crate) fn status(&self, run: &str) -> String {
        let arn = self.execution(run);
        let told = self
            .account
            .ask("AWSStepFunctions.DescribeExecution", &json!({ "executionArn": arn }).to_string());
        told["status"].as_str().unwrap().to_owned()
    }

    pub(crate) fn execution(&self, run: &str) -> String {
        format!("arn:aws:states:{}:{}:execution:deathstar:{run}", crate::ministack::REGION, self.account.id())
    }

    /// Waits until a run's execution has ended; says how.
    pub(crate) fn ended(&self, run: &str) -> String {
        clock::wait_for("the execution to end", || {
            Some(self.status(run)).filter(|status| status != "RUNNING")
        })
    }

    /// Invokes the controller.
    pub(crate) fn invoke(&self, function: &str, payload: &Value) -> Value {
        let first = format!("POST /2015-03-31/functions/{function}/invocations");
        let request = self.account.request(
            &first,
            &[("content-type", "application/json")],
            payload.to_string().as_bytes(),
        );
        let answer = self.account.send(&request).unwrap();
        serde_json::from_slice(answer.body()).unwrap_or(Value::Null)
    }

    /// The worker functions that there are, by name.
    pub(crate) fn functions(&self) -> Vec<String> {
        let answer =
            self.account.send(&self.account.request("GET /2015-03-31/functions/", &[], b"")).unwrap();
        let listed: Value = serde_json::from_slice(answer.body()).unwrap();
        let names = listed["Functions"].as_array().unwrap().iter();
        let names = names.map(|function| function["FunctionName"].as_str().unwrap().to_owned());
        names.filter(|name| name.starts_with("deathstar-w-")).collect()
    }

    /// The dead-man's switches that there are, by name.
    pub(crate) fn switches(&self) -> Vec<String> {
        let request =
            self.account.request("GET /schedules?ScheduleGroup=deathstar&NamePrefix=run-", &[], b"");
        let answer = self.account.send(&request).unwrap();
        let listed: Value = serde_json::from_slice(answer.body()).unwrap();
        let names = listed["Schedules"].as_array().unwrap().iter();
        let names = names.map(|schedule| schedule["Name"].as_str().unwrap().to_owned());
        names.filter(|name| name.starts_with("run-")).collect()
    }

    /// Nothing is left of any run, now that all have their reports: the last to go
    /// is a run's switch.
    #[track_caller]
    pub(crate) fn is_clean(&self) {
        assert_eq!(self.functions(), Vec::<String>::new());
        clock::wait_for("the switches to go", || self.switches().is_empty().then_some(()));
        self.ends(0, &["leaks"]);
    }

    /// Every row of the table.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut start = Value::Null;
        loop {
            let mut scan = json!({ "TableName": "deathstar" });
            if !start.is_null() {
                scan["ExclusiveStartKey"] = start;
            }
            let page = self.account.ask("DynamoDB_20120810.Scan", &scan.to_string());
            rows.extend(page["Items"].as_array().unwrap().iter().cloned());
            start = page["LastEvaluatedKey"].clone();
            if start.is_null() {
                return rows;
            }
        }
    }
}

/// What a command said.
pub(crate) fn words(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{:?}\nstdout:\n{}\nstderr:\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// A target that answers within a millisecond and counts.
pub(crate) fn target() -> ThreadTarget {
    let args = TargetArgs { service: Duration::from_millis(1), servers: 1000, ..TargetArgs::default() };
    spawn_on_thread(TargetConfig::try_from(args).unwrap()).unwrap()
}
