//! A run's memory is flat. `cargo dev memory` is the long form of this.

use std::time::Duration;

use crate::bench::{Home, constant, stderr, target, until};

#[test]
fn memory_is_flat_once_a_run_has_settled() {
    const LIMIT_KIB: u64 = 8 << 10;
    let (home, target) = (Home::new(), target(Duration::from_millis(1)));
    let mut run = home.start("memory", &constant(&target, 400, 20));
    let status = format!("/proc/{}/status", run.id());
    let rss_kib = || -> Option<u64> {
        let status = std::fs::read_to_string(&status).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
    };
    until("five seconds of load are over", || target.counts().received >= 5 * 400);
    let settled = rss_kib().unwrap();
    let mut most = settled;
    until("the run has ended", || {
        most = most.max(rss_kib().unwrap_or(0));
        run.has_ended()
    });
    let output = run.end();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(most - settled < LIMIT_KIB, "{settled} KiB grew to {most} KiB");
}
