//! `deathstar submit`, and `run --on aws`, which is submit and wait.

use deathstar_controller::ports::Table;
use deathstar_statemachine::config::Config;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::{ConfigRef, Start};
use deathstar_statemachine::plan::Plan;
use serde::Serialize;

use super::follow::{WATCHED, attend, ended, report_of};
use super::run::salt;
use super::signals::Signals;
use super::{CommandError, eprintln_quietly, print, print_json, print_report};
use crate::aws::executions::Started;
use crate::aws::runs::{There, installation_options};
use crate::cli::{Output, RunArgs, SubmitArgs};
use crate::exit::Exit;
use crate::mode::Runs;
use crate::output::{self, Style};
use crate::progress::{Display, Progress};
use crate::{clock, config_file};

/// A run that was started, for programs.
#[derive(Debug, Serialize)]
struct Submitted<'a> {
    run_id: &'a RunId,
    config: &'a ConfigRef,
    execution_arn: String,
}

pub(super) async fn submit(args: &SubmitArgs) -> Result<Exit, CommandError> {
    // What is wrong with a config is said before AWS is asked for anything.
    let config = config_file::read(&args.config)?;
    let there = There::open(&args.at).await?;
    let (plan, at) = start(&there, config, args.id.clone()).await?;
    let run = &plan.run;
    match args.output {
        Output::Text => print(&format!("{run}\n"))?,
        Output::Json => {
            print_json(&Submitted {
                run_id: run,
                config: &at,
                execution_arn: there.executions().arn(run.as_str()),
            })?;
        }
    }
    let (watch, options) = (installation_options(&args.at), there.options());
    eprintln_quietly(&format!(
        "started; deathstar watch {run}{watch} shows it, deathstar results {run}{options} --wait waits for its report"
    ));
    Ok(Exit::Passed)
}

pub(super) async fn run(args: &RunArgs, style: Style) -> Result<Exit, CommandError> {
    let config = config_file::read(&args.config)?;
    let there = There::open(&args.place.at).await?;
    // Before the start, so that no Ctrl-C after it is lost.
    let mut signals = Signals::take()?;
    let (plan, _) = start(&there, config, args.id.clone()).await?;
    let (run, options) = (&plan.run, there.options());
    if !args.quiet {
        eprintln_quietly(&format!("started run {run}"));
    }
    let display = Display::beside_a_report(args.quiet);
    let progress = Progress::start(run, &plan, display, there.look_every());
    let running = ended(&there, run, WATCHED);
    let attended = attend(&there, run, &progress, &mut signals, running, "leaves it");
    let Some(standing) = Box::pin(attended).await else {
        // The first one asked, unless there was nothing to write that in yet.
        let asked = matches!(there.table().stop(run).await, Ok(Some(_)));
        let state = if asked { "was asked to stop" } else { "goes on to its end" };
        eprintln_quietly(&format!(
            "left; run {run} {state}, and deathstar results {run}{options} --wait waits for its report"
        ));
        return Ok(Exit::Interrupted);
    };
    let report = report_of(&there, run, standing?).await?;
    print_report(&report, args.output, style)?;
    Ok(output::exit_of(&report))
}

/// Plans a config as the controller will, and refuses what it would.
pub(super) fn planned(there: &There, run: RunId, config: Config) -> Result<Plan, CommandError> {
    let plan = Plan::new(run, config, there.place(), clock::now())
        .map_err(|error| CommandError::BadInput(error.to_string()))?;
    let refusals = there.policy().refusals(&plan, plan.cost_usd());
    match refusals.as_slice() {
        [] => Ok(plan),
        [only] => Err(CommandError::BadInput(only.to_string())),
        all => {
            let all: String = all.iter().map(|refusal| format!("\n  {refusal}")).collect();
            Err(CommandError::BadInput(format!("this installation refuses the plan:{all}")))
        }
    }
}

/// Puts a config where the controller finds it.
pub(super) async fn stored(there: &There, config: &Config) -> Result<ConfigRef, CommandError> {
    let at = ConfigRef::of(config);
    there.table().put_config(&at, config).await?;
    Ok(at)
}

/// Starts a run.
async fn start(there: &There, config: Config, id: Option<RunId>) -> Result<(Plan, ConfigRef), CommandError> {
    let now = clock::now();
    let run = id.unwrap_or_else(|| RunId::of(config.name(), now, salt(now)));
    let plan = planned(there, run.clone(), config)?;
    plan.warnings.iter().for_each(|warning| eprintln_quietly(&format!("warning: {warning}")));
    let at = stored(there, &plan.config).await?;
    let start = Start::Run { run: run.clone(), config: at.clone() };
    match there.executions().start(&run, &start).await? {
        Started::Yes => Ok((plan, at)),
        Started::AnotherHasTheName => Err(CommandError::BadInput(format!(
            "there is a run {run} of another config already; choose another --id"
        ))),
    }
}
