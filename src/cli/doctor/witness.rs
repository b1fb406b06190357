//! Asks the admin listener of this machine's edge what it saw.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use serde_json::Value;

use crate::listener::witness::WITNESS;
use crate::secret::{Digest, Secret};
use crate::upstream::Host;
use crate::upstream::fetch::{Asking, Document, Failed};

/// An admin listener.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) address: SocketAddr,
    /// Where it speaks TLS: the chain whose first certificate it must show.
    pub(super) chain: Option<String>,
    /// What it is shown if it wants something.
    pub(super) token: Option<Secret>,
}

/// What the edge saw of a request.
pub(super) struct Told(Value);

impl Told {
    pub(super) fn has(&self, name: &str, value: &[u8]) -> bool {
        self.0["values"][name] == Digest::of_bytes(value).to_hex().as_str()
    }

    pub(super) fn has_query(&self, query: &str) -> bool {
        self.0["query"] == Digest::of(query).to_hex().as_str()
    }
}

impl Admin {
    /// A word for a request that is then kept waiting so long; the error says why there is none.
    pub(super) async fn word(&self, hold: Duration) -> Result<String, String> {
        let target = format!("/witness?hold={}", hold.as_secs());
        let said = self.ask(Method::POST, &target).await.map_err(|error| {
            let address = self.address;
            match error {
                Some(Failed::Status(status)) => format!("the admin listener at {address} says {status}"),
                _ => format!(
                    "no edge runs on this machine with its admin listener at {address}, so nobody here \
                     sees what arrives"
                ),
            }
        })?;
        let word = said["word"].as_str().map(str::to_owned);
        word.ok_or("the admin listener gives no word: it is another version".to_owned())
    }

    /// What became of the request; `None`: it has not come.
    pub(super) async fn told(&self, word: &str) -> Option<Told> {
        let said = self
            .ask(Method::GET, &format!("/witness/{word}"))
            .await
            .ok()?;
        let seen = said["seen"].clone();
        (!seen.is_null()).then_some(Told(seen))
    }

    /// Whether an edge answers here.
    pub(super) async fn answers(&self) -> bool {
        match self.document("/healthz") {
            Some(document) => document.fetch().await.is_ok_and(|body| body == "ok\n"),
            None => false,
        }
    }

    fn document(&self, path: &str) -> Option<Document> {
        let (ip, port) = (self.address.ip(), self.address.port());
        let host = match &self.chain {
            None => Host::new(&ip.to_string(), port, None),
            Some(chain) => Host::own(self.address, chain),
        };
        Document::of(host.ok()?, path)
    }

    async fn ask(&self, method: Method, target: &str) -> Result<Value, Option<Failed>> {
        let document = self.document(target).ok_or(None)?;
        let bearer = |token: &Secret| HeaderValue::try_from(format!("Bearer {}", token.expose()));
        // In plain text it goes no further than this machine.
        let is_safe = self.chain.is_some() || self.address.ip().is_loopback();
        let token = self.token.as_ref().filter(|_| is_safe);
        let bearer = token.and_then(|token| bearer(token).ok());
        let headers = bearer.map(|mut bearer| {
            bearer.set_sensitive(true);
            (header::AUTHORIZATION, bearer)
        });
        let asking = Asking {
            method,
            headers: headers.into_iter().collect(),
            ..Asking::default()
        };
        let body = document.ask(asking).await.map_err(Some)?;
        serde_json::from_slice(&body).map_err(|_| None)
    }
}

/// The word in its header.
pub(super) fn header(word: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((WITNESS, HeaderValue::try_from(word).ok()?))
}
