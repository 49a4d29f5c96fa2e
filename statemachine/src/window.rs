//! What one worker saw in one slice of time: counts and histograms that merge.
//!
//! A [`Tally`] obeys one identity, the ledger of requests:
//! `scheduled = completed + failed + timed_out + dropped + in flight`. Once a
//! worker has ended nothing is in flight; what a dead worker still had in
//! flight the report calls *lost*.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;
use crate::resources::{Miss, Reading};

/// Why a request failed, in words a person understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The host name could not be resolved.
    Dns,
    /// No connection could be made: refused, or unreachable.
    Refused,
    /// The connection was reset, or closed before a response began.
    Reset,
    /// The TLS handshake or a TLS record failed.
    Tls,
    /// What came back is not HTTP.
    Protocol,
    /// A whole response, with a status that was not expected.
    Status,
    /// A head arrived; its body ended early or was not as announced.
    Body,
    /// A redirect that was not followed: to another origin, to nothing, or one too many.
    Redirect,
    /// Cut off by us: the run was stopped and its grace was over, so much came late on an
    /// HTTP/2 connection of what had been given up that it was closed, or this machine had
    /// no socket left for where a redirect led.
    Aborted,
}

impl ErrorClass {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Body => "body",
            Self::Redirect => "redirect",
            Self::Aborted => "aborted",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A response that meets the request's expectations.
    Completed {
        /// The HTTP status.
        status: u16,
    },
    /// Any other response, or no response.
    Failed {
        /// Why.
        class: ErrorClass,
        /// The HTTP status, when a head arrived.
        status: Option<u16>,
    },
    /// Not done at its timeout.
    TimedOut,
    /// Due, never sent.
    Dropped,
}

impl Outcome {
    /// Whether the target answered with a response, good or bad.
    #[must_use]
    pub const fn is_answer(self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Failed { status: Some(_), .. })
    }
}

/// The three instants of one request, as offsets from the start of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// When the schedule says it is due; never read from a clock after a sleep.
    pub intended: Duration,
    /// When it was handed to a connection: one that had to be opened for it was
    /// opened after this.
    pub sent: Duration,
    /// When its response was whole, or it failed.
    pub done: Duration,
}

impl Timing {
    /// What a caller felt, counted from when the request was due. Promises look at this.
    #[must_use]
    pub fn response_time(&self) -> Duration {
        self.done.saturating_sub(self.intended)
    }

    /// What the target took once asked. It flatters a stalled target; never judge by it.
    #[must_use]
    pub fn service_time(&self) -> Duration {
        self.done.saturating_sub(self.sent)
    }
}

/// Counts and times of one kind of request over some stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests due.
    pub scheduled: u64,
    /// Responses that met their expectations.
    pub completed: u64,
    /// Requests not done at their timeout.
    pub timed_out: u64,
    /// Requests due but never sent.
    pub dropped: u64,
    /// Failed requests, by class.
    pub failed: BTreeMap<ErrorClass, u64>,
    /// Responses, by status.
    pub status_codes: BTreeMap<u16, u64>,
    /// Answers that came before the load ended, or within a second of being
    /// due: what the achieved rate counts.
    pub in_time: u64,
    /// Answers that came in the time of this tally, whenever their requests were due:
    /// what the target served meanwhile. In windows only.
    #[serde(default)]
    pub answered: u64,
    /// Requests sent because an answer led on to them: beside those that were due, and
    /// part of them. Of a request whose time was over, the last may not have left yet.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub redirects: u64,
    /// Bytes of requests sent, heads and bodies, before encryption.
    pub bytes_sent: u64,
    /// Bytes of response bodies received.
    pub bytes_received: u64,
    /// From intended to done, of completed and timed-out requests.
    pub response_time: Histogram,
    /// From sent to done, of the same requests.
    pub service_time: Histogram,
    /// From intended to done, of failed requests.
    pub failure_time: Histogram,
    /// How long a connection took to open, of requests that had one opened.
    #[serde(default = "Histogram::window")]
    pub connect_time: Histogram,
    /// How long TLS took on it, of the same.
    #[serde(default = "Histogram::window")]
    pub tls_time: Histogram,
}

impl Tally {
    /// An empty tally with the precision of totals.
    #[must_use]
    pub fn total() -> Self {
        Self::with(&Histogram::total())
    }

    /// An empty tally with the precision of windows.
    #[must_use]
    pub fn window() -> Self {
        Self::with(&Histogram::window())
    }

    fn with(empty: &Histogram) -> Self {
        Self {
            scheduled: 0,
            completed: 0,
            timed_out: 0,
            dropped: 0,
            failed: BTreeMap::new(),
            status_codes: BTreeMap::new(),
            in_time: 0,
            answered: 0,
            redirects: 0,
            bytes_sent: 0,
            bytes_received: 0,
            response_time: empty.clone(),
            service_time: empty.clone(),
            failure_time: empty.clone(),
            connect_time: empty.clone(),
            tls_time: empty.clone(),
        }
    }

    /// Counts how a scheduled request ended. `in_time` says whether its answer
    /// counts for the achieved rate.
    pub fn record(&mut self, outcome: Outcome, timing: &Timing, in_time: bool) {
        match outcome {
            Outcome::Completed { status } => {
                self.completed += 1;
                *self.status_codes.entry(status).or_default() += 1;
            }
            Outcome::TimedOut => self.timed_out += 1,
            Outcome::Failed { class, status } => {
                *self.failed.entry(class).or_default() += 1;
                if let Some(status) = status {
                    *self.status_codes.entry(status).or_default() += 1;
                }
                self.failure_time.record(timing.response_time());
            }
            Outcome::Dropped => self.dropped += 1,
        }
        if matches!(outcome, Outcome::Completed { .. } | Outcome::TimedOut) {
            self.response_time.record(timing.response_time());
            self.service_time.record(timing.service_time());
        }
        self.in_time += u64::from(in_time && outcome.is_answer());
    }

    /// Counts what opening a connection for a request took; of a kept one, nothing.
    pub fn opened(&mut self, connect: Option<Duration>, tls: Option<Duration>) {
        connect.into_iter().for_each(|took| self.connect_time.record(took));
        tls.into_iter().for_each(|took| self.tls_time.record(took));
    }

    /// All failed requests, whatever the class.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Requests whose end is known.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.completed + self.failures() + self.timed_out + self.dropped
    }

    /// Requests that were due and have not ended yet.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.scheduled.saturating_sub(self.ended())
    }

    /// Adds another tally; associative and commutative.
    pub fn add(&mut self, other: &Self) {
        self.scheduled += other.scheduled;
        self.completed += other.completed;
        self.timed_out += other.timed_out;
        self.dropped += other.dropped;
        for (class, count) in &other.failed {
            *self.failed.entry(*class).or_default() += count;
        }
        for (status, count) in &other.status_codes {
            *self.status_codes.entry(*status).or_default() += count;
        }
        self.in_time += other.in_time;
        self.answered += other.answered;
        self.redirects += other.redirects;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.response_time.add(&other.response_time);
        self.service_time.add(&other.service_time);
        self.failure_time.add(&other.failure_time);
        self.connect_time.add(&other.connect_time);
        self.tls_time.add(&other.tls_time);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(crate) const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A tally with the request it belongs to, by position in the config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The attack's index.
    pub attack: u32,
    /// The request's index within the attack.
    pub request: u32,
    /// What was counted.
    pub tally: Tally,
}

/// How the generator itself was doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Lateness of our own making: from intended until a connection was asked for,
    /// and from when one that was waited for became free until it was used.
    pub pacing_lag: Histogram,
    /// From intended until sent: pacing lag and the wait for a free connection.
    pub send_lag: Histogram,
    /// CPU time of the worker's thread ÷ wall time, 0–1; nothing when it could
    /// not be read.
    pub cpu_ratio: Option<f64>,
    /// The most requests that were in flight at once.
    pub in_flight: u32,
    /// Descriptors that the process had open, sockets among them.
    pub sockets: Option<u32>,
    /// Arrivals that were dropped for our own reasons, or not followed where they led:
    /// the worker was late by more than it may be, or the machine had no socket left.
    #[serde(default)]
    pub unsent: u64,
}

impl Health {
    /// Nothing seen yet.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            pacing_lag: Histogram::window(),
            send_lag: Histogram::window(),
            cpu_ratio: None,
            in_flight: 0,
            sockets: None,
            unsent: 0,
        }
    }
}

/// What one worker saw of the requests due in one second, or in as many as the
/// plan's pace says, or in a part of that where a step begins or ends within it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Where it starts, in microseconds from the start of the load.
    pub at: u64,
    /// How long it is, in microseconds; at most as the pace says.
    pub len: u64,
    /// One entry for each request kind that was due or answered in it.
    pub series: Vec<Series>,
    /// The worker in this window.
    pub health: Health,
    /// What was read of the target's resources meanwhile; each says itself when, for
    /// a window may be written more than once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Reading>,
    /// What could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub misses: Vec<Miss>,
}

impl Window {
    /// One in which nothing was due.
    #[must_use]
    pub fn empty(at: u64, len: u64) -> Self {
        Self {
            at,
            len,
            series: Vec::new(),
            health: Health::unknown(),
            readings: Vec::new(),
            misses: Vec::new(),
        }
    }
}

/// Where windows begin and end: at whole seconds, or longer steps of the clock,
/// and at the edges of steps of the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// How long an uncut window is, in microseconds.
    len: u64,
    cuts: Vec<u64>,
}

impl Grid {
    /// A grid of seconds with extra cuts, in microseconds from the start of the
    /// load.
    #[must_use]
    pub fn new(cuts: Vec<u64>) -> Self {
        Self::of(1_000_000, cuts)
    }

    /// The same, of windows of another length, in microseconds.
    #[must_use]
    pub fn of(len: u64, mut cuts: Vec<u64>) -> Self {
        let len = len.max(1);
        cuts.retain(|cut| !cut.is_multiple_of(len));
        cuts.sort_unstable();
        cuts.dedup();
        Self { len, cuts }
    }

    /// Start and length of the window that holds an instant.
    #[must_use]
    pub fn window_of(&self, at: u64) -> (u64, u64) {
        let step = at / self.len * self.len;
        let next = self.cuts.partition_point(|cut| *cut <= at);
        let start = next.checked_sub(1).map_or(step, |index| self.cuts[index].max(step));
        let end = self.cuts.get(next).map_or(step + self.len, |cut| (*cut).min(step + self.len));
        (start, end - start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(intended: u64, sent: u64, done: u64) -> Timing {
        Timing {
            intended: Duration::from_millis(intended),
            sent: Duration::from_millis(sent),
            done: Duration::from_millis(done),
        }
    }

    #[test]
    fn the_ledger_of_requests_balances() {
        let mut tally = Tally::total();
        tally.scheduled = 5;
        tally.record(Outcome::Completed { status: 200 }, &timing(0, 1, 3), true);
        tally.record(
            Outcome::Failed { class: ErrorClass::Status, status: Some(503) },
            &timing(0, 1, 2),
            true,
        );
        tally.record(Outcome::Failed { class: ErrorClass::Refused, status: None }, &timing(0, 1, 2), true);
        tally.record(Outcome::TimedOut, &timing(0, 1, 1001), false);
        assert_eq!((tally.ended(), tally.in_flight()), (4, 1));
        tally.record(Outcome::Dropped, &timing(0, 0, 0), false);
        assert_eq!(tally.in_flight(), 0);
        assert_eq!(tally.in_time, 2, "a 503 is an answer, a refused connection is none");
        assert_eq!(tally.response_time.count(), 2, "failures do not flatter the response time");
        assert_eq!(tally.failure_time.count(), 2);
        assert_eq!(tally.status_codes, BTreeMap::from([(200, 1), (503, 1)]));
    }

    #[test]
    fn service_time_forgets_the_wait_and_response_time_does_not() {
        let timing = timing(100, 400, 405);
        assert_eq!(timing.response_time(), Duration::from_millis(305));
        assert_eq!(timing.service_time(), Duration::from_millis(5));
    }

    #[test]
    fn long_windows_are_cut_at_steps_too() {
        let grid = Grid::of(10_000_000, vec![25_000_000, 20_000_000]);
        for (at, window) in [
            (9_999_999, (0, 10_000_000)),
            (10_000_000, (10_000_000, 10_000_000)),
            (24_000_000, (20_000_000, 5_000_000)),
            (25_000_000, (25_000_000, 5_000_000)),
        ] {
            assert_eq!(grid.window_of(at), window, "{at}");
        }
    }

    #[test]
    fn windows_are_cut_at_seconds_and_at_steps() {
        let grid = Grid::new(vec![2_500_000, 1_000_000, 2_500_000, 2_700_000]);
        for (at, window) in [
            (0, (0, 1_000_000)),
            (999_999, (0, 1_000_000)),
            (1_000_000, (1_000_000, 1_000_000)),
            (2_400_000, (2_000_000, 500_000)),
            (2_500_000, (2_500_000, 200_000)),
            (2_700_000, (2_700_000, 300_000)),
            (3_000_000, (3_000_000, 1_000_000)),
        ] {
            assert_eq!(grid.window_of(at), window, "{at}");
        }
    }
}
