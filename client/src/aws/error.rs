//! What goes wrong between us and AWS, in words that help.
//!
//! Every call of an SDK ends in [`failed`], which names the permission that
//! the call needs and what it was for. What to tell the user follows from the
//! error code of the service, never from its words, with one exception: only
//! the words of a refusal name the permission that is missing.

use std::error::Error;
use std::fmt::Display;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use deathstar_controller::aws::find;
use deathstar_statemachine::error::Credentials;
use thiserror::Error;

use crate::commands::SLOW_DOWN;
use crate::exit::Exit;

/// A call that failed, and why.
#[derive(Debug, Error)]
#[error("cannot {doing}: {why}")]
pub(crate) struct AwsError {
    /// What was being done, to follow "cannot".
    doing: String,
    /// Why it failed; boxed, since every call's answer has room for it.
    why: Box<Why>,
}

/// Why a call failed.
#[derive(Debug, Error)]
pub(crate) enum Why {
    /// Nothing says which region.
    #[error("no AWS region is set")]
    NoRegion,
    /// Nothing gives credentials.
    #[error("there are no AWS credentials")]
    NoCredentials,
    /// Credentials are configured, and could not be had.
    #[error("the AWS credentials cannot be loaded: {0}")]
    CredentialsFailed(String),
    /// They were good once.
    #[error("the AWS credentials have expired")]
    Expired,
    /// AWS does not know them, or their signature does not match.
    #[error("AWS does not accept the credentials ({0})")]
    BadCredentials(String),
    /// A permission is missing.
    #[error("permission denied: {0}")]
    Denied(Permission),
    /// Nobody answers.
    #[error("AWS cannot be reached: {0}")]
    Unreachable(String),
    /// AWS asks us to slow down, and went on asking.
    #[error("AWS asks us to slow down ({0})")]
    Throttled(String),
    /// A quota of the account is used up.
    #[error("a quota of the account is used up: {0}")]
    Quota(String),
    /// A stack did not get there; the first resource that failed says why.
    #[error("{resource} failed: {reason}")]
    Stack {
        /// Its name in the template, and its type.
        resource: String,
        /// What CloudFormation says.
        reason: String,
        /// The permission that is missing, when that is why.
        denied: Option<Permission>,
    },
    /// Anything else a service says.
    #[error("{message} ({code})")]
    Refused {
        /// The error code.
        code: String,
        /// The message.
        message: String,
    },
    /// An answer that is none of this API's.
    #[error("the answer is not understood: {0}")]
    Garbled(String),
}

/// A permission that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permission {
    /// For example `cloudformation:CreateStack`.
    pub(crate) action: String,
    /// The resource's ARN, when the refusal names it.
    pub(crate) resource: Option<String>,
    /// Why a policy forbids it, when it is not for the lack of one that allows.
    pub(crate) because: Option<String>,
}

impl Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is missing", self.action)?;
        if let Some(resource) = &self.resource {
            write!(f, " on {resource}")?;
        }
        self.because.iter().try_for_each(|because| write!(f, " ({because})"))
    }
}

/// Turns the error of an SDK's call into ours. `action` is the permission that
/// the call needs, for example `s3:PutObject`; `doing` follows "cannot".
pub(crate) fn failed<E>(action: &'static str, doing: impl Display) -> impl FnOnce(SdkError<E>) -> AwsError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    move |error| AwsError::new(doing, Why::of(action, &error))
}

impl AwsError {
    /// An error of our own finding.
    pub(crate) fn new(doing: impl Display, why: Why) -> Self {
        Self { doing: doing.to_string(), why: Box::new(why) }
    }

    /// What a service says in the middle of an answer, about one item of many.
    pub(super) fn said(action: &'static str, doing: impl Display, code: Option<&str>, message: &str) -> Self {
        Self::new(doing, Why::of_answer(action, 0, code, message))
    }

    /// Why credentials could not be had.
    pub(super) fn of_credentials(error: &CredentialsError) -> Self {
        let why = match error {
            CredentialsError::CredentialsNotLoaded(_) => Why::NoCredentials,
            // What helps is the innermost cause: the file, or the token.
            other => Why::CredentialsFailed(innermost(other)),
        };
        Self::new("reach AWS", why)
    }

    /// Why it failed.
    pub(crate) fn why(&self) -> &Why {
        &self.why
    }

    /// The service's error code, when it is one that says nothing in general.
    pub(crate) fn code(&self) -> Option<&str> {
        match &*self.why {
            Why::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether it may go well if it is tried again.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(*self.why, Why::Unreachable(_) | Why::Throttled(_) | Why::Garbled(_))
    }

    /// How the command ends: whatever the user can mend is bad input.
    pub(crate) fn exit(&self) -> Exit {
        match &*self.why {
            Why::Throttled(_) | Why::Refused { .. } | Why::Garbled(_) | Why::Stack { denied: None, .. } => {
                Exit::Broken
            }
            _ => Exit::BadInput,
        }
    }

    /// What the user may do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match &*self.why {
            Why::NoRegion => "name it with --region, AWS_REGION, or `region` in the profile",
            Why::NoCredentials => hint_of(Credentials::Missing),
            Why::CredentialsFailed(_) => hint_of(Credentials::Unavailable),
            Why::Expired => hint_of(Credentials::Expired),
            Why::BadCredentials(_) => hint_of(Credentials::Rejected),
            Why::Denied(permission) | Why::Stack { denied: Some(permission), .. } => {
                return Some(permission.hint());
            }
            Why::Unreachable(_) => "look at the network, the proxy, the region's name and AWS_ENDPOINT_URL",
            Why::Throttled(_) => SLOW_DOWN,
            Why::Quota(_) => {
                "free what is not needed, or ask for more in the console under Service Quotas, in this region"
            }
            Why::Stack { .. } | Why::Refused { .. } | Why::Garbled(_) => return None,
        };
        Some(hint.to_owned())
    }
}

/// What the user may do about credentials.
pub(crate) const fn hint_of(credentials: Credentials) -> &'static str {
    match credentials {
        Credentials::Missing => {
            "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; `aws configure` and `aws sso login` make profiles"
        }
        Credentials::Unavailable | Credentials::Expired => {
            "log in again, for example with `aws sso login`, or renew AWS_SESSION_TOKEN and the keys beside it"
        }
        Credentials::Rejected => {
            "look at AWS_PROFILE and AWS_ACCESS_KEY_ID, at this machine's clock, and whether the region is enabled for the account"
        }
    }
}

impl Permission {
    /// Reads the refusal of a service, or of CloudFormation for one: `User:
    /// … is not authorized to perform: A on resource: R because …`.
    pub(crate) fn read(message: &str) -> Option<Self> {
        let (_, rest) = message.split_once("is not authorized to perform: ")?;
        let mut words = rest.split_whitespace();
        let action = words.next()?.trim_end_matches(['.', ',', ';', ')']);
        // `service:Action`; anything else is no permission.
        action.split_once(':').filter(|(service, name)| !service.is_empty() && !name.is_empty())?;
        let resource = rest.split_once("on resource: ").and_then(|(_, rest)| {
            let resource = rest.split_whitespace().next()?;
            let resource = resource.trim_matches('"').trim_end_matches(['.', ',']);
            // Where nothing narrower can be named, services say `*`.
            (resource != "*").then(|| resource.to_owned())
        });
        // A permission nobody gave is the ordinary case; one that somebody
        // took away cannot be mended by giving it once more.
        let because = rest.split_once("explicit deny").map(|(_, rest)| {
            let rest = rest.split(['(', '\n']).next().unwrap_or_default();
            format!("explicit deny {}", rest.trim()).trim().to_owned()
        });
        Some(Self { action: action.to_owned(), resource, because })
    }

    fn of_call(action: &str) -> Self {
        Self { action: action.to_owned(), resource: None, because: None }
    }

    /// What the user may do about it.
    pub(crate) fn hint(&self) -> String {
        if self.because.is_some() {
            format!("a policy forbids {}; only whoever keeps that policy can change it", self.action)
        } else {
            format!("ask whoever keeps the account's policies to allow {} to these credentials", self.action)
        }
    }
}

impl Why {
    /// Why a call failed that needs the permission `action`.
    fn of<E>(action: &str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error {
            SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
                let status = error.raw_response().map_or(0, |response| response.status().as_u16());
                let message = error.message().map_or_else(|| innermost(error), str::to_owned);
                Self::of_answer(action, status, error.code(), &message)
            }
            // Credentials are loaded for each call, so they may fail in any.
            other => match find::<CredentialsError>(other) {
                Some(CredentialsError::CredentialsNotLoaded(_)) => Self::NoCredentials,
                Some(error) => Self::CredentialsFailed(innermost(error)),
                None if matches!(other, SdkError::ConstructionFailure(_)) => Self::Garbled(innermost(other)),
                None => Self::Unreachable(innermost(other)),
            },
        }
    }

    /// Why a service refused: by its HTTP status and error code. An answer to
    /// a HEAD request has no body, so it has a status alone.
    fn of_answer(action: &str, status: u16, code: Option<&str>, message: &str) -> Self {
        let Some(code) = code.filter(|code| !code.is_empty()) else {
            return match status {
                403 => Self::Denied(Permission::of_call(action)),
                404 => Self::Refused { code: NOT_FOUND.to_owned(), message: "it does not exist".to_owned() },
                429 | 503 => Self::Throttled(format!("HTTP {status}")),
                status => Self::Garbled(format!("HTTP {status}, {message}")),
            };
        };
        // Some services write `namespace#Code`, others `Code:uri`.
        let code = code.rsplit('#').next().unwrap_or(code);
        let code = code.split(':').next().unwrap_or(code);
        let denied = || Permission::read(message).unwrap_or_else(|| Permission::of_call(action));
        match Credentials::of_code(code) {
            Some(Credentials::Expired) => return Self::Expired,
            Some(_) => return Self::BadCredentials(format!("{code}: {message}")),
            None => {}
        }
        match code {
            "AccessDenied"
            | "AccessDeniedException"
            | "AllAccessDisabled"
            | "AuthorizationError"
            | "NotAuthorized"
            | "UnauthorizedOperation" => Self::Denied(denied()),
            "BandwidthLimitExceeded"
            | "PriorRequestNotComplete"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "SlowDown"
            | "ThrottledException"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException" => Self::Throttled(format!("{code}: {message}")),
            "ActivityLimitExceeded"
            | "CodeStorageExceededException"
            | "ExecutionLimitExceeded"
            | "LimitExceeded"
            | "LimitExceededException"
            | "ResourceLimitExceeded"
            | "ServiceQuotaExceededException"
            | "StateMachineLimitExceeded"
            | "TooManyBuckets" => Self::Quota(format!("{message} ({code})")),
            // A refusal by another service, passed on in its words.
            _ if message.contains("is not authorized to perform: ") => Self::Denied(denied()),
            _ => Self::Refused { code: code.to_owned(), message: message.to_owned() },
        }
    }
}

/// The code of an answer that has a status only, and of S3's for a key.
pub(crate) const NOT_FOUND: &str = "NotFound";

/// The last cause of an error: the one that names a file or an address.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: Option<&str>, message: &str) -> AwsError {
        AwsError::new("make the bucket b", Why::of_answer("s3:CreateBucket", status, code, message))
    }

    #[test]
    fn a_refusal_names_the_permission_that_is_missing() {
        let message = "User: arn:aws:iam::123456789012:user/ann is not authorized to perform: cloudformation:CreateStack on resource: arn:aws:cloudformation:eu-west-1:123456789012:stack/deathstar/* because no identity-based policy allows the cloudformation:CreateStack action";
        let error = answer(403, Some("AccessDenied"), message);
        assert_eq!(error.exit(), Exit::BadInput);
        assert_eq!(
            error.to_string(),
            "cannot make the bucket b: permission denied: cloudformation:CreateStack is missing on arn:aws:cloudformation:eu-west-1:123456789012:stack/deathstar/*"
        );
        assert!(error.hint().unwrap().contains("allow cloudformation:CreateStack"), "{:?}", error.hint());
    }

    #[test]
    fn a_refusal_in_two_words_names_the_permission_of_the_call() {
        for error in [answer(403, Some("AccessDenied"), "Access Denied"), answer(403, None, "")] {
            assert_eq!(
                error.to_string(),
                "cannot make the bucket b: permission denied: s3:CreateBucket is missing"
            );
        }
    }

    #[test]
    fn a_permission_is_read_from_the_words_of_every_service() {
        let permission = |action: &str, resource: Option<&str>, because: Option<&str>| Permission {
            action: action.to_owned(),
            resource: resource.map(ToOwned::to_owned),
            because: because.map(ToOwned::to_owned),
        };
        let cases = [
            // CloudFormation, of a resource whose handler was refused.
            (
                "Resource handler returned message: \"User: arn:aws:sts::1:assumed-role/a/b is not authorized to perform: iam:CreateRole on resource: arn:aws:iam::1:role/deathstar-worker-eu-west-1 because no identity-based policy allows the iam:CreateRole action (Service: Iam, Status Code: 403, Request ID: x)\" (RequestToken: y, HandlerErrorCode: AccessDenied)",
                permission("iam:CreateRole", Some("arn:aws:iam::1:role/deathstar-worker-eu-west-1"), None),
            ),
            // S3 quotes the resource.
            (
                "User: u is not authorized to perform: s3:CreateBucket on resource: \"arn:aws:s3:::b\" because no identity-based policy allows the s3:CreateBucket action",
                permission("s3:CreateBucket", Some("arn:aws:s3:::b"), None),
            ),
            (
                "User: u is not authorized to perform: lambda:ListFunctions on resource: * because no identity-based policy allows the lambda:ListFunctions action",
                permission("lambda:ListFunctions", None, None),
            ),
            (
                "User: u is not authorized to perform: scheduler:CreateSchedule on resource: r with an explicit deny in a service control policy",
                permission(
                    "scheduler:CreateSchedule",
                    Some("r"),
                    Some("explicit deny in a service control policy"),
                ),
            ),
            (
                "User u is not authorized to perform: sts:AssumeRole.",
                permission("sts:AssumeRole", None, None),
            ),
        ];
        for (message, expected) in cases {
            assert_eq!(Permission::read(message), Some(expected), "{message}");
        }
        for message in ["Access Denied", "u is not authorized to perform: that", ""] {
            assert_eq!(Permission::read(message), None, "{message}");
        }
    }

    #[test]
    fn what_somebody_forbade_is_not_asked_for() {
        let message = "User: u is not authorized to perform: iam:CreateRole on resource: r with an explicit deny in a service control policy";
        let hint = answer(403, Some("AccessDeniedException"), message).hint().unwrap();
        assert!(hint.contains("a policy forbids iam:CreateRole"), "{hint}");
    }

    #[test]
    fn codes_of_every_service_mean_the_same() {
        let kinds = [
            (Some("ExpiredToken"), 400, "expired", Exit::BadInput),
            (Some("ExpiredTokenException"), 400, "expired", Exit::BadInput),
            (Some("com.amazonaws.dynamodb#UnrecognizedClientException"), 400, "accept", Exit::BadInput),
            (Some("InvalidClientTokenId"), 403, "accept", Exit::BadInput),
            (Some("SignatureDoesNotMatch"), 403, "accept", Exit::BadInput),
            (Some("ThrottlingException:http://internal/"), 400, "slow down", Exit::Broken),
            (Some("SlowDown"), 503, "slow down", Exit::Broken),
            (Some("LimitExceededException"), 400, "quota", Exit::BadInput),
            (Some("ServiceQuotaExceededException"), 402, "quota", Exit::BadInput),
            (Some("ValidationError"), 400, "(ValidationError)", Exit::Broken),
            (None, 404, "does not exist", Exit::Broken),
            (None, 502, "HTTP 502", Exit::Broken),
        ];
        for (code, status, words, exit) in kinds {
            let error = answer(status, code, "said the service");
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.exit(), exit, "{error}");
            let mendable = exit == Exit::BadInput;
            assert!(!mendable || error.hint().is_some(), "{error} needs a hint");
        }
    }
}
