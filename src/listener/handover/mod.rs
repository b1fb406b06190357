//! One process takes the place of another on the same machine, and no connection is lost: the listening
//! sockets are passed on, so that what waits in their queues waits for either.
//!
//! | the new one | the one that lives |
//! | --- | --- |
//! | connects to the socket at `server.handover`, says [`HELLO`] | judges who that is; lets go of the audit's file as its own |
//! | | says [`SOCKETS`] and how many, and sends each with [`GIVEN`] |
//! | builds everything, begins to accept, says [`READY`] | |
//! | | gives up the path, says [`YOURS`], stops accepting, drains |
//! | takes the path; is the only one when the connection ends | ends with its last session |
//!
//! Until `ready` is heard nothing has changed: if the new one dies or is silent, the old one goes on. Both
//! judge by the kernel's word that the other has their own user id. A second one that asks meanwhile
//! hears [`BUSY`].

mod ask;
mod give;
mod place;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use self::ask::{Predecessor, ask};
pub use self::give::Offer;
pub use self::place::Place;

const HELLO: &str = "tonegate handover 1";
const SOCKETS: &str = "sockets";
const GIVEN: u8 = b'+';
const READY: &str = "ready";
const YOURS: &str = "yours";
const BUSY: &str = "busy";
const LATE: &str = "late";
const NO: &str = "no";

/// A word is answered at once, but for this.
const WORD_WAIT: Duration = Duration::from_secs(10);
/// From the sockets to `ready`: builds take milliseconds, and a directory or a disk that hangs longer
/// than this is none to take over with.
const READY_WAIT: Duration = Duration::from_secs(30);
/// The longest word, with a number.
const WORD_MAX: usize = 64;
/// As many as there may be workers, and the operator's.
const SOCKETS_MAX: usize = 1025;

/// Why a process cannot take the place of another.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error("server.handover: {0} is there and is no socket")]
    NoSocket(PathBuf),
    #[error("server.handover: the socket belongs to a process of another user")]
    Stranger,
    #[error("server.handover: another process is taking the place of the one that runs")]
    Busy,
    #[error("server.handover: the process that runs gives nothing away ({0}); its log says why")]
    Refused(String),
    #[error("server.handover: the process that runs has waited too long, and goes on")]
    Late,
    #[error("server.handover: the process that runs says what this one does not understand")]
    Foreign,
    #[error("server.handover: {0}")]
    Io(#[from] io::Error),
}

#[cfg(test)]
mod tests;
