//! What is done with requests beside sending them.

use deathstar_statemachine::config::{Carrier, Http, HttpVersion};

use super::schema::{fits_schema, yaml};
use super::{again, attack, only_request, read, refused};

#[test]
fn what_only_a_general_client_does_takes_it() {
    let proxy = Some("http://10.0.0.9:3128/".parse().unwrap());
    for (fields, http) in [
        ("redirects: 20", Http { redirects: 20, ..Http::default() }),
        ("cookies: true", Http { cookies: true, ..Http::default() }),
        ("decompress: true", Http { decompress: true, ..Http::default() }),
        ("proxy: http://10.0.0.9:3128", Http { proxy: proxy.clone(), ..Http::default() }),
        ("proxy: ' HTTP://10.0.0.9:3128/ '", Http { proxy, ..Http::default() }),
        (
            "http_version: 2\nredirects: 1\ncookies: true\ndecompress: true\nengine: rich",
            Http { version: HttpVersion::Http2, redirects: 1, cookies: true, decompress: true, proxy: None },
        ),
    ] {
        for url in ["url: http://h/", "base_url: http://h\nrequests: [{ get: /a }]"] {
            let text = attack(&format!("{url}\n{fields}"));
            let request = only_request(&text);
            assert_eq!((&request.http, request.carrier), (&http, Carrier::Rich), "{text}");
            assert_eq!(fits_schema(&yaml(&text)), Ok(()), "{text}");
            assert_eq!(again(&read(&text)).attacks()[0].requests[0], request, "{text}");
        }
    }
    for fields in
        ["redirects: 0", "cookies: false", "decompress: false", "multipart: [{ name: a, value: b }]"]
    {
        let text = attack(&format!("url: http://h/\nengine: fast\n{fields}"));
        assert_eq!(only_request(&text).carrier, Carrier::Fast, "{text}");
        assert_eq!(fits_schema(&yaml(&text)), Ok(()), "{text}");
    }
}

#[test]
fn what_cannot_be_done_with_a_request_is_told() {
    for (fields, told) in [
        (
            "engine: fast\nredirects: 2\ncookies: true\nproxy: http://p:1",
            "line 6: attacks[0].engine: the fast engine cannot do what this attack needs (redirects, cookies, a proxy); leave engine away, or use rich",
        ),
        (
            "warm_up: 3\ndecompress: true",
            "line 6: attacks[0].warm_up: the rich engine, which this attack needs (decompression), opens connections only to send; warm_up needs the fast one",
        ),
        (
            "redirects: 21",
            "line 6: attacks[0].redirects: number of redirects 21 is out of range; write 0 to 20",
        ),
        (
            "proxy: http://p:1\nhttp_version: 2",
            "line 6: attacks[0].proxy: a proxy is spoken to in HTTP/1.1; leave http_version away",
        ),
        (
            "proxy: http://p:1/path",
            "line 6: attacks[0].proxy: \"http://p:1/path\" is no proxy; write its scheme, host and port alone, such as http://10.0.0.9:3128",
        ),
        (
            "proxy: http://p:1?a",
            "line 6: attacks[0].proxy: \"http://p:1?a\" is no proxy; write its scheme, host and port alone, such as http://10.0.0.9:3128",
        ),
        (
            "proxy: 'http://{proxy}:3128'",
            "line 6: attacks[0].proxy: \"http://{proxy}:3128\" is no proxy; write its scheme, host and port alone, such as http://10.0.0.9:3128",
        ),
        (
            "proxy: http://me:word@p:1",
            "line 6: attacks[0].proxy: the proxy carries a user name or a password; remove it, and send a proxy-authorization header",
        ),
        (
            "proxy: socks5://p:1",
            "line 6: attacks[0].proxy: socks5:// is not a scheme that can be attacked; write http:// or https://",
        ),
        (
            "proxy: p:3128",
            "line 6: attacks[0].proxy: \"p:3128\" has no scheme; write http://p:3128 or https://p:3128",
        ),
        (
            "proxy: 'http://${env:PROXY}'",
            "line 6: attacks[0].proxy: scheme, host and port of a URL hold no reference, so that anyone can see what is attacked; write them out, and refer to values after them",
        ),
    ] {
        let text = attack(&format!("url: http://h/\n{fields}"));
        assert_eq!(refused(&text), format!("  {told}"), "{text}");
    }
    for told in
        ["redirects: 21", "proxy: http://me:word@p:1", "proxy: socks5://p:1", "proxy: http://p:1/path"]
    {
        assert!(fits_schema(&yaml(&attack(&format!("url: http://h/\n{told}")))).is_err(), "{told}");
    }
}
