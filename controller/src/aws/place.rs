//! What AWS offers a plan, and what it asks of it. The controller plans by it,
//! and a client to say beforehand what the controller will.

use std::num::NonZeroU32;
use std::time::Duration;

use deathstar_statemachine::plan::Place;

/// Requests a second for which a worker of one vCPU is planned. Even if each
/// needed a new TLS connection, at 0.15–0.2 ms of CPU, the vCPU would be 40 %
/// busy, half of where the generator counts as limited; over kept connections
/// it is a few percent. Measured on other machines, and not yet on Lambda: the
/// report says when it was too much.
const RATE_PER_WORKER: u32 = 2000;

/// Sockets of one worker: Lambda gives it 1,024 descriptors, and a socket is
/// one. See <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
const SOCKETS: u32 = 900;

/// Workers of one function: what Lambda brings up for it in 10 s. See
/// <https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html>.
const WORKERS_PER_FUNCTION: u32 = 1000;

/// How long one invocation may live, which is Lambda's limit and the
/// definition's time-out.
const INVOCATION: Duration = Duration::from_secs(900);

/// The most workers of a run, when the stack does not say.
const MOST_WORKERS: u32 = 1000;

/// What a stack may say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// From the decision on a round to its first request.
    pub lead: Duration,
    /// How often a worker writes down what it saw.
    pub checkpoint: Duration,
    /// The longest stretch of load of one invocation.
    pub slice: Duration,
    /// How long after a run should have ended it is torn down for it.
    pub grace: Duration,
    /// From the plan to the first request.
    pub setup: Duration,
    /// The most workers of a run.
    pub max_workers: NonZeroU32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // An invocation starts and reads its plan in a second or two; 1,000
            // of them take ten from the first, which was before the lead.
            lead: Duration::from_secs(8),
            checkpoint: Duration::from_secs(5),
            slice: Duration::from_secs(600),
            grace: Duration::from_secs(300),
            // Creating functions, and the quarter of an hour that AwaitFleet may
            // take.
            setup: Duration::from_secs(20 * 60),
            max_workers: at_least_one(MOST_WORKERS),
        }
    }
}

/// What a plan may count on, in a stack of these settings.
#[must_use]
pub fn place(settings: &Settings) -> Place {
    let Settings { lead, checkpoint, slice, grace, setup, max_workers } = *settings;
    Place {
        mode: "aws".to_owned(),
        cores: max_workers,
        rate_per_worker: at_least_one(RATE_PER_WORKER),
        sockets: at_least_one(SOCKETS),
        workers_share_process: false,
        workers_per_function: at_least_one(WORKERS_PER_FUNCTION),
        lead,
        checkpoint,
        slice,
        invocation: INVOCATION,
        setup,
        grace,
    }
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}
