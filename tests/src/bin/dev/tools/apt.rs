//! Packages of the system, where it is Debian or one of its kin.

use std::process::{Command, Stdio};

use super::answers;
use crate::{Failure, must};

/// Installs `packages`, for want of `what`. `by_hand` says what to do where
/// that is not possible.
pub(crate) fn install(packages: &[&str], what: &str, by_hand: &str) -> Result<(), Failure> {
    if !answers("apt-get") {
        return Err(format!("{what} is missing, and so is apt-get to install it with; {by_hand}"));
    }
    let apt = apt_get(what, by_hand)?;
    must(&mut apt(&["update"]))?;
    must(&mut apt(&[&["install", "-y", "--no-install-recommends"], packages].concat()))
        .map_err(|failure| format!("{failure}; {by_hand}"))
}

/// Learns what packages there are.
pub(super) fn update() -> Result<(), Failure> {
    let apt = apt_get("the list of packages", "run apt-get update by hand, then try again")?;
    must(&mut apt(&["update"]))
}

/// `apt-get` with the rights that it needs.
fn apt_get(what: &str, by_hand: &str) -> Result<impl Fn(&[&str]) -> Command, Failure> {
    let sudo = if is_root() {
        None
    } else if answers("sudo") {
        Some("sudo")
    } else {
        return Err(format!(
            "{what} is missing, and only root could install it: there is no sudo; {by_hand}"
        ));
    };
    Ok(move |arguments: &[&str]| {
        let mut command = sudo.map_or_else(|| Command::new("apt-get"), Command::new);
        if sudo.is_some() {
            command.arg("apt-get");
        }
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        // Its words are not the tests': they go where progress goes.
        command.stdout(std::io::stderr());
        command
    })
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
