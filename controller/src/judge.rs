//! Judge: look at a round that is over, so that another may follow.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::Done;
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::report::{Round, StepSeen};
use deathstar_statemachine::search::Outcome;

use crate::plan;
use crate::ports::{Ports, Table};

/// Windows that are held in memory at once.
const PAGE: u32 = 500;

pub(crate) async fn handle(ports: &impl Ports, run: &RunId, number: u32) -> Result<Done, TaskError> {
    let table = ports.table();
    let rounds = table.rounds(run).await?;
    let held = rounds.iter().filter(|round| round.outcome == Some(Outcome::Held));
    let held = held.filter_map(|round| Some(round.step.as_ref()?.rate)).max();
    let mut round = rounds
        .into_iter()
        .find(|round| round.number == number)
        .ok_or_else(|| TaskError::Broken(format!("run {run} has no round {number}")))?;
    if round.outcome.is_none()
        && round.step.is_some()
        && let Some(mut seen) = seen(table, run, &round, &plan::of(table, run).await?).await?
    {
        round.outcome = Some(seen.outcome());
        round.busy = seen.busy(held);
    }
    round.judged = true;
    table.put_round(run, &round).await?;
    Ok(Done {})
}

/// A step of a search, with all that was seen of it; nothing when the round is none.
async fn seen<'a>(
    table: &impl Table,
    run: &RunId,
    round: &Round,
    plan: &'a Plan,
) -> Result<Option<StepSeen<'a>>, TaskError> {
    let Some(mut seen) = StepSeen::new(plan, round) else { return Ok(None) };
    let mut last = None;
    loop {
        let windows = table.windows(run, seen.from(), last.as_ref(), PAGE).await?;
        windows.iter().for_each(|(slice, window)| seen.window(slice.shard, window));
        last = windows.into_iter().next_back();
        if last.is_none() {
            return Ok(Some(seen));
        }
    }
}
