//! Bodies: a text, JSON, a file, bytes in base64, or a form of such parts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Check;
use crate::config::multipart::{self, Part};
use crate::config::problem::{Invalid, Path, Problem};
use crate::config::raw::{Json, RawBody, RawConfig, RawPart};
use crate::config::{MAX_PARTS, target};
use crate::secret;

impl Check<'_> {
    /// The body's bytes, and the headers with the content type of JSON or of a form.
    pub(super) fn body(
        &mut self,
        path: &Path,
        raw: &RawBody<'_>,
        mut headers: Vec<(String, String)>,
    ) -> (Vec<u8>, Vec<(String, String)>) {
        let written = raw.written();
        let written_once = written.len() == 1;
        if written.len() > 1 {
            self.note(path, Invalid::Bodies(written));
        }
        let text = raw.text.and_then(|text| self.body_text(&path.field("body"), text));
        let json = raw.json.and_then(|json| {
            let plain = !json.any_text(&|text| secret::is_special(text) || text.contains(target::TEMPLATE));
            if plain { Some(json.compact()) } else { Some(self.json(&path.field("json"), json)?.compact()) }
        });
        if raw.json.is_some() && !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        if let Some(file) = raw.file.filter(|_| written_once) {
            self.note(&path.field("body_file"), Invalid::UnreadBodyFile(file.to_owned()));
        }
        let decoded = raw.base64.and_then(|text| self.base64(&path.field("body_base64"), text));
        let form = raw.parts.and_then(|parts| {
            if headers.iter().any(|(name, _)| name == "content-type") {
                self.note(path, Invalid::ContentTypeOfMultipart);
            }
            let parts = self.parts(&path.field("multipart"), parts)?;
            let boundary = multipart::boundary(&parts);
            headers.push(("content-type".to_owned(), format!("multipart/form-data; boundary={boundary}")));
            Some(multipart::body(&parts, &boundary))
        });
        let body = text.map(String::into_bytes).or(json).or(decoded).or(form).unwrap_or_default();
        (body, headers)
    }

    fn base64(&mut self, path: &Path, text: &str) -> Option<Vec<u8>> {
        self.take(path, BASE64.decode(text.trim()).map_err(Invalid::Base64))
    }

    /// The parts of a form, of which there are some.
    fn parts(&mut self, path: &Path, raw: &[RawPart]) -> Option<Vec<Part>> {
        if raw.is_empty() {
            self.note(path, Invalid::NoEntry("part"));
            return None;
        }
        if !self.counted(path, "parts", raw.len(), MAX_PARTS) {
            return None;
        }
        let parts: Vec<Option<Part>> =
            (0..).zip(raw).map(|(index, part)| self.part(&path.index(index), part)).collect();
        parts.into_iter().collect()
    }

    fn part(&mut self, path: &Path, raw: &RawPart) -> Option<Part> {
        for (field, name) in [("name", Some(&raw.name)), ("filename", raw.filename.as_ref())] {
            let Some(name) = name else { continue };
            let path = path.field(field);
            self.take(&path, target::no_template(name));
            self.no_reference(&path, name);
            if name.is_empty() {
                self.note(&path, Invalid::EmptyPartName(field));
            }
        }
        let filename = raw.filename.clone().or_else(|| raw.file.as_deref().map(last_of));
        if raw.content_type.as_ref().is_some_and(|text| text.trim().is_empty()) {
            self.note(&path.field("content_type"), Invalid::EmptyPartName("content_type"));
        }
        let content_type = match &raw.content_type {
            Some(text) => Some(self.header_value(&path.field("content_type"), "content-type", text)?),
            None => filename.is_some().then(|| "application/octet-stream".to_owned()),
        };
        let content = match (&raw.value, &raw.file, &raw.base64) {
            (Some(text), None, None) => self.body_text(&path.field("value"), text)?.into_bytes(),
            (None, None, Some(text)) => self.base64(&path.field("base64"), text)?,
            (None, Some(file), None) => {
                self.note(&path.field("file"), Invalid::UnreadBodyFile(file.clone()));
                return None;
            }
            _ => {
                self.note(path, Invalid::PartContent);
                return None;
            }
        };
        Some(Part { name: raw.name.clone(), filename, content_type, content })
    }

    /// A JSON body; references may stand in its texts, and not in the names of
    /// its fields.
    fn json(&mut self, path: &Path, json: &Json) -> Option<Json> {
        Some(match json {
            Json::Null | Json::Bool(_) | Json::Number(_) => json.clone(),
            Json::Text(text) => Json::Text(self.body_text(path, text)?),
            Json::List(items) => {
                let items: Vec<Option<Json>> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.json(&path.index(index), item))
                    .collect();
                Json::List(items.into_iter().collect::<Option<_>>()?)
            }
            Json::Fields(fields) => {
                let fields: Vec<Option<(String, Json)>> = fields
                    .iter()
                    .map(|(name, value)| {
                        let path = path.field(name);
                        self.take(&path, target::no_template(name));
                        self.no_reference(&path, name);
                        Some((name.clone(), self.json(&path, value)?))
                    })
                    .collect();
                Json::Fields(fields.into_iter().collect::<Option<_>>()?)
            }
        })
    }
}

/// Replaces every file that a body is made of by what `read` returns for it: a body as
/// text if it is UTF-8, in base64 if not; a part of a form in base64, as the file that it
/// is. One that cannot be read is replaced by nothing and reported.
pub(in crate::config) fn inline_body_files(
    raw: &mut RawConfig,
    mut read: impl FnMut(&str) -> Result<Vec<u8>, String>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut content = |path: Path, file: String| {
        read(&file).unwrap_or_else(|reason| {
            problems.push(Problem { path, place: None, what: Invalid::BodyFile { file, reason } });
            Vec::new()
        })
    };
    let attacks = Path::default().field("attacks");
    for (index, attack) in raw.attacks.iter_mut().enumerate() {
        let path = attacks.index(index);
        // Beside another body a file stays, for `check` to refuse both.
        if attack.raw_body().written() == ["body_file"] {
            let (file, text) = (&mut attack.body_file, &mut attack.body);
            inline_body(&path, file, text, &mut attack.body_base64, &mut content);
        }
        inline_parts(&path, attack.multipart.iter_mut().flatten(), &mut content);
        let path = path.field("requests");
        for (index, request) in attack.requests.iter_mut().flatten().enumerate() {
            let path = path.index(index);
            if request.raw_body().written() == ["body_file"] {
                let (file, text) = (&mut request.body_file, &mut request.body);
                inline_body(&path, file, text, &mut request.body_base64, &mut content);
            }
            inline_parts(&path, request.multipart.iter_mut().flatten(), &mut content);
        }
    }
    problems
}

fn inline_body(
    path: &Path,
    file: &mut Option<String>,
    text: &mut Option<String>,
    base64: &mut Option<String>,
    content: &mut impl FnMut(Path, String) -> Vec<u8>,
) {
    let Some(file) = file.take() else { return };
    match String::from_utf8(content(path.field("body_file"), file)) {
        Ok(content) => *text = Some(content),
        Err(bytes) => *base64 = Some(BASE64.encode(bytes.as_bytes())),
    }
}

fn inline_parts<'raw>(
    path: &Path,
    parts: impl Iterator<Item = &'raw mut RawPart>,
    content: &mut impl FnMut(Path, String) -> Vec<u8>,
) {
    for (index, part) in parts.enumerate().filter(|(_, part)| part.value.is_none() && part.base64.is_none()) {
        let Some(file) = part.file.take() else { continue };
        part.filename.get_or_insert_with(|| last_of(&file));
        let path = path.field("multipart").index(index).field("file");
        part.base64 = Some(BASE64.encode(content(path, file)));
    }
}

/// The last part of a file's path.
fn last_of(file: &str) -> String {
    file.rsplit(['/', '\\']).next().unwrap_or(file).to_owned()
}
