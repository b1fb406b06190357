//! Sessions that run: told of, ended and put off, for whoever may (C13, C15).
//!
//! ```text
//! GET    /sessions               those that the caller may see, wherever they run
//! GET    /sessions/{id}
//! DELETE /sessions/{id}          ends it
//! POST   /sessions/{id}/refresh  the request's own credential is the session's from now on
//! ```
//!
//! What is not for the caller to see does not exist: the answer is the same. Sessions of this edge are
//! known here; of those of others the store tells, and without its word nobody is told anything.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use futures_util::future::try_join_all;
use http::{Method, StatusCode, request};
use serde_json::{Value, json};

use super::caller::Caller;
use crate::admission::Grant;
use crate::config::See;
use crate::error::Reason;
use crate::ids::{EntraId, SessionId};
use crate::listener::doors::{Asked, Doors, Open};
use crate::listener::refusal::Refusal;
use crate::store::{Found, Lodged, Order, Running, Unavailable, Whose};
use crate::telephony::Reply;

/// Sessions in one answer. Whoever has more sees that there are more.
const SESSIONS_MAX: usize = 1000;
/// People whose sessions are looked for, in one answer: a team is smaller.
const PEOPLE_MAX: usize = 500;
/// An order to end a session stands for so long: an edge reads twice a second, and one that has not by
/// then is away from the store. Those of sessions that are long gone would take the room of others.
const OBEYED: Duration = Duration::from_secs(60);
/// Questions at a time for one answer.
const AT_ONCE: usize = 8;

/// What is asked of which session.
#[derive(Clone, Copy)]
enum Wish {
    List,
    Show(SessionId),
    End(SessionId),
    Refresh(SessionId),
}

/// Answers a request of somebody who was let in.
pub(super) async fn answer(
    doors: &Doors,
    (open, see): (&Open, See),
    asked: Asked<'_>,
    (head, grant): (&request::Parts, &Grant),
) -> Result<Reply, Refusal> {
    let wish = wish(open, head).ok_or_else(unknown)?;
    if let Wish::Refresh(id) = wish {
        let reply = Caller::unasked(see, grant)
            .refresh(doors, id, grant)
            .await?;
        asked.decision.answered_about(reply.status(), id);
        return Ok(reply);
    }
    let caller = Caller::of(doors, see, grant).await?;
    match wish {
        Wish::List => caller.list(doors).await,
        Wish::Show(id) => {
            let session = caller.find(doors, id).await?;
            asked.decision.answered_about(StatusCode::OK, id);
            Ok(said(StatusCode::OK, caller.tell(&session)))
        }
        Wish::End(id) | Wish::Refresh(id) => {
            let reply = caller.end(doors, id).await?;
            asked.decision.answered_about(reply.status(), id);
            Ok(reply)
        }
    }
}

fn wish(open: &Open, head: &request::Parts) -> Option<Wish> {
    let path = head.uri.path();
    let Some(id) = open.route.item(path) else {
        return Some(Wish::List);
    };
    let id = SessionId::from_hex(id.as_str())?;
    Some(match (open.route.refreshed(path), &head.method) {
        (Some(_), _) => Wish::Refresh(id),
        (None, &Method::DELETE) => Wish::End(id),
        (None, _) => Wish::Show(id),
    })
}

impl Caller<'_> {
    /// All that may be seen.
    async fn list(&self, doors: &Doors) -> Result<Reply, Refusal> {
        let mut found = self.found(doors).await?;
        // What runs here is known better here.
        let here = doors
            .registry
            .told(|_, session| self.may_be_seen(session.whose()));
        let mut all: HashMap<SessionId, Running> = HashMap::new();
        let told = found.sessions.drain(..);
        let told = told.filter(|session| !is_over(doors, session));
        for session in told.chain(here) {
            all.insert(session.id, session);
        }
        let mut seen = Vec::new();
        let mut verdicts: HashMap<(EntraId, EntraId), bool> = HashMap::new();
        for session in all.into_values() {
            let verdict = session.person.as_ref().and_then(|of| verdicts.get(of));
            let may_see = match verdict {
                Some(verdict) => *verdict || self.owns(&session),
                None if verdicts.len() == PEOPLE_MAX => {
                    doors.metrics.limit_hit("listed_people");
                    found.more = true;
                    self.owns(&session)
                }
                None => {
                    let verdict = self.may_see(&session).await?;
                    if let Some(of) = &session.person {
                        verdicts.insert(of.clone(), verdict);
                    }
                    verdict
                }
            };
            if may_see {
                seen.push(session);
            }
        }
        seen.sort_by_key(|session| (session.started, session.id.to_string()));
        if seen.len() > SESSIONS_MAX || found.more {
            doors.metrics.limit_hit("listed_sessions");
            found.more = true;
        }
        seen.truncate(SESSIONS_MAX);
        let sessions: Vec<Value> = seen.iter().map(|session| self.tell(session)).collect();
        let told = json!({ "sessions": sessions, "more": found.more });
        Ok(said(StatusCode::OK, told))
    }

    /// Whether a session of this edge is worth a question.
    fn may_be_seen(&self, session: &Running) -> bool {
        let of_tenant = || {
            let tenants = session.person.as_ref().zip(self.person);
            tenants.is_some_and(|((theirs, _), (ours, _))| theirs == ours)
        };
        self.owns(session) || self.see == See::All || self.standing.is_some() && of_tenant()
    }

    /// What the store tells of sessions that may be seen; not all of them may.
    async fn found(&self, doors: &Doors) -> Result<Found, Refusal> {
        let (mut lists, mut more) = (Vec::new(), false);
        let routes = || {
            doors
                .routes
                .iter()
                .map(|open| Whose::Route(&open.route.name))
        };
        let people: Vec<EntraId>;
        match (self.see, self.person, &self.standing) {
            (See::All, ..) => lists.extend(routes()),
            (_, Some((tenant, _)), Some((roles, _))) if !roles.is_by_entra() => {
                // Ids are the customer's: who is meant is to be asked of each.
                lists.extend([Whose::Subject(&self.digest), Whose::Tenant(tenant)]);
            }
            (_, Some((tenant, person)), standing) => {
                let sees = standing.iter().flat_map(|(_, standing)| &standing.sees);
                let others = sees.filter_map(|id| EntraId::new(id));
                people = others.filter(|other| other != person).collect();
                more = people.len() > PEOPLE_MAX;
                if more {
                    doors.metrics.limit_hit("listed_people");
                }
                lists.extend([Whose::Subject(&self.digest), Whose::Person(tenant, person)]);
                let people = people.iter().take(PEOPLE_MAX);
                lists.extend(people.map(|other| Whose::Person(tenant, other)));
            }
            (_, None, _) => lists.push(Whose::Subject(&self.digest)),
        }
        let mut all = Found {
            more,
            ..Found::default()
        };
        for some in lists.chunks(AT_ONCE) {
            let asked = some
                .iter()
                .map(|whose| doors.store.running_of(*whose, SESSIONS_MAX));
            let answers = try_join_all(asked).await.map_err(unavailable)?;
            for found in answers {
                all.more |= found.more;
                all.sessions.extend(found.sessions);
            }
            if all.sessions.len() > SESSIONS_MAX {
                all.more = true;
                break;
            }
        }
        Ok(all)
    }

    /// A session that may be seen.
    pub(super) async fn find(&self, doors: &Doors, id: SessionId) -> Result<Running, Refusal> {
        let session = look_up(doors, id).await?;
        match self.may_see(&session).await? {
            true => Ok(session),
            false => Err(unknown()),
        }
    }

    async fn end(&self, doors: &Doors, id: SessionId) -> Result<Reply, Refusal> {
        let session = self.find(doors, id).await?;
        if doors.registry.end(id, Reason::Revoked) {
            return Ok(Reply::Gone);
        }
        let until = SystemTime::now() + OBEYED;
        order(doors, &Order::End { session: id }, until).await?;
        let told = json!({ "session": session.id.to_string(), "state": "ending" });
        Ok(said(StatusCode::ACCEPTED, told))
    }

    /// Puts off the end of a lease, of the caller's own sessions only. Nobody else is told that there
    /// is one.
    async fn refresh(&self, doors: &Doors, id: SessionId, grant: &Grant) -> Result<Reply, Refusal> {
        let session = look_up(doors, id).await?;
        if !session.digest.is(&self.digest) {
            return Err(unknown());
        }
        let (credential, end) = (grant.holder().credential, grant.ends().first());
        let here = doors.registry.refresh(id, &self.digest, (credential, end));
        if let Some(here) = here {
            if here.revoked {
                return Err(Refusal::new(Reason::Revoked, "the token was taken back"));
            }
            let state = if here.changed {
                "refreshed"
            } else {
                "unchanged"
            };
            return Ok(said(StatusCode::OK, refreshed(&session, here.lease, state)));
        }
        let lease = session.lease_with(end);
        if lease == session.lease {
            return Ok(said(
                StatusCode::OK,
                refreshed(&session, lease, "unchanged"),
            ));
        }
        let wanted = Order::Refresh {
            session: id,
            // None lasts longer.
            end: lease.unwrap_or(session.longest),
            credential,
        };
        // Later it would come too late.
        order(doors, &wanted, session.lease.unwrap_or(session.longest)).await?;
        let told = refreshed(&session, lease, "refreshing");
        Ok(said(StatusCode::ACCEPTED, told))
    }

    fn tell(&self, session: &Running) -> Value {
        let mut told = json!({
            "session": session.id.to_string(),
            "route": session.route.as_str(),
            "subject": session.subject,
            "own": self.owns(session),
            "started": date(session.started),
            "lease": session.lease.map(date),
            "longest": date(session.longest),
        });
        if let Some((tenant, person)) = &session.person {
            told["tenant"] = tenant.as_str().into();
            told["person"] = person.as_str().into();
        }
        if let Some(call) = &session.call {
            told["call"] = call.as_str().into();
        }
        told
    }
}

/// A session, whoever's it is. The store is asked also where it runs here: what cannot be known of
/// others is not known of some.
async fn look_up(doors: &Doors, id: SessionId) -> Result<Running, Refusal> {
    let told = doors.store.running(id).await.map_err(unavailable)?;
    let told = told.filter(|session| !is_over(doors, session));
    let here = doors.registry.told_of(id);
    here.or(told).ok_or_else(unknown)
}

/// Whether a session that the store tells of has ended, as far as that is known here: another edge
/// tells so within a second.
fn is_over(doors: &Doors, session: &Running) -> bool {
    let here = doors.announcer.as_ref();
    session.is_over(SystemTime::now()) || here.is_some_and(|here| here.is_over(session.id))
}

/// Has all edges hear of it, one of which the session runs at.
async fn order(doors: &Doors, order: &Order, until: SystemTime) -> Result<(), Refusal> {
    match doors.store.write_order(order, until).await {
        Ok(Lodged::Written) => Ok(()),
        Ok(Lodged::Full) => {
            let detail = "too many orders to edges are in force";
            Err(Refusal::new(Reason::Busy, detail))
        }
        Err(error) => Err(unavailable(error)),
    }
}

fn refreshed(session: &Running, lease: Option<SystemTime>, state: &str) -> Value {
    json!({
        "session": session.id.to_string(),
        "state": state,
        "lease": lease.map(date),
        "longest": date(session.longest),
    })
}

pub(super) fn said(status: StatusCode, body: Value) -> Reply {
    Reply::Said {
        status,
        body,
        location: None,
    }
}

fn date(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

pub(super) fn unknown() -> Refusal {
    Refusal::new(Reason::NotFound, "no session that you may see has this id")
}

fn unavailable(_: Unavailable) -> Refusal {
    let detail = "the session store does not answer";
    Refusal::new(Reason::StoreUnavailable, detail)
}
