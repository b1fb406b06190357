//! The raw request head: read within its bounds and judged before the HTTP parser sees it.
//!
//! The judge can only refuse. It turns away what parsers are known to read differently (bare line
//! feeds, control bytes, folded lines, blanks before a colon, absolute targets, more or less than
//! one Host), so that no intermediary and no library can disagree with us about what was asked.
//!
//! [`Held`] then plays the head back to hyper. What an impatient client sends behind it is kept
//! apart for the relay, and is read on while the upstream is dialled: only so is it noticed that
//! a client has gone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

/// Longest head in bytes, and how many header lines it may have.
pub const HEAD_MAX: usize = 32 * 1024;
pub const LINES_MAX: usize = 100;
/// Frames of a client that does not wait for its `101`; beyond that it is not read.
const EARLY_MAX: usize = 64 * 1024;
/// What one read asks for: most heads fit.
const READ: usize = 2 * 1024;

/// Why there is no head.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// The client went without a word, or inside the head.
    Gone,
    /// The deadline passed.
    Late,
    /// It is not a head that may be parsed.
    Refused(StatusCode, &'static str),
}

/// Reads one head. What came behind it is kept in the result.
pub async fn read<S: AsyncRead + Unpin>(mut io: S, deadline: Instant) -> (S, Result<Read, Unread>) {
    let mut bytes = BytesMut::new();
    let found = timeout_at(deadline, find_end(&mut io, &mut bytes)).await;
    let read = found.unwrap_or(Err(Unread::Late)).and_then(|end| {
        judge(&bytes[..end])?;
        let body = judge_framing(&bytes[..end])?;
        let early = bytes.split_off(end);
        Ok(Read {
            head: bytes.freeze(),
            early,
            body,
        })
    });
    (io, read)
}

/// A judged head and what came behind it.
#[derive(Debug)]
pub struct Read {
    head: Bytes,
    early: BytesMut,
    /// `Content-Length`, where it stands.
    body: Option<u64>,
}

impl Read {
    /// The path that is asked for, without its query.
    pub fn path(&self) -> &str {
        let target = self.head.split(|&byte| byte == b' ').nth(1);
        let path = target.and_then(|target| target.split(|&byte| byte == b'?').next());
        // It was judged to be ASCII.
        std::str::from_utf8(path.unwrap_or_default()).unwrap_or_default()
    }

    /// How long a body is said to be.
    pub fn body(&self) -> Option<u64> {
        self.body
    }
}

async fn find_end<S: AsyncRead + Unpin>(io: &mut S, bytes: &mut BytesMut) -> Result<usize, Unread> {
    // Each byte is searched once, however small the pieces are.
    let mut searched = 0;
    loop {
        let from = searched.max(3) - 3;
        if let Some(at) = memmem::find(&bytes[from..], b"\r\n\r\n") {
            let end = from + at + 4;
            return if end <= HEAD_MAX {
                Ok(end)
            } else {
                Err(too_long())
            };
        }
        // A head with a bare line feed is told now and not at its deadline.
        if has_bare_line_feed(bytes, searched) {
            return Err(malformed("a line ends without CR LF"));
        }
        searched = bytes.len();
        if searched >= HEAD_MAX {
            return Err(too_long());
        }
        bytes.reserve(READ);
        match io.read_buf(bytes).await {
            Ok(0) | Err(_) => return Err(Unread::Gone),
            Ok(_) => {}
        }
    }
}

/// Whether a line feed at or behind `from` stands without its CR.
fn has_bare_line_feed(bytes: &[u8], from: usize) -> bool {
    memchr::memchr_iter(b'\n', &bytes[from..])
        .map(|at| from + at)
        .any(|at| at == 0 || bytes[at - 1] != b'\r')
}

fn malformed(detail: &'static str) -> Unread {
    Unread::Refused(StatusCode::BAD_REQUEST, detail)
}

fn too_long() -> Unread {
    Unread::Refused(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "the head exceeds 32 KiB",
    )
}

/// Judges a whole head, its last empty line included.
fn judge(head: &[u8]) -> Result<(), Unread> {
    if has_bare_line_feed(head, 0) {
        return Err(malformed("a line ends without CR LF"));
    }
    let body = &head[..head.len() - 4];
    let mut lines = memmem::find_iter(body, b"\r\n").scan(0, |from, at| {
        let line = &body[*from..at];
        *from = at + 2;
        Some(line)
    });
    let last_from = memmem::rfind(body, b"\r\n").map_or(0, |at| at + 2);
    let first = lines.next().unwrap_or(body);
    judge_request_line(first)?;
    let rest = lines.chain((last_from > 0).then_some(&body[last_from..]));
    let (mut count, mut hosts) = (0, 0);
    for line in rest {
        count += 1;
        let (name, value) = judge_line(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
            judge_host(value.trim_ascii())?;
        }
    }
    if count > LINES_MAX {
        return Err(Unread::Refused(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "there are more than 100 header lines",
        ));
    }
    if hosts != 1 {
        return Err(malformed("Host must stand once"));
    }
    Ok(())
}

/// `METHOD SP target SP version`, one space each, the target a path.
fn judge_request_line(line: &[u8]) -> Result<(), Unread> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    let well_formed = method.is_some_and(|m| !m.is_empty() && m.iter().all(|&b| is_token(b)))
        && version.is_some_and(is_version)
        && parts.next().is_none();
    if !well_formed {
        return Err(malformed("the request line is malformed"));
    }
    let path = target.is_some_and(|t| {
        let visible = |&b: &u8| b > b' ' && b != 0x7F && b.is_ascii() && b != b'#';
        t.starts_with(b"/") && t.iter().all(visible)
    });
    if !path {
        return Err(malformed(
            "the target must be a path in visible ASCII, without a fragment",
        ));
    }
    Ok(())
}

/// RFC 9112, section 2.3. Anything behind it would be read by nobody, or by some.
fn is_version(version: &[u8]) -> bool {
    let digits = version.strip_prefix(b"HTTP/");
    matches!(digits, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// How long the body is, if there is one. Two lengths, or a length beside a coding, are read
/// differently by different readers (RFC 9112, 6.3).
fn judge_framing(head: &[u8]) -> Result<Option<u64>, Unread> {
    let (mut length, mut coded) = (None, false);
    for line in head.split(|&byte| byte == b'\n').skip(1) {
        let Some((name, value)) = memchr::memchr(b':', line).map(|at| line.split_at(at)) else {
            continue;
        };
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            coded = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = value[1..].trim_ascii();
            let number = std::str::from_utf8(digits).ok();
            let number = number.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let number = number.and_then(|text| text.parse().ok());
            let number = number.ok_or(malformed("Content-Length is no number"))?;
            if length.replace(number).is_some() {
                return Err(malformed("Content-Length stands twice"));
            }
        }
    }
    if coded && length.is_some() {
        return Err(malformed("the body has a length and a coding"));
    }
    Ok(length)
}

/// A name or an address, and perhaps a port (RFC 9110, 7.2). Which one it is does not matter here,
/// but an intermediary might read an odd one differently.
fn judge_host(value: &[u8]) -> Result<(), Unread> {
    let (host, port) = match value.strip_prefix(b"[") {
        Some(rest) => {
            let end = memchr::memchr(b']', rest).unwrap_or(0);
            (&rest[..end], rest.get(end + 1..).unwrap_or(b"x"))
        }
        None => value.split_at(memchr::memchr(b':', value).unwrap_or(value.len())),
    };
    let of_name = |&byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let of_address = |&byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let fits = if value.starts_with(b"[") {
        host.iter().all(of_address)
    } else {
        host.iter().all(of_name)
    };
    let port = match port.split_first() {
        None => true,
        Some((colon, digits)) => *colon == b':' && digits.iter().all(u8::is_ascii_digit),
    };
    if host.is_empty() || !fits || !port {
        return Err(malformed("Host is neither a name nor an address"));
    }
    Ok(())
}

/// `name: value`; both of them. A line that begins with a blank (folding) has no token for a name.
fn judge_line(line: &[u8]) -> Result<(&[u8], &[u8]), Unread> {
    let Some(colon) = memchr::memchr(b':', line) else {
        return Err(malformed("a header line has no colon"));
    };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
        return Err(malformed("the name of a header is not a token"));
    }
    let clean = value
        .iter()
        .all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7F));
    if !clean {
        return Err(malformed("a header holds a control byte"));
    }
    Ok((name, value))
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A connection whose head has been read: hyper gets the head and nothing behind it.
///
/// It serves one request, without a body but where [`with_body`](Held::with_body) says otherwise.
/// Reading beyond that gives hyper nothing until the client's end of stream, which it must see to
/// stop working for nobody.
pub struct Held<S> {
    io: S,
    head: Bytes,
    early: BytesMut,
    /// Bytes behind the head that hyper is still to get.
    body: usize,
}

impl<S> Held<S> {
    pub fn new(io: S, read: Read) -> Held<S> {
        Held {
            io,
            head: read.head,
            early: read.early,
            body: 0,
        }
    }

    /// hyper gets so many bytes behind the head, too.
    #[must_use]
    pub fn with_body(self, body: usize) -> Held<S> {
        Held { body, ..self }
    }

    /// The connection and what the client sent behind its head, without the buffer that it was read
    /// into: a session that holds even an empty part of that would keep all of it.
    pub fn into_parts(self) -> (S, Bytes) {
        (self.io, Bytes::copy_from_slice(&self.early))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let held = self.get_mut();
        if !held.head.is_empty() {
            let count = held.head.len().min(out.remaining());
            out.put_slice(&held.head[..count]);
            held.head.advance(count);
            return Poll::Ready(Ok(()));
        }
        if held.body > 0 {
            if held.early.is_empty() {
                held.early.reserve(READ);
                let mut read = std::pin::pin!(held.io.read_buf(&mut held.early));
                if ready!(read.as_mut().poll(cx))? == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
            let count = held.early.len().min(held.body).min(out.remaining());
            out.put_slice(&held.early[..count]);
            held.early.advance(count);
            held.body -= count;
            return Poll::Ready(Ok(()));
        }
        while held.early.len() < EARLY_MAX {
            held.early.reserve(READ);
            let mut read = std::pin::pin!(held.io.read_buf(&mut held.early));
            if ready!(read.as_mut().poll(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        // Full: the relay will read on. Until then nobody needs to be woken for this.
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    fn refusal(head: &str) -> Option<&'static str> {
        match judge(head.as_bytes()) {
            Ok(()) => None,
            Err(Unread::Refused(_, detail)) => Some(detail),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn s04_refuses_what_parsers_read_differently() {
        let good = "GET /ws?a=b HTTP/1.1\r\nHost: x\r\nA: b\tc\r\n\r\n";
        assert_eq!(refusal(good), None);
        let cases = [
            ("\r\nA", "\nA"),
            ("Host", " Host"),
            ("Host:", "Host :"),
            ("A: b", "A b"),
            ("A: b", ": b"),
            ("A: b", "A: \0b"),
            ("A: b", "A: \rb"),
            ("A: b", "A: \u{7f}b"),
            ("A: b", "Host: x"),
            ("A: b", "hOST: y"),
            ("Host: x", "Host:"),
            ("Host: x", "Host: "),
            ("Host: x", "Host: :443"),
            ("Host: x", "Host: a@x"),
            ("Host: x", "Host: x/ws"),
            ("Host: x", "Host: x, y"),
            ("Host: x", "Host: http://x"),
            ("Host: x", "Host: x\ty"),
            ("Host: x", "Host: a:b:c"),
            ("Host: x", "Host: x:8a"),
            ("Host: x", "Host: ]"),
            ("Host: x", "Host: []"),
            ("Host: x", "Host: [::1"),
            ("Host: x", "Host: [::1]x"),
            ("Host: x", "Host: [x]"),
            ("/ws?a=b", "/ws#a"),
            ("Host: x\r\n", ""),
            ("/ws?a=b", "http://x/ws"),
            ("/ws?a=b", "*"),
            ("/ws?a=b", "x:443"),
            ("/ws?a=b", "/w\u{1}s"),
            ("/ws?a=b", "/wé"),
            ("GET ", "GET  "),
            ("GET", "G(T"),
            (" HTTP/1.1", ""),
            (" HTTP/1.1", " HTTP/1.1 x"),
            (" HTTP/1.1", " HTTP/1.1\r/1.1"),
            (" HTTP/1.1", " HTTP/1.1\0"),
            (" HTTP/1.1", " HTTP/11"),
        ];
        for (from, to) in cases {
            assert!(good.contains(from));
            let bad = good.replacen(from, to, 1);
            assert!(refusal(&bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn s04_hosts_of_every_good_form_pass() {
        for host in [
            "x",
            "a.b-c.example:8443",
            "192.0.2.1",
            "[2001:db8::1]:443",
            "x_y",
        ] {
            let head = format!("GET / HTTP/1.1\r\nhost:{host} \r\n\r\n");
            assert_eq!(refusal(&head), None, "{host}");
        }
    }

    #[test]
    fn s05_counts_lines_up_to_the_bound() {
        let head = |lines: usize| {
            let more = "A: b\r\n".repeat(lines - 1);
            format!("GET / HTTP/1.1\r\nHost: x\r\n{more}\r\n")
        };
        assert_eq!(refusal(&head(LINES_MAX)), None);
        assert!(refusal(&head(LINES_MAX + 1)).is_some());
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime.unwrap().block_on(work)
    }

    #[test]
    fn keeps_what_comes_behind_the_head_and_plays_the_head_back() {
        let wire = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nearly";
        for chunk in 1..wire.len() {
            run(async {
                let mut mock = tokio_test_io(wire, chunk);
                let deadline = Instant::now() + std::time::Duration::from_secs(1);
                let (io, read) = read(&mut mock, deadline).await;
                let mut held = Held::new(io, read.unwrap());
                let mut head = vec![0; wire.len() - 5];
                held.read_exact(&mut head).await.unwrap();
                assert_eq!(head, wire[..wire.len() - 5]);
                // The end of the stream is told, and the early bytes are kept.
                assert_eq!(held.read(&mut [0; 9]).await.unwrap(), 0);
                assert_eq!(held.into_parts().1, &b"early"[..]);
            });
        }
    }

    /// A reader that gives `bytes` in pieces and then ends.
    fn tokio_test_io(bytes: &'static [u8], chunk: usize) -> impl AsyncRead + Unpin {
        struct Pieces(&'static [u8], usize);
        impl AsyncRead for Pieces {
            fn poll_read(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                out: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let count = self.1.min(self.0.len()).min(out.remaining());
                out.put_slice(&self.0[..count]);
                self.0 = &self.0[count..];
                Poll::Ready(Ok(()))
            }
        }
        Pieces(bytes, chunk)
    }

    #[test]
    fn s04_a_body_has_one_length_or_a_coding() {
        let judge = |lines: &str| {
            let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
            judge_framing(head.as_bytes())
        };
        assert_eq!(judge(""), Ok(None));
        assert_eq!(judge("content-length:\t12 \r\n"), Ok(Some(12)));
        assert_eq!(judge("Transfer-Encoding: chunked\r\n"), Ok(None));
        for bad in [
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: x\r\nContent-Length: 0\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: 0x1\r\n",
            "Content-Length: 99999999999999999999\r\n",
        ] {
            assert!(judge(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hyper_gets_the_body_and_nothing_behind_it() {
        let wire = b"POST /e?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbodyearly";
        for chunk in 1..wire.len() {
            run(async {
                let mut pieces = tokio_test_io(wire, chunk);
                let deadline = Instant::now() + std::time::Duration::from_secs(1);
                let (io, read) = read(&mut pieces, deadline).await;
                let read = read.unwrap();
                assert_eq!((read.path(), read.body()), ("/e", Some(4)));
                let mut held = Held::new(io, read).with_body(4);
                let mut all = Vec::new();
                held.read_to_end(&mut all).await.unwrap();
                assert_eq!(all, wire[..wire.len() - 5]);
                assert_eq!(held.into_parts().1, &b"early"[..]);
            });
        }
    }

    #[test]
    fn a_head_that_does_not_end_is_late_and_one_that_is_cut_is_gone() {
        run(async {
            let deadline = Instant::now() + std::time::Duration::from_secs(1);
            let (client, _server) = tokio::io::duplex(100);
            let (_, late) = read(client, deadline).await;
            assert_eq!(late.unwrap_err(), Unread::Late);
            let deadline = Instant::now() + std::time::Duration::from_secs(1);
            let (_, gone) = read(&b"GET / HT"[..], deadline).await;
            assert_eq!(gone.unwrap_err(), Unread::Gone);
        });
    }

    #[test]
    fn reads_that_are_given_up_lose_nothing_and_stop_at_the_bound() {
        run(async {
            let wire: Vec<u8> = (0..4 * EARLY_MAX).map(|i| (i / 7) as u8).collect();
            let (mut client, io) = tokio::io::duplex(1000);
            let read = Read {
                head: Bytes::new(),
                early: BytesMut::from(&wire[..5]),
                body: None,
            };
            let mut held = Held::new(io, read);
            let mut sent = 5;
            while sent < wire.len()
                && let Some(count) = client.write(&wire[sent..]).now_or_never()
            {
                sent += count.unwrap();
                // Bytes are on their way whenever hyper drops such a future.
                assert!(held.read(&mut [0; 9]).now_or_never().is_none());
                tokio::task::yield_now().await;
            }
            let (mut io, early) = held.into_parts();
            assert!(early.len() >= EARLY_MAX && early.len() < EARLY_MAX + 1000);
            drop(client);
            let mut all = early.to_vec();
            io.read_to_end(&mut all).await.unwrap();
            assert!(all == wire[..sent]);
        });
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = judge(&[&bytes[..], b"\r\n\r\n"].concat());
            let request = [b"GET / HTTP/1.1\r\n", &bytes[..], b"\r\n\r\n"].concat();
            let _ = judge(&request);
        }
    }
}
