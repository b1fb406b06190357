//! `[calls]`: what signs media URLs, and what makes a call known.

use std::time::Duration;

use super::Problems;
use crate::config::file::{self, File};
use crate::config::{Calls, KnownBy, Spend};
use crate::secret::Secret;

/// RFC 7518, section 3.2: a key of HS256 is no shorter than its hash.
const SECRET_MIN: usize = 32;
/// ACS dials again within seconds; a socket that has been gone for longer is another attempt.
const RESUME: Duration = Duration::from_secs(30);
/// More than this would let a verdict outlive what it was about.
const RESUME_MAX: Duration = Duration::from_secs(600);

/// `None`: there are no calls, or something is wrong with them, which has been told.
pub(super) fn calls(file: &File, problems: &mut Problems) -> Option<Calls> {
    let written = file.calls.as_ref()?;
    let known_by = match written.known_by.as_deref() {
        None | Some("record") => KnownBy::Record,
        Some("url") => KnownBy::Url,
        Some(other) => {
            let what = format!("{other:?} must be \"record\" or \"url\"");
            problems.add("calls.known_by", what);
            KnownBy::Record
        }
    };
    let spend = match written.spend.as_deref() {
        None | Some("token") => Spend::Token,
        Some("call") => Spend::Call,
        Some(other) => {
            let what = format!("{other:?} must be \"token\" or \"call\"");
            problems.add("calls.spend", what);
            Spend::Token
        }
    };
    let resume = written.resume.unwrap_or(RESUME);
    if resume > RESUME_MAX {
        problems.add("calls.resume", "must be at most 10m");
    }
    let secrets = secrets(written, problems)?;
    Some(Calls {
        secrets,
        known_by,
        spend,
        resume,
    })
}

fn secrets(written: &file::Calls, problems: &mut Problems) -> Option<Vec<Secret>> {
    let Some(secret) = &written.secret else {
        problems.add(
            "calls.secret",
            "missing; secret = \"${NAME}\" with 32 random bytes or more, such as `openssl rand \
             -base64 48` prints",
        );
        return None;
    };
    let mut secrets = Vec::new();
    for (key, secret) in [
        ("secret", Some(secret)),
        ("previous", written.previous.as_ref()),
    ] {
        let Some(secret) = secret else {
            continue;
        };
        if secret.len() < SECRET_MIN {
            let what = "must be 32 bytes or more: whoever guesses it signs media URLs";
            problems.add(format!("calls.{key}"), what);
        }
        secrets.push(Secret::new(secret.clone()));
    }
    if written.previous.as_ref() == Some(secret) {
        problems.add("calls.previous", "is the same as secret");
    }
    Some(secrets)
}
