//! The detector as a stream meets it: any pieces, either law, no allocation, one down and one up.

use crate::grade::listen;
use crate::line::{Line, Rng};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tonegate::audio::SampleRate;
use tonegate::audio::g711::Law;
use tonegate::dtmf::tone::{Pace, Tone, sequence, to_pcm16};
use tonegate::dtmf::{Detector, Digit, Event, STATE_BYTES, Setting};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
#[allow(unsafe_code, reason = "a counting allocator cannot be had otherwise")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of this thread while `work` runs.
pub(crate) fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn nothing_is_allocated_after_creation_and_the_state_is_small() {
    let counted = allocations(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(100))));
    assert_eq!(counted, 1, "a counter that does not count shows nothing");
    let mut heard = 0;
    for rate in SampleRate::ALL {
        let audio = sequence("147*2580369#ABCD", rate, &Pace::default()).expect("only keys");
        let octets: Vec<u8> = audio.iter().map(|&sample| Law::A.encode(sample)).collect();
        for setting in [Setting::Standard, Setting::Lenient] {
            let mut detector = Detector::new(rate, setting);
            detector.push(&audio[..160], |_| heard += 1); // the first use builds the table
            let counted = allocations(|| {
                let (early, late) = audio[160..].split_at(audio.len() / 2);
                detector.push(early, |_| heard += 1);
                for piece in late.chunks(333) {
                    detector.push(piece, |_| heard += 1);
                }
                detector.push_g711(Law::A, &octets, |_| heard += 1);
            });
            assert_eq!(counted, 0);
        }
    }
    assert_eq!(heard, 4 * 2 * 64);
    assert!(
        size_of::<Detector>() <= STATE_BYTES,
        "{}",
        size_of::<Detector>()
    );
}

#[test]
fn keys_that_touch_take_turns() {
    let mut heard = 0;
    for rate in SampleRate::ALL {
        for gap in [0.0, 0.003, 0.007, 0.012, 0.02] {
            let mut line = Line::new(rate, 21 + (gap * 1e3) as u64);
            let mut keys = line.shuffled();
            keys.extend(line.shuffled());
            keys.dedup();
            for &digit in &keys {
                let phase = [line.rng.unit(), line.rng.unit()];
                let tone = Tone {
                    phase,
                    ..Tone::new(digit, -10.0)
                };
                line.press(tone, 0.06, gap, true);
            }
            let (audio, presses, _) = line.finish(None);
            let events = listen(&audio, rate, Setting::Standard);
            let mut free_from = 0;
            for event in &events {
                match *event {
                    Event::KeyDown { start, .. } => {
                        assert!(start >= free_from, "{rate:?}, gap {gap}");
                        heard += 1;
                    }
                    Event::KeyUp { end, start, .. } => {
                        let sent = presses.iter().map(|press| press.start + press.duration);
                        let off = sent.map(|end_of| (end_of * 1000.0 - rate.millis(end)).abs());
                        let off = off.fold(f64::MAX, f64::min);
                        assert!(off < 8.0, "{rate:?}, gap {gap}: ends {off} ms off");
                        assert!(end > start);
                        free_from = end;
                    }
                }
            }
            assert_eq!(events.len(), 2 * presses.len(), "{rate:?}, gap {gap}");
        }
    }
    assert!(heard > 4 * 5 * 25);
}

#[test]
fn a_key_ends_where_one_that_is_pressed_on_top_of_it_begins() {
    let mut turns = 0;
    for rate in SampleRate::ALL {
        for (first, second) in [('1', '5'), ('9', 'D'), ('*', '3'), ('0', 'C')] {
            let key = |label| Tone::new(Digit::from_char(label).expect("a key"), -10.0);
            let mut line = vec![0.0; rate.hz() as usize / 2];
            key(first).add_to(&mut line, rate, 0.1, 0.1);
            key(second).add_to(&mut line, rate, 0.185, 0.1);
            let mut up = None;
            for event in listen(&to_pcm16(&line), rate, Setting::Standard) {
                match event {
                    Event::KeyUp { end, .. } => up = up.or(Some(end)),
                    Event::KeyDown { start, .. } => {
                        let Some(end) = up else { continue };
                        assert!(start >= end, "{rate:?} {first}{second}: {end} then {start}");
                        turns += 1;
                    }
                }
            }
        }
    }
    assert_eq!(turns, 16);
}

#[test]
fn a_key_that_keeps_dropping_out_is_one_press() {
    for rate in SampleRate::ALL {
        for digit in Digit::all() {
            let mut line = Line::new(rate, 4);
            line.press(Tone::new(digit, -10.0), 0.3, 0.05, true);
            // Each ends the key, and is too short for a pause.
            for at in [0.060, 0.105, 0.165] {
                line.interrupt(at, 0.023);
            }
            let (audio, ..) = line.finish(None);
            let events = listen(&audio, rate, Setting::Standard);
            assert_eq!(events.len(), 2, "{rate:?}: {events:?}");
        }
    }
}

#[test]
fn any_pieces_give_the_same_events() {
    let mut rng = Rng::new(11);
    let mut compared = 0;
    for rate in SampleRate::ALL {
        let audio = sequence(
            "159D,*0#",
            rate,
            &Pace {
                pause: 0.3,
                ..Pace::default()
            },
        )
        .expect("only keys");
        let whole = listen(&audio, rate, Setting::Standard);
        assert_eq!(whole.len(), 14);
        for most in [1, 2, 3, 7, 40, 161, 1000] {
            let mut detector = Detector::new(rate, Setting::Standard);
            let mut events = Vec::new();
            let mut rest = &audio[..];
            while !rest.is_empty() {
                let (piece, later) = rest.split_at((1 + rng.below(most)).min(rest.len()));
                detector.push(piece, |event| events.push(event));
                rest = later;
            }
            assert_eq!(events, whole, "{rate:?}, pieces up to {most}");
            compared += 1;
        }
    }
    assert_eq!(compared, 28);
}

#[test]
fn g711_octets_are_heard_as_their_samples() {
    for law in [Law::Mu, Law::A] {
        let rate = SampleRate::Hz8000;
        let audio = sequence("0123456789", rate, &Pace::default()).expect("only keys");
        let octets: Vec<u8> = audio.iter().map(|&sample| law.encode(sample)).collect();
        let decoded: Vec<i16> = octets.iter().map(|&octet| law.decode(octet)).collect();
        let mut events = Vec::new();
        let mut detector = Detector::new(rate, Setting::Standard);
        for piece in octets.chunks(333) {
            detector.push_g711(law, piece, |event| events.push(event));
        }
        assert_eq!(events, listen(&decoded, rate, Setting::Standard));
        assert_eq!(events.len(), 20);
    }
}

#[test]
fn what_is_reported_is_what_was_sent() {
    let mut seen = 0;
    for rate in SampleRate::ALL {
        for digit in Digit::all() {
            let mut line = Line::new(rate, 5);
            let sent = Tone {
                level_dbm0: [-12.0, -17.0],
                deviation: [0.012, -0.009],
                ..Tone::new(digit, 0.0)
            };
            line.press(sent, 0.1, 0.05, true);
            let noise = if seen % 2 == 0 { -40.0 } else { -19.0 };
            line.noise(noise);
            let (audio, presses, _) = line.finish(None);
            let events = listen(&audio, rate, Setting::Standard);
            let [
                Event::KeyDown {
                    quality,
                    start,
                    decided,
                    ..
                },
                Event::KeyUp {
                    end, start: same, ..
                },
            ] = events[..]
            else {
                panic!("{rate:?}: {events:?}");
            };
            assert_eq!(start, same);
            let press = presses[0];
            let ms = |seconds: f64| seconds * 1000.0;
            assert!((rate.millis(start) - ms(press.start)).abs() < 2.0);
            assert!((rate.millis(end) - ms(press.start + press.duration)).abs() < 3.0);
            assert!(rate.millis(decided) - ms(press.start) < 45.0);
            // The softer tone under noise at -19 dBm0 has a level that noise moves.
            let exact = if noise == -40.0 { 0.3 } else { 1.5 };
            for i in 0..2 {
                assert!((f64::from(quality.level_dbm0[i]) - sent.level_dbm0[i]).abs() < exact);
                assert!((f64::from(quality.deviation[i]) - sent.deviation[i]).abs() < 0.003);
            }
            assert!(
                (quality.twist_db() + 5.0).abs() < 2.0,
                "{}",
                quality.twist_db()
            );
            // -12 and -17 dBm0 together are -10.8; the noise is given up to 4 kHz.
            let snr_db = f64::from(quality.snr_db);
            let expected = if noise == -40.0 {
                14.0..=20.0
            } else {
                4.0..=16.0
            };
            assert!(expected.contains(&snr_db), "{snr_db}");
            seen += 1;
        }
    }
    assert_eq!(seen, 64);
}

#[test]
fn a_key_held_for_a_minute_is_one_key() {
    let rate = SampleRate::Hz16000;
    let pace = Pace {
        tone: 60.0,
        ..Pace::default()
    };
    let events = listen(
        &sequence("5", rate, &pace).expect("only keys"),
        rate,
        Setting::Standard,
    );
    assert_eq!(events.len(), 2, "{events:?}");
}

#[test]
fn the_lenient_setting_hears_what_the_standard_one_leaves_out() {
    let rate = SampleRate::Hz8000;
    let mut counts = [0; 2];
    let mut line = Line::new(rate, 9);
    for digit in Digit::all() {
        line.press(Tone::new(digit, -43.0), 0.06, 0.06, true);
    }
    let (audio, ..) = line.finish(None);
    for (count, setting) in counts.iter_mut().zip([Setting::Standard, Setting::Lenient]) {
        let down = |event: &&Event| matches!(event, Event::KeyDown { .. });
        *count = listen(&audio, rate, setting).iter().filter(down).count();
    }
    assert_eq!(counts, [0, 16]);
}
