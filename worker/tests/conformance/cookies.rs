//! Cookies, which the rich transport alone sends back.

use std::rc::Rc;

use deathstar_worker::transport::rich::Rich;
use deathstar_worker::transport::{Call, Jar, Transport};

use crate::server::{Do, Server};
use crate::{LONG, ok, on_one_thread, request, write};

/// The header `cookie` of each request that a server saw, in its order; empty where
/// there is none.
fn cookies(server: &Server) -> Vec<String> {
    let of = |request: &Vec<u8>| {
        let text = String::from_utf8_lossy(request).into_owned();
        let mut found = text.lines().filter_map(|line| line.strip_prefix("cookie: ").map(str::to_owned));
        let first = found.next();
        assert_eq!(found.next(), None, "one header holds them all: {text}");
        first.unwrap_or_default()
    };
    server.requests().iter().map(of).collect()
}

fn setting(cookies: &[&str]) -> Do {
    let set: String = cookies.iter().map(|cookie| format!("set-cookie: {cookie}\r\n")).collect();
    write(&format!("HTTP/1.1 200 OK\r\n{set}content-length: 0\r\n\r\n"))
}

/// Sends requests of a caller, or of one caller each, with these fields to a server that
/// answers each with what it sets.
async fn send(answers: &[&[&str]], fields: &str, caller: Option<Rc<Jar>>) -> Vec<String> {
    let mut script: Vec<Do> = answers.iter().flat_map(|set| [Do::Read, setting(set)]).collect();
    script.push(Do::Hold);
    let server = Server::start(vec![script]).await;
    let request = request(&format!("    url: http://{}/dir/page\n{fields}", server.address));
    let rich = Rich::new();
    let prepared = rich.prepare(&request).unwrap();
    let mut sent = 0;
    for _ in answers {
        let call = Call::new(LONG).of(caller.clone());
        assert_eq!(rich.exchange(&prepared, &call).await, ok(200));
        sent += call.bytes_sent();
        crate::settle().await;
    }
    let read: usize = server.requests().iter().map(Vec::len).sum();
    assert_eq!(sent, read as u64, "as many bytes as the server read");
    cookies(&server)
}

#[test]
fn a_caller_sends_back_what_was_set() {
    on_one_thread(async {
        let answers: &[&[&str]] = &[
            &["s=1; HttpOnly", "t=\"a b\"; Path=/"],
            &[
                "s=2",
                "gone=1; Max-Age=0",
                "rubbish",
                "other=1; Domain=shop.example",
                "deep=1; Path=/dir/page/below",
            ],
            &["s=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
            &["safe=1; Secure"],
            &[],
        ];
        let mut seen = send(answers, "    cookies: true\n", Some(Rc::default())).await;
        for cookies in &mut seen {
            let mut parts: Vec<&str> = cookies.split("; ").collect();
            parts.sort_unstable();
            *cookies = parts.join("; ");
        }
        // To browsers, too, loopback is as safe as TLS.
        assert_eq!(seen, ["", "s=1; t=\"a b\"", "s=2; t=\"a b\"", "t=\"a b\"", "safe=1; t=\"a b\""],);
    });
}

#[test]
fn each_request_is_a_caller_of_its_own_otherwise() {
    on_one_thread(async {
        let answers: &[&[&str]] = &[&["s=1"], &["s=2"], &[]];
        assert_eq!(send(answers, "    cookies: true\n", None).await, ["", "", ""]);
        // Who does not ask for cookies keeps none, whoever sends.
        assert_eq!(send(answers, "    engine: rich\n", Some(Rc::default())).await, ["", "", ""]);
    });
}

#[test]
fn what_a_config_says_itself_stays_in_front() {
    on_one_thread(async {
        let answers: &[&[&str]] = &[&["s=1"], &[]];
        let fields = "    cookies: true\n    headers: { Cookie: 'own=0' }\n";
        assert_eq!(send(answers, fields, Some(Rc::default())).await, ["own=0", "own=0; s=1"]);
    });
}

#[test]
fn cookies_go_along_to_where_a_redirect_leads() {
    on_one_thread(async {
        let script = vec![vec![
            Do::Read,
            write(
                "HTTP/1.1 303 In\r\nlocation: /home\r\nset-cookie: session=7; Path=/\r\ncontent-length: 0\r\n\r\n",
            ),
            Do::Read,
            write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
            Do::Hold,
        ]];
        let server = Server::start(script).await;
        let fields = "    method: POST\n    body: me\n    cookies: true\n    redirects: 3\n";
        let request = request(&format!("    url: http://{}/login\n{fields}", server.address));
        let rich = Rich::new();
        let call = Call::new(LONG);
        assert_eq!(rich.exchange(&rich.prepare(&request).unwrap(), &call).await, ok(200));
        assert_eq!(cookies(&server), ["", "session=7"]);
        let read: usize = server.requests().iter().map(Vec::len).sum();
        assert_eq!(call.bytes_sent(), read as u64);
    });
}

#[test]
fn a_jar_shows_no_cookie() {
    on_one_thread(async {
        let jar = Rc::<Jar>::default();
        send(&[&["session=word"]], "    cookies: true\n", Some(Rc::clone(&jar))).await;
        assert_eq!(format!("{jar:?}"), "Jar { cookies: 1 }");
    });
}

/// A target that names each cookie anew fills no memory, nor a head that others refuse.
#[test]
fn a_jar_is_no_larger_than_that_of_a_browser() {
    on_one_thread(async {
        let jar = Rc::<Jar>::default();
        // Half of them at a time, since hyper reads no more than 100 headers.
        let half = |from: u32, rest: &str| -> Vec<String> {
            (from..from + 95).map(|number| format!("c{number}=1{rest}")).collect()
        };
        let sets = [half(0, ""), half(95, ""), half(0, "; Max-Age=0"), half(95, "; Max-Age=0")];
        let [first, second, gone, all_gone] =
            sets.each_ref().map(|set| set.iter().map(String::as_str).collect::<Vec<_>>());
        let large = format!("large={}", "x".repeat(5000));
        let answers: &[&[&str]] = &[
            &[&large, "wide=1; Domain=com"],
            &first,
            &second,
            &["c0=2", "more=1"],
            &gone,
            &all_gone,
            &["more=1"],
            &[],
        ];
        let seen = send(answers, "    cookies: true\n", Some(Rc::clone(&jar))).await;
        let count = |cookies: &String| cookies.split("; ").filter(|cookie| !cookie.is_empty()).count();
        assert_eq!(seen.iter().map(count).collect::<Vec<_>>(), [0, 0, 95, 180, 180, 85, 0, 1]);
        assert!(
            seen[4].contains("c0=2") && !seen[4].contains("more"),
            "what is there may change: {}",
            seen[4]
        );
        assert_eq!(format!("{jar:?}"), "Jar { cookies: 1 }", "what has expired is gone");
    });
}
