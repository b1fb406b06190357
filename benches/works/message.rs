//! Messages as they cross an edge, and streams of them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::BytesMut;
use tonegate::sim::frame::{Frame, TEXT};

/// Clients' frames are masked with this.
pub(crate) const KEY: Option<[u8; 4]> = Some([0x12, 0x34, 0x56, 0x78]);
/// Services' are not.
pub(crate) const PLAIN: Option<[u8; 4]> = None;
/// Who calls.
pub(crate) const ANI: &str = "+15551234567";
/// What ACS says first.
pub(crate) const METADATA: &str = r#"{"kind":"AudioMetadata","audioMetadata":{"encoding":"PCM","sampleRate":24000,"channels":1,"length":960}}"#;
/// What a service says, too, but seldom.
pub(crate) const SPEECH_STARTED: &str = r#"{"type":"input_audio_buffer.speech_started","event_id":"event_BJHsM2FA","audio_start_ms":1200,"item_id":"item_BJHsL7fT"}"#;

/// Samples of 20 ms and of 200 ms at 24 kHz.
pub(crate) const SAMPLES_UP: usize = 480;
const SAMPLES_DOWN: usize = 4800;

/// White noise at half of full scale, the dearest that can be listened to: it never ends.
pub(crate) fn noise() -> impl Iterator<Item = i16> {
    let mut state = 1_u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u16 as i16 / 2
    })
}

/// Base64 of PCM16.
pub(crate) fn base64(samples: impl Iterator<Item = i16>) -> String {
    BASE64_STANDARD.encode(samples.flat_map(i16::to_le_bytes).collect::<Vec<u8>>())
}

/// 20 ms of a caller, as ACS sends them.
pub(crate) fn audio_data() -> String {
    format!(
        r#"{{"kind":"AudioData","audioData":{{"timestamp":"2026-05-04T10:00:00.020Z","participantRawID":"4:{ANI}","data":"{}","silent":false}}}}"#,
        base64(noise().take(SAMPLES_UP))
    )
}

/// An append of this audio.
pub(crate) fn append(base64: &str) -> String {
    format!(r#"{{"type":"input_audio_buffer.append","audio":"{base64}"}}"#)
}

/// So many appends of 20 ms, none like another.
pub(crate) fn appends(count: usize) -> Vec<String> {
    let mut noise = noise();
    (0..count)
        .map(|_| append(&base64(noise.by_ref().take(SAMPLES_UP))))
        .collect()
}

/// 200 ms of a service's answer.
pub(crate) fn delta() -> String {
    delta_of("resp_BJHsLZ2D")
}

fn delta_of(response: &str) -> String {
    format!(
        r#"{{"type":"response.audio.delta","event_id":"event_BJHsM2F9","response_id":"{response}","item_id":"item_BJHsL7fT","output_index":0,"content_index":0,"delta":"{}"}}"#,
        base64(noise().take(SAMPLES_DOWN))
    )
}

/// Deltas of an answer before a caller speaks into it.
pub(crate) const DELTAS_BEFORE_SPEECH: usize = 4;

/// Two answers, each interrupted by the caller. Two, because what still comes of an interrupted one is
/// not heard: the next one needs another name.
pub(crate) fn interrupted_answers() -> Vec<String> {
    let answer = |response: &str| {
        let created = format!(r#"{{"type":"response.created","response":{{"id":"{response}"}}}}"#);
        let mut messages = vec![created];
        messages.extend(vec![delta_of(response); DELTAS_BEFORE_SPEECH]);
        messages.push(SPEECH_STARTED.to_owned());
        messages
    };
    [answer("resp_BJHsLZ2D"), answer("resp_BJHsLZ2E")].concat()
}

/// The same for ACS.
pub(crate) fn play() -> String {
    format!(
        r#"{{"Kind":"AudioData","AudioData":{{"Data":"{}"}},"StopAudio":null}}"#,
        base64(noise().take(SAMPLES_DOWN))
    )
}

/// A client's message of `length` bytes that is no audio.
pub(crate) fn text(length: usize) -> String {
    let start = r#"{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":""#;
    let end = r#""}]}}"#;
    let words = "It rained, and nobody had brought a coat. ".chars().cycle();
    let room = length.saturating_sub(start.len() + end.len());
    format!("{start}{}{end}", words.take(room).collect::<String>())
}

/// A whole text message on the wire.
pub(crate) fn frame(text: &str, key: Option<[u8; 4]>) -> BytesMut {
    stream(std::iter::once(text), key)
}

/// Messages one after the other on the wire.
pub(crate) fn stream<'a>(
    messages: impl IntoIterator<Item = &'a str>,
    key: Option<[u8; 4]>,
) -> BytesMut {
    let mut wire = BytesMut::new();
    for message in messages {
        Frame::whole(TEXT, message.to_owned()).encode(key, &mut wire);
    }
    wire
}
