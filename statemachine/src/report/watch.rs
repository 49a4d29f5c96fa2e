//! Watches the generator: whether it, rather than the target, was the bottleneck.

use std::collections::HashMap;

use super::{Generator, Lag};
use crate::histogram::Histogram;
use crate::plan::Plan;
use crate::window::Window;

/// A pacing lag p99 above this makes a window of the generator late, in milliseconds.
const LATE_MS: f64 = 10.0;
/// A worker thread busier than this is at its limit, 0–1.
const BUSY: f64 = 0.8;
/// The generator is limited when more windows than this were late or busy, 0–1.
const LIMITED_WINDOWS: f64 = 0.05;
/// How busy a worker should be when we say how many it takes, 0–1.
const COMFORTABLE: f64 = 0.6;

/// What workers said of themselves, being added up.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    plan: &'a Plan,
    pacing_lag: Histogram,
    send_lag: Histogram,
    windows: u64,
    late_windows: u64,
    busy_windows: u64,
    /// By shard: sum of CPU ratios × length, and of lengths, in microseconds.
    cpu: HashMap<u32, (f64, f64)>,
    /// Where the windows start that are being added up, and how much they had in flight.
    now: (u64, u64),
    in_flight_max: u64,
    sockets_max: Option<u32>,
    unsent: u64,
    scheduled: u64,
}

impl<'a> Watch<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            pacing_lag: Histogram::window(),
            send_lag: Histogram::window(),
            windows: 0,
            late_windows: 0,
            busy_windows: 0,
            cpu: HashMap::new(),
            now: (0, 0),
            in_flight_max: 0,
            sockets_max: None,
            unsent: 0,
            scheduled: 0,
        }
    }

    /// Adds a window of a shard; none comes before one that starts earlier.
    pub(super) fn window(&mut self, shard: u32, window: &Window) {
        let health = &window.health;
        if window.at != self.now.0 {
            self.now = (window.at, 0);
        }
        self.now.1 += u64::from(health.in_flight);
        self.in_flight_max = self.in_flight_max.max(self.now.1);
        self.pacing_lag.add(&health.pacing_lag);
        self.send_lag.add(&health.send_lag);
        self.sockets_max = self.sockets_max.max(health.sockets);
        self.unsent += health.unsent;
        self.scheduled += window.series.iter().map(|series| series.tally.scheduled).sum::<u64>();
        if health.pacing_lag.count() == 0 && health.cpu_ratio.is_none() {
            return;
        }
        self.windows += 1;
        self.late_windows += u64::from(health.pacing_lag.quantile_ms(0.99).is_some_and(|lag| lag > LATE_MS));
        if let Some(cpu) = health.cpu_ratio {
            // In the closed model a busy worker waits with its users; only
            // arrivals that do not wait can be held up by it.
            let open = window.series.iter().any(|series| self.is_open(series.attack));
            self.busy_windows += u64::from(open && cpu > BUSY);
            let (busy, time) = self.cpu.entry(shard).or_default();
            *busy += cpu * window.len as f64;
            *time += window.len as f64;
        }
    }

    fn is_open(&self, attack: u32) -> bool {
        self.plan.config.attacks().get(attack as usize).is_some_and(|attack| attack.load.is_open())
    }

    pub(super) fn generator(&self) -> Generator {
        let share = |windows: u64| windows as f64 / self.windows.max(1) as f64;
        let cpu_ratio = self.cpu.values().map(|(busy, time)| busy / time.max(1.0)).max_by(f64::total_cmp);
        let mut limits = Vec::new();
        let mut factor: f64 = 1.0;
        if share(self.late_windows) > LIMITED_WINDOWS {
            limits.push(format!(
                "requests left more than {LATE_MS} ms late (p99) in {:.0} % of worker-seconds",
                share(self.late_windows) * 100.0
            ));
            factor = factor.max(2.0);
        }
        if share(self.busy_windows) > LIMITED_WINDOWS {
            limits.push(format!(
                "a worker's CPU was over {:.0} % busy in {:.0} % of worker-seconds",
                BUSY * 100.0,
                share(self.busy_windows) * 100.0
            ));
            factor = factor.max(cpu_ratio.unwrap_or(1.0) / COMFORTABLE);
        }
        // However few: each of them counts against the target's promises.
        if self.unsent > 0 {
            limits.push(format!(
                "{} requests were due and never sent, since a worker was late by more than a second or had no socket left",
                self.unsent
            ));
            // What was sent is what they managed, at their limit.
            let sent = self.scheduled.saturating_sub(self.unsent).max(1);
            factor = factor.max(self.scheduled as f64 / sent as f64);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 20,000, and positive"
        )]
        let needed = (f64::from(self.plan.workers.get()) * factor).ceil() as u32;
        Generator {
            limited: !limits.is_empty(),
            workers_needed: (!limits.is_empty()).then(|| needed.max(self.plan.workers.get() + 1)),
            limits,
            pacing_lag_ms: Lag::of(&self.pacing_lag),
            send_lag_ms: Lag::of(&self.send_lag),
            cpu_ratio,
            in_flight_max: self.in_flight_max,
            sockets_max: self.sockets_max,
            unsent: self.unsent,
        }
    }
}
