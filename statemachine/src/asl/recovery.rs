//! What a state does about its own failure: retriers and catchers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::DefinitionError;
use super::fields::Fields;
use super::path::ResultPath;
use super::state::find_state;

/// A payload was larger than [`super::PAYLOAD_LIMIT`]. Only its own name and
/// `States.TaskFailed` match it.
pub(crate) const DATA_LIMIT_EXCEEDED: &str = "States.DataLimitExceeded";
/// The definition and its data do not fit one another. Nothing matches it, so
/// it ends the execution.
pub(crate) const RUNTIME: &str = "States.Runtime";

/// The names that AWS reserves and that a retrier or catcher may use here.
const RESERVED: [&str; 9] = [
    "States.ALL",
    "States.TaskFailed",
    "States.Timeout",
    DATA_LIMIT_EXCEEDED,
    "States.ExceedToleratedFailureThreshold",
    "States.NoChoiceMatched",
    "States.BranchFailed",
    "States.Permissions",
    "States.ResultPathMatchFailure",
];

/// The longest delay before a retry, in seconds: AWS takes less than 366 days.
const MAX_DELAY_SECONDS: u64 = 31_622_399;

/// What tells one error from another, in a retrier or catcher.
#[derive(Debug, Clone)]
pub(crate) struct ErrorNames(Vec<String>);

impl ErrorNames {
    fn take(fields: &mut Fields) -> Result<Self, DefinitionError> {
        let mut names = Vec::new();
        for value in fields.need_list("ErrorEquals")? {
            let Value::String(name) = value else {
                return Err(fields.invalid("ErrorEquals", &value, "names of errors"));
            };
            if name.starts_with("States.") && !RESERVED.contains(&name.as_str()) {
                let expected = "a name of our own, or a reserved one that can be matched";
                return Err(fields.invalid("ErrorEquals", &Value::from(name), expected));
            }
            names.push(name);
        }
        if names.len() > 1 && names.iter().any(|name| name == "States.ALL") {
            return Err(fields.invalid("ErrorEquals", &Value::from(names), "States.ALL to stand alone"));
        }
        Ok(Self(names))
    }

    fn is_wildcard(&self) -> bool {
        self.0.iter().any(|name| name == "States.ALL")
    }

    /// Whether `error` is meant, by the rules of AWS: `States.ALL` means
    /// neither `States.DataLimitExceeded` nor `States.Runtime`,
    /// `States.TaskFailed` means all but `States.Timeout`, and nothing means
    /// `States.Runtime`.
    pub(crate) fn matches(&self, error: &str) -> bool {
        error != RUNTIME
            && self.0.iter().any(|name| match name.as_str() {
                "States.ALL" => error != DATA_LIMIT_EXCEEDED,
                "States.TaskFailed" => error != "States.Timeout",
                name => name == error,
            })
    }
}

/// When to try a state again.
#[derive(Debug, Clone)]
pub(crate) struct Retrier {
    pub(crate) errors: ErrorNames,
    /// Before the first retry, in seconds.
    pub(crate) interval: f64,
    /// How many retries; 0 forbids them.
    pub(crate) max_attempts: u64,
    /// By what each delay is longer than the one before; 1 or more.
    pub(crate) backoff_rate: f64,
    /// No delay is longer, in seconds.
    pub(crate) max_delay: f64,
}

impl Retrier {
    /// Takes `Retry`.
    pub(super) fn take(fields: &mut Fields) -> Result<Vec<Self>, DefinitionError> {
        let mut retriers = Vec::new();
        let mut objects = fields.objects("Retry")?.into_iter().peekable();
        while let Some(mut object) = objects.next() {
            let errors = ErrorNames::take(&mut object)?;
            last_if_wildcard(&object, &errors, objects.peek().is_none())?;
            let interval = object.integer("IntervalSeconds", 1..=MAX_DELAY_SECONDS)?.unwrap_or(1);
            let max_attempts = object.integer("MaxAttempts", 0..=99_999_999)?.unwrap_or(3);
            let backoff_rate = object.number("BackoffRate", 1.0..=1_000_000.0)?.unwrap_or(2.0);
            let max_delay = object.integer("MaxDelaySeconds", interval + 1..=MAX_DELAY_SECONDS)?;
            object.finish()?;
            retriers.push(Self {
                errors,
                interval: interval as f64,
                max_attempts,
                backoff_rate,
                max_delay: max_delay.unwrap_or(MAX_DELAY_SECONDS) as f64,
            });
        }
        Ok(retriers)
    }
}

/// Where to go when a state has failed for good.
#[derive(Debug, Clone)]
pub(crate) struct Catcher {
    pub(crate) errors: ErrorNames,
    pub(crate) result_path: ResultPath,
    pub(crate) next: usize,
}

impl Catcher {
    /// Takes `Catch`; `states` are the names of the states beside this one.
    pub(super) fn take(
        fields: &mut Fields,
        states: &BTreeMap<String, usize>,
    ) -> Result<Vec<Self>, DefinitionError> {
        let mut catchers = Vec::new();
        let mut objects = fields.objects("Catch")?.into_iter().peekable();
        while let Some(mut object) = objects.next() {
            let errors = ErrorNames::take(&mut object)?;
            last_if_wildcard(&object, &errors, objects.peek().is_none())?;
            let result_path = ResultPath::take(&mut object)?;
            let next = object.need_text("Next")?;
            let next = find_state(object.at(), next, states)?;
            object.finish()?;
            catchers.push(Self { errors, result_path, next });
        }
        Ok(catchers)
    }
}

fn last_if_wildcard(object: &Fields, errors: &ErrorNames, last: bool) -> Result<(), DefinitionError> {
    if errors.is_wildcard() && !last {
        return Err(object.invalid("ErrorEquals", &Value::from("States.ALL"), "States.ALL to come last"));
    }
    Ok(())
}
