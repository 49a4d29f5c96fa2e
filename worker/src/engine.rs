//! Drives the load of one slice over a transport.
//!
//! The open driver walks the schedule: each arrival of this shard leaves when
//! it is due, whether or not earlier ones have answered. The closed driver
//! runs virtual users, each waiting for its answer. Both end when their stretch
//! of load ends or the run is stopped, and then wait for what is in flight.
//!
//! Everything runs on the worker's one thread. A panic anywhere in it ends the
//! worker, and the report says what is missing.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use deathstar_statemachine::load::{Load, Think};
use deathstar_statemachine::mix::{Mix, SplitMix64};
use deathstar_statemachine::plan::{Plan, Span};
use deathstar_statemachine::schedule::{Schedule, Shard, micros, user_start};
use deathstar_statemachine::window::{ErrorClass, Outcome, Series, Timing};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::clock::LoadClock;
use crate::health::{CpuMeter, open_descriptors};
use crate::recorder::{Checkpoint, Recorder, Slot, Traffic, Versions};
use crate::stop_rule::StopRule;
use crate::transport::{Call, Reply, Transport, TransportError};

/// How long what is in flight may still take once the run is stopped. With the
/// second between two looks at the stop flag, a stop takes 2 s at most.
pub const STOP_GRACE: Duration = Duration::from_secs(1);

/// How late an arrival may leave by our own fault. One that is later, because
/// the worker came late or its machine stood still, is dropped: to make up for
/// more would be a burst that nobody asked for.
pub const MAX_LATE: Duration = Duration::from_secs(1);

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
        let recorder = RefCell::new(Recorder::new(plan.grid(), plan.spans(), slice.start, &kinds));
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
        let attacking = join_all(&mut attacks);
        tokio::join!(watching, attacking);
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
        match Schedule::of(&self.plan.config.attacks()[index].load) {
            Some(schedule) => self.open(index, span, &schedule).await,
            None => self.closed(index, span).await,
        }
    }

    /// The open workload model.
    async fn open(self: Rc<Self>, attack: usize, span: Span, schedule: &Schedule) {
        let requests = &self.plan.config.attacks()[attack].requests;
        let mut mix = Mix::new(requests, self.plan.seed.wrapping_add(attack as u64));
        let mut sending = JoinSet::new();
        let mut n = self.shard.first_from(schedule.due_before(self.slice.start.saturating_sub(span.start)));
        let mut in_a_row = 0;
        while let Some(due) = schedule.due(n) {
            let intended = Duration::from_micros(span.start) + due;
            self.wait_until_due(intended, &mut in_a_row, &mut sending).await;
            if micros(intended) >= self.until.get() {
                break;
            }
            let slot = Slot { attack, request: mix.pick(0, n), intended };
            self.recorder.borrow_mut().scheduled(slot);
            let late = self.clock.now().saturating_sub(intended);
            if late > MAX_LATE {
                // The report must know that it was not the target's doing.
                self.recorder.borrow_mut().released(slot, late);
                self.drop_arrival(slot);
            } else {
                let send = Rc::clone(&self).send(slot);
                sending.spawn_local(async {
                    send.await;
                });
            }
            n += self.shard.stride();
        }
        self.join_or_cut_off(&mut sending).await;
    }

    /// Sleeps until an arrival is due, unless the load ends or is stopped before;
    /// when the pacer is behind, lets answers be read now and then.
    async fn wait_until_due(&self, intended: Duration, in_a_row: &mut u32, sending: &mut JoinSet<()>) {
        if micros(intended) >= self.until.get() {
            return;
        }
        while let Some(ended) = sending.try_join_next() {
            rethrow(ended);
        }
        let ahead = self.clock.is_ahead(intended);
        *in_a_row = if ahead { 0 } else { *in_a_row + 1 };
        if !ahead && !(*in_a_row).is_multiple_of(BATCH) {
            return;
        }
        // What is due next is counted when it leaves, which may be late.
        self.recorder.borrow_mut().hold(micros(intended));
        if ahead {
            self.sleep_until_or_stop(intended).await;
        } else {
            tokio::task::yield_now().await;
        }
        self.recorder.borrow_mut().release(micros(intended));
    }

    async fn sleep_until_or_stop(&self, offset: Duration) {
        tokio::select! {
            () = self.clock.sleep_until(offset) => {}
            () = self.stopped.notified() => {}
        }
    }

    /// The closed workload model.
    async fn closed(self: Rc<Self>, attack: usize, span: Span) {
        let Load::Users { count, ramp, .. } = self.plan.config.attacks()[attack].load else { return };
        let mut users = JoinSet::new();
        for user in
            (self.shard.index()..count.get()).step_by(usize::try_from(self.shard.stride()).unwrap_or(1))
        {
            users.spawn_local(Rc::clone(&self).user(attack, span, user, count, ramp));
        }
        self.join_or_cut_off(&mut users).await;
    }

    async fn user(self: Rc<Self>, attack: usize, span: Span, user: u32, count: NonZeroU32, ramp: Duration) {
        let attack_config = &self.plan.config.attacks()[attack];
        let seed = self.plan.seed.wrapping_add(attack as u64);
        let mut mix = Mix::new(&attack_config.requests, seed);
        let mut pauses = SplitMix64(seed ^ SplitMix64(u64::from(user)).next());
        let start = (span.start + user_start(user, count, ramp)).max(self.slice.start);
        // A user that comes late is ready when it comes.
        let mut intended = Duration::from_micros(start).max(self.clock.now());
        let mut in_a_row = 0;
        let mut none = JoinSet::new();
        for n in 0.. {
            self.wait_until_due(intended, &mut in_a_row, &mut none).await;
            if micros(intended) >= self.until.get() || micros(intended) >= span.end {
                break;
            }
            let slot = Slot { attack, request: mix.pick(u64::from(user) + 1, n), intended };
            self.recorder.borrow_mut().scheduled(slot);
            let done = Rc::clone(&self).send(slot).await;
            intended = done + pause(&mut pauses, attack_config.think);
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

    /// Sends one request and counts how it ended, whatever becomes of the future;
    /// returns when it was known to have ended.
    fn send(self: Rc<Self>, slot: Slot) -> impl Future<Output = Duration> {
        let timeout = self.plan.config.attacks()[slot.attack].timeout;
        let mut under_way = UnderWay { engine: self, slot, call: Call::new(timeout), ended: false };
        async move {
            let engine = &under_way.engine;
            let released = engine.clock.now();
            engine.recorder.borrow_mut().released(slot, released.saturating_sub(slot.intended));
            let prepared = &engine.prepared[slot.attack][slot.request];
            let reply = engine.transport.exchange(prepared, &under_way.call).await;
            let done = engine.clock.now();
            under_way.end(Some(reply), done);
            done
        }
    }

    /// Counts how a request ended that was under way until `done`; without a reply,
    /// it was cut off.
    fn count(&self, slot: Slot, call: &Call, reply: Option<Reply>, mut done: Duration) {
        let Some(sent) = call.sent() else { return self.drop_arrival(slot) };
        let sent = self.clock.offset_of(sent);
        let attack = &self.plan.config.attacks()[slot.attack];
        let outcome = match reply {
            Some(Reply::Response { status }) if attack.requests[slot.request].accepts(status) => {
                Outcome::Completed { status }
            }
            Some(Reply::Response { status }) => {
                Outcome::Failed { class: ErrorClass::Status, status: Some(status) }
            }
            Some(Reply::Failed { class, status }) => Outcome::Failed { class, status },
            Some(Reply::TimedOut) => {
                // Recorded at its timeout, not at when we came to notice.
                done = sent + attack.timeout;
                Outcome::TimedOut
            }
            Some(Reply::NotSent) => return self.drop_arrival(slot),
            None => Outcome::Failed { class: ErrorClass::Aborted, status: None },
        };
        let timing = Timing { intended: slot.intended, sent, done };
        let traffic = Traffic { sent: call.bytes_sent(), received: call.bytes_received() };
        self.end(slot, outcome, &timing, traffic);
    }

    fn drop_arrival(&self, slot: Slot) {
        let now = self.clock.now();
        let timing = Timing { intended: slot.intended, sent: now, done: now };
        self.end(slot, Outcome::Dropped, &timing, Traffic::default());
    }

    fn end(&self, slot: Slot, outcome: Outcome, timing: &Timing, traffic: Traffic) {
        self.recorder.borrow_mut().ended(slot, outcome, timing, traffic);
        if let Some(rule) = self.stop_rule.borrow_mut().as_mut() {
            rule.ended(slot.attack, outcome, timing);
        }
    }

    /// Notes CPU and sockets at the end of every second of the slice's load.
    async fn watch_health(&self) {
        const SECOND: u64 = 1_000_000;
        self.sleep_until_or_stop(Duration::from_micros(self.slice.start)).await;
        let mut cpu = CpuMeter::start();
        let mut last = self.clock.now();
        let mut second = self.slice.start / SECOND + 1;
        loop {
            let end = second * SECOND;
            if end > self.until.get() {
                return;
            }
            self.sleep_until_or_stop(Duration::from_micros(end)).await;
            if end > self.until.get() {
                return;
            }
            let now = self.clock.now();
            // A second that was over before this worker began says nothing of it.
            let began_before = Duration::from_micros(end) > last;
            let ratio = began_before.then(|| cpu.read(now.saturating_sub(last))).flatten();
            last = now;
            // Listing thousands of them takes tens of milliseconds, in which this
            // thread would send nothing.
            let sockets = tokio::task::spawn_blocking(open_descriptors).await.ok().flatten();
            let mut recorder = self.recorder.borrow_mut();
            recorder.cover(end);
            recorder.health(end, ratio, sockets);
            second += 1;
        }
    }
}

/// A request from when it is given to its task. One that is dropped before it ended
/// was cut off, and is counted then: nothing due disappears.
struct UnderWay<T: Transport + 'static> {
    engine: Rc<Engine<T>>,
    slot: Slot,
    call: Call,
    ended: bool,
}

impl<T: Transport> UnderWay<T> {
    fn end(&mut self, reply: Option<Reply>, done: Duration) {
        self.ended = true;
        self.engine.count(self.slot, &self.call, reply, done);
    }
}

impl<T: Transport> Drop for UnderWay<T> {
    fn drop(&mut self) {
        // While a panic goes by, counts may be half made, and nobody reads them.
        if !self.ended && !std::thread::panicking() {
            self.end(None, self.engine.clock.now());
        }
    }
}

fn pause(random: &mut SplitMix64, think: Think) -> Duration {
    let (min, max) = (micros(think.min), micros(think.max));
    Duration::from_micros(min + random.below(max - min + 1))
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
