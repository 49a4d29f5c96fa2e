//! Replaces the references of a plan by their values: once an invocation, before
//! it claims or sends anything.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::mix::SplitMix64;
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::secret::{Reference, Secret};

use crate::clock;
use crate::ports::Secrets;

/// How long all references of a plan together are tried while the platform asks
/// to slow down. SSM answers 40 a second, so 1,000 workers come through within.
const RESOLVE_FOR: Duration = Duration::from_secs(30);

/// The longest first pause after such an answer; the longest doubles each time,
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The plan, ready to be sent. `token` names this invocation: workers that were
/// slowed down together come again at different times.
pub(crate) async fn resolved(plan: Plan, secrets: &impl Secrets, token: &str) -> Result<Plan, TaskError> {
    let references = plan.config.references();
    if references.is_empty() {
        return Ok(plan);
    }
    let mut hasher = DefaultHasher::new();
    token.hash(&mut hasher);
    let mut patience =
        Patience { until: clock::monotonic() + RESOLVE_FOR, random: SplitMix64(hasher.finish()) };
    let mut values = Vec::with_capacity(references.len());
    for reference in references {
        values.push((reference.clone(), patience.resolve(secrets, reference).await?));
    }
    let config = plan.config.with_values(&values.into_iter().collect()).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        TaskError::BadConfig(problems.join("; "))
    })?;
    Ok(Plan { config, ..plan })
}

struct Patience {
    until: tokio::time::Instant,
    random: SplitMix64,
}

impl Patience {
    async fn resolve(&mut self, secrets: &impl Secrets, reference: &Reference) -> Result<Secret, TaskError> {
        let mut longest = FIRST_PAUSE;
        loop {
            match secrets.resolve(reference).await {
                Err(TaskError::Throttled(_)) if clock::monotonic() < self.until => {}
                done => return done,
            }
            let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
            let pause = Duration::from_micros(self.random.below(micros) + 1);
            tokio::time::sleep_until((clock::monotonic() + pause).min(self.until)).await;
            longest = (longest * 2).min(LONGEST_PAUSE);
        }
    }
}
