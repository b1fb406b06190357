//! The kind that a message says it is of, where that is known: messages of Voice Live, of OpenAI and of
//! ACS. What else a peer writes there could be anything, and is nobody's to see.

use super::json::{Raw, Reader, Unreadable};

/// A message of text that is of no kind that is known.
pub const OTHER: &str = "other";
/// A message of bytes.
pub const BINARY: &str = "binary";
/// What tells of a key that was pressed.
pub const DTMF: &str = "DtmfData";
const APPEND: &str = "input_audio_buffer.append";

/// What `type` may say, sorted.
const TYPES: [&str; 86] = [
    "conversation.item.added",
    "conversation.item.create",
    "conversation.item.created",
    "conversation.item.delete",
    "conversation.item.deleted",
    "conversation.item.done",
    "conversation.item.input_audio_transcription.completed",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.failed",
    "conversation.item.retrieve",
    "conversation.item.retrieved",
    "conversation.item.truncate",
    "conversation.item.truncated",
    "error",
    "input_audio.clear",
    "input_audio.turn.append",
    "input_audio.turn.cancel",
    "input_audio.turn.end",
    "input_audio.turn.start",
    "input_audio_buffer.append",
    "input_audio_buffer.clear",
    "input_audio_buffer.cleared",
    "input_audio_buffer.commit",
    "input_audio_buffer.committed",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.timeout_triggered",
    "input_text.delta",
    "input_text.done",
    "mcp_approval_response",
    "mcp_list_tools.completed",
    "mcp_list_tools.failed",
    "mcp_list_tools.in_progress",
    "output_audio_buffer.clear",
    "output_audio_buffer.cleared",
    "rate_limits.updated",
    "response.animation_blendshapes.delta",
    "response.animation_blendshapes.done",
    "response.animation_viseme.delta",
    "response.animation_viseme.done",
    "response.audio.delta",
    "response.audio.done",
    "response.audio_timestamp.delta",
    "response.audio_timestamp.done",
    "response.audio_transcript.annotation.added",
    "response.audio_transcript.delta",
    "response.audio_transcript.done",
    "response.cancel",
    "response.content_part.added",
    "response.content_part.done",
    "response.create",
    "response.created",
    "response.done",
    "response.file_search_call.completed",
    "response.file_search_call.in_progress",
    "response.file_search_call.searching",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.invocation.delta",
    "response.mcp_call.completed",
    "response.mcp_call.failed",
    "response.mcp_call.in_progress",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.delta",
    "response.output_audio_transcript.done",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.text.delta",
    "response.text.done",
    "response.video.delta",
    "response.web_search_call.completed",
    "response.web_search_call.in_progress",
    "response.web_search_call.searching",
    "session.avatar.connect",
    "session.avatar.connecting",
    "session.avatar.switch_to_idle",
    "session.avatar.switch_to_speaking",
    "session.created",
    "session.update",
    "session.updated",
    "warning",
];

/// What ACS says in `kind`; a member has the same name.
const KINDS: [&str; 4] = ["AudioData", "AudioMetadata", DTMF, "StopAudio"];

/// The kind of a message of text, by its first and its last bytes; of a short one both are all of it.
pub fn of(head: &[u8], end: &[u8]) -> &'static str {
    first(head).or_else(|| last(end)).unwrap_or(OTHER)
}

/// By its first members, as far as they are there.
fn first(head: &[u8]) -> Option<&'static str> {
    let mut found = None;
    // Where it is cut off it cannot be read: what was read before counts.
    let _ = Reader::new(head).members(|reader, key| {
        let next = reader.peek();
        let is_text = next == Some(b'"');
        if key.is(b"type") && is_text {
            found = typed(&reader.string()?);
            // A second one would be another message to another reader.
            return Err(Unreadable);
        }
        if key.is_in_any_case(b"kind") && is_text {
            found = kind(&reader.string()?);
            return Err(Unreadable);
        }
        if key.is(b"audio") && is_text {
            found = Some(APPEND);
        } else if next == Some(b'{') {
            found = kind(&key);
        }
        match found {
            Some(_) => Err(Unreadable),
            None => reader.skip(),
        }
    });
    found
}

/// By its last member: the one before the brace that ends the message.
fn last(end: &[u8]) -> Option<&'static str> {
    let end = end.trim_ascii_end().strip_suffix(b"}")?.trim_ascii_end();
    let end = end.strip_suffix(b"\"")?;
    let (rest, value) = end.split_at(1 + memchr::memrchr(b'"', end)?);
    let rest = rest.strip_suffix(b"\"")?.trim_ascii_end();
    let rest = rest.strip_suffix(b":")?.trim_ascii_end();
    let rest = rest.strip_suffix(b"\"")?;
    let key = &rest[1 + memchr::memrchr(b'"', rest)?..];
    match key {
        b"type" => known(value),
        _ if key.eq_ignore_ascii_case(b"kind") => in_any_case(value),
        _ => None,
    }
}

fn typed(name: &Raw<'_>) -> Option<&'static str> {
    known(&name.unescape()?)
}

fn kind(name: &Raw<'_>) -> Option<&'static str> {
    in_any_case(&name.unescape()?)
}

fn known(name: &[u8]) -> Option<&'static str> {
    let at = TYPES.binary_search_by(|known| known.as_bytes().cmp(name));
    at.ok().map(|at| TYPES[at])
}

fn in_any_case(name: &[u8]) -> Option<&'static str> {
    let is_it = |known: &&&str| known.as_bytes().eq_ignore_ascii_case(name);
    KINDS.iter().find(is_it).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As it is looked at: some of its first bytes, and of its last.
    fn told(text: &str) -> &'static str {
        let bytes = text.as_bytes();
        of(
            &bytes[..bytes.len().min(60)],
            &bytes[bytes.len().saturating_sub(60)..],
        )
    }

    #[test]
    fn c17_a_kind_is_told_wherever_it_stands_if_it_is_known() {
        let long = "x".repeat(200);
        let audio = "A".repeat(200);
        for (text, kind) in [
            (
                r#"{"type":"session.update","session":{}}"#.to_owned(),
                "session.update",
            ),
            (
                format!(r#"{{"audio": "{audio}", "type": "input_audio_buffer.append"}}"#),
                APPEND,
            ),
            (
                format!(r#"{{"session":{{"x":"{long}"}}, "type" : "session.update" }} "#),
                "session.update",
            ),
            (
                format!(r#"{{"event_id":"e","type":"response.audio.delta","delta":"{audio}"}}"#),
                "response.audio.delta",
            ),
            (r#"{"t\u0079pe":"error","error":{}}"#.to_owned(), "error"),
            (
                r#"{"kind":"DtmfData","dtmfData":{"data":"5"}}"#.to_owned(),
                DTMF,
            ),
            (
                r#"{"dtmfData":{"data":"5"},"stopAudio":null,"kind":"DtmfData"}"#.to_owned(),
                DTMF,
            ),
            (
                r#"{"Kind":"StopAudio","AudioData":null,"StopAudio":{}}"#.to_owned(),
                "StopAudio",
            ),
            (
                r#"{"audioMetadata":{"encoding":"PCM"},"kind":"AudioMetadata"}"#.to_owned(),
                "AudioMetadata",
            ),
        ] {
            assert_eq!(told(&text), kind, "{text}");
        }
    }

    #[test]
    fn c17_what_a_peer_makes_up_is_not_told() {
        for text in [
            r#"{"type":"s3cret-canary"}"#,
            r#"{"kind":"1234"}"#,
            r#"{"type":7}"#,
            r#"{"a":{"type":"session.update"}}"#,
            r#"{"a":[{"type":"session.update"}]}"#,
            r#"{"text":"\"type\":\"error\"}"#,
            r#"["type","error"]"#,
            "hello",
            "",
            "{",
            r#"}"#,
            r#""}"#,
        ] {
            assert_eq!(told(text), OTHER, "{text}");
        }
    }

    #[test]
    fn the_list_is_sorted_for_the_search() {
        assert!(TYPES.is_sorted() && TYPES.contains(&APPEND));
    }

    proptest! {
        #[test]
        fn c17_whatever_comes_the_answer_is_of_the_list(
            text in prop_oneof![
                "\\PC{0,80}",
                r#"[{}" a:,\\\[\]]{0,40}"#,
            ],
            from in 0usize..80,
        ) {
            let bytes = text.as_bytes();
            let kind = of(&bytes[..from.min(bytes.len())], &bytes[from.min(bytes.len())..]);
            prop_assert!(kind == OTHER || KINDS.contains(&kind) || TYPES.contains(&kind));
        }
    }
}
