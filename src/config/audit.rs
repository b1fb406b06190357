//! `[audit]`: where the record of each decision goes.

use std::fmt::Write as _;
use std::path::PathBuf;

use bytesize::ByteSize;

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    pub to: AuditTo,
    pub sync: AuditSync,
    /// Whether each record holds the digest of the one before.
    pub chain: bool,
    /// Records that may wait to be written; while there are so many, nothing is decided.
    pub queue: usize,
}

impl Audit {
    /// As `tonegate check` prints it.
    pub(super) fn describe(&self, out: &mut String) -> std::fmt::Result {
        let to = match &self.to {
            AuditTo::Stdout => "standard output".to_owned(),
            AuditTo::File(file) => format!(
                "{} of {}, {} before it, sync {}",
                file.path.display(),
                ByteSize::b(file.size).display().si(),
                file.keep,
                self.sync.word(),
            ),
        };
        let chain = if self.chain { "yes" } else { "no" };
        writeln!(
            out,
            "audit     to {to}, chain {chain}, queue {}",
            self.queue
        )
    }
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTo {
    Stdout,
    File(AuditFile),
}

/// A file, and those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFile {
    pub path: PathBuf,
    /// Bytes of one file; then another one is begun.
    pub size: u64,
    /// Files that are kept beside the one that is written.
    pub keep: u32,
}

/// When what was written is on disk and not only in the kernel's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditSync {
    /// Before the next is written.
    Batch,
    /// A second later at the most.
    Second,
    /// When the kernel likes.
    Never,
}

impl AuditSync {
    /// The word in the settings.
    pub fn word(self) -> &'static str {
        match self {
            AuditSync::Batch => "batch",
            AuditSync::Second => "second",
            AuditSync::Never => "never",
        }
    }
}
