//! The demo's explanation of its own report.

use std::fmt::Write;
use std::time::Duration;

use deathstar_statemachine::report::Report;
use deathstar_statemachine::units::display_duration;

use super::format::{grouped, time};
use crate::target::Counts;

/// A few lines that say what to look at.
pub(crate) fn demo(report: &Report, counted: &Counts, stall: Duration) -> String {
    let mut text = String::new();
    let Some(attack) = report.attacks.first() else { return text };
    let all = &attack.all;
    let arrived = all.arrivals.completed + all.arrivals.failed + all.arrivals.timed_out;
    let _ = writeln!(text, "\nHow to read this");
    let _ = writeln!(
        text,
        "- The target stood still for {} while requests went on being due, and each that waited counts from when\n  \
         it was due: half of all took {}, the slowest in a hundred {} or more. A tool that waits\n  \
         for an answer before it sends the next request would have sent a handful into the stall, and hidden it.",
        display_duration(stall),
        time(all.response_time_ms.p50),
        time(all.response_time_ms.p99),
    );
    let _ = writeln!(
        text,
        "- Every request is accounted for: {} were due, {} were sent, and the target itself counted {}.",
        grouped(all.arrivals.scheduled),
        grouped(arrived),
        grouped(counted.received),
    );
    let _ = writeln!(
        text,
        "- Now aim at your own service: put the config above into a file and run\n  deathstar run FILE. `deathstar schema` lists all that a config may say."
    );
    text
}
