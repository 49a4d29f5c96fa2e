//! Where a config may refer to values that it does not hold, what is sent in
//! their place, and that nobody is ever shown one.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use deathstar_statemachine::config::{Config, ConfigError, Request};
use deathstar_statemachine::secret::{Reference, Secret, Values, unresolvable};

fn attack(fields: &str) -> String {
    let mut text = "name: t\nattacks:\n  - name: a\n    rate: 1/s\n    duration: 1s\n".to_owned();
    fields.lines().for_each(|line| text.push_str(&format!("    {line}\n")));
    text
}

fn read(fields: &str) -> Config {
    let text = attack(fields);
    Config::from_text(&text, |_| Err(String::new())).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn refused(fields: &str) -> String {
    match Config::from_text(&attack(fields), |_| Err(String::new())) {
        Ok(config) => panic!("{fields}\nwas read as {config:?}"),
        Err(error) => error.to_string(),
    }
}

fn env(name: &str) -> Reference {
    Reference::Env(name.to_owned())
}

fn values(values: &[(&str, &str)]) -> Values {
    values.iter().map(|(name, value)| (env(name), Secret::new((*value).to_owned()))).collect()
}

/// The only request, with `V` and `W` replaced.
fn sent(fields: &str, v: &str, w: &str) -> Request {
    let filled = read(fields).with_values(&values(&[("V", v), ("W", w)])).unwrap();
    assert!(filled.references().is_empty(), "none is left");
    filled.attacks()[0].requests[0].clone()
}

fn cannot_send(fields: &str, v: &str) -> String {
    read(fields).with_values(&values(&[("V", v)])).unwrap_err().to_string()
}

#[test]
fn a_config_knows_its_references() {
    let config = read(
        "base_url: 'http://h/${env:TENANT}'\nheaders: { authorization: 'Bearer ${secret:ssm:/shop/token}', x-b: '${env:B}' }\nrequests:\n  - { get: '/a?t=${secret:secretsmanager:shop/login#user}' }\n  - { post: /b, body: '${env:B}' }\n  - { post: /c, json: { a: [{ b: '${env:A}' }], c: 'no $${env:X}' } }\n  - { post: /d, body_base64: JHtlbnY6WH0= }",
    );
    let shown: Vec<String> = config.references().iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "${env:A}",
            "${env:B}",
            "${env:TENANT}",
            "${secret:ssm:/shop/token}",
            "${secret:secretsmanager:shop/login#user}"
        ]
    );
    assert!(read("url: http://h/").references().is_empty());
}

#[test]
fn values_are_sent_where_references_stand() {
    let fields = "url: http://h/\nmethod: POST\nheaders: { authorization: 'Bearer ${env:V}', x-two: '${env:V}-${env:W}' }\nbody: 'a=${env:V}&b=${env:W}$${env:V}'";
    let request = sent(fields, "one \"1\"", "{{ ${env:V} }}");
    let pairs: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(pairs, [("authorization", "Bearer one \"1\""), ("x-two", "one \"1\"-{{ ${env:V} }}")]);
    // A value is sent as it is: neither a template nor a reference in it means anything.
    assert_eq!(String::from_utf8(request.body).unwrap(), "a=one \"1\"&b={{ ${env:V} }}${env:V}");
}

#[test]
fn a_value_in_json_stays_one_text() {
    let request = sent(
        "url: http://h/\nmethod: POST\njson: { z: '${env:V}', a: ['x${env:W}y', 5, '$${n}'] }",
        "\", \"admin\": \"yes",
        "line\nbreak",
    );
    assert_eq!(
        String::from_utf8(request.body).unwrap(),
        r#"{"z":"\", \"admin\": \"yes","a":["xline\nbreaky",5,"${n}"]}"#
    );
    assert_eq!(request.headers, [("content-type".to_owned(), "application/json".to_owned())]);
}

#[test]
fn a_value_in_a_url_is_data() {
    for (fields, v, url) in [
        ("url: 'http://h/a/${env:V}/b'", "x/../y", "http://h/a/x%2F..%2Fy/b"),
        ("url: 'http://h/a?t=${env:V}&u=1'", "p&q=r#s", "http://h/a?t=p%26q%3Dr%23s&u=1"),
        ("url: 'http://h/?t=${env:V}'", "..", "http://h/?t=.."),
        ("url: 'http://h/$${x}'", "", "http://h/$%7Bx%7D"),
        (
            "base_url: 'http://h/${env:V}/'\nrequests: [{ get: '/a b?${env:W}' }]",
            "é%",
            "http://h/%C3%A9%25/a%20b?w",
        ),
        (
            "base_url: 'http://h/v1'\nrequests: [{ get: '/${env:V}' }]",
            "@evil.test:80\\",
            "http://h/v1/%40evil.test%3A80%5C",
        ),
    ] {
        let request = if fields.contains("${env:") {
            sent(fields, v, "w")
        } else {
            read(fields).attacks()[0].requests[0].clone()
        };
        assert_eq!(request.url.as_str(), url, "{fields} with {v}");
        assert_eq!(request.url.host_str(), Some("h"), "{fields} with {v}");
    }
    for v in [".", ".."] {
        assert_eq!(
            cannot_send("url: 'http://h/a/${env:V}/b'", v),
            "  attacks[0].url: the value of ${env:V} is . or .., which the path of a URL takes for a step and not for data"
        );
    }
}

#[test]
fn references_stay_out_of_hosts_and_names() {
    let host = "scheme, host and port of a URL hold no reference, so that anyone can see what is attacked; write them out, and refer to values after them";
    for (fields, line, path) in [
        ("url: 'http://${env:HOST}/'", 6, "url"),
        ("url: 'http://h:${env:PORT}/'", 6, "url"),
        ("url: 'http://h${env:REST}'", 6, "url"),
        ("url: '${env:SCHEME}://h/'", 6, "url"),
        ("url: '${env:URL}'", 6, "url"),
        ("base_url: 'http://${env:HOST}'\nrequests: [{ get: / }]", 6, "base_url"),
        ("requests: [{ get: 'http://${env:HOST}/a' }]", 6, "requests[0].get"),
    ] {
        assert_eq!(refused(fields), format!("  line {line}: attacks[0].{path}: {host}"), "{fields}");
    }
    let name = |mark: &str| {
        format!(
            "a name holds \"{mark}\", and names are shown in reports; references go into header values, URLs and bodies"
        )
    };
    for (fields, path, mark) in [
        ("base_url: http://h\nrequests: [{ get: /, name: 'a ${env:A}' }]", "requests[0].name", "${env:"),
        ("url: http://h/\njson: { '${secret:ssm:/a}': 1 }", "json.${secret:ssm:/a}", "${secret:"),
    ] {
        assert_eq!(refused(fields), format!("  line 7: attacks[0].{path}: {}", name(mark)), "{fields}");
    }
    assert!(refused("url: http://h/\nheaders: { 'x-${env:A}': a }").contains("is no header name"));
    let text = attack("url: http://h/").replace("name: t", "name: '${env:T}'");
    let ConfigError::Values(problems) = Config::from_text(&text, |_| Err(String::new())).unwrap_err() else {
        panic!("values")
    };
    assert_eq!(problems.to_string(), format!("  line 1: name: {}", name("${env:")));
}

#[test]
fn what_is_no_reference_is_told_with_its_line() {
    for (fields, message) in [
        (
            "url: http://h/\nheaders:\n  x-a: '${TOKEN}'",
            "line 8: attacks[0].headers.x-a: unknown reference \"${TOKEN}\"; did you mean ${env:TOKEN}?, or write $${ for the characters ${ themselves",
        ),
        (
            "url: http://h/\njson:\n  a:\n    - b: '${secert:ssm:/a}'",
            "line 9: attacks[0].json.a[0].b: unknown reference \"${secert:ssm:/a}\"; did you mean \"secret\"?, or write $${ for the characters ${ themselves",
        ),
        (
            "url: http://h/\nbody: 'a ${env:A'",
            "line 7: attacks[0].body: \"${env:A\" is never closed; end it with }, or write $${ for the characters ${ themselves",
        ),
        (
            "base_url: http://h\nrequests: [{ get: '/${env:a-b}' }]",
            "line 7: attacks[0].requests[0].get: \"${env:a-b}\" names no environment variable; use letters, digits and _, as in ${env:TOKEN}",
        ),
    ] {
        assert_eq!(refused(fields), format!("  {message}"), "{fields}");
    }
    let file = attack("url: http://h/\nbody_file: a.txt");
    let error = Config::from_text(&file, |_| Ok(b"${nope}".to_vec())).unwrap_err();
    assert!(error.to_string().contains("unknown reference \"${nope}\""), "{error}");
}

#[test]
fn other_mistakes_in_a_url_repeat_it_as_it_is_written() {
    for (fields, message) in [
        (
            "url: 'http://h/${env:A}#top'",
            "attacks[0].url: \"http://h/${env:A}#top\" has a fragment, which is never sent; remove what starts with #",
        ),
        (
            "url: 'http://h:99999/${env:A}'",
            "attacks[0].url: \"http://h:99999/${env:A}\" is no URL: invalid port number",
        ),
        (
            "base_url: 'http://h/${env:A}?b'\nrequests: [{ get: / }]",
            "attacks[0].base_url: \"http://h/${env:A}?b\" has a query, and paths cannot be appended to it; move it into the requests",
        ),
        (
            "base_url: 'http://h/${env:A}/'\nrequests: [{ get: '/b#${env:B}' }]",
            "attacks[0].requests[0].get: \"http://h/${env:A}/b#${env:B}\" has a fragment, which is never sent; remove what starts with #",
        ),
    ] {
        assert!(refused(fields).ends_with(message), "{}", refused(fields));
    }
}

#[test]
fn a_value_that_no_header_carries_is_told_by_its_reference() {
    let fields = "url: http://h/\nheaders: { authorization: 'Bearer ${env:V}' }";
    for (v, what) in [
        ("hunter2\n", "a line break"),
        ("hunter2\r\nx-evil: 1", "a line break"),
        ("hunter2é", "a character other than visible ASCII, blanks and tabs"),
        ("hunter2\0", "a character other than visible ASCII, blanks and tabs"),
    ] {
        assert_eq!(
            cannot_send(fields, v),
            format!(
                "  attacks[0].headers.authorization: the value of ${{env:V}} holds {what}, which a header cannot carry; remove it where the value is kept"
            )
        );
    }
    let missing = read(fields).with_values(&Values::default()).unwrap_err().to_string();
    assert_eq!(missing, "  attacks[0].headers.authorization: ${env:V} has no value");
}

#[test]
fn no_value_is_shown_or_stored() {
    let fields = "base_url: 'http://h/${env:V}'\nheaders: { x-a: '${env:V}' }\nrequests:\n  - { get: '?a=${env:V}' }\n  - { get: 'http://h/u/${env:V}/v' }\n  - { name: b, post: /b, body: '${env:V}' }\n  - { name: c, post: /c, json: ['${env:V}'] }";
    let config = read(fields);
    let filled = config.with_values(&values(&[("V", "hunter2")])).unwrap();
    let requests = &filled.attacks()[0].requests;
    assert_eq!(requests[0].url.as_str(), "http://h/hunter2?a=hunter2", "it is there to be sent");
    for shown in [format!("{filled:?}"), format!("{filled:#?}"), serde_json::to_string(&filled).unwrap()] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert_eq!(serde_json::to_string(&filled).unwrap(), serde_json::to_string(&config).unwrap());
    // Names go into the report.
    let names: Vec<&str> = requests.iter().map(|request| request.name.as_str()).collect();
    assert_eq!(names, ["GET /${env:V}", "GET /u/${env:V}/v", "b", "c"]);
    let written: Vec<&str> =
        config.attacks()[0].requests.iter().map(|request| request.name.as_str()).collect();
    assert_eq!(names, written);
}

#[test]
fn a_config_with_references_travels_as_it_is_written() {
    let config = read("url: 'http://h/${env:V}'\nheaders: { x-a: '$${env:V}' }\nbody: '${secret:ssm:/a}'");
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    assert!(text.contains("http://h/${env:V}") && text.contains("$${env:V}"), "{text}");
}

#[test]
fn each_mode_resolves_what_it_can() {
    let config = read(
        "url: http://h/\nheaders: { a: '${env:A}', b: '${secret:ssm:/b}', c: '${secret:secretsmanager:c}' }",
    );
    assert_eq!(
        unresolvable(&config, "aws"),
        [
            "${env:A} is a variable of your machine, and this runs on AWS: put the value into SSM or Secrets Manager and write ${secret:ssm:/PATH} or ${secret:secretsmanager:NAME}"
        ]
    );
    let here = unresolvable(&config, "embedded");
    assert_eq!(here.len(), 2, "{here:?}");
    assert_eq!(
        here[0],
        "${secret:ssm:/b} is resolved on AWS, where the role of the workers reads it; on this machine use ${env:NAME}"
    );
    assert!(unresolvable(&read("url: http://h/"), "aws").is_empty());
}
