//! Release: tear down and report a run whose execution cannot do it itself any
//! more: it was stopped, it timed out, or it is overdue.
//!
//! A rule on the execution's status calls it, the run's dead-man's switch, and
//! the janitor; embedded mode calls it when an execution ends outside its
//! definition. It does nothing for a run that has its report, or that another
//! execution has.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::{CaughtFailure, Done, ReleaseInput};
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::report::{Phase, Stop};

use crate::clock::Clock;
use crate::ports::{Ports, Table};
use crate::{report, tear_down};

pub(crate) async fn handle(ports: &impl Ports, input: &ReleaseInput) -> Result<Done, TaskError> {
    let ReleaseInput { run, execution, failure } = input;
    if let Some(execution) = execution
        && is_of_another(ports.table(), run, execution).await?
    {
        return Ok(Done {});
    }
    release(ports, run, failure.clone()).await?;
    Ok(Done {})
}

/// Whether another execution has claimed the run: a tick that was delivered twice,
/// or one that someone started by hand, is not the end of it. A run that nobody has
/// claimed may yet be claimed by this very execution, whose Plan may still be at it.
async fn is_of_another(table: &impl Table, run: &RunId, execution: &str) -> Result<bool, TaskError> {
    Ok(table.run(run).await?.is_some_and(|claimed| claimed.execution != execution))
}

/// Releases a run; the same twice is as good.
pub(crate) async fn release(
    ports: &impl Ports,
    run: &RunId,
    failure: Option<CaughtFailure>,
) -> Result<(), TaskError> {
    let table = ports.table();
    if let Some(plan) = unreported(table, run).await? {
        note_stop(table, run, failure.as_ref()).await?;
        // Workers obey it, and then it must be seen what they saw.
        let under_way = table.rounds(run).await?.iter().any(|round| !round.judged);
        table.end_run(run).await?;
        if under_way {
            ports.clock().sleep(plan.pace.obeyed_within()).await;
        }
    }
    let torn_down = tear_down::handle(ports, run).await;
    // Asked again: a plan that was not there before the run was marked as over is
    // either seen here, or its task sees the mark.
    if unreported(table, run).await?.is_some() {
        note_stop(table, run, failure.as_ref()).await?;
        // As in the definition: the report comes, and says what is left.
        let report = report::build(table, run, failure, Phase::Over).await?;
        table.put_report(run, &report).await?;
    }
    torn_down?;
    tear_down::disarm(ports, run).await
}

/// The plan of a run that has one, and no report yet.
async fn unreported(table: &impl Table, run: &RunId) -> Result<Option<Plan>, TaskError> {
    let plan = table.plan(run).await?;
    Ok(if plan.is_some() && table.report(run).await?.is_none() { plan } else { None })
}

/// A run that ended without a failure was stopped. Kept only if nobody has said
/// why before.
async fn note_stop(
    table: &impl Table,
    run: &RunId,
    failure: Option<&CaughtFailure>,
) -> Result<(), TaskError> {
    if failure.is_none() { table.request_stop(run, &Stop::Requested).await } else { Ok(()) }
}
