//! The transport over reqwest: everything HTTP offers, at reqwest's cost.
//!
//! Whatever reqwest would do behind our back is off: redirects, retries,
//! proxies from the environment, decompression, a version of HTTP that TLS happens to
//! offer. A request goes out once, to where the config says and as it says, and its
//! response is counted as it came.
//!
//! Over HTTP/2 all requests of a worker to a host share one connection, each on a
//! stream of its own; what the target's limit on streams keeps waiting, waits in its
//! service time. Bytes of heads are counted as HTTP/1.1 would write them, since how
//! small HTTP/2 packs them depends on what went before.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use deathstar_statemachine::config::{HttpVersion, Request};
use deathstar_statemachine::window::ErrorClass;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use tokio::time::timeout;

use super::{Call, Reply, Transport, TransportError, wire};

/// Sends requests with reqwest.
#[derive(Debug)]
pub struct Rich {
    roots: Vec<reqwest::Certificate>,
    /// Each is made for the first request that needs it, since that takes milliseconds.
    http1: OnceLock<reqwest::Client>,
    http2: OnceLock<reqwest::Client>,
}

/// A request that reqwest has parsed, who sends it, and its size on the wire. It may
/// hold secrets, so it shows only its size.
pub struct RichRequest {
    client: reqwest::Client,
    template: reqwest::Request,
    bytes: u64,
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
        Self { roots: roots.collect(), http1: OnceLock::new(), http2: OnceLock::new() }
    }

    /// What sends requests of a version.
    fn client(&self, version: HttpVersion) -> Result<reqwest::Client, TransportError> {
        let made = match version {
            HttpVersion::Http1 => &self.http1,
            HttpVersion::Http2 => &self.http2,
        };
        if let Some(client) = made.get() {
            return Ok(client.clone());
        }
        let builder = reqwest::Client::builder()
            .tls_certs_merge(self.roots.clone())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .user_agent(wire::USER_AGENT)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(SystemResolver));
        let builder = match version {
            HttpVersion::Http1 => builder.http1_only(),
            HttpVersion::Http2 => builder.http2_prior_knowledge(),
        };
        let client = builder.build().map_err(|error| TransportError {
            what: "the HTTP client cannot start".to_owned(),
            why: chain(&error),
        })?;
        Ok(made.get_or_init(|| client).clone())
    }
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
        let client = self.client(request.version)?;
        let mut builder = client.request(method, request.url.clone()).headers(headers);
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        }
        // The URL may hold a secret.
        let template = builder.build().map_err(|error| refused(chain(&error.without_url())))?;
        Ok(RichRequest { client, bytes: wire::bytes_of(request).len() as u64, template })
    }

    async fn exchange(&self, request: &RichRequest, call: &Call) -> Reply {
        call.mark_sent(call.given(), request.bytes);
        timeout(call.timeout(), request.attempt(call)).await.unwrap_or(Reply::TimedOut)
    }
}

impl RichRequest {
    async fn attempt(&self, call: &Call) -> Reply {
        let Some(request) = self.template.try_clone() else {
            // Only streamed bodies cannot be cloned, and none is built above.
            return Reply::NotSent;
        };
        let mut response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) if is_out_of_descriptors(&error) => return Reply::NotSent,
            Err(error) => {
                if error.is_connect() {
                    call.mark_unwritten();
                }
                return Reply::Failed { class: class_of(&error, false), status: None };
            }
        };
        let status = response.status().as_u16();
        loop {
            match response.chunk().await {
                Ok(Some(bytes)) => call.mark_received(bytes.len() as u64),
                Ok(None) => return Reply::Response { status },
                Err(error) => return Reply::Failed { class: class_of(&error, true), status: Some(status) },
            }
        }
    }
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
            // Of the connection below it an error shows no layer of its own.
            let broke = error.get_io().map(io::Error::kind);
            return match broke {
                Some(io::ErrorKind::UnexpectedEof) if in_body => ErrorClass::Body,
                None if !error.is_remote() => ErrorClass::Protocol,
                _ => ErrorClass::Reset,
            };
        }
        if let Some(error) = layer.downcast_ref::<hyper::Error>() {
            if in_body {
                // A reset is found in a layer further down.
                continue;
            }
            if error.is_parse() {
                return ErrorClass::Protocol;
            }
            if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
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
