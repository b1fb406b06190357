//! Tickets through real sockets: in every place that may hold one, once over all replicas, handed out
//! by the edge itself, observed, and signed by other people's libraries.

mod calls;
mod carriers;
mod desk;
mod libraries;
mod observed;
mod once;
mod told;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tonegate::sim::stream::Stream;

use crate::harness::{Caller, Refused, Wish, World, read_answer, request, text};

pub const AUDIENCE: &str = "wss://edge.example.com";
pub const SECRET: &str = "a secret of tickets, and it is long enough";
pub const NEXT: &str = "the next secret of tickets, long enough too";
pub const PAGE: &str = "https://app.example.com";
const TARGET: &str = "/ws?model=sim-echo";

/// `[tickets]` with two keys of one backend, and one of the edge's own.
pub fn tables() -> String {
    format!(
        "[tickets]\naudience = \"{AUDIENCE}\"\n\
         [[tickets.keys]]\nid = \"one\"\nissuer = \"backend\"\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\n\
         [[tickets.keys]]\nid = \"next\"\nissuer = \"backend\"\nalgorithm = \"HS256\"\nsecret = \"{NEXT}\"\n\
         [[tickets.keys]]\nid = \"edge\"\nalgorithm = \"HS256\"\nown = true\n\
         secret = \"the edge's own secret, which nobody else has\"\n"
    )
}

/// A world whose route admits tickets and keys.
pub fn wish() -> Wish {
    Wish {
        admit: "\"ticket\", \"key\"".to_owned(),
        accept: "\"header\", \"query\", \"subprotocol\"".to_owned(),
        more: tables(),
        ..Wish::default()
    }
}

pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// What a good ticket says; each has a name of its own.
pub fn claims() -> Value {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    json!({"aud": AUDIENCE, "iat": now(), "exp": now() + 30, "jti": format!("t-{count}")})
}

/// Signed by hand, as any library would.
pub fn sign(kid: &str, secret: &str, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": kid});
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

pub fn ticket() -> String {
    sign("one", SECRET, &claims())
}

pub fn with(name: &str, value: impl Into<Value>) -> String {
    let mut claims = claims();
    claims[name] = value.into();
    sign("one", SECRET, &claims)
}

/// An upgrade request to one of the replicas, without TLS.
pub async fn ask_at(port: u16, target: &str, headers: &[(&str, &str)]) -> Result<Caller, Refused> {
    let mut io = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    io.write_all(request(target, headers).as_bytes())
        .await
        .unwrap();
    read_answer(Stream::Plain(io)).await
}

/// The ticket in the query of the usual target.
pub fn target(ticket: &str) -> String {
    format!("{TARGET}&ticket={ticket}")
}

/// It is a session, and ends.
pub async fn speaks(mut caller: Caller) {
    caller.send(text("in")).await;
    assert_eq!(caller.next().await, Some(text("in")));
    caller.close(1000, "").await;
    caller.closed().await;
}

/// How often this came of tickets of the usual route.
pub fn counted(world: &World, result: &str) -> u64 {
    world.count(&format!(
        "tonegate_tickets_total{{route=\"browser\",result=\"{result}\"}}"
    ))
}
