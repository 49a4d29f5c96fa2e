//! `deathstar demo`: a target, an attack on it, and what the report says.

use std::path::PathBuf;
use std::time::Duration;

use deathstar_statemachine::config::Config;

use super::run::execute;
use super::{CommandError, eprintln_quietly, print};
use crate::exit::Exit;
use crate::output::{self, Style};
use crate::target::{TargetArgs, TargetConfig, spawn_on_thread};

/// The demo's target: 4 servers of 5 ms are 800 requests a second, and one
/// stall of 300 ms falls into the ten seconds of the attack.
const SERVICE: Duration = Duration::from_millis(5);
const STALL: Duration = Duration::from_millis(300);
const STALL_EVERY: Duration = Duration::from_secs(5);

pub(super) fn demo(home: Option<PathBuf>, style: Style) -> Result<Exit, CommandError> {
    let args = TargetArgs {
        service: SERVICE,
        servers: 4,
        stall: Some(STALL),
        every: Some(STALL_EVERY),
        ..TargetArgs::default()
    };
    let broken = |error: &dyn std::fmt::Display| CommandError::Broken(format!("the demo's target: {error}"));
    let target = TargetConfig::try_from(args).map_err(|error| broken(&error))?;
    let description = target.to_string();
    let target = spawn_on_thread(target).map_err(|error| broken(&error))?;
    eprintln_quietly(&format!("a target listens on http://{}: {description}", target.address()));
    let text = format!(
        "name: demo\nattacks:\n  - name: home\n    url: http://{}/\n    rate: 200/s\n    duration: 9s\nslo:\n  - p99 < 500ms\n  - errors < 0.1%\n",
        target.address()
    );
    eprintln_quietly(&format!("the config of this run:\n\n{}", indented(&text)));
    let config = Config::from_text(&text, |_| Err("the demo has no files".to_owned()))
        .map_err(|error| broken(&error))?;
    let ended = execute(home, &config, None, false)?;
    let counted = target.stop();
    if let Some(report) = &ended.report {
        print(&output::text::report(report, style))?;
        print(&output::explain::demo(report, &counted, STALL))?;
    }
    Ok(ended.exit)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
