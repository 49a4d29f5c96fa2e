//! What may be written on the command line; types only, no I/O.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

#[cfg(feature = "aws")]
pub use self::install::{Architecture, DeployArgs, DestroyArgs, Installation, SettingArgs};
#[cfg(feature = "aws")]
pub use self::runs::{LeaksArgs, SubmitArgs, WatchArgs};
pub use self::runs::{ListArgs, On, PlanArgs, ResultsArgs, RunArgs, StopArgs, Where};
#[cfg(feature = "aws")]
pub use self::schedule::{AddArgs, RemoveArgs, ScheduleCommand, ScheduleListArgs, WhenArgs};
use crate::home::HOME_VARIABLE;
use crate::target::TargetArgs;

#[cfg(feature = "aws")]
mod install;
mod runs;
#[cfg(feature = "aws")]
mod schedule;

const EXIT_CODES: &str = "\
Exit codes:
  0    passed
  1    failed: a promise broke, stop_if came true, or nothing succeeded
  2    bad input; on AWS also no credentials, no stack, or a permission that is missing
  3    inconclusive: the evidence does not carry a conclusion
  4    the machinery failed
  5    something could not be torn down
  130  interrupted; 5 outranks 130, 130 the rest, then the largest";

#[cfg(feature = "aws")]
const SUBMIT_EXAMPLES: &str = "\
Examples:
  run=$(deathstar submit checkout.yaml)
  deathstar watch $run                    what it is doing
  deathstar results $run --on aws --wait  its report, and its exit code";

#[cfg(feature = "aws")]
const DEPLOY_EXAMPLES: &str = "\
Examples:
  deathstar deploy --allow shop.example.com --max-rate 5000/s
  deathstar deploy                        update the code, and change nothing else
  deathstar deploy --allow none           attack nothing any more";

/// Load testing that tells the truth.
///
/// One config file names the targets of an attack. DeathStar brings up workers, sends exactly the load
/// that was asked for, merges what they saw, judges it, and leaves only results.
#[derive(Debug, Parser)]
#[command(name = "deathstar", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    /// Where runs are kept [default: the system's data directory for deathstar]
    #[arg(long, global = true, value_name = "DIR", env = HOME_VARIABLE)]
    pub home: Option<PathBuf>,

    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// When to use colour. `auto` is on a terminal, unless `NO_COLOR` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How a report or a plan is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs: one JSON document
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a config, wait, and print the report
    ///
    /// On this machine, or with --on aws there; a run on AWS goes on when this command is left.
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
    /// Start a run on AWS, print its name, and leave
    ///
    /// The run needs nothing of this machine from then on. A repeat with the same --id and config
    /// starts nothing twice.
    #[cfg(feature = "aws")]
    #[command(after_help = SUBMIT_EXAMPLES)]
    Submit(SubmitArgs),
    /// Show what a run on AWS is doing, until it is over; leaving does nothing to it
    ///
    /// On a terminal it is a display, elsewhere a line every few seconds. The exit code is the run's.
    #[cfg(feature = "aws")]
    Watch(WatchArgs),
    /// Print what a config would do, and create nothing
    Plan(PlanArgs),
    /// Print a run's report; of a run without one, what it has written down
    #[command(after_help = EXIT_CODES)]
    Results(ResultsArgs),
    /// List runs, the newest first
    List(ListArgs),
    /// Stop a run that is under way; it tears down and reports as ever
    ///
    /// Its load ends within 2 s. On AWS this command waits until its execution has ended, and stops
    /// that from outside when it has not within 30 s.
    Stop(StopArgs),
    /// Run a config on AWS at times to come
    #[cfg(feature = "aws")]
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// List what is left on AWS of runs that are over; exit 5 when there is anything
    #[cfg(feature = "aws")]
    Leaks(LeaksArgs),
    /// Install DeathStar on AWS, or update it; a run needs it there
    ///
    /// Makes one CloudFormation stack, and one bucket for its code unless it is given one. Between
    /// runs they cost next to nothing. An installation attacks no host that --allow did not name.
    /// Options that are not given leave an installation as it is.
    #[cfg(feature = "aws")]
    #[command(after_help = DEPLOY_EXAMPLES)]
    Deploy(Box<DeployArgs>),
    /// Remove DeathStar from AWS, with the results of all its runs
    ///
    /// Refuses while a run is under way. What is left of a deploy that failed is removed too; where
    /// nothing is, it says so and succeeds.
    #[cfg(feature = "aws")]
    Destroy(DestroyArgs),
    /// Start a target, attack it, and explain the report
    Demo,
    /// Serve a target whose capacity, stalls and errors are known exactly
    Target(TargetArgs),
    /// Print the JSON Schema of configs, for editors
    Schema,
}

impl Cli {
    /// Reads the command line, and refuses what would change nothing there: an
    /// option of AWS for runs of this machine, or the reverse.
    ///
    /// # Errors
    /// What is wrong with it, or its help.
    pub fn read(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(arguments)?;
        let mut command = &matches;
        while let Some((_, next)) = command.subcommand() {
            command = next;
        }
        if let Some(problem) = idle(command) {
            return Err(Self::command().error(ErrorKind::ArgumentConflict, problem));
        }
        Self::from_arg_matches(&matches)
    }
}

/// What is wrong with a command's options for the place that its runs are in.
fn idle(command: &ArgMatches) -> Option<String> {
    // An environment may set both, for different commands.
    let given = |id: &str| {
        let known = command.try_contains_id(id).unwrap_or(false);
        known && command.value_source(id) == Some(ValueSource::CommandLine)
    };
    let (options, of): (&[&str], _) = match command.try_get_one::<On>("on") {
        Ok(Some(On::Here)) => (&["stack", "region"], "--on aws"),
        Ok(Some(On::Aws)) => (&["home"], "runs of this machine, and not with --on aws"),
        // Of AWS alone.
        _ if command.try_contains_id("stack").is_ok() => (&["home"], "runs of this machine"),
        _ => return None,
    };
    let option = options.iter().find(|option| given(option))?;
    Some(format!("--{option} goes with {of}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::read(["deathstar"].iter().chain(words).map(Into::into))
    }

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_data_directory_is_of_this_machine() {
        assert!(read(&["--home", "/tmp/runs", "list", "--on", "here"]).is_ok());
        let refused = read(&["--home", "/tmp/runs", "list", "--on", "aws"]).unwrap_err();
        assert_eq!(refused.exit_code(), 2);
    }

    #[cfg(feature = "aws")]
    #[test]
    fn an_option_that_would_change_nothing_is_refused() {
        for words in [
            &["list", "--on", "here", "--region", "eu-west-1"][..],
            &["results", "--on", "here", "--stack", "other"],
            &["run", "a.yaml", "--on", "aws", "--home", "/tmp/runs"],
            &["--home", "/tmp/runs", "submit", "a.yaml"],
            &["schedule", "list", "--home", "/tmp/runs"],
            &["stop", "a", "--force", "--no-wait"],
            &["schedule", "add", "a", "a.yaml"],
            &["schedule", "add", "a", "a.yaml", "--rate", "1h", "--at", "2030-01-01T00:00"],
            &["schedule", "add", "a", "a.yaml", "--rate", "1h", "--timezone", "UTC"],
        ] {
            let refused = read(words).unwrap_err();
            assert_eq!(refused.exit_code(), 2, "{words:?}");
        }
        for words in [
            &["list", "--on", "aws", "--region", "eu-west-1", "--stack", "other"][..],
            &["watch", "a", "--stack", "other"],
            &["schedule", "add", "a", "a.yaml", "--cron", "0 3 * * ? *", "--timezone", "UTC"],
        ] {
            assert!(read(words).is_ok(), "{words:?}");
        }
    }
}
