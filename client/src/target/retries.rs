//! Impatient callers in front of the queue, in virtual time: what makes a
//! service metastable.
//!
//! A caller gives up on a request that has waited for a server longer than its
//! patience, and sends the same again. The server does not know: it serves the
//! first one all the same, for nobody. As long as waits are short nothing of
//! this happens. Once a burst has made them long, each caller costs
//! `1 + retries` services, and if that is more than the capacity, waits stay
//! long for ever, though the load that began it is long over: the service has
//! two states at one load, and only less load than `capacity ÷ (1 + retries)`,
//! or a bounded queue, gets it out of the bad one.
//!
//! Like [`super::queue`], no I/O and no clock. All callers are equally patient,
//! so they give up in the order in which they came, and a plain queue holds
//! the retries to come.

use std::collections::VecDeque;

use super::queue::{Admission, Nanos, Queue};

/// How callers behave that wait too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Impatience {
    /// The longest that a caller waits for a server; above zero.
    pub(super) patience: Nanos,
    /// How often each request is tried again.
    pub(super) retries: u32,
}

/// What becomes of a caller's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Served at the first attempt; it leaves at `departs`.
    Served {
        /// When its service ends.
        departs: Nanos,
    },
    /// The caller gives up on it at `at`; the server serves it later, in vain.
    GivenUp {
        /// The arrival, and the patience later.
        at: Nanos,
    },
    /// The queue was full.
    Rejected,
}

/// An attempt that will be made when the caller gives up on the one before.
#[derive(Debug)]
struct Retry {
    due: Nanos,
    service: Nanos,
    /// Further attempts after this one.
    left: u32,
}

/// The queue and the callers in front of it.
#[derive(Debug)]
pub(super) struct Callers {
    queue: Queue,
    impatience: Option<Impatience>,
    /// Soonest first.
    retries: VecDeque<Retry>,
    /// Retries that have reached the queue, refused ones included.
    retried: u64,
}

impl Callers {
    /// Callers of an empty queue: impatient ones, or such that wait for ever.
    pub(super) fn new(queue: Queue, impatience: Option<Impatience>) -> Self {
        Self { queue, impatience, retries: VecDeque::new(), retried: 0 }
    }

    /// A new request at `now`, which must not go back, that needs `service`.
    pub(super) fn arrive(&mut self, now: Nanos, service: Nanos) -> Outcome {
        self.retry_until(now);
        let retries = self.impatience.map_or(0, |impatience| impatience.retries);
        self.attempt(now, service, retries)
    }

    /// How many jobs, wanted or not, wait for a server at `now`.
    pub(super) fn waiting(&mut self, now: Nanos) -> usize {
        self.retry_until(now);
        self.queue.waiting(now)
    }

    /// How many jobs, wanted or not, a server works on at `now`.
    pub(super) fn in_service(&mut self, now: Nanos) -> usize {
        self.retry_until(now);
        self.queue.in_service(now)
    }

    /// How many retries had reached the queue by `now`.
    pub(super) fn retried(&mut self, now: Nanos) -> u64 {
        self.retry_until(now);
        self.retried
    }

    /// Makes the attempts that were due by `now`, each at its own time. They
    /// arrive here late, but nothing came between: whatever arrives calls this first.
    fn retry_until(&mut self, now: Nanos) {
        while let Some(retry) = self.retries.pop_front_if(|retry| retry.due <= now) {
            self.retried += 1;
            // Whoever is refused gives up for good: it knows that the service is busy.
            self.attempt(retry.due, retry.service, retry.left);
        }
    }

    fn attempt(&mut self, now: Nanos, service: Nanos, left: u32) -> Outcome {
        match (self.queue.arrive(now, service), self.impatience) {
            (Admission::Rejected, _) => Outcome::Rejected,
            (Admission::Admitted { starts, .. }, Some(Impatience { patience, .. }))
                if starts - now > patience =>
            {
                let at = now.saturating_add(patience);
                if let Some(left) = left.checked_sub(1) {
                    self.retries.push_back(Retry { due: at, service, left });
                }
                Outcome::GivenUp { at }
            }
            (Admission::Admitted { departs, .. }, _) => Outcome::Served { departs },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;
    const S: Nanos = 1000 * MS;

    /// One server ÷ 10 ms = 100/s, callers that wait 200 ms.
    fn callers(retries: u32, bound: Option<u64>) -> Callers {
        Callers::new(Queue::new(1, bound, None), Some(Impatience { patience: 200 * MS, retries }))
    }

    /// When arrival `n` of 60/s is due.
    fn due(n: u64) -> Nanos {
        n * S / 60
    }

    /// Outcomes of arrivals `from..until` of 60/s: served, given up, rejected.
    fn steady(callers: &mut Callers, arrivals: std::ops::Range<u64>) -> (u64, u64, u64) {
        let mut counts = (0, 0, 0);
        for n in arrivals {
            match callers.arrive(due(n), 10 * MS) {
                Outcome::Served { .. } => counts.0 += 1,
                Outcome::GivenUp { at } => {
                    assert_eq!(at, due(n) + 200 * MS);
                    counts.1 += 1;
                }
                Outcome::Rejected => counts.2 += 1,
            }
        }
        counts
    }

    /// A hundred at once at 10 s, right behind arrival 600 of 60/s, which
    /// found the server idle: the k-th, from 1, has k jobs ahead of it.
    fn burst(callers: &mut Callers) -> (u64, u64, u64) {
        let mut counts = (0, 0, 0);
        for _ in 0..100 {
            match callers.arrive(10 * S, 10 * MS) {
                Outcome::Served { .. } => counts.0 += 1,
                Outcome::GivenUp { .. } => counts.1 += 1,
                Outcome::Rejected => counts.2 += 1,
            }
        }
        counts
    }

    #[test]
    fn a_caller_that_waits_too_long_gives_up_and_comes_again() {
        // Waits of 0, 10 … 200 ms are borne, the 22nd is 210 ms.
        let mut callers = callers(1, None);
        for k in 0..21 {
            assert_eq!(callers.arrive(0, 10 * MS), Outcome::Served { departs: (k + 1) * 10 * MS });
        }
        assert_eq!(callers.arrive(0, 10 * MS), Outcome::GivenUp { at: 200 * MS });
        // It keeps its place, from 210 to 220 ms.
        assert_eq!(callers.arrive(50 * MS, 10 * MS), Outcome::Served { departs: 230 * MS });
        assert_eq!(callers.retried(199 * MS), 0);
        // At 200 ms two jobs wait, and it comes again, from 230 to 240 ms.
        assert_eq!((callers.waiting(200 * MS), callers.retried(200 * MS)), (3, 1));
        assert_eq!(callers.arrive(201 * MS, 10 * MS), Outcome::Served { departs: 250 * MS });
        // The retry waited 30 ms, so there is no other.
        assert_eq!(callers.retried(10 * S), 1);
    }

    #[test]
    fn below_capacity_nobody_retries_for_ever() {
        let mut callers = callers(2, None);
        assert_eq!(steady(&mut callers, 0..216_000), (216_000, 0, 0), "an hour of 60/s");
        assert_eq!(callers.retried(3600 * S), 0);
    }

    #[test]
    fn after_a_burst_it_never_recovers() {
        let mut callers = callers(2, None);
        assert_eq!(steady(&mut callers, 0..601), (601, 0, 0));
        // Waits of 10 to 200 ms, and 80 longer ones.
        assert_eq!(burst(&mut callers), (20, 80, 0));
        // An hour of 60/s from 10 s on: no answer is in time, ever.
        assert_eq!(steady(&mut callers, 601..216_601), (0, 216_000, 0));
        // Of the burst 80 came twice again. Of the others first retries are
        // those that arrived 200 ms ago or earlier, 12 of 60/s fewer than
        // all; second retries another 12 fewer.
        let retried = 2 * 80 + (216_000 - 12) + (216_000 - 24);
        assert_eq!(callers.retried(3610 * S), retried);
        // 180/s come, and since 10 s one has started every 10 ms: after an
        // hour 80/s × 3,600 s wait, and what the burst left behind.
        let started = 100 * 3600 + 1;
        assert_eq!(callers.waiting(3610 * S) as u64, 1 + 100 + 216_000 + retried - started);
        assert_eq!(1 + 100 + 216_000 + retried - started, 80 * 3600 + 224);
    }

    #[test]
    fn below_capacity_over_attempts_it_recovers() {
        // 30/s × 3 attempts are 90/s: the backlog shrinks.
        let mut callers = callers(2, None);
        assert_eq!(burst(&mut callers), (21, 79, 0));
        let waits: Vec<bool> = (0..3600)
            .map(|n| matches!(callers.arrive(10 * S + n * S / 30, 10 * MS), Outcome::Served { .. }))
            .collect();
        assert!(!waits[0], "in the burst's wake");
        // After the burst 79 × 3 + 21 = 258 jobs, 2.58 s of work, at most 0.1
        // of which is gained each second: within 26 s it is over.
        assert!(waits[26 * 30..].iter().all(|served| *served));
    }

    #[test]
    fn callers_that_do_not_retry_let_it_recover() {
        let mut callers = callers(0, None);
        assert_eq!(steady(&mut callers, 0..601), (601, 0, 0));
        assert_eq!(burst(&mut callers), (20, 80, 0));
        // The m-th arrival after 10 s waits for 101 + (m − 1) jobs less the
        // time that passed: 1010 + 10 (m − 1) − m × 1000/60 = 1000 − 6.67 m ms.
        // From m = 120 on, that is 200 ms or less.
        assert_eq!(steady(&mut callers, 601..720), (0, 119, 0));
        assert_eq!(steady(&mut callers, 720..216_000), (215_280, 0, 0));
    }

    #[test]
    fn a_queue_shorter_than_their_patience_protects_it() {
        // Twenty waiting are 200 ms at most: nobody gives up, 80 are refused.
        let mut callers = callers(2, Some(20));
        assert_eq!(steady(&mut callers, 0..601), (601, 0, 0));
        assert_eq!(burst(&mut callers), (20, 0, 80));
        assert_eq!(steady(&mut callers, 601..6000), (5399, 0, 0));
        assert_eq!(callers.retried(100 * S), 0);
    }

    #[test]
    fn a_refused_retry_is_not_repeated() {
        // The queue holds 30, up to 300 ms; those 10 that wait longer than
        // 200 ms retry at 200 ms, when ten places are free, taken by others.
        let mut callers = callers(5, Some(30));
        for _ in 0..31 {
            callers.arrive(0, 10 * MS);
        }
        assert_eq!(callers.arrive(0, 10 * MS), Outcome::Rejected);
        for _ in 0..19 {
            callers.arrive(199 * MS, 10 * MS);
        }
        assert_eq!(callers.arrive(199 * MS, 10 * MS), Outcome::Rejected);
        // At 200 ms one more has started: one retry finds a place, behind 29.
        assert_eq!((callers.waiting(200 * MS), callers.retried(200 * MS)), (30, 10));
    }

    #[test]
    fn patient_callers_wait_for_ever() {
        let mut callers = Callers::new(Queue::new(1, None, None), None);
        for k in 0..1000 {
            assert_eq!(callers.arrive(0, S), Outcome::Served { departs: (k + 1) * S });
        }
        assert_eq!((callers.waiting(0), callers.in_service(0), callers.retried(S)), (999, 1, 0));
    }
}
