//! Whether what a config says makes sense: from `raw` to a [`Config`], or to
//! everything that is wrong with it.
//!
//! A check that fails notes the problem and goes on with nothing in its place,
//! so that one reading of the list is enough to mend a config.
//!
//! The same check makes a config ready to be sent: with values at hand, each text
//! is filled before it is looked at, while errors and names repeat only what is
//! written.

mod body;
mod load;
mod quantity;
mod request;
mod resources;
mod text;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

pub(super) use self::body::inline_body_files;
use super::problem::{Invalid, Path, Problem};
use super::raw::{RawAttack, RawConfig, RawCount, RawLoad};
use super::{
    Attack, Config, DEFAULT_MEMORY_MB, DEFAULT_TIMEOUT, MAX_ATTACKS, MAX_NAME, MAX_REGIONS, MAX_RULES,
    MAX_TIMEOUT, MAX_WORKERS, Order, Workers,
};
use crate::secret::{Reference, Values};
use crate::slo::{Metric, Rule, StopIf};
use crate::units::MAX_DURATION;

/// Checks every value. With `values`, references are replaced by them; without,
/// they show as they are written.
pub(super) fn check(raw: RawConfig, values: Option<&Values>) -> Result<Config, Vec<Problem>> {
    let mut check = Check { values, problems: Vec::new(), references: BTreeSet::new() };
    let root = Path::default();
    check.name(&root.field("name"), &raw.name);
    let promises = check.rules(&root.field("slo"), &raw.slo, &[]);
    let attacks = check.attacks(&root.field("attacks"), &raw, &promises);
    let stop_if =
        raw.stop_if.as_ref().and_then(|text| check.take(&root.field("stop_if"), text.parse::<StopIf>()));
    let (workers, memory_mb) = check.workers(&root.field("workers"), &raw);
    if let Some(budget) = raw.budget.filter(|budget| budget.max_usd < 0.0) {
        check.note(&root.field("budget").field("max_usd"), Invalid::Budget(budget.max_usd.to_string()));
    }
    if !check.problems.is_empty() {
        return Err(check.problems);
    }
    let references = if values.is_some() { Vec::new() } else { check.references.into_iter().collect() };
    let name = raw.name.trim().to_owned();
    Ok(Config { name, order: raw.order, attacks, stop_if, workers, memory_mb, references, raw })
}

/// What was found so far.
struct Check<'values> {
    values: Option<&'values Values>,
    problems: Vec<Problem>,
    references: BTreeSet<Reference>,
}

/// A promise and where it was made.
type Promise = (Path, Rule);

impl Check<'_> {
    fn note(&mut self, path: &Path, what: impl Into<Invalid>) {
        self.problems.push(Problem { path: path.clone(), place: None, what: what.into() });
    }

    fn take<T, E: Into<Invalid>>(&mut self, path: &Path, result: Result<T, E>) -> Option<T> {
        result.map_err(|what| self.note(path, what)).ok()
    }

    /// Whether a list has at most `limit` entries.
    fn counted(&mut self, path: &Path, what: &'static str, count: usize, limit: usize) -> bool {
        if count > limit {
            self.note(path, Invalid::TooMany { what, count, limit });
        }
        count <= limit
    }

    fn name(&mut self, path: &Path, name: &str) {
        let length = name.trim().chars().count();
        if length == 0 {
            self.note(path, Invalid::BlankName);
        }
        if length > MAX_NAME {
            self.note(path, Invalid::LongName { length, limit: MAX_NAME });
        }
        if name.chars().any(char::is_control) {
            self.note(path, Invalid::ControlInName(name.to_owned()));
        }
        self.no_reference(path, name);
    }

    /// Names are shown, and never filled.
    fn no_reference(&mut self, path: &Path, name: &str) {
        if let Some(mark) = ["${secret:", "${env:"].into_iter().find(|mark| name.contains(mark)) {
            self.note(path, Invalid::ReferenceInName(mark));
        }
    }

    fn workers(&mut self, path: &Path, raw: &RawConfig) -> (Workers, u32) {
        let Some(raw) = &raw.workers else { return (Workers::Auto, DEFAULT_MEMORY_MB) };
        let count = match raw.count {
            RawCount::Auto => Workers::Auto,
            RawCount::Count(count) => self
                .whole(path, "number of workers", count, u64::from(MAX_WORKERS))
                .map_or(Workers::Auto, Workers::Count),
        };
        let memory = raw.memory.as_ref().and_then(|text| self.memory(&path.field("memory"), text));
        if let Some(regions) = &raw.regions {
            let path = path.field("regions");
            if regions.is_empty() {
                self.note(&path, Invalid::NoEntry("region"));
            }
            if regions.len() > MAX_REGIONS {
                self.note(&path, Invalid::Regions { count: regions.len(), limit: MAX_REGIONS });
            }
            for (index, region) in regions.iter().enumerate().filter(|(_, region)| !is_region(region)) {
                self.note(&path.index(index), Invalid::Region(region.clone()));
            }
        }
        (count, memory.unwrap_or(DEFAULT_MEMORY_MB))
    }

    /// Rules that read, and that differ from one another and from `before`.
    fn rules(&mut self, path: &Path, texts: &[String], before: &[Promise]) -> Vec<Promise> {
        let mut promises: Vec<Promise> = Vec::new();
        if !self.counted(path, "rules", texts.len(), MAX_RULES) {
            return promises;
        }
        for (index, text) in texts.iter().enumerate() {
            let path = path.index(index);
            let Some(rule) = self.take(&path, text.parse::<Rule>()) else { continue };
            match before.iter().chain(&promises).find(|(_, other)| same_promise(other, &rule)) {
                Some((first, _)) => {
                    let first = first.clone();
                    self.note(&path, Invalid::DuplicateRule { rule: rule.text().to_owned(), first });
                }
                None => promises.push((path, rule)),
            }
        }
        promises
    }

    fn attacks(&mut self, path: &Path, raw: &RawConfig, promises: &[Promise]) -> Vec<Attack> {
        if raw.attacks.is_empty() {
            self.note(path, Invalid::NoAttacks);
        }
        if !self.counted(path, "attacks", raw.attacks.len(), MAX_ATTACKS) {
            return Vec::new();
        }
        let mut names = HashMap::new();
        let mut attacks = Vec::new();
        for (index, attack) in raw.attacks.iter().enumerate() {
            let path = path.index(index);
            self.name(&path.field("name"), &attack.name);
            if let Some(first) = names.insert(attack.name.trim(), path.clone()) {
                let name = attack.name.trim().to_owned();
                self.note(&path.field("name"), Invalid::DuplicateName { name, first });
            }
            attacks.extend(self.attack(&path, attack, promises));
        }
        self.search(path, raw, &attacks);
        if raw.order == Order::Sequence {
            let total = attacks.iter().map(|attack: &Attack| attack.load.duration()).sum();
            self.at_most(path, total, LONGEST);
        }
        attacks
    }

    /// A search decides by its promises alone, on a target that nothing else loads.
    fn search(&mut self, path: &Path, raw: &RawConfig, attacks: &[Attack]) {
        let is_search = |attack: &RawAttack| matches!(attack.load, Some(RawLoad::Search { .. }));
        let Some(index) = raw.attacks.iter().position(is_search) else { return };
        let path = path.index(index).field("load").field("search");
        if raw.attacks.len() > 1 {
            self.note(&path, Invalid::SearchBesideOthers(raw.attacks.len()));
        }
        if raw.slo.is_empty() && raw.attacks[index].slo.is_empty() {
            self.note(&path, Invalid::SearchWithoutPromise);
        } else if attacks.iter().any(|attack| !attack.slo.iter().any(|rule| rule.metric() == Metric::Errors))
        {
            self.note(&path, Invalid::SearchWithoutErrors);
        }
        if raw.stop_if.is_some() {
            self.note(&Path::default().field("stop_if"), Invalid::SearchStopped);
        }
        let rate = attacks.iter().flat_map(|attack| &attack.slo).find(|rule| rule.metric() == Metric::Rate);
        if let Some(rule) = rate {
            self.note(&path, Invalid::SearchForRate(rule.text().to_owned()));
        }
    }

    fn attack(&mut self, path: &Path, raw: &RawAttack, promises: &[Promise]) -> Option<Attack> {
        let load = self.load_of(path, raw);
        let timeout = raw.timeout.as_ref().map_or(Some(DEFAULT_TIMEOUT), |text| {
            let path = path.field("timeout");
            let timeout = self.positive_duration(&path, text)?;
            self.at_most(&path, timeout, MAX_TIMEOUT)
        });
        let think = self.think(path, raw);
        self.arrivals(path, raw);
        let connections = self.connections(&path.field("connections"), raw.connections);
        let warm_up = self.warm_up(&path.field("warm_up"), raw);
        let own = self.rules(&path.field("slo"), &raw.slo, promises);
        let resources = self.resources(&path.field("resources"), &raw.resources);
        let autoscaling =
            raw.autoscaling.as_ref().and_then(|raw| self.autoscaling(&path.field("autoscaling"), raw));
        let requests = self.requests_of(path, raw);
        Some(Attack {
            name: raw.name.trim().to_owned(),
            load: load?,
            requests,
            timeout: timeout?,
            arrivals: raw.arrivals,
            connections,
            warm_up,
            think,
            slo: promises.iter().chain(&own).map(|(_, rule)| rule.clone()).collect(),
            resources,
            autoscaling,
        })
    }
}

/// How long a run may take, and as a config writes it.
const LONGEST: (Duration, &str) = (MAX_DURATION, "30d");

/// Whether a text looks like the name of an AWS region, such as `eu-west-1` or
/// `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let all = |part: &&str, is: fn(&u8) -> bool| !part.is_empty() && part.bytes().all(|byte| is(&byte));
    let Some((number, words)) = parts.split_last() else { return false };
    words.len() >= 2
        && all(number, u8::is_ascii_digit)
        && words.iter().all(|w| all(w, u8::is_ascii_lowercase))
}

/// Whether two rules say the same, however they write it.
fn same_promise(one: &Rule, other: &Rule) -> bool {
    let sign = |rule: &Rule| rule.text().split(' ').nth(1).map(str::to_owned);
    // Thresholds are read from text by the same arithmetic, so equal ones are equal in every bit.
    one.metric() == other.metric()
        && one.threshold().to_bits() == other.threshold().to_bits()
        && sign(one) == sign(other)
}
