//! What a config file may say, in its short and its long form, before anybody
//! has asked whether it makes sense. `check` asks.
//!
//! The doc comments of the fields are also the descriptions in the JSON Schema
//! that editors show, so they address the author of a config.

mod body;
mod headers;
mod load;
mod quantity;
mod resources;
mod workers;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

pub(super) use self::body::RawBody;
pub use self::body::RawPart;
pub use self::headers::Headers;
pub use self::load::{RawLoad, RawThink, ThinkRange};
pub use self::quantity::{DurationText, MemoryText, PercentText, RateText};
pub use self::resources::{RawAutoscaling, RawCloudWatch, RawInstances, RawResource, Value};
pub use self::workers::{RawBudget, RawCount, RawWorkers};
pub use super::json::Json;
use super::source::MAX_RESOURCES;
use super::{
    Engine, HttpVersion, MAX_ATTACKS, MAX_CONNECTIONS, MAX_PARTS, MAX_REDIRECTS, MAX_REQUESTS, Order,
};
use crate::arrivals::Spacing;

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
    /// The body of requests to `url`, as a form of several parts, such as the upload of a
    /// file; it also sets the content-type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_PARTS))]
    pub multipart: Option<Vec<RawPart>>,
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
    /// `rich`, a general HTTP client that costs several times the CPU and can do more:
    /// HTTP/2, redirects, cookies, decompression and proxies; by default `auto`, the fast
    /// one for all that it can send.
    #[serde(default, skip_serializing_if = "is_default")]
    pub engine: Engine,
    /// The version of HTTP: `1.1` (the default) or `2`, which needs a target that speaks
    /// it. Requests over HTTP/2 share one connection of each worker to each host;
    /// `connections` bounds how many are on their way at once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub http_version: HttpVersion,
    /// How many redirects are followed for a request, one after another: 0 to 20, and 0
    /// by default, where a redirect is an answer like any other. Each is a request more
    /// to the target, and part of the time of the first. One that leads to another
    /// scheme, host or port is not followed: the request fails, as one with too many does.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(range(max = MAX_REDIRECTS), example = 5)]
    pub redirects: u64,
    /// Whether cookies that the target sets are sent back, as browsers do. A virtual user
    /// keeps its own from request to request; each request of an open load is a caller of
    /// its own, which keeps them from redirect to redirect.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cookies: bool,
    /// Whether compressed answers are asked for (gzip, br, zstd) and decompressed; one
    /// that cannot be fails. Without it they count as they come, whatever is in them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub decompress: bool,
    /// The proxy that the requests go through: scheme, host and port. What a proxy needs
    /// to know of us goes into the header `proxy-authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = PROXY), example = &"http://10.0.0.9:3128")]
    pub proxy: Option<String>,
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
    /// The body as a form of several parts, such as the upload of a file; it also sets
    /// the content-type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_PARTS))]
    pub multipart: Option<Vec<RawPart>>,
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

impl RawRequest {
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

// A reference may hold a #, and stands behind the host.
const ABSOLUTE_URL: &str = r"^\s*[hH][tT][tT][pP][sS]?://[^\s/?#@{]+([/?](\$\{[^}]*\}|[^#])*)?$";
const PROXY: &str = r"^\s*[hH][tT][tT][pP][sS]?://[^\s/?#@{]+/?\s*$";
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
