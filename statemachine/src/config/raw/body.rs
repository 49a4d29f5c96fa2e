//! What a request carries, in the ways to write it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Json, RawAttack, RawRequest};

/// One part of a `multipart/form-data` body
/// (<https://www.rfc-editor.org/rfc/rfc7578>): a field of a form, or a file. Its content
/// is one of `value`, `file` and `base64`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "fields such as name and value")]
#[schemars(rename = "Part")]
pub struct RawPart {
    /// The name of the form's field.
    #[schemars(length(min = 1), example = &"photo")]
    pub name: String,
    /// The content, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The file that holds the content, relative to the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"cat.jpg")]
    pub file: Option<String>,
    /// The content in base64: for bytes that are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// What the file is called there; by default the last part of `file`. A part with a
    /// file name is a file to the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"cat.jpg")]
    pub filename: Option<String>,
    /// Its media type; of a file `application/octet-stream` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"image/jpeg")]
    pub content_type: Option<String>,
}

/// The ways to write a body, side by side.
#[derive(Clone, Copy)]
pub(in crate::config) struct RawBody<'raw> {
    pub(in crate::config) text: Option<&'raw str>,
    pub(in crate::config) json: Option<&'raw Json>,
    pub(in crate::config) file: Option<&'raw str>,
    pub(in crate::config) base64: Option<&'raw str>,
    pub(in crate::config) parts: Option<&'raw [RawPart]>,
}

impl<'raw> RawBody<'raw> {
    /// The fields that are there.
    pub(in crate::config) fn written(&self) -> Vec<&'static str> {
        [
            ("body", self.text.is_some()),
            ("json", self.json.is_some()),
            ("body_file", self.file.is_some()),
            ("body_base64", self.base64.is_some()),
            ("multipart", self.parts.is_some()),
        ]
        .into_iter()
        .filter_map(|(field, there)| there.then_some(field))
        .collect()
    }

    /// The files that it names.
    pub(in crate::config) fn files(self) -> impl Iterator<Item = &'raw str> {
        let of_parts = self.parts.unwrap_or_default().iter().filter_map(|part| part.file.as_deref());
        self.file.into_iter().chain(of_parts)
    }
}

impl RawAttack {
    pub(in crate::config) fn raw_body(&self) -> RawBody<'_> {
        RawBody {
            text: self.body.as_deref(),
            json: self.json.as_ref(),
            file: self.body_file.as_deref(),
            base64: self.body_base64.as_deref(),
            parts: self.multipart.as_deref(),
        }
    }
}

impl RawRequest {
    pub(in crate::config) fn raw_body(&self) -> RawBody<'_> {
        RawBody {
            text: self.body.as_deref(),
            json: self.json.as_ref(),
            file: self.body_file.as_deref(),
            base64: self.body_base64.as_deref(),
            parts: self.multipart.as_deref(),
        }
    }
}
