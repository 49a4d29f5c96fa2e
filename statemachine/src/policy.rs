//! What an installation allows: which hosts may be attacked, and how hard.
//!
//! The controller asks it of every plan, so that whoever can start a run still
//! cannot aim it at anything, nor make it larger or dearer than the account's
//! owner agreed to.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::{Attack, Order};
use crate::load::Load;
use crate::plan::Plan;
use crate::units::{Rate, display_duration};

/// The most requests per second that one worker can send, whatever the target: its one
/// thread spends more than 5 µs on each. At the cheapest, over kept connections on
/// loopback, 6.7 µs were measured.
const MOST_OF_A_WORKER: f64 = 200_000.0;

/// What an installation allows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// The hosts that may be attacked; `None` allows all, an empty list none.
    pub allow: Option<Vec<HostPattern>>,
    /// The most requests per second that may be due at once, over all attacks. Virtual
    /// users count as what they send when the target answers at once.
    pub max_rate: Option<Rate>,
    /// The most workers of a run.
    pub max_workers: Option<NonZeroU32>,
    /// The most that a run may cost, in US dollars, as its plan estimates it.
    pub max_usd: Option<f64>,
    /// The only region that may be attacked from, where there are regions.
    pub region: Option<String>,
    /// The most bytes that a config may have, as JSON and with the bodies of its
    /// requests, where workers read it from a table that bears only so much.
    pub max_config_bytes: Option<usize>,
}

/// Why a plan is refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Refusal {
    /// A target is not on the list.
    #[error(
        "{host} is not on the list of hosts that may be attacked ({allowed}); deathstar deploy --allow {host} adds it"
    )]
    Host {
        /// The host, with its port when it is not the scheme's own.
        host: String,
        /// The list, as a person reads it.
        allowed: String,
    },
    /// Too much at once.
    #[error(
        "{rate}/s at the peak of the load{}; this installation allows {limit}/s (deathstar deploy --max-rate)",
        if *redirects { ", redirects included" } else { "" }
    )]
    Rate {
        /// Requests per second.
        rate: f64,
        /// Whether some of them may be those to which others were redirected.
        redirects: bool,
        /// The most there may be.
        limit: f64,
    },
    /// Virtual users who may send too much.
    #[error(
        "attack {attack:?} may send {rate}/s, with {users} users and {}{}; this installation allows {limit}/s (deathstar deploy --max-rate), which a think time of {} on average keeps to",
        thought(*think), redirected(*redirects), display_duration(*enough)
    )]
    Users {
        /// The attack.
        attack: String,
        /// How many users.
        users: u32,
        /// How long they think, on average; may be zero.
        think: Duration,
        /// How many redirects are followed for each request.
        redirects: u32,
        /// Requests per second, when the target answers at once.
        rate: f64,
        /// The most there may be.
        limit: f64,
        /// How long they would have to think on average.
        enough: Duration,
    },
    /// Too many workers.
    #[error("{workers} workers; this installation allows {limit} (deathstar deploy --max-workers)")]
    Workers {
        /// Workers of the plan.
        workers: u32,
        /// The most there may be.
        limit: u32,
    },
    /// Too dear.
    #[error(
        "the run would cost about {cost:.2} USD; this installation allows {limit:.2} USD a run (deathstar deploy --max-usd)"
    )]
    Cost {
        /// The estimate, in US dollars.
        cost: f64,
        /// The most a run may cost, in US dollars.
        limit: f64,
    },
    /// From elsewhere.
    #[error(
        "the config attacks from {asked}, and this installation is in {home}: a stack attacks from its own region, so name one there with --region {asked}"
    )]
    Region {
        /// Where the config wants to attack from.
        asked: String,
        /// Where the installation is.
        home: String,
    },
    /// Too large.
    #[error(
        "the config has {bytes} bytes with its bodies; this installation allows {limit}, since every worker reads it"
    )]
    Size {
        /// Bytes of the config.
        bytes: usize,
        /// The most there may be.
        limit: usize,
    },
}

impl Policy {
    /// What one's own machine allows: everything.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self::default()
    }

    /// Everything for which a plan is refused, whose cost is `cost_usd`.
    #[must_use]
    pub fn refusals(&self, plan: &Plan, cost_usd: f64) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        let mut hosts: Vec<Host> = Vec::new();
        for request in plan.config.attacks().iter().flat_map(|attack| &attack.requests) {
            // What goes through a proxy is a load of the proxy, too.
            for host in request.http.proxy.iter().chain([&request.url]).map(Host::of) {
                if !hosts.contains(&host) {
                    hosts.push(host);
                }
            }
        }
        if let Some(allow) = &self.allow {
            let refused = hosts.into_iter().filter(|host| !allow.iter().any(|pattern| pattern.matches(host)));
            refusals
                .extend(refused.map(|host| Refusal::Host { host: host.to_string(), allowed: list(allow) }));
        }
        if let Some(limit) = self.max_rate.map(Rate::as_per_second) {
            refusals.extend(over_rate(plan, limit));
        }
        if let Some(limit) = self.max_workers.filter(|limit| plan.workers > *limit) {
            refusals.push(Refusal::Workers { workers: plan.workers.get(), limit: limit.get() });
        }
        if let Some(limit) = self.max_usd.filter(|limit| cost_usd > *limit) {
            refusals.push(Refusal::Cost { cost: cost_usd, limit });
        }
        if let (Some(home), Some(asked)) = (&self.region, plan.config.region())
            && asked != home
        {
            refusals.push(Refusal::Region { asked: asked.to_owned(), home: home.clone() });
        }
        // A config that is no JSON cannot be: it came from some.
        let bytes = serde_json::to_vec(&plan.config).map_or(usize::MAX, |json| json.len());
        if let Some(limit) = self.max_config_bytes.filter(|limit| bytes > *limit) {
            refusals.push(Refusal::Size { bytes, limit });
        }
        refusals
    }
}

fn list(allow: &[HostPattern]) -> String {
    if allow.is_empty() {
        return "which is empty".to_owned();
    }
    allow.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Why a plan is refused that may send `limit` requests per second: each attack of
/// virtual users that is too much by itself, and all others together.
fn over_rate(plan: &Plan, limit: f64) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut others = Vec::new();
    for attack in plan.config.attacks() {
        match (&attack.load, peak_rate(plan, attack)) {
            (Load::Users { count, .. }, rate) if rate > limit => refusals.push(Refusal::Users {
                attack: attack.name.clone(),
                users: count.get(),
                think: mean_think(attack),
                redirects: attack.requests_each() - 1,
                rate,
                limit,
                enough: enough_think(u64::from(count.get()) * u64::from(attack.requests_each()), limit),
            }),
            (_, rate) => others.push(rate),
        }
    }
    let redirects = plan.config.attacks().iter().any(|attack| attack.requests_each() > 1);
    let others = others.into_iter();
    let rate = if plan.config.order() == Order::Sequence { others.fold(0.0, f64::max) } else { others.sum() };
    if rate > limit {
        refusals.push(Refusal::Rate { rate, redirects, limit });
    }
    refusals
}

/// The most requests per second of an attack, with those that redirects lead to. How fast virtual users are is the target's
/// affair; one that answers at once leaves them their think time, and without any only
/// what workers can do bounds them. In tenths, rounded up.
fn peak_rate(plan: &Plan, attack: &Attack) -> f64 {
    let each = f64::from(attack.requests_each());
    let Load::Users { count, .. } = &attack.load else {
        return attack.load.peak_rate().as_per_second() * each;
    };
    // Infinite without a think time.
    let thinking = f64::from(count.get()) * each / mean_think(attack).as_secs_f64();
    let rate = thinking.min(f64::from(plan.workers.get()) * MOST_OF_A_WORKER);
    (rate * 10.0).ceil() / 10.0
}

/// How long users think; pauses are uniform, so this is the mean.
fn mean_think(attack: &Attack) -> Duration {
    (attack.think.min + attack.think.max) / 2
}

/// How long users who send so many requests at a time must think on average to send no
/// more than `limit` per second; in whole milliseconds.
fn enough_think(requests: u64, limit: f64) -> Duration {
    let ms = (requests as f64 / limit * 1000.0).ceil();
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(Duration::MAX)
}

fn thought(think: Duration) -> String {
    if think.is_zero() {
        "no think time".to_owned()
    } else {
        format!("{} of think time", display_duration(think))
    }
}

fn redirected(redirects: u32) -> String {
    match redirects {
        0 => String::new(),
        1 => " and a redirect each".to_owned(),
        many => format!(" and {many} redirects each"),
    }
}

/// A target's host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    name: String,
    port: Option<u16>,
    default_port: bool,
}

impl Host {
    fn of(url: &url::Url) -> Self {
        let name = url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
        Self { name, port: url.port_or_known_default(), default_port: url.port().is_none() }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) if !self.default_port => write!(f, "{}:{port}", self.name),
            _ => f.write_str(&self.name),
        }
    }
}

/// A host that may be attacked: `shop.example.com`, `*.example.com` (every host
/// below it, not itself), `10.0.0.5`, `[::1]`; with `:8080`, on that port only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    /// Below this domain; or exactly this host.
    below: bool,
    name: String,
    port: Option<u16>,
}

/// Why a text is no host pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no host: use for example shop.example.com, *.example.com or 10.0.0.5:8080, without http:// and path"
)]
pub struct HostPatternError(String);

impl HostPattern {
    fn matches(&self, host: &Host) -> bool {
        let name = if self.below {
            host.name.strip_suffix(&self.name).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host.name == self.name
        };
        name && self.port.is_none_or(|port| host.port == Some(port))
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let refused = || HostPatternError(text.to_owned());
        let (below, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        if rest.is_empty() || !rest.chars().all(plain) {
            return Err(refused());
        }
        // The same reading as a target's, so that names compare as written there.
        let url = url::Url::parse(&format!("http://{rest}/")).map_err(|_| refused())?;
        let name = url.host_str().ok_or_else(refused)?.trim_end_matches('.').to_ascii_lowercase();
        if below && url.domain().is_none() {
            return Err(refused());
        }
        // `:80` is http's own port, which the URL forgets.
        let port = if rest.ends_with(":80") { Some(80) } else { url.port() };
        Ok(Self { below, name, port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.below { "*." } else { "" };
        write!(f, "{star}{}", self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostPatternError;
    fn try_from(text: String) -> Result<Self, HostPatternError> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, url: &str) -> bool {
        pattern.parse::<HostPattern>().unwrap().matches(&Host::of(&url.parse().unwrap()))
    }

    #[test]
    fn a_pattern_allows_what_it_says_and_no_more() {
        assert!(matches("shop.example.com", "https://shop.example.com/a"));
        assert!(matches("Shop.Example.com", "https://SHOP.example.com.:8443/"));
        assert!(!matches("shop.example.com", "https://evil-shop.example.com/"));
        assert!(!matches("example.com", "https://shop.example.com/"));
        assert!(matches("*.example.com", "https://a.b.example.com/"));
        assert!(!matches("*.example.com", "https://example.com/"));
        assert!(!matches("*.example.com", "https://notexample.com/"));
        assert!(matches("127.0.0.1:8080", "http://127.0.0.1:8080/"));
        assert!(!matches("127.0.0.1:8080", "http://127.0.0.1:8081/"));
        assert!(matches("a.b:80", "http://a.b/"));
        assert!(!matches("a.b:80", "https://a.b/"));
        assert!(matches("[::1]", "http://[::1]:9000/"));
        // The many ways to write one address are one address.
        assert!(matches("127.0.0.1", "http://0x7f.1/"));
    }

    #[test]
    fn what_is_no_host_is_no_pattern() {
        for text in ["", "*", "*.", "http://a.b", "a.b/c", "user@a.b", "*.10.0.0.1", "a b", "a.b:99999"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
        for text in ["a.b", "*.a.b", "10.0.0.1", "a.b:81", "a.b:80"] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
    }
}
