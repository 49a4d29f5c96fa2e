//! `test`, `check` and `bless`: the project's tests and what CI adds to them.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::launch::built_binary;
use crate::{Failure, cargo, must, no_arguments, package, say, text_of, tools};

/// What every build and test of the whole workspace is asked for. One set of
/// flags, so that nothing is built twice.
const WORKSPACE: [&str; 3] = ["--workspace", "--release", "--locked"];

pub(crate) fn check(arguments: &[String]) -> Result<(), Failure> {
    no_arguments(arguments)?;
    must(cargo().args(["fmt", "--all", "--check"]))?;
    must(cargo().arg("clippy").args(WORKSPACE).args(["--all-targets", "--", "-D", "warnings"]))?;
    must(cargo().arg("doc").args(WORKSPACE).arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings"))?;
    test(&[])
}

pub(crate) fn test(arguments: &[String]) -> Result<(), Failure> {
    run_tests(arguments, None)
}

pub(crate) fn bless(arguments: &[String]) -> Result<(), Failure> {
    run_tests(arguments, Some(("BLESS", "1")))?;
    say("dev: golden files are written; `git diff` shows what has changed");
    Ok(())
}

fn run_tests(arguments: &[String], environment: Option<(&str, &str)>) -> Result<(), Failure> {
    let mut command = ready()?;
    command.arg("--no-fail-fast").args(arguments).envs(environment);
    let (summary, success) = watch(&mut command)?;
    // The very last line, alone: whoever runs this unseen looks for it.
    let _ = writeln!(std::io::stdout(), "{summary}");
    match (success, summary) {
        (true, Summary { passed: 0, failed: 0 }) => Err("no test ran".to_owned()),
        (true, _) => Ok(()),
        (false, _) => Err("there are failures".to_owned()),
    }
}

/// `cargo test`, with all that the tests need installed and built.
pub(crate) fn ready() -> Result<Command, Failure> {
    tools::install()?;
    // With the tests, so that dependencies get the features that `cargo test`
    // would give them, and are built once.
    must(cargo().arg("build").args(WORKSPACE).args(["--bins", "--tests"]))?;
    let mut command = cargo();
    command.arg("test").args(WORKSPACE);
    command.env("DEATHSTAR_BIN", built_binary()?).env("DEATHSTAR_PACKAGES", package::make()?);
    Ok(command)
}

/// Runs `cargo test`, passes on what it prints, and adds up its summaries.
fn watch(command: &mut Command) -> Result<(Summary, bool), Failure> {
    say(&format!("dev: {}", text_of(command)));
    let broken = |error: std::io::Error| format!("cannot follow {}: {error}", "cargo test");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(broken)?;
    let output = child.stdout.take().ok_or("cargo test has no output")?;
    let mut summary = Summary::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(broken)?;
        summary.add(&String::from_utf8_lossy(&line));
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(&line).and_then(|()| out.write_all(b"\n"));
    }
    Ok((summary, child.wait().map_err(broken)?.success()))
}

/// How many tests passed and failed, over all test programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Summary {
    passed: u64,
    failed: u64,
}

impl Summary {
    /// Adds a line of `cargo test` when it is the summary of a test program:
    /// `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.trim_start().strip_prefix("test result:") else { return };
        let words: Vec<&str> = counts.split_whitespace().collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed;" => self.passed += count,
                "failed;" => self.failed += count,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_all_test_programs_are_added_up() {
        let mut summary = Summary::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test says_5 passed; ... ok",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.2s",
        ] {
            summary.add(line);
        }
        assert_eq!(summary, Summary { passed: 13, failed: 2 });
        assert_eq!(summary.to_string(), "13 passed, 2 failed");
    }
}
