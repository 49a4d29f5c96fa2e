//! Rows of the open model: a rate that is kept, whatever the target does.

use std::time::Duration;

use super::figures::{Spread, json_number};
use super::generators::Generator::{DeathStar, Oha};
use super::generators::{Generator, Kind, Load, until_phase};
use super::rounds::{Bench, Sample, Series, against, cost_table, of, ours_ran};
use super::table::{Book, Table, or_dash};
use crate::{Failure, say};

/// A report's number in milliseconds, as microseconds.
fn micros(sample: &Sample, path: &[&str]) -> Option<f64> {
    json_number(&sample.output, path).map(|ms| ms * 1000.0)
}

fn send_lag(sample: &Sample, percentile: &str) -> Option<f64> {
    micros(sample, &["generator", "send_lag_ms", percentile])
}

pub(super) fn at_10000(bench: &Bench, book: &mut Book) -> Result<(), Failure> {
    const RATE: u32 = 10_000;
    let work = "open model 10,000/s, 64 connections";
    let url = bench.nginx.plain();
    let load = Load { url: &url, connections: 64, seconds: bench.seconds, kind: Kind::Rate(RATE) };
    let all = bench.rounds("open-10000", &[DeathStar, Oha], &load, book);
    println!("### Open model, 10,000/s, 64 connections\n\n{}", cost_table(&all, Oha, load.kind));
    let ours = of(&all, DeathStar);
    println!("{}", lag_table(&all));
    let achieved = Spread::of(&ours.each(achieved));
    let exact = |spread: Spread| {
        let off = f64::max((spread.max - 10_000.0).abs(), (spread.min - 10_000.0).abs()) / 10_000.0;
        (format!("{}/s", spread.text(1)), off <= 0.001)
    };
    book.line(work, "achieved within 0.1 %", achieved.map(exact));
    against(book, work, &all, Oha, 0.7);
    lag_line(book, work, ours, 300.0);
    ours_ran(&all)
}

pub(super) fn at_2000(bench: &Bench, book: &mut Book) -> Result<(), Failure> {
    let work = "open model 2,000/s";
    let url = bench.nginx.plain();
    let load = Load { url: &url, connections: 0, seconds: bench.seconds, kind: Kind::Rate(2000) };
    let all = bench.rounds("open-2000", &[DeathStar], &load, book);
    println!("### Open model, 2,000/s\n\n{}", lag_table(&all));
    let ours = of(&all, DeathStar);
    lag_line(book, work, ours, 100.0);
    ours_ran(&all)
}

fn achieved(sample: &Sample) -> Option<f64> {
    json_number(&sample.output, &["attacks", "rate", "achieved"])
}

/// How late requests left; only we say so.
fn lag_table(all: &[Series]) -> String {
    let mut table = Table::new(&[
        "generator",
        "achieved a second",
        "send lag p50 µs",
        "send lag p99 µs",
        "pacing lag p50 µs",
        "generator limited",
        "most open files",
    ]);
    for series in all {
        let spread = |figure: &dyn Fn(&Sample) -> Option<f64>, digits: usize| {
            or_dash(Spread::of(&series.each(figure)), |spread| spread.text(digits))
        };
        let theirs = |sample: &Sample| json_number(&sample.output, &["summary", "requestsPerSec"]);
        let rate =
            |sample: &Sample| if series.generator.is_ours() { achieved(sample) } else { theirs(sample) };
        let limited =
            series.samples.iter().filter(|sample| sample.output.contains("\"limited\": true")).count();
        table.row(&[
            &series.title,
            &spread(&rate, 1),
            &spread(&|sample| send_lag(sample, "p50"), 0),
            &spread(&|sample| send_lag(sample, "p99"), 0),
            &spread(&|sample| micros(sample, &["generator", "pacing_lag_ms", "p50"]), 0),
            &if series.generator.is_ours() {
                format!("in {limited} of {} rounds", series.samples.len())
            } else {
                "–".to_owned()
            },
            &spread(&|sample| json_number(&sample.output, &["generator", "sockets_max"]), 0),
        ]);
    }
    table.text()
}

fn lag_line(book: &mut Book, work: &str, ours: &Series, limit: f64) {
    let lag = Spread::of(&ours.each(|sample| send_lag(sample, "p50")));
    let goal = format!("send lag p50 ≤ {limit:.0} µs");
    book.line(work, &goal, lag.map(|lag| (format!("{} µs", lag.text(0)), lag.median <= limit)));
}

/// One percentile of a target that stalls: our name for it, oha's, and what it
/// must be, in milliseconds. A tenth of all arrivals meets a stall and waits
/// evenly from nothing to all of it.
const PERCENTILES: &[(&str, &str, f64)] =
    &[("p95", "p95", 250.0), ("p99", "p99", 450.0), ("p999", "p99.9", 495.0)];

/// How far from it they may be.
const TOLERANCE: f64 = 0.05;

pub(super) fn stall(bench: &Bench, book: &mut Book) -> Result<(), Failure> {
    const EVERY: Duration = Duration::from_secs(5);
    const STALL: Duration = Duration::from_millis(500);
    let work = "target that stalls 500 ms every 5 s, 2,000/s, 15 s";
    // nginx, since the arithmetic knows nothing of the time it takes to work off what
    // has waited: the faster the target, the less of that there is.
    let stalls = bench.nginx.stalling(EVERY, STALL)?;
    let url = bench.nginx.plain();
    let load = |connections| Load { url: &url, connections, seconds: 15, kind: Kind::Rate(2000) };

    // As many connections as it takes is what an open model means, and what the
    // goal is about; over 64 it does what oha does.
    let contenders = [(DeathStar, load(0)), (DeathStar, load(64)), (Oha, load(64))];
    let mut outputs: [(String, Vec<String>); 3] =
        contenders.map(|(who, _)| (who.name().to_owned(), Vec::new()));
    for round in 1..=bench.rounds {
        say(&format!("dev: stall, round {round} of {}", bench.rounds));
        for ((generator, load), (title, outputs)) in contenders.iter().zip(&mut outputs) {
            // Three whole stalls, none of them cut.
            std::thread::sleep(until_phase(stalls.elapsed(), EVERY, Duration::from_secs(2)));
            let (job, full_title) = generator.job(&bench.programs, &bench.folder, load)?;
            *title = full_title;
            let before = bench.nginx.counted()?;
            let ended = match job.run(&bench.folder, Duration::from_secs(load.seconds)) {
                Err(failure) if !generator.is_ours() => {
                    say(&format!("dev: {}: {failure}", generator.name()));
                    continue;
                }
                ended => ended?,
            };
            if generator.is_ours() {
                let sent = generator.own_count(&ended.output).ok_or("there is no report")?;
                book.compare(
                    &format!("stall, round {round}, {title}"),
                    sent,
                    bench.nginx.counted()? - before,
                );
            }
            outputs.push(ended.output);
        }
    }

    let mut table =
        Table::new(&["generator", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "service time p99 ms"]);
    table.row(&["what it must be", "1", "250", "450", "495", "–"]);
    for ((generator, _), (title, outputs)) in contenders.iter().zip(&outputs) {
        let percentile = |name: &str, their_name: &str| percentile(*generator, outputs, name, their_name);
        let cell = |spread: Option<Spread>, digits| or_dash(spread, |spread: Spread| spread.text(digits));
        let service = |output: &String| json_number(output, &["attacks", "service_time_ms", "p99"]);
        let service = Spread::of(&outputs.iter().filter_map(service).collect::<Vec<_>>());
        table.row(&[
            title,
            &cell(percentile("p50", "p50"), 2),
            &cell(percentile("p95", "p95"), 0),
            &cell(percentile("p99", "p99"), 0),
            &cell(percentile("p999", "p99.9"), 0),
            &cell(service, 0),
        ]);
    }
    for (name, their_name, truth) in PERCENTILES {
        let goal = format!("{their_name} within 5 % of {truth} ms");
        let is_near = |spread: &Spread| (spread.median - truth).abs() <= truth * TOLERANCE;
        let measured = percentile(DeathStar, &outputs[0].1, name, their_name);
        book.line(work, &goal, measured.map(|spread| (format!("{} ms", spread.text(0)), is_near(&spread))));
    }
    println!("### A target that stalls 500 ms every 5 s, 2,000/s, 15 s\n\n{}", table.text());
    Ok(())
}

/// A percentile of the response times of every round, in milliseconds: oha reports
/// seconds, and calls it by a name of its own.
fn percentile(generator: Generator, outputs: &[String], name: &str, their_name: &str) -> Option<Spread> {
    let ours = |output: &String| json_number(output, &["attacks", "response_time_ms", name]);
    let theirs =
        |output: &String| json_number(output, &["latencyPercentiles", their_name]).map(|s| s * 1000.0);
    let figure = |output| if generator.is_ours() { ours(output) } else { theirs(output) };
    Spread::of(&outputs.iter().filter_map(figure).collect::<Vec<_>>())
}
