//! Programs from the Rust registry.

use std::path::PathBuf;
use std::process::Command;

use crate::{Failure, cargo, must, root};

/// Where a program is, if it is installed.
pub(crate) fn program(name: &str) -> PathBuf {
    root().join("target/tools/bin").join(name)
}

/// Makes sure that a program is there, in its version.
pub(crate) fn install(name: &str, version: &str) -> Result<(), Failure> {
    let said = Command::new(program(name)).arg("--version").output();
    if said.is_ok_and(|said| said.stdout.trim_ascii() == format!("{name} {version}").as_bytes()) {
        return Ok(());
    }
    let mut install = cargo();
    install.args(["install", name, "--locked", "--force", "--version", &format!("={version}"), "--root"]);
    // Its words are not the task's: they go where progress goes.
    must(install.arg(root().join("target/tools")).stdout(std::io::stderr()))
}
