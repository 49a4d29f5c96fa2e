//! `fuzz`: tries what the worker's framer promises on responses that nobody sent, for
//! longer than a test may take.
//!
//! libFuzzer looks for bytes that lead where none have led before: `worker/fuzz/`,
//! which needs a nightly compiler and is built by nothing else. Where there is none,
//! the worker's tests change the responses of `worker/corpus/` at random. Both try
//! the same laws, which are in `worker/tests/conformance/laws.rs`.
//!
//! An input that breaks one belongs into `worker/corpus/`, once it is small.

use std::fs;
use std::process::Command;

use crate::tools::{answers, crates};
use crate::{Failure, cargo, must, root, say};

/// How long, in seconds, when nobody says.
const SECONDS: u64 = 60;

/// The version of cargo-fuzz that is installed.
const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// The test that looks at `DEATHSTAR_FUZZ_SECONDS`.
const TEST: &str = "split::responses_of_the_corpus_read_the_same_however_they_are_changed_and_split";

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let seconds = match arguments {
        [] => SECONDS,
        [seconds] => seconds
            .parse()
            .ok()
            .filter(|seconds| *seconds > 0)
            .ok_or_else(|| format!("{seconds:?} is no number of seconds"))?,
        [_, second, ..] => return Err(format!("this task takes one argument, and there is {second:?}")),
    };
    match fuzzer() {
        Ok(fuzzer) => must(&mut with_libfuzzer(fuzzer, seconds)?),
        Err(missing) => {
            say(&format!(
                "dev: {missing}; the worker's tests change responses at random instead of libFuzzer"
            ));
            must(&mut with_tests(seconds))
        }
    }
}

/// cargo-fuzz on a nightly compiler, or what is missing for that.
fn fuzzer() -> Result<Command, Failure> {
    let nightly = nightly().ok_or("there is no nightly toolchain")?;
    if !answers("c++") && std::env::var_os("CXX").is_none() {
        return Err("there is no C++ compiler".to_owned());
    }
    crates::install("cargo-fuzz", CARGO_FUZZ_VERSION)?;
    let mut fuzzer = Command::new("rustup");
    // Not `cargo fuzz`, which would look for cargo-fuzz elsewhere.
    fuzzer.args(["run", &nightly]).arg(crates::program("cargo-fuzz"));
    Ok(fuzzer)
}

/// A nightly toolchain that is installed.
fn nightly() -> Option<String> {
    let list = Command::new("rustup").args(["toolchain", "list"]).output().ok()?;
    first_nightly(&String::from_utf8_lossy(&list.stdout))
}

/// The first nightly toolchain in rustup's list, which has one a line, and what else
/// is to say of it behind a blank.
fn first_nightly(list: &str) -> Option<String> {
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    names.map(ToOwned::to_owned).find(|name| name.starts_with("nightly"))
}

/// What libFuzzer finds new, it keeps in `worker/fuzz/corpus/`, and goes on from there
/// next time.
fn with_libfuzzer(mut fuzzer: Command, seconds: u64) -> Result<Command, Failure> {
    let folder = root().join("worker/fuzz");
    let found = folder.join("corpus/framer");
    fs::create_dir_all(&found).map_err(|error| format!("cannot make {}: {error}", found.display()))?;
    fuzzer.current_dir(root()).args(["run", "--fuzz-dir"]).arg(&folder);
    fuzzer.arg("--target-dir").arg(root().join("target/fuzz")).arg("framer");
    fuzzer.args([found, root().join("worker/corpus")]).arg("--").arg(format!("-max_total_time={seconds}"));
    fuzzer.arg(format!("-dict={}", folder.join("framer.dict").display()));
    // Stretched, an input of 1 KiB is 2 MiB at most: what takes 10 seconds hangs.
    fuzzer.args(["-max_len=1024", "-timeout=10", "-print_final_stats=1"]);
    Ok(fuzzer)
}

fn with_tests(seconds: u64) -> Command {
    let mut command = cargo();
    command.args(["test", "--release", "--locked", "--package", "deathstar-worker", "--no-default-features"]);
    command.args(["--test", "conformance", "--", "--exact", TEST, "--nocapture"]);
    command.env("DEATHSTAR_FUZZ_SECONDS", seconds.to_string());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nightly_toolchain_is_found_among_others() {
        let list = "stable-x86_64-unknown-linux-gnu (default)\n\
                    nightly-2026-05-20-x86_64-unknown-linux-gnu\n\
                    1.95.0-x86_64-unknown-linux-gnu (active)\n";
        assert_eq!(first_nightly(list).as_deref(), Some("nightly-2026-05-20-x86_64-unknown-linux-gnu"));
        assert_eq!(first_nightly("nightly-x (active, default)\n").as_deref(), Some("nightly-x"));
        assert_eq!(first_nightly("stable-x (default)\nno nightly here\n"), None);
        assert_eq!(first_nightly("no installed toolchains\n"), None);
    }
}
