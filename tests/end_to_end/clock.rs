//! The one place where these tests read time.

use std::time::{Duration, Instant};

/// Far more than anything here takes; only a hang reaches it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// How often a condition is looked at again.
const AGAIN: Duration = Duration::from_millis(10);

#[expect(clippy::disallowed_methods, reason = "the tests' one clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits until `look` finds something.
///
/// # Panics
/// When it has not after [`DEADLINE`].
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_within(DEADLINE, what, look)
}

/// Waits until `look` finds something, for something that takes long.
///
/// # Panics
/// When it has not after `deadline`.
pub(crate) fn wait_within<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} for {what}");
        std::thread::sleep(AGAIN);
    }
}
