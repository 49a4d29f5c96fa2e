//! The transport of our own, for HTTP/1.1 in the clear and over TLS.
//!
//! It does what a load needs and nothing besides: a request is bytes that were
//! made once, a response is read for its status and its end, and a request on a
//! kept connection costs the kernel one send and one receive. Everything runs on
//! the worker's one thread and shares one read buffer.
//!
//! `wire` makes the bytes, [`framer`] finds the end of a response, `connection`
//! moves both over a socket, `host` knows where to connect to and `tls` whom to
//! trust. This file owns the connections: how many there may be, and which one
//! is next.
//!
//! Once a byte of a request was written, it is never sent again: a connection
//! that ends without a response has failed its request, as `reset`. Before that,
//! an idle connection is looked at, and another takes its place when it has ended.

mod chunked;
mod connection;
pub mod framer;
mod host;
mod tls;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use deathstar_statemachine::config::Request;
use deathstar_statemachine::window::ErrorClass;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use url::Host as UrlHost;

use super::{Call, Reply, Transport, TransportError, wire};
use crate::clock;
use connection::Connection;
use host::{Host, NoConnection};

pub use host::ADDRESSES_LAST;

/// How much is read at once.
const READ_BUFFER: usize = 64 * 1024;

/// How long a connection may take to open before the load begins.
const WARM_UP: Duration = Duration::from_secs(5);

/// A connection that counts, until it is dropped.
#[derive(Debug)]
struct Open(Rc<Cell<u32>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Sends requests over at most so many connections of its own.
pub struct Fast {
    /// The most connections, in use and idle.
    most: u32,
    /// Connections that are open, or being opened.
    open: Rc<Cell<u32>>,
    origins: RefCell<Vec<Rc<Origin>>>,
    hosts: RefCell<HashMap<String, Rc<Host>>>,
    /// Set up for the first request that needs it.
    tls: OnceCell<Arc<ClientConfig>>,
    roots: Vec<CertificateDer<'static>>,
    /// Borrowed within one poll only.
    buffer: RefCell<Box<[u8]>>,
}

/// A request as the bytes that go out, and where to. It may hold secrets, so it
/// shows only its size.
pub struct FastRequest {
    bytes: Box<[u8]>,
    origin: Rc<Origin>,
    /// Whether its response has no body, whatever it says.
    bodiless: bool,
}

/// Where a connection leads: whatever has the same scheme, host and port shares it.
#[derive(Debug)]
struct Origin {
    host: Rc<Host>,
    host_name: String,
    port: u16,
    /// For TLS: the name to verify.
    name: Option<ServerName<'static>>,
    /// The last one used is the next one used, so that few are in use and those
    /// stay warm.
    idle: RefCell<VecDeque<Box<Connection>>>,
}

impl fmt::Debug for Fast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fast").field("origins", &self.origins.borrow().len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for FastRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FastRequest").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Fast {
    /// A transport with at most `connections` connections.
    #[must_use]
    pub fn new(connections: u32) -> Self {
        Self::trusting(connections, Vec::new())
    }

    /// One that trusts these certificates besides what the machine trusts.
    #[must_use]
    pub fn trusting(connections: u32, roots: Vec<CertificateDer<'static>>) -> Self {
        Self {
            most: connections,
            open: Rc::default(),
            origins: RefCell::default(),
            hosts: RefCell::default(),
            tls: OnceCell::new(),
            roots,
            buffer: RefCell::new(vec![0; READ_BUFFER].into_boxed_slice()),
        }
    }

    /// The origin of a URL; the same one for all URLs that have it.
    fn origin(&self, url: &url::Url) -> Result<Rc<Origin>, String> {
        let secure = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(format!("{other}:// is not HTTP")),
        };
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err("the URL names no host".to_owned());
        };
        let host_name = host.to_string();
        let is_same = |origin: &&Rc<Origin>| {
            origin.host_name == host_name && origin.port == port && origin.name.is_some() == secure
        };
        if let Some(origin) = self.origins.borrow().iter().find(is_same) {
            return Ok(Rc::clone(origin));
        }
        let name = if secure { Some(self.server_name(&host)?) } else { None };
        let known = self.hosts.borrow().get(&host_name).map(Rc::clone);
        let host = known.unwrap_or_else(|| {
            Rc::new(match host {
                UrlHost::Domain(name) => Host::named(name),
                UrlHost::Ipv4(address) => Host::at(address.into()),
                UrlHost::Ipv6(address) => Host::at(address.into()),
            })
        });
        self.hosts.borrow_mut().insert(host_name.clone(), Rc::clone(&host));
        let origin = Rc::new(Origin { host, host_name, port, name, idle: RefCell::default() });
        self.origins.borrow_mut().push(Rc::clone(&origin));
        Ok(origin)
    }

    /// The name to verify, once TLS is set up.
    fn server_name(&self, host: &UrlHost<&str>) -> Result<ServerName<'static>, String> {
        if self.tls.get().is_none() {
            let config = tls::config(&self.roots).map_err(|error| error.to_string())?;
            self.tls.get_or_init(|| config);
        }
        match host {
            UrlHost::Domain(name) => ServerName::try_from((*name).to_owned())
                .map_err(|_| format!("{name:?} is no name that a certificate can have")),
            UrlHost::Ipv4(address) => Ok(ServerName::from(std::net::IpAddr::from(*address))),
            UrlHost::Ipv6(address) => Ok(ServerName::from(std::net::IpAddr::from(*address))),
        }
    }

    /// The idle connection of an origin that was used last and is still good.
    fn idle_connection(&self, origin: &Origin) -> Option<Box<Connection>> {
        loop {
            let mut connection = origin.idle.borrow_mut().pop_back()?;
            if connection.is_quiet(&mut self.buffer.borrow_mut()) {
                return Some(connection);
            }
        }
    }

    /// Room for one connection more. When there are as many as there may be, an idle
    /// one of another origin is closed, the longest idle.
    fn room(&self) -> Option<Open> {
        while self.open.get() >= self.most {
            let idle = self.origins.borrow().iter().find_map(|origin| origin.idle.borrow_mut().pop_front());
            drop(idle?);
        }
        self.open.set(self.open.get() + 1);
        Some(Open(Rc::clone(&self.open)))
    }

    /// Opens a connection, and notes how long that took.
    async fn open(
        &self,
        origin: &Origin,
        call: &Call,
        deadline: Instant,
    ) -> Result<Box<Connection>, NoConnection> {
        let open = self.room().ok_or(NoConnection::NoSocket)?;
        let (stream, began) = origin.host.connect(origin.port, deadline).await?;
        let connected = clock::monotonic();
        call.mark_connected(connected.saturating_duration_since(began));
        // Only a socket that is gone refuses; the write that follows will tell.
        let _ = stream.set_nodelay(true);
        let connection = match (&origin.name, self.tls.get()) {
            (Some(name), Some(config)) => {
                let tls = TlsConnector::from(Arc::clone(config));
                // On the heap, since it is large, and those that open a connection without it
                // are many at once.
                let handshake = Box::pin(tls.connect(name.clone(), stream));
                let stream = handshake.await.map_err(|error| {
                    NoConnection::Failed(match connection::class_of(&error, false) {
                        ErrorClass::Protocol => ErrorClass::Refused,
                        class => class,
                    })
                })?;
                call.mark_secured(clock::monotonic().saturating_duration_since(connected));
                Connection::tls(stream, open, deadline)
            }
            _ => Connection::plain(stream, open, deadline),
        };
        Ok(Box::new(connection))
    }
}

impl Transport for Fast {
    type Prepared = FastRequest;

    fn prepare(&self, request: &Request) -> Result<FastRequest, TransportError> {
        let origin = self
            .origin(&request.url)
            .map_err(|why| TransportError { what: format!("request {:?}", request.name), why })?;
        let bytes = wire::bytes_of(request).into_boxed_slice();
        Ok(FastRequest { bytes, origin, bodiless: request.method == "HEAD" })
    }

    async fn warm_up(&self, request: &FastRequest) {
        let call = Call::new(WARM_UP);
        let deadline = clock::monotonic() + call.timeout();
        // Why one cannot be opened is for the request to tell that needs it.
        if let Ok(Ok(connection)) = timeout_at(deadline, self.open(&request.origin, &call, deadline)).await {
            request.origin.idle.borrow_mut().push_back(connection);
        }
    }

    async fn exchange(&self, request: &FastRequest, call: &Call) -> Reply {
        let sent = call.given();
        let deadline = sent + call.timeout();
        let mut connection = if let Some(connection) = self.idle_connection(&request.origin) {
            connection
        } else {
            call.mark_sent(sent, 0);
            // On the heap, since few requests need it.
            let opening = Box::pin(self.open(&request.origin, call, deadline));
            match timeout_at(deadline, opening).await {
                Ok(Ok(connection)) => connection,
                Ok(Err(NoConnection::NoSocket)) => return Reply::NotSent,
                Ok(Err(NoConnection::Failed(class))) => return Reply::Failed { class, status: None },
                // Opening has the same deadline, and may be the first to see it pass.
                Ok(Err(NoConnection::TimedOut)) | Err(_) => return Reply::TimedOut,
            }
        };
        call.mark_sent(sent, request.bytes.len() as u64);
        connection.begin(request.bodiless);
        let reply = poll_fn(|context| {
            let mut buffer = self.buffer.borrow_mut();
            connection.poll_exchange(context, &request.bytes, call, deadline, &mut buffer)
        })
        .await;
        if connection.is_reusable() {
            request.origin.idle.borrow_mut().push_back(connection);
        }
        reply
    }
}
