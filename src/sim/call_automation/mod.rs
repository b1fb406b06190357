//! A simulated Azure Communication Services, Call Automation: the REST service that answers and
//! makes calls, and whatever it then does by itself.
//!
//! It is strict: what Microsoft's specification does not know is refused and written down. The
//! official SDKs are served by it (`tests/edge/call_control/sdk.rs`). A call that is answered really
//! dials the media stream ([`super::acs`]) and really posts callbacks, in an order that a test
//! chooses. It also rings: [`grid`] posts `IncomingCall` as Event Grid does.
//!
//! Owns calls, their ids and their state. Refuses to know codes, gates and Redis.
//!
//! Reading order: [`request`] judges the form, by the shapes of [`schema`] and the [`credential`];
//! `effect` does what is asked; a [`connection`] is one call, whose life is the `story`, told in the
//! form of an [`event`]; a test holds it as a [`mod@line`]. [`manner`] is how all this goes, [`record`] what
//! came of it.
//!
//! Not here: playing, recording, transcription, participants, transfer.

pub mod connection;
pub mod credential;
mod date;
pub mod desk;
mod effect;
pub mod event;
pub mod grid;
pub mod line;
pub mod manner;
mod post;
pub mod record;
pub mod request;
pub mod schema;
mod story;

#[cfg(test)]
mod tests;

use super::accept::accept;
use super::answer;
use super::certificate::Identity;
use super::issuer::provider::Provider;
use super::{acs, stream};
use answer::Answer;
use bytes::Bytes;
use credential::Trust;
use desk::Desk;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use record::Event;
use request::Raw;
use schema::BODY_MAX;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// The most connections at once; further ones wait in the listener's backlog. Arbitrary.
const CONNECTIONS_OPEN_MAX: usize = 1024;

/// How the service is set up.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// TLS with this identity, or plain TCP.
    pub identity: Option<Identity>,
    /// Who may ask.
    pub trust: Trust,
    /// Who signs what is sent to the edge.
    pub provider: Arc<Provider>,
    /// The resource's immutable id: the audience of that.
    pub resource: String,
    /// What the edge is verified against.
    pub roots_pem: Option<String>,
    /// How callers behave on the media stream; format and number are the call's.
    pub caller: acs::Options,
}

impl Options {
    /// A plain service on a free loopback port, which takes this access key.
    #[must_use]
    pub fn loopback(provider: Arc<Provider>, key: &str) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            identity: None,
            trust: Trust {
                key: Some(key.to_owned()),
                ..Trust::default()
            },
            provider,
            resource: "22222222-3333-4444-5555-666666666666".to_owned(),
            roots_pem: None,
            caller: acs::Options::default(),
        }
    }
}

/// A bound service, not yet accepting.
pub struct CallAutomation {
    listener: TcpListener,
    address: SocketAddr,
    desk: Arc<Desk>,
}

/// The connection ends without an answer, on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost")]
struct Lost;

impl CallAutomation {
    /// Binds the socket; nothing is accepted until [`Self::serve`].
    pub async fn bind(options: Options) -> io::Result<Self> {
        let acceptor = match &options.identity {
            Some(identity) => Some(stream::acceptor(identity).map_err(io::Error::other)?),
            None => None,
        };
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            desk: Arc::new(Desk::new(options, acceptor, address.port())),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its calls, its manners and what happened.
    #[must_use]
    pub fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// Accepts until `shutdown`, then ends every connection and call.
    pub async fn serve(self, shutdown: CancellationToken) {
        let desk = self.desk;
        accept(self.listener, CONNECTIONS_OPEN_MAX, shutdown, |tcp, _| {
            let desk = Arc::clone(&desk);
            async move {
                let Ok(stream) = stream::secure(tcp, desk.acceptor.as_ref()).await else {
                    return;
                };
                let service = service_fn(|request| serve(Arc::clone(&desk), request));
                // How a connection ends is its peer's business.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        })
        .await;
        desk.close().await;
    }
}

/// One request. Its effect is there even if the peer does not wait for the answer.
async fn serve(desk: Arc<Desk>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Lost> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
        let refusal = Answer::refusal(413, "RequestTooLarge", "the body is too long");
        return Ok(refusal.into_response());
    };
    let body = body.to_bytes();
    let raw = Raw {
        method: &head.method,
        uri: &head.uri,
        headers: &head.headers,
        body: &body,
        tls: desk.acceptor.is_some(),
        port: desk.port,
    };
    let ask = match request::judge(&raw, &desk.options().trust) {
        Ok(ask) => ask,
        Err(violation) => {
            let answer = violation.answer();
            desk.happened(Event::Wrong(answer.status, violation));
            return Ok(answer.into_response());
        }
    };
    let (done, answer) = oneshot::channel();
    let own = Arc::clone(&desk);
    desk.spawn(async move {
        // Nobody waits any more where this fails.
        let _ = done.send(effect::answer(&own, ask).await);
    });
    match answer.await {
        Ok(Some(answer)) => Ok(answer.into_response()),
        Ok(None) | Err(_) => Err(Lost),
    }
}
