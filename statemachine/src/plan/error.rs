//! Why a valid config cannot run in a place.

use std::time::Duration;

use thiserror::Error;

use super::MAX_SLICES;
use crate::cost::display_usd;
use crate::units::display_duration;

/// Why a valid config cannot run here.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PlanError {
    /// The config refers to values that are not to be had here; a sentence for
    /// each.
    #[error("{}", .0.join("; "))]
    References(Vec<String>),
    /// The config reads resources that cannot be read here; a sentence for each.
    #[error("{}", .0.join("; "))]
    Resources(Vec<String>),
    /// Dearer than the config allows.
    #[error("the run would cost about {} USD; its budget is {} USD (max_usd)", display_usd(*cost), display_usd(*limit))]
    OverBudget {
        /// The estimate, in US dollars.
        cost: f64,
        /// The most it may cost, in US dollars.
        limit: f64,
    },
    /// Some workers would have nothing to do.
    #[error("{workers} workers for {arrivals} arrivals: at least {} would never send anything; the limit is {arrivals}", u64::from(*workers) - arrivals)]
    MoreWorkersThanArrivals {
        /// Workers asked for.
        workers: u32,
        /// Arrivals, or users, of the whole config.
        arrivals: u64,
    },
    /// Some workers would have no connection.
    #[error(
        "attack {attack:?} may have {connections} connections, too few for one each of {workers} workers; raise connections or ask for fewer workers"
    )]
    MoreWorkersThanConnections {
        /// The attack.
        attack: String,
        /// Connections it may have.
        connections: u32,
        /// Workers asked for.
        workers: u32,
    },
    /// Too many workers.
    #[error("{workers} workers are too many; the limit is {limit}")]
    TooManyWorkers {
        /// Workers asked for.
        workers: u32,
        /// The most there can be.
        limit: u32,
    },
    /// The load is too long for one execution.
    #[error("the load lasts {}, which is over {MAX_SLICES} slices of {}: the limit is {}", display_duration(*load), display_duration(*slice), display_duration(*slice * MAX_SLICES))]
    LoadTooLong {
        /// How long requests are due.
        load: Duration,
        /// The longest stretch of load of one invocation.
        slice: Duration,
    },
    /// Requests may take so long that no invocation can wait for them.
    #[error("attack {attack:?} allows requests to take {}, and a worker lives for {}: the limit is {}", display_duration(*timeout), display_duration(*invocation), display_duration(*limit))]
    TimeoutTooLong {
        /// The attack.
        attack: String,
        /// Its timeout.
        timeout: Duration,
        /// How long a worker lives.
        invocation: Duration,
        /// The longest timeout there can be.
        limit: Duration,
    },
    /// Requests may take so long that a slice would end after the next but one
    /// should begin.
    #[error("attack {attack:?} allows requests to take {}, and a load of {} is cut into slices of {}: a worker that waits for its last requests would come late for the slice after the next; the limit is {}, or a load of {}", display_duration(*timeout), display_duration(*load), display_duration(*slice), display_duration(*limit), display_duration(*slice * 2))]
    TimeoutTooLongForSlices {
        /// The attack.
        attack: String,
        /// Its timeout.
        timeout: Duration,
        /// How long requests are due between two decisions.
        load: Duration,
        /// The longest stretch of load of one invocation.
        slice: Duration,
        /// The longest timeout that such a load can have.
        limit: Duration,
    },
    /// Too few sockets for the workers.
    #[error(
        "{workers} workers share {sockets} sockets, too few for one each; raise the limit on open files or ask for fewer workers"
    )]
    TooFewSockets {
        /// Workers asked for.
        workers: u32,
        /// Sockets there are.
        sockets: u32,
    },
}
