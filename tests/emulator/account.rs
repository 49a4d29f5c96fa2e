//! An account of AWS for one test.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::Message;
use crate::ministack::{Ministack, REGION};
use crate::proxy::{Call, Calls, forward};

/// An account: the emulator keeps what is in it apart from all others. Only
/// names of S3 buckets are shared, as in AWS.
#[derive(Debug)]
pub(crate) struct Account<'server> {
    id: String,
    server: &'server Ministack,
}

impl Account<'static> {
    /// A new account in the shared emulator.
    pub(crate) fn new() -> Self {
        Self::on_server(Ministack::shared())
    }
}

impl<'server> Account<'server> {
    /// A new account in an emulator of the test's own.
    pub(crate) fn on_server(server: &'server Ministack) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(100_000_000_001);
        Self { id: NEXT.fetch_add(1, Ordering::SeqCst).to_string(), server }
    }

    /// Its number, of twelve digits. It is its access key, too.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn server(&self) -> &'server Ministack {
        self.server
    }

    /// What a client needs in its environment.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.server.url()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", self.id.clone()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ]
    }

    /// Calls of an operation by this account and by its functions, such as
    /// `Lambda.CreateFunction` or `DynamoDB.*`: to let them fail.
    pub(crate) fn on(&self, operation: &str) -> Calls {
        self.server.proxy().on(Some(&self.id), operation)
    }

    /// All its calls so far, and those of its functions.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.server.proxy().calls().into_iter().filter(|call| call.account == self.id).collect()
    }

    /// How many of its calls were of this operation.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.calls().iter().filter(|call| call.operation == operation).count()
    }

    /// A request of this account, by hand. Nothing checks its signature.
    pub(crate) fn request(&self, first: &str, headers: &[(&str, &str)], body: &[u8]) -> Message {
        self.request_to(service_of(first, headers), first, headers, body)
    }

    fn request_to(&self, service: &str, first: &str, headers: &[(&str, &str)], body: &[u8]) -> Message {
        let credential = format!("{}/20260101/{REGION}/{service}/aws4_request", self.id);
        let signed = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0");
        let host = self.server.proxy().address().to_string();
        let mut all = vec![("host", host.as_str()), ("authorization", signed.as_str())];
        all.extend_from_slice(headers);
        Message::new(&format!("{first} HTTP/1.1"), &all, body)
    }

    /// Sends a request through the proxy.
    pub(crate) fn send(&self, request: &Message) -> std::io::Result<Message> {
        forward(self.server.proxy().address(), request)
    }

    /// Asks a service whose requests are forms, through the proxy.
    ///
    /// # Panics
    /// When no answer comes.
    pub(crate) fn form(&self, service: &str, form: &str) -> Message {
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        self.send(&self.request_to(service, "POST /", &kind, form.as_bytes())).unwrap()
    }

    /// Asks a service that names its operations in a header, through the proxy.
    ///
    /// # Panics
    /// When no answer comes.
    pub(crate) fn target(&self, target: &str, body: &str) -> Message {
        let kind = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.0")];
        self.send(&self.request("POST /", &kind, body.as_bytes())).unwrap()
    }

    /// The same, and it must be well.
    ///
    /// # Panics
    /// When it is not.
    pub(crate) fn ask(&self, target: &str, body: &str) -> serde_json::Value {
        let answer = self.target(target, body);
        assert_eq!(answer.status(), Some(200), "{target}: {}\n{}", answer.text(), self.server.log());
        serde_json::from_slice(answer.body()).unwrap()
    }

    /// Makes the table `things`, of items with a key `pk`.
    pub(crate) fn make_table(&self) {
        let table = serde_json::json!({
            "TableName": "things",
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
        });
        self.ask("DynamoDB_20120810.CreateTable", &table.to_string());
    }
}

/// The name that a signature gives the service of a request: the emulator
/// looks at it.
fn service_of(first: &str, headers: &[(&str, &str)]) -> &'static str {
    let path = first.split(' ').nth(1).unwrap_or_default();
    let target = headers.iter().find(|(name, _)| *name == "x-amz-target").map_or("", |(_, target)| target);
    let targets = [
        ("DynamoDB", "dynamodb"),
        ("AWSStepFunctions", "states"),
        ("AWSEvents", "events"),
        ("AmazonSSM", "ssm"),
        ("Logs", "logs"),
        ("secretsmanager", "secretsmanager"),
        ("GraniteService", "monitoring"),
    ];
    if let Some((_, service)) = targets.iter().find(|(start, _)| target.starts_with(start)) {
        return service;
    }
    if path.starts_with("/schedule") {
        "scheduler"
    } else if path.starts_with("/20") {
        "lambda"
    } else if headers.iter().any(|(_, value)| value.contains("form-urlencoded")) {
        "sts"
    } else {
        "s3"
    }
}
