//! Adds up what workers saw. Only counts merge; nothing is averaged.
//!
//! A slice that ended left totals with three digits. One that died left only
//! its windows, with two; what it still owed is *lost*. Of very many workers,
//! those that ended leave only their windows, too.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::bursts::{self, Bursts};
use super::resources::{self, AtRate, Readings};
use super::stretch::Stretch;
use super::timeline::Timeline;
use super::watch::Watch;
use super::{
    Arrivals, AttackReport, Bytes, Capacity, Column, Coverage, CurvePoint, Measured, Phase, Rates, Report,
    Round, SCHEMA, SliceEnd, StepSeen, Stop, Times, Verdict, answers, error_ratio, judge, seconds,
};
use crate::arrivals::Spacing;
use crate::config::Request;
use crate::ids::SliceId;
use crate::message::CaughtFailure;
use crate::plan::{Plan, Span, steps};
use crate::report::Cost;
use crate::resources::{Miss, Reading};
use crate::schedule::{Schedule, micros};
use crate::search::{Outcome, Purpose, Tried};
use crate::window::{Tally, Window};

/// Columns of the distribution.
const COLUMNS: usize = 12;

/// Everything seen of a run, being added up.
#[derive(Debug)]
pub struct Merge<'a> {
    plan: &'a Plan,
    rounds: Vec<Round>,
    /// Whether it is known why the load may have ended early: where nobody says so, what
    /// was due after a slice's early end is missing.
    cut_short: bool,
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
    /// By attack.
    timelines: Vec<Timeline>,
    /// By attack: its steps.
    steps: Vec<Vec<Stretch>>,
    /// By attack: its seconds, where it has bursts.
    bursts: Vec<Bursts<'a>>,
    /// By round: its step of a search, and the plan in which it is known.
    searched: Vec<(StepSeen<'a>, Plan)>,
    watch: Watch<'a>,
    readings: Readings,
    /// Of slices that never ended: where their last window ended, and how much
    /// they covered, in microseconds.
    dead: HashMap<(u32, u32, u32), (u64, u64)>,
    /// By attack: what the windows of those slices counted as due.
    seen_of_dead: Vec<u64>,
}

/// All windows that start at one instant.
#[derive(Debug, Default)]
struct Moments {
    at: u64,
    /// By attack, those that had arrivals.
    attacks: BTreeMap<usize, Tally>,
}

impl<'a> Merge<'a> {
    /// Nothing seen yet. First come the slices that ended, then windows.
    #[must_use]
    pub fn new(plan: &'a Plan, rounds: Vec<Round>) -> Self {
        let attacks = plan.config.attacks();
        let totals = attacks.iter().map(|attack| vec![Tally::total(); attack.requests.len()]).collect();
        // A search is as long as it took.
        let reached = |span: Span| match plan.config.search() {
            Some(_) => Span { end: rounds.iter().map(|round| round.until).max().unwrap_or(0), ..span },
            None => span,
        };
        let spans: Vec<Span> = plan.spans().into_iter().map(reached).collect();
        let searched = rounds.iter().filter_map(|round| {
            let seen = StepSeen::new(plan, round)?;
            Some((seen, plan.in_round(round.from, round.step.as_ref())))
        });
        Self {
            searched: searched.collect(),
            now: Moments::default(),
            timelines: vec![
                Timeline::of(
                    spans.iter().map(|span| span.end).max().unwrap_or(0),
                    micros(plan.pace.window),
                );
                attacks.len()
            ],
            steps: attacks
                .iter()
                .zip(&spans)
                .map(|(attack, span)| steps(attack, *span).into_iter().map(Stretch::new).collect())
                .collect(),
            bursts: attacks
                .iter()
                .zip(&spans)
                .map(|(attack, span)| Bursts::new(plan, &attack.load, *span))
                .collect(),
            watch: Watch::new(plan),
            readings: Readings::default(),
            ends: HashMap::new(),
            without_totals: HashSet::new(),
            totals,
            dead: HashMap::new(),
            seen_of_dead: vec![0; attacks.len()],
            spans,
            plan,
            rounds,
            cut_short: false,
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
        self.watch.window(id.shard, window);
        self.bursts.iter_mut().for_each(|bursts| bursts.window(id.shard, window));
        self.readings.add(&window.readings, &window.misses);
        if let Some((seen, _)) = self.searched.get_mut(id.round as usize) {
            seen.window(id.shard, window);
        }
    }

    /// Adds what was read of resources, and what could not be, by others than workers.
    pub fn read(&mut self, readings: &[Reading], misses: &[Miss]) {
        self.readings.add(readings, misses);
    }

    /// Ends the windows of one start.
    fn flush(&mut self) {
        let Moments { at, attacks } = std::mem::take(&mut self.now);
        for (index, tally) in attacks {
            if let Some(steps) = self.steps.get_mut(index)
                && let Some(step) = steps.iter_mut().rfind(|step| step.span.start <= at)
            {
                step.moment(&tally);
            }
            // Where something was answered, and nothing was due.
            if tally.scheduled == 0 {
                continue;
            }
            if let Some(bursts) = self.bursts.get_mut(index) {
                bursts.moment(at, &tally);
            }
            if let Some(timeline) = self.timelines.get_mut(index) {
                timeline.add(at, &tally);
            }
        }
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
        self.timelines.iter_mut().for_each(Timeline::end);
        self.cut_short = stop.is_some() || failure.is_some() || phase != Phase::Over;
        let horizon = self.horizon(stop.is_some() || phase != Phase::Over);
        let generator = self.watch.generator();
        let coverage = self.coverage(horizon);
        let attacks: Vec<AttackReport> =
            (0..self.spans.len()).map(|index| self.attack(index, horizon)).collect();
        let run_for =
            self.spans.iter().map(|span| Duration::from_micros(run_for(*span, horizon))).collect::<Vec<_>>();
        let mut report = Report {
            schema: SCHEMA,
            run_id: self.plan.run.clone(),
            name: self.plan.config.name().to_owned(),
            mode: self.plan.place.mode.clone(),
            verdict: Verdict::Inconclusive,
            reasons: Vec::new(),
            answers: Vec::new(),
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
        let deciding = self.rounds.iter().rposition(|round| round.outcome.is_some());
        let deciding = deciding.and_then(|round| self.searched.get(round)).map(|(step, _)| step);
        let totals = self.attack_totals();
        let observed = judge::Observed { totals: &totals, run_for: &run_for, deciding, phase };
        judge::judge(&mut report, self.plan, &observed);
        report.answers = answers::answers(&report, self.plan);
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
                    let ended = self.ends.get(&key).filter(|_| self.cut_short);
                    let until = ended.copied().unwrap_or(until.min(horizon));
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
            if let Some(ended) = self.ends.get(&key) {
                seen += until.min(*ended).saturating_sub(from);
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
                && let Some(arrivals) = self.plan_in(key.0).arrivals(index, shard)
            {
                let offset = |at: u64| at.saturating_sub(span.start);
                scheduled += arrivals.due_within(offset(from)..offset(until));
            }
        });
        scheduled
    }

    /// The plan in which it is known what was due in a round.
    fn plan_in(&self, round: u32) -> &Plan {
        self.searched.get(round as usize).map_or(self.plan, |(_, plan)| plan)
    }

    fn attack(&mut self, index: usize, horizon: u64) -> AttackReport {
        let steps = self.curve(index, horizon);
        let rates: Vec<AtRate> =
            steps.iter().map(|(span, point)| self.at_rate(index, *span, point)).collect();
        let curve: Vec<CurvePoint> = steps.into_iter().map(|(_, point)| point).collect();
        let capacity = self.capacity(&curve);
        let attack = &self.plan.config.attacks()[index];
        let hold = self.hold(index, horizon);
        let found = self.readings.conclude(index, attack, &rates, &curve, hold);
        let bursts = self.bursts[index].judge(horizon, |before| self.readings.scaled_out(index, before));
        let run_for = run_for(self.spans[index], horizon);
        let mut all = Tally::total();
        self.totals[index].iter().for_each(|tally| all.add(tally));
        let scheduled = self.scheduled(index, all.scheduled, horizon);
        let request =
            |(request, tally): (&Request, &Tally)| measured(&request.name, tally, tally.scheduled, run_for);
        AttackReport {
            all: measured(&attack.name, &all, scheduled, run_for),
            profile: attack.load.name().to_owned(),
            requests: attack.requests.iter().zip(&self.totals[index]).map(request).collect(),
            timeline: self.timelines[index].rows().to_vec(),
            curve,
            capacity,
            burst: bursts::worst(&bursts).cloned(),
            bursts: if bursts.len() > 1 { bursts } else { Vec::new() },
            resources: found.resources,
            binding_resource: found.binding,
            autoscaling: found.autoscaling,
            distribution: all
                .response_time
                .columns(COLUMNS)
                .into_iter()
                .map(|(up_to_ms, count)| Column { up_to_ms, count })
                .collect(),
        }
    }

    /// What the readings of a step are held against.
    fn at_rate(&self, index: usize, span: Span, point: &CurvePoint) -> AtRate {
        let middle = seconds(span.start + (span.end - span.start) / 2);
        let before = self.timelines[index].rows().iter().take_while(|moment| moment.at_s < middle);
        let answered: u64 = before.map(|moment| moment.completed).sum();
        let offered = resources::offered(point);
        let failed = point.error_ratio.unwrap_or(0.0);
        AtRate { span, offered, achieved: point.achieved, failed, answered: answered as f64 }
    }

    /// A stretch in which an attack's load stayed the same: of a search, the hold that
    /// confirmed it.
    fn hold(&self, index: usize, horizon: u64) -> Option<Span> {
        let attack = &self.plan.config.attacks()[index];
        let span = self.spans[index];
        if !attack.load.is_search() {
            return resources::hold(&attack.load, Span { end: span.end.min(horizon), ..span });
        }
        let confirmed = |round: &Round| {
            let purpose = round.step.as_ref().map(|step| step.purpose);
            purpose == Some(Purpose::Confirm) && round.outcome == Some(Outcome::Held)
        };
        let round = self.rounds.iter().rposition(confirmed)?;
        self.searched.get(round).map(|(seen, _)| seen.stretch.span)
    }

    /// The steps that were reached, each over the time in which it was due.
    fn curve(&mut self, index: usize, horizon: u64) -> Vec<(Span, CurvePoint)> {
        let attack = &self.plan.config.attacks()[index];
        if attack.load.is_search() {
            return self.tried(horizon);
        }
        let schedule = Schedule::of(&attack.load);
        let start = self.spans[index].start;
        let due = |at: u64| schedule.as_ref().map_or(0, |schedule| schedule.due_before(at - start));
        let point = |step: &Stretch| {
            let Span { start, end } = step.span;
            let point = step.point(due(end.min(horizon)).saturating_sub(due(start)), horizon);
            // One that nobody saw is no point of a curve.
            let point = point.filter(|_| step.tally.scheduled > 0)?;
            Some((Span { start, end: end.min(horizon) }, point))
        };
        self.steps[index].iter().filter_map(point).collect()
    }

    /// The steps of a search that were reached.
    fn tried(&mut self, horizon: u64) -> Vec<(Span, CurvePoint)> {
        let point = |((seen, _), round): (&mut (StepSeen<'_>, Plan), &Round)| {
            let outcome = round.outcome.clone();
            // The last moment is added up by then.
            let _ = seen.generator();
            let point = seen.stretch.point(seen.stretch.tally.scheduled, horizon)?;
            let purpose = round.step.as_ref().map(|step| step.purpose);
            let Span { start, end } = seen.stretch.span;
            Some((Span { start, end: end.min(horizon) }, CurvePoint { purpose, outcome, ..point }))
        };
        self.searched.iter_mut().zip(&self.rounds).filter_map(point).collect()
    }

    /// What the search found, if it is one.
    fn capacity(&mut self, curve: &[CurvePoint]) -> Option<Capacity> {
        let search = self.plan.config.search()?;
        let history: Vec<Tried> = self.rounds.iter().map_while(Round::tried).collect();
        let tallies: Vec<&Tally> = self.searched.iter().map(|(seen, _)| &seen.stretch.tally).collect();
        let mut capacity = Capacity::of(search, &history, curve, &tallies);
        if let Some((last, _)) = history.len().checked_sub(1).and_then(|last| self.searched.get_mut(last)) {
            capacity.workers_needed = last.generator().workers_needed;
        }
        Some(capacity)
    }
}

/// How long an attack's requests were due, in microseconds.
fn run_for(span: Span, horizon: u64) -> u64 {
    span.end.min(horizon).saturating_sub(span.start)
}

fn total_of(totals: &mut [Vec<Tally>], attack: u32, request: u32) -> Option<&mut Tally> {
    totals.get_mut(attack as usize)?.get_mut(request as usize)
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
        redirects: tally.redirects,
        bytes: Bytes { sent: tally.bytes_sent, received: tally.bytes_received },
    }
}
