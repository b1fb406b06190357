//! The new process: it asks for the sockets, and says when it accepts.

use std::fs;
use std::io::{self, ErrorKind, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::sockopt::socket_peercred;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::geteuid;
use tokio::net::UnixStream as AsyncStream;

use super::{
    BUSY, Failed, GIVEN, HELLO, LATE, NO, READY, SOCKETS, SOCKETS_MAX, WORD_MAX, WORD_WAIT, YOURS,
};
use crate::listener::inherit::Sockets;

/// The process whose place this one takes.
pub struct Predecessor {
    stream: UnixStream,
}

/// Asks whoever lives at `path` for its sockets; `None`: nobody does. Blocks for some seconds at the
/// most.
pub fn ask(path: &Path) -> Result<Option<(Predecessor, Sockets)>, Failed> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(about) if !about.file_type().is_socket() => {
            return Err(Failed::NoSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        // Whoever made it is dead.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let peer = socket_peercred(&stream).map_err(io::Error::from)?;
    if peer.uid != geteuid() {
        return Err(Failed::Stranger);
    }
    stream.set_read_timeout(Some(WORD_WAIT))?;
    stream.set_write_timeout(Some(WORD_WAIT))?;
    let mut predecessor = Predecessor { stream };
    let sockets = predecessor.sockets()?;
    Ok(Some((predecessor, sockets)))
}

impl Predecessor {
    fn sockets(&mut self) -> Result<Sockets, Failed> {
        self.say(HELLO)?;
        let word = self.word()?;
        let count = match word.split_once(' ') {
            Some((SOCKETS, count)) => count.parse().map_err(|_| Failed::Foreign)?,
            Some((NO, why)) => return Err(Failed::Refused(why.to_owned())),
            _ if word == BUSY => return Err(Failed::Busy),
            _ => return Err(Failed::Foreign),
        };
        if !(2..=SOCKETS_MAX).contains(&count) {
            return Err(Failed::Foreign);
        }
        let mut sockets = Vec::new();
        for _ in 0..count {
            let (byte, given) = self.take()?;
            let given = given.filter(|_| byte == GIVEN).ok_or(Failed::Foreign)?;
            sockets.push(TcpListener::from(given));
        }
        let admin = sockets.pop();
        Ok(Sockets {
            public: sockets,
            admin,
        })
    }

    /// Says that this process accepts. When it returns the other one does not any more.
    pub fn relieve(&mut self) -> Result<(), Failed> {
        self.say(READY)?;
        match self.word() {
            Ok(word) if word == YOURS => Ok(()),
            Ok(word) if word == LATE => Err(Failed::Late),
            Ok(_) => Err(Failed::Foreign),
            // It died with everything it had; somebody must serve.
            Err(Failed::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Resolves when that process has ended.
    pub async fn gone(self) {
        let ended = async {
            self.stream.set_nonblocking(true)?;
            let stream = AsyncStream::from_std(self.stream)?;
            loop {
                stream.readable().await?;
                match stream.try_read(&mut [0; WORD_MAX]) {
                    Ok(0) => return Ok(()),
                    Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                    Ok(_) | Err(_) => {}
                }
            }
        };
        // However the connection has ended, nobody is at the other side.
        let _: io::Result<()> = ended.await;
    }

    fn say(&mut self, word: &str) -> io::Result<()> {
        self.stream.write_all(format!("{word}\n").as_bytes())
    }

    fn word(&mut self) -> Result<String, Failed> {
        let mut word = Vec::new();
        loop {
            match self.take()? {
                (b'\n', None) => return String::from_utf8(word).map_err(|_| Failed::Foreign),
                (byte, None) if word.len() < WORD_MAX => word.push(byte),
                _ => return Err(Failed::Foreign),
            }
        }
    }

    /// The next byte, and the descriptor that came with it.
    fn take(&mut self) -> Result<(u8, Option<OwnedFd>), Failed> {
        let mut byte = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let into = &mut [IoSliceMut::new(&mut byte)];
        let received = recvmsg(&self.stream, into, &mut beside, RecvFlags::CMSG_CLOEXEC);
        let received = received.map_err(io::Error::from)?;
        let mut given = None;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                given = descriptors.last();
            }
        }
        match received.bytes {
            0 => Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
            _ => Ok((byte[0], given)),
        }
    }
}
