//! Brings the tools that tests need and cargo does not: the validator of the
//! States Language, by npm, the emulator of AWS, by Python, and from Debian a web
//! server with what reads its machine.

pub(crate) mod apt;
pub(crate) mod crates;
mod debian;
mod npm;
mod python;

use std::process::{Command, Stdio};

use crate::{Failure, no_arguments, root};

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    no_arguments(arguments)?;
    install()
}

/// Makes sure that every tool is there.
pub(crate) fn install() -> Result<(), Failure> {
    let tools = root().join("target/tools");
    npm::install(&tools)?;
    python::install(&tools)?;
    debian::install(&tools)
}

/// Whether a program can be started.
pub(crate) fn answers(program: &str) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

/// Whether a command ends well. What it says is nobody's concern.
fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
