//! Texts with references to secrets in them, as they are shown and as they are sent.

use super::Check;
use crate::config::header;
use crate::config::problem::{Invalid, Path};
use crate::config::target::{self, Written};
use crate::secret::{self, Reference, Secret, Segment, Text, Values};

/// A URL or a path, with stand-ins for its references and with their values; the
/// same where there are no values yet.
pub(super) struct UrlText {
    shown: String,
    sent: String,
}

impl UrlText {
    pub(super) const fn shown<'text>(&'text self, text: &'text str) -> Written<'text> {
        Written { text, filled: self.shown.as_str() }
    }

    pub(super) const fn sent<'text>(&'text self, text: &'text str) -> Written<'text> {
        Written { text, filled: self.sent.as_str() }
    }
}

impl Check<'_> {
    /// A URL or a path with its references replaced.
    pub(super) fn url_text(&mut self, path: &Path, written: &str) -> Option<UrlText> {
        let text = self.text(path, written)?;
        if text.references().next().is_some() {
            // What a reference stands for decides nothing about who is attacked.
            let start = target::behind_host(written).unwrap_or(written.len());
            if secret::is_special(&written[..start]) {
                self.note(path, Invalid::ReferenceInHost);
                return None;
            }
        }
        let stand_in = |reference: &Reference| secret::percent_encoded(&reference.to_string());
        let shown = text.fill(|reference| Ok::<_, Invalid>(stand_in(reference))).ok()?;
        let Some(values) = self.values else { return Some(UrlText { sent: shown.clone(), shown }) };
        let path_references = path_references(&text);
        let sent = text.fill(|reference| {
            let value = value_of(values, reference)?.expose();
            if matches!(value, "." | "..") && path_references.contains(&reference) {
                return Err(Invalid::ValueInPath(reference.clone()));
            }
            Ok(secret::percent_encoded(value))
        });
        Some(UrlText { shown, sent: self.take(path, sent)? })
    }

    /// A text in pieces; its references are remembered.
    fn text(&mut self, path: &Path, written: &str) -> Option<Text> {
        self.take(path, target::no_template(written))?;
        let text = self.take(path, Text::parse(written))?;
        self.references.extend(text.references().cloned());
        Some(text)
    }

    /// A text of a body, where every value may stand.
    pub(super) fn body_text(&mut self, path: &Path, written: &str) -> Option<String> {
        let text = self.text(path, written)?;
        let values = self.values;
        let filled = text.fill(|reference| match values {
            Some(values) => Ok(value_of(values, reference)?.expose().to_owned()),
            None => Ok(reference.to_string()),
        });
        self.take::<_, Invalid>(path, filled)
    }

    /// The value of a header, where not every value may stand.
    pub(super) fn header_value(&mut self, path: &Path, name: &str, written: &str) -> Option<String> {
        let text = self.text(path, written)?;
        let values = self.values;
        let filled = text.fill(|reference| {
            let Some(values) = values else { return Ok(reference.to_string()) };
            let value = value_of(values, reference)?.expose();
            let what = match header::unsendable(value) {
                None => return Ok(value.to_owned()),
                Some('\r' | '\n') => "a line break",
                Some(_) => "a character other than visible ASCII, blanks and tabs",
            };
            Err(Invalid::ValueInHeader { reference: reference.clone(), what })
        });
        let filled = self.take(path, filled)?;
        self.take(path, header::value(name, &filled))
    }
}

fn value_of<'values>(values: &'values Values, reference: &Reference) -> Result<&'values Secret, Invalid> {
    values.get(reference).ok_or_else(|| Invalid::NoValue(reference.clone()))
}

/// The references of a URL that stand before its query.
fn path_references(text: &Text) -> Vec<&Reference> {
    let in_path = |segment: &&Segment| !matches!(segment, Segment::Literal(literal) if literal.contains('?'));
    text.segments()
        .iter()
        .take_while(in_path)
        .filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Reference(reference) => Some(reference),
        })
        .collect()
}
