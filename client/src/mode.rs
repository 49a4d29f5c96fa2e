//! Where runs are: on this machine, or on AWS. The one place that chooses.
//!
//! Commands are written once, over [`Runs`]; what differs between the two is
//! all here and in `aws/runs.rs`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use deathstar_controller::embedded::table::SqliteTable;
use deathstar_controller::ports::{RunSummary, Table};
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::CaughtFailure;

use crate::commands::CommandError;
use crate::home::Home;

/// What becomes of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its execution goes on.
    UnderWay,
    /// Its execution has ended.
    Ended(Ending),
    /// There is none of that name.
    Unknown,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It came to its end, or its process went away.
    Gone,
    /// Someone stopped it.
    #[cfg_attr(not(any(feature = "aws", test)), expect(dead_code, reason = "only executions on AWS can be"))]
    Stopped,
    /// It failed.
    #[cfg_attr(
        not(any(feature = "aws", test)),
        expect(dead_code, reason = "of AWS; an embedded run says so itself")
    )]
    Failed(CaughtFailure),
}

/// The runs of one place.
pub(crate) trait Runs {
    /// Their table.
    type Table: Table;

    /// Their table.
    fn table(&self) -> &Self::Table;

    /// What becomes of a run.
    async fn standing(&self, run: &RunId) -> Result<Standing, CommandError>;

    /// Those of `runs` whose executions go on.
    async fn under_way(&self, runs: &[RunSummary]) -> Result<BTreeSet<RunId>, CommandError>;

    /// Ends a run's execution from outside; its run is torn down and reported
    /// all the same.
    async fn end(&self, run: &RunId) -> Result<(), CommandError>;

    /// Whether runs live elsewhere: their executions can be ended from here, and
    /// a run whose execution is gone is still torn down and reported.
    fn are_remote(&self) -> bool;

    /// The options that lead a command to this place, each after a space.
    fn options(&self) -> &str;

    /// How often their table is looked at for a display.
    fn look_every(&self) -> Duration;

    /// How long until a run that could not be asked to stop is asked again.
    fn ask_again(&self) -> Duration;
}

/// The runs of this machine.
#[derive(Debug)]
pub(crate) struct Here {
    home: Home,
    table: SqliteTable,
}

impl Here {
    /// Those in a data directory; without one, in the usual one.
    pub(crate) fn open(home: Option<PathBuf>) -> Result<Self, CommandError> {
        let home = Home::open(home)?;
        let table = home.table()?;
        Ok(Self { home, table })
    }

    /// The data directory.
    pub(crate) const fn home(&self) -> &Home {
        &self.home
    }
}

impl Runs for Here {
    type Table = SqliteTable;

    fn table(&self) -> &SqliteTable {
        &self.table
    }

    async fn standing(&self, run: &RunId) -> Result<Standing, CommandError> {
        if self.home.is_alive(run) {
            return Ok(Standing::UnderWay);
        }
        let known = self.table.run(run).await?.is_some();
        Ok(if known { Standing::Ended(Ending::Gone) } else { Standing::Unknown })
    }

    async fn under_way(&self, runs: &[RunSummary]) -> Result<BTreeSet<RunId>, CommandError> {
        let alive = runs.iter().map(|summary| &summary.run).filter(|run| self.home.is_alive(run));
        Ok(alive.cloned().collect())
    }

    async fn end(&self, run: &RunId) -> Result<(), CommandError> {
        Err(CommandError::BadInput(format!(
            "run {run} belongs to a process of this machine: Ctrl-C in its terminal, twice, or an end of the process ends it"
        )))
    }

    fn are_remote(&self) -> bool {
        false
    }

    fn options(&self) -> &'static str {
        ""
    }

    fn look_every(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn ask_again(&self) -> Duration {
        Duration::from_millis(20)
    }
}
