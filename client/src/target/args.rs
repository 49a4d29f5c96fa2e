//! The knobs of `deathstar target` as a person writes them, and the checked
//! [`TargetConfig`] that they become.

use std::fmt;
use std::num::NonZeroU32;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::ValueEnum;
use deathstar_statemachine::units::{UnitError, display_duration, parse_duration};
use thiserror::Error;

use super::draw::{ErrorRatio, ServiceTimes, nanos};
use super::leak;
use super::queue::{Queue, Stalls};
use super::retries::{Callers, Impatience};

/// The most servers a target may have.
pub const MAX_SERVERS: u32 = 1_000_000;
/// The largest response body, in bytes: 1 TiB. Bodies are streamed from one
/// shared piece, so their size costs no memory.
pub const MAX_BODY: u64 = 1 << 40;
/// The most times that an impatient caller may repeat a request.
pub const MAX_RETRIES: u32 = 100;
/// The most descriptors that a request may hold.
pub const MAX_HELD_FILES: u32 = 10_000;

// Where these are flattened or a subcommand's arguments, clap shows this text.
/// Serve HTTP on 127.0.0.1 with a capacity known exactly, and stalls and errors on cue
///
/// HTTP/1.1, and HTTP/2 without TLS. Every path is the service, but for /metrics (Prometheus) and
/// /healthz. Example: `deathstar target --port 8080 --servers 8 --service 5ms --queue 1000`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct TargetArgs {
    /// TCP port on 127.0.0.1; 0 picks a free one, which the first line of output names
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub port: u16,

    /// Mean time a server takes for one request, such as 5ms, 250us or 1s; 0s answers at once
    ///
    /// Capacity is exactly servers ÷ service time: `--servers 8 --service 5ms` serves 1,600 requests
    /// per second. Departures are computed, so timers that fire late lower no capacity.
    #[arg(long, value_name = "DURATION", default_value = "1ms", value_parser = parse_duration)]
    pub service: Duration,

    /// How service times spread around their mean
    #[arg(long, value_enum, default_value_t = Distribution::Constant)]
    pub distribution: Distribution,

    /// Seed of the service times and of the places of errors; the same seed repeats them exactly
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// How many requests are served at the same time, behind one first-in-first-out queue; 1 to 1000000
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub servers: u32,

    /// How many requests may wait for a server; one more is answered 503 at once [default: no limit]
    ///
    /// With 0 a request is served at once or refused. A client that gives up keeps its place: the
    /// request still takes its server's time, as in most real services.
    #[arg(long, value_name = "N")]
    pub queue: Option<u64>,

    /// Freeze every server for this long at each multiple of --every, such as 500ms
    ///
    /// Requests in service make no progress meanwhile, and depart later by the length of the stall.
    /// `--stall 500ms --every 5s` freezes from 5s to 5.5s, from 10s to 10.5s and so on, counted from
    /// when the target began to listen.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "every")]
    pub stall: Option<Duration>,

    /// From the start of one stall to the start of the next, such as 5s; longer than --stall
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "stall")]
    pub every: Option<Duration>,

    /// How often a caller that lost its --patience sends the same request again; 0 to 100
    ///
    /// Makes the target metastable: between capacity ÷ (1 + retries) and capacity it is well for ever,
    /// until a burst makes requests wait longer than the patience. From then on each costs 1 + retries
    /// services, base·(1 + retries) > capacity > base, and it never recovers until the load is taken away.
    /// A --queue too short to wait that long in protects it: whoever is refused does not come again.
    /// Retries come from the target itself, not over the network. `--servers 1 --service 10ms
    /// --patience 200ms --retries 2` bears 60 requests per second until a burst of 100 comes.
    #[arg(long, value_name = "N", requires = "patience")]
    pub retries: Option<u32>,

    /// How long a request may wait for a server, such as 200ms, before its caller gives up: it is answered 504
    ///
    /// The answer comes when the patience is over. The request keeps its place and takes its server's
    /// time for nobody, and so do its --retries, each with the same patience and cost. Only the wait
    /// counts, not the service.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "retries")]
    pub patience: Option<Duration>,

    /// CPU time that each request burns, such as 2ms, after its --service has passed; 0s burns none
    ///
    /// Truly burnt, by as many threads as --servers or, if fewer, this machine's CPUs, in the order in
    /// which requests leave the servers. Capacity is the lesser of servers ÷ service and CPUs ÷ burn:
    /// on 4 CPUs `--service 0s --burn 2ms` serves 2,000 requests per second, less what HTTP itself and
    /// other programs take. --queue bounds those that wait for a CPU, too. --stall freezes no burning.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub burn: Duration,

    /// Memory kept for ever for every 1,000 requests served, such as 10MiB; at most 4GiB; 0 keeps none
    ///
    /// Grows a little with each request, and is written to, so that resident memory grows with it. At
    /// 4GiB in all it stops. Freed when the target stops.
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub leak: u64,

    /// File descriptors that each request holds from its arrival until its answer; 0 to 10000
    ///
    /// With a connection for each request in flight these are in flight × (N + 1) descriptors. A request
    /// that finds too few left is answered 503 at once, and connections wait to be accepted until there
    /// are some. `ulimit -n 1000; deathstar target --hold-files 9 --service 1s` runs out near 98 in flight.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub hold_files: u32,

    /// Share of served requests answered with status 500, such as 1% or 0.5%
    ///
    /// Exact: of any number of requests served so far the share has failed, rounded to a whole
    /// request. Each stretch of 1 ÷ share requests has one error, at a place drawn from the seed.
    #[arg(long, value_name = "PERCENT", default_value_t = ErrorRatio::NONE)]
    pub errors: ErrorRatio,

    /// Size of the body of a 200, such as 0, 512, 1KiB or 64MiB (also kB, MB, GB of 1000); at most 1TiB
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = parse_size)]
    pub body: u64,
}

impl Default for TargetArgs {
    /// The command line's defaults.
    fn default() -> Self {
        Self {
            port: 0,
            service: Duration::from_millis(1),
            distribution: Distribution::Constant,
            seed: 1,
            servers: 64,
            queue: None,
            stall: None,
            every: None,
            retries: None,
            patience: None,
            burn: Duration::ZERO,
            leak: 0,
            hold_files: 0,
            errors: ErrorRatio::NONE,
            body: 1024,
        }
    }
}

/// How service times spread around their mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Distribution {
    /// Each request takes exactly the mean
    #[default]
    Constant,
    /// Memoryless: standard deviation equal to the mean, 1 in 100 above 4.6 means
    Exponential,
    /// Evenly from zero to twice the mean
    Uniform,
    /// A heavy tail (σ = 1): 1 in 100 above 6.2 means, 1 in 1000 above 13
    Lognormal,
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Constant => "constant",
            Self::Exponential => "exponential",
            Self::Uniform => "uniform",
            Self::Lognormal => "lognormal",
        })
    }
}

/// Reads a size such as `512`, `1KiB`, `64MiB` or `1.5kB`, in whole bytes, from
/// zero to [`MAX_BODY`].
///
/// # Errors
/// When the text is no number with a unit of bytes, no whole number of bytes,
/// or too large.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let malformed = || UnitError::Malformed {
        text: text.to_owned(),
        what: "a size in whole bytes",
        example: "0, 512, 1KiB, 64MiB or 10MB",
    };
    let trimmed = text.trim();
    let split =
        trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let per_unit: u128 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(malformed()),
    };
    let number = number.replace('_', "");
    let (whole, decimals) = number.split_once('.').unwrap_or((&number, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 3 {
        return Err(malformed());
    }
    let too_large =
        || UnitError::OutOfRange { text: text.to_owned(), problem: "too large", limit: "1TiB".to_owned() };
    let thousandths: u64 = format!("{whole}{decimals:0<3}").parse().map_err(|_| too_large())?;
    let scaled = u128::from(thousandths) * per_unit;
    if !scaled.is_multiple_of(1000) {
        return Err(malformed());
    }
    u64::try_from(scaled / 1000).ok().filter(|bytes| *bytes <= MAX_BODY).ok_or_else(too_large)
}

/// A target that can be started: each knob is in range, and none contradicts
/// another.
#[derive(Debug, Clone)]
pub struct TargetConfig {
    port: u16,
    times: ServiceTimes,
    servers: NonZeroU32,
    queue: Option<u64>,
    stalls: Option<(Duration, Duration)>,
    /// How often callers retry, and after how long a wait.
    retries: Option<(u32, Duration)>,
    /// CPU time burnt for each request.
    burn: Duration,
    /// How many requests can burn at the same time.
    cpus: NonZeroU32,
    /// Bytes for every 1,000 requests.
    leak: u64,
    hold_files: u32,
    errors: ErrorRatio,
    body: u64,
}

/// Everything that is wrong with a target's knobs, at once.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .problems.join("; "))]
pub struct InvalidTarget {
    problems: Vec<String>,
}

impl InvalidTarget {
    /// One message a problem; never empty.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl TryFrom<TargetArgs> for TargetConfig {
    type Error = InvalidTarget;

    fn try_from(args: TargetArgs) -> Result<Self, InvalidTarget> {
        let mut problems = Vec::new();
        let servers = NonZeroU32::new(args.servers).filter(|n| n.get() <= MAX_SERVERS);
        if servers.is_none() {
            problems.push(format!("--servers {} is out of range; use 1 to {MAX_SERVERS}", args.servers));
        }
        let stalls = match (args.stall, args.every) {
            (None, None) => None,
            (Some(stall), None) => {
                problems.push(format!("--stall {} needs --every", display_duration(stall)));
                None
            }
            (None, Some(every)) => {
                problems.push(format!("--every {} needs --stall", display_duration(every)));
                None
            }
            (Some(stall), Some(every)) => {
                if stall.is_zero() {
                    problems.push("--stall 0s stalls nothing; use more than 0s, or leave it out".to_owned());
                } else if every <= stall {
                    problems.push(format!(
                        "--every {} leaves no time to serve; it must be longer than --stall {}",
                        display_duration(every),
                        display_duration(stall)
                    ));
                }
                Some((stall, every))
            }
        };
        let retries = match (args.retries, args.patience) {
            (None, None) => None,
            (Some(retries), None) => {
                problems.push(format!("--retries {retries} needs --patience"));
                None
            }
            (None, Some(patience)) => {
                problems.push(format!("--patience {} needs --retries", display_duration(patience)));
                None
            }
            (Some(retries), Some(patience)) => {
                if retries > MAX_RETRIES {
                    problems.push(format!("--retries {retries} is out of range; use 0 to {MAX_RETRIES}"));
                }
                if patience.is_zero() {
                    problems.push("--patience 0s waits for nothing; use more than 0s".to_owned());
                }
                Some((retries, patience))
            }
        };
        if let Some(patience) = args.patience.filter(|_| !args.burn.is_zero()) {
            problems.push(format!(
                "--burn {} cannot go with --patience {}: when a CPU will be free is not known ahead",
                display_duration(args.burn),
                display_duration(patience)
            ));
        }
        if args.leak > leak::LIMIT {
            problems.push(format!("--leak of {} bytes is too large; the limit is 4GiB", args.leak));
        }
        if args.hold_files > MAX_HELD_FILES {
            problems
                .push(format!("--hold-files {} is too many; the limit is {MAX_HELD_FILES}", args.hold_files));
        }
        if args.body > MAX_BODY {
            problems.push(format!("--body of {} bytes is too large; the limit is 1TiB", args.body));
        }
        match servers {
            Some(servers) if problems.is_empty() => Ok(Self {
                port: args.port,
                times: ServiceTimes { mean: args.service, distribution: args.distribution, seed: args.seed },
                servers,
                queue: args.queue,
                stalls,
                retries,
                burn: args.burn,
                cpus: machine_cpus().min(servers),
                leak: args.leak,
                hold_files: args.hold_files,
                errors: args.errors,
                body: args.body,
            }),
            _ => Err(InvalidTarget { problems }),
        }
    }
}

impl TargetConfig {
    /// Requests per second that the target can serve for ever: servers ÷ mean
    /// service time, less the share of time in which it is stalled, or CPUs ÷
    /// CPU time burnt, whichever is less. `None` when neither takes any time,
    /// and only the rest of the machine sets a limit.
    #[must_use]
    pub fn capacity_per_second(&self) -> Option<f64> {
        match (self.served_per_second(), self.burnt_per_second()) {
            (Some(served), Some(burnt)) => Some(served.min(burnt)),
            (served, burnt) => served.or(burnt),
        }
    }

    fn burnt_per_second(&self) -> Option<f64> {
        (!self.burn.is_zero()).then(|| f64::from(self.cpus.get()) / self.burn.as_secs_f64())
    }

    fn served_per_second(&self) -> Option<f64> {
        if self.times.mean.is_zero() {
            return None;
        }
        let free = self.stalls.map_or(1.0, |(stall, every)| 1.0 - stall.as_secs_f64() / every.as_secs_f64());
        Some(f64::from(self.servers.get()) / self.times.mean.as_secs_f64() * free)
    }

    /// Whether the queue is too short, at the mean service time, to wait in it
    /// longer than this.
    fn sheds_within(&self, patience: Duration) -> bool {
        self.queue.is_some_and(|bound| {
            let rounds = bound.div_ceil(self.servers.get().into());
            u128::from(rounds) * self.times.mean.as_nanos() <= patience.as_nanos()
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn servers(&self) -> u32 {
        self.servers.get()
    }

    pub(super) fn queue(&self) -> Option<u64> {
        self.queue
    }

    /// How many threads burn how much CPU time a request, if any.
    pub(super) fn burn(&self) -> Option<(u32, Duration)> {
        (!self.burn.is_zero()).then_some((self.cpus.get(), self.burn))
    }

    pub(super) fn leak(&self) -> u64 {
        self.leak
    }

    pub(super) fn hold_files(&self) -> u32 {
        self.hold_files
    }

    pub(super) fn times(&self) -> ServiceTimes {
        self.times
    }

    pub(super) fn fails(&self, n: u64) -> bool {
        self.errors.fails(self.times.seed, n)
    }

    pub(super) fn body(&self) -> u64 {
        self.body
    }

    pub(super) fn new_callers(&self) -> Callers {
        let stalls = self.stalls.map(|(stall, every)| Stalls { length: nanos(stall), every: nanos(every) });
        let impatience =
            self.retries.map(|(retries, patience)| Impatience { patience: nanos(patience), retries });
        Callers::new(Queue::new(self.servers.get(), self.queue, stalls), impatience)
    }
}

/// What the target does, for people: `capacity 1,600/s = 8 servers ÷ 5ms …`.
impl fmt::Display for TargetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.capacity_per_second() {
            None => f.write_str("capacity unbounded: service takes no time")?,
            Some(capacity) => write!(f, "capacity {} = ", per_second(capacity))?,
        }
        let served = self.served_per_second().is_some();
        let burnt = self.burnt_per_second().is_some();
        if served && burnt {
            f.write_str("the lesser of ")?;
        }
        if served {
            write!(f, "{} ÷ {}", counted(self.servers, "server"), display_duration(self.times.mean))?;
            if self.times.distribution != Distribution::Constant {
                write!(f, " ({} with this mean, seed {})", self.times.distribution, self.times.seed)?;
            }
        }
        if burnt {
            let and = if served { " and " } else { "" };
            write!(f, "{and}{} ÷ {} burnt", counted(self.cpus, "CPU"), display_duration(self.burn))?;
        }
        if let Some((stall, every)) = self.stalls {
            write!(f, ", frozen {} in every {}", display_duration(stall), display_duration(every))?;
        }
        if let Some(bound) = self.queue {
            write!(f, ", at most {} waiting, then 503", grouped(&bound.to_string()))?;
        }
        if let Some((retries, patience)) = self.retries {
            write!(f, ", callers give up after {} and ", display_duration(patience))?;
            match retries {
                0 => f.write_str("do not retry")?,
                1 => f.write_str("retry once")?,
                n => write!(f, "retry {n} times")?,
            }
            let metastable = retries > 0 && !self.sheds_within(patience);
            if let Some(capacity) = self.capacity_per_second().filter(|_| metastable) {
                write!(f, " (metastable above {})", per_second(capacity / (1.0 + f64::from(retries))))?;
            }
        }
        if self.leak > 0 {
            write!(f, ", leaks {} B per 1,000 requests", grouped(&self.leak.to_string()))?;
        }
        if self.hold_files > 0 {
            write!(f, ", each request holds {} files", grouped(&self.hold_files.to_string()))?;
        }
        if self.errors != ErrorRatio::NONE {
            write!(f, ", {} answered 500", self.errors)?;
        }
        write!(f, ", body {} B", grouped(&self.body.to_string()))
    }
}

/// `1 server`, `1,000 servers`.
fn counted(number: NonZeroU32, what: &str) -> String {
    let plural = if number.get() == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(&number.to_string()))
}

/// How many threads can truly run at the same time, as far as is known.
fn machine_cpus() -> NonZeroU32 {
    let cpus = available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cpus).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

/// A rate with two decimals where it is small: `1,600/s`, `33.33/s`.
fn per_second(rate: f64) -> String {
    let decimals = if rate < 100.0 { 2 } else { 0 };
    let exact = format!("{rate:.decimals$}");
    let exact = if decimals > 0 { exact.trim_end_matches('0').trim_end_matches('.') } else { &exact };
    format!("{}/s", grouped(exact))
}

/// `1234567.5` as `1,234,567.5`.
pub(super) fn grouped(number: &str) -> String {
    let whole = number.find('.').unwrap_or(number.len());
    let mut out = String::with_capacity(number.len() + whole / 3);
    for (at, digit) in number.char_indices() {
        if at > 0 && at < whole && (whole - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: TargetArgs,
    }

    fn parse(words: &str) -> Result<TargetArgs, clap::Error> {
        Command::try_parse_from(std::iter::once("target").chain(words.split_whitespace())).map(|c| c.args)
    }

    fn config(words: &str) -> Result<TargetConfig, InvalidTarget> {
        parse(words).unwrap().try_into()
    }

    #[test]
    fn defaults_are_the_same_in_code_and_on_the_command_line() {
        assert_eq!(parse("").unwrap(), TargetArgs::default());
        assert!(TargetConfig::try_from(TargetArgs::default()).is_ok());
    }

    #[test]
    fn every_knob_is_read() {
        let args = parse(
            "--port 8080 --service 5ms --distribution lognormal --seed 9 --servers 8 --queue 100 \
             --stall 500ms --every 5s --retries 2 --patience 200ms --burn 2ms \
             --leak 10MiB --hold-files 3 --errors 1% --body 64MiB",
        );
        assert_eq!(
            args.unwrap(),
            TargetArgs {
                port: 8080,
                service: Duration::from_millis(5),
                distribution: Distribution::Lognormal,
                seed: 9,
                servers: 8,
                queue: Some(100),
                stall: Some(Duration::from_millis(500)),
                every: Some(Duration::from_secs(5)),
                retries: Some(2),
                patience: Some(Duration::from_millis(200)),
                burn: Duration::from_millis(2),
                leak: 10 << 20,
                hold_files: 3,
                errors: "1%".parse().unwrap(),
                body: 64 << 20,
            }
        );
    }

    #[test]
    fn some_knobs_need_each_other() {
        for words in [
            "--stall 1s",
            "--every 1s",
            "--retries 1",
            "--patience 1s",
            "--errors 0.01",
            "--body 1ms",
            "--service 5",
            "--servers -1",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let args = TargetArgs {
            servers: 0,
            stall: Some(Duration::from_secs(5)),
            every: Some(Duration::from_secs(5)),
            retries: Some(101),
            patience: Some(Duration::from_secs(1)),
            burn: Duration::from_millis(5),
            leak: (4 << 30) + 1,
            hold_files: 10_001,
            body: MAX_BODY + 1,
            ..TargetArgs::default()
        };
        let problems = TargetConfig::try_from(args).unwrap_err();
        assert_eq!(
            problems.problems(),
            [
                "--servers 0 is out of range; use 1 to 1000000",
                "--every 5s leaves no time to serve; it must be longer than --stall 5s",
                "--retries 101 is out of range; use 0 to 100",
                "--burn 5ms cannot go with --patience 1s: when a CPU will be free is not known ahead",
                "--leak of 4294967297 bytes is too large; the limit is 4GiB",
                "--hold-files 10001 is too many; the limit is 10000",
                "--body of 1099511627777 bytes is too large; the limit is 1TiB",
            ]
        );
        let alone = TargetArgs { stall: Some(Duration::from_secs(1)), ..TargetArgs::default() };
        assert_eq!(TargetConfig::try_from(alone).unwrap_err().to_string(), "--stall 1s needs --every");
        let alone = TargetArgs { retries: Some(1), ..TargetArgs::default() };
        assert_eq!(TargetConfig::try_from(alone).unwrap_err().to_string(), "--retries 1 needs --patience");
        assert_eq!(
            config("--retries 1 --patience 0s").unwrap_err().to_string(),
            "--patience 0s waits for nothing; use more than 0s"
        );
        assert!(config("--stall 0s --every 5s").is_err());
        assert!(config("--servers 1000001").is_err());
    }

    #[test]
    fn sizes_are_whole_bytes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("1KiB", 1024),
            ("1.5 kB", 1500),
            ("64MiB", 67_108_864),
            ("1TiB", MAX_BODY),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "-1", "KiB", "1.5", "1K", "1.2.3MB", "2TiB", "99999999999999999999"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn capacity_is_servers_over_service_time_less_stalls() {
        for (words, capacity, text) in [
            ("--servers 8 --service 5ms", Some(1600.0), "capacity 1,600/s = 8 servers ÷ 5ms, body 1,024 B"),
            (
                "--servers 1 --service 3s --body 0",
                Some(1.0 / 3.0),
                "capacity 0.33/s = 1 server ÷ 3s, body 0 B",
            ),
            (
                "--servers 8 --service 5ms --stall 500ms --every 5s --queue 1000 --errors 0.5%",
                Some(1440.0),
                "capacity 1,440/s = 8 servers ÷ 5ms, frozen 500ms in every 5s, at most 1,000 waiting, then 503, \
                 0.5% answered 500, body 1,024 B",
            ),
            (
                "--servers 1 --service 500ms --distribution exponential",
                Some(2.0),
                "capacity 2/s = 1 server ÷ 500ms (exponential with this mean, seed 1), body 1,024 B",
            ),
            (
                "--servers 1 --service 10ms --retries 2 --patience 200ms",
                Some(100.0),
                "capacity 100/s = 1 server ÷ 10ms, callers give up after 200ms and retry 2 times \
                 (metastable above 33.33/s), body 1,024 B",
            ),
            (
                "--servers 2 --service 10ms --retries 1 --patience 200ms --queue 41",
                Some(200.0),
                "capacity 200/s = 2 servers ÷ 10ms, at most 41 waiting, then 503, \
                 callers give up after 200ms and retry once (metastable above 100/s), body 1,024 B",
            ),
            (
                "--servers 2 --service 10ms --retries 1 --patience 200ms --queue 40",
                Some(200.0),
                "capacity 200/s = 2 servers ÷ 10ms, at most 40 waiting, then 503, \
                 callers give up after 200ms and retry once, body 1,024 B",
            ),
            (
                "--servers 8 --service 5ms --burn 2ms --leak 10MiB --hold-files 3",
                Some(1000.0),
                "capacity 1,000/s = the lesser of 8 servers ÷ 5ms and 2 CPUs ÷ 2ms burnt, \
                 leaks 10,485,760 B per 1,000 requests, each request holds 3 files, body 1,024 B",
            ),
            (
                "--servers 8 --service 10ms --burn 2ms",
                Some(800.0),
                "capacity 800/s = the lesser of 8 servers ÷ 10ms and 2 CPUs ÷ 2ms burnt, body 1,024 B",
            ),
            (
                "--servers 1 --service 0s --burn 2ms",
                Some(500.0),
                "capacity 500/s = 1 CPU ÷ 2ms burnt, body 1,024 B",
            ),
            ("--service 0s", None, "capacity unbounded: service takes no time, body 1,024 B"),
        ] {
            let mut config = config(words).unwrap();
            // As on a machine with two CPUs.
            config.cpus = config.servers.min(NonZeroU32::new(2).unwrap());
            match (config.capacity_per_second(), capacity) {
                (Some(seen), Some(expected)) => assert!((seen - expected).abs() < 1e-9, "{words}: {seen}"),
                (seen, expected) => assert_eq!(seen, expected, "{words}"),
            }
            assert_eq!(config.to_string(), text);
        }
    }
}
