//! What a run is doing, live: a bar on a terminal; elsewhere a line now and
//! then, or nothing.
//!
//! It reads the windows that workers write down, here and on AWS, so it shows
//! what is safely stored and costs the workers nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use deathstar_controller::ports::{Table, TableResult};
use deathstar_statemachine::histogram::Histogram;
use deathstar_statemachine::ids::{RunId, SliceId};
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::report::Round;
use deathstar_statemachine::window::Window;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock;

/// How often there is a line, where there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The share of the time, one in so many, that may go into reading windows: of
/// many workers there are many.
const READING: u32 = 4;

/// Rates and percentiles are of the latest seconds that are whole.
const RECENT_S: u64 = 3;

/// Windows of the last seconds are read again, since late answers change them.
const REREAD_S: u64 = 10;

/// Windows that are read at once.
const PAGE: u32 = 2000;

/// A display that begins late reads up to so many windows, to count from the
/// start of the run.
const MOST_AT_FIRST: u64 = 20_000;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Display {
    /// A bar on standard error.
    Bar,
    /// A line on standard output every few seconds.
    Lines,
    /// Not at all.
    Nothing,
}

impl Display {
    /// Of a command whose output is a report: only where someone watches.
    pub(crate) fn beside_a_report(quiet: bool) -> Self {
        if !quiet && std::io::stderr().is_terminal() { Self::Bar } else { Self::Nothing }
    }

    /// Of a command whose output is the progress.
    #[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "watch is of AWS"))]
    pub(crate) fn itself() -> Self {
        let terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        if terminal { Self::Bar } else { Self::Lines }
    }
}

/// Whether the target is left alone, so many seconds after a round began.
fn draining(round: &Round, since: u64) -> bool {
    round.judged && round.busy.as_secs() > since
}

/// The live display of a run.
#[derive(Debug)]
pub(crate) struct Progress {
    run: RunId,
    display: Display,
    bar: ProgressBar,
    /// How often windows are read.
    every: Duration,
    duration_s: u64,
    /// Whether it takes as long at most, in rounds that it decides on.
    searches: bool,
    workers: u64,
    /// By how much the newest window of one worker may be ahead of another's, in
    /// seconds.
    behind_s: u64,
    counts: RefCell<Counts>,
}

/// By window start and shard: requests that ended, and those of them that
/// failed. Small enough to keep for the whole run.
#[derive(Debug, Default)]
struct Counts {
    windows: BTreeMap<(u64, u32), (u64, u64)>,
    /// The latest.
    round: Option<Round>,
    /// Whether they began before the display did, and it left those out.
    partial: bool,
}

impl Progress {
    /// Starts the display; windows are read at most once in `every`.
    pub(crate) fn start(run: &RunId, plan: &Plan, display: Display, every: Duration) -> Self {
        let duration_s = plan.load_end().div_ceil(1_000_000);
        let target =
            if display == Display::Bar { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(duration_s), target);
        let style = ProgressStyle::with_template("{bar:30} {pos:>4}/{len} s  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message("starting");
        // Each worker writes a second down within a checkpoint of its end.
        let behind_s = plan.place.checkpoint.as_secs().saturating_sub(1);
        let workers = u64::from(plan.workers.get());
        let every = if display == Display::Lines { every.max(LINE_EVERY) } else { every };
        Self {
            run: run.clone(),
            display,
            bar,
            every,
            duration_s,
            searches: plan.config.search().is_some(),
            workers,
            behind_s,
            counts: RefCell::default(),
        }
    }

    /// Follows the run for ever; drop the future to stop.
    pub(crate) async fn follow(&self, table: &impl Table) -> Infallible {
        let mut took = Duration::ZERO;
        loop {
            tokio::time::sleep(self.every.max(took * READING)).await;
            if self.display != Display::Nothing {
                let started = clock::now();
                // What cannot be read now is read next time.
                let _ = self.look(table).await;
                took = Duration::try_from(clock::now().duration_since(started)).unwrap_or_default();
            }
        }
    }

    async fn look(&self, table: &impl Table) -> TableResult<()> {
        if self.searches || self.counts.borrow().round.is_none() {
            self.counts.borrow_mut().round = table.rounds(&self.run).await?.pop();
        }
        let Some(round) = self.counts.borrow().round.clone() else { return Ok(()) };
        // Between two rounds there is time in which nothing is due.
        let since = u64::try_from(clock::now().duration_since(round.t0).as_secs()).unwrap_or(0);
        let elapsed = (round.from / 1_000_000 + since).min(round.until.div_ceil(1_000_000));
        let from_s = self.reread_from(elapsed);
        let from = from_s * 1_000_000;
        let windows = self.windows(table, from).await?;
        let mut counts = self.counts.borrow_mut();
        let newest = windows.last().map_or(0, |(_, window)| window.at);
        // The newest seconds are not whole yet.
        let whole = newest.saturating_sub(self.behind_s * 1_000_000);
        let recent = whole.saturating_sub(RECENT_S * 1_000_000)..whole;
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
        let seen = if counts.partial { " seen since" } else { "" };
        let position = elapsed.min(self.duration_s);
        let step = round
            .step
            .as_ref()
            .map_or(String::new(), |step| format!("step {}: {}  ", round.number + 1, step.rate));
        let drains = if draining(&round, since) { "the target drains  " } else { "" };
        let message = format!("{step}{drains}{rate}/s  p99 {p99}  {errors} errors of {ended}{seen}");
        if self.display == Display::Lines {
            // A pipe that is closed wants no more of it.
            let at_most = if self.searches { "at most " } else { "" };
            let _ = writeln!(std::io::stdout(), "{position}/{at_most}{} s  {message}", self.duration_s);
        } else {
            self.bar.set_position(position);
            self.bar.set_message(message);
        }
        Ok(())
    }

    /// From which second on windows are read: at first all, unless there are too
    /// many by now; then those that may have changed.
    fn reread_from(&self, elapsed_s: u64) -> u64 {
        let mut counts = self.counts.borrow_mut();
        let changing = elapsed_s.saturating_sub(REREAD_S + self.behind_s);
        if !counts.windows.is_empty() || changing == 0 {
            return changing;
        }
        counts.partial = elapsed_s * self.workers > MOST_AT_FIRST;
        if counts.partial { changing } else { 0 }
    }

    /// All windows from `from` on.
    async fn windows(&self, table: &impl Table, from: u64) -> TableResult<Vec<(SliceId, Window)>> {
        let mut windows = Vec::new();
        loop {
            let page = table.windows(&self.run, from, windows.last(), PAGE).await?;
            if page.is_empty() {
                return Ok(windows);
            }
            windows.extend(page);
        }
    }

    /// Says something above the display.
    pub(crate) fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            // Without a terminal nobody watches, and a log wants to know.
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
