//! What a history says, with its repeats and doubts resolved, and what step
//! follows from that.

use super::{HOLD_STEPS, HOLDS, Outcome, Purpose, Reason, Search, Step, Tried};
use crate::units::Rate;

/// Why there is no next step.
#[derive(Clone, Copy)]
pub(super) enum End {
    Confirmed { rate: Rate },
    BelowFrom,
    Inconclusive(Reason),
}

/// What a history says, with its repeats and doubts resolved.
#[derive(Default)]
pub(super) struct Seen<'a> {
    /// Rates that held for a step, rising.
    pub(super) held: Vec<Rate>,
    /// The lowest rate that broke twice, and the promise that broke first.
    pub(super) broke: Option<(Rate, &'a str)>,
    /// Rates whose hold broke, falling.
    pub(super) broken_holds: Vec<(Rate, &'a str)>,
    /// The step that must be run again.
    open: Option<Open<'a>>,
}

/// A step that has not counted yet.
struct Open<'a> {
    step: &'a Step,
    /// What broke in it, when it did.
    broke: Option<&'a str>,
    /// Whether it once showed nothing, of the target at least.
    blind: bool,
}

impl<'a> Seen<'a> {
    /// Takes in a step; says so when it ends the search.
    pub(super) fn add(&mut self, tried: &'a Tried) -> Option<End> {
        let Tried { step, outcome } = tried;
        let confirming = step.purpose == Purpose::Confirm;
        let known = self.held.last().is_some_and(|held| step.rate <= *held)
            || self.broke.is_some_and(|(broke, _)| step.rate >= broke);
        if known && !confirming {
            return None;
        }
        let open = self.open.take().filter(|open| open.step.rate == step.rate);
        let (failed, blind) = open.map_or((None, false), |open| (open.broke, open.blind));
        match outcome {
            Outcome::GeneratorLimited if blind => return Some(End::Inconclusive(Reason::GeneratorLimited)),
            Outcome::NoEvidence if blind => return Some(End::Inconclusive(Reason::NoEvidence)),
            Outcome::GeneratorLimited | Outcome::NoEvidence => {
                self.open = Some(Open { step, broke: failed, blind: true });
            }
            Outcome::Held if confirming => return Some(End::Confirmed { rate: step.rate }),
            Outcome::Held => self.held.push(step.rate),
            Outcome::Broke { promise } if confirming => self.broken_holds.push((step.rate, promise)),
            Outcome::Broke { promise } => match failed {
                Some(first) => self.broke = Some((step.rate, first)),
                None => self.open = Some(Open { step, broke: Some(promise), blind }),
            },
        }
        None
    }

    /// The next step of a search, or why there is none.
    pub(super) fn next(&self, search: &Search) -> Result<Step, End> {
        let step = |rate, purpose| Step { rate, duration: search.step, purpose };
        let confirm = |rate| Step { rate, duration: search.step * HOLD_STEPS, purpose: Purpose::Confirm };
        if let Some(open) = &self.open {
            return Ok(match open.step.purpose {
                Purpose::Confirm => confirm(open.step.rate),
                _ => step(open.step.rate, Purpose::Repeat),
            });
        }
        if let Some((broken, _)) = self.broken_holds.last() {
            if *broken <= search.from {
                return Err(End::BelowFrom);
            }
            let holds = self.broken_holds.len();
            let lower = (holds < HOLDS).then(|| confirm(search.lower_hold(*broken, holds)));
            return lower.ok_or(End::Inconclusive(Reason::NotConfirmed));
        }
        let held = self.held.last().copied();
        let broke = self.broke.map(|(rate, _)| rate);
        match (search.probe(held, broke), held) {
            (_, None) if broke.is_some() => Err(End::BelowFrom),
            (Some(rate), _) => Ok(step(rate, if broke.is_some() { Purpose::Bisect } else { Purpose::Grow })),
            (None, held) => Ok(confirm(held.unwrap_or(search.from))),
        }
    }
}
