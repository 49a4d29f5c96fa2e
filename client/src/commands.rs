//! What each command does. Each returns how it ended; only `main` exits.

mod demo;
#[cfg(feature = "aws")]
mod deploy;
#[cfg(feature = "aws")]
mod destroy;
mod plan;
mod results;
mod run;
mod signals;
mod target;

use std::error::Error;
use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;

use deathstar_controller::embedded::table::SqliteTable;
use deathstar_statemachine::config;
use deathstar_statemachine::error::TaskError;
use thiserror::Error;

#[cfg(feature = "aws")]
use crate::aws::error::AwsError;
use crate::cli::{Cli, Command};
use crate::config_file::ConfigFileError;
use crate::exit::Exit;
use crate::home::{Home, HomeError};
use crate::output::Style;

/// Why a command could not do its work.
#[derive(Debug, Error)]
pub(crate) enum CommandError {
    /// The config is wrong.
    #[error(transparent)]
    Config(#[from] ConfigFileError),
    /// The input is wrong in another way.
    #[error("{0}")]
    BadInput(String),
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The table, or a handler, failed.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// AWS cannot be used, or refuses.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// Standard output cannot be written to.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
    /// A part of the program could not be set up.
    #[error("{0}")]
    Broken(String),
}

impl CommandError {
    fn exit(&self) -> Exit {
        match self {
            #[cfg(feature = "aws")]
            Self::Aws(error) => error.exit(),
            Self::Config(_)
            | Self::BadInput(_)
            | Self::Home(HomeError::Busy { .. })
            | Self::Task(TaskError::BadConfig(_) | TaskError::OverLimit(_)) => Exit::BadInput,
            Self::Home(_) | Self::Task(_) | Self::Output(_) | Self::Broken(_) => Exit::Broken,
        }
    }

    /// What the user may do about it.
    fn hint(&self) -> Option<String> {
        match self {
            #[cfg(feature = "aws")]
            Self::Aws(error) => error.hint(),
            Self::Home(HomeError::Directory { .. } | HomeError::Table(_)) => {
                Some(format!("{} or --home names another data directory", crate::home::HOME_VARIABLE))
            }
            _ => None,
        }
    }
}

/// Runs a command and says how it ended. Reports go to standard output,
/// everything else to standard error.
#[must_use]
pub fn run_command(cli: Cli) -> Exit {
    let style = Style::choose(cli.color);
    match dispatch(cli, style) {
        Ok(exit) => exit,
        Err(error) => {
            print_error(&error);
            if let Some(hint) = error.hint() {
                eprintln_quietly(&format!("  hint: {hint}"));
            }
            error.exit()
        }
    }
}

fn dispatch(cli: Cli, style: Style) -> Result<Exit, CommandError> {
    let Cli { home, command, .. } = cli;
    match command {
        Command::Run(args) => run::run(home, &args, style),
        Command::Plan { config, output } => plan::plan(&config, output),
        Command::Results { run, output } => results::results(home, run, output, style),
        Command::List { output } => results::list(home, output),
        Command::Stop { run } => results::stop(home, &run),
        #[cfg(feature = "aws")]
        Command::Deploy(args) => deploy::deploy(&args),
        #[cfg(feature = "aws")]
        Command::Destroy(args) => destroy::destroy(&args),
        Command::Demo => demo::demo(home, style),
        Command::Target(args) => target::target(args),
        Command::Schema => {
            print_json(&config::schema())?;
            Ok(Exit::Passed)
        }
    }
}

/// The data directory and its table.
fn open(home: Option<PathBuf>) -> Result<(Home, SqliteTable), CommandError> {
    let home = Home::open(home)?;
    let table = home.table()?;
    Ok((home, table))
}

/// Runs a future on a runtime of this thread.
fn block_on<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CommandError::Broken(format!("no event loop: {error}")))?.block_on(work)
}

/// Writes to standard output, all of it or an error. Whoever read it may have
/// left: that is no failure of ours, and changes nothing of how a run ended.
fn print(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<(), CommandError> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| CommandError::Broken(error.to_string()))?;
    print(&format!("{text}\n"))
}

fn print_error(error: &dyn Error) {
    let mut said = format!("error: {error}");
    eprintln_quietly(&said);
    let mut source = error.source();
    while let Some(cause) = source {
        // Many an error says what caused it, in the same words.
        let text = cause.to_string();
        if !said.contains(&text) {
            said = format!("  caused by: {text}");
            eprintln_quietly(&said);
        }
        source = cause.source();
    }
}

/// Writes a line to standard error; a closed one is no failure.
fn eprintln_quietly(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
