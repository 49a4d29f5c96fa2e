//! Reference paths: where in its input, or in the context, a value is.

use serde_json::Value;

use super::DefinitionError;
use super::fields::Fields;

/// Where in the definition a path stands; the context differs with it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope {
    /// In an `ItemSelector` or an iteration of an inline Map: `$$.Map.Item` exists.
    pub(super) in_map: bool,
    /// In a child execution of a distributed Map, where `$$.Execution` on AWS is
    /// the child's own. We have no such thing, so it is refused there.
    pub(super) in_child: bool,
}

/// What a path starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    Input,
    ExecutionId,
    ExecutionName,
    ExecutionInput,
    ExecutionStartTime,
    StateName,
    RetryCount,
    ItemIndex,
    ItemValue,
}

/// One step down from a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathStep {
    Field(String),
    Index(usize),
}

/// A path to exactly one value, such as `$.plan.run` or `$$.Map.Item.Value`.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub(crate) text: String,
    pub(crate) root: Root,
    pub(crate) steps: Vec<PathStep>,
}

const FORM: &str = "a reference path such as $, $.a.b or $.a[0]";

const CONTEXT: [(&str, Root); 8] = [
    ("$$.Execution.Id", Root::ExecutionId),
    ("$$.Execution.Name", Root::ExecutionName),
    ("$$.Execution.Input", Root::ExecutionInput),
    ("$$.Execution.StartTime", Root::ExecutionStartTime),
    ("$$.State.Name", Root::StateName),
    ("$$.State.RetryCount", Root::RetryCount),
    ("$$.Map.Item.Index", Root::ItemIndex),
    ("$$.Map.Item.Value", Root::ItemValue),
];

impl Path {
    /// The whole input: `$`.
    pub(super) fn whole() -> Self {
        Self { text: "$".to_owned(), root: Root::Input, steps: Vec::new() }
    }

    /// Reads a path; the error is what was expected instead.
    pub(super) fn parse(text: &str, scope: Scope) -> Result<Self, String> {
        let (root, rest) = if text.starts_with("$$") {
            let at_end = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
            CONTEXT
                .iter()
                .find_map(|(prefix, root)| {
                    text.strip_prefix(prefix).filter(|rest| at_end(rest)).map(|rest| (*root, rest))
                })
                .ok_or_else(|| {
                    let known: Vec<_> = CONTEXT.iter().map(|(name, _)| *name).collect();
                    format!("one of {}", known.join(", "))
                })?
        } else {
            (Root::Input, text.strip_prefix('$').ok_or(FORM)?)
        };
        match root {
            Root::ItemIndex | Root::ItemValue if !scope.in_map => {
                return Err("no $$.Map.Item outside an ItemSelector or an inline Map".to_owned());
            }
            Root::ExecutionId | Root::ExecutionName | Root::ExecutionInput | Root::ExecutionStartTime
                if scope.in_child =>
            {
                return Err("no $$.Execution in a distributed Map, where it is the child's".to_owned());
            }
            _ => {}
        }
        let steps = steps(rest).ok_or(FORM)?;
        if !steps.is_empty() && !matches!(root, Root::Input | Root::ExecutionInput | Root::ItemValue) {
            return Err("a path that ends there, since that is no object".to_owned());
        }
        Ok(Self { text: text.to_owned(), root, steps })
    }

    /// Takes field `field` as a path, if it is there.
    pub(super) fn take(
        fields: &mut Fields,
        field: &str,
        scope: Scope,
    ) -> Result<Option<Self>, DefinitionError> {
        fields
            .text(field)?
            .map(|text| {
                Self::parse(&text, scope)
                    .map_err(|expected| fields.invalid(field, &Value::from(text), &expected))
            })
            .transpose()
    }

    /// Takes `InputPath` or `OutputPath`: absent means everything, and null
    /// (here `None`) means an empty object.
    pub(super) fn filter(
        fields: &mut Fields,
        field: &str,
        scope: Scope,
    ) -> Result<Option<Self>, DefinitionError> {
        match fields.take(field) {
            None => Ok(Some(Self::whole())),
            Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Self::parse(&text, scope)
                .map(Some)
                .map_err(|expected| fields.invalid(field, &Value::from(text), &expected)),
            Some(other) => Err(fields.invalid(field, &other, FORM)),
        }
    }

    /// Whether this is `$`, which needs no copy.
    pub(crate) fn is_whole(&self) -> bool {
        self.root == Root::Input && self.steps.is_empty()
    }
}

/// Reads `.a.b[0]`. Names are letters, digits and `_`, which every
/// implementation of JSONPath reads alike.
fn steps(mut rest: &str) -> Option<Vec<PathStep>> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('.') {
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            let (name, tail) = tail.split_at(end);
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return None;
            }
            steps.push(PathStep::Field(name.to_owned()));
            rest = tail;
        } else {
            let (index, tail) = rest.strip_prefix('[')?.split_once(']')?;
            if !index.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            steps.push(PathStep::Index(index.parse().ok()?));
            rest = tail;
        }
    }
    Some(steps)
}

/// Where a state's result goes in its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ResultPath {
    /// Null: the result is dropped and the input goes on.
    Discard,
    /// `$`: the result takes the input's place.
    Replace,
    /// `$.a.b`: the result is put there.
    Put(Vec<String>),
}

impl ResultPath {
    /// Takes `ResultPath`, which is `$` unless it is there.
    pub(super) fn take(fields: &mut Fields) -> Result<Self, DefinitionError> {
        let expected = "null, $, or a path of names such as $.a.b";
        let text = match fields.take("ResultPath") {
            None => return Ok(Self::Replace),
            Some(Value::Null) => return Ok(Self::Discard),
            Some(Value::String(text)) => text,
            Some(other) => return Err(fields.invalid("ResultPath", &other, expected)),
        };
        let names = text.strip_prefix('$').and_then(steps).and_then(|steps| {
            let name = |step| match step {
                PathStep::Field(name) => Some(name),
                PathStep::Index(_) => None,
            };
            steps.into_iter().map(name).collect::<Option<Vec<_>>>()
        });
        match names {
            None => Err(fields.invalid("ResultPath", &Value::from(text), expected)),
            Some(names) if names.is_empty() => Ok(Self::Replace),
            Some(names) => Ok(Self::Put(names)),
        }
    }
}
