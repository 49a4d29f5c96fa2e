//! The closed workload model: virtual users, each waiting for its answer.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use deathstar_statemachine::load::{Load, Think};
use deathstar_statemachine::mix::{Mix, SplitMix64};
use deathstar_statemachine::plan::Span;
use deathstar_statemachine::schedule::{micros, user_start};
use tokio::task::JoinSet;

use super::{Engine, Pace};
use crate::recorder::Slot;
use crate::transport::{Jar, Transport};

impl<T: Transport + 'static> Engine<T> {
    /// The closed workload model.
    pub(super) async fn closed(self: Rc<Self>, attack: usize, span: Span) {
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
}

fn pause(random: &mut SplitMix64, think: Think) -> Duration {
    let (min, max) = (micros(think.min), micros(think.max));
    Duration::from_micros(min + random.below(max - min + 1))
}
