//! Calls to a small edge, as their result is told.

use clap::Parser;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::*;
use crate::audio::SampleRate;
use crate::sim::acs::line::Keying;
use crate::sim::acs::tests::{Accepted, Edge, within};
use crate::sim::acs::{Dial, guid};
use crate::sim::issuer::{Issuer, Options as IssuerOptions};
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    flags: Flags,
}

fn flags(url: &str, more: &[&str]) -> Result<Flags, clap::Error> {
    let line = [&["call", "--url", url, "--json"], more].concat();
    Ok(Line::try_parse_from(line)?.flags)
}

fn audio(samples: &[i16]) -> Message {
    use base64::Engine as _;
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
    let json = json!({"Kind": "AudioData", "AudioData": {"Data": data}, "StopAudio": null});
    Message::text(json.to_string())
}

fn stop() -> Message {
    Message::text(json!({"Kind": "StopAudio", "AudioData": null, "StopAudio": {}}).to_string())
}

fn closes(code: u16) -> Message {
    let close = CloseFrame {
        code: code.into(),
        reason: "told".into(),
    };
    Message::Close(Some(close))
}

/// Calls an edge that, once so many keys were told by message, sends these.
async fn calls(more: &[&str], keys: usize, says: &[Message]) -> anyhow::Result<()> {
    let edge = Edge::bind().await;
    let line = [
        &["--token", "a.b.c", "--seconds", "2", "--digits", "82"],
        more,
    ]
    .concat();
    let flags = flags(&edge.url, &line).unwrap();
    let show = Show::new(true, "call");
    let answering = async {
        let Accepted {
            mut socket,
            request,
        } = edge.accept().await;
        assert_eq!(request.headers()["authorization"], "Bearer a.b.c");
        let mut told = 0;
        while told < keys {
            let message = within(socket.next()).await.unwrap().unwrap();
            told += usize::from(message.to_text().unwrap().contains("\"DtmfData\""));
        }
        for message in says {
            socket.send(message.clone()).await.unwrap();
        }
        while within(socket.next()).await.is_some_and(|m| m.is_ok()) {}
    };
    tokio::join!(within(call(&flags, &show)), answering).0
}

#[tokio::test]
async fn a_call_goes_through_when_audio_comes_back_after_the_last_key() {
    calls(&[], 2, &[audio(&[5; 480])]).await.unwrap();
    let end = [audio(&[5; 480]), closes(1000)];
    calls(&["--unmixed", "--rate", "16000"], 2, &end)
        .await
        .unwrap();
    for (keys, says, words) in [
        (0, vec![audio(&[5; 480]), closes(1000)], "after 0 of 2 keys"),
        (1, vec![audio(&[5; 480])], "no audio"),
        (2, vec![closes(1000)], "no audio"),
        (2, vec![stop()], "no audio"),
        (2, vec![closes(4403)], "the gate closed it with 4403"),
        (
            2,
            vec![audio(&[5; 480]), closes(4408)],
            "the gate closed it with 4408",
        ),
        (
            2,
            vec![audio(&[5; 480]), Message::binary(vec![0])],
            "broke the protocol",
        ),
    ] {
        let error = calls(&[], keys, &says).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn what_was_heard_is_written() {
    let path = std::env::temp_dir().join(format!("tonegate-call-{}.wav", guid()));
    let text = path.display().to_string();
    let says = [audio(&[7; 24_000]), audio(&[9; 24_000]), stop()];
    let called = calls(&["--play-into", &text, "--barge-in"], 2, &says).await;
    let file = std::fs::read(&path);
    std::fs::remove_file(&path).unwrap();
    called.unwrap();
    let wav = Wav::read(&file.unwrap()).unwrap();
    assert_eq!(wav.rate, SampleRate::Hz24000);
    // From the 101 to the end, and of what was stopped at once next to nothing.
    assert!(wav.samples.len() > 24_000 * 2);
    assert!(wav.samples.iter().filter(|&&sample| sample != 0).count() < 24_000);
}

#[tokio::test]
async fn a_token_is_made_where_an_issuer_is_named_and_each_is_another() {
    let server = Issuer::bind(IssuerOptions::loopback()).await.unwrap();
    let (provider, stop) = (server.provider(), CancellationToken::new());
    let serving = tokio::spawn(server.serve(stop.clone()));
    let id = "11111111-2222-3333-4444-555555555555";
    let more = ["--issuer", &provider.base(), "--audience", id];
    let flags = flags("ws://localhost:1/", &more).unwrap();
    let show = Show::new(true, "call");
    let (one, two) = (
        flags.dial(&show).await.unwrap(),
        flags.dial(&show).await.unwrap(),
    );
    assert_ne!(one.token, two.token);
    assert_ne!(one.connection_id, two.connection_id);
    let order = flags.order();
    assert_eq!(order["expires_in"], 86_400);
    assert_eq!(order["claims"]["aud"], id);
    let iss = "https://acscallautomation.communication.azure.com";
    assert_eq!(order["claims"]["iss"], iss);
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_on_the_line_is_told() {
    let token = ["--token", "x"];
    for (more, words) in [
        (&[][..], "--token"),
        (&["--issuer", "http://x"], "--audience"),
        (&["--token", "x", "--audience", "y"], "cannot be used with"),
        (&["--audience", "y"], "--issuer"),
        (&["--token", "x", "--by", "voice"], "tones, messages, both"),
        (&["--token", "x", "--seconds", "0"], "1..=600"),
        (&["--token", "x", "--rate", "8000"], "16000 or 24000"),
    ] {
        let text = flags("ws://x", more).err().unwrap().to_string();
        assert!(text.contains(words), "{text}");
    }
    let show = Show::new(true, "call");
    for (url, more, words) in [
        (
            "ws://x",
            &["--wav", "/nowhere/x.wav"][..],
            "cannot read /nowhere/x.wav",
        ),
        ("wss://x", &[], "--roots"),
        ("https://x?s=823", &[], "wss:// or ws://"),
        ("ws://x", &["--digits", "823x"], "0-9 A-D * #"),
        ("ws://", &[], "did not go through"),
    ] {
        let flags = flags(url, &[&token, more].concat()).unwrap();
        let error = format!("{:#}", call(&flags, &show).await.unwrap_err());
        assert!(error.contains(words) && !error.contains("823"), "{error}");
    }
}

#[test]
fn a_refusal_is_told_with_the_edges_words_and_no_control_character() {
    let refused = |body: &str| {
        refusal(&Error::Refused(Box::new(crate::sim::client::Refused {
            status: 403,
            headers: Vec::new(),
            body: body.into(),
        })))
    };
    assert_eq!(refused("x"), "refused with HTTP status 403");
    assert_eq!(
        refused(r#"{"title":"forbidden","detail":"no\u001b[2J"}"#),
        r#"refused with HTTP status 403, "forbidden", "no\u{1b}[2J""#
    );
}

/// Waits for messages with these words, one after the other.
async fn hears(socket: &mut WebSocketStream<TcpStream>, words: &[&str]) {
    for words in words {
        let mut text = String::new();
        while !text.contains(words) {
            let message = within(socket.next()).await.unwrap().unwrap();
            text = message.into_text().unwrap().to_string();
        }
    }
}

#[tokio::test]
async fn the_timeline_is_told_in_words_and_no_key_is() {
    let edge = Edge::bind().await;
    let flags = flags(&edge.url, &["--token", "x", "--digits", "82"]).unwrap();
    let dial = Dial {
        url: edge.url.clone(),
        ..Dial::default()
    };
    let calling = async {
        let call = Call::dial(&dial, flags.options()).await.unwrap();
        let hand = call.hand();
        hand.press("8", &Keying::messages()).unwrap();
        let heard = async {
            // The second key is pressed into the prompt, and then the caller speaks.
            hand.until(|record| record.first_audio().is_some()).await;
            hand.press("2", &Keying::messages()).unwrap();
            hand.say(Talker::Caller, &[1]).unwrap();
        };
        tokio::join!(call.run(), heard).0
    };
    let answering = async {
        let mut socket = edge.accept().await.socket;
        hears(&mut socket, &["DtmfData"]).await;
        socket.send(audio(&[1; 480])).await.unwrap();
        hears(&mut socket, &["DtmfData", "\"silent\":false"]).await;
        for message in [
            audio(&[2; 12_000]),
            stop(),
            audio(&[3; 480]),
            Message::binary(vec![1]),
            closes(4403),
        ] {
            socket.send(message).await.unwrap();
        }
        while within(socket.next()).await.is_some_and(|m| m.is_ok()) {}
    };
    let (record, ()) = tokio::join!(within(calling), answering);
    let steps: Vec<Step> = (0..record.events.len())
        .map(|at| step(&record, at, &flags))
        .collect();
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    let expected = [
        "metadata",
        "key",
        "audio",
        "key",
        "speech",
        "first audio",
        "barge-in",
        "audio",
        "protocol",
        "gate",
    ];
    assert_eq!(names, expected);
    let words = [
        "AudioMetadata sent: PCM, 24000 Hz, mixed",
        "1 of 2 pressed, in the audio and in a message",
        "audio before the last key: a prompt, or there is no gate",
        "2 of 2 pressed, in the audio and in a message",
        "the caller begins to speak",
        "ms after speech: behind the gate, or its prompt",
        "of audio dropped unplayed",
        "audio again after StopAudio",
        "the edge sent what ACS does not expect: Binary",
        "closed with 4403 told: a wrong code, or too many of them",
    ];
    assert_eq!(words.len(), steps.len());
    for (step, words) in steps.iter().zip(words) {
        assert!(step.detail.contains(words), "{}", step.detail);
        assert_eq!(step.ok, !["protocol", "gate"].contains(&step.name));
    }
}
