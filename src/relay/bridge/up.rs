//! From ACS to Voice Live: whose audio goes on, and the frames it goes on in.

use super::tones::Tones;
use crate::audio::SampleRate;
use crate::dtmf::Event;
use crate::wire::acs::{Audio, Raw};
use crate::wire::voice_live::{APPEND_PREFIX, APPEND_SUFFIX};
use crate::ws::frame::{HEADER_MAX, text_header};
use crate::ws::mask;

/// Messages of ACS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub messages: u64,
    /// Of the caller, with audio in them.
    pub audio: u64,
    /// With audio of somebody else.
    pub others: u64,
    /// With audio of no length.
    pub empty: u64,
    /// Key presses as messages, which go no further.
    pub dtmf: u64,
    /// Of a kind that means nothing here.
    pub unknown: u64,
    /// That could not be read, or whose audio is no text that may go on.
    pub unreadable: u64,
    /// Whose audio came before its format, was too old when the session was ready, or could not be
    /// listened to where tones are masked.
    pub dropped: u64,
    /// Keys replaced by silence, and those of them whose beginning had gone on before they were known.
    pub masked: u64,
    pub masked_late: u64,
}

/// One direction of a bridge.
#[derive(Debug, Default)]
pub(super) struct Up {
    pub(super) counts: Counts,
    tones: Option<Box<Tones>>,
}

impl Up {
    /// A message begins.
    pub(super) fn begin(&mut self) {
        self.counts.messages += 1;
        if let Some(tones) = &mut self.tones {
            tones.forget();
        }
    }

    /// From now on keys are replaced by silence.
    pub(super) fn mask_tones(&mut self, rate: SampleRate) {
        self.tones = Some(Box::new(Tones::new(rate)));
    }

    pub(super) fn keys(&self) -> &[Event] {
        self.tones.as_ref().map_or(&[], |tones| tones.events())
    }

    /// Audio comes. `go_on` gets the base64 that goes on, which may be that of earlier messages, and
    /// tells how many messages were dropped for it.
    pub(super) fn hear(
        &mut self,
        audio: &Audio<'_>,
        is_caller: impl FnOnce(Raw<'_>) -> bool,
        rate: Option<SampleRate>,
        mut go_on: impl FnMut(&[u8], SampleRate) -> u64,
    ) {
        let counts = &mut self.counts;
        if audio.participant.is_some_and(|who| !is_caller(who)) {
            counts.others += 1;
            return;
        }
        let Some(text) = audio.data.plain() else {
            counts.unreadable += 1;
            return;
        };
        if text.is_empty() {
            counts.empty += 1;
            return;
        }
        counts.audio += 1;
        let Some(rate) = rate else {
            counts.dropped += 1;
            return;
        };
        let Some(tones) = &mut self.tones else {
            counts.dropped += go_on(&text, rate);
            return;
        };
        let dropped = &mut counts.dropped;
        let heard = tones.push(&text, &mut |text| *dropped += go_on(text, rate));
        counts.dropped += u64::from(heard.is_err());
        (counts.masked, counts.masked_late) = tones.counts();
    }
}

/// Adds the frame of an append to `out`.
pub(super) fn append(text: &[u8], key: [u8; 4], out: &mut Vec<u8>) {
    frame(&[APPEND_PREFIX, text, APPEND_SUFFIX], key, out);
}

/// Adds the frame of a text message to `out`, which is what these parts are together.
pub(super) fn frame(parts: &[&[u8]], key: [u8; 4], out: &mut Vec<u8>) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut header = [0; HEADER_MAX];
    let size = text_header(length as u64, Some(key), &mut header);
    out.reserve(size + length);
    out.extend_from_slice(&header[..size]);
    let from = out.len();
    for part in parts {
        out.extend_from_slice(part);
    }
    mask::apply(&mut out[from..], key, 0);
}
