//! What reads, and as what.

use std::num::NonZeroU32;
use std::time::Duration;

use deathstar_statemachine::arrivals::Spacing;
use deathstar_statemachine::config::{Carrier, Config, Http, Order, RawConfig, Request, Workers};
use deathstar_statemachine::load::{Load, Think};
use deathstar_statemachine::slo::Rule;
use deathstar_statemachine::units::Rate;
use serde_json::{Value, json};

use super::{EXAMPLES, again, attack, only_attack, only_request, read, refused};

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
            http: Http::default(),
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
