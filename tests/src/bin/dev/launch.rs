//! Starts the real `deathstar` for the chores that measure it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Failure, cargo, must, root, text_of};

/// Where builds put their programs.
pub(crate) fn release_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    root().join(target).join("release")
}

/// The `deathstar` that the last build made.
pub(crate) fn built_binary() -> Result<PathBuf, Failure> {
    let binary = release_folder().join("deathstar");
    if binary.exists() { Ok(binary) } else { Err(format!("{} was not built", binary.display())) }
}

/// The `deathstar` to measure: the one that `DEATHSTAR_BIN` names, or a new one.
pub(crate) fn binary() -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os("DEATHSTAR_BIN") {
        return Ok(path.into());
    }
    must(cargo().args(["build", "--release", "--locked", "--package", "deathstar", "--bin", "deathstar"]))?;
    built_binary()
}

/// A folder of our own, removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("deathstar-dev-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in here.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.0.join(name);
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process of ours, ended when dropped.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `deathstar run CONFIG`, started, with its home and its words in `folder`.
pub(crate) fn start_run(binary: &Path, folder: &Folder, config: &Path) -> Result<Process, Failure> {
    let log = folder.path().join("run.log");
    let log = fs::File::create(&log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let errors = log.try_clone().map_err(|error| format!("cannot share the log: {error}"))?;
    let child = Command::new(binary)
        .args(["run", "--quiet"])
        .arg(config)
        .env("DEATHSTAR_HOME", folder.path())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn();
    child.map(Process).map_err(|error| format!("cannot start {}: {error}", binary.display()))
}

/// What a run that [`start_run`] started has said.
pub(crate) fn words_of_run(folder: &Folder) -> String {
    fs::read_to_string(folder.path().join("run.log")).unwrap_or_default()
}

/// `deathstar target`, started, and its base URL.
pub(crate) fn start_target(binary: &Path, arguments: &[&str]) -> Result<(Process, String), Failure> {
    listening(Command::new(binary).arg("target").args(arguments))
}

/// A command that ends up as `deathstar target`, started, and the target's base URL.
pub(crate) fn listening(command: &mut Command) -> Result<(Process, String), Failure> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", text_of(command)))?;
    let mut target = Process(child);
    let output = target.0.stdout.take().ok_or("the target has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).map_err(|error| format!("the target is silent: {error}"))?;
    let url = line.split_whitespace().find(|word| word.starts_with("http://"));
    let url =
        url.ok_or_else(|| format!("the target names no URL: {line:?}"))?.trim_end_matches(['/', ':', ',']);
    Ok((target, url.to_owned()))
}
