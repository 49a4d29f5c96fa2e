//! `deathstar results`, `list` and `stop`: runs of this machine, from any
//! terminal.

use std::path::PathBuf;

use deathstar_controller::ports::{RunSummary, Table};
use deathstar_controller::service;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::report::{Phase, Stop};
use serde::Serialize;

use super::{CommandError, block_on, eprintln_quietly, open, print, print_json};
use crate::cli::Output;
use crate::exit::Exit;
use crate::home::Home;
use crate::output::{self, Style};

pub(super) fn results(
    home: Option<PathBuf>,
    run: Option<RunId>,
    output: Output,
    style: Style,
) -> Result<Exit, CommandError> {
    block_on(async {
        let (home, table) = open(home)?;
        let run = match run {
            Some(run) => run,
            None => newest(table.runs().await?)?,
        };
        let alive = home.is_alive(&run);
        let phase = if alive { Phase::UnderWay } else { Phase::Killed };
        let report = service::results(&table, &run, phase).await?.ok_or_else(|| unknown(&run))?;
        if alive {
            eprintln_quietly(&format!(
                "run {run} is still under way; this is what it has written down so far"
            ));
        }
        match output {
            Output::Text => print(&output::text::report(&report, style))?,
            Output::Json => print_json(&report)?,
        }
        Ok(output::exit_of(&report))
    })
}

pub(super) fn list(home: Option<PathBuf>, output: Output) -> Result<Exit, CommandError> {
    block_on(async {
        let (home, table) = open(home)?;
        let runs: Vec<Row> = table.runs().await?.into_iter().map(|run| Row::of(run, &home)).collect();
        match output {
            Output::Json => print_json(&runs)?,
            Output::Text if runs.is_empty() => eprintln_quietly("no runs yet; deathstar demo makes one"),
            Output::Text => {
                let width = runs.iter().map(|row| row.run.len()).max().unwrap_or(0).max("RUN".len());
                let mut text = format!("{:width$}  {:13}  STARTED\n", "RUN", "STATE");
                for row in &runs {
                    text += &format!("{:width$}  {:13}  {}\n", row.run, row.state, row.started_at);
                }
                print(&text)?;
            }
        }
        Ok(Exit::Passed)
    })
}

pub(super) fn stop(home: Option<PathBuf>, run: &RunId) -> Result<Exit, CommandError> {
    block_on(async {
        let (home, table) = open(home)?;
        let runs = table.runs().await?;
        let summary = runs.into_iter().find(|summary| summary.run == *run).ok_or_else(|| unknown(run))?;
        if summary.over || !home.is_alive(run) {
            let state = state_of(&summary, &home);
            return Err(CommandError::BadInput(format!("run {run} is not under way: {state}")));
        }
        table.request_stop(run, &Stop::Requested).await?;
        eprintln_quietly(&format!(
            "asked run {run} to stop; its load ends within 2 s, and it reports as ever"
        ));
        Ok(Exit::Passed)
    })
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
    fn of(summary: RunSummary, home: &Home) -> Self {
        let state = state_of(&summary, home).to_owned();
        let started_at = summary.claimed_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Self { run: summary.run.to_string(), name: summary.name, state, started_at }
    }
}

/// The verdict; without one, whether a process still works on it.
fn state_of<'a>(summary: &'a RunSummary, home: &Home) -> &'a str {
    match &summary.verdict {
        Some(verdict) => verdict,
        None if home.is_alive(&summary.run) => "running",
        None => "interrupted",
    }
}

fn newest(runs: Vec<RunSummary>) -> Result<RunId, CommandError> {
    let newest = runs.into_iter().next();
    newest.map(|run| run.run).ok_or_else(|| CommandError::BadInput("there are no runs yet".to_owned()))
}

fn unknown(run: &RunId) -> CommandError {
    CommandError::BadInput(format!("there is no run {run}; deathstar list shows those there are"))
}
