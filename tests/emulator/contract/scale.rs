//! Facts of the run's table when there is much in it: many workers, and what is
//! larger than a row.

use std::time::Duration;

use deathstar_controller::ports::Table;
use deathstar_statemachine::config::Config;
use deathstar_statemachine::ids::SliceId;
use deathstar_statemachine::message::ConfigRef;
use deathstar_statemachine::mix::SplitMix64;
use deathstar_statemachine::report::{Moment, SliceEnd, Stop};
use deathstar_statemachine::table::Claim;
use deathstar_statemachine::window::{Outcome, Series, Tally, Timing, Window};
use deathstar_worker::ports::WorkerTable;

use super::table::{SECOND, at, claim, plan, report, round, run, slice, window};

pub(super) async fn a_run_may_be_over_before_it_is_claimed(table: &impl Table, worker: &impl WorkerTable) {
    let run = run("a");
    table.end_run(&run).await.unwrap();
    table.end_run(&run).await.unwrap();
    assert!(table.is_over(&run).await.unwrap());
    assert_eq!((table.runs().await.unwrap(), table.run(&run).await.unwrap()), (vec![], None));
    assert!(table.put_plan(&plan(&run)).await.is_err(), "it is not claimed yet");
    assert_eq!(worker.claim(&slice(&run, 3, 0), "token").await.unwrap(), Claim::RunOver);
    assert!(table.claim_run(&run, "first", "contract", at(0)).await.unwrap());
    assert!(!table.claim_run(&run, "second", "contract", at(1)).await.unwrap());
    assert!(table.is_over(&run).await.unwrap());
    assert!(!table.intend(&run, "f").await.unwrap());
    let runs = table.runs().await.unwrap();
    assert_eq!((runs.len(), runs[0].over, runs[0].claimed_at), (1, true, at(0)));
    assert_eq!(table.run(&run).await.unwrap().as_ref(), Some(&runs[0]));
}

pub(super) async fn a_run_may_be_stopped_before_it_is_claimed(table: &impl Table, worker: &impl WorkerTable) {
    let run = run("a");
    table.request_stop(&run, &Stop::Requested).await.unwrap();
    table.request_stop(&run, &Stop::Interrupted).await.unwrap();
    assert_eq!(table.runs().await.unwrap(), []);
    assert!(table.claim_run(&run, "first", "contract", at(0)).await.unwrap());
    assert_eq!(table.stop(&run).await.unwrap(), Some(Stop::Requested));
    assert!(worker.control(&run).await.unwrap().stop);
    assert!(!table.is_over(&run).await.unwrap());
    assert!(table.intend(&run, "f").await.unwrap());
}

pub(super) async fn the_first_reason_is_kept_whoever_gives_it(table: &impl Table, worker: &impl WorkerTable) {
    let rule = || Stop::Condition { rule: "errors > 20% for 10s".to_owned() };
    let voted = claim(table, "voted").await;
    worker.request_stop(&voted, rule()).await.unwrap();
    table.request_stop(&voted, &Stop::Requested).await.unwrap();
    assert_eq!(table.stop(&voted).await.unwrap(), Some(rule()));
    let asked = claim(table, "asked").await;
    table.request_stop(&asked, &Stop::Requested).await.unwrap();
    worker.request_stop(&asked, rule()).await.unwrap();
    assert_eq!(table.stop(&asked).await.unwrap(), Some(Stop::Requested));
}

pub(super) async fn a_slice_has_one_winner_of_many_at_once(table: &impl Table, worker: &impl WorkerTable) {
    let run = claim(table, "a").await;
    let slice = slice(&run, 5, 0);
    let claims = tokio::join!(
        worker.claim(&slice, "1"),
        worker.claim(&slice, "2"),
        worker.claim(&slice, "3"),
        worker.claim(&slice, "4"),
        worker.claim(&slice, "5")
    );
    let claims = [claims.0, claims.1, claims.2, claims.3, claims.4].map(Result::unwrap);
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::Won).count(), 1, "{claims:?}");
}

/// Whoever votes last must learn that it makes a majority.
pub(super) async fn of_many_votes_at_once_the_last_is_told_of_all(
    table: &impl Table,
    worker: &impl WorkerTable,
) {
    let run = claim(table, "a").await;
    let vote = async |shard| worker.vote(&slice(&run, shard, 0)).await.unwrap();
    // Three of one bucket, and others.
    let votes = tokio::join!(vote(0), vote(16), vote(32), vote(1), vote(15), vote(9998));
    let votes = [votes.0, votes.1, votes.2, votes.3, votes.4, votes.5];
    assert_eq!(votes.iter().max(), Some(&6), "{votes:?}");
    assert_eq!(vote(7).await, 7);
}

pub(super) async fn what_is_larger_than_a_row_comes_back_whole(
    table: &impl Table,
    worker: &impl WorkerTable,
) {
    let run = claim(table, "a").await;
    let config = long_config();
    let version = ConfigRef { name: "contract".to_owned(), version: "1".to_owned() };
    table.put_config(&version, &config).await.unwrap();
    assert_eq!(table.config(&version).await.unwrap().as_ref(), Some(&config));
    let mut plan = plan(&run);
    plan.config = config;
    table.put_plan(&plan).await.unwrap();
    table.put_plan(&plan).await.unwrap();
    assert_eq!(table.plan(&run).await.unwrap().as_ref(), Some(&plan));
    assert_eq!(worker.plan(&run).await.unwrap(), plan);
    // A report that is replaced by a shorter one, and by a longer one.
    for seconds in [10_000, 1, 20_000] {
        let mut report = report(&run);
        report.attacks[0].timeline = (0..seconds).map(moment).collect();
        table.put_report(&run, &report).await.unwrap();
        assert_eq!(table.report(&run).await.unwrap(), Some(report), "{seconds} s");
    }
}

pub(super) async fn a_window_of_many_requests_is_replaced_by_its_later_state(
    table: &impl Table,
    worker: &impl WorkerTable,
) {
    let run = claim(table, "a").await;
    let id = slice(&run, 17, 0);
    let state = |each| Window { series: all_requests(900, each, Tally::window), ..window(2) };
    for each in [1, 12, 60] {
        worker.checkpoint(&id, vec![state(each)]).await.unwrap();
        let windows = table.windows(&run, 0, None, 10).await.unwrap();
        assert!(windows == [(id.clone(), state(each))], "{each} requests of each name");
    }
    // Written again as it was: the later state stays.
    let mut last = None;
    let mut seen = 0;
    loop {
        let page = table.windows(&run, 0, last.as_ref(), 1).await.unwrap();
        seen += page.len();
        last = page.into_iter().next_back();
        if last.is_none() {
            break;
        }
    }
    assert_eq!(seen, 1);
}

pub(super) async fn ends_that_are_larger_than_a_page_come_whole(
    table: &impl Table,
    worker: &impl WorkerTable,
) {
    let run = claim(table, "a").await;
    // 50 names, and as many different times as three digits tell apart.
    let large = SliceEnd { until: 10 * SECOND, totals: all_requests(150, 1500, Tally::total) };
    let small = SliceEnd { until: 5 * SECOND, totals: all_requests(2, 3, Tally::total) };
    let all: Vec<SliceId> = [1, 17, 33, 2].map(|shard| slice(&run, shard, 0)).to_vec();
    for id in &all {
        let end = if id.shard == 17 { &small } else { &large };
        worker.finish(id, end.clone()).await.unwrap();
    }
    for limit in [1, 2, 100] {
        let mut seen = Vec::new();
        let mut last = None;
        loop {
            let page = table.slice_ends(&run, last.as_ref(), limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            for (id, end) in &page {
                let expected = if id.shard == 17 { &small } else { &large };
                assert!(end == expected, "shard {} in pages of {limit}", id.shard);
            }
            last = page.last().map(|(id, _)| id.clone());
            seen.extend(page.into_iter().map(|(id, _)| id));
            if last.is_none() {
                break;
            }
        }
        seen.sort();
        let mut expected = all.clone();
        expected.sort();
        assert_eq!(seen, expected, "in pages of {limit}");
    }
}

pub(super) async fn a_round_is_seen_by_workers_as_it_was_decided(
    table: &impl Table,
    worker: &impl WorkerTable,
) {
    let run = claim(table, "a").await;
    for number in [0, 9, 10, 99_999] {
        table.put_round(&run, &round(number)).await.unwrap();
        assert_eq!(worker.round(&run, number).await.unwrap(), round(number));
    }
    let numbers: Vec<u32> = table.rounds(&run).await.unwrap().iter().map(|round| round.number).collect();
    assert_eq!(numbers, [0, 9, 10, 99_999]);
}

/// Every request of an attack, with so many times each.
pub(crate) fn all_requests(requests: u32, each: u32, empty: fn() -> Tally) -> Vec<Series> {
    let series = |request| {
        let mut random = SplitMix64(u64::from(request));
        let mut tally = empty();
        for _ in 0..each {
            // Up to 4 s.
            let done = Duration::from_micros(1 + random.below(2000) * random.below(2000));
            let timing = Timing { intended: Duration::ZERO, sent: Duration::from_micros(1), done };
            tally.scheduled += 1;
            tally.record(Outcome::Completed { status: 200 }, &timing, true);
        }
        Series { attack: 0, request, tally }
    };
    (0..requests).map(series).collect()
}

fn moment(second: u32) -> Moment {
    let (scheduled, completed) = (u64::from(second) * 7919 % 10_007, u64::from(second));
    Moment { at_s: f64::from(second), scheduled, completed, errors: 0, p50: Some(1.5), p99: None }
}

/// A config of about half a megabyte.
pub(crate) fn long_config() -> Config {
    let long = "x".repeat(5000);
    let requests: String = (0..100)
        .map(|n| format!("      - {{ name: r{n}, get: /r/{n}, headers: {{ x-long: '{long}' }} }}\n"))
        .collect();
    let text = format!(
        "name: contract\nattacks:\n  - name: home\n    base_url: http://127.0.0.1:1\n    load: {{ constant: {{ rate: 10/s, for: 10s }} }}\n    requests:\n{requests}"
    );
    Config::from_text(&text, |_| Err("no files".to_owned())).unwrap()
}
