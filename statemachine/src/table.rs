//! The words of the run's table: what the controller and the workers, who never
//! see each other, both say to it.

pub mod rows;

use serde::{Deserialize, Serialize};

/// Who may send a slice's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// This invocation, and no other.
    Won,
    /// Another invocation has it.
    Lost,
    /// Nobody: the run has been torn down.
    RunOver,
}

/// How far a resource of a run has come; only forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerState {
    /// It is about to be created: written before it is.
    Intent,
    /// It exists.
    Created,
    /// It is about to be deleted.
    Deleting,
    /// It is gone.
    Deleted,
}

impl LedgerState {
    /// The name in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Created => "created",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    /// The state by its name in the table.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Intent, Self::Created, Self::Deleting, Self::Deleted]
            .into_iter()
            .find(|state| state.name() == name)
    }

    /// The state by its number.
    #[must_use]
    pub fn by_rank(rank: u8) -> Option<Self> {
        [Self::Intent, Self::Created, Self::Deleting, Self::Deleted]
            .into_iter()
            .find(|state| state.rank() == rank)
    }

    /// A number that only grows as the resource comes on.
    #[must_use]
    pub const fn rank(self) -> u8 {
        self as u8
    }
}

/// A resource of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The function's name, derived from the run id.
    pub name: String,
    /// How far it has come.
    pub state: LedgerState,
}
