//! What the user asked for: a config that has been read, checked and found
//! valid. Once you hold a [`Config`], nobody checks it again.
//!
//! The way in is [`Config::from_text`]. `tree` reads the text into values that
//! know their line, `read` turns those into what a file may say ([`raw`]), and
//! `check` turns that into a [`Config`] or into every problem at once.
//! [`problem`] words them; [`source`] is where probes read; [`schema`] describes a config to editors. Files that
//! a config names are read by the caller. Due times come from `schedule`.

mod carrier;
mod check;
mod header;
mod json;
mod multipart;
pub mod problem;
pub mod raw;
mod read;
mod schema;
pub mod source;
mod target;
mod tree;

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arrivals::Spacing;
use crate::load::{Load, Think};
use crate::scaling::Demand;
use crate::search::Search;
use crate::secret::{Reference, Values};
use crate::slo::{Rule, StopIf};
pub use carrier::{Carrier, Engine, Http, HttpVersion};
pub use problem::{ConfigError, Problems, ShapeError};
pub use raw::RawConfig;
pub use schema::schema;
pub use source::{Probe, Source};

/// The longest name of a run, an attack or a request, in characters.
pub const MAX_NAME: usize = 100;
/// How many attacks a config may have.
pub const MAX_ATTACKS: usize = 100;
/// How many kinds of requests an attack may have.
pub const MAX_REQUESTS: usize = 1000;
/// How many headers an attack or a request may have.
pub const MAX_HEADERS: usize = 100;
/// How many promises a config or an attack may make.
pub const MAX_RULES: usize = 100;
/// How many steps a load may have.
pub const MAX_STEPS: usize = 1000;
/// How many peaks a burst may have.
pub const MAX_BURSTS: u64 = 1000;
/// How many parts a body of several may have.
pub const MAX_PARTS: usize = 100;
/// How many redirects may be followed for a request: as many as browsers follow. See
/// <https://fetch.spec.whatwg.org/#http-redirect-fetch>.
pub const MAX_REDIRECTS: u32 = 20;
/// How many connections an attack may have, over all workers.
pub const MAX_CONNECTIONS: u64 = 1_000_000;
/// How many virtual users an attack may have.
pub const MAX_USERS: u32 = 1_000_000;
/// How many workers a config may ask for.
pub const MAX_WORKERS: u32 = 10_000;
/// The largest process id that Linux gives. See `PID_MAX_LIMIT` in
/// <https://man7.org/linux/man-pages/man5/proc_sys_kernel.5.html>.
pub const MAX_PID: u64 = 1 << 22;
/// How many instances a fleet may have.
pub const MAX_FLEET: u64 = 10_000;
/// The largest weight of a request.
pub const MAX_WEIGHT: u64 = 10_000;
/// The largest sum of the weights of an attack's requests.
pub const MAX_TOTAL_WEIGHT: u64 = 1_000_000;
/// How many regions a run may attack from. A stack is of one region, and Step
/// Functions cannot invoke functions of another. See
/// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-access-cross-acct-resources.html>.
pub const MAX_REGIONS: usize = 1;
/// A worker's memory when the config does not say, in megabytes: one vCPU. See
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>.
pub const DEFAULT_MEMORY_MB: u32 = 1769;
/// How long a request may take when the config does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_TIMEOUT: (Duration, &str) = (Duration::from_secs(3600), "1h");
const MAX_THINK: (Duration, &str) = (Duration::from_secs(3600), "1h");

/// A valid config. In JSON it travels as the document it was read from, with
/// body files inlined, and is checked again on arrival.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "raw::RawConfig", into = "raw::RawConfig")]
pub struct Config {
    raw: raw::RawConfig,
    name: String,
    order: Order,
    attacks: Vec<Attack>,
    stop_if: Option<StopIf>,
    workers: Workers,
    memory_mb: u32,
    /// Distinct, in order; none once they are replaced by their values.
    references: Vec<Reference>,
}

/// Whether attacks run side by side or one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// All start together.
    #[default]
    SideBySide,
    /// Each starts when the load of the one before it ends.
    Sequence,
}

/// How many workers share the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Workers {
    /// From the load and the machine.
    #[default]
    Auto,
    /// Exactly so many, at most 10,000.
    Count(NonZeroU32),
}

/// One target with its own load.
#[derive(Debug, Clone, PartialEq)]
pub struct Attack {
    /// Unique within the config.
    pub name: String,
    /// When requests are due.
    pub load: Load,
    /// At least one; `weight` decides how often each is drawn.
    pub requests: Vec<Request>,
    /// How long a request may take from when it is sent; above zero.
    pub timeout: Duration,
    /// How requests follow each other; even in the closed model, where it says
    /// nothing.
    pub arrivals: Spacing,
    /// The most connections at once, over all workers; without it, as many as
    /// workers can have.
    pub connections: Option<NonZeroU32>,
    /// How many connections are opened before the load begins, over all workers.
    pub warm_up: u32,
    /// Pauses of virtual users; zero in the open model.
    pub think: Think,
    /// The promises that apply here: the config's, then the attack's own.
    pub slo: Vec<Rule>,
    /// What is read of the target's resources beside the load; names are unique.
    pub resources: Vec<Probe>,
    /// What is expected of the target, if that is known.
    pub autoscaling: Option<Demand>,
}

impl Attack {
    /// How many requests one that is due may become, with all redirects that are
    /// followed: 1 or more.
    #[must_use]
    pub fn requests_each(&self) -> u32 {
        1 + self.requests.iter().map(|request| request.http.redirects).max().unwrap_or_default()
    }
}

/// One kind of request of an attack. References in its URL, its headers and its
/// body show as they are written until [`Config::with_values`] replaces them; its
/// debug output says where it goes, and neither of these.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Unique within the attack.
    pub name: String,
    /// How often it is drawn, relative to the others.
    pub weight: NonZeroU32,
    /// A valid HTTP method token, in upper case.
    pub method: String,
    /// Absolute, http or https, without a fragment.
    pub url: url::Url,
    /// In the order written; names in lower case, unique; no line breaks.
    pub headers: Vec<(String, String)>,
    /// Empty when there is none.
    pub body: Vec<u8>,
    /// The status that counts as success; without it any status below 400.
    pub expect_status: Option<u16>,
    /// What is done with it beside sending it.
    pub http: Http,
    /// Which transport sends it.
    pub carrier: Carrier,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, weight, method, url, headers, body, expect_status, http, carrier } = self;
        let headers: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("name", name)
            .field("weight", weight)
            .field("method", method)
            .field("to", &url.origin().ascii_serialization())
            .field("headers", &headers)
            .field("body_len", &body.len())
            .field("expect_status", expect_status)
            .field("http", http)
            .field("carrier", carrier)
            .finish()
    }
}

impl Request {
    /// Whether a response with this status meets the expectation.
    #[must_use]
    pub fn accepts(&self, status: u16) -> bool {
        self.expect_status.map_or(status < 400, |expected| status == expected)
    }
}

impl Config {
    /// Reads a config from YAML or JSON. `body_file` returns the content of a
    /// file that a request names as its body, or why it cannot be read.
    ///
    /// # Errors
    /// The first thing that is wrong with the shape of the text, or everything
    /// that is wrong with its values.
    pub fn from_text(
        text: &str,
        body_file: impl FnMut(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Self, ConfigError> {
        let (tree, mut raw) = read::read(text)?;
        let mut problems = check::inline_body_files(&mut raw, body_file);
        let checked = check::check(raw, None);
        if problems.is_empty()
            && let Ok(config) = checked
        {
            return Ok(config);
        }
        problems.extend(checked.err().unwrap_or_default());
        for problem in &mut problems {
            problem.place = Some(tree.place_of(&problem.path));
        }
        problems.sort_by_key(|problem| problem.place);
        Err(Problems(problems).into())
    }

    /// What was read: what the config says, word by word.
    #[must_use]
    pub const fn raw(&self) -> &RawConfig {
        &self.raw
    }

    /// What the run is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Side by side, or one after another.
    #[must_use]
    pub const fn order(&self) -> Order {
        self.order
    }

    /// At least one; names are unique.
    #[must_use]
    pub fn attacks(&self) -> &[Attack] {
        &self.attacks
    }

    /// When to stop early.
    #[must_use]
    pub const fn stop_if(&self) -> Option<&StopIf> {
        self.stop_if.as_ref()
    }

    /// How many workers.
    #[must_use]
    pub const fn workers(&self) -> Workers {
        self.workers
    }

    /// How much memory a worker has on AWS, in megabytes of 1,024² bytes:
    /// [`crate::units::MIN_MEMORY_MB`] to [`crate::units::MAX_MEMORY_MB`].
    #[must_use]
    pub const fn memory_mb(&self) -> u32 {
        self.memory_mb
    }

    /// The AWS region to attack from; without it, the stack's.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.raw.workers.as_ref()?.regions.as_ref()?.first().map(String::as_str)
    }

    /// The most that the run may cost, in US dollars; zero or more.
    #[must_use]
    pub fn max_usd(&self) -> Option<f64> {
        self.raw.budget.as_ref().map(|budget| budget.max_usd)
    }

    /// The values that it refers to: distinct, in order.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// The same config, ready to be sent: every reference is replaced by its
    /// value. As JSON it is still the document that was read, and what it shows
    /// holds no value.
    ///
    /// # Errors
    /// When a value is missing, or cannot stand where it would be sent. The
    /// reference is named, never the value.
    pub fn with_values(&self, values: &Values) -> Result<Self, Problems> {
        if self.references.is_empty() {
            return Ok(self.clone());
        }
        check::check(self.raw.clone(), Some(values)).map_err(Problems)
    }
}

impl Config {
    /// The search, if it is one: it is the only attack then.
    #[must_use]
    pub fn search(&self) -> Option<&Search> {
        match self.attacks.as_slice() {
            [Attack { load: Load::Search(search), .. }] => Some(search),
            _ => None,
        }
    }

    /// The same config with one step of its search in place of the search. As JSON it
    /// is still the document that was read.
    pub(crate) fn with_step(mut self, step: &Load) -> Self {
        self.attacks.iter_mut().for_each(|attack| attack.load = step.clone());
        self
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = Problems;

    /// Checks what was read. A body file that is not inlined is a problem:
    /// see [`RawConfig::with_body_files`].
    fn try_from(raw: RawConfig) -> Result<Self, Problems> {
        check::check(raw, None).map_err(Problems)
    }
}

impl From<Config> for RawConfig {
    fn from(config: Config) -> Self {
        config.raw
    }
}

impl RawConfig {
    /// Reads the shape of a config from YAML or JSON, and leaves its values
    /// unchecked. [`Config::from_text`] does both, and knows the line of every
    /// problem.
    ///
    /// # Errors
    /// The first thing that is wrong with the shape of the text.
    pub fn read(text: &str) -> Result<Self, Box<ShapeError>> {
        read::read(text).map(|(_, raw)| raw)
    }

    /// The files that requests name as their bodies, in the order written.
    pub fn body_files(&self) -> impl Iterator<Item = &str> {
        self.attacks.iter().flat_map(|attack| {
            let own = attack.raw_body().files();
            own.chain(attack.requests.iter().flatten().flat_map(|request| request.raw_body().files()))
        })
    }

    /// The same, with every body file replaced by its content, which `read`
    /// returns: as text if it is UTF-8, in base64 if not.
    ///
    /// # Errors
    /// Every file that `read` could not read, with its reason.
    pub fn with_body_files(
        mut self,
        read: impl FnMut(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Self, Problems> {
        let problems = check::inline_body_files(&mut self, read);
        if problems.is_empty() { Ok(self) } else { Err(Problems(problems)) }
    }
}
