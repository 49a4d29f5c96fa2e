//! What stands between our code and the emulator, and lets calls fail on cue.
//!
//! Whoever wants a fault says for which operation, and keeps the [`Rule`] for
//! as long as it is to hold:
//!
//! ```ignore
//! let throttled = account.on("Lambda.CreateFunction").times(2).answer(Fault::Throttled);
//! // … whatever creates functions …
//! assert_eq!(throttled.fired(), 2);
//! ```
//!
//! Of several rules for a call, the first made is the one that counts, until it
//! has fired as often as it may.
//!
//! Messages are passed on byte for byte, so that signatures stay right. Every
//! request travels on a connection of its own to the emulator: one that was
//! kept could be found closed, and nobody would know whether a request had
//! arrived.

use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock;
use crate::fault::Fault;
use crate::message::Message;
use crate::operation::{Operation, account_of};

/// What becomes of a call.
#[derive(Debug, Clone, Copy)]
enum Action {
    Answer(Fault),
    Delay(Duration),
    DropRequest,
    DropAnswer,
    Repeat,
}

/// Which calls are meant, and in the making: what becomes of them.
#[derive(Debug)]
#[must_use = "it does nothing until it is told what to do"]
pub(crate) struct Calls {
    state: Arc<State>,
    account: Option<String>,
    /// `Service.Operation`, or `Service.*`.
    operation: String,
    holding: Option<String>,
    skip: u64,
    times: Option<u64>,
}

impl Calls {
    /// Only those whose path or body holds this text.
    pub(crate) fn holding(mut self, text: &str) -> Self {
        self.holding = Some(text.to_owned());
        self
    }

    /// Not the first `count` of them.
    pub(crate) fn after(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// No more than `count` of them.
    pub(crate) fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }

    /// They are answered so, and never arrive.
    pub(crate) fn answer(self, fault: Fault) -> Rule {
        self.rule(Action::Answer(fault))
    }

    /// They arrive this much later.
    pub(crate) fn delay(self, by: Duration) -> Rule {
        self.rule(Action::Delay(by))
    }

    /// Their connection is reset, and they never arrive.
    pub(crate) fn drop_request(self) -> Rule {
        self.rule(Action::DropRequest)
    }

    /// They arrive and take effect, but the connection is reset before the
    /// answer: the caller does not know.
    pub(crate) fn drop_answer(self) -> Rule {
        self.rule(Action::DropAnswer)
    }

    /// They arrive twice, one after the other. The caller sees the second
    /// answer, as if the first had been lost and asked for again.
    pub(crate) fn repeat(self) -> Rule {
        self.rule(Action::Repeat)
    }

    fn rule(self, action: Action) -> Rule {
        let id = {
            let mut rules = self.state.rules.lock().unwrap();
            let id = rules.made;
            rules.made += 1;
            let Self { account, operation, holding, skip, times, .. } = self;
            rules.all.push(Entry { id, account, operation, holding, skip, times, action, fired: 0 });
            id
        };
        Rule { state: self.state, id }
    }
}

/// A fault that holds until this is dropped.
#[derive(Debug)]
#[must_use = "the fault ends when its rule is dropped"]
pub(crate) struct Rule {
    state: Arc<State>,
    id: u64,
}

impl Rule {
    /// How many calls it was applied to.
    pub(crate) fn fired(&self) -> u64 {
        let rules = self.state.rules.lock().unwrap();
        rules.all.iter().find(|entry| entry.id == self.id).map_or(0, |entry| entry.fired)
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        // A test that panicked with the lock held has failed already.
        if let Ok(mut rules) = self.state.rules.lock() {
            rules.all.retain(|entry| entry.id != self.id);
        }
    }
}

#[derive(Debug)]
struct Entry {
    id: u64,
    account: Option<String>,
    operation: String,
    holding: Option<String>,
    skip: u64,
    times: Option<u64>,
    action: Action,
    fired: u64,
}

impl Entry {
    fn fits(&self, call: &Call, request: &Message) -> bool {
        let text = |text: &str| {
            let bytes = text.as_bytes();
            let holds = |hay: &[u8]| hay.windows(bytes.len().max(1)).any(|part| part == bytes);
            bytes.is_empty() || holds(request.path().as_bytes()) || holds(request.body())
        };
        self.account.as_ref().is_none_or(|account| *account == call.account)
            && names(&self.operation, &call.operation)
            && self.holding.as_deref().is_none_or(text)
    }
}

/// Whether `pattern` is this operation or `Service.*`.
fn names(pattern: &str, operation: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == operation, |start| operation.starts_with(start))
}

/// A call that has come by, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The caller's access key.
    pub(crate) account: String,
    /// `Service.Operation`
    pub(crate) operation: String,
    /// With its query.
    pub(crate) path: String,
    /// What it said, unless that is a file.
    pub(crate) body: String,
    /// When it came by.
    pub(crate) at: Instant,
}

#[derive(Debug, Default)]
struct Rules {
    made: u64,
    all: Vec<Entry>,
}

#[derive(Debug, Default)]
struct State {
    emulator: OnceLock<SocketAddr>,
    rules: Mutex<Rules>,
    calls: Mutex<Vec<Call>>,
    closing: AtomicBool,
}

/// A proxy on threads of its own.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

impl Proxy {
    /// Listens. What comes before it knows the emulator is dropped.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        thread::spawn({
            let state = Arc::clone(&state);
            move || {
                for stream in listener.incoming() {
                    if state.closing.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let state = Arc::clone(&state);
                    // Whoever leaves ends its thread.
                    thread::spawn(move || drop(serve(&state, &stream)));
                }
            }
        });
        Self { address, state }
    }

    /// Says where the emulator is.
    pub(crate) fn lead_to(&self, emulator: SocketAddr) {
        self.state.emulator.set(emulator).expect("a proxy leads to one emulator");
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls of an operation (`Service.Operation`, or `Service.*`), by an
    /// account or by any.
    pub(crate) fn on(&self, account: Option<&str>, operation: &str) -> Calls {
        Calls {
            state: Arc::clone(&self.state),
            account: account.map(str::to_owned),
            operation: operation.to_owned(),
            holding: None,
            skip: 0,
            times: None,
        }
    }

    /// All calls so far, in the order they came.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.closing.store(true, Ordering::SeqCst);
        // Wakes the listener; if it cannot, the process ends it.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    /// Notes a call and says what becomes of it.
    fn take(&self, request: &Message, operation: &Operation) -> Option<Action> {
        let call = Call {
            account: account_of(request).unwrap_or_default().to_owned(),
            operation: operation.to_string(),
            path: request.path().to_owned(),
            body: if operation.to_string().starts_with("S3.") { String::new() } else { request.text() },
            at: clock::now(),
        };
        let mut rules = self.rules.lock().unwrap();
        let mut action = None;
        for entry in rules.all.iter_mut().filter(|entry| entry.fits(&call, request)) {
            if entry.skip > 0 {
                entry.skip -= 1;
            } else if entry.times.is_none_or(|times| entry.fired < times) {
                entry.fired += 1;
                action = Some(entry.action);
                break;
            }
        }
        self.calls.lock().unwrap().push(call);
        action
    }
}

/// Serves a connection until either side closes it.
fn serve(state: &State, stream: &TcpStream) -> io::Result<()> {
    let emulator = *state.emulator.get().ok_or(io::ErrorKind::NotConnected)?;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    while let Some(request) = Message::read_request(&mut reader, &mut writer)? {
        if state.closing.load(Ordering::SeqCst) {
            return Ok(());
        }
        let operation = Operation::of(&request);
        let answer = match state.take(&request, &operation) {
            None => forward(emulator, &request)?,
            Some(Action::Answer(fault)) => fault.response(&operation),
            Some(Action::Delay(by)) => {
                thread::sleep(by);
                forward(emulator, &request)?
            }
            Some(Action::DropRequest) => return reset(stream),
            Some(Action::DropAnswer) => {
                forward(emulator, &request)?;
                return reset(stream);
            }
            Some(Action::Repeat) => {
                forward(emulator, &request)?;
                forward(emulator, &request)?
            }
        };
        answer.write(&mut writer)?;
        if answer.closes() {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends a request to `address`, and waits for the answer.
pub(crate) fn forward(address: SocketAddr, request: &Message) -> io::Result<Message> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    request.write(&mut &stream)?;
    Message::read_response(&mut BufReader::new(&stream), request)
}

/// Makes the close of `stream` a reset.
fn reset(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))
}
