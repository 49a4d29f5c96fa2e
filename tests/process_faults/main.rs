//! What happens when a run is interrupted, killed, starved or let down by its
//! own workers: real processes, real signals, and adapters that really fail.
//!
//! The promise under test is always the same. Whatever happens, the report says
//! what is missing and nothing is left behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod bench;
mod killed;
mod memory;
mod no_room;
mod signals;
mod starved;
mod workers;
