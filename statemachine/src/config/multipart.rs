//! Forms of several parts, `multipart/form-data`
//! (<https://www.rfc-editor.org/rfc/rfc7578>), as bytes.
//!
//! They are made once, when a config is checked, so any transport sends them, and every
//! worker sends the same.

/// One part of a form.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) filename: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) content: Vec<u8>,
}

/// What stands between the parts: the first of its kind that is in none of them.
pub(super) fn boundary(parts: &[Part]) -> String {
    let mut number = 0_u64;
    loop {
        let boundary = format!("deathstar-{number:016x}");
        let holds = |part: &Part| {
            // Anything that begins like it would have to be told from it.
            part.content.windows(boundary.len()).any(|bytes| bytes == boundary.as_bytes())
        };
        if !parts.iter().any(holds) {
            return boundary;
        }
        number += 1;
    }
}

/// The whole body.
pub(super) fn body(parts: &[Part], boundary: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for Part { name, filename, content_type, content } in parts {
        let mut head = format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{}\"", quoted(name));
        if let Some(filename) = filename {
            head += &format!("; filename=\"{}\"", quoted(filename));
        }
        if let Some(content_type) = content_type {
            head += &format!("\r\ncontent-type: {content_type}");
        }
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}

/// A name as browsers write it between quotes. See
/// <https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data>.
fn quoted(name: &str) -> String {
    name.replace('\r', "%0D").replace('\n', "%0A").replace('"', "%22")
}
