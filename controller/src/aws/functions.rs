//! Worker functions on AWS Lambda.
//!
//! All calls but GetFunction share 15 a second of the account's control plane
//! with everything else that the account does, so ours take turns well below
//! that. See <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::create_function::builders::CreateFunctionFluentBuilder;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    AccountLimit, Architecture, Environment, FunctionCode, LoggingConfig, Runtime, State,
};
use deathstar_statemachine::error::TaskError;
use jiff::Timestamp;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use crate::clock;
use crate::ports::{FunctionSpec, FunctionState, Functions, Listed};

/// Names the table of a worker's run, and with it the stack that it belongs to.
pub const TABLE_VARIABLE: &str = "DEATHSTAR_TABLE";
/// Names a worker's run.
pub const RUN_VARIABLE: &str = "DEATHSTAR_RUN";
/// Says when a worker must be gone.
pub const EXPIRES_VARIABLE: &str = "DEATHSTAR_EXPIRES";

/// Calls of the control plane that we make in a second, of the account's 15.
const CALLS_PER_S: f64 = 8.0;

/// How long one invocation may take: the most that Lambda allows, and what the
/// definition gives a worker.
const TIMEOUT_S: i32 = 900;

/// The longest name of a function, in characters.
const NAME_LENGTH: usize = 64;

/// Invocations that the run itself needs beside its workers: the controller, and
/// one more for a janitor or a rule at the same time.
const RESERVE: i32 = 2;

/// What worker functions are made of.
#[derive(Debug, Clone)]
pub struct Making {
    /// The ARN of the role that they run as.
    pub role: String,
    /// The log group that they share, so that none outlives them.
    pub log_group: String,
    /// The file that is the worker's package.
    pub package: PathBuf,
}

/// The worker functions of one stack.
#[derive(Debug, Clone)]
pub struct LambdaFunctions {
    client: Client,
    table: String,
    making: Arc<Making>,
    package: Arc<OnceCell<Blob>>,
    turns: Arc<Turns>,
}

/// Spaces calls out, so that they stay below a rate whatever asks for them.
#[derive(Debug)]
struct Turns {
    next: Mutex<Option<Instant>>,
}

impl Turns {
    async fn wait(&self) {
        let mut next = self.next.lock().await;
        let now = clock::monotonic();
        let turn = next.unwrap_or(now).max(now);
        *next = Some(turn + Duration::from_secs_f64(1.0 / CALLS_PER_S));
        drop(next);
        tokio::time::sleep_until(turn).await;
    }
}

impl LambdaFunctions {
    /// The worker functions of the stack whose table is `table`.
    #[must_use]
    pub fn new(client: Client, table: String, making: Making) -> Self {
        let turns = Arc::new(Turns { next: Mutex::new(None) });
        Self { client, table, making: Arc::new(making), package: Arc::default(), turns }
    }

    async fn package(&self) -> Result<Blob, TaskError> {
        let path = &self.making.package;
        let read = || async {
            let bytes = std::fs::read(path).map_err(|error| {
                TaskError::Broken(format!("the worker's package {} cannot be read: {error}", path.display()))
            })?;
            Ok(Blob::new(bytes))
        };
        self.package.get_or_try_init(read).await.cloned()
    }

    async fn creation(&self, spec: &FunctionSpec) -> Result<CreateFunctionFluentBuilder, TaskError> {
        let expires_at = spec.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let variables = HashMap::from([
            (TABLE_VARIABLE.to_owned(), self.table.clone()),
            (RUN_VARIABLE.to_owned(), spec.run.to_string()),
            (EXPIRES_VARIABLE.to_owned(), expires_at.clone()),
        ]);
        let logging = LoggingConfig::builder().log_group(&self.making.log_group).build();
        let architecture =
            if std::env::consts::ARCH == "aarch64" { Architecture::Arm64 } else { Architecture::X8664 };
        Ok(self
            .client
            .create_function()
            .function_name(&spec.name)
            .description(format!("A worker of DeathStar's run {}; gone by {expires_at}", spec.run))
            .runtime(Runtime::Providedal2023)
            .architectures(architecture)
            .handler("bootstrap")
            .role(&self.making.role)
            .memory_size(i32::try_from(spec.memory_mb).unwrap_or(i32::MAX))
            .timeout(TIMEOUT_S)
            .code(FunctionCode::builder().zip_file(self.package().await?).build())
            .environment(Environment::builder().set_variables(Some(variables)).build())
            .logging_config(logging)
            .tags("deathstar:stack", &self.table)
            .tags("deathstar:run", spec.run.as_str())
            .tags("deathstar:expires-at", expires_at))
    }
}

impl Functions for LambdaFunctions {
    async fn concurrency(&self) -> Result<u32, TaskError> {
        self.turns.wait().await;
        let settings = self.client.get_account_settings().send().await.map_err(|error| failed(&error))?;
        let limit = settings.account_limit().and_then(AccountLimit::unreserved_concurrent_executions);
        let limit = limit.ok_or_else(|| {
            TaskError::Broken("Lambda does not say how many invocations may run at once".to_owned())
        })?;
        Ok(u32::try_from(limit.saturating_sub(RESERVE)).unwrap_or(0))
    }

    async fn create(&self, spec: &FunctionSpec) -> Result<(), TaskError> {
        let length = spec.name.len();
        if length == 0 || length > NAME_LENGTH {
            let name = &spec.name;
            return Err(TaskError::OverLimit(format!(
                "function name {name:?} has {length} characters; the limit is {NAME_LENGTH}"
            )));
        }
        let creation = self.creation(spec).await?;
        self.turns.wait().await;
        match creation.send().await {
            Ok(_) => {}
            Err(error) if is(&error, "ResourceConflictException") => {}
            Err(error) => return Err(failed(&error)),
        }
        // Nobody invokes a worker so that Lambda would try again by itself; if
        // someone did, it still must not.
        self.turns.wait().await;
        let config = self.client.put_function_event_invoke_config().function_name(&spec.name);
        config.maximum_retry_attempts(0).send().await.map_err(|error| failed(&error))?;
        Ok(())
    }

    async fn state(&self, name: &str) -> Result<FunctionState, TaskError> {
        let found = match self.client.get_function().function_name(name).send().await {
            Ok(found) => found,
            Err(error) if is(&error, "ResourceNotFoundException") => return Ok(FunctionState::Missing),
            Err(error) => return Err(failed(&error)),
        };
        let configuration = found.configuration();
        Ok(match configuration.and_then(|configuration| configuration.state()) {
            Some(State::Pending) => FunctionState::Pending,
            Some(State::Failed) => {
                let why = configuration.and_then(|configuration| configuration.state_reason());
                FunctionState::Failed(why.unwrap_or("Lambda does not say why").to_owned())
            }
            _ => FunctionState::Active,
        })
    }

    async fn delete(&self, name: &str) -> Result<(), TaskError> {
        self.turns.wait().await;
        match self.client.delete_function().function_name(name).send().await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, "ResourceNotFoundException") => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, TaskError> {
        self.turns.wait().await;
        list(&self.client, &self.table, prefix).await
    }
}

/// All functions of the stack whose table is `table` and whose names start with
/// `prefix`.
///
/// # Errors
/// When Lambda refuses, or cannot be reached.
pub async fn list(client: &Client, table: &str, prefix: &str) -> Result<Vec<Listed>, TaskError> {
    let mut listed = Vec::new();
    let mut pages = client.list_functions().into_paginator().send();
    while let Some(page) = pages.next().await {
        for function in page.map_err(|error| failed(&error))?.functions() {
            let Some(name) = function.function_name().filter(|name| name.starts_with(prefix)) else {
                continue;
            };
            let variables = function.environment().and_then(|environment| environment.variables());
            let variable = |name: &str| variables.and_then(|variables| variables.get(name));
            if variable(TABLE_VARIABLE).is_none_or(|of| of == table) {
                let expires_at: Option<Timestamp> =
                    variable(EXPIRES_VARIABLE).and_then(|time| time.parse().ok());
                listed.push(Listed { name: name.to_owned(), expires_at });
            }
        }
    }
    Ok(listed)
}

fn is<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>, code: &str) -> bool {
    error.code() == Some(code)
}

fn failed<E, R>(error: &SdkError<E, R>) -> TaskError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let text = match error.message() {
        Some(message) => format!("Lambda: {}: {message}", error.code().unwrap_or("error")),
        None => format!("Lambda: {}", DisplayErrorContext(error)),
    };
    match error.code() {
        Some("CodeStorageExceededException") => TaskError::OverLimit(text),
        // A role that was made a moment ago is not known everywhere yet.
        Some("InvalidParameterValueException") if text.contains("cannot be assumed") => {
            TaskError::Throttled(text)
        }
        Some(
            "AccessDeniedException"
            | "InvalidParameterValueException"
            | "ValidationException"
            | "ResourceNotFoundException",
        ) => TaskError::Broken(text),
        // Over the rate, in the middle of another change, away for a moment.
        _ => TaskError::Throttled(text),
    }
}
