//! AwaitFleet: wait until every worker function can be invoked.
//!
//! The States Language counts in whole seconds, so the handler itself looks
//! often at first: functions of embedded mode are ready within milliseconds.

use std::time::Duration;

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::Done;

use crate::clock::Clock;
use crate::plan;
use crate::ports::{FunctionState, Functions, Ports, Table};

/// The first pause between two looks; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After so many looks the definition takes over: about 5 s.
const LOOKS: u32 = 14;

pub(crate) async fn handle(ports: &impl Ports, run: &RunId) -> Result<Done, TaskError> {
    let plan = plan::of(ports.table(), run).await?;
    let mut pending: Vec<&str> = plan.fleets.iter().map(|fleet| fleet.function.as_str()).collect();
    let mut pause = FIRST_PAUSE;
    for _ in 0..LOOKS {
        let mut still = Vec::new();
        for name in pending {
            match ports.functions().state(name).await? {
                FunctionState::Active => {}
                FunctionState::Pending => still.push(name),
                FunctionState::Failed(why) => {
                    return Err(TaskError::Broken(format!("worker function {name} cannot start: {why}")));
                }
                FunctionState::Missing => return Err(gone(ports.table(), run, name).await?),
            }
        }
        if still.is_empty() {
            return Ok(Done {});
        }
        pending = still;
        ports.clock().sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Err(TaskError::FleetPending { pending: pending.len(), total: plan.fleets.len() })
}

/// Why a function is gone that was made: the run is over, or it was somebody else.
async fn gone(table: &impl Table, run: &RunId, name: &str) -> Result<TaskError, TaskError> {
    if table.is_over(run).await? {
        return Ok(TaskError::RunOver(run.to_string()));
    }
    let why =
        format!("worker function {name} has vanished: somebody else deleted it, and run {run} is not over");
    Ok(TaskError::Broken(why))
}
