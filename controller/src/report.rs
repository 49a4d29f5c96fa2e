//! Report: merge all that workers saw, judge it, write it down.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::{CaughtFailure, Done, ReportInput};
use deathstar_statemachine::report::{Merge, Phase, Report};
use deathstar_statemachine::table::{LedgerEntry, LedgerState};

use crate::ports::{Ports, Table};
use crate::{metrics, plan, tear_down};

/// Windows that are held in memory at once.
const PAGE: u32 = 500;

/// Ends of slices that are held in memory at once; each has totals with three
/// digits for every request.
const ENDS_PAGE: u32 = 100;

pub(crate) async fn handle(ports: &impl Ports, input: &ReportInput) -> Result<Done, TaskError> {
    let table = ports.table();
    let plan = plan::of(table, &input.run).await?;
    let measured = metrics::read(ports, &plan, &table.rounds(&input.run).await?).await;
    let failure = input.failure();
    let mut report = build_with(table, &input.run, failure.clone(), Phase::Over, &measured).await?;
    // Release may have reported the run meanwhile: what it says of the execution's
    // end, nobody else knows. A stop it had noted in the table before.
    if let Some(released) = table.report(&input.run).await? {
        let kept = released.failure.or_else(|| failure.clone());
        if kept != failure || released.stopped != report.stopped {
            report = build_with(table, &input.run, kept, Phase::Over, &measured).await?;
        }
    }
    table.put_report(&input.run, &report).await?;
    // What TearDown could not delete, the switch tries again.
    if report.leaks == 0 {
        tear_down::disarm(ports, &input.run).await?;
    }
    Ok(Done {})
}

/// The report of what is in the table now.
pub(crate) async fn build(
    table: &impl Table,
    run: &RunId,
    failure: Option<CaughtFailure>,
    phase: Phase,
) -> Result<Report, TaskError> {
    build_with(table, run, failure, phase, &metrics::Found::default()).await
}

/// The same, with what the platform measured of targets meanwhile.
async fn build_with(
    table: &impl Table,
    run: &RunId,
    failure: Option<CaughtFailure>,
    phase: Phase,
    (readings, misses): &metrics::Found,
) -> Result<Report, TaskError> {
    let plan = plan::of(table, run).await?;
    let mut merge = Merge::new(&plan, table.rounds(run).await?);
    merge.read(readings, misses);
    let mut last = None;
    loop {
        let ends = table.slice_ends(run, last.as_ref(), ENDS_PAGE).await?;
        ends.iter().for_each(|(slice, end)| merge.end(slice, end));
        last = ends.into_iter().next_back().map(|(slice, _)| slice);
        if last.is_none() {
            break;
        }
    }
    let mut last = None;
    loop {
        let windows = table.windows(run, 0, last.as_ref(), PAGE).await?;
        windows.iter().for_each(|(slice, window)| merge.window(slice, window));
        last = windows.into_iter().next_back();
        if last.is_none() {
            break;
        }
    }
    // The run's switch goes after its report.
    let switch = run.switch_name();
    let is_left = |entry: &LedgerEntry| entry.state != LedgerState::Deleted && entry.name != switch;
    let left = table.ledger(run).await?.into_iter().filter(is_left).count();
    // What a killed process had made in itself went with it, and what a run
    // under way has made it still needs.
    let leaks = if phase == Phase::Over { left as u64 } else { 0 };
    Ok(merge.report(table.stop(run).await?, failure, leaks, phase))
}
