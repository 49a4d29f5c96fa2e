//! TearDown: release everything in the ledger, whatever happened before.
//!
//! Its first act is to mark the run as over. Steps of an aborted execution may
//! still be running behind it; they look at that mark before they create,
//! claim or decide anything.
//!
//! The run's switch stays armed until the run has its report ([`disarm`]): should
//! anything before that fail for good, the switch tries again.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{FUNCTION_PREFIX, RunId};
use deathstar_statemachine::message::Done;
use deathstar_statemachine::table::LedgerState;

use crate::ports::{Functions, Ports, Switches, Table};

pub(crate) async fn handle(ports: &impl Ports, run: &RunId) -> Result<Done, TaskError> {
    // A table that is away is no reason to leave functions behind: they are
    // deleted by name all the same, and the task fails, to be tried again.
    let by_ledger = release_functions(ports, run).await;
    let by_name = delete_by_name(ports, run).await;
    by_ledger.and(by_name)?;
    Ok(Done {})
}

async fn delete_by_name(ports: &impl Ports, run: &RunId) -> Result<(), TaskError> {
    let mut all = Ok(());
    for function in ports.functions().list(&format!("{FUNCTION_PREFIX}{run}-")).await? {
        // Run `a` must not take the functions of a run `a-1`.
        if RunId::of_function(&function.name).as_ref() == Some(run) {
            // One that cannot be deleted keeps no other one.
            all = all.and(ports.functions().delete(&function.name).await);
        }
    }
    all
}

async fn release_functions(ports: &impl Ports, run: &RunId) -> Result<(), TaskError> {
    let table = ports.table();
    table.end_run(run).await?;
    let switch = run.switch_name();
    let mut all = Ok(());
    for entry in table.ledger(run).await? {
        if entry.state == LedgerState::Deleted || entry.name == switch {
            continue;
        }
        table.advance(run, &entry.name, LedgerState::Deleting).await?;
        match ports.functions().delete(&entry.name).await {
            Ok(()) => table.advance(run, &entry.name, LedgerState::Deleted).await?,
            Err(error) => all = all.and(Err(error)),
        }
    }
    all
}

/// Disarms the run's switch: the last act of all, when nothing is left to do.
pub(crate) async fn disarm(ports: &impl Ports, run: &RunId) -> Result<(), TaskError> {
    let (table, name) = (ports.table(), run.switch_name());
    let ledger = table.ledger(run).await?;
    let Some(entry) = ledger.iter().find(|entry| entry.name == name) else { return Ok(()) };
    if entry.state < LedgerState::Deleted {
        table.advance(run, &name, LedgerState::Deleting).await?;
        ports.switches().disarm(run).await?;
        table.advance(run, &name, LedgerState::Deleted).await?;
    }
    Ok(())
}
