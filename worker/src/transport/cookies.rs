//! The cookies of one caller.

use std::cell::RefCell;
use std::fmt;

use cookie_store::{Cookie, CookieStore};
use reqwest::header::{HeaderMap, HeaderValue, SET_COOKIE};
use url::Url;

/// What targets have set for one caller, to be sent back to them as
/// <https://www.rfc-editor.org/rfc/rfc6265#section-5> says. Cookies are as good as
/// passwords, so it shows how many there are.
#[derive(Default)]
pub struct Jar(RefCell<CookieStore>);

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jar").field("cookies", &self.0.borrow().iter_any().count()).finish()
    }
}

impl Jar {
    /// Keeps what a response from `url` sets. What is no cookie, or is none that this
    /// target may set, is left out, as browsers do.
    pub(super) fn keep(&self, headers: &HeaderMap, url: &Url) {
        for value in headers.get_all(SET_COOKIE) {
            let text = std::str::from_utf8(value.as_bytes());
            if let Some(cookie) = text.ok().and_then(|text| Cookie::parse(text.to_owned(), url).ok()) {
                // An error says that it is not kept, which is the target's affair.
                let _ = self.0.borrow_mut().insert(cookie, url);
            }
        }
    }

    /// What a request to `url` says in its header `cookie`, behind what it says itself.
    pub(super) fn header(&self, own: Option<&HeaderValue>, url: &Url) -> Option<HeaderValue> {
        let mut text = own.map(|own| own.as_bytes().to_vec()).unwrap_or_default();
        for (name, value) in self.0.borrow().get_request_values(url) {
            if !text.is_empty() {
                text.extend_from_slice(b"; ");
            }
            text.extend_from_slice(format!("{name}={value}").as_bytes());
        }
        if text.is_empty() { None } else { HeaderValue::from_bytes(&text).ok() }
    }
}
