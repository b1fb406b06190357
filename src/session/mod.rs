//! One session from its grant to its ending, owner of everything it holds.
//!
//! Permit, slot, gauges and registry entry are fields: dropping the session, at whatever point,
//! gives all of them back. What others wait for is given back as soon as it begins to close, for
//! the goodbye may take seconds. Its start and its end are one log line each.

mod about;
mod announce;
mod call;
mod cap;
mod contact;
mod dial;
mod hang_up;
mod lease;
mod left;
mod live;
mod look;
mod opened;
mod orders;
mod recent;
mod registry;
mod told;
mod tones;

use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;

pub use self::about::About;
pub use self::announce::Announcer;
pub use self::call::Call;
pub use self::contact::Contact;
pub use self::dial::{Dialler, PacingStanding};
pub use self::lease::{Leased, Refreshed};
pub use self::left::Left;
pub use self::live::Live;
pub use self::look::{TAILS_MAX, Tail, TooMany};
pub use self::opened::Opened;
pub use self::orders::{Lifted, Orders, Revoked};
pub use self::recent::{End, Ended, RECENT_MAX};
pub use self::registry::{Entry, Registry};

use self::cap::Cap;
use self::live::Begun;

use crate::admission::{Claim, Grant, Holder, Peer, Permit};
use crate::audit::Place;
use crate::config::{Dtmf, Limits};
use crate::error::{Reason, Side};
use crate::ids::SessionId;
use crate::label::Label;
use crate::metrics::{self, Held, Work};
use crate::panics::contained_now;
use crate::relay::{Lease, Leg, Pace, Patience, Terms};
use crate::trace::Traced;
use crate::upstream::{Ask, Dialled, Stream};

/// What a session is made of, when both sides have agreed to it.
pub struct Parts {
    pub route: Label,
    /// Of the route, as the settings write it.
    pub kind: &'static str,
    pub grant: Grant,
    /// The client, also where a hop brought it.
    pub peer: Peer,
    /// What it is part of.
    pub traced: Option<Traced>,
    /// When the client's socket was accepted.
    pub accepted: Instant,
    pub permit: Permit,
    pub books: Books,
    pub entry: Entry,
    pub lease: Arc<Lease>,
    pub limits: Limits,
    pub dtmf: Dtmf,
    pub metrics: metrics::Shared,
    pub route_metrics: Arc<metrics::Route>,
    /// `None`: a phone call whose gate is to be opened first.
    pub upstream: Option<Dialled>,
    pub call: Option<Box<Call>>,
}

/// Places in the audit for what will be decided in a session.
pub struct Books {
    /// Of a call, whose gate may have to be opened.
    pub gate: Option<Place>,
    pub end: Place,
}

/// A running session.
pub struct Session {
    id: SessionId,
    route: Label,
    holder: Arc<Holder>,
    ask: Ask,
    peer: Peer,
    traced: Option<Traced>,
    /// As soon as it has been dialled.
    upstream_name: Option<Label>,
    cap: Option<Cap>,
    call: Option<Box<Call>>,
    started: Instant,
    metrics: metrics::Shared,
    route_metrics: Arc<metrics::Route>,
    entry: Entry,
    /// What is still to be recorded.
    books: Option<Books>,
    /// Until the session begins to close.
    share: Option<Share>,
    /// The ending has been told.
    told: bool,
}

/// What a running session takes away from others: the key's slot, a place among the sessions of
/// the edge, and its place in the gauge.
struct Share {
    claimed: Claimed,
    _permit: Permit,
    _gauge: Held,
}

/// What admission gave it.
enum Claimed {
    /// All of it, until an upstream has been dialled.
    Grant(Box<Grant>),
    /// What it holds of the limits.
    Settled { _claim: Claim },
}

impl Claimed {
    fn settled(grant: Grant) -> Claimed {
        Claimed::Settled {
            _claim: grant.settle(),
        }
    }
}

impl Share {
    /// By what an upstream is dialled, while one may be.
    fn grant(&self) -> Option<&Grant> {
        match &self.claimed {
            Claimed::Grant(grant) => Some(grant),
            Claimed::Settled { .. } => None,
        }
    }

    fn settle(self) -> Share {
        let claimed = match self.claimed {
            Claimed::Grant(grant) => Claimed::settled(*grant),
            settled @ Claimed::Settled { .. } => settled,
        };
        Share { claimed, ..self }
    }
}

impl Session {
    /// Starts the session's books, between this client and the upstream, if that has been dialled.
    pub fn open(parts: Parts, client: Leg<TcpStream>) -> Opened {
        let terms = parts.terms();
        let (holder, ask) = (parts.grant.holder().clone(), parts.grant.ask().clone());
        let claimed = match parts.upstream {
            Some(_) => Claimed::settled(parts.grant),
            None => Claimed::Grant(Box::new(parts.grant)),
        };
        let share = Share {
            claimed,
            _permit: parts.permit,
            _gauge: Held::new(&parts.route_metrics.sessions),
        };
        let mut session = Box::new(Session {
            id: parts.entry.id(),
            route: parts.route,
            holder,
            ask,
            peer: parts.peer,
            traced: parts.traced,
            upstream_name: None,
            cap: None,
            call: parts.call,
            started: Instant::now(),
            metrics: parts.metrics,
            share: Some(share),
            route_metrics: parts.route_metrics,
            entry: parts.entry,
            books: Some(parts.books),
            told: false,
        });
        session.entry.begun(Begun {
            kind: parts.kind,
            client: session.peer,
            upstream: None,
            lease: parts.lease,
            waits: session.call.as_ref().is_some_and(|call| call.is_gated()),
        });
        let upgrade = parts.accepted.elapsed();
        session.route_metrics.admitted.increment(1);
        session.route_metrics.upgrade_seconds.record(upgrade);
        let dial = parts.upstream.as_ref().map(|dialled| dialled.took);
        let upstream = parts.upstream.map(|dialled| session.connected(dialled));
        let logged = || session.log_start(upgrade, dial);
        if contained_now(&session.metrics, Work::Session, logged).is_none() {
            // The `101` is out: both sides are told in frames.
            session.entry.handle().end(Reason::Internal);
        }
        Opened::new(session, client, upstream, terms)
    }

    /// The upstream's leg.
    fn connected(&mut self, dialled: Dialled) -> Leg<TcpStream> {
        self.cap = dialled.cap.map(|(begun, cap)| Cap::new(begun, cap));
        self.entry.connected(&dialled.upstream);
        self.upstream_name = Some(dialled.upstream);
        let leg = match dialled.stream {
            Stream::Plain(io) => Leg::plain(io, dialled.early),
            Stream::Tls(stream) => Leg::tls(stream.into_parts(), dialled.early),
        };
        leg.bound_unsent();
        leg
    }
}

impl Parts {
    fn terms(&self) -> Terms {
        let limits = &self.limits;
        Terms {
            patience: Patience {
                ping: limits.ping,
                idle: limits.idle,
                session: limits.session,
            },
            lease: self.lease.clone(),
            client_message_max: limits.client_message,
            upstream_message_max: limits.upstream_message,
            pace: Pace {
                bytes_per_second: limits.bytes_per_second,
                frames_per_second: limits.frames_per_second,
            },
            dtmf: self.dtmf,
            locked: self.grant.locked(),
            handle: self.entry.handle(),
            flow: self.route_metrics.flow.clone(),
        }
    }
}

impl Drop for Session {
    /// A session that did not come to its own end was cut: by a panic, or with the runtime.
    fn drop(&mut self) {
        if !self.told {
            self.entry.ended(End::cut(self.started.elapsed()));
            self.record_end(None, self.started.elapsed());
            self.metrics
                .session_ended(&self.route, Side::Edge, Reason::Internal);
            tracing::error!(
                session = %self.id,
                trace_id = self.trace_id().map(tracing::field::display),
                route = %self.route,
                ended_by = %Side::Edge,
                reason = %Reason::Internal,
                "session cut"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Admission, Now, Permits, Request, Told};
    use crate::audit::Audit;
    use crate::config::{self, AuditFile, AuditSync, AuditTo, Settings};
    use crate::metrics::Metrics;
    use bytes::Bytes;
    use std::time::Duration;
    use tokio::net::TcpListener;

    const SETTINGS: &str = r#"
        [server]
        listen = "127.0.0.1:0"
        plain_text = true
        [upstreams.voice]
        kind = "voice-live"
        url = "wss://voice.example.com"
        credential = { key = "k" }
        [[routes]]
        name = "open"
        kind = "voice-live"
        paths = ["/ws"]
        admit = ["anyone"]
        models = ["m"]
        upstreams = ["voice"]
    "#;

    async fn grant(metrics: &metrics::Shared) -> Grant {
        let live = Settings::read_text("edge.toml", SETTINGS).unwrap().live;
        let admission = Admission::new(&live, metrics).unwrap();
        let (head, ()) = http::Request::new(()).into_parts();
        let asked = Request {
            route: &live.routes[0],
            head: &head,
            peer: "127.0.0.1".parse().unwrap(),
            by_hop: false,
            certificate: None,
            now: Now::read(),
        };
        admission.decide(asked, &mut Told::nobody()).await.unwrap()
    }

    #[tokio::test]
    async fn a_session_that_is_cut_is_told_as_internal_and_gives_everything_back() {
        let metrics = Arc::new(Metrics::new());
        let file = std::env::temp_dir().join(format!("tonegate-cut-{}", SessionId::random()));
        let audit = config::Audit {
            to: AuditTo::File(AuditFile {
                path: file.clone(),
                size: 1 << 20,
                keep: 1,
            }),
            sync: AuditSync::Never,
            chain: false,
            queue: 16,
        };
        let audit = Audit::open(Some(&audit), &metrics).unwrap();
        let (permits, registry) = (Permits::new(1), Registry::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let route = Label::new("open").unwrap();
        let grant = grant(&metrics).await;
        let client = TcpStream::connect(address).await.unwrap();
        let client = Leg::plain(client, Bytes::new());
        let parts = Parts {
            kind: "voice-live",
            peer: address.into(),
            traced: None,
            accepted: Instant::now(),
            permit: permits.take().unwrap(),
            entry: registry.enter(SessionId::random(), About::of(&route, &grant)),
            lease: Arc::new(Lease::until(grant.ends().first())),
            grant,
            books: Books {
                gate: None,
                end: audit.reserve().unwrap(),
            },
            limits: Limits::default(),
            dtmf: Dtmf::Off,
            route_metrics: Arc::new(metrics.route(&route)),
            metrics: metrics.clone(),
            upstream: Some(Dialled {
                stream: Stream::Plain(TcpStream::connect(address).await.unwrap()),
                early: Bytes::new(),
                upstream: Label::new("voice").unwrap(),
                took: Duration::ZERO,
                cap: None,
            }),
            call: None,
            route,
        };
        let opened = Session::open(parts, client);
        let sessions = r#"tonegate_sessions{route="open"} "#;
        let holds = |line: String| metrics.render().lines().any(|l| l == line);
        assert!(holds(format!("{sessions}1")));
        assert_eq!((permits.taken(), registry.len()), (1, 1));
        drop(opened);
        assert!(holds(format!("{sessions}0")));
        assert_eq!((permits.taken(), registry.len()), (0, 0));
        let ended = r#"tonegate_sessions_ended_total{route="open",by="edge",reason="internal"} 1"#;
        assert!(holds(ended.to_owned()));
        assert!(audit.flush());
        let told = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let closed = r#""reason":"internal","ended_by":"edge"}"#;
        assert!(told.lines().count() == 1 && told.contains(closed), "{told}");
    }
}
