//! Descriptors held while a request is under way, as by a service that opens
//! files or connections of its own for each; and one put by, so that the
//! target can say how it stands when there are no more.
//!
//! They are copies of one descriptor of `/dev/null`: the cheapest there are,
//! and each counts against the limit like any other.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

/// Where descriptors come from.
pub(super) struct Files {
    null: OwnedFd,
    per_request: usize,
    /// Given up for as long as something must be read.
    spare: Mutex<Option<OwnedFd>>,
}

impl Files {
    /// A source of `per_request` descriptors a time.
    pub(super) fn new(per_request: u32) -> io::Result<Self> {
        let null: OwnedFd = File::open("/dev/null")?.into();
        let spare = Mutex::new(Some(null.try_clone()?));
        Ok(Self { null, per_request: usize::try_from(per_request).unwrap_or(usize::MAX), spare })
    }

    /// All the descriptors of one request, which are open until dropped.
    ///
    /// # Errors
    /// When there are not enough; then none stays open.
    pub(super) fn hold(&self) -> io::Result<Vec<OwnedFd>> {
        (0..self.per_request).map(|_| self.null.try_clone()).collect()
    }

    /// Runs `read` with one descriptor to spare, even if all others are taken.
    /// Another thread may still be quicker to take it; then `read` does without.
    pub(super) fn with_spare<T>(&self, read: impl FnOnce() -> T) -> T {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        drop(spare.take());
        let read = read();
        *spare = self.null.try_clone().ok();
        read
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn each_request_has_its_own() {
        let files = Files::new(3).unwrap();
        let (first, second) = (files.hold().unwrap(), files.hold().unwrap());
        let numbers: BTreeSet<_> = first.iter().chain(&second).map(AsRawFd::as_raw_fd).collect();
        assert_eq!(numbers.len(), 6);
        assert!(Files::new(0).unwrap().hold().unwrap().is_empty());
    }
}
