//! What a phone call allocates: nothing while the caller speaks, whether the gate is shut or open;
//! what is kept of an answer until the caller has it; and none of that once it is void.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tonegate::audio::SampleRate;
use tonegate::config::{Ani, Bridge, CodeLength, Dialled, Feeds, Gate, Prompts, VoiceSession};
use tonegate::dtmf::tone;
use tonegate::ids::PhoneNumber;
use tonegate::relay::{Asked, CallTerms, Leg, Relay};
use tonegate::sim::frame::{Decoder, Frame, PING, PONG, Sender, TEXT};

use crate::{Taken, Watched, terms};

const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);
const ANI: &str = "+15551234567";
const METADATA: &str = r#"{"kind":"AudioMetadata","audioMetadata":{"encoding":"PCM","sampleRate":24000,"channels":1,"length":960}}"#;
const STOP_AUDIO: &[u8] = br#"{"Kind":"StopAudio""#;
/// Messages that are counted, after as many that are not.
const MESSAGES: usize = 200;

/// One end of a call: what it sends, and whole frames of what comes.
struct Peer {
    socket: UnixStream,
    decoder: Decoder,
    key: Option<[u8; 4]>,
}

impl Peer {
    fn new(socket: UnixStream, hears: Sender, key: Option<[u8; 4]>) -> Peer {
        Peer {
            socket,
            decoder: Decoder::new(hears, BytesMut::new()),
            key,
        }
    }

    fn frame(&self, opcode: u8, text: &str) -> BytesMut {
        let mut wire = BytesMut::new();
        Frame::whole(opcode, text.to_owned()).encode(self.key, &mut wire);
        wire
    }

    async fn say(&mut self, text: &str) {
        let wire = self.frame(TEXT, text);
        self.socket.write_all(&wire).await.unwrap();
    }

    async fn next(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return frame;
            }
            let read = self.socket.read_buf(self.decoder.buffer()).await.unwrap();
            assert!(read > 0, "the call has ended");
        }
    }

    async fn hears(&mut self, text: &str) {
        let frame = self.next().await;
        let heard = std::str::from_utf8(&frame.payload).unwrap();
        assert!(heard.contains(text), "{heard}");
    }
}

/// A call between two pipes.
struct Call {
    caller: Peer,
    service: Peer,
    taken: Arc<Taken>,
}

impl Call {
    /// Whose session with Voice Live is set up.
    async fn open() -> Call {
        let (caller, caller_end) = UnixStream::pair().unwrap();
        let (service, service_end) = UnixStream::pair().unwrap();
        let taken = Arc::new(Taken::default());
        let relay = Relay::of_call(
            Leg::plain(caller_end, Bytes::new()),
            Leg::plain(service_end, Bytes::new()),
            call_terms(None),
            terms(),
        );
        tokio::spawn(Watched {
            future: relay,
            taken: taken.clone(),
        });
        let mut call = Call {
            caller: Peer::new(caller, Sender::Server, KEY),
            service: Peer::new(service, Sender::Client, None),
            taken,
        };
        call.caller.say(METADATA).await;
        call.service.say(r#"{"type":"session.created"}"#).await;
        call.service.hears("session.update").await;
        call.service.say(r#"{"type":"session.updated"}"#).await;
        // Audio goes on only once the session is set up.
        call.caller.say(&audio_data(Some(ANI), &[1; 480])).await;
        call.service.hears("append").await;
        call
    }

    fn count(&self) -> u64 {
        self.taken.count.load(Ordering::Relaxed)
    }

    fn held(&self) -> i64 {
        self.taken.held.load(Ordering::Relaxed)
    }
}

fn call_terms(gate: Option<Gate>) -> CallTerms {
    CallTerms {
        gate: gate.map(Arc::new),
        bridge: Bridge::VoiceLive(Arc::new(VoiceSession {
            session: serde_json::Map::new(),
            greet: false,
            mask_tones: false,
        })),
        ani: PhoneNumber::new(ANI),
    }
}

fn base64(samples: &[i16]) -> String {
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    BASE64_STANDARD.encode(bytes)
}

/// As ACS writes it, of a participant or mixed.
fn audio_data(who: Option<&str>, samples: &[i16]) -> String {
    let who = who.map(|who| format!(r#""participantRawID":"4:{who}","#));
    format!(
        r#"{{"kind":"AudioData","audioData":{{"timestamp":"2026-05-04T10:00:00.020Z",{}"data":"{}","silent":false}}}}"#,
        who.unwrap_or_default(),
        base64(samples)
    )
}

/// A delta of so many samples, of a response.
fn delta(response: &str, samples: usize) -> String {
    format!(
        r#"{{"type":"response.audio.delta","response_id":"{response}","item_id":"item_1","delta":"{}"}}"#,
        base64(&vec![7; samples])
    )
}

#[tokio::test]
async fn a15_a_message_of_the_caller_is_translated_without_an_allocation() {
    for who in [Some(ANI), None] {
        let mut call = Call::open().await;
        let said = call.caller.frame(TEXT, &audio_data(who, &[300; 480]));
        let append = format!(
            r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#,
            base64(&[300; 480])
        );
        let mut before = 0;
        for number in 0..2 * MESSAGES {
            if number == MESSAGES {
                before = call.count();
            }
            call.caller.socket.write_all(&said).await.unwrap();
            assert!(call.service.next().await.payload == append);
        }
        assert_eq!(call.count() - before, 0, "{who:?}");
    }
}

/// Serializers of .NET write a plus as an escape, in names and in base64.
#[tokio::test]
async fn a15_escapes_cost_a_copy_of_what_has_them_and_no_more() {
    let mut call = Call::open().await;
    // Base64 of these is nothing but plus signs.
    let samples = [-1025, -16_385, 0x7bef_u16 as i16].repeat(160);
    let plain = audio_data(Some(ANI), &samples);
    let escaped = plain.replace('+', r"\u002B");
    assert!(escaped.len() > plain.len() + 100);
    let said = call.caller.frame(TEXT, &escaped);
    let append = format!(
        r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#,
        base64(&samples)
    );
    let mut before = 0;
    for number in 0..2 * MESSAGES {
        if number == MESSAGES {
            before = call.count();
        }
        call.caller.socket.write_all(&said).await.unwrap();
        assert!(call.service.next().await.payload == append);
    }
    let allocated = call.count() - before;
    // The name, and the audio.
    assert_eq!(allocated, 2 * MESSAGES as u64);
}

#[tokio::test]
async fn a15_of_an_answer_the_message_alone_is_allocated() {
    // Whole in one read, and in two.
    for (parts, most) in [(1, 1), (2, 2)] {
        let mut call = Call::open().await;
        let said = call.service.frame(TEXT, &delta("resp_1", 4800));
        let plays = base64(&vec![7; 4800]);
        let mut before = 0;
        for number in 0..2 * MESSAGES {
            if number == MESSAGES {
                before = call.count();
            }
            for part in said.chunks(said.len().div_ceil(parts)) {
                call.service.socket.write_all(part).await.unwrap();
                // The relay reads what is there before the rest comes.
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            }
            call.caller.hears(&plays).await;
        }
        let each = (call.count() - before) as f64 / MESSAGES as f64;
        println!("{each} allocations a message in {parts}");
        assert!(each <= f64::from(most), "{each} allocations in {parts}");
    }
}

fn gate() -> Gate {
    Gate {
        dialled: Dialled::Pstn {
            ani: Ani::Signalling,
        },
        length: CodeLength::Fixed(6),
        feeds: Feeds {
            in_band: true,
            messages: true,
            callbacks: false,
        },
        deadline: Duration::from_secs(60),
        between: Duration::from_secs(5),
        attempts: 3,
        second_look: true,
        consume: true,
        prompts: Prompts::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a15_while_the_gate_is_pending_listening_allocates_nothing() {
    // So that time moves with the frames only, and never by itself.
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    for who in [Some(ANI), None] {
        let (caller, caller_end) = UnixStream::pair().unwrap();
        let taken = Arc::new(Taken::default());
        let leg = Leg::plain(caller_end, Bytes::new());
        let mut relay = Relay::gated(leg, call_terms(Some(gate())), terms());
        let tries = Arc::new(AtomicU64::new(0));
        let tried = tries.clone();
        let asks = async move {
            while let Some(asked) = relay.asked().await {
                assert!(matches!(asked, Asked::Try(_)));
                tried.fetch_add(1, Ordering::Relaxed);
            }
        };
        tokio::spawn(Watched {
            future: Box::pin(asks),
            taken: taken.clone(),
        });
        let mut caller = Peer::new(caller, Sender::Server, KEY);
        caller.say(METADATA).await;
        let ping = caller.frame(PING, "");
        let says = |keys: &str| -> Vec<BytesMut> {
            let audio = tone::sequence(keys, SampleRate::Hz24000, &tone::Pace::default());
            let audio = audio.unwrap();
            let message = |samples| {
                let mut said = caller.frame(TEXT, &audio_data(who, samples));
                // The answer tells that what was said before was heard.
                said.extend_from_slice(&ping);
                said
            };
            audio.chunks(480).map(message).collect()
        };
        // A `*` clears what was dialled, so that the store is not asked.
        let (clears, dials) = (says("42*"), says("427193"));
        let mut before = 0;
        let said = clears.iter().cycle().take(2 * MESSAGES);
        for (number, said) in said.chain(&dials).enumerate() {
            if number == MESSAGES {
                before = taken.count.load(Ordering::Relaxed);
            }
            if number == 2 * MESSAGES {
                let allocated = taken.count.load(Ordering::Relaxed) - before;
                assert_eq!(allocated, 0, "{who:?}");
                assert_eq!(tries.load(Ordering::Relaxed), 0);
            }
            tokio::time::advance(Duration::from_millis(20)).await;
            caller.socket.write_all(said).await.unwrap();
            assert_eq!(caller.next().await.opcode, PONG);
        }
        assert_eq!(tries.load(Ordering::Relaxed), 1, "it was listened to");
    }
}

/// Until it is so.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a17_what_waited_for_the_caller_is_given_back_when_the_caller_interrupts() {
    let mut call = Call::open().await;
    let mut at_rest = Vec::new();
    for response in ["resp_1", "resp_2", "resp_3"] {
        let before = call.held();
        let delta = delta(response, 24_000);
        // More than the sockets hold, of which the caller takes nothing.
        for _ in 0..16 {
            call.service.say(&delta).await;
        }
        until("the answer waits", || call.held() > before + 500_000).await;
        call.service
            .say(r#"{"type":"input_audio_buffer.speech_started"}"#)
            .await;
        until("it is given back", || call.held() < before + 200_000).await;
        while !call.caller.next().await.payload.starts_with(STOP_AUDIO) {}
        // Once more up and down: nothing waits any more.
        call.caller.say(&audio_data(None, &[1; 480])).await;
        call.service.hears("append").await;
        at_rest.push(call.held());
    }
    println!("{at_rest:?}");
    assert_eq!(at_rest[1], at_rest[2], "{at_rest:?}");
}
