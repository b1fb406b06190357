//! Whether the records of some files are all there and as they were written.

use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::line::{self, NOTHING, Place};
use super::record::Event;
use super::trail::TAIL;

/// A number and a digest that were kept elsewhere: of a record that must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    pub seq: u64,
    pub digest: [u8; 32],
}

impl Noted {
    /// Reads `SEQ:SHA256`.
    pub fn parse(text: &str) -> Option<Noted> {
        let (seq, hex) = text.split_once(':')?;
        let digits = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut digest = NOTHING;
        for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
        }
        let seq = seq.parse().ok()?;
        digits.then_some(Noted { seq, digest })
    }
}

/// What good records come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub records: u64,
    /// Numbers of the first and the last one.
    pub seq: (u64, u64),
    /// SHA-256 of the last one, in hex.
    pub last: String,
    /// Records before the chain was switched on.
    pub unchained: u64,
    /// Writes that a crash has cut, and that were closed off.
    pub repaired: u64,
    /// The last line is not whole: it is being written, or a crash has cut it.
    pub torn: bool,
}

/// Where records are not as they were written.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    pub file: PathBuf,
    /// From 1; 0: the file as a whole.
    pub line: u64,
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for Broken {}

/// Judges the files of one audit, in whatever order they are named. With `restarts` it may begin anew
/// in between, as on standard output it does with each start of the edge.
pub fn verify(files: &[PathBuf], noted: &[Noted], restarts: bool) -> Result<Verified, Broken> {
    let mut order = Vec::new();
    for file in files {
        // An empty one is that which the next record will begin.
        order.extend(first(file)?.map(|seq| (seq, file)));
    }
    if !restarts {
        order.sort();
    }
    let mut chain = Chain {
        restarts,
        ..Chain::default()
    };
    for (_, path) in &order {
        let broken = |(line, what)| Broken {
            file: (*path).clone(),
            line,
            what,
        };
        chain.read(path, noted).map_err(broken)?;
    }
    let all = files.last().cloned().unwrap_or_default();
    chain.end(noted).map_err(|what| Broken {
        file: all,
        line: 0,
        what,
    })
}

/// The number of a file's first record; `None`: it is empty.
fn first(path: &Path) -> Result<Option<u64>, Broken> {
    let broken = |what: String| Broken {
        file: path.to_owned(),
        line: 0,
        what,
    };
    let file = File::open(path).map_err(|error| broken(error.to_string()))?;
    let mut lines = BufReader::new(file);
    let (mut line, mut some) = (Vec::new(), false);
    while read(&mut lines, &mut line).map_err(broken)? > 0 {
        some = true;
        if let Some(place) = Place::of(line.strip_suffix(b"\n").unwrap_or(&line)) {
            return Ok(Some(place.seq));
        }
    }
    match some {
        true => Err(broken("there is no record in it".to_owned())),
        false => Ok(None),
    }
}

/// One line with its line feed; its length, 0 at the end.
fn read(lines: &mut BufReader<File>, line: &mut Vec<u8>) -> Result<usize, String> {
    line.clear();
    let count = lines
        .by_ref()
        .take(TAIL)
        .read_until(b'\n', line)
        .map_err(|error| error.to_string())?;
    if count as u64 == TAIL {
        return Err("a line is too long for a record".to_owned());
    }
    Ok(count)
}

#[derive(Default)]
struct Chain {
    restarts: bool,
    last: Option<(u64, [u8; 32])>,
    is_chained: bool,
    /// Bytes since the last record that are none.
    torn: Vec<u8>,
    noted: usize,
    verified: Verified,
}

impl Chain {
    fn read(&mut self, path: &Path, noted: &[Noted]) -> Result<(), (u64, String)> {
        let file = File::open(path).map_err(|error| (0, error.to_string()))?;
        let (mut lines, mut line) = (BufReader::new(file), Vec::new());
        for number in 1.. {
            if read(&mut lines, &mut line).map_err(|what| (number, what))? == 0 {
                break;
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            match Place::of(text) {
                Some(place) => self.take(&place, text, noted),
                None if self.torn.len() + line.len() > TAIL as usize => {
                    Err("this is no record".to_owned())
                }
                None => {
                    self.torn.extend_from_slice(&line);
                    Ok(())
                }
            }
            .map_err(|what| (number, what))?;
        }
        Ok(())
    }

    /// One record more.
    fn take(&mut self, place: &Place, line: &[u8], noted: &[Noted]) -> Result<(), String> {
        self.mend(place)?;
        let begins = self.last.is_none() || (self.restarts && place.seq == 1);
        let expected = self.last.map_or(0, |(seq, _)| seq) + 1;
        if !begins && place.seq != expected {
            return Err(match place.seq.checked_sub(expected) {
                Some(missing) => format!("{missing} records before this one are missing"),
                None => format!("the record has number {}, not {expected}", place.seq),
            });
        }
        match &place.prev {
            Some(prev) => {
                self.is_chained = true;
                let before = match (begins, self.last) {
                    (true, _) | (_, None) => (place.seq == 1).then_some(NOTHING),
                    (false, Some((_, digest))) => Some(digest),
                };
                // Where older files are gone, nothing says what was before.
                if before.is_some_and(|digest| *prev != line::hex(&digest)) {
                    return Err("the record before this one is not the one that was written".into());
                }
            }
            None if self.is_chained => return Err("the chain ends before this record".into()),
            None => self.verified.unchained += 1,
        }
        let digest = line::digest(line);
        if let Some(noted) = noted.iter().find(|noted| noted.seq == place.seq) {
            if noted.digest != digest {
                return Err(format!(
                    "record {} is not the one that was noted",
                    place.seq
                ));
            }
            self.noted += 1;
        }
        if self.verified.records == 0 {
            self.verified.seq.0 = place.seq;
        }
        self.verified.records += 1;
        self.last = Some((place.seq, digest));
        Ok(())
    }

    /// What was torn must be what a repair has found, and nothing else may be no record.
    fn mend(&mut self, place: &Place) -> Result<(), String> {
        let repairs = place.event == Event::Repaired.word();
        if self.torn.is_empty() && !repairs {
            return Ok(());
        }
        let torn = std::mem::take(&mut self.torn);
        let digest = line::digest(torn.strip_suffix(b"\n").unwrap_or(&torn));
        if !repairs || place.torn.as_deref() != Some(&line::hex(&digest)) {
            return Err("what stands before this record is none, and no repair tells of it".into());
        }
        self.verified.repaired += 1;
        Ok(())
    }

    fn end(mut self, noted: &[Noted]) -> Result<Verified, String> {
        let Some((seq, digest)) = self.last else {
            return Err("there is no record".to_owned());
        };
        if self.noted < noted.len() {
            return Err("a record that was noted is not there".to_owned());
        }
        if !self.is_chained {
            return Err(format!(
                "{} records without a gap, but nothing chains them (chain = true)",
                self.verified.records
            ));
        }
        self.verified.seq.1 = seq;
        self.verified.last = line::hex(&digest);
        self.verified.torn = !self.torn.is_empty();
        Ok(self.verified)
    }
}
