//! When schedules start runs, in the words of EventBridge Scheduler.
//!
//! What is checked here is what can be said for certain without asking it; it
//! has the last word. See
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use thiserror::Error;

/// The fields of a cron expression, with the least and the greatest number that
/// each may hold.
const FIELDS: [(&str, u32, u32); 6] = [
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 1, 7),
    ("year", 1970, 2199),
];
const DAY_OF_MONTH: usize = 2;
const DAY_OF_WEEK: usize = 4;

/// What is good for the time zone of whoever set none.
pub(crate) const UTC: &str = "UTC";

/// Six fields that say when, again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron(String);

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CronError {
    /// Not six fields.
    #[error(
        "{0} fields, and there are six: minute, hour, day of the month, month, day of the week, year; for example '0 3 * * ? *'"
    )]
    Fields(usize),
    /// Both days, or neither.
    #[error(
        "either the day of the month or the day of the week must be ?, and the other one not; for example '0 3 * * ? *' or '0 3 ? * MON *'"
    )]
    Days,
    /// A character that has no meaning.
    #[error("{text:?} is no {field}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it holds.
        text: String,
    },
    /// A number that is too small or too large.
    #[error("{number} is no {field}: it is {least} to {most}")]
    Range {
        /// Which field.
        field: &'static str,
        /// What it holds.
        number: u32,
        /// The least there may be.
        least: u32,
        /// The most there may be.
        most: u32,
    },
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let inner = text.trim();
        let inner = inner.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(inner);
        let fields: Vec<&str> = inner.split_whitespace().collect();
        if fields.len() != FIELDS.len() {
            return Err(CronError::Fields(fields.len()));
        }
        for (text, (field, least, most)) in fields.iter().zip(FIELDS) {
            check_field(text, field, least, most)?;
        }
        let unsaid = |field: usize| fields[field] == "?";
        if unsaid(DAY_OF_MONTH) == unsaid(DAY_OF_WEEK) {
            return Err(CronError::Days);
        }
        Ok(Self(fields.join(" ")))
    }
}

/// Refuses what is no field for certain: strange characters, and numbers out of
/// range wherever a number is not the step of a `/`.
fn check_field(text: &str, field: &'static str, least: u32, most: u32) -> Result<(), CronError> {
    let malformed = || CronError::Field { field, text: text.to_owned() };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | '?' | ',' | '-' | '/' | '#');
    if !text.chars().all(plain) {
        return Err(malformed());
    }
    for part in text.split(',') {
        let range = part.split('/').next().unwrap_or_default();
        for number in range.split('-') {
            if number.is_empty() {
                return Err(malformed());
            }
            if let Ok(number) = number.parse()
                && !(least..=most).contains(&number)
            {
                return Err(CronError::Range { field, number, least, most });
            }
        }
    }
    Ok(())
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cron({})", self.0)
    }
}

/// A local time, whole seconds; its zone is said elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime(DateTime);

/// Why a text is no local time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no local time; write it like 2026-12-01T03:00, and its zone as --timezone Europe/Berlin")]
pub struct LocalTimeError(String);

impl FromStr for LocalTime {
    type Err = LocalTimeError;

    fn from_str(text: &str) -> Result<Self, LocalTimeError> {
        let refused = || LocalTimeError(text.to_owned());
        // A date alone would be midnight, which nobody said; and jiff reads past
        // an offset, which would be ignored.
        let (date, time) = text.split_once(['T', ' ']).ok_or_else(refused)?;
        if date.is_empty() || time.contains(['+', '-', '[', 'Z', 'z']) {
            return Err(refused());
        }
        let time: DateTime = text.parse().map_err(|_| refused())?;
        if time.subsec_nanosecond() == 0 { Ok(Self(time)) } else { Err(refused()) }
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at({})", self.0.strftime("%Y-%m-%dT%H:%M:%S"))
    }
}

impl LocalTime {
    /// When it is, in a zone; `None` when this machine does not know the zone.
    pub(crate) fn instant(self, zone: &str) -> Option<Timestamp> {
        let zone = if zone == UTC { TimeZone::UTC } else { jiff::tz::db().get(zone).ok()? };
        zone.to_timestamp(self.0).ok()
    }
}

/// A time zone of the IANA's list, such as `Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneName(String);

/// Why a text is no time zone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no time zone {0:?}; they are called like Europe/Berlin, America/New_York or UTC")]
pub struct ZoneNameError(String);

impl FromStr for ZoneName {
    type Err = ZoneNameError;

    fn from_str(text: &str) -> Result<Self, ZoneNameError> {
        known(jiff::tz::db(), text).map(Self)
    }
}

/// The zone's name as it is written properly. Where the machine has no list of
/// zones, the scheduler will say.
fn known(zones: &TimeZoneDatabase, text: &str) -> Result<String, ZoneNameError> {
    let refused = || ZoneNameError(text.to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
    if text.is_empty() || !text.chars().all(plain) {
        return Err(refused());
    }
    if text.eq_ignore_ascii_case(UTC) {
        return Ok(UTC.to_owned());
    }
    match zones.get(text) {
        Ok(zone) => Ok(zone.iana_name().unwrap_or(text).to_owned()),
        Err(_) if zones.is_definitively_empty() => Ok(text.to_owned()),
        Err(_) => Err(refused()),
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cron_is_six_fields_of_which_one_day_is_open() {
        for (text, expected) in [
            ("0 3 * * ? *", "cron(0 3 * * ? *)"),
            ("cron(0  3 ? * MON-FRI *)", "cron(0 3 ? * MON-FRI *)"),
            ("0/15 8-18 ? JAN,JUL 2#1 2026-2030", "cron(0/15 8-18 ? JAN,JUL 2#1 2026-2030)"),
            ("0 0 L * ? *", "cron(0 0 L * ? *)"),
            ("0 0 15W * ? *", "cron(0 0 15W * ? *)"),
        ] {
            assert_eq!(text.parse::<Cron>().map(|cron| cron.to_string()).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!("0 3 * * *".parse::<Cron>(), Err(CronError::Fields(5)), "of other crons");
        assert_eq!("".parse::<Cron>(), Err(CronError::Fields(0)));
        assert_eq!("0 3 * * * *".parse::<Cron>(), Err(CronError::Days));
        assert_eq!("0 3 ? * ? *".parse::<Cron>(), Err(CronError::Days));
        let range = "60 3 * * ? *".parse::<Cron>();
        assert_eq!(range, Err(CronError::Range { field: "minute", number: 60, least: 0, most: 59 }));
        assert!("0 1-24 * * ? *".parse::<Cron>().is_err());
        for text in ["0 3 * * ? ;", "0 3, * * ? *", "0 -3 * * ? *"] {
            assert!(matches!(text.parse::<Cron>(), Err(CronError::Field { .. })), "{text}");
        }
    }

    #[test]
    fn a_local_time_has_no_zone_of_its_own() {
        for (text, expected) in [
            ("2026-12-01T03:00", "at(2026-12-01T03:00:00)"),
            ("2026-12-01 03:00:30", "at(2026-12-01T03:00:30)"),
        ] {
            assert_eq!(text.parse::<LocalTime>().map(|time| time.to_string()).as_deref(), Ok(expected));
        }
        for text in [
            "2026-12-01",
            "03:00",
            "T03:00",
            "2026-12-01T03:00Z",
            "2026-12-01T03:00+01:00",
            "2026-12-01T03:00-05:00",
            "2026-12-01T03:00[Europe/Berlin]",
            "2026-12-01T25:00",
            "2026-12-01T03:00:00.5",
            "tomorrow",
        ] {
            assert!(text.parse::<LocalTime>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_zone_says_when_a_local_time_is() {
        let time: LocalTime = "2026-12-01T03:00".parse().unwrap();
        assert_eq!(time.instant("UTC"), Some("2026-12-01T03:00:00Z".parse().unwrap()));
        if !jiff::tz::db().is_definitively_empty() {
            assert_eq!(time.instant("Europe/Berlin"), Some("2026-12-01T02:00:00Z".parse().unwrap()));
        }
        assert_eq!(time.instant("Nowhere/At_All"), None);
    }

    #[test]
    fn a_zone_is_one_that_is_known_or_that_nobody_here_can_know() {
        let none = TimeZoneDatabase::none();
        assert_eq!(known(&none, "utc").as_deref(), Ok("UTC"));
        assert_eq!(known(&none, "Europe/Berlin").as_deref(), Ok("Europe/Berlin"));
        assert!(known(&none, "Europe/Berlin!").is_err() && known(&none, "").is_err());
        let machine = jiff::tz::db();
        if !machine.is_definitively_empty() {
            assert_eq!(known(machine, "europe/berlin").as_deref(), Ok("Europe/Berlin"));
            assert!(known(machine, "Europe/Berlim").is_err());
        }
    }
}
