//! A text as a tree of values that know where they were written.
//!
//! YAML is read once, into this tree; both the types of `raw` and the places
//! of problems come from it. JSON is YAML too, but for a few characters.

use std::fmt::{self, Write as _};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{MessageFormatter, Spanned, UserMessageFormatter};

use super::problem::{Path, Place, Shape, ShapeError, Step};

/// How deeply lists and fields may nest. A level takes some 30 KB of stack in a
/// debug build, and a thread may have no more than 2 MB.
const MAX_DEPTH: usize = 32;

/// A value and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Fields(Vec<(Key, Node)>),
}

/// The name of a field and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) name: String,
}

impl Node {
    /// Reads a YAML or JSON text of one document.
    pub(super) fn read(text: &str) -> Result<Self, Box<ShapeError>> {
        let read = Self::read_yaml(text).or_else(|error| match json_as_yaml(text) {
            Some(yaml) => Self::read_yaml(&yaml),
            None => Err(error),
        });
        match read {
            Ok(Self { value: Value::Null, .. }) => Err(at_top(Shape::Empty, None)),
            Ok(node) => Ok(node),
            Err(error) => Err(shape_of(&error)),
        }
    }

    fn read_yaml(text: &str) -> Result<Self, serde_saphyr::Error> {
        let options = serde_saphyr::options! {
            // `no` and `on` are words; `true` and `false` are not.
            strict_booleans: true,
            // As YAML 1.2 has it; a postcode keeps its zeros.
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            with_snippet: false,
            budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        };
        serde_saphyr::from_str_with_options(text, options)
    }

    /// Where the value at `path` was written, or the nearest value around it.
    pub(super) fn place_of(&self, path: &Path) -> Place {
        let mut node = self;
        for step in &path.0 {
            let next = match (step, &node.value) {
                (Step::Index(index), Value::List(items)) => items.get(*index),
                (Step::Field(name), Value::Fields(fields)) => {
                    fields.iter().find(|(key, _)| key.name == *name).map(|(_, value)| value)
                }
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.place
    }
}

/// JSON may hold characters that YAML wants escaped, in its strings only.
/// `None` if the text is no JSON, or holds no such character.
fn json_as_yaml(text: &str) -> Option<String> {
    let forbidden = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
            || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    if !text.trim_start().starts_with('{') || !text.contains(forbidden) {
        return None;
    }
    serde_json::from_str::<de::IgnoredAny>(text).ok()?;
    let mut yaml = String::with_capacity(text.len());
    for c in text.chars() {
        if forbidden(c) {
            let _ = write!(yaml, "\\u{:04x}", u32::from(c));
        } else {
            yaml.push(c);
        }
    }
    Some(yaml)
}

fn at_top(what: Shape, place: Option<Place>) -> Box<ShapeError> {
    Box::new(ShapeError { what, path: Path::default(), place, excerpt: None })
}

fn shape_of(error: &serde_saphyr::Error) -> Box<ShapeError> {
    use serde_saphyr::Error;

    let mut error = error.without_snippet();
    let place = error.location().and_then(place);
    while let Error::AliasError { error: inner, .. } = error {
        error = inner.without_snippet();
    }
    let what = match error {
        Error::Eof { .. } => Shape::Empty,
        Error::MultipleDocuments { .. } => Shape::SecondDocument,
        Error::DuplicateMappingKey { key, .. } => Shape::Twice(key.clone().unwrap_or_default()),
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => Shape::TooLarge,
        _ => Shape::Syntax(UserMessageFormatter.format_message(error).into_owned()),
    };
    at_top(what, place)
}

/// `None` for the library's "unknown", which is line 0.
fn place(location: serde_saphyr::Location) -> Option<Place> {
    let place = Place { line: location.line(), column: location.column() };
    (place.line > 0).then_some(place)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let place = Place { line: spanned.referenced.line(), column: spanned.referenced.column() };
        Ok(Self { place, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Negative(value), Value::Unsigned))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((key, value)) = access.next_entry::<Spanned<String>, Node>()? {
            let place = Place { line: key.referenced.line(), column: key.referenced.column() };
            fields.push((Key { place, name: key.value }, value));
        }
        Ok(Value::Fields(fields))
    }
}
