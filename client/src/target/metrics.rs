//! What the target counted, and its page for Prometheus.
//!
//! The page has the usual `process_*` metrics, so that a resource probe reads
//! them here as from any other service. They are of the whole process: the
//! demo's target shares it with the load generator. What this platform cannot
//! tell is left out, never guessed.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::args::grouped;

/// How many requests the target had, by what became of them. `/metrics` and
/// `/healthz` are not among them.
///
/// `received = ok + failed + rejected + starved + given_up + abandoned +` those
/// still waiting or in service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests read to their end.
    pub received: u64,
    /// Answered 200.
    pub ok: u64,
    /// Answered 500, as `--errors` asks.
    pub failed: u64,
    /// Answered 503, because the queue was full.
    pub rejected: u64,
    /// Answered 503, because the process had no descriptors left for
    /// `--hold-files`.
    pub starved: u64,
    /// Answered 504, because they waited longer than `--patience`. They took
    /// their server's time all the same.
    pub given_up: u64,
    /// Never answered: the client went away, or the target stopped. They took
    /// their server's time all the same.
    pub abandoned: u64,
    /// Bytes of request bodies.
    pub bytes_received: u64,
    /// Bytes of response bodies handed to the connection.
    pub bytes_sent: u64,
}

impl Counts {
    /// Responses by status code, in ascending order.
    #[must_use]
    pub fn by_code(&self) -> [(u16, u64); 4] {
        [(200, self.ok), (500, self.failed), (503, self.rejected + self.starved), (504, self.given_up)]
    }
}

/// `5 received, 3 ok, 0 errors, 2 rejected, 0 abandoned`, and what only some
/// knobs cause, if it happened.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |n: u64| grouped(&n.to_string());
        write!(f, "{} received, {} ok, {} errors", group(self.received), group(self.ok), group(self.failed))?;
        write!(f, ", {} rejected", group(self.rejected))?;
        if self.starved > 0 {
            write!(f, ", {} without files", group(self.starved))?;
        }
        if self.given_up > 0 {
            write!(f, ", {} given up", group(self.given_up))?;
        }
        write!(f, ", {} abandoned", group(self.abandoned))
    }
}

/// The counters behind [`Counts`], shared by all connections.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) received: AtomicU64,
    pub(super) ok: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) starved: AtomicU64,
    pub(super) given_up: AtomicU64,
    pub(super) abandoned: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    /// Connections accepted so far.
    pub(super) connections: AtomicU64,
    /// Times that a connection could not be accepted.
    pub(super) accept_errors: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Counts {
        Counts {
            // What became of requests is read before how many there were, so
            // that the parts never exceed the whole.
            ok: self.ok.load(Relaxed),
            failed: self.failed.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            starved: self.starved.load(Relaxed),
            given_up: self.given_up.load(Relaxed),
            abandoned: self.abandoned.load(Relaxed),
            received: self.received.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
        }
    }
}

/// The target at one instant.
pub(super) struct Snapshot {
    pub(super) counts: Counts,
    pub(super) waiting: usize,
    pub(super) in_service: usize,
    pub(super) leaked_bytes: u64,
    /// Attempts that impatient callers repeated.
    pub(super) retried: u64,
    pub(super) servers: u32,
    /// Infinite when service takes no time.
    pub(super) capacity_per_second: f64,
    pub(super) connections: u64,
    pub(super) accept_errors: u64,
    pub(super) uptime: Duration,
}

/// The page in the text exposition format 0.0.4.
pub(super) fn page(snapshot: &Snapshot) -> String {
    let mut page = Page(String::with_capacity(4096));
    let counts = &snapshot.counts;
    page.head("deathstar_target_requests_total", "counter", "Requests answered, by status code.");
    for (code, count) in counts.by_code() {
        page.line("deathstar_target_requests_total", format_args!("{{code=\"{code}\"}}"), count);
    }
    let gauge = "gauge";
    let counter = "counter";
    let per_second = PromFloat(snapshot.capacity_per_second);
    page.metric("deathstar_target_received_total", counter, "Requests read to their end.", counts.received);
    page.metric(
        "deathstar_target_abandoned_total",
        counter,
        "Requests whose client left first.",
        counts.abandoned,
    );
    page.metric(
        "deathstar_target_received_bytes_total",
        counter,
        "Bytes of request bodies.",
        counts.bytes_received,
    );
    page.metric("deathstar_target_sent_bytes_total", counter, "Bytes of response bodies.", counts.bytes_sent);
    page.metric(
        "deathstar_target_out_of_files_total",
        counter,
        "Requests refused for want of file descriptors.",
        counts.starved,
    );
    page.metric(
        "deathstar_target_leaked_bytes",
        gauge,
        "Memory kept for ever on purpose.",
        snapshot.leaked_bytes,
    );
    page.metric(
        "deathstar_target_retries_total",
        counter,
        "Requests that impatient callers sent again.",
        snapshot.retried,
    );
    page.metric(
        "deathstar_target_queue_length",
        gauge,
        "Requests waiting for a server or a CPU.",
        snapshot.waiting,
    );
    page.metric(
        "deathstar_target_in_service",
        gauge,
        "Requests that a server or a CPU works on.",
        snapshot.in_service,
    );
    page.metric("deathstar_target_servers", gauge, "Requests that can be served at once.", snapshot.servers);
    page.metric(
        "deathstar_target_capacity_per_second",
        gauge,
        "Requests per second it can serve.",
        per_second,
    );
    page.metric("deathstar_target_connections_total", counter, "Connections accepted.", snapshot.connections);
    page.metric(
        "deathstar_target_accept_errors_total",
        counter,
        "Accepts that failed.",
        snapshot.accept_errors,
    );
    page.metric("deathstar_target_uptime_seconds", gauge, "Since it listens.", snapshot.uptime.as_secs_f64());
    let process = process::read();
    page.known("process_cpu_seconds_total", counter, "User and system CPU time spent.", process.cpu_seconds);
    page.known("process_resident_memory_bytes", gauge, "Resident memory size.", process.resident_bytes);
    page.known("process_virtual_memory_bytes", gauge, "Virtual memory size.", process.virtual_bytes);
    page.known("process_open_fds", gauge, "Open file descriptors.", process.open_fds);
    page.known("process_max_fds", gauge, "Limit of open file descriptors.", process.max_fds);
    page.known("process_start_time_seconds", gauge, "Start since the epoch.", process.start_time_seconds);
    page.0
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: impl fmt::Display, value: impl fmt::Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn metric(&mut self, name: &str, kind: &str, help: &str, value: impl fmt::Display) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn known(&mut self, name: &str, kind: &str, help: &str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.metric(name, kind, help, value);
        }
    }
}

/// Infinity as Prometheus spells it.
struct PromFloat(f64);

impl fmt::Display for PromFloat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_infinite() { f.write_str("+Inf") } else { self.0.fmt(f) }
    }
}

/// What the operating system says of this process.
mod process {
    #[derive(Default)]
    pub(super) struct Process {
        pub(super) cpu_seconds: Option<f64>,
        pub(super) resident_bytes: Option<u64>,
        pub(super) virtual_bytes: Option<u64>,
        pub(super) open_fds: Option<usize>,
        pub(super) max_fds: Option<u64>,
        pub(super) start_time_seconds: Option<f64>,
    }

    pub(super) fn read() -> Process {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let mut process = Process {
            cpu_seconds: Some(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9),
            max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            ..Process::default()
        };
        #[cfg(target_os = "linux")]
        linux::read(&mut process);
        process
    }

    #[cfg(target_os = "linux")]
    mod linux {
        use std::fs;

        /// What of it is in `/proc`; proc(5) describes the files.
        pub(super) fn read(process: &mut super::Process) {
            if let Some((size, resident)) = memory_pages() {
                let page = rustix::param::page_size() as u64;
                process.virtual_bytes = Some(size * page);
                process.resident_bytes = Some(resident * page);
            }
            // The descriptor that reads the directory stands for the spare one of `files`.
            process.open_fds = fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
            process.start_time_seconds = start_time();
        }

        fn memory_pages() -> Option<(u64, u64)> {
            let statm = fs::read_to_string("/proc/self/statm").ok()?;
            let mut fields = statm.split_ascii_whitespace().map(str::parse);
            Some((fields.next()?.ok()?, fields.next()?.ok()?))
        }

        /// Seconds since the epoch: the boot's, and how long after it we started.
        fn start_time() -> Option<f64> {
            let boot = fs::read_to_string("/proc/stat").ok()?;
            let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
            let stat = fs::read_to_string("/proc/self/stat").ok()?;
            // Field 22, counted from 1; the name, field 2, may contain spaces, but ends with the last `)`.
            let ticks: f64 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(22 - 3)?.parse().ok()?;
            Some(boot + ticks / rustix::param::clock_ticks_per_second() as f64)
        }
    }
}
