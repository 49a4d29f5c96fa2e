//! At what level to scale out, if at all.
//!
//! Of a fleet that was loaded up to its knee, and of the demand that its owner
//! expects, the arithmetic is short:
//!
//! ```text
//! per instance  q = knee ÷ instances that were tested
//! growth        g = peak ÷ climb                     requests/s more, every second
//! headroom      h = g × scale-out delay              what arrives before help does
//! scale at      L = q × n − h                        of the smallest fleet, n: the
//!                                                    tightest, since h is the same for all
//! utilisation   u = (the binding resource's line at L × tested ÷ n) ÷ its capacity
//! ```
//!
//! So when demand climbs as fast as it may, new instances arrive as the old ones
//! reach their knee. It takes for granted that instances share the load evenly,
//! and that two do twice the work of one; where the tested fleet is the
//! smallest one, only the latter matters, and only beyond it.
//!
//! Without a knee, or a resource that binds along a line, the answer is *no
//! evidence*: a target that is made up is worse than none. Without a knee the highest
//! rate that held is known to be served, though, and may be enough: then scaling out is
//! *not needed*.

mod manifest;

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use manifest::{CustomMetric, PredefinedMetric, ScalingPolicy, TargetTracking};

use crate::knee::Knee;
use crate::regression::{Binding, Bottleneck, Line, MIN_R2};
use crate::units::display_duration;

/// How long demand takes to climb from nothing to its peak, when its owner does
/// not say: as fast as a crowd comes that was sent a link.
pub const CLIMB: Duration = Duration::from_secs(600);

/// The ratio of the knee up to which a fleet that does not scale may be used.
pub const MARGIN: f64 = 0.8;

/// The least ratio of the knee at which scaling out may begin: below it, a
/// larger smallest fleet is asked for.
pub const LEAST: f64 = 0.5;

/// The highest utilisation to scale at, as a ratio: nearer to full, it no
/// longer tells how much too high the load is.
pub const HIGHEST: f64 = 0.9;

/// What is expected of the target.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// The most requests per second that will ever be asked of it.
    pub peak: f64,
    /// How long demand takes from nothing to its peak when it climbs fastest;
    /// [`CLIMB`] where nobody knows.
    pub climb: Duration,
    /// From the moment that utilisation is too high until a new instance serves.
    pub scale_out_delay: Duration,
    /// The fewest instances there are.
    pub minimum_fleet: NonZeroU32,
    /// How many instances were behind the target when it was measured.
    pub tested_fleet: NonZeroU32,
}

/// Whether to scale out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// At this utilisation.
    ScaleAt,
    /// The smallest fleet serves the peak with a margin.
    NotNeeded,
    /// It would come too late; the fleet must be as large as the peak needs from
    /// the start.
    TooSlow,
    /// The measurements do not say.
    NoEvidence,
}

/// A recommendation, with its arithmetic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// Whether to scale out.
    pub verdict: Verdict,
    /// The resource to watch.
    pub resource: Option<String>,
    /// Its mean utilisation to scale at, as a ratio of its capacity in whole
    /// percents, rounded down.
    pub utilisation: Option<f64>,
    /// The load of one instance at which that is reached, in requests per second.
    pub rate_per_instance: Option<f64>,
    /// The fewest instances; more than declared where these leave no time.
    pub minimum_fleet: Option<u32>,
    /// How many instances the peak takes at that load.
    pub maximum_fleet: Option<u32>,
    /// How it was computed, a sentence a step; or why it was not.
    pub arithmetic: Vec<String>,
    /// For `aws application-autoscaling put-scaling-policy --cli-input-json`; words
    /// in capitals are to be replaced.
    pub target_tracking: Option<ScalingPolicy>,
    /// For `kubectl apply`: a `HorizontalPodAutoscaler` of autoscaling/v2 in YAML;
    /// words in capitals are to be replaced.
    pub hpa: Option<String>,
}

impl Scaling {
    fn without(verdict: Verdict, arithmetic: Vec<String>) -> Self {
        Self {
            verdict,
            resource: None,
            utilisation: None,
            rate_per_instance: None,
            minimum_fleet: None,
            maximum_fleet: None,
            arithmetic,
            target_tracking: None,
            hpa: None,
        }
    }

    fn no_evidence(reason: String) -> Self {
        Self::without(Verdict::NoEvidence, vec![reason])
    }
}

/// At what utilisation to scale out: see the module's arithmetic. `held` is the highest
/// rate at which the tested fleet was seen to hold, which counts where there is no knee.
///
/// The binding resource's value is taken to be the mean over the instances that
/// were tested.
#[must_use]
pub fn recommend(knee: &Knee, held: Option<f64>, binding: &Binding, demand: &Demand) -> Scaling {
    if !(demand.peak.is_finite() && demand.peak > 0.0) || demand.climb.is_zero() {
        return Scaling::no_evidence("the declared peak says nothing".to_owned());
    }
    let knee = match knee {
        Knee::Found { rate, .. } if *rate > 0.0 => *rate,
        Knee::Found { .. } => return Scaling::no_evidence("the knee is at no rate".to_owned()),
        Knee::None { reason } => return without_knee(reason, held, demand),
    };
    let tested = f64::from(demand.tested_fleet.get());
    let each = knee / tested;
    let mut words = vec![format!(
        "the knee is at {knee:.1}/s with {}: {each:.1}/s each",
        instances(demand.tested_fleet.get())
    )];
    let smallest = demand.minimum_fleet.get();
    let comfortable = MARGIN * each * f64::from(smallest);
    if demand.peak <= comfortable {
        words.push(format!(
            "the peak of {:.1}/s is within {:.0} % of what {} serve at the knee ({:.1}/s)",
            demand.peak,
            MARGIN * 100.0,
            instances(smallest),
            each * f64::from(smallest)
        ));
        return Scaling { minimum_fleet: Some(smallest), ..Scaling::without(Verdict::NotNeeded, words) };
    }
    let Some((name, line, capacity)) = usable(binding) else {
        return Scaling::no_evidence(why_not(binding));
    };
    let growth = demand.peak / demand.climb.as_secs_f64();
    let headroom = growth * demand.scale_out_delay.as_secs_f64();
    words.push(format!(
        "demand may climb to {:.1}/s within {}: {growth:.2}/s more every second",
        demand.peak,
        display_duration(demand.climb)
    ));
    words.push(format!(
        "a new instance serves after {}, and {headroom:.1}/s more are there by then",
        display_duration(demand.scale_out_delay)
    ));
    let needed = whole(headroom / (1.0 - LEAST) / each);
    let fixed = whole(demand.peak / (MARGIN * each));
    if needed >= fixed {
        words.push(format!(
            "to have that in reserve takes {}, and the peak alone takes {} without scaling",
            instances(needed),
            instances(fixed)
        ));
        return Scaling { minimum_fleet: Some(fixed), ..Scaling::without(Verdict::TooSlow, words) };
    }
    let fleet = smallest.max(needed);
    if fleet > smallest {
        words.push(format!(
            "{} would have to scale out below {:.0} % of the knee; with {} they need not",
            instances(smallest),
            LEAST * 100.0,
            instances(fleet)
        ));
    }
    let at_knee = each * f64::from(fleet);
    let mut begin = at_knee - headroom;
    words.push(format!(
        "{} reach the knee at {at_knee:.1}/s, so scaling out begins at {at_knee:.1} − {headroom:.1} = {begin:.1}/s: {:.1}/s each",
        instances(fleet),
        begin / f64::from(fleet)
    ));
    // The line is that of the fleet that was tested.
    let mut level = line.at(begin / f64::from(fleet) * tested);
    words.push(format!(
        "there {name} is at {:.2} + {:.4} × {:.1} = {level:.1} of {capacity:.1}",
        line.intercept,
        line.slope,
        begin / f64::from(fleet) * tested
    ));
    if level > HIGHEST * capacity {
        level = HIGHEST * capacity;
        let lower = line.reaches(level).unwrap_or(0.0) / tested;
        begin = lower * f64::from(fleet);
        words.push(format!(
            "above {:.0} % {name} no longer tells how much is too much: that is at {lower:.1}/s each",
            HIGHEST * 100.0
        ));
    }
    let rate = begin / f64::from(fleet);
    let percent = (level / capacity * 100.0 + 1e-9).floor();
    if rate <= 0.0 || percent < 1.0 {
        return Scaling::no_evidence(format!("{name} hardly changes before the knee"));
    }
    if line.intercept >= level / 2.0 {
        words.push(format!(
            "{name} is at {:.1} without load already, so scaling in will lag: it falls less than the load does",
            line.intercept
        ));
    }
    let largest = whole(demand.peak / rate).max(fleet);
    words.push(format!(
        "the peak of {:.1}/s takes {:.1} ÷ {rate:.1}: {}",
        demand.peak,
        demand.peak,
        instances(largest)
    ));
    let target = manifest::Target {
        // With several sources its name is one that nobody else knows.
        name: binding.metric.as_deref().unwrap_or(name),
        percent,
        level: percent / 100.0 * capacity,
        smallest: fleet,
        largest,
        scale_out_delay: demand.scale_out_delay,
    };
    Scaling {
        verdict: Verdict::ScaleAt,
        resource: Some(name.to_owned()),
        utilisation: Some(percent / 100.0),
        rate_per_instance: Some(rate),
        minimum_fleet: Some(fleet),
        maximum_fleet: Some(largest),
        arithmetic: words,
        target_tracking: Some(target.policy()),
        hpa: Some(target.hpa()),
    }
}

/// What held is at least what the tested fleet serves, and may be enough.
fn without_knee(reason: &str, held: Option<f64>, demand: &Demand) -> Scaling {
    let no_knee = format!("there is no knee: {reason}");
    let Some(held) = held.filter(|held| held.is_finite() && *held > 0.0) else {
        return Scaling::no_evidence(no_knee);
    };
    let (tested, smallest) = (demand.tested_fleet.get(), demand.minimum_fleet.get());
    let each = held / f64::from(tested);
    let together = each * f64::from(smallest);
    if demand.peak > MARGIN * together {
        return Scaling::no_evidence(format!(
            "{no_knee}; and the peak of {:.1}/s is not within {:.0} % of the {together:.1}/s that {} serve at least",
            demand.peak,
            MARGIN * 100.0,
            instances(smallest)
        ));
    }
    let words = vec![
        no_knee,
        format!(
            "{held:.1}/s is the highest rate that held, with {}: at least {each:.1}/s each",
            instances(tested)
        ),
        format!(
            "the peak of {:.1}/s is within {:.0} % of what {} serve at least ({together:.1}/s)",
            demand.peak,
            MARGIN * 100.0,
            instances(smallest)
        ),
    ];
    Scaling { minimum_fleet: Some(smallest), ..Scaling::without(Verdict::NotNeeded, words) }
}

/// The resource to watch: its name, its line and its capacity.
fn usable(binding: &Binding) -> Option<(&str, Line, f64)> {
    let binds = binding.verdict == Bottleneck::Binds;
    let capacity = binding.capacity.filter(|capacity| binds && *capacity > 0.0)?;
    let line = binding.line.filter(|line| line.r2 >= MIN_R2)?;
    Some((binding.name.as_deref()?, line, capacity))
}

fn why_not(binding: &Binding) -> String {
    match (binding.verdict, &binding.name) {
        (Bottleneck::NoEvidence, _) => {
            binding.reason.clone().unwrap_or_else(|| "nothing is known of any resource".to_owned())
        }
        (Bottleneck::Binds, Some(name)) => format!("{name} is full first, but not along a line"),
        _ => "no resource that was watched is what gives way".to_owned(),
    }
}

/// Rounded up, and not for what is only inexact.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn whole(number: f64) -> u32 {
    (number - 1e-9).ceil() as u32
}

fn instances(count: u32) -> String {
    if count == 1 { "1 instance".to_owned() } else { format!("{count} instances") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn knee(rate: f64) -> Knee {
        Knee::Found { rate, between: [rate * 0.9, rate * 1.1], response_time_ms: 8.0 }
    }

    /// With a knee, what held says no more.
    fn recommend(knee: &Knee, binding: &Binding, demand: &Demand) -> Scaling {
        super::recommend(knee, None, binding, demand)
    }

    /// A resource of 100 units: 2 and 0.04 more for each request per second.
    fn binding(name: &str) -> Binding {
        let line = Line { slope: 0.04, intercept: 2.0, r2: 0.99, standard_error: 0.001, points: 8 };
        Binding {
            verdict: Bottleneck::Binds,
            name: Some(name.to_owned()),
            metric: None,
            capacity: Some(100.0),
            line: Some(line),
            full_at: Some(2450.0),
            reason: None,
            resources: Vec::new(),
        }
    }

    fn demand(peak: f64, delay: u64, minimum: u32) -> Demand {
        let fleet = |count| NonZeroU32::new(count).unwrap();
        Demand {
            peak,
            climb: Duration::from_secs(600),
            scale_out_delay: Duration::from_secs(delay),
            minimum_fleet: fleet(minimum),
            tested_fleet: fleet(2),
        }
    }

    #[test]
    fn the_arithmetic_is_in_words_and_numbers() {
        let scaling = recommend(&knee(2000.0), &binding("cpu"), &demand(6000.0, 60, 2));
        assert_eq!(scaling.verdict, Verdict::ScaleAt);
        assert_eq!(
            scaling.arithmetic,
            [
                "the knee is at 2000.0/s with 2 instances: 1000.0/s each",
                "demand may climb to 6000.0/s within 10m: 10.00/s more every second",
                "a new instance serves after 1m, and 600.0/s more are there by then",
                "2 instances reach the knee at 2000.0/s, so scaling out begins at 2000.0 − 600.0 = 1400.0/s: 700.0/s each",
                "there cpu is at 2.00 + 0.0400 × 1400.0 = 58.0 of 100.0",
                "the peak of 6000.0/s takes 6000.0 ÷ 700.0: 9 instances",
            ]
        );
        assert_eq!(scaling.resource.as_deref(), Some("cpu"));
        assert_eq!(scaling.utilisation, Some(0.58));
        assert_eq!(scaling.rate_per_instance, Some(700.0));
        assert_eq!((scaling.minimum_fleet, scaling.maximum_fleet), (Some(2), Some(9)));
    }

    #[test]
    fn a_larger_fleet_than_was_tested_scales_at_a_higher_level() {
        // 8 instances reach the knee at 8,000/s and begin at 7,400/s: 925/s each,
        // which the two that were tested had at 1,850/s: 2 + 74 = 76.
        let scaling = recommend(&knee(2000.0), &binding("cpu"), &demand(12_000.0, 30, 8));
        assert_eq!(scaling.verdict, Verdict::ScaleAt);
        assert_eq!(scaling.utilisation, Some(0.76));
        assert_eq!(scaling.rate_per_instance, Some(925.0));
    }

    #[test]
    fn a_peak_that_the_smallest_fleet_serves_needs_no_scaling() {
        let scaling = recommend(&knee(2000.0), &binding("cpu"), &demand(1600.0, 60, 2));
        assert_eq!(scaling.verdict, Verdict::NotNeeded);
        assert_eq!(
            scaling.arithmetic[1],
            "the peak of 1600.0/s is within 80 % of what 2 instances serve at the knee (2000.0/s)"
        );
        assert_eq!((scaling.hpa, scaling.target_tracking), (None, None));
        // Which needs no resource.
        let nothing = Binding { verdict: Bottleneck::NoEvidence, name: None, line: None, ..binding("cpu") };
        assert_eq!(recommend(&knee(2000.0), &nothing, &demand(1600.0, 60, 2)).verdict, Verdict::NotNeeded);
        assert_ne!(
            recommend(&knee(2000.0), &binding("cpu"), &demand(1601.0, 60, 2)).verdict,
            Verdict::NotNeeded
        );
    }

    #[test]
    fn what_held_is_enough_without_a_knee() {
        let none = Knee::None { reason: "it is flat".to_owned() };
        let said = |peak, held| super::recommend(&none, held, &binding("cpu"), &demand(peak, 60, 3));
        // Two held 20,000/s: three serve 30,000/s, of which 80 % are 24,000.
        let scaling = said(500.0, Some(20_000.0));
        assert_eq!((scaling.verdict, scaling.minimum_fleet), (Verdict::NotNeeded, Some(3)));
        assert_eq!(
            scaling.arithmetic,
            [
                "there is no knee: it is flat",
                "20000.0/s is the highest rate that held, with 2 instances: at least 10000.0/s each",
                "the peak of 500.0/s is within 80 % of what 3 instances serve at least (30000.0/s)",
            ]
        );
        assert_eq!(said(24_000.0, Some(20_000.0)).verdict, Verdict::NotNeeded);
        let beyond = said(24_001.0, Some(20_000.0));
        assert_eq!(beyond.verdict, Verdict::NoEvidence);
        assert_eq!(
            beyond.arithmetic,
            [
                "there is no knee: it is flat; and the peak of 24001.0/s is not within 80 % of the 30000.0/s that 3 instances serve at least"
            ]
        );
        assert_eq!(said(500.0, None).verdict, Verdict::NoEvidence);
    }

    #[test]
    fn the_manifests_name_the_metric() {
        let web = Binding { metric: Some("cpu".to_owned()), ..binding("web cpu") };
        let scaling = recommend(&knee(2000.0), &web, &demand(6000.0, 60, 2));
        assert_eq!(scaling.resource.as_deref(), Some("web cpu"));
        let alone = recommend(&knee(2000.0), &binding("cpu"), &demand(6000.0, 60, 2));
        assert_eq!((scaling.target_tracking, scaling.hpa), (alone.target_tracking, alone.hpa));
    }

    #[test]
    fn a_fleet_that_leaves_no_time_must_be_larger() {
        // 10/s more every second for 3 minutes are 1,800/s, of the 2,000/s that two
        // serve: four leave 55 %.
        let scaling = recommend(&knee(2000.0), &binding("cpu"), &demand(6000.0, 180, 2));
        assert_eq!(scaling.verdict, Verdict::ScaleAt);
        assert_eq!(scaling.minimum_fleet, Some(4));
        assert!(
            scaling.arithmetic.contains(
                &"2 instances would have to scale out below 50 % of the knee; with 4 instances they need not"
                    .to_owned()
            )
        );
        assert_eq!(scaling.rate_per_instance, Some(550.0));
    }

    #[test]
    fn scaling_that_comes_too_late_is_no_scaling() {
        // 6 of 10 minutes: 3,600/s, which take 8 instances in reserve; the peak
        // takes 6,000 ÷ 800 = 8 without.
        let scaling = recommend(&knee(2000.0), &binding("cpu"), &demand(6000.0, 360, 2));
        assert_eq!((scaling.verdict, scaling.minimum_fleet), (Verdict::TooSlow, Some(8)));
        assert_eq!(scaling.hpa, None);
    }

    #[test]
    fn utilisation_near_full_is_not_scaled_at() {
        let mut steep = binding("cpu");
        steep.line = steep.line.map(|line| Line { slope: 0.0485, ..line });
        // 2 + 0.0485 × 1,999 = 98.95; 90 is at 88 ÷ 0.0485 ÷ 2 = 907.2/s.
        let scaling = recommend(&knee(2000.0), &steep, &demand(3000.0, 0, 2));
        assert_eq!(scaling.utilisation, Some(0.9));
        assert!((scaling.rate_per_instance.unwrap() - 907.216).abs() < 0.001);
    }

    #[test]
    fn what_was_not_measured_is_no_evidence() {
        let demand = demand(6000.0, 60, 2);
        let reason = |knee: &Knee, binding: &Binding, demand: &Demand| {
            let scaling = recommend(knee, binding, demand);
            assert_eq!((scaling.verdict, scaling.utilisation), (Verdict::NoEvidence, None));
            scaling.arithmetic.concat()
        };
        let flat = Knee::None { reason: "it is flat".to_owned() };
        assert_eq!(reason(&flat, &binding("cpu"), &demand), "there is no knee: it is flat");
        let none_binds = Binding { verdict: Bottleneck::NoneBinds, ..binding("cpu") };
        assert_eq!(
            reason(&knee(2000.0), &none_binds, &demand),
            "no resource that was watched is what gives way"
        );
        let blind = Binding { verdict: Bottleneck::NoEvidence, ..binding("cpu") };
        assert_eq!(reason(&knee(2000.0), &blind, &demand), "nothing is known of any resource");
        let cpu = "nobody says when cpu is full";
        let endless = Binding { reason: Some(cpu.to_owned()), ..blind };
        assert_eq!(reason(&knee(2000.0), &endless, &demand), cpu);
        let jump = Binding { line: None, ..binding("locks") };
        assert_eq!(reason(&knee(2000.0), &jump, &demand), "locks is full first, but not along a line");
        // Nor along one through points that do not lie on it.
        let mut bent = binding("locks");
        bent.line = bent.line.map(|line| Line { r2: 0.79, ..line });
        assert_eq!(reason(&knee(2000.0), &bent, &demand), "locks is full first, but not along a line");
        let endless = Demand { peak: f64::INFINITY, ..demand };
        assert_eq!(reason(&knee(2000.0), &binding("cpu"), &endless), "the declared peak says nothing");
    }

    #[test]
    fn a_resource_that_is_half_full_when_idle_is_pointed_out() {
        let mut memory = binding("memory");
        memory.line = memory.line.map(|line| Line { intercept: 40.0, slope: 0.025, ..line });
        let scaling = recommend(&knee(2000.0), &memory, &demand(6000.0, 60, 2));
        // 40 + 0.025 × 1,400 = 75.
        assert_eq!(scaling.utilisation, Some(0.75));
        assert!(scaling.arithmetic.iter().any(|step| step.starts_with("memory is at 40.0 without load")));
    }

    #[test]
    fn its_json_comes_back() {
        let scaling = recommend(&knee(2000.0), &binding("cpu"), &demand(6000.0, 60, 2));
        let text = serde_json::to_string(&scaling).unwrap();
        assert!(text.starts_with(r#"{"verdict":"scale_at","resource":"cpu","utilisation":0.58"#));
        assert_eq!(serde_json::from_str::<Scaling>(&text).unwrap(), scaling);
    }

    proptest! {
        /// While demand climbs as fast as declared, a fleet of any size from the
        /// smallest on reaches its knee no sooner than help arrives.
        #[test]
        fn help_arrives_before_the_knee(
            knee_rate in 10.0_f64..10_000.0,
            peak in 10.0_f64..100_000.0,
            climb in 10_u64..10_000,
            delay in 0_u64..2000,
            minimum in 1_u32..50,
        ) {
            let mut demand = demand(peak, delay, minimum);
            demand.climb = Duration::from_secs(climb);
            let mut full = binding("cpu");
            // 2 when idle, and full a bit above the knee.
            full.line = full.line.map(|line| Line { slope: 90.0 / knee_rate, ..line });
            let scaling = recommend(&knee(knee_rate), &full, &demand);
            if scaling.verdict == Verdict::ScaleAt {
                let fleet = f64::from(scaling.minimum_fleet.unwrap());
                let rate = scaling.rate_per_instance.unwrap();
                let by_then = rate * fleet + peak / climb as f64 * delay as f64;
                prop_assert!(by_then <= knee_rate / 2.0 * fleet * (1.0 + 1e-9));
                prop_assert!(rate * f64::from(scaling.maximum_fleet.unwrap()) >= peak * (1.0 - 1e-9));
                let utilisation = scaling.utilisation.unwrap();
                prop_assert!(utilisation > 0.0 && utilisation <= HIGHEST);
                prop_assert!(scaling.maximum_fleet >= scaling.minimum_fleet);
                prop_assert!(scaling.minimum_fleet.unwrap() >= minimum);
            }
        }
    }
}
