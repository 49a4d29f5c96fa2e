//! The project's chores: `cargo dev TASK`, an alias in `.cargo/config.toml`.
//!
//! A fresh machine has Rust and nothing else, so a task brings what it needs.
//! Beside the standard library this program needs only what writes zip files:
//! it is there within seconds, whatever else has to be built. A task is a module with a `run`, and a line
//! in [`TASKS`].

mod aws;
mod bench;
mod clock;
mod faults;
mod fuzz;
mod launch;
mod memory;
mod package;
mod start;
mod suite;
mod tools;
mod truth;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Why a task failed, for the person who started it.
type Failure = String;

/// A chore.
struct Task {
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<(), Failure>,
}

/// Every chore, in the order of `cargo dev help`.
const TASKS: &[Task] = &[
    Task {
        name: "check",
        arguments: "",
        help: "What CI runs: format, clippy, docs, then `test`",
        run: suite::check,
    },
    Task {
        name: "test",
        arguments: "[ARGS…]",
        help: "Install what the tests need, build, and run them all; ARGS go to `cargo test`",
        run: suite::test,
    },
    Task {
        name: "bless",
        arguments: "[ARGS…]",
        help: "Run the tests and write golden files anew; review the difference before you commit",
        run: suite::bless,
    },
    Task {
        name: "tools",
        arguments: "",
        help: "Install what the tests need and cargo does not bring, as `test` does",
        run: tools::run,
    },
    Task {
        name: "memory",
        arguments: "[--seconds N]",
        help: "Run 2,000/s for 10 minutes; memory may grow by less than 8 MiB after the first minute",
        run: memory::run,
    },
    Task {
        name: "bench",
        arguments: "[NAME…]",
        help: "Compare CPU, memory and truth with wrk, oha, h2load, ab and hey, which it installs; 15 minutes, or --quick",
        run: bench::run,
    },
    Task {
        name: "faults",
        arguments: "",
        help: "Run AWS mode on the emulator under 50 faults that seeds pick, and print what became of each run",
        run: faults::run,
    },
    Task {
        name: "aws",
        arguments: "",
        help: "Time AWS mode on the emulator three times: submit, first request, cold starts, hand-over",
        run: aws::run,
    },
    Task {
        name: "fuzz",
        arguments: "[SECONDS]",
        help: "Fuzz what reads responses for 60 seconds or as many as you say: libFuzzer on nightly, or our tests on stable",
        run: fuzz::run,
    },
    Task {
        name: "package",
        arguments: "",
        help: "Build the two Lambda functions as packages for provided.al2023, and print their sizes",
        run: package::run,
    },
    Task {
        name: "start",
        arguments: "",
        help: "Time 20 runs from their start to the first byte of their first request; the goal is 300 ms",
        run: start::run,
    },
    Task {
        name: "truth",
        arguments: "[NAME…]",
        help: "Conclude of targets whose truth is known, 10 to 20 times; capacity, resources, nginx, bursts: an hour",
        run: truth::run,
    },
    Task { name: "help", arguments: "", help: "Print this", run: help },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        print_help(&mut io::stderr());
        return ExitCode::from(2);
    };
    let name = if matches!(name.as_str(), "-h" | "--help") { "help" } else { name };
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        say(&format!("error: there is no task {name:?}; `cargo dev help` lists them"));
        return ExitCode::from(2);
    };
    match (task.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn help(arguments: &[String]) -> Result<(), Failure> {
    no_arguments(arguments)?;
    print_help(&mut io::stdout());
    Ok(())
}

fn print_help(out: &mut impl Write) {
    let mut text = "DeathStar's chores\n\nUsage: cargo dev TASK\n\nTasks:\n".to_owned();
    for task in TASKS {
        let usage = format!("{} {}", task.name, task.arguments);
        text += &format!("  {usage:<22} {}\n", task.help);
    }
    text += "\nEverything is built with the release profile, the one profile of the project, into target/.\n\
             Tools that the tests need go to target/tools; npm and Python are installed if missing (Debian).\n\
             DEATHSTAR_BIN names another deathstar for `bench`, `memory` and `start` to measure.\n\
             Exit code: 0 when all is well, 1 when the task failed, 2 for a task that does not exist.\n";
    // Whoever closed the pipe has read enough.
    let _ = out.write_all(text.as_bytes());
}

/// Refuses arguments to a task that takes none.
fn no_arguments(arguments: &[String]) -> Result<(), Failure> {
    match arguments {
        [] => Ok(()),
        [first, ..] => Err(format!("this task takes no arguments, and there is {first:?}")),
    }
}

/// Says what is being done.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The workspace's folder.
fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// Cargo, the very one that started us, in the workspace's folder.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Says a command, runs it, and turns anything but success into a failure.
fn must(command: &mut Command) -> Result<(), Failure> {
    say(&format!("dev: {}", text_of(command)));
    let status = command.status().map_err(|error| format!("cannot start {}: {error}", text_of(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed: {status}", text_of(command))) }
}

/// A command as a person would type it.
fn text_of(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut text = program.to_string_lossy().into_owned();
    for argument in command.get_args() {
        text += &format!(" {}", argument.to_string_lossy());
    }
    text
}
