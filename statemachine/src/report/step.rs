//! Looks at one step of a search: whether the promises held in it.
//!
//! The warm-up is left out. What counts are windows with two digits: a percentile that
//! is within 1 % of its limit may fall on either side.

use std::time::Duration;

use super::judge::observed;
use super::stretch::Stretch;
use super::watch::Watch;
use super::{COVERAGE, Generator, Round, seconds};
use crate::plan::{Plan, Span};
use crate::schedule::micros;
use crate::search::Outcome;
use crate::slo::Rule;
use crate::units::Rate;
use crate::window::{ErrorClass, Tally, Window};

/// What is broken where nothing succeeds, whatever was promised.
const NOTHING_SUCCEEDED: &str = "nothing succeeded";

/// Of the requests due, how many may go unsent for the generator's own reasons, as a
/// ratio, if a step is to tell anything.
const UNSENT: f64 = 0.001;

/// A step of a search, being looked at.
#[derive(Debug)]
pub struct StepSeen<'a> {
    rules: &'a [Rule],
    /// Where it begins, its warm-up included, in microseconds of the load.
    from: u64,
    pub(super) stretch: Stretch,
    watch: Watch<'a>,
    /// Worker time that is due, and how much of it was seen, in microseconds.
    due: u64,
    seen: u64,
    /// The windows of one start, over all workers, being added up.
    now: (u64, Tally),
    /// By rule: the first moment that breaks it by itself, in microseconds.
    first_broken: Vec<Option<u64>>,
}

impl<'a> StepSeen<'a> {
    /// Nothing seen yet of a round; nothing at all when it is no step of a search.
    #[must_use]
    pub fn new(plan: &'a Plan, round: &Round) -> Option<Self> {
        let (search, step) = (plan.config.search()?, round.step.as_ref()?);
        let rules = &plan.config.attacks().first()?.slo;
        let start = round.from + micros(search.warm_up().min(step.duration));
        let span = Span { start, end: round.until };
        Some(Self {
            rules,
            from: round.from,
            stretch: Stretch::new(span),
            watch: Watch::new(plan),
            due: (span.end - span.start) * u64::from(plan.workers.get()),
            seen: 0,
            now: (0, Tally::window()),
            first_broken: vec![None; rules.len()],
        })
    }

    /// Where it begins to count, in microseconds of the load.
    #[must_use]
    pub const fn from(&self) -> u64 {
        self.stretch.span.start
    }

    /// Adds a window of a shard. None comes before one that starts earlier; those
    /// outside of what counts are left out.
    pub fn window(&mut self, shard: u32, window: &Window) {
        let Span { start, end } = self.stretch.span;
        if !(start..end).contains(&window.at) {
            return;
        }
        if window.at != self.now.0 {
            self.flush();
            self.now.0 = window.at;
        }
        window.series.iter().for_each(|series| self.now.1.add(&series.tally));
        self.seen += window.len;
        self.watch.window(shard, window);
    }

    /// Ends the windows of one start.
    fn flush(&mut self) {
        let (at, tally) = std::mem::replace(&mut self.now, (0, Tally::window()));
        for (rule, first) in self.rules.iter().zip(&mut self.first_broken) {
            // Of a rate, a moment tells nothing that its share of what was due does not.
            let value = observed(rule.metric(), &tally, tally.scheduled, Duration::from_secs(1));
            if first.is_none() && value.is_some_and(|value| !rule.holds(value)) {
                *first = Some(at);
            }
        }
        self.stretch.moment(&tally);
    }

    /// How the generator did.
    pub(super) fn generator(&mut self) -> Generator {
        self.flush();
        self.watch.generator()
    }

    /// What a rule comes to, in its unit; nothing without data.
    pub(super) fn value(&self, rule: &Rule) -> Option<f64> {
        let Stretch { span, tally, .. } = &self.stretch;
        observed(rule.metric(), tally, tally.scheduled, Duration::from_micros(span.end - span.start))
    }

    /// How long from the beginning of the step the target may be busy, when some of what
    /// was sent was given up on: a target may serve that all the same, at the rate at
    /// which it answered, or which it `held` before. In whole seconds, and a day at most.
    #[must_use]
    pub fn busy(&mut self, held: Option<Rate>) -> Duration {
        self.flush();
        let Stretch { span, tally, .. } = &self.stretch;
        let aborted = tally.failed.get(&ErrorClass::Aborted).copied().unwrap_or_default();
        if tally.timed_out + aborted == 0 {
            return Duration::ZERO;
        }
        // In proportion as much was sent in the warm-up.
        let judged = seconds(span.end - span.start);
        let sent = (tally.scheduled - tally.dropped) as f64 * seconds(span.end - self.from) / judged;
        let served = (tally.answered as f64 / judged).max(held.map_or(0.0, Rate::as_per_second));
        // Nobody waits for a day; and it is no finer than a guess.
        Duration::from_secs_f64((sent / served).ceil().min(86_400.0))
    }

    /// What came of it.
    #[must_use]
    pub fn outcome(&mut self) -> Outcome {
        let generator = self.generator();
        let tally = &self.stretch.tally;
        if (self.seen as f64) < COVERAGE * self.due as f64 || tally.ended() == 0 {
            return Outcome::NoEvidence;
        }
        // A promise that held, held for a load that was not the one asked for.
        if generator.unsent as f64 > UNSENT * tally.scheduled as f64 {
            return Outcome::GeneratorLimited;
        }
        let broke = |promise: &str| {
            if generator.limited {
                Outcome::GeneratorLimited
            } else {
                Outcome::Broke { promise: promise.to_owned() }
            }
        };
        if tally.completed == 0 {
            return broke(NOTHING_SUCCEEDED);
        }
        let values: Vec<Option<f64>> = self.rules.iter().map(|rule| self.value(rule)).collect();
        let broken = self.rules.iter().zip(&values).zip(&self.first_broken);
        let broken = broken.filter(|((rule, value), _)| value.is_some_and(|value| !rule.holds(value)));
        // One that no moment breaks by itself broke at the end.
        match broken.min_by_key(|(_, first)| first.unwrap_or(u64::MAX)) {
            Some(((rule, _), _)) => broke(rule.text()),
            None if values.contains(&None) => Outcome::NoEvidence,
            None => Outcome::Held,
        }
    }
}
