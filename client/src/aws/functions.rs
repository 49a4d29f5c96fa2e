//! The controller, as the command line calls it; and worker functions, which
//! only `destroy` looks for itself, when there is no controller any more.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use deathstar_statemachine::ids::FUNCTION_PREFIX;
use deathstar_statemachine::message::{JanitorOutput, Task};

use super::connection::Connection;
use super::error::{AwsError, Why, failed};
use crate::install::StackName;

/// What a worker function is told its table is: by that, two stacks of one
/// account know theirs.
const TABLE_VARIABLE: &str = "DEATHSTAR_TABLE";

/// The functions of an installation.
#[derive(Debug, Clone)]
pub(crate) struct Functions {
    client: Client,
    stack: StackName,
}

impl Functions {
    /// Those of `stack`.
    pub(crate) fn new(connection: &Connection, stack: &StackName) -> Self {
        Self { client: Client::new(connection.config()), stack: stack.clone() }
    }

    /// Has the controller look for what outlived its run. `None` when there is
    /// no controller.
    ///
    /// # Errors
    /// When it cannot be invoked, or fails.
    pub(crate) async fn janitor(&self) -> Result<Option<JanitorOutput>, AwsError> {
        let name = self.stack.controller();
        let doing = format!("ask {name} what is under way");
        let garbled = |text: String| AwsError::new(&doing, Why::Garbled(text));
        let task = serde_json::to_vec(&Task::Janitor).map_err(|error| garbled(error.to_string()))?;
        let invoke = self.client.invoke().function_name(&name).payload(Blob::new(task)).send().await;
        let answer = match invoke.map_err(failed("lambda:InvokeFunction", &doing)) {
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
            other => other?,
        };
        let payload = answer.payload().map_or(&[][..], AsRef::as_ref);
        if answer.function_error().is_some() {
            return Err(AwsError::new(&doing, of_function(payload)));
        }
        serde_json::from_slice(payload).map(Some).map_err(|error| garbled(error.to_string()))
    }

    /// The worker functions that are left of the stack's runs.
    ///
    /// # Errors
    /// When functions cannot be listed.
    pub(crate) async fn workers(&self) -> Result<Vec<String>, AwsError> {
        let mut names = Vec::new();
        let mut pages = self.client.list_functions().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(failed("lambda:ListFunctions", "look for worker functions"))?;
            for function in page.functions() {
                let variables = function.environment().and_then(|environment| environment.variables());
                let table = variables.and_then(|variables| variables.get(TABLE_VARIABLE));
                let name = function.function_name().unwrap_or_default();
                if name.starts_with(FUNCTION_PREFIX)
                    && table.is_some_and(|table| table == self.stack.as_str())
                {
                    names.push(name.to_owned());
                }
            }
        }
        Ok(names)
    }

    /// Deletes a worker function; one that is not there is as good.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), AwsError> {
        let delete = self.client.delete_function().function_name(name).send().await;
        match delete.map_err(failed("lambda:DeleteFunction", format!("delete the function {name}"))) {
            Err(error) if error.code() != Some("ResourceNotFoundException") => Err(error),
            _ => Ok(()),
        }
    }
}

/// How a function says that it failed.
fn of_function(payload: &[u8]) -> Why {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        error_type: String,
        #[serde(default)]
        error_message: String,
    }
    match serde_json::from_slice(payload) {
        Ok(Failure { error_type, error_message }) => {
            Why::Refused { code: error_type, message: error_message }
        }
        Err(_) => Why::Garbled(String::from_utf8_lossy(payload).into_owned()),
    }
}
