//! A target that keeps what it gets, and when.

use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crate::clock;
use crate::message::Message;

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) at: Instant,
    pub(crate) authorization: String,
    pub(crate) body: String,
}

/// Answers 200 to everything. It ends with the process.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Listener {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::<Mutex<Vec<_>>>::default();
        let kept = Arc::clone(&got);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                // Whoever leaves ends its thread.
                thread::spawn(move || drop(serve(&stream, &kept)));
            }
        });
        Self { address, got }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far, in the order of their coming.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

/// Keeps every request of a connection.
fn serve(stream: &TcpStream, kept: &Mutex<Vec<Got>>) -> io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    while let Some(request) = Message::read_request(&mut reader, &mut writer)? {
        let authorization = request.header("authorization").unwrap_or_default().to_owned();
        kept.lock().unwrap().push(Got { at: clock::now(), authorization, body: request.text() });
        Message::new("HTTP/1.1 200 OK", &[], b"").write(&mut writer)?;
    }
    Ok(())
}
