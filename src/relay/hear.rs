//! Frames whose messages are heard whole. Nothing of them goes on by itself, so the edge answers
//! for itself what the other leg would have answered: pings, and in the end the close frame.

use bytes::Bytes;

use super::message::{Assembler, Refusal, Text};
use super::pump::{Input, Line};
use crate::ws::Violation;
use crate::ws::frame::OpCode;
use crate::ws::scan::{Control, Found};

/// What is done with the frames of a direction that is heard.
pub(super) struct Hearing {
    assembler: Assembler,
    /// The payload of the latest ping that is not answered: only that one has to be (RFC 6455,
    /// 5.5.3).
    pub(super) pinged: Option<Bytes>,
    /// What the close frame said, until it crosses.
    pub(super) closed: Option<Bytes>,
}

impl Hearing {
    /// For messages of at most `max_message` bytes.
    pub(super) fn new(max_message: u64) -> Hearing {
        Hearing {
            assembler: Assembler::new(max_message),
            pinged: None,
            closed: None,
        }
    }

    /// Follows the frames in `chunk`; `each` hears every message that is whole with it.
    pub(super) fn hear(&mut self, line: &mut Line, chunk: &[u8], each: &mut impl FnMut(Text<'_>)) {
        let mut at = 0;
        while line.input == Input::Open {
            let step = match line.scan.next(&chunk[at..]) {
                Ok(Some(step)) => step,
                Ok(None) => return,
                Err(violation) => {
                    line.input = Input::Violated(violation);
                    return;
                }
            };
            let bytes = &chunk[at..at + step.taken];
            at += step.taken;
            line.count(&step.found, bytes.len());
            let heard = match &step.found {
                Found::Data(header) => self.assembler.frame(header, &mut *each),
                Found::Payload => self.assembler.payload(bytes, &mut *each),
                Found::Control(control) => {
                    self.control(line, control);
                    continue;
                }
            };
            match heard {
                Ok(_) => {}
                Err(Refusal::Binary) => line.input = Input::Unspoken,
                Err(Refusal::TooLong) => line.input = Input::Violated(Violation::TooLarge),
            }
        }
    }

    fn control(&mut self, line: &mut Line, control: &Control) {
        match control.opcode {
            OpCode::Ping => self.pinged = Some(Bytes::copy_from_slice(control.payload())),
            OpCode::Close => {
                line.note_close(control);
                self.closed = Some(Bytes::copy_from_slice(control.payload()));
            }
            // An answer to a ping of the edge's own, or one that nobody asked for.
            OpCode::Pong => {}
            OpCode::Continuation | OpCode::Text | OpCode::Binary => {}
        }
    }
}
