//! The demo's explanation of its own report.

use std::fmt::Write;

use deathstar_statemachine::report::Report;

use super::format::{grouped, time};
use crate::target::Counts;

/// A few lines that say what to look at.
pub(crate) fn demo(report: &Report, counted: &Counts) -> String {
    let mut text = String::new();
    let Some(attack) = report.attacks.first() else { return text };
    let all = &attack.all;
    let arrived = all.arrivals.completed + all.arrivals.failed + all.arrivals.timed_out;
    let _ = writeln!(text, "\nHow to read this");
    let _ = writeln!(
        text,
        "- The target stood still for 300 ms while requests went on being due. Those that waited show in the\n  \
         response time, counted from when each was due: p99 {}. The service time, counted from\n  \
         when each was sent, is what closed-loop tools report.",
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
