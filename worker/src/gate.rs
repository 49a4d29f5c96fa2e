//! Who may use a connection, and who waits for one.
//!
//! Each carrier has so many connections, and an attack perhaps fewer. An arrival
//! that finds all of them busy waits in line with its intended time; the longest
//! waiting is the next to go. Since the gate knows when a connection became free,
//! the time until it was used is told apart from the wait for it: the wait is the
//! target's, the rest is ours.
//!
//! Everything is on one thread, so plain counters do.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::clock::LoadClock;

/// Counts the connections in use.
#[derive(Debug)]
pub(crate) struct Gate {
    clock: LoadClock,
    pools: Vec<Pool>,
    attacks: Vec<Line>,
    waiting: Cell<usize>,
    tickets: Cell<u64>,
}

/// The connections of one carrier.
#[derive(Debug)]
struct Pool {
    /// Those that nobody uses.
    free: Cell<u32>,
    /// Told when an arrival finds none.
    exhausted: Notify,
}

/// Those of one attack.
#[derive(Debug)]
struct Line {
    pool: usize,
    /// Connections that it may use besides those that it uses.
    free: Cell<u32>,
    waiters: RefCell<VecDeque<Rc<Waiter>>>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    waker: Waker,
    /// When the connection that it may use became free, once one has.
    granted: Cell<Option<Duration>>,
    /// Nobody waits any more.
    gone: Cell<bool>,
}

/// Leave to use one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    attack: usize,
}

impl Gate {
    /// A gate to pools of so many connections, for attacks that each use one of the
    /// pools (its index), and no more of it than they may.
    pub(crate) fn new(
        clock: LoadClock,
        pools: &[u32],
        attacks: impl IntoIterator<Item = (usize, u32)>,
    ) -> Self {
        let line =
            |(pool, free)| Line { pool, free: Cell::new(free), waiters: RefCell::new(VecDeque::new()) };
        Self {
            clock,
            pools: pools
                .iter()
                .map(|free| Pool { free: Cell::new(*free), exhausted: Notify::new() })
                .collect(),
            attacks: attacks.into_iter().map(line).collect(),
            waiting: Cell::new(0),
            tickets: Cell::new(0),
        }
    }

    /// Leave at once, if a connection is free: nobody is in line then.
    pub(crate) fn try_enter(&self, attack: usize) -> Option<Pass<'_>> {
        let line = &self.attacks[attack];
        let pool = &self.pools[line.pool];
        if line.free.get() == 0 || pool.free.get() == 0 {
            return None;
        }
        line.free.set(line.free.get() - 1);
        pool.free.set(pool.free.get() - 1);
        Some(Pass { gate: self, attack })
    }

    /// Leave in the order of asking, and when the connection became free: before now,
    /// by as long as it took us to notice.
    pub(crate) async fn enter(&self, attack: usize) -> (Pass<'_>, Duration) {
        if let Some(pass) = self.try_enter(attack) {
            return (pass, self.clock.now());
        }
        let place = poll_fn(|context| Poll::Ready(self.queue(attack, context.waker().clone()))).await;
        // Woken by others it is polled, too; its waker stays the same within a task.
        let freed = poll_fn(|_| place.waiter.granted.get().map_or(Poll::Pending, Poll::Ready)).await;
        // What was granted is the pass's now.
        place.waiter.granted.set(None);
        (Pass { gate: self, attack }, freed)
    }

    /// When an arrival next finds no connection free among those that an attack shares.
    pub(crate) fn exhausted(&self, attack: usize) -> Notified<'_> {
        self.pools[self.attacks[attack].pool].exhausted.notified()
    }

    fn queue(&self, attack: usize, waker: Waker) -> Place<'_> {
        let ticket = self.tickets.get();
        self.tickets.set(ticket + 1);
        self.waiting.set(self.waiting.get() + 1);
        let waiter = Rc::new(Waiter { ticket, waker, granted: Cell::new(None), gone: Cell::new(false) });
        let line = &self.attacks[attack];
        line.waiters.borrow_mut().push_back(Rc::clone(&waiter));
        let pool = &self.pools[line.pool];
        if pool.free.get() == 0 {
            pool.exhausted.notify_waiters();
        }
        Place { gate: self, attack, waiter }
    }

    fn leave(&self, attack: usize) {
        let line = &self.attacks[attack];
        let pool = &self.pools[line.pool];
        line.free.set(line.free.get() + 1);
        pool.free.set(pool.free.get() + 1);
        if self.waiting.get() == 0 {
            return;
        }
        let now = self.clock.now();
        while pool.free.get() > 0
            && let Some(next) = self.longest_waiting(line.pool)
        {
            let Some(waiter) = self.attacks[next].waiters.borrow_mut().pop_front() else { return };
            self.waiting.set(self.waiting.get() - 1);
            let free = &self.attacks[next].free;
            free.set(free.get() - 1);
            pool.free.set(pool.free.get() - 1);
            waiter.granted.set(Some(now));
            waiter.waker.wake_by_ref();
        }
    }

    /// The attack whose first in line has waited longest, among those of a pool that
    /// may use one more.
    fn longest_waiting(&self, pool: usize) -> Option<usize> {
        let ticket = |(index, line): (usize, &Line)| {
            if line.pool != pool || line.free.get() == 0 {
                return None;
            }
            self.forget_the_gone(line);
            line.waiters.borrow().front().map(|waiter| (waiter.ticket, index))
        };
        self.attacks.iter().enumerate().filter_map(ticket).min().map(|(_, index)| index)
    }

    /// Those of an attack who gave up are the first in line: they may all wait as long.
    fn forget_the_gone(&self, line: &Line) {
        let mut waiters = line.waiters.borrow_mut();
        while waiters.front().is_some_and(|waiter| waiter.gone.get()) {
            waiters.pop_front();
            self.waiting.set(self.waiting.get() - 1);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.gate.leave(self.attack);
    }
}

/// A place in line. Whoever gives it up passes on what was granted meanwhile.
struct Place<'a> {
    gate: &'a Gate,
    attack: usize,
    waiter: Rc<Waiter>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiter.gone.set(true);
        self.gate.forget_the_gone(&self.gate.attacks[self.attack]);
        if self.waiter.granted.take().is_some() {
            self.gate.leave(self.attack);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use jiff::Timestamp;
    use tokio::time::{advance, timeout};

    use super::*;
    use crate::clock::Paused;

    fn gate(pools: &[u32], attacks: &[(usize, u32)]) -> Gate {
        let clock = LoadClock::new(&Paused, Timestamp::UNIX_EPOCH, Duration::ZERO);
        Gate::new(clock, pools, attacks.iter().copied())
    }

    /// Polls a future once.
    macro_rules! poll {
        ($future:expr) => {
            poll_fn(|context| Poll::Ready($future.as_mut().poll(context))).await
        };
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_go_in_turn_across_attacks_and_pools_are_apart() {
        let gate = gate(&[1, 1], &[(0, 9), (0, 9), (1, 9)]);
        let first = gate.try_enter(0).unwrap();
        assert!(gate.try_enter(1).is_none());
        let other_pool = gate.try_enter(2).unwrap();
        let (mut two, mut three) = (pin!(gate.enter(1)), pin!(gate.enter(0)));
        assert!(poll!(two).is_pending() && poll!(three).is_pending());
        drop(other_pool);
        assert!(poll!(two).is_pending());
        drop(first);
        assert!(poll!(three).is_pending(), "it came later");
        let Poll::Ready((pass, _)) = poll!(two) else { panic!("its turn") };
        drop(pass);
        assert!(poll!(three).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn an_attack_at_its_own_limit_lets_others_go_first() {
        let gate = gate(&[2], &[(0, 1), (0, 2)]);
        let (mine, others) = (gate.try_enter(0).unwrap(), gate.try_enter(1).unwrap());
        let (mut again, mut other) = (pin!(gate.enter(0)), pin!(gate.enter(1)));
        assert!(poll!(again).is_pending() && poll!(other).is_pending());
        drop(others);
        assert!(poll!(again).is_pending());
        assert!(poll!(other).is_ready());
        drop(mine);
        assert!(poll!(again).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_when_the_connection_is_free_and_not_when_it_is_noticed() {
        let gate = gate(&[1], &[(0, 1)]);
        let first = gate.try_enter(0).unwrap();
        let mut waiting = pin!(gate.enter(0));
        assert!(poll!(waiting).is_pending());
        advance(Duration::from_millis(30)).await;
        drop(first);
        advance(Duration::from_millis(12)).await;
        let Poll::Ready((_pass, freed)) = poll!(waiting) else { panic!("it is free") };
        assert_eq!(freed, Duration::from_millis(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_given_up_is_nobodys_and_what_it_was_granted_goes_on() {
        let gate = gate(&[1], &[(0, 1)]);
        let first = gate.try_enter(0).unwrap();
        // Given up before and after its turn had come.
        assert!(timeout(Duration::from_millis(5), gate.enter(0)).await.is_err());
        assert_eq!(gate.waiting.get(), 0, "nobody");
        let mut next = Box::pin(gate.enter(0));
        let mut last = pin!(gate.enter(0));
        assert!(poll!(next).is_pending() && poll!(last).is_pending());
        drop(first);
        drop(next);
        assert!(poll!(last).is_ready());
        assert_eq!((gate.waiting.get(), gate.pools[0].free.get()), (0, 1), "and it has left, too");
    }
}
