//! What messages are, for whoever looks on: their kind, from a closed list, and their length.
//!
//! Of a message no more is kept than its first and its last bytes, and those only until it is whole.

use crate::wire::kind::{self, DTMF};
use crate::ws::frame::OpCode;
use crate::ws::mask;

/// First bytes that are kept: enough for some ids before `type`.
const HEAD: usize = 192;
/// Last bytes that are kept: enough for a `type` that stands last.
const END: usize = 96;
/// Messages that are kept until they are taken: more come in one read only of those that nobody reads.
const KEPT: usize = 256;

/// A message that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glimpse {
    pub kind: &'static str,
    /// Length of its payload; `None` where that could tell more.
    pub bytes: Option<u64>,
}

/// Looks at the messages of one direction.
#[derive(Debug)]
pub struct Glance {
    head: [u8; HEAD],
    head_length: usize,
    end: [u8; END],
    end_length: usize,
    bytes: u64,
    binary: bool,
    /// Its beginning was seen.
    whole: bool,
    seen: Vec<Glimpse>,
    missed: u64,
}

impl Default for Glance {
    fn default() -> Glance {
        Glance {
            head: [0; HEAD],
            head_length: 0,
            end: [0; END],
            end_length: 0,
            bytes: 0,
            binary: false,
            whole: false,
            seen: Vec::new(),
            missed: 0,
        }
    }
}

impl Glance {
    /// A message begins.
    pub(super) fn begin(&mut self, opcode: OpCode) {
        self.binary = opcode == OpCode::Binary;
        (self.head_length, self.end_length, self.bytes) = (0, 0, 0);
        self.whole = true;
    }

    /// More of it.
    pub(super) fn read(&mut self, bytes: &[u8], mask: Option<[u8; 4]>, offset: u64) {
        let clear = |part: &mut [u8], skipped: usize| {
            if let Some(key) = mask {
                mask::apply(part, key, offset + skipped as u64);
            }
        };
        self.bytes += bytes.len() as u64;
        let more = bytes.len().min(HEAD - self.head_length);
        let fresh = &mut self.head[self.head_length..self.head_length + more];
        fresh.copy_from_slice(&bytes[..more]);
        clear(fresh, 0);
        self.head_length += more;
        // What was last moves up as far as something of it stays.
        let more = bytes.len().min(END);
        let stays = self.end_length.min(END - more);
        self.end
            .copy_within(self.end_length - stays..self.end_length, 0);
        let fresh = &mut self.end[stays..stays + more];
        fresh.copy_from_slice(&bytes[bytes.len() - more..]);
        clear(fresh, bytes.len() - more);
        self.end_length = stays + more;
    }

    /// It is whole.
    pub(super) fn end(&mut self) {
        if !std::mem::take(&mut self.whole) {
            return;
        }
        let kind = if self.binary {
            kind::BINARY
        } else {
            kind::of(&self.head[..self.head_length], &self.end[..self.end_length])
        };
        self.note(kind, self.bytes);
    }

    /// A whole message of text.
    pub fn message(&mut self, text: &[u8]) {
        let head = &text[..text.len().min(HEAD)];
        let end = &text[text.len() - text.len().min(END)..];
        self.note(kind::of(head, end), text.len() as u64);
    }

    /// What has passed since the last time.
    pub fn take(&mut self) -> impl Iterator<Item = Glimpse> + '_ {
        self.seen.drain(..)
    }

    /// How many passed beside those.
    pub fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    fn note(&mut self, kind: &'static str, bytes: u64) {
        if self.seen.len() < KEPT {
            self.seen.push(Glimpse {
                kind,
                bytes: (kind != DTMF).then_some(bytes),
            });
        } else {
            self.missed += 1;
        }
    }
}
