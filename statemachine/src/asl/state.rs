//! One state, of each type that we accept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::DefinitionError;
use super::chain::{Chain, Names};
use super::choice::Rule;
use super::fields::Fields;
use super::path::{Path, ResultPath, Scope};
use super::recovery::{Catcher, Retrier};
use super::template::Template;

/// The longest time-out or wait that AWS takes, in seconds.
pub(crate) const MAX_SECONDS: u64 = 99_999_999;

/// The only resource of a Task.
const LAMBDA_INVOKE: &str = "arn:aws:states:::lambda:invoke";

/// One state.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: Arc<str>,
    pub(crate) kind: Kind,
    /// `None` stands for null: an empty object.
    pub(crate) input_path: Option<Path>,
    pub(crate) parameters: Option<Template>,
    pub(crate) result_selector: Option<Template>,
    pub(crate) result_path: ResultPath,
    /// `None` stands for null: an empty object.
    pub(crate) output_path: Option<Path>,
    pub(crate) next: Next,
    pub(crate) retry: Vec<Retrier>,
    pub(crate) catch: Vec<Catcher>,
}

/// What comes after a state that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The state with this index in the chain.
    State(usize),
    /// The chain has ended.
    End,
    /// A Choice decides, and a Fail has nothing after it.
    Elsewhere,
}

/// What a state does.
#[derive(Debug)]
pub(crate) enum Kind {
    Task(Task),
    Choice { rules: Vec<(Rule, usize)>, default: Option<usize> },
    Wait(Until),
    Pass { result: Option<Value> },
    Parallel(Vec<Arc<Chain>>),
    Map(MapState),
    Succeed,
    Fail { error: String, cause: String },
}

/// A call of a Lambda function.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) function: Template,
    pub(crate) payload: Template,
    pub(crate) timeout: Option<Duration>,
}

/// How long a Wait waits.
#[derive(Debug)]
pub(crate) enum Until {
    Seconds(u64),
    SecondsPath(Path),
    Timestamp(jiff::Timestamp),
    TimestampPath(Path),
}

/// One iteration for each item.
#[derive(Debug)]
pub(crate) struct MapState {
    pub(crate) items: Path,
    pub(crate) selector: Option<Template>,
    /// How many iterations run side by side; 0 means all.
    pub(crate) max_concurrency: u64,
    pub(crate) mode: Mode,
    pub(crate) chain: Arc<Chain>,
}

/// What an iteration is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// A part of this execution, whose failure is the Map's.
    Inline,
    /// An execution of its own. The Map fails when more than `percentage` (0 to
    /// 100) of the items, or more than `count` of them, have failed.
    Distributed { percentage: Option<f64>, count: Option<u64> },
}

/// Reads a time as AWS wants it: RFC 3339, with a capital `T` and `Z`.
pub(crate) fn timestamp(text: &str) -> Option<jiff::Timestamp> {
    let strict = text.as_bytes().get(10) == Some(&b'T') && !text.contains(['z', '[']);
    strict.then(|| text.parse().ok()).flatten()
}

/// The index of `target` among `states`.
pub(super) fn find_state(
    at: &str,
    target: String,
    states: &BTreeMap<String, usize>,
) -> Result<usize, DefinitionError> {
    match states.get(&target) {
        Some(index) => Ok(*index),
        None => Err(DefinitionError::UnknownState { at: at.to_owned(), target }),
    }
}

/// What reading a state needs to know of its surroundings.
struct Around<'a> {
    scope: Scope,
    states: &'a BTreeMap<String, usize>,
    names: &'a mut Names,
}

impl State {
    /// Reads the state called `name`; `states` are those beside it.
    pub(super) fn parse(
        name: &str,
        value: Value,
        scope: Scope,
        states: &BTreeMap<String, usize>,
        names: &mut Names,
    ) -> Result<Self, DefinitionError> {
        let mut fields = Fields::of(&format!("state {name:?}"), "", value)?;
        fields.comment()?;
        let mut state = Self {
            name: Arc::from(name),
            kind: Kind::Succeed,
            input_path: Some(Path::whole()),
            parameters: None,
            result_selector: None,
            result_path: ResultPath::Replace,
            output_path: Some(Path::whole()),
            next: Next::Elsewhere,
            retry: Vec::new(),
            catch: Vec::new(),
        };
        state.read(&mut fields, &mut Around { scope, states, names })?;
        fields.finish()?;
        Ok(state)
    }

    /// The states that may come next.
    pub(super) fn successors(&self) -> impl Iterator<Item = usize> + '_ {
        let next = if let Next::State(next) = self.next { Some(next) } else { None };
        let (chosen, default) = match &self.kind {
            Kind::Choice { rules, default } => (rules.as_slice(), *default),
            _ => (&[][..], None),
        };
        let chosen = chosen.iter().map(|(_, next)| *next);
        next.into_iter().chain(chosen).chain(default).chain(self.catch.iter().map(|catcher| catcher.next))
    }

    /// Whether the chain may end here.
    pub(super) fn is_end(&self) -> bool {
        self.next == Next::End || matches!(self.kind, Kind::Fail { .. })
    }

    fn read(&mut self, fields: &mut Fields, around: &mut Around<'_>) -> Result<(), DefinitionError> {
        let kind = fields.need_text("Type")?;
        if kind != "Fail" {
            self.input_path = Path::filter(fields, "InputPath", around.scope)?;
            self.output_path = Path::filter(fields, "OutputPath", around.scope)?;
        }
        match kind.as_str() {
            "Choice" => self.kind = choice(fields, around)?,
            "Fail" => {
                let error = fields.need_text("Error")?;
                if error.starts_with("States.") {
                    return Err(fields.invalid(
                        "Error",
                        &error.into(),
                        "a name that does not start with States.",
                    ));
                }
                let cause = fields.text("Cause")?.unwrap_or_default();
                self.kind = Kind::Fail { error, cause };
            }
            "Succeed" => self.next = Next::End,
            "Wait" => {
                self.kind = Kind::Wait(wait(fields, around.scope)?);
                self.next = next(fields, around)?;
            }
            "Pass" => {
                self.next = next(fields, around)?;
                self.result_path = ResultPath::take(fields)?;
                self.parameters = Template::take(fields, "Parameters", around.scope)?;
                let result = fields.take("Result");
                if let (Some(result), Some(_)) = (&result, &self.parameters) {
                    return Err(fields.invalid("Result", result, "no Result beside Parameters"));
                }
                self.kind = Kind::Pass { result };
            }
            "Task" | "Parallel" | "Map" => {
                self.next = next(fields, around)?;
                self.result_path = ResultPath::take(fields)?;
                self.result_selector = Template::take(fields, "ResultSelector", around.scope)?;
                self.retry = Retrier::take(fields)?;
                self.catch = Catcher::take(fields, around.states)?;
                self.kind = match kind.as_str() {
                    "Task" => Kind::Task(task(fields, around.scope)?),
                    "Parallel" => {
                        self.parameters = Template::take(fields, "Parameters", around.scope)?;
                        Kind::Parallel(branches(fields, around)?)
                    }
                    _ => Kind::Map(self.map(fields, around)?),
                };
            }
            _ => {
                let expected = "Task, Choice, Wait, Pass, Parallel, Map, Succeed or Fail";
                return Err(fields.invalid("Type", &kind.into(), expected));
            }
        }
        Ok(())
    }

    fn map(&self, fields: &mut Fields, around: &mut Around<'_>) -> Result<MapState, DefinitionError> {
        let items = Path::take(fields, "ItemsPath", around.scope)?.unwrap_or_else(Path::whole);
        let selector = Template::take(fields, "ItemSelector", Scope { in_map: true, ..around.scope })?;
        let max_concurrency = fields.integer("MaxConcurrency", 0..=10_000)?.unwrap_or(0);
        let processor = fields.need("ItemProcessor")?;
        let mut processor = Fields::of(fields.at(), "ItemProcessor", processor)?;
        let distributed = is_distributed(&mut processor)?;
        let (mode, inner) = if distributed {
            let percentage = fields.number("ToleratedFailurePercentage", 0.0..=100.0)?;
            let count = fields.integer("ToleratedFailureCount", 0..=MAX_SECONDS)?;
            if (percentage.is_some() || count.is_some()) && self.result_path != ResultPath::Discard {
                let expected =
                    "null where failures are tolerated, since what they leave in a result is not implemented";
                return Err(fields.invalid("ResultPath", &Value::from("not null"), expected));
            }
            (Mode::Distributed { percentage, count }, Scope { in_map: false, in_child: true })
        } else {
            (Mode::Inline, Scope { in_map: true, ..around.scope })
        };
        let chain = Chain::nested(processor, inner, around.names)?;
        Ok(MapState { items, selector, max_concurrency, mode, chain })
    }
}

fn is_distributed(processor: &mut Fields) -> Result<bool, DefinitionError> {
    let Some(config) = processor.take("ProcessorConfig") else { return Ok(false) };
    let mut config = Fields::of(processor.at(), "ProcessorConfig", config)?;
    let mode = config.text("Mode")?.unwrap_or_else(|| "INLINE".to_owned());
    let distributed = match mode.as_str() {
        "INLINE" => false,
        "DISTRIBUTED" => true,
        _ => return Err(config.invalid("Mode", &mode.into(), "INLINE or DISTRIBUTED")),
    };
    if distributed {
        let kind = config.need_text("ExecutionType")?;
        if kind != "STANDARD" {
            return Err(config.invalid("ExecutionType", &kind.into(), "STANDARD"));
        }
    }
    config.finish()?;
    Ok(distributed)
}

fn next(fields: &mut Fields, around: &Around<'_>) -> Result<Next, DefinitionError> {
    let end = fields.take("End");
    match (fields.text("Next")?, end) {
        (Some(name), None) => find_state(fields.at(), name, around.states).map(Next::State),
        (None, Some(Value::Bool(true))) => Ok(Next::End),
        (None, None) => {
            Err(DefinitionError::Missing { at: fields.at().to_owned(), field: "Next".to_owned() })
        }
        (Some(_), Some(end)) => Err(fields.invalid("End", &end, "no End beside Next")),
        (None, Some(end)) => Err(fields.invalid("End", &end, "true")),
    }
}

fn choice(fields: &mut Fields, around: &Around<'_>) -> Result<Kind, DefinitionError> {
    let mut rules = Vec::new();
    for mut object in fields.objects("Choices")? {
        object.comment()?;
        let next = object.need_text("Next")?;
        let next = find_state(object.at(), next, around.states)?;
        rules.push((Rule::parse(&mut object, around.scope)?, next));
        object.finish()?;
    }
    if rules.is_empty() {
        return Err(DefinitionError::Missing { at: fields.at().to_owned(), field: "Choices".to_owned() });
    }
    let default = fields.text("Default")?;
    let default = default.map(|name| find_state(fields.at(), name, around.states)).transpose()?;
    Ok(Kind::Choice { rules, default })
}

fn wait(fields: &mut Fields, scope: Scope) -> Result<Until, DefinitionError> {
    if let Some(seconds) = fields.integer("Seconds", 0..=MAX_SECONDS)? {
        return Ok(Until::Seconds(seconds));
    }
    if let Some(path) = Path::take(fields, "SecondsPath", scope)? {
        return Ok(Until::SecondsPath(path));
    }
    if let Some(path) = Path::take(fields, "TimestampPath", scope)? {
        return Ok(Until::TimestampPath(path));
    }
    let text = fields.need_text("Timestamp")?;
    match timestamp(&text) {
        Some(at) => Ok(Until::Timestamp(at)),
        None => Err(fields.invalid("Timestamp", &text.into(), "a time like 2026-11-24T05:50:22Z")),
    }
}

fn task(fields: &mut Fields, scope: Scope) -> Result<Task, DefinitionError> {
    let resource = fields.need_text("Resource")?;
    if resource != LAMBDA_INVOKE {
        return Err(fields.invalid("Resource", &resource.into(), LAMBDA_INVOKE));
    }
    let timeout = fields.integer("TimeoutSeconds", 1..=MAX_SECONDS)?.map(Duration::from_secs);
    let parameters = fields.need("Parameters")?;
    let mut parameters = Fields::of(fields.at(), "Parameters", parameters)?;
    let function = Template::need(&mut parameters, "FunctionName", scope)?;
    let payload = Template::need(&mut parameters, "Payload", scope)?;
    parameters.finish()?;
    Ok(Task { function, payload, timeout })
}

fn branches(fields: &mut Fields, around: &mut Around<'_>) -> Result<Vec<Arc<Chain>>, DefinitionError> {
    let branches = fields.objects("Branches")?;
    if branches.is_empty() {
        return Err(DefinitionError::Missing { at: fields.at().to_owned(), field: "Branches".to_owned() });
    }
    branches.into_iter().map(|branch| Chain::nested(branch, around.scope, around.names)).collect()
}
