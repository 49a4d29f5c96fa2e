//! Arguments of `schedule`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use deathstar_statemachine::ids::ScheduleName;

use super::{Installation, Output};
use crate::install::Cadence;
use crate::schedule::{Cron, LocalTime, ZoneName};

const EXAMPLES: &str = "\
Examples:
  deathstar schedule add nightly checkout.yaml --cron '0 3 * * ? *' --timezone Europe/Berlin
  deathstar schedule add hourly quick.yaml --rate 1h
  deathstar schedule add launch launch.yaml --at 2026-12-01T03:00 --timezone Europe/Berlin
  deathstar list --on aws                 the runs of nightly are called nightly-20261201-0200,
                                          after the minute that they were due in, in UTC";

/// What to do with schedules.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Run a config on AWS again and again, or once at a time to come; no machine of yours needs to be on
    #[command(after_help = EXAMPLES)]
    Add(AddArgs),
    /// List schedules
    List(ScheduleListArgs),
    /// Take a schedule away; runs that it has started go on
    Remove(RemoveArgs),
}

/// Arguments of `schedule add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// What to call it, and its runs: 1 to 26 of a-z, 0-9 and -
    pub name: ScheduleName,

    /// The config file, YAML or JSON; - reads standard input. Changes of it need another schedule add
    pub config: PathBuf,

    /// When.
    #[command(flatten)]
    pub when: WhenArgs,

    /// The time zone of --cron and --at, for example Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE", conflicts_with = "rate")]
    pub timezone: Option<ZoneName>,

    /// Replace the schedule of that name
    #[arg(long)]
    pub replace: bool,

    /// Which installation.
    #[command(flatten)]
    pub installation: Installation,
}

/// When a schedule starts runs: one of the three.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct WhenArgs {
    /// Six fields: minute, hour, day of the month, month, day of the week, year; one of the days is ?
    ///
    /// The scheduler's own language, so '0 3 * * ? *' is every day at three, and '30 6 ? * MON-FRI *'
    /// half past six on workdays.
    #[arg(long, value_name = "FIELDS")]
    pub cron: Option<Cron>,

    /// Every so often, in whole minutes: 15m, 1h, 1d
    #[arg(long, value_name = "TIME")]
    pub rate: Option<Cadence>,

    /// Once, at a local time: 2026-12-01T03:00
    #[arg(long, value_name = "TIME")]
    pub at: Option<LocalTime>,
}

/// Arguments of `schedule list`.
#[derive(Debug, Args)]
pub struct ScheduleListArgs {
    /// How to print them
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Which installation.
    #[command(flatten)]
    pub installation: Installation,
}

/// Arguments of `schedule remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The schedule
    pub name: ScheduleName,

    /// Which installation.
    #[command(flatten)]
    pub installation: Installation,
}
