//! The mandatory box of `DTMF.md` section 1, at its exact edges, and what lies beyond it.

use crate::grade::{Grade, grade, quantile};
use crate::line::{Line, Press, Rng};
use std::sync::atomic::{AtomicUsize, Ordering};
use tonegate::audio::SampleRate;
use tonegate::audio::g711::Law;
use tonegate::audio::wav::Wav;
use tonegate::dtmf::Digit;
use tonegate::dtmf::tone::Tone;

/// A named way to fill a line; `keys` are pressed in order.
type Fill = fn(&mut Line, &[Digit]) -> Option<Law>;

/// `digit` with random phases at `level` dBm0.
fn tone(line: &mut Line, digit: Digit, level: f64) -> Tone {
    Tone {
        phase: [line.rng.unit(), line.rng.unit()],
        ..Tone::new(digit, level)
    }
}

/// Presses all keys as `shape` says. Half of the pauses are exactly `off`, the others a bit longer, so
/// that keys meet the detector's windows anywhere.
fn press_all(
    line: &mut Line,
    keys: &[Digit],
    level: f64,
    on: f64,
    off: f64,
    shape: fn(&mut Rng, Tone) -> Tone,
) {
    for &digit in keys {
        let tone = tone(line, digit, level);
        let tone = shape(&mut line.rng, tone);
        let jitter = line.rng.between(-0.005, 0.005).max(0.0);
        line.press(tone, on, off + jitter, true);
    }
}

fn reject_all(
    line: &mut Line,
    keys: &[Digit],
    level: f64,
    on: f64,
    off: f64,
    shape: fn(&mut Rng, Tone) -> Tone,
) {
    let from = line.presses.len();
    press_all(line, keys, level, on, off, shape);
    for press in &mut line.presses[from..] {
        press.valid = false;
    }
}

fn plain(_: &mut Rng, tone: Tone) -> Tone {
    tone
}

fn deviate(ratio: f64, rng: &mut Rng, tone: Tone) -> Tone {
    Tone {
        deviation: [ratio * rng.sign(), ratio * rng.sign()],
        ..tone
    }
}

/// One tone off by `ratio`, the other anywhere within 1.5 %.
fn stray(ratio: f64, rng: &mut Rng, mut tone: Tone) -> Tone {
    let which = rng.below(2);
    tone.deviation[which] = ratio * rng.sign();
    tone.deviation[1 - which] = rng.between(-0.015, 0.015);
    tone
}

/// Anything legal: level, twist and deviation.
fn legal(rng: &mut Rng, mut tone: Tone) -> Tone {
    let twist = rng.between(-8.0, 4.0);
    let weak = rng.between(-25.0, -f64::abs(twist));
    let loud = weak + f64::abs(twist);
    tone.level_dbm0 = if twist < 0.0 {
        [loud, weak]
    } else {
        [weak, loud]
    };
    tone.deviation = [rng.between(-0.015, 0.015), rng.between(-0.015, 0.015)];
    tone
}

/// Adds noise `snr_db` below the total power of keys with both tones at `level`.
fn noise_under(line: &mut Line, level: f64, snr_db: f64) {
    line.noise(level + 3.01 - snr_db);
}

/// Presses that last `on`, with a hole of `length` anywhere.
fn interrupted(line: &mut Line, keys: &[Digit], on: f64, length: f64) {
    for &digit in keys {
        press_all(line, &[digit], -10.0, on, 0.040, plain);
        let at = line.rng.between(0.002, on - length - 0.002);
        line.interrupt(at, length);
    }
}

/// One reflection 10 dB down, at most 20 ms late.
fn short_echo(line: &mut Line) {
    let delay = line.rng.between(0.001, 0.020);
    line.echo(delay, -10.0);
}

/// Mains hum: the fundamental and two harmonics, each a third of the power of `level`.
fn hum(line: &mut Line, hz: f64, level: f64) {
    for harmonic in 1..=3 {
        line.sine(hz * f64::from(harmonic), level - 4.77);
    }
}

const MANDATORY: &[(&str, Fill)] = &[
    ("-4 dBm0, 50/50 ms", |l, k| {
        press_all(l, k, -4.0, 0.050, 0.050, plain);
        None
    }),
    ("0 dBm0", |l, k| {
        press_all(l, k, 0.0, 0.040, 0.040, plain);
        None
    }),
    ("-25 dBm0", |l, k| {
        press_all(l, k, -25.0, 0.040, 0.040, plain);
        None
    }),
    ("twist -8 loud", |l, k| {
        press_all(l, k, 0.0, 0.040, 0.040, |_, t| t.twist(-8.0));
        None
    }),
    ("twist -8 soft", |l, k| {
        press_all(l, k, -17.0, 0.040, 0.040, |_, t| t.twist(-8.0));
        None
    }),
    ("twist +4 loud", |l, k| {
        press_all(l, k, 0.0, 0.040, 0.040, |_, t| t.twist(4.0));
        None
    }),
    ("twist +4 soft", |l, k| {
        press_all(l, k, -21.0, 0.040, 0.040, |_, t| t.twist(4.0));
        None
    }),
    ("deviation 1.5 %", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.040, |r, t| deviate(0.015, r, t));
        None
    }),
    ("deviation 1.8 %", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.040, |r, t| deviate(0.018, r, t));
        None
    }),
    ("93 ms a digit", |l, k| {
        press_all(l, k, -10.0, 0.043, 0.045, plain);
        None
    }),
    ("pause 30 ms", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.030, plain);
        None
    }),
    ("same key, pause 40 ms", |l, k| {
        for &d in k {
            press_all(l, &[d; 3], -10.0, 0.040, 0.040, plain);
        }
        None
    }),
    ("same key, pause 30 ms", |l, k| {
        for &d in k {
            press_all(l, &[d; 3], -10.0, 0.040, 0.030, plain);
        }
        None
    }),
    ("interruption 10 ms in 80", |l, k| {
        interrupted(l, k, 0.080, 0.010);
        None
    }),
    ("interruption 10 ms in 60", |l, k| {
        interrupted(l, k, 0.060, 0.010);
        None
    }),
    ("interruption 10 ms in 50", |l, k| {
        interrupted(l, k, 0.050, 0.010);
        None
    }),
    ("interruption 1 to 10 ms, 40 ms of tone", |l, k| {
        for &d in k {
            let length = l.rng.between(0.001, 0.010);
            interrupted(l, &[d], 0.040 + length, length);
        }
        None
    }),
    ("interruption 10 ms in 60, SNR 15 dB", |l, k| {
        interrupted(l, k, 0.060, 0.010);
        noise_under(l, -10.0, 15.0);
        None
    }),
    ("held, fading 20 dB in 0.3 s", |l, k| {
        for &d in k {
            press_all(l, &[d], -10.0, 0.500, 0.050, plain);
            l.fade(-20.0, 0.3);
        }
        None
    }),
    ("held, fading 20 dB in 2 s", |l, k| {
        for &d in &k[..4] {
            press_all(l, &[d], -10.0, 2.0, 0.050, plain);
            l.fade(-20.0, 2.0);
        }
        None
    }),
    ("held 0.3 s, dropping out twice for 20 ms", |l, k| {
        for &d in k {
            press_all(l, &[d], -10.0, 0.300, 0.050, plain);
            let at = l.rng.between(0.045, 0.120);
            l.interrupt(at, 0.020);
            let again = at + 0.020 + l.rng.between(0.020, 0.080);
            l.interrupt(again, 0.020);
        }
        None
    }),
    ("SNR 15 dB", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.040, plain);
        noise_under(l, -10.0, 15.0);
        None
    }),
    ("SNR 12 dB", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.040, plain);
        noise_under(l, -10.0, 12.0);
        None
    }),
    ("SNR 15 dB, twist -8", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.040, |_, t| t.twist(-8.0));
        noise_under(l, -12.4, 15.0);
        None
    }),
    ("SNR 15 dB, deviation 1.8 %", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.040, |r, t| deviate(0.018, r, t));
        noise_under(l, -10.0, 15.0);
        None
    }),
    ("SNR 15 dB, pause 30 ms", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.030, plain);
        noise_under(l, -10.0, 15.0);
        None
    }),
    ("echo -10 dB 20 ms", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.040, plain);
        l.echo(0.020, -10.0);
        None
    }),
    ("echo -10 dB 20 ms, twist -8", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.040, |_, t| t.twist(-8.0));
        l.echo(0.020, -10.0);
        None
    }),
    ("echo -10 dB 20 ms, twist +4", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.040, |_, t| t.twist(4.0));
        l.echo(0.020, -10.0);
        None
    }),
    ("echo -10 dB, 1 to 20 ms", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.040, plain);
        short_echo(l);
        None
    }),
    ("echo -10 dB, 1 to 20 ms, twist -8", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.040, |_, t| t.twist(-8.0));
        short_echo(l);
        None
    }),
    ("echo -10 dB, 1 to 20 ms, twist +4", |l, k| {
        press_all(l, k, -10.0, 0.040, 0.040, |_, t| t.twist(4.0));
        short_echo(l);
        None
    }),
    ("hum 60 Hz +14 dB", |l, k| {
        press_all(l, k, -20.0, 0.040, 0.040, plain);
        hum(l, 60.0, -6.0);
        None
    }),
    ("hum 50 Hz +14 dB", |l, k| {
        press_all(l, k, -20.0, 0.040, 0.040, plain);
        hum(l, 50.0, -6.0);
        None
    }),
    ("DC", |l, k| {
        press_all(l, k, -20.0, 0.040, 0.040, plain);
        l.offset(4000.0);
        None
    }),
    ("at once", |l, k| {
        l.at_once();
        press_all(l, k, -10.0, 0.040, 0.040, plain);
        None
    }),
    ("hum 50 Hz +14 dB, late", |l, k| {
        l.late();
        press_all(l, k, -20.0, 0.040, 0.040, plain);
        hum(l, 50.0, -6.0);
        None
    }),
    ("hum 60 Hz +14 dB, late", |l, k| {
        l.late_by(0.5); // three tones swing by 2 dB over 20 ms
        press_all(l, k, -20.0, 0.040, 0.040, plain);
        hum(l, 60.0, -6.0);
        None
    }),
    ("DC, late", |l, k| {
        l.late();
        press_all(l, k, -20.0, 0.040, 0.040, plain);
        l.offset(4000.0);
        None
    }),
    ("precise dial tone 0 dB, late", |l, k| {
        l.late_by(0.25);
        press_all(l, k, -15.0, 0.040, 0.040, plain);
        l.sine(350.0, -15.0);
        l.sine(440.0, -15.0);
        None
    }),
    ("SNR 12 dB, late", |l, k| {
        l.late();
        press_all(l, k, -10.0, 0.040, 0.040, plain);
        noise_under(l, -10.0, 12.0);
        None
    }),
    ("precise dial tone 0 dB", |l, k| {
        press_all(l, k, -15.0, 0.040, 0.040, plain);
        l.sine(350.0, -15.0);
        l.sine(440.0, -15.0);
        None
    }),
    ("interference 550 Hz 0 dB", |l, k| {
        l.patient();
        press_all(l, k, -15.0, 0.040, 0.040, plain);
        l.sine(550.0, -15.0);
        None
    }),
    ("interference 450 Hz +10 dB", |l, k| {
        l.patient();
        press_all(l, k, -20.0, 0.040, 0.040, plain);
        l.sine(450.0, -10.0);
        None
    }),
    ("interference 200 Hz +20 dB", |l, k| {
        l.patient();
        press_all(l, k, -25.0, 0.040, 0.040, plain);
        l.sine(200.0, -5.0);
        None
    }),
    ("dial tone +10 dB", |l, k| {
        l.patient();
        press_all(l, k, -25.0, 0.040, 0.040, plain);
        l.sine(350.0, -15.0);
        l.sine(440.0, -15.0);
        None
    }),
    ("mu-law -25", |l, k| {
        press_all(l, k, -25.0, 0.040, 0.040, plain);
        Some(Law::Mu)
    }),
    ("A-law twist -8", |l, k| {
        press_all(l, k, -17.0, 0.040, 0.040, |_, t| t.twist(-8.0));
        Some(Law::A)
    }),
    ("legal at once", |l, k| {
        press_all(l, k, 0.0, 0.040, 0.040, legal);
        None
    }),
    (
        "legal at once, A-law, echo, SNR 15 dB of the softest",
        |l, k| {
            press_all(l, k, 0.0, 0.040, 0.040, legal);
            l.echo(0.020, -10.0);
            l.noise(-25.0 - 12.0);
            Some(Law::A)
        },
    ),
    ("reject -55 dBm0", |l, k| {
        reject_all(l, k, -55.0, 0.100, 0.050, plain);
        None
    }),
    ("reject 3.5 %", |l, k| {
        reject_all(l, k, -10.0, 0.060, 0.050, |r, t| stray(0.035, r, t));
        None
    }),
    ("reject 3.0 %", |l, k| {
        reject_all(l, k, -10.0, 0.060, 0.050, |r, t| stray(0.030, r, t));
        None
    }),
    ("reject 3.0 %, long, SNR 15 dB", |l, k| {
        reject_all(l, k, -10.0, 0.200, 0.050, |r, t| stray(0.030, r, t));
        noise_under(l, -10.0, 15.0);
        None
    }),
    ("reject 3.0 %, soft and twisted, mu-law", |l, k| {
        reject_all(l, k, -17.0, 0.060, 0.050, |r, t| {
            stray(0.030, r, t.twist(-8.0))
        });
        Some(Law::Mu)
    }),
    ("reject 3.0 %, twist +4, A-law", |l, k| {
        reject_all(l, k, 0.0, 0.060, 0.050, |r, t| {
            stray(0.030, r, t.twist(4.0))
        });
        Some(Law::A)
    }),
    ("reject 3.0 %, dial tone", |l, k| {
        reject_all(l, k, -15.0, 0.060, 0.050, |r, t| stray(0.030, r, t));
        l.sine(350.0, -15.0);
        l.sine(440.0, -15.0);
        None
    }),
    ("reject 3.0 %, hum", |l, k| {
        reject_all(l, k, -20.0, 0.060, 0.050, |r, t| stray(0.030, r, t));
        hum(l, 60.0, -6.0);
        None
    }),
    ("reject 5 to 20 ms", |l, k| {
        for &d in k {
            let on = l.rng.between(0.005, 0.020);
            reject_all(l, &[d], -10.0, on, 0.050, legal);
        }
        None
    }),
    ("reject 23 ms, hum", |l, k| {
        reject_all(l, k, -20.0, 0.023, 0.050, plain);
        hum(l, 50.0, -6.0);
        None
    }),
    ("reject 23 ms", |l, k| {
        reject_all(l, k, -10.0, 0.023, 0.050, plain);
        None
    }),
    ("reject 23 ms loud", |l, k| {
        reject_all(l, k, 0.0, 0.023, 0.050, legal);
        None
    }),
    ("reject 23 ms, SNR 15 dB", |l, k| {
        reject_all(l, k, -10.0, 0.023, 0.050, plain);
        noise_under(l, -10.0, 15.0);
        None
    }),
    ("reject 23 ms, echo", |l, k| {
        reject_all(l, k, -10.0, 0.023, 0.050, plain);
        l.echo(0.020, -10.0);
        None
    }),
    ("reject single tones", |l, k| {
        reject_all(l, k, -10.0, 0.100, 0.050, |r, mut t| {
            t.level_dbm0[r.below(2)] = -90.0;
            t
        });
        None
    }),
];

/// Mandatory, but everything at once: the part of these keys that may be missed, all else being perfect.
/// The weak tone of a key under noise 12 dB below it has half its level in echo.
const EDGE_ON_EDGE: &[(&str, f64)] = &[(
    "legal at once, A-law, echo, SNR 15 dB of the softest",
    0.001,
)];

/// Whether a mandatory test is passed: perfectly, or but for a miss where one in so many is allowed.
fn passed(name: &str, grade: &Grade) -> bool {
    let allowed = EDGE_ON_EDGE.iter().find(|(edge, _)| *edge == name);
    let allowed = allowed.map_or(0.0, |(_, part)| (part * grade.valid as f64).max(1.0));
    let perfect = Grade {
        missed: 0,
        ..grade.clone()
    }
    .perfect();
    perfect && grade.missed as f64 <= allowed
}

/// Beyond what is mandatory. Dial tone stands here from +16 dB on: the MT8870 data sheet has +22 dB,
/// with a notch of two poles before everything else. Keys at 697 Hz are 2.6 bins from 440; there a Hann
/// window leaves -33 dB of a tone that is 22 dB louder, which is as a second key 11 dB below, moving.
/// A notch would have to ring for longer than a window; the mandatory limit is the CMX867's +10 dB.
const STRETCH: &[(&str, Fill)] = &[
    ("dial tone +16 dB", |l, k| {
        l.patient();
        press_all(l, k, -25.0, 0.040, 0.040, plain);
        l.sine(350.0, -9.0);
        l.sine(440.0, -9.0);
        None
    }),
    ("dial tone +22 dB", |l, k| {
        l.patient();
        press_all(l, k, -25.0, 0.040, 0.040, plain);
        l.sine(350.0, -3.0);
        l.sine(440.0, -3.0);
        None
    }),
    ("clicks", |l, k| {
        press_all(l, k, -10.0, 0.050, 0.050, plain);
        l.clicks(0.0, 3.0);
        None
    }),
    ("talk-over 10 dB below", |l, k| {
        press_all(l, k, -10.0, 0.060, 0.050, plain);
        l.voice(-20.0);
        None
    }),
    ("ADPCM", |l, k| {
        press_all(l, k, -10.0, 0.050, 0.050, legal);
        l.adpcm();
        None
    }),
    ("SNR 9 dB", |l, k| {
        press_all(l, k, -10.0, 0.050, 0.050, plain);
        noise_under(l, -10.0, 9.0);
        None
    }),
    ("SNR 6 dB", |l, k| {
        press_all(l, k, -10.0, 0.050, 0.050, plain);
        noise_under(l, -10.0, 6.0);
        None
    }),
    ("interruption 15 ms", |l, k| {
        for &d in k {
            press_all(l, &[d], -10.0, 0.090, 0.050, plain);
            let at = l.rng.between(0.002, 0.073);
            l.interrupt(at, 0.015);
        }
        None
    }),
    ("interruption 20 ms", |l, k| {
        for &d in k {
            press_all(l, &[d], -10.0, 0.100, 0.050, plain);
            let at = l.rng.between(0.035, 0.045);
            l.interrupt(at, 0.020);
        }
        None
    }),
    ("echo -6 dB 20 ms", |l, k| {
        press_all(l, k, -10.0, 0.050, 0.050, plain);
        l.echo(0.020, -6.0);
        None
    }),
    ("echo -10 dB 60 ms", |l, k| {
        press_all(l, k, -10.0, 0.050, 0.070, plain);
        l.echo(0.060, -10.0);
        None
    }),
    ("-32 dBm0", |l, k| {
        press_all(l, k, -32.0, 0.050, 0.050, plain);
        None
    }),
    ("-36 dBm0", |l, k| {
        press_all(l, k, -36.0, 0.050, 0.050, plain);
        None
    }),
    ("twist -10", |l, k| {
        press_all(l, k, -10.0, 0.050, 0.050, |_, t| t.twist(-10.0));
        None
    }),
    ("twist +6", |l, k| {
        press_all(l, k, -10.0, 0.050, 0.050, |_, t| t.twist(6.0));
        None
    }),
    ("third tone -10 dB", |l, k| {
        press_all(l, k, -10.0, 0.050, 0.050, plain);
        l.sine(1070.0, -20.0);
        None
    }),
    ("+3 dBm0 clipped", |l, k| {
        press_all(l, k, 3.0, 0.050, 0.050, plain);
        None
    }),
];

/// What different sources ask for, together: a phone at the edge of its administration's deviation, on a
/// line at the edge of another's. Nobody says that they meet, but lines do not ask.
const TOGETHER: &[(&str, Fill)] = &[
    ("deviation 1.8 %, dial tone 0 dB", |l, k| {
        l.patient();
        press_all(l, k, -15.0, 0.050, 0.050, |r, t| deviate(0.018, r, t));
        l.sine(350.0, -15.0);
        l.sine(440.0, -15.0);
        None
    }),
    ("deviation 1.5 %, dial tone +10 dB", |l, k| {
        l.patient();
        press_all(l, k, -25.0, 0.050, 0.050, |r, t| deviate(0.015, r, t));
        l.sine(350.0, -15.0);
        l.sine(440.0, -15.0);
        None
    }),
    ("deviation 0.7 %, interference 550 Hz 0 dB", |l, k| {
        l.patient();
        press_all(l, k, -15.0, 0.050, 0.050, |r, t| deviate(0.007, r, t));
        l.sine(550.0, -15.0);
        None
    }),
    ("deviation 1.8 %, hum 60 Hz +14 dB", |l, k| {
        l.patient();
        press_all(l, k, -20.0, 0.050, 0.050, |r, t| deviate(0.018, r, t));
        hum(l, 60.0, -6.0);
        None
    }),
    ("deviation 1.8 %, SNR 12 dB", |l, k| {
        press_all(l, k, -10.0, 0.050, 0.050, |r, t| deviate(0.018, r, t));
        noise_under(l, -10.0, 12.0);
        None
    }),
    ("deviation 1.5 %, SNR 9 dB", |l, k| {
        press_all(l, k, -10.0, 0.050, 0.050, |r, t| deviate(0.015, r, t));
        noise_under(l, -10.0, 9.0);
        None
    }),
    ("deviation 1.8 %, echo -10 dB", |l, k| {
        press_all(l, k, -10.0, 0.050, 0.050, |r, t| deviate(0.018, r, t));
        short_echo(l);
        None
    }),
    ("deviation 1.5 %, twist -8, echo -10 dB", |l, k| {
        press_all(l, k, -10.0, 0.050, 0.050, |r, t| {
            deviate(0.015, r, t.twist(-8.0))
        });
        short_echo(l);
        None
    }),
];

fn rounds(base: usize) -> usize {
    if std::env::var_os("TONEGATE_SOAK").is_some() {
        base * 10
    } else {
        base
    }
}

fn seed() -> u64 {
    std::env::var("TONEGATE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1)
}

/// With `TONEGATE_DUMP=folder`, leaves the 8 kHz lines there for `benches/compare.sh`: a WAV file
/// and beside it the truth, a line a press: key, start, duration in milliseconds, valid or not.
fn dump((samples, presses, rate): &(Vec<i16>, Vec<Press>, SampleRate)) {
    let Some(folder) = std::env::var_os("TONEGATE_DUMP") else {
        return;
    };
    if *rate != SampleRate::Hz8000 {
        return;
    }
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let name = format!("{:05}", FILES.fetch_add(1, Ordering::Relaxed));
    let path = std::path::Path::new(&folder).join(name);
    let wav = Wav {
        rate: *rate,
        samples: samples.clone(),
    };
    std::fs::write(path.with_extension("wav"), wav.write()).expect("a writable folder");
    let truth: String = presses
        .iter()
        .map(|press| {
            let [start, duration] = [press.start, press.duration].map(|seconds| seconds * 1000.0);
            let (key, valid) = (press.tone.digit.as_char(), u8::from(press.valid));
            format!("{key} {start:.2} {duration:.2} {valid}\n")
        })
        .collect();
    std::fs::write(path.with_extension("txt"), truth).expect("a writable folder");
}

/// One line as `fill` makes it from that seed.
fn line(name: &str, fill: Fill, rate: SampleRate, seed: u64, round: usize) -> Grade {
    let salt = name.bytes().fold(seed, |h, b| {
        h.wrapping_mul(1_099_511_628_211) ^ u64::from(b)
    });
    let mut line = Line::new(rate, salt ^ ((round as u64) << 32) ^ u64::from(rate.hz()));
    let keys = line.shuffled();
    let law = fill(&mut line, &keys);
    let finished = line.finish(law);
    dump(&finished);
    grade(finished)
}

fn run(name: &str, fill: Fill, rate: SampleRate, rounds: usize) -> Grade {
    let mut total = Grade::default();
    for round in 0..rounds {
        total.add(line(name, fill, rate, seed(), round));
    }
    total
}

/// Lines of which a key was missed once: what hid it, then the test, the rate, the seed and the round.
const ONCE_MISSED: &[(&str, &str, SampleRate, u64, usize)] = &[
    (
        "two windows that a hole dimmed alike passed for a step",
        HOLE_50,
        SampleRate::Hz8000,
        1016,
        1,
    ),
    (
        "half a window named the neighbour, and began anew",
        HOLE_50,
        SampleRate::Hz8000,
        1102,
        1,
    ),
    (
        "the same after two windows",
        HOLE_50,
        SampleRate::Hz16000,
        1002,
        0,
    ),
    (
        "a hole of 3 ms dimmed two windows, neither much",
        HOLE_40,
        SampleRate::Hz8000,
        1066,
        0,
    ),
    ("the same, later", HOLE_40, SampleRate::Hz8000, 1097, 0),
    (
        "after a hole it was too loud for what the hole had left",
        HOLE_NOISE,
        SampleRate::Hz8000,
        1052,
        1,
    ),
    (
        "the same at 48 kHz",
        HOLE_NOISE,
        SampleRate::Hz48000,
        1009,
        0,
    ),
    (
        "the pause's background was taken with the onset in it",
        "DC, late",
        SampleRate::Hz24000,
        1017,
        1,
    ),
    (
        "the same, three keys on end",
        "DC, late",
        SampleRate::Hz48000,
        1192,
        1,
    ),
    (
        "beats of dial tone were a little too much",
        DIAL_TONE,
        SampleRate::Hz16000,
        1086,
        1,
    ),
    (
        "the row swung below a whole window",
        "interference 550 Hz 0 dB",
        SampleRate::Hz48000,
        1055,
        1,
    ),
    (
        "before and after an echo's step it was a key, across it not",
        ECHO,
        SampleRate::Hz8000,
        1024,
        0,
    ),
    (
        "the same, the other way",
        "echo -10 dB, 1 to 20 ms, twist +4",
        SampleRate::Hz24000,
        1124,
        0,
    ),
];
const HOLE_50: &str = "interruption 10 ms in 50";
const HOLE_40: &str = "interruption 1 to 10 ms, 40 ms of tone";
const HOLE_NOISE: &str = "interruption 10 ms in 60, SNR 15 dB";
const DIAL_TONE: &str = "precise dial tone 0 dB, late";
const ECHO: &str = "echo -10 dB, 1 to 20 ms, twist -8";

#[test]
fn what_once_hid_a_key_does_not_any_more() {
    for &(what, name, rate, seed, round) in ONCE_MISSED {
        let found = MANDATORY.iter().find(|(other, _)| *other == name);
        let (_, fill) = found.expect("one of the tests");
        let grade = line(name, *fill, rate, seed, round);
        assert!(grade.perfect(), "{what}: {name}, {} Hz", rate.hz());
    }
}

#[test]
fn the_mandatory_box() {
    let mut total = Grade::default();
    let mut failed = Vec::new();
    for rate in SampleRate::ALL {
        let mut at_rate = Grade::default();
        for &(name, fill) in MANDATORY {
            if std::env::var("ONLY").is_ok_and(|o| !name.contains(&o)) {
                continue;
            }
            let grade = run(name, fill, rate, rounds(6));
            if !passed(name, &grade) {
                failed.push(format!(
                    "{} Hz, {name}: {} of {} missed, {} wrong, {} doubled, {} of {} accepted, {} out of order",
                    rate.hz(),
                    grade.missed,
                    grade.valid,
                    grade.wrong,
                    grade.doubled,
                    grade.accepted,
                    grade.invalid,
                    grade.disorder
                ));
            }
            at_rate.add(grade);
        }
        println!(
            "{} Hz: {} valid: {} missed, {} wrong, {} doubled; {} invalid: {} accepted",
            rate.hz(),
            at_rate.valid,
            at_rate.missed,
            at_rate.wrong,
            at_rate.doubled,
            at_rate.invalid,
            at_rate.accepted
        );
        total.add(at_rate);
    }
    println!(
        "mandatory: {} keys, {} rejects, {} tests failed",
        total.valid,
        total.invalid,
        failed.len()
    );
    for (name, values) in [
        ("latency", &total.latency),
        ("onset error", &total.onset),
        ("end error", &total.end),
    ] {
        println!(
            "{name}: median {:.1} ms, p99 {:.1} ms",
            quantile(values, 0.5),
            quantile(values, 0.99)
        );
    }
    assert!(total.valid > 1000 && total.invalid > 500);
    // All but keys whose beginning an interruption hid have an end to compare.
    assert!(total.end.len() > (total.valid - total.missed) * 49 / 50);
    assert!(quantile(&total.onset, 0.99) <= 5.0 && quantile(&total.end, 0.99) <= 6.0);
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

/// Grades every line of a list, at all rates together, and prints what was not heard.
fn at_every_rate(list: &[(&str, Fill)]) -> Vec<(String, Grade)> {
    let graded = list.iter().map(|&(name, fill)| {
        let mut grade = Grade::default();
        for rate in SampleRate::ALL {
            grade.add(run(name, fill, rate, rounds(2)));
        }
        println!(
            "{name}: {} of {} missed, {} wrong, {} doubled, {} extra",
            grade.missed, grade.valid, grade.wrong, grade.doubled, grade.accepted
        );
        (name.to_owned(), grade)
    });
    graded.collect()
}

/// Limits that come from different sources are met together but for one key in fifty: an echo moves what is 1.8 % off beyond 2.2.
#[test]
fn what_is_asked_for_apart_is_heard_together() {
    for (name, grade) in at_every_rate(TOGETHER) {
        assert!(grade.valid >= 128, "{name}");
        assert!(grade.missed * 50 <= grade.valid, "{name}");
        let false_ones = grade.wrong + grade.doubled + grade.accepted + grade.disorder;
        assert_eq!(false_ones, 0, "{name}");
    }
}

#[test]
fn beyond_the_box() {
    let mut total = Grade::default();
    for (_, grade) in at_every_rate(STRETCH) {
        total.add(grade);
    }
    let heard = 100.0 * (1.0 - total.missed as f64 / total.valid as f64);
    println!("beyond the box: {heard:.1} % heard");
    assert!(total.valid > 1000);
    assert!(heard >= 95.0);
    assert!(total.wrong + total.doubled + total.accepted + total.disorder <= total.valid / 100);
}
