//! The row `install` of a stack's table. `deploy` writes it; every other
//! command reads it first, and so needs to know only the stack's name.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use deathstar_statemachine::table::rows::INSTALL;
use serde::Deserialize;

use super::connection::Connection;
use super::error::{AwsError, Why, failed};
use crate::commands::CommandError;
use crate::install::{Install, InstallError, StackName, VERSION};

/// Writes it.
///
/// # Errors
/// When the table cannot be written.
pub(crate) async fn write(connection: &Connection, install: &Install) -> Result<(), AwsError> {
    let doing = format!("write into the table {}", install.stack);
    let body = serde_json::to_string(install);
    let body = body.map_err(|error| AwsError::new(&doing, Why::Garbled(error.to_string())))?;
    let put = Client::new(connection.config()).put_item().table_name(install.stack.as_str());
    let put = put
        .item("pk", AttributeValue::S(INSTALL.to_owned()))
        .item("sk", AttributeValue::S(INSTALL.to_owned()));
    put.item("body", AttributeValue::S(body)).send().await.map_err(failed("dynamodb:PutItem", doing))?;
    Ok(())
}

/// Reads it. `None` when there is no such table, or it has no such row: there
/// is no complete installation.
///
/// # Errors
/// When the table cannot be read, or the row is not understood: that of another
/// version may look otherwise.
pub(crate) async fn read(
    connection: &Connection,
    stack: &StackName,
) -> Result<Option<Install>, CommandError> {
    let doing = format!("read the table {stack}");
    let get = Client::new(connection.config()).get_item().table_name(stack.as_str()).consistent_read(true);
    let get =
        get.key("pk", AttributeValue::S(INSTALL.to_owned())).key("sk", AttributeValue::S(INSTALL.to_owned()));
    let answer = match get.send().await.map_err(failed("dynamodb:GetItem", &doing)) {
        Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
        other => other?,
    };
    let Some(body) = answer.item().and_then(|item| item.get("body")?.as_s().ok()) else { return Ok(None) };
    let error = match serde_json::from_str(body) {
        Ok(install) => return Ok(Some(install)),
        Err(error) => error,
    };
    Err(match serde_json::from_str::<Versioned>(body) {
        Ok(Versioned { version: theirs }) if theirs != VERSION => {
            InstallError::OtherVersion { stack: stack.clone(), theirs }.into()
        }
        _ => AwsError::new(doing, Why::Garbled(error.to_string())).into(),
    })
}

/// What the row of every version has.
#[derive(Debug, Deserialize)]
struct Versioned {
    version: String,
}
