//! A target that stalls: what the numbers must show, computed by hand from the
//! schedule.
//!
//! The target serves in 1 ms and stands still for 500 ms every 5 s. In 20 s at
//! 200/s, 4,000 requests are due, one every 5 ms, and 4 × 100 of them during a
//! stall: these wait 500, 495, 490 … 5 ms. Nothing else waits.

mod bursts;
mod capacity;
mod nginx;
mod resources;
mod scenario;

use std::time::Duration;

use deathstar::target::{TargetArgs, TargetConfig, ThreadTarget, spawn_on_thread};

use crate::clock;
use crate::command::Home;

const SERVICE_MS: f64 = 1.0;
const STALLS: usize = 4;
const IN_A_STALL: usize = 100;
const DUE: usize = 4000;

/// The target, a second after it began to listen: so all four stalls of the next
/// twenty seconds are whole ones, at 5, 10, 15 and 20 s of its clock.
fn stalling_target() -> ThreadTarget {
    let args = TargetArgs {
        service: Duration::from_millis(1),
        stall: Some(Duration::from_millis(500)),
        every: Some(Duration::from_secs(5)),
        ..TargetArgs::default()
    };
    let target = spawn_on_thread(TargetConfig::try_from(args).unwrap()).unwrap();
    let listening = clock::now();
    clock::wait_for("the target's first second", || {
        (listening.elapsed() > Duration::from_secs(1)).then_some(())
    });
    target
}

/// All response times by hand, in order. Where in its 5 ms the first arrival of
/// a stall falls is not known; the middle is at most 2.5 ms off.
fn by_hand() -> Vec<f64> {
    let waits = (0..IN_A_STALL).map(|n| 500.0 - 2.5 - 5.0 * n as f64 + SERVICE_MS);
    let mut times: Vec<f64> = waits.flat_map(|wait| [wait; STALLS]).collect();
    times.resize(DUE, SERVICE_MS);
    times.sort_by(f64::total_cmp);
    times
}

/// The nearest-rank percentile.
fn percentile(times: &[f64], tenths_of_a_percent: usize) -> f64 {
    times[(times.len() * tenths_of_a_percent).div_ceil(1000) - 1]
}

#[test]
fn a_stall_shows_in_the_response_time_as_computed_by_hand() {
    let home = Home::new();
    let mut target = None;
    let output = home.run_alone(|| {
        let address = target.insert(stalling_target()).address();
        format!(
            "name: stall\nattacks:\n  - name: open\n    url: http://{address}/\n    rate: 200/s\n    duration: 20s\n"
        )
    });
    let report = output.exits(0).report();
    assert_eq!(report.arrivals().completed, 4000);
    assert_eq!(target.map(|target| target.stop().received), Some(4000));
    let times = by_hand();
    for (name, tenths) in [("p95", 950), ("p99", 990), ("p999", 999), ("max", 1000)] {
        let (expected, got) = (percentile(&times, tenths), report.time("response_time_ms", name));
        assert!((got - expected).abs() <= expected * 0.05, "{name} is {got} ms, by hand {expected} ms");
    }
    assert!(report.time("response_time_ms", "p99") >= 350.0);
    assert!(report.time("response_time_ms", "p50") < 100.0, "nine in ten did not wait");
}

#[test]
fn the_closed_model_alone_would_hide_the_stall() {
    let home = Home::new();
    let target = stalling_target();
    // Two users who think for 9 ms ask as often as 200/s; but a stall holds
    // both back, and only 2 × 4 requests see one.
    let config = format!(
        "name: hidden\nattacks:\n  - name: closed\n    url: http://{}/\n    load: {{ users: {{ count: 2, for: 20s }} }}\n    think: 9ms\n",
        target.address()
    );
    let output = home.run(&config);
    let report = output.exits(0).report();
    let scheduled = report.arrivals().scheduled;
    assert!(scheduled < 4000, "a closed model sends less to a slow target: {scheduled}");
    assert!(report.time("service_time_ms", "max") >= 350.0, "some requests did see a stall");
    let p99 = report.time("service_time_ms", "p99");
    assert!(p99 < 250.0, "the closed model's p99 hides it: {p99} ms");
}
