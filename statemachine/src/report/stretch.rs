//! A stretch of load at one rate: one row of the curve of latency against load.

use super::{CurvePoint, Times, error_ratio, seconds};
use crate::bootstrap;
use crate::histogram::Histogram;
use crate::plan::Span;
use crate::window::Tally;

/// What was seen in it, being added up.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) span: Span,
    pub(super) tally: Tally,
    /// Response times, by the windows of one start, in their order.
    moments: Vec<Histogram>,
}

impl Stretch {
    pub(super) fn new(span: Span) -> Self {
        Self { span, tally: Tally::window(), moments: Vec::new() }
    }

    /// Adds all windows of one start.
    pub(super) fn moment(&mut self, tally: &Tally) {
        self.tally.add(tally);
        if tally.scheduled > 0 {
            self.moments.push(tally.response_time.clone());
        }
    }

    /// How long it lasted up to `horizon`, in microseconds; nothing when it was not
    /// reached.
    pub(super) fn length(&self, horizon: u64) -> Option<u64> {
        self.span.end.min(horizon).checked_sub(self.span.start).filter(|length| *length > 0)
    }

    /// Its row, when so many were due in it up to `horizon`.
    pub(super) fn point(&self, due: u64, horizon: u64) -> Option<CurvePoint> {
        let length = seconds(self.length(horizon)?);
        let Self { tally, moments, .. } = self;
        let interval = |q| bootstrap::interval(moments, q, self.span.start);
        Some(CurvePoint {
            rate: due as f64 / length,
            achieved: tally.answered as f64 / length,
            succeeded: tally.completed as f64 / length,
            p50: tally.response_time.quantile_ms(0.5),
            p99: tally.response_time.quantile_ms(0.99),
            p50_interval: interval(0.5),
            p99_interval: interval(0.99),
            response_time_ms: Times::of(&tally.response_time),
            service_time_ms: Times::of(&tally.service_time),
            error_ratio: error_ratio(tally),
            purpose: None,
            outcome: None,
        })
    }
}
