//! What a config says is what arrives, byte for byte.

use std::fs;

use crate::clock;
use crate::command::Home;
use crate::debian::nginx;
use crate::server::{Request, Server};

/// Runs ten requests of these lines of an attack, and gives them as they
/// arrived; they are all the same.
fn arriving(home: &Home, server: &Server, lines: &str) -> Request {
    let output = home
        .run(&format!("name: requests\nattacks:\n  - name: x\n    rate: 10/s\n    duration: 1s\n{lines}"));
    output.exits(0);
    home.assert_nothing_left();
    let requests = server.requests();
    assert_eq!(requests.len() as u64, output.report().arrivals().sent());
    let first = requests.first().expect("a request").clone();
    assert!(requests.iter().all(|request| *request == first), "{requests:#?}");
    first
}

#[test]
fn a_plain_get_says_who_we_are_and_nothing_more() {
    let (home, server) = (Home::new(), Server::good());
    let request = arriving(&home, &server, &format!("    url: {}\n", server.url()));
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/"));
    assert_eq!(request.header("host"), Some(server.address().to_string().as_str()));
    assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("deathstar/")), "{request:?}");
    let mut names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "host", "user-agent"], "nothing is asked for that was not said");
    assert!(request.body.is_empty());
}

/// The fast engine speaks no HTTP/2, so `auto` takes the other; nginx notes in what
/// version each request came.
#[test]
fn requests_over_http2_are_sent_by_the_engine_that_speaks_it() {
    let home = Home::new();
    let page = home.file("page.txt", "a page");
    let log = page.with_file_name("access.log");
    let (_nginx, port) = nginx(
        &home,
        &format!(
            "log_format seen '$server_protocol $status $request_uri'; access_log {} seen;",
            log.display()
        ),
        "http2",
        "",
    );
    let config = format!(
        "name: two\nattacks:\n  - name: x\n    rate: 200/s\n    duration: 1s\n    url: http://127.0.0.1:{port}/page.txt\n    http_version: 2\n    connections: 4\nslo: [errors < 0.1%]\n"
    );
    let path = home.file("two.yaml", &config);
    let plan = home.deathstar(&["plan", path.to_str().unwrap()]);
    plan.exits(0);
    for said in ["engine: rich, HTTP/2", "at most 4 requests at once"] {
        assert!(plan.stdout.contains(said), "{said}: {}", plan.stdout);
    }
    let output = home.run(&config);
    output.exits(0);
    let report = output.report();
    let all = &report.0["attacks"][0];
    assert_eq!((&all["arrivals"]["completed"], &all["status_codes"]["200"]), (&200.into(), &200.into()));
    assert_eq!(all["bytes"]["received"], 200 * 6);
    let seen = clock::wait_for("the last line of nginx's log", || {
        fs::read_to_string(&log).ok().filter(|seen| seen.lines().count() >= 200)
    });
    assert_eq!(seen, "HTTP/2.0 200 /page.txt\n".repeat(200));
}

#[test]
fn the_engine_may_be_chosen_and_says_the_same() {
    let (home, server) = (Home::new(), Server::good());
    let path = home.file("rich.yaml", format!("name: r\nattacks:\n  - name: x\n    rate: 10/s\n    duration: 1s\n    url: {}\n    engine: rich\n", server.url()));
    let plan = home.deathstar(&["plan", path.to_str().unwrap()]);
    assert!(plan.exits(0).stdout.contains("engine: rich"), "{}", plan.stdout);
    let mut said = ["fast", "rich"].map(|engine| {
        let server = Server::good();
        let lines = format!(
            "    url: {}/a?b=c\n    engine: {engine}\n    method: POST\n    body: hello\n    headers: {{ host: h }}\n",
            server.url()
        );
        let mut request = arriving(&home, &server, &lines);
        request.headers.sort_unstable();
        request
    });
    let [fast, rich] = &mut said;
    assert_eq!(fast, rich);
}

#[test]
fn url_method_and_headers_arrive_as_written() {
    let (home, server) = (Home::new(), Server::good());
    let lines = format!(
        "    url: '{}/a%20b/c?q=1&r=%2F&r=2'\n    method: propfind\n    headers:\n      X-Trace: 'a: b, c'\n      user-agent: me/1\n      host: shop.example.com\n      accept: text/plain\n      Cookie: s=1; t=2\n",
        server.url()
    );
    let request = arriving(&home, &server, &lines);
    assert_eq!(request.method, "PROPFIND");
    assert_eq!(request.target, "/a%20b/c?q=1&r=%2F&r=2");
    for (name, value) in [
        ("x-trace", "a: b, c"),
        ("user-agent", "me/1"),
        ("host", "shop.example.com"),
        ("accept", "text/plain"),
        ("cookie", "s=1; t=2"),
    ] {
        assert_eq!(request.header(name), Some(value));
    }
}

#[test]
fn a_text_body_arrives_byte_for_byte() {
    let (home, server) = (Home::new(), Server::good());
    let lines = format!(
        "    url: {}/submit\n    method: POST\n    body: \"line 1\\r\\nline 2 \\u00fc \\0 end\"\n",
        server.url()
    );
    let request = arriving(&home, &server, &lines);
    assert_eq!(request.method, "POST");
    assert_eq!(request.body, "line 1\r\nline 2 ü \0 end".as_bytes());
    assert_eq!(request.header("content-type"), None, "none was written");
}

#[test]
fn json_arrives_compact_and_with_its_content_type() {
    let (home, server) = (Home::new(), Server::good());
    let lines = format!(
        "    url: {}\n    method: PUT\n    json: {{ z: 1, a: [true, null, 'ü', 1.5], big: 12345678901234567890 }}\n",
        server.url()
    );
    let request = arriving(&home, &server, &lines);
    let expected = r#"{"z":1,"a":[true,null,"ü",1.5],"big":12345678901234567890}"#;
    assert_eq!(String::from_utf8(request.body.clone()).unwrap(), expected);
    assert_eq!(request.header("content-type"), Some("application/json"));
    let other = Server::good();
    let lines = format!(
        "    url: {}\n    method: POST\n    json: [1]\n    headers: {{ Content-Type: application/vnd.x+json }}\n",
        other.url()
    );
    let request = arriving(&home, &other, &lines);
    assert_eq!(request.header("content-type"), Some("application/vnd.x+json"), "one's own wins");
}

#[test]
fn a_body_file_arrives_byte_for_byte() {
    let home = Home::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    home.file("body.bin", &bytes);
    home.file("body.txt", "text {{ no template, since it is a file }}\n");
    let server = Server::good();
    let lines = format!("    url: {}\n    method: POST\n    body_file: body.bin\n", server.url());
    assert_eq!(arriving(&home, &server, &lines).body, bytes);
    let server = Server::good();
    let lines = format!("    url: {}\n    method: POST\n    body_base64: AP8QgA==\n", server.url());
    assert_eq!(arriving(&home, &server, &lines).body, [0, 255, 16, 128]);
}

#[test]
fn a_config_comes_through_standard_input_too() {
    let (home, server) = (Home::new(), Server::good());
    let config = format!(
        "{{\"name\": \"stdin\", \"attacks\": [{{\"name\": \"x\", \"url\": \"{}\", \"rate\": \"10/s\", \"duration\": \"1s\"}}]}}",
        server.url()
    );
    let path = home.file("stdin.json", config);
    let mut command = home.command(&["run", "-", "--output", "json"]);
    command.stdin(std::fs::File::open(path).unwrap());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(server.count() > 0);
}

#[test]
fn a_weighted_mix_is_exact_and_each_request_goes_where_it_says() {
    let (home, server) = (Home::new(), Server::good());
    let output = home.run(&format!(
        "name: mix
attacks:
  - name: shop
    base_url: {}/api/v1/
    headers: {{ x-all: everywhere, x-both: attack }}
    rate: 100/s
    duration: 1s
    requests:
      - {{ name: browse, weight: 3, get: '/items?page=1' }}
      - {{ name: buy, post: /orders, json: {{ sku: A }}, headers: {{ x-both: own }} }}
",
        server.url()
    ));
    let report = output.exits(0).report();
    // 100 arrivals at 3 : 1.
    assert_eq!(report.arrivals_of_request("browse").scheduled, 75);
    assert_eq!(report.arrivals_of_request("buy").scheduled, 25);
    let requests = server.requests();
    let (buys, browses): (Vec<_>, Vec<_>) = requests.iter().partition(|request| request.method == "POST");
    assert_eq!(browses.len() as u64, report.arrivals_of_request("browse").sent());
    assert_eq!(buys.len() as u64, report.arrivals_of_request("buy").sent());
    for browse in browses {
        assert_eq!((browse.method.as_str(), browse.target.as_str()), ("GET", "/api/v1/items?page=1"));
        assert_eq!((browse.header("x-all"), browse.header("x-both")), (Some("everywhere"), Some("attack")));
        assert_eq!(browse.header("content-type"), None);
    }
    for buy in buys {
        assert_eq!(buy.target, "/api/v1/orders");
        assert_eq!((buy.header("x-all"), buy.header("x-both")), (Some("everywhere"), Some("own")));
        assert_eq!(buy.body, br#"{"sku":"A"}"#);
    }
}

/// A config whose requests refer to the variable `V`.
fn referring_to_v(server: &Server) -> String {
    format!(
        "name: values\nattacks:\n  - name: x\n    base_url: {}\n    rate: 10/s\n    duration: 1s\n    headers: {{ authorization: 'Bearer ${{env:V}}' }}\n    requests: [{{ post: '/a/${{env:V}}?b=${{env:V}}', json: {{ c: '${{env:V}}', d: '$${{env:V}}' }} }}]\n",
        server.url()
    )
}

#[test]
fn values_of_the_environment_arrive_and_are_kept_nowhere() {
    const VALUE: &str = "h/u&n\"ter2";
    let (home, server) = (Home::new(), Server::good());
    let path = home.file("values.yaml", referring_to_v(&server));
    let mut command = home.command(&["run", path.to_str().unwrap(), "--output", "json"]);
    let output = command.env("V", VALUE).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let request = server.requests().first().expect("a request").clone();
    assert_eq!(request.target, "/a/h%2Fu%26n%22ter2?b=h%2Fu%26n%22ter2");
    assert_eq!(request.header("authorization"), Some("Bearer h/u&n\"ter2"));
    assert_eq!(request.body, br#"{"c":"h/u&n\"ter2","d":"${env:V}"}"#);
    let mut kept = vec![output.stdout, output.stderr];
    let mut folders = vec![home.data()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { folders.push(entry) } else { kept.push(fs::read(entry).unwrap()) }
        }
    }
    let all: String = kept.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    assert!(all.contains("${env:V}"), "the config is kept as it is written");
    for form in ["h/u&n", "h%2Fu", "ter2"] {
        assert!(!all.contains(form), "{form} is kept");
    }
}

#[test]
fn a_value_that_cannot_be_sent_is_told_before_anything_is_made() {
    let (home, server) = (Home::new(), Server::good());
    let path = home.file("values.yaml", referring_to_v(&server));
    for (value, told) in [
        (None, "${env:V}: the environment has no V; set it"),
        (Some("hunter2\n"), "the value of ${env:V} holds a line break, which a header cannot carry"),
    ] {
        let mut command = home.command(&["run", path.to_str().unwrap()]);
        command.env_remove("V").envs(value.map(|value| ("V", value)));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(told) && !said.contains("hunter2"), "{said}");
        assert!(!home.data().exists());
    }
    assert_eq!(server.count(), 0);
    // Where a plan is only looked at, no value is needed.
    home.deathstar(&["plan", path.to_str().unwrap()]).exits(0);
}
