//! Puts values in the place of `${Name}`, as `CloudFormation` does.

use super::DefinitionError;

/// Replaces every `${Name}` in `text`, which is JSON. A value ends up inside a
/// JSON string, so it is escaped like one.
pub(super) fn substitute(text: &str, values: &[(&str, &str)]) -> Result<String, DefinitionError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at(start);
        let after = &after[2..];
        let unknown = |name: &str| DefinitionError::Substitution { name: name.to_owned() };
        let (name, tail) = after.split_once('}').ok_or_else(|| unknown(""))?;
        let (_, value) = values.iter().find(|(known, _)| *known == name).ok_or_else(|| unknown(name))?;
        let quoted = serde_json::Value::from(*value).to_string();
        out.push_str(before);
        out.push_str(&quoted[1..quoted.len() - 1]);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}
