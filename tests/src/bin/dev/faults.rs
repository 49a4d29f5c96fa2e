//! `faults`: many runs on the emulator, each under a fault that a seed picks.
//!
//! Afterwards no worker function and no switch may be left, and nothing may have
//! been sent twice. `cargo dev test` runs a few of the seeds; this, all of those
//! whose table is in `tests/measured/faults.txt`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::memory::where_and_when;
use crate::{Failure, clock, no_arguments, say, suite, text_of};

/// The seeds that are run.
const SEEDS: &str = "1-50";
/// The test that runs them.
const TEST: &str = "whatever_goes_wrong_nothing_is_left_and_nothing_is_sent_twice";

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    no_arguments(arguments)?;
    let mut command = suite::ready()?;
    command.args(["--test", "emulator", TEST, "--", "--nocapture", "--test-threads=2"]);
    command.env("DEATHSTAR_FAULT_SEEDS", SEEDS);
    let started = clock::monotonic();
    let (mut rows, success) = table(&mut command, |line| seed_of(line).is_some())?;
    rows.sort_by_key(|row| seed_of(row));
    println!("\nRuns under a fault, seeds {SEEDS}, on {}\n", where_and_when());
    println!(
        "| seed | fault | how it ended | clean after s | cleaned by | functions left | schedules left |"
    );
    println!("|---:|---|---|---:|---|---:|---:|");
    rows.iter().for_each(|row| println!("{row}"));
    let wrong = rows.iter().filter(|row| row.contains(WRONG)).count();
    println!("\n{} runs in {} s; {wrong} of them wrong.", rows.len(), started.elapsed().as_secs());
    if success { Ok(()) } else { Err("there are failures".to_owned()) }
}

/// What the test says of a run that did what it must not.
const WRONG: &str = "WRONG:";

/// Runs tests that print a table; its rows, and whether they passed. What they
/// print is said as it comes, too: it takes minutes.
pub(crate) fn table(
    command: &mut Command,
    is_row: impl Fn(&str) -> bool,
) -> Result<(Vec<String>, bool), Failure> {
    say(&format!("dev: {}", text_of(command)));
    let broken = |error: std::io::Error| format!("cannot follow the tests: {error}");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(broken)?;
    let output = child.stdout.take().ok_or("cargo test has no output")?;
    let mut rows = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(broken)?;
        say(&line);
        if is_row(&line) {
            rows.push(line);
        }
    }
    Ok((rows, child.wait().map_err(broken)?.success()))
}

/// The seed that a row begins with: `| 7 | …`.
fn seed_of(line: &str) -> Option<u64> {
    line.strip_prefix("| ")?.split_once(" |")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_from_all_else_that_a_test_prints() {
        assert_eq!(seed_of("| 7 | controller killed in Plan | FAILED | 3 | itself | 0 | 0 |"), Some(7));
        for line in ["|---:|---|", "| seed | fault |", "test result: ok. 1 passed", ""] {
            assert_eq!(seed_of(line), None);
        }
    }
}
