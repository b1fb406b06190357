//! The simulators against each other over real sockets: each scenario has its observable effect,
//! each fault of a client is seen, and every task ends. Nothing sleeps; everything has a deadline.

mod conversation;
mod request;
mod scenario;

use super::certificate::{Authority, Identity};
use super::client::turn::Pace;
use super::client::{Client, Error, Refused, Timeline};
use super::frame::{self, Broken, Decoder, Frame, Sender};
use super::signal;
use super::stream::Stream;
use super::voice_live::connection::{Connection, Ending, Violation};
use super::voice_live::record::Record;
use super::voice_live::scenario::Scenario;
use super::voice_live::{Options, VoiceLive};
use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;

const KEY: &str = "a-key-of-the-test";
const VERSION: &str = "api-version=2026-07-15";

/// A service under test and what is needed to dial it.
struct Stage {
    base: String,
    roots: Option<String>,
    record: Arc<Record>,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

impl Stage {
    async fn plain() -> Self {
        Self::with(Options::loopback()).await
    }

    async fn tls() -> Self {
        let authority = Authority::new("stage");
        let identity = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
        let mut stage = Self::with(Options {
            identity: Some(identity),
            api_key: Some(KEY.into()),
            ..Options::loopback()
        })
        .await;
        stage.roots = Some(authority.pem());
        stage
    }

    async fn with(options: Options) -> Self {
        let scheme = if options.identity.is_some() {
            "wss"
        } else {
            "ws"
        };
        let service = VoiceLive::bind(options).await.unwrap();
        let shutdown = CancellationToken::new();
        Self {
            base: format!("{scheme}://{}/voice-live/realtime", service.address()),
            roots: None,
            record: service.record(),
            served: tokio::spawn(service.serve(shutdown.clone())),
            shutdown,
        }
    }

    async fn dial(
        &self,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Client, Timeline), Error> {
        let url = format!("{}?{query}", self.base);
        soon(Client::connect(&url, headers, self.roots.as_deref())).await
    }

    async fn model(&self, model: &str) -> Result<(Client, Timeline), Error> {
        let query = format!("{VERSION}&model={model}");
        self.dial(&query, &[("api-key", KEY)]).await
    }

    async fn open(&self, model: &str) -> Client {
        self.model(model).await.unwrap().0
    }

    /// A raw stream after the 101 of this model, with what came behind the 101.
    async fn raw(&self, model: &str) -> Raw {
        let stream = self.open(model).await.into_socket().into_inner();
        Raw {
            stream,
            decoder: Decoder::new(Sender::Server, BytesMut::new()),
        }
    }

    async fn refused(&self, query: &str, headers: &[(&str, &str)]) -> Refused {
        match self.dial(query, headers).await {
            Err(Error::Refused(refused)) => *refused,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{query} was accepted"),
        }
    }

    /// The youngest connection, once it has ended.
    async fn ended(&self) -> Connection {
        let ended = |record: &Record| record.last().is_some_and(|last| last.ending.is_some());
        let closed = |record: &Record| record.totals().open == 0;
        soon(self.record.until(|record| ended(record) && closed(record))).await;
        self.record.last().unwrap()
    }

    async fn end(self) {
        self.shutdown.cancel();
        soon(self.served).await.unwrap();
        assert_eq!(self.record.totals().open, 0);
    }
}

/// Frames by hand, as a client.
struct Raw {
    stream: Stream,
    decoder: Decoder,
}

impl Raw {
    async fn send(&mut self, frames: &[Frame]) {
        let mut bytes = BytesMut::new();
        for frame in frames {
            frame.encode(Some([0x11, 0xa2, 0x33, 0xc4]), &mut bytes);
        }
        self.write(&bytes).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
        soon(self.stream.flush()).await.unwrap();
    }

    /// The next frame; `None` at the end of the stream.
    async fn next(&mut self) -> Result<Option<Frame>, Broken> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame));
            }
            match soon(self.stream.read_buf(self.decoder.buffer())).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Ok(None),
            }
        }
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future)
        .await
        .expect("it came within the test's deadline")
}
