//! The transport over reqwest: everything HTTP offers, at reqwest's cost.
//!
//! Whatever reqwest would do behind our back is off: redirects, retries,
//! proxies from the environment, decompression, a version of HTTP that TLS happens to
//! offer. A request goes out once, to where the config says and as it says, and its
//! response is counted as it came. What the config asks for is done here, where it is
//! counted: redirects are requests of their own (`rich/redirect.rs`), cookies are those
//! of one caller, and bytes of bodies are counted before they are decompressed
//! (`rich/decode.rs`).
//!
//! Over HTTP/2 all requests of a worker to a host share one connection, each on a
//! stream of its own, which the first one opens for all (`rich/gate.rs`); what the
//! target's limit on streams keeps waiting, waits in its service time. Bytes of heads
//! are counted as HTTP/1.1 would write them, since how small HTTP/2 packs them depends
//! on what went before.

mod decode;
mod error;
mod gate;
mod redirect;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use deathstar_statemachine::config::{Http, HttpVersion, Request};
use deathstar_statemachine::window::ErrorClass;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, COOKIE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;
use url::Url;

use self::decode::Decoder;
use self::error::DnsError;
use self::gate::{Gate, Opens, Pass};
use super::{Call, Jar, Reply, Transport, TransportError, wire};

/// Sends requests with reqwest.
#[derive(Debug)]
pub struct Rich {
    roots: Vec<reqwest::Certificate>,
    /// Each made for the first request that needs it, since that takes milliseconds.
    clients: Mutex<HashMap<Way, Client>>,
}

/// What decides which client sends a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Way {
    /// Over HTTP/2 each origin has a client, and with it a connection, of its own.
    http2_to: Option<String>,
    proxy: Option<Url>,
    /// What the proxy is told when it is asked for a tunnel.
    proxy_authorization: Option<HeaderValue>,
}

/// What sends requests.
#[derive(Debug, Clone)]
struct Client {
    reqwest: reqwest::Client,
    /// Where requests wait for a connection; over HTTP/1.1 each has its own.
    gate: Option<Arc<Gate>>,
}

/// A request that reqwest has parsed, who sends it, and its size on the wire. It may
/// hold secrets, so it shows only its size.
pub struct RichRequest {
    client: Client,
    template: reqwest::Request,
    bytes: u64,
    http: Http,
    /// The status that is an answer even where it leads elsewhere.
    expect_status: Option<u16>,
}

/// A request on its way: the one that was asked for, or one that a redirect led to.
struct Hop<'a> {
    /// Without the cookies of its caller.
    request: &'a reqwest::Request,
    bytes: u64,
    jar: Option<&'a Jar>,
    /// How many redirects led here.
    redirects: u32,
}

/// What came back.
struct Answer {
    reply: Reply,
    /// Where it says to go instead.
    location: Option<HeaderValue>,
}

/// Why nothing of a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsent {
    /// It could not connect.
    Failed(Reply),
    /// Another request was to connect for it, and did not.
    InVain,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, location: None }
    }
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
        Self { roots: roots.collect(), clients: Mutex::default() }
    }

    fn client(&self, way: Way) -> Result<Client, TransportError> {
        // Nothing panics while it is held.
        let mut all = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = all.get(&way) {
            return Ok(client.clone());
        }
        let mut builder = reqwest::Client::builder()
            .tls_certs_merge(self.roots.clone())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .user_agent(wire::USER_AGENT)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(SystemResolver));
        if let Some(proxy) = &way.proxy {
            let mut proxy = reqwest::Proxy::all(proxy.clone()).map_err(|error| cannot_start(&error))?;
            if let Some(authorization) = &way.proxy_authorization {
                proxy = proxy.custom_http_auth(authorization.clone());
            }
            builder = builder.proxy(proxy);
        }
        let gate = way.http2_to.is_some().then(Arc::<Gate>::default);
        builder = match &gate {
            None => builder.http1_only(),
            Some(gate) => builder.http2_prior_knowledge().connector_layer(Opens(Arc::clone(gate))),
        };
        let reqwest = builder.build().map_err(|error| cannot_start(&error))?;
        Ok(all.entry(way).or_insert(Client { reqwest, gate }).clone())
    }
}

fn cannot_start(error: &reqwest::Error) -> TransportError {
    TransportError { what: "the HTTP client cannot start".to_owned(), why: error::chain(error) }
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
        let http = request.http.clone();
        if http.decompress {
            headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static(decode::ACCEPTED));
        }
        let is_tunnelled = http.proxy.is_some() && request.url.scheme() == "https";
        // Inside the tunnel it would reach the target.
        let mut proxy_authorization = is_tunnelled.then(|| headers.remove(PROXY_AUTHORIZATION)).flatten();
        proxy_authorization.iter_mut().for_each(|value| value.set_sensitive(true));
        let client = self.client(Way {
            http2_to: (http.version == HttpVersion::Http2)
                .then(|| request.url.origin().ascii_serialization()),
            proxy: http.proxy.clone(),
            proxy_authorization,
        })?;
        let mut builder = client.reqwest.request(method, request.url.clone()).headers(headers);
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        }
        // The URL may hold a secret.
        let template = builder.build().map_err(|error| refused(error::chain(&error.without_url())))?;
        let bytes = bytes_of(&template, &http);
        Ok(RichRequest { client, template, bytes, http, expect_status: request.expect_status })
    }

    async fn exchange(&self, request: &RichRequest, call: &Call) -> Reply {
        call.mark_sent(call.given(), 0);
        timeout(call.timeout(), request.follow(call)).await.unwrap_or(Reply::TimedOut)
    }
}

/// How many bytes reqwest sends for a request, as HTTP/1.1 writes it.
fn bytes_of(request: &reqwest::Request, http: &Http) -> u64 {
    let url = request.url();
    let to_proxy = http.proxy.is_some() && url.scheme() == "http";
    let form = if to_proxy { wire::Form::Absolute } else { wire::Form::Origin };
    let headers: Vec<_> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default().len();
    (wire::head(request.method().as_str(), url, form, &headers, body).len() + body) as u64
}

impl RichRequest {
    /// Sends it, and then what its answers lead to.
    async fn follow(&self, call: &Call) -> Reply {
        let fresh = Jar::default();
        let jar = self.http.cookies.then(|| call.jar().unwrap_or(&fresh));
        let (mut led_to, mut redirects) = (None, 0);
        loop {
            let (request, bytes) = led_to
                .as_ref()
                .map_or((&self.template, self.bytes), |next| (next, bytes_of(next, &self.http)));
            let answer = self.attempt(&Hop { request, bytes, jar, redirects }, call).await;
            let (Reply::Response { status }, Some(location)) = (answer.reply, answer.location) else {
                return answer.reply;
            };
            if self.expect_status == Some(status) {
                return answer.reply;
            }
            let next = redirect::next(request, status, &location).filter(|_| redirects < self.http.redirects);
            if next.is_none() {
                return Reply::Failed { class: ErrorClass::Redirect, status: Some(status) };
            }
            led_to = next;
            redirects += 1;
        }
    }

    async fn attempt(&self, hop: &Hop<'_>, call: &Call) -> Answer {
        let Some(gate) = &self.client.gate else {
            return self.send(hop, call).await.unwrap_or_else(|unsent| match unsent {
                Unsent::Failed(reply) => reply.into(),
                Unsent::InVain => Reply::Failed { class: ErrorClass::Refused, status: None }.into(),
            });
        };
        loop {
            let lead = match gate.pass().await {
                Pass::Open => None,
                Pass::Leads(lead) => Some(lead),
                Pass::Failed(reply) => return reply.into(),
            };
            match (self.send(hop, call).await, lead) {
                (Ok(answer), Some(_)) => {
                    gate.open();
                    return answer;
                }
                (Ok(answer), None) => return answer,
                (Err(Unsent::Failed(reply)), Some(lead)) => {
                    lead.failed(reply);
                    return reply.into();
                }
                (Err(Unsent::Failed(reply)), None) => {
                    gate.shut();
                    return reply.into();
                }
                // The connection had ended, and whoever was to open another one did not.
                // Nothing of this request has left.
                (Err(Unsent::InVain), _) => gate.shut(),
            }
            tokio::task::yield_now().await;
        }
    }

    /// Sends it and reads its response, or says why nothing of it left.
    async fn send(&self, hop: &Hop<'_>, call: &Call) -> Result<Answer, Unsent> {
        let Some((request, bytes)) = outgoing(hop) else {
            // Only streamed bodies cannot be cloned, and none is built above.
            return Err(Unsent::Failed(Reply::NotSent));
        };
        let is_head = request.method() == reqwest::Method::HEAD;
        match hop.redirects {
            0 => call.mark_sent(call.given(), bytes),
            _ => call.mark_redirected(bytes),
        }
        let mut response = match self.client.reqwest.execute(request).await {
            Ok(response) => response,
            Err(error) if error::is_out_of_descriptors(&error) => {
                call.mark_unwritten();
                return Err(Unsent::Failed(Reply::NotSent));
            }
            // A place that can be written in a header, and not in a request.
            Err(error) if hop.redirects > 0 && error.is_builder() => {
                call.mark_unwritten();
                return Ok(Reply::Failed { class: ErrorClass::Redirect, status: None }.into());
            }
            Err(error) if error.is_connect() => {
                call.mark_unwritten();
                if error::is_in_vain(&error) {
                    return Err(Unsent::InVain);
                }
                let class = error::class_of(&error, false);
                return Err(Unsent::Failed(Reply::Failed { class, status: None }));
            }
            Err(error) => {
                return Ok(Reply::Failed { class: error::class_of(&error, false), status: None }.into());
            }
        };
        let status = response.status().as_u16();
        let failed = |class| Ok(Reply::Failed { class, status: Some(status) }.into());
        if let Some(jar) = hop.jar {
            jar.keep(response.headers(), hop.request.url());
        }
        let location =
            if self.http.redirects > 0 { redirect::location(status, response.headers()) } else { None };
        let mut decoder = if self.http.decompress { Decoder::of(response.headers()) } else { None };
        let mut is_readable = true;
        let announced = if is_head { None } else { announced(&response) };
        let mut received = 0;
        loop {
            match response.chunk().await {
                Ok(Some(bytes)) => {
                    received += bytes.len() as u64;
                    call.mark_received(bytes.len() as u64);
                    if let Some(undoing) = &mut decoder
                        && undoing.write(&bytes).await.is_err()
                    {
                        // What is left of it comes all the same, and counts.
                        (decoder, is_readable) = (None, false);
                    }
                }
                // A stream may end in good order, and its body too early.
                Ok(None) if announced.is_some_and(|announced| announced != received) => {
                    return failed(ErrorClass::Body);
                }
                Ok(None) => break,
                Err(error) => return failed(error::class_of(&error, true)),
            }
        }
        if let Some(decoder) = decoder {
            is_readable = decoder.finish().await.is_ok();
        }
        if !is_readable {
            return failed(ErrorClass::Body);
        }
        Ok(Answer { reply: Reply::Response { status }, location })
    }
}

/// A request as it leaves, and its size: with the cookies of its caller.
fn outgoing(hop: &Hop<'_>) -> Option<(reqwest::Request, u64)> {
    let mut request = hop.request.try_clone()?;
    let own = request.headers().get(COOKIE);
    let Some(cookies) = hop.jar.and_then(|jar| jar.header(own, request.url())) else {
        return Some((request, hop.bytes));
    };
    let added = match own {
        Some(own) => cookies.len() - own.len(),
        None => "cookie: \r\n".len() + cookies.len(),
    };
    request.headers_mut().insert(COOKIE, cookies);
    Some((request, hop.bytes + added as u64))
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
