//! AWS mode without an account: our code against an emulator of AWS, with
//! faults put between the two.
//!
//! [`ministack`] is the emulator, one process for all tests of this program;
//! [`account`] is a test's own account in it, so that tests cannot see each
//! other; [`proxy`] is what every call of a client or of a function passes, and
//! where a call is refused, delayed, lost or doubled on cue; [`cloud`] is
//! DeathStar installed in an account. The rest are tests, by theme;
//! [`contract`] is what the adapters of both modes must do alike.
//!
//! What the emulator cannot show, these tests do not claim. It lets state
//! machines, rules and schedules call functions inside its own process, past
//! the proxy; and it is asked for permissions only when started to be
//! (`AUTH=true`).

#![expect(
    clippy::unwrap_used,
    reason = "helpers are tests, too, though clippy sees only the functions marked so"
)]

mod account;
mod aws;
#[path = "../end_to_end/clock.rs"]
mod clock;
mod cloud;
mod fault;
mod measured;
mod message;
mod ministack;
mod operation;
mod proxy;

mod bad_input;
mod contract;
mod fault_runs;
mod faults_on_cue;
mod functions;
mod grants;
mod isolation;
mod listener;
mod redaction;
mod resources;
mod run_table;
mod runs;
mod same_path;
