//! Response times as counts that merge.
//!
//! An HDR histogram with a fixed range, so that any two merge by adding
//! counts; nobody averages percentiles. Totals keep three significant digits
//! (0.1 %), one-second windows two (1 %), which is a fifth of the size.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The largest time that is told apart, in microseconds: one hour. Longer ones
/// count as this.
pub const MAX_MICROS: u64 = 3_600_000_000;

/// Why a histogram could not be read back.
#[derive(Debug, Error)]
#[error("not an HdrHistogram in V2 deflate encoding: {0}")]
pub struct DecodeError(String);

/// Counts of times from 1 µs to 1 h.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Histogram(Hdr<u64>);

impl Histogram {
    /// An empty histogram with three significant digits, for totals.
    #[must_use]
    pub fn total() -> Self {
        Self::with_digits(3)
    }

    /// An empty histogram with two significant digits, for windows.
    #[must_use]
    pub fn window() -> Self {
        Self::with_digits(2)
    }

    fn with_digits(digits: u8) -> Self {
        // Resizing keeps an idle series at a few kilobytes; `record` keeps it
        // within the hour.
        Self(Hdr::new(digits).unwrap_or_else(|error| unreachable!("{digits} digits are valid: {error}")))
    }

    /// Counts one time. Times beyond an hour count as an hour.
    pub fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(MAX_MICROS).min(MAX_MICROS);
        self.0.record(micros).unwrap_or_else(|error| unreachable!("it resizes up to an hour: {error}"));
    }

    /// Adds the counts of another. Where that one is coarser, each time counts
    /// as the upper end of its bucket: it never flatters.
    pub fn add(&mut self, other: &Self) {
        if other.0.is_empty() {
            return;
        }
        if other.0.sigfig() < self.0.sigfig() {
            for bucket in other.0.iter_recorded() {
                let (time, count) = (bucket.value_iterated_to(), bucket.count_at_value());
                self.0.record_n(time, count).unwrap_or_else(|error| unreachable!("it resizes: {error}"));
            }
            return;
        }
        self.0.add(&other.0).unwrap_or_else(|error| unreachable!("it resizes up to an hour: {error}"));
    }

    /// How many times were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Every time that was counted, as the upper end of its bucket in
    /// microseconds, with how often; rising.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter_recorded().map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
    }

    /// The time that a ratio `q` (0–1) of all counted times do not exceed, in
    /// milliseconds; `None` when nothing was counted. It is the upper end of
    /// the bucket, so it never flatters.
    #[must_use]
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        // The rank of the quantile among all counts, in whole billionths: 0.999
        // of 1,000 is the 999th, also when 99.9 ÷ 100 comes out a bit above it.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 10⁹")]
        let billionths = (q.clamp(0.0, 1.0) * 1e9).round() as u128;
        let count = self.0.len();
        let rank = (billionths * u128::from(count)).div_ceil(1_000_000_000).max(1);
        // Half a rank less, so that rounding up always ends at the rank.
        let exact = (rank as f64 - 0.5) / count as f64;
        (count > 0).then(|| millis(self.0.value_at_quantile(exact).min(self.0.max())))
    }

    /// The smallest time in milliseconds, down to its bucket's lower end.
    #[must_use]
    pub fn min_ms(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| millis(self.0.min()))
    }

    /// The largest time in milliseconds, up to its bucket's upper end: at most
    /// 0.1 % (totals) or 1 % (windows) too long.
    #[must_use]
    pub fn max_ms(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| millis(self.0.max()))
    }

    /// The mean in milliseconds.
    #[must_use]
    pub fn mean_ms(&self) -> Option<f64> {
        // To the microsecond; more digits would only look exact.
        (!self.0.is_empty()).then(|| self.0.mean().round() / 1000.0)
    }

    /// The distribution for a picture: `bars` columns of equal ratio between
    /// the smallest and the largest time, as (upper end in ms, count).
    #[must_use]
    pub fn columns(&self, bars: usize) -> Vec<(f64, u64)> {
        if self.0.is_empty() || bars == 0 {
            return Vec::new();
        }
        let (low, high) = (self.0.min().max(1) as f64, self.0.max().max(2) as f64);
        let ends: Vec<f64> =
            (1..=bars).map(|bar| low * (high / low).powf(bar as f64 / bars as f64)).collect();
        let mut columns: Vec<(f64, u64)> = ends.iter().map(|end| (end / 1000.0, 0)).collect();
        for bucket in self.0.iter_recorded() {
            let value = (bucket.value_iterated_to() as f64).min(high);
            let column = ends.partition_point(|end| *end < value).min(bars - 1);
            columns[column].1 += bucket.count_at_value();
        }
        columns
    }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

impl From<Histogram> for String {
    fn from(histogram: Histogram) -> Self {
        if histogram.0.is_empty() {
            return format!("{}", histogram.0.sigfig());
        }
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&histogram.0, &mut bytes)
            .expect("writing counts to memory does not fail");
        BASE64.encode(bytes)
    }
}

impl TryFrom<String> for Histogram {
    type Error = DecodeError;

    fn try_from(text: String) -> Result<Self, DecodeError> {
        match text.as_str() {
            // An empty histogram is written as its number of digits.
            "2" => return Ok(Self::window()),
            "3" => return Ok(Self::total()),
            _ => {}
        }
        let bytes = BASE64.decode(&text).map_err(|error| DecodeError(error.to_string()))?;
        let mut hdr: Hdr<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| DecodeError(error.to_string()))?;
        hdr.auto(true);
        Ok(Self(hdr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: &[u64]) -> Histogram {
        let mut histogram = Histogram::total();
        micros.iter().for_each(|value| histogram.record(Duration::from_micros(*value)));
        histogram
    }

    #[test]
    fn quantiles_of_a_known_list() {
        // 1 … 1000 ms: the 99th percentile is 990 ms, within 0.1 %.
        let histogram = of(&(1..=1000).map(|ms| ms * 1000).collect::<Vec<_>>());
        for (q, expected) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let got = histogram.quantile_ms(q).unwrap();
            assert!((got - expected).abs() <= expected * 0.001, "{q}: {got}");
        }
        assert!((histogram.mean_ms().unwrap() - 500.5).abs() < 0.5);
    }

    #[test]
    fn it_survives_the_wire_and_still_grows() {
        let mut histogram = Histogram::window();
        histogram.record(Duration::from_millis(3));
        let text = serde_json::to_string(&histogram).unwrap();
        let mut back: Histogram = serde_json::from_str(&text).unwrap();
        assert_eq!(back, histogram);
        back.record(Duration::from_secs(5000));
        let max = back.max_ms().unwrap() / 1000.0;
        assert!((3600.0..=3636.0).contains(&max), "longer than an hour counts as an hour: {max} s");
        let empty = serde_json::to_string(&Histogram::total()).unwrap();
        assert_eq!(serde_json::from_str::<Histogram>(&empty).unwrap().count(), 0);
        assert!(serde_json::from_str::<Histogram>("\"nonsense\"").is_err());
    }

    #[test]
    fn two_digits_add_into_three() {
        let mut total = of(&[1000, 2000]);
        let mut window = Histogram::window();
        window.record(Duration::from_millis(40));
        total.add(&window);
        assert_eq!(total.count(), 3);
        // 40 ms may have been anywhere in its bucket of 1 %, and counts as its end.
        let max = total.max_ms().unwrap();
        assert!((40.0..=40.4).contains(&max), "{max}");
        assert!(total.quantile_ms(0.99).unwrap() >= 40.0);
    }

    #[test]
    fn a_quantile_has_one_rank_however_it_was_computed() {
        // 1 … 1000 ms: 99.9 ÷ 100 is a bit more than 0.999, and not the 1000th.
        let histogram = of(&(1..=1000).map(|ms| ms * 1000).collect::<Vec<_>>());
        let promised = 99.9 / 100.0;
        assert!(promised > 0.999);
        assert_eq!(histogram.quantile_ms(promised), histogram.quantile_ms(0.999));
        assert!(histogram.quantile_ms(0.999).unwrap() < 1000.0 * 1.0005);
        // Three counts: each third has its own.
        let three = of(&[1000, 2000, 3000]);
        let at = |q| format!("{:.0} ms", three.quantile_ms(q).unwrap());
        let expected = ["1 ms", "1 ms", "2 ms", "2 ms", "3 ms", "3 ms"];
        assert_eq!([0.0, 0.333, 0.334, 0.666, 0.667, 1.0].map(at), expected);
    }

    #[test]
    fn columns_hold_every_count() {
        let histogram = of(&[100, 200, 400, 800, 1600, 3200, 6400]);
        let columns = histogram.columns(7);
        assert_eq!(columns.iter().map(|(_, count)| count).sum::<u64>(), 7);
        assert!(columns.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
