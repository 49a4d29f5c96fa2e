//! What the stack tells its controller: the environment of its function.

use std::num::NonZeroU32;
use std::str::FromStr;

use deathstar_statemachine::plan::Place;
use deathstar_statemachine::policy::{HostPattern, Policy};
use deathstar_statemachine::units::{Rate, parse_duration};
use thiserror::Error;

use super::place;
use super::table::CONFIG_LIMIT;

/// Why the environment does not do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// A variable is missing.
    #[error("the controller's environment lacks {0}")]
    Missing(&'static str),
    /// A variable does not say what it should.
    #[error("{name}={value:?} in the controller's environment: {problem}")]
    Malformed {
        /// The variable.
        name: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What the stack tells its controller.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The run's table.
    pub table: String,
    /// The ARN of the role of workers.
    pub worker_role: String,
    /// The log group that workers share.
    pub log_group: String,
    /// The group of the stack's schedules.
    pub schedule_group: String,
    /// The ARN of the role that schedules act as.
    pub scheduler_role: String,
    /// The ARN of the queue for what could not be delivered.
    pub dead_letters: Option<String>,
    /// What may be attacked, and how hard.
    pub policy: Policy,
    /// What the plan may count on.
    pub place: Place,
}

impl Settings {
    /// Reads the environment, one variable at a time.
    ///
    /// # Errors
    /// When a variable is missing, or cannot be understood.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let given = |name| variable(name).filter(|value| !value.trim().is_empty());
        let needed = |name| given(name).ok_or(SettingsError::Missing(name));
        let duration = |name, default| {
            given(name).map_or(Ok(default), |value| {
                parse_duration(&value).map_err(|error| malformed(name, value, &error))
            })
        };
        let allow = given("DEATHSTAR_ALLOW").unwrap_or_default();
        let hosts = allow.split([',', ' ']).map(str::trim).filter(|host| !host.is_empty());
        let hosts: Result<Vec<HostPattern>, _> = hosts.map(str::parse).collect();
        let policy = Policy {
            allow: Some(hosts.map_err(|error| malformed("DEATHSTAR_ALLOW", allow.clone(), &error))?),
            // Whole requests per second, since a stack's parameter is a number.
            max_rate: parsed::<Rate>("DEATHSTAR_MAX_RATE", given("DEATHSTAR_MAX_RATE"))?,
            max_workers: parsed::<NonZeroU32>("DEATHSTAR_MAX_WORKERS", given("DEATHSTAR_MAX_WORKERS"))?,
            max_usd: parsed::<f64>("DEATHSTAR_MAX_USD", given("DEATHSTAR_MAX_USD"))?,
            region: given("AWS_REGION"),
            max_config_bytes: Some(CONFIG_LIMIT),
        };
        let usual = place::Settings::default();
        let place = place::place(&place::Settings {
            lead: duration("DEATHSTAR_LEAD", usual.lead)?,
            checkpoint: duration("DEATHSTAR_CHECKPOINT", usual.checkpoint)?,
            slice: duration("DEATHSTAR_SLICE", usual.slice)?,
            grace: duration("DEATHSTAR_GRACE", usual.grace)?,
            setup: duration("DEATHSTAR_SETUP", usual.setup)?,
            max_workers: policy.max_workers.unwrap_or(usual.max_workers),
        });
        Ok(Self {
            table: needed("DEATHSTAR_TABLE")?,
            worker_role: needed("DEATHSTAR_WORKER_ROLE")?,
            log_group: needed("DEATHSTAR_LOG_GROUP")?,
            schedule_group: needed("DEATHSTAR_SCHEDULE_GROUP")?,
            scheduler_role: needed("DEATHSTAR_SCHEDULER_ROLE")?,
            dead_letters: given("DEATHSTAR_DEAD_LETTERS"),
            policy,
            place,
        })
    }
}

fn malformed(name: &'static str, value: String, problem: &impl ToString) -> SettingsError {
    SettingsError::Malformed { name, value, problem: problem.to_string() }
}

fn parsed<T: FromStr<Err: ToString>>(
    name: &'static str,
    value: Option<String>,
) -> Result<Option<T>, SettingsError> {
    let parse = |value: String| value.trim().parse().map_err(|error: T::Err| malformed(name, value, &error));
    value.map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let needed = [
            ("DEATHSTAR_TABLE", "deathstar"),
            ("DEATHSTAR_WORKER_ROLE", "arn:worker"),
            ("DEATHSTAR_LOG_GROUP", "/deathstar/deathstar"),
            ("DEATHSTAR_SCHEDULE_GROUP", "deathstar"),
            ("DEATHSTAR_SCHEDULER_ROLE", "arn:scheduler"),
        ];
        Settings::read(|name| {
            let found = pairs.iter().chain(&needed).find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_stack_that_says_nothing_allows_nothing() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.policy.allow, Some(Vec::new()));
        assert_eq!(settings.policy.max_rate, None);
        assert_eq!(settings.place.slice, Duration::from_secs(600));
    }

    #[test]
    fn limits_are_read_as_written() {
        let settings = read(&[
            ("DEATHSTAR_ALLOW", "shop.example.com, *.a.b:8080"),
            ("DEATHSTAR_MAX_RATE", "1000/s"),
            ("DEATHSTAR_MAX_WORKERS", "40"),
            ("DEATHSTAR_MAX_USD", "2.50"),
            ("DEATHSTAR_LEAD", "1500ms"),
        ])
        .unwrap();
        assert_eq!(settings.policy.allow.unwrap().len(), 2);
        assert_eq!(settings.policy.max_rate, Some(Rate::per_second(1000)));
        assert_eq!(settings.policy.max_usd, Some(2.5));
        assert_eq!((settings.place.cores.get(), settings.place.lead.as_millis()), (40, 1500));
    }

    #[test]
    fn what_cannot_be_understood_is_refused_by_name() {
        for (name, value) in [
            ("DEATHSTAR_ALLOW", "http://a.b/"),
            ("DEATHSTAR_MAX_RATE", "fast"),
            ("DEATHSTAR_MAX_WORKERS", "0"),
            ("DEATHSTAR_SLICE", "10"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        assert_eq!(read(&[("DEATHSTAR_TABLE", " ")]).unwrap_err(), SettingsError::Missing("DEATHSTAR_TABLE"));
    }
}
