//! What these tests work with: the real binary in a home of its own, a target,
//! and a look into the run's table behind the program's back.

use std::fmt::Display;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use deathstar::target::{TargetArgs, TargetConfig, ThreadTarget, spawn_on_thread};
use rusqlite::{Connection, OpenFlags};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// When a test stops waiting for what must come: far beyond what anything here
/// takes, even on a machine with other work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test: the one that `cargo dev test` built, or one of our own.
pub(crate) fn deathstar() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("DEATHSTAR_BIN") {
            return path.into();
        }
        // Next to this test's own folder: target/PROFILE/deps.
        let this = std::env::current_exe().unwrap();
        let profile = this.parent().unwrap().parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--package", "deathstar", "--bin", "deathstar"]);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "the binary cannot be built");
        profile.join("deathstar")
    })
}

/// A data directory of its own.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A config file in it.
    pub(crate) fn config(&self, text: &str) -> PathBuf {
        let path = self.path().join("config.yaml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `deathstar …` in this home, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(deathstar());
        command.args(arguments).env("DEATHSTAR_HOME", self.path()).stdin(Stdio::null());
        command
    }

    /// `deathstar …`, run to its end.
    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// `deathstar run CONFIG` as run `id`, started.
    pub(crate) fn start(&self, id: &str, config: &str) -> Run {
        let config = self.config(config);
        let mut command = self.command(&["run", "--output", "json", "--id", id]);
        command.arg(config).stdout(Stdio::piped()).stderr(Stdio::piped());
        Run(command.spawn().unwrap())
    }

    /// What the list says of a run.
    pub(crate) fn state(&self, id: &str) -> String {
        let list = json(&self.call(&["list", "--output", "json"]));
        let row = list.as_array().unwrap().iter().find(|row| row["run"] == id);
        row.map_or_else(|| "not listed".to_owned(), |row| row["state"].as_str().unwrap().to_owned())
    }

    /// One value from the run's table; none while there is no such row.
    pub(crate) fn query<T: rusqlite::types::FromSql>(&self, sql: &str) -> Option<T> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = Connection::open_with_flags(self.path().join("runs.db"), flags).ok()?;
        connection.busy_timeout(PATIENCE).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).ok()
    }

    /// The ledger was written, and all in it is gone.
    pub(crate) fn assert_nothing_is_left(&self) {
        let all: i64 = self.query("SELECT count(*) FROM ledger").unwrap();
        let deleted: i64 = self.query("SELECT count(*) FROM ledger WHERE state = 'deleted'").unwrap();
        assert!(all > 0, "the ledger is empty");
        assert_eq!(deleted, all, "what the ledger says is gone");
    }
}

/// A run under way; killed when a test gives up on it.
pub(crate) struct Run(Child);

impl Run {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(process, signal).unwrap();
    }

    /// Reads standard error up to a line with `text` in it.
    pub(crate) fn wait_for_words(&mut self, text: &str) -> String {
        let mut seen = String::new();
        let mut stderr = BufReader::new(self.0.stderr.take().unwrap());
        while !seen.contains(text) {
            let read = stderr.read_line(&mut seen).unwrap();
            assert!(read > 0, "standard error ended without {text:?}:\n{seen}");
        }
        // The rest is read with the output.
        self.0.stderr = Some(stderr.into_inner());
        seen
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for its end, not for ever, and takes what it printed.
    pub(crate) fn end(mut self) -> Output {
        until("the run has ended", || self.has_ended());
        let read = |from: &mut dyn std::io::Read| {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).unwrap();
            bytes
        };
        let stdout = self.0.stdout.take().map(|mut from| read(&mut from)).unwrap_or_default();
        let stderr = self.0.stderr.take().map(|mut from| read(&mut from)).unwrap_or_default();
        Output { status: self.0.wait().unwrap(), stdout, stderr }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks every few milliseconds until something is so.
pub(crate) fn until(what: impl Display, mut is_so: impl FnMut() -> bool) {
    const PAUSE: Duration = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    while !is_so() {
        assert!(waited < PATIENCE, "still not so after {waited:?}: {what}");
        std::thread::sleep(PAUSE);
        waited += PAUSE;
    }
}

/// A target that answers after `service`, on a thread of its own.
pub(crate) fn target(service: Duration) -> ThreadTarget {
    let args = TargetArgs { service, servers: 1000, ..TargetArgs::default() };
    spawn_on_thread(TargetConfig::try_from(args).unwrap()).unwrap()
}

/// One attack at a constant rate, by two workers.
pub(crate) fn constant(target: &ThreadTarget, rate: u32, seconds: u32) -> String {
    format!(
        "name: fault\nworkers: 2\nattacks:\n  - name: home\n    url: http://{}/\n    rate: {rate}/s\n    duration: {seconds}s\nslo:\n  - errors < 1%\n",
        target.address()
    )
}

/// Standard output, as the JSON that it must be.
pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error} in {:?}; {}", String::from_utf8_lossy(&output.stdout), stderr(output))
    })
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A report's counts of requests, which always add up.
#[derive(Debug)]
pub(crate) struct Arrivals {
    pub(crate) scheduled: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) timed_out: u64,
    pub(crate) dropped: u64,
    pub(crate) lost: u64,
}

impl Arrivals {
    /// Those of the first attack; asserts that every request ended in one way.
    pub(crate) fn of(report: &Value) -> Self {
        let count = |name: &str| report["attacks"][0]["arrivals"][name].as_u64().unwrap();
        let arrivals = Self {
            scheduled: count("scheduled"),
            completed: count("completed"),
            failed: count("failed"),
            timed_out: count("timed_out"),
            dropped: count("dropped"),
            lost: count("lost"),
        };
        let ended = arrivals.sent() + arrivals.dropped + arrivals.lost;
        assert_eq!(arrivals.scheduled, ended, "{arrivals:?}");
        arrivals
    }

    /// Requests that left.
    pub(crate) fn sent(&self) -> u64 {
        self.completed + self.failed + self.timed_out
    }
}

/// A report's reasons, in one text.
pub(crate) fn reasons(report: &Value) -> String {
    report["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| reason.as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}
