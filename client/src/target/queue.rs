//! The queue in virtual time: when each request will depart, worked out by
//! arithmetic the moment it arrives.
//!
//! Nothing here sleeps, reads a clock or knows HTTP. Every instant is a count
//! of nanoseconds since the target started to listen. Because a departure is
//! computed from the previous one, and never from when somebody woke up, the
//! capacity is exactly `servers ÷ mean service time` however late timers fire:
//! lateness lengthens one response and costs the next one nothing.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Nanoseconds since the target started to listen; enough for 584 years.
pub(super) type Nanos = u64;

/// Periods in which every server is frozen: `[k × every, k × every + length)`
/// for k = 1, 2, 3 …, so the first period runs freely.
///
/// `0 < length < every`, which [`super::TargetConfig`] checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stalls {
    /// How long each stall lasts.
    pub(super) length: Nanos,
    /// From the start of one stall to the start of the next.
    pub(super) every: Nanos,
}

impl Stalls {
    /// When work that takes `service` is done if it is begun at `start`.
    ///
    /// Work that ends exactly as a stall begins escapes it; work begun within
    /// a stall makes no progress before the stall is over, even work that
    /// takes no time at all.
    fn finish(self, start: Nanos, service: Nanos) -> Nanos {
        let (periods, into) = (start / self.every, start % self.every);
        let start = if periods > 0 && into < self.length {
            periods.saturating_mul(self.every).saturating_add(self.length)
        } else {
            start
        };
        let next_stall = (start / self.every + 1).saturating_mul(self.every);
        let before_stall = next_stall.saturating_sub(start);
        if service <= before_stall {
            return start.saturating_add(service);
        }
        // From the end of that stall on, each `every` does `every - length` of work.
        let remaining = service - before_stall;
        let work_per_period = self.every - self.length;
        let full_periods = (remaining - 1) / work_per_period;
        next_stall
            .saturating_add(self.length)
            .saturating_add(full_periods.saturating_mul(self.every))
            .saturating_add(remaining - full_periods * work_per_period)
    }
}

/// What became of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// A server has it from `starts` on; it leaves at `departs`.
    Admitted {
        /// When a server is free for it; not before its arrival.
        starts: Nanos,
        /// When its service ends; not before it starts.
        departs: Nanos,
    },
    /// It would have had to wait, and the queue was full.
    Rejected,
}

/// One first-in-first-out queue in front of identical servers.
#[derive(Debug)]
pub(super) struct Queue {
    servers: usize,
    bound: Option<u64>,
    stalls: Option<Stalls>,
    /// When each server has done all it was given, soonest first. Servers that
    /// never had work are not in it, so idle ones cost no memory.
    free: BinaryHeap<Reverse<Nanos>>,
    /// When the jobs that still wait will start. In arrival order, which is
    /// also sorted: first in, first out.
    waiting: VecDeque<Nanos>,
}

impl Queue {
    /// An empty queue before `servers` servers (at least one), in which at
    /// most `bound` jobs may wait, or any number.
    pub(super) fn new(servers: u32, bound: Option<u64>, stalls: Option<Stalls>) -> Self {
        let servers = usize::try_from(servers).unwrap_or(usize::MAX).max(1);
        Self { servers, bound, stalls, free: BinaryHeap::new(), waiting: VecDeque::new() }
    }

    /// Admits or rejects a job that arrives at `now` and needs `service`.
    ///
    /// `now` must not go back between calls. An admitted job keeps its place
    /// whatever becomes of its caller, as in a real server.
    pub(super) fn arrive(&mut self, now: Nanos, service: Nanos) -> Admission {
        self.forget_started(now);
        let earliest = self.free.peek().map_or(0, |Reverse(free)| *free);
        let idle_server = earliest <= now || self.free.len() < self.servers;
        if !idle_server && self.bound.is_some_and(|bound| self.waiting.len() as u64 >= bound) {
            return Admission::Rejected;
        }
        let starts = if idle_server { now } else { earliest };
        let departs = match self.stalls {
            Some(stalls) => stalls.finish(starts, service),
            None => starts.saturating_add(service),
        };
        if starts > now {
            self.waiting.push_back(starts);
        }
        // A server that worked before and is idle again, or the one this job
        // waits for, is replaced; otherwise one more comes into use.
        if earliest <= now || !idle_server {
            self.free.pop();
        }
        self.free.push(Reverse(departs));
        Admission::Admitted { starts, departs }
    }

    /// How many jobs wait for a server at `now`.
    pub(super) fn waiting(&mut self, now: Nanos) -> usize {
        self.forget_started(now);
        self.waiting.len()
    }

    /// How many jobs a server works on at `now`, frozen ones included. Looks
    /// at every server, so it is for reports, not for each request.
    pub(super) fn in_service(&self, now: Nanos) -> usize {
        // A server that has work at all has had it without a gap since it
        // took up its current job, so busy servers and jobs in service agree.
        self.free.iter().filter(|Reverse(free)| *free > now).count()
    }

    fn forget_started(&mut self, now: Nanos) {
        while self.waiting.front().is_some_and(|start| *start <= now) {
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn departs_ms(admission: Admission) -> u64 {
        match admission {
            Admission::Admitted { departs, .. } => {
                assert_eq!(departs % MS, 0, "{departs} ns is no whole millisecond");
                departs / MS
            }
            Admission::Rejected => panic!("rejected"),
        }
    }

    #[test]
    fn one_server_serves_in_order_of_arrival() {
        let mut queue = Queue::new(1, None, None);
        // Each takes 10 ms. Idle at 0; busy until 10; busy until 20; idle again at 50.
        for (arrives, departs) in [(0, 10), (4, 20), (4, 30), (29, 40), (50, 60), (60, 70)] {
            assert_eq!(departs_ms(queue.arrive(arrives * MS, 10 * MS)), departs, "arrival at {arrives} ms");
        }
    }

    #[test]
    fn the_earliest_free_server_takes_the_next_job() {
        let mut queue = Queue::new(2, None, None);
        assert_eq!(departs_ms(queue.arrive(0, 30 * MS)), 30); // first server
        assert_eq!(departs_ms(queue.arrive(0, 10 * MS)), 10); // second
        assert_eq!(departs_ms(queue.arrive(0, 10 * MS)), 20); // second, from 10
        assert_eq!(departs_ms(queue.arrive(0, 10 * MS)), 30); // second, from 20
        assert_eq!(departs_ms(queue.arrive(0, 5 * MS)), 35); // either, from 30
        assert_eq!(departs_ms(queue.arrive(31 * MS, 5 * MS)), 36); // the other, idle since 30
    }

    #[test]
    fn overload_departs_at_exactly_servers_over_service_time() {
        // 8 servers at 5 ms are 1,600 a second. Offered 10,000 a second for a
        // second, arrival n (from 0) departs with batch n / 8, each 5 ms long,
        // the first at 5 ms; arrivals are so dense that a server is never idle.
        let mut queue = Queue::new(8, None, None);
        let mut within_a_second = 0;
        for n in 0..10_000_u64 {
            let departs = match queue.arrive(n * 100_000, 5 * MS) {
                Admission::Admitted { departs, .. } => departs,
                Admission::Rejected => panic!("unbounded"),
            };
            // The eight servers started 0.1 ms apart.
            assert_eq!(departs, (n % 8) * 100_000 + (n / 8 + 1) * 5 * MS);
            within_a_second += u64::from(departs <= 1000 * MS);
        }
        // 1 s ÷ 5 ms = 200 batches; of the last, only the first server is not
        // later than 1 s: 199 × 8 + 1.
        assert_eq!(within_a_second, 1593);
    }

    #[test]
    fn a_full_queue_rejects_and_a_start_makes_room() {
        let mut queue = Queue::new(1, Some(2), None);
        assert_eq!(departs_ms(queue.arrive(0, 10 * MS)), 10);
        assert_eq!(departs_ms(queue.arrive(0, 10 * MS)), 20);
        assert_eq!(departs_ms(queue.arrive(0, 10 * MS)), 30);
        assert_eq!((queue.waiting(0), queue.in_service(0)), (2, 1));
        assert_eq!(queue.arrive(9 * MS, 10 * MS), Admission::Rejected);
        // At 10 ms the first waiting job starts: one place is free again.
        assert_eq!((queue.waiting(10 * MS), queue.in_service(10 * MS)), (1, 1));
        assert_eq!(departs_ms(queue.arrive(10 * MS, 10 * MS)), 40);
        assert_eq!(queue.arrive(10 * MS, 10 * MS), Admission::Rejected);
        assert_eq!((queue.waiting(35 * MS), queue.in_service(35 * MS)), (0, 1));
        assert_eq!((queue.waiting(40 * MS), queue.in_service(40 * MS)), (0, 0));
    }

    #[test]
    fn a_bound_of_zero_serves_but_never_queues() {
        let mut queue = Queue::new(2, Some(0), None);
        assert_eq!(departs_ms(queue.arrive(0, 10 * MS)), 10);
        assert_eq!(departs_ms(queue.arrive(0, 10 * MS)), 10);
        assert_eq!(queue.arrive(0, 10 * MS), Admission::Rejected);
        assert_eq!(departs_ms(queue.arrive(10 * MS, 10 * MS)), 20);
    }

    #[test]
    fn rejected_jobs_take_no_capacity() {
        let mut queue = Queue::new(1, Some(1), None);
        queue.arrive(0, 10 * MS);
        queue.arrive(0, 10 * MS);
        for _ in 0..1000 {
            assert_eq!(queue.arrive(0, 10 * MS), Admission::Rejected);
        }
        assert_eq!(departs_ms(queue.arrive(10 * MS, 10 * MS)), 30);
    }

    #[test]
    fn immediate_service_never_waits() {
        let mut queue = Queue::new(1, Some(0), None);
        for arrives in [0, 0, 0, 7, 7] {
            assert_eq!(departs_ms(queue.arrive(arrives * MS, 0)), arrives);
        }
        assert_eq!((queue.waiting(7 * MS), queue.in_service(7 * MS)), (0, 0));
    }

    #[test]
    fn a_stall_delays_what_it_catches_by_its_length() {
        // Frozen in [100, 120), [200, 220), [300, 320) … ms.
        let stalls = Stalls { length: 20 * MS, every: 100 * MS };
        for (start, service, departs, why) in [
            (0, 10, 10, "no stall in the first period's start"),
            (90, 10, 100, "done just as the stall begins"),
            (90, 11, 121, "one millisecond left when it begins"),
            (95, 10, 125, "half done"),
            (100, 10, 130, "arrives as it begins"),
            (110, 10, 130, "arrives in the middle"),
            (119, 10, 130, "arrives at its end"),
            (120, 10, 130, "arrives after it"),
            (50, 300, 430, "50 + 80 + 80 + 80 = 290 by 400, frozen to 420, and 10 more"),
            (120, 80, 200, "exactly the rest of a period"),
            (120, 160, 300, "exactly two periods"),
            (120, 161, 321, "two periods and a bit"),
            (110, 0, 120, "even work of no time is frozen"),
            (100, 0, 120, "also at the very start"),
            (120, 0, 120, "and free at the end"),
        ] {
            assert_eq!(
                stalls.finish(start * MS, service * MS),
                departs * MS,
                "{service} ms from {start}: {why}"
            );
        }
    }

    #[test]
    fn a_stall_takes_its_share_of_the_capacity() {
        // One server at 1 ms, frozen 25 ms in every 100: 75 jobs a period.
        let mut queue = Queue::new(1, None, Some(Stalls { length: 25 * MS, every: 100 * MS }));
        let departures: Vec<u64> = (0..1000).map(|_| departs_ms(queue.arrive(0, MS))).collect();
        // The first period is whole: 100 jobs, and then 75 in each.
        for (period, jobs) in [(0, 100), (1, 75), (2, 75), (9, 75)] {
            let (after, until) = (period * 100, (period + 1) * 100);
            let left = departures.iter().filter(|at| **at > after && **at <= until).count();
            assert_eq!(left, jobs, "period {period}");
        }
    }

    #[test]
    fn enormous_numbers_saturate() {
        let mut queue = Queue::new(1, None, Some(Stalls { length: 999, every: 1000 }));
        assert_eq!(queue.arrive(5, u64::MAX), Admission::Admitted { starts: 5, departs: u64::MAX });
        assert_eq!(queue.arrive(6, u64::MAX), Admission::Admitted { starts: u64::MAX, departs: u64::MAX });
    }
}
