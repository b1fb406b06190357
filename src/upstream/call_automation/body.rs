//! What is said to Call Automation, and what is read of its answers.
//!
//! Names and order are those of the REST interface, api-version 2026-03-12.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Answer, Connected, Create, Participant};
use crate::config::Streaming;
use crate::ids::{CallId, ForeignId, PhoneNumber};
use crate::secret::Secret;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerBody<'a> {
    incoming_call_context: &'a str,
    callback_uri: &'a str,
    operation_context: &'a str,
    media_streaming_options: Media<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateBody<'a> {
    targets: [Identifier<'a>; 1],
    source_caller_id_number: Number<'a>,
    callback_uri: &'a str,
    operation_context: &'a str,
    media_streaming_options: Media<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Media<'a> {
    transport_type: &'static str,
    transport_url: &'a str,
    content_type: &'static str,
    audio_channel_type: &'static str,
    start_media_streaming: bool,
    enable_bidirectional: bool,
    audio_format: &'static str,
    enable_dtmf_tones: bool,
}

impl<'a> Media<'a> {
    fn new(url: &'a Secret, streaming: Streaming) -> Media<'a> {
        Media {
            transport_type: "websocket",
            transport_url: url.expose(),
            content_type: "audio",
            audio_channel_type: streaming.channels.word(),
            start_media_streaming: streaming.start,
            enable_bidirectional: true,
            audio_format: streaming.audio.word(),
            enable_dtmf_tones: true,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identifier<'a> {
    raw_id: String,
    /// The service knows by the raw id what it is where this is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<Number<'a>>,
}

#[derive(Serialize)]
struct Number<'a> {
    value: &'a str,
}

impl<'a> Identifier<'a> {
    fn phone(number: &'a PhoneNumber) -> Identifier<'a> {
        let value = number.expose();
        Identifier {
            raw_id: format!("4:{value}"),
            kind: Some("phoneNumber"),
            phone_number: Some(Number { value }),
        }
    }

    fn of(participant: &'a Participant<'a>) -> Identifier<'a> {
        match participant {
            Participant::Phone(number) => Identifier::phone(number),
            Participant::Raw(id) => Identifier {
                raw_id: (*id).to_owned(),
                kind: None,
                phone_number: None,
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MediaBody<'a> {
    operation_context: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DtmfBody<'a> {
    target_participant: Identifier<'a>,
    operation_context: &'a str,
}

pub(super) fn answer(answer: &Answer<'_>) -> Bytes {
    write(&AnswerBody {
        incoming_call_context: answer.context,
        callback_uri: answer.callback_url,
        operation_context: answer.call.as_str(),
        media_streaming_options: Media::new(answer.media_url, answer.streaming),
    })
}

pub(super) fn create(create: &Create<'_>) -> Bytes {
    write(&CreateBody {
        targets: [Identifier::phone(create.target)],
        source_caller_id_number: Number {
            value: create.source.expose(),
        },
        callback_uri: create.callback_url,
        operation_context: create.call.as_str(),
        media_streaming_options: Media::new(create.media_url, create.streaming),
    })
}

pub(super) fn media(call: &CallId) -> Bytes {
    write(&MediaBody {
        operation_context: call.as_str(),
    })
}

pub(super) fn dtmf(call: &CallId, participant: &Participant<'_>) -> Bytes {
    write(&DtmfBody {
        target_participant: Identifier::of(participant),
        operation_context: call.as_str(),
    })
}

fn write(body: &impl Serialize) -> Bytes {
    // Texts and booleans only: nothing that JSON has not.
    Bytes::from(serde_json::to_vec(body).expect("the body is texts and booleans"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionProperties {
    call_connection_id: String,
    server_call_id: Option<String>,
    correlation_id: Option<String>,
}

/// The longest that is kept of what ACS calls a call at its servers; those in use have 200 bytes.
const SERVER_CALL_MAX: usize = 2048;

/// What an answered or created call is known by; `None` if it is not said.
pub(super) fn connected(body: &[u8]) -> Option<Connected> {
    let said: ConnectionProperties = serde_json::from_slice(body).ok()?;
    Some(Connected {
        connection: ForeignId::new(&said.call_connection_id)?,
        server_call: said
            .server_call_id
            .filter(|id| (1..=SERVER_CALL_MAX).contains(&id.len())),
        correlation: said.correlation_id.and_then(|id| ForeignId::new(&id)),
    })
}

#[derive(Deserialize)]
struct Wrong {
    error: Code,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

/// Codes of ACS for calls that have ended: "call not found", "call already terminated".
const ENDED: [&str; 2] = ["8522", "8528"];

/// Whether an error says that the call has ended already.
pub(super) fn has_ended(body: &[u8]) -> bool {
    let wrong: Option<Wrong> = serde_json::from_slice(body).ok();
    wrong.is_some_and(|wrong| ENDED.contains(&wrong.error.code.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AcsAudio, Channels};

    const MEDIA: &str = "wss://edge.example.org/acs/media/7f0c";
    const CALLBACK: &str = "https://edge.example.org/acs/callbacks/7f0c";

    fn text(bytes: Bytes) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// To the byte what the interface documents; azure-communication-callautomation 1.6.0 for Python
    /// sends the same members for the same options.
    #[test]
    fn a05_an_answer_is_what_the_interface_documents() {
        let call = CallId::new("7f0c").unwrap();
        let media_url = Secret::new(MEDIA.to_owned());
        let body = text(answer(&Answer {
            context: "eyJhbGciOi.\"x",
            call: &call,
            media_url: &media_url,
            callback_url: CALLBACK,
            streaming: Streaming::default(),
        }));
        let expected = r#"{"incomingCallContext":"eyJhbGciOi.\"x","callbackUri":"https://edge.example.org/acs/callbacks/7f0c","operationContext":"7f0c","mediaStreamingOptions":{"transportType":"websocket","transportUrl":"wss://edge.example.org/acs/media/7f0c","contentType":"audio","audioChannelType":"mixed","startMediaStreaming":true,"enableBidirectional":true,"audioFormat":"pcm24KMono","enableDtmfTones":true}}"#;
        assert_eq!(body, expected);
    }

    #[test]
    fn a14_a_call_is_created_from_a_number_of_ours() {
        let call = CallId::new("7f0c").unwrap();
        let media_url = Secret::new(MEDIA.to_owned());
        let body = text(create(&Create {
            target: &PhoneNumber::new("+15551234567").unwrap(),
            source: &PhoneNumber::new("+15550001111").unwrap(),
            call: &call,
            media_url: &media_url,
            callback_url: CALLBACK,
            streaming: Streaming {
                audio: AcsAudio::Pcm16KMono,
                channels: Channels::Unmixed,
                start: false,
            },
        }));
        let expected = r#"{"targets":[{"rawId":"4:+15551234567","kind":"phoneNumber","phoneNumber":{"value":"+15551234567"}}],"sourceCallerIdNumber":{"value":"+15550001111"},"callbackUri":"https://edge.example.org/acs/callbacks/7f0c","operationContext":"7f0c","mediaStreamingOptions":{"transportType":"websocket","transportUrl":"wss://edge.example.org/acs/media/7f0c","contentType":"audio","audioChannelType":"unmixed","startMediaStreaming":false,"enableBidirectional":true,"audioFormat":"pcm16KMono","enableDtmfTones":true}}"#;
        assert_eq!(body, expected);
    }

    #[test]
    fn a05_media_and_tones_name_the_call_and_the_participant() {
        let call = CallId::new("7f0c").unwrap();
        assert_eq!(text(media(&call)), r#"{"operationContext":"7f0c"}"#);
        let number = PhoneNumber::new("+15551234567").unwrap();
        assert_eq!(
            text(dtmf(&call, &Participant::Phone(&number))),
            r#"{"targetParticipant":{"rawId":"4:+15551234567","kind":"phoneNumber","phoneNumber":{"value":"+15551234567"}},"operationContext":"7f0c"}"#
        );
        assert_eq!(
            text(dtmf(&call, &Participant::Raw("28:x"))),
            r#"{"targetParticipant":{"rawId":"28:x"},"operationContext":"7f0c"}"#
        );
    }

    #[test]
    fn a05_an_answered_call_is_read_tolerantly_but_for_its_connection() {
        let whole = br#"{"callConnectionId":"0800-ab","serverCallId":"aHR0cHM6","callConnectionState":"connecting","callbackUri":"https://x","correlationId":"3c2f","answeredFor":{"rawId":"4:+1"},"mediaStreamingSubscription":{"id":"1","state":"active","subscribedContentTypes":["audio"]}}"#;
        let connected = connected(whole).unwrap();
        assert_eq!(connected.connection.as_str(), "0800-ab");
        assert_eq!(connected.server_call.as_deref(), Some("aHR0cHM6"));
        assert_eq!(connected.correlation.unwrap().as_str(), "3c2f");
        let least = super::connected(br#"{"callConnectionId":"a","correlationId":null}"#).unwrap();
        assert_eq!((least.server_call, least.correlation), (None, None));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"callConnectionId":""}"#,
            r#"{"callConnectionId":"a:b"}"#,
            r#"{"callConnectionId":"../b"}"#,
            r#"{"callConnectionId":7}"#,
        ] {
            assert!(super::connected(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn a05_a_call_that_has_ended_is_told_by_its_code() {
        assert!(has_ended(br#"{"error":{"code":"8522","message":"m"}}"#));
        assert!(has_ended(br#"{"error":{"code":"8528"}}"#));
        for other in [
            "",
            "{}",
            r#"{"error":{"code":"8501"}}"#,
            r#"{"error":"8522"}"#,
        ] {
            assert!(!has_ended(other.as_bytes()), "{other}");
        }
    }
}
