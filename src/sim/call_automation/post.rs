//! One HTTP request to whoever is told something: callbacks and Event Grid's deliveries.
//!
//! Owns writing it and reading the status. Refuses to know what is told.

use crate::sim::client::{Error, dial};
use crate::sim::head;
use bytes::BytesMut;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// How long all of it may take. Event Grid waits for 30 s.
const DEADLINE: Duration = Duration::from_secs(30);

/// What is sent.
pub(super) struct Letter<'a> {
    pub(super) method: &'static str,
    pub(super) url: &'a str,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: &'a [u8],
}

/// What was answered.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: head::Head,
    pub(super) body: Vec<u8>,
}

/// Sends it over a connection of its own; over TLS the peer is verified against `roots_pem` alone.
pub(super) async fn send(letter: &Letter<'_>, roots_pem: Option<&str>) -> Result<Reply, Error> {
    let sent = timeout(DEADLINE, exchange(letter, roots_pem)).await;
    sent.map_err(|_| Error::Late("answer"))?
}

async fn exchange(letter: &Letter<'_>, roots_pem: Option<&str>) -> Result<Reply, Error> {
    let target = dial::Target::parse(letter.url)?;
    let mut stream = target.connect(roots_pem).await?.stream;
    let mut text = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
        letter.method, target.path, target.authority
    );
    if letter.method == "POST" {
        text.push_str(&format!("Content-Length: {}\r\n", letter.body.len()));
    }
    for (name, value) in &letter.headers {
        if name.contains(['\r', '\n', ':']) || value.contains(['\r', '\n']) {
            return Err(Error::Unusable("header"));
        }
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await?;
    stream.write_all(letter.body).await?;
    stream.flush().await?;
    let mut buffer = BytesMut::new();
    let unlike = |error| match error {
        head::Error::Io(error) => Error::Io(error),
        head::Error::TooLong | head::Error::Malformed => Error::Handshake,
    };
    let head = head::read(&mut stream, &mut buffer).await.map_err(unlike)?;
    let head = head::parse(&head).map_err(unlike)?;
    let mut words = head.start.splitn(3, ' ');
    let (Some("HTTP/1.1"), Some(status)) = (words.next(), words.next()) else {
        return Err(Error::Handshake);
    };
    let status = status.parse().map_err(|_| Error::Handshake)?;
    let body = dial::body(&mut stream, buffer, &head).await;
    Ok(Reply { status, head, body })
}
