//! Laws that hold for any input: shards cover every arrival once, merged
//! histograms equal pooled samples.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ranks of a small list")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use deathstar_statemachine::arrivals::{Arrival, Process, Spacing};
use deathstar_statemachine::histogram::Histogram;
use deathstar_statemachine::load::Load;
use deathstar_statemachine::schedule::{Schedule, Shard, micros};
use deathstar_statemachine::table::rows::{BODY_LIMIT, Document, join_document, join_window, split_window};
use deathstar_statemachine::units::Rate;
use deathstar_statemachine::window::{Outcome, Series, Tally, Timing, Window};
use proptest::prelude::*;

fn rate() -> impl Strategy<Value = Rate> {
    prop_oneof![
        (1_u32..100_000).prop_map(Rate::per_second),
        (1_u32..1_000_000)
            .prop_map(|milli| format!("{}.{:03}/m", milli / 1000, milli % 1000).parse().unwrap()),
    ]
}

fn short() -> impl Strategy<Value = Duration> {
    (1_u64..3_000_000).prop_map(Duration::from_micros)
}

fn open_load() -> impl Strategy<Value = Load> {
    prop_oneof![
        (rate(), short()).prop_map(|(rate, duration)| Load::Constant { rate, duration }),
        (rate(), rate(), short(), short()).prop_map(|(from, to, over, hold)| Load::Ramp {
            from,
            to,
            over,
            hold
        }),
        (rate(), short(), short()).prop_map(|(to, over, hold)| Load::Ramp {
            from: Rate::ZERO,
            to,
            over,
            hold
        }),
        (rate(), short()).prop_map(|(from, over)| Load::Ramp {
            from,
            to: Rate::ZERO,
            over,
            hold: Duration::ZERO
        }),
        (rate(), short(), short()).prop_map(|(rate, after, duration)| Load::Step {
            after,
            rate,
            warm_up: duration / 5,
            duration
        }),
        (prop::collection::vec(rate(), 1..6), short()).prop_map(|(rates, each)| Load::Steps { rates, each }),
        (rate(), rate(), short(), short(), short(), 1_u32..4).prop_map(
            |(base, peak, warm, spike, recover, times)| Load::Burst {
                base,
                peak,
                warm,
                spike,
                recover,
                times: NonZeroU32::new(times).unwrap(),
            }
        ),
    ]
}

/// A window of requests that each took these times, in microseconds.
fn window_of(requests: &BTreeMap<u32, Vec<u64>>) -> Window {
    let series = |(request, times): (&u32, &Vec<u64>)| {
        let mut tally = Tally::window();
        for time in times {
            let done = Duration::from_micros(*time);
            let timing = Timing { intended: Duration::ZERO, sent: Duration::ZERO, done };
            tally.scheduled += 1;
            tally.record(Outcome::Completed { status: 200 }, &timing, true);
        }
        Series { attack: 0, request: *request, tally }
    };
    Window { series: requests.iter().map(series).collect(), ..Window::empty(0, 1_000_000) }
}

proptest! {
    // Windows of so many requests that they are cut take long to make.
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// What is cut into rows comes back, and no row is over its limit.
    #[test]
    fn windows_come_back_from_their_rows(
        requests in prop::collection::btree_map(0_u32..2000, prop::collection::vec(1_u64..20_000_000, 1..8), 0..700),
    ) {
        let window = window_of(&requests);
        let rows = split_window(&window).unwrap();
        prop_assert!(rows.iter().all(|row| row.len() <= BODY_LIMIT));
        prop_assert_eq!(join_window(&rows).unwrap(), Some(window));
    }

    /// A later state of a window that was written in part: no request counts
    /// twice, and each is as it was in one of the two states.
    #[test]
    fn windows_that_were_half_rewritten_count_nothing_twice(
        requests in prop::collection::btree_map(0_u32..2000, prop::collection::vec(1_u64..20_000_000, 1..8), 1..700),
        more in prop::collection::vec((0_u32..2000, 1_u64..20_000_000), 1..400),
        written in 0_usize..8,
    ) {
        let mut grown = requests.clone();
        more.into_iter().for_each(|(request, time)| grown.entry(request).or_default().push(time));
        let (earlier, later) = (window_of(&requests), window_of(&grown));
        let mut rows = split_window(&earlier).unwrap();
        for (number, row) in split_window(&later).unwrap().into_iter().enumerate().take(written) {
            if number < rows.len() {
                rows[number] = row;
            } else {
                rows.push(row);
            }
        }
        let joined = join_window(&rows).unwrap().unwrap();
        prop_assert!(joined.series.is_sorted_by(|a, b| a.request < b.request));
        for series in &joined.series {
            prop_assert!(earlier.series.contains(series) || later.series.contains(series));
        }
        if written >= split_window(&later).unwrap().len() {
            prop_assert_eq!(joined.series, later.series);
        }
    }

    /// Documents of any text come back from their rows.
    #[test]
    fn documents_come_back_from_their_rows(text in "[a-zä€😀\"\\\\]{0,40}", times in 0_usize..40_000) {
        let text = text.repeat(times);
        let document = Document::of(&text).unwrap();
        prop_assert!(document.chunks.iter().all(|chunk| chunk.len() <= BODY_LIMIT));
        prop_assert_eq!(join_document::<String>("a text", &document.chunks).unwrap(), text);
    }
}

proptest! {
    /// Any N shards together are the same arrivals as one.
    #[test]
    fn shards_together_are_the_whole_attack(load in open_load(), workers in 1_u32..40) {
        let schedule = Schedule::of(&load).unwrap();
        let of = NonZeroU32::new(workers).unwrap();
        let mut together = Vec::new();
        for index in 0..workers {
            let shard = Shard::new(index, of).unwrap();
            let mut n = shard.first_from(0);
            let mut own = 0;
            while let Some(due) = schedule.due(n) {
                together.push((n, due));
                n += shard.stride();
                own += 1;
            }
            prop_assert_eq!(own, shard.share_of(schedule.total()));
        }
        together.sort_unstable();
        prop_assert_eq!(together.len() as u64, schedule.total());
        for (n, (number, due)) in (0..).zip(together) {
            prop_assert_eq!(number, n);
            prop_assert_eq!(Some(due), schedule.due(n));
        }
    }

    /// Whatever a worker begins with, it sends the same from there on, and counting
    /// agrees with sending.
    #[test]
    fn a_worker_may_begin_at_any_instant(
        load in open_load(), workers in 1_u32..5, at in 0_u64..6_000_000, until in 0_u64..6_000_000, poisson in any::<bool>(),
    ) {
        let spacing = if poisson { Spacing::Poisson } else { Spacing::Even };
        let shard = Shard::new(workers - 1, NonZeroU32::new(workers).unwrap()).unwrap();
        let process = Process::of(&load, spacing, shard, 3).unwrap();
        let all: Vec<Arrival> = process.since(0).collect();
        prop_assert!(all.iter().all(|arrival| arrival.due < load.duration()));
        let is_later = |arrival: &&Arrival| micros(arrival.due) >= at;
        let rest: Vec<Arrival> = all.iter().filter(is_later).copied().collect();
        prop_assert_eq!(process.since(at).collect::<Vec<_>>(), rest.clone());
        let within = rest.iter().filter(|arrival| micros(arrival.due) < until).count();
        prop_assert_eq!(process.due_within(at..until), within as u64);
    }

    /// Due times never go back, never leave the load, and agree with the count
    /// of arrivals before any instant.
    #[test]
    fn due_times_and_counts_agree(load in open_load(), at in 0_u64..6_000_000) {
        let schedule = Schedule::of(&load).unwrap();
        let mut last = Duration::ZERO;
        let mut before = 0;
        for n in 0..schedule.total() {
            let due = schedule.due(n).unwrap();
            prop_assert!(due >= last && due < load.duration(), "arrival {} at {:?}", n, due);
            last = due;
            before += u64::from(micros(due) < at);
        }
        prop_assert_eq!(schedule.due(schedule.total()), None);
        prop_assert_eq!(before, schedule.due_before(at));
    }

    /// The count is the integral of the rate, by an independent computation in
    /// floating point.
    #[test]
    fn totals_are_the_integral_of_the_rate(load in open_load()) {
        let area = match &load {
            Load::Constant { rate, duration } | Load::Step { rate, duration, .. } => {
                rate.as_per_second() * duration.as_secs_f64()
            }
            Load::Ramp { from, to, over, hold } => {
                let (from, to) = (from.as_per_second(), to.as_per_second());
                f64::midpoint(from, to) * over.as_secs_f64() + to * hold.as_secs_f64()
            }
            Load::Steps { rates, each } => rates.iter().map(|rate| rate.as_per_second() * each.as_secs_f64()).sum(),
            Load::Burst { base, peak, warm, spike, recover, times } => {
                let (base, peak) = (base.as_per_second(), peak.as_per_second());
                let once = peak * spike.as_secs_f64() + base * recover.as_secs_f64();
                base * warm.as_secs_f64() + once * f64::from(times.get())
            }
            Load::Search(_) | Load::Users { .. } => unreachable!("it has no schedule of its own"),
        };
        let total = Schedule::of(&load).unwrap().total() as f64;
        prop_assert!(total >= area - 1e-6 && total < area + 1.0 + 1e-6, "{} for {}", total, area);
    }

    /// Percentiles of merged workers are those of the pooled samples, within
    /// the histogram's bound: 0.1 % for totals, 1 % for windows.
    #[test]
    fn merged_percentiles_are_those_of_the_pooled_samples(
        workers in prop::collection::vec(prop::collection::vec(1_u64..20_000_000, 0..200), 1..8),
        windows in any::<bool>(),
    ) {
        let empty = if windows { Histogram::window } else { Histogram::total };
        let bound = if windows { 0.01 } else { 0.001 };
        let mut merged = Histogram::total();
        for samples in &workers {
            let mut own = empty();
            samples.iter().for_each(|sample| own.record(Duration::from_micros(*sample)));
            // Over the wire, as workers send them.
            let text = serde_json::to_string(&own).unwrap();
            merged.add(&serde_json::from_str(&text).unwrap());
        }
        let mut pooled: Vec<u64> = workers.concat();
        pooled.sort_unstable();
        prop_assert_eq!(merged.count(), pooled.len() as u64);
        if pooled.is_empty() {
            prop_assert_eq!(merged.quantile_ms(0.5), None);
            return Ok(());
        }
        let close = |got: f64, micros: u64| {
            let exact = micros as f64 / 1000.0;
            // A microsecond more, since values are whole microseconds.
            (got - exact).abs() <= exact * bound * 2.0 + 0.001
        };
        for q in [0.5, 0.9, 0.95, 0.99, 0.999, 0.9999] {
            let rank = ((q * pooled.len() as f64).ceil() as usize).clamp(1, pooled.len());
            let got = merged.quantile_ms(q).unwrap();
            prop_assert!(close(got, pooled[rank - 1]), "p{}: {} for {} µs", q * 100.0, got, pooled[rank - 1]);
        }
        prop_assert!(close(merged.min_ms().unwrap(), pooled[0]), "min {:?} for {}", merged.min_ms(), pooled[0]);
        prop_assert!(close(merged.max_ms().unwrap(), pooled[pooled.len() - 1]));
    }

    /// Merging does not depend on the order.
    #[test]
    fn merging_is_commutative(samples in prop::collection::vec(1_u64..5_000_000, 2..100), cut in 1_usize..100) {
        let cut = cut.min(samples.len() - 1);
        let of = |samples: &[u64]| {
            let mut histogram = Histogram::total();
            samples.iter().for_each(|sample| histogram.record(Duration::from_micros(*sample)));
            histogram
        };
        let (mut ab, mut ba) = (of(&samples[..cut]), of(&samples[cut..]));
        ab.add(&of(&samples[cut..]));
        ba.add(&of(&samples[..cut]));
        for q in [0.0, 0.25, 0.5, 0.75, 0.99, 1.0] {
            prop_assert_eq!(ab.quantile_ms(q), ba.quantile_ms(q));
        }
        prop_assert_eq!(ab.mean_ms(), ba.mean_ms());
    }
}
