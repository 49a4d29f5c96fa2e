//! Whatever libFuzzer makes up, the framer keeps to its laws.
//!
//! The input is what a connection carries, and two bytes that no response needs say
//! how: [`CUT`] ends a piece, and [`STRETCH`] makes long what would take libFuzzer
//! long to make. So any response is an input, and one of `worker/corpus/` a seed.

#![no_main]

#[path = "../../tests/conformance/laws.rs"]
mod laws;

use libfuzzer_sys::fuzz_target;

/// What was read so far is one piece.
const CUT: u8 = 0xff;

/// The byte that follows comes [`STRETCHED`] times.
const STRETCH: u8 = 0xfe;

/// A little less than 4 KiB: a few stretches come close to a limit of the framer, and
/// single bytes reach it.
const STRETCHED: usize = 4090;

fuzz_target!(|input: &[u8]| {
    let (bytes, cuts) = carried(input);
    laws::hold(&bytes, false, &cuts);
    laws::hold(&bytes, true, &cuts);
});

/// What an input says: the bytes, and where the pieces end.
fn carried(input: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut cuts) = (Vec::new(), Vec::new());
    let mut input = input.iter().copied();
    while let Some(byte) = input.next() {
        match byte {
            CUT => cuts.push(bytes.len()),
            STRETCH => bytes.extend(input.next().into_iter().cycle().take(STRETCHED)),
            _ => bytes.push(byte),
        }
    }
    (bytes, cuts)
}
