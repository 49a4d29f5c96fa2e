//! Port: send one request.
//!
//! A transport owns connections and nothing else. It never schedules, never
//! records, never judges a response, and never sends anything twice. The
//! engine owns all of that, so every transport yields the same numbers.

pub mod auto;
mod cookies;
pub mod fast;
pub mod rich;
mod wire;

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use deathstar_statemachine::config::Request;
use deathstar_statemachine::window::ErrorClass;
use thiserror::Error;
use tokio::time::Instant;

use crate::clock;
pub use cookies::Jar;

/// What is known of a request under way. It outlives the exchange, so that a
/// request that is cut off still says what it did.
#[derive(Debug)]
pub struct Call {
    timeout: Duration,
    jar: Option<Rc<Jar>>,
    given: Cell<Option<Instant>>,
    sent: Cell<Option<Instant>>,
    connect: Cell<Option<Duration>>,
    tls: Cell<Option<Duration>>,
    redirects: Cell<u32>,
    bytes_sent: Cell<u64>,
    /// Those of the last request alone, which may be one that a redirect led to.
    bytes_last: Cell<u64>,
    bytes_received: Cell<u64>,
}

impl Call {
    /// A request that may take `timeout` from when it is sent.
    #[must_use]
    pub const fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            jar: None,
            given: Cell::new(None),
            sent: Cell::new(None),
            connect: Cell::new(None),
            tls: Cell::new(None),
            redirects: Cell::new(0),
            bytes_sent: Cell::new(0),
            bytes_last: Cell::new(0),
            bytes_received: Cell::new(0),
        }
    }

    /// The same of a caller who has cookies; without it, of a caller of its own.
    #[must_use]
    pub fn of(mut self, jar: Option<Rc<Jar>>) -> Self {
        self.jar = jar;
        self
    }

    /// The cookies of its caller.
    #[must_use]
    pub fn jar(&self) -> Option<&Jar> {
        self.jar.as_deref()
    }

    /// How long it may take.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Notes that the request is given to a transport at `now`.
    pub fn give(&self, now: Instant) {
        self.given.set(Some(now));
    }

    /// When it was given to the transport: now, if nobody noted it. A look at the clock
    /// costs as much as counting the request.
    #[must_use]
    pub fn given(&self) -> Instant {
        self.given.get().unwrap_or_else(clock::monotonic)
    }

    /// Notes that the request was handed to a connection at `now`: to a kept one,
    /// just before its first byte is given to the kernel; to a new one, just before
    /// that is opened. Service time counts from here, so it holds what a caller pays
    /// a target that takes long to accept, and a failure to connect counts from the
    /// same instant as an answer. What of it was spent on opening is noted beside it
    /// ([`Self::mark_connected`], [`Self::mark_secured`]).
    pub fn mark_sent(&self, now: Instant, bytes: u64) {
        self.sent.set(Some(now));
        self.bytes_sent.set(bytes);
        self.bytes_last.set(bytes);
    }

    /// Notes that another request of so many bytes is given to a connection, since the
    /// answer to the last one led on to it.
    pub fn mark_redirected(&self, bytes: u64) {
        self.redirects.set(self.redirects.get() + 1);
        self.bytes_sent.set(self.bytes_sent.get() + bytes);
        self.bytes_last.set(bytes);
    }

    /// Notes that no connection came about, so nothing of the last request left.
    pub fn mark_unwritten(&self) {
        self.redirects.set(self.redirects.get().saturating_sub(1));
        self.bytes_sent.set(self.bytes_sent.get() - self.bytes_last.take());
    }

    /// Notes how long the connection took to open that had to be opened for this
    /// request: from the first packet to an address until it accepted. The look-up of
    /// that address is not in it.
    pub fn mark_connected(&self, took: Duration) {
        self.connect.set(Some(took));
    }

    /// Notes how long TLS took on the new connection, once that had been opened.
    pub fn mark_secured(&self, took: Duration) {
        self.tls.set(Some(took));
    }

    /// Notes bytes of the response's body.
    pub fn mark_received(&self, bytes: u64) {
        self.bytes_received.set(self.bytes_received.get() + bytes);
    }

    /// When it was handed to a connection; nothing when it never was.
    #[must_use]
    pub const fn sent(&self) -> Option<Instant> {
        self.sent.get()
    }

    /// How long opening its connection took; nothing when it was kept from before, or
    /// when the transport cannot tell.
    #[must_use]
    pub const fn connect(&self) -> Option<Duration> {
        self.connect.get()
    }

    /// How long TLS took on it, likewise.
    #[must_use]
    pub const fn tls(&self) -> Option<Duration> {
        self.tls.get()
    }

    /// How many requests redirects led to.
    #[must_use]
    pub const fn redirects(&self) -> u32 {
        self.redirects.get()
    }

    /// Bytes of the request, head and body, and of those that redirects led to.
    #[must_use]
    pub const fn bytes_sent(&self) -> u64 {
        self.bytes_sent.get()
    }

    /// Bytes of bodies of responses so far.
    #[must_use]
    pub const fn bytes_received(&self) -> u64 {
        self.bytes_received.get()
    }
}

/// How an exchange ended, before anyone judged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// A whole response.
    Response {
        /// The HTTP status.
        status: u16,
    },
    /// No whole response.
    Failed {
        /// Why.
        class: ErrorClass,
        /// The HTTP status, when a head had arrived.
        status: Option<u16>,
    },
    /// The timeout passed after it was sent.
    TimedOut,
    /// This machine has no socket left; nothing was sent, or not where a redirect led.
    NotSent,
}

/// Why a transport cannot be set up, or cannot make a request.
#[derive(Debug, Error)]
#[error("{what}: {why}")]
pub struct TransportError {
    /// What could not be done.
    pub what: String,
    /// What the layer below said.
    pub why: String,
}

/// Sends requests over connections of its own: one for each exchange under way. How
/// many of those there may be is the caller's to say.
pub trait Transport {
    /// A request compiled once, to be sent many times.
    type Prepared;

    /// Compiles a request.
    ///
    /// # Errors
    /// When this transport cannot send such a request.
    fn prepare(&self, request: &Request) -> Result<Self::Prepared, TransportError>;

    /// Opens a connection for a request to come, if this transport can and the target
    /// lets it. Dropping the future ends it.
    fn warm_up(&self, _request: &Self::Prepared) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// Sends one request and reads the whole response. Dropping the future cuts
    /// the request off.
    fn exchange(&self, request: &Self::Prepared, call: &Call) -> impl Future<Output = Reply>;
}
