//! What a search concludes from what workers saw, against arithmetic done by hand.
//!
//! The target here is a formula: it answers in 5 ms up to 1,000/s. Beyond that it
//! either queues, so that response time grows by (rate ÷ 1000 − 1) of every second
//! that passes, or it refuses what is too much.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod common;

use std::time::Duration;

use deathstar_statemachine::ids::SliceId;
use deathstar_statemachine::plan::{Plan, Span};
use deathstar_statemachine::report::{
    Confidence, GaveWay, Merge, Phase, Report, Round, SliceEnd, StepSeen, Stop, Verdict,
};
use deathstar_statemachine::search::{self, Decision, Outcome as Came, Purpose, Reason, Step, Tried};
use deathstar_statemachine::window::{ErrorClass, Health, Outcome, Series, Tally, Timing, Window};

const S: u64 = 1_000_000;
const WORKERS: u32 = 2;

fn plan(slo: &str) -> Plan {
    let text = format!(
        "name: test\nworkers: {WORKERS}\nslo: {slo}\nattacks:\n  - name: home\n    url: http://127.0.0.1:1/\n    load: {{ search: {{ from: 100/s, up_to: 4000/s, step: 10s, tolerance: 3% }} }}\n"
    );
    common::plan_of(&text, 600)
}

/// How requests end that are due in a second of a step: how many in a thousand, how,
/// and in how many milliseconds.
type Target = fn(rate: f64, second: u64) -> Parts;
type Parts = Vec<(u64, Outcome, f64)>;

fn queues(rate: f64, second: u64) -> Parts {
    let waits = (rate / 1000.0 - 1.0).max(0.0) * (second as f64 + 0.5) * 1000.0;
    vec![(1000, Outcome::Completed { status: 200 }, 5.0 + waits)]
}

fn refuses(rate: f64, _: u64) -> Parts {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000")]
    let served = (1000.0 * (1000.0 / rate).min(1.0)).round() as u64;
    let refused = Outcome::Failed { class: ErrorClass::Status, status: Some(503) };
    vec![(served, Outcome::Completed { status: 200 }, 5.0), (1000 - served, refused, 1.0)]
}

struct Run {
    plan: Plan,
    rounds: Vec<Round>,
    windows: Vec<(SliceId, Window)>,
    ends: Vec<(SliceId, SliceEnd)>,
}

impl Run {
    /// Runs a search to its end, or for so many rounds, with workers that have so much
    /// lag at a rate, in milliseconds.
    fn of(slo: &str, target: Target, lag: fn(f64) -> u64, most: usize) -> Self {
        let mut run = Self { plan: plan(slo), rounds: vec![], windows: vec![], ends: vec![] };
        while run.rounds.len() < most {
            let history: Vec<Tried> = run.rounds.iter().filter_map(Round::tried).collect();
            match run.plan.config.search().unwrap().decide(&history) {
                Decision::Next(step) => run.attack(step, target, lag),
                Decision::Concluded(_) => break,
            }
        }
        run
    }

    fn attack(&mut self, step: Step, target: Target, lag: fn(f64) -> u64) {
        let from = self.rounds.last().map_or(0, |round| round.until);
        let number = u32::try_from(self.rounds.len()).unwrap();
        let until = from + u64::try_from(step.duration.as_micros()).unwrap();
        let t0 = "2026-01-01T00:00:01Z".parse().unwrap();
        let rate = step.rate.as_per_second();
        let mut round = Round {
            number,
            from,
            until,
            t0,
            slices: 1,
            judged: true,
            step: Some(step),
            outcome: None,
            busy: Duration::ZERO,
        };
        let plan = self.plan.in_round(from, round.step.as_ref());
        assert_eq!(plan.spans(), [Span { start: 0, end: until }]);
        let mut windows = Vec::new();
        for shard in 0..WORKERS {
            let arrivals = plan.arrivals(0, plan.shard(shard).unwrap()).unwrap();
            let id = SliceId { run: "test".parse().unwrap(), round: number, shard, slice: 0 };
            let mut totals = Tally::total();
            for at in (from..until).step_by(1_000_000) {
                let mut tally = Tally::window();
                tally.scheduled = arrivals.due_within(at..at + S);
                let mut left = tally.scheduled;
                for (part, outcome, millis) in target(rate, (at - from) / S).into_iter().rev() {
                    // The last of them takes what rounding leaves.
                    let share = (tally.scheduled * part).div_ceil(1000).min(left);
                    left -= share;
                    let done = Duration::from_secs_f64(millis / 1000.0);
                    let timing = Timing { intended: Duration::ZERO, sent: Duration::ZERO, done };
                    (0..share).for_each(|_| tally.record(outcome, &timing, true));
                }
                assert_eq!(left, 0);
                tally.answered = tally.in_time;
                totals.add(&tally);
                let mut health = Health::unknown();
                health.pacing_lag.record(Duration::from_millis(lag(rate)));
                health.cpu_ratio = Some(0.2);
                let series = vec![Series { attack: 0, request: 0, tally }];
                windows.push((id.clone(), Window { series, health, ..Window::empty(at, S) }));
            }
            let totals = vec![Series { attack: 0, request: 0, tally: totals }];
            self.ends.push((id, SliceEnd { until, totals }));
        }
        windows.sort_by_key(|(_, window)| window.at);
        let mut seen = StepSeen::new(&self.plan, &round).unwrap();
        assert_eq!(seen.from(), from + 2 * S, "a fifth of 10 s is not judged");
        windows.iter().for_each(|(id, window)| seen.window(id.shard, window));
        round.outcome = Some(seen.outcome());
        self.windows.extend(windows);
        self.rounds.push(round);
    }

    fn report(&self, stop: Option<Stop>) -> Report {
        let mut merge = Merge::new(&self.plan, self.rounds.clone());
        self.ends.iter().for_each(|(slice, end)| merge.end(slice, end));
        self.windows.iter().for_each(|(id, window)| merge.window(id, window));
        let report = merge.report(stop, None, 0, Phase::Over);
        let all = report.attacks[0].all.arrivals;
        assert_eq!((all.scheduled, all.lost), (all.completed + all.failed, 0));
        report
    }
}

/// p99 stays below 100 ms as long as the last of 10 s adds less than 95 ms: up to
/// 1000 × (1 + 0.095 ÷ 9.5) = 1,010/s. A hold of 30 s allows 1000 × (1 + 0.095 ÷ 29.5)
/// = 1,003.2/s.
#[test]
fn a_search_of_a_target_that_queues_finds_its_capacity() {
    let run = Run::of("[p99 < 100ms, errors < 1%]", queues, |_| 0, 99);
    let report = run.report(None);
    let home = &report.attacks[0];
    let capacity = home.capacity.as_ref().unwrap();
    let found = &capacity.conclusion;
    assert_eq!((found.verdict, found.confirmed), (search::Verdict::Sustained, true));
    let [Some(low), Some(high)] = found.sustained else { panic!("{found:?}") };
    assert!(low <= 1003.3 && 1003.2 < high, "{low} … {high}");
    assert!(low >= 1003.3 / 1.03 / 1.03, "no further below than two tolerances: {low}");
    assert!(found.breaks_at.unwrap() > 1010.0);
    assert_eq!(found.broke.as_deref(), Some("p99 < 100ms"));
    assert_eq!(capacity.gave_way, Some(GaveWay::Queueing));
    let most = run.plan.config.search().unwrap().steps_at_most() as usize + search::HOLDS - 1;
    assert!(found.steps == run.rounds.len() && found.steps <= most, "{}", found.steps);

    assert_eq!((report.verdict, report.reasons.as_slice()), (Verdict::Passed, &[][..]));
    assert_eq!(report.slo[0].verdict, Verdict::Passed);
    assert!(report.slo[0].observed.unwrap() < 100.0, "{:?}", report.slo[0]);
    assert_eq!(home.curve.len(), run.rounds.len());
    let hold = home.curve.last().unwrap();
    assert_eq!((hold.purpose, &hold.outcome), (Some(Purpose::Confirm), &Some(Came::Held)));
    assert!((hold.rate - low).abs() < 0.1 && (hold.achieved - low).abs() < 0.1, "{hold:?}");
    assert!((home.curve[0].p50.unwrap() - 5.0).abs() < 0.05, "{:?}", home.curve[0]);
    // 28 s of the hold are judged, each second at its own time.
    assert!(hold.p99_interval.is_some());
    let load: u64 = run.rounds.iter().map(|round| round.until - round.from).sum();
    assert!((report.duration_s - load as f64 / 1e6).abs() < 1e-9);
    let answer = &report.answers[0];
    assert_eq!(answer.confidence, Confidence::Confirmed);
    let thousands = |rate: f64| {
        let rate = rate.round();
        if rate < 1000.0 { format!("{rate}/s") } else { format!("1,{:03}/s", rate - 1000.0) }
    };
    let (low, high) = (thousands(low), thousands(high));
    let told =
        format!("It sustains {low} and not {high}: p99 < 100ms broke first, as requests queued up there.");
    assert_eq!(answer.answer, told);
}

/// Up to one in a hundred may be refused: 1000 ÷ 0.99 = 1,010.1/s.
#[test]
fn a_search_of_a_target_that_refuses_says_that_errors_gave_way() {
    let run = Run::of("[p99 < 100ms, errors < 1%]", refuses, |_| 0, 99);
    let capacity = run.report(None).attacks[0].capacity.clone().unwrap();
    let [Some(low), Some(high)] = capacity.conclusion.sustained else { panic!("{capacity:?}") };
    assert!(low <= 1010.2 && 1010.1 <= high && high <= low * 1.03001, "{low} … {high}");
    assert_eq!(capacity.conclusion.broke.as_deref(), Some("errors < 1%"));
    assert_eq!(capacity.gave_way, Some(GaveWay::Errors));
}

#[test]
fn a_step_that_only_the_generator_failed_is_no_failure_of_the_target() {
    let lag = |rate| if rate > 500.0 { 50 } else { 0 };
    let report = Run::of("[p99 < 100ms, errors < 1%]", queues, lag, 99).report(None);
    let capacity = report.attacks[0].capacity.as_ref().unwrap();
    assert_eq!(capacity.conclusion.verdict, search::Verdict::Inconclusive);
    assert_eq!(capacity.conclusion.reason, Some(Reason::GeneratorLimited));
    assert_eq!(capacity.workers_needed, Some(4), "twice the workers, as requests left late");
    assert_eq!((report.verdict, report.slo[0].verdict), (Verdict::Inconclusive, Verdict::Inconclusive));
    assert!(report.reasons[0].contains("at least 4 workers"), "{:?}", report.reasons);
    assert!(report.answers[0].answer.starts_with("Inconclusive: generator-limited"), "{:?}", report.answers);
    // While the promises hold, its lag is none of their business.
    let held = Run::of("[p99 < 1h, errors < 1%]", queues, lag, 99).report(None);
    let found = &held.attacks[0].capacity.as_ref().unwrap().conclusion;
    assert_eq!((held.verdict, found.verdict), (Verdict::Passed, search::Verdict::AtLeastUpTo));
}

#[test]
fn a_target_that_cannot_take_the_lowest_rate_has_failed() {
    let run = Run::of("[p99 < 4ms, errors < 1%]", queues, |_| 0, 99);
    let report = run.report(None);
    assert_eq!(run.rounds.len(), 2, "the step and its repeat");
    assert_eq!(report.verdict, Verdict::Failed);
    assert_eq!(report.reasons, ["home broke p99 < 4ms"]);
    let verdicts: Vec<Verdict> = report.slo.iter().map(|promise| promise.verdict).collect();
    assert_eq!(verdicts, [Verdict::Failed, Verdict::Passed]);
    assert!(report.answers[0].answer.starts_with("It does not sustain 100/s: p99 < 4ms broke first"));
}

#[test]
fn a_search_that_was_cut_short_concludes_nothing() {
    let report = Run::of("[p99 < 100ms, errors < 1%]", queues, |_| 0, 3).report(Some(Stop::Requested));
    let found = &report.attacks[0].capacity.as_ref().unwrap().conclusion;
    assert_eq!((found.verdict, found.reason), (search::Verdict::Inconclusive, Some(Reason::Unfinished)));
    assert_eq!((found.steps, found.confirmed), (3, false));
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(
        report.reasons.iter().any(|reason| reason.ends_with("the search was not over")),
        "{:?}",
        report.reasons
    );
}

/// A step of 10 s whose first 2 s are not judged, in which both workers see the same each
/// second but for the last, which so many see.
fn seen(plan: &Plan, window: impl Fn(u64) -> Window, last: u32) -> (Came, Duration) {
    let step =
        Step { rate: "100/s".parse().unwrap(), duration: Duration::from_secs(10), purpose: Purpose::Grow };
    let round = Round {
        number: 0,
        from: 0,
        until: 10 * S,
        t0: "2026-01-01T00:00:01Z".parse().unwrap(),
        slices: 1,
        judged: false,
        step: Some(step),
        outcome: None,
        busy: Duration::ZERO,
    };
    let mut seen = StepSeen::new(plan, &round).unwrap();
    for at in 2..10 {
        (0..if at < 9 { WORKERS } else { last }).for_each(|shard| seen.window(shard, &window(at)));
    }
    (seen.outcome(), seen.busy(Some("30/s".parse().unwrap())))
}

/// 50 requests: so many were answered in 5 ms, so many dropped, and the others timed out.
fn fifty(at: u64, answered: u64, dropped: u64, unsent: u64) -> Window {
    let mut tally = Tally::window();
    (tally.scheduled, tally.answered) = (50, answered);
    let timing = |done| Timing { intended: Duration::ZERO, sent: Duration::ZERO, done };
    let outcomes = [
        (Outcome::Completed { status: 200 }, answered, Duration::from_millis(5)),
        (Outcome::Dropped, dropped, Duration::ZERO),
        (Outcome::TimedOut, 50 - answered - dropped, Duration::from_secs(1)),
    ];
    for (outcome, count, took) in outcomes {
        (0..count).for_each(|_| tally.record(outcome, &timing(took), true));
    }
    let health = Health { unsent, ..Health::unknown() };
    let series = vec![Series { attack: 0, request: 0, tally }];
    Window { series, health, ..Window::empty(at * S, S) }
}

/// Half of the workers never wrote down the last second of the judged part.
#[test]
fn a_step_of_which_too_little_was_seen_is_no_evidence() {
    let plan = plan("[p99 < 100ms, errors < 1%]");
    assert_eq!(seen(&plan, |at| fifty(at, 50, 0, 0), 2).0, Came::Held);
    assert_eq!(seen(&plan, |at| fifty(at, 50, 0, 0), 1).0, Came::NoEvidence);
}

/// Nine in ten were answered at once, and one never left; by our own fault, or since no
/// connection was free.
#[test]
fn a_step_whose_load_was_not_sent_holds_no_promise() {
    let plan = plan("[p99 < 1h, errors < 20%]");
    assert_eq!(seen(&plan, |at| fifty(at, 45, 5, 5), 2).0, Came::GeneratorLimited);
    assert_eq!(seen(&plan, |at| fifty(at, 45, 5, 0), 2).0, Came::Held);
}

/// 40 of 100 a second were answered, and 60 given up on: what was sent in 10 s takes 25 s
/// at 40 a second. What was dropped never got to the target. Where nothing was answered,
/// it is known that it served 30 a second before.
#[test]
fn a_target_is_busy_as_long_as_what_was_sent_takes_it() {
    let plan = plan("[p99 < 1h, errors < 99%]");
    assert_eq!(seen(&plan, |at| fifty(at, 20, 0, 0), 2).1, Duration::from_secs(25));
    assert_eq!(seen(&plan, |at| fifty(at, 20, 20, 0), 2).1, Duration::from_secs(15));
    assert_eq!(seen(&plan, |at| fifty(at, 20, 30, 0), 2).1, Duration::ZERO, "nothing was given up on");
    assert_eq!(seen(&plan, |at| fifty(at, 0, 0, 0), 2).1, Duration::from_secs(34), "1000 ÷ 30");
}

/// It answers all of the warm-up, and of what is judged refuses all.
#[test]
fn a_search_that_begins_too_high_has_failed_whatever_was_promised() {
    let dies = |_: f64, second: u64| -> Parts {
        let status = if second < 2 { 200 } else { 503 };
        match status {
            200 => vec![(1000, Outcome::Completed { status }, 5.0)],
            _ => vec![(1000, Outcome::Failed { class: ErrorClass::Status, status: Some(status) }, 5.0)],
        }
    };
    let report = Run::of("[achieved >= 98%, errors <= 100%]", dies, |_| 0, 99).report(None);
    assert!(report.slo.iter().all(|promise| promise.verdict == Verdict::Passed), "{:?}", report.slo);
    assert_eq!(report.verdict, Verdict::Failed);
    assert_eq!(report.reasons, ["nothing succeeded, where the search of home begins"]);
}
