//! `[audit]`: where the record of each decision goes.

use std::path::PathBuf;

use super::Problems;
use crate::config::file::{self, File};
use crate::config::{Audit, AuditFile, AuditSync, AuditTo};

/// A file of fewer bytes would be full after one write.
const SIZE_MIN: u64 = 64 << 10;
const SIZE_MAX: u64 = 64 << 30;
const SIZE: u64 = 100_000_000;
const KEEP: u32 = 10;
const KEEP_MAX: u32 = 1000;
/// Some seconds of a busy edge: 8192 records are about 4 MB.
const QUEUE: usize = 8192;
const QUEUE_MIN: usize = 16;
const QUEUE_MAX: usize = 1 << 20;

/// `None`: there is no audit.
pub(super) fn audit(file: &File, problems: &mut Problems) -> Option<Audit> {
    let written = file.audit.as_ref()?;
    let to = match written.to.as_deref() {
        Some("stdout") => {
            if written.path.is_some() || written.rotate.is_some() {
                problems.add("audit.to", "\"stdout\" has no path and no rotate");
            }
            if written.sync.is_some() {
                problems.add("audit.sync", "has no use with to = \"stdout\"");
            }
            Some(AuditTo::Stdout)
        }
        Some("file") => to_file(written, problems),
        Some(_) | None => {
            problems.add("audit.to", "must be \"file\" or \"stdout\"");
            None
        }
    };
    let sync = match written.sync.as_deref() {
        None | Some("second") => AuditSync::Second,
        Some("batch") => AuditSync::Batch,
        Some("never") => AuditSync::Never,
        Some(_) => {
            problems.add("audit.sync", "must be \"batch\", \"second\" or \"never\"");
            AuditSync::Batch
        }
    };
    let queue = written.queue.unwrap_or(QUEUE);
    if !(QUEUE_MIN..=QUEUE_MAX).contains(&queue) {
        let what = format!("must be from {QUEUE_MIN} to {QUEUE_MAX}");
        problems.add("audit.queue", what);
    }
    Some(Audit {
        to: to?,
        sync,
        chain: written.chain,
        queue,
    })
}

fn to_file(written: &file::Audit, problems: &mut Problems) -> Option<AuditTo> {
    let path = written.path.clone().unwrap_or_default();
    if path == PathBuf::new() {
        problems.add(
            "audit.path",
            "missing; the file that records are appended to",
        );
        return None;
    }
    let (mut size, mut keep) = (SIZE, KEEP);
    if let Some(rotate) = &written.rotate {
        size = rotate.size.map_or(size, |size| size.0);
        keep = rotate.keep.unwrap_or(keep);
    }
    if !(SIZE_MIN..=SIZE_MAX).contains(&size) {
        problems.add("audit.rotate.size", "must be from 64KiB to 64GiB");
    }
    if !(1..=KEEP_MAX).contains(&keep) {
        problems.add("audit.rotate.keep", format!("must be from 1 to {KEEP_MAX}"));
    }
    Some(AuditTo::File(AuditFile { path, size, keep }))
}

#[cfg(test)]
mod tests {
    use crate::config::{Audit, AuditSync, AuditTo, Settings};

    fn read(lines: &str) -> Result<Option<Audit>, String> {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n{lines}\n\
             [upstreams.voice]\nkind = \"voice-live\"\nresource = \"resource\"\ncredential = {{ key = \"k\" }}\n\
             [[routes]]\nname = \"open\"\nkind = \"voice-live\"\npaths = [\"/ws\"]\n\
             admit = [\"anyone\"]\nmodels = [\"m\"]\nupstreams = [\"voice\"]\n"
        );
        let settings = Settings::read_text("edge.toml", &text);
        settings
            .map(|settings| settings.boot.audit)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn c16_an_audit_that_cannot_be_kept_is_told_by_its_key() {
        for (lines, named) in [
            ("", "audit.to"),
            ("to = \"syslog\"", "audit.to"),
            ("to = \"file\"", "audit.path"),
            ("to = \"file\"\npath = \"\"", "audit.path"),
            ("to = \"stdout\"\npath = \"a\"", "audit.to"),
            ("to = \"stdout\"\nrotate = { keep = 2 }", "audit.to"),
            ("to = \"stdout\"\nsync = \"batch\"", "audit.sync"),
            (
                "to = \"file\"\npath = \"a\"\nsync = \"later\"",
                "audit.sync",
            ),
            ("to = \"file\"\npath = \"a\"\nqueue = 15", "audit.queue"),
            (
                "to = \"file\"\npath = \"a\"\nrotate = { size = \"1KiB\" }",
                "audit.rotate.size",
            ),
            (
                "to = \"file\"\npath = \"a\"\nrotate = { keep = 0 }",
                "audit.rotate.keep",
            ),
            (
                "to = \"file\"\npath = \"a\"\nrotate = { kept = 3 }",
                "did you mean `keep`?",
            ),
        ] {
            let told = read(&format!("[audit]\n{lines}")).unwrap_err();
            assert!(told.contains(named), "{lines} gave: {told}");
        }
    }

    #[test]
    fn c16_what_is_not_written_is_as_the_sample_says() {
        assert!(read("").unwrap().is_none());
        let audit = read("[audit]\nto = \"file\"\npath = \"a\"")
            .unwrap()
            .unwrap();
        assert_eq!(
            (audit.sync, audit.chain, audit.queue),
            (AuditSync::Second, false, 8192)
        );
        let AuditTo::File(file) = audit.to else {
            panic!("not a file");
        };
        assert_eq!((file.size, file.keep), (100_000_000, 10));
    }
}
