//! Janitor: look for what outlived its run, by name and not by the table, since
//! the table may be what failed.
//!
//! What belongs to a run that is over is deleted; a run that is overdue is
//! released; a run whose time has not come is left alone.

use std::collections::BTreeMap;

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{FUNCTION_PREFIX, RunId};
use deathstar_statemachine::message::{CaughtFailure, JanitorOutput};
use jiff::Timestamp;

use crate::clock::Clock;
use crate::ports::{Functions, Listed, Ports, Switches, Table};
use crate::{release, tear_down};

/// What a run is called that nothing else has torn down.
pub(crate) const OVERDUE: &str = "DeathStar.Overdue";

/// What there is of a run.
#[derive(Debug, Default)]
struct Found {
    functions: Vec<String>,
    switches: Vec<String>,
    expires_at: Option<Timestamp>,
}

pub(crate) async fn handle(ports: &impl Ports) -> Result<JanitorOutput, TaskError> {
    let found = look(ports).await?;
    let now = ports.clock().now();
    let mut output = JanitorOutput::default();
    let mut failed = None;
    for (run, Found { functions, switches, expires_at }) in found {
        let over = matches!(ports.table().is_over(&run).await, Ok(true));
        let overdue = expires_at.is_none_or(|expires_at| expires_at < now);
        let reported = over && matches!(ports.table().report(&run).await, Ok(Some(_)));
        if !overdue && !over {
            output.live.push(run);
            continue;
        }
        let released = if overdue || reported {
            release::release(ports, &run, Some(overdue_failure(&run))).await
        } else {
            // Its switch still sees to its report.
            tear_down::handle(ports, &run).await.map(|_| ())
        };
        match released {
            Ok(()) => {
                // Those of a run that is not overdue may be going right now, by its
                // own tear-down.
                if overdue {
                    output.leaked.extend(functions.iter().cloned());
                }
                output.deleted.extend(functions);
                if overdue || reported {
                    output.deleted.extend(switches);
                }
                if !over {
                    output.released.push(run);
                }
            }
            // One run that cannot be released keeps no other one.
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(output), Err)
}

/// Everything that there is, by the run that it belongs to.
async fn look(ports: &impl Ports) -> Result<BTreeMap<RunId, Found>, TaskError> {
    let mut found = BTreeMap::<RunId, Found>::new();
    for Listed { name, expires_at } in ports.functions().list(FUNCTION_PREFIX).await? {
        if let Some(run) = RunId::of_function(&name) {
            let of_run = found.entry(run).or_default();
            of_run.functions.push(name);
            of_run.expires_at = of_run.expires_at.max(expires_at);
        }
    }
    for Listed { name, expires_at } in ports.switches().list().await? {
        if let Some(run) = RunId::of_switch(&name) {
            let of_run = found.entry(run).or_default();
            of_run.switches.push(name);
            of_run.expires_at = of_run.expires_at.max(expires_at);
        }
    }
    Ok(found)
}

fn overdue_failure(run: &RunId) -> CaughtFailure {
    let cause = format!("run {run} should have ended long ago, and its execution never said how");
    CaughtFailure { error: OVERDUE.to_owned(), cause }
}
