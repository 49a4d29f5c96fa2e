//! `deathstar target`: an HTTP service that misbehaves on cue, to be attacked
//! by demos, tests and whoever wants to know whether a load generator tells
//! the truth. Its capacity is known exactly, so a search can be checked.
//!
//! It listens on 127.0.0.1 alone, and speaks HTTP/1.1 and cleartext HTTP/2
//! with prior knowledge. `/metrics` is for Prometheus, `/healthz` answers at
//! once, and every other path, by any method, is the service.
//!
//! - [`TargetArgs`] are its knobs, [`TargetConfig`] the same, checked;
//! - `queue` is the model: who departs when, in virtual time, without I/O;
//!   `retries` has impatient callers in front of it;
//! - `draw` has the seeded service times and errors, `clock` real time;
//! - `http` answers requests, `listener` owns sockets, `metrics` counts.
//!
//! By itself it only lets time pass. What it uses up beyond that it does on
//! request: `burn` CPU time, `leak` memory, `files` descriptors.

use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

mod args;
mod burn;
mod clock;
mod draw;
mod files;
mod http;
mod leak;
mod listener;
mod metrics;
mod queue;
mod retries;

pub use args::{
    Distribution, InvalidTarget, MAX_BODY, MAX_HELD_FILES, MAX_RETRIES, MAX_SERVERS, TargetArgs,
    TargetConfig, parse_size,
};
pub use draw::{ErrorRatio, ErrorRatioError};
pub use metrics::Counts;

use self::http::Service;
use crate::machine;

/// How long a target that stops lets requests in flight finish.
pub const STOP_GRACE: Duration = Duration::from_secs(2);

/// Why a target could not be started.
#[derive(Debug, Error)]
pub enum TargetError {
    /// Its knobs are out of range or contradict each other.
    #[error(transparent)]
    Invalid(#[from] InvalidTarget),
    /// The port is taken or not allowed.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Bind {
        /// The port asked for; 0 for any.
        port: u16,
        /// What the operating system said.
        source: io::Error,
    },
    /// No timer, thread or event loop to be had.
    #[error("cannot start the target")]
    Start {
        /// What the operating system said.
        #[from]
        source: io::Error,
    },
}

/// A target that is running, on the runtime that started it. Dropping it stops
/// it at once; [`Target::stop`] lets requests in flight finish.
pub struct Target {
    address: SocketAddr,
    service: Arc<Service>,
    stop: Option<oneshot::Sender<()>>,
    listener: Option<JoinHandle<()>>,
    alarm: JoinHandle<()>,
}

impl Target {
    /// Binds the port and starts to serve. The clock of stalls starts here.
    ///
    /// Raises this process's soft limit of open files to its hard limit.
    ///
    /// # Errors
    /// When the port cannot be bound or no timer can be made.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    // Async, so that it cannot be called where there is no runtime by mistake.
    #[expect(clippy::unused_async, reason = "a runtime is needed, and a future says so")]
    pub async fn start(config: TargetConfig) -> Result<Self, TargetError> {
        // As many connections as the machine allows.
        let _ = machine::open_file_limit();
        let port = config.port();
        let (socket, address) = listener::bind(port).map_err(|source| TargetError::Bind { port, source })?;
        let clock = clock::Clock::start();
        let service = Arc::new(Service::new(config, clock, clock::Alarm::new(clock)?)?);
        let (stop, stopped) = oneshot::channel();
        let alarm = tokio::spawn({
            let service = Arc::clone(&service);
            async move { service.alarm.run().await }
        });
        let listener = tokio::spawn(listener::run(socket, Arc::clone(&service), stopped, STOP_GRACE));
        Ok(Self { address, service, stop: Some(stop), listener: Some(listener), alarm })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.service.counts()
    }

    /// Frees the port, lets requests in flight finish for up to
    /// [`STOP_GRACE`], drops the rest, and says what it counted.
    pub async fn stop(mut self) -> Counts {
        drop(self.stop.take());
        if let Some(listener) = self.listener.take() {
            // It ends by itself; an error would be its panic, which was reported.
            let _ = listener.await;
        }
        self.counts()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
        self.alarm.abort();
        self.service.close();
    }
}

/// Runs a target in the foreground until `shutdown` resolves, for the
/// subcommand, and says what it counted.
///
/// The first and only line on `out` is `listening on http://127.0.0.1:PORT`,
/// flushed, once connections are accepted; what the target does, and in the
/// end what it did, goes to `err`. Neither needs a reader: a closed pipe is ignored.
///
/// # Errors
/// When the knobs are invalid, all at once, or the target cannot be started.
pub async fn serve(
    args: TargetArgs,
    out: &mut impl Write,
    err: &mut impl Write,
    shutdown: impl Future<Output = ()>,
) -> Result<Counts, TargetError> {
    let config = TargetConfig::try_from(args)?;
    let description = config.to_string();
    let target = Target::start(config).await?;
    say(out, &format!("listening on http://{}\n", target.address()));
    say(err, &format!("{description}; metrics at /metrics\n"));
    shutdown.await;
    let counts = target.stop().await;
    say(err, &format!("stopped; requests: {counts}\n"));
    Ok(counts)
}

/// Writes a whole line at once, so that a reader never sees half of it, and
/// goes on when nobody reads.
fn say(to: &mut impl Write, line: &str) {
    let _ = to.write_all(line.as_bytes()).and_then(|()| to.flush());
}

/// A target on an operating-system thread of its own, with its own runtime, so
/// that it competes with nobody's tasks. Stops, and waits for its thread, when
/// dropped.
pub struct ThreadTarget {
    address: SocketAddr,
    service: Arc<Service>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Starts a target on a thread of its own. May be called with or without a
/// runtime; returns once the target accepts connections.
///
/// # Errors
/// When the port cannot be bound, or no thread, timer or event loop is to be had.
pub fn spawn_on_thread(config: TargetConfig) -> Result<ThreadTarget, TargetError> {
    let (stop, stopped) = oneshot::channel();
    let (report, started) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name("target".to_owned()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = report.send(Err(error.into()));
                return;
            }
        };
        runtime.block_on(async {
            match Target::start(config).await {
                Ok(target) => {
                    let _ = report.send(Ok((target.address, Arc::clone(&target.service))));
                    // Told to, or whoever would tell is gone.
                    let _ = stopped.await;
                    target.stop().await;
                }
                Err(error) => {
                    let _ = report.send(Err(error));
                }
            }
        });
    })?;
    let died = || io::Error::other("the target's thread ended before it listened");
    let (address, service) = started.recv().map_err(|_| died())??;
    Ok(ThreadTarget { address, service, stop: Some(stop), thread: Some(thread) })
}

impl ThreadTarget {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.service.counts()
    }

    /// Frees the port, lets requests in flight finish for up to
    /// [`STOP_GRACE`], and says what it counted. Blocks; so does dropping it.
    #[must_use = "use drop to stop it without looking at what it counted"]
    pub fn stop(mut self) -> Counts {
        self.join();
        self.counts()
    }

    fn join(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for ThreadTarget {
    fn drop(&mut self) {
        self.join();
    }
}
