//! One execution: its strands, what each waits for, and how each goes on.
//!
//! A *strand* is a chain of states being run: the machine itself, a branch of
//! a Parallel, an iteration of a Map. A strand is ready, or waits for a step
//! that the driver has, or for the fan of strands below it (`fan.rs`).

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::data::{Context, check_size, filter, holds, need, place, render};
use super::fan::{Fan, FanId};
use super::{Entered, Failure, Step, StepId, Until};
use crate::asl::{self, Chain, Definition, Kind, Next, RUNTIME, State, Task};

/// Names a strand; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct StrandId(u64);

/// A chain being run.
pub(super) struct Strand {
    /// Whose branch or iteration this is, and which one.
    pub(super) parent: Option<(FanId, usize)>,
    pub(super) chain: Arc<Chain>,
    /// The index of the state it is in.
    pub(super) at: usize,
    /// What came into that state.
    pub(super) input: Arc<Value>,
    /// What the states' paths in the trace begin with.
    pub(super) scope: Arc<str>,
    /// The item of the innermost inline Map around it.
    pub(super) item: Option<(usize, Arc<Value>)>,
    pub(super) busy: Busy,
    /// Retries in this state so far: all of them, and those of each retrier.
    retries: u64,
    attempts: Vec<u64>,
}

impl Strand {
    /// A strand at the start of `chain`.
    pub(super) fn new(parent: Option<(FanId, usize)>, chain: &Arc<Chain>, input: Arc<Value>) -> Self {
        Self {
            parent,
            chain: Arc::clone(chain),
            at: chain.start,
            input,
            scope: Arc::from(""),
            item: None,
            busy: Busy::Ready,
            retries: 0,
            attempts: Vec::new(),
        }
    }
}

/// What a strand waits for.
pub(super) enum Busy {
    Ready,
    Step(StepId),
    Fan(FanId),
}

/// What follows the end of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    /// A call's answer.
    Answer,
    /// The end of a Wait state.
    Pause,
    /// The delay before a retry.
    Retry,
}

/// What is to be done about a ready strand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    Enter,
    Retry,
}

/// What a state wants once its input is known.
enum Action {
    Call { function: String, payload: Value, timeout: Option<Duration> },
    Wait(Until),
    Fan(Arc<Value>),
    Go(Next, Arc<Value>),
}

/// One run of a [`Definition`]; see [the module](super).
pub struct Execution {
    name: String,
    input: Arc<Value>,
    started_at: jiff::Timestamp,
    pub(super) strands: HashMap<StrandId, Strand>,
    pub(super) fans: HashMap<FanId, Fan>,
    waiting: HashMap<StepId, (StrandId, Awaits)>,
    ready: VecDeque<(StrandId, Ready)>,
    /// Steps to give out.
    steps: VecDeque<Step>,
    last_id: u64,
    trace: Vec<Entered>,
    /// Of all inputs and outputs so far, the most bytes.
    pub(super) largest: Cell<usize>,
    over: bool,
}

impl Execution {
    /// Starts the definition on `input`. Nothing runs before [`Self::next_step`].
    ///
    /// `name` and `started_at` are what `$$.Execution` says of it.
    #[must_use]
    pub fn start(definition: &Definition, name: &str, started_at: jiff::Timestamp, input: Value) -> Self {
        let input = Arc::new(input);
        let mut execution = Self {
            name: name.to_owned(),
            input: Arc::clone(&input),
            started_at,
            strands: HashMap::new(),
            fans: HashMap::new(),
            waiting: HashMap::new(),
            ready: VecDeque::new(),
            steps: VecDeque::new(),
            last_id: 0,
            trace: Vec::new(),
            largest: Cell::new(0),
            over: false,
        };
        match check_size(&input, "the execution's input", &execution.largest) {
            Ok(()) => drop(execution.add_strand(Strand::new(None, &definition.chain, input))),
            Err(failure) => execution.finish(Err(failure)),
        }
        execution
    }

    /// The next thing to do, or `None` while everything outstanding is in the
    /// driver's hands, and for ever after [`Step::Finished`].
    pub fn next_step(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return Some(step);
            }
            let (id, what) = self.ready.pop_front()?;
            // One that was cancelled while it was ready is gone.
            let Some(strand) = self.strands.get(&id) else { continue };
            if what == Ready::Enter {
                let state = Arc::clone(&strand.chain.states[strand.at].name);
                self.trace.push(Entered { scope: Arc::clone(&strand.scope), state });
            }
            if let Err(failure) = self.run(id) {
                self.fail(id, failure);
            }
        }
    }

    /// A call has ended. An id that is unknown, or no longer matters, is ignored.
    pub fn complete(&mut self, id: StepId, outcome: Result<Value, Failure>) {
        let Some(strand) = self.awaited(id, |awaits| awaits == Awaits::Answer) else { return };
        let outcome = outcome.map_err(Failure::shortened).and_then(|payload| {
            let result =
                serde_json::json!({ "ExecutedVersion": "$LATEST", "Payload": payload, "StatusCode": 200 });
            self.conclude(strand.0, result)
        });
        if let Err(failure) = outcome {
            self.fail(strand.0, failure);
        }
    }

    /// A wait is over. An id that is unknown, or no longer matters, is ignored.
    pub fn woke(&mut self, id: StepId) {
        match self.awaited(id, |awaits| awaits != Awaits::Answer) {
            None => {}
            Some((strand, Awaits::Retry)) => self.ready.push_back((strand, Ready::Retry)),
            Some((strand, _)) => {
                if let Err(failure) = self.pass_on(strand) {
                    self.fail(strand, failure);
                }
            }
        }
    }

    /// Ends the execution: the machine's own time-out has passed, or somebody
    /// stopped it. Nothing catches that, and nothing more runs.
    pub fn abort(&mut self, failure: Failure) {
        if self.over {
            return;
        }
        let outstanding = self.waiting.drain().map(|(id, _)| id).collect();
        self.forget(outstanding);
        self.finish(Err(failure));
    }

    /// Every state entered so far, in order.
    #[must_use]
    pub fn trace(&self) -> &[Entered] {
        &self.trace
    }

    /// How many bytes the largest input or output of a state had so far.
    #[must_use]
    pub const fn largest_payload(&self) -> usize {
        self.largest.get()
    }

    /// Takes what awaits `id`, if it is `wanted`.
    fn awaited(&mut self, id: StepId, wanted: impl Fn(Awaits) -> bool) -> Option<(StrandId, Awaits)> {
        let (strand, awaits) = self.waiting.get(&id).copied().filter(|(_, awaits)| wanted(*awaits))?;
        self.waiting.remove(&id);
        self.strand(strand).busy = Busy::Ready;
        Some((strand, awaits))
    }

    pub(super) fn strand(&mut self, id: StrandId) -> &mut Strand {
        self.strands.get_mut(&id).expect("a strand lives as long as something refers to it as running")
    }

    /// A number that was not given out before.
    pub(super) fn fresh(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Adds a strand, which is ready.
    pub(super) fn add_strand(&mut self, strand: Strand) -> StrandId {
        let id = StrandId(self.fresh());
        self.strands.insert(id, strand);
        self.ready.push_back((id, Ready::Enter));
        id
    }

    pub(super) fn context<'a>(&'a self, strand: &'a Strand) -> Context<'a> {
        Context {
            name: &self.name,
            input: &self.input,
            started_at: self.started_at,
            state: &strand.chain.states[strand.at].name,
            retries: strand.retries,
            item: strand.item.as_ref().map(|(index, value)| (*index, &**value)),
        }
    }

    /// Does what the strand's state does, as far as it goes without an answer.
    fn run(&mut self, id: StrandId) -> Result<(), Failure> {
        match self.decide(id)? {
            Action::Call { function, payload, timeout } => {
                let step = self.wait_for(id, Awaits::Answer);
                self.steps.push_back(Step::Call { id: step, function, payload, timeout });
            }
            Action::Wait(until) => {
                let step = self.wait_for(id, Awaits::Pause);
                self.steps.push_back(Step::Wait { id: step, until });
            }
            Action::Fan(input) => self.open_fan(id, input)?,
            Action::Go(next, output) => self.advance(id, next, output),
        }
        Ok(())
    }

    fn wait_for(&mut self, id: StrandId, awaits: Awaits) -> StepId {
        let step = StepId(self.fresh());
        self.waiting.insert(step, (id, awaits));
        self.strand(id).busy = Busy::Step(step);
        step
    }

    fn decide(&self, id: StrandId) -> Result<Action, Failure> {
        let strand = &self.strands[&id];
        let state = &strand.chain.states[strand.at];
        let context = self.context(strand);
        let filtered = filter(state.input_path.as_ref(), "InputPath", Arc::clone(&strand.input), &context)?;
        let input = match &state.parameters {
            None => Arc::clone(&filtered),
            Some(template) => {
                let rendered = render(template, &filtered, &context)?;
                check_size(&rendered, "the input after Parameters", &self.largest)?;
                Arc::new(rendered)
            }
        };
        let go = |next, output| {
            filter(state.output_path.as_ref(), "OutputPath", output, &context)
                .map(|output| Action::Go(next, output))
        };
        match &state.kind {
            Kind::Task(task) => call(task, &input, &context, &self.largest),
            Kind::Wait(until) => wait(until, &input, &context).map(Action::Wait),
            Kind::Parallel(_) | Kind::Map(_) => Ok(Action::Fan(input)),
            Kind::Succeed => go(Next::End, input),
            Kind::Fail { error, cause } => Err(Failure::new(error, cause)),
            Kind::Pass { result } => {
                let output = match (&state.result_path, result) {
                    (asl::ResultPath::Replace, None) => input,
                    (path, result) => {
                        let result = result.clone().unwrap_or_else(|| Arc::unwrap_or_clone(input));
                        place(path, Arc::clone(&strand.input), result)?
                    }
                };
                check_size(&output, "the state's output", &self.largest)?;
                go(state.next, output)
            }
            Kind::Choice { rules, default } => {
                let mut chosen = *default;
                for (rule, next) in rules {
                    if holds(rule, &input, &context)? {
                        chosen = Some(*next);
                        break;
                    }
                }
                let Some(next) = chosen else {
                    let cause = format!("no rule of {:?} matched, and it has no default", state.name);
                    return Err(Failure::new("States.NoChoiceMatched", cause));
                };
                go(Next::State(next), input)
            }
        }
    }

    /// Goes on after a Wait.
    fn pass_on(&mut self, id: StrandId) -> Result<(), Failure> {
        let strand = &self.strands[&id];
        let state = &strand.chain.states[strand.at];
        let context = self.context(strand);
        let input = filter(state.input_path.as_ref(), "InputPath", Arc::clone(&strand.input), &context)?;
        let output = filter(state.output_path.as_ref(), "OutputPath", input, &context)?;
        let next = state.next;
        self.advance(id, next, output);
        Ok(())
    }

    /// Goes on after a Task, Parallel or Map had this result.
    pub(super) fn conclude(&mut self, id: StrandId, result: Value) -> Result<(), Failure> {
        let strand = &self.strands[&id];
        let state = &strand.chain.states[strand.at];
        let context = self.context(strand);
        check_size(&result, "the result", &self.largest)?;
        let result = match &state.result_selector {
            None => result,
            Some(template) => render(template, &result, &context)?,
        };
        let output = place(&state.result_path, Arc::clone(&strand.input), result)?;
        check_size(&output, "the state's output", &self.largest)?;
        let output = filter(state.output_path.as_ref(), "OutputPath", output, &context)?;
        let next = state.next;
        self.advance(id, next, output);
        Ok(())
    }

    /// Moves a strand to its next state, or to its end.
    fn advance(&mut self, id: StrandId, next: Next, output: Arc<Value>) {
        let Next::State(at) = next else {
            return self.end(id, Ok(output));
        };
        let strand = self.strand(id);
        strand.at = at;
        strand.input = output;
        strand.busy = Busy::Ready;
        strand.retries = 0;
        strand.attempts.clear();
        self.ready.push_back((id, Ready::Enter));
    }

    /// The strand's state has failed: tries it again, goes where it is caught, or
    /// fails the strand.
    pub(super) fn fail(&mut self, id: StrandId, failure: Failure) {
        let strand = self.strand(id);
        strand.busy = Busy::Ready;
        let chain = Arc::clone(&strand.chain);
        let state = &chain.states[strand.at];
        if let Some(delay) = strand.retry_delay(state, &failure.error) {
            let step = self.wait_for(id, Awaits::Retry);
            self.steps.push_back(Step::Wait { id: step, until: Until::After(delay) });
            return;
        }
        let input = Arc::clone(&strand.input);
        let Some(catcher) = state.catch.iter().find(|catcher| catcher.errors.matches(&failure.error)) else {
            return self.end(id, Err(failure));
        };
        let caught = place(&catcher.result_path, input, failure.into_value())
            .and_then(|output| check_size(&output, "the state's output", &self.largest).map(|()| output));
        match caught {
            Ok(output) => self.advance(id, Next::State(catcher.next), output),
            Err(failure) => self.end(id, Err(failure)),
        }
    }

    /// Ends a strand, and tells its parent.
    fn end(&mut self, id: StrandId, outcome: Result<Arc<Value>, Failure>) {
        let strand = self.strands.remove(&id).expect("a strand ends once");
        match strand.parent {
            None => self.finish(outcome.map(Arc::unwrap_or_clone)),
            Some((fan, index)) => self.child_ended(fan, index, id, outcome),
        }
    }

    fn finish(&mut self, outcome: Result<Value, Failure>) {
        self.over = true;
        self.strands.clear();
        self.fans.clear();
        self.waiting.clear();
        self.ready.clear();
        self.steps.push_back(Step::Finished(outcome));
    }

    /// Removes a strand and everything below it; collects the steps that nobody
    /// awaits any more.
    pub(super) fn cancel(&mut self, id: StrandId, steps: &mut BTreeSet<StepId>) {
        let Some(strand) = self.strands.remove(&id) else { return };
        match strand.busy {
            Busy::Ready => {}
            Busy::Step(step) => {
                self.waiting.remove(&step);
                steps.insert(step);
            }
            Busy::Fan(fan) => self.cancel_fan(fan, steps),
        }
    }

    /// Tells the driver to forget `cancelled`. It never hears of those that it was not given yet.
    pub(super) fn forget(&mut self, mut cancelled: BTreeSet<StepId>) {
        if cancelled.is_empty() {
            return;
        }
        self.steps.retain(|step| match step {
            Step::Call { id, .. } | Step::Wait { id, .. } => !cancelled.remove(id),
            Step::Cancel { .. } | Step::Finished(_) => true,
        });
        self.steps.extend(cancelled.into_iter().map(|id| Step::Cancel { id }));
    }
}

impl Strand {
    /// How long to wait before trying `state` again after `error`, if it is to
    /// be. The first retrier that matches decides alone.
    fn retry_delay(&mut self, state: &State, error: &str) -> Option<Duration> {
        let index = state.retry.iter().position(|retrier| retrier.errors.matches(error))?;
        let retrier = &state.retry[index];
        self.attempts.resize(state.retry.len(), 0);
        let attempt = self.attempts[index];
        if attempt >= retrier.max_attempts {
            return None;
        }
        self.attempts[index] += 1;
        self.retries += 1;
        let seconds = retrier.interval * retrier.backoff_rate.powf(attempt as f64);
        Some(Duration::from_secs_f64(seconds.min(retrier.max_delay)))
    }
}

fn call(task: &Task, input: &Value, context: &Context<'_>, largest: &Cell<usize>) -> Result<Action, Failure> {
    let function = match render(&task.function, input, context)? {
        Value::String(function) => function,
        other => return Err(Failure::new(RUNTIME, format!("the FunctionName {other} is no text"))),
    };
    let payload = render(&task.payload, input, context)?;
    check_size(&payload, "the payload", largest)?;
    Ok(Action::Call { function, payload, timeout: task.timeout })
}

fn wait(until: &asl::Until, input: &Value, context: &Context<'_>) -> Result<Until, Failure> {
    let invalid = |found: Cow<'_, Value>, what| Failure::new(RUNTIME, format!("{found} is no {what}"));
    Ok(match until {
        asl::Until::Seconds(seconds) => Until::After(Duration::from_secs(*seconds)),
        asl::Until::Timestamp(at) => Until::At(*at),
        asl::Until::SecondsPath(path) => {
            let found = need(path, "SecondsPath", input, context)?;
            match found.as_u64().filter(|seconds| *seconds <= asl::MAX_SECONDS) {
                Some(seconds) => Until::After(Duration::from_secs(seconds)),
                None => return Err(invalid(found, "number of seconds to wait")),
            }
        }
        asl::Until::TimestampPath(path) => {
            let found = need(path, "TimestampPath", input, context)?;
            match found.as_str().and_then(asl::timestamp) {
                Some(at) => Until::At(at),
                None => return Err(invalid(found, "time like 2026-11-24T05:50:22Z")),
            }
        }
    })
}
