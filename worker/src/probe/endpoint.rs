//! An endpoint of Prometheus metrics: what is fetched, and what is understood of it.
//!
//! Of a page of `node_exporter`, the machine is what counts. It says something of the
//! exporter's own process, too, which is not the target. Any other page is that of
//! the process that writes it, by the names that client libraries agree on. See
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use deathstar_statemachine::config::Probe;
use deathstar_statemachine::config::source::{Instances, SeriesName};
use deathstar_statemachine::resources::Metric;
use reqwest::header::ACCEPT;
use tokio::sync::OnceCell;
use url::Url;

use super::prometheus::{Page, Sample};
use super::{Look, Seen, clause, in_the_background, sane};

/// The largest page that is read, in bytes.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// How long a page may take: as long as the next reading is away, within these. A reading
/// that is late costs those that were due meanwhile, and nothing else.
const TIMEOUT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// The format that is asked for, with nothing for exporters to negotiate.
const FORMAT: &str = "text/plain;version=0.0.4";

const NODE_CPU: &str = "node_cpu_seconds_total";
const NODE_MEMORY: &str = "node_memory_MemTotal_bytes";
const NODE_MEMORY_LEFT: &str = "node_memory_MemAvailable_bytes";
const NODE_DESCRIPTORS: &str = "node_filefd_allocated";
const NODE_MAX_DESCRIPTORS: &str = "node_filefd_maximum";
const CPU: &str = "process_cpu_seconds_total";
const MEMORY: &str = "process_resident_memory_bytes";
const MAX_MEMORY: &str = "process_virtual_memory_max_bytes";
const DESCRIPTORS: &str = "process_open_fds";
const MAX_DESCRIPTORS: &str = "process_max_fds";

/// What is read without being named.
const KNOWN: [&str; 10] = [
    NODE_CPU,
    NODE_MEMORY,
    NODE_MEMORY_LEFT,
    NODE_DESCRIPTORS,
    NODE_MAX_DESCRIPTORS,
    CPU,
    MEMORY,
    MAX_MEMORY,
    DESCRIPTORS,
    MAX_DESCRIPTORS,
];

/// Reads an endpoint over connections of its own, which are no load.
#[derive(Debug)]
pub(super) struct Endpoint {
    url: Url,
    timeout: Duration,
    wanted: Arc<Wanted>,
    client: Client,
}

/// What asks all endpoints, once it was made; or why it could not be.
pub(crate) type Client = Rc<OnceCell<Result<reqwest::Client, String>>>;

/// What the config names.
#[derive(Debug, Default)]
struct Wanted {
    series: Vec<SeriesName>,
    instances: Option<SeriesName>,
}

impl Endpoint {
    pub(super) fn new(url: &Url, probe: &Probe, client: &Client) -> Self {
        let instances = match &probe.instances {
            Some(Instances::Series(series)) => Some(series.clone()),
            Some(Instances::Metric) | None => None,
        };
        let [least, most] = TIMEOUT;
        Self {
            url: url.clone(),
            timeout: probe.every.clamp(least, most),
            wanted: Arc::new(Wanted { series: probe.series.clone(), instances }),
            client: Rc::clone(client),
        }
    }

    /// Makes the client, which may have to read hundreds of root certificates.
    pub(super) async fn prepare(&self) -> &Result<reqwest::Client, String> {
        let make = async || {
            let made = in_the_background(|| client().map_err(|error| clause(&error))).await;
            made.and_then(|client| client)
        };
        self.client.get_or_init(make).await
    }

    pub(super) async fn read(&self) -> Look {
        let client = match self.prepare().await {
            Ok(client) => client,
            Err(why) => return Look::nothing(why.clone()),
        };
        let page = tokio::time::timeout(self.timeout, fetch(client, &self.url)).await;
        let page = match page {
            Ok(Ok(page)) => page,
            Ok(Err(why)) => return Look::nothing(why),
            Err(_) => return Look::nothing(format!("no answer within {} s", self.timeout.as_secs_f64())),
        };
        let wanted = Arc::clone(&self.wanted);
        let look = in_the_background(move || wanted.understand(&String::from_utf8_lossy(&page))).await;
        look.unwrap_or_else(Look::nothing)
    }
}

/// Asks only where the config says.
fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .user_agent(concat!("deathstar/", env!("CARGO_PKG_VERSION")))
        .build()
}

async fn fetch(client: &reqwest::Client, url: &Url) -> Result<Vec<u8>, String> {
    let why = |error: reqwest::Error| clause(&error.without_url());
    let mut response = client.get(url.clone()).header(ACCEPT, FORMAT).send().await.map_err(why)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("it answers with status {}", response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(why)? {
        if body.len() + bytes.len() > MAX_BODY {
            return Err(format!("its page is over {} MiB", MAX_BODY >> 20));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

impl Wanted {
    fn understand(&self, text: &str) -> Look {
        let named = self.series.iter().chain(&self.instances).map(SeriesName::name);
        let wanted: HashSet<&str> = named.chain(KNOWN).collect();
        let page = Page::read(text, |name| wanted.contains(name));
        if page.count == 0 {
            return Look::nothing("its page holds no metric".to_owned());
        }
        let mut look = Look { seen: known(&page), missing: Vec::new() };
        let mut absent = Vec::new();
        for series in &self.series {
            let Some(value) = sum_of(&page, series) else {
                absent.push(series.to_string());
                continue;
            };
            let metric = Metric::Series(series.to_string());
            let seen = if page.is_counter(series.name()) { Seen::count } else { Seen::level };
            look.seen.push(seen(metric, value, None));
        }
        if let Some(series) = &self.instances {
            match sum_of(&page, series) {
                Some(value) => look.seen.push(Seen::level(Metric::Instances, value, None)),
                None => absent.push(series.to_string()),
            }
        }
        if !absent.is_empty() {
            look.missing.push(format!("its page has no {}", absent.join(", ")));
        }
        if look.seen.is_empty() && look.missing.is_empty() {
            look.missing
                .push("its metrics are neither a machine's nor a process's; name them as series".to_owned());
        }
        look
    }
}

/// What is understood without being named.
fn known(page: &Page<'_>) -> Vec<Seen> {
    let has_node = page.samples.iter().any(|sample| sample.name == NODE_CPU);
    let process = if has_node { Vec::new() } else { process(page) };
    if process.is_empty() { node(page) } else { process }
}

fn node(page: &Page<'_>) -> Vec<Seen> {
    let mut seen = Vec::new();
    let times = || page.samples.iter().filter(|sample| sample.name == NODE_CPU);
    let processors: HashSet<&str> = times().map(|sample| sample.label("cpu")).collect();
    if !processors.is_empty() {
        // What waits for a disk leaves the processor to others.
        let busy = times().filter(|sample| !matches!(sample.label("mode"), "idle" | "iowait"));
        let busy = busy.map(|sample| sample.value).sum();
        seen.push(Seen::count(Metric::Cpu, busy, Some(processors.len() as f64)));
    }
    if let (Some(total), Some(left)) = (value_of(page, NODE_MEMORY), value_of(page, NODE_MEMORY_LEFT)) {
        seen.push(Seen::level(Metric::Memory, total - left, sane(total)));
    }
    if let Some(open) = value_of(page, NODE_DESCRIPTORS) {
        let most = value_of(page, NODE_MAX_DESCRIPTORS).and_then(sane);
        seen.push(Seen::level(Metric::Descriptors, open, most));
    }
    seen
}

fn process(page: &Page<'_>) -> Vec<Seen> {
    let most = |name| value_of(page, name).and_then(sane);
    let cpu = value_of(page, CPU).map(|seconds| Seen::count(Metric::Cpu, seconds, None));
    let memory = value_of(page, MEMORY).map(|bytes| Seen::level(Metric::Memory, bytes, most(MAX_MEMORY)));
    let descriptors =
        value_of(page, DESCRIPTORS).map(|open| Seen::level(Metric::Descriptors, open, most(MAX_DESCRIPTORS)));
    [cpu, memory, descriptors].into_iter().flatten().collect()
}

fn value_of(page: &Page<'_>, name: &str) -> Option<f64> {
    sum(page.samples.iter().filter(|sample| sample.name == name))
}

fn sum_of(page: &Page<'_>, series: &SeriesName) -> Option<f64> {
    let fits = |sample: &&Sample<'_>| {
        sample.name == series.name()
            && series.labels().iter().all(|(label, value)| sample.label(label) == value)
    };
    sum(page.samples.iter().filter(fits))
}

/// The sum of what is there; nothing is not zero.
fn sum<'page, 'text: 'page>(samples: impl Iterator<Item = &'page Sample<'text>>) -> Option<f64> {
    samples.map(|sample| sample.value).reduce(|one, other| one + other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = r#"# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{cpu="0",mode="idle"} 1000
node_cpu_seconds_total{cpu="0",mode="iowait"} 100
node_cpu_seconds_total{cpu="0",mode="user"} 20
node_cpu_seconds_total{cpu="1",mode="idle"} 1000
node_cpu_seconds_total{cpu="1",mode="system"} 5
node_memory_MemTotal_bytes 8.0e+09
node_memory_MemAvailable_bytes 6.0e+09
node_filefd_allocated 1500
node_filefd_maximum 9.223372036854776e+18
process_cpu_seconds_total 77
process_open_fds 9
"#;

    const PROCESS: &str = "process_cpu_seconds_total 12.5\nprocess_resident_memory_bytes 3e7\nprocess_virtual_memory_max_bytes 1.8446744073709552e+19\nprocess_open_fds 40\nprocess_max_fds 1024\n";

    fn understand(series: &[&str], instances: Option<&str>, text: &str) -> Look {
        let series = series.iter().map(|name| name.parse().unwrap()).collect();
        Wanted { series, instances: instances.map(|name| name.parse().unwrap()) }.understand(text)
    }

    #[test]
    fn a_machine_goes_before_the_exporter_that_describes_it() {
        let look = understand(&[], None, NODE);
        let expected = vec![
            Seen::count(Metric::Cpu, 25.0, Some(2.0)),
            Seen::level(Metric::Memory, 2e9, Some(8e9)),
            Seen::level(Metric::Descriptors, 1500.0, None),
        ];
        assert_eq!(look, Look { seen: expected, missing: Vec::new() });
    }

    #[test]
    fn a_process_describes_itself() {
        let look = understand(&[], None, PROCESS);
        let expected = vec![
            Seen::count(Metric::Cpu, 12.5, None),
            Seen::level(Metric::Memory, 3e7, None),
            Seen::level(Metric::Descriptors, 40.0, Some(1024.0)),
        ];
        assert_eq!(look, Look { seen: expected, missing: Vec::new() });
        let limited = PROCESS.replace("1.8446744073709552e+19", "1e9");
        assert_eq!(understand(&[], None, &limited).seen[1].capacity, Some(1e9));
    }

    #[test]
    fn any_series_is_read_by_its_name() {
        let text = "# TYPE queue gauge\nqueue{shard=\"a\"} 2\nqueue{shard=\"b\",kind=\"x\"} 5\nanswers_total{code=\"200\"} 70\nready 3\n";
        let look = understand(
            &["queue", "queue{shard=\"b\"}", "answers_total", "gone", "queue{shard=\"c\"}"],
            Some("ready"),
            text,
        );
        let series = |name: &str| Metric::Series(name.to_owned());
        let expected = vec![
            Seen::level(series("queue"), 7.0, None),
            Seen::level(series("queue{shard=\"b\"}"), 5.0, None),
            Seen::count(series("answers_total"), 70.0, None),
            Seen::level(Metric::Instances, 3.0, None),
        ];
        let missing = vec!["its page has no gone, queue{shard=\"c\"}".to_owned()];
        assert_eq!(look, Look { seen: expected, missing });
    }

    #[test]
    fn a_page_that_says_nothing_is_told() {
        let nothing =
            |text, why: &str| assert_eq!(understand(&[], None, text), Look::nothing(why.to_owned()));
        nothing("", "its page holds no metric");
        nothing("<html>\n", "its page holds no metric");
        nothing("a_total 5\n", "its metrics are neither a machine's nor a process's; name them as series");
    }
}
