//! What carries a request: which transport, and which version of HTTP.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

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

    /// What carries requests of a version, as their author wishes; nothing when
    /// that cannot.
    pub(super) const fn of(engine: Engine, version: HttpVersion) -> Option<Self> {
        match (engine, version) {
            (Engine::Auto | Engine::Fast, HttpVersion::Http1) => Some(Self::Fast),
            (Engine::Rich, _) | (Engine::Auto, HttpVersion::Http2) => Some(Self::Rich),
            (Engine::Fast, HttpVersion::Http2) => None,
        }
    }
}
