//! Finds the end of a chunked body:
//! <https://www.rfc-editor.org/rfc/rfc9112#section-7.1>.

use httparse::{EMPTY_HEADER, Status};

use super::framer::{Fault, MAX_HEADERS};

/// How many bytes of chunk extensions a body may have in all, and how many its
/// trailers: nobody reads either.
const MAX_EXTRAS: usize = 16 * 1024;

/// Where in a chunked body we are.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// Of the current chunk: what its size says so far, then what is left of it.
    left: u64,
    extras: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size,
    Start,
    /// within it,
    Size,
    /// in blanks behind it,
    Blank,
    /// in an extension,
    Extension,
    /// and before the end of its line.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

impl Chunked {
    pub(super) const fn new() -> Self {
        Self { state: State::Start, left: 0, extras: 0 }
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes bytes, adds those of the body to `body`, and returns how many it took.
    /// `stash` is where trailers wait for their end.
    pub(super) fn feed(&mut self, input: &[u8], body: &mut u64, stash: &mut Vec<u8>) -> Result<usize, Fault> {
        let mut taken = 0;
        while taken < input.len() {
            match self.state {
                State::Done => break,
                State::Data => {
                    let rest = input.len() - taken;
                    let len = rest.min(usize::try_from(self.left).unwrap_or(usize::MAX));
                    self.left -= len as u64;
                    *body += len as u64;
                    taken += len;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                }
                State::Trailers => taken += self.trailers(&input[taken..], stash)?,
                _ => {
                    self.state = self.step(input[taken])?;
                    taken += 1;
                }
            }
        }
        Ok(taken)
    }

    /// Takes one byte of what stands between chunks.
    fn step(&mut self, byte: u8) -> Result<State, Fault> {
        match (self.state, byte) {
            (State::Start | State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if self.state == State::Start {
                    self.left = 0;
                }
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                self.left = self.left.checked_mul(16).ok_or(Fault::Body)? + digit;
                Ok(State::Size)
            }
            (State::Size | State::Blank, b' ' | b'\t') => self.extra(State::Blank),
            (State::Size | State::Blank, b';') => self.extra(State::Extension),
            (State::Size | State::Blank | State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Extension, byte) if byte != b'\n' => self.extra(State::Extension),
            (State::SizeLf, b'\n') if self.left == 0 => Ok(State::Trailers),
            (State::SizeLf, b'\n') => Ok(State::Data),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Start),
            _ => Err(Fault::Body),
        }
    }

    fn extra(&mut self, next: State) -> Result<State, Fault> {
        self.extras += 1;
        if self.extras > MAX_EXTRAS { Err(Fault::Body) } else { Ok(next) }
    }

    /// Takes bytes of the trailers up to the blank line that ends them and the body.
    fn trailers(&mut self, input: &[u8], stash: &mut Vec<u8>) -> Result<usize, Fault> {
        let mut taken = 0;
        for byte in input {
            let is_bare = *byte == b'\n' && stash.last() != Some(&b'\r');
            if is_bare || stash.len() == MAX_EXTRAS {
                return Err(Fault::Body);
            }
            stash.push(*byte);
            taken += 1;
            if stash == b"\r\n" || stash.ends_with(b"\r\n\r\n") {
                let mut headers = [EMPTY_HEADER; MAX_HEADERS];
                let read = httparse::parse_headers(stash, &mut headers);
                if !matches!(read, Ok(Status::Complete((len, _))) if len == stash.len()) {
                    return Err(Fault::Body);
                }
                self.state = State::Done;
                break;
            }
        }
        Ok(taken)
    }
}
