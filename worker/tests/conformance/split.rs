//! Whatever the bytes, and however they are split, the framer says the same, never
//! panics, and takes nothing beyond the response.
//!
//! proptest makes bytes up; the corpus in `worker/corpus/` is real responses, which
//! are changed at random, for as long as `DEATHSTAR_FUZZ_SECONDS` says (`cargo dev
//! fuzz` without libFuzzer), or a few thousand times. [`laws`] has what must hold.

use std::path::Path;
use std::time::Duration;

use deathstar_statemachine::mix::SplitMix64;
use deathstar_worker::clock;
use deathstar_worker::transport::fast::framer::{Fault, Framer};
use proptest::collection::vec;
use proptest::prelude::*;

use super::laws;

/// Pieces of responses, right and wrong.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let texts = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 404 Not Found\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 204 \r\n",
        "HTTP/1.1 101 Up\r\n",
        "content-length: 3\r\n",
        "Content-Length:0\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: gzip\r\n",
        "connection: close\r\n",
        "connection: keep-alive\r\n",
        "x-a: b\r\n",
        "\r\n",
        "\n",
        "\r",
        "3\r\nabc\r\n",
        "0\r\n",
        "a;x=y\r\n0123456789\r\n",
        "ffffffffffffffff\r\n",
        "x: y\r\n\r\n",
        "abc",
    ];
    prop_oneof![
        8 => prop::sample::select(texts.map(|text| text.as_bytes().to_vec()).to_vec()),
        1 => vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn made_up_bytes_read_the_same_however_they_are_split(
        pieces in vec(piece(), 0..12),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
        bodiless in any::<bool>(),
    ) {
        let bytes = pieces.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        laws::hold(&bytes, bodiless, &cuts);
    }
}

/// Changes a response a few times: a bit, a byte, a piece taken out, doubled or
/// swapped for a piece of another.
fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut SplitMix64) {
    let below = |random: &mut SplitMix64, limit: usize| {
        usize::try_from(random.below(limit.max(1) as u64)).unwrap_or(0)
    };
    for _ in 0..=below(random, 2) {
        // Mostly behind the status line: where that is broken, nothing else is read.
        let spared = if below(random, 4) == 0 { 0 } else { 15 };
        let at = below(random, bytes.len() + 1).max(spared).min(bytes.len());
        let end = (at + below(random, 12)).min(bytes.len());
        match below(random, 6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << below(random, 8),
            1 if at < bytes.len() => bytes[at] = b"\r\n\t ,:;0f\0\xff"[below(random, 11)],
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let other = &others[below(random, others.len())];
                let from = below(random, other.len());
                let to = (from + below(random, 40)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

#[test]
fn responses_of_the_corpus_read_the_same_however_they_are_changed_and_split() {
    let seconds = std::env::var("DEATHSTAR_FUZZ_SECONDS").ok().map(|text| text.parse().unwrap());
    let corpus = corpus();
    assert!(corpus.len() >= 20, "{} responses", corpus.len());
    for response in &corpus {
        laws::hold(response, false, &[]);
        laws::hold(response, true, &[]);
    }
    let began = clock::monotonic();
    let seed = seconds.map_or(1, |_| u64::from(std::process::id()));
    let mut random = SplitMix64(seed);
    let mut tried: u64 = 0;
    let goes_on = |tried: u64| match seconds {
        Some(seconds) => clock::monotonic() - began < Duration::from_secs(seconds),
        None => tried < 5000,
    };
    while goes_on(tried) {
        let pick = usize::try_from(random.below(corpus.len() as u64)).unwrap();
        let mut bytes = corpus[pick].clone();
        mutate(&mut bytes, &corpus, &mut random);
        let mut cuts: Vec<usize> = (0..random.below(5))
            .map(|_| usize::try_from(random.below(bytes.len() as u64 + 1)).unwrap())
            .collect();
        cuts.sort_unstable();
        laws::hold(&bytes, random.below(8) == 0, &cuts);
        tried += 1;
    }
    println!("{tried} changed responses, from seed {seed}");
}

#[test]
fn limits_hold_to_the_byte_however_a_response_is_split() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let headers = |count: usize| "a: b\r\n".repeat(count);
    let long = |count: usize| "a".repeat(count);
    let interim = |count: usize| format!("HTTP/1.1 103 \r\na: {}\r\n\r\n", long(count));
    let head = |count: usize| format!("HTTP/1.1 204 \r\na: {}\r\n\r\n", long(count));
    let extension = |count: usize| format!("{CHUNKED}1;{}\r\nx\r\n0\r\n\r\n", long(count));
    let trailer = |count: usize| format!("{CHUNKED}0\r\na:{}\r\n\r\n", long(count));
    for (what, fits, too_long, fault) in [
        // 15 bytes of a status line, 3 before the value and 4 behind it.
        ("64 KiB of a head", head(65_514), head(65_515), Fault::Head),
        (
            "64 KiB of each head",
            interim(65_514) + &head(65_514),
            interim(65_514) + &head(65_515),
            Fault::Head,
        ),
        (
            "100 headers",
            format!("HTTP/1.1 204 \r\n{}\r\n", headers(100)),
            format!("HTTP/1.1 204 \r\n{}\r\n", headers(101)),
            Fault::Head,
        ),
        // With the semicolon.
        ("16 KiB of extensions", extension(16_383), extension(16_384), Fault::Body),
        // 2 bytes before the value and 4 behind it.
        ("16 KiB of trailers", trailer(16_378), trailer(16_379), Fault::Body),
        (
            "100 trailers",
            format!("{CHUNKED}0\r\n{}\r\n", headers(100)),
            format!("{CHUNKED}0\r\n{}\r\n", headers(101)),
            Fault::Body,
        ),
    ] {
        assert_eq!(Framer::new().feed(fits.as_bytes()), Ok(fits.len()), "{what}");
        assert_eq!(Framer::new().feed(too_long.as_bytes()), Err(fault), "more than {what}");
        for response in [fits, too_long] {
            let len = response.len();
            for cuts in [[20, 40], [len / 2, len / 2], [len - 5, len - 4], [len - 3, len - 2], [1, len - 1]] {
                laws::hold(response.as_bytes(), false, &cuts);
            }
        }
    }
}
