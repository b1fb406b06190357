//! The raw head of a request: the same verdict however it is cut, and of what is let through every line is
//! what any reader would take it for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;
use tonegate::listener::head::{self, HEAD_MAX, Held, LINES_MAX, Unread};

/// A client that sends so many bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let count = self.0.len().min(self.1).min(out.remaining());
        let (piece, rest) = self.0.split_at(count);
        out.put_slice(piece);
        self.0 = rest;
        Poll::Ready(Ok(()))
    }
}

/// The first two bytes say how it is cut.
pub fn run(data: &[u8]) {
    let Some((cut, bytes)) = data.split_at_checked(2) else {
        return;
    };
    let piece = 1 + usize::from(u16::from_le_bytes([cut[0], cut[1]])) % 3000;
    let whole = read(bytes, usize::MAX);
    let cut = read(bytes, piece);
    match (&whole, &cut) {
        (Ok(one), Ok(other)) => assert_eq!(one, other, "it depends on how it is cut"),
        // A head whose end is further than its bound, or which ends in a line that is none, may be told
        // by either word, as whichever is seen first.
        (Err(_), Err(_)) => {}
        (one, other) => panic!("cut: {one:?} {other:?}"),
    }
    if let Ok((head, early)) = &whole {
        assert!(bytes.starts_with(head) && bytes[head.len()..].starts_with(early));
        is_plain(head);
    }
}

/// The head and what came behind it.
fn read(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>), Unread> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let deadline = Instant::now() + Duration::from_secs(3600);
        let (io, read) = head::read(Pieces(bytes, piece), deadline).await;
        let read = read?;
        let mut held = Held::new(io, read);
        let mut head = Vec::new();
        // What a parser is given is the head, and nothing behind it.
        let end = tokio::io::AsyncReadExt::read_to_end(&mut held, &mut head);
        let _ = tokio::time::timeout(Duration::from_millis(20), end).await;
        let (io, early) = held.into_parts();
        let mut rest = early.to_vec();
        rest.extend_from_slice(io.0);
        Ok((head, rest))
    })
}

fn is_plain(head: &[u8]) {
    assert!(head.len() <= HEAD_MAX && head.ends_with(b"\r\n\r\n"));
    let text = &head[..head.len() - 4];
    assert!(
        !text.windows(4).any(|four| four == b"\r\n\r\n"),
        "it has two ends"
    );
    let mut lines = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        lines.push(line.strip_suffix(b"\r").unwrap_or(line));
    }
    for (i, line) in lines.iter().enumerate() {
        let bad =
            |&byte: &u8| matches!(byte, b'\r' | b'\n' | 0 | 0x7F) || (byte < b' ' && byte != b'\t');
        assert!(!line.iter().any(bad), "line {i} has a control byte");
    }
    assert!(lines.len() <= 1 + LINES_MAX);
    let parts: Vec<_> = lines[0].split(|&byte| byte == b' ').collect();
    assert!(parts.len() == 3 && parts[1].starts_with(b"/") && parts[2].starts_with(b"HTTP/"));
    assert!(
        parts[1]
            .iter()
            .all(|byte| (0x21..0x7F).contains(byte) && *byte != b'#')
    );
    let named = |name: &str| {
        let of_line = |line: &&[u8]| {
            let at = line.iter().position(|&byte| byte == b':').expect("a colon");
            assert!(
                at > 0 && !line[..at].iter().any(|b| b.is_ascii_whitespace()),
                "a name"
            );
            line[..at].eq_ignore_ascii_case(name.as_bytes())
        };
        lines[1..].iter().filter(|line| of_line(line)).count()
    };
    assert_eq!(named("host"), 1);
    let (lengths, codings) = (named("content-length"), named("transfer-encoding"));
    assert!(
        lengths <= 1 && (lengths == 0 || codings == 0),
        "two framings"
    );
}
