//! The data directory: the run table, and a lock for every run under way.
//!
//! `DEATHSTAR_HOME` names it; without that it is the system's usual place. A
//! run holds its lock for as long as its process lives, so a run that is not
//! over and whose lock is free was killed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use deathstar_controller::embedded::table::{OpenError, SqliteTable};
use deathstar_statemachine::ids::RunId;
use thiserror::Error;

/// Names the data directory.
pub const HOME_VARIABLE: &str = "DEATHSTAR_HOME";

/// Why the data directory cannot be used.
#[derive(Debug, Error)]
pub enum HomeError {
    /// There is no home directory to put it in.
    #[error("there is no home directory to keep runs in; set {HOME_VARIABLE}")]
    Nowhere,
    /// The directory cannot be made or written to.
    #[error("the data directory {} cannot be used: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process works on the run.
    #[error("run {run} is under way in another process; choose another --id")]
    Busy {
        /// The run.
        run: RunId,
    },
    /// The run table cannot be opened.
    #[error(transparent)]
    Table(#[from] OpenError),
}

/// The data directory.
#[derive(Debug, Clone)]
pub struct Home {
    path: PathBuf,
}

/// A run's lock, held until it is dropped.
#[derive(Debug)]
pub struct RunLock {
    file: File,
    path: PathBuf,
}

impl Home {
    /// The data directory at `path`, or the usual one; made when missing.
    ///
    /// # Errors
    /// When there is nowhere to put it, or it cannot be made.
    pub fn open(path: Option<PathBuf>) -> Result<Self, HomeError> {
        let usual =
            || directories::ProjectDirs::from("", "", "deathstar").map(|dirs| dirs.data_dir().to_owned());
        let path = path.or_else(usual).ok_or(HomeError::Nowhere)?;
        let home = Self { path };
        fs::create_dir_all(home.locks()).map_err(|source| home.error(source))?;
        Ok(home)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the run table.
    ///
    /// # Errors
    /// When it cannot be read and written.
    pub fn table(&self) -> Result<SqliteTable, HomeError> {
        Ok(SqliteTable::open(&self.path.join("runs.db"))?)
    }

    /// Takes a run's lock for this process.
    ///
    /// # Errors
    /// When the lock file cannot be made, or another process has it.
    pub fn lock(&self, run: &RunId) -> Result<RunLock, HomeError> {
        let path = self.locks().join(run.as_str());
        let file = File::create(&path).map_err(|source| self.error(source))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => HomeError::Busy { run: run.clone() },
            TryLockError::Error(error) => self.error(error),
        })?;
        Ok(RunLock { file, path })
    }

    /// Whether a process holds the run's lock.
    #[must_use]
    pub fn is_alive(&self, run: &RunId) -> bool {
        File::open(self.locks().join(run.as_str()))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    fn locks(&self) -> PathBuf {
        self.path.join("running")
    }

    fn error(&self, source: io::Error) -> HomeError {
        HomeError::Directory { path: self.path.clone(), source }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // The file goes first: whoever still opens it finds it unlocked.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_alive_as_long_as_its_lock_is_held() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(Some(directory.path().join("a/b"))).unwrap();
        let run: RunId = "a-run".parse().unwrap();
        assert!(!home.is_alive(&run));
        let lock = home.lock(&run).unwrap();
        assert!(home.is_alive(&run));
        assert!(matches!(home.lock(&run), Err(HomeError::Busy { .. })), "one process at a time");
        drop(lock);
        assert!(!home.is_alive(&run));
    }
}
