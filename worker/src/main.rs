//! The worker's Lambda function; its package calls it `bootstrap`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    deathstar_worker::aws::entry::serve().await
}
