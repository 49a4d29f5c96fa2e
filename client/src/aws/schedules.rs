//! The schedules of a stack that start runs. They share a group with the
//! stack's own, and are told apart by their names.

use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::operation::get_schedule::GetScheduleOutput;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, Target,
};
use deathstar_statemachine::ids::ScheduleName;
use deathstar_statemachine::message::{ConfigRef, Start};
use serde::Serialize;

use super::connection::Connection;
use super::error::{AwsError, Why, failed};
use crate::install::Install;

/// What the schedules of users are called by.
const PREFIX: &str = "tick-";

/// What stands for the time that a tick was due, until Scheduler writes it. See
/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html>.
const SCHEDULED_TIME: &str = "<aws.scheduler.scheduled-time>";

/// How long a tick that could not be delivered is tried again, in seconds: load
/// that comes much later than it was meant to is worse than none.
const TRIED_FOR_S: i32 = 300;
/// How often it is tried again.
const TRIES: i32 = 10;

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Schedule {
    /// Its name.
    pub(crate) name: ScheduleName,
    /// When, as Scheduler writes it: `cron(…)`, `rate(…)` or `at(…)`.
    pub(crate) when: String,
    /// The time zone of that.
    pub(crate) timezone: String,
    /// What it runs.
    pub(crate) config: ConfigRef,
    /// Whether it is taken away when it has started its last run.
    #[serde(skip)]
    pub(crate) once: bool,
}

/// What became of an addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is new.
    New,
    /// It took the place of another.
    Replaced,
    /// There is one of that name, which stays.
    NameIsTaken,
}

/// The schedules of one stack.
#[derive(Debug, Clone)]
pub(crate) struct Schedules {
    client: Client,
    group: String,
    machine: String,
    role: String,
    dead_letters: String,
}

impl Schedules {
    /// Those of an installation.
    pub(crate) fn new(connection: &Connection, install: &Install) -> Self {
        Self {
            client: Client::new(connection.config()),
            group: install.schedule_group.clone(),
            machine: install.state_machine_arn.clone(),
            role: install.scheduler_role_arn.clone(),
            dead_letters: install.dead_letters(),
        }
    }

    /// Adds a schedule; `replace` allows it to take the place of another.
    ///
    /// # Errors
    /// When Scheduler refuses, or cannot be reached.
    pub(crate) async fn add(&self, schedule: &Schedule, replace: bool) -> Result<Added, AwsError> {
        if replace && self.update(schedule).await? {
            return Ok(Added::Replaced);
        }
        let create = self.client.create_schedule().name(scheduled_name(&schedule.name));
        let create = create.group_name(&self.group).description(description(schedule));
        let create = create.schedule_expression(&schedule.when);
        let create = create.schedule_expression_timezone(&schedule.timezone);
        let create = create.flexible_time_window(on_time(schedule)?).target(self.target(schedule)?);
        let create = create.set_action_after_completion(afterwards(schedule));
        let doing = format!("add the schedule {}", schedule.name);
        match create.send().await.map_err(failed("scheduler:CreateSchedule", doing)) {
            Ok(_) => Ok(Added::New),
            Err(error) if error.code() == Some("ConflictException") => Ok(Added::NameIsTaken),
            Err(error) => Err(error),
        }
    }

    /// Replaces a schedule; false when there is none of that name.
    async fn update(&self, schedule: &Schedule) -> Result<bool, AwsError> {
        let update = self.client.update_schedule().name(scheduled_name(&schedule.name));
        let update = update.group_name(&self.group).description(description(schedule));
        let update = update.schedule_expression(&schedule.when);
        let update = update.schedule_expression_timezone(&schedule.timezone);
        let update = update.flexible_time_window(on_time(schedule)?).target(self.target(schedule)?);
        let update = update.set_action_after_completion(afterwards(schedule));
        let doing = format!("replace the schedule {}", schedule.name);
        match update.send().await.map_err(failed("scheduler:UpdateSchedule", doing)) {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All schedules, by name.
    ///
    /// # Errors
    /// When Scheduler refuses, or cannot be reached.
    pub(crate) async fn list(&self) -> Result<Vec<Schedule>, AwsError> {
        let mut schedules = Vec::new();
        let list = self.client.list_schedules().group_name(&self.group).name_prefix(PREFIX);
        let mut pages = list.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(failed("scheduler:ListSchedules", "list schedules"))?;
            for name in page.schedules().iter().filter_map(|schedule| schedule.name()) {
                let doing = format!("read the schedule {name}");
                let get = self.client.get_schedule().group_name(&self.group).name(name).send().await;
                match get.map_err(failed("scheduler:GetSchedule", &doing)) {
                    Ok(schedule) => schedules.extend(read(name, &schedule)),
                    // Gone since it was listed.
                    Err(error) if error.code() == Some("ResourceNotFoundException") => {}
                    Err(error) => return Err(error),
                }
            }
        }
        schedules.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(schedules)
    }

    /// Takes a schedule away; false when there is none of that name.
    ///
    /// # Errors
    /// When Scheduler refuses, or cannot be reached.
    pub(crate) async fn remove(&self, name: &ScheduleName) -> Result<bool, AwsError> {
        let delete = self.client.delete_schedule().group_name(&self.group).name(scheduled_name(name));
        let doing = format!("remove the schedule {name}");
        match delete.send().await.map_err(failed("scheduler:DeleteSchedule", doing)) {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn target(&self, schedule: &Schedule) -> Result<Target, AwsError> {
        let retry =
            RetryPolicy::builder().maximum_event_age_in_seconds(TRIED_FOR_S).maximum_retry_attempts(TRIES);
        let dead_letters = DeadLetterConfig::builder().arn(&self.dead_letters).build();
        let target = Target::builder().arn(&self.machine).role_arn(&self.role).input(input(schedule)?);
        let target = target.retry_policy(retry.build()).dead_letter_config(dead_letters).build();
        target.map_err(|error| garbled(schedule, &error))
    }
}

/// What an execution of the schedule starts with.
fn input(schedule: &Schedule) -> Result<String, AwsError> {
    let (name, config) = (schedule.name.clone(), schedule.config.clone());
    let start = Start::Tick { schedule: name, tick: SCHEDULED_TIME.to_owned(), config };
    serde_json::to_string(&start).map_err(|error| garbled(schedule, &error))
}

fn scheduled_name(name: &ScheduleName) -> String {
    format!("{PREFIX}{name}")
}

fn description(schedule: &Schedule) -> String {
    format!("DeathStar runs {:.100}, version {}", schedule.config.name, schedule.config.version)
}

fn on_time(schedule: &Schedule) -> Result<FlexibleTimeWindow, AwsError> {
    let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build();
    window.map_err(|error| garbled(schedule, &error))
}

fn afterwards(schedule: &Schedule) -> Option<ActionAfterCompletion> {
    schedule.once.then_some(ActionAfterCompletion::Delete)
}

fn garbled(schedule: &Schedule, error: &impl ToString) -> AwsError {
    AwsError::new(format!("describe the schedule {}", schedule.name), Why::Garbled(error.to_string()))
}

/// A schedule as it was read; `None` for one that is not of our making.
fn read(name: &str, schedule: &GetScheduleOutput) -> Option<Schedule> {
    let input = schedule.target()?.input()?;
    let Start::Tick { config, .. } = serde_json::from_str(input).ok()? else { return None };
    Some(Schedule {
        name: name.strip_prefix(PREFIX)?.parse().ok()?,
        when: schedule.schedule_expression()?.to_owned(),
        timezone: schedule.schedule_expression_timezone().unwrap_or(crate::schedule::UTC).to_owned(),
        config,
        once: schedule.action_after_completion() == Some(&ActionAfterCompletion::Delete),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_starts_the_run_that_is_named_after_its_minute() {
        let schedule = Schedule {
            name: "nightly".parse().unwrap(),
            when: "cron(0 3 * * ? *)".to_owned(),
            timezone: "UTC".to_owned(),
            config: ConfigRef { name: "shop".to_owned(), version: "0123456789abcdef".to_owned() },
            once: false,
        };
        let text = input(&schedule).unwrap();
        // What Scheduler makes of it.
        let text = text.replace("<aws.scheduler.scheduled-time>", "2026-12-01T02:00:00Z");
        let start: Start = serde_json::from_str(&text).unwrap();
        let started_late = "2026-12-01T02:03:00Z".parse().unwrap();
        assert_eq!(start.run(started_late).as_str(), "nightly-20261201-0200");
        assert_eq!(start.config(), &schedule.config);
    }

    #[test]
    fn what_is_not_ours_is_no_schedule() {
        let target = |input: &str| Target::builder().arn("a").role_arn("r").input(input).build().unwrap();
        let of = |input: &str| {
            GetScheduleOutput::builder().schedule_expression("rate(1 hour)").target(target(input)).build()
        };
        let tick = r#"{"schedule":"a","tick":"t","config":{"name":"c","version":"1"}}"#;
        let found = read("tick-a", &of(tick)).unwrap();
        assert_eq!(
            (found.name.as_str(), found.when.as_str(), found.timezone.as_str()),
            ("a", "rate(1 hour)", "UTC")
        );
        assert_eq!(read("tick-a", &of(r#"{"task":"Janitor"}"#)), None);
        assert_eq!(read("janitor", &of(tick)), None);
    }
}
