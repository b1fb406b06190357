//! What a key may be and what it may not: the thresholds that [`evidence`](super::evidence) is held
//! against, in one place for each [`Setting`].

use super::Setting;

/// Every limit of the decision. Energies and frequencies are ratios, levels and twist dB,
/// durations milliseconds.
#[derive(Debug)]
pub(super) struct Limits {
    /// Softest tone. Q.24 has AT&T operate at -25 dBm and not at -55: halfway.
    pub(super) level_dbm0: f32,
    /// Most that the high tone may be below and above the low one, however clean. Q.24 (AT&T) asks
    /// for -8 and +4, Brazil for 9, Australia for 10.
    pub(super) twist_db: [f32; 2],
    /// Twist beyond this needs clean evidence: the mandatory -8 and +4, moved by 3.5 dB. An echo
    /// 10 dB down moves twist by up to 5.7 dB, but only from 20 ms on, half of the run.
    pub(super) twist_plain_db: [f32; 2],
    /// Most that a tone may be off. Q.24 has NTT operate at 1.8 % and not at 3.0 %. 15 dB of SNR
    /// spreads the measurement by 0.1 %: 1.8 and four times that.
    pub(super) deviation: f32,
    /// Deviation beyond this is doubtful: nothing asks for more than 1.8 %.
    pub(super) deviation_plain: f32,
    /// Telephones keep within this; energy that the tones do not explain is forgiven more freely.
    pub(super) deviation_typical: f32,
    /// Unexplained energy over that of the tones, for typical deviation and beyond. 12 dB of SNR is
    /// 0.063, an echo's step 0.1; spandsp's is 0.22.
    pub(super) rest: [f32; 2],
    /// Up to this, the evidence is clean: 11 dB.
    pub(super) rest_clean: f32,
    /// Times the background's least energy that may be under the key, for all and for high-passed
    /// energy. Hum with harmonics swings by 1.5 either way over 20 ms, noise by 1.2.
    pub(super) background: [f32; 2],
    /// Coherence: at least; at least when the background is drawn on; and of clean evidence. White
    /// noise at 12 dB leaves 0.99, 550 Hz as loud as the key 0.978; sung vowels reach 0.95.
    pub(super) coherence: f32,
    pub(super) coherence_drawn: f32,
    pub(super) coherence_clean: f32,
    /// Duration with clean evidence and with any other. Must be heard at 40 ms and not at 23 (Q.24);
    /// measured to 2 ms. Clean keys are reported early, doubtful ones as late as 40 ms allow.
    pub(super) duration_ms: [f32; 2],
    /// What voices seldom have and keys nearly always.
    pub(super) voice: Voice,
}

/// Limits that keep voices out, which have two of their harmonics where a key has its tones. Their
/// levels and pitch move, both tones are off at once, and the tones were there before they stood out.
#[derive(Debug)]
pub(super) struct Voice {
    /// Part of the intervals in which a tone must keep its level, unless the background disturbs it: all
    /// but those that an echo's step or an interruption is in. Three of them may be two that are not.
    pub(super) steady: f32,
    /// The same of the high tone above a loud background, which is low: hum, dial tone.
    pub(super) steady_over_loud: f32,
    /// `[coherence, deviation]`, either of which does instead of steady levels, with a legal twist: a
    /// background that is not known yet moves the levels of tones, but not what they are. Noise 12 dB
    /// below a key leaves one of them.
    pub(super) exact: [[f32; 2]; 2],
    /// Twist of keys under a loud background, and of those that are exact: the mandatory -8 and +4,
    /// measured under noise.
    pub(super) twist_db: [f32; 2],
    /// Coherence where there is no background to spoil it: an echo's step leaves 0.99. The latter of 941
    /// and 1209 Hz, which leak into each other.
    pub(super) coherence: [f32; 2],
    /// `[coherence, deviation]`, either of which must do over a loud background, unless deviation is typical:
    /// hum and dial tone leave phases alone; dial tone 10 dB louder than the key does not quite. 550 Hz as
    /// loud as the key spoils the phase of tones, but does not move them; music does.
    pub(super) loud: [[f32; 2]; 2],
    /// Deviation that only NTT's 1.8 % explains, not the others' 1.5 % under noise, and what it needs.
    pub(super) stray: f32,
    pub(super) coherence_stray: f32,
    /// Most that both tones may be off together, as the root of the squares, where no noise adds to that:
    /// 1.8 % each, and what an echo adds.
    pub(super) stray_both: f32,
    /// Most deviation with more twist than NTT has, which is 5 dB either way; the latter.
    pub(super) stray_twisted: f32,
    pub(super) twist_stray_db: [f32; 2],
    /// Of evidence that is beyond doubt, for a run that is doubtful, as
    /// [`Trail`](super::trail::Trail) has it.
    pub(super) pure: Pure,
    /// The same for the steady intervals of a run, if all of it is no key. An echo's step leaves three of
    /// them in the shortest key, legal deviation and noise.
    pub(super) pure_steady: Pure,
}

/// What two tones alone are.
#[derive(Debug)]
pub(super) struct Pure {
    /// At least.
    pub(super) coherence: f32,
    /// At most, and the root of the squares of both deviations.
    pub(super) rest: f32,
    pub(super) deviation: f32,
}

/// The one setting for every call.
static STANDARD: Limits = Limits {
    level_dbm0: -40.0,
    twist_db: [-14.0, 10.0],
    twist_plain_db: [-12.4, 8.4],
    deviation: 0.022,
    deviation_plain: 0.020,
    deviation_typical: 0.011,
    rest: [0.15, 0.135],
    rest_clean: 0.08,
    background: [3.0, 1.8],
    coherence: 0.95,
    coherence_drawn: 0.97,
    coherence_clean: 0.97,
    duration_ms: [26.5, 33.0],
    voice: Voice {
        steady: 0.4,
        steady_over_loud: 0.6,
        exact: [[0.995, 0.006], [0.988, 0.003]],
        twist_db: [-9.0, 5.0],
        coherence: [0.988, 0.98],
        loud: [[0.9985, 0.022], [0.993, 0.0165]],
        stray: 0.0165,
        coherence_stray: 0.99,
        stray_both: 0.0285,
        stray_twisted: 0.0178,
        twist_stray_db: [-5.5, 5.5],
        pure: Pure {
            coherence: 0.9985,
            rest: 0.05,
            deviation: 0.011,
        },
        pure_steady: Pure {
            coherence: 0.995,
            rest: 0.1,
            deviation: 0.0285,
        },
    },
};

/// For audio in which a caller is known to have dialled, looked at a second time: what the standard
/// leaves out for the sake of speech is let in. It would hear keys in speech several times an hour.
static LENIENT: Limits = Limits {
    level_dbm0: -46.0,
    twist_db: [-16.0, 12.0],
    twist_plain_db: [-16.0, 12.0],
    deviation: 0.026,
    deviation_plain: 0.026,
    deviation_typical: 0.026,
    rest: [0.5, 0.5],
    rest_clean: 0.15,
    background: [4.0, 3.0],
    coherence: 0.85,
    coherence_drawn: 0.85,
    coherence_clean: 0.95,
    duration_ms: [26.0, 28.0],
    // Whoever dialled is believed: a voice is no more likely here than a bad line.
    voice: Voice {
        steady: 0.0,
        steady_over_loud: 0.0,
        exact: [[1.0, 0.0]; 2],
        twist_db: [-16.0, 12.0],
        coherence: [0.85; 2],
        loud: [[0.85, 0.026]; 2],
        stray: 0.026,
        coherence_stray: 0.85,
        stray_both: f32::INFINITY,
        stray_twisted: 0.026,
        twist_stray_db: [-16.0, 12.0],
        pure: ANY,
        pure_steady: ANY,
    },
};

const ANY: Pure = Pure {
    coherence: 0.85,
    rest: f32::INFINITY,
    deviation: f32::INFINITY,
};

impl Limits {
    pub(super) fn of(setting: Setting) -> &'static Self {
        match setting {
            Setting::Standard => &STANDARD,
            Setting::Lenient => &LENIENT,
        }
    }
}
