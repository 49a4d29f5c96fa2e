//! Memory that grows with each request and is never given back, at a rate that
//! is known: what a leak looks like to whoever watches a service.
//!
//! Job `n` leaks what is missing from the exact total after `n + 1` jobs, so
//! nothing is lost to rounding and there are no jumps. The bytes are written,
//! not only reserved, for only then does the system find memory for them.

use std::sync::{Mutex, PoisonError};

/// Memory is asked for in pieces of this many bytes, each filled before the
/// next: far above what the allocator recycles, and only what is written counts.
const PIECE: usize = 1 << 20;
/// Where it stops to grow, in bytes: 4 GiB. A forgotten target must not take
/// the machine down.
pub(super) const LIMIT: u64 = 1 << 32;
/// What it is filled with: no zeros, which some systems deduplicate.
const FILL: u8 = 0xA5;

/// What has leaked so far. Lives as long as the target.
pub(super) struct Leak {
    per_thousand: u64,
    pieces: Mutex<Vec<Vec<u8>>>,
}

impl Leak {
    /// Leaks `per_thousand` bytes for every 1,000 jobs.
    pub(super) fn new(per_thousand: u64) -> Self {
        Self { per_thousand, pieces: Mutex::default() }
    }

    /// Leaks the share of job `n`, counted from 0.
    pub(super) fn keep_share_of(&self, n: u64) {
        let share = total(self.per_thousand, n.saturating_add(1)) - total(self.per_thousand, n);
        if share == 0 {
            return;
        }
        // About 4 MiB at most: a thousandth of the limit.
        let mut left = usize::try_from(share).unwrap_or(usize::MAX);
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        while left > 0 {
            if pieces.last().is_none_or(|piece| piece.len() == PIECE) {
                pieces.push(Vec::with_capacity(PIECE));
            }
            let piece = pieces.last_mut().expect("one was put there if there was none");
            let length = piece.len().saturating_add(left).min(PIECE);
            left -= length - piece.len();
            piece.resize(length, FILL);
        }
    }

    /// Bytes that have leaked.
    pub(super) fn bytes(&self) -> u64 {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.iter().map(|piece| piece.len() as u64).sum()
    }
}

/// Bytes after `jobs` jobs: `jobs × per_thousand ÷ 1000`, rounded down, up to
/// [`LIMIT`].
fn total(per_thousand: u64, jobs: u64) -> u64 {
    let exact = u128::from(jobs) * u128::from(per_thousand) / 1000;
    u64::try_from(exact).unwrap_or(u64::MAX).min(LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_are_carried() {
        // 2,500 bytes for 1,000 jobs: 2 and 3 in turn.
        let leak = Leak::new(2500);
        let after: Vec<u64> = (0..6)
            .map(|n| {
                leak.keep_share_of(n);
                leak.bytes()
            })
            .collect();
        assert_eq!(after, [2, 5, 7, 10, 12, 15]);
        // One byte for 1,000 jobs comes with the thousandth.
        let leak = Leak::new(1);
        (0..999).for_each(|n| leak.keep_share_of(n));
        assert_eq!(leak.bytes(), 0);
        leak.keep_share_of(999);
        assert_eq!(leak.bytes(), 1);
    }

    #[test]
    fn a_share_may_span_pieces() {
        let leak = Leak::new(1000 * 2_500_000);
        leak.keep_share_of(0);
        leak.keep_share_of(1);
        assert_eq!(leak.bytes(), 5_000_000);
        let pieces = leak.pieces.lock().unwrap();
        // 5,000,000 = 4 × 1,048,576 + 805,696.
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [PIECE, PIECE, PIECE, PIECE, 805_696]);
        assert!(pieces.iter().flatten().all(|byte| *byte == FILL));
    }

    #[test]
    fn it_stops_at_its_limit() {
        // 1 GiB for 1,000 jobs: 4,000 jobs reach 4 GiB, and later ones add nothing.
        assert_eq!(total(1 << 30, 3999), (1 << 32) - (1_u64 << 30).div_ceil(1000));
        assert_eq!(total(1 << 30, 4000), LIMIT);
        assert_eq!(total(1 << 30, 4001), LIMIT);
        assert_eq!(total(u64::MAX, u64::MAX), LIMIT);
    }
}
