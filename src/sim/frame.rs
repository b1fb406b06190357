//! A tiny frame reader and writer of RFC 6455, section 5, written apart from the product's.
//!
//! Owns header bits, masking and the order of fragments, so that an echo can return opcode, FIN,
//! fragmentation and payload exactly. Refuses to know messages, UTF-8 and sockets: what is invalid
//! text to others is bytes here, since an echo must return it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// A continuation of the message begun before.
pub const CONTINUATION: u8 = 0x0;
/// A text message or its first fragment.
pub const TEXT: u8 = 0x1;
/// A binary message or its first fragment.
pub const BINARY: u8 = 0x2;
/// The end.
pub const CLOSE: u8 = 0x8;
/// A question that a pong answers.
pub const PING: u8 = 0x9;
/// The answer.
pub const PONG: u8 = 0xA;

/// The largest payload taken. Twice what the edge lets through from either side.
pub const PAYLOAD_MAX: usize = 32 << 20;

/// One frame, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// Four bits; data below 8, control from there.
    pub opcode: u8,
    /// The payload in clear.
    pub payload: Bytes,
}

/// Whose frames are read, which decides whether they must be masked (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Its frames are masked.
    Client,
    /// Its frames are not.
    Server,
}

/// How a byte stream broke the RFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Section 5.2: no extension was agreed that gives these bits a meaning.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// Section 5.2.
    #[error("a reserved opcode")]
    ReservedOpcode,
    /// Section 5.1: a client must mask, a server must not.
    #[error("masked where it must not be, or the reverse")]
    Mask,
    /// Section 5.2: the shortest form, top bit clear.
    #[error("a length that is not in its shortest form")]
    Length,
    /// Section 5.5.
    #[error("a control frame that is fragmented or longer than 125 bytes")]
    Control,
    /// Section 5.4: a continuation of nothing, or a new message inside another.
    #[error("fragments out of order")]
    Order,
    /// Section 7.4: half a code, a code that may not be sent, or a reason that is not UTF-8.
    #[error("a close frame with a bad code or reason")]
    Close,
    /// Our own bound.
    #[error("a frame larger than the simulator takes")]
    TooLarge,
}

/// Turns bytes into frames; a frame is taken only when it is whole.
pub struct Decoder {
    sender: Sender,
    buffer: BytesMut,
    inside_message: bool,
}

impl Frame {
    /// A whole message of one frame.
    #[must_use]
    pub fn whole(opcode: u8, payload: impl Into<Bytes>) -> Self {
        Self {
            fin: true,
            opcode,
            payload: payload.into(),
        }
    }

    /// A close frame. The code is written as it is given, also where the RFC forbids it.
    #[must_use]
    pub fn close(code: u16, reason: &str) -> Self {
        let mut payload = BytesMut::with_capacity(2 + reason.len());
        payload.put_u16(code);
        payload.put_slice(reason.as_bytes());
        Self::whole(CLOSE, payload.freeze())
    }

    /// Code and reason of a close frame; no code when the payload is empty.
    #[must_use]
    pub fn close_parts(&self) -> (Option<u16>, String) {
        let mut payload = self.payload.clone();
        let code = (payload.len() >= 2).then(|| payload.get_u16());
        (code, String::from_utf8_lossy(&payload).into_owned())
    }

    /// Appends this frame's bytes; a client passes its masking key.
    pub fn encode(&self, mask: Option<[u8; 4]>, out: &mut BytesMut) {
        out.reserve(14 + self.payload.len());
        out.put_u8(u8::from(self.fin) << 7 | self.opcode);
        let masked = u8::from(mask.is_some()) << 7;
        match self.payload.len() {
            short @ 0..126 => out.put_u8(masked | short as u8),
            middle @ 126..0x1_0000 => {
                out.put_u8(masked | 126);
                out.put_u16(middle as u16);
            }
            long => {
                out.put_u8(masked | 127);
                out.put_u64(long as u64);
            }
        }
        let Some(key) = mask else {
            return out.put_slice(&self.payload);
        };
        out.put_slice(&key);
        let start = out.len();
        out.put_slice(&self.payload);
        apply(key, &mut out[start..]);
    }
}

impl Decoder {
    /// A decoder for what `sender` writes, with bytes that were already read.
    #[must_use]
    pub fn new(sender: Sender, buffer: BytesMut) -> Self {
        Self {
            sender,
            buffer,
            inside_message: false,
        }
    }

    /// Where the next bytes from the wire go.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole frame, if it is there.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Broken> {
        let Some((start, length)) = self.boundary()? else {
            return Ok(None);
        };
        if self.buffer.len() < start + length {
            self.buffer.reserve(start + length - self.buffer.len());
            return Ok(None);
        }
        let mut bytes = self.buffer.split_to(start + length);
        let (fin, opcode) = (bytes[0] & 0x80 != 0, bytes[0] & 0x0f);
        let header = bytes.split_to(start);
        if self.sender == Sender::Client {
            let mut key = [0; 4];
            key.copy_from_slice(&header[start - 4..]);
            apply(key, &mut bytes);
        }
        let payload = bytes.freeze();
        if opcode < CLOSE {
            let starts = opcode != CONTINUATION;
            if starts == self.inside_message {
                return Err(Broken::Order);
            }
            self.inside_message = !fin;
        } else if opcode == CLOSE && !close_is_legal(&payload) {
            return Err(Broken::Close);
        }
        Ok(Some(Frame {
            fin,
            opcode,
            payload,
        }))
    }

    /// Length of the next header and of its payload, as soon as the header is whole.
    fn boundary(&self) -> Result<Option<(usize, usize)>, Broken> {
        let [first, second, rest @ ..] = &self.buffer[..] else {
            return Ok(None);
        };
        let opcode = first & 0x0f;
        if first & 0x70 != 0 {
            return Err(Broken::ReservedBit);
        }
        if !matches!(opcode, CONTINUATION..=BINARY | CLOSE..=PONG) {
            return Err(Broken::ReservedOpcode);
        }
        if (second & 0x80 != 0) != (self.sender == Sender::Client) {
            return Err(Broken::Mask);
        }
        let short = second & 0x7f;
        if opcode >= CLOSE && (first & 0x80 == 0 || short > 125) {
            return Err(Broken::Control);
        }
        let (extended, length) = match (short, rest) {
            (126, &[a, b, ..]) => (2, u64::from(u16::from_be_bytes([a, b]))),
            (127, &[a, b, c, d, e, f, g, h, ..]) => {
                (8, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            (126 | 127, _) => return Ok(None),
            (length, _) => (0, u64::from(length)),
        };
        if (short == 126 && length < 126)
            || (short == 127 && !(0x1_0000..1 << 63).contains(&length))
        {
            return Err(Broken::Length);
        }
        let mask = if self.sender == Sender::Client { 4 } else { 0 };
        let start = 2 + extended + mask;
        match usize::try_from(length) {
            Ok(length) if length <= PAYLOAD_MAX => {
                Ok((self.buffer.len() >= start).then_some((start, length)))
            }
            Ok(_) | Err(_) => Err(Broken::TooLarge),
        }
    }
}

/// Masks or unmasks; the two are the same (section 5.3).
fn apply(key: [u8; 4], bytes: &mut [u8]) {
    for (byte, position) in bytes.iter_mut().zip(0_usize..) {
        *byte ^= key[position & 3];
    }
}

/// Whether a close frame may carry this code (sections 7.4.1 and 7.4.2).
#[must_use]
pub fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn close_is_legal(payload: &[u8]) -> bool {
    match payload {
        [] => true,
        [_] => false,
        [high, low, reason @ ..] => {
            may_be_sent(u16::from_be_bytes([*high, *low])) && std::str::from_utf8(reason).is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(sender: Sender, bytes: &[u8]) -> Result<Option<Frame>, Broken> {
        Decoder::new(sender, BytesMut::from(bytes)).next_frame()
    }

    #[test]
    fn every_length_form_comes_back_at_every_split() {
        let mut tried = 0;
        for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, 0x1_0001] {
            let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            for (sender, mask) in [(Sender::Client, Some([1, 2, 3, 4])), (Sender::Server, None)] {
                let frame = Frame::whole(BINARY, payload.clone());
                let mut wire = BytesMut::new();
                frame.encode(mask, &mut wire);
                for split in (0..wire.len().min(16)).chain([wire.len() - 1]) {
                    let mut decoder = Decoder::new(sender, BytesMut::from(&wire[..split]));
                    assert_eq!(decoder.next_frame(), Ok(None), "{length} at {split}");
                    decoder.buffer().extend_from_slice(&wire[split..]);
                    assert_eq!(decoder.next_frame(), Ok(Some(frame.clone())));
                    tried += 1;
                }
            }
        }
        assert!(tried > 100);
    }

    #[test]
    fn what_breaks_the_rfc_is_named() {
        let cases: [(&[u8], Broken); 14] = [
            (&[0xc1, 0x00], Broken::ReservedBit),
            (&[0x83, 0x00], Broken::ReservedOpcode),
            (&[0x8b, 0x00], Broken::ReservedOpcode),
            (&[0x81, 0x80, 0, 0, 0, 0], Broken::Mask),
            (&[0x09, 0x00], Broken::Control),
            (&[0x89, 0x7e, 0, 126], Broken::Control),
            (&[0x81, 0x7e, 0, 125], Broken::Length),
            (&[0x81, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Broken::Length),
            (&[0x81, 0x7f, 0x80, 0, 0, 0, 0, 1, 0, 0], Broken::Length),
            (&[0x81, 0x7f, 0, 0, 0, 1, 0, 0, 0, 0], Broken::TooLarge),
            (&[0x80, 0x00], Broken::Order),
            (&[0x88, 0x01, 0x03], Broken::Close),
            (&[0x88, 0x02, 0x03, 0xed], Broken::Close),
            (&[0x88, 0x03, 0x03, 0xe8, 0xff], Broken::Close),
        ];
        for (bytes, broken) in cases {
            assert_eq!(decode(Sender::Server, bytes), Err(broken), "{bytes:?}");
        }
        assert_eq!(decode(Sender::Client, &[0x81, 0]), Err(Broken::Mask));
        assert_eq!(
            decode(Sender::Server, &[0x01, 0, 0x01, 0]).map(|_| ()),
            Ok(())
        );
        let mut inside = Decoder::new(Sender::Server, BytesMut::from(&[0x01, 0, 0x01, 0][..]));
        assert!(inside.next_frame().is_ok());
        assert_eq!(inside.next_frame(), Err(Broken::Order));
    }

    #[test]
    fn a_control_frame_may_stand_between_fragments() {
        let wire = [0x01, 1, b'a', 0x89, 0, 0x80, 1, b'b'];
        let mut decoder = Decoder::new(Sender::Server, BytesMut::from(&wire[..]));
        let mut seen = Vec::new();
        while let Some(frame) = decoder.next_frame().unwrap() {
            seen.push((frame.opcode, frame.fin));
        }
        assert_eq!(seen, [(TEXT, false), (PING, true), (CONTINUATION, true)]);
    }

    #[test]
    fn a_close_frame_keeps_its_parts() {
        assert_eq!(
            Frame::close(4403, "no").close_parts(),
            (Some(4403), "no".into())
        );
        assert_eq!(Frame::whole(CLOSE, "").close_parts(), (None, String::new()));
    }
}
