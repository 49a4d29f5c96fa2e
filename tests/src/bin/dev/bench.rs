//! `bench`: what a request costs here, beside what it costs others.
//!
//! Every line of the goals is printed with what was measured. The generator is
//! pinned to one core and its target to another, generators take turns, and what
//! counts is the generator's CPU time divided by the requests that the *target*
//! counted: on a machine that others use, too, that survives, where requests a
//! second would not. DeathStar runs as anybody would run it, with its table, its
//! histograms and its report.
//!
//! A goal that is missed is a finding, not a failure. It fails when something
//! could not be measured, or a run of ours says that it sent what the target did
//! not count.

mod closed;
mod figures;
mod generators;
mod install;
mod nginx;
mod open;
mod pinned;
mod resident;
mod rounds;
mod shares;
mod table;

use crate::launch::{Folder, binary};
use crate::memory::where_and_when;
use crate::{Failure, say};
use generators::Programs;
use nginx::Nginx;
use rounds::Bench;
use table::Book;

/// Measures one piece of work.
type Row = fn(&Bench, &mut Book) -> Result<(), Failure>;

/// Every row, by the name that the command line knows it by.
const ROWS: &[(&str, Row)] = &[
    ("keep-alive", closed::keep_alive),
    ("tls", closed::tls),
    ("open-10000", open::at_10000),
    ("open-2000", open::at_2000),
    ("stall", open::stall),
    ("connect", closed::connect),
    ("memory", resident::memory),
    ("recording", shares::recording),
];

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let asked = Asked::from(arguments)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cores < 2 {
        return Err("the generator and its target need a core each, and there is one".to_owned());
    }
    install::install()?;
    let oha = install::oha();
    let deathstar = binary()?;
    let folder = Folder::new("bench")?;
    let nginx = Nginx::start(&folder)?;
    let programs = Programs { deathstar, oha, certificate: nginx.certificate().to_owned() };
    let seconds = if asked.quick { 2 } else { 5 };
    let bench = Bench { programs, folder, nginx, rounds: asked.rounds, seconds, quick: asked.quick };

    let load = load_average();
    println!("Measured on {}\n", where_and_when());
    println!("- Target on core 0, generator on core 1; {} rounds of {seconds} s by turns.", asked.rounds);
    println!(
        "- Figures are medians of rounds, with the least and the most; a ratio is of medians, its range of rounds."
    );
    println!("- {}.", install::versions());
    println!("- Load average before it began: {load}.\n");
    let mut book = Book::default();
    for (name, row) in asked.rows {
        if let Err(failure) = row(&bench, &mut book) {
            say(&format!("dev: {name}: {failure}"));
            book.missing(name, "all of it", &failure);
        }
    }
    if book.compared > 0 {
        let equal = book.compared - book.mismatches.len() as u64;
        let figure = format!("equal in {equal} of {} runs", book.compared);
        book.line(
            "recording",
            "sent = what the target itself counted, in every run",
            Some((figure, book.mismatches.is_empty())),
        );
    }
    println!("### Goals\n\n{}", book.summary());
    println!("Load average when it ended: {}.", load_average());
    book.is_whole()
}

/// How busy the machine was: of 1, 5 and 15 minutes.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(", ")
}

/// What the command line asks for.
struct Asked {
    rows: Vec<&'static (&'static str, Row)>,
    rounds: usize,
    quick: bool,
}

impl Asked {
    fn from(arguments: &[String]) -> Result<Self, Failure> {
        let names: Vec<&str> = ROWS.iter().map(|(name, _)| *name).collect();
        let usage = || {
            format!(
                "usage: cargo dev bench [--quick] [--rounds N] [NAME…], with N from 1 to 99 and names of {}",
                names.join(", ")
            )
        };
        let (mut rows, mut rounds, mut quick) = (Vec::new(), None, false);
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--quick" => quick = true,
                "--rounds" => {
                    let number = rest.next().and_then(|number| number.parse().ok());
                    rounds = Some(number.filter(|number| (1..=99).contains(number)).ok_or_else(usage)?);
                }
                name => rows.push(ROWS.iter().find(|(other, _)| *other == name).ok_or_else(usage)?),
            }
        }
        if rows.is_empty() {
            rows = ROWS.iter().collect();
        }
        Ok(Self { rows, rounds: rounds.unwrap_or(if quick { 1 } else { 3 }), quick })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<Asked, Failure> {
        Asked::from(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn without_names_every_row_is_asked_for() {
        let asked = asked(&[]).unwrap();
        assert_eq!((asked.rows.len(), asked.rounds, asked.quick), (ROWS.len(), 3, false));
    }

    #[test]
    fn rows_and_rounds_may_be_chosen() {
        let asked = asked(&["--quick", "stall", "--rounds", "2"]).unwrap();
        let names: Vec<&str> = asked.rows.iter().map(|(name, _)| *name).collect();
        assert_eq!((names, asked.rounds, asked.quick), (vec!["stall"], 2, true));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for words in [&["--rounds"][..], &["--rounds", "0"], &["--rounds", "many"], &["fast"], &["--slow"]] {
            assert!(asked(words).is_err(), "{words:?}");
        }
    }
}
