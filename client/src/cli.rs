//! What may be written on the command line; types only, no I/O.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use deathstar_statemachine::ids::RunId;

#[cfg(feature = "aws")]
pub use self::install::{Architecture, DeployArgs, DestroyArgs, Installation, SettingArgs};
use crate::home::HOME_VARIABLE;
use crate::target::TargetArgs;

#[cfg(feature = "aws")]
mod install;

const EXIT_CODES: &str = "\
Exit codes:
  0    passed
  1    failed: a promise broke, stop_if came true, or nothing succeeded
  2    bad input
  3    inconclusive: the evidence does not carry a conclusion
  4    the machinery failed
  5    something could not be torn down
  130  interrupted; 5 outranks 130, 130 the rest, then the largest";

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
    /// Run a config on this machine, wait, and print the report
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
    /// Print what a config would do, and create nothing
    Plan {
        /// The config file, YAML or JSON; - reads standard input
        config: PathBuf,
        /// How to print it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Print a run's report; of a run that was killed, what it had written down
    Results {
        /// The run [default: the newest]
        run: Option<RunId>,
        /// How to print it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// List runs, the newest first
    List {
        /// How to print it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Stop a run that is under way; it tears down and reports as ever
    Stop {
        /// The run
        run: RunId,
    },
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

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The config file, YAML or JSON; - reads standard input
    pub config: PathBuf,

    /// Name this run, instead of a name from the config and the time: 1 to 40 of a-z, 0-9 and -
    #[arg(long, value_name = "RUN")]
    pub id: Option<RunId>,

    /// How to print the report
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
}
