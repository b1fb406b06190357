//! The messages that ACS receives, read as strictly as they can be.
//!
//! Keys and kinds count in any case, because the three SDKs of Microsoft's write three: .NET and
//! Python `AudioData`, JavaScript `audioData`. Owns the JSON and the closed list of what may be
//! wrong with it. Refuses to know sockets. What can be understood is, whatever is wrong beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The largest message taken without complaint: the "64 Kbytes" of the documentation.
pub const MESSAGE_MAX: usize = 64 * 1024;

/// What the edge did that the service would not expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// A frame or a message broke RFC 6455.
    Frame,
    /// A pong that nothing asked for.
    Pong,
    /// A binary message.
    Binary,
    /// A message of more than [`MESSAGE_MAX`] bytes.
    TooLarge,
    /// A text that is not one JSON object.
    Json,
    /// A member that is there twice, in whatever case.
    DuplicateMember,
    /// A member that no SDK writes.
    UnknownMember,
    /// `kind` is missing, or neither `AudioData` nor `StopAudio`.
    Kind,
    /// `audioData` is not what goes with the kind.
    AudioData,
    /// `stopAudio` is not what goes with the kind.
    StopAudio,
    /// `data` is not base64 as RFC 4648 section 4 has it, padding included.
    Base64,
    /// `data` ends in the middle of a sample.
    HalfSample,
    /// `data` has no sample.
    NoSample,
}

/// What the edge said.
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    /// Samples to play.
    Audio(Vec<i16>),
    /// Drop what has not been played.
    Stop,
}

impl fmt::Debug for Message {
    /// Tells how much audio, not which.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audio(samples) => write!(formatter, "Audio({} samples)", samples.len()),
            Self::Stop => formatter.write_str("Stop"),
        }
    }
}

/// Reads one text message: what it says, if that can be told, and everything wrong with it.
#[must_use]
pub fn read(text: &str) -> (Option<Message>, Vec<Violation>) {
    let mut wrong = Vec::new();
    if text.len() > MESSAGE_MAX {
        wrong.push(Violation::TooLarge);
    }
    let message = match serde_json::from_str(text) {
        Ok(Node::Object(members)) => message(&members, &mut wrong),
        Ok(Node::Null | Node::Flag | Node::Text(_) | Node::Other) | Err(_) => {
            wrong.push(Violation::Json);
            None
        }
    };
    (message, wrong)
}

fn message(members: &[(String, Node)], wrong: &mut Vec<Violation>) -> Option<Message> {
    let [kind, audio, stop] = pick(members, ["kind", "audioData", "stopAudio"], wrong);
    match kind {
        Some(Node::Text(kind)) if kind.eq_ignore_ascii_case("AudioData") => {
            // The JavaScript SDK writes an empty `stopAudio` beside audio.
            if !matches!(stop, None | Some(Node::Null)) && !is_empty_object(stop) {
                wrong.push(Violation::StopAudio);
            }
            let Some(Node::Object(audio)) = audio else {
                wrong.push(Violation::AudioData);
                return None;
            };
            samples(audio, wrong).map(Message::Audio)
        }
        Some(Node::Text(kind)) if kind.eq_ignore_ascii_case("StopAudio") => {
            if !matches!(audio, None | Some(Node::Null)) {
                wrong.push(Violation::AudioData);
            }
            if !is_empty_object(stop) {
                wrong.push(Violation::StopAudio);
            }
            Some(Message::Stop)
        }
        Some(_) | None => {
            wrong.push(Violation::Kind);
            None
        }
    }
}

fn samples(members: &[(String, Node)], wrong: &mut Vec<Violation>) -> Option<Vec<i16>> {
    let names = ["data", "timestamp", "participant", "isSilent"];
    let [data, timestamp, _, silent] = pick(members, names, wrong);
    let typed = matches!(timestamp, None | Some(Node::Null | Node::Text(_)))
        && matches!(silent, None | Some(Node::Null | Node::Flag));
    let Some(Node::Text(data)) = data else {
        wrong.push(Violation::AudioData);
        return None;
    };
    if !typed {
        wrong.push(Violation::AudioData);
    }
    let Ok(bytes) = STANDARD.decode(data) else {
        wrong.push(Violation::Base64);
        return None;
    };
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        wrong.push(Violation::HalfSample);
        return None;
    }
    let samples: Vec<i16> = pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
    if samples.is_empty() {
        wrong.push(Violation::NoSample);
    }
    Some(samples)
}

/// The members of these names, in any case.
fn pick<'a, const N: usize>(
    members: &'a [(String, Node)],
    names: [&str; N],
    wrong: &mut Vec<Violation>,
) -> [Option<&'a Node>; N] {
    let mut found = [None; N];
    for (written, node) in members {
        let at = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(written));
        match at {
            Some(at) if found[at].is_some() => wrong.push(Violation::DuplicateMember),
            Some(at) => found[at] = Some(node),
            None => wrong.push(Violation::UnknownMember),
        }
    }
    found
}

fn is_empty_object(node: Option<&Node>) -> bool {
    matches!(node, Some(Node::Object(members)) if members.is_empty())
}

/// JSON that keeps members given twice, which a map would hide.
enum Node {
    Null,
    Flag,
    Text(String),
    Object(Vec<(String, Node)>),
    /// A number or an array: nothing that any message has.
    Other,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Nodes;
        impl<'de> Visitor<'de> for Nodes {
            type Value = Node;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
                Ok(Node::Flag)
            }

            fn visit_str<E>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
                Ok(Node::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
                Ok(Node::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
                Ok(Node::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                while items.next_element::<Node>()?.is_some() {}
                Ok(Node::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = entries.next_entry()? {
                    members.push(member);
                }
                Ok(Node::Object(members))
            }
        }
        deserializer.deserialize_any(Nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_two() -> Option<Message> {
        Some(Message::Audio(vec![1, 2]))
    }

    #[test]
    fn a01_all_three_casings_are_read() {
        let audio = [
            // .NET
            r#"{"Kind":"AudioData","AudioData":{"Data":"AQACAA==","Timestamp":"0001-01-01T00:00:00+00:00","Participant":null,"IsSilent":false},"StopAudio":null}"#,
            // Python, the accelerator
            r#"{"Kind":"AudioData","AudioData":{"Data":"AQACAA=="},"StopAudio":null}"#,
            // JavaScript
            r#"{"kind":"audioData","audioData":{"data":"AQACAA==","isSilent":false},"stopAudio":{}}"#,
            // a sample that mixes them, and escapes
            r#"{"Kind":"AudioData","AudioData":{"data":"AQACA\u0041=="},"StopAudio":null}"#,
        ];
        for text in audio {
            assert_eq!(read(text), (one_two(), vec![]), "{text}");
        }
        for text in [
            r#"{"Kind":"StopAudio","AudioData":null,"StopAudio":{}}"#,
            r#"{"kind":"stopAudio","stopAudio":{}}"#,
        ] {
            assert_eq!(read(text), (Some(Message::Stop), vec![]), "{text}");
        }
    }

    #[test]
    fn a01_what_is_no_message_is_named() {
        use Violation::*;
        let cases: [(&str, &[Violation]); 7] = [
            ("", &[Json]),
            ("[]", &[Json]),
            (r#"{"Kind":"StopAudio""#, &[Json]),
            (r#"{"Kind":"StopAudio","StopAudio":{}}x"#, &[Json]),
            ("{}", &[Kind]),
            (r#"{"Kind":7}"#, &[Kind]),
            (
                r#"{"Kind":"Transcription","Text":"x"}"#,
                &[UnknownMember, Kind],
            ),
        ];
        for (text, wrong) in cases {
            assert_eq!(read(text), (None, wrong.to_vec()), "{text}");
        }
    }

    #[test]
    fn a01_what_is_wrong_is_named_and_what_can_be_understood_is() {
        use Violation::*;
        let cases: [(&str, Option<Message>, &[Violation]); 13] = [
            (
                r#"{"Kind":"StopAudio","kind":"StopAudio","StopAudio":{}}"#,
                Some(Message::Stop),
                &[DuplicateMember],
            ),
            (
                r#"{"Kind":"StopAudio","StopAudio":{},"Mark":[{"a":1.5}]}"#,
                Some(Message::Stop),
                &[UnknownMember],
            ),
            (r#"{"Kind":"StopAudio"}"#, Some(Message::Stop), &[StopAudio]),
            (
                r#"{"Kind":"StopAudio","StopAudio":null}"#,
                Some(Message::Stop),
                &[StopAudio],
            ),
            (
                r#"{"Kind":"StopAudio","StopAudio":{"A":1}}"#,
                Some(Message::Stop),
                &[StopAudio],
            ),
            (
                r#"{"Kind":"StopAudio","AudioData":{"Data":""},"StopAudio":{}}"#,
                Some(Message::Stop),
                &[AudioData],
            ),
            (
                r#"{"Kind":"AudioData","AudioData":"AQACAA=="}"#,
                None,
                &[AudioData],
            ),
            (
                r#"{"Kind":"AudioData","AudioData":{"Data":null}}"#,
                None,
                &[AudioData],
            ),
            (
                r#"{"Kind":"AudioData","AudioData":{"Data":"AQACAA==","IsSilent":0}}"#,
                one_two(),
                &[AudioData],
            ),
            (
                r#"{"Kind":"AudioData","AudioData":{"Data":"AQACAA=="},"StopAudio":true}"#,
                one_two(),
                &[StopAudio],
            ),
            (
                r#"{"Kind":"AudioData","AudioData":{"Data":"AQACAA"}}"#,
                None,
                &[Base64],
            ),
            (
                r#"{"Kind":"AudioData","AudioData":{"Data":"AQAC"}}"#,
                None,
                &[HalfSample],
            ),
            (
                r#"{"Kind":"AudioData","AudioData":{"Data":""}}"#,
                Some(Message::Audio(vec![])),
                &[NoSample],
            ),
        ];
        for (text, expected, wrong) in cases {
            assert_eq!(read(text), (expected, wrong.to_vec()), "{text}");
        }
    }

    #[test]
    fn a01_a_message_may_have_64_kib_and_no_byte_more() {
        let of = |spaces: usize| {
            let text = r#"{"Kind":"StopAudio","StopAudio":{}}"#;
            format!("{text}{}", " ".repeat(spaces - text.len()))
        };
        assert_eq!(read(&of(MESSAGE_MAX)), (Some(Message::Stop), vec![]));
        let over = (Some(Message::Stop), vec![Violation::TooLarge]);
        assert_eq!(read(&of(MESSAGE_MAX + 1)), over);
    }

    #[test]
    fn what_is_said_is_not_printed() {
        assert_eq!(format!("{:?}", one_two().unwrap()), "Audio(2 samples)");
    }
}
