//! The same over TLS: whom both trust, and how it can end.

use std::sync::Arc;

use deathstar_statemachine::window::ErrorClass;
use deathstar_worker::clock;
use deathstar_worker::transport::fast::Fast;
use deathstar_worker::transport::rich::Rich;
use deathstar_worker::transport::{Call, Reply, Transport};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

use crate::server::{Do, Server, settle};
use crate::{LONG, Seen, exchange, failed, ok, on_one_thread, request, write};

/// An authority of the test's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// What a server shows that the authority has certified by these names.
    pub(crate) fn server(
        &self,
        names: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    fn both(&self) -> (Fast, Rich) {
        let roots = vec![self.root()];
        (Fast::trusting(1000, roots.clone()), Rich::trusting(&roots))
    }
}

pub(crate) const ALL: &[&SupportedProtocolVersion] = rustls::ALL_VERSIONS;
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What came of `count` requests, and how many connections they took.
async fn run<T: Transport>(
    transport: &T,
    tls: Option<TlsAcceptor>,
    steps: Vec<Do>,
    count: usize,
) -> (Vec<Seen>, usize) {
    let server = Server::with_tls(vec![steps], tls).await;
    let request = request(&format!("    url: https://localhost:{}/\n", server.address.port()));
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(exchange(transport, &request, LONG).await);
        settle().await;
    }
    (seen, server.accepted())
}

#[test]
fn a_target_that_is_trusted_is_served_over_kept_connections() {
    on_one_thread(async {
        let authority = Authority::new();
        let (fast, rich) = authority.both();
        for versions in [ALL, &[&rustls::version::TLS12][..], &[&rustls::version::TLS13][..]] {
            let tls = authority.server(&["localhost"], versions);
            let big = format!("HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n{}", "x".repeat(200_000));
            let steps =
                vec![Do::Read, write(OK), Do::Read, Do::Settle, write(&big), Do::Read, write(OK), Do::Hold];
            let by_fast = run(&fast, Some(tls.clone()), steps.clone(), 3).await;
            let by_rich = run(&rich, Some(tls), steps, 3).await;
            assert_eq!(by_fast, by_rich);
            let (seen, accepted) = by_fast;
            assert!(seen.iter().all(|seen| seen.reply == ok(200)), "{seen:?}");
            assert_eq!((seen[1].received, accepted), (200_000, 1));
        }
    });
}

#[test]
fn a_target_by_address_is_verified_by_its_address() {
    on_one_thread(async {
        let authority = Authority::new();
        let (fast, rich) = authority.both();
        for (name, reply) in [("127.0.0.1", ok(200)), ("localhost", failed(ErrorClass::Tls, None))] {
            let steps = vec![vec![Do::Read, write(OK), Do::Hold]];
            let server = Server::with_tls(steps, Some(authority.server(&[name], ALL))).await;
            let request = request(&format!("    url: https://{}/\n", server.address));
            assert_eq!(exchange(&fast, &request, LONG).await.reply, reply, "{name}");
            assert_eq!(exchange(&rich, &request, LONG).await.reply, reply, "{name}");
        }
    });
}

#[test]
fn whom_one_distrusts_both_distrust_and_send_nothing_to() {
    on_one_thread(async {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let (fast, rich) = authority.both();
        let refused = Seen { reply: failed(ErrorClass::Tls, None), sent: 0, received: 0 };
        for (what, tls) in [
            ("a stranger", Some(stranger.server(&["localhost"], ALL))),
            ("another name", Some(authority.server(&["example.com"], ALL))),
            ("no TLS", None),
        ] {
            // Without TLS, it answers the greeting as a web server would.
            let steps = vec![Do::ReadBytes(50), write("HTTP/1.1 400 Bad Request\r\n\r\n"), Do::Close];
            assert_eq!(run(&fast, tls.clone(), steps.clone(), 1).await.0, [refused], "{what}");
            assert_eq!(run(&rich, tls, steps, 1).await.0, [refused], "{what}");
        }
        for (what, steps) in [
            ("closed in the handshake", vec![Do::ReadBytes(50), Do::Close]),
            ("reset in the handshake", vec![Do::ReadBytes(50), Do::Reset]),
            ("reset before the handshake", vec![Do::Reset]),
        ] {
            let reset = Seen { reply: failed(ErrorClass::Reset, None), sent: 0, received: 0 };
            assert_eq!(run(&fast, None, steps.clone(), 1).await.0, [reset], "{what}");
            assert_eq!(run(&rich, None, steps, 1).await.0, [reset], "{what}");
        }
    });
}

/// A body that ends with the connection is whole only when TLS says that it ended:
/// anybody on the way can close a socket.
#[test]
fn an_end_under_tls_needs_a_notice() {
    let to_end = "HTTP/1.1 200 OK\r\n\r\nhello";
    on_one_thread(async {
        let authority = Authority::new();
        let (fast, rich) = authority.both();
        let tls = authority.server(&["localhost"], ALL);
        for (what, steps, reply, received) in [
            ("noticed", vec![Do::Read, write(to_end), Do::Settle, Do::Close], ok(200), 5),
            (
                "cut",
                vec![Do::Read, write(to_end), Do::Settle, Do::Cut],
                failed(ErrorClass::Body, Some(200)),
                5,
            ),
            ("cut before the head", vec![Do::Read, Do::Cut], failed(ErrorClass::Reset, None), 0),
            ("closed before the head", vec![Do::Read, Do::Close], failed(ErrorClass::Reset, None), 0),
            (
                "reset in the head",
                vec![Do::Read, write("HTTP"), Do::Settle, Do::Reset],
                failed(ErrorClass::Reset, None),
                0,
            ),
        ] {
            let by_fast = run(&fast, Some(tls.clone()), steps.clone(), 1).await;
            let by_rich = run(&rich, Some(tls.clone()), steps, 1).await;
            assert_eq!(by_fast, by_rich, "{what}");
            assert_eq!((by_fast.0[0].reply, by_fast.0[0].received), (reply, received), "{what}");
        }
    });
}

#[test]
fn a_kept_connection_that_ended_under_tls_is_not_written_to() {
    on_one_thread(async {
        let authority = Authority::new();
        let (fast, rich) = authority.both();
        let tls = authority.server(&["localhost"], ALL);
        for end in [Do::Close, Do::Cut] {
            let steps = vec![Do::Read, write(OK), end];
            let by_fast = run(&fast, Some(tls.clone()), steps.clone(), 2).await;
            let by_rich = run(&rich, Some(tls.clone()), steps, 2).await;
            assert_eq!(by_fast, by_rich);
            assert_eq!((by_fast.0[1].reply, by_fast.1), (ok(200), 2));
        }
    });
}

#[test]
fn the_time_of_a_handshake_is_noted_beside_that_of_connecting() {
    on_one_thread(async {
        let authority = Authority::new();
        let (fast, _) = authority.both();
        let tls = authority.server(&["localhost"], ALL);
        let server = Server::with_tls(vec![vec![Do::Read, write(OK), Do::Hold]], Some(tls)).await;
        let request = request(&format!("    url: https://localhost:{}/\n", server.address.port()));
        let call = Call::new(LONG);
        let began = clock::monotonic();
        let reply: Reply = fast.exchange(&fast.prepare(&request).unwrap(), &call).await;
        let whole = began.elapsed();
        assert_eq!(reply, ok(200));
        let (connect, tls) = (call.connect().unwrap(), call.tls().unwrap());
        assert!(!connect.is_zero() && !tls.is_zero(), "{connect:?} {tls:?}");
        assert!(connect + tls < whole, "{connect:?} and {tls:?} of {whole:?}");
    });
}
