//! What holds for the embedded adapters alone: a file that processes share, and
//! limits that tests can set. What holds for every adapter is in
//! `tests/emulator/contract`.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::future::Future;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use deathstar_controller::dispatch::run_task;
use deathstar_controller::embedded::EmbeddedPorts;
use deathstar_controller::embedded::functions::{InProcessFunctions, Invocation, Limits};
use deathstar_controller::embedded::table::SqliteTable;
use deathstar_controller::ports::{FunctionSpec, FunctionState, Functions, Switches, Table};
use deathstar_statemachine::config::Config;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{RunId, SliceId};
use deathstar_statemachine::interpreter::Failure;
use deathstar_statemachine::plan::{Place, Plan};
use deathstar_statemachine::table::{Claim, LedgerState};
use deathstar_statemachine::window::Window;
use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;

// Limits of the platform, which only the embedded one lets tests set.

#[tokio::test(start_paused = true)]
async fn calls_over_the_control_planes_rate_are_throttled() {
    let limits = Limits { control_plane_per_s: 2.0, ..Limits::default() };
    let functions = functions(limits);
    functions.create(&spec("a")).await.unwrap();
    functions.create(&spec("b")).await.unwrap();
    let throttled = functions.create(&spec("c")).await.unwrap_err();
    assert_eq!(throttled.name(), "DeathStar.Throttled", "{throttled}");
    let throttled = functions.delete("a").await.unwrap_err();
    assert_eq!(throttled.name(), "DeathStar.Throttled", "{throttled}");
    assert_eq!(names(&functions, "").await, ["a", "b"], "a call that was throttled did nothing");
    tokio::time::sleep(Duration::from_millis(500)).await;
    functions.create(&spec("c")).await.unwrap();
    assert!(functions.create(&spec("d")).await.is_err(), "half a second is one call");
    tokio::time::sleep(Duration::from_secs(60)).await;
    for name in ["a", "b"] {
        functions.delete(name).await.unwrap();
    }
    assert!(functions.delete("c").await.is_err(), "an idle minute saves up no more than a second's calls");
}

#[tokio::test(start_paused = true)]
async fn a_function_is_invoked_once_it_is_active() {
    let limits = Limits { pending: Duration::from_secs(3), ..Limits::default() };
    let functions = functions(limits);
    assert_eq!(invoke(&functions, "echo").await.unwrap_err().error, "Lambda.ResourceNotFoundException");
    functions.create(&spec("f")).await.unwrap();
    assert_eq!(invoke(&functions, "echo").await.unwrap_err().error, "Lambda.ResourceNotReadyException");
    tokio::time::sleep(Duration::from_millis(2999)).await;
    assert_eq!(functions.state("f").await.unwrap(), FunctionState::Pending);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(invoke(&functions, "echo").await.unwrap(), json!("echo"));
    functions.delete("f").await.unwrap();
    assert_eq!(invoke(&functions, "echo").await.unwrap_err().error, "Lambda.ResourceNotFoundException");
}

#[tokio::test]
async fn a_functions_own_error_and_its_panic_have_names() {
    let functions = active(Limits::default()).await;
    let failed = invoke(&functions, "fail").await.unwrap_err();
    assert_eq!((failed.error.as_str(), failed.cause.as_str()), ("DeathStar.Broken", "as asked"));
    let panicked = invoke(&functions, "panic").await.unwrap_err();
    assert_eq!(panicked.error, "Lambda.Unknown");
    assert!(panicked.cause.contains("as asked"), "{}", panicked.cause);
    assert_eq!(invoke(&functions, "echo").await.unwrap(), json!("echo"), "the next invocation is untouched");
    functions.idle().await;
}

#[tokio::test]
async fn invocations_over_the_concurrency_are_refused() {
    let limits = Limits { concurrency: 2, pending: Duration::ZERO, ..Limits::default() };
    let (functions, gate) = functions_with_gate(limits);
    functions.create(&spec("f")).await.unwrap();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let functions = functions.clone();
            tokio::spawn(async move { invoke(&functions, "hold").await })
        })
        .collect();
    while gate.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    let refused = invoke(&functions, "echo").await.unwrap_err();
    assert_eq!(refused.error, "Lambda.TooManyRequestsException");
    assert!(refused.cause.contains("the limit is 2"), "{}", refused.cause);
    gate.open();
    for held in held {
        held.await.unwrap().unwrap();
    }
    functions.idle().await;
    assert_eq!(invoke(&functions, "echo").await.unwrap(), json!("echo"));
}

#[tokio::test]
async fn a_panic_frees_its_place() {
    let functions = active(Limits { concurrency: 1, ..Limits::default() }).await;
    for _ in 0..3 {
        assert_eq!(invoke(&functions, "panic").await.unwrap_err().error, "Lambda.Unknown");
    }
}

#[tokio::test]
async fn every_invocation_has_a_token_of_its_own() {
    let functions = active(Limits::default()).await;
    let one = invoke(&functions, "token").await.unwrap();
    let other = invoke(&functions, "token").await.unwrap();
    assert_ne!(one, other);
}

// The table's file, which processes share.

#[test]
fn a_table_is_opened_by_many_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let opened: Vec<_> = std::thread::scope(|scope| {
        let open = || SqliteTable::open(&path).map(drop);
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for opened in opened {
        opened.unwrap();
    }
}

#[test]
fn two_handles_on_one_file_agree_on_who_won() {
    const SLICES: u32 = 100;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let first = SqliteTable::open(&path).unwrap();
    let run = block_on(claim(&first, "a"));
    let won = AtomicUsize::new(0);
    let work = |token: &'static str| {
        // A handle of its own, as another process would have.
        let table = SqliteTable::open(&path).unwrap();
        let (run, won) = (&run, &won);
        move || {
            block_on(async {
                for number in 0..SLICES {
                    let slice = slice(run, number, 0);
                    if table.claim_slice(&slice, token).await.unwrap() == Claim::Won {
                        won.fetch_add(1, Ordering::Relaxed);
                        table.checkpoint(&slice, vec![window(0)]).await.unwrap();
                    }
                }
            });
        }
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(work("one")), scope.spawn(work("other"))];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(won.into_inner(), SLICES as usize, "each slice has one winner");
    let windows = block_on(first.windows(&run, 0, None, 1000)).unwrap();
    assert_eq!(windows.len(), SLICES as usize, "and what both wrote is there");
}

#[test]
fn a_file_of_another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    drop(SqliteTable::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = SqliteTable::open(&path).unwrap_err().to_string();
    assert!(refused.contains("version 99") && refused.contains("runs.db"), "{refused}");
}

#[tokio::test]
async fn a_table_that_is_gone_is_unavailable_and_one_that_is_damaged_is_broken() {
    let (folder, table) = sqlite();
    let run = claim(&table, "a").await;
    execute(&folder, "UPDATE runs SET plan = '{\"half\": '");
    let damaged = table.plan(&run).await.unwrap_err();
    assert_eq!(damaged.name(), "DeathStar.Broken", "{damaged}");
    execute(&folder, "DROP TABLE runs");
    let gone = table.plan(&run).await.unwrap_err();
    assert_eq!(gone.name(), "DeathStar.TableUnavailable", "{gone}");
    assert!(gone.to_string().contains("runs.db"), "{gone}");
}

// Tear-down over both ports.

#[tokio::test]
async fn tear_down_releases_all_and_may_be_repeated() {
    let (_folder, ports, run) = provisioned().await;
    for _ in 0..2 {
        tear_down(&ports, &run).await.unwrap();
        assert_eq!(names(&ports.functions, "").await, [""; 0]);
        let states = states(&ports.table, &run).await;
        assert_eq!(states.len(), 3, "two functions and the switch");
        assert_eq!(not_deleted(&states), ["run-torn-down"], "which goes after the report");
        assert!(ports.table.is_over(&run).await.unwrap());
    }
    for _ in 0..2 {
        run_task(&ports, json!({ "task": "Report", "run": run, "state": {} })).await.unwrap();
        assert_eq!(not_deleted(&states(&ports.table, &run).await), [""; 0]);
        assert_eq!(ports.switches.list().await.unwrap(), []);
        assert_eq!(ports.table.report(&run).await.unwrap().unwrap().leaks, 0);
    }
}

fn not_deleted(states: &[(String, LedgerState)]) -> Vec<&str> {
    let left = states.iter().filter(|(_, state)| *state != LedgerState::Deleted);
    left.map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn tear_down_deletes_what_exists_even_when_the_table_is_away() {
    for away in ["runs", "ledger"] {
        let (folder, ports, run) = provisioned().await;
        ports.functions.create(&spec("deathstar-w-another-run-0")).await.unwrap();
        execute(&folder, &format!("ALTER TABLE {away} RENAME TO away"));
        let failed = tear_down(&ports, &run).await.unwrap_err();
        assert_eq!(failed.name(), "DeathStar.TableUnavailable", "{failed}");
        assert_eq!(names(&ports.functions, "").await, ["deathstar-w-another-run-0"]);
        // Once the table is back, the ledger learns of it.
        execute(&folder, &format!("ALTER TABLE away RENAME TO {away}"));
        tear_down(&ports, &run).await.unwrap();
        assert_eq!(not_deleted(&states(&ports.table, &run).await), ["run-torn-down"]);
    }
}

/// A run with two functions, both in the ledger.
async fn provisioned() -> (TempDir, EmbeddedPorts, RunId) {
    let (folder, table) = sqlite();
    let ports = EmbeddedPorts::new(table, functions(Limits::default()), place());
    let run = claim(&ports.table, "torn-down").await;
    let mut plan = plan(&run);
    plan.fleets.push(plan.fleets[0].clone());
    plan.fleets[1].function = run.function_name(1);
    ports.table.put_plan(&plan).await.unwrap();
    run_task(&ports, json!({ "task": "Provision", "run": run })).await.unwrap();
    assert_eq!(ports.functions.list("").await.unwrap().len(), 2);
    (folder, ports, run)
}

async fn tear_down(ports: &EmbeddedPorts, run: &RunId) -> Result<(), TaskError> {
    run_task(ports, json!({ "task": "TearDown", "run": run })).await.map(|_| ())
}

// Things to test with.

const SECOND: u64 = 1_000_000;

fn sqlite() -> (TempDir, SqliteTable) {
    let folder = tempfile::tempdir().unwrap();
    let table = SqliteTable::open(&folder.path().join("runs.db")).unwrap();
    (folder, table)
}

/// Changes the table's file behind the adapter's back.
fn execute(folder: &TempDir, sql: &str) {
    let path: &Path = &folder.path().join("runs.db");
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Holds invocations until it is opened.
#[derive(Default)]
struct Gate {
    /// How many have come to it, and whether it is open.
    state: Mutex<(u32, bool)>,
    opened: Condvar,
}

impl Gate {
    fn waiting(&self) -> u32 {
        self.state.lock().unwrap().0
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        drop(self.opened.wait_while(state, |(_, is_open)| !*is_open).unwrap());
    }
}

/// Functions whose code does what its payload says.
fn functions(limits: Limits) -> InProcessFunctions {
    functions_with_gate(limits).0
}

/// The same, and the gate before which `hold` waits.
fn functions_with_gate(limits: Limits) -> (InProcessFunctions, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let held_by = Arc::clone(&gate);
    let code = move |invocation: Invocation| {
        match invocation.payload.as_str() {
            Some("fail") => return Err(Failure::new("DeathStar.Broken", "as asked")),
            Some("panic") => panic!("as asked"),
            Some("token") => return Ok(json!(invocation.token)),
            Some("hold") => held_by.wait(),
            _ => {}
        }
        Ok(invocation.payload)
    };
    (InProcessFunctions::new(limits, Box::new(code)), gate)
}

/// Functions with one, `f`, that is active.
async fn active(limits: Limits) -> InProcessFunctions {
    let functions = functions(Limits { pending: Duration::ZERO, ..limits });
    functions.create(&spec("f")).await.unwrap();
    functions
}

async fn invoke(functions: &InProcessFunctions, what: &str) -> Result<serde_json::Value, Failure> {
    functions.invoke("f", json!(what)).await
}

async fn claim(table: &impl Table, name: &str) -> RunId {
    let run = run(name);
    assert!(table.claim_run(&run, name, "contract", at(0)).await.unwrap());
    run
}

async fn states(table: &impl Table, run: &RunId) -> Vec<(String, LedgerState)> {
    let ledger = table.ledger(run).await.unwrap();
    ledger.into_iter().map(|entry| (entry.name, entry.state)).collect()
}

fn run(name: &str) -> RunId {
    name.parse().unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_499_422 + second).unwrap()
}

fn slice(run: &RunId, shard: u32, slice: u32) -> SliceId {
    SliceId { run: run.clone(), round: 0, shard, slice }
}

fn window(second: u64) -> Window {
    Window::empty(second * SECOND, SECOND)
}

fn config() -> Config {
    let text = "name: contract\nattacks:\n  - name: home\n    url: http://127.0.0.1:1/\n    rate: 10/s\n    duration: 10s\nslo:\n  - p99 < 1s\n";
    Config::from_text(text, |_| Err("no files".to_owned())).unwrap()
}

async fn names(functions: &impl Functions, prefix: &str) -> Vec<String> {
    functions.list(prefix).await.unwrap().into_iter().map(|listed| listed.name).collect()
}

fn spec(name: &str) -> FunctionSpec {
    FunctionSpec { name: name.to_owned(), run: run("a"), memory_mb: 128, expires_at: at(3600) }
}

fn place() -> Place {
    Place {
        mode: "embedded".to_owned(),
        cores: NonZeroU32::MIN,
        rate_per_worker: NonZeroU32::new(1000).unwrap(),
        sockets: NonZeroU32::new(1000).unwrap(),
        workers_share_process: true,
        workers_per_function: NonZeroU32::new(1000).unwrap(),
        lead: Duration::from_millis(100),
        checkpoint: Duration::from_secs(1),
        slice: Duration::from_secs(600),
        invocation: Duration::from_secs(900),
        setup: Duration::from_secs(60),
        grace: Duration::from_secs(60),
    }
}

fn plan(run: &RunId) -> Plan {
    Plan::new(run.clone(), config(), place(), at(0)).unwrap()
}
