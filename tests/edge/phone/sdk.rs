//! What the edge sends to ACS says what Microsoft's own SDK would say, and what it forwards of ACS the
//! SDK reads.

use tonegate::sim::frame::TEXT;

use super::puppet::Puppet;
use super::verbatim::rings;
use super::world::Phone;
use crate::acs_sdk::{says_what_the_sdk_would, sdk_reads};
use crate::harness::text;

const METADATA: &str = r#"{"kind":"AudioMetadata","audioMetadata":{"subscriptionId":"0a0a0a0a-1111-4222-8333-444444444444","encoding":"PCM","sampleRate":24000,"channels":1,"length":960}}"#;
const AUDIO: &str = r#"{"kind":"AudioData","audioData":{"timestamp":"2026-05-04T10:00:00.020Z","participantRawID":"4:+15551234567","data":"AQACAAMA","silent":false}}"#;

#[tokio::test]
async fn a01_what_the_edge_sends_to_acs_is_what_the_official_sdk_would_send() {
    let mut puppet = Puppet::start().await;
    let mut line = puppet.voice_live();
    line.gate = "flow = \"open\"".to_owned();
    let phone = Phone::with(line).await;
    let (mut caller, _) = rings(&phone, "c1").await;
    caller.send(text(METADATA)).await;
    let mut peer = puppet.next().await;
    peer.sets_up().await;
    // One that goes on whole, one that is cut, and an interruption.
    let long = "AAEC".repeat(30_000);
    peer.delta("r1", "AQACAAMA").await;
    peer.delta("r1", &long).await;
    let mut said = Vec::new();
    while said.len() < 4 {
        let frame = caller.next().await.unwrap();
        assert_eq!((frame.opcode, frame.fin), (TEXT, true));
        said.push(String::from_utf8(frame.payload.to_vec()).unwrap());
    }
    peer.say(r#"{"type":"input_audio_buffer.speech_started","audio_start_ms":0}"#)
        .await;
    let stop = caller.next().await.unwrap();
    said.push(String::from_utf8(stop.payload.to_vec()).unwrap());
    assert_eq!(says_what_the_sdk_would(&said).await, (4, 1));
}

#[tokio::test]
async fn a33_what_the_edge_forwards_of_acs_the_official_sdk_reads() {
    let mut puppet = Puppet::start().await;
    let mut line = puppet.orchestrator();
    line.gate = "flow = \"open\"".to_owned();
    let phone = Phone::with(line).await;
    let (mut caller, _) = rings(&phone, "c1").await;
    let mut peer = puppet.next().await;
    for message in [METADATA, AUDIO] {
        caller.send(text(message)).await;
    }
    let forwarded = [peer.text().await, peer.text().await];
    assert_eq!(forwarded, [METADATA, AUDIO]);
    let read = sdk_reads(&forwarded).await;
    assert!(
        read.iter().all(|told| told.get("error").is_none()),
        "{read:?}"
    );
    assert_eq!(read, sdk_reads(&[METADATA, AUDIO].map(str::to_owned)).await);
    assert_eq!(read.len(), 2);
}
