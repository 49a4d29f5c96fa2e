//! Promises: a metric, a comparison and a threshold, such as `p99 < 250ms`.
//!
//! This module reads rules and compares a number with one. What the number is,
//! and whether it may be trusted, is `report`'s business.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::units::{self, Rate};

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// A percentile of response time, 0 < p < 100.
    Percentile(f64),
    /// The largest response time.
    Max,
    /// The mean response time.
    Mean,
    /// (failed + timed out + dropped) ÷ (scheduled − lost), 0–1.
    Errors,
    /// Achieved rate ÷ scheduled rate, 0–1.
    Achieved,
    /// Achieved requests per second.
    Rate,
}

/// How a rule compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

/// One promise. The threshold is in milliseconds for response times, a ratio
/// of 0–1 for `errors` and `achieved`, and requests per second for `rate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    metric: Metric,
    op: Op,
    threshold: f64,
    text: String,
}

/// Why a rule could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RuleError {
    /// No comparison was found.
    #[error(
        "{0:?} is no rule: write a metric, a comparison and a value, like p99 < 250ms, errors < 0.1% or achieved >= 98%"
    )]
    Shape(String),
    /// The left side names nothing that is measured.
    #[error("{0:?} is no metric: use p50, p90, p95, p99, p999, p9999, max, mean, errors, achieved or rate")]
    Metric(String),
    /// The right side does not fit the metric.
    #[error("{metric} is compared with {expected}, not with {value:?}")]
    Value {
        /// The metric as written.
        metric: String,
        /// What it is compared with, with an example.
        expected: &'static str,
        /// What was written instead.
        value: String,
    },
    /// The rule holds, or fails, whatever is measured.
    #[error("{text:?} {problem}")]
    Pointless {
        /// The rule as written.
        text: String,
        /// Why it decides nothing.
        problem: &'static str,
    },
}

impl Rule {
    /// What it looks at.
    #[must_use]
    pub const fn metric(&self) -> Metric {
        self.metric
    }

    /// The limit, in the metric's unit.
    #[must_use]
    pub const fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The rule as the user wrote it, in single spaces.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `observed`, in the metric's unit, keeps the promise.
    #[must_use]
    pub fn holds(&self, observed: f64) -> bool {
        match self.op {
            Op::Below => observed < self.threshold,
            Op::AtMost => observed <= self.threshold,
            Op::Above => observed > self.threshold,
            Op::AtLeast => observed >= self.threshold,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let shape = || RuleError::Shape(text.to_owned());
        let at = text.find(['<', '>']).ok_or_else(shape)?;
        let (name, rest) = text.split_at(at);
        let (op, sign, value) = match (rest.strip_prefix("<="), rest.strip_prefix(">=")) {
            (Some(value), _) => (Op::AtMost, "<=", value),
            (_, Some(value)) => (Op::AtLeast, ">=", value),
            _ if rest.starts_with('<') => (Op::Below, "<", &rest[1..]),
            _ => (Op::Above, ">", &rest[1..]),
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || value.is_empty() {
            return Err(shape());
        }
        let metric: Metric = name.parse()?;
        let wrong =
            |expected| RuleError::Value { metric: name.to_owned(), expected, value: value.to_owned() };
        let threshold = match metric {
            Metric::Percentile(_) | Metric::Max | Metric::Mean => {
                millis(units::parse_duration(value).map_err(|_| wrong("a duration such as 250ms"))?)
            }
            Metric::Errors | Metric::Achieved => {
                percent(value).ok_or_else(|| wrong("a percentage such as 0.1%"))?
            }
            Metric::Rate => {
                value.parse::<Rate>().map_err(|_| wrong("an arrival rate such as 450/s"))?.as_per_second()
            }
        };
        let text = format!("{name} {sign} {value}");
        let below_nothing = op == Op::Below && threshold == 0.0;
        let at_least_nothing = op == Op::AtLeast && threshold == 0.0;
        if below_nothing {
            return Err(RuleError::Pointless {
                text,
                problem: "can never hold; for none at all, write <= 0",
            });
        }
        if at_least_nothing {
            return Err(RuleError::Pointless { text, problem: "always holds" });
        }
        Ok(Self { metric, op, threshold, text })
    }
}

impl TryFrom<String> for Rule {
    type Error = RuleError;
    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.text
    }
}

impl FromStr for Metric {
    type Err = RuleError;

    fn from_str(name: &str) -> Result<Self, RuleError> {
        match name {
            "max" => return Ok(Self::Max),
            "mean" => return Ok(Self::Mean),
            "errors" => return Ok(Self::Errors),
            "achieved" => return Ok(Self::Achieved),
            "rate" => return Ok(Self::Rate),
            _ => {}
        }
        let unknown = || RuleError::Metric(name.to_owned());
        let digits = name.strip_prefix('p').ok_or_else(unknown)?;
        // p99 and p99.9 as they read; p999 and p9999 as people write 99.9 and
        // 99.99. Anything else with three or four digits (p199) is a typing
        // error, not a percentile.
        let plain = digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit());
        let text = match digits {
            "999" => "99.9",
            "9999" => "99.99",
            _ if plain
                || (digits.contains('.') && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')) =>
            {
                digits
            }
            _ => return Err(unknown()),
        };
        let value: f64 = text.parse().map_err(|_| unknown())?;
        if value > 0.0 && value < 100.0 { Ok(Self::Percentile(value)) } else { Err(unknown()) }
    }
}

/// When to stop a run early: a rule that holds for a while.
///
/// Each worker judges it on what it sees itself, so only ratios and
/// percentiles make sense.
#[derive(Debug, Clone, PartialEq)]
pub struct StopIf {
    /// The condition that ends the run, for example `errors > 20%`.
    pub rule: Rule,
    /// How long it must hold without a break; whole seconds, at least one.
    pub lasting: Duration,
}

/// Why a stop condition could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StopIfError {
    /// There is no `for`.
    #[error("{0:?} is no stop condition: write one like errors > 20% for 10s")]
    Shape(String),
    /// The rule itself is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A metric that one worker cannot judge by itself.
    #[error("stop_if cannot use {0}: each worker judges it alone, so use errors, a percentile, max or mean")]
    Metric(String),
    /// The duration is wrong.
    #[error("stop_if must hold for whole seconds from 1s to 1h, not for {0:?}")]
    Lasting(String),
}

impl FromStr for StopIf {
    type Err = StopIfError;

    fn from_str(text: &str) -> Result<Self, StopIfError> {
        let (rule, lasting) = text.rsplit_once(" for ").ok_or_else(|| StopIfError::Shape(text.to_owned()))?;
        let rule: Rule = rule.parse()?;
        if matches!(rule.metric, Metric::Rate | Metric::Achieved) {
            return Err(StopIfError::Metric(rule.text));
        }
        let wrong = || StopIfError::Lasting(lasting.to_owned());
        let lasting = units::parse_duration(lasting).map_err(|_| wrong())?;
        if lasting.subsec_nanos() != 0 || !(1..=3600).contains(&lasting.as_secs()) {
            return Err(wrong());
        }
        Ok(Self { rule, lasting })
    }
}

impl fmt::Display for StopIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.rule, units::display_duration(self.lasting))
    }
}

/// A percentage such as `0.1%` as a ratio, from 0 to 1 inclusive. A bare `0`
/// is allowed, since it means the same in every unit.
pub(crate) fn percent(text: &str) -> Option<f64> {
    if text == "0" {
        return Some(0.0);
    }
    let number: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
    (0.0..=100.0).contains(&number).then_some(number / 100.0)
}

fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_in_their_own_units() {
        for (text, metric, threshold) in [
            ("p99 < 250ms", Metric::Percentile(99.0), 250.0),
            ("p999<1.5s", Metric::Percentile(99.9), 1500.0),
            ("p99.5 <= 1s", Metric::Percentile(99.5), 1000.0),
            ("max < 2s", Metric::Max, 2000.0),
            ("errors < 0.1%", Metric::Errors, 0.001),
            ("errors <= 0", Metric::Errors, 0.0),
            ("achieved >= 98%", Metric::Achieved, 0.98),
            ("rate > 450/s", Metric::Rate, 450.0),
        ] {
            let rule: Rule = text.parse().unwrap();
            assert_eq!(rule.metric(), metric, "{text}");
            assert!((rule.threshold() - threshold).abs() < 1e-9, "{text}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in
            ["p199 < 1s", "p0 < 1s", "p100 < 1s", "latency < 1s", "p999999 < 1s", "p < 1s", "p9x < 1s"]
        {
            assert!(matches!(text.parse::<Rule>(), Err(RuleError::Metric(_))), "{text}");
        }
        for text in ["p99 < 250", "p99 < 5%", "errors < 5ms", "errors < 0.1", "rate > 5", "errors < 101%"] {
            assert!(matches!(text.parse::<Rule>(), Err(RuleError::Value { .. })), "{text}");
        }
        for text in ["p99", "", "< 5ms", "p99 <", "p99 = 5ms"] {
            assert!(matches!(text.parse::<Rule>(), Err(RuleError::Shape(_))), "{text}");
        }
        assert!(matches!("errors < 0%".parse::<Rule>(), Err(RuleError::Pointless { .. })));
    }

    #[test]
    fn ends_are_what_the_sign_says() {
        let rule = |text: &str| text.parse::<Rule>().unwrap();
        assert!(!rule("p99 < 250ms").holds(250.0));
        assert!(rule("p99 <= 250ms").holds(250.0));
        assert!(rule("achieved >= 98%").holds(0.98));
        assert!(!rule("rate > 450/s").holds(450.0));
    }

    #[test]
    fn stop_conditions_read_and_refuse() {
        let stop: StopIf = "errors > 20% for 10s".parse().unwrap();
        assert_eq!(stop.lasting, Duration::from_secs(10));
        assert_eq!(stop.to_string(), "errors > 20% for 10s");
        assert!(matches!("errors > 20%".parse::<StopIf>(), Err(StopIfError::Shape(_))));
        assert!(matches!("rate < 5/s for 10s".parse::<StopIf>(), Err(StopIfError::Metric(_))));
        assert!(matches!("errors > 20% for 0s".parse::<StopIf>(), Err(StopIfError::Lasting(_))));
    }
}
