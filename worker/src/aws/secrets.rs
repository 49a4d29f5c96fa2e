//! Secrets on AWS, read by the role of the workers.
//!
//! These are two calls of two services, signed here and sent with reqwest, which
//! is there to send load anyway. The SDK's crates for SSM and Secrets Manager are
//! generated from hundreds of operations each, take minutes to build and
//! megabytes of the package, and would do no more.
//!
//! Nothing is kept: a secret that is rotated during a run is the new one in the
//! next slice.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::secret::{self, Reference, Secret};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::clock::{SystemClock, WallClock};
use crate::ports::Secrets;

/// How long one call may take; it is tried again after.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What both services speak.
const JSON: &str = "application/x-amz-json-1.1";

/// The stores of secrets of an account, in one region.
#[derive(Debug)]
pub struct AwsSecrets {
    config: SdkConfig,
    /// Made for the first call, since most runs have none.
    client: OnceCell<reqwest::Client>,
}

/// A service and the call that is made of it.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    /// As signatures and host names have it.
    service: &'static str,
    /// The variable that names another endpoint.
    variable: &'static str,
    target: &'static str,
    body: Value,
}

impl AwsSecrets {
    /// Those that this configuration's credentials may read.
    #[must_use]
    pub const fn new(config: SdkConfig) -> Self {
        Self { config, client: OnceCell::const_new() }
    }

    fn region(&self) -> Result<&str, TaskError> {
        let region = self.config.region().map(AsRef::as_ref);
        region.ok_or_else(|| TaskError::Broken("the worker knows of no AWS region".to_owned()))
    }

    async fn client(&self) -> Result<&reqwest::Client, TaskError> {
        let client = || async {
            let builder = reqwest::Client::builder().http1_only().timeout(TIMEOUT).no_proxy();
            builder.redirect(reqwest::redirect::Policy::none()).build()
        };
        self.client.get_or_try_init(client).await.map_err(|error| TaskError::Broken(error.to_string()))
    }

    /// Where a service is: as the environment says, or where AWS has it.
    fn endpoint(&self, call: &Call) -> Result<String, TaskError> {
        let region = self.region()?;
        let named = std::env::var(call.variable).ok().filter(|url| !url.is_empty());
        Ok(named.or_else(|| self.config.endpoint_url().map(ToOwned::to_owned)).unwrap_or_else(|| {
            let china = if region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://{}.{region}.amazonaws.com{china}", call.service)
        }))
    }

    /// Makes a call; gives its status and its answer. An answer that does not
    /// come may come later.
    async fn ask(&self, reference: &Reference, call: &Call) -> Result<(u16, Vec<u8>), TaskError> {
        let away =
            |why: String| TaskError::Throttled(format!("{reference}: {} is away: {why}", call.service));
        let broken = |error: &dyn std::fmt::Display| {
            TaskError::Broken(format!("{reference}: the call to {} cannot be signed: {error}", call.service))
        };
        let url = format!("{}/", self.endpoint(call)?.trim_end_matches('/'));
        let body = call.body.to_string();
        let provider = self.config.credentials_provider();
        let provider = provider.ok_or_else(|| broken(&"there are no credentials"))?;
        let credentials = provider.provide_credentials().await.map_err(|error| broken(&error))?;
        let identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region()?)
            .name(call.service)
            .time(now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| broken(&error))?
            .into();
        let headers = [("content-type", JSON), ("x-amz-target", call.target)];
        let signable =
            SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
        let signable = signable.map_err(|error| broken(&error))?;
        let (signature, _) = sign(signable, &params).map_err(|error| broken(&error))?.into_parts();
        let mut request = self.client().await?.post(&url).body(body);
        for (name, value) in headers.into_iter().chain(signature.headers()) {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(|error| away(error.to_string()))?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(|error| away(error.to_string()))?;
        Ok((status, body.to_vec()))
    }
}

impl Secrets for AwsSecrets {
    async fn resolve(&self, reference: &Reference) -> Result<Secret, TaskError> {
        let call = call(reference)?;
        let (status, answer) = self.ask(reference, &call).await?;
        // What cannot be understood is not repeated either: it may be the value.
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if status == 200 { value(reference, &answer) } else { Err(self.refusal(reference, status, &answer)?) }
    }
}

/// The call that gives the value.
fn call(reference: &Reference) -> Result<Call, TaskError> {
    match reference {
        Reference::Env(_) => {
            let refusal = secret::refusal(reference, "aws").unwrap_or_default();
            Err(TaskError::BadConfig(refusal))
        }
        Reference::Ssm(name) => Ok(Call {
            service: "ssm",
            variable: "AWS_ENDPOINT_URL_SSM",
            target: "AmazonSSM.GetParameter",
            body: json!({ "Name": name, "WithDecryption": true }),
        }),
        Reference::SecretsManager { id, .. } => Ok(Call {
            service: "secretsmanager",
            variable: "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            target: "secretsmanager.GetSecretValue",
            body: json!({ "SecretId": id }),
        }),
    }
}

/// The value in an answer. No error repeats any of it.
fn value(reference: &Reference, answer: &Value) -> Result<Secret, TaskError> {
    let bad = |why: String| TaskError::BadConfig(format!("{reference} {why}"));
    let text = match reference {
        Reference::SecretsManager { .. } => &answer["SecretString"],
        _ => &answer["Parameter"]["Value"],
    };
    let text = text.as_str().ok_or_else(|| bad("holds bytes, and only text can be sent".to_owned()))?;
    let Reference::SecretsManager { key: Some(key), .. } = reference else {
        return Ok(Secret::new(text.to_owned()));
    };
    let fields = serde_json::from_str(text).unwrap_or_default();
    let Value::Object(fields) = fields else {
        return Err(bad("names a field of a secret that is no JSON object".to_owned()));
    };
    match fields.get(key) {
        Some(Value::String(text)) => Ok(Secret::new(text.clone())),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Secret::new(value.to_string())),
        Some(_) => Err(bad(format!("is neither text nor number: look at {key:?} in the secret"))),
        None => Err(bad(format!("names a field that the secret lacks: {key:?}"))),
    }
}

impl AwsSecrets {
    /// Why there was no value.
    fn refusal(&self, reference: &Reference, status: u16, answer: &Value) -> Result<TaskError, TaskError> {
        let region = self.region()?;
        let code = answer["__type"].as_str().unwrap_or_default();
        // With a namespace before it, from some services.
        let code = code.rsplit('#').next().unwrap_or(code);
        let said = answer["message"].as_str().or_else(|| answer["Message"].as_str()).unwrap_or_default();
        Ok(match code {
            "ParameterNotFound" | "ParameterVersionNotFound" | "ResourceNotFoundException" => {
                TaskError::BadConfig(format!(
                    "{reference} is not there: region {region} has none of that name"
                ))
            }
            "AccessDeniedException" | "AccessDenied" => TaskError::BadConfig(format!(
                "{reference} may not be read by the workers ({said}); deathstar deploy --allow-secret {} allows it, and a KMS key of your own needs to be named there, too",
                allowance(reference)
            )),
            "ThrottlingException" | "Throttling" | "TooManyRequestsException" | "RequestLimitExceeded" => {
                TaskError::Throttled(format!("{reference}: {code}: {said}"))
            }
            _ if status == 429 || status >= 500 => {
                TaskError::Throttled(format!("{reference}: HTTP status {status}: {code}: {said}"))
            }
            _ => TaskError::BadConfig(format!(
                "{reference} cannot be read: HTTP status {status}: {code}: {said}"
            )),
        })
    }
}

/// The time as signatures want it, to the second.
fn now() -> SystemTime {
    let seconds = u64::try_from(SystemClock.now().as_second()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// How `deploy` is told that workers may read this.
fn allowance(reference: &Reference) -> String {
    match reference {
        // Without its version or label, which no policy knows.
        Reference::Ssm(name) if !name.starts_with("arn:") => {
            format!("ssm:{}", name.split(':').next().unwrap_or(name))
        }
        Reference::SecretsManager { id, .. } if !id.starts_with("arn:") => "secretsmanager:ARN".to_owned(),
        Reference::Ssm(arn) | Reference::SecretsManager { id: arn, .. } | Reference::Env(arn) => arn.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use aws_config::Region;
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;

    use super::*;

    fn ssm(name: &str) -> Reference {
        Reference::Ssm(name.to_owned())
    }

    fn secret_of(id: &str, key: Option<&str>) -> Reference {
        Reference::SecretsManager { id: id.to_owned(), key: key.map(ToOwned::to_owned) }
    }

    fn secrets(endpoint: &str) -> AwsSecrets {
        let credentials = Credentials::new("AKID", "key", Some("token".into()), None, "a test");
        let config = SdkConfig::builder()
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials));
        AwsSecrets::new(config.endpoint_url(endpoint).build())
    }

    /// A server that answers one request; gives that.
    fn answering(status: u16, body: &str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let asked = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.ends_with(b"}") {
                let read = stream.read(&mut buffer).unwrap();
                assert!(read > 0, "a whole request");
                request.extend_from_slice(&buffer[..read]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (format!("http://{address}"), asked)
    }

    async fn resolve(reference: &Reference, status: u16, answer: &str) -> Result<String, TaskError> {
        let (endpoint, _) = answering(status, answer);
        secrets(&endpoint).resolve(reference).await.map(|secret| secret.expose().to_owned())
    }

    #[tokio::test]
    async fn calls_are_signed_for_their_service() {
        for (reference, service, target, body, answer) in [
            (
                ssm("/shop/token:3"),
                "ssm",
                "AmazonSSM.GetParameter",
                json!({ "Name": "/shop/token:3", "WithDecryption": true }),
                r#"{"Parameter": {"Name": "/shop/token", "Value": "s3cret"}}"#,
            ),
            (
                secret_of("shop/login", Some("user")),
                "secretsmanager",
                "secretsmanager.GetSecretValue",
                json!({ "SecretId": "shop/login" }),
                r#"{"Name": "shop/login", "SecretString": "{\"user\": \"s3cret\"}"}"#,
            ),
        ] {
            let (endpoint, asked) = answering(200, answer);
            let value = secrets(&endpoint).resolve(&reference).await.unwrap();
            assert_eq!(value.expose(), "s3cret");
            let asked = asked.join().unwrap();
            let (head, sent) = asked.split_once("\r\n\r\n").unwrap();
            assert_eq!(serde_json::from_str::<Value>(sent).unwrap(), body);
            assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
            let header = |name: &str| {
                let named =
                    |line: &&str| line.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name));
                head.lines().find(named).map(|line| line[name.len() + 1..].trim().to_owned())
            };
            assert_eq!(header("x-amz-target").as_deref(), Some(target));
            assert_eq!(header("content-type").as_deref(), Some(JSON));
            assert_eq!(header("x-amz-security-token").as_deref(), Some("token"));
            let authorization = header("authorization").unwrap();
            let scope = format!("/eu-west-1/{service}/aws4_request");
            assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{authorization}");
            assert!(authorization.contains(&scope), "{authorization}");
            assert!(authorization.contains("content-type;host;x-amz-date"), "{authorization}");
        }
    }

    #[test]
    fn services_are_where_aws_has_them() {
        let config =
            |region: &'static str| AwsSecrets::new(SdkConfig::builder().region(Region::new(region)).build());
        let call = call(&ssm("/a")).unwrap();
        assert_eq!(config("eu-west-1").endpoint(&call).unwrap(), "https://ssm.eu-west-1.amazonaws.com");
        assert_eq!(config("cn-north-1").endpoint(&call).unwrap(), "https://ssm.cn-north-1.amazonaws.com.cn");
        assert_eq!(secrets("http://here").endpoint(&call).unwrap(), "http://here");
        assert!(AwsSecrets::new(SdkConfig::builder().build()).endpoint(&call).is_err());
    }

    #[tokio::test]
    async fn a_refusal_names_the_reference_and_says_why() {
        let said = "User: arn:aws:sts::1:assumed-role/w is not authorized to perform: ssm:GetParameter";
        for (reference, status, answer, told) in [
            (
                ssm("/a"),
                400,
                json!({ "__type": "ParameterNotFound" }),
                "${secret:ssm:/a} is not there: region eu-west-1 has none of that name".to_owned(),
            ),
            (
                secret_of("a", None),
                400,
                json!({ "__type": "com.amazonaws.secretsmanager#ResourceNotFoundException", "Message": "no" }),
                "${secret:secretsmanager:a} is not there: region eu-west-1 has none of that name".to_owned(),
            ),
            (
                ssm("/a:3"),
                400,
                json!({ "__type": "AccessDeniedException", "message": said }),
                format!("${{secret:ssm:/a:3}} may not be read by the workers ({said}); deathstar deploy --allow-secret ssm:/a allows it, and a KMS key of your own needs to be named there, too"),
            ),
            (
                secret_of("a", None),
                400,
                json!({ "__type": "InvalidRequestException", "message": "it is marked for deletion" }),
                "${secret:secretsmanager:a} cannot be read: HTTP status 400: InvalidRequestException: it is marked for deletion".to_owned(),
            ),
        ] {
            let error = resolve(&reference, status, &answer.to_string()).await.unwrap_err();
            assert_eq!(error, TaskError::BadConfig(told));
        }
        let env = secrets("http://127.0.0.1:1").resolve(&Reference::Env("A".into())).await.unwrap_err();
        assert!(env.to_string().starts_with("${env:A} is a variable of your machine"), "{env}");
    }

    #[tokio::test]
    async fn what_may_pass_is_to_be_asked_again() {
        for (status, answer) in [
            (400, r#"{"__type": "ThrottlingException", "message": "Rate exceeded"}"#),
            (429, ""),
            (500, r#"{"__type": "InternalServerError"}"#),
            (503, "<html>"),
        ] {
            let error = resolve(&ssm("/a"), status, answer).await.unwrap_err();
            assert!(
                matches!(&error, TaskError::Throttled(why) if why.contains("${secret:ssm:/a}")),
                "{error:?}"
            );
        }
        // Nobody listens there.
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = secrets(&format!("http://{closed}")).resolve(&ssm("/a")).await.unwrap_err();
        assert!(matches!(&error, TaskError::Throttled(_)), "{error:?}");
    }

    #[tokio::test]
    async fn fields_of_a_secret_are_texts_or_numbers() {
        let in_secret = |text: &str| json!({ "SecretString": text }).to_string();
        let of = |key| secret_of("a", Some(key));
        let fields = in_secret(r#"{"text": "s3cret", "port": 5432, "more": {"deep": "s3cret"}}"#);
        assert_eq!(resolve(&of("text"), 200, &fields).await.unwrap(), "s3cret");
        assert_eq!(resolve(&of("port"), 200, &fields).await.unwrap(), "5432");
        assert_eq!(resolve(&secret_of("a", None), 200, &in_secret("{")).await.unwrap(), "{");
        for (reference, answer, told) in [
            (
                of("more"),
                fields.clone(),
                "${secret:secretsmanager:a#more} is neither text nor number: look at \"more\" in the secret",
            ),
            (
                of("none"),
                fields.clone(),
                "${secret:secretsmanager:a#none} names a field that the secret lacks: \"none\"",
            ),
            (
                of("a"),
                in_secret("s3cret"),
                "${secret:secretsmanager:a#a} names a field of a secret that is no JSON object",
            ),
            (
                of("a"),
                in_secret("\"s3cret\""),
                "${secret:secretsmanager:a#a} names a field of a secret that is no JSON object",
            ),
            (
                secret_of("a", None),
                json!({ "SecretBinary": "czNjcmV0" }).to_string(),
                "${secret:secretsmanager:a} holds bytes, and only text can be sent",
            ),
        ] {
            let error = resolve(&reference, 200, &answer).await.unwrap_err();
            assert_eq!(error, TaskError::BadConfig(told.to_owned()), "nothing of the value is told");
        }
    }
}
