//! What tests of reports begin with.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::num::NonZeroU32;
use std::time::Duration;

use deathstar_statemachine::config::Config;
use deathstar_statemachine::plan::{Place, Plan};

/// The plan of a config, in slices of so many seconds, on a machine that leaves it all
/// the workers that it wants.
pub(crate) fn plan_of(text: &str, slice_s: u64) -> Plan {
    let config = Config::from_text(text, |_| Err(String::new())).unwrap();
    let many = NonZeroU32::new(10_000).unwrap();
    let place = Place {
        mode: "embedded".into(),
        cores: many,
        rate_per_worker: many,
        sockets: many,
        workers_share_process: true,
        workers_per_function: many,
        lead: Duration::from_millis(100),
        checkpoint: Duration::from_secs(1),
        slice: Duration::from_secs(slice_s),
        invocation: Duration::from_secs(900),
        setup: Duration::from_secs(60),
        grace: Duration::from_secs(60),
    };
    Plan::new("test".parse().unwrap(), config, place, "2026-01-01T00:00:00Z".parse().unwrap()).unwrap()
}
