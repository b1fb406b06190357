//! How an issuer answers, soundly or not.
//!
//! Owns the closed list and the playing of it. Wherever it can, an unsound answer carries the good
//! document all the same, so that only a client that minds what is wrong with it turns it down.
//! Refuses to know what the document says.

use super::answer::{After, Answer};
use crate::sim::stream::Stream;
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The longest that one answer may take, whatever it is. Above every patience of a client, and
/// above what the longest drip of a usual document takes.
const ANSWER_DEADLINE: Duration = Duration::from_secs(300);

/// Blanks before a huge document: what is legal JSON and far above what any issuer sends.
const HUGE: usize = 9 << 20;

/// How much of it is written at once.
const CHUNK: usize = 64 * 1024;

/// The time between two bytes of a drip.
const DRIP: Duration = Duration::from_millis(100);

/// How metadata or keys are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should be.
    Normal,
    /// Not at all; the connection stays open.
    Stall,
    /// With status 200 and what is no JSON.
    Garbage,
    /// With the document behind nine mebibytes of blanks, in chunks without a length beforehand.
    Huge,
    /// With 302 and this `Location`. The document is in the body.
    Redirect(String),
    /// With this status. The document is in the body, where the status allows for one.
    Status(u16),
    /// With an empty set of keys.
    Empty,
    /// With the body byte by byte, one each 100 ms.
    Drip,
}

impl Behaviour {
    /// Answers a request for `document`. Ends at a deadline even if the client takes nothing.
    pub(super) async fn play(&self, stream: &mut Stream, document: String) -> io::Result<After> {
        let played = timeout(ANSWER_DEADLINE, self.answer(stream, document)).await;
        played.unwrap_or(Ok(After::Close))
    }

    async fn answer(&self, stream: &mut Stream, document: String) -> io::Result<After> {
        match self {
            Self::Normal => Answer::new(document).send(stream).await,
            Self::Stall => {
                stream.drain(ANSWER_DEADLINE).await;
                Ok(After::Close)
            }
            Self::Garbage => {
                let page = "<html><p>Service unavailable".to_owned();
                Answer::new(page).send(stream).await
            }
            Self::Huge => huge(stream, &Answer::new(document)).await,
            Self::Redirect(location) => {
                let answer = Answer::new(document).with_status(302);
                answer.with("Location", location).send(stream).await
            }
            Self::Status(status) => {
                let answer = Answer::new(document).with_status(*status);
                answer.send(stream).await
            }
            Self::Empty => {
                let none = r#"{"keys":[]}"#.to_owned();
                Answer::new(none).send(stream).await
            }
            Self::Drip => drip(stream, &Answer::new(document)).await,
        }
    }
}

async fn huge(stream: &mut Stream, answer: &Answer) -> io::Result<After> {
    let head = answer.head("Transfer-Encoding: chunked");
    stream.write_all(head.as_bytes()).await?;
    let blanks = format!("{CHUNK:x}\r\n{}\r\n", " ".repeat(CHUNK));
    for _ in 0..HUGE / CHUNK {
        stream.write_all(blanks.as_bytes()).await?;
    }
    let body = &answer.body;
    let last = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    stream.write_all(last.as_bytes()).await?;
    stream.flush().await?;
    Ok(answer.after)
}

async fn drip(stream: &mut Stream, answer: &Answer) -> io::Result<After> {
    let head = answer.head(&format!("Content-Length: {}", answer.body.len()));
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    let mut drops = interval(DRIP);
    drops.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for byte in answer.body.bytes() {
        drops.tick().await;
        stream.write_all(&[byte]).await?;
        stream.flush().await?;
    }
    Ok(answer.after)
}
