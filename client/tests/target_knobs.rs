//! The knobs of the target that use something up, in the real program: it is
//! alone in its process, so what the system says of the process is the target's.
//!
//! Nothing here is timed. CPU time, memory and descriptors are what was asked
//! on any machine, and services that must not end take an hour.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers are tests, too, though clippy sees only the functions marked so"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Far more than any step takes; only a hang reaches it.
const DEADLINE: Duration = Duration::from_secs(60);

/// `deathstar target`, killed when dropped.
struct Target {
    child: Child,
    address: SocketAddr,
}

impl Target {
    fn start(words: &str) -> Self {
        Self::start_within("true", words)
    }

    /// Starts it where `limits`, a command of the shell, has been run.
    fn start_within(limits: &str, words: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_deathstar");
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limits} && exec \"$0\" target {words}"), program])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").unwrap().parse().unwrap();
        Self { child, address }
    }

    fn client(&self) -> Client {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Client(BufReader::new(socket))
    }

    /// A request whose answer is not waited for; whoever drops it leaves.
    fn send(&self) -> Client {
        let mut client = self.client();
        client.ask("/");
        client
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One keep-alive connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn ask(&mut self, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: target\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
    }

    fn answer(&mut self) -> (u16, String) {
        let (mut status, mut length, mut line) = (0, 0, String::new());
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "closed without an answer");
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.trim_end().parse().unwrap();
            } else if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    fn get(&mut self, path: &str) -> u16 {
        self.ask(path);
        self.answer().0
    }

    fn metrics(&mut self) -> Metrics {
        self.ask("/metrics");
        let (_, page) = self.answer();
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        Metrics(
            samples
                .map(|line| line.rsplit_once(' ').unwrap())
                .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
                .collect(),
        )
    }

    /// Asks until the metrics are as described.
    fn until(&mut self, described: impl Fn(&Metrics) -> bool) -> Metrics {
        // A pause of a millisecond: this is the deadline, at the soonest.
        for _ in 0..DEADLINE.as_millis() {
            let metrics = self.metrics();
            if described(&metrics) {
                return metrics;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("it never came about; the last metrics are {:#?}", self.metrics().0);
    }
}

struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn float(&self, name: &str) -> f64 {
        *self.0.get(name).unwrap_or_else(|| panic!("no {name} in {:#?}", self.0))
    }

    #[expect(clippy::cast_possible_truncation, reason = "they are whole and small")]
    fn of(&self, name: &str) -> i64 {
        self.float(name) as i64
    }

    fn target(&self, name: &str) -> i64 {
        self.of(&format!("deathstar_target_{name}"))
    }

    fn open_files(&self) -> i64 {
        self.of("process_open_fds")
    }
}

#[test]
fn requests_burn_the_cpu_time_that_was_asked() {
    let target = Target::start("--service 1ms --burn 10ms --servers 2");
    let mut client = target.client();
    let before = client.metrics().float("process_cpu_seconds_total");
    for _ in 0..20 {
        assert_eq!(client.get("/"), 200);
    }
    let burnt = client.metrics().float("process_cpu_seconds_total") - before;
    // 20 × 10 ms; HTTP itself takes some, a thousandth of the bound on a usual machine.
    assert!((0.2..2.2).contains(&burnt), "{burnt} s");
}

#[test]
fn work_goes_on_when_the_client_has_gone() {
    let target = Target::start("--service 50ms --burn 20ms");
    let mut client = target.client();
    let before = client.metrics().float("process_cpu_seconds_total");
    drop(target.send());
    client.until(|metrics| metrics.float("process_cpu_seconds_total") - before >= 0.02);
}

#[test]
fn the_event_loop_never_burns() {
    let target = Target::start("--service 0s --burn 1h --servers 1 --queue 2");
    let mut client = target.client();
    let mut pending = Vec::new();
    for n in 1..=3 {
        pending.push(target.send());
        client.until(|metrics| metrics.target("received_total") == n);
    }
    let metrics = client.until(|metrics| metrics.target("in_service") == 1);
    assert_eq!(metrics.target("queue_length"), 2);
    let seconds_each = 1.0 / metrics.float("deathstar_target_capacity_per_second");
    assert!((seconds_each - 3600.0).abs() < 1e-6, "{seconds_each} s");
    assert_eq!((client.get("/healthz"), client.get("/")), (200, 503));
}

#[test]
fn memory_grows_by_what_was_asked() {
    let target = Target::start("--service 0s --body 0 --leak 64MiB");
    let mut client = target.client();
    client.get("/");
    let before = client.metrics();
    // 67,108.864 bytes a request.
    assert_eq!(before.target("leaked_bytes"), 67_108);
    for _ in 0..999 {
        client.get("/");
    }
    let after = client.metrics();
    assert_eq!(after.target("leaked_bytes"), 64 << 20);
    let resident = |metrics: &Metrics| metrics.of("process_resident_memory_bytes");
    // The kernel counts pages to within some tens on each CPU.
    let grown = resident(&after) - resident(&before);
    assert!((60 << 20..96 << 20).contains(&grown), "{grown} bytes");
}

#[test]
fn each_request_holds_its_files_until_it_is_answered() {
    let target = Target::start("--service 1h --servers 2 --hold-files 7");
    let mut client = target.client();
    let idle = client.metrics().open_files();
    // Two in service and three that wait.
    let pending: Vec<Client> = (0..5).map(|_| target.send()).collect();
    let busy = client.until(|metrics| metrics.target("received_total") == 5);
    assert_eq!(busy.open_files(), idle + 5 * (7 + 1));
    drop(pending);
    client.until(|metrics| metrics.open_files() == idle);

    let target = Target::start("--service 0s --hold-files 100");
    let mut client = target.client();
    let idle = client.metrics().open_files();
    assert_eq!(client.get("/"), 200);
    assert_eq!(client.metrics().open_files(), idle, "answered, so they are closed");
}

#[test]
fn it_survives_that_descriptors_run_out() {
    // Above the number of whatever this process inherited and passes on.
    let target = Target::start_within("ulimit -n 1000", "--service 1h --hold-files 100");
    let mut client = target.client();
    let idle = client.metrics();
    assert_eq!(idle.of("process_max_fds"), 1000);
    // Connections without a request, until 5 descriptors are left over when
    // as many requests as possible, of 1 + 100 each, are under way.
    let free = 1000 - idle.open_files();
    let idlers: Vec<Client> = (0..(free - 5).rem_euclid(101))
        .map(|_| {
            let mut idler = target.client();
            assert_eq!(idler.get("/healthz"), 200);
            idler
        })
        .collect();
    let free = free - i64::try_from(idlers.len()).unwrap();
    assert_eq!(free % 101, 5);
    let mut pending = Vec::new();
    for n in 1..=free / 101 {
        pending.push(target.send());
        client.until(|metrics| metrics.target("received_total") == n);
    }
    let mut refused = target.client();
    assert_eq!((refused.get("/"), refused.get("/"), refused.get("/healthz")), (503, 503, 200));
    let metrics = client.metrics();
    assert_eq!((metrics.target("out_of_files_total"), metrics.target("in_service")), (2, free / 101));
    assert_eq!(metrics.open_files(), 996, "4 are left: not enough for 100");

    // Six connections more are two too many.
    let mut more: Vec<Client> = (0..6).map(|_| target.send()).collect();
    let full = client.until(|metrics| metrics.target("accept_errors_total") >= 3);
    assert_eq!(full.open_files(), 1000, "it can say so even now");
    assert_eq!(client.get("/healthz"), 200);
    // It pauses for 10 ms after each error.
    let errors = full.float("deathstar_target_accept_errors_total");
    assert!(errors <= 1.0 + full.float("deathstar_target_uptime_seconds") * 100.0, "{errors}");

    // The four that were accepted were refused, and when some leave, the others are served.
    for accepted in &mut more[..4] {
        assert_eq!(accepted.answer().0, 503);
    }
    drop(pending);
    client.until(|metrics| metrics.target("in_service") >= free / 101 + 2);
    assert_eq!(target.client().get("/healthz"), 200);
}

#[test]
fn impatient_callers_leave_their_work_behind() {
    let target = Target::start("--servers 1 --service 1h --patience 1ms --retries 2");
    let mut client = target.client();
    let _served = target.send();
    client.until(|metrics| metrics.target("in_service") == 1);
    assert_eq!(client.get("/"), 504);
    // The request itself waits on, and its two retries behind it.
    let metrics = client.until(|metrics| metrics.target("retries_total") == 2);
    assert_eq!((metrics.target("queue_length"), metrics.target("in_service")), (3, 1));
    assert_eq!(metrics.of("deathstar_target_requests_total{code=\"504\"}"), 1);
}

#[test]
fn contradicting_knobs_are_refused_together() {
    let output = Command::new(env!("CARGO_BIN_EXE_deathstar"))
        .args("target --burn 1ms --patience 1s --retries 101 --leak 5GiB".split(' '))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    for problem in ["--burn 1ms cannot go with --patience 1s", "--retries 101 is out", "--leak of 5368709120"]
    {
        assert!(error.contains(problem), "{error}");
    }
}
