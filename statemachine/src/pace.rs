//! How much the workers of a run write down, and when, so that the run's table
//! bears all of them together.
//!
//! A worker writes what it saw in windows. One worker, or a hundred, write one
//! each second and nobody notices. Ten thousand would be more than the
//! partitions of a table take, and at the end of the load, when all write at
//! once, more by far. So the more there is to write, the longer are the windows:
//! a longer one holds more requests, and is hardly larger, since a histogram
//! grows with the different times in it and not with their number. And the last
//! writes of all workers are spread over some seconds.
//!
//! It goes by sizes that were measured; a test measures them again.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::table::rows::BUCKETS;
use crate::units::duration_text;

/// Kilobytes that a table which was just made takes in a second; see
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html>.
const NEW_TABLE_KB_PER_S: u64 = 4000;

/// What all workers may write in a second, in kilobytes, while windows are no
/// longer than [`LONGEST_UNWARMED`]: three quarters of what a new table takes.
const UNWARMED_KB_PER_S: u64 = NEW_TABLE_KB_PER_S * 3 / 4;

/// Rather than make windows longer than this, a run asks for a table that was
/// warmed.
const LONGEST_UNWARMED: Duration = Duration::from_secs(60);

/// What all workers may write in a second, in kilobytes, to a table that was
/// warmed: 60 % of what a run's partitions take, at 1,000 each.
const WARMED_KB_PER_S: u64 = BUCKETS as u64 * 600;

/// How long windows may be, in seconds.
const WINDOWS_S: [u64; 9] = [1, 2, 5, 10, 20, 30, 60, 120, 300];

/// The longest time over which last writes are spread for the sake of totals
/// with three digits. Every worker is paid for until it has written.
const LONGEST_SPREAD_FOR_TOTALS: Duration = Duration::from_secs(30);

/// Last writes that take less than this together are not spread.
const SHORTEST_SPREAD: Duration = Duration::from_secs(1);

/// How long a worker takes to obey a stop and to write down what it saw, but for
/// its turn: it looks each second, gives what is in flight a second of grace, and
/// writes.
const OBEYED_WITHIN: Duration = Duration::from_secs(4);

/// How the workers of a run write down what they see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// How long a window is that no step cuts; a whole number of seconds.
    #[serde(with = "duration_text")]
    pub window: Duration,
    /// How often a worker writes down what changed.
    #[serde(with = "duration_text")]
    pub checkpoint: Duration,
    /// Over how long the last writes of all workers are spread.
    #[serde(with = "duration_text")]
    pub spread: Duration,
    /// Whether a slice's end has totals with three digits. Otherwise it has
    /// none, and the windows' two digits are all there is.
    pub totals: bool,
    /// What all workers together write in a second, in kilobytes, about.
    pub kb_per_s: u64,
}

/// Who writes, and of what.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    /// Workers of the run.
    pub workers: NonZeroU32,
    /// Kinds of requests, over all attacks.
    pub kinds: u64,
    /// Requests that each worker sends in a second, at most.
    pub rate: u64,
    /// How often a worker writes when nothing speaks against it.
    pub checkpoint: Duration,
    /// The longest stretch of load of one invocation.
    pub slice: Duration,
}

impl Default for Pace {
    /// That of a worker alone.
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { window: second, checkpoint: second, spread: Duration::ZERO, totals: true, kb_per_s: 0 }
    }
}

impl Pace {
    /// The pace of a crowd of workers.
    #[must_use]
    pub fn of(crowd: &Crowd) -> Self {
        let seconds = WINDOWS_S.map(Duration::from_secs);
        // No longer than a slice, which is cut to whole windows.
        let windows: Vec<Duration> =
            seconds.into_iter().filter(|window| *window <= crowd.slice.max(seconds[0])).collect();
        let unwarmed = |window: &&Duration| {
            **window <= LONGEST_UNWARMED && crowd.kb_per_s(**window) <= UNWARMED_KB_PER_S
        };
        let warmed = |window: &&Duration| crowd.kb_per_s(**window) <= WARMED_KB_PER_S;
        let cold = windows.iter().find(unwarmed).map(|window| (*window, UNWARMED_KB_PER_S));
        let (window, budget) = cold.unwrap_or_else(|| {
            let window = windows.iter().find(warmed).or(windows.last());
            (window.copied().unwrap_or(seconds[0]), WARMED_KB_PER_S)
        });
        let last_writes = |totals: bool| {
            let kb = u64::from(crowd.workers.get()) * crowd.last_kb(window, totals);
            // The worker of a slice has ended when the one after the next begins.
            Duration::from_millis(kb * 1000 / budget).min(crowd.slice / 2)
        };
        let totals = last_writes(true) <= LONGEST_SPREAD_FOR_TOTALS;
        let spread = last_writes(totals);
        Self {
            window,
            checkpoint: crowd.checkpoint_of(window),
            spread: if spread < SHORTEST_SPREAD { Duration::ZERO } else { spread },
            totals,
            kb_per_s: crowd.kb_per_s(window),
        }
    }

    /// How long a worker waits before it first writes: not all do at once, then
    /// nor later.
    #[must_use]
    pub fn first_checkpoint(&self, shard: u32) -> Duration {
        self.checkpoint.saturating_sub(turn(self.checkpoint, shard))
    }

    /// How long a worker waits at its end, so that not all write at once.
    #[must_use]
    pub fn last_turn(&self, shard: u32) -> Duration {
        turn(self.spread, shard)
    }

    /// How long after a stop no worker is at work any more.
    #[must_use]
    pub fn obeyed_within(&self) -> Duration {
        OBEYED_WITHIN + self.spread
    }

    /// The longest stretch of load up to `slice` that is of whole windows, where
    /// windows are longer than a second.
    #[must_use]
    pub fn whole_windows(&self, slice: Duration) -> Duration {
        let window = self.window.as_secs();
        if window <= 1 || slice < self.window {
            return slice;
        }
        Duration::from_secs(slice.as_secs() / window * window)
    }

    /// What the user should know of it before the run.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.window > Duration::from_secs(1) {
            warnings.push(format!(
                "so many workers write down what they saw by {} s, not by the second; one that dies loses up to {} s",
                self.window.as_secs(),
                (self.checkpoint + self.window).as_secs()
            ));
        }
        if !self.totals {
            warnings.push(
                "so many workers tell response times apart by 1 %, not by 0.1 %, to be done writing in time"
                    .to_owned(),
            );
        }
        if self.kb_per_s > UNWARMED_KB_PER_S {
            let kb = self.kb_per_s;
            warnings.push(format!(
                "the workers write about {kb} KB a second, and DynamoDB takes {NEW_TABLE_KB_PER_S} from the first moment on: warm the run table first (aws dynamodb update-table --table-name STACK --warm-throughput ReadUnitsPerSecond=24000,WriteUnitsPerSecond={})",
                kb.max(WARMED_KB_PER_S)
            ));
        }
        if self.kb_per_s > WARMED_KB_PER_S {
            let kb = self.kb_per_s;
            warnings.push(format!(
                "the workers write about {kb} KB a second, and the run's {BUCKETS} partitions take {}: use fewer workers, or fewer kinds of requests",
                BUCKETS * 1000
            ));
        }
        warnings
    }
}

/// A worker's moment in a stretch of time, none for the first worker. The steps
/// are golden sections, so that any number of workers are spread evenly, and
/// those that came up one after another do not meet.
fn turn(of: Duration, shard: u32) -> Duration {
    let section = u128::from(shard.wrapping_mul(2_654_435_769));
    let nanos = (of.as_nanos() * section) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Crowd {
    /// No more often than windows end, where they are long.
    fn checkpoint_of(&self, window: Duration) -> Duration {
        if window > WINDOWS_S.map(Duration::from_secs)[0] {
            self.checkpoint.max(window)
        } else {
            self.checkpoint
        }
    }

    /// What all workers write in a second, in kilobytes: every window when it is
    /// over, and at every checkpoint the one that is not.
    fn kb_per_s(&self, window: Duration) -> u64 {
        let each = u64::from(self.workers.get()) * self.window_kb(window) * 1000;
        let per_s = |every: Duration| each.div_ceil(millis(every));
        per_s(window) + per_s(self.checkpoint_of(window))
    }

    /// What a worker writes at its end, in kilobytes.
    fn last_kb(&self, window: Duration, totals: bool) -> u64 {
        let windows = millis(self.checkpoint_of(window)).div_ceil(millis(window)) + 1;
        let each = self.rate * self.slice.as_secs().max(1) / self.kinds.max(1);
        let end = if totals { kb(self.kinds * total_bytes(each)) } else { 1 };
        windows * self.window_kb(window) + end
    }

    /// A window as it is written and paid for, in whole kilobytes.
    fn window_kb(&self, window: Duration) -> u64 {
        let requests = self.rate * millis(window) / 1000;
        kb(health_bytes(requests) + self.kinds * series_bytes(requests / self.kinds.max(1)))
    }
}

/// A request kind's deflated counts in a window, in bytes, by how many requests
/// were counted; as measured, with times spread over three powers of ten.
fn series_bytes(requests: u64) -> u64 {
    30 + 2 * (15 * (requests.isqrt() + 1)).min(2200)
}

/// The same with three digits.
fn total_bytes(requests: u64) -> u64 {
    100 + 2 * (35 * (requests.isqrt() + 1)).min(14_000)
}

/// A window's deflated health and what is around it, in bytes.
fn health_bytes(requests: u64) -> u64 {
    250 + (13 * requests.isqrt()).min(1800)
}

/// The keys of a row and the names of its attributes, in bytes.
const KEYS: u64 = 150;

/// Kilobytes to be paid for, with a quarter more than was measured.
fn kb(bytes: u64) -> u64 {
    (bytes * 5 / 4 + KEYS).div_ceil(1024)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(workers: u32, kinds: u64, rate: u64) -> Pace {
        Pace::of(&Crowd {
            workers: NonZeroU32::new(workers).unwrap(),
            kinds,
            rate,
            checkpoint: Duration::from_secs(5),
            slice: Duration::from_secs(600),
        })
    }

    #[test]
    fn a_few_workers_write_each_second_and_at_once() {
        for (workers, kinds, rate) in [(1, 1, 1), (1, 50, 1000), (64, 1, 1000), (100, 50, 1000)] {
            let pace = pace(workers, kinds, rate);
            assert_eq!((pace.window, pace.checkpoint), (Duration::from_secs(1), Duration::from_secs(5)));
            assert!(pace.totals && pace.spread < Duration::from_secs(30), "{workers}: {pace:?}");
            assert_eq!(pace.warnings(), [""; 0]);
            let alone = Pace { spread: Duration::ZERO, ..pace.clone() };
            assert_eq!(alone.last_turn(workers - 1), Duration::ZERO);
        }
        assert_eq!(pace(8, 10, 1000).spread, Duration::ZERO);
    }

    #[test]
    fn more_workers_write_longer_windows_and_in_turns() {
        let mut last = Duration::ZERO;
        for workers in [10, 100, 1000, 10_000] {
            let pace = pace(workers, 50, 100);
            assert!(pace.window >= last, "{workers}: {pace:?}");
            assert!(pace.checkpoint >= pace.window);
            assert!(pace.kb_per_s <= WARMED_KB_PER_S, "{workers}: {pace:?}");
            last = pace.window;
        }
        let pace = pace(10_000, 50, 100);
        assert!(pace.window > Duration::from_secs(1) && !pace.totals, "{pace:?}");
        let mut turns: Vec<Duration> = (0..10_000).map(|shard| pace.last_turn(shard)).collect();
        assert!(turns[0].is_zero());
        turns.sort();
        turns.push(pace.spread);
        let gaps = turns.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        assert!(gaps.max().unwrap() < pace.spread / 10_000 * 3, "they are spread evenly");
        let first: Vec<Duration> = (0..10_000).map(|shard| pace.first_checkpoint(shard)).collect();
        assert!(first.iter().all(|first| !first.is_zero() && *first <= pace.checkpoint));
    }

    #[test]
    fn what_no_table_bears_is_said() {
        let all = |pace: &Pace| pace.warnings().join("\n");
        let warmed = all(&pace(10_000, 50, 100));
        assert!(warmed.contains("warm the run table first") && !warmed.contains("fewer"), "{warmed}");
        let many = all(&pace(10_000, 5000, 1000));
        assert!(many.contains("use fewer workers"), "{many}");
    }

    #[test]
    fn slices_are_of_whole_windows() {
        let of = |window, slice| {
            let pace = Pace { window: Duration::from_secs(window), ..Pace::default() };
            pace.whole_windows(Duration::from_millis(slice)).as_millis()
        };
        assert_eq!(
            [of(1, 835_500), of(10, 835_500), of(10, 600_000), of(10, 5000)],
            [835_500, 830_000, 600_000, 5000]
        );
    }

    #[test]
    fn it_survives_the_wire() {
        let pace = pace(10_000, 50, 100);
        let text = serde_json::to_string(&pace).unwrap();
        assert_eq!(serde_json::from_str::<Pace>(&text).unwrap(), pace);
    }
}
