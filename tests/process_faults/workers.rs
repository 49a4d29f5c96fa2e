//! Workers that die, functions that come late, and invocations too many: the
//! whole of a run in this process, with adapters that really fail.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use deathstar::embedded::{Embedded, Ended};
use deathstar::machine;
use deathstar::target::ThreadTarget;
use deathstar_controller::embedded::functions::Limits;
use deathstar_controller::embedded::table::SqliteTable;
use deathstar_controller::ports::{Functions, Table};
use deathstar_statemachine::config::{Config, Request};
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::report::{Report, Verdict};
use deathstar_statemachine::table::LedgerState;
use deathstar_worker::transport::rich::{Rich, RichRequest};
use deathstar_worker::transport::{Call, Reply, Transport, TransportError};
use serde_json::{Value, json};

use crate::bench::{Arrivals, Home, PATIENCE, constant, target};

/// Which request of a worker panics, by the order in which workers start.
type FailsAt = fn(worker: u32) -> Option<u64>;

/// Rich, but for a request at which it panics.
#[derive(Debug)]
struct Faulty {
    rich: Rich,
    fails_at: Option<u64>,
    exchanges: AtomicU64,
    sent: Arc<AtomicU64>,
}

impl Transport for Faulty {
    type Prepared = RichRequest;

    fn prepare(&self, request: &Request) -> Result<RichRequest, TransportError> {
        self.rich.prepare(request)
    }

    async fn exchange(&self, request: &RichRequest, call: &Call) -> Reply {
        let number = self.exchanges.fetch_add(1, Ordering::Relaxed);
        assert!(self.fails_at != Some(number), "this worker dies at its request {number}, as it was told");
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.rich.exchange(request, call).await
    }
}

/// A run in this process.
struct Bench {
    home: Home,
    embedded: Embedded,
    run: RunId,
    sent: Arc<AtomicU64>,
}

impl Bench {
    fn new(limits: Limits, fails_at: FailsAt) -> Self {
        let home = Home::new();
        let table = SqliteTable::open(&home.path().join("runs.db")).unwrap();
        let (workers, sent) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&sent);
        let embedded = Embedded::with_transport(table, machine::place(), limits, move |_| {
            let worker = workers.fetch_add(1, Ordering::Relaxed);
            Faulty {
                rich: Rich::new(),
                fails_at: fails_at(worker),
                exchanges: AtomicU64::new(0),
                sent: Arc::clone(&count),
            }
        });
        Self { home, embedded, run: "in-process".parse().unwrap(), sent }
    }

    /// Runs a config to its end, and asserts what holds for every run.
    async fn run(&self, config: &str) -> (Ended, Report) {
        let config = Config::from_text(config, |_| Err("no files".to_owned())).unwrap();
        let ended = in_time(self.embedded.run(&self.run, &config)).await.unwrap();
        let report = self.embedded.table().report(&self.run).await.unwrap().unwrap();
        Arrivals::of(&serde_json::to_value(&report).unwrap());
        let ledger = self.embedded.table().ledger(&self.run).await.unwrap();
        assert!(!ledger.is_empty() && ledger.iter().all(|entry| entry.state == LedgerState::Deleted));
        assert_eq!(self.embedded.functions().list("").await.unwrap(), []);
        assert_eq!(report.leaks, 0);
        (ended, report)
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("the run hangs")
}

fn fast() -> ThreadTarget {
    target(Duration::from_millis(1))
}

#[tokio::test]
async fn a_worker_that_dies_is_lost_coverage_and_no_conclusion() {
    let (target, bench) = (fast(), Bench::new(Limits::default(), |worker| (worker == 0).then_some(150)));
    let (ended, report) = bench.run(&constant(&target, 200, 4)).await;
    assert!(ended.result.is_ok(), "a lost worker is no failure of the machinery: {:?}", ended.result);
    assert_eq!(report.verdict, Verdict::Inconclusive, "{:?}", report.reasons);
    assert_eq!((report.coverage.workers, report.coverage.workers_lost), (2, 1));
    // One worker saw all of its 4 s; the other died within its second one.
    assert!(report.coverage.ratio >= 0.5 && report.coverage.ratio < 0.99, "{:?}", report.coverage);
    assert!(report.reasons.join("\n").contains("1 of 2 workers lost"), "{:?}", report.reasons);
    let arrivals = report.attacks[0].all.arrivals;
    assert_eq!(arrivals.scheduled, 800);
    assert!(arrivals.completed >= 400 && arrivals.lost >= 100, "{arrivals:?}");
    assert!(arrivals.completed <= target.stop().received);
}

#[tokio::test]
async fn when_all_workers_die_the_report_still_comes() {
    let (target, bench) = (fast(), Bench::new(Limits::default(), |_| Some(0)));
    let (ended, report) = bench.run(&constant(&target, 50, 2)).await;
    assert!(ended.result.is_ok(), "{:?}", ended.result);
    assert_eq!(report.verdict, Verdict::Inconclusive, "{:?}", report.reasons);
    assert_eq!(report.coverage.workers_lost, 2);
    assert!(report.coverage.ratio < 0.01, "{:?}", report.coverage);
    let arrivals = report.attacks[0].all.arrivals;
    assert_eq!((arrivals.scheduled, arrivals.lost), (100, 100), "{arrivals:?}");
    assert_eq!(target.stop().received, 0);
}

#[tokio::test]
async fn a_slow_control_plane_delays_a_run_and_changes_nothing_else() {
    // A call every two seconds, and functions that are pending for one.
    let limits = Limits { control_plane_per_s: 0.5, pending: Duration::from_secs(1), ..Limits::default() };
    let (target, bench) = (fast(), Bench::new(limits, |_| None));
    let (ended, report) = bench.run(&constant(&target, 100, 1)).await;
    assert!(ended.result.is_ok(), "{:?}", ended.result);
    assert_eq!(report.verdict, Verdict::Passed, "{:?}", report.reasons);
    assert_eq!(report.attacks[0].all.arrivals.completed, 100);
    assert_eq!(target.stop().received, 100);
}

#[tokio::test]
async fn a_worker_that_finds_no_place_comes_late_and_drops_what_was_due() {
    let limits = Limits { concurrency: 2, others: 1, ..Limits::default() };
    let (target, bench) = (fast(), Bench::new(limits, |_| None));
    let (ended, report) = bench.run(&constant(&target, 100, 4)).await;
    assert!(ended.result.is_ok(), "{:?}", ended.result);
    let arrivals = report.attacks[0].all.arrivals;
    // The second worker finds a place once the first has ended, after 4 s: it
    // may still send what was due in the last one of them, and no more.
    assert_eq!((arrivals.scheduled, arrivals.completed + arrivals.dropped), (400, 400), "{arrivals:?}");
    assert!(arrivals.dropped >= 150, "what was due is not made up for: {arrivals:?}");
    assert_eq!(target.stop().received, arrivals.completed);
    // Half of the load was never sent, by our own fault: no promise of the
    // target's was broken, and none was kept.
    assert_eq!(report.verdict, Verdict::Inconclusive, "{:?}", report.reasons);
}

#[tokio::test]
async fn an_invocation_too_many_sends_nothing_and_waits_for_the_first() {
    let (target, bench) = (fast(), Bench::new(Limits::default(), |_| None));
    let config = constant(&target, 100, 3);
    let again = async {
        // As soon as both workers have their claims.
        while bench.home.query::<i64>("SELECT count(*) FROM claims").unwrap_or(0) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let slice = json!({ "run": bench.run, "round": 0, "shard": 0, "slice": 0 });
        let answer = bench.embedded.functions().invoke(&bench.run.function_name(0), slice).await;
        let ends: Option<i64> = bench.home.query("SELECT count(*) FROM ends WHERE shard = 0");
        (answer, ends)
    };
    let ((ended, report), (answer, ends)) = tokio::join!(bench.run(&config), again);
    assert!(ended.result.is_ok(), "{:?}", ended.result);
    let answer: Value = answer.unwrap();
    assert_eq!((&answer["more"], &answer["next"]), (&json!(false), &json!(2)));
    assert_eq!(ends, Some(1), "it came back after the first had ended");
    assert_eq!(report.verdict, Verdict::Passed, "{:?}", report.reasons);
    assert_eq!(report.attacks[0].all.arrivals.scheduled, 300);
    assert_eq!(bench.sent.load(Ordering::Relaxed), 300, "nothing was sent twice");
    assert_eq!(target.stop().received, 300);
}
