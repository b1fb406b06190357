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
mod orders;
mod recent;
mod registry;
mod told;
mod tones;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
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
pub use self::orders::{Lifted, Orders, Revoked};
pub use self::recent::{End, Ended, RECENT_MAX};
pub use self::registry::{Entry, Registry};

use self::call::Whose;
use self::cap::Cap;
use self::live::Begun;

use crate::admission::{Grant, Holder, Peer, Permit};
use crate::audit::Place;
use crate::config::{Dtmf, Limits};
use crate::error::{Reason, Side};
use crate::ids::SessionId;
use crate::label::Label;
use crate::metrics::{self, Held, Work};
use crate::panics::{contained, contained_now};
use crate::relay::{Ending, Lease, Leg, Pace, Patience, Relay, Terms};
use crate::trace::Traced;
use crate::upstream::{Ask, Dialled, Stream, Want};

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
    pub route_metrics: metrics::Route,
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
    lease: Arc<Lease>,
    peer: Peer,
    traced: Option<Traced>,
    /// As soon as it has been dialled.
    upstream_name: Option<Label>,
    cap: Option<Cap>,
    call: Option<Box<Call>>,
    started: Instant,
    limits: Limits,
    dtmf: Dtmf,
    metrics: metrics::Shared,
    route_metrics: metrics::Route,
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
    grant: Grant,
    _permit: Permit,
    _gauge: Held,
}

impl Session {
    /// Starts the session's books; the leg is the upstream's, if it has been dialled.
    pub fn open(parts: Parts) -> (Session, Option<Leg<TcpStream>>) {
        let mut session = Session {
            id: parts.entry.id(),
            route: parts.route,
            holder: parts.grant.holder().clone(),
            ask: parts.grant.ask().clone(),
            lease: parts.lease,
            peer: parts.peer,
            traced: parts.traced,
            upstream_name: None,
            cap: None,
            call: parts.call,
            started: Instant::now(),
            limits: parts.limits,
            dtmf: parts.dtmf,
            metrics: parts.metrics,
            share: Some(Share {
                grant: parts.grant,
                _permit: parts.permit,
                _gauge: Held::new(&parts.route_metrics.sessions),
            }),
            route_metrics: parts.route_metrics,
            entry: parts.entry,
            books: Some(parts.books),
            told: false,
        };
        session.entry.begun(Begun {
            kind: parts.kind,
            client: session.peer,
            upstream: None,
            lease: session.lease.clone(),
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
        (session, upstream)
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

    /// Carries the session to its end. Without an upstream it is a phone call with a gate. What is
    /// left to do then holds nothing of the session.
    pub async fn run(mut self, client: Leg<TcpStream>, upstream: Option<Leg<TcpStream>>) -> Left {
        let mut left = Left::default();
        client.bound_unsent();
        let terms = self.terms();
        let (ending, duration) = match (self.call.take(), upstream) {
            (None, Some(upstream)) => self.carry(Relay::new(client, upstream, terms)).await,
            (Some(call), upstream) => {
                let ended = self.run_call(&call, client, upstream, terms).await;
                left.hang_up = call.hang_up(self.id, ended.0.reason).await;
                left.telling = call.telling(self.id, &ended.0, ended.1);
                call.leave(self.id).await;
                self.call = Some(call);
                ended
            }
            // Nobody opens such a session; it would be told as cut.
            (None, None) => return left,
        };
        self.route_metrics.session_seconds.record(duration);
        if let Some(told) = &ending.call {
            self.count_call(told);
        }
        self.count_limit(&ending);
        self.metrics
            .session_ended(&self.route, ending.by, ending.reason);
        self.told = true;
        self.entry.ended(End::of(&ending, duration));
        self.record_end(Some(&ending), duration);
        self.log_end(&ending, duration);
        self.span_end(&ending, duration);
        left
    }

    /// Carries it to its end, and tells how long it lasted without the goodbye.
    async fn carry<U>(&mut self, mut relay: Relay<TcpStream, U>) -> (Ending, Duration)
    where
        U: AsyncRead + AsyncWrite + Unpin,
    {
        let handle = self.entry.handle();
        let metrics = self.metrics.clone();
        let capped = async {
            if let Some(never) = contained(&metrics, Work::Session, self.keep_cap(&handle)).await {
                match never {}
            }
            handle.end(Reason::Internal);
            std::future::pending().await
        };
        tokio::select! {
            () = relay.until_closing() => {}
            () = capped => {}
        }
        let duration = self.started.elapsed();
        self.share = None;
        (relay.await, duration)
    }

    /// A phone call, which ends also when another session takes it over.
    async fn run_call(
        &mut self,
        call: &Call,
        client: Leg<TcpStream>,
        upstream: Option<Leg<TcpStream>>,
        terms: Terms,
    ) -> (Ending, Duration) {
        let (id, handle) = (self.id, terms.handle.clone());
        if call.authorised {
            call.tell_begun(id, self.limits.session, &self.metrics);
        }
        let metrics = self.metrics.clone();
        let watched = async {
            let over = contained(&metrics, Work::Session, call.watch(id)).await;
            handle.end(over.unwrap_or(Reason::Internal));
            std::future::pending().await
        };
        tokio::select! {
            ended = self.carry_call(call, client, upstream, terms) => ended,
            never = watched => never,
        }
    }

    async fn carry_call(
        &mut self,
        call: &Call,
        client: Leg<TcpStream>,
        upstream: Option<Leg<TcpStream>>,
        terms: Terms,
    ) -> (Ending, Duration) {
        if let Some(upstream) = upstream {
            let relay = Relay::of_call(client, upstream, call.terms(), terms);
            return self.carry(relay).await;
        }
        let mut relay = Relay::gated(client, call.terms(), terms);
        let dialled = match &self.share {
            Some(share) => {
                let whose = Whose {
                    session: self.id,
                    route: &self.route,
                    want: Want {
                        traced: self.traced.as_ref(),
                        ..share.grant.want(&self.route, self.id)
                    },
                    party: share.grant.subject().party(),
                    longest: self.limits.session,
                    metrics: &self.metrics,
                };
                let passing = call.pass_gate(&mut relay, whose);
                let passed = contained(&self.metrics, Work::Session, passing).await;
                if passed.is_none() {
                    self.entry.handle().end(Reason::Internal);
                }
                passed.flatten()
            }
            None => None,
        };
        if let Some(gate) = relay.gate() {
            self.count_gate(&gate);
            self.span_gate(&gate);
            self.record_gate(call, &gate);
        }
        match dialled {
            Some(dialled) => {
                let dial = dialled.took;
                let relay = relay.connect(self.connected(dialled));
                self.log_gate(call, self.started.elapsed(), dial);
                self.carry(relay).await
            }
            None => self.carry(relay).await,
        }
    }

    fn terms(&self) -> Terms {
        Terms {
            patience: Patience {
                ping: self.limits.ping,
                idle: self.limits.idle,
                session: self.limits.session,
            },
            lease: self.lease.clone(),
            client_message_max: self.limits.client_message,
            upstream_message_max: self.limits.upstream_message,
            pace: Pace {
                bytes_per_second: self.limits.bytes_per_second,
                frames_per_second: self.limits.frames_per_second,
            },
            dtmf: self.dtmf,
            locked: self.share.as_ref().and_then(|share| share.grant.locked()),
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
        let (session, leg) = Session::open(Parts {
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
            route_metrics: metrics.route(&route),
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
        });
        let running = r#"tonegate_sessions{route="open"} "#;
        let holds = |line: String| metrics.render().lines().any(|l| l == line);
        assert!(holds(format!("{running}1")));
        assert_eq!((permits.taken(), registry.len()), (1, 1));
        drop((session, leg));
        assert!(holds(format!("{running}0")));
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
