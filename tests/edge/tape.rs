//! An upstream that writes down every byte it gets.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tonegate::sim::frame::{self, Decoder, Sender};
use tonegate::sim::head;

use crate::harness::{Wish, World, within};

/// An upstream that agrees to everything and keeps every byte until its peer ends.
pub struct Tape {
    port: u16,
    heard: mpsc::UnboundedReceiver<Vec<u8>>,
    answers: Arc<Semaphore>,
}

impl Tape {
    pub async fn start() -> Tape {
        Tape::saying(Vec::new()).await
    }

    /// It says these pieces after its `101`, each in a write of its own, and then listens.
    pub async fn saying(pieces: Vec<Vec<u8>>) -> Tape {
        Tape::answering(Semaphore::MAX_PERMITS, pieces).await
    }

    /// It answers nobody until [`Tape::answer`].
    pub async fn reluctant() -> Tape {
        Tape::answering(0, Vec::new()).await
    }

    /// Lets one connection have its `101`.
    pub fn answer(&self) {
        self.answers.add_permits(1);
    }

    async fn answering(answers: usize, pieces: Vec<Vec<u8>>) -> Tape {
        let answers = Arc::new(Semaphore::new(answers));
        let permits = answers.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (said, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let (said, pieces) = (said.clone(), pieces.clone());
                let permits = permits.clone();
                tcp.set_nodelay(true).unwrap();
                tokio::spawn(async move {
                    let mut buffer = BytesMut::new();
                    let request = head::read(&mut tcp, &mut buffer).await.unwrap();
                    let request = head::parse(&request).unwrap();
                    let accept =
                        derive_accept_key(request.one("sec-websocket-key").unwrap().as_bytes());
                    let answer = format!(
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                         Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
                    );
                    let permit = permits.acquire_owned().await.unwrap();
                    tcp.write_all(answer.as_bytes()).await.unwrap();
                    for piece in pieces {
                        let _ = tcp.write_all(&piece).await;
                        tokio::task::yield_now().await;
                    }
                    let mut bytes = buffer.to_vec();
                    while !ends(&bytes) && tcp.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {}
                    // Its answer to a close frame is its end; what comes after one is kept too.
                    let _ = tcp.shutdown().await;
                    let _ = tcp.read_to_end(&mut bytes).await;
                    let _ = said.send(bytes);
                    drop(permit);
                });
            }
        });
        Tape {
            port,
            heard,
            answers,
        }
    }

    /// An edge before it.
    pub async fn world(&self) -> World {
        self.world_with(Wish::default()).await
    }

    pub async fn world_with(&self, wish: Wish) -> World {
        World::with(Wish {
            tls: false,
            // Each byte goes on at once, so that what is on the tape is what may cross.
            route: "lock_models = false".to_owned(),
            upstreams_first: vec!["tape"],
            more: format!(
                "[upstreams.tape]\nkind = \"voice-live\"\nurl = \"ws://localhost:{}\"\n\
                 credential = {{ key = \"k\" }}\n",
                self.port
            ),
            ..wish
        })
        .await
    }

    /// Everything that the connection that ends next received.
    pub async fn bytes(&mut self) -> Vec<u8> {
        within("the tape", self.heard.recv()).await.unwrap()
    }

    /// The same without the edge's own close frame at its end, whose code it checks.
    pub async fn before_close(&mut self, code: u16) -> Vec<u8> {
        let bytes = self.bytes().await;
        let mut decoder = Decoder::new(Sender::Client, BytesMut::from(&bytes[..]));
        let mut left = bytes.len();
        let close = loop {
            left = decoder.buffer().len().min(left);
            match decoder.next_frame().unwrap() {
                Some(frame) if frame.opcode == frame::CLOSE => break frame,
                Some(_) => {}
                None => panic!("no close frame: {bytes:?}"),
            }
        };
        assert_eq!(close.close_parts().0, Some(code));
        assert!(decoder.buffer().is_empty(), "bytes after the close frame");
        bytes[..bytes.len() - left].to_vec()
    }
}

/// Whether a client's frames hold a close frame.
fn ends(bytes: &[u8]) -> bool {
    let mut decoder = Decoder::new(Sender::Client, BytesMut::from(bytes));
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) if frame.opcode == frame::CLOSE => return true,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return false,
        }
    }
}
