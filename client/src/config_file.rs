//! Reads a config file and the body files it names.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use deathstar_statemachine::config::{Config, ConfigError};
use thiserror::Error;

/// The largest config file and body file, in bytes.
const LARGEST: u64 = 16 << 20;

/// Why a config file cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ConfigFileError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is a directory; name the config file in it", path.display())]
    Directory { path: PathBuf },
    #[error("{} is not UTF-8 text: byte {at} starts no character", path.display())]
    NotText { path: PathBuf, at: usize },
    #[error("{} has more than {LARGEST} bytes, the limit", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} cannot be used\n{error}", path.display())]
    Config { path: PathBuf, error: ConfigError },
}

/// Reads a config; `-` is standard input.
///
/// # Errors
/// When it cannot be read, or does not hold.
pub(crate) fn read(path: &Path) -> Result<Config, ConfigFileError> {
    let bytes = if path == Path::new("-") { limited(path, io::stdin()) } else { read_file(path) }?;
    let text = String::from_utf8(bytes).map_err(|error| ConfigFileError::NotText {
        path: path.to_owned(),
        at: error.utf8_error().valid_up_to(),
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let body_file = |name: &str| read_file(&folder.join(name)).map_err(|error| error.to_string());
    Config::from_text(&text, body_file)
        .map_err(|error| ConfigFileError::Config { path: path.to_owned(), error })
}

fn read_file(path: &Path) -> Result<Vec<u8>, ConfigFileError> {
    if path.is_dir() {
        return Err(ConfigFileError::Directory { path: path.to_owned() });
    }
    let file =
        fs::File::open(path).map_err(|source| ConfigFileError::Read { path: path.to_owned(), source })?;
    limited(path, file)
}

fn limited(path: &Path, input: impl Read) -> Result<Vec<u8>, ConfigFileError> {
    let mut bytes = Vec::new();
    input
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ConfigFileError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > LARGEST {
        return Err(ConfigFileError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}
