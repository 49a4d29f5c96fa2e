//! Compressed bodies, undone as they come, to know that they can be.

use std::future::{Future, ready};
use std::io;
use std::pin::Pin;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use tokio::io::{AsyncRead, AsyncWriteExt, BufReader, SimplexStream, WriteHalf, copy, simplex, sink};

/// What is asked for, unless a request asks itself.
pub(super) const ACCEPTED: &str = "gzip, br, zstd";

/// How much may wait to be decompressed, in bytes.
const WAITING: usize = 64 * 1024;

/// The most memory that undoing one body may take of ours, as a power of two: 8 MiB, what
/// <https://www.rfc-editor.org/rfc/rfc9659> allows zstd. Brotli takes 16 MiB at most.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a brotli of up to 1 GiB of memory begins, which is none of
/// <https://www.rfc-editor.org/rfc/rfc7932#section-9.1>.
const LARGE_WINDOW: u8 = 0x11;

type Undoing = Pin<Box<dyn Future<Output = io::Result<u64>>>>;

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
    undoing: Undoing,
    is_brotli: bool,
    state: State,
}

impl Decoder {
    /// For a response with these headers; nothing when its body is as it is. A coding that
    /// nobody here knows, or one on top of another, is one that cannot be undone.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(CONTENT_ENCODING).iter();
        let values: Vec<String> =
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        let coding = values.join(",").to_ascii_lowercase();
        let (coded, compressed) = simplex(WAITING);
        let coded = BufReader::new(coded);
        let undoing: Undoing = match coding.trim() {
            "" | "identity" => return None,
            "gzip" | "x-gzip" => {
                let mut decoder = GzipDecoder::new(coded);
                // It may come in several pieces, each whole for itself, as zstd may.
                decoder.multiple_members(true);
                read(decoder)
            }
            "zstd" => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
                let mut decoder = ZstdDecoder::with_params(coded, &window);
                decoder.multiple_members(true);
                read(decoder)
            }
            "deflate" => read(ZlibDecoder::new(coded)),
            "br" => read(BrotliDecoder::new(coded)),
            _ => Box::pin(ready(Err(io::Error::other("an unknown coding")))),
        };
        Some(Self { compressed, undoing, is_brotli: coding.trim() == "br", state: State::Empty })
    }

    /// Undoes a piece.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // HTTP/2 may send pieces of nothing.
        if self.state == State::Whole || bytes.is_empty() {
            return Ok(());
        }
        if self.is_brotli && self.state == State::Empty && bytes[0] & 0x7f == LARGE_WINDOW {
            return Err(io::Error::other("a window that no RFC knows"));
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

fn read(mut decoder: impl AsyncRead + Unpin + 'static) -> Undoing {
    Box::pin(async move { copy(&mut decoder, &mut sink()).await })
}
