//! `truth`: searches, verdicts on resources and bursts, many times over, on targets
//! whose truth is known.
//!
//! `cargo dev test` runs each once; this, as often as the table in
//! `tests/measured/truth.txt` says.

use crate::memory::where_and_when;
use crate::{Failure, clock, faults, suite};

/// The tests that are repeated, and how often.
const TESTS: [(&str, u32); 4] =
    [("truth::capacity", 10), ("truth::resources", 20), ("truth::nginx", 20), ("truth::bursts", 10)];

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let asked: Vec<(&str, u32)> = match arguments {
        [] => TESTS.to_vec(),
        names => {
            let of = |name: &String| {
                let known = TESTS.iter().find(|(test, _)| test.rsplit("::").next() == Some(name));
                known.copied().ok_or_else(|| {
                    format!("there is no {name:?}; there are capacity, resources, nginx and bursts")
                })
            };
            names.iter().map(of).collect::<Result<_, _>>()?
        }
    };
    let started = clock::monotonic();
    let mut rows = Vec::new();
    let mut passed = true;
    for (test, times) in asked {
        let mut command = suite::ready()?;
        command.args(["--test", "end_to_end", test, "--", "--nocapture", "--test-threads=1"]);
        command.env("DEATHSTAR_TRUTH", times.to_string());
        let (found, success) = faults::table(&mut command, is_row)?;
        rows.extend(found);
        passed &= success;
    }
    println!("\nWhat was concluded of targets whose truth is known, on {}\n", where_and_when());
    println!("| target | run | what was concluded | |\n|---|---:|---|---|");
    rows.iter().for_each(|row| println!("{row}"));
    let wrong = rows.iter().filter(|row| row.ends_with(WRONG)).count();
    println!("\n{} runs in {} s; {wrong} of them wrong.", rows.len(), started.elapsed().as_secs());
    if passed { Ok(()) } else { Err("there are failures".to_owned()) }
}

/// How a row ends whose run concluded what is not so.
const WRONG: &str = "| WRONG |";

fn is_row(line: &str) -> bool {
    line.starts_with("| ") && (line.ends_with("| right |") || line.ends_with(WRONG))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_from_all_else_that_a_test_prints() {
        assert!(is_row("| idle | 1 | none_binds | right |") && is_row("| idle | 1 | binds | WRONG |"));
        for line in ["test truth::capacity::a ... ok", "|---|---:|---|---|", "| target | run | what | |", ""]
        {
            assert!(!is_row(line), "{line}");
        }
    }
}
