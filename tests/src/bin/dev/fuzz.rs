//! `fuzz`: the property of the worker's tests that reads changed responses, for
//! longer than a test may take.
//!
//! It runs on the toolchain of the project, where cargo-fuzz would need another one.

use crate::{Failure, cargo, must};

/// How long, in seconds, when nobody says.
const SECONDS: u64 = 60;

/// The test that looks at `DEATHSTAR_FUZZ_SECONDS`.
const TEST: &str = "split::responses_of_the_corpus_read_the_same_however_they_are_changed_and_split";

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let seconds = match arguments {
        [] => SECONDS,
        [seconds] => seconds.parse().map_err(|_| format!("{seconds:?} is no number of seconds"))?,
        [_, second, ..] => return Err(format!("this task takes one argument, and there is {second:?}")),
    };
    let mut command = cargo();
    command.args(["test", "--release", "--locked", "--package", "deathstar-worker", "--no-default-features"]);
    command.args(["--test", "conformance", "--", "--exact", TEST, "--nocapture"]);
    must(command.env("DEATHSTAR_FUZZ_SECONDS", seconds.to_string()))
}
