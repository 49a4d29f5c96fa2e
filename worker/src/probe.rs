//! Reads what the target's resources are doing while it is under load.
//!
//! A source says what it sees as it counts it ([`Seen`]); [`Watch`] turns that into
//! readings. What can be said of a source beside this, it says as reasons why something
//! is missing: nothing here ends the load, and nothing waits on the worker's one
//! thread. When to read is the engine's business. CloudWatch is read by the controller.

mod cgroup;
mod endpoint;
mod machine;
mod process;
mod prometheus;

use std::collections::{BTreeMap, HashMap};
use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use deathstar_statemachine::config::{Probe, Source};
use deathstar_statemachine::resources::{Metric, Miss, Place, Reading};

pub(crate) use self::endpoint::Client;

use self::cgroup::Cgroup;
use self::endpoint::Endpoint;
use self::process::Process;

/// The longest reason of a miss, in characters: a row of the run's table holds hundreds.
const MAX_WHY: usize = 200;

/// One resource of an attack under watch.
#[derive(Debug)]
pub(crate) struct Watch {
    source: Reader,
    meter: Meter,
}

/// What reads a source.
#[derive(Debug)]
enum Reader {
    Endpoint(Endpoint),
    Process(Process),
    Cgroup(Cgroup),
}

/// What a source says at one moment.
#[derive(Debug, Default, PartialEq)]
struct Look {
    seen: Vec<Seen>,
    /// Why something is missing, each a clause.
    missing: Vec<String>,
}

/// One metric as its source knows it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    metric: Metric,
    amount: Amount,
    /// At what value it is full, where the source knows.
    capacity: Option<f64>,
}

/// How a source knows a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Amount {
    /// Its value now.
    Level(f64),
    /// What it has come to since some start; its value is how much that grows in a
    /// second.
    Count(f64),
}

impl Seen {
    fn level(metric: Metric, value: f64, capacity: Option<f64>) -> Self {
        Self { metric, amount: Amount::Level(value), capacity }
    }

    fn count(metric: Metric, value: f64, capacity: Option<f64>) -> Self {
        Self { metric, amount: Amount::Count(value), capacity }
    }
}

impl Look {
    /// Nothing, for one reason.
    fn nothing(why: String) -> Self {
        Self { seen: Vec::new(), missing: vec![why] }
    }

    /// Adds what could be read, or why it could not.
    fn add(&mut self, seen: Result<Seen, String>) {
        match seen {
            Ok(seen) => self.seen.push(seen),
            Err(why) => self.missing.push(why),
        }
    }
}

impl Watch {
    /// Of a source that a worker can read; nothing was read yet.
    pub(crate) fn new(probe: &Probe, place: Place, client: &Client) -> Option<Self> {
        let source = match &probe.source {
            Source::Prometheus(url) => Reader::Endpoint(Endpoint::new(url, probe, client)),
            Source::Pid(pid) => Reader::Process(Process::new(*pid)),
            Source::Cgroup(directory) => Reader::Cgroup(Cgroup::new(directory)),
            Source::CloudWatch(_) => return None,
        };
        Some(Self { source, meter: Meter::new(place, probe.capacity.clone()) })
    }

    /// Makes ready what takes its time, before the load begins.
    pub(crate) async fn prepare(&self) {
        if let Reader::Endpoint(endpoint) = &self.source {
            endpoint.prepare().await;
        }
    }

    /// Reads it once. `now` says how far the load is; what is read counts as read in
    /// the middle between asking and being told.
    pub(crate) async fn read(&mut self, now: impl Fn() -> Duration) -> (u64, Vec<Reading>, Vec<Miss>) {
        let asked = now();
        let look = match &mut self.source {
            Reader::Endpoint(endpoint) => endpoint.read().await,
            Reader::Process(process) => {
                let reader = *process;
                let (reader, look) = in_the_background(move || {
                    let mut reader = reader;
                    let look = reader.read();
                    (reader, look)
                })
                .await
                .unwrap_or_else(|why| (reader, Look::nothing(why)));
                *process = reader;
                look
            }
            Reader::Cgroup(cgroup) => {
                let cgroup = cgroup.clone();
                in_the_background(move || cgroup.read()).await.unwrap_or_else(Look::nothing)
            }
        };
        let at = asked + now().saturating_sub(asked) / 2;
        let at = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        let (readings, misses) = self.meter.note(at, look);
        (at, readings, misses)
    }
}

/// Does on another thread what would keep the worker's from sending: listing a
/// thousand descriptors takes milliseconds.
async fn in_the_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|_| "reading it broke off".to_owned())
}

/// Turns what a source says into readings: counts into their growth, and its capacities
/// into those of the config where that has some.
#[derive(Debug)]
struct Meter {
    place: Place,
    capacity: BTreeMap<String, f64>,
    /// When each count was read last, in microseconds, and what it was.
    last: HashMap<Metric, (u64, f64)>,
}

impl Meter {
    fn new(place: Place, capacity: BTreeMap<String, f64>) -> Self {
        Self { place, capacity, last: HashMap::new() }
    }

    fn note(&mut self, at: u64, look: Look) -> (Vec<Reading>, Vec<Miss>) {
        let place = self.place;
        let mut readings = Vec::new();
        for Seen { metric, amount, capacity } in look.seen {
            let value = match amount {
                Amount::Level(value) => Some(value),
                Amount::Count(count) => self.growth(at, &metric, count),
            };
            let Some(value) = value.filter(|value| value.is_finite()) else { continue };
            let capacity = self.capacity.get(metric.name()).copied().or(capacity);
            readings.push(Reading { place, at, metric, value, capacity });
        }
        let why: String = look.missing.join("; ").chars().take(MAX_WHY).collect();
        let misses = if why.is_empty() { Vec::new() } else { vec![Miss { place, at, why }] };
        (readings, misses)
    }

    /// How much a count has grown in a second since it was read before; nothing at first,
    /// and when it has begun anew.
    fn growth(&mut self, at: u64, metric: &Metric, count: f64) -> Option<f64> {
        let (before, last) = self.last.insert(metric.clone(), (at, count))?;
        let seconds = at.saturating_sub(before) as f64 / 1e6;
        (count >= last && seconds > 0.0).then(|| (count - last) / seconds)
    }
}

/// A capacity that means something: unlimited is written as a number, too.
fn sane(capacity: f64) -> Option<f64> {
    const UNLIMITED: f64 = (1_u64 << 50) as f64;
    (capacity > 0.0 && capacity < UNLIMITED).then_some(capacity)
}

/// The root of an error, as a clause: `connection refused`.
fn clause(error: &(dyn StdError + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    // What an `io::Error` wraps is no source of it.
    let inner = root.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let text = inner.map_or_else(|| root.to_string(), |inner| clause(inner));
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(capacity: &[(&str, f64)]) -> Meter {
        let place = Place { attack: 1, resource: 2 };
        Meter::new(place, capacity.iter().map(|(name, full)| ((*name).to_owned(), *full)).collect())
    }

    fn values(meter: &mut Meter, at: u64, seen: Seen) -> Vec<f64> {
        let look = Look { seen: vec![seen], missing: Vec::new() };
        meter.note(at, look).0.into_iter().map(|reading| reading.value).collect()
    }

    #[test]
    fn a_count_is_read_as_its_growth_in_a_second() {
        let mut meter = meter(&[]);
        let mut at = |at, count| values(&mut meter, at, Seen::count(Metric::Cpu, count, None));
        assert!(at(0, 10.0).is_empty(), "the first says nothing");
        assert_eq!(at(500_000, 11.0), [2.0]);
        assert_eq!(at(2_500_000, 11.0), [0.0]);
        assert!(at(3_500_000, 3.0).is_empty(), "it began anew");
        assert_eq!(at(4_500_000, 3.5), [0.5]);
        assert!(at(4_500_000, 9.0).is_empty(), "no time has passed");
        assert!(at(5_500_000, f64::NAN).is_empty());
        assert!(at(6_500_000, 9.0).is_empty());
    }

    #[test]
    fn a_reading_is_a_finite_number_of_a_place() {
        let mut meter = meter(&[("memory", 5.0)]);
        let look = Look {
            seen: vec![
                Seen::level(Metric::Memory, 2.0, Some(9.0)),
                Seen::level(Metric::Descriptors, 3.0, Some(9.0)),
                Seen::level(Metric::Instances, f64::INFINITY, None),
            ],
            missing: vec!["one".to_owned(), "é".repeat(300)],
        };
        let (readings, misses) = meter.note(7, look);
        let place = Place { attack: 1, resource: 2 };
        let reading =
            |metric, value, capacity| Reading { place, at: 7, metric, value, capacity: Some(capacity) };
        let expected = [reading(Metric::Memory, 2.0, 5.0), reading(Metric::Descriptors, 3.0, 9.0)];
        assert_eq!(readings, expected, "the config knows better what is full");
        let why = format!("one; {}", "é".repeat(195));
        assert_eq!(misses, [Miss { place, at: 7, why }]);
    }

    #[test]
    fn the_root_of_an_error_is_a_clause() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(clause(&refused), "connection refused");
        let wrapped = io::Error::other(io::Error::other("The middle"));
        assert_eq!(clause(&wrapped), "the middle");
    }
}
