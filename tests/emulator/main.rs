//! AWS mode over the real wire protocols, against an emulator.
//!
//! [`ministack`] is the emulator, [`proxy`] stands before it and fails on cue;
//! [`contract`] is what adapters of both modes must do.

#![expect(
    clippy::unwrap_used,
    reason = "helpers are tests, too, though clippy sees only the functions marked so"
)]

#[path = "../end_to_end/clock.rs"]
mod clock;
mod contract;
mod ministack;
mod proxy;
