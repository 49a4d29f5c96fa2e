//! What an installation on AWS is: its name, its settings, and the row in its
//! table that every other command starts from.
//!
//! It asks nobody anything: `aws` does, and `commands/deploy.rs` says
//! in which order.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use deathstar_statemachine::policy::HostPattern;
use deathstar_statemachine::units::{Rate, UnitError, display_duration, duration_text, parse_duration};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cli::SettingArgs;

/// The version that this program deploys, and that it talks to.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The template, as it is sent.
pub(crate) const TEMPLATE: &str = include_str!("../template/deathstar.yaml");

/// What empties a list: `--allow none`.
const NONE: &str = "none";

/// The stack's name, and so the name of its table, state machine and schedule
/// group: 1 to 30 of a–z, 0–9 and -, beginning with a letter.
///
/// It becomes part of a bucket's name and of roles' names, which end at 63 and
/// 64 characters and add an account or a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StackName(String);

/// The longest stack name, in characters.
const STACK_NAME_MAX: usize = 30;

/// Why a text is no stack name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no stack name: use 1 to {STACK_NAME_MAX} of a-z, 0-9 and -, beginning with a letter")]
pub struct StackNameError(String);

impl StackName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bucket that `deploy` makes when it is given none.
    pub(crate) fn bucket(&self, account: &str, region: &str) -> String {
        format!("{self}-{account}-{region}")
    }

    /// The controller function.
    pub(crate) fn controller(&self) -> String {
        format!("{self}-controller")
    }
}

impl FromStr for StackName {
    type Err = StackNameError;
    fn from_str(text: &str) -> Result<Self, StackNameError> {
        let valid = (1..=STACK_NAME_MAX).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if valid { Ok(Self(text.to_owned())) } else { Err(StackNameError(text.to_owned())) }
    }
}

impl fmt::Display for StackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for StackName {
    type Error = StackNameError;
    fn try_from(text: String) -> Result<Self, StackNameError> {
        text.parse()
    }
}

impl From<StackName> for String {
    fn from(name: StackName) -> Self {
        name.0
    }
}

/// An entry of a list that can be emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<T> {
    /// `none`: the list is empty.
    None,
    /// One of its entries.
    One(T),
}

impl<T: FromStr> FromStr for Entry<T> {
    type Err = T::Err;
    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == NONE { Ok(Self::None) } else { text.parse().map(Self::One) }
    }
}

/// Whole requests per second, at least one: the controller reads a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeRate(u64);

/// Why a text is no whole rate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WholeRateError {
    /// It is no rate.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// It is none per second.
    #[error("{0} is no whole number of requests per second, from 1/s")]
    NotWhole(String),
}

impl FromStr for WholeRate {
    type Err = WholeRateError;
    fn from_str(text: &str) -> Result<Self, WholeRateError> {
        let rate: Rate = text.parse()?;
        let whole = !rate.is_zero() && rate.units().is_multiple_of(Rate::UNITS_PER_SECOND);
        let not_whole = || WholeRateError::NotWhole(text.to_owned());
        whole.then(|| Self(rate.units() / Rate::UNITS_PER_SECOND)).ok_or_else(not_whole)
    }
}

/// US dollars, from zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usd(f64);

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no amount in US dollars; write it like 10 or 2.50")]
pub struct UsdError(String);

impl FromStr for Usd {
    type Err = UsdError;
    fn from_str(text: &str) -> Result<Self, UsdError> {
        let amount = text.parse().ok().filter(|usd: &f64| usd.is_finite() && *usd >= 0.0);
        amount.map(Self).ok_or_else(|| UsdError(text.to_owned()))
    }
}

/// How often the janitor looks, in whole minutes: the scheduler knows no less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence(u64);

/// Why a text is no cadence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CadenceError {
    /// It is no duration.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// It is finer than the scheduler.
    #[error("{0} is no whole number of minutes, from 1m")]
    NotMinutes(String),
}

impl FromStr for Cadence {
    type Err = CadenceError;
    fn from_str(text: &str) -> Result<Self, CadenceError> {
        let every = parse_duration(text)?;
        let minutes = every.as_secs() / 60;
        let whole = minutes > 0 && every == Duration::from_secs(minutes * 60);
        whole.then_some(Self(minutes)).ok_or_else(|| CadenceError::NotMinutes(text.to_owned()))
    }
}

impl Cadence {
    /// The time between.
    pub(crate) const fn every(self) -> Duration {
        Duration::from_secs(self.0 * 60)
    }
}

impl fmt::Display for Cadence {
    /// As a schedule's `rate(…)` wants it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} minute{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

/// A secret that workers may read: `ssm:/shop/token`, `secretsmanager:ARN`, or
/// the ARN of an SSM parameter, of a secret, or of the KMS key they need for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// An SSM parameter of the stack's account and region, by its name.
    Parameter(String),
    /// Anything by its ARN.
    Arn(String),
}

/// Why a text names no secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} names no secret: use ssm:/PATH, secretsmanager:ARN, or the ARN of an SSM parameter, a secret or a KMS key"
)]
pub struct SecretRefError(String);

impl FromStr for SecretRef {
    type Err = SecretRefError;
    fn from_str(text: &str) -> Result<Self, SecretRefError> {
        let refused = || SecretRefError(text.to_owned());
        // A star would be a wildcard in the policy, and a comma ends an entry.
        let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-:+=@!".contains(c);
        if !text.chars().all(plain) {
            return Err(refused());
        }
        if let Some(name) = text.strip_prefix("ssm:") {
            let named = name.trim_matches('/');
            return if named.is_empty() { Err(refused()) } else { Ok(Self::Parameter(named.to_owned())) };
        }
        let arn = text.strip_prefix("secretsmanager:").unwrap_or(text);
        let service = arn.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(1));
        let known = matches!(service, Some("kms" | "secretsmanager" | "ssm")) && arn.split(':').count() >= 6;
        if known { Ok(Self::Arn(arn.to_owned())) } else { Err(refused()) }
    }
}

impl SecretRef {
    fn arn(&self, place: &Place) -> String {
        let Place { partition, account, region } = place;
        match self {
            Self::Arn(arn) => arn.clone(),
            Self::Parameter(name) => format!("arn:{partition}:ssm:{region}:{account}:parameter/{name}"),
        }
    }
}

/// Where a stack is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// `aws`, or another world of regions such as `aws-cn`.
    pub(crate) partition: String,
    /// The account.
    pub(crate) account: String,
    /// The region.
    pub(crate) region: String,
}

/// Options of `deploy` and the parameters of the stack that they set.
const OPTIONS: &[(&str, &str)] = &[
    ("--allow", "AllowedHosts"),
    ("--allow-secret", "AllowedSecrets"),
    ("--max-rate", "MaxRate"),
    ("--max-workers", "MaxWorkers"),
    ("--max-usd", "MaxUsd"),
    ("--architecture", "Architecture"),
    ("--log-days", "LogRetentionDays"),
    ("--lead", "Lead"),
    ("--checkpoint", "Checkpoint"),
    ("--slice", "Slice"),
    ("--setup", "Setup"),
    ("--grace", "Grace"),
    ("--janitor-every", "JanitorEvery"),
];

/// Parameters of a stack, by name.
pub(crate) type Parameters = BTreeMap<String, String>;

/// Why options contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0} none leaves nothing else to name")]
pub(crate) struct NoneAmongOthers(&'static str);

/// The parameters that options ask for; those that were not given are left out.
///
/// # Errors
/// When a list is to be empty and to have entries.
pub(crate) fn wanted(args: &SettingArgs, place: &Place) -> Result<Parameters, NoneAmongOthers> {
    let hosts = entries("--allow", args.allow.as_deref(), HostPattern::to_string)?;
    let secrets = entries("--allow-secret", args.allow_secret.as_deref(), |secret| secret.arn(place))?;
    let duration = |duration: &Duration| display_duration(*duration);
    let given = [
        ("AllowedHosts", hosts),
        ("AllowedSecrets", secrets),
        ("MaxRate", args.max_rate.map(|rate| rate.0.to_string())),
        ("MaxWorkers", args.max_workers.as_ref().map(ToString::to_string)),
        ("MaxUsd", args.max_usd.map(|usd| usd.0.to_string())),
        ("Architecture", args.architecture.map(|architecture| architecture.name().to_owned())),
        ("LogRetentionDays", args.log_days.map(|days| days.to_string())),
        ("Lead", args.lead.as_ref().map(duration)),
        ("Checkpoint", args.checkpoint.as_ref().map(duration)),
        ("Slice", args.slice.as_ref().map(duration)),
        ("Setup", args.setup.as_ref().map(duration)),
        ("Grace", args.grace.as_ref().map(duration)),
        ("JanitorEvery", args.janitor_every.map(|cadence| cadence.to_string())),
    ];
    Ok(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

/// A list as a parameter holds it: without repeats, commas between.
fn entries<T>(
    option: &'static str,
    given: Option<&[Entry<T>]>,
    text: impl Fn(&T) -> String,
) -> Result<Option<String>, NoneAmongOthers> {
    let Some(given) = given else { return Ok(None) };
    let mut list = Vec::new();
    for entry in given {
        match entry {
            Entry::None if given.len() > 1 => return Err(NoneAmongOthers(option)),
            Entry::None => {}
            Entry::One(entry) => {
                let entry = text(entry);
                if !list.contains(&entry) {
                    list.push(entry);
                }
            }
        }
    }
    Ok(Some(list.join(",")))
}

/// What a stack is to have, and what of it was not asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merged {
    /// Every parameter that is sent.
    pub(crate) parameters: Parameters,
    /// Options that were not given and keep the stack's value, with that value.
    pub(crate) kept: Vec<(&'static str, String)>,
}

/// What was asked for, and what the stack has for the rest: an update of the
/// code neither opens nor closes anything. What neither has is the template's
/// to say.
pub(crate) fn merge(wanted: Parameters, existing: Option<&Parameters>) -> Merged {
    let mut merged = Merged { parameters: wanted, kept: Vec::new() };
    for (option, parameter) in OPTIONS {
        let existing = existing.and_then(|existing| existing.get(*parameter));
        if let (Some(value), false) = (existing, merged.parameters.contains_key(*parameter)) {
            merged.parameters.insert((*parameter).to_owned(), value.clone());
            merged.kept.push((option, as_option(parameter, value)));
        }
    }
    merged
}

/// A parameter's value, as its option is written.
fn as_option(parameter: &str, value: &str) -> String {
    match parameter {
        "MaxRate" => format!("{value}/s"),
        "JanitorEvery" => value.split(' ').next().map_or_else(String::new, |minutes| format!("{minutes}m")),
        _ if value.is_empty() => NONE.to_owned(),
        _ => value.to_owned(),
    }
}

/// The row `install` of a stack's table: what every other command needs to
/// know, so that it needs no permission to look at the stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Install {
    /// The version that deployed it.
    pub(crate) version: String,
    /// Its region.
    pub(crate) region: String,
    /// Its account.
    pub(crate) account: String,
    /// Its name.
    pub(crate) stack: StackName,
    /// The controller function.
    pub(crate) controller_arn: String,
    /// The state machine.
    pub(crate) state_machine_arn: String,
    /// The group of its schedules.
    pub(crate) schedule_group: String,
    /// The role of its schedules.
    pub(crate) scheduler_role_arn: String,
    /// The log group of all its functions.
    pub(crate) log_group: String,
    /// Hosts that may be attacked.
    pub(crate) allow: Vec<HostPattern>,
    /// The highest rate of a run, by arrivals or by users, in requests per second.
    pub(crate) max_rate: u32,
    /// The most workers of a run.
    pub(crate) max_workers: NonZeroU32,
    /// The highest estimated cost of a run, in US dollars.
    pub(crate) max_usd: f64,
    /// ARNs that workers may read.
    pub(crate) secrets: Vec<String>,
    /// From the decision on a round of load to its first request.
    #[serde(with = "duration_text")]
    pub(crate) lead: Duration,
    /// How often a worker writes down what it saw.
    #[serde(with = "duration_text")]
    pub(crate) checkpoint: Duration,
    /// The longest stretch of load of one invocation.
    #[serde(with = "duration_text")]
    pub(crate) slice: Duration,
    /// From the plan to the first request.
    #[serde(with = "duration_text")]
    pub(crate) setup: Duration,
    /// How long after a run should have ended it is torn down for it.
    #[serde(with = "duration_text")]
    pub(crate) grace: Duration,
}

impl Install {
    /// Reads a complete stack.
    ///
    /// # Errors
    /// With the name of the first output or parameter that is missing or no
    /// such value: the stack is then none of this version's.
    pub(crate) fn of(
        stack: &StackName,
        place: &Place,
        parameters: &Parameters,
        outputs: &Parameters,
    ) -> Result<Self, &'static str> {
        let output = |name: &'static str| outputs.get(name).cloned().ok_or(name);
        let parameter = |name: &'static str| parameters.get(name).ok_or(name);
        let list = |name: &'static str| {
            parameter(name).map(|list| list.split(',').map(str::trim).filter(|one| !one.is_empty()))
        };
        let duration = |name: &'static str| parse_duration(parameter(name)?).map_err(|_| name);
        Ok(Self {
            version: VERSION.to_owned(),
            region: place.region.clone(),
            account: place.account.clone(),
            stack: stack.clone(),
            controller_arn: output("ControllerArn")?,
            state_machine_arn: output("StateMachineArn")?,
            schedule_group: output("ScheduleGroupName")?,
            scheduler_role_arn: output("SchedulerRoleArn")?,
            log_group: output("LogGroupName")?,
            allow: list("AllowedHosts")?
                .map(|host| host.parse().map_err(|_| "AllowedHosts"))
                .collect::<Result<_, _>>()?,
            max_rate: number("MaxRate", parameter("MaxRate")?)?,
            max_workers: number("MaxWorkers", parameter("MaxWorkers")?)?,
            max_usd: number("MaxUsd", parameter("MaxUsd")?)?,
            secrets: list("AllowedSecrets")?.map(ToOwned::to_owned).collect(),
            lead: duration("Lead")?,
            checkpoint: duration("Checkpoint")?,
            slice: duration("Slice")?,
            setup: duration("Setup")?,
            grace: duration("Grace")?,
        })
    }

    /// The ARN of the queue for what could not be delivered.
    pub(crate) fn dead_letters(&self) -> String {
        let partition = self.state_machine_arn.split(':').nth(1).unwrap_or("aws");
        let Self { region, account, stack, .. } = self;
        format!("arn:{partition}:sqs:{region}:{account}:{stack}-dead-letters")
    }
}

/// Why an installation cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum InstallError {
    /// There is none, or its deploy was cut short.
    #[error("there is no stack {stack} in {region}")]
    Absent {
        /// Its name.
        stack: StackName,
        /// Where it was looked for.
        region: String,
    },
    /// Another version deployed it.
    #[error("the stack {stack} is of version {theirs} and this program of {VERSION}")]
    OtherVersion {
        /// Its name.
        stack: StackName,
        /// The version that deployed it.
        theirs: String,
    },
}

impl InstallError {
    /// What the user may do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Absent { .. } => "deathstar deploy makes one; --region and --stack name another",
            Self::OtherVersion { .. } => {
                "deathstar deploy brings it up to date, if this program is the newer one"
            }
        }
    }
}

fn number<T: FromStr>(name: &'static str, text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn place() -> Place {
        Place { partition: "aws".into(), account: "123456789012".into(), region: "eu-west-1".into() }
    }

    fn settings(options: &[&str]) -> SettingArgs {
        let arguments = ["deathstar", "deploy"].iter().chain(options);
        match Cli::try_parse_from(arguments).unwrap().command {
            Command::Deploy(args) => args.settings,
            other => panic!("{other:?}"),
        }
    }

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_become_parameters() {
        let args = settings(&[
            "--allow",
            "shop.example.com",
            "*.test.example.com",
            "--allow",
            "10.0.0.5:8080,shop.example.com",
            "--max-rate",
            "2500/s",
            "--max-workers",
            "40",
            "--max-usd",
            "2.50",
            "--allow-secret",
            "ssm:/shop/token",
            "secretsmanager:arn:aws:secretsmanager:eu-west-1:1:secret:a",
            "--lead",
            "500ms",
            "--grace",
            "5m",
            "--janitor-every",
            "1m",
        ]);
        assert_eq!(
            wanted(&args, &place()).unwrap(),
            parameters(&[
                ("AllowedHosts", "shop.example.com,*.test.example.com,10.0.0.5:8080"),
                (
                    "AllowedSecrets",
                    "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/token,arn:aws:secretsmanager:eu-west-1:1:secret:a"
                ),
                ("MaxRate", "2500"),
                ("MaxWorkers", "40"),
                ("MaxUsd", "2.5"),
                ("Lead", "500ms"),
                ("Grace", "5m"),
                ("JanitorEvery", "1 minute"),
            ])
        );
        assert_eq!(wanted(&settings(&[]), &place()).unwrap(), Parameters::new());
    }

    #[test]
    fn none_empties_a_list_and_stands_alone() {
        let args = settings(&["--allow", "none", "--allow-secret", "none"]);
        assert_eq!(
            wanted(&args, &place()).unwrap(),
            parameters(&[("AllowedHosts", ""), ("AllowedSecrets", "")])
        );
        let args = settings(&["--allow", "none", "a.example.com"]);
        assert_eq!(wanted(&args, &place()), Err(NoneAmongOthers("--allow")));
    }

    #[test]
    fn what_was_not_asked_for_stays_as_it_is() {
        let existing = parameters(&[
            ("AllowedHosts", "a.example.com"),
            ("AllowedSecrets", ""),
            ("MaxRate", "1000"),
            ("MaxWorkers", "7"),
            ("JanitorEvery", "15 minutes"),
            ("ControllerKey", "old.zip"),
            ("OfAnotherVersion", "1"),
        ]);
        let asked = parameters(&[("MaxWorkers", "50"), ("ControllerKey", "new.zip")]);
        let merged = merge(asked, Some(&existing));
        assert_eq!(
            merged.parameters,
            parameters(&[
                ("AllowedHosts", "a.example.com"),
                ("AllowedSecrets", ""),
                ("MaxRate", "1000"),
                ("MaxWorkers", "50"),
                ("JanitorEvery", "15 minutes"),
                ("ControllerKey", "new.zip"),
            ]),
            "a parameter that this template does not know would be refused"
        );
        let kept: Vec<String> =
            merged.kept.iter().map(|(option, value)| format!("{option} {value}")).collect();
        assert_eq!(
            kept,
            ["--allow a.example.com", "--allow-secret none", "--max-rate 1000/s", "--janitor-every 15m"]
        );
        let fresh = merge(parameters(&[("MaxRate", "50")]), None);
        assert_eq!((fresh.parameters, fresh.kept), (parameters(&[("MaxRate", "50")]), vec![]));
    }

    #[test]
    fn every_option_is_a_parameter_of_the_template() {
        for (option, parameter) in OPTIONS {
            assert!(TEMPLATE.contains(&format!("\n  {parameter}:\n    Type:")), "{option}: {parameter}");
        }
    }

    #[test]
    fn the_longest_name_fits_everywhere() {
        let stack: StackName = "a".repeat(STACK_NAME_MAX).parse().unwrap();
        let region = "ap-southeast-2";
        assert!(stack.bucket("123456789012", region).len() <= 63);
        assert!(format!("{stack}-statemachine-{region}").len() <= 64);
        for text in ["", "Upper", "1a", "-a", "a-", "a_b", &"a".repeat(31)] {
            assert!(text.parse::<StackName>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for options in [
            &["--max-rate", "0/s"][..],
            &["--max-rate", "90/m"],
            &["--max-rate", "10"],
            &["--max-workers", "0"],
            &["--max-workers", "10001"],
            &["--max-usd", "-1"],
            &["--max-usd", "NaN"],
            &["--allow", "http://a.example.com/"],
            &["--allow", ""],
            &["--allow-secret", "ssm:/shop/*"],
            &["--allow-secret", "arn:aws:iam::1:role/a"],
            &["--janitor-every", "90s"],
            &["--janitor-every", "0s"],
            &["--stack", "Not A Name"],
        ] {
            let arguments = ["deathstar", "deploy"].iter().chain(options);
            assert!(Cli::try_parse_from(arguments).is_err(), "{options:?}");
        }
    }

    #[test]
    fn a_stack_becomes_its_row() {
        let given = parameters(&[
            ("AllowedHosts", "a.example.com,*.b.example.com"),
            ("AllowedSecrets", ""),
            ("MaxRate", "1000"),
            ("MaxWorkers", "100"),
            ("MaxUsd", "2.5"),
            ("Lead", "500ms"),
            ("Checkpoint", "5s"),
            ("Slice", "10m"),
            ("Setup", "20m"),
            ("Grace", "300s"),
        ]);
        let outputs = parameters(&[
            ("ControllerArn", "c"),
            ("StateMachineArn", "m"),
            ("ScheduleGroupName", "deathstar"),
            ("SchedulerRoleArn", "r"),
            ("LogGroupName", "/deathstar/deathstar"),
        ]);
        let stack: StackName = "deathstar".parse().unwrap();
        let install = Install::of(&stack, &place(), &given, &outputs).unwrap();
        assert_eq!(
            serde_json::to_value(&install).unwrap(),
            serde_json::json!({
                "version": VERSION, "region": "eu-west-1", "account": "123456789012", "stack": "deathstar",
                "controller_arn": "c", "state_machine_arn": "m", "schedule_group": "deathstar",
                "scheduler_role_arn": "r", "log_group": "/deathstar/deathstar",
                "allow": ["a.example.com", "*.b.example.com"], "max_rate": 1000, "max_workers": 100,
                "max_usd": 2.5, "secrets": [],
                "lead": "500ms", "checkpoint": "5s", "slice": "10m", "setup": "20m", "grace": "5m",
            })
        );
        assert_eq!(Install::of(&stack, &place(), &given, &Parameters::new()), Err("ControllerArn"));
    }
}
