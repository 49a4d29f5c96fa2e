//! Redirects, which the rich transport alone follows.

use std::time::Duration;

use deathstar_statemachine::window::ErrorClass;
use deathstar_worker::transport::rich::Rich;
use deathstar_worker::transport::{Call, Reply, Transport};

use crate::server::{Do, Server};
use crate::{LONG, failed, ok, on_a_paused_clock, on_one_thread, request, write};

/// What came of one request with these fields, and what the target saw.
struct Followed {
    reply: Reply,
    redirects: u32,
    sent: u64,
    received: u64,
    requests: Vec<String>,
}

/// Sends one request to a server that follows these scripts.
async fn follow(scripts: Vec<Vec<Do>>, fields: &str) -> Followed {
    let server = Server::start(scripts).await;
    let request = request(&format!("    url: http://{}/dir/a?b=c\n{fields}", server.address));
    let rich = Rich::new();
    let prepared = rich.prepare(&request).unwrap();
    let call = Call::new(LONG);
    let reply = rich.exchange(&prepared, &call).await;
    let requests: Vec<Vec<u8>> = server.requests();
    let sent = requests.iter().map(|request| request.len() as u64).sum::<u64>();
    assert_eq!(call.bytes_sent(), sent, "as many bytes as the server read");
    assert_eq!(call.redirects() as usize, requests.len() - 1, "as many as the server saw");
    Followed {
        reply,
        redirects: call.redirects(),
        sent,
        received: call.bytes_received(),
        requests: requests.iter().map(|request| String::from_utf8_lossy(request).into_owned()).collect(),
    }
}

fn to(status: u16, location: &str) -> Do {
    write(&format!("HTTP/1.1 {status} There\r\nlocation: {location}\r\ncontent-length: 4\r\n\r\ngone"))
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn a_redirect_is_a_request_more() {
    on_one_thread(async {
        let script = vec![vec![
            Do::Read,
            to(302, "../b?x=%20y#part"),
            Do::Read,
            to(301, "/c"),
            Do::Read,
            write(OK),
            Do::Hold,
        ]];
        let seen = follow(script, "    redirects: 2\n").await;
        assert_eq!((seen.reply, seen.redirects, seen.received), (ok(200), 2, 4 + 4 + 2));
        let first: Vec<&str> = seen.requests.iter().map(|request| request.lines().next().unwrap()).collect();
        assert_eq!(first, ["GET /dir/a?b=c HTTP/1.1", "GET /b?x=%20y HTTP/1.1", "GET /c HTTP/1.1"]);
        assert!(seen.requests.iter().all(|request| !request.contains("referer")), "nothing is added");
    });
}

/// Where a whole answer of a sign-in is the redirect, others may still be followed.
#[test]
fn a_redirect_that_is_expected_is_an_answer() {
    on_one_thread(async {
        for (expected, reply, redirects) in [(302, ok(302), 0), (200, ok(200), 1)] {
            let script = vec![vec![Do::Read, to(302, "/b"), Do::Read, write(OK), Do::Hold]];
            let fields = format!("    redirects: 1\n    expect: {{ status: {expected} }}\n");
            let seen = follow(script, &fields).await;
            assert_eq!((seen.reply, seen.redirects), (reply, redirects));
        }
    });
}

/// <https://docs.rs/http/latest/http/uri/struct.Uri.html>: 65,534 bytes.
#[test]
fn a_redirect_to_what_cannot_be_written_fails_and_is_not_sent() {
    on_one_thread(async {
        let long = format!("/{}", "a".repeat(70_000));
        let seen = follow(vec![vec![Do::Read, to(302, &long), Do::Hold]], "    redirects: 1\n").await;
        assert_eq!((seen.reply, seen.redirects), (failed(ErrorClass::Redirect, None), 0));
    });
}

/// Each redirect takes the connection that the one before has left.
#[test]
fn redirects_take_no_more_connections_than_requests() {
    on_one_thread(async {
        let mut script = Vec::new();
        for _ in 0..20 {
            let head = "HTTP/1.1 302 There\r\nlocation: /b\r\ncontent-length: 6\r\n\r\n";
            script.extend([Do::Read, write(head), Do::Settle, write("abc"), Do::Settle, write("def")]);
        }
        script.extend([Do::Read, write(OK), Do::Hold]);
        let server = Server::start(vec![script]).await;
        let request = request(&format!("    url: http://{}/\n    redirects: 20\n", server.address));
        let rich = Rich::new();
        let call = Call::new(LONG);
        assert_eq!(rich.exchange(&rich.prepare(&request).unwrap(), &call).await, ok(200));
        crate::settle().await;
        assert_eq!((call.redirects(), server.accepted()), (20, 1));
    });
}

#[test]
fn without_redirects_one_is_an_answer() {
    on_one_thread(async {
        let seen = follow(vec![vec![Do::Read, to(302, "/b"), Do::Hold]], "    engine: rich\n").await;
        assert_eq!((seen.reply, seen.redirects), (ok(302), 0));
    });
}

#[test]
fn what_leads_nowhere_is_an_answer() {
    on_one_thread(async {
        for (status, header) in
            [(302, "x-a: b"), (300, "location: /b"), (201, "location: /b"), (200, "location: /b")]
        {
            let answer = write(&format!("HTTP/1.1 {status} There\r\n{header}\r\ncontent-length: 0\r\n\r\n"));
            let seen = follow(vec![vec![Do::Read, answer, Do::Hold]], "    redirects: 5\n").await;
            assert_eq!((seen.reply, seen.redirects), (ok(status), 0), "{status} {header}");
        }
    });
}

#[test]
fn one_too_many_fails_and_is_not_sent() {
    on_one_thread(async {
        let script =
            vec![vec![Do::Read, to(302, "/b"), Do::Read, to(307, "/a"), Do::Read, write(OK), Do::Hold]];
        let seen = follow(script, "    redirects: 1\n").await;
        assert_eq!((seen.reply, seen.redirects), (failed(ErrorClass::Redirect, Some(307)), 1));
    });
}

/// Whoever may load a host has not been asked about another.
#[test]
fn a_redirect_to_another_origin_fails_and_is_not_sent() {
    on_one_thread(async {
        let elsewhere = Server::start(vec![vec![Do::Read, write(OK), Do::Hold]]).await;
        let port = elsewhere.address.port();
        for location in [
            format!("http://127.0.0.1:{port}/"),
            format!("//127.0.0.1:{port}/"),
            format!("http://localhost:{port}/"),
            "https://127.0.0.1/".to_owned(),
            "ftp://127.0.0.1/".to_owned(),
            "mailto:a@b.example".to_owned(),
            "http://[".to_owned(),
        ] {
            let seen = follow(vec![vec![Do::Read, to(302, &location), Do::Hold]], "    redirects: 5\n").await;
            assert_eq!(
                (seen.reply, seen.redirects),
                (failed(ErrorClass::Redirect, Some(302)), 0),
                "{location}"
            );
        }
        assert_eq!(elsewhere.accepted(), 0);
    });
}

#[test]
fn a_password_is_never_taken_from_a_redirect() {
    on_one_thread(async {
        // The name is the target's own.
        let script =
            vec![vec![Do::Read, to(302, "http://me:word@shop.example/"), Do::Read, write(OK), Do::Hold]];
        let proxy = Server::start(script).await;
        let fields =
            format!("    url: http://shop.example/\n    proxy: http://{}\n    redirects: 3\n", proxy.address);
        let (rich, request) = (Rich::new(), request(&fields));
        let reply = rich.exchange(&rich.prepare(&request).unwrap(), &Call::new(LONG)).await;
        assert_eq!(reply, failed(ErrorClass::Redirect, Some(302)));
        assert_eq!(proxy.requests().len(), 1);
    });
}

/// <https://fetch.spec.whatwg.org/#http-redirect-fetch>
#[test]
fn the_method_follows_as_in_browsers() {
    on_one_thread(async {
        for (method, status, then) in [
            ("POST", 301, "GET"),
            ("POST", 302, "GET"),
            ("POST", 303, "GET"),
            ("PUT", 303, "GET"),
            ("PUT", 301, "PUT"),
            ("PUT", 302, "PUT"),
            ("POST", 307, "POST"),
            ("POST", 308, "POST"),
            ("DELETE", 303, "GET"),
        ] {
            let script = vec![vec![Do::Read, to(status, "/b"), Do::Read, write(OK), Do::Hold]];
            let fields = format!(
                "    method: {method}\n    json: {{ a: 1 }}\n    headers: {{ X-Own: one, Authorization: two, Host: h }}\n    redirects: 1\n"
            );
            let seen = follow(script, &fields).await;
            assert_eq!(seen.reply, ok(200), "{method} {status}");
            let second = &seen.requests[1];
            assert!(second.starts_with(&format!("{then} /b HTTP/1.1\r\n")), "{method} {status}: {second}");
            let kept = second.contains("content-type: application/json\r\n");
            assert_eq!((kept, second.ends_with("{\"a\":1}")), (then == method, then == method), "{second}");
            assert_eq!(second.contains("content-length: 7\r\n"), then == method, "{second}");
            for own in ["x-own: one\r\n", "authorization: two\r\n", "host: h\r\n"] {
                assert!(second.contains(own), "{own} {second}");
            }
        }
        let script = vec![vec![
            Do::Read,
            write("HTTP/1.1 303 There\r\nlocation: /b\r\n\r\n"),
            Do::Read,
            write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
            Do::Hold,
        ]];
        let seen = follow(script, "    method: HEAD\n    redirects: 1\n").await;
        assert_eq!((seen.reply, seen.received), (ok(200), 0));
        assert!(seen.requests[1].starts_with("HEAD /b "), "{:?}", seen.requests);
    });
}

#[test]
fn a_redirect_may_take_another_connection() {
    on_one_thread(async {
        let close = "HTTP/1.1 302 There\r\nlocation: /b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let scripts = vec![vec![Do::Read, write(close), Do::Close], vec![Do::Read, write(OK), Do::Hold]];
        let seen = follow(scripts, "    redirects: 1\n").await;
        assert_eq!((seen.reply, seen.redirects), (ok(200), 1));
    });
}

#[test]
fn what_breaks_on_the_way_is_what_failed() {
    on_one_thread(async {
        for (after, class, status) in [
            (vec![Do::Reset], ErrorClass::Reset, None),
            (vec![write("rubbish\r\n\r\n"), Do::Hold], ErrorClass::Protocol, None),
            (
                vec![write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"), Do::Close],
                ErrorClass::Body,
                Some(200),
            ),
        ] {
            let script = [vec![Do::Read, to(302, "/b"), Do::Read], after].concat();
            let seen = follow(vec![script], "    redirects: 1\n").await;
            assert_eq!((seen.reply, seen.redirects), (failed(class, status), 1));
        }
        // A redirect that is not whole leads nowhere.
        let half = "HTTP/1.1 302 There\r\nlocation: /b\r\ncontent-length: 9\r\n\r\nok";
        let seen = follow(vec![vec![Do::Read, write(half), Do::Close]], "    redirects: 1\n").await;
        assert_eq!((seen.reply, seen.redirects, seen.received), (failed(ErrorClass::Body, Some(302)), 0, 2));
        assert!(seen.sent > 0);
    });
}

/// The timeout is for all that a request leads to.
#[test]
fn redirects_do_not_begin_the_time_anew() {
    on_a_paused_clock(async {
        let slow = Duration::from_millis(400);
        let script = vec![vec![
            Do::Read,
            Do::Pause(slow),
            to(302, "/b"),
            Do::Read,
            Do::Pause(slow),
            to(302, "/c"),
            Do::Read,
            Do::Pause(slow),
            write(OK),
            Do::Hold,
        ]];
        let server = Server::start(script).await;
        let request = request(&format!("    url: http://{}/\n    redirects: 5\n", server.address));
        let rich = Rich::new();
        let prepared = rich.prepare(&request).unwrap();
        let call = Call::new(Duration::from_secs(1));
        assert_eq!(rich.exchange(&prepared, &call).await, Reply::TimedOut);
        assert_eq!((call.redirects(), server.requests().len()), (2, 3));
    });
}
