//! What every adapter of a port must do, whichever technology it speaks.
//!
//! Facts are functions over a port; [`for_every_table`] and
//! [`for_every_platform`] run each of them against each adapter. What follows
//! after them holds for the embedded adapters alone: a file that processes
//! share, and limits that tests can set.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::future::Future;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use deathstar_controller::dispatch::run_task;
use deathstar_controller::embedded::EmbeddedPorts;
use deathstar_controller::embedded::functions::{InProcessFunctions, Invocation, Limits};
use deathstar_controller::embedded::table::SqliteTable;
use deathstar_controller::ports::{FunctionSpec, FunctionState, Functions, Switches, Table, TableResult};
use deathstar_statemachine::config::Config;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{RunId, SliceId};
use deathstar_statemachine::interpreter::Failure;
use deathstar_statemachine::message::ConfigRef;
use deathstar_statemachine::plan::{Place, Plan};
use deathstar_statemachine::report::{Merge, Phase, Report, Round, SliceEnd, Stop};
use deathstar_statemachine::table::{Claim, LedgerState};
use deathstar_statemachine::window::{Health, Window};
use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;

/// The table as workers see it; the port of that name is the worker's.
trait WorkerSide: Table {
    fn claim(&self, slice: &SliceId, token: &str) -> impl Future<Output = TableResult<Claim>>;
    fn checkpoint(&self, slice: &SliceId, windows: Vec<Window>) -> impl Future<Output = TableResult<()>>;
    fn finish(&self, slice: &SliceId, end: SliceEnd) -> impl Future<Output = TableResult<()>>;
    fn end(&self, slice: &SliceId) -> impl Future<Output = TableResult<Option<SliceEnd>>>;
    fn vote(&self, slice: &SliceId) -> impl Future<Output = TableResult<u32>>;
}

impl WorkerSide for SqliteTable {
    async fn claim(&self, slice: &SliceId, token: &str) -> TableResult<Claim> {
        self.claim_slice(slice, token).await
    }
    async fn checkpoint(&self, slice: &SliceId, windows: Vec<Window>) -> TableResult<()> {
        self.checkpoint(slice, windows).await
    }
    async fn finish(&self, slice: &SliceId, end: SliceEnd) -> TableResult<()> {
        self.finish_slice(slice, end).await
    }
    async fn end(&self, slice: &SliceId) -> TableResult<Option<SliceEnd>> {
        self.slice_end(slice).await
    }
    async fn vote(&self, slice: &SliceId) -> TableResult<u32> {
        self.vote(slice).await
    }
}

/// Runs every fact of the table against every adapter, each on a table of its
/// own that is empty.
macro_rules! for_every_table {
    ($($fact:ident)*) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $fact() {
                    let (_folder, table) = super::sqlite();
                    super::$fact(&table).await;
                }
            )*
        }
    };
}

for_every_table! {
    a_config_comes_back_as_it_was_stored
    a_run_is_claimed_by_one_execution
    a_plan_belongs_to_a_claimed_run
    rounds_come_in_order_and_are_replaced
    the_ledger_only_moves_forwards
    nothing_is_intended_for_a_run_that_is_over
    a_slice_is_claimed_by_one_invocation
    nothing_is_claimed_in_a_run_that_is_over
    the_first_reason_to_stop_is_kept
    each_worker_votes_once
    windows_come_in_pages_and_in_order
    a_window_is_replaced_by_its_later_state
    a_slice_ends_once_for_all
    runs_come_with_the_newest_first
    a_report_gives_the_run_its_verdict
    runs_do_not_see_each_other
}

/// Runs every fact of functions against every platform, each without functions.
macro_rules! for_every_platform {
    ($($fact:ident)*) => {
        mod in_process {
            $(
                #[tokio::test(start_paused = true)]
                async fn $fact() {
                    let functions = super::functions(super::Limits::default());
                    super::$fact(&functions).await;
                }
            )*
        }
    };
}

for_every_platform! {
    a_function_becomes_active
    creating_and_deleting_may_be_repeated
    functions_are_listed_by_prefix
    a_name_that_is_too_long_is_refused
}

// Facts of the table.

async fn a_config_comes_back_as_it_was_stored(table: &impl Table) {
    let at = ConfigRef { name: "contract".to_owned(), version: "1".to_owned() };
    assert_eq!(table.config(&at).await.unwrap(), None);
    table.put_config(&at, &config()).await.unwrap();
    table.put_config(&at, &config()).await.unwrap();
    assert_eq!(table.config(&at).await.unwrap(), Some(config()));
    let other = ConfigRef { version: "2".to_owned(), ..at };
    assert_eq!(table.config(&other).await.unwrap(), None);
}

async fn a_run_is_claimed_by_one_execution(table: &impl Table) {
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

async fn a_plan_belongs_to_a_claimed_run(table: &impl Table) {
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

async fn rounds_come_in_order_and_are_replaced(table: &impl Table) {
    let run = claim(table, "a").await;
    assert_eq!(table.rounds(&run).await.unwrap(), []);
    for number in [2, 10, 0, 1] {
        table.put_round(&run, &round(number)).await.unwrap();
    }
    let judged = Round { judged: true, ..round(1) };
    table.put_round(&run, &judged).await.unwrap();
    assert_eq!(table.rounds(&run).await.unwrap(), [round(0), judged, round(2), round(10)]);
}

async fn the_ledger_only_moves_forwards(table: &impl Table) {
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

async fn nothing_is_intended_for_a_run_that_is_over(table: &impl Table) {
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

async fn a_slice_is_claimed_by_one_invocation(table: &impl WorkerSide) {
    let run = claim(table, "a").await;
    let slice = slice(&run, 0, 0);
    assert_eq!(table.claim(&slice, "first").await.unwrap(), Claim::Won);
    assert_eq!(table.claim(&slice, "second").await.unwrap(), Claim::Lost);
    assert_eq!(table.claim(&slice, "first").await.unwrap(), Claim::Won, "its own repeat wins again");
    assert_eq!(table.claim(&slice, "second").await.unwrap(), Claim::Lost);
    // Every other slice is another claim.
    for other in [
        SliceId { round: 1, ..slice.clone() },
        SliceId { shard: 1, ..slice.clone() },
        SliceId { slice: 1, ..slice },
    ] {
        assert_eq!(table.claim(&other, "second").await.unwrap(), Claim::Won, "{other}");
    }
}

async fn nothing_is_claimed_in_a_run_that_is_over(table: &impl WorkerSide) {
    let run = claim(table, "a").await;
    let slice = slice(&run, 0, 0);
    assert_eq!(table.claim(&slice, "first").await.unwrap(), Claim::Won);
    table.end_run(&run).await.unwrap();
    assert_eq!(table.claim(&slice, "first").await.unwrap(), Claim::RunOver);
    assert_eq!(table.claim(&slice, "second").await.unwrap(), Claim::RunOver);
}

async fn the_first_reason_to_stop_is_kept(table: &impl Table) {
    let run = claim(table, "a").await;
    assert_eq!(table.stop(&run).await.unwrap(), None);
    let condition = Stop::Condition { rule: "errors > 20% for 10s".to_owned() };
    table.request_stop(&run, &condition).await.unwrap();
    table.request_stop(&run, &Stop::Interrupted).await.unwrap();
    table.request_stop(&run, &Stop::Requested).await.unwrap();
    assert_eq!(table.stop(&run).await.unwrap(), Some(condition));
    assert!(!table.is_over(&run).await.unwrap(), "a run that stops is not torn down yet");
}

async fn each_worker_votes_once(table: &impl WorkerSide) {
    let run = claim(table, "a").await;
    assert_eq!(table.vote(&slice(&run, 0, 0)).await.unwrap(), 1);
    assert_eq!(table.vote(&slice(&run, 0, 0)).await.unwrap(), 1);
    assert_eq!(table.vote(&slice(&run, 0, 1)).await.unwrap(), 1, "a worker's other slice is the same voter");
    assert_eq!(table.vote(&slice(&run, 1, 0)).await.unwrap(), 2);
}

async fn windows_come_in_pages_and_in_order(table: &impl WorkerSide) {
    let run = claim(table, "a").await;
    // Written against the order in which they are read.
    for shard in [2, 0, 1] {
        for second in [3, 0, 2, 1] {
            table.checkpoint(&slice(&run, shard, 0), vec![window(second)]).await.unwrap();
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

async fn a_window_is_replaced_by_its_later_state(table: &impl WorkerSide) {
    let run = claim(table, "a").await;
    let slice = slice(&run, 0, 0);
    let mut later = window(0);
    later.health.in_flight = 7;
    table.checkpoint(&slice, vec![window(0), window(1)]).await.unwrap();
    table.checkpoint(&slice, vec![later.clone()]).await.unwrap();
    let windows = table.windows(&run, 0, None, 10).await.unwrap();
    assert_eq!(windows, [(slice.clone(), later), (slice, window(1))]);
}

async fn a_slice_ends_once_for_all(table: &impl WorkerSide) {
    let run = claim(table, "a").await;
    let slice = slice(&run, 1, 0);
    let end = SliceEnd { until: 10 * SECOND, totals: Vec::new() };
    assert_eq!(table.end(&slice).await.unwrap(), None);
    table.finish(&slice, end.clone()).await.unwrap();
    table.finish(&slice, end.clone()).await.unwrap();
    assert_eq!(table.end(&slice).await.unwrap(), Some(end.clone()));
    assert_eq!(table.slice_ends(&run, None, 10).await.unwrap(), [(slice, end)]);
}

async fn runs_come_with_the_newest_first(table: &impl Table) {
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

async fn a_report_gives_the_run_its_verdict(table: &impl Table) {
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

async fn runs_do_not_see_each_other(table: &impl WorkerSide) {
    let (one, other) = (claim(table, "a").await, claim(table, "a-b").await);
    table.put_plan(&plan(&one)).await.unwrap();
    table.put_round(&one, &round(0)).await.unwrap();
    table.intend(&one, "f").await.unwrap();
    table.checkpoint(&slice(&one, 0, 0), vec![window(0)]).await.unwrap();
    table.finish(&slice(&one, 0, 0), SliceEnd { until: 1, totals: Vec::new() }).await.unwrap();
    table.vote(&slice(&one, 0, 0)).await.unwrap();
    table.request_stop(&one, &Stop::Requested).await.unwrap();
    table.end_run(&one).await.unwrap();
    assert_eq!(table.plan(&other).await.unwrap(), None);
    assert_eq!(table.rounds(&other).await.unwrap(), []);
    assert_eq!(table.ledger(&other).await.unwrap(), []);
    assert_eq!(table.windows(&other, 0, None, 10).await.unwrap(), []);
    assert_eq!(table.slice_ends(&other, None, 10).await.unwrap(), []);
    assert_eq!(table.stop(&other).await.unwrap(), None);
    assert!(!table.is_over(&other).await.unwrap());
    assert_eq!(table.vote(&slice(&other, 1, 0)).await.unwrap(), 1);
    assert_eq!(table.claim(&slice(&other, 0, 0), "token").await.unwrap(), Claim::Won);
}

// Facts of functions.

async fn a_function_becomes_active(functions: &impl Functions) {
    assert_eq!(functions.state("f").await.unwrap(), FunctionState::Missing);
    functions.create(&spec("f")).await.unwrap();
    let mut seen = vec![functions.state("f").await.unwrap()];
    while *seen.last().unwrap() == FunctionState::Pending {
        tokio::time::sleep(Duration::from_millis(1)).await;
        seen.push(functions.state("f").await.unwrap());
    }
    assert_eq!(seen.first(), Some(&FunctionState::Pending));
    assert_eq!(seen.last(), Some(&FunctionState::Active));
    functions.delete("f").await.unwrap();
    assert_eq!(functions.state("f").await.unwrap(), FunctionState::Missing);
}

async fn creating_and_deleting_may_be_repeated(functions: &impl Functions) {
    functions.delete("f").await.unwrap();
    functions.create(&spec("f")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    functions.create(&spec("f")).await.unwrap();
    assert_eq!(functions.state("f").await.unwrap(), FunctionState::Active, "a repeat makes no new one");
    functions.delete("f").await.unwrap();
    functions.delete("f").await.unwrap();
    assert_eq!(names(functions, "").await, [""; 0]);
}

async fn functions_are_listed_by_prefix(functions: &impl Functions) {
    for name in ["run-a-0", "run-b-0", "run-a-1", "other"] {
        functions.create(&spec(name)).await.unwrap();
    }
    assert_eq!(names(functions, "run-a-").await, ["run-a-0", "run-a-1"]);
    assert_eq!(names(functions, "run-c-").await, [""; 0]);
}

async fn a_name_that_is_too_long_is_refused(functions: &impl Functions) {
    functions.create(&spec(&"f".repeat(64))).await.unwrap();
    for name in ["f".repeat(65), String::new()] {
        let refused = functions.create(&spec(&name)).await.unwrap_err();
        assert_eq!(refused.name(), "DeathStar.OverLimit", "{refused}");
        assert_eq!(functions.state(&name).await.unwrap(), FunctionState::Missing);
    }
}

// Limits of the platform, which only the embedded one lets tests set.

#[tokio::test(start_paused = true)]
async fn calls_over_the_control_planes_rate_are_throttled() {
    let limits = Limits { control_plane_per_s: 2.0, ..Limits::default() };
    let functions = functions(limits);
    functions.create(&spec("a")).await.unwrap();
    functions.create(&spec("b")).await.unwrap();
    let throttled = functions.create(&spec("c")).await.unwrap_err();
    assert_eq!(throttled.name(), "DeathStar.Throttled", "{throttled}");
    let throttled = functions.delete("a").await.unwrap_err();
    assert_eq!(throttled.name(), "DeathStar.Throttled", "{throttled}");
    assert_eq!(names(&functions, "").await, ["a", "b"], "a call that was throttled did nothing");
    tokio::time::sleep(Duration::from_millis(500)).await;
    functions.create(&spec("c")).await.unwrap();
    assert!(functions.create(&spec("d")).await.is_err(), "half a second is one call");
    tokio::time::sleep(Duration::from_secs(60)).await;
    for name in ["a", "b"] {
        functions.delete(name).await.unwrap();
    }
    assert!(functions.delete("c").await.is_err(), "an idle minute saves up no more than a second's calls");
}

#[tokio::test(start_paused = true)]
async fn a_function_is_invoked_once_it_is_active() {
    let limits = Limits { pending: Duration::from_secs(3), ..Limits::default() };
    let functions = functions(limits);
    assert_eq!(invoke(&functions, "echo").await.unwrap_err().error, "Lambda.ResourceNotFoundException");
    functions.create(&spec("f")).await.unwrap();
    assert_eq!(invoke(&functions, "echo").await.unwrap_err().error, "Lambda.ResourceNotReadyException");
    tokio::time::sleep(Duration::from_millis(2999)).await;
    assert_eq!(functions.state("f").await.unwrap(), FunctionState::Pending);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(invoke(&functions, "echo").await.unwrap(), json!("echo"));
    functions.delete("f").await.unwrap();
    assert_eq!(invoke(&functions, "echo").await.unwrap_err().error, "Lambda.ResourceNotFoundException");
}

#[tokio::test]
async fn a_functions_own_error_and_its_panic_have_names() {
    let functions = active(Limits::default()).await;
    let failed = invoke(&functions, "fail").await.unwrap_err();
    assert_eq!((failed.error.as_str(), failed.cause.as_str()), ("DeathStar.Broken", "as asked"));
    let panicked = invoke(&functions, "panic").await.unwrap_err();
    assert_eq!(panicked.error, "Lambda.Unknown");
    assert!(panicked.cause.contains("as asked"), "{}", panicked.cause);
    assert_eq!(invoke(&functions, "echo").await.unwrap(), json!("echo"), "the next invocation is untouched");
    functions.idle().await;
}

#[tokio::test]
async fn invocations_over_the_concurrency_are_refused() {
    let limits = Limits { concurrency: 2, pending: Duration::ZERO, ..Limits::default() };
    let (functions, gate) = functions_with_gate(limits);
    functions.create(&spec("f")).await.unwrap();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let functions = functions.clone();
            tokio::spawn(async move { invoke(&functions, "hold").await })
        })
        .collect();
    while gate.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    let refused = invoke(&functions, "echo").await.unwrap_err();
    assert_eq!(refused.error, "Lambda.TooManyRequestsException");
    assert!(refused.cause.contains("the limit is 2"), "{}", refused.cause);
    gate.open();
    for held in held {
        held.await.unwrap().unwrap();
    }
    functions.idle().await;
    assert_eq!(invoke(&functions, "echo").await.unwrap(), json!("echo"));
}

#[tokio::test]
async fn a_panic_frees_its_place() {
    let functions = active(Limits { concurrency: 1, ..Limits::default() }).await;
    for _ in 0..3 {
        assert_eq!(invoke(&functions, "panic").await.unwrap_err().error, "Lambda.Unknown");
    }
}

#[tokio::test]
async fn every_invocation_has_a_token_of_its_own() {
    let functions = active(Limits::default()).await;
    let one = invoke(&functions, "token").await.unwrap();
    let other = invoke(&functions, "token").await.unwrap();
    assert_ne!(one, other);
}

// The table's file, which processes share.

#[test]
fn a_table_is_opened_by_many_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let opened: Vec<_> = std::thread::scope(|scope| {
        let open = || SqliteTable::open(&path).map(drop);
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for opened in opened {
        opened.unwrap();
    }
}

#[test]
fn two_handles_on_one_file_agree_on_who_won() {
    const SLICES: u32 = 100;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let first = SqliteTable::open(&path).unwrap();
    let run = block_on(claim(&first, "a"));
    let won = AtomicUsize::new(0);
    let work = |token: &'static str| {
        // A handle of its own, as another process would have.
        let table = SqliteTable::open(&path).unwrap();
        let (run, won) = (&run, &won);
        move || {
            block_on(async {
                for number in 0..SLICES {
                    let slice = slice(run, number, 0);
                    if table.claim(&slice, token).await.unwrap() == Claim::Won {
                        won.fetch_add(1, Ordering::Relaxed);
                        table.checkpoint(&slice, vec![window(0)]).await.unwrap();
                    }
                }
            });
        }
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(work("one")), scope.spawn(work("other"))];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(won.into_inner(), SLICES as usize, "each slice has one winner");
    let windows = block_on(first.windows(&run, 0, None, 1000)).unwrap();
    assert_eq!(windows.len(), SLICES as usize, "and what both wrote is there");
}

#[test]
fn a_file_of_another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    drop(SqliteTable::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = SqliteTable::open(&path).unwrap_err().to_string();
    assert!(refused.contains("version 99") && refused.contains("runs.db"), "{refused}");
}

#[tokio::test]
async fn a_table_that_is_gone_is_unavailable_and_one_that_is_damaged_is_broken() {
    let (folder, table) = sqlite();
    let run = claim(&table, "a").await;
    execute(&folder, "UPDATE runs SET plan = '{\"half\": '");
    let damaged = table.plan(&run).await.unwrap_err();
    assert_eq!(damaged.name(), "DeathStar.Broken", "{damaged}");
    execute(&folder, "DROP TABLE runs");
    let gone = table.plan(&run).await.unwrap_err();
    assert_eq!(gone.name(), "DeathStar.TableUnavailable", "{gone}");
    assert!(gone.to_string().contains("runs.db"), "{gone}");
}

// Tear-down over both ports.

#[tokio::test]
async fn tear_down_releases_all_and_may_be_repeated() {
    let (_folder, ports, run) = provisioned().await;
    for _ in 0..2 {
        tear_down(&ports, &run).await.unwrap();
        assert_eq!(names(&ports.functions, "").await, [""; 0]);
        let states = states(&ports.table, &run).await;
        assert!(states.iter().all(|(_, state)| *state == LedgerState::Deleted), "{states:?}");
        assert_eq!(states.len(), 3, "two functions and the switch");
        assert_eq!(ports.switches.list().await.unwrap(), []);
        assert!(ports.table.is_over(&run).await.unwrap());
    }
}

#[tokio::test]
async fn tear_down_deletes_what_exists_even_when_the_table_is_away() {
    for away in ["runs", "ledger"] {
        let (folder, ports, run) = provisioned().await;
        ports.functions.create(&spec("deathstar-w-another-run-0")).await.unwrap();
        execute(&folder, &format!("ALTER TABLE {away} RENAME TO away"));
        let failed = tear_down(&ports, &run).await.unwrap_err();
        assert_eq!(failed.name(), "DeathStar.TableUnavailable", "{failed}");
        assert_eq!(names(&ports.functions, "").await, ["deathstar-w-another-run-0"]);
        // Once the table is back, the ledger learns of it.
        execute(&folder, &format!("ALTER TABLE away RENAME TO {away}"));
        tear_down(&ports, &run).await.unwrap();
        let states = states(&ports.table, &run).await;
        assert!(states.iter().all(|(_, state)| *state == LedgerState::Deleted), "{states:?}");
    }
}

/// A run with two functions, both in the ledger.
async fn provisioned() -> (TempDir, EmbeddedPorts, RunId) {
    let (folder, table) = sqlite();
    let ports = EmbeddedPorts::new(table, functions(Limits::default()), place());
    let run = claim(&ports.table, "torn-down").await;
    let mut plan = plan(&run);
    plan.fleets.push(plan.fleets[0].clone());
    plan.fleets[1].function = run.function_name(1);
    ports.table.put_plan(&plan).await.unwrap();
    run_task(&ports, json!({ "task": "Provision", "run": run })).await.unwrap();
    assert_eq!(ports.functions.list("").await.unwrap().len(), 2);
    (folder, ports, run)
}

async fn tear_down(ports: &EmbeddedPorts, run: &RunId) -> Result<(), TaskError> {
    run_task(ports, json!({ "task": "TearDown", "run": run })).await.map(|_| ())
}

// Things to test with.

const SECOND: u64 = 1_000_000;

fn sqlite() -> (TempDir, SqliteTable) {
    let folder = tempfile::tempdir().unwrap();
    let table = SqliteTable::open(&folder.path().join("runs.db")).unwrap();
    (folder, table)
}

/// Changes the table's file behind the adapter's back.
fn execute(folder: &TempDir, sql: &str) {
    let path: &Path = &folder.path().join("runs.db");
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Holds invocations until it is opened.
#[derive(Default)]
struct Gate {
    /// How many have come to it, and whether it is open.
    state: Mutex<(u32, bool)>,
    opened: Condvar,
}

impl Gate {
    fn waiting(&self) -> u32 {
        self.state.lock().unwrap().0
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        drop(self.opened.wait_while(state, |(_, is_open)| !*is_open).unwrap());
    }
}

/// Functions whose code does what its payload says.
fn functions(limits: Limits) -> InProcessFunctions {
    functions_with_gate(limits).0
}

/// The same, and the gate before which `hold` waits.
fn functions_with_gate(limits: Limits) -> (InProcessFunctions, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let held_by = Arc::clone(&gate);
    let code = move |invocation: Invocation| {
        match invocation.payload.as_str() {
            Some("fail") => return Err(Failure::new("DeathStar.Broken", "as asked")),
            Some("panic") => panic!("as asked"),
            Some("token") => return Ok(json!(invocation.token)),
            Some("hold") => held_by.wait(),
            _ => {}
        }
        Ok(invocation.payload)
    };
    (InProcessFunctions::new(limits, Box::new(code)), gate)
}

/// Functions with one, `f`, that is active.
async fn active(limits: Limits) -> InProcessFunctions {
    let functions = functions(Limits { pending: Duration::ZERO, ..limits });
    functions.create(&spec("f")).await.unwrap();
    functions
}

async fn invoke(functions: &InProcessFunctions, what: &str) -> Result<serde_json::Value, Failure> {
    functions.invoke("f", json!(what)).await
}

async fn claim(table: &impl Table, name: &str) -> RunId {
    let run = run(name);
    assert!(table.claim_run(&run, name, "contract", at(0)).await.unwrap());
    run
}

async fn states(table: &impl Table, run: &RunId) -> Vec<(String, LedgerState)> {
    let ledger = table.ledger(run).await.unwrap();
    ledger.into_iter().map(|entry| (entry.name, entry.state)).collect()
}

fn run(name: &str) -> RunId {
    name.parse().unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_499_422 + second).unwrap()
}

fn slice(run: &RunId, shard: u32, slice: u32) -> SliceId {
    SliceId { run: run.clone(), round: 0, shard, slice }
}

fn window(second: u64) -> Window {
    Window { at: second * SECOND, len: SECOND, series: Vec::new(), health: Health::unknown() }
}

fn round(number: u32) -> Round {
    let from = u64::from(number) * 10 * SECOND;
    Round { number, from, until: from + 10 * SECOND, t0: at(0), slices: 1, judged: false }
}

fn config() -> Config {
    let text = "name: contract\nattacks:\n  - name: home\n    url: http://127.0.0.1:1/\n    rate: 10/s\n    duration: 10s\nslo:\n  - p99 < 1s\n";
    Config::from_text(text, |_| Err("no files".to_owned())).unwrap()
}

async fn names(functions: &impl Functions, prefix: &str) -> Vec<String> {
    functions.list(prefix).await.unwrap().into_iter().map(|listed| listed.name).collect()
}

fn spec(name: &str) -> FunctionSpec {
    FunctionSpec { name: name.to_owned(), run: run("a"), memory_mb: 128, expires_at: at(3600) }
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

fn plan(run: &RunId) -> Plan {
    Plan::new(run.clone(), config(), place(), at(0)).unwrap()
}

fn report(run: &RunId) -> Report {
    Merge::new(&plan(run), vec![round(0)]).report(None, None, 0, Phase::Over)
}
