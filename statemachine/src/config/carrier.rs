//! What carries a request: which transport, and what it does beside sending it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

/// Which transport sends an attack's requests, as its author wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// The fast one for all that it can send, the rich one for the rest.
    #[default]
    Auto,
    /// The one of our own.
    Fast,
    /// The one over a general HTTP client.
    Rich,
}

/// A version of HTTP: `1.1` or `2` in a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum HttpVersion {
    /// HTTP/1.1, <https://www.rfc-editor.org/rfc/rfc9112>.
    #[default]
    Http1,
    /// HTTP/2, <https://www.rfc-editor.org/rfc/rfc9113>, and nothing else: over TLS by
    /// ALPN, and in the clear as one who knows that the target speaks it.
    Http2,
}

impl fmt::Display for HttpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        })
    }
}

impl Serialize for HttpVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Http1 => serializer.serialize_f64(1.1),
            Self::Http2 => serializer.serialize_u64(2),
        }
    }
}

impl<'de> Deserialize<'de> for HttpVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn version(text: &str) -> Option<HttpVersion> {
            match text {
                "1.1" => Some(HttpVersion::Http1),
                "2" => Some(HttpVersion::Http2),
                _ => None,
            }
        }

        struct Number;

        impl Visitor<'_> for Number {
            type Value = HttpVersion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("1.1 or 2")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<HttpVersion, E> {
                version(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<HttpVersion, E> {
                let unexpected = || E::invalid_value(Unexpected::Unsigned(number), &self);
                version(&number.to_string()).ok_or_else(unexpected)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<HttpVersion, E> {
                // 2.0 is shown as 2.
                let unexpected = || E::invalid_value(Unexpected::Float(number), &self);
                version(&number.to_string()).ok_or_else(unexpected)
            }
        }

        deserializer.deserialize_any(Number)
    }
}

impl JsonSchema for HttpVersion {
    fn schema_name() -> Cow<'static, str> {
        "HttpVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A version of HTTP.",
            "enum": [1.1, 2, "1.1", "2"],
        })
    }
}

/// What is done with a request beside sending it over HTTP/1.1 and reading the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Http {
    /// The version of HTTP that it is sent with.
    pub version: HttpVersion,
    /// How many redirects are followed for it, one after another: 0 to
    /// [`MAX_REDIRECTS`](super::MAX_REDIRECTS). Only to its own origin.
    pub redirects: u32,
    /// Whether cookies that the target sets are sent back.
    pub cookies: bool,
    /// Whether compressed answers are asked for and decompressed.
    pub decompress: bool,
    /// Where it goes instead of to its target: scheme, host and port, for it to be
    /// passed on. Over HTTP/1.1 alone.
    pub proxy: Option<Url>,
}

impl Http {
    /// What of it takes a general HTTP client.
    #[must_use]
    pub fn beyond_fast(&self) -> Vec<&'static str> {
        [
            ("HTTP/2", self.version == HttpVersion::Http2),
            ("redirects", self.redirects > 0),
            ("cookies", self.cookies),
            ("decompression", self.decompress),
            ("a proxy", self.proxy.is_some()),
        ]
        .into_iter()
        .filter_map(|(what, there)| there.then_some(what))
        .collect()
    }
}

/// Which transport sends a request: the answer to [`Engine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// Our own: HTTP/1.1 in the clear and over TLS.
    Fast,
    /// A general HTTP client: more of what HTTP offers, at several times the cost.
    Rich,
}

impl Carrier {
    /// The name in configs and plans.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Rich => "rich",
        }
    }

    /// What carries such requests, as their author wishes; an error says for what that
    /// cannot.
    pub(super) fn of(engine: Engine, http: &Http) -> Result<Self, Vec<&'static str>> {
        let beyond_fast = http.beyond_fast();
        match engine {
            Engine::Auto | Engine::Fast if beyond_fast.is_empty() => Ok(Self::Fast),
            Engine::Auto | Engine::Rich => Ok(Self::Rich),
            Engine::Fast => Err(beyond_fast),
        }
    }
}
