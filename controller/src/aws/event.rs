//! What invokes the controller: the state machine and schedules with a task,
//! and a rule with what became of an execution.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::{CaughtFailure, ReleaseInput, Start, Task};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// An execution that has ended, as EventBridge tells it. See
/// <https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html>.
#[derive(Debug, Deserialize)]
struct Ended {
    detail: Detail,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    name: String,
    status: String,
    /// In milliseconds of the epoch.
    start_date: Option<i64>,
    /// Absent when it was too long.
    input: Option<String>,
    error: Option<String>,
    cause: Option<String>,
}

/// The task that an event asks for, as the dispatcher reads it.
///
/// # Errors
/// When it is neither a task nor the end of an execution of ours.
pub(super) fn task_of(event: Value) -> Result<Value, TaskError> {
    if event.get("task").is_some() {
        return Ok(event);
    }
    let broken = |problem: &dyn std::fmt::Display| TaskError::Broken(format!("not a task: {problem}"));
    let Ended { detail } = serde_json::from_value(event).map_err(|error| broken(&error))?;
    let started_at = detail.start_date.and_then(|date| Timestamp::from_millisecond(date).ok());
    let start = detail.input.as_ref().and_then(|input| serde_json::from_str::<Start>(input).ok());
    let run: RunId = match (start, started_at) {
        (Some(Start::Run { run, .. }), _) => run,
        (Some(start), Some(started_at)) => start.run(started_at),
        // A client names the execution by the run.
        _ => detail.name.parse().map_err(|error| broken(&error))?,
    };
    let execution = Some(detail.name.clone());
    let task = Task::Release(ReleaseInput { run, execution, failure: failure(detail) });
    serde_json::to_value(task).map_err(|error| broken(&error))
}

/// An aborted execution was stopped by someone; any other failed.
fn failure(detail: Detail) -> Option<CaughtFailure> {
    if detail.status == "ABORTED" {
        return None;
    }
    let timed_out = detail.status == "TIMED_OUT";
    let error = detail
        .error
        .unwrap_or_else(|| if timed_out { "States.Timeout" } else { "States.Runtime" }.to_owned());
    let cause = detail.cause.unwrap_or_else(|| format!("the execution ended as {}", detail.status));
    Some(CaughtFailure { error, cause })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(detail: &Value) -> Value {
        json!({ "detail-type": "Step Functions Execution Status Change", "source": "aws.states", "detail": detail })
    }

    #[test]
    fn a_task_is_what_it_is() {
        let task = json!({ "task": "Judge", "run": "a", "round": 0 });
        assert_eq!(task_of(task.clone()).unwrap(), task);
    }

    #[test]
    fn the_end_of_an_execution_releases_its_run() {
        let input = json!({ "run": "a-run", "config": { "name": "a", "version": "1" } }).to_string();
        let aborted =
            event(&json!({ "name": "another", "status": "ABORTED", "startDate": 0, "input": input }));
        let release = json!({ "task": "Release", "run": "a-run", "execution": "another", "failure": null });
        assert_eq!(task_of(aborted).unwrap(), release);
        let timed_out =
            event(&json!({ "name": "a-run", "status": "TIMED_OUT", "startDate": 0, "input": null }));
        let task = task_of(timed_out).unwrap();
        assert_eq!((&task["run"], &task["failure"]["Error"]), (&json!("a-run"), &json!("States.Timeout")));
    }

    #[test]
    fn the_end_of_a_scheduled_execution_releases_the_run_of_its_tick() {
        let tick = |time: &str| {
            let input =
                json!({ "schedule": "nightly", "tick": time, "config": { "name": "a", "version": "1" } });
            let event = event(&json!({
                "name": "0a1b", "status": "FAILED", "startDate": 1_795_500_000_000_i64, "input": input.to_string(),
                "error": "DeathStar.Broken", "cause": "a reason",
            }));
            task_of(event).unwrap()
        };
        assert_eq!(tick("2026-11-24T03:00:00Z")["run"], "nightly-20261124-0300");
        assert_eq!(tick("2026-11-24T03:00:00Z")["execution"], "0a1b", "which is not the run's name");
        assert_eq!(
            tick("2026-11-24T03:00:00Z")["failure"],
            json!({ "Error": "DeathStar.Broken", "Cause": "a reason" })
        );
        // 1,795,500,000 s after the epoch.
        assert_eq!(tick("no time")["run"], "nightly-20261124-0600");
    }

    #[test]
    fn anything_else_is_refused() {
        for event in [json!({}), json!(null), event(&json!({ "name": "A:B", "status": "ABORTED" }))] {
            assert_eq!(task_of(event).unwrap_err().name(), "DeathStar.Broken");
        }
    }
}
