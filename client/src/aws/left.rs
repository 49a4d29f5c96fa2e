//! What there is of a stack's runs beside rows of its table: worker functions
//! and dead-man's switches.

use deathstar_controller::aws::{functions, switches};
use deathstar_controller::ports::Listed;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::FUNCTION_PREFIX;

use super::connection::Connection;
use crate::install::StackName;

/// All worker functions of a stack.
///
/// # Errors
/// When Lambda refuses, or cannot be reached.
pub(crate) async fn worker_functions(
    connection: &Connection,
    stack: &StackName,
) -> Result<Vec<Listed>, TaskError> {
    let client = aws_sdk_lambda::Client::new(connection.config());
    functions::list(&client, stack.as_str(), FUNCTION_PREFIX).await
}

/// All dead-man's switches of a stack.
///
/// # Errors
/// When Scheduler refuses, or cannot be reached.
pub(crate) async fn armed_switches(
    connection: &Connection,
    stack: &StackName,
) -> Result<Vec<Listed>, TaskError> {
    let client = aws_sdk_scheduler::Client::new(connection.config());
    // The group is named after the stack.
    switches::list(&client, stack.as_str()).await
}
