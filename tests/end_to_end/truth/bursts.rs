//! Bursts on targets of which it is known what they do with them.
//!
//! As good as before is within 10 % of what was: of a slow service that is milliseconds,
//! which is more than a busy machine adds.

use super::scenario::{Enough, attack, number, repeat};

fn burst(knobs: &str, load: &str) -> serde_json::Value {
    let report = attack(knobs, None, &[0], |target| {
        format!(
            "name: burst\nattacks:\n  - name: open\n    url: http://{}/\n    load: {{ burst: {{ {load} }} }}\n",
            target.address
        )
    });
    report["burst"].clone()
}

fn words(burst: &serde_json::Value) -> String {
    format!(
        "{}, {}, {:.1} % shed, back after {} s",
        burst["verdict"].as_str().unwrap_or("–"),
        burst["gave_way"].as_str().unwrap_or("–"),
        number(&burst["shed_ratio"]).unwrap_or(f64::NAN) * 100.0,
        number(&burst["recovery_s"]).map_or("–".to_owned(), |s| format!("{s:.1}"))
    )
}

#[test]
fn a_bounded_queue_sheds() {
    // 40/s of 120 are served for 4 s, and 10 may wait: (80 × 4 − 10) ÷ 480 = 64.6 % are
    // refused. At 20/s of 40, what waits is gone in half a second, so the second after that
    // one is as good as before at the latest.
    repeat("a burst on a bounded queue", Enough::NineInTen, || {
        let burst = burst(
            "--servers 4 --service 100ms --queue 10",
            "base: 20/s, peak: 120/s, warm: 10s, spike: 4s, recover: 10s",
        );
        let shed = number(&burst["shed_ratio"]).unwrap_or(0.0);
        let back = number(&burst["recovery_s"]).unwrap_or(f64::INFINITY);
        let right = burst["verdict"] == "recovered"
            && burst["gave_way"] == "shed"
            && (shed - 0.646).abs() < 0.02
            && back <= 1.0;
        if right { Ok(words(&burst)) } else { Err(words(&burst)) }
    });
}

#[test]
fn an_unbounded_queue_lets_wait() {
    // 100/s of 200 are served for 8 s: 800 wait, and 50/s of 100 drain them in 16 s.
    repeat("a burst on an unbounded queue", Enough::NineInTen, || {
        let burst = burst(
            "--servers 4 --service 40ms",
            "base: 50/s, peak: 200/s, warm: 10s, spike: 8s, recover: 25s",
        );
        let back = number(&burst["recovery_s"]).unwrap_or(0.0);
        let right =
            burst["verdict"] == "recovered" && burst["gave_way"] == "queued" && (back - 16.0).abs() <= 1.6;
        if right { Ok(words(&burst)) } else { Err(words(&burst)) }
    });
}

#[test]
fn a_queue_that_drains_slowly_is_not_stuck() {
    // 100/s of 200 are served for 8 s: 800 wait, and 10/s of 100 would drain them in 80 s.
    repeat("a burst that takes long to drain", Enough::NineInTen, || {
        let burst = burst(
            "--servers 2 --service 20ms",
            "base: 90/s, peak: 200/s, warm: 10s, spike: 8s, recover: 20s",
        );
        if burst["verdict"] == "recovering" { Ok(words(&burst)) } else { Err(words(&burst)) }
    });
}

#[test]
fn a_retry_storm_never_ends() {
    // 60/s of 100. Whoever waits for more than 200 ms tries twice more, so once they do,
    // up to 180/s want to be served, for ever.
    repeat("a burst on a metastable target", Enough::NineInTen, || {
        let burst = burst(
            "--servers 1 --service 10ms --patience 200ms --retries 2",
            "base: 60/s, peak: 300/s, warm: 10s, spike: 5s, recover: 25s",
        );
        if burst["verdict"] == "never_recovered" { Ok(words(&burst)) } else { Err(words(&burst)) }
    });
}
