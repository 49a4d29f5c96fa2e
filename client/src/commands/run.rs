//! `deathstar run`: the whole of a run, on this machine.

use std::path::PathBuf;

use deathstar_controller::ports::Table;
use deathstar_statemachine::config::Config;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::interpreter::Failure;
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::report::{Report, Stop};
use deathstar_statemachine::table::{LedgerEntry, LedgerState};

use super::follow::attend;
use super::signals::Signals;
use super::{CommandError, block_on, eprintln_quietly, print_report};
use crate::cli::RunArgs;
use crate::embedded::{Embedded, Environment};
use crate::exit::Exit;
use crate::mode::{Here, Runs};
use crate::output::{self, Style};
use crate::progress::{Display, Progress};
use crate::{clock, config_file, machine};

pub(super) fn run(home: Option<PathBuf>, args: &RunArgs, style: Style) -> Result<Exit, CommandError> {
    let config = config_file::read(&args.config)?;
    let ended = execute(home, &config, args.id.clone(), args.quiet)?;
    if let Some(report) = &ended.report {
        print_report(report, args.output, style)?;
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
        let refusals = Environment::refusals(config);
        if !refusals.is_empty() {
            return Err(CommandError::BadInput(refusals.join("\n  ")));
        }
        plan.warnings.iter().for_each(|warning| eprintln_quietly(&format!("warning: {warning}")));
        let here = Here::open(home)?;
        let table = here.table();
        // Locked before the look, so that no other process makes the run between.
        let _lock = here.home().lock(&run)?;
        if table.plan(&run).await?.is_some() {
            return Err(CommandError::BadInput(format!("there is a run {run} already; choose another --id")));
        }
        let mut signals = Signals::take()?;
        let embedded = Embedded::new(table.clone(), place);
        let progress = Progress::start(&run, &plan, Display::beside_a_report(quiet), here.look_every());
        let running = embedded.run(&run, config);
        let Some(ended) = attend(&here, &run, &progress, &mut signals, running, "gives up at once").await
        else {
            return give_up(table, &run).await;
        };
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

/// The second Ctrl-C: say what remains, and go. Functions of this process end
/// with it.
async fn give_up(table: &impl Table, run: &RunId) -> Result<Ended, CommandError> {
    // It may have come before the first one was written down.
    let _ = table.request_stop(run, &Stop::Interrupted).await;
    let ledger = table.ledger(run).await?;
    // The run's switch is in the ledger, too.
    let is_left = |entry: &&LedgerEntry| {
        entry.state != LedgerState::Deleted && RunId::of_function(&entry.name).is_some()
    };
    let left = ledger.iter().filter(is_left).count();
    eprintln_quietly(&format!(
        "given up: {left} worker function{} of run {run} end{} with this process; deathstar results {run} shows what it had written down",
        if left == 1 { "" } else { "s" },
        if left == 1 { "s" } else { "" },
    ));
    Ok(Ended { report: None, exit: Exit::Interrupted })
}

/// Tells runs of the same second apart.
pub(super) fn salt(started: jiff::Timestamp) -> u32 {
    started.subsec_nanosecond().unsigned_abs() ^ std::process::id().rotate_left(12)
}
