//! A target that does on each connection exactly what a script says.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

/// One thing that the server does.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    /// Reads a whole request, head and body.
    Read,
    /// Reads so many bytes of one.
    ReadBytes(usize),
    /// Sends these bytes.
    Write(Vec<u8>),
    /// Says nothing for so long.
    Pause(Duration),
    /// Lets the client read what was sent.
    Settle,
    /// Sends a byte again and again, with a pause between, until the client leaves.
    Drip(u8, Duration),
    /// Waits for the client to end the connection.
    Hold,
    /// Ends the connection in good order: over TLS, with a notice.
    Close,
    /// Ends it with a reset, with whatever is still to be read or sent.
    Reset,
    /// Closes the socket under TLS without a notice.
    Cut,
}

/// How long everybody else may run: tokio wakes who has something to read after
/// each of these, and reqwest hands what it reads through three tasks.
const SETTLED: usize = 12;

pub(crate) async fn settle() {
    for _ in 0..SETTLED {
        tokio::task::yield_now().await;
    }
}

/// A server that lets nobody in, until it is dropped: its queue is full, so the
/// kernel drops whoever comes.
pub(crate) struct Full {
    pub(crate) address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Full {
    pub(crate) async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        // The kernel lets someone in at once, or not at all.
        let soon = Duration::from_millis(50);
        while let Ok(stream) = tokio::time::timeout(soon, TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
            assert!(waiting.len() < 100, "the queue has no end");
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}

/// A server on a port of its own, until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Rc<SeenByServer>,
    accepting: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct SeenByServer {
    accepted: Cell<usize>,
    requests: RefCell<Vec<Vec<u8>>>,
    /// Connections that the client has ended.
    left: Cell<usize>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    /// Follows the n-th script on the n-th connection, and the last one on all
    /// that come after.
    pub(crate) async fn start(scripts: Vec<Vec<Do>>) -> Self {
        Self::with_tls(scripts, None).await
    }

    pub(crate) async fn with_tls(scripts: Vec<Vec<Do>>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Rc::new(SeenByServer::default());
        let by_server = Rc::clone(&seen);
        let accepting = tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let number = by_server.accepted.get();
                by_server.accepted.set(number + 1);
                let script = scripts[number.min(scripts.len() - 1)].clone();
                let (tls, seen) = (tls.clone(), Rc::clone(&by_server));
                tokio::task::spawn_local(async move {
                    match tls {
                        None => follow(stream, script, &seen).await,
                        Some(tls) => {
                            // A client that refuses us ends the handshake.
                            if let Ok(stream) = tls.accept(stream).await {
                                follow(stream, script, &seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, seen, accepting }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.seen.accepted.get()
    }

    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.seen.requests.borrow().clone()
    }

    pub(crate) fn left(&self) -> usize {
        self.seen.left.get()
    }
}

/// A socket, or TLS over one.
trait Line: AsyncRead + AsyncWrite + Unpin {
    fn socket(&self) -> &TcpStream;
}

impl Line for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Line for tokio_rustls::server::TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn follow(mut line: impl Line, script: Vec<Do>, seen: &SeenByServer) {
    for step in script {
        match step {
            Do::Read => {
                let Some(request) = read_request(&mut line).await else {
                    seen.left.set(seen.left.get() + 1);
                    return;
                };
                seen.requests.borrow_mut().push(request);
            }
            Do::ReadBytes(len) => {
                let mut bytes = vec![0; len];
                if line.read_exact(&mut bytes).await.is_err() {
                    return;
                }
            }
            Do::Write(bytes) => {
                // A client that has gone away reads nothing.
                if line.write_all(&bytes).await.is_err() || line.flush().await.is_err() {
                    return;
                }
            }
            Do::Pause(pause) => tokio::time::sleep(pause).await,
            Do::Settle => settle().await,
            Do::Drip(byte, pause) => {
                while line.write_all(&[byte]).await.is_ok() && line.flush().await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
                return;
            }
            Do::Hold => {
                let mut rest = Vec::new();
                let _ = line.read_to_end(&mut rest).await;
                seen.left.set(seen.left.get() + 1);
            }
            Do::Close => {
                let _ = line.shutdown().await;
                // Until the client has closed, too: else what it still sends would
                // be answered by a reset.
                let mut rest = Vec::new();
                let _ = line.read_to_end(&mut rest).await;
                return;
            }
            Do::Reset => {
                line.socket().set_zero_linger().unwrap();
                return;
            }
            Do::Cut => return,
        }
    }
}

/// Reads to the end of a head, then as much body as it announces.
async fn read_request(line: &mut impl Line) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if line.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    line.read_exact(&mut body).await.ok()?;
    request.extend(body);
    Some(request)
}
