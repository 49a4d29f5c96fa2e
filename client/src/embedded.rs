//! Embedded mode: the definition, run in this process.
//!
//! The interpreter says what to do next; this driver does it. Tasks go to the
//! controller and shards to worker threads, both as JSON, as they would on AWS.
//! The order of steps, retries, catches and fan-out are the definition's; there
//! is no loop around a task here.

use std::collections::HashMap;
use std::env::VarError;
use std::sync::Arc;
use std::time::Duration;

use deathstar_controller::dispatch::run_task;
use deathstar_controller::embedded::EmbeddedPorts;
use deathstar_controller::embedded::functions::{Code, InProcessFunctions, Invocation, Limits};
use deathstar_controller::embedded::table::SqliteTable;
use deathstar_controller::ports::Table;
use deathstar_statemachine::asl::{ATTACK, Definition};
use deathstar_statemachine::config::Config;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{RunId, SliceId};
use deathstar_statemachine::interpreter::{Execution, Failure, Step, StepId, Until};
use deathstar_statemachine::message::{ConfigRef, Start, WorkerInput};
use deathstar_statemachine::plan::{Place, Plan};
use deathstar_statemachine::report::{Round, SliceEnd, Stop};
use deathstar_statemachine::secret::{self, Reference, Secret};
use deathstar_statemachine::table::Claim;
use deathstar_statemachine::window::Window;
use deathstar_worker::clock::SystemClock;
use deathstar_worker::handler;
use deathstar_worker::ports::{Control, Secrets, WorkerTable};
use deathstar_worker::transport::Transport;
use deathstar_worker::transport::auto::Auto;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::task::{AbortHandle, JoinSet};

use crate::clock;

/// The function name that the definition's tasks call.
const CONTROLLER: &str = "controller";

/// The error of an execution that came to its own end, a failed one.
const OUTCOME: &str = "DeathStar.RunFailed";

/// Why a run was torn down that never came to its end.
const OVERDUE: &str = "the run should have ended long ago";

/// How an execution of the definition ended.
#[derive(Debug)]
pub struct Ended {
    /// The execution's own result.
    pub result: Result<Value, Failure>,
    /// The states it entered, in order.
    pub trace: Vec<String>,
}

/// Everything a run needs on this machine.
#[derive(Debug, Clone)]
pub struct Embedded {
    ports: EmbeddedPorts,
    definition: Arc<Definition>,
}

impl Embedded {
    /// Embedded mode over a table, with workers that send as the config says.
    #[must_use]
    pub fn new(table: SqliteTable, place: Place) -> Self {
        Self::with_transport(table, place, Limits::default(), Auto::new)
    }

    /// Embedded mode with another transport and other limits, for tests that
    /// make a worker fail.
    ///
    /// # Panics
    /// When the definition that is compiled in cannot be parsed; a test of its
    /// own would have failed.
    #[must_use]
    pub fn with_transport<T: Transport + 'static>(
        table: SqliteTable,
        place: Place,
        limits: Limits,
        transport: impl Fn(&Plan) -> T + Send + Sync + Clone + 'static,
    ) -> Self {
        let functions = InProcessFunctions::new(limits, worker_code(table.clone(), transport));
        let definition = Definition::parse(ATTACK, &[("ControllerFunction", CONTROLLER)])
            .expect("the definition is compiled in, and a test parses it");
        Self { ports: EmbeddedPorts::new(table, functions, place), definition: Arc::new(definition) }
    }

    /// The run's table.
    #[must_use]
    pub fn table(&self) -> &SqliteTable {
        &self.ports.table
    }

    /// The worker functions of this process.
    #[must_use]
    pub fn functions(&self) -> &InProcessFunctions {
        &self.ports.functions
    }

    /// Runs a config from Plan to Report, and waits until its workers are gone.
    ///
    /// # Errors
    /// When the config cannot be written to the table; nothing has run then.
    pub async fn run(&self, run: &RunId, config: &Config) -> Result<Ended, TaskError> {
        let at = ConfigRef::of(config);
        self.ports.table.put_config(&at, config).await?;
        let start = Start::Run { run: run.clone(), config: at };
        let input = serde_json::to_value(start).map_err(|error| TaskError::Broken(error.to_string()))?;
        let mut execution = Execution::start(&self.definition, run.as_str(), clock::now(), input);
        let mut result = tokio::select! {
            result = self.drive(&mut execution) => result,
            () = self.ports.switches.due(run) => Err(Failure::new("DeathStar.Overdue", OVERDUE)),
        };
        if let Err(failure) = &result
            && failure.error != OUTCOME
        {
            // What the definition cannot catch: a time-out of the whole, a bug
            // in it, or a Report that failed. On AWS a rule on the execution's
            // status does this.
            if let Err(again) = self.release(run, failure).await {
                result = Err(again);
            }
        }
        // A worker whose call timed out, or whose sibling failed, may still run;
        // it obeys the run's mark within seconds.
        self.ports.functions.idle().await;
        let trace = execution.trace().iter().map(ToString::to_string).collect();
        Ok(Ended { result, trace })
    }

    /// Tears down and reports a run whose execution ended outside its own
    /// definition.
    async fn release(&self, run: &RunId, failure: &Failure) -> Result<(), Failure> {
        call(&self.ports, CONTROLLER, json!({ "task": "Release", "run": run, "failure": failure })).await?;
        Ok(())
    }

    /// Does what the execution asks for until it has ended.
    async fn drive(&self, execution: &mut Execution) -> Result<Value, Failure> {
        let mut pending: JoinSet<Event> = JoinSet::new();
        let mut waits: HashMap<StepId, AbortHandle> = HashMap::new();
        let machine_timeout = async {
            match self.definition.timeout() {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(machine_timeout);
        loop {
            while let Some(step) = execution.next_step() {
                match step {
                    Step::Call { id, function, payload, timeout } => {
                        let ports = self.ports.clone();
                        pending.spawn(async move {
                            let call = call(&ports, &function, payload);
                            let outcome = match timeout {
                                Some(timeout) => tokio::time::timeout(timeout, call)
                                    .await
                                    .unwrap_or(Err(Failure::timeout())),
                                None => call.await,
                            };
                            Event::Called(id, outcome)
                        });
                    }
                    Step::Wait { id, until } => {
                        let wait = match until {
                            Until::After(duration) => duration,
                            Until::At(time) => until_time(time),
                        };
                        let woke = pending.spawn(async move {
                            tokio::time::sleep(wait).await;
                            Event::Woke(id)
                        });
                        waits.insert(id, woke);
                    }
                    // A call goes on, as a Lambda would; its answer is ignored.
                    Step::Cancel { id } => {
                        if let Some(wait) = waits.remove(&id) {
                            wait.abort();
                        }
                    }
                    Step::Finished(result) => return result,
                }
            }
            tokio::select! {
                event = pending.join_next() => match event {
                    Some(Ok(Event::Called(id, outcome))) => execution.complete(id, outcome),
                    Some(Ok(Event::Woke(id))) => {
                        waits.remove(&id);
                        execution.woke(id);
                    }
                    Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    // A wait that was cancelled.
                    Some(Err(_)) => {}
                    None => return Err(Failure::new("States.Runtime", "the execution waits for nothing")),
                },
                () = &mut machine_timeout => execution.abort(Failure::timeout()),
            }
        }
    }
}

enum Event {
    Called(StepId, Result<Value, Failure>),
    Woke(StepId),
}

async fn call(ports: &EmbeddedPorts, function: &str, payload: Value) -> Result<Value, Failure> {
    if function == CONTROLLER {
        // The round trip through text is what the platform does, so a message
        // that does not survive it fails here, too.
        let payload = round_trip(&payload)?;
        let answer = run_task(ports, payload).await.map_err(|error| failure(&error))?;
        return round_trip(&answer);
    }
    round_trip(&ports.functions.invoke(function, round_trip(&payload)?).await?)
}

fn round_trip(value: &Value) -> Result<Value, Failure> {
    let text = value.to_string();
    serde_json::from_str(&text).map_err(|error| Failure::new("States.Runtime", error.to_string()))
}

fn failure(error: &TaskError) -> Failure {
    Failure::new(error.name(), error.to_string())
}

fn until_time(time: Timestamp) -> Duration {
    let wait = time.duration_since(clock::now());
    Duration::try_from(wait.max(SignedDuration::ZERO)).unwrap_or_default()
}

/// What a worker function runs: the worker's handler on a runtime of its own.
fn worker_code<T: Transport + 'static>(
    table: SqliteTable,
    transport: impl Fn(&Plan) -> T + Send + Sync + Clone + 'static,
) -> Box<Code> {
    Box::new(move |invocation: Invocation| {
        let broken = |error: &dyn std::fmt::Display| Failure::new("DeathStar.Broken", error.to_string());
        let input: WorkerInput =
            serde_json::from_value(invocation.payload).map_err(|error| broken(&error))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| broken(&e))?;
        let table = EmbeddedWorkerTable(table.clone());
        let work =
            handler::handle(&table, &Environment, &SystemClock, &input, &invocation.token, transport.clone());
        let output = runtime.block_on(work).map_err(|error| failure(&error))?;
        serde_json::to_value(output).map_err(|error| broken(&error))
    })
}

/// The controller's table as workers see it.
#[derive(Debug, Clone)]
pub struct EmbeddedWorkerTable(pub SqliteTable);

impl WorkerTable for EmbeddedWorkerTable {
    async fn plan(&self, run: &RunId) -> Result<Plan, TaskError> {
        self.0.plan(run).await?.ok_or_else(|| TaskError::Broken(format!("run {run} has no plan")))
    }

    async fn round(&self, run: &RunId, number: u32) -> Result<Round, TaskError> {
        let round = self.0.round(run, number).await?;
        round.ok_or_else(|| TaskError::Broken(format!("run {run} has no round {number}")))
    }

    async fn claim(&self, slice: &SliceId, token: &str) -> Result<Claim, TaskError> {
        self.0.claim_slice(slice, token).await
    }

    async fn slice_end(&self, slice: &SliceId) -> Result<Option<SliceEnd>, TaskError> {
        self.0.slice_end(slice).await
    }

    async fn checkpoint(&self, slice: &SliceId, windows: Vec<Window>) -> Result<(), TaskError> {
        self.0.checkpoint(slice, windows).await
    }

    async fn finish(&self, slice: &SliceId, end: SliceEnd) -> Result<(), TaskError> {
        self.0.finish_slice(slice, end).await
    }

    async fn control(&self, run: &RunId) -> Result<Control, TaskError> {
        let stop = self.0.stop(run).await?.is_some() || self.0.is_over(run).await?;
        Ok(Control { stop })
    }

    async fn vote(&self, slice: &SliceId) -> Result<u32, TaskError> {
        self.0.vote(slice).await
    }

    async fn request_stop(&self, run: &RunId, stop: Stop) -> Result<(), TaskError> {
        self.0.request_stop(run, &stop).await
    }
}

/// The environment of this process: where `${env:…}` looks on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Environment;

impl Environment {
    /// Why a config cannot be sent from here: a sentence for each value that is not
    /// there, or cannot stand where it is referred to. A worker would find the same,
    /// after the run has begun.
    #[must_use]
    pub fn refusals(config: &Config) -> Vec<String> {
        let mut values = Vec::new();
        let mut missing = Vec::new();
        for reference in config.references() {
            match Self::look_up(reference) {
                Ok(value) => values.push((reference.clone(), value)),
                Err(why) => missing.push(why),
            }
        }
        if !missing.is_empty() {
            return missing;
        }
        let filled = config.with_values(&values.into_iter().collect());
        filled
            .err()
            .into_iter()
            .flat_map(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())
            .collect()
    }

    fn look_up(reference: &Reference) -> Result<Secret, String> {
        let Reference::Env(name) = reference else {
            return Err(secret::refusal(reference, "embedded").unwrap_or_else(|| reference.to_string()));
        };
        match std::env::var(name) {
            Ok(value) => Ok(Secret::new(value)),
            Err(VarError::NotPresent) => Err(format!("{reference}: the environment has no {name}; set it")),
            // The error itself would show what is there.
            Err(VarError::NotUnicode(_)) => Err(format!("{reference}: what {name} holds is not UTF-8 text")),
        }
    }
}

impl Secrets for Environment {
    async fn resolve(&self, reference: &Reference) -> Result<Secret, TaskError> {
        Self::look_up(reference).map_err(TaskError::BadConfig)
    }
}
