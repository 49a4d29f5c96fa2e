//! Runs elsewhere, for tests: a real table, and executions that do as they are
//! told.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use deathstar_controller::embedded::table::SqliteTable;
use deathstar_controller::ports::{RunSummary, Table};
use deathstar_statemachine::config::Config;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::plan::Plan;
use jiff::Timestamp;

use super::CommandError;
use crate::machine;
use crate::mode::{Runs, Standing};

/// Runs elsewhere, whose executions do as they are told.
pub(super) struct Elsewhere {
    _folder: tempfile::TempDir,
    table: SqliteTable,
    /// What is said look after look, the first one last; the last one for ever.
    standings: RefCell<Vec<Result<Standing, TaskError>>>,
    looks: Cell<u32>,
    ended: Cell<bool>,
}

impl Elsewhere {
    pub(super) fn new(standings: impl IntoIterator<Item = Result<Standing, TaskError>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let table = SqliteTable::open(&folder.path().join("runs.db")).unwrap();
        let mut standings: Vec<_> = standings.into_iter().collect();
        standings.reverse();
        Self {
            _folder: folder,
            table,
            standings: RefCell::new(standings),
            looks: Cell::new(0),
            ended: Cell::new(false),
        }
    }

    /// Claims and plans a run.
    pub(super) async fn plan(&self, run: &RunId, planned_at: Timestamp) {
        assert!(self.table.claim_run(run, "execution", "name", planned_at).await.unwrap());
        let text = "name: a\nattacks: [{ name: a, url: 'http://a.test/', rate: 1/s, duration: 9s }]";
        let config = Config::from_text(text, |_| Err(String::new())).unwrap();
        let plan = Plan::new(run.clone(), config, machine::place(), planned_at).unwrap();
        self.table.put_plan(&plan).await.unwrap();
    }

    /// How often somebody asked what becomes of a run.
    pub(super) fn looks(&self) -> u32 {
        self.looks.get()
    }

    /// Whether somebody ended an execution.
    pub(super) fn was_ended(&self) -> bool {
        self.ended.get()
    }
}

impl Runs for Elsewhere {
    type Table = SqliteTable;

    fn table(&self) -> &SqliteTable {
        &self.table
    }

    async fn standing(&self, _: &RunId) -> Result<Standing, CommandError> {
        self.looks.set(self.looks.get() + 1);
        let mut standings = self.standings.borrow_mut();
        let next = if standings.len() > 1 { standings.pop() } else { standings.last().cloned() };
        Ok(next.unwrap()?)
    }

    async fn under_way(&self, _: &[RunSummary]) -> Result<BTreeSet<RunId>, CommandError> {
        unreachable!("nobody lists")
    }

    async fn end(&self, _: &RunId) -> Result<(), CommandError> {
        self.ended.set(true);
        Ok(())
    }

    fn are_remote(&self) -> bool {
        true
    }

    fn options(&self) -> &'static str {
        " --on aws"
    }

    fn look_every(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn ask_again(&self) -> Duration {
        Duration::from_millis(20)
    }
}
