//! What a config would do, before it does.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::num::NonZeroU32;

use deathstar_statemachine::arrivals::Spacing;
use deathstar_statemachine::config::{Carrier, HttpVersion};
use deathstar_statemachine::cost::display_usd;
use deathstar_statemachine::load::Load;
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::schedule::Schedule;
use deathstar_statemachine::units::display_duration;
use serde::Serialize;

use super::format::{counted, grouped, percent, rate, seconds};

/// The mode of runs on AWS.
const AWS: &str = "aws";

/// A plan in short, for people and programs. Rates are per second, times in
/// seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    name: String,
    mode: String,
    workers: u32,
    connections_per_worker: u32,
    slices: u32,
    duration_s: f64,
    requests: Option<u64>,
    attacks: Vec<AttackSummary>,
    /// Whether it is a search: what it takes is known at most.
    searches: bool,
    /// 0 on one's own machine.
    cost_usd: f64,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct AttackSummary {
    name: String,
    profile: String,
    describes: String,
    starts_at_s: f64,
    duration_s: f64,
    requests: Option<u64>,
    users: Option<u32>,
    peak_rate: f64,
    peak_rate_per_worker: f64,
    timeout_s: f64,
    /// How requests follow each other; nothing in the closed model.
    arrivals: Option<Spacing>,
    /// The most connections, over all workers, if the config says.
    connections: Option<u32>,
    /// How many of them are opened before the load begins.
    warm_up: u32,
    /// What sends the requests; more than one where the requests differ.
    engines: Vec<&'static str>,
    /// What takes the rich one, where it is taken for that.
    engine_for: Vec<&'static str>,
    /// The version of HTTP they are in.
    http_version: HttpVersion,
    /// How many redirects are followed for each.
    redirects: u32,
    /// What they go through.
    proxy: Option<String>,
    /// What is read of the target beside the load.
    resources: Vec<ResourceSummary>,
    mix: Vec<(String, u32)>,
    slo: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ResourceSummary {
    name: String,
    source: String,
    every_s: f64,
}

impl Summary {
    pub(crate) fn of(plan: &Plan) -> Self {
        let attacks = plan.config.attacks().iter().zip(plan.spans()).map(|(attack, span)| {
            let peak_rate = attack.load.peak_rate().as_per_second();
            AttackSummary {
                name: attack.name.clone(),
                profile: attack.load.name().to_owned(),
                describes: describe(&attack.load),
                starts_at_s: span.start as f64 / 1e6,
                duration_s: (span.end - span.start) as f64 / 1e6,
                requests: Schedule::of(&attack.load).map(|schedule| schedule.total()),
                users: match attack.load {
                    Load::Users { count, .. } => Some(count.get()),
                    _ => None,
                },
                peak_rate,
                peak_rate_per_worker: peak_rate / f64::from(plan.workers.get()),
                timeout_s: attack.timeout.as_secs_f64(),
                arrivals: attack.load.is_open().then_some(attack.arrivals),
                connections: attack.connections.map(NonZeroU32::get),
                warm_up: attack.warm_up,
                engines: attack
                    .requests
                    .iter()
                    .map(|request| request.carrier)
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .map(Carrier::name)
                    .collect(),
                engine_for: attack
                    .requests
                    .first()
                    .map(|request| request.http.beyond_fast())
                    .unwrap_or_default(),
                http_version: attack
                    .requests
                    .iter()
                    .map(|request| request.http.version)
                    .max()
                    .unwrap_or_default(),
                redirects: attack.requests_each() - 1,
                proxy: attack.requests.iter().find_map(|request| {
                    request.http.proxy.as_ref().map(|url| url.origin().ascii_serialization())
                }),
                resources: attack
                    .resources
                    .iter()
                    .map(|probe| ResourceSummary {
                        name: probe.name.clone(),
                        source: probe.source.to_string(),
                        every_s: probe.every.as_secs_f64(),
                    })
                    .collect(),
                mix: attack
                    .requests
                    .iter()
                    .map(|request| (request.name.clone(), request.weight.get()))
                    .collect(),
                slo: attack.slo.iter().map(ToString::to_string).collect(),
            }
        });
        Self {
            name: plan.config.name().to_owned(),
            mode: plan.place.mode.clone(),
            workers: plan.workers.get(),
            connections_per_worker: plan.connections.get(),
            slices: plan.slices(0, plan.load_end()),
            duration_s: plan.load_end() as f64 / 1e6,
            requests: plan.scheduled(),
            attacks: attacks.collect(),
            searches: plan.config.search().is_some(),
            cost_usd: plan.cost_usd(),
            warnings: plan.warnings.clone(),
        }
    }

    /// For people, ending in a line break.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let random = self.attacks.iter().any(|attack| attack.arrivals == Some(Spacing::Poisson));
        let about = if random { "about " } else { "" };
        let requests = self.requests.map_or_else(
            || {
                let it_takes = if self.searches { "the search takes" } else { "its users get answered" };
                format!("as many requests as {it_takes}")
            },
            |requests| format!("{about}{}", counted(requests, "request")),
        );
        let at_most = if self.searches { "at most " } else { "" };
        let remote = self.mode == AWS;
        let place = if remote { "AWS" } else { "this machine" };
        let _ =
            writeln!(text, "{}: {requests} in {at_most}{} on {place}", self.name, seconds(self.duration_s));
        let _ = writeln!(
            text,
            "  {}{} at most {}{}",
            counted(u64::from(self.workers), "worker"),
            if self.workers == 1 { " with" } else { ", each with" },
            counted(u64::from(self.connections_per_worker), "connection"),
            if self.cost_usd > 0.0 {
                format!(
                    "; costs {} {} USD",
                    if self.searches { "at most" } else { "about" },
                    display_usd(self.cost_usd)
                )
            } else {
                "; costs nothing".to_owned()
            },
        );
        for attack in &self.attacks {
            let _ = writeln!(text, "\n{}  {}", attack.name, attack.describes);
            if let Some(requests) = attack.requests {
                let random = attack.arrivals == Some(Spacing::Poisson);
                let about = if random { "about " } else { "" };
                let _ = writeln!(
                    text,
                    "  {about}{}, {} {} and {} a worker",
                    counted(requests, "request"),
                    if random { "as a Poisson process of at most" } else { "at most" },
                    rate(attack.peak_rate),
                    rate(attack.peak_rate_per_worker)
                );
            }
            let _ = writeln!(
                text,
                "  from {} to {at_most}{}; a request may take {}",
                seconds(attack.starts_at_s),
                seconds(attack.starts_at_s + attack.duration_s),
                seconds(attack.timeout_s)
            );
            let version = attack.http_version.to_string();
            let beside: Vec<&str> =
                attack.engine_for.iter().copied().filter(|what| *what != version).collect();
            let beside =
                if beside.is_empty() { String::new() } else { format!(" with {}", beside.join(", ")) };
            let _ = writeln!(text, "  engine: {}, {version}{beside}", attack.engines.join(" and "));
            if attack.redirects > 0 {
                let _ = writeln!(
                    text,
                    "  follows at most {} of each, which are as many requests more",
                    counted(u64::from(attack.redirects), "redirect")
                );
            }
            if let Some(proxy) = &attack.proxy {
                let _ = writeln!(text, "  through the proxy {proxy}");
            }
            if let Some(connections) = attack.connections {
                let connections = u64::from(connections);
                let bounded = match attack.http_version {
                    HttpVersion::Http1 => counted(connections, "connection"),
                    // Streams of one connection.
                    HttpVersion::Http2 => format!("{} at once", counted(connections, "request")),
                };
                let _ = writeln!(text, "  at most {bounded}");
            }
            if attack.warm_up > 0 {
                let warm_up = counted(u64::from(attack.warm_up), "connection");
                let _ = writeln!(text, "  {warm_up} opened before it begins");
            }
            for ResourceSummary { name, source, every_s } in &attack.resources {
                let _ = writeln!(text, "  reads {name} each {}: {source}", seconds(*every_s));
            }
            if attack.mix.len() > 1 {
                let mix: Vec<String> = attack
                    .mix
                    .iter()
                    .map(|(name, weight)| format!("{} × {name}", grouped(u64::from(*weight))))
                    .collect();
                let _ = writeln!(text, "  mix: {}", mix.join(", "));
            }
            if !attack.slo.is_empty() {
                let _ = writeln!(text, "  promises: {}", attack.slo.join(", "));
            }
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "\nwarning: {warning}");
        }
        text
    }
}

fn describe(load: &Load) -> String {
    match load {
        Load::Constant { rate, duration } | Load::Step { rate, duration, .. } => {
            format!("{rate} for {}", display_duration(*duration))
        }
        Load::Ramp { from, to, over, hold } => {
            let held = if hold.is_zero() {
                String::new()
            } else {
                format!(", held for {}", display_duration(*hold))
            };
            format!("from {from} to {to} over {}{held}", display_duration(*over))
        }
        Load::Steps { rates, each } => {
            let rates: Vec<String> = rates.iter().map(ToString::to_string).collect();
            format!("{}, each for {}", rates.join(", "), display_duration(*each))
        }
        Load::Burst { base, peak, warm, spike, recover, times } => format!(
            "{base} for {}, then {} of {peak} for {}, each followed by {base} for {}",
            display_duration(*warm),
            counted(u64::from(times.get()), "peak"),
            display_duration(*spike),
            display_duration(*recover)
        ),
        Load::Search(search) => format!(
            "the highest rate from {} up to {} at which its promises hold, within {}, in at most {} steps of {}",
            search.from(),
            search.up_to(),
            percent(search.tolerance()),
            search.steps_at_most(),
            display_duration(search.step())
        ),
        Load::Users { count, ramp, duration } => {
            let ramp = if ramp.is_zero() {
                String::new()
            } else {
                format!(", started over {}", display_duration(*ramp))
            };
            format!("{count} users for {}{ramp}", display_duration(*duration))
        }
    }
}
