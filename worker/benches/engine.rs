//! What the inner pieces of the engine cost, one by one.
//!
//! `cargo dev bench` measures the product; this finds out which part of it a
//! change was to blame for: `cargo bench --package deathstar-worker --bench engine`.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on says so")]
#![allow(missing_docs, reason = "criterion's macros write a function of their own")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use deathstar_statemachine::load::Load;
use deathstar_statemachine::plan::Span;
use deathstar_statemachine::schedule::Schedule;
use deathstar_statemachine::table::rows::split_window;
use deathstar_statemachine::units::Rate;
use deathstar_statemachine::window::{Grid, Outcome, Timing, Window};
use deathstar_worker::recorder::{Ended, Recorder, Slot, Traffic};
use deathstar_worker::transport::fast::framer::Framer;

/// A recorder of one attack with one request, for an hour.
fn recorder() -> Recorder {
    let span = Span { start: 0, end: 3_600_000_000 };
    Recorder::new(Grid::new(Vec::new()), vec![span], span, &[1])
}

/// Counts arrival `n` of 10,000 a second from when it is due to when it ended.
/// Response times spread as if most were fast and few were slow.
fn record(recorder: &mut Recorder, n: u64) {
    let intended = Duration::from_micros(n * 100);
    let slot = Slot { attack: 0, request: 0, intended };
    let sent = intended + Duration::from_micros(40 + n % 7);
    let took = Duration::from_micros(200 + (n * 7919) % 1000 * (1 + n % 3));
    recorder.scheduled(slot);
    let ended = Ended {
        outcome: Outcome::Completed { status: 200 },
        timing: Timing { intended, sent, done: sent + took },
        pacing_lag: sent.saturating_sub(intended),
        unsent: false,
        connect: None,
        tls: None,
        traffic: Traffic { sent: 60, received: 30, redirects: 0 },
    };
    recorder.ended(slot, &ended);
}

/// A second at 10,000/s.
fn window() -> Window {
    let mut recorder = recorder();
    for n in 0..10_000 {
        record(&mut recorder, n);
    }
    let (windows, _) = recorder.checkpoint(1_000_000).split();
    windows.into_iter().next().unwrap()
}

fn recording(criterion: &mut Criterion) {
    let mut recorder = recorder();
    let mut n = 0;
    criterion.bench_function("record one request", |bencher| {
        bencher.iter(|| {
            record(&mut recorder, n);
            // Within one second, so that nothing grows.
            n = (n + 1) % 10_000;
        });
    });
}

fn schedules(criterion: &mut Criterion) {
    let second = |per_second| Rate::per_second(per_second);
    let constant = Load::Constant { rate: second(10_000), duration: Duration::from_secs(3600) };
    let hour = Duration::from_secs(3600);
    let ramp = Load::Ramp { from: second(1), to: second(10_000), over: hour, hold: Duration::ZERO };
    for (name, load) in [("constant", constant), ("ramp", ramp)] {
        let schedule = Schedule::of(&load).unwrap();
        let total = schedule.total();
        let mut n = 0;
        criterion.bench_function(&format!("due time, {name}"), |bencher| {
            bencher.iter(|| {
                n = (n + 1) % total;
                black_box(schedule.due(black_box(n)))
            });
        });
    }
}

fn framing(criterion: &mut Criterion) {
    let sized = b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Tue, 24 Nov 2026 13:28:11 GMT\r\n\
        Content-Type: text/plain\r\nContent-Length: 30\r\nConnection: keep-alive\r\n\r\n\
        thirty bytes of plain body....";
    let chunked = b"HTTP/1.1 200 OK\r\nServer: bench\r\nTransfer-Encoding: chunked\r\n\r\n\
        f\r\nfifteen bytes..\r\nf\r\nfifteen more...\r\n0\r\n\r\n";
    for (name, response) in [("content-length", &sized[..]), ("chunked", &chunked[..])] {
        let mut framer = Framer::new();
        criterion.bench_function(&format!("frame a response, {name}"), |bencher| {
            bencher.iter(|| {
                framer.expect(false);
                let taken = framer.feed(black_box(response)).unwrap();
                assert!(framer.is_done() && taken == response.len());
            });
        });
    }
}

fn encoding(criterion: &mut Criterion) {
    let window = window();
    criterion.bench_function("encode a window of 10,000 requests", |bencher| {
        bencher.iter(|| split_window(black_box(&window)).unwrap());
    });
    criterion.bench_function("take a checkpoint of one window", |bencher| {
        let mut recorder = recorder();
        for n in 0..10_000 {
            record(&mut recorder, n);
        }
        bencher.iter(|| recorder.checkpoint(black_box(1_000_000)));
    });
}

criterion_group!(benches, recording, schedules, framing, encoding);
criterion_main!(benches);
