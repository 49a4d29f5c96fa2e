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
    /// Set up only where a request needs it, since that takes milliseconds.
    rich: Option<Rich>,
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
    ///
    /// # Errors
    /// When TLS cannot be set up, for want of root certificates.
    pub fn new(plan: &Plan) -> Result<Self, TransportError> {
        let requests = plan.config.attacks().iter().flat_map(|attack| &attack.requests);
        let is_rich = requests.map(|request| request.carrier).any(|carrier| carrier == Carrier::Rich);
        let rich = if is_rich { Some(Rich::new()?) } else { None };
        Ok(Self { fast: Fast::new(plan.connections_by(Carrier::Fast)), rich })
    }
}

impl Transport for Auto {
    type Prepared = AutoRequest;

    fn prepare(&self, request: &Request) -> Result<AutoRequest, TransportError> {
        match (&self.rich, request.carrier) {
            (Some(rich), Carrier::Rich) => rich.prepare(request).map(Box::new).map(AutoRequest::Rich),
            _ => self.fast.prepare(request).map(AutoRequest::Fast),
        }
    }

    async fn warm_up(&self, request: &AutoRequest) {
        if let AutoRequest::Fast(request) = request {
            self.fast.warm_up(request).await;
        }
    }

    async fn exchange(&self, request: &AutoRequest, call: &Call) -> Reply {
        match (&self.rich, request) {
            (_, AutoRequest::Fast(request)) => self.fast.exchange(request, call).await,
            // On the heap, so that a request by the fast one stays small.
            (Some(rich), AutoRequest::Rich(request)) => Box::pin(rich.exchange(request, call)).await,
            // Made by another transport; nothing to send it with.
            (None, AutoRequest::Rich(_)) => Reply::NotSent,
        }
    }
}
