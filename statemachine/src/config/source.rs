//! Where probes read what the target's resources are doing, and how often.
//!
//! `check` makes these from what a config says; the first worker reads them beside
//! the load, except for CloudWatch, which the controller asks. What was read is
//! [`crate::resources`]'s.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use super::Config;

/// How many resources an attack may watch.
pub const MAX_RESOURCES: usize = 20;
/// How many series of one endpoint may be watched by name.
pub const MAX_SERIES: usize = 50;
/// The longest name of a series, in bytes: a row of the run's table holds hundreds.
pub const MAX_SERIES_NAME: usize = 200;
/// How often a source is read when the config does not say,
pub const DEFAULT_EVERY: Duration = Duration::from_secs(1);
/// and CloudWatch, whose ordinary metrics have a value a minute.
pub const DEFAULT_CLOUDWATCH_EVERY: Duration = Duration::from_secs(60);
/// The shortest and the longest time between two readings.
pub const EVERY: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(300)];

/// A source, and what to read of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// What reports call it; unique within the attack.
    pub name: String,
    /// Where to read.
    pub source: Source,
    /// From one reading to the next, [`EVERY`]; of CloudWatch, a period that it has.
    pub every: Duration,
    /// What to read beside what is understood without being named; distinct, and
    /// only of a Prometheus endpoint.
    pub series: Vec<SeriesName>,
    /// What says how many instances serve.
    pub instances: Option<Instances>,
    /// At which value a metric is full, by its name in reports: `cpu`, `memory`,
    /// `descriptors`, one of `series`, or the metric of CloudWatch. Finite and above
    /// zero; it goes before what the source knows.
    pub capacity: BTreeMap<String, f64>,
}

/// Where a probe reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An endpoint that answers GET with metrics as text: absolute, http or https.
    Prometheus(Url),
    /// A process of this machine.
    Pid(NonZeroU32),
    /// The directory of a control group of this machine, version 2; absolute.
    Cgroup(PathBuf),
    /// A metric of CloudWatch.
    CloudWatch(CloudWatch),
}

impl Source {
    /// The only mode in which it can be read, if there is but one.
    #[must_use]
    pub const fn mode(&self) -> Option<&'static str> {
        match self {
            Self::Prometheus(_) => None,
            Self::Pid(_) | Self::Cgroup(_) => Some("embedded"),
            Self::CloudWatch(_) => Some("aws"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prometheus(url) => write!(f, "{url}"),
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::Cgroup(directory) => write!(f, "cgroup {}", directory.display()),
            Self::CloudWatch(CloudWatch { namespace, metric, .. }) => {
                write!(f, "CloudWatch {namespace} {metric}")
            }
        }
    }
}

/// A metric of CloudWatch. See
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudWatch {
    /// Such as `AWS/EC2`.
    pub namespace: String,
    /// Such as `CPUUtilization`; at most [`MAX_SERIES_NAME`] bytes.
    pub metric: String,
    /// By name; at most 30.
    pub dimensions: BTreeMap<String, String>,
    /// What is made of the values of one period.
    pub statistic: Statistic,
}

/// What CloudWatch makes of the values of one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Statistic {
    /// Their mean.
    #[default]
    Average,
    /// Their sum.
    Sum,
    /// The least.
    Minimum,
    /// The greatest.
    Maximum,
    /// How many there are.
    SampleCount,
}

impl Statistic {
    /// CloudWatch's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Average => "Average",
            Self::Sum => "Sum",
            Self::Minimum => "Minimum",
            Self::Maximum => "Maximum",
            Self::SampleCount => "SampleCount",
        }
    }
}

/// What says how many instances serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instances {
    /// A series of the endpoint; its samples are summed.
    Series(SeriesName),
    /// The metric of CloudWatch itself.
    Metric,
}

/// A series by its name, or those of its samples that have these labels, as in
/// `http_requests_total{code="500"}`. What matches is summed.
///
/// At most [`MAX_SERIES_NAME`] bytes as it is displayed, with labels in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesName {
    name: String,
    /// By name; at most one value each.
    labels: BTreeMap<String, String>,
}

impl SeriesName {
    /// The name without labels.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The labels that a sample must have; it may have more.
    #[must_use]
    pub const fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }
}

impl fmt::Display for SeriesName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (position, (label, value)) in self.labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            write!(f, "{}{label}=\"{value}\"", if position == 0 { "{" } else { "," })?;
        }
        if self.labels.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

/// Why a text names no series.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SeriesError {
    /// Not a name, perhaps with labels.
    #[error("{0:?} is no series; write its name, such as http_requests_total, or name{{label=\"value\"}}")]
    Malformed(String),
    /// The same label twice.
    #[error("{text:?} has the label {label} twice")]
    LabelTwice {
        /// As written.
        text: String,
        /// The label.
        label: String,
    },
    /// Too long for the run's table.
    #[error("a series of {length} bytes is too long; the limit is {MAX_SERIES_NAME}")]
    TooLong {
        /// In bytes.
        length: usize,
    },
}

impl FromStr for SeriesName {
    type Err = SeriesError;

    fn from_str(text: &str) -> Result<Self, SeriesError> {
        let malformed = || SeriesError::Malformed(text.to_owned());
        let trimmed = text.trim();
        let (name, labels) = match trimmed.split_once('{') {
            None => (trimmed, None),
            Some((name, rest)) => (name.trim(), Some(rest.strip_suffix('}').ok_or_else(malformed)?)),
        };
        if !is_name(name, ":_") {
            return Err(malformed());
        }
        let mut series = Self { name: name.to_owned(), labels: BTreeMap::new() };
        let mut rest = labels.unwrap_or_default().trim_start();
        while !rest.is_empty() {
            let (label, behind) = rest.split_once('=').ok_or_else(malformed)?;
            let (value, behind) = quoted(behind.trim_start())
                .filter(|(value, _)| !value.contains(char::is_control))
                .ok_or_else(malformed)?;
            let label = label.trim();
            if !is_name(label, "_") {
                return Err(malformed());
            }
            if series.labels.insert(label.to_owned(), value).is_some() {
                return Err(SeriesError::LabelTwice { text: text.to_owned(), label: label.to_owned() });
            }
            let behind = behind.trim_start();
            rest = match behind.strip_prefix(',') {
                Some(behind) => behind.trim_start(),
                None if behind.is_empty() => behind,
                None => return Err(malformed()),
            };
        }
        let length = series.to_string().len();
        if length > MAX_SERIES_NAME { Err(SeriesError::TooLong { length }) } else { Ok(series) }
    }
}

/// Whether a text is a name of letters, digits and `others`, and begins with none of
/// the digits.
fn is_name(text: &str, others: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || others.contains(c);
    text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit())
}

/// The text in quotes that another begins with, without its escapes; and the rest.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &inner[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            c => value.push(c),
        }
    }
    None
}

/// What of a config cannot be read in a mode, `embedded` or `aws`: a sentence for
/// each resource; none when all can be.
#[must_use]
pub fn unreadable(config: &Config, mode: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    for attack in config.attacks() {
        for Probe { name, source, .. } in &attack.resources {
            let Some(only) = source.mode().filter(|only| *only != mode) else { continue };
            let where_it_works = match only {
                "aws" => "is read with the rights of a stack, so it needs a run on AWS",
                _ => "is read on the machine that sends, so it needs a run there (embedded)",
            };
            sentences.push(format!(
                "resource {name:?} of attack {:?} cannot be read in mode {mode}: {source} {where_it_works}",
                attack.name
            ));
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_series_is_a_name_with_perhaps_labels() {
        for (text, shown) in [
            ("up", "up"),
            (" job:rate:5m ", "job:rate:5m"),
            ("a{}", "a"),
            ("a{ b = \"c\" , a=\"d,}\", }", "a{a=\"d,}\",b=\"c\"}"),
            (r#"a{b="\"\\"}"#, r#"a{b="\"\\"}"#),
        ] {
            let series: SeriesName = text.parse().unwrap();
            assert_eq!(series.to_string(), shown);
        }
        let twice = "a{b=\"c\",b=\"d\"}".parse::<SeriesName>().unwrap_err();
        assert_eq!(twice.to_string(), "\"a{b=\\\"c\\\",b=\\\"d\\\"}\" has the label b twice");
        for text in [
            "",
            "5a",
            "a b",
            "a{",
            "a}",
            "a{b}",
            "a{b=c}",
            "a{b=\"c}",
            "a{b=\"c\"d}",
            "a{b!=\"c\"}",
            "a-b",
            "a{b=\"\\n\"}",
        ] {
            let error = text.parse::<SeriesName>().unwrap_err();
            assert_eq!(error, SeriesError::Malformed(text.to_owned()), "{text}");
        }
        assert_eq!("a".repeat(201).parse::<SeriesName>(), Err(SeriesError::TooLong { length: 201 }));
        assert!("a".repeat(200).parse::<SeriesName>().is_ok());
    }

    proptest! {
        #[test]
        fn a_series_reads_back_as_it_is_shown(text in "[a-c:]{1,3}(\\{([a-b]=\"([a-z,=}{é]|\\\\\\\\|\\\\\"){0,5}\",?){0,2}\\})?") {
            if let Ok(series) = text.parse::<SeriesName>() {
                prop_assert_eq!(series.to_string().parse::<SeriesName>().unwrap(), series);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "(a|\\{|\\}|\"|\\\\|=|,| |\\PC){0,20}") {
            let _ = text.parse::<SeriesName>();
        }
    }
}
