//! The one place of the chores that reads time.

use std::time::Instant;

/// The monotonic time now.
#[expect(clippy::disallowed_methods, reason = "the chores' one clock")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
