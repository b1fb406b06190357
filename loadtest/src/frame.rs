//! RFC 6455 section 5.2, just enough for both far ends and independent of the edge's code: where a
//! frame ends, and how one is written. Fragments pass as frames of their own.

use crate::Result;

pub const TEXT: u8 = 0x1;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// No peer of these measurements sends more in one frame; a longer one is a broken stream.
const PAYLOAD_MAX: u64 = 16 << 20;

pub struct Header {
    /// FIN, the reserved bits and the opcode, as they came.
    pub first: u8,
    pub mask: Option<[u8; 4]>,
    /// Of the header itself.
    pub length: usize,
    pub payload: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` while it is not all there.
    pub fn parse(bytes: &[u8]) -> Result<Option<Header>> {
        let (Some(&first), Some(&second)) = (bytes.first(), bytes.get(1)) else {
            return Ok(None);
        };
        let extended = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let masked = second & MASKED != 0;
        let length = 2 + extended + if masked { 4 } else { 0 };
        if bytes.len() < length {
            return Ok(None);
        }
        let payload = match extended {
            0 => u64::from(second & 0x7F),
            _ => bytes[2..2 + extended]
                .iter()
                .fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
        };
        if payload > PAYLOAD_MAX {
            return Err(format!("a frame of {payload} bytes").into());
        }
        let mask = masked.then(|| [0, 1, 2, 3].map(|at| bytes[length - 4 + at]));
        Ok(Some(Header {
            first,
            mask,
            length,
            payload: payload as usize,
        }))
    }

    pub fn opcode(&self) -> u8 {
        self.first & 0x0F
    }

    /// Header and payload together.
    pub fn frame(&self) -> usize {
        self.length + self.payload
    }
}

/// Appends a whole, unfragmented frame. Clients mask (RFC 6455 section 5.3), servers do not.
pub fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) {
    write_header(out, FIN | opcode, payload.len(), mask);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply(mask, &mut out[start..]);
    }
}

pub fn write_header(out: &mut Vec<u8>, first: u8, payload: usize, mask: Option<[u8; 4]>) {
    let masked = if mask.is_some() { MASKED } else { 0 };
    out.push(first);
    match payload {
        0..126 => out.push(masked | payload as u8),
        126..=0xFFFF => {
            out.push(masked | 126);
            out.extend_from_slice(&(payload as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(payload as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(mask.as_ref().map_or(&[], |key| &key[..]));
}

/// Masks and unmasks, which are the same.
pub fn apply(mask: [u8; 4], payload: &mut [u8]) {
    let (words, rest) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length form, masked and not, comes back whole; every cut of it asks for more.
    #[test]
    fn what_is_written_is_read_back() {
        let mut seen = 0;
        for length in [0, 1, 3, 125, 126, 127, 1024, 65_535, 65_536] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
                let mut out = Vec::new();
                write(&mut out, TEXT, &payload, mask);
                let header = Header::parse(&out).expect("sound").expect("whole");
                assert_eq!(
                    (header.opcode(), header.frame(), header.mask),
                    (TEXT, out.len(), mask)
                );
                for cut in 0..header.length {
                    assert!(Header::parse(&out[..cut]).expect("sound").is_none());
                }
                let body = &mut out[header.length..];
                if let Some(mask) = mask {
                    apply(mask, body);
                }
                assert_eq!(body, payload);
                seen += 1;
            }
        }
        assert_eq!(seen, 18);
    }

    #[test]
    fn an_endless_frame_is_refused() {
        let bytes = [0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0];
        assert!(Header::parse(&bytes).is_err());
    }
}
