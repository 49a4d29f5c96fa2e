//! The emulator of AWS, in a Python environment of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{answers, apt, succeeds};
use crate::{Failure, must, root, say};

/// The environment's folder below the tools, named for what it holds.
const ENVIRONMENT: &str = "ministack";

/// Asks Python whether it is new enough, and can make an environment with pip.
const FITS: &str = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))";

/// Makes sure that the emulator is there, as the lock file says.
pub(super) fn install(tools: &Path) -> Result<(), Failure> {
    let lock_file = root().join("tests/emulator/requirements.txt");
    let lock = fs::read_to_string(&lock_file)
        .map_err(|error| format!("cannot read {}: {error}", lock_file.display()))?;
    let environment = tools.join(ENVIRONMENT);
    // Written when all is installed: what it says is what there is.
    let stamp = environment.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) && starts(&environment) {
        return Ok(());
    }
    if !python_fits() {
        say("dev: Python's venv is missing, and the tests need it for the emulator of AWS");
        let by_hand = "install Python 3.10 or later with its venv and pip by hand, then try again";
        apt::install(&["python3", "python3-venv"], "Python with venv", by_hand)?;
        if !python_fits() {
            return Err(format!("the system's Python is older than 3.10 or has no venv; {by_hand}"));
        }
    }
    must(quiet(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment)))?;
    // The hashes are checked, and no package runs code of its own to install.
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let locked = ["--require-hashes", "--only-binary", ":all:", "--requirement"];
    must(quiet(Command::new(python(&environment)).args(pip).args(locked).arg(&lock_file)))?;
    if !starts(&environment) {
        return Err(format!("pip brought no emulator to {}", environment.display()));
    }
    fs::write(&stamp, lock).map_err(|error| format!("cannot write {}: {error}", stamp.display()))
}

fn python_fits() -> bool {
    answers("python3") && succeeds(Command::new("python3").args(["-c", FITS]))
}

/// Whether the environment's Python runs (the system's may have gone or
/// changed since) and the emulator is in it.
fn starts(environment: &Path) -> bool {
    environment.join("bin/ministack").exists()
        && succeeds(Command::new(python(environment)).args(["-c", "import hypercorn"]))
}

fn python(environment: &Path) -> std::path::PathBuf {
    environment.join("bin/python")
}

/// What an installer says goes where progress goes.
fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(std::io::stderr())
}
