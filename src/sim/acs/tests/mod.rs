//! A small strict edge for the caller to call, and what it sees.

mod ends;
mod sends;
mod takes;

use super::{Call, Dial, Options, Pace};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use serde_json::Value;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the caller dials.
pub(crate) struct Edge {
    listener: TcpListener,
    pub(crate) url: String,
}

/// A caller that got its 101.
pub(crate) struct Accepted {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) request: Request,
}

impl Edge {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            listener,
            url: format!("ws://{address}/acs/media/7f0c?cid=ab%2B12&sig=x"),
        }
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    pub(crate) async fn accept(&self) -> Accepted {
        let tcp = self.tcp().await;
        let mut seen = None;
        #[allow(
            clippy::result_large_err,
            clippy::unnecessary_wraps,
            reason = "the library's signature"
        )]
        let look = |request: &Request, response: Response| {
            seen = Some(request.clone());
            Ok(response)
        };
        let socket = accept_hdr_async(tcp, look).await.unwrap();
        Accepted {
            socket,
            request: seen.unwrap(),
        }
    }
}

impl Accepted {
    /// The next message of the caller, which must be text with JSON. None at its close.
    pub(crate) async fn message(&mut self) -> Option<Value> {
        match within(self.socket.next()).await {
            Some(Ok(Message::Text(text))) => Some(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(_))) => None,
            other => panic!("{other:?}"),
        }
    }

    /// All messages until the caller's close, which is answered.
    pub(crate) async fn messages(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await {
            messages.push(message);
        }
        // Reading on is what answers the close.
        assert!(within(self.socket.next()).await.is_none());
        self.socket.get_mut().shutdown().await.unwrap();
        messages
    }
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("it takes too long")
}

fn dial(edge: &Edge) -> Dial {
    Dial {
        url: edge.url.clone(),
        token: Some("a.b.c".into()),
        connection_id: Some("08002580-0000-0000-0000-000000000001".into()),
        correlation_id: Some("998a5fa2-0000-0000-0000-000000000002".into()),
        ..Dial::default()
    }
}

fn at_once() -> Options {
    Options {
        pace: Pace::AtOnce,
        ..Options::default()
    }
}

/// A call that stands, and the edge's end of it.
async fn stands(options: Options) -> (Call, Accepted) {
    let edge = Edge::bind().await;
    let dial = dial(&edge);
    let (call, accepted) = tokio::join!(Call::dial(&dial, options), edge.accept());
    (call.unwrap(), accepted)
}

/// The samples of an `AudioData` message.
fn samples(message: &Value) -> Vec<i16> {
    let data = message["audioData"]["data"].as_str().unwrap();
    let bytes = STANDARD.decode(data).unwrap();
    let pairs = bytes.chunks_exact(2);
    pairs
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}
