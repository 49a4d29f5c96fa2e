//! The target's time: nanoseconds since it started to listen, and waking up at
//! such an instant; and the CPU time of a thread. The only file of the target
//! that reads a clock.
//!
//! Tokio's timer counts whole milliseconds, which would add up to 1 ms to each
//! response. On Linux an [`Alarm`] therefore is one kernel timer (timerfd) for
//! all requests, armed for the earliest of them; it wakes within tens of
//! microseconds. Elsewhere it falls back to tokio's timer. Either way a late
//! wake-up delays one response and no other: see [`super::queue`].

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::queue::Nanos;

/// A monotonic clock that starts at zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the target's clock file")]
    pub(super) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Time since the start; never goes back.
    pub(super) fn now(self) -> Nanos {
        super::draw::nanos(self.started.elapsed())
    }

    /// How long it is until `at`; zero when that has passed.
    fn until(self, at: Nanos) -> Duration {
        Duration::from_nanos(at.saturating_sub(self.now()))
    }
}

/// The CPU time, user and system, that the calling thread has spent since this
/// was made on it.
#[derive(Debug)]
pub(super) struct ThreadCpu {
    started: Duration,
    /// On another thread it would compare two threads' clocks.
    _of_one_thread: PhantomData<*const ()>,
}

impl ThreadCpu {
    pub(super) fn start() -> Self {
        Self { started: Self::clock(), _of_one_thread: PhantomData }
    }

    pub(super) fn spent(&self) -> Duration {
        Self::clock().saturating_sub(self.started)
    }

    fn clock() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let part = |n: i64| u64::try_from(n).unwrap_or(0);
        Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
    }
}

#[cfg(target_os = "linux")]
pub(super) use timerfd::Alarm;
#[cfg(not(target_os = "linux"))]
pub(super) use tokio_timer::Alarm;

#[cfg(target_os = "linux")]
mod timerfd {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::sync::oneshot;

    use super::{Clock, Nanos};

    /// Wakes tasks at given instants.
    pub(in super::super) struct Alarm {
        clock: Clock,
        timer: AsyncFd<OwnedFd>,
        sleepers: Mutex<Sleepers>,
    }

    #[derive(Default)]
    struct Sleepers {
        /// Soonest first. Whoever stopped waiting stays until its time comes.
        due: BinaryHeap<Reverse<Sleeper>>,
        /// What the kernel timer is set for, if it is.
        armed: Option<Nanos>,
        /// Nobody sleeps any more: the target has stopped.
        closed: bool,
    }

    struct Sleeper {
        at: Nanos,
        wake: oneshot::Sender<()>,
    }

    impl PartialEq for Sleeper {
        fn eq(&self, other: &Self) -> bool {
            self.at == other.at
        }
    }
    impl Eq for Sleeper {}
    impl PartialOrd for Sleeper {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Sleeper {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.at.cmp(&other.at)
        }
    }

    impl Alarm {
        /// Must be called within a tokio runtime that has I/O enabled.
        pub(in super::super) fn new(clock: Clock) -> io::Result<Self> {
            let timer =
                timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            #[expect(
                deprecated,
                reason = "its successor is unsafe for the sake of types that may change or close their descriptor; \
                          an `OwnedFd` does neither"
            )]
            let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
            Ok(Self { clock, timer, sleepers: Mutex::default() })
        }

        /// Waits until `at`, which may have passed; false if the alarm was
        /// closed before.
        pub(in super::super) async fn sleep_until(&self, at: Nanos) -> bool {
            if at <= self.clock.now() {
                return true;
            }
            let (wake, woken) = oneshot::channel();
            {
                let mut sleepers = self.sleepers();
                if sleepers.closed {
                    return false;
                }
                sleepers.due.push(Reverse(Sleeper { at, wake }));
                if sleepers.armed.is_none_or(|armed| at < armed) {
                    self.arm(&mut sleepers, at);
                }
            }
            // To close the alarm drops the sender.
            woken.await.is_ok()
        }

        /// Rings for as long as the target runs.
        pub(in super::super) async fn run(&self) {
            // The only error is that the runtime shuts down.
            while let Ok(mut ready) = self.timer.readable().await {
                // Setting the timer again also resets what there is to read,
                // and the next expiry is a new edge: no read is needed.
                ready.clear_ready();
                self.ring();
            }
        }

        /// Ends all waits, and whoever comes later does not wait.
        pub(in super::super) fn close(&self) {
            let mut sleepers = self.sleepers();
            sleepers.closed = true;
            sleepers.due.clear();
        }

        fn ring(&self) {
            let mut sleepers = self.sleepers();
            sleepers.armed = None;
            let now = self.clock.now();
            while let Some(Reverse(next)) = sleepers.due.peek() {
                if next.at > now {
                    let at = next.at;
                    self.arm(&mut sleepers, at);
                    return;
                }
                if let Some(Reverse(sleeper)) = sleepers.due.pop() {
                    // It may have gone away.
                    let _ = sleeper.wake.send(());
                }
            }
        }

        fn arm(&self, sleepers: &mut Sleepers, at: Nanos) {
            sleepers.armed = Some(at);
            // Zero would disarm it.
            let wait = self.clock.until(at).max(std::time::Duration::from_nanos(1));
            let wait = Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: wait.subsec_nanos().into(),
            };
            let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: wait };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)
                .expect("a valid time on a timer that is open cannot be refused");
        }

        fn sleepers(&self) -> MutexGuard<'_, Sleepers> {
            self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod tokio_timer {
    use std::io;

    use tokio::sync::watch;

    use super::{Clock, Nanos};

    /// Wakes tasks at given instants, up to 1 ms late.
    pub(in super::super) struct Alarm {
        clock: Clock,
        closed: watch::Sender<bool>,
    }

    impl Alarm {
        pub(in super::super) fn new(clock: Clock) -> io::Result<Self> {
            Ok(Self { clock, closed: watch::Sender::new(false) })
        }

        /// Waits until `at`, which may have passed; false if the alarm was
        /// closed before.
        pub(in super::super) async fn sleep_until(&self, at: Nanos) -> bool {
            let wait = self.clock.until(at);
            if wait.is_zero() {
                return true;
            }
            let mut closed = self.closed.subscribe();
            tokio::select! {
                () = tokio::time::sleep(wait) => true,
                _ = closed.wait_for(|closed| *closed) => false,
            }
        }

        /// Nothing to do: tokio rings.
        pub(in super::super) async fn run(&self) {
            std::future::pending().await
        }

        /// Ends all waits, and whoever comes later does not wait.
        pub(in super::super) fn close(&self) {
            self.closed.send_replace(true);
        }
    }
}
