//! What a client asks of the control plane, in either mode.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::report::{Phase, Report};

use crate::ports::Table;
use crate::report;

/// The run's report; of a run that has none yet, what can be said in its `phase`
/// from what was written down. `None` when there is no such run, or it is not
/// planned yet.
///
/// # Errors
/// When the table is unavailable.
pub async fn results(table: &impl Table, run: &RunId, phase: Phase) -> Result<Option<Report>, TaskError> {
    if let Some(report) = table.report(run).await? {
        return Ok(Some(report));
    }
    if table.plan(run).await?.is_none() {
        return Ok(None);
    }
    report::build(table, run, None, phase).await.map(Some)
}
