//! The service over real sockets, asked by a client that signs by hand. Nothing sleeps; the callers
//! of each test set no clock of their own.

mod repeated;
mod strict;

use super::desk::Desk;
use super::grid::Caller;
use super::manner::{Begins, Manner};
use super::post::{self, Letter, Reply};
use super::{CallAutomation, Options};
use crate::sim::issuer::{self, Issuer};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

const KEY: &str = "dGhlIGFjY2VzcyBrZXkgb2YgYSBzaW11bGF0ZWQgcmVzb3VyY2U=";
const ANSWER: &str = "/calling/callConnections:answer?api-version=2026-03-12";

/// A service under test.
struct Stage {
    desk: Arc<Desk>,
    stop: CancellationToken,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A request, and how it is spoiled.
#[derive(Clone)]
struct Asking {
    method: &'static str,
    target: String,
    body: String,
    key: &'static str,
    /// The date, where it is not now's.
    date: Option<String>,
    /// The host in the string to sign, where it is not the one that is asked.
    host: Option<String>,
    /// What is hashed, where it is not the body.
    hashed: Option<String>,
    headers: Vec<(&'static str, String)>,
}

impl Asking {
    fn new(method: &'static str, target: &str, body: &Value) -> Self {
        let none = body.is_null();
        Self {
            method,
            target: target.to_owned(),
            body: if none {
                String::new()
            } else {
                body.to_string()
            },
            key: KEY,
            date: None,
            host: None,
            hashed: None,
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl Stage {
    async fn open() -> Self {
        let issuer = Issuer::bind(issuer::Options::loopback()).await.unwrap();
        let options = Options::loopback(issuer.provider(), KEY);
        let service = CallAutomation::bind(options).await.unwrap();
        let desk = service.desk();
        let stop = CancellationToken::new();
        tokio::spawn(service.serve(stop.clone()));
        // No call of these tests comes to life: they are about requests.
        desk.set(Manner {
            begins: Begins::After(Duration::from_secs(3600)),
            ..Manner::default()
        });
        Self { desk, stop }
    }

    /// The body that answers a call which rings.
    fn answer(&self) -> Value {
        let rings = self.desk.incoming(&Caller::default());
        json!({"incomingCallContext": rings.context, "callbackUri": "https://edge.example.org/c"})
    }

    async fn ask(&self, asking: &Asking) -> Result<Reply, crate::sim::client::Error> {
        let host = format!("localhost:{}", self.desk.port);
        let date = asking.date.clone().unwrap_or_else(|| date(0));
        let hashed = asking.hashed.as_ref().unwrap_or(&asking.body);
        let hash = STANDARD.encode(digest::digest(&digest::SHA256, hashed.as_bytes()));
        let signed = asking.host.as_ref().unwrap_or(&host);
        let text = format!(
            "{}\n{}\n{date};{signed};{hash}",
            asking.method, asking.target
        );
        let key = STANDARD.decode(asking.key).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
        let parameters =
            format!("SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}");
        let mut headers = vec![
            ("x-ms-date".to_owned(), date),
            ("x-ms-content-sha256".to_owned(), hash),
            (
                "Authorization".to_owned(),
                format!("HMAC-SHA256 {parameters}"),
            ),
        ];
        if !asking.body.is_empty() {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        let more = asking.headers.iter();
        headers.extend(more.map(|(name, value)| ((*name).to_owned(), value.clone())));
        let letter = Letter {
            method: asking.method,
            url: &format!("{}{}", self.desk.endpoint(), asking.target),
            headers,
            body: asking.body.as_bytes(),
        };
        post::send(&letter, None).await
    }

    /// The status and the body of an answer.
    async fn told(&self, asking: &Asking) -> (u16, Value) {
        let reply = self.ask(asking).await.unwrap();
        let body = serde_json::from_slice(&reply.body).unwrap_or_default();
        (reply.status, body)
    }
}

/// Now and so many seconds, as a header has it. The library that serves HTTP writes such dates too,
/// but this is a third hand.
fn date(seconds: i64) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let at = now.saturating_add_signed(seconds);
    let text = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(at));
    let text = text.to_string();
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = 3 * (text[5..7].parse::<usize>().unwrap() - 1);
    let days = "ThuFriSatSunMonTueWed";
    let day = 3 * (at / 86_400 % 7) as usize;
    format!(
        "{}, {} {} {} {} GMT",
        &days[day..day + 3],
        &text[8..10],
        &months[month..month + 3],
        &text[..4],
        &text[11..19]
    )
}
