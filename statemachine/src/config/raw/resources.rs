//! What a config may say of the target's resources, and of its fleet.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{ABSOLUTE_URL, DurationText, RateText, is_default};
use crate::config::source::{MAX_SERIES, Statistic};

/// A source of what the target's resources are doing, read beside the load. It is
/// one of `prometheus`, `pid`, `cgroup` and `cloudwatch`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "fields such as prometheus and every")]
#[schemars(rename = "Resource")]
pub struct RawResource {
    /// The URL of metrics in Prometheus text: of `node_exporter` and of processes CPU,
    /// memory and file descriptors are read, and whatever `series` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = ABSOLUTE_URL), example = &"http://10.0.0.5:9100/metrics")]
    pub prometheus: Option<String>,
    /// A process of the machine that sends; only embedded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = super::super::MAX_PID), example = 1234)]
    pub pid: Option<u64>,
    /// The directory of a cgroup v2 of the machine that sends; only embedded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^/"), example = &"/sys/fs/cgroup/web.slice")]
    pub cgroup: Option<String>,
    /// A metric of CloudWatch; only on AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloudwatch: Option<RawCloudWatch>,
    /// What reports call it; unique in the attack. By default the host, the process,
    /// the directory or the metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), example = &"web")]
    pub name: Option<String>,
    /// How often it is read, 100ms to 5m; 1s by default, and 1m of CloudWatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<DurationText>,
    /// Series of Prometheus to read beside: by name, or `name{label="value"}`, whose
    /// samples are summed. A counter is read as its increase per second.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_SERIES), inner(regex(pattern = SERIES)), example = SERIES_EXAMPLES)]
    pub series: Vec<String>,
    /// At which value each is full: `cpu` (processors), `memory` (bytes),
    /// `descriptors`, or a series. It goes before what the source itself says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capacity: BTreeMap<String, Value>,
    /// What counts the instances that serve: a series of Prometheus, or `true` for
    /// the metric of CloudWatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<RawInstances>,
}

/// A metric of CloudWatch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "fields such as namespace and metric")]
#[schemars(rename = "CloudWatch")]
pub struct RawCloudWatch {
    /// The namespace.
    #[schemars(length(min = 1, max = 255), example = &"AWS/EC2")]
    pub namespace: String,
    /// The metric's name.
    #[schemars(length(min = 1, max = 200), example = &"CPUUtilization")]
    pub metric: String,
    /// The dimensions, by name: at most 30.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 30))]
    pub dimensions: BTreeMap<String, String>,
    /// What is made of the values of one period; `Average` by default.
    #[serde(default, skip_serializing_if = "is_default")]
    pub statistic: Statistic,
}

/// What is expected of the target, to say at what utilisation to scale out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "fields such as peak and scale_out_delay")]
#[schemars(rename = "Autoscaling")]
pub struct RawAutoscaling {
    /// The most that will ever be asked of the target.
    pub peak: RateText,
    /// From too high a utilisation until a new instance serves: 1s to 1h.
    pub scale_out_delay: DurationText,
    /// The fewest instances there are.
    #[schemars(range(min = 1, max = super::super::MAX_FLEET))]
    pub minimum_fleet: u64,
    /// How many instances are behind the target now; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = super::super::MAX_FLEET))]
    pub tested_fleet: Option<u64>,
    /// How long demand takes from nothing to its peak when it climbs fastest, 1s to
    /// 1d; 10m by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub climb: Option<DurationText>,
}

/// What counts the instances that serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RawInstances {
    /// Whether the metric itself does.
    Metric(bool),
    /// This series does.
    Series(String),
}

/// A number, whole or not, and finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Value(pub f64);

const SERIES: &str = r"^\s*[a-zA-Z_:][a-zA-Z0-9_:]*\s*(\{.*\})?\s*$";
const SERIES_EXAMPLES: [&str; 2] = ["http_requests_in_flight", "http_requests_total{code=\"500\"}"];

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;

        impl Visitor<'_> for ValueVisitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number such as 16 or 0.5")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
                Ok(Value(number as f64))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
                Ok(Value(number as f64))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
                if number.is_finite() {
                    Ok(Value(number))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(number), &self))
                }
            }
        }

        deserializer.deserialize_any(ValueVisitor)
    }
}

impl JsonSchema for Value {
    fn schema_name() -> Cow<'static, str> {
        "Capacity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "exclusiveMinimum": 0 })
    }
}

impl<'de> Deserialize<'de> for RawInstances {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InstancesVisitor;

        impl Visitor<'_> for InstancesVisitor {
            type Value = RawInstances;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a series, or true")
            }

            fn visit_bool<E: de::Error>(self, metric: bool) -> Result<RawInstances, E> {
                Ok(RawInstances::Metric(metric))
            }

            fn visit_str<E: de::Error>(self, series: &str) -> Result<RawInstances, E> {
                Ok(RawInstances::Series(series.to_owned()))
            }
        }

        deserializer.deserialize_any(InstancesVisitor)
    }
}

impl JsonSchema for RawInstances {
    fn schema_name() -> Cow<'static, str> {
        "Instances".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A series of Prometheus, or whether the metric of CloudWatch is that count.",
            "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": SERIES }],
        })
    }
}
