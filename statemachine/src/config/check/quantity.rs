//! Numbers with units: rates, durations, memory, and counts with limits.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Check;
use crate::config::problem::{Invalid, Path};
use crate::config::raw::{DurationText, MemoryText, RateText};
use crate::units::{self, Rate, UnitError};

impl Check<'_> {
    pub(super) fn memory(&mut self, path: &Path, MemoryText(text): &MemoryText) -> Option<u32> {
        if units::thousandths(text.trim()).is_ok() {
            self.note(path, Invalid::MemoryUnit(text.trim().to_owned()));
            return None;
        }
        self.take(path, units::parse_memory_mb(text))
    }

    /// A whole number from 1 to `max`.
    pub(super) fn whole(
        &mut self,
        path: &Path,
        what: &'static str,
        value: u64,
        max: u64,
    ) -> Option<NonZeroU32> {
        let fits = (1..=max).contains(&value).then_some(value);
        let number = fits.and_then(|value| u32::try_from(value).ok()).and_then(NonZeroU32::new);
        if number.is_none() {
            self.note(path, Invalid::Range { what, value, min: 1, max });
        }
        number
    }

    pub(super) fn rate(&mut self, path: &Path, RateText(text): &RateText) -> Option<Rate> {
        if units::thousandths(text.trim()).is_ok() {
            self.note(path, Invalid::RateUnit(text.trim().to_owned()));
            return None;
        }
        self.take(path, text.parse::<Rate>())
    }

    /// A rate at which something is due.
    pub(super) fn positive_rate(&mut self, path: &Path, text: &RateText) -> Option<Rate> {
        let rate = self.rate(path, text)?;
        if rate.is_zero() {
            self.note(path, Invalid::ZeroRate(text.0.clone()));
            return None;
        }
        Some(rate)
    }

    pub(super) fn duration(&mut self, path: &Path, DurationText(text): &DurationText) -> Option<Duration> {
        if units::thousandths(text.trim()).is_ok() {
            self.note(path, Invalid::DurationUnit(text.trim().to_owned()));
            return None;
        }
        let read = units::parse_duration(text).map_err(|error| match error {
            UnitError::TooFine { text } => Invalid::FineDuration(text),
            error => error.into(),
        });
        self.take(path, read)
    }

    /// A duration longer than zero.
    pub(super) fn positive_duration(&mut self, path: &Path, text: &DurationText) -> Option<Duration> {
        let duration = self.duration(path, text)?;
        if duration.is_zero() {
            self.note(path, Invalid::ZeroDuration(text.0.clone()));
            return None;
        }
        Some(duration)
    }

    /// A duration that is zero when it is absent.
    pub(super) fn optional_duration(&mut self, path: &Path, text: Option<&DurationText>) -> Option<Duration> {
        text.map_or(Some(Duration::ZERO), |text| self.duration(path, text))
    }

    pub(super) fn at_most(
        &mut self,
        path: &Path,
        duration: Duration,
        limit: (Duration, &'static str),
    ) -> Option<Duration> {
        if duration > limit.0 {
            self.note(
                path,
                Invalid::LongDuration { text: units::display_duration(duration), limit: limit.1 },
            );
            return None;
        }
        Some(duration)
    }
}
