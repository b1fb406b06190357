//! What a caller says, frame by frame, and what must come back of it.
//!
//! First silence, then the code, then noise with the call's and the frame's number in it: no two
//! frames of a run are equal, and what comes back tells which one it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Samples of 20 ms at 24 kHz, and their bytes.
const SAMPLES: usize = 480;
pub const BYTES: usize = 2 * SAMPLES;
const RATE: f64 = 24_000.0;

/// Frames of silence before the first key, of a key, and between two.
const LEAD: u32 = 10;
const TONE: u32 = 4;
const PAUSE: u32 = 4;
/// Of each of the two tones, of full scale: -10 dBm0 and some.
const AMPLITUDE: f64 = 6000.0;
const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH: [f64; 3] = [1209.0, 1336.0, 1477.0];
const KEYS: [&[u8; 3]; 4] = [b"123", b"456", b"789", b"*0#"];

/// How keys get to the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// As tones in the audio
    Tones,
    /// As DtmfData messages
    Messages,
    /// As both, which the edge counts once
    Both,
}

/// One caller's line.
pub struct Line {
    call: u32,
    ani: String,
    code: Vec<u8>,
    by: By,
}

impl Line {
    /// `code` has the keys of a telephone only.
    pub fn new(call: u32, ani: &str, code: &str, by: By) -> Line {
        Line {
            call,
            ani: ani.to_owned(),
            code: code.as_bytes().to_vec(),
            by,
        }
    }

    /// The first frame behind the last key.
    pub fn dialled(&self) -> u32 {
        LEAD + self.code.len() as u32 * (TONE + PAUSE) - PAUSE
    }

    /// The key that begins with this frame.
    fn begins(&self, number: u32) -> Option<u8> {
        let at = number.checked_sub(LEAD)?;
        let begins = at.is_multiple_of(TONE + PAUSE);
        self.code
            .get((at / (TONE + PAUSE)) as usize)
            .copied()
            .filter(|_| begins)
    }

    /// The PCM of frame `number`.
    pub fn audio(&self, number: u32) -> [u8; BYTES] {
        if number >= self.dialled() {
            return noise(self.call, number);
        }
        let at = number.saturating_sub(LEAD);
        let (key, within) = (at / (TONE + PAUSE), at % (TONE + PAUSE));
        if number < LEAD || within >= TONE || self.by == By::Messages {
            return [0; BYTES];
        }
        tone(self.code[key as usize], within)
    }

    /// Adds the messages of ACS for frame `number`, one after the other, to `texts`.
    pub fn messages(&self, number: u32, mut each: impl FnMut(&str)) {
        if let Some(key) = self.begins(number).filter(|_| self.by != By::Tones) {
            let key = char::from(key);
            each(&format!(
                r#"{{"kind":"DtmfData","dtmfData":{{"data":"{key}"}}}}"#
            ));
        }
        let milliseconds = number * 20;
        let (seconds, rest) = (milliseconds / 1000 % 60, milliseconds % 1000);
        let minutes = milliseconds / 60_000 % 60;
        each(&format!(
            r#"{{"kind":"AudioData","audioData":{{"timestamp":"2026-05-04T10:{minutes:02}:{seconds:02}.{rest:03}Z","participantRawID":"4:{}","data":"{}","silent":false}}}}"#,
            self.ani,
            STANDARD.encode(self.audio(number))
        ));
    }
}

fn tone(key: u8, within: u32) -> [u8; BYTES] {
    let found = KEYS
        .iter()
        .enumerate()
        .find_map(|(row, keys)| Some((row, keys.iter().position(|&at| at == key)?)));
    let Some((row, column)) = found else {
        return [0; BYTES];
    };
    let mut audio = [0; BYTES];
    let (samples, _) = audio.as_chunks_mut::<2>();
    for (at, sample) in samples.iter_mut().enumerate() {
        let turn = std::f64::consts::TAU * (within as usize * SAMPLES + at) as f64 / RATE;
        let both = (turn * LOW[row]).sin() + (turn * HIGH[column]).sin();
        *sample = ((both * AMPLITUDE) as i16).to_le_bytes();
    }
    audio
}

/// A frame that is like no other one: call and number, then noise that they are the seed of.
fn noise(call: u32, number: u32) -> [u8; BYTES] {
    let mut audio = [0; BYTES];
    audio[..4].copy_from_slice(&call.to_le_bytes());
    audio[4..8].copy_from_slice(&number.to_le_bytes());
    let mut state = call.wrapping_mul(0x9E37_79B9) ^ number;
    for sample in audio[8..].as_chunks_mut::<2>().0 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *sample = (((state >> 16) as u16 as i16) / 8).to_le_bytes();
    }
    audio
}

const PLAYS: &[u8] = br#"{"Kind":"AudioData","AudioData":{"Data":""#;

/// What came back, in frames, and what was wrong with it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The first one that came, and the one that must be next.
    pub first: Option<u32>,
    pub next: Option<u32>,
    pub frames: u64,
    /// Missing between two that came.
    pub lost: u64,
    /// Other than they were said, of another call, out of order, or no audio at all.
    pub changed: u64,
    /// From before the last key was up: the model must never hear them.
    pub leaked: u64,
}

impl Heard {
    /// The edge says `text`; `each` gets the number of every frame in it that is as it was said.
    pub fn hear(&mut self, line: &Line, text: &[u8], mut each: impl FnMut(u32)) {
        let data = text.strip_prefix(PLAYS);
        let data = data.and_then(|rest| rest.split(|&b| b == b'"').next());
        let Some(Ok(audio)) = data.map(|data| STANDARD.decode(data)) else {
            self.changed += 1;
            return;
        };
        let (frames, rest) = audio.as_chunks::<BYTES>();
        self.changed += u64::from(!rest.is_empty());
        for frame in frames {
            let number = u32::from_le_bytes([frame[4], frame[5], frame[6], frame[7]]);
            if number < line.dialled() || *frame != line.audio(number) {
                let of_code = (0..line.dialled()).any(|number| *frame == line.audio(number));
                *if of_code {
                    &mut self.leaked
                } else {
                    &mut self.changed
                } += 1;
                continue;
            }
            let next = *self.next.get_or_insert(number);
            if number < next {
                self.changed += 1;
                continue;
            }
            self.lost += u64::from(number - next);
            self.first.get_or_insert(number);
            self.next = Some(number + 1);
            self.frames += 1;
            each(number);
        }
    }

    /// The caller has said frames up to this one, and waited for the last of them.
    pub fn end(&mut self, said: u32) {
        self.lost += self
            .next
            .map_or(0, |next| u64::from(said.saturating_sub(next)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(by: By) -> Line {
        Line::new(7, "+15551234567", "82#", by)
    }

    fn plays(audio: &[u8]) -> Vec<u8> {
        let data = STANDARD.encode(audio);
        format!(r#"{{"Kind":"AudioData","AudioData":{{"Data":"{data}"}},"StopAudio":null}}"#).into()
    }

    fn hear(line: &Line, frames: &[&[u8]]) -> (Heard, Vec<u32>) {
        let (mut heard, mut numbers) = (Heard::default(), Vec::new());
        for audio in frames {
            heard.hear(line, &plays(audio), |number| numbers.push(number));
        }
        (heard, numbers)
    }

    #[test]
    fn keys_are_said_in_their_order_and_once() {
        for (by, keys) in [(By::Tones, ""), (By::Messages, "82#"), (By::Both, "82#")] {
            let line = line(by);
            let (mut told, mut loud) = (String::new(), 0);
            for number in 0..line.dialled() {
                line.messages(number, |text| {
                    let message: serde_json::Value = serde_json::from_str(text).expect("JSON");
                    told += message["dtmfData"]["data"].as_str().unwrap_or_default();
                });
                loud += u32::from(line.audio(number) != [0; BYTES]);
            }
            assert_eq!(told, keys);
            assert_eq!(loud, if by == By::Messages { 0 } else { 3 * TONE });
        }
    }

    #[test]
    fn a_tone_has_the_two_frequencies_of_its_key() {
        let audio = tone(b'8', 0);
        let power = |hz: f64| {
            let (mut re, mut im) = (0.0, 0.0);
            for (at, sample) in audio.as_chunks::<2>().0.iter().enumerate() {
                let turn = std::f64::consts::TAU * hz * at as f64 / RATE;
                let sample = f64::from(i16::from_le_bytes(*sample));
                re += sample * turn.cos();
                im += sample * turn.sin();
            }
            re.hypot(im) / SAMPLES as f64
        };
        for (hz, there) in [
            (852.0, true),
            (1336.0, true),
            (697.0, false),
            (1477.0, false),
        ] {
            assert_eq!(power(hz) > AMPLITUDE / 4.0, there, "{hz}");
        }
    }

    #[test]
    fn what_comes_back_whole_is_whole() {
        let line = line(By::Tones);
        let from = line.dialled() + 3;
        let (one, two, three) = (line.audio(from), line.audio(from + 1), line.audio(from + 2));
        let (mut heard, numbers) = hear(&line, &[&one, &[two, three].concat()]);
        assert_eq!(numbers, [from, from + 1, from + 2]);
        heard.end(from + 3);
        let expected = Heard {
            first: Some(from),
            next: Some(from + 3),
            frames: 3,
            ..Heard::default()
        };
        assert_eq!(heard, expected);
    }

    #[test]
    fn what_is_missing_changed_crossed_or_leaked_is_counted() {
        let line = line(By::Tones);
        let from = line.dialled();
        let frame = |number| line.audio(number);
        let (mut heard, _) = hear(&line, &[&frame(from), &frame(from + 3)]);
        heard.end(from + 6);
        assert_eq!((heard.lost, heard.changed), (4, 0));
        let mut wrong = frame(from + 1);
        wrong[500] ^= 1;
        assert_eq!(hear(&line, &[&frame(from), &wrong]).0.changed, 1);
        assert_eq!(hear(&line, &[&frame(from), &frame(from)]).0.changed, 1);
        let other = Line::new(8, "+1", "82#", By::Tones);
        assert_eq!(hear(&line, &[&other.audio(from)]).0.changed, 1);
        assert_eq!(hear(&line, &[&frame(from)[..100]]).0.changed, 1);
        for code in [LEAD, LEAD + TONE, 0] {
            assert_eq!(hear(&line, &[&frame(code)]).0.leaked, 1, "{code}");
        }
        let mut heard = Heard::default();
        heard.hear(&line, b"{}", |_| ());
        assert_eq!(heard.changed, 1);
    }
}
