//! How a command ended. Exit codes are public API: `--help` lists them.

/// The outcome of a command, as its exit code says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Every promise held.
    Passed = 0,
    /// A promise broke, the run stopped itself, or nothing succeeded.
    Failed = 1,
    /// Bad input.
    BadInput = 2,
    /// The evidence does not carry a conclusion.
    Inconclusive = 3,
    /// The machinery failed.
    Broken = 4,
    /// Something could not be torn down.
    NotTornDown = 5,
    /// Interrupted by Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The one that counts when both apply: 5 outranks 130, 130 the rest, then
    /// the largest.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::NotTornDown => 1000,
            other => other as u16,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::Exit::*;

    #[test]
    fn the_gravest_outcome_counts() {
        assert_eq!(Passed.and(Inconclusive), Inconclusive);
        assert_eq!(Broken.and(Failed), Broken);
        assert_eq!(Interrupted.and(Broken), Interrupted);
        assert_eq!(Interrupted.and(NotTornDown), NotTornDown);
    }
}
