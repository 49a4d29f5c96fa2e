//! `package`: the two functions as Lambda takes them.
//!
//! A package is a zip with the program at its root, called `bootstrap`, for the
//! runtime `provided.al2023`. The controller's carries the worker's, so that it
//! can create workers wherever it runs.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::launch::release_folder;
use crate::{Failure, cargo, must, no_arguments};

/// The newest C library that the functions may need: Amazon Linux 2023's.
const GLIBC: (u32, u32) = (2, 34);

/// The most that each package may weigh, in MiB.
const LIMITS: [(&str, u64); 2] = [("worker.zip", 7), ("controller.zip", 16)];

/// Slow to make and small: a package is made once and uploaded often.
const SMALLEST: i64 = 9;

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    no_arguments(arguments)?;
    must(cargo().args(["build", "--workspace", "--release", "--locked", "--bins"]))?;
    let folder = make()?;
    for (name, limit) in LIMITS {
        let path = folder.join(name);
        let bytes = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.len();
        println!(
            "{:<16} {:>6.2} MiB  (limit {limit} MiB)  {}",
            name,
            bytes as f64 / 1_048_576.0,
            path.display()
        );
        if bytes > limit << 20 {
            return Err(format!("{name} has {bytes} bytes; the limit is {limit} MiB"));
        }
    }
    Ok(())
}

/// Makes both packages of the programs that were built, where `deploy` looks for
/// them.
pub(crate) fn make() -> Result<PathBuf, Failure> {
    let built = release_folder();
    let folder = built.parent().unwrap_or(&built).join("packages");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let worker = folder.join("worker.zip");
    pack(&worker, &[("bootstrap", &stripped(&built, &folder, "deathstar-worker")?)])?;
    let controller = stripped(&built, &folder, "deathstar-controller")?;
    pack(&folder.join("controller.zip"), &[("bootstrap", &controller), ("worker.zip", &worker)])?;
    Ok(folder)
}

/// A program without symbols; the one that was built keeps them.
fn stripped(built: &Path, folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let path = folder.join(name);
    let status = Command::new("strip").arg("-o").arg(&path).arg(built.join(name)).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("strip failed on {name}: {status}")),
        Err(error) => return Err(format!("cannot start strip, which comes with the C compiler: {error}")),
    }
    let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let newest = newest_glibc(&bytes);
    if newest > GLIBC {
        return Err(format!(
            "{name} needs glibc {}.{}, and Amazon Linux 2023 has {}.{}: build it on an older system",
            newest.0, newest.1, GLIBC.0, GLIBC.1
        ));
    }
    Ok(path)
}

/// The newest version of the C library that a program asks for.
fn newest_glibc(program: &[u8]) -> (u32, u32) {
    const MARK: &[u8] = b"GLIBC_";
    let versions = program.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let version = |(at, _): (usize, &[u8])| {
        let rest = &program[at + MARK.len()..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
        let (major, minor) = std::str::from_utf8(&rest[..end]).ok()?.split_once('.')?;
        Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
    };
    versions.filter_map(version).max().unwrap_or_default()
}

fn pack(to: &Path, files: &[(&str, &PathBuf)]) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", to.display());
    let mut zip = ZipWriter::new(File::create(to).map_err(|error| failed(&error))?);
    for (name, path) in files {
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        // What is a package already gains nothing from another pressing.
        let packed = Path::new(name).extension().is_some_and(|extension| extension == "zip");
        let method = if packed { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        let level = if packed { None } else { Some(SMALLEST) };
        let options = SimpleFileOptions::default().compression_method(method).compression_level(level);
        let options = options.unix_permissions(0o755);
        zip.start_file(*name, options).map_err(|error| failed(&error))?;
        zip.write_all(&bytes).map_err(|error| failed(&error))?;
    }
    zip.finish().map_err(|error| failed(&error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_c_library_is_found() {
        let program = b"\0GLIBC_2.2.5\0x\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0";
        assert_eq!(newest_glibc(program), (2, 34));
        assert_eq!(newest_glibc(b"nothing"), (0, 0));
    }
}
