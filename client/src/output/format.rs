//! Numbers as people read them.

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `one` or `many`, with its number: `1 worker`, `2 workers`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Milliseconds with three significant digits, and no more than they need.
pub(super) fn millis(ms: Option<f64>) -> String {
    let Some(ms) = ms else { return "–".to_owned() };
    match ms {
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => grouped_float(ms),
    }
}

/// A time with its unit: `0.31 ms`, `250 ms`, `1.25 s`.
pub(super) fn time(ms: Option<f64>) -> String {
    match ms {
        Some(ms) if ms >= 1000.0 => format!("{:.2} s", ms / 1000.0),
        _ => format!("{} ms", millis(ms)),
    }
}

/// A rate: `500.0/s`, `12,000/s`.
pub(super) fn rate(per_second: f64) -> String {
    if per_second < 1000.0 {
        format!("{per_second:.1}/s")
    } else {
        format!("{}/s", grouped_float(per_second))
    }
}

/// A ratio of 0–1 as a percentage that never rounds a few errors away.
pub(super) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if percent > 0.0 && percent < 0.01 {
        "< 0.01 %".to_owned()
    } else if percent < 100.0 && percent > 99.99 {
        "> 99.99 %".to_owned()
    } else {
        let text = format!("{percent:.2}");
        format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Bytes: `12 B`, `1.5 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// Seconds: `9.98 s`, `10 m 5 s`.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 120.0 {
        let text = format!("{seconds:.2}");
        return format!("{} s", text.trim_end_matches('0').trim_end_matches('.'));
    }
    format!("{} m {:.0} s", (seconds / 60.0).floor(), seconds % 60.0)
}

fn grouped_float(number: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and a display only"
    )]
    grouped(number.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
        assert_eq!(millis(Some(0.314)), "0.31");
        assert_eq!(millis(Some(1234.5)), "1,235");
        assert_eq!(time(Some(1250.0)), "1.25 s");
        assert_eq!(percent(0.000_01), "< 0.01 %");
        assert_eq!(percent(0.999_999), "> 99.99 %");
        assert_eq!(percent(0.012), "1.2 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(seconds(10.0), "10 s");
        assert_eq!(seconds(605.0), "10 m 5 s");
        assert_eq!(counted(1, "worker"), "1 worker");
    }
}
