//! Judge: look at a round that is over, so that another may follow.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::Done;

use crate::ports::{Ports, Table};

pub(crate) async fn handle(ports: &impl Ports, run: &RunId, number: u32) -> Result<Done, TaskError> {
    let table = ports.table();
    let rounds = table.rounds(run).await?;
    let mut round = rounds
        .into_iter()
        .find(|round| round.number == number)
        .ok_or_else(|| TaskError::Broken(format!("run {run} has no round {number}")))?;
    round.judged = true;
    table.put_round(run, &round).await?;
    Ok(Done {})
}
