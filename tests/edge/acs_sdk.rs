//! Microsoft's own reader and writer of streaming messages, of the Call Automation SDK for Node,
//! as the oracle of what goes over a call's media stream.

use std::collections::BTreeMap;
use std::process::Stdio;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use tonegate::audio::SampleRate;
use tonegate::sim::acs::line::{Keying, Talker};
use tonegate::sim::acs::message::{Manner, Silent};
use tonegate::sim::acs::read::{self, read};
use tonegate::sim::acs::{Call, Channel, Dial, OTHER, Options, Pace};

use crate::harness::{PATIENCE, within};
use crate::program::{root, tool};

/// What the SDK makes of each line.
async fn sdk(turn: &str, lines: &[String]) -> Vec<String> {
    let mut command = Command::new(tool("bin/node"));
    command
        .arg(root().join("tests/sdk/node/acs.mjs"))
        .arg(turn)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let fed = async move {
        for line in lines {
            assert!(!line.contains(['\n', '\r']), "a message of several lines");
            input
                .write_all(format!("{line}\n").as_bytes())
                .await
                .unwrap();
        }
    };
    let both = async { tokio::join!(fed, child.wait_with_output()) };
    let ((), output) = tokio::time::timeout(PATIENCE, both)
        .await
        .expect("the SDK takes too long");
    let output = output.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let out = String::from_utf8(output.stdout).unwrap();
    let told: Vec<String> = out.lines().map(str::to_owned).collect();
    assert_eq!(told.len(), lines.len(), "{complaint}");
    told
}

/// What the SDK's own parser reads in messages that go as ACS sends them; `{"error": …}` where it
/// throws. For what the simulator sends, and for what the edge forwards of it to an orchestrator.
pub async fn sdk_reads(messages: &[String]) -> Vec<Value> {
    let told = sdk("read", messages).await;
    told.iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What the SDK's own parser reads in events that go to a callback URL.
pub async fn sdk_reads_events(events: &[String]) -> Vec<Value> {
    let told = sdk("events", events).await;
    told.iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Messages that go to ACS, such as the edge emits, say what the SDK's own would: each is read
/// without a violation, and then read the same when the SDK writes it. The number of audio and stop
/// messages among them.
pub async fn says_what_the_sdk_would(messages: &[String]) -> (usize, usize) {
    use base64::Engine as _;
    let mut said = Vec::new();
    for message in messages {
        let (understood, wrong) = read(message);
        assert!(wrong.is_empty(), "{wrong:?}");
        said.push(understood.expect("what has no violation is understood"));
    }
    let lines: Vec<String> = said
        .iter()
        .map(|one| match one {
            read::Message::Audio(samples) => {
                let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
                base64::engine::general_purpose::STANDARD.encode(bytes)
            }
            read::Message::Stop => String::new(),
        })
        .collect();
    for (text, one) in sdk("write", &lines).await.iter().zip(&said) {
        assert_eq!(read(text), (Some(one.clone()), vec![]), "{text}");
    }
    let stops = said
        .iter()
        .filter(|one| **one == read::Message::Stop)
        .count();
    (said.len() - stops, stops)
}

/// All that a simulated call sends in which keys are pressed and both talk.
async fn sent(options: Options) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = Dial {
        url: format!("ws://{}/", listener.local_addr().unwrap()),
        ..Dial::default()
    };
    let calling = async {
        let call = Call::dial(&dial, options).await.unwrap();
        let hand = call.hand();
        hand.press("82,#*A", &Keying::both()).unwrap();
        let noise: Vec<i16> = (0..20_000_i32)
            .map(|n| (n * 7_919 % 65_536 - 32_768) as i16)
            .collect();
        hand.say(Talker::Caller, &noise).unwrap();
        hand.say(Talker::Other, &noise[5..]).unwrap();
        hand.hang_up_when_said();
        call.run().await
    };
    let hearing = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(tcp).await.unwrap();
        let mut messages = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                messages.push(text.to_string());
            }
        }
        messages
    };
    let (record, messages) = within("a call", async { tokio::join!(calling, hearing) }).await;
    assert_eq!(record.messages_sent, messages.len() as u64);
    messages
}

/// What a message says in the SDK's words, as the documentation reads.
fn expected(message: &Value) -> Value {
    match message["kind"].as_str().unwrap() {
        "AudioMetadata" => {
            let mut said = message["audioMetadata"].clone();
            said.as_object_mut().unwrap().remove("length");
            said["kind"] = json!("AudioMetadata");
            said
        }
        "AudioData" => {
            let audio = &message["audioData"];
            let mut said = json!({"kind": "AudioData", "data": audio["data"],
                "timestamp": audio["timestamp"]});
            if let Some(silent) = audio.get("silent") {
                said["isSilent"] = silent.clone();
            }
            if let Some(who) = audio.get("participantRawID") {
                said["participant"] = who.clone();
            }
            said
        }
        "DtmfData" => json!({"kind": "DtmfData", "data": message["dtmfData"]["data"]}),
        kind => json!({"error": format!("Unknown data kind: {kind}")}),
    }
}

#[tokio::test]
async fn a01_the_official_sdk_reads_what_the_simulated_acs_sends() {
    let plain = Options {
        pace: Pace::AtOnce,
        ..Options::default()
    };
    let odd = Options {
        rate: SampleRate::Hz16000,
        channel: Channel::Unmixed,
        manner: Manner {
            escape_plus: true,
            escape_slash: true,
            silent: Silent::Missing,
            words: true,
            told_by: true,
            unknown_every: Some(7),
            ..Manner::default()
        },
        ..plain.clone()
    };
    let nameless = Options {
        channel: Channel::Mixed { named: false },
        ..plain.clone()
    };
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut others = 0;
    for options in [plain, odd, nameless] {
        let messages = sent(options).await;
        let told = sdk_reads(&messages).await;
        for (message, told) in messages.iter().zip(&told) {
            let message: Value = serde_json::from_str(message).unwrap();
            assert_eq!(*told, expected(&message));
            *kinds
                .entry(message["kind"].as_str().unwrap().to_owned())
                .or_default() += 1;
            others += usize::from(told["participant"] == OTHER);
        }
    }
    assert_eq!((kinds["AudioMetadata"], kinds["DtmfData"]), (3, 15));
    assert!(
        kinds["AudioData"] > 300 && others > 50,
        "{kinds:?} {others}"
    );
    // The SDK throws on these; an edge must not.
    for kind in ["MarkData", "DtmfMetadata", "VideoData"] {
        assert!(kinds[kind] > 0);
    }
}

#[tokio::test]
async fn a01_the_simulated_acs_reads_what_the_official_sdk_writes() {
    let lines = ["AQACAA==", "", "//v///8D"].map(str::to_owned);
    let written = sdk("write", &lines).await;
    let audio = |samples: &[i16]| Some(read::Message::Audio(samples.to_vec()));
    let expected = [
        audio(&[1, 2]),
        Some(read::Message::Stop),
        audio(&[-1025, -1, 1023]),
    ];
    assert_eq!(written.len(), expected.len());
    for (text, expected) in written.iter().zip(expected) {
        assert_eq!(read(text), (expected, vec![]), "{text}");
    }
    assert_eq!(says_what_the_sdk_would(&written).await, (2, 1));
    // Neither do the other casings say anything else.
    let ours = [
        r#"{"Kind":"AudioData","AudioData":{"Data":"AQACAA=="},"StopAudio":null}"#,
        r#"{"Kind":"StopAudio","AudioData":null,"StopAudio":{}}"#,
    ];
    let ours = ours.map(str::to_owned);
    assert_eq!(says_what_the_sdk_would(&ours).await, (1, 1));
}
