//! AWS mode: the worker's adapters, and its Lambda entry.

pub mod entry;
pub mod secrets;
pub mod table;
