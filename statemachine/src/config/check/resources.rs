//! What is read of the target's resources, and what is expected of its fleet.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::Check;
use crate::config::problem::{Invalid, Path};
use crate::config::raw::{DurationText, RawAutoscaling, RawCloudWatch, RawInstances, RawResource, Value};
use crate::config::source::{
    CloudWatch, DEFAULT_CLOUDWATCH_EVERY, DEFAULT_EVERY, EVERY, Instances, MAX_RESOURCES, MAX_SERIES,
    MAX_SERIES_NAME, Probe, SeriesName, Source,
};
use crate::config::target::{self, Written};
use crate::config::{MAX_FLEET, MAX_NAME, MAX_PID};
use crate::scaling::{CLIMB, Demand};
use crate::units;

/// The metrics that have names of their own; a cgroup knows no descriptors.
const KNOWN: [&str; 3] = ["cpu", "memory", "descriptors"];

/// How long a new instance may take.
const DELAY: Range = Range { least: Duration::from_secs(1), most: Duration::from_secs(3600) };
/// How long demand may climb.
const CLIMBING: Range = Range { least: Duration::from_secs(1), most: Duration::from_secs(24 * 3600) };

/// The most dimensions of a metric of CloudWatch, and the longest texts of its name:
/// see <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>.
const MAX_DIMENSIONS: usize = 30;
const MAX_NAMESPACE: usize = 255;
const MAX_DIMENSION_VALUE: usize = 1024;

/// The longest path that Linux takes.
const MAX_PATH: usize = 4096;

/// Both ends included.
#[derive(Clone, Copy)]
struct Range {
    least: Duration,
    most: Duration,
}

impl Check<'_> {
    pub(super) fn resources(&mut self, path: &Path, raw: &[RawResource]) -> Vec<Probe> {
        if !self.counted(path, "resources", raw.len(), MAX_RESOURCES) {
            return Vec::new();
        }
        let mut names: HashMap<String, Path> = HashMap::new();
        let mut probes = Vec::new();
        for (index, raw) in raw.iter().enumerate() {
            let path = path.index(index);
            let probe = self.resource(&path, raw);
            let name = raw.name.as_ref().map(|name| name.trim().to_owned());
            if let Some(name) = name.or_else(|| probe.as_ref().map(|probe| probe.name.clone()))
                && let Some(first) = names.insert(name.clone(), path.clone())
            {
                if raw.name.is_some() {
                    self.note(&path.field("name"), Invalid::DuplicateName { name, first });
                } else {
                    self.note(&path, Invalid::DuplicateDefaultName { name, first });
                }
            }
            probes.extend(probe);
        }
        probes
    }

    fn resource(&mut self, path: &Path, raw: &RawResource) -> Option<Probe> {
        if let Some(name) = &raw.name {
            self.name(&path.field("name"), name);
        }
        let source = self.source(path, raw);
        let every = self.every(&path.field("every"), raw);
        let series = self.series(&path.field("series"), raw);
        let instances = self.instances(&path.field("instances"), raw);
        let capacity = self.capacity(&path.field("capacity"), raw, &series);
        let source = source?;
        let name = raw.name.as_ref().map_or_else(|| default_name(&source), |name| name.trim().to_owned());
        Some(Probe { name, source, every: every?, series, instances, capacity })
    }

    fn source(&mut self, path: &Path, raw: &RawResource) -> Option<Source> {
        let written = sources(raw);
        let prometheus = raw.prometheus.as_ref().and_then(|text| {
            let path = path.field("prometheus");
            self.plain(&path, text)?;
            self.take(&path, target::absolute(Written { text, filled: text })).map(Source::Prometheus)
        });
        let pid =
            raw.pid.and_then(|pid| self.whole(&path.field("pid"), "pid", pid, MAX_PID)).map(Source::Pid);
        let cgroup = raw.cgroup.as_ref().and_then(|text| self.cgroup(&path.field("cgroup"), text));
        let cloudwatch =
            raw.cloudwatch.as_ref().and_then(|metric| self.cloudwatch(&path.field("cloudwatch"), metric));
        match written.as_slice() {
            [_] => prometheus.or(pid).or(cgroup).or(cloudwatch),
            [] => {
                self.note(path, Invalid::NoSource);
                None
            }
            _ => {
                self.note(path, Invalid::Sources(written));
                None
            }
        }
    }

    /// A text that is used as it stands: what looks like a reference or a template would
    /// be taken for one.
    fn plain(&mut self, path: &Path, text: &str) -> Option<()> {
        self.take(path, target::no_template(text))?;
        if text.contains("${") {
            self.note(path, Invalid::ReferenceInResource);
            return None;
        }
        Some(())
    }

    fn cgroup(&mut self, path: &Path, text: &str) -> Option<Source> {
        self.plain(path, text)?;
        let up = text.split('/').any(|part| part == "..");
        if !text.starts_with('/') || up || text.chars().any(char::is_control) || text.len() > MAX_PATH {
            self.note(path, Invalid::Cgroup(text.to_owned()));
            return None;
        }
        Some(Source::Cgroup(PathBuf::from(text)))
    }

    fn cloudwatch(&mut self, path: &Path, raw: &RawCloudWatch) -> Option<Source> {
        let RawCloudWatch { namespace, metric, dimensions, statistic } = raw;
        let mut fine = self.aws_text(&path.field("namespace"), "namespace", namespace, MAX_NAMESPACE);
        fine &= self.aws_text(&path.field("metric"), "metric", metric, MAX_SERIES_NAME);
        let at = path.field("dimensions");
        fine &= self.counted(&at, "dimensions", dimensions.len(), MAX_DIMENSIONS);
        for (name, value) in dimensions {
            let at = at.field(name);
            fine &= self.aws_text(&at, "dimension's name", name, MAX_NAMESPACE);
            fine &= self.aws_text(&at, "dimension", value, MAX_DIMENSION_VALUE);
        }
        fine.then(|| {
            Source::CloudWatch(CloudWatch {
                namespace: namespace.clone(),
                metric: metric.clone(),
                dimensions: dimensions.clone(),
                statistic: *statistic,
            })
        })
    }

    /// Whether CloudWatch takes a text: visible, not blank, and so long.
    fn aws_text(&mut self, path: &Path, what: &'static str, text: &str, limit: usize) -> bool {
        let visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if self.plain(path, text).is_none() {
            return false;
        }
        if !visible || text.trim().is_empty() || text.len() > limit || text.starts_with(':') {
            self.note(path, Invalid::AwsText { what, text: text.to_owned(), limit });
            return false;
        }
        true
    }

    fn every(&mut self, path: &Path, raw: &RawResource) -> Option<Duration> {
        let Some(text) = &raw.every else {
            return Some(if raw.cloudwatch.is_some() { DEFAULT_CLOUDWATCH_EVERY } else { DEFAULT_EVERY });
        };
        let [least, most] = EVERY;
        let every = self.within(path, "time between two readings", text, Range { least, most })?;
        // The periods that CloudWatch has. See
        // <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#Period>.
        let high = [1, 5, 10, 30].map(Duration::from_secs).contains(&every);
        let whole = every.subsec_nanos() == 0 && every.as_secs().is_multiple_of(60);
        if raw.cloudwatch.is_some() && !high && !whole {
            self.note(path, Invalid::CloudWatchPeriod(units::display_duration(every)));
            return None;
        }
        Some(every)
    }

    /// A duration within a range.
    fn within(
        &mut self,
        path: &Path,
        what: &'static str,
        text: &DurationText,
        range: Range,
    ) -> Option<Duration> {
        let duration = self.duration(path, text)?;
        if duration < range.least || duration > range.most {
            let (text, [min, max]) =
                (text.0.trim().to_owned(), [range.least, range.most].map(units::display_duration));
            self.note(path, Invalid::Outside { what, text, min, max });
            return None;
        }
        Some(duration)
    }

    fn series(&mut self, path: &Path, raw: &RawResource) -> Vec<SeriesName> {
        let mut series = Vec::new();
        if raw.series.is_empty() || !self.counted(path, "series", raw.series.len(), MAX_SERIES) {
            return series;
        }
        if !is_only(raw, "prometheus") {
            self.note(path, Invalid::OnlyPrometheus("series"));
        }
        for (index, text) in raw.series.iter().enumerate() {
            let path = path.index(index);
            let Some(name) = self.take(&path, text.parse::<SeriesName>()) else { continue };
            if series.contains(&name) {
                self.note(&path, Invalid::SeriesTwice(name.to_string()));
            } else {
                series.push(name);
            }
        }
        series
    }

    fn instances(&mut self, path: &Path, raw: &RawResource) -> Option<Instances> {
        match raw.instances.as_ref()? {
            RawInstances::Series(text) if is_only(raw, "prometheus") => {
                self.take(path, text.parse()).map(Instances::Series)
            }
            RawInstances::Metric(is) if is_only(raw, "cloudwatch") => is.then_some(Instances::Metric),
            _ => {
                self.note(path, Invalid::Instances);
                None
            }
        }
    }

    /// Capacities of what is read, and of nothing else: a name that is mistyped would
    /// be forgotten.
    fn capacity(&mut self, path: &Path, raw: &RawResource, series: &[SeriesName]) -> BTreeMap<String, f64> {
        let mut names: Vec<String> = match &raw.cloudwatch {
            Some(cloudwatch) => vec![cloudwatch.metric.clone()],
            None => series.iter().map(ToString::to_string).collect(),
        };
        let known = if raw.cgroup.is_some() { &KNOWN[..2] } else { &KNOWN[..] };
        names.extend(known.iter().map(ToString::to_string));
        let mut capacity = BTreeMap::new();
        for (written, Value(value)) in &raw.capacity {
            let path = path.field(written);
            let series = written.parse::<SeriesName>().map(|series| series.to_string());
            let name = series.ok().filter(|_| raw.cloudwatch.is_none()).unwrap_or_else(|| written.clone());
            if !names.contains(&name) {
                self.note(
                    &path,
                    Invalid::CapacityOfNothing { name: written.clone(), names: names.join(", ") },
                );
            } else if *value <= 0.0 {
                self.note(&path, Invalid::NoCapacity(value.to_string()));
            } else if capacity.insert(name.clone(), *value).is_some() {
                self.note(&path, Invalid::SeriesTwice(name));
            }
        }
        capacity
    }

    pub(super) fn autoscaling(&mut self, path: &Path, raw: &RawAutoscaling) -> Option<Demand> {
        let peak = self.positive_rate(&path.field("peak"), &raw.peak);
        let at = path.field("scale_out_delay");
        let scale_out_delay = self.within(&at, "scale-out delay", &raw.scale_out_delay, DELAY);
        let climb = raw
            .climb
            .as_ref()
            .map_or(Some(CLIMB), |text| self.within(&path.field("climb"), "climb", text, CLIMBING));
        let mut fleet =
            |field, count| self.whole(&path.field(field), "number of instances", count, MAX_FLEET);
        let minimum_fleet = fleet("minimum_fleet", raw.minimum_fleet);
        let tested_fleet =
            raw.tested_fleet.map_or(Some(NonZeroU32::MIN), |count| fleet("tested_fleet", count));
        Some(Demand {
            peak: peak?.as_per_second(),
            climb: climb?,
            scale_out_delay: scale_out_delay?,
            minimum_fleet: minimum_fleet?,
            tested_fleet: tested_fleet?,
        })
    }
}

/// The sources that are written.
fn sources(raw: &RawResource) -> Vec<&'static str> {
    [
        ("prometheus", raw.prometheus.is_some()),
        ("pid", raw.pid.is_some()),
        ("cgroup", raw.cgroup.is_some()),
        ("cloudwatch", raw.cloudwatch.is_some()),
    ]
    .into_iter()
    .filter_map(|(field, there)| there.then_some(field))
    .collect()
}

/// Whether a source is of this kind. One that is none, or several, has a problem of its
/// own already.
fn is_only(raw: &RawResource, kind: &str) -> bool {
    let written = sources(raw);
    written.len() != 1 || written == [kind]
}

/// What reports call a source that has no name.
fn default_name(source: &Source) -> String {
    let name = match source {
        Source::Prometheus(url) => {
            let host = url.host_str().unwrap_or_default();
            url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
        }
        Source::Pid(pid) => format!("pid {pid}"),
        Source::Cgroup(directory) => match directory.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => directory.display().to_string(),
        },
        Source::CloudWatch(cloudwatch) => cloudwatch.metric.clone(),
    };
    name.chars().take(MAX_NAME).collect()
}
