//! The load engine: sends exactly the arrivals of one slice of a shard, and
//! records what came of them.
//!
//! [`handler`] turns a worker's input into its output, wherever it runs;
//! [`engine`] drives the load over a [`transport`], and reads the target's resources
//! beside it; [`recorder`] keeps what was seen until [`ports`] have written it down. Due times come from
//! `deathstar_statemachine::schedule`; what it all means is the report's
//! business.

// A call of the AWS SDK is a future within many.
#![recursion_limit = "256"]

#[cfg(feature = "aws")]
pub mod aws;
pub mod clock;
pub mod engine;
mod gate;
pub mod handler;
mod health;
mod pacer;
pub mod ports;
mod probe;
pub mod recorder;
mod secrets;
mod stop_rule;
pub mod transport;
