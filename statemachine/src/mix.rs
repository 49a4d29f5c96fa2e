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
    /// One entry a card: the request's index.
    deck: Vec<u32>,
    /// The block that `dealt` holds.
    block: Option<(u64, u64)>,
    dealt: Vec<u32>,
}

impl Mix {
    /// A mix over `requests` for one attack. Weights are divided by their
    /// greatest common divisor, so a block is as short as it can be.
    #[must_use]
    pub fn new(requests: &[Request], seed: u64) -> Self {
        let divisor = requests.iter().map(|request| request.weight.get()).fold(0, gcd).max(1);
        let mut deck = Vec::new();
        for (index, request) in (0..).zip(requests) {
            deck.extend(std::iter::repeat_n(index, (request.weight.get() / divisor) as usize));
        }
        Self { seed, dealt: deck.clone(), deck, block: None }
    }

    /// The index of the request that number `n` of `stream` makes. The open
    /// model has one stream, 0; in the closed model each user is one.
    pub fn pick(&mut self, stream: u64, n: u64) -> usize {
        let cards = self.deck.len() as u64;
        if cards == 1 {
            return 0;
        }
        let block = (stream, n / cards);
        if self.block != Some(block) {
            self.deal(block);
        }
        // The remainder is below the deck's length.
        self.dealt[usize::try_from(n % cards).unwrap_or(0)] as usize
    }

    /// Shuffles (Fisher–Yates) the deck for a block.
    fn deal(&mut self, block: (u64, u64)) {
        self.dealt.clone_from(&self.deck);
        let mut random =
            SplitMix64(self.seed ^ SplitMix64(block.0).next() ^ SplitMix64(block.1.rotate_left(32)).next());
        for last in (1..self.dealt.len()).rev() {
            let swap = usize::try_from(random.below(last as u64 + 1)).unwrap_or(0);
            self.dealt.swap(last, swap);
        }
        self.block = Some(block);
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
            carrier: crate::config::Carrier::Fast,
        };
        weights.iter().enumerate().map(request).collect()
    }

    #[test]
    fn weights_are_kept_to_the_request() {
        let mut mix = Mix::new(&requests(&[30, 10, 60]), 7);
        let mut counts = [0; 3];
        (0..10_000).for_each(|n| counts[mix.pick(0, n)] += 1);
        assert_eq!(counts, [3000, 1000, 6000]);
    }

    #[test]
    fn the_choice_does_not_depend_on_who_asks_or_in_what_order() {
        let requests = requests(&[3, 2, 5]);
        let mut forward = Mix::new(&requests, 42);
        let all: Vec<usize> = (0..200).map(|n| forward.pick(0, n)).collect();
        let mut backward = Mix::new(&requests, 42);
        for n in (0..200).rev() {
            assert_eq!(backward.pick(0, n), all[usize::try_from(n).unwrap()]);
        }
        let mut other = Mix::new(&requests, 43);
        assert_ne!((0..200).map(|n| other.pick(0, n)).collect::<Vec<_>>(), all, "the seed matters");
    }

    #[test]
    fn blocks_differ_in_order() {
        let mut mix = Mix::new(&requests(&[1, 1, 1, 1]), 1);
        let blocks: Vec<Vec<usize>> =
            (0..8).map(|b| (b * 4..b * 4 + 4).map(|n| mix.pick(0, n)).collect()).collect();
        assert!(blocks.iter().any(|block| *block != blocks[0]));
    }
}
