//! What each command does. Each returns how it ended; only `main` exits.

mod demo;
#[cfg(feature = "aws")]
mod deploy;
#[cfg(feature = "aws")]
mod destroy;
#[cfg(test)]
mod elsewhere;
mod follow;
#[cfg(feature = "aws")]
mod leaks;
mod plan;
mod results;
mod run;
#[cfg(feature = "aws")]
mod schedule;
mod signals;
#[cfg(feature = "aws")]
mod submit;
mod target;
#[cfg(feature = "aws")]
mod watch;

use std::error::Error;
use std::future::Future;
use std::io::{self, Write};

use deathstar_statemachine::config;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::CaughtFailure;
use deathstar_statemachine::policy::Policy;
use deathstar_statemachine::report::Report;
use thiserror::Error;

#[cfg(feature = "aws")]
use crate::aws::error::AwsError;
#[cfg(feature = "aws")]
use crate::aws::error::Permission;
#[cfg(feature = "aws")]
use crate::aws::runs::There;
use crate::cli::{Cli, Command, On, Output, PlanArgs, RunArgs, Where};
use crate::config_file::ConfigFileError;
use crate::exit::Exit;
use crate::home::HomeError;
#[cfg(feature = "aws")]
use crate::install::InstallError;
use crate::mode::Here;
use crate::output::Style;
use crate::{machine, output};

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
    /// There is no installation that could be used.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Install(#[from] InstallError),
    /// An execution failed before its run was planned.
    #[error("run {run} failed before it was planned: {} ({})", cause_of(failure), failure.error)]
    Execution {
        /// The run.
        run: RunId,
        /// What its execution says.
        failure: CaughtFailure,
    },
    /// There is no evidence yet.
    #[error("{0}")]
    TooEarly(String),
    /// Standard output cannot be written to.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
    /// A part of the program could not be set up.
    #[error("{0}")]
    Broken(String),
}

impl CommandError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            #[cfg(feature = "aws")]
            Self::Aws(error) => error.exit(),
            #[cfg(feature = "aws")]
            Self::Install(_) => Exit::BadInput,
            #[cfg(feature = "aws")]
            Self::Task(error) if missing_permission(error).is_some() => Exit::BadInput,
            Self::Config(_)
            | Self::BadInput(_)
            | Self::Home(HomeError::Busy { .. })
            | Self::Task(TaskError::BadConfig(_) | TaskError::OverLimit(_) | TaskError::Credentials { .. }) => {
                Exit::BadInput
            }
            Self::Execution { failure, .. } if THE_USERS.contains(&failure.error.as_str()) => Exit::BadInput,
            Self::TooEarly(_) => Exit::Inconclusive,
            Self::Home(_) | Self::Task(_) | Self::Execution { .. } | Self::Output(_) | Self::Broken(_) => {
                Exit::Broken
            }
        }
    }

    /// What the user may do about it.
    fn hint(&self) -> Option<String> {
        match self {
            #[cfg(feature = "aws")]
            Self::Aws(error) => error.hint(),
            #[cfg(feature = "aws")]
            Self::Install(error) => Some(error.hint().to_owned()),
            Self::Task(TaskError::Throttled(_)) => Some(SLOW_DOWN.to_owned()),
            #[cfg(feature = "aws")]
            Self::Task(TaskError::Credentials { credentials, .. }) => {
                Some(crate::aws::error::hint_of(*credentials).to_owned())
            }
            #[cfg(feature = "aws")]
            Self::Task(error) => missing_permission(error).map(|permission| permission.hint()),
            Self::Home(HomeError::Directory { .. } | HomeError::Table(_)) => {
                Some(format!("{} or --home names another data directory", crate::home::HOME_VARIABLE))
            }
            _ => None,
        }
    }
}

/// What to do when a service asks for it.
pub(crate) const SLOW_DOWN: &str = "wait a minute and try again";

/// Errors of executions that are for the user to mend.
const THE_USERS: [&str; 2] = ["DeathStar.BadConfig", "DeathStar.OverLimit"];

/// What a task's failure says. Of one on Lambda the cause is the whole of the
/// function's answer; see
/// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>.
fn cause_of(failure: &CaughtFailure) -> String {
    let answer = serde_json::from_str::<serde_json::Value>(&failure.cause).ok();
    let message = answer.as_ref().and_then(|answer| answer.get("errorMessage")?.as_str());
    message.unwrap_or(&failure.cause).to_owned()
}

/// The permission that a port was refused.
#[cfg(feature = "aws")]
fn missing_permission(error: &TaskError) -> Option<Permission> {
    Permission::read(&error.to_string())
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
        Command::Run(args) => match args.place.on {
            On::Here => run::run(home, &args, style),
            On::Aws => run_there(&args, style),
        },
        Command::Plan(args) => match args.place.on {
            On::Here => plan::plan(&args, machine::place(), &Policy::unrestricted()),
            On::Aws => plan_there(&args),
        },
        Command::Results(args) => block_on(async {
            match args.place.on {
                On::Here => results::results(&Here::open(home)?, &args, style).await,
                On::Aws => results::results(&there(&args.place).await?, &args, style).await,
            }
        }),
        Command::List(args) => block_on(async {
            match args.place.on {
                On::Here => results::list(&Here::open(home)?, args.output).await,
                On::Aws => results::list(&there(&args.place).await?, args.output).await,
            }
        }),
        Command::Stop(args) => block_on(async {
            match args.place.on {
                On::Here => results::stop(&Here::open(home)?, &args).await,
                On::Aws => results::stop(&there(&args.place).await?, &args).await,
            }
        }),
        #[cfg(feature = "aws")]
        Command::Submit(args) => block_on(submit::submit(&args)),
        #[cfg(feature = "aws")]
        Command::Watch(args) => block_on(watch::watch(&args)),
        #[cfg(feature = "aws")]
        Command::Schedule(command) => block_on(schedule::schedule(&command)),
        #[cfg(feature = "aws")]
        Command::Leaks(args) => block_on(leaks::leaks(&args)),
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

/// The runs on AWS.
#[cfg(feature = "aws")]
async fn there(place: &Where) -> Result<There, CommandError> {
    There::open(&place.at).await
}

#[cfg(feature = "aws")]
fn run_there(args: &RunArgs, style: Style) -> Result<Exit, CommandError> {
    block_on(submit::run(args, style))
}

#[cfg(feature = "aws")]
fn plan_there(args: &PlanArgs) -> Result<Exit, CommandError> {
    block_on(async {
        let there = there(&args.place).await?;
        plan::plan(args, there.place(), &there.policy())
    })
}

/// What to say of `--on aws` where there is none.
#[cfg(not(feature = "aws"))]
fn no_aws<T>() -> Result<T, CommandError> {
    Err(CommandError::BadInput(
        "this build of deathstar has no AWS; one with its default features has".to_owned(),
    ))
}

#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "as where there is AWS")]
async fn there(_: &Where) -> Result<Here, CommandError> {
    no_aws()
}

#[cfg(not(feature = "aws"))]
fn run_there(_: &RunArgs, _: Style) -> Result<Exit, CommandError> {
    no_aws()
}

#[cfg(not(feature = "aws"))]
fn plan_there(_: &PlanArgs) -> Result<Exit, CommandError> {
    no_aws()
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

fn print_report(report: &Report, output: Output, style: Style) -> Result<(), CommandError> {
    match output {
        Output::Text => print(&output::text::report(report, style)),
        Output::Json => print_json(report),
    }
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
