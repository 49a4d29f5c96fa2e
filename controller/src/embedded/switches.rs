//! Dead-man's switches within this process: timers that whoever drives a run
//! waits for. What a killed process had made goes with it, so they need not
//! outlive it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::clock::{Clock, SystemClock};
use crate::ports::{Listed, Switches};

/// The switches of this process.
#[derive(Debug, Clone, Default)]
pub struct InProcessSwitches {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    armed: Mutex<BTreeMap<RunId, Timestamp>>,
    changed: Notify,
}

/// A timer sleeps no longer than this at once, so that a wall clock which is set
/// is noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl InProcessSwitches {
    /// Waits until the run's switch is armed and its time has come.
    pub async fn due(&self, run: &RunId) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that no change is missed.
            changed.as_mut().enable();
            let at = self.armed().get(run).copied();
            let left = at.map(|at| at.duration_since(SystemClock.now()));
            match left {
                Some(left) if left <= SignedDuration::ZERO => return,
                Some(left) => {
                    let left = Duration::try_from(left).unwrap_or_default().min(LOOK_AGAIN);
                    let _ = tokio::time::timeout(left, changed).await;
                }
                None => changed.await,
            }
        }
    }

    fn armed(&self) -> MutexGuard<'_, BTreeMap<RunId, Timestamp>> {
        self.shared.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Switches for InProcessSwitches {
    async fn arm(&self, run: &RunId, at: Timestamp) -> Result<(), TaskError> {
        self.armed().entry(run.clone()).or_insert(at);
        self.shared.changed.notify_waiters();
        Ok(())
    }

    async fn disarm(&self, run: &RunId) -> Result<(), TaskError> {
        self.armed().remove(run);
        self.shared.changed.notify_waiters();
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Listed>, TaskError> {
        let listed =
            |(run, at): (&RunId, &Timestamp)| Listed { name: run.switch_name(), expires_at: Some(*at) };
        Ok(self.armed().iter().map(listed).collect())
    }
}
