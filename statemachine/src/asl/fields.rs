//! Takes a JSON object apart, field by field, and refuses what is left over.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::DefinitionError;

/// An object of the definition while it is read. Whatever was not taken by the
/// time of [`Fields::finish`] is something we do not implement.
pub(super) struct Fields {
    at: String,
    map: Map<String, Value>,
}

impl Fields {
    /// The object `value`, which stands at `at` as field `field`.
    pub(super) fn of(at: &str, field: &str, value: Value) -> Result<Self, DefinitionError> {
        let at = if field.is_empty() { at.to_owned() } else { format!("{at}: {field}") };
        match value {
            Value::Object(map) => Ok(Self { at, map }),
            other => Err(invalid(&at, field, &other, "an object")),
        }
    }

    /// Where this object stands, for error messages.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// Takes a field.
    pub(super) fn take(&mut self, field: &str) -> Option<Value> {
        self.map.remove(field)
    }

    /// Takes a field that must be there.
    pub(super) fn need(&mut self, field: &str) -> Result<Value, DefinitionError> {
        self.take(field)
            .ok_or_else(|| DefinitionError::Missing { at: self.at.clone(), field: field.to_owned() })
    }

    /// Takes a text that must be there.
    pub(super) fn need_text(&mut self, field: &str) -> Result<String, DefinitionError> {
        match self.need(field)? {
            Value::String(text) => Ok(text),
            other => Err(self.invalid(field, &other, "a text")),
        }
    }

    /// Takes a text.
    pub(super) fn text(&mut self, field: &str) -> Result<Option<String>, DefinitionError> {
        if self.map.contains_key(field) { self.need_text(field).map(Some) } else { Ok(None) }
    }

    /// Takes a list that must be there and have something in it.
    pub(super) fn need_list(&mut self, field: &str) -> Result<Vec<Value>, DefinitionError> {
        match self.need(field)? {
            Value::Array(list) if !list.is_empty() => Ok(list),
            other => Err(self.invalid(field, &other, "a list of one or more")),
        }
    }

    /// Takes a list of objects, each knowing where it stands.
    pub(super) fn objects(&mut self, field: &str) -> Result<Vec<Fields>, DefinitionError> {
        if !self.map.contains_key(field) {
            return Ok(Vec::new());
        }
        let list = self.need_list(field)?;
        list.into_iter().enumerate().map(|(i, v)| Fields::of(&self.at, &format!("{field}[{i}]"), v)).collect()
    }

    /// Takes a whole number within `range`.
    pub(super) fn integer(
        &mut self,
        field: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, DefinitionError> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let number = value.as_u64().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            self.invalid(field, &value, &expected)
        })
    }

    /// Takes a number within `range`.
    pub(super) fn number(
        &mut self,
        field: &str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<f64>, DefinitionError> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let number = value.as_f64().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let expected = format!("a number from {} to {}", range.start(), range.end());
            self.invalid(field, &value, &expected)
        })
    }

    /// Takes the `Comment`, which means nothing.
    pub(super) fn comment(&mut self) -> Result<(), DefinitionError> {
        self.text("Comment").map(drop)
    }

    /// Ends the reading: nothing may be left.
    pub(super) fn finish(self) -> Result<(), DefinitionError> {
        match self.map.into_iter().next() {
            Some((field, _)) => Err(DefinitionError::Field { at: self.at, field }),
            None => Ok(()),
        }
    }

    /// The error that `field` is `value`, where `expected` should be.
    pub(super) fn invalid(&self, field: &str, value: &Value, expected: &str) -> DefinitionError {
        invalid(&self.at, field, value, expected)
    }
}

fn invalid(at: &str, field: &str, value: &Value, expected: &str) -> DefinitionError {
    DefinitionError::Value {
        at: at.to_owned(),
        field: field.to_owned(),
        value: value.to_string(),
        expected: expected.to_owned(),
    }
}
