//! The adapters of AWS mode, on the emulator.

use std::path::PathBuf;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use deathstar_controller::aws::functions::{LambdaFunctions, Making};
use deathstar_controller::aws::table::DynamoTable;
use deathstar_worker::aws::table::DynamoWorkerTable;
use tempfile::TempDir;

use crate::account::Account;
use crate::ministack::REGION;

/// A client's configuration for an account.
async fn configuration(account: &Account<'_>) -> SdkConfig {
    let config = aws_config::defaults(BehaviorVersion::latest()).endpoint_url(account.server().url());
    let credentials = aws_sdk_dynamodb::config::Credentials::new(account.id(), "test", None, None, "a test");
    config.credentials_provider(credentials).region(Region::new(REGION)).load().await
}

/// The name of the table that [`dynamodb`] makes.
pub(crate) const TABLE: &str = "contract";

/// A table of an account of its own, as the controller sees it and as workers do.
pub(crate) async fn dynamodb() -> (DynamoTable, DynamoWorkerTable) {
    let account = Account::new();
    (dynamodb_in(&account).await, worker_in(&account, 0).await)
}

/// A new table in an account.
pub(crate) async fn dynamodb_in(account: &Account<'_>) -> DynamoTable {
    let client = aws_sdk_dynamodb::Client::new(&configuration(account).await);
    let key = |name: &str, kind| {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        let element = KeySchemaElement::builder().attribute_name(name).key_type(kind);
        (attribute.attribute_type(ScalarAttributeType::S).build().unwrap(), element.build().unwrap())
    };
    let (pk, sk) = (key("pk", KeyType::Hash), key("sk", KeyType::Range));
    let create = client.create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
    let create = create.attribute_definitions(pk.0).attribute_definitions(sk.0);
    create.key_schema(pk.1).key_schema(sk.1).send().await.unwrap();
    DynamoTable::new(client, TABLE.to_owned())
}

/// That table, or where it would be, as a shard's worker sees it.
pub(crate) async fn worker_in(account: &Account<'_>, shard: u32) -> DynamoWorkerTable {
    let client = aws_sdk_dynamodb::Client::new(&configuration(account).await);
    DynamoWorkerTable::new(client, TABLE.to_owned(), shard)
}

/// Functions of an account of their own.
pub(crate) async fn lambda() -> (TempDir, LambdaFunctions) {
    lambda_of(&Account::new(), TABLE).await
}

/// The functions of the stack with this table.
pub(crate) async fn lambda_of(account: &Account<'_>, table: &str) -> (TempDir, LambdaFunctions) {
    let client = aws_sdk_lambda::Client::new(&configuration(account).await);
    let folder = tempfile::tempdir().unwrap();
    let package: PathBuf = folder.path().join("worker.zip");
    // Nobody invokes it: an empty archive, which is its end record alone.
    std::fs::write(&package, [b"PK\x05\x06".as_slice(), &[0; 18]].concat()).unwrap();
    let making = Making {
        role: "arn:aws:iam::000000000000:role/worker".to_owned(),
        log_group: "/deathstar/contract".to_owned(),
        package,
    };
    (folder, LambdaFunctions::new(client, table.to_owned(), making))
}
