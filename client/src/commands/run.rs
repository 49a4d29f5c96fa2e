//! `deathstar run`: the whole of a run, on this machine.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use deathstar_controller::ports::Table;
use deathstar_statemachine::config::Config;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::interpreter::Failure;
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::report::{Report, Stop};
use deathstar_statemachine::table::LedgerState;

use super::signals::Signals;
use super::{CommandError, block_on, eprintln_quietly, open, print, print_json};
use crate::cli::{Output, RunArgs};
use crate::embedded::Embedded;
use crate::exit::Exit;
use crate::output::{self, Style};
use crate::progress::Progress;
use crate::{clock, config_file, machine};

/// How long until a run that could not be asked to stop is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

pub(super) fn run(home: Option<PathBuf>, args: &RunArgs, style: Style) -> Result<Exit, CommandError> {
    let config = config_file::read(&args.config)?;
    let ended = execute(home, &config, args.id.clone(), args.quiet)?;
    let Some(report) = &ended.report else { return Ok(ended.exit) };
    match args.output {
        Output::Text => print(&output::text::report(report, style))?,
        Output::Json => print_json(report)?,
    }
    Ok(ended.exit)
}

/// A run that has ended.
pub(super) struct Ended {
    /// Its report; none when it was given up.
    pub(super) report: Option<Report>,
    /// What it comes to.
    pub(super) exit: Exit,
}

/// Runs a config from end to end, and shows progress on standard error.
pub(super) fn execute(
    home: Option<PathBuf>,
    config: &Config,
    id: Option<RunId>,
    quiet: bool,
) -> Result<Ended, CommandError> {
    block_on(async {
        let started = clock::now();
        let run = id.unwrap_or_else(|| RunId::of(config.name(), started, salt(started)));
        let place = machine::place();
        // What the machine cannot do is said before anything is written.
        let plan = Plan::new(run.clone(), config.clone(), place.clone(), started)
            .map_err(|error| CommandError::BadInput(error.to_string()))?;
        plan.warnings.iter().for_each(|warning| eprintln_quietly(&format!("warning: {warning}")));
        let (home, table) = open(home)?;
        // Locked before the look, so that no other process makes the run between.
        let _lock = home.lock(&run)?;
        if table.plan(&run).await?.is_some() {
            return Err(CommandError::BadInput(format!("there is a run {run} already; choose another --id")));
        }
        let mut signals =
            Signals::listen().map_err(|error| CommandError::Broken(format!("no signals: {error}")))?;
        let embedded = Embedded::new(table.clone(), place);
        let progress = Progress::start(&run, &plan, quiet);
        let running = embedded.run(&run, config);
        tokio::pin!(running);
        let ended = tokio::select! {
            ended = &mut running => ended,
            () = progress.follow(&table) => unreachable!("progress follows for ever"),
            () = signals.next() => {
                progress.say("stopping; the report follows. Once more gives up at once");
                tokio::select! {
                    ended = &mut running => ended,
                    never = interrupt(&table, &run) => match never {},
                    () = progress.follow(&table) => unreachable!("progress follows for ever"),
                    () = signals.next() => {
                        progress.finish();
                        return give_up(&table, &run).await;
                    }
                }
            }
        };
        progress.finish();
        let result = ended?.result;
        let report = table.report(&run).await?;
        if report.is_some() {
            // Only tidying: the run's result does not depend on it.
            let _ = table.forget_windows(&run).await;
        }
        conclude(report, result, &run)
    })
}

fn conclude(
    report: Option<Report>,
    result: Result<serde_json::Value, Failure>,
    run: &RunId,
) -> Result<Ended, CommandError> {
    let Some(report) = report else {
        let failure =
            result.err().map_or_else(|| "it wrote no report".to_owned(), |failure| failure.to_string());
        return Err(CommandError::Broken(format!(
            "run {run} failed: {failure}; deathstar results {run} shows what it had written down"
        )));
    };
    let mut exit = output::exit_of(&report);
    if let Err(failure) = result {
        exit = exit.and(Exit::Broken);
        if report.failure.is_none() {
            eprintln_quietly(&format!("error: run {run} failed: {failure}"));
        }
    }
    Ok(Ended { report: Some(report), exit })
}

/// Asks a run to stop until that is written down, and then waits for ever: a
/// run that is not planned yet has no row to write it in.
async fn interrupt(table: &impl Table, run: &RunId) -> Infallible {
    while !matches!(table.stop(run).await, Ok(Some(_))) {
        // What is refused now is tried again.
        let _ = table.request_stop(run, &Stop::Interrupted).await;
        tokio::time::sleep(ASK_AGAIN).await;
    }
    std::future::pending().await
}

/// The second Ctrl-C: say what remains, and go. Functions of this process end
/// with it.
async fn give_up(table: &impl Table, run: &RunId) -> Result<Ended, CommandError> {
    // It may have come before the first one was written down.
    let _ = table.request_stop(run, &Stop::Interrupted).await;
    let ledger = table.ledger(run).await?;
    let left = ledger.iter().filter(|entry| entry.state != LedgerState::Deleted).count();
    eprintln_quietly(&format!(
        "given up: {left} worker function{} of run {run} end{} with this process; deathstar results {run} shows what it had written down",
        if left == 1 { "" } else { "s" },
        if left == 1 { "s" } else { "" },
    ));
    Ok(Ended { report: None, exit: Exit::Interrupted })
}

/// Tells runs of the same second apart.
fn salt(started: jiff::Timestamp) -> u32 {
    started.subsec_nanosecond().unsigned_abs() ^ std::process::id().rotate_left(12)
}

#[cfg(test)]
mod tests {
    use deathstar_controller::embedded::table::SqliteTable;

    use super::*;

    #[tokio::test]
    async fn an_interrupt_before_the_run_is_planned_is_not_lost() {
        let directory = tempfile::tempdir().unwrap();
        let table = SqliteTable::open(&directory.path().join("runs.db")).unwrap();
        let run: RunId = "a-run".parse().unwrap();
        let planned_later = async {
            tokio::time::sleep(ASK_AGAIN * 3).await;
            assert!(table.claim_run(&run, "execution", "name", clock::now()).await.unwrap());
            while table.stop(&run).await.unwrap().is_none() {
                tokio::time::sleep(ASK_AGAIN).await;
            }
            table.stop(&run).await.unwrap()
        };
        let stop = tokio::select! {
            never = interrupt(&table, &run) => match never {},
            stop = planned_later => stop,
            () = tokio::time::sleep(Duration::from_secs(10)) => None,
        };
        assert_eq!(stop, Some(Stop::Interrupted));
    }
}
