//! Sounds for a detector, and the hearing of them.

use std::hint::black_box;

use tonegate::audio::SampleRate;
use tonegate::dtmf::tone::{Pace, Tone, sequence, to_pcm16};
use tonegate::dtmf::{Detector, Digit};

/// Half a second each, which at 16 kHz is half of a first-level cache: white noise at -20 dBm0, never
/// silent and never a key; the same under pulses at 120 Hz, a hard case, as every window has a pair
/// that stands out; silence; half of the time noise and half of it comfort noise at -60 dBm0, as a call
/// is; a key that is held. And a second with five keys.
pub(crate) fn sounds(rate: SampleRate) -> [(&'static str, Vec<i16>); 6] {
    let hz = rate.hz() as usize;
    let half = hz / 2;
    let mut state = 1u32;
    let noise: Vec<i16> = (0..half)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 20) as i32 - 2048) as i16
        })
        .collect();
    let pulse = |n: usize| {
        if n % (hz / 120) < hz / 600 {
            6000
        } else {
            -1500
        }
    };
    let pulses = noise
        .iter()
        .enumerate()
        .map(|(n, x)| x + pulse(n))
        .collect();
    let soft = |(n, x): (usize, &i16)| if n < half / 2 { *x } else { x >> 6 };
    let call = noise.iter().enumerate().map(soft).collect();
    let mut held = vec![0.0; half];
    let key = Digit::from_char('5').expect("it is a key");
    Tone::new(key, -6.0).add_to(&mut held, rate, 0.0, 1.0);
    let mut keys = sequence("1590D", rate, &Pace::default()).expect("only keys");
    keys.truncate(hz);
    [
        ("noise", noise),
        ("pulses", pulses),
        ("silence", vec![0; half]),
        ("half silent", call),
        ("key held", to_pcm16(&held)),
        ("keys", keys),
    ]
}

/// Samples of 20 ms.
pub(crate) fn frame(rate: SampleRate) -> usize {
    rate.hz() as usize / 50
}

/// Hears `audio` frame by frame.
pub(crate) fn hear(detector: &mut Detector, audio: &[i16], rate: SampleRate) {
    for frame in audio.chunks_exact(frame(rate)) {
        detector.push(black_box(frame), |event| {
            black_box(event);
        });
    }
}
