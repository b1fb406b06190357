//! Orders a token from a simulated issuer, for the command line.
//!
//! Owns one POST and the judgement of its answer. Refuses to know what the token says.

use crate::sim::client::{self, dial};
use crate::sim::head;
use bytes::BytesMut;
use serde_json::Value;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// How long all of it may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The issuer was not reached.
    #[error(transparent)]
    Dial(#[from] client::Error),
    /// The issuer said no. Its words are for whoever ordered; `Display` does not print them.
    #[error("refused with HTTP status {status}")]
    Refused {
        /// The status code.
        status: u16,
        /// What it says is wrong.
        sentence: String,
    },
    /// What answered is no simulated issuer.
    #[error("the answer is not a simulated issuer's")]
    Unintelligible,
}

/// Orders a token from the issuer at `base`. Over TLS it is verified against `roots_pem` alone.
pub async fn mint(base: &str, order: &Value, roots_pem: Option<&str>) -> Result<String, Error> {
    let ordered = timeout(DEADLINE, post(base, order, roots_pem)).await;
    ordered.map_err(|_| client::Error::Late("token"))?
}

async fn post(base: &str, order: &Value, roots_pem: Option<&str>) -> Result<String, Error> {
    let target = dial::Target::parse(&format!("{}/mint", base.trim_end_matches('/')))?;
    let mut stream = target.connect(roots_pem).await?.stream;
    let order = order.to_string();
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{order}",
        target.path,
        target.authority,
        order.len(),
    );
    let lost = |error| Error::Dial(client::Error::Io(error));
    stream.write_all(request.as_bytes()).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let mut buffer = BytesMut::new();
    let unlike = |error| match error {
        head::Error::Io(error) => lost(error),
        head::Error::TooLong | head::Error::Malformed => Error::Unintelligible,
    };
    let answer = head::read(&mut stream, &mut buffer).await.map_err(unlike)?;
    let answer = head::parse(&answer).map_err(unlike)?;
    let mut words = answer.start.splitn(3, ' ');
    let (Some("HTTP/1.1"), Some(status)) = (words.next(), words.next()) else {
        return Err(Error::Unintelligible);
    };
    let status: u16 = status.parse().map_err(|_| Error::Unintelligible)?;
    let body = dial::body(&mut stream, buffer, &answer).await;
    let body: Value = serde_json::from_slice(&body).map_err(|_| Error::Unintelligible)?;
    let member = |name: &str| body[name].as_str().map(str::to_owned);
    match status {
        200 => member("token").ok_or(Error::Unintelligible),
        status => Err(Error::Refused {
            status,
            sentence: member("error").ok_or(Error::Unintelligible)?,
        }),
    }
}
