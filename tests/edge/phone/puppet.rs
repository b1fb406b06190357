//! An upstream whose every word a test says: a plain WebSocket server, of the library and not of the
//! simulator. As a Voice Live it says what the simulator would not; as an orchestrator it is what an
//! operator might have written.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use super::world::Line;
use crate::harness::within;

/// It listens until it is dropped.
pub struct Puppet {
    address: SocketAddr,
    peers: mpsc::UnboundedReceiver<Peer>,
    answers: Arc<Semaphore>,
    dials: watch::Receiver<usize>,
}

/// One connection of the edge.
pub struct Peer {
    pub target: String,
    pub headers: Vec<(String, String)>,
    socket: WebSocketStream<TcpStream>,
}

impl Puppet {
    pub async fn start() -> Puppet {
        Puppet::answering(Semaphore::MAX_PERMITS).await
    }

    /// It answers nobody until [`Puppet::answer`].
    pub async fn reluctant() -> Puppet {
        Puppet::answering(0).await
    }

    async fn answering(permits: usize) -> Puppet {
        let answers = Arc::new(Semaphore::new(permits));
        let (dialled, dials) = watch::channel(0);
        let permits = answers.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (came, peers) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (came, permits) = (came.clone(), permits.clone());
                dialled.send_modify(|dials| *dials += 1);
                tokio::spawn(async move {
                    permits.acquire().await.unwrap().forget();
                    let (mut target, mut headers) = (String::new(), Vec::new());
                    #[allow(
                        clippy::result_large_err,
                        reason = "the library's callback is so; this one never refuses"
                    )]
                    let look = |request: &Request, response: Response| {
                        target = request.uri().to_string();
                        for (name, value) in request.headers() {
                            let value = value.to_str().unwrap().to_owned();
                            headers.push((name.to_string(), value));
                        }
                        Ok(response)
                    };
                    let socket = accept_hdr_async(tcp, look).await.unwrap();
                    let _ = came.send(Peer {
                        target,
                        headers,
                        socket,
                    });
                });
            }
        });
        Puppet {
            address,
            peers,
            answers,
            dials,
        }
    }

    /// Lets one connection have its `101`.
    pub fn answer(&self) {
        self.answers.add_permits(1);
    }

    /// Somebody has connected, and may wait for an answer.
    pub async fn dialled(&mut self) {
        let dialled = self.dials.wait_for(|dials| *dials > 0);
        within("a dial", dialled).await.unwrap();
    }

    /// A line of calls that it is the Voice Live of.
    pub fn voice_live(&self) -> Line {
        Line {
            upstream: "puppet",
            more: format!(
                "[upstreams.puppet]\nkind = \"voice-live\"\nurl = \"ws://{}\"\n\
                 credential = {{ key = \"k\" }}\n",
                self.address
            ),
            ..Line::default()
        }
    }

    /// A line of calls that it is the orchestrator of.
    pub fn orchestrator(&self) -> Line {
        Line {
            upstream: "puppet",
            more: format!(
                "[upstreams.puppet]\nkind = \"relay\"\nurl = \"ws://{}/calls\"\n\
                 credential = {{ none = true }}\nidentity_headers = true\n",
                self.address
            ),
            ..Line::default()
        }
    }

    /// The next connection.
    pub async fn next(&mut self) -> Peer {
        within("a dial", self.peers.recv()).await.unwrap()
    }

    /// Whether nobody has connected since.
    pub fn is_alone(&mut self) -> bool {
        self.peers.try_recv().is_err()
    }
}

impl Peer {
    pub fn header(&self, name: &str) -> Vec<&str> {
        let all = self.headers.iter();
        all.filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The next text message.
    pub async fn text(&mut self) -> String {
        within("a message for the upstream", async {
            loop {
                match self.socket.next().await.unwrap().unwrap() {
                    Message::Text(text) => return text.to_string(),
                    Message::Ping(_) | Message::Pong(_) => {}
                    other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => {
                        panic!("{other:?}")
                    }
                }
            }
        })
        .await
    }

    /// The next message as JSON.
    pub async fn event(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The close frame that comes, whatever comes before it.
    pub async fn closed(&mut self) -> (u16, String) {
        within("a close frame", async {
            loop {
                match self.socket.next().await.unwrap().unwrap() {
                    Message::Close(Some(close)) => {
                        return (close.code.into(), close.reason.to_string());
                    }
                    Message::Close(None) => return (1005, String::new()),
                    Message::Text(_)
                    | Message::Binary(_)
                    | Message::Ping(_)
                    | Message::Pong(_)
                    | Message::Frame(_) => {}
                }
            }
        })
        .await
    }

    pub async fn say(&mut self, text: &str) {
        let said = self.socket.send(Message::text(text));
        within("saying something", said).await.unwrap();
    }

    pub async fn say_binary(&mut self, bytes: &'static [u8]) {
        let said = self.socket.send(Message::Binary(Bytes::from_static(bytes)));
        within("saying something", said).await.unwrap();
    }

    pub async fn close(&mut self, code: u16, reason: &str) {
        let close = CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        };
        let closed = self.socket.close(Some(close));
        within("closing", closed).await.unwrap();
    }

    /// As Voice Live: a session is made and set up as it is asked to be; what was asked.
    pub async fn sets_up(&mut self) -> Value {
        self.say(r#"{"type":"session.created","session":{"id":"s"}}"#)
            .await;
        let update = self.event().await;
        assert_eq!(update["type"], "session.update");
        let updated = json!({"type": "session.updated", "session": update["session"]});
        self.say(&updated.to_string()).await;
        update
    }

    /// A piece of an answer.
    pub async fn delta(&mut self, response: &str, base64: &str) {
        let delta = json!({
            "type": "response.audio.delta", "response_id": response, "item_id": "i",
            "output_index": 0, "content_index": 0, "delta": base64,
        });
        self.say(&delta.to_string()).await;
    }
}
