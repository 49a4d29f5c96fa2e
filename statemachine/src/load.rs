//! The shape of the load: which requests are due, and when.
//!
//! Open profiles (`constant`, `ramp`, `steps`, `burst`, `search`) say when requests arrive,
//! whatever the target does. The closed profile (`users`) says how many
//! callers loop, each waiting for its answer. `schedule` turns an open profile
//! into due times.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::search::Search;
use crate::units::Rate;

/// A load profile. Every duration is longer than zero unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// `rate` for `duration`.
    Constant {
        /// Above zero.
        rate: Rate,
        /// How long.
        duration: Duration,
    },
    /// From one rate to another in a straight line, then held.
    Ramp {
        /// May be zero.
        from: Rate,
        /// May be zero, but not both.
        to: Rate,
        /// How long the climb takes.
        over: Duration,
        /// How long `to` is held after it; may be zero.
        hold: Duration,
    },
    /// One rate after another.
    Steps {
        /// At least one, each above zero.
        rates: Vec<Rate>,
        /// How long each step lasts.
        each: Duration,
    },
    /// A low rate, and sudden peaks in it.
    Burst {
        /// Before the first peak and after each; above zero.
        base: Rate,
        /// Above `base`.
        peak: Rate,
        /// How long `base` lasts before the first peak.
        warm: Duration,
        /// How long a peak lasts.
        spike: Duration,
        /// How long `base` lasts after each peak.
        recover: Duration,
        /// How many peaks there are.
        times: NonZeroU32,
    },
    /// One rate after another, each decided on by what came of those before it.
    Search(Search),
    /// One step of a search, as those see it who send it and who look at it.
    Step {
        /// Where it begins in the load: nothing is due before.
        after: Duration,
        /// Above zero.
        rate: Rate,
        /// How long it begins with what is not judged.
        warm_up: Duration,
        /// How long it is, its warm-up included.
        duration: Duration,
    },
    /// The closed workload model: callers that loop.
    Users {
        /// How many virtual users.
        count: NonZeroU32,
        /// Users start evenly over this long; may be zero.
        ramp: Duration,
        /// How long all of them run once the ramp is over.
        duration: Duration,
    },
}

impl Load {
    /// How long requests are due, from the first to the last; of a search, the
    /// longest that it takes on a target that is always the same.
    #[must_use]
    pub fn duration(&self) -> Duration {
        match self {
            Self::Constant { duration, .. } => *duration,
            Self::Ramp { over, hold, .. } => *over + *hold,
            // At most 1,000 steps (checked by the config).
            Self::Steps { rates, each } => *each * u32::try_from(rates.len()).unwrap_or(u32::MAX),
            Self::Burst { warm, spike, recover, times, .. } => *warm + (*spike + *recover) * times.get(),
            Self::Search(search) => search.load_at_most(),
            Self::Step { after, duration, .. } => *after + *duration,
            Self::Users { ramp, duration, .. } => *ramp + *duration,
        }
    }

    /// Where one part ends and the next begins, from the start: between two steps,
    /// at both ends of a peak, and where a step of a search begins
    /// to be judged.
    #[must_use]
    pub fn edges(&self) -> Vec<Duration> {
        match self {
            Self::Constant { .. } | Self::Ramp { .. } | Self::Search(_) | Self::Users { .. } => Vec::new(),
            Self::Step { after, warm_up, .. } => vec![*after, *after + *warm_up],
            Self::Steps { rates, each } => (1..).zip(rates).map(|(step, _)| *each * step).collect(),
            Self::Burst { warm, spike, recover, times, .. } => (0..times.get())
                .map(|peak| *warm + (*spike + *recover) * peak)
                .flat_map(|peak| [peak, peak + *spike])
                .collect(),
        }
    }

    /// The profile's name in configs and reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Constant { .. } => "constant",
            Self::Ramp { .. } => "ramp",
            Self::Steps { .. } => "steps",
            Self::Burst { .. } => "burst",
            Self::Search(_) | Self::Step { .. } => "search",
            Self::Users { .. } => "users",
        }
    }

    /// Whether its rates are decided on as it goes.
    #[must_use]
    pub const fn is_search(&self) -> bool {
        matches!(self, Self::Search(_) | Self::Step { .. })
    }

    /// Whether arrivals do not wait for responses.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self, Self::Users { .. })
    }

    /// The highest rate that is ever due; zero in the closed model.
    #[must_use]
    pub fn peak_rate(&self) -> Rate {
        match self {
            Self::Constant { rate, .. } | Self::Step { rate, .. } => *rate,
            Self::Ramp { from, to, .. } => *from.max(to),
            Self::Steps { rates, .. } => rates.iter().copied().max().unwrap_or(Rate::ZERO),
            Self::Burst { peak, .. } => *peak,
            Self::Search(search) => search.up_to(),
            Self::Users { .. } => Rate::ZERO,
        }
    }
}

/// How long a virtual user pauses between a response and its next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Think {
    /// The shortest pause.
    pub min: Duration,
    /// The longest pause, at least `min`; pauses are uniform in between.
    pub max: Duration,
}
