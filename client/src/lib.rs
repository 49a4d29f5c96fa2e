//! The command line `deathstar`, and the composition of embedded mode.
//!
//! [`embedded`] runs the definition in this process: it hands tasks to the
//! controller and shards to workers, which know nothing of each other. The
//! rest reads configs, shows progress and renders reports. Commands are written
//! once for both places that runs can be in: `mode` is the one that chooses.
//! [`target`] is a service to aim at.

pub mod embedded;
pub mod exit;
pub mod home;
pub mod machine;
pub mod target;

#[cfg(feature = "aws")]
mod aws;
pub mod cli;
mod clock;
mod commands;
mod config_file;
#[cfg(feature = "aws")]
pub mod install;
mod mode;
mod output;
mod progress;
#[cfg(feature = "aws")]
pub mod schedule;

pub use commands::run_command;
