//! Parallel and Map: the strands below a strand.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::data::{Context, check_size, need, render};
use super::execution::{Busy, Execution, Strand, StrandId};
use super::{Failure, StepId};
use crate::asl::{Kind, Mode, RUNTIME};

/// Names a fan; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FanId(u64);

/// The branches of a Parallel, or the iterations of a Map, while they run.
pub(super) struct Fan {
    /// The strand whose state this is.
    owner: StrandId,
    /// That state's input.
    input: Arc<Value>,
    total: usize,
    /// How many may run side by side.
    limit: usize,
    started: usize,
    ended: usize,
    failed: usize,
    running: BTreeSet<StrandId>,
    /// Null until a child has ended.
    results: Vec<Value>,
}

impl Execution {
    /// Starts the branches or iterations of the state that `owner` is in.
    pub(super) fn open_fan(&mut self, owner: StrandId, input: Arc<Value>) -> Result<(), Failure> {
        let strand = &self.strands[&owner];
        let (total, limit) = match &strand.chain.states[strand.at].kind {
            Kind::Parallel(branches) => (branches.len(), 0),
            Kind::Map(map) => {
                let items = need(&map.items, "ItemsPath", &input, &self.context(strand))?;
                let Some(items) = items.as_array() else {
                    let cause = format!("the path {} of ItemsPath leads to no list", map.items.text);
                    return Err(Failure::new(RUNTIME, cause));
                };
                (items.len(), usize::try_from(map.max_concurrency).unwrap_or(usize::MAX))
            }
            _ => unreachable!("only Parallel and Map fan out"),
        };
        let id = FanId(self.fresh());
        let fan = Fan {
            owner,
            input,
            total,
            limit: if limit == 0 { usize::MAX } else { limit },
            started: 0,
            ended: 0,
            failed: 0,
            running: BTreeSet::new(),
            results: vec![Value::Null; total],
        };
        self.fans.insert(id, fan);
        self.strand(owner).busy = Busy::Fan(id);
        self.feed(id);
        Ok(())
    }

    /// Starts as many children as may run, and collects them when all have ended.
    fn feed(&mut self, id: FanId) {
        loop {
            let fan = &self.fans[&id];
            if fan.started == fan.total || fan.running.len() >= fan.limit {
                break;
            }
            match self.child(id, fan) {
                Ok(child) => {
                    let child = self.add_strand(child);
                    let fan = self.fan(id);
                    fan.started += 1;
                    fan.running.insert(child);
                }
                Err(failure) => return self.fail_fan(id, failure),
            }
        }
        let fan = &self.fans[&id];
        if fan.ended == fan.total {
            let fan = self.fans.remove(&id).expect("it was just there");
            self.strand(fan.owner).busy = Busy::Ready;
            if let Err(failure) = self.conclude(fan.owner, Value::Array(fan.results)) {
                self.fail(fan.owner, failure);
            }
        }
    }

    /// The next child to start.
    fn child(&self, id: FanId, fan: &Fan) -> Result<Strand, Failure> {
        let index = fan.started;
        let owner = &self.strands[&fan.owner];
        let state = &owner.chain.states[owner.at];
        let parent = Some((id, index));
        let mut child = match &state.kind {
            Kind::Parallel(branches) => {
                let mut child = Strand::new(parent, &branches[index], Arc::clone(&fan.input));
                child.item.clone_from(&owner.item);
                child
            }
            Kind::Map(map) => {
                let items = need(&map.items, "ItemsPath", &fan.input, &self.context(owner))?;
                let item = &items[index];
                let input = match &map.selector {
                    None => item.clone(),
                    Some(selector) => {
                        let context = Context { item: Some((index, item)), ..self.context(owner) };
                        render(selector, &fan.input, &context)?
                    }
                };
                check_size(&input, "the input of an iteration", &self.largest)?;
                let mut child = Strand::new(parent, &map.chain, Arc::new(input));
                if map.mode == Mode::Inline {
                    child.item = Some((index, Arc::new(item.clone())));
                }
                child
            }
            _ => unreachable!("only Parallel and Map fan out"),
        };
        child.scope = Arc::from(format!("{}{}/{index}/", owner.scope, state.name));
        Ok(child)
    }

    fn fan(&mut self, id: FanId) -> &mut Fan {
        self.fans.get_mut(&id).expect("a fan lives as long as its children")
    }

    /// A branch or an iteration has ended.
    pub(super) fn child_ended(
        &mut self,
        id: FanId,
        index: usize,
        child: StrandId,
        outcome: Result<Arc<Value>, Failure>,
    ) {
        let fan = self.fan(id);
        fan.running.remove(&child);
        fan.ended += 1;
        match outcome {
            Ok(output) => fan.results[index] = Arc::unwrap_or_clone(output),
            Err(failure) => {
                fan.failed += 1;
                let (failed, total, owner) = (fan.failed, fan.total, fan.owner);
                let owner = &self.strands[&owner];
                match &owner.chain.states[owner.at].kind {
                    Kind::Map(map) if map.mode != Mode::Inline => {
                        if exceeds(map.mode, failed, total) {
                            let cause = format!("{failed} of {total} items failed, lately by {failure}");
                            let failure = Failure::new("States.ExceedToleratedFailureThreshold", cause);
                            return self.fail_fan(id, failure.shortened());
                        }
                    }
                    _ => return self.fail_fan(id, failure),
                }
            }
        }
        self.feed(id);
    }

    /// Cancels what still runs, and fails the state.
    fn fail_fan(&mut self, id: FanId, failure: Failure) {
        let owner = self.fans[&id].owner;
        let mut steps = BTreeSet::new();
        self.cancel_fan(id, &mut steps);
        self.forget(steps);
        self.fail(owner, failure);
    }

    /// Removes a fan and everything below it; see [`Execution::cancel`].
    pub(super) fn cancel_fan(&mut self, id: FanId, steps: &mut BTreeSet<StepId>) {
        let Some(fan) = self.fans.remove(&id) else { return };
        for child in fan.running {
            self.cancel(child, steps);
        }
    }
}

/// Whether more have failed than is tolerated; none are unless the definition
/// says so.
fn exceeds(mode: Mode, failed: usize, total: usize) -> bool {
    match mode {
        Mode::Inline | Mode::Distributed { percentage: None, count: None } => failed > 0,
        Mode::Distributed { percentage, count } => {
            percentage.is_some_and(|limit| failed as f64 * 100.0 > limit * total as f64)
                || count.is_some_and(|limit| failed as u64 > limit)
        }
    }
}
