//! The run's table as an SQLite file in the user's data directory.
//!
//! Several runs, in several processes, share the file: it is in WAL mode, and a
//! writer waits for another one's short transaction. Rows hold JSON, so that
//! they are the very messages of AWS mode. SQLite blocks, so every call runs on
//! tokio's blocking threads, never on the thread that sends load.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deathstar_statemachine::config::Config;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{RunId, SliceId};
use deathstar_statemachine::message::ConfigRef;
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::report::{Report, Round, SliceEnd, Stop};
use deathstar_statemachine::table::{Claim, LedgerEntry, LedgerState};
use deathstar_statemachine::window::Window;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::ports::{REFUSED, RunSummary, Table, TableResult};

/// The version of the tables below; a file of another version is refused.
const VERSION: u32 = 1;

/// How long a writer waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(10);

const TABLES: &str = "
    CREATE TABLE configs (name TEXT, version TEXT, body TEXT NOT NULL, PRIMARY KEY (name, version)) WITHOUT ROWID;
    CREATE TABLE runs (
        run TEXT PRIMARY KEY, execution TEXT NOT NULL, name TEXT NOT NULL, claimed_at TEXT NOT NULL,
        over INTEGER NOT NULL DEFAULT 0, plan TEXT, stop TEXT, verdict TEXT, report TEXT
    ) WITHOUT ROWID;
    CREATE TABLE rounds (run TEXT, number INTEGER, body TEXT NOT NULL, PRIMARY KEY (run, number)) WITHOUT ROWID;
    CREATE TABLE claims (
        run TEXT, round INTEGER, shard INTEGER, slice INTEGER, token TEXT NOT NULL,
        PRIMARY KEY (run, round, shard, slice)
    ) WITHOUT ROWID;
    CREATE TABLE windows (
        run TEXT, at INTEGER, round INTEGER, shard INTEGER, slice INTEGER, body TEXT NOT NULL,
        PRIMARY KEY (run, at, round, shard, slice)
    ) WITHOUT ROWID;
    CREATE TABLE ends (
        run TEXT, round INTEGER, shard INTEGER, slice INTEGER, body TEXT NOT NULL,
        PRIMARY KEY (run, round, shard, slice)
    ) WITHOUT ROWID;
    CREATE TABLE votes (run TEXT, shard INTEGER, PRIMARY KEY (run, shard)) WITHOUT ROWID;
    CREATE TABLE ledger (run TEXT, name TEXT, state TEXT NOT NULL, PRIMARY KEY (run, name)) WITHOUT ROWID;
";

/// Why the table cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// SQLite refused.
    #[error("cannot open the run table {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file is of another version of the program.
    #[error("the run table {} has version {found}; this program knows version {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

/// Lets readers and a writer work side by side; a file remembers it.
///
/// SQLite refuses the change at once when another process has the file open
/// for it, and asks no busy timeout, so the first two runs of a new data
/// directory would meet here.
fn use_write_ahead_log(connection: &Connection) -> rusqlite::Result<()> {
    const PAUSE: Duration = Duration::from_millis(20);
    let busy = |error: &rusqlite::Error| error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy);
    let mut left = BUSY;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if busy(&error) && !left.is_zero() => {
                std::thread::sleep(PAUSE);
                left = left.saturating_sub(PAUSE);
            }
            result => return result,
        }
    }
}

/// The run's table.
#[derive(Debug, Clone)]
pub struct SqliteTable {
    path: Arc<Path>,
    connection: Arc<Mutex<Connection>>,
}

impl SqliteTable {
    /// Opens the table, and makes it when there is none.
    ///
    /// # Errors
    /// When the file cannot be read and written, or is of another version.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let open = || {
            let mut connection = Connection::open(path)?;
            use_write_ahead_log(&connection)?;
            connection.busy_timeout(BUSY)?;
            // A power cut may lose the last moments of a load test; a killed
            // process loses nothing.
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if found == 0 {
                transaction.execute_batch(TABLES)?;
                transaction.pragma_update(None, "user_version", VERSION)?;
            }
            transaction.commit()?;
            Ok((connection, found))
        };
        let (connection, found) =
            open().map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
        if found != 0 && found != VERSION {
            return Err(OpenError::Version { path: path.to_owned(), found });
        }
        Ok(Self { path: path.into(), connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs a transaction on a blocking thread.
    async fn transact<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<R, RowError> + Send + 'static,
    ) -> TableResult<R> {
        let table = self.clone();
        let work = move || {
            let mut connection = table.connection.lock().unwrap_or_else(PoisonError::into_inner);
            // Immediate: a transaction that reads and then writes must not be
            // refused because another process wrote in between.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        let result = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| TaskError::Broken(format!("the run table's thread is gone: {error}")))?;
        result.map_err(|error| match error {
            RowError::Sqlite(error) => {
                TaskError::TableUnavailable(format!("{}: {error}", self.path.display()))
            }
            RowError::Json(error) => {
                TaskError::Broken(format!("{} has a damaged row: {error}", self.path.display()))
            }
            RowError::Missing(what) => TaskError::Broken(what),
        })
    }

    /// Claims a slice for the invocation called `token`.
    ///
    /// # Errors
    /// When the table is unavailable.
    pub async fn claim_slice(&self, slice: &SliceId, token: &str) -> TableResult<Claim> {
        let (slice, token) = (slice.clone(), token.to_owned());
        self.transact(move |transaction| {
            if is_over(transaction, &slice.run)? {
                return Ok(Claim::RunOver);
            }
            let SliceId { run, round, shard, slice } = &slice;
            transaction.execute(
                "INSERT INTO claims VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                params![run.as_str(), round, shard, slice, token],
            )?;
            let winner: String = transaction.query_row(
                "SELECT token FROM claims WHERE run = ?1 AND round = ?2 AND shard = ?3 AND slice = ?4",
                params![run.as_str(), round, shard, slice],
                |row| row.get(0),
            )?;
            Ok(if winner == token { Claim::Won } else { Claim::Lost })
        })
        .await
    }

    /// A round of a run.
    ///
    /// # Errors
    /// When the table is unavailable.
    pub async fn round(&self, run: &RunId, number: u32) -> TableResult<Option<Round>> {
        let run = run.clone();
        let sql = "SELECT body FROM rounds WHERE run = ?1 AND number = ?2";
        self.transact(move |transaction| one(transaction, sql, params![run.as_str(), number])).await
    }

    /// How a slice ended, once it has.
    ///
    /// # Errors
    /// When the table is unavailable.
    pub async fn slice_end(&self, slice: &SliceId) -> TableResult<Option<SliceEnd>> {
        let SliceId { run, round, shard, slice } = slice.clone();
        let sql = "SELECT body FROM ends WHERE run = ?1 AND round = ?2 AND shard = ?3 AND slice = ?4";
        self.transact(move |transaction| one(transaction, sql, params![run.as_str(), round, shard, slice]))
            .await
    }

    /// Writes windows, replacing earlier states of the same ones.
    ///
    /// # Errors
    /// When the table is unavailable.
    pub async fn checkpoint(&self, slice: &SliceId, windows: Vec<Window>) -> TableResult<()> {
        let SliceId { run, round, shard, slice } = slice.clone();
        self.transact(move |transaction| {
            let mut insert = transaction
                .prepare_cached("INSERT OR REPLACE INTO windows VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            for window in windows {
                insert.execute(params![
                    run.as_str(),
                    signed(window.at),
                    round,
                    shard,
                    slice,
                    json(&window)?
                ])?;
            }
            Ok(())
        })
        .await
    }

    /// Writes how a slice ended.
    ///
    /// # Errors
    /// When the table is unavailable.
    pub async fn finish_slice(&self, slice: &SliceId, end: SliceEnd) -> TableResult<()> {
        let SliceId { run, round, shard, slice } = slice.clone();
        self.transact(move |transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO ends VALUES (?1, ?2, ?3, ?4, ?5)",
                params![run.as_str(), round, shard, slice, json(&end)?],
            )?;
            Ok(())
        })
        .await
    }

    /// Votes to stop the run; returns how many workers have.
    ///
    /// # Errors
    /// When the table is unavailable.
    pub async fn vote(&self, slice: &SliceId) -> TableResult<u32> {
        let SliceId { run, shard, .. } = slice.clone();
        self.transact(move |transaction| {
            transaction.execute(
                "INSERT INTO votes VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![run.as_str(), shard],
            )?;
            let sql = "SELECT count(*) FROM votes WHERE run = ?1";
            Ok(transaction.query_row(sql, [run.as_str()], |row| row.get(0))?)
        })
        .await
    }

    /// Forgets what only a running run needs, once its report is written.
    ///
    /// # Errors
    /// When the table is unavailable.
    pub async fn forget_windows(&self, run: &RunId) -> TableResult<()> {
        let run = run.clone();
        self.transact(move |transaction| {
            for table in ["windows", "ends", "claims", "votes"] {
                transaction.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run.as_str()])?;
            }
            Ok(())
        })
        .await
    }
}

impl Table for SqliteTable {
    async fn put_config(&self, at: &ConfigRef, config: &Config) -> TableResult<()> {
        let (at, config) = (at.clone(), config.clone());
        self.transact(move |transaction| {
            let sql = "INSERT OR REPLACE INTO configs VALUES (?1, ?2, ?3)";
            transaction.execute(sql, params![at.name, at.version, json(&config)?])?;
            Ok(())
        })
        .await
    }

    async fn config(&self, at: &ConfigRef) -> TableResult<Option<Config>> {
        let at = at.clone();
        let sql = "SELECT body FROM configs WHERE name = ?1 AND version = ?2";
        self.transact(move |transaction| one(transaction, sql, params![at.name, at.version])).await
    }

    async fn claim_run(&self, run: &RunId, execution: &str, name: &str, now: Timestamp) -> TableResult<bool> {
        let (run, execution, name) = (run.clone(), execution.to_owned(), name.to_owned());
        // With all digits, so that the order of texts is the order of times.
        let now = format!("{now:.9}");
        self.transact(move |transaction| {
            transaction.execute(
                "INSERT INTO runs (run, execution, name, claimed_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET execution = ?2, name = ?3, claimed_at = ?4 WHERE execution = ''",
                params![run.as_str(), execution, name, now],
            )?;
            let sql = "SELECT execution FROM runs WHERE run = ?1";
            let winner: String = transaction.query_row(sql, [run.as_str()], |row| row.get(0))?;
            Ok(winner == execution)
        })
        .await
    }

    async fn refuse_run(&self, run: &RunId) -> TableResult<()> {
        let run = run.clone();
        self.transact(move |transaction| set(transaction, &run, "verdict", REFUSED)).await
    }

    async fn put_plan(&self, plan: &Plan) -> TableResult<()> {
        let plan = plan.clone();
        self.transact(move |transaction| set(transaction, &plan.run, "plan", &json(&plan)?)).await
    }

    async fn plan(&self, run: &RunId) -> TableResult<Option<Plan>> {
        let run = run.clone();
        let sql = "SELECT plan FROM runs WHERE run = ?1 AND plan IS NOT NULL";
        self.transact(move |transaction| one(transaction, sql, params![run.as_str()])).await
    }

    async fn open_round(&self, run: &RunId, round: &Round) -> TableResult<Round> {
        let (run, round) = (run.clone(), round.clone());
        self.transact(move |transaction| {
            transaction.execute(
                "INSERT INTO rounds VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![run.as_str(), round.number, json(&round)?],
            )?;
            let sql = "SELECT body FROM rounds WHERE run = ?1 AND number = ?2";
            let opened = one(transaction, sql, params![run.as_str(), round.number])?;
            opened.ok_or_else(|| RowError::Missing(format!("run {run} has no round {}", round.number)))
        })
        .await
    }

    async fn put_round(&self, run: &RunId, round: &Round) -> TableResult<()> {
        let (run, round) = (run.clone(), round.clone());
        self.transact(move |transaction| {
            let sql = "INSERT OR REPLACE INTO rounds VALUES (?1, ?2, ?3)";
            transaction.execute(sql, params![run.as_str(), round.number, json(&round)?])?;
            Ok(())
        })
        .await
    }

    async fn rounds(&self, run: &RunId) -> TableResult<Vec<Round>> {
        let run = run.clone();
        self.transact(move |transaction| {
            let mut select = transaction.prepare("SELECT body FROM rounds WHERE run = ?1 ORDER BY number")?;
            let mut rows = select.query([run.as_str()])?;
            let mut rounds = Vec::new();
            while let Some(row) = rows.next()? {
                rounds.push(from_json(row, 0)?);
            }
            Ok(rounds)
        })
        .await
    }

    async fn slice_ends(
        &self,
        run: &RunId,
        after: Option<&SliceId>,
        limit: u32,
    ) -> TableResult<Vec<(SliceId, SliceEnd)>> {
        let run = run.clone();
        let after = after.map(|id| (i64::from(id.round), id.shard, id.slice));
        // A round that no slice is of, so that all compare above it.
        let (round, shard, slice) = after.unwrap_or((-1, 0, 0));
        self.transact(move |transaction| {
            let mut select = transaction.prepare_cached(
                "SELECT round, shard, slice, body FROM ends
                 WHERE run = ?1 AND (round, shard, slice) > (?2, ?3, ?4)
                 ORDER BY round, shard, slice LIMIT ?5",
            )?;
            let mut rows = select.query(params![run.as_str(), round, shard, slice, limit])?;
            let mut ends = Vec::new();
            while let Some(row) = rows.next()? {
                ends.push((slice_id(&run, row)?, from_json(row, 3)?));
            }
            Ok(ends)
        })
        .await
    }

    async fn windows(
        &self,
        run: &RunId,
        from: u64,
        after: Option<&(SliceId, Window)>,
        limit: u32,
    ) -> TableResult<Vec<(SliceId, Window)>> {
        let run = run.clone();
        let after = after.map(|(id, window)| (signed(window.at), id.round, id.shard, id.slice));
        // A start that no window has, so that all compare above it.
        let (at, round, shard, slice) = after.unwrap_or((-1, 0, 0, 0));
        self.transact(move |transaction| {
            let mut select = transaction.prepare_cached(
                "SELECT round, shard, slice, body FROM windows
                 WHERE run = ?1 AND at >= ?2 AND (at, round, shard, slice) > (?3, ?4, ?5, ?6)
                 ORDER BY at, round, shard, slice LIMIT ?7",
            )?;
            let mut rows =
                select.query(params![run.as_str(), signed(from), at, round, shard, slice, limit])?;
            let mut windows = Vec::new();
            while let Some(row) = rows.next()? {
                windows.push((slice_id(&run, row)?, from_json(row, 3)?));
            }
            Ok(windows)
        })
        .await
    }

    async fn intend(&self, run: &RunId, name: &str) -> TableResult<bool> {
        let (run, name) = (run.clone(), name.to_owned());
        self.transact(move |transaction| {
            if is_over(transaction, &run)? {
                return Ok(false);
            }
            transaction.execute(
                "INSERT INTO ledger VALUES (?1, ?2, 'intent') ON CONFLICT DO NOTHING",
                params![run.as_str(), name],
            )?;
            Ok(true)
        })
        .await
    }

    async fn advance(&self, run: &RunId, name: &str, state: LedgerState) -> TableResult<()> {
        let (run, name) = (run.clone(), name.to_owned());
        self.transact(move |transaction| {
            let sql = "SELECT state FROM ledger WHERE run = ?1 AND name = ?2";
            let now: String = transaction
                .query_row(sql, params![run.as_str(), name], |row| row.get(0))
                .optional()?
                .ok_or_else(|| RowError::Missing(format!("{name} is not in the ledger of run {run}")))?;
            if LedgerState::by_name(&now).is_none_or(|now| now < state) {
                let sql = "UPDATE ledger SET state = ?3 WHERE run = ?1 AND name = ?2";
                transaction.execute(sql, params![run.as_str(), name, state.name()])?;
            }
            Ok(())
        })
        .await
    }

    async fn ledger(&self, run: &RunId) -> TableResult<Vec<LedgerEntry>> {
        let run = run.clone();
        self.transact(move |transaction| {
            let mut select =
                transaction.prepare("SELECT name, state FROM ledger WHERE run = ?1 ORDER BY name")?;
            let mut rows = select.query([run.as_str()])?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                let state: String = row.get(1)?;
                let state = LedgerState::by_name(&state)
                    .ok_or_else(|| RowError::Missing(format!("{state:?} is no state of the ledger")))?;
                entries.push(LedgerEntry { name: row.get(0)?, state });
            }
            Ok(entries)
        })
        .await
    }

    async fn end_run(&self, run: &RunId) -> TableResult<()> {
        let run = run.clone();
        self.transact(move |transaction| {
            expect_run(transaction, &run)?;
            transaction.execute("UPDATE runs SET over = 1 WHERE run = ?1", [run.as_str()])?;
            Ok(())
        })
        .await
    }

    async fn is_over(&self, run: &RunId) -> TableResult<bool> {
        let run = run.clone();
        self.transact(move |transaction| is_over(transaction, &run)).await
    }

    async fn request_stop(&self, run: &RunId, stop: &Stop) -> TableResult<()> {
        let (run, stop) = (run.clone(), stop.clone());
        self.transact(move |transaction| {
            expect_run(transaction, &run)?;
            let sql = "UPDATE runs SET stop = ?2 WHERE run = ?1 AND stop IS NULL";
            transaction.execute(sql, params![run.as_str(), json(&stop)?])?;
            Ok(())
        })
        .await
    }

    async fn stop(&self, run: &RunId) -> TableResult<Option<Stop>> {
        let run = run.clone();
        let sql = "SELECT stop FROM runs WHERE run = ?1 AND stop IS NOT NULL";
        self.transact(move |transaction| one(transaction, sql, params![run.as_str()])).await
    }

    async fn put_report(&self, run: &RunId, report: &Report) -> TableResult<()> {
        let (run, report) = (run.clone(), report.clone());
        self.transact(move |transaction| {
            set(transaction, &run, "verdict", report.verdict.name())?;
            set(transaction, &run, "report", &json(&report)?)
        })
        .await
    }

    async fn report(&self, run: &RunId) -> TableResult<Option<Report>> {
        let run = run.clone();
        let sql = "SELECT report FROM runs WHERE run = ?1 AND report IS NOT NULL";
        self.transact(move |transaction| one(transaction, sql, params![run.as_str()])).await
    }

    async fn run(&self, run: &RunId) -> TableResult<Option<RunSummary>> {
        let run = run.clone();
        self.transact(move |transaction| {
            let mut select = transaction.prepare_cached(&format!("{SUMMARY} AND run = ?1"))?;
            let mut rows = select.query(params![run.as_str()])?;
            rows.next()?.map(summary).transpose()
        })
        .await
    }

    async fn runs(&self) -> TableResult<Vec<RunSummary>> {
        self.transact(|transaction| {
            let mut select = transaction.prepare(&format!("{SUMMARY} ORDER BY claimed_at DESC, run DESC"))?;
            let mut rows = select.query([])?;
            let mut runs = Vec::new();
            while let Some(row) = rows.next()? {
                runs.push(summary(row)?);
            }
            Ok(runs)
        })
        .await
    }
}

/// What [`summary`] reads.
const SUMMARY: &str =
    "SELECT run, execution, name, claimed_at, over, verdict FROM runs WHERE execution <> ''";

fn summary(row: &Row<'_>) -> Result<RunSummary, RowError> {
    let (run, claimed_at): (String, String) = (row.get(0)?, row.get(3)?);
    let damaged = |what: &str| RowError::Missing(format!("{what:?} in the list of runs"));
    Ok(RunSummary {
        run: run.parse().map_err(|_| damaged(&run))?,
        execution: row.get(1)?,
        name: row.get(2)?,
        claimed_at: claimed_at.parse().map_err(|_| damaged(&claimed_at))?,
        over: row.get(4)?,
        verdict: row.get(5)?,
    })
}

/// Why a transaction failed.
#[derive(Debug, Error)]
enum RowError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Missing(String),
}

fn json(value: &impl Serialize) -> Result<String, RowError> {
    Ok(serde_json::to_string(value)?)
}

fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, RowError> {
    let text: String = row.get(column)?;
    Ok(serde_json::from_str(&text)?)
}

/// The JSON in the first column of the first row.
fn one<T: DeserializeOwned>(
    transaction: &Transaction<'_>,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Option<T>, RowError> {
    let mut select = transaction.prepare_cached(sql)?;
    let mut rows = select.query(params)?;
    rows.next()?.map(|row| from_json(row, 0)).transpose()
}

/// Sets a column of a run; `column` is one of ours.
fn set(transaction: &Transaction<'_>, run: &RunId, column: &str, value: &str) -> Result<(), RowError> {
    let sql = format!("UPDATE runs SET {column} = ?2 WHERE run = ?1 AND execution <> ''");
    let rows = transaction.execute(&sql, params![run.as_str(), value])?;
    if rows == 0 {
        return Err(RowError::Missing(format!("run {run} was never claimed")));
    }
    Ok(())
}

/// Makes room for what is said of a run before it is claimed: its row, which no
/// execution has.
fn expect_run(transaction: &Transaction<'_>, run: &RunId) -> Result<(), RowError> {
    let sql =
        "INSERT INTO runs (run, execution, name, claimed_at) VALUES (?1, '', '', '') ON CONFLICT DO NOTHING";
    transaction.execute(sql, [run.as_str()])?;
    Ok(())
}

fn is_over(transaction: &Transaction<'_>, run: &RunId) -> Result<bool, RowError> {
    let sql = "SELECT over FROM runs WHERE run = ?1";
    let over = transaction.query_row(sql, [run.as_str()], |row| row.get(0)).optional()?;
    Ok(over.unwrap_or(false))
}

fn slice_id(run: &RunId, row: &Row<'_>) -> Result<SliceId, RowError> {
    Ok(SliceId { run: run.clone(), round: row.get(0)?, shard: row.get(1)?, slice: row.get(2)? })
}

/// SQLite's integers are signed; 30 days are 2.6·10¹² microseconds.
fn signed(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_may_open_a_new_table_at_once() {
        let together = std::sync::Barrier::new(4);
        for _ in 0..40 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("runs.db");
            std::thread::scope(|scope| {
                let open = || {
                    together.wait();
                    SqliteTable::open(&path)
                };
                let all: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
                for one in all {
                    one.join().unwrap().unwrap();
                }
            });
        }
    }
}
