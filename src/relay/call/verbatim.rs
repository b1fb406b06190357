//! Messages of ACS for an orchestrator, until its connection is there.
//!
//! Behind the gate the frames go on as they come, but the first of them must wait until the upstream
//! has been dialled. What waited goes on as one frame each: how it was cut into fragments is not kept.

use std::collections::VecDeque;
use std::time::Duration;

use super::through::Drops;
use crate::wire::acs::Message;
use crate::ws::frame::{HEADER_MAX, text_header};
use crate::ws::mask;

/// Audio that waits at the most; of more, the oldest goes.
const HELD_MAX: Duration = Duration::from_secs(2);
/// What a message of ACS holds of audio.
const FRAME: Duration = Duration::from_millis(20);
/// The same in bytes, for messages that are longer than those of ACS.
const HELD_BYTES_MAX: usize = 512 * 1024;

/// What waits.
#[derive(Default)]
pub(super) struct Verbatim {
    /// The first message of a stream: without it the rest says nothing.
    metadata: Vec<u8>,
    audio: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Verbatim {
    pub(super) fn hold(&mut self, text: &[u8], message: &Message<'_>, drops: &mut Drops) {
        if matches!(message, Message::Metadata(_)) {
            self.metadata = text.to_vec();
            return;
        }
        self.bytes += text.len();
        self.audio.push_back(text.to_vec());
        let most = (HELD_MAX.as_millis() / FRAME.as_millis()) as usize;
        while self.audio.len() > most || self.bytes > HELD_BYTES_MAX {
            let Some(oldest) = self.audio.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
            drops.late += 1;
        }
    }

    /// Adds all that waits to `frames`, as a client sends it.
    pub(super) fn let_go(&mut self, mut key: impl FnMut() -> [u8; 4], frames: &mut Vec<u8>) {
        let metadata = std::mem::take(&mut self.metadata);
        let first = (!metadata.is_empty()).then_some(metadata);
        for text in first.into_iter().chain(std::mem::take(&mut self.audio)) {
            let (mut header, key) = ([0; HEADER_MAX], key());
            let size = text_header(text.len() as u64, Some(key), &mut header);
            frames.extend_from_slice(&header[..size]);
            let from = frames.len();
            frames.extend_from_slice(&text);
            mask::apply(&mut frames[from..], key, 0);
        }
        self.bytes = 0;
    }
}
