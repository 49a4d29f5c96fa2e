//! Where requests go: URLs that can be attacked, and paths appended to a base.

use url::Url;

use super::problem::Invalid;

/// What a template begins with.
pub(super) const TEMPLATE: &str = "{{";

/// A URL, or a path to be appended to one, in two forms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'text> {
    /// As it is written; what errors repeat.
    pub(super) text: &'text str,
    /// With something in place of each reference.
    pub(super) filled: &'text str,
}

/// A base URL without a trailing slash; paths are appended to its text, so
/// that `https://h/api` and `/items` give `https://h/api/items`.
pub(super) struct Base {
    text: String,
    filled: String,
}

impl Base {
    pub(super) fn read(base: Written<'_>) -> Result<Self, Invalid> {
        let url = absolute(base)?;
        if url.query().is_some() {
            return Err(Invalid::BaseQuery(base.text.to_owned()));
        }
        let trimmed = |text: &str| text.trim_end_matches('/').to_owned();
        let filled = trimmed(url.as_str());
        // Without references, what the parser made of it reads best.
        let text = if base.text == base.filled { filled.clone() } else { trimmed(base.text.trim()) };
        Ok(Self { text, filled })
    }

    /// `path` starts with `/` or `?`.
    pub(super) fn join(&self, path: Written<'_>) -> Result<Url, Invalid> {
        let join = |base: &str, path: &str| format!("{base}{}", path.trim());
        let (text, filled) = (join(&self.text, path.text), join(&self.filled, path.filled));
        absolute(Written { text: &text, filled: &filled })
    }
}

/// Reads an absolute http or https URL. The `url` crate forgives much that a
/// typing error can produce (`http:///host`, `http:\\host`), so the text is
/// looked at first.
pub(super) fn absolute(url: Written<'_>) -> Result<Url, Invalid> {
    let (written, text) = (url.text.trim(), url.filled.trim());
    let owned = || written.to_owned();
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

/// Where what may hold references begins: a path as a whole, and a URL behind
/// its host. `None` when no such part follows.
pub(super) fn behind_host(text: &str) -> Option<usize> {
    if text.trim_start().starts_with(['/', '?']) {
        return Some(0);
    }
    let host = text.find("://")? + "://".len();
    text[host..].find(['/', '?', '#', '\\']).map(|end| host + end)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// Refuses templates, which would otherwise be sent as they stand.
pub(super) fn no_template(text: &str) -> Result<(), Invalid> {
    if text.contains(TEMPLATE) { Err(Invalid::Template(TEMPLATE)) } else { Ok(()) }
}
