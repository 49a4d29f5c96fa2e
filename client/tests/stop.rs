//! A stop of a run of many slices, through the whole of embedded mode.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deathstar::embedded::Embedded;
use deathstar::machine;
use deathstar_controller::embedded::functions::Limits;
use deathstar_controller::embedded::table::SqliteTable;
use deathstar_controller::ports::Table;
use deathstar_statemachine::config::{Config, Request};
use deathstar_statemachine::plan::Place;
use deathstar_statemachine::report::{Stop, Verdict};
use deathstar_worker::clock;
use deathstar_worker::transport::{Call, Reply, Transport, TransportError};

/// Answers at once, and counts.
struct Target(Arc<AtomicU64>);

impl Transport for Target {
    type Prepared = ();

    fn prepare(&self, _: &Request) -> Result<(), TransportError> {
        Ok(())
    }

    async fn exchange(&self, (): &(), call: &Call) -> Reply {
        call.mark_sent(clock::monotonic(), 1);
        self.0.fetch_add(1, Ordering::Relaxed);
        Reply::Response { status: 200 }
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_slices_to_come() {
    let directory = tempfile::tempdir().unwrap();
    let table = SqliteTable::open(&directory.path().join("runs.db")).unwrap();
    let text = "name: long\nworkers: 2\nattacks:\n  - { name: a, url: 'http://127.0.0.1:1/', rate: 50/s, duration: 30s }\n";
    let config = Config::from_text(text, |_| Err(String::new())).unwrap();
    let two = NonZeroU32::new(2).unwrap();
    let place = Place { slice: Duration::from_secs(8), cores: two, ..machine::place() };
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let embedded = Embedded::with_transport(table.clone(), place, Limits::default(), move |_| {
        Target(Arc::clone(&counter))
    });
    let run = "long".parse().unwrap();
    let started = clock::monotonic();
    let stop = async {
        // In the first slice, so that the chain of the second one sleeps.
        tokio::time::sleep(Duration::from_millis(1800)).await;
        table.request_stop(&run, &Stop::Requested).await.unwrap();
        sent.load(Ordering::Relaxed)
    };
    let (ended, sent_before) = tokio::join!(embedded.run(&run, &config), stop);
    let took = clock::monotonic().duration_since(started);
    assert!(ended.unwrap().result.is_ok());
    assert!(took < Duration::from_millis(1800 + 2500), "stopped within 2 s, and reported: {took:?}");
    let report = table.report(&run).await.unwrap().unwrap();
    let arrivals = report.attacks[0].all.arrivals;
    assert_eq!(arrivals.scheduled, arrivals.completed, "{arrivals:?}");
    assert_eq!(arrivals.completed, sent.load(Ordering::Relaxed), "all that was sent is in the report");
    assert!(arrivals.completed <= sent_before + 50 * 2, "{sent_before} and {arrivals:?}");
    assert!((1.5..=3.9).contains(&report.duration_s), "{}", report.duration_s);
    assert!(report.coverage.ratio > 0.999, "{:?}", report.coverage);
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(report.reasons.len(), 1, "{:?}", report.reasons);
}
