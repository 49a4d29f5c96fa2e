//! Arithmetic on measured numbers, and reading them off what programs print.

/// The middle of some numbers; between the two middle ones when they are even in
/// number, and nothing when there are none.
pub(super) fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(sorted[sorted.len() / 2 - 1], upper)) }
}

/// The median of some rounds, and their smallest and largest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Nothing when there was no round.
    pub(super) fn of(rounds: &[f64]) -> Option<Self> {
        let median = median(rounds)?;
        let min = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let max = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Self { median, min, max })
    }

    /// How `ours` compares with `theirs`, where round *n* of both ran one after the
    /// other: the ratio of the medians, and the smallest and largest ratio within a
    /// round. Nothing when a round is missing, or took no time.
    pub(super) fn ratio(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        if ours.len() != theirs.len() || theirs.contains(&0.0) {
            return None;
        }
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        Some(Self { median: median(ours)? / median(theirs)?, ..Self::of(&ratios)? })
    }

    /// `4.01 (3.98–4.06)`, with so many digits behind the point.
    pub(super) fn text(&self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.min, self.max)
    }
}

/// The number in a JSON text behind these keys, each looked for after the one
/// before. Enough for reports whose shape is known, and no parser: a key must not
/// appear earlier as another's value.
pub(super) fn json_number(json: &str, path: &[&str]) -> Option<f64> {
    leading_number(behind(json, path)?)
}

/// Every number with this key in the array that these keys lead to, which holds
/// flat objects.
pub(super) fn json_numbers(json: &str, path: &[&str], key: &str) -> Option<Vec<f64>> {
    let array = behind(json, path)?;
    let mut rest = &array[..array.find(']')?];
    let mut numbers = Vec::new();
    while let Some(value) = behind(rest, &[key]) {
        numbers.push(leading_number(value)?);
        rest = value;
    }
    Some(numbers)
}

/// What follows the colon of the last key.
fn behind<'json>(json: &'json str, path: &[&str]) -> Option<&'json str> {
    path.iter().try_fold(json, |rest, key| {
        let quoted = format!("\"{key}\"");
        rest.match_indices(&quoted)
            .find_map(|(at, _)| rest[at + quoted.len()..].trim_start().strip_prefix(':').map(str::trim_start))
    })
}

fn leading_number(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+' | 'e' | 'E'));
    text[..end.unwrap_or(text.len())].parse().ok()
}

/// The whole number that stands in a text behind `before`, blanks skipped.
pub(super) fn count_behind(text: &str, before: &str) -> Option<u64> {
    let rest = text[text.find(before)? + before.len()..].trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The whole number that stands in a text right before `after`.
pub(super) fn count_before(text: &str, after: &str) -> Option<u64> {
    text[..text.find(after)?].rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_median_is_the_middle_one_or_between_the_middle_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 10.0]), Some(3.0));
    }

    #[test]
    fn a_spread_has_its_ends() {
        let spread = Spread::of(&[4.0, 3.5, 9.25]).unwrap();
        assert_eq!(spread, Spread { median: 4.0, min: 3.5, max: 9.25 });
        assert_eq!(spread.text(2), "4.00 (3.50–9.25)");
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_ratio_is_of_medians_and_its_range_is_of_rounds() {
        // Medians 4 and 8; round by round 0.25, 0.5 and 1.
        let ratio = Spread::ratio(&[2.0, 4.0, 8.0], &[8.0, 8.0, 8.0]).unwrap();
        assert!(near(ratio.median, 0.5) && near(ratio.min, 0.25) && near(ratio.max, 1.0), "{ratio:?}");
        assert_eq!(Spread::ratio(&[1.0], &[1.0, 2.0]), None, "rounds that do not pair");
        assert_eq!(Spread::ratio(&[1.0], &[0.0]), None, "a round that took no time");
        assert_eq!(Spread::ratio(&[], &[]), None);
    }

    const JSON: &str = r#"{
      "generator": { "limited": false, "pacing_lag_ms": { "p50": 0.5 }, "send_lag_ms": {"p50": 0.25, "p99": null } },
      "attacks": [ { "name": "scheduled", "arrivals": { "scheduled": 1800, "failed": 0 },
        "timeline": [ { "at_s": 0.0, "scheduled": 200 }, { "at_s": 1.0, "scheduled": 201 } ],
        "distribution": [ { "count": 7 } ] } ],
      "tiny": 1.5e-3
    }"#;

    #[test]
    fn numbers_are_found_behind_their_keys() {
        assert_eq!(json_number(JSON, &["generator", "send_lag_ms", "p50"]), Some(0.25));
        assert_eq!(json_number(JSON, &["attacks", "arrivals", "scheduled"]), Some(1800.0));
        assert_eq!(json_number(JSON, &["tiny"]), Some(0.0015));
        assert_eq!(json_number(JSON, &["generator", "send_lag_ms", "p99"]), None, "null is no number");
        assert_eq!(json_number(JSON, &["generator", "nothing"]), None);
    }

    #[test]
    fn a_value_is_not_taken_for_a_key() {
        assert_eq!(json_number(JSON, &["attacks", "scheduled"]), Some(1800.0));
    }

    #[test]
    fn numbers_of_an_array_end_with_it() {
        assert_eq!(json_numbers(JSON, &["attacks", "timeline"], "scheduled"), Some(vec![200.0, 201.0]));
        assert_eq!(json_numbers(JSON, &["attacks", "timeline"], "count"), Some(vec![]));
        assert_eq!(json_numbers(JSON, &["attacks", "nothing"], "count"), None);
    }

    #[test]
    fn counts_are_read_from_either_side() {
        assert_eq!(count_behind("Complete requests:      62908\n", "Complete requests:"), Some(62908));
        assert_eq!(count_before("  62414 requests in 1.00s, 9.94MB read", " requests in"), Some(62414));
        assert_eq!(count_behind("nothing", "Complete requests:"), None);
        assert_eq!(count_before("many requests in", " requests in"), None);
    }
}
