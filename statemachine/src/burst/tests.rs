//! Verdicts on servers whose truth is computed by hand.

use proptest::prelude::*;

use super::*;
use crate::mix::SplitMix64;

/// A server that does 1,000 a second, under 400/s for 20 s, 2,000/s for 10 s
/// and 400/s for 60 s. Requests that find more than `room` before them are
/// refused; those that would wait for longer than `patience` seconds time out,
/// and are served nevertheless.
fn server(room: f64, patience: f64) -> Vec<Moment> {
    let mut backlog: f64 = 0.0;
    let second = |second: u32| {
        let phase = match second {
            0..20 => Phase::Base,
            20..30 => Phase::Spike,
            _ => Phase::Recover,
        };
        let due = if phase == Phase::Spike { 2000.0 } else { 400.0 };
        // What comes beyond the capacity waits, as far as there is room.
        let excess = backlog + due - 1000.0;
        let refused = (excess - room).max(0.0);
        backlog = excess.clamp(0.0, room);
        let wait = backlog / 1000.0;
        let gone = if wait > patience { due - refused } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
        let count = |number: f64| number as u64;
        Moment {
            at_s: f64::from(second),
            phase,
            scheduled: count(due),
            completed: count(due - refused - gone),
            errors: count(refused + gone),
            waited: count(gone),
            p99: Some(5.0 + wait.min(patience) * 1000.0),
        }
    };
    (0..90).map(second).collect()
}

#[test]
fn an_unbounded_queue_is_queued_and_drains() {
    let burst = judge(&server(f64::INFINITY, f64::INFINITY));
    assert_eq!((burst.verdict, burst.gave_way), (Verdict::Recovered, Some(GaveWay::Queued)));
    // 10 s of 1,000/s too many are 10,000, and 600/s drain: 16.7 s.
    assert_eq!(burst.peak_p99_ms, Some(10_005.0));
    assert_eq!(burst.recovery_s, Some(16.0));
    assert_eq!((burst.first_error_s, burst.shed_ratio), (None, Some(0.0)));
    assert_eq!(burst.baseline_p99_ms, Some(5.0));
}

#[test]
fn a_bounded_queue_sheds() {
    let burst = judge(&server(1500.0, f64::INFINITY));
    assert_eq!((burst.verdict, burst.gave_way), (Verdict::Recovered, Some(GaveWay::Shed)));
    // 1,000 wait after the first second, 500 more fit in the next; 8,500 of
    // 20,000 are refused, and 1,500 drain within 2.5 s.
    assert_eq!(burst.first_error_s, Some(1.0));
    assert_eq!(burst.shed_ratio, Some(0.425));
    assert_eq!(burst.peak_p99_ms, Some(1505.0));
    assert_eq!(burst.recovery_s, Some(2.0));
}

#[test]
fn those_who_time_out_were_queued() {
    let burst = judge(&server(f64::INFINITY, 5.0));
    assert_eq!((burst.verdict, burst.gave_way), (Verdict::Recovered, Some(GaveWay::Queued)));
    // More than 5 s of backlog from the sixth second on.
    assert_eq!(burst.first_error_s, Some(5.0));
    assert_eq!((burst.shed_ratio, burst.peak_p99_ms), (Some(0.0), Some(5005.0)));
}

#[test]
fn a_burst_within_the_capacity_is_none() {
    let mut moments = server(f64::INFINITY, f64::INFINITY);
    moments.iter_mut().for_each(|moment| moment.p99 = Some(5.0));
    let burst = judge(&moments);
    assert_eq!((burst.verdict, burst.gave_way), (Verdict::Recovered, Some(GaveWay::Nothing)));
    assert_eq!(burst.recovery_s, Some(0.0));
}

#[test]
fn a_target_that_stays_bad_has_never_recovered() {
    // Retries keep it busy: half of all fail, and it takes seconds.
    let mut moments = server(f64::INFINITY, f64::INFINITY);
    for moment in moments.iter_mut().filter(|moment| moment.at_s >= 25.0) {
        let wobble = if moment.at_s % 3.0 == 0.0 { 400.0 } else { 0.0 };
        moment.p99 = Some(4000.0 + wobble);
        (moment.errors, moment.waited) = (moment.scheduled / 2, 0);
        moment.completed = moment.scheduled - moment.errors;
    }
    let burst = judge(&moments);
    assert_eq!(burst.verdict, Verdict::NeverRecovered);
    assert_eq!((burst.recovered, burst.recovery_s), (false, None));
    // Answers that are quick again are none when half of them are errors.
    moments.iter_mut().for_each(|moment| moment.p99 = Some(5.0));
    assert_eq!(judge(&moments).verdict, Verdict::NeverRecovered);
    // Nor does it get better where nothing at all is answered as it should be.
    for moment in moments.iter_mut().filter(|moment| moment.at_s >= 25.0) {
        (moment.p99, moment.errors, moment.completed) = (None, moment.scheduled, 0);
    }
    assert_eq!(judge(&moments).verdict, Verdict::NeverRecovered);
}

#[test]
fn a_backlog_that_still_drains_is_not_called_stuck() {
    let moments = server(f64::INFINITY, f64::INFINITY);
    // 12 of the 16.7 s that it takes.
    let burst = judge(&moments[..42]);
    assert_eq!((burst.verdict, burst.recovered), (Verdict::Recovering, false));
}

/// The server above, with so many seconds after the spike, of which each has the p99
/// and the share of errors that are given for it.
fn recovering(seconds: u32, after: impl Fn(f64) -> (Option<f64>, f64)) -> Vec<Moment> {
    let mut moments = server(f64::INFINITY, f64::INFINITY);
    moments.truncate(30 + seconds as usize);
    for moment in moments.iter_mut().filter(|moment| moment.phase == Phase::Recover) {
        let (p99, errors) = after(moment.at_s - 30.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 400")]
        let errors = (errors * 400.0) as u64;
        (moment.p99, moment.errors, moment.completed) = (p99, errors, 400 - errors);
    }
    moments
}

#[test]
fn a_backlog_that_drains_slowly_is_not_called_stuck() {
    // From 8.0 s to 6.1 s in 20 s: it takes a minute more.
    let slow = |second: f64| 8000.0 - 100.0 * second;
    let verdict = |moments: &[Moment]| judge(moments).verdict;
    assert_eq!(verdict(&recovering(20, |at| (Some(slow(at)), 0.0))), Verdict::Recovering);
    // Each second a little off, up and down.
    let wobble = |second: f64| if second % 2.0 == 0.0 { 1.01 } else { 0.99 };
    assert_eq!(verdict(&recovering(20, |at| (Some(slow(at) * wobble(at)), 0.0))), Verdict::Recovering);
    // A backlog that grew for 20 s, until there were more instances.
    let late = |at: f64| if at < 20.0 { 8000.0 + 100.0 * at } else { 10_000.0 - 200.0 * (at - 20.0) };
    assert_eq!(verdict(&recovering(40, |at| (Some(late(at)), 0.0))), Verdict::Recovering);
    // Errors that become fewer, from 60 % by 1 % a second, of what is quick otherwise.
    assert_eq!(verdict(&recovering(30, |at| (Some(5.0), 0.6 - 0.01 * at))), Verdict::Recovering);
    assert_eq!(verdict(&recovering(30, |at| (Some(5.0), 0.3 + 0.01 * at))), Verdict::NeverRecovered);
}

#[test]
fn a_backlog_that_grows_has_never_recovered() {
    let verdict = |moments: &[Moment]| judge(moments).verdict;
    assert_eq!(verdict(&recovering(20, |at| (Some(6000.0 + 100.0 * at), 0.0))), Verdict::NeverRecovered);
    // Those who are left are quicker, since more and more fail: 10 to 48 %.
    assert_eq!(
        verdict(&recovering(20, |at| (Some(8000.0 - 100.0 * at), 0.1 + 0.02 * at))),
        Verdict::NeverRecovered
    );
    // In the end nobody is answered at all.
    let dies = |at: f64| if at < 14.0 { (Some(8000.0 - 300.0 * at), 1.0) } else { (None, 1.0) };
    assert_eq!(verdict(&recovering(20, dies)), Verdict::NeverRecovered);
}

#[test]
fn what_falls_by_next_to_nothing_is_stuck() {
    // By 1 ms a second: it would take 2 h to be as good as before.
    assert_eq!(judge(&recovering(20, |at| (Some(8000.0 - at), 0.0))).verdict, Verdict::NeverRecovered);
}

#[test]
fn a_queue_that_fell_to_what_callers_bear_is_stuck() {
    // The backlog of the spike drains within 8 s; then callers give up after 4 s, and
    // come again.
    let mut random = SplitMix64(11);
    let storm: Vec<f64> = (0..30)
        .map(|at| (8000.0 - 500.0 * f64::from(at)).max(4000.0) * (0.98 + random.below(41) as f64 / 1000.0))
        .collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 30")]
    let moments = recovering(30, |at| (Some(storm[at as usize]), 0.5));
    assert_eq!(judge(&moments).verdict, Verdict::NeverRecovered);
}

/// How many of 500 retry storms are not called stuck: about 4 s, and half of all fail,
/// each second by up to a fifth more or less. So much of a second's noise stays for
/// the next.
fn rescued(seconds: u32, stays: f64) -> u32 {
    let mut random = SplitMix64(5);
    let mut next = |noise: &mut f64| {
        *noise = *noise * stays + random.below(401) as f64 / 1000.0 - 0.2;
        1.0 + *noise
    };
    let mut storm = || {
        let (mut times, mut errors) = (0.0, 0.0);
        let mut moments = recovering(seconds, |_| (None, 0.5));
        for moment in moments.iter_mut().filter(|moment| moment.phase == Phase::Recover) {
            moment.p99 = Some(4000.0 * next(&mut times));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 400")]
            let failed = (200.0 * next(&mut errors)) as u64;
            (moment.errors, moment.completed) = (failed, 400 - failed);
        }
        u32::from(judge(&moments).verdict != Verdict::NeverRecovered)
    };
    (0..500).map(|_| storm()).sum()
}

#[test]
fn noise_rescues_no_retry_storm() {
    for seconds in [5, 10, 25, 60] {
        // 1 % of either line by chance; a few more where noise lasts.
        let (short, lasting) = (rescued(seconds, 0.0), rescued(seconds, 0.5));
        assert!(short <= 10 && lasting <= 40, "{seconds} s: {short} and {lasting} of 500");
    }
}

#[test]
fn a_bad_second_of_the_baseline_excuses_nothing() {
    // 30 % fail in one second before the burst, and 25 % in all from the burst on.
    let mut moments = server(f64::INFINITY, f64::INFINITY);
    for moment in &mut moments {
        moment.p99 = Some(5.0);
        let refused = if moment.phase == Phase::Base { 0 } else { moment.scheduled / 4 };
        (moment.errors, moment.completed) = (refused, moment.scheduled - refused);
    }
    (moments[7].errors, moments[7].completed) = (120, 280);
    let burst = judge(&moments);
    assert_eq!((burst.verdict, burst.first_error_s), (Verdict::NeverRecovered, Some(0.0)));
    // 25 % of the burst, less 120 of the baseline's 8,000.
    assert_eq!(burst.shed_ratio, Some(0.25 - 0.015));
    // Nor two in eight seconds.
    (moments[15].errors, moments[15].completed) = (120, 280);
    (moments[16].errors, moments[16].completed) = (120, 280);
    assert_eq!(judge(&moments[12..]).verdict, Verdict::NeverRecovered);
}

#[test]
fn a_target_that_always_fails_a_little_is_as_good_as_before() {
    // Four of 400 fail in each second, a few more or fewer; in the spike, no more.
    let mut moments = server(f64::INFINITY, f64::INFINITY);
    let usual = [4, 2, 6, 3, 5, 4, 7, 1, 4, 4];
    for (moment, failed) in moments.iter_mut().zip(usual.into_iter().cycle()) {
        moment.p99 = Some(5.0);
        (moment.errors, moment.completed) = (failed, moment.scheduled - failed);
    }
    let burst = judge(&moments);
    assert_eq!((burst.verdict, burst.recovery_s), (Verdict::Recovered, Some(0.0)));
    assert_eq!((burst.first_error_s, burst.shed_ratio), (None, Some(0.0)));
    // Three standard deviations of 4 in 400 are 6: eleven are more than is usual.
    (moments[25].errors, moments[40].errors) = (55, 11);
    assert_eq!(judge(&moments).first_error_s, Some(5.0));
    moments[25].errors = 4;
    assert_eq!(judge(&moments).first_error_s, Some(20.0));
}

#[test]
fn a_good_second_is_no_recovery() {
    let mut moments = server(f64::INFINITY, f64::INFINITY);
    for moment in moments.iter_mut().filter(|moment| moment.at_s >= 30.0) {
        moment.p99 = Some(4000.0);
    }
    // Four good seconds at the very end, and one now and then.
    for at in [33, 47, 61, 86, 87, 88, 89] {
        moments[at].p99 = Some(5.0);
    }
    assert_eq!(judge(&moments).verdict, Verdict::NeverRecovered);
    // And one bad second is no relapse, nor a good one the end of the drain.
    let mut moments = server(f64::INFINITY, f64::INFINITY);
    moments[70].p99 = Some(50.0);
    moments[35].p99 = Some(5.0);
    moments[40].p99 = Some(5.0);
    assert_eq!(judge(&moments).recovery_s, Some(16.0));
    // But a relapse is one.
    for moment in moments.iter_mut().filter(|moment| moment.at_s >= 60.0) {
        moment.p99 = Some(4000.0);
    }
    assert_eq!(judge(&moments).verdict, Verdict::NeverRecovered);
}

#[test]
fn a_noisy_baseline_is_not_held_to_its_median() {
    let mut moments = server(f64::INFINITY, f64::INFINITY);
    for moment in &mut moments {
        // Every tenth second is twice as slow, and one in a hundred fails.
        if moment.at_s % 10.0 == 0.0 {
            moment.p99 = moment.p99.map(|p99| p99 + 5.0);
            moment.errors += moment.scheduled / 100;
        }
    }
    let burst = judge(&moments);
    assert_eq!(burst.verdict, Verdict::Recovered);
    assert_eq!((burst.recovery_s, burst.first_error_s), (Some(16.0), None));
}

#[test]
fn noise_hides_no_recovery() {
    // The p99 of each second is anything from 0.7 to 1.3 times what it should be.
    let mut random = SplitMix64(7);
    let (mut missed, mut late) = (0, 0);
    for _ in 0..500 {
        let mut moments = server(f64::INFINITY, f64::INFINITY);
        for moment in &mut moments {
            let noise = 0.7 + random.below(601) as f64 / 1000.0;
            moment.p99 = moment.p99.map(|p99| p99 * noise);
        }
        match judge(&moments).recovery_s {
            Some(time) => {
                assert!(time >= 16.0, "{time}");
                late += usize::from(time > 19.0);
            }
            None => missed += 1,
        }
    }
    assert!(missed <= 5 && late <= 5, "{missed} of 500 are missed, and {late} more than 3 s late");
}

#[test]
fn too_little_is_no_evidence() {
    let moments = server(f64::INFINITY, f64::INFINITY);
    let burst = judge(&moments[16..]);
    assert_eq!((burst.verdict, burst.gave_way), (Verdict::NoEvidence, None));
    assert_eq!(
        burst.reason.as_deref(),
        Some("4 seconds of baseline, 10 of spike and 60 after it are too few; it takes 5, 1 and 5")
    );
    assert_eq!(judge(&moments[..34]).verdict, Verdict::NoEvidence);
    assert_eq!(judge(&moments[..20]).verdict, Verdict::NoEvidence);
    assert_eq!(judge(&[]).verdict, Verdict::NoEvidence);
}

#[test]
fn its_json_has_the_names_of_the_report() {
    let burst = judge(&server(1500.0, f64::INFINITY));
    let json = serde_json::to_value(&burst).unwrap();
    assert_eq!(json["verdict"], "recovered");
    assert_eq!(json["gave_way"], "shed");
    for name in ["first_error_s", "peak_p99_ms", "shed_ratio", "recovery_s"] {
        assert!(json[name].is_f64(), "{name}");
    }
    assert_eq!(json["recovered"], true);
    assert_eq!(serde_json::from_value::<Burst>(json).unwrap(), burst);
}

/// 600/s drain what waits, down to the half of a request, 10 % of 5 ms, with which a
/// second is as good as before. The second in which that happens is the recovery: it
/// begins before, and not more than a second.
fn drains_in_time(waits: f64, recovery_s: f64) -> Result<(), TestCaseError> {
    let drained = (waits - 0.5) / 600.0;
    // Floats are not exact where both meet.
    prop_assert!((drained - 1.0 - 1e-9..drained + 1e-9).contains(&recovery_s), "{recovery_s} for {drained}");
    Ok(())
}

#[test]
fn half_a_request_is_no_delay() {
    // 16 s drain 9,600: with 0.1 request left the sixteenth is as good as before, with
    // 0.6 it is not, and with half it is.
    for (room, expected) in [(9_600.098_723_527_031, 15.0), (9600.6, 16.0), (1200.5, 1.0), (600.0, 0.0)] {
        let burst = judge(&server(room, f64::INFINITY));
        assert_eq!(burst.recovery_s, Some(expected), "{room}");
        drains_in_time(room, expected).unwrap();
    }
}

proptest! {
    /// The time to recover is that of the drain, whatever is queued.
    #[test]
    fn recovery_is_the_time_to_drain(room in 100.0_f64..20_000.0) {
        let burst = judge(&server(room, f64::INFINITY));
        prop_assert!(burst.recovered);
        drains_in_time(room.min(10_000.0), burst.recovery_s.unwrap())?;
    }

    /// Whatever was seen, ratios are ratios and a recovery is within the load.
    #[test]
    fn what_it_says_is_possible(
        seconds in prop::collection::vec((0_u64..1000, 0_u64..1000, prop::option::of(0.0_f64..1e5)), 0..60),
        spike in 0_usize..60,
        after in 0_usize..60,
    ) {
        let moment = |(index, (good, bad, p99)): (usize, &(u64, u64, Option<f64>))| Moment {
            at_s: index as f64,
            phase: match index {
                _ if index < spike => Phase::Base,
                _ if index < spike + after => Phase::Spike,
                _ => Phase::Recover,
            },
            scheduled: good + bad,
            completed: *good,
            errors: *bad,
            waited: bad / 3,
            p99: *p99,
        };
        let moments: Vec<Moment> = seconds.iter().enumerate().map(moment).collect();
        let burst = judge(&moments);
        prop_assert_eq!(burst.recovered, burst.verdict == Verdict::Recovered);
        prop_assert_eq!(burst.recovered, burst.recovery_s.is_some());
        prop_assert!(burst.shed_ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
        prop_assert!(burst.recovery_s.is_none_or(|time| (0.0..60.0).contains(&time)));
        prop_assert!(burst.first_error_s.is_none_or(|time| time >= 0.0));
    }
}
