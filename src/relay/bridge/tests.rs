use super::*;
use crate::relay::message::Assembler;
use crate::wire::acs::{self, DATA_MAX};
use crate::ws::Role;
use crate::ws::scan::{Found, Scanner};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

fn session(value: Value, greet: bool, mask_tones: bool) -> VoiceSession {
    let Value::Object(session) = value else {
        panic!()
    };
    VoiceSession {
        session,
        greet,
        mask_tones,
    }
}

fn plain_session() -> VoiceSession {
    session(json!({"instructions": "Be brief."}), false, false)
}

/// A bridge, and what both peers got of it, as whole messages.
struct Call {
    bridge: Bridge,
    service: Vec<String>,
    acs: Vec<String>,
}

impl Call {
    fn new(session: &VoiceSession) -> Call {
        Call {
            bridge: Bridge::new(&std::sync::Arc::new(session.clone())),
            service: Vec::new(),
            acs: Vec::new(),
        }
    }

    /// One whose session is set up.
    fn open(session: &VoiceSession, rate: u32) -> Call {
        let mut call = Call::new(session);
        call.metadata(rate).unwrap();
        call.service(r#"{"type":"session.created"}"#).unwrap();
        call.service(r#"{"type":"session.updated"}"#).unwrap();
        assert!(call.bridge.is_open());
        call.service.clear();
        call
    }

    fn client(&mut self, text: &str) -> Result<(), Fault> {
        let message = acs::read(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        let is_caller = |who: Raw<'_>| who.is(b"4:+1");
        let result = self.bridge.client(&message, is_caller, || KEY, &mut out);
        self.service.extend(messages(&out, Role::Client, &[]));
        result
    }

    fn metadata(&mut self, rate: u32) -> Result<(), Fault> {
        self.client(&format!(
            r#"{{"kind":"AudioMetadata","audioMetadata":{{"encoding":"PCM","sampleRate":{rate},"channels":1,"length":640}}}}"#
        ))
    }

    fn audio(&mut self, data: &str) {
        let text = format!(r#"{{"kind":"AudioData","audioData":{{"data":"{data}"}}}}"#);
        self.client(&text).unwrap();
    }

    /// The service speaks, and ACS takes nothing meanwhile.
    fn blocked(&mut self, text: &str) -> Result<Option<Failure>, Fault> {
        let mut out = Vec::new();
        let text = Text::Collected(Bytes::copy_from_slice(text.as_bytes()));
        let result = self.bridge.upstream(&text, || KEY, &mut out);
        self.service.extend(messages(&out, Role::Client, &[]));
        result
    }

    fn service(&mut self, text: &str) -> Result<Option<Failure>, Fault> {
        let result = self.blocked(text);
        self.flush();
        result
    }

    fn flush(&mut self) {
        let mut out = Vec::new();
        while let Some(frame) = self.bridge.next_frame() {
            frame.write(&mut out);
        }
        self.acs.extend(messages(&out, Role::Server, &[]));
    }

    fn delta(&mut self, response: &str, delta: &str) {
        self.blocked(&format!(
            r#"{{"type":"response.audio.delta","response_id":"{response}","delta":"{delta}"}}"#
        ))
        .unwrap();
    }

    fn event(&mut self, kind: &str, response: &str) {
        self.blocked(&format!(
            r#"{{"type":"{kind}","response":{{"id":"{response}"}}}}"#
        ))
        .unwrap();
    }

    fn speech(&mut self) {
        self.blocked(r#"{"type":"input_audio_buffer.speech_started"}"#)
            .unwrap();
    }

    fn up(&self) -> up::Counts {
        self.bridge.counts().up
    }

    fn down(&self) -> down::Counts {
        self.bridge.counts().down
    }
}

/// The messages in a stream of frames, read in chunks that end at `cuts`.
fn messages(stream: &[u8], role: Role, cuts: &[usize]) -> Vec<String> {
    let (mut scanner, mut assembler) = (Scanner::new(role, 1 << 24), Assembler::new(1 << 24));
    let (mut found, mut from) = (Vec::new(), 0);
    for &to in cuts.iter().chain([&stream.len()]) {
        let mut chunk = &stream[from..to];
        from = to;
        while let Some(step) = scanner.next(chunk).unwrap() {
            let hear = |text: Text<'_>| String::from_utf8(text.as_bytes().to_vec()).unwrap();
            let whole = match &step.found {
                Found::Data(header) => assembler.frame(header, hear).unwrap(),
                Found::Payload => assembler.payload(&chunk[..step.taken], hear).unwrap(),
                Found::Control(_) => None,
            };
            found.extend(whole);
            chunk = &chunk[step.taken..];
        }
    }
    assert!(scanner.is_between_frames());
    found
}

fn append(data: &str) -> String {
    format!(r#"{{"type":"input_audio_buffer.append","audio":"{data}"}}"#)
}

fn play(data: &str) -> String {
    format!(r#"{{"Kind":"AudioData","AudioData":{{"Data":"{data}"}},"StopAudio":null}}"#)
}

const STOP: &str = r#"{"Kind":"StopAudio","AudioData":null,"StopAudio":{}}"#;

#[test]
fn a01_nothing_goes_on_before_the_session_is_set_up_and_then_all_in_order() {
    let mut call = Call::new(&session(json!({"voice": "x"}), true, false));
    call.service(r#"{"type":"session.created","session":{"id":"s"}}"#)
        .unwrap();
    assert!(call.service.is_empty());
    call.metadata(16_000).unwrap();
    let update: Value = serde_json::from_str(&call.service[0]).unwrap();
    assert_eq!(
        update,
        json!({"type": "session.update", "session": {
            "voice": "x", "input_audio_format": "pcm16", "input_audio_sampling_rate": 16000,
            "output_audio_format": "pcm16_16000hz",
        }})
    );
    call.audio("AAA=");
    call.audio("AQE=");
    assert_eq!(call.service.len(), 1);
    assert!(call.bridge.held() > 0);
    call.service(r#"{"type":"session.updated","session":{"input_audio_sampling_rate":16000}}"#)
        .unwrap();
    call.audio("AgI=");
    let greeting = r#"{"type":"response.create"}"#.to_owned();
    let expected = [greeting, append("AAA="), append("AQE="), append("AgI=")];
    assert_eq!(call.service[1..], expected);
    assert_eq!((call.up().audio, call.up().dropped), (3, 0));
    // Said again, as after a new start of the stream, nothing is asked for twice.
    call.metadata(16_000).unwrap();
    call.service(r#"{"type":"session.updated"}"#).unwrap();
    assert_eq!(call.service.len(), 5);
}

#[test]
fn a01_the_frames_are_to_the_byte_what_the_protocol_says() {
    let mut call = Call::open(&plain_session(), 24_000);
    let message = acs::read(br#"{"kind":"AudioData","audioData":{"data":"AAAA"}}"#).unwrap();
    let mut out = Vec::new();
    call.bridge
        .client(&message, |_| false, || KEY, &mut out)
        .unwrap();
    let mut golden = vec![0x81, 0x80 | 51, 0x12, 0x34, 0x56, 0x78];
    let payload = br#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#;
    golden.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
    assert_eq!(out, golden);

    call.delta("r1", "AAAA");
    let mut out = Vec::new();
    call.bridge.next_frame().unwrap().write(&mut out);
    let mut golden = vec![0x81, 65];
    golden
        .extend_from_slice(br#"{"Kind":"AudioData","AudioData":{"Data":"AAAA"},"StopAudio":null}"#);
    assert_eq!(out, golden);
    call.speech();
    let mut out = Vec::new();
    call.bridge.next_frame().unwrap().write(&mut out);
    let mut golden = vec![0x81, 52];
    golden.extend_from_slice(STOP.as_bytes());
    assert_eq!(out, golden);
    assert_eq!(call.bridge.next_frame(), None);
}

#[test]
fn a01_a_format_that_contradicts_is_a_mismatch() {
    let encoded = |encoding: &str, rate: &str, channels: &str| {
        format!(
            r#"{{"kind":"AudioMetadata","audioMetadata":{{"encoding":{encoding},"sampleRate":{rate},"channels":{channels}}}}}"#
        )
    };
    for (encoding, rate, channels) in [
        ("\"opus\"", "24000", "1"),
        ("\"PCM\"", "8000", "1"),
        ("\"PCM\"", "48000", "1"),
        ("\"PCM\"", "null", "1"),
        ("\"PCM\"", "24000", "2"),
    ] {
        let mut call = Call::new(&plain_session());
        let text = encoded(encoding, rate, channels);
        assert_eq!(call.client(&text), Err(Fault::Mismatch), "{text}");
    }
    let mut call = Call::open(&plain_session(), 24_000);
    assert_eq!(call.metadata(24_000), Ok(()));
    assert_eq!(call.metadata(16_000), Err(Fault::Mismatch));

    let mut call = Call::new(&plain_session());
    call.metadata(16_000).unwrap();
    call.service(r#"{"type":"session.created"}"#).unwrap();
    let updated = r#"{"type":"session.updated","session":{"input_audio_sampling_rate":24000}}"#;
    assert_eq!(call.service(updated), Err(Fault::Mismatch));
}

#[test]
fn a01_an_error_refuses_the_session_only_while_it_is_set_up() {
    let error = r#"{"type":"error","error":{"type":"invalid_request_error","code":"bad_field","message":"x"}}"#;
    let mut call = Call::new(&plain_session());
    call.metadata(24_000).unwrap();
    call.service(r#"{"type":"session.created"}"#).unwrap();
    let Err(Fault::Refused(failure)) = call.service(error) else {
        panic!();
    };
    assert_eq!(failure.code.unwrap().as_str(), "bad_field");
    let mut call = Call::open(&plain_session(), 24_000);
    let told = call.service(error).unwrap().unwrap();
    assert_eq!(told.kind.unwrap().as_str(), "invalid_request_error");
    assert_eq!(call.down().errors, 1);
    call.audio("AAAA");
    assert_eq!(call.service, [append("AAAA")]);
}

#[test]
fn a01_only_the_callers_audio_goes_on_and_all_the_rest_is_counted() {
    let mut call = Call::open(&plain_session(), 24_000);
    let audio = |who: &str, data: &str, silent: bool| {
        format!(
            r#"{{"kind":"AudioData","audioData":{{"participantRawID":{who},"data":"{data}","silent":{silent}}}}}"#
        )
    };
    for text in [
        audio("\"4:+1\"", "AAAA", false),
        audio("\"8:acs:x\"", "BBBB", false),
        audio("\"4:\\u002B1\"", "CCCC", true),
        audio("null", "DDDD", false),
        audio("\"4:+1\"", "", false),
        audio("\"4:+1\"", "A\\u002B\\/A", false),
        audio("\"4:+1\"", "A\\\"},", false),
        audio("\"4:+1\"", "A\\u0022},{", false),
        audio("\"4:+1\"", "A\u{e9}", false),
        r#"{"kind":"DtmfData","dtmfData":{"data":"3"}}"#.to_owned(),
        r#"{"kind":"MarkData","markData":{}}"#.to_owned(),
        r#"{"kind":"StopAudio"}"#.to_owned(),
    ] {
        call.client(&text).unwrap();
    }
    call.bridge.unreadable();
    let expected = ["AAAA", "CCCC", "DDDD", "A+/A"].map(append);
    assert_eq!(call.service, expected);
    let counts = up::Counts {
        messages: 14,
        audio: 4,
        others: 1,
        empty: 1,
        dtmf: 1,
        unknown: 2,
        unreadable: 4,
        ..up::Counts::default()
    };
    assert_eq!(call.up(), counts);
}

#[test]
fn a01_audio_without_a_known_format_is_dropped_and_counted() {
    let mut call = Call::new(&plain_session());
    call.audio("AAAA");
    assert_eq!((call.up().dropped, call.bridge.held()), (1, 0));
    call.metadata(24_000).unwrap();
    for _ in 0..103 {
        call.audio(&"A".repeat(1280));
    }
    assert_eq!(call.up().dropped, 1 + 3);
    call.service(r#"{"type":"session.created"}"#).unwrap();
    call.service(r#"{"type":"session.updated"}"#).unwrap();
    assert_eq!(call.service.len(), 1 + 100);
    assert_eq!(call.bridge.held(), 0);
}

#[test]
fn a01_payloads_of_16_khz_stay_apart_for_each_ends_in_padding() {
    let mut call = Call::open(&plain_session(), 16_000);
    let payload = BASE64_STANDARD.encode([7; 640]);
    assert!(payload.len() == 856 && payload.ends_with("=="));
    for _ in 0..3 {
        call.audio(&payload);
        call.delta("r", &payload);
    }
    call.flush();
    assert_eq!(call.service, vec![append(&payload); 3]);
    assert_eq!(call.acs, vec![play(&payload); 3]);
    assert_eq!(append(&payload).len(), 903);
}

#[test]
fn a01_deltas_are_split_below_64_kib_and_never_inside_a_group() {
    let mut call = Call::open(&plain_session(), 24_000);
    for length in [1, DATA_MAX / 4 * 3, DATA_MAX / 4 * 3 + 1, 100_001] {
        let audio: Vec<u8> = (0..length).map(|n| (n * 37 % 251) as u8).collect();
        let delta = BASE64_STANDARD.encode(&audio);
        // Also with an escape where a naive cut would be.
        let escaped = delta.replace('+', "\\u002B").replace('/', "\\/");
        for written in [&delta, &escaped] {
            call.acs.clear();
            call.delta("r", written);
            call.flush();
            let mut bytes = Vec::new();
            for message in &call.acs {
                assert!(message.len() < 64 * 1024);
                let Ok(acs::Message::Audio(audio)) = acs::read(message.as_bytes()) else {
                    panic!();
                };
                bytes.extend(BASE64_STANDARD.decode(audio.data.text()).unwrap());
            }
            assert_eq!(bytes, audio);
            assert_eq!(call.acs.len(), delta.len().div_ceil(DATA_MAX));
        }
    }
}

#[test]
fn a01_an_interruption_drops_what_waits_and_what_still_comes_of_the_response() {
    let mut call = Call::open(&plain_session(), 24_000);
    call.event("response.created", "r1");
    call.delta("r1", "AAAA");
    call.flush();
    call.delta("r1", "BBBB");
    call.delta("r1", &"C".repeat(50_000));
    call.speech();
    assert_eq!(call.bridge.held(), 0);
    call.delta("r1", "DDDD");
    call.event("response.done", "r1");
    call.delta("r1", "EEEE");
    call.event("response.created", "r2");
    call.delta("r2", "FFFF");
    call.delta("r1", "GGGG");
    call.flush();
    assert_eq!(call.acs, [play("AAAA"), STOP.to_owned(), play("FFFF")]);
    let counts = call.down();
    assert_eq!((counts.audio, counts.interrupted), (4, 1));
    // BBBB and the two halves of C waited; D, E and G came too late.
    assert_eq!(counts.dropped, 3 + 3);
}

#[test]
fn a01_another_response_speaks_although_the_interrupted_one_is_not_done() {
    let mut call = Call::open(&plain_session(), 24_000);
    call.delta("r1", "AAAA");
    call.speech();
    call.speech();
    call.delta("r2", "BBBB");
    call.delta("r1", "CCCC");
    call.delta("r2", "DDDD");
    call.flush();
    let one_stop = [STOP.to_owned(), play("BBBB"), play("DDDD")];
    assert_eq!(call.acs, one_stop);
}

#[test]
fn a01_responses_without_names_are_cut_until_they_are_done() {
    let mut call = Call::open(&plain_session(), 24_000);
    let delta =
        |data: &str| format!(r#"{{"type":"response.output_audio.delta","delta":"{data}"}}"#);
    call.blocked(&delta("AAAA")).unwrap();
    call.speech();
    call.blocked(&delta("BBBB")).unwrap();
    call.blocked(r#"{"type":"response.done"}"#).unwrap();
    call.blocked(&delta("CCCC")).unwrap();
    call.flush();
    assert_eq!(call.acs, [STOP.to_owned(), play("CCCC")]);
    // The caller speaks after the answer was over: nothing is cut.
    call.blocked(r#"{"type":"response.done"}"#).unwrap();
    call.speech();
    call.blocked(&delta("DDDD")).unwrap();
    call.flush();
    assert_eq!(call.acs[2..], [STOP.to_owned(), play("DDDD")]);
    // Names too long to tell are no names.
    let long = "x".repeat(200);
    call.delta(&long, "EEEE");
    call.speech();
    call.delta(&long, "FFFF");
    call.event("response.done", &long);
    call.delta(&long, "GGGG");
    call.flush();
    assert_eq!(call.acs[4..], [STOP.to_owned(), play("GGGG")]);
}

#[test]
fn a01_where_the_service_does_not_interrupt_nothing_is_dropped() {
    let quiet = json!({"turn_detection": {"type": "server_vad", "interrupt_response": false}});
    let mut call = Call::open(&session(quiet, false, false), 24_000);
    call.delta("r1", "AAAA");
    call.speech();
    call.delta("r1", "BBBB");
    call.flush();
    assert_eq!(call.acs, [play("AAAA"), play("BBBB")]);
    assert_eq!((call.down().interrupted, call.down().other), (0, 1));
}

#[test]
fn a01_the_queue_is_full_at_its_bound_and_speech_still_empties_it() {
    let mut call = Call::open(&plain_session(), 24_000);
    let delta = "A".repeat(40_000);
    let mut messages = 0;
    while !call.bridge.is_full() {
        call.delta("r1", &delta);
        messages += 1;
    }
    assert_eq!(messages, QUEUE_MAX.div_ceil(40_064));
    assert!(call.bridge.held() < QUEUE_MAX + 50_000);
    // Many small ones are no way around it.
    let mut small = Call::open(&plain_session(), 24_000);
    for _ in 0..QUEUE_MAX / 68 + 1 {
        small.delta("r1", "AAAA");
    }
    assert!(small.bridge.is_full());
    call.speech();
    assert!(!call.bridge.is_full());
    assert_eq!(call.bridge.held(), 0);
    call.flush();
    assert_eq!(call.acs, [STOP]);
    assert_eq!(call.down().dropped, messages as u64);
}

#[test]
fn a01_what_the_service_says_besides_is_counted_and_ends_nothing() {
    let mut call = Call::open(&plain_session(), 24_000);
    let before = call.down();
    for text in [
        r#"{"type":"response.audio.delta","response_id":"r","delta":""}"#,
        r#"{"type":"response.audio.delta","response_id":"r","delta":"A\"B"}"#,
        r#"{"type":"response.audio.delta","response_id":"r"}"#,
        r#"{"type":"response.audio_transcript.delta","delta":"hi"}"#,
        "hello",
    ] {
        call.service(text).unwrap();
    }
    let counts = down::Counts {
        messages: before.messages + 5,
        dropped: 1,
        unreadable: 3,
        other: 1,
        ..before
    };
    assert_eq!(call.down(), counts);
    assert!(call.acs.is_empty());
    // Audio before the session is set up would be in nobody knows what format.
    let mut early = Call::new(&plain_session());
    early.delta("r", "AAAA");
    early.flush();
    assert!(early.acs.is_empty() && early.down().dropped == 1);
}

#[test]
fn a_masked_call_delays_and_silences_its_keys_also_while_held() {
    use crate::dtmf::{Event, tone};
    let rate = SampleRate::Hz24000;
    let line = tone::sequence("5", rate, &tone::Pace::default()).unwrap();
    let mut call = Call::new(&session(json!({}), false, true));
    call.metadata(24_000).unwrap();
    let mut keys = 0;
    let frames: Vec<&[i16]> = line.chunks(480).chain([&[1; 480][..]; 8]).collect();
    for (n, frame) in frames.iter().enumerate() {
        if n == 9 {
            call.service(r#"{"type":"session.created"}"#).unwrap();
            call.service(r#"{"type":"session.updated"}"#).unwrap();
        }
        let bytes: Vec<u8> = frame.iter().flat_map(|s| s.to_le_bytes()).collect();
        call.audio(&BASE64_STANDARD.encode(bytes));
        let downs = call.bridge.keys().iter();
        keys += downs.filter(|e| matches!(e, Event::KeyDown { .. })).count();
    }
    call.client(r#"{"kind":"MarkData"}"#).unwrap();
    assert!(call.bridge.keys().is_empty());
    assert_eq!((keys, call.up().masked, call.up().masked_late), (1, 1, 0));
    let appends = &call.service[1..];
    assert_eq!(appends.len(), frames.len() - 3);
    let last = BASE64_STANDARD.encode([1, 0].repeat(480));
    assert_eq!(appends.last(), Some(&append(&last)));
    let silence = append(&"A".repeat(1280));
    let keyed = line.len() / 480;
    assert!(appends[..keyed].iter().all(|message| *message == silence));
}

/// Audio both ways through two bridges' worth of frames, however they are cut and written.
fn base64(samples: &[u8], escapes: bool) -> String {
    let text = BASE64_STANDARD.encode(samples);
    if escapes {
        text.replace('+', "\\u002b")
            .replace('/', "\\/")
            .replace("AA", "\\u0041A")
    } else {
        text
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a01_every_sample_arrives_as_it_was_both_ways(
        pieces in proptest::collection::vec(
            (prop_oneof![Just(640usize), Just(960), 1usize..2000], any::<u8>(), any::<bool>()), 1..20),
        large in 0usize..100_000,
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..10),
        rate in proptest::sample::select(vec![16_000, 24_000]),
    ) {
        let mut call = Call::open(&plain_session(), rate);
        let (mut sent, mut up, mut down) = (Vec::new(), Vec::new(), Vec::new());
        let lengths = pieces.iter().copied().chain([(large + 1, 3, true)]);
        for (length, seed, escapes) in lengths {
            let audio: Vec<u8> = (0..length).map(|n| (n * usize::from(seed)) as u8).collect();
            let text = base64(&audio, escapes);
            sent.extend_from_slice(&audio);
            let message = format!(r#"{{"kind":"AudioData","audioData":{{"data":"{text}"}}}}"#);
            let message = acs::read(message.as_bytes()).unwrap();
            call.bridge.client(&message, |_| true, || [seed; 4], &mut up).unwrap();
            call.delta("r", &text);
            while let Some(frame) = call.bridge.next_frame() {
                frame.write(&mut down);
            }
        }
        for (stream, role) in [(up, Role::Client), (down, Role::Server)] {
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut arrived = Vec::new();
            for text in messages(&stream, role, &cuts) {
                let message: Value = serde_json::from_str(&text).unwrap();
                let data = match role {
                    Role::Client => &message["audio"],
                    Role::Server => &message["AudioData"]["Data"],
                };
                arrived.extend(BASE64_STANDARD.decode(data.as_str().unwrap()).unwrap());
            }
            prop_assert_eq!(&arrived, &sent);
        }
    }

    #[test]
    fn a01_no_input_panics_or_puts_anything_but_audio_and_stops_to_acs(
        texts in proptest::collection::vec("[{}\":, a-z_.]{0,40}", 0..5),
        deltas in proptest::collection::vec("[ -~\u{e9}]{0,20}", 0..5),
    ) {
        let mut call = Call::open(&plain_session(), 24_000);
        for text in texts.iter().chain(&deltas) {
            let _ = call.service(text);
            let delta = json!({"type": "response.audio.delta", "delta": text});
            let _ = call.service(&delta.to_string());
            let audio = json!({"kind": "AudioData", "audioData": {"data": text}});
            call.client(&audio.to_string()).unwrap();
        }
        for message in &call.service {
            let message: Value = serde_json::from_str(message).unwrap();
            prop_assert_eq!(message.as_object().unwrap().len(), 2);
            prop_assert_eq!(&message["type"], "input_audio_buffer.append");
        }
        for message in &call.acs {
            let message: Value = serde_json::from_str(message).unwrap();
            prop_assert_eq!(message.as_object().unwrap().len(), 3);
            prop_assert_eq!(&message["Kind"], "AudioData");
            prop_assert_eq!(message["AudioData"].as_object().unwrap().len(), 1);
        }
    }
}
