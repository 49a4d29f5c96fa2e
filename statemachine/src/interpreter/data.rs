//! What paths, templates and rules come to when there is data.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::io;
use std::sync::Arc;

use serde_json::{Map, Number, Value};

use super::Failure;
use crate::asl::{
    Comparison, DATA_LIMIT_EXCEEDED, PAYLOAD_LIMIT, Path, PathStep, RUNTIME, ResultPath, Root, Rule,
    Template, Test,
};

/// What `$$` reaches.
pub(super) struct Context<'a> {
    pub(super) name: &'a str,
    pub(super) input: &'a Value,
    pub(super) started_at: jiff::Timestamp,
    pub(super) state: &'a str,
    pub(super) retries: u64,
    /// The index and value of the innermost inline Map's item.
    pub(super) item: Option<(usize, &'a Value)>,
}

/// The value at `path`, if there is one.
pub(super) fn find<'a>(path: &Path, input: &'a Value, context: &Context<'a>) -> Option<Cow<'a, Value>> {
    let owned = |value: Value| Some(Cow::Owned(value));
    let base = match path.root {
        Root::Input => input,
        Root::ExecutionInput => context.input,
        Root::ItemValue => context.item?.1,
        Root::ExecutionId | Root::ExecutionName => return owned(context.name.into()),
        Root::ExecutionStartTime => return owned(context.started_at.to_string().into()),
        Root::StateName => return owned(context.state.into()),
        Root::RetryCount => return owned(context.retries.into()),
        Root::ItemIndex => return owned(context.item?.0.into()),
    };
    path.steps
        .iter()
        .try_fold(base, |value, step| match step {
            PathStep::Field(name) => value.get(name),
            PathStep::Index(index) => value.get(index),
        })
        .map(Cow::Borrowed)
}

/// The value at `path`, which `field` names.
pub(super) fn need<'a>(
    path: &Path,
    field: &str,
    input: &'a Value,
    context: &Context<'a>,
) -> Result<Cow<'a, Value>, Failure> {
    find(path, input, context).ok_or_else(|| {
        Failure::new(RUNTIME, format!("the path {} of {field} leads nowhere in the input", path.text))
    })
}

/// Applies `InputPath` or `OutputPath`.
pub(super) fn filter(
    path: Option<&Path>,
    field: &str,
    input: Arc<Value>,
    context: &Context<'_>,
) -> Result<Arc<Value>, Failure> {
    match path {
        None => Ok(Arc::new(Value::Object(Map::new()))),
        Some(path) if path.is_whole() => Ok(input),
        Some(path) => {
            let found = find(path, &input, context).map(Cow::into_owned);
            match found {
                Some(value) => Ok(Arc::new(value)),
                None => need(path, field, &input, context).map(|value| Arc::new(value.into_owned())),
            }
        }
    }
}

/// Fills in a template.
pub(super) fn render(template: &Template, input: &Value, context: &Context<'_>) -> Result<Value, Failure> {
    Ok(match template {
        Template::Constant(value) => value.clone(),
        Template::Filled(path) => need(path, "a template", input, context)?.into_owned(),
        Template::List(parts) => {
            Value::Array(parts.iter().map(|part| render(part, input, context)).collect::<Result<_, _>>()?)
        }
        Template::Object(parts) => {
            let field = |(name, part): &(String, Template)| Ok((name.clone(), render(part, input, context)?));
            Value::Object(parts.iter().map(field).collect::<Result<_, Failure>>()?)
        }
    })
}

/// Puts `result` where `path` says, in `input`.
pub(super) fn place(path: &ResultPath, input: Arc<Value>, result: Value) -> Result<Arc<Value>, Failure> {
    let names = match path {
        ResultPath::Discard => return Ok(input),
        ResultPath::Replace => return Ok(Arc::new(result)),
        ResultPath::Put(names) => names,
    };
    let mut root = Arc::unwrap_or_clone(input);
    let mut slot = &mut root;
    for name in names {
        let Value::Object(map) = slot else {
            let cause = format!("the result path $.{} goes through what is no object", names.join("."));
            return Err(Failure::new("States.ResultPathMatchFailure", cause));
        };
        slot = map.entry(name.as_str()).or_insert_with(|| Value::Object(Map::new()));
    }
    *slot = result;
    Ok(Arc::new(root))
}

/// Refuses a payload over the limit, and notes the largest.
pub(super) fn check_size(value: &Value, what: &str, largest: &Cell<usize>) -> Result<(), Failure> {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).expect("a value is JSON, and counting cannot fail");
    largest.set(largest.get().max(counter.0));
    if counter.0 <= PAYLOAD_LIMIT {
        return Ok(());
    }
    let cause = format!("{what} has {} bytes; the limit is {PAYLOAD_LIMIT}", counter.0);
    Err(Failure::new(DATA_LIMIT_EXCEEDED, cause))
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a rule holds. A path that leads nowhere is an error, unless the test
/// asks whether it does.
pub(super) fn holds(rule: &Rule, input: &Value, context: &Context<'_>) -> Result<bool, Failure> {
    let (path, test) = match rule {
        Rule::And(rules) => {
            for rule in rules {
                if !holds(rule, input, context)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        Rule::Or(rules) => {
            for rule in rules {
                if holds(rule, input, context)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        Rule::Not(rule) => return holds(rule, input, context).map(|held| !held),
        Rule::Test(path, Test::IsPresent(wanted)) => {
            return Ok(find(path, input, context).is_some() == *wanted);
        }
        Rule::Test(path, test) => (path, test),
    };
    let value = need(path, "Variable", input, context)?;
    Ok(match test {
        Test::BooleanEquals(wanted) => value.as_bool() == Some(*wanted),
        Test::Number(how, other) => value.as_number().is_some_and(|n| compares(*how, order(n, other))),
        Test::Text(how, other) => value.as_str().is_some_and(|s| compares(*how, Some(s.cmp(other)))),
        Test::IsPresent(wanted) => *wanted,
        Test::IsNull(wanted) => value.is_null() == *wanted,
        Test::IsBoolean(wanted) => value.is_boolean() == *wanted,
        Test::IsNumeric(wanted) => value.is_number() == *wanted,
        Test::IsString(wanted) => value.is_string() == *wanted,
    })
}

/// Whole numbers compare exactly, others as floating point.
fn order(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

fn compares(how: Comparison, order: Option<Ordering>) -> bool {
    order.is_some_and(|order| match how {
        Comparison::Equal => order.is_eq(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}
