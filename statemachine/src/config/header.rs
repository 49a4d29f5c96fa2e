//! Header names and values that can be sent.

use super::problem::Invalid;
use super::target::no_template;

/// Headers that follow from the request (its length) or from the connection,
/// which is ours to manage. `host` is not among them: it chooses a virtual
/// server behind an address.
/// See <https://www.rfc-editor.org/rfc/rfc9110#name-connection>.
const COMPUTED: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A header's name in lower case.
pub(super) fn name(name: &str) -> Result<String, Invalid> {
    no_template(name)?;
    if !is_token(name) {
        return Err(Invalid::HeaderName(name.to_owned()));
    }
    let name = name.to_ascii_lowercase();
    if COMPUTED.contains(&name.as_str()) {
        return Err(Invalid::HeaderComputed(name));
    }
    Ok(name)
}

/// The value of the header of that name.
pub(super) fn value(name: &str, value: &str) -> Result<String, Invalid> {
    if let Some(character) = unsendable(value) {
        return Err(Invalid::HeaderValue { name: name.to_owned(), character });
    }
    Ok(value.trim().to_owned())
}

/// The first character that no header can carry. Bytes above ASCII have no
/// meaning that both ends agree on
/// (<https://www.rfc-editor.org/rfc/rfc9110#name-field-values>).
pub(super) fn unsendable(value: &str) -> Option<char> {
    value.chars().find(|c| !matches!(c, '\t' | ' '..='~'))
}

/// `shared`, with the values of `own` where both have a header, then the rest
/// of `own`.
pub(super) fn merge(shared: &[(String, String)], own: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut headers = shared.to_vec();
    for (name, value) in own {
        match headers.iter_mut().find(|(other, _)| *other == name) {
            Some(header) => header.1 = value,
            None => headers.push((name, value)),
        }
    }
    headers
}

/// Whether the text is a token, as methods and header names must be.
/// See <https://www.rfc-editor.org/rfc/rfc9110#name-tokens>.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
