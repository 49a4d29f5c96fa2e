//! How hard an installation lets a plan attack.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod common;

use deathstar_statemachine::policy::{Policy, Refusal};
use deathstar_statemachine::units::Rate;

/// What is refused of attacks, in YAML, by one worker, where so much is allowed.
fn refused(per_second: u32, head: &str, attacks: &[&str]) -> Vec<String> {
    let attacks: Vec<String> = attacks
        .iter()
        .enumerate()
        .map(|(n, fields)| format!("  - {{ name: a{n}, url: 'http://127.0.0.1:1/', {fields} }}\n"))
        .collect();
    let text = format!("name: test\nworkers: 1\n{head}attacks:\n{}", attacks.concat());
    let plan = common::plan_of(&text, 600);
    let policy = Policy { max_rate: Some(Rate::per_second(per_second)), ..Policy::unrestricted() };
    assert!(Policy::unrestricted().refusals(&plan, 0.0).is_empty());
    policy.refusals(&plan, 0.0).iter().map(Refusal::to_string).collect()
}

#[test]
fn users_without_a_think_time_send_as_much_as_workers_can() {
    let users = "load: { users: { count: 5000, for: 10s } }";
    assert_eq!(
        refused(10, "", &[users]),
        [
            "attack \"a0\" may send 200000/s, with 5000 users and no think time; this installation allows 10/s (deathstar deploy --max-rate), which a think time of 500s on average keeps to"
        ]
    );
    assert_eq!(refused(199_999, "", &[users]).len(), 1);
    assert!(refused(200_000, "", &[users]).is_empty());
}

#[test]
fn users_who_think_send_no_more_than_they_think() {
    let users = "think: { min: 0s, max: 3s }, load: { users: { count: 500, for: 10s } }";
    assert!(refused(334, "", &[users]).is_empty());
    assert_eq!(
        refused(333, "", &[users]),
        [
            "attack \"a0\" may send 333.4/s, with 500 users and 1.5s of think time; this installation allows 333/s (deathstar deploy --max-rate), which a think time of 1.502s on average keeps to"
        ]
    );
    // Hardly a thought, and a worker can do no more.
    let quick = "think: 1ms, load: { users: { count: 5000, for: 10s } }";
    assert!(refused(200_000, "", &[quick]).is_empty());
}

#[test]
fn attacks_side_by_side_are_allowed_what_they_make_together() {
    let open = "rate: 60/s, duration: 5s";
    let users = "think: 1s, load: { users: { count: 50, for: 5s } }";
    assert!(refused(110, "", &[open, users]).is_empty());
    assert_eq!(
        refused(109, "", &[open, users]),
        ["110/s at the peak of the load; this installation allows 109/s (deathstar deploy --max-rate)"]
    );
    assert!(refused(60, "order: sequence\n", &[open, users]).is_empty());
    // Each that is too much alone is named, and the rest too when it is.
    let said = refused(49, "", &[open, users]);
    assert!(
        said.len() == 2 && said[0].starts_with("attack \"a1\"") && said[1].starts_with("60/s"),
        "{said:?}"
    );
}

#[test]
fn redirects_count_as_the_requests_that_they_are() {
    let open = "rate: 60/s, duration: 5s, redirects: 2";
    assert!(refused(180, "", &[open]).is_empty());
    assert_eq!(
        refused(179, "", &[open]),
        [
            "180/s at the peak of the load, redirects included; this installation allows 179/s (deathstar deploy --max-rate)"
        ]
    );
    let users = "think: 1s, load: { users: { count: 50, for: 5s } }, redirects: 1";
    assert!(refused(100, "", &[users]).is_empty());
    assert_eq!(
        refused(80, "", &[users]),
        [
            "attack \"a0\" may send 100/s, with 50 users and 1s of think time and a redirect each; this installation allows 80/s (deathstar deploy --max-rate), which a think time of 1.25s on average keeps to"
        ]
    );
}

#[test]
fn a_proxy_must_be_allowed_as_its_target_must() {
    let text = "name: t\nattacks: [{ name: a, url: 'https://shop.example/', rate: 1/s, duration: 1s, proxy: 'http://10.0.0.9:3128' }]\n";
    let plan = common::plan_of(text, 600);
    let refused = |allow: &[&str]| -> Vec<String> {
        let allow = allow.iter().map(|host| host.parse().unwrap()).collect();
        let policy = Policy { allow: Some(allow), ..Policy::unrestricted() };
        policy.refusals(&plan, 0.0).iter().map(Refusal::to_string).collect()
    };
    assert!(refused(&["shop.example", "10.0.0.9:3128"]).is_empty());
    let [told] = &refused(&["shop.example"])[..] else { panic!("one refusal") };
    assert!(told.starts_with("10.0.0.9:3128 is not on the list"), "{told}");
    assert_eq!(refused(&["10.0.0.9"]).len(), 1);
}
