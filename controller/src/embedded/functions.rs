//! Worker functions within this process.
//!
//! They live as on Lambda: created, pending, active, invoked many times at
//! once, deleted; and they are refused as there: over the control plane's rate,
//! over the account's concurrency, while pending, when missing. An invocation
//! is a thread; a panic in it is an error of the function, not of ours.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::interpreter::Failure;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::clock;
use crate::ports::{FunctionSpec, FunctionState, Functions, Listed};

/// What a function runs: the worker's handler, as Lambda would run its zip.
pub type Code = dyn Fn(Invocation) -> Result<Value, Failure> + Send + Sync;

/// One invocation of a function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The function's name.
    pub function: String,
    /// Names this invocation, and no other.
    pub token: String,
    /// What it was invoked with.
    pub payload: Value,
}

/// The limits of the platform. The defaults are those of a Lambda account; see
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Creates and deletes a second, all together; as many may come at once.
    pub control_plane_per_s: f64,
    /// Invocations at once.
    pub concurrency: usize,
    /// How many of these places others have taken: an account's functions share
    /// them, and its settings do not say who runs.
    pub others: usize,
    /// The longest function name, in characters.
    pub name_length: usize,
    /// How long a function is pending. Lambda takes seconds; this process has
    /// nothing to fetch.
    pub pending: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            control_plane_per_s: 15.0,
            concurrency: 1000,
            others: 0,
            name_length: 64,
            pending: Duration::from_millis(2),
        }
    }
}

/// The functions of this process.
#[derive(Clone)]
pub struct InProcessFunctions {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    code: Box<Code>,
    state: Mutex<State>,
    ended: Notify,
}

struct State {
    functions: BTreeMap<String, Function>,
    running: usize,
    invocations: u64,
    /// Calls that the control plane still takes now, and when that was counted.
    allowance: f64,
    counted_at: Instant,
}

struct Function {
    active_at: Instant,
    expires_at: Timestamp,
}

impl fmt::Debug for InProcessFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessFunctions").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

impl InProcessFunctions {
    /// No functions yet; each that is created runs `code`.
    #[must_use]
    pub fn new(limits: Limits, code: Box<Code>) -> Self {
        let state = State {
            functions: BTreeMap::new(),
            running: 0,
            invocations: 0,
            allowance: limits.control_plane_per_s,
            counted_at: clock::monotonic(),
        };
        Self { shared: Arc::new(Shared { limits, code, state: Mutex::new(state), ended: Notify::new() }) }
    }

    /// Runs a function on a thread of its own and waits for its answer.
    ///
    /// # Errors
    /// By the names that Step Functions would see: `Lambda.ResourceNotFoundException`,
    /// `Lambda.ResourceNotReadyException` while pending,
    /// `Lambda.TooManyRequestsException` over the concurrency, `Lambda.Unknown`
    /// when it panics, and whatever the function itself fails with.
    pub async fn invoke(&self, name: &str, payload: Value) -> Result<Value, Failure> {
        let token = self.admit(name)?;
        let invocation = Invocation { function: name.to_owned(), token, payload };
        let (answer, answered) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let run = move || {
            let result = catch_unwind(AssertUnwindSafe(|| (shared.code)(invocation)));
            let result =
                result.unwrap_or_else(|panic| Err(Failure::new("Lambda.Unknown", panic_text(&*panic))));
            lock(&shared.state).running -= 1;
            shared.ended.notify_waiters();
            // Nobody waits any more when the call has timed out.
            let _ = answer.send(result);
        };
        if let Err(error) = std::thread::Builder::new().name("worker".to_owned()).spawn(run) {
            lock(&self.shared.state).running -= 1;
            return Err(Failure::new("Lambda.ServiceException", format!("no thread for a worker: {error}")));
        }
        answered.await.unwrap_or_else(|_| Err(Failure::new("Lambda.Unknown", "the worker's thread is gone")))
    }

    /// Counts an invocation in, or says why not; returns its token.
    fn admit(&self, name: &str) -> Result<String, Failure> {
        let mut state = lock(&self.shared.state);
        match state.functions.get(name) {
            None => {
                return Err(Failure::new(
                    "Lambda.ResourceNotFoundException",
                    format!("there is no function {name}"),
                ));
            }
            Some(function) if function.active_at > clock::monotonic() => {
                return Err(Failure::new(
                    "Lambda.ResourceNotReadyException",
                    format!("function {name} is pending"),
                ));
            }
            Some(_) => {}
        }
        let Limits { concurrency: limit, others, .. } = self.shared.limits;
        if state.running + others >= limit {
            let cause = format!("{} invocations are running; the limit is {limit}", state.running + others);
            return Err(Failure::new("Lambda.TooManyRequestsException", cause));
        }
        state.running += 1;
        state.invocations += 1;
        Ok(format!("{}-{}", std::process::id(), state.invocations))
    }

    /// Waits until no invocation is running.
    pub async fn idle(&self) {
        loop {
            let ended = self.shared.ended.notified();
            tokio::pin!(ended);
            // Registered before the look, so that no end is missed.
            ended.as_mut().enable();
            if lock(&self.shared.state).running == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Takes one call from the control plane's allowance.
    fn control_plane(&self, state: &mut State) -> Result<(), TaskError> {
        let rate = self.shared.limits.control_plane_per_s;
        let now = clock::monotonic();
        let refill = now.duration_since(state.counted_at).as_secs_f64() * rate;
        state.allowance = (state.allowance + refill).min(rate.max(1.0));
        state.counted_at = now;
        if state.allowance < 1.0 {
            return Err(TaskError::Throttled(format!("over {rate} control-plane calls a second")));
        }
        state.allowance -= 1.0;
        Ok(())
    }
}

impl Functions for InProcessFunctions {
    async fn concurrency(&self) -> Result<u32, TaskError> {
        Ok(u32::try_from(self.shared.limits.concurrency).unwrap_or(u32::MAX))
    }

    async fn create(&self, spec: &FunctionSpec) -> Result<(), TaskError> {
        let (limits, name) = (self.shared.limits, &spec.name);
        if name.is_empty() || name.len() > limits.name_length {
            let length = name.len();
            return Err(TaskError::OverLimit(format!(
                "function name {name:?} has {length} characters; the limit is {}",
                limits.name_length
            )));
        }
        let mut state = lock(&self.shared.state);
        self.control_plane(&mut state)?;
        let function =
            Function { active_at: clock::monotonic() + limits.pending, expires_at: spec.expires_at };
        state.functions.entry(name.clone()).or_insert(function);
        Ok(())
    }

    async fn state(&self, name: &str) -> Result<FunctionState, TaskError> {
        Ok(match lock(&self.shared.state).functions.get(name) {
            None => FunctionState::Missing,
            Some(function) if function.active_at > clock::monotonic() => FunctionState::Pending,
            Some(_) => FunctionState::Active,
        })
    }

    async fn delete(&self, name: &str) -> Result<(), TaskError> {
        let mut state = lock(&self.shared.state);
        self.control_plane(&mut state)?;
        state.functions.remove(name);
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, TaskError> {
        let state = lock(&self.shared.state);
        let of_prefix = state.functions.iter().filter(|(name, _)| name.starts_with(prefix));
        let listed = |(name, function): (&String, &Function)| Listed {
            name: name.clone(),
            expires_at: Some(function.expires_at),
        };
        Ok(of_prefix.map(listed).collect())
    }
}

/// A panic cannot leave the state half changed: nothing in here can panic
/// between two writes of it.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("the worker panicked: {}", text.unwrap_or_else(|| "without a word".to_owned()))
}
