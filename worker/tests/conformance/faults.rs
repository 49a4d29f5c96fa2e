//! What a target, or the way to it, can do wrong at each stage.

use std::time::Duration;

use deathstar_statemachine::window::ErrorClass;
use deathstar_worker::transport::Reply;

use crate::server::{Do, Full, Server};
use crate::{
    Both, LONG, Seen, exchange, failed, get, ok, on_a_paused_clock, on_one_thread, request, run, write,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const SIZED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n";
const TO_END: &str = "HTTP/1.1 200 OK\r\n\r\nhel";

#[test]
fn an_end_is_told_apart_by_its_stage() {
    let reset = |status| failed(ErrorClass::Reset, status);
    let body = failed(ErrorClass::Body, Some(200));
    on_one_thread(async {
        let both = Both::new();
        for (what, steps, reply, received) in [
            ("reset at once", vec![Do::Reset], reset(None), 0),
            ("reset within the request", vec![Do::ReadBytes(10), Do::Reset], reset(None), 0),
            ("reset before the response", vec![Do::Read, Do::Reset], reset(None), 0),
            ("closed at once", vec![Do::Close], reset(None), 0),
            ("closed within the request", vec![Do::ReadBytes(10), Do::Close], reset(None), 0),
            ("closed before the response", vec![Do::Read, Do::Close], reset(None), 0),
            (
                "reset in the head",
                vec![Do::Read, write("HTTP/1.1 20"), Do::Settle, Do::Reset],
                reset(None),
                0,
            ),
            ("reset in a body", vec![Do::Read, write(SIZED), Do::Settle, Do::Reset], reset(Some(200)), 3),
            ("reset in chunks", vec![Do::Read, write(CHUNKED), Do::Settle, Do::Reset], reset(Some(200)), 3),
            ("reset for an end", vec![Do::Read, write(TO_END), Do::Settle, Do::Reset], reset(Some(200)), 3),
            ("closed in a body", vec![Do::Read, write(SIZED), Do::Settle, Do::Close], body, 3),
            ("closed in chunks", vec![Do::Read, write(CHUNKED), Do::Settle, Do::Close], body, 3),
            ("closed for an end", vec![Do::Read, write(TO_END), Do::Settle, Do::Close], ok(200), 3),
        ] {
            let ran = both.agree(vec![steps], 1, LONG, what).await;
            assert_eq!((ran.seen[0].reply, ran.seen[0].received), (reply, received), "{what}");
            assert_eq!(ran.accepted, 1, "{what}: nothing is sent twice");
        }
    });
}

#[test]
fn what_was_written_on_a_kept_connection_is_never_sent_again() {
    on_one_thread(async {
        let both = Both::new();
        for end in [Do::Close, Do::Reset] {
            let first = vec![Do::Read, write(OK), Do::Read, end];
            let then = vec![Do::Read, write(OK), Do::Hold];
            let ran = both.agree(vec![first, then], 3, LONG, "a kept connection that ends").await;
            let replies: Vec<Reply> = ran.seen.iter().map(|seen| seen.reply).collect();
            assert_eq!(replies, [ok(200), failed(ErrorClass::Reset, None), ok(200)]);
            assert_eq!((ran.accepted, ran.read), (2, 3));
        }
    });
}

#[test]
fn a_timeout_counts_from_when_the_request_was_sent() {
    const TIMEOUT: Duration = Duration::from_millis(200);
    const PAUSE: Duration = Duration::from_millis(10);
    on_a_paused_clock(async {
        let both = Both::new();
        let long = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
        let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffff\r\n";
        for (what, steps, received) in [
            ("no answer", vec![Do::Read, Do::Hold], 0..1),
            ("nothing but a head", vec![Do::Read, write(long), Do::Hold], 0..1),
            (
                "a head that drips",
                vec![Do::Read, write("HTTP/1.1 200 OK\r\nx-a: "), Do::Drip(b'x', PAUSE)],
                0..1,
            ),
            ("a body that drips", vec![Do::Read, write(long), Do::Drip(b'x', PAUSE)], 15..25),
            ("a chunk that drips", vec![Do::Read, write(chunks), Do::Drip(b'x', PAUSE)], 15..25),
            ("a body to the end that drips", vec![Do::Read, write(TO_END), Do::Drip(b'x', PAUSE)], 18..28),
        ] {
            let began = deathstar_worker::clock::monotonic();
            let fast = run(&both.fast, vec![steps.clone()], 1, TIMEOUT, get).await;
            let took = deathstar_worker::clock::monotonic() - began;
            assert!((TIMEOUT..TIMEOUT + PAUSE).contains(&took), "{what}: {took:?}");
            let rich = run(&both.rich, vec![steps], 1, TIMEOUT, get).await;
            for seen in [fast.seen[0], rich.seen[0]] {
                assert_eq!(seen.reply, Reply::TimedOut, "{what}");
                assert!(received.contains(&seen.received), "{what}: {seen:?}");
            }
        }
    });
}

/// A target may answer before it has read the request, and read no more of it.
#[test]
fn an_answer_in_the_middle_of_a_request_is_taken() {
    let answer = "HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
    let body = "x".repeat(8_000_000);
    let big = move |server: &Server| {
        request(&format!("    url: http://{}/\n    method: POST\n    body: {body}\n", server.address))
    };
    on_one_thread(async {
        let both = Both::new();
        let steps = vec![Do::ReadBytes(100), write(answer), Do::Settle, Do::Hold];
        let fast = run(&both.fast, vec![steps.clone()], 1, LONG, &big).await;
        let rich = run(&both.rich, vec![steps], 1, LONG, &big).await;
        assert_eq!(fast, rich);
        assert_eq!((fast.seen[0].reply, fast.seen[0].received), (ok(413), 2));
    });
}

#[test]
fn a_large_body_arrives_whole() {
    let body = "y".repeat(3_000_000);
    let big = move |server: &Server| {
        request(&format!("    url: http://{}/\n    method: PUT\n    body: {body}\n", server.address))
    };
    on_one_thread(async {
        let both = Both::new();
        let steps = vec![Do::Read, write(OK), Do::Read, write(OK), Do::Hold];
        let fast = run(&both.fast, vec![steps.clone()], 2, LONG, &big).await;
        let rich = run(&both.rich, vec![steps], 2, LONG, &big).await;
        assert_eq!(fast, rich);
        assert_eq!((fast.seen[1].reply, fast.accepted, fast.read), (ok(200), 1, 2));
        assert!(fast.seen[0].sent > 3_000_000);
    });
}

/// Nothing of a request left that has no connection, so no bytes are counted.
#[test]
fn without_a_connection_nothing_was_sent() {
    on_one_thread(async {
        let both = Both::new();
        let server = Server::start(vec![vec![Do::Hold]]).await;
        let address = server.address;
        drop(server);
        tokio::task::yield_now().await;
        let refused = Seen { reply: failed(ErrorClass::Refused, None), sent: 0, received: 0 };
        let unknown = Seen { reply: failed(ErrorClass::Dns, None), sent: 0, received: 0 };
        for (url, expected) in [
            (format!("http://{address}/"), refused),
            (format!("https://{address}/"), refused),
            ("http://no-such-host.invalid/".to_owned(), unknown),
        ] {
            let request = request(&format!("    url: {url}\n"));
            assert_eq!(exchange(&both.fast, &request, LONG).await, expected, "fast: {url}");
            assert_eq!(exchange(&both.rich, &request, LONG).await, expected, "rich: {url}");
        }
    });
}

/// A target that drops who wants to connect is slow, not absent: what waited for it
/// belongs among the response times.
#[test]
fn a_connection_that_never_opens_is_a_timeout() {
    const TIMEOUT: Duration = Duration::from_millis(100);
    on_one_thread(async {
        let both = Both::new();
        let full = Full::start().await;
        for scheme in ["http", "https"] {
            let request = request(&format!("    url: {scheme}://{}/\n", full.address));
            let fast = exchange(&both.fast, &request, TIMEOUT).await;
            assert_eq!(fast, Seen { reply: Reply::TimedOut, sent: 0, received: 0 }, "fast: {scheme}");
            // What reqwest had sent when it is given up it does not say, so all is counted.
            let rich = exchange(&both.rich, &request, TIMEOUT).await;
            assert_eq!((rich.reply, rich.received), (Reply::TimedOut, 0), "rich: {scheme}");
        }
    });
}
