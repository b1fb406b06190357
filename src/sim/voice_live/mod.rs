//! A simulated Azure Voice Live: strict about what it receives, faithful in what it answers.
//!
//! Owns the listener, the tasks of its connections and their bounds. The life of a connection is
//! the reading order: [`scenario`] names what is played, `request` judges the upgrade, `refusal`
//! says no, `quota` when it is too often, `wire` is the accepted socket, `play` acts the parts that need raw frames,
//! `conversation` drives the faithful one over tungstenite, with `dialogue` its pure state,
//! `settings` what `session.update` may say, `vad` its ear and `reply` its voice; `service` is what
//! OpenAI and Azure OpenAI do otherwise; [`record`] remembers each [`connection`].
//!
//! A `model` that begins with `sim-` picks the part; any other model gets [`Options::scenario`].
//!
//! Not here: avatar, tools, agents' answers, transcription. The reply to a turn is the turn.

pub mod connection;
mod conversation;
mod dialogue;
mod pace;
mod play;
mod quota;
pub mod record;
mod refusal;
mod reply;
mod request;
pub mod scenario;
mod service;
mod settings;
mod vad;
mod wire;

use super::accept::accept;
use super::certificate::Identity;
use super::head;
use super::stream;
use bytes::BytesMut;
use connection::{Ending, Violation};
use quota::Quota;
use record::{Record, Recorder};
use refusal::Refusal;
use request::Request;
use scenario::Scenario;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use wire::Wire;

/// The most connections at once; further ones wait in the listener's backlog. Above the edge's own
/// default, so that the simulator is never what a load test measures.
const CONNECTIONS_OPEN_MAX: usize = 65_536;

/// How long TLS and then the request may take. The edge allows as much on its own side.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

pub use service::Service;

/// How the service is set up.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// TLS with this identity, or plain TCP.
    pub identity: Option<Identity>,
    /// Which service it is.
    pub service: Service,
    /// The key wanted in the `api-key` header, or, by OpenAI, as a bearer.
    pub api_key: Option<String>,
    /// The token accepted as `Authorization: Bearer`. With neither key nor token set, any single
    /// credential is taken, and none is too.
    pub bearer: Option<String>,
    /// What models that do not begin with `sim-` get.
    pub scenario: Scenario,
    /// Whether audio that arrives faster than twice its declared rate is an error event. Off where
    /// tests send a call's audio at once.
    pub strict_pacing: bool,
    /// How much of the audio that is appended is kept of each connection, in bytes, for tests that
    /// compare samples. What comes beyond it is not kept.
    pub keep_audio: usize,
    /// How many upgrades it takes in any window of this length; one more is answered 429, with the
    /// seconds until the next.
    pub quota: Option<(usize, Duration)>,
}

impl Options {
    /// A plain service on a free loopback port that takes any credential.
    #[must_use]
    pub fn loopback() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            identity: None,
            service: Service::default(),
            api_key: None,
            bearer: None,
            scenario: Scenario::Conversation,
            strict_pacing: false,
            keep_audio: 0,
            quota: None,
        }
    }
}

/// A bound service, not yet accepting.
pub struct VoiceLive {
    listener: TcpListener,
    address: SocketAddr,
    host: Arc<Host>,
}

/// What all connections share.
struct Host {
    options: Options,
    acceptor: Option<TlsAcceptor>,
    record: Arc<Record>,
    quota: Option<Quota>,
}

impl VoiceLive {
    /// Binds the socket and builds TLS; nothing is accepted until [`Self::serve`].
    pub async fn bind(options: Options) -> io::Result<Self> {
        let acceptor = match &options.identity {
            Some(identity) => Some(stream::acceptor(identity).map_err(io::Error::other)?),
            None => None,
        };
        let listener = TcpListener::bind(options.listen).await?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            host: Arc::new(Host {
                record: Record::new(options.keep_audio),
                quota: options.quota.map(Quota::new),
                options,
                acceptor,
            }),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it saw and will see.
    #[must_use]
    pub fn record(&self) -> Arc<Record> {
        Arc::clone(&self.host.record)
    }

    /// Accepts until `shutdown`, then ends every connection and waits for their tasks.
    pub async fn serve(self, shutdown: CancellationToken) {
        let host = self.host;
        accept(
            self.listener,
            CONNECTIONS_OPEN_MAX,
            shutdown,
            |tcp, peer| {
                let host = Arc::clone(&host);
                // What is still being played at shutdown is dropped where it stands; the recorder,
                // dropped with it, then names the ending.
                let recorder = host.record.open(peer);
                async move { host.connection(tcp, &recorder).await }
            },
        )
        .await;
    }
}

impl Host {
    /// One connection: TLS, request, refusal or part.
    async fn connection(&self, tcp: TcpStream, recorder: &Recorder) {
        let secured = stream::secure(tcp, self.acceptor.as_ref());
        let Ok(Ok(mut stream)) = timeout(HANDSHAKE_DEADLINE, secured).await else {
            return recorder.ending(Ending::NoTls);
        };
        recorder.secured(stream.security());
        let mut buffer = BytesMut::with_capacity(wire::READ);
        let read = timeout(HANDSHAKE_DEADLINE, head::read(&mut stream, &mut buffer)).await;
        let request = match read {
            Ok(Ok(bytes)) => Request::parse(&bytes),
            Ok(Err(error)) => Err(error),
            Err(_) => return recorder.ending(Ending::NoRequest),
        };
        let wire = Wire::new(stream, buffer, recorder);
        let request = match request {
            Ok(request) => request,
            Err(head::Error::Io(_)) => return recorder.ending(Ending::NoRequest),
            Err(head::Error::TooLong | head::Error::Malformed) => {
                recorder.violation(Violation::Head);
                return refuse(wire, &Refusal::new(400, "not an HTTP/1.1 request")).await;
            }
        };
        recorder.requested(&request.head, &request.target, &request.query);
        let verdict = request.judge(&self.options);
        for violation in verdict.violations {
            recorder.violation(violation);
        }
        match verdict.outcome {
            Err(refusal) => refuse(wire, &refusal).await,
            Ok(accepted) => {
                let taken = self.quota.as_ref().map(|quota| quota.take(Instant::now()));
                if let Some(Err(wait)) = taken {
                    let refusal = Refusal::new(429, "too many connections").later(wait);
                    return refuse(wire, &refusal).await;
                }
                recorder.playing(accepted.scenario);
                play::play(wire, &accepted, &self.options).await;
            }
        }
    }
}

/// Answers with a status, then lets the client read it before the socket goes.
async fn refuse(mut wire: Wire<'_>, refusal: &Refusal) {
    wire.recorder.ending(Ending::Refused(refusal.status));
    if wire.write(&refusal.encode()).await.is_ok() {
        // A failed shutdown leaves nothing to wait for; the drain below ends at once.
        let _ = wire.stream.shutdown().await;
        wire.stream.drain(wire::LINGER).await;
    }
}
