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
    AccountLimit, Architecture, Environment, EnvironmentResponse, FunctionCode, FunctionConfiguration,
    LoggingConfig, Runtime, State,
};
use deathstar_statemachine::error::TaskError;
use jiff::Timestamp;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::credentials_failed;
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

/// Whose a function is.
enum Owner {
    /// That of the stack with this table.
    Table(String),
    /// It does not say.
    Unknown,
    /// There is none of that name.
    Nobody,
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

    /// Which table a function of this name is told to use.
    async fn owner(&self, name: &str) -> Result<Owner, TaskError> {
        let found = match self.client.get_function().function_name(name).send().await {
            Ok(found) => found,
            Err(error) if is(&error, "ResourceNotFoundException") => return Ok(Owner::Nobody),
            Err(error) => return Err(failed(&error)),
        };
        let environment = found.configuration().and_then(FunctionConfiguration::environment);
        let table =
            environment.and_then(EnvironmentResponse::variables).and_then(|all| all.get(TABLE_VARIABLE));
        Ok(table.map_or(Owner::Unknown, |table| Owner::Table(table.clone())))
    }

    /// Whether the function that has this name already is one of ours: two stacks
    /// of one account may have schedules of the same name, and so runs.
    async fn is_made(&self, name: &str) -> Result<(), TaskError> {
        let of = match self.owner(name).await? {
            Owner::Table(table) if table == self.table => return Ok(()),
            Owner::Table(table) => format!("to the installation {table:?} of this account and region"),
            Owner::Unknown => "to no run of this installation".to_owned(),
            Owner::Nobody => {
                return Err(TaskError::Throttled(format!("function {name} is there, and not there yet")));
            }
        };
        Err(TaskError::NotOurs(format!(
            "function {name} belongs {of}: give this run, or the schedule that starts it, another name"
        )))
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
            Err(error) if is(&error, "ResourceConflictException") => self.is_made(&spec.name).await?,
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
        // Names say nothing of the stack. One that is not seen yet may be there.
        if let Owner::Table(table) = self.owner(name).await?
            && table != self.table
        {
            return Ok(());
        }
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
    R: std::fmt::Debug + 'static,
{
    let text = match error.message() {
        Some(message) => format!("Lambda: {}: {message}", error.code().unwrap_or("error")),
        None => format!("Lambda: {}", DisplayErrorContext(error)),
    };
    if let Some(refused) = credentials_failed(error.code(), error, &text) {
        return refused;
    }
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Mutex as StdMutex;

    use aws_credential_types::Credentials;

    use super::*;

    /// Lambda with one function, that of the stack `table`: what it was asked.
    struct Lambda {
        address: std::net::SocketAddr,
        asked: Arc<StdMutex<Vec<String>>>,
    }

    impl Lambda {
        fn with(answers: impl Fn(&str) -> (u16, &'static str, String) + Send + 'static) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let (address, asked) = (listener.local_addr().unwrap(), Arc::new(StdMutex::new(Vec::new())));
            let notes = Arc::clone(&asked);
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let Ok(stream) = stream else { return };
                    let first = read(&stream);
                    let (status, error, body) = answers(&first);
                    notes.lock().unwrap().push(first);
                    let length = body.len();
                    let head = format!("HTTP/1.1 {status} -\r\nx-amzn-errortype: {error}\r\n");
                    let rest = format!("content-length: {length}\r\nconnection: close\r\n\r\n{body}");
                    let _ = (&stream).write_all((head + &rest).as_bytes());
                }
            });
            Self { address, asked }
        }

        /// The functions of the stack `mine` there.
        fn functions(&self) -> (tempfile::TempDir, LambdaFunctions) {
            let config = aws_sdk_lambda::Config::builder()
                .behavior_version(aws_config::BehaviorVersion::latest())
                .region(aws_sdk_lambda::config::Region::new("eu-west-1"))
                .endpoint_url(format!("http://{}", self.address))
                .credentials_provider(Credentials::for_tests())
                .retry_config(aws_config::retry::RetryConfig::disabled())
                .build();
            let folder = tempfile::tempdir().unwrap();
            let package = folder.path().join("worker.zip");
            std::fs::write(&package, "a package").unwrap();
            let making = Making { role: "role".to_owned(), log_group: "logs".to_owned(), package };
            (folder, LambdaFunctions::new(Client::from_conf(config), "mine".to_owned(), making))
        }

        /// The methods of all calls so far.
        fn asked(&self) -> Vec<String> {
            let asked = self.asked.lock().unwrap();
            asked.iter().map(|first| first.split(' ').next().unwrap().to_owned()).collect()
        }
    }

    /// The first line of a request, once it was read.
    fn read(stream: &TcpStream) -> String {
        let mut reader = BufReader::new(stream);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        first
    }

    /// A function whose environment is this, and which nobody can make again.
    fn taken(variables: &'static str) -> impl Fn(&str) -> (u16, &'static str, String) {
        move |first| match first.split(' ').next().unwrap() {
            "POST" => (409, "ResourceConflictException", r#"{"Message":"it exists"}"#.to_owned()),
            "GET" => {
                let environment = format!(r#""Environment":{{"Variables":{{{variables}}}}}"#);
                (200, "", format!(r#"{{"Configuration":{{"State":"Active",{environment}}}}}"#))
            }
            "DELETE" => (204, "", String::new()),
            _ => (200, "", "{}".to_owned()),
        }
    }

    fn spec() -> FunctionSpec {
        let run = "nightly-20261124-0300".parse().unwrap();
        FunctionSpec {
            name: "deathstar-w-nightly-20261124-0300-0".to_owned(),
            run,
            memory_mb: 128,
            expires_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn a_function_of_another_stack_is_neither_used_nor_deleted() {
        let lambda = Lambda::with(taken(r#""DEATHSTAR_TABLE":"staging""#));
        let (_folder, functions) = lambda.functions();
        let taken = functions.create(&spec()).await.unwrap_err();
        assert_eq!(taken.name(), "DeathStar.NotOurs", "{taken}");
        assert_eq!(
            taken.to_string(),
            "function deathstar-w-nightly-20261124-0300-0 belongs to the installation \"staging\" of this account and region: give this run, or the schedule that starts it, another name"
        );
        functions.delete(&spec().name).await.unwrap();
        assert_eq!(lambda.asked(), ["POST", "GET", "GET"], "it is configured as little as deleted");
    }

    #[tokio::test]
    async fn a_function_of_ours_may_be_made_twice_and_is_deleted() {
        let lambda = Lambda::with(taken(r#""DEATHSTAR_TABLE":"mine""#));
        let (_folder, functions) = lambda.functions();
        functions.create(&spec()).await.unwrap();
        functions.delete(&spec().name).await.unwrap();
        assert_eq!(lambda.asked(), ["POST", "GET", "PUT", "GET", "DELETE"]);
    }

    #[tokio::test]
    async fn a_function_that_says_nothing_of_its_stack_is_not_used() {
        let lambda = Lambda::with(taken(""));
        let (_folder, functions) = lambda.functions();
        let taken = functions.create(&spec()).await.unwrap_err();
        assert!(taken.to_string().contains("belongs to no run of this installation"), "{taken}");
    }

    #[tokio::test]
    async fn credentials_that_have_expired_are_not_throttled() {
        let lambda = Lambda::with(|_| (403, "ExpiredTokenException", r#"{"message":"late"}"#.to_owned()));
        let (_folder, functions) = lambda.functions();
        let refused = functions.list("").await.unwrap_err();
        assert_eq!(refused.name(), "DeathStar.Credentials");
        assert_eq!(
            refused.to_string(),
            "the AWS credentials have expired (Lambda: ExpiredTokenException: late)"
        );
    }

    #[tokio::test]
    async fn a_function_that_is_not_seen_yet_is_deleted_all_the_same() {
        let lambda = Lambda::with(|_| (404, "ResourceNotFoundException", "{}".to_owned()));
        let (_folder, functions) = lambda.functions();
        functions.delete(&spec().name).await.unwrap();
        assert_eq!(lambda.asked(), ["GET", "DELETE"]);
    }
}
