//! What the target answers: the service in virtual time, `/metrics` and
//! `/healthz`. Knows nothing of sockets; `listener` brings the requests.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::args::TargetConfig;
use super::burn::Burner;
use super::clock::{Alarm, Clock};
use super::draw::ServiceTimes;
use super::files::Files;
use super::leak::Leak;
use super::metrics::{self, Counters, Counts, Snapshot};
use super::queue::Nanos;
use super::retries::{Callers, Outcome};

/// Bodies are repetitions of this, straight from the program's read-only
/// memory: no size of body costs memory, and most take one write.
static FILLER: [u8; 64 * 1024] = [b'x'; 64 * 1024];

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The service behind all connections.
pub(super) struct Service {
    config: TargetConfig,
    times: ServiceTimes,
    clock: Clock,
    pub(super) alarm: Alarm,
    /// There is none when requests burn nothing.
    burner: Option<Burner>,
    leak: Leak,
    files: Files,
    pub(super) counters: Counters,
    desk: Mutex<Desk>,
}

/// What must be decided in order of arrival.
struct Desk {
    callers: Callers,
    /// Jobs admitted so far, which is the number of the next one.
    admitted: u64,
    /// Those of them that no caller gave up on: errors are a share of these.
    served: u64,
}

/// A request, and what was decided when it arrived.
struct Job {
    /// Its number among those admitted, if it is.
    number: u64,
    outcome: Outcome,
    /// Whether it is answered with an error, if it is served.
    fails: bool,
}

impl Service {
    /// # Errors
    /// When threads or descriptors that the knobs need are not to be had.
    pub(super) fn new(config: TargetConfig, clock: Clock, alarm: Alarm) -> io::Result<Self> {
        let desk = Mutex::new(Desk { callers: config.new_callers(), admitted: 0, served: 0 });
        Ok(Self {
            times: config.times(),
            clock,
            alarm,
            burner: config.burn().map(|(threads, each)| Burner::start(threads, each)).transpose()?,
            leak: Leak::new(config.leak()),
            files: Files::new(config.hold_files())?,
            counters: Counters::default(),
            desk,
            config,
        })
    }

    /// Ends all waits and all work, and whoever comes later does not wait.
    pub(super) fn close(&self) {
        self.alarm.close();
        if let Some(burner) = &self.burner {
            burner.close();
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Answers one request.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Reply>, Infallible> {
        let head_only = request.method() == Method::HEAD;
        Ok(match request.uri().path() {
            "/metrics" => respond(StatusCode::OK, PROMETHEUS, Reply::text(self.metrics()), head_only),
            "/healthz" => respond(StatusCode::OK, TEXT, Reply::text("ok\n"), head_only),
            _ => self.serve(request.into_body(), head_only).await,
        })
    }

    async fn serve(self: Arc<Self>, body: Incoming, head_only: bool) -> Response<Reply> {
        // A request has arrived when its last byte has. One that breaks off
        // never arrives: its connection is gone, and nobody reads this answer.
        if !body.is_end_stream() && self.drain(body).await.is_err() {
            return respond(StatusCode::BAD_REQUEST, TEXT, Reply::text("the request broke off\n"), head_only);
        }
        self.counters.received.fetch_add(1, Relaxed);
        let unanswered = Unanswered(Some(&self.counters));
        // Before it joins the queue: a service that cannot open its files does no work.
        let Ok(held) = self.files.hold() else {
            unanswered.answered();
            self.counters.starved.fetch_add(1, Relaxed);
            let reply = Reply::text("no file descriptors left\n").counted(&self);
            return respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, reply, head_only);
        };
        let job = self.admit();
        let until = match job.outcome {
            Outcome::Served { departs: until } | Outcome::GivenUp { at: until } => until,
            Outcome::Rejected => {
                unanswered.answered();
                self.counters.rejected.fetch_add(1, Relaxed);
                let reply = Reply::text("the queue is full\n").counted(&self);
                return respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, reply, head_only);
            }
        };
        self.leak.keep_share_of(job.number);
        if !self.work_until(until).await {
            // The target stopped, its connections with it: nobody reads this.
            return respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, Reply::text("stopped\n"), head_only);
        }
        // Whoever has the answer finds them closed.
        drop(held);
        unanswered.answered();
        if matches!(job.outcome, Outcome::GivenUp { .. }) {
            self.counters.given_up.fetch_add(1, Relaxed);
            let reply = Reply::text("the caller's patience ran out\n").counted(&self);
            return respond(StatusCode::GATEWAY_TIMEOUT, TEXT, reply, head_only);
        }
        if job.fails {
            self.counters.failed.fetch_add(1, Relaxed);
            let reply = Reply::text("an error, as asked\n").counted(&self);
            return respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, reply, head_only);
        }
        self.counters.ok.fetch_add(1, Relaxed);
        let reply = Reply::filler(self.config.body()).counted(&self);
        respond(StatusCode::OK, OCTETS, reply, head_only)
    }

    async fn drain(&self, mut body: Incoming) -> Result<(), hyper::Error> {
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            if let Some(data) = frame?.data_ref() {
                self.counters.bytes_received.fetch_add(data.len() as u64, Relaxed);
            }
        }
        Ok(())
    }

    /// Lets the request's time pass, and burns its CPU time then; false if the
    /// target stopped before.
    async fn work_until(self: &Arc<Self>, until: Nanos) -> bool {
        let Some(burner) = &self.burner else { return self.alarm.sleep_until(until).await };
        if until <= self.clock.now() {
            return burner.burn().await;
        }
        // A task of its own, for the work is done even if the client goes away.
        let service = Arc::clone(self);
        let work = tokio::spawn(async move {
            let Some(burner) = &service.burner else { return true };
            service.alarm.sleep_until(until).await && burner.burn().await
        });
        // An error is the runtime's end.
        work.await.unwrap_or(false)
    }

    /// Decides what becomes of a request that arrives now.
    fn admit(&self) -> Job {
        let mut desk = self.desk();
        // Read with the desk locked, so that the queue's time never goes back.
        let now = self.clock.now();
        let number = desk.admitted;
        let burner_is_full = || {
            let (burner, bound) = (self.burner.as_ref()?, self.config.queue()?);
            Some(burner.is_full(bound))
        };
        let outcome = if burner_is_full() == Some(true) {
            Outcome::Rejected
        } else {
            desk.callers.arrive(now, self.times.of(number))
        };
        let fails = self.config.fails(desk.served);
        desk.admitted += u64::from(outcome != Outcome::Rejected);
        desk.served += u64::from(matches!(outcome, Outcome::Served { .. }));
        Job { number, outcome, fails }
    }

    fn metrics(&self) -> String {
        let (now, waiting, in_service, retried) = {
            let callers = &mut self.desk().callers;
            let now = self.clock.now();
            (now, callers.waiting(now), callers.in_service(now), callers.retried(now))
        };
        let (burn_waits, burns) = self.burner.as_ref().map_or((0, 0), Burner::jobs);
        let snapshot = Snapshot {
            counts: self.counts(),
            waiting: waiting + burn_waits,
            in_service: in_service + burns,
            leaked_bytes: self.leak.bytes(),
            retried,
            servers: self.config.servers(),
            capacity_per_second: self.config.capacity_per_second().unwrap_or(f64::INFINITY),
            connections: self.counters.connections.load(Relaxed),
            accept_errors: self.counters.accept_errors.load(Relaxed),
            uptime: Duration::from_nanos(now),
        };
        // It reads files, also when there are no descriptors left.
        self.files.with_spare(|| metrics::page(&snapshot))
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a request as abandoned unless it was answered before its task went.
struct Unanswered<'a>(Option<&'a Counters>);

impl Unanswered<'_> {
    fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(counters) = self.0 {
            counters.abandoned.fetch_add(1, Relaxed);
        }
    }
}

fn respond(status: StatusCode, kind: HeaderValue, mut reply: Reply, head_only: bool) -> Response<Reply> {
    let length = HeaderValue::from(reply.left);
    if head_only {
        // The header tells the size that a GET would have had.
        reply.left = 0;
    }
    let mut response = Response::new(reply);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// A body of known size: one piece over and over, never copied.
pub(super) struct Reply {
    piece: Bytes,
    left: u64,
    counted: Option<Arc<Service>>,
}

impl Reply {
    fn text(text: impl Into<Bytes>) -> Self {
        let piece = text.into();
        Self { left: piece.len() as u64, piece, counted: None }
    }

    fn filler(size: u64) -> Self {
        Self { piece: Bytes::from_static(&FILLER), left: size, counted: None }
    }

    /// Counts its bytes as sent.
    fn counted(mut self, service: &Arc<Service>) -> Self {
        self.counted = Some(Arc::clone(service));
        self
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.piece.len());
        self.left -= length as u64;
        if let Some(service) = &self.counted {
            service.counters.bytes_sent.fetch_add(length as u64, Relaxed);
        }
        Poll::Ready(Some(Ok(Frame::data(self.piece.slice(..length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
