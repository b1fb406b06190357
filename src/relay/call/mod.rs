//! A phone call: messages of ACS on one leg, and on the other Voice Live, an orchestrator, or, as
//! long as the gate is shut, nobody.
//!
//! Here no bytes go on as they came: each message is heard whole, and what goes on is another one.
//! While the gate is pending the caller is listened to and nothing goes on. An orchestrator that
//! takes the frames of ACS gets them as they are, from the first message behind the gate on; from
//! then on there is nothing to do here, and the pumps forward.
//!
//! ```text
//!  client ─ hear ─┬─ gate ─ (digits; nothing goes on)
//!                 └─ bridge ─ frames for the upstream
//!  client ◀─ prompts, frames of the bridge ─ hear ─ upstream
//! ```
//!
//! It never waits. What the store is to be asked, and when to dial, is asked of the session
//! ([`Asked`]).

mod gated;
mod prompt;
mod through;
mod verbatim;

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

pub use self::gated::{GateEnding, Pressed};
pub use self::through::{CallEnding, Drops};

use self::gated::Gated;
use self::prompt::Speaker;
use self::verbatim::Verbatim;
use super::bridge::{Bridge, Fault, Frame};
use super::end::End;
use super::message::Text;
use super::pump::Pump;
use super::random;
use crate::audio::SampleRate;
use crate::config;
use crate::error::{Reason, Side};
use crate::gate::{Ears, Entry};
use crate::ids::PhoneNumber;
use crate::tap::{Counts, Mark, Marks, Tap};
use crate::wire::acs::{self, Message, Metadata};
use crate::wire::voice_live::Failure;
use crate::ws::Role;

/// What a call is carried by.
pub struct CallTerms {
    /// What digits must open; `None`: it may go through already.
    pub gate: Option<Arc<config::Gate>>,
    pub bridge: config::Bridge,
    /// The caller, whose audio goes on where ACS does not mix.
    pub ani: Option<PhoneNumber>,
}

/// What a call wants of its session.
#[derive(Debug)]
pub enum Asked {
    /// To have this tried at the store, and [`Relay::answer`](super::Relay::answer) called.
    Try(Entry),
    /// The gate has opened: to have the upstream dialled.
    Dial,
    /// The gate stays shut: a try that has no answer yet is not to be made again.
    Nothing,
}

/// The messages of one call.
pub(super) struct Call {
    /// The start of media time: the `101`. A socket on which nothing comes has its deadlines, too.
    began: Instant,
    ani: Option<PhoneNumber>,
    /// As soon as ACS has said what its audio is.
    rate: Option<SampleRate>,
    ears: Option<Ears>,
    /// Until media may go on.
    gated: Option<Box<Gated>>,
    way: Way,
    asks: VecDeque<Asked>,
    /// What the edge itself has to say, before anything of the bridge.
    speaker: Speaker,
    fault: Option<(Side, Reason)>,
    failure: Option<Failure>,
    up: Counts,
    down: Counts,
    drops: Drops,
    gate: Option<GateEnding>,
    /// What may be timed: up, down.
    marks: [Marks; 2],
    /// The pumps forward from now on.
    through: bool,
}

/// How media goes on.
enum Way {
    Bridge(Box<Bridge>),
    Verbatim(Verbatim),
}

thread_local! {
    /// Where frames are written before a leg takes them.
    static FRAMES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Most that the thread's memory for frames keeps: a read's worth of messages, and their masks.
const FRAMES_KEPT: usize = 256 * 1024;

impl Call {
    pub(super) fn new(terms: CallTerms) -> Call {
        let began = Instant::now();
        let way = match &terms.bridge {
            config::Bridge::VoiceLive(session) => Way::Bridge(Box::new(Bridge::new(session))),
            config::Bridge::Verbatim => Way::Verbatim(Verbatim::default()),
        };
        let verbatim = matches!(way, Way::Verbatim(_));
        let mut call = Call {
            began,
            gated: terms.gate.map(|gate| Box::new(Gated::new(gate, verbatim))),
            ani: terms.ani,
            rate: None,
            ears: None,
            way,
            asks: VecDeque::new(),
            speaker: Speaker::default(),
            fault: None,
            failure: None,
            up: Counts::default(),
            down: Counts::default(),
            drops: Drops::default(),
            gate: None,
            marks: [Marks::default(); 2],
            through: false,
        };
        call.turn(began);
        call
    }

    /// Whether messages are heard here; otherwise the pumps forward.
    pub(super) fn translates(&self) -> bool {
        !self.through
    }

    /// How the upstream is heard: an orchestrator's frames go to ACS as they come.
    pub(super) fn upstream_pump(&self, max_message: u64) -> Pump {
        match &self.way {
            Way::Bridge(_) => Pump::hearing(Role::Server, max_message),
            Way::Verbatim(_) => Pump::new(Role::Server, max_message, None, Tap::on_call()),
        }
    }

    pub(super) fn ask(&mut self) -> Option<Asked> {
        self.asks.pop_front()
    }

    pub(super) fn counts(&self) -> [Counts; 2] {
        [self.up, self.down]
    }

    /// What has come since this was last asked that may be timed.
    pub(super) fn take_marks(&mut self) -> [Marks; 2] {
        let [up, down] = &mut self.marks;
        [up.take(), down.take()]
    }

    /// Moves what there is, both ways; true if anything moved.
    pub(super) fn carry<C, U>(
        &mut self,
        client: &mut End<C>,
        upstream: &mut End<U>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> bool
    where
        C: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        let now = Instant::now();
        let mut frames = FRAMES.take();
        frames.clear();
        let mut moved = false;
        // An upstream that takes nothing holds the caller back, as it does where frames are
        // forwarded.
        if upstream.takes(cx) {
            moved |= client.hear(cx, buffer, |text| self.client_says(&text, now, &mut frames));
        }
        if !self.is_full() {
            moved |= upstream.hear(cx, buffer, |text| self.upstream_says(&text, &mut frames));
        }
        upstream.send(&frames, cx);
        moved |= self.play(client, cx, &mut frames);
        // What waited was said before the close frame.
        self.let_through(client, upstream, &mut frames);
        self.cross_closes(client, upstream, &mut frames);
        frames.shrink_to(FRAMES_KEPT);
        FRAMES.set(frames);
        moved
    }

    /// ACS has sent a message. What goes on is added to `frames`.
    fn client_says(&mut self, text: &Text<'_>, now: Instant, frames: &mut Vec<u8>) {
        if self.fault.is_some() {
            return;
        }
        self.up.messages += 1;
        self.up.bytes += text.as_bytes().len() as u64;
        let Ok(message) = acs::read(text.as_bytes()) else {
            self.drops.unreadable += 1;
            return;
        };
        let mut from_caller = true;
        match &message {
            Message::Metadata(metadata) => self.listen(metadata),
            Message::Audio(audio) => {
                self.up.audio_messages += 1;
                // Asked once: a name with escapes costs a copy.
                from_caller = audio
                    .participant
                    .is_none_or(|name| is_callers(self.ears.as_mut(), &name));
                self.marks[0].add(match (from_caller, audio.silent) {
                    (true, false) => Mark::Audio,
                    (true, true) => Mark::Silence,
                    (false, _) => Mark::Others,
                });
            }
            Message::Dtmf(_) | Message::StopAudio => {}
            Message::Unknown => self.drops.unknown += 1,
        }
        if !self.goes_on(&message, now) {
            return;
        }
        match &mut self.way {
            Way::Verbatim(held) => held.hold(text.as_bytes(), &message, &mut self.drops),
            Way::Bridge(bridge) => {
                if let Err(fault) = bridge.client(&message, |_| from_caller, random, frames) {
                    self.fault = Some((Side::Client, reason(fault)));
                }
            }
        }
    }

    /// The upstream has sent a message; here that is Voice Live.
    fn upstream_says(&mut self, text: &Text<'_>, frames: &mut Vec<u8>) {
        if self.fault.is_some() {
            return;
        }
        self.down.messages += 1;
        self.down.bytes += text.as_bytes().len() as u64;
        let Way::Bridge(bridge) = &mut self.way else {
            return;
        };
        let heard = bridge.upstream(text, random, frames);
        self.down.audio_messages = bridge.counts().down.audio;
        if let Some(mark) = bridge.mark() {
            self.marks[1].add(mark);
        }
        match heard {
            Ok(None) => {}
            Ok(Some(failure)) => self.note(failure),
            Err(fault) => {
                if let Fault::Refused(failure) = fault {
                    self.note(failure);
                }
                self.fault = Some((Side::Upstream, reason(fault)));
            }
        }
    }

    /// ACS has said what its audio is.
    fn listen(&mut self, metadata: &Metadata) {
        let Some(rate) = metadata.rate.and_then(SampleRate::from_hz) else {
            return;
        };
        match self.rate {
            // Said again it changes nothing: the ears stay as they are, whatever that would cost.
            Some(before) if before == rate => {}
            Some(_) => self.fail(Side::Client, Reason::FormatMismatch),
            None => {
                self.rate = Some(rate);
                let records = self.gated.as_ref().is_some_and(|gated| gated.records());
                self.ears = Some(Ears::new(rate, self.ani.clone(), records));
            }
        }
    }

    fn is_full(&self) -> bool {
        match &self.way {
            Way::Bridge(bridge) => bridge.is_full(),
            Way::Verbatim(_) => true,
        }
    }

    /// Writes to ACS what waits for it, until it takes no more; true if there was anything.
    fn play<C: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        client: &mut End<C>,
        cx: &mut Context<'_>,
        frames: &mut Vec<u8>,
    ) -> bool {
        let mut moved = false;
        while client.takes(cx) {
            let Some(frame) = self.next_frame() else {
                break;
            };
            frames.clear();
            frame.write(frames);
            client.send(frames, cx);
            moved = true;
        }
        moved
    }

    fn next_frame(&mut self) -> Option<Frame> {
        let settings = self.gated.as_ref().map(|gated| gated.settings());
        let prompt = self.speaker.next(settings.map(|gate| &gate.prompts));
        if prompt.is_some() {
            return prompt;
        }
        let Way::Bridge(bridge) = &mut self.way else {
            return None;
        };
        let frame = bridge.next_frame()?;
        self.marks[1].add(match &frame {
            Frame::Audio(_) => Mark::Audio,
            Frame::StopAudio => Mark::Stop,
        });
        Some(frame)
    }

    /// A close frame of one side goes to the other as it came, behind what was said before.
    fn cross_closes<C, U>(
        &mut self,
        client: &mut End<C>,
        upstream: &mut End<U>,
        frames: &mut Vec<u8>,
    ) where
        C: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        if let Some(close) = client.pump.take_closed() {
            upstream.cross(&close, Some(random()));
        }
        if let Some(close) = upstream.pump.take_closed() {
            frames.clear();
            while let Some(frame) = self.next_frame() {
                frame.write(frames);
            }
            client.leg.queue(&[], frames);
            client.cross(&close, None);
        }
    }
}

/// Whether audio of this participant goes on.
fn is_callers(ears: Option<&mut Ears>, name: &acs::Raw<'_>) -> bool {
    let Some(name) = name.unescape() else {
        return false;
    };
    let name = std::str::from_utf8(&name).ok();
    ears.zip(name)
        .is_some_and(|(ears, name)| ears.is_callers(Some(name)))
}

fn reason(fault: Fault) -> Reason {
    match fault {
        Fault::Mismatch => Reason::FormatMismatch,
        Fault::Refused(_) => Reason::UpstreamRefused,
    }
}
