//! Bodies: a text, JSON, a file or bytes in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Check;
use crate::config::problem::{Invalid, Path, Problem};
use crate::config::raw::{Json, RawBody, RawConfig};
use crate::config::target;
use crate::secret;

impl Check<'_> {
    /// The body's bytes, and the headers with the content type of JSON.
    pub(super) fn body(
        &mut self,
        path: &Path,
        raw: &RawBody<'_>,
        mut headers: Vec<(String, String)>,
    ) -> (Vec<u8>, Vec<(String, String)>) {
        let written: Vec<&'static str> = [
            ("body", raw.text.is_some()),
            ("json", raw.json.is_some()),
            ("body_file", raw.file.is_some()),
            ("body_base64", raw.base64.is_some()),
        ]
        .into_iter()
        .filter_map(|(field, there)| there.then_some(field))
        .collect();
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
        let decoded = raw.base64.and_then(|text| {
            let bytes = BASE64.decode(text.trim()).map_err(Invalid::Base64);
            self.take(&path.field("body_base64"), bytes)
        });
        let body = text.map(String::into_bytes).or(json).or(decoded).unwrap_or_default();
        (body, headers)
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

/// Replaces every body file by what `read` returns for it: as text if it is
/// UTF-8, in base64 if not. A file that cannot be read is replaced by nothing
/// and reported.
pub(in crate::config) fn inline_body_files(
    raw: &mut RawConfig,
    mut read: impl FnMut(&str) -> Result<Vec<u8>, String>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let attacks = Path::default().field("attacks");
    let mut inline =
        |path: Path, file: &mut Option<String>, text: &mut Option<String>, base64: &mut Option<String>| {
            let Some(name) = file.take() else { return };
            match read(&name).map(String::from_utf8) {
                Ok(Ok(content)) => *text = Some(content),
                Ok(Err(bytes)) => *base64 = Some(BASE64.encode(bytes.as_bytes())),
                Err(reason) => {
                    let what = Invalid::BodyFile { file: name, reason };
                    problems.push(Problem { path: path.field("body_file"), place: None, what });
                    *text = Some(String::new());
                }
            }
        };
    for (index, attack) in raw.attacks.iter_mut().enumerate() {
        let path = attacks.index(index);
        // Beside another body the file stays, for `check` to refuse both.
        if attack.body.is_none() && attack.json.is_none() && attack.body_base64.is_none() {
            inline(path.clone(), &mut attack.body_file, &mut attack.body, &mut attack.body_base64);
        }
        let path = path.field("requests");
        for (index, request) in attack.requests.iter_mut().flatten().enumerate() {
            if request.body.is_none() && request.json.is_none() && request.body_base64.is_none() {
                let (file, text) = (&mut request.body_file, &mut request.body);
                inline(path.index(index), file, text, &mut request.body_base64);
            }
        }
    }
    problems
}
