//! An orchestrator that takes the frames of ACS: behind the gate they go on as they came, and come
//! back as they were sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tonegate::sim::frame::{BINARY, CONTINUATION, Frame, TEXT};

use super::puppet::{Peer, Puppet};
use super::world::{ANI, CONNECTION, Line, Phone, signed};
use crate::harness::{Caller, binary, text};

const METADATA: &str = "{ \"kind\" : \"AudioMetadata\",\"audioMetadata\":{\"sampleRate\":16000,\
                        \"encoding\":\"PCM\",\"channels\":1,\"length\":640,\"subscriptionId\":\"s\"}}";

/// A caller that speaks frame by frame; the edge takes ACS' ids from its headers.
pub(super) async fn rings(phone: &Phone, call: &str) -> (Caller, String) {
    let dial = phone.dial(&signed(call));
    let target = dial
        .url
        .split_once("localhost:")
        .unwrap()
        .1
        .split_once('/')
        .unwrap()
        .1;
    let token = dial.token.unwrap();
    let bearer = format!("Bearer {token}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("x-ms-call-connection-id", CONNECTION),
        ("x-tonegate-subject", "forged"),
        ("x-ms-client-principal", "forged"),
    ];
    let caller = phone.world.ask(&format!("/{target}"), &headers).await;
    (
        caller.unwrap_or_else(|refused| panic!("{}", refused.body)),
        token,
    )
}

/// A message of audio that is like no other.
fn frame(number: u32) -> String {
    let samples: Vec<u8> = (0..320_u32)
        .flat_map(|at| ((at * 7 + number) as i16).to_le_bytes())
        .collect();
    format!(
        "{{\"audioData\":{{\"silent\":false,\"data\":\"{}\",\"number\":{number}}},\r\n \"kind\":\"AudioData\"}}",
        STANDARD.encode(samples)
    )
}

async fn dials(caller: &mut Caller, code: &str) {
    for key in code.chars() {
        let told = format!("{{\"kind\":\"DtmfData\",\"dtmfData\":{{\"data\":\"{key}\"}}}}");
        caller.send(text(&told)).await;
    }
}

/// Sends numbered frames, each 20 ms, until the orchestrator has got one; the next number.
async fn speaks_until_heard(caller: &mut Caller, peer: &mut Peer) -> (u32, String) {
    let mut number = 0;
    let mut clock = tokio::time::interval(std::time::Duration::from_millis(20));
    loop {
        tokio::select! {
            first = peer.text() => return (number, first),
            _ = clock.tick() => {
                caller.send(text(&frame(number))).await;
                number += 1;
            }
        }
    }
}

fn number(message: &str) -> u32 {
    let value: serde_json::Value = serde_json::from_str(message).unwrap();
    u32::try_from(value["audioData"]["number"].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn a33_behind_the_gate_frames_go_on_as_they_came_and_come_back_as_they_were_sent() {
    let mut puppet = Puppet::start().await;
    let phone = Phone::with(puppet.orchestrator()).await;
    phone.stores(ANI, "823").await;
    let (mut caller, token) = rings(&phone, "c1").await;
    caller.send(text(METADATA)).await;
    caller.send(text(&frame(900))).await;
    dials(&mut caller, "823").await;
    let mut peer = puppet.next().await;
    // Who calls is told by the edge, and nobody else.
    assert_eq!(peer.target, "/calls");
    assert_eq!(peer.header("x-tonegate-way"), ["phone"]);
    assert_eq!(peer.header("x-tonegate-subject"), ["c1"]);
    assert_eq!(peer.header("x-tonegate-route"), ["phone"]);
    assert!(peer.header("x-ms-client-principal").is_empty());
    let told = format!("{:?}", peer.headers);
    assert!(
        !told.contains(&token) && !told.contains("forged") && !told.contains(ANI),
        "{told}"
    );
    let (mut next, first) = speaks_until_heard(&mut caller, &mut peer).await;
    assert_eq!(first, METADATA);
    // Nothing is missing from the first frame that went on, and none is of before the verdict.
    let first = peer.text().await;
    let from = number(&first);
    assert!(from > 0 && from < next, "{from}");
    assert_eq!(first, frame(from));
    for number in from + 1..next {
        assert_eq!(peer.text().await, frame(number));
    }
    // All kinds go on now, known or not, in fragments or whole.
    let strange = ["{\"kind\":\"MarkData\"}", "no JSON", "\u{fc}\u{1f4de}", ""];
    for message in strange {
        caller.send(text(message)).await;
        assert_eq!(peer.text().await, message);
    }
    let whole = frame(next);
    next += 1;
    let piece = |opcode, fin, range: std::ops::Range<usize>| Frame {
        fin,
        ..Frame::whole(opcode, whole[range].to_owned())
    };
    caller.send(piece(TEXT, false, 0..9)).await;
    caller.send(piece(CONTINUATION, true, 9..whole.len())).await;
    assert_eq!(peer.text().await, whole);
    assert!(next > from);
    // And back.
    for message in [
        "{\"Kind\":\"StopAudio\",\"AudioData\":null,\"StopAudio\":{}}",
        "x",
        "",
    ] {
        peer.say(message).await;
        assert_eq!(caller.next().await, Some(text(message)));
    }
    peer.say_binary(&[0, 159, 146, 150]).await;
    let back = caller.next().await.unwrap();
    assert_eq!(
        (back.opcode, &back.payload[..]),
        (BINARY, &[0, 159, 146, 150][..])
    );
    peer.close(4001, "the agent is done").await;
    assert_eq!(
        caller.closed().await,
        (Some(4001), "the agent is done".to_owned())
    );
    phone.gates("authorised", 1).await;
    phone.ended("upstream", "upstream_closed", 1).await;
    assert!(phone.dropped("pending") > 0);
}

#[tokio::test]
async fn a33_without_a_code_the_orchestrator_is_not_dialled_and_binary_is_no_way_in() {
    let mut puppet = Puppet::start().await;
    let phone = Phone::with(Line {
        gate: "flow = \"pstn\", digits = 3, attempts = 1".to_owned(),
        ..puppet.orchestrator()
    })
    .await;
    phone.stores(ANI, "823").await;
    let (mut caller, _) = rings(&phone, "c1").await;
    caller.send(text(METADATA)).await;
    dials(&mut caller, "824").await;
    assert_eq!(caller.closed().await, (Some(4403), "code_wrong".to_owned()));
    let (mut caller, _) = rings(&phone, "c2").await;
    caller.send(binary(vec![0; 64])).await;
    assert_eq!(
        caller.closed().await,
        (Some(1003), "format_mismatch".to_owned())
    );
    assert!(puppet.is_alone());
}

/// A call that may go through at the upgrade has its orchestrator by the 101.
#[tokio::test]
async fn a33_an_open_route_goes_on_from_the_first_frame() {
    let mut puppet = Puppet::start().await;
    let phone = Phone::with(Line {
        gate: "flow = \"open\"".to_owned(),
        ..puppet.orchestrator()
    })
    .await;
    let (mut caller, _) = rings(&phone, "c1").await;
    let mut peer = puppet.next().await;
    let mut all = vec![METADATA.to_owned()];
    all.extend((0..50).map(frame));
    for message in &all {
        caller.send(text(message)).await;
    }
    for message in &all {
        assert_eq!(peer.text().await, *message);
    }
    caller.close(1000, "").await;
    assert_eq!(peer.closed().await, (1000, String::new()));
    assert_eq!(caller.closed().await.0, Some(1000));
}

/// The frames go on from a message's end, not from its middle.
#[tokio::test]
async fn a33_a_message_that_is_half_there_when_the_orchestrator_answers_arrives_whole() {
    let mut puppet = Puppet::reluctant().await;
    let phone = Phone::with(puppet.orchestrator()).await;
    phone.stores(ANI, "823").await;
    let (mut caller, _) = rings(&phone, "c1").await;
    caller.send(text(METADATA)).await;
    dials(&mut caller, "823").await;
    puppet.dialled().await;
    // The second for which a key of a message may be down.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let whole = frame(1);
    let piece = |opcode, fin, range: std::ops::Range<usize>| Frame {
        fin,
        ..Frame::whole(opcode, whole[range].to_owned())
    };
    caller.send(piece(TEXT, false, 0..100)).await;
    puppet.answer();
    let mut peer = puppet.next().await;
    caller.send(piece(CONTINUATION, false, 100..200)).await;
    caller
        .send(piece(CONTINUATION, true, 200..whole.len()))
        .await;
    for number in 2..20 {
        caller.send(text(&frame(number))).await;
    }
    assert_eq!(peer.text().await, METADATA);
    for number in 1..20 {
        assert_eq!(peer.text().await, frame(number));
    }
    caller.close(1000, "").await;
    assert_eq!(caller.closed().await.0, Some(1000));
    assert_eq!(peer.closed().await, (1000, String::new()));
}
