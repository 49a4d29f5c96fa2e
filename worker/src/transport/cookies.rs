//! The cookies of one caller.

use std::cell::RefCell;
use std::fmt;

use cookie_store::{Cookie, CookieDomain, CookieStore};
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

/// How many cookies a caller keeps, as browsers do for a host, and how long one may be, in
/// bytes. See <https://www.rfc-editor.org/rfc/rfc6265#section-6.1>.
const MOST: usize = 180;
const LONGEST: usize = 4096;

impl Jar {
    /// Keeps what a response from `url` sets. What is no cookie, or is none that this
    /// target may set, is left out, as browsers do.
    pub(super) fn keep(&self, headers: &HeaderMap, url: &Url) {
        let values = headers.get_all(SET_COOKIE).iter().filter(|value| value.len() <= LONGEST);
        for text in values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok()) {
            let Ok(cookie) = Cookie::parse(text.to_owned(), url) else { continue };
            let jar = &mut *self.0.borrow_mut();
            // To whole top-level domains, nobody may set any.
            let is_too_wide = matches!(&cookie.domain, CookieDomain::Suffix(domain) if !domain.contains('.'));
            let is_room = jar.iter_any().nth(MOST - 1).is_none() || is_in(jar, &cookie);
            if is_room && !is_too_wide {
                // An error says that it is not kept, which is the target's affair.
                let _ = jar.insert(cookie, url);
            }
            forget_expired(jar);
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

fn key(cookie: &Cookie<'_>) -> (String, String, String) {
    (String::from(&cookie.domain), String::from(&cookie.path), cookie.name().to_owned())
}

fn is_in(jar: &CookieStore, cookie: &Cookie<'_>) -> bool {
    let (domain, path, name) = key(cookie);
    jar.contains_any(&domain, &path, &name)
}

/// The store keeps them, and sends them no more.
fn forget_expired(jar: &mut CookieStore) {
    let expired: Vec<_> = jar.iter_any().filter(|cookie| cookie.is_expired()).map(key).collect();
    for (domain, path, name) in expired {
        jar.remove(&domain, &path, &name);
    }
}
