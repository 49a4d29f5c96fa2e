//! What this machine offers a run.

use std::num::NonZeroU32;
use std::thread::available_parallelism;
use std::time::Duration;

use deathstar_statemachine::plan::Place;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Requests a second for which a worker is planned: low enough that a core which
/// is also the target's keeps up. The report says when it did not.
const RATE_PER_WORKER: u32 = 5000;

/// Descriptors that are not for sockets to the target: the table, the terminal,
/// event loops, threads.
const RESERVED: u64 = 128;

/// More connections than this from one machine only exhaust its ports.
const MOST_SOCKETS: u64 = 20_000;

/// From the decision on a round to its first request: long enough for a
/// worker's thread to be ready on a busy machine.
const LEAD: Duration = Duration::from_millis(100);

/// How often a worker writes down what it saw; the table is a local file, so
/// often, and a killed run loses at most this.
const CHECKPOINT: Duration = Duration::from_secs(1);

/// The longest stretch of load of one worker thread.
const SLICE: Duration = Duration::from_secs(600);

/// How long a worker may live: what the definition, which is AWS's, allows.
const INVOCATION: Duration = Duration::from_secs(900);

/// From the plan to the first request; a busy machine may take its time.
const SETUP: Duration = Duration::from_secs(60);

/// How long after a run should have ended it is torn down for it.
const GRACE: Duration = Duration::from_secs(60);

/// How many files this process may open, once the soft limit has been raised to
/// the hard one.
#[must_use]
pub fn open_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Refused at worst: then the soft limit stays what it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What this machine offers a plan. Raises the limit on open files.
#[must_use]
pub fn place() -> Place {
    let cores = available_parallelism().map_or(1, std::num::NonZero::get);
    let sockets = open_file_limit().saturating_sub(RESERVED).min(MOST_SOCKETS);
    let at_least_one =
        |number: u64| NonZeroU32::new(u32::try_from(number).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
    Place {
        mode: "embedded".to_owned(),
        cores: at_least_one(cores as u64),
        rate_per_worker: at_least_one(u64::from(RATE_PER_WORKER)),
        sockets: at_least_one(sockets),
        workers_share_process: true,
        workers_per_function: at_least_one(1000),
        lead: LEAD,
        checkpoint: CHECKPOINT,
        slice: SLICE,
        invocation: INVOCATION,
        setup: SETUP,
        grace: GRACE,
    }
}
