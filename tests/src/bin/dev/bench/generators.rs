//! The generators that are compared: how each is started for the same load, and
//! where it says how much it sent.

use std::path::PathBuf;
use std::time::Duration;

use super::figures::{count_before, count_behind, json_number};
use super::pinned::Job;
use crate::Failure;
use crate::launch::Folder;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generator {
    /// DeathStar, as it comes.
    DeathStar,
    /// DeathStar with its general HTTP client.
    Rich,
    Wrk,
    Oha,
    H2load,
    Ab,
    Hey,
}

use Generator::{Ab, DeathStar, H2load, Hey, Oha, Rich, Wrk};

/// What is asked of a generator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) url: &'a str,
    pub(super) connections: u32,
    pub(super) seconds: u64,
    pub(super) kind: Kind,
}

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each connection asks again when it was answered.
    Closed,
    /// As [`Kind::Closed`], and with a new connection each time.
    Closing,
    /// So many a second, whatever the target does.
    Rate(u32),
}

/// Where the programs are.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) deathstar: PathBuf,
    pub(super) oha: PathBuf,
    /// Trusted by those who verify.
    pub(super) certificate: PathBuf,
}

impl Generator {
    pub(super) fn name(self) -> &'static str {
        match self {
            DeathStar => "deathstar",
            Rich => "deathstar, `engine: rich`",
            Wrk => "wrk",
            Oha => "oha",
            H2load => "h2load",
            Ab => "ab",
            Hey => "hey",
        }
    }

    /// Whether it is this project's, whose counts must be the target's.
    pub(super) fn is_ours(self) -> bool {
        matches!(self, DeathStar | Rich)
    }

    /// How it is started for a load, and how a table names that.
    pub(super) fn job(
        self,
        programs: &Programs,
        folder: &Folder,
        load: &Load<'_>,
    ) -> Result<(Job, String), Failure> {
        if self.is_ours() {
            return self.run_of(programs, folder, load);
        }
        let connections = load.connections.to_string();
        let seconds = load.seconds.to_string();
        let with_unit = format!("{seconds}s");
        let rate = if let Kind::Rate(rate) = load.kind { rate.to_string() } else { String::new() };
        let mut words = match self {
            Wrk => vec!["-t1", "-c", &connections, "-d", &with_unit],
            Oha => vec!["--no-tui", "--output-format", "json", "-c", &connections, "-z", &with_unit],
            H2load => vec!["--h1", "-t1", "-c", &connections, "-D", &seconds],
            // A time limit sets the number of requests, so it comes first.
            Ab => vec!["-q", "-k", "-c", &connections, "-t", &seconds, "-n", "5000000"],
            _ => vec!["-c", &connections, "-z", &with_unit],
        };
        match (self, load.kind) {
            (_, Kind::Closed) => {}
            (Oha, Kind::Closing) => words.push("--disable-keepalive"),
            (Oha, Kind::Rate(_)) => words.extend(["-q", &rate, "--latency-correction"]),
            _ => return Err(format!("{} is not asked for {:?}", self.name(), load.kind)),
        }
        let program = match self {
            Oha => programs.oha.clone(),
            other => PathBuf::from(other.name()),
        };
        let title =
            format!("{} {}", self.name(), words.join(" ")).replace(" --no-tui --output-format json", "");
        let job = Job::new(&program).args(&words).args(&[load.url]);
        Ok((job.env("SSL_CERT_FILE", &programs.certificate), title))
    }

    /// `deathstar run` of a config, as anybody would.
    fn run_of(self, programs: &Programs, folder: &Folder, load: &Load<'_>) -> Result<(Job, String), Failure> {
        let engine = if self == Rich { "rich" } else { "auto" };
        let Load { url, connections, seconds, .. } = load;
        let profile = match load.kind {
            Kind::Rate(rate) => format!("rate: {rate}/s\n    duration: {seconds}s"),
            _ => format!("load: {{ users: {{ count: {connections}, for: {seconds}s }} }}"),
        };
        let bounded = matches!(load.kind, Kind::Rate(_)) && *connections > 0;
        // Without a bound it opens as many as it needs; those it needs for what a stall
        // of half a second holds up are there before.
        let bound = match load.kind {
            Kind::Rate(_) if bounded => format!("    connections: {connections}\n"),
            Kind::Rate(rate) => format!("    warm_up: {}\n", rate / 2 + 100),
            _ => String::new(),
        };
        let config = format!(
            "name: bench\nworkers: 1\nattacks:\n  - name: bench\n    url: {url}\n    engine: {engine}\n    {profile}\n{bound}"
        );
        let config = folder.write(&format!("{engine}.yaml"), &config)?;
        let job = run(programs, folder, &config.display().to_string());
        let limit = if bounded { format!(", {connections} connections") } else { String::new() };
        Ok((job, format!("{}{limit}", self.name())))
    }

    /// How many requests it says it made.
    pub(super) fn own_count(self, output: &str) -> Option<u64> {
        match self {
            DeathStar | Rich => Arrivals::of(output).map(|arrivals| arrivals.sent()),
            Wrk => count_before(output, " requests in "),
            Oha => ok_responses(output),
            H2load => count_before(output, " total, "),
            Ab => count_behind(output, "Complete requests:"),
            Hey => count_behind(output, "[200]"),
        }
    }
}

/// `deathstar run CONFIG --output json`, with its home in `folder`.
pub(super) fn run(programs: &Programs, folder: &Folder, config: &str) -> Job {
    let job = Job::new(&programs.deathstar).args(&["run", "--quiet", "--output", "json", config]);
    job.env("DEATHSTAR_HOME", folder.path()).env("SSL_CERT_FILE", &programs.certificate)
}

/// Responses with status 200 that oha counted.
fn ok_responses(json: &str) -> Option<u64> {
    let codes = &json[json.find("\"statusCodeDistribution\"")?..];
    count_behind(codes, "\"200\":")
}

/// What became of the requests of our own run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrivals {
    pub(super) scheduled: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) timed_out: u64,
}

impl Arrivals {
    /// Those of a report's first attack.
    pub(super) fn of(report: &str) -> Option<Self> {
        let count = |name: &str| {
            let number = json_number(report, &["attacks", "arrivals", name])?;
            // Counts are whole, and below what a double holds exactly.
            format!("{number:.0}").parse().ok()
        };
        Some(Self {
            scheduled: count("scheduled")?,
            completed: count("completed")?,
            failed: count("failed")?,
            timed_out: count("timed_out")?,
        })
    }

    /// Requests that left.
    pub(super) fn sent(&self) -> u64 {
        self.completed + self.failed + self.timed_out
    }
}

/// Time from an alignment on: how long until the clock of a target that stalls
/// each `every` shows `phase`.
pub(super) fn until_phase(elapsed: Duration, every: Duration, phase: Duration) -> Duration {
    let (every, phase) = (every.as_nanos(), phase.as_nanos());
    let ahead = (every + phase - elapsed.as_nanos() % every) % every;
    Duration::from_nanos(u64::try_from(ahead).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    // Each is from a run of the version that its line names.
    const WRK_4_1_0: &str = "    Req/Sec    62.80k     3.90k   70.04k    70.00%\n  62414 requests in 1.00s, 9.94MB read\n\
                             Requests/sec:  62304.03\nTransfer/sec:      9.92MB\n";
    const H2LOAD_1_52_0: &str = "finished in 1.00s, 63550.00 req/s, 10.12MB/s\n\
        requests: 63550 total, 63614 started, 63550 done, 63550 succeeded, 0 failed, 0 errored, 0 timeout\n\
        status codes: 63550 2xx, 0 3xx, 0 4xx, 0 5xx\n";
    const AB_2_3: &str = "Time taken for tests:   1.001 seconds\nComplete requests:      62908\nFailed requests:        0\n\
                          Requests per second:    62865.25 [#/sec] (mean)\n";
    const HEY_0_1_4: &str = "  resp read:\t0.0001 secs, 0.0000 secs, 0.0322 secs\n\nStatus code distribution:\n  \
                             [200]\t14157 responses\n";

    const OHA_1_16_0: &str = r#"{
  "summary": { "successRate": 1.0, "total": 1.002188092, "requestsPerSec": 58243.55773726356 },
  "latencyPercentiles": { "p50": 0.000620145, "p95": 0.003339007, "p99": 0.006465067, "p99.9": 0.075657594 },
  "statusCodeDistribution": {
    "200": 58307
  },
  "errorDistribution": {
    "aborted due to deadline": 64
  }
}"#;

    #[test]
    fn every_generator_says_how_much_it_sent() {
        assert_eq!(Wrk.own_count(WRK_4_1_0), Some(62414));
        assert_eq!(H2load.own_count(H2LOAD_1_52_0), Some(63550));
        assert_eq!(Oha.own_count(OHA_1_16_0), Some(58307));
        assert_eq!(json_number(OHA_1_16_0, &["latencyPercentiles", "p99.9"]), Some(0.075_657_594));
        assert_eq!(json_number(OHA_1_16_0, &["summary", "requestsPerSec"]), Some(58_243.557_737_263_56));
        assert_eq!(Ab.own_count(AB_2_3), Some(62908));
        assert_eq!(Hey.own_count(HEY_0_1_4), Some(14157));
        for generator in [DeathStar, Wrk, Oha, H2load, Ab, Hey] {
            assert_eq!(generator.own_count("it broke"), None, "{generator:?}");
        }
    }

    #[test]
    fn what_left_is_what_ended_in_one_way_or_another() {
        let report = r#"{"attacks": [{"name": "a", "arrivals": {"scheduled": 20, "completed": 10, "failed": 2,
            "timed_out": 1, "dropped": 4, "lost": 3}}]}"#;
        let arrivals = Arrivals { scheduled: 20, completed: 10, failed: 2, timed_out: 1 };
        assert_eq!(Arrivals::of(report), Some(arrivals));
        assert_eq!(arrivals.sent(), 13);
    }

    #[test]
    fn peers_are_asked_for_the_same_load() {
        let programs = Programs {
            deathstar: "deathstar".into(),
            oha: Path::new("tools/oha").into(),
            certificate: "cert.pem".into(),
        };
        let folder = Folder::new("generators").unwrap();
        let load = Load { url: "http://127.0.0.1:1/", connections: 64, seconds: 5, kind: Kind::Rate(10_000) };
        let (_, title) = Oha.job(&programs, &folder, &load).unwrap();
        assert_eq!(title, "oha -c 64 -z 5s -q 10000 --latency-correction");
        assert!(Wrk.job(&programs, &folder, &load).is_err(), "wrk keeps no rate");
        let (_, title) = Ab.job(&programs, &folder, &Load { kind: Kind::Closed, ..load }).unwrap();
        assert_eq!(title, "ab -q -k -c 64 -t 5 -n 5000000");
    }

    #[test]
    fn a_phase_is_waited_for_once() {
        let ms = Duration::from_millis;
        assert_eq!(until_phase(ms(0), ms(5000), ms(2000)), ms(2000));
        assert_eq!(until_phase(ms(11_000), ms(5000), ms(2000)), ms(1000));
        assert_eq!(until_phase(ms(14_000), ms(5000), ms(2000)), ms(3000));
        assert_eq!(until_phase(ms(12_000), ms(5000), ms(2000)), ms(0));
    }
}
