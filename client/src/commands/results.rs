//! `deathstar results`, `list` and `stop`: runs that someone started, from any
//! terminal, and in either place.

use std::collections::BTreeSet;
use std::time::Duration;

use deathstar_controller::ports::{RunSummary, Table};
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::report::Stop;
use serde::Serialize;

use super::follow::{PATIENT, ended, report_of, unknown};
use super::{CommandError, eprintln_quietly, print, print_json, print_report};
use crate::cli::{Output, ResultsArgs, StopArgs};
use crate::exit::Exit;
use crate::mode::{Ending, Runs, Standing};
use crate::output::{self, Style};

/// How long a run that was asked to stop may take: its load ends within 2 s, and
/// Judge, TearDown and Report follow.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn results(
    runs: &impl Runs,
    args: &ResultsArgs,
    style: Style,
) -> Result<Exit, CommandError> {
    let run = match &args.run {
        Some(run) => run.clone(),
        None => newest(runs.table().runs().await?)?,
    };
    let standing = if args.wait {
        ended(runs, &run, PATIENT).await?
    } else if runs.table().report(&run).await?.is_some() {
        // Its execution may still be on the way from the report to its own end.
        Standing::Ended(Ending::Gone)
    } else {
        runs.standing(&run).await?
    };
    let under_way = standing == Standing::UnderWay;
    let report = report_of(runs, &run, standing).await?;
    if under_way {
        eprintln_quietly(&format!("run {run} is still under way; this is what it has written down so far"));
    }
    print_report(&report, args.output, style)?;
    Ok(output::exit_of(&report))
}

pub(super) async fn list(runs: &impl Runs, output: Output) -> Result<Exit, CommandError> {
    let all = runs.table().runs().await?;
    let without_verdict: Vec<RunSummary> =
        all.iter().filter(|summary| summary.verdict.is_none()).cloned().collect();
    let under_way =
        if without_verdict.is_empty() { BTreeSet::new() } else { runs.under_way(&without_verdict).await? };
    let rows: Vec<Row> =
        all.iter().map(|summary| Row::of(summary, under_way.contains(&summary.run))).collect();
    match output {
        Output::Json => print_json(&rows)?,
        Output::Text if rows.is_empty() => {
            let start = if runs.are_remote() { "submit CONFIG starts one" } else { "demo makes one" };
            eprintln_quietly(&format!("no runs yet; deathstar {start}"));
        }
        Output::Text => {
            let width = rows.iter().map(|row| row.run.len()).max().unwrap_or(0).max("RUN".len());
            let mut text = format!("{:width$}  {:13}  STARTED\n", "RUN", "STATE");
            for row in &rows {
                text += &format!("{:width$}  {:13}  {}\n", row.run, row.state, row.started_at);
            }
            print(&text)?;
        }
    }
    Ok(Exit::Passed)
}

pub(super) async fn stop(runs: &impl Runs, args: &StopArgs) -> Result<Exit, CommandError> {
    let (run, options) = (&args.run, runs.options());
    match runs.standing(run).await? {
        Standing::UnderWay => {}
        Standing::Unknown => return Err(unknown(runs, run)),
        Standing::Ended(_) => {
            let summary = runs.table().run(run).await?;
            let state =
                summary.map_or(INTERRUPTED.to_owned(), |summary| state_of(&summary, false).to_owned());
            return Err(CommandError::BadInput(format!("run {run} is not under way: {state}")));
        }
    }
    if args.force {
        if runs.are_remote() {
            // Its workers obey it sooner than a tear-down comes.
            let _ = runs.table().request_stop(run, &Stop::Requested).await;
        }
        return end(runs, run).await;
    }
    let asked = tokio::time::timeout(STOPS_WITHIN, ask(runs, run)).await;
    let mut left = if asked.is_ok() { STOPS_WITHIN } else { Duration::ZERO };
    if let Ok(asked) = asked {
        asked?;
        eprintln_quietly(&format!(
            "asked run {run} to stop; its load ends within 2 s, and it reports as ever"
        ));
    } else {
        eprintln_quietly(&format!("run {run} is not planned yet, so it cannot be asked to stop"));
    }
    if args.no_wait || !runs.are_remote() {
        return Ok(Exit::Passed);
    }
    while !left.is_zero() {
        if runs.standing(run).await? != Standing::UnderWay {
            eprintln_quietly(&format!(
                "run {run} has ended; deathstar results {run}{options} shows its report"
            ));
            return Ok(Exit::Passed);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        left = left.saturating_sub(LOOK_EVERY);
    }
    eprintln_quietly(&format!(
        "run {run} has not ended within {} s; stopping its execution",
        STOPS_WITHIN.as_secs()
    ));
    end(runs, run).await
}

/// Ends a run's execution from outside.
async fn end(runs: &impl Runs, run: &RunId) -> Result<Exit, CommandError> {
    runs.end(run).await?;
    let options = runs.options();
    let then = if runs.table().plan(run).await?.is_some() {
        format!(
            "it is torn down and reported from outside. deathstar results {run}{options} --wait shows the report"
        )
    } else {
        "it was not planned yet, and has made nothing".to_owned()
    };
    eprintln_quietly(&format!("stopped the execution of run {run}; {then}"));
    Ok(Exit::Passed)
}

/// Asks a run to stop, once it has a row to write that in.
async fn ask(runs: &impl Runs, run: &RunId) -> Result<(), CommandError> {
    let table = runs.table();
    while table.run(run).await?.is_none() {
        tokio::time::sleep(runs.ask_again()).await;
    }
    table.request_stop(run, &Stop::Requested).await?;
    Ok(())
}

/// A run in a list.
#[derive(Debug, Serialize)]
struct Row {
    run: String,
    name: String,
    state: String,
    started_at: String,
}

impl Row {
    fn of(summary: &RunSummary, under_way: bool) -> Self {
        let started_at = summary.claimed_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let state = state_of(summary, under_way).to_owned();
        Self { run: summary.run.to_string(), name: summary.name.clone(), state, started_at }
    }
}

/// The state of a run whose execution is gone, and which has no report.
const INTERRUPTED: &str = "interrupted";

/// The verdict; without one, whether its execution goes on.
fn state_of(summary: &RunSummary, under_way: bool) -> &str {
    match &summary.verdict {
        Some(verdict) => verdict,
        None if under_way => "running",
        None => INTERRUPTED,
    }
}

/// The newest run of all.
pub(super) fn newest(runs: Vec<RunSummary>) -> Result<RunId, CommandError> {
    let newest = runs.into_iter().next();
    newest.map(|run| run.run).ok_or_else(|| CommandError::BadInput("there are no runs yet".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::clock;
    use crate::commands::elsewhere::Elsewhere;

    fn run() -> RunId {
        "a-run".parse().unwrap()
    }

    fn args(options: &[&str]) -> StopArgs {
        let words = ["deathstar", "stop", "a-run"].iter().chain(options);
        match Cli::read(words.map(Into::into)).unwrap().command {
            Command::Stop(args) => args,
            other => panic!("{other:?}"),
        }
    }

    /// A run whose execution goes on for some looks, and has then ended.
    async fn ends_after(looks: usize) -> Elsewhere {
        let under_way = (0..looks).map(|_| Ok(Standing::UnderWay));
        let runs = Elsewhere::new(under_way.chain([Ok(Standing::Ended(Ending::Gone))]));
        runs.plan(&run(), clock::now()).await;
        runs
    }

    async fn was_asked(runs: &Elsewhere) -> bool {
        runs.table().stop(&run()).await.unwrap() == Some(Stop::Requested)
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_ends_by_itself_is_not_ended_from_outside() {
        let runs = ends_after(5).await;
        assert_eq!(stop(&runs, &args(&[])).await.unwrap(), Exit::Passed);
        assert!(was_asked(&runs).await && !runs.was_ended());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_does_not_end_by_itself_is_ended_from_outside() {
        let runs = ends_after(1000).await;
        assert_eq!(stop(&runs, &args(&[])).await.unwrap(), Exit::Passed);
        assert!(was_asked(&runs).await && runs.was_ended());
        assert_eq!(runs.looks(), 31, "one before, and one in each of 30 s");
    }

    #[tokio::test(start_paused = true)]
    async fn force_waits_for_nothing_and_yet_asks() {
        let runs = ends_after(1000).await;
        stop(&runs, &args(&["--force"])).await.unwrap();
        assert!(was_asked(&runs).await && runs.was_ended());
        assert_eq!(runs.looks(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn no_wait_only_asks() {
        let runs = ends_after(1000).await;
        stop(&runs, &args(&["--no-wait"])).await.unwrap();
        assert!(was_asked(&runs).await && !runs.was_ended());
        assert_eq!(runs.looks(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_is_never_planned_is_ended_from_outside() {
        let runs = Elsewhere::new([Ok(Standing::UnderWay)]);
        stop(&runs, &args(&[])).await.unwrap();
        assert!(runs.was_ended());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_under_way_cannot_be_stopped() {
        for (standing, words) in [
            (Standing::Unknown, "there is no run a-run"),
            (Standing::Ended(Ending::Gone), "run a-run is not under way: interrupted"),
        ] {
            let runs = Elsewhere::new([Ok(standing)]);
            let refused = stop(&runs, &args(&["--force"])).await.unwrap_err();
            assert_eq!(refused.exit(), Exit::BadInput);
            assert!(refused.to_string().contains(words), "{refused}");
            assert!(!runs.was_ended());
        }
    }
}
