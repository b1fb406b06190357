//! What the service says of the client's audio: `session.created`, `session.updated`, `error`.
//!
//! All of them are short, and only the object `session` is read. Everything else that a service
//! sends, nearly all of it audio, is passed over as soon as its `type` has been seen.

use crate::wire::voice_live::{Finder, Input, Message, Part};

/// The longest object `session` that is read. Instructions and tools are in it; what is longer is
/// not understood.
pub(super) const SESSION_MAX: usize = 64 * 1024;

/// What the service said since it was last asked for, folded: its last word counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What it says of the audio; `Some(None)`: nobody understands it.
    pub(super) said: Option<Option<Input>>,
    /// How many updates it has answered.
    pub(super) answers: u32,
    /// It refused something, maybe an update.
    pub(super) refused: bool,
}

/// Reads the messages of the service.
#[derive(Debug, Default)]
pub(super) struct Service {
    finder: Finder,
    session: Session,
    told: Told,
}

impl Service {
    /// A text message begins.
    pub(super) fn begin(&mut self) {
        self.finder = Finder::default();
        self.session.clear();
    }

    /// More of it, in clear.
    pub(super) fn read(&mut self, mut text: &[u8]) {
        while let Some(part) = self.finder.next(&mut text) {
            match part {
                Part::Session(text) => self.session.collect(text),
                Part::Audio(_) => {}
            }
        }
    }

    /// It is whole.
    pub(super) fn end(&mut self) {
        match self.finder.end() {
            Some(Message::Created) => self.told.said = Some(self.session.input()),
            Some(Message::Updated) => {
                self.told.said = Some(self.session.input());
                self.told.answers = self.told.answers.saturating_add(1);
            }
            Some(Message::Error) => self.told.refused = true,
            Some(Message::Append | Message::Update) | None => {}
        }
        self.session.clear();
    }

    /// What was said since the last time.
    pub(super) fn take(&mut self) -> Option<Told> {
        let told = std::mem::take(&mut self.told);
        (told != Told::default()).then_some(told)
    }
}

/// An object `session` while it comes. It takes no memory between messages.
#[derive(Debug, Default)]
pub(super) struct Session {
    text: Vec<u8>,
    too_long: bool,
}

impl Session {
    pub(super) fn collect(&mut self, text: &[u8]) {
        if self.text.len() + text.len() > SESSION_MAX {
            self.too_long = true;
        }
        if !self.too_long {
            self.text.extend_from_slice(text);
        }
    }

    /// What it says of audio; a message without a session says nothing.
    pub(super) fn input(&self) -> Option<Input> {
        if self.too_long {
            None
        } else if self.text.is_empty() {
            Some(Input::default())
        } else {
            Input::read(&self.text)
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Session::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::voice_live::Coding;

    fn say(service: &mut Service, message: &str) {
        service.begin();
        message
            .as_bytes()
            .chunks(50)
            .for_each(|piece| service.read(piece));
        service.end();
    }

    fn rate(rate: u32) -> Input {
        Input {
            rate: Some(rate),
            ..Input::default()
        }
    }

    #[test]
    fn the_last_word_counts_and_answers_are_counted() {
        let mut service = Service::default();
        assert_eq!(service.take(), None);
        for message in [
            r#"{"type":"session.created","session":{"input_audio_format":"pcm16"}}"#,
            r#"{"type":"session.updated","session":{"input_audio_sampling_rate":16000}}"#,
            r#"{"session":{"input_audio_sampling_rate":8000},"type":"session.updated"}"#,
            r#"{"type":"session.update","session":{"input_audio_sampling_rate":24000}}"#,
            r#"{"type":"response.audio.delta","session":{"input_audio_sampling_rate":24000}}"#,
        ] {
            say(&mut service, message);
        }
        let told = Told {
            said: Some(Some(rate(8000))),
            answers: 2,
            refused: false,
        };
        assert_eq!(service.take(), Some(told));
        assert_eq!(service.take(), None);
        say(&mut service, r#"{"error":{"code":"x"},"type":"error"}"#);
        assert!(service.take().is_some_and(|told| told.refused));
    }

    #[test]
    fn a_session_is_read_up_to_its_bound_and_not_understood_beyond() {
        let start = r#"{"input_audio_format":"g711_ulaw","instructions":""#;
        for (length, fits) in [(SESSION_MAX, true), (SESSION_MAX + 1, false)] {
            let session = format!("{start}{}\"}}", "x".repeat(length - start.len() - 2));
            assert_eq!(session.len(), length);
            let mut service = Service::default();
            let message = format!(r#"{{"type":"session.updated","session":{session}}}"#);
            say(&mut service, &message);
            let said = service.take().unwrap().said.unwrap();
            let coding = said.and_then(|said| said.coding);
            assert_eq!(coding, fits.then_some(Coding::Ulaw));
            assert_eq!(service.session.text.capacity(), 0);
        }
    }
}
