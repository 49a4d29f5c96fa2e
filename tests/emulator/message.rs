//! HTTP/1.1 messages, read whole and kept as they came on the wire.

use std::io::{self, BufRead, Read, Write};

/// A request or a response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    /// From the first line to the empty one, with it.
    head: Vec<u8>,
    /// The body as it was sent, in chunks or not.
    sent: Vec<u8>,
    /// The body without chunks.
    body: Vec<u8>,
    /// The body had no length: whoever sent it closed the connection.
    ended_by_close: bool,
}

impl Message {
    /// A message with a body of known length.
    pub(crate) fn new(first_line: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut head = format!("{first_line}\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        Self { head: head.into_bytes(), sent: body.to_vec(), body: body.to_vec(), ended_by_close: false }
    }

    /// The next request of a connection; nothing when the client has closed
    /// it. A client that asks whether to go on is told so.
    pub(crate) fn read_request(
        reader: &mut impl BufRead,
        writer: &mut impl Write,
    ) -> io::Result<Option<Self>> {
        let Some(mut message) = Self::read_head(reader)? else { return Ok(None) };
        if message.header("expect").is_some() {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            message.remove_header("expect");
        }
        message.read_body(reader)?;
        Ok(Some(message))
    }

    /// The response to a request.
    pub(crate) fn read_response(reader: &mut impl BufRead, request: &Self) -> io::Result<Self> {
        loop {
            let mut message = Self::read_head(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            match message.status().ok_or(io::ErrorKind::InvalidData)? {
                // Not yet the response.
                100..=199 => continue,
                204 | 304 => return Ok(message),
                _ if request.method() == "HEAD" => return Ok(message),
                _ => {}
            }
            if message.header("content-length").is_none() && message.header("transfer-encoding").is_none() {
                reader.read_to_end(&mut message.sent)?;
                message.body.clone_from(&message.sent);
                message.ended_by_close = true;
                return Ok(message);
            }
            message.read_body(reader)?;
            return Ok(message);
        }
    }

    fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        loop {
            let start = head.len();
            if reader.read_until(b'\n', &mut head)? == 0 {
                let cut = if head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
                return cut;
            }
            match &head[start..] {
                // Some send an empty line before a request.
                b"\r\n" if start == 0 => head.clear(),
                b"\r\n" => return Ok(Some(Self { head, ..Self::default() })),
                _ => {}
            }
        }
    }

    fn read_body(&mut self, reader: &mut impl BufRead) -> io::Result<()> {
        let bad = || io::Error::from(io::ErrorKind::InvalidData);
        if self.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks(reader);
        }
        let length = self.header("content-length").map_or(Ok(0), str::parse).map_err(|_| bad())?;
        self.sent = vec![0; length];
        reader.read_exact(&mut self.sent)?;
        self.body.clone_from(&self.sent);
        Ok(())
    }

    fn read_chunks(&mut self, reader: &mut impl BufRead) -> io::Result<()> {
        let bad = || io::Error::from(io::ErrorKind::InvalidData);
        loop {
            let line = read_line(reader, &mut self.sent)?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = u64::from_str_radix(digits, 16).map_err(|_| bad())?;
            if length == 0 {
                // Trailers, to the empty line.
                while !read_line(reader, &mut self.sent)?.is_empty() {}
                return Ok(());
            }
            let start = self.sent.len();
            reader.by_ref().take(length).read_to_end(&mut self.sent)?;
            self.body.extend_from_slice(&self.sent[start..]);
            if (self.sent.len() - start) as u64 != length || !read_line(reader, &mut self.sent)?.is_empty() {
                return Err(bad());
            }
        }
    }

    /// Writes the message as it came.
    pub(crate) fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        // At once, so that a small message is one packet.
        writer.write_all(&[self.head.as_slice(), &self.sent].concat())?;
        writer.flush()
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        // A head that is not UTF-8 has no lines: it is passed on all the same.
        std::str::from_utf8(&self.head).unwrap_or_default().split("\r\n")
    }

    /// The `nth` word of the first line.
    fn word(&self, nth: usize) -> &str {
        self.lines().next().and_then(|line| line.split(' ').nth(nth)).unwrap_or_default()
    }

    /// A request's method.
    pub(crate) fn method(&self) -> &str {
        self.word(0)
    }

    /// A request's path, with its query.
    pub(crate) fn path(&self) -> &str {
        self.word(1)
    }

    /// A response's status.
    pub(crate) fn status(&self) -> Option<u16> {
        self.word(1).parse().ok()
    }

    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body without chunks.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, as text where it is text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the connection is of no use after this message.
    pub(crate) fn closes(&self) -> bool {
        self.ended_by_close
            || self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    fn remove_header(&mut self, name: &str) {
        let keep = |line: &&str| !line.split(':').next().unwrap_or_default().eq_ignore_ascii_case(name);
        let head: Vec<&str> = self.lines().filter(keep).collect();
        self.head = head.join("\r\n").into_bytes();
    }
}

/// Reads a line onto `sent`, and gives it without its end.
fn read_line(reader: &mut impl BufRead, sent: &mut Vec<u8>) -> io::Result<String> {
    let start = sent.len();
    reader.read_until(b'\n', sent)?;
    let line = String::from_utf8_lossy(&sent[start..]);
    let line = line.strip_suffix("\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
        4;why=not\r\nwiki\r\n0E\r\npedia in\r\n\r\nch\r\n0\r\nTrailer: yes\r\n\r\nGET /y HTTP/1.1\r\nHost: z\r\n\r\n";

    fn read(mut reader: impl BufRead) -> Message {
        Message::read_request(&mut reader, &mut io::sink()).unwrap().unwrap()
    }

    #[test]
    fn chunks_are_joined_for_us_and_kept_for_the_wire() {
        let mut reader = CHUNKED;
        let first = read(&mut reader);
        assert_eq!(first.text(), "wikipedia in\r\n\r\nch");
        let second = read(&mut reader);
        assert_eq!((second.method(), second.path(), second.header("HOST")), ("GET", "/y", Some("z")));
        assert!(reader.is_empty());
        let mut wire = Vec::new();
        first.write(&mut wire).unwrap();
        second.write(&mut wire).unwrap();
        assert_eq!(wire, CHUNKED);
    }

    #[test]
    fn a_message_that_is_cut_short_is_an_error() {
        for end in 1..CHUNKED.len() - b"GET /y HTTP/1.1\r\nHost: z\r\n\r\n".len() {
            let mut reader = &CHUNKED[..end];
            assert!(Message::read_request(&mut reader, &mut io::sink()).is_err(), "at byte {end}");
        }
    }

    #[test]
    fn a_client_that_asks_is_told_to_go_on() {
        let mut reader: &[u8] = b"PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok";
        let mut said = Vec::new();
        let message = Message::read_request(&mut reader, &mut said).unwrap().unwrap();
        assert_eq!(said, b"HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!((message.header("expect"), message.header("content-length")), (None, Some("2")));
        assert_eq!(message.body(), b"ok");
    }

    #[test]
    fn a_response_ends_as_it_says() {
        let get = Message::new("GET / HTTP/1.1", &[], b"");
        let head = Message::new("HEAD / HTTP/1.1", &[], b"");
        let response =
            |request: &Message, mut text: &[u8]| Message::read_response(&mut text, request).unwrap();
        let plain =
            response(&get, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok!");
        assert_eq!((plain.status(), plain.body(), plain.closes()), (Some(200), b"ok".as_slice(), false));
        let none = response(&get, b"HTTP/1.1 204 No Content\r\n\r\nrest");
        assert_eq!((none.status(), none.body(), none.closes()), (Some(204), b"".as_slice(), false));
        let of_head = response(&head, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n");
        assert_eq!((of_head.body(), of_head.closes()), (b"".as_slice(), false));
        let until_close = response(&get, b"HTTP/1.1 200 OK\r\n\r\nall of it");
        assert_eq!((until_close.body(), until_close.closes()), (b"all of it".as_slice(), true));
    }
}
