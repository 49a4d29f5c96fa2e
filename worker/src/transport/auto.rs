//! Both transports behind one: each request goes by what its config decided.

use deathstar_statemachine::config::{Carrier, Request};
use deathstar_statemachine::plan::Plan;

use super::fast::{Fast, FastRequest};
use super::rich::{Rich, RichRequest};
use super::{Call, Reply, Transport, TransportError};

/// The transports that a plan needs.
#[derive(Debug)]
pub struct Auto {
    fast: Fast,
    rich: Rich,
}

/// A request compiled by the transport that sends it.
#[derive(Debug)]
pub enum AutoRequest {
    /// By our own.
    Fast(FastRequest),
    /// By the one over reqwest.
    Rich(Box<RichRequest>),
}

impl Auto {
    /// What a plan needs.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self { fast: Fast::new(plan.connections_by(Carrier::Fast)), rich: Rich::new() }
    }
}

impl Transport for Auto {
    type Prepared = AutoRequest;

    fn prepare(&self, request: &Request) -> Result<AutoRequest, TransportError> {
        match request.carrier {
            Carrier::Fast => self.fast.prepare(request).map(AutoRequest::Fast),
            Carrier::Rich => self.rich.prepare(request).map(Box::new).map(AutoRequest::Rich),
        }
    }

    async fn warm_up(&self, request: &AutoRequest) {
        if let AutoRequest::Fast(request) = request {
            self.fast.warm_up(request).await;
        }
    }

    async fn exchange(&self, request: &AutoRequest, call: &Call) -> Reply {
        match request {
            AutoRequest::Fast(request) => self.fast.exchange(request, call).await,
            // On the heap, so that a request by the fast one stays small.
            AutoRequest::Rich(request) => Box::pin(self.rich.exchange(request, call)).await,
        }
    }
}
