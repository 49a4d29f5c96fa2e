//! Numbers that know their unit: arrival rates, durations, memory and ratios,
//! read from the words a person writes (`500/s`, `250ms`, `1769MB`, `0.1%`) and
//! written back the same way.
//!
//! Nothing here knows what a test is; `load` and `slo` give the numbers a
//! meaning.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The fastest arrival rate a config may ask for, in requests per second.
///
/// It keeps the exact arithmetic of [`crate::schedule`] within 128 bits, and
/// it is far above what one plan of 10,000 workers can send.
pub const MAX_RATE_PER_SECOND: u64 = 1_000_000;

/// The longest duration a config may ask for: 30 days.
pub const MAX_DURATION: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why a number with a unit could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnitError {
    /// The text is no number followed by a unit.
    #[error("{text:?} is not {what}; write it like {example}")]
    Malformed {
        /// What the user wrote.
        text: String,
        /// What was expected, with its article.
        what: &'static str,
        /// Valid examples.
        example: &'static str,
    },
    /// The number is valid, and outside what is allowed.
    #[error("{text} is {problem}; the limit is {limit}")]
    OutOfRange {
        /// What the user wrote.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
        /// The nearest allowed value.
        limit: String,
    },
    /// More decimals than are kept exactly.
    #[error("{text} has more than three decimals; write it per minute or per hour instead")]
    TooFine {
        /// What the user wrote.
        text: String,
    },
}

/// How often requests are due, kept as an exact count of thousandths of a
/// request per hour, so that `1/s`, `1/m`, `1/h` and their first three
/// decimals are all whole numbers and no rate is ever rounded.
///
/// Range: 0 up to [`MAX_RATE_PER_SECOND`], both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(u64);

impl Rate {
    /// No requests at all: where a ramp may start.
    pub const ZERO: Self = Self(0);
    /// How many units of a [`Rate`] make one request per second.
    pub const UNITS_PER_SECOND: u64 = 3_600_000;

    /// A whole number of requests per second, at most [`MAX_RATE_PER_SECOND`].
    #[must_use]
    pub fn per_second(requests: u32) -> Self {
        Self((u64::from(requests) * Self::UNITS_PER_SECOND).min(MAX_RATE_PER_SECOND * Self::UNITS_PER_SECOND))
    }

    /// Thousandths of a request per hour.
    #[must_use]
    pub const fn units(self) -> u64 {
        self.0
    }

    /// A rate of so many thousandths of a request per hour, at most
    /// [`MAX_RATE_PER_SECOND`].
    #[must_use]
    pub(crate) fn from_units(units: u64) -> Self {
        Self(units.min(MAX_RATE_PER_SECOND * Self::UNITS_PER_SECOND))
    }

    /// Requests per second, for display and ratios; not exact.
    #[must_use]
    pub fn as_per_second(self) -> f64 {
        self.0 as f64 / Self::UNITS_PER_SECOND as f64
    }

    /// Whether nothing is ever due.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let malformed = || UnitError::Malformed {
            text: text.to_owned(),
            what: "an arrival rate",
            example: "500/s, 30/m or 10/h",
        };
        let (number, unit) = text.trim().split_once('/').ok_or_else(malformed)?;
        let units_per = match unit.trim() {
            "s" | "sec" | "second" => Self::UNITS_PER_SECOND,
            "m" | "min" | "minute" => Self::UNITS_PER_SECOND / 60,
            "h" | "hour" => Self::UNITS_PER_SECOND / 3600,
            _ => return Err(malformed()),
        };
        let milli = thousandths(number.trim()).map_err(|problem| match problem {
            NumberError::Malformed => malformed(),
            NumberError::TooFine => UnitError::TooFine { text: text.to_owned() },
        })?;
        let too_fast = || UnitError::OutOfRange {
            text: text.to_owned(),
            problem: "faster than any plan can send",
            limit: format!("{MAX_RATE_PER_SECOND}/s"),
        };
        // `units_per` is a multiple of 1,000, so thousandths stay exact.
        let units = u128::from(milli) * u128::from(units_per) / 1000;
        let units = u64::try_from(units).map_err(|_| too_fast())?;
        if units > MAX_RATE_PER_SECOND * Self::UNITS_PER_SECOND {
            return Err(too_fast());
        }
        Ok(Self(units))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The first unit in which three decimals are exact.
        for (unit, units_per) in [("s", Self::UNITS_PER_SECOND), ("m", 60_000), ("h", 1000)] {
            if (self.0 * 1000).is_multiple_of(units_per) {
                return write!(f, "{}/{unit}", decimal(self.0 * 1000 / units_per));
            }
        }
        unreachable!("every rate is a whole number of thousandths per hour")
    }
}

impl TryFrom<String> for Rate {
    type Error = UnitError;
    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

/// Reads a duration such as `250ms`, `1.5s`, `10m`, `2h` or `1m30s`, in whole
/// microseconds, from zero up to [`MAX_DURATION`].
///
/// # Errors
/// When the text is no number with a unit, is negative, finer than a
/// microsecond, or longer than [`MAX_DURATION`].
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let malformed = || UnitError::Malformed {
        text: text.to_owned(),
        what: "a duration",
        example: "250ms, 30s, 10m or 1m30s",
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(malformed());
    }
    let mut micros: u128 = 0;
    while !rest.is_empty() {
        let split = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(malformed)?;
        let (number, tail) = rest.split_at(split);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let per_unit: u64 = match unit.trim() {
            "us" | "µs" => 1,
            "ms" => 1000,
            "s" => 1_000_000,
            "m" | "min" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return Err(malformed()),
        };
        let milli = thousandths(number).map_err(|problem| match problem {
            NumberError::Malformed => malformed(),
            NumberError::TooFine => UnitError::TooFine { text: text.to_owned() },
        })?;
        let scaled = u128::from(milli) * u128::from(per_unit);
        if !scaled.is_multiple_of(1000) {
            return Err(UnitError::TooFine { text: text.to_owned() });
        }
        micros += scaled / 1000;
        rest = tail;
    }
    let limit = MAX_DURATION.as_micros();
    if micros > limit {
        return Err(UnitError::OutOfRange {
            text: text.to_owned(),
            problem: "too long",
            limit: display_duration(MAX_DURATION),
        });
    }
    // At most 2.6e12 by the check above.
    Ok(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
}

/// Writes a duration so that [`parse_duration`] reads it back exactly, in the
/// largest unit that needs at most three decimals: `1.5s`, `10m`.
#[must_use]
pub fn display_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    for (unit, per_unit) in [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000)] {
        if micros >= per_unit && micros.is_multiple_of(per_unit) {
            return format!("{}{unit}", micros / per_unit);
        }
    }
    for (unit, per_unit) in [("s", 1_000_000), ("ms", 1000)] {
        if micros >= per_unit && (micros * 1000).is_multiple_of(per_unit) {
            let milli = micros * 1000 / per_unit;
            return format!("{}{unit}", decimal(u64::try_from(milli).unwrap_or(u64::MAX)));
        }
    }
    if micros >= 1000 { format!("{}ms", micros as f64 / 1000.0) } else { format!("{micros}us") }
}

/// The least memory that a worker may have, in megabytes, as Lambda counts them.
/// See <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>.
pub const MIN_MEMORY_MB: u32 = 128;

/// The most memory that a worker may have, in megabytes, as Lambda counts them.
pub const MAX_MEMORY_MB: u32 = 10_240;

/// Reads an amount of memory such as `1769MB` or `2GB`, in whole megabytes from
/// [`MIN_MEMORY_MB`] to [`MAX_MEMORY_MB`]. A gigabyte is 1,024 megabytes, as it
/// is to Lambda.
///
/// # Errors
/// When the text is no number with a unit, no whole number of megabytes, or
/// outside the range.
pub fn parse_memory_mb(text: &str) -> Result<u32, UnitError> {
    let malformed = |what| UnitError::Malformed { text: text.to_owned(), what, example: "1769MB or 2GB" };
    let bare = text.trim();
    let (number, per_unit) = match (bare.strip_suffix("MB"), bare.strip_suffix("GB")) {
        (Some(number), _) => (number, 1),
        (_, Some(number)) => (number, 1024),
        _ => return Err(malformed("an amount of memory")),
    };
    let milli = thousandths(number.trim()).map_err(|problem| match problem {
        NumberError::Malformed => malformed("an amount of memory"),
        NumberError::TooFine => malformed("a whole number of megabytes"),
    })?;
    let scaled = u128::from(milli) * per_unit;
    if !scaled.is_multiple_of(1000) {
        return Err(malformed("a whole number of megabytes"));
    }
    let out_of_range = |problem, limit: u32| UnitError::OutOfRange {
        text: bare.to_owned(),
        problem,
        limit: format!("{limit}MB"),
    };
    match u32::try_from(scaled / 1000).unwrap_or(u32::MAX) {
        ..MIN_MEMORY_MB => Err(out_of_range("too little memory for a worker", MIN_MEMORY_MB)),
        mb @ ..=MAX_MEMORY_MB => Ok(mb),
        _ => Err(out_of_range("more memory than a worker can have", MAX_MEMORY_MB)),
    }
}

/// Serde adapter for durations written as text, for `#[serde(with = …)]`.
pub mod duration_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the duration as text.
    ///
    /// # Errors
    /// Only when the serializer fails.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::display_duration(*duration))
    }

    /// Reads the duration from text.
    ///
    /// # Errors
    /// When the text is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_duration(&text).map_err(serde::de::Error::custom)
    }
}

pub(crate) enum NumberError {
    Malformed,
    TooFine,
}

/// Reads an unsigned decimal with at most three decimals as thousandths.
/// Underscores and commas between digits are allowed, as people write them.
pub(crate) fn thousandths(text: &str) -> Result<u64, NumberError> {
    let plain: String = text.chars().filter(|c| *c != '_' && *c != ',').collect();
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || plain.ends_with('.') {
        return Err(NumberError::Malformed);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 3 {
        return Err(NumberError::TooFine);
    }
    // Only digits are left, so the one way to fail is to be too large: any
    // limit refuses the largest number there is.
    Ok(format!("{whole}{fraction:0<3}").parse().unwrap_or(u64::MAX))
}

/// Writes thousandths as the shortest decimal.
fn decimal(thousandths: u64) -> String {
    let (whole, fraction) = (thousandths / 1000, thousandths % 1000);
    if fraction == 0 {
        return whole.to_string();
    }
    format!("{whole}.{fraction:03}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_exact_in_every_unit() {
        for (text, units) in [
            ("500/s", 1_800_000_000),
            ("1/m", 60_000),
            ("1/h", 1000),
            ("0.001/s", 3600),
            ("2.5/m", 150_000),
            ("0/s", 0),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.units(), units, "{text}");
            assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate, "{text} survives being written");
        }
        assert_eq!("1_000/s".parse::<Rate>().unwrap(), Rate::per_second(1000));
    }

    #[test]
    fn a_rate_needs_a_unit_and_a_sane_value() {
        for text in ["500", "-5/s", "5/d", "/s", "abc/s", "1e3/s", "1./s", ""] {
            assert!(matches!(text.parse::<Rate>(), Err(UnitError::Malformed { .. })), "{text}");
        }
        assert!(matches!("1000001/s".parse::<Rate>(), Err(UnitError::OutOfRange { .. })));
        assert!(matches!("99999999999999999/s".parse::<Rate>(), Err(UnitError::OutOfRange { .. })));
        assert!(matches!("0.0001/s".parse::<Rate>(), Err(UnitError::TooFine { .. })));
    }

    #[test]
    fn durations_read_and_write() {
        for (text, micros) in [
            ("250ms", 250_000),
            ("1.5s", 1_500_000),
            ("1m30s", 90_000_000),
            ("2h", 7_200_000_000),
            ("7us", 7),
            ("0s", 0),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration.as_micros(), micros, "{text}");
            assert_eq!(parse_duration(&display_duration(duration)).unwrap(), duration, "{text}");
        }
        for text in ["10", "-1s", "s", "", "1y", "1..5s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(matches!(parse_duration("31d"), Err(UnitError::OutOfRange { .. })));
        assert_eq!(display_duration(Duration::from_millis(1500)), "1.5s");
        assert_eq!(display_duration(Duration::from_secs(600)), "10m");
        assert_eq!(display_duration(Duration::from_micros(1_234_567)), "1234.567ms");
    }

    #[test]
    fn memory_is_whole_megabytes_within_what_lambda_has() {
        for (text, mb) in [
            ("1769MB", 1769),
            ("128 MB", 128),
            ("2GB", 2048),
            ("1.5GB", 1536),
            ("10GB", 10_240),
            ("10,240MB", 10_240),
        ] {
            assert_eq!(parse_memory_mb(text), Ok(mb), "{text}");
        }
        for text in ["1769", "2gb", "2TB", "MB", "-1MB", "1.5MB", "0.7GB", "0.1234GB", ""] {
            assert!(matches!(parse_memory_mb(text), Err(UnitError::Malformed { .. })), "{text}");
        }
        for (text, message) in [
            ("127MB", "127MB is too little memory for a worker; the limit is 128MB"),
            ("10241MB", "10241MB is more memory than a worker can have; the limit is 10240MB"),
            ("99999999999GB", "99999999999GB is more memory than a worker can have; the limit is 10240MB"),
        ] {
            assert_eq!(parse_memory_mb(text).unwrap_err().to_string(), message);
        }
    }
}
