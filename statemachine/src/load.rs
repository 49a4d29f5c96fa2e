//! The shape of the load: which requests are due, and when.
//!
//! Open profiles (`constant`, `ramp`, `steps`, `burst`) say when requests arrive,
//! whatever the target does. The closed profile (`users`) says how many
//! callers loop, each waiting for its answer. `schedule` turns an open profile
//! into due times.

use std::num::NonZeroU32;
use std::time::Duration;

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
    /// How long requests are due, from the first to the last.
    #[must_use]
    pub fn duration(&self) -> Duration {
        match self {
            Self::Constant { duration, .. } => *duration,
            Self::Ramp { over, hold, .. } => *over + *hold,
            // At most 1,000 steps (checked by the config).
            Self::Steps { rates, each } => *each * u32::try_from(rates.len()).unwrap_or(u32::MAX),
            Self::Burst { warm, spike, recover, times, .. } => *warm + (*spike + *recover) * times.get(),
            Self::Users { ramp, duration, .. } => *ramp + *duration,
        }
    }

    /// Where one part ends and the next begins, from the start: between two steps,
    /// and at both ends of a peak.
    #[must_use]
    pub fn edges(&self) -> Vec<Duration> {
        match self {
            Self::Constant { .. } | Self::Ramp { .. } | Self::Users { .. } => Vec::new(),
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
            Self::Users { .. } => "users",
        }
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
            Self::Constant { rate, .. } => *rate,
            Self::Ramp { from, to, .. } => *from.max(to),
            Self::Steps { rates, .. } => rates.iter().copied().max().unwrap_or(Rate::ZERO),
            Self::Burst { peak, .. } => *peak,
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
