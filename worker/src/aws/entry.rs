//! What Lambda starts: the worker as a function.

use std::pin::Pin;
use std::sync::Arc;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::message::{WorkerInput, WorkerOutput};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};

use super::secrets::AwsSecrets;
use super::table::DynamoWorkerTable;
use crate::clock::{SystemClock, WallClock};
use crate::handler;
use crate::transport::auto::Auto;

/// Names the table of the run; the controller sets it.
const TABLE_VARIABLE: &str = "DEATHSTAR_TABLE";

/// Serves invocations for as long as Lambda lets this process live.
///
/// # Errors
/// When the environment does not do, or Lambda's runtime interface is away.
pub async fn serve() -> Result<(), lambda_runtime::Error> {
    let table = std::env::var(TABLE_VARIABLE).map_err(|_| {
        lambda_runtime::Error::from(format!("the worker's environment lacks {TABLE_VARIABLE}"))
    })?;
    let config = config();
    let worker = Arc::new(Worker { table, secrets: AwsSecrets::new(config.clone()), config });
    // On the heap, and of no type that a caller must look through.
    let serving: Serving =
        Box::pin(lambda_runtime::run(service_fn(move |event: LambdaEvent<WorkerInput>| {
            let worker = Arc::clone(&worker);
            async move { Box::pin(worker.invoke(event)).await }
        })));
    serving.await
}

/// What Lambda puts into every function's environment: its region, and the credentials
/// of its role. Whatever else a client may be configured by would make the package a
/// tenth larger: profiles, single sign-on, and the clients of their services.
fn config() -> SdkConfig {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(variable("AWS_REGION").map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(credentials));
    config.set_endpoint_url(variable("AWS_ENDPOINT_URL"));
    config.build()
}

type Serving = Pin<Box<dyn Future<Output = Result<(), lambda_runtime::Error>>>>;

struct Worker {
    table: String,
    secrets: AwsSecrets,
    config: SdkConfig,
}

impl Worker {
    async fn invoke(&self, event: LambdaEvent<WorkerInput>) -> Result<WorkerOutput, Failed> {
        let input = &event.payload;
        let client = aws_sdk_dynamodb::Client::new(&self.config);
        let table = DynamoWorkerTable::new(client, self.table.clone(), input.shard);
        // Lambda may deliver one request twice, under the same id; the time
        // tells them apart, and the second one loses.
        let token = format!("{}/{}", event.context.request_id, SystemClock.now().as_nanosecond());
        let work = handler::handle(&table, &self.secrets, &SystemClock, input, &token, Auto::new);
        Box::pin(work).await.map_err(Failed)
    }
}

/// A worker's failure, as Lambda tells it.
#[derive(Debug)]
struct Failed(TaskError);

impl From<Failed> for Diagnostic {
    fn from(Failed(error): Failed) -> Self {
        Self { error_type: error.name().to_owned(), error_message: error.to_string() }
    }
}
