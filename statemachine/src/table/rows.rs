//! The rows of the run's table where it is one of keys and items.
//!
//! A row has a partition key and a sort key. Partitions bear only so much
//! traffic, so what many workers read or write is spread over [`BUCKETS`] of
//! them; and families of partitions tell who may write what, since a worker's
//! role may write only `work#…`. Numbers in sort keys have a fixed width, so
//! that the order of texts is theirs.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::error::TaskError;
use crate::ids::{RunId, SliceId};
use crate::report::SliceEnd;
use crate::window::{Series, Window};

/// Over how many partitions the workers of a run are spread. A partition bears
/// 3,000 reads and 1,000 writes a second; see
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>.
pub const BUCKETS: u32 = 16;

/// The most bytes of a row's body, before it is packed. An item may have 400 KB;
/// a row of half of that is read in one page with others.
pub const BODY_LIMIT: usize = 200_000;

/// How many readings a row holds: of 400 bytes at most, they are within the limit.
const READINGS_PER_ROW: usize = 400;

/// How long rows are kept that only a run under way needs. It must be more than
/// the longest run, 2,000 slices of at most a quarter of an hour, since workers
/// of its last slice read the plan that was written before its first; and what
/// became of a failed run may be looked at for a week.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The name of a run's first row, and of the list's.
pub const META: &str = "meta";
/// The partition of the list of runs.
pub const RUNS: &str = "runs";
/// Both keys of the row in which an installation describes itself.
pub const INSTALL: &str = "install";
/// What all workers obey.
pub const CONTROL: &str = "control";
/// Who voted to stop.
pub const VOTES: &str = "votes";
/// Why workers want the run to stop.
pub const STOP: &str = "stop";
/// The plan, in as many chunks as it needs.
pub const PLAN: &str = "plan";
/// The report, in as many chunks as it needs.
pub const REPORT: &str = "report";
/// What a round's sort key begins with.
pub const ROUND_PREFIX: &str = "round#";
/// What a ledger entry's sort key begins with.
pub const LEDGER_PREFIX: &str = "ledger#";
/// What a window's sort key begins with.
pub const WINDOW_PREFIX: &str = "w#";
/// What an ended slice's sort key begins with.
pub const END_PREFIX: &str = "end#";
/// Sorts after every digit and `#`.
pub const LAST: &str = "~";

/// Configs of one name, by version.
#[must_use]
pub fn config_partition(name: &str) -> String {
    format!("config#{name}")
}

/// What the controller alone writes of a run.
#[must_use]
pub fn run_partition(run: &RunId) -> String {
    format!("run#{run}")
}

/// What the controller writes and workers of a bucket read.
#[must_use]
pub fn read_partition(run: &RunId, bucket: u32) -> String {
    format!("read#{run}#{bucket:02}")
}

/// What workers of a bucket write.
#[must_use]
pub fn work_partition(run: &RunId, bucket: u32) -> String {
    format!("work#{run}#{bucket:02}")
}

/// The bucket of a worker.
#[must_use]
pub const fn bucket_of(shard: u32) -> u32 {
    shard % BUCKETS
}

/// A round's sort key.
#[must_use]
pub fn round(number: u32) -> String {
    format!("{ROUND_PREFIX}{number:05}")
}

/// A ledger entry's sort key.
#[must_use]
pub fn ledger(name: &str) -> String {
    format!("{LEDGER_PREFIX}{name}")
}

/// The sort key of a chunk.
#[must_use]
pub fn chunk(of: &str, number: usize) -> String {
    format!("{of}#{number:04}")
}

/// A run in the list.
#[must_use]
pub fn listed(claimed_at: &str, run: &RunId) -> String {
    format!("{claimed_at}#{run}")
}

/// A claim's sort key.
#[must_use]
pub fn claim(slice: &SliceId) -> String {
    format!("claim#{:05}#{:05}#{:05}", slice.round, slice.shard, slice.slice)
}

/// An ended slice's sort key, without its chunk.
#[must_use]
pub fn end(slice: &SliceId) -> String {
    format!("{END_PREFIX}{:05}#{:05}#{:05}", slice.round, slice.shard, slice.slice)
}

/// A window's sort key, without its chunk: windows of all workers are in order
/// of their start.
#[must_use]
pub fn window(at: u64, slice: &SliceId) -> String {
    format!("{WINDOW_PREFIX}{at:016}#{:05}#{:05}#{:05}", slice.round, slice.shard, slice.slice)
}

/// What no window that starts at `at` or later sorts before.
#[must_use]
pub fn windows_from(at: u64) -> String {
    format!("{WINDOW_PREFIX}{at:016}")
}

/// The sort key without its chunk, and the slice in it, of a chunk of a window
/// or an end.
#[must_use]
pub fn slice_of_chunk<'a>(run: &RunId, sort_key: &'a str) -> Option<(&'a str, SliceId)> {
    let (key, _chunk) = sort_key.rsplit_once('#')?;
    let mut numbers = key.rsplit('#').map(str::parse::<u32>);
    let slice = numbers.next()?.ok()?;
    let shard = numbers.next()?.ok()?;
    let round = numbers.next()?.ok()?;
    Some((key, SliceId { run: run.clone(), round, shard, slice }))
}

/// A document in pieces that rows can hold.
///
/// The first piece is the document's head, and is written last: whoever sees it
/// sees all of them. The others are named after what the whole says, so that
/// those of two states of it never mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Names what the whole says.
    pub digest: String,
    /// At least one.
    pub chunks: Vec<String>,
}

impl Document {
    /// Cuts a document into bodies of rows.
    ///
    /// # Errors
    /// [`TaskError::Broken`] when it is no JSON, which is our bug.
    pub fn of(document: &impl Serialize) -> Result<Self, TaskError> {
        let text = json(document)?;
        let digest = Sha256::digest(&text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let mut rest = text.as_str();
        let mut chunks = Vec::new();
        while rest.len() > BODY_LIMIT {
            let at = (0..=BODY_LIMIT).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
            let (chunk, after) = rest.split_at(at);
            chunks.push(chunk.to_owned());
            rest = after;
        }
        chunks.push(rest.to_owned());
        Ok(Self { digest, chunks })
    }

    /// The sort keys of the chunks, the head's first.
    pub fn keys<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        (0..self.chunks.len()).map(move |number| match number {
            0 => head(name),
            _ => tail(name, &self.digest, number),
        })
    }
}

/// The sort key of a document's head.
#[must_use]
pub fn head(name: &str) -> String {
    chunk(name, 0)
}

/// The sort key of another chunk of a document, from 1 on.
#[must_use]
pub fn tail(name: &str, digest: &str, number: usize) -> String {
    chunk(&format!("{name}#{digest}"), number)
}

/// Puts a document together again.
///
/// # Errors
/// [`TaskError::Broken`] when it is not what it must be: a damaged table.
pub fn join_document<T: DeserializeOwned>(what: &str, chunks: &[String]) -> Result<T, TaskError> {
    parse(what, &chunks.concat())
}

/// Cuts a window into packed bodies of rows, by request, and then by reading; only
/// the first says how its worker did.
///
/// # Errors
/// [`TaskError::Broken`] when one request's counts alone are over the limit,
/// which no histogram of two digits comes near: it has 3,328 counts.
pub fn split_window(window: &Window) -> Result<Vec<Vec<u8>>, TaskError> {
    let mut parts = split_series(&window.series)?.into_iter();
    let part = || Window::empty(window.at, 0);
    let series = parts.next().unwrap_or_default();
    let first = Window { series, len: window.len, health: window.health.clone(), ..part() };
    let series = parts.map(|series| Window { series, ..part() });
    let readings = window.readings.chunks(READINGS_PER_ROW);
    let readings = readings.map(|readings| Window { readings: readings.to_vec(), ..part() });
    let misses = window.misses.chunks(READINGS_PER_ROW);
    let misses = misses.map(|misses| Window { misses: misses.to_vec(), ..part() });
    std::iter::once(first).chain(series).chain(readings).chain(misses).map(|part| body(&part)).collect()
}

/// Puts a window together again, from its first row on.
///
/// # Errors
/// [`TaskError::Broken`] when a row is not what it must be: a damaged table.
pub fn join_window<B: AsRef<[u8]>>(bodies: impl IntoIterator<Item = B>) -> Result<Option<Window>, TaskError> {
    let mut parts = Vec::new();
    for body in bodies {
        parts.push(unpack::<Window>("a window", body.as_ref())?);
    }
    let series = join_series(parts.iter_mut().flat_map(|part| std::mem::take(&mut part.series)));
    // Of a window's earlier state a row may be left: what it read is in the later one, too.
    let mut readings: Vec<_> = parts.iter_mut().flat_map(|part| std::mem::take(&mut part.readings)).collect();
    readings.sort_by(|a, b| (a.at, a.place, &a.metric).cmp(&(b.at, b.place, &b.metric)));
    readings.dedup_by(|a, b| (a.at, a.place, &a.metric) == (b.at, b.place, &b.metric));
    let mut misses: Vec<_> = parts.iter_mut().flat_map(|part| std::mem::take(&mut part.misses)).collect();
    misses.sort_by_key(|miss| (miss.at, miss.place));
    misses.dedup_by_key(|miss| (miss.at, miss.place));
    Ok(parts.into_iter().next().map(|first| Window { series, readings, misses, ..first }))
}

/// Cuts a slice's end into packed bodies of rows, by request.
///
/// # Errors
/// As [`split_window`].
pub fn split_end(end: &SliceEnd) -> Result<Vec<Vec<u8>>, TaskError> {
    let parts = split_series(&end.totals)?;
    parts.into_iter().map(|totals| body(&SliceEnd { until: end.until, totals })).collect()
}

/// Puts a slice's end together again.
///
/// # Errors
/// As [`join_window`].
pub fn join_end<B: AsRef<[u8]>>(bodies: impl IntoIterator<Item = B>) -> Result<Option<SliceEnd>, TaskError> {
    let mut parts = Vec::new();
    for body in bodies {
        parts.push(unpack::<SliceEnd>("a slice's end", body.as_ref())?);
    }
    let totals = join_series(parts.iter_mut().flat_map(|part| std::mem::take(&mut part.totals)));
    Ok(parts.into_iter().next().map(|first| SliceEnd { totals, ..first }))
}

/// The series of all rows, in order, each once.
///
/// A window is written again as it grows, and may then be cut elsewhere: a row
/// of an earlier state, which its last write did not reach or did not need,
/// holds requests that another row has, too. Counts only grow, so of two states
/// of a request the one that counted more is the later.
fn join_series(all: impl IntoIterator<Item = Series>) -> Vec<Series> {
    let mut joined = BTreeMap::<(u32, u32), Series>::new();
    let counted = |Series { tally, .. }: &Series| tally.scheduled + tally.ended() + tally.answered;
    for series in all {
        let key = (series.attack, series.request);
        if joined.get(&key).is_none_or(|other| counted(other) < counted(&series)) {
            joined.insert(key, series);
        }
    }
    joined.into_values().collect()
}

/// Series in as few parts as fit; at least one part.
fn split_series(all: &[Series]) -> Result<Vec<Vec<Series>>, TaskError> {
    // What is around the series in a body: less than this.
    const AROUND: usize = 10_000;
    let mut parts = vec![Vec::new()];
    let mut size = AROUND;
    for series in all {
        let len = json(series)?.len() + 1;
        if size + len > BODY_LIMIT {
            size = AROUND;
            parts.push(Vec::new());
        }
        size += len;
        if let Some(part) = parts.last_mut() {
            part.push(series.clone());
        }
    }
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        parts.push(Vec::new());
    }
    Ok(parts)
}

fn body(part: &impl Serialize) -> Result<Vec<u8>, TaskError> {
    let text = json(part)?;
    if text.len() > BODY_LIMIT {
        let size = text.len();
        return Err(TaskError::Broken(format!("a row of {size} bytes; the limit is {BODY_LIMIT}")));
    }
    Ok(pack(&text))
}

/// Numbers as a row holds them: JSON, deflated, since writes are paid by the
/// kilobyte, and a partition bears a thousand of them a second. What users wrote
/// is never packed: a table can be searched for it.
fn pack(text: &str) -> Vec<u8> {
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
    let written = packed.write_all(text.as_bytes()).and_then(|()| packed.finish());
    written.expect("writing to memory does not fail")
}

/// Numbers from a packed body.
///
/// # Errors
/// [`TaskError::Broken`] when it is not what it must be: a damaged table.
pub fn unpack<T: DeserializeOwned>(what: &str, packed: &[u8]) -> Result<T, TaskError> {
    let mut text = String::new();
    // One byte more than there may be is enough to be refused.
    let most = BODY_LIMIT as u64 + 1;
    DeflateDecoder::new(packed)
        .take(most)
        .read_to_string(&mut text)
        .map_err(|error| TaskError::Broken(format!("the table has a damaged row, {what}: {error}")))?;
    parse(what, &text)
}

/// A value as a row holds it.
///
/// # Errors
/// [`TaskError::Broken`] when it is no JSON, which is our bug.
pub fn json(value: &impl Serialize) -> Result<String, TaskError> {
    serde_json::to_string(value).map_err(|error| TaskError::Broken(error.to_string()))
}

/// A value from a row.
///
/// # Errors
/// [`TaskError::Broken`] when it is not what it must be: a damaged table.
pub fn parse<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, TaskError> {
    serde_json::from_str(text)
        .map_err(|error| TaskError::Broken(format!("the table has a damaged row, {what}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::resources::{Metric, Miss, Place, Reading};
    use crate::window::{Health, Outcome, Tally, Timing};

    fn series(requests: u32, each: u64) -> Vec<Series> {
        let of = |request| {
            let mut tally = Tally::window();
            for number in 0..each {
                let done = Duration::from_micros((number + 1) * (number + 1) * 37);
                let timing = Timing { intended: Duration::ZERO, sent: Duration::ZERO, done };
                tally.scheduled += 1;
                tally.record(Outcome::Completed { status: 200 }, &timing, true);
            }
            Series { attack: 0, request, tally }
        };
        (0..requests).map(of).collect()
    }

    #[test]
    fn a_window_of_many_requests_is_cut_and_comes_back() {
        for (requests, rows) in [(0, 1..=1), (1, 1..=1), (50, 1..=2), (1000, 5..=30)] {
            let mut health = Health::unknown();
            health.in_flight = 7;
            let window =
                Window { series: series(requests, 500), health, ..Window::empty(3_000_000, 1_000_000) };
            let bodies = split_window(&window).unwrap();
            assert!(rows.contains(&bodies.len()), "{requests} requests are {} rows", bodies.len());
            assert!(bodies.iter().all(|body| body.len() <= BODY_LIMIT));
            assert_eq!(join_window(&bodies).unwrap(), Some(window));
        }
        assert_eq!(join_window::<Vec<u8>>([]).unwrap(), None);
    }

    #[test]
    fn rows_of_two_states_of_a_window_count_nothing_twice() {
        let window = |each| Window { series: series(1000, each), ..Window::empty(0, 1_000_000) };
        let (earlier, later) = (split_window(&window(500)).unwrap(), split_window(&window(1500)).unwrap());
        assert!(earlier.len() < later.len(), "they are cut elsewhere");
        // Whatever rows there are of it, a request's later state counts.
        let both = join_window(later.iter().chain(&earlier)).unwrap().unwrap();
        assert_eq!(both.series, window(1500).series);
        let both = join_window(earlier.iter().chain(&later)).unwrap().unwrap();
        assert_eq!(both.series, window(1500).series);
    }

    #[test]
    fn readings_are_cut_and_come_back_once() {
        let reading = |n: u64| Reading {
            place: Place { attack: 99, resource: 9 },
            at: 2_592_000_000_000 + n,
            metric: Metric::Series("n".repeat(200)),
            value: f64::MIN_POSITIVE,
            capacity: Some(f64::MIN_POSITIVE),
        };
        let miss = Miss { place: reading(0).place, at: 7, why: "connection refused".to_owned() };
        let window = |count| Window {
            series: series(1, 10),
            readings: (0..count).map(reading).collect(),
            misses: vec![miss.clone()],
            ..Window::empty(0, 1_000_000)
        };
        let (earlier, later) = (split_window(&window(1000)).unwrap(), split_window(&window(1200)).unwrap());
        assert_eq!((earlier.len(), later.len()), (1 + 3 + 1, 1 + 3 + 1));
        assert_eq!(join_window(&later).unwrap(), Some(window(1200)));
        let both = join_window(later.iter().chain(&earlier)).unwrap();
        assert_eq!(both, Some(window(1200)));
    }

    #[test]
    fn a_row_that_cannot_be_cut_is_refused_with_its_size() {
        let mut one = series(1, 1);
        one[0].tally.status_codes = (0..=u16::MAX).map(|status| (status, 1)).collect();
        let end = SliceEnd { until: 5, totals: one };
        let refused = split_end(&end).unwrap_err().to_string();
        assert!(refused.starts_with("a row of ") && refused.ends_with("the limit is 200000"), "{refused}");
        let damaged = join_window([b"not packed"]).unwrap_err();
        assert_eq!(damaged.name(), "DeathStar.Broken", "{damaged}");
    }

    #[test]
    fn a_slices_end_is_cut_and_comes_back() {
        let end = SliceEnd { until: 5, totals: series(400, 800) };
        let bodies = split_end(&end).unwrap();
        assert!(bodies.len() > 1);
        assert_eq!(join_end(&bodies).unwrap(), Some(end));
    }

    #[test]
    fn a_document_is_cut_between_characters() {
        for length in [0, 1, BODY_LIMIT / 3, BODY_LIMIT, 3 * BODY_LIMIT + 1] {
            let document = "ä€".repeat(length / 5) + "x";
            let whole = Document::of(&document).unwrap();
            assert!(whole.chunks.iter().all(|chunk| chunk.len() <= BODY_LIMIT));
            assert_eq!(join_document::<String>("a text", &whole.chunks).unwrap(), document);
        }
    }

    #[test]
    fn chunks_of_two_states_of_a_document_have_other_keys() {
        let of = |letter: &str| Document::of(&letter.repeat(BODY_LIMIT * 2)).unwrap();
        let (one, other) = (of("a"), of("b"));
        let keys = |document: &Document| document.keys("report").collect::<Vec<_>>();
        assert_eq!(keys(&one)[0], "report#0000");
        assert_eq!(keys(&one)[0], keys(&other)[0]);
        assert!(keys(&one)[1..].iter().all(|key| !keys(&other).contains(key)));
        assert_eq!(keys(&one), keys(&of("a")), "the same again is the same");
        assert!(keys(&one).is_sorted());
    }

    #[test]
    fn rows_are_kept_for_longer_than_a_run() {
        let longest = Duration::from_secs(900) * crate::plan::MAX_SLICES;
        assert!(KEPT >= longest + Duration::from_secs(7 * 24 * 3600));
    }

    #[test]
    fn sort_keys_are_in_the_order_of_their_numbers() {
        let run: RunId = "a-1".parse().unwrap();
        let slice = |round, shard, slice| SliceId { run: run.clone(), round, shard, slice };
        let keys = [
            window(0, &slice(0, 0, 0)),
            window(0, &slice(0, 2, 0)),
            window(0, &slice(0, 10, 0)),
            window(0, &slice(1, 0, 0)),
            window(999_999, &slice(0, 0, 0)),
            window(1_000_000, &slice(0, 0, 0)),
            // 30 days, in microseconds.
            window(2_592_000_000_000, &slice(0, 9999, 1799)),
        ];
        assert!(keys.is_sorted(), "{keys:?}");
        assert!(windows_from(1_000_000) <= keys[5] && windows_from(1_000_000) > keys[4]);
        let last = chunk(&keys[6], 12);
        assert_eq!(slice_of_chunk(&run, &last), Some((keys[6].as_str(), slice(0, 9999, 1799))));
        let ended = chunk(&end(&slice(1, 2, 3)), 0);
        assert_eq!(slice_of_chunk(&run, &ended).map(|(_, slice)| slice), Some(slice(1, 2, 3)));
        assert!(LAST > "9" && LAST > "#");
    }
}
