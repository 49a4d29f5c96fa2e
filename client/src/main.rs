//! The command line `deathstar`: parse, run, map the outcome to an exit code.

use std::process::ExitCode;

use clap::Parser;
use deathstar::cli::Cli;

fn main() -> ExitCode {
    deathstar::run_command(Cli::parse()).into()
}
