//! The one record that a request on a route has in the audit, whatever becomes of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::header::UPGRADE;
use http::{Request, StatusCode};

use super::doors::{Doors, Open};
use super::refusal::Refusal;
use crate::admission::{self, Denied, Grant, Peer, Told};
use crate::audit::{self, Entry, Event, Known, Place, Verdict};
use crate::config::{BELOW, CALL, REFRESH, Route};
use crate::error::Reason;
use crate::ids::{CallId, EntraId, SessionId};
use crate::trace::TraceId;

/// What is to be recorded of a connection's request. It has a place in the audit before anything is
/// done for it, and is recorded once: whoever has the first word on it has the last. Dropped without a
/// word, as only a fault of the edge's own can bring about, it is recorded as that.
#[derive(Default)]
#[must_use = "what was decided must be recorded"]
pub(super) struct Decision(Mutex<Option<Box<Undecided>>>);

struct Undecided {
    place: Place,
    asked: audit::Asked,
    known: Known,
}

impl Decision {
    /// Takes a place for a request on a route, where there is an audit.
    pub(super) fn begin<B>(
        &self,
        doors: &Doors,
        open: &Open,
        request: &Request<B>,
        (client, trace): (Peer, Option<TraceId>),
    ) -> Result<(), Refusal> {
        if !doors.audit.is_on() {
            return Ok(());
        }
        let place = doors.place()?;
        let event = match open.route.kind.has_bodies() && !request.headers().contains_key(UPGRADE) {
            true => Event::Request,
            false => Event::Upgrade,
        };
        *self.lock() = Some(Box::new(Undecided {
            place,
            asked: audit::Asked {
                event,
                route: open.route.name.clone(),
                method: audit::method(request.method()),
                path: as_set(&open.route, request.uri().path()),
                client: client.into(),
                request: SessionId::random(),
                trace,
            },
            known: Known::default(),
        }));
        Ok(())
    }

    /// Asks admission about a request that is answered as soon as it can be.
    pub(super) async fn admit(
        &self,
        doors: &Doors,
        wanted: admission::Request<'_>,
    ) -> Result<Grant, Denied> {
        let grant = self.admit_session(doors, wanted).await?;
        let held = doors.admission.share(&grant, SessionId::random()).await?;
        Ok(grant.hold(held))
    }

    /// Asks admission, and keeps whom it has recognised. What the edges share is not taken yet.
    pub(super) async fn admit_session(
        &self,
        doors: &Doors,
        wanted: admission::Request<'_>,
    ) -> Result<Grant, Denied> {
        let mut told = match doors.audit.is_on() {
            true => Told::audit(),
            false => Told::nobody(),
        };
        let decided = doors.admission.decide(wanted, &mut told).await;
        if let Some(undecided) = self.lock().as_mut() {
            undecided.known = told.known();
        }
        decided
    }

    /// The request of somebody who was admitted is about this call.
    pub(super) fn is_about(&self, call: &CallId) {
        if let Some(undecided) = self.lock().as_mut() {
            undecided.known.call = Some(audit::Call {
                call: call.clone(),
                connection: None,
                correlation: None,
            });
        }
    }

    /// Whoever was admitted speaks for somebody of this tenant.
    pub(super) fn speaks_for(&self, tenant: &EntraId, user: Option<&EntraId>) {
        if let Some(undecided) = self.lock().as_mut() {
            let who = undecided.known.who.take();
            let user = user.map_or("", EntraId::as_str);
            undecided.known.who = who.map(|who| who.of_tenant(tenant.as_str(), user));
        }
    }

    /// Whoever was admitted has the bot write to somebody.
    pub(super) fn writes_to(&self, tenant: &EntraId, user: &EntraId) {
        if let Some(undecided) = self.lock().as_mut() {
            undecided.known.message = Some(audit::Message {
                tenant: tenant.clone(),
                user: user.clone(),
                outcome: None,
            });
        }
    }

    /// What became of the message, in a word.
    pub(super) fn came_to(&self, word: &'static str) {
        if let Some(undecided) = self.lock().as_mut()
            && let Some(message) = &mut undecided.known.message
        {
            message.outcome = Some(word);
        }
    }

    /// The decision is another's from now on, who may live longer than the connection.
    pub(super) fn hand_over(&self) -> Decision {
        Decision(Mutex::new(self.lock().take()))
    }

    /// It was answered, and was about this session.
    pub(super) fn answered_about(&self, status: StatusCode, session: SessionId) {
        self.record(Verdict::Allowed {
            status: status.as_u16(),
            session: Some(session),
        });
    }

    /// It was answered.
    pub(super) fn answered(&self, status: StatusCode) {
        self.record(Verdict::Allowed {
            status: status.as_u16(),
            session: None,
        });
    }

    /// Its session begins.
    pub(super) fn opened(&self, session: SessionId) {
        self.record(Verdict::Allowed {
            status: StatusCode::SWITCHING_PROTOCOLS.as_u16(),
            session: Some(session),
        });
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        self.record(Verdict::Denied {
            reason: refusal.reason,
            detail: refusal.detail,
            status: Some(refusal.status.as_u16()),
        });
    }

    /// Nobody was there any more to be told anything.
    pub(super) fn lost(&self, reason: Reason, detail: &'static str) {
        self.record(Verdict::Denied {
            reason,
            detail,
            status: None,
        });
    }

    fn record(&self, verdict: Verdict) {
        let undecided = self.lock().take();
        if let Some(undecided) = undecided {
            let Undecided {
                place,
                asked,
                known,
            } = *undecided;
            place.record(|| Entry::decided(&asked, &known, verdict));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Undecided>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Decision {
    fn drop(&mut self) {
        self.lost(Reason::Internal, "the edge failed before it had decided");
    }
}

impl Doors {
    /// A place in the audit, to be had before anything is done.
    pub(super) fn place(&self) -> Result<Place, Refusal> {
        self.audit.reserve().map_err(|audit::Full| {
            self.metrics.limit_hit("audit");
            Refusal::new(
                Reason::Busy,
                "what would be decided cannot be recorded at present",
            )
        })
    }
}

/// The path of a route that a request's belongs to, as the settings write it. Ids in it stand apart in
/// the record, where they are ids of calls and somebody has proved that they may name them.
fn as_set(route: &Route, path: &str) -> String {
    if let Some(item) = route.refreshed(path) {
        return format!("{}{REFRESH}", as_set(route, item));
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let known = |known: &&String| **known == path || known.strip_suffix(CALL) == Some(folder);
    match route.paths.iter().find(known) {
        Some(path) => path.clone(),
        None => match route.paths.iter().find(|known| **known == folder) {
            Some(folder) => format!("{folder}/{{id}}"),
            None => tree(route, path).unwrap_or("/").to_owned(),
        },
    }
}

/// The nearest of the paths that lead to all below them.
fn tree<'a>(route: &'a Route, path: &str) -> Option<&'a str> {
    let lies_below = |known: &&String| {
        let rest = known
            .strip_suffix(BELOW)
            .and_then(|folder| path.strip_prefix(folder));
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let trees = route.paths.iter().filter(lies_below);
    trees.max_by_key(|known| known.len()).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Audit;
    use crate::config::{self, AuditFile, AuditSync, AuditTo, Settings};
    use crate::label::Label;
    use crate::metrics::Metrics;
    use std::sync::Arc;

    #[test]
    fn c16_a_request_has_one_record_also_if_nobody_has_decided_on_it() {
        let folder =
            std::env::temp_dir().join(format!("tonegate-decision-{}", SessionId::random()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("audit.jsonl");
        let settings = config::Audit {
            to: AuditTo::File(AuditFile {
                path: path.clone(),
                size: 1 << 20,
                keep: 1,
            }),
            sync: AuditSync::Never,
            chain: false,
            queue: 16,
        };
        let audit = Audit::open(Some(&settings), &Arc::new(Metrics::new())).unwrap();
        let undecided = |path: &str| {
            let decision = Decision::default();
            *decision.lock() = Some(Box::new(Undecided {
                place: audit.reserve().unwrap(),
                asked: audit::Asked {
                    event: Event::Request,
                    route: Label::new("r").unwrap(),
                    method: "GET",
                    path: path.to_owned(),
                    client: Peer::from(std::net::IpAddr::from([192, 0, 2, 7])).into(),
                    request: SessionId::random(),
                    trace: None,
                },
                known: Known::default(),
            }));
            decision
        };
        drop(undecided("/forgotten"));
        let twice = undecided("/twice");
        twice.answered(StatusCode::OK);
        twice.lost(Reason::ClientLost, "the client went before its answer");
        drop(twice);
        drop(Decision::default());
        assert!(audit.flush());
        let told = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 2, "{told}");
        let [forgotten, twice] = lines[..] else {
            panic!("{told}");
        };
        let internal = r#""what":"GET /forgotten","decision":"deny","rule":"internal""#;
        assert!(forgotten.contains(internal), "{forgotten}");
        let allowed = r#""what":"GET /twice","decision":"allow""#;
        assert!(
            twice.contains(allowed) && !twice.contains("client_lost"),
            "{twice}"
        );
    }

    #[test]
    fn c16_a_path_is_recorded_as_the_settings_write_it() {
        let settings = "[server]\nlisten = \"127.0.0.1:0\"\n[[keys]]\nname = \"k\"\n\
             sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n\
             [upstreams.voice]\nkind = \"voice-live\"\nresource = \"resource\"\ncredential = { key = \"k\" }\n\
             [[routes]]\nname = \"a\"\nkind = \"voice-live\"\npaths = [\"/ws\", \"/ws/b\"]\n\
             admit = [\"key\"]\nmodels = [\"m\"]\nupstreams = [\"voice\"]\n";
        let settings = Settings::read_text("edge.toml", settings).unwrap();
        let mut route = settings.live.routes[0].clone();
        assert_eq!(as_set(&route, "/ws"), "/ws");
        assert_eq!(as_set(&route, "/ws/b"), "/ws/b");
        assert_eq!(as_set(&route, "/ws/15551234567"), "/ws/{id}");
        route.paths = vec!["/acs/{call}".to_owned()];
        assert_eq!(as_set(&route, "/acs/15551234567"), "/acs/{call}");
        // No route is found by such a path; it is not told in any case.
        assert_eq!(as_set(&route, "/15551234567"), "/");
    }
}
