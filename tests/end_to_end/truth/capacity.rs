//! Searches on targets whose capacity is known.
//!
//! `deathstar target` serves in virtual time, so its capacity is servers ÷ service
//! time to the request, less the share of time in which it stands still. Arrivals are
//! evenly spaced, so nothing waits below it, and above it the queue grows steadily: a
//! rate `r` above a capacity `c` has a wait of `(r ÷ c − 1) × t` after a time `t`. The
//! steps are so long that a promise breaks within a few percent of `c`.

use super::scenario::{Busy, Enough, attack, number, repeat};

struct Case {
    name: &'static str,
    knobs: &'static str,
    timeout: &'static str,
    slo: &'static str,
    search: &'static str,
    /// Requests per second that it sustains, by hand.
    truth: f64,
    gave_way: &'static str,
}

impl Case {
    fn check(&self) {
        repeat(self.name, Enough::NineInTen, || self.once());
    }

    fn once(&self) -> Result<String, String> {
        let Self { knobs, timeout, slo, search, truth, .. } = self;
        let report = attack(knobs, None, &[0, 3], |target| {
            format!(
                "name: truth\nslo: [{slo}]\nattacks:\n  - name: open\n    url: http://{}/\n    timeout: {timeout}\n    load: {{ search: {{ {search} }} }}\n",
                target.address
            )
        });
        let capacity = &report["capacity"];
        let [low, high] = [0, 1].map(|end| number(&capacity["sustained"][end]).unwrap_or(f64::NAN));
        let steps = capacity["steps"].as_u64().unwrap();
        let gave_way = capacity["gave_way"].as_str().unwrap_or("nothing");
        let found = format!(
            "{} {low:.0} to {high:.0} of {truth:.0}/s in {steps} steps, {gave_way}",
            capacity["verdict"].as_str().unwrap()
        );
        let near = |rate: f64| (rate - truth).abs() <= truth * 0.05;
        let right = capacity["confirmed"] == true
            && near(low)
            && near(high)
            && low < high
            && steps <= 14
            && gave_way == self.gave_way;
        if right { Ok(found) } else { Err(found) }
    }
}

#[test]
fn eight_servers_of_5_ms_take_1600_a_second() {
    Case {
        name: "8 × 5 ms",
        knobs: "--servers 8 --service 5ms",
        timeout: "10s",
        slo: "p99 < 50ms, errors < 0.1%",
        search: "from: 100/s, up_to: 10000/s, step: 3s",
        truth: 1600.0,
        gave_way: "queueing",
    }
    .check();
}

#[test]
fn two_servers_of_20_ms_take_100_a_second() {
    // After 18 s of the hold, 2 % too much is a wait of 360 ms.
    Case {
        name: "2 × 20 ms",
        knobs: "--servers 2 --service 20ms",
        timeout: "10s",
        slo: "p99 < 200ms, errors < 0.1%",
        search: "from: 10/s, up_to: 1000/s, step: 6s",
        truth: 100.0,
        gave_way: "queueing",
    }
    .check();
}

#[test]
fn a_target_that_works_on_what_was_given_up_on_is_left_to_drain() {
    // As above. What is not answered within a second it serves all the same, unseen.
    Case {
        name: "2 × 20 ms, given up on after 1 s",
        knobs: "--servers 2 --service 20ms",
        timeout: "1s",
        slo: "p99 < 200ms, errors < 0.1%",
        search: "from: 10/s, up_to: 1000/s, step: 6s",
        truth: 100.0,
        gave_way: "queueing",
    }
    .check();
}

#[test]
fn a_target_that_refuses_is_found_where_it_begins_to() {
    // At most 40 wait, 25 ms, and one in a hundred may be refused: 1,600 ÷ 0.99.
    Case {
        name: "errors, not queueing",
        knobs: "--servers 8 --service 5ms --queue 40",
        timeout: "10s",
        slo: "p99 < 500ms, errors < 1%",
        search: "from: 100/s, up_to: 10000/s, step: 3s",
        truth: 1616.0,
        gave_way: "errors",
    }
    .check();
}

#[test]
fn a_target_that_stalls_takes_as_much_less() {
    // It stands still for 40 ms in every second: 1,600 × 0.96. The wait after a stall
    // is part of what it is allowed.
    Case {
        name: "a stall each second",
        knobs: "--servers 8 --service 5ms --stall 40ms --every 1s",
        timeout: "10s",
        slo: "p99 < 80ms, errors < 0.1%",
        search: "from: 100/s, up_to: 10000/s, step: 3s",
        truth: 1536.0,
        gave_way: "queueing",
    }
    .check();
}

/// The target takes as much as the machine can; the generator has a quarter of a
/// processor at most, which three others want, too. `slo` is what is promised.
fn starved(name: &str, slo: &str) {
    repeat(name, Enough::All, || {
        let _busy = Busy::beside_the_generator(3);
        let report = attack("--service 0s", None, &[3], |target| {
            format!(
                "name: starved\nslo: [{slo}]\nattacks:\n  - name: open\n    url: http://{}/\n    timeout: 5s\n    load: {{ search: {{ from: 500/s, up_to: 200000/s, step: 2s }} }}\n",
                target.address
            )
        });
        let capacity = &report["capacity"];
        let found = format!("{} because {}", capacity["verdict"], capacity["reason"]);
        if capacity["verdict"] == "inconclusive" { Ok(found) } else { Err(found) }
    });
}

#[test]
fn a_starved_generator_never_yields_a_capacity() {
    starved("a starved generator", "p99 < 20ms, errors < 0.1%");
}

#[test]
fn nor_does_one_whose_promises_hold_of_the_little_that_it_sends() {
    starved("a starved generator, promised little", "p99 < 5s, errors <= 100%");
}
