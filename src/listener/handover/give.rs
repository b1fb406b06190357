//! The process that lives: it gives its sockets to whoever may have them.

use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::geteuid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::place::Place;
use super::{BUSY, GIVEN, HELLO, LATE, NO, READY, READY_WAIT, SOCKETS, WORD_WAIT, YOURS};
use crate::audit::Audit;
use crate::drain::Drain;
use crate::listener::ACCEPT_PAUSE;
use crate::listener::inherit::Sockets;
use crate::metrics;

/// What a process gives away.
pub struct Offer {
    pub place: Place,
    pub sockets: Sockets,
    pub drain: Drain,
    pub audit: Audit,
    pub metrics: metrics::Shared,
}

/// How a process that asked has fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// It died, or was silent for too long.
    Failed,
    Busy,
    /// It is of another user.
    Stranger,
    /// The audit cannot be written by two.
    Audit,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Busy => "busy",
            Outcome::Stranger => "stranger",
            Outcome::Audit => "audit",
        }
    }
}

impl Offer {
    /// Gives the sockets to whoever may have them; from then on it never resolves, as the connection
    /// tells the new process that this one lives. Without one it resolves when the edge ends.
    pub async fn serve(self) {
        let listener = self.place.listener.try_clone();
        let listener = match listener.and_then(UnixListener::from_std) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "nobody can take over"),
        };
        let mut turn: Option<Pin<Box<dyn Future<Output = Option<UnixStream>>>>> = None;
        loop {
            let handed = async {
                match &mut turn {
                    Some(turn) => turn.await,
                    None => std::future::pending().await,
                }
            };
            let stream = tokio::select! {
                () = self.drain.ending() => return,
                handed = handed => match handed {
                    Some(stream) => break self.leave(listener, stream).await,
                    None => {
                        turn = None;
                        continue;
                    }
                },
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let uid = stream.peer_cred().map(|peer| peer.uid());
            if !uid.is_ok_and(|uid| uid == geteuid().as_raw()) {
                self.note(Outcome::Stranger);
            } else if turn.is_some() {
                self.note(Outcome::Busy);
                tokio::spawn(refuse(stream));
            } else {
                turn = Some(Box::pin(give(stream, self.again())));
            }
        }
    }

    /// What one attempt needs; the sockets are the same ones.
    fn again(&self) -> Attempt {
        Attempt {
            sockets: self.sockets.again(),
            audit: self.audit.clone(),
            metrics: self.metrics.clone(),
        }
    }

    fn note(&self, outcome: Outcome) {
        note(&self.metrics, outcome);
    }

    /// Another process accepts: this one stops, and keeps the connection until it ends.
    async fn leave(self, listener: UnixListener, mut stream: UnixStream) {
        let Offer {
            place,
            sockets,
            drain,
            metrics,
            ..
        } = self;
        drop((listener, place));
        drain.hand_over(None);
        drop(sockets);
        // It serves whether or not it hears this.
        let _ = say(&mut stream, YOURS).await;
        note(&metrics, Outcome::Done);
        std::future::pending::<()>().await;
        drop(stream);
    }
}

fn note(metrics: &metrics::Shared, outcome: Outcome) {
    metrics.handed_over(outcome.word());
    if outcome == Outcome::Done {
        tracing::info!("handed over: another process accepts from now on");
    } else {
        tracing::warn!(why = outcome.word(), "not handed over");
    }
}

struct Attempt {
    sockets: io::Result<Sockets>,
    audit: Audit,
    metrics: metrics::Shared,
}

/// Tells one that comes too late; what it says is read first, as a connection that is closed with bytes
/// unread is reset. As many as come, as they are of this very user.
async fn refuse(mut stream: UnixStream) {
    if heard(&mut stream, HELLO, WORD_WAIT).await {
        let _ = say(&mut stream, BUSY).await;
    }
}

/// Gives the sockets to one process; the connection, once it accepts.
async fn give(mut stream: UnixStream, attempt: Attempt) -> Option<UnixStream> {
    let Attempt {
        sockets,
        audit,
        metrics,
    } = attempt;
    if !heard(&mut stream, HELLO, WORD_WAIT).await {
        note(&metrics, Outcome::Failed);
        return None;
    }
    if !share(&audit, true).await {
        let _ = say(&mut stream, &format!("{NO} audit")).await;
        note(&metrics, Outcome::Audit);
        share(&audit, false).await;
        return None;
    }
    let given = async {
        let sent = timeout(WORD_WAIT, send(&mut stream, &sockets?)).await;
        sent.unwrap_or(Err(ErrorKind::TimedOut.into()))
    };
    if given.await.is_ok() && heard(&mut stream, READY, READY_WAIT).await {
        return Some(stream);
    }
    let _ = say(&mut stream, LATE).await;
    drop(stream);
    share(&audit, false).await;
    note(&metrics, Outcome::Failed);
    None
}

/// The writer of the audit is asked on a thread where one may wait.
async fn share(audit: &Audit, shared: bool) -> bool {
    let audit = audit.clone();
    let asked = tokio::task::spawn_blocking(move || audit.share(shared));
    asked.await.unwrap_or(false)
}

async fn send(stream: &mut UnixStream, sockets: &Sockets) -> io::Result<()> {
    let all: Vec<&TcpListener> = sockets.public.iter().chain(&sockets.admin).collect();
    say(stream, &format!("{SOCKETS} {}", all.len())).await?;
    for socket in all {
        let give = || {
            let given = [socket.as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            beside.push(SendAncillaryMessage::ScmRights(&given));
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            sendmsg(&*stream, &[IoSlice::new(&[GIVEN])], &mut beside, flags)?;
            Ok(())
        };
        stream.async_io(Interest::WRITABLE, give).await?;
    }
    Ok(())
}

async fn say(stream: &mut UnixStream, word: &str) -> io::Result<()> {
    let line = format!("{word}\n");
    let said = timeout(WORD_WAIT, stream.write_all(line.as_bytes()));
    said.await.unwrap_or(Err(ErrorKind::TimedOut.into()))
}

/// Whether the next line is this word, and comes in time.
async fn heard(stream: &mut UnixStream, word: &str, wait: Duration) -> bool {
    let mut line = vec![0; word.len() + 1];
    let read = timeout(wait, stream.read_exact(&mut line)).await;
    matches!(read, Ok(Ok(_))) && line.strip_suffix(b"\n") == Some(word.as_bytes())
}
