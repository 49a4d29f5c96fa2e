//! Compressed bodies, which the rich transport alone looks into.

use deathstar_statemachine::window::ErrorClass;
use deathstar_worker::transport::rich::Rich;
use deathstar_worker::transport::{Call, Reply, Transport};

use crate::server::{Do, Server};
use crate::{LONG, failed, ok, on_one_thread, request};

/// `"DeathStar asks how much a service takes. " * 8`, by others: gzip and zlib of Python
/// 3.12, brotli 1.2 of Google, zstd 1.5.4.
const GZIP: &str = "1f8b080000000000020373494d2cc9082e492c52482cce2e56c8c82f57c82d4dce504854284e2d2acb4c4e552849cc4e2dd653701955884f2100883f0f9848010000";
const TWO_MEMBERS: &str = "1f8b080000000000020373494d2cc9082e492c52482cce2e56c8c82f57c82d4dce504854284e2d2acb4c4e552849cc4e2dd65370215f2100c0405a82640000001f8b080000000000020353c82d4dce504854284e2d2acb4c4e552849cc4e2dd65370494d2cc9082e492c52482cce2e56c8c82f5718ba0a015cb9183be4000000";
const ZLIB: &str = "78da73494d2cc9082e492c52482cce2e56c8c82f57c82d4dce504854284e2d2acb4c4e552849cc4e2dd653701955884f210082717529";
const BROTLI: &str =
    "1b4701f88d94abed684104e5b6542ff685f48cc18388e026e6201d0d962be07053288d637451afc6e7b35f1ac10f3a1b";
const ZSTD: &str = "28b52ffd04687501009202090fd0e784c8dc2d7398242e5811224e0b05f873f6359039d6b53aa4a958f1d0354e61e9870100e160aa2a034e02c695";
/// The text once, by `brotli --large_window=25`, which is no brotli of the RFC.
const LARGE_BROTLI: &str =
    "11195000024465617468537461722061736b7320686f77206d756368206120736572766963652074616b65732e2003";
/// The text once, by `zstd --ultra -22 --long=24` and `--long=23`: to undo them takes 16
/// and 8 MiB.
const LARGE_ZSTD: &str = "28b52ffd04704901004465617468537461722061736b7320686f77206d756368206120736572766963652074616b65732e20a4d1e9e1";
const SMALLER_ZSTD: &str = "28b52ffd04684901004465617468537461722061736b7320686f77206d756368206120736572766963652074616b65732e20a4d1e9e1";

const EACH: [(&str, &str); 6] = [
    ("gzip", GZIP),
    ("X-GZip", TWO_MEMBERS),
    ("deflate", ZLIB),
    ("br", BROTLI),
    ("zstd", ZSTD),
    ("zstd", SMALLER_ZSTD),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What comes of a body in a coding, in two pieces parted at `split`, and how many bytes
/// of it were counted.
async fn read(rich: &Rich, coding: &str, body: &[u8], split: usize, fields: &str) -> (Reply, u64) {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n", body.len());
    let (first, second) = body.split_at(split);
    let script = vec![
        Do::Read,
        Do::Write([head.as_bytes(), first].concat()),
        Do::Settle,
        Do::Write(second.to_vec()),
        Do::Hold,
    ];
    answer(rich, script, fields).await
}

async fn answer(rich: &Rich, script: Vec<Do>, fields: &str) -> (Reply, u64) {
    let server = Server::start(vec![script]).await;
    let request = request(&format!("    url: http://{}/\n{fields}", server.address));
    let call = Call::new(LONG);
    let reply = rich.exchange(&rich.prepare(&request).unwrap(), &call).await;
    let read: usize = server.requests().iter().map(Vec::len).sum();
    assert_eq!(call.bytes_sent(), read as u64, "as many bytes as the server read");
    (reply, call.bytes_received())
}

const DECOMPRESS: &str = "    decompress: true\n";

#[test]
fn every_coding_is_undone_wherever_it_is_parted() {
    on_one_thread(async {
        let rich = Rich::new();
        for (coding, hex) in EACH {
            let body = bytes(hex);
            for split in 0..body.len() {
                let seen = read(&rich, coding, &body, split, DECOMPRESS).await;
                assert_eq!(seen, (ok(200), body.len() as u64), "{coding} at {split}: bytes on the wire");
            }
        }
    });
}

#[test]
fn a_body_that_ends_early_fails() {
    on_one_thread(async {
        let rich = Rich::new();
        for (coding, hex) in EACH {
            let body = bytes(hex);
            for len in 1..body.len() {
                // Where the first of two members ends, all is well.
                if coding == "X-GZip" && body[len..].starts_with(&[0x1f, 0x8b, 8]) {
                    continue;
                }
                let (reply, received) = read(&rich, coding, &body[..len], 0, DECOMPRESS).await;
                assert_eq!(reply, failed(ErrorClass::Body, Some(200)), "{coding}: {len} bytes");
                assert_eq!(received, len as u64);
            }
        }
    });
}

#[test]
fn a_body_of_something_else_fails() {
    on_one_thread(async {
        let rich = Rich::new();
        for (coding, body) in [
            ("gzip", b"a plain text".to_vec()),
            ("deflate", b"a plain text".to_vec()),
            ("zstd", b"a plain text".to_vec()),
            ("br", bytes(GZIP)),
            ("gzip", bytes(ZSTD)),
            ("compress", bytes(GZIP)),
            ("gzip", [bytes(GZIP), b"and more".to_vec()].concat()),
            ("gzip, gzip", bytes(GZIP)),
            // A target does not decide how much memory we need.
            ("br", bytes(LARGE_BROTLI)),
            ("zstd", bytes(LARGE_ZSTD)),
        ] {
            let seen = read(&rich, coding, &body, 3, DECOMPRESS).await;
            let whole = (failed(ErrorClass::Body, Some(200)), body.len() as u64);
            assert_eq!(seen, whole, "{coding}: all of it came");
        }
        // A checksum that does not fit.
        let mut body = bytes(GZIP);
        let crc = body.len() - 8;
        body[crc] ^= 1;
        assert_eq!(read(&rich, "gzip", &body, 3, DECOMPRESS).await.0, failed(ErrorClass::Body, Some(200)));
    });
}

/// Wherever it is parted, and however much it is.
#[test]
fn what_follows_the_end_of_a_coding_is_no_part_of_it() {
    on_one_thread(async {
        let rich = Rich::new();
        for (coding, hex) in [("deflate", ZLIB), ("br", BROTLI)] {
            for more in [1, 100_000] {
                let body = [bytes(hex), vec![0; more]].concat();
                for split in [0, hex.len() / 2 - 1, hex.len() / 2, hex.len() / 2 + 1] {
                    let seen = read(&rich, coding, &body, split, DECOMPRESS).await;
                    assert_eq!(seen, (ok(200), body.len() as u64), "{coding} {more} {split}");
                }
            }
        }
    });
}

#[test]
fn nobody_looks_into_what_nobody_asked_for() {
    on_one_thread(async {
        let rich = Rich::new();
        for coding in ["gzip", "compress"] {
            assert_eq!(read(&rich, coding, b"a plain text", 3, "    engine: rich\n").await, (ok(200), 12));
        }
    });
}

#[test]
fn a_body_of_nothing_is_whole() {
    on_one_thread(async {
        let rich = Rich::new();
        for coding in ["gzip", "br", "zstd", "deflate", "compress"] {
            assert_eq!(read(&rich, coding, b"", 0, DECOMPRESS).await, (ok(200), 0), "{coding}");
        }
        for (answered, fields, status) in [
            ("HTTP/1.1 304 Same\r\ncontent-encoding: compress\r\n\r\n", DECOMPRESS, 304),
            ("HTTP/1.1 204 None\r\ncontent-encoding: gzip\r\n\r\n", DECOMPRESS, 204),
            (
                "HTTP/1.1 200 OK\r\ncontent-encoding: compress\r\ncontent-length: 9\r\n\r\n",
                "    decompress: true\n    method: HEAD\n",
                200,
            ),
        ] {
            let script = vec![Do::Read, Do::Write(answered.as_bytes().to_vec()), Do::Hold];
            assert_eq!(answer(&rich, script, fields).await, (ok(status), 0), "{answered}");
        }
    });
}

#[test]
fn what_is_asked_for_is_what_can_be_undone() {
    on_one_thread(async {
        for (fields, said) in [
            (DECOMPRESS, Some("accept-encoding: gzip, br, zstd")),
            ("    decompress: true\n    headers: { Accept-Encoding: br }\n", Some("accept-encoding: br")),
            ("    engine: rich\n", None),
        ] {
            let ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            let server = Server::start(vec![vec![Do::Read, crate::write(ok), Do::Hold]]).await;
            let request = request(&format!("    url: http://{}/\n{fields}", server.address));
            let rich = Rich::new();
            rich.exchange(&rich.prepare(&request).unwrap(), &Call::new(LONG)).await;
            let seen = String::from_utf8(server.requests()[0].clone()).unwrap();
            let found = seen.lines().find(|line| line.starts_with("accept-encoding"));
            assert_eq!(found, said, "{seen}");
        }
    });
}
