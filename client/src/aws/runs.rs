//! The runs of a stack: its table, its executions, and what it allows.

use std::collections::BTreeSet;
use std::time::Duration;

use deathstar_controller::aws::place;
use deathstar_controller::aws::table::{CONFIG_LIMIT, DynamoTable};
use deathstar_controller::ports::{RunSummary, Table};
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::plan::Place;
use deathstar_statemachine::policy::Policy;
use deathstar_statemachine::units::Rate;

use super::connection::Connection;
use super::executions::Executions;
use super::install_row;
use crate::cli::Installation;
use crate::commands::CommandError;
use crate::install::{Install, InstallError, VERSION};
use crate::mode::{Runs, Standing};

/// The name of the stack that is meant when none is named.
const USUAL_STACK: &str = "deathstar";

/// The runs of one stack.
#[derive(Debug)]
pub(crate) struct There {
    connection: Connection,
    install: Install,
    table: DynamoTable,
    executions: Executions,
    options: String,
}

impl There {
    /// Those of the stack that is meant, when this program can talk to it.
    ///
    /// # Errors
    /// When AWS cannot be used, or there is no stack of this version.
    pub(crate) async fn open(at: &Installation) -> Result<Self, CommandError> {
        let connection = Connection::open(at.region.as_deref()).await?;
        let install = install_row::read(&connection, &at.stack).await?;
        let absent =
            || InstallError::Absent { stack: at.stack.clone(), region: connection.region().to_owned() };
        let install = install.ok_or_else(absent)?;
        if install.version != VERSION {
            let (stack, theirs) = (at.stack.clone(), install.version);
            return Err(InstallError::OtherVersion { stack, theirs }.into());
        }
        Ok(Self::of(connection, install, at))
    }

    /// Those of an installation, whatever its version.
    pub(crate) fn of(connection: Connection, install: Install, at: &Installation) -> Self {
        let client = aws_sdk_dynamodb::Client::new(connection.config());
        let table = DynamoTable::new(client, install.stack.to_string());
        let executions = Executions::new(&connection, &install.state_machine_arn);
        Self { options: options(at), connection, install, table, executions }
    }

    /// How AWS is reached.
    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What the stack is like.
    pub(crate) const fn install(&self) -> &Install {
        &self.install
    }

    /// Its executions.
    pub(crate) const fn executions(&self) -> &Executions {
        &self.executions
    }

    /// What its controller plans with.
    pub(crate) fn place(&self) -> Place {
        let install = &self.install;
        place::place(&place::Settings {
            lead: install.lead,
            checkpoint: install.checkpoint,
            slice: install.slice,
            setup: install.setup,
            grace: install.grace,
            max_workers: install.max_workers,
        })
    }

    /// What its controller allows.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            allow: Some(self.install.allow.clone()),
            max_rate: Some(Rate::per_second(self.install.max_rate)),
            max_workers: Some(self.install.max_workers),
            max_usd: Some(self.install.max_usd),
            region: Some(self.install.region.clone()),
            max_config_bytes: Some(CONFIG_LIMIT),
        }
    }

    /// The execution that has a run: the run's namesake, unless the table knows
    /// better.
    async fn execution_of(&self, run: &RunId) -> Result<String, CommandError> {
        let summary = self.table.run(run).await?;
        Ok(summary.map_or_else(|| run.to_string(), |summary| summary.execution))
    }
}

/// What leads a command to this installation and no other.
fn options(at: &Installation) -> String {
    let mut options = " --on aws".to_owned();
    options += &installation_options(at);
    options
}

/// The same, for commands that are of AWS alone.
pub(crate) fn installation_options(at: &Installation) -> String {
    let mut options = String::new();
    if at.stack.as_str() != USUAL_STACK {
        options += &format!(" --stack {}", at.stack);
    }
    if let Some(region) = &at.region {
        options += &format!(" --region {region}");
    }
    options
}

impl Runs for There {
    type Table = DynamoTable;

    fn table(&self) -> &DynamoTable {
        &self.table
    }

    async fn standing(&self, run: &RunId) -> Result<Standing, CommandError> {
        Ok(self.executions.standing(&self.execution_of(run).await?).await?)
    }

    async fn under_way(&self, runs: &[RunSummary]) -> Result<BTreeSet<RunId>, CommandError> {
        let running = self.executions.running().await?;
        let under_way = runs.iter().filter(|summary| running.contains(&summary.execution));
        Ok(under_way.map(|summary| summary.run.clone()).collect())
    }

    async fn end(&self, run: &RunId) -> Result<(), CommandError> {
        Ok(self.executions.stop(&self.execution_of(run).await?).await?)
    }

    fn are_remote(&self) -> bool {
        true
    }

    fn options(&self) -> &str {
        &self.options
    }

    fn look_every(&self) -> Duration {
        // Each look is paid for, and workers write every few seconds only.
        Duration::from_secs(2)
    }

    fn ask_again(&self) -> Duration {
        Duration::from_millis(500)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_leads_to_the_same_installation() {
        let at = |stack: &str, region: Option<&str>| Installation {
            stack: stack.parse().unwrap(),
            region: region.map(ToOwned::to_owned),
        };
        assert_eq!(options(&at("deathstar", None)), " --on aws");
        assert_eq!(options(&at("other", Some("eu-west-1"))), " --on aws --stack other --region eu-west-1");
    }
}
