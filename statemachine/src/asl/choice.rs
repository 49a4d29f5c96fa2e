//! The rules of a Choice state.

use serde_json::{Number, Value};

use super::DefinitionError;
use super::fields::Fields;
use super::path::{Path, Scope};

/// What a rule asks.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    And(Vec<Rule>),
    Or(Vec<Rule>),
    Not(Box<Rule>),
    Test(Path, Test),
}

/// What is asked of one value. A value of another type than the test's is
/// simply not equal, less or greater.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    BooleanEquals(bool),
    Number(Comparison, Number),
    Text(Comparison, String),
    /// Whether the path leads anywhere; the only test that may ask about nothing.
    IsPresent(bool),
    IsNull(bool),
    IsBoolean(bool),
    IsNumeric(bool),
    IsString(bool),
}

/// How two values are compared. Texts compare by their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const COMPARISONS: [(&str, Comparison); 5] = [
    ("Equals", Comparison::Equal),
    ("LessThan", Comparison::Less),
    ("LessThanEquals", Comparison::LessOrEqual),
    ("GreaterThan", Comparison::Greater),
    ("GreaterThanEquals", Comparison::GreaterOrEqual),
];

/// Makes a test of what is wanted.
type MakeTest = fn(bool) -> Test;

const YES_OR_NO: [(&str, MakeTest); 6] = [
    ("BooleanEquals", Test::BooleanEquals),
    ("IsPresent", Test::IsPresent),
    ("IsNull", Test::IsNull),
    ("IsBoolean", Test::IsBoolean),
    ("IsNumeric", Test::IsNumeric),
    ("IsString", Test::IsString),
];

impl Rule {
    /// Reads a rule out of its object; the caller has taken `Next` and calls
    /// [`Fields::finish`] itself.
    pub(super) fn parse(fields: &mut Fields, scope: Scope) -> Result<Self, DefinitionError> {
        let nested = |mut inner: Fields| {
            let rule = Self::parse(&mut inner, scope)?;
            inner.finish().map(|()| rule)
        };
        for (name, combine) in [("And", Self::And as fn(Vec<Self>) -> Self), ("Or", Self::Or)] {
            let rules = fields.objects(name)?;
            if !rules.is_empty() {
                return rules.into_iter().map(nested).collect::<Result<_, _>>().map(combine);
            }
        }
        if let Some(value) = fields.take("Not") {
            let inner = Fields::of(fields.at(), "Not", value)?;
            return nested(inner).map(|rule| Self::Not(Box::new(rule)));
        }
        let path = Path::take(fields, "Variable", scope)?.ok_or_else(|| DefinitionError::Missing {
            at: fields.at().to_owned(),
            field: "Variable".into(),
        })?;
        Ok(Self::Test(path, Self::test(fields)?))
    }

    fn test(fields: &mut Fields) -> Result<Test, DefinitionError> {
        for (name, test) in YES_OR_NO {
            match fields.take(name) {
                None => {}
                Some(Value::Bool(wanted)) => return Ok(test(wanted)),
                Some(other) => return Err(fields.invalid(name, &other, "true or false")),
            }
        }
        for (suffix, comparison) in COMPARISONS {
            let name = format!("Numeric{suffix}");
            match fields.take(&name) {
                None => {}
                Some(Value::Number(number)) => return Ok(Test::Number(comparison, number)),
                Some(other) => return Err(fields.invalid(&name, &other, "a number")),
            }
            if let Some(text) = fields.text(&format!("String{suffix}"))? {
                return Ok(Test::Text(comparison, text));
            }
        }
        let (at, field) = (fields.at().to_owned(), "a comparison that is implemented".to_owned());
        Err(DefinitionError::Missing { at, field })
    }
}
