//! A directory of the customer's own: who somebody of Entra is there, and who reports to them (C20).
//!
//! `GET` a URL with the person's id in it; `200` and `{"id": "eng-001", "reports": ["eng-002"]}`, or
//! `404` for people it does not know. Nothing else is an answer, and nothing is asked twice: a person
//! waits, and whoever asks again asks again.

use std::fmt;

use http::StatusCode;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::Instant as Deadline;

use super::Unusable;
use super::fetch::{self, Asking, Failed};
use super::host::Host;
use crate::config;
use crate::error::Reason;
use crate::ids::EntraId;

/// The largest answer.
const BODY_MAX: usize = 1 << 20;
/// Ids in one answer, and the longest of them.
const IDS_MAX: usize = 5000;
const ID_MAX: usize = 128;
/// Requests at a time.
const SLOTS: usize = 64;

/// What the directory says of somebody.
#[derive(Clone, Deserialize, PartialEq, Eq)]
pub struct Entry {
    /// Who they are there.
    pub id: String,
    /// Who reports to them.
    #[serde(default)]
    pub reports: Vec<String>,
}

/// It says who somebody is, and who reports to them.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry(_)")
    }
}

impl Entry {
    /// Reads what a directory, or whoever writes in its place, says.
    pub fn read(json: &[u8]) -> Option<Entry> {
        let entry: Entry = serde_json::from_slice(json).ok()?;
        let fits = |id: &String| {
            (1..=ID_MAX).contains(&id.len()) && !id.chars().any(|c| c.is_control() || c == ' ')
        };
        let all = fits(&entry.id) && entry.reports.iter().all(fits);
        (all && entry.reports.len() <= IDS_MAX).then_some(entry)
    }
}

/// Why it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("the directory cannot be reached, or ended too early")]
    Unreachable,
    #[error("the directory took too long")]
    Timeout,
    #[error("the directory has no room for another request")]
    Busy,
    #[error("the directory answered what is no entry")]
    Refused,
}

impl Failure {
    /// The word in metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Failure::Unreachable => "unreachable",
            Failure::Timeout => "timeout",
            Failure::Busy => "busy",
            Failure::Refused => "refused",
        }
    }

    /// How the client is told.
    pub fn reason(self) -> Reason {
        match self {
            Failure::Unreachable => Reason::UpstreamUnreachable,
            Failure::Timeout => Reason::UpstreamTimeout,
            Failure::Busy => Reason::UpstreamBusy,
            Failure::Refused => Reason::UpstreamRefused,
        }
    }
}

/// One directory.
pub struct Directory {
    settings: config::Directory,
    host: Host,
    slots: Semaphore,
}

impl Directory {
    /// Prepares to ask: roots loaded.
    pub fn new(settings: config::Directory) -> Result<Directory, Unusable> {
        Ok(Directory {
            host: Host::new(&settings.host, settings.port, settings.roots.as_ref())?,
            settings,
            slots: Semaphore::new(SLOTS),
        })
    }

    /// Asks who somebody is; `None`: it does not know them.
    pub async fn look_up(
        &self,
        tenant: &EntraId,
        person: &EntraId,
    ) -> Result<Option<Entry>, Failure> {
        let _slot = self.slots.try_acquire().map_err(|_| Failure::Busy)?;
        let target = self.settings.path.replace("{tenant}", tenant.as_str());
        let target = target.replace("{person}", person.as_str());
        let target = target.parse().map_err(|_| Failure::Refused)?;
        let asking = Asking {
            headers: self.settings.credential.iter().cloned().collect(),
            ..Asking::default()
        };
        let deadline = Deadline::now() + self.settings.timeout;
        let wanted = |status| (status == StatusCode::OK).then_some(BODY_MAX);
        let answer = fetch::send(&self.host, target, asking, wanted, deadline).await;
        let answer = answer.map_err(failure)?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => {
                let body = answer.body.map_err(failure)?;
                let entry = Entry::read(&body).ok_or(Failure::Refused)?;
                Ok(Some(entry))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Err(Failure::Busy),
            _ => Err(Failure::Refused),
        }
    }
}

fn failure(failed: Failed) -> Failure {
    match failed {
        Failed::Unreachable(_) | Failed::Cut => Failure::Unreachable,
        Failed::Late => Failure::Timeout,
        Failed::Status(_) | Failed::TooLarge => Failure::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c20_an_entry_is_an_id_and_ids() {
        let entry = Entry::read(br#"{"id":"eng-001","reports":["eng-002"],"more":1}"#).unwrap();
        assert_eq!((entry.id.as_str(), entry.reports.len()), ("eng-001", 1));
        assert_eq!(format!("{entry:?}"), "Entry(_)");
        assert_eq!(
            Entry::read(br#"{"id":"eng-001"}"#).unwrap().reports,
            Vec::<String>::new()
        );
        for odd in [
            "",
            "[]",
            "{}",
            r#"{"id":""}"#,
            r#"{"id":7}"#,
            r#"{"id":"a b"}"#,
            r#"{"id":"a","reports":"b"}"#,
            r#"{"id":"a","reports":["b",""]}"#,
            r#"{"id":"a\nb"}"#,
        ] {
            assert_eq!(Entry::read(odd.as_bytes()), None, "{odd}");
        }
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(ID_MAX + 1));
        assert_eq!(Entry::read(long.as_bytes()), None);
    }
}
