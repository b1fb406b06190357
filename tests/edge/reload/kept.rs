//! What goes on over a load: sessions with what they were born with, what was counted, and what need
//! not be built again.

use tokio_util::sync::CancellationToken;
use tonegate::sim::certificate::Authority;
use tonegate::sim::issuer::mint::Mint;
use tonegate::sim::issuer::{Issuer, Options};
use tonegate::sim::platform::{self, Desk, Platform};

use super::*;
use crate::harness::{KEY, binary, steady};
use crate::tokens::{AUDIENCE, Issued, TENANT};

/// The same settings with something harmless that differs, so that another generation is made.
fn another(text: &str) -> String {
    format!(
        "{text}\n[[keys]]\nname = \"more\"\nsha256 = \"{}\"\n",
        Digest::of(OTHER).to_hex()
    )
}

#[tokio::test]
async fn a39_a_key_that_is_gone_opens_nothing_and_its_session_goes_on() {
    let operator = Operator::usual().await;
    let mut caller = operator.enters(KEY).await.unwrap();
    operator.change_key();
    operator.reload().await.unwrap();
    assert_eq!(operator.enters(KEY).await.err(), Some(401));
    talks(&mut caller, "still here").await;
    drop(operator.enters(OTHER).await.unwrap());
    caller.close(1000, "").await;
    assert_eq!(caller.closed().await, (Some(1000), String::new()));
    operator.world.settles().await;
}

#[tokio::test]
async fn a39_whoever_connected_before_and_asks_after_is_judged_by_the_new_settings() {
    use tokio::io::AsyncWriteExt as _;
    let operator = Operator::usual().await;
    // The whole handshake of TLS is done.
    let mut io = operator.world.connect().await;
    let asked = crate::harness::request(TARGET, &[("api-key", KEY)]);
    let (first, rest) = asked.split_at(20);
    io.write_all(first.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    operator.change_key();
    operator.reload().await.unwrap();
    io.write_all(rest.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    match crate::harness::read_answer(io).await {
        Err(refused) => refused.is(401, "unauthenticated"),
        Ok(_) => panic!("the key that is gone opened a connection that was there before"),
    }
}

#[tokio::test]
async fn a39_routes_origins_and_upstreams_change_for_who_comes() {
    let operator = Operator::usual().await;
    let mut caller = operator.enters(KEY).await.unwrap();
    let page = |origin: &'static str| [("api-key", KEY), ("Origin", origin)];
    let asks = async |target: &str, origin| {
        let asked = operator.world.ask(target, &page(origin)).await;
        asked.map(drop).map_err(|refused| refused.status)
    };
    let (old, new) = ("https://app.example.com", "https://new.example.com");
    assert_eq!(asks(TARGET, old).await, Ok(()));
    assert_eq!(asks(TARGET, new).await, Err(403));
    assert_eq!(asks("/new?model=sim-echo", old).await, Err(404));
    operator.write(|text| text.replace(old, new).replace("\"/ws\"", "\"/new\""));
    operator.reload().await.unwrap();
    assert_eq!(asks(TARGET, new).await, Err(404));
    assert_eq!(asks("/new?model=sim-echo", old).await, Err(403));
    assert_eq!(asks("/new?model=sim-echo", new).await, Ok(()));
    talks(&mut caller, "on its old route").await;
    // An upstream that nobody listens at.
    let upstream = format!("localhost:{}", operator.world.upstream.port());
    operator.replace(&upstream, "localhost:9");
    operator.reload().await.unwrap();
    assert_eq!(asks(TARGET, old).await, Err(502));
    talks(&mut caller, "on its old upstream").await;
}

#[tokio::test]
async fn a41_limits_change_for_who_comes_and_sessions_keep_theirs() {
    let operator = Operator::with(Wish {
        limits: "sessions = 3\nconnections = 100".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut callers = Vec::new();
    for _ in 0..3 {
        callers.push(operator.enters(KEY).await.unwrap());
    }
    assert_eq!(operator.enters(KEY).await.err(), Some(503));
    let lowered = "sessions = 2\nconnections = 100\nclient_message = \"8B\"";
    operator.replace("sessions = 3\nconnections = 100", lowered);
    operator.reload().await.unwrap();
    for caller in &mut callers {
        talks(caller, "longer than eight").await;
    }
    let gauge = |left: usize| format!("tonegate_sessions{{route=\"browser\"}} {left}");
    // Two of three must go before one has room.
    callers.pop();
    operator.world.metrics_say(&gauge(2)).await;
    assert_eq!(operator.enters(KEY).await.err(), Some(503));
    callers.pop();
    operator.world.metrics_say(&gauge(1)).await;
    let mut young = operator.enters(KEY).await.unwrap();
    assert_eq!(operator.enters(KEY).await.err(), Some(503));
    young.send(binary(vec![0; 9])).await;
    assert_eq!(young.closed().await.0, Some(1009));
    talks(&mut callers[0], "longer than eight").await;
    operator.replace("sessions = 3", "sessions = 4");
    operator.reload().await.unwrap();
    operator.world.metrics_say(&gauge(1)).await;
    for _ in 0..3 {
        callers.push(operator.enters(KEY).await.unwrap());
    }
    assert_eq!(operator.enters(KEY).await.err(), Some(503));
    drop(callers);
    operator.world.settles().await;
}

#[tokio::test]
async fn a41_what_was_counted_counts_on() {
    let limits = "limits = { sessions = 1, upgrades = \"3/h\" }";
    let operator = Operator::with(Wish {
        key: limits.to_owned(),
        ..Wish::default()
    })
    .await;
    let caller = operator.enters(KEY).await.unwrap();
    operator.write(another);
    assert!(operator.reload().await.unwrap().is_new);
    // The slot is taken, the first of three upgrades is used, and this is the second.
    assert_eq!(operator.enters(KEY).await.err(), Some(503));
    drop(caller);
    operator.world.settles().await;
    drop(operator.enters(KEY).await.unwrap());
    operator.world.settles().await;
    operator.write(str::to_owned);
    assert!(operator.reload().await.unwrap().is_new);
    assert_eq!(operator.enters(KEY).await.err(), Some(429));
    // A faster one is waited for no longer than it says itself.
    operator.replace("3/h", "9/s");
    operator.reload().await.unwrap();
    assert_eq!(operator.enters(KEY).await.err(), Some(429));
    tokio::time::sleep(Duration::from_millis(150)).await;
    drop(operator.enters(KEY).await.unwrap());
}

#[tokio::test]
async fn a39_an_issuer_that_stays_keeps_its_keys_and_a_new_one_has_them_at_once() {
    let mut issued = Issued::usual().await;
    let file = issued.world.folder.join("edge.toml");
    let edge = start(&file, &Environment::process(), NEVER);
    issued.world.port = edge.public().port();
    issued.world.edge = Some(edge);
    let enters = async |world: &World, token: &str| {
        let bearer = format!("Bearer {token}");
        let asked = world.ask(TARGET, &[("Authorization", &bearer)]).await;
        asked.map(drop).map_err(|refused| refused.status)
    };
    let token = issued.token(|_| {});
    assert_eq!(enters(&issued.world, &token).await, Ok(()));
    let asked = issued.provider.counts().keys;
    // Another issuer, at another place.
    let names = ["localhost", "127.0.0.1"];
    let other = Issuer::bind(Options {
        identity: Some(issued.world.authority.issue(&names).unwrap()),
        ..Options::loopback()
    });
    let other = other.await.unwrap();
    let (provider, stop) = (other.provider(), CancellationToken::new());
    let _stop = stop.clone().drop_guard();
    tokio::spawn(other.serve(stop));
    let theirs = provider.mint(&Mint::entra_v2(&provider.base(), TENANT, AUDIENCE));
    assert_eq!(enters(&issued.world, &theirs).await, Err(401));
    let more = format!(
        "[issuers.others]\nkind = \"entra\"\nauthority = \"{}\"\ntenants = [\"{TENANT}\"]\n\
         audience = [\"{AUDIENCE}\"]\nroots = \"ca.pem\"\n",
        provider.base()
    );
    let admit = "admit = [\"key\", \"users\"]";
    let text = issued
        .world
        .settings
        .replacen(admit, "admit = [\"key\", \"users\", \"others\"]", 1);
    std::fs::write(&file, text + &more).unwrap();
    issued.world.edge().reload().now().await.unwrap();
    assert_eq!(provider.counts().keys, 1);
    assert_eq!(enters(&issued.world, &theirs).await, Ok(()));
    assert_eq!(enters(&issued.world, &token).await, Ok(()));
    assert_eq!(issued.provider.counts().keys, asked);
    // Gone again, with what it had signed.
    std::fs::write(&file, &issued.world.settings).unwrap();
    issued.world.edge().reload().now().await.unwrap();
    assert_eq!(enters(&issued.world, &theirs).await, Err(401));
    assert_eq!(enters(&issued.world, &token).await, Ok(()));
    assert_eq!(issued.provider.counts().keys, asked);
    assert_eq!(provider.counts().keys, 1);
    // What was counted by its name is still shown.
    issued.world.settings.push_str("# [issuers.others]\n");
}

#[tokio::test]
async fn a39_an_issuer_that_cannot_be_asked_hinders_no_load_as_it_hinders_no_start() {
    let operator = Operator::usual().await;
    let more = format!(
        "[issuers.gone]\nkind = \"entra\"\nauthority = \"https://127.0.0.1:9\"\n\
         tenants = [\"{TENANT}\"]\naudience = [\"{AUDIENCE}\"]\nroots = \"ca.pem\"\n"
    );
    operator.write(|text| {
        let admit = text.replacen("admit = [\"key\"]", "admit = [\"key\", \"gone\"]", 1);
        format!("{admit}{more}")
    });
    assert!(operator.reload().await.unwrap().is_new);
    drop(operator.enters(KEY).await.unwrap());
    let token = {
        let issuer = Issuer::bind(Options {
            identity: Some(Authority::new("x").issue(&["localhost"]).unwrap()),
            ..Options::loopback()
        });
        let provider = issuer.await.unwrap().provider();
        provider.mint(&Mint::entra_v2("https://127.0.0.1:9", TENANT, AUDIENCE))
    };
    let bearer = format!("Bearer {token}");
    let refused = operator
        .world
        .refused(TARGET, &[("Authorization", &bearer)])
        .await;
    refused.is(503, "keys_unavailable");
}

#[tokio::test]
async fn a39_an_upstream_that_stays_keeps_its_token_and_a_new_one_is_had_before_anybody_comes() {
    let platform = Platform::bind(platform::Options::loopback()).await.unwrap();
    let (desk, port) = (platform.desk(), platform.address().port());
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(platform.serve(stop));
    let base = format!("http://127.0.0.1:{port}");
    let operator = Operator::with(Wish {
        credential: "{ managed_identity = true }".to_owned(),
        upstream_takes_any: true,
        variables: Some(vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", base)]),
        ..Wish::default()
    })
    .await;
    drop(operator.enters(KEY).await.unwrap());
    // One of the edge that stood there before, perhaps, and one of this one.
    let given = steady("tokens", || desk.asked().given.len()).await;
    operator.write(another);
    assert!(operator.reload().await.unwrap().is_new);
    drop(operator.enters(KEY).await.unwrap());
    assert_eq!(desk.asked().given.len(), given);
    operator.replace(
        "roots = \"ca.pem\"\n",
        "roots = \"ca.pem\"\nconnect = \"3s\"\n",
    );
    operator.reload().await.unwrap();
    assert_eq!(desk.asked().given.len(), given + 1);
    drop(operator.enters(KEY).await.unwrap());
    let seen = operator.world.upstream_saw(|_| true).await;
    let newest = format!("Bearer {}", Desk::token(given + 1));
    assert_eq!(seen.header("authorization").collect::<Vec<_>>(), [newest]);
    assert_eq!(desk.asked().given.len(), given + 1);
}

#[tokio::test]
async fn a39_loads_that_are_asked_for_together_are_made_one_after_the_other() {
    let operator = Operator::usual().await;
    operator.change_key();
    let all = (0..40).map(|_| operator.reload());
    let all = futures_util::future::join_all(all).await;
    let loaded: Vec<_> = all.iter().filter_map(|one| one.as_ref().ok()).collect();
    assert_eq!(loaded.iter().filter(|loaded| loaded.is_new).count(), 1);
    assert!(loaded.iter().all(|loaded| loaded.generation == 2));
    let busy = all
        .iter()
        .filter(|one| **one == Err(NotLoaded::Busy))
        .count();
    assert_eq!(loaded.len() + busy, 40);
    assert!(loaded.len() >= 8 && busy > 0, "{busy}");
    assert_eq!(operator.loads("loaded"), 1);
    assert_eq!(operator.enters(KEY).await.err(), Some(401));
}
