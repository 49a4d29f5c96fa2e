//! The curve: a point for each step.

use deathstar_statemachine::report::Stop;

use super::{OK, S, Table, good, health, plan_of, series};

/// 100/s, then 200/s, for 1.5 s each; windows are cut at the step's edge.
pub(super) fn steps(until: u64) -> Table {
    let attack = "  - { name: home, url: 'http://127.0.0.1:1/', load: { steps: { rates: [100/s, 200/s], each: 1500ms } } }\n";
    let mut table = Table::new(plan_of("", attack, 600));
    for shard in 0..2 {
        let mut total = 0;
        for (at, len, count) in [(0, S, 50), (S, S / 2, 25), (S + S / 2, S / 2, 50), (2 * S, S, 100)] {
            let count = if at + len <= until { count } else { (until - at) * 100 / S };
            let slow = u64::from(at >= S + S / 2) * 40 + 10;
            table.saw(shard, at, len, vec![series(0, 0, count, &[(count, OK, slow)])], health(0, 0.1));
            total += count;
        }
        table.ended(shard, 0, until, good(total));
    }
    table
}

#[test]
fn each_step_is_a_point_of_the_curve() {
    let report = steps(3 * S).report();
    let points: Vec<(f64, f64)> =
        report.attacks[0].curve.iter().map(|point| (point.rate, point.achieved)).collect();
    assert_eq!(points, [(100.0, 100.0), (200.0, 200.0)]);
    let p99s: Vec<f64> = report.attacks[0].curve.iter().map(|point| point.p99.unwrap().floor()).collect();
    assert_eq!(p99s, [10.0, 50.0]);
}

#[test]
fn a_step_that_was_stopped_keeps_its_rate() {
    let mut table = steps(2 * S + S / 2);
    table.stop = Some(Stop::Requested);
    let report = table.report();
    let points: Vec<(f64, f64)> =
        report.attacks[0].curve.iter().map(|point| (point.rate, point.achieved)).collect();
    assert_eq!(points, [(100.0, 100.0), (200.0, 200.0)], "over the second that it lasted");
}

/// Of what is due in the second step, a sixth is answered after the load.
#[test]
fn a_step_achieves_what_is_answered_while_it_lasts() {
    let mut table = steps(3 * S);
    for (_, window) in table.windows.iter_mut().filter(|(_, window)| window.at >= S + S / 2) {
        // 50 of 200/s for half a second, and 100 for a second, are due of each worker.
        window.series[0].tally.answered = if window.at < 2 * S { 25 } else { 100 };
    }
    let report = table.report();
    let point = &report.attacks[0].curve[1];
    // 2 × 125 in 1.5 s, while 2 × 150 are completed in the end.
    assert!(
        (point.achieved - 250.0 / 1.5).abs() < 1e-9 && (point.succeeded - 200.0).abs() < 1e-9,
        "{point:?}"
    );
}
