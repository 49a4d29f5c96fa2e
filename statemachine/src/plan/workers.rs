//! How many workers a load needs, and what the user should know of them.

use std::num::NonZeroU32;

use super::{Place, PlanError};
use crate::config::{Attack, Config, DEFAULT_MEMORY_MB, Order};
use crate::load::Load;
use crate::pace::{Crowd, Pace};
use crate::resources;
use crate::schedule::Schedule;
use crate::secret::Reference;
use crate::units::display_duration;

/// Parameters that SSM reads in a second for an account that has not asked for
/// more. See <https://docs.aws.amazon.com/general/latest/gr/ssm.html>.
const SSM_PER_SECOND: u64 = 40;

/// More workers than this are kept waiting by SSM for seconds.
const MANY_READERS_OF_SSM: u32 = 100;

pub(super) fn arrivals_or_users(attack: &Attack) -> u64 {
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
pub(super) fn attack_short_of_connections(config: &Config, workers: NonZeroU32) -> Option<PlanError> {
    config.attacks().iter().find_map(|attack| {
        let connections = attack.connections.filter(|connections| *connections < workers)?.get();
        let attack = attack.name.clone();
        Some(PlanError::MoreWorkersThanConnections { attack, connections, workers: workers.get() })
    })
}

/// As many workers as the load needs, and no more than the place has cores, the
/// load has arrivals, or an attack has connections.
pub(super) fn auto_workers(config: &Config, place: &Place, arrivals: u64) -> NonZeroU32 {
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
        load => {
            let rate = load.peak_rate().as_per_second() * f64::from(attack.requests_each());
            rate / (f64::from(place.rate_per_worker.get()) * vcpu)
        }
    });
    let busy = if config.order() == Order::Sequence { each.fold(0.0, f64::max) } else { each.sum() };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    let workers = busy.ceil() as u64;
    workers.max(1)
}

/// How so many workers write down what they see of this config.
pub(super) fn pace_of(config: &Config, place: &Place, workers: NonZeroU32) -> Pace {
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

pub(super) fn warnings(
    config: &Config,
    place: &Place,
    workers: NonZeroU32,
    connections: NonZeroU32,
) -> Vec<String> {
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
