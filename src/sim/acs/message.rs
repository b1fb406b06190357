//! The messages that ACS sends, in its words.
//!
//! Owns their JSON: camelCase keys in no stable order, and what serializers are free to do. Refuses
//! to know when they are sent. Microsoft's documentation of audio streaming gives the shapes.

use super::line::FRAME;
use crate::audio::SampleRate;
use crate::dtmf::Digit;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::{Duration, SystemTime};

/// What the service does as it likes, and its readers must bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Members of objects change their order from message to message, which is documented.
    pub reorder: bool,
    /// `+` in strings is written `\u002B`, as System.Text.Json does by default.
    pub escape_plus: bool,
    /// `/` in strings is written `\/`.
    pub escape_slash: bool,
    /// What `silent` says.
    pub silent: Silent,
    /// `*` and `#` are told as `asterisk` and `pound`.
    pub words: bool,
    /// `DtmfData` tells when and who, as the .NET SDK reads it.
    pub told_by: bool,
    /// Before each so many frames comes a message of a kind that nobody has heard of.
    pub unknown_every: Option<u32>,
}

/// What the flag `silent` says of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silent {
    /// Whether all its samples are zero.
    AsHeard,
    /// Nothing: it is missing.
    Missing,
    /// That it is, whatever is in it: a threshold that is too high.
    Always,
}

impl Default for Manner {
    /// Nothing but what is documented.
    fn default() -> Self {
        Self {
            reorder: true,
            escape_plus: false,
            escape_slash: false,
            silent: Silent::AsHeard,
            words: false,
            told_by: false,
            unknown_every: None,
        }
    }
}

/// The pen.
pub(super) struct Writer {
    manner: Manner,
    subscription: String,
    began: SystemTime,
    written: u32,
}

impl Writer {
    /// Frame 0 begins at `began`.
    pub(super) fn new(manner: Manner, subscription: String, began: SystemTime) -> Self {
        Self {
            manner,
            subscription,
            began,
            written: 0,
        }
    }

    /// The first message. `length` is in bytes.
    pub(super) fn metadata(&mut self, rate: SampleRate) -> String {
        let length = rate.samples_in(FRAME) * 2;
        let body = [
            ("subscriptionId", self.text(&self.subscription)),
            ("encoding", self.text("PCM")),
            ("sampleRate", rate.hz().to_string()),
            ("channels", "1".to_owned()),
            ("length", length.to_string()),
        ];
        self.message("AudioMetadata", "audioMetadata", &body)
    }

    /// Frame `number` of a participant, who may go without a name.
    pub(super) fn audio(&mut self, number: u32, who: Option<&str>, samples: &[i16]) -> String {
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        let mut body = vec![("timestamp", self.time(number))];
        body.extend(who.map(|who| ("participantRawID", self.text(who))));
        body.push(("data", self.text(&STANDARD.encode(bytes))));
        let silent = match self.manner.silent {
            Silent::AsHeard => Some(samples.iter().all(|&sample| sample == 0)),
            Silent::Missing => None,
            Silent::Always => Some(true),
        };
        body.extend(silent.map(|silent| ("silent", silent.to_string())));
        self.message("AudioData", "audioData", &body)
    }

    /// A key that a telephone event told, before frame `number`.
    pub(super) fn key(&mut self, number: u32, who: &str, digit: Digit) -> String {
        let label = match digit.as_char() {
            '*' if self.manner.words => "asterisk".to_owned(),
            '#' if self.manner.words => "pound".to_owned(),
            label => label.to_string(),
        };
        let mut body = vec![("data", self.text(&label))];
        if self.manner.told_by {
            body.push(("timestamp", self.time(number)));
            body.push(("participantRawID", self.text(who)));
        }
        self.message("DtmfData", "dtmfData", &body)
    }

    /// A message of no known kind, where one is due before frame `number`. They take turns: one of
    /// .NET's, one of its enum only, one of the future with a known word inside.
    pub(super) fn unknown(&mut self, number: u32) -> Option<String> {
        let every = self.manner.unknown_every.filter(|&every| every > 0)?;
        if !number.is_multiple_of(every) {
            return None;
        }
        Some(match number / every % 3 {
            0 => {
                let body = [("id", self.text("m1")), ("status", self.text("Completed"))];
                self.message("MarkData", "markData", &body)
            }
            1 => {
                let body = [("subscriptionId", self.text(&self.subscription))];
                self.message("DtmfMetadata", "dtmfMetadata", &body)
            }
            _ => {
                let body = [("audioData", r#"{"data":"AAAA"}"#.to_owned())];
                self.message("VideoData", "videoData", &body)
            }
        })
    }

    fn message(&mut self, kind: &str, name: &str, body: &[(&str, String)]) -> String {
        let turn = if self.manner.reorder { self.written } else { 0 };
        self.written = self.written.wrapping_add(1);
        // The outer order changes with every fifth message, so that each meets each inner one.
        let body = object(body, turn as usize);
        object(
            &[("kind", self.text(kind)), (name, body)],
            turn as usize / 5,
        )
    }

    /// ISO 8601, UTC, milliseconds.
    fn time(&self, number: u32) -> String {
        let at = self.began + at(number);
        self.text(&humantime::format_rfc3339_millis(at).to_string())
    }

    /// A JSON string.
    fn text(&self, value: &str) -> String {
        let mut text = serde_json::Value::from(value).to_string();
        if self.manner.escape_plus {
            text = text.replace('+', "\\u002B");
        }
        if self.manner.escape_slash {
            text = text.replace('/', "\\/");
        }
        text
    }
}

/// When frame `number` begins.
pub(super) fn at(number: u32) -> Duration {
    FRAME * number
}

/// A JSON object with its members turned round by so many places.
fn object(members: &[(&str, String)], turn: usize) -> String {
    let count = members.len();
    let ordered = (0..count).map(|at| &members[(at + turn) % count]);
    let written: Vec<String> = ordered
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", written.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::collections::BTreeSet;

    fn writer(manner: Manner) -> Writer {
        // 2026-05-04T10:00:00Z.
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_777_888_800);
        Writer::new(manner, "0a0a0a0a-1111-4222-8333-444444444444".into(), began)
    }

    fn read(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a01_messages_have_the_documented_shapes() {
        let mut writer = writer(Manner::default());
        for (rate, hz, length) in [
            (SampleRate::Hz16000, 16_000, 640),
            (SampleRate::Hz24000, 24_000, 960),
        ] {
            assert_eq!(
                read(&writer.metadata(rate)),
                json!({"kind": "AudioMetadata", "audioMetadata": {
                    "subscriptionId": "0a0a0a0a-1111-4222-8333-444444444444",
                    "encoding": "PCM", "sampleRate": hz, "channels": 1, "length": length,
                }})
            );
        }
        assert_eq!(
            read(&writer.audio(1, Some("4:+15551234567"), &[1, -1, 0])),
            json!({"kind": "AudioData", "audioData": {
                "timestamp": "2026-05-04T10:00:00.020Z", "participantRawID": "4:+15551234567",
                "data": "AQD//wAA", "silent": false,
            }})
        );
        assert_eq!(
            read(&writer.audio(51, None, &[0, 0])),
            json!({"kind": "AudioData", "audioData": {
                "timestamp": "2026-05-04T10:00:01.020Z", "data": "AAAAAA==", "silent": true,
            }})
        );
        let three = Digit::from_char('3').unwrap();
        assert_eq!(
            read(&writer.key(0, "4:+1", three)),
            json!({"kind": "DtmfData", "dtmfData": {"data": "3"}})
        );
        assert_eq!(writer.unknown(0), None);
    }

    #[test]
    fn a01_what_serializers_may_do_changes_no_value() {
        let manner = Manner {
            escape_plus: true,
            escape_slash: true,
            ..Manner::default()
        };
        // Base64 of these is 62s and 63s: nothing but + and /.
        let samples = [-1025, -16_385, -1, i16::from_le_bytes([0xef, 0xbe])];
        let (mut plain, mut escaped) = (writer(Manner::default()), writer(manner));
        let plain = plain.audio(0, Some("4:+15551234567"), &samples);
        let escaped = escaped.audio(0, Some("4:+15551234567"), &samples);
        assert!(plain.contains('+') && plain.contains('/'), "{plain}");
        assert!(!escaped.contains('+') && !escaped.replace("\\/", "").contains('/'));
        assert!(escaped.contains("4:\\u002B1555"));
        assert_eq!(read(&plain), read(&escaped));
    }

    #[test]
    fn a01_the_order_of_keys_changes_unless_it_is_told_not_to() {
        for (reorder, orders) in [(true, 8), (false, 1)] {
            let mut writer = writer(Manner {
                reorder,
                ..Manner::default()
            });
            let (mut values, mut written) = (BTreeSet::new(), BTreeSet::new());
            for _ in 0..100 {
                let text = writer.audio(0, Some("4:+1"), &[1]);
                values.insert(read(&text).to_string());
                written.insert(text);
            }
            assert_eq!((values.len(), written.len()), (1, orders));
        }
    }

    #[test]
    fn a01_flags_words_and_unknown_kinds_are_as_told() {
        let mut always = writer(Manner {
            silent: Silent::Always,
            words: true,
            told_by: true,
            unknown_every: Some(10),
            ..Manner::default()
        });
        let mut missing = writer(Manner {
            silent: Silent::Missing,
            ..Manner::default()
        });
        let silent = |text: String| read(&text)["audioData"].get("silent").cloned();
        assert_eq!(silent(always.audio(0, None, &[5])), Some(json!(true)));
        assert_eq!(silent(missing.audio(0, None, &[5])), None);
        for (key, word) in [('#', "pound"), ('*', "asterisk"), ('7', "7")] {
            let told = read(&always.key(2, "4:+1", Digit::from_char(key).unwrap()));
            let expected = json!({"data": word, "timestamp": "2026-05-04T10:00:00.040Z",
                "participantRawID": "4:+1"});
            assert_eq!(told["dtmfData"], expected);
        }
        let kinds: Vec<Value> = (0..30)
            .filter_map(|number| always.unknown(number))
            .map(|text| read(&text)["kind"].clone())
            .collect();
        assert_eq!(kinds, ["MarkData", "DtmfMetadata", "VideoData"]);
    }
}
