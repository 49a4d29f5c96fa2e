//! The one place in the client that reads the wall clock.

use jiff::Timestamp;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "the client's one clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
