//! A request as the bytes that go out in HTTP/1.1.

use deathstar_statemachine::config::Request;

/// What we call ourselves, unless a request sets its own `user-agent`.
pub(super) const USER_AGENT: &str = concat!("deathstar/", env!("CARGO_PKG_VERSION"));

/// What every request says unless it says something else itself.
const DEFAULTS: [(&str, &str); 2] = [("accept", "*/*"), ("user-agent", USER_AGENT)];

/// Head and body in one piece, made once and written as often as it is sent.
///
/// One piece rather than several, because nothing in a request varies from one
/// sending to the next, and one piece leaves in one call of the kernel. A
/// length goes with every body, and with none where there is no body: what
/// reqwest sends, too, so that both transports send the same bytes but for the
/// order of headers.
pub(super) fn bytes_of(request: &Request) -> Vec<u8> {
    let url = &request.url;
    let says = |name: &str| request.headers.iter().any(|(header, _)| header == name);
    let mut bytes = Vec::with_capacity(256 + request.body.len());
    let mut push = |parts: &[&str]| parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
    push(&[&request.method, " ", url.path()]);
    if let Some(query) = url.query() {
        push(&["?", query]);
    }
    push(&[" HTTP/1.1\r\n"]);
    if !says("host") {
        push(&["host: ", url.host_str().unwrap_or_default()]);
        // Without the scheme's own port, which the URL leaves out.
        if let Some(port) = url.port() {
            push(&[":", &port.to_string()]);
        }
        push(&["\r\n"]);
    }
    let defaults = DEFAULTS.into_iter().filter(|(name, _)| !says(name));
    let own = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in defaults.chain(own) {
        push(&[name, ": ", value, "\r\n"]);
    }
    if !request.body.is_empty() {
        push(&["content-length: ", &request.body.len().to_string(), "\r\n"]);
    }
    push(&["\r\n"]);
    bytes.extend_from_slice(&request.body);
    bytes
}
