//! Adds up what workers saw. Only counts merge; nothing is averaged.
//!
//! A slice that ended left totals with three digits. One that died left only
//! its windows, with two; what it still owed is *lost*. Of very many workers,
//! those that ended leave only their windows, too.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Arrivals, AttackReport, Bytes, Column, Coverage, CurvePoint, Generator, Lag, Measured, Moment, Phase,
    Rates, Report, Round, SCHEMA, SliceEnd, Stop, Times, Verdict, judge,
};
use crate::arrivals::Spacing;
use crate::config::Request;
use crate::histogram::Histogram;
use crate::ids::SliceId;
use crate::message::CaughtFailure;
use crate::plan::{Plan, Span, steps};
use crate::report::Cost;
use crate::schedule::{Schedule, micros};
use crate::window::{Tally, Window};

/// A pacing lag p99 above this makes a window of the generator late, in milliseconds.
const LATE_MS: f64 = 10.0;
/// A worker thread busier than this is at its limit, 0–1.
const BUSY: f64 = 0.8;
/// The generator is limited when more windows than this were late or busy, 0–1.
const LIMITED_WINDOWS: f64 = 0.05;
/// How busy a worker should be when we say how many would do, 0–1.
const COMFORTABLE: f64 = 0.6;
/// Columns of the distribution.
const COLUMNS: usize = 12;

/// Everything seen of a run, being added up.
#[derive(Debug)]
pub struct Merge<'a> {
    plan: &'a Plan,
    rounds: Vec<Round>,
    /// Of slices that ended: where, in microseconds of the load. What they
    /// counted is in `totals`, and only there: there may be many.
    ends: HashMap<(u32, u32, u32), u64>,
    /// Slices that ended without totals: their windows count.
    without_totals: HashSet<(u32, u32, u32)>,
    spans: Vec<Span>,
    /// By attack, by request.
    totals: Vec<Vec<Tally>>,
    /// The windows of one start, over all workers, being added up.
    now: Moments,
    /// By attack, by window start.
    timeline: Vec<Vec<Moment>>,
    /// By attack, by the start of a step.
    steps: Vec<BTreeMap<u64, Tally>>,
    in_flight_max: u64,
    /// Of slices that never ended: where their last window ended, and how much
    /// they covered, in microseconds.
    dead: HashMap<(u32, u32, u32), (u64, u64)>,
    /// By attack: what the windows of those slices counted as due.
    seen_of_dead: Vec<u64>,
    pacing_lag: Histogram,
    send_lag: Histogram,
    windows: u64,
    late_windows: u64,
    busy_windows: u64,
    /// By shard: sum of CPU ratios × length, and of lengths, in microseconds.
    cpu: HashMap<u32, (f64, f64)>,
    sockets_max: Option<u32>,
    unsent: u64,
}

/// All windows that start at one instant.
#[derive(Debug, Default)]
struct Moments {
    at: u64,
    /// By attack, those that had arrivals.
    attacks: BTreeMap<usize, Tally>,
    in_flight: u64,
}

impl<'a> Merge<'a> {
    /// Nothing seen yet. First come the slices that ended, then windows.
    #[must_use]
    pub fn new(plan: &'a Plan, rounds: Vec<Round>) -> Self {
        let attacks = plan.config.attacks();
        let totals = attacks.iter().map(|attack| vec![Tally::total(); attack.requests.len()]).collect();
        Self {
            spans: plan.spans(),
            now: Moments::default(),
            timeline: vec![Vec::new(); attacks.len()],
            steps: vec![BTreeMap::new(); attacks.len()],
            in_flight_max: 0,
            ends: HashMap::new(),
            without_totals: HashSet::new(),
            totals,
            plan,
            rounds,
            dead: HashMap::new(),
            seen_of_dead: vec![0; attacks.len()],
            pacing_lag: Histogram::window(),
            send_lag: Histogram::window(),
            windows: 0,
            late_windows: 0,
            busy_windows: 0,
            cpu: HashMap::new(),
            sockets_max: None,
            unsent: 0,
        }
    }

    /// Adds a slice that ended. Each is added once, before every window.
    pub fn end(&mut self, id: &SliceId, end: &SliceEnd) {
        for series in &end.totals {
            if let Some(total) = total_of(&mut self.totals, series.attack, series.request) {
                total.add(&series.tally);
            }
        }
        let key = (id.round, id.shard, id.slice);
        if end.totals.is_empty() {
            self.without_totals.insert(key);
        }
        self.ends.insert(key, end.until);
    }

    /// Adds a window. Each is added once, none before one that starts earlier,
    /// so that those of one start are all that is held of them.
    pub fn window(&mut self, id: &SliceId, window: &Window) {
        let key = (id.round, id.shard, id.slice);
        let ended = self.ends.contains_key(&key);
        let counted = ended && !self.without_totals.contains(&key);
        if window.at != self.now.at {
            self.flush();
            self.now.at = window.at;
        }
        for series in &window.series {
            let now = self.now.attacks.entry(series.attack as usize);
            now.or_insert_with(Tally::window).add(&series.tally);
            if !ended && let Some(seen) = self.seen_of_dead.get_mut(series.attack as usize) {
                *seen += series.tally.scheduled;
            }
            if !counted && let Some(total) = total_of(&mut self.totals, series.attack, series.request) {
                total.add(&series.tally);
            }
        }
        if !ended {
            let (last, covered) = self.dead.entry(key).or_default();
            *last = (*last).max(window.at + window.len);
            *covered += window.len;
        }
        self.health(id.shard, window);
    }

    /// Ends the windows of one start.
    fn flush(&mut self) {
        let Moments { at, attacks, in_flight } = std::mem::take(&mut self.now);
        self.in_flight_max = self.in_flight_max.max(in_flight);
        for (index, tally) in attacks {
            let Some(attack) = self.plan.config.attacks().get(index) else { continue };
            if let Some(step) = steps(attack, self.spans[index]).iter().rfind(|step| step.start <= at) {
                self.steps[index].entry(step.start).or_insert_with(Tally::window).add(&tally);
            }
            self.timeline[index].push(moment(at, &tally));
        }
    }

    fn health(&mut self, shard: u32, window: &Window) {
        let health = &window.health;
        self.pacing_lag.add(&health.pacing_lag);
        self.send_lag.add(&health.send_lag);
        self.now.in_flight += u64::from(health.in_flight);
        self.sockets_max = self.sockets_max.max(health.sockets);
        self.unsent += health.unsent;
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

    /// Judges what was added up.
    #[must_use]
    pub fn report(
        mut self,
        stop: Option<Stop>,
        failure: Option<CaughtFailure>,
        leaks: u64,
        phase: Phase,
    ) -> Report {
        self.flush();
        let horizon = self.horizon(stop.is_some() || phase != Phase::Over);
        let generator = self.generator();
        let coverage = self.coverage(horizon);
        let attacks: Vec<AttackReport> =
            (0..self.spans.len()).map(|index| self.attack(index, horizon)).collect();
        let mut report = Report {
            schema: SCHEMA,
            run_id: self.plan.run.clone(),
            name: self.plan.config.name().to_owned(),
            mode: self.plan.place.mode.clone(),
            verdict: Verdict::Inconclusive,
            reasons: Vec::new(),
            started_at: self.rounds.first().map(|round| round.t0),
            duration_s: seconds(horizon),
            stopped: stop,
            failure,
            coverage,
            generator,
            slo: Vec::new(),
            attacks,
            cost: Cost { estimated_usd: self.plan.cost_usd() },
            leaks,
        };
        let observed = judge::Observed { totals: &self.attack_totals(), phase };
        judge::judge(&mut report, self.plan, &observed);
        report
    }

    fn attack_totals(&self) -> Vec<Tally> {
        self.totals
            .iter()
            .map(|requests| {
                let mut all = Tally::total();
                requests.iter().for_each(|tally| all.add(tally));
                all
            })
            .collect()
    }

    /// How far the load came, in microseconds from its start.
    fn horizon(&self, cut_short: bool) -> u64 {
        let planned = self.rounds.iter().map(|round| round.until).max().unwrap_or(0);
        if !cut_short {
            return planned;
        }
        // A slice that was stopped before its load began reached nothing.
        let ended = self.ends.iter().filter(|(key, until)| **until > self.slice_start(**key));
        let ended = ended.map(|(_, until)| *until);
        let died = self.dead.values().map(|(last, _)| *last);
        ended.chain(died).max().unwrap_or(0).min(planned)
    }

    /// Where a slice's load begins, in microseconds.
    fn slice_start(&self, (number, _, slice): (u32, u32, u32)) -> u64 {
        let from = self.rounds.iter().find(|round| round.number == number).map_or(0, |round| round.from);
        from + u64::from(slice) * micros(self.plan.slice)
    }

    /// Calls `visit` with every slice that was due, where its load began and
    /// ended in it.
    fn slices_due(&self, horizon: u64, mut visit: impl FnMut((u32, u32, u32), u64, u64)) {
        let slice_len = micros(self.plan.slice);
        for round in &self.rounds {
            for slice in 0..round.slices {
                let from = round.from + u64::from(slice) * slice_len;
                let until = from.saturating_add(slice_len).min(round.until);
                for shard in 0..self.plan.workers.get() {
                    let key = (round.number, shard, slice);
                    let until = self.ends.get(&key).copied().unwrap_or(until.min(horizon));
                    if until > from {
                        visit(key, from, until);
                    }
                }
            }
        }
    }

    fn coverage(&self, horizon: u64) -> Coverage {
        let (mut seen, mut due) = (0_u64, 0_u64);
        let mut lost = std::collections::BTreeSet::new();
        self.slices_due(horizon, |key, from, until| {
            due += until - from;
            if self.ends.contains_key(&key) {
                seen += until - from;
            } else {
                lost.insert(key.1);
                seen += self.dead.get(&key).map_or(0, |(_, covered)| *covered).min(until - from);
            }
        });
        Coverage {
            ratio: if due == 0 { 0.0 } else { seen as f64 / due as f64 },
            seen_s: seconds(seen),
            due_s: seconds(due),
            workers: self.plan.workers.get(),
            workers_lost: u32::try_from(lost.len()).unwrap_or(u32::MAX),
        }
    }

    /// Arrivals of an attack that were due in the slices that ran, of which workers
    /// counted `counted`. Even ones are computed. Poisson ones would have to be drawn
    /// again, so there only slices that died are, and the others are believed.
    fn scheduled(&self, index: usize, counted: u64, horizon: u64) -> u64 {
        let attack = &self.plan.config.attacks()[index];
        if !attack.load.is_open() {
            return counted;
        }
        let drawn = attack.arrivals == Spacing::Poisson;
        let span = self.spans[index];
        let mut scheduled = if drawn { counted.saturating_sub(self.seen_of_dead[index]) } else { 0 };
        self.slices_due(horizon, |key, from, until| {
            let (_, shard, _) = key;
            if (!drawn || !self.ends.contains_key(&key))
                && let Some(shard) = self.plan.shard(shard)
                && let Some(arrivals) = self.plan.arrivals(index, shard)
            {
                let offset = |at: u64| at.saturating_sub(span.start);
                scheduled += arrivals.due_within(offset(from)..offset(until));
            }
        });
        scheduled
    }

    fn attack(&self, index: usize, horizon: u64) -> AttackReport {
        let attack = &self.plan.config.attacks()[index];
        let span = self.spans[index];
        let run_for = span.end.min(horizon).saturating_sub(span.start);
        let mut all = Tally::total();
        self.totals[index].iter().for_each(|tally| all.add(tally));
        let scheduled = self.scheduled(index, all.scheduled, horizon);
        let request =
            |(request, tally): (&Request, &Tally)| measured(&request.name, tally, tally.scheduled, run_for);
        AttackReport {
            all: measured(&attack.name, &all, scheduled, run_for),
            profile: attack.load.name().to_owned(),
            requests: attack.requests.iter().zip(&self.totals[index]).map(request).collect(),
            timeline: self.timeline[index].clone(),
            curve: self.curve(index, horizon),
            distribution: all
                .response_time
                .columns(COLUMNS)
                .into_iter()
                .map(|(up_to_ms, count)| Column { up_to_ms, count })
                .collect(),
        }
    }

    /// The steps that were reached, each over the time in which it was due.
    fn curve(&self, index: usize, horizon: u64) -> Vec<CurvePoint> {
        let attack = &self.plan.config.attacks()[index];
        let schedule = Schedule::of(&attack.load);
        let span = self.spans[index];
        let point = |step: Span| {
            let tally = self.steps[index].get(&step.start)?;
            let end = step.end.min(horizon);
            let due = |at: u64| schedule.as_ref().map_or(0, |schedule| schedule.due_before(at - span.start));
            let length = seconds(end.checked_sub(step.start).filter(|length| *length > 0)?);
            Some(CurvePoint {
                rate: (due(end) - due(step.start)) as f64 / length,
                achieved: tally.in_time as f64 / length,
                p50: tally.response_time.quantile_ms(0.5),
                p99: tally.response_time.quantile_ms(0.99),
                error_ratio: error_ratio(tally),
            })
        };
        steps(attack, span).into_iter().filter_map(point).collect()
    }

    fn generator(&self) -> Generator {
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

fn total_of(totals: &mut [Vec<Tally>], attack: u32, request: u32) -> Option<&mut Tally> {
    totals.get_mut(attack as usize)?.get_mut(request as usize)
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}

fn moment(at: u64, tally: &Tally) -> Moment {
    Moment {
        at_s: seconds(at),
        scheduled: tally.scheduled,
        completed: tally.completed,
        errors: tally.ended() - tally.completed,
        p50: tally.response_time.quantile_ms(0.5),
        p99: tally.response_time.quantile_ms(0.99),
    }
}

/// (failed + timed out + dropped) ÷ (scheduled − lost): what is not lost has ended.
fn error_ratio(tally: &Tally) -> Option<f64> {
    let ended = tally.ended();
    (ended > 0).then(|| (ended - tally.completed) as f64 / ended as f64)
}

fn measured(name: &str, tally: &Tally, scheduled: u64, run_for: u64) -> Measured {
    let lost = scheduled.saturating_sub(tally.ended());
    let per_second = |count: u64| if run_for == 0 { 0.0 } else { count as f64 / seconds(run_for) };
    Measured {
        name: name.to_owned(),
        arrivals: Arrivals {
            scheduled,
            completed: tally.completed,
            failed: tally.failures(),
            timed_out: tally.timed_out,
            dropped: tally.dropped,
            lost,
        },
        rate: Rates {
            scheduled: per_second(scheduled),
            achieved: per_second(tally.in_time),
            succeeded: per_second(tally.completed),
        },
        response_time_ms: Times::of(&tally.response_time),
        service_time_ms: Times::of(&tally.service_time),
        failure_time_ms: Times::of(&tally.failure_time),
        connect_time_ms: Times::of(&tally.connect_time),
        tls_time_ms: Times::of(&tally.tls_time),
        status_codes: tally.status_codes.iter().map(|(status, count)| (status.to_string(), *count)).collect(),
        error_ratio: error_ratio(tally),
        errors: tally.failed.iter().map(|(class, count)| (class.name().to_owned(), *count)).collect(),
        bytes: Bytes { sent: tally.bytes_sent, received: tally.bytes_received },
    }
}
