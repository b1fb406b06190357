//! Translates between ACS and Voice Live, message by message. Pure: no sockets, no clock.
//!
//! ```text
//!  ACS ── AudioData ──── whose? ─ mask tones ─ start ── input_audio_buffer.append ──▶ Voice Live
//!      ◀─ AudioData ──── queue ─ split ─────────────────── response.audio.delta ─────
//!      ◀─ StopAudio ──── (queue dropped) ──── input_audio_buffer.speech_started ─────
//! ```
//!
//! Both sides write audio as base64 of PCM16 in a JSON string, at the rate of the call: Voice Live is
//! told that rate before anything goes on. So the text is lifted out of one envelope and put into the
//! other; nothing is decoded, except where keys are replaced by silence. Text with escapes is put
//! without them, and text that could end the string it is put into goes nowhere.
//!
//! What cannot be read, and audio that cannot be used, is counted and ends nothing. What the two sides
//! disagree on does: then [`Fault`] says so, and nothing more makes sense.
//!
//! Not here: frames (`ws`, [`message`](super::message)), who may speak (`gate`), resampling: ACS
//! streams 16 or 24 kHz, and Voice Live takes and gives either.

mod down;
mod start;
mod tones;
mod up;

pub use self::down::{Frame, QUEUE_MAX};
pub use self::start::{HELD_BYTES_MAX, HELD_MAX};
pub use self::tones::DELAY;

use std::sync::Arc;

use self::down::Down;
use self::start::{Due, Start};
use self::up::Up;
use super::message::Text;
use crate::audio::SampleRate;
use crate::config::VoiceSession;
use crate::dtmf;
use crate::tap::Mark;
use crate::wire::acs::{Encoding, Message, Metadata, Raw};
use crate::wire::voice_live::{self, Event, Failure, Pcm16};

/// What makes the session senseless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The call's audio is none that Voice Live takes, or another than it was, or the service says
    /// that it expects another.
    #[error("the format of the audio is not the session's")]
    Mismatch,
    /// The service answered the setting up of its session with an error.
    #[error("the service refused the session")]
    Refused(Failure),
}

/// What crossed, and what did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub up: up::Counts,
    pub down: down::Counts,
}

/// One session's translation.
#[derive(Debug)]
pub struct Bridge {
    /// What the service is to be told, until it has been.
    session: Option<Arc<VoiceSession>>,
    greet: bool,
    mask_tones: bool,
    /// What the audio of the call is, as soon as ACS has said so.
    rate: Option<SampleRate>,
    start: Start,
    up: Up,
    down: Down,
    mark: Option<Mark>,
}

impl Bridge {
    pub fn new(session: &Arc<VoiceSession>) -> Bridge {
        Bridge {
            session: Some(session.clone()),
            greet: session.greet,
            mask_tones: session.mask_tones,
            rate: None,
            start: Start::new(),
            up: Up::default(),
            down: Down::new(voice_live::interrupts(&session.session)),
            mark: None,
        }
    }

    /// ACS says `message`. Frames for Voice Live are added to `out`, each masked with a key of `key`,
    /// which nobody can foresee.
    ///
    /// `is_caller` judges the participant of an `AudioData`, where it has one: only the caller's audio
    /// goes on. Audio without a participant is mixed, and goes on.
    pub fn client(
        &mut self,
        message: &Message<'_>,
        is_caller: impl FnOnce(Raw<'_>) -> bool,
        mut key: impl FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.up.begin();
        match message {
            Message::Metadata(metadata) => return self.metadata(metadata, &mut key, out),
            Message::Audio(audio) => {
                let start = &mut self.start;
                self.up.hear(audio, is_caller, self.rate, |text, rate| {
                    if start.is_open() {
                        up::append(text, key(), out);
                        return 0;
                    }
                    start.hold(text, rate)
                });
            }
            Message::Dtmf(_) => self.up.counts.dtmf += 1,
            Message::StopAudio | Message::Unknown => self.up.counts.unknown += 1,
        }
        Ok(())
    }

    /// The service says `text`. Frames of the edge's own for it are added to `out`, as in
    /// [`Bridge::client`]; what ACS is to get waits in [`Bridge::next_frame`].
    ///
    /// Returns what may be told of an `error` that the session outlives.
    pub fn upstream(
        &mut self,
        text: &Text<'_>,
        mut key: impl FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<Option<Failure>, Fault> {
        self.down.counts.messages += 1;
        self.mark = None;
        let Ok(event) = Event::read(text.as_bytes()) else {
            self.down.counts.unreadable += 1;
            return Ok(None);
        };
        match event {
            Event::SessionCreated => {
                let due = self.start.created();
                self.set_up(due, &mut key, out);
            }
            Event::SessionUpdated { session } => {
                let due = self.start.updated(session.map(|session| session.0))?;
                self.set_up(due, &mut key, out);
            }
            Event::Error(failure) => {
                self.down.counts.errors += 1;
                if !self.start.is_open() {
                    return Err(Fault::Refused(failure));
                }
                return Ok(Some(failure));
            }
            // Before the session is set up nobody knows what the audio would be.
            Event::AudioDelta { .. } if !self.start.is_open() => self.down.counts.dropped += 1,
            Event::AudioDelta { delta, response } => self.down.delta(text, delta, response),
            Event::SpeechStarted => self.mark = self.down.speech().then_some(Mark::Speech),
            Event::SpeechStopped => {
                self.down.counts.other += 1;
                self.mark = Some(Mark::Said);
            }
            Event::ResponseCreated { response } => {
                self.down.created(response);
                self.mark = Some(Mark::Begun);
            }
            Event::ResponseDone { response } => {
                self.down.done(response);
                self.mark = Some(Mark::Over);
            }
            Event::Other => self.down.counts.other += 1,
        }
        Ok(None)
    }

    /// What of the service's latest message may be timed.
    pub fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// What ACS is to get next, if anything waits.
    pub fn next_frame(&mut self) -> Option<Frame> {
        self.down.next()
    }

    /// Whether so much waits for ACS that the service should not be read until some of it has gone.
    /// Until then reading goes on while ACS takes nothing: the caller's interruption may be next.
    pub fn is_full(&self) -> bool {
        self.down.is_full()
    }

    /// Whether audio goes on: the service has its session.
    pub fn is_open(&self) -> bool {
        self.start.is_open()
    }

    /// Bytes that wait, here or there.
    pub fn held(&self) -> usize {
        self.start.bytes() + self.down.bytes()
    }

    /// Keys heard in the latest message of ACS, where tones are masked: nobody else hears them.
    pub fn keys(&self) -> &[dtmf::Event] {
        self.up.keys()
    }

    /// A message of ACS could not be read.
    pub fn unreadable(&mut self) {
        self.up.begin();
        self.up.counts.unreadable += 1;
    }

    pub fn counts(&self) -> Counts {
        Counts {
            up: self.up.counts,
            down: self.down.counts,
        }
    }

    fn metadata(
        &mut self,
        metadata: &Metadata,
        key: &mut impl FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let (format, rate) = judge(metadata).ok_or(Fault::Mismatch)?;
        if let Some(before) = self.rate.replace(rate) {
            // Said again after a new start, it changes nothing.
            return (before == rate).then_some(()).ok_or(Fault::Mismatch);
        }
        if self.mask_tones {
            self.up.mask_tones(rate);
        }
        let due = self.start.format(format);
        self.set_up(due, key, out);
        Ok(())
    }

    /// Does what the start of the session asks for.
    fn set_up(&mut self, due: Due, key: &mut impl FnMut() -> [u8; 4], out: &mut Vec<u8>) {
        match due {
            Due::Nothing => {}
            Due::Update(format) => {
                if let Some(session) = self.session.take() {
                    let update = voice_live::session_update(&session.session, format);
                    up::frame(&[&update], key(), out);
                }
            }
            Due::Open => {
                if self.greet {
                    up::frame(&[voice_live::RESPONSE_CREATE], key(), out);
                }
                while let Some(text) = self.start.take() {
                    up::append(&text, key(), out);
                }
            }
        }
    }
}

/// What the audio of a call is; `None`: none that Voice Live takes.
fn judge(metadata: &Metadata) -> Option<(Pcm16, SampleRate)> {
    if metadata.encoding != Encoding::Pcm || metadata.channels.unwrap_or(1) != 1 {
        return None;
    }
    match metadata.rate? {
        16_000 => Some((Pcm16::Hz16000, SampleRate::Hz16000)),
        24_000 => Some((Pcm16::Hz24000, SampleRate::Hz24000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
