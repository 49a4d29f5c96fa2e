//! Arguments of the commands that install DeathStar on AWS.

#![allow(clippy::doc_markdown, reason = "these comments are the help, shown as it is written")]

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use deathstar_statemachine::plan::MAX_WORKERS;
use deathstar_statemachine::policy::HostPattern;
use deathstar_statemachine::units::parse_duration;

use super::Output;
use crate::install::{Cadence, Entry, SecretRef, StackName, Usd, WholeRate};

/// Which installation is meant. Credentials come from the environment or the
/// profile, as for every tool of AWS.
#[derive(Debug, Args)]
pub struct Installation {
    /// The installation's name: 1 to 30 of a-z, 0-9 and -
    #[arg(long, value_name = "NAME", default_value = "deathstar", env = "DEATHSTAR_STACK")]
    pub stack: StackName,

    /// The AWS region, for example eu-west-1 [default: AWS_REGION, or the profile's]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

/// Arguments of `deploy`.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// Which installation.
    #[command(flatten)]
    pub at: Installation,

    /// What it is to be like.
    #[command(flatten)]
    pub settings: SettingArgs,

    /// Put the packages into this bucket, of the same region [default: one of its own making]
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<String>,

    /// The folder with controller.zip [default: beside this program, or target/packages]
    #[arg(long, value_name = "DIR")]
    pub packages: Option<PathBuf>,

    /// How to print what was made
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// What an installation is like. Whatever is not given stays as it is, and is
/// the default when there is no installation yet.
#[derive(Debug, Args)]
pub struct SettingArgs {
    /// Hosts that may be attacked: shop.example.com, *.example.com, 10.0.0.5:8080; or none
    ///
    /// A host without a port is allowed on every port, and *.example.com is every host below
    /// example.com, not itself. The list replaces the one before. `--allow none` empties it.
    /// [default: none]
    #[arg(long, value_name = "HOST", num_args = 1.., value_delimiter = ',')]
    pub allow: Option<Vec<Entry<HostPattern>>>,

    /// The highest rate of a run, by arrivals or by users, for example 5000/s [default: 1000/s]
    #[arg(long, value_name = "RATE")]
    pub max_rate: Option<WholeRate>,

    /// The most workers of a run, 1 to 10000 [default: 100]
    #[arg(long, value_name = "N", value_parser = workers)]
    pub max_workers: Option<NonZeroU32>,

    /// The highest estimated cost of a run, in US dollars, for example 2.50 [default: 10]
    #[arg(long, value_name = "USD")]
    pub max_usd: Option<Usd>,

    /// Secrets that workers may read: ssm:/shop/token, secretsmanager:ARN; or none
    ///
    /// An SSM parameter by its name, or by its ARN; a secret of Secrets Manager by its ARN. When
    /// a KMS key of your own encrypts it, name the key's ARN too. The list replaces the one
    /// before. `--allow-secret none` empties it. [default: none]
    #[arg(long, value_name = "SECRET", num_args = 1.., value_delimiter = ',')]
    pub allow_secret: Option<Vec<Entry<SecretRef>>>,

    /// How long logs are kept, in days [default: 30]
    #[arg(long, value_name = "DAYS", value_parser = log_days, help_heading = ADVANCED)]
    pub log_days: Option<u16>,

    /// The processor that the packages were built for [default: x86_64]
    #[arg(long, value_name = "ARCH", value_enum, help_heading = ADVANCED)]
    pub architecture: Option<Architecture>,

    /// From the decision on a round of load to its first request [default: 8s]
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = ADVANCED)]
    pub lead: Option<Duration>,

    /// How often a worker writes down what it saw: the most that is lost with it [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = ADVANCED)]
    pub checkpoint: Option<Duration>,

    /// The longest stretch of load of one invocation of a worker [default: 600s]
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = ADVANCED)]
    pub slice: Option<Duration>,

    /// How long it may take from the plan to the first request; later, a run is overdue [default: 20m]
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = ADVANCED)]
    pub setup: Option<Duration>,

    /// How long after its planned end a run is torn down by force [default: 300s]
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = ADVANCED)]
    pub grace: Option<Duration>,

    /// How often the janitor looks for what outlived its run, in whole minutes [default: 15m]
    #[arg(long, value_name = "TIME", help_heading = ADVANCED)]
    pub janitor_every: Option<Cadence>,
}

const ADVANCED: &str = "Advanced options";

/// A processor, as Lambda names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    /// 64-bit x86
    #[value(name = "x86_64")]
    X86,
    /// 64-bit Arm
    #[value(name = "arm64")]
    Arm,
}

impl Architecture {
    /// Lambda's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "arm64",
        }
    }
}

/// Arguments of `destroy`.
#[derive(Debug, Args)]
pub struct DestroyArgs {
    /// Which installation.
    #[command(flatten)]
    pub at: Installation,

    /// Do not ask: delete it, and the results of all its runs
    #[arg(long, short)]
    pub yes: bool,
}

fn workers(text: &str) -> Result<NonZeroU32, String> {
    let number = text.parse().ok().filter(|number: &NonZeroU32| number.get() <= MAX_WORKERS);
    number.ok_or_else(|| format!("there may be 1 to {MAX_WORKERS} workers"))
}

fn some_time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("it must be more than nothing".to_owned()) } else { Ok(time) }
}

/// How long a log group may keep what it has, in days.
/// See <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html>.
const LOG_DAYS: &[u16] = &[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

fn log_days(text: &str) -> Result<u16, String> {
    let days = text.parse().ok().filter(|days| LOG_DAYS.contains(days));
    days.ok_or_else(|| {
        let days: Vec<String> = LOG_DAYS.iter().map(ToString::to_string).collect();
        format!("CloudWatch keeps logs for one of {} days", days.join(", "))
    })
}
