//! HTTP/2, which the rich transport alone speaks, against a server of the h2 crate.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use deathstar_statemachine::config::Request;
use deathstar_statemachine::window::ErrorClass;
use deathstar_worker::transport::rich::Rich;
use deathstar_worker::transport::{Call, Reply, Transport};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::server::{self, Do};
use crate::tls::{ALL, Authority};
use crate::{LONG, Seen, exchange, failed, ok, on_one_thread, request};

/// What the server does with a request.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Answers with so many bytes.
    Answer(usize),
    /// Ends the stream, and nothing else.
    Reset(Reason),
    /// Answers, sends some of the body that it has announced, and ends the stream.
    ResetInBody(Reason),
    /// The same, and closes the socket.
    CloseInBody,
    /// Ends the connection, for this reason.
    GoAway(Reason),
    /// Closes the socket.
    Close,
    /// Says nothing, until the client gives up.
    Hold,
}

#[derive(Debug, Default)]
struct SeenByServer {
    connections: Cell<usize>,
    /// The most streams that were open at once.
    most: Cell<usize>,
    open: Cell<usize>,
    requests: RefCell<Vec<http::Request<()>>>,
    bodies: RefCell<Vec<Vec<u8>>>,
    given_up: Cell<Option<Reason>>,
}

/// On a port of its own, until it is dropped.
struct Http2 {
    address: SocketAddr,
    seen: Rc<SeenByServer>,
    accepting: JoinHandle<()>,
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// How many streams the server allows at once: as few as it should at the least
/// (<https://www.rfc-editor.org/rfc/rfc9113#section-6.5.2>), which is what hyper counts on
/// until it is told.
const STREAMS: usize = 100;

impl Http2 {
    async fn start(act: Act, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Rc::new(SeenByServer::default());
        let by_server = Rc::clone(&seen);
        let accepting = tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                by_server.connections.set(by_server.connections.get() + 1);
                let (tls, seen) = (tls.clone(), Rc::clone(&by_server));
                tokio::task::spawn_local(async move {
                    match tls {
                        None => serve(stream, act, seen).await,
                        Some(tls) => serve(tls.accept(stream).await.unwrap(), act, seen).await,
                    }
                });
            }
        });
        Self { address, seen, accepting }
    }

    fn requests(&self) -> usize {
        self.seen.requests.borrow().len()
    }

    fn get(&self) -> Request {
        request(&format!("    url: http://{}/path?query=1\n    http_version: 2\n", self.address))
    }
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin, act: Act, seen: Rc<SeenByServer>) {
    let mut builder = h2::server::Builder::new();
    let handshake = builder.max_concurrent_streams(u32::try_from(STREAMS).unwrap()).handshake(io);
    // A client that leaves ends the connection.
    let Ok(mut connection) = handshake.await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (head, body) = request.into_parts();
        seen.requests.borrow_mut().push(http::Request::from_parts(head, ()));
        match act {
            Act::GoAway(reason) => connection.abrupt_shutdown(reason),
            Act::Close => return,
            Act::CloseInBody => {
                some_of_a_body(&mut respond);
                // What is sent leaves while someone asks for the next request.
                tokio::select! {
                    _ = connection.accept() => {}
                    () = server::settle() => {}
                }
                return;
            }
            Act::Answer(_) | Act::Reset(_) | Act::ResetInBody(_) | Act::Hold => {
                seen.open.set(seen.open.get() + 1);
                seen.most.set(seen.most.get().max(seen.open.get()));
                let seen = Rc::clone(&seen);
                tokio::task::spawn_local(async move {
                    answer(act, body, respond, &seen).await;
                    seen.open.set(seen.open.get() - 1);
                });
            }
        }
    }
}

async fn answer(act: Act, mut body: RecvStream, mut respond: SendResponse<Bytes>, seen: &SeenByServer) {
    let mut received = Vec::new();
    while let Some(Ok(bytes)) = body.data().await {
        received.extend_from_slice(&bytes);
        body.flow_control().release_capacity(bytes.len()).unwrap();
    }
    seen.bodies.borrow_mut().push(received);
    let head = http::Response::builder().status(201).body(()).unwrap();
    match act {
        Act::Answer(length) => {
            let mut stream = respond.send_response(head, length == 0).unwrap();
            if length > 0 {
                stream.send_data(Bytes::from(vec![b'x'; length]), true).unwrap();
            }
        }
        Act::Reset(reason) => respond.send_reset(reason),
        Act::ResetInBody(reason) => {
            let mut stream = some_of_a_body(&mut respond);
            server::settle().await;
            stream.send_reset(reason);
        }
        Act::Hold => seen.given_up.set(poll_fn(|context| respond.poll_reset(context)).await.ok()),
        Act::GoAway(_) | Act::Close | Act::CloseInBody => unreachable!("the connection ends"),
    }
}

/// Four bytes of a thousand.
fn some_of_a_body(respond: &mut SendResponse<Bytes>) -> SendStream<Bytes> {
    let head = http::Response::builder().status(201).header("content-length", 1000).body(()).unwrap();
    let mut stream = respond.send_response(head, false).unwrap();
    stream.send_data(Bytes::from_static(b"some"), false).unwrap();
    stream
}

/// Sends so many requests at once, each of which may take so long.
async fn at_once(rich: Rich, request: &Request, count: u64, timeout: impl Fn(u64) -> Duration) -> Vec<Seen> {
    let prepared = Rc::new(rich.prepare(request).unwrap());
    let rich = Rc::new(rich);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..count {
        let (rich, prepared, call) = (Rc::clone(&rich), Rc::clone(&prepared), Call::new(timeout(number)));
        tasks.spawn_local(async move {
            let reply = rich.exchange(&prepared, &call).await;
            Seen { reply, sent: call.bytes_sent(), received: call.bytes_received() }
        });
    }
    tasks.join_all().await
}

#[test]
fn requests_share_one_connection_and_as_many_streams_as_the_target_allows() {
    on_one_thread(async {
        let server = Http2::start(Act::Answer(70_000), None).await;
        let all = at_once(Rich::new(), &server.get(), 250, |_| LONG).await;
        assert!(all.iter().all(|one| (one.reply, one.received) == (ok(201), 70_000)), "{all:?}");
        let seen = &server.seen;
        assert_eq!((server.requests(), seen.connections.get()), (250, 1));
        assert!((2..=STREAMS).contains(&seen.most.get()), "{} streams at once", seen.most.get());
        assert!(seen.requests.borrow().iter().all(|request| request.version() == http::Version::HTTP_2));
    });
}

#[test]
fn a_request_arrives_as_its_config_says() {
    on_one_thread(async {
        let server = Http2::start(Act::Answer(0), None).await;
        let text = format!(
            "    method: PUT\n    url: http://{}/a%20b?c=d\n    headers: {{ X-Own: one }}\n    json: {{ sku: 7 }}\n    http_version: 2\n",
            server.address
        );
        let seen = exchange(&Rich::new(), &request(&text), LONG).await;
        assert_eq!((seen.reply, seen.received), (ok(201), 0));
        let requests = server.seen.requests.borrow();
        let [request] = requests.as_slice() else { panic!("{requests:?}") };
        assert_eq!((request.method().as_str(), request.uri().path()), ("PUT", "/a%20b"));
        assert_eq!(request.uri().query(), Some("c=d"));
        assert_eq!(request.uri().authority().unwrap().as_str(), server.address.to_string());
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("x-own").as_deref(), Some("one"));
        assert_eq!(header("content-type").as_deref(), Some("application/json"));
        assert!(header("user-agent").unwrap().starts_with("deathstar/"));
        // HTTP/2 has neither; see RFC 9113, 8.2.2.
        assert_eq!((header("host"), header("connection")), (None, None));
        assert_eq!(*server.seen.bodies.borrow(), [br#"{"sku":7}"#.to_vec()]);
    });
}

/// Whatever the target gives as its reason, even that it has not looked at it.
#[test]
fn what_ends_a_request_is_a_reset_and_nothing_is_sent_again() {
    on_one_thread(async {
        for act in [
            Act::Reset(Reason::REFUSED_STREAM),
            Act::Reset(Reason::INTERNAL_ERROR),
            Act::Reset(Reason::ENHANCE_YOUR_CALM),
            Act::GoAway(Reason::INTERNAL_ERROR),
            Act::GoAway(Reason::NO_ERROR),
            Act::Close,
        ] {
            let server = Http2::start(act, None).await;
            let seen = exchange(&Rich::new(), &server.get(), LONG).await;
            assert_eq!(seen.reply, failed(ErrorClass::Reset, None), "{act:?}");
            assert!(seen.sent > 0, "{act:?}");
            server::settle().await;
            assert_eq!((server.requests(), server.seen.connections.get()), (1, 1), "{act:?}");
        }
        for (act, class) in [
            (Act::ResetInBody(Reason::INTERNAL_ERROR), ErrorClass::Reset),
            // In good order, and too early all the same.
            (Act::ResetInBody(Reason::NO_ERROR), ErrorClass::Body),
            (Act::CloseInBody, ErrorClass::Body),
        ] {
            let server = Http2::start(act, None).await;
            let seen = exchange(&Rich::new(), &server.get(), LONG).await;
            assert_eq!(seen.reply, failed(class, Some(201)), "{act:?}");
            assert_eq!(server.requests(), 1, "{act:?}");
        }
    });
}

#[test]
fn a_target_is_told_when_a_request_is_given_up() {
    on_one_thread(async {
        let server = Http2::start(Act::Hold, None).await;
        let seen = exchange(&Rich::new(), &server.get(), Duration::from_millis(200)).await;
        assert_eq!(seen.reply, Reply::TimedOut);
        while server.seen.given_up.get().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.seen.given_up.get(), Some(Reason::CANCEL));
    });
}

#[test]
fn a_target_of_another_version_makes_no_sense() {
    on_one_thread(async {
        let answer = Do::Write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_vec());
        let server = server::Server::start(vec![vec![Do::ReadBytes(24), answer, Do::Hold]]).await;
        let text = format!("    url: http://{}/\n    http_version: 2\n", server.address);
        let seen = exchange(&Rich::new(), &request(&text), LONG).await;
        assert_eq!(seen.reply, failed(ErrorClass::Protocol, None));
    });
}

#[test]
fn where_nobody_listens_a_request_is_refused_and_not_sent() {
    on_one_thread(async {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let text = format!("    url: http://{address}/\n    http_version: 2\n");
        let refused = Seen { reply: failed(ErrorClass::Refused, None), sent: 0, received: 0 };
        assert_eq!(at_once(Rich::new(), &request(&text), 20, |_| LONG).await, [refused; 20]);
    });
}

/// One of them is to open the connection, and each learns what became of that.
#[test]
fn what_keeps_one_from_connecting_keeps_all() {
    on_one_thread(async {
        let stranger = Authority::new();
        let tls = stranger.server(&["localhost"], ALL);
        let server = server::Server::with_tls(vec![vec![Do::Hold]], Some(tls)).await;
        let text = format!("    url: https://localhost:{}/\n    http_version: 2\n", server.address.port());
        let distrusted = Seen { reply: failed(ErrorClass::Tls, None), sent: 0, received: 0 };
        assert_eq!(at_once(Rich::new(), &request(&text), 20, |_| LONG).await, [distrusted; 20]);

        // Nobody is let in: each waits for as long as it may, the first one, too.
        let full = server::Full::start().await;
        let text = format!("    url: http://{}/\n    http_version: 2\n", full.address);
        let patience = |number| Duration::from_millis(100 + 10 * number);
        let seen = at_once(Rich::new(), &request(&text), 20, patience).await;
        assert!(seen.iter().all(|one| one.reply == Reply::TimedOut), "{seen:?}");
    });
}

/// A target that ends each connection after a request: the next ones open another.
#[test]
fn a_connection_that_has_ended_is_opened_anew() {
    on_one_thread(async {
        let server = Http2::start(Act::GoAway(Reason::NO_ERROR), None).await;
        let rich = Rich::new();
        for _ in 0..3 {
            assert_eq!(exchange(&rich, &server.get(), LONG).await.reply, failed(ErrorClass::Reset, None));
            server::settle().await;
        }
        assert_eq!((server.requests(), server.seen.connections.get()), (3, 3));
    });
}

#[test]
fn over_tls_the_target_must_agree_to_it() {
    on_one_thread(async {
        let authority = Authority::new();
        let offering = |protocols: &[&str]| {
            let tls = authority.server(&["localhost"], ALL);
            let mut config = rustls::ServerConfig::clone(tls.config());
            config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
            TlsAcceptor::from(Arc::new(config))
        };
        let rich = Rich::trusting(&[authority.root()]);
        let at =
            |port: u16, version: &str| request(&format!("    url: https://localhost:{port}/\n{version}"));
        let two = "    http_version: 2\n";
        let server = Http2::start(Act::Answer(5), Some(offering(&["h2"]))).await;
        let seen = exchange(&rich, &at(server.address.port(), two), LONG).await;
        assert_eq!((seen.reply, seen.received), (ok(201), 5));
        let old = vec![vec![Do::Read, Do::Write(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()), Do::Hold]];
        let server = server::Server::with_tls(old.clone(), Some(offering(&["http/1.1"]))).await;
        let seen = exchange(&rich, &at(server.address.port(), two), LONG).await;
        assert_eq!((seen.reply, seen.sent), (failed(ErrorClass::Tls, None), 0));
        // Nor does it come about where nobody asked for it, though the target would.
        let server = server::Server::with_tls(old, Some(offering(&["h2", "http/1.1"]))).await;
        let plain = "    engine: rich\n";
        assert_eq!(exchange(&rich, &at(server.address.port(), plain), LONG).await.reply, ok(204));
    });
}
