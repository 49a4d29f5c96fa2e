//! From the tree of a text to the types of `raw`, with errors that say where,
//! what was found, and what was probably meant.
//!
//! Serde's derived code reports through [`serde::de::Error`]; here that error
//! is [`Fault`], which keeps what it is told and learns its place and its path
//! on the way out.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::problem::{Path, Place, Shape, ShapeError, Step};
use super::raw::RawConfig;
use super::tree::{Key, Node, Value};

/// What is planned, by where it will stand: refused until it comes, never
/// mistaken for a typing error, and never ignored.
const PLANNED: &[(&[&str], &[&str])] = &[
    (&["a config", "an attack"], &["burst", "coverage", "data", "scenario", "seed", "tags"]),
    (&["expect"], &["within"]),
];

/// Reads a text as what a config may say, and keeps the places.
pub(super) fn read(text: &str) -> Result<(Node, RawConfig), Box<ShapeError>> {
    // Some editors on Windows begin a text with a byte-order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let excerpt = |mut error: Box<ShapeError>| {
        error.excerpt = error.place.and_then(|place| excerpt(text, place));
        error
    };
    let tree = Node::read(text).map_err(excerpt)?;
    let raw = RawConfig::deserialize(&tree).map_err(|fault| excerpt(Box::new(fault.finish())))?;
    Ok((tree, raw))
}

/// The line that a place points into, unless it is too long to show or would
/// move the caret away from what it points at.
fn excerpt(text: &str, place: Place) -> Option<String> {
    let line = text.lines().nth(usize::try_from(place.line).ok()?.checked_sub(1)?)?;
    let shown = line.trim_end();
    (shown.chars().count() <= 100 && !shown.chars().any(char::is_control) && !shown.is_empty())
        .then(|| shown.to_owned())
}

/// An error on its way out of the tree.
#[derive(Debug)]
pub(super) struct Fault {
    what: Box<Shape>,
    place: Option<Place>,
    /// From the innermost step outwards.
    path: Vec<Step>,
}

impl Fault {
    fn new(what: Shape) -> Self {
        Self { what: Box::new(what), place: None, path: Vec::new() }
    }

    fn at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }

    fn inside(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }

    /// Names what a field stands in, now that the path is known.
    fn finish(self) -> ShapeError {
        let path = Path(self.path.into_iter().rev().collect());
        let what = match *self.what {
            Shape::UnknownField { field, fields, .. } => {
                let context = context(&path);
                if planned(&context, &field) {
                    Shape::Unsupported(field)
                } else {
                    Shape::UnknownField { field, context, fields }
                }
            }
            Shape::UnknownWord { word, .. } if planned(&context(&path), &word) => Shape::Unsupported(word),
            Shape::Missing { field, .. } => Shape::Missing { context: context(&path), field },
            what => what,
        };
        ShapeError { what, path, place: self.place, excerpt: None }
    }
}

/// What stands at a path, with its article.
fn context(path: &Path) -> String {
    match path.0.as_slice() {
        [] => "a config".to_owned(),
        [.., Step::Field(list), Step::Index(_)] if list == "attacks" => "an attack".to_owned(),
        [.., Step::Field(list), Step::Index(_)] if list == "requests" => "a request".to_owned(),
        [.., Step::Field(list), Step::Index(_)] if list == "resources" => "a resource".to_owned(),
        [.., Step::Field(name)] => name.clone(),
        [.., Step::Index(index)] => format!("entry {index}"),
    }
}

fn planned(context: &str, name: &str) -> bool {
    PLANNED.iter().any(|(places, names)| places.contains(&context) && names.contains(&name))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Shape::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        Self::new(Shape::Kind { expected, found: describe(&found), quote: false })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(word: &str, words: &'static [&'static str]) -> Self {
        Self::new(Shape::UnknownWord { word: word.to_owned(), words })
    }

    fn unknown_field(field: &str, fields: &'static [&'static str]) -> Self {
        Self::new(Shape::UnknownField { field: field.to_owned(), context: String::new(), fields })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Shape::Missing { context: String::new(), field })
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Shape::Twice(field.to_owned()))
    }
}

fn describe(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("the word {value}"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "fields".to_owned(),
        other => other.to_string(),
    }
}

impl Node {
    fn unexpected(&self) -> Unexpected<'_> {
        match &self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Unsigned(number) => Unexpected::Unsigned(*number),
            Value::Negative(number) => Unexpected::Signed(*number),
            Value::Float(number) => Unexpected::Float(*number),
            Value::Text(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Fields(_) => Unexpected::Map,
        }
    }

    fn wrong(&self, expected: &str, quote: bool) -> Fault {
        if self.value == Value::Null {
            return Fault::new(Shape::Blank).at(self.place);
        }
        let found = describe(&self.unexpected());
        Fault::new(Shape::Kind { expected: expected.to_owned(), found, quote }).at(self.place)
    }

    fn text(&self) -> Result<&str, Fault> {
        match &self.value {
            Value::Text(text) => Ok(text),
            Value::Bool(_) | Value::Unsigned(_) | Value::Negative(_) | Value::Float(_) => {
                Err(self.wrong("a text", true))
            }
            _ => Err(self.wrong("a text", false)),
        }
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(number) => visitor.visit_u64(*number),
            Value::Negative(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Fields(fields) => visitor.visit_map(Fields { fields, next: 0 }),
        }
        .map_err(|fault| fault.at(self.place))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            // `timeout:` with nothing behind it is a slip, not a default.
            Value::Null => Err(Fault::new(Shape::Blank).at(self.place)),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.text()?).map_err(|fault: Fault| fault.at(self.place))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Unsigned(number) => visitor.visit_u64(number).map_err(|fault: Fault| fault.at(self.place)),
            _ => Err(self.wrong("a whole number", false)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::List(_) => self.deserialize_any(visitor),
            _ => Err(self.wrong("a list", false)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Fields(_) => self.deserialize_any(visitor),
            _ => Err(self.wrong(&(&visitor as &dyn Expected).to_string(), false)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// A word (`side_by_side`), or a field whose name chooses (`ramp: …`).
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Text(word) => visitor.visit_enum(Word(word)).map_err(|fault| fault.at(self.place)),
            Value::Fields(fields) => {
                let unknown = fields.iter().find(|(key, _)| !words.contains(&key.name.as_str()));
                match (fields.as_slice(), unknown) {
                    (_, Some((key, _))) => {
                        Err(<Fault as de::Error>::unknown_field(&key.name, words).at(key.place))
                    }
                    ([(key, value)], None) => visitor.visit_enum(Chosen { key, value }),
                    (fields, None) => {
                        let found = fields.iter().map(|(key, _)| key.name.clone()).collect();
                        Err(Fault::new(Shape::NotOne { found, words }).at(self.place))
                    }
                }
            }
            _ => Err(self.wrong(&(&visitor as &dyn Expected).to_string(), false)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct tuple
        tuple_struct identifier
    }
}

struct Items<'de> {
    items: &'de [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(item).map(Some).map_err(|fault| fault.at(item.place).inside(Step::Index(index)))
    }
}

struct Fields<'de> {
    fields: &'de [(Key, Node)],
    next: usize,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, _)) = self.fields.get(self.next) else { return Ok(None) };
        let name: StrDeserializer<'de, Fault> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|fault| fault.at(key.place))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let Some((key, value)) = self.fields.get(self.next) else {
            return Err(de::Error::custom("a value was asked for before its name"));
        };
        self.next += 1;
        seed.deserialize(value).map_err(|fault| fault.at(value.place).inside(Step::Field(key.name.clone())))
    }
}

/// A word that chooses by itself.
struct Word<'de>(&'de str);

impl<'de> EnumAccess<'de> for Word<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Fault> {
        let word: StrDeserializer<'de, Fault> = self.0.into_deserializer();
        Ok((seed.deserialize(word)?, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(self.alone())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(self.alone())
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Fault> {
        Err(self.alone())
    }
}

impl Word<'_> {
    fn alone(&self) -> Fault {
        Fault::new(Shape::Kind {
            expected: format!("the fields of {}", self.0),
            found: "the word alone".to_owned(),
            quote: false,
        })
    }
}

/// A field whose name chooses and whose value goes with it.
struct Chosen<'de> {
    key: &'de Key,
    value: &'de Node,
}

impl Chosen<'_> {
    fn inside(&self, fault: Fault) -> Fault {
        fault.at(self.value.place).inside(Step::Field(self.key.name.clone()))
    }
}

impl<'de> EnumAccess<'de> for Chosen<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Fault> {
        let name: StrDeserializer<'de, Fault> = self.key.name.as_str().into_deserializer();
        let chosen = seed.deserialize(name).map_err(|fault| fault.at(self.key.place))?;
        Ok((chosen, self))
    }
}

impl<'de> VariantAccess<'de> for Chosen<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Err(self.inside(self.value.wrong("the word alone", false)))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self.value).map_err(|fault| self.inside(fault))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.value.deserialize_seq(visitor).map_err(|fault| self.inside(fault))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.value.value {
            Value::Fields(fields) => {
                let fields = MapAccessDeserializer::new(Fields { fields, next: 0 });
                fields.deserialize_map(visitor).map_err(|fault| self.inside(fault))
            }
            _ => Err(self.inside(self.value.wrong(&format!("the fields {}", fields.join(", ")), false))),
        }
    }
}
