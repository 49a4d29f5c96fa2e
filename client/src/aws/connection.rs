//! The one place that loads the AWS configuration: region, credentials,
//! endpoint; from the environment, the profile and the machine, in the SDK's
//! order.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;

use super::error::{AwsError, Why, failed};

/// A configuration that has a region and credentials. Clients are made from
/// it; it has asked nothing of AWS yet.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    config: SdkConfig,
    region: String,
}

/// Whose credentials these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The account, 12 digits.
    pub(crate) account: String,
    /// The user or role.
    pub(crate) arn: String,
}

impl Identity {
    /// Which world of regions this is: `aws`, `aws-cn` and so on.
    pub(crate) fn partition(&self) -> &str {
        self.arn.split(':').nth(1).filter(|partition| !partition.is_empty()).unwrap_or("aws")
    }
}

impl Connection {
    /// Loads the configuration, for `region` or for the one it names itself.
    ///
    /// # Errors
    /// When there is no region, or there are no credentials.
    pub(crate) async fn open(region: Option<&str>) -> Result<Self, AwsError> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        let config = loader.load().await;
        let region = config.region().map(ToString::to_string).filter(|region| !region.is_empty());
        let region = region.ok_or_else(|| AwsError::new("reach AWS", Why::NoRegion))?;
        let provider = config.credentials_provider();
        let provider = provider.ok_or_else(|| AwsError::new("reach AWS", Why::NoCredentials))?;
        // Asked here, so that their lack is not reported as a failure of
        // whatever needs them first. The clients load them anew.
        provider.provide_credentials().await.map_err(|error| AwsError::of_credentials(&error))?;
        Ok(Self { config, region })
    }

    /// What SDK clients are made from.
    pub(crate) fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The region, for example `eu-west-1`.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Asks whose credentials these are. Everyone may; it fails when they are
    /// expired or unknown, or when AWS cannot be reached.
    ///
    /// # Errors
    /// As said.
    pub(crate) async fn identity(&self) -> Result<Identity, AwsError> {
        let client = aws_sdk_sts::Client::new(&self.config);
        let answer = client.get_caller_identity().send().await;
        let answer = answer.map_err(failed("sts:GetCallerIdentity", "ask whose credentials these are"))?;
        Ok(Identity {
            account: answer.account().unwrap_or_default().to_owned(),
            arn: answer.arn().unwrap_or_default().to_owned(),
        })
    }
}
