//! A report for people: what was sent, what came back, how long it took, what
//! may be concluded.

use std::fmt::Write;

use deathstar_statemachine::report::{
    Answer, AttackReport, Column, Confidence, Measured, Promise, Report, Times, Verdict,
};
use deathstar_statemachine::search::{Outcome, Purpose};

use super::Style;
use super::format::{bytes, counted, grouped, millis, percent, rate, seconds, time};

/// The longest bar of the distribution, in characters.
const BAR: u64 = 40;

/// The most request names that are listed.
const REQUESTS: usize = 20;

/// The report as text, ending in a line break.
pub(crate) fn report(report: &Report, style: Style) -> String {
    let mut text = String::new();
    head(&mut text, report, style);
    answers(&mut text, report, style);
    for attack in &report.attacks {
        one_attack(&mut text, attack, style);
    }
    promises(&mut text, report, style);
    generator(&mut text, report, style);
    text
}

/// Writing to a string does not fail, so every result below is dropped.
fn head(text: &mut String, report: &Report, style: Style) {
    let verdict = report.verdict.name().to_uppercase();
    let coverage = if report.coverage.ratio >= 1.0 {
        "all of it seen".to_owned()
    } else {
        format!("{} of it seen", percent(report.coverage.ratio))
    };
    let _ = writeln!(
        text,
        "{} {}  {}",
        style.verdict(report.verdict, &style.bold(&verdict)),
        style.bold(&report.name),
        style.dim(&format!("run {}", report.run_id)),
    );
    let workers = counted(u64::from(report.coverage.workers), "worker");
    let _ = writeln!(text, "{} of load from {workers}, {coverage}", seconds(report.duration_s));
    for reason in &report.reasons {
        let _ = writeln!(text, "  - {reason}");
    }
}

fn answers(text: &mut String, report: &Report, style: Style) {
    for Answer { attack, question, answer, evidence, confidence } in &report.answers {
        let sure = match confidence {
            Confidence::Confirmed => "confirmed",
            Confidence::Measured => "measured",
            Confidence::NoEvidence => "no evidence",
        };
        let of_attack = if report.attacks.len() > 1 { format!(" ({attack})") } else { String::new() };
        let _ = writeln!(text, "\n{}{of_attack}", style.bold(question));
        let _ = writeln!(text, "  {answer}  {}", style.dim(&format!("[{sure}]")));
        for fact in evidence {
            let _ = writeln!(text, "  - {fact}");
        }
    }
}

fn one_attack(text: &mut String, attack: &AttackReport, style: Style) {
    let Measured { name, arrivals, rate: rates, error_ratio, bytes: traffic, .. } = &attack.all;
    let _ = writeln!(text, "\n{}  {}", style.bold(name), style.dim(&attack.profile));
    let _ = writeln!(
        text,
        "  requests   {} due = {} completed + {} failed + {} timed out + {} dropped + {} lost",
        grouped(arrivals.scheduled),
        grouped(arrivals.completed),
        grouped(arrivals.failed),
        grouped(arrivals.timed_out),
        grouped(arrivals.dropped),
        grouped(arrivals.lost),
    );
    let _ = writeln!(
        text,
        "  rate       {} due, {} answered, {} succeeded",
        rate(rates.scheduled),
        rate(rates.achieved),
        rate(rates.succeeded)
    );
    let statuses = attack.all.status_codes.iter().map(|(status, count)| (status.as_str(), *count));
    let _ = writeln!(text, "  answers    {}", by_count(statuses).unwrap_or_else(|| "none".to_owned()));
    let errors = attack.all.errors.iter().map(|(class, count)| (class.as_str(), *count));
    let errors = by_count(errors).map_or(String::new(), |errors| format!(" ({errors})"));
    let _ = writeln!(text, "  errors     {}{errors}", error_ratio.map_or("–".to_owned(), percent));
    if attack.all.redirects > 0 {
        let _ =
            writeln!(text, "  redirects  {} followed, as many requests more", grouped(attack.all.redirects));
    }
    let _ = writeln!(text, "  traffic    {} sent, {} received", bytes(traffic.sent), bytes(traffic.received));
    times(text, &attack.all, style);
    distribution(text, &attack.distribution, style);
    if attack.requests.len() > 1 {
        requests(text, &attack.requests, style);
    }
    curve(text, attack, style);
    resources(text, attack, style);
    manifests(text, attack, style);
}

/// Names with their counts, commonest first: `503 × 12, 500 × 3`.
fn by_count<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> Option<String> {
    let mut counts: Vec<_> = counts.collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let all: Vec<String> =
        counts.iter().map(|(name, count)| format!("{name} × {}", grouped(*count))).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

fn times(text: &mut String, measured: &Measured, style: Style) {
    let header = ["p50", "p90", "p95", "p99", "p99.9", "p99.99", "max", "mean"];
    let columns: String = header.iter().map(|name| format!("{name:>9}")).collect();
    let _ = writeln!(text, "\n  {:15}{}", style.dim("milliseconds   "), style.dim(&columns));
    let mut row = |name: &str, times: &Times| {
        let Times { p50, p90, p95, p99, p999, p9999, max, mean, .. } = times;
        let cells = [p50, p90, p95, p99, p999, p9999, max, mean].map(|ms| format!("{:>9}", millis(*ms)));
        let _ = writeln!(text, "  {name:15}{}", cells.concat());
    };
    row("response time", &measured.response_time_ms);
    row("service time", &measured.service_time_ms);
    let seldom = [
        ("failed after", &measured.failure_time_ms),
        ("connecting", &measured.connect_time_ms),
        ("TLS handshake", &measured.tls_time_ms),
    ];
    seldom.into_iter().filter(|(_, times)| times.max.is_some()).for_each(|(name, times)| row(name, times));
}

fn distribution(text: &mut String, columns: &[Column], style: Style) {
    let Some(tallest) = columns.iter().map(|column| column.count).max() else { return };
    let _ = writeln!(text, "\n  {}", style.dim("response times, each up to"));
    for column in columns {
        let eighths = column.count * BAR * 8 / tallest.max(1);
        let mut bar = "█".repeat(usize::try_from(eighths / 8).unwrap_or(0));
        let rest = usize::try_from(eighths % 8).unwrap_or(0);
        if rest > 0 {
            bar.extend(['▏', '▎', '▍', '▌', '▋', '▊', '▉'].get(rest - 1));
        } else if eighths == 0 && column.count > 0 {
            bar.push('▏');
        }
        let _ = writeln!(text, "  {:>10} {bar} {}", time(Some(column.up_to_ms)), grouped(column.count));
    }
}

fn requests(text: &mut String, requests: &[Measured], style: Style) {
    let width = requests.iter().map(|request| request.name.chars().count()).max().unwrap_or(0).clamp(7, 32);
    let header = format!("{:width$}{:>12}{:>10}{:>9}{:>9}", "request", "due", "errors", "p50", "p99");
    let _ = writeln!(text, "\n  {}", style.dim(&header));
    for request in requests.iter().take(REQUESTS) {
        let _ = writeln!(
            text,
            "  {:width$}{:>12}{:>10}{:>9}{:>9}",
            request.name,
            grouped(request.arrivals.scheduled),
            request.error_ratio.map_or("–".to_owned(), percent),
            millis(request.response_time_ms.p50),
            millis(request.response_time_ms.p99)
        );
    }
    if let Some(more) = requests.len().checked_sub(REQUESTS).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more; --output json has them all");
    }
}

/// One row a step: what was due and answered, and how long it took from when it was
/// due and from when it was sent.
fn curve(text: &mut String, attack: &AttackReport, style: Style) {
    if attack.curve.is_empty() {
        return;
    }
    let header = format!(
        "{:>12}{:>12}{:>9}{:>9}{:>9}{:>9}{:>17}{:>9}{:>9}{:>14}{:>9}",
        "due", "answered", "errors", "p50", "p90", "p99", "95 % sure", "p99.9", "max", "service p50", "p99"
    );
    let _ = writeln!(text, "\n  {}", style.dim(&header));
    for point in &attack.curve {
        let (response, service) = (&point.response_time_ms, &point.service_time_ms);
        let interval = point.p99_interval.map_or(String::new(), |interval| {
            format!("{} – {}", millis(Some(interval.low_ms)), millis(Some(interval.high_ms)))
        });
        let _ = write!(
            text,
            "  {:>12}{:>12}{:>9}{:>9}{:>9}{:>9}{:>17}{:>9}{:>9}{:>14}{:>9}",
            rate(point.rate),
            rate(point.achieved),
            point.error_ratio.map_or("–".to_owned(), percent),
            millis(point.p50),
            millis(response.p90),
            millis(point.p99),
            interval,
            millis(response.p999),
            millis(response.max),
            millis(service.p50),
            millis(service.p99),
        );
        let came_of_it = match (&point.outcome, point.purpose) {
            (None, _) => String::new(),
            (Some(Outcome::Held), Some(Purpose::Confirm)) => "held for long".to_owned(),
            (Some(Outcome::Held), _) => "held".to_owned(),
            (Some(Outcome::Broke { promise }), _) => format!("broke {promise}"),
            (Some(Outcome::GeneratorLimited), _) => "generator-limited".to_owned(),
            (Some(Outcome::NoEvidence), _) => "no evidence".to_owned(),
        };
        let _ = writeln!(text, "{}{came_of_it}", if came_of_it.is_empty() { "" } else { "  " });
    }
}

/// One row a metric: how much of it was used.
fn resources(text: &mut String, attack: &AttackReport, style: Style) {
    if attack.resources.is_empty() {
        return;
    }
    let width = attack.resources.iter().map(|of| of.name.chars().count()).max().unwrap_or(0).clamp(8, 40);
    let header = format!("{:width$}{:>12}{:>12}{:>12}{:>10}", "resource", "mean", "max", "full", "readings");
    let _ = writeln!(text, "\n  {}", style.dim(&header));
    for of in &attack.resources {
        let amount = |value: Option<f64>| amount(of.metric.as_deref(), value);
        let _ = write!(
            text,
            "  {:width$}{:>12}{:>12}{:>12}{:>10}",
            of.name,
            amount(of.mean),
            amount(of.max),
            amount(of.capacity),
            grouped(of.readings)
        );
        let missed =
            of.why.as_ref().map_or(String::new(), |why| format!("  {} missed: {why}", grouped(of.missed)));
        let _ = writeln!(text, "{missed}");
    }
}

/// An amount in its metric's unit.
fn amount(metric: Option<&str>, value: Option<f64>) -> String {
    match (metric, value) {
        (_, None) => "–".to_owned(),
        (Some("memory"), Some(value)) if value >= 1024.0 => format!("{:.1} MiB", value / 1024.0 / 1024.0),
        (_, Some(value)) if value >= 1000.0 => format!("{value:.0}"),
        (_, Some(value)) => format!("{value:.2}"),
    }
}

/// What to scale by, ready to be pasted.
fn manifests(text: &mut String, attack: &AttackReport, style: Style) {
    let Some(scaling) = &attack.autoscaling else { return };
    if let Some(policy) = &scaling.target_tracking {
        let title = "target tracking, for aws application-autoscaling put-scaling-policy --cli-input-json";
        let _ = writeln!(text, "\n  {}", style.dim(title));
        // It is a tree of texts and numbers.
        let policy = serde_json::to_string_pretty(policy).unwrap_or_default();
        let _ = writeln!(text, "{policy}");
    }
    if let Some(hpa) = &scaling.hpa {
        let _ = writeln!(text, "\n  {}", style.dim("HorizontalPodAutoscaler, for kubectl apply --filename"));
        let _ = writeln!(text, "{}", hpa.trim_end());
    }
}

fn promises(text: &mut String, report: &Report, style: Style) {
    if report.slo.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", style.bold("promises"));
    let width = report.slo.iter().map(|promise| promise.rule.len()).max().unwrap_or(0);
    for promise in &report.slo {
        let Promise { rule, attack, verdict, .. } = promise;
        let line = format!(
            "{} {rule:width$}  {}",
            mark(*verdict),
            format_args!("{} on {attack}: {}", verdict.name(), observed(promise))
        );
        let _ = writeln!(text, "  {}", style.verdict(*verdict, &line));
    }
}

fn observed(promise: &Promise) -> String {
    let Some(value) = promise.observed else { return "nothing was observed".to_owned() };
    let metric = promise.rule.split(' ').next().unwrap_or_default();
    match metric {
        "errors" | "achieved" => percent(value),
        "rate" => rate(value),
        _ => time(Some(value)),
    }
}

fn generator(text: &mut String, report: &Report, style: Style) {
    let generator = &report.generator;
    let cpu = generator.cpu_ratio.map_or("unknown".to_owned(), percent);
    let sockets = generator.sockets_max.map_or(String::new(), |sockets| format!(", {sockets} open files"));
    let verdict = if generator.limited { "was limited" } else { "kept up" };
    let _ = writeln!(
        text,
        "\n{}  {verdict}: requests left {} late (p99; {} at most), CPU {cpu}, {} in flight at most{sockets}",
        style.bold("generator"),
        time(generator.pacing_lag_ms.p99),
        time(generator.pacing_lag_ms.max),
        grouped(generator.in_flight_max),
    );
    for limit in &generator.limits {
        let _ = writeln!(text, "  {} {limit}", mark(Verdict::Inconclusive));
    }
    if let Some(needed) = generator.workers_needed {
        let _ = writeln!(text, "  it would take at least {needed} workers");
    }
}

const fn mark(verdict: Verdict) -> char {
    match verdict {
        Verdict::Passed => '✓',
        Verdict::Failed => '✗',
        Verdict::Inconclusive => '?',
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::Color;

    /// Renders `tests/golden/NAME.json` and compares it with `NAME.txt`.
    fn check(name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let json = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let got = report(&serde_json::from_str(&json).unwrap(), Style::choose(Color::Never));
        let path = folder.join(format!("{name}.txt"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &got).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(got == expected, "{} differs; it is now:\n{got}", path.display());
    }

    #[test]
    fn a_run_that_passed() {
        check("passed");
    }

    #[test]
    fn a_run_with_everything_that_can_go_wrong() {
        check("troubled");
    }

    #[test]
    fn colour_is_only_an_addition() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/troubled.json");
        let parsed = serde_json::from_str(&std::fs::read_to_string(folder).unwrap()).unwrap();
        let colored = report(&parsed, Style::choose(Color::Always));
        let mut plain = String::new();
        let mut escaped = false;
        for c in colored.chars() {
            match c {
                '\u{1b}' => escaped = true,
                'm' if escaped => escaped = false,
                c if !escaped => plain.push(c),
                _ => {}
            }
        }
        assert_eq!(plain, report(&parsed, Style::choose(Color::Never)));
    }
}
