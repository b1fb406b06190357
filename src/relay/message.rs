//! Whole messages out of frames, for those who have to read them.
//!
//! A forwarding relay never needs a message whole; a bridge needs every one. One that lies whole in
//! what was read is handed out from there: masked ones after they have been unmasked into memory that
//! all sessions of the thread share, unmasked ones where they lie. Only the parts of one that does
//! not are collected, and what was collected is handed out as [`Bytes`], so that audio in it can wait
//! for a slow peer without a copy. Between messages nothing is kept. It knows nothing of sockets.

use std::cell::Cell;

use bytes::{Bytes, BytesMut};

use crate::ws::frame::{Header, OpCode};
use crate::ws::mask;

/// One whole text message, unmasked.
#[derive(Debug)]
pub enum Text<'a> {
    /// It lies in what was read, or in the thread's memory, and is gone when the next one comes.
    Here(&'a [u8]),
    /// It came in parts.
    Collected(Bytes),
}

impl Text<'_> {
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Text::Here(text) => text,
            Text::Collected(text) => text,
        }
    }

    /// Keeps `part`, which must be a part of [`Text::as_bytes`]. What is kept of a message keeps all
    /// of it, so that a part of less than half of it is copied.
    pub fn keep(&self, part: &[u8]) -> Bytes {
        match self {
            Text::Collected(text) if part.len() * 2 >= text.len() => text.slice_ref(part),
            Text::Here(_) | Text::Collected(_) => Bytes::copy_from_slice(part),
        }
    }
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// ACS and Voice Live speak text only: there is nothing to translate it to.
    #[error("a binary message where only text is spoken")]
    Binary,
    #[error("a message exceeds the limit")]
    TooLong,
}

/// Room made for a message before it is there: as much as one read gives. A header that only claims
/// a length makes nobody take more.
const ROOM: usize = super::READ_BUFFER;

/// Follows one direction. It is shown what a [`Scanner`](crate::ws::scan::Scanner) finds: the header
/// of each data frame, then its payload as it comes.
#[derive(Debug)]
pub struct Assembler {
    /// Longest message in bytes.
    max: u64,
    /// What came of the current message, unmasked; empty between messages.
    parts: BytesMut,
    mask: Option<[u8; 4]>,
    /// Payload bytes of the current frame: passed, and still to come.
    offset: u64,
    left: u64,
    fin: bool,
}

thread_local! {
    /// Where a masked message is unmasked. It grows to what one read gives.
    static CLEAR: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Assembler {
    /// An assembler for messages of at most `max` bytes. The scanner judges the length before, for it
    /// sees each header first; this is the same bound where the memory is.
    pub fn new(max: u64) -> Assembler {
        Assembler {
            max,
            parts: BytesMut::new(),
            mask: None,
            offset: 0,
            left: 0,
            fin: false,
        }
    }

    /// Bytes that are kept of a message that is not whole.
    pub fn held(&self) -> usize {
        self.parts.len()
    }

    /// A data frame begins. If the message is whole with it, `hear` gets the message.
    pub fn frame<R>(
        &mut self,
        header: &Header,
        hear: impl FnOnce(Text<'_>) -> R,
    ) -> Result<Option<R>, Refusal> {
        match header.opcode {
            OpCode::Binary => return Err(Refusal::Binary),
            OpCode::Text => self.parts.clear(),
            OpCode::Continuation | OpCode::Close | OpCode::Ping | OpCode::Pong => {}
        }
        if header.length > self.max.saturating_sub(self.parts.len() as u64) {
            return Err(Refusal::TooLong);
        }
        self.mask = header.mask;
        self.offset = 0;
        self.left = header.length;
        self.fin = header.fin;
        if self.left == 0 && self.fin {
            return Ok(Some(hear(self.collected())));
        }
        Ok(None)
    }

    /// Payload bytes of the current frame. If the message is whole with them, `hear` gets it.
    pub fn payload<R>(
        &mut self,
        bytes: &[u8],
        hear: impl FnOnce(Text<'_>) -> R,
    ) -> Result<Option<R>, Refusal> {
        let length = bytes.len() as u64;
        if length > self.left {
            return Err(Refusal::TooLong);
        }
        self.left -= length;
        let whole = self.fin && self.left == 0;
        if whole && self.parts.is_empty() {
            return Ok(Some(self.hear_here(bytes, hear)));
        }
        if self.parts.capacity() == 0 {
            let room = usize::try_from(length + self.left).unwrap_or(ROOM);
            self.parts.reserve(room.min(ROOM).max(bytes.len()));
        }
        let from = self.parts.len();
        self.parts.extend_from_slice(bytes);
        if let Some(key) = self.mask {
            mask::apply(&mut self.parts[from..], key, self.offset);
        }
        self.offset += length;
        Ok(whole.then(|| hear(self.collected())))
    }

    fn collected(&mut self) -> Text<'static> {
        Text::Collected(std::mem::take(&mut self.parts).freeze())
    }

    /// All of the message is here, or all that is left of it after parts without content.
    fn hear_here<R>(&self, bytes: &[u8], hear: impl FnOnce(Text<'_>) -> R) -> R {
        let Some(key) = self.mask else {
            return hear(Text::Here(bytes));
        };
        // Taken, not borrowed: whoever hears may come here again.
        let mut clear = CLEAR.take();
        clear.clear();
        clear.extend_from_slice(bytes);
        mask::apply(&mut clear, key, self.offset);
        let heard = hear(Text::Here(&clear));
        CLEAR.set(clear);
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::Role;
    use crate::ws::frame::{HEADER_MAX, text_header};
    use crate::ws::scan::{Found, Scanner};
    use proptest::prelude::*;

    /// What came out of a stream cut like this: the messages, and whether each had to be collected.
    fn assemble(
        stream: &[u8],
        cuts: &[usize],
        role: Role,
        max: u64,
    ) -> Result<Vec<(Vec<u8>, bool)>, Refusal> {
        let mut scanner = Scanner::new(role, 1 << 20);
        let (mut assembler, mut messages) = (Assembler::new(max), Vec::new());
        let mut from = 0;
        for &to in cuts.iter().chain([&stream.len()]) {
            let chunk = &stream[from.min(to)..to.max(from)];
            from = to.max(from);
            let mut at = 0;
            while let Some(step) = scanner.next(&chunk[at..]).unwrap() {
                let bytes = &chunk[at..at + step.taken];
                at += step.taken;
                let mut hear = |text: Text<'_>| {
                    let collected = matches!(text, Text::Collected(_));
                    messages.push((text.as_bytes().to_vec(), collected));
                };
                match &step.found {
                    Found::Data(header) => assembler.frame(header, &mut hear)?,
                    Found::Payload => assembler.payload(bytes, &mut hear)?,
                    Found::Control(_) => None,
                };
            }
        }
        assert_eq!(assembler.held(), 0);
        assert_eq!(
            assembler.parts.capacity(),
            0,
            "nothing is kept between messages"
        );
        Ok(messages)
    }

    /// Messages as frames, each with the lengths of its fragments.
    fn encode(messages: &[(Vec<u8>, Vec<usize>)], key: Option<[u8; 4]>) -> Vec<u8> {
        let mut stream = Vec::new();
        for (message, fragments) in messages {
            let mut rest = &message[..];
            for (at, length) in fragments.iter().chain([&usize::MAX]).enumerate() {
                let last = at == fragments.len();
                let (now, later) = rest.split_at(rest.len().min(*length));
                rest = later;
                let mut header = [0; HEADER_MAX];
                let size = text_header(now.len() as u64, key, &mut header);
                header[0] = u8::from(last) << 7 | u8::from(at == 0);
                stream.extend_from_slice(&header[..size]);
                let from = stream.len();
                stream.extend_from_slice(now);
                if let Some(key) = key {
                    mask::apply(&mut stream[from..], key, 0);
                }
            }
        }
        stream
    }

    proptest! {
        #[test]
        fn every_message_comes_out_whole_however_it_is_cut_and_fragmented(
            messages in proptest::collection::vec((
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..40),
                    proptest::collection::vec(any::<u8>(), 100..1400),
                ],
                proptest::collection::vec(0usize..60, 0..4),
            ), 1..5),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
            key in proptest::option::of(any::<[u8; 4]>()),
        ) {
            let stream = encode(&messages, key);
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let role = if key.is_some() { Role::Client } else { Role::Server };
            let found = assemble(&stream, &cuts, role, 1 << 20).unwrap();
            let found: Vec<Vec<u8>> = found.into_iter().map(|(text, _)| text).collect();
            let sent: Vec<Vec<u8>> = messages.into_iter().map(|(text, _)| text).collect();
            prop_assert_eq!(found, sent);
        }
    }

    #[test]
    fn what_lies_whole_in_a_chunk_is_not_collected() {
        let message = vec![b'x'; 1400];
        for key in [None, Some([1, 2, 3, 4])] {
            let role = if key.is_some() {
                Role::Client
            } else {
                Role::Server
            };
            let stream = encode(
                &[(message.clone(), vec![]), (message.clone(), vec![0])],
                key,
            );
            let here = assemble(&stream, &[], role, 1400).unwrap();
            assert_eq!(here, vec![(message.clone(), false); 2]);
            let cut = assemble(&stream, &[700], role, 1400).unwrap();
            assert_eq!((cut[0].1, cut[1].1), (true, false));
        }
    }

    #[test]
    fn binary_and_long_messages_are_refused_by_their_header() {
        let header = |opcode, length| Header {
            fin: false,
            opcode,
            mask: None,
            length,
            size: 2,
        };
        let mut assembler = Assembler::new(10);
        let hear = |_: Text<'_>| ();
        let binary = header(OpCode::Binary, 1);
        assert_eq!(assembler.frame(&binary, hear), Err(Refusal::Binary));
        let long = header(OpCode::Text, 11);
        assert_eq!(assembler.frame(&long, hear), Err(Refusal::TooLong));
        assert_eq!(assembler.frame(&header(OpCode::Text, 6), hear), Ok(None));
        assert_eq!(assembler.payload(b"abcdef", hear), Ok(None));
        assert_eq!(assembler.held(), 6);
        let more = header(OpCode::Continuation, 5);
        assert_eq!(assembler.frame(&more, hear), Err(Refusal::TooLong));
    }

    #[test]
    fn a_header_that_claims_much_takes_little() {
        let mut assembler = Assembler::new(1 << 30);
        let header = Header {
            fin: true,
            opcode: OpCode::Text,
            mask: None,
            length: 1 << 29,
            size: 10,
        };
        assembler.frame(&header, |_| ()).unwrap();
        assembler.payload(b"a", |_| ()).unwrap();
        assert!(assembler.parts.capacity() <= 2 * ROOM);
    }

    #[test]
    fn a_small_part_of_a_large_message_does_not_keep_it() {
        let text = Text::Collected(Bytes::from(vec![b'a'; 1000]));
        let kept = |range: std::ops::Range<usize>| {
            let part = text.keep(&text.as_bytes()[range.clone()]);
            assert_eq!(part.len(), range.len());
            part.as_ptr() == text.as_bytes()[range].as_ptr()
        };
        assert!(kept(100..900));
        assert!(!kept(100..200));
        let here = Text::Here(b"abc");
        assert_eq!(here.keep(&here.as_bytes()[1..]), &b"bc"[..]);
    }
}
