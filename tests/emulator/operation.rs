//! Which operation of AWS a request asks for, and on whose behalf.

use std::fmt;

use crate::message::Message;

/// How a service speaks. It decides what its errors look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// All requests to `/`, named by a header; errors named in the body.
    Json,
    /// Methods and paths, bodies of JSON; errors named by a header.
    RestJson,
    /// A form that names the operation; errors in XML.
    Query,
    /// S3's own: methods and paths, bodies of anything; errors in XML.
    S3,
}

/// An operation, such as `Lambda.CreateFunction`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) service: &'static str,
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service, self.name)
    }
}

/// Services whose operation is in `X-Amz-Target`, by what stands before it.
const TARGETS: &[(&str, &str)] = &[
    ("AWSEvents", "EventBridge"),
    ("AWSStepFunctions", "StepFunctions"),
    ("AmazonSQS", "SQS"),
    ("AmazonSSM", "SSM"),
    ("DynamoDB_20120810", "DynamoDB"),
    ("GraniteServiceVersion20100801", "CloudWatch"),
    ("Logs_20140328", "Logs"),
    ("ResourceGroupsTaggingAPI_20170126", "Tagging"),
    ("secretsmanager", "SecretsManager"),
];

/// Services whose operation is in a form, by the version that the form names.
const FORMS: &[(&str, &str)] = &[
    ("2010-05-08", "IAM"),
    ("2010-05-15", "CloudFormation"),
    ("2010-08-01", "CloudWatch"),
    ("2011-06-15", "STS"),
    ("2012-11-05", "SQS"),
];

/// Lambda's: method, what the path begins and ends with, operation. The first
/// that fits.
const LAMBDA: &[(&str, &str, &str, &str)] = &[
    ("GET", "/2016-08-19/account-settings", "", "GetAccountSettings"),
    ("POST", "/2015-03-31/functions/", "/invocations", "Invoke"),
    ("GET", "/2015-03-31/functions/", "/configuration", "GetFunctionConfiguration"),
    ("PUT", "/2015-03-31/functions/", "/configuration", "UpdateFunctionConfiguration"),
    ("PUT", "/2015-03-31/functions/", "/code", "UpdateFunctionCode"),
    ("GET", "/2015-03-31/functions/", "/policy", "GetPolicy"),
    ("POST", "/2015-03-31/functions/", "/policy", "AddPermission"),
    ("PUT", "/2017-10-31/functions/", "/concurrency", "PutFunctionConcurrency"),
    ("DELETE", "/2017-10-31/functions/", "/concurrency", "DeleteFunctionConcurrency"),
    ("PUT", "/2019-09-25/functions/", "/event-invoke-config", "PutFunctionEventInvokeConfig"),
    ("GET", "/2017-03-31/tags/", "", "ListTags"),
    ("POST", "/2017-03-31/tags/", "", "TagResource"),
];

/// What can be asked of a thing, and of all things of a kind.
const SCHEDULER: &[(&str, &str, &str)] = &[
    ("POST", "CreateSchedule", "CreateScheduleGroup"),
    ("GET", "GetSchedule", "GetScheduleGroup"),
    ("PUT", "UpdateSchedule", "UpdateScheduleGroup"),
    ("DELETE", "DeleteSchedule", "DeleteScheduleGroup"),
];

impl Operation {
    pub(crate) fn of(request: &Message) -> Self {
        by_target(request)
            .or_else(|| lambda(request))
            .or_else(|| scheduler(request))
            .or_else(|| by_form(request))
            .unwrap_or_else(|| s3(request))
    }
}

/// The account that signed a request: the access key, which the emulator takes
/// for the account when it is a number of twelve digits.
pub(crate) fn account_of(request: &Message) -> Option<&str> {
    let (_, credential) = request.header("authorization")?.split_once("Credential=")?;
    credential.split('/').next()
}

fn by_target(request: &Message) -> Option<Operation> {
    let (target, name) = request.header("x-amz-target")?.rsplit_once('.')?;
    let (_, service) = TARGETS.iter().find(|(known, _)| *known == target)?;
    Some(Operation { service, name: name.to_owned(), protocol: Protocol::Json })
}

fn by_form(request: &Message) -> Option<Operation> {
    if request.method() != "POST" || !request.header("content-type")?.contains("x-www-form-urlencoded") {
        return None;
    }
    let form = request.text();
    let field =
        |name: &str| form.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name);
    let (_, name) = field("Action")?;
    let (_, version) = field("Version")?;
    let (_, service) = FORMS.iter().find(|(known, _)| *known == version)?;
    Some(Operation { service, name: name.to_owned(), protocol: Protocol::Query })
}

fn rest(service: &'static str, name: &str) -> Operation {
    Operation { service, name: name.to_owned(), protocol: Protocol::RestJson }
}

fn lambda(request: &Message) -> Option<Operation> {
    let path = path_of(request);
    let fits = |(method, start, end, _): &&(&str, &str, &str, &str)| {
        request.method() == *method && path.starts_with(start) && path.ends_with(end)
    };
    if let Some((.., name)) = LAMBDA.iter().find(fits) {
        return Some(rest("Lambda", name));
    }
    let function = path.strip_prefix("/2015-03-31/functions")?.trim_matches('/');
    let name = match (request.method(), function) {
        ("POST", "") => "CreateFunction",
        ("GET", "") => "ListFunctions",
        ("GET", _) => "GetFunction",
        ("DELETE", _) => "DeleteFunction",
        _ => return None,
    };
    Some(rest("Lambda", name))
}

fn scheduler(request: &Message) -> Option<Operation> {
    let mut parts = path_of(request).trim_matches('/').split('/');
    let (kind, thing) = (parts.next()?, parts.next());
    let group = match kind {
        "schedules" => false,
        "schedule-groups" => true,
        _ => return None,
    };
    let name = match (request.method(), thing) {
        ("GET", None) if group => "ListScheduleGroups",
        ("GET", None) => "ListSchedules",
        (method, _) => {
            let (_, schedule, of_group) = SCHEDULER.iter().find(|(known, ..)| *known == method)?;
            if group { of_group } else { schedule }
        }
    };
    Some(rest("Scheduler", name))
}

fn s3(request: &Message) -> Operation {
    let key =
        path_of(request).trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
    let bucket = path_of(request) != "/";
    let name = match (request.method(), key) {
        ("PUT", true) => "PutObject",
        ("GET", true) => "GetObject",
        ("HEAD", true) => "HeadObject",
        ("DELETE", true) => "DeleteObject",
        ("PUT", false) if !request.path().contains('?') => "CreateBucket",
        ("HEAD", false) => "HeadBucket",
        ("GET", false) if !bucket => "ListBuckets",
        ("GET", false) if request.path().contains("list-type=2") => "ListObjectsV2",
        ("DELETE", false) if !request.path().contains('?') => "DeleteBucket",
        // Of the many that there are, those we need have a name.
        (method, _) => method,
    };
    Operation { service: "S3", name: name.to_owned(), protocol: Protocol::S3 }
}

/// The path without its query.
fn path_of(request: &Message) -> &str {
    request.path().split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(line: &str, headers: &[(&str, &str)], body: &str) -> String {
        Operation::of(&Message::new(&format!("{line} HTTP/1.1"), headers, body.as_bytes())).to_string()
    }

    #[test]
    fn operations_are_told_apart() {
        let target = |target| named("POST /", &[("x-amz-target", target)], "{}");
        assert_eq!(target("DynamoDB_20120810.TransactWriteItems"), "DynamoDB.TransactWriteItems");
        assert_eq!(target("AWSStepFunctions.StartExecution"), "StepFunctions.StartExecution");
        assert_eq!(target("AWSEvents.PutRule"), "EventBridge.PutRule");
        assert_eq!(target("secretsmanager.GetSecretValue"), "SecretsManager.GetSecretValue");
        let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let action = |body| named("POST /", &form, body);
        assert_eq!(action("Action=CreateStack&Version=2010-05-15&A=b"), "CloudFormation.CreateStack");
        assert_eq!(action("Version=2011-06-15&Action=GetCallerIdentity"), "STS.GetCallerIdentity");
        for (line, name) in [
            ("POST /2015-03-31/functions", "Lambda.CreateFunction"),
            ("GET /2015-03-31/functions/?MaxItems=50", "Lambda.ListFunctions"),
            ("GET /2015-03-31/functions/f", "Lambda.GetFunction"),
            ("DELETE /2015-03-31/functions/f?Qualifier=1", "Lambda.DeleteFunction"),
            ("POST /2015-03-31/functions/f/invocations", "Lambda.Invoke"),
            ("PUT /2017-10-31/functions/f/concurrency", "Lambda.PutFunctionConcurrency"),
            ("GET /2016-08-19/account-settings/", "Lambda.GetAccountSettings"),
            ("POST /schedules/run-1", "Scheduler.CreateSchedule"),
            ("DELETE /schedules/run-1?groupName=g", "Scheduler.DeleteSchedule"),
            ("GET /schedules?ScheduleGroup=g", "Scheduler.ListSchedules"),
            ("POST /schedule-groups/g", "Scheduler.CreateScheduleGroup"),
            ("PUT /bucket", "S3.CreateBucket"),
            ("PUT /bucket/", "S3.CreateBucket"),
            ("PUT /bucket?publicAccessBlock", "S3.PUT"),
            ("PUT /bucket/a/b.zip?x-id=PutObject", "S3.PutObject"),
            ("GET /bucket?list-type=2", "S3.ListObjectsV2"),
            ("GET /", "S3.ListBuckets"),
        ] {
            assert_eq!(named(line, &[], ""), name, "{line}");
        }
    }

    #[test]
    fn the_access_key_is_the_account() {
        let value =
            "AWS4-HMAC-SHA256 Credential=100000000007/20260101/us-east-1/s3/aws4_request, Signature=0";
        let request = Message::new("GET / HTTP/1.1", &[("Authorization", value)], b"");
        assert_eq!(account_of(&request), Some("100000000007"));
        assert_eq!(account_of(&Message::new("GET / HTTP/1.1", &[], b"")), None);
    }
}
