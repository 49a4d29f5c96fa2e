//! Brings the tools that tests need and cargo does not: npm, and with it the
//! validator of the States Language.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Failure, must, root, say};

/// The validator's package and the version whose rules we follow.
const VALIDATOR: &str = "asl-validator";
const VALIDATOR_VERSION: &str = "4.0.0";

/// Makes sure that every tool is there.
pub(crate) fn install() -> Result<(), Failure> {
    let tools = root().join("target/tools");
    if installed(&tools) {
        return Ok(());
    }
    if !answers("npm") || !answers("node") {
        install_npm()?;
    }
    fs::create_dir_all(&tools).map_err(|error| format!("cannot make {}: {error}", tools.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(&tools)
        .arg(format!("{VALIDATOR}@{VALIDATOR_VERSION}"))
        .stdin(Stdio::null());
    // npm's words are not the tests': they go where progress goes.
    npm.stdout(std::io::stderr());
    must(&mut npm)?;
    if installed(&tools) {
        Ok(())
    } else {
        Err(format!("npm brought no {VALIDATOR} {VALIDATOR_VERSION} to {}", tools.display()))
    }
}

/// Whether the validator is there, in its version, and node to run it.
fn installed(tools: &Path) -> bool {
    let package = tools.join("node_modules").join(VALIDATOR).join("package.json");
    let version = format!("\"version\": \"{VALIDATOR_VERSION}\"");
    tools.join("node_modules/.bin").join(VALIDATOR).exists()
        && fs::read_to_string(package).is_ok_and(|text| text.contains(&version))
        && answers("node")
}

/// Whether a program can be started.
fn answers(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn install_npm() -> Result<(), Failure> {
    say("dev: npm is missing, and the tests need it to check the state machine's definition");
    let by_hand = "install npm and node 18 or later by hand, then try again";
    if !answers("apt-get") {
        return Err(format!("npm is missing, and so is apt-get to install it with; {by_hand}"));
    }
    let sudo = if is_root() {
        None
    } else if answers("sudo") {
        Some("sudo")
    } else {
        return Err(format!("npm is missing, and only root could install it: there is no sudo; {by_hand}"));
    };
    let apt = |arguments: &[&str]| {
        let mut command = sudo.map_or_else(|| Command::new("apt-get"), Command::new);
        if sudo.is_some() {
            command.arg("apt-get");
        }
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        command.stdout(std::io::stderr());
        must(&mut command)
    };
    apt(&["update"])?;
    apt(&["install", "-y", "--no-install-recommends", "npm", "nodejs"])
        .map_err(|failure| format!("{failure}; {by_hand}"))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
