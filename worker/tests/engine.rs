//! The engine under a clock that tests own: what leaves, when, and how it is
//! counted. The target is a transport with behaviour, not a mock.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]
#![allow(clippy::unchecked_time_subtraction, reason = "the test's own times are in order")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use deathstar_statemachine::config::{Config, Request};
use deathstar_statemachine::histogram::Histogram;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::plan::{Place, Plan, Span};
use deathstar_statemachine::window::{ErrorClass, Tally};
use deathstar_worker::clock::{self, LoadClock, Timers, WallClock};
use deathstar_worker::engine::Engine;
use deathstar_worker::transport::{Call, Reply, Transport, TransportError};
use jiff::Timestamp;
use tokio::task::LocalSet;
use tokio::time::Instant;

/// How long after the test's start the load starts.
const LEAD: Duration = Duration::from_millis(100);

/// A wall clock that stands still: the test's start.
struct Wall;

impl WallClock for Wall {
    fn now(&self) -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn timers(&self) -> Timers {
        Timers::Tokio
    }
}

/// Answers request after request as `behaviour` says, and keeps when each
/// left, from the start of the load.
struct Target<F> {
    start: Instant,
    behaviour: F,
    left_at: Rc<RefCell<Vec<i128>>>,
    /// When each connection was opened beforehand, likewise.
    warmed_up_at: Rc<RefCell<Vec<i128>>>,
}

impl<F> Target<F> {
    fn new(start: Instant, behaviour: F) -> Self {
        Self { start, behaviour, left_at: Rc::default(), warmed_up_at: Rc::default() }
    }

    /// Now, in microseconds from the start of the load.
    fn now(&self) -> i128 {
        let now = clock::monotonic();
        let ahead = i128::try_from(self.start.saturating_duration_since(now).as_micros()).unwrap();
        i128::try_from(now.saturating_duration_since(self.start).as_micros()).unwrap() - ahead
    }
}

impl<F, A> Transport for Target<F>
where
    F: Fn(usize, Duration) -> A,
    A: Future<Output = Reply>,
{
    type Prepared = String;

    fn prepare(&self, request: &Request) -> Result<String, TransportError> {
        Ok(request.name.clone())
    }

    async fn warm_up(&self, _: &String) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.warmed_up_at.borrow_mut().push(self.now());
    }

    async fn exchange(&self, _: &String, call: &Call) -> Reply {
        let now = clock::monotonic();
        let since = now.saturating_duration_since(self.start);
        let number = self.left_at.borrow().len();
        self.left_at.borrow_mut().push(self.now());
        call.mark_sent(now, 100);
        let answer = (self.behaviour)(number, since);
        let reply = tokio::time::timeout(call.timeout(), answer).await.unwrap_or(Reply::TimedOut);
        if reply == Reply::NotSent {
            // To every second one there was an answer before, which led on.
            if !number.is_multiple_of(2) {
                call.mark_redirected(50);
            }
            call.mark_unwritten();
        }
        reply
    }
}

const OK: Reply = Reply::Response { status: 200 };

async fn answer_in(time: Duration, reply: Reply) -> Reply {
    tokio::time::sleep(time).await;
    reply
}

fn plan(attack: &str, workers: u32) -> Plan {
    plan_with(attack, workers, 10_000)
}

/// For workers that may have so many sockets in all.
fn plan_with(attack: &str, workers: u32, sockets: u32) -> Plan {
    let text = format!(
        "name: test\nworkers: {workers}\nattacks:\n  - name: a\n    url: http://127.0.0.1:1/\n{attack}"
    );
    let config = Config::from_text(&text, |_| Err(String::new())).unwrap();
    let many = NonZeroU32::new(10_000).unwrap();
    let place = Place {
        mode: "test".into(),
        cores: many,
        rate_per_worker: many,
        sockets: NonZeroU32::new(sockets).unwrap(),
        workers_share_process: true,
        workers_per_function: many,
        lead: LEAD,
        checkpoint: Duration::from_secs(1),
        slice: Duration::from_secs(600),
        invocation: Duration::from_secs(900),
        setup: Duration::from_secs(60),
        grace: Duration::from_secs(60),
    };
    let run: RunId = "test".parse().unwrap();
    Plan::new(run, config, place, Wall.now()).unwrap()
}

/// What a run of one worker came to.
struct Seen {
    tally: Tally,
    /// When each request left, in microseconds from the start of the load.
    left_at: Vec<i128>,
    warmed_up_at: Vec<i128>,
    until: u64,
    /// Of all windows.
    pacing_lag: Histogram,
    send_lag: Histogram,
    unsent: u64,
}

/// Runs shard `index` of a plan to its end; `stop_after` stops it early.
async fn run<F, A>(plan: Plan, index: u32, stop_after: Option<Duration>, behaviour: F) -> Seen
where
    F: Fn(usize, Duration) -> A + 'static,
    A: Future<Output = Reply>,
{
    let slice = Span { start: 0, end: plan.load_end() };
    run_slice(plan, index, slice, stop_after, behaviour).await
}

/// The same of a slice of it.
async fn run_slice<F, A>(
    plan: Plan,
    index: u32,
    slice: Span,
    stop_after: Option<Duration>,
    behaviour: F,
) -> Seen
where
    F: Fn(usize, Duration) -> A + 'static,
    A: Future<Output = Reply>,
{
    let start = clock::monotonic() + LEAD;
    let t0 = Wall.now() + LEAD;
    let target = Target::new(start, behaviour);
    let (left_at, warmed_up_at) = (Rc::clone(&target.left_at), Rc::clone(&target.warmed_up_at));
    let shard = plan.shard(index).unwrap();
    let clock = LoadClock::new(&Wall, t0, Duration::ZERO);
    let engine = Rc::new(Engine::new(plan, shard, slice, target, clock).unwrap());
    let local = LocalSet::new();
    if let Some(after) = stop_after {
        let engine = Rc::clone(&engine);
        local.spawn_local(async move {
            tokio::time::sleep(LEAD + after).await;
            engine.stop();
        });
    }
    local.run_until(engine.run()).await;
    let mut tally = Tally::total();
    engine.totals().iter().for_each(|series| tally.add(&series.tally));
    let (mut pacing_lag, mut send_lag, mut unsent) = (Histogram::window(), Histogram::window(), 0);
    for window in engine.checkpoint().windows {
        pacing_lag.add(&window.health.pacing_lag);
        send_lag.add(&window.health.send_lag);
        unsent += window.health.unsent;
    }
    let until = engine.until();
    let (left_at, warmed_up_at) = (left_at.take(), warmed_up_at.take());
    Seen { tally, left_at, warmed_up_at, until, pacing_lag, send_lag, unsent }
}

/// A machine without a socket left is not the target's doing, and what the target has seen
/// by then stays counted.
#[tokio::test(start_paused = true)]
async fn what_no_socket_is_left_for_is_ours_even_where_a_redirect_led() {
    let plan = plan("    rate: 10/s\n    duration: 1s\n", 1);
    let seen = run(plan, 0, None, |_, _| async { Reply::NotSent }).await;
    let aborted = BTreeMap::from([(ErrorClass::Aborted, 5)]);
    assert_eq!((seen.tally.dropped, &seen.tally.failed, seen.unsent), (5, &aborted, 10));
    assert_eq!((seen.tally.bytes_sent, seen.tally.redirects), (500, 0));
}

#[tokio::test(start_paused = true)]
async fn every_request_leaves_when_it_is_due_and_never_before() {
    let plan = plan("    rate: 100/s\n    duration: 2s\n", 1);
    let seen = run(plan, 0, None, |_, _| answer_in(Duration::from_millis(3), OK)).await;
    assert_eq!(seen.left_at.len(), 200);
    for (n, left_at) in (0_i128..).zip(seen.left_at) {
        let late = left_at - n * 10_000;
        // tokio's timer counts in milliseconds, and wakes in the one after.
        assert!((0..=1000).contains(&late), "request {n} left {late} µs late");
    }
    assert_eq!((seen.tally.scheduled, seen.tally.completed, seen.until), (200, 200, 2_000_000));
}

#[tokio::test(start_paused = true)]
async fn a_reference_is_never_sent_as_it_stands() {
    let plan = plan("    rate: 1/s\n    duration: 1s\n    headers: { x-a: '${env:A}' }\n", 1);
    let answer = |_, _| answer_in(Duration::from_millis(1), OK);
    let target = Target::new(clock::monotonic(), answer);
    let (shard, slice) = (plan.shard(0).unwrap(), Span { start: 0, end: plan.load_end() });
    let clock = LoadClock::new(&Wall, Wall.now(), Duration::ZERO);
    let error = Engine::new(plan, shard, slice, target, clock).err().unwrap();
    assert_eq!(error.to_string(), "${env:A} has no value: it is never sent as it stands");
}

#[tokio::test(start_paused = true)]
async fn two_workers_send_what_one_would() {
    let load = "    rate: 70/s\n    duration: 3s\n";
    let mut together = Vec::new();
    for index in 0..2 {
        let seen = run(plan(load, 2), index, None, |_, _| answer_in(Duration::from_millis(1), OK)).await;
        together.extend(seen.left_at);
    }
    together.sort_unstable();
    let alone = run(plan(load, 1), 0, None, |_, _| answer_in(Duration::from_millis(1), OK)).await;
    assert_eq!(together.len(), alone.left_at.len());
    assert!(together.iter().zip(&alone.left_at).all(|(a, b)| (a - b).abs() <= 1000));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_target_shows_in_the_response_time() {
    // Everything that leaves in the second half of the first second is answered
    // at its end: 50 of 200 requests wait, evenly from 500 ms down.
    let stalled = |_, since: Duration| {
        let stall = Duration::from_millis(500)..Duration::from_millis(1000);
        let wait = if stall.contains(&since) {
            Duration::from_millis(1000) - since
        } else {
            Duration::from_millis(1)
        };
        answer_in(wait, OK)
    };
    let seen = run(plan("    rate: 100/s\n    duration: 2s\n", 1), 0, None, stalled).await;
    // The waits are 500, 490, 480 … 10 ms. The 99th percentile is the 198th of
    // 200 in order, the third longest; the 80th the 160th, the 41st longest.
    let p99 = seen.tally.response_time.quantile_ms(0.99).unwrap();
    assert!((480.0..=481.0).contains(&p99), "{p99}");
    let p80 = seen.tally.response_time.quantile_ms(0.80).unwrap();
    assert!((100.0..=101.2).contains(&p80), "{p80}");
}

#[tokio::test(start_paused = true)]
async fn the_closed_model_sends_less_to_a_stalled_target() {
    let stalled = |_, since: Duration| {
        let stall = Duration::from_millis(500)..Duration::from_millis(1000);
        let wait = if stall.contains(&since) {
            Duration::from_millis(1000) - since
        } else {
            Duration::from_millis(10)
        };
        answer_in(wait, OK)
    };
    let load = "    load: { users: { count: 1, ramp: 0s, for: 2s } }\n";
    let seen = run(plan(load, 1), 0, None, stalled).await;
    // One user: about 50 requests, one long wait, about 100 requests.
    assert!((135..=155).contains(&seen.tally.scheduled), "{}", seen.tally.scheduled);
    let p99 = seen.tally.response_time.quantile_ms(0.99).unwrap();
    assert!(p99 < 15.0, "the closed model hides the stall: {p99}");
}

/// A hundred users of whom each comes once a second: also where one slice follows another.
#[tokio::test(start_paused = true)]
async fn users_go_on_where_the_slice_before_left_them() {
    let load = "    load: { users: { count: 100, for: 20s } }\n    think: 990ms\n";
    let slice = Span { start: 10_000_000, end: 20_000_000 };
    let answer = |_, _| answer_in(Duration::from_millis(10), OK);
    let seen = run_slice(plan(load, 1), 0, slice, None, answer).await;
    let within =
        |from: i128, until: i128| seen.left_at.iter().filter(|at| (from..until).contains(at)).count();
    for tenth in 0..10 {
        let from = 10_000_000 + tenth * 100_000;
        // Ten, give or take five standard deviations of 3.
        let came = within(from, from + 100_000);
        assert!((1..=25).contains(&came), "{came} came in tenth {tenth} of the first second");
    }
    assert_eq!(within(0, 10_000_000), 0);
    let first = within(10_000_000, 11_000_000);
    assert!((95..=105).contains(&first), "{first}");
}

#[tokio::test(start_paused = true)]
async fn a_request_times_out_at_its_timeout() {
    let load = "    rate: 10/s\n    duration: 1s\n    timeout: 250ms\n";
    let seen = run(plan(load, 1), 0, None, |_, _| std::future::pending()).await;
    assert_eq!((seen.tally.scheduled, seen.tally.timed_out), (10, 10));
    let [min, max] = [seen.tally.service_time.min_ms(), seen.tally.service_time.max_ms()].map(Option::unwrap);
    assert!(min >= 249.75 && max <= 250.25, "{min} to {max}");
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_apart_and_do_not_flatter() {
    let load = "    rate: 100/s\n    duration: 1s\n";
    let behaviour = |number: usize, _| {
        let reply = match number % 4 {
            0 => Reply::Response { status: 503 },
            1 => Reply::Failed { class: ErrorClass::Refused, status: None },
            2 => Reply::Failed { class: ErrorClass::Body, status: Some(200) },
            _ => OK,
        };
        answer_in(Duration::from_millis(if number % 4 == 3 { 50 } else { 1 }), reply)
    };
    let seen = run(plan(load, 1), 0, None, behaviour).await;
    assert_eq!((seen.tally.completed, seen.tally.failures()), (25, 75));
    let class = |class| seen.tally.failed.get(&class).copied();
    assert_eq!(
        [ErrorClass::Status, ErrorClass::Refused, ErrorClass::Body].map(class),
        [Some(25), Some(25), Some(25)]
    );
    assert!(seen.tally.response_time.min_ms().unwrap() >= 49.0, "fast failures are not response times");
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_load_and_gives_what_is_in_flight_a_grace() {
    let load = "    rate: 100/s\n    duration: 60s\n    timeout: 30s\n";
    let started = clock::monotonic();
    // Even requests never answer; odd ones take 600 ms.
    let behaviour = |number: usize, _| async move {
        if number.is_multiple_of(2) {
            std::future::pending().await
        } else {
            answer_in(Duration::from_millis(600), OK).await
        }
    };
    let seen = run(plan(load, 1), 0, Some(Duration::from_millis(1500)), behaviour).await;
    let took = clock::monotonic() - started;
    assert!(took <= LEAD + Duration::from_millis(1500 + 1010), "stopped within its grace: {took:?}");
    assert!((1_500_000..1_502_000).contains(&seen.until), "{}", seen.until);
    let tally = &seen.tally;
    // Due before the stop: one every 10 ms.
    assert_eq!(tally.scheduled, seen.until.div_ceil(10_000));
    assert_eq!(tally.failed.get(&ErrorClass::Aborted), Some(&tally.scheduled.div_ceil(2)));
    assert_eq!(tally.ended(), tally.scheduled);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_comes_late_drops_what_was_due_long_before() {
    let plan = plan("    rate: 100/s\n    duration: 3s\n", 1);
    let start = clock::monotonic();
    let target = Target::new(start, |_, _| answer_in(Duration::from_millis(1), OK));
    let left_at = Rc::clone(&target.left_at);
    let slice = Span { start: 0, end: plan.load_end() };
    let shard = plan.shard(0).unwrap();
    let engine =
        Engine::new(plan, shard, slice, target, LoadClock::new(&Wall, Wall.now(), Duration::ZERO)).unwrap();
    let engine = Rc::new(engine);
    // The worker was made at the start of the load, and runs 1,495 ms later:
    // what was due in the first 495 ms is more than a second late.
    tokio::time::advance(Duration::from_millis(1495)).await;
    LocalSet::new().run_until(engine.run()).await;
    let mut tally = Tally::total();
    engine.totals().iter().for_each(|series| tally.add(&series.tally));
    assert_eq!((tally.scheduled, tally.dropped, tally.completed), (300, 50, 250));
    assert_eq!(left_at.borrow().len(), 250);
    assert!(tally.response_time.max_ms().unwrap() <= 1002.0, "what left late counts from when it was due");
    let health = &engine.checkpoint().windows[0].health;
    assert_eq!(health.unsent, 50);
    let lag = &health.pacing_lag;
    let max = lag.max_ms().unwrap();
    assert!((1490.0..=1505.0).contains(&max), "the generator was late, not the target: {max} ms");
}

/// A stop and an arrival in the same microsecond: the arrival left, so the load
/// must end after it.
#[tokio::test(start_paused = true)]
async fn a_stop_counts_the_arrival_of_its_own_instant() {
    let plan = plan("    rate: 100/s\n    duration: 2s\n", 1);
    let target = Target::new(clock::monotonic(), |_, _| answer_in(Duration::from_millis(1), OK));
    let left_at = Rc::clone(&target.left_at);
    let slice = Span { start: 0, end: plan.load_end() };
    let shard = plan.shard(0).unwrap();
    let clock = LoadClock::new(&Wall, Wall.now(), Duration::ZERO);
    let engine = Rc::new(Engine::new(plan, shard, slice, target, clock).unwrap());
    let local = LocalSet::new();
    local
        .run_until(async {
            let load = engine.run();
            tokio::pin!(load);
            // The first arrival is due, and leaves, at once; then the load is stopped.
            tokio::select! {
                biased;
                () = &mut load => {}
                () = tokio::task::yield_now() => engine.stop(),
            }
            load.await;
        })
        .await;
    let scheduled: u64 = engine.totals().iter().map(|series| series.tally.scheduled).sum();
    assert_eq!((scheduled, left_at.borrow().len(), engine.until()), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_load_sends_nothing() {
    let plan = plan("    rate: 100/s\n    duration: 2s\n", 1);
    let target = Target::new(clock::monotonic() + LEAD, |_, _| answer_in(Duration::from_millis(1), OK));
    let left_at = Rc::clone(&target.left_at);
    let slice = Span { start: 0, end: plan.load_end() };
    let shard = plan.shard(0).unwrap();
    let clock = LoadClock::new(&Wall, Wall.now() + LEAD, Duration::ZERO);
    let engine = Rc::new(Engine::new(plan, shard, slice, target, clock).unwrap());
    LocalSet::new()
        .run_until(async {
            engine.stop();
            engine.run().await;
        })
        .await;
    assert_eq!((engine.until(), left_at.borrow().len()), (0, 0));
}

/// 100/s over one connection on which each request takes 20 ms: they leave one
/// after another, and wait as long as that takes.
#[tokio::test(start_paused = true)]
async fn the_wait_for_a_connection_is_the_targets_and_not_ours() {
    let load = "    rate: 100/s\n    duration: 1s\n    connections: 1\n";
    let seen = run(plan(load, 1), 0, None, |_, _| answer_in(Duration::from_millis(20), OK)).await;
    assert_eq!((seen.tally.scheduled, seen.tally.completed), (100, 100));
    for (n, left_at) in (0_i128..).zip(&seen.left_at) {
        let late = left_at - n * 20_000;
        // A millisecond of tokio's timer each.
        assert!((0..=1000 * (n + 1)).contains(&late), "request {n} left {late} µs late");
    }
    // The last was due at 990 ms, and left after 99 others of 20 ms.
    let longest = seen.send_lag.max_ms().unwrap();
    assert!((990.0..=1120.0).contains(&longest), "{longest}");
    assert!(seen.pacing_lag.max_ms().unwrap() <= 1.5, "{:?}", seen.pacing_lag.max_ms());
    assert!(seen.tally.response_time.max_ms().unwrap() >= 1010.0, "due at 990 ms, answered at 2 s");
    assert!(seen.tally.service_time.max_ms().unwrap() <= 21.5);
}

/// A target that never answers holds the only connection for each timeout; who has
/// waited for it as long is dropped, and that is not our doing.
#[tokio::test(start_paused = true)]
async fn an_arrival_waits_for_a_connection_no_longer_than_its_timeout() {
    let load = "    rate: 100/s\n    duration: 1s\n    timeout: 95ms\n    connections: 1\n";
    let seen = run(plan(load, 1), 0, None, |_, _| std::future::pending()).await;
    let tally = &seen.tally;
    assert_eq!((tally.scheduled, tally.ended()), (100, 100));
    // One in 95 ms, of what is due within a second and may wait 95 ms more.
    assert!((10..=12).contains(&tally.timed_out), "{}", tally.timed_out);
    assert_eq!((tally.dropped, seen.unsent), (100 - tally.timed_out, 0));
}

/// 100 over two workers, each at 5 ms: 32 at once are 50 in two turns.
#[tokio::test(start_paused = true)]
async fn connections_are_opened_before_the_first_request_is_due() {
    let load = "    rate: 10/s\n    duration: 1s\n    warm_up: 100\n";
    let seen = run(plan(load, 2), 1, None, |_, _| answer_in(Duration::from_millis(1), OK)).await;
    assert_eq!((seen.warmed_up_at.len(), seen.left_at.len()), (50, 5));
    assert!(seen.warmed_up_at.iter().all(|at| *at < -50_000), "{:?}", seen.warmed_up_at);
    // No more than there may be, and none once the load has begun.
    let load = format!("{load}    connections: 900\n").replace("100\n", "900\n");
    let seen = run(plan(&load, 1), 0, None, |_, _| answer_in(Duration::from_millis(1), OK)).await;
    assert!((580..=640).contains(&seen.warmed_up_at.len()), "{}", seen.warmed_up_at.len());
    assert!(seen.warmed_up_at.iter().all(|at| *at <= 0));
    assert_eq!(seen.tally.completed, 10);
}

/// An attack that comes after another opens its own just before it begins.
#[tokio::test(start_paused = true)]
async fn a_later_attack_warms_up_shortly_before_it_begins() {
    let load = "    rate: 1/s\n    duration: 10s\n  - { name: b, url: 'http://127.0.0.1:1/', rate: 1/s, duration: 1s, warm_up: 3 }\norder: sequence\n";
    let seen = run(plan(load, 1), 0, None, |_, _| answer_in(Duration::from_millis(1), OK)).await;
    assert_eq!(seen.warmed_up_at.len(), 3);
    assert!(
        seen.warmed_up_at.iter().all(|at| (8_000_000..8_100_000).contains(at)),
        "{:?}",
        seen.warmed_up_at
    );
}

/// Three connections for both, and each request takes one for 23 ms. When the second
/// attack begins to open its own, at 8.008 s, one is free, and at 8.010 s it is needed.
#[tokio::test(start_paused = true)]
async fn an_attack_under_way_never_waits_for_another_to_warm_up() {
    let load = "    rate: 100/s\n    duration: 10.008s\n  - { name: b, url: 'http://127.0.0.1:1/', rate: 1/s, duration: 1s, warm_up: 3 }\norder: sequence\n";
    let seen = run(plan_with(load, 1, 3), 0, None, |_, _| answer_in(Duration::from_millis(23), OK)).await;
    assert_eq!(seen.tally.completed, 1002);
    let lag = seen.send_lag.max_ms().unwrap();
    assert!(lag <= 1.01, "{lag} ms");
}

#[tokio::test(start_paused = true)]
async fn workers_share_the_connections_of_an_attack() {
    let load = "    rate: 1000/s\n    duration: 200ms\n    timeout: 10s\n    connections: 3\n";
    for (index, connections) in [(0, 2), (1, 1)] {
        let seen = run(plan(load, 2), index, None, |_, _| answer_in(Duration::from_secs(5), OK)).await;
        let at_first = seen.left_at.iter().filter(|at| **at < 1_000_000).count();
        assert_eq!(at_first, connections, "worker {index}");
    }
}

/// Gaps of a Poisson process are as long as they vary: their standard deviation is
/// their mean.
#[tokio::test(start_paused = true)]
async fn poisson_arrivals_leave_at_random() {
    let load = "    rate: 50/s\n    duration: 40s\n    arrivals: poisson\n";
    let mut seen = run(plan(load, 1), 0, None, |_, _| answer_in(Duration::from_millis(1), OK)).await;
    let count = seen.tally.scheduled;
    // Five standard deviations of 2,000.
    assert!(count.abs_diff(2000) <= 224, "{count}");
    assert_eq!((seen.tally.completed, seen.left_at.len() as u64), (count, count));
    seen.left_at.sort_unstable();
    let gaps: Vec<f64> = seen.left_at.windows(2).map(|two| (two[1] - two[0]) as f64 / 1000.0).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
    assert!((deviation / mean - 1.0).abs() < 0.12, "mean {mean} ms, standard deviation {deviation} ms");
}

#[tokio::test(start_paused = true)]
async fn users_think_and_share_the_workers() {
    // 3 users of 5 over 2 workers: users 0, 2, 4 are worker 0's. Each cycle is
    // 100 ms of service and 400 ms of thought: 10 requests in 5 s.
    let load = "    load: { users: { count: 5, ramp: 0s, for: 5s } }\n    think: 400ms\n";
    let seen = run(plan(load, 2), 0, None, |_, _| answer_in(Duration::from_millis(100), OK)).await;
    assert!((29..=30).contains(&seen.tally.completed), "{}", seen.tally.completed);
    let seen = run(plan(load, 2), 1, None, |_, _| answer_in(Duration::from_millis(100), OK)).await;
    assert!((19..=20).contains(&seen.tally.completed), "{}", seen.tally.completed);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a bug in the transport")]
async fn a_panic_in_a_request_ends_the_worker() {
    let behaviour = |number: usize, _| async move {
        assert!(number < 10, "a bug in the transport");
        OK
    };
    run(plan("    rate: 100/s\n    duration: 1s\n", 1), 0, None, behaviour).await;
}
