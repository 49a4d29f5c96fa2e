//! Runs a program on a core of its own, and says what it cost.
//!
//! CPU time and peak memory are what the kernel says of the ended process, by way
//! of GNU time: `unsafe` is forbidden here, and the standard library has no
//! `wait4`. Its CPU times have two decimals, so a run of some seconds is known to
//! a percent or better. Only their sum is used: how it splits into user and system
//! time is sampled by ticks.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Failure;
use crate::launch::{Folder, Process};

/// Where targets run.
pub(super) const TARGET_CORE: &str = "0";
/// Where generators run.
pub(super) const GENERATOR_CORE: &str = "1";

/// How long a generator may take beyond what it was asked for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program and what it is given.
#[derive(Debug, Clone)]
pub(super) struct Job {
    words: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What a program did, and at what cost.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ended {
    /// User and system time.
    pub(super) cpu: Duration,
    /// The most memory that was resident, in KiB.
    pub(super) peak_kib: u64,
    /// Its standard output, then what it said beside it.
    pub(super) output: String,
}

impl Job {
    pub(super) fn new(program: &Path) -> Self {
        Self { words: vec![program.display().to_string()], environment: Vec::new() }
    }

    pub(super) fn args(mut self, arguments: &[&str]) -> Self {
        self.words.extend(arguments.iter().map(ToString::to_string));
        self
    }

    pub(super) fn env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.environment.push((name.to_owned(), value.as_ref().display().to_string()));
        self
    }

    /// Lets it open so many files: a number, or what `ulimit` may be told.
    pub(super) fn open_files(mut self, limit: &str) -> Self {
        let shell = ["sh", "-c", &format!("ulimit -n {limit} && exec \"$@\""), "sh"];
        self.words.splice(0..0, shell.iter().map(ToString::to_string));
        self
    }

    /// Starts it on a core. Its standard output goes to a file, if one is named.
    pub(super) fn start(&self, core: &str, output: Option<&Path>) -> Result<Process, Failure> {
        let broken = |error: std::io::Error| format!("cannot keep the words of {}: {error}", self.words[0]);
        let output = output.map(File::create).transpose().map_err(broken)?;
        let mut command = self.command(&["taskset", "-c", core]);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command.stdout(output.map_or_else(Stdio::null, Stdio::from));
        command.spawn().map(Process).map_err(|error| format!("cannot start {}: {error}", self.words[0]))
    }

    /// Starts a target of ours on the targets' core; its base URL.
    pub(super) fn listen(&self) -> Result<(Process, String), Failure> {
        crate::launch::listening(&mut self.command(&["taskset", "-c", TARGET_CORE]))
    }

    /// Runs it on the generators' core to its end, which comes after about `takes`.
    pub(super) fn run(&self, folder: &Folder, takes: Duration) -> Result<Ended, Failure> {
        let cost = folder.path().join("cost.txt");
        let cost_name = cost.display().to_string();
        let limit = (takes + PATIENCE).as_secs().to_string();
        let within = ["timeout", "--kill-after=5", &limit];
        let pinned = ["taskset", "-c", GENERATOR_CORE];
        let timed = ["time", "--quiet", "-o", &cost_name, "-f", "%U %S %M"];
        let mut command = self.command(&[&within[..], &pinned, &timed].concat());
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot start {}: {error}", self.words[0]))?;
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let end: Vec<&str> = said.lines().rev().take(5).collect();
            let end: Vec<&str> = end.into_iter().rev().collect();
            return Err(format!("{} ended with {}: {}", self.words[0], output.status, end.join(" / ")));
        }
        let text = std::fs::read_to_string(&cost)
            .map_err(|error| format!("cannot read what {} cost: {error}", self.words[0]))?;
        let (cpu, peak_kib) = cost_of(&text).ok_or_else(|| format!("GNU time said {text:?}"))?;
        Ok(Ended { cpu, peak_kib, output: said })
    }

    fn command(&self, before: &[&str]) -> Command {
        let mut words = before.iter().map(OsStr::new).chain(self.words.iter().map(OsStr::new));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// CPU time and peak memory from `%U %S %M` of GNU time.
fn cost_of(text: &str) -> Option<(Duration, u64)> {
    let words: Vec<&str> = text.lines().last()?.split_whitespace().collect();
    let [user, system, peak] = words[..] else { return None };
    let seconds = user.parse::<f64>().ok()? + system.parse::<f64>().ok()?;
    Some((Duration::try_from_secs_f64(seconds).ok()?, peak.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        assert_eq!(cost_of("0.45 3.80 5120\n"), Some((Duration::from_millis(4250), 5120)));
        assert_eq!(cost_of(""), None);
        assert_eq!(cost_of("0.45 3.80\n"), None);
        assert_eq!(cost_of("-1 0 5\n"), None);
    }

    #[test]
    fn a_limit_on_files_comes_before_the_program() {
        let job = Job::new(Path::new("wrk")).args(&["-c", "5000"]).open_files("192");
        assert_eq!(job.words, ["sh", "-c", "ulimit -n 192 && exec \"$@\"", "sh", "wrk", "-c", "5000"]);
    }
}
