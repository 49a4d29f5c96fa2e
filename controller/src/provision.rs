//! Provision: create the run's worker functions, each written to the ledger
//! before it exists.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::Done;
use deathstar_statemachine::table::LedgerState;

use crate::plan;
use crate::ports::{Functions, Ports, Table};

pub(crate) async fn handle(ports: &impl Ports, run: &RunId) -> Result<Done, TaskError> {
    let table = ports.table();
    let plan = plan::of(table, run).await?;
    let ledger = table.ledger(run).await?;
    for fleet in &plan.fleets {
        let created = |state| state >= LedgerState::Created;
        if ledger.iter().any(|entry| entry.name == fleet.function && created(entry.state)) {
            continue;
        }
        if !table.intend(run, &fleet.function).await? {
            return Err(TaskError::RunOver(run.to_string()));
        }
        ports.functions().create(&fleet.function).await?;
        table.advance(run, &fleet.function, LedgerState::Created).await?;
    }
    Ok(Done {})
}
