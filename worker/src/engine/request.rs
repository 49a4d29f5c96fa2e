//! One request, from when it is due until it is counted, whatever becomes of it.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use deathstar_statemachine::window::{ErrorClass, Outcome, Timing};
use tokio::time::timeout;

use super::Engine;
use crate::clock;
use crate::gate::Pass;
use crate::recorder::{Ended, Slot, Traffic};
use crate::transport::{Call, Jar, Reply, Transport};

impl<T: Transport + 'static> Engine<T> {
    /// Sends one request and counts how it ended, whatever becomes of the future;
    /// returns when it was known to have ended.
    pub(super) fn send(self: Rc<Self>, slot: Slot, jar: Option<Rc<Jar>>) -> impl Future<Output = Duration> {
        let timeout = self.plan.config.attacks()[slot.attack].timeout;
        let pacing_lag = Cell::new(Duration::ZERO);
        let mut under_way =
            UnderWay { engine: self, slot, call: Call::new(timeout).of(jar), pacing_lag, ended: false };
        async move {
            let end = under_way.exchange().await;
            let done = under_way.engine.clock.now();
            under_way.end(end, done);
            done
        }
    }

    /// Counts how a request ended that was under way until `done`.
    fn count(&self, UnderWay { slot, call, pacing_lag, .. }: &UnderWay<T>, end: End, mut done: Duration) {
        let (slot, pacing_lag) = (*slot, pacing_lag.get());
        let Some(sent) = call.sent() else { return self.drop_arrival(slot, pacing_lag, false) };
        let sent = self.clock.offset_of(sent);
        let attack = &self.plan.config.attacks()[slot.attack];
        let mut unsent = false;
        let outcome = match end {
            End::Replied(Reply::Response { status }) if attack.requests[slot.request].accepts(status) => {
                Outcome::Completed { status }
            }
            End::Replied(Reply::Response { status }) => {
                Outcome::Failed { class: ErrorClass::Status, status: Some(status) }
            }
            End::Replied(Reply::Failed { class, status }) => Outcome::Failed { class, status },
            End::Replied(Reply::TimedOut) => {
                // Recorded at its timeout, not at when we came to notice.
                done = sent + attack.timeout;
                Outcome::TimedOut
            }
            End::Replied(Reply::NotSent) if call.bytes_sent() == 0 => {
                return self.drop_arrival(slot, pacing_lag, true);
            }
            // What led there was sent.
            End::Replied(Reply::NotSent) => {
                unsent = true;
                Outcome::Failed { class: ErrorClass::Aborted, status: None }
            }
            End::Unconnected | End::CutOff => Outcome::Failed { class: ErrorClass::Aborted, status: None },
        };
        let timing = Timing { intended: slot.intended, sent, done };
        let traffic =
            Traffic { sent: call.bytes_sent(), received: call.bytes_received(), redirects: call.redirects() };
        let (connect, tls) = (call.connect(), call.tls());
        self.end(slot, &Ended { outcome, timing, pacing_lag, unsent, connect, tls, traffic });
    }

    /// Counts an arrival that never left, for our own reasons (`unsent`) or since no
    /// connection became free.
    pub(super) fn drop_arrival(&self, slot: Slot, pacing_lag: Duration, unsent: bool) {
        let now = self.clock.now();
        let timing = Timing { intended: slot.intended, sent: now, done: now };
        let (outcome, traffic) = (Outcome::Dropped, Traffic::default());
        self.end(slot, &Ended { outcome, timing, pacing_lag, unsent, connect: None, tls: None, traffic });
    }

    fn end(&self, slot: Slot, ended: &Ended) {
        self.recorder.borrow_mut().ended(slot, ended);
        if let Some(rule) = self.stop_rule.borrow_mut().as_mut() {
            rule.ended(slot.attack, ended.outcome, &ended.timing);
        }
    }
}

/// How a request under way ended.
#[derive(Debug, Clone, Copy)]
enum End {
    /// The transport said how.
    Replied(Reply),
    /// No connection became free in time.
    Unconnected,
    /// We cut it off.
    CutOff,
}

/// A request from when it is given to its task. One that is dropped before it ended
/// was cut off, and is counted then: nothing due disappears.
struct UnderWay<T: Transport + 'static> {
    engine: Rc<Engine<T>>,
    slot: Slot,
    call: Call,
    /// How late it is by our own fault, as far as that is known.
    pacing_lag: Cell<Duration>,
    ended: bool,
}

impl<T: Transport> UnderWay<T> {
    /// Waits for a connection, no longer than the request may take, and sends it.
    async fn exchange(&self) -> End {
        let Slot { attack, request, intended } = self.slot;
        let now = clock::monotonic();
        self.call.give(now);
        self.pacing_lag.set(self.engine.clock.offset_of(now).saturating_sub(intended));
        let _pass = match self.engine.gate.try_enter(attack) {
            Some(pass) => pass,
            // On the heap, since what waits for a connection sends nothing yet.
            None => match Box::pin(self.wait_for_connection()).await {
                Some(pass) => pass,
                None => return End::Unconnected,
            },
        };
        let prepared = &self.engine.prepared[attack][request];
        End::Replied(self.engine.transport.exchange(prepared, &self.call).await)
    }

    async fn wait_for_connection(&self) -> Option<Pass<'_>> {
        let Self { engine, slot, call, pacing_lag, .. } = self;
        let (pass, freed) = timeout(call.timeout(), engine.gate.enter(slot.attack)).await.ok()?;
        let now = clock::monotonic();
        let unused = engine.clock.offset_of(now).saturating_sub(freed);
        pacing_lag.set(pacing_lag.get() + unused);
        call.give(now);
        Some(pass)
    }

    fn end(&mut self, end: End, done: Duration) {
        self.ended = true;
        self.engine.count(self, end, done);
    }
}

impl<T: Transport> Drop for UnderWay<T> {
    fn drop(&mut self) {
        // While a panic goes by, counts may be half made, and nobody reads them.
        if !self.ended && !std::thread::panicking() {
            self.end(End::CutOff, self.engine.clock.now());
        }
    }
}
