//! Who opens the one connection of HTTP/2, and who waits for it.
//!
//! The pool below reqwest lets one request connect and the others wait for it, too; but
//! when that fails, or its request is given up, it tells the others that they waited in
//! vain, and nothing of why. So they wait here: what kept the first one from
//! connecting kept them all, and is what is counted for each. When the first one times
//! out, the next in line tries.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tower_layer::Layer;
use tower_service::Service;

use crate::transport::Reply;

/// One for each host.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// How often connecting has failed, and how the last time.
    failures: u64,
    failure: Option<Reply>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is no connection as far as anyone knows.
    #[default]
    Shut,
    /// A request opens one.
    Connecting,
    /// There is one, or was a moment ago.
    Open,
}

/// How a request passes.
#[derive(Debug)]
pub(super) enum Pass {
    /// There is a connection.
    Open,
    /// This request opens one.
    Leads(Lead),
    /// Another one tried to, and this came of it.
    Failed(Reply),
}

impl Gate {
    /// Waits until there is a connection, or it is this request's turn to open one.
    pub(super) async fn pass(self: &Arc<Self>) -> Pass {
        loop {
            let changed = self.changed.notified();
            let failures = {
                let mut state = self.state();
                match state.phase {
                    Phase::Open => return Pass::Open,
                    Phase::Shut => {
                        state.phase = Phase::Connecting;
                        return Pass::Leads(Lead(Arc::clone(self)));
                    }
                    Phase::Connecting => state.failures,
                }
            };
            changed.await;
            let state = self.state();
            if state.failures != failures
                && let Some(failure) = state.failure
            {
                return Pass::Failed(failure);
            }
        }
    }

    /// There is a connection.
    pub(super) fn open(&self) {
        self.state().phase = Phase::Open;
        self.changed.notify_waiters();
    }

    /// The connection is no more.
    pub(super) fn shut(&self) {
        let mut state = self.state();
        if state.phase == Phase::Open {
            state.phase = Phase::Shut;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request that opens the connection. When it is dropped before that is known to
/// be open, the next one leads.
#[derive(Debug)]
pub(super) struct Lead(Arc<Gate>);

impl Lead {
    /// It could not: nobody who waits can.
    pub(super) fn failed(self, reply: Reply) {
        let mut state = self.0.state();
        if state.phase == Phase::Connecting {
            state.phase = Phase::Shut;
            state.failures += 1;
            state.failure = Some(reply);
            self.0.changed.notify_waiters();
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.phase == Phase::Connecting {
            state.phase = Phase::Shut;
            self.0.changed.notify_one();
        }
    }
}

/// Opens a gate as soon as there is a connection, which is before its first request is
/// answered.
#[derive(Debug, Clone)]
pub(super) struct Opens(pub(super) Arc<Gate>);

impl<S> Layer<S> for Opens {
    type Service = Opening<S>;

    fn layer(&self, connects: S) -> Opening<S> {
        Opening { connects, gate: Arc::clone(&self.0) }
    }
}

/// What connects, and opens the gate then.
#[derive(Debug, Clone)]
pub(super) struct Opening<S> {
    connects: S,
    gate: Arc<Gate>,
}

impl<S, R> Service<R> for Opening<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connects.poll_ready(context)
    }

    fn call(&mut self, to: R) -> Self::Future {
        let (connecting, gate) = (self.connects.call(to), Arc::clone(&self.gate));
        Box::pin(async move {
            let connection = connecting.await?;
            gate.open();
            Ok(connection)
        })
    }
}
