//! Plan: claim the run, split it over workers, write that down.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::{PlanInput, PlanOutput};
use deathstar_statemachine::plan::{Plan, PlanError};

use crate::clock::Clock;
use crate::ports::{Ports, Table};

pub(crate) async fn handle(ports: &impl Ports, input: PlanInput) -> Result<PlanOutput, TaskError> {
    let PlanInput { execution, input: start } = input;
    let table = ports.table();
    let config = table.config(&start.config).await?.ok_or_else(|| {
        TaskError::BadConfig(format!(
            "there is no config {:?} in version {}",
            start.config.name, start.config.version
        ))
    })?;
    let now = ports.clock().now();
    if !table.claim_run(&start.run, &execution, config.name(), now).await? {
        return Ok(PlanOutput { run: start.run, duplicate: true });
    }
    if table.plan(&start.run).await?.is_none() {
        let plan =
            Plan::new(start.run.clone(), config, ports.place().clone(), now).map_err(
                |error| match error {
                    PlanError::MoreWorkersThanArrivals { .. } => TaskError::BadConfig(error.to_string()),
                    PlanError::TooManyWorkers { .. }
                    | PlanError::TooFewSockets { .. }
                    | PlanError::TimeoutTooLong { .. } => TaskError::OverLimit(error.to_string()),
                },
            )?;
        table.put_plan(&plan).await?;
    }
    Ok(PlanOutput { run: start.run, duplicate: false })
}

/// The plan of a run that has been planned.
pub(crate) async fn of(table: &impl Table, run: &RunId) -> Result<Plan, TaskError> {
    table.plan(run).await?.ok_or_else(|| TaskError::Broken(format!("run {run} has no plan")))
}
