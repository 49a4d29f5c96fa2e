//! Which request an arrival makes: a function of its number and the seed, not
//! of the worker that sends it.
//!
//! Arrivals are dealt like cards: every block holds each request exactly as
//! often as its weight says, in an order of its own. So a mix of 3 : 1 over
//! 4,000 arrivals is 3,000 and 1,000, to the request, on any number of workers.

use crate::config::Request;

/// Deals an attack's requests by weight.
#[derive(Debug, Clone)]
pub struct Mix {
    seed: u64,
    /// Where in a deck in order the cards of each request end.
    ends: Vec<u64>,
    /// Half of the bits that a card's number has, and a little more for small decks.
    half: u32,
}

impl Mix {
    /// A mix over `requests` for one attack. Weights are divided by their
    /// greatest common divisor, so a block is as short as it can be.
    #[must_use]
    pub fn new(requests: &[Request], seed: u64) -> Self {
        let divisor = requests.iter().map(|request| request.weight.get()).fold(0, gcd).max(1);
        let mut ends = Vec::with_capacity(requests.len());
        let mut cards = 0;
        for request in requests {
            cards += u64::from(request.weight.get() / divisor);
            ends.push(cards);
        }
        let bits = u64::BITS - cards.leading_zeros();
        Self { seed, ends, half: bits.div_ceil(2).max(2) }
    }

    /// What its order is drawn from.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The index of the request that number `n` of `stream` makes. The open
    /// model has one stream, 0, or one a second when arrivals are at random; in the
    /// closed model each user is one.
    #[must_use]
    pub fn pick(&self, stream: u64, n: u64) -> usize {
        let [.., _, cards] = self.ends[..] else { return 0 };
        let block = n / cards;
        let key =
            SplitMix64(self.seed ^ SplitMix64(stream).next() ^ SplitMix64(block.rotate_left(32)).next());
        let mut card = n % cards;
        // Numbers beyond the deck lead back into it, and no two to the same.
        loop {
            card = self.permute(card, key.clone());
            if card < cards {
                return self.ends.partition_point(|end| *end <= card);
            }
        }
    }

    /// Shuffles all numbers of twice `half` bits: a Feistel network, which needs no
    /// deck in memory and finds any card at once. See Black and Rogaway, "Ciphers with
    /// arbitrary finite domains", 2002, for it and for the walk above.
    fn permute(&self, number: u64, mut key: SplitMix64) -> u64 {
        // With 8 the orders of a small deck still differ by a tenth.
        const ROUNDS: u32 = 10;
        let mask = (1 << self.half) - 1;
        let (mut left, mut right) = (number >> self.half, number & mask);
        for _ in 0..ROUNDS {
            let noise = SplitMix64(key.next() ^ right).next();
            (left, right) = (right, left ^ (noise & mask));
        }
        left << self.half | right
    }
}

/// Sebastiano Vigna's SplitMix64: small, seedable at any point, and good
/// enough to shuffle. See <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Debug, Clone)]
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is above zero; the bias is below
    /// `bound` ÷ 2⁶⁴.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn requests(weights: &[u32]) -> Vec<Request> {
        let request = |(index, weight): (usize, &u32)| Request {
            name: format!("r{index}"),
            weight: NonZeroU32::new(*weight).unwrap(),
            method: "GET".into(),
            url: "http://127.0.0.1/".parse().unwrap(),
            headers: vec![],
            body: vec![],
            expect_status: None,
            http: crate::config::Http::default(),
            carrier: crate::config::Carrier::Fast,
        };
        weights.iter().enumerate().map(request).collect()
    }

    #[test]
    fn weights_are_kept_to_the_request() {
        let mix = Mix::new(&requests(&[30, 10, 60]), 7);
        let mut counts = [0; 3];
        (0..10_000).for_each(|n| counts[mix.pick(0, n)] += 1);
        assert_eq!(counts, [3000, 1000, 6000]);
    }

    #[test]
    fn the_choice_does_not_depend_on_who_asks_or_in_what_order() {
        let requests = requests(&[3, 2, 5]);
        let forward = Mix::new(&requests, 42);
        let all: Vec<usize> = (0..200).map(|n| forward.pick(0, n)).collect();
        let backward = Mix::new(&requests, 42);
        for n in (0..200).rev() {
            assert_eq!(backward.pick(0, n), all[usize::try_from(n).unwrap()]);
        }
        let other = Mix::new(&requests, 43);
        assert_ne!((0..200).map(|n| other.pick(0, n)).collect::<Vec<_>>(), all, "the seed matters");
    }

    /// All 24 orders of four cards come, and as often: 1,000 times of 24,000, give or
    /// take five standard deviations of √(24,000 × 1/24 × 23/24).
    #[test]
    fn every_order_is_as_likely() {
        let mix = Mix::new(&requests(&[1, 1, 1, 1]), 1);
        let mut orders = std::collections::BTreeMap::<Vec<usize>, u32>::new();
        for block in 0..24_000 {
            let order = (block * 4..block * 4 + 4).map(|n| mix.pick(0, n)).collect();
            *orders.entry(order).or_default() += 1;
        }
        assert_eq!(orders.len(), 24);
        assert!(orders.values().all(|count| count.abs_diff(1000) <= 155), "{orders:?}");
    }

    /// The heaviest that may be asked for, a stream a second: no deck is made.
    #[test]
    fn a_large_deck_is_kept_to_the_request_too() {
        let mix = Mix::new(&requests(&[999_999, 1]), 3);
        let rare: Vec<u64> = (0..1_000_000).filter(|n| mix.pick(9, *n) == 1).collect();
        assert_eq!(rare.len(), 1);
        assert_eq!(mix.pick(9, rare[0]), 1);
        assert_ne!((0..1_000_000).find(|n| mix.pick(10, *n) == 1), Some(rare[0]), "the stream matters");
    }
}
