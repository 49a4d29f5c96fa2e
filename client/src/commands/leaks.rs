//! `deathstar leaks`: what outlived its run. It trusts nothing that should have
//! released it: it looks at what there is, and works without the stack, too.

use std::collections::BTreeMap;

use deathstar_controller::ports::{Listed, Table};
use deathstar_statemachine::ids::RunId;
use jiff::Timestamp;
use serde::Serialize;

use super::{CommandError, eprintln_quietly, print, print_json};
use crate::aws::connection::Connection;
use crate::aws::runs::{There, installation_options};
use crate::aws::{install_row, left};
use crate::cli::{Installation, LeaksArgs, Output};
use crate::clock;
use crate::exit::Exit;
use crate::mode::{Runs, Standing};

/// What it is that was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A worker function.
    Function,
    /// A dead-man's switch.
    Schedule,
}

/// Why something should not be there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Because {
    /// Its run is over.
    RunOver,
    /// Its time has passed.
    Expired,
    /// It does not say when its time passes.
    NeverExpires,
    /// There is no such run.
    NoRun,
    /// There is no stack that it could belong to.
    NoStack,
}

impl Because {
    const fn words(self) -> &'static str {
        match self {
            Self::RunOver => "its run is over",
            Self::Expired => "its time has passed",
            Self::NeverExpires => "it has no end",
            Self::NoRun => "there is no such run",
            Self::NoStack => "there is no stack",
        }
    }
}

/// Something that was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Leak {
    kind: Kind,
    name: String,
    run: Option<RunId>,
    because: Because,
    /// When its time passed, if it said so and it has.
    since: Option<Timestamp>,
}

/// What a run is to what there is of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Something works on it, or is about to tear it down.
    Live,
    /// Nothing will touch what it has left.
    Over,
    /// The same, but for its switch, which has still to report it.
    Unreported,
    /// There never was one, or its rows are gone.
    NoRun,
    /// Nobody knows, for there is no table.
    NoStack,
}

pub(super) async fn leaks(args: &LeaksArgs) -> Result<Exit, CommandError> {
    let connection = Connection::open(args.at.region.as_deref()).await?;
    let stack = &args.at.stack;
    // Of any version: what it has left is left all the same.
    let install = install_row::read(&connection, stack).await?;
    let mut found = Vec::new();
    for listed in left::worker_functions(&connection, stack).await? {
        found.push((Kind::Function, RunId::of_function(&listed.name), listed));
    }
    for listed in left::armed_switches(&connection, stack).await? {
        found.push((Kind::Schedule, RunId::of_switch(&listed.name), listed));
    }
    let there = install.map(|install| There::of(connection.clone(), install, &args.at));
    let mut owners: BTreeMap<Option<RunId>, Owner> = BTreeMap::new();
    for (_, run, _) in &found {
        if !owners.contains_key(run) {
            owners.insert(run.clone(), owner(there.as_ref(), run.as_ref()).await?);
        }
    }
    let now = clock::now();
    let leaks: Vec<Leak> = found
        .into_iter()
        .filter_map(|(kind, run, listed)| leak(kind, owners.get(&run).copied()?, run, listed, now))
        .collect();
    show(&leaks, args.output, &args.at, connection.region())?;
    Ok(if leaks.is_empty() { Exit::Passed } else { Exit::NotTornDown })
}

async fn owner(there: Option<&There>, run: Option<&RunId>) -> Result<Owner, CommandError> {
    let Some(there) = there else { return Ok(Owner::NoStack) };
    let Some(run) = run else { return Ok(Owner::NoRun) };
    let Some(summary) = there.table().run(run).await? else { return Ok(Owner::NoRun) };
    // A run is marked as over first, and then torn down and reported; its switch
    // goes last.
    Ok(match (summary.over, there.standing(run).await?) {
        (false, _) | (true, Standing::UnderWay) => Owner::Live,
        _ if summary.verdict.is_some() => Owner::Over,
        _ => Owner::Unreported,
    })
}

fn leak(kind: Kind, owner: Owner, run: Option<RunId>, listed: Listed, now: Timestamp) -> Option<Leak> {
    let since = listed.expires_at.filter(|expires_at| *expires_at < now);
    let owner = match (owner, kind) {
        (Owner::Unreported, Kind::Function) => Owner::Over,
        (Owner::Unreported, Kind::Schedule) => Owner::Live,
        _ => owner,
    };
    let because = match owner {
        Owner::NoStack => Because::NoStack,
        Owner::NoRun => Because::NoRun,
        Owner::Over => Because::RunOver,
        Owner::Live if since.is_some() => Because::Expired,
        Owner::Live if listed.expires_at.is_none() => Because::NeverExpires,
        Owner::Live | Owner::Unreported => return None,
    };
    Some(Leak { kind, name: listed.name, run, because, since })
}

fn show(leaks: &[Leak], output: Output, at: &Installation, region: &str) -> Result<(), CommandError> {
    if output == Output::Json {
        print_json(&leaks)?;
    } else if !leaks.is_empty() {
        print(&table(leaks))?;
    }
    if leaks.is_empty() {
        eprintln_quietly(&format!("nothing is left of runs of {} in {region}", at.stack));
    } else {
        eprintln_quietly(&format!(
            "error: {} left of runs of {} in {region}",
            if leaks.len() == 1 { "something is".to_owned() } else { format!("{} things are", leaks.len()) },
            at.stack
        ));
        let orphaned = leaks.iter().any(|leak| leak.because == Because::NoStack);
        eprintln_quietly(&if orphaned {
            format!("  hint: deathstar destroy{} deletes what a stack has left", installation_options(at))
        } else {
            "  hint: the janitor deletes them within minutes; if it does not, look at its log".to_owned()
        });
    }
    Ok(())
}

fn table(leaks: &[Leak]) -> String {
    let width = leaks.iter().map(|leak| leak.name.len()).max().unwrap_or(0).max("NAME".len());
    let run_of = |leak: &Leak| leak.run.as_ref().map_or("–".to_owned(), ToString::to_string);
    let run_width = leaks.iter().map(|leak| run_of(leak).chars().count()).max().unwrap_or(0).max("RUN".len());
    let mut text = format!("{:width$}  {:run_width$}  {:20}  WHY\n", "NAME", "RUN", "SINCE");
    for leak in leaks {
        let since = leak.since.map_or("–".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        text += &format!(
            "{:width$}  {:run_width$}  {since:20}  {}\n",
            leak.name,
            run_of(leak),
            leak.because.words()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_a_live_run_needs_is_no_leak() {
        let now = at("2026-11-24T12:00:00Z");
        let (past, future) = (at("2026-11-24T11:00:00Z"), at("2026-11-24T13:00:00Z"));
        for (owner, expires_at, expected) in [
            (Owner::Live, Some(future), None),
            (Owner::Live, Some(past), Some((Because::Expired, Some(past)))),
            (Owner::Live, None, Some((Because::NeverExpires, None))),
            (Owner::Over, Some(future), Some((Because::RunOver, None))),
            (Owner::Over, Some(past), Some((Because::RunOver, Some(past)))),
            (Owner::NoRun, Some(future), Some((Because::NoRun, None))),
            (Owner::NoStack, Some(future), Some((Because::NoStack, None))),
        ] {
            let listed = Listed { name: "deathstar-w-a-0".to_owned(), expires_at };
            let found = leak(Kind::Function, owner, Some("a".parse().unwrap()), listed, now);
            assert_eq!(found.map(|leak| (leak.because, leak.since)), expected, "{owner:?} {expires_at:?}");
        }
    }

    #[test]
    fn leaks_are_listed_in_columns() {
        let leak = |kind, name: &str, run: Option<&str>, since| Leak {
            kind,
            name: name.to_owned(),
            run: run.map(|run| run.parse().unwrap()),
            because: Because::RunOver,
            since,
        };
        let leaks = [
            leak(Kind::Function, "deathstar-w-a-0", Some("a"), Some(at("2026-11-24T11:00:00.5Z"))),
            leak(Kind::Schedule, "run-???", None, None),
        ];
        assert_eq!(
            table(&leaks),
            "NAME             RUN  SINCE                 WHY\n\
             deathstar-w-a-0  a    2026-11-24T11:00:00Z  its run is over\n\
             run-???          –    –                     its run is over\n"
        );
    }
}
