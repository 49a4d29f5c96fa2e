//! A request as the bytes that go out in HTTP/1.1.

use deathstar_statemachine::config::Request;
use url::Url;

/// What we call ourselves, unless a request sets its own `user-agent`.
pub(super) const USER_AGENT: &str = concat!("deathstar/", env!("CARGO_PKG_VERSION"));

/// What every request says unless it says something else itself.
const DEFAULTS: [(&str, &str); 2] = [("accept", "*/*"), ("user-agent", USER_AGENT)];

/// Head and body in one piece, made once and written as often as it is sent.
///
/// One piece rather than several, because nothing in a request varies from one
/// sending to the next, and one piece leaves in one call of the kernel.
pub(super) fn bytes_of(request: &Request) -> Vec<u8> {
    let own: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let mut bytes = head(&request.method, &request.url, Form::Origin, &own, request.body.len());
    bytes.extend_from_slice(&request.body);
    bytes
}

/// How the target stands in the first line. See
/// <https://www.rfc-editor.org/rfc/rfc9112#name-request-target>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The path, to the target itself.
    Origin,
    /// The whole URL, to a proxy.
    Absolute,
}

/// A length goes with every body, and with none where there is no body: what
/// reqwest sends, too, so that both transports send the same bytes but for the
/// order of headers.
pub(super) fn head(method: &str, url: &Url, form: Form, own: &[(&str, &[u8])], body: usize) -> Vec<u8> {
    let says = |name: &str| own.iter().any(|(header, _)| *header == name);
    let mut bytes = Vec::with_capacity(256);
    let mut push = |parts: &[&[u8]]| parts.iter().for_each(|part| bytes.extend_from_slice(part));
    let host = url.host_str().unwrap_or_default().as_bytes();
    // Without the scheme's own port, which the URL leaves out.
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    push(&[method.as_bytes(), b" "]);
    if form == Form::Absolute {
        push(&[url.scheme().as_bytes(), b"://", host, port.as_bytes()]);
    }
    push(&[url.path().as_bytes()]);
    if let Some(query) = url.query() {
        push(&[b"?", query.as_bytes()]);
    }
    push(&[b" HTTP/1.1\r\n"]);
    if !says("host") {
        push(&[b"host: ", host, port.as_bytes(), b"\r\n"]);
    }
    let defaults = DEFAULTS.into_iter().filter(|(name, _)| !says(name));
    for (name, value) in defaults.map(|(name, value)| (name, value.as_bytes())).chain(own.iter().copied()) {
        push(&[name.as_bytes(), b": ", value, b"\r\n"]);
    }
    if body > 0 {
        push(&[b"content-length: ", body.to_string().as_bytes(), b"\r\n"]);
    }
    push(&[b"\r\n"]);
    bytes
}
