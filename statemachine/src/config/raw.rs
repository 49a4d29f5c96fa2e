//! What a config file may say, in its short and its long form, before anybody
//! has asked whether it makes sense. `check` asks.
//!
//! The doc comments of the fields are also the descriptions in the JSON Schema
//! that editors show, so they address the author of a config.

mod resources;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use super::json::Json;
use super::source::MAX_RESOURCES;
use super::{Engine, MAX_ATTACKS, MAX_BURSTS, MAX_CONNECTIONS, MAX_REQUESTS, Order};
use crate::arrivals::Spacing;
pub use resources::{RawAutoscaling, RawCloudWatch, RawInstances, RawResource, Value};

/// A DeathStar config: the targets of an attack, the load on each, and the
/// promises they must keep.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "fields such as name and attacks")]
#[schemars(title = "DeathStar config")]
pub struct RawConfig {
    /// What the run is called: one line of 1 to 100 characters.
    #[schemars(length(min = 1, max = 100), example = &"quickstart")]
    pub name: String,
    /// Whether the attacks run side by side (the default) or one after another.
    #[serde(default, skip_serializing_if = "is_default")]
    pub order: Order,
    /// The attacks: 1 to 100, each with a name of its own.
    #[schemars(length(min = 1, max = MAX_ATTACKS))]
    pub attacks: Vec<RawAttack>,
    /// Promises that apply to every attack, for example `p99 < 250ms`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = RULE)), example = RULE_EXAMPLES)]
    pub slo: Vec<String>,
    /// Ends the run early, as failed, when the condition holds for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = STOP_IF), example = &"errors > 20% for 10s")]
    pub stop_if: Option<String>,
    /// How many workers share the load; by default as many as it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<RawWorkers>,
    /// What the run may cost at most on AWS, by the estimate of its plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<RawBudget>,
}

/// One target with its own load. Either `url` alone for a single kind of
/// request, or `requests` for a weighted mix.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "fields such as name, url and load")]
#[schemars(rename = "Attack")]
pub struct RawAttack {
    /// What the attack is called in the report; unique in the config.
    #[schemars(length(min = 1, max = 100), example = &"home")]
    pub name: String,
    /// The one URL to send requests to, http or https. Not together with `requests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = ABSOLUTE_URL), example = &"http://127.0.0.1:8080/")]
    pub url: Option<String>,
    /// What the paths of `requests` are appended to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = ABSOLUTE_URL), example = &"https://shop.example.com/api")]
    pub base_url: Option<String>,
    /// The method of requests to `url`; GET by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TOKEN), example = &"POST")]
    pub method: Option<String>,
    /// Headers of all requests of the attack; a request's own take precedence.
    #[serde(default, skip_serializing_if = "Headers::is_empty")]
    pub headers: Headers,
    /// The body of requests to `url`, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The body of requests to `url`, as JSON; it also sets the content-type.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub json: Option<Json>,
    /// The file that holds the body of requests to `url`, relative to the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_file: Option<String>,
    /// The body of requests to `url`, in base64: for bytes that are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// What a response from `url` must look like to count as completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<RawExpect>,
    /// The kinds of requests, drawn at random by weight: at most 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_REQUESTS))]
    pub requests: Option<Vec<RawRequest>>,
    /// The load: exactly one profile. `rate` and `duration` are its short form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<RawLoad>,
    /// Short for a constant load: how often requests are due, together with `duration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateText>,
    /// Short for a constant load: for how long, together with `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<DurationText>,
    /// How long a request may take from when it is sent; 30s by default, at most 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
    /// How requests of an open load follow each other: `even` (the default), or
    /// `poisson`, at random as those of many independent callers do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub arrivals: Spacing,
    /// The most connections at once, over all workers: requests that find all of them
    /// busy wait, and their wait counts. By default as many as workers can have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_CONNECTIONS), example = 64)]
    pub connections: Option<u64>,
    /// How many connections are opened before the first request is due, over all
    /// workers; none by default. Only with the fast engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_CONNECTIONS), example = 64)]
    pub warm_up: Option<u64>,
    /// What sends the requests: `fast`, a transport of our own for HTTP/1.1 and TLS;
    /// `rich`, a general HTTP client that costs several times the CPU; by default
    /// `auto`, the fast one for all that it can send.
    #[serde(default, skip_serializing_if = "is_default")]
    pub engine: Engine,
    /// How long a virtual user pauses after a response; only with `users`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think: Option<RawThink>,
    /// Promises of this attack, in addition to the config's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = RULE)), example = RULE_EXAMPLES)]
    pub slo: Vec<String>,
    /// Sources of what the target's resources are doing, read beside the load: at
    /// most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_RESOURCES))]
    pub resources: Vec<RawResource>,
    /// What is expected of the target, to say at what utilisation to scale out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<RawAutoscaling>,
}

/// One kind of request in a mix. Its target is one of `get`, `post`, `put`,
/// `patch`, `delete`, `head` and `options`, or `method` with `url` or `path`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "fields such as name and get")]
#[schemars(rename = "Request")]
pub struct RawRequest {
    /// What it is called in the report; unique in the attack. By default its
    /// method and path, such as `GET /items`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), example = &"browse")]
    pub name: Option<String>,
    /// How often it is drawn, relative to the others; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub weight: Option<u64>,
    /// The method, with `url` or `path`; GET by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TOKEN), example = &"PROPFIND")]
    pub method: Option<String>,
    /// The target as a whole URL, http or https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = ABSOLUTE_URL))]
    pub url: Option<String>,
    /// The target as a path that is appended to the attack's `base_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = PATH), example = &"/items")]
    pub path: Option<String>,
    /// GET this path or URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TARGET), example = &"/items")]
    pub get: Option<String>,
    /// POST to this path or URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TARGET), example = &"/orders")]
    pub post: Option<String>,
    /// PUT to this path or URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TARGET))]
    pub put: Option<String>,
    /// PATCH this path or URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TARGET))]
    pub patch: Option<String>,
    /// DELETE this path or URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TARGET))]
    pub delete: Option<String>,
    /// HEAD of this path or URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TARGET))]
    pub head: Option<String>,
    /// OPTIONS of this path or URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TARGET))]
    pub options: Option<String>,
    /// Headers of this request; they take precedence over the attack's.
    #[serde(default, skip_serializing_if = "Headers::is_empty")]
    pub headers: Headers,
    /// The body, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The body, as JSON; it also sets the content-type.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub json: Option<Json>,
    /// The file that holds the body, relative to the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_file: Option<String>,
    /// The body in base64: for bytes that are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// What a response must look like to count as completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<RawExpect>,
}

/// What a response must look like to count as completed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "fields such as status")]
#[schemars(rename = "Expect")]
pub struct RawExpect {
    /// The only status that counts; by default any below 400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599), example = 201)]
    pub status: Option<u64>,
}

/// When requests are due: exactly one profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields, expecting = "exactly one profile, such as constant")]
#[schemars(rename = "Load")]
pub enum RawLoad {
    /// One rate all the time, whatever the target does.
    Constant {
        /// How often requests are due.
        rate: RateText,
        /// For how long.
        #[serde(rename = "for")]
        duration: DurationText,
    },
    /// From one rate to another in a straight line, then held.
    Ramp {
        /// Where the ramp starts; `0/s` is allowed.
        from: RateText,
        /// Where it ends.
        to: RateText,
        /// How long the ramp takes.
        over: DurationText,
        /// How long `to` is held after it; not at all by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<DurationText>,
    },
    /// One rate after another.
    Steps {
        /// The rates, at most 1,000.
        #[schemars(length(min = 1, max = 1000))]
        rates: Vec<RateText>,
        /// How long each step lasts.
        each: DurationText,
    },
    /// A low rate, and sudden peaks in it.
    Burst {
        /// The rate before the first peak and after each.
        base: RateText,
        /// The rate of a peak, above `base`.
        peak: RateText,
        /// How long `base` lasts before the first peak.
        warm: DurationText,
        /// How long a peak lasts.
        spike: DurationText,
        /// How long `base` lasts after each peak.
        recover: DurationText,
        /// How many peaks there are; 1 by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1, max = MAX_BURSTS))]
        times: Option<u64>,
    },
    /// The highest rate at which the promises hold: it grows until one breaks, closes in
    /// on where that is, and holds the answer for longer.
    Search {
        /// The lowest rate to try.
        from: RateText,
        /// The highest rate to try.
        up_to: RateText,
        /// How long each rate is tried; 30s by default. Its first fifth is not judged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<DurationText>,
        /// How far apart the ends of the answer may be, 0.1% to 50%; 3% by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tolerance: Option<PercentText>,
    },
    /// Virtual users that loop, each waiting for its answer.
    Users {
        /// How many virtual users.
        #[schemars(range(min = 1, max = 1_000_000))]
        count: u64,
        /// Users start evenly over this long; all at once by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ramp: Option<DurationText>,
        /// How long all of them run once the ramp is over.
        #[serde(rename = "for")]
        duration: DurationText,
    },
}

/// How long a virtual user pauses: always as long, or anything in between.
#[derive(Debug, Clone, PartialEq)]
pub enum RawThink {
    /// Always this long.
    Fixed(DurationText),
    /// Uniform between two durations.
    Between(ThinkRange),
}

/// The shortest and the longest pause of a virtual user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThinkRange {
    /// The shortest pause.
    pub min: DurationText,
    /// The longest pause.
    pub max: DurationText,
}

/// How many workers share the load, and what each is like on AWS: `auto`, a
/// number, or fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawWorkers {
    /// How many.
    pub count: RawCount,
    /// How much memory each has on AWS.
    pub memory: Option<MemoryText>,
    /// Where they run.
    pub regions: Option<Vec<String>>,
}

/// How many workers share the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RawCount {
    /// As many as the load needs.
    #[default]
    Auto,
    /// So many: 1 to 10,000.
    Count(u64),
}

/// What a run may cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "fields such as max_usd")]
#[schemars(rename = "Budget")]
pub struct RawBudget {
    /// The most that the run may cost, in US dollars.
    #[serde(deserialize_with = "usd")]
    #[schemars(range(min = 0), example = 5)]
    pub max_usd: f64,
}

/// An amount of memory as written, such as `1769MB` or `2GB`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct MemoryText(pub String);

/// A percentage as written, such as `3%`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PercentText(pub String);

/// An arrival rate as written, such as `500/s`, `30/m` or `10/h`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RateText(pub String);

/// A duration as written, such as `250ms`, `30s`, `10m` or `1m30s`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DurationText(pub String);

/// Header names and values in the order written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The four ways to write a body, side by side.
pub(super) struct RawBody<'raw> {
    pub(super) text: Option<&'raw str>,
    pub(super) json: Option<&'raw Json>,
    pub(super) file: Option<&'raw str>,
    pub(super) base64: Option<&'raw str>,
}

impl RawAttack {
    pub(super) fn raw_body(&self) -> RawBody<'_> {
        RawBody {
            text: self.body.as_deref(),
            json: self.json.as_ref(),
            file: self.body_file.as_deref(),
            base64: self.body_base64.as_deref(),
        }
    }
}

impl RawRequest {
    pub(super) fn raw_body(&self) -> RawBody<'_> {
        RawBody {
            text: self.body.as_deref(),
            json: self.json.as_ref(),
            file: self.body_file.as_deref(),
            base64: self.body_base64.as_deref(),
        }
    }

    /// Every target written: the field, the method it stands for, and the text.
    pub(super) fn targets(&self) -> Vec<(&'static str, Option<&'static str>, &str)> {
        [
            ("url", None, &self.url),
            ("path", None, &self.path),
            ("get", Some("GET"), &self.get),
            ("post", Some("POST"), &self.post),
            ("put", Some("PUT"), &self.put),
            ("patch", Some("PATCH"), &self.patch),
            ("delete", Some("DELETE"), &self.delete),
            ("head", Some("HEAD"), &self.head),
            ("options", Some("OPTIONS"), &self.options),
        ]
        .into_iter()
        .filter_map(|(field, method, text)| text.as_deref().map(|text| (field, method, text)))
        .collect()
    }
}

const RATE: &str = r"^\s*[0-9][0-9_,]*(\.[0-9]+)?\s*/\s*(s|sec|second|m|min|minute|h|hour)\s*$";
const DURATION: &str = r"^\s*([0-9][0-9_,]*(\.[0-9]+)?\s*(us|µs|ms|s|m|min|h|d)\s*)+$";
const PERCENT: &str = r"^\s*[0-9]+(\.[0-9]+)?\s*%\s*$";
const MEMORY: &str = r"^\s*[0-9][0-9_,]*(\.[0-9]+)?\s*(MB|GB)\s*$";
const REGION: &str = r"^[a-z]+(-[a-z]+)+-[0-9]+$";
// A reference may hold a #, and stands behind the host.
const ABSOLUTE_URL: &str = r"^\s*[hH][tT][tT][pP][sS]?://[^\s/?#@{]+([/?](\$\{[^}]*\}|[^#])*)?$";
const PATH: &str = r"^[/?](\$\{[^}]*\}|[^#])*$";
const TARGET: &str = r"^(\s*[hH][tT][tT][pP][sS]?://[^\s/?#@{]+)?([/?](\$\{[^}]*\}|[^#])*)?$";
const TOKEN: &str = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
const RULE: &str = r"^\s*(p[0-9]+(\.[0-9]+)?|max|mean|errors|achieved|rate)\s*[<>]=?\s*\S.*$";
const RULE_EXAMPLES: [&str; 3] = ["p99 < 250ms", "errors < 0.1%", "achieved >= 98%"];
const STOP_IF: &str = r"^\s*(p[0-9]+(\.[0-9]+)?|max|mean|errors)\s*[<>]=?\s*\S.* for \s*\S+$";

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reads a value that is there, so that `json: null` is a body of `null` and
/// not the absence of one.
fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a text with a unit. A bare number is kept as its digits, so that the
/// missing unit is reported with all other values rather than alone.
struct UnitText(&'static str);

impl Visitor<'_> for UnitText {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

impl<'de> Deserialize<'de> for RateText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnitText("an arrival rate such as 500/s")).map(Self)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnitText("a duration such as 30s")).map(Self)
    }
}

impl<'de> Deserialize<'de> for PercentText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnitText("a percentage such as 3%")).map(Self)
    }
}

impl JsonSchema for PercentText {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A percentage, 0% to 100%.",
            "type": "string",
            "pattern": PERCENT,
            "examples": ["3%", "0.5%"],
        })
    }
}

impl JsonSchema for RateText {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "How often requests are due, per second, minute or hour: up to 1,000,000/s.",
            "type": "string",
            "pattern": RATE,
            "examples": ["500/s", "30/m", "10/h"],
        })
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration with its unit: us, ms, s, m, h or d; up to 30d.",
            "type": "string",
            "pattern": DURATION,
            "examples": ["250ms", "30s", "10m", "1m30s"],
        })
    }
}

impl Serialize for RawThink {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(duration) => duration.serialize(serializer),
            Self::Between(range) => range.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RawThink {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ThinkVisitor;

        impl<'de> Visitor<'de> for ThinkVisitor {
            type Value = RawThink;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 500ms, or the fields min and max")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawThink, E> {
                Ok(RawThink::Fixed(DurationText(text.to_owned())))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<RawThink, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<RawThink, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<RawThink, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<RawThink, A::Error> {
                ThinkRange::deserialize(MapAccessDeserializer::new(access)).map(RawThink::Between)
            }
        }

        deserializer.deserialize_any(ThinkVisitor)
    }
}

impl JsonSchema for RawThink {
    fn schema_name() -> Cow<'static, str> {
        "Think".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Always as long, or uniform between two durations; at most 1h.",
            "anyOf": [generator.subschema_for::<DurationText>(), generator.subschema_for::<ThinkRange>()],
        })
    }
}

impl<'de> Deserialize<'de> for MemoryText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnitText("an amount of memory such as 1769MB")).map(Self)
    }
}

impl JsonSchema for MemoryText {
    fn schema_name() -> Cow<'static, str> {
        "Memory".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "How much memory a worker has on AWS, in MB or GB: 128MB to 10240MB, 1769MB by default, which is one CPU.",
            "type": "string",
            "pattern": MEMORY,
            "examples": ["1769MB", "2GB"],
        })
    }
}

/// Reads a number of dollars, whole or not.
fn usd<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    struct Usd;

    impl Visitor<'_> for Usd {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number of US dollars such as 5 or 0.5")
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<f64, E> {
            Ok(number as f64)
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<f64, E> {
            Ok(number as f64)
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<f64, E> {
            if number.is_finite() {
                Ok(number)
            } else {
                Err(E::invalid_value(de::Unexpected::Float(number), &self))
            }
        }
    }

    deserializer.deserialize_any(Usd)
}

/// The long form of `workers`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkersFields {
    #[serde(default, deserialize_with = "count")]
    count: RawCount,
    #[serde(default)]
    memory: Option<MemoryText>,
    #[serde(default)]
    regions: Option<Vec<String>>,
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RawCount, D::Error> {
    deserializer.deserialize_any(WorkersCount)
}

struct WorkersCount;

impl Visitor<'_> for WorkersCount {
    type Value = RawCount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auto or a number of workers")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RawCount, E> {
        match text {
            "auto" => Ok(RawCount::Auto),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<RawCount, E> {
        Ok(RawCount::Count(count))
    }
}

impl Serialize for RawCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Count(count) => serializer.serialize_u64(*count),
        }
    }
}

impl Serialize for RawWorkers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { count, memory, regions } = self;
        if memory.is_none() && regions.is_none() {
            return count.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("count", count)?;
        if let Some(memory) = memory {
            map.serialize_entry("memory", memory)?;
        }
        if let Some(regions) = regions {
            map.serialize_entry("regions", regions)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for RawWorkers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WorkersVisitor;

        impl<'de> Visitor<'de> for WorkersVisitor {
            type Value = RawWorkers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                WorkersCount.expecting(f)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawWorkers, E> {
                WorkersCount.visit_str(text).map(RawWorkers::of)
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<RawWorkers, E> {
                WorkersCount.visit_u64(count).map(RawWorkers::of)
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<RawWorkers, A::Error> {
                let WorkersFields { count, memory, regions } =
                    WorkersFields::deserialize(MapAccessDeserializer::new(access))?;
                Ok(RawWorkers { count, memory, regions })
            }
        }

        deserializer.deserialize_any(WorkersVisitor)
    }
}

impl RawWorkers {
    fn of(count: RawCount) -> Self {
        Self { count, ..Self::default() }
    }
}

impl JsonSchema for RawWorkers {
    fn schema_name() -> Cow<'static, str> {
        "Workers".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let count = serde_json::json!([
            { "const": "auto" },
            { "type": "integer", "minimum": 1, "maximum": super::MAX_WORKERS },
        ]);
        json_schema!({
            "description": "`auto`, or how many workers share the load: 1 to 10,000; as fields, also what each is like on AWS.",
            "anyOf": [
                { "anyOf": count },
                {
                    "type": "object",
                    "properties": {
                        "count": {
                            "description": "`auto`, the default, or how many workers share the load: 1 to 10,000.",
                            "anyOf": count,
                        },
                        "memory": generator.subschema_for::<MemoryText>(),
                        "regions": {
                            "description": "The AWS region to attack from: the stack's own.",
                            "type": "array",
                            "items": { "type": "string", "pattern": REGION },
                            "minItems": 1,
                            "maxItems": super::MAX_REGIONS,
                            "examples": [["eu-west-1"]],
                        },
                    },
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeadersVisitor;

        impl<'de> Visitor<'de> for HeadersVisitor {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("header names with their values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Headers, A::Error> {
                let mut headers = Vec::new();
                while let Some(header) = access.next_entry()? {
                    headers.push(header);
                }
                Ok(Headers(headers))
            }
        }

        deserializer.deserialize_map(HeadersVisitor)
    }
}

impl JsonSchema for Headers {
    fn schema_name() -> Cow<'static, str> {
        "Headers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Header names with their values.",
            "type": "object",
            "propertyNames": { "pattern": TOKEN },
            "additionalProperties": { "type": "string", "pattern": r"^[\t\x20-\x7e]*$" },
            "examples": [{ "accept": "application/json" }],
        })
    }
}
