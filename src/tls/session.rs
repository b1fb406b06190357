//! One side of a TLS session, without a socket: records in, records out.
//!
//! # States
//!
//! *Open*, then *ended* (the peer has said `close_notify`: it sends nothing more, and we may go on) or
//! *failed* (a record was not what it should be, or keys are used up: nothing goes in or out any more,
//! except the alert that says so, which is queued when it happens). A peer that goes without a word is the
//! socket's to tell.
//!
//! # How rustls is driven
//!
//! rustls looks at the bytes that are there and says what is next, one thing at a time; a [`Step`] does that
//! thing. Whatever rustls wants sent is encoded into the queue at once, so that "has been transmitted" is
//! true as far as rustls is concerned: the queue goes out in order, or the connection ends.
//!
//! Bytes that rustls does not let go of are a record that has begun, or a message of a handshake that spans
//! records; of the latter rustls knows where in the bytes it stands. So they are kept as they are,
//! and given to rustls with every call, also where something is to be encrypted.

use std::io;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, Error, ServerConfig};

use super::begun::{self, BEGUN_MAX, BEGUN_MAX_OF_STRANGERS};
use crate::buffer::{self, Queue};

/// Plain text of a full record, and what encryption adds to one at the most.
const RECORD: usize = 16 * 1024;
const OVERHEAD: usize = 64;

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// There may be more.
    Open,
    /// The peer will send nothing more.
    End,
}

/// A TLS session from the handshake on.
pub struct Session {
    connection: Connection,
    /// What has begun and is not whole: `begun_max` bytes at the most, and no memory where there is none.
    begun: Vec<u8>,
    begun_max: u16,
    state: State,
}

/// On the heap: sessions move through futures.
enum Connection {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

#[derive(Clone, Copy)]
enum State {
    Open,
    Ended,
    Failed,
}

/// What is wanted of rustls, where it wants nothing itself.
#[derive(Clone, Copy)]
enum Want<'a> {
    Nothing,
    Seal(&'a [u8], &'a [u8]),
    Close,
}

/// What came of a call.
enum Step {
    /// There is more to do.
    More,
    /// More bytes are needed to go on, or what was wanted is done.
    Done,
    /// The peer sends nothing more.
    End,
}

impl Session {
    /// The server's side; it waits for the client, which is asked for `certificates`, as `config` has it, or
    /// not.
    pub fn server(config: Arc<ServerConfig>, certificates: bool) -> Result<Session, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        let begun_max = if certificates {
            BEGUN_MAX
        } else {
            BEGUN_MAX_OF_STRANGERS
        };
        let connection = Connection::Server(Box::new(connection));
        Ok(Session::new(connection, begun_max))
    }

    /// The client's side; its first [`open`](Self::open), of nothing, queues what it says first.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Session, Error> {
        let connection = UnbufferedClientConnection::new(config, name)?;
        let connection = Connection::Client(Box::new(connection));
        Ok(Session::new(connection, BEGUN_MAX))
    }

    fn new(connection: Connection, begun_max: usize) -> Session {
        const { assert!(BEGUN_MAX <= u16::MAX as usize) };
        Session {
            connection,
            begun: Vec::new(),
            begun_max: begun_max as u16,
            state: State::Open,
        }
    }

    /// What rustls knows of the session.
    pub fn known(&self) -> &CommonState {
        match &self.connection {
            Connection::Client(client) => client,
            Connection::Server(server) => server,
        }
    }

    /// How many bytes [`open`](Self::open) puts in front of what is read next.
    pub fn begun(&self) -> usize {
        self.begun.len()
    }

    /// What a read would come to whatever the socket has.
    pub fn standing(&self) -> io::Result<Read> {
        match self.state {
            State::Open => Ok(Read::Open),
            State::Ended => Ok(Read::End),
            State::Failed => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the TLS session has failed",
            )),
        }
    }

    /// Decrypts in place what was read: `buffer` has room for [`begun`](Self::begun) bytes, then what
    /// the socket gave. Every chunk of plain text goes to `each`, in order and before an error; what
    /// rustls has to say goes to `queue`.
    pub fn open(
        &mut self,
        buffer: &mut [u8],
        queue: &mut Option<Queue>,
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<Read> {
        if self.standing()? == Read::End {
            return Ok(Read::End);
        }
        buffer[..self.begun.len()].copy_from_slice(&self.begun);
        let mut records = Records {
            bytes: buffer,
            used: 0,
            begun: &mut self.begun,
        };
        let read = loop {
            let Records { bytes, used, .. } = &mut records;
            let left = &mut bytes[*used..];
            let step = self
                .connection
                .step(left, used, Want::Nothing, queue, &mut each);
            match step {
                Ok(Step::More) => {}
                Ok(Step::Done) => break Ok(Read::Open),
                Ok(Step::End) => break Ok(Read::End),
                Err(error) => {
                    let left = &mut records.bytes[records.used..];
                    self.connection.last_words(left, queue);
                    break Err(error);
                }
            }
        };
        drop(records);
        match read {
            Err(error) => Err(self.failed(error)),
            Ok(Read::End) => {
                self.state = State::Ended;
                self.begun = Vec::new();
                Ok(Read::End)
            }
            Ok(Read::Open) if self.begun.len() > usize::from(self.begun_max) => {
                begun::count_too_long();
                Err(self.failed(Error::General("a message is too long".to_owned())))
            }
            Ok(Read::Open) => Ok(Read::Open),
        }
    }

    /// Encrypts `prefix`, then `bytes`, into `queue`: as one record, unless they are too long for one.
    /// After an error the session has failed.
    pub fn seal(
        &mut self,
        prefix: &[u8],
        bytes: &[u8],
        queue: &mut Option<Queue>,
    ) -> io::Result<()> {
        self.want(Want::Seal(prefix, bytes), queue)
    }

    /// Queues `close_notify`, once.
    pub fn close(&mut self, queue: &mut Option<Queue>) -> io::Result<()> {
        self.want(Want::Close, queue)
    }

    fn want(&mut self, want: Want<'_>, queue: &mut Option<Queue>) -> io::Result<()> {
        if matches!(self.state, State::Failed) {
            return self.standing().map(drop);
        }
        loop {
            // All that is whole has been read, so nothing of this is used up or handed on; unless whoever
            // read has panicked. Then what lies here is dropped: of that reader nothing counts any more.
            let (begun, mut used) = (&mut self.begun, 0);
            let step = self
                .connection
                .step(begun, &mut used, want, queue, &mut |_| ());
            self.begun.drain(..used);
            match step {
                Ok(Step::More) => {}
                // Rustls says once that the peer sends nothing more; we still may.
                Ok(Step::End) if matches!(self.state, State::Open) => self.state = State::Ended,
                Ok(Step::Done | Step::End) => return Ok(()),
                Err(error) => {
                    self.connection.last_words(&mut self.begun, queue);
                    return Err(self.failed(error));
                }
            }
        }
    }

    fn failed(&mut self, error: Error) -> io::Error {
        self.state = State::Failed;
        self.begun = Vec::new();
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// What was read. What of it is not used up is kept for the next read, also where whoever was handed the
/// plain text has panicked: the stream goes on, as far as TLS is concerned.
struct Records<'a> {
    bytes: &'a mut [u8],
    used: usize,
    begun: &'a mut Vec<u8>,
}

impl Drop for Records<'_> {
    fn drop(&mut self) {
        let left = &self.bytes[self.used..];
        if left.is_empty() {
            *self.begun = Vec::new();
        } else {
            self.begun.clear();
            self.begun.extend_from_slice(left);
        }
    }
}

impl Connection {
    /// One thing that rustls says is next; what of `records` is used up with it is counted into `used`.
    fn step(
        &mut self,
        records: &mut [u8],
        used: &mut usize,
        want: Want<'_>,
        queue: &mut Option<Queue>,
        each: &mut impl FnMut(&[u8]),
    ) -> Result<Step, Error> {
        match self {
            Connection::Client(client) => {
                step(client.process_tls_records(records), used, want, queue, each)
            }
            Connection::Server(server) => {
                step(server.process_tls_records(records), used, want, queue, each)
            }
        }
    }

    /// Queues the alert that goes with an error. The record that was wrong is still there, and must not be
    /// looked at again: rustls first gives what it has to say, so it is asked only while it has.
    fn last_words(&mut self, records: &mut [u8], queue: &mut Option<Queue>) {
        while match self {
            Connection::Client(client) => client.wants_write(),
            Connection::Server(server) => server.wants_write(),
        } {
            let step = self.step(records, &mut 0, Want::Nothing, queue, &mut |_| ());
            if !matches!(step, Ok(Step::More)) {
                return;
            }
        }
    }
}

fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    used: &mut usize,
    want: Want<'_>,
    queue: &mut Option<Queue>,
    each: &mut impl FnMut(&[u8]),
) -> Result<Step, Error> {
    *used += status.discard;
    Ok(match status.state? {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                *used += record.discard;
                each(record.payload);
            }
            Step::More
        }
        ConnectionState::EncodeTlsData(mut message) => {
            into_queue(queue, 0, |room| match message.encode(room) {
                Ok(count) => Ok(count),
                Err(EncodeError::InsufficientSize(size)) => Err(Some(size.required_size)),
                Err(EncodeError::AlreadyEncoded) => Err(None),
            })?;
            Step::More
        }
        ConnectionState::TransmitTlsData(message) => {
            message.done();
            Step::More
        }
        ConnectionState::WriteTraffic(mut traffic) => {
            match want {
                Want::Nothing => {}
                Want::Seal(prefix, bytes) => seal(&mut traffic, prefix, bytes, queue)?,
                Want::Close => into_queue(queue, OVERHEAD, |room| {
                    traffic.queue_close_notify(room).map_err(lacking)
                })?,
            }
            Step::Done
        }
        ConnectionState::BlockedHandshake => Step::Done,
        ConnectionState::PeerClosed | ConnectionState::Closed => Step::End,
        // Early data is not enabled, and other states are not known to us.
        ConnectionState::ReadEarlyData(_) | _ => {
            return Err(Error::General("a state that cannot be".to_owned()));
        }
    })
}

fn seal<Data>(
    traffic: &mut WriteTraffic<'_, Data>,
    prefix: &[u8],
    bytes: &[u8],
    queue: &mut Option<Queue>,
) -> Result<(), Error> {
    let length = prefix.len() + bytes.len();
    if length == 0 {
        return Ok(());
    }
    let sealed = length + (length / RECORD + 1) * OVERHEAD;
    if prefix.is_empty() {
        return into_queue(queue, sealed, |room| {
            traffic.encrypt(bytes, room).map_err(lacking)
        });
    }
    // rustls takes one slice: the two are joined at the end of the room.
    into_queue(queue, sealed + length, |room| {
        let (room, plain) = room.split_at_mut(room.len() - length);
        plain[..prefix.len()].copy_from_slice(prefix);
        plain[prefix.len()..].copy_from_slice(bytes);
        let sealed = traffic.encrypt(plain, room);
        sealed.map_err(|error| lacking(error).map(|size| size + length))
    })
}

/// Has `write` write into the queue. It says how many bytes it has written, or else how much room it
/// needs, or that there is no way.
fn into_queue(
    queue: &mut Option<Queue>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), Error> {
    let queue = queue.get_or_insert_with(buffer::take_queue);
    loop {
        match write(queue.room(room)) {
            Ok(count) => {
                queue.filled(count);
                return Ok(());
            }
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => return Err(Error::EncryptError),
        }
    }
}

fn lacking(error: EncryptError) -> Option<usize> {
    match error {
        EncryptError::InsufficientSize(size) => Some(size.required_size),
        EncryptError::EncryptExhausted => None,
    }
}
