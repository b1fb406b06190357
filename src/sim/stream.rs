//! One TCP connection, with or without TLS, and how to make either side's TLS.
//!
//! Owns the rustls settings of the simulators (aws-lc-rs named explicitly, no process-wide
//! provider) and what a finished handshake can tell. Refuses to know HTTP.

use super::certificate::Identity;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// Why a TLS configuration could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not PEM, or holds no certificate or no key.
    #[error("not a PEM file with what was asked of it")]
    Pem,
    /// rustls does not take the certificate, the key or the roots.
    #[error("the TLS library refuses this identity or these roots")]
    Refused,
}

/// A connection as the simulators see it.
pub enum Stream {
    /// TCP alone.
    Plain(TcpStream),
    /// TLS of either side; boxed, since a session is a kilobyte and more.
    Tls(Box<TlsStream<TcpStream>>),
}

/// What a finished TLS handshake settled on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// `TLSv1_2` or `TLSv1_3`.
    pub version: String,
    /// The suite, as rustls spells it.
    pub cipher: String,
    /// The key exchange group, `X25519MLKEM768` for instance; absent where resumption had none.
    pub group: Option<String>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

impl Stream {
    /// The socket below, for options that TLS does not know.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// What the handshake settled on; `None` without TLS.
    #[must_use]
    pub fn security(&self) -> Option<Security> {
        let Self::Tls(tls) = self else { return None };
        let (_, session) = tls.get_ref();
        Some(Security {
            version: session
                .protocol_version()
                .map(|version| format!("{version:?}"))
                .unwrap_or_default(),
            cipher: session
                .negotiated_cipher_suite()
                .map(|suite| format!("{:?}", suite.suite()))
                .unwrap_or_default(),
            group: session
                .negotiated_key_exchange_group()
                .map(|group| format!("{:?}", group.name())),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }

    /// Reads and forgets until the peer's stream ends, or for so long.
    pub(super) async fn drain(&mut self, at_most: Duration) {
        let mut scratch = [0; 1024];
        let drained = async { while self.read(&mut scratch).await.is_ok_and(|n| n > 0) {} };
        let _ = timeout(at_most, drained).await;
    }
}

/// An accepted connection: TLS completed where there is an acceptor for it.
pub(super) async fn secure(tcp: TcpStream, acceptor: Option<&TlsAcceptor>) -> io::Result<Stream> {
    let Some(acceptor) = acceptor else {
        return Ok(Stream::Plain(tcp));
    };
    let tls = acceptor.accept(tcp).await?;
    Ok(Stream::Tls(Box::new(TlsStream::Server(tls))))
}

/// A TLS server for this identity: TLS 1.2 and 1.3, `http/1.1` only.
pub fn acceptor(identity: &Identity) -> Result<TlsAcceptor, Error> {
    let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Error::Pem)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(|_| Error::Pem)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Error::Refused)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|_| Error::Refused)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A TLS client that trusts exactly these roots.
pub fn connector(roots_pem: &str) -> Result<TlsConnector, Error> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots_pem.as_bytes()) {
        roots
            .add(root.map_err(|_| Error::Pem)?)
            .map_err(|_| Error::Refused)?;
    }
    if roots.is_empty() {
        return Err(Error::Pem);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Error::Refused)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
