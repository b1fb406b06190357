//! The PROXY protocol, versions 1 and 2: what a hop that speaks it sends before anything else, TLS
//! included. Only connections from such a hop come here; on any other the same bytes are just a bad
//! ClientHello or a bad head.
//!
//! No byte behind the header leaves the socket: what is there is looked at first, and only what
//! belongs to the header is taken. TLS and HTTP find the rest where they would have found it.
//!
//! Not here: the fields behind the addresses (TLVs). They are bounded, skipped and not believed.

use std::net::SocketAddr;

use memchr::memmem;
use ppp::{v1, v2};
use tokio::net::TcpStream;

/// Longest header of version 1, its line end included, as the specification counts it.
const TEXT_MAX: usize = 107;
/// Longest header of version 2: what fits into the smallest TCP segment (RFC 9293, 3.7.1), which is
/// how the specification wants it sent. Two IPv6 addresses take 52 of it.
const BINARY_MAX: usize = 536;
/// Before the addresses of version 2: signature, version, family, length.
const BINARY_START: usize = 16;

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("the connection ended inside the header")]
    Gone,
    #[error("there is no header, or not a good one")]
    Malformed,
    #[error("the header took too long")]
    Late,
}

/// Takes the header off a connection: the client that it names, or `None` where the hop speaks for
/// itself. How long that may take is the caller's to say.
pub(super) async fn read(socket: &mut TcpStream) -> Result<Option<SocketAddr>, Wrong> {
    use tokio::io::AsyncReadExt as _;

    let mut header = [0; BINARY_MAX];
    let mut taken = 0;
    loop {
        let seen = socket.peek(&mut header[taken..]).await;
        let seen = match seen {
            Ok(0) | Err(_) => return Err(Wrong::Gone),
            Ok(seen) => taken + seen,
        };
        let end = end(&header[..seen])?;
        // A header without its end so far is header to the last byte.
        let upto = end.unwrap_or(seen);
        let took = socket.read_exact(&mut header[taken..upto]).await;
        took.map_err(|_| Wrong::Gone)?;
        taken = upto;
        if end.is_some() {
            return client(&header[..taken]);
        }
    }
}

/// Where the header ends that `bytes` begin with; `None` if that cannot be told yet.
fn end(bytes: &[u8]) -> Result<Option<usize>, Wrong> {
    let may_begin = |start: &[u8]| bytes.iter().zip(start).all(|(a, b)| a == b);
    if may_begin(b"PROXY ") {
        return match memmem::find(bytes, b"\r\n") {
            Some(at) if at + 2 <= TEXT_MAX => Ok(Some(at + 2)),
            None if bytes.len() < TEXT_MAX => Ok(None),
            Some(_) | None => Err(Wrong::Malformed),
        };
    }
    if may_begin(v2::PROTOCOL_PREFIX) {
        let &[.., high, low] = bytes.get(..BINARY_START).unwrap_or_default() else {
            return Ok(None);
        };
        let end = BINARY_START + usize::from(u16::from_be_bytes([high, low]));
        if end > BINARY_MAX {
            return Err(Wrong::Malformed);
        }
        return Ok((bytes.len() >= end).then_some(end));
    }
    Err(Wrong::Malformed)
}

/// The client that a whole header names.
///
/// `LOCAL` is the hop itself, which looks whether we live. `UNKNOWN` and what is no TCP over IP
/// names nobody, and the specification has such a connection served as the hop's own.
fn client(header: &[u8]) -> Result<Option<SocketAddr>, Wrong> {
    if header.starts_with(v2::PROTOCOL_PREFIX) {
        let header = v2::Header::try_from(header).map_err(|_| Wrong::Malformed)?;
        let stream =
            header.command == v2::Command::Proxy && header.protocol == v2::Protocol::Stream;
        return Ok(match header.addresses {
            v2::Addresses::IPv4(both) if stream => {
                Some((both.source_address, both.source_port).into())
            }
            v2::Addresses::IPv6(both) if stream => {
                Some((both.source_address, both.source_port).into())
            }
            v2::Addresses::IPv4(_)
            | v2::Addresses::IPv6(_)
            | v2::Addresses::Unix(_)
            | v2::Addresses::Unspecified => None,
        });
    }
    let parsed = v1::Header::try_from(header).map_err(|_| Wrong::Malformed)?;
    // The library looks for a CR where the line ends for us at CR LF.
    if parsed.header.len() != header.len() {
        return Err(Wrong::Malformed);
    }
    Ok(match parsed.addresses {
        v1::Addresses::Tcp4(both) => Some((both.source_address, both.source_port).into()),
        v1::Addresses::Tcp6(both) => Some((both.source_address, both.source_port).into()),
        v1::Addresses::Unknown => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A header of version 2.
    fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [
            v2::PROTOCOL_PREFIX,
            &[0x20 | command, family],
            &length,
            block,
        ]
        .concat()
    }

    const V4: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0xC0, 0, 1, 0xBB];

    fn v6() -> Vec<u8> {
        let mut block = vec![0; 36];
        block[..2].copy_from_slice(&[0x20, 0x01]);
        block[15] = 9;
        block[32] = 0xC0;
        block
    }

    /// What a connection that begins with `bytes` comes to: where its header ends, and whom it
    /// names.
    fn whole(bytes: &[u8]) -> Result<Option<(usize, Option<SocketAddr>)>, Wrong> {
        match end(bytes)? {
            Some(end) => Ok(Some((end, client(&bytes[..end])?))),
            None => Ok(None),
        }
    }

    fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let v4 = Some("203.0.113.9:49152");
        let v6_client = Some("[2001::9]:49152");
        // A field of the operator's behind the addresses, as balancers of clouds add.
        let with_field = [&V4[..], &[0xEE, 0, 4, 1, 2, 3, 4]].concat();
        let most = [&V4[..], &[4; BINARY_MAX - BINARY_START - 12]].concat();
        let worst = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                     ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        assert_eq!(worst.len(), TEXT_MAX);
        let text = |text: &str| text.as_bytes().to_vec();
        vec![
            (text("PROXY TCP4 203.0.113.9 10.0.0.1 49152 443\r\n"), v4),
            (text("PROXY TCP6 2001::9 2001::1 49152 443\r\n"), v6_client),
            (text("PROXY UNKNOWN\r\n"), None),
            (text(worst), None),
            (binary(1, 0x11, &V4), v4),
            (binary(1, 0x21, &v6()), v6_client),
            (binary(1, 0x11, &with_field), v4),
            (binary(1, 0x11, &most), v4),
            // The hop itself, whatever stands behind it.
            (binary(0, 0, &[]), None),
            (binary(0, 0x11, &V4), None),
            // No TCP over IP: datagrams, a socket of the file system, nothing said.
            (binary(1, 0x12, &V4), None),
            (binary(1, 0x31, &[7; 216]), None),
            (binary(1, 0, &[]), None),
        ]
    }

    #[test]
    fn b23_a_header_names_its_client_and_takes_nothing_behind_it() {
        for (header, named) in good() {
            let named = named.map(|text| text.parse::<SocketAddr>().unwrap());
            for behind in [
                &b""[..],
                b"\r\n",
                b"\x16\x03\x01\x02\0",
                b"GET / HTTP/1.1\r\n",
            ] {
                let bytes = [&header[..], behind].concat();
                assert_eq!(whole(&bytes), Ok(Some((header.len(), named))), "{bytes:?}");
            }
            // Cut anywhere it is no header yet, and no bad one either.
            for cut in 0..header.len() {
                assert_eq!(whole(&header[..cut]), Ok(None), "{cut} of {header:?}");
            }
        }
    }

    #[test]
    fn b23_what_is_no_header_is_told_at_once() {
        let long = format!("PROXY UNKNOWN {}", "x".repeat(TEXT_MAX - 14));
        let late = format!("{long}\r\n");
        let texts = [
            "GET / HTTP/1.1\r\n",
            "\x16\x03\x01",
            "proxy TCP4",
            "PROXY\tTCP4",
            " PROXY TCP4",
            "\r\n\r\nPROXY",
            "PROXY TCP4\r\n",
            "PROXY  TCP4 203.0.113.9 10.0.0.1 49152 443\r\n",
            "PROXY TCP4 203.0.113.9 10.0.0.1 49152\r\n",
            "PROXY TCP4 203.0.113.9 10.0.0.1 49152 443 1\r\n",
            "PROXY TCP4 203.0.113.9 10.0.0.1 49152 65536\r\n",
            "PROXY TCP4 203.0.113.9 10.0.0.1 049152 443\r\n",
            "PROXY TCP4 203.0.113.999 10.0.0.1 49152 443\r\n",
            "PROXY TCP4 2001::9 10.0.0.1 49152 443\r\n",
            "PROXY TCP6 203.0.113.9 10.0.0.1 49152 443\r\n",
            "PROXY TCP5 203.0.113.9 10.0.0.1 49152 443\r\n",
            "PROXY TCP4 203.0.113.9 10.0.0.1 49152 443\rx\r\n",
            "PROXY TCP4 203.0.113.9\r10.0.0.1 49152 443\r\n",
            "PROXY TCP4 203.0.113.\u{e9} 10.0.0.1 49152 443\r\n",
            &long,
            &late,
        ];
        for text in texts {
            assert_eq!(whole(text.as_bytes()), Err(Wrong::Malformed), "{text:?}");
        }
        let too_long = [&V4[..], &[4; BINARY_MAX - BINARY_START - 11]].concat();
        let mut version_1 = binary(1, 0x11, &V4);
        version_1[12] = 0x11;
        for bytes in [
            binary(1, 0x11, &too_long),
            // The length alone is enough.
            binary(1, 0x11, &too_long)[..BINARY_START].to_vec(),
            binary(2, 0x11, &V4),
            binary(1, 0x41, &V4),
            binary(1, 0x13, &V4),
            binary(1, 0x11, &V4[..11]),
            binary(1, 0x21, &V4),
            version_1,
        ] {
            assert_eq!(whole(&bytes), Err(Wrong::Malformed), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_takes_no_more_than_there_is(
            start in 0..4usize,
            bytes in proptest::collection::vec(any::<u8>(), 0..700),
        ) {
            let start = [&b""[..], b"PROXY ", b"PROXY TCP4 ", v2::PROTOCOL_PREFIX][start];
            let bytes = [start, &bytes].concat();
            if let Ok(Some((end, _))) = whole(&bytes) {
                prop_assert!(end <= bytes.len() && end <= BINARY_MAX);
            }
        }

        #[test]
        fn a_header_that_was_cut_comes_to_the_same(
            which in 0..13usize, cut in 0..BINARY_MAX, flip in any::<Option<(u16, u8)>>()
        ) {
            let (mut header, _) = good().swap_remove(which);
            if let Some((at, byte)) = flip {
                let at = usize::from(at) % header.len();
                header[at] ^= byte;
            }
            // What a prefix is refused for, the whole is refused for; what it ends at, too.
            match end(&header[..cut.min(header.len())]) {
                Ok(None) => {}
                told => prop_assert_eq!(told, end(&header)),
            }
        }
    }
}
