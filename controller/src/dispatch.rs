//! The only place a task meets its handler; both modes call it.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::message::Task;
use serde::Serialize;
use serde_json::Value;

use crate::ports::Ports;
use crate::{
    await_fleet, janitor, judge, next_round, next_slice, plan, provision, release, report, tear_down,
};

/// Runs a task: JSON in, JSON out, in both modes.
///
/// # Errors
/// What the handler says; or [`TaskError::Broken`] when the payload is no task.
pub async fn run_task(ports: &impl Ports, payload: Value) -> Result<Value, TaskError> {
    let task: Task =
        serde_json::from_value(payload).map_err(|error| TaskError::Broken(format!("not a task: {error}")))?;
    match task {
        Task::Plan(input) => answer(plan::handle(ports, input).await?),
        Task::Provision(input) => answer(provision::handle(ports, &input.run).await?),
        Task::AwaitFleet(input) => answer(await_fleet::handle(ports, &input.run).await?),
        Task::NextRound(input) => answer(next_round::handle(ports, &input.run).await?),
        Task::NextSlice(lost) => answer(next_slice::handle(ports, &lost).await?),
        Task::Judge(input) => answer(judge::handle(ports, &input.run, input.round).await?),
        Task::TearDown(input) => answer(tear_down::handle(ports, &input.run).await?),
        Task::Report(input) => answer(report::handle(ports, &input).await?),
        Task::Release(input) => answer(release::handle(ports, &input).await?),
        Task::Janitor => answer(janitor::handle(ports).await?),
    }
}

fn answer(output: impl Serialize) -> Result<Value, TaskError> {
    serde_json::to_value(output)
        .map_err(|error| TaskError::Broken(format!("an answer that is no JSON: {error}")))
}
