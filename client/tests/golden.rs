//! Help and reports as files, so that a change of words is seen in review.
//! `cargo dev bless` writes them anew.

// Help is of a build that has everything.
#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::path::Path;
use std::process::Command;

fn check(name: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, got).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        got == expected,
        "{} differs; `cargo dev bless` writes it anew, for review. It is now:\n{got}",
        path.display()
    );
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_deathstar"))
        .args(arguments)
        // clap wraps to the terminal's width, and shows a variable's value.
        .env("COLUMNS", "100")
        .env_remove("DEATHSTAR_HOME")
        .env_remove("DEATHSTAR_ON")
        .env_remove("DEATHSTAR_STACK")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    assert!(output.stderr.is_empty(), "help is what was asked for, so it goes to standard output");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_of_every_command() {
    let mut all = String::new();
    for command in [
        "",
        "run",
        "submit",
        "watch",
        "plan",
        "results",
        "list",
        "stop",
        "schedule",
        "schedule add",
        "schedule list",
        "schedule remove",
        "leaks",
        "deploy",
        "destroy",
        "demo",
        "target",
        "schema",
    ] {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        all += &format!("$ deathstar {}\n\n{}\n", arguments.join(" "), help(&arguments));
    }
    check("help.txt", &all);
}
