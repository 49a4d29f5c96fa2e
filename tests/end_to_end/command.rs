//! Runs the binary, each time in a home of its own, and checks what it leaves
//! behind.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

use crate::clock;
use crate::report::Report;

/// The binary: `DEATHSTAR_BIN`, or the one of this profile, built once.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("DEATHSTAR_BIN") {
            return path.into();
        }
        // This test is TARGET/PROFILE/deps/end_to_end-….
        let test = std::env::current_exe().unwrap();
        let folder = test.parent().and_then(Path::parent).expect("a test executable lies in deps");
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "deathstar", "--profile", profile, "--target-dir"]);
        build.arg(folder.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(build.status().unwrap().success(), "the binary cannot be built");
        folder.join("deathstar")
    })
}

/// How many of the binary may run at once. More would only disturb each other.
const AT_ONCE: u32 = 3;

/// Leave to run, for one or for as many as may; given back when dropped.
#[derive(Debug)]
struct Permit(u32);

/// Held while waiting, so that whoever wants to run alone is not overtaken.
static NEXT: Mutex<()> = Mutex::new(());
static RUNNING: Mutex<u32> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

impl Permit {
    fn wait() -> Self {
        Self::wait_for(1)
    }

    /// For a run whose times are compared with a computation.
    fn alone() -> Self {
        Self::wait_for(AT_ONCE)
    }

    fn wait_for(places: u32) -> Self {
        let _next = NEXT.lock().unwrap();
        let taken = RUNNING.lock().unwrap();
        let mut running = ENDED.wait_while(taken, |running| *running + places > AT_ONCE).unwrap();
        *running += places;
        Self(places)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap() -= self.0;
        ENDED.notify_all();
    }
}

/// A data directory, and a folder for configs, that go when dropped.
#[derive(Debug)]
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// The data directory. It does not exist before something is run.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file beside the configs.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs a config to its end; the report comes as JSON.
    pub(crate) fn run(&self, config: &str) -> Output {
        self.run_with(config, &[])
    }

    /// The same with more arguments.
    pub(crate) fn run_with(&self, config: &str, args: &[&str]) -> Output {
        self.start_run(config, args).wait()
    }

    /// Runs a config while no other run disturbs its times. The config is made
    /// once it may run, with the target that it names.
    pub(crate) fn run_alone(&self, config: impl FnOnce() -> String) -> Output {
        let permit = Permit::alone();
        Running::start(self.run_command(&config(), &[]), permit).wait()
    }

    /// The same, of a run that may use some of the processors only.
    pub(crate) fn run_alone_on(&self, processors: &str, config: impl FnOnce() -> String) -> Output {
        let permit = Permit::alone();
        let run = self.run_command(&config(), &[]);
        let running = Running::start(on(processors, &run), permit);
        running.wait_within(clock::DEADLINE * 5)
    }

    /// Starts a run; more than one may be under way.
    pub(crate) fn start_run(&self, config: &str, args: &[&str]) -> Running {
        Running::start(self.run_command(config, args), Permit::wait())
    }

    fn run_command(&self, config: &str, args: &[&str]) -> Command {
        static NUMBER: Mutex<u32> = Mutex::new(0);
        let number = {
            let mut number = NUMBER.lock().unwrap();
            *number += 1;
            *number
        };
        let config = self.file(&format!("config-{number}.yaml"), config);
        let config = config.to_str().unwrap();
        let args: Vec<&str> = ["run", config, "--output", "json"].iter().chain(args).copied().collect();
        self.command(&args)
    }

    /// Runs a command to its end.
    pub(crate) fn deathstar(&self, args: &[&str]) -> Output {
        self.start(args).wait()
    }

    /// Starts a command.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(args), Permit::wait())
    }

    /// Runs a command beside those that hold a permit: for one that looks at a
    /// run under way.
    pub(crate) fn beside(&self, args: &[&str]) -> Output {
        Running::start(self.command(args), None).wait()
    }

    /// A command in this home, with nothing of the environment that matters.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).env("DEATHSTAR_HOME", self.data()).current_dir(self.folder.path());
        for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            // Must not be obeyed; set, to see that.
            command.env(proxy, "http://127.0.0.1:9");
        }
        command
    }

    /// The run table, looked at without our own code.
    pub(crate) fn table(&self) -> Connection {
        Connection::open_with_flags(self.data().join("runs.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
    }

    /// Nothing is left of runs but their results: no lock, no worker function,
    /// no window.
    ///
    /// # Panics
    /// When something is.
    pub(crate) fn assert_nothing_left(&self) {
        let locks: Vec<_> = fs::read_dir(self.data().join("running")).unwrap().collect();
        assert!(locks.is_empty(), "locks are left: {locks:?}");
        let table = self.table();
        let count = |sql: &str| table.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(
            count("SELECT count(*) FROM runs WHERE over = 0 OR report IS NULL"),
            0,
            "a run is not over"
        );
        assert_eq!(count("SELECT count(*) FROM ledger WHERE state <> 'deleted'"), 0, "a function is left");
        assert!(count("SELECT count(*) FROM ledger") > 0, "what was made is in the ledger");
        assert_eq!(count("SELECT count(*) FROM windows"), 0, "windows are left");
    }
}

/// The same command, on some of the processors only.
pub(crate) fn on(processors: &str, command: &Command) -> Command {
    let mut taskset = Command::new("taskset");
    taskset.args(["--cpu-list", processors]).arg(command.get_program()).args(command.get_args());
    taskset.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        taskset.current_dir(folder);
    }
    taskset
}

/// A command under way. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    /// The most memory it was seen to use, in bytes.
    peak_memory: u64,
    _permit: Option<Permit>,
}

impl Running {
    fn start(mut command: Command, permit: impl Into<Option<Permit>>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().map(read_all);
        let stderr = child.stderr.take().map(read_all);
        Self { child, stdout, stderr, peak_memory: 0, _permit: permit.into() }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes longer than anything here may.
    pub(crate) fn wait(self) -> Output {
        self.wait_within(clock::DEADLINE)
    }

    /// The same, of one that may take longer.
    fn wait_within(mut self, deadline: Duration) -> Output {
        let status = clock::wait_within(deadline, "a command to end", || {
            self.peak_memory = self.peak_memory.max(peak_memory(self.child.id()).unwrap_or(0));
            self.child.try_wait().unwrap()
        });
        let text = |reader: Option<JoinHandle<Vec<u8>>>| {
            String::from_utf8(reader.unwrap().join().unwrap()).expect("output is UTF-8")
        };
        let (stdout, stderr) = (text(self.stdout.take()), text(self.stderr.take()));
        assert!(!stderr.contains("panicked"), "it panicked:\n{stderr}");
        let report = serde_json::from_str::<Value>(&stdout).ok().and_then(Report::checked);
        Output { code: status.code(), stdout, stderr, report, peak_memory: self.peak_memory }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already, unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is what there is.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// The most memory that a process has held so far, where the system tells.
fn peak_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    /// Nothing when a signal killed it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    report: Option<Report>,
    /// In bytes.
    pub(crate) peak_memory: u64,
}

impl Output {
    /// Ends as `code` says.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard error says each of `texts`.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub(crate) fn says(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is not in\n{}", self.stderr);
        }
        self
    }

    /// The report on standard output.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub(crate) fn report(&self) -> &Report {
        let report = self.report.as_ref();
        report.unwrap_or_else(|| panic!("no report:\n{}\n{}", self.stdout, self.stderr))
    }
}
