//! What the load is shared by, and what it may cost.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::MemoryText;
use crate::config::{MAX_REGIONS, MAX_WORKERS};

const REGION: &str = r"^[a-z]+(-[a-z]+)+-[0-9]+$";

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
            { "type": "integer", "minimum": 1, "maximum": MAX_WORKERS },
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
                            "maxItems": MAX_REGIONS,
                            "examples": [["eu-west-1"]],
                        },
                    },
                    "additionalProperties": false,
                },
            ],
        })
    }
}
