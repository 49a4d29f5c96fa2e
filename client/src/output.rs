//! Reports and plans for people and programs.

pub(crate) mod explain;
mod format;
#[cfg(feature = "aws")]
pub(crate) mod install;
pub(crate) mod plan;
pub(crate) mod text;

use std::io::IsTerminal;

use deathstar_statemachine::report::{Report, Stop, Verdict};

use crate::cli::Color;
use crate::exit::Exit;

/// How text is dressed. Colour never carries a meaning alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    color: bool,
}

impl Style {
    /// From the flag, the environment and the terminal.
    pub(crate) fn choose(color: Color) -> Self {
        let auto = || {
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
        };
        Self {
            color: match color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => auto(),
            },
        }
    }

    /// `text` in bold.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// `text` in a quieter colour.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// `text` in the colour of a verdict.
    pub(crate) fn verdict(self, verdict: Verdict, text: &str) -> String {
        let code = match verdict {
            Verdict::Passed => "32",
            Verdict::Failed => "31",
            Verdict::Inconclusive => "33",
        };
        self.paint(code, text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// What a report comes to.
pub(crate) fn exit_of(report: &Report) -> Exit {
    let mut exit = match report.verdict {
        Verdict::Passed => Exit::Passed,
        Verdict::Failed => Exit::Failed,
        Verdict::Inconclusive => Exit::Inconclusive,
    };
    if report.failure.is_some() {
        exit = exit.and(Exit::Broken);
    }
    if report.stopped == Some(Stop::Interrupted) {
        exit = exit.and(Exit::Interrupted);
    }
    if report.leaks > 0 {
        exit = exit.and(Exit::NotTornDown);
    }
    exit
}
