//! How long one invocation sends: the slices of a round.

use std::time::Duration;

use super::{INVOCATION_MARGIN, Place, PlanError, longest_round};
use crate::config::Config;
use crate::pace::Pace;
use crate::units::display_duration;

/// A shorter slice is not worth an invocation, when timeouts are what makes it
/// short.
const SHORTEST_SLICE: Duration = Duration::from_secs(60);

/// How long a slice may be, so that an invocation lives to see the end of a
/// request that first waited for a connection and then took its whole timeout,
/// and to write it down.
pub(super) fn slice(config: &Config, place: &Place, spread: Duration) -> Result<Duration, PlanError> {
    let Some(slowest) = config.attacks().iter().max_by_key(|attack| attack.timeout) else {
        return Ok(place.slice);
    };
    let room = place.invocation.saturating_sub(INVOCATION_MARGIN + spread + slowest.timeout * 2);
    if room >= place.slice {
        return Ok(place.slice);
    }
    if room >= SHORTEST_SLICE {
        // Whole seconds, so that no window lies across the seam of two slices.
        return Ok(Duration::from_secs(room.as_secs()));
    }
    Err(PlanError::TimeoutTooLong {
        attack: slowest.name.clone(),
        timeout: slowest.timeout,
        invocation: place.invocation,
        limit: place.invocation.saturating_sub(INVOCATION_MARGIN + spread + place.slice.min(SHORTEST_SLICE))
            / 2,
    })
}

/// Looks whether a slice lasts until the worker of the one before it has certainly
/// ended. Slice k + 2 is invoked a lead before it begins, and not before the
/// invocation of slice k has returned: if that still waits for a target that hangs,
/// the next one comes late, and what it drops for it would count against the
/// generator. Two slices only do not wait for each other.
///
/// Says what is wrong with an installation whose slices are too short; a longer one
/// would do.
///
/// # Errors
/// When no slice is long enough, since an invocation must wait for its last requests,
/// too.
pub(super) fn short_slices(
    config: &Config,
    place: &Place,
    writing: &Pace,
    slice: Duration,
) -> Result<Option<String>, PlanError> {
    let load = longest_round(config);
    let Some(slowest) = config.attacks().iter().max_by_key(|attack| attack.timeout) else { return Ok(None) };
    if load <= slice * 2 {
        return Ok(None);
    }
    let (attack, timeout) = (slowest.name.clone(), slowest.timeout);
    let to_end = INVOCATION_MARGIN + writing.spread;
    let needed = timeout * 2 + to_end + place.lead;
    // What a slice may lose to be of whole windows.
    let cut = if writing.window > Duration::from_secs(1) { writing.window } else { Duration::ZERO };
    // Where what is needed is as long as what an invocation has room for.
    let limit = place.invocation.saturating_sub(to_end * 2 + place.lead + cut) / 4;
    if timeout > limit {
        return Err(PlanError::TimeoutTooLongForSlices { attack, timeout, load, slice, limit });
    }
    // One that timeouts made short is long enough, but for a part of a second.
    Ok((place.slice < needed).then(|| {
        format!(
            "this installation has slices of {}: when the target hangs, a worker may wait for its last requests and come late for the slice after the next, and what was due before is dropped; slices of {} (deathstar deploy --slice) or a shorter timeout than the {} of attack {attack:?} would do",
            display_duration(slice),
            display_duration(needed),
            display_duration(timeout),
        )
    }))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn long_timeouts_leave_slices_of_whole_seconds() {
        let one = NonZeroU32::MIN;
        let place = Place {
            mode: "test".into(),
            cores: one,
            rate_per_worker: one,
            sockets: one,
            workers_share_process: true,
            workers_per_function: one,
            lead: Duration::from_secs(1),
            checkpoint: Duration::from_secs(5),
            slice: Duration::from_secs(600),
            invocation: Duration::from_secs(900),
            setup: Duration::from_secs(60),
            grace: Duration::from_secs(60),
        };
        let slice_of = |timeout: &str| {
            let text = format!(
                "name: a\nattacks: [{{ name: a, url: 'http://127.0.0.1:1/', rate: 1/s, duration: 1h, timeout: {timeout} }}]"
            );
            let config = Config::from_text(&text, |_| Err(String::new())).unwrap();
            slice(&config, &place, Duration::ZERO).map(|slice| slice.as_micros())
        };
        assert_eq!(slice_of("135s"), Ok(600_000_000));
        // 900 − 30 − 2 × 400.25 = 69.5 s.
        assert_eq!(slice_of("400.25s"), Ok(69_000_000));
        assert!(matches!(slice_of("406s"), Err(PlanError::TimeoutTooLong { .. })));
    }
}
