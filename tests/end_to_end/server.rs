//! A target of our own: HTTP/1.1 by hand, so that it can do what no library
//! would. It records every request that it has read to its end.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// In the order sent, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A header's only value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(header, _)| header == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} was sent twice: {self:?}");
        value
    }
}

/// What becomes of a connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It waits for the next request.
    Keep,
    /// It is closed in good order.
    Close,
    /// It is reset.
    Reset,
}

/// A target on threads of its own.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    connections: AtomicU64,
    closing: AtomicBool,
}

impl Server {
    /// Answers every request with the bytes that `answer` writes.
    pub(crate) fn start(
        answer: impl Fn(&Request, &mut TcpStream) -> io::Result<After> + Send + Sync + 'static,
    ) -> Self {
        Self::with_connections(move |seen, stream| serve(seen, stream, &answer))
    }

    /// Answers every request with these bytes.
    pub(crate) fn saying(answer: &'static str, after: After) -> Self {
        Self::start(move |_, stream| {
            stream.write_all(answer.as_bytes())?;
            Ok(after)
        })
    }

    /// Answers every request with 200 and a short body.
    pub(crate) fn good() -> Self {
        Self::saying(OK, After::Keep)
    }

    /// Does with every connection as it likes.
    pub(crate) fn raw(handle: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::with_connections(move |_, stream| handle(stream))
    }

    fn with_connections(handle: impl Fn(&Seen, TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let handle = Arc::new(handle);
        thread::spawn({
            let seen = Arc::clone(&seen);
            move || {
                for stream in listener.incoming() {
                    if seen.closing.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    seen.connections.fetch_add(1, Ordering::SeqCst);
                    // A client that leaves ends its thread.
                    let _ = stream.set_nodelay(true);
                    let (seen, handle) = (Arc::clone(&seen), Arc::clone(&handle));
                    thread::spawn(move || drop(handle(&seen, stream)));
                }
            }
        });
        Self { address, seen }
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests read to their end so far.
    pub(crate) fn count(&self) -> u64 {
        self.seen.requests.lock().unwrap().len() as u64
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> u64 {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.seen.closing.store(true, Ordering::SeqCst);
        // Wakes the listener; if it cannot, the process ends it.
        let _ = TcpStream::connect(self.address);
    }
}

/// A good answer.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn serve(
    seen: &Seen,
    mut stream: TcpStream,
    answer: &impl Fn(&Request, &mut TcpStream) -> io::Result<After>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read_request(&mut reader)? {
        seen.requests.lock().unwrap().push(request.clone());
        match answer(&request, &mut stream)? {
            After::Keep => {}
            After::Close => return Ok(()),
            After::Reset => return reset(&stream),
        }
    }
    Ok(())
}

/// Makes the close of `stream` a reset.
pub(crate) fn reset(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Waits until the client closes its end.
pub(crate) fn until_closed(stream: &mut TcpStream) -> io::Result<After> {
    io::copy(stream, &mut io::sink())?;
    Ok(After::Close)
}

/// The next request; nothing when the client has closed.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.trim_end().splitn(3, ' ').map(str::to_owned);
    let (method, target) = (words.next().ok_or_else(bad)?, words.next().ok_or_else(bad)?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(Ok(0), |(_, length)| length.parse::<usize>().map_err(|_| bad()))?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { method, target, headers, body }))
}
