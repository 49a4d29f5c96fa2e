//! What a run is doing, live, on standard error; nothing when that is no
//! terminal.
//!
//! It reads the windows that workers write down, as `watch` will on AWS, so it
//! shows what is safely stored and costs the workers nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use deathstar_controller::ports::Table;
use deathstar_statemachine::histogram::Histogram;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::plan::Plan;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock;

/// How often the display changes.
const EVERY: Duration = Duration::from_millis(500);

/// Rates and percentiles are of the latest seconds that are whole.
const RECENT_S: u64 = 3;

/// Windows of the last seconds are read again, since late answers change them.
const REREAD_S: u64 = 10;

/// Windows that are read at once.
const PAGE: u32 = 2000;

/// The live display of a run.
#[derive(Debug)]
pub(crate) struct Progress {
    run: RunId,
    bar: ProgressBar,
    duration_s: u64,
    counts: RefCell<Counts>,
}

/// By window start and shard: requests that ended, and those of them that
/// failed. Small enough to keep for the whole run.
#[derive(Debug, Default)]
struct Counts {
    windows: BTreeMap<(u64, u32), (u64, u64)>,
    t0: Option<jiff::Timestamp>,
}

impl Progress {
    /// Starts the display, unless it is unwanted or there is no terminal.
    pub(crate) fn start(run: &RunId, plan: &Plan, quiet: bool) -> Self {
        let duration_s = plan.load_end().div_ceil(1_000_000);
        let shown = !quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(duration_s), target);
        let style = ProgressStyle::with_template("{bar:30} {pos:>4}/{len} s  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message("starting");
        Self { run: run.clone(), bar, duration_s, counts: RefCell::default() }
    }

    /// Follows the run for ever; drop the future to stop.
    pub(crate) async fn follow(&self, table: &impl Table) {
        loop {
            tokio::time::sleep(EVERY).await;
            if !self.bar.is_hidden() {
                // What cannot be read now is read next time.
                let _ = self.look(table).await;
            }
        }
    }

    async fn look(&self, table: &impl Table) -> Result<(), deathstar_statemachine::error::TaskError> {
        if self.counts.borrow().t0.is_none() {
            let rounds = table.rounds(&self.run).await?;
            self.counts.borrow_mut().t0 = rounds.first().map(|round| round.t0);
        }
        let Some(t0) = self.counts.borrow().t0 else { return Ok(()) };
        let elapsed = u64::try_from(clock::now().duration_since(t0).as_secs()).unwrap_or(0);
        let from = elapsed.saturating_sub(REREAD_S) * 1_000_000;
        let windows = table.windows(&self.run, from, None, PAGE).await?;
        let mut counts = self.counts.borrow_mut();
        let newest = windows.last().map_or(0, |(_, window)| window.at);
        // The newest second is not whole yet.
        let recent = newest.saturating_sub(RECENT_S * 1_000_000)..newest;
        let (mut ended_recently, mut times) = (0, Histogram::window());
        for (slice, window) in &windows {
            let (mut ended, mut errors) = (0, 0);
            for series in &window.series {
                let tally = &series.tally;
                ended += tally.ended();
                errors += tally.ended() - tally.completed;
                if recent.contains(&window.at) {
                    times.add(&tally.response_time);
                }
            }
            if recent.contains(&window.at) {
                ended_recently += ended;
            }
            counts.windows.insert((window.at, slice.shard), (ended, errors));
        }
        let (ended, errors) = counts.windows.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let whole_s = (recent.end - recent.start) / 1_000_000;
        let rate = ended_recently.checked_div(whole_s).unwrap_or(0);
        let p99 = times.quantile_ms(0.99).map_or("–".to_owned(), |ms| format!("{ms:.1} ms"));
        self.bar.set_position(elapsed.min(self.duration_s));
        self.bar.set_message(format!("{rate}/s  p99 {p99}  {errors} errors of {ended}"));
        Ok(())
    }

    /// Says something above the display.
    pub(crate) fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            // Without a terminal nobody watches, and a log wants to know.
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{text}");
        } else {
            self.bar.println(text);
        }
    }

    /// Takes the display away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
