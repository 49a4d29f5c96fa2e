//! What a capacity search promises, on simulated targets: it ends within so
//! many steps wherever the capacity is, and it is right.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::collections::BTreeSet;
use std::time::Duration;

use deathstar_statemachine::mix::SplitMix64;
use deathstar_statemachine::search::{
    Conclusion, Decision, MAX_GROWTH, MAX_STEPS, Outcome, Purpose, Search, Step, Tried, Verdict,
};
use deathstar_statemachine::units::Rate;
use proptest::prelude::*;

/// Runs a search against a target to its end.
fn run(search: &Search, mut target: impl FnMut(&Step) -> Outcome) -> (Vec<Tried>, Conclusion) {
    let mut history = Vec::new();
    loop {
        match search.decide(&history) {
            Decision::Next(step) => {
                let outcome = target(&step);
                history.push(Tried { step, outcome });
            }
            Decision::Concluded(conclusion) => return (history, conclusion),
        }
        assert!(history.len() < 1000, "it does not end");
    }
}

fn answer(held: bool) -> Outcome {
    if held { Outcome::Held } else { Outcome::Broke { promise: "p99 < 300ms".to_owned() } }
}

/// The search whose length is promised.
fn promised() -> Search {
    Search::new(Rate::per_second(50), Rate::per_second(20_000), Duration::from_secs(30), 0.03).unwrap()
}

/// Capacities from half of `from` up to a bit above `up_to`, 0.03 % apart: a
/// hundredth of the tolerance.
fn capacities() -> impl Iterator<Item = f64> {
    std::iter::successors(Some(25.0_f64), |capacity| Some(capacity * 1.0003))
        .take_while(|capacity| *capacity < 21_000.0)
}

/// Whether a conclusion is right about a target that sustains `capacity`.
fn is_right(conclusion: &Conclusion, capacity: f64) -> bool {
    match (conclusion.verdict, conclusion.sustained) {
        (Verdict::BelowFrom, [None, Some(broke)]) => capacity < broke,
        (Verdict::AtLeastUpTo, [Some(held), None]) => held <= capacity,
        (Verdict::Sustained, [Some(held), Some(broke)]) => {
            held <= capacity && capacity < broke && broke <= held * (1.03 + 1e-9)
        }
        _ => false,
    }
}

#[test]
fn fourteen_steps_do_wherever_the_capacity_is() {
    let search = promised();
    let (mut most, mut most_without_repeats, mut all, mut searches) = (0, 0, 0, 0);
    for capacity in capacities() {
        let (history, conclusion) = run(&search, |step| answer(step.rate.as_per_second() <= capacity));
        assert!(is_right(&conclusion, capacity), "{capacity}: {conclusion:?}");
        assert_eq!(conclusion.steps, history.len());
        most = most.max(conclusion.steps);
        most_without_repeats = most_without_repeats.max(conclusion.steps - conclusion.repeats);
        (all, searches) = (all + history.len(), searches + 1);
    }
    assert_eq!((most, most_without_repeats), (14, 13));
    // Following every answer there is, rather than a grid of capacities:
    assert_eq!(search.steps_at_most(), 14);
    // And however noisy it is: 12 rates, each of three steps, and four holds of two.
    assert_eq!(search.steps_whatever_happens(), 12 * 3 + 4 * 2);
    assert!(searches > 20_000);
    let mean = f64::from(u32::try_from(all).unwrap()) / f64::from(searches);
    assert!((12.0..13.5).contains(&mean), "{mean}");
}

#[test]
fn a_failure_that_does_not_repeat_costs_one_step_and_no_truth() {
    // Wherever the capacity is, each rate in turn fails once though it would hold.
    let search = promised();
    for capacity in capacities().step_by(50) {
        let honest = |step: &Step| answer(step.rate.as_per_second() <= capacity);
        let (clean, _) = run(&search, honest);
        for flaky in clean.iter().filter(|tried| tried.outcome == Outcome::Held) {
            if flaky.step.purpose == Purpose::Confirm {
                continue;
            }
            let mut failed = false;
            let (history, conclusion) = run(&search, |step| {
                if *step == flaky.step && !failed {
                    failed = true;
                    return answer(false);
                }
                honest(step)
            });
            assert!(is_right(&conclusion, capacity), "{capacity}: {conclusion:?}");
            assert_eq!(history.len(), clean.len() + 1);
        }
    }
}

#[test]
fn even_if_every_rate_fails_at_first_it_is_right() {
    let search = promised();
    let mut most = 0;
    for capacity in capacities().step_by(10) {
        let mut failed = BTreeSet::new();
        let (history, conclusion) = run(&search, |step| {
            let fails = step.purpose != Purpose::Confirm && failed.insert(step.rate);
            answer(!fails && step.rate.as_per_second() <= capacity)
        });
        assert!(is_right(&conclusion, capacity), "{capacity}: {conclusion:?}");
        most = most.max(history.len());
    }
    // 12 rates at most, each twice, and a hold.
    assert_eq!(most, 25);
}

#[test]
fn a_target_that_tires_within_a_tolerance_costs_one_hold_more() {
    let search = promised();
    for capacity in capacities().filter(|capacity| *capacity > 60.0).step_by(10) {
        let (history, conclusion) = run(&search, |step| {
            let tired = if step.purpose == Purpose::Confirm { 0.985 } else { 1.0 };
            answer(step.rate.as_per_second() <= capacity * tired)
        });
        assert!(history.len() <= 15);
        assert!(conclusion.confirmed);
        let [Some(held), _] = conclusion.sustained else { panic!("{conclusion:?}") };
        assert!(held <= capacity * 0.985 && held > capacity * 0.985 / 1.03 / 1.03, "{capacity}: {held}");
    }
}

/// The p99 in seconds of a queue with servers that take a fixed time, under
/// random (Poisson) arrivals; the first fifth is warm-up.
fn p99_of_a_queue(random: &mut SplitMix64, servers: usize, service: f64, rate: f64, time: f64) -> f64 {
    let mut free = vec![0.0_f64; servers];
    let mut at = 0.0;
    let mut responses = Vec::new();
    while at < time {
        let uniform = ((random.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        at -= uniform.ln() / rate;
        let next = free.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
        *next = next.max(at) + service;
        if at > time / 5.0 {
            responses.push(*next - at);
        }
    }
    responses.sort_by(f64::total_cmp);
    responses[responses.len() * 99 / 100]
}

#[test]
fn a_queue_is_bracketed_with_all_its_noise() {
    // Eight servers of 5 ms and random arrivals, p99 < 20 ms. The truth is an
    // independent sweep, of runs of 10 minutes.
    let limit = 0.02;
    let p99 = |random: &mut SplitMix64, rate, time| p99_of_a_queue(random, 8, 0.005, rate, time);
    let (mut low, mut high) = (800.0, 1600.0);
    while high / low > 1.003 {
        let middle = f64::midpoint(low, high);
        let holds = p99(&mut SplitMix64(99), middle, 600.0) < limit;
        if holds { low = middle } else { high = middle }
    }
    let mut near = 0;
    for seed in 0..10 {
        let mut random = SplitMix64(seed);
        let (_, conclusion) = run(&promised(), |step| {
            let (rate, time) = (step.rate.as_per_second(), step.duration.as_secs_f64());
            answer(p99(&mut random, rate, time) < limit)
        });
        // A failure that is not borne out costs a step, and so does a hold that
        // breaks, where the truth is too near to tell.
        assert!(conclusion.steps <= 16 && conclusion.steps - conclusion.repeats <= 14, "{conclusion:?}");
        let [Some(held), Some(broke)] = conclusion.sustained else { panic!("{conclusion:?}") };
        near += u32::from(conclusion.confirmed && held > 0.95 * high && broke < 1.05 * low);
    }
    assert!(near >= 9, "{near} of 10 within 5 % of {low:.1}/s");
}

#[test]
fn the_most_steps_of_other_searches() {
    for (from, up_to, tolerance, steps) in [
        // 123.8 intervals (of 1.05) are at most 144 = N(11); and `from`, and a hold.
        (50, 20_000, 0.05, 13),
        // 78.9 ≤ 89 = N(10).
        (10, 100, 0.03, 12),
        // 1.2 ≤ 2 = N(2).
        (1000, 1010, 0.05, 4),
        // 603.1 ≤ 610 = N(14), and two more, since growth is bounded.
        (50, 20_000, 0.01, 18),
        // 468.4 ≤ 610 = N(14), and two more.
        (1, 1_000_000, 0.03, 18),
    ] {
        let search =
            Search::new(Rate::per_second(from), Rate::per_second(up_to), Duration::from_secs(30), tolerance);
        assert_eq!(search.unwrap().steps_at_most(), steps, "{from} … {up_to}, {tolerance}");
    }
}

fn search() -> impl Strategy<Value = Search> {
    // Rates in thousandths of a request per second, so slow ones are there, too.
    (1_u64..1_000_000, 1.001_f64..2000.0, 0.001_f64..0.5).prop_filter_map(
        "up_to is above from",
        |(from, factor, tolerance)| {
            let rate = |milli: u64| format!("{}.{:03}/s", milli / 1000, milli % 1000).parse().unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let up_to = ((from as f64 * factor) as u64).min(1_000_000_000);
            Search::new(rate(from), rate(up_to), Duration::from_secs(10), tolerance).ok()
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        10 => Just(answer(true)),
        10 => Just(answer(false)),
        3 => Just(Outcome::NoEvidence),
        1 => Just(Outcome::GeneratorLimited),
    ]
}

proptest! {
    /// Whatever happens, it ends in time, and asks only what it does not know.
    #[test]
    fn a_search_ends_whatever_happens(
        search in search(),
        outcomes in prop::collection::vec(outcome(), 200),
    ) {
        let mut next = outcomes.into_iter().cycle();
        let (history, conclusion) = run(&search, |_| next.next().unwrap());
        prop_assert!(history.len() <= search.steps_whatever_happens() as usize);
        prop_assert_eq!(conclusion.confirmed, conclusion.confirming_step.is_some());
        let steps = |tried: &&Tried| tried.step.purpose != Purpose::Confirm;
        let (mut held, mut broke) = (None, None);
        for pair in history.iter().filter(steps).collect::<Vec<_>>().windows(2) {
            let [before, after] = pair else { unreachable!() };
            let rate = before.step.rate;
            if after.step.purpose == Purpose::Repeat {
                prop_assert_eq!(after.step.rate, rate);
                continue;
            }
            match before.outcome {
                Outcome::Held => held = Some(rate),
                _ => broke = Some(rate),
            }
            prop_assert!(held.is_none_or(|held| after.step.rate > held));
            prop_assert!(broke.is_none_or(|broke| after.step.rate < broke));
            let grown = after.step.rate.as_per_second() / held.unwrap().as_per_second();
            prop_assert!(broke.is_some() || grown <= MAX_GROWTH * 1.006, "{}", grown);
        }
    }

    /// On a target that is always the same it is right, and as quick as it says.
    #[test]
    fn a_search_of_a_steady_target_is_right(search in search(), place in -0.1_f64..1.1) {
        let Decision::Next(first) = search.decide(&[]) else { unreachable!() };
        let from = first.rate.as_per_second();
        let capacity = from * 2000_f64.powf(place);
        let (history, conclusion) = run(&search, |step| answer(step.rate.as_per_second() <= capacity));
        prop_assert!(history.len() <= search.steps_at_most() as usize);
        match (conclusion.verdict, conclusion.sustained) {
            (Verdict::BelowFrom, [None, Some(broke)]) => prop_assert!(capacity < broke),
            (Verdict::AtLeastUpTo, [Some(held), None]) => prop_assert!(held <= capacity),
            (Verdict::Sustained, [Some(held), Some(broke)]) => {
                prop_assert!(held <= capacity && capacity < broke);
                // Or nothing lies in between.
                let near = broke <= held * (1.0 + search.tolerance() + 1e-9);
                prop_assert!(near || (broke - held) * 3_600_000.0 < 1.5);
            }
            _ => prop_assert!(false, "{:?}", conclusion),
        }
    }

    /// Whoever reads the history elsewhere goes on in the same way.
    #[test]
    fn a_search_can_be_resumed_from_its_written_history(
        search in search(),
        outcomes in prop::collection::vec(outcome(), 200),
    ) {
        let mut next = outcomes.into_iter().cycle();
        let (history, _) = run(&search, |_| next.next().unwrap());
        for steps in 0..=history.len() {
            let written = serde_json::to_string(&history[..steps]).unwrap();
            let read: Vec<Tried> = serde_json::from_str(&written).unwrap();
            let decision = search.decide(&read);
            prop_assert_eq!(&decision, &search.decide(&history[..steps]));
            if let Some(after) = history.get(steps) {
                prop_assert_eq!(decision, Decision::Next(after.step.clone()));
            }
        }
    }
}

#[test]
fn a_search_that_sees_nothing_now_and_then_gives_up_in_the_end() {
    let search =
        Search::new("1/h".parse().unwrap(), Rate::per_second(1_000_000), Duration::from_secs(10), 0.001)
            .unwrap();
    assert!(search.steps_at_most() <= 30 && search.steps_whatever_happens() == MAX_STEPS);
    // At each rate nothing is seen first, then it breaks, then it holds.
    let mut tries = std::collections::HashMap::new();
    let (history, conclusion) = run(&search, |step| {
        let seen = tries.entry(step.rate).or_insert(0);
        *seen += 1;
        match *seen {
            1 => Outcome::NoEvidence,
            2 => Outcome::Broke { promise: "p99 < 300ms".to_owned() },
            _ => Outcome::Held,
        }
    });
    assert!(history.len() <= MAX_STEPS as usize, "{}", history.len());
    assert!(conclusion.verdict != Verdict::Sustained || conclusion.confirmed);
}
