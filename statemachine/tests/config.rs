//! What a config file may say, what it must not, and in which words that is
//! told. Messages are compared whole wherever they are ours.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::time::Duration;

use deathstar_statemachine::arrivals::Spacing;
use deathstar_statemachine::config::problem::{Invalid, Shape};
use deathstar_statemachine::config::{
    self, Attack, Carrier, Config, ConfigError, Order, RawConfig, Request, Workers,
};
use deathstar_statemachine::load::{Load, Think};
use deathstar_statemachine::slo::Rule;
use deathstar_statemachine::units::Rate;
use proptest::prelude::*;
use serde_json::{Value, json};

const EXAMPLES: [(&str, &str); 8] = [
    ("quickstart", include_str!("../../client/examples/quickstart.yaml")),
    ("checkout", include_str!("../../client/examples/checkout.yaml")),
    ("users", include_str!("../../client/examples/users.yaml")),
    ("steps", include_str!("../../client/examples/steps.yaml")),
    ("secrets", include_str!("../../client/examples/secrets.yaml")),
    ("burst", include_str!("../../client/examples/burst.yaml")),
    ("capacity", include_str!("../../client/examples/capacity.yaml")),
    ("resources", include_str!("../../client/examples/resources.yaml")),
];

fn no_files(file: &str) -> Result<Vec<u8>, String> {
    Err(format!("nobody expected {file}"))
}

fn read(text: &str) -> Config {
    Config::from_text(text, no_files).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn refused(text: &str) -> String {
    match Config::from_text(text, no_files) {
        Ok(config) => panic!("{text}\nwas read as {config:?}"),
        Err(error) => error.to_string(),
    }
}

/// An attack with a load, and a target unless `fields` has one; `fields` are
/// its lines from line 5 on.
fn attack(fields: &str) -> String {
    let mut text =
        "name: t\nattacks:\n  - name: a\n    load: { constant: { rate: 1/s, for: 1s } }\n".to_owned();
    for line in fields.lines() {
        text.push_str("    ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn only_request(text: &str) -> Request {
    read(text).attacks()[0].requests[0].clone()
}

fn only_attack(text: &str) -> Attack {
    read(text).attacks()[0].clone()
}

// ---------------------------------------------------------------- what reads

#[test]
fn the_short_form_is_one_request_and_a_constant_load() {
    let config = read(EXAMPLES[0].1);
    assert_eq!(config.name(), "quickstart");
    assert_eq!(config.order(), Order::SideBySide);
    assert_eq!(config.workers(), Workers::Auto);
    assert_eq!(config.stop_if(), None);
    let [attack] = config.attacks() else { panic!("one attack") };
    assert_eq!(attack.name, "home");
    assert_eq!(
        attack.load,
        Load::Constant { rate: Rate::per_second(500), duration: Duration::from_secs(10) }
    );
    assert_eq!(attack.timeout, Duration::from_secs(30));
    assert_eq!(attack.think, Think::default());
    assert_eq!(attack.slo.iter().map(Rule::text).collect::<Vec<_>>(), ["p99 < 250ms", "errors < 0.1%"]);
    let [request] = attack.requests.as_slice() else { panic!("one request") };
    assert_eq!(
        *request,
        Request {
            name: "home".to_owned(),
            weight: NonZeroU32::MIN,
            method: "GET".to_owned(),
            url: "http://127.0.0.1:8080/".parse().unwrap(),
            headers: Vec::new(),
            body: Vec::new(),
            expect_status: None,
            carrier: Carrier::Fast,
        }
    );
}

#[test]
fn the_long_form_is_a_weighted_mix_under_a_profile() {
    let config = read(EXAMPLES[1].1);
    assert_eq!(config.stop_if().unwrap().to_string(), "errors > 20% for 10s");
    let attack = &config.attacks()[0];
    assert_eq!(
        attack.load,
        Load::Ramp {
            from: Rate::per_second(50),
            to: Rate::per_second(800),
            over: Duration::from_secs(30),
            hold: Duration::from_secs(60),
        }
    );
    assert_eq!(attack.timeout, Duration::from_secs(5));
    let [browse, buy] = attack.requests.as_slice() else { panic!("two requests") };
    assert_eq!((browse.name.as_str(), browse.weight.get(), browse.method.as_str()), ("browse", 3, "GET"));
    assert_eq!(browse.url.as_str(), "http://127.0.0.1:8080/items?page=1");
    assert_eq!(browse.headers, [("accept".to_owned(), "application/json".to_owned())]);
    assert_eq!((buy.name.as_str(), buy.weight.get(), buy.method.as_str()), ("buy", 1, "POST"));
    assert_eq!(buy.body, br#"{"sku":"A-1001","quantity":1}"#);
    assert_eq!(buy.expect_status, Some(201));
    let content_type = ("content-type".to_owned(), "application/json".to_owned());
    assert_eq!(buy.headers, [("accept".to_owned(), "application/json".to_owned()), content_type]);
}

#[test]
fn every_profile_reads() {
    let users = &read(EXAMPLES[2].1).attacks()[0].clone();
    assert_eq!(
        users.load,
        Load::Users {
            count: NonZeroU32::new(200).unwrap(),
            ramp: Duration::from_secs(10),
            duration: Duration::from_secs(60),
        }
    );
    assert_eq!(users.think, Think { min: Duration::from_millis(200), max: Duration::from_secs(1) });

    let steps = read(EXAMPLES[3].1);
    assert_eq!(steps.order(), Order::Sequence);
    assert_eq!(
        steps.attacks()[0].load,
        Load::Steps {
            rates: [100, 200, 400, 800].map(Rate::per_second).to_vec(),
            each: Duration::from_secs(20)
        }
    );
    assert_eq!(steps.attacks()[0].slo.len(), 1);
    assert_eq!(steps.attacks()[1].slo.len(), 2, "the config's promise and its own");

    let burst = &read(EXAMPLES[5].1).attacks()[0].clone();
    assert_eq!(
        burst.load,
        Load::Burst {
            base: Rate::per_second(100),
            peak: Rate::per_second(1000),
            warm: Duration::from_secs(10),
            spike: Duration::from_secs(5),
            recover: Duration::from_secs(15),
            times: NonZeroU32::new(3).unwrap(),
        }
    );
    assert_eq!(
        (burst.arrivals, burst.connections, burst.warm_up),
        (Spacing::Poisson, NonZeroU32::new(200), 50)
    );
    let once = "name: t\nattacks: [{name: a, url: http://h/, load: {burst: {base: 1/s, peak: 5/s, warm: 1s, spike: 1s, recover: 2s}}}]";
    let once = only_attack(once);
    assert_eq!(once.load.duration(), Duration::from_secs(4));
    assert_eq!((once.arrivals, once.connections, once.warm_up), (Spacing::Even, None, 0));

    let from_nothing =
        "name: t\nattacks: [{name: a, url: http://h/, load: {ramp: {from: 0/s, to: 5/s, over: 1s}}}]";
    assert!(matches!(only_attack(from_nothing).load, Load::Ramp { hold: Duration::ZERO, .. }));
}

#[test]
fn workers_are_auto_or_a_number_in_either_form() {
    let with = |workers: &str| read(&format!("{}workers: {workers}\n", attack("url: http://h/"))).workers();
    let seven = Workers::Count(NonZeroU32::new(7).unwrap());
    for (text, workers) in
        [("auto", Workers::Auto), ("{ count: auto }", Workers::Auto), ("7", seven), ("{ count: 7 }", seven)]
    {
        assert_eq!(with(text), workers, "{text}");
    }
}

#[test]
fn workers_have_memory_and_a_region_on_aws() {
    let with = |workers: &str| read(&format!("{}workers: {workers}\n", attack("url: http://h/")));
    for (text, memory, region) in [
        ("auto", 1769, None),
        ("{ memory: 2GB }", 2048, None),
        ("{ count: auto, memory: 1769MB, regions: [eu-west-1] }", 1769, Some("eu-west-1")),
        ("{ count: 3, regions: [us-gov-west-1] }", 1769, Some("us-gov-west-1")),
        ("{ count: 3, memory: 128MB }", 128, None),
    ] {
        let config = with(text);
        assert_eq!((config.memory_mb(), config.region()), (memory, region), "{text}");
        assert_eq!(again(&config), config, "{text}");
    }
    assert_eq!(with("{ memory: 2GB }").workers(), Workers::Auto);
    assert_eq!(with("{ count: 3, memory: 2GB }").workers(), Workers::Count(NonZeroU32::new(3).unwrap()));
    let short = serde_json::to_value(with("{ count: 3 }")).unwrap();
    assert_eq!(short["workers"], json!(3), "as short as it can be");
}

#[test]
fn a_budget_is_a_number_of_dollars() {
    let with = |budget: &str| read(&format!("{}{budget}\n", attack("url: http://h/")));
    for (text, usd) in [
        ("", None),
        ("budget: { max_usd: 5 }", Some(5.0)),
        ("budget: { max_usd: 0.25 }", Some(0.25)),
        ("budget: { max_usd: 0 }", Some(0.0)),
    ] {
        assert_eq!(with(text).max_usd(), usd, "{text}");
        assert_eq!(again(&with(text)), with(text), "{text}");
    }
}

#[test]
fn paths_are_appended_to_the_base() {
    for (base, path, url) in [
        ("https://h", "/items", "https://h/items"),
        ("https://h/", "/items", "https://h/items"),
        ("https://h/api", "/items", "https://h/api/items"),
        ("https://h/api/", "/items?page=1", "https://h/api/items?page=1"),
        ("https://h/api", "?page=1", "https://h/api?page=1"),
        ("https://h:8443/api", "/", "https://h:8443/api/"),
        ("https://h/api", "http://other/x", "http://other/x"),
        ("HTTP://H/", "/a b", "http://h/a%20b"),
        ("http://[::1]:80", "/x", "http://[::1]/x"),
    ] {
        let text = attack(&format!("base_url: {base}\nrequests: [{{ get: \"{path}\" }}]"));
        assert_eq!(only_request(&text).url.as_str(), url, "{base} and {path}");
    }
}

#[test]
fn every_way_to_write_a_target_reads() {
    for (fields, method, name) in [
        ("get: /items?page=1", "GET", "GET /items"),
        ("post: /items", "POST", "POST /items"),
        ("put: /items", "PUT", "PUT /items"),
        ("patch: /items", "PATCH", "PATCH /items"),
        ("delete: /items", "DELETE", "DELETE /items"),
        ("head: /items", "HEAD", "HEAD /items"),
        ("options: /items", "OPTIONS", "OPTIONS /items"),
        ("path: /items", "GET", "GET /items"),
        ("path: /items, method: propfind", "PROPFIND", "PROPFIND /items"),
        ("url: http://h/items, method: PUT", "PUT", "PUT /items"),
        ("get: http://h/items", "GET", "GET /items"),
        ("get: /items, name: list", "GET", "list"),
    ] {
        let request = only_request(&attack(&format!("base_url: http://h\nrequests: [{{ {fields} }}]")));
        assert_eq!((request.method.as_str(), request.name.as_str()), (method, name), "{fields}");
        assert_eq!(request.url.path(), "/items", "{fields}");
    }
}

#[test]
fn a_request_overrides_the_headers_of_its_attack() {
    let text = attack(
        "base_url: http://h\nheaders: { A: one, Host: shop, b: two }\nrequests: [{ get: /, headers: { B: own, c: three } }]",
    );
    let headers = only_request(&text).headers;
    let pairs: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(pairs, [("a", "one"), ("host", "shop"), ("b", "own"), ("c", "three")]);
}

#[test]
fn bodies_are_sent_as_written() {
    for (field, body) in [
        ("body: hello", &b"hello"[..]),
        ("body: |\n  two\n  lines", b"two\nlines\n"),
        (
            "json: { z: 1, a: [true, null, 1.5, \"x\"], nested: { y: -2 } }",
            br#"{"z":1,"a":[true,null,1.5,"x"],"nested":{"y":-2}}"#,
        ),
        ("json: null", b"null"),
        ("json: 0755", br#""0755""#),
        ("json: 0.1", b"0.1"),
        ("json: no", br#""no""#),
        ("body_base64: AP8=", &[0, 255]),
        ("expect: { status: 204 }", b""),
    ] {
        let request = only_request(&attack(&format!("url: http://h/\nmethod: GET\n{field}")));
        assert_eq!(request.body, body, "{field}");
        let typed =
            request.headers.iter().any(|(name, value)| name == "content-type" && value == "application/json");
        assert_eq!(typed, field.starts_with("json"), "{field}");
    }
    let own_type =
        attack("url: http://h/\njson: {}\nheaders: { Content-Type: application/merge-patch+json }");
    assert_eq!(
        only_request(&own_type).headers,
        [("content-type".to_owned(), "application/merge-patch+json".to_owned())]
    );
}

#[test]
fn body_files_are_inlined_as_text_or_base64() {
    let text = attack(
        "base_url: http://h\nrequests:\n  - { post: /a, body_file: a.txt }\n  - { post: /b, body_file: b.bin }",
    );
    let raw = RawConfig::read(&text).unwrap();
    assert_eq!(raw.body_files().collect::<Vec<_>>(), ["a.txt", "b.bin"]);

    let unread = Config::try_from(raw.clone()).unwrap_err().to_string();
    assert_eq!(
        unread,
        "  attacks[0].requests[0].body_file: body file \"a.txt\" was not read; only a config that is read from a \
         file can name one\n  attacks[0].requests[1].body_file: body file \"b.bin\" was not read; only a config \
         that is read from a file can name one"
    );

    let files = |file: &str| Ok(if file == "a.txt" { b"text".to_vec() } else { vec![0, 159, 146, 150] });
    let inlined = raw.with_body_files(files).unwrap();
    assert_eq!(inlined.body_files().count(), 0);
    let config = Config::try_from(inlined).unwrap();
    assert_eq!(config.attacks()[0].requests[0].body, b"text");
    assert_eq!(config.attacks()[0].requests[1].body, [0, 159, 146, 150]);
    assert_eq!(config, Config::from_text(&text, files).unwrap());
    assert_eq!(again(&config), config);
}

#[test]
fn a_missing_body_file_is_one_problem_among_the_others() {
    let text = attack("url: http://h/\nbody_file: gone.txt\ntimeout: 0s");
    assert_eq!(
        refused(&text),
        "  line 6: attacks[0].body_file: body file \"gone.txt\" cannot be used: nobody expected gone.txt\n  \
         line 7: attacks[0].timeout: a duration of 0s is no time at all; write at least 1us"
    );
}

#[test]
fn json_is_read_like_yaml() {
    let text = "{\n\t\"name\": \"t\",\n\t\"attacks\": [\t{ \"name\": \"a\", \"url\": \"http:\\/\\/h\\/\", \
                \"json\": \"\\ud83d\\ude00\", \"rate\": \"5/s\", \"duration\": \"1s\" }]\n}\n";
    assert_eq!(only_request(text).body, "\"😀\"".as_bytes());
    assert_eq!(
        refused("{\n  \"name\": \"t\",\n  \"attcks\": []\n}"),
        "  line 3 column 3: unknown field \"attcks\" in a config; did you mean \"attacks\"?\n    |   \"attcks\": []\n    |   ^"
    );
    let requests: Vec<Value> = (0..1000)
        .map(|index| json!({ "get": format!("/{index}"), "json": { "text": "x".repeat(1000) } }))
        .collect();
    let large = json!({ "name": "t", "attacks": [{ "name": "a", "base_url": "http://h", "requests": requests,
                        "rate": "1/s", "duration": "1s" }] });
    assert_eq!(read(&serde_json::to_string_pretty(&large).unwrap()).attacks()[0].requests.len(), 1000);
}

#[test]
fn line_ends_byte_order_marks_and_aliases_do_not_matter() {
    let plain = read(EXAMPLES[0].1);
    assert_eq!(read(&EXAMPLES[0].1.replace('\n', "\r\n")), plain);
    assert_eq!(read(&format!("\u{feff}{}", EXAMPLES[0].1)), plain);
    let alias = "name: t\nattacks:\n  - &home { name: a, url: http://h/, rate: 1/s, duration: 1s }\n  - { <<: *home, name: b }\n";
    assert_eq!(read(alias).attacks().len(), 2);
    assert_eq!(read(alias).attacks()[1].name, "b");
}

// ------------------------------------------------------------- wrong shapes

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
        (attack("url: http://h/\nengine: rich\nwarm_up: 6"), "warm_up needs the fast one"),
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

// ------------------------------------------------------------- wrong values

#[test]
fn every_wrong_value_of_an_attack_is_told() {
    for (fields, message) in [
        ("", "line 3: attacks[0]: there is nothing to send to; write url, or base_url with requests"),
        (
            "url: http://h/\nrate: 5/s",
            "line 6: attacks[0].rate: rate is short for a constant load, and there is a load as well; remove one of them",
        ),
        (
            "url: http://h/\nduration: 5s",
            "line 6: attacks[0].duration: duration is short for a constant load, and there is a load as well; remove one of them",
        ),
        (
            "url: http://h/\ntimeout: 5",
            "line 6: attacks[0].timeout: duration 5 has no unit; write 5s, 5ms or 5m",
        ),
        (
            "url: http://h/\ntimeout: 0s",
            "line 6: attacks[0].timeout: a duration of 0s is no time at all; write at least 1us",
        ),
        ("url: http://h/\ntimeout: 61m", "line 6: attacks[0].timeout: 61m is too long; the limit is 1h"),
        (
            "url: http://h/\ntimeout: -5s",
            "line 6: attacks[0].timeout: \"-5s\" is not a duration; write it like 250ms, 30s, 10m or 1m30s",
        ),
        (
            "url: http://h/\ntimeout: 0.5us",
            "line 6: attacks[0].timeout: duration 0.5us is finer than a microsecond, or has more than three decimals",
        ),
        (
            "url: http://h/\nthink: 1s",
            "line 6: attacks[0].think: only virtual users pause; think needs a load of users, and this one is constant",
        ),
        (
            "url: http://h/\nmethod: \"GE T\"",
            "line 6: attacks[0].method: \"GE T\" is no HTTP method; write one such as GET or POST",
        ),
        (
            "url: http://h/\nmethod: \"\"",
            "line 6: attacks[0].method: \"\" is no HTTP method; write one such as GET or POST",
        ),
        (
            "url: http://h/\nmethod: connect",
            "line 6: attacks[0].method: CONNECT opens a tunnel and is no request",
        ),
        (
            "url: http://h/\nexpect: { status: 600 }",
            "line 6: attacks[0].expect.status: status 600 is out of range; write 100 to 599",
        ),
        (
            "url: http://h/\nexpect: { status: 99 }",
            "line 6: attacks[0].expect.status: status 99 is out of range; write 100 to 599",
        ),
        (
            "url: http://h/\nbody: a\njson: {}",
            "line 3: attacks[0]: a request has one body, and this one has body and json",
        ),
        (
            "url: http://h/\nbody: a\nbody_file: b",
            "line 3: attacks[0]: a request has one body, and this one has body and body_file",
        ),
        (
            "url: http://h/\nbody_base64: \"%%\"",
            "line 6: attacks[0].body_base64: it is no base64: Invalid symbol 37, offset 0.",
        ),
        (
            "url: http://h/\nheaders: { \"bad name\": x }",
            "line 6: attacks[0].headers.bad name: \"bad name\" is no header name; use letters, digits and -",
        ),
        (
            "url: http://h/\nheaders: { x-a: \"a\\r\\nb: c\" }",
            "line 6: attacks[0].headers.x-a: the value of header x-a holds '\\r'; only visible ASCII characters, blanks and tabs can be sent",
        ),
        (
            "url: http://h/\nheaders: { x-a: é }",
            "line 6: attacks[0].headers.x-a: the value of header x-a holds 'é'; only visible ASCII characters, blanks and tabs can be sent",
        ),
        (
            "url: http://h/\nheaders: { x-a: a, X-A: b }",
            "line 6: attacks[0].headers.X-A: header x-a is written twice",
        ),
        (
            "url: http://h/\nheaders: { Content-Length: \"5\" }",
            "line 6: attacks[0].headers.Content-Length: header content-length follows from the request and the connection, and cannot be set",
        ),
        (
            "url: http://h/\nheaders: { transfer-encoding: chunked }",
            "line 6: attacks[0].headers.transfer-encoding: header transfer-encoding follows from the request and the connection, and cannot be set",
        ),
        (
            "url: http://h/\nheaders: { connection: close }",
            "line 6: attacks[0].headers.connection: header connection follows from the request and the connection, and cannot be set",
        ),
        (
            "base_url: http://h/",
            "line 5: attacks[0].base_url: base_url needs requests whose paths are appended to it; for a single target write url",
        ),
        ("requests: []", "line 5: attacks[0].requests: there is no request; write at least one"),
        (
            "url: http://h/\nrequests: [{ get: http://h/ }]",
            "line 5: attacks[0].url: url is for a single request; beside requests write base_url",
        ),
        (
            "method: PUT\nrequests: [{ get: http://h/ }]",
            "line 5: attacks[0].method: method cannot stand beside requests; move it into each of them",
        ),
        (
            "json: {}\nrequests: [{ get: http://h/ }]",
            "line 5: attacks[0].json: json cannot stand beside requests; move it into each of them",
        ),
        (
            "requests: [{ get: /items }]",
            "line 5: attacks[0].requests[0].get: \"/items\" is a path, and the attack has no base_url to append it to",
        ),
        (
            "base_url: http://h\nrequests: [{ get: items }]",
            "line 6: attacks[0].requests[0].get: \"items\" is neither a path, which starts with /, nor a URL, which starts with http:// or https://",
        ),
        (
            "base_url: http://h\nrequests: [{ path: items }]",
            "line 6: attacks[0].requests[0].path: \"items\" is no path; it starts with /",
        ),
        (
            "base_url: http://h\nrequests: [{ name: x }]",
            "line 6: attacks[0].requests[0]: there is nothing to send to; write get, post or another method with a path, or url",
        ),
        (
            "base_url: http://h\nrequests: [{ get: /, post: / }]",
            "line 6: attacks[0].requests[0]: a request has one target, and this one has get and post",
        ),
        (
            "base_url: http://h\nrequests: [{ get: /, method: PUT }]",
            "line 6: attacks[0].requests[0].method: get says the method already; remove method",
        ),
        (
            "base_url: http://h\nrequests: [{ get: /a }, { get: /a?b }]",
            "line 6: attacks[0].requests[1]: attacks[0].requests[0] is \"GET /a\" too; give each a name of its own",
        ),
        (
            "base_url: http://h\nrequests: [{ name: x, get: /a }, { name: x, get: /b }]",
            "line 6: attacks[0].requests[1].name: attacks[0].requests[0] is called \"x\" too; names must differ",
        ),
        (
            "base_url: http://h\nrequests: [{ name: \" \", get: /a }]",
            "line 6: attacks[0].requests[0].name: a name needs at least one visible character",
        ),
        (
            "base_url: http://h\nrequests: [{ get: /a, weight: 0 }]",
            "line 6: attacks[0].requests[0].weight: weight 0 is out of range; write 1 to 10000",
        ),
        (
            "base_url: http://h\nrequests: [{ get: /a, weight: 10001 }]",
            "line 6: attacks[0].requests[0].weight: weight 10001 is out of range; write 1 to 10000",
        ),
        (
            "url: http://h/\nslo: [\"p199 < 1s\"]",
            "line 6: attacks[0].slo[0]: \"p199\" is no metric: use p50, p90, p95, p99, p999, p9999, max, mean, errors, achieved or rate",
        ),
        (
            "url: http://h/\nslo: [p99 < 1s, p99 < 1000ms]",
            "line 6: attacks[0].slo[1]: \"p99 < 1000ms\" is the same promise as attacks[0].slo[0]",
        ),
    ] {
        assert_eq!(refused(&attack(fields)), format!("  {message}"), "{fields}");
    }
}

#[test]
fn headers_of_the_connection_cannot_be_set() {
    for name in [
        "Connection",
        "Content-Length",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    ] {
        let told = refused(&attack(&format!("url: http://h/\nheaders: {{ {name}: x }}")));
        assert!(told.ends_with("follows from the request and the connection, and cannot be set"), "{told}");
    }
}

#[test]
fn every_wrong_url_is_told() {
    for (url, message) in [
        ("htp://h/", "htp:// is not a scheme that can be attacked; write http:// or https://"),
        ("ftp://h/", "ftp:// is not a scheme that can be attacked; write http:// or https://"),
        ("h/", "\"h/\" has no scheme; write http://h/ or https://h/"),
        (
            "localhost:8080/x",
            "\"localhost:8080/x\" has no scheme; write http://localhost:8080/x or https://localhost:8080/x",
        ),
        ("/items", "\"/items\" names no host; write one such as http://127.0.0.1:8080/"),
        ("", "\"\" names no host; write one such as http://127.0.0.1:8080/"),
        ("http://", "\"http://\" names no host; write one such as http://127.0.0.1:8080/"),
        ("http:///x", "\"http:///x\" names no host; write one such as http://127.0.0.1:8080/"),
        ("http://:80/", "\"http://:80/\" names no host; write one such as http://127.0.0.1:8080/"),
        ("http://h/#top", "\"http://h/#top\" has a fragment, which is never sent; remove what starts with #"),
        ("http://h\\x", "\"http://h\\\\x\" holds a backslash; write / or %5C"),
        ("http://h:0/", "\"http://h:0/\" has port 0, where nothing can listen; write 1 to 65535"),
        ("http://h:99999/", "\"http://h:99999/\" is no URL: invalid port number"),
        ("http://a b/", "\"http://a b/\" is no URL: invalid international domain name"),
        (
            "http://user:secret@h/",
            "the URL carries a user name or a password; remove it, and send an authorization header",
        ),
        (
            "ftp://user:secret@h/",
            "the URL carries a user name or a password; remove it, and send an authorization header",
        ),
    ] {
        let told = refused(&attack(&format!("url: '{url}'")));
        assert_eq!(told, format!("  line 5: attacks[0].url: {message}"), "{url}");
        assert!(!told.contains("secret"));
    }
    let broken = refused(&attack("url: \"http://h/a\\nb\""));
    assert!(broken.ends_with("holds a line break, a tab or another control character"), "{broken}");
    let base = refused(&attack("base_url: http://h/?a=1\nrequests: [{ get: / }]"));
    assert_eq!(
        base,
        "  line 5: attacks[0].base_url: \"http://h/?a=1\" has a query, and paths cannot be appended to it; move it into the requests"
    );
}

#[test]
fn every_wrong_load_is_told() {
    let whole = |load: &str| format!("name: t\nattacks:\n  - name: a\n    url: http://h/\n    {load}\n");
    for (load, message) in [
        (
            "timeout: 5s",
            "line 3: attacks[0]: an attack needs a load; write rate and duration, or load with one profile",
        ),
        ("rate: 5/s", "line 5: attacks[0].rate: rate needs duration beside it"),
        ("duration: 5s", "line 5: attacks[0].duration: duration needs rate beside it"),
        (
            "{RD}rate: 500",
            "line 5: attacks[0].rate: arrival rate 500 has no unit; write 500/s, 500/m or 500/h",
        ),
        (
            "{RD}rate: 1_000",
            "line 5: attacks[0].rate: arrival rate 1_000 has no unit; write 1_000/s, 1_000/m or 1_000/h",
        ),
        (
            "{RD}rate: 0/s",
            "line 5: attacks[0].rate: arrival rate 0/s never sends anything; write at least 1/h",
        ),
        (
            "{RD}rate: -5",
            "line 5: attacks[0].rate: \"-5\" is not an arrival rate; write it like 500/s, 30/m or 10/h",
        ),
        (
            "{RD}rate: 5/d",
            "line 5: attacks[0].rate: \"5/d\" is not an arrival rate; write it like 500/s, 30/m or 10/h",
        ),
        (
            "{RD}rate: 1000001/s",
            "line 5: attacks[0].rate: 1000001/s is faster than any plan can send; the limit is 1000000/s",
        ),
        (
            "load: { constant: { rate: 5/s, for: 31d } }",
            "line 5: attacks[0].load.constant.for: 31d is too long; the limit is 30d",
        ),
        (
            "load: { constant: { rate: 5/s, for: 10 } }",
            "line 5: attacks[0].load.constant.for: duration 10 has no unit; write 10s, 10ms or 10m",
        ),
        (
            "load: { ramp: { from: 0/s, to: 0/m, over: 5s } }",
            "line 5: attacks[0].load.ramp: a ramp from 0/s to 0/m never sends anything; write at least 1/h for one of them",
        ),
        (
            "load: { ramp: { from: 0/s, to: 1/s, over: 0s } }",
            "line 5: attacks[0].load.ramp.over: a duration of 0s is no time at all; write at least 1us",
        ),
        (
            "load: { ramp: { from: 0/s, to: 1/s, over: 20d, hold: 11d } }",
            "line 5: attacks[0].load: 31d is too long; the limit is 30d",
        ),
        (
            "load: { steps: { rates: [], each: 5s } }",
            "line 5: attacks[0].load.steps.rates: there is no step; write at least one",
        ),
        (
            "load: { steps: { rates: [1/s, 0/s], each: 5s } }",
            "line 5: attacks[0].load.steps.rates[1]: arrival rate 0/s never sends anything; write at least 1/h",
        ),
        (
            "load: { steps: { rates: [1/s, 2/s, 3/s, 4/s], each: 10d } }",
            "line 5: attacks[0].load: 40d is too long; the limit is 30d",
        ),
        (
            "load: { users: { count: 0, for: 5s } }",
            "line 5: attacks[0].load.users.count: number of users 0 is out of range; write 1 to 1000000",
        ),
        (
            "load: { users: { count: 1000001, for: 5s } }",
            "line 5: attacks[0].load.users.count: number of users 1000001 is out of range; write 1 to 1000000",
        ),
        (
            "load: { users: { count: 1, for: 5s } }\n    think: { min: 2s, max: 1s }",
            "line 6: attacks[0].think: the shortest pause, 2s, is longer than the longest, 1s",
        ),
        (
            "load: { users: { count: 1, for: 5s } }\n    think: 500",
            "line 6: attacks[0].think: duration 500 has no unit; write 500s, 500ms or 500m",
        ),
        (
            "load: { users: { count: 1, for: 5s } }\n    think: 2h",
            "line 6: attacks[0].think: 2h is too long; the limit is 1h",
        ),
    ] {
        let text =
            whole(&load.replace("{RD}", "duration: 1s\n    ")).replace("duration: 1s\n    rate", "rate");
        let text = if load.starts_with("{RD}") { format!("{text}    duration: 1s\n") } else { text };
        assert_eq!(refused(&text), format!("  {message}"), "{text}");
    }
    let steps = vec!["1/s"; 1001].join(", ");
    assert_eq!(
        refused(&whole(&format!("load: {{ steps: {{ rates: [{steps}], each: 1s }} }}"))),
        "  line 5: attacks[0].load.steps.rates: 1001 steps are too many; the limit is 1000"
    );
}

#[test]
fn every_wrong_value_at_the_top_is_told() {
    let home = "{ name: a, url: http://h/, rate: 1/s, duration: 1s }";
    let long = "x".repeat(101);
    for (text, message) in [
        ("name: t\nattacks: []\n".to_owned(), "line 2: attacks: there is no attack; write at least one".to_owned()),
        (format!("name: \"\"\nattacks: [{home}]\n"), "line 1: name: a name needs at least one visible character".to_owned()),
        (format!("name: {long}\nattacks: [{home}]\n"), "line 1: name: a name of 101 characters is too long; the limit is 100".to_owned()),
        (format!("name: \"a\\nb\"\nattacks: [{home}]\n"), "line 1: name: name \"a\\nb\" holds a line break or another control character".to_owned()),
        (format!("name: t\nattacks:\n  - {home}\n  - {home}\n"), "line 4: attacks[1].name: attacks[0] is called \"a\" too; names must differ".to_owned()),
        (format!("name: t\nattacks: [{home}]\nworkers: 0\n"), "line 3: workers: number of workers 0 is out of range; write 1 to 10000".to_owned()),
        (format!("name: t\nattacks: [{home}]\nworkers: {{ count: 10001 }}\n"), "line 3: workers: number of workers 10001 is out of range; write 1 to 10000".to_owned()),
        (format!("name: t\nattacks: [{home}]\nworkers: {{ memory: 1769 }}\n"), "line 3: workers.memory: memory 1769 has no unit; write 1769MB or 1769GB".to_owned()),
        (format!("name: t\nattacks: [{home}]\nworkers: {{ memory: 64MB }}\n"), "line 3: workers.memory: 64MB is too little memory for a worker; the limit is 128MB".to_owned()),
        (format!("name: t\nattacks: [{home}]\nworkers: {{ memory: 11GB }}\n"), "line 3: workers.memory: 11GB is more memory than a worker can have; the limit is 10240MB".to_owned()),
        (format!("name: t\nattacks: [{home}]\nworkers: {{ memory: lots }}\n"), "line 3: workers.memory: \"lots\" is not an amount of memory; write it like 1769MB or 2GB".to_owned()),
        (format!("name: t\nattacks: [{home}]\nworkers: {{ regions: [] }}\n"), "line 3: workers.regions: there is no region; write at least one".to_owned()),
        (format!("name: t\nattacks: [{home}]\nworkers: {{ regions: [Ireland] }}\n"), "line 3: workers.regions[0]: \"Ireland\" is no AWS region; write one such as eu-west-1".to_owned()),
        (format!("name: t\nattacks: [{home}]\nworkers: {{ regions: [eu-west-1, us-east-1] }}\n"), "line 3: workers.regions: 2 regions are too many; the limit is 1: a stack attacks from its own region, since Step Functions cannot invoke across regions".to_owned()),
        (format!("name: t\nattacks: [{home}]\nbudget: {{ max_usd: -0.5 }}\n"), "line 3: budget.max_usd: a budget of -0.5 USD is less than nothing; write 0 or more".to_owned()),
        (format!("name: t\nattacks: [{home}]\nslo: [p99]\n"), "line 3: slo[0]: \"p99\" is no rule: write a metric, a comparison and a value, like p99 < 250ms, errors < 0.1% or achieved >= 98%".to_owned()),
        (format!("name: t\nattacks: [{home}]\nslo:\n  - errors < 1%\n  - errors<1.0%\n"), "line 5: slo[1]: \"errors < 1.0%\" is the same promise as slo[0]".to_owned()),
        (format!("name: t\nattacks: [{home}]\nstop_if: errors > 20%\n"), "line 3: stop_if: \"errors > 20%\" is no stop condition: write one like errors > 20% for 10s".to_owned()),
        (format!("name: t\nattacks: [{home}]\nstop_if: rate < 5/s for 10s\n"), "line 3: stop_if: stop_if cannot use rate < 5/s: each worker judges it alone, so use errors, a percentile, max or mean".to_owned()),
        (format!("name: t\nattacks: [{}]\n", vec![home; 101].join(", ")), "line 2: attacks: 101 attacks are too many; the limit is 100".to_owned()),
        (format!("name: t\nattacks: [{home}]\nslo: [{}]\n", vec!["errors < 1%"; 101].join(", ")), "line 3: slo: 101 rules are too many; the limit is 100".to_owned()),
    ] {
        assert_eq!(refused(&text), format!("  {message}"), "{text}");
    }
    let twenty_days = |name: &str| format!("{{ name: {name}, url: http://h/, rate: 1/s, duration: 20d }}");
    let both = format!("name: t\nattacks: [{}, {}]\n", twenty_days("a"), twenty_days("b"));
    assert_eq!(read(&both).attacks().len(), 2);
    assert_eq!(
        refused(&format!("{both}order: sequence\n")),
        "  line 2: attacks: 40d is too long; the limit is 30d"
    );
}

#[test]
fn too_many_requests_and_too_much_weight_are_told() {
    let with = |count: usize, weight: u64| {
        let requests: Vec<String> =
            (0..count).map(|index| format!("{{ get: /{index}, weight: {weight} }}")).collect();
        attack(&format!("base_url: http://h\nrequests: [{}]", requests.join(", ")))
    };
    assert_eq!(read(&with(1000, 1000)).attacks()[0].requests.len(), 1000);
    assert_eq!(
        refused(&with(1001, 1)),
        "  line 6: attacks[0].requests: 1001 requests are too many; the limit is 1000"
    );
    assert_eq!(
        refused(&with(101, 10_000)),
        "  line 6: attacks[0].requests: the weights add up to 1010000; the limit is 1000000"
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let told = refused(include_str!("config/wrong.yaml"));
    assert_eq!(told, include_str!("config/wrong.txt").trim_end(), "\n{told}\n");
}

#[test]
fn a_problem_knows_its_path_its_place_and_its_kind() {
    let text = attack("url: http://h/\ntimeout: 5");
    let ConfigError::Values(problems) = Config::from_text(&text, no_files).unwrap_err() else {
        panic!("values")
    };
    let [problem] = problems.iter().collect::<Vec<_>>()[..] else { panic!("one problem") };
    assert_eq!(problem.path().to_string(), "attacks[0].timeout");
    assert_eq!(problem.place().map(|place| (place.line, place.column)), Some((6, 14)));
    assert_eq!(*problem.what(), Invalid::DurationUnit("5".to_owned()));
}

// ------------------------------------------------------------------- as JSON

/// The config after a trip as JSON.
fn again(config: &Config) -> Config {
    serde_json::from_str(&serde_json::to_string(config).unwrap()).unwrap()
}

#[test]
fn a_config_travels_as_the_document_it_was_read_from() {
    for (name, text) in EXAMPLES {
        let config = read(text);
        assert_eq!(again(&config), config, "{name}");
        let raw: RawConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(raw, RawConfig::read(text).unwrap(), "{name}");
        assert_eq!(
            read(&serde_json::to_string(&config).unwrap()),
            config,
            "{name}: JSON is a config file too"
        );
    }
}

#[test]
fn an_invalid_config_cannot_arrive_as_a_message() {
    let mut message = serde_json::to_value(read(EXAMPLES[0].1)).unwrap();
    message["attacks"][0]["rate"] = json!("0/s");
    let error = serde_json::from_value::<Config>(message.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "  attacks[0].rate: arrival rate 0/s never sends anything; write at least 1/h"
    );
    message["attacks"][0]["scenario"] = json!({});
    assert!(serde_json::from_value::<Config>(message).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        "[^{$]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_load() -> impl Strategy<Value = Value> {
    prop_oneof![
        (1_u32..1_000_000, 1_u32..1000)
            .prop_map(|(rate, secs)| json!({ "constant": { "rate": format!("{rate}/s"), "for": format!("{secs}s") } })),
        (0_u32..5000, 1_u32..5000, 1_u32..5000).prop_map(|(from, to, over)| json!({ "ramp": {
            "from": format!("{from}/m"), "to": format!("{to}.5/h"), "over": format!("{over}ms"), "hold": "1m30s" } })),
        proptest::collection::vec(1_u32..5000, 1..20).prop_map(|rates| json!({ "steps": {
            "rates": rates.iter().map(|rate| format!("{rate}/s")).collect::<Vec<_>>(), "each": "1.5s" } })),
        (1_u32..1_000_000).prop_map(|count| json!({ "users": { "count": count, "for": "10s" } })),
    ]
}

fn any_config() -> impl Strategy<Value = Value> {
    let request = (any_json(), proptest::option::of(1_u32..10_000), "[ -~&&[^{$]]{0,10}");
    let attack = (any_load(), proptest::collection::vec(request, 1..5));
    let workers = prop_oneof![Just(json!("auto")), (1_u32..=10_000).prop_map(Value::from)];
    (proptest::collection::vec(attack, 1..4), workers, any::<bool>()).prop_map(|(attacks, workers, sequence)| {
        let attacks: Vec<Value> = attacks
            .into_iter()
            .enumerate()
            .map(|(index, (load, requests))| {
                let requests: Vec<Value> = requests
                    .into_iter()
                    .enumerate()
                    .map(|(index, (body, weight, header))| {
                        let mut request =
                            json!({ "post": format!("/{index}"), "json": body, "headers": { "x-any": header } });
                        if let Some(weight) = weight {
                            request["weight"] = json!(weight);
                        }
                        request
                    })
                    .collect();
                json!({ "name": format!("attack {index}"), "base_url": "http://h", "load": load, "requests": requests })
            })
            .collect();
        json!({ "name": "t", "attacks": attacks, "workers": workers, "slo": ["p99 < 1s"],
                "order": if sequence { "sequence" } else { "side_by_side" } })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_valid_config_stays_itself_as_json(document in any_config()) {
        let raw: RawConfig = serde_json::from_value(document).unwrap();
        let config = Config::try_from(raw.clone()).unwrap();
        prop_assert_eq!(&RawConfig::from(config.clone()), &raw);
        prop_assert_eq!(&again(&config), &config);
        // And the tree reads JSON exactly as serde_json does.
        let text = serde_json::to_string_pretty(&config).unwrap();
        prop_assert_eq!(&Config::from_text(&text, no_files).unwrap(), &config);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(name|attacks|load|- |: |\\[|\\]|\\{|\\}|\"|'|\n|  |\t|&a|\\*a|[0-9]|/s|é|#|---|!!|\\||>|\\PC){0,40}") {
        if let Err(error) = Config::from_text(&text, no_files) {
            prop_assert!(error.to_string().starts_with("  "));
        }
    }
}

// ------------------------------------------------------------------- schema

fn fits_schema(document: &Value) -> Result<(), String> {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("config.json", config::schema()).unwrap();
    let schema = compiler.compile("config.json", &mut schemas).unwrap();
    schemas.validate(document, schema).map_err(|error| error.to_string())
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn what_reads_fits_the_schema() {
    for (name, text) in EXAMPLES {
        assert_eq!(fits_schema(&yaml(text)), Ok(()), "{name}");
        assert_eq!(fits_schema(&serde_json::to_value(read(text)).unwrap()), Ok(()), "{name}");
    }
    for text in [
        attack(
            "url: http://127.0.0.1/?a=b\nmethod: PATCH\njson: [1, null]\nheaders: { Host: h }\nslo: [p99.9 <= 5ms]",
        ),
        attack(
            "requests: [{ url: https://h, body_base64: AP8=, expect: { status: 204 } }, { get: /, weight: 3 }]",
        ),
        format!("{}workers: {{ count: auto }}\norder: sequence\n", attack("url: http://h/\njson: null")),
        format!(
            "{}workers: {{ memory: 2GB, regions: [eu-west-1] }}\nbudget: {{ max_usd: 0.5 }}\n",
            attack("url: 'http://h/${secret:secretsmanager:a#b}?c=$d'")
        ),
        attack("base_url: http://h\nrequests: [{ get: '/a?t=${secret:secretsmanager:a#b}' }]"),
    ] {
        assert_eq!(fits_schema(&yaml(&text)), Ok(()), "{text}");
    }
}

#[test]
fn what_is_wrong_does_not_fit_the_schema() {
    for text in [
        "name: t\n".to_owned(),
        "name: t\nattacks: []\n".to_owned(),
        attack("url: ftp://h/"),
        attack("url: http://user:secret@h/"),
        attack("url: http://h/\ntimeout: 5"),
        attack("url: http://h/\ntimeout: five"),
        attack("url: http://h/\ntimeout: null"),
        attack("url: http://h/\ndurration: 5s"),
        attack("url: http://h/\nmethod: \"GE T\""),
        attack("url: http://h/\nheaders: { x-a: 5 }"),
        attack("url: http://h/\nexpect: { status: 99 }"),
        attack("url: http://h/\nslo: [p99]"),
        attack("requests: [{ get: http://h/, weight: 0 }]"),
        attack("requests: [{ get: items }]"),
        "name: t\nattacks: [{ name: a, url: http://h/, load: { burst: {} } }]\n".to_owned(),
        attack("url: http://h/\narrivals: uniform"),
        attack("url: http://h/\nconnections: 0"),
        "name: t\nattacks: [{ name: a, url: http://h/, load: { constant: { rate: 500, for: 1s } } }]\n"
            .to_owned(),
        format!("{}workers: 0\n", attack("url: http://h/")),
        format!("{}workers: {{ memory: 2048 }}\n", attack("url: http://h/")),
        format!("{}workers: {{ regions: [] }}\n", attack("url: http://h/")),
        format!("{}workers: {{ regions: [eu-west-1, us-east-1] }}\n", attack("url: http://h/")),
        format!("{}budget: {{ max_usd: -1 }}\n", attack("url: http://h/")),
        attack("url: 'http://${env:HOST}/'"),
        attack("url: 'http://h/${env:A}#top'"),
        format!("{}order: parallel\n", attack("url: http://h/")),
        format!("{}stop_if: errors > 5%\n", attack("url: http://h/")),
    ] {
        assert!(fits_schema(&yaml(&text)).is_err(), "{text}");
    }
}

#[test]
fn the_schema_explains_every_field_and_knows_none_that_is_planned() {
    let schema = config::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let text = schema.to_string();
    for planned in ["scenario", "within", "\"null\""] {
        assert!(!text.contains(planned), "{planned}");
    }
    let mut objects = vec![("config".to_owned(), &schema)];
    objects.extend(schema["$defs"].as_object().unwrap().iter().map(|(name, def)| (name.clone(), def)));
    let mut fields = 0;
    for (name, object) in objects {
        let Some(properties) = object["properties"].as_object() else { continue };
        assert_eq!(object["additionalProperties"], json!(false), "{name}");
        for (field, schema) in properties {
            assert!(
                schema["description"].as_str().is_some_and(|text| !text.contains('\n')),
                "{name}.{field}"
            );
            fields += 1;
        }
    }
    assert!(fields > 35, "{fields} fields");
}
