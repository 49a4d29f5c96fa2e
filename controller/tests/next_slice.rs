//! What comes after a slice that has lost its worker, and when both chains of its
//! shard must end.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod common;

use std::sync::atomic::Ordering;

use common::{Bench, run};
use deathstar_controller::ports::Table;
use serde_json::{Value, json};
use tempfile::TempDir;

async fn four_slices() -> (TempDir, Bench) {
    let text = "name: a\nattacks: [{ name: a, url: 'http://127.0.0.1:1/', rate: 1/s, duration: 40m }]";
    let (folder, bench) = Bench::of(text).await;
    let round = bench.task(json!({ "task": "NextRound", "run": "a-run" })).await.unwrap();
    assert_eq!((&round["slices"], &round["odd_at"]), (&json!(4), &json!("1970-01-01T00:10:00Z")));
    (folder, bench)
}

/// Asked at a second, says what comes after a slice, and when it was said.
async fn after(bench: &Bench, slice: u32, asked_s: i64) -> (Value, i64) {
    let lost = json!({ "task": "NextSlice", "run": "a-run", "round": 0, "shard": 0, "slice": slice });
    bench.task_at(asked_s, lost).await
}

#[tokio::test]
async fn the_chain_goes_on_when_the_others_next_worker_is_there() {
    let (_folder, bench) = four_slices().await;
    let next = |next: u32, at: &str| json!({ "next": next, "more": true, "wake_at": at, "stopped": false });
    let third = next(2, "1970-01-01T00:20:00Z");
    assert_eq!(after(&bench, 0, 250).await, (third.clone(), 600));
    // Its worker died when that one was there already: waiting for its last answers.
    assert_eq!(after(&bench, 0, 610).await, (third, 610));
    assert_eq!(after(&bench, 1, 700).await, (next(3, "1970-01-01T00:30:00Z"), 1200));
    // There is none after it, and the last slice is still to come.
    let none =
        |slice: u32, at: &str| json!({ "next": slice, "more": false, "wake_at": at, "stopped": false });
    assert_eq!(after(&bench, 2, 1300).await, (none(4, "1970-01-01T00:20:00Z"), 1800));
    assert_eq!(after(&bench, 3, 1900).await, (none(5, "1970-01-01T00:30:00Z"), 1900));
}

#[tokio::test]
async fn a_stop_is_seen_in_the_place_of_the_worker_that_died() {
    let (_folder, mut bench) = four_slices().await;
    bench.clock.table = Some(bench.ports.table.clone());
    bench.clock.stops_at.store(300_000, Ordering::Relaxed);
    let (answer, said_s) = after(&bench, 0, 101).await;
    assert_eq!((&answer["stopped"], &answer["more"]), (&json!(true), &json!(false)));
    // At the next look, and when whoever else is at work has obeyed.
    assert!((304..=310).contains(&said_s), "{said_s}");
    // Nobody sleeps whom the last slice could wake.
    let (answer, said_s) = after(&bench, 3, 1900).await;
    assert_eq!((&answer["more"], said_s), (&json!(false), 1900));
}

#[tokio::test]
async fn nothing_comes_after_the_end_of_a_run() {
    let (_folder, bench) = four_slices().await;
    let (_, said_s) = after(&bench, 0, 8000).await;
    assert_eq!(said_s, 8000);
    let (answer, _) = after(&bench, 0, 8000).await;
    assert_eq!(answer["stopped"], true, "its deadline has passed");
    bench.ports.table.end_run(&run()).await.unwrap();
    let (answer, said_s) = after(&bench, 0, 100).await;
    assert_eq!((&answer["stopped"], &answer["more"], said_s), (&json!(true), &json!(false), 100));
    let unknown = json!({ "task": "NextSlice", "run": "a-run", "round": 1, "shard": 0, "slice": 0 });
    assert_eq!(bench.task(unknown).await.unwrap_err().name(), "DeathStar.Broken");
    let gone = json!({ "task": "NextSlice", "run": "gone", "round": 0, "shard": 0, "slice": 0 });
    assert_eq!(bench.task(gone).await.unwrap_err().name(), "DeathStar.Broken");
}
