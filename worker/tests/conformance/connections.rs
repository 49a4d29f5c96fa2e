//! Which connection a request takes: a kept one that is still good, a new one, or
//! none while all are taken.

use std::time::Duration;

use deathstar_worker::clock;
use deathstar_worker::transport::fast::Fast;
use deathstar_worker::transport::{Call, Reply, Transport};

use crate::server::{Do, Server, settle};
use crate::{Both, LONG, exchange, get, ok, on_one_thread, request, write};

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

/// Whoever asks for more at once than there may be is refused, and nothing is sent.
#[test]
fn there_are_never_more_connections_than_there_may_be() {
    on_one_thread(async {
        let fast = Fast::new(1);
        let server = Server::start(vec![vec![Do::Read, Do::Hold], vec![Do::Read, write(OK), Do::Hold]]).await;
        let request = get(&server);
        let ask = async |ms: u64| exchange(&fast, &request, Duration::from_millis(ms)).await;
        let (first, second) = tokio::join!(ask(100), ask(50));
        assert_eq!((first.reply, second.reply), (Reply::TimedOut, Reply::NotSent));
        assert_eq!((second.sent, server.accepted()), (0, 1));
        assert_eq!(ask(1000).await.reply, ok(200), "the first has made room");
    });
}

#[test]
fn a_connection_that_was_opened_before_is_there_for_the_first_request() {
    on_one_thread(async {
        let fast = Fast::new(2);
        let server = Server::start(vec![vec![Do::Read, write(OK), Do::Hold]]).await;
        let prepared = fast.prepare(&get(&server)).unwrap();
        fast.warm_up(&prepared).await;
        settle().await;
        assert_eq!((server.accepted(), server.requests().len()), (1, 0));
        let call = Call::new(LONG);
        assert_eq!(fast.exchange(&prepared, &call).await, ok(200));
        assert_eq!((server.accepted(), call.connect()), (1, None));
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
