//! What every adapter of a port must do, whichever technology it speaks.
//!
//! Facts are functions over ports; each runs against the adapters of embedded
//! mode and against those of AWS mode, on the emulator.

mod functions;
pub(crate) mod scale;
pub(crate) mod table;

use deathstar::embedded::EmbeddedWorkerTable;
use deathstar_controller::embedded::functions::{InProcessFunctions, Limits};
use deathstar_controller::embedded::table::SqliteTable;
use tempfile::TempDir;

use crate::aws::{dynamodb, lambda};

/// Runs every fact of the table against every adapter, each on a table of its
/// own that is empty.
macro_rules! for_every_table {
    ($($fact:ident)*) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $fact() {
                    let (_folder, table) = super::sqlite();
                    let worker = super::EmbeddedWorkerTable(table.clone());
                    super::facts::$fact(&table, &worker).await;
                }
            )*
        }
        mod dynamodb {
            $(
                #[tokio::test]
                async fn $fact() {
                    let (table, worker) = super::dynamodb().await;
                    super::facts::$fact(&table, &worker).await;
                }
            )*
        }
    };
}

for_every_table! {
    a_config_comes_back_as_it_was_stored
    a_run_is_claimed_by_one_execution
    a_plan_belongs_to_a_claimed_run
    workers_read_what_the_controller_wrote
    rounds_come_in_order_and_are_replaced
    a_round_is_opened_once
    the_ledger_only_moves_forwards
    nothing_is_intended_for_a_run_that_is_over
    a_slice_is_claimed_by_one_invocation
    nothing_is_claimed_in_a_run_that_is_over
    the_first_reason_to_stop_is_kept
    workers_stop_when_anyone_asked_for_it
    each_worker_votes_once
    windows_come_in_pages_and_in_order
    windows_of_many_workers_and_requests_come_whole
    a_window_is_replaced_by_its_later_state
    a_slice_ends_once_for_all
    ends_of_slices_come_in_pages
    runs_come_with_the_newest_first
    a_report_gives_the_run_its_verdict
    runs_do_not_see_each_other
    a_run_may_be_over_before_it_is_claimed
    a_run_may_be_stopped_before_it_is_claimed
    the_first_reason_is_kept_whoever_gives_it
    a_slice_has_one_winner_of_many_at_once
    of_many_votes_at_once_the_last_is_told_of_all
    what_is_larger_than_a_row_comes_back_whole
    a_window_of_many_requests_is_replaced_by_its_later_state
    ends_that_are_larger_than_a_page_come_whole
    a_round_is_seen_by_workers_as_it_was_decided
}

/// All facts of the table, wherever they are.
mod facts {
    pub(super) use super::scale::*;
    pub(super) use super::table::*;
}

/// Runs every fact of functions against every platform, each without functions.
macro_rules! for_every_platform {
    ($($fact:ident)*) => {
        mod in_process {
            $(
                #[tokio::test(start_paused = true)]
                async fn $fact() {
                    super::functions::$fact(&super::in_process()).await;
                }
            )*
        }
        mod lambda {
            $(
                #[tokio::test]
                async fn $fact() {
                    let (_folder, functions) = super::lambda().await;
                    super::functions::$fact(&functions).await;
                }
            )*
        }
    };
}

for_every_platform! {
    a_function_becomes_active
    creating_and_deleting_may_be_repeated
    functions_are_listed_by_prefix
    a_name_that_is_too_long_is_refused
}

fn sqlite() -> (TempDir, SqliteTable) {
    let folder = tempfile::tempdir().unwrap();
    let table = SqliteTable::open(&folder.path().join("runs.db")).unwrap();
    (folder, table)
}

fn in_process() -> InProcessFunctions {
    InProcessFunctions::new(Limits::default(), Box::new(|_| unreachable!("none is invoked")))
}
