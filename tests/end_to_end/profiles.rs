//! Every profile sends what was asked for, by arithmetic done by hand.

use crate::command::{Home, Output};
use crate::server::Server;

/// Runs a config in which `URL` stands for a target's, and checks that the
/// target counted what was sent.
fn run(config: &str) -> Output {
    let (home, server) = (Home::new(), Server::good());
    let output = home.run(&config.replace("URL", &server.url()));
    home.assert_nothing_left();
    let attacks = output.exits(0).report().0["attacks"].as_array().unwrap();
    let sent: u64 = attacks
        .iter()
        .map(|attack| output.report().arrivals_of(attack["name"].as_str().unwrap()).sent())
        .sum();
    assert_eq!(server.count(), sent);
    output
}

#[test]
fn a_ramp_sends_the_area_under_its_line() {
    // (0 + 100) / 2 × 2 s, and then 100/s for 1 s.
    let output = run("name: ramp
attacks:
  - { name: x, url: URL, load: { ramp: { from: 0/s, to: 100/s, over: 2s } } }
  - { name: held, url: URL, load: { ramp: { from: 100/s, to: 0/s, over: 1s, hold: 1s } } }
");
    assert_eq!(output.report().arrivals_of("x").scheduled, 100);
    assert_eq!(output.report().arrivals_of("held").scheduled, 50);
    let moments = output.report().0["attacks"][0]["timeline"].as_array().unwrap().clone();
    // Half of the time has a quarter of the arrivals; the one due on the edge
    // belongs to either.
    let first = moments[0]["scheduled"].as_u64().unwrap();
    assert!((24..=26).contains(&first), "{first} in the first second");
    assert_eq!(output.report().0["duration_s"], 2.0);
}

#[test]
fn steps_send_their_rates_and_draw_a_curve() {
    // 50 + 100 + 20 in three seconds.
    let output = run("name: steps
attacks:
  - { name: x, url: URL, load: { steps: { rates: [50/s, 100/s, 20/s], each: 1s } } }
");
    let report = output.report();
    assert_eq!(report.arrivals().scheduled, 170);
    let curve: Vec<f64> = report.0["attacks"][0]["curve"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["rate"].as_f64().unwrap())
        .collect();
    assert_eq!(curve, [50.0, 100.0, 20.0]);
    let due: Vec<u64> = report.0["attacks"][0]["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|moment| moment["scheduled"].as_u64().unwrap())
        .collect();
    assert_eq!(due, [50, 100, 20]);
}

#[test]
fn slow_rates_and_short_durations_are_exact() {
    // 90/m is one every 2/3 s: at 0, 0.67 and 1.33 s. 30/s for 250 ms: 7.5, the
    // eighth at 233 ms.
    let output = run("name: slow
attacks:
  - { name: minute, url: URL, rate: 90/m, duration: 2s }
  - { name: short, url: URL, rate: 30/s, duration: 250ms }
");
    assert_eq!(output.report().arrivals_of("minute").scheduled, 3);
    assert_eq!(output.report().arrivals_of("short").scheduled, 8);
}

#[test]
fn users_wait_for_their_answers_and_think() {
    // Each user thinks for 100 ms or more after each answer: at most 20 in 2 s.
    let output = run("name: users
attacks:
  - { name: x, url: URL, load: { users: { count: 5, for: 2s } }, think: 100ms }
");
    let arrivals = output.report().arrivals();
    assert!((5..=100).contains(&arrivals.scheduled), "{arrivals:?}");
    assert_eq!((arrivals.dropped, arrivals.lost), (0, 0), "users that come late are only late");
    assert_eq!(output.report().0["attacks"][0]["profile"], "users");
}

#[test]
fn attacks_run_side_by_side() {
    let output = run("name: both
attacks:
  - { name: a, url: URL/a, rate: 30/s, duration: 2s }
  - { name: b, url: URL/b, rate: 50/s, duration: 1s }
");
    assert_eq!(output.report().arrivals_of("a").scheduled, 60);
    assert_eq!(output.report().arrivals_of("b").scheduled, 50);
    assert_eq!(output.report().0["duration_s"], 2.0);
}

#[test]
fn attacks_in_sequence_do_not_overlap() {
    let (home, server) = (Home::new(), Server::good());
    let output = home.run(&format!(
        "name: sequence
order: sequence
attacks:
  - {{ name: a, url: '{0}/a', rate: 50/s, duration: 1s }}
  - {{ name: b, url: '{0}/b', rate: 20/s, duration: 1s }}
",
        server.url()
    ));
    let report = output.exits(0).report();
    assert_eq!(report.arrivals_of("a").scheduled, 50);
    assert_eq!(report.arrivals_of("b").scheduled, 20);
    assert_eq!(report.0["duration_s"], 2.0);
    assert_eq!(report.attack("b")["timeline"][0]["at_s"], 1.0);
    assert_eq!(report.attack("b")["rate"]["scheduled"], 20.0, "by its own time, not the run's");
    let order: Vec<String> = server.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(order.iter().filter(|target| *target == "/a").count() as u64, report.arrivals_of("a").sent());
    assert_eq!(order.iter().filter(|target| *target == "/b").count() as u64, report.arrivals_of("b").sent());
}

#[test]
fn many_workers_send_what_one_would() {
    let config = |workers: u32| {
        format!(
            "name: workers
attacks:
  - name: x
    base_url: URL
    load: {{ ramp: {{ from: 10/s, to: 100/s, over: 1s, hold: 1s }} }}
    requests: [ {{ name: a, weight: 3, get: /a }}, {{ name: b, weight: 2, get: /b }} ]
workers: {workers}
"
        )
    };
    let (one, three) = (run(&config(1)), run(&config(3)));
    // (10 + 100) / 2 × 1 s + 100/s × 1 s.
    assert_eq!(one.report().arrivals().scheduled, 155);
    assert_eq!(three.report().arrivals().scheduled, 155);
    for request in ["a", "b"] {
        let scheduled = |output: &Output| output.report().arrivals_of_request(request).scheduled;
        assert_eq!(scheduled(&one), scheduled(&three), "{request}");
    }
    let timeline = |output: &Output| -> Vec<u64> {
        let moments = output.report().0["attacks"][0]["timeline"].as_array().unwrap();
        moments.iter().map(|moment| moment["scheduled"].as_u64().unwrap()).collect()
    };
    assert_eq!(timeline(&one), timeline(&three));
    assert_eq!(three.report().0["coverage"]["workers"], 3);
    assert_eq!(three.report().0["coverage"]["ratio"], 1.0);
}
