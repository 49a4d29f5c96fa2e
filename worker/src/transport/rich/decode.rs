//! Compressed bodies, undone as they come, to know that they can be.

use std::future::Future;
use std::io;
use std::pin::Pin;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use tokio::io::{
    AsyncRead, AsyncWriteExt, BufReader, ReadHalf, SimplexStream, WriteHalf, copy, simplex, sink,
};

/// What is asked for, unless a request asks itself.
pub(super) const ACCEPTED: &str = "gzip, br, zstd";

/// How many codings on top of each other are undone.
const MAX_CODINGS: usize = 4;

/// How much may wait to be decompressed, in bytes.
const WAITING: usize = 64 * 1024;

/// A way to make bytes fewer. See
/// <https://www.iana.org/assignments/http-parameters/http-parameters.xhtml#content-coding>.
#[derive(Debug, Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A body of nothing is whole in any coding.
    Empty,
    Begun,
    /// A coding came to its end. What may follow it is no part of the body.
    Whole,
}

/// Undoes what was done to a body, and lets go of what comes of it.
pub(super) struct Decoder {
    compressed: WriteHalf<SimplexStream>,
    undoing: Pin<Box<dyn Future<Output = io::Result<u64>>>>,
    state: State,
}

impl Decoder {
    /// For a response with these headers; nothing when its body is as it is.
    ///
    /// # Errors
    /// When nobody here knows a coding.
    pub(super) fn of(headers: &HeaderMap) -> io::Result<Option<Self>> {
        let codings = codings(headers)?;
        if codings.is_empty() {
            return Ok(None);
        }
        let (reader, compressed) = simplex(WAITING);
        let undoing = Box::pin(undo(reader, codings));
        Ok(Some(Self { compressed, undoing, state: State::Empty }))
    }

    /// Undoes a piece.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // HTTP/2 may send pieces of nothing.
        if self.state == State::Whole || bytes.is_empty() {
            return Ok(());
        }
        self.state = State::Begun;
        tokio::select! {
            biased;
            undone = &mut self.undoing => {
                self.state = State::Whole;
                undone.map(drop)
            }
            written = self.compressed.write_all(bytes) => written,
        }
    }

    /// There is no more.
    pub(super) async fn finish(mut self) -> io::Result<()> {
        if self.state == State::Begun {
            self.compressed.shutdown().await?;
            self.undoing.await?;
        }
        Ok(())
    }
}

/// What was done to the body of a response, in this order.
fn codings(headers: &HeaderMap) -> io::Result<Vec<Coding>> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in value.to_str().map_err(io::Error::other)?.split(',') {
            codings.push(match name.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                _ => return Err(io::Error::other("an unknown coding")),
            });
        }
    }
    if codings.len() > MAX_CODINGS { Err(io::Error::other("too many codings")) } else { Ok(codings) }
}

async fn undo(compressed: ReadHalf<SimplexStream>, codings: Vec<Coding>) -> io::Result<u64> {
    let mut body: Box<dyn AsyncRead + Unpin> = Box::new(compressed);
    for coding in codings.into_iter().rev() {
        let coded = BufReader::new(body);
        body = match coding {
            // Both may come in several pieces, each whole for itself.
            Coding::Gzip => {
                let mut decoder = GzipDecoder::new(coded);
                decoder.multiple_members(true);
                Box::new(decoder)
            }
            Coding::Zstd => {
                let mut decoder = ZstdDecoder::new(coded);
                decoder.multiple_members(true);
                Box::new(decoder)
            }
            Coding::Deflate => Box::new(ZlibDecoder::new(coded)),
            Coding::Brotli => Box::new(BrotliDecoder::new(coded)),
        };
    }
    copy(&mut body, &mut sink()).await
}
