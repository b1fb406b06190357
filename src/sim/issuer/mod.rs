//! A simulated token issuer: Entra in both its versions, a plain OpenID provider, the issuer of Azure
//! Communication Services and the Bot Connector, at one address.
//!
//! Owns the listener and the life of a connection, which is the reading order: `request` judges
//! what is asked, `document` knows where everything is, [`behaviour`] answers, soundly or as a test
//! wants it, in the form of an `answer`; `order` reads who may be served a token. Behind them
//! stands the [`provider`], which makes a token as [`mint`] says with the keys of its `ring`, or of
//! that of the `connector`.
//! [`client`] orders from it.
//!
//! It signs by hand over aws-lc-rs and shares no token library with the product, so a reading of
//! the standards that is wrong on our side cannot be wrong here in the same way.
//!
//! Not here: logging in, refresh, authorization codes, encrypted tokens. A token is had for the
//! asking, over loopback only.

mod answer;
pub mod behaviour;
pub mod client;
mod connector;
pub mod document;
pub mod mint;
mod order;
pub mod provider;
mod request;
mod ring;

#[cfg(test)]
mod tests;

use super::accept::accept;
use super::certificate::Identity;
use super::head::{self, Head};
use super::stream::{self, Stream};
use answer::{After, Answer};
use bytes::BytesMut;
use provider::Provider;
use request::Ask;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// The most connections at once; further ones wait in the listener's backlog. Arbitrary: a
/// verifier needs one.
const CONNECTIONS_OPEN_MAX: usize = 1024;

/// How long TLS, each request and the body of an order may take. An idle connection ends so, too.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// How long a peer that was told the end may take to go.
const LINGER: Duration = Duration::from_secs(5);

/// How the issuer is set up.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// TLS with this identity, which must be good for `localhost`, or plain TCP.
    pub identity: Option<Identity>,
}

impl Options {
    /// A plain issuer on a free loopback port.
    #[must_use]
    pub fn loopback() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            identity: None,
        }
    }
}

/// A bound issuer, not yet accepting.
pub struct Issuer {
    listener: TcpListener,
    address: SocketAddr,
    desk: Arc<Desk>,
}

/// What all connections share.
struct Desk {
    acceptor: Option<TlsAcceptor>,
    provider: Arc<Provider>,
}

impl Issuer {
    /// Binds the socket, builds TLS and makes the keys; nothing is accepted until
    /// [`Self::serve`].
    pub async fn bind(options: Options) -> io::Result<Self> {
        let acceptor = match &options.identity {
            Some(identity) => Some(stream::acceptor(identity).map_err(io::Error::other)?),
            None => None,
        };
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://localhost:{}", address.port());
        Ok(Self {
            listener,
            address,
            desk: Arc::new(Desk {
                acceptor,
                provider: Arc::new(Provider::new(base)),
            }),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its keys, its manners and what it was asked.
    #[must_use]
    pub fn provider(&self) -> Arc<Provider> {
        Arc::clone(&self.desk.provider)
    }

    /// Accepts until `shutdown`, then ends every connection and waits for their tasks.
    pub async fn serve(self, shutdown: CancellationToken) {
        let desk = self.desk;
        accept(
            self.listener,
            CONNECTIONS_OPEN_MAX,
            shutdown,
            |tcp, peer| {
                let desk = Arc::clone(&desk);
                desk.provider.connected();
                async move {
                    let secured = stream::secure(tcp, desk.acceptor.as_ref());
                    if let Ok(Ok(mut stream)) = timeout(REQUEST_DEADLINE, secured).await {
                        // A peer that is gone is nobody's concern here: what it asked is counted.
                        let _ = desk.connection(&mut stream, peer).await;
                    }
                }
            },
        )
        .await;
    }
}

impl Desk {
    /// Requests, one after the other, until one of them is the last.
    async fn connection(&self, stream: &mut Stream, peer: SocketAddr) -> io::Result<()> {
        let mut buffer = BytesMut::new();
        loop {
            let read = timeout(REQUEST_DEADLINE, head::read(stream, &mut buffer)).await;
            let parsed = match read {
                Ok(read) => read.and_then(|bytes| head::parse(&bytes)),
                Err(_) => return Ok(()),
            };
            let after = match parsed {
                Ok(head) => {
                    let after = self.request(&head, stream, &mut buffer, peer).await?;
                    if head.says("connection", "close") {
                        After::Close
                    } else {
                        after
                    }
                }
                Err(head::Error::Io(error)) => return Err(error),
                Err(head::Error::TooLong | head::Error::Malformed) => {
                    let refusal = Answer::refusal(400, "not an HTTP/1.1 request");
                    self.refuse("not HTTP/1.1", &refusal, stream).await?
                }
            };
            if after == After::Close {
                stream.shutdown().await?;
                stream.drain(LINGER).await;
                return Ok(());
            }
        }
    }

    async fn request(
        &self,
        head: &Head,
        stream: &mut Stream,
        buffer: &mut BytesMut,
        peer: SocketAddr,
    ) -> io::Result<After> {
        match request::judge(head) {
            Ok(Ask::Document(document)) => {
                let (behaviour, document) = self.provider.asked(document);
                behaviour.play(stream, document.to_string()).await
            }
            Ok(Ask::Token(_)) if !peer.ip().is_loopback() => {
                let refusal = Answer::refusal(403, "tokens are for loopback only");
                self.refuse(request::target(head), &refusal, stream).await
            }
            Ok(Ask::Token(length)) => {
                let body = timeout(REQUEST_DEADLINE, body(stream, buffer, length)).await??;
                let answer = match order::read(&body, &self.provider.base()) {
                    Ok(mint) => Answer::token(&self.provider.mint(&mint)),
                    Err(mistake) => Answer::refusal(400, &mistake.to_string()),
                };
                answer.send(stream).await
            }
            Err(refusal) => self.refuse(request::target(head), &refusal, stream).await,
        }
    }

    async fn refuse(
        &self,
        target: &str,
        refusal: &Answer,
        stream: &mut Stream,
    ) -> io::Result<After> {
        self.provider.refused(target);
        refusal.send(stream).await
    }
}

/// The body of an order. What comes behind it stays in `buffer`.
async fn body(stream: &mut Stream, buffer: &mut BytesMut, length: usize) -> io::Result<BytesMut> {
    buffer.reserve(length.saturating_sub(buffer.len()));
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.split_to(length))
}
