//! The run's table on DynamoDB: which rows there are, and what becomes of calls
//! that are throttled, hang, or are answered in vain.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deathstar_controller::clock::{Clock, SystemClock};
use deathstar_controller::ports::Table;
use deathstar_statemachine::message::ConfigRef;
use deathstar_statemachine::report::{Round, SliceEnd, Stop};
use deathstar_statemachine::table::rows::BUCKETS;
use deathstar_statemachine::table::{Claim, LedgerState};
use deathstar_statemachine::window::{Tally, Window};
use deathstar_worker::ports::WorkerTable;
use serde_json::{Value, json};

use crate::account::Account;
use crate::aws::{TABLE, dynamodb_in, worker_in};
use crate::clock;
use crate::contract::scale::{all_requests, long_config};
use crate::contract::table::{claim, plan, report, round, run, slice, window};
use crate::fault::Fault;

/// The largest item that there may be, in bytes, of DynamoDB's 400 KB.
const ITEM: usize = 300_000;

/// All rows, in DynamoDB's own JSON.
fn all_rows(account: &Account<'_>) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut start = Value::Null;
    loop {
        let mut scan = json!({ "TableName": TABLE });
        if !start.is_null() {
            scan["ExclusiveStartKey"] = start;
        }
        let mut page = account.ask("DynamoDB_20120810.Scan", &scan.to_string());
        rows.append(page["Items"].as_array_mut().unwrap());
        start = page["LastEvaluatedKey"].take();
        if start.is_null() {
            return rows;
        }
    }
}

/// The size of an item, in bytes, as DynamoDB counts it, and a bit more.
fn size(row: &Value) -> usize {
    let of = |value: &Value| match value.as_object().and_then(|typed| typed.iter().next()) {
        Some((kind, Value::String(text))) if kind == "B" => text.len() / 4 * 3,
        Some((_, Value::String(text))) => text.len(),
        Some((_, other)) => other.to_string().len(),
        None => 0,
    };
    row.as_object().unwrap().iter().map(|(name, value)| name.len() + of(value)).sum()
}

/// A run of which there is everything, by workers of all buckets.
async fn everything(account: &Account<'_>) {
    let table = dynamodb_in(account).await;
    let run = claim(&table, "a").await;
    let mut plan = plan(&run);
    plan.config = long_config();
    table.put_config(&version(), &plan.config).await.unwrap();
    table.put_plan(&plan).await.unwrap();
    table.put_round(&run, &round(0)).await.unwrap();
    assert!(table.intend(&run, "f").await.unwrap());
    for shard in 0..BUCKETS {
        let worker = worker_in(account, shard).await;
        let slice = slice(&run, shard, 0);
        assert_eq!(worker.plan(&run).await.unwrap(), plan, "shard {shard}");
        assert_eq!(worker.round(&run, 0).await.unwrap(), round(0), "shard {shard}");
        assert_eq!(worker.claim(&slice, "token").await.unwrap(), Claim::Won);
        assert!(!worker.control(&run).await.unwrap().stop);
        let full = Window { series: all_requests(50, 200, Tally::window), ..window(1) };
        worker.checkpoint(&slice, vec![window(0), full]).await.unwrap();
        worker.vote(&slice).await.unwrap();
        let totals = if shard == 3 { all_requests(50, 2000, Tally::total) } else { Vec::new() };
        worker.finish(&slice, SliceEnd { until: 5, totals }).await.unwrap();
    }
    let rule = Stop::Condition { rule: "errors > 20% for 10s".to_owned() };
    worker_in(account, 5).await.request_stop(&run, rule.clone()).await.unwrap();
    table.request_stop(&run, &Stop::Requested).await.unwrap();
    table.end_run(&run).await.unwrap();
    table.put_report(&run, &report(&run)).await.unwrap();
    assert_eq!(table.stop(&run).await.unwrap(), Some(rule));
    for shard in 0..BUCKETS {
        let worker = worker_in(account, shard).await;
        assert!(worker.control(&run).await.unwrap().stop, "shard {shard}");
        assert_eq!(worker.claim(&slice(&run, shard, 1), "token").await.unwrap(), Claim::RunOver);
    }
}

fn version() -> ConfigRef {
    ConfigRef { name: "contract".to_owned(), version: "1".to_owned() }
}

#[tokio::test]
async fn rows_are_where_their_readers_and_writers_may_be() {
    let account = Account::new();
    everything(&account).await;
    let mut families = BTreeMap::<String, BTreeSet<String>>::new();
    let mut kinds = BTreeMap::<String, BTreeSet<String>>::new();
    let now = SystemClock.now().as_second();
    for row in all_rows(&account) {
        let (pk, sk) = (row["pk"]["S"].as_str().unwrap(), row["sk"]["S"].as_str().unwrap());
        let family = pk.split('#').next().unwrap();
        families.entry(family.to_owned()).or_default().insert(pk.to_owned());
        kinds.entry(family.to_owned()).or_default().insert(sk.split('#').next().unwrap().to_owned());
        assert!(size(&row) < ITEM, "{pk} {sk} has {} bytes", size(&row));
        // What only a run under way needs goes by itself, after 30 days; what a
        // user asks for later stays.
        let expires: Option<i64> = row["expires"]["N"].as_str().map(|seconds| seconds.parse().unwrap());
        if ["read", "work"].contains(&family) {
            let days = (expires.unwrap() - now) / (24 * 3600);
            assert!((29..=30).contains(&days), "{pk} {sk}");
        } else {
            assert_eq!(expires, None, "{pk} {sk}");
        }
    }
    let of = |family: &str| kinds[family].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of("run"), ["ledger", "meta", "plan", "report", "round"]);
    assert_eq!(of("read"), ["control", "plan", "round"]);
    assert_eq!(of("work"), ["claim", "end", "stop", "votes", "w"]);
    let families: Vec<(&str, usize)> =
        families.iter().map(|(family, all)| (family.as_str(), all.len())).collect();
    assert_eq!(families, [("config", 1), ("read", 16), ("run", 1), ("runs", 1), ("work", 16)]);
}

#[tokio::test]
async fn workers_are_told_of_a_plan_after_the_run_has_it() {
    let account = Account::new();
    let table = dynamodb_in(&account).await;
    let run = claim(&table, "a").await;
    let rule = account.on("DynamoDB.BatchWriteItem").answer(Fault::AccessDenied);
    assert!(table.put_plan(&plan(&run)).await.is_err());
    assert_eq!(table.plan(&run).await.unwrap(), Some(plan(&run)));
    let missing = worker_in(&account, 7).await.plan(&run).await.unwrap_err();
    assert!(missing.name() == "DeathStar.Broken" && missing.to_string().contains("has no plan"), "{missing}");
    drop(rule);
    // The task is tried again.
    table.put_plan(&plan(&run)).await.unwrap();
    assert_eq!(worker_in(&account, 7).await.plan(&run).await.unwrap(), plan(&run));
}

#[tokio::test]
async fn a_round_that_workers_cannot_see_yet_is_shown_to_them_by_a_repeat() {
    let account = Account::new();
    let table = dynamodb_in(&account).await;
    let run = claim(&table, "a").await;
    let rule = account.on("DynamoDB.BatchWriteItem").answer(Fault::AccessDenied);
    assert!(table.open_round(&run, &round(0)).await.is_err());
    assert_eq!(table.rounds(&run).await.unwrap(), [round(0)]);
    assert!(worker_in(&account, 7).await.round(&run, 0).await.is_err());
    drop(rule);
    let later = Round { slices: 3, ..round(0) };
    assert_eq!(table.open_round(&run, &later).await.unwrap(), round(0));
    assert_eq!(worker_in(&account, 7).await.round(&run, 0).await.unwrap(), round(0));
    // The answer to the first write is lost, and the SDK repeats it.
    let rule = account.on("DynamoDB.PutItem").times(1).drop_answer();
    assert_eq!(table.open_round(&run, &round(1)).await.unwrap(), round(1));
    assert_eq!(rule.fired(), 1);
}

#[tokio::test]
async fn what_a_batch_leaves_unwritten_is_written_again() {
    let account = Account::new();
    let table = dynamodb_in(&account).await;
    let run = claim(&table, "a").await;
    let left = r#"{"UnprocessedItems":{"contract":[{"PutRequest":{"Item":{"pk":{"S":"work#a#00"},"sk":{"S":"left"}}}}]}}"#;
    let rule = account.on("DynamoDB.BatchWriteItem").times(3).answer(Fault::Json(left));
    let worker = worker_in(&account, 0).await;
    worker.checkpoint(&slice(&run, 0, 0), vec![window(0)]).await.unwrap();
    assert_eq!(rule.fired(), 3);
    assert!(all_rows(&account).iter().any(|row| row["sk"]["S"] == "left"));
    drop(rule);
    // For ever is too long: the windows are written with the next checkpoint.
    let rule = account.on("DynamoDB.BatchWriteItem").answer(Fault::Json(left));
    let started = clock::now();
    let throttled = worker.checkpoint(&slice(&run, 0, 0), vec![window(1)]).await.unwrap_err();
    assert_eq!(throttled.name(), "DeathStar.Throttled", "{throttled}");
    assert!(rule.fired() > 3 && started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_won() {
    let account = Account::new();
    let table = dynamodb_in(&account).await;
    let run = claim(&table, "a").await;
    let worker = worker_in(&account, 4).await;
    let rule = account.on("DynamoDB.PutItem").times(1).drop_answer();
    assert_eq!(worker.claim(&slice(&run, 4, 0), "first").await.unwrap(), Claim::Won);
    assert_eq!(rule.fired(), 1);
    assert_eq!(worker.claim(&slice(&run, 4, 0), "second").await.unwrap(), Claim::Lost);
    // The ledger's, too.
    let rule = account.on("DynamoDB.TransactWriteItems").times(1).drop_answer();
    assert!(table.intend(&run, "f").await.unwrap());
    let _rule = account.on("DynamoDB.UpdateItem").times(1).repeat();
    table.advance(&run, "f", LedgerState::Created).await.unwrap();
    assert_eq!(rule.fired(), 1);
    assert_eq!(table.ledger(&run).await.unwrap()[0].state, LedgerState::Created);
}

/// The mark is written everywhere before a claim can look for it.
#[tokio::test]
async fn nothing_is_won_once_the_end_of_a_run_is_written() {
    let account = Account::new();
    let table = dynamodb_in(&account).await;
    let run = claim(&table, "a").await;
    // The last replica is written late.
    let late = account.on("DynamoDB.UpdateItem").holding("read#a#09").delay(Duration::from_millis(500));
    let worker = worker_in(&account, 9).await;
    let early = slice(&run, 9, 0);
    let (ended, claimed) = tokio::join!(table.end_run(&run), worker.claim(&early, "token"));
    ended.unwrap();
    assert_eq!((late.fired(), claimed.unwrap()), (1, Claim::Won), "the mark was not there yet");
    assert_eq!(worker.claim(&slice(&run, 9, 1), "token").await.unwrap(), Claim::RunOver);
    assert!(worker.control(&run).await.unwrap().stop, "and who won before sees it at the next look");
}

#[tokio::test]
async fn failures_have_the_names_that_the_definition_goes_by() {
    let account = Account::new();
    let run = run("a");
    let worker = worker_in(&account, 0).await;
    let missing = worker.plan(&run).await.unwrap_err();
    assert_eq!(missing.name(), "DeathStar.TableUnavailable", "{missing}");
    assert!(
        missing.to_string().contains("there is no table contract in us-east-1: is the stack deployed there?"),
        "{missing}"
    );
    let table = dynamodb_in(&account).await;
    for (fault, name) in [
        (Fault::ThroughputExceeded, "DeathStar.Throttled"),
        (Fault::Throttled, "DeathStar.Throttled"),
        (Fault::AccessDenied, "DeathStar.Broken"),
        (Fault::Internal, "DeathStar.TableUnavailable"),
        (Fault::ExpiredToken, "DeathStar.Credentials"),
        (Fault::Other(400, "ValidationException"), "DeathStar.Broken"),
        (Fault::Other(400, "TransactionConflictException"), "DeathStar.Throttled"),
    ] {
        let _rule = account.on("DynamoDB.*").answer(fault);
        let failed = table.is_over(&run).await.unwrap_err();
        assert_eq!(failed.name(), name, "{failed}");
        let said = failed.to_string();
        let why = if fault == Fault::AccessDenied { "dynamodb:GetItem" } else { "was told to fail" };
        assert!(said.contains("contract") && said.contains(why), "{said}");
        assert!(!said.contains("service error"), "{said}");
    }
    let _rule = account.on("DynamoDB.*").drop_request();
    let failed = table.is_over(&run).await.unwrap_err();
    assert_eq!(failed.name(), "DeathStar.TableUnavailable", "{failed}");
}

/// A look at the stop flag that hangs must not hide what the next one would see.
#[tokio::test]
async fn a_look_that_hangs_is_given_up() {
    let account = Account::new();
    let table = dynamodb_in(&account).await;
    let run = claim(&table, "a").await;
    let worker = worker_in(&account, 0).await;
    assert!(!worker.control(&run).await.unwrap().stop);
    table.request_stop(&run, &Stop::Requested).await.unwrap();
    let rule = account.on("DynamoDB.BatchGetItem").delay(Duration::from_secs(20));
    let started = clock::now();
    let given_up = worker.control(&run).await.unwrap_err();
    assert_eq!(given_up.name(), "DeathStar.TableUnavailable", "{given_up}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    drop(rule);
    assert!(worker.control(&run).await.unwrap().stop);
    // One look that was throttled in part says nothing, neither that it goes on.
    let unread = r#"{"Responses":{},"UnprocessedKeys":{"contract":{"Keys":[{"pk":{"S":"read#a#00"},"sk":{"S":"control"}}]}}}"#;
    let _rule = account.on("DynamoDB.BatchGetItem").answer(Fault::Json(unread));
    assert_eq!(worker.control(&run).await.unwrap_err().name(), "DeathStar.Throttled");
}

/// Each second, a worker looks at one row, or at two where workers may vote.
#[tokio::test]
async fn a_worker_reads_little_each_second() {
    let account = Account::new();
    let table = dynamodb_in(&account).await;
    let run = claim(&table, "a").await;
    table.put_plan(&plan(&run)).await.unwrap();
    let worker = worker_in(&account, 0).await;
    worker.plan(&run).await.unwrap();
    assert!(plan(&run).config.stop_if().is_none());
    let rule = account.on("DynamoDB.BatchGetItem").holding("work#").answer(Fault::AccessDenied);
    worker.control(&run).await.unwrap();
    assert_eq!(rule.fired(), 0);
    let before = account.calls().len();
    worker.control(&run).await.unwrap();
    assert_eq!(account.calls().len() - before, 1);
}
