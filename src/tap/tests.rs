//! The tap as a pump uses it: frames in, numbers and keys out.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use super::*;
use crate::audio::SampleRate;
use crate::audio::g711::Law;
use crate::dtmf::{Detector, Setting, tone};
use crate::ws::mask;

fn header(opcode: OpCode, fin: bool, length: usize, mask: Option<[u8; 4]>) -> Header {
    Header {
        fin,
        opcode,
        mask,
        length: length as u64,
        size: 2,
    }
}

/// Shows a message in frames, each of which comes in pieces of this length; what it held.
fn show(tap: &mut Tap, frames: &[&[u8]], key: Option<[u8; 4]>, piece: usize) -> Vec<Event> {
    for (i, part) in frames.iter().enumerate() {
        let opcode = if i == 0 {
            OpCode::Text
        } else {
            OpCode::Continuation
        };
        tap.frame(&header(opcode, i + 1 == frames.len(), part.len(), key));
        let mut wire = part.to_vec();
        if let Some(key) = key {
            mask::apply(&mut wire, key, 0);
        }
        wire.chunks(piece).for_each(|chunk| tap.payload(chunk));
    }
    tap.events().to_vec()
}

fn say(tap: &mut Tap, message: &str) -> Vec<Event> {
    show(tap, &[message.as_bytes()], Some([7, 8, 9, 10]), usize::MAX)
}

fn digits(events: &[Event]) -> String {
    let down = |event: &Event| match event {
        Event::KeyDown { digit, .. } => Some(digit.as_char()),
        Event::KeyUp { .. } => None,
    };
    events.iter().filter_map(down).collect()
}

fn dialled(keys: &str, rate: SampleRate) -> Vec<i16> {
    tone::sequence(keys, rate, &tone::Pace::default()).unwrap()
}

fn pcm16(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|s| s.to_le_bytes()).collect()
}

/// As the SDKs for Node and for Python write it.
fn appends(audio: &[u8]) -> [String; 2] {
    let audio = BASE64_STANDARD.encode(audio);
    [
        format!(r#"{{"type":"input_audio_buffer.append","event_id":"e1","audio":"{audio}"}}"#),
        format!(r#"{{"audio": "{audio}", "type": "input_audio_buffer.append"}}"#),
    ]
}

/// Appends in pieces of 20 ms; the digits heard.
fn append(tap: &mut Tap, audio: &[u8], bytes: usize) -> String {
    let mut heard = String::new();
    for (i, piece) in audio.chunks(bytes).enumerate() {
        heard += &digits(&say(tap, &appends(piece)[i % 2]));
    }
    heard
}

fn update(tap: &mut Tap, session: &str) {
    say(
        tap,
        &format!(r#"{{"type":"session.update","session":{session}}}"#),
    );
}

/// The service says this, and the client's tap learns of it.
fn answer(tap: &mut Tap, message: &str) {
    let mut service = Tap::on_service();
    show(&mut service, &[message.as_bytes()], None, 9);
    tap.learn(service.told().unwrap());
}

const SLOW: &str = r#"{"type":"session.updated","session":{"input_audio_format":"pcm16","input_audio_sampling_rate":16000}}"#;

#[test]
fn finds_audio_however_the_message_is_cut_fragmented_and_masked() {
    let text = br#"{"type":"input_audio_buffer.append","audio":"AAAABBBB"}"#;
    for key in [None, Some([1, 2, 250, 4])] {
        for cut in 0..text.len() {
            for mut tap in [Tap::default(), Tap::on_client()] {
                show(&mut tap, &[&text[..cut], &text[cut..]], key, 7);
                assert_eq!(tap.counts().audio_messages, 1, "cut at {cut}");
                assert_eq!(tap.counts().messages, 1);
                assert_eq!(tap.counts().bytes, text.len() as u64);
            }
        }
    }
}

#[test]
fn counts_empty_binary_and_other_messages_without_taking_them_for_audio() {
    for mut tap in [Tap::default(), Tap::on_client(), Tap::on_service()] {
        tap.frame(&header(OpCode::Text, true, 0, None));
        tap.frame(&header(OpCode::Binary, true, 4, None));
        tap.payload(b"{\"au");
        let other = br#"{"type":"session.update"}"#;
        tap.frame(&header(OpCode::Text, true, other.len(), None));
        tap.payload(other);
        let counts = Counts {
            messages: 3,
            bytes: 4 + other.len() as u64,
            ..Counts::default()
        };
        assert_eq!(*tap.counts(), counts);
    }
}

#[test]
fn b06_every_cut_of_a_message_in_both_key_orders_hears_what_plain_decoding_hears() {
    // Two keys in one message: the positions and measures of their events tell of every sample.
    let samples = dialled("5#", SampleRate::Hz8000);
    let mut expected = Vec::new();
    let mut detector = Detector::new(SampleRate::Hz8000, Setting::Standard);
    detector.push(&samples, |event| expected.push(event));
    assert_eq!(digits(&expected), "5#");
    let octets: Vec<u8> = samples.iter().map(|&s| Law::Mu.encode(s)).collect();
    let mut of_octets = Vec::new();
    let mut detector = Detector::new(SampleRate::Hz8000, Setting::Standard);
    detector.push_g711(Law::Mu, &octets, |event| of_octets.push(event));
    let mut cuts = 0;
    for (session, audio, expected) in [
        (
            r#"{"input_audio_sampling_rate":8000}"#,
            pcm16(&samples),
            expected,
        ),
        (r#"{"input_audio_format":"g711_ulaw"}"#, octets, of_octets),
    ] {
        let messages = appends(&audio);
        let escaped = messages[1].replace('/', r"\/").replace('+', r"\u002b");
        assert_ne!(escaped, messages[1]);
        let [first, second] = messages;
        for (message, piece) in [(first, 4099), (second, usize::MAX), (escaped, 3001)] {
            let bytes = message.as_bytes();
            for cut in
                (0..bytes.len()).filter(|cut| cut % 41 == 0 || bytes.len() - cut < 60 || *cut < 70)
            {
                let mut tap = Tap::on_client();
                update(&mut tap, session);
                let frames = [&bytes[..cut], &bytes[cut..]];
                let heard = show(&mut tap, &frames, Some([200, 1, 0, 77]), piece);
                assert_eq!(heard, expected, "cut at {cut}");
                assert_eq!((tap.counts().keys, tap.counts().unheard), (2, 0));
                cuts += 1;
            }
        }
    }
    assert!(cuts > 1000, "{cuts}");
}

#[test]
fn b06_the_format_follows_the_client_and_what_the_service_says_wins() {
    let mut tap = Tap::on_client();
    let fast = pcm16(&dialled("12", SampleRate::Hz24000));
    assert_eq!(append(&mut tap, &fast, 960), "12");
    // Asked for, and heard before it is answered.
    update(&mut tap, r#"{"input_audio_sampling_rate":16000}"#);
    let slow = pcm16(&dialled("34", SampleRate::Hz16000));
    assert_eq!(append(&mut tap, &slow, 640), "34");
    answer(&mut tap, SLOW);
    assert_eq!(append(&mut tap, &slow, 640), "34");
    // The answer is another one.
    update(&mut tap, r#"{"input_audio_format":"g711_ulaw"}"#);
    answer(&mut tap, SLOW);
    assert_eq!(append(&mut tap, &slow, 640), "34");
    let dialled = dialled("56", SampleRate::Hz8000);
    for (session, law) in [
        (r#"{"input_audio_format":"g711_ulaw"}"#, Law::Mu),
        (
            r#"{"audio":{"input":{"format":{"type":"audio/pcma"}}}}"#,
            Law::A,
        ),
    ] {
        let octets: Vec<u8> = dialled.iter().map(|&s| law.encode(s)).collect();
        update(&mut tap, session);
        assert_eq!(append(&mut tap, &octets, 160), "56");
    }
    assert_eq!((tap.counts().keys, tap.counts().unheard), (12, 0));
}

#[test]
fn b06_of_two_channels_the_first_is_heard_and_the_other_is_not() {
    let (near, far) = ("7*", "99");
    let near = dialled(near, SampleRate::Hz24000);
    let far = dialled(far, SampleRate::Hz24000);
    let both: Vec<i16> = near.iter().zip(&far).flat_map(|(n, f)| [*n, *f]).collect();
    let mut tap = Tap::on_client();
    update(
        &mut tap,
        r#"{"input_audio_echo_cancellation":{"type":"server_echo_cancellation","channels":2}}"#,
    );
    assert_eq!(append(&mut tap, &pcm16(&both), 1920), "7*");
    update(&mut tap, r#"{"input_audio_echo_cancellation":null}"#);
    assert_eq!(append(&mut tap, &pcm16(&near), 960), "7*");
}

#[test]
fn the_service_speaks_of_the_past_until_it_has_answered_everything() {
    let mut tap = Tap::on_client();
    update(&mut tap, r#"{"input_audio_sampling_rate":16000}"#);
    update(&mut tap, r#"{"input_audio_sampling_rate":8000}"#);
    let slowest = pcm16(&dialled("8", SampleRate::Hz8000));
    answer(
        &mut tap,
        r#"{"type":"session.created","session":{"input_audio_sampling_rate":24000}}"#,
    );
    assert_eq!(append(&mut tap, &slowest, 320), "8");
    answer(&mut tap, SLOW);
    assert_eq!(append(&mut tap, &slowest, 320), "8");
    // The second one was refused, so the answer to the first is what holds.
    answer(
        &mut tap,
        r#"{"type":"error","error":{"code":"invalid_value"}}"#,
    );
    let slow = pcm16(&dialled("9", SampleRate::Hz16000));
    assert_eq!(append(&mut tap, &slow, 640), "9");
    // An error about something else changes nothing.
    answer(
        &mut tap,
        r#"{"type":"error","error":{"code":"response_cancel_not_active"}}"#,
    );
    assert_eq!(append(&mut tap, &slow, 640), "9");
    assert_eq!(tap.counts().unheard, 0);
}

#[test]
fn a_format_that_nobody_understands_is_not_listened_to_until_one_comes_that_is() {
    let audio = pcm16(&dialled("1", SampleRate::Hz24000));
    let appended = audio.chunks(960).count() as u64;
    let start = r#"{"input_audio_format":"pcm16","instructions":""#;
    let long = format!(r#"{start}{}"}}"#, "x".repeat(70_000));
    let opus = r#"{"input_audio_format":"opus"}"#;
    let rate = r#"{"input_audio_sampling_rate":11025}"#;
    for odd in [&long, opus, rate] {
        for by_service in [false, true] {
            let mut tap = Tap::on_client();
            if by_service {
                let said = format!(r#"{{"type":"session.updated","session":{odd}}}"#);
                answer(&mut tap, &said);
            } else {
                update(&mut tap, odd);
            }
            assert_eq!(append(&mut tap, &audio, 960), "");
            assert_eq!((tap.counts().keys, tap.counts().unheard), (0, appended));
            // What says nothing of the coding does not help.
            update(&mut tap, r#"{"input_audio_sampling_rate":24000}"#);
            assert_eq!(append(&mut tap, &audio, 960), "");
            update(&mut tap, r#"{"input_audio_format":"pcm16"}"#);
            assert_eq!(append(&mut tap, &audio, 960), "1");
            assert_eq!(tap.counts().unheard, 2 * appended);
        }
    }
    // What is no session says nothing.
    let mut tap = Tap::on_client();
    update(&mut tap, "[]");
    assert_eq!(append(&mut tap, &audio, 960), "1");
}

#[test]
fn what_the_service_would_not_take_is_not_heard_and_leaves_no_gap() {
    let audio = pcm16(&dialled("4", SampleRate::Hz24000));
    let half = audio.len() / 2 / 960 * 960;
    let good = BASE64_STANDARD.encode(&audio);
    let other = BASE64_STANDARD.encode(pcm16(&dialled("D", SampleRate::Hz24000)));
    let bad = [
        format!(r#"{{"audio":"{other}","type":"input_audio_buffer.commit"}}"#),
        format!(r#"{{"audio":"{other}"}}"#),
        format!(r#"{{"type":"input_audio_buffer.append","audio":"{other}="}}"#),
        format!(r#"{{"type":"input_audio_buffer.append","audio":"{other}\n"}}"#),
        format!(r#"{{"type":"input_audio_buffer.append","audio":"!{other}"}}"#),
        format!(r#"{{"type":"input_audio_buffer.append","audio":"{other}AAAA"}}"#),
        format!(r#"{{"type":"input_audio_buffer.append","audio":"{other}","audio":""}}"#),
        format!(r#"{{"type":"input_audio_buffer.append","audio":"{other}""#),
    ];
    for (i, message) in bad.iter().enumerate() {
        let mut tap = Tap::on_client();
        // In the middle of a key.
        let before = append(&mut tap, &audio[..half], 960);
        assert_eq!(say(&mut tap, message), [], "{i}");
        assert_eq!(tap.counts().unheard, 1, "{message:.80}");
        let heard = before + &append(&mut tap, &audio[half..], 960);
        assert_eq!((heard.as_str(), tap.counts().keys), ("4", 1));
    }
    // Neither is anything at another depth, or in another kind of message.
    let mut tap = Tap::on_client();
    for message in [
        format!(r#"{{"type":"input_audio_buffer.append","item":{{"audio":"{good}"}}}}"#),
        format!(r#"{{"type":"conversation.item.create","audio":"{good}"}}"#),
        format!(
            r#"{{"item":[{{"audio":"{good}"}}],"type":"input_audio_buffer.append","audio":7}}"#
        ),
    ] {
        assert_eq!(say(&mut tap, &message), []);
    }
    for message in appends(&audio) {
        tap.frame(&header(OpCode::Binary, true, message.len(), None));
        tap.payload(message.as_bytes());
        assert_eq!(tap.events(), []);
    }
    assert_eq!((tap.counts().keys, tap.counts().unheard), (0, 0));
}

#[test]
fn a_format_that_changes_inside_an_append_spoils_that_append_only() {
    let audio = pcm16(&dialled("6", SampleRate::Hz24000));
    let [message, _] = appends(&audio);
    let start = message.find("\"audio\"").unwrap() + 9;
    for cut in [
        start + 1,
        start + 2,
        start + 3,
        start + 1000,
        message.len() - 1,
    ] {
        let mut tap = Tap::on_client();
        let both = r#"{"type":"session.updated","session":{"input_audio_format":"g711_ulaw"}}"#;
        tap.frame(&header(OpCode::Text, true, message.len(), None));
        tap.payload(&message.as_bytes()[..cut]);
        answer(&mut tap, both);
        tap.payload(&message.as_bytes()[cut..]);
        assert_eq!((tap.counts().keys, tap.counts().unheard), (0, 1));
        answer(&mut tap, SLOW);
        let slow = pcm16(&dialled("6", SampleRate::Hz16000));
        assert_eq!(append(&mut tap, &slow, 640), "6");
    }
}

#[test]
fn keys_beyond_what_one_message_keeps_are_counted() {
    let dialled = dialled(&"12".repeat(30), SampleRate::Hz8000);
    let octets: Vec<u8> = dialled.iter().map(|&s| Law::A.encode(s)).collect();
    let mut tap = Tap::on_client();
    update(&mut tap, r#"{"input_audio_format":"g711_alaw"}"#);
    let kept = say(&mut tap, &appends(&octets)[0]);
    assert_eq!((kept.len(), tap.counts().keys), (32, 60));
    say(&mut tap, "{}");
    assert_eq!(tap.events(), []);
}

proptest! {
    #[test]
    fn never_panics_whatever_comes_and_however(
        messages in proptest::collection::vec(
            (
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..200),
                    "[{}\\[\\]\",:\\\\ audiotypes=/A]{0,60}".prop_map(String::into_bytes),
                    proptest::collection::vec(any::<u8>(), 0..400).prop_map(|audio| appends(&audio)[1].clone().into_bytes()),
                    "(pcm16|g711_ulaw|opus)".prop_map(|format| format!(
                        r#"{{"type":"session.update","session":{{"input_audio_format":"{format}","input_audio_echo_cancellation":{{"channels":2}}}}}}"#
                    ).into_bytes()),
                ],
                any::<proptest::sample::Index>(),
                1usize..40,
                any::<bool>(),
            ),
            1..12,
        ),
        key in proptest::option::of(any::<[u8; 4]>()),
    ) {
        let (mut tap, mut service) = (Tap::on_client(), Tap::on_service());
        for (message, cut, piece, learns) in &messages {
            let (first, second) = message.split_at(cut.index(message.len() + 1));
            show(&mut tap, &[first, second], key, *piece);
            show(&mut service, &[first, second], None, *piece);
            if *learns {
                tap.frame(&header(OpCode::Text, true, 60, None));
                tap.payload(br#"{"audio":"AAA"#);
                answer(&mut tap, SLOW);
                tap.payload(br#"AAAAAA"}                                        "#);
            }
            let _ = service.told();
        }
        prop_assert!(tap.counts().messages >= messages.len() as u64);
    }
}

/// What whoever looks on sees of `stream` in pieces of `cut` bytes.
fn glimpses(tap: &mut Tap, frames: &[(OpCode, bool, &[u8])], cut: usize) -> Vec<Glimpse> {
    let mut seen = Vec::new();
    for (opcode, fin, payload) in frames {
        let key = [9, 8, 7, 6];
        tap.frame(&header(*opcode, *fin, payload.len(), Some(key)));
        let mut masked = payload.to_vec();
        mask::apply(&mut masked, key, 0);
        masked.chunks(cut).for_each(|piece| tap.payload(piece));
        seen.extend(tap.glance().into_iter().flat_map(Glance::take));
    }
    seen
}

#[test]
fn c17_whoever_looks_on_sees_kinds_and_lengths_however_messages_are_cut() {
    let audio = format!(
        r#"{{"audio": "{}", "type": "input_audio_buffer.append"}}"#,
        "A".repeat(900)
    );
    let session = format!(
        r#"{{"session": {{"x": "{}"}}, "type": "session.update"}}"#,
        "canary ".repeat(60)
    );
    let (first, rest) = session.as_bytes().split_at(301);
    let dtmf = br#"{"kind":"DtmfData","dtmfData":{"data":"5"}}"#;
    let [text, more, bytes] = [OpCode::Text, OpCode::Continuation, OpCode::Binary];
    for cut in [1, 7, 64, 10_000] {
        let mut tap = Tap::default();
        // What began before somebody looked on is not told.
        assert!(glimpses(&mut tap, &[(text, true, b"{}"), (text, false, b"{}")], cut).is_empty());
        tap.set_glance(true);
        let frames: [(OpCode, bool, &[u8]); 7] = [
            (more, true, b"{}"),
            (text, true, audio.as_bytes()),
            (text, false, first),
            (more, true, rest),
            (bytes, true, &[0; 640]),
            (text, true, dtmf),
            (text, true, b""),
        ];
        let seen = glimpses(&mut tap, &frames, cut);
        let of = |kind, bytes| Glimpse { kind, bytes };
        let length = |text: &str| Some(text.len() as u64);
        let expected = [
            of("input_audio_buffer.append", length(&audio)),
            of("session.update", length(&session)),
            of("binary", Some(640)),
            of("DtmfData", None),
            of("other", Some(0)),
        ];
        assert_eq!(seen, expected, "{cut}");
        tap.set_glance(false);
        assert!(glimpses(&mut tap, &frames, cut).is_empty() && !tap.looks);
        assert_eq!(tap.counts().messages, 13);
    }
}
