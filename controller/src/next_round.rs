//! NextRound: decide on the next stretch of load and when it starts.
//!
//! A constant test is one round; a search is as many as it takes, and what came of
//! those before decides on the next. A repeat of this task returns the round that
//! is open, so that a lost answer starts nothing twice.

use std::time::Duration;

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::{FleetShards, NextRoundOutput};
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::report::Round;
use deathstar_statemachine::schedule::micros;
use deathstar_statemachine::search::{Decision, MAX_REST, Outcome, Step, Tried};
use deathstar_statemachine::units::display_duration;
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::plan;
use crate::ports::{Ports, Table};

/// How often it is looked whether the run was stopped while the target rests.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn handle(ports: &impl Ports, run: &RunId) -> Result<NextRoundOutput, TaskError> {
    let table = ports.table();
    let plan = plan::of(table, run).await?;
    let rounds = table.rounds(run).await?;
    if table.is_over(run).await? || table.stop(run).await?.is_some() {
        return Ok(done(&rounds, ports.clock().now()));
    }
    if let Some(open) = rounds.iter().find(|round| !round.judged) {
        // Its rows for workers may be missing, if the task before came no further.
        return Ok(attack(&plan, &table.open_round(run, open).await?));
    }
    let from = rounds.last().map_or(0, |round| round.until);
    let (until, step) = match next(&plan, &rounds) {
        Next::Load => (plan.load_end(), None),
        Next::Step(step) => (from + micros(step.duration), Some(step)),
        Next::Nothing => return Ok(done(&rounds, ports.clock().now())),
    };
    if !rest(ports, run, &plan, &rounds).await? {
        return Ok(done(&rounds, ports.clock().now()));
    }
    let now = ports.clock().now();
    let t0 = now.saturating_add(signed(plan.place.lead)).unwrap_or(Timestamp::MAX);
    if t0 > plan.latest_start(from) {
        return Err(TaskError::OverLimit(too_late(&plan, now)));
    }
    let round = Round {
        number: u32::try_from(rounds.len()).unwrap_or(u32::MAX),
        from,
        until,
        t0,
        slices: plan.slices(from, until),
        judged: false,
        step,
        outcome: None,
        busy: Duration::ZERO,
    };
    Ok(attack(&plan, &table.open_round(run, &round).await?))
}

/// What follows on rounds that are all judged.
enum Next {
    /// All of the load.
    Load,
    /// A step of a search.
    Step(Step),
    /// Nothing.
    Nothing,
}

fn next(plan: &Plan, rounds: &[Round]) -> Next {
    let Some(search) = plan.config.search() else {
        return if rounds.is_empty() { Next::Load } else { Next::Nothing };
    };
    let history: Vec<Tried> = rounds.iter().map_while(Round::tried).collect();
    match search.decide(&history) {
        Decision::Next(step) => Next::Step(step),
        Decision::Concluded(_) => Next::Nothing,
    }
}

/// Leaves the target alone, so that what a step left behind does not count for the next.
/// Here, and not before the round's start: no worker is paid to wait. Says whether the
/// run goes on.
async fn rest(ports: &impl Ports, run: &RunId, plan: &Plan, rounds: &[Round]) -> Result<bool, TaskError> {
    let (table, clock) = (ports.table(), ports.clock());
    let rest = rest_after(plan, rounds, clock.now());
    let over = clock.now().saturating_add(signed(rest)).unwrap_or(Timestamp::MAX);
    loop {
        let left = Duration::try_from(over.duration_since(clock.now())).unwrap_or_default();
        if left.is_zero() {
            return Ok(true);
        }
        clock.sleep(left.min(LOOK_EVERY)).await;
        if table.is_over(run).await? || table.stop(run).await?.is_some() {
            return Ok(false);
        }
    }
}

/// How long the target is left alone from now on. What we waited for has ended with the
/// round; a target may still be busy with what we gave up on, and one that broke may
/// need a moment anyway.
fn rest_after(plan: &Plan, rounds: &[Round], now: Timestamp) -> Duration {
    let (Some(search), Some(last)) = (plan.config.search(), rounds.last()) else { return Duration::ZERO };
    let broke = matches!(last.outcome, Some(Outcome::Broke { .. }));
    let moment = if broke { search.warm_up() } else { Duration::ZERO };
    let since = Duration::try_from(now.duration_since(last.t0)).unwrap_or_default();
    last.busy.saturating_sub(since).max(moment).min(MAX_REST)
}

/// A load that began now would be cut off by the run's own switch.
fn too_late(plan: &Plan, now: Timestamp) -> String {
    let took = Duration::try_from(now.duration_since(plan.planned_at)).unwrap_or_default();
    format!(
        "the load could begin {} after it was planned, and everything before it may take {}; the installation's --setup allows more",
        display_duration(Duration::from_secs(took.as_secs())),
        display_duration(plan.place.setup),
    )
}

fn attack(plan: &Plan, round: &Round) -> NextRoundOutput {
    let shards = |fleet: &deathstar_statemachine::plan::Fleet| FleetShards {
        function: fleet.function.clone(),
        shards: (fleet.first_shard..fleet.first_shard + fleet.shards).collect(),
    };
    // The second slice's worker is invoked a lead before its load begins.
    let odd_after =
        if round.slices > 1 { signed(plan.slice) - signed(plan.place.lead) } else { SignedDuration::ZERO };
    NextRoundOutput {
        round: round.number,
        done: false,
        slices: round.slices,
        odd_at: round.t0.saturating_add(odd_after).unwrap_or(round.t0),
        fleets: plan.fleets.iter().map(shards).collect(),
    }
}

fn done(rounds: &[Round], now: Timestamp) -> NextRoundOutput {
    let round = u32::try_from(rounds.len()).unwrap_or(u32::MAX);
    NextRoundOutput { round, done: true, slices: 0, odd_at: now, fleets: Vec::new() }
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
