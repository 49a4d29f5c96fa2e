//! The rules of the house, read off the sources: which crate may know which,
//! what may lie where, and what a file may not hold.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Every crate of the workspace, and the crates of ours that it may name.
const CRATES: &[(&str, &str, &[&str])] = &[
    ("statemachine", "deathstar-statemachine", &[]),
    ("worker", "deathstar-worker", &["deathstar-statemachine"]),
    ("controller", "deathstar-controller", &["deathstar-statemachine"]),
    ("client", "deathstar", &["deathstar-controller", "deathstar-statemachine", "deathstar-worker"]),
    (
        "tests",
        "deathstar-tests",
        &["deathstar", "deathstar-controller", "deathstar-statemachine", "deathstar-worker"],
    ),
];

/// What may lie at the top: the house, and what tools insist on finding there.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "client",
    "clippy.toml",
    "controller",
    "deny.toml",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "statemachine",
    "tests",
    "worker",
];

/// What the pure crate may never reach, itself or through others.
const IMPURE: &[&str] = &["hyper", "mio", "reqwest", "rusqlite", "rustix", "tokio"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above this crate").to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust source of a crate, by its path from the root. What cargo-fuzz, started
/// by hand, builds below the worker is none.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    assert!(!found.is_empty(), "{folder} has no sources");
    let named = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(), text)
    };
    found.into_iter().map(named).collect()
}

/// Every source of the workspace but this one, which names what it forbids.
fn all_sources() -> Vec<(String, String)> {
    let all = CRATES.iter().flat_map(|(folder, ..)| sources(folder));
    all.filter(|(path, _)| path != "tests/house.rs").collect()
}

/// The keys of a manifest's dependency tables: `dependencies` only, or those
/// for tests and build scripts, too.
fn dependencies(manifest: &str, only_its_own: bool) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let kind = table.rsplit('.').next().unwrap_or(table);
            let of_any_kind = matches!(kind, "dependencies" | "dev-dependencies" | "build-dependencies");
            inside = if only_its_own { kind == "dependencies" } else { of_any_kind };
            // `[dependencies.name]` is a table of one dependency.
            if let Some((kind, name)) = table.rsplit_once('.')
                && kind.ends_with("dependencies")
                && (!only_its_own || !kind.ends_with("-dependencies"))
            {
                names.insert(name.to_owned());
            }
        } else if inside
            && let Some((key, _)) = line.split_once('=')
            && !line.starts_with('#')
        {
            let key = key.trim();
            names.insert(key.split('.').next().unwrap_or(key).trim_matches('"').to_owned());
        }
    }
    names
}

/// Lines of a source that name an AWS SDK, unless it is an adapter: a module
/// named `aws`.
fn strays_into_aws(path: &str, text: &str) -> Vec<String> {
    let adapter = Path::new(path).with_extension("").iter().any(|part| part == "aws");
    if adapter {
        return Vec::new();
    }
    let names_it = |line: &&str| line.contains("aws_sdk_") || line.contains("aws_config");
    text.lines().filter(names_it).map(|line| format!("{path}: {}", line.trim())).collect()
}

/// Lines that leave something undone: unfinished code, or a test that is not run.
fn unfinished(path: &str, text: &str) -> Vec<String> {
    let marks = ["todo!", "unimplemented!", "#[ignore"];
    let has_mark = |line: &&str| marks.iter().any(|mark| line.contains(mark));
    text.lines().filter(has_mark).map(|line| format!("{path}: {}", line.trim())).collect()
}

/// Packages of a lock file by name, each with the names of what it needs.
fn locked_packages(lock: &str) -> BTreeMap<String, BTreeSet<String>> {
    let quoted = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
    let mut packages = BTreeMap::<String, BTreeSet<String>>::new();
    let mut current = String::new();
    for line in lock.lines() {
        if line.starts_with("name = ") {
            current = quoted(line);
        } else if line.starts_with(" \"") {
            // `"name"`, or `"name version"` where there are several.
            let name = quoted(line).split(' ').next().unwrap_or_default().to_owned();
            packages.entry(current.clone()).or_default().insert(name);
        }
    }
    packages
}

#[test]
fn dependencies_point_one_way() {
    for (folder, name, may) in CRATES {
        let manifest = read(format!("{folder}/Cargo.toml"));
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{folder} is not {name}");
        let ours: BTreeSet<String> = dependencies(&manifest, false)
            .into_iter()
            .filter(|dependency| dependency == "deathstar" || dependency.starts_with("deathstar-"))
            .collect();
        let may: BTreeSet<String> = may.iter().map(ToString::to_string).collect();
        assert!(ours.is_subset(&may), "{name} may name {may:?}, and names {ours:?}");
    }
}

#[test]
fn controller_and_worker_never_name_each_other() {
    for (folder, other) in [("controller", "deathstar_worker"), ("worker", "deathstar_controller")] {
        for (path, text) in sources(folder) {
            assert!(!text.contains(other), "{path} names {other}");
            assert!(!text.contains(&other.replace('_', "-")), "{path} names {other}");
        }
    }
}

#[test]
fn the_state_machine_is_pure() {
    let packages = locked_packages(&read("Cargo.lock"));
    assert!(packages.contains_key("reqwest"), "the lock file is read");
    // Its own dependencies and all that these bring along; those of its tests
    // do not count.
    let mut reached = BTreeSet::new();
    let mut next: Vec<String> = dependencies(&read("statemachine/Cargo.toml"), true).into_iter().collect();
    while let Some(name) = next.pop() {
        if reached.insert(name.clone()) {
            next.extend(packages.get(&name).into_iter().flatten().cloned());
        }
    }
    assert!(reached.contains("serde_core"), "what dependencies bring along is followed: {reached:?}");
    for name in &reached {
        let impure = IMPURE.contains(&name.as_str()) || name.starts_with("aws-");
        assert!(!impure, "statemachine reaches {name}");
    }
    for (path, text) in sources("statemachine/src") {
        for word in ["std::fs", "std::net", "std::thread", "std::process", "Instant::now", "SystemTime"] {
            assert!(!text.contains(word), "{path} names {word}: it does no I/O and reads no clock");
        }
    }
}

#[test]
fn only_modules_named_aws_name_an_aws_sdk() {
    let strays: Vec<String> =
        all_sources().iter().flat_map(|(path, text)| strays_into_aws(path, text)).collect();
    assert!(strays.is_empty(), "{strays:#?}");
}

#[test]
fn the_check_for_aws_tells_adapters_from_others() {
    let line = "use aws_sdk_lambda::Client;";
    assert!(strays_into_aws("controller/src/aws.rs", line).is_empty());
    assert!(strays_into_aws("controller/src/aws/lambda.rs", line).is_empty());
    assert_eq!(
        strays_into_aws("controller/src/plan.rs", line),
        ["controller/src/plan.rs: use aws_sdk_lambda::Client;"]
    );
    assert_eq!(strays_into_aws("worker/src/laws/sink.rs", "    aws_config::load()").len(), 1);
    assert!(strays_into_aws("controller/src/plan.rs", "let aws = 1;").is_empty());
}

#[test]
fn nothing_is_left_unfinished() {
    let unfinished: Vec<String> =
        all_sources().iter().flat_map(|(path, text)| unfinished(path, text)).collect();
    assert!(unfinished.is_empty(), "{unfinished:#?}");
}

#[test]
fn the_check_for_unfinished_code_finds_it() {
    let text = "fn a() {\n    todo!()\n}\n#[ignore = \"slow\"]\nfn b() { unimplemented!() }\nfn c() {}\n";
    assert_eq!(unfinished("a.rs", text).len(), 3);
}

#[test]
fn every_crate_obeys_the_lints_of_the_workspace() {
    for (folder, ..) in CRATES {
        let manifest = read(format!("{folder}/Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{folder}/Cargo.toml");
    }
    let members: BTreeSet<String> = read("Cargo.toml")
        .lines()
        .find_map(|line| line.strip_prefix("members = [")?.strip_suffix(']'))
        .expect("the workspace names its members on one line")
        .split(',')
        .map(|member| member.trim().trim_matches('"').to_owned())
        .collect();
    let known: BTreeSet<String> = CRATES.iter().map(|(folder, ..)| (*folder).to_owned()).collect();
    assert_eq!(members, known, "these tests know every crate");
}

#[test]
fn what_is_fuzzed_is_what_is_built() {
    // A workspace of its own has a lock file of its own.
    let parser = |lock: &str| {
        let lock = read(lock);
        let mut lines = lock.lines().skip_while(|line| *line != "name = \"httparse\"");
        lines.nth(1).expect("httparse is locked").to_owned()
    };
    let fuzzed = parser("worker/fuzz/Cargo.lock");
    assert!(fuzzed.starts_with("version = "), "{fuzzed}");
    assert_eq!(fuzzed, parser("Cargo.lock"), "`cp Cargo.lock worker/fuzz/`, then `cargo dev fuzz`");
}

#[test]
fn only_what_the_design_names_lies_at_the_top() {
    for name in top_level() {
        let known = TOP_LEVEL.contains(&name.as_str()) || name.starts_with('.');
        assert!(known, "{name} does not belong at the top of the workspace");
    }
}

/// What is kept at the top. Git knows what is kept; a source archive has
/// nothing else but what building leaves there.
fn top_level() -> BTreeSet<String> {
    let git = Command::new("git").arg("-C").arg(root()).arg("ls-files").output();
    let names: BTreeSet<String> = match git {
        Ok(Output { status, stdout, .. }) if status.success() => {
            let paths = String::from_utf8_lossy(&stdout).into_owned();
            paths.lines().filter_map(|path| path.split('/').next()).map(ToOwned::to_owned).collect()
        }
        _ => {
            let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name());
            entries.map(|name| name.to_string_lossy().into_owned()).filter(|name| name != "target").collect()
        }
    };
    assert!(names.contains("Cargo.toml"), "{names:?}");
    names
}

#[test]
fn the_readme_names_the_two_commands_that_matter() {
    let readme = read("README.md");
    for command in ["cargo run --release -- demo", "cargo dev test"] {
        assert!(readme.contains(command), "README.md does not say `{command}`");
    }
}

mod definition {
    //! The definition, in the eyes of the validator that knows the language.

    use super::*;

    const DEFINITION: &str = "statemachine/definition/attack.asl.json";

    /// Lets the validator judge a definition.
    fn validate(name: &str, definition: &str) -> Output {
        let validator = root().join("target/tools/node_modules/.bin/asl-validator");
        assert!(
            validator.exists(),
            "asl-validator is missing; `cargo dev test` installs it, and then runs this test"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, definition).unwrap();
        let output = Command::new("node").arg(validator).arg("--json-path").arg(path).output();
        output.expect("node is missing; `cargo dev test` installs it")
    }

    fn substituted() -> String {
        let text = read(DEFINITION);
        assert!(text.contains("${ControllerFunction}"));
        text.replace("${ControllerFunction}", "deathstar-controller")
    }

    #[test]
    fn is_valid() {
        let output = validate("attack.asl.json", &substituted());
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    #[test]
    fn is_invalid_once_broken() {
        let whole = substituted();
        let broken = [
            // A state that is not there,
            whole.replace("\"Next\": \"TearDown\"", "\"Next\": \"Teardown\""),
            // a type that is none,
            whole.replacen("\"Type\": \"Parallel\"", "\"Type\": \"Paralel\"", 1),
            // a machine without a start.
            whole.replacen("\"StartAt\": \"Plan\",", "", 1),
        ];
        for definition in broken {
            assert_ne!(definition, whole);
            let output = validate("broken.asl.json", &definition);
            assert!(!output.status.success(), "the validator lets this pass:\n{definition}");
        }
    }
}
