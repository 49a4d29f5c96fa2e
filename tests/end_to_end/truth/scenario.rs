//! Runs against a target of its own process whose truth is known, as often as was asked
//! for: once in every test run, and many times by `cargo dev truth`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::command::{Home, on};

/// Where generators run, and where targets do, so that neither slows the other.
const GENERATOR: &str = "0";

fn targets() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors - 1).to_string()
}

/// How many of the repetitions must come out right.
#[derive(Debug, Clone, Copy)]
pub(super) enum Enough {
    /// Nine in ten: of what noise may move.
    NineInTen,
    All,
}

/// Repeats a scenario as often as `DEATHSTAR_TRUTH` says, once without it, and prints a
/// row for each. `once` gives what was found, as an error where it is wrong.
///
/// # Panics
/// When too few are right. One alone, of which nine in ten must be, may be repeated.
pub(super) fn repeat(name: &str, enough: Enough, mut once: impl FnMut() -> Result<String, String>) {
    let asked = std::env::var("DEATHSTAR_TRUTH").ok();
    let times: u32 = asked.map_or(1, |times| times.parse().expect("DEATHSTAR_TRUTH is a number"));
    let tries = if times == 1 && matches!(enough, Enough::NineInTen) { 3 } else { times };
    let mut wrong = Vec::new();
    // One test at a time has its name before what it prints, and rows are lines.
    println!();
    for number in 1..=tries {
        let found = once();
        let right = if found.is_ok() { "right" } else { "WRONG" };
        println!("| {name} | {number} | {} | {right} |", found.as_ref().unwrap_or_else(|wrong| wrong));
        match found {
            Ok(_) if times == 1 => return,
            Ok(_) => {}
            Err(why) => wrong.push(why),
        }
    }
    let most = match enough {
        Enough::NineInTen if times > 1 => times as usize / 10,
        Enough::NineInTen => 2,
        Enough::All => 0,
    };
    assert!(wrong.len() <= most, "{} of {tries} are wrong: {wrong:#?}", wrong.len());
}

/// A target in a process of its own. Killed when dropped.
#[derive(Debug)]
pub(super) struct Target {
    child: Child,
    pub(super) address: String,
}

impl Target {
    /// `deathstar target` with `knobs`, and no more descriptors than `descriptors`.
    pub(super) fn start(home: &Home, knobs: &str, descriptors: Option<u32>) -> Self {
        let words: Vec<&str> =
            ["target", "--port", "0"].into_iter().chain(knobs.split_whitespace()).collect();
        let mut command = on(&targets(), &home.command(&words));
        if let Some(most) = descriptors {
            let mut limited = Command::new("prlimit");
            limited
                .arg(format!("--nofile={most}:{most}"))
                .arg(command.get_program())
                .args(command.get_args());
            command = limited;
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("listening on http://").expect("a target says where it listens");
        Self { address: address.to_owned(), child }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a config against a target, while no other run does: the first attack of its
/// report.
pub(super) fn attack(
    knobs: &str,
    descriptors: Option<u32>,
    codes: &[i32],
    config: impl FnOnce(&Target) -> String,
) -> Value {
    let home = Home::new();
    let mut target = None;
    let output =
        home.run_alone_on(GENERATOR, || config(target.insert(Target::start(&home, knobs, descriptors))));
    let code = output.code.expect("it ends by itself");
    assert!(codes.contains(&code), "exit code {code}:\n{}\n{}", output.stdout, output.stderr);
    output.report().0["attacks"][0].clone()
}

/// Work for the processor of the generator, from so many processes; ended when dropped.
#[derive(Debug)]
pub(super) struct Busy(Vec<Child>);

impl Busy {
    pub(super) fn beside_the_generator(processes: usize) -> Self {
        let mut spin = Command::new("sh");
        // No longer than there is a test that ends it.
        spin.args(["-c", "while [ -d /proc/$PPID ]; do :; done"]);
        Self((0..processes).map(|_| on(GENERATOR, &spin).spawn().unwrap()).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A number of a report.
pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}
