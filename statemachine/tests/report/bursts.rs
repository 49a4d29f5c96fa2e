//! Bursts: their parts, and who is on trial in each.

use deathstar_statemachine::burst;
use deathstar_statemachine::report::Stop;
use deathstar_statemachine::window::{Health, Outcome};

use super::{OK, S, Table, health, plan_of, series};

/// A target that serves 500/s: a peak of 1,000/s for 5 s leaves 2,500 behind, which wait
/// for 5 s at most; at a base of 100/s they are gone after 2,500 ÷ 400 = 6.25 s.
#[test]
fn a_burst_is_told_apart_by_its_parts() {
    let load = "load: { burst: { base: 100/s, peak: 1000/s, warm: 10s, spike: 5s, recover: 20s, times: 2 } }";
    let mut table =
        Table::new(plan_of("", &format!("  - {{ name: home, url: 'http://127.0.0.1:1/', {load} }}\n"), 600));
    // The first two seconds are the target's warm-up, and slow.
    let wait_ms = |second: u64| match second {
        0..2 => 900,
        2..10 => 0,
        _ => match (second - 10) % 25 {
            since @ 0..5 => (since + 1) * 1000,
            since => (5000_u64).saturating_sub((since - 5) * 800),
        },
    };
    for second in 0..60 {
        let peak = second >= 10 && (second - 10) % 25 < 5;
        let due = if peak { 500 } else { 50 };
        for shard in 0..2 {
            let seen = vec![series(0, 0, due, &[(due, OK, 10 + wait_ms(second))])];
            table.saw(shard, second * S, S, seen, health(0, 0.1));
        }
    }
    let total = 60 * 100 + 10 * 900;
    for shard in 0..2 {
        table.ended(shard, 0, 60 * S, vec![series(0, 0, total / 2, &[(total / 2, OK, 10)])]);
    }
    let report = table.report();
    let home = &report.attacks[0];
    assert_eq!(home.all.arrivals.scheduled, 60 * 100 + 10 * 900);
    let [first, second] = &home.bursts[..] else { panic!("{:?}", home.bursts) };
    for burst in [first, second] {
        assert_eq!(
            (burst.verdict, burst.gave_way),
            (burst::Verdict::Recovered, Some(burst::GaveWay::Queued))
        );
        assert_eq!(burst.baseline_p99_ms.unwrap().round(), 10.0);
        assert!((burst.peak_p99_ms.unwrap() / 5010.0 - 1.0).abs() < 0.01, "{burst:?}");
        // The first second in which nobody waits is the eighth.
        assert_eq!((burst.recovery_s, burst.shed_ratio), (Some(7.0), Some(0.0)));
    }
    assert_eq!(home.burst.as_ref(), Some(second), "of equals the last");
    let answer = &report.answers[0];
    assert_eq!(answer.answer, "It queued the excess of the burst; it was as good as before 7.0 s after it.");
}

/// So many bursts of 1,000/s for 5 s, 500/s from each of two workers, after 10 s and every
/// 25 s; all that were sent were answered in `millis`. A worker without health left nothing.
fn burst_table(
    times: u64,
    millis: impl Fn(u64) -> u64,
    health_of: impl Fn(u32, u64) -> Option<Health>,
) -> Table {
    let load = format!(
        "load: {{ burst: {{ base: 100/s, peak: 1000/s, warm: 10s, spike: 5s, recover: 20s, times: {times} }} }}"
    );
    let mut table =
        Table::new(plan_of("", &format!("  - {{ name: home, url: 'http://127.0.0.1:1/', {load} }}\n"), 600));
    for second in 0..10 + 25 * times {
        let due = if second >= 10 && (second - 10) % 25 < 5 { 500 } else { 50 };
        for shard in 0..2 {
            let Some(health) = health_of(shard, second) else { continue };
            let unsent = health.unsent;
            let ends = [(due - unsent, OK, millis(second)), (unsent, Outcome::Dropped, 0)];
            table.saw(shard, second * S, S, vec![series(0, 0, due, &ends)], health);
        }
    }
    for shard in 0..2 {
        table.ended(shard, 0, (10 + 25 * times) * S, vec![]);
    }
    table
}

#[test]
fn a_generator_that_was_late_in_a_burst_says_nothing_of_the_target() {
    let slow = |second: u64| if second == 10 { 900 } else { 10 };
    // On time: then a second of 900 ms is the target's.
    let report = burst_table(1, slow, |_, _| Some(health(0, 0.1))).report();
    assert_eq!(
        report.answers[0].answer,
        "It queued the excess of the burst; it was as good as before 0.0 s after it."
    );
    // One second of the spike late, of one worker: 1 of 10 there, though 1 of 50 after all.
    let lag = |shard, second| Some(health(if (shard, second) == (0, 10) { 890 } else { 0 }, 0.1));
    let report = burst_table(1, slow, lag).report();
    let burst = report.attacks[0].burst.as_ref().unwrap();
    assert_eq!((burst.verdict, burst.gave_way, burst.peak_p99_ms), (burst::Verdict::NoEvidence, None, None));
    let why = "the generator was the bottleneck in the spike: requests left more than 10 ms late (p99) in 10 % of worker-seconds";
    assert_eq!(burst.reason.as_deref(), Some(why));
    assert_eq!(report.answers[0].answer, format!("Nothing can be said of the burst; {why}."));
    // Late after the spike: 4 of 40. Late before it says nothing of the burst.
    let lag = |_, second| Some(health(if second == 15 || second == 16 { 890 } else { 0 }, 0.1));
    let report = burst_table(1, slow, lag).report();
    assert!(
        report.answers[0].answer.contains("the bottleneck after the spike: requests left"),
        "{:?}",
        report.answers
    );
    let lag = |_, second| Some(health(if second < 5 { 890 } else { 0 }, 0.1));
    assert!(burst_table(1, slow, lag).report().answers[0].answer.starts_with("It queued"));
}

#[test]
fn a_burst_that_is_no_evidence_is_told_from_those_that_are() {
    // The second of two is sent late.
    let lag = |_, second| Some(health(if (35..40).contains(&second) { 50 } else { 0 }, 0.1));
    let report = burst_table(2, |_| 10, lag).report();
    let verdicts: Vec<_> = report.attacks[0].bursts.iter().map(|burst| burst.verdict).collect();
    assert_eq!(verdicts, [burst::Verdict::Recovered, burst::Verdict::NoEvidence]);
    let answer = &report.answers[0];
    assert!(answer.answer.starts_with("It served the burst like the rest"), "{}", answer.answer);
    assert_eq!(answer.evidence[1], "the worst of the 1 of 2 bursts of which something can be said");
}

#[test]
fn what_was_never_sent_did_not_wait_for_the_target() {
    // A fifth of the spike is never sent.
    let starved = |_, second| {
        let unsent = if (10..15).contains(&second) { 100 } else { 0 };
        Some(Health { unsent, ..health(0, 0.1) })
    };
    let report = burst_table(1, |_| 10, starved).report();
    let answer = &report.answers[0].answer;
    assert!(
        answer.starts_with(
            "Nothing can be said of the burst; the generator was the bottleneck in the spike: 1000 requests"
        ),
        "{answer}"
    );
}

#[test]
fn a_burst_that_was_not_seen_is_no_evidence() {
    // A worker left nothing of one second of the spike: 9 of 10 worker-seconds.
    let gap = |shard, second| ((shard, second) != (1, 12)).then(|| health(0, 0.1));
    let report = burst_table(1, |_| 10, gap).report();
    let burst = report.attacks[0].burst.as_ref().unwrap();
    assert_eq!(burst.verdict, burst::Verdict::NoEvidence);
    assert_eq!(burst.reason.as_deref(), Some("only 90.0 % of the spike was seen"));
    // Stopped 10 s after it, all of what was due was seen.
    let mut table = burst_table(1, |_| 10, |_, second| (second < 25).then(|| health(0, 0.1)));
    table.ends.iter_mut().for_each(|(_, end)| end.until = 25 * S);
    table.stop = Some(Stop::Requested);
    let report = table.report();
    assert_eq!(report.attacks[0].burst.as_ref().unwrap().verdict, burst::Verdict::Recovered);
}
