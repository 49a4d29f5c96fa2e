//! The open workload model: requests leave when they are due, whatever has answered.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use deathstar_statemachine::arrivals::{Arrival, Process};
use deathstar_statemachine::mix::Mix;
use deathstar_statemachine::plan::Span;
use deathstar_statemachine::schedule::micros;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Engine, MAX_LATE, Pace, rethrow};
use crate::pacer::Pacer;
use crate::recorder::Slot;
use crate::transport::Transport;

impl<T: Transport + 'static> Engine<T> {
    /// The open workload model.
    pub(super) async fn open(self: Rc<Self>, attack: usize, span: Span, arrivals: &Process) {
        let requests = &self.plan.config.attacks()[attack].requests;
        let mix = Mix::new(requests, self.plan.seed_of(attack));
        let mut sending = JoinSet::new();
        let idle = Rc::new(Idle::default());
        let mut pacer = Pacer::new(self.clock);
        let mut pace = Pace::default();
        for Arrival { due, stream, number } in arrivals.since(self.slice.start.saturating_sub(span.start)) {
            let intended = Duration::from_micros(span.start) + due;
            // Only a panic ends one of them before its time.
            sending.try_join_next().into_iter().for_each(rethrow);
            self.wait_until_due(intended, Some(&mut pacer), &mut pace).await;
            if micros(intended) >= self.until.get() {
                break;
            }
            let slot = Slot { attack, request: mix.pick(stream, number), intended };
            self.recorder.borrow_mut().scheduled(slot);
            let late = pace.now.map_or(Duration::ZERO, |now| now.saturating_sub(intended));
            if late > MAX_LATE {
                // The report must know that it was not the target's doing.
                self.drop_arrival(slot, late, true);
            } else if let Some(sender) = idle.take() {
                sender.send(slot);
            } else {
                sending.spawn_local(Rc::clone(&self).sender(slot, Rc::clone(&idle)));
            }
        }
        idle.close();
        self.join_or_cut_off(&mut sending).await;
    }

    /// Sends one arrival after another, each when it is given: a task for each would
    /// cost as much as recording it.
    async fn sender(self: Rc<Self>, first: Slot, idle: Rc<Idle>) {
        let own = Rc::new(Sender::default());
        let mut next = Some(first);
        while let Some(slot) = next {
            Rc::clone(&self).send(slot, None).await;
            next = if idle.put(&own) { own.next().await } else { None };
        }
    }
}

/// Those who have nothing to send: the last to come is the next to go, so that few
/// are in use and those stay warm.
#[derive(Debug, Default)]
struct Idle {
    senders: RefCell<Vec<Rc<Sender>>>,
    closed: Cell<bool>,
}

impl Idle {
    fn take(&self) -> Option<Rc<Sender>> {
        self.senders.borrow_mut().pop()
    }

    /// Whether there may be more to send.
    fn put(&self, sender: &Rc<Sender>) -> bool {
        if !self.closed.get() {
            self.senders.borrow_mut().push(Rc::clone(sender));
        }
        !self.closed.get()
    }

    /// Nothing more is sent: whoever is here ends, and whoever comes.
    fn close(&self) {
        self.closed.set(true);
        self.senders.take().iter().for_each(|sender| sender.wake.notify_one());
    }
}

/// A task that sends, as seen by who has arrivals for it.
#[derive(Debug, Default)]
struct Sender {
    next: Cell<Option<Slot>>,
    wake: Notify,
}

impl Sender {
    fn send(&self, slot: Slot) {
        self.next.set(Some(slot));
        self.wake.notify_one();
    }

    /// What to send next; nothing, when there is no more.
    async fn next(&self) -> Option<Slot> {
        self.wake.notified().await;
        self.next.take()
    }
}
