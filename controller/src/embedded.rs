//! Embedded mode: real adapters for one machine, without an account.
//!
//! The table is an SQLite file; functions are made, become ready, run on
//! threads of their own, and are deleted, within the limits of the real
//! platform. Nothing here is a stub: a fault that the platform would show, this
//! shows too.

pub mod functions;
pub mod table;

use deathstar_statemachine::plan::Place;

use crate::clock::SystemClock;
use crate::ports::Ports;

use functions::InProcessFunctions;
use table::SqliteTable;

/// The ports of embedded mode.
#[derive(Debug, Clone)]
pub struct EmbeddedPorts {
    /// The run's table.
    pub table: SqliteTable,
    /// Worker functions.
    pub functions: InProcessFunctions,
    /// What this machine offers.
    pub place: Place,
}

impl Ports for EmbeddedPorts {
    type Table = SqliteTable;
    type Functions = InProcessFunctions;
    type Clock = SystemClock;

    fn table(&self) -> &SqliteTable {
        &self.table
    }

    fn functions(&self) -> &InProcessFunctions {
        &self.functions
    }

    fn clock(&self) -> &SystemClock {
        &SystemClock
    }

    fn place(&self) -> &Place {
        &self.place
    }
}
