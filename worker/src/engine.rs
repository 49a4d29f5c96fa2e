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
use std::rc::Rc;
use std::time::Duration;

use deathstar_statemachine::arrivals::{Arrival, Process};
use deathstar_statemachine::config::Carrier;
use deathstar_statemachine::load::{Load, Think};
use deathstar_statemachine::mix::{Mix, SplitMix64};
use deathstar_statemachine::plan::{Plan, Span};
use deathstar_statemachine::resources::Place;
use deathstar_statemachine::schedule::{Shard, micros, user_start};
use deathstar_statemachine::window::{ErrorClass, Outcome, Series, Timing};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::{self, LoadClock};
use crate::gate::{Gate, Pass};
use crate::health::{CpuMeter, open_descriptors};
use crate::pacer::Pacer;
use crate::probe::{Client, Watch};
use crate::recorder::{Checkpoint, Ended, Recorder, Slot, Traffic, Versions};
use crate::stop_rule::StopRule;
use crate::transport::{Call, Jar, Reply, Transport, TransportError};

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

    /// The open workload model.
    async fn open(self: Rc<Self>, attack: usize, span: Span, arrivals: &Process) {
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

    /// The closed workload model.
    async fn closed(self: Rc<Self>, attack: usize, span: Span) {
        let config = &self.plan.config.attacks()[attack];
        let Load::Users { count, ramp, .. } = config.load else { return };
        let mix = Rc::new(Mix::new(&config.requests, self.plan.seed_of(attack)));
        let mut users = JoinSet::new();
        for user in
            (self.shard.index()..count.get()).step_by(usize::try_from(self.shard.stride()).unwrap_or(1))
        {
            let begins = span.start + user_start(user, count, ramp);
            users.spawn_local(Rc::clone(&self).user(attack, user, begins, span.end, Rc::clone(&mix)));
        }
        self.join_or_cut_off(&mut users).await;
    }

    /// One virtual user, who begins and ends at these microseconds of the load. There may
    /// be very many, so what each keeps while it waits is little: no arguments beside
    /// what was made of them, and no timer of the kernel's.
    fn user(
        self: Rc<Self>,
        attack: usize,
        user: u32,
        begins: u64,
        end: u64,
        mix: Rc<Mix>,
    ) -> impl Future<Output = ()> {
        let config = &self.plan.config.attacks()[attack];
        let think = config.think;
        let mut pauses = SplitMix64(mix.seed() ^ SplitMix64(u64::from(user)).next() ^ self.slice.start);
        let has_cookies = config.requests.iter().any(|request| request.http.cookies);
        let jar = has_cookies.then(Rc::<Jar>::default);
        let mut start = Duration::from_micros(begins.max(self.slice.start));
        if begins < self.slice.start {
            // The slice before left it somewhere in a pause. Else all users would come
            // at once wherever a slice begins.
            let rest = micros(pause(&mut pauses, think));
            start += Duration::from_micros(pauses.below(rest + 1));
        }
        // A user that comes late is ready when it comes.
        let mut intended = start.max(self.clock.now());
        let mut pace = Pace::default();
        // Elsewhere in the mix than where the slice before began, or who comes seldom would
        // never see its end.
        let mut number = self.slice.start;
        async move {
            loop {
                self.wait_until_due(intended, None, &mut pace).await;
                if micros(intended) >= self.until.get() || micros(intended) >= end {
                    break;
                }
                let slot = Slot { attack, request: mix.pick(u64::from(user) + 1, number), intended };
                self.recorder.borrow_mut().scheduled(slot);
                let done = Rc::clone(&self).send(slot, jar.clone()).await;
                pace.now = Some(done);
                intended = done + pause(&mut pauses, think);
                number += 1;
            }
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
    fn send(self: Rc<Self>, slot: Slot, jar: Option<Rc<Jar>>) -> impl Future<Output = Duration> {
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
    fn drop_arrival(&self, slot: Slot, pacing_lag: Duration, unsent: bool) {
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

    /// Reads the target's resources as long as their attacks last. Only the first worker
    /// does: more would be a load of their own.
    async fn probe(self: &Rc<Self>) {
        if self.shard.index() != 0 {
            return;
        }
        let client = Client::default();
        let mut watches = JoinSet::new();
        for ((attack, config), span) in (0..).zip(self.plan.config.attacks()).zip(self.plan.spans()) {
            for (resource, probe) in (0..).zip(&config.resources) {
                let Some(watch) = Watch::new(probe, Place { attack, resource }, &client) else { continue };
                watches.spawn_local(Rc::clone(self).watch(watch, span, probe.every));
            }
        }
        join_all(&mut watches).await;
    }

    /// Reads one resource at fixed instants, `every` apart from the start of the load on.
    /// One that takes longer than that skips what was due meanwhile, and one that is
    /// under way when the load ends is given up.
    async fn watch(self: Rc<Self>, mut watch: Watch, span: Span, every: Duration) {
        let every = micros(every).max(1);
        let mut due = span.start.max(self.slice.start).next_multiple_of(every);
        let end = || span.end.min(self.until.get());
        watch.prepare().await;
        while due < end() {
            self.sleep_until_or_stop(Duration::from_micros(due)).await;
            // The load was stopped, or this worker came too late.
            if due.max(micros(self.clock.now())) >= end() {
                return;
            }
            let (at, readings, misses) = tokio::select! {
                read = watch.read(|| self.clock.now()) => read,
                () = self.sleep_until_or_stop(Duration::from_micros(end())) => return,
            };
            let now = micros(self.clock.now());
            if now >= end() {
                return;
            }
            self.recorder.borrow_mut().saw(at, readings, misses);
            due = (due + every).max(now.next_multiple_of(every));
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
