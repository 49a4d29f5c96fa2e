//! Rows of memory: what many waiting connections take, and whether a run at full
//! speed stays as small as it was.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::figures::Spread;
use super::generators::Generator::DeathStar;
use super::generators::{Kind, Load};
use super::nginx::get;
use super::pinned::{GENERATOR_CORE, Job};
use super::rounds::Bench;
use super::table::{Book, Table, or_dash};
use crate::memory::rss_kib;
use crate::{Failure, clock, say};

const MIB: f64 = 1024.0;

/// Connections that wait, each for a reply that takes 2 s.
const WAITING: u32 = 5000;
/// How long a generator keeps them waiting, and which of these seconds count.
const SECONDS: u64 = 8;
const LOOKED_AT: std::ops::Range<u64> = 4..8;

pub(super) fn memory(bench: &Bench, book: &mut Book) -> Result<(), Failure> {
    // Each says something without the other.
    let waited = waiting(bench, book);
    flat(bench, book).and(waited)
}

fn waiting(bench: &Bench, book: &mut Book) -> Result<(), Failure> {
    let work = "memory";
    let servers = WAITING.to_string();
    let target = Job::new(&bench.programs.deathstar).args(&["target", "--service", "2s", "--body", "30"]);
    let (_process, url) = target.args(&["--servers", &servers]).listen()?;
    let port = port_of(&url)?;
    let url = format!("{url}/");
    let load = Load { url: &url, connections: WAITING, seconds: SECONDS, kind: Kind::Closed };
    let (ours, _) = DeathStar.job(&bench.programs, &bench.folder, &load)?;
    let time = format!("{SECONDS}s");
    let theirs =
        Job::new(Path::new("wrk")).args(&["-t1", "-c", &servers, "-d", &time, "--timeout", "30s", &url]);
    // All that this process may open, as ours asks for by itself.
    let theirs = theirs.open_files("$(ulimit -H -n)");

    let report = bench.folder.path().join("report.json");
    let mut sizes = [Vec::new(), Vec::new()];
    let mut most_waiting = [0, 0];
    for round in 1..=bench.rounds {
        say(&format!("dev: memory, {WAITING} connections, round {round} of {}", bench.rounds));
        for (who, (name, job)) in [("deathstar", &ours), ("wrk", &theirs)].into_iter().enumerate() {
            let before = received(port)?;
            let started = clock::monotonic();
            let mut process = job.start(GENERATOR_CORE, Some(&report))?;
            let mut size = 0;
            for second in LOOKED_AT {
                sleep(Duration::from_secs(second).saturating_sub(started.elapsed()));
                let now = rss_kib(process.0.id());
                size = size.max(now.ok_or_else(|| format!("{name} ended before its memory could be read"))?);
                most_waiting[who] = metric(port, "deathstar_target_in_service")?.max(most_waiting[who]);
            }
            sizes[who].push(size as f64);
            process.0.wait().map_err(|error| format!("cannot wait for {name}: {error}"))?;
            if who == 0 {
                let counted = received(port)? - before;
                book.compare(&format!("memory, round {round}"), sent(&report)?, counted);
            }
        }
    }
    let mut table = Table::new(&["generator", "VmRSS MiB", "most requests waiting at once"]);
    for (who, name) in ["deathstar", "wrk -t1 -c 5000"].into_iter().enumerate() {
        let sizes: Vec<f64> = sizes[who].iter().map(|kib| kib / MIB).collect();
        table.row(&[
            name,
            &or_dash(Spread::of(&sizes), |spread| spread.text(1)),
            &most_waiting[who].to_string(),
        ]);
    }
    println!("### {WAITING} connections waiting for replies that take 2 s\n\n{}", table.text());
    if most_waiting.iter().any(|waiting| *waiting < u64::from(WAITING) * 99 / 100) {
        return Err(format!("only {most_waiting:?} of {WAITING} connections ever waited"));
    }
    let ratio = Spread::ratio(&sizes[0], &sizes[1]);
    let goal = format!("{WAITING} connections waiting: RSS ≤ 1.30 × wrk");
    book.line(work, &goal, ratio.map(|ratio| (format!("{} ×", ratio.text(2)), ratio.median <= 1.3)));
    Ok(())
}

/// What a run says that it sent, in the report that it left.
fn sent(report: &Path) -> Result<u64, Failure> {
    let report = std::fs::read_to_string(report).map_err(|error| format!("there is no report: {error}"))?;
    DeathStar.own_count(&report).ok_or_else(|| format!("there are no counts in {report:?}"))
}

/// How much a run may grow, in MiB, from when buffers have found their size.
const GROWTH: f64 = 2.0;

fn flat(bench: &Bench, book: &mut Book) -> Result<(), Failure> {
    let (settled, seconds) = if bench.quick { (5, 15) } else { (30, 300) };
    say(&format!("dev: memory, full speed for {seconds} s"));
    let url = bench.nginx.plain();
    let load = Load { url: &url, connections: 64, seconds, kind: Kind::Closed };
    let (job, _) = DeathStar.job(&bench.programs, &bench.folder, &load)?;
    let report = bench.folder.path().join("report.json");
    let before = bench.nginx.counted()?;
    let started = clock::monotonic();
    let mut process = job.start(GENERATOR_CORE, Some(&report))?;
    let mut table = Table::new(&["second", "VmRSS MiB", "requests so far"]);
    let mut sizes = Vec::new();
    let mut second = settled;
    while second <= seconds {
        // The last look is a little before the end: the report is not the run.
        let at = second.min(seconds - 1);
        sleep(Duration::from_secs(at).saturating_sub(started.elapsed()));
        let size = rss_kib(process.0.id()).ok_or("the run ended before its memory could be read")?;
        let size = size as f64 / MIB;
        let requests = bench.nginx.counted()? - before;
        table.row(&[&at.to_string(), &format!("{size:.2}"), &requests.to_string()]);
        sizes.push(size);
        second += settled;
    }
    let status = process.0.wait().map_err(|error| format!("cannot wait for the run: {error}"))?;
    if !status.success() {
        return Err(format!("the run at full speed ended with {status}"));
    }
    book.compare("memory, full speed", sent(&report)?, bench.nginx.counted()? - before);
    println!("### One run at full speed, 64 connections, {seconds} s\n\n{}", table.text());
    let goal = format!("RSS after {seconds} s at full speed within {GROWTH:.0} MiB of RSS after {settled} s");
    let growth = sizes.first().zip(sizes.last()).map(|(first, last)| last - first);
    book.line("memory", &goal, growth.map(|growth| (format!("{growth:+.2} MiB"), growth.abs() <= GROWTH)));
    Ok(())
}

/// The port that a URL of ours ends with.
fn port_of(url: &str) -> Result<u16, Failure> {
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
    port.ok_or_else(|| format!("{url} has no port"))
}

/// What `deathstar target` has received so far.
fn received(port: u16) -> Result<u64, Failure> {
    metric(port, "deathstar_target_received_total")
}

/// A number of the target's page for Prometheus.
fn metric(port: u16, name: &str) -> Result<u64, Failure> {
    let page = get(port, "/metrics").map_err(|error| format!("the target does not count: {error}"))?;
    metric_of(&page, name).ok_or_else(|| format!("the target has no {name}"))
}

fn metric_of(page: &str, name: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_by_their_whole_name() {
        let page = "# HELP deathstar_target_received_total Requests read to their end.\n\
                    deathstar_target_received_total 1800\ndeathstar_target_received_bytes_total 9\n";
        assert_eq!(metric_of(page, "deathstar_target_received_total"), Some(1800));
        assert_eq!(metric_of(page, "deathstar_target_received"), None);
    }

    #[test]
    fn a_port_is_the_end_of_a_url() {
        assert_eq!(port_of("http://127.0.0.1:8080"), Ok(8080));
        assert!(port_of("http://localhost").is_err());
    }
}
