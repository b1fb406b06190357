//! Sessions that run, told by each edge to all: so that whoever may see one is told of it wherever it
//! runs.
//!
//! A record is kept for a short while and told again before that is over, so what a dead edge told
//! goes by itself. By whose it is it stands in lists, whose places end with it. A record says who
//! somebody is, so nothing prints it.

use std::time::{Duration, SystemTime};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::{Engine, Store, Unavailable};
use crate::ids::{CallId, EntraId, SessionId};
use crate::label::Label;
use crate::secret::Digest;

/// Commands of one writing that wait for their answers at a time. The store's connection is that of
/// all sessions, and what they wait for comes first.
const AT_ONCE: usize = 32;
/// Places of one list that are written with one command.
pub(super) const PLACES: usize = 500;
/// Longest name of a subject that is told: more than any identity provider gives.
const SUBJECT_MAX: usize = 256;

/// A session, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    pub id: SessionId,
    pub route: Label,
    /// Whose it is, as logs show it; the digest is what is compared.
    pub subject: String,
    pub digest: Digest,
    /// The tenant and the person of Entra whose it is, if it is one's.
    pub person: Option<(EntraId, EntraId)>,
    pub call: Option<CallId>,
    pub started: SystemTime,
    /// When its lease ends, as things are; `None`: by itself it does not.
    pub lease: Option<SystemTime>,
    /// When what was shown beside the credential of the subject ends: no refresh puts that off.
    pub of_others: Option<SystemTime>,
    /// The longest that it can last.
    pub longest: SystemTime,
}

/// Whose sessions are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose<'a> {
    Subject(&'a Digest),
    Person(&'a EntraId, &'a EntraId),
    Tenant(&'a EntraId),
    Route(&'a Label),
}

/// Some sessions, and whether there are more than were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub sessions: Vec<Running>,
    pub more: bool,
}

impl Running {
    /// When its lease ends once its subject has shown what ends then; never sooner than it does.
    pub fn lease_with(&self, end: Option<SystemTime>) -> Option<SystemTime> {
        let ends = [end, self.of_others].into_iter().flatten().min();
        // What does not end is later than all that does.
        self.lease.zip(ends).map(|(lease, ends)| lease.max(ends))
    }

    /// Whether nobody but a late record speaks of it any more.
    pub fn is_over(&self, now: SystemTime) -> bool {
        now >= self
            .lease
            .map_or(self.longest, |lease| lease.min(self.longest))
    }

    /// The lists that it stands in.
    pub(super) fn lists(&self) -> impl Iterator<Item = Whose<'_>> {
        let person = self.person.as_ref();
        let of_person = person.map(|(tenant, person)| Whose::Person(tenant, person));
        let of_tenant = person.map(|(tenant, _)| Whose::Tenant(tenant));
        [Whose::Subject(&self.digest), Whose::Route(&self.route)]
            .into_iter()
            .chain(of_person)
            .chain(of_tenant)
    }

    pub(super) fn is(&self, whose: Whose<'_>) -> bool {
        self.lists().any(|list| list == whose)
    }

    /// As it is kept; the id is its name.
    pub(super) fn write(&self) -> String {
        let millis = |at: SystemTime| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH);
            since.map_or(0, |since| {
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            })
        };
        let written = Written {
            route: self.route.to_string(),
            subject: cut(&self.subject).to_owned(),
            digest: self.digest.to_hex(),
            person: self
                .person
                .as_ref()
                .map(|(tenant, person)| [tenant.to_string(), person.to_string()]),
            call: self.call.as_ref().map(ToString::to_string),
            started: millis(self.started),
            lease: self.lease.map(millis),
            of_others: self.of_others.map(millis),
            longest: millis(self.longest),
        };
        serde_json::to_string(&written).expect("texts and numbers can be written as JSON")
    }

    /// What was kept under this id; `None`: no edge wrote it so.
    pub(super) fn read(id: SessionId, text: &str) -> Option<Running> {
        let at = |millis| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis));
        let end = |millis: Option<u64>| match millis {
            Some(millis) => at(millis).map(Some),
            None => Some(None),
        };
        let written: Written = serde_json::from_str(text).ok()?;
        let person = match &written.person {
            Some([tenant, person]) => Some((EntraId::new(tenant)?, EntraId::new(person)?)),
            None => None,
        };
        let call = match &written.call {
            Some(call) => Some(CallId::new(call)?),
            None => None,
        };
        Some(Running {
            id,
            route: Label::new(&written.route)?,
            digest: Digest::from_hex(&written.digest)?,
            person,
            call,
            started: at(written.started)?,
            lease: end(written.lease)?,
            of_others: end(written.of_others)?,
            longest: at(written.longest)?,
            subject: written.subject,
        })
    }
}

/// The text of a record. Times are in ms since 1970.
#[derive(Serialize, Deserialize)]
struct Written {
    route: String,
    subject: String,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<[String; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<String>,
    started: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of_others: Option<u64>,
    longest: u64,
}

fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(SUBJECT_MAX);
    &text[..end]
}

impl Store {
    /// Tells of sessions, for `ttl`; what was told of them before goes.
    pub async fn tell_running(
        &self,
        sessions: &[Running],
        ttl: Duration,
    ) -> Result<(), Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.tell_running(sessions, ttl),
                Engine::Redis(redis) => {
                    Box::pin(redis.tell_running(sessions, ttl, &self.keys)).await
                }
            }
        };
        self.count("tell_running", work).await
    }

    /// They run no more.
    pub async fn forget_running(&self, sessions: &[Running]) -> Result<(), Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.forget_running(sessions),
                Engine::Redis(redis) => Box::pin(redis.forget_running(sessions, &self.keys)).await,
            }
        };
        self.count("forget_running", work).await
    }

    /// The session with this id, wherever it runs.
    pub async fn running(&self, id: SessionId) -> Result<Option<Running>, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.running(id),
                Engine::Redis(redis) => Box::pin(redis.running(id, &self.keys)).await,
            }
        };
        self.count("running", work).await
    }

    /// Sessions of somebody, `most` of them.
    pub async fn running_of(&self, whose: Whose<'_>, most: usize) -> Result<Found, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.running_of(whose, most),
                Engine::Redis(redis) => Box::pin(redis.running_of(whose, most, &self.keys)).await,
            }
        };
        self.count("running_of", work).await
    }
}

/// The answers of all of them, in their order; so many are asked at a time, and the first failure is
/// the whole's.
pub(super) async fn all<F, T>(work: Vec<F>) -> Result<Vec<T>, Unavailable>
where
    F: Future<Output = Result<T, Unavailable>>,
{
    let mut answers = Vec::with_capacity(work.len());
    let mut work = work.into_iter();
    loop {
        let some: Vec<F> = work.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return Ok(answers);
        }
        answers.extend(try_join_all(some).await?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Running {
        let id = |text| EntraId::new(text).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Running {
            id: SessionId::random(),
            route: Label::new("browser").unwrap(),
            subject: "users:t/somebody".to_owned(),
            digest: Digest::of("somebody"),
            person: Some((
                id("11111111-2222-3333-4444-555555555555"),
                id("00000000-0000-4000-8000-000000000001"),
            )),
            call: CallId::new("7f0c"),
            started: at(1_700_000_000),
            lease: Some(at(1_700_000_600)),
            of_others: Some(at(1_700_002_000)),
            longest: at(1_700_003_600),
        }
    }

    #[test]
    fn c13_what_is_kept_of_a_session_is_what_is_read() {
        let whole = running();
        let bare = Running {
            person: None,
            call: None,
            lease: None,
            of_others: None,
            ..running()
        };
        for session in [whole, bare] {
            let read = Running::read(session.id, &session.write());
            assert_eq!(read, Some(session));
        }
        let long = Running {
            subject: "\u{e9}".repeat(SUBJECT_MAX),
            ..running()
        };
        let read = Running::read(long.id, &long.write()).unwrap();
        assert_eq!(read.subject, "\u{e9}".repeat(SUBJECT_MAX / 2));
    }

    #[test]
    fn s41_a_refresh_puts_off_no_more_than_it_shows() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        for (lease, of_others, shown, ends) in [
            (at(60), None, at(90), at(90)),
            (at(60), None, at(30), at(60)),
            (at(60), None, at(60), at(60)),
            (at(60), None, None, None),
            (at(60), at(70), at(90), at(70)),
            (at(60), at(70), None, at(70)),
            (at(60), at(60), at(90), at(60)),
            (None, None, at(90), None),
            (None, None, None, None),
        ] {
            let session = Running {
                lease,
                of_others,
                ..running()
            };
            assert_eq!(
                session.lease_with(shown),
                ends,
                "{lease:?} {of_others:?} {shown:?}"
            );
        }
    }

    #[test]
    fn c13_what_no_edge_wrote_is_no_session() {
        let good = running().write();
        for (from, to) in [
            ("browser", "br owser"),
            ("11111111-", "x1111111-"),
            ("7f0c", "7f/0c"),
            (&Digest::of("somebody").to_hex(), "00"),
            ("\"longest\":", "\"length\":"),
            ("1700000600000", "18446744073709551615"),
            ("{", "["),
        ] {
            assert!(good.contains(from), "{from} in {good}");
            let bad = good.replacen(from, to, 1);
            // Times that no clock has are none.
            let read = Running::read(SessionId::random(), &bad);
            assert!(read.is_none() || to.len() == 20, "{bad}");
        }
    }
}
