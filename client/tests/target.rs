//! The target over real sockets. What it computes is tested beside the queue;
//! here it is that clients see it. Machines are noisy: times are only ever
//! bounded from below, or so generously that only a different design fails.

#![expect(
    clippy::unwrap_used,
    reason = "helpers are tests, too, though clippy sees only the functions marked so"
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use deathstar::target::{self, Counts, Target, TargetArgs, TargetConfig, TargetError};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Far more than any step takes; only a hang reaches it.
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: TargetArgs,
}

fn args(words: &str) -> TargetArgs {
    Command::try_parse_from(std::iter::once("target").chain(words.split_whitespace())).unwrap().args
}

fn config(words: &str) -> TargetConfig {
    args(words).try_into().unwrap()
}

async fn start(words: &str) -> Target {
    Target::start(config(words)).await.unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the one place where these tests read the clock")]
fn now() -> Instant {
    Instant::now()
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("nothing here takes a minute")
}

/// Waits until the target's counts are as described.
async fn until(target: &Target, described: impl Fn(&Counts) -> bool) {
    in_time(async {
        while !described(&target.counts()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// One keep-alive HTTP/1.1 connection.
struct Http1(http1::SendRequest<Full<Bytes>>);

impl Http1 {
    async fn connect(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn send(&mut self, method: Method, path: &str, body: &'static str) -> Response<Incoming> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "target")
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .unwrap();
        in_time(async {
            self.0.ready().await.unwrap();
            self.0.send_request(request).await.unwrap()
        })
        .await
    }

    /// The status and the size of the body, which is read to its end.
    async fn get(&mut self, path: &str) -> (u16, usize) {
        let response = self.send(Method::GET, path, "").await;
        (response.status().as_u16(), read(response).await.len())
    }
}

async fn read(response: Response<Incoming>) -> Bytes {
    in_time(response.into_body().collect()).await.unwrap().to_bytes()
}

async fn connect_http2(address: SocketAddr) -> http2::SendRequest<Full<Bytes>> {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_max_send_streams(10_000)
        .handshake(TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn http2_request(address: SocketAddr, method: Method) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(format!("http://{address}/")).body(Full::default()).unwrap()
}

/// A pipe whose reader gets what was written; it may also be a broken one.
struct Pipe {
    reader: mpsc::UnboundedSender<String>,
    broken: bool,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.reader.send(String::from_utf8(bytes.to_vec()).unwrap());
        if self.broken { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.reader.send("(flushed)".to_owned());
        if self.broken { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn the_only_line_of_output_names_the_address() {
    let (reader, mut out) = mpsc::unbounded_channel();
    let mut err = Vec::new();
    let mut pipe = Pipe { reader, broken: false };
    let shutdown = async {
        let mut written = String::new();
        while !written.ends_with("(flushed)") {
            written += &out.recv().await.unwrap();
        }
        let address = written.strip_prefix("listening on http://").unwrap();
        let address = address.strip_suffix("\n(flushed)").unwrap();
        let mut client = Http1::connect(address.parse().unwrap()).await;
        assert_eq!(client.get("/").await, (200, 1024));
    };
    let words = "--servers 8 --service 5ms";
    let counts = in_time(target::serve(args(words), &mut pipe, &mut err, shutdown)).await.unwrap();
    assert_eq!((counts.received, counts.ok), (1, 1));
    assert!(out.try_recv().is_err(), "nothing follows the first line");
    let err = String::from_utf8(err).unwrap();
    assert!(err.starts_with("capacity 1,600/s = 8 servers ÷ 5ms"), "{err}");
    assert!(
        err.ends_with("stopped; requests: 1 received, 1 ok, 0 errors, 0 rejected, 0 abandoned\n"),
        "{err}"
    );
}

#[tokio::test]
async fn broken_pipes_do_not_stop_it() {
    let pipe = || {
        let (reader, written) = mpsc::unbounded_channel();
        (Pipe { reader, broken: true }, written)
    };
    let ((mut out, mut read_out), (mut err, mut read_err)) = (pipe(), pipe());
    let shutdown = async {
        let line = read_out.recv().await.unwrap();
        assert!(read_err.recv().await.is_some());
        let address = line.trim_end().strip_prefix("listening on http://").unwrap().parse().unwrap();
        assert_eq!(Http1::connect(address).await.get("/").await.0, 200);
    };
    let counts = in_time(target::serve(TargetArgs::default(), &mut out, &mut err, shutdown)).await.unwrap();
    assert_eq!(counts.ok, 1);
}

#[tokio::test]
async fn invalid_knobs_are_refused() {
    let args = TargetArgs { servers: 0, stall: Some(Duration::from_secs(1)), ..TargetArgs::default() };
    let refused = target::serve(args, &mut Vec::new(), &mut Vec::new(), async {}).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "--servers 0 is out of range; use 1 to 1000000; --stall 1s needs --every"
    );
}

#[tokio::test]
async fn beyond_its_bound_the_queue_answers_503_at_once() {
    let target = start("--servers 1 --service 1h --queue 2").await;
    let mut pending = JoinSet::new();
    for admitted in 1..=3 {
        let mut client = Http1::connect(target.address()).await;
        pending.spawn(async move { client.send(Method::GET, "/", "").await });
        until(&target, |counts| counts.received == admitted).await;
    }
    let mut client = Http1::connect(target.address()).await;
    assert_eq!(client.get("/").await.0, 503);
    let metrics = metrics(&mut client).await;
    assert_eq!(metrics["deathstar_target_queue_length"], "2");
    assert_eq!(metrics["deathstar_target_in_service"], "1");

    // Those who leave keep their places, as in a real server.
    pending.shutdown().await;
    until(&target, |counts| counts.abandoned == 3).await;
    assert_eq!(client.get("/").await.0, 503);
    drop(client);
    let counts = in_time(target.stop()).await;
    assert_eq!((counts.received, counts.ok, counts.rejected, counts.abandoned), (5, 0, 2, 3));
}

#[tokio::test]
async fn the_share_of_errors_is_exact() {
    let target = start("--service 0s --errors 2.5% --body 10").await;
    let mut client = Http1::connect(target.address()).await;
    let mut statuses = BTreeMap::new();
    for _ in 0..1000 {
        *statuses.entry(client.get("/").await.0).or_insert(0) += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(200, 975), (500, 25)]));
    assert_eq!(target.counts().by_code(), [(200, 975), (500, 25), (503, 0), (504, 0)]);
}

#[tokio::test]
async fn it_serves_no_faster_than_its_capacity() {
    // 4 servers ÷ 10 ms = 400/s, asked by 32 clients that never pause.
    let target = start("--servers 4 --service 10ms").await;
    let address = target.address();
    let began = now();
    let mut clients = JoinSet::new();
    for _ in 0..32 {
        clients.spawn(async move {
            let mut client = Http1::connect(address).await;
            for _ in 0..20 {
                assert_eq!(client.get("/").await.0, 200);
            }
        });
    }
    in_time(clients.join_all()).await;
    // 640 jobs, 4 at a time, 10 ms each: the last departs at 1.6 s at the soonest.
    assert!(began.elapsed() >= Duration::from_millis(1600), "{:?}", began.elapsed());
    assert_eq!(target.counts().ok, 640);
}

#[tokio::test]
async fn late_timers_lower_no_capacity() {
    // One server ÷ 200 µs = 5,000/s. Were departures counted from wake-ups, a
    // timer of 1 ms would make these 5,000 requests take 5 s to 10 s.
    let target = start("--servers 1 --service 200us --body 0").await;
    let client = connect_http2(target.address()).await;
    let began = now();
    let mut requests = JoinSet::new();
    for _ in 0..5000 {
        let mut client = client.clone();
        let request = http2_request(target.address(), Method::GET);
        requests.spawn(async move { client.send_request(request).await.unwrap().status() });
    }
    let statuses = in_time(requests.join_all()).await;
    let took = began.elapsed();
    assert!(statuses.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(statuses.len(), 5000);
    assert!(took >= Duration::from_secs(1), "5,000 jobs of 200 µs took {took:?}");
    assert!(took < Duration::from_secs(4), "5,000 jobs of 200 µs took {took:?}");
}

#[tokio::test]
async fn a_stall_is_felt_by_a_client() {
    // A client that never pauses is caught by the stall of 300 ms within 1 ms
    // of its start, unless this machine slept then: a later one will do.
    let target = start("--servers 8 --service 1ms --stall 300ms --every 600ms").await;
    let mut client = Http1::connect(target.address()).await;
    in_time(async {
        loop {
            let sent = now();
            assert_eq!(client.get("/").await.0, 200);
            if sent.elapsed() >= Duration::from_millis(290) {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn http2_with_prior_knowledge() {
    let target = start("--body 100000").await;
    let mut client = connect_http2(target.address()).await;
    let response = in_time(client.send_request(http2_request(target.address(), Method::GET))).await.unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
    assert_eq!(read(response).await.len(), 100_000);
    let response = in_time(client.send_request(http2_request(target.address(), Method::HEAD))).await.unwrap();
    assert_eq!(response.headers()["content-length"], "100000");
    assert_eq!(read(response).await.len(), 0);
}

#[tokio::test]
async fn one_http1_connection_serves_many_requests() {
    let target = start("--body 10").await;
    let mut client = Http1::connect(target.address()).await;
    assert_eq!(client.get("/").await, (200, 10));
    let head = client.send(Method::HEAD, "/any/path?at=all", "").await;
    assert_eq!(
        (head.version(), head.headers()["content-length"].to_str().unwrap()),
        (Version::HTTP_11, "10")
    );
    assert_eq!(read(head).await.len(), 0);
    let post = client.send(Method::POST, "/", "seven b").await;
    assert_eq!((post.status(), read(post).await.len()), (StatusCode::OK, 10));
    assert_eq!(client.get("/healthz").await, (200, 3));
    assert_eq!(metrics(&mut client).await["deathstar_target_connections_total"], "1");
    let expected = Counts { received: 3, ok: 3, bytes_received: 7, bytes_sent: 20, ..Counts::default() };
    assert_eq!(target.counts(), expected);
}

#[tokio::test]
async fn a_body_may_be_empty_or_64_mebibytes() {
    for (words, size) in [("--body 0", 0), ("--body 64MiB", 67_108_864)] {
        let target = start(words).await;
        let mut client = Http1::connect(target.address()).await;
        let response = client.send(Method::GET, "/", "").await;
        assert_eq!(response.headers()["content-length"], size.to_string());
        let mut body = response.into_body();
        let mut received = 0;
        while let Some(frame) = in_time(body.frame()).await {
            received += frame.unwrap().into_data().unwrap().len() as u64;
        }
        assert_eq!((received, target.counts().bytes_sent), (size, size));
    }
}

/// Reads `/metrics`, and checks each line against the grammar of Prometheus'
/// text format.
async fn metrics(client: &mut Http1) -> BTreeMap<String, String> {
    let response = client.send(Method::GET, "/metrics", "").await;
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let page = String::from_utf8(read(response).await.to_vec()).unwrap();
    assert!(page.ends_with('\n'), "the last line must end, too");
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    let (mut helped, mut typed, mut samples) = (Vec::new(), Vec::new(), BTreeMap::new());
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !text.is_empty() && !helped.contains(&name), "{line}");
            helped.push(name);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(helped.last(), Some(&name), "{line}");
            assert!(["counter", "gauge"].contains(&kind) && !typed.contains(&name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            typed.push(name);
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "code=\"0\"}"));
            assert!(is_name(name), "{line}");
            assert_eq!(typed.last(), Some(&name), "samples follow their own type: {line}");
            let (label, text) = labels.strip_suffix("\"}").unwrap().split_once("=\"").unwrap();
            assert!(is_name(label) && !text.contains(['"', '\\']), "{line}");
            assert!(value == "+Inf" || value.parse::<f64>().unwrap().is_finite(), "{line}");
            assert!(samples.insert(series.to_owned(), value.to_owned()).is_none(), "twice: {line}");
        }
    }
    samples
}

#[tokio::test]
async fn metrics_count_what_clients_saw() {
    let target = start("--service 0s --errors 50% --queue 5 --body 2").await;
    let mut client = Http1::connect(target.address()).await;
    for _ in 0..6 {
        client.get("/").await;
    }
    // Asking for metrics counts as nothing.
    metrics(&mut client).await;
    let metrics = metrics(&mut client).await;
    for (name, value) in [
        ("deathstar_target_requests_total{code=\"200\"}", "3"),
        ("deathstar_target_requests_total{code=\"500\"}", "3"),
        ("deathstar_target_requests_total{code=\"503\"}", "0"),
        ("deathstar_target_received_total", "6"),
        ("deathstar_target_abandoned_total", "0"),
        ("deathstar_target_queue_length", "0"),
        ("deathstar_target_in_service", "0"),
        ("deathstar_target_capacity_per_second", "+Inf"),
    ] {
        assert_eq!(metrics[name], value, "{name}");
    }
    let number = |name: &str| metrics[name].parse::<f64>().unwrap();
    assert!(number("process_cpu_seconds_total") > 0.0);
    if cfg!(target_os = "linux") {
        assert!(number("process_resident_memory_bytes") > 1e6);
        assert!(number("process_open_fds") >= 4.0, "standard streams and the listener at least");
        assert!(number("process_max_fds") >= number("process_open_fds"));
        let since_the_epoch = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let age = since_the_epoch - number("process_start_time_seconds");
        // The boot time is in whole seconds.
        assert!((-1.5..3600.0).contains(&age), "started {age} s ago");
    }
}

#[tokio::test]
async fn a_taken_port_is_refused_and_a_stopped_target_frees_its_own() {
    let first = start("").await;
    let port = first.address().port();
    let again = format!("--port {port}");
    let refused = Target::start(config(&again)).await;
    assert!(matches!(&refused, Err(TargetError::Bind { port: taken, .. }) if *taken == port));
    assert_eq!(Http1::connect(first.address()).await.get("/").await.0, 200);
    in_time(first.stop()).await;
    let second = start(&again).await;
    assert_eq!(Http1::connect(second.address()).await.get("/").await.0, 200);
    // Dropped rather than stopped, it frees its port, too.
    drop(second);
    in_time(async {
        while TcpListener::bind(("127.0.0.1", port)).is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn stop_lets_a_request_finish_but_does_not_wait_for_ever() {
    let target = start("--servers 1 --service 200ms").await;
    let mut client = Http1::connect(target.address()).await;
    let request = tokio::spawn(async move { client.get("/").await.0 });
    until(&target, |counts| counts.received == 1).await;
    assert_eq!(in_time(target.stop()).await.ok, 1);
    assert_eq!(in_time(request).await.unwrap(), 200);

    let target = start("--servers 1 --service 1h").await;
    let mut client = Http1::connect(target.address()).await;
    let refusal = tokio::spawn(async move {
        let request = Request::get("/").header("host", "target").body(Full::default()).unwrap();
        client.0.send_request(request).await.is_err()
    });
    until(&target, |counts| counts.received == 1).await;
    let counts = in_time(target.stop()).await;
    assert_eq!((counts.ok, counts.abandoned), (0, 1));
    assert!(in_time(refusal).await.unwrap(), "its connection was closed");
}

#[test]
fn a_target_runs_on_a_thread_of_its_own() {
    let target = target::spawn_on_thread(config("--service 1ms --body 5")).unwrap();
    let address = target.address();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: target\r\nconnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("\r\n\r\nxxxxx"), "{response}");
    assert_eq!(target.counts().ok, 1);
    // A second on the same port says why not, from its thread to here.
    let taken = target::spawn_on_thread(config(&format!("--port {}", address.port())));
    assert!(matches!(taken, Err(TargetError::Bind { .. })));
    drop(target);
    assert!(TcpListener::bind(address).is_ok(), "dropping it waits until the port is free");
}
