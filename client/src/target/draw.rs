//! Seeded draws that are a function of the seed and a job's number, so that
//! two runs with the same seed serve job `n` alike whatever the order in which
//! threads and sockets happened to run. Owns service times and injected errors.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::args::Distribution;
use super::queue::Nanos;

/// Which independent sequence a draw belongs to.
#[derive(Clone, Copy)]
enum Stream {
    Service = 1,
    ServiceSecond = 2,
    Error = 3,
}

/// 64 evenly distributed bits for (`seed`, `stream`, `n`): the finalizer of
/// `SplitMix64` (Steele, Lea and Flood 2014), applied twice so that
/// neighbouring seeds and streams share nothing.
fn bits(seed: u64, stream: Stream, n: u64) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let stream = mix(seed.wrapping_add((stream as u64).wrapping_mul(GOLDEN)));
    mix(stream.wrapping_add(n.wrapping_add(1).wrapping_mul(GOLDEN)))
}

/// A number in `[0, 1)` with 53 random bits.
fn unit(seed: u64, stream: Stream, n: u64) -> f64 {
    (bits(seed, stream, n) >> 11) as f64 / (1_u64 << 53) as f64
}

/// How long each job takes: a distribution with its mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServiceTimes {
    pub(super) mean: Duration,
    pub(super) distribution: Distribution,
    pub(super) seed: u64,
}

impl ServiceTimes {
    /// The service time of admitted job `n`, counted from 0.
    pub(super) fn of(self, n: u64) -> Nanos {
        let factor = match self.distribution {
            Distribution::Constant => return nanos(self.mean),
            Distribution::Uniform => 2.0 * unit(self.seed, Stream::Service, n),
            // The inverse of the distribution function; 1 − u is never 0.
            Distribution::Exponential => -(1.0 - unit(self.seed, Stream::Service, n)).ln(),
            Distribution::Lognormal => {
                // Box and Muller's normal deviate; then exp(z − σ²/2) has mean 1 for σ = 1.
                let radius = (-2.0 * (1.0 - unit(self.seed, Stream::Service, n)).ln()).sqrt();
                let angle = std::f64::consts::TAU * unit(self.seed, Stream::ServiceSecond, n);
                (radius * angle.cos() - 0.5).exp()
            }
        };
        // Factors stay below 5,000, and the mean below a month.
        nanos(Duration::try_from_secs_f64(self.mean.as_secs_f64() * factor).unwrap_or(Duration::MAX))
    }
}

/// Whole nanoseconds, up to 584 years.
pub(super) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The share of served requests that are answered with an error, kept exactly
/// in thousandths of a percent. Range: 0 to 100 %, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorRatio(u32);

/// Why a share of errors could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no share of requests; write a percentage from 0% to 100% with at most three decimals, like 1% or 0.5%"
)]
pub struct ErrorRatioError {
    text: String,
}

impl ErrorRatio {
    /// No request fails.
    pub const NONE: Self = Self(0);
    /// Thousandths of a percent in the whole.
    const WHOLE: u32 = 100_000;

    /// As a ratio from 0 to 1, for display.
    #[must_use]
    pub fn as_ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }

    /// Whether served job `n`, counted from 0, is answered with an error.
    ///
    /// The jobs are cut into strides of `1 ÷ ratio` (rounded to whole jobs so
    /// that they never drift), and each stride has exactly one error, at a
    /// place that the seed draws: irregular to look at, yet after any `n` jobs
    /// the number of errors is `n × ratio`, rounded down or up.
    pub(super) fn fails(self, seed: u64, n: u64) -> bool {
        let (parts, whole) = (u128::from(self.0), u128::from(Self::WHOLE));
        if parts == 0 {
            return false;
        }
        let stride = u128::from(n) * parts / whole;
        let first = (stride * whole).div_ceil(parts);
        let length = ((stride + 1) * whole).div_ceil(parts) - first;
        let stride = u64::try_from(stride).unwrap_or(u64::MAX); // at most n
        u128::from(n) == first + u128::from(bits(seed, Stream::Error, stride)) % length
    }
}

impl FromStr for ErrorRatio {
    type Err = ErrorRatioError;

    fn from_str(text: &str) -> Result<Self, ErrorRatioError> {
        let refused = || ErrorRatioError { text: text.to_owned() };
        let number = text.trim().strip_suffix('%').ok_or_else(refused)?.trim_end();
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 3 {
            return Err(refused());
        }
        let thousandths: u64 = format!("{whole}{decimals:0<3}").parse().map_err(|_| refused())?;
        u32::try_from(thousandths).ok().filter(|t| *t <= Self::WHOLE).map(Self).ok_or_else(refused)
    }
}

impl fmt::Display for ErrorRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(distribution: Distribution) -> ServiceTimes {
        ServiceTimes { mean: Duration::from_millis(10), distribution, seed: 7 }
    }

    #[test]
    fn constant_service_time_is_exact() {
        for n in [0, 1, u64::MAX] {
            assert_eq!(times(Distribution::Constant).of(n), 10_000_000);
        }
    }

    /// Mean, and the shares at most half, one and three means, against the
    /// distribution functions worked out by hand. 200,000 draws put each
    /// within 0.005 (over four standard errors of a share, and three of the
    /// log-normal's mean, whose relative deviation is 1.31).
    #[test]
    fn service_times_follow_their_distributions() {
        // uniform on 0 to 2: x/2. exponential: 1 − e^−x.
        // log-normal of mean 1 and σ 1: Φ(ln x + 0.5), so Φ(−0.193), Φ(0.5), Φ(1.599).
        for (distribution, expected) in [
            (Distribution::Uniform, [0.25, 0.5, 1.0]),
            (Distribution::Exponential, [0.3935, 0.6321, 0.9502]),
            (Distribution::Lognormal, [0.4235, 0.6915, 0.9451]),
        ] {
            let draws: Vec<f64> = (0..200_000).map(|n| times(distribution).of(n) as f64 / 1e7).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            assert!((mean - 1.0).abs() < 0.01, "{distribution:?} has mean {mean}");
            for (limit, share) in [0.5, 1.0, 3.0].into_iter().zip(expected) {
                let seen = draws.iter().filter(|d| **d <= limit).count() as f64 / draws.len() as f64;
                assert!(
                    (seen - share).abs() < 0.005,
                    "{distribution:?}: {seen} at most {limit}, not {share}"
                );
            }
        }
    }

    #[test]
    fn draws_are_a_function_of_the_seed() {
        let with = |seed| ServiceTimes { seed, ..times(Distribution::Exponential) };
        let first = |seed| (0..8).map(|n| with(seed).of(n)).collect::<Vec<_>>();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn errors_are_exact_after_any_number_of_jobs() {
        for text in
            ["0%", "0.001%", "0.5%", "1%", "3%", "12.345%", "33.333%", "50%", "66.7%", "99.999%", "100%"]
        {
            let ratio: ErrorRatio = text.parse().unwrap();
            let mut errors = 0_u64;
            for n in 0..200_000_u64 {
                errors += u64::from(ratio.fails(42, n));
                let exact = (n + 1) as f64 * ratio.as_ratio();
                assert!(
                    (errors as f64 - exact).abs() < 1.0 + 1e-6,
                    "{text}: {errors} errors in {} jobs",
                    n + 1
                );
            }
            // 200,000 is a whole number of blocks for every ratio above.
            assert_eq!(errors, u64::from(ratio.0) * 2, "{text}");
        }
    }

    #[test]
    fn errors_come_at_irregular_places_that_the_seed_moves() {
        let places = |seed| (0..1000).filter(|n| ErrorRatio(1000).fails(seed, *n)).collect::<Vec<u64>>();
        assert_eq!(places(1).len(), 10);
        assert_ne!(places(1), places(2));
        assert!(places(1).windows(2).any(|pair| pair[1] - pair[0] != 100));
    }

    #[test]
    fn error_ratios_are_percentages() {
        for (text, parts) in
            [("0%", 0), ("1%", 1000), ("0.5 %", 500), (" 0.001%", 1), ("100%", 100_000), ("12.34%", 12_340)]
        {
            let ratio: ErrorRatio = text.parse().unwrap();
            assert_eq!(ratio.0, parts, "{text}");
            assert_eq!(
                ratio.to_string().parse::<ErrorRatio>().unwrap(),
                ratio,
                "{text} survives being written"
            );
        }
        for text in [
            "1",
            "0.01",
            "-1%",
            "101%",
            "100.001%",
            "0.0001%",
            "1.%",
            ".5%",
            "%",
            "",
            "a%",
            "99999999999999999999%",
        ] {
            assert!(text.parse::<ErrorRatio>().is_err(), "{text}");
        }
    }
}
