//! Programs of Debian that tests run and nobody need install: a web server, and what
//! reads a machine for Prometheus. Their packages are unpacked below the tools, since
//! installed they would be services that start by themselves.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{answers, apt};
use crate::{Failure, must};

/// The packages, and where in them the program is.
const PROGRAMS: [(&str, &str); 2] =
    [("nginx", "usr/sbin/nginx"), ("prometheus-node-exporter", "usr/bin/prometheus-node-exporter")];

/// Makes sure that they are there.
pub(super) fn install(tools: &Path) -> Result<(), Failure> {
    let folder = tools.join("debian");
    for (package, program) in PROGRAMS {
        if folder.join(program).exists() {
            continue;
        }
        if !answers("apt-get") {
            return Err(format!(
                "{package} is missing, and so is apt-get to fetch it with; put its program at {}",
                folder.join(program).display()
            ));
        }
        fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        // What is known of the packages may be too old, or was never fetched.
        if must(&mut download(&folder, package)).is_err() {
            apt::update()?;
            must(&mut download(&folder, package))?;
        }
        unpack(&folder, package)?;
    }
    Ok(())
}

fn download(folder: &Path, package: &str) -> Command {
    let mut command = Command::new("apt-get");
    command.args(["download", package]).current_dir(folder).stdin(Stdio::null()).stdout(std::io::stderr());
    command
}

fn unpack(folder: &Path, package: &str) -> Result<(), Failure> {
    let broken = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let prefix = format!("{package}_");
    for entry in fs::read_dir(folder).map_err(broken)? {
        let path = entry.map_err(broken)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(&prefix) && path.extension().is_some_and(|kind| kind == "deb") {
            must(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(folder))?;
            fs::remove_file(&path).map_err(broken)?;
        }
    }
    Ok(())
}
