//! What has a wrong value, and how that is told: all of it at once.

use deathstar_statemachine::config::problem::Invalid;
use deathstar_statemachine::config::{Config, ConfigError};

use super::{attack, no_files, read, refused};

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
    let told = refused(include_str!("wrong.yaml"));
    assert_eq!(told, include_str!("wrong.txt").trim_end(), "\n{told}\n");
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
