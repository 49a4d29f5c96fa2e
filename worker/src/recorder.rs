//! Keeps what was seen until it is written down.
//!
//! Every request is counted twice: in the totals of its kind, with three
//! digits, and in the window of its *intended* second, with two. A window is
//! written again whenever it changed, and let go once nothing can change it any
//! more and its last state is written: memory is flat, whatever the length of
//! the run. A window that was let go is never opened again, since what it would
//! hold then would be written over what it held.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deathstar_statemachine::plan::Span;
use deathstar_statemachine::schedule::micros;
use deathstar_statemachine::window::{Grid, Health, Outcome, Series, Tally, Timing, Window};

/// An answer within this long of being due counts as achieved even when the
/// load is over by then.
const IN_TIME: Duration = Duration::from_secs(1);

/// Counts of one slice.
#[derive(Debug)]
pub struct Recorder {
    grid: Grid,
    spans: Vec<Span>,
    /// By attack, by request.
    totals: Vec<Vec<Tally>>,
    open: BTreeMap<u64, OpenWindow>,
    /// Starts of windows that were let go; no more than a slice has.
    gone: BTreeSet<u64>,
    /// By when they are due, in microseconds: arrivals that are known, and not
    /// yet counted as scheduled.
    announced: BTreeMap<u64, u32>,
    /// Up to where the generator's state was noted, in microseconds.
    noted: u64,
    in_flight: u32,
}

#[derive(Debug)]
struct OpenWindow {
    window: Window,
    /// Requests of this window that have not ended.
    in_flight: u64,
    /// Counts changes, to tell whether a written state is the last.
    version: u64,
    written: u64,
}

/// Windows to be written, and what to let go once they are.
#[derive(Debug)]
pub struct Checkpoint {
    /// Every window that changed since it was last written.
    pub windows: Vec<Window>,
    versions: Vec<(u64, u64)>,
}

/// A request that is due: where it is counted.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// The attack's index.
    pub attack: usize,
    /// The request's index within the attack.
    pub request: usize,
    /// When it is due, from the start of the load.
    pub intended: Duration,
}

/// Bytes of one request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Of the request.
    pub sent: u64,
    /// Of the response's body.
    pub received: u64,
}

impl Recorder {
    /// Nothing seen yet. `requests` says how many kinds each attack has.
    #[must_use]
    pub fn new(grid: Grid, spans: Vec<Span>, requests: &[usize]) -> Self {
        Self {
            grid,
            spans,
            totals: requests.iter().map(|count| vec![Tally::total(); *count]).collect(),
            open: BTreeMap::new(),
            gone: BTreeSet::new(),
            announced: BTreeMap::new(),
            noted: 0,
            in_flight: 0,
        }
    }

    /// Notes that an arrival will be counted as scheduled at `intended`, or
    /// after: however late that happens, its window waits for it.
    pub fn announce(&mut self, intended: Duration) {
        *self.announced.entry(micros(intended)).or_default() += 1;
    }

    /// Notes that an announced arrival is counted now, or will never be.
    pub fn arrived(&mut self, intended: Duration) {
        let at = micros(intended);
        if let Some(count) = self.announced.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                self.announced.remove(&at);
            }
        }
    }

    /// Counts a request as due.
    pub fn scheduled(&mut self, slot: Slot) {
        self.totals[slot.attack][slot.request].scheduled += 1;
        self.in_flight += 1;
        let in_flight = self.in_flight;
        let open = self.window(micros(slot.intended));
        open.in_flight += 1;
        open.window.health.in_flight = open.window.health.in_flight.max(in_flight);
        open.tally(slot).scheduled += 1;
    }

    /// Notes how late a request left by our own fault.
    pub fn released(&mut self, slot: Slot, pacing_lag: Duration) {
        self.window(micros(slot.intended)).window.health.pacing_lag.record(pacing_lag);
    }

    /// Counts how a scheduled request ended.
    pub fn ended(&mut self, slot: Slot, outcome: Outcome, timing: &Timing, traffic: Traffic) {
        let load_end = Duration::from_micros(self.spans[slot.attack].end);
        let in_time = timing.done < load_end || timing.response_time() <= IN_TIME;
        self.in_flight = self.in_flight.saturating_sub(1);
        let count = |tally: &mut Tally| {
            tally.record(outcome, timing, in_time);
            tally.bytes_sent += traffic.sent;
            tally.bytes_received += traffic.received;
        };
        count(&mut self.totals[slot.attack][slot.request]);
        let open = self.window(micros(slot.intended));
        open.in_flight = open.in_flight.saturating_sub(1);
        if outcome != Outcome::Dropped {
            open.window.health.send_lag.record(timing.sent.saturating_sub(timing.intended));
        }
        count(open.tally(slot));
    }

    /// Notes the generator's state for the second that ends at `until`.
    pub fn health(&mut self, until: u64, cpu_ratio: Option<f64>, sockets: Option<u32>) {
        let from = until.saturating_sub(1_000_000);
        self.noted = self.noted.max(until);
        for open in self.open.range_mut(from..until).map(|(_, open)| open) {
            open.window.health.cpu_ratio = cpu_ratio;
            open.window.health.sockets = sockets;
            open.version += 1;
        }
    }

    /// Makes sure that the window at `at` exists: a second in which nothing was
    /// due was still covered.
    pub fn cover(&mut self, at: u64) {
        let (start, _) = self.grid.window_of(at);
        if !self.gone.contains(&start) {
            self.window(at);
        }
    }

    /// Requests that have not ended.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Every window that changed since it was last written.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let changed = self.open.iter().filter(|(_, open)| open.version > open.written);
        let (versions, windows) =
            changed.map(|(at, open)| ((*at, open.version), open.window.clone())).unzip();
        Checkpoint { windows, versions }
    }

    /// Notes that a checkpoint is safely written, and lets go of windows that
    /// ended before `now` and cannot change any more: nothing of them is in
    /// flight or yet to come, and the generator's state in them is noted.
    pub fn written(&mut self, versions: &Versions, now: u64) {
        for (at, version) in &versions.0 {
            if let Some(open) = self.open.get_mut(at) {
                open.written = *version;
            }
        }
        let to_come = self.announced.first_key_value().map_or(u64::MAX, |(at, _)| *at);
        let settled = now.min(self.noted).min(to_come);
        let gone = &mut self.gone;
        self.open.retain(|at, open| {
            let is_final = open.version == open.written && open.in_flight == 0;
            let is_gone = is_final && at + open.window.len <= settled && gone.insert(*at);
            !is_gone
        });
    }

    /// The totals, by attack and request.
    #[must_use]
    pub fn totals(&self) -> Vec<Series> {
        let mut totals = Vec::new();
        for (attack, requests) in (0..).zip(&self.totals) {
            for (request, tally) in (0..).zip(requests) {
                totals.push(Series { attack, request, tally: tally.clone() });
            }
        }
        totals
    }

    fn window(&mut self, at: u64) -> &mut OpenWindow {
        let (at, len) = self.grid.window_of(at);
        let open = self.open.entry(at).or_insert_with(|| OpenWindow {
            window: Window { at, len, series: Vec::new(), health: Health::unknown() },
            in_flight: 0,
            version: 0,
            written: 0,
        });
        open.version += 1;
        open
    }
}

/// Which states of which windows a checkpoint wrote.
#[derive(Debug)]
pub struct Versions(Vec<(u64, u64)>);

impl Checkpoint {
    /// Splits into what is written and what is remembered of it.
    #[must_use]
    pub fn split(self) -> (Vec<Window>, Versions) {
        (self.windows, Versions(self.versions))
    }
}

impl OpenWindow {
    fn tally(&mut self, slot: Slot) -> &mut Tally {
        let (attack, request) =
            (u32::try_from(slot.attack).unwrap_or(u32::MAX), u32::try_from(slot.request).unwrap_or(u32::MAX));
        let series = &mut self.window.series;
        let index = series.partition_point(|s| (s.attack, s.request) < (attack, request));
        if series.get(index).is_none_or(|s| (s.attack, s.request) != (attack, request)) {
            series.insert(index, Series { attack, request, tally: Tally::window() });
        }
        &mut series[index].tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder() -> Recorder {
        Recorder::new(Grid::new(vec![]), vec![Span { start: 0, end: 2_000_000 }], &[1])
    }

    fn slot(ms: u64) -> Slot {
        Slot { attack: 0, request: 0, intended: Duration::from_millis(ms) }
    }

    fn timing(intended: u64, done: u64) -> Timing {
        Timing {
            intended: Duration::from_millis(intended),
            sent: Duration::from_millis(intended),
            done: Duration::from_millis(done),
        }
    }

    #[test]
    fn a_late_answer_changes_the_window_of_its_intended_second() {
        let mut recorder = recorder();
        recorder.scheduled(slot(100));
        let (windows, versions) = recorder.checkpoint().split();
        assert_eq!((windows.len(), windows[0].series[0].tally.in_flight()), (1, 1));
        recorder.written(&versions, 5_000_000);
        assert!(recorder.checkpoint().windows.is_empty(), "nothing changed");
        recorder.ended(slot(100), Outcome::Completed { status: 200 }, &timing(100, 4100), Traffic::default());
        recorder.health(1_000_000, None, None);
        let (windows, versions) = recorder.checkpoint().split();
        assert_eq!((windows[0].at, windows[0].series[0].tally.completed), (0, 1));
        recorder.written(&versions, 5_000_000);
        assert!(recorder.open.is_empty(), "a finished window is let go");
    }

    #[test]
    fn a_window_that_changed_while_it_was_written_is_written_again() {
        let mut recorder = recorder();
        recorder.scheduled(slot(100));
        recorder.ended(slot(100), Outcome::Completed { status: 200 }, &timing(100, 110), Traffic::default());
        let (_, versions) = recorder.checkpoint().split();
        recorder.scheduled(slot(200));
        recorder.written(&versions, 5_000_000);
        assert_eq!(recorder.checkpoint().windows.len(), 1);
    }

    /// Everything that changed, as if it was written at `now`.
    fn write(recorder: &mut Recorder, now: u64) -> Vec<(u64, u64)> {
        let (windows, versions) = recorder.checkpoint().split();
        recorder.written(&versions, now);
        let scheduled =
            |window: &Window| window.series.iter().map(|series| series.tally.scheduled).sum::<u64>();
        windows.iter().map(|window| (window.at, scheduled(window))).collect()
    }

    #[test]
    fn a_window_that_was_let_go_is_never_written_again_without_what_it_held() {
        let mut recorder = Recorder::new(
            Grid::new(vec![250_000]),
            vec![Span { start: 0, end: 250_000 }, Span { start: 0, end: 2_000_000 }],
            &[1, 1],
        );
        recorder.scheduled(slot(100));
        recorder.ended(slot(100), Outcome::Completed { status: 200 }, &timing(100, 110), Traffic::default());
        assert_eq!(write(&mut recorder, 900_000), [(0, 1)]);
        // At the end of the second its health is noted, in every part of it.
        recorder.cover(0);
        recorder.health(1_000_000, Some(0.5), None);
        assert_eq!(write(&mut recorder, 1_900_000), [(0, 1)]);
        assert!(recorder.open.is_empty());
        recorder.cover(0);
        assert_eq!(write(&mut recorder, 2_000_000), []);
    }

    #[test]
    fn a_window_waits_for_an_arrival_that_is_late() {
        let mut recorder = recorder();
        recorder.scheduled(slot(100));
        recorder.ended(slot(100), Outcome::Completed { status: 200 }, &timing(100, 110), Traffic::default());
        recorder.announce(Duration::from_millis(900));
        recorder.health(1_000_000, None, None);
        assert_eq!(write(&mut recorder, 1_200_000), [(0, 1)]);
        recorder.arrived(Duration::from_millis(900));
        recorder.scheduled(slot(900));
        assert_eq!(write(&mut recorder, 1_300_000), [(0, 2)]);
        recorder.ended(slot(900), Outcome::Completed { status: 200 }, &timing(900, 1310), Traffic::default());
        assert_eq!(write(&mut recorder, 1_400_000), [(0, 2)]);
        assert!(recorder.open.is_empty());
    }

    #[test]
    fn achieved_counts_answers_before_the_end_or_within_a_second() {
        let mut recorder = recorder();
        for (intended, done) in [(0, 1900), (1500, 2400), (500, 2100)] {
            recorder.scheduled(slot(intended));
            let outcome = Outcome::Completed { status: 200 };
            recorder.ended(slot(intended), outcome, &timing(intended, done), Traffic::default());
        }
        // The third came after the end and 1.6 s late.
        assert_eq!(recorder.totals()[0].tally.in_time, 2);
    }
}
