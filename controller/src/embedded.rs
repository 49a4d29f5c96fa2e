//! Embedded mode: real adapters for one machine, without an account.
//!
//! The table is an SQLite file; functions are made, become ready, run on
//! threads of their own, and are deleted, within the limits of the real
//! platform. Nothing here is a stub: a fault that the platform would show, this
//! shows too.

pub mod functions;
pub mod metrics;
pub mod switches;
pub mod table;

use deathstar_statemachine::plan::Place;
use deathstar_statemachine::policy::Policy;

use crate::clock::SystemClock;
use crate::ports::Ports;

use functions::InProcessFunctions;
use metrics::NoMetrics;
use switches::InProcessSwitches;
use table::SqliteTable;

/// The ports of embedded mode.
#[derive(Debug, Clone)]
pub struct EmbeddedPorts {
    /// The run's table.
    pub table: SqliteTable,
    /// Worker functions.
    pub functions: InProcessFunctions,
    /// What tears a run down when nothing else has.
    pub switches: InProcessSwitches,
    /// What this machine offers.
    pub place: Place,
    /// What may be attacked from here: everything.
    pub policy: Policy,
}

impl EmbeddedPorts {
    /// The ports of this machine, on which anything may be attacked.
    #[must_use]
    pub fn new(table: SqliteTable, functions: InProcessFunctions, place: Place) -> Self {
        let (switches, policy) = (InProcessSwitches::default(), Policy::unrestricted());
        Self { table, functions, switches, place, policy }
    }
}

impl Ports for EmbeddedPorts {
    type Table = SqliteTable;
    type Functions = InProcessFunctions;
    type Switches = InProcessSwitches;
    type Metrics = NoMetrics;
    type Clock = SystemClock;

    fn table(&self) -> &SqliteTable {
        &self.table
    }

    fn functions(&self) -> &InProcessFunctions {
        &self.functions
    }

    fn switches(&self) -> &InProcessSwitches {
        &self.switches
    }

    fn metrics(&self) -> &NoMetrics {
        &NoMetrics
    }

    fn clock(&self) -> &SystemClock {
        &SystemClock
    }

    fn place(&self) -> &Place {
        &self.place
    }

    fn policy(&self) -> &Policy {
        &self.policy
    }
}
