//! Tells the seconds of a burst profile apart: before a peak, in it, after it.
//!
//! A peak is the hardest that a load asks of the generator, so it is on trial in
//! each peak and after it: where it was late, or was not seen, nothing is said of
//! the target. Each is on its own, for one bad second of a short peak would not show
//! among a long time after it. The baseline is a median, and no trial of anyone.

use std::time::Duration;

use super::COVERAGE;
use super::watch::Watch;
use crate::burst::{self, Burst, Moment, Phase, Verdict};
use crate::load::Load;
use crate::plan::{Plan, Span};
use crate::schedule::micros;
use crate::window::{Tally, Window};

/// How much of the time before the first peak is the target's warm-up, one part in so
/// many.
const WARM_UP: u64 = 5;

/// The seconds of an attack, where it has bursts.
#[derive(Debug, Default)]
pub(super) struct Bursts<'a> {
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
    /// By peak: the generator in it, and after it.
    trials: Vec<[Trial<'a>; 2]>,
    workers: u64,
    /// Where the windows start that are being added up, and how many requests the
    /// generator did not send in them, of whatever attack.
    unsent: (u64, u64),
}

/// The generator, in one part of a burst.
#[derive(Debug)]
struct Trial<'a> {
    watch: Watch<'a>,
    span: Span,
    /// Worker time that was seen, in microseconds.
    seen: u64,
}

impl Trial<'_> {
    /// Why what was seen is no evidence, as of a load that came to `horizon` and was
    /// shared by so many workers.
    fn doubt(&self, phase: Phase, workers: u64, horizon: u64) -> Option<String> {
        let (during, part) = match phase {
            Phase::Base => ("before the spike", "the time before the spike"),
            Phase::Spike => ("in the spike", "the spike"),
            Phase::Recover => ("after the spike", "the time after the spike"),
        };
        let generator = self.watch.generator();
        if generator.limited {
            let limits = generator.limits.join("; ");
            return Some(format!("the generator was the bottleneck {during}: {limits}"));
        }
        let due = workers * self.span.end.min(horizon).saturating_sub(self.span.start);
        // Nothing is due in what was never reached.
        let ratio = self.seen as f64 / due.max(1) as f64;
        (due > 0 && ratio < COVERAGE).then(|| format!("only {:.1} % of {part} was seen", ratio * 100.0))
    }
}

impl<'a> Bursts<'a> {
    /// Nothing seen yet.
    pub(super) fn new(plan: &'a Plan, load: &Load, span: Span) -> Self {
        let Load::Burst { warm, spike, recover, times, .. } = load else { return Self::default() };
        let length = |duration: &Duration| micros(*duration);
        let times = times.get() as usize;
        let base = Span { start: span.start + length(warm) / WARM_UP, end: span.start + length(warm) };
        let (spike, recover) = (length(spike), length(recover));
        let trial = |start, end| Trial { watch: Watch::new(plan), span: Span { start, end }, seen: 0 };
        let trials = |peak: u64| {
            let start = base.end + peak * (spike + recover);
            [trial(start, start + spike), trial(start + spike, start + spike + recover)]
        };
        Self {
            base,
            spike,
            recover,
            times,
            before: Vec::new(),
            from: vec![Vec::new(); times],
            trials: (0..).take(times).map(trials).collect(),
            workers: u64::from(plan.workers.get()),
            unsent: (0, 0),
        }
    }

    /// Adds a window of a shard, before [`Self::moment`] adds all of its start; none
    /// comes before one that starts earlier.
    pub(super) fn window(&mut self, shard: u32, window: &Window) {
        if window.at != self.unsent.0 {
            self.unsent = (window.at, 0);
        }
        self.unsent.1 += window.health.unsent;
        let Some((peak, phase)) = self.part(window.at) else { return };
        if let Some([spike, after]) = self.trials.get_mut(peak) {
            let trial = if phase == Phase::Spike { spike } else { after };
            trial.watch.window(shard, window);
            trial.seen += window.len;
        }
    }

    /// Which peak an instant is in or after, counted from the first; nothing before it.
    fn part(&self, at: u64) -> Option<(usize, Phase)> {
        let since = at.checked_sub(self.base.end)?;
        let peak = usize::try_from(since.checked_div(self.spike + self.recover)?).ok()?;
        let phase =
            if since % (self.spike + self.recover) < self.spike { Phase::Spike } else { Phase::Recover };
        Some((peak, phase))
    }

    /// Adds all windows of one start.
    pub(super) fn moment(&mut self, at: u64, tally: &Tally) {
        if self.times == 0 || at < self.base.start {
            return;
        }
        // What the generator did not send neither waited for the target nor was refused.
        let unsent = if self.unsent.0 == at { self.unsent.1.min(tally.dropped) } else { 0 };
        let moment = |phase| Moment {
            at_s: super::seconds(at),
            phase,
            scheduled: tally.scheduled - unsent,
            completed: tally.completed,
            errors: tally.ended() - tally.completed - unsent,
            waited: tally.timed_out + tally.dropped - unsent,
            p99: tally.response_time.quantile_ms(0.99),
        };
        let Some((peak, phase)) = self.part(at) else {
            return self.before.push(moment(Phase::Base));
        };
        if let Some(from) = self.from.get_mut(peak) {
            from.push(moment(phase));
        }
    }

    /// What became of each peak that was reached, against the baseline before the first,
    /// of a load that came to `horizon`. `scaled_out` says when there were more instances
    /// than in a stretch before a peak.
    pub(super) fn judge(&self, horizon: u64, scaled_out: impl Fn(Span) -> Option<u64>) -> Vec<Burst> {
        let peaks = (0..).zip(&self.from).zip(&self.trials);
        let reached = peaks.filter(|((_, from), _)| !from.is_empty());
        let burst = |((peak, from), [spike, after]): ((u64, &Vec<Moment>), &[Trial<'_>; 2])| {
            let end = self.base.end + peak * (self.spike + self.recover);
            let start = end.saturating_sub(self.base.end - self.base.start);
            // More instances after the next peak are an answer to that one.
            let scaled_out =
                scaled_out(Span { start, end }).filter(|at| *at < end + self.spike + self.recover);
            let scaled_out_s = scaled_out.map(|at| super::seconds(at - end));
            let doubt = spike.doubt(Phase::Spike, self.workers, horizon);
            let doubt = doubt.or_else(|| after.doubt(Phase::Recover, self.workers, horizon));
            let judged = burst::judge(&[&self.before[..], from].concat());
            // One that has too few seconds says so.
            let judged = match doubt {
                Some(reason) if judged.verdict != Verdict::NoEvidence => burst::no_evidence(reason),
                _ => judged,
            };
            Burst { scaled_out_s, ..judged }
        };
        reached.map(burst).collect()
    }
}

/// The one that the target took worst: that it never recovered from, or else that it took
/// longest to. One without evidence only where all are.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Health;

    #[test]
    fn what_the_generator_did_not_send_is_no_error_of_the_target() {
        // Of 100 due, 60 are answered; 25 find no connection, and 15 are never sent, 10
        // of them by one worker and 5 by another.
        let mut bursts = Bursts {
            base: Span { start: 0, end: 10 },
            spike: 10,
            recover: 10,
            times: 1,
            from: vec![Vec::new()],
            ..Bursts::default()
        };
        for (at, unsent) in [(0, 40), (10, 10), (10, 5)] {
            let health = Health { unsent, ..Health::unknown() };
            bursts.window(0, &Window { health, ..Window::empty(at, 10) });
        }
        let tally = Tally { scheduled: 100, completed: 60, dropped: 40, ..Tally::window() };
        bursts.moment(10, &tally);
        // And of the next second, everything was sent.
        bursts.window(0, &Window::empty(20, 10));
        bursts.moment(20, &tally);
        let seen: Vec<_> =
            bursts.from[0].iter().map(|moment| (moment.scheduled, moment.errors, moment.waited)).collect();
        assert_eq!(seen, [(85, 25, 25), (100, 40, 40)]);
    }
}
