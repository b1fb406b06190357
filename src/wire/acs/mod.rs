//! Media messages of Azure Communication Services (*Audio streaming concept*, and what the .NET,
//! Python and JavaScript SDKs of Call Automation read and write).
//!
//! Both directions are JSON text messages. ACS sends `AudioMetadata` first, then 50 `AudioData` a
//! second, and `DtmfData` where it was asked for. It takes `AudioData` and `StopAudio`. The SDKs
//! write the keys in three casings, and key order is not stable, so that the reader takes any of
//! them; the writer has the form of Microsoft's Python samples, which is the shortest.

mod read;

use std::fmt;

pub use self::read::read;
pub use super::json::{Raw, Unreadable};
use super::voice_live::{Kind, PEEK};

/// What ACS says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// How the audio that follows is written.
    Metadata(Metadata),
    Audio(Audio<'a>),
    Dtmf(Dtmf<'a>),
    /// What was queued is not to be played. ACS only takes it; a relay may send it.
    StopAudio,
    /// Any other kind: marks, transcription, what is yet to come. Counted, never an error.
    Unknown,
}

/// How audio is written. `None`: nothing is said, or something that is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Samples a second.
    pub rate: Option<u32>,
    pub channels: Option<u32>,
    /// Bytes in the audio of one message: a hint, the audio itself counts.
    pub length: Option<u32>,
    pub encoding: Encoding,
}

/// What `encoding` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// PCM16, little-endian; also where nothing is said, since ACS has no other.
    Pcm,
    Other,
}

/// Audio of one participant, or of all of them mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audio<'a> {
    /// Base64 of PCM16, little-endian, mono; it may be empty.
    pub data: Raw<'a>,
    /// The raw identifier of who speaks, such as `4:+15551234567`; mixed audio may have none.
    pub participant: Option<Raw<'a>>,
    /// What ACS takes for silence; the audio is there all the same. Missing is `false`.
    pub silent: bool,
}

/// A key press that came as an RFC 4733 event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtmf<'a> {
    /// `None`: it is none of the sixteen keys.
    pub key: Option<Key>,
    pub participant: Option<Raw<'a>>,
}

/// The label of a key: `0` to `9`, `*`, `#`, `A` to `D`. It may be part of a code, so that `Debug`
/// does not tell it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(u8);

impl Key {
    pub fn as_char(self) -> char {
        char::from(self.0)
    }

    /// The key by its character or by its name, in any case: Call Automation writes names.
    pub(in crate::wire) fn named(name: &[u8]) -> Option<Key> {
        const NAMES: [(&[u8], u8); 14] = [
            (b"zero", b'0'),
            (b"one", b'1'),
            (b"two", b'2'),
            (b"three", b'3'),
            (b"four", b'4'),
            (b"five", b'5'),
            (b"six", b'6'),
            (b"seven", b'7'),
            (b"eight", b'8'),
            (b"nine", b'9'),
            (b"asterisk", b'*'),
            (b"star", b'*'),
            (b"pound", b'#'),
            (b"hash", b'#'),
        ];
        if let [label @ (b'0'..=b'9' | b'*' | b'#' | b'a'..=b'd' | b'A'..=b'D')] = name {
            return Some(Key(label.to_ascii_uppercase()));
        }
        let is_it = |(word, _): &&(&[u8], u8)| word.eq_ignore_ascii_case(name);
        NAMES.iter().find(is_it).map(|&(_, label)| Key(label))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(_)")
    }
}

/// Tells audio from the rest by the first bytes of a message, at most [`PEEK`], for those who only
/// count: the first key tells, whichever ACS writes first. `None`: these bytes do not tell.
pub fn peek(prefix: &[u8]) -> Option<Kind> {
    let mut strings = prefix.split(|&byte| byte == b'"');
    let (_, key) = (strings.next()?, strings.next()?);
    if key.eq_ignore_ascii_case(b"audioData") {
        return Some(Kind::Audio);
    }
    if !key.eq_ignore_ascii_case(b"kind") {
        // Without its last quote it may still become one of them.
        return (strings.next().is_some() || prefix.len() >= PEEK).then_some(Kind::Other);
    }
    let (_, value) = (strings.next()?, strings.next()?);
    strings.next()?;
    Some(match value.eq_ignore_ascii_case(b"audioData") {
        true => Kind::Audio,
        false => Kind::Other,
    })
}

/// What stands before the base64 of audio that ACS is to play.
pub const AUDIO_PREFIX: &[u8] = br#"{"Kind":"AudioData","AudioData":{"Data":""#;
/// What stands behind it.
pub const AUDIO_SUFFIX: &[u8] = br#""},"StopAudio":null}"#;
/// What ACS has queued is not to be played.
pub const STOP_AUDIO: &[u8] = br#"{"Kind":"StopAudio","AudioData":null,"StopAudio":{}}"#;

/// Base64 characters in one message to ACS at the most: 36,000 bytes, 750 ms at 24 kHz. The concept
/// page speaks of packets of 64 kB without saying whose; this stays below with the envelope, and
/// splits neither a group of base64 nor a sample.
pub const DATA_MAX: usize = 48_000;
const _: () = assert!(DATA_MAX.is_multiple_of(8));
const _: () = assert!(DATA_MAX + AUDIO_PREFIX.len() + AUDIO_SUFFIX.len() < 64 * 1024);

#[cfg(test)]
mod tests;
