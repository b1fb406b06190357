//! The procedure of the Mitel CM7291 receiver test tape, as spandsp's `dtmf_rx_tests` runs it: each
//! section is a number, and most have a limit. The numbers are printed.

use crate::grade::listen;
use crate::line::Line;
use tonegate::audio::SampleRate;
use tonegate::audio::g711::Law;
use tonegate::dtmf::tone::Tone;
use tonegate::dtmf::{Digit, Event, Setting};

/// How many of `count` presses of `tone` are heard as its digit, nothing else being heard.
fn heard(path: Path, tone: Tone, on: f64, noise_dbm0: Option<f64>, count: usize) -> usize {
    let mut line = Line::new(path.rate, 3 + count as u64);
    for _ in 0..count {
        let phase = [line.rng.unit(), line.rng.unit()];
        let jitter = line.rng.between(0.0, 0.003);
        line.press(Tone { phase, ..tone }, on, 0.05 + jitter, true);
    }
    if let Some(level) = noise_dbm0 {
        line.noise(level);
    }
    let (audio, ..) = line.finish(path.law);
    let mut right = 0;
    for event in listen(&audio, path.rate, Setting::Standard) {
        if let Event::KeyDown { digit, .. } = event {
            assert_eq!(digit, tone.digit);
            right += 1;
        }
    }
    right
}

fn digit(label: char) -> Digit {
    Digit::from_char(label).expect("a key")
}

/// One line: its rate, and the law in its path.
#[derive(Clone, Copy, Debug)]
struct Path {
    rate: SampleRate,
    law: Option<Law>,
}

/// The keys that the tape steps.
const STEPPED: [char; 4] = ['1', '5', '9', 'D'];

impl Path {
    /// Whether ten of ten are heard.
    fn all(self, tone: Tone) -> bool {
        heard(self, tone, 0.05, None, 10) == 10
    }

    /// Section 2: every key ten times.
    fn decode(self) {
        let digits = Digit::all().map(|digit| heard(self, Tone::new(digit, -4.0), 0.05, None, 10));
        assert_eq!(digits.sum::<usize>(), 160);
    }

    /// Section 3: recognition bandwidth and centre offset, in 0.1 % steps to 6 %. Returns the
    /// widest band in percent.
    fn bandwidth(self) -> f64 {
        let mut widest = 0f64;
        for label in STEPPED {
            for which in 0..2 {
                let reach = |sign: f64| {
                    let steps = (0..60).take_while(|&step| {
                        let mut tone = Tone::new(digit(label), -17.0);
                        tone.deviation[which] = sign * f64::from(step) / 1000.0;
                        self.all(tone)
                    });
                    steps.count().saturating_sub(1) as f64 / 10.0
                };
                let (up, down) = (reach(1.0), reach(-1.0));
                let (width, offset) = (up + down, (up - down) / 2.0);
                widest = widest.max(width);
                assert!(up >= 1.8 && down >= 1.8, "{label}: +{up} % -{down} %");
                assert!(up < 3.0 && down < 3.0, "{label}: +{up} % -{down} %");
                assert!(
                    (3.0 + 2.0 * offset.abs()..15.0).contains(&width),
                    "{label}: {width} %"
                );
            }
        }
        widest
    }

    /// Section 4: twist in 0.1 dB steps, in the direction of `sign`.
    fn twist(self, sign: f64) -> f64 {
        let reach = STEPPED.map(|label| {
            let steps = (0..200).take_while(|&step| {
                self.all(Tone::new(digit(label), -3.0).twist(sign * f64::from(step) / 10.0))
            });
            steps.count().saturating_sub(1) as f64 / 10.0
        });
        reach.into_iter().fold(20.0, f64::min)
    }

    /// Section 5: from +3 dBm0 down, in dB.
    fn range(self) -> i32 {
        let levels = (-50..=3).rev();
        let softest = levels
            .take_while(|&db| self.all(Tone::new(digit('1'), f64::from(db))))
            .last();
        3 - softest.expect("+3 dBm0 is heard")
    }

    /// Section 6: the shortest tone in ms that is always heard, the longest that never is.
    fn guard_time(self) -> [i32; 2] {
        let at = |ms: i32| {
            heard(
                self,
                Tone::new(digit('1'), -3.0),
                f64::from(ms) / 1000.0,
                None,
                20,
            )
        };
        let always = (10..=49).rev().take_while(|&ms| at(ms) == 20).last();
        let never = (10..=49).take_while(|&ms| at(ms) == 0).last();
        [
            always.expect("49 ms is heard"),
            never.expect("10 ms is not heard"),
        ]
    }

    /// Section 7: the lowest SNR in dB at which none of 1000 pulses is missed.
    fn snr(self) -> i32 {
        let lowest = (-3..=26).rev().take_while(|&snr| {
            let noise = -4.0 + 3.01 - f64::from(snr);
            heard(self, Tone::new(digit('1'), -4.0), 0.05, Some(noise), 1000) == 1000
        });
        lowest.last().expect("26 dB is heard")
    }

    /// The whole tape, with spandsp's limits and our own narrower ones.
    fn tape(self) {
        self.decode();
        let bandwidth = self.bandwidth();
        let (normal, reverse) = (self.twist(-1.0), self.twist(1.0));
        assert!(
            normal >= 8.0 && reverse >= 4.0,
            "twist {normal} and {reverse} dB"
        );
        let range = self.range();
        assert!(range >= 35, "{range} dB");
        let [always, never] = self.guard_time();
        assert!(
            always <= 40 && never >= 23,
            "always from {always} ms, never to {never} ms"
        );
        let snr = self.snr();
        assert!(snr <= 12, "SNR {snr} dB, and chips hear at 12");
        println!(
            "Mitel {} Hz {:?}: bandwidth to {bandwidth:.1} %, twist -{normal:.1} +{reverse:.1} dB, \
             range {range} dB, always from {always} ms, never to {never} ms, SNR {snr} dB",
            self.rate.hz(),
            self.law,
        );
    }
}

#[test]
fn the_tape_at_every_rate() {
    for rate in SampleRate::ALL {
        Path { rate, law: None }.tape();
    }
}

#[test]
fn the_tape_through_either_law() {
    for law in [Law::Mu, Law::A] {
        Path {
            rate: SampleRate::Hz8000,
            law: Some(law),
        }
        .tape();
    }
}
