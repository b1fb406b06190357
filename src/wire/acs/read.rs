//! The reader: one pass over one whole message, nothing copied.
//!
//! Keys and kinds are taken in any case and any order, escaped or not. A member that the reader
//! asks for and that is there twice makes the message unreadable, also where the two differ in case
//! only: readers disagree on which one counts.

use super::super::json::{Raw, Reader, Unreadable, once};
use super::{Audio, Dtmf, Encoding, Key, Message, Metadata};

/// Reads one message.
///
/// ```
/// use tonegate::wire::acs::{self, Message};
///
/// let text = br#"{"kind":"AudioData","audioData":{"data":"AAAA","silent":false}}"#;
/// let Ok(Message::Audio(audio)) = acs::read(text) else { panic!() };
/// assert_eq!(audio.data.text(), b"AAAA");
/// ```
pub fn read(text: &[u8]) -> Result<Message<'_>, Unreadable> {
    let mut reader = Reader::new(text);
    let mut said = Said::default();
    reader.members(|reader, key| match key.named(Member::of)? {
        Member::Kind => once(&mut said.kind, reader.string()?.named(Kind::of)?),
        Member::Audio => once(&mut said.audio, object(reader, audio)?),
        Member::Dtmf => once(&mut said.dtmf, object(reader, dtmf)?),
        Member::Metadata => once(&mut said.metadata, object(reader, metadata)?),
        Member::Other => reader.skip(),
    })?;
    reader.end()?;
    said.message()
}

/// Whether `name` is `ours` in any case; the usual one first, which is one comparison.
#[inline]
fn is<const N: usize>(name: &[u8], ours: &[u8; N]) -> bool {
    name == ours || name.eq_ignore_ascii_case(ours)
}

/// The members of a message that are of use.
enum Member {
    Kind,
    Audio,
    Dtmf,
    Metadata,
    Other,
}

impl Member {
    fn of(name: &[u8]) -> Member {
        match name.len() {
            4 if is(name, b"kind") => Member::Kind,
            9 if is(name, b"audioData") => Member::Audio,
            8 if is(name, b"dtmfData") => Member::Dtmf,
            13 if is(name, b"audioMetadata") => Member::Metadata,
            _ => Member::Other,
        }
    }
}

/// What a message says it is.
enum Kind {
    Audio,
    Dtmf,
    Metadata,
    Stop,
    Unknown,
}

impl Kind {
    fn of(name: &[u8]) -> Kind {
        match name.len() {
            9 if is(name, b"AudioData") => Kind::Audio,
            8 if is(name, b"DtmfData") => Kind::Dtmf,
            13 if is(name, b"AudioMetadata") => Kind::Metadata,
            9 if is(name, b"StopAudio") => Kind::Stop,
            _ => Kind::Unknown,
        }
    }
}

/// What the message has; the inner option of each is `None` where there is nothing that can be read.
#[derive(Default)]
struct Said<'a> {
    kind: Option<Kind>,
    audio: Option<Option<Audio<'a>>>,
    dtmf: Option<Option<Dtmf<'a>>>,
    metadata: Option<Option<Metadata>>,
}

impl<'a> Said<'a> {
    /// The kind decides what counts: SDKs write empty members of other kinds too.
    #[inline]
    fn message(self) -> Result<Message<'a>, Unreadable> {
        match self.kind.ok_or(Unreadable)? {
            Kind::Audio => self.audio.flatten().map(Message::Audio),
            Kind::Dtmf => self.dtmf.flatten().map(Message::Dtmf),
            Kind::Metadata => self.metadata.flatten().map(Message::Metadata),
            Kind::Stop => Some(Message::StopAudio),
            Kind::Unknown => Some(Message::Unknown),
        }
        .ok_or(Unreadable)
    }
}

/// Reads an object, or skips what is none.
#[inline]
fn object<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<Option<T>, Unreadable>,
) -> Result<Option<T>, Unreadable> {
    if reader.peek() == Some(b'{') {
        return read(reader);
    }
    reader.skip()?;
    Ok(None)
}

/// The members of `audioData`.
enum AudioMember {
    Data,
    Participant,
    Silent,
    Other,
}

impl AudioMember {
    fn of(name: &[u8]) -> AudioMember {
        match name.len() {
            4 if is(name, b"data") => AudioMember::Data,
            16 if is(name, b"participantRawID") => AudioMember::Participant,
            6 if is(name, b"silent") => AudioMember::Silent,
            _ => AudioMember::Other,
        }
    }
}

/// `None`: its data is neither a string nor null.
#[inline]
fn audio<'a>(reader: &mut Reader<'a>) -> Result<Option<Audio<'a>>, Unreadable> {
    let (mut data, mut participant, mut silent) = (None, None, None);
    reader.members(|reader, key| match key.named(AudioMember::of)? {
        AudioMember::Data => once(&mut data, string_or_null(reader)?),
        AudioMember::Participant => once(&mut participant, reader.string_or_skip()?),
        AudioMember::Silent => {
            let value = reader.scalar_or_skip()?;
            once(&mut silent, value == Some(b"true"))
        }
        AudioMember::Other => reader.skip(),
    })?;
    Ok(data.unwrap_or(Some(Raw::EMPTY)).map(|data| Audio {
        data,
        participant: participant.flatten(),
        silent: silent.unwrap_or(false),
    }))
}

/// `None`: there is a string neither for the key nor for nothing.
fn dtmf<'a>(reader: &mut Reader<'a>) -> Result<Option<Dtmf<'a>>, Unreadable> {
    let (mut data, mut participant) = (None, None);
    reader.members(|reader, key| {
        if key.is_in_any_case(b"data") {
            once(&mut data, string_or_null(reader)?)
        } else if key.is_in_any_case(b"participantRawID") {
            once(&mut participant, reader.string_or_skip()?)
        } else {
            key.unescape().ok_or(Unreadable)?;
            reader.skip()
        }
    })?;
    Ok(data.unwrap_or(Some(Raw::EMPTY)).map(|data| Dtmf {
        key: data.unescape().and_then(|name| Key::named(&name)),
        participant: participant.flatten(),
    }))
}

fn metadata(reader: &mut Reader<'_>) -> Result<Option<Metadata>, Unreadable> {
    let (mut rate, mut channels, mut length, mut encoding) = (None, None, None, None);
    reader.members(|reader, key| {
        if key.is_in_any_case(b"sampleRate") {
            once(&mut rate, number(reader)?)
        } else if key.is_in_any_case(b"channels") {
            once(&mut channels, number(reader)?)
        } else if key.is_in_any_case(b"length") {
            once(&mut length, number(reader)?)
        } else if key.is_in_any_case(b"encoding") {
            let name = string_or_null(reader)?;
            let pcm = name.is_some_and(|n| n == Raw::EMPTY || n.is_in_any_case(b"PCM"));
            let other = [Encoding::Other, Encoding::Pcm];
            once(&mut encoding, other[usize::from(pcm)])
        } else {
            key.unescape().ok_or(Unreadable)?;
            reader.skip()
        }
    })?;
    Ok(Some(Metadata {
        rate: rate.flatten(),
        channels: channels.flatten(),
        length: length.flatten(),
        encoding: encoding.unwrap_or(Encoding::Pcm),
    }))
}

/// A string, nothing for null; `None` for anything else.
#[inline]
fn string_or_null<'a>(reader: &mut Reader<'a>) -> Result<Option<Raw<'a>>, Unreadable> {
    if reader.peek() == Some(b'"') {
        return reader.string().map(Some);
    }
    Ok((reader.scalar_or_skip()? == Some(b"null")).then_some(Raw::EMPTY))
}

fn number(reader: &mut Reader<'_>) -> Result<Option<u32>, Unreadable> {
    let text = reader.scalar_or_skip()?;
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    Ok(text.and_then(|text| text.parse().ok()))
}
