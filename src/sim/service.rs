//! A small HTTP service: requests with short bodies, one answer to each.
//!
//! Owns listener, TLS and connections. Refuses to know what is asked.

use super::accept::accept;
use super::answer::Answer;
use super::certificate::Identity;
use super::stream;
use bytes::Bytes;
use http::request::Parts;
use http_body_util::{BodyExt as _, Limited};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// The most connections at once; further ones wait in the listener's backlog. Arbitrary.
const CONNECTIONS_OPEN_MAX: usize = 1024;

/// The largest body that is read. Above what any service takes, so that each judges by itself.
const BODY_MAX: usize = 1 << 20;

/// The connection ends without an answer, on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost")]
pub(super) struct Lost;

/// A bound service, not yet accepting.
pub(super) struct Service {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    address: SocketAddr,
}

impl Service {
    /// Binds the socket; over TLS where there is an identity.
    pub(super) async fn bind(listen: SocketAddr, identity: Option<&Identity>) -> io::Result<Self> {
        let acceptor = match identity {
            Some(identity) => Some(stream::acceptor(identity).map_err(io::Error::other)?),
            None => None,
        };
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            acceptor,
            address,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://localhost:PORT`, `http` without TLS.
    pub(super) fn base(&self) -> String {
        let scheme = if self.acceptor.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    /// Answers until `shutdown`.
    pub(super) async fn serve<F, A>(self, shutdown: CancellationToken, answer: F)
    where
        F: Fn(Parts, Bytes) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Answer, Lost>> + Send,
    {
        let (answer, acceptor) = (Arc::new(answer), self.acceptor);
        accept(self.listener, CONNECTIONS_OPEN_MAX, shutdown, |tcp, _| {
            let (answer, acceptor) = (Arc::clone(&answer), acceptor.clone());
            async move {
                let Ok(stream) = stream::secure(tcp, acceptor.as_ref()).await else {
                    return;
                };
                let service = service_fn(|request| {
                    let answer = Arc::clone(&answer);
                    async move {
                        let (head, body) = http::Request::into_parts(request);
                        let answered = match Limited::new(body, BODY_MAX).collect().await {
                            Ok(body) => answer(head, body.to_bytes()).await,
                            Err(_) => Ok(Answer::refusal(413, "TooLarge", "the body is too long")),
                        };
                        answered.map(Answer::into_response)
                    }
                });
                // How a connection ends is its peer's business.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        })
        .await;
    }
}

/// The value of a header that stands once.
pub(super) fn one<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    let mut values = head.headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
