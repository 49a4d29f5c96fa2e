//! What a deploy made, for people and programs.

use std::fmt::Write;

use serde::Serialize;

use super::format::{counted, grouped};
use crate::aws::stack::Resource;
use crate::install::Install;

/// What became of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// There was none before.
    Created,
    /// It is another than before.
    Updated,
    /// It was so already.
    Unchanged,
}

/// An installation, as `deploy` leaves it.
#[derive(Debug, Serialize)]
pub(crate) struct Deployed {
    /// What became of it.
    pub(crate) change: Change,
    /// What every other command will know of it.
    #[serde(flatten)]
    pub(crate) install: Install,
    /// All that it is made of.
    pub(crate) resources: Vec<Resource>,
}

impl Deployed {
    /// As text, ending in a line break.
    pub(crate) fn text(&self) -> String {
        let Self { change, install, resources } = self;
        let change = match change {
            Change::Created => "created",
            Change::Updated => "updated",
            Change::Unchanged => "unchanged",
        };
        let mut text = format!(
            "{} {} in {} of account {}: {change}\n\n",
            install.stack, install.version, install.region, install.account
        );
        let width = resources.iter().map(|resource| resource.kind.len()).max().unwrap_or(0);
        // Writing to a string does not fail.
        for Resource { kind, name } in resources {
            let _ = writeln!(text, "  {kind:width$}  {name}");
        }
        let list = |all: &[String]| if all.is_empty() { "none".to_owned() } else { all.join(", ") };
        let hosts: Vec<String> = install.allow.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "\n  may attack     {}", list(&hosts));
        let _ = writeln!(
            text,
            "  a run has      at most {}/s, {} and {} USD",
            grouped(u64::from(install.max_rate)),
            counted(u64::from(install.max_workers.get()), "worker"),
            install.max_usd
        );
        let _ = writeln!(text, "  workers read   {}", list(&install.secrets));
        text
    }
}
