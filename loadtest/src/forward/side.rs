//! One socket of a pair with its TLS session, if it has one: bytes in, bytes out, nothing of HTTP.

use std::io::{self, BufRead as _, ErrorKind, Read, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use rustls::Connection;
use socket2::SockRef;

/// Buffers of the thread, used by whichever pair is moved just then.
pub struct Buffers {
    /// What one receive fills. Zeroed once, at the start.
    pub input: Vec<u8>,
    /// An empty queue with room, so that none is allocated for each wake.
    pub spare: Vec<u8>,
}

pub struct Side {
    socket: TcpStream,
    tls: Option<Box<Connection>>,
    /// Bytes that a plain socket has not taken; a TLS session keeps its records itself.
    queue: Vec<u8>,
    connecting: bool,
    readable: bool,
    writable: bool,
    /// The peer's FIN is there: only a read of nothing shows that all before it was read.
    hung_up: bool,
    /// The peer will send nothing more, and said so.
    pub ended: bool,
    /// We said so.
    pub finished: bool,
}

impl Side {
    /// A socket that is up, or, with `connecting`, on its way.
    pub fn new(
        socket: TcpStream,
        session: Option<Connection>,
        connecting: bool,
    ) -> io::Result<Side> {
        socket.set_nodelay(true)?;
        let tls = session.map(|mut session| {
            // What waits in a session is bounded by one receive: nothing is read for a side that
            // has not taken everything.
            session.set_buffer_limit(None);
            Box::new(session)
        });
        Ok(Side {
            socket,
            tls,
            queue: Vec::new(),
            connecting,
            readable: false,
            writable: !connecting,
            hung_up: false,
            ended: false,
            finished: false,
        })
    }

    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// What the poll has told. It tells each change once: what is noted here stays until a call
    /// that would block has shown otherwise.
    pub fn note(&mut self, event: &Event) -> io::Result<()> {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.hung_up |= event.is_read_closed() || event.is_error();
        if event.is_writable() || event.is_error() {
            if self.connecting {
                if let Some(error) = self.socket.take_error()? {
                    return Err(error);
                }
                self.connecting = false;
            }
            self.writable = true;
        }
        Ok(())
    }

    fn handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// TCP and TLS are up.
    pub fn is_up(&self) -> bool {
        !self.connecting && !self.handshaking()
    }

    fn is_flushed(&self) -> bool {
        self.queue.is_empty() && self.tls.as_ref().is_none_or(|tls| !tls.wants_write())
    }

    /// Whether something is to be read, and where to put it: `to` is up and has taken all there was.
    pub fn may_read(&self, to: &Side) -> bool {
        self.readable
            && !self.ended
            && !self.connecting
            && (self.handshaking() || to.is_up() && to.is_flushed())
    }

    /// One receive; all plain bytes that result are queued at `to`.
    pub fn receive(&mut self, buffers: &mut Buffers, to: &mut Side) -> io::Result<()> {
        let count = match self.socket.read(&mut buffers.input) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        };
        // Less than there was room for is all there is: no second call finds that out.
        self.readable = count == buffers.input.len() || self.hung_up;
        if to.queue.capacity() == 0 && to.tls.is_none() {
            to.queue = std::mem::take(&mut buffers.spare);
        }
        let mut bytes = &buffers.input[..count];
        let Some(tls) = &mut self.tls else {
            self.ended = count == 0;
            return to.queue(bytes);
        };
        if count == 0 {
            // An end that no close_notify announced may be anybody's.
            return Err(ErrorKind::UnexpectedEof.into());
        }
        while !bytes.is_empty() && !self.ended {
            tls.read_tls(&mut bytes)?;
            let state = tls
                .process_new_packets()
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            self.ended = state.peer_has_closed();
            let mut left = state.plaintext_bytes_to_read();
            while left > 0 {
                let mut reader = tls.reader();
                let chunk = reader.fill_buf()?;
                let length = chunk.len();
                to.queue(chunk)?;
                reader.consume(length);
                left -= length;
            }
        }
        // The session gives the memory of its records back at the next read, not before.
        match tls.read_tls(&mut Nothing) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn queue(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes),
            None => {
                self.queue.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Sends what is queued, as far as the socket takes it.
    pub fn flush(&mut self, buffers: &mut Buffers) -> io::Result<()> {
        let took = match &mut self.tls {
            Some(tls) => write_records(tls, &mut self.socket, &mut self.writable),
            None => write_bytes(&mut self.queue, &mut self.socket, &mut self.writable),
        };
        if self.queue.is_empty() && self.queue.capacity() > 0 {
            buffers.spare = std::mem::take(&mut self.queue);
        }
        took
    }

    /// Says that nothing more comes, once all before it was taken.
    pub fn finish(&mut self, buffers: &mut Buffers) -> io::Result<()> {
        if self.finished || !self.is_up() || !self.is_flushed() {
            return Ok(());
        }
        self.finished = true;
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            self.flush(buffers)?;
            if !self.is_flushed() {
                // 24 bytes that do not fit now: the next wake tries again.
                self.finished = false;
                return Ok(());
            }
        }
        self.socket.shutdown(Shutdown::Write)
    }

    /// An end that cannot be taken for a proper one: a reset.
    pub fn abort(&self) {
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}

fn write_records(
    tls: &mut Connection,
    socket: &mut TcpStream,
    writable: &mut bool,
) -> io::Result<()> {
    while *writable && tls.wants_write() {
        match tls.write_tls(socket) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => *writable = false,
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

fn write_bytes(queue: &mut Vec<u8>, socket: &mut TcpStream, writable: &mut bool) -> io::Result<()> {
    let mut at = 0;
    let mut outcome = Ok(());
    while *writable && at < queue.len() && outcome.is_ok() {
        match socket.write(&queue[at..]) {
            Ok(0) => outcome = Err(ErrorKind::WriteZero.into()),
            Ok(count) => at += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => *writable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => outcome = Err(error),
        }
    }
    queue.drain(..at);
    outcome
}

/// A socket that has nothing just now.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}
