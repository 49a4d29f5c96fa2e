//! What a run costs on AWS, estimated from its plan.
//!
//! On one's own machine a run costs nothing. On AWS it is, for N workers of M
//! gigabytes (of 1,024 MB) whose load of L seconds is cut into K slices:
//!
//! ```text
//! compute       N × M × (L + K × (lead + spread ÷ 2)) GB-seconds: each slice's worker
//!               is there a lead before its slice, while the one before is still at
//!               work; and very many write what they saw in turns when it is over
//! invocations   N × K
//! transitions   17 + 2F + N × (3 + 3K + …): every state that is entered, of the run
//!               with its F functions and of one child for each worker
//! writes        N × (windows, each written about 1 + 1 s ÷ checkpoint times); of very
//!               many workers what the plan's pace counts on
//! reads         N × L: the stop flag, each second
//! ```
//!
//! Left out, since nobody knows it before: what is in flight when a slice ends
//! (at most its timeout), retries, transfer out of the region (to the internet
//! about $0.09 a GB), logs; and, since it is little, the controller's own time.
//! Left out, too, is what an account may have free each month.
//!
//! Prices are those of us-east-1 in November 2026; other regions cost up to a
//! third more. They are from
//! <https://aws.amazon.com/lambda/pricing/>,
//! <https://aws.amazon.com/step-functions/pricing/> and
//! <https://aws.amazon.com/dynamodb/pricing/on-demand/>.

use crate::config::Attack;
use crate::load::Load;
use crate::plan::{Plan, Span};
use crate::schedule::Schedule;

/// Lambda, a GB-second on x86-64.
const GB_SECOND_X86_64: f64 = 0.000_016_666_7;
/// Lambda, a GB-second on arm64.
const GB_SECOND_ARM64: f64 = 0.000_013_333_4;
/// Lambda, an invocation.
const INVOCATION: f64 = 0.20 / 1e6;
/// Step Functions, a state transition of a standard workflow.
const TRANSITION: f64 = 0.025 / 1e3;
/// DynamoDB on demand, a write request unit: 1 KB or part of it.
const WRITE: f64 = 0.625 / 1e6;
/// DynamoDB on demand, a read request unit: two rows of up to 4 KB, when a row
/// may be a moment old.
const READ: f64 = 0.125 / 1e6;

/// Write units of a window of one second without its request names,
const OF_A_WINDOW: f64 = 1.0;
/// and of each request name in it, which is mostly histograms; a test measures
/// both.
const OF_A_SERIES: f64 = 0.5;
/// Write units of a slice beside its windows: its claim,
const OF_A_CLAIM: f64 = 1.0;
/// and the totals of each request name at its end.
const OF_A_TOTAL: f64 = 1.0;

/// What a worker's processor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Intel's and AMD's.
    X86_64,
    /// Graviton.
    Arm64,
}

/// What a run costs on AWS, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Lambda's time.
    pub compute: f64,
    /// Lambda's invocations.
    pub invocations: f64,
    /// Step Functions' transitions.
    pub transitions: f64,
    /// DynamoDB's writes and reads.
    pub table: f64,
}

impl Estimate {
    /// What a plan costs on AWS, with workers of this architecture.
    #[must_use]
    pub fn of(plan: &Plan, architecture: Architecture) -> Self {
        let workers = f64::from(plan.workers.get());
        let load_s = plan.load_end() as f64 / 1e6;
        // Of a search, as if no round was cut, and no more than that.
        let slices = plan.slices(0, plan.load_end()).max(plan.rounds());
        let gb = f64::from(plan.config.memory_mb()) / 1024.0;
        let gb_second = match architecture {
            Architecture::X86_64 => GB_SECOND_X86_64,
            Architecture::Arm64 => GB_SECOND_ARM64,
        };
        let waits = plan.place.lead.as_secs_f64() + plan.pace.spread.as_secs_f64() / 2.0;
        let seconds = load_s + f64::from(slices) * waits;
        let names: usize = plan.config.attacks().iter().map(|attack| attack.requests.len()).sum();
        let of_slice = OF_A_CLAIM + OF_A_TOTAL * names as f64;
        // A window that is not over when it is written is written again.
        let again = 1.0 + 1.0 / plan.place.checkpoint.as_secs_f64().max(1.0);
        let by_the_second = window_units(plan, load_s) * again + f64::from(slices) * of_slice;
        let paced = plan.pace.kb_per_s as f64 * load_s / workers + f64::from(slices) * OF_A_CLAIM;
        let writes = if plan.pace.window.as_secs() > 1 { paced } else { by_the_second };
        Self {
            compute: workers * gb * seconds * gb_second,
            invocations: workers * f64::from(slices) * INVOCATION,
            transitions: transitions(plan.fleets.len(), plan.workers.get(), slices.div_ceil(plan.rounds()))
                as f64
                * f64::from(plan.rounds())
                * TRANSITION,
            table: workers * (writes * WRITE + seconds * READ),
        }
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.compute + self.invocations + self.transitions + self.table
    }
}

impl Plan {
    /// What the run will cost, in US dollars: nothing on one's own machine. On AWS
    /// as if its workers were of the dearer architecture.
    #[must_use]
    pub fn cost_usd(&self) -> f64 {
        if self.place.mode == "aws" { Estimate::of(self, Architecture::X86_64).total() } else { 0.0 }
    }
}

/// Write units of one worker's windows, one of each second, each written once.
fn window_units(plan: &Plan, load_s: f64) -> f64 {
    let of_names: f64 = plan
        .config
        .attacks()
        .iter()
        .zip(plan.spans())
        .map(|(attack, span)| series(attack, span, plan.workers.get()))
        .sum();
    load_s * OF_A_WINDOW + of_names * OF_A_SERIES
}

/// How many windows of one worker hold a request name of an attack, each name
/// counted by itself.
fn series(attack: &Attack, span: Span, workers: u32) -> f64 {
    let names_and_seconds = attack.requests.len() as f64 * (span.end - span.start) as f64 / 1e6;
    match (&attack.load, Schedule::of(&attack.load)) {
        // No more than it has arrivals.
        (load, Some(schedule)) if !matches!(load, Load::Users { .. }) => {
            names_and_seconds.min(schedule.total() as f64 / f64::from(workers))
        }
        _ => names_and_seconds,
    }
}

/// The transitions of a run in which all goes well at once, in one round: every
/// state that is entered, and the start of each execution.
#[must_use]
pub fn transitions(functions: usize, workers: u32, slices: u32) -> u64 {
    let (functions, workers, slices) = (functions as u64, u64::from(workers), u64::from(slices));
    // Start, Plan to Attack, Judge to Attacked, TearDown to Over; Shards and Fired.
    let of_run = 1 + 16 + 2 * functions;
    // Start, Slices, EvenStart, EvenOver, OddNeeded, OddOver, Sent; and each chain
    // fires, looks for more, and waits before each but its first.
    let (even, odd) = (slices.div_ceil(2), slices / 2);
    let of_even = 3 * even - 1;
    // The odd one has OddStart, and waits before its first, too.
    let of_odd = if odd == 0 { 0 } else { 1 + 3 * odd };
    of_run + workers * (7 + of_even + of_odd)
}

/// An amount as people read it: cents, and as many more digits as tell small
/// amounts apart, up to a hundredth of a cent.
#[must_use]
pub fn display_usd(usd: f64) -> String {
    let text = format!("{usd:.4}");
    let cents = text.len() - 2;
    let kept = text.trim_end_matches('0').len().max(cents);
    text[..kept].to_owned()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::config::Config;
    use crate::plan::Place;
    use crate::table::rows;
    use crate::window::{Health, Outcome, Series, Tally, Timing, Window};

    fn plan(workers: &str, load: &str, lead_s: u64, mode: &str) -> Plan {
        let text = format!(
            "name: a\nworkers: {workers}\nattacks: [{{ name: a, url: 'http://127.0.0.1:1/', {load} }}]"
        );
        let config = Config::from_text(&text, |_| Err(String::new())).unwrap();
        let many = NonZeroU32::new(100_000).unwrap();
        let place = Place {
            mode: mode.into(),
            cores: many,
            rate_per_worker: many,
            sockets: many,
            workers_share_process: false,
            workers_per_function: NonZeroU32::new(1000).unwrap(),
            lead: Duration::from_secs(lead_s),
            checkpoint: Duration::from_secs(5),
            slice: Duration::from_secs(600),
            invocation: Duration::from_secs(900),
            setup: Duration::from_secs(60),
            grace: Duration::from_secs(60),
        };
        Plan::new("a".parse().unwrap(), config, place, "2026-01-01T00:00:00Z".parse().unwrap()).unwrap()
    }

    #[track_caller]
    fn is(usd: f64, expected: f64) {
        assert!((usd - expected).abs() < 1e-6, "{usd}, not {expected}");
    }

    #[test]
    fn a_run_of_one_slice_is_what_a_hand_computes() {
        // 100 workers × 2 GB × 300 s = 60,000 GB-s.
        let plan = plan("{ count: 100, memory: 2GB }", "rate: 1000/s, duration: 5m", 0, "aws");
        let estimate = Estimate::of(&plan, Architecture::X86_64);
        is(estimate.compute, 1.000_002);
        is(Estimate::of(&plan, Architecture::Arm64).compute, 0.800_004);
        is(estimate.invocations, 100.0 * 0.000_000_2);
        // 19 of the run, 9 of each worker's.
        is(estimate.transitions, 919.0 * 0.000_025);
        // A worker: 300 windows of one name, a fifth of them twice, a claim and an
        // end; 300 looks.
        is(estimate.table, 100.0 * ((450.0 * 1.2 + 2.0) * 0.000_000_625 + 300.0 * 0.000_000_125));
        is(plan.cost_usd(), 1.000_002 + 0.000_02 + 0.022_975 + 0.037_625);
    }

    #[test]
    fn slices_and_their_leads_are_paid_for() {
        // An hour is 6 slices; the lead of each is 8 s in which two workers are there.
        let plan = plan("{ count: 10, memory: 1GB }", "rate: 10/s, duration: 1h", 8, "aws");
        let estimate = Estimate::of(&plan, Architecture::X86_64);
        is(estimate.compute, 10.0 * (3600.0 + 48.0) * 0.000_016_666_7);
        is(estimate.invocations, 60.0 * 0.000_000_2);
    }

    #[test]
    fn very_many_workers_write_what_their_pace_says() {
        let plan = plan("{ count: 5000, memory: 1GB }", "rate: 500000/s, duration: 10m", 8, "aws");
        assert!(plan.pace.window.as_secs() > 1 && !plan.pace.spread.is_zero(), "{:?}", plan.pace);
        let estimate = Estimate::of(&plan, Architecture::X86_64);
        let waits = 8.0 + plan.pace.spread.as_secs_f64() / 2.0;
        is(estimate.compute, 5000.0 * (600.0 + waits) * 0.000_016_666_7);
        let writes = plan.pace.kb_per_s as f64 * 600.0 + 5000.0;
        let reads = 5000.0 * (600.0 + waits);
        is(estimate.table, writes * 0.000_000_625 + reads * 0.000_000_125);
    }

    #[test]
    fn what_is_seldom_sent_is_seldom_written() {
        let units = |load: &str| {
            let plan = plan("100", load, 0, "aws");
            window_units(&plan, plan.load_end() as f64 / 1e6)
        };
        // One arrival a second over 100 workers: each writes 1 series in 100 s, and
        // one window of each second all the same.
        is(units("rate: 1/s, duration: 1000s"), 1005.0);
        is(units("rate: 1000/s, duration: 1000s"), 1500.0);
        is(units("load: { users: { count: 100, for: 1000s } }"), 1500.0);
    }

    #[test]
    fn ones_own_machine_costs_nothing() {
        let plan = plan("2", "rate: 1000/s, duration: 5m", 0, "embedded");
        is(plan.cost_usd(), 0.0);
    }

    #[test]
    fn amounts_read_like_amounts() {
        for (usd, text) in [
            (0.0, "0.00"),
            (5.0, "5.00"),
            (1.026_7, "1.0267"),
            (0.5, "0.50"),
            (0.000_04, "0.00"),
            (0.123, "0.123"),
            (1_234.567_89, "1234.5679"),
        ] {
            assert_eq!(display_usd(usd), text);
        }
    }

    /// So many answers, spread evenly over so long.
    fn tally(mut tally: Tally, count: u64, spread_ms: u64) -> Tally {
        tally.scheduled = count;
        for n in 0..count {
            let done = Duration::from_micros(5000 + n * spread_ms * 1000 / count);
            let sent = Duration::from_micros(40 + n % 30);
            let timing = Timing { intended: Duration::ZERO, sent, done };
            tally.record(Outcome::Completed { status: 200 }, &timing, true);
        }
        tally
    }

    #[test]
    fn windows_and_totals_take_about_the_units_that_are_counted() {
        for (names, count, spread_ms) in [(1, 20, 20), (1, 2000, 500), (5, 200, 100), (30, 200, 300)] {
            let mut health = Health::unknown();
            for n in 0..count {
                health.pacing_lag.record(Duration::from_micros(30 + n % 40));
                health.send_lag.record(Duration::from_micros(40 + n % 30));
            }
            // No two names see the same, so that nothing is pressed that would not be.
            let of = |request: u32| {
                let more = u64::from(request);
                let tally = tally(Tally::window(), count + 13 * more, spread_ms + 17 * more);
                Series { attack: 0, request, tally }
            };
            let window = Window {
                series: (0..names).map(of).collect(),
                health,
                ..Window::empty(3_000_000, 1_000_000)
            };
            // A row's keys are some 100 bytes; DynamoDB counts whole KB.
            let units = |row: &Vec<u8>| (row.len() + 100).div_ceil(1024);
            let written: usize = rows::split_window(&window).unwrap().iter().map(units).sum();
            let (written, counted) = (written as f64, OF_A_WINDOW + OF_A_SERIES * f64::from(names));
            assert!(
                written <= counted && written >= counted / 3.0,
                "{names} names: {written} units, and {counted} are counted"
            );
        }
        let total = rows::json(&tally(Tally::total(), 100_000, 300)).unwrap().len() as f64 / 1024.0;
        assert!(total < OF_A_TOTAL && total > OF_A_TOTAL / 3.0, "{total} KB");
    }
}
