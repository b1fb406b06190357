//! Listens for keys in the audio that a client appends.
//!
//! An append is heard whole or not at all, as the service takes it: the detector hears the audio
//! while it passes, and forgets it if the message turns out to be another, or its base64 broken.
//! What is forgotten so, and what comes in a format that nobody understands, is counted.
//!
//! # Which format
//!
//! A `session.update` is believed at once, for audio in the new format may follow it closely. What
//! the service says wins, as soon as it has answered every update that was sent: until then it
//! speaks of the past. If it refuses something meanwhile, its last word holds again. A format that
//! nobody understands lets the detector rest until one comes that is understood.

use super::format::Format;
use super::samples::{Run, Samples};
use super::told::{Session, Told};
use crate::dtmf::{Detector, Event, Setting};
use crate::wire::voice_live::{Finder, Message, Part};
use crate::ws::mask;

/// Most events of one message that are kept. They are counted all the same: a client that puts more
/// than a dozen keys into one message dials for no gate.
const EVENTS_MAX: usize = 32;

/// Bytes unmasked at once of what is audio: an append of 20 ms is one piece, and stays in the
/// first-level cache until it has been heard.
const PIECE: usize = 2048;

/// Bytes unmasked at first of anything else, and then twice as many each time: nearly always they say
/// already that nothing in the message is of use, and the rest stays as it lies.
const FIRST: usize = 64;

/// Hears one client.
#[derive(Debug)]
pub(super) struct Ear {
    finder: Finder,
    session: Session,
    /// What the client sends, as far as it is known.
    hearing: Option<Hearing>,
    /// What the service said last.
    told: Option<Format>,
    /// Updates that it has not answered.
    asked: u32,
    append: Append,
    /// Keys in messages that were taken.
    keys: u64,
    /// Appends that were not heard.
    unheard: u64,
}

/// A format, and who understands it.
#[derive(Debug)]
struct Hearing {
    format: Format,
    detector: Detector,
    /// The detector before the message at hand.
    before: Detector,
}

/// The audio of the message at hand, or of the latest one.
#[derive(Debug)]
struct Append {
    begun: bool,
    broken: bool,
    /// It is whole and counts.
    taken: bool,
    samples: Samples,
    events: Vec<Event>,
    keys: u64,
}

impl Ear {
    pub(super) fn new() -> Ear {
        Ear {
            finder: Finder::default(),
            session: Session::default(),
            hearing: Some(Hearing::new(Format::FIRST)),
            told: Some(Format::FIRST),
            asked: 0,
            append: Append {
                begun: false,
                broken: false,
                taken: false,
                samples: Samples::default(),
                events: Vec::with_capacity(EVENTS_MAX),
                keys: 0,
            },
            keys: 0,
            unheard: 0,
        }
    }

    /// Keys heard so far, and appends that were not heard.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.keys, self.unheard)
    }

    /// What was in the latest message, as soon as it is whole.
    pub(super) fn events(&self) -> &[Event] {
        if self.append.taken {
            &self.append.events
        } else {
            &[]
        }
    }

    /// A text message begins.
    pub(super) fn begin(&mut self) {
        self.finder = Finder::default();
        self.session.clear();
        self.append.clear();
    }

    /// More of it, as it lies in a frame, `offset` bytes into the payload. `audio` is what its first
    /// bytes have told.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        mask: Option<[u8; 4]>,
        mut offset: u64,
        audio: bool,
    ) {
        let mut run = Run::new();
        let mut clear = [0; PIECE];
        let mut size = if audio { PIECE } else { FIRST };
        let mut rest = bytes;
        while !rest.is_empty() && !self.finder.is_over() {
            let (piece, later) = rest.split_at(size.min(rest.len()));
            rest = later;
            size = PIECE.min(2 * size);
            let mut text = piece;
            if let Some(key) = mask {
                let clear = &mut clear[..piece.len()];
                clear.copy_from_slice(piece);
                mask::apply(clear, key, offset);
                text = clear;
            }
            offset += piece.len() as u64;
            while let Some(part) = self.finder.next(&mut text) {
                match part {
                    Part::Audio(text) => self.hear(text, &mut run),
                    Part::Session(text) => self.session.collect(text),
                }
            }
        }
        if let Some(hearing) = &mut self.hearing {
            run.flush(&mut |samples| hearing.hear(samples, &mut self.append));
        }
    }

    /// It is whole: now it is known what it was.
    pub(super) fn end(&mut self) {
        let message = self.finder.end();
        let append = &mut self.append;
        if append.begun {
            let whole = append.samples.is_whole() && !append.broken;
            append.taken = whole && message == Some(Message::Append) && self.hearing.is_some();
            if append.taken {
                self.keys += append.keys;
            } else {
                self.unheard += 1;
                self.forget();
            }
        }
        if message == Some(Message::Update) {
            self.asked = self.asked.saturating_add(1);
            let before = self.hearing.as_ref().map(|hearing| hearing.format);
            let asked = self.session.input();
            self.listen_to(asked.and_then(|asked| Format::after(before, &asked)));
        }
        self.session.clear();
    }

    /// The service has spoken.
    pub(super) fn learn(&mut self, told: Told) {
        if let Some(said) = told.said {
            self.told = said.and_then(|said| Format::after(self.told, &said));
        }
        self.asked = if told.refused {
            0
        } else {
            self.asked.saturating_sub(told.answers)
        };
        if self.asked == 0 {
            self.listen_to(self.told);
        }
    }

    /// A new format is a new stream.
    fn listen_to(&mut self, format: Option<Format>) {
        let now = self.hearing.as_ref().map(|hearing| hearing.format);
        if format != now {
            self.hearing = format.map(Hearing::new);
            // Half an append in one format and half in another is none.
            self.append.broken |= self.append.begun;
        }
    }

    /// More text of an append.
    fn hear(&mut self, text: &[u8], run: &mut Run) {
        let begins = !std::mem::replace(&mut self.append.begun, true);
        let Some(hearing) = &mut self.hearing else {
            return;
        };
        if begins {
            hearing.before.clone_from(&hearing.detector);
        }
        if self.append.broken {
            return;
        }
        let layout = hearing.format.layout();
        let mut samples = std::mem::take(&mut self.append.samples);
        let mut hear = |run: &[i16]| hearing.hear(run, &mut self.append);
        let pushed = samples.push(layout, text, run, &mut hear);
        self.append.samples = samples;
        self.append.broken = pushed.is_err();
    }

    /// The audio of the message at hand was none.
    fn forget(&mut self) {
        if let Some(hearing) = &mut self.hearing {
            hearing.detector.clone_from(&hearing.before);
        }
    }
}

impl Append {
    fn clear(&mut self) {
        self.begun = false;
        self.broken = false;
        self.taken = false;
        self.samples = Samples::default();
        self.events.clear();
        self.keys = 0;
    }
}

impl Hearing {
    fn new(format: Format) -> Hearing {
        let detector = Detector::new(format.rate(), Setting::Standard);
        Hearing {
            before: detector.clone(),
            detector,
            format,
        }
    }

    fn hear(&mut self, samples: &[i16], append: &mut Append) {
        self.detector.push(samples, |event| {
            append.keys += u64::from(matches!(event, Event::KeyDown { .. }));
            if append.events.len() < EVENTS_MAX {
                append.events.push(event);
            }
        });
    }
}
