//! The capacity search: which rate to try next, or what to conclude.
//!
//! [`Search::decide`] is a pure function of the parameters and of what was
//! tried so far, so whoever holds the history can go on with a search that
//! someone else began. It runs nothing: judging a step, draining the target in
//! between and leaving out its warm-up are the caller's.
//!
//! # The order of steps
//!
//! 1. `from` is tried. Then the rate grows by a factor until a promise breaks,
//!    or until `up_to` is reached.
//! 2. Between the highest rate that held and the lowest that broke the search
//!    bisects, until they are within the tolerance: `broke ≤ held × (1 +
//!    tolerance)`.
//! 3. The answer is confirmed by a hold of [`HOLD_STEPS`] steps. When that
//!    breaks, a lower rate is held: one tolerance below, then two more, then
//!    four, and then no more ([`HOLDS`]).
//!
//! A step that broke is tried once more before it counts; if it holds then, it
//! held. So a rate that breaks costs two steps, and one that holds costs one.
//! That decides where to probe. With `n` steps left, a probe leaves `n − 1` to
//! tell apart the rates above it and `n − 2` for those below, hence `n` steps
//! tell apart
//!
//! ```text
//! N(n) = N(n − 1) + N(n − 2)     N(0) = N(1) = 1: the Fibonacci numbers
//! ```
//!
//! intervals, and the best probe has `N(n − 2) ÷ N(n)` of them below it, counted
//! in ratios. Growth follows the same rule: rates from `up_to` on are one more
//! interval, whose lower end has not been tried. So the factor of growth is not
//! constant but falls as there are fewer steps left to bisect with, and is at
//! most [`MAX_GROWTH`]. A constant one cannot keep to 14 steps, repeats included,
//! over 50/s … 20,000/s within 3 %: whatever factor is small enough to be
//! bisected in what its last step leaves takes too many steps to get there.
//!
//! # What counts as a step
//!
//! Everything that is run: growth, bisection, a repeat, and a hold, which is one
//! step of [`HOLD_STEPS`] times the length. [`Search::steps_at_most`] says how
//! many that can be, by following every answer that a target can give; for the
//! search above it is 14.

mod history;
mod probe;

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::history::{End, Seen};
use self::probe::Costs;
use crate::units::{Rate, display_duration, duration_text};

/// How many steps long the confirming hold is.
pub const HOLD_STEPS: u32 = 3;

/// The most rates that are held for confirmation, the answer itself included.
pub const HOLDS: usize = 4;

/// The most steps of a search, whatever happens. Those with an answer at each rate take
/// 30 at most; of any more, the history of an execution on AWS would not hold all.
pub const MAX_STEPS: u32 = 80;

/// The most by which the rate grows from one step to the next. What a target
/// cannot take it queues, so this bounds how long it drains after the first
/// step that breaks: six times the step. For 14 steps from 50/s to 20,000/s, five
/// would be too little, and six would leave nothing for rounding.
pub const MAX_GROWTH: f64 = 7.0;

/// The longest that a target is left alone between two steps: one task waits for it.
pub const MAX_REST: Duration = Duration::from_secs(180);

/// How much of a step is its warm-up, one part in so many: what the target does then is
/// not judged.
const WARM_UP: u32 = 5;

/// The shortest and the longest step. What is seen is seen by the second.
const STEP: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// The finest tolerance: 0.1 %, in millionths.
const MIN_TOLERANCE: u32 = 1000;
/// The coarsest tolerance: 50 %, in millionths.
const MAX_TOLERANCE: u32 = 500_000;

/// Why the parameters are none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SearchError {
    /// There is nothing between them.
    #[error("a search from {from} up to {up_to} has nothing to search; up_to must be above from")]
    Empty {
        /// Where it was to begin.
        from: Rate,
        /// Where it was to end.
        up_to: Rate,
    },
    /// A search that multiplies never leaves zero.
    #[error("a search cannot begin at 0/s")]
    FromZero,
    /// Too short to show anything, or longer than anyone waits.
    #[error("a step of {} is outside {} … {}", display_duration(*.0), display_duration(*STEP.start()), display_duration(*STEP.end()))]
    Step(Duration),
    /// Too fine to measure, or too coarse to mean anything.
    #[error("a tolerance of {0} is outside 0.1% … 50%")]
    Tolerance(String),
}

/// The parameters of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    from: Rate,
    up_to: Rate,
    step: Duration,
    /// Millionths.
    tolerance: u32,
}

/// What a step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To find a rate that breaks.
    Grow,
    /// To narrow down where it breaks.
    Bisect,
    /// To see whether the same happens again at a rate that broke, or that
    /// showed nothing.
    Repeat,
    /// To hold the answer for longer.
    Confirm,
}

/// A step to run: a constant rate for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Requests due.
    pub rate: Rate,
    /// For how long, not counting what is drained before it.
    #[serde(with = "duration_text")]
    pub duration: Duration,
    /// What it is for.
    pub purpose: Purpose,
}

/// What happened in a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// Every promise was kept, also if the generator was limited: lag only ever
    /// lengthens response times.
    Held,
    /// The target broke a promise.
    Broke {
        /// The rule, as written; of several the one that broke first.
        promise: String,
    },
    /// A promise broke, and the generator may be to blame, or it did not send all that
    /// was due. It is repeated once: a machine may have stood still for a moment.
    GeneratorLimited,
    /// Too little was seen to tell.
    NoEvidence,
}

/// A step and what happened in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// What was run.
    #[serde(flatten)]
    pub step: Step,
    /// How it went.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Run this step.
    Next(Step),
    /// The search is over.
    Concluded(Conclusion),
}

/// What may be concluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The target sustains the lower end of the interval, confirmed by a hold,
    /// and not its upper end.
    Sustained,
    /// The target sustains `up_to`, confirmed by a hold; where it breaks is
    /// beyond what may be tried.
    AtLeastUpTo,
    /// The target does not sustain even `from`. Rates below it are not tried:
    /// the user did not name them.
    BelowFrom,
    /// The evidence does not carry a conclusion; see the reason.
    Inconclusive,
}

/// Why a search is inconclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The generator, not the target, gave out.
    GeneratorLimited,
    /// A step showed too little, twice.
    NoEvidence,
    /// Rates that held for a step broke in every hold.
    NotConfirmed,
    /// It was cut short.
    Unfinished,
}

/// How a search ended. Rates are requests per second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conclusion {
    /// What may be concluded.
    pub verdict: Verdict,
    /// The highest rate that held and the lowest that broke; with a
    /// confirming hold, the rate that it held and the lowest that broke in a step
    /// or a hold. An end that was not found is nothing.
    pub sustained: [Option<f64>; 2],
    /// The lowest rate that broke within one step, and again in its repeat.
    pub breaks_at: Option<f64>,
    /// The promise that broke at the upper end of `sustained`.
    pub broke: Option<String>,
    /// Whether a hold confirmed the lower end.
    pub confirmed: bool,
    /// That hold's place in the history, from 0.
    pub confirming_step: Option<usize>,
    /// How many steps were run, repeats and holds included.
    pub steps: usize,
    /// How many of these were repeats.
    pub repeats: usize,
    /// Why it is inconclusive, when it is.
    pub reason: Option<Reason>,
}

impl Search {
    /// A search `from` a rate `up_to` another, in steps of a length (1 s to 1 h), until
    /// the answer is known within a tolerance (a ratio, 0.001–0.5, kept to the
    /// millionth).
    ///
    /// # Errors
    /// When there is nothing to search, or a length or a tolerance is out of range.
    pub fn new(from: Rate, up_to: Rate, step: Duration, tolerance: f64) -> Result<Self, SearchError> {
        if from.is_zero() {
            return Err(SearchError::FromZero);
        }
        if up_to <= from {
            return Err(SearchError::Empty { from, up_to });
        }
        if !STEP.contains(&step) {
            return Err(SearchError::Step(step));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let millionths = (tolerance * 1e6).round() as u32;
        if !(MIN_TOLERANCE..=MAX_TOLERANCE).contains(&millionths) {
            return Err(SearchError::Tolerance(format!("{}%", tolerance * 100.0)));
        }
        Ok(Self { from, up_to, step, tolerance: millionths })
    }

    /// The lowest rate to try.
    #[must_use]
    pub const fn from(&self) -> Rate {
        self.from
    }

    /// The highest rate to try.
    #[must_use]
    pub const fn up_to(&self) -> Rate {
        self.up_to
    }

    /// How long a step takes; the confirming hold takes [`HOLD_STEPS`] times as long.
    #[must_use]
    pub const fn step(&self) -> Duration {
        self.step
    }

    /// How much of each step is not judged: the fifth with which it begins. The
    /// confirming hold warms up as long as a step.
    #[must_use]
    pub fn warm_up(&self) -> Duration {
        self.step / WARM_UP
    }

    /// How far apart the ends of the answer may be, as a ratio.
    #[must_use]
    pub fn tolerance(&self) -> f64 {
        f64::from(self.tolerance) / 1e6
    }

    /// The next step after these, or the conclusion that they allow. Whatever
    /// follows what concludes the search is not looked at, nor is a step whose
    /// answer is already known, because a lower rate broke or a higher one held.
    #[must_use]
    pub fn decide(&self, history: &[Tried]) -> Decision {
        let mut seen = Seen::default();
        for (index, tried) in history.iter().enumerate() {
            if let Some(end) = seen.add(tried) {
                return Decision::Concluded(self.conclude(&seen, end, &history[..=index]));
            }
        }
        let end = match seen.next(self) {
            Ok(step) if history.len() < MAX_STEPS as usize => return Decision::Next(step),
            Ok(_) => End::Inconclusive(Reason::Unfinished),
            Err(end) => end,
        };
        Decision::Concluded(self.conclude(&seen, end, history))
    }

    /// What these steps allow to be concluded, also when the search is not over.
    #[must_use]
    pub fn conclusion(&self, history: &[Tried]) -> Conclusion {
        match self.decide(history) {
            Decision::Concluded(conclusion) => conclusion,
            Decision::Next(_) => {
                let mut seen = Seen::default();
                history.iter().for_each(|tried| {
                    seen.add(tried);
                });
                self.conclude(&seen, End::Inconclusive(Reason::Unfinished), history)
            }
        }
    }

    /// The most steps until a conclusion when the target does at every rate
    /// always the same: every failure bears repeating, the hold confirms, and no
    /// step lacks evidence.
    #[must_use]
    pub fn steps_at_most(&self) -> u32 {
        self.longest(None, None, Costs { held: 1, broke: 2, confirm: 1 })
    }

    /// The most steps until a conclusion whatever happens: at every rate a step
    /// without evidence and a failure come before what counts, and holds break.
    #[must_use]
    pub fn steps_whatever_happens(&self) -> u32 {
        let holds = u32::try_from(HOLDS).unwrap_or(u32::MAX);
        self.longest(None, None, Costs { held: 3, broke: 3, confirm: 2 * holds }).min(MAX_STEPS)
    }

    /// How long the load of [`Self::steps_at_most`] is.
    #[must_use]
    pub fn load_at_most(&self) -> Duration {
        self.step * self.longest(None, None, Costs { held: 1, broke: 2, confirm: HOLD_STEPS })
    }

    /// How long the load of [`Self::steps_whatever_happens`] is.
    #[must_use]
    pub fn load_whatever_happens(&self) -> Duration {
        let holds = u32::try_from(HOLDS).unwrap_or(u32::MAX);
        self.step * self.longest(None, None, Costs { held: 3, broke: 3, confirm: 2 * holds * HOLD_STEPS })
    }

    fn conclude(&self, seen: &Seen<'_>, end: End, history: &[Tried]) -> Conclusion {
        let per_second = |rate: Rate| rate.as_per_second();
        let refuted = seen.broken_holds.last();
        let lowest = refuted.or(seen.broke.as_ref());
        let held = match end {
            End::Confirmed { rate } => Some(rate),
            // What held for a step and was not refuted by a hold.
            _ => seen.held.iter().copied().filter(|held| refuted.is_none_or(|(rate, _)| held < rate)).max(),
        };
        let (verdict, reason) = match end {
            End::Confirmed { rate } if rate == self.up_to => (Verdict::AtLeastUpTo, None),
            End::Confirmed { .. } => (Verdict::Sustained, None),
            End::BelowFrom => (Verdict::BelowFrom, None),
            End::Inconclusive(reason) => (Verdict::Inconclusive, Some(reason)),
        };
        let confirmed = matches!(end, End::Confirmed { .. });
        Conclusion {
            verdict,
            sustained: [held.map(per_second), lowest.map(|(rate, _)| per_second(*rate))],
            breaks_at: seen.broke.as_ref().map(|(rate, _)| per_second(*rate)),
            broke: lowest.map(|(_, promise)| (*promise).to_owned()),
            confirmed,
            confirming_step: confirmed.then(|| history.len() - 1),
            steps: history.len(),
            repeats: history.iter().filter(|tried| tried.step.purpose == Purpose::Repeat).count(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    /// 100/s … 1,000/s, in steps of 10 s, within 10 %.
    fn search() -> Search {
        Search::new(rate("100/s"), rate("1000/s"), Duration::from_secs(10), 0.1).unwrap()
    }

    fn broke() -> Outcome {
        Outcome::Broke { promise: "p99 < 300ms".to_owned() }
    }

    /// Lets the search go on from a history, each step answered by `answer`.
    fn go_on(
        search: &Search,
        mut history: Vec<Tried>,
        mut answer: impl FnMut(&Step) -> Outcome,
    ) -> (Vec<Tried>, Conclusion) {
        loop {
            match search.decide(&history) {
                Decision::Next(step) => {
                    let outcome = answer(&step);
                    history.push(Tried { step, outcome });
                }
                Decision::Concluded(conclusion) => return (history, conclusion),
            }
        }
    }

    /// A target that keeps its promise up to a rate.
    fn up_to(capacity: &str) -> impl FnMut(&Step) -> Outcome {
        let capacity = rate(capacity);
        move |step| if step.rate <= capacity { Outcome::Held } else { broke() }
    }

    fn purposes(history: &[Tried]) -> Vec<Purpose> {
        history.iter().map(|tried| tried.step.purpose).collect()
    }

    #[test]
    fn parameters_that_say_nothing_are_refused() {
        let new = |from: &str, up_to: &str, step, tolerance| {
            Search::new(rate(from), rate(up_to), Duration::from_secs(step), tolerance)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(new("0/s", "5/s", 1, 0.03), "a search cannot begin at 0/s");
        assert_eq!(
            new("50/s", "50/s", 1, 0.03),
            "a search from 50/s up to 50/s has nothing to search; up_to must be above from"
        );
        assert_eq!(new("50/s", "60/s", 0, 0.03), "a step of 0us is outside 1s … 1h");
        assert_eq!(new("50/s", "60/s", 3601, 0.03), "a step of 3601s is outside 1s … 1h");
        assert_eq!(new("50/s", "60/s", 1, 0.6), "a tolerance of 60% is outside 0.1% … 50%");
        for tolerance in [0.0, -0.03, 0.0009, f64::NAN, f64::INFINITY] {
            assert!(new("50/s", "60/s", 1, tolerance).contains("is outside"), "{tolerance}");
        }
    }

    #[test]
    fn it_grows_then_bisects_then_holds() {
        let (history, conclusion) = go_on(&search(), vec![], up_to("500/s"));
        let rates: Vec<String> = history.iter().map(|tried| tried.step.rate.to_string()).collect();
        // ln 10 ÷ ln 1.1 = 24.2 intervals, and one from 1,000/s on: 34 is the
        // next Fibonacci number, so 13 ÷ 34 of them are left below the probe:
        // 100 × 1.1^(25.2 × 13 ÷ 34) = 250.1. Then 15.5 of 21 intervals remain:
        // 250.1 × 1.1^(15.5 × 8 ÷ 21) = 439.7, and so on.
        assert_eq!(rates[..3], ["100/s", "250.1/s", "439.7/s"]);
        let (growth, rest) = purposes(&history).into_iter().partition::<Vec<_>, _>(|p| *p == Purpose::Grow);
        assert!(growth.len() >= 4);
        assert!(rest.starts_with(&[Purpose::Repeat, Purpose::Bisect]));
        let hold = history.last().unwrap();
        assert_eq!(hold.step.purpose, Purpose::Confirm);
        assert_eq!(hold.step.duration, Duration::from_secs(30));
        assert_eq!(conclusion.verdict, Verdict::Sustained);
        let [Some(low), Some(high)] = conclusion.sustained else { panic!("{conclusion:?}") };
        assert!(low <= 500.0 && 500.0 < high && high <= low * 1.1, "{low} … {high}");
        assert_eq!(conclusion.breaks_at, Some(high));
        assert_eq!(conclusion.broke.as_deref(), Some("p99 < 300ms"));
        assert_eq!(conclusion.confirming_step, Some(history.len() - 1));
        assert_eq!((conclusion.confirmed, conclusion.reason), (true, None));
    }

    #[test]
    fn a_failure_that_its_repeat_does_not_bear_out_does_not_count() {
        let mut flaky = std::collections::BTreeSet::new();
        let answer = |step: &Step| {
            let first = flaky.insert(step.rate);
            if step.purpose != Purpose::Confirm && first { broke() } else { up_to("500/s")(step) }
        };
        let (_, conclusion) = go_on(&search(), vec![], answer);
        let [Some(low), Some(high)] = conclusion.sustained else { panic!("{conclusion:?}") };
        assert!(low <= 500.0 && 500.0 < high && high <= low * 1.1, "{low} … {high}");
    }

    #[test]
    fn the_promise_that_broke_first_is_named() {
        let mut failures = 0;
        let (_, conclusion) = go_on(&search(), vec![], |step| {
            if step.rate <= rate("100/s") {
                return Outcome::Held;
            }
            failures += 1;
            Outcome::Broke { promise: format!("failure {failures}") }
        });
        // Every failure comes in two; the last rate to break counts.
        assert_eq!(conclusion.broke, Some(format!("failure {}", failures - 1)));
    }

    #[test]
    fn a_generator_that_gives_out_is_not_a_failure_of_the_target() {
        let (history, conclusion) = go_on(&search(), vec![], |step| {
            if step.rate <= rate("300/s") { Outcome::Held } else { Outcome::GeneratorLimited }
        });
        assert_eq!(history.len(), 4, "it is repeated once: a machine may have stood still");
        assert_eq!(conclusion.verdict, Verdict::Inconclusive);
        assert_eq!(conclusion.reason, Some(Reason::GeneratorLimited));
        assert_eq!(conclusion.sustained, [Some(250.1), None]);
        assert_eq!((conclusion.confirmed, conclusion.broke), (false, None));
        // Once is no more than a repeat.
        let mut stood_still = false;
        let (history, conclusion) = go_on(&search(), vec![], |step| {
            if step.rate > rate("300/s") && !std::mem::replace(&mut stood_still, true) {
                Outcome::GeneratorLimited
            } else {
                up_to("500/s")(step)
            }
        });
        assert_eq!((conclusion.verdict, conclusion.confirmed), (Verdict::Sustained, true));
        assert_eq!(history.iter().filter(|tried| tried.outcome == Outcome::GeneratorLimited).count(), 1);
        // The same in a hold.
        let (_, conclusion) = go_on(&search(), vec![], |step| match step.purpose {
            Purpose::Confirm => Outcome::GeneratorLimited,
            _ => up_to("500/s")(step),
        });
        assert_eq!(conclusion.reason, Some(Reason::GeneratorLimited));
        assert!(!conclusion.confirmed && conclusion.breaks_at.is_some());
    }

    #[test]
    fn a_step_without_evidence_is_repeated_once() {
        let mut blind = 1;
        let (history, conclusion) = go_on(&search(), vec![], |step| {
            if step.rate == rate("100/s") && blind > 0 {
                blind -= 1;
                return Outcome::NoEvidence;
            }
            up_to("500/s")(step)
        });
        assert_eq!(purposes(&history)[..3], [Purpose::Grow, Purpose::Repeat, Purpose::Grow]);
        assert_eq!(conclusion.verdict, Verdict::Sustained);
        let (history, conclusion) = go_on(&search(), vec![], |_| Outcome::NoEvidence);
        assert_eq!(history.len(), 2);
        assert_eq!(conclusion.reason, Some(Reason::NoEvidence));
        assert_eq!(conclusion.sustained, [None, None]);
    }

    #[test]
    fn a_failure_is_remembered_across_a_step_without_evidence() {
        let step = |purpose| Step { rate: rate("100/s"), duration: Duration::from_secs(10), purpose };
        let history = [(Purpose::Grow, broke()), (Purpose::Repeat, Outcome::NoEvidence)]
            .map(|(purpose, outcome)| Tried { step: step(purpose), outcome });
        assert_eq!(search().decide(&history), Decision::Next(step(Purpose::Repeat)));
        let (history, conclusion) = go_on(&search(), history.to_vec(), |_| broke());
        assert_eq!((history.len(), conclusion.verdict), (3, Verdict::BelowFrom));
    }

    #[test]
    fn a_target_that_never_breaks_sustains_at_least_up_to() {
        let (history, conclusion) = go_on(&search(), vec![], |_| Outcome::Held);
        assert_eq!(conclusion.verdict, Verdict::AtLeastUpTo);
        assert_eq!(conclusion.sustained, [Some(1000.0), None]);
        assert_eq!((conclusion.breaks_at, conclusion.broke, conclusion.confirmed), (None, None, true));
        assert_eq!(history.last().unwrap().step.purpose, Purpose::Confirm);
    }

    #[test]
    fn a_target_that_breaks_at_once_is_below_from() {
        let (history, conclusion) = go_on(&search(), vec![], |_| broke());
        assert_eq!(purposes(&history), [Purpose::Grow, Purpose::Repeat]);
        assert_eq!(conclusion.verdict, Verdict::BelowFrom);
        assert_eq!(conclusion.sustained, [None, Some(100.0)]);
        assert_eq!((conclusion.breaks_at, conclusion.confirmed), (Some(100.0), false));
    }

    /// A target that keeps up less for as long as a hold.
    fn tires(short: &'static str, long: &'static str) -> impl FnMut(&Step) -> Outcome {
        move |step| match step.purpose {
            Purpose::Confirm => up_to(long)(step),
            _ => up_to(short)(step),
        }
    }

    #[test]
    fn a_hold_that_breaks_is_followed_by_lower_ones() {
        let (history, conclusion) = go_on(&search(), vec![], tires("500/s", "470/s"));
        let holds: Vec<f64> = history
            .iter()
            .filter(|tried| tried.step.purpose == Purpose::Confirm)
            .map(|tried| tried.step.rate.as_per_second())
            .collect();
        let [answer, lower] = holds[..] else { panic!("{holds:?}") };
        assert!((answer / lower - 1.1).abs() < 0.001, "{holds:?}");
        assert_eq!(conclusion.verdict, Verdict::Sustained);
        assert_eq!(conclusion.sustained, [Some(lower), Some(answer)]);
        assert!(conclusion.breaks_at.unwrap() > answer, "for a step, it broke higher up");
    }

    #[test]
    fn holds_come_to_an_end() {
        let (history, conclusion) = go_on(&search(), vec![], tires("500/s", "150/s"));
        let holds = purposes(&history).iter().filter(|purpose| **purpose == Purpose::Confirm).count();
        assert_eq!(holds, HOLDS);
        assert_eq!(conclusion.reason, Some(Reason::NotConfirmed));
        // Seven tolerances of 1.1 below the answer broke, which is half of it; 100/s
        // held for a step, and no hold says otherwise.
        let [Some(held), Some(refuted)] = conclusion.sustained else { panic!("{conclusion:?}") };
        assert!((held - 100.0).abs() < 1e-9 && (refuted * 1.1_f64.powi(7) - 460.0).abs() < 40.0);
        assert!(!conclusion.confirmed);
    }

    #[test]
    fn a_hold_that_breaks_at_from_is_below_it() {
        let (history, conclusion) = go_on(&search(), vec![], tires("115/s", "50/s"));
        assert_eq!(history.last().unwrap().step.rate, rate("100/s"));
        assert_eq!(conclusion.verdict, Verdict::BelowFrom);
        assert_eq!(conclusion.sustained, [None, Some(100.0)]);
    }

    #[test]
    fn rates_that_cannot_be_told_apart_end_the_search() {
        // One and two thousandths of a request per hour: nothing is in between.
        let search =
            Search::new(Rate::from_units(1), Rate::from_units(2), Duration::from_secs(1), 0.001).unwrap();
        let (_, conclusion) =
            go_on(&search, vec![], |step| if step.rate.units() == 1 { Outcome::Held } else { broke() });
        assert_eq!(conclusion.verdict, Verdict::Sustained);
    }

    #[test]
    fn messages_say_what_was_tried() {
        let step =
            Step { rate: rate("250.2/s"), duration: Duration::from_secs(10), purpose: Purpose::Bisect };
        let tried = Tried { step, outcome: broke() };
        let text = serde_json::to_string(&tried).unwrap();
        assert_eq!(
            text,
            r#"{"rate":"250.2/s","duration":"10s","purpose":"bisect","outcome":"broke","promise":"p99 < 300ms"}"#
        );
        assert_eq!(serde_json::from_str::<Tried>(&text).unwrap(), tried);
    }
}
