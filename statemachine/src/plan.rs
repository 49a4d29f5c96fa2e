//! How a run is split: workers, functions, rounds and slices.
//!
//! A plan is made once, from a config and the place it runs in, and stored in
//! the run's table; every worker reads it there and computes its own share.
//! Nothing here creates anything.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::arrivals::Process;
use crate::config::{Attack, Carrier, Config, DEFAULT_MEMORY_MB, Order, Workers, source};
use crate::cost::display_usd;
use crate::ids::RunId;
use crate::load::Load;
use crate::pace::{Crowd, Pace};
use crate::resources;
use crate::schedule::{Schedule, Shard, micros};
use crate::search::{HOLD_STEPS, MAX_REST, Search, Step};
use crate::secret::{self, Reference};
use crate::slo::Metric;
use crate::units::{display_duration, duration_text};
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

/// A shorter slice is not worth an invocation, when timeouts are what makes it
/// short.
const SHORTEST_SLICE: Duration = Duration::from_secs(60);

/// The most slices of a round. Each is about nine events in the history of its
/// shard's execution, which AWS ends at 25,000; a test counts them. See
/// <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>.
pub const MAX_SLICES: u32 = 1800;

/// Parameters that SSM reads in a second for an account that has not asked for
/// more. See <https://docs.aws.amazon.com/general/latest/gr/ssm.html>.
const SSM_PER_SECOND: u64 = 40;

/// More workers than this are kept waiting by SSM for seconds.
const MANY_READERS_OF_SSM: u32 = 100;

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

/// Why a valid config cannot run here.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PlanError {
    /// The config refers to values that are not to be had here; a sentence for
    /// each.
    #[error("{}", .0.join("; "))]
    References(Vec<String>),
    /// The config reads resources that cannot be read here; a sentence for each.
    #[error("{}", .0.join("; "))]
    Resources(Vec<String>),
    /// Dearer than the config allows.
    #[error("the run would cost about {} USD; its budget is {} USD (max_usd)", display_usd(*cost), display_usd(*limit))]
    OverBudget {
        /// The estimate, in US dollars.
        cost: f64,
        /// The most it may cost, in US dollars.
        limit: f64,
    },
    /// Some workers would have nothing to do.
    #[error("{workers} workers for {arrivals} arrivals: at least {} would never send anything; the limit is {arrivals}", u64::from(*workers) - arrivals)]
    MoreWorkersThanArrivals {
        /// Workers asked for.
        workers: u32,
        /// Arrivals, or users, of the whole config.
        arrivals: u64,
    },
    /// Some workers would have no connection.
    #[error(
        "attack {attack:?} may have {connections} connections, too few for one each of {workers} workers; raise connections or ask for fewer workers"
    )]
    MoreWorkersThanConnections {
        /// The attack.
        attack: String,
        /// Connections it may have.
        connections: u32,
        /// Workers asked for.
        workers: u32,
    },
    /// Too many workers.
    #[error("{workers} workers are too many; the limit is {limit}")]
    TooManyWorkers {
        /// Workers asked for.
        workers: u32,
        /// The most there can be.
        limit: u32,
    },
    /// The load is too long for one execution.
    #[error("the load lasts {}, which is over {MAX_SLICES} slices of {}: the limit is {}", display_duration(*load), display_duration(*slice), display_duration(*slice * MAX_SLICES))]
    LoadTooLong {
        /// How long requests are due.
        load: Duration,
        /// The longest stretch of load of one invocation.
        slice: Duration,
    },
    /// Requests may take so long that no invocation can wait for them.
    #[error("attack {attack:?} allows requests to take {}, and a worker lives for {}: the limit is {}", display_duration(*timeout), display_duration(*invocation), display_duration(*limit))]
    TimeoutTooLong {
        /// The attack.
        attack: String,
        /// Its timeout.
        timeout: Duration,
        /// How long a worker lives.
        invocation: Duration,
        /// The longest timeout there can be.
        limit: Duration,
    },
    /// Requests may take so long that a slice would end after the next but one
    /// should begin.
    #[error("attack {attack:?} allows requests to take {}, and a load of {} is cut into slices of {}: a worker that waits for its last requests would come late for the slice after the next; the limit is {}, or a load of {}", display_duration(*timeout), display_duration(*load), display_duration(*slice), display_duration(*limit), display_duration(*slice * 2))]
    TimeoutTooLongForSlices {
        /// The attack.
        attack: String,
        /// Its timeout.
        timeout: Duration,
        /// How long requests are due between two decisions.
        load: Duration,
        /// The longest stretch of load of one invocation.
        slice: Duration,
        /// The longest timeout that such a load can have.
        limit: Duration,
    },
    /// Too few sockets for the workers.
    #[error(
        "{workers} workers share {sockets} sockets, too few for one each; raise the limit on open files or ask for fewer workers"
    )]
    TooFewSockets {
        /// Workers asked for.
        workers: u32,
        /// Sockets there are.
        sockets: u32,
    },
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

/// How long a slice may be, so that an invocation lives to see the end of a
/// request that first waited for a connection and then took its whole timeout,
/// and to write it down.
fn slice(config: &Config, place: &Place, spread: Duration) -> Result<Duration, PlanError> {
    let Some(slowest) = config.attacks().iter().max_by_key(|attack| attack.timeout) else {
        return Ok(place.slice);
    };
    let room = place.invocation.saturating_sub(INVOCATION_MARGIN + spread + slowest.timeout * 2);
    if room >= place.slice {
        return Ok(place.slice);
    }
    if room >= SHORTEST_SLICE {
        // Whole seconds, so that no window lies across the seam of two slices.
        return Ok(Duration::from_secs(room.as_secs()));
    }
    Err(PlanError::TimeoutTooLong {
        attack: slowest.name.clone(),
        timeout: slowest.timeout,
        invocation: place.invocation,
        limit: place.invocation.saturating_sub(INVOCATION_MARGIN + spread + place.slice.min(SHORTEST_SLICE))
            / 2,
    })
}

/// Looks whether a slice lasts until the worker of the one before it has certainly
/// ended. Slice k + 2 is invoked a lead before it begins, and not before the
/// invocation of slice k has returned: if that still waits for a target that hangs,
/// the next one comes late, and what it drops for it would count against the
/// generator. Two slices only do not wait for each other.
///
/// Says what is wrong with an installation whose slices are too short; a longer one
/// would do.
///
/// # Errors
/// When no slice is long enough, since an invocation must wait for its last requests,
/// too.
fn short_slices(
    config: &Config,
    place: &Place,
    writing: &Pace,
    slice: Duration,
) -> Result<Option<String>, PlanError> {
    let load = longest_round(config);
    let Some(slowest) = config.attacks().iter().max_by_key(|attack| attack.timeout) else { return Ok(None) };
    if load <= slice * 2 {
        return Ok(None);
    }
    let (attack, timeout) = (slowest.name.clone(), slowest.timeout);
    let to_end = INVOCATION_MARGIN + writing.spread;
    let needed = timeout * 2 + to_end + place.lead;
    // What a slice may lose to be of whole windows.
    let cut = if writing.window > Duration::from_secs(1) { writing.window } else { Duration::ZERO };
    // Where what is needed is as long as what an invocation has room for.
    let limit = place.invocation.saturating_sub(to_end * 2 + place.lead + cut) / 4;
    if timeout > limit {
        return Err(PlanError::TimeoutTooLongForSlices { attack, timeout, load, slice, limit });
    }
    // One that timeouts made short is long enough, but for a part of a second.
    Ok((place.slice < needed).then(|| {
        format!(
            "this installation has slices of {}: when the target hangs, a worker may wait for its last requests and come late for the slice after the next, and what was due before is dropped; slices of {} (deathstar deploy --slice) or a shorter timeout than the {} of attack {attack:?} would do",
            display_duration(slice),
            display_duration(needed),
            display_duration(timeout),
        )
    }))
}

fn arrivals_or_users(attack: &Attack) -> u64 {
    match (&attack.load, Schedule::of(&attack.load)) {
        (Load::Users { count, .. }, _) => u64::from(count.get()),
        // Of the lowest rate that is tried.
        (Load::Search(search), _) => {
            let (rate, duration) = (search.from(), search.step());
            Schedule::of(&Load::Constant { rate, duration }).map_or(0, |schedule| schedule.total())
        }
        (_, schedule) => schedule.map_or(0, |schedule| schedule.total()),
    }
}

/// The first attack with fewer connections than there are workers.
fn attack_short_of_connections(config: &Config, workers: NonZeroU32) -> Option<PlanError> {
    config.attacks().iter().find_map(|attack| {
        let connections = attack.connections.filter(|connections| *connections < workers)?.get();
        let attack = attack.name.clone();
        Some(PlanError::MoreWorkersThanConnections { attack, connections, workers: workers.get() })
    })
}

/// As many workers as the load needs, and no more than the place has cores, the
/// load has arrivals, or an attack has connections.
fn auto_workers(config: &Config, place: &Place, arrivals: u64) -> NonZeroU32 {
    let needed = workers_for(config, place);
    let connections = config.attacks().iter().filter_map(|attack| attack.connections).min();
    let most = connections.map_or(u64::MAX, |connections| u64::from(connections.get()));
    let bounded = needed.min(u64::from(place.cores.get())).min(arrivals).min(most).max(1);
    NonZeroU32::new(u32::try_from(bounded).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
}

/// How many vCPUs a worker has: on Lambda they come with its memory, in proportion.
/// It sends from one thread, so it has no use for more than one. See
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>.
fn vcpus(config: &Config, place: &Place) -> f64 {
    if place.mode == "aws" { f64::from(config.memory_mb()) / f64::from(DEFAULT_MEMORY_MB) } else { 1.0 }
}

/// How many workers the peak of the load keeps busy, at the place's rate a
/// worker, and one for every 1,000 users; more of those that have less than a vCPU.
fn workers_for(config: &Config, place: &Place) -> u64 {
    let vcpu = vcpus(config, place).min(1.0);
    let each = config.attacks().iter().map(|attack| match &attack.load {
        Load::Users { count, .. } => f64::from(count.get()) / (1000.0 * vcpu),
        load => load.peak_rate().as_per_second() / (f64::from(place.rate_per_worker.get()) * vcpu),
    });
    let busy = if config.order() == Order::Sequence { each.fold(0.0, f64::max) } else { each.sum() };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    let workers = busy.ceil() as u64;
    workers.max(1)
}

/// How so many workers write down what they see of this config.
fn pace_of(config: &Config, place: &Place, workers: NonZeroU32) -> Pace {
    let attacks = config.attacks();
    let open: f64 = attacks.iter().map(|attack| attack.load.peak_rate().as_per_second()).sum();
    let closed = attacks.iter().any(|attack| !attack.load.is_open());
    // How fast virtual users are is the target's affair; a worker sends no more
    // than it can.
    let closed = if closed { place.rate_per_worker.get() } else { 0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, and positive")]
    let rate = (open / f64::from(workers.get())).ceil() as u64 + u64::from(closed);
    Pace::of(&Crowd {
        workers,
        kinds: attacks.iter().map(|attack| attack.requests.len() as u64).sum(),
        rate,
        checkpoint: place.checkpoint,
        slice: place.slice,
    })
}

fn warnings(config: &Config, place: &Place, workers: NonZeroU32, connections: NonZeroU32) -> Vec<String> {
    let mut warnings = Vec::new();
    let needed = workers_for(config, place);
    if needed > u64::from(workers.get()) {
        warnings.push(format!(
            "the peak of the load would keep {needed} workers busy, and there are {workers}; the report will say whether they kept up"
        ));
    }
    let vcpus = vcpus(config, place);
    if vcpus >= 2.0 {
        warnings.push(format!(
            "a worker of {} MB has {vcpus:.1} vCPUs, and sends from one thread: {:.0} workers of {DEFAULT_MEMORY_MB} MB send more for the same price",
            config.memory_mb(),
            f64::from(workers.get()) * vcpus.floor()
        ));
    }
    let mut rules = config.attacks().iter().flat_map(|attack| &attack.slo);
    // What fails quickly may count as achieved.
    if config.search().is_some() && !rules.any(|rule| rule.metric() == Metric::Errors) {
        warnings.push(
            "no promise of this search is about errors, so a rate at which most requests fail counts as held; add errors < 0.1%"
                .to_owned(),
        );
    }
    warnings.extend(resources::read_too_seldom(config));
    let sockets = u64::from(connections.get()) * u64::from(workers.get());
    for attack in config.attacks() {
        let asked = u64::from(attack.connections.map_or(0, NonZeroU32::get).max(attack.warm_up));
        if asked > sockets {
            warnings.push(format!(
                "attack {:?} asks for {asked} connections, and the workers can have {sockets} in all",
                attack.name
            ));
        }
    }
    let users: u64 = config
        .attacks()
        .iter()
        .filter_map(|attack| match attack.load {
            Load::Users { count, .. } => Some(u64::from(count.get())),
            _ => None,
        })
        .sum();
    if users > sockets {
        warnings.push(format!("{users} users share {sockets} connections; users will wait for one"));
    }
    let parameters = config.references().iter().filter(|one| matches!(one, Reference::Ssm(_))).count();
    if parameters > 0 && workers.get() > MANY_READERS_OF_SSM {
        let reads = u64::from(workers.get()) * parameters as u64;
        warnings.push(format!(
            "{workers} workers read {parameters} SSM parameter{} at the start of each slice, and SSM answers {SSM_PER_SECOND} a second by default: that takes {} s, and who comes later than the lead of {} drops what was due before; keep it in Secrets Manager, which answers 10,000, or raise SSM's throughput",
            if parameters == 1 { "" } else { "s" },
            reads.div_ceil(SSM_PER_SECOND),
            display_duration(place.lead)
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_timeouts_leave_slices_of_whole_seconds() {
        let one = NonZeroU32::MIN;
        let place = Place {
            mode: "test".into(),
            cores: one,
            rate_per_worker: one,
            sockets: one,
            workers_share_process: true,
            workers_per_function: one,
            lead: Duration::from_secs(1),
            checkpoint: Duration::from_secs(5),
            slice: Duration::from_secs(600),
            invocation: Duration::from_secs(900),
            setup: Duration::from_secs(60),
            grace: Duration::from_secs(60),
        };
        let slice_of = |timeout: &str| {
            let text = format!(
                "name: a\nattacks: [{{ name: a, url: 'http://127.0.0.1:1/', rate: 1/s, duration: 1h, timeout: {timeout} }}]"
            );
            let config = Config::from_text(&text, |_| Err(String::new())).unwrap();
            slice(&config, &place, Duration::ZERO).map(|slice| slice.as_micros())
        };
        assert_eq!(slice_of("135s"), Ok(600_000_000));
        // 900 − 30 − 2 × 400.25 = 69.5 s.
        assert_eq!(slice_of("400.25s"), Ok(69_000_000));
        assert!(matches!(slice_of("406s"), Err(PlanError::TimeoutTooLong { .. })));
    }
}
