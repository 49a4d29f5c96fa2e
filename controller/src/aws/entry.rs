//! What Lambda starts: the controller as a function.
//!
//! An invocation is a task of the state machine, of a schedule, or the end of
//! an execution. Whatever fails, fails by its stable name, which becomes the
//! error type that the definition matches on.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use deathstar_statemachine::error::TaskError;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::{Value, json};

use super::AwsPorts;
use super::cloudwatch::CloudWatchMetrics;
use super::event::task_of;
use super::functions::{LambdaFunctions, Making};
use super::settings::Settings;
use super::switches::{SchedulerSwitches, SwitchTarget};
use super::table::DynamoTable;
use crate::clock::{Clock, SystemClock};
use crate::dispatch::run_task;

/// Calls that are throttled are tried so often, with growing random pauses.
const ATTEMPTS: u32 = 6;

/// The worker's package, in the controller's own.
const WORKER_PACKAGE: &str = "worker.zip";

/// Serves invocations for as long as Lambda lets this process live.
///
/// # Errors
/// When the environment does not do, or Lambda's runtime interface is away.
pub async fn serve() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    let config = aws_config::defaults(BehaviorVersion::latest());
    let config = config.retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS)).load().await;
    let controller = Arc::new(Controller::new(settings, config));
    // On the heap, and of no type that a caller must look through.
    let serving: Serving = Box::pin(lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let controller = Arc::clone(&controller);
        async move { Box::pin(controller.invoke(event)).await }
    })));
    serving.await
}

type Serving = Pin<Box<dyn Future<Output = Result<(), lambda_runtime::Error>>>>;

/// What outlives an invocation: connections, the worker's package, and the turns that
/// calls of Lambda's control plane take.
struct Controller {
    settings: Settings,
    table: DynamoTable,
    functions: LambdaFunctions,
    scheduler: aws_sdk_scheduler::Client,
    metrics: CloudWatchMetrics,
}

impl Controller {
    fn new(settings: Settings, config: SdkConfig) -> Self {
        let making = Making {
            role: settings.worker_role.clone(),
            log_group: settings.log_group.clone(),
            package: package_folder().join(WORKER_PACKAGE),
        };
        let lambda = aws_sdk_lambda::Client::new(&config);
        Self {
            table: DynamoTable::new(aws_sdk_dynamodb::Client::new(&config), settings.table.clone()),
            functions: LambdaFunctions::new(lambda, settings.table.clone(), making),
            scheduler: aws_sdk_scheduler::Client::new(&config),
            metrics: CloudWatchMetrics::new(config),
            settings,
        }
    }

    async fn invoke(&self, event: LambdaEvent<Value>) -> Result<Value, Failed> {
        let task = task_of(event.payload)?;
        let name = task["task"].as_str().unwrap_or_default().to_owned();
        let run = task["run"].as_str().or_else(|| task["input"]["run"].as_str()).unwrap_or("-").to_owned();
        let answer = run_task(&self.ports(&event.context.invoked_function_arn), task).await;
        match &answer {
            Ok(answer) if name == "Janitor" => log(&leaked(&self.settings.table, answer)),
            Ok(_) => log(&json!({ "task": name, "run": run })),
            Err(error) => log(&json!({
                "task": name, "run": run, "error": error.name(), "cause": error.to_string(),
            })),
        }
        answer.map_err(Failed)
    }

    /// The ports of an invocation; `arn` is the controller's own, which the
    /// stack cannot tell it.
    fn ports(&self, arn: &str) -> AwsPorts {
        let settings = &self.settings;
        let target = SwitchTarget {
            controller: arn.to_owned(),
            role: settings.scheduler_role.clone(),
            dead_letters: settings.dead_letters.clone(),
        };
        let group = settings.schedule_group.clone();
        AwsPorts {
            table: self.table.clone(),
            functions: self.functions.clone(),
            switches: SchedulerSwitches::new(self.scheduler.clone(), group, target),
            metrics: self.metrics.clone(),
            place: settings.place.clone(),
            policy: settings.policy.clone(),
        }
    }
}

/// Where Lambda unpacked the function.
fn package_folder() -> PathBuf {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.to_owned());
    std::env::var_os("LAMBDA_TASK_ROOT").map(PathBuf::from).or_else(beside).unwrap_or_default()
}

/// A line of the log that is a metric, too: what had outlived its run. See
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
fn leaked(stack: &str, answer: &Value) -> Value {
    json!({
        "_aws": {
            "Timestamp": SystemClock.now().as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": "DeathStar",
                "Dimensions": [["Stack"]],
                "Metrics": [{ "Name": "LeakedWorkers", "Unit": "Count" }],
            }],
        },
        "Stack": stack,
        "LeakedWorkers": answer["leaked"].as_array().map_or(0, Vec::len),
        "task": "Janitor",
        "found": answer,
    })
}

/// Writes a line for the log group.
fn log(line: &Value) {
    use std::io::Write;
    // A log that cannot be written changes nothing of what was done.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A task's failure, as Lambda tells it.
#[derive(Debug)]
struct Failed(TaskError);

impl From<TaskError> for Failed {
    fn from(error: TaskError) -> Self {
        Self(error)
    }
}

impl From<Failed> for Diagnostic {
    fn from(Failed(error): Failed) -> Self {
        Self { error_type: error.name().to_owned(), error_message: error.to_string() }
    }
}
