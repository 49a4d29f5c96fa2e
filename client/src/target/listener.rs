//! The target's sockets: binds, accepts, and hands each connection to hyper,
//! which tells HTTP/1.1 from HTTP/2 by the first bytes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::http::Service;

/// Connections that may wait to be accepted: a burst of clients must not run
/// into the kernel's SYN retry of one second. The kernel caps it (somaxconn).
const BACKLOG: u32 = 4096;
/// How long to wait when no connection can be accepted, mostly for want of
/// file descriptors: long enough not to spin, short enough to go unnoticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// HTTP/2 requests at a time on one connection. Far above hyper's 200, so that
/// the target's queue is where requests wait.
const MAX_STREAMS: u32 = 10_000;

/// Listens on 127.0.0.1. Port 0 takes a free one.
pub(super) fn bind(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    // On Unix this allows a port whose last connections are still in TIME_WAIT,
    // and no second listener.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until `stop` resolves, then lets what is in flight finish for up to
/// `grace`, and drops the rest. The port is free as soon as `stop` resolves.
pub(super) async fn run(
    listener: TcpListener,
    service: Arc<Service>,
    mut stop: oneshot::Receiver<()>,
    grace: Duration,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(MAX_STREAMS);
    let builder = Arc::new(builder);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut stop => break,
            accepted = listener.accept() => accepted,
            // Forget those that have ended.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                service.counters.accept_errors.fetch_add(1, Relaxed);
                if !concerns_one_connection(&error) {
                    tokio::select! {
                        _ = &mut stop => break,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
                continue;
            }
        };
        service.counters.connections.fetch_add(1, Relaxed);
        // Without it a response may wait for the client's delayed
        // acknowledgement. It fails only when the client is gone already.
        let _ = stream.set_nodelay(true);
        let answer = {
            let service = Arc::clone(&service);
            service_fn(move |request| Arc::clone(&service).answer(request))
        };
        let connection = builder.serve_connection(TokioIo::new(stream), answer).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A client that breaks off or speaks no HTTP is no concern of others.
            let _ = connection.await;
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        connections.abort_all();
    }
    while connections.join_next().await.is_some() {}
    service.close();
}

/// Whether only the connection to be accepted is at fault, so that the next
/// one can be accepted at once. Anything else, such as too many open files,
/// will last a while.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
