//! `aws`: how long AWS mode takes, on the emulator, and how heavy its packages
//! are; and whether load dips where one slice hands over to the next.
//!
//! The same tests as in `cargo dev test`, alone and three times over, so that their
//! figures say something. Those of `tests/measured/aws.txt` are from here.

use crate::faults::table;
use crate::memory::where_and_when;
use crate::{Failure, no_arguments, suite};

/// How often each is done.
const TIMES: &str = "3";

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    no_arguments(arguments)?;
    let mut command = suite::ready()?;
    command.args(["--test", "emulator", "measured::", "--", "--nocapture", "--test-threads=1"]);
    command.env("DEATHSTAR_MEASURE", TIMES);
    let (rows, success) = table(&mut command, |line| line.starts_with("| "))?;
    println!("\nAWS mode on the emulator, on {}\n", where_and_when());
    println!("| what | times | least | median | most | line |");
    println!("|---|---:|---:|---:|---:|---|");
    rows.iter().for_each(|row| println!("{row}"));
    if success { Ok(()) } else { Err("there are failures".to_owned()) }
}
