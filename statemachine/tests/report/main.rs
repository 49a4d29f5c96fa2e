//! What a report says, against arithmetic done by hand.
//!
//! Most runs here are 100 requests a second for 10 s from two workers: arrival
//! n is due at n × 10 ms, the even ones are worker 0's and the odd ones worker
//! 1's, 50 a second each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]
#![allow(clippy::float_cmp, reason = "ratios of small whole numbers come out exactly as written")]

#[path = "../common/mod.rs"]
mod common;

mod bursts;
mod steps;

use std::time::Duration;

use deathstar_statemachine::ids::SliceId;
use deathstar_statemachine::message::CaughtFailure;
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::report::{Arrivals, Merge, Phase, Report, Round, SliceEnd, Stop, Verdict};
use deathstar_statemachine::window::{ErrorClass, Health, Outcome, Series, Tally, Timing, Window};
use serde_json::Value;

const S: u64 = 1_000_000;
const OK: Outcome = Outcome::Completed { status: 200 };
const REFUSED: Outcome = Outcome::Failed { class: ErrorClass::Refused, status: None };
const UNAVAILABLE: Outcome = Outcome::Failed { class: ErrorClass::Status, status: Some(503) };

/// A plan of two workers over `attacks`, in YAML, with slices of so many seconds.
fn plan_of(head: &str, attacks: &str, slice_s: u64) -> Plan {
    common::plan_of(&format!("name: test\nworkers: 2\n{head}attacks:\n{attacks}"), slice_s)
}

/// 100/s for 10 s, with promises.
fn plan(slo: &[&str]) -> Plan {
    let mut head = String::new();
    if !slo.is_empty() {
        head.push_str("slo:\n");
        slo.iter().for_each(|rule| head.push_str(&format!("  - {rule}\n")));
    }
    plan_of(&head, "  - { name: home, url: 'http://127.0.0.1:1/', rate: 100/s, duration: 10s }\n", 600)
}

/// What a run left in its table.
struct Table {
    plan: Plan,
    ends: Vec<(SliceId, SliceEnd)>,
    windows: Vec<(SliceId, Window)>,
    stop: Option<Stop>,
    failure: Option<CaughtFailure>,
    phase: Phase,
}

impl Table {
    fn new(plan: Plan) -> Self {
        Self { plan, ends: vec![], windows: vec![], stop: None, failure: None, phase: Phase::Over }
    }

    /// Shard `shard` ended its slice at `until`, having counted `series`.
    fn ended(&mut self, shard: u32, slice: u32, until: u64, totals: Vec<Series>) {
        self.ends.push((id(shard, slice), SliceEnd { until, totals }));
    }

    /// Shard `shard` wrote down a window.
    fn saw(&mut self, shard: u32, at: u64, len: u64, series: Vec<Series>, health: Health) {
        self.windows.push((id(shard, 0), Window { series, health, ..Window::empty(at, len) }));
    }

    fn report(self) -> Report {
        let until = self.plan.load_end();
        let round = Round {
            number: 0,
            from: 0,
            until,
            t0: "2026-01-01T00:00:01Z".parse().unwrap(),
            slices: self.plan.slices(0, until),
            judged: true,
            step: None,
            outcome: None,
            busy: Duration::ZERO,
        };
        self.report_of(vec![round])
    }

    fn report_of(mut self, rounds: Vec<Round>) -> Report {
        let mut merge = Merge::new(&self.plan, rounds);
        self.ends.iter().for_each(|(slice, end)| merge.end(slice, end));
        self.windows.sort_by_key(|(_, window)| window.at);
        self.windows.iter().for_each(|(id, window)| merge.window(id, window));
        let report = merge.report(self.stop, self.failure, 0, self.phase);
        for attack in &report.attacks {
            assert!(balances(&attack.all.arrivals), "{:?}", attack.all.arrivals);
            attack.requests.iter().for_each(|request| assert!(balances(&request.arrivals), "{request:?}"));
        }
        report
    }
}

fn balances(arrivals: &Arrivals) -> bool {
    let Arrivals { scheduled, completed, failed, timed_out, dropped, lost } = *arrivals;
    scheduled == completed + failed + timed_out + dropped + lost
}

fn id(shard: u32, slice: u32) -> SliceId {
    SliceId { run: "test".parse().unwrap(), round: 0, shard, slice }
}

/// So many requests were due, and ended so: how many, how, and in how many
/// milliseconds; all of them in time.
fn series(attack: u32, request: u32, scheduled: u64, ends: &[(u64, Outcome, u64)]) -> Series {
    let mut tally = Tally::total();
    tally.scheduled = scheduled;
    for (count, outcome, millis) in ends {
        let zero = Duration::ZERO;
        let timing = Timing { intended: zero, sent: zero, done: Duration::from_millis(*millis) };
        (0..*count).for_each(|_| tally.record(*outcome, &timing, true));
    }
    tally.answered = tally.in_time;
    Series { attack, request, tally }
}

/// So many requests that were all answered in 10 ms.
fn good(count: u64) -> Vec<Series> {
    vec![series(0, 0, count, &[(count, OK, 10)])]
}

fn health(lag_ms: u64, cpu: f64) -> Health {
    let mut health = Health::unknown();
    health.pacing_lag.record(Duration::from_millis(lag_ms));
    health.cpu_ratio = Some(cpu);
    health.in_flight = 3;
    health
}

#[test]
fn two_workers_are_one_run() {
    let mut table = Table::new(plan(&["errors <= 1%", "errors < 1%", "p99 < 11ms", "achieved >= 99.5%"]));
    let mixed = [(490, OK, 10), (5, UNAVAILABLE, 1), (3, Outcome::TimedOut, 1000), (2, Outcome::Dropped, 0)];
    table.ended(0, 0, 10 * S, vec![series(0, 0, 500, &mixed)]);
    table.ended(1, 0, 10 * S, good(500));
    let report = table.report();
    let all = &report.attacks[0].all;
    let expected = Arrivals { scheduled: 1000, completed: 990, failed: 5, timed_out: 3, dropped: 2, lost: 0 };
    assert_eq!(all.arrivals, expected);
    // Of 10 s: 990 completed, and 5 more were answered.
    assert_eq!((all.rate.scheduled, all.rate.achieved, all.rate.succeeded), (100.0, 99.5, 99.0));
    assert_eq!(all.error_ratio, Some(0.01), "(5 + 3 + 2) ÷ 1000");
    assert_eq!(all.errors["status"], 5);
    assert_eq!((all.status_codes["200"], all.status_codes["503"]), (990, 5));
    // 990 of 10 ms and 3 time-outs of 1 s: the 984th of 993 is still 10 ms.
    let p99 = all.response_time_ms.p99.unwrap();
    assert!((10.0..=10.01).contains(&p99), "{p99}");
    assert!(all.response_time_ms.max.unwrap() >= 1000.0);
    assert_eq!(all.failure_time_ms.max.unwrap().floor(), 1.0);
    assert_eq!((report.coverage.ratio, report.coverage.seen_s, report.coverage.workers_lost), (1.0, 20.0, 0));
    let verdicts: Vec<Verdict> = report.slo.iter().map(|promise| promise.verdict).collect();
    assert_eq!(verdicts, [Verdict::Passed, Verdict::Failed, Verdict::Passed, Verdict::Passed]);
    assert_eq!(
        (report.verdict, report.reasons),
        (Verdict::Failed, vec!["home broke errors < 1%".to_owned()])
    );
}

#[test]
fn a_dead_worker_is_lost_and_nothing_is_promised() {
    let mut table = Table::new(plan(&["p99 < 1s"]));
    table.ended(0, 0, 10 * S, good(500));
    // Worker 1 wrote down 4 whole seconds and half of the fifth; of the 25
    // requests in that half, 2 were in flight.
    for second in 0..4 {
        table.saw(1, second * S, S, good(50), health(0, 0.1));
    }
    table.saw(1, 4 * S, S / 2, vec![series(0, 0, 25, &[(23, OK, 10)])], health(0, 0.1));
    let report = table.report();
    let arrivals = report.attacks[0].all.arrivals;
    // 500 and 4 × 50 + 23 completed; of worker 1's 500 the other 277 are lost.
    assert_eq!((arrivals.scheduled, arrivals.completed, arrivals.lost), (1000, 723, 277));
    assert_eq!((report.coverage.ratio, report.coverage.seen_s), (14.5 / 20.0, 14.5));
    assert_eq!(report.coverage.workers_lost, 1);
    assert_eq!(report.attacks[0].all.error_ratio, Some(0.0), "what is lost is no error");
    assert_eq!((report.slo[0].verdict, report.verdict), (Verdict::Inconclusive, Verdict::Inconclusive));
    assert_eq!(report.reasons[0], "coverage is 14.5 of 20.0 worker-seconds: 1 of 2 workers lost");
}

#[test]
fn windows_stand_for_totals_that_were_left_out() {
    let mut table = Table::new(plan(&["p99 < 1s", "errors < 0.1%"]));
    table.ended(0, 0, 10 * S, good(500));
    // Worker 1 ended, too, and left its totals to two long windows.
    table.ended(1, 0, 10 * S, Vec::new());
    for half in 0..2 {
        table.saw(1, half * 5 * S, 5 * S, good(250), health(0, 0.1));
    }
    // Worker 0's window is in its totals already.
    table.saw(0, 0, 5 * S, good(250), health(0, 0.1));
    let report = table.report();
    let all = &report.attacks[0].all;
    assert_eq!((all.arrivals.scheduled, all.arrivals.completed, all.arrivals.lost), (1000, 1000, 0));
    assert_eq!((report.coverage.ratio, report.coverage.workers_lost), (1.0, 0));
    assert_eq!(report.verdict, Verdict::Passed, "{:?}", report.reasons);
    let timeline: Vec<(f64, u64)> =
        report.attacks[0].timeline.iter().map(|moment| (moment.at_s, moment.completed)).collect();
    assert_eq!(timeline, [(0.0, 500), (5.0, 250)]);
}

#[test]
fn a_worker_that_never_reported_a_thing_is_lost_whole() {
    let mut table = Table::new(plan(&["p99 < 1s"]));
    table.ended(0, 0, 10 * S, good(500));
    let report = table.report();
    assert_eq!(report.attacks[0].all.arrivals.lost, 500);
    assert_eq!(report.coverage.ratio, 0.5);
}

#[test]
fn the_least_coverage_is_99_percent() {
    // Worker 1 died after 9.8 of its 10 s: 19.8 of 20 s were seen. A
    // millisecond less is too little.
    for (last, verdict) in [(800_000, Verdict::Passed), (799_000, Verdict::Inconclusive)] {
        let mut table = Table::new(plan(&["p99 < 1s"]));
        table.ended(0, 0, 10 * S, good(500));
        for second in 0..9 {
            table.saw(1, second * S, S, good(50), health(0, 0.1));
        }
        table.saw(1, 9 * S, last, good(40), health(0, 0.1));
        let report = table.report();
        assert_eq!(
            (report.verdict, report.slo[0].verdict),
            (verdict, verdict),
            "{last} µs of the last second"
        );
        assert_eq!(report.attacks[0].all.arrivals.lost, 10, "it is told in any case");
    }
}

#[test]
fn a_stopped_run_ends_where_its_workers_stopped() {
    let mut table = Table::new(plan(&["errors <= 0"]));
    // Before 4 s, 200 of the even arrivals are due; before 4.5 s, 225 odd ones.
    table.ended(0, 0, 4 * S, good(200));
    table.ended(1, 0, 4 * S + S / 2, good(225));
    table.stop = Some(Stop::Interrupted);
    let report = table.report();
    let all = &report.attacks[0].all;
    assert_eq!((all.arrivals.scheduled, all.arrivals.completed, all.arrivals.lost), (425, 425, 0));
    assert_eq!((report.duration_s, all.rate.scheduled), (4.5, 425.0 / 4.5));
    assert_eq!((report.coverage.ratio, report.coverage.due_s), (1.0, 8.5));
    assert_eq!(report.slo[0].verdict, Verdict::Passed);
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(report.reasons, ["interrupted after 4.5 s"]);
}

/// As when its switch ends a run under way, whose own report comes first: 150 of 1,000
/// requests are due in the seconds that the workers left out.
#[test]
fn a_load_that_ended_early_for_no_known_reason_is_not_all_of_it() {
    let attack = "  - { name: home, url: 'http://127.0.0.1:1/', rate: 100/s, duration: 10s }\n";
    let mut table = Table::new(plan_of("slo: [p99 < 1s]\n", attack, 600));
    table.ended(0, 0, 9 * S, good(450));
    table.ended(1, 0, 8 * S, good(400));
    let report = table.report();
    let all = &report.attacks[0].all;
    assert_eq!((all.arrivals.scheduled, all.arrivals.completed, all.arrivals.lost), (1000, 850, 150));
    assert_eq!((report.coverage.seen_s, report.coverage.due_s), (17.0, 20.0));
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(
        report.reasons[0],
        "coverage is 17.0 of 20.0 worker-seconds: the load ended early, and nobody says why"
    );
}

#[test]
fn a_slice_that_was_stopped_before_it_began_reached_nothing() {
    let attack = "  - { name: home, url: 'http://127.0.0.1:1/', rate: 100/s, duration: 10s }\n";
    let mut table = Table::new(plan_of("", attack, 6));
    assert_eq!(table.plan.slices(0, 10 * S), 2);
    for shard in 0..2 {
        // Stopped at 4 s; the second slices looked, and ended where they began.
        table.ended(shard, 0, 4 * S, good(200));
        table.ended(shard, 1, 6 * S, vec![]);
    }
    table.stop = Some(Stop::Requested);
    let report = table.report();
    assert_eq!((report.duration_s, report.attacks[0].all.arrivals.scheduled), (4.0, 400));
    assert_eq!((report.coverage.ratio, report.coverage.due_s), (1.0, 8.0));
    assert_eq!(report.reasons, ["stopped on request after 4.0 s"]);
}

#[test]
fn slices_add_up_across_their_seam() {
    let attack = "  - { name: home, url: 'http://127.0.0.1:1/', rate: 100/s, duration: 10s }\n";
    let mut table = Table::new(plan_of("", attack, 6));
    for shard in 0..2 {
        table.ended(shard, 0, 6 * S, good(300));
    }
    // Of the second slices, 4 s each, one was never begun.
    table.ended(0, 1, 10 * S, good(200));
    let report = table.report();
    let arrivals = report.attacks[0].all.arrivals;
    assert_eq!((arrivals.scheduled, arrivals.completed, arrivals.lost), (1000, 800, 200));
    assert_eq!(report.coverage.ratio, 16.0 / 20.0);
}

#[test]
fn a_condition_that_stops_a_run_fails_it() {
    let mut table = Table::new(plan(&[]));
    (0..2).for_each(|shard| table.ended(shard, 0, 4 * S, good(200)));
    table.stop = Some(Stop::Condition { rule: "errors > 20% for 2s".into() });
    let report = table.report();
    assert_eq!(report.verdict, Verdict::Failed);
    assert_eq!(report.reasons, ["stopped after 4.0 s: errors > 20% for 2s"]);
}

#[test]
fn a_run_that_no_worker_can_send_says_what_they_lack() {
    let mut table = Table::new(plan(&["p99 < 1s"]));
    let why = "${secret:ssm:/token} is not there".to_owned();
    table.stop = Some(Stop::Unable { why });
    let report = table.report();
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(report.reasons[0], "no worker could send: ${secret:ssm:/token} is not there");
}

#[test]
fn a_killed_run_reaches_as_far_as_it_was_written_down() {
    let mut table = Table::new(plan(&["errors <= 0"]));
    for shard in 0..2 {
        (0..3).for_each(|second| table.saw(shard, second * S, S, good(50), health(0, 0.1)));
    }
    // Worker 0 wrote once more, 0.3 s into its fourth second.
    table.saw(0, 3 * S, 300_000, vec![series(0, 0, 15, &[(14, OK, 10)])], health(0, 0.1));
    table.phase = Phase::Killed;
    let report = table.report();
    // Before 3.3 s 330 are due, 165 for each; of worker 1's, 15 were never
    // written down, and one of worker 0's was in flight.
    let arrivals = report.attacks[0].all.arrivals;
    assert_eq!((arrivals.scheduled, arrivals.completed, arrivals.lost), (330, 314, 16));
    assert_eq!((report.duration_s, report.coverage.ratio), (3.3, 6.3 / 6.6));
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(report.reasons[0], "the run was killed; what it had written down reaches to 3.3 s");
    let seconds: Vec<(f64, u64)> =
        report.attacks[0].timeline.iter().map(|moment| (moment.at_s, moment.scheduled)).collect();
    assert_eq!(seconds, [(0.0, 100), (1.0, 100), (2.0, 100), (3.0, 15)], "both workers together");
}

#[test]
fn a_run_under_way_is_judged_on_what_it_has_written_so_far() {
    let mut table = Table::new(plan(&["errors <= 0"]));
    for shard in 0..2 {
        (0..3).for_each(|second| table.saw(shard, second * S, S, good(50), health(0, 0.1)));
    }
    table.phase = Phase::UnderWay;
    let report = table.report();
    let arrivals = report.attacks[0].all.arrivals;
    assert_eq!((arrivals.scheduled, arrivals.completed, arrivals.lost), (300, 300, 0));
    assert_eq!((report.duration_s, report.coverage.ratio), (3.0, 1.0));
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(report.reasons, ["the run is under way; what it has written down reaches to 3.0 s"]);
}

/// A run of 20 windows, `late` of them 20 ms late; every answer took 10 ms.
fn late_windows(late: u64, rule: &str) -> Report {
    let mut table = Table::new(plan(&[rule]));
    for shard in 0..2 {
        table.ended(shard, 0, 10 * S, good(500));
        for second in 0..10 {
            let window = second * 2 + u64::from(shard);
            let lag = if window < late { 20 } else { 1 };
            table.saw(shard, second * S, S, good(50), health(lag, 0.2));
        }
    }
    table.report()
}

#[test]
fn a_promise_that_broke_while_the_generator_was_limited_is_open() {
    // 2 of 20 windows are 10 %.
    let report = late_windows(2, "p99 < 5ms");
    assert!(report.generator.limited);
    assert_eq!(report.generator.workers_needed, Some(4), "twice as many, when they were late");
    assert_eq!((report.slo[0].verdict, report.verdict), (Verdict::Inconclusive, Verdict::Inconclusive));
    assert_eq!(
        report.reasons,
        [
            "p99 < 5ms on home: it broke while the generator itself was limited",
            "requests left more than 10 ms late (p99) in 10 % of worker-seconds; it would take at least 4 workers"
        ]
    );
}

/// However few they are: each counts as an error of the target.
#[test]
fn what_we_could_not_send_is_not_the_targets_failure() {
    for (unsent, verdict) in [(0, Verdict::Failed), (1, Verdict::Inconclusive)] {
        let mut table = Table::new(plan(&["errors <= 0"]));
        table.ended(0, 0, 10 * S, vec![series(0, 0, 500, &[(499, OK, 10), (1, Outcome::Dropped, 0)])]);
        table.ended(1, 0, 10 * S, good(500));
        table.saw(0, 0, S, good(50), Health { unsent, ..health(1, 0.2) });
        let report = table.report();
        assert_eq!((report.generator.unsent, report.generator.limited), (unsent, unsent > 0));
        assert_eq!(report.verdict, verdict, "{:?}", report.reasons);
        if unsent > 0 {
            let said = "1 requests were due and never sent, since a worker was late by more than a second or had no socket left; it would take at least 3 workers";
            assert_eq!(report.reasons.last().map(String::as_str), Some(said));
        }
    }
}

/// Worker 0 counted what it drew; worker 1 died after a second, and what it would
/// have drawn is lost.
#[test]
fn poisson_arrivals_of_a_dead_worker_are_drawn_again() {
    let attack =
        "  - { name: home, url: 'http://127.0.0.1:1/', rate: 100/s, duration: 10s, arrivals: poisson }\n";
    let plan = plan_of("", attack, 600);
    let due: Vec<u64> = (0..2)
        .map(|shard| plan.arrivals(0, plan.shard(shard).unwrap()).unwrap().since(0).count() as u64)
        .collect();
    let first = plan.arrivals(0, plan.shard(1).unwrap()).unwrap();
    let first = first.since(0).filter(|arrival| arrival.due < Duration::from_secs(1)).count() as u64;
    // Five standard deviations of 500.
    assert!(due.iter().all(|due| due.abs_diff(500) <= 112), "{due:?}");
    let mut table = Table::new(plan);
    table.ended(0, 0, 10 * S, good(due[0]));
    table.saw(1, 0, S, good(first), health(1, 0.2));
    let report = table.report();
    let arrivals = report.attacks[0].all.arrivals;
    assert_eq!((arrivals.scheduled, arrivals.completed), (due[0] + due[1], due[0] + first));
    assert_eq!(arrivals.lost, due[1] - first);
}

#[test]
fn a_promise_that_held_although_the_generator_was_limited_holds() {
    let report = late_windows(2, "p99 < 1s");
    assert!(report.generator.limited);
    assert_eq!((report.verdict, report.reasons), (Verdict::Passed, vec![]));
}

#[test]
fn one_late_window_of_twenty_is_no_limit() {
    // Exactly 5 %, which is not more than 5 %.
    let report = late_windows(1, "p99 < 5ms");
    assert!(!report.generator.limited);
    assert_eq!((report.generator.workers_needed, report.verdict), (None, Verdict::Failed));
    assert_eq!(report.generator.in_flight_max, 6, "3 in each worker");
}

#[test]
fn a_busy_worker_limits_the_open_model_only() {
    let users = "  - { name: home, url: 'http://127.0.0.1:1/', load: { users: { count: 2, for: 10s } } }\n";
    for (plan, limited) in [(plan(&[]), true), (plan_of("", users, 600), false)] {
        let mut table = Table::new(plan);
        for shard in 0..2 {
            table.ended(shard, 0, 10 * S, good(500));
            let cpu = if shard == 0 { 0.9 } else { 0.3 };
            (0..10).for_each(|second| table.saw(shard, second * S, S, good(50), health(1, cpu)));
        }
        let generator = table.report().generator;
        assert_eq!(generator.limited, limited);
        assert!((generator.cpu_ratio.unwrap() - 0.9).abs() < 1e-9, "the busiest worker");
        // At 60 % each, 2 × 0.9 ÷ 0.6 workers.
        assert_eq!(generator.workers_needed, limited.then_some(3));
    }
}

#[test]
fn a_run_in_which_nothing_succeeded_has_failed() {
    let mut table = Table::new(plan(&[]));
    table.ended(0, 0, 10 * S, vec![series(0, 0, 500, &[(500, REFUSED, 1)])]);
    table.ended(1, 0, 10 * S, vec![series(0, 0, 500, &[(499, REFUSED, 1), (1, Outcome::Dropped, 0)])]);
    let report = table.report();
    assert_eq!(report.verdict, Verdict::Failed);
    assert_eq!(report.reasons, ["nothing succeeded: 999 × refused"]);
    let all = &report.attacks[0].all;
    assert_eq!((all.error_ratio, all.rate.achieved), (Some(1.0), 0.0));
    assert_eq!(all.response_time_ms.p99, None, "failures do not flatter");
}

#[test]
fn a_promise_over_no_data_is_open() {
    // Both workers died before they wrote a thing.
    let report = Table::new(plan(&["p99 < 1s", "errors < 1%", "achieved >= 1%"])).report();
    assert_eq!(report.attacks[0].all.arrivals.lost, 1000);
    assert_eq!(report.attacks[0].all.error_ratio, None);
    assert!(report.slo.iter().all(|promise| promise.verdict == Verdict::Inconclusive), "{:?}", report.slo);
    assert_eq!(report.slo[0].observed, None);
    assert_eq!(report.slo[0].reason.as_deref(), Some("there is no data to judge it by"));
    assert_eq!(report.verdict, Verdict::Inconclusive);
}

#[test]
fn a_run_without_load_says_so_and_promises_nothing() {
    let plan = plan(&["p99 < 1s"]);
    let failure = CaughtFailure { error: "DeathStar.Broken".into(), cause: "no fleet".into() };
    let report = Merge::new(&plan, vec![]).report(None, Some(failure), 1, Phase::Over);
    assert_eq!((report.verdict, report.leaks, report.duration_s), (Verdict::Inconclusive, 1, 0.0));
    assert_eq!(report.reasons[0], "the run did not go as planned: no fleet (DeathStar.Broken)");
    assert_eq!(report.reasons[1], "no load was due");
}

#[test]
fn requests_are_told_apart_and_add_up() {
    let attack = "  - name: home\n    base_url: http://127.0.0.1:1\n    rate: 100/s\n    duration: 10s\n    requests:\n      - { name: browse, weight: 3, get: /a }\n      - { name: buy, weight: 1, get: /b }\n";
    let mut table = Table::new(plan_of("", attack, 600));
    for shard in 0..2 {
        let buy = series(0, 1, 125, &[(100, OK, 40), (25, UNAVAILABLE, 1)]);
        table.ended(shard, 0, 10 * S, vec![series(0, 0, 375, &[(375, OK, 10)]), buy]);
    }
    let report = table.report();
    let [browse, buy] = report.attacks[0].requests.as_slice() else { panic!("two kinds") };
    assert_eq!(
        (browse.name.as_str(), browse.arrivals.completed, browse.rate.scheduled),
        ("browse", 750, 75.0)
    );
    assert_eq!((buy.arrivals.completed, buy.arrivals.failed, buy.error_ratio), (200, 50, Some(0.2)));
    assert_eq!(browse.response_time_ms.max.unwrap().floor(), 10.0);
    assert_eq!(buy.response_time_ms.p50.unwrap().floor(), 40.0);
    let all = &report.attacks[0].all;
    assert_eq!((all.arrivals.scheduled, all.arrivals.completed, all.error_ratio), (1000, 950, Some(0.05)));
    let columns: u64 = report.attacks[0].distribution.iter().map(|column| column.count).sum();
    assert_eq!(columns, 950);
}

#[test]
fn of_users_only_what_was_in_flight_is_lost() {
    let users = "  - { name: home, url: 'http://127.0.0.1:1/', load: { users: { count: 2, for: 10s } } }\n";
    let mut table = Table::new(plan_of("", users, 600));
    table.ended(0, 0, 10 * S, good(80));
    table.saw(1, 0, S, vec![series(0, 0, 8, &[(7, OK, 10)])], health(0, 0.1));
    let report = table.report();
    let arrivals = report.attacks[0].all.arrivals;
    assert_eq!((arrivals.scheduled, arrivals.completed, arrivals.lost), (88, 87, 1));
    assert_eq!(report.coverage.ratio, 11.0 / 20.0);
}

#[test]
fn an_attack_whose_turn_never_came_was_not_due() {
    let attacks = "  - { name: first, url: 'http://127.0.0.1:1/', rate: 100/s, duration: 10s }\n  - { name: second, url: 'http://127.0.0.1:1/', rate: 100/s, duration: 10s }\n";
    let mut table = Table::new(plan_of("order: sequence\nslo: [p99 < 1s]\n", attacks, 600));
    (0..2).for_each(|shard| table.ended(shard, 0, 4 * S, good(200)));
    table.stop = Some(Stop::Requested);
    let report = table.report();
    let second = &report.attacks[1].all;
    assert_eq!((second.arrivals.scheduled, second.rate.scheduled, second.error_ratio), (0, 0.0, None));
    let verdicts: Vec<Verdict> = report.slo.iter().map(|promise| promise.verdict).collect();
    assert_eq!(verdicts, [Verdict::Passed, Verdict::Inconclusive]);
}

#[test]
fn the_names_of_the_report_are_those_others_build_on() {
    let report = serde_json::to_value(steps::steps(3 * S).report()).unwrap();
    let has = |path: &str| {
        let pointer = format!("/{}", path.replace('.', "/"));
        assert!(report.pointer(&pointer).is_some(), "{path} is missing");
    };
    "schema run_id name mode verdict reasons started_at duration_s coverage.ratio coverage.workers \
     coverage.workers_lost generator.limited generator.pacing_lag_ms.p50 generator.pacing_lag_ms.p99 \
     generator.pacing_lag_ms.max generator.send_lag_ms.p99 generator.cpu_ratio generator.workers_needed \
     slo cost.estimated_usd leaks"
        .split_whitespace()
        .for_each(has);
    "name profile arrivals.scheduled arrivals.completed arrivals.failed arrivals.timed_out arrivals.dropped \
     arrivals.lost rate.scheduled rate.achieved rate.succeeded response_time_ms.min response_time_ms.mean \
     response_time_ms.p50 response_time_ms.p90 response_time_ms.p95 response_time_ms.p99 \
     response_time_ms.p999 response_time_ms.p9999 response_time_ms.max service_time_ms.p99 status_codes.200 \
     error_ratio errors bytes.sent bytes.received requests.0.name requests.0.arrivals.lost \
     timeline.0.at_s timeline.0.scheduled timeline.0.completed timeline.0.errors timeline.0.p50 \
     timeline.0.p99 curve.0.rate curve.0.achieved curve.0.p50 curve.0.p99 curve.0.error_ratio"
        .split_whitespace()
        .for_each(|path| has(&format!("attacks.0.{path}")));
    assert_eq!(report["schema"], Value::from(1));
    assert_eq!(report["verdict"], Value::from("passed"));
    let with_promise = serde_json::to_value(late_windows(0, "p99 < 250ms")).unwrap();
    for name in ["rule", "observed", "verdict"] {
        assert!(with_promise["slo"][0].get(name).is_some(), "slo.{name} is missing");
    }
    let back: Report = serde_json::from_value(with_promise.clone()).unwrap();
    assert_eq!(serde_json::to_value(back).unwrap(), with_promise, "it reads back as it was written");
}
