//! Answers of AWS that the emulator does not give by itself, in the words that
//! each service has for them.

use crate::message::Message;
use crate::operation::{Operation, Protocol};

/// What a call is answered instead of being carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Too many calls: `TooManyRequestsException`, `ThrottlingException`,
    /// `SlowDown`.
    Throttled,
    /// A partition of a table is too busy.
    ThroughputExceeded,
    /// The caller lacks a permission.
    AccessDenied,
    /// The caller's credentials are too old.
    ExpiredToken,
    /// The service itself is broken.
    Internal,
    /// An error of this status and name.
    Other(u16, &'static str),
    /// No error: status 200, with this body of JSON.
    Json(&'static str),
}

impl Fault {
    /// The status and the name that an error has in a service.
    fn error(self, operation: &Operation) -> (u16, &'static str) {
        use Protocol::{Json, Query, RestJson, S3};
        match (self, operation.protocol) {
            (Self::Throttled, RestJson) if operation.service == "Lambda" => (429, "TooManyRequestsException"),
            (Self::Throttled, RestJson) => (429, "ThrottlingException"),
            (Self::Throttled, Json) => (400, "ThrottlingException"),
            (Self::Throttled, Query) => (400, "Throttling"),
            (Self::Throttled, S3) => (503, "SlowDown"),
            (Self::ThroughputExceeded, _) => (400, "ProvisionedThroughputExceededException"),
            (Self::AccessDenied, Json) => (400, "AccessDeniedException"),
            (Self::AccessDenied, RestJson) => (403, "AccessDeniedException"),
            (Self::AccessDenied, Query | S3) => (403, "AccessDenied"),
            (Self::ExpiredToken, Json) => (400, "ExpiredTokenException"),
            (Self::ExpiredToken, RestJson) => (403, "ExpiredTokenException"),
            (Self::ExpiredToken, Query) => (403, "ExpiredToken"),
            (Self::ExpiredToken, S3) => (400, "ExpiredToken"),
            (Self::Internal, RestJson) if operation.service == "Lambda" => (500, "ServiceException"),
            (Self::Internal, RestJson) => (500, "InternalServerException"),
            (Self::Internal, Json) => (500, "InternalServerError"),
            (Self::Internal, Query) => (500, "InternalFailure"),
            (Self::Internal, S3) => (500, "InternalError"),
            (Self::Other(status, name), _) => (status, name),
            (Self::Json(_), _) => (200, ""),
        }
    }

    /// What the operation's caller is told.
    pub(crate) fn response(self, operation: &Operation) -> Message {
        let (status, name) = self.error(operation);
        let message = match self {
            Self::AccessDenied => denial(operation),
            _ => format!("{operation} was told to fail"),
        };
        let xml = format!("<Code>{name}</Code><Message>{message}</Message>");
        let id = "<RequestId>00000000-0000-0000-0000-000000000000</RequestId>";
        let (kind, body) = match (self, operation.protocol) {
            (Self::Json(body), _) => ("application/json", body.to_owned()),
            (_, Protocol::Json) => (
                "application/x-amz-json-1.0",
                format!(r#"{{"__type":"com.amazonaws#{name}","message":"{message}"}}"#),
            ),
            (_, Protocol::RestJson) => {
                ("application/json", format!(r#"{{"Type":"User","message":"{message}"}}"#))
            }
            (_, Protocol::Query) => (
                "text/xml",
                format!("<ErrorResponse><Error><Type>Sender</Type>{xml}</Error>{id}</ErrorResponse>"),
            ),
            (_, Protocol::S3) => ("application/xml", format!("<Error>{xml}{id}</Error>")),
        };
        let mut headers = vec![("content-type", kind)];
        if operation.protocol == Protocol::RestJson && status != 200 {
            headers.push(("x-amzn-errortype", name));
        }
        Message::new(&format!("HTTP/1.1 {status} As Told"), &headers, body.as_bytes())
    }
}

/// A refusal in the words that AWS has for it: they name the permission, and
/// nothing else does.
fn denial(operation: &Operation) -> String {
    let service = match operation.service {
        "StepFunctions" => "states".to_owned(),
        "EventBridge" => "events".to_owned(),
        other => other.to_lowercase(),
    };
    let action = format!("{service}:{}", operation.name);
    format!(
        "User: arn:aws:iam::000000000000:user/a is not authorized to perform: {action} on resource: * because no identity-based policy allows the {action} action"
    )
}
