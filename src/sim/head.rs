//! The head of an HTTP/1.1 message, read and taken apart by hand.
//!
//! Owns finding the end of a head without losing the bytes behind it, which may be the first
//! frames of a WebSocket, and splitting it into lines. Refuses to know what a header means. A
//! library would forgive what the simulators must see: repeats, odd spacing, several credentials.

use bytes::{Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest head that is read. Azure's front end takes 32 KiB, and so does the edge.
pub const HEAD_MAX: usize = 32 * 1024;

/// The most header lines taken from one head; the same number as the edge's.
const LINES_MAX: usize = 100;

/// How much is asked for at once.
const READ: usize = 4 * 1024;

/// Why a head was not had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream failed or ended before the head did.
    #[error("the connection ended inside a head")]
    Io(#[from] io::Error),
    /// More than [`HEAD_MAX`] bytes or too many lines.
    #[error("the head is too long")]
    TooLong,
    /// Not a start line followed by header lines.
    #[error("the head is not HTTP/1.1")]
    Malformed,
}

/// A head in parts.
#[derive(Clone)]
pub struct Head {
    /// The request line or the status line.
    pub start: String,
    /// Names as they were written, values without the blanks around them.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Every value under this name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(written, _)| written.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether one of the comma-separated words under this name is `word`.
    #[must_use]
    pub fn says(&self, name: &str, word: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|written| written.trim().eq_ignore_ascii_case(word))
    }

    /// The value under this name when there is exactly one.
    #[must_use]
    pub fn one<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }
}

/// Reads one head from `stream`. What came behind it stays in `buffer`.
pub async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> Result<Bytes, Error> {
    loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            return Ok(buffer.split_to(at + 4).freeze());
        }
        if buffer.len() >= HEAD_MAX {
            return Err(Error::TooLong);
        }
        buffer.reserve(READ);
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

/// Takes a head apart.
pub fn parse(head: &[u8]) -> Result<Head, Error> {
    let text = std::str::from_utf8(head).map_err(|_| Error::Malformed)?;
    let text = text.strip_suffix("\r\n\r\n").ok_or(Error::Malformed)?;
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    for line in lines {
        if headers.len() == LINES_MAX {
            return Err(Error::TooLong);
        }
        let (name, value) = line.split_once(':').ok_or(Error::Malformed)?;
        let named = !name.is_empty() && name.bytes().all(is_token);
        if !named || value.bytes().any(|byte| byte < b' ' && byte != b'\t') {
            return Err(Error::Malformed);
        }
        headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    Ok(Head { start, headers })
}

/// A character of a header name (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_behind_the_head_stay() {
        let mut wire: &[u8] = b"GET / HTTP/1.1\r\nA: b\r\n\r\n\x81\x00";
        let mut buffer = BytesMut::new();
        let head = read(&mut wire, &mut buffer).await.unwrap();
        assert_eq!(&buffer[..], b"\x81\x00");
        let head = parse(&head).unwrap();
        assert_eq!(head.start, "GET / HTTP/1.1");
        assert_eq!(head.one("a"), Some("b"));
    }

    #[tokio::test]
    async fn a_head_without_an_end_is_refused() {
        let mut wire = tokio::io::repeat(b'a');
        let mut buffer = BytesMut::new();
        let refused = read(&mut wire, &mut buffer).await;
        assert!(matches!(refused, Err(Error::TooLong)));
        let mut short: &[u8] = b"GET / HTTP/1.1\r\n";
        let refused = read(&mut short, &mut BytesMut::new()).await;
        assert!(matches!(refused, Err(Error::Io(_))));
    }

    #[test]
    fn what_is_not_a_header_line_is_refused() {
        let bad: [&[u8]; 5] = [
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\n: empty\r\n\r\n",
            b"GET / HTTP/1.1\r\nspace : x\r\n\r\n",
            b"GET / HTTP/1.1\r\na: \x01\r\n\r\n",
            b"GET / HTTP/1.1\r\na: \xff\r\n\r\n",
        ];
        for head in bad {
            assert!(parse(head).is_err(), "{head:?}");
        }
        let twice = parse(b"x\r\na: 1\r\nA: 2\r\n\r\n").unwrap();
        assert_eq!(twice.one("a"), None);
        assert_eq!(twice.all("a").count(), 2);
    }
}
