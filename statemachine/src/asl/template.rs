//! Payload templates: JSON in which a field `x.$` is filled from a path.

use serde_json::Value;

use super::DefinitionError;
use super::fields::Fields;
use super::path::{Path, Scope};

/// The value of `Parameters`, `ItemSelector` or `ResultSelector`.
#[derive(Debug, Clone)]
pub(crate) enum Template {
    /// Nothing in it is filled in.
    Constant(Value),
    /// Filled from a path.
    Filled(Path),
    /// An object with something to fill in.
    Object(Vec<(String, Template)>),
    /// A list with something to fill in.
    List(Vec<Template>),
}

impl Template {
    /// Takes field `field` as a template, if it is there.
    pub(super) fn take(
        fields: &mut Fields,
        field: &str,
        scope: Scope,
    ) -> Result<Option<Self>, DefinitionError> {
        match fields.take(field) {
            None => Ok(None),
            Some(value @ Value::Object(_)) => Self::parse(fields.at(), field, value, scope).map(Some),
            Some(other) => Err(fields.invalid(field, &other, "an object")),
        }
    }

    /// Takes `name` or `name.$`, one of which must be there.
    pub(super) fn need(fields: &mut Fields, name: &str, scope: Scope) -> Result<Self, DefinitionError> {
        let filled = format!("{name}.$");
        if let Some(value) = fields.take(&filled) {
            return Self::filled(fields.at(), &filled, &value, scope);
        }
        let value = fields.need(name)?;
        Self::parse(fields.at(), name, value, scope)
    }

    fn filled(at: &str, field: &str, value: &Value, scope: Scope) -> Result<Self, DefinitionError> {
        let expected = match value.as_str().map(|text| Path::parse(text, scope)) {
            Some(Ok(path)) => return Ok(Self::Filled(path)),
            Some(Err(expected)) => expected,
            None => "a path".to_owned(),
        };
        let (at, field) = (at.to_owned(), field.to_owned());
        Err(DefinitionError::Value { at, field, value: value.to_string(), expected })
    }

    fn parse(at: &str, field: &str, value: Value, scope: Scope) -> Result<Self, DefinitionError> {
        let at = format!("{at}: {field}");
        match value {
            Value::Object(map) => {
                let mut parts = Vec::with_capacity(map.len());
                for (key, value) in &map {
                    let part = match key.strip_suffix(".$") {
                        Some(name) if map.contains_key(name) => {
                            return Err(DefinitionError::Field { at, field: key.clone() });
                        }
                        Some(name) => (name.to_owned(), Self::filled(&at, key, value, scope)?),
                        None => (key.clone(), Self::parse(&at, key, value.clone(), scope)?),
                    };
                    parts.push(part);
                }
                let constant = parts.iter().all(|(_, part)| matches!(part, Self::Constant(_)));
                Ok(if constant { Self::Constant(Value::Object(map)) } else { Self::Object(parts) })
            }
            Value::Array(list) => {
                let parts = list
                    .iter()
                    .enumerate()
                    .map(|(i, value)| Self::parse(&at, &i.to_string(), value.clone(), scope))
                    .collect::<Result<Vec<_>, _>>()?;
                let constant = parts.iter().all(|part| matches!(part, Self::Constant(_)));
                Ok(if constant { Self::Constant(Value::Array(list)) } else { Self::List(parts) })
            }
            other => Ok(Self::Constant(other)),
        }
    }
}
