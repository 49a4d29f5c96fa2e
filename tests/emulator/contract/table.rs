//! Facts of the run's table.

use std::num::NonZeroU32;
use std::time::Duration;

use deathstar_controller::ports::Table;
use deathstar_statemachine::config::Config;
use deathstar_statemachine::ids::{RunId, SliceId};
use deathstar_statemachine::message::ConfigRef;
use deathstar_statemachine::plan::{Place, Plan};
use deathstar_statemachine::report::{Merge, Phase, Report, Round, SliceEnd, Stop};
use deathstar_statemachine::table::{Claim, LedgerState};
use deathstar_statemachine::window::{Series, Tally, Window};
use deathstar_worker::ports::WorkerTable;
use jiff::Timestamp;

pub(super) async fn a_config_comes_back_as_it_was_stored(table: &impl Table, _: &impl WorkerTable) {
    let at = ConfigRef { name: "contract".to_owned(), version: "1".to_owned() };
    assert_eq!(table.config(&at).await.unwrap(), None);
    table.put_config(&at, &config()).await.unwrap();
    table.put_config(&at, &config()).await.unwrap();
    assert_eq!(table.config(&at).await.unwrap(), Some(config()));
    let other = ConfigRef { version: "2".to_owned(), ..at };
    assert_eq!(table.config(&other).await.unwrap(), None);
}

pub(super) async fn a_run_is_claimed_by_one_execution(table: &impl Table, _: &impl WorkerTable) {
    let run = run("a");
    assert!(table.claim_run(&run, "first", "contract", at(0)).await.unwrap());
    assert!(!table.claim_run(&run, "second", "contract", at(1)).await.unwrap());
    assert!(table.claim_run(&run, "first", "contract", at(2)).await.unwrap(), "its own repeat wins again");
    let runs = table.runs().await.unwrap();
    assert_eq!((runs.len(), runs[0].claimed_at), (1, at(0)), "a repeat changes nothing");
    assert_eq!(runs[0].execution, "first");
    assert_eq!(table.run(&run).await.unwrap().as_ref(), Some(&runs[0]));
    assert_eq!(table.run(&"b".parse().unwrap()).await.unwrap(), None);
}

pub(super) async fn a_plan_belongs_to_a_claimed_run(table: &impl Table, _: &impl WorkerTable) {
    let plan = plan(&run("a"));
    assert_eq!(table.plan(&plan.run).await.unwrap(), None);
    let unclaimed = table.put_plan(&plan).await.unwrap_err();
    assert_eq!(unclaimed.name(), "DeathStar.Broken", "{unclaimed}");
    claim(table, "a").await;
    assert_eq!(table.plan(&plan.run).await.unwrap(), None);
    table.put_plan(&plan).await.unwrap();
    table.put_plan(&plan).await.unwrap();
    assert_eq!(table.plan(&plan.run).await.unwrap(), Some(plan));
}

pub(super) async fn rounds_come_in_order_and_are_replaced(table: &impl Table, _: &impl WorkerTable) {
    let run = claim(table, "a").await;
    assert_eq!(table.rounds(&run).await.unwrap(), []);
    for number in [2, 10, 0, 1] {
        table.put_round(&run, &round(number)).await.unwrap();
    }
    let judged = Round { judged: true, ..round(1) };
    table.put_round(&run, &judged).await.unwrap();
    assert_eq!(table.rounds(&run).await.unwrap(), [round(0), judged, round(2), round(10)]);
}

pub(super) async fn a_round_is_opened_once(table: &impl Table, worker: &impl WorkerTable) {
    let run = claim(table, "a").await;
    let first = round(0);
    let second = Round { t0: at(7), slices: 3, ..round(0) };
    assert_eq!(table.open_round(&run, &first).await.unwrap(), first);
    assert_eq!(table.open_round(&run, &second).await.unwrap(), first, "the first decision counts");
    assert_eq!(table.rounds(&run).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(worker.round(&run, 0).await.unwrap(), first);
    let next = round(1);
    assert_eq!(table.open_round(&run, &next).await.unwrap(), next);
    let judged = Round { judged: true, ..first };
    table.put_round(&run, &judged).await.unwrap();
    assert_eq!(table.open_round(&run, &second).await.unwrap(), judged, "nor is it opened again");
    assert_eq!(table.rounds(&run).await.unwrap(), [judged, next]);
}

pub(super) async fn the_ledger_only_moves_forwards(table: &impl Table, _: &impl WorkerTable) {
    let run = claim(table, "a").await;
    let unknown = table.advance(&run, "f", LedgerState::Created).await.unwrap_err();
    assert_eq!(unknown.name(), "DeathStar.Broken", "{unknown}");
    assert!(table.intend(&run, "f").await.unwrap());
    assert_eq!(states(table, &run).await, [("f".to_owned(), LedgerState::Intent)]);
    let forwards = [LedgerState::Created, LedgerState::Deleting, LedgerState::Deleted];
    for state in forwards {
        table.advance(&run, "f", state).await.unwrap();
        table.advance(&run, "f", state).await.unwrap();
        assert_eq!(states(table, &run).await, [("f".to_owned(), state)]);
        for earlier in [LedgerState::Intent, LedgerState::Created] {
            table.advance(&run, "f", earlier).await.unwrap();
        }
        // A repeated intent is not a new one either.
        assert!(table.intend(&run, "f").await.unwrap());
        assert_eq!(states(table, &run).await, [("f".to_owned(), state)]);
    }
}

pub(super) async fn nothing_is_intended_for_a_run_that_is_over(table: &impl Table, _: &impl WorkerTable) {
    let run = claim(table, "a").await;
    assert!(table.intend(&run, "before").await.unwrap());
    assert!(!table.is_over(&run).await.unwrap());
    table.end_run(&run).await.unwrap();
    table.end_run(&run).await.unwrap();
    assert!(table.is_over(&run).await.unwrap());
    assert!(!table.intend(&run, "after").await.unwrap());
    assert!(!table.intend(&run, "before").await.unwrap());
    assert_eq!(states(table, &run).await, [("before".to_owned(), LedgerState::Intent)]);
    // What is there must still go.
    table.advance(&run, "before", LedgerState::Deleted).await.unwrap();
    assert_eq!(states(table, &run).await, [("before".to_owned(), LedgerState::Deleted)]);
}

pub(super) async fn a_slice_is_claimed_by_one_invocation(table: &impl Table, worker: &impl WorkerTable) {
    let run = claim(table, "a").await;
    let slice = slice(&run, 0, 0);
    assert_eq!(worker.claim(&slice, "first").await.unwrap(), Claim::Won);
    assert_eq!(worker.claim(&slice, "second").await.unwrap(), Claim::Lost);
    assert_eq!(worker.claim(&slice, "first").await.unwrap(), Claim::Won, "its own repeat wins again");
    assert_eq!(worker.claim(&slice, "second").await.unwrap(), Claim::Lost);
    // Every other slice is another claim.
    for other in [
        SliceId { round: 1, ..slice.clone() },
        SliceId { shard: 1, ..slice.clone() },
        SliceId { slice: 1, ..slice },
    ] {
        assert_eq!(worker.claim(&other, "second").await.unwrap(), Claim::Won, "{other}");
    }
}

pub(super) async fn nothing_is_claimed_in_a_run_that_is_over(table: &impl Table, worker: &impl WorkerTable) {
    let run = claim(table, "a").await;
    let slice = slice(&run, 0, 0);
    assert_eq!(worker.claim(&slice, "first").await.unwrap(), Claim::Won);
    table.end_run(&run).await.unwrap();
    assert_eq!(worker.claim(&slice, "first").await.unwrap(), Claim::RunOver);
    assert_eq!(worker.claim(&slice, "second").await.unwrap(), Claim::RunOver);
}

pub(super) async fn the_first_reason_to_stop_is_kept(table: &impl Table, _: &impl WorkerTable) {
    let run = claim(table, "a").await;
    assert_eq!(table.stop(&run).await.unwrap(), None);
    let condition = Stop::Condition { rule: "errors > 20% for 10s".to_owned() };
    table.request_stop(&run, &condition).await.unwrap();
    table.request_stop(&run, &Stop::Interrupted).await.unwrap();
    table.request_stop(&run, &Stop::Requested).await.unwrap();
    assert_eq!(table.stop(&run).await.unwrap(), Some(condition));
    assert!(!table.is_over(&run).await.unwrap(), "a run that stops is not torn down yet");
}

pub(super) async fn each_worker_votes_once(table: &impl Table, worker: &impl WorkerTable) {
    let run = claim(table, "a").await;
    assert_eq!(worker.vote(&slice(&run, 0, 0)).await.unwrap(), 1);
    assert_eq!(worker.vote(&slice(&run, 0, 0)).await.unwrap(), 1);
    assert_eq!(worker.vote(&slice(&run, 0, 1)).await.unwrap(), 1, "a worker's other slice is the same voter");
    assert_eq!(worker.vote(&slice(&run, 1, 0)).await.unwrap(), 2);
}

pub(super) async fn windows_come_in_pages_and_in_order(table: &impl Table, worker: &impl WorkerTable) {
    let run = claim(table, "a").await;
    // Written against the order in which they are read.
    for shard in [2, 0, 1] {
        for second in [3, 0, 2, 1] {
            worker.checkpoint(&slice(&run, shard, 0), vec![window(second)]).await.unwrap();
        }
    }
    let expected: Vec<(u64, u32)> =
        (0..4).flat_map(|second| (0..3).map(move |shard| (second, shard))).collect();
    for limit in [1, 2, 5, 12, 100] {
        let mut seen = Vec::new();
        let mut last = None;
        loop {
            let page = table.windows(&run, 0, last.as_ref(), limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            seen.extend(page.iter().map(|(id, window)| (window.at / SECOND, id.shard)));
            last = page.into_iter().next_back();
            if last.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "in pages of {limit}");
    }
    let late = table.windows(&run, 2 * SECOND, None, 100).await.unwrap();
    let late: Vec<(u64, u32)> = late.iter().map(|(id, window)| (window.at / SECOND, id.shard)).collect();
    assert_eq!(late, &expected[6..], "from a start on");
    let (id, window) = (slice(&run, 0, 0), window(3));
    let rest = table.windows(&run, 2 * SECOND, Some(&(id, window)), 100).await.unwrap();
    assert_eq!(rest.len(), 2, "after a window and from a start on");
}

pub(super) async fn a_window_is_replaced_by_its_later_state(table: &impl Table, worker: &impl WorkerTable) {
    let run = claim(table, "a").await;
    let slice = slice(&run, 0, 0);
    let mut later = window(0);
    later.health.in_flight = 7;
    worker.checkpoint(&slice, vec![window(0), window(1)]).await.unwrap();
    worker.checkpoint(&slice, vec![later.clone()]).await.unwrap();
    let windows = table.windows(&run, 0, None, 10).await.unwrap();
    assert_eq!(windows, [(slice.clone(), later), (slice, window(1))]);
}

pub(super) async fn a_slice_ends_once_for_all(table: &impl Table, worker: &impl WorkerTable) {
    let run = claim(table, "a").await;
    let slice = slice(&run, 1, 0);
    let end = SliceEnd { until: 10 * SECOND, totals: Vec::new() };
    assert_eq!(worker.slice_end(&slice).await.unwrap(), None);
    worker.finish(&slice, end.clone()).await.unwrap();
    worker.finish(&slice, end.clone()).await.unwrap();
    assert_eq!(worker.slice_end(&slice).await.unwrap(), Some(end.clone()));
    assert_eq!(table.slice_ends(&run, None, 10).await.unwrap(), [(slice, end)]);
}

pub(super) async fn runs_come_with_the_newest_first(table: &impl Table, _: &impl WorkerTable) {
    assert_eq!(table.runs().await.unwrap(), []);
    // Whole seconds and parts of one: the order is of time, not of text.
    for (name, time) in [
        ("second", "2026-11-24T05:50:22Z"),
        ("fourth", "2026-11-24T05:50:22.123Z"),
        ("first", "2026-11-24T05:50:21.9Z"),
        ("third", "2026-11-24T05:50:22.12Z"),
        ("fifth", "2026-11-24T05:50:23Z"),
    ] {
        table.claim_run(&run(name), name, "contract", time.parse().unwrap()).await.unwrap();
    }
    let runs = table.runs().await.unwrap();
    let names: Vec<&str> = runs.iter().map(|summary| summary.run.as_str()).collect();
    assert_eq!(names, ["fifth", "fourth", "third", "second", "first"]);
    assert_eq!(runs[3].claimed_at, "2026-11-24T05:50:22Z".parse::<Timestamp>().unwrap());
    assert_eq!((runs[0].name.as_str(), runs[0].over, &runs[0].verdict), ("contract", false, &None));
}

pub(super) async fn a_report_gives_the_run_its_verdict(table: &impl Table, _: &impl WorkerTable) {
    let report = report(&run("a"));
    let unclaimed = table.put_report(&report.run_id, &report).await.unwrap_err();
    assert_eq!(unclaimed.name(), "DeathStar.Broken", "{unclaimed}");
    let run = claim(table, "a").await;
    assert_eq!(table.report(&run).await.unwrap(), None);
    table.put_report(&run, &report).await.unwrap();
    table.put_report(&run, &report).await.unwrap();
    assert_eq!(table.report(&run).await.unwrap(), Some(report));
    table.end_run(&run).await.unwrap();
    let runs = table.runs().await.unwrap();
    assert_eq!((runs[0].verdict.as_deref(), runs[0].over), (Some("inconclusive"), true));
}

pub(super) async fn runs_do_not_see_each_other(table: &impl Table, worker: &impl WorkerTable) {
    let (one, other) = (claim(table, "a").await, claim(table, "a-b").await);
    table.put_plan(&plan(&one)).await.unwrap();
    table.put_round(&one, &round(0)).await.unwrap();
    table.intend(&one, "f").await.unwrap();
    worker.checkpoint(&slice(&one, 0, 0), vec![window(0)]).await.unwrap();
    worker.finish(&slice(&one, 0, 0), SliceEnd { until: 1, totals: Vec::new() }).await.unwrap();
    worker.vote(&slice(&one, 0, 0)).await.unwrap();
    table.request_stop(&one, &Stop::Requested).await.unwrap();
    table.end_run(&one).await.unwrap();
    assert_eq!(table.plan(&other).await.unwrap(), None);
    assert_eq!(table.rounds(&other).await.unwrap(), []);
    assert_eq!(table.ledger(&other).await.unwrap(), []);
    assert_eq!(table.windows(&other, 0, None, 10).await.unwrap(), []);
    assert_eq!(table.slice_ends(&other, None, 10).await.unwrap(), []);
    assert_eq!(table.stop(&other).await.unwrap(), None);
    assert!(!table.is_over(&other).await.unwrap());
    assert_eq!(worker.vote(&slice(&other, 1, 0)).await.unwrap(), 1);
    assert_eq!(worker.claim(&slice(&other, 0, 0), "token").await.unwrap(), Claim::Won);
}

pub(super) async fn workers_read_what_the_controller_wrote(table: &impl Table, worker: &impl WorkerTable) {
    let plan = plan(&run("a"));
    assert!(worker.plan(&plan.run).await.is_err(), "there is none yet");
    claim(table, "a").await;
    table.put_plan(&plan).await.unwrap();
    table.put_round(&plan.run, &round(0)).await.unwrap();
    assert_eq!(worker.plan(&plan.run).await.unwrap(), plan);
    assert_eq!(worker.round(&plan.run, 0).await.unwrap(), round(0));
    assert_eq!(worker.round(&plan.run, 1).await.unwrap_err().name(), "DeathStar.Broken");
}

pub(super) async fn workers_stop_when_anyone_asked_for_it(table: &impl Table, worker: &impl WorkerTable) {
    let rule = || Stop::Condition { rule: "errors > 20% for 10s".to_owned() };
    let asked = claim(table, "asked").await;
    let voted = claim(table, "voted").await;
    let over = claim(table, "over").await;
    for run in [&asked, &voted, &over] {
        assert!(!worker.control(run).await.unwrap().stop);
    }
    table.request_stop(&asked, &Stop::Requested).await.unwrap();
    worker.request_stop(&voted, rule()).await.unwrap();
    worker.request_stop(&voted, Stop::Requested).await.unwrap();
    table.end_run(&over).await.unwrap();
    for run in [&asked, &voted, &over] {
        assert!(worker.control(run).await.unwrap().stop, "{run}");
    }
    assert_eq!(table.stop(&voted).await.unwrap(), Some(rule()), "the first reason is kept");
    assert_eq!(table.stop(&over).await.unwrap(), None);
}

pub(super) async fn windows_of_many_workers_and_requests_come_whole(
    table: &impl Table,
    worker: &impl WorkerTable,
) {
    const SHARDS: u32 = 20;
    const REQUESTS: u32 = 300;
    let run = claim(table, "a").await;
    let full = |second| {
        let mut window = window(second);
        for request in 0..REQUESTS {
            let mut tally = Tally::window();
            tally.scheduled = u64::from(request) + second;
            // A histogram that is not small, since every bucket of it is used.
            (0..400).for_each(|n| tally.response_time.record(Duration::from_micros(37 * (n + 1) * (n + 1))));
            window.series.push(Series { attack: 0, request, tally });
        }
        window
    };
    for second in 0..2 {
        for shard in 0..SHARDS {
            let window = if shard < 2 { full(second) } else { window(second) };
            worker.checkpoint(&slice(&run, shard, 0), vec![window]).await.unwrap();
        }
    }
    for limit in [1, 7, 100] {
        let mut seen = Vec::new();
        let mut last = None;
        loop {
            let page = table.windows(&run, 0, last.as_ref(), limit).await.unwrap();
            for (id, window) in &page {
                let second = window.at / SECOND;
                assert_eq!(window.series.len(), if id.shard < 2 { REQUESTS as usize } else { 0 });
                if id.shard < 2 {
                    assert_eq!(*window, full(second), "shard {} in pages of {limit}", id.shard);
                }
                seen.push((second, id.shard));
            }
            last = page.into_iter().next_back();
            if last.is_none() {
                break;
            }
        }
        let all: Vec<_> = (0..2).flat_map(|second| (0..SHARDS).map(move |shard| (second, shard))).collect();
        assert_eq!(seen, all, "in pages of {limit}");
    }
}

pub(super) async fn ends_of_slices_come_in_pages(table: &impl Table, worker: &impl WorkerTable) {
    let run = claim(table, "a").await;
    let end = |shard: u32| SliceEnd { until: u64::from(shard), totals: Vec::new() };
    let all: Vec<SliceId> =
        (0..40).flat_map(|shard| [slice(&run, shard, 0), slice(&run, shard, 1)]).collect();
    for id in &all {
        worker.finish(id, end(id.shard)).await.unwrap();
    }
    for limit in [1, 3, 1000] {
        let mut seen = Vec::new();
        let mut last = None;
        loop {
            let page = table.slice_ends(&run, last.as_ref(), limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            assert!(page.iter().all(|(id, seen)| *seen == end(id.shard)));
            last = page.last().map(|(id, _)| id.clone());
            seen.extend(page.into_iter().map(|(id, _)| id));
            if last.is_none() {
                break;
            }
        }
        seen.sort();
        assert_eq!(seen, all, "in pages of {limit}");
    }
}

// Things to test with.

pub(crate) const SECOND: u64 = 1_000_000;

pub(crate) async fn claim(table: &impl Table, name: &str) -> RunId {
    let run = run(name);
    assert!(table.claim_run(&run, name, "contract", at(0)).await.unwrap());
    run
}

async fn states(table: &impl Table, run: &RunId) -> Vec<(String, LedgerState)> {
    let ledger = table.ledger(run).await.unwrap();
    ledger.into_iter().map(|entry| (entry.name, entry.state)).collect()
}

pub(crate) fn run(name: &str) -> RunId {
    name.parse().unwrap()
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_499_422 + second).unwrap()
}

pub(crate) fn slice(run: &RunId, shard: u32, slice: u32) -> SliceId {
    SliceId { run: run.clone(), round: 0, shard, slice }
}

pub(crate) fn window(second: u64) -> Window {
    Window::empty(second * SECOND, SECOND)
}

pub(crate) fn round(number: u32) -> Round {
    let from = u64::from(number) * 10 * SECOND;
    Round {
        number,
        from,
        until: from + 10 * SECOND,
        t0: at(0),
        slices: 1,
        judged: false,
        step: None,
        outcome: None,
        busy: Duration::ZERO,
    }
}

fn config() -> Config {
    let text = "name: contract\nattacks:\n  - name: home\n    url: http://127.0.0.1:1/\n    rate: 10/s\n    duration: 10s\nslo:\n  - p99 < 1s\n";
    Config::from_text(text, |_| Err("no files".to_owned())).unwrap()
}

fn place() -> Place {
    Place {
        mode: "embedded".to_owned(),
        cores: NonZeroU32::MIN,
        rate_per_worker: NonZeroU32::new(1000).unwrap(),
        sockets: NonZeroU32::new(1000).unwrap(),
        workers_share_process: true,
        workers_per_function: NonZeroU32::new(1000).unwrap(),
        lead: Duration::from_millis(100),
        checkpoint: Duration::from_secs(1),
        slice: Duration::from_secs(600),
        invocation: Duration::from_secs(900),
        setup: Duration::from_secs(60),
        grace: Duration::from_secs(60),
    }
}

pub(crate) fn plan(run: &RunId) -> Plan {
    Plan::new(run.clone(), config(), place(), at(0)).unwrap()
}

pub(crate) fn report(run: &RunId) -> Report {
    Merge::new(&plan(run), vec![round(0)]).report(None, None, 0, Phase::Over)
}
