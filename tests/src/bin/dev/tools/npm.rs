//! The validator of the States Language.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{answers, apt};
use crate::{Failure, must, say};

/// The validator's package and the version whose rules we follow.
const VALIDATOR: &str = "asl-validator";
const VALIDATOR_VERSION: &str = "4.0.0";

/// Makes sure that the validator is there.
pub(super) fn install(tools: &Path) -> Result<(), Failure> {
    if installed(tools) {
        return Ok(());
    }
    if !answers("npm") || !answers("node") {
        say("dev: npm is missing, and the tests need it to check the state machine's definition");
        let by_hand = "install npm and node 18 or later by hand, then try again";
        apt::install(&["npm", "nodejs"], "npm", by_hand)?;
    }
    fs::create_dir_all(tools).map_err(|error| format!("cannot make {}: {error}", tools.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(tools)
        .arg(format!("{VALIDATOR}@{VALIDATOR_VERSION}"))
        .stdin(Stdio::null());
    // npm's words are not the tests': they go where progress goes.
    npm.stdout(std::io::stderr());
    must(&mut npm)?;
    if installed(tools) {
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
