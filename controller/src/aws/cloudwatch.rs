//! CloudWatch: one call of it, signed here and sent with reqwest.
//!
//! The SDK's crate for it has other versions of libraries below it than all the
//! others here, for the sake of dozens of calls that nobody makes.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use deathstar_statemachine::error::TaskError;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::clock::{Clock, SystemClock};
use crate::ports::{Metrics, Query};

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a call is made that was throttled or not answered.
const TRIES: u32 = 4;

/// Points that one answer may hold, the most there are. See
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>.
const MAX_POINTS: u32 = 100_800;

const SERVICE: &str = "monitoring";
const HEADERS: [(&str, &str); 2] = [
    ("content-type", "application/x-amz-json-1.0"),
    ("x-amz-target", "GraniteServiceVersion20100801.GetMetricData"),
];

/// The metrics of an account, in one region.
#[derive(Debug, Clone)]
pub struct CloudWatchMetrics {
    config: SdkConfig,
    /// Made for the first call, since most runs have none.
    client: OnceCell<reqwest::Client>,
}

impl CloudWatchMetrics {
    /// Those that this configuration's credentials may read.
    #[must_use]
    pub const fn new(config: SdkConfig) -> Self {
        Self { config, client: OnceCell::const_new() }
    }

    fn region(&self) -> Result<&str, TaskError> {
        let region = self.config.region().map(AsRef::as_ref);
        region.ok_or_else(|| TaskError::Broken("the controller knows of no AWS region".to_owned()))
    }

    /// Where CloudWatch is: as the environment says, or where AWS has it.
    fn endpoint(&self) -> Result<String, TaskError> {
        let region = self.region()?;
        let named = std::env::var("AWS_ENDPOINT_URL_CLOUDWATCH").ok().filter(|url| !url.is_empty());
        Ok(named.or_else(|| self.config.endpoint_url().map(ToOwned::to_owned)).unwrap_or_else(|| {
            let china = if region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://{SERVICE}.{region}.amazonaws.com{china}")
        }))
    }

    async fn client(&self) -> Result<&reqwest::Client, TaskError> {
        let client = || async {
            let builder = reqwest::Client::builder().timeout(TIMEOUT).no_proxy();
            builder.redirect(reqwest::redirect::Policy::none()).build()
        };
        self.client.get_or_try_init(client).await.map_err(|error| TaskError::Broken(error.to_string()))
    }

    async fn ask(&self, body: &Value) -> Result<Value, TaskError> {
        let broken = |error: &dyn std::fmt::Display| {
            TaskError::Broken(format!("the call to CloudWatch cannot be signed: {error}"))
        };
        let away = |error: reqwest::Error| TaskError::Throttled(format!("CloudWatch is away: {error}"));
        let url = format!("{}/", self.endpoint()?.trim_end_matches('/'));
        let body = body.to_string();
        let provider = self.config.credentials_provider();
        let provider = provider.ok_or_else(|| broken(&"there are no credentials"))?;
        let identity = provider.provide_credentials().await.map_err(|error| broken(&error))?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region()?)
            .name(SERVICE)
            .time(now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| broken(&error))?
            .into();
        let signable =
            SignableRequest::new("POST", &url, HEADERS.into_iter(), SignableBody::Bytes(body.as_bytes()));
        let signable = signable.map_err(|error| broken(&error))?;
        let (signature, _) = sign(signable, &params).map_err(|error| broken(&error))?.into_parts();
        let mut request = self.client().await?.post(&url).body(body);
        for (name, value) in HEADERS.into_iter().chain(signature.headers()) {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(away)?;
        let status = answer.status().as_u16();
        let answer = answer.bytes().await.map_err(away)?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if status == 200 { Ok(answer) } else { Err(refusal(status, &answer)) }
    }

    async fn ask_again(&self, body: &Value) -> Result<Value, TaskError> {
        let mut tries = 1;
        loop {
            match self.ask(body).await {
                Err(TaskError::Throttled(_)) if tries < TRIES => {
                    SystemClock.sleep(Duration::from_secs(1 << tries)).await;
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }
}

impl Metrics for CloudWatchMetrics {
    async fn read(
        &self,
        query: &Query,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(Timestamp, f64)>, TaskError> {
        let mut values = Vec::new();
        let mut token = None;
        loop {
            let answer = self.ask_again(&request(query, from, until, token.as_deref())).await?;
            values.extend(points(&answer)?);
            token = answer["NextToken"].as_str().filter(|token| !token.is_empty()).map(ToOwned::to_owned);
            if token.is_none() {
                values.sort_by_key(|(start, _)| *start);
                return Ok(values);
            }
        }
    }
}

fn request(query: &Query, from: Timestamp, until: Timestamp, token: Option<&str>) -> Value {
    let Query { metric, period } = query;
    let dimensions: Vec<Value> =
        metric.dimensions.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
    let mut request = json!({
        "MetricDataQueries": [{
            "Id": "m",
            "MetricStat": {
                "Metric": {
                    "Namespace": metric.namespace,
                    "MetricName": metric.metric,
                    "Dimensions": dimensions,
                },
                "Period": period.as_secs(),
                "Stat": metric.statistic.name(),
            },
        }],
        "StartTime": from.as_second(),
        // What ends in the middle of a second ends after it.
        "EndTime": until.as_second() + 1,
        "ScanBy": "TimestampAscending",
        "MaxDatapoints": MAX_POINTS,
    });
    if let Some(token) = token {
        request["NextToken"] = token.into();
    }
    request
}

/// The start of each period and its value.
fn points(answer: &Value) -> Result<Vec<(Timestamp, f64)>, TaskError> {
    let broken = || TaskError::Broken(format!("CloudWatch answers in another way: {answer}"));
    let mut points = Vec::new();
    for result in answer["MetricDataResults"].as_array().ok_or_else(broken)? {
        let times = result["Timestamps"].as_array().ok_or_else(broken)?;
        let values = result["Values"].as_array().ok_or_else(broken)?;
        for (time, value) in times.iter().zip(values) {
            points.push((time_of(time).ok_or_else(broken)?, value.as_f64().ok_or_else(broken)?));
        }
    }
    Ok(points)
}

/// Seconds since 1970, or the time as text: some stand-ins write it so.
fn time_of(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        #[expect(clippy::cast_possible_truncation, reason = "a time is far from where this saturates")]
        number => Timestamp::from_millisecond((number.as_f64()? * 1000.0).round() as i64).ok(),
    }
}

fn refusal(status: u16, answer: &Value) -> TaskError {
    let code = answer["__type"].as_str().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or(code);
    let said = answer["message"].as_str().or_else(|| answer["Message"].as_str()).unwrap_or_default();
    let text = format!("CloudWatch refuses with HTTP status {status}: {code}: {said}");
    if status == 429 || status >= 500 || code.contains("Throttling") || code == "RequestLimitExceeded" {
        TaskError::Throttled(text)
    } else {
        TaskError::Broken(text)
    }
}

/// The time as signatures want it, to the second.
fn now() -> SystemTime {
    let seconds = u64::try_from(SystemClock.now().as_second()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use deathstar_statemachine::config::source::{CloudWatch, Statistic};

    use super::*;

    #[test]
    fn a_request_is_what_the_documentation_shows() {
        let metric = CloudWatch {
            namespace: "AWS/EC2".to_owned(),
            metric: "CPUUtilization".to_owned(),
            dimensions: BTreeMap::from([("InstanceId".to_owned(), "i-1".to_owned())]),
            statistic: Statistic::Average,
        };
        let query = Query { metric, period: Duration::from_secs(60) };
        let from = "2026-11-29T10:00:00Z".parse().unwrap();
        let until = "2026-11-29T10:10:00.5Z".parse().unwrap();
        let body = request(&query, from, until, Some("next"));
        assert_eq!((&body["StartTime"], &body["EndTime"]), (&1_795_946_400.into(), &1_795_947_001.into()));
        assert_eq!(body["NextToken"], "next");
        let stat = &body["MetricDataQueries"][0]["MetricStat"];
        assert_eq!((&stat["Period"], &stat["Stat"]), (&60.into(), &"Average".into()));
        assert_eq!(stat["Metric"]["Dimensions"], json!([{ "Name": "InstanceId", "Value": "i-1" }]));
    }

    #[test]
    fn times_are_seconds_or_text() {
        let answer = json!({ "MetricDataResults": [
            { "Timestamps": [1_795_946_400.0, "2026-11-29T10:01:00Z"], "Values": [12.5, 13] },
        ]});
        let expected = [("2026-11-29T10:00:00Z", 12.5), ("2026-11-29T10:01:00Z", 13.0)]
            .map(|(at, value)| (at.parse().unwrap(), value));
        assert_eq!(points(&answer).unwrap(), expected);
        assert!(points(&json!({ "Error": "no" })).is_err());
        assert!(points(&json!({ "MetricDataResults": [{ "Timestamps": [true], "Values": [1] }] })).is_err());
    }

    #[test]
    fn what_may_go_away_is_tried_again() {
        let throttled = json!({ "__type": "com.amazonaws#ThrottlingException", "message": "Rate exceeded" });
        assert!(matches!(refusal(400, &throttled), TaskError::Throttled(_)));
        assert!(matches!(refusal(503, &Value::Null), TaskError::Throttled(_)));
        let denied = refusal(400, &json!({ "__type": "AccessDenied", "Message": "no" }));
        assert_eq!(denied.name(), "DeathStar.Broken");
        assert!(denied.to_string().contains("status 400: AccessDenied: no"), "{denied}");
    }
}
