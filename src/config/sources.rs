//! The files that settings were read from, and what stood in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::secret::Digest;

/// Files by the digest of what stands in them; `None`: they cannot be read. Paths are as the settings
/// write them, so a link that leads elsewhere is a file with something else in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<PathBuf, Option<Digest>>);

impl Sources {
    /// Reads a file, and notes that it was read. What was read twice and was another thing each time is
    /// noted as what it was first: the next look finds that it has changed.
    pub fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let read = fs::read(path);
        let digest = read.as_ref().ok().map(|bytes| Digest::of_bytes(bytes));
        self.0.entry(path.to_owned()).or_insert(digest);
        read
    }

    /// The same of a file that is a text.
    pub fn read_text(&mut self, path: &Path) -> io::Result<String> {
        let bytes = self.read(path)?;
        String::from_utf8(bytes).map_err(|_| {
            let text = "stream did not contain valid UTF-8";
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }

    /// Adds files that others have read.
    pub fn add(&mut self, others: Sources) {
        for (path, digest) in others.0 {
            self.0.entry(path).or_insert(digest);
        }
    }

    /// The same files, with what stands in them now. What is no regular file (a pipe) is not read: it
    /// would be used up, or have to be waited for.
    pub fn look(&self) -> Sources {
        let look = |(path, known): (&PathBuf, &Option<Digest>)| {
            let read = match fs::metadata(path) {
                Ok(about) if !about.is_file() => return (path.clone(), *known),
                Ok(_) => fs::read(path).ok(),
                Err(_) => None,
            };
            let digest = read.map(|bytes| Digest::of_bytes(&bytes));
            (path.clone(), digest)
        };
        Sources(self.0.iter().map(look).collect())
    }

    /// The names of files in which something else stands than in those of the same names in `other`.
    pub fn changed<'a>(&'a self, other: &'a Sources) -> impl Iterator<Item = &'a Path> {
        let differs = |(path, digest): &(&PathBuf, &Option<Digest>)| {
            other.0.get(*path).is_some_and(|other| other != *digest)
        };
        self.0
            .iter()
            .filter(differs)
            .map(|(path, _)| path.as_path())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
