//! Brings what is compared and what it is measured with: from Debian, and oha from
//! the Rust registry.

use std::path::PathBuf;
use std::process::Command;

use crate::tools::{apt, crates};
use crate::{Failure, say};

/// A program, the package of Debian that has it, and an argument with which it
/// says something and ends.
type Program = (&'static str, &'static str, &'static str);

/// Without these nothing is measured.
const NEEDED: &[Program] = &[
    ("taskset", "util-linux", "--version"),
    ("time", "time", "--version"),
    ("openssl", "openssl", "version"),
    ("nginx", "nginx", "-v"),
];

/// Without one of these, its rows are missing.
const PEERS: &[Program] = &[
    ("wrk", "wrk", "--version"),
    ("h2load", "nghttp2-client", "--version"),
    ("ab", "apache2-utils", "-V"),
    ("hey", "hey", "-h"),
];

/// The version of oha that figures are of.
const OHA_VERSION: &str = "1.16.0";

/// Makes sure that everything is there. A peer that is not to be had is said, and
/// its rows will say so, too: the others can still be measured.
pub(super) fn install() -> Result<(), Failure> {
    let missing = |(program, _, question): &&Program| !starts(program, question);
    let by_hand = "install it by hand, then try again";
    for (program, package, _) in NEEDED.iter().filter(missing) {
        apt::install(&[package], program, by_hand)?;
    }
    for (program, package, _) in PEERS.iter().filter(missing) {
        if let Err(failure) = apt::install(&[package], program, by_hand) {
            say(&format!("dev: there will be no {program}: {failure}"));
        }
    }
    Ok(())
}

/// oha below the tools. Where it is not to be had, its rows say so.
pub(super) fn oha() -> PathBuf {
    if let Err(failure) = crates::install("oha", OHA_VERSION) {
        say(&format!("dev: there will be no oha: {failure}"));
    }
    crates::program("oha")
}

/// The versions of all that is compared, for whoever reads the figures later.
pub(super) fn versions() -> String {
    let mut versions = vec![format!("oha {OHA_VERSION}")];
    for (program, package, _) in NEEDED.iter().skip(3).chain(PEERS) {
        let query = Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output();
        if let Ok(said) = query
            && said.status.success()
        {
            versions.push(format!("{program} {}", String::from_utf8_lossy(&said.stdout)));
        }
    }
    versions.join(", ")
}

/// Whether a program can be started, whatever it makes of the question: some have
/// none that they answer with success.
fn starts(program: &str, question: &str) -> bool {
    Command::new(program).arg(question).output().is_ok()
}
