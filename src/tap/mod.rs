//! Looks at frames as they pass, and counts.
//!
//! The tap is shown every data frame before it goes on. It cannot fail, wait or alter anything:
//! it has no way to say more than numbers. Only the first bytes of a message are unmasked, into
//! the tap's own scratch; payloads stay as they lie.

use crate::wire::voice_live::{self, Kind, PEEK};
use crate::ws::frame::{Header, OpCode};
use crate::ws::mask;

/// What has crossed in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Whole messages, text and binary.
    pub messages: u64,
    /// Payload bytes of data frames.
    pub bytes: u64,
    /// Messages that carry audio.
    pub audio_messages: u64,
}

impl Counts {
    /// What came since `earlier`.
    pub fn since(&self, earlier: &Counts) -> Counts {
        Counts {
            messages: self.messages - earlier.messages,
            bytes: self.bytes - earlier.bytes,
            audio_messages: self.audio_messages - earlier.audio_messages,
        }
    }
}

/// Follows one direction of one session.
#[derive(Debug)]
pub struct Tap {
    counts: Counts,
    /// The start of the current message, unmasked, until it tells what the message is.
    peeked: [u8; PEEK],
    peeked_length: usize,
    /// The current message may still turn out to be audio.
    undecided: bool,
    mask: Option<[u8; 4]>,
    /// Payload bytes of the current frame that have passed.
    offset: u64,
    /// Payload bytes of the current frame still to come.
    left: u64,
    fin: bool,
}

impl Default for Tap {
    fn default() -> Tap {
        Tap {
            counts: Counts::default(),
            peeked: [0; PEEK],
            peeked_length: 0,
            undecided: false,
            mask: None,
            offset: 0,
            left: 0,
            fin: false,
        }
    }
}

impl Tap {
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A data frame begins.
    pub fn frame(&mut self, header: &Header) {
        if header.opcode != OpCode::Continuation {
            self.undecided = header.opcode == OpCode::Text;
            self.peeked_length = 0;
        }
        self.mask = header.mask;
        self.offset = 0;
        self.left = header.length;
        self.fin = header.fin;
        if self.left == 0 {
            self.end_frame();
        }
    }

    /// Payload bytes of the current frame pass.
    pub fn payload(&mut self, bytes: &[u8]) {
        let length = bytes.len() as u64;
        self.counts.bytes += length;
        if self.undecided {
            self.peek(bytes);
        }
        self.offset += length;
        self.left = self.left.saturating_sub(length);
        if self.left == 0 {
            self.end_frame();
        }
    }

    fn end_frame(&mut self) {
        if self.fin {
            self.counts.messages += 1;
            self.undecided = false;
        }
    }

    fn peek(&mut self, bytes: &[u8]) {
        let from = self.peeked_length;
        let more = bytes.len().min(PEEK - from);
        let fresh = &mut self.peeked[from..from + more];
        fresh.copy_from_slice(&bytes[..more]);
        if let Some(key) = self.mask {
            mask::apply(fresh, key, self.offset);
        }
        self.peeked_length += more;
        match voice_live::peek(&self.peeked[..self.peeked_length]) {
            Some(Kind::Audio) => {
                self.counts.audio_messages += 1;
                self.undecided = false;
            }
            Some(Kind::Other) => self.undecided = false,
            None => self.undecided = self.peeked_length < PEEK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(opcode: OpCode, fin: bool, length: usize, mask: Option<[u8; 4]>) -> Header {
        Header {
            fin,
            opcode,
            mask,
            length: length as u64,
            size: 2,
        }
    }

    #[test]
    fn finds_audio_however_the_message_is_cut_fragmented_and_masked() {
        let text = br#"{"type":"input_audio_buffer.append","audio":"AAAABBBB"}"#;
        for key in [None, Some([1, 2, 250, 4])] {
            for cut in 0..text.len() {
                let mut tap = Tap::default();
                for (i, part) in [&text[..cut], &text[cut..]].into_iter().enumerate() {
                    let opcode = [OpCode::Text, OpCode::Continuation][i];
                    tap.frame(&header(opcode, i == 1, part.len(), key));
                    let mut wire = part.to_vec();
                    if let Some(key) = key {
                        mask::apply(&mut wire, key, 0);
                    }
                    wire.chunks(7).for_each(|chunk| tap.payload(chunk));
                }
                assert_eq!(tap.counts().audio_messages, 1, "cut at {cut}");
                assert_eq!(tap.counts().messages, 1);
                assert_eq!(tap.counts().bytes, text.len() as u64);
            }
        }
    }

    #[test]
    fn counts_empty_binary_and_other_messages_without_taking_them_for_audio() {
        let mut tap = Tap::default();
        tap.frame(&header(OpCode::Text, true, 0, None));
        tap.frame(&header(OpCode::Binary, true, 4, None));
        tap.payload(b"{\"au");
        let other = br#"{"type":"session.update"}"#;
        tap.frame(&header(OpCode::Text, true, other.len(), None));
        tap.payload(other);
        let counts = Counts {
            messages: 3,
            bytes: 4 + other.len() as u64,
            audio_messages: 0,
        };
        assert_eq!(*tap.counts(), counts);
    }
}
