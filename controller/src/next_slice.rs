//! `NextSlice`: say what comes after a slice that has lost its worker.
//!
//! Its chain goes on with the slice after the next, when its time comes. Until the
//! other chain's next worker is there, nobody of the shard looks at the stop flag;
//! so this task does, and both chains end when there is one. It creates nothing,
//! and a repeat of it says the same.

use std::time::Duration;

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::SliceId;
use deathstar_statemachine::message::{WorkerOutput, invoked_at};
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::plan;
use crate::ports::{Ports, Table};

/// How often it is looked whether the run was stopped. There may be as many looks
/// as workers that died, all at one partition, so they are less often than a
/// worker's own.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A minute less than this task may take. A slice is shorter, as its worker lives
/// no longer and needs some time at its end.
const LONGEST: SignedDuration = SignedDuration::from_secs(840);

pub(crate) async fn handle(ports: &impl Ports, lost: &SliceId) -> Result<WorkerOutput, TaskError> {
    let (table, clock, run) = (ports.table(), ports.clock(), &lost.run);
    let plan = plan::of(table, run).await?;
    let round = table.rounds(run).await?.into_iter().find(|round| round.number == lost.round);
    let round = round.ok_or_else(|| TaskError::Broken(format!("run {run} has no round {}", lost.round)))?;
    let after = |stopped| WorkerOutput::after(&plan, &round, lost.slice, stopped);
    let other = lost.slice.saturating_add(1);
    if other >= round.slices {
        // No chain of this shard sleeps.
        return Ok(after(false));
    }
    let longest = clock.now().saturating_add(LONGEST).unwrap_or(Timestamp::MAX);
    let until = invoked_at(&plan, &round, other).min(longest);
    loop {
        // A table that is away for a moment ends nothing.
        if clock.now() > plan.deadline || table.is_over(run).await.unwrap_or(false) {
            return Ok(after(true));
        }
        if matches!(table.stop(run).await, Ok(Some(_))) {
            // The worker before it may still wait for its last answers, and this
            // one's may be lost to the state machine alone.
            clock.sleep(plan.pace.obeyed_within()).await;
            return Ok(after(true));
        }
        let left = Duration::try_from(until.duration_since(clock.now())).unwrap_or_default();
        if left.is_zero() {
            return Ok(after(false));
        }
        clock.sleep(left.min(LOOK_EVERY)).await;
    }
}
