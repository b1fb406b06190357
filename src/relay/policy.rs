//! The only thing that may stop a message: a lock on the models that a client may name.
//!
//! Where a lock is, a message of the client is let go only when it is whole and has been looked at,
//! and then as the bytes it came in. One that lies whole in what was read goes on from where it
//! lies; the parts of one that does not are collected. Nothing of a message that names a model off
//! the list goes on, and the session ends. Pings and pongs between the parts do not wait for the
//! rest: a peer may be waiting for them. It knows nothing of sockets.

use std::sync::Arc;

use bytes::BytesMut;

use crate::buffer::{self, Queue};
use crate::config::Model;
use crate::wire::voice_live;
use crate::ws::frame::{Header, OpCode};
use crate::ws::mask;

/// Looks at the messages of one client.
pub(super) struct Lock {
    models: Arc<[Model]>,
    message: Option<Message>,
}

/// A message that is not whole yet.
struct Message {
    binary: bool,
    /// Its payload so far, in clear.
    text: Queue,
    /// Its bytes from earlier reads, as they came.
    held: BytesMut,
    mask: Option<[u8; 4]>,
    /// Payload bytes of its current frame: passed, and still to come.
    offset: u64,
    left: u64,
    fin: bool,
}

/// What is to be done with the message at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not whole yet.
    Wait,
    /// It may go on.
    Pass,
    /// It names a model off the list.
    Stop,
}

impl Lock {
    pub(super) fn new(models: Arc<[Model]>) -> Lock {
        Lock {
            models,
            message: None,
        }
    }

    /// Whether a message has begun that is not let go yet.
    pub(super) fn is_inside(&self) -> bool {
        self.message.is_some()
    }

    /// A data frame begins.
    pub(super) fn frame(&mut self, header: &Header) -> Verdict {
        let message = self.message.get_or_insert_with(|| Message {
            binary: header.opcode == OpCode::Binary,
            text: buffer::take_queue(),
            held: BytesMut::new(),
            mask: None,
            offset: 0,
            left: 0,
            fin: false,
        });
        message.mask = header.mask;
        message.offset = 0;
        message.left = header.length;
        message.fin = header.fin;
        self.judge()
    }

    /// Payload bytes of the current frame.
    pub(super) fn payload(&mut self, bytes: &[u8]) -> Verdict {
        let Some(message) = &mut self.message else {
            return Verdict::Pass;
        };
        let from = message.text.len();
        message.text.extend_from_slice(bytes);
        if let Some(key) = message.mask {
            mask::apply(&mut message.text[from..], key, message.offset);
        }
        message.offset += bytes.len() as u64;
        message.left = message.left.saturating_sub(bytes.len() as u64);
        self.judge()
    }

    fn judge(&self) -> Verdict {
        let Some(message) = &self.message else {
            return Verdict::Pass;
        };
        if message.left > 0 || !message.fin {
            return Verdict::Wait;
        }
        // Binary messages are media, unless somebody hides JSON in one.
        let allows = |name: &str| self.models.iter().any(|model| model.as_str() == name);
        if voice_live::names_other(&message.text, message.binary, &allows) {
            Verdict::Stop
        } else {
            Verdict::Pass
        }
    }

    /// Keeps bytes of the message until it is whole.
    pub(super) fn hold(&mut self, prefix: &[u8], bytes: &[u8]) {
        if let Some(message) = &mut self.message {
            message.held.extend_from_slice(prefix);
            message.held.extend_from_slice(bytes);
        }
    }

    /// How many bytes are kept.
    pub(super) fn held(&self) -> usize {
        self.message
            .as_ref()
            .map_or(0, |message| message.held.len())
    }

    /// Ends the message: what was kept of it, to be let go or thrown away.
    pub(super) fn release(&mut self) -> BytesMut {
        let Some(message) = self.message.take() else {
            return BytesMut::new();
        };
        buffer::give_queue(message.text);
        message.held
    }
}
