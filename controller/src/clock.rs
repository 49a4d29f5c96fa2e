//! The one place in the control plane that reads time.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Reads the wall clock and waits; a port, so that tests own time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the control plane's one clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The monotonic time now, as tokio's timers see it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the control plane's one clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}
