//! Where a response ends: every way to say it, split at every byte.

use deathstar_statemachine::window::ErrorClass;
use deathstar_worker::transport::Reply;

use crate::server::{Do, Server};
use crate::{Both, LONG, failed, get, ok, on_one_thread, request, run};

/// How the server ends a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It goes on with the next request.
    Keep,
    /// It closes the connection: the response may end with it.
    Close,
}

/// A response, and what must come of it.
struct Case {
    name: &'static str,
    response: &'static str,
    then: Then,
    reply: Reply,
    body: u64,
    /// Whether the connection may carry the next request.
    kept: bool,
}

const fn whole(name: &'static str, response: &'static str, status: u16, body: u64, kept: bool) -> Case {
    Case { name, response, then: Then::Keep, reply: Reply::Response { status }, body, kept }
}

const fn to_end(name: &'static str, response: &'static str, status: u16, body: u64) -> Case {
    Case { name, response, then: Then::Close, reply: Reply::Response { status }, body, kept: false }
}

const fn broken(
    name: &'static str,
    response: &'static str,
    class: ErrorClass,
    status: u16,
    body: u64,
) -> Case {
    let status = if status == 0 { None } else { Some(status) };
    Case { name, response, then: Then::Close, reply: Reply::Failed { class, status }, body, kept: false }
}

const CASES: &[Case] = &[
    whole("a length", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 200, 5, true),
    whole("no body", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, 0, true),
    whole("no reason", "HTTP/1.1 200\r\ncontent-length: 2\r\nx-empty:\r\n\r\nok", 200, 2, true),
    whole("bare line feeds", "HTTP/1.1 200 OK\ncontent-length: 2\n\nok", 200, 2, true),
    whole(
        "chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00A \t;x=\"y\";z\r\n0123456789\r\n0\r\n\r\n",
        200,
        15,
        true,
    ),
    whole("no chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 200, 0, true),
    whole(
        "trailers",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-a\r\n\r\n1\r\nh\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n",
        200,
        1,
        true,
    ),
    whole(
        "chunks of a coding",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        200,
        2,
        true,
    ),
    to_end("a coding without chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhello", 200, 5),
    to_end(
        "chunks that are not last",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\nhi",
        200,
        2,
    ),
    whole(
        "interim heads",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
         HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok",
        201,
        2,
        true,
    ),
    whole("another protocol", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", 101, 0, false),
    whole("204", "HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n", 204, 0, true),
    whole("304 with a length", "HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n", 304, 0, true),
    to_end("until the end", "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nhello", 200, 5),
    to_end("nothing until the end", "HTTP/1.1 200 OK\r\n\r\n", 200, 0),
    whole("close", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", 200, 2, false),
    whole(
        "close among others",
        "HTTP/1.1 200 OK\r\nConnection: x-a, CLOSE\r\ncontent-length: 2\r\n\r\nok",
        200,
        2,
        false,
    ),
    whole("HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, 2, false),
    to_end("HTTP/1.0 until the end", "HTTP/1.0 200 OK\r\n\r\nok", 200, 2),
    whole(
        "HTTP/1.0 that keeps",
        "HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 2\r\n\r\nok",
        200,
        2,
        true,
    ),
    whole(
        "garbage behind a response",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
        200,
        2,
        false,
    ),
    broken("garbage", "SSH-2.0-OpenSSH_9.2\r\n\r\n", ErrorClass::Protocol, 0, 0),
    broken("another version", "HTTP/2.0 200 OK\r\n\r\n", ErrorClass::Protocol, 0, 0),
    broken("no status", "HTTP/1.1 OK\r\n\r\n", ErrorClass::Protocol, 0, 0),
    broken("a status that is none", "HTTP/1.1 099 Hm\r\n\r\n", ErrorClass::Protocol, 0, 0),
    broken("a header without a name", "HTTP/1.1 200 OK\r\n: a\r\n\r\n", ErrorClass::Protocol, 0, 0),
    broken("a blank in a name", "HTTP/1.1 200 OK\r\nx a: b\r\n\r\n", ErrorClass::Protocol, 0, 0),
    broken(
        "two lengths",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        ErrorClass::Protocol,
        0,
        0,
    ),
    broken("no number", "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", ErrorClass::Protocol, 0, 0),
    broken(
        "a length beyond counting",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nok",
        ErrorClass::Protocol,
        0,
        0,
    ),
    broken(
        "chunks in HTTP/1.0",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ErrorClass::Protocol,
        0,
        0,
    ),
    broken("an early end in the head", "HTTP/1.1 200 OK\r\ncontent-le", ErrorClass::Reset, 0, 0),
    broken("an end after an interim head", "HTTP/1.1 100 Continue\r\n\r\n", ErrorClass::Reset, 0, 0),
    broken("a short body", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", ErrorClass::Body, 200, 3),
    broken(
        "an end within a chunk",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
        ErrorClass::Body,
        200,
        3,
    ),
    broken(
        "an end between chunks",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
        ErrorClass::Body,
        200,
        2,
    ),
    broken(
        "no last line",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
        ErrorClass::Body,
        200,
        2,
    ),
    broken(
        "a size that is none",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\nx\r\n",
        ErrorClass::Body,
        200,
        2,
    ),
    broken(
        "a size beyond counting",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        ErrorClass::Body,
        200,
        0,
    ),
    broken(
        "a chunk that is too long",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhiX\r\n0\r\n\r\n",
        ErrorClass::Body,
        200,
        2,
    ),
    broken(
        "a trailer that is none",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n",
        ErrorClass::Body,
        200,
        0,
    ),
];

/// On each connection, answers two requests with the response, cut where `cut`
/// says.
fn scripts(response: &str, cut: usize, then: Then) -> Vec<Vec<Do>> {
    let (first, second) = response.as_bytes().split_at(cut);
    let mut once = vec![Do::Read, Do::Write(first.to_vec())];
    if !second.is_empty() {
        once.extend([Do::Settle, Do::Write(second.to_vec())]);
    }
    if then == Then::Close {
        once.push(Do::Close);
        return vec![once];
    }
    vec![once.iter().cloned().chain(once.clone()).chain([Do::Hold]).collect()]
}

#[test]
fn every_framing_is_the_same_however_it_is_split() {
    on_one_thread(async {
        let both = Both::new();
        for case in CASES {
            for cut in 1..=case.response.len() {
                let what = format!("{} split at {cut}", case.name);
                let ran = both.agree(scripts(case.response, cut, case.then), 2, LONG, &what).await;
                assert_eq!(ran.accepted, if case.kept { 1 } else { 2 }, "{what}: {ran:?}");
                for seen in &ran.seen {
                    assert_eq!((seen.reply, seen.received), (case.reply, case.body), "{what}");
                }
            }
        }
    });
}

#[test]
fn a_head_has_no_body() {
    let head = |server: &Server| request(&format!("    url: http://{}/\n    method: HEAD\n", server.address));
    on_one_thread(async {
        let both = Both::new();
        for response in [
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            for cut in 1..=response.len() {
                let scripts = scripts(response, cut, Then::Keep);
                let fast = run(&both.fast, scripts.clone(), 2, LONG, head).await;
                let rich = run(&both.rich, scripts, 2, LONG, head).await;
                assert_eq!(fast, rich, "{response:?} split at {cut}");
                assert_eq!((fast.seen[0].reply, fast.accepted), (ok(200), 1), "{response:?} split at {cut}");
            }
        }
    });
}

/// The head's limit is ours; reqwest's is a few times as large, and cannot be set.
#[test]
fn a_head_has_a_limit() {
    let with_header = |len: usize| {
        let filler = "x".repeat(len);
        format!("HTTP/1.1 200 OK\r\nx-filler: {filler}\r\ncontent-length: 0\r\n\r\n")
    };
    let many_headers = |count: usize| {
        let headers: String = (0..count).map(|n| format!("x-{n}: y\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n")
    };
    on_one_thread(async {
        let both = Both::new();
        let too_long = failed(ErrorClass::Protocol, None);
        for (response, reply) in [
            (with_header(60_000), ok(200)),
            (with_header(3_000_000), too_long),
            (many_headers(99), ok(200)),
            (many_headers(100), too_long),
        ] {
            for cut in [1, response.len() / 2, response.len() - 1, response.len()] {
                let ran = both.agree(scripts(&response, cut, Then::Close), 1, LONG, "a long head").await;
                assert_eq!(ran.seen[0].reply, reply, "{} bytes split at {cut}", response.len());
            }
        }
        let between = with_header(100_000);
        let fast = run(&both.fast, scripts(&between, 1, Then::Close), 1, LONG, get).await;
        let rich = run(&both.rich, scripts(&between, 1, Then::Close), 1, LONG, get).await;
        assert_eq!((fast.seen[0].reply, rich.seen[0].reply), (too_long, ok(200)));
    });
}

/// Two ways to say the length, or one that is said twice, are two ways to read where the
/// next response begins. RFC 9112 §6.3 lets a client believe one of them, as reqwest
/// does, and calls it an error; so do we.
#[test]
fn a_length_said_twice_is_refused_by_the_fast_one_alone() {
    on_one_thread(async {
        let both = Both::new();
        for response in [
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ] {
            let fast = run(&both.fast, scripts(response, 1, Then::Close), 1, LONG, get).await;
            let rich = run(&both.rich, scripts(response, 1, Then::Close), 1, LONG, get).await;
            assert_eq!(fast.seen[0].reply, failed(ErrorClass::Protocol, None), "{response:?}");
            assert_eq!((rich.seen[0].reply, rich.seen[0].received), (ok(200), 2), "{response:?}");
        }
    });
}
