//! Who is heard, when, and how much.

use super::*;
use crate::audio::SampleRate;
use crate::dtmf::tone::{Pace, Tone, sequence, to_pcm16};
use crate::ids::PhoneNumber;

const RATE: SampleRate = SampleRate::Hz16000;
const FRAME: usize = 320;
const CALLER: &str = "4:+15551234567";

fn ani() -> Option<PhoneNumber> {
    PhoneNumber::new("+15551234567")
}

/// 100 ms of each key, 100 ms between them.
fn keys(keys: &str) -> Vec<i16> {
    let mut audio = sequence(keys, RATE, &Pace::default()).expect("only keys");
    audio.resize(audio.len().next_multiple_of(FRAME), 0);
    audio
}

/// Hears audio in frames of 20 ms as they come, from `now` on; the keys that count, and when it is over.
fn hear(
    ears: &mut Ears,
    name: Option<&str>,
    audio: &[i16],
    mut now: Duration,
) -> (String, Duration) {
    let mut heard = String::new();
    for frame in audio.chunks(FRAME) {
        now += ms(20);
        ears.hear(name, frame, now, |event| {
            if let Heard::Down { digit, .. } = event {
                heard.push(digit.as_char());
            }
        });
    }
    (heard, now)
}

#[test]
fn s33_only_the_caller_dials() {
    let mut table = 0;
    for (ani, name, counts) in [
        (ani(), Some(CALLER), true),
        (ani(), None, true),
        (ani(), Some("4:+15551234568"), false),
        (ani(), Some("4:+155512345678"), false),
        (ani(), Some("4:15551234567"), false),
        (ani(), Some("+15551234567"), false),
        (ani(), Some("8:acs:+15551234567"), false),
        (ani(), Some("28:orgid:4:+15551234567"), false),
        (ani(), Some(""), false),
        (None, Some("4:+49301234"), true),
        (None, Some("4:anonymous"), true),
        (None, Some("8:acs:someone"), false),
        (None, None, true),
    ] {
        let mut ears = Ears::new(RATE, ani, true);
        let (heard, _) = hear(&mut ears, name, &keys("823#"), Duration::ZERO);
        assert_eq!(heard, if counts { "823#" } else { "" }, "{name:?}");
        assert_eq!(ears.counts().others, if counts { 0 } else { 4 }, "{name:?}");
        table += 1;
    }
    assert_eq!(table, 13);
}

#[test]
fn s33_two_talkers_are_told_apart() {
    // Frame by frame, both at once, and an agent.
    let (right, wrong, agent) = (keys("823#"), keys("9D7*"), keys("****"));
    for known in [true, false] {
        let mut ears = Ears::new(RATE, ani().filter(|_| known), true);
        let (mut heard, mut now) = (String::new(), Duration::ZERO);
        let frames = right
            .chunks(FRAME)
            .zip(wrong.chunks(FRAME))
            .zip(agent.chunks(FRAME));
        for ((right, wrong), agent) in frames {
            now += ms(20);
            for (name, frame) in [("8:agent", agent), (CALLER, right), ("4:+49301", wrong)] {
                ears.hear(Some(name), frame, now, |event| {
                    if let Heard::Down { digit, .. } = event {
                        heard.push(digit.as_char());
                    }
                });
            }
        }
        assert_eq!(heard, "823#");
        assert_eq!(ears.counts().others, 8);
    }
}

#[test]
fn a_stream_with_names_is_not_mixed() {
    let mut ears = Ears::new(RATE, ani(), true);
    let (heard, now) = hear(&mut ears, None, &keys("8"), Duration::ZERO);
    assert_eq!(heard, "8");
    let (heard, now) = hear(&mut ears, Some(CALLER), &keys("2"), now);
    assert_eq!(heard, "2");
    // A frame of nobody is nobody's now.
    assert_eq!(hear(&mut ears, None, &keys("3"), now).0, "");
    assert_eq!(ears.counts().others, 1);
}

#[test]
fn who_was_named_first_stays_the_caller() {
    let mut ears = Ears::new(RATE, None, true);
    let (heard, now) = hear(&mut ears, Some("4:+1111"), &keys("8"), Duration::ZERO);
    assert_eq!(heard, "8");
    let (heard, now) = hear(&mut ears, Some("4:+2222"), &keys("2"), now);
    assert_eq!(heard, "");
    assert_eq!(hear(&mut ears, Some("4:+1111"), &keys("3"), now).0, "3");
    assert!(ears.is_callers(Some("4:+1111")) && ears.is_callers(None));
    assert!(!ears.is_callers(Some("4:+2222")) && !ears.is_callers(Some("8:x")));
    // Messages name somebody in mixed streams too.
    let mut ears = Ears::new(RATE, ani(), true);
    assert!(ears.is_callers(Some(CALLER)) && !ears.is_callers(Some("4:+1111")));
    assert_eq!(hear(&mut ears, None, &keys("8"), Duration::ZERO).0, "8");
}

#[test]
fn a29_participants_are_bounded_and_the_caller_stays() {
    let mut ears = Ears::new(RATE, ani(), true);
    let audio = keys("823");
    let mut now = Duration::ZERO;
    let mut heard = 0;
    for (n, frame) in audio.chunks(FRAME).enumerate() {
        now += ms(20);
        ears.hear(Some(CALLER), frame, now, |event| {
            heard += u32::from(matches!(event, Heard::Down { .. }));
        });
        // Ever new others.
        for other in 0..5 {
            let name = format!("4:+1{n}{other}0000");
            ears.hear(Some(&name), &frame[..32], now, |_| heard += 100);
        }
    }
    assert_eq!(heard, 3);
    let frames = audio.len() / FRAME;
    assert_eq!(ears.counts().forgotten, 5 * frames as u64 - 3);
    // A name that is too long to keep is not heard.
    let before = ears.counts();
    ears.hear(Some(&"4".repeat(257)), &audio, now, |_| heard += 100);
    assert_eq!(ears.counts().unheard, before.unheard + 1);
    assert_eq!(ears.counts().forgotten, before.forgotten);
    assert_eq!(heard, 3);
}

#[test]
fn a29_who_was_not_heard_for_longest_makes_room() {
    let mut ears = Ears::new(RATE, ani(), true);
    let audio = keys("5");
    let mut now = Duration::ZERO;
    for name in [CALLER, "4:+1", "4:+2", "4:+3"] {
        now += ms(1);
        ears.hear(Some(name), &[0; FRAME], now, |_| {});
    }
    // One of the others presses a key; a fifth comes in the middle of it.
    for (n, frame) in audio.chunks(FRAME).enumerate() {
        now += ms(20);
        ears.hear(Some("4:+3"), frame, now, |_| {});
        if n == 6 {
            ears.hear(Some("4:+4"), &[0; FRAME], now - ms(1), |_| {});
        }
    }
    assert_eq!((ears.counts().forgotten, ears.counts().others), (1, 1));
}

#[test]
fn a29_no_more_is_heard_in_a_second_than_that() {
    // A minute at once: the burst and no more.
    let second = vec![0; RATE.hz() as usize];
    let mut ears = Ears::new(RATE, ani(), true);
    for _ in 0..60 {
        ears.hear(Some(CALLER), &second, ms(0), |_| {});
    }
    assert_eq!(ears.counts().unheard, 55);
    // Then two a second.
    for n in 1..=10 {
        for _ in 0..5 {
            ears.hear(Some(CALLER), &second, Duration::from_secs(n), |_| {});
        }
    }
    assert_eq!(ears.counts().unheard, 55 + 10 * 3);
    // Others cost the caller nothing, and a clock that jumps brings nothing back.
    for _ in 0..60 {
        ears.hear(Some("4:+1"), &second, Duration::from_secs(10), |_| {});
    }
    assert_eq!(ears.counts().unheard, 85 + 55);
    ears.hear(Some(CALLER), &second, Duration::from_secs(10), |_| {});
    ears.hear(Some(CALLER), &second, Duration::from_secs(1), |_| {});
    ears.hear(Some(CALLER), &second, Duration::from_secs(10), |_| {});
    assert_eq!(ears.counts().unheard, 140 + 3);
    let (heard, _) = hear(
        &mut ears,
        Some(CALLER),
        &keys("823"),
        Duration::from_secs(11),
    );
    assert_eq!(heard, "823");
}

#[test]
fn keys_are_told_in_media_time() {
    for rate in SampleRate::ALL {
        for step in [10, 20, 100, 600] {
            let mut ears = Ears::new(rate, ani(), true);
            let audio = sequence("82", rate, &Pace::default()).expect("only keys");
            let mut told = Vec::new();
            // The stream begins late, pauses, and comes in frames of any length.
            let mut now = ms(700);
            for frame in audio.chunks(rate.hz() as usize * step / 1000) {
                now += Duration::from_secs_f64(frame.len() as f64 / f64::from(rate.hz()));
                ears.hear(Some(CALLER), frame, now, |event| told.push(event));
            }
            let at: Vec<i64> = told
                .iter()
                .map(|event| match event {
                    Heard::Down { at, .. } | Heard::Up { at } => at.as_millis() as i64,
                })
                .collect();
            assert_eq!(at.len(), 4, "{rate:?} {step}");
            for (at, expected) in at.iter().zip([800, 900, 1000, 1100]) {
                assert!((at - expected).abs() <= 8, "{rate:?} {step}: {at:?}");
            }
        }
    }
}

#[test]
fn a_gap_in_a_stream_is_a_gap_in_time() {
    let mut ears = Ears::new(RATE, ani(), true);
    let mut downs = Vec::new();
    let audio = keys("8");
    for start in [0, 10_000] {
        for (n, frame) in audio.chunks(FRAME).enumerate() {
            let now = ms(start + 20 * (n as u64 + 1));
            ears.hear(Some(CALLER), frame, now, |event| {
                if let Heard::Down { at, .. } = event {
                    downs.push(at.as_millis());
                }
            });
        }
    }
    assert_eq!(downs.len(), 2);
    assert!(
        downs[0].abs_diff(100) < 8 && downs[1].abs_diff(10_100) < 8,
        "{downs:?}"
    );
    let all = Look {
        from: Duration::ZERO,
        to: ms(20_000),
    };
    let found: Vec<u128> = ears
        .look_again(all)
        .keys()
        .iter()
        .map(|(_, at)| at.as_millis())
        .collect();
    assert_eq!(found.len(), 2);
    assert!((0..2).all(|i| found[i].abs_diff(downs[i]) < 8), "{found:?}");
}

#[test]
fn single_samples_are_bounded_too() {
    let mut ears = Ears::new(SampleRate::Hz8000, ani(), true);
    let audio = sequence("823", SampleRate::Hz8000, &Pace::default()).expect("only keys");
    let mut heard = 0;
    for (n, sample) in audio.iter().enumerate() {
        let now = Duration::from_micros(125 * n as u64);
        ears.hear(None, std::slice::from_ref(sample), now, |event| {
            heard += u32::from(matches!(event, Heard::Down { .. }));
        });
    }
    assert_eq!(heard, 3);
    assert!(ears.arrivals() < 2 * 70, "{}", ears.arrivals());
    for n in 0..20_000u64 {
        ears.hear(None, &[0; 80], Duration::from_secs(1) + ms(10 * n), |_| {});
    }
    assert_eq!(ears.arrivals(), 1024);
}

/// A line with keys of any level, each for 100 ms.
fn dialled(rate: SampleRate, presses: &[(char, f64, f64)]) -> Vec<i16> {
    let mut line = vec![0.0; 4 * rate.hz() as usize];
    for &(key, at, level) in presses {
        Tone::new(digit(key), level).add_to(&mut line, rate, at, 0.1);
    }
    to_pcm16(&line)
}

#[test]
fn a24_a_look_stays_within_the_entry_s_own_time_and_is_gone_with_the_verdict() {
    for rate in SampleRate::ALL {
        // Soft keys, which only the second look hears: before a star, in the entry, and after its end.
        let audio = dialled(
            rate,
            &[
                ('5', 0.2, -43.0),
                ('*', 0.5, -10.0),
                ('8', 0.9, -10.0),
                ('2', 1.2, -43.0),
                ('3', 1.5, -10.0),
                ('#', 1.8, -10.0),
                ('7', 2.1, -43.0),
            ],
        );
        let mut ears = Ears::new(rate, ani(), true);
        let mut gate = Gate::new(&config::Gate {
            second_look: true,
            ..pstn()
        });
        let mut now = Duration::ZERO;
        for frame in audio.chunks(rate.hz() as usize / 50) {
            now += ms(20);
            ears.hear(Some(CALLER), frame, now, |event| match event {
                Heard::Down { digit, at } => {
                    assert_eq!(gate.press(Feed::InBand, digit, at), Press::New);
                }
                Heard::Up { at } => gate.release(at),
            });
        }
        // Looked at late, when more has been heard than the entry.
        let mut look = None;
        while let Some(want) = gate.poll(now) {
            if let Want::Look(wanted) = want {
                look = Some(wanted);
            }
        }
        let look = look.expect("the 2 was too soft");
        let found = ears.look_again(look);
        let labels: String = found
            .keys()
            .iter()
            .map(|(key, _)| char::from(key.0))
            .collect();
        assert_eq!(labels, "823#", "{rate:?}");
        gate.look_again(&found, now);
        assert_eq!(wants(&mut gate, now), ["try 1 823"], "{rate:?}");
        // All of it is there until the verdict.
        let all = Look {
            from: Duration::ZERO,
            to: now,
        };
        assert_eq!(ears.look_again(all).count(), 7);
        ears.forget();
        assert_eq!(ears.look_again(all).count(), 0);
        let (heard, _) = hear(&mut ears, Some(CALLER), &[0; FRAME], now);
        assert_eq!((heard.as_str(), ears.look_again(all).count()), ("", 0));
    }
}
