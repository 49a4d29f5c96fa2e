//! The timeline of an attack: what became of what was due, second by second.
//!
//! A load may last for days, and nobody reads a million rows: of a long one, each row
//! is of more windows. What they count is added up like everything else, histograms
//! and all.

use super::{Moment, seconds};
use crate::window::Tally;

/// The most rows of a timeline: two hours, second by second.
const MOST_ROWS: u64 = 7200;

/// How many windows a row may be of: whole ones, or some rows would have more of them than
/// others. The longest load, of 1,800 slices of ten minutes, takes 3,600 rows of
/// five minutes.
const WINDOWS: [u64; 10] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600];

/// Rows, in the order of time.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    /// How long a row is, in microseconds; nothing where each window is one.
    row: Option<u64>,
    rows: Vec<Moment>,
    /// Where the row starts that is being added up, and what it has.
    last: Option<(u64, Tally)>,
}

impl Timeline {
    /// For a load that is `long`, in windows of such a length; in microseconds.
    pub(super) fn of(long: u64, window: u64) -> Self {
        let window = window.max(1);
        let fits = |windows: &&u64| long.div_ceil(**windows * window) <= MOST_ROWS;
        let windows = *WINDOWS.iter().find(fits).unwrap_or(&WINDOWS[WINDOWS.len() - 1]);
        Self { row: (windows > 1).then_some(windows * window), rows: Vec::new(), last: None }
    }

    /// Adds what was due in the windows that start at `at`: none before what was added
    /// already.
    pub(super) fn add(&mut self, at: u64, tally: &Tally) {
        let Some(row) = self.row else {
            // Also where a step cuts one in two.
            return self.rows.push(moment(at, tally));
        };
        let start = at / row * row;
        match &mut self.last {
            Some((last, sum)) if *last == start => sum.add(tally),
            _ => {
                self.end();
                self.last = Some((start, tally.clone()));
            }
        }
    }

    /// Nothing more is added.
    pub(super) fn end(&mut self) {
        self.rows.extend(self.last.take().map(|(at, tally)| moment(at, &tally)));
    }

    pub(super) fn rows(&self) -> &[Moment] {
        &self.rows
    }
}

fn moment(at: u64, tally: &Tally) -> Moment {
    Moment {
        at_s: seconds(at),
        scheduled: tally.scheduled,
        completed: tally.completed,
        errors: tally.ended() - tally.completed,
        p50: tally.response_time.quantile_ms(0.5),
        p99: tally.response_time.quantile_ms(0.99),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::window::{Outcome, Timing};

    const SECOND: u64 = 1_000_000;

    /// Requests that were answered in so many milliseconds each.
    fn tally(millis: &[u64]) -> Tally {
        let mut tally = Tally::window();
        for millis in millis {
            let (zero, done) = (Duration::ZERO, Duration::from_millis(*millis));
            tally.scheduled += 1;
            let timing = Timing { intended: zero, sent: zero, done };
            tally.record(Outcome::Completed { status: 200 }, &timing, true);
        }
        tally
    }

    #[test]
    fn two_hours_are_told_second_by_second() {
        let mut timeline = Timeline::of(7200 * SECOND, SECOND);
        for second in 0..7200 {
            timeline.add(second * SECOND, &tally(&[10]));
        }
        timeline.add(7_199_500_000, &tally(&[10]));
        timeline.end();
        assert_eq!(timeline.rows().len(), 7201, "a second that a step cut in two is two");
    }

    #[test]
    fn a_row_of_a_longer_load_adds_up_its_seconds() {
        let mut timeline = Timeline::of(7201 * SECOND, SECOND);
        timeline.add(0, &tally(&[10, 10, 10]));
        timeline.add(SECOND, &tally(&[90]));
        // Nothing was due in the third second, nor in the row after.
        timeline.add(3 * SECOND, &tally(&[20]));
        timeline.add(6 * SECOND, &tally(&[30]));
        timeline.end();
        let rows: Vec<(f64, u64)> = timeline.rows().iter().map(|row| (row.at_s, row.completed)).collect();
        assert_eq!(rows, [(0.0, 4), (2.0, 1), (6.0, 1)]);
        let times = |row: &Moment| [row.p50, row.p99].map(|time| format!("{:.0}", time.unwrap()));
        assert_eq!(times(&timeline.rows()[0]), ["10", "90"], "of all that were due in it");
    }

    #[test]
    fn a_long_load_has_rows_of_whole_windows() {
        let row = |seconds: u64, window: u64| {
            Timeline::of(seconds * SECOND, window * SECOND).row.map(|row| row / SECOND)
        };
        assert_eq!([row(1, 1), row(86_400, 1), row(1800 * 600, 1)], [None, Some(15), Some(300)]);
        assert_eq!([row(60_000, 10), row(86_400, 10), row(1800 * 600, 10)], [None, Some(20), Some(150)]);
    }
}
