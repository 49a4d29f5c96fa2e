//! The transport over reqwest: everything HTTP offers, at reqwest's cost.
//!
//! Whatever reqwest would do behind our back is off: redirects, retries,
//! proxies from the environment, decompression, a version of HTTP that TLS happens to
//! offer. A request goes out once, to where the config says and as it says, and its
//! response is counted as it came.
//!
//! Over HTTP/2 all requests of a worker to a host share one connection, each on a
//! stream of its own, which the first one opens for all (`rich/gate.rs`); what the target's limit
//! on streams keeps waiting, waits in its service time. Bytes of heads are counted as HTTP/1.1 would write them, since how
//! small HTTP/2 packs them depends on what went before.

mod gate;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use deathstar_statemachine::config::{HttpVersion, Request};
use deathstar_statemachine::window::ErrorClass;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use tokio::time::timeout;

use self::gate::{Gate, Opens, Pass};
use super::{Call, Reply, Transport, TransportError, wire};

/// Sends requests with reqwest.
#[derive(Debug)]
pub struct Rich {
    roots: Vec<reqwest::Certificate>,
    /// Made for the first request that needs it, since that takes milliseconds.
    http1: OnceLock<reqwest::Client>,
    /// By origin: each has a connection of its own.
    http2: Mutex<HashMap<String, Http2>>,
}

/// What sends over HTTP/2 to one host.
#[derive(Debug, Clone)]
struct Http2 {
    client: reqwest::Client,
    gate: Arc<Gate>,
}

/// A request that reqwest has parsed, who sends it, and its size on the wire. It may
/// hold secrets, so it shows only its size.
pub struct RichRequest {
    client: reqwest::Client,
    /// Where it waits for a connection; over HTTP/1.1 each has its own.
    gate: Option<Arc<Gate>>,
    template: reqwest::Request,
    bytes: u64,
}

/// Why nothing of a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsent {
    /// It could not connect.
    Failed(Reply),
    /// Another request was to connect for it, and did not.
    InVain,
}

impl fmt::Debug for RichRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RichRequest").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Rich {
    /// One that trusts what the machine trusts.
    #[must_use]
    pub fn new() -> Self {
        Self::trusting(&[])
    }

    /// One that trusts these certificates besides.
    #[must_use]
    pub fn trusting(roots: &[CertificateDer<'static>]) -> Self {
        let roots = roots.iter().filter_map(|root| reqwest::Certificate::from_der(root).ok());
        Self { roots: roots.collect(), http1: OnceLock::new(), http2: Mutex::default() }
    }

    fn http1(&self) -> Result<reqwest::Client, TransportError> {
        if let Some(client) = self.http1.get() {
            return Ok(client.clone());
        }
        let client = made(self.builder().http1_only())?;
        Ok(self.http1.get_or_init(|| client).clone())
    }

    fn http2(&self, origin: String) -> Result<Http2, TransportError> {
        // Nothing panics while it is held.
        let mut all = self.http2.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(http2) = all.get(&origin) {
            return Ok(http2.clone());
        }
        let gate = Arc::<Gate>::default();
        let opens = Opens(Arc::clone(&gate));
        let client = made(self.builder().http2_prior_knowledge().connector_layer(opens))?;
        Ok(all.entry(origin).or_insert(Http2 { client, gate }).clone())
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .tls_certs_merge(self.roots.clone())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .user_agent(wire::USER_AGENT)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(SystemResolver))
    }
}

fn made(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, TransportError> {
    builder.build().map_err(|error| TransportError {
        what: "the HTTP client cannot start".to_owned(),
        why: chain(&error),
    })
}

impl Default for Rich {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for Rich {
    type Prepared = RichRequest;

    fn prepare(&self, request: &Request) -> Result<RichRequest, TransportError> {
        let refused = |why: String| TransportError { what: format!("request {:?}", request.name), why };
        let method: reqwest::Method =
            request.method.parse().map_err(|_| refused(format!("{:?} is no method", request.method)))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let name: HeaderName =
                name.parse().map_err(|_| refused(format!("{name:?} is no header name")))?;
            let value: HeaderValue =
                value.parse().map_err(|_| refused(format!("header {name} has a bad value")))?;
            headers.append(name, value);
        }
        let (client, gate) = match request.version {
            HttpVersion::Http1 => (self.http1()?, None),
            HttpVersion::Http2 => {
                let Http2 { client, gate } = self.http2(request.url.origin().ascii_serialization())?;
                (client, Some(gate))
            }
        };
        let mut builder = client.request(method, request.url.clone()).headers(headers);
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        }
        // The URL may hold a secret.
        let template = builder.build().map_err(|error| refused(chain(&error.without_url())))?;
        Ok(RichRequest { client, gate, bytes: wire::bytes_of(request).len() as u64, template })
    }

    async fn exchange(&self, request: &RichRequest, call: &Call) -> Reply {
        call.mark_sent(call.given(), 0);
        timeout(call.timeout(), request.attempt(call)).await.unwrap_or(Reply::TimedOut)
    }
}

impl RichRequest {
    async fn attempt(&self, call: &Call) -> Reply {
        let Some(gate) = &self.gate else {
            return self.send(call).await.unwrap_or_else(|unsent| match unsent {
                Unsent::Failed(reply) => reply,
                Unsent::InVain => Reply::Failed { class: ErrorClass::Refused, status: None },
            });
        };
        loop {
            let lead = match gate.pass().await {
                Pass::Open => None,
                Pass::Leads(lead) => Some(lead),
                Pass::Failed(reply) => return reply,
            };
            match (self.send(call).await, lead) {
                (Ok(reply), Some(_)) => {
                    gate.open();
                    return reply;
                }
                (Ok(reply), None) => return reply,
                (Err(Unsent::Failed(reply)), Some(lead)) => {
                    lead.failed(reply);
                    return reply;
                }
                (Err(Unsent::Failed(reply)), None) => {
                    gate.shut();
                    return reply;
                }
                // The connection had ended, and whoever was to open another one did not.
                // Nothing of this request has left.
                (Err(Unsent::InVain), _) => gate.shut(),
            }
            tokio::task::yield_now().await;
        }
    }

    /// Sends it and reads its response, or says why nothing of it left.
    async fn send(&self, call: &Call) -> Result<Reply, Unsent> {
        let Some(request) = self.template.try_clone() else {
            // Only streamed bodies cannot be cloned, and none is built above.
            return Err(Unsent::Failed(Reply::NotSent));
        };
        let is_head = request.method() == reqwest::Method::HEAD;
        call.mark_sent(call.given(), self.bytes);
        let mut response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) if is_out_of_descriptors(&error) => return Err(Unsent::Failed(Reply::NotSent)),
            Err(error) if error.is_connect() => {
                call.mark_unwritten();
                if is_in_vain(&error) {
                    return Err(Unsent::InVain);
                }
                let class = class_of(&error, false);
                return Err(Unsent::Failed(Reply::Failed { class, status: None }));
            }
            Err(error) => return Ok(Reply::Failed { class: class_of(&error, false), status: None }),
        };
        let status = response.status().as_u16();
        let announced = if is_head { None } else { announced(&response) };
        let mut received = 0;
        loop {
            match response.chunk().await {
                Ok(Some(bytes)) => {
                    received += bytes.len() as u64;
                    call.mark_received(bytes.len() as u64);
                }
                // A stream may end in good order, and its body too early.
                Ok(None) if announced.is_some_and(|announced| announced != received) => {
                    return Ok(Reply::Failed { class: ErrorClass::Body, status: Some(status) });
                }
                Ok(None) => return Ok(Reply::Response { status }),
                Err(error) => {
                    return Ok(Reply::Failed { class: class_of(&error, true), status: Some(status) });
                }
            }
        }
    }
}

/// How long the head of a response over HTTP/2 says that its body is. In HTTP/1.1 the
/// length is part of the framing, which hyper sees to.
fn announced(response: &reqwest::Response) -> Option<u64> {
    let has_body = !matches!(response.status().as_u16(), 204 | 304);
    if response.version() != reqwest::Version::HTTP_2 || !has_body {
        return None;
    }
    response.headers().get(reqwest::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Every layer of an error in one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Every error below `error` that says something of its own, errors hidden in
/// `io::Error` among them.
fn layers<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error = *error;
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            return Some(inner as &(dyn StdError + 'static));
        }
        error.source()
    })
}

/// Whether we ran out of file descriptors: our limit, not the target's failure.
fn is_out_of_descriptors(error: &reqwest::Error) -> bool {
    layers(error).filter_map(|error| error.downcast_ref::<io::Error>()).any(|error| {
        let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
        matches!(
            code,
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE | rustix::io::Errno::ADDRNOTAVAIL)
        )
    })
}

fn class_of(error: &reqwest::Error, in_body: bool) -> ErrorClass {
    for layer in layers(error) {
        if layer.is::<DnsError>() {
            return ErrorClass::Dns;
        }
        if layer.is::<rustls::Error>() {
            return ErrorClass::Tls;
        }
        if let Some(error) = layer.downcast_ref::<io::Error>() {
            match error.kind() {
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => {
                    return ErrorClass::Reset;
                }
                io::ErrorKind::UnexpectedEof if !in_body => return ErrorClass::Reset,
                _ => {}
            }
        }
        if let Some(error) = layer.downcast_ref::<h2::Error>() {
            return class_of_http2(error, in_body);
        }
        if let Some(error) = layer.downcast_ref::<hyper::Error>() {
            if in_body {
                // A reset is found in a layer further down.
                continue;
            }
            if error.is_parse() {
                return ErrorClass::Protocol;
            }
            // Of a request that waited for a stream when its connection ended, hyper says
            // that the user has gone.
            let ended = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
            if ended || error.is_user() {
                return ErrorClass::Reset;
            }
        }
    }
    if in_body {
        ErrorClass::Body
    } else if error.is_connect() {
        ErrorClass::Refused
    } else {
        ErrorClass::Protocol
    }
}

fn class_of_http2(error: &h2::Error, in_body: bool) -> ErrorClass {
    // Of the connection below it an error shows no layer of its own. To h2 one that
    // ends in good order is a broken pipe, too.
    match error.get_io().map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) if in_body => ErrorClass::Body,
        Some(_) => ErrorClass::Reset,
        None if error.is_remote() => ErrorClass::Reset,
        // h2 ends a connection on which too much has come of what had been given up.
        None if error.is_go_away() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) => {
            ErrorClass::Aborted
        }
        None => ErrorClass::Protocol,
    }
}

/// Whether an error to connect is that of another request, which says nothing of why:
/// the pool has no cause for it.
fn is_in_vain(error: &reqwest::Error) -> bool {
    !layers(error).any(|layer| {
        layer.is::<io::Error>()
            || layer.is::<DnsError>()
            || layer.is::<rustls::Error>()
            || layer.is::<hyper::Error>()
            || layer.is::<h2::Error>()
    })
}

/// A host name that could not be resolved.
#[derive(Debug, Error)]
#[error("the name {name:?} cannot be resolved")]
struct DnsError {
    name: String,
    source: io::Error,
}

/// The system's resolver, with an error that can be told from others.
#[derive(Debug)]
struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let addresses: Vec<_> =
                found.map_err(|source| DnsError { name: name.as_str().to_owned(), source })?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
