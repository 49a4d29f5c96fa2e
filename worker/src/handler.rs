//! Turns a worker's input into its output, wherever the worker runs.
//!
//! Resolve, claim, attack, write down, finish. A worker that loses the claim sends
//! nothing; it waits for the winner's end, so that nobody judges or tears down
//! under live load.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::{WorkerInput, WorkerOutput, invoked_at};
use deathstar_statemachine::pace::Pace;
use deathstar_statemachine::plan::{Plan, Span};
use deathstar_statemachine::report::{Round, SliceEnd, Stop};
use deathstar_statemachine::schedule::micros;
use deathstar_statemachine::table::Claim;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::clock::{self, LoadClock, WallClock};
use crate::engine::Engine;
use crate::ports::{Secrets, WorkerTable};
use crate::secrets;
use crate::transport::Transport;

/// How often a worker looks at the stop flag and at its stop condition.
const CONTROL_EVERY: Duration = Duration::from_secs(1);

/// How much longer than its load and its slowest request a winner may take
/// before a loser stops waiting for it.
const WINNER_MARGIN: Duration = Duration::from_secs(10);

/// How long each write of a slice's end is tried, when the table is away; an
/// invocation's margin has room for both.
const LAST_WRITE: Duration = Duration::from_secs(10);

/// Runs one slice of one shard. `token` names this invocation; `transport` is
/// made from the plan once the claim is won.
///
/// # Errors
/// When the table is unavailable, the run is over, a value that the config
/// refers to cannot be had, or the transport cannot send what the plan asks
/// for. Nothing was sent then, unless the table failed at the very end.
pub async fn handle<T: Transport + 'static>(
    table: &impl WorkerTable,
    secrets: &impl Secrets,
    wall: &impl WallClock,
    input: &WorkerInput,
    token: &str,
    transport: impl FnOnce(&Plan) -> T,
) -> Result<WorkerOutput, TaskError> {
    let plan = table.plan(&input.run).await?;
    let round = table.round(&input.run, input.round).await?;
    let shard = plan
        .shard(input.shard)
        .ok_or_else(|| TaskError::Broken(format!("shard {} of {} workers", input.shard, plan.workers)))?;
    let slice = slice_of(&plan, &round, input.slice)?;
    if wall.now() > plan.deadline {
        return Err(TaskError::RunOver(input.run.to_string()));
    }
    let plan = match secrets::resolved(plan, secrets, token).await {
        Ok(plan) => plan,
        Err(error) => return Err(unable(table, input, error).await),
    };
    let output = |stopped: bool| output(table, wall, input, &plan, &round, stopped);
    match table.claim(input, token).await? {
        Claim::Won => {}
        Claim::Lost => {
            let stopped = wait_for_winner(table, wall, input, &plan, &round, slice).await?;
            return Ok(output(stopped).await);
        }
        Claim::RunOver => return Err(TaskError::RunOver(input.run.to_string())),
    }
    let plan = plan.in_round(round.from, round.step.as_ref());
    // A later slice of a run that was stopped meanwhile sends nothing.
    if is_stopped(table, &input.run).await {
        table.finish(input, SliceEnd { until: slice.start, totals: Vec::new() }).await?;
        return Ok(output(true).await);
    }
    let clock = LoadClock::new(wall, round.t0, Duration::from_micros(round.from));
    let workers = plan.workers.get();
    let pace = plan.pace.clone();
    let stop_if = plan.config.stop_if().map(ToString::to_string);
    let engine = Engine::new(plan.clone(), shard, slice, transport(&plan), clock)
        .map_err(|error| TaskError::BadConfig(error.to_string()));
    let engine = match engine {
        Ok(engine) => Rc::new(engine),
        Err(error) => return Err(unable(table, input, error).await),
    };
    let over = Notify::new();
    LocalSet::new()
        .run_until(async {
            let attack = async {
                engine.run().await;
                over.notify_one();
            };
            let attack_and_write = async {
                tokio::join!(attack, write_down(table, input, &engine, &pace, &over));
            };
            tokio::select! {
                () = attack_and_write => {}
                never = obey(table, input, &engine, workers, stop_if) => match never {},
            }
        })
        .await;
    // Many workers end at one moment, and the table does not take all at once.
    tokio::time::sleep(pace.last_turn(input.shard)).await;
    let (windows, _) = engine.checkpoint().split();
    let totals = if pace.totals { engine.totals() } else { Vec::new() };
    let end = SliceEnd { until: engine.until(), totals };
    let stopped = end.until < slice.end;
    insist(|| table.checkpoint(input, windows.clone())).await?;
    insist(|| table.finish(input, end.clone())).await?;
    Ok(output(stopped).await)
}

/// Ends the run when it asks for what no worker can send, and says so in its
/// report; nobody would see the error of an invocation.
async fn unable(table: &impl WorkerTable, input: &WorkerInput, error: TaskError) -> TaskError {
    if let TaskError::BadConfig(why) = &error {
        // A table that is away: the report says which workers were lost.
        let _ = table.request_stop(&input.run, Stop::Unable { why: why.clone() }).await;
    }
    error
}

/// Repeats the write of a slice's end while the table is away: it cannot be
/// had again, and a worker that fails here counts as lost.
async fn insist<F: Future<Output = Result<(), TaskError>>>(write: impl Fn() -> F) -> Result<(), TaskError> {
    let given_up = clock::monotonic() + LAST_WRITE;
    loop {
        match write().await {
            Err(TaskError::TableUnavailable(_) | TaskError::Throttled(_))
                if clock::monotonic() < given_up => {}
            done => return done,
        }
        tokio::time::sleep(CONTROL_EVERY).await;
    }
}

/// The stretch of load of a slice.
fn slice_of(plan: &Plan, round: &Round, slice: u32) -> Result<Span, TaskError> {
    let len = micros(plan.slice);
    let start = round.from.saturating_add(len.saturating_mul(u64::from(slice)));
    if slice >= round.slices || start >= round.until {
        return Err(TaskError::Broken(format!("slice {slice} of a round with {} slices", round.slices)));
    }
    Ok(Span { start, end: start.saturating_add(len).min(round.until) })
}

/// What comes after a slice. An answer that the run was stopped ends the chains of
/// the shard, so it comes when none of its other workers is at work any more.
async fn output(
    table: &impl WorkerTable,
    wall: &impl WallClock,
    input: &WorkerInput,
    plan: &Plan,
    round: &Round,
    stopped: bool,
) -> WorkerOutput {
    if stopped {
        wait_for_others(table, wall, input, plan, round).await;
    }
    WorkerOutput::after(plan, round, input.slice, stopped)
}

/// Waits until the slices before and after this one have ended, as far as workers
/// may be at them now; no longer than they may take to obey.
async fn wait_for_others(
    table: &impl WorkerTable,
    wall: &impl WallClock,
    input: &WorkerInput,
    plan: &Plan,
    round: &Round,
) {
    let given_up = clock::monotonic() + plan.pace.obeyed_within();
    let before = input.slice.checked_sub(1).filter(|before| {
        slice_of(plan, round, *before).is_ok_and(|slice| wall.now() <= ended_by(plan, round, slice))
    });
    let after = (input.slice + 1 < round.slices && wall.now() >= invoked_at(plan, round, input.slice + 1))
        .then_some(input.slice + 1);
    for slice in before.into_iter().chain(after) {
        let other = WorkerInput { slice, ..input.clone() };
        // A table that is away has not said that it has ended.
        while !matches!(table.slice_end(&other).await, Ok(Some(_))) && clock::monotonic() < given_up {
            tokio::time::sleep(CONTROL_EVERY).await;
        }
    }
}

/// When the worker of a slice has ended, or must have died.
fn ended_by(plan: &Plan, round: &Round, slice: Span) -> Timestamp {
    let slowest = plan.config.attacks().iter().map(|attack| attack.timeout * 2).max().unwrap_or_default();
    let wait = Duration::from_micros(slice.end - round.from) + slowest + plan.pace.spread + WINNER_MARGIN;
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    round.t0.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

/// Looks at the stop flag and at the stop condition, for ever.
async fn obey<T: Transport + 'static>(
    table: &impl WorkerTable,
    input: &WorkerInput,
    engine: &Rc<Engine<T>>,
    workers: u32,
    stop_if: Option<String>,
) -> std::convert::Infallible {
    let mut stopped = false;
    let mut voted = false;
    loop {
        tokio::time::sleep(CONTROL_EVERY).await;
        if stopped {
            continue;
        }
        if !voted
            && engine.wants_to_stop()
            && let Ok(votes) = table.vote(input).await
        {
            voted = true;
            let rule = stop_if.clone().unwrap_or_default();
            if votes * 2 > workers {
                // Refused only when the table is away; the next look tries again.
                voted = table.request_stop(&input.run, Stop::Condition { rule }).await.is_ok();
            }
        }
        if is_stopped(table, &input.run).await {
            stopped = true;
            engine.stop();
        }
    }
}

/// Whether the run was asked to stop. A table that is away for a moment stops
/// nothing.
async fn is_stopped(table: &impl WorkerTable, run: &RunId) -> bool {
    table.control(run).await.is_ok_and(|control| control.stop)
}

/// Writes down what was seen, until the load is over. What could not be written
/// is written with the next checkpoint. A write that is under way is waited
/// for: given up, it could still end after the next one, and undo it.
async fn write_down<T: Transport + 'static>(
    table: &impl WorkerTable,
    input: &WorkerInput,
    engine: &Rc<Engine<T>>,
    pace: &Pace,
    over: &Notify,
) {
    let mut due = clock::monotonic() + pace.first_checkpoint(input.shard);
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = over.notified() => return,
        }
        // However long the last write took; one that took longer than that is
        // not made up for.
        due = (due + pace.checkpoint).max(clock::monotonic());
        let (windows, versions) = engine.checkpoint().split();
        if !windows.is_empty() && table.checkpoint(input, windows).await.is_ok() {
            engine.written(&versions);
        }
    }
}

/// Waits until the invocation that won the claim has ended, or must have died.
/// Says whether its load was stopped early.
async fn wait_for_winner(
    table: &impl WorkerTable,
    wall: &impl WallClock,
    input: &WorkerInput,
    plan: &Plan,
    round: &Round,
    slice: Span,
) -> Result<bool, TaskError> {
    let deadline = ended_by(plan, round, slice);
    loop {
        if let Some(end) = table.slice_end(input).await? {
            return Ok(end.until < slice.end);
        }
        if wall.now() > deadline {
            return Err(TaskError::Broken(format!("the worker that claimed {input} never reported its end")));
        }
        tokio::time::sleep(CONTROL_EVERY).await;
    }
}
