//! Targets that misbehave: each is told from the others, nothing is sent twice,
//! and every request is accounted for.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crate::command::{Home, Output};
use crate::server::{After, OK, Server, reset, until_closed};

/// Runs 60 requests a second for a second.
fn attack(url: &str, more: &str) -> Output {
    let home = Home::new();
    let output = home.run(&format!(
        "name: misbehave\nattacks:\n  - name: x\n    url: {url}\n    rate: 60/s\n    duration: 1s\n{more}"
    ));
    home.assert_nothing_left();
    assert_eq!(output.report().arrivals().scheduled, 60);
    output
}

fn map<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

/// Every request that was sent failed with this class, and arrived.
#[track_caller]
fn all_fail(output: &Output, server: &Server, class: &str) {
    let arrivals = output.exits(1).report().arrivals();
    assert_eq!(output.report().errors(), map([(class, arrivals.sent())]), "{}", output.stdout);
    assert_eq!(server.count(), arrivals.sent(), "nothing is sent twice");
    assert!(output.report().reasons().contains("nothing succeeded"), "{}", output.report().reasons());
}

/// Every request failed with this class before it had a connection.
#[track_caller]
fn none_connects(output: &Output, class: &str) {
    let report = output.exits(1).report();
    assert_eq!(report.errors(), map([(class, report.arrivals().sent())]), "{}", output.stdout);
    assert!(report.statuses().is_empty());
    assert!(report.reasons().contains(&format!("× {class}")), "{}", report.reasons());
    assert_eq!(report.0["attacks"][0]["bytes"]["sent"], 0, "nothing left this machine");
}

/// Every request that was sent completed, and arrived.
#[track_caller]
fn all_complete(output: &Output, server: &Server, status: &str) {
    let arrivals = output.exits(0).report().arrivals();
    assert_eq!(arrivals.completed, arrivals.sent(), "{}", output.stdout);
    assert_eq!(output.report().statuses(), map([(status, arrivals.sent())]));
    assert_eq!(server.count(), arrivals.sent(), "nothing is sent twice");
}

#[test]
fn a_target_that_is_down_refuses_everything() {
    // Bound and let go, so that nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = attack(&format!("http://{address}/"), "");
    none_connects(&output, "refused");
}

#[test]
fn a_name_that_does_not_resolve_is_told_from_a_refusal() {
    let output = attack("http://does-not-exist.invalid/", "    timeout: 20s\n");
    none_connects(&output, "dns");
}

#[test]
fn a_reset_before_a_response_is_a_reset() {
    let server = Server::saying("", After::Reset);
    all_fail(&attack(&server.url(), ""), &server, "reset");
}

#[test]
fn a_reset_within_a_response_is_a_reset() {
    let server =
        Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly the beginning", After::Reset);
    all_fail(&attack(&server.url(), ""), &server, "reset");
}

#[test]
fn a_close_before_a_response_is_a_reset() {
    let server = Server::saying("", After::Close);
    all_fail(&attack(&server.url(), ""), &server, "reset");
}

#[test]
fn a_body_that_ends_too_early_is_told_apart() {
    let server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", After::Close);
    let output = attack(&server.url(), "");
    all_fail(&output, &server, "body");
    let sent = output.report().arrivals().sent();
    assert_eq!(output.report().statuses(), map([("200", sent)]), "the status did arrive");
}

#[test]
fn a_chunk_that_never_comes_is_a_broken_body() {
    let server =
        Server::saying("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", After::Close);
    all_fail(&attack(&server.url(), ""), &server, "body");
}

#[test]
fn an_answer_that_is_not_http_is_a_broken_protocol() {
    let server = Server::saying("220 mail.example.com ESMTP\r\n", After::Close);
    all_fail(&attack(&server.url(), ""), &server, "protocol");
}

#[test]
fn tls_to_a_plain_port_is_told_from_a_refusal() {
    let server = Server::raw(|mut stream| {
        let mut hello = [0; 4096];
        let _ = stream.read(&mut hello)?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")?;
        until_closed(&mut stream).map(drop)
    });
    let output = attack(&format!("https://{}/", server.address()), "");
    none_connects(&output, "tls");
    assert_eq!(server.connections(), output.report().arrivals().sent(), "no hello is sent twice");
}

#[test]
fn an_answer_that_never_comes_is_recorded_at_its_timeout() {
    let server = Server::start(|_, stream| until_closed(stream));
    let output = attack(&server.url(), "    timeout: 300ms\n");
    let report = output.exits(1).report();
    let arrivals = report.arrivals();
    assert_eq!(arrivals.timed_out, arrivals.sent(), "{}", output.stdout);
    assert_eq!(server.count(), arrivals.timed_out);
    for point in ["min", "p50", "max"] {
        let service = report.time("service_time_ms", point);
        assert!((299.0..=301.0).contains(&service), "{point} {service} ms");
    }
    let p50 = report.time("response_time_ms", "p50");
    assert!((299.0..3000.0).contains(&p50), "{p50} ms");
}

#[test]
fn a_body_that_never_ends_times_out() {
    let server = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbeginning")?;
        until_closed(stream)
    });
    let output = attack(&server.url(), "    timeout: 300ms\n");
    let arrivals = output.exits(1).report().arrivals();
    assert_eq!(arrivals.timed_out, arrivals.sent(), "{}", output.stdout);
    assert_eq!(server.count(), arrivals.sent());
}

#[test]
fn a_slow_drip_counts_until_its_last_byte() {
    const STEPS: u64 = 4;
    let server = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")?;
        for _ in 0..STEPS {
            // What is tested is a server that takes its time.
            thread::sleep(Duration::from_millis(50));
            stream.write_all(b"x")?;
        }
        Ok(After::Keep)
    });
    let output = attack(&server.url(), "");
    all_complete(&output, &server, "200");
    let least = output.report().time("service_time_ms", "min");
    assert!(least >= 199.0, "four times 50 ms is more than {least} ms");
    let sent = output.report().arrivals().sent();
    assert_eq!(output.report().0["attacks"][0]["bytes"]["received"], sent * STEPS);
}

#[test]
fn a_target_that_closes_after_every_response_loses_nothing() {
    let server =
        Server::saying("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", After::Close);
    let output = attack(&server.url(), "");
    all_complete(&output, &server, "200");
    assert_eq!(server.connections(), server.count(), "each had a connection of its own");
}

#[test]
fn a_body_without_a_length_ends_with_its_connection() {
    let server = Server::saying("HTTP/1.1 200 OK\r\n\r\nuntil the end", After::Close);
    let output = attack(&server.url(), "");
    all_complete(&output, &server, "200");
    let sent = output.report().arrivals().sent();
    assert_eq!(output.report().0["attacks"][0]["bytes"]["received"], sent * 13);
}

#[test]
fn connections_closed_behind_our_back_cause_no_second_send() {
    // The close is not announced, so the next request may meet it on its way.
    let server = Server::saying(OK, After::Close);
    let output = attack(&server.url(), "");
    let arrivals = output.report().arrivals();
    let reset = output.report().errors().get("reset").copied().unwrap_or(0);
    assert_eq!(arrivals.failed, reset, "{}", output.stdout);
    // One that met a closed connection never arrived.
    assert!((arrivals.completed..=arrivals.sent()).contains(&server.count()), "{}", output.stdout);
    assert!(arrivals.completed > 0, "{}", output.stdout);
}

#[test]
fn kept_connections_are_used_again() {
    let server = Server::good();
    let output = attack(&server.url(), "");
    all_complete(&output, &server, "200");
    assert!(server.connections() < server.count(), "{} connections", server.connections());
}

#[test]
fn large_bodies_cost_no_memory() {
    const PIECE: usize = 1 << 16;
    const PIECES: u64 = 1024;
    let server = Server::start(|_, stream| {
        stream
            .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", PIECES << 16).as_bytes())?;
        let piece = vec![b'x'; PIECE];
        for _ in 0..PIECES {
            stream.write_all(&piece)?;
        }
        Ok(After::Keep)
    });
    let home = Home::new();
    let output = home.run(&format!(
        "name: large\nattacks:\n  - {{ name: x, url: '{}', rate: 3/s, duration: 2s }}\n",
        server.url()
    ));
    let sent = output.exits(0).report().arrivals().sent();
    assert_eq!(output.report().arrivals().completed, sent);
    assert_eq!(output.report().0["attacks"][0]["bytes"]["received"], sent * PIECES * PIECE as u64);
    let peak = output.peak_memory >> 20;
    assert!(peak < 150, "{peak} MiB for bodies of 64 MiB");
}

#[test]
fn a_redirect_is_an_answer_unless_one_asks_to_follow_it() {
    let elsewhere = Server::good();
    let location = elsewhere.url();
    let server = Server::start(move |_, stream| {
        write!(stream, "HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")?;
        Ok(After::Keep)
    });
    all_complete(&attack(&server.url(), ""), &server, "302");
    assert_eq!(elsewhere.count(), 0);
}

#[test]
fn errors_of_the_server_fail_by_status() {
    let server =
        Server::saying("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", After::Keep);
    let output = attack(&server.url(), "");
    all_fail(&output, &server, "status");
    assert_eq!(output.report().statuses(), map([("500", server.count())]));
}

#[test]
fn an_unexpected_status_fails_though_it_is_a_good_one() {
    let server = Server::good();
    let output = attack(&server.url(), "    expect: { status: 201 }\n");
    all_fail(&output, &server, "status");
    let server = Server::saying("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", After::Keep);
    all_complete(&attack(&server.url(), "    expect: { status: 404 }\n"), &server, "404");
}

#[test]
fn unusual_responses_are_whole_responses() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                   4;note=x\r\nwith\r\n8\r\ntrailers\r\n0\r\nx-sum: 12\r\n\r\n";
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n0123456789ab";
    for (answer, status, bytes) in
        [(chunked, "200", 12), (early, "200", 12), ("HTTP/1.1 204 No Content\r\n\r\n", "204", 0)]
    {
        let server = Server::saying(answer, After::Keep);
        let output = attack(&server.url(), "");
        all_complete(&output, &server, status);
        let sent = output.report().arrivals().sent();
        assert_eq!(output.report().0["attacks"][0]["bytes"]["received"], sent * bytes, "{answer}");
        assert!(server.connections() < server.count(), "the connection can be used again after {answer}");
    }
}

#[test]
fn a_head_request_has_no_body_whatever_its_length_says() {
    let server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", After::Keep);
    let output = attack(&server.url(), "    method: HEAD\n");
    all_complete(&output, &server, "200");
    assert_eq!(output.report().0["attacks"][0]["bytes"]["received"], 0);
    assert!(server.requests().iter().all(|request| request.method == "HEAD"));
}

#[test]
fn a_target_that_fails_now_and_then_is_counted_exactly() {
    // Every fifth request is reset before an answer.
    let turn = std::sync::atomic::AtomicU64::new(0);
    let server = Server::start(move |_, stream| {
        if turn.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 5 == 4 {
            reset(stream)?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        stream.write_all(OK.as_bytes())?;
        Ok(After::Keep)
    });
    let output = attack(&server.url(), "");
    let arrivals = output.exits(0).report().arrivals();
    assert_eq!(server.count(), arrivals.sent());
    assert_eq!(output.report().errors(), map([("reset", arrivals.sent() / 5)]), "{}", output.stdout);
}
