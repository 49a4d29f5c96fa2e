//! CPU time burnt for each request, on threads of its own: a target that is
//! truly bound by its CPUs, and whose CPU time per request is known.
//!
//! A job is done when the CPU clock of the thread that has it advanced by what
//! was asked, so a thread that the system preempts burns no less, only later.
//! The event loop never burns: it goes on accepting, queueing and answering
//! `/metrics`. Jobs are taken up in the order in which they came. There are no
//! more threads than CPUs, for more would only take turns and finish late
//! together, as no real queue does.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use super::clock::ThreadCpu;

/// Steps of arithmetic between two looks at the CPU clock: about a
/// microsecond, so that little of the burn is system calls, and it ends in time.
const STEPS: u64 = 500;

/// The threads that burn, and what waits for them. Stops when dropped.
pub(super) struct Burner {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    each: Duration,
    jobs: Mutex<Jobs>,
    /// Something changed in `jobs`.
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<oneshot::Sender<()>>,
    under_way: usize,
    closed: bool,
}

impl Burner {
    /// Starts `threads` threads that burn `each` for each job.
    pub(super) fn start(threads: u32, each: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared { each, jobs: Mutex::default(), changed: Condvar::new() });
        // One by one: when a thread cannot be had, those before it are stopped.
        let mut burner = Self { shared, threads: Vec::new() };
        for _ in 0..threads {
            let shared = Arc::clone(&burner.shared);
            let thread = thread::Builder::new().name("target-burn".to_owned()).spawn(move || shared.run())?;
            burner.threads.push(thread);
        }
        Ok(burner)
    }

    /// Burns CPU time for one job, after all that came before; false if the
    /// burner was closed before it was done.
    ///
    /// The job takes its place at once, and keeps it if nobody waits any more.
    pub(super) fn burn(&self) -> impl Future<Output = bool> + use<> {
        let (done, is_done) = oneshot::channel();
        let mut jobs = self.shared.jobs();
        if !jobs.closed {
            jobs.waiting.push_back(done);
            self.shared.changed.notify_one();
        }
        async move { is_done.await.is_ok() }
    }

    /// How many jobs wait for a thread, and how many a thread has.
    pub(super) fn jobs(&self) -> (usize, usize) {
        let jobs = self.shared.jobs();
        (jobs.waiting.len(), jobs.under_way)
    }

    /// Whether another job would have to wait, and `bound` do so already.
    pub(super) fn is_full(&self, bound: u64) -> bool {
        let (waiting, under_way) = self.jobs();
        (waiting + under_way) as u64 >= bound.saturating_add(self.threads.len() as u64)
    }

    /// Drops all jobs, those under way included, and whoever comes later.
    pub(super) fn close(&self) {
        let mut jobs = self.shared.jobs();
        jobs.closed = true;
        jobs.waiting.clear();
        self.shared.changed.notify_all();
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        self.close();
        for thread in self.threads.drain(..) {
            // At once; a panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        while let Some(done) = self.next() {
            if !self.burn() {
                return;
            }
            self.jobs().under_way -= 1;
            // Its caller may have gone away.
            let _ = done.send(());
        }
    }

    fn next(&self) -> Option<oneshot::Sender<()>> {
        let jobs = self.jobs();
        let mut jobs = self
            .changed
            .wait_while(jobs, |jobs| jobs.waiting.is_empty() && !jobs.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let next = jobs.waiting.pop_front()?;
        jobs.under_way += 1;
        Some(next)
    }

    /// Keeps this thread busy; false if it was told to stop.
    fn burn(&self) -> bool {
        let cpu = ThreadCpu::start();
        let mut looks: u32 = 0;
        while cpu.spent() < self.each {
            busy();
            looks = looks.wrapping_add(1);
            // Every millisecond or so.
            if looks.is_multiple_of(1024) && self.jobs().closed {
                return false;
            }
        }
        true
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Arithmetic that the compiler cannot leave out.
fn busy() {
    let mut sum: u64 = 1;
    for step in 0..STEPS {
        sum = std::hint::black_box(sum.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_are_done_in_order() {
        let burner = Burner::start(1, Duration::from_millis(2)).unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..20 {
            let (done, order) = (burner.burn(), Arc::clone(&order));
            tasks.spawn(async move {
                assert!(done.await);
                order.lock().unwrap().push(n);
            });
        }
        tasks.join_all().await;
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
        assert_eq!(burner.jobs(), (0, 0));
    }

    #[test]
    fn a_bound_counts_those_that_wait() {
        let burner = Burner::start(1, Duration::from_secs(3600)).unwrap();
        for (bound, jobs) in [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)] {
            let count = |(waiting, under_way): (usize, usize)| waiting + under_way;
            while count(burner.jobs()) < jobs {
                drop(burner.burn());
            }
            assert_eq!(burner.is_full(bound), jobs as u64 > bound, "{jobs} jobs, bound {bound}");
        }
    }

    #[test]
    fn a_job_costs_its_thread_what_was_asked() {
        let shared =
            Shared { each: Duration::from_millis(20), jobs: Mutex::default(), changed: Condvar::new() };
        let cpu = ThreadCpu::start();
        assert!(shared.burn());
        let spent = cpu.spent();
        assert!(spent >= Duration::from_millis(20), "{spent:?}");
        // CPU time is not the wall's, so a busy machine lengthens nothing.
        assert!(spent < Duration::from_millis(40), "{spent:?}");
    }

    #[tokio::test]
    async fn closing_ends_even_what_is_under_way() {
        let burner = Burner::start(1, Duration::from_secs(3600)).unwrap();
        let (under_way, waiting) = (burner.burn(), burner.burn());
        burner.close();
        assert!(!under_way.await && !waiting.await);
        assert!(!burner.burn().await, "too late");
    }
}
