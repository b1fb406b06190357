//! One frame header: its bits, judged against RFC 6455, section 5.2.

use super::{Role, Violation};

/// The longest header: two bytes, a 64-bit length, a masking key.
pub const HEADER_MAX: usize = 14;
/// The longest payload of a control frame (RFC 6455, 5.5).
pub const CONTROL_PAYLOAD_MAX: usize = 125;

/// What a frame is, by its opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpCode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl OpCode {
    fn from_bits(bits: u8) -> Option<OpCode> {
        Some(match bits {
            0x0 => OpCode::Continuation,
            0x1 => OpCode::Text,
            0x2 => OpCode::Binary,
            0x8 => OpCode::Close,
            0x9 => OpCode::Ping,
            0xA => OpCode::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            OpCode::Continuation => 0x0,
            OpCode::Text => 0x1,
            OpCode::Binary => 0x2,
            OpCode::Close => 0x8,
            OpCode::Ping => 0x9,
            OpCode::Pong => 0xA,
        }
    }

    /// Close, ping and pong: short, whole, and allowed between the fragments of a message.
    pub fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}

/// A header that keeps every rule which can be judged from its own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub fin: bool,
    pub opcode: OpCode,
    /// The masking key of a client's frame.
    pub mask: Option<[u8; 4]>,
    /// Payload length in bytes.
    pub length: u64,
    /// Length of the header itself in bytes: 2 to [`HEADER_MAX`].
    pub size: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`, sent by `role`. `None` means that more bytes are
    /// needed; a broken rule is told as soon as the bytes that break it are there.
    pub fn parse(bytes: &[u8], role: Role) -> Result<Option<Header>, Violation> {
        let &[first, second, ..] = bytes else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBits);
        }
        let fin = first & 0x80 != 0;
        let opcode = OpCode::from_bits(first & 0x0F).ok_or(Violation::ReservedOpcode)?;
        let masked = second & 0x80 != 0;
        match (role, masked) {
            (Role::Client, false) => return Err(Violation::Unmasked),
            (Role::Server, true) => return Err(Violation::Masked),
            (Role::Client, true) | (Role::Server, false) => {}
        }
        let short = second & 0x7F;
        if opcode.is_control() {
            if !fin {
                return Err(Violation::FragmentedControl);
            }
            if usize::from(short) > CONTROL_PAYLOAD_MAX {
                return Err(Violation::LongControl);
            }
        }
        let Some((length, after_length)) = length(bytes, short)? else {
            return Ok(None);
        };
        let size = after_length + if masked { 4 } else { 0 };
        let mask = if masked {
            let Some(key) = bytes.get(after_length..size) else {
                return Ok(None);
            };
            Some([key[0], key[1], key[2], key[3]])
        } else {
            None
        };
        Ok(Some(Header {
            fin,
            opcode,
            mask,
            length,
            size,
        }))
    }
}

/// The payload length and where it ends in the header; each form only where it is the shortest.
fn length(bytes: &[u8], short: u8) -> Result<Option<(u64, usize)>, Violation> {
    match short {
        126 => {
            let Some(&[a, b]) = bytes.get(2..4) else {
                return Ok(None);
            };
            match u16::from_be_bytes([a, b]) {
                0..=125 => Err(Violation::LongLength),
                length => Ok(Some((u64::from(length), 4))),
            }
        }
        127 => {
            let Some(&[a, b, c, d, e, f, g, h]) = bytes.get(2..10) else {
                return Ok(None);
            };
            match u64::from_be_bytes([a, b, c, d, e, f, g, h]) {
                length if length >> 63 != 0 => Err(Violation::HugeLength),
                0..=0xFFFF => Err(Violation::LongLength),
                length => Ok(Some((length, 10))),
            }
        }
        short => Ok(Some((u64::from(short), 2))),
    }
}

/// A control frame of the edge's own, ready for the wire.
///
/// `mask` is the masking key where the edge is the client of the leg. `payload` must not exceed
/// [`CONTROL_PAYLOAD_MAX`].
pub fn control(opcode: OpCode, payload: &[u8], mask: Option<[u8; 4]>) -> ControlFrame {
    assert!(opcode.is_control() && payload.len() <= CONTROL_PAYLOAD_MAX);
    let mut frame = ControlFrame {
        bytes: [0; CONTROL_FRAME_MAX],
        length: 0,
    };
    frame.push(&[0x80 | opcode.bits()]);
    let length = payload.len() as u8;
    match mask {
        None => {
            frame.push(&[length]);
            frame.push(payload);
        }
        Some(key) => {
            frame.push(&[0x80 | length]);
            frame.push(&key);
            let start = frame.length;
            frame.push(payload);
            super::mask::apply(&mut frame.bytes[start..frame.length], key, 0);
        }
    }
    frame
}

/// The header of a text message in one frame, of `length` bytes, into `out`; returns its size. `mask`
/// is the masking key where the edge is the client of the leg: the payload behind it must be masked.
pub fn text_header(length: u64, mask: Option<[u8; 4]>, out: &mut [u8; HEADER_MAX]) -> usize {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    out[0] = 0x80 | OpCode::Text.bits();
    let mut size = match length {
        0..=125 => {
            out[1] = bit | length as u8;
            2
        }
        126..=0xFFFF => {
            out[1] = bit | 126;
            out[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            4
        }
        _ => {
            out[1] = bit | 127;
            out[2..10].copy_from_slice(&length.to_be_bytes());
            10
        }
    };
    if let Some(key) = mask {
        out[size..size + 4].copy_from_slice(&key);
        size += 4;
    }
    size
}

/// A whole text message of the edge's own towards a client. `text` must be shorter than 64 KiB.
pub fn short_text(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x80 | OpCode::Text.bits()];
    match u16::try_from(text.len()) {
        Ok(length @ 0..=125) => bytes.push(length as u8),
        Ok(length) => {
            bytes.push(126);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => unreachable!("the edge's own messages are sentences"),
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The longest control frame: a masked one with a full payload.
pub const CONTROL_FRAME_MAX: usize = 2 + 4 + CONTROL_PAYLOAD_MAX;

/// The wire bytes of one control frame, without an allocation.
#[derive(Clone, Debug)]
pub struct ControlFrame {
    bytes: [u8; CONTROL_FRAME_MAX],
    length: usize,
}

impl ControlFrame {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The payload of a close frame: an optional code with a reason (RFC 6455, 5.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    pub code: Option<u16>,
    pub reason: &'a str,
}

impl<'a> Close<'a> {
    /// Reads an unmasked close payload. Codes that must never be on the wire, a payload of one
    /// byte, and a reason that is not UTF-8 are violations.
    pub fn parse(payload: &'a [u8]) -> Result<Close<'a>, Violation> {
        match payload {
            [] => Ok(Close {
                code: None,
                reason: "",
            }),
            [_] => Err(Violation::BadClose),
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if !is_sendable(code) {
                    return Err(Violation::BadClose);
                }
                let reason = std::str::from_utf8(reason).map_err(|_| Violation::BadClose)?;
                Ok(Close {
                    code: Some(code),
                    reason,
                })
            }
        }
    }

    /// Writes a close payload into `out` and returns its length; the reason is cut on a character
    /// boundary so that the payload fits a control frame.
    pub fn write(code: u16, reason: &str, out: &mut [u8; CONTROL_PAYLOAD_MAX]) -> usize {
        let mut cut = reason.len().min(CONTROL_PAYLOAD_MAX - 2);
        while !reason.is_char_boundary(cut) {
            cut -= 1;
        }
        out[..2].copy_from_slice(&code.to_be_bytes());
        out[2..2 + cut].copy_from_slice(&reason.as_bytes()[..cut]);
        2 + cut
    }
}

/// Close codes that may be sent: those of RFC 6455, 7.4.1 and the registry's later 1012 to 1014,
/// and the ranges for libraries and applications. 1004 is reserved, and 1005, 1006 and 1015 stand
/// for things that were not on the wire.
pub fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

    fn parse(bytes: &[u8], role: Role) -> Result<Option<Header>, Violation> {
        Header::parse(bytes, role)
    }

    #[test]
    fn reads_every_short_length_in_both_roles() {
        for length in 0..=125u8 {
            let server = parse(&[0x82, length], Role::Server).unwrap().unwrap();
            assert_eq!((server.length, server.size), (u64::from(length), 2));
            let client = parse(&[0x82, 0x80 | length, 1, 2, 3, 4], Role::Client);
            let client = client.unwrap().unwrap();
            assert_eq!((client.length, client.size), (u64::from(length), 6));
            assert_eq!(client.mask, Some([1, 2, 3, 4]));
        }
    }

    #[test]
    fn knows_every_opcode_and_refuses_the_reserved_ones() {
        for bits in 0..16u8 {
            let got = parse(&[0x80 | bits, 0], Role::Server);
            match bits {
                0 | 1 | 2 | 8 | 9 | 10 => assert!(got.unwrap().is_some(), "{bits}"),
                _ => assert_eq!(got, Err(Violation::ReservedOpcode), "{bits}"),
            }
        }
    }

    #[test]
    fn refuses_headers_that_break_the_rfc() {
        let cases: &[(&[u8], Role, Violation)] = &[
            (&[0xC1, 0], Role::Server, Violation::ReservedBits),
            (&[0xA1, 0], Role::Server, Violation::ReservedBits),
            (&[0x91, 0], Role::Server, Violation::ReservedBits),
            (&[0x81, 0], Role::Client, Violation::Unmasked),
            (&[0x81, 0x80], Role::Server, Violation::Masked),
            (&[0x09, 0], Role::Server, Violation::FragmentedControl),
            (&[0x88, 126], Role::Server, Violation::LongControl),
            (&[0x89, 127], Role::Server, Violation::LongControl),
            (&[0x81, 126, 0, 125], Role::Server, Violation::LongLength),
            (
                &[0x81, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
                Role::Server,
                Violation::LongLength,
            ),
            (
                &[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
                Role::Server,
                Violation::HugeLength,
            ),
        ];
        for (bytes, role, violation) in cases {
            assert_eq!(parse(bytes, *role), Err(*violation), "{bytes:02x?}");
        }
    }

    proptest! {
        /// Whatever we accept, tungstenite (the oracle, more lenient) reads the same way; and no
        /// prefix of it is taken for a whole header.
        #[test]
        fn agrees_with_tungstenite(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            for role in [Role::Client, Role::Server] {
                let Ok(Some(ours)) = parse(&bytes, role) else { continue };
                let mut cursor = std::io::Cursor::new(&bytes);
                let (theirs, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
                prop_assert_eq!(length, ours.length);
                prop_assert_eq!(theirs.mask, ours.mask);
                prop_assert_eq!(theirs.is_final, ours.fin);
                prop_assert_eq!(u8::from(theirs.opcode), ours.opcode.bits());
                prop_assert_eq!(cursor.position(), ours.size as u64);
                for cut in 0..ours.size {
                    prop_assert!(!matches!(parse(&bytes[..cut], role), Ok(Some(_))));
                }
            }
        }
    }

    #[test]
    fn control_frames_are_what_a_peer_reads() {
        for mask in [None, Some([7, 0, 255, 1])] {
            let frame = control(OpCode::Ping, b"hello", mask);
            let role = if mask.is_some() {
                Role::Client
            } else {
                Role::Server
            };
            let header = parse(frame.as_bytes(), role).unwrap().unwrap();
            assert_eq!((header.opcode, header.length), (OpCode::Ping, 5));
            let mut payload = frame.as_bytes()[header.size..].to_vec();
            if let Some(key) = mask {
                super::super::mask::apply(&mut payload, key, 0);
            }
            assert_eq!(payload, b"hello");
        }
    }

    #[test]
    fn headers_of_text_are_read_back_at_every_length_form() {
        for length in [0, 1, 125, 126, 1327, 0xFFFF, 0x1_0000, 1 << 40] {
            for mask in [None, Some([7, 0, 255, 1])] {
                let role = if mask.is_some() {
                    Role::Client
                } else {
                    Role::Server
                };
                let mut out = [0; HEADER_MAX];
                let size = text_header(length, mask, &mut out);
                let expected = Header {
                    fin: true,
                    opcode: OpCode::Text,
                    mask,
                    length,
                    size,
                };
                assert_eq!(parse(&out[..size], role), Ok(Some(expected)));
            }
        }
    }

    #[test]
    fn close_codes_by_the_table() {
        let mut sendable = 0;
        for code in 0..=u16::MAX {
            let ours = Close::parse(&code.to_be_bytes()).is_ok();
            let listed = [1000, 1001, 1002, 1003].contains(&code)
                || (1007..=1014).contains(&code)
                || (3000..=4999).contains(&code);
            assert_eq!(ours, listed, "{code}");
            sendable += usize::from(ours);
        }
        assert_eq!(sendable, 4 + 8 + 2000);
    }

    #[test]
    fn close_reasons_are_cut_on_a_character_boundary() {
        let mut out = [0; CONTROL_PAYLOAD_MAX];
        let written = Close::write(4001, &"é".repeat(80), &mut out);
        assert_eq!(written, 2 + 122);
        let close = Close::parse(&out[..written]).unwrap();
        assert_eq!((close.code, close.reason), (Some(4001), &*"é".repeat(61)));
        assert_eq!(Close::parse(&[3]), Err(Violation::BadClose));
        assert_eq!(Close::parse(&[3, 232, 0xFF]), Err(Violation::BadClose));
        assert_eq!(Close::parse(&[]).unwrap().code, None);
    }
}
