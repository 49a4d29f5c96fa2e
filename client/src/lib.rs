//! Composes the embedded mode and the command line.

pub mod target;
