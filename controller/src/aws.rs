//! AWS mode: the adapters, and the controller's Lambda entry.
//!
//! [`entry`] is what Lambda starts; `event` tells its invocations apart;
//! [`settings`] is what the stack says, and [`place`] what that offers a plan;
//! the rest are the ports.

pub mod cloudwatch;
pub mod entry;
mod event;
pub mod functions;
pub mod place;
pub mod settings;
pub mod switches;
pub mod table;

use deathstar_statemachine::plan::Place;
use deathstar_statemachine::policy::Policy;

use crate::clock::SystemClock;
use crate::ports::Ports;

use cloudwatch::CloudWatchMetrics;
use functions::LambdaFunctions;
use switches::SchedulerSwitches;
use table::DynamoTable;

/// The ports of AWS mode.
#[derive(Debug, Clone)]
pub struct AwsPorts {
    /// The run's table.
    pub table: DynamoTable,
    /// Worker functions.
    pub functions: LambdaFunctions,
    /// What tears a run down when nothing else has.
    pub switches: SchedulerSwitches,
    /// What the platform measures.
    pub metrics: CloudWatchMetrics,
    /// What the plan may count on.
    pub place: Place,
    /// What may be attacked, and how hard.
    pub policy: Policy,
}

impl Ports for AwsPorts {
    type Table = DynamoTable;
    type Functions = LambdaFunctions;
    type Switches = SchedulerSwitches;
    type Metrics = CloudWatchMetrics;
    type Clock = SystemClock;

    fn table(&self) -> &DynamoTable {
        &self.table
    }

    fn functions(&self) -> &LambdaFunctions {
        &self.functions
    }

    fn switches(&self) -> &SchedulerSwitches {
        &self.switches
    }

    fn metrics(&self) -> &CloudWatchMetrics {
        &self.metrics
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
