//! The command line `deathstar`: parse, run, map the outcome to an exit code.

use std::process::ExitCode;

use deathstar::cli::Cli;

fn main() -> ExitCode {
    match Cli::read(std::env::args_os()) {
        Ok(cli) => deathstar::run_command(cli).into(),
        Err(error) => {
            // Help goes to standard output, what is wrong to standard error.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}
