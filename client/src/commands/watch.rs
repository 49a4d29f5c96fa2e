//! `deathstar watch`: what a run on AWS is doing. Leaving does nothing to it.

use std::time::Duration;

use deathstar_controller::ports::Table;
use deathstar_statemachine::ids::RunId;

use super::follow::{WATCHED, ended, report_of};
use super::results::newest;
use super::signals::Signals;
use super::{CommandError, eprintln_quietly};
use crate::aws::runs::There;
use crate::cli::WatchArgs;
use crate::exit::Exit;
use crate::mode::Runs;
use crate::output;
use crate::progress::{Display, Progress};

/// How often it is looked whether a run is planned.
const PLANNED: Duration = Duration::from_secs(1);

pub(super) async fn watch(args: &WatchArgs) -> Result<Exit, CommandError> {
    let mut signals = Signals::take()?;
    let there = There::open(&args.at).await?;
    let run = match &args.run {
        Some(run) => run.clone(),
        None => newest(there.table().runs().await?)?,
    };
    let options = there.options();
    let standing = tokio::select! {
        standing = ended(&there, &run, WATCHED) => standing?,
        shown = show(&there, &run) => shown?,
        () = signals.next() => {
            eprintln_quietly(&format!(
                "left; run {run} goes on, and deathstar results {run}{options} --wait waits for its report"
            ));
            return Ok(Exit::Interrupted);
        }
    };
    let report = report_of(&there, &run, standing).await?;
    eprintln_quietly(&format!(
        "run {run} is over: {}; deathstar results {run}{options} shows its report",
        report.verdict.name()
    ));
    Ok(output::exit_of(&report))
}

/// Shows a run once it is planned, for ever.
async fn show<T>(there: &There, run: &RunId) -> Result<T, CommandError> {
    let plan = loop {
        // What cannot be read now is read next time; the wait beside this one
        // says what is wrong.
        if let Ok(Some(plan)) = there.table().plan(run).await {
            break plan;
        }
        tokio::time::sleep(PLANNED).await;
    };
    let progress = Progress::start(run, &plan, Display::itself(), there.look_every());
    match progress.follow(there.table()).await {}
}
