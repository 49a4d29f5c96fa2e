//! Dead-man's switches on EventBridge Scheduler: one-time schedules that invoke
//! the controller, and are gone once they have.

use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, Target,
};
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{RunId, SWITCH_PREFIX};
use deathstar_statemachine::message::{CaughtFailure, ReleaseInput, Task};
use jiff::Timestamp;

use super::credentials_failed;
use crate::janitor::OVERDUE;
use crate::ports::{Listed, Switches};

/// How long a switch that could not be delivered is tried again, in seconds; the
/// janitor comes after that.
const TRIED_FOR_S: i32 = 3600;
/// How often it is tried again.
const TRIES: i32 = 30;

/// What a switch invokes, and as whom.
#[derive(Debug, Clone)]
pub struct SwitchTarget {
    /// The ARN of the controller.
    pub controller: String,
    /// The ARN of the role that may invoke it.
    pub role: String,
    /// The ARN of the queue for what could not be delivered.
    pub dead_letters: Option<String>,
}

/// The switches of one stack: the schedules of its group that a run is called by.
#[derive(Debug, Clone)]
pub struct SchedulerSwitches {
    client: Client,
    group: String,
    target: SwitchTarget,
}

impl SchedulerSwitches {
    /// The switches in a schedule group.
    #[must_use]
    pub const fn new(client: Client, group: String, target: SwitchTarget) -> Self {
        Self { client, group, target }
    }

    fn target(&self, run: &RunId) -> Result<Target, TaskError> {
        let cause = format!("run {run} should have ended long ago, and its execution never said how");
        let failure = Some(CaughtFailure { error: OVERDUE.to_owned(), cause });
        let release = ReleaseInput { run: run.clone(), execution: None, failure };
        let input = serde_json::to_string(&Task::Release(release))
            .map_err(|error| TaskError::Broken(error.to_string()))?;
        let retry = RetryPolicy::builder()
            .maximum_event_age_in_seconds(TRIED_FOR_S)
            .maximum_retry_attempts(TRIES)
            .build();
        let dead_letters =
            self.target.dead_letters.as_ref().map(|queue| DeadLetterConfig::builder().arn(queue).build());
        Target::builder()
            .arn(&self.target.controller)
            .role_arn(&self.target.role)
            .input(input)
            .retry_policy(retry)
            .set_dead_letter_config(dead_letters)
            .build()
            .map_err(|error| TaskError::Broken(error.to_string()))
    }
}

impl Switches for SchedulerSwitches {
    async fn arm(&self, run: &RunId, at: Timestamp) -> Result<(), TaskError> {
        let off = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build();
        let armed = self
            .client
            .create_schedule()
            .name(run.switch_name())
            .group_name(&self.group)
            .description(format!("Tears DeathStar's run {run} down if nothing else has"))
            .schedule_expression(at_expression(at))
            .schedule_expression_timezone("UTC")
            .flexible_time_window(off.map_err(|error| TaskError::Broken(error.to_string()))?)
            .target(self.target(run)?)
            .action_after_completion(ActionAfterCompletion::Delete)
            .send()
            .await;
        match armed {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConflictException") => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn disarm(&self, run: &RunId) -> Result<(), TaskError> {
        let deleted =
            self.client.delete_schedule().name(run.switch_name()).group_name(&self.group).send().await;
        match deleted {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn list(&self) -> Result<Vec<Listed>, TaskError> {
        list(&self.client, &self.group).await
    }
}

/// All switches in a schedule group; none when there is no such group.
///
/// # Errors
/// When Scheduler refuses, or cannot be reached.
pub async fn list(client: &Client, group: &str) -> Result<Vec<Listed>, TaskError> {
    let mut listed = Vec::new();
    let mut pages =
        client.list_schedules().group_name(group).name_prefix(SWITCH_PREFIX).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = match page {
            Ok(page) => page,
            Err(error) if error.code() == Some("ResourceNotFoundException") => break,
            Err(error) => return Err(failed(&error)),
        };
        for schedule in page.schedules() {
            let Some(name) = schedule.name() else { continue };
            let expires_at = match client.get_schedule().name(name).group_name(group).send().await {
                Ok(schedule) => schedule.schedule_expression().and_then(time_of),
                // Gone since it was listed.
                Err(error) if error.code() == Some("ResourceNotFoundException") => continue,
                Err(error) => return Err(failed(&error)),
            };
            listed.push(Listed { name: name.to_owned(), expires_at });
        }
    }
    Ok(listed)
}

/// A one-time schedule's expression; whole seconds of UTC, not before `at`.
fn at_expression(at: Timestamp) -> String {
    let up = i64::from(at.subsec_nanosecond() > 0);
    let whole = Timestamp::from_second(at.as_second() + up).unwrap_or(at);
    whole.strftime("at(%Y-%m-%dT%H:%M:%S)").to_string()
}

fn time_of(expression: &str) -> Option<Timestamp> {
    let time = expression.strip_prefix("at(")?.strip_suffix(')')?;
    format!("{time}Z").parse().ok()
}

fn failed<E, R>(error: &SdkError<E, R>) -> TaskError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let text = match error.message() {
        Some(message) => format!("Scheduler: {}: {message}", error.code().unwrap_or("error")),
        None => format!("Scheduler: {}", DisplayErrorContext(error)),
    };
    if let Some(refused) = credentials_failed(error.code(), error, &text) {
        return refused;
    }
    match error.code() {
        Some("AccessDeniedException" | "ValidationException" | "ResourceNotFoundException") => {
            TaskError::Broken(text)
        }
        _ => TaskError::Throttled(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_never_armed_for_too_early() {
        for (at, expected) in [
            ("2026-11-24T05:50:22Z", "at(2026-11-24T05:50:22)"),
            ("2026-11-24T05:50:22.000001Z", "at(2026-11-24T05:50:23)"),
        ] {
            assert_eq!(at_expression(at.parse().unwrap()), expected);
        }
        assert_eq!(time_of("at(2026-11-24T05:50:23)"), Some("2026-11-24T05:50:23Z".parse().unwrap()));
        assert_eq!(time_of("rate(1 hour)"), None);
    }
}
