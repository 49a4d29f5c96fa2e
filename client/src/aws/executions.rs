//! The executions of a stack's state machine: each is a run, and is named after
//! it unless a schedule started it.

use std::collections::BTreeSet;

use aws_sdk_sfn::Client;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::types::ExecutionStatus;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::{CaughtFailure, Start};

use super::connection::Connection;
use super::error::{AwsError, Why, failed};
use crate::mode::{Ending, Standing};

/// What the ARN of a state machine and those of its executions differ in.
const MACHINE: &str = ":stateMachine:";
const EXECUTION: &str = ":execution:";

/// The executions of one state machine.
#[derive(Debug, Clone)]
pub(crate) struct Executions {
    client: Client,
    machine: String,
}

/// What became of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Started {
    /// There is one of that name and input now, or has been before.
    Yes,
    /// There is one of that name and another input.
    AnotherHasTheName,
}

impl Executions {
    /// Those of the state machine with this ARN.
    pub(crate) fn new(connection: &Connection, machine: &str) -> Self {
        Self { client: Client::new(connection.config()), machine: machine.to_owned() }
    }

    /// The ARN of an execution of this name.
    pub(crate) fn arn(&self, name: &str) -> String {
        format!("{}:{name}", self.machine.replacen(MACHINE, EXECUTION, 1))
    }

    /// Starts a run; one that is started already is as good.
    ///
    /// # Errors
    /// When Step Functions refuses, or cannot be reached.
    pub(crate) async fn start(&self, run: &RunId, start: &Start) -> Result<Started, AwsError> {
        let doing = format!("start run {run}");
        let input = serde_json::to_string(start);
        let input = input.map_err(|error| AwsError::new(&doing, Why::Garbled(error.to_string())))?;
        let answer = self.client.start_execution().state_machine_arn(&self.machine).name(run.as_str());
        match answer.input(input).send().await.map_err(failed("states:StartExecution", &doing)) {
            // One of the same input, that has not ended yet, counts as started
            // with AWS itself.
            Ok(_) => return Ok(Started::Yes),
            Err(error) if error.code() != Some("ExecutionAlreadyExists") => return Err(error),
            Err(_) => {}
        }
        let existing = self.describe(run.as_str()).await?;
        let input = existing.as_ref().and_then(DescribeExecutionOutput::input);
        let same = input.and_then(|input| serde_json::from_str(input).ok()).as_ref() == Some(start);
        Ok(if same { Started::Yes } else { Started::AnotherHasTheName })
    }

    /// What becomes of the execution of this name.
    ///
    /// # Errors
    /// When Step Functions refuses, or cannot be reached.
    pub(crate) async fn standing(&self, name: &str) -> Result<Standing, AwsError> {
        Ok(self.describe(name).await?.map_or(Standing::Unknown, |execution| {
            standing(execution.status(), execution.error(), execution.cause())
        }))
    }

    /// The names of all that go on.
    ///
    /// # Errors
    /// When Step Functions refuses, or cannot be reached.
    pub(crate) async fn running(&self) -> Result<BTreeSet<String>, AwsError> {
        let mut names = BTreeSet::new();
        let list = self.client.list_executions().state_machine_arn(&self.machine);
        let mut pages = list.status_filter(ExecutionStatus::Running).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(failed("states:ListExecutions", "list the runs under way"))?;
            names.extend(page.executions().iter().map(|execution| execution.name().to_owned()));
        }
        Ok(names)
    }

    /// Stops the execution of this name; one that has ended is as good.
    ///
    /// # Errors
    /// When Step Functions refuses, or cannot be reached.
    pub(crate) async fn stop(&self, name: &str) -> Result<(), AwsError> {
        let stop = self.client.stop_execution().execution_arn(self.arn(name));
        let stop = stop.error("DeathStar.Stopped").cause("deathstar stop");
        let doing = format!("stop the execution {name}");
        stop.send().await.map(|_| ()).map_err(failed("states:StopExecution", doing))
    }

    async fn describe(&self, name: &str) -> Result<Option<DescribeExecutionOutput>, AwsError> {
        let doing = format!("look for the execution {name}");
        let answer = self.client.describe_execution().execution_arn(self.arn(name)).send().await;
        match answer.map_err(failed("states:DescribeExecution", doing)) {
            Ok(execution) => Ok(Some(execution)),
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn standing(status: &ExecutionStatus, error: Option<&str>, cause: Option<&str>) -> Standing {
    let failure = |usual: &str| {
        let (error, cause) = (error.unwrap_or(usual), cause.unwrap_or("Step Functions does not say why"));
        Standing::Ended(Ending::Failed(CaughtFailure { error: error.to_owned(), cause: cause.to_owned() }))
    };
    match status {
        ExecutionStatus::Succeeded => Standing::Ended(Ending::Gone),
        ExecutionStatus::Aborted => Standing::Ended(Ending::Stopped),
        ExecutionStatus::Failed => failure("States.Runtime"),
        ExecutionStatus::TimedOut => failure("States.Timeout"),
        // Also one that waits to be redriven, which nobody but a person ends.
        _ => Standing::UnderWay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_says_how_the_run_is() {
        assert_eq!(standing(&ExecutionStatus::Running, None, None), Standing::UnderWay);
        assert_eq!(standing(&ExecutionStatus::Succeeded, None, None), Standing::Ended(Ending::Gone));
        // A stop has an error and a cause, and yet nothing failed.
        let aborted = standing(&ExecutionStatus::Aborted, Some("DeathStar.Stopped"), Some("deathstar stop"));
        assert_eq!(aborted, Standing::Ended(Ending::Stopped));
        for (status, error, expected) in [
            (ExecutionStatus::Failed, Some("DeathStar.OverLimit"), "DeathStar.OverLimit"),
            (ExecutionStatus::Failed, None, "States.Runtime"),
            (ExecutionStatus::TimedOut, None, "States.Timeout"),
        ] {
            let Standing::Ended(Ending::Failed(failure)) = standing(&status, error, Some("why")) else {
                panic!("{status} is no failure");
            };
            assert_eq!((failure.error.as_str(), failure.cause.as_str()), (expected, "why"));
        }
    }
}
