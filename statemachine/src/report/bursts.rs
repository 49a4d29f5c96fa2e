//! Tells the seconds of a burst profile apart: before a peak, in it, after it.

use std::time::Duration;

use crate::burst::{self, Burst, Moment, Phase, Verdict};
use crate::load::Load;
use crate::plan::Span;
use crate::schedule::micros;
use crate::window::Tally;

/// How much of the time before the first peak is the target's warm-up, one part in so
/// many.
const WARM_UP: u64 = 5;

/// The seconds of an attack, where it has bursts.
#[derive(Debug, Default)]
pub(super) struct Bursts {
    /// Where the baseline begins to count, and where the first peak begins; in
    /// microseconds of the load, as all here.
    base: Span,
    spike: u64,
    recover: u64,
    times: usize,
    /// Those of the baseline,
    before: Vec<Moment>,
    /// and by peak those from it on.
    from: Vec<Vec<Moment>>,
}

impl Bursts {
    /// Nothing seen yet.
    pub(super) fn new(load: &Load, span: Span) -> Self {
        let Load::Burst { warm, spike, recover, times, .. } = load else { return Self::default() };
        let length = |duration: &Duration| micros(*duration);
        let times = times.get() as usize;
        Self {
            base: Span { start: span.start + length(warm) / WARM_UP, end: span.start + length(warm) },
            spike: length(spike),
            recover: length(recover),
            times,
            before: Vec::new(),
            from: vec![Vec::new(); times],
        }
    }

    /// Adds all windows of one start.
    pub(super) fn moment(&mut self, at: u64, tally: &Tally) {
        if self.times == 0 || at < self.base.start {
            return;
        }
        let moment = |phase| Moment {
            at_s: super::seconds(at),
            phase,
            scheduled: tally.scheduled,
            completed: tally.completed,
            errors: tally.ended() - tally.completed,
            waited: tally.timed_out + tally.dropped,
            p99: tally.response_time.quantile_ms(0.99),
        };
        let Some(since) = at.checked_sub(self.base.end) else {
            return self.before.push(moment(Phase::Base));
        };
        let (peak, since) = (since / (self.spike + self.recover), since % (self.spike + self.recover));
        let phase = if since < self.spike { Phase::Spike } else { Phase::Recover };
        if let Some(from) = usize::try_from(peak).ok().and_then(|peak| self.from.get_mut(peak)) {
            from.push(moment(phase));
        }
    }

    /// What became of each peak that was reached, against the baseline before the first.
    /// `scaled_out` says when there were more instances than in a stretch before a peak.
    pub(super) fn judge(&self, scaled_out: impl Fn(Span) -> Option<u64>) -> Vec<Burst> {
        let reached = (0..).zip(&self.from).filter(|(_, from)| !from.is_empty());
        let burst = |(peak, from): (u64, &Vec<Moment>)| {
            let end = self.base.end + peak * (self.spike + self.recover);
            let start = end.saturating_sub(self.base.end - self.base.start);
            // More instances after the next peak are an answer to that one.
            let scaled_out =
                scaled_out(Span { start, end }).filter(|at| *at < end + self.spike + self.recover);
            let scaled_out_s = scaled_out.map(|at| super::seconds(at - end));
            Burst { scaled_out_s, ..burst::judge(&[&self.before[..], from].concat()) }
        };
        reached.map(burst).collect()
    }
}

/// The one that the target took worst: that it never recovered from, or else that it took
/// longest to.
pub(super) fn worst(bursts: &[Burst]) -> Option<&Burst> {
    let badness = |burst: &Burst| match burst.verdict {
        Verdict::NoEvidence => (0, 0.0),
        Verdict::Recovered => (1, burst.recovery_s.unwrap_or(0.0)),
        Verdict::Recovering => (2, 0.0),
        Verdict::NeverRecovered => (3, 0.0),
    };
    bursts.iter().max_by(|a, b| {
        let (a, b) = (badness(a), badness(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    })
}
