//! What a client asks of the control plane, in either mode.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::report::Report;

use crate::ports::Table;
use crate::report;

/// The run's report; of a run that was killed before it had one, what can be
/// said from what was written down. `None` when there is no such run, or it is
/// not planned yet.
///
/// # Errors
/// When the table is unavailable.
pub async fn results(table: &impl Table, run: &RunId, killed: bool) -> Result<Option<Report>, TaskError> {
    if let Some(report) = table.report(run).await? {
        return Ok(Some(report));
    }
    if table.plan(run).await?.is_none() {
        return Ok(None);
    }
    report::build(table, run, None, killed).await.map(Some)
}
