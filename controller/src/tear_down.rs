//! TearDown: release everything in the ledger, whatever happened before.
//!
//! Its first act is to mark the run as over. Steps of an aborted execution may
//! still be running behind it; they look at that mark before they create,
//! claim or decide anything.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{FUNCTION_PREFIX, RunId};
use deathstar_statemachine::message::Done;
use deathstar_statemachine::table::LedgerState;

use crate::ports::{Functions, Ports, Table};

pub(crate) async fn handle(ports: &impl Ports, run: &RunId) -> Result<Done, TaskError> {
    // A table that is away is no reason to leave functions behind: they are
    // deleted by name all the same, and the task fails, to be tried again.
    let by_ledger = release_ledger(ports, run).await;
    for name in ports.functions().list(&format!("{FUNCTION_PREFIX}{run}-")).await? {
        ports.functions().delete(&name).await?;
    }
    by_ledger.map(|()| Done {})
}

async fn release_ledger(ports: &impl Ports, run: &RunId) -> Result<(), TaskError> {
    let table = ports.table();
    table.end_run(run).await?;
    for entry in table.ledger(run).await? {
        if entry.state == LedgerState::Deleted {
            continue;
        }
        table.advance(run, &entry.name, LedgerState::Deleting).await?;
        ports.functions().delete(&entry.name).await?;
        table.advance(run, &entry.name, LedgerState::Deleted).await?;
    }
    Ok(())
}
