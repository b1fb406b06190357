//! Two edges on one Redis, people with tokens, and an operator.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonegate::app::Edge;
use tonegate::config::Settings;
use tonegate::ids::{EntraId, SessionId, random_guid};

use crate::harness::{Caller, Refused, Wish, text, within};
use crate::phone::server::Server;
use crate::tokens::{AUDIENCE, Issued, TENANT};

/// What the issue promises: no session goes on for longer that was taken back.
pub const SOON: Duration = Duration::from_secs(2);
pub const ECHO: &str = "/ws?model=sim-echo";

/// Somebody with a token.
pub struct Person {
    pub subject: String,
    pub bearer: String,
}

/// The world of one test.
pub struct Pair {
    pub redis: Server,
    pub issued: Issued,
    other: Option<Edge>,
    ports: [u16; 2],
}

impl Pair {
    pub async fn usual() -> Pair {
        Pair::with(Server::plain(&[]), Wish::default(), "").await
    }

    /// `store` are lines of its table.
    pub async fn with(redis: Server, mut wish: Wish, store: &str) -> Pair {
        let table = format!(
            "[store]\nurl = \"redis://127.0.0.1:{}\"\n{store}\n",
            redis.port
        );
        wish.more.push_str(&table);
        let issued = Issued::with(wish, AUDIENCE, "").await;
        let mut pair = Pair {
            ports: [issued.world.port, 0],
            redis,
            issued,
            other: None,
        };
        let other = pair.another();
        pair.ports[1] = other.public().port();
        pair.other = Some(other);
        for edge in pair.edges() {
            ready(edge.admin()).await;
        }
        pair
    }

    /// One more edge of the same settings.
    pub fn another(&self) -> Edge {
        let settings = self.issued.world.folder.join("edge.toml");
        Edge::start(&Settings::read(&[settings]).unwrap()).unwrap()
    }

    pub fn edges(&self) -> [&Edge; 2] {
        [self.issued.world.edge(), self.other.as_ref().unwrap()]
    }

    /// Somebody of the usual tenant whom nobody has seen.
    pub fn person(&self) -> Person {
        let id = EntraId::new(&random_guid()).unwrap();
        let token = self
            .issued
            .token(|mint| mint.claims["oid"] = json!(id.as_str()));
        Person {
            subject: format!("users:{TENANT}/{id}"),
            bearer: format!("Bearer {token}"),
        }
    }

    /// Asks one of the edges.
    pub async fn asks(&mut self, edge: usize, header: (&str, &str)) -> Result<Caller, Refused> {
        self.issued.world.port = self.ports[edge];
        self.issued.world.ask(ECHO, &[header]).await
    }

    pub async fn enters(&mut self, edge: usize, header: (&str, &str)) -> Caller {
        let mut caller = self.asks(edge, header).await.unwrap();
        is_served(&mut caller).await;
        caller
    }

    pub async fn is_refused(&mut self, edge: usize, header: (&str, &str), status: u16, why: &str) {
        let refused = self.asks(edge, header).await.err().expect("let in");
        refused.is(status, why);
    }

    /// The only session of somebody at an edge.
    pub fn session(&self, edge: usize, subject: &str) -> SessionId {
        let registry = self.edges()[edge].registry();
        let all = registry.list(|about| about.holder.subject.to_string() == subject);
        assert_eq!(all.len(), 1);
        all[0].0
    }

    /// An operator asks one of the edges.
    pub async fn orders(&self, edge: usize, path: &str, order: &Value) -> (u16, Value) {
        post(self.edges()[edge].admin(), path, order).await
    }

    /// Both have heard as much as there is.
    pub async fn read(&self) {
        let asked = Instant::now();
        for edge in self.edges() {
            within("what was taken back", has_read(edge, asked)).await;
        }
    }
}

/// Waits until an edge has read all of the log with a reading that began after `asked`. It shows after
/// each round how long ago its last good reading began, also if this round's was none.
async fn has_read(edge: &Edge, asked: Instant) {
    let series = "tonegate_revocations_age_seconds ";
    let age = || {
        let page = edge.metrics_page();
        let line = page.lines().find_map(|line| line.strip_prefix(series));
        Duration::from_secs_f64(line.unwrap().parse().unwrap())
    };
    let mut seen = Instant::now();
    let mut shown = age();
    loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let looked = Instant::now();
        let now = age();
        // It was shown after `seen`, where another one still was; so long before that the reading began.
        if now != shown && now < seen.duration_since(asked) {
            return;
        }
        (shown, seen) = (now, looked);
    }
}

pub async fn is_served(caller: &mut Caller) {
    caller.send(text("still here")).await;
    assert_eq!(caller.next().await, Some(text("still here")));
}

/// It was taken back a moment ago.
pub async fn is_closed(mut caller: Caller, since: Instant) {
    let closed = caller.closed().await;
    let after = since.elapsed();
    assert_eq!(closed, (Some(4441), "revoked".to_owned()));
    assert!(after < SOON, "{after:?}");
}

pub async fn ready(admin: SocketAddr) {
    within("readiness", async {
        while crate::metrics::get(admin, "/readyz")
            .await
            .is_none_or(|(status, _)| status != 200)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

pub async fn post(admin: SocketAddr, path: &str, body: &Value) -> (u16, Value) {
    let (status, text) = send(admin, "POST", path, "application/json", &body.to_string()).await;
    (status, serde_json::from_str(&text).expect(&text))
}

pub async fn send(
    admin: SocketAddr,
    method: &str,
    path: &str,
    kind: &str,
    body: &str,
) -> (u16, String) {
    let mut io = TcpStream::connect(admin).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    io.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = io.read_to_string(&mut answer);
    within("the admin's answer", read).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}
