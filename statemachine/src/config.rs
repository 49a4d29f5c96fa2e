//! What the user asked for: a config that has been read, checked and found
//! valid. Once you hold a [`Config`], nobody checks it again.
//!
//! `config::raw` is what a file may say; `config::check` turns that into a
//! [`Config`] or into every problem at once; `config::read` finds the line and
//! the word when the file's shape is wrong. Due times come from `schedule`.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::load::{Load, Think};
use crate::slo::{Rule, StopIf};

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
}

/// Whether attacks run side by side or one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    /// Pauses of virtual users; zero in the open model.
    pub think: Think,
    /// The promises that apply here: the config's, then the attack's own.
    pub slo: Vec<Rule>,
}

/// One kind of request of an attack.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

impl Request {
    /// Whether a response with this status meets the expectation.
    #[must_use]
    pub fn accepts(&self, status: u16) -> bool {
        self.expect_status.map_or(status < 400, |expected| status == expected)
    }
}

impl Config {
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
}
