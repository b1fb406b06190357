//! The file that records are appended to, and the ones before it: `path`, `path.1`, and so on.
//!
//! It is opened for appending only, for its owner only, and locked: two writers would break the chain.
//! What a crash has left behind the last whole record stays where it is; a line feed closes it off.
//!
//! While one process takes the place of another both write, in turns ([`share`]): the file's lock is
//! one that several may hold, and keeps all others out; whoever writes locks the folder, looks how far
//! the other one has come, and goes on from there. So there is one chain. A process that dies gives its
//! locks back, and what it has left half written is closed off by the other one.
//!
//! [`share`]: Trail::share

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::Unusable;
use super::line::{self, Place};
use super::record::Entry;
use crate::config::AuditFile;

/// How far from its end a file is searched for the last whole record: a batch that a crash cut, many
/// times over.
pub(super) const TAIL: u64 = 1 << 20;
/// What every record begins with.
const START: &[u8] = b"{\"seq\":";

pub(super) struct Trail {
    file: File,
    path: PathBuf,
    size: u64,
    most: u64,
    keep: u32,
    /// The folder, which whoever writes locks; `None`: nobody else writes.
    turn: Option<File>,
    /// Nobody else is to write, as soon as that can be had.
    wants_alone: bool,
}

/// What a file held when it was opened.
#[derive(Default)]
pub(super) struct Found {
    /// Number and digest of the last record.
    pub(super) last: Option<(u64, [u8; 32])>,
    pub(super) torn: Option<Torn>,
}

/// Bytes behind the last record that are none.
pub(super) struct Torn {
    pub(super) bytes: u64,
    pub(super) digest: [u8; 32],
}

impl Torn {
    pub(super) fn tell(&self) {
        let bytes = self.bytes;
        tracing::warn!(
            bytes,
            "the audit ended inside a record; that was closed off"
        );
    }

    /// The record that there is of it.
    pub(super) fn entry(&self) -> Entry {
        Entry::repaired(self.bytes, &line::hex(&self.digest))
    }
}

/// Whether [`Trail::open`] would succeed.
pub(super) fn check(settings: &AuditFile) -> Result<(), Unusable> {
    match File::open(&settings.path) {
        Ok(mut file) => look(&mut file).map(drop),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            match folder(&settings.path).is_dir() {
                true => Ok(()),
                false => Err(Unusable::NoFile),
            }
        }
        Err(error) => Err(Unusable::File(error)),
    }
}

impl Trail {
    /// Opens the file; `beside`: another process writes it, too, and lets this one.
    pub(super) fn open(settings: &AuditFile, beside: bool) -> Result<(Trail, Found), Unusable> {
        let path = settings.path.clone();
        let turn = match beside {
            // From here to the end of this function nobody begins another file.
            true => Some(lock_turn(&path).map_err(Unusable::File)?),
            false => None,
        };
        let file = append(&path).map_err(Unusable::File)?;
        let locked = match beside {
            true => file.try_lock_shared(),
            false => file.try_lock(),
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Unusable::Taken),
            Err(TryLockError::Error(error)) => return Err(Unusable::File(error)),
        }
        let mut trail = Trail {
            file,
            path,
            size: 0,
            most: settings.size,
            keep: settings.keep,
            turn,
            wants_alone: false,
        };
        let found = trail.find()?;
        trail.end_turn().map_err(Unusable::File)?;
        Ok((trail, found))
    }

    /// Looks how far the records go, and closes off what is not whole.
    fn find(&mut self) -> Result<Found, Unusable> {
        let (mut found, whole) = look(&mut self.file)?;
        if !whole {
            self.file.write_all(b"\n").map_err(Unusable::File)?;
        }
        self.size = self.file.metadata().map_err(Unusable::File)?.len();
        if self.size == 0
            && let Ok(mut before) = File::open(suffixed(&self.path, "1"))
        {
            // The edge ended between the two.
            (found, _) = look(&mut before)?;
        }
        Ok(found)
    }

    /// Lets another process write as well, or does not any more. The latter can be had when that one
    /// has ended; until then they go on in turns.
    pub(super) fn share(&mut self, shared: bool) -> io::Result<()> {
        self.wants_alone = !shared;
        if shared && self.turn.is_none() {
            let turn = turn_of(&self.path)?;
            self.file.lock_shared()?;
            self.turn = Some(turn);
        }
        Ok(())
    }

    /// To be called before records are numbered: what another process has written since the last time,
    /// if one may have. Until [`Trail::end_turn`] it writes nothing.
    pub(super) fn begin_turn(&mut self) -> io::Result<Option<Found>> {
        let Some(turn) = &self.turn else {
            return Ok(None);
        };
        turn.lock()?;
        let found = self.follow();
        if found.is_err() {
            self.end_turn()?;
        }
        found
    }

    /// Goes on in the file that has the name now, behind its last record.
    fn follow(&mut self) -> io::Result<Option<Found>> {
        let own = self.file.metadata()?;
        let is_named = match fs::metadata(&self.path) {
            Ok(named) => (own.dev(), own.ino()) == (named.dev(), named.ino()),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !is_named {
            let file = append(&self.path)?;
            file.lock_shared()?;
            self.file = file;
        } else if own.len() == self.size && !self.wants_alone {
            return Ok(None);
        }
        let found = self.find().map_err(io::Error::other)?;
        if self.wants_alone && self.is_alone()? {
            self.turn = None;
        }
        Ok(Some(found))
    }

    /// Takes the lock that nobody else may hold, if nobody does.
    fn is_alone(&mut self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => {
                // The kernel has taken the other lock away for the attempt.
                self.file.lock_shared()?;
                Ok(false)
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(super) fn end_turn(&mut self) -> io::Result<()> {
        self.turn.as_ref().map_or(Ok(()), File::unlock)
    }

    /// Begins another file if so many bytes would make this one too long; true if it did.
    pub(super) fn make_room(&mut self, bytes: u64) -> io::Result<bool> {
        if self.size == 0 || self.size + bytes <= self.most {
            return Ok(false);
        }
        self.file.sync_all()?;
        // It has its lock before it has its name. One that is there was left by a crash, and is empty.
        let name = suffixed(&self.path, "next");
        let next = append(&name)?;
        match self.turn {
            Some(_) => next.try_lock_shared()?,
            None => next.try_lock()?,
        }
        // Where the last step has failed before, the others are done.
        if self.path.try_exists()? {
            let numbered = |number: u32| suffixed(&self.path, &number.to_string());
            for number in (1..self.keep).rev() {
                rename(&numbered(number), &numbered(number + 1))?;
            }
            rename(&self.path, &numbered(1))?;
        }
        fs::rename(&name, &self.path)?;
        self.file = next;
        self.size = 0;
        File::open(folder(&self.path))?.sync_all()?;
        Ok(true)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.size += written as u64;
        Ok(written)
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    options.open(path)
}

/// What those who write in turns lock: a file of their own, for a folder may be locked by whoever may read it.
fn turn_of(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    // A link might lead to what others may lock.
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options.open(suffixed(path, "turn"))
}

fn lock_turn(path: &Path) -> io::Result<File> {
    let turn = turn_of(path)?;
    turn.lock()?;
    Ok(turn)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{suffix}"));
    PathBuf::from(name)
}

/// Moves a file if it is there.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The end of a file, and whether its last line is whole.
fn look(file: &mut File) -> Result<(Found, bool), Unusable> {
    let about = file.metadata().map_err(Unusable::File)?;
    if !about.is_file() {
        return Err(Unusable::NoFile);
    }
    let from = about.len().saturating_sub(TAIL);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))
        .and_then(|_| file.read_to_end(&mut bytes))
        .map_err(Unusable::File)?;
    let cut = match from {
        0 => 0,
        _ => memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |at| at + 1),
    };
    find(&bytes[cut..], from == 0).ok_or(Unusable::Foreign)
}

/// `None`: there is no record among these bytes, or at their `beginning` of a file.
fn find(bytes: &[u8], beginning: bool) -> Option<(Found, bool)> {
    let whole = bytes.last().is_none_or(|&last| last == b'\n');
    let (mut last, mut end, mut at) = (None, 0, 0);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        at += line.len();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(place) = Place::of(line) {
            last = Some((place.seq, line::digest(line)));
            end = at;
        }
    }
    let rest = &bytes[end..];
    let ours = bytes.len().min(START.len());
    if last.is_none() && !(beginning && bytes[..ours] == START[..ours]) {
        return None;
    }
    let torn = (!rest.is_empty()).then(|| Torn {
        bytes: rest.len() as u64,
        digest: line::digest(rest.strip_suffix(b"\n").unwrap_or(rest)),
    });
    Some((Found { last, torn }, whole))
}
