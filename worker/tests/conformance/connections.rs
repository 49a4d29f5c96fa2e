//! Which connection a request takes: a kept one that is still good, a new one, or
//! none while all are taken.

use std::time::Duration;

use deathstar_worker::clock;
use deathstar_worker::transport::fast::Fast;
use deathstar_worker::transport::rich::Rich;
use deathstar_worker::transport::{Call, Reply, Transport};

use crate::server::{Do, Server, settle};
use crate::{Both, LONG, Seen, exchange, get, ok, on_a_paused_clock, on_one_thread, request};

fn write(text: &str) -> Do {
    Do::Write(text.as_bytes().to_vec())
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn a_connection_that_ended_while_it_was_idle_is_not_written_to() {
    on_one_thread(async {
        let both = Both::new();
        for (what, end) in [
            ("closed", vec![Do::Close]),
            ("reset", vec![Do::Settle, Do::Reset]),
            ("talked on", vec![Do::Settle, write("HTTP/1.1 408 Request Timeout\r\n\r\n"), Do::Hold]),
        ] {
            let first = [vec![Do::Read, write(OK)], end].concat();
            let ran = both.agree(vec![first, vec![Do::Read, write(OK), Do::Hold]], 2, LONG, what).await;
            assert_eq!(
                ran.seen.iter().map(|seen| seen.reply).collect::<Vec<_>>(),
                [ok(200), ok(200)],
                "{what}"
            );
            assert_eq!((ran.accepted, ran.read), (2, 2), "{what}");
        }
    });
}

/// What a transport does with one connection and a target that does not answer.
async fn three_at_once<T: Transport>(transport: &T) -> [(Seen, Duration); 3] {
    let server = Server::start(vec![vec![Do::Read, Do::Hold]]).await;
    let request = get(&server);
    let began = clock::monotonic();
    let ask = async |timeout: u64| {
        let seen = exchange(transport, &request, Duration::from_millis(timeout)).await;
        (seen, clock::monotonic() - began)
    };
    let (one, two, three) = tokio::join!(ask(100), ask(50), ask(150));
    [one, two, three]
}

#[test]
fn a_request_waits_for_a_connection_as_long_as_it_may_take() {
    on_a_paused_clock(async {
        let fast = three_at_once(&Fast::new(1)).await;
        let rich = three_at_once(&Rich::new(1).unwrap()).await;
        for ran in [fast, rich] {
            let replies = ran.map(|(seen, _)| seen.reply);
            assert_eq!(replies, [Reply::TimedOut, Reply::NotSent, Reply::TimedOut]);
            assert_eq!(ran[1].0.sent, 0);
            let took = ran.map(|(_, took)| took.as_millis());
            // The third had to wait for the first, and its time counts from then.
            for (took, expected) in took.into_iter().zip([100, 50, 250]) {
                assert!((expected..=expected + 3).contains(&took), "{took} ms for {expected} ms");
            }
        }
    });
}

async fn in_line<T: Transport>(transport: &T) -> (Vec<String>, usize) {
    let answer = [Do::Read, Do::Settle, write(OK)];
    let server = Server::start(vec![answer.iter().cloned().cycle().take(15).collect()]).await;
    let request = |n: usize| request(&format!("    url: http://{}/{n}\n", server.address));
    let requests: Vec<_> = (1..=5).map(request).collect();
    let ask = async |n: usize| exchange(transport, &requests[n], LONG).await;
    tokio::join!(ask(0), ask(1), ask(2), ask(3), ask(4));
    let order =
        server.requests().iter().map(|request| String::from_utf8_lossy(&request[..6]).into()).collect();
    (order, server.accepted())
}

#[test]
fn those_who_wait_for_a_connection_are_served_in_turn() {
    on_one_thread(async {
        let order = ["GET /1", "GET /2", "GET /3", "GET /4", "GET /5"].map(String::from).to_vec();
        assert_eq!(in_line(&Fast::new(1)).await, (order.clone(), 1));
        assert_eq!(in_line(&Rich::new(1).unwrap()).await.0, order);
    });
}

/// reqwest keeps idle connections for 90 s, however many; the fast one counts them.
#[test]
fn an_idle_connection_makes_room_for_another_target() {
    on_one_thread(async {
        let fast = Fast::new(1);
        let steps = || vec![vec![Do::Read, write(OK), Do::Read, write(OK), Do::Hold]];
        let (one, other) = (Server::start(steps()).await, Server::start(steps()).await);
        for server in [&one, &one, &other, &other] {
            assert_eq!(exchange(&fast, &get(server), LONG).await.reply, ok(200));
            settle().await;
        }
        assert_eq!((one.accepted(), one.left(), other.accepted(), other.left()), (1, 1, 1, 0));
    });
}

#[test]
fn a_request_that_is_given_up_takes_its_connection_with_it() {
    on_one_thread(async {
        let fast = Fast::new(1);
        let server = Server::start(vec![vec![Do::Read, Do::Hold], vec![Do::Read, write(OK), Do::Hold]]).await;
        let request = get(&server);
        {
            let prepared = fast.prepare(&request).unwrap();
            let call = Call::new(LONG);
            let given_up = fast.exchange(&prepared, &call);
            tokio::select! {
                biased;
                reply = given_up => panic!("{reply:?}"),
                () = async { while server.requests().is_empty() { tokio::task::yield_now().await } } => {}
            }
        }
        assert_eq!(exchange(&fast, &request, LONG).await.reply, ok(200));
        assert_eq!((server.accepted(), server.left()), (2, 1));
    });
}

#[test]
fn the_time_to_open_a_connection_is_noted_when_one_was_opened() {
    on_one_thread(async {
        let fast = Fast::new(1);
        let server = Server::start(vec![vec![Do::Read, write(OK), Do::Read, write(OK), Do::Hold]]).await;
        let prepared = fast.prepare(&get(&server)).unwrap();
        let mut opened = Vec::new();
        for _ in 0..2 {
            let (before, call) = (clock::monotonic(), Call::new(LONG));
            assert_eq!(fast.exchange(&prepared, &call).await, ok(200));
            let took = clock::monotonic() - before;
            assert!(call.sent().unwrap() >= before && call.connect().unwrap_or_default() <= took);
            opened.push((call.connect().is_some(), call.tls().is_some()));
        }
        assert_eq!(opened, [(true, false), (false, false)]);
    });
}

/// The lines of a request but for their order, and its body.
fn said(request: &[u8]) -> (String, Vec<String>, String) {
    let text = String::from_utf8(request.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let (first, headers) = head.split_once("\r\n").unwrap();
    let mut headers: Vec<String> = headers.split("\r\n").map(str::to_owned).collect();
    headers.sort_unstable();
    (first.to_owned(), headers, body.to_owned())
}

async fn heard<T: Transport>(transport: &T, fields: &str) -> (String, Vec<String>, String) {
    let server = Server::start(vec![vec![Do::Read, write(OK), Do::Hold]]).await;
    let fields = fields.replace("ADDRESS", &format!("localhost:{}", server.address.port()));
    assert_eq!(exchange(transport, &request(&fields), LONG).await.reply, ok(200), "{fields}");
    let (first, headers, body) = said(&server.requests()[0]);
    let port = server.address.port().to_string();
    (first, headers.iter().map(|header| header.replace(&port, "PORT")).collect(), body)
}

#[test]
fn both_say_the_same_to_a_target() {
    on_one_thread(async {
        let both = Both::new();
        for fields in [
            "    url: http://ADDRESS\n",
            "    url: http://ADDRESS/a%20b/ü?q=1&r={}\n",
            "    url: http://ADDRESS/\n    method: DELETE\n    headers: { X-Upper: 'a  b', x-empty: '' }\n",
            "    url: http://ADDRESS/\n    method: POST\n    body: hello\n",
            "    url: http://ADDRESS/\n    method: POST\n",
            "    url: http://ADDRESS/\n    method: PUT\n    json: { a: 1 }\n    headers: { accept: text/html }\n",
            "    url: http://ADDRESS/\n    headers: { host: shop.example, user-agent: me }\n",
            "    url: http://ADDRESS/\n    method: GET\n    body: a body of a GET\n",
            "    url: http://ADDRESS/\n    method: PROPFIND\n    headers: { expect: 100-continue }\n    body: x\n",
        ] {
            let (fast, rich) = (heard(&both.fast, fields).await, heard(&both.rich, fields).await);
            assert_eq!(fast, rich, "{fields}");
        }
    });
}
