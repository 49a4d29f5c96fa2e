//! `memory`: a long run's memory must be flat.
//!
//! What a worker keeps is bounded by what is in flight and not yet written
//! down, so after the first minute, when buffers have found their size, a run
//! may grow by less than [`GROWTH_KIB`]. What it costs to hold every response
//! time instead is some 235 bytes a request: 260 MiB over this task's load.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::launch::{Folder, binary, start_run, start_target, words_of_run};
use crate::{Failure, clock, say};

/// Requests a second.
const RATE: u32 = 2000;
/// Seconds of a whole run.
const SECONDS: u64 = 600;
/// Seconds until growth counts; a tenth of a shorter run.
const SETTLED: u64 = 60;
/// Growth that fails, in KiB.
const GROWTH_KIB: u64 = 8 << 10;
/// How many rows the table has.
const SAMPLES: u64 = 20;

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let seconds = seconds(arguments)?;
    let settled = SETTLED.min(seconds / 10);
    let binary = binary()?;
    let folder = Folder::new("memory")?;
    let (_target, url) = start_target(&binary, &["--service", "1ms"])?;
    let config = format!(
        "name: memory\nattacks:\n  - name: flat\n    url: {url}/\n    rate: {RATE}/s\n    duration: {seconds}s\n"
    );
    let config = folder.write("memory.yaml", &config)?;
    say(&format!("dev: {RATE}/s for {seconds} s against {url}; growth counts from second {settled} on"));
    let started = clock::monotonic();
    let mut process = start_run(&binary, &folder, &config)?;

    let mut samples = Vec::new();
    let mut at = settled;
    // The last look is a little before the end: the report is not the run.
    while at < seconds {
        sleep(Duration::from_secs(at).saturating_sub(started.elapsed()));
        let Some(rss) = rss_kib(process.0.id()) else { break };
        samples.push((at, rss));
        at += (seconds / SAMPLES).max(1);
    }
    let status = process.0.wait().map_err(|error| format!("cannot wait for the run: {error}"))?;
    if !status.success() {
        return Err(format!("the run ended with {status}:\n{}", words_of_run(&folder)));
    }

    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Err("the run ended before memory could be read".to_owned());
    };
    println!("\nMemory of a run at {RATE}/s for {seconds} s, on {}\n", where_and_when());
    println!("| second | VmRSS KiB | since second {} KiB |", first.0);
    println!("|---:|---:|---:|");
    for (at, rss) in &samples {
        println!("| {at} | {rss} | {:+} |", i128::from(*rss) - i128::from(first.1));
    }
    let growth = samples.iter().map(|(_, rss)| rss.saturating_sub(first.1)).max().unwrap_or(0);
    println!(
        "\nFrom second {} to second {} it grew by {growth} KiB at most; the limit is {GROWTH_KIB} KiB.",
        first.0, last.0
    );
    if growth < GROWTH_KIB { Ok(()) } else { Err(format!("memory grew by {growth} KiB")) }
}

fn seconds(arguments: &[String]) -> Result<u64, Failure> {
    let usage = "usage: cargo dev memory [--seconds N], with N from 10 to 86400";
    let number = match arguments {
        [] => return Ok(SECONDS),
        [flag, number] if flag == "--seconds" => number.as_str(),
        [one] => one.strip_prefix("--seconds=").ok_or(usage)?,
        _ => return Err(usage.to_owned()),
    };
    let seconds: u64 = number.parse().map_err(|_| usage)?;
    if (10..=86_400).contains(&seconds) { Ok(seconds) } else { Err(usage.to_owned()) }
}

/// A process's resident memory; none when it has ended.
pub(crate) fn rss_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The date and the machine, for whoever reads the numbers later.
pub(crate) fn where_and_when() -> String {
    let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
    let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{}; {cores} cores of {}, Linux {}",
        date.unwrap_or_default(),
        model.map_or("an unknown CPU", |(_, name)| name.trim()),
        kernel.trim()
    )
}
