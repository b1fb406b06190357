use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn audio(text: &str) -> Audio<'_> {
    match read(text.as_bytes()) {
        Ok(Message::Audio(audio)) => audio,
        other => panic!("{text}: {other:?}"),
    }
}

fn key(text: &str) -> Option<char> {
    match read(text.as_bytes()) {
        Ok(Message::Dtmf(dtmf)) => dtmf.key.map(Key::as_char),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn reads_audio_as_acs_and_every_sdk_write_it() {
    let acs = audio(
        r#"{"kind":"AudioData","audioData":{"timestamp":"2026-05-04T10:00:00.020Z","participantRawID":"4:+15551234567","data":"AbC+/9==","silent":true}}"#,
    );
    assert_eq!(acs.data.text(), b"AbC+/9==");
    assert!(acs.participant.unwrap().is(b"4:+15551234567"));
    assert!(acs.silent);
    for text in [
        r#"{"Kind":"AudioData","AudioData":{"Data":"AAAA","Timestamp":"0001-01-01T00:00:00+00:00","Participant":null,"IsSilent":false},"StopAudio":null}"#,
        r#"{"Kind":"AudioData","AudioData":{"Data":"AAAA"},"StopAudio":null}"#,
        r#"{"kind":"audioData","audioData":{"data":"AAAA","isSilent":false},"stopAudio":{}}"#,
        r#" { "stopAudio" : [{"kind":"no"}] , "AUDIODATA" : { "x":{"data":"no"}, "DATA" : "AAAA" , "participantRawID":null} , "\u006bind" : "Audio\u0044ata" } "#,
    ] {
        let audio = audio(text);
        assert_eq!(audio.data.text(), b"AAAA", "{text}");
        assert_eq!((audio.participant, audio.silent), (None, false), "{text}");
    }
    for text in [
        r#"{"kind":"AudioData","audioData":{"data":""}}"#,
        r#"{"kind":"AudioData","audioData":{"data":null,"silent":"true"}}"#,
        r#"{"kind":"AudioData","audioData":{"participantRawID":7,"silent":null}}"#,
    ] {
        let audio = audio(text);
        assert_eq!(audio.data.plain().as_deref(), Some(&b""[..]), "{text}");
        assert_eq!((audio.participant, audio.silent), (None, false), "{text}");
    }
    let escaped = audio(
        r#"{"kind":"AudioData","audioData":{"data":"A\u002B\/A","participantRawID":"4:\u002b1"}}"#,
    );
    assert!(escaped.data.is_escaped());
    assert_eq!(escaped.data.plain().as_deref(), Some(&b"A+/A"[..]));
    assert!(escaped.participant.unwrap().is(b"4:+1"));
}

#[test]
fn reads_metadata_and_what_is_missing_in_it() {
    let whole = r#"{"kind":"AudioMetadata","audioMetadata":{"subscriptionId":"0a","encoding":"pcm","sampleRate":24000,"channels":1,"length":960}}"#;
    let metadata = Metadata {
        rate: Some(24_000),
        channels: Some(1),
        length: Some(960),
        encoding: Encoding::Pcm,
    };
    assert_eq!(read(whole.as_bytes()), Ok(Message::Metadata(metadata)));
    let nothing = Metadata {
        rate: None,
        channels: None,
        length: None,
        encoding: Encoding::Pcm,
    };
    for text in [
        r#"{"kind":"AudioMetadata","audioMetadata":{}}"#,
        r#"{"kind":"AudioMetadata","audioMetadata":{"encoding":null,"sampleRate":"24000","channels":-1,"length":1.5}}"#,
        r#"{"kind":"AudioMetadata","audioMetadata":{"sampleRate":99999999999,"channels":{},"length":null}}"#,
    ] {
        assert_eq!(
            read(text.as_bytes()),
            Ok(Message::Metadata(nothing)),
            "{text}"
        );
    }
    for encoding in ["\"opus\"", "7", "[]", "{}", "false", "\"PCM \""] {
        let text =
            format!(r#"{{"kind":"AudioMetadata","audioMetadata":{{"encoding":{encoding}}}}}"#);
        let other = Metadata {
            encoding: Encoding::Other,
            ..nothing
        };
        assert_eq!(
            read(text.as_bytes()),
            Ok(Message::Metadata(other)),
            "{text}"
        );
    }
}

#[test]
fn a22_a_key_is_a_character_or_a_name_and_debug_does_not_tell_it() {
    for (data, label) in [
        ("3", Some('3')),
        ("three", Some('3')),
        ("Zero", Some('0')),
        ("pound", Some('#')),
        ("hash", Some('#')),
        ("#", Some('#')),
        ("asterisk", Some('*')),
        ("star", Some('*')),
        ("a", Some('A')),
        ("D", Some('D')),
        (r"\u0033", Some('3')),
        ("e", None),
        ("33", None),
        ("", None),
        ("ten", None),
    ] {
        let text = format!(r#"{{"kind":"DtmfData","dtmfData":{{"data":"{data}"}}}}"#);
        assert_eq!(key(&text), label, "{text}");
    }
    let text = br#"{"kind":"DtmfData","dtmfData":{"data":"8","participantRawID":"4:+1"}}"#;
    let shown = format!("{:?}", read(text).unwrap());
    assert!(shown.contains("Key(_)") && !shown.contains('8') && !shown.contains("4:"));
}

#[test]
fn a01_other_kinds_are_known_as_such_and_never_an_error() {
    for text in [
        r#"{"kind":"MarkData","markData":{"id":"m1","status":"Completed"}}"#,
        r#"{"kind":"DtmfMetadata","dtmfData":7}"#,
        r#"{"kind":"","audioData":{"data":7}}"#,
        r#"{"kind":"AudioData2"}"#,
    ] {
        assert_eq!(read(text.as_bytes()), Ok(Message::Unknown), "{text}");
    }
    for text in [
        r#"{"kind":"StopAudio"}"#,
        r#"{"Kind":"StopAudio","AudioData":null,"StopAudio":{}}"#,
        r#"{"kind":"stopAudio","stopAudio":{}}"#,
    ] {
        assert_eq!(read(text.as_bytes()), Ok(Message::StopAudio), "{text}");
    }
}

#[test]
fn a01_what_is_no_message_or_says_a_thing_twice_is_unreadable() {
    for text in [
        "",
        "{}",
        "[]",
        "null",
        r#""AudioData""#,
        r#"{"kind":7}"#,
        r#"{"kind":"AudioData"}"#,
        r#"{"kind":"AudioData","audioData":null}"#,
        r#"{"kind":"AudioData","audioData":{"data":7}}"#,
        r#"{"kind":"AudioData","audioData":{"data":true}}"#,
        r#"{"kind":"AudioData","audioData":{"data":"AA""#,
        r#"{"kind":"AudioData","audioData":{"data":"AA"}}{}"#,
        r#"{"kind":"AudioData","audioData":{"data":"AA"},}"#,
        r#"{"kind":"AudioData","audioData":{"data":"AA"}"#,
        r#"{"kind":"AudioData" "audioData":{"data":"AA"}}"#,
        r#"{"kind":"AudioData","Kind":"StopAudio","audioData":{"data":"AA"}}"#,
        r#"{"kind":"AudioData","audioData":{"data":"AA"},"AudioData":{"data":"BB"}}"#,
        r#"{"kind":"AudioData","audioData":{"data":"AA"},"audio\u0044ata":null}"#,
        r#"{"kind":"AudioData","audioData":{"data":"AA","d\u0061ta":"BB"}}"#,
        r#"{"kind":"AudioData","audioData":{"data":"AA","silent":false,"Silent":true}}"#,
        r#"{"kind":"DtmfData","dtmfData":{"data":"1","Data":"2"}}"#,
        r#"{"kind":"DtmfData","dtmfData":["1"]}"#,
        r#"{"kind":"AudioMetadata","audioMetadata":{"sampleRate":1,"sampleRate":2}}"#,
        r#"{"\kind":"x","kind":"StopAudio"}"#,
        r#"{"kind":"AudioData","audioData":{"\data":"AA"}}"#,
        r#"{"kind":"\Stop"}"#,
    ] {
        assert_eq!(read(text.as_bytes()), Err(Unreadable), "{text}");
    }
}

#[test]
fn writes_what_the_protocol_says() {
    let message = [AUDIO_PREFIX, b"AAAA", AUDIO_SUFFIX].concat();
    let golden = r#"{"Kind":"AudioData","AudioData":{"Data":"AAAA"},"StopAudio":null}"#;
    assert_eq!(message, golden.as_bytes());
    assert_eq!((AUDIO_PREFIX.len(), AUDIO_SUFFIX.len()), (41, 20));
    assert_eq!(audio(golden).data.text(), b"AAAA");
    assert_eq!(read(STOP_AUDIO), Ok(Message::StopAudio));
    let stop: Value = serde_json::from_slice(STOP_AUDIO).unwrap();
    assert_eq!(
        stop,
        serde_json::json!({"Kind": "StopAudio", "AudioData": null, "StopAudio": {}})
    );
}

/// Writes a string with escapes where `dice` says so.
fn quote(text: &str, dice: &mut impl FnMut() -> u8) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let must = matches!(c, '"' | '\\' | '\0'..='\u{1f}');
        match dice() % 8 {
            0 => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out += &format!("\\u{unit:04X}");
                }
            }
            1 if c == '/' => out += "\\/",
            _ if must => out += &format!("\\u{:04x}", c as u32),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

fn case(name: &str, dice: &mut impl FnMut() -> u8) -> String {
    match dice() % 4 {
        0 => name.to_ascii_uppercase(),
        1 => name[..1].to_ascii_uppercase() + &name[1..],
        _ => name.to_owned(),
    }
}

/// An object of these members in any order, with white space and members that are none of ours.
fn object(
    mut members: Vec<(String, String)>,
    noise: &str,
    dice: &mut impl FnMut() -> u8,
) -> String {
    for _ in 0..dice() % 3 {
        let value = match dice() % 5 {
            0 => format!("[{{\"kind\":{}}},[],-1.5e+3]", quote(noise, dice)),
            1 => format!("{{\"data\":{}, \"silent\":true}}", quote(noise, dice)),
            2 => "null".to_owned(),
            _ => quote(noise, dice),
        };
        members.push((format!("{noise}-{}", members.len()), value));
    }
    for at in (1..members.len()).rev() {
        members.swap(at, usize::from(dice()) % (at + 1));
    }
    let gap = |dice: u8| [" ", "\t\r\n", "", ""][usize::from(dice % 4)];
    let written = members.iter().map(|(key, value)| {
        let key = quote(key, dice);
        [
            gap(dice()),
            &key,
            gap(dice()),
            ":",
            gap(dice()),
            value,
            gap(dice()),
        ]
        .concat()
    });
    let written: Vec<String> = written.collect();
    format!("{{{}}}", written.join(","))
}

/// What `serde_json` finds under a key, its case aside.
fn member<'a>(object: &'a Value, name: &str) -> &'a Value {
    let members = object.as_object().unwrap().iter();
    let mut found = members.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    found.next().map_or(&Value::Null, |(_, value)| value)
}

proptest! {
    #[test]
    fn a01_reads_what_serde_json_reads_however_it_is_written(
        data in "[A-Za-z0-9+/]{0,40}={0,2}",
        participant in proptest::option::of("[48]:[+a-z0-9_\u{e9}\"\\\\/]{1,12}"),
        silent in proptest::option::of(any::<bool>()),
        kind in proptest::sample::select(vec!["AudioData", "DtmfData", "StopAudio", "MarkData"]),
        digit in proptest::sample::select(vec!["1", "pound", "a", "nine", "?"]),
        noise in "\\PC{0,8}",
        seeds in proptest::collection::vec(any::<u8>(), 64),
    ) {
        let mut seeds = seeds.into_iter().cycle().enumerate();
        let mut dice = || seeds.next().map_or(0, |(at, seed)| seed.wrapping_add((at / 64) as u8));
        let mut fields = vec![(case("data", &mut dice), quote(&data, &mut dice))];
        if let Some(participant) = &participant {
            fields.push((case("participantRawID", &mut dice), quote(participant, &mut dice)));
        }
        if let Some(silent) = silent {
            fields.push((case("silent", &mut dice), silent.to_string()));
        }
        let audio = object(fields, &noise, &mut dice);
        let dtmf = object(vec![(case("data", &mut dice), quote(digit, &mut dice))], &noise, &mut dice);
        let text = object(vec![
            (case("kind", &mut dice), quote(&case(kind, &mut dice), &mut dice)),
            (case("audioData", &mut dice), audio),
            (case("dtmfData", &mut dice), dtmf),
        ], &noise, &mut dice);
        let theirs: Value = serde_json::from_str(&text).unwrap();
        match read(text.as_bytes()).unwrap() {
            Message::Audio(ours) => {
                prop_assert_eq!(kind, "AudioData");
                let theirs = member(&theirs, "audioData");
                let data = ours.data.plain().unwrap();
                prop_assert_eq!(member(theirs, "data").as_str().unwrap().as_bytes(), data.as_ref());
                let who = ours.participant.map(|who| who.unescape().unwrap().into_owned());
                prop_assert_eq!(member(theirs, "participantRawID").as_str().map(Vec::from), who);
                prop_assert_eq!(member(theirs, "silent").as_bool().unwrap_or(false), ours.silent);
            }
            Message::Dtmf(ours) => {
                prop_assert_eq!(kind, "DtmfData");
                prop_assert_eq!(ours.key, Key::named(digit.as_bytes()));
                prop_assert_eq!(ours.key.is_none(), digit == "?");
            }
            Message::StopAudio => prop_assert_eq!(kind, "StopAudio"),
            Message::Unknown => prop_assert_eq!(kind, "MarkData"),
            Message::Metadata(_) => prop_assert!(false),
        }
    }

    #[test]
    fn a01_never_panics_and_reads_no_part_of_a_message(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..100),
            "[{}\\[\\]\",:\\\\ kindauoDtmfS1u0]{0,80}".prop_map(String::into_bytes),
        ],
        start in proptest::sample::select(vec!["", "{\"kind\":\"AudioData\",\"audioData\":{\"", "{\"kind\":\"DtmfData\",\"dtmfData\":{\"data\":\""]),
        cut in any::<proptest::sample::Index>(),
    ) {
        let _ = read(&[start.as_bytes(), &bytes].concat());
        let whole = br#"{"kind":"AudioData","audioData":{"data":"AAAA","silent":false}}"#;
        let part = &whole[..cut.index(whole.len())];
        prop_assert_eq!(read(part), Err(Unreadable));
    }
}

#[test]
fn a_peek_tells_audio_in_every_casing_and_waits_for_what_it_needs() {
    let audio = [
        r#"{"kind":"AudioData","audioData":{"data":"AAAA"}}"#,
        r#"{ "Kind" : "audioData", "AudioData":{}}"#,
        r#"{"audioData":{"data":"AAAA"},"kind":"AudioData"}"#,
    ];
    for text in audio {
        assert_eq!(peek(text.as_bytes()), Some(Kind::Audio), "{text}");
    }
    for text in [
        r#"{"kind":"AudioMetadata","audioMetadata":{}}"#,
        r#"{"kind":"StopAudio"}"#,
        r#"{"dtmfData":{}}"#,
    ] {
        assert_eq!(peek(text.as_bytes()), Some(Kind::Other), "{text}");
    }
    let undecided = audio[0].as_bytes();
    for length in 0..19 {
        assert_eq!(peek(&undecided[..length]), None, "{length}");
    }
}
