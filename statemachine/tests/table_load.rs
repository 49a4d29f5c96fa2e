//! What 10,000 workers ask of the run's table on DynamoDB, second by second,
//! from the sizes of real rows and the times of real plans.
//!
//! A partition takes 1,000 writes of a kilobyte and 3,000 reads of four in a
//! second, a read that may be a moment old counting half; see
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>.
//! A table that was just made takes 4,000 and 12,000 over all of its
//! partitions; more it must be warmed for, and the plan must have said so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use deathstar_statemachine::config::Config;
use deathstar_statemachine::ids::{RunId, SliceId};
use deathstar_statemachine::mix::SplitMix64;
use deathstar_statemachine::plan::{Place, Plan};
use deathstar_statemachine::report::{Round, SliceEnd, Stop};
use deathstar_statemachine::table::rows::{self, BUCKETS, Document};
use deathstar_statemachine::window::{ErrorClass, Health, Outcome, Series, Tally, Timing, Window};

/// Writes of a kilobyte that a partition takes in a second.
const PARTITION_WRITES: f64 = 1000.0;
/// Reads of four kilobytes that a partition takes in a second.
const PARTITION_READS: f64 = 3000.0;
/// The same of a table that was just made.
const NEW_TABLE_WRITES: f64 = 4000.0;
const NEW_TABLE_READS: f64 = 12_000.0;
/// The largest item there may be, in bytes; DynamoDB's own limit is 400 KB.
const ITEM: usize = 300_000;
/// Over how long workers come up. Lambda brings up 1,000 of a function in ten
/// seconds; half of that is harsher.
const COMING_UP: Duration = Duration::from_secs(5);

/// Units that were asked for, by partition key and second.
#[derive(Debug, Default)]
struct Units(BTreeMap<String, BTreeMap<u64, f64>>);

impl Units {
    fn add(&mut self, partition: &str, at: Duration, units: f64) {
        let seconds = match self.0.get_mut(partition) {
            Some(seconds) => seconds,
            None => self.0.entry(partition.to_owned()).or_default(),
        };
        *seconds.entry(at.as_secs()).or_default() += units;
    }

    /// The most that one partition was asked for in a second.
    fn peak_of_a_partition(&self) -> f64 {
        self.0.values().flat_map(BTreeMap::values).copied().fold(0.0, f64::max)
    }

    /// The most that all were asked for in a second.
    fn peak(&self) -> f64 {
        let mut all = BTreeMap::<u64, f64>::new();
        for (second, units) in self.0.values().flatten() {
            *all.entry(*second).or_default() += units;
        }
        all.into_values().fold(0.0, f64::max)
    }

    fn total(&self) -> f64 {
        self.0.values().flat_map(BTreeMap::values).sum()
    }
}

/// Units to write an item of this size, in bytes.
fn to_write(size: usize) -> f64 {
    size.div_ceil(1024).max(1) as f64
}

/// Units to read one as it is now; one that may be a moment old costs half.
fn to_read(size: usize) -> f64 {
    size.div_ceil(4096).max(1) as f64
}

/// The size of an item: of the names of its attributes and of their values.
fn item(pk: &str, sk: &str, body: usize) -> usize {
    // A number has half a byte for each digit, and one more.
    let others = "body".len() + "expires".len() + 6 + "parts".len() + 2 + "digest".len() + 16;
    "pk".len() + pk.len() + "sk".len() + sk.len() + body + others
}

fn config(kinds: u32, rate: u64, seconds: u64, workers: u32) -> Config {
    let request = |n| {
        format!(
            "      - {{ name: request-number-{n}, post: '/some/path/{n}?x=1&y=2', headers: {{ authorization: 'Bearer 0123456789' }}, expect: {{ status: 201 }} }}\n"
        )
    };
    let requests: String = (0..kinds).map(request).collect();
    // Where it costs most.
    let stop_if = if kinds == 1 { "stop_if: errors > 20% for 10s\n" } else { "" };
    let text = format!(
        "name: many\nworkers: {{ count: {workers} }}\nattacks:\n  - name: all\n    base_url: https://shop.example.com\n    load: {{ constant: {{ rate: {rate}/s, for: {seconds}s }} }}\n    requests:\n{requests}slo:\n  - p99 < 300ms\n{stop_if}"
    );
    Config::from_text(&text, |_| Err("no files".to_owned())).unwrap()
}

/// What AWS offers, as the controller has it.
fn place() -> Place {
    let number = |number| NonZeroU32::new(number).unwrap();
    Place {
        mode: "aws".to_owned(),
        cores: number(10_000),
        rate_per_worker: number(1000),
        sockets: number(900),
        workers_share_process: false,
        workers_per_function: number(1000),
        lead: Duration::from_secs(8),
        checkpoint: Duration::from_secs(5),
        slice: Duration::from_secs(600),
        invocation: Duration::from_secs(900),
        setup: Duration::from_secs(1200),
        grace: Duration::from_secs(300),
    }
}

fn plan(workers: u32, kinds: u32, rate: u64, seconds: u64) -> Plan {
    let config = config(kinds, rate * u64::from(workers), seconds, workers);
    Plan::new(
        "many-workers-20261124-055022-x7k2".parse().unwrap(),
        config,
        place(),
        jiff::Timestamp::UNIX_EPOCH,
    )
    .unwrap()
}

/// Times around 40 ms, over three powers of ten.
fn time(random: &mut SplitMix64) -> Duration {
    let mut unit = || (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
    let (a, b) = (unit().max(1e-12), unit());
    let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
    Duration::from_secs_f64((0.04 * (1.5 * normal).exp()).min(30.0))
}

/// So many requests of each kind, as they end when one in a hundred fails.
fn series(kinds: u32, each: u64, empty: fn() -> Tally, random: &mut SplitMix64) -> Vec<Series> {
    let of = |request| {
        let mut tally = empty();
        for _ in 0..each {
            let (done, sent) = (time(random), time(random) / 100);
            let timing = Timing { intended: Duration::ZERO, sent: sent.min(done), done };
            let outcome = match random.below(1000) {
                0 => Outcome::TimedOut,
                1..10 => Outcome::Failed { class: ErrorClass::Status, status: Some(503) },
                _ => Outcome::Completed { status: 200 },
            };
            tally.scheduled += 1;
            tally.record(outcome, &timing, true);
            tally.bytes_sent += 150;
            tally.bytes_received += random.below(20_000);
        }
        Series { attack: 0, request, tally }
    };
    (0..kinds).map(of).collect()
}

fn window(len: Duration, kinds: u32, rate: u64) -> Window {
    let mut random = SplitMix64(7);
    let requests = rate * len.as_secs();
    let mut health = Health::unknown();
    for _ in 0..requests {
        health.pacing_lag.record(time(&mut random) / 100);
        health.send_lag.record(time(&mut random) / 100);
    }
    health.cpu_ratio = Some(0.123_456_789);
    (health.in_flight, health.sockets) = (12, Some(40));
    let series = series(kinds, requests.div_ceil(u64::from(kinds)), Tally::window, &mut random);
    Window { series, health, ..Window::empty(2_592_000_000_000, u64::try_from(len.as_micros()).unwrap()) }
}

fn slice(run: &RunId, shard: u32) -> SliceId {
    SliceId { run: run.clone(), round: 0, shard, slice: 0 }
}

/// Everything that a run's workers read and write, from the first that comes up
/// to the last that ends.
struct Simulation {
    plan: Plan,
    /// Units for each window, and for a slice's end.
    window_units: f64,
    end_units: f64,
    /// Sizes of the plan's rows, in bytes.
    plan_rows: Vec<usize>,
    reads: Units,
    writes: Units,
    written_by: Duration,
}

impl Simulation {
    fn of(plan: Plan, kinds: u32, rate: u64) -> Self {
        let slice = slice(&plan.run, 9999);
        let pk = rows::work_partition(&plan.run, 15);
        let units = |key: &str, bodies: Vec<Vec<u8>>| -> f64 {
            let size = |(number, body): (usize, &Vec<u8>)| item(&pk, &rows::chunk(key, number), body.len());
            let sizes: Vec<usize> = bodies.iter().enumerate().map(size).collect();
            assert!(sizes.iter().all(|size| *size < ITEM), "{sizes:?}");
            sizes.into_iter().map(to_write).sum()
        };
        let window = window(plan.pace.window, kinds, rate);
        let window_units = units(&rows::window(window.at, &slice), rows::split_window(&window).unwrap());
        let each = rate * plan.load_end() / 1_000_000 / u64::from(kinds);
        let mut random = SplitMix64(8);
        let totals =
            if plan.pace.totals { series(kinds, each, Tally::total, &mut random) } else { Vec::new() };
        let end = SliceEnd { until: window.at, totals };
        let end_units = units(&rows::end(&slice), rows::split_end(&end).unwrap());
        let document = Document::of(&plan).unwrap();
        let row = |(key, chunk): (String, &String)| item(&pk, &key, chunk.len());
        let plan_rows = document.keys(rows::PLAN).zip(&document.chunks).map(row).collect();
        let (reads, writes, written_by) = (Units::default(), Units::default(), Duration::ZERO);
        let mut this = Self { plan, window_units, end_units, plan_rows, reads, writes, written_by };
        for shard in 0..this.plan.workers.get() {
            this.worker(shard);
        }
        this
    }

    fn worker(&mut self, shard: u32) {
        let Self { plan, window_units, end_units, plan_rows, reads, writes, .. } = self;
        let (run, pace, bucket) = (&plan.run, &plan.pace, rows::bucket_of(shard));
        let (read, work) = (rows::read_partition(run, bucket), rows::work_partition(run, bucket));
        let body = |text: String| text.len();
        // Comes up, reads its plan and its round, and claims its slice.
        let start = COMING_UP * (shard % 1000) / 1000;
        for size in plan_rows {
            reads.add(&read, start, to_read(*size) / 2.0);
        }
        let round = Round {
            number: 0,
            from: 0,
            until: plan.load_end(),
            t0: plan.planned_at,
            slices: 1,
            judged: false,
            step: None,
            outcome: None,
            busy: Duration::ZERO,
        };
        let round = item(&read, &rows::round(0), body(serde_json::to_string(&round).unwrap()));
        reads.add(&read, start, to_read(round) / 2.0);
        let claim = item(&work, &rows::claim(&slice(run, shard)), 80);
        writes.add(&work, start, to_write(claim));
        let stop = Stop::Condition { rule: "errors > 20% for 10s".to_owned() };
        let control = item(&read, rows::CONTROL, body(serde_json::to_string(&stop).unwrap()));
        reads.add(&read, start, to_read(control));
        // Looks what to obey, each second; at the workers' own row, too, where they
        // may vote.
        let load_ends = place().lead + Duration::from_micros(plan.load_end());
        let mut at = start + Duration::from_secs(1);
        while at < load_ends {
            reads.add(&read, at, to_read(control) / 2.0);
            if plan.config.stop_if().is_some() {
                reads.add(&work, at, to_read(control) / 2.0);
            }
            at += Duration::from_secs(1);
        }
        // Writes down what changed: the windows that are over, and the one that
        // is not.
        let mut at = start + pace.first_checkpoint(shard);
        let mut written_until = place().lead;
        while at < load_ends {
            if at > written_until {
                let over = at.saturating_sub(written_until).as_secs() / pace.window.as_secs();
                writes.add(&work, at, (over + 1) as f64 * *window_units);
                written_until = at;
            }
            at += pace.checkpoint;
        }
        let over = load_ends.saturating_sub(written_until).as_secs() / pace.window.as_secs();
        let end = load_ends + pace.last_turn(shard);
        writes.add(&work, end, (over + 1) as f64 * *window_units + *end_units);
        self.written_by = self.written_by.max(end.saturating_sub(load_ends));
    }

    /// Holds the table to what it takes.
    fn check(&self, what: &str) {
        let (reads, writes) = (self.reads.peak_of_a_partition(), self.writes.peak_of_a_partition());
        let said = self.plan.pace.clone();
        eprintln!(
            "{what}: windows of {:?}, {} units each; ends {} units, over {:?}; a partition {reads:.0} reads/s and {writes:.0} writes/s, the table {:.0} and {:.0}; {:.0} writes in all",
            said.window,
            self.window_units,
            self.end_units,
            self.written_by,
            self.reads.peak(),
            self.writes.peak(),
            self.writes.total(),
        );
        assert!(writes <= PARTITION_WRITES, "{what}: {writes} writes a second to one partition");
        assert!(reads <= PARTITION_READS, "{what}: {reads} reads a second of one partition");
        assert!(
            self.written_by <= Duration::from_secs(90),
            "{what}: the last writes come {:?} late",
            self.written_by
        );
        let (reads, writes) = (self.reads.peak(), self.writes.peak());
        let warmed = said.warnings().iter().any(|warning| warning.contains("warm the run table first"));
        assert!(
            warmed || (writes <= NEW_TABLE_WRITES && reads <= NEW_TABLE_READS),
            "{what}: {writes} writes and {reads} reads a second are more than the {NEW_TABLE_WRITES} and {NEW_TABLE_READS} of a table that was just made, which must be warmed first, and the plan does not say so"
        );
        // The pace goes by estimates: they must not be far below what is.
        let steady = said.kb_per_s as f64;
        let seconds = self.plan.load_end() as f64 / 1e6;
        let measured = self.writes.total() / seconds;
        assert!(
            measured <= steady * 1.25 + f64::from(self.plan.workers.get()) / 2.0,
            "{what}: {measured} writes a second, and the pace counts on {steady}"
        );
    }
}

#[test]
fn the_table_bears_as_many_workers_as_there_may_be() {
    for (workers, kinds, rate) in [
        (10_000, 50, 100),
        (10_000, 1, 100),
        (10_000, 10, 20),
        (1000, 50, 1000),
        (1000, 1, 1000),
        (200, 50, 500),
    ] {
        let plan = plan(workers, kinds, rate, 300);
        Simulation::of(plan, kinds, rate).check(&format!("{workers} workers, {kinds} kinds, {rate}/s each"));
    }
}

/// Whatever the pace, windows of a worker at its limit fit.
#[test]
fn no_item_is_near_its_limit_with_fifty_kinds_of_requests() {
    let run: RunId = "r".repeat(40).parse().unwrap();
    let slice = slice(&run, 9999);
    let mut random = SplitMix64(9);
    // As many different times as there are.
    let full = |empty: fn() -> Tally, random: &mut SplitMix64| series(50, 20_000, empty, random);
    let window = Window { series: full(Tally::window, &mut random), ..window(Duration::from_secs(1), 1, 1) };
    let end = SliceEnd { until: 1, totals: full(Tally::total, &mut random) };
    let plan = Document::of(&plan(10_000, 50, 100, 300)).unwrap();
    let window = rows::split_window(&window).unwrap();
    let end = rows::split_end(&end).unwrap();
    let of = |key: String, body: usize| item(&rows::work_partition(&run, 15), &rows::chunk(&key, 9999), body);
    let mut sizes: Vec<usize> = Vec::new();
    sizes.extend(window.iter().map(|body| of(rows::window(u64::MAX, &slice), body.len())));
    sizes.extend(end.iter().map(|body| of(rows::end(&slice), body.len())));
    sizes.extend(plan.chunks.iter().map(|body| of("plan#0123456789abcdef".to_owned(), body.len())));
    eprintln!("items of {sizes:?} bytes");
    assert!(sizes.iter().all(|size| *size < ITEM), "{sizes:?}");
}

/// All 10,000 vote in one second: an adapter spaces the votes of a bucket by
/// 2 ms, has the last voter of it count, and of a stream of them each 16th.
#[test]
fn the_table_bears_the_votes_of_all_workers_at_once() {
    let run: RunId = "many-workers-20261124-055022-x7k2".parse().unwrap();
    let (mut reads, mut writes) = (Units::default(), Units::default());
    // A number of four digits has three bytes, and one more in a set.
    let row = |partition: &str, votes: u32| item(partition, rows::VOTES, 4 * votes as usize);
    for shard in 0..10_000 {
        let (bucket, before) = (rows::bucket_of(shard), shard / BUCKETS);
        let partition = rows::work_partition(&run, bucket);
        let at = Duration::from_millis(2) * before;
        let votes = before + 1;
        writes.add(&partition, at, to_write(row(&partition, votes)));
        if !votes.is_multiple_of(16) {
            reads.add(&partition, at + Duration::from_millis(100), to_read(row(&partition, votes)));
        }
        if votes.is_multiple_of(16) || votes == 625 {
            for other in (0..BUCKETS).filter(|other| *other != bucket) {
                let other = rows::work_partition(&run, other);
                reads.add(&other, at, to_read(row(&other, votes)));
            }
        }
    }
    let (reads, writes) = (reads.peak_of_a_partition(), writes.peak_of_a_partition());
    eprintln!("votes: a partition {reads:.0} reads/s and {writes:.0} writes/s");
    assert!(writes <= PARTITION_WRITES && reads <= PARTITION_READS / 2.0, "{writes} writes, {reads} reads");
}
