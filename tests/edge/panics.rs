//! A panic of the edge ends one session as `internal`, and nobody else notices (the log of this process
//! panics where a test wants it: `heard`).

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Caller, KEY, Wish, World, ended, text, within};
use crate::heard::{self, WORDS, trap};
use crate::tokens::{AUDIENCE, Issued, TENANT};

/// A world with one worker, so that whoever goes on does so on the thread that has panicked.
async fn world(wish: Wish) -> World {
    heard::listen();
    World::with(Wish { workers: 1, ..wish }).await
}

async fn panics(world: &World, what: &str, times: u64) {
    world
        .metrics_say(&format!(
            "tonegate_panics_total{{where=\"{what}\"}} {times}"
        ))
        .await;
}

async fn goes_on(neighbour: &mut Caller) {
    for round in 0..20 {
        let said = text(&format!("round {round}"));
        neighbour.send(said.clone()).await;
        assert_eq!(neighbour.next().await, Some(said));
    }
}

const INTERNAL: (Option<u16>, &str) = (Some(1011), "internal");

fn as_internal(close: &(Option<u16>, String)) -> bool {
    (close.0, close.1.as_str()) == INTERNAL
}

/// Both sides of the latest session are told.
async fn both_are_told(world: &World, mut caller: Caller) {
    assert!(as_internal(&caller.closed().await));
    let seen = world
        .upstream_saw(|seen| seen.close_received.is_some())
        .await;
    assert!(as_internal(&seen.close_received.unwrap()));
}

/// A world whose key has this name: the lines of its log are told from those of others by it.
async fn world_of(key: &str, mut wish: Wish) -> World {
    let lines = "[[routes]]\nname = \"named\"\npaths = [\"/named\"]\nkind = \"voice-live\"\n\
        admit = [\"key\"]\nrefuse = \"close\"\nmodels = [\"sim-echo\"]\nupstreams = [\"voice\"]\n";
    let digest = tonegate::secret::Digest::of(key).to_hex();
    wish.more += &format!("[[keys]]\nname = \"{key}\"\nsha256 = \"{digest}\"\n{lines}");
    world(wish).await
}

async fn call_as(world: &World, key: &str) -> Caller {
    let asked = world.ask("/ws?model=sim-echo", &[("api-key", key)]).await;
    asked.ok().unwrap()
}

#[tokio::test]
async fn b16_a_session_that_panics_at_its_start_is_told_to_both_sides_as_internal() {
    let key = "starts-badly";
    let world = world_of(key, Wish::default()).await;
    let mut neighbour = world.call("sim-echo").await;
    trap("session started", ("subject", key), 1);
    let caller = call_as(&world, key).await;
    both_are_told(&world, caller).await;
    panics(&world, "session", 1).await;
    world.metrics_say(&ended("edge", "internal")).await;
    goes_on(&mut neighbour).await;
    neighbour.close(1000, "").await;
    neighbour.closed().await;
    world.settles().await;
    world.still_serves().await;
}

#[tokio::test]
async fn b16_a_session_that_panics_in_its_midst_is_told_behind_what_it_had_sent() {
    let key = "goes-badly";
    let wish = Wish {
        upstream: "session_cap = \"3s\"\nsession_margin = \"2s\"\nsession_notice = \"100ms\""
            .to_owned(),
        limits: "sessions = 2".to_owned(),
        ..Wish::default()
    };
    let world = world_of(key, wish).await;
    let mut caller = call_as(&world, key).await;
    let session = caller.head.one("x-tonegate-session").unwrap().to_owned();
    trap(
        "session near its upstream's longest",
        ("session", &session),
        1,
    );
    for round in 0..5 {
        let said = text(&format!("round {round}"));
        caller.send(said.clone()).await;
        assert_eq!(caller.next().await, Some(said));
    }
    both_are_told(&world, caller).await;
    panics(&world, "session", 1).await;
    world.metrics_say(&ended("edge", "internal")).await;
    world.settles().await;
    // Its place is free again.
    let (one, other) = (world.call("sim-echo").await, world.call("sim-echo").await);
    drop((one, other));
    world.settles().await;
}

#[tokio::test]
async fn b16_a_session_that_panics_at_its_end_has_given_everything_back() {
    let key = "ends-badly";
    let world = world_of(key, Wish::default()).await;
    let mut caller = call_as(&world, key).await;
    let session = caller.head.one("x-tonegate-session").unwrap().to_owned();
    trap("session ended", ("session", &session), 1);
    caller.close(1000, "done").await;
    assert_eq!(caller.closed().await, (Some(1000), "done".to_owned()));
    panics(&world, "session", 1).await;
    // It had ended, and is not told twice.
    world.metrics_say(&ended("client", "client_closed")).await;
    assert!(!world.edge().metrics_page().contains("reason=\"internal\""));
    world.settles().await;
    world.still_serves().await;
}

#[tokio::test]
async fn b16_a_request_that_panics_is_a_500_and_the_next_one_is_served() {
    let world = world(Wish::default()).await;
    let mut neighbour = world.call("sim-echo").await;
    // This client's only: its address is its own. What is told of the panic is another line of its, and
    // not trapped any more.
    trap("request refused", ("client", "127.0.0.77:"), 1);
    let mut io = world.over(world.tcp("127.0.0.77").await).await;
    let asked = crate::harness::request("/nowhere", &[("api-key", KEY)]);
    io.write_all(asked.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    let refused = crate::harness::read_answer(io).await.err().unwrap();
    refused.is(500, "internal");
    assert!(!refused.body.contains(WORDS));
    panics(&world, "request", 1).await;
    world
        .metrics_say("tonegate_requests_total{route=\"none\",result=\"internal\"} 1")
        .await;
    goes_on(&mut neighbour).await;
    drop(neighbour);
    world.settles().await;
    world.still_serves().await;
}

#[tokio::test]
async fn b16_a_connection_that_panics_before_its_request_is_closed_and_gives_its_place_back() {
    let wish = Wish {
        limits: "sessions = 1\nconnections = 2".to_owned(),
        ..Wish::default()
    };
    let world = world(wish).await;
    let mut neighbour = world.call("sim-echo").await;
    trap("TLS handshake failed", ("client", "127.0.0.78:"), 3);
    for _ in 0..3 {
        let mut io = world.tcp("127.0.0.78").await;
        io.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        // An alert of TLS may come, or a reset.
        let _ = within("its end", io.read_to_end(&mut rest)).await;
        world.metrics_say("tonegate_connections 1").await;
    }
    panics(&world, "connection", 3).await;
    goes_on(&mut neighbour).await;
    drop(neighbour);
    world.settles().await;
    world.still_serves().await;
}

#[tokio::test]
async fn b16_an_operators_request_that_panics_is_a_500_and_the_next_one_is_answered() {
    let world = world(Wish::default()).await;
    let admin = world.edge().admin();
    // Nothing else here takes back certificates.
    trap("taken back", ("kind", "certificate"), 1);
    let order = serde_json::json!({"certificate": "nobody"});
    let body = order.to_string();
    let head = format!(
        "POST /revoke HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut io = TcpStream::connect(admin).await.unwrap();
    io.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", io.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains("the edge failed"), "{answer}");
    panics(&world, "admin", 1).await;
    let (status, _) = crate::metrics::get(admin, "/healthz").await.unwrap();
    assert_eq!(status, 200);
}

/// A world whose only issuer has this name, by which its log is told from others'.
async fn issued(issuer: &str) -> Issued {
    let wish = Wish {
        admit: format!("\"{issuer}\""),
        ..Wish::default()
    };
    let lines = format!(
        "[issuers.{issuer}]\nkind = \"entra\"\nauthority = \"ISSUER\"\n\
         tenants = [\"{TENANT}\"]\naudience = [\"{AUDIENCE}\"]\nroots = \"ca.pem\"\n"
    );
    Issued::with(wish, AUDIENCE, &lines).await
}

#[tokio::test]
async fn b16_what_keeps_keys_fresh_is_begun_anew_after_a_panic() {
    trap("keys fetched", ("issuer", "begun_anew"), 2);
    let issued = issued("begun_anew").await;
    let bearer = format!("Bearer {}", issued.token(|_| {}));
    let shown = [("Authorization", bearer.as_str())];
    let enters = || issued.world.ask("/ws?model=sim-echo", &shown);
    within("the keys", async {
        while enters().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(heard::left("keys fetched", "begun_anew"), 0);
    panics(&issued.world, "upkeep", 2).await;
}

/// In full only: it takes thirteen seconds.
#[tokio::test]
async fn b16_an_edge_without_what_keeps_it_going_says_that_it_is_broken() {
    if !crate::soak::is_on() {
        return;
    }
    trap("keys fetched", ("issuer", "for_good"), usize::MAX);
    let issued = issued("for_good").await;
    within("the end", issued.world.edge().broken()).await;
    panics(&issued.world, "upkeep", 8).await;
}
