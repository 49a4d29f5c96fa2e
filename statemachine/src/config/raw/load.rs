//! How much is sent and when.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{DurationText, PercentText, RateText};
use crate::config::MAX_BURSTS;

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
