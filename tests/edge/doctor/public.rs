//! What may stand at the public address instead of the edge, and what may stand before it.

use std::time::Duration;

use tokio::net::TcpListener;

use super::peers::{answers, forgets, forwards, rewrites, without};
use super::{dialled, doctor, with};
use crate::harness::World;
use crate::phone::world::Phone;
use tonegate::sim::certificate::Identity;

const NO_TOKEN: (&str, &str) = ("public", "no token");
const BAD_TOKEN: (&str, &str) = ("public", "a bad token");
const ARRIVES: (&str, &str) = ("public", "what arrives");

fn identity(world: &World) -> Identity {
    world.authority.issue(&["localhost"]).unwrap()
}

async fn seen(world: &World, port: u16, more: &[&str]) -> super::Seen {
    let dialled = dialled(world, port);
    let settings = world.folder.join("edge.toml");
    doctor(&settings, &with(&dialled, more)).await
}

const ONLY: [&str; 2] = ["--only", "public"];

/// A proxy before the edge that changes heads so.
async fn through(
    world: &World,
    change: impl Fn(String) -> String + Clone + Send + Sync + 'static,
) -> super::Seen {
    let own = identity(world);
    let port = rewrites(world.port, (&own, &world.authority.pem()), change).await;
    seen(world, port, &ONLY).await
}

#[tokio::test]
async fn u9_who_answers_in_the_edges_place_is_found_out() {
    let phone = Phone::usual().await;
    let world = &phone.world;
    let own = identity(world);
    for (answer, says, fix) in [
        (
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"canary\"\r\n\r\n",
            "Something else than this edge answers there, with 401.",
            "let none of them ask",
        ),
        (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            "Something else than this edge answers there, with 503.",
            "Have DNS and the proxies",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "An upgrade without a credential is let in.",
            "Look who answers there",
        ),
    ] {
        let port = answers(Some(&own), answer.as_bytes().to_vec()).await;
        let seen = seen(world, port, &ONLY).await;
        seen.fails(NO_TOKEN, says, fix);
        seen.is("skipped", BAD_TOKEN, "see above");
        seen.is("warn", ARRIVES, "saw none of these requests");
    }
    // Whom ACS would not dial.
    let self_signed = Identity::self_signed(&["localhost"]).unwrap();
    let port = answers(Some(&self_signed), Vec::new()).await;
    let seen = seen(world, port, &ONLY).await;
    seen.fails(("public", "localhost"), "vouches for itself", "authority");
}

#[tokio::test]
async fn u9_what_a_proxy_takes_away_is_named() {
    let phone = Phone::usual().await;
    let world = &phone.world;
    let seen = through(world, |head| without(&head, &["authorization"])).await;
    seen.is("ok", NO_TOKEN, "401");
    seen.fails(
        BAD_TOKEN,
        "Authorization does not arrive",
        "nginx: proxy_set_header",
    );
    seen.fails(
        ARRIVES,
        "authorization does not arrive",
        "pass it on as it is",
    );
    let call = "x-ms-call-connection-id";
    let seen = through(world, move |head| without(&head, &[call])).await;
    seen.is("ok", BAD_TOKEN, "Authorization arrives");
    seen.fails(
        ARRIVES,
        "x-ms-call-connection-id does not arrive",
        "pass it on",
    );
    // One that writes another in its place.
    let other = |head: String| {
        let line = "x-ms-call-correlation-id: ";
        head.replace(line, &format!("{line}0"))
    };
    let seen = through(world, other).await;
    seen.fails(
        ARRIVES,
        "x-ms-call-correlation-id does not arrive",
        "pass it on",
    );
    let seen = through(world, |head| {
        let (before, rest) = head.split_once('?').unwrap();
        let (_, rest) = rest.split_once(' ').unwrap();
        format!("{before} {rest}")
    })
    .await;
    seen.fails(ARRIVES, "the query does not arrive", "pass it on");
    // Without its upgrade, and at another path.
    let seen = through(world, |head| without(&head, &["upgrade", "connection"])).await;
    seen.fails(NO_TOKEN, "no WebSocket upgrade", "proxy_http_version 1.1");
    let seen = through(world, |head| head.replace("/acs/media/", "/media/")).await;
    seen.fails(
        NO_TOKEN,
        "no route of this path",
        "pass the path on as it is",
    );
    // A proxy that does nothing of that.
    let seen = through(world, |head| head).await;
    assert_eq!(seen.code, 0, "{}", seen.text);
    seen.is("ok", ARRIVES, "unchanged");
}

#[tokio::test]
async fn u9_a_box_that_forgets_quiet_connections_is_found() {
    let phone = Phone::usual().await;
    let world = &phone.world;
    let port = forgets(world.port, Duration::from_secs(1)).await;
    let upstream = forgets(world.upstream.port(), Duration::from_secs(1)).await;
    let from = format!("wss://localhost:{}", world.upstream.port());
    let to = format!("wss://localhost:{upstream}");
    let file = super::changed(world, &[(&from, &to)]);
    let dialled = dialled(world, port);
    let seen = doctor(&file, &with(&dialled, &["--only", "idle", "--idle", "3s"])).await;
    let says = "Something in between ended a quiet connection within ";
    for about in ["public url", "upstream voice"] {
        seen.fails(("idle", about), says, "keep limits.ping");
    }
    // Where the edge's pings come more often it is a warning.
    let seldom = super::changed(world, &[("[limits]\n", "[limits]\nping = \"500ms\"\n")]);
    let seen = doctor(
        &seldom,
        &with(&dialled, &["--only", "idle", "--idle", "3s"]),
    )
    .await;
    seen.is("warn", ("idle", "public url"), says);
    seen.is("ok", ("idle", "upstream voice"), "still there");
    let seen = doctor(&file, &["--only", "idle"]).await;
    seen.is("skipped", ("idle", "public url"), "give --idle 300s");
}

#[tokio::test]
async fn u9_without_a_public_url_or_an_edge_what_cannot_be_tried_is_said() {
    let phone = Phone::usual().await;
    let world = &phone.world;
    let settings = world.folder.join("edge.toml");
    let seen = doctor(&settings, &["--only", "public,admin"]).await;
    seen.is("skipped", ("public", "public url"), "--public-url");
    seen.is("skipped", ("admin", "admin listener"), "--admin");
    let mut dialled = dialled(world, world.port);
    let nobody = crate::phone::server::free_port();
    *dialled.last_mut().unwrap() = format!("127.0.0.1:{nobody}");
    let seen = doctor(&settings, &with(&dialled, &["--only", "public,admin"])).await;
    seen.is("ok", BAD_TOKEN, "Authorization arrives");
    seen.is("skipped", ARRIVES, "no edge runs on this machine");
    seen.is(
        "skipped",
        ("admin", &format!("127.0.0.1:{nobody}")),
        "no edge answers here",
    );
}

/// A container's published port, or a proxy that somebody forgot.
#[tokio::test]
async fn u9_an_admin_listener_that_others_reach_is_found() {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let towards = socket.connect("192.0.2.1:9");
    let own = towards
        .and_then(|()| socket.local_addr())
        .map(|own| own.ip());
    let Ok(own) = own.map_err(drop).and_then(|own| match own.is_loopback() {
        true => Err(()),
        false => Ok(own),
    }) else {
        // There is nobody who could reach this machine.
        return;
    };
    let phone = Phone::usual().await;
    let world = &phone.world;
    let admin = world.edge().admin().port();
    let forward = TcpListener::bind((own, admin)).await.unwrap();
    tokio::spawn(forwards(forward, admin));
    let seen = seen(world, world.port, &["--only", "admin"]).await;
    seen.fails(
        ("admin", &format!("{own}:{admin}")),
        "The admin listener answers on an address that others reach.",
        "Take away what forwards that port",
    );
}
