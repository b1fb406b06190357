//! One telephone call: let in, dial, wait for the agent, talk, hang up.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::Shared;
use super::line::{Heard, Line};
use crate::Result;
use crate::frame::{self, CLOSE};
use crate::report::Counts;
use crate::socket::{Dialler, Event, Refused, Socket, text_frame};

pub const FRAME: Duration = Duration::from_millis(20);
const METADATA: &str = r#"{"kind":"AudioMetadata","audioMetadata":{"subscriptionId":"0a0a0a0a-1111-4222-8333-444444444444","encoding":"PCM","sampleRate":24000,"channels":1,"length":960}}"#;
/// What was said may take so long to come back; what is missing then is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The agent was heard for as long as was wanted, and the goodbye was answered.
    Whole,
    /// No 101.
    Refused(u16),
    /// The edge closed, with a code or without a word.
    Closed(Option<u16>),
}

/// Whom to call, and when.
pub struct Call {
    pub line: Line,
    pub path: String,
    pub headers: Vec<String>,
    pub at: Instant,
    /// Frames that are said once the agent is heard.
    pub talk: u32,
}

impl Call {
    pub async fn run(self, dialler: Dialler, shared: &Shared) -> Result<Outcome> {
        sleep_until(self.at).await;
        let mut socket = match dialler.dial_to(&self.path, &self.headers).await {
            Ok(socket) => socket,
            Err(error) => {
                let refused = error.downcast::<Refused>()?;
                return Ok(Outcome::Refused(refused.0));
            }
        };
        shared.connect.record(self.at.elapsed());
        let mut heard = Heard::default();
        let ended = self.talk(&mut socket, &mut heard, shared).await;
        shared.add(&heard);
        match ended? {
            Some(code) => Ok(Outcome::Closed(code)),
            None => hang_up(&mut socket).await,
        }
    }

    /// Speaks until all is said; the code of a close frame that came before, if one did.
    async fn talk(
        &self,
        socket: &mut Socket,
        heard: &mut Heard,
        shared: &Shared,
    ) -> Result<Option<Option<u16>>> {
        let mut frames = Vec::new();
        text_frame(&mut frames, METADATA.as_bytes());
        socket.send(&frames).await?;
        let begun = Instant::now();
        let due = |number: u32| begun + FRAME * number;
        let mut number = 0;
        let mut end = None;
        loop {
            let said = end.is_some_and(|end| number >= end);
            if said && heard.next >= end {
                return Ok(None);
            }
            let wake = if said {
                due(number) + PATIENCE
            } else {
                due(number)
            };
            // Both may be dropped half-way: `next` consumes whole frames.
            tokio::select! {
                () = sleep_until(wake) => {
                    if said {
                        heard.end(number);
                        return Ok(None);
                    }
                    frames.clear();
                    self.line.messages(number, |text| text_frame(&mut frames, text.as_bytes()));
                    shared.late(due(number));
                    Counts::add(&shared.said);
                    number += 1;
                    socket.send(&frames).await?;
                }
                event = socket.next() => match event? {
                    Event::Text(text) => {
                        heard.hear(&self.line, text, |at| shared.round_trip.record(due(at).elapsed()));
                        if heard.first.is_some() && end.is_none() {
                            shared.gate.record(due(self.line.dialled()).elapsed());
                            end = Some(number + self.talk);
                        }
                    }
                    Event::Ping(payload) => socket.pong(&payload).await?,
                    Event::Closed(code) => {
                        heard.end(end.unwrap_or(0));
                        return Ok(Some(code));
                    }
                },
            }
        }
    }
}

async fn hang_up(socket: &mut Socket) -> Result<Outcome> {
    let mut goodbye = Vec::new();
    frame::write(
        &mut goodbye,
        CLOSE,
        &1000u16.to_be_bytes(),
        Some([1, 2, 3, 4]),
    );
    socket.send(&goodbye).await?;
    let answer = async {
        loop {
            if let Event::Closed(code) = socket.next().await? {
                return Ok(code);
            }
        }
    };
    let code: Result<Option<u16>> = timeout(PATIENCE, answer).await?;
    Ok(match code? {
        Some(1000) => Outcome::Whole,
        code => Outcome::Closed(code),
    })
}
