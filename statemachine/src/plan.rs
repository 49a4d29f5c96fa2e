//! How a run is split: workers, functions, rounds and slices.
//!
//! A plan is made once, from a config and the place it runs in, and stored in
//! the run's table; every worker reads it there and computes its own share.
//! Nothing here creates anything.

mod error;
mod slices;
mod workers;

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::error::PlanError;
use self::slices::{short_slices, slice};
use self::workers::{arrivals_or_users, attack_short_of_connections, auto_workers, pace_of, warnings};
use crate::arrivals::Process;
use crate::config::{Attack, Carrier, Config, Order, Workers, source};
use crate::ids::RunId;
use crate::load::Load;
use crate::pace::Pace;
use crate::schedule::{Schedule, Shard, micros};
use crate::search::{HOLD_STEPS, MAX_REST, Search, Step};
use crate::secret;
use crate::units::duration_text;
use crate::window::Grid;

/// The most workers of one run: what one Distributed Map can start.
/// See <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>.
pub const MAX_WORKERS: u32 = 10_000;

/// What the place that runs a plan offers and asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// `embedded` or `aws`, as the report's `mode` says.
    pub mode: String,
    /// The most workers that make sense here; on one machine, its cores.
    pub cores: NonZeroU32,
    /// Open-model requests per second that one worker sends with ease.
    pub rate_per_worker: NonZeroU32,
    /// Sockets that all workers of one process may share.
    pub sockets: NonZeroU32,
    /// How many workers share one process: all of them embedded, one on Lambda.
    pub workers_share_process: bool,
    /// Workers of one function; more make another function.
    pub workers_per_function: NonZeroU32,
    /// From the decision on a round to its first request.
    #[serde(with = "duration_text")]
    pub lead: Duration,
    /// How often a worker writes down what it saw.
    #[serde(with = "duration_text")]
    pub checkpoint: Duration,
    /// The longest stretch of load of one invocation; a longer round is cut.
    #[serde(with = "duration_text")]
    pub slice: Duration,
    /// How long one invocation may live; the definition's time-out of a worker.
    #[serde(with = "duration_text")]
    pub invocation: Duration,
    /// How long it may take from the plan to the first request.
    #[serde(with = "duration_text")]
    pub setup: Duration,
    /// How long after a run should have ended it is torn down for it.
    #[serde(with = "duration_text")]
    pub grace: Duration,
}

/// What a worker needs beside its load and its slowest request: to start and
/// to write down its end.
const INVOCATION_MARGIN: Duration = Duration::from_secs(30);

/// The most slices of a round. Each is about nine events in the history of its
/// shard's execution, which AWS ends at 25,000; a test counts them. See
/// <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>.
pub const MAX_SLICES: u32 = 1800;

/// A function of the run and the shards it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// The function's name, derived from the run id.
    pub function: String,
    /// Its first shard.
    pub first_shard: u32,
    /// How many shards it serves, at least one.
    pub shards: u32,
}

/// A run, planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The run.
    pub run: RunId,
    /// What to run.
    pub config: Config,
    /// Where it runs.
    pub place: Place,
    /// How many workers share the load.
    pub workers: NonZeroU32,
    /// The most connections that one worker keeps open at once.
    pub connections: NonZeroU32,
    /// The longest stretch of load of one invocation.
    #[serde(with = "duration_text")]
    pub slice: Duration,
    /// How workers write down what they see.
    #[serde(default)]
    pub pace: Pace,
    /// Which functions are created.
    pub fleets: Vec<Fleet>,
    /// Decides which request each arrival makes.
    pub seed: u64,
    /// When it was planned.
    pub planned_at: Timestamp,
    /// No worker sends anything after this. When it has passed by the place's
    /// grace, the run is torn down, whatever became of its execution.
    pub deadline: Timestamp,
    /// What the user should know before it runs.
    pub warnings: Vec<String>,
}

/// Where an attack lies in the load, in microseconds from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Its first instant.
    pub start: u64,
    /// The instant after its last.
    pub end: u64,
}

impl Plan {
    /// Splits a config over workers, for a place.
    ///
    /// # Errors
    /// When the workers asked for do not fit the load or the place, the config
    /// refers to values or reads resources that are not to be had there, or it costs
    /// more than its budget.
    pub fn new(run: RunId, config: Config, place: Place, planned_at: Timestamp) -> Result<Self, PlanError> {
        let unresolvable = secret::unresolvable(&config, &place.mode);
        if !unresolvable.is_empty() {
            return Err(PlanError::References(unresolvable));
        }
        let unreadable = source::unreadable(&config, &place.mode);
        if !unreadable.is_empty() {
            return Err(PlanError::Resources(unreadable));
        }
        let arrivals: u64 = config.attacks().iter().map(arrivals_or_users).sum();
        let workers = match config.workers() {
            Workers::Auto => auto_workers(&config, &place, arrivals),
            Workers::Count(count) => count,
        };
        if u64::from(workers.get()) > arrivals {
            return Err(PlanError::MoreWorkersThanArrivals { workers: workers.get(), arrivals });
        }
        if let Some(attack) = attack_short_of_connections(&config, workers) {
            return Err(attack);
        }
        if workers.get() > MAX_WORKERS {
            return Err(PlanError::TooManyWorkers { workers: workers.get(), limit: MAX_WORKERS });
        }
        let writing = pace_of(&config, &place, workers);
        let slice = writing.whole_windows(slice(&config, &place, writing.spread)?);
        let round = longest_round(&config);
        if round > slice * MAX_SLICES {
            return Err(PlanError::LoadTooLong { load: round, slice });
        }
        let short_slices = short_slices(&config, &place, &writing, slice)?;
        // While one slice hands over to the next, both keep connections open.
        let overlap = if round > slice { 2 } else { 1 };
        let sharing = overlap * if place.workers_share_process { workers.get() } else { 1 };
        let connections = NonZeroU32::new(place.sockets.get() / sharing)
            .ok_or(PlanError::TooFewSockets { workers: workers.get(), sockets: place.sockets.get() })?;
        let per_function = place.workers_per_function.get();
        let fleets = (0..workers.get().div_ceil(per_function))
            .map(|fleet| Fleet {
                function: run.function_name(fleet),
                first_shard: fleet * per_function,
                shards: per_function.min(workers.get() - fleet * per_function),
            })
            .collect();
        let mut warnings = warnings(&config, &place, workers, connections);
        warnings.extend(writing.warnings());
        warnings.extend(short_slices);
        let deadline = deadline(&config, &place, writing.spread, planned_at);
        let plan = Self {
            run,
            config,
            place,
            workers,
            connections,
            slice,
            pace: writing,
            fleets,
            seed: 0,
            planned_at,
            deadline,
            warnings,
        };
        let cost = plan.cost_usd();
        match plan.config.max_usd().filter(|limit| cost > *limit) {
            Some(limit) => Err(PlanError::OverBudget { cost, limit }),
            None => Ok(plan),
        }
    }

    /// Where each attack lies in the load, in the config's order.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        spans(&self.config)
    }

    /// How long requests are due, in microseconds; of a search, at most, on a target
    /// that is always the same.
    #[must_use]
    pub fn load_end(&self) -> u64 {
        longest_load(&self.config)
    }

    /// Where windows are cut: by the pace, and where a step begins or ends.
    #[must_use]
    pub fn grid(&self) -> Grid {
        let mut cuts = Vec::new();
        for (attack, span) in self.config.attacks().iter().zip(self.spans()) {
            cuts.extend([span.start, span.end]);
            cuts.extend(attack.load.edges().into_iter().map(|edge| span.start + micros(edge)));
        }
        Grid::of(micros(self.pace.window), cuts)
    }

    /// Worker `index`'s shard.
    #[must_use]
    pub fn shard(&self, index: u32) -> Option<Shard> {
        Shard::new(index, self.workers)
    }

    /// What a worker sends of an attack; nothing in the closed model.
    #[must_use]
    pub fn arrivals(&self, attack: usize, shard: Shard) -> Option<Process> {
        let Attack { load, arrivals, .. } = self.config.attacks().get(attack)?;
        Process::of(load, *arrivals, shard, self.seed_of(attack))
    }

    /// Decides what is random in an attack.
    #[must_use]
    pub const fn seed_of(&self, attack: usize) -> u64 {
        self.seed.wrapping_add(attack as u64)
    }

    /// The most connections that a worker may have through a carrier. A plan that needs
    /// both gives each half: neither can close an idle connection of the other.
    #[must_use]
    pub fn connections_by(&self, carrier: Carrier) -> u32 {
        let mut others = self.config.attacks().iter().flat_map(|attack| &attack.requests);
        let alone = others.all(|request| request.carrier == carrier);
        if alone { self.connections.get() } else { (self.connections.get() / 2).max(1) }
    }

    /// The most connections that a worker may have for an attack.
    #[must_use]
    pub fn connections_of(&self, attack: &Attack, shard: Shard) -> u32 {
        let own = attack.connections.map_or(u32::MAX, |whole| shard.part_of(whole.get()));
        own.min(self.connections.get())
    }

    /// When a round must begin at the latest that begins at `from` in the load, so that
    /// its last request ends before the deadline.
    #[must_use]
    pub fn latest_start(&self, from: u64) -> Timestamp {
        let left = match self.config.search() {
            Some(_) => longest_round(&self.config),
            None => Duration::from_micros(self.load_end().saturating_sub(from)),
        };
        earlier(self.deadline, after_start(&self.config, left + self.pace.spread))
    }

    /// The plan of a round that begins at `from` in the load and tries a step of a
    /// search: what is due in it is known. Any other round has the plan itself.
    #[must_use]
    pub fn in_round(&self, from: u64, step: Option<&Step>) -> Self {
        let mut plan = self.clone();
        if let (Some(step), Some(search)) = (step, self.config.search()) {
            plan.config = plan.config.with_step(&Load::Step {
                after: Duration::from_micros(from),
                rate: step.rate,
                warm_up: search.warm_up(),
                duration: step.duration,
            });
        }
        plan
    }

    /// How many rounds there are; of a search, at most, on a target that is always the
    /// same.
    #[must_use]
    pub fn rounds(&self) -> u32 {
        self.config.search().map_or(1, Search::steps_at_most)
    }

    /// When the run is torn down if nothing else has done it.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        later(self.deadline, self.place.grace)
    }

    /// How many invocations run at once: while one slice hands over to the next,
    /// both do.
    #[must_use]
    pub fn concurrency(&self) -> u32 {
        let overlap = if longest_round(&self.config) > self.slice { 2 } else { 1 };
        self.workers.get() * overlap
    }

    /// How many slices a round of this length is cut into.
    #[must_use]
    pub fn slices(&self, from: u64, until: u64) -> u32 {
        let slice = micros(self.slice).max(1);
        u32::try_from((until - from).div_ceil(slice)).unwrap_or(u32::MAX).max(1)
    }

    /// Requests due in the whole run; `None` when a closed profile or a search leaves it
    /// open.
    #[must_use]
    pub fn scheduled(&self) -> Option<u64> {
        self.config.attacks().iter().map(|attack| Schedule::of(&attack.load).map(|s| s.total())).sum()
    }
}

/// The stretches of constant rate of a `steps` attack; none for other profiles.
#[must_use]
pub fn steps(attack: &Attack, span: Span) -> Vec<Span> {
    let Load::Steps { rates, each } = &attack.load else { return Vec::new() };
    let each = micros(*each);
    (0..rates.len() as u64)
        .map(|step| Span { start: span.start + step * each, end: span.start + (step + 1) * each })
        .collect()
}

fn spans(config: &Config) -> Vec<Span> {
    let mut next = 0;
    let span = |attack: &Attack| {
        let start = if config.order() == Order::Sequence { next } else { 0 };
        let end = start + micros(attack.load.duration());
        next = end;
        Span { start, end }
    };
    config.attacks().iter().map(span).collect()
}

/// When the last request has ended and is written down for certain, in a run that went as planned.
fn deadline(config: &Config, place: &Place, spread: Duration, planned_at: Timestamp) -> Timestamp {
    let load = match config.search() {
        // Each round ends with the slowest request of it.
        Some(search) => {
            let between = place.lead + MAX_REST + after_start(config, spread);
            search.load_whatever_happens() + between * search.steps_whatever_happens()
        }
        None => Duration::from_micros(longest_load(config)),
    };
    later(planned_at, place.setup + place.lead + after_start(config, load + spread))
}

/// How long after its start the last request of a load has ended for certain.
fn after_start(config: &Config, until_written: Duration) -> Duration {
    let slowest = config.attacks().iter().map(|attack| attack.timeout * 2).max().unwrap_or_default();
    until_written + slowest + INVOCATION_MARGIN
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    time.saturating_sub(by).unwrap_or(Timestamp::MIN)
}

fn longest_load(config: &Config) -> u64 {
    spans(config).iter().map(|span| span.end).max().unwrap_or(0)
}

/// The longest stretch of load between two decisions.
fn longest_round(config: &Config) -> Duration {
    let hold = config.search().map(|search| search.step() * HOLD_STEPS);
    hold.unwrap_or_else(|| Duration::from_micros(longest_load(config)))
}
