//! From Voice Live to ACS: deltas into messages that ACS plays, and the caller's interruption.
//!
//! The service speaks faster than real time and ACS buffers what it gets, so that everything is sent
//! as it comes. Where the socket does not take it, it waits here, as slices of the messages it came
//! in, and reading goes on until [`QUEUE_MAX`]: `speech_started` may be next, and then all of it is
//! void.
//!
//! # Interruption
//!
//! On `speech_started` the service cancels the response that speaks. What waits is dropped,
//! `StopAudio` goes out before anything else, and deltas of that response that still come are dropped
//! until it is done or another one speaks. A response whose name is known is never heard again.
//! Where the operator has told the service not to interrupt, none of this happens.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::{BufMut, Bytes};

use super::super::message::Text;
use crate::wire::acs::{AUDIO_PREFIX, AUDIO_SUFFIX, DATA_MAX, STOP_AUDIO};
use crate::wire::json::Raw;
use crate::ws::frame::{HEADER_MAX, text_header};

/// Bytes that wait for ACS before the service is read no more: 16 seconds of speech at 24 kHz, most
/// of an answer. One message more may come on top of it.
pub const QUEUE_MAX: usize = 1024 * 1024;
/// Places of the queue that are kept while nothing waits, so that a message that goes on at once
/// allocates none: 128 bytes a call.
const PLACES_KEPT: usize = 4;
/// What a slice takes beside its bytes.
const SLICE_OVERHEAD: usize = 64;
/// Longest name of a response that is told from others; real ones have some 30 bytes.
const NAME_MAX: usize = 128;

/// Messages of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub messages: u64,
    /// Deltas that went into the queue.
    pub audio: u64,
    /// Deltas of a response that was interrupted, of no length, or that came before the session was
    /// set up; and messages to ACS that waited when the caller interrupted.
    pub dropped: u64,
    /// Interruptions.
    pub interrupted: u64,
    /// Errors that the service told.
    pub errors: u64,
    /// That mean nothing to ACS.
    pub other: u64,
    /// That could not be read, or whose audio is no text that may go on.
    pub unreadable: u64,
}

/// A message for ACS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    StopAudio,
    /// Base64 that is to be played, of at most [`DATA_MAX`] characters.
    Audio(Bytes),
}

impl Frame {
    /// Adds the frame to `out`, as a server sends it.
    pub fn write(&self, out: &mut impl BufMut) {
        let parts: [&[u8]; 3] = match self {
            Frame::StopAudio => [STOP_AUDIO, &[], &[]],
            Frame::Audio(text) => [AUDIO_PREFIX, text, AUDIO_SUFFIX],
        };
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut header = [0; HEADER_MAX];
        let size = text_header(length as u64, None, &mut header);
        out.put_slice(&header[..size]);
        for part in parts {
            out.put_slice(part);
        }
    }
}

/// The name of a response; `None`: it has none, or one too long.
type Name = Option<Box<[u8]>>;

/// A response that was interrupted.
#[derive(Debug)]
struct Cut {
    name: Name,
    /// It is over, or another one has begun: only its name can tell its deltas now.
    done: bool,
}

impl Cut {
    fn has(&self, response: Option<Raw<'_>>) -> bool {
        match (&self.name, response) {
            (Some(name), Some(response)) => response.is(name),
            (None, _) | (_, None) => !self.done,
        }
    }
}

/// One direction of a bridge.
#[derive(Debug)]
pub(super) struct Down {
    pub(super) counts: Counts,
    interrupts: bool,
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// `StopAudio` goes out before the queue.
    stop: bool,
    /// The response that speaks, or will.
    speaking: Option<Name>,
    cut: Option<Cut>,
}

impl Down {
    pub(super) fn new(interrupts: bool) -> Down {
        Down {
            counts: Counts::default(),
            interrupts,
            queue: VecDeque::new(),
            bytes: 0,
            stop: false,
            speaking: None,
            cut: None,
        }
    }

    /// Audio comes; `delta` lies in `text`.
    pub(super) fn delta(&mut self, text: &Text<'_>, delta: Raw<'_>, response: Option<Raw<'_>>) {
        if let Some(cut) = &mut self.cut {
            if cut.has(response) {
                self.counts.dropped += 1;
                return;
            }
            cut.done = true;
        }
        if !is_same(self.speaking.as_ref(), response) {
            self.speaking = Some(name(response));
        }
        let mut audio = match delta.plain() {
            None => {
                self.counts.unreadable += 1;
                return;
            }
            Some(Cow::Borrowed(delta)) => text.keep(delta),
            Some(Cow::Owned(delta)) => Bytes::from(delta),
        };
        if audio.is_empty() {
            self.counts.dropped += 1;
            return;
        }
        self.counts.audio += 1;
        while !audio.is_empty() {
            let slice = audio.split_to(audio.len().min(DATA_MAX));
            self.bytes += slice.len() + SLICE_OVERHEAD;
            self.queue.push_back(slice);
        }
    }

    /// A response begins: what was interrupted before is another one.
    pub(super) fn created(&mut self, response: Option<Raw<'_>>) {
        if let Some(cut) = &mut self.cut {
            cut.done = true;
        }
        self.speaking = Some(name(response));
    }

    /// A response is over.
    pub(super) fn done(&mut self, response: Option<Raw<'_>>) {
        if let Some(cut) = &mut self.cut
            && cut.has(response)
        {
            cut.done = true;
        }
        if is_same(self.speaking.as_ref(), response) {
            self.speaking = None;
        }
    }

    /// The caller speaks; whether that interrupts.
    pub(super) fn speech(&mut self) -> bool {
        if !self.interrupts {
            self.counts.other += 1;
            return false;
        }
        self.counts.interrupted += 1;
        self.counts.dropped += self.queue.len() as u64;
        self.queue.clear();
        self.queue.shrink_to(PLACES_KEPT);
        self.bytes = 0;
        self.stop = true;
        if let Some(name) = self.speaking.take() {
            self.cut = Some(Cut { name, done: false });
        }
        true
    }

    pub(super) fn next(&mut self) -> Option<Frame> {
        if std::mem::take(&mut self.stop) {
            return Some(Frame::StopAudio);
        }
        let Some(slice) = self.queue.pop_front() else {
            self.queue.shrink_to(PLACES_KEPT);
            return None;
        };
        self.bytes -= slice.len() + SLICE_OVERHEAD;
        Some(Frame::Audio(slice))
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= QUEUE_MAX
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Whether `speaking` is `response`, as far as the two have names.
fn is_same(speaking: Option<&Name>, response: Option<Raw<'_>>) -> bool {
    match (speaking, response) {
        (None, _) => false,
        (Some(Some(name)), Some(response)) => response.is(name),
        (Some(_), _) => true,
    }
}

fn name(response: Option<Raw<'_>>) -> Name {
    let name = response?.unescape()?;
    (name.len() <= NAME_MAX).then(|| name.into())
}
