//! A report as a program reads it, and what every one of them must say.

use std::collections::BTreeMap;

use serde_json::Value;

/// The ledger of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrivals {
    pub(crate) scheduled: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) timed_out: u64,
    pub(crate) dropped: u64,
    pub(crate) lost: u64,
}

impl Arrivals {
    fn of(measured: &Value) -> Self {
        let count = |name: &str| measured["arrivals"][name].as_u64().expect("a count");
        Self {
            scheduled: count("scheduled"),
            completed: count("completed"),
            failed: count("failed"),
            timed_out: count("timed_out"),
            dropped: count("dropped"),
            lost: count("lost"),
        }
    }

    /// What went out: a target that answers has counted as many.
    pub(crate) fn sent(&self) -> u64 {
        self.completed + self.failed + self.timed_out
    }
}

/// A report that holds together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report(pub(crate) Value);

impl Report {
    /// A report, or nothing when this is another document.
    ///
    /// # Panics
    /// When it is a report that does not hold together.
    pub(crate) fn checked(document: Value) -> Option<Self> {
        document.get("run_id")?;
        assert_eq!(document["schema"], 1);
        for attack in document["attacks"].as_array().expect("attacks") {
            check(attack);
            let requests = attack["requests"].as_array().expect("requests");
            requests.iter().for_each(check);
            for count in ["completed", "failed", "timed_out", "dropped"] {
                let sum: u64 =
                    requests.iter().map(|request| request["arrivals"][count].as_u64().unwrap()).sum();
                assert_eq!(attack["arrivals"][count], sum, "{count} of all requests: {attack:#}");
            }
            let all =
                |count: &str| -> u64 { moments(attack).map(|moment| moment[count].as_u64().unwrap()).sum() };
            let Arrivals { scheduled, lost, .. } = Arrivals::of(attack);
            let ended = all("completed") + all("errors");
            assert_eq!(ended + lost, scheduled, "the timeline adds up: {attack:#}");
            // What was lost was never written, or written while it was under way: then
            // its second counts it as due.
            let due = all("scheduled");
            assert!((ended..=scheduled).contains(&due), "{due} due in the timeline: {attack:#}");
        }
        Some(Self(document))
    }

    /// An attack, by its name.
    #[track_caller]
    pub(crate) fn attack(&self, name: &str) -> &Value {
        named(&self.0["attacks"], name)
    }

    /// The ledger of the first attack.
    pub(crate) fn arrivals(&self) -> Arrivals {
        Arrivals::of(&self.0["attacks"][0])
    }

    /// The ledger of an attack.
    #[track_caller]
    pub(crate) fn arrivals_of(&self, attack: &str) -> Arrivals {
        Arrivals::of(self.attack(attack))
    }

    /// The ledger of a request of the first attack.
    #[track_caller]
    pub(crate) fn arrivals_of_request(&self, request: &str) -> Arrivals {
        Arrivals::of(named(&self.0["attacks"][0]["requests"], request))
    }

    /// Failures of the first attack by class.
    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        counts(&self.0["attacks"][0]["errors"])
    }

    /// Responses of the first attack by status.
    pub(crate) fn statuses(&self) -> BTreeMap<String, u64> {
        counts(&self.0["attacks"][0]["status_codes"])
    }

    /// `passed`, `failed` or `inconclusive`.
    pub(crate) fn verdict(&self) -> &str {
        self.0["verdict"].as_str().unwrap()
    }

    /// All reasons in one text.
    pub(crate) fn reasons(&self) -> String {
        let reasons = self.0["reasons"].as_array().unwrap();
        reasons.iter().map(|reason| reason.as_str().unwrap()).collect::<Vec<_>>().join("\n")
    }

    /// A time of the first attack, in milliseconds.
    #[track_caller]
    pub(crate) fn time(&self, histogram: &str, point: &str) -> f64 {
        self.0["attacks"][0][histogram][point].as_f64().expect("a time")
    }
}

/// Everything that was due is accounted for, once.
fn check(measured: &Value) {
    let arrivals = Arrivals::of(measured);
    let Arrivals { scheduled, completed, failed, timed_out, dropped, lost } = arrivals;
    assert_eq!(scheduled, completed + failed + timed_out + dropped + lost, "{measured:#}");
    let errors = counts(&measured["errors"]);
    assert_eq!(errors.values().sum::<u64>(), failed, "every failure has a class: {measured:#}");
    let classes = ["dns", "refused", "reset", "tls", "protocol", "status", "body", "redirect", "aborted"];
    assert!(errors.keys().all(|class| classes.contains(&class.as_str())), "{errors:?}");
    let statuses = counts(&measured["status_codes"]);
    let answered = statuses.values().sum::<u64>();
    let by_status = errors.get("status").copied().unwrap_or(0);
    assert!(answered >= completed + by_status && answered <= completed + failed, "{measured:#}");
    let judged = scheduled - lost;
    let ratio = (judged > 0).then(|| (failed + timed_out + dropped) as f64 / judged as f64);
    assert_eq!(measured["error_ratio"].as_f64(), ratio, "{measured:#}");
    for times in ["response_time_ms", "service_time_ms", "failure_time_ms", "connect_time_ms", "tls_time_ms"]
    {
        let times = &measured[times];
        let known: Vec<f64> = ["min", "p50", "p90", "p95", "p99", "p999", "p9999", "max"]
            .iter()
            .filter_map(|point| times[point].as_f64())
            .collect();
        assert!(known.is_empty() || known.len() == 8, "all or none: {times}");
        assert!(known.is_sorted(), "percentiles rise: {times}");
    }
    let timed = measured["response_time_ms"]["p50"].is_number();
    assert_eq!(timed, completed + timed_out > 0, "{measured:#}");
    assert_eq!(measured["failure_time_ms"]["p50"].is_number(), failed > 0, "{measured:#}");
}

fn moments(attack: &Value) -> impl Iterator<Item = &Value> {
    attack["timeline"].as_array().expect("a timeline").iter()
}

fn counts(map: &Value) -> BTreeMap<String, u64> {
    let map = map.as_object().expect("counts by name");
    map.iter().map(|(name, count)| (name.clone(), count.as_u64().expect("a count"))).collect()
}

#[track_caller]
fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let mut all = list.as_array().expect("a list").iter();
    all.find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name} in {list:#}"))
}
