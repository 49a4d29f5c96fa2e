//! One connection: writes a request, reads its response.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use deathstar_statemachine::window::ErrorClass;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::client::TlsStream;

use super::Open;
use super::framer::{Fault, Framer};
use crate::clock;
use crate::transport::{Call, Reply};

/// A connection to a target, open as far as we know.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    framer: Framer,
    /// Bytes of the current request that the kernel, or TLS, has taken.
    written: usize,
    writing: Writing,
    /// Rings at some request's deadline, or earlier: setting a timer for every
    /// request would cost more than looking, once in a timeout, whether the
    /// deadline has moved.
    timer: Pin<Box<Sleep>>,
    /// Counts it among the open ones.
    _open: Open,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Bytes,
    /// All is handed over, and TLS may still hold some of it.
    Flush,
    Done,
    /// The target takes no more; it may have answered all the same.
    Failed(ErrorClass),
}

impl Connection {
    pub(super) fn plain(stream: TcpStream, open: Open, deadline: Instant) -> Self {
        Self::new(Stream::Plain(stream), open, deadline)
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, open: Open, deadline: Instant) -> Self {
        Self::new(Stream::Tls(Box::new(stream)), open, deadline)
    }

    fn new(stream: Stream, open: Open, deadline: Instant) -> Self {
        Self {
            stream,
            framer: Framer::new(),
            written: 0,
            writing: Writing::Done,
            timer: Box::pin(sleep_until(deadline)),
            _open: open,
        }
    }

    /// Whether an idle connection is still good: open, with nothing to read. The
    /// kernel is only asked when it has said that there is something; all else
    /// tokio remembers.
    pub(super) fn is_quiet(&mut self, buffer: &mut [u8]) -> bool {
        let mut nothing = Context::from_waker(Waker::noop());
        self.stream.poll_read(&mut nothing, &mut ReadBuf::new(buffer)).is_pending()
    }

    /// Gets ready for an exchange; `bodiless` as for [`Framer::expect`].
    pub(super) fn begin(&mut self, bodiless: bool) {
        self.framer.expect(bodiless);
        self.written = 0;
        self.writing = Writing::Bytes;
    }

    /// Whether the exchange left the connection as good as new.
    pub(super) fn is_reusable(&self) -> bool {
        self.framer.is_done() && self.framer.keeps_connection() && self.writing == Writing::Done
    }

    /// Goes on with the exchange: writes what is left of `request`, and reads.
    pub(super) fn poll_exchange(
        &mut self,
        context: &mut Context<'_>,
        request: &[u8],
        call: &Call,
        deadline: Instant,
        buffer: &mut [u8],
    ) -> Poll<Reply> {
        if !matches!(self.writing, Writing::Done | Writing::Failed(_)) {
            self.write(context, request);
        }
        loop {
            let mut read = ReadBuf::new(buffer);
            let filled = match self.stream.poll_read(context, &mut read) {
                Poll::Ready(Ok(())) => read.filled(),
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(self.failed(class_of(&error, self.framer.status().is_some())));
                }
                Poll::Pending => break,
            };
            if let Some(reply) = self.take(filled, call) {
                return Poll::Ready(reply);
            }
        }
        if self.is_overdue(context, deadline) { Poll::Ready(Reply::TimedOut) } else { Poll::Pending }
    }

    fn write(&mut self, context: &mut Context<'_>, request: &[u8]) {
        while self.writing == Writing::Bytes {
            match self.stream.poll_write(context, &request[self.written..]) {
                Poll::Ready(Ok(written)) if written > 0 => {
                    self.written += written;
                    if self.written == request.len() {
                        self.writing = Writing::Flush;
                    }
                }
                Poll::Ready(Ok(_)) => self.writing = Writing::Failed(ErrorClass::Reset),
                Poll::Ready(Err(error)) => self.writing = Writing::Failed(class_of(&error, false)),
                Poll::Pending => return,
            }
        }
        if self.writing == Writing::Flush {
            match self.stream.poll_flush(context) {
                Poll::Ready(Ok(())) => self.writing = Writing::Done,
                Poll::Ready(Err(error)) => self.writing = Writing::Failed(class_of(&error, false)),
                Poll::Pending => {}
            }
        }
    }

    /// Takes what was read, nothing at the connection's end; says how the exchange
    /// ended, if it did.
    fn take(&mut self, bytes: &[u8], call: &Call) -> Option<Reply> {
        let before = self.framer.body();
        let taken = if bytes.is_empty() { self.framer.end().map(|()| 0) } else { self.framer.feed(bytes) };
        call.mark_received(self.framer.body() - before);
        match taken {
            Err(fault) => {
                let class = match (fault, self.writing) {
                    // Why it took no more is why it did not answer.
                    (Fault::NoHead, Writing::Failed(class)) => class,
                    _ => fault.class(),
                };
                Some(self.failed(class))
            }
            Ok(taken) if self.framer.is_done() => {
                if taken < bytes.len() {
                    // What nobody asked for could be taken for the next response.
                    self.writing = Writing::Failed(ErrorClass::Protocol);
                }
                self.framer.status().map(|status| Reply::Response { status })
            }
            Ok(_) => None,
        }
    }

    fn failed(&self, class: ErrorClass) -> Reply {
        Reply::Failed { class, status: self.framer.status() }
    }

    /// Whether the deadline has passed; if not, the task wakes then.
    fn is_overdue(&mut self, context: &mut Context<'_>, deadline: Instant) -> bool {
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(context).is_ready() {
            if clock::monotonic() >= deadline {
                return true;
            }
            self.timer.as_mut().reset(deadline);
        }
        false
    }
}

impl Stream {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }
}

/// How an error of a connection counts, before or after the head of a response.
pub(super) fn class_of(error: &io::Error, in_body: bool) -> ErrorClass {
    if let Some(inner) = error.get_ref()
        && inner.is::<rustls::Error>()
    {
        return ErrorClass::Tls;
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            ErrorClass::Reset
        }
        io::ErrorKind::UnexpectedEof if !in_body => ErrorClass::Reset,
        _ if in_body => ErrorClass::Body,
        _ => ErrorClass::Protocol,
    }
}
