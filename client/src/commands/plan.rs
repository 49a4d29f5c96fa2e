//! `deathstar plan`: what a config would do.

use std::path::Path;

use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::plan::Plan;

use super::{CommandError, print, print_json};
use crate::cli::Output;
use crate::exit::Exit;
use crate::{clock, config_file, machine, output};

pub(super) fn plan(path: &Path, output: Output) -> Result<Exit, CommandError> {
    let config = config_file::read(path)?;
    let now = clock::now();
    let run = RunId::of(config.name(), now, 0);
    let plan = Plan::new(run, config, machine::place(), now)
        .map_err(|error| CommandError::BadInput(error.to_string()))?;
    let summary = output::plan::Summary::of(&plan);
    match output {
        Output::Text => print(&summary.text())?,
        Output::Json => print_json(&summary)?,
    }
    Ok(Exit::Passed)
}
