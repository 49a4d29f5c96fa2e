//! Sleeps until arrivals are due, and wakes as seldom as it may.
//!
//! tokio's timer counts in whole milliseconds, which is far too coarse to pace
//! thousands of arrivals a second. On Linux a timer of the kernel's, watched by
//! the same runtime, wakes within tens of microseconds. Each wake costs ten or so
//! microseconds of CPU, whatever it is for; so where arrivals are close together,
//! the timer is armed no earlier than [`FLOOR`] from now, and one wake lets several
//! leave. Nothing spins: a thread that does loses its slice to its neighbours just
//! when it is needed.

use std::time::Duration;

use crate::clock::{LoadClock, Timers};

/// No wake comes sooner than this after the one before, where arrivals are close
/// together: half of it is how late they leave in the median.
const FLOOR: Duration = Duration::from_micros(400);

/// Arrivals that are further apart than this on average are waited for one by
/// one: their wakes are too few to cost much.
const FAR_APART: Duration = Duration::from_micros(400);

/// Paces one stream of arrivals.
#[derive(Debug)]
pub(crate) struct Pacer {
    clock: LoadClock,
    timer: Timer,
    /// The offset of the last arrival, and how far apart they are on average.
    last: Option<Duration>,
    gap: Duration,
}

#[derive(Debug)]
enum Timer {
    /// tokio's, to the millisecond.
    Tokio,
    #[cfg(target_os = "linux")]
    Kernel(kernel::Timer),
}

impl Pacer {
    /// A pacer by this clock; it must be made within the runtime.
    pub(crate) fn new(clock: LoadClock) -> Self {
        let timer = match clock.timers() {
            Timers::Tokio => Timer::Tokio,
            Timers::Precise => Timer::precise(),
        };
        Self { clock, timer, last: None, gap: Duration::MAX }
    }

    /// Sleeps until an offset, or a little longer where those waited for are close
    /// together. Dropping the future ends the sleep.
    pub(crate) async fn sleep_until(&mut self, offset: Duration) {
        match &mut self.timer {
            Timer::Tokio => self.clock.sleep_until(offset).await,
            #[cfg(target_os = "linux")]
            Timer::Kernel(timer) => {
                let floor = if self.gap < FAR_APART { FLOOR } else { Duration::ZERO };
                while let Some(ahead) = self.clock.until(offset) {
                    if timer.sleep(ahead.max(floor)).await.is_err() {
                        // No descriptor is bad enough to end a run for.
                        self.timer = Timer::Tokio;
                        return self.clock.sleep_until(offset).await;
                    }
                }
            }
        }
    }

    /// Follows how far apart arrivals are, whether they are waited for or not: an
    /// average that forgets, since a ramp changes its pace.
    pub(crate) fn note(&mut self, offset: Duration) {
        if let Some(last) = self.last.replace(offset) {
            let gap = offset.saturating_sub(last);
            self.gap = if self.gap == Duration::MAX { gap } else { (self.gap * 7 + gap) / 8 };
        }
    }
}

impl Timer {
    #[cfg(target_os = "linux")]
    fn precise() -> Self {
        kernel::Timer::new().map_or(Self::Tokio, Self::Kernel)
    }

    #[cfg(not(target_os = "linux"))]
    fn precise() -> Self {
        Self::Tokio
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    /// A timer of the kernel's, which the runtime watches like a socket.
    #[derive(Debug)]
    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        #[expect(deprecated, reason = "an OwnedFd stays what it is, which is what the new way has one swear")]
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            Ok(Self(AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
        }

        /// Sleeps so long, or less when a sleep that was given up before has gone off
        /// since: whoever sleeps looks at a clock.
        pub(super) async fn sleep(&mut self, span: Duration) -> io::Result<()> {
            // Zero would disarm it.
            let span = span.max(Duration::from_nanos(1));
            let once = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec {
                    tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: i64::from(span.subsec_nanos()),
                },
            };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            // Nothing is read: to arm it anew forgets how often it has gone off, and
            // each time is an event of its own to the runtime.
            self.0.readable().await?.clear_ready();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::clock::{Paused, SystemClock, WallClock};

    fn pacer() -> Pacer {
        let wall = SystemClock;
        Pacer::new(LoadClock::new(&wall, wall.now(), Duration::ZERO))
    }

    #[tokio::test]
    async fn nothing_is_woken_early_and_a_sleep_given_up_leaves_nothing() {
        let mut pacer = pacer();
        assert!(cfg!(not(target_os = "linux")) || matches!(pacer.timer, Timer::Kernel(_)));
        for ms in [1, 3, 4, 9] {
            // Given up at once, and then after it has gone off unseen.
            let offset = Duration::from_millis(ms);
            for patience in [Duration::ZERO, Duration::from_millis(1)] {
                let _ = tokio::time::timeout(patience, pacer.sleep_until(offset)).await;
            }
            pacer.sleep_until(offset).await;
            assert!(!pacer.clock.is_ahead(offset), "{ms} ms");
        }
        // What has passed is not waited for.
        let long_ago = pacer.clock.now();
        pacer.sleep_until(long_ago).await;
    }

    #[tokio::test]
    async fn one_wake_serves_several_arrivals_where_they_are_close_together() {
        for (gap_us, floor) in [(100, true), (500, false)] {
            let mut pacer = pacer();
            let start = pacer.clock.now() + Duration::from_millis(1);
            let (mut wakes, mut n) = (0, 0);
            while n < 200 {
                let due = start + Duration::from_micros(gap_us) * n;
                pacer.note(due);
                if pacer.clock.is_ahead(due) {
                    pacer.sleep_until(due).await;
                    wakes += 1;
                }
                n += 1;
            }
            // 400 us hold four arrivals. A busy machine wakes even less.
            assert!(!floor || wakes <= 100, "{wakes} wakes for {n} arrivals {gap_us} us apart");
            assert_eq!(pacer.gap < FAR_APART, floor, "{:?}", pacer.gap);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_paces_too() {
        let mut pacer = Pacer::new(LoadClock::new(&Paused, Timestamp::UNIX_EPOCH, Duration::ZERO));
        pacer.sleep_until(Duration::from_secs(3600)).await;
        assert_eq!(pacer.clock.now(), Duration::from_secs(3600));
    }
}
