//! Reads how the generator itself is doing, from the kernel.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time that this thread has used.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// Measures the calling thread's CPU between two readings.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    last: Duration,
}

impl CpuMeter {
    /// Starts now, on this thread.
    pub(crate) fn start() -> Self {
        Self { last: thread_cpu() }
    }

    /// CPU time since the last reading ÷ `wall`, 0–1.
    pub(crate) fn read(&mut self, wall: Duration) -> Option<f64> {
        let now = thread_cpu();
        let used = now.saturating_sub(self.last);
        self.last = now;
        (!wall.is_zero()).then(|| (used.as_secs_f64() / wall.as_secs_f64()).min(1.0))
    }
}

/// File descriptors that the process has open, where the system tells.
pub(crate) fn open_descriptors() -> Option<u32> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(count).ok()
}
