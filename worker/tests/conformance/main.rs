//! Both transports against one server, which does what a script says: what they
//! report must be the same, to the class and to the byte.
//!
//! Where reqwest differs and may, the test names the difference and why.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod codings;
mod connections;
mod cookies;
mod faults;
mod framing;
mod http2;
mod laws;
mod proxies;
mod redirects;
mod server;
mod split;
mod tls;

use std::future::Future;
use std::time::Duration;

use deathstar_statemachine::config::{Config, Request};
use deathstar_statemachine::window::ErrorClass;
use deathstar_worker::transport::fast::Fast;
use deathstar_worker::transport::rich::Rich;
use deathstar_worker::transport::{Call, Reply, Transport};
use tokio::task::LocalSet;

use server::{Do, Server, settle};

/// What came of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    reply: Reply,
    sent: u64,
    received: u64,
}

/// What came of the requests that one transport sent to a server of its own.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    seen: Vec<Seen>,
    /// Connections that the server accepted.
    accepted: usize,
    /// Whole requests that it read.
    read: usize,
}

/// Long enough for whatever is not about time.
const LONG: Duration = Duration::from_secs(20);

/// Runs a test on one thread, as a worker does.
fn on_one_thread<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

/// As [`on_one_thread`], under a clock that jumps to the next timer whenever
/// nobody has anything to do.
fn on_a_paused_clock<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

/// The request of a config whose one attack has these fields.
fn request(fields: &str) -> Request {
    let text = format!("name: t\nattacks:\n  - name: a\n    rate: 1/s\n    duration: 1s\n{fields}");
    let config = Config::from_text(&text, |_| Err(String::new())).unwrap();
    config.attacks()[0].requests[0].clone()
}

fn get(server: &Server) -> Request {
    request(&format!("    url: http://{}/path?query=1\n", server.address))
}

async fn exchange<T: Transport>(transport: &T, request: &Request, timeout: Duration) -> Seen {
    let prepared = transport.prepare(request).unwrap();
    let call = Call::new(timeout);
    let reply = transport.exchange(&prepared, &call).await;
    Seen { reply, sent: call.bytes_sent(), received: call.bytes_received() }
}

/// Sends `count` requests, one after another, to a new server.
async fn run<T: Transport>(
    transport: &T,
    scripts: Vec<Vec<Do>>,
    count: usize,
    timeout: Duration,
    make: impl Fn(&Server) -> Request,
) -> Ran {
    let server = Server::start(scripts).await;
    let request = make(&server);
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(exchange(transport, &request, timeout).await);
        settle().await;
    }
    let requests = server.requests();
    for (seen, request) in seen.iter().zip(&requests) {
        // To a server that spoke HTTP/1.0 before, reqwest says it for itself; it is
        // not ours to know, and not counted.
        let unasked = "connection: keep-alive\r\n";
        let unasked = if String::from_utf8_lossy(request).contains(unasked) { unasked.len() } else { 0 };
        assert_eq!(seen.sent, (request.len() - unasked) as u64, "as many bytes as the server read");
    }
    Ran { seen, accepted: server.accepted(), read: requests.len() }
}

/// Both transports.
struct Both {
    fast: Fast,
    rich: Rich,
}

impl Both {
    fn new() -> Self {
        Self { fast: Fast::new(1000), rich: Rich::new() }
    }

    /// What both agree on.
    async fn agree(&self, scripts: Vec<Vec<Do>>, count: usize, timeout: Duration, what: &str) -> Ran {
        let fast = run(&self.fast, scripts.clone(), count, timeout, get).await;
        let rich = run(&self.rich, scripts, count, timeout, get).await;
        assert_eq!(fast, rich, "fast and rich differ: {what}");
        fast
    }
}

fn write(text: &str) -> Do {
    Do::Write(text.as_bytes().to_vec())
}

fn ok(status: u16) -> Reply {
    Reply::Response { status }
}

fn failed(class: ErrorClass, status: Option<u16>) -> Reply {
    Reply::Failed { class, status }
}
