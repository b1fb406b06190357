//! The ears of one call: a detector for each participant that its audio names, of which only the
//! caller's counts.
//!
//! # Who the caller is
//!
//! ACS names the participant of a frame by a raw id in unmixed streams; `4:` and a number in E.164 is
//! a telephone. Mixed streams have no name.
//!
//! | frame | counts |
//! |---|---|
//! | named, and the caller's number is known | if the name is exactly `4:` and that number |
//! | named, and it is not known (withheld, or nobody said) | if it is the first name with `4:` of the call |
//! | not named | until a frame is named, as the stream is mixed then |
//! | named otherwise | never: tones of other parties, and of agents, dial nothing |
//!
//! What others press is counted, for the operator to see that somebody tries.
//!
//! # Time
//!
//! A detector tells samples of its stream; the gate wants media time. A sample was said as long before
//! its frame arrived as the frame goes on behind it. So the arrival of each frame is kept for as long as
//! a record reaches back.

use std::collections::VecDeque;
use std::time::Duration;

use super::replay::{Found, Look};
use crate::audio::SampleRate;
use crate::dtmf::{Detector, Digit, Event, Record, Setting};
use crate::ids::PhoneNumber;

/// Participants that are heard: ACS sends the four dominant speakers.
const STREAMS_MAX: usize = 4;
/// Longest raw id; those of ACS have 80 bytes at the most. Who has a longer one is not heard.
const NAME_MAX: usize = 256;
/// Seconds of audio that are heard in a second: of the caller, whose call brings one, but more after a
/// network has stalled; and of all others together.
const CALLER_SECONDS: u32 = 2;
const OTHERS_SECONDS: u32 = 4;
/// Audio that may come at once: what a stalled network has kept for us before it is lost anyway.
const BURST: Duration = Duration::from_secs(5);
/// Arrivals that are kept: of 10 ms each, those of a record's 10 s and some more.
const ARRIVALS_MAX: usize = 1024;
const ARRIVAL: Duration = Duration::from_millis(10);

/// What was heard of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A key went down; its tone began at this time.
    Down { digit: Digit, at: Duration },
    /// It went up.
    Up { at: Duration },
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that were not heard, as more came than is heard in a second.
    pub unheard: u64,
    /// Keys of participants who are not the caller.
    pub others: u64,
    /// Participants who were forgotten, as there were too many.
    pub forgotten: u64,
}

/// Hears all participants of one call.
pub struct Ears {
    rate: SampleRate,
    caller: Caller,
    /// Whether a record is kept for a second look.
    records: bool,
    streams: Vec<Stream>,
    counts: Counts,
    own: Budget,
    others: Budget,
}

/// What is known of the caller.
struct Caller {
    ani: Option<PhoneNumber>,
    /// The first telephone that was named, where the number is not known.
    first: Option<Box<str>>,
    /// A frame was named: the stream is not mixed.
    unmixed: bool,
}

/// The stream of one participant; without a name it is that of all.
struct Stream {
    name: Option<Box<str>>,
    detector: Detector,
    heard_at: Duration,
    /// Only of the caller.
    past: Option<Past>,
}

/// What is kept of the caller's stream.
struct Past {
    record: Option<Record>,
    /// Samples heard.
    heard: u64,
    /// Samples heard by the end of a frame, and when it arrived.
    arrivals: VecDeque<(u64, Duration)>,
}

impl Ears {
    /// The ears of a call whose audio has this rate, from its first frame on. `ani`: the caller's
    /// number, if signalling tells. `records`: whether a second look is wanted, for which 80 kB are kept.
    pub fn new(rate: SampleRate, ani: Option<PhoneNumber>, records: bool) -> Ears {
        Ears {
            rate,
            caller: Caller {
                ani,
                first: None,
                unmixed: false,
            },
            records,
            streams: Vec::with_capacity(STREAMS_MAX),
            counts: Counts::default(),
            own: Budget::new(CALLER_SECONDS),
            others: Budget::new(OTHERS_SECONDS),
        }
    }

    /// Hears a frame of `participant` that arrived at `now`, in media time.
    pub fn hear(
        &mut self,
        participant: Option<&str>,
        samples: &[i16],
        now: Duration,
        mut emit: impl FnMut(Heard),
    ) {
        if participant.is_some() && !self.caller.unmixed {
            self.caller.unmixed = true;
            self.streams.clear();
        }
        let own = self.caller.speaks(participant);
        let budget = if own { &mut self.own } else { &mut self.others };
        let known = participant.is_none_or(|name| name.len() <= NAME_MAX);
        if !known || !budget.allows(duration(samples.len() as u64, self.rate), now) {
            self.counts.unheard += 1;
            return;
        }
        let (rate, counts) = (self.rate, &mut self.counts);
        let at = place(
            &mut self.streams,
            participant,
            || Stream::new(rate, participant, own.then_some(self.records)),
            counts,
        );
        let stream = &mut self.streams[at];
        stream.heard_at = now;
        match &mut stream.past {
            Some(past) => past.hear(&mut stream.detector, samples, rate, now, &mut emit),
            None => stream.detector.push(samples, |event| {
                counts.others += u64::from(matches!(event, Event::KeyDown { .. }));
            }),
        }
    }

    /// Whether a digit that ACS told in a message is the caller's. Many such messages have no name.
    pub fn is_callers(&mut self, participant: Option<&str>) -> bool {
        participant.is_none_or(|name| self.caller.is(name))
    }

    /// Looks at the caller's audio once more.
    pub fn look_again(&self, look: Look) -> Found {
        let mut past = self
            .streams
            .iter()
            .filter_map(|stream| stream.past.as_ref());
        let found = past.find_map(|past| {
            let record = past.record.as_ref()?;
            let at = |sample| past.at(sample, self.rate);
            Some(Found::within(look, record, self.rate, at))
        });
        found.unwrap_or_else(Found::nothing)
    }

    /// The verdict has come: nothing is recorded any more, and what was is wiped and freed.
    pub fn forget(&mut self) {
        self.records = false;
        for past in self.streams.iter_mut().filter_map(|s| s.past.as_mut()) {
            past.record = None;
        }
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    #[cfg(test)]
    pub(super) fn arrivals(&self) -> usize {
        let past = self.streams.iter().find_map(|stream| stream.past.as_ref());
        past.map_or(0, |past| past.arrivals.len())
    }
}

impl std::fmt::Debug for Ears {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ears(_)")
    }
}

/// The place of a participant's stream. A new one may take that of whoever has not been heard for the
/// longest time; the caller stays.
fn place(
    streams: &mut Vec<Stream>,
    name: Option<&str>,
    new: impl FnOnce() -> Stream,
    counts: &mut Counts,
) -> usize {
    let known = |stream: &Stream| stream.name.as_deref() == name;
    if let Some(at) = streams.iter().position(known) {
        return at;
    }
    if streams.len() == STREAMS_MAX {
        let others = streams.iter().enumerate().filter(|(_, s)| s.past.is_none());
        if let Some((at, _)) = others.min_by_key(|(_, stream)| stream.heard_at) {
            streams.swap_remove(at);
            counts.forgotten += 1;
        }
    }
    streams.push(new());
    streams.len() - 1
}

impl Caller {
    /// Whether a frame counts.
    fn speaks(&mut self, participant: Option<&str>) -> bool {
        match participant {
            Some(name) => self.is(name),
            None => !self.unmixed,
        }
    }

    /// Whether the caller has this name.
    fn is(&mut self, name: &str) -> bool {
        let Some(number) = name.strip_prefix("4:") else {
            return false;
        };
        match &self.ani {
            Some(ani) => number == ani.expose(),
            None if name.len() > NAME_MAX => false,
            None => &**self.first.get_or_insert_with(|| name.into()) == name,
        }
    }
}

impl Stream {
    /// `records`: of the caller only, whether a record is kept.
    fn new(rate: SampleRate, name: Option<&str>, records: Option<bool>) -> Stream {
        Stream {
            name: name.map(Into::into),
            detector: Detector::new(rate, Setting::Standard),
            heard_at: Duration::ZERO,
            past: records.map(|records| Past {
                record: records.then(Record::new),
                heard: 0,
                arrivals: VecDeque::with_capacity(ARRIVALS_MAX),
            }),
        }
    }
}

impl Past {
    fn hear(
        &mut self,
        detector: &mut Detector,
        samples: &[i16],
        rate: SampleRate,
        now: Duration,
        emit: &mut impl FnMut(Heard),
    ) {
        self.heard += samples.len() as u64;
        self.arrive(rate, now);
        let (arrivals, record) = (&self.arrivals, &mut self.record);
        let mut tell = |event| {
            emit(match event {
                Event::KeyDown { digit, start, .. } => Heard::Down {
                    digit,
                    at: said_at(arrivals, start, rate),
                },
                Event::KeyUp { end, .. } => Heard::Up {
                    at: said_at(arrivals, end, rate),
                },
            });
        };
        match record {
            Some(record) => detector.push_recorded(samples, record, &mut tell),
            None => detector.push(samples, &mut tell),
        }
    }

    /// A frame has arrived. Short ones count as one.
    fn arrive(&mut self, rate: SampleRate, now: Duration) {
        let before = self
            .arrivals
            .iter()
            .rev()
            .nth(1)
            .map_or(0, |before| before.0);
        match self.arrivals.back_mut() {
            Some(last) if duration(last.0 - before, rate) < ARRIVAL => *last = (self.heard, now),
            Some(_) | None => {
                if self.arrivals.len() == ARRIVALS_MAX {
                    self.arrivals.pop_front();
                }
                self.arrivals.push_back((self.heard, now));
            }
        }
    }

    fn at(&self, sample: u64, rate: SampleRate) -> Duration {
        said_at(&self.arrivals, sample, rate)
    }
}

/// When a sample was said, by the arrival of its frame.
fn said_at(arrivals: &VecDeque<(u64, Duration)>, sample: u64, rate: SampleRate) -> Duration {
    let after = arrivals.partition_point(|&(end, _)| end < sample);
    let frame = arrivals.get(after).or(arrivals.back());
    frame.map_or(Duration::ZERO, |&(end, now)| {
        now.saturating_sub(duration(end.saturating_sub(sample), rate))
    })
}

fn duration(samples: u64, rate: SampleRate) -> Duration {
    Duration::from_nanos(samples.saturating_mul(1_000_000_000) / u64::from(rate.hz()))
}

/// How much audio may be heard.
struct Budget {
    per_second: u32,
    left: Duration,
    as_of: Duration,
}

impl Budget {
    fn new(per_second: u32) -> Budget {
        Budget {
            per_second,
            left: BURST,
            as_of: Duration::ZERO,
        }
    }

    /// Whether so much may be heard now; then it is spent.
    fn allows(&mut self, audio: Duration, now: Duration) -> bool {
        let passed = now.saturating_sub(self.as_of);
        self.as_of = self.as_of.max(now);
        let more = passed.saturating_mul(self.per_second);
        self.left = BURST.min(self.left.saturating_add(more));
        let left = self.left.checked_sub(audio);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}
