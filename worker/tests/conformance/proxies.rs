//! Proxies, which the rich transport alone goes through.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use deathstar_statemachine::window::ErrorClass;
use deathstar_worker::transport::rich::Rich;
use deathstar_worker::transport::{Call, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{Do, Server};
use crate::tls::{ALL, Authority};
use crate::{LONG, exchange, failed, ok, on_one_thread, request, write};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn a_proxy_is_asked_for_the_whole_url() {
    on_one_thread(async {
        let proxy = Server::start(vec![vec![Do::Read, write(OK), Do::Read, write(OK), Do::Hold]]).await;
        // Nobody resolves this name but the proxy.
        let fields = format!(
            "    url: http://shop.example:8080/a?b=c\n    method: POST\n    body: hello\n    proxy: http://{}\n    headers: {{ Proxy-Authorization: Basic YTpi }}\n",
            proxy.address
        );
        let (rich, request) = (Rich::new(), request(&fields));
        for _ in 0..2 {
            let seen = exchange(&rich, &request, LONG).await;
            assert_eq!((seen.reply, seen.received), (ok(200), 2));
            crate::settle().await;
            let read = proxy.requests().last().unwrap().clone();
            assert_eq!(seen.sent, read.len() as u64, "as many bytes as the proxy read");
            let text = String::from_utf8(read).unwrap();
            assert!(text.starts_with("POST http://shop.example:8080/a?b=c HTTP/1.1\r\n"), "{text}");
            for line in
                ["host: shop.example:8080\r\n", "proxy-authorization: Basic YTpi\r\n", "\r\n\r\nhello"]
            {
                assert_eq!(text.matches(line).count(), 1, "{line}: {text}");
            }
        }
        assert_eq!(proxy.accepted(), 1, "its connections are kept");
    });
}

#[test]
fn a_redirect_goes_through_the_proxy_too() {
    on_one_thread(async {
        let moved = "HTTP/1.1 301 There\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n";
        let proxy = Server::start(vec![vec![Do::Read, write(moved), Do::Read, write(OK), Do::Hold]]).await;
        let fields =
            format!("    url: http://shop.example/\n    proxy: http://{}\n    redirects: 1\n", proxy.address);
        let (rich, request) = (Rich::new(), request(&fields));
        let call = Call::new(LONG);
        assert_eq!(rich.exchange(&rich.prepare(&request).unwrap(), &call).await, ok(200));
        let read = proxy.requests();
        assert_eq!(call.bytes_sent(), read.iter().map(Vec::len).sum::<usize>() as u64);
        assert!(read[1].starts_with(b"GET http://shop.example/b HTTP/1.1\r\n"), "{read:?}");
    });
}

/// A proxy that opens a tunnel to wherever it is asked to, or says why not; and the heads
/// that it read.
async fn tunnel(answer: &'static str) -> (SocketAddr, Rc<RefCell<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Rc::<RefCell<Vec<String>>>::default();
    let seen = Rc::clone(&heads);
    tokio::task::spawn_local(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let to = head.split(' ').nth(1).unwrap().to_owned();
            seen.borrow_mut().push(head);
            client.write_all(answer.as_bytes()).await.unwrap();
            if answer.contains(" 200 ") {
                tokio::task::spawn_local(async move {
                    let mut target = TcpStream::connect(to).await.unwrap();
                    // Whoever ends it ends it.
                    let _ = copy_bidirectional(&mut client, &mut target).await;
                });
            }
        }
    });
    (address, heads)
}

#[test]
fn tls_goes_through_a_tunnel_of_the_proxy() {
    on_one_thread(async {
        let authority = Authority::new();
        let tls = Some(authority.server(&["localhost"], ALL));
        let script = vec![vec![Do::Read, write(OK), Do::Read, write(OK), Do::Hold]];
        let target = Server::with_tls(script, tls).await;
        let (proxy, heads) = tunnel("HTTP/1.1 200 Go\r\n\r\n").await;
        let at = format!("localhost:{}", target.address.port());
        let fields = format!(
            "    url: https://{at}/a\n    proxy: http://{proxy}\n    headers: {{ Proxy-Authorization: Basic YTpi }}\n"
        );
        let (rich, request) = (Rich::trusting(&[authority.root()]), request(&fields));
        for _ in 0..2 {
            let seen = exchange(&rich, &request, LONG).await;
            crate::settle().await;
            let read = target.requests().last().unwrap().clone();
            assert_eq!((seen.reply, seen.sent), (ok(200), read.len() as u64));
            let text = String::from_utf8(read).unwrap();
            assert!(text.starts_with("GET /a HTTP/1.1\r\n"), "{text}");
            assert!(!text.contains("proxy-authorization"), "that is for the proxy: {text}");
        }
        let heads = heads.borrow();
        let [head] = heads.as_slice() else { panic!("one tunnel: {heads:?}") };
        assert!(head.starts_with(&format!("CONNECT {at} HTTP/1.1\r\n")), "{head}");
        assert!(head.to_lowercase().contains("proxy-authorization: basic ytpi\r\n"), "{head}");
    });
}

#[test]
fn a_proxy_that_lets_nobody_through_refuses() {
    on_one_thread(async {
        for answer in
            ["HTTP/1.1 407 Who?\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n"]
        {
            let (proxy, _) = tunnel(answer).await;
            let fields = format!("    url: https://shop.example/\n    proxy: http://{proxy}\n");
            let seen = exchange(&Rich::new(), &request(&fields), LONG).await;
            assert_eq!((seen.reply, seen.sent), (failed(ErrorClass::Refused, None), 0), "{answer}");
        }
        // Nobody listens there.
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for scheme in ["http", "https"] {
            let fields = format!("    url: {scheme}://shop.example/\n    proxy: http://{gone}\n");
            let seen = exchange(&Rich::new(), &request(&fields), LONG).await;
            assert_eq!((seen.reply, seen.sent), (failed(ErrorClass::Refused, None), 0), "{scheme}");
        }
        let fields = "    url: http://shop.example/\n    proxy: http://proxy.invalid:3128\n";
        let seen = exchange(&Rich::new(), &request(fields), LONG).await;
        assert_eq!(seen.reply, failed(ErrorClass::Dns, None));
    });
}
