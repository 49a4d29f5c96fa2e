//! What the platform measured of the target, asked for once the load is over.
//!
//! Values of CloudWatch come a minute or two after what they are of, when workers
//! are gone. So the report asks for them, and waits for the last for a while, unless
//! someone waits for the report.

use std::collections::BTreeMap;
use std::time::Duration;

use deathstar_statemachine::config::source::{Instances, Source};
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::report::{Round, Stop};
use deathstar_statemachine::resources::{Metric, Miss, Place, Reading};
use deathstar_statemachine::schedule::micros;
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::ports::{Metrics, Ports, Query, Table};

/// How many periods late a value may come, and how long that is at least. CloudWatch
/// promises nothing; those of a minute mostly come within three.
const PERIODS_LATE: u32 = 3;
const LATE: Duration = Duration::from_secs(10);
/// Nobody waits for longer than this for a report.
const TOO_LATE: Duration = Duration::from_secs(180);

/// How often it is asked meanwhile.
const AGAIN: Duration = Duration::from_secs(5);

/// What was read, and what could not be.
pub(crate) type Found = (Vec<Reading>, Vec<Miss>);

/// What an attack's resources on the platform did during its rounds.
pub(crate) async fn read(ports: &impl Ports, plan: &Plan, rounds: &[Round]) -> Found {
    let queries: Vec<(Place, Query)> = queries(plan);
    let clock = ports.clock();
    let Some(span) = Span::of(rounds, clock.now()).filter(|_| !queries.is_empty()) else {
        return Found::default();
    };
    let mut found: BTreeMap<Place, Result<Vec<Reading>, String>> = BTreeMap::new();
    // What is refused is refused again; the adapter repeats what may help.
    let is_whole = |found: &BTreeMap<Place, Result<Vec<Reading>, String>>, place: &Place, query: &Query| {
        found.get(place).is_some_and(|read| read.as_ref().map_or(true, |read| span.is_whole(query, read)))
    };
    loop {
        for (place, query) in &queries {
            if !is_whole(&found, place, query) {
                let values = ports.metrics().read(query, span.from, span.until).await;
                let read = values.map(|values| span.readings(*place, plan, query, &values));
                found.insert(*place, read.map_err(|error| error.to_string()));
            }
        }
        let now = clock.now();
        let is_over = |(place, query): &(Place, Query)| {
            let late = (query.period * PERIODS_LATE).clamp(LATE, TOO_LATE);
            is_whole(&found, place, query) || now > later(span.until, late)
        };
        if queries.iter().all(is_over) || is_awaited(ports, plan).await {
            break;
        }
        clock.sleep(AGAIN).await;
    }
    let (mut readings, mut misses) = Found::default();
    for (place, read) in found {
        let at = span.end;
        match read {
            Ok(read) if read.is_empty() => {
                let why = "CloudWatch has no value of it in a whole period of the load".to_owned();
                misses.push(Miss { place, at, why });
            }
            Ok(read) => readings.extend(read),
            Err(why) => misses.push(Miss { place, at, why }),
        }
    }
    (readings, misses)
}

/// Whether someone stopped the run, and waits for its report: `stop` gives it half a
/// minute, and then ends the execution. Where nothing was sent, nothing need be waited
/// for either.
async fn is_awaited(ports: &impl Ports, plan: &Plan) -> bool {
    match ports.table().stop(&plan.run).await {
        Ok(Some(Stop::Interrupted | Stop::Requested | Stop::Unable { .. })) => true,
        // A run that stopped itself can wait; so can one of which nobody knows.
        Ok(Some(Stop::Condition { .. }) | None) | Err(_) => false,
    }
}

fn queries(plan: &Plan) -> Vec<(Place, Query)> {
    let mut queries = Vec::new();
    for (attack, of) in (0..).zip(plan.config.attacks()) {
        for (resource, probe) in (0..).zip(&of.resources) {
            if let Source::CloudWatch(metric) = &probe.source {
                queries.push((
                    Place { attack, resource },
                    Query { metric: metric.clone(), period: probe.every },
                ));
            }
        }
    }
    queries
}

/// The time in which rounds were sent, and where in the load that was.
struct Span<'a> {
    rounds: &'a [Round],
    from: Timestamp,
    until: Timestamp,
    /// In microseconds of the load.
    end: u64,
}

impl<'a> Span<'a> {
    /// Up to now at most: a run may have been stopped.
    fn of(rounds: &'a [Round], now: Timestamp) -> Option<Self> {
        let (first, last) = (rounds.first()?, rounds.last()?);
        Some(Self { rounds, from: first.t0, until: end_of(last).min(now), end: last.until })
    }

    /// The values of those periods that lie within a round, each as of its period's end.
    fn readings(
        &self,
        place: Place,
        plan: &Plan,
        query: &Query,
        values: &[(Timestamp, f64)],
    ) -> Vec<Reading> {
        let probe = plan.config.attacks().get(place.attack as usize);
        let probe = probe.and_then(|attack| attack.resources.get(place.resource as usize));
        let Some(probe) = probe else { return Vec::new() };
        let (metric, full) = match query.metric.metric.as_str() {
            _ if probe.instances == Some(Instances::Metric) => (Metric::Instances, None),
            "CPUUtilization" => (Metric::Cpu, Some(100.0)),
            "MemoryUtilization" => (Metric::Memory, Some(100.0)),
            other => (Metric::Series(other.to_owned()), None),
        };
        let named = [metric.name(), query.metric.metric.as_str()];
        let capacity = named.iter().find_map(|name| probe.capacity.get(*name)).copied().or(full);
        let reading = |(start, value): &(Timestamp, f64)| {
            let at = self.in_load(*start, query.period)?;
            value.is_finite().then(|| Reading { place, at, metric: metric.clone(), value: *value, capacity })
        };
        values.iter().filter_map(reading).collect()
    }

    /// Where in the load a period ends that lies within a round.
    fn in_load(&self, start: Timestamp, period: Duration) -> Option<u64> {
        self.rounds.iter().find_map(|round| {
            let into = Duration::try_from(start.duration_since(round.t0)).ok()?;
            let at = round.from + micros(into + period);
            (at <= round.until).then_some(at)
        })
    }

    /// Where in the load the last period ends that lies within a round. Periods begin at
    /// multiples of their length.
    fn last(&self, period: Duration) -> Option<u64> {
        let period = i64::try_from(period.as_secs()).ok().filter(|period| *period > 0)?;
        self.rounds.iter().rev().find_map(|round| {
            let end = end_of(round).min(self.until);
            let start = Timestamp::from_second((end.as_second() / period - 1) * period).ok()?;
            self.in_load(start, Duration::from_secs(period.unsigned_abs()))
        })
    }

    /// Whether the last of them is there.
    fn is_whole(&self, query: &Query, read: &[Reading]) -> bool {
        let last = read.iter().map(|reading| reading.at).max();
        self.last(query.period).is_none_or(|expected| last >= Some(expected))
    }
}

fn end_of(round: &Round) -> Timestamp {
    later(round.t0, Duration::from_micros(round.until.saturating_sub(round.from)))
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}
