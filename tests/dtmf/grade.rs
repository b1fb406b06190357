//! What was heard, held against what was sent.

use crate::line::Press;
use tonegate::audio::SampleRate;
use tonegate::dtmf::{Detector, Digit, Event, Setting};

/// Counts of one or many lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grade {
    pub(crate) valid: usize,
    pub(crate) invalid: usize,
    pub(crate) missed: usize,
    /// Valid keys that were reported more than once, or as another key.
    pub(crate) doubled: usize,
    pub(crate) wrong: usize,
    /// Keys reported where none, or an invalid one, was sent.
    pub(crate) accepted: usize,
    /// Downs without their one up, ups without a down, and ups after the next down's start.
    pub(crate) disorder: usize,
    /// Milliseconds: key-down to the end of the 20 ms frame of the report; start and end errors.
    pub(crate) latency: Vec<f64>,
    pub(crate) onset: Vec<f64>,
    pub(crate) end: Vec<f64>,
}

impl Grade {
    pub(crate) fn perfect(&self) -> bool {
        self.valid + self.invalid > 0
            && self.missed + self.doubled + self.wrong + self.accepted + self.disorder == 0
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.valid += other.valid;
        self.invalid += other.invalid;
        self.missed += other.missed;
        self.doubled += other.doubled;
        self.wrong += other.wrong;
        self.accepted += other.accepted;
        self.disorder += other.disorder;
        self.latency.extend(other.latency);
        self.onset.extend(other.onset);
        self.end.extend(other.end);
    }
}

/// The `part` quantile, 0.5 being the median.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// Runs a fresh detector over `samples` in 20 ms frames.
pub(crate) fn listen(samples: &[i16], rate: SampleRate, setting: Setting) -> Vec<Event> {
    let mut events = Vec::new();
    let mut detector = Detector::new(rate, setting);
    for frame in samples.chunks(rate.hz() as usize / 50) {
        detector.push(frame, |event| events.push(event));
    }
    events
}

/// How often downs and ups do not take turns, each up with its down's digit and start, in order.
fn disorder(events: &[Event]) -> usize {
    let mut wrong = 0;
    let mut open: Option<(Digit, u64)> = None;
    let mut free_from = 0;
    for event in events {
        match *event {
            Event::KeyDown {
                digit,
                start,
                decided,
                ..
            } => {
                wrong += usize::from(open.is_some() || start < free_from || decided < start);
                open = Some((digit, start));
            }
            Event::KeyUp {
                digit,
                start,
                end,
                decided,
            } => {
                wrong += usize::from(open != Some((digit, start)) || end < start || decided < end);
                (open, free_from) = (None, end);
            }
        }
    }
    wrong + usize::from(open.is_some())
}

/// Grades the standard setting on a finished line.
pub(crate) fn grade((samples, presses, rate): (Vec<i16>, Vec<Press>, SampleRate)) -> Grade {
    let events = listen(&samples, rate, Setting::Standard);
    let mut grade = Grade {
        disorder: disorder(&events),
        ..Grade::default()
    };
    let mut counts = vec![0usize; presses.len()];
    let frame_ms = 20.0;
    for event in &events {
        match *event {
            Event::KeyDown {
                digit,
                start,
                decided,
                ..
            } => {
                let start = rate.millis(start);
                // The press whose span, widened by 12 ms, holds the reported start.
                let at = presses.iter().position(|press| {
                    let from = press.start * 1000.0 - 12.0;
                    (from..from + press.duration * 1000.0 + 12.0).contains(&start)
                });
                match at {
                    Some(at) if presses[at].valid => {
                        counts[at] += 1;
                        if presses[at].tone.digit != digit {
                            grade.wrong += 1;
                        }
                        let sent = presses[at].start * 1000.0;
                        let reported = (rate.millis(decided) / frame_ms).ceil() * frame_ms;
                        grade.latency.push(reported - sent);
                        if !presses[at].holed {
                            grade.onset.push((start - sent).abs());
                        }
                    }
                    _ => grade.accepted += 1,
                }
            }
            Event::KeyUp { start, end, .. } => {
                let start = rate.millis(start);
                let near = presses
                    .iter()
                    .find(|p| (p.start * 1000.0 - start).abs() < 12.0);
                if let Some(press) = near {
                    let sent = (press.start + press.duration) * 1000.0;
                    grade.end.push((rate.millis(end) - sent).abs());
                }
            }
        }
    }
    for (press, count) in presses.iter().zip(counts) {
        match (press.valid, count) {
            (false, _) => grade.invalid += 1,
            (true, count) => {
                grade.valid += 1;
                grade.missed += usize::from(count == 0);
                grade.doubled += count.saturating_sub(1);
            }
        }
    }
    grade
}
