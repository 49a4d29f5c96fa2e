//! States that follow one another: the machine itself, a branch, an iteration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::DefinitionError;
use super::fields::Fields;
use super::path::Scope;
use super::state::{State, find_state};

/// The names of all states so far: AWS wants them unique in the whole machine.
pub(super) type Names = BTreeSet<String>;

/// A `StartAt` and its `States`. Successors are indexes into `states`.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) start: usize,
    pub(crate) states: Vec<State>,
}

impl Chain {
    /// Takes `StartAt` and `States`, and checks that they hang together.
    pub(super) fn parse(
        fields: &mut Fields,
        scope: Scope,
        names: &mut Names,
    ) -> Result<Self, DefinitionError> {
        let start = fields.need_text("StartAt")?;
        let states = match fields.need("States")? {
            Value::Object(states) => states,
            other => return Err(fields.invalid("States", &other, "an object")),
        };
        let index: BTreeMap<String, usize> =
            states.keys().enumerate().map(|(i, name)| (name.clone(), i)).collect();
        for name in states.keys() {
            if !names.insert(name.clone()) {
                return Err(DefinitionError::DuplicateState { name: name.clone() });
            }
        }
        let start = find_state(fields.at(), start, &index)?;
        let states = states
            .into_iter()
            .map(|(name, value)| State::parse(&name, value, scope, &index, names))
            .collect::<Result<Vec<_>, _>>()?;
        let chain = Self { start, states };
        chain.check()?;
        Ok(chain)
    }

    /// Takes the chain of a branch or an iteration, and nothing else.
    pub(super) fn nested(
        mut fields: Fields,
        scope: Scope,
        names: &mut Names,
    ) -> Result<Arc<Self>, DefinitionError> {
        fields.comment()?;
        let chain = Self::parse(&mut fields, scope, names)?;
        fields.finish()?;
        Ok(Arc::new(chain))
    }

    /// Every state is reached from the start, and reaches an end.
    fn check(&self) -> Result<(), DefinitionError> {
        let mut reached = vec![false; self.states.len()];
        let mut todo = vec![self.start];
        while let Some(at) = todo.pop() {
            if !std::mem::replace(&mut reached[at], true) {
                todo.extend(self.states[at].successors());
            }
        }
        if let Some(at) = reached.iter().position(|reached| !reached) {
            return Err(DefinitionError::Unreachable { name: self.states[at].name.to_string() });
        }
        let mut ends: Vec<bool> = self.states.iter().map(State::is_end).collect();
        // Each pass finds at least one more, so there are at most as many passes as states.
        loop {
            let found = |at: usize, ends: &[bool]| self.states[at].successors().any(|next| ends[next]);
            match (0..ends.len()).find(|&at| !ends[at] && found(at, &ends)) {
                Some(at) => ends[at] = true,
                None => break,
            }
        }
        match ends.iter().position(|ends| !ends) {
            Some(at) => Err(DefinitionError::Endless { name: self.states[at].name.to_string() }),
            None => Ok(()),
        }
    }
}
