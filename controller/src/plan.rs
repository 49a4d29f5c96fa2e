//! Plan: claim the run, split it over workers, write that down.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::{PlanInput, PlanOutput};
use deathstar_statemachine::plan::{Plan, PlanError};

use crate::clock::Clock;
use crate::ports::{Functions, Ports, Table};
use crate::release;

pub(crate) async fn handle(ports: &impl Ports, input: PlanInput) -> Result<PlanOutput, TaskError> {
    let PlanInput { execution, started_at, input: start } = input;
    let table = ports.table();
    let (run, at) = (start.run(started_at), start.config());
    let config = table.config(at).await?.ok_or_else(|| {
        TaskError::BadConfig(format!("there is no config {:?} in version {}", at.name, at.version))
    })?;
    let now = ports.clock().now();
    if !table.claim_run(&run, &execution, config.name(), now).await? {
        return Ok(PlanOutput { run, duplicate: true });
    }
    if table.plan(&run).await?.is_none() {
        let plan = Plan::new(run.clone(), config, ports.place().clone(), now);
        let plan = match plan.map_err(|error| refused(&error)) {
            Ok(plan) => allow(ports, &plan).await.map(|()| plan),
            Err(error) => Err(error),
        };
        match plan {
            Ok(plan) => table.put_plan(&plan).await?,
            Err(error) => {
                if matches!(error, TaskError::BadConfig(_) | TaskError::OverLimit(_)) {
                    table.refuse_run(&run).await?;
                }
                return Err(error);
            }
        }
    }
    // Whoever ended the run before it had a plan could not report it.
    if table.is_over(&run).await? {
        release::release(ports, &run, None).await?;
        return Err(TaskError::RunOver(run.to_string()));
    }
    Ok(PlanOutput { run, duplicate: false })
}

fn refused(error: &PlanError) -> TaskError {
    match error {
        PlanError::MoreWorkersThanArrivals { .. }
        | PlanError::MoreWorkersThanConnections { .. }
        | PlanError::References(_)
        | PlanError::Resources(_) => TaskError::BadConfig(error.to_string()),
        PlanError::OverBudget { .. }
        | PlanError::TooManyWorkers { .. }
        | PlanError::TooFewSockets { .. }
        | PlanError::LoadTooLong { .. }
        | PlanError::TimeoutTooLong { .. }
        | PlanError::TimeoutTooLongForSlices { .. } => TaskError::OverLimit(error.to_string()),
    }
}

/// Refuses a plan that this installation does not allow, or that the platform
/// could not carry, before anything is created for it.
async fn allow(ports: &impl Ports, plan: &Plan) -> Result<(), TaskError> {
    let refusals = ports.policy().refusals(plan, plan.cost_usd());
    if !refusals.is_empty() {
        let all: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        return Err(TaskError::OverLimit(all.join("; ")));
    }
    let (needed, available) = (plan.concurrency(), ports.functions().concurrency().await?);
    if needed > available {
        let workers = plan.workers;
        return Err(TaskError::OverLimit(format!(
            "{workers} workers need {needed} invocations at once, and {available} may run: ask for {} more concurrent executions, or use fewer workers",
            needed - available
        )));
    }
    Ok(())
}

/// The plan of a run that has been planned.
pub(crate) async fn of(table: &impl Table, run: &RunId) -> Result<Plan, TaskError> {
    table.plan(run).await?.ok_or_else(|| TaskError::Broken(format!("run {run} has no plan")))
}
