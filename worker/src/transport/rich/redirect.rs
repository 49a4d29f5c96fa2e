//! Where a response leads to, if anywhere.
//! See <https://www.rfc-editor.org/rfc/rfc9110#name-redirection-3xx>.

use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
};
use reqwest::{Method, Request};

/// What a response says of where to go instead; nothing when it is no redirect.
pub(super) fn location(status: u16, headers: &HeaderMap) -> Option<HeaderValue> {
    matches!(status, 301 | 302 | 303 | 307 | 308).then(|| headers.get(LOCATION).cloned()).flatten()
}

/// The request that such a response leads to. Nothing when that is none to the same
/// origin: whoever may attack a host has not been asked about another one.
pub(super) fn next(from: &Request, status: u16, location: &HeaderValue) -> Option<Request> {
    let mut url = from.url().join(std::str::from_utf8(location.as_bytes()).ok()?).ok()?;
    url.set_fragment(None);
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    if url.origin() != from.url().origin() || has_credentials {
        return None;
    }
    let mut next = from.try_clone()?;
    *next.url_mut() = url;
    // As browsers do: <https://fetch.spec.whatwg.org/#http-redirect-fetch>.
    let to_get = match (status, from.method()) {
        (301 | 302, method) => *method == Method::POST,
        (303, method) => !matches!(*method, Method::GET | Method::HEAD),
        _ => false,
    };
    if to_get {
        *next.method_mut() = Method::GET;
        *next.body_mut() = None;
        for of_body in [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE] {
            next.headers_mut().remove(of_body);
        }
    }
    Some(next)
}
