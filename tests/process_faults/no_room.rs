//! A data directory that cannot be used, and a disk that is full.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bench::{Home, constant, deathstar, stderr, target};

#[test]
fn a_data_directory_that_cannot_be_used_is_told() {
    let home = Home::new();
    let target = target(Duration::from_millis(1));
    let config = home.config(&constant(&target, 10, 1));
    let file = home.path().join("a-file");
    std::fs::write(&file, "not a directory").unwrap();
    // Root may write anywhere that permissions guard; here nobody can.
    let nowhere: [PathBuf; 3] = ["/proc/nowhere".into(), file.join("below"), "/dev/null/deathstar".into()];
    for directory in nowhere {
        let config = config.to_str().unwrap();
        for arguments in [&["run", config][..], &["list"], &["results"], &["stop", "a-run"]] {
            let output = Command::new(deathstar())
                .args(arguments)
                .env("DEATHSTAR_HOME", &directory)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(4), "{arguments:?}: {said}");
            assert!(output.stdout.is_empty(), "{arguments:?}");
            assert!(said.contains("error: ") && said.contains(directory.to_str().unwrap()), "{said}");
            assert!(said.contains("hint: ") && said.contains("DEATHSTAR_HOME"), "{said}");
        }
    }
    assert_eq!(target.stop().received, 0, "nothing was sent");
}

#[test]
fn a_table_that_is_none_is_told_and_left_alone() {
    let home = Home::new();
    let table = home.path().join("runs.db");
    std::fs::write(&table, "This is no database, but somebody may need it. ".repeat(100)).unwrap();
    let before = std::fs::read(&table).unwrap();
    let output = home.call(&["list"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("runs.db") && stderr(&output).contains("hint: "), "{}", stderr(&output));
    assert_eq!(std::fs::read(&table).unwrap(), before);
}

/// The disk fills up: no file may grow beyond a limit, and writing more fails.
/// The definition tries Judge again for a minute, and TearDown and Report for
/// seconds, in case the table comes back.
#[test]
fn a_full_disk_ends_a_run_with_an_error_that_names_the_table() {
    let (home, target) = (Home::new(), target(Duration::from_millis(1)));
    let config = home.config(&constant(&target, 200, 6));
    let output = limited(&home, &config, 400);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("runs.db"), "{said}");
    assert!(said.contains("error: run full failed"), "{said}");
    assert!(output.stdout.is_empty(), "there is no report");
    assert!(target.stop().received > 0, "it had begun");
    // Once there is room again, what was written down can be read.
    assert_eq!(home.state("full"), "interrupted");
    let results = home.call(&["results", "full"]);
    assert_eq!(results.status.code(), Some(3), "{}", stderr(&results));
}

/// A run that may write files of so many blocks of 512 bytes.
fn limited(home: &Home, config: &Path, blocks: u32) -> std::process::Output {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(deathstar())
        .args(["run", "--id", "full"])
        .arg(config)
        .env("DEATHSTAR_HOME", home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}
