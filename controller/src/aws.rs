//! AWS mode: the adapters, and the controller's Lambda entry.
//!
//! [`entry`] is what Lambda starts; `event` tells its invocations apart;
//! [`settings`] is what the stack says, and [`place`] what that offers a plan;
//! the rest are the ports.

pub mod cloudwatch;
pub mod entry;
mod event;
pub mod functions;
pub mod place;
pub mod settings;
pub mod switches;
pub mod table;

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use deathstar_statemachine::error::{Credentials, TaskError};
use deathstar_statemachine::plan::Place;
use deathstar_statemachine::policy::Policy;

use crate::clock::SystemClock;
use crate::ports::Ports;

use cloudwatch::CloudWatchMetrics;
use functions::LambdaFunctions;
use switches::SchedulerSwitches;
use table::DynamoTable;

/// The ports of AWS mode.
#[derive(Debug, Clone)]
pub struct AwsPorts {
    /// The run's table.
    pub table: DynamoTable,
    /// Worker functions.
    pub functions: LambdaFunctions,
    /// What tears a run down when nothing else has.
    pub switches: SchedulerSwitches,
    /// What the platform measures.
    pub metrics: CloudWatchMetrics,
    /// What the plan may count on.
    pub place: Place,
    /// What may be attacked, and how hard.
    pub policy: Policy,
}

impl Ports for AwsPorts {
    type Table = DynamoTable;
    type Functions = LambdaFunctions;
    type Switches = SchedulerSwitches;
    type Metrics = CloudWatchMetrics;
    type Clock = SystemClock;

    fn table(&self) -> &DynamoTable {
        &self.table
    }

    fn functions(&self) -> &LambdaFunctions {
        &self.functions
    }

    fn switches(&self) -> &SchedulerSwitches {
        &self.switches
    }

    fn metrics(&self) -> &CloudWatchMetrics {
        &self.metrics
    }

    fn clock(&self) -> &SystemClock {
        &SystemClock
    }

    fn place(&self) -> &Place {
        &self.place
    }

    fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// A failed call, when credentials are to blame: those that the service refuses, by its
/// error code, or those that could not be had for the call.
fn credentials_failed(code: Option<&str>, error: &(dyn Error + 'static), what: &str) -> Option<TaskError> {
    let credentials = match find::<CredentialsError>(error) {
        None => return TaskError::of_credentials(code, what),
        Some(CredentialsError::CredentialsNotLoaded(_)) => Credentials::Missing,
        // Whoever gives them may answer the next time.
        Some(CredentialsError::ProviderTimedOut(_)) => return None,
        Some(other) if find::<std::io::Error>(other).is_some() => return None,
        Some(_) => Credentials::Unavailable,
    };
    Some(TaskError::Credentials { credentials, what: what.to_owned() })
}

/// The first of a type among an error and its causes.
#[must_use]
pub fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_cannot_be_had_are_no_table_that_is_away() {
        let said = |error: CredentialsError| credentials_failed(None, &error, "said");
        let of = |credentials| Some(TaskError::Credentials { credentials, what: "said".to_owned() });
        assert_eq!(said(CredentialsError::not_loaded("nowhere")), of(Credentials::Missing));
        assert_eq!(
            said(CredentialsError::provider_error("the session has expired")),
            of(Credentials::Unavailable)
        );
        let away = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(said(CredentialsError::provider_error(away)), None, "the network may come back");
        let away = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(credentials_failed(Some("ExpiredToken"), &away, "said"), of(Credentials::Expired));
    }
}
