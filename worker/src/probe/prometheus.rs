//! Metrics as text: what exporters of Prometheus write.
//!
//! The format is the text format 0.0.4; what `OpenMetrics` has beside it (units,
//! exemplars, an end) is read over. A line that cannot be read is read over, too: one
//! bad metric of an exporter says nothing of the others. See
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::borrow::Cow;
use std::collections::HashMap;

/// The samples of a page that somebody wants.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Page<'text> {
    pub(super) samples: Vec<Sample<'text>>,
    /// Of each family that says so: `counter`, `gauge` or another.
    types: HashMap<&'text str, &'text str>,
    /// How many samples there are, wanted or not.
    pub(super) count: usize,
}

/// A sample's labels, without their escapes.
type Labels<'text> = Vec<(&'text str, Cow<'text, str>)>;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample<'text> {
    pub(super) name: &'text str,
    labels: Labels<'text>,
    /// Perhaps not a number, or infinite.
    pub(super) value: f64,
}

impl Sample<'_> {
    /// The value of a label; without it, empty, as Prometheus has it.
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }
}

impl<'text> Page<'text> {
    /// Reads the samples with names that are `wanted`.
    pub(super) fn read(text: &'text str, wanted: impl Fn(&str) -> bool) -> Self {
        let mut page = Self::default();
        for line in text.lines() {
            let line = line.trim_start_matches([' ', '\t']);
            if let Some(comment) = line.strip_prefix('#') {
                let mut words = comment.split_ascii_whitespace();
                if words.next() == Some("TYPE")
                    && let (Some(name), Some(kind)) = (words.next(), words.next())
                {
                    page.types.insert(name, kind);
                }
                continue;
            }
            let end = line.find(['{', ' ', '\t']).unwrap_or(line.len());
            let (name, rest) = line.split_at(end);
            if !name.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':')) {
                continue;
            }
            page.count += 1;
            if wanted(name)
                && let Some((labels, value)) = labels_and_value(rest)
            {
                page.samples.push(Sample { name, labels, value });
            }
        }
        page
    }

    /// Whether a series counts up: because its type says so, or, where none is given,
    /// its name.
    pub(super) fn is_counter(&self, name: &str) -> bool {
        const COUNTING: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];
        let by_name = || COUNTING.iter().any(|suffix| name.ends_with(suffix));
        match self.types.get(name) {
            Some(&"counter") => return true,
            // A quantile of a summary, or a gauge whatever its name.
            Some(&("gauge" | "summary" | "histogram" | "gaugehistogram" | "info" | "stateset")) => {
                return false;
            }
            Some(_) => return by_name(),
            None => {}
        }
        // Of a family, the type is that of all its series.
        let family =
            name.rsplit_once('_').and_then(|(family, suffix)| Some((*self.types.get(family)?, suffix)));
        match family {
            Some(("counter", suffix)) => suffix == "total",
            Some(("histogram" | "summary", suffix)) => matches!(suffix, "sum" | "count" | "bucket"),
            Some(("gaugehistogram", _)) => false,
            _ => by_name(),
        }
    }
}

/// What stands behind a sample's name: perhaps labels, a value, and perhaps more.
fn labels_and_value(rest: &str) -> Option<(Labels<'_>, f64)> {
    let rest = rest.trim_start_matches([' ', '\t']);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inner) => labels(inner)?,
        None => (Vec::new(), rest),
    };
    // A timestamp and an exemplar may follow.
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some((labels, value))
}

/// The labels up to the closing brace, and what follows it.
fn labels(text: &str) -> Option<(Labels<'_>, &str)> {
    let blanks = [' ', '\t'];
    let mut labels = Vec::new();
    let mut rest = text.trim_start_matches(blanks);
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, behind) = rest.split_once('=')?;
        let (value, behind) = quoted(behind.trim_start_matches(blanks))?;
        labels.push((name.trim_end_matches(blanks), value));
        rest = behind.trim_start_matches(blanks);
        if let Some(behind) = rest.strip_prefix(',') {
            rest = behind.trim_start_matches(blanks);
        } else if !rest.starts_with('}') {
            return None;
        }
    }
}

/// The text in quotes that another begins with, without its escapes; and the rest.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let inner = text.strip_prefix('"')?;
    let end = inner.find(['"', '\\'])?;
    if inner[end..].starts_with('"') {
        return Some((Cow::Borrowed(&inner[..end]), &inner[end + 1..]));
    }
    let mut value = inner[..end].to_owned();
    let mut chars = inner[end..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Cow::Owned(value), &inner[end + at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('"' | '\\') => value.push(escaped),
                // No escape, so it stands for itself.
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each as its name, its labels and its value.
    type Shown = (String, Vec<(String, String)>, String);

    fn read(text: &str) -> Vec<Shown> {
        let shown = |sample: &Sample<'_>| {
            let labels: Vec<(&str, &str)> =
                sample.labels.iter().map(|(name, value)| (*name, value.as_ref())).collect();
            self::sample(sample.name, &labels, &sample.value.to_string())
        };
        Page::read(text, |_| true).samples.iter().map(shown).collect()
    }

    fn sample(name: &str, labels: &[(&str, &str)], value: &str) -> Shown {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        (name.to_owned(), labels.collect(), value.to_owned())
    }

    /// The example of the format's own documentation.
    #[test]
    fn the_text_format_is_read() {
        let text = r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045
not_a_number{ a = "b" , } NaN
"#;
        assert_eq!(
            read(text),
            [
                sample("http_requests_total", &[("method", "post"), ("code", "200")], "1027"),
                sample("http_requests_total", &[("method", "post"), ("code", "400")], "3"),
                sample(
                    "msdos_file_access_time_seconds",
                    &[("path", r"C:\DIR\FILE.TXT"), ("error", "Cannot find file:\n\"FILE.TXT\"")],
                    "1458255915"
                ),
                sample("metric_without_timestamp_and_labels", &[], "12.47"),
                sample("something_weird", &[("problem", "division by zero")], "inf"),
                sample("not_a_number", &[("a", "b")], "NaN"),
            ]
        );
    }

    #[test]
    fn what_openmetrics_adds_is_read_over() {
        let text = "# TYPE foo counter\n# UNIT foo seconds\nfoo_total{a=\"}\"} 17.0 1520879607.789 # {trace_id=\"x\"} 0.67\nfoo_created 1520430000.123\n# EOF\n";
        assert_eq!(
            read(text),
            [sample("foo_total", &[("a", "}")], "17"), sample("foo_created", &[], "1520430000.123")]
        );
        let page = Page::read(text, |_| true);
        assert!(page.is_counter("foo_total") && !page.is_counter("foo_created"));
    }

    #[test]
    fn a_bad_line_hides_no_other() {
        let bad = "a\nb{ 1\nc{d=\"e} 2\nf{g=h} 3\ni{j=\"k\"l=\"m\"} 4\nn five\n{o} 6\n\r\nfine 7\r\n";
        assert_eq!(read(bad), [sample("fine", &[], "7")]);
    }

    #[test]
    fn only_what_is_wanted_is_kept() {
        let page = Page::read("a 1\nb 2\na 3\n", |name| name == "b");
        assert_eq!((page.samples.len(), page.count), (1, 3));
        assert_eq!(page.samples[0].label("none"), "");
    }

    #[test]
    fn a_counter_is_known_by_its_type_or_its_name() {
        let page = Page::read(
            "# TYPE a gauge\n# TYPE b counter\n# TYPE c histogram\n# TYPE d summary\n# TYPE e_total gauge\n# TYPE f untyped\n# TYPE g_total untyped\n",
            |_| true,
        );
        for counter in [
            "b", "b_total", "c_bucket", "c_sum", "c_count", "d_sum", "d_count", "x_total", "x_bucket",
            "g_total",
        ] {
            assert!(page.is_counter(counter), "{counter}");
        }
        for gauge in ["a", "b_created", "c", "d", "e_total", "f", "x", "c_created"] {
            assert!(!page.is_counter(gauge), "{gauge}");
        }
    }

    proptest! {
        #[test]
        fn no_page_makes_it_panic(text in "(a|b_total|# TYPE |counter|\\{|\\}|\"|\\\\|=|,| |\n|1|NaN|\\PC){0,40}") {
            let page = Page::read(&text, |_| true);
            prop_assert!(page.samples.len() <= page.count);
            page.is_counter("b_total");
        }

        #[test]
        fn what_is_written_is_read(value in proptest::num::f64::NORMAL, label in "(\\\\|\"|\n|,|\\}|[a-z]|\\PC){0,10}") {
            let escaped = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let text = format!("a{{b=\"{escaped}\",c=\"\"}} {value} 5\n");
            let page = Page::read(&text, |_| true);
            prop_assert_eq!(page.samples.len(), 1);
            prop_assert_eq!(page.samples[0].label("b"), label);
            prop_assert_eq!(page.samples[0].value.to_bits(), value.to_bits());
        }
    }
}
