//! The one place in the worker that reads time.
//!
//! Within a worker everything is an offset from the start of the load, on the
//! monotonic clock; the wall clock only fixes where that start is. Tests pause
//! tokio's clock and own both.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Reads the wall clock; a port, so that tests own it.
pub trait WallClock {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// What may be slept by.
    fn timers(&self) -> Timers {
        Timers::Precise
    }
}

/// What a clock may be slept by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timers {
    /// The best that the machine has.
    Precise,
    /// tokio's only, so that whoever pauses its clock owns the time.
    Tokio,
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the worker's one clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The monotonic time now, as tokio's timers see it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the worker's one clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Offsets from the start of the load.
#[derive(Debug, Clone, Copy)]
pub struct LoadClock {
    /// Some instant,
    base: Instant,
    /// and its offset from the start of the load, in nanoseconds; negative
    /// before the start.
    offset: i64,
    timers: Timers,
}

impl LoadClock {
    /// A clock for a round whose load offset `from` is at wall-clock time `t0`.
    #[must_use]
    pub fn new(wall: &impl WallClock, t0: Timestamp, from: Duration) -> Self {
        let (base, now) = (monotonic(), wall.now());
        let since_t0 = i64::try_from(now.duration_since(t0).as_nanos()).unwrap_or(i64::MAX);
        let from = i64::try_from(from.as_nanos()).unwrap_or(i64::MAX);
        Self { base, offset: since_t0.saturating_add(from), timers: wall.timers() }
    }

    /// The offset now; zero before the load starts.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.offset_of(monotonic())
    }

    /// The offset of an instant; zero before the load starts.
    #[must_use]
    pub fn offset_of(&self, instant: Instant) -> Duration {
        let elapsed =
            i64::try_from(instant.saturating_duration_since(self.base).as_nanos()).unwrap_or(i64::MAX);
        Duration::from_nanos(u64::try_from(self.offset.saturating_add(elapsed)).unwrap_or(0))
    }

    /// The instant of an offset; the clock's own start when that is in the past.
    #[must_use]
    pub fn instant_of(&self, offset: Duration) -> Instant {
        let offset = i64::try_from(offset.as_nanos()).unwrap_or(i64::MAX);
        let ahead = u64::try_from(offset.saturating_sub(self.offset)).unwrap_or(0);
        self.base + Duration::from_nanos(ahead)
    }

    /// What it may be slept by.
    #[must_use]
    pub const fn timers(&self) -> Timers {
        self.timers
    }

    /// How long it is until an offset; nothing when it has passed.
    #[must_use]
    pub fn until(&self, offset: Duration) -> Option<Duration> {
        self.instant_of(offset).checked_duration_since(monotonic()).filter(|ahead| !ahead.is_zero())
    }

    /// Whether an offset is yet to come; so is all of the load before its start.
    #[must_use]
    pub fn is_ahead(&self, offset: Duration) -> bool {
        self.until(offset).is_some()
    }

    /// Sleeps until an offset; returns at once when it has passed.
    pub async fn sleep_until(&self, offset: Duration) {
        tokio::time::sleep_until(self.instant_of(offset)).await;
    }
}

/// A clock that stands still, with no timer but tokio's, which tests can pause.
#[cfg(test)]
pub(crate) struct Paused;

#[cfg(test)]
impl WallClock for Paused {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn timers(&self) -> Timers {
        Timers::Tokio
    }
}
