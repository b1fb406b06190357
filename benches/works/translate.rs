//! Messages of ACS to those of Voice Live and back, from bytes as they were read to bytes as they are
//! written: no socket, no cipher.

use std::sync::Arc;

use tonegate::config::VoiceSession;
use tonegate::relay::bridge::Bridge;
use tonegate::relay::message::{Assembler, Text};
use tonegate::tap::Mark;
use tonegate::wire::acs;
use tonegate::ws::Role;
use tonegate::ws::scan::{Found, Scanner};

use super::follow::READ;
use super::message::METADATA;

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// Hands every message of the stream to `hear`.
pub(crate) fn messages(stream: &[u8], role: Role, mut hear: impl FnMut(&Text<'_>)) {
    let mut scanner = Scanner::new(role, 1 << 20);
    let mut assembler = Assembler::new(1 << 20);
    for chunk in stream.chunks(READ) {
        let mut at = 0;
        while let Ok(Some(step)) = scanner.next(&chunk[at..]) {
            let bytes = &chunk[at..at + step.taken];
            at += step.taken;
            let _ = match &step.found {
                Found::Data(header) => assembler.frame(header, |text| hear(&text)),
                Found::Payload => assembler.payload(bytes, |text| hear(&text)),
                Found::Control(_) => Ok(None),
            };
        }
    }
}

/// What a service is told first.
pub(crate) fn voice_session(mask_tones: bool) -> Arc<VoiceSession> {
    Arc::new(VoiceSession {
        session: serde_json::Map::new(),
        greet: false,
        mask_tones,
    })
}

/// A bridge whose session is set up.
pub(crate) fn open(mask_tones: bool) -> Bridge {
    let mut bridge = Bridge::new(&voice_session(mask_tones));
    let mut out = Vec::new();
    let metadata = acs::read(METADATA.as_bytes()).expect("it is a message of ACS");
    let told = bridge.client(&metadata, |_| true, || MASK, &mut out);
    told.expect("Voice Live takes that format");
    for text in [
        &br#"{"type":"session.created"}"#[..],
        br#"{"type":"session.updated"}"#,
    ] {
        let told = bridge.upstream(&Text::Here(text), || MASK, &mut out);
        told.expect("nothing is amiss");
    }
    assert!(bridge.is_open());
    bridge
}

/// What ACS says, for Voice Live.
pub(crate) fn up(bridge: &mut Bridge, stream: &[u8], out: &mut Vec<u8>) {
    out.clear();
    messages(stream, Role::Client, |text| {
        if let Ok(message) = acs::read(text.as_bytes()) {
            let is_caller = |who: acs::Raw<'_>| who.is(b"4:+15551234567");
            let _ = bridge.client(&message, is_caller, || MASK, out);
        }
    });
}

/// What Voice Live says, for ACS.
pub(crate) fn down(bridge: &mut Bridge, stream: &[u8], out: &mut Vec<u8>) {
    out.clear();
    messages(stream, Role::Server, |text| {
        let _ = bridge.upstream(text, || MASK, out);
        while let Some(frame) = bridge.next_frame() {
            frame.write(out);
        }
    });
}

/// The same while ACS takes nothing before the caller speaks: what waits then is dropped.
pub(crate) fn interrupted(bridge: &mut Bridge, stream: &[u8], out: &mut Vec<u8>) {
    out.clear();
    messages(stream, Role::Server, |text| {
        let _ = bridge.upstream(text, || MASK, out);
        if bridge.mark() == Some(Mark::Speech) {
            while let Some(frame) = bridge.next_frame() {
                frame.write(out);
            }
        }
    });
}
