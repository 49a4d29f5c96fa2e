//! What a framer promises, whatever the bytes: `split` tries it on bytes of its own
//! making, and the fuzz target in `worker/fuzz/`, which has this file too, on
//! libFuzzer's.

use deathstar_worker::transport::fast::framer::{Fault, Framer};

/// So many bytes are also fed one by one. A head is read anew with every piece, so
/// that more would take long.
const ONE_BY_ONE: usize = 256;

/// All that a framer says of one response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    /// How many bytes it took, or what was wrong.
    taken: Result<usize, Fault>,
    status: Option<u16>,
    body: u64,
    keeps: bool,
}

/// The laws: one piece, byte by byte, and pieces that end where `cuts` say read the
/// same, what follows a response changes nothing, and neither does what the framer
/// has read before.
pub(crate) fn hold(bytes: &[u8], bodiless: bool, cuts: &[usize]) {
    let mut framer = Framer::new();
    let whole = read(&mut framer, bytes, bodiless, &[]);
    let split = read(&mut framer, bytes, bodiless, cuts);
    assert_eq!(split, whole, "split at {cuts:?}: {}", bytes.escape_ascii());
    let every: Vec<usize> = (1..bytes.len().min(ONE_BY_ONE)).collect();
    let split = read(&mut framer, bytes, bodiless, &every);
    assert_eq!(split, whole, "byte by byte: {}", bytes.escape_ascii());
    if let Ok(taken) = whole.taken {
        let alone = read(&mut framer, &bytes[..taken], bodiless, &[]);
        assert_eq!(alone, whole, "without what follows: {}", bytes.escape_ascii());
    }
}

/// Feeds `bytes` in pieces that end where `cuts` say, and then the end.
fn read(framer: &mut Framer, bytes: &[u8], bodiless: bool, cuts: &[usize]) -> Said {
    framer.expect(bodiless);
    assert_eq!(said(framer, Ok(0)), Said { taken: Ok(0), status: None, body: 0, keeps: false });
    let mut taken = 0;
    let mut fault = None;
    let mut from = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        let piece = &bytes[from..cut];
        from = cut;
        match framer.feed(piece) {
            Ok(len) => {
                assert!(len <= piece.len(), "no more than there is");
                assert!(len == piece.len() || framer.is_done(), "all of it, unless the response has ended");
                taken += len;
                assert!(framer.body() <= taken as u64, "no more body than bytes");
            }
            Err(what) => fault = Some(what),
        }
        if framer.is_done() || fault.is_some() {
            break;
        }
    }
    if fault.is_none() && !framer.is_done() {
        fault = framer.end().err();
        assert!(fault.is_some() || !framer.keeps_connection(), "a connection that has ended is not kept");
    }
    let said = said(framer, fault.map_or(Ok(taken), Err));
    makes_sense(said, bodiless);
    if fault.is_none() {
        stays_done(framer, said);
    }
    said
}

fn said(framer: &Framer, taken: Result<usize, Fault>) -> Said {
    Said { taken, status: framer.status(), body: framer.body(), keeps: framer.keeps_connection() }
}

/// A status is there once the head is, it is not an interim one, and where it rules
/// a body out there is none.
fn makes_sense(said: Said, bodiless: bool) {
    let has_head = !matches!(said.taken, Err(Fault::Head | Fault::NoHead));
    assert_eq!(said.status.is_some(), has_head, "{said:?}");
    if let Some(status) = said.status {
        assert!(matches!(status, 101 | 200..=999), "{said:?}");
        if bodiless || matches!(status, 101 | 204 | 304) {
            assert!(said.taken.is_ok() && said.body == 0, "{said:?}");
        }
    }
}

/// Once a response has ended, nothing more of it comes, and it ends no second time.
fn stays_done(framer: &mut Framer, as_said: Said) {
    for more in ["", "x", "HTTP/1.1 500 No\r\n\r\n"] {
        assert!(framer.is_done());
        assert_eq!(framer.feed(more.as_bytes()), Ok(0));
        assert_eq!(framer.end(), Ok(()));
        assert_eq!(said(framer, as_said.taken), as_said);
    }
}
