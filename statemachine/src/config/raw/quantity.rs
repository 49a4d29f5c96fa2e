//! Texts with units, kept as they are written: rates, durations, percentages, memory.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

const RATE: &str = r"^\s*[0-9][0-9_,]*(\.[0-9]+)?\s*/\s*(s|sec|second|m|min|minute|h|hour)\s*$";
const DURATION: &str = r"^\s*([0-9][0-9_,]*(\.[0-9]+)?\s*(us|µs|ms|s|m|min|h|d)\s*)+$";
const PERCENT: &str = r"^\s*[0-9]+(\.[0-9]+)?\s*%\s*$";
const MEMORY: &str = r"^\s*[0-9][0-9_,]*(\.[0-9]+)?\s*(MB|GB)\s*$";

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

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnitText("a duration such as 30s")).map(Self)
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
