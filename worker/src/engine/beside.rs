//! What is looked at beside the load: the target's resources, and this worker.

use std::rc::Rc;
use std::time::Duration;

use deathstar_statemachine::plan::Span;
use deathstar_statemachine::resources::Place;
use deathstar_statemachine::schedule::micros;
use tokio::task::JoinSet;

use super::{Engine, join_all};
use crate::health::{CpuMeter, open_descriptors};
use crate::probe::{Client, Watch};
use crate::transport::Transport;

impl<T: Transport + 'static> Engine<T> {
    /// Reads the target's resources as long as their attacks last. Only the first worker
    /// does: more would be a load of their own.
    pub(super) async fn probe(self: &Rc<Self>) {
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
    pub(super) async fn watch_health(&self) {
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
