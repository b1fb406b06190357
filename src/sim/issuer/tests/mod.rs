//! The issuer over real sockets, looked at by a client that does everything by hand, and its
//! signatures by aws-lc-rs's own verifiers. Nothing sleeps; everything has a deadline.

mod behaviour;
mod document;
mod order;
mod request;
mod token;

use super::behaviour::Behaviour;
use super::mint::{Algorithm, KeyChoice, Mint};
use super::provider::{Counts, Provider};
use super::{Issuer, Options, client};
use crate::sim::certificate::Authority;
use crate::sim::client::dial::Target;
use crate::sim::head::{self, Head};
use crate::sim::stream::Stream;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::BytesMut;
use serde_json::{Value, json};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const AUDIENCE: &str = "api://media-edge";

/// An issuer under test and what is needed to dial it.
struct Stage {
    address: SocketAddr,
    provider: Arc<Provider>,
    roots: Option<String>,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

/// One answer, with a body whose framing was undone.
struct Answer {
    head: Head,
    body: Vec<u8>,
}

impl Stage {
    async fn plain() -> Self {
        Self::with(Options::loopback(), None).await
    }

    async fn tls() -> Self {
        let authority = Authority::new("stage");
        let options = Options {
            identity: Some(authority.issue(&["localhost"]).unwrap()),
            ..Options::loopback()
        };
        Self::with(options, Some(authority.pem())).await
    }

    async fn with(options: Options, roots: Option<String>) -> Self {
        let issuer = Issuer::bind(options).await.unwrap();
        let shutdown = CancellationToken::new();
        Self {
            address: issuer.address(),
            provider: issuer.provider(),
            roots,
            served: tokio::spawn(issuer.serve(shutdown.clone())),
            shutdown,
        }
    }

    async fn dial(&self) -> Stream {
        let target = Target::parse(&self.provider.base()).unwrap();
        let dialled = soon(target.connect(self.roots.as_deref())).await;
        dialled.unwrap().stream
    }

    /// Sends these bytes on a connection of their own.
    async fn send(&self, bytes: &[u8]) -> Stream {
        let mut stream = self.dial().await;
        soon(stream.write_all(bytes)).await.unwrap();
        soon(stream.flush()).await.unwrap();
        stream
    }

    /// What comes back until the issuer ends the connection.
    async fn ask(&self, bytes: &[u8]) -> Answer {
        Answer::last(&mut self.send(bytes).await).await
    }

    async fn get(&self, target: &str) -> Answer {
        self.ask(get(target).as_bytes()).await
    }

    async fn end(self) {
        self.shutdown.cancel();
        soon(self.served).await.unwrap();
    }
}

impl Answer {
    /// The answer that the connection ends with.
    async fn last(stream: &mut Stream) -> Self {
        let mut buffer = BytesMut::new();
        let head = soon(head::read(stream, &mut buffer)).await.unwrap();
        let head = head::parse(&head).unwrap();
        let mut body = buffer.to_vec();
        soon(stream.read_to_end(&mut body)).await.unwrap();
        if head.says("transfer-encoding", "chunked") {
            body = unchunked(&body);
        } else if let Some(length) = head.one("content-length") {
            assert_eq!(length, body.len().to_string());
        }
        Self { head, body }
    }

    fn status(&self) -> u16 {
        let start = self.head.start.strip_prefix("HTTP/1.1 ").unwrap();
        start[..3].parse().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
        if size == 0 {
            assert_eq!(rest, b"");
            return body;
        }
    }
}

/// Header and claims of a token, its signing input and its signature.
struct Token {
    header: Value,
    claims: Value,
    input: Vec<u8>,
    signature: Vec<u8>,
}

impl Token {
    fn read(token: &str) -> Self {
        let parts: Vec<Vec<u8>> = token
            .split('.')
            .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap())
            .collect();
        let [header, claims, signature] = &parts[..] else {
            panic!("{} parts", parts.len());
        };
        Self {
            header: serde_json::from_slice(header).unwrap(),
            claims: serde_json::from_slice(claims).unwrap(),
            input: token[..token.rfind('.').unwrap()].into(),
            signature: signature.clone(),
        }
    }
}

/// The published key of this name.
fn jwk(keys: &Value, kid: &str) -> Option<Value> {
    let keys = keys["keys"].as_array().unwrap();
    keys.iter().find(|key| key["kid"] == kid).cloned()
}

fn kids(keys: &Value) -> Vec<String> {
    let keys = keys["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

/// A plain connection on which these bytes were already sent, without help from the runtime: under
/// paused time nothing may be waited for before the issuer itself waits.
fn connected(stage: &Stage, bytes: &[u8]) -> TcpStream {
    let mut tcp = std::net::TcpStream::connect(stage.address).unwrap();
    std::io::Write::write_all(&mut tcp, bytes).unwrap();
    tcp.set_nonblocking(true).unwrap();
    TcpStream::from_std(tcp).unwrap()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future)
        .await
        .expect("it came within the test's deadline")
}
