//! One machine is no platform that measures targets: a plan for it that asks for
//! such metrics is refused.

use deathstar_statemachine::error::TaskError;
use jiff::Timestamp;

use crate::ports::{Metrics, Query};

/// Has none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMetrics;

impl Metrics for NoMetrics {
    async fn read(
        &self,
        query: &Query,
        _: Timestamp,
        _: Timestamp,
    ) -> Result<Vec<(Timestamp, f64)>, TaskError> {
        let Query { metric, .. } = query;
        Err(TaskError::BadConfig(format!("this machine has no CloudWatch to read {} of", metric.metric)))
    }
}
