//! Arguments of the commands that start, show and stop runs, in either place.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use deathstar_statemachine::ids::RunId;

#[cfg(feature = "aws")]
use super::Installation;
use super::Output;

/// Where runs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum On {
    /// This machine
    Here,
    /// AWS, where deathstar deploy has installed it
    Aws,
}

/// Which runs are meant.
#[derive(Debug, Args)]
pub struct Where {
    /// Where runs are: on this machine, or on AWS
    #[arg(long, value_name = "PLACE", value_enum, default_value_t = On::Here, env = "DEATHSTAR_ON")]
    pub on: On,

    /// Which installation, on AWS.
    #[cfg(feature = "aws")]
    #[command(flatten)]
    pub at: Installation,
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

    /// Where it runs.
    #[command(flatten)]
    pub place: Where,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The config file, YAML or JSON; - reads standard input
    pub config: PathBuf,

    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Where it would run.
    #[command(flatten)]
    pub place: Where,
}

/// Arguments of `results`.
#[derive(Debug, Args)]
pub struct ResultsArgs {
    /// The run [default: the newest]
    pub run: Option<RunId>,

    /// Wait until the run is over
    #[arg(long, short)]
    pub wait: bool,

    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Where it runs.
    #[command(flatten)]
    pub place: Where,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Which runs.
    #[command(flatten)]
    pub place: Where,
}

/// Arguments of `stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// The run
    pub run: RunId,

    /// On AWS: stop its execution at once, without the 30 s in which it may end by itself
    #[arg(long, conflicts_with = "no_wait")]
    pub force: bool,

    /// Only ask it to stop, and do not wait until it has
    #[arg(long)]
    pub no_wait: bool,

    /// Where it runs.
    #[command(flatten)]
    pub place: Where,
}

/// Arguments of `submit`.
#[cfg(feature = "aws")]
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// The config file, YAML or JSON; - reads standard input
    pub config: PathBuf,

    /// Name this run, so that a repeat starts nothing twice: 1 to 40 of a-z, 0-9 and -
    #[arg(long, value_name = "RUN")]
    pub id: Option<RunId>,

    /// How to print what was started: text is the run's name alone
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Which installation.
    #[command(flatten)]
    pub at: Installation,
}

/// Arguments of `watch`.
#[cfg(feature = "aws")]
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The run [default: the newest]
    pub run: Option<RunId>,

    /// Which installation.
    #[command(flatten)]
    pub at: Installation,
}

/// Arguments of `leaks`.
#[cfg(feature = "aws")]
#[derive(Debug, Args)]
pub struct LeaksArgs {
    /// How to print them
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Which installation.
    #[command(flatten)]
    pub at: Installation,
}
