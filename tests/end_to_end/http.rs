//! What is done with requests beside sending them, against nginx and what it notes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::clock;
use crate::command::{Home, Output};
use crate::debian::nginx;
use crate::server::Server;

/// What nginx notes of each request.
const NOTES: &str = "log_format notes '$request|$status|$cookie_user|$http_accept_encoding';";

/// The lines of nginx's log, once there are so many.
fn noted(log: &Path, lines: u64) -> Vec<String> {
    let text = clock::wait_for("the last line of nginx's log", || {
        fs::read_to_string(log).ok().filter(|text| text.lines().count() as u64 >= lines)
    });
    text.lines().map(str::to_owned).collect()
}

fn notes_to(log: &Path) -> String {
    format!("{NOTES} access_log {} notes;", log.display())
}

fn log(home: &Home) -> PathBuf {
    home.file("page.txt", "a page").with_file_name("access.log")
}

/// Runs an attack with these fields, and what its plan says of it.
fn run(home: &Home, fields: &str) -> (Output, String) {
    let config = format!("name: http\nattacks:\n  - name: x\n{fields}");
    let path = home.file("planned.yaml", &config);
    let plan = home.deathstar(&["plan", path.to_str().unwrap()]);
    plan.exits(0);
    (home.run(&config), plan.stdout.clone())
}

fn all(output: &Output) -> &Value {
    &output.report().0["attacks"][0]
}

#[test]
fn redirects_are_followed_and_counted_as_the_requests_they_are() {
    let home = Home::new();
    let log = log(&home);
    let locations = "location = /old { return 301 /older; } location = /older { return 302 /page.txt; }";
    let (_nginx, port) = nginx(&home, &notes_to(&log), "", locations);
    let fields = format!(
        "    url: http://127.0.0.1:{port}/old\n    rate: 50/s\n    duration: 1s\n    redirects: 2\n    expect: {{ status: 200 }}\n"
    );
    let (output, plan) = run(&home, &fields);
    for said in ["engine: rich, HTTP/1.1 with redirects", "follows at most 2 redirects of each"] {
        assert!(plan.contains(said), "{said}: {plan}");
    }
    output.exits(0);
    assert!(home.deathstar(&["results"]).stdout.contains("redirects  100 followed"));
    let all = all(&output);
    assert_eq!((&all["arrivals"]["completed"], &all["redirects"]), (&50.into(), &100.into()));
    assert_eq!(all["status_codes"], serde_json::json!({ "200": 50 }), "of where they led");
    let mut seen = BTreeMap::new();
    for line in noted(&log, 150) {
        let request = line.split('|').take(2).collect::<Vec<_>>().join(" ");
        *seen.entry(request).or_insert(0) += 1;
    }
    let expected =
        [("GET /old HTTP/1.1 301", 50), ("GET /older HTTP/1.1 302", 50), ("GET /page.txt HTTP/1.1 200", 50)];
    assert_eq!(seen, expected.map(|(line, count)| (line.to_owned(), count)).into());
}

#[test]
fn a_redirect_too_many_is_a_failure_that_says_so() {
    let home = Home::new();
    let log = log(&home);
    let (_nginx, port) = nginx(&home, &notes_to(&log), "", "location / { return 302 /again; }");
    let fields =
        format!("    url: http://127.0.0.1:{port}/\n    rate: 20/s\n    duration: 1s\n    redirects: 3\n");
    let (output, _) = run(&home, &fields);
    output.exits(1);
    assert!(home.deathstar(&["results"]).stdout.contains("redirect × 20"));
    assert_eq!(output.report().errors(), BTreeMap::from([("redirect".to_owned(), 20)]));
    assert_eq!(all(&output)["redirects"], 60);
    assert_eq!(noted(&log, 80).len(), 80);
}

/// nginx gives whoever has none a name of its own, and notes who comes back with it.
#[test]
fn each_virtual_user_keeps_its_own_cookies() {
    let home = Home::new();
    let log = log(&home);
    let gives = format!(
        "{} map $cookie_user $given {{ '' 'user=$request_id'; default ''; }} add_header set-cookie $given;",
        notes_to(&log)
    );
    let (_nginx, port) = nginx(&home, &gives, "", "");
    let fields = format!(
        "    url: http://127.0.0.1:{port}/page.txt\n    load: {{ users: {{ count: 4, for: 2s }} }}\n    think: 100ms\n    cookies: true\n"
    );
    let (output, plan) = run(&home, &fields);
    assert!(plan.contains("engine: rich, HTTP/1.1 with cookies"), "{plan}");
    output.exits(0);
    let sent = output.report().arrivals().sent();
    let mut users = BTreeMap::new();
    for line in noted(&log, sent) {
        *users.entry(line.split('|').nth(2).unwrap().to_owned()).or_insert(0_u64) += 1;
    }
    assert_eq!(users.values().sum::<u64>(), sent);
    assert_eq!(users.remove("-"), Some(4), "each came without one once: {users:?}");
    assert_eq!(users.len(), 4, "and then with its own: {users:?}");
}

#[test]
fn each_request_of_an_open_load_is_a_caller_of_its_own() {
    let home = Home::new();
    let log = log(&home);
    let gives = format!("{} add_header set-cookie user=$request_id always;", notes_to(&log));
    let (_nginx, port) = nginx(&home, &gives, "", "location = /in { return 303 /page.txt; }");
    let fields = format!(
        "    url: http://127.0.0.1:{port}/in\n    rate: 20/s\n    duration: 1s\n    cookies: true\n    redirects: 1\n"
    );
    let (output, _) = run(&home, &fields);
    output.exits(0);
    let seen = noted(&log, 40);
    let (first, second): (Vec<&String>, Vec<&String>) = seen.iter().partition(|line| line.contains("/in "));
    assert!(first.iter().all(|line| line.split('|').nth(2) == Some("-")), "{first:?}");
    let users: std::collections::BTreeSet<_> =
        second.iter().map(|line| line.split('|').nth(2).unwrap()).collect();
    assert_eq!((second.len(), users.len(), users.contains("-")), (20, 20, false), "{second:?}");
}

/// gzip makes what nginx sends, so its size is known.
#[test]
fn compressed_answers_are_counted_as_they_come_and_must_be_whole() {
    let home = Home::new();
    let log = log(&home);
    let page = home.file("large.txt", "a line of a page\n".repeat(2000));
    assert!(Command::new("gzip").arg("--keep").arg(&page).status().unwrap().success());
    let compressed = fs::read(page.with_file_name("large.txt.gz")).unwrap();
    home.file("broken.txt", "a page");
    home.file("broken.txt.gz", &compressed[..compressed.len() / 2]);
    let (_nginx, port) = nginx(&home, &format!("{} gzip_static on;", notes_to(&log)), "", "");
    let attack = |file: &str, decompress: bool| {
        let fields = format!(
            "    url: http://127.0.0.1:{port}/{file}\n    rate: 20/s\n    duration: 1s\n    decompress: {decompress}\n"
        );
        run(&home, &fields)
    };
    let (output, plan) = attack("large.txt", true);
    assert!(plan.contains("engine: rich, HTTP/1.1 with decompression"), "{plan}");
    output.exits(0);
    assert_eq!(all(&output)["bytes"]["received"], 20 * compressed.len());
    assert!(noted(&log, 20).iter().all(|line| line.ends_with("|gzip, br, zstd")));
    let (output, _) = attack("broken.txt", true);
    output.exits(1);
    assert_eq!(output.report().errors(), BTreeMap::from([("body".to_owned(), 20)]));
    let (output, plan) = attack("large.txt", false);
    assert!(plan.contains("engine: fast"), "{plan}");
    output.exits(0);
    assert_eq!(all(&output)["bytes"]["received"], 20 * 17 * 2000, "nothing was asked for");
}

/// nginx before nginx: the one that is asked passes on to the one that is meant.
#[test]
fn requests_go_through_a_proxy() {
    let (home, before) = (Home::new(), Home::new());
    let (log, seen_before) = (log(&home), log(&before));
    let (_nginx, port) = nginx(&home, &notes_to(&log), "", "");
    let passes_on = "location / { proxy_pass http://$http_host$request_uri; }";
    let (_proxy, proxy) = nginx(&before, &notes_to(&seen_before), "", passes_on);
    let fields = format!(
        "    url: http://127.0.0.1:{port}/page.txt\n    rate: 20/s\n    duration: 1s\n    proxy: http://127.0.0.1:{proxy}\n"
    );
    let (output, plan) = run(&home, &fields);
    for said in ["HTTP/1.1 with a proxy".to_owned(), format!("through the proxy http://127.0.0.1:{proxy}")] {
        assert!(plan.contains(&said), "{said}: {plan}");
    }
    output.exits(0);
    assert_eq!((noted(&log, 20).len(), noted(&seen_before, 20).len()), (20, 20));
    let whole = format!("GET http://127.0.0.1:{port}/page.txt HTTP/1.1|200");
    assert!(noted(&seen_before, 20).iter().all(|line| line.starts_with(&whole)), "{whole}");
}

/// Python reads what arrived.
#[test]
fn a_form_arrives_as_others_read_it() {
    const READ: &str = "import email, email.policy, json, sys\n\
        head = sys.argv[1]\n\
        form = email.message_from_bytes(('content-type: ' + head + '\\r\\n\\r\\n').encode() + sys.stdin.buffer.read(), policy=email.policy.HTTP)\n\
        print(json.dumps([[part.get_param('name', header='content-disposition'), part.get_filename(), part.get_content_type(), part.get_payload(decode=True).hex()] for part in form.iter_parts()]))\n";
    let (home, server) = (Home::new(), Server::good());
    let bytes: Vec<u8> = (0..=255).collect();
    home.file("cat.gif", &bytes);
    let fields = format!(
        "    url: {}\n    method: POST\n    rate: 5/s\n    duration: 1s\n    multipart:\n      - {{ name: title, value: \"two\\r\\nlines\" }}\n      - {{ name: picture, file: cat.gif, content_type: image/gif }}\n      - {{ name: empty, value: '' }}\n",
        server.url()
    );
    let (output, plan) = run(&home, &fields);
    assert!(plan.contains("engine: fast"), "a form is bytes like any other: {plan}");
    output.exits(0);
    let request = server.requests().pop().unwrap();
    let body = home.file("form", &request.body);
    let mut python = Command::new("python3");
    python.args(["-c", READ, request.header("content-type").unwrap()]).stdin(fs::File::open(body).unwrap());
    let read: Value = serde_json::from_slice(&python.output().unwrap().stdout).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        read,
        serde_json::json!([
            ["title", null, "text/plain", "74776f0d0a6c696e6573"],
            ["picture", "cat.gif", "image/gif", hex],
            ["empty", null, "text/plain", ""],
        ])
    );
}
