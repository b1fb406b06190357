//! Looks at frames as they pass, and counts.
//!
//! The tap is shown every data frame before it goes on. It cannot fail, wait or alter anything:
//! it has no way to say more than numbers, and keys where somebody asks for them. Of each message
//! the first bytes are unmasked, into the tap's own scratch, and tell whether it is audio; of most
//! that is all. On a route that observes keys, audio of the client is then unmasked and decoded while
//! it passes (`ear`), and what the service says of its format is read (`told`). For somebody who
//! looks on, the first and the last bytes of every message tell its kind (`glance`). Payloads stay
//! as they lie.

mod ear;
mod format;
mod glance;
mod mark;
mod samples;
mod told;

pub use self::glance::{Glance, Glimpse};
pub use self::mark::{Mark, Marks};
pub use self::told::Told;

use self::ear::Ear;
use self::told::Service;
use crate::dtmf::Event;
use crate::wire::acs;
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
    /// Keys heard in the audio, where somebody listens.
    pub keys: u64,
    /// Messages with audio that could not be listened to.
    pub unheard: u64,
}

impl Counts {
    /// Adds what crossed elsewhere.
    pub fn add(&mut self, more: &Counts) {
        self.messages += more.messages;
        self.bytes += more.bytes;
        self.audio_messages += more.audio_messages;
        self.keys += more.keys;
        self.unheard += more.unheard;
    }

    /// What came since `earlier`.
    pub fn since(&self, earlier: &Counts) -> Counts {
        Counts {
            messages: self.messages - earlier.messages,
            bytes: self.bytes - earlier.bytes,
            audio_messages: self.audio_messages - earlier.audio_messages,
            keys: self.keys - earlier.keys,
            unheard: self.unheard - earlier.unheard,
        }
    }
}

/// Follows one direction of one session.
#[derive(Debug)]
pub struct Tap {
    counts: Counts,
    look: Option<Look>,
    /// Somebody looks on.
    glance: Option<Box<Glance>>,
    /// There is one of the two.
    looks: bool,
    /// The start of the current message, unmasked, until it tells what the message is.
    peeked: [u8; PEEK],
    peeked_length: usize,
    /// The current message may still turn out to be audio.
    undecided: bool,
    /// It has.
    audio: bool,
    mask: Option<[u8; 4]>,
    /// Payload bytes of the current frame that have passed.
    offset: u64,
    /// Payload bytes of the current frame still to come.
    left: u64,
    fin: bool,
    /// The current message is text. Only those that look at it ask.
    text: bool,
    /// What of that may be timed.
    marks: Marks,
    /// Tells audio from the rest.
    peek_at: fn(&[u8]) -> Option<Kind>,
}

/// What is looked at beyond the first bytes.
#[derive(Debug)]
enum Look {
    /// The audio of a client, for keys.
    Audio(Box<Ear>),
    /// What a service says of that audio.
    Service(Box<Service>),
}

impl Look {
    fn begin(&mut self) {
        match self {
            Look::Audio(ear) => ear.begin(),
            Look::Service(service) => service.begin(),
        }
    }

    fn read(&mut self, bytes: &[u8], mask: Option<[u8; 4]>, offset: u64, audio: bool) {
        match self {
            Look::Audio(ear) => ear.read(bytes, mask, offset, audio),
            Look::Service(service) => service.read(bytes),
        }
    }

    fn end(&mut self, counts: &mut Counts) {
        match self {
            Look::Audio(ear) => {
                ear.end();
                (counts.keys, counts.unheard) = ear.counts();
            }
            Look::Service(service) => service.end(),
        }
    }
}

impl Default for Tap {
    fn default() -> Tap {
        Tap {
            counts: Counts::default(),
            look: None,
            glance: None,
            looks: false,
            peeked: [0; PEEK],
            peeked_length: 0,
            undecided: false,
            audio: false,
            mask: None,
            offset: 0,
            left: 0,
            fin: false,
            text: false,
            marks: Marks::default(),
            peek_at: voice_live::peek,
        }
    }
}

impl Tap {
    /// A tap for a call whose frames go on as ACS sends them, and back.
    pub fn on_call() -> Tap {
        Tap {
            peek_at: acs::peek,
            ..Tap::default()
        }
    }

    /// A tap that also listens for keys in what a client appends.
    pub fn on_client() -> Tap {
        Tap {
            look: Some(Look::Audio(Box::new(Ear::new()))),
            looks: true,
            ..Tap::default()
        }
    }

    /// A tap that also reads what a service says of its client's audio.
    pub fn on_service() -> Tap {
        Tap {
            look: Some(Look::Service(Box::default())),
            looks: true,
            ..Tap::default()
        }
    }

    /// What a service said of its client's audio since this was last asked.
    pub fn told(&mut self) -> Option<Told> {
        match &mut self.look {
            Some(Look::Service(service)) => service.take(),
            Some(Look::Audio(_)) | None => None,
        }
    }

    /// The service has spoken.
    pub fn learn(&mut self, told: Told) {
        if let Some(Look::Audio(ear)) = &mut self.look {
            ear.learn(told);
        }
    }

    /// Keys in the latest message, as soon as it is whole and until the next one begins.
    pub fn events(&self) -> &[Event] {
        match &self.look {
            Some(Look::Audio(ear)) => ear.events(),
            Some(Look::Service(_)) | None => &[],
        }
    }

    /// Has messages looked at for somebody who looks on, or not any more.
    pub fn set_glance(&mut self, on: bool) {
        if on != self.glance.is_some() {
            self.glance = on.then(Box::default);
            self.looks = on || self.look.is_some();
        }
    }

    /// What somebody who looks on is shown.
    pub fn glance(&mut self) -> Option<&mut Glance> {
        self.glance.as_deref_mut()
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What has passed since this was last asked that somebody may want to time.
    #[inline]
    pub fn take_marks(&mut self) -> Marks {
        self.marks.take()
    }

    /// A data frame begins.
    #[inline] // a header just parsed is in registers; read back from memory it costs 20 ns
    pub fn frame(&mut self, header: &Header) {
        if header.opcode != OpCode::Continuation {
            self.undecided = header.opcode == OpCode::Text;
            self.audio = false;
            self.peeked_length = 0;
        }
        self.mask = header.mask;
        self.offset = 0;
        self.left = header.length;
        self.fin = header.fin;
        if self.looks {
            self.look_at_frame(header.opcode);
        }
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
        if self.looks {
            self.look_at_payload(bytes);
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

    /// A frame begins, and maybe a message with it.
    #[cold] // for those that look at nothing, which pay for one comparison
    fn look_at_frame(&mut self, opcode: OpCode) {
        let (begins, ends) = (opcode != OpCode::Continuation, self.fin && self.left == 0);
        if let Some(glance) = &mut self.glance {
            if begins {
                glance.begin(opcode);
            }
            if ends {
                glance.end();
            }
        }
        let Some(look) = &mut self.look else { return };
        if begins {
            self.text = opcode == OpCode::Text;
            look.begin();
        }
        if ends {
            look.end(&mut self.counts);
        }
    }

    /// Payload bytes are about to pass, and maybe the message's last.
    #[cold]
    fn look_at_payload(&mut self, bytes: &[u8]) {
        let ends = self.fin && self.left <= bytes.len() as u64;
        if let Some(glance) = &mut self.glance {
            glance.read(bytes, self.mask, self.offset);
            if ends {
                glance.end();
            }
        }
        let Some(look) = &mut self.look else { return };
        if self.text {
            look.read(bytes, self.mask, self.offset, self.audio);
        }
        if ends {
            look.end(&mut self.counts);
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
        match (self.peek_at)(&self.peeked[..self.peeked_length]) {
            Some(kind) => {
                self.audio = kind == Kind::Audio;
                self.counts.audio_messages += u64::from(self.audio);
                if let Some(mark) = Mark::of(kind) {
                    self.marks.add(mark);
                }
                self.undecided = false;
            }
            None => self.undecided = self.peeked_length < PEEK,
        }
    }
}

#[cfg(test)]
mod tests;
