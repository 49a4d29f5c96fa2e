//! How long a target is left alone between two steps of a search.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{Bench, run};
use deathstar_controller::ports::Table;
use deathstar_statemachine::search::{MAX_REST, Outcome};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A search in steps of 10 s, whose first one begins at 8 s and was found to be so.
async fn after_a_step(outcome: Outcome, busy: Duration) -> (TempDir, Bench) {
    let text = "name: a\nslo: [p99 < 1s, errors < 1%]\nattacks: [{ name: a, url: 'http://127.0.0.1:1/', load: { search: { from: 10/s, up_to: 99/s, step: 10s } } }]";
    let (folder, bench) = Bench::of(text).await;
    bench.task(json!({ "task": "NextRound", "run": "a-run" })).await.unwrap();
    let mut first = bench.ports.table.rounds(&run()).await.unwrap().remove(0);
    assert_eq!(first.t0.to_string(), "1970-01-01T00:00:08Z");
    (first.judged, first.outcome, first.busy) = (true, Some(outcome), busy);
    bench.ports.table.put_round(&run(), &first).await.unwrap();
    (folder, bench)
}

/// Asked at a second for the next round: when the answer came, and when its load begins.
async fn next(bench: &Bench, asked_s: i64) -> (i64, i64) {
    let (answer, said_s) = bench.task_at(asked_s, json!({ "task": "NextRound", "run": "a-run" })).await;
    assert_eq!((&answer["round"], &answer["done"]), (&json!(1), &json!(false)));
    let second = bench.ports.table.rounds(&run()).await.unwrap().remove(1);
    (said_s, second.t0.as_second())
}

fn broke() -> Outcome {
    Outcome::Broke { promise: "p99 < 1s".to_owned() }
}

#[tokio::test]
async fn a_target_that_is_busy_yet_is_left_alone() {
    // Busy until 8 s + 40 s. The load begins a lead after that.
    let (_folder, bench) = after_a_step(broke(), Duration::from_secs(40)).await;
    assert_eq!(next(&bench, 20).await, (48, 56));
    // Longer than anyone waits.
    let (_folder, bench) = after_a_step(broke(), Duration::from_secs(9999)).await;
    let waited = i64::try_from(MAX_REST.as_secs()).unwrap();
    assert_eq!(next(&bench, 20).await, (20 + waited, 28 + waited));
}

#[tokio::test]
async fn one_that_is_not_rests_for_a_warm_up_if_it_broke() {
    let (_folder, bench) = after_a_step(broke(), Duration::from_secs(5)).await;
    assert_eq!(next(&bench, 20).await, (22, 30));
    let (_folder, bench) = after_a_step(Outcome::Held, Duration::ZERO).await;
    assert_eq!(next(&bench, 20).await, (20, 28));
}

#[tokio::test]
async fn a_stop_ends_the_rest() {
    let (_folder, mut bench) = after_a_step(broke(), Duration::from_secs(100)).await;
    bench.clock.table = Some(bench.ports.table.clone());
    bench.clock.stops_at.store(30_000, Ordering::Relaxed);
    let (answer, said_s) = bench.task_at(20, json!({ "task": "NextRound", "run": "a-run" })).await;
    assert_eq!((&answer["done"], said_s), (&Value::Bool(true), 30));
}
