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

/// The header with its name in lower case.
pub(super) fn read(name: &str, value: &str) -> Result<(String, String), Invalid> {
    no_template(name)?;
    if !is_token(name) {
        return Err(Invalid::HeaderName(name.to_owned()));
    }
    let name = name.to_ascii_lowercase();
    if COMPUTED.contains(&name.as_str()) {
        return Err(Invalid::HeaderComputed(name));
    }
    no_template(value)?;
    // Bytes above ASCII have no meaning that both ends agree on
    // (https://www.rfc-editor.org/rfc/rfc9110#name-field-values).
    if let Some(character) = value.chars().find(|c| !matches!(c, '\t' | ' '..='~')) {
        return Err(Invalid::HeaderValue { name, character });
    }
    Ok((name, value.trim().to_owned()))
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
