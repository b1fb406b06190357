//! Azure Voice Live and OpenAI realtime messages, as far as the edge has to know them.
//!
//! Both directions are JSON text messages. Almost all bytes are base64 audio inside
//! `input_audio_buffer.append` (up) and `response.audio.delta` (down). Key order differs by SDK:
//! the Node one writes `type` first, the Python one writes `{"audio": "…", "type": …}`.

mod client;
mod event;
mod finder;
mod input;
mod model;

pub use self::client::{
    APPEND_PREFIX, APPEND_SUFFIX, Pcm16, RESPONSE_CREATE, interrupts, session_update,
};
pub use self::event::{Event, Failure, Object, Word};
pub use self::finder::{Finder, Message, Part};
pub use self::input::{Coding, Input};
pub use self::model::names_other;

/// What the first bytes of a message tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Carries audio for the model or for the caller.
    Audio,
    /// The service has heard the caller begin to speak.
    Speech,
    /// It has heard them end, or the client says that they have.
    Said,
    /// The client wants no more of the answer that speaks.
    Cancel,
    /// An answer begins.
    Begun,
    /// An answer, or its audio, is whole.
    Over,
    /// Anything else.
    Other,
}

/// How many bytes [`peek`] wants at the most: enough for an `event_id` of 40 characters before the
/// longest `type`.
pub const PEEK: usize = 128;

/// Tells audio from the rest by the first bytes of a message (at most [`PEEK`] are needed).
///
/// `None`: these bytes do not tell. Only keys at depth one count; a message with neither `type`
/// nor `audio` among its first keys is left undecided, and the caller counts it as other.
pub fn peek(prefix: &[u8]) -> Option<Kind> {
    let mut rest = Cursor(prefix);
    if rest.token()? != b'{' {
        return Some(Kind::Other);
    }
    loop {
        if rest.token()? != b'"' {
            return Some(Kind::Other);
        }
        let key = rest.string()?;
        if rest.token()? != b':' {
            return Some(Kind::Other);
        }
        let first = rest.token()?;
        match (key, first) {
            // The only message with a string `audio` at depth one is an append.
            (b"audio", b'"') => return Some(Kind::Audio),
            (b"type", b'"') => return Some(kind_of(rest.string()?)),
            (b"type", _) => return Some(Kind::Other),
            (_, b'"') => {
                rest.string()?;
            }
            (_, b'{' | b'[') => return None,
            _ => rest.skip_scalar()?,
        }
        match rest.token()? {
            b',' => {}
            _ => return Some(Kind::Other),
        }
    }
}

fn kind_of(name: &[u8]) -> Kind {
    match name {
        b"input_audio_buffer.append"
        | b"input_audio.turn.append"
        | b"response.audio.delta"
        | b"response.output_audio.delta" => Kind::Audio,
        b"input_audio_buffer.speech_started" => Kind::Speech,
        b"input_audio_buffer.speech_stopped" | b"input_audio_buffer.commit" => Kind::Said,
        b"response.cancel" => Kind::Cancel,
        b"response.created" => Kind::Begun,
        b"response.done" | b"response.audio.done" | b"response.output_audio.done" => Kind::Over,
        _ => Kind::Other,
    }
}

/// The unread part of a prefix; every method is `None` at its end.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// The next byte that is not white space.
    fn token(&mut self) -> Option<u8> {
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
        }
    }

    /// The text up to the closing quote, escapes left as they are.
    fn string(&mut self) -> Option<&'a [u8]> {
        let mut from = 0;
        loop {
            let at = from + memchr::memchr2(b'"', b'\\', &self.0[from..])?;
            if self.0[at] == b'"' {
                let text = &self.0[..at];
                self.0 = &self.0[at + 1..];
                return Some(text);
            }
            from = at + 2;
            if from > self.0.len() {
                return None;
            }
        }
    }

    /// Skips a number, `true`, `false` or `null` whose first byte was taken.
    fn skip_scalar(&mut self) -> Option<()> {
        let end = self
            .0
            .iter()
            .position(|b| matches!(b, b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n'))?;
        self.0 = &self.0[end..];
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tells_audio_in_every_key_order_the_sdks_use() {
        let audio = [
            r#"{"type":"input_audio_buffer.append","event_id":"e1","audio":"AAAA"#,
            r#"{"audio": "AAAAAAAAAAAAAAAAAAAAAAAAAAA"#,
            r#"{ "event_id" : "x\"y" , "type" : "response.audio.delta", "delta":"AA"#,
            r#"{"output_index":0,"type":"response.audio.delta","delta":"AA"#,
        ];
        for text in audio {
            assert_eq!(peek(text.as_bytes()), Some(Kind::Audio), "{text}");
        }
        let other = [
            r#"{"type":"session.update","session":{}}"#,
            r#"{"audio":{"type":"input_audio_buffer.append"},"#,
            r#"{"type":"response.audio_transcript.delta","delta":"hi"}"#,
            r#"{"type":7}"#,
            r#"["type","input_audio_buffer.append"]"#,
            r#"{}"#,
            r#"hello"#,
        ];
        for text in other {
            assert_ne!(peek(text.as_bytes()), Some(Kind::Audio), "{text}");
        }
    }

    #[test]
    fn a40_tells_what_is_timed() {
        for (name, kind) in [
            ("input_audio_buffer.speech_started", Kind::Speech),
            ("input_audio_buffer.speech_stopped", Kind::Said),
            ("input_audio_buffer.commit", Kind::Said),
            ("input_audio_buffer.committed", Kind::Other),
            ("response.cancel", Kind::Cancel),
            ("response.created", Kind::Begun),
            ("response.done", Kind::Over),
            ("response.output_audio.done", Kind::Over),
            ("response.audio_transcript.done", Kind::Other),
        ] {
            let text = format!(r#"{{"event_id":"event_0123456789","type":"{name}","x":1}}"#);
            assert_eq!(peek(text.as_bytes()), Some(kind), "{name}");
        }
    }

    #[test]
    fn waits_for_more_rather_than_guess() {
        let text = br#"{"event_id":"e1","type":"input_audio_buffer.append","#;
        let told = (0..text.len()).find(|&n| peek(&text[..n]).is_some());
        assert_eq!(told, Some(text.len() - 1));
        assert_eq!(peek(br#"{"delta":"AAAA"#), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            peek(&bytes);
            let mut object = b"{\"".to_vec();
            object.extend(&bytes);
            peek(&object);
        }
    }
}
