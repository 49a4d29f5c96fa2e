//! How long AWS mode takes, on the emulator, and whether load dips where one
//! slice hands over to the next.
//!
//! Every test run does it once, and looks only at what no machine may change;
//! `cargo dev aws` does it often, alone, and its figures are in
//! `tests/measured/aws.txt`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clock;
use crate::cloud::{Cloud, package};
use crate::listener::Listener;

/// How often each is timed.
fn times() -> usize {
    std::env::var("DEATHSTAR_MEASURE").map_or(1, |times| times.parse().unwrap())
}

/// A row of the table: least, median and most.
fn row(what: &str, unit: &str, line: &str, mut values: Vec<f64>) {
    // The name of a test that runs alone has no end of line of its own.
    println!();
    values.sort_by(f64::total_cmp);
    let (least, median, most) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    println!(
        "| {what} | {} | {least:.2} {unit} | {median:.2} {unit} | {most:.2} {unit} | {line} |",
        values.len()
    );
}

fn seconds(span: Duration) -> f64 {
    span.as_secs_f64()
}

/// Makes a function of the worker's package, as the controller would.
fn make_worker(cloud: &Cloud<'_>) -> &'static str {
    let account = cloud.account();
    let sent = |first: &str, body: &[u8]| {
        let answer = account.send(&account.request(first, &[], body)).unwrap();
        assert!(answer.status().is_some_and(|status| status < 300), "{first}: {}", answer.text());
        answer
    };
    let bucket = format!("cold-{}", account.id());
    sent(&format!("PUT /{bucket}"), b"");
    sent(&format!("PUT /{bucket}/worker.zip"), &std::fs::read(package("worker.zip")).unwrap());
    let function = json!({
        "FunctionName": "cold-worker", "Runtime": "provided.al2023", "Handler": "bootstrap",
        "Role": format!("arn:aws:iam::{}:role/worker", account.id()), "Timeout": 60,
        "Code": { "S3Bucket": bucket, "S3Key": "worker.zip" },
        "Environment": { "Variables": { "DEATHSTAR_TABLE": "deathstar" } },
    });
    sent("POST /2015-03-31/functions", function.to_string().as_bytes());
    clock::wait_for("a function to be active", || {
        let answer = sent("GET /2015-03-31/functions/cold-worker", b"");
        let function: Value = serde_json::from_slice(answer.body()).unwrap();
        (function["Configuration"]["State"] == "Active").then_some(())
    });
    "cold-worker"
}

/// How much longer the first invocation of a function takes than a later one:
/// its process, its runtime and its first connection to the table.
fn cold_start(cloud: &Cloud<'_>, function: &str, payload: &Value) -> f64 {
    let invoke = || {
        let began = clock::now();
        cloud.invoke(function, payload);
        seconds(began.elapsed())
    };
    let cold = invoke();
    let mut warm: Vec<f64> = (0..5).map(|_| invoke()).collect();
    warm.sort_by(f64::total_cmp);
    (cold - warm[2]) * 1000.0
}

#[test]
fn a_run_is_submitted_at_once_and_soon_attacks() {
    let (mut controllers, mut workers) = (Vec::new(), Vec::new());
    let (mut submits, mut firsts) = (Vec::new(), Vec::new());
    for number in 0..times() {
        let cloud = Cloud::new();
        controllers.push(cold_start(&cloud, "deathstar-controller", &json!({ "task": "Janitor" })));
        let function = make_worker(&cloud);
        let nothing = json!({ "run": "none", "round": 0, "shard": 0, "slice": 0 });
        workers.push(cold_start(&cloud, function, &nothing));
        let (target, run) = (Listener::start(), format!("run-{number}"));
        let config = format!(
            "name: first\nworkers: 2\nattacks: [{{ name: a, url: 'http://{}/', rate: 20/s, duration: 2s }}]\n",
            target.address()
        );
        let config = cloud.config(&run, &config);
        let began = clock::now();
        cloud.ends(0, &["submit", &config, "--id", &run]);
        submits.push(seconds(began.elapsed()));
        let first = clock::wait_for("the first request", || target.got().first().map(|got| got.at));
        firsts.push(seconds(first.duration_since(began)));
        cloud.report(&run);
        assert_eq!(target.got().len(), 40);
    }
    let size = |name: &str| std::fs::metadata(package(name)).unwrap().len() as f64 / 1_048_576.0;
    row("worker's package", "MiB", "at most 7", vec![size("worker.zip")]);
    row("controller's package, with the worker's in it", "MiB", "at most 16", vec![size("controller.zip")]);
    row("cold start of the controller", "ms", "", controllers);
    row("cold start of a worker", "ms", "", workers);
    row("submit, until it returns", "s", "under 2", submits);
    row("first request after the start of submit, with 2 s of lead", "s", "within 5", firsts);
}

#[test]
fn slices_hand_over_without_a_dip() {
    const RATE: usize = 200;
    const SECONDS: usize = 30;
    let (mut least, mut most) = (Vec::new(), Vec::new());
    for number in 0..times() {
        let cloud = Cloud::new();
        let (target, run) = (Listener::start(), format!("long-{number}"));
        let config = format!(
            "name: long\nworkers: 2\nattacks: [{{ name: a, url: 'http://{}/', rate: {RATE}/s, duration: {SECONDS}s, timeout: 2s }}]\n",
            target.address()
        );
        cloud.submit(&run, &config);
        let report = cloud.report(&run);
        let timeline = report["attacks"][0]["timeline"].as_array().unwrap();
        assert_eq!(timeline.len(), SECONDS);
        for second in timeline {
            // By when it was due: what left, and was answered. What a slice that
            // came late had dropped or lost would be missing.
            let answered = second["completed"].as_f64().unwrap();
            assert!((answered / RATE as f64 - 1.0).abs() <= 0.02, "{second}");
        }
        let arrivals = &report["attacks"][0]["arrivals"];
        assert_eq!(arrivals["scheduled"], RATE * SECONDS);
        let sent = ["completed", "failed", "timed_out"].map(|name| arrivals[name].as_u64().unwrap());
        let got = target.got();
        assert_eq!(got.len() as u64, sent.iter().sum::<u64>());
        // Six slices of two workers.
        let is_claim = |row: &&Value| row["sk"]["S"].as_str().unwrap().starts_with("claim#");
        assert_eq!(cloud.rows().iter().filter(is_claim).count(), 12);
        cloud.is_clean();
        // By when it arrived, which a busy machine may delay.
        let counts = per_second(&got.iter().map(|got| got.at).collect::<Vec<_>>(), SECONDS);
        least.push(*counts.iter().min().unwrap() as f64);
        most.push(*counts.iter().max().unwrap() as f64);
    }
    row("fewest arrivals at the target in a second, of 200/s over 30 s in slices of 5 s", "", "196", least);
    row("most arrivals at the target in a second of it", "", "204", most);
}

/// Arrivals by second, half an interval before the first one on.
fn per_second(at: &[Instant], seconds: usize) -> Vec<usize> {
    let start = at.iter().min().copied().unwrap();
    let mut counts = vec![0; seconds];
    for at in at {
        let second = (at.duration_since(start) + Duration::from_micros(2500)).as_secs();
        counts[usize::try_from(second).unwrap().min(seconds - 1)] += 1;
    }
    counts
}
