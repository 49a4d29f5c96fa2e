//! Whether what a config says makes sense: from `raw` to a [`Config`], or to
//! everything that is wrong with it.
//!
//! A check that fails notes the problem and goes on with nothing in its place,
//! so that one reading of the list is enough to mend a config.
//!
//! The same check makes a config ready to be sent: with values at hand, each text
//! is filled before it is looked at, while errors and names repeat only what is
//! written.

mod resources;

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::problem::{Invalid, Path, Problem};
use super::raw::{
    DurationText, Json, MemoryText, PercentText, RateText, RawAttack, RawBody, RawConfig, RawCount,
    RawExpect, RawLoad, RawRequest, RawThink,
};
use super::target::{self, Base, Written};
use super::{
    Attack, Carrier, Config, DEFAULT_MEMORY_MB, DEFAULT_TIMEOUT, MAX_ATTACKS, MAX_BURSTS, MAX_CONNECTIONS,
    MAX_HEADERS, MAX_NAME, MAX_REGIONS, MAX_REQUESTS, MAX_RULES, MAX_STEPS, MAX_THINK, MAX_TIMEOUT,
    MAX_TOTAL_WEIGHT, MAX_USERS, MAX_WEIGHT, MAX_WORKERS, Order, Request, Workers, header,
};
use crate::arrivals::Spacing;
use crate::load::{Load, Think};
use crate::search::Search;
use crate::secret::{self, Reference, Secret, Segment, Text, Values};
use crate::slo::{self, Metric, Rule, StopIf};
use crate::units::{self, MAX_DURATION, Rate, UnitError};

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

    fn memory(&mut self, path: &Path, MemoryText(text): &MemoryText) -> Option<u32> {
        if units::thousandths(text.trim()).is_ok() {
            self.note(path, Invalid::MemoryUnit(text.trim().to_owned()));
            return None;
        }
        self.take(path, units::parse_memory_mb(text))
    }

    /// A whole number from 1 to `max`.
    fn whole(&mut self, path: &Path, what: &'static str, value: u64, max: u64) -> Option<NonZeroU32> {
        let fits = (1..=max).contains(&value).then_some(value);
        let number = fits.and_then(|value| u32::try_from(value).ok()).and_then(NonZeroU32::new);
        if number.is_none() {
            self.note(path, Invalid::Range { what, value, min: 1, max });
        }
        number
    }

    fn rate(&mut self, path: &Path, RateText(text): &RateText) -> Option<Rate> {
        if units::thousandths(text.trim()).is_ok() {
            self.note(path, Invalid::RateUnit(text.trim().to_owned()));
            return None;
        }
        self.take(path, text.parse::<Rate>())
    }

    /// A rate at which something is due.
    fn positive_rate(&mut self, path: &Path, text: &RateText) -> Option<Rate> {
        let rate = self.rate(path, text)?;
        if rate.is_zero() {
            self.note(path, Invalid::ZeroRate(text.0.clone()));
            return None;
        }
        Some(rate)
    }

    fn duration(&mut self, path: &Path, DurationText(text): &DurationText) -> Option<Duration> {
        if units::thousandths(text.trim()).is_ok() {
            self.note(path, Invalid::DurationUnit(text.trim().to_owned()));
            return None;
        }
        let read = units::parse_duration(text).map_err(|error| match error {
            UnitError::TooFine { text } => Invalid::FineDuration(text),
            error => error.into(),
        });
        self.take(path, read)
    }

    /// A duration longer than zero.
    fn positive_duration(&mut self, path: &Path, text: &DurationText) -> Option<Duration> {
        let duration = self.duration(path, text)?;
        if duration.is_zero() {
            self.note(path, Invalid::ZeroDuration(text.0.clone()));
            return None;
        }
        Some(duration)
    }

    fn at_most(
        &mut self,
        path: &Path,
        duration: Duration,
        limit: (Duration, &'static str),
    ) -> Option<Duration> {
        if duration > limit.0 {
            self.note(
                path,
                Invalid::LongDuration { text: units::display_duration(duration), limit: limit.1 },
            );
            return None;
        }
        Some(duration)
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

    fn load_of(&mut self, path: &Path, raw: &RawAttack) -> Option<Load> {
        let load = match (&raw.load, &raw.rate, &raw.duration) {
            (Some(load), None, None) => self.load(&path.field("load"), load),
            (Some(load), rate, duration) => {
                for (field, there) in [("rate", rate.is_some()), ("duration", duration.is_some())] {
                    if there {
                        self.note(&path.field(field), Invalid::LoadTwice(field));
                    }
                }
                self.load(&path.field("load"), load);
                None
            }
            (None, Some(rate), Some(duration)) => {
                let rate = self.positive_rate(&path.field("rate"), rate);
                let duration = self.positive_duration(&path.field("duration"), duration);
                Some(Load::Constant { rate: rate?, duration: duration? })
            }
            (None, Some(rate), None) => {
                self.positive_rate(&path.field("rate"), rate);
                self.note(&path.field("rate"), Invalid::HalfLoad { there: "rate", missing: "duration" });
                None
            }
            (None, None, Some(duration)) => {
                self.positive_duration(&path.field("duration"), duration);
                self.note(&path.field("duration"), Invalid::HalfLoad { there: "duration", missing: "rate" });
                None
            }
            (None, None, None) => {
                self.note(path, Invalid::NoLoad);
                None
            }
        }?;
        // Parts that are each short enough may still add up.
        self.at_most(&path.field("load"), load.duration(), LONGEST)?;
        Some(load)
    }

    fn load(&mut self, path: &Path, raw: &RawLoad) -> Option<Load> {
        match raw {
            RawLoad::Constant { rate, duration } => {
                let path = path.field("constant");
                let rate = self.positive_rate(&path.field("rate"), rate);
                let duration = self.positive_duration(&path.field("for"), duration);
                Some(Load::Constant { rate: rate?, duration: duration? })
            }
            RawLoad::Ramp { from, to, over, hold } => {
                let path = path.field("ramp");
                let (from_text, to_text) = (from, to);
                let from = self.rate(&path.field("from"), from);
                let to = self.rate(&path.field("to"), to);
                let over = self.positive_duration(&path.field("over"), over);
                let hold = self.optional_duration(&path.field("hold"), hold.as_ref());
                if from.zip(to).is_some_and(|(from, to)| from.is_zero() && to.is_zero()) {
                    self.note(&path, Invalid::FlatRamp { from: from_text.0.clone(), to: to_text.0.clone() });
                    return None;
                }
                Some(Load::Ramp { from: from?, to: to?, over: over?, hold: hold? })
            }
            RawLoad::Steps { rates, each } => {
                let path = path.field("steps");
                let each = self.positive_duration(&path.field("each"), each);
                let path = path.field("rates");
                if rates.is_empty() {
                    self.note(&path, Invalid::NoEntry("step"));
                    return None;
                }
                if !self.counted(&path, "steps", rates.len(), MAX_STEPS) {
                    return None;
                }
                let valid: Vec<Option<Rate>> = rates
                    .iter()
                    .enumerate()
                    .map(|(index, rate)| self.positive_rate(&path.index(index), rate))
                    .collect();
                Some(Load::Steps { rates: valid.into_iter().collect::<Option<_>>()?, each: each? })
            }
            RawLoad::Burst { base, peak, warm, spike, recover, times } => {
                let path = path.field("burst");
                let (base_text, peak_text) = (base, peak);
                let base = self.positive_rate(&path.field("base"), base);
                let peak = self.positive_rate(&path.field("peak"), peak);
                let warm = self.positive_duration(&path.field("warm"), warm);
                let spike = self.positive_duration(&path.field("spike"), spike);
                let recover = self.positive_duration(&path.field("recover"), recover);
                let times = times.map_or(Some(NonZeroU32::MIN), |times| {
                    self.whole(&path.field("times"), "number of peaks", times, MAX_BURSTS)
                });
                if base.zip(peak).is_some_and(|(base, peak)| base >= peak) {
                    let (base, peak) = (base_text.0.clone(), peak_text.0.clone());
                    self.note(&path, Invalid::FlatBurst { base, peak });
                    return None;
                }
                let (base, peak, warm) = (base?, peak?, warm?);
                Some(Load::Burst { base, peak, warm, spike: spike?, recover: recover?, times: times? })
            }
            RawLoad::Search { from, up_to, step, tolerance } => {
                let path = path.field("search");
                let from = self.positive_rate(&path.field("from"), from);
                let up_to = self.positive_rate(&path.field("up_to"), up_to);
                let step = step
                    .as_ref()
                    .map_or(Some(DEFAULT_STEP), |step| self.positive_duration(&path.field("step"), step));
                let tolerance = tolerance.as_ref().map_or(Some(DEFAULT_TOLERANCE), |PercentText(text)| {
                    let ratio = slo::percent(text.trim()).ok_or_else(|| Invalid::Tolerance(text.clone()));
                    self.take(&path.field("tolerance"), ratio)
                });
                let search = Search::new(from?, up_to?, step?, tolerance?);
                self.take(&path, search).map(Load::Search)
            }
            RawLoad::Users { count, ramp, duration } => {
                let path = path.field("users");
                let count = self.whole(&path.field("count"), "number of users", *count, u64::from(MAX_USERS));
                let ramp = self.optional_duration(&path.field("ramp"), ramp.as_ref());
                let duration = self.positive_duration(&path.field("for"), duration);
                Some(Load::Users { count: count?, ramp: ramp?, duration: duration? })
            }
        }
    }

    /// A duration that is zero when it is absent.
    fn optional_duration(&mut self, path: &Path, text: Option<&DurationText>) -> Option<Duration> {
        text.map_or(Some(Duration::ZERO), |text| self.duration(path, text))
    }

    fn think(&mut self, path: &Path, raw: &RawAttack) -> Think {
        let Some(think) = &raw.think else { return Think::default() };
        let path = path.field("think");
        // What was written, since the load itself may be wrong elsewhere.
        let open = match &raw.load {
            Some(RawLoad::Users { .. }) => None,
            Some(RawLoad::Ramp { .. }) => Some("ramp"),
            Some(RawLoad::Steps { .. }) => Some("steps"),
            Some(RawLoad::Burst { .. }) => Some("burst"),
            Some(RawLoad::Search { .. }) => Some("search"),
            Some(RawLoad::Constant { .. }) => Some("constant"),
            None => raw.rate.as_ref().map(|_| "constant"),
        };
        if let Some(load) = open {
            self.note(&path, Invalid::ThinkInOpenModel(load));
        }
        let mut pause = |path: &Path, text: &DurationText| {
            self.duration(path, text).and_then(|pause| self.at_most(path, pause, MAX_THINK))
        };
        match think {
            RawThink::Fixed(text) => {
                let pause = pause(&path, text).unwrap_or_default();
                Think { min: pause, max: pause }
            }
            RawThink::Between(range) => {
                let min = pause(&path.field("min"), &range.min);
                let max = pause(&path.field("max"), &range.max);
                let (Some(min), Some(max)) = (min, max) else { return Think::default() };
                if min > max {
                    let (min, max) = (range.min.0.clone(), range.max.0.clone());
                    self.note(&path, Invalid::ThinkOrder { min, max });
                }
                Think { min, max }
            }
        }
    }

    fn arrivals(&mut self, path: &Path, raw: &RawAttack) {
        if raw.arrivals != Spacing::Even && matches!(raw.load, Some(RawLoad::Users { .. })) {
            self.note(&path.field("arrivals"), Invalid::ArrivalsInClosedModel);
        }
    }

    fn connections(&mut self, path: &Path, number: Option<u64>) -> Option<NonZeroU32> {
        self.whole(path, "number of connections", number?, MAX_CONNECTIONS)
    }

    fn warm_up(&mut self, path: &Path, raw: &RawAttack) -> u32 {
        let warm_up = self.connections(path, raw.warm_up).map_or(0, NonZeroU32::get);
        if warm_up > 0 && Carrier::of(raw.engine) == Carrier::Rich {
            self.note(path, Invalid::WarmUpOfRich);
        }
        if let Some(limit) = raw.connections.filter(|limit| u64::from(warm_up) > *limit) {
            self.note(path, Invalid::WarmUpOverLimit { warm_up, limit });
        }
        warm_up
    }

    fn requests_of(&mut self, path: &Path, raw: &RawAttack) -> Vec<Request> {
        let shared = self.headers(&path.field("headers"), &raw.headers.0);
        let base = raw.base_url.as_ref().and_then(|text| {
            let path = path.field("base_url");
            if raw.requests.is_none() {
                self.note(&path, Invalid::LonelyBaseUrl);
            }
            let filled = self.url_text(&path, text)?;
            let base = self.take(&path, Base::read(filled.shown(text)))?;
            let sent = self.take(&path, Base::read(filled.sent(text)))?;
            Some((base, sent))
        });
        let Some(requests) = &raw.requests else {
            return self.only_request(path, raw, shared).into_iter().collect();
        };
        if raw.url.is_some() {
            self.note(&path.field("url"), Invalid::UrlBesideRequests);
        }
        for (field, there) in [
            ("method", raw.method.is_some()),
            ("body", raw.body.is_some()),
            ("json", raw.json.is_some()),
            ("body_file", raw.body_file.is_some()),
            ("body_base64", raw.body_base64.is_some()),
            ("expect", raw.expect.is_some()),
        ] {
            if there {
                self.note(&path.field(field), Invalid::BesideRequests(field));
            }
        }
        let path = path.field("requests");
        if requests.is_empty() {
            self.note(&path, Invalid::NoEntry("request"));
        }
        if !self.counted(&path, "requests", requests.len(), MAX_REQUESTS) {
            return Vec::new();
        }
        let context = Context {
            base: base.as_ref(),
            base_written: raw.base_url.is_some(),
            shared: &shared,
            carrier: Carrier::of(raw.engine),
        };
        let mut names: HashMap<String, Path> = HashMap::new();
        let mut checked = Vec::new();
        for (index, raw) in requests.iter().enumerate() {
            let path = path.index(index);
            let request = self.request(&path, raw, &context);
            let name = raw.name.as_ref().map(|name| name.trim().to_owned());
            if let Some(name) = name.or_else(|| request.as_ref().map(|request| request.name.clone()))
                && let Some(first) = names.insert(name.clone(), path.clone())
            {
                if raw.name.is_some() {
                    self.note(&path.field("name"), Invalid::DuplicateName { name, first });
                } else {
                    self.note(&path, Invalid::DuplicateDefaultName { name, first });
                }
            }
            checked.extend(request);
        }
        let total = requests.iter().map(|raw| raw.weight.unwrap_or(1)).fold(0, u64::saturating_add);
        if total > MAX_TOTAL_WEIGHT {
            self.note(&path, Invalid::TotalWeight { total, limit: MAX_TOTAL_WEIGHT });
        }
        checked
    }

    /// The request of an attack that has but one.
    fn only_request(
        &mut self,
        path: &Path,
        raw: &RawAttack,
        headers: Vec<(String, String)>,
    ) -> Option<Request> {
        let url = match &raw.url {
            Some(text) => self.absolute(&path.field("url"), text).map(|url| url.sent),
            None if raw.base_url.is_some() => None,
            None => {
                self.note(path, Invalid::NoTarget("url, or base_url with requests"));
                None
            }
        };
        let method = self.method(&path.field("method"), raw.method.as_deref());
        let (body, headers) = self.body(path, &raw.raw_body(), headers);
        let expect_status = self.expect(path, raw.expect.as_ref());
        Some(Request {
            name: raw.name.trim().to_owned(),
            weight: NonZeroU32::MIN,
            method: method?,
            url: url?,
            headers,
            body,
            expect_status,
            carrier: Carrier::of(raw.engine),
        })
    }

    fn request(&mut self, path: &Path, raw: &RawRequest, context: &Context<'_>) -> Option<Request> {
        if let Some(name) = &raw.name {
            self.name(&path.field("name"), name);
        }
        let weight = raw.weight.map_or(Some(NonZeroU32::MIN), |weight| {
            self.whole(&path.field("weight"), "weight", weight, MAX_WEIGHT)
        });
        let written = self.method(&path.field("method"), raw.method.as_deref());
        let targets = raw.targets();
        let (method, url) = match targets.as_slice() {
            [] => {
                self.note(path, Invalid::NoTarget("get, post or another method with a path, or url"));
                (None, None)
            }
            [(field, method, text)] => {
                if method.is_some() && raw.method.is_some() {
                    self.note(&path.field("method"), Invalid::MethodTwice(field));
                }
                let url = self.target(&path.field(field), field, text, context);
                (method.map(str::to_owned).or(written), url)
            }
            several => {
                self.note(path, Invalid::Targets(several.iter().map(|(field, ..)| *field).collect()));
                (None, None)
            }
        };
        let own = self.headers(&path.field("headers"), &raw.headers.0);
        let headers = header::merge(context.shared, own);
        let (body, headers) = self.body(path, &raw.raw_body(), headers);
        let expect_status = self.expect(path, raw.expect.as_ref());
        let (method, url) = (method?, url?);
        let name = match &raw.name {
            Some(name) => name.trim().to_owned(),
            None => self.default_name(&method, default_path(&targets, &url.shown)),
        };
        let (weight, url, carrier) = (weight?, url.sent, context.carrier);
        Some(Request { name, weight, method, url, headers, body, expect_status, carrier })
    }

    /// Its references read as they are written.
    fn default_name(&self, method: &str, path: &str) -> String {
        let mut name = format!("{method} {path}");
        for reference in &self.references {
            let written = reference.to_string();
            name = name.replace(&secret::percent_encoded(&written), &written);
        }
        name.chars().take(MAX_NAME).collect()
    }

    fn target(&mut self, path: &Path, field: &str, text: &str, context: &Context<'_>) -> Option<Target> {
        let is_path = text.trim_start().starts_with(['/', '?']);
        match field {
            "url" => return self.absolute(path, text),
            "path" if !is_path => self.note(path, Invalid::Path(text.to_owned())),
            _ if !is_path && !text.contains("://") => self.note(path, Invalid::Target(text.to_owned())),
            _ if !is_path => return self.absolute(path, text),
            _ => match context.base {
                Some((base, sent_base)) => {
                    let filled = self.url_text(path, text)?;
                    let shown = self.take(path, base.join(filled.shown(text)))?;
                    let sent = self.take(path, sent_base.join(filled.sent(text)))?;
                    return Some(Target { shown, sent });
                }
                // The base URL's own problem has been noted.
                None if context.base_written => {}
                None => self.note(path, Invalid::PathWithoutBase(text.to_owned())),
            },
        }
        None
    }

    fn absolute(&mut self, path: &Path, text: &str) -> Option<Target> {
        let filled = self.url_text(path, text)?;
        let shown = self.take(path, target::absolute(filled.shown(text)))?;
        let sent = self.take(path, target::absolute(filled.sent(text)))?;
        Some(Target { shown, sent })
    }

    /// A URL or a path with its references replaced.
    fn url_text(&mut self, path: &Path, written: &str) -> Option<UrlText> {
        let text = self.text(path, written)?;
        if text.references().next().is_some() {
            // What a reference stands for decides nothing about who is attacked.
            let start = target::behind_host(written).unwrap_or(written.len());
            if secret::is_special(&written[..start]) {
                self.note(path, Invalid::ReferenceInHost);
                return None;
            }
        }
        let stand_in = |reference: &Reference| secret::percent_encoded(&reference.to_string());
        let shown = text.fill(|reference| Ok::<_, Invalid>(stand_in(reference))).ok()?;
        let Some(values) = self.values else { return Some(UrlText { sent: shown.clone(), shown }) };
        let path_references = path_references(&text);
        let sent = text.fill(|reference| {
            let value = value_of(values, reference)?.expose();
            if matches!(value, "." | "..") && path_references.contains(&reference) {
                return Err(Invalid::ValueInPath(reference.clone()));
            }
            Ok(secret::percent_encoded(value))
        });
        Some(UrlText { shown, sent: self.take(path, sent)? })
    }

    /// A text in pieces; its references are remembered.
    fn text(&mut self, path: &Path, written: &str) -> Option<Text> {
        self.take(path, target::no_template(written))?;
        let text = self.take(path, Text::parse(written))?;
        self.references.extend(text.references().cloned());
        Some(text)
    }

    /// A text of a body, where every value may stand.
    fn body_text(&mut self, path: &Path, written: &str) -> Option<String> {
        let text = self.text(path, written)?;
        let values = self.values;
        let filled = text.fill(|reference| match values {
            Some(values) => Ok(value_of(values, reference)?.expose().to_owned()),
            None => Ok(reference.to_string()),
        });
        self.take::<_, Invalid>(path, filled)
    }

    /// The value of a header, where not every value may stand.
    fn header_value(&mut self, path: &Path, name: &str, written: &str) -> Option<String> {
        let text = self.text(path, written)?;
        let values = self.values;
        let filled = text.fill(|reference| {
            let Some(values) = values else { return Ok(reference.to_string()) };
            let value = value_of(values, reference)?.expose();
            let what = match header::unsendable(value) {
                None => return Ok(value.to_owned()),
                Some('\r' | '\n') => "a line break",
                Some(_) => "a character other than visible ASCII, blanks and tabs",
            };
            Err(Invalid::ValueInHeader { reference: reference.clone(), what })
        });
        let filled = self.take(path, filled)?;
        self.take(path, header::value(name, &filled))
    }

    /// A JSON body; references may stand in its texts, and not in the names of
    /// its fields.
    fn json(&mut self, path: &Path, json: &Json) -> Option<Json> {
        Some(match json {
            Json::Null | Json::Bool(_) | Json::Number(_) => json.clone(),
            Json::Text(text) => Json::Text(self.body_text(path, text)?),
            Json::List(items) => {
                let items: Vec<Option<Json>> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.json(&path.index(index), item))
                    .collect();
                Json::List(items.into_iter().collect::<Option<_>>()?)
            }
            Json::Fields(fields) => {
                let fields: Vec<Option<(String, Json)>> = fields
                    .iter()
                    .map(|(name, value)| {
                        let path = path.field(name);
                        self.take(&path, target::no_template(name));
                        self.no_reference(&path, name);
                        Some((name.clone(), self.json(&path, value)?))
                    })
                    .collect();
                Json::Fields(fields.into_iter().collect::<Option<_>>()?)
            }
        })
    }

    fn method(&mut self, path: &Path, text: Option<&str>) -> Option<String> {
        let Some(text) = text else { return Some("GET".to_owned()) };
        let method = text.to_ascii_uppercase();
        if !header::is_token(&method) {
            self.note(path, Invalid::Method(text.to_owned()));
            return None;
        }
        if method == "CONNECT" {
            self.note(path, Invalid::Connect);
            return None;
        }
        Some(method)
    }

    /// Valid headers, with names in lower case.
    fn headers(&mut self, path: &Path, written: &[(String, String)]) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = Vec::new();
        if !self.counted(path, "headers", written.len(), MAX_HEADERS) {
            return headers;
        }
        for (name, value) in written {
            let path = path.field(name);
            let Some(name) = self.take(&path, header::name(name)) else { continue };
            let Some(value) = self.header_value(&path, &name, value) else { continue };
            if headers.iter().any(|(other, _)| *other == name) {
                self.note(&path, Invalid::HeaderTwice(name));
                continue;
            }
            headers.push((name, value));
        }
        headers
    }

    /// The body's bytes, and the headers with the content type of JSON.
    fn body(
        &mut self,
        path: &Path,
        raw: &RawBody<'_>,
        mut headers: Vec<(String, String)>,
    ) -> (Vec<u8>, Vec<(String, String)>) {
        let written: Vec<&'static str> = [
            ("body", raw.text.is_some()),
            ("json", raw.json.is_some()),
            ("body_file", raw.file.is_some()),
            ("body_base64", raw.base64.is_some()),
        ]
        .into_iter()
        .filter_map(|(field, there)| there.then_some(field))
        .collect();
        let written_once = written.len() == 1;
        if written.len() > 1 {
            self.note(path, Invalid::Bodies(written));
        }
        let text = raw.text.and_then(|text| self.body_text(&path.field("body"), text));
        let json = raw.json.and_then(|json| {
            let plain = !json.any_text(&|text| secret::is_special(text) || text.contains(target::TEMPLATE));
            if plain { Some(json.compact()) } else { Some(self.json(&path.field("json"), json)?.compact()) }
        });
        if raw.json.is_some() && !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        if let Some(file) = raw.file.filter(|_| written_once) {
            self.note(&path.field("body_file"), Invalid::UnreadBodyFile(file.to_owned()));
        }
        let decoded = raw.base64.and_then(|text| {
            let bytes = BASE64.decode(text.trim()).map_err(Invalid::Base64);
            self.take(&path.field("body_base64"), bytes)
        });
        let body = text.map(String::into_bytes).or(json).or(decoded).unwrap_or_default();
        (body, headers)
    }

    fn expect(&mut self, path: &Path, raw: Option<&RawExpect>) -> Option<u16> {
        let status = raw?.status?;
        let valid = u16::try_from(status).ok().filter(|status| (100..=599).contains(status));
        if valid.is_none() {
            let what = Invalid::Range { what: "status", value: status, min: 100, max: 599 };
            self.note(&path.field("expect").field("status"), what);
        }
        valid
    }
}

/// What the requests of an attack share.
struct Context<'attack> {
    /// As it is shown, and as it is sent.
    base: Option<&'attack (Base, Base)>,
    /// Whether there is a `base_url`, valid or not.
    base_written: bool,
    shared: &'attack [(String, String)],
    carrier: Carrier,
}

/// How long a rate of a search is tried when the config does not say.
const DEFAULT_STEP: Duration = Duration::from_secs(30);
/// How near a search comes when the config does not say, as a ratio.
const DEFAULT_TOLERANCE: f64 = 0.03;

const LONGEST: (Duration, &str) = (MAX_DURATION, "30d");

/// A URL or a path, with stand-ins for its references and with their values; the
/// same where there are no values yet.
struct UrlText {
    shown: String,
    sent: String,
}

impl UrlText {
    const fn shown<'text>(&'text self, text: &'text str) -> Written<'text> {
        Written { text, filled: self.shown.as_str() }
    }

    const fn sent<'text>(&'text self, text: &'text str) -> Written<'text> {
        Written { text, filled: self.sent.as_str() }
    }
}

/// Where a request goes: the same URL twice, as for [`UrlText`].
struct Target {
    shown: url::Url,
    sent: url::Url,
}

fn value_of<'values>(values: &'values Values, reference: &Reference) -> Result<&'values Secret, Invalid> {
    values.get(reference).ok_or_else(|| Invalid::NoValue(reference.clone()))
}

/// The references of a URL that stand before its query.
fn path_references(text: &Text) -> Vec<&Reference> {
    let in_path = |segment: &&Segment| !matches!(segment, Segment::Literal(literal) if literal.contains('?'));
    text.segments()
        .iter()
        .take_while(in_path)
        .filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Reference(reference) => Some(reference),
        })
        .collect()
}

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

/// The path as the user wrote it, without its query; of a whole URL, its path.
/// Never with a value in it, since it is shown.
fn default_path<'text>(targets: &[(&str, Option<&str>, &'text str)], shown: &'text url::Url) -> &'text str {
    match targets {
        [(_, _, text)] if text.starts_with('/') => text.split('?').next().unwrap_or(text),
        _ => shown.path(),
    }
}

/// Replaces every body file by what `read` returns for it: as text if it is
/// UTF-8, in base64 if not. A file that cannot be read is replaced by nothing
/// and reported.
pub(super) fn inline_body_files(
    raw: &mut RawConfig,
    mut read: impl FnMut(&str) -> Result<Vec<u8>, String>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let attacks = Path::default().field("attacks");
    let mut inline =
        |path: Path, file: &mut Option<String>, text: &mut Option<String>, base64: &mut Option<String>| {
            let Some(name) = file.take() else { return };
            match read(&name).map(String::from_utf8) {
                Ok(Ok(content)) => *text = Some(content),
                Ok(Err(bytes)) => *base64 = Some(BASE64.encode(bytes.as_bytes())),
                Err(reason) => {
                    let what = Invalid::BodyFile { file: name, reason };
                    problems.push(Problem { path: path.field("body_file"), place: None, what });
                    *text = Some(String::new());
                }
            }
        };
    for (index, attack) in raw.attacks.iter_mut().enumerate() {
        let path = attacks.index(index);
        // Beside another body the file stays, for `check` to refuse both.
        if attack.body.is_none() && attack.json.is_none() && attack.body_base64.is_none() {
            inline(path.clone(), &mut attack.body_file, &mut attack.body, &mut attack.body_base64);
        }
        let path = path.field("requests");
        for (index, request) in attack.requests.iter_mut().flatten().enumerate() {
            if request.body.is_none() && request.json.is_none() && request.body_base64.is_none() {
                let (file, text) = (&mut request.body_file, &mut request.body);
                inline(path.index(index), file, text, &mut request.body_base64);
            }
        }
    }
    problems
}
