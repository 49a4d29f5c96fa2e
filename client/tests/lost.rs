//! A worker that dies in a run of many slices, through the whole of embedded mode.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deathstar::embedded::Embedded;
use deathstar::machine;
use deathstar_controller::embedded::functions::Limits;
use deathstar_controller::embedded::table::SqliteTable;
use deathstar_controller::ports::Table;
use deathstar_statemachine::config::{Config, Request};
use deathstar_statemachine::plan::Place;
use deathstar_statemachine::report::{Report, Stop};
use deathstar_worker::clock;
use deathstar_worker::transport::{Call, Reply, Transport, TransportError};

/// Answers at once; the worker that is the first to send dies of its 21st request.
struct Target {
    sent: Cell<u32>,
    deadly: bool,
}

impl Transport for Target {
    type Prepared = ();

    fn prepare(&self, _: &Request) -> Result<(), TransportError> {
        Ok(())
    }

    async fn exchange(&self, (): &(), call: &Call) -> Reply {
        self.sent.set(self.sent.get() + 1);
        assert!(!self.deadly || self.sent.get() < 21, "as it was told");
        call.mark_sent(clock::monotonic(), 1);
        Reply::Response { status: 200 }
    }
}

/// One worker sends 20/s in five slices of so many seconds, and dies a second after its
/// start. Gives the report, the states of the run, and the slices that ended.
async fn run_and_lose(seconds: u64, stop_after: Option<Duration>) -> (Report, Vec<String>, BTreeSet<u32>) {
    let directory = tempfile::tempdir().unwrap();
    let table = SqliteTable::open(&directory.path().join("runs.db")).unwrap();
    let text = format!(
        "name: long\nworkers: 1\nattacks:\n  - {{ name: a, url: 'http://127.0.0.1:1/', rate: 20/s, duration: {}s }}\n",
        5 * seconds
    );
    let config = Config::from_text(&text, |_| Err(String::new())).unwrap();
    let place = Place {
        slice: Duration::from_secs(seconds),
        checkpoint: Duration::from_secs(1),
        cores: NonZeroU32::MIN,
        ..machine::place()
    };
    let first = Arc::new(AtomicBool::new(true));
    let embedded = Embedded::with_transport(table.clone(), place, Limits::default(), move |_| Target {
        sent: Cell::new(0),
        deadly: first.swap(false, Ordering::Relaxed),
    });
    let run = "long".parse().unwrap();
    let stop = async {
        if let Some(after) = stop_after {
            tokio::time::sleep(after).await;
            table.request_stop(&run, &Stop::Requested).await.unwrap();
        }
    };
    let (ended, ()) = tokio::join!(embedded.run(&run, &config), stop);
    let ended = ended.unwrap();
    assert!(ended.result.is_ok(), "{:?}", ended.result);
    let names = ended.trace.iter().filter_map(|state| state.rsplit('/').next());
    let slices = table.slice_ends(&run, None, 100).await.unwrap().into_iter().map(|(slice, _)| slice.slice);
    let report = table.report(&run).await.unwrap().unwrap();
    (report, names.map(ToOwned::to_owned).collect(), slices.collect())
}

#[tokio::test]
async fn a_worker_that_dies_loses_no_slice_but_its_own() {
    let (report, states, slices) = run_and_lose(2, None).await;
    assert_eq!(slices, BTreeSet::from([1, 2, 3, 4]));
    let entered = |name: &str| states.iter().filter(|state| *state == name).count();
    assert_eq!((entered("EvenLost"), entered("EvenFire"), entered("OddFire")), (1, 3, 2), "{states:?}");
    let arrivals = report.attacks[0].all.arrivals;
    assert_eq!(arrivals.scheduled, 200, "{arrivals:?}");
    // It died a second after its start, at least one checkpoint before its slice's end.
    assert!((20..=40).contains(&arrivals.lost), "{arrivals:?}");
    assert_eq!(arrivals.completed, 200 - arrivals.lost, "{arrivals:?}");
    assert!((0.8..0.95).contains(&report.coverage.ratio), "{:?}", report.coverage);
}

#[tokio::test]
async fn a_stop_is_seen_although_nobody_of_the_shard_is_alive() {
    let started = clock::monotonic();
    let (report, states, slices) = run_and_lose(60, Some(Duration::from_millis(1500))).await;
    // The look after 5 s, and 4 s for others to obey.
    let took = clock::monotonic().duration_since(started);
    assert!(took < Duration::from_secs(20), "{took:?}");
    let entered = |name: &str| states.iter().any(|state| state == name);
    assert!(entered("EvenStopped") && entered("OddFirst") && !entered("OddFire"), "{states:?}");
    assert_eq!((slices, report.stopped), (BTreeSet::new(), Some(Stop::Requested)));
}
