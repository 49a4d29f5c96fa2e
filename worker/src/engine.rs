//! Drives the load of one slice over a transport.
//!
//! The open driver walks the schedule: each arrival of this shard leaves when
//! it is due, whether or not earlier ones have answered. The closed driver
//! runs virtual users, each waiting for its answer. Both end when their stretch
//! of load ends or the run is stopped, and then wait for what is in flight.
//!
//! Here is the slice as a whole, and what both drivers wait by. `open` and `closed` drive,
//! `request` sends one and counts it, and `beside` looks at what else is going on.
//!
//! Everything runs on the worker's one thread. A panic anywhere in it ends the
//! worker, and the report says what is missing.

mod beside;
mod closed;
mod open;
mod request;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use deathstar_statemachine::config::Carrier;
use deathstar_statemachine::plan::{Plan, Span};
use deathstar_statemachine::schedule::{Shard, micros};
use deathstar_statemachine::window::Series;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::clock::LoadClock;
use crate::gate::Gate;
use crate::pacer::Pacer;
use crate::recorder::{Checkpoint, Recorder, Versions};
use crate::stop_rule::StopRule;
use crate::transport::{Transport, TransportError};

/// How long what is in flight may still take once the run is stopped. With the
/// second between two looks at the stop flag, a stop takes 2 s at most.
pub const STOP_GRACE: Duration = Duration::from_secs(1);

/// How late an arrival may leave by our own fault. One that is later, because
/// the worker came late or its machine stood still, is dropped: to make up for
/// more would be a burst that nobody asked for.
pub const MAX_LATE: Duration = Duration::from_secs(1);

/// How long before its load begins an attack opens its connections.
const WARM_UP: Duration = Duration::from_secs(2);

/// How many connections are opened at once then: no more than any target's backlog
/// holds.
const WARM_UP_AT_ONCE: usize = 32;

/// Arrivals that may leave in one go before answers are looked at, when the
/// pacer is behind.
const BATCH: u32 = 64;

/// The load of one slice.
#[derive(Debug)]
pub struct Engine<T: Transport> {
    plan: Plan,
    shard: Shard,
    /// The slice, in microseconds of the load.
    slice: Span,
    transport: T,
    clock: LoadClock,
    gate: Gate,
    /// By attack, by request.
    prepared: Vec<Vec<T::Prepared>>,
    recorder: RefCell<Recorder>,
    stop_rule: RefCell<Option<StopRule>>,
    /// Where the load stops, in microseconds: the slice's end, or earlier.
    until: Cell<u64>,
    stopped: Notify,
    /// Turns true when what is in flight must be cut off.
    abort: watch::Sender<bool>,
}

impl<T: Transport + 'static> Engine<T> {
    /// Compiles every request of the plan, whose references are resolved.
    ///
    /// # Errors
    /// When a reference is left, or the transport cannot send a request.
    pub fn new(
        plan: Plan,
        shard: Shard,
        slice: Span,
        transport: T,
        clock: LoadClock,
    ) -> Result<Self, TransportError> {
        if let Some(reference) = plan.config.references().first() {
            let why = "it is never sent as it stands".to_owned();
            return Err(TransportError { what: format!("{reference} has no value"), why });
        }
        let attacks = plan.config.attacks();
        let prepared = attacks
            .iter()
            .map(|attack| attack.requests.iter().map(|request| transport.prepare(request)).collect())
            .collect::<Result<Vec<Vec<_>>, _>>()?;
        let kinds: Vec<usize> = prepared.iter().map(Vec::len).collect();
        let recorder = RefCell::new(Recorder::new(plan.grid(), plan.spans(), slice, &kinds));
        let gate = gate(&plan, shard, clock);
        let stop_rule = plan.config.stop_if().map(|stop_if| StopRule::new(stop_if.clone(), attacks.len()));
        Ok(Self {
            recorder,
            stop_rule: RefCell::new(stop_rule),
            until: Cell::new(slice.end),
            stopped: Notify::new(),
            abort: watch::Sender::new(false),
            plan,
            shard,
            slice,
            transport,
            clock,
            gate,
            prepared,
        })
    }

    /// Sends the slice's load and waits until every request has ended. Must run
    /// within a [`tokio::task::LocalSet`].
    pub async fn run(self: &Rc<Self>) {
        let mut attacks = JoinSet::new();
        for (index, span) in self.plan.spans().into_iter().enumerate() {
            let begin = span.start.max(self.slice.start);
            let end = span.end.min(self.slice.end);
            if begin < end {
                attacks.spawn_local(Rc::clone(self).attack(index, span));
            }
        }
        let watching = self.watch_health();
        let probing = self.probe();
        let attacking = join_all(&mut attacks);
        tokio::join!(watching, probing, attacking);
        // The part of a second that was left is covered, too.
        self.recorder.borrow_mut().cover(self.until.get());
    }

    /// Stops the load where it is now, and cuts off what is in flight after
    /// [`STOP_GRACE`]. Must run within a [`tokio::task::LocalSet`].
    pub fn stop(self: &Rc<Self>) {
        let start = self.slice.start;
        let until = if self.clock.is_ahead(Duration::from_micros(start)) {
            start
        } else {
            // What was due in this very microsecond may have left already.
            micros(self.clock.now()).max(start) + 1
        };
        self.until.set(self.until.get().min(until));
        self.stopped.notify_waiters();
        let engine = Rc::clone(self);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(STOP_GRACE).await;
            engine.abort.send_replace(true);
        });
    }

    /// Where the load stopped, or will, in microseconds from its start.
    #[must_use]
    pub fn until(&self) -> u64 {
        self.until.get()
    }

    /// Every window that changed since it was last written.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let now = micros(self.clock.now()).min(self.until.get());
        self.recorder.borrow().checkpoint(now)
    }

    /// Notes that a checkpoint is safely written.
    pub fn written(&self, versions: &Versions) {
        self.recorder.borrow_mut().written(versions);
    }

    /// The totals, by attack and request.
    #[must_use]
    pub fn totals(&self) -> Vec<Series> {
        self.recorder.borrow().totals()
    }

    /// Ends a second of the stop condition; says whether it has come true.
    #[must_use]
    pub fn wants_to_stop(&self) -> bool {
        self.stop_rule.borrow_mut().as_mut().is_some_and(StopRule::tick)
    }

    async fn attack(self: Rc<Self>, index: usize, span: Span) {
        self.warm_up(index, span).await;
        match self.plan.arrivals(index, self.shard) {
            Some(arrivals) => self.open(index, span, &arrivals).await,
            None => self.closed(index, span).await,
        }
    }

    /// Opens an attack's connections shortly before its load begins, as many as no
    /// other attack needs until then.
    async fn warm_up(self: &Rc<Self>, index: usize, span: Span) {
        let attack = &self.plan.config.attacks()[index];
        let share = self.shard.part_of(attack.warm_up);
        if share == 0 {
            return;
        }
        let begin = Duration::from_micros(span.start.max(self.slice.start));
        // What begins sooner than that opens them now: the load itself may be ahead.
        if let Some(before) = begin.checked_sub(WARM_UP) {
            self.sleep_until_or_stop(before).await;
        }
        let count = usize::try_from(share).unwrap_or(usize::MAX);
        let exhausted = self.gate.exhausted(index);
        let mut opening = JoinSet::new();
        for first in 0..count.min(WARM_UP_AT_ONCE) {
            let engine = Rc::clone(self);
            opening.spawn_local(async move {
                for number in (first..count).step_by(WARM_UP_AT_ONCE) {
                    // While it is being opened it is as good as one in use: together
                    // they are no more than there may be.
                    let Some(_pass) = engine.gate.try_enter(index) else { break };
                    let requests = &engine.prepared[index];
                    engine.transport.warm_up(&requests[number % requests.len()]).await;
                }
            });
        }
        // What is left ends as it is dropped. The arrivals of an attack that is under
        // way go first: they never wait for a connection that none needs yet.
        tokio::select! {
            () = join_all(&mut opening) => {}
            () = exhausted => {}
            () = self.sleep_until_or_stop(begin) => {}
        }
    }

    /// Sleeps until an arrival is due, unless the load ends or is stopped before;
    /// when the pacer is behind, lets answers be read now and then.
    async fn wait_until_due(&self, intended: Duration, mut pacer: Option<&mut Pacer>, pace: &mut Pace) {
        if micros(intended) >= self.until.get() {
            return;
        }
        pacer.iter_mut().for_each(|pacer| pacer.note(intended));
        let is_due = pace.now.is_some_and(|now| intended <= now);
        let ahead = !is_due && self.clock.is_ahead(intended);
        pace.in_a_row = if ahead { 0 } else { pace.in_a_row + 1 };
        if ahead || pace.in_a_row.is_multiple_of(BATCH) {
            // What is due next is counted when it leaves, which may be late.
            self.recorder.borrow_mut().hold(micros(intended));
            if ahead {
                let sleep = async {
                    match pacer {
                        Some(pacer) => pacer.sleep_until(intended).await,
                        None => self.clock.sleep_until(intended).await,
                    }
                };
                tokio::select! {
                    () = sleep => {}
                    () = self.stopped.notified() => {}
                }
            } else {
                tokio::task::yield_now().await;
            }
            self.recorder.borrow_mut().release(micros(intended));
        } else if is_due {
            return;
        }
        pace.now = Some(self.clock.now());
    }

    async fn sleep_until_or_stop(&self, offset: Duration) {
        tokio::select! {
            () = self.clock.sleep_until(offset) => {}
            () = self.stopped.notified() => {}
        }
    }

    /// Waits for every task, and cuts off what is left once the grace of a stop is
    /// over. Looked at here, once for all, and not by each request.
    async fn join_or_cut_off(&self, tasks: &mut JoinSet<()>) {
        let mut abort = self.abort.subscribe();
        tokio::select! {
            biased;
            // The sender lives as long as the engine.
            _ = abort.wait_for(|abort| *abort) => tasks.abort_all(),
            () = join_all(tasks) => return,
        }
        join_all(tasks).await;
    }
}

/// The gate to a worker's connections. Those of an attack are all by one carrier.
fn gate(plan: &Plan, shard: Shard, clock: LoadClock) -> Gate {
    const CARRIERS: [Carrier; 2] = [Carrier::Fast, Carrier::Rich];
    let pools = CARRIERS.map(|carrier| plan.connections_by(carrier));
    let attacks = plan.config.attacks().iter().map(|attack| {
        let pool = attack.requests.first().map_or(0, |request| usize::from(request.carrier == CARRIERS[1]));
        (pool, plan.connections_of(attack, shard))
    });
    Gate::new(clock, &pools, attacks)
}

/// How far a driver has come.
#[derive(Debug, Default)]
struct Pace {
    /// When it looked at the clock last; not yet before the load begins.
    now: Option<Duration>,
    /// How many have left since it last let others run.
    in_a_row: u32,
}

/// Waits for every task; a panic in one is ours.
async fn join_all(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        rethrow(ended);
    }
}

fn rethrow(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
