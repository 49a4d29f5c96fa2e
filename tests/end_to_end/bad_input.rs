//! Input that cannot be used: exit code 2, nothing on standard output, and a
//! message that says which value it is, where, and what to write instead.

use std::fs;

use crate::command::Home;

/// A config with one attack of these lines.
fn attack(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    format!("name: bad\nattacks:\n  - name: x\n{lines}")
}

const URL: &str = "url: http://127.0.0.1:9/";
const RATE: &str = "rate: 10/s";
const DURATION: &str = "duration: 1s";

/// A config with a good attack, and these lines after it.
fn and(lines: &str) -> String {
    attack(&[URL, RATE, DURATION]) + lines + "\n"
}

#[test]
fn a_bad_config_is_refused_before_anything_is_made() {
    let good = [URL, RATE, DURATION];
    let one = |line: &'static str| attack(&[URL, RATE, DURATION, line]);
    let rate = |rate: &str| attack(&[URL, &format!("rate: {rate}"), DURATION]);
    let duration = |duration: &str| attack(&[URL, RATE, &format!("duration: {duration}")]);
    let url = |url: &str| attack(&[&format!("url: {url:?}"), RATE, DURATION]);
    let load = |load: &str| attack(&[URL, &format!("load: {load}")]);
    let cases: Vec<(String, &[&str])> = vec![
        // Shape.
        (String::new(), &["there is no config here"]),
        ("# only a comment\n".to_owned(), &["there is no config here"]),
        ("name: [1, 2\n".to_owned(), &["line 1"]),
        ("name: a\n\tattacks: []\n".to_owned(), &["line 1", "found a tab"]),
        ("just words\n".to_owned(), &["line 1", "expected"]),
        ("- a\n- b\n".to_owned(), &["line 1", "expected"]),
        ("{\"name\": \"a\"".to_owned(), &["line 1"]),
        ("name: a\n".to_owned(), &["attacks"]),
        ("name: a\nattacks: []\n".to_owned(), &["line 2", "there is no attack"]),
        ("name: a\nname: b\nattacks: []\n".to_owned(), &["line 2", "\"name\" is written twice"]),
        (format!("{}---\nname: b\n", attack(&good)), &["second document"]),
        (one("timeuot: 1s"), &["line 7", "\"timeuot\"", "did you mean \"timeout\"?"]),
        (attack(&["url:", RATE, DURATION]), &["line 4", "attacks[0].url", "no value"]),
        (attack(&["url: 5", RATE, DURATION]), &["line 4", "attacks[0].url", "expected"]),
        // Names.
        (
            "name: a\nattacks:\n  - { name: x, url: 'http://h/', rate: 1/s, duration: 1s }\n  - { name: x, url: 'http://h/', rate: 1/s, duration: 1s }\n".to_owned(),
            &["line 4", "attacks[1].name", "attacks[0] is called \"x\" too"],
        ),
        (attack(&good).replace("name: x", "name: ' '"), &["line 3", "visible character"]),
        (attack(&good).replace("name: x", &format!("name: {}", "x".repeat(101))), &["101", "100"]),
        // Rates and durations.
        (rate("0/s"), &["line 5", "attacks[0].rate", "0/s never sends anything"]),
        (rate("-5/s"), &["line 5", "-5/s"]),
        (rate("10"), &["line 5", "10/s, 10/m or 10/h"]),
        (rate("99999999999/s"), &["line 5", "99999999999"]),
        (rate("many/s"), &["line 5", "many"]),
        (rate("10/fortnight"), &["line 5", "fortnight"]),
        (duration("0s"), &["line 6", "attacks[0].duration", "no time at all"]),
        (duration("-1s"), &["line 6", "-1s"]),
        (duration("10"), &["line 6", "10s, 10ms or 10m"]),
        (duration("400d"), &["line 6", "too long", "30d"]),
        (duration("1y"), &["line 6", "1y"]),
        (one("timeout: 0s"), &["line 7", "attacks[0].timeout", "no time at all"]),
        (one("timeout: 2h"), &["line 7", "2h", "1h"]),
        (one("timeout: 1h"), &["1h", "15m", "the limit is 405s"]),
        // Loads.
        (attack(&[URL]), &["attacks[0]", "needs a load"]),
        (attack(&[URL, RATE]), &["rate needs duration"]),
        (attack(&[URL, DURATION]), &["duration needs rate"]),
        (one("load: { constant: { rate: 1/s, for: 1s } }"), &["remove one of them"]),
        (load("{}"), &["exactly one of"]),
        (load("{ constant: { rate: 1/s, for: 1s }, users: { count: 1, for: 1s } }"), &["exactly one of"]),
        (load("{ ramp: { from: 0/s, to: 0/s, over: 1s } }"), &["never sends anything"]),
        (load("{ steps: { rates: [], each: 1s } }"), &["line 5", "there is no step"]),
        (load("{ users: { count: 0, for: 1s } }"), &["line 5", "number of users 0"]),
        (load("{ users: { count: 1000001, for: 1s } }"), &["1000001", "1000000"]),
        (one("think: 1s"), &["only virtual users pause"]),
        (attack(&[URL, "rate: 1/h", DURATION, "slo: [p99 < 1s]"]) + "workers: 2\n", &["2 workers", "1 arrival"]),
        (and("workers: 11"), &["11 workers for 10 arrivals", "the limit is 10"]),
        (and("workers: 0"), &["workers", "0"]),
        (and("workers: 10001"), &["10001", "10000"]),
        (and("workers: lots"), &["lots"]),
        (and("workers: { memory: 64MB }"), &["line 7", "64MB", "128MB"]),
        (and("workers: { regions: [eu-west-1, us-east-1] }"), &["line 7", "2 regions", "the limit is 1"]),
        (and("budget: { max_usd: -1 }"), &["line 7", "less than nothing"]),
        (and("order: backwards"), &["backwards"]),
        // Targets.
        (attack(&[RATE, DURATION]), &["nothing to send to"]),
        (url(""), &["line 4", "attacks[0].url"]),
        (url("127.0.0.1:8080/"), &["line 4", "write http://127.0.0.1:8080/"]),
        (url("ftp://example.com/"), &["line 4", "ftp:// is not a scheme"]),
        (url("http://"), &["line 4", "names no host"]),
        (url("http://127.0.0.1:99999/"), &["line 4", "99999"]),
        (url("http://me:secret@127.0.0.1/"), &["line 4", "user name or a password"]),
        (url("http://127.0.0.1/#top"), &["line 4", "fragment"]),
        (url("http://${env:HOST}/"), &["line 4", "hold no reference"]),
        (url("http://127.0.0.1/{{ row.id }}"), &["line 4", "not yet supported"]),
        (one("method: 'BAD METHOD'"), &["line 7", "\"BAD METHOD\" is no HTTP method"]),
        (one("method: CONNECT"), &["line 7", "CONNECT"]),
        (one("base_url: http://127.0.0.1/"), &["base_url needs requests"]),
        (one("requests: []"), &["there is no request"]),
        (
            attack(&[RATE, DURATION, "requests: [{ get: /a }]"]),
            &["attacks[0].requests[0].get", "\"/a\" is a path", "no base_url"],
        ),
        (
            attack(&[RATE, DURATION, "base_url: http://h", "requests: [{ get: /a, post: /b }]"]),
            &["requests[0]", "get and post"],
        ),
        (
            attack(&[RATE, DURATION, "base_url: http://h", "requests: [{ get: /a, weight: 0 }]"]),
            &["requests[0].weight", "weight 0 is out of range"],
        ),
        // Headers and bodies.
        (one("headers: { x-bad: \"a\\nb\" }"), &["line 7", "x-bad"]),
        (one("headers: { 'bad name': a }"), &["line 7", "bad name"]),
        (one("headers: { content-length: '5' }"), &["line 7", "content-length"]),
        (one("body_file: missing.bin"), &["line 7", "body_file", "missing.bin"]),
        (one("{ body: a }").replace("{ body: a }", "body: a\n    json: {}"), &["body and json"]),
        (one("body_base64: '***'"), &["line 7", "base64"]),
        (one("expect: { status: 99 }"), &["line 7", "status 99 is out of range"]),
        (one("headers: { x-a: '${TOKEN}' }"), &["line 7", "did you mean ${env:TOKEN}?"]),
        (one("headers: { x-a: '${secret:ssm:/a}' }"), &["${secret:ssm:/a} is resolved on AWS"]),
        // Promises.
        (one("slo: [p199 < 1s]"), &["line 7", "attacks[0].slo[0]", "p199"]),
        (and("slo: [p99]"), &["line 7", "slo[0]", "p99"]),
        (and("slo: [p99 < 1%]"), &["line 7", "1%"]),
        (and("slo: [latency < 1s]"), &["line 7", "latency"]),
        (and("stop_if: errors > 20%"), &["line 7", "stop_if"]),
        (and("stop_if: rate < 10 for 5s"), &["line 7", "stop_if"]),
        // Planned.
        (one("data: users.csv"), &["line 7", "\"data\" is not yet supported"]),
        (one("scenario: []"), &["line 7", "\"scenario\" is not yet supported"]),
        (load("{ search: { from: 1/s } }"), &["line 5", "search needs \"up_to\""]),
        (and("tags: [a]"), &["line 7", "\"tags\" is not yet supported"]),
        (and("seed: 7"), &["line 7", "\"seed\" is not yet supported"]),
        (one("expect: { within: 1s }"), &["line 7", "\"within\" is not yet supported"]),
    ];
    let home = Home::new();
    let mut unclear = Vec::new();
    for (config, texts) in &cases {
        for command in ["run", "plan"] {
            let path = home.file("bad.yaml", config);
            let output = home.deathstar(&[command, path.to_str().unwrap()]);
            let context = format!("{command} of\n{config}\nsaid\n{}{}", output.stdout, output.stderr);
            assert_eq!(output.code, Some(2), "{context}");
            assert_eq!(output.stdout, "", "{context}");
            assert!(output.stderr.starts_with("error: "), "{context}");
            let missing: Vec<_> = texts.iter().filter(|text| !output.stderr.contains(**text)).collect();
            if !missing.is_empty() {
                unclear.push(format!("without {missing:?}, {context}"));
            }
            assert!(!home.data().exists(), "something was made: {context}");
        }
    }
    assert!(unclear.is_empty(), "{}", unclear.join("\n"));
}

#[test]
fn every_wrong_value_is_told_at_once() {
    let home = Home::new();
    let config = attack(&["url: nowhere", "rate: 0/s", "duration: 0s", "timeout: 0s"]) + "slo: [p199 < 1s]\n";
    let output = home.run(&config);
    output.exits(2).says(&["line 4", "line 5", "line 6", "line 7", "line 8"]);
}

#[test]
fn a_config_file_that_cannot_be_read_is_named() {
    let home = Home::new();
    let binary = home.file("binary.yaml", b"name: \xff\xfe\n");
    let folder = home.file("folder.yaml", "");
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    let missing = home.file("missing.yaml", "");
    fs::remove_file(&missing).unwrap();
    for (path, text) in [(binary, "UTF-8"), (folder, "is a directory"), (missing, "cannot read")] {
        let path = path.to_str().unwrap();
        let output = home.deathstar(&["run", path]);
        output.exits(2).says(&["error: ", path, text]);
        assert_eq!(output.stdout, "");
    }
    assert!(!home.data().exists());
}

#[test]
fn an_unknown_run_is_bad_input() {
    let home = Home::new();
    for args in [vec!["results", "no-such-run"], vec!["stop", "no-such-run"], vec!["results"]] {
        let output = home.deathstar(&args);
        output.exits(2).says(&["error: there", "run"]);
        assert_eq!(output.stdout, "", "{args:?}");
    }
    let output = home.deathstar(&["list"]);
    output.exits(0).says(&["no runs yet"]);
    assert_eq!(home.deathstar(&["list", "--output", "json"]).exits(0).stdout.trim(), "[]");
}

#[test]
fn a_wrong_command_line_is_bad_input() {
    let home = Home::new();
    let config = home.file("good.yaml", attack(&[URL, RATE, DURATION]));
    let config = config.to_str().unwrap();
    let long = "a".repeat(41);
    let cases: [(&[&str], &str); 10] = [
        (&["run", config, "--id", "Not Valid"], "Not Valid"),
        (&["run", config, "--id", &long], "1 to 40"),
        (&["run", config, "--id", ""], "1 to 40"),
        (&["run", config, "--frobnicate"], "--frobnicate"),
        (&["run", config, "--output", "xml"], "xml"),
        (&["run", config, config], "unexpected"),
        (&["run"], "CONFIG"),
        (&["attack", config], "attack"),
        (&["stop"], "RUN"),
        (&["target", "--servers", "0"], "0"),
    ];
    for (args, text) in cases {
        let output = home.deathstar(args);
        output.exits(2).says(&[text]);
        assert_eq!(output.stdout, "", "{args:?}");
    }
    assert!(!home.data().exists());
}

#[test]
fn a_data_directory_that_cannot_be_used_is_the_machinerys_fault() {
    let home = Home::new();
    fs::write(home.data(), "a file where the directory should be").unwrap();
    let output = home.run(&attack(&[URL, RATE, DURATION]));
    output.exits(4).says(&["data directory", home.data().to_str().unwrap(), "--home"]);
    assert_eq!(output.stdout, "");
}
