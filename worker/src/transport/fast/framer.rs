//! Finds the end of a response in the bytes of a connection.
//!
//! It does no I/O: whoever reads hands over what came, in pieces of any size,
//! and the pieces decide nothing. Bodies are counted and not kept. The rules are
//! those of <https://www.rfc-editor.org/rfc/rfc9112#section-6>; where they leave
//! a choice, we refuse what two readers could read differently.

use std::mem::MaybeUninit;

use deathstar_statemachine::window::ErrorClass;
use httparse::{Header, ParserConfig, Status};

use super::chunked::Chunked;

/// The longest head of a response, in bytes, its last line break included.
pub const MAX_HEAD: usize = 64 * 1024;

/// The most headers in a head, or in the trailers of a chunked body.
pub const MAX_HEADERS: usize = 100;

/// What is wrong with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The head is not HTTP, is too long, or says two things at once.
    Head,
    /// The connection ended before a whole head had arrived.
    NoHead,
    /// The body ended early, or is not framed as the head announced.
    Body,
}

impl Fault {
    /// How it is counted.
    #[must_use]
    pub const fn class(self) -> ErrorClass {
        match self {
            Self::Head => ErrorClass::Protocol,
            Self::NoHead => ErrorClass::Reset,
            Self::Body => ErrorClass::Body,
        }
    }
}

/// Reads one response after another.
#[derive(Debug)]
pub struct Framer {
    state: State,
    /// Whether the request was one whose response has no body, whatever it says.
    bodiless: bool,
    status: Option<u16>,
    body: u64,
    keeps: bool,
    /// The part of a head, or of the trailers, that has arrived so far. Empty,
    /// and without memory of its own, when responses come in one piece.
    stash: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Head,
    /// So many bytes of the body are to come.
    Sized(u64),
    Chunked(Chunked),
    /// The body ends with the connection.
    UntilEnd,
    Done,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer {
    /// A framer that expects the response to a GET.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Head, bodiless: false, status: None, body: 0, keeps: false, stash: Vec::new() }
    }

    /// Expects the next response. `bodiless` says that it has no body whatever its
    /// head says, since the request was a HEAD.
    pub fn expect(&mut self, bodiless: bool) {
        self.state = State::Head;
        self.bodiless = bodiless;
        self.status = None;
        self.body = 0;
        self.keeps = false;
        self.stash.clear();
    }

    /// Takes bytes of the response, and returns how many: all of them, unless the
    /// response ended before.
    ///
    /// # Errors
    /// When this is no response that we would read. Nothing more may be fed then.
    pub fn feed(&mut self, input: &[u8]) -> Result<usize, Fault> {
        let mut taken = 0;
        while taken < input.len() {
            let rest = &input[taken..];
            taken += match &mut self.state {
                State::Head => self.head(rest)?,
                State::Sized(left) => {
                    let len = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= len as u64;
                    self.body += len as u64;
                    if *left == 0 {
                        self.state = State::Done;
                    }
                    len
                }
                State::Chunked(chunked) => {
                    let len = chunked.feed(rest, &mut self.body, &mut self.stash)?;
                    if chunked.is_done() {
                        self.stash.clear();
                        self.state = State::Done;
                    }
                    len
                }
                State::UntilEnd => {
                    self.body += rest.len() as u64;
                    rest.len()
                }
                State::Done => break,
            };
        }
        Ok(taken)
    }

    /// Notes that the connection has ended.
    ///
    /// # Errors
    /// When the response had not.
    pub fn end(&mut self) -> Result<(), Fault> {
        match self.state {
            State::Head => Err(Fault::NoHead),
            State::Sized(_) | State::Chunked(_) => Err(Fault::Body),
            State::UntilEnd | State::Done => {
                self.state = State::Done;
                Ok(())
            }
        }
    }

    /// Whether the whole response is there.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The status, once the head is there.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// Bytes of the body so far, without what frames them.
    #[must_use]
    pub const fn body(&self) -> u64 {
        self.body
    }

    /// Whether the connection may carry another request after this response.
    #[must_use]
    pub const fn keeps_connection(&self) -> bool {
        self.keeps
    }

    /// Reads a head, of which `stash` may hold a beginning.
    fn head(&mut self, input: &[u8]) -> Result<usize, Fault> {
        let before = self.stash.len();
        let fits = input.len().min(MAX_HEAD - before);
        let head = if before == 0 {
            Head::read(&input[..fits])?
        } else {
            self.stash.extend_from_slice(&input[..fits]);
            Head::read(&self.stash)?
        };
        let Some(head) = head else {
            if before == 0 {
                self.stash.extend_from_slice(&input[..fits]);
            }
            return if self.stash.len() < MAX_HEAD { Ok(fits) } else { Err(Fault::Head) };
        };
        self.stash.clear();
        if !head.is_interim() {
            self.state = head.body(self.bodiless)?;
            self.status = Some(head.status);
            self.keeps = head.keeps && head.status != SWITCHING_PROTOCOLS;
            // A body that ends with the connection takes the connection with it.
            self.keeps &= !matches!(self.state, State::UntilEnd);
        }
        Ok(head.len - before)
    }
}

const SWITCHING_PROTOCOLS: u16 = 101;

/// What matters of a head.
#[derive(Debug)]
struct Head {
    len: usize,
    status: u16,
    /// HTTP/1.0, which knows no chunks and keeps connections only when it says so.
    is_old: bool,
    keeps: bool,
    length: Length,
    coding: Option<Coding>,
}

/// What the head says of the body's length.
#[derive(Debug, Clone, Copy)]
enum Length {
    Unsaid,
    Of(u64),
    /// Said twice, or no number.
    Unclear,
}

/// The last of the transfer codings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Chunked,
    /// One that we do not know, and need not, since it ends with the connection.
    Other,
}

impl Head {
    /// Reads a head; nothing while it is not all there.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        // Not set to anything: the parser says how many it has filled.
        let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let read =
            ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
        let len = match read {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) => return Ok(None),
            Err(_) => return Err(Fault::Head),
        };
        let (Some(status @ 100..), Some(version)) = (response.code, response.version) else {
            return Err(Fault::Head);
        };
        let is_old = version == 0;
        let (mut closes, mut keeps) = (false, false);
        let mut head = Self { len, status, is_old, keeps: false, length: Length::Unsaid, coding: None };
        for Header { name, value } in &*response.headers {
            // Their lengths tell most headers apart.
            match name.len() {
                10 if name.eq_ignore_ascii_case("connection") => {
                    closes |= has_token(value, b"close");
                    keeps |= has_token(value, b"keep-alive");
                }
                14 if name.eq_ignore_ascii_case("content-length") => {
                    head.length = match (head.length, number(value)) {
                        (Length::Unsaid, Some(length)) => Length::Of(length),
                        _ => Length::Unclear,
                    };
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
                    let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
                    head.coding = Some(if chunked { Coding::Chunked } else { Coding::Other });
                }
                _ => {}
            }
        }
        head.keeps = !closes && (!is_old || keeps);
        Ok(Some(head))
    }

    /// Whether another head follows for the same request.
    const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != SWITCHING_PROTOCOLS
    }

    /// How the body is framed.
    fn body(&self, bodiless: bool) -> Result<State, Fault> {
        if bodiless || matches!(self.status, SWITCHING_PROTOCOLS | 204 | 304) {
            return Ok(State::Done);
        }
        match (self.coding, self.length) {
            // Whom to believe would be a guess: a way to smuggle a response.
            (Some(_), Length::Of(_) | Length::Unclear) | (None, Length::Unclear) => Err(Fault::Head),
            (Some(_), Length::Unsaid) if self.is_old => Err(Fault::Head),
            (Some(Coding::Chunked), Length::Unsaid) => Ok(State::Chunked(Chunked::new())),
            (None, Length::Of(0)) => Ok(State::Done),
            (None, Length::Of(length)) => Ok(State::Sized(length)),
            (Some(Coding::Other) | None, Length::Unsaid) => Ok(State::UntilEnd),
        }
    }
}

/// Whether a comma-separated list has a token, in whatever case.
fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|entry| entry.trim_ascii().eq_ignore_ascii_case(token))
}

/// Digits and nothing else, up to 2⁶⁴ − 1.
fn number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
