//! The control plane: what each task of the state machine does.
//!
//! [`dispatch`] hands a task to its handler, the only place that does. Handlers
//! know [`ports`], never a technology; every step is idempotent, since the
//! state machine may repeat any of them. The order of steps is not here: it is
//! in `statemachine/definition/attack.asl.json`.

// A call of the AWS SDK is a future within many.
#![recursion_limit = "256"]

#[cfg(feature = "aws")]
pub mod aws;
pub mod clock;
pub mod dispatch;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod ports;
pub mod service;

mod await_fleet;
mod janitor;
mod judge;
mod metrics;
mod next_round;
mod next_slice;
mod plan;
mod provision;
mod release;
mod report;
mod tear_down;
