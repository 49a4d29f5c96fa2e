//! Keeps what was seen until it is written down.
//!
//! Every request is counted twice: in the totals of its kind, with three
//! digits, and in the window of its *intended* second, with two. A window is
//! written again whenever it changed, and let go once it is over, has nothing
//! in flight, and its last state is written: memory is flat, whatever the
//! length of the run.

use std::collections::BTreeMap;
use std::time::Duration;

use deathstar_statemachine::plan::Span;
use deathstar_statemachine::resources::{Miss, Reading};
use deathstar_statemachine::schedule::micros;
use deathstar_statemachine::window::{Grid, Outcome, Series, Tally, Timing, Window};

/// An answer within this long of being due counts as achieved even when the
/// load is over by then.
const IN_TIME: Duration = Duration::from_secs(1);

/// Counts of one slice.
#[derive(Debug)]
pub struct Recorder {
    grid: Grid,
    spans: Vec<Span>,
    /// Where the load of this slice ends, in microseconds.
    end: u64,
    /// By attack, by request.
    totals: Vec<Vec<Tally>>,
    open: BTreeMap<u64, OpenWindow>,
    in_flight: u32,
    /// How far the load was covered, in microseconds: no second before it is
    /// noted any more.
    covered: u64,
    /// By window start: how many wait to count something there, or later.
    held: BTreeMap<u64, u32>,
}

#[derive(Debug)]
struct OpenWindow {
    window: Window,
    /// Requests of this window that have not ended.
    in_flight: u64,
    /// Counts changes, to tell whether a written state is the last.
    version: u64,
    written: u64,
    /// CPU ratios of its seconds that are known: their sum, and how many.
    cpu: (f64, u32),
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

/// How a request ended, and what is known of it beside its times.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// When.
    pub timing: Timing,
    /// How late it was by our own fault.
    pub pacing_lag: Duration,
    /// Whether it was dropped, or not followed where it led, for our own reasons.
    pub unsent: bool,
    /// How long its connection took to open, if one was opened for it,
    pub connect: Option<Duration>,
    /// and how long TLS took on that.
    pub tls: Option<Duration>,
    /// Its traffic.
    pub traffic: Traffic,
}

/// What went to the target and back for one request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Bytes of the request, and of those that redirects led to.
    pub sent: u64,
    /// Bytes of the responses' bodies.
    pub received: u64,
    /// How many requests redirects led to.
    pub redirects: u32,
}

impl Recorder {
    /// Nothing seen yet of a slice of the load. `requests` says how many kinds each
    /// attack has.
    #[must_use]
    pub fn new(grid: Grid, spans: Vec<Span>, slice: Span, requests: &[usize]) -> Self {
        Self {
            covered: slice.start,
            end: slice.end,
            held: BTreeMap::new(),
            grid,
            spans,
            totals: requests.iter().map(|count| vec![Tally::total(); *count]).collect(),
            open: BTreeMap::new(),
            in_flight: 0,
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

    /// Counts how a scheduled request ended.
    pub fn ended(&mut self, slot: Slot, ended: &Ended) {
        let Ended { outcome, timing, traffic, .. } = ended;
        let load_end = Duration::from_micros(self.spans[slot.attack].end);
        let in_time = timing.done < load_end || timing.response_time() <= IN_TIME;
        self.in_flight = self.in_flight.saturating_sub(1);
        let end = self.end;
        let count = |tally: &mut Tally| {
            tally.record(*outcome, timing, in_time);
            tally.opened(ended.connect, ended.tls);
            tally.redirects += u64::from(traffic.redirects);
            tally.bytes_sent += traffic.sent;
            tally.bytes_received += traffic.received;
        };
        count(&mut self.totals[slot.attack][slot.request]);
        let open = self.window(micros(slot.intended));
        open.in_flight = open.in_flight.saturating_sub(1);
        let health = &mut open.window.health;
        health.pacing_lag.record(ended.pacing_lag);
        health.unsent += u64::from(ended.unsent);
        if *outcome != Outcome::Dropped {
            health.send_lag.record(timing.sent.saturating_sub(timing.intended));
        }
        let (window, done) = (open.window.at..open.window.at + open.window.len, micros(timing.done));
        let tally = open.tally(slot);
        count(tally);
        if outcome.is_answer() && done < end {
            if window.contains(&done) {
                tally.answered += 1;
            } else {
                self.answered(slot, done);
            }
        }
    }

    /// Counts an answer in the window in which it came. Where that was let go meanwhile,
    /// it would come back with nothing else in it.
    fn answered(&mut self, slot: Slot, at: u64) {
        let (start, len) = self.grid.window_of(at);
        if self.open.contains_key(&start) || start + len > self.covered {
            self.window(at).tally(slot).answered += 1;
        }
    }

    /// Notes the generator's state for the second that ends at `until`.
    pub fn health(&mut self, until: u64, cpu_ratio: Option<f64>, sockets: Option<u32>) {
        let from = until.saturating_sub(1_000_000);
        for open in self.open.range_mut(..until).map(|(_, open)| open) {
            if open.window.at + open.window.len <= from {
                continue;
            }
            if let Some(ratio) = cpu_ratio {
                open.cpu = (open.cpu.0 + ratio, open.cpu.1 + 1);
                open.window.health.cpu_ratio = Some(open.cpu.0 / f64::from(open.cpu.1));
            }
            open.window.health.sockets = open.window.health.sockets.max(sockets);
            open.version += 1;
        }
    }

    /// Notes what was read of resources at an instant, in microseconds, and what could
    /// not be. The window of that instant may be gone: who reads it goes by what the
    /// readings say themselves, and any window will do.
    pub fn saw(&mut self, at: u64, readings: Vec<Reading>, misses: Vec<Miss>) {
        if readings.is_empty() && misses.is_empty() {
            return;
        }
        let (start, len) = self.grid.window_of(at);
        let there = self.open.contains_key(&start) || start + len > self.covered;
        // Had it come back after it was let go, it would replace what is written.
        let at = if there { at } else { self.open.keys().next_back().copied().unwrap_or(self.covered) };
        let window = &mut self.window(at).window;
        window.readings.extend(readings);
        window.misses.extend(misses);
    }

    /// Notes that the load was covered up to `until`, in microseconds: time in
    /// which nothing was due was covered, too, so its windows exist.
    pub fn cover(&mut self, until: u64) {
        while self.covered < until {
            let open = self.window(self.covered);
            let end = open.window.at + open.window.len;
            self.covered = end.min(until);
        }
    }

    /// Keeps the window at `at`, and all after it, until [`Self::release`]:
    /// someone may yet count an arrival in it. A window that came back after it
    /// was let go would replace what is written with what came late.
    pub fn hold(&mut self, at: u64) {
        *self.held.entry(self.grid.window_of(at).0).or_default() += 1;
    }

    /// Ends a [`Self::hold`].
    pub fn release(&mut self, at: u64) {
        let at = self.grid.window_of(at).0;
        let held = self.held.get_mut(&at).map(|held| {
            *held = held.saturating_sub(1);
            *held
        });
        if held == Some(0) {
            self.held.remove(&at);
        }
    }

    /// Requests that have not ended.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Every window that changed since it was last written. One that is not over
    /// at `now`, in microseconds, is as long as it has lasted: if the worker dies
    /// here, the rest of it was not covered.
    #[must_use]
    pub fn checkpoint(&self, now: u64) -> Checkpoint {
        let reached = now.max(self.covered);
        let changed = self.open.iter().filter(|(_, open)| open.version > open.written);
        let so_far = |window: &Window| Window {
            len: window.len.min(reached.saturating_sub(window.at)),
            ..window.clone()
        };
        let (versions, windows) =
            changed.map(|(at, open)| ((*at, open.version), so_far(&open.window))).unzip();
        Checkpoint { windows, versions }
    }

    /// Notes that a checkpoint is safely written, and lets go of windows that
    /// cannot change any more: covered, with nothing in flight, and before all
    /// that is held.
    pub fn written(&mut self, versions: &Versions) {
        let first_held = self.held.keys().next().copied().unwrap_or(u64::MAX);
        for (at, version) in &versions.0 {
            let Some(open) = self.open.get_mut(at) else { continue };
            open.written = *version;
            let covered = at + open.window.len <= self.covered && *at < first_held;
            if open.version == *version && open.in_flight == 0 && covered {
                self.open.remove(at);
            }
        }
    }

    /// The totals of what was due, by attack and request.
    #[must_use]
    pub fn totals(&self) -> Vec<Series> {
        let mut totals = Vec::new();
        for (attack, requests) in (0..).zip(&self.totals) {
            for (request, tally) in (0..).zip(requests).filter(|(_, tally)| tally.scheduled > 0) {
                totals.push(Series { attack, request, tally: tally.clone() });
            }
        }
        totals
    }

    fn window(&mut self, at: u64) -> &mut OpenWindow {
        let (at, len) = self.grid.window_of(at);
        let open = self.open.entry(at).or_insert_with(|| OpenWindow {
            window: Window::empty(at, len),
            in_flight: 0,
            version: 0,
            written: 0,
            cpu: (0.0, 0),
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
    use deathstar_statemachine::resources::Place;
    use deathstar_statemachine::window::ErrorClass;

    use super::*;

    fn recorder() -> Recorder {
        Recorder::new(
            Grid::new(vec![]),
            vec![Span { start: 0, end: 2_000_000 }],
            Span { start: 0, end: 2_000_000 },
            &[1],
        )
    }

    fn slot(ms: u64) -> Slot {
        Slot { attack: 0, request: 0, intended: Duration::from_millis(ms) }
    }

    fn ended(outcome: Outcome, intended: u64, done: u64) -> Ended {
        let intended = Duration::from_millis(intended);
        Ended {
            outcome,
            timing: Timing { intended, sent: intended, done: Duration::from_millis(done) },
            pacing_lag: Duration::ZERO,
            unsent: false,
            connect: None,
            tls: None,
            traffic: Traffic::default(),
        }
    }

    #[test]
    fn a_late_answer_changes_the_window_of_its_intended_second() {
        let mut recorder = recorder();
        recorder.scheduled(slot(100));
        recorder.cover(2_000_000);
        let (windows, versions) = recorder.checkpoint(5_000_000).split();
        assert_eq!((windows.len(), windows[0].series[0].tally.in_flight()), (2, 1));
        recorder.written(&versions);
        assert!(recorder.checkpoint(5_000_000).windows.is_empty(), "nothing changed");
        recorder.ended(slot(100), &ended(Outcome::Completed { status: 200 }, 100, 4100));
        let (windows, versions) = recorder.checkpoint(5_000_000).split();
        assert_eq!((windows[0].at, windows[0].series[0].tally.completed), (0, 1));
        recorder.written(&versions);
        assert!(recorder.open.is_empty(), "a finished window is let go");
    }

    #[test]
    fn a_window_that_changed_while_it_was_written_is_written_again() {
        let mut recorder = recorder();
        recorder.scheduled(slot(100));
        recorder.ended(slot(100), &ended(Outcome::Completed { status: 200 }, 100, 110));
        recorder.cover(1_000_000);
        let (_, versions) = recorder.checkpoint(5_000_000).split();
        recorder.scheduled(slot(200));
        recorder.written(&versions);
        assert_eq!(recorder.checkpoint(5_000_000).windows.len(), 1);
    }

    #[test]
    fn a_window_stays_as_long_as_an_arrival_of_it_may_come_late() {
        let mut recorder = recorder();
        recorder.scheduled(slot(100));
        recorder.ended(slot(100), &ended(Outcome::Completed { status: 200 }, 100, 110));
        recorder.hold(900_000);
        recorder.cover(2_000_000);
        let (_, versions) = recorder.checkpoint(2_000_000).split();
        recorder.written(&versions);
        recorder.release(900_000);
        recorder.scheduled(slot(900));
        let (windows, versions) = recorder.checkpoint(3_000_000).split();
        assert_eq!(windows[0].series[0].tally.scheduled, 2, "the first is still counted");
        recorder.ended(slot(900), &ended(Outcome::Dropped, 900, 3000));
        recorder.written(&versions);
        let (_, versions) = recorder.checkpoint(3_000_000).split();
        recorder.written(&versions);
        assert_eq!(recorder.open.keys().collect::<Vec<_>>(), [&1_000_000], "nothing is held any more");
    }

    #[test]
    fn what_was_read_never_brings_a_window_back() {
        let mut recorder = recorder();
        let miss = |at| {
            let place = Place { attack: 0, resource: 0 };
            (at, Vec::new(), vec![Miss { place, at, why: "connection refused".to_owned() }])
        };
        let saw = |recorder: &mut Recorder, at| {
            let (at, readings, misses) = miss(at);
            recorder.saw(at, readings, misses);
            let changed = recorder.checkpoint(at).split();
            recorder.written(&changed.1);
            let starts = changed.0.iter().filter(|window| !window.misses.is_empty()).map(|window| window.at);
            starts.collect::<Vec<u64>>()
        };
        assert_eq!(saw(&mut recorder, 500_000), [0], "it is not over yet");
        recorder.cover(1_000_000);
        assert_eq!(saw(&mut recorder, 900_000), [0], "it is still there, and is let go with this");
        assert!(recorder.open.is_empty());
        assert_eq!(saw(&mut recorder, 950_000), [1_000_000], "what comes late goes into the next");
        recorder.scheduled(slot(1800));
        assert_eq!(saw(&mut recorder, 960_000), [1_000_000]);
        let last = recorder.checkpoint(0).windows;
        assert!(last.is_empty());
        recorder.saw(1_000_000, Vec::new(), Vec::new());
        assert!(recorder.checkpoint(0).windows.is_empty(), "nothing to say is no change");
    }

    #[test]
    fn a_window_is_as_long_as_it_has_lasted() {
        let mut recorder =
            Recorder::new(Grid::new(vec![1_500_000]), vec![], Span { start: 0, end: 2_000_000 }, &[]);
        let lengths = |recorder: &Recorder, now| -> Vec<(u64, u64)> {
            recorder.checkpoint(now).windows.iter().map(|window| (window.at, window.len)).collect()
        };
        recorder.cover(1_000_000);
        recorder.window(1_200_000);
        assert_eq!(lengths(&recorder, 1_300_000), [(0, 1_000_000), (1_000_000, 300_000)]);
        recorder.cover(1_800_000);
        let all = [(0, 1_000_000), (1_000_000, 500_000), (1_500_000, 300_000)];
        assert_eq!(lengths(&recorder, 0), all, "what was covered was covered");
    }

    #[test]
    fn a_long_window_is_as_busy_as_its_seconds_and_is_let_go_after_the_last() {
        let mut recorder =
            Recorder::new(Grid::of(10_000_000, vec![]), vec![], Span { start: 0, end: 2_000_000 }, &[]);
        for second in 1..=12 {
            recorder.cover(second * 1_000_000);
            let busy = if second <= 5 { 0.9 } else { 0.1 };
            let known = (second != 7).then_some(busy);
            recorder.health(second * 1_000_000, known, Some(u32::try_from(20 - second).unwrap()));
            if second == 4 {
                let (windows, versions) = recorder.checkpoint(4_000_000).split();
                assert_eq!((windows.len(), windows[0].len), (1, 4_000_000));
                recorder.written(&versions);
            }
        }
        let (windows, versions) = recorder.checkpoint(12_000_000).split();
        let health = &windows[0].health;
        // Five busy seconds, four that were not, and one that nobody knows.
        let expected = (5.0 * 0.9 + 4.0 * 0.1) / 9.0;
        assert!((health.cpu_ratio.unwrap() - expected).abs() < 1e-9, "{health:?}");
        assert_eq!(health.sockets, Some(19));
        assert_eq!((windows[0].len, windows[1].len), (10_000_000, 2_000_000));
        recorder.written(&versions);
        assert_eq!(recorder.open.keys().collect::<Vec<_>>(), [&10_000_000]);
    }

    #[test]
    fn an_answer_counts_in_the_second_in_which_it_came_too() {
        let mut recorder = recorder();
        let answer = Outcome::Failed { class: ErrorClass::Status, status: Some(503) };
        let refused = Outcome::Failed { class: ErrorClass::Refused, status: None };
        // The last two are no answers of the load: one was none, one came after it.
        for (intended, done, outcome) in [
            (100, 200, answer),
            (300, 1200, answer),
            (400, 1900, answer),
            (500, 600, refused),
            (1500, 2000, answer),
        ] {
            recorder.scheduled(slot(intended));
            recorder.ended(slot(intended), &ended(outcome, intended, done));
        }
        let (windows, _) = recorder.checkpoint(3_000_000).split();
        let tally = |window: &Window| (window.series[0].tally.scheduled, window.series[0].tally.answered);
        assert_eq!(windows.iter().map(tally).collect::<Vec<_>>(), [(4, 1), (1, 2)]);
    }

    #[test]
    fn a_window_that_was_let_go_does_not_come_back_for_an_answer() {
        let mut recorder = recorder();
        recorder.scheduled(slot(100));
        recorder.cover(1_000_000);
        recorder.scheduled(slot(1200));
        recorder.ended(slot(100), &ended(Outcome::TimedOut, 100, 900));
        let (_, versions) = recorder.checkpoint(1_100_000).split();
        recorder.written(&versions);
        recorder.ended(slot(1200), &ended(Outcome::Completed { status: 200 }, 1200, 999));
        let (windows, _) = recorder.checkpoint(1_300_000).split();
        assert_eq!(windows.iter().map(|window| window.at).collect::<Vec<_>>(), [1_000_000]);
    }

    #[test]
    fn achieved_counts_answers_before_the_end_or_within_a_second() {
        let mut recorder = recorder();
        for (intended, done) in [(0, 1900), (1500, 2400), (500, 2100)] {
            recorder.scheduled(slot(intended));
            recorder.ended(slot(intended), &ended(Outcome::Completed { status: 200 }, intended, done));
        }
        // The third came after the end and 1.6 s late.
        assert_eq!(recorder.totals()[0].tally.in_time, 2);
    }
}
