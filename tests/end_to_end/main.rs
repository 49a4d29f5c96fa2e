//! End to end: the real binary, over real sockets, against targets that
//! misbehave on cue.
//!
//! [`command`] runs `deathstar` in a home of its own and checks what every run
//! must leave behind; [`report`] checks what every report must say; [`server`]
//! is the target, and [`debian`] has real ones. The rest are tests, by theme. Machines are noisy: times are
//! bounded so generously that only a different design fails, and nothing here
//! waits for a time where it can wait for an event.

#![expect(
    clippy::unwrap_used,
    reason = "helpers are tests, too, though clippy sees only the functions marked so"
)]

mod clock;
mod command;
mod debian;
mod report;
mod server;

mod bad_input;
mod exactness;
mod http;
mod misbehaving_targets;
mod profiles;
mod requests;
mod runs;
mod truth;
mod verdicts;
