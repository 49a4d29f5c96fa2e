//! Where requests go: URLs that can be attacked, and paths appended to a base.

use url::Url;

use super::problem::Invalid;

/// A base URL without a trailing slash; paths are appended to its text, so
/// that `https://h/api` and `/items` give `https://h/api/items`.
pub(super) struct Base(String);

impl Base {
    pub(super) fn read(text: &str) -> Result<Self, Invalid> {
        let url = absolute(text)?;
        if url.query().is_some() {
            return Err(Invalid::BaseQuery(text.to_owned()));
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// `path` starts with `/` or `?`.
    pub(super) fn join(&self, path: &str) -> Result<Url, Invalid> {
        absolute(&format!("{}{}", self.0, path.trim()))
    }
}

/// Reads an absolute http or https URL. The `url` crate forgives much that a
/// typing error can produce (`http:///host`, `http:\\host`), so the text is
/// looked at first.
pub(super) fn absolute(text: &str) -> Result<Url, Invalid> {
    let text = text.trim();
    let owned = || text.to_owned();
    no_template(text)?;
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
        _ if text.starts_with('/') || text.is_empty() => return Err(Invalid::NoHost(owned())),
        _ => return Err(Invalid::NoScheme(owned())),
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    // Before anything that repeats the text, which then holds no secret.
    if authority.contains('@') {
        return Err(Invalid::Credentials);
    }
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Invalid::Scheme(scheme.to_owned()));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::ControlInUrl(owned()));
    }
    if text.contains('\\') {
        return Err(Invalid::Backslash(owned()));
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err(Invalid::NoHost(owned()));
    }
    if text.contains('#') {
        return Err(Invalid::Fragment(owned()));
    }
    let url = Url::parse(text).map_err(|reason| Invalid::Url { text: owned(), reason })?;
    if url.port() == Some(0) {
        return Err(Invalid::PortZero(owned()));
    }
    Ok(url)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// Refuses templates and secrets, which would otherwise be sent as they stand.
pub(super) fn no_template(text: &str) -> Result<(), Invalid> {
    for mark in ["{{", "${secret:", "${env:"] {
        if text.contains(mark) {
            return Err(Invalid::Template(mark));
        }
    }
    Ok(())
}
