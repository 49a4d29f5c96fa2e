//! `deathstar plan`: what a config would do.

use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::plan::{Place, Plan};
use deathstar_statemachine::policy::Policy;

use super::{CommandError, eprintln_quietly, print, print_json};
use crate::cli::{Output, PlanArgs};
use crate::config_file;
use crate::exit::Exit;
use crate::{clock, output};

/// Plans a config for `place`, which `policy` rules.
pub(super) fn plan(args: &PlanArgs, place: Place, policy: &Policy) -> Result<Exit, CommandError> {
    let config = config_file::read(&args.config)?;
    let now = clock::now();
    let run = RunId::of(config.name(), now, 0);
    let plan =
        Plan::new(run, config, place, now).map_err(|error| CommandError::BadInput(error.to_string()))?;
    let summary = output::plan::Summary::of(&plan);
    match args.output {
        Output::Text => print(&summary.text())?,
        Output::Json => print_json(&summary)?,
    }
    let refusals = policy.refusals(&plan, plan.cost_usd());
    refusals.iter().for_each(|refusal| eprintln_quietly(&format!("error: {refusal}")));
    Ok(if refusals.is_empty() { Exit::Passed } else { Exit::BadInput })
}
