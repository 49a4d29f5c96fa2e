//! Probes beside a load, in real time: what is read, when, by whom, and that the load
//! does not notice. Nothing here depends on how fast the machine is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use deathstar_statemachine::config::{Config, Request};
use deathstar_statemachine::plan::{Place as Where, Plan, Span};
use deathstar_statemachine::resources::{Metric, Miss, Place, Reading};
use deathstar_statemachine::window::Tally;
use deathstar_worker::clock::{LoadClock, SystemClock, WallClock, monotonic};
use deathstar_worker::engine::Engine;
use deathstar_worker::transport::{Call, Reply, Transport, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// How long after an engine is made its load starts.
const LEAD: Duration = Duration::from_millis(300);

/// Answers at once, and counts what it is asked.
struct Target {
    requests: Rc<Cell<u64>>,
}

impl Transport for Target {
    type Prepared = ();

    fn prepare(&self, _: &Request) -> Result<(), TransportError> {
        Ok(())
    }

    async fn warm_up(&self, (): &()) {}

    async fn exchange(&self, (): &(), call: &Call) -> Reply {
        call.mark_sent(monotonic(), 100);
        self.requests.set(self.requests.get() + 1);
        Reply::Response { status: 200 }
    }
}

/// A server whose page is a function of how often it was asked, from 1.
struct Exporter {
    address: String,
    asked: Rc<Cell<u32>>,
}

impl Exporter {
    /// The page is a whole response; an empty one is never sent.
    async fn serve(response: impl Fn(u32) -> String + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Rc::new(Cell::new(0));
        let (counted, response) = (Rc::clone(&asked), Rc::new(response));
        tokio::task::spawn_local(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::task::spawn_local(answer(connection, Rc::clone(&counted), Rc::clone(&response)));
            }
        });
        Self { address, asked }
    }

    async fn pages(page: impl Fn(u32) -> String + 'static) -> Self {
        Self::serve(move |asked| {
            let page = page(asked);
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}", page.len())
        })
        .await
    }

    fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }
}

async fn answer(mut connection: TcpStream, asked: Rc<Cell<u32>>, response: Rc<impl Fn(u32) -> String>) {
    let mut head = Vec::new();
    while let Ok(count @ 1..) = connection.read_buf(&mut head).await {
        assert!(count > 0);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        assert!(head.starts_with(b"GET /metrics HTTP/1.1\r\n"));
        head.clear();
        asked.set(asked.get() + 1);
        let response = response(asked.get());
        if response.is_empty() {
            std::future::pending::<()>().await;
        }
        if connection.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What a worker saw.
struct Seen {
    readings: Vec<Reading>,
    misses: Vec<Miss>,
    tally: Tally,
    /// Requests of the load.
    requests: u64,
    /// Where the load ended, in microseconds.
    until: u64,
    took: Duration,
}

impl Seen {
    fn of(&self, metric: &Metric) -> Vec<&Reading> {
        self.readings.iter().filter(|reading| reading.metric == *metric).collect()
    }

    fn series(&self, name: &str) -> Vec<&Reading> {
        self.of(&Metric::Series(name.to_owned()))
    }

    fn whys(&self) -> Vec<&str> {
        self.misses.iter().map(|miss| miss.why.as_str()).collect()
    }

    /// All that was due of 100/s was sent, or is known not to have been.
    fn load_is_whole(&self) {
        let due = self.until.div_ceil(10_000);
        assert_eq!((self.tally.scheduled, self.tally.ended()), (due, due));
        assert_eq!(
            (self.tally.completed, self.requests),
            (due - self.tally.dropped, due - self.tally.dropped)
        );
    }
}

fn plan(text: &str) -> Plan {
    let config = Config::from_text(text, |_| Err(String::new())).unwrap_or_else(|error| panic!("{error}"));
    let many = NonZeroU32::new(1000).unwrap();
    let place = Where {
        mode: "embedded".into(),
        cores: many,
        rate_per_worker: many,
        sockets: many,
        workers_share_process: true,
        workers_per_function: many,
        lead: LEAD,
        checkpoint: Duration::from_secs(1),
        slice: Duration::from_secs(600),
        invocation: Duration::from_secs(900),
        setup: Duration::from_secs(60),
        grace: Duration::from_secs(60),
    };
    Plan::new("test".parse().unwrap(), config, place, SystemClock.now()).unwrap()
}

/// A load of 100/s, with a list of resources.
fn config(duration: &str, resources: &str) -> String {
    format!(
        "name: t\nworkers: 1\nattacks:\n  - name: a\n    url: http://127.0.0.1:1/\n    rate: 100/s\n    duration: {duration}\n    resources: {resources}\n"
    )
}

/// Runs worker `index` of a plan to its end, or until `stop` is over.
async fn run(plan: Plan, index: u32, stop: impl Future<Output = ()> + 'static) -> Seen {
    let requests = Rc::new(Cell::new(0));
    let target = Target { requests: Rc::clone(&requests) };
    let shard = plan.shard(index).unwrap();
    let slice = Span { start: 0, end: plan.load_end() };
    let clock = LoadClock::new(&SystemClock, SystemClock.now() + LEAD, Duration::ZERO);
    let engine = Rc::new(Engine::new(plan, shard, slice, target, clock).unwrap());
    let stopped = Rc::clone(&engine);
    let stopping = tokio::task::spawn_local(async move {
        stop.await;
        stopped.stop();
    });
    engine.run().await;
    let took = clock.now();
    stopping.abort();
    let mut tally = Tally::total();
    engine.totals().iter().for_each(|series| tally.add(&series.tally));
    let (mut readings, mut misses) = (Vec::new(), Vec::new());
    for window in engine.checkpoint().windows {
        readings.extend(window.readings);
        misses.extend(window.misses);
    }
    Seen { readings, misses, tally, requests: requests.get(), until: engine.until(), took }
}

fn to_the_end() -> impl Future<Output = ()> {
    std::future::pending()
}

/// Until each exporter was asked so often, however long that takes.
fn asked(exporters: &[&Exporter], times: u32) -> impl Future<Output = ()> + use<> {
    let counts: Vec<Rc<Cell<u32>>> = exporters.iter().map(|exporter| Rc::clone(&exporter.asked)).collect();
    async move {
        while counts.iter().any(|count| count.get() < times) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Each at or behind an instant of its own, `every` microseconds apart, and all within
/// `span`.
fn in_step(instants: &[u64], every: u64, span: Span) {
    assert!(instants.iter().all(|at| (span.start..span.end).contains(at)), "{instants:?}");
    for two in instants.windows(2) {
        assert!(two[0] <= two[1] / every * every, "{instants:?} of every {every} µs");
    }
    assert!(instants.len() as u64 <= (span.end - span.start).div_ceil(every), "{instants:?}");
}

fn near(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= expected.abs() * 1e-6
}

/// The page of a machine with two processors that are busy for 3 s more each time.
fn node(asked: u32) -> String {
    let busy = f64::from(asked) * 3.0;
    format!(
        "# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{{cpu=\"0\",mode=\"idle\"}} {asked}000
node_cpu_seconds_total{{cpu=\"0\",mode=\"user\"}} {busy}
node_cpu_seconds_total{{cpu=\"1\",mode=\"iowait\"}} {asked}00
node_cpu_seconds_total{{cpu=\"1\",mode=\"system\"}} 7
node_memory_MemTotal_bytes 8e9
node_memory_MemAvailable_bytes 6e9
node_filefd_allocated 1500
node_filefd_maximum 90000
process_cpu_seconds_total {asked}
# TYPE asked gauge
asked {{how=\"this\"}} {asked}
asked{{how=\"that\"}} 1
jobs_total {}
ready 2
",
        asked * 5
    )
}

#[tokio::test]
async fn a_machine_is_read_in_step_and_as_its_page_says() {
    LocalSet::new()
        .run_until(async {
            let exporter = Exporter::pages(node).await;
            let resources = format!(
                "[{{ prometheus: '{}', every: 100ms, series: [jobs_total, 'asked{{how=\"this\"}}', asked, absent], instances: ready, capacity: {{ memory: 4e9 }} }}]",
                exporter.url()
            );
            let seen = run(plan(&config("60s", &resources)), 0, asked(&[&exporter], 6)).await;
            seen.load_is_whole();

            let memory = seen.of(&Metric::Memory);
            assert!(!memory.is_empty(), "{:?}", seen.whys());
            assert!(memory.iter().all(|one| near(one.value, 2e9) && one.capacity == Some(4e9)));
            let instants: Vec<u64> = memory.iter().map(|reading| reading.at).collect();
            in_step(&instants, 100_000, Span { start: 0, end: seen.until });
            let most = seen.until.div_ceil(100_000);
            assert!(u64::from(exporter.asked.get()) <= most, "read once an instant, and never beside it");

            let descriptors = seen.of(&Metric::Descriptors);
            assert!(descriptors.iter().all(|one| near(one.value, 1500.0) && one.capacity == Some(90_000.0)));
            assert!(seen.of(&Metric::Instances).iter().all(|one| near(one.value, 2.0)));

            // Which page each reading is from, it says itself.
            let pages = seen.series("asked{how=\"this\"}");
            assert_eq!(pages.len(), memory.len());
            let both = seen.series("asked");
            assert!(pages.iter().zip(both).all(|(page, both)| near(both.value, page.value + 1.0)));
            let (cpu, jobs) = (seen.of(&Metric::Cpu), seen.series("jobs_total"));
            assert_eq!((cpu.len(), jobs.len()), (pages.len() - 1, pages.len() - 1), "the first says nothing");
            for ((two, cpu), jobs) in pages.windows(2).zip(cpu).zip(jobs) {
                let seconds = (two[1].at - two[0].at) as f64 / 1e6;
                let more = two[1].value - two[0].value;
                assert!(near(cpu.value * seconds, 3.0 * more), "{cpu:?}");
                assert!(near(jobs.value * seconds, 5.0 * more), "{jobs:?}");
                assert_eq!((cpu.at, cpu.capacity, jobs.capacity), (two[1].at, Some(2.0), None));
            }
            assert!(seen.whys().iter().all(|why| *why == "its page has no absent"), "{:?}", seen.whys());
            assert_eq!(seen.misses.len(), memory.len());
        })
        .await;
}

#[tokio::test]
async fn a_process_says_itself_how_it_is() {
    LocalSet::new()
        .run_until(async {
            let page = "process_cpu_seconds_total 5\nprocess_resident_memory_bytes 3e7\nprocess_open_fds 40\nprocess_max_fds 1024\n";
            let exporter = Exporter::pages(|_| page.to_owned()).await;
            let resources = format!("[{{ prometheus: '{}', every: 100ms, capacity: {{ cpu: 3 }} }}]", exporter.url());
            let seen = run(plan(&config("60s", &resources)), 0, asked(&[&exporter], 4)).await;
            let place = Place { attack: 0, resource: 0 };
            let of = |metric, value: f64, capacity| {
                let readings = seen.of(&metric);
                assert!(!readings.is_empty(), "{metric:?} {:?}", seen.whys());
                let fits = |one: &&Reading| near(one.value, value) && one.capacity == capacity && one.place == place;
                assert!(readings.iter().all(fits), "{readings:?}");
            };
            of(Metric::Memory, 3e7, None);
            of(Metric::Descriptors, 40.0, Some(1024.0));
            of(Metric::Cpu, 0.0, Some(3.0));
            assert!(seen.misses.is_empty());
        })
        .await;
}

#[tokio::test]
async fn only_the_first_worker_reads() {
    LocalSet::new()
        .run_until(async {
            let exporter = Exporter::pages(node).await;
            let text = config("60s", &format!("[{{ prometheus: '{}', every: 100ms }}]", exporter.url()));
            let plan = plan(&text.replace("workers: 1", "workers: 2"));
            let second = tokio::time::sleep(LEAD + Duration::from_millis(400));
            let second = run(plan.clone(), 1, second).await;
            assert_eq!((second.readings.len(), second.misses.len(), exporter.asked.get()), (0, 0, 0));
            assert!(second.requests > 0 || second.tally.dropped > 0);
            let first = run(plan, 0, asked(&[&exporter], 2)).await;
            assert!(!first.readings.is_empty(), "{:?}", first.whys());
        })
        .await;
}

#[tokio::test]
async fn a_resource_is_read_while_its_own_attack_lasts() {
    LocalSet::new()
        .run_until(async {
            let exporter = Exporter::pages(node).await;
            let attack = |name: &str, duration: &str, fields: &str| {
                format!("  - {{ name: {name}, url: 'http://127.0.0.1:1/', rate: 100/s, duration: {duration}{fields} }}
")
            };
            let resources = format!(", resources: [{{ pid: 4194304 }}, {{ prometheus: '{}', every: 200ms }}]", exporter.url());
            let text = format!(
                "name: t\nworkers: 1\norder: sequence\nattacks:\n{}{}{}",
                attack("a", "500ms", ""),
                attack("b", "60s", &resources),
                attack("c", "1s", "")
            );
            let seen = run(plan(&text), 0, asked(&[&exporter], 3)).await;
            seen.load_is_whole();
            let memory = seen.of(&Metric::Memory);
            assert!(memory.iter().all(|reading| reading.place == Place { attack: 1, resource: 1 }));
            let instants: Vec<u64> = memory.iter().map(|reading| reading.at).collect();
            assert!(!instants.is_empty(), "{:?}", seen.whys());
            // Counted from the start of the load: the first is due at 600 ms.
            in_step(&instants, 200_000, Span { start: 600_000, end: seen.until });
        })
        .await;
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_the_load_goes_on() {
    LocalSet::new()
        .run_until(async {
            let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let elsewhere = Exporter::pages(node).await;
            let moved = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
            let moved = Exporter::serve(move |_| moved.clone()).await;
            let sick = Exporter::serve(|_| "HTTP/1.1 503 Sick\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
            let alien = Exporter::serve(|_| "SSH-2.0-OpenSSH_9.9\r\n".to_owned()).await;
            let resources = format!(
                "[{{ prometheus: 'http://{gone}/', every: 100ms }}, {{ prometheus: '{}', every: 100ms }}, {{ prometheus: '{}', every: 100ms }}, {{ prometheus: '{}', every: 100ms }}, {{ cgroup: /nowhere, every: 100ms }}]",
                moved.url(),
                sick.url(),
                alien.url()
            );
            let enough = asked(&[&moved, &sick, &alien], 5);
            let seen = run(plan(&config("60s", &resources)), 0, enough).await;
            seen.load_is_whole();
            assert!(seen.readings.is_empty());
            assert!(seen.misses.iter().all(|miss| miss.at < seen.until));
            let told = |resource| {
                let place = Place { attack: 0, resource };
                let mut whys: Vec<&str> =
                    seen.misses.iter().filter(|miss| miss.place == place).map(|miss| miss.why.as_str()).collect();
                whys.dedup();
                whys
            };
            assert_eq!(told(0), ["connection refused"]);
            assert_eq!(told(1), ["it answers with status 302"]);
            assert_eq!(elsewhere.asked.get(), 0, "nobody is asked whom the config does not name");
            assert_eq!(told(2), ["it answers with status 503"]);
            assert_eq!(told(3).len(), 1, "what is no HTTP is told in the words of the client: {:?}", told(3));
            let nowhere = "/nowhere/cpu.stat: no such file or directory; /nowhere/memory.current: no such file or directory";
            assert_eq!(told(4), [nowhere]);
        })
        .await;
}

/// A page may take 5 s here, and the load is stopped when it was asked for.
#[tokio::test]
async fn an_endpoint_that_never_answers_keeps_nobody() {
    LocalSet::new()
        .run_until(async {
            let silent = Exporter::serve(|_| String::new()).await;
            let resources = format!("[{{ prometheus: '{}', every: 5s }}]", silent.url());
            let seen = run(plan(&config("60s", &resources)), 0, asked(&[&silent], 1)).await;
            seen.load_is_whole();
            let until = Duration::from_micros(seen.until);
            assert!(seen.took < until + Duration::from_secs(4), "{:?}", seen.took);
            assert_eq!(
                (seen.readings.len(), seen.misses.len()),
                (0, 0),
                "nobody knows what it would have said"
            );
        })
        .await;
}

#[tokio::test]
async fn an_answer_that_is_late_skips_what_was_due_meanwhile() {
    LocalSet::new()
        .run_until(async {
            // The second page never comes: a reading of every 100 ms waits for 1 s.
            let page = Exporter::serve(|asked| {
                let page = node(asked);
                let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}", page.len());
                if asked == 2 { String::new() } else { response }
            })
            .await;
            let resources = format!(
                "[{{ prometheus: '{}', every: 100ms, series: ['asked{{how=\"this\"}}'] }}]",
                page.url()
            );
            let enough = asked(&[&page], 5);
            let seen = run(plan(&config("60s", &resources)), 0, enough).await;
            assert_eq!(seen.whys().first(), Some(&"no answer within 1 s"));
            let readings = seen.series("asked{how=\"this\"}");
            let [first, third] = [&readings[0], &readings[1]];
            assert!(near(first.value, 1.0) && near(third.value, 3.0), "{readings:?}");
            assert!(third.at - first.at >= 1_000_000, "{readings:?}");
            let instants: Vec<u64> = readings.iter().map(|reading| reading.at).collect();
            in_step(&instants, 100_000, Span { start: 0, end: seen.until });
        })
        .await;
}

#[tokio::test]
async fn a_stop_ends_the_reading_too() {
    LocalSet::new()
        .run_until(async {
            let exporter = Exporter::pages(node).await;
            let resources = format!("[{{ prometheus: '{}', every: 100ms }}]", exporter.url());
            let counted = Rc::clone(&exporter.asked);
            let asked_at_stop = Rc::new(Cell::new(0));
            let noted = Rc::clone(&asked_at_stop);
            let some = asked(&[&exporter], 3);
            let after_some = async move {
                some.await;
                noted.set(counted.get());
            };
            let seen = run(plan(&config("60s", &resources)), 0, after_some).await;
            assert!(seen.until < 60_000_000);
            assert!(seen.readings.iter().all(|reading| reading.at < seen.until));
            assert_eq!(exporter.asked.get(), asked_at_stop.get());
        })
        .await;
}

/// A child that is ended with the test.
struct Busy(Child);

impl Busy {
    /// Burns one processor, with 7 descriptors of at most 77, in at most 4,000,000 KiB.
    fn start() -> Self {
        let script = "ulimit -S -n 77; ulimit -S -v 4000000; exec 4</dev/null 5</dev/null 6</dev/null 7</dev/null; echo ready; while :; do :; done";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    /// CPU time so far, in seconds: fields 14 and 15, counted from one, of a name without blanks.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.split(' ').collect();
        let ticks: f64 = fields[13].parse::<f64>().unwrap() + fields[14].parse::<f64>().unwrap();
        ticks / rustix::param::clock_ticks_per_second() as f64
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_process_of_this_machine_is_read() {
    LocalSet::new()
        .run_until(async {
            let busy = Busy::start();
            let resources = format!("[{{ pid: {}, every: 200ms, name: busy }}]", busy.0.id());
            let before = busy.cpu();
            let seen = run(plan(&config("2s", &resources)), 0, to_the_end()).await;
            let used = busy.cpu() - before;
            assert!(seen.misses.is_empty(), "{:?}", seen.whys());

            let open = std::fs::read_dir(format!("/proc/{}/fd", busy.0.id())).unwrap().count() as f64;
            let descriptors = seen.of(&Metric::Descriptors);
            assert!(
                descriptors.iter().all(|one| near(one.value, open) && one.capacity == Some(77.0)),
                "{descriptors:?}"
            );
            assert!(open >= 7.0, "{open}");
            let memory = seen.of(&Metric::Memory);
            // A shell takes some, and no more than it may.
            let fits = |one: &&Reading| one.value > 1e5 && one.value < 1e9 && one.capacity == Some(4.096e9);
            assert!(!memory.is_empty() && memory.iter().all(fits), "{memory:?}");

            let cpu = seen.of(&Metric::Cpu);
            assert_eq!(cpu.len(), memory.len() - 1);
            assert!(cpu.iter().all(|one| one.capacity.is_some_and(|processors| processors >= 1.0)));
            let mut burnt = 0.0;
            for (before, one) in memory.iter().zip(&cpu) {
                burnt += one.value * (one.at - before.at) as f64 / 1e6;
            }
            // One thread burns no more than one processor, whatever else runs here. Ticks are
            // of 10 ms, and a machine that is busy takes its time to answer.
            let span = (memory.last().unwrap().at - memory[0].at) as f64 / 1e6;
            assert!(burnt > 0.0 && burnt <= used + 0.02, "{burnt} s of {used} s");
            assert!(burnt <= span * 1.5 + 0.02, "{burnt} s in {span} s");
        })
        .await;
}

#[tokio::test]
async fn a_process_that_has_ended_is_told() {
    LocalSet::new()
        .run_until(async {
            let busy = Busy::start();
            let pid = busy.0.id();
            let resources = format!("[{{ pid: {pid}, every: 100ms }}]");
            let busy = RefCell::new(Some(busy));
            let end = async move {
                tokio::time::sleep(LEAD).await;
                drop(busy.take());
                tokio::time::sleep(Duration::from_secs(1)).await;
            };
            let seen = run(plan(&config("60s", &resources)), 0, end).await;
            seen.load_is_whole();
            let last = seen.misses.last().map(|miss| miss.why.as_str());
            assert_eq!(last, Some(format!("there is no process {pid}").as_str()));
        })
        .await;
}

#[tokio::test]
async fn a_control_group_is_read() {
    LocalSet::new()
        .run_until(async {
            let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("web.slice");
            std::fs::create_dir_all(&directory).unwrap();
            for (file, text) in [
                ("cpu.stat", "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n"),
                ("cpu.max", "50000 100000\n"),
                ("cpuset.cpus.effective", "0-3\n"),
                ("memory.current", "300000000\n"),
                ("memory.stat", "anon 100000000\ninactive_anon 5\ninactive_file 120000000\n"),
                ("memory.max", "400000000\n"),
            ] {
                std::fs::write(directory.join(file), text).unwrap();
            }
            let resources = format!("[{{ cgroup: {}, every: 100ms }}]", directory.display());
            let seen = run(plan(&config("1s", &resources)), 0, to_the_end()).await;
            assert!(seen.misses.is_empty(), "{:?}", seen.whys());
            let memory = seen.of(&Metric::Memory);
            assert!(!memory.is_empty() && memory.iter().all(|one| near(one.value, 1.8e8)), "{memory:?}");
            assert!(memory.iter().all(|one| one.capacity == Some(4e8)));
            let cpu = seen.of(&Metric::Cpu);
            assert!(cpu.iter().all(|one| near(one.value, 0.0) && one.capacity == Some(0.5)), "{cpu:?}");
            assert!(seen.of(&Metric::Descriptors).is_empty());
        })
        .await;
}
