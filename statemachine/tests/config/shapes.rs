//! What has the wrong shape, and how that is told: with its place and a suggestion.

use std::fmt::Write as _;
use std::time::Duration;

use deathstar_statemachine::config::problem::Shape;
use deathstar_statemachine::config::{Carrier, Config, ConfigError, HttpVersion};
use deathstar_statemachine::units::Rate;

use super::schema::{fits_schema, yaml};
use super::{EXAMPLES, again, attack, no_files, only_request, read, refused};

#[test]
fn a_wrong_shape_is_told_with_its_place_and_a_suggestion() {
    let fields = "name, order, attacks, slo, stop_if, workers, budget";
    for (text, message) in [
        (String::new(), "there is no config here: it is empty, or only comments".to_owned()),
        ("# nothing\n# yet\n".to_owned(), "there is no config here: it is empty, or only comments".to_owned()),
        ("- name: x\n".to_owned(), "line 1 column 1: expected fields such as name and attacks, found a list".to_owned()),
        ("hello\n".to_owned(), "line 1 column 1: expected fields such as name and attacks, found the text \"hello\"".to_owned()),
        ("name: x\nname: y\n".to_owned(), "line 2 column 1: \"name\" is written twice".to_owned()),
        ("name: x\n".to_owned(), "line 1 column 1: a config needs \"attacks\"".to_owned()),
        ("attacks: []\n".to_owned(), "line 1 column 1: a config needs \"name\"".to_owned()),
        ("name: x\nattacks: []\nfoo: 1\n".to_owned(), format!("line 3 column 1: unknown field \"foo\" in a config; use {fields}")),
        ("name: 5\nattacks: []\n".to_owned(), "line 1 column 7: name: expected a text, found the number 5; put it in quotes".to_owned()),
        ("name: true\nattacks: []\n".to_owned(), "line 1 column 7: name: expected a text, found the word true; put it in quotes".to_owned()),
        ("name: [x]\nattacks: []\n".to_owned(), "line 1 column 7: name: expected a text, found a list".to_owned()),
        ("name: x\nattacks: {}\n".to_owned(), "line 2 column 10: attacks: expected a list, found fields".to_owned()),
        ("name: x\nattacks:\n".to_owned(), "line 2 column 8: attacks: it has no value; write one, or remove the line".to_owned()),
        ("name: x\nattacks:\n  - home\n".to_owned(), "line 3 column 5: attacks[0]: expected fields such as name, url and load, found the text \"home\"".to_owned()),
        ("name: x\nattacks:\n  - url: http://h/\n".to_owned(), "line 3 column 5: attacks[0]: an attack needs \"name\"".to_owned()),
        ("name: x\nattacks: []\norder: parallel\n".to_owned(), "line 3 column 8: order: unknown word \"parallel\"; use side_by_side, sequence".to_owned()),
        ("name: x\nattacks: []\norder: side-by-side\n".to_owned(), "line 3 column 8: order: unknown word \"side-by-side\"; did you mean \"side_by_side\"?".to_owned()),
        ("name: x\nattacks: []\nslo: p99 < 1s\n".to_owned(), "line 3 column 6: slo: expected a list, found the text \"p99 < 1s\"".to_owned()),
        ("name: x\nattacks: []\nworkers: -5\n".to_owned(), "line 3 column 10: workers: expected auto or a number of workers, found the number -5".to_owned()),
        ("name: x\nattacks: []\nworkers: many\n".to_owned(), "line 3 column 10: workers: expected auto or a number of workers, found the text \"many\"".to_owned()),
        ("name: x\nattacks: []\nworkers: { cuont: 5 }\n".to_owned(), "line 3 column 12: workers: unknown field \"cuont\" in workers; did you mean \"count\"?".to_owned()),
        ("name: x\nattacks: []\nworkers: { memory: [1GB] }\n".to_owned(), "line 3 column 20: workers.memory: expected an amount of memory such as 1769MB, found a list".to_owned()),
        ("name: x\nattacks: []\nworkers: { memroy: 1GB }\n".to_owned(), "line 3 column 12: workers: unknown field \"memroy\" in workers; did you mean \"memory\"?".to_owned()),
        ("name: x\nattacks: []\nworkers: { regions: eu-west-1 }\n".to_owned(), "line 3 column 21: workers.regions: expected a list, found the text \"eu-west-1\"".to_owned()),
        ("name: x\nattacks: []\nbudget: 5\n".to_owned(), "line 3 column 9: budget: expected fields such as max_usd, found the number 5".to_owned()),
        ("name: x\nattacks: []\nbudget: { max_usd: $5 }\n".to_owned(), "line 3 column 20: budget.max_usd: expected a number of US dollars such as 5 or 0.5, found the text \"$5\"".to_owned()),
        ("name: x\nattacks: []\nbudget: { max_eur: 5 }\n".to_owned(), "line 3 column 11: budget: unknown field \"max_eur\" in budget; use max_usd".to_owned()),
        ("name: x\nattacks: []\n---\nname: y\n".to_owned(), "line 4 column 1: there is a second document here; one file holds one config, so remove what starts with ---".to_owned()),
        (attack("url: http://h/\ndurration: 10s"), "line 6 column 5: attacks[0]: unknown field \"durration\" in an attack; did you mean \"duration\"?".to_owned()),
        (attack("url: http://h/\ntimeout:"), "line 6 column 12: attacks[0].timeout: it has no value; write one, or remove the line".to_owned()),
        (attack("url: http://h/\ntimeout: [5s]"), "line 6 column 14: attacks[0].timeout: expected a duration such as 30s, found a list".to_owned()),
        (attack("requests: [{ get: /, weight: 1.5 }]"), "line 5 column 34: attacks[0].requests[0].weight: expected a whole number, found the number 1.5".to_owned()),
        (attack("requests: [{ get: /, weight: -1 }]"), "line 5 column 34: attacks[0].requests[0].weight: expected a whole number, found the number -1".to_owned()),
        (attack("requests: [{ gte: / }]"), "line 5 column 18: attacks[0].requests[0]: unknown field \"gte\" in a request; did you mean \"get\"?".to_owned()),
        (attack("url: http://h/\nexpect: 200"), "line 6 column 13: attacks[0].expect: expected fields such as status, found the number 200".to_owned()),
        (attack("url: http://h/\nheaders: { x-id: 5 }"), "line 6 column 22: attacks[0].headers.x-id: expected a text, found the number 5; put it in quotes".to_owned()),
        (attack("url: http://h/\nthink: { min: 1s }"), "line 6 column 12: attacks[0].think: think needs \"max\"".to_owned()),
        (attack("url: http://h/\njson: .inf"), "line 6 column 11: value `.inf` is not a finite number".to_owned()),
        ("name: x\nattacks: [{ name: a, load: { constant: { rate: 1/s } } }]\n".to_owned(), "line 2 column 40: attacks[0].load.constant: constant needs \"for\"".to_owned()),
        ("name: x\nattacks: [{ name: a, load: { constant: 5/s } }]\n".to_owned(), "line 2 column 40: attacks[0].load.constant: expected the fields rate, for, found the text \"5/s\"".to_owned()),
        ("name: x\nattacks: [{ name: a, load: {} }]\n".to_owned(), "line 2 column 28: attacks[0].load: expected exactly one of constant, ramp, steps, burst, search, users, found none".to_owned()),
        ("name: x\nattacks: [{ name: a, load: { ramp: {}, steps: {} } }]\n".to_owned(), "line 2 column 28: attacks[0].load: expected exactly one of constant, ramp, steps, burst, search, users, found ramp and steps".to_owned()),
        ("name: x\nattacks: [{ name: a, load: { rmap: {} } }]\n".to_owned(), "line 2 column 30: attacks[0].load: unknown field \"rmap\" in load; did you mean \"ramp\"?".to_owned()),
        ("name: x\nattacks: [{ name: a, load: steps }]\n".to_owned(), "line 2 column 28: attacks[0].load: expected the fields of steps, found the word alone".to_owned()),
    ] {
        let told = refused(&text);
        assert_eq!(told.lines().next().unwrap(), format!("  {message}"), "{text}");
    }
}

#[test]
fn broken_yaml_is_told_with_its_place() {
    for (text, place) in [
        ("name: x\n  attacks: []\n", "  line 2 column 10: "),
        ("name: x\nattacks: [}\n", "  line 2 column 10: "),
        ("name: x\nattacks:\n\t- name: a\n", "  line 3 column "),
        ("name: *nope\nattacks: []\n", "  line 1 column 7: "),
        ("name: \"x\nattacks: []\n", "  line "),
        ("{ \"name\": \"x\", ", "  line "),
    ] {
        let error = Config::from_text(text, no_files).unwrap_err();
        let ConfigError::Shape(shape) = &error else { panic!("{text}: {error}") };
        assert!(matches!(shape.what(), Shape::Syntax(_)), "{text}: {shape:?}");
        assert!(error.to_string().starts_with(place), "{text}: {error}");
    }
}

#[test]
fn an_alias_bomb_and_a_deep_nest_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    let deep = format!("name: {}{}\n", "[".repeat(200), "]".repeat(200));
    for text in [bomb, deep] {
        let ConfigError::Shape(shape) = Config::from_text(&text, no_files).unwrap_err() else {
            panic!("a shape")
        };
        assert_eq!(*shape.what(), Shape::TooLarge);
    }
}

#[test]
fn the_line_is_shown_with_a_caret_below_it() {
    assert_eq!(
        refused(&attack("url: http://h/\ndurration: 10s")),
        "  line 6 column 5: attacks[0]: unknown field \"durration\" in an attack; did you mean \"duration\"?\n    \
         |     durration: 10s\n    |     ^"
    );
}

#[test]
fn what_an_attack_asks_of_connections_and_arrivals_must_fit() {
    let burst = |fields: &str| {
        format!("name: t\nattacks:\n  - name: a\n    url: http://h/\n    load: {{ burst: {{ {fields} }} }}\n")
    };
    let users = "name: t\nattacks:\n  - { name: a, url: http://h/, arrivals: poisson, load: { users: { count: 5, for: 1s } } }\n";
    for (text, told) in [
        (
            attack("url: http://h/\nconnections: 0"),
            "number of connections 0 is out of range; write 1 to 1000000",
        ),
        (attack("url: http://h/\nwarm_up: 1000001"), "number of connections 1000001 is out of range"),
        (
            attack("url: http://h/\nconnections: 5\nwarm_up: 6"),
            "6 connections to warm up are more than the attack may have; the limit is 5 (connections)",
        ),
        (
            attack("url: http://h/\nengine: rich\nwarm_up: 6"),
            "the rich engine opens connections only to send; warm_up needs the fast one",
        ),
        (attack("url: http://h/\narrivals: uniform"), "\"uniform\""),
        (users.to_owned(), "arrivals needs an open load, such as constant"),
        (
            burst("base: 5/s, peak: 5/s, warm: 1s, spike: 1s, recover: 1s"),
            "a burst from 5/s to 5/s is none; write a peak above the base",
        ),
        (burst("base: 5/s, peak: 9/s, warm: 1s, spike: 0s, recover: 1s"), "no time at all"),
        (
            burst("base: 5/s, peak: 9/s, warm: 1s, spike: 1s, recover: 1s, times: 1001"),
            "number of peaks 1001 is out of range; write 1 to 1000",
        ),
        (burst("base: 5/s, peak: 9/s, warm: 1s, spike: 10d, recover: 10d, times: 2"), "the limit is 30d"),
        (burst("base: 5/s, peak: 9/s"), "warm"),
    ] {
        let refusal = refused(&text);
        assert!(refusal.contains(told), "{text}{refusal}");
    }
}

#[test]
fn a_search_is_read_with_its_defaults() {
    let capacity = read(EXAMPLES[6].1);
    let search = capacity.search().unwrap();
    let rates = [search.from(), search.up_to()];
    assert_eq!(rates, [100, 5000].map(Rate::per_second));
    assert_eq!((search.step(), search.warm_up()), (Duration::from_secs(10), Duration::from_secs(2)));
    let short = "name: t\nattacks: [{name: a, url: http://h/, load: {search: {from: 1/m, up_to: 9/s}}}]\nslo: [p99 < 1s, errors < 1%]";
    let short = read(short);
    let search = short.search().unwrap();
    assert_eq!((search.step(), search.tolerance()), (Duration::from_secs(30), 0.03));
    assert!(short.attacks()[0].load.is_open());
    assert!(read(EXAMPLES[0].1).search().is_none());
}

#[test]
fn what_a_search_cannot_be_is_refused() {
    let with = |fields: &str, rest: &str| {
        format!(
            "name: t\nattacks:\n  - name: a\n    url: http://h/\n    load: {{ search: {{ {fields} }} }}\n{rest}"
        )
    };
    let good = "from: 50/s, up_to: 900/s";
    let slo = "slo: [p99 < 300ms]\n";
    let another = "  - { name: b, url: http://h/, rate: 1/s, duration: 1s }\n";
    for (text, told) in [
        (with("from: 50/s, up_to: 50/s", slo), "nothing to search; up_to must be above from"),
        (with("from: 0/s, up_to: 50/s", slo), "never sends anything"),
        (with("from: 50/s", slo), "up_to"),
        (with(&format!("{good}, step: 999ms"), slo), "a step of 999ms is outside 1s … 1h"),
        (with(&format!("{good}, step: 2h"), slo), "a step of 2h is outside 1s … 1h"),
        (with(&format!("{good}, tolerance: 60%"), slo), "a tolerance of 60% is outside 0.1% … 50%"),
        (with(&format!("{good}, tolerance: 5"), slo), "is no tolerance; write a percentage such as 3%"),
        (with(good, ""), "a search needs promises to search by"),
        (with(good, slo), "a search needs a promise on errors, too"),
        (with(good, &format!("{another}{slo}")), "a search is the only attack of its config, and here are 2"),
        (with(good, &format!("{slo}stop_if: errors > 20% for 10s\n")), "remove stop_if"),
        (with(good, "slo: [rate >= 100/s]\n"), "\"rate >= 100/s\" is no promise to search by"),
    ] {
        let refusal = refused(&text);
        assert!(refusal.contains(told), "{text}{refusal}");
    }
}

#[test]
fn what_is_planned_is_refused_as_such() {
    let top = |field: &str| format!("{}{field}\n", attack("url: http://h/"));
    for (text, name, line) in [
        (top("tags: [a]"), "tags", 6),
        (top("coverage: 90%"), "coverage", 6),
        (top("seed: 5"), "seed", 6),
        (attack("url: http://h/\ndata: skus.csv"), "data", 6),
        (attack("scenario: []"), "scenario", 5),
        (attack("url: http://h/\nexpect: { status: 200, within: 5s }"), "within", 6),
    ] {
        let told = refused(&text);
        assert!(told.starts_with(&format!("  line {line} column ")), "{told}");
        assert!(told.contains(&format!(": \"{name}\" is not yet supported\n")), "{told}");
    }
}

#[test]
fn an_attack_may_choose_its_engine() {
    for (fields, carrier) in [
        ("url: https://h/", Carrier::Fast),
        ("url: http://h/\nengine: auto", Carrier::Fast),
        ("url: http://h/\nengine: fast", Carrier::Fast),
        ("url: http://h/\nengine: rich", Carrier::Rich),
        ("base_url: http://h\nrequests: [{ get: /a }]\nengine: rich", Carrier::Rich),
    ] {
        let text = attack(fields);
        assert_eq!(only_request(&text).carrier, carrier, "{text}");
        assert_eq!(fits_schema(&yaml(&text)), Ok(()), "{text}");
    }
    let told = refused(&attack("url: http://h/\nengine: turbo"));
    assert!(told.contains("turbo") && told.contains("use auto, fast, rich"), "{told}");
}

#[test]
fn an_attack_may_choose_its_version_of_http() {
    for (fields, version, carrier) in [
        ("url: http://h/", HttpVersion::Http1, Carrier::Fast),
        ("url: http://h/\nhttp_version: 1.1", HttpVersion::Http1, Carrier::Fast),
        ("url: https://h/\nhttp_version: 2", HttpVersion::Http2, Carrier::Rich),
        ("url: http://h/\nhttp_version: '2'\nengine: auto", HttpVersion::Http2, Carrier::Rich),
        ("url: http://h/\nhttp_version: 2.0\nengine: rich", HttpVersion::Http2, Carrier::Rich),
        ("base_url: http://h\nrequests: [{ get: /a }]\nhttp_version: 2", HttpVersion::Http2, Carrier::Rich),
    ] {
        let text = attack(fields);
        let request = only_request(&text);
        assert_eq!((request.http.version, request.carrier), (version, carrier), "{text}");
        assert_eq!(fits_schema(&yaml(&text)), Ok(()), "{text}");
        // As it travels: a message has what the file has.
        assert_eq!(again(&read(&text)).attacks()[0].requests[0], request, "{text}");
    }
    let told = refused(&attack("url: http://h/\nhttp_version: 3"));
    assert!(told.contains("attacks[0].http_version: expected 1.1 or 2, found the number 3\n"), "{told}");
    for (fields, line, what) in [
        (
            "url: http://h/\nhttp_version: 2\nengine: fast",
            7,
            "engine: the fast engine cannot do what this attack needs (HTTP/2); leave engine away, or use rich",
        ),
        (
            "url: http://h/\nhttp_version: 2\nheaders: { Host: a.example }",
            7,
            "headers.Host: over HTTP/2 a request names its host in the URL; remove the header host",
        ),
        (
            "url: http://h/\nhttp_version: 2\nwarm_up: 4",
            7,
            "warm_up: the rich engine, which this attack needs (HTTP/2), opens connections only to send; warm_up needs the fast one",
        ),
    ] {
        let told = refused(&attack(fields));
        assert_eq!(told, format!("  line {line}: attacks[0].{what}"));
    }
}

#[test]
fn templates_are_never_sent_as_they_stand() {
    for fields in [
        "url: \"http://h/{{ row.id }}\"",
        "base_url: http://h\nrequests: [{ get: \"/{{ int(1, 5) }}\" }]",
        "url: http://h/\nheaders: { x-a: \"{{ row.id }}\" }",
        "url: http://h/\nbody: \"{{ row.sku }}\"",
        "url: http://h/\njson: { a: [{ b: \"{{ row.sku }}\" }] }",
        "url: http://h/\njson: { \"{{ key }}\": 1 }",
    ] {
        let told = refused(&attack(fields));
        assert!(told.ends_with("\"{{\" is not yet supported, and is never sent as it stands"), "{told}");
        assert!(!told.contains('\n'), "once: {told}");
    }
    let file = attack("url: http://h/\nbody_file: a.txt");
    let error = Config::from_text(&file, |_| Ok(b"{{ row.sku }}".to_vec())).unwrap_err();
    assert!(error.to_string().contains("\"{{\" is not yet supported"), "{error}");
}
