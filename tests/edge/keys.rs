//! The published keys of issuers: fetched in time, kept in need, and never a lever for strangers.

use serde_json::json;
use tokio::task::JoinSet;
use tonegate::sim::issuer::behaviour::Behaviour;

use crate::harness::{Wish, text};
use crate::tokens::{AUDIENCE, Issued};

const TARGET: &str = "/ws?model=sim-echo";

/// The status that a token gets, 101 for an admission.
async fn status(issued: &Issued, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    match issued
        .world
        .ask(TARGET, &[("Authorization", &bearer)])
        .await
    {
        Ok(mut caller) => {
            caller.send(text("in")).await;
            assert_eq!(caller.next().await, Some(text("in")));
            101
        }
        Err(refused) => refused.status,
    }
}

#[tokio::test]
async fn s10_a_new_key_is_found_at_once_and_an_old_one_ends_with_its_publication() {
    let issued = Issued::usual().await;
    let old = issued.token(|_| {});
    assert_eq!(status(&issued, &old).await, 101);
    issued.provider.rotate();
    let new = issued.token(|mint| mint.claims["jti"] = json!("new"));
    assert_eq!(status(&issued, &new).await, 101);
    assert_eq!(status(&issued, &old).await, 101);
    assert_eq!(issued.provider.counts().keys, 2);
    // Retired, and noticed with the next fetch: the old one is not even remembered.
    issued.provider.rotate();
    issued.provider.retire();
    let newest = issued.token(|mint| mint.claims["jti"] = json!("newest"));
    assert_eq!(status(&issued, &newest).await, 101);
    assert_eq!(status(&issued, &old).await, 401);
}

#[tokio::test]
async fn s10_sixty_unknown_keys_cost_three_fetches_and_disturb_nobody() {
    let issued = Issued::usual().await;
    let good = issued.token(|_| {});
    assert_eq!(status(&issued, &good).await, 101);
    let before = issued.provider.counts();
    for i in 0..60 {
        let strange = issued.token(|mint| mint.header = json!({"kid": format!("strange-{i}")}));
        // After three looks nobody is told that a key does not exist: one may be new.
        let expected = if i < 3 { 401 } else { 503 };
        assert_eq!(status(&issued, &strange).await, expected, "{i}");
    }
    let after = issued.provider.counts();
    assert!(
        after.keys - before.keys <= 3,
        "{} fetches",
        after.keys - before.keys
    );
    assert!(after.keys > before.keys, "an unknown key is looked for");
    // The keys that are known go on, first seen and remembered.
    let fresh = issued.token(|mint| mint.claims["jti"] = json!("fresh"));
    assert_eq!(status(&issued, &fresh).await, 101);
    assert_eq!(status(&issued, &good).await, 101);
    let hits = issued
        .world
        .count("tonegate_limit_hits_total{limit=\"key_fetches\"}");
    assert!(hits > 0, "the bound was not hit");
    // One that was missed is not looked for again.
    let strange = issued.token(|mint| mint.header = json!({"kid": "strange-0"}));
    assert_eq!(status(&issued, &strange).await, 401);
    assert_eq!(issued.provider.counts().keys, after.keys);
    // A key that is new just now is not called unknown, and its owner is told when to come back.
    issued.provider.rotate();
    let bearer = format!("Bearer {}", issued.token(|_| {}));
    let refused = issued
        .world
        .refused(TARGET, &[("Authorization", &bearer)])
        .await;
    refused.is(503, "keys_unavailable");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((250..=300).contains(&wait), "{wait}");
    issued.world.still_serves().await;
}

#[tokio::test]
async fn s10_many_at_once_share_one_fetch() {
    let issued = std::sync::Arc::new(Issued::usual().await);
    let good = issued.token(|_| {});
    assert_eq!(status(&issued, &good).await, 101);
    let before = issued.provider.counts().keys;
    issued.provider.rotate();
    let mut asking = JoinSet::new();
    for i in 0..20 {
        let issued = issued.clone();
        asking.spawn(async move {
            let new = issued.token(|mint| mint.claims["jti"] = json!(i));
            status(&issued, &new).await
        });
    }
    let statuses = asking.join_all().await;
    assert_eq!(statuses, [101; 20]);
    let fetches = issued.provider.counts().keys - before;
    assert!((1..=2).contains(&fetches), "{fetches} fetches");
}

#[tokio::test]
async fn s10_an_issuer_out_of_reach_leaves_the_keys_that_are_known() {
    for behaviour in [
        Behaviour::Status(500),
        Behaviour::Garbage,
        Behaviour::Huge,
        Behaviour::Empty,
        Behaviour::Redirect("https://localhost:1/keys".to_owned()),
    ] {
        let issued = Issued::usual().await;
        let good = issued.token(|_| {});
        assert_eq!(status(&issued, &good).await, 101);
        issued.provider.set_keys(behaviour.clone());
        // Whether an unknown key exists cannot be told now, so nobody is told that it does not.
        let strange = issued.token(|mint| mint.header = json!({"kid": "strange"}));
        assert_eq!(status(&issued, &strange).await, 503);
        let fresh = issued.token(|mint| mint.claims["jti"] = json!("fresh"));
        assert_eq!(status(&issued, &fresh).await, 101);
        let failed = "tonegate_issuer_key_fetches_total{issuer=\"users\",result=\"failed\"}";
        assert!(issued.world.count(failed) > 0);
        assert_eq!(issued.provider.others(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn s10_without_any_keys_tokens_are_503_and_keys_enter() {
    // Nobody listens there.
    let nowhere = "metadata = \"https://localhost:1/.well-known/openid-configuration\"";
    for more in [nowhere, "jwks = \"https://localhost:1/keys\""] {
        let issued = Issued::with(Wish::default(), AUDIENCE, more).await;
        let bearer = format!("Bearer {}", issued.token(|_| {}));
        let refused = issued
            .world
            .refused(TARGET, &[("Authorization", &bearer)])
            .await;
        refused.is(503, "keys_unavailable");
        assert_eq!(issued.world.upstream_total(), 0);
        issued.world.still_serves().await;
    }
}

#[tokio::test]
async fn s10_a_provider_document_of_somebody_else_is_not_believed() {
    let issued = Issued::usual().await;
    let base = issued.provider.base();
    // The document of another tenant, at a place that the settings name.
    let other = format!(
        "metadata = \"{base}/{}/v2.0/.well-known/openid-configuration\"",
        crate::tokens::OTHER_TENANT
    );
    let wish = Wish {
        admit: "\"strict\"".to_owned(),
        more: format!(
            "[issuers.strict]\nkind = \"entra\"\nauthority = \"{base}\"\ntenants = [\"{}\"]\n\
             audience = [\"{AUDIENCE}\"]\nroots = \"{}\"\n{other}\n",
            crate::tokens::TENANT,
            issued.world.folder.join("ca.pem").display()
        ),
        ..Wish::default()
    };
    let world = crate::harness::World::with(wish).await;
    let bearer = format!("Bearer {}", issued.token(|_| {}));
    let refused = world.refused(TARGET, &[("Authorization", &bearer)]).await;
    refused.is(503, "keys_unavailable");
}

#[tokio::test]
async fn s25_keys_from_a_server_that_is_not_proved_are_not_taken() {
    let issued = Issued::with(Wish::default(), AUDIENCE, "").await;
    let base = issued.provider.base();
    // The same issuer, but with the roots of the system, which do not know it.
    let wish = Wish {
        admit: "\"strict\"".to_owned(),
        more: format!(
            "[issuers.strict]\nkind = \"entra\"\nauthority = \"{base}\"\ntenants = [\"{}\"]\n\
             audience = [\"{AUDIENCE}\"]\n",
            crate::tokens::TENANT
        ),
        ..Wish::default()
    };
    let fetched = issued.provider.counts().metadata;
    let world = crate::harness::World::with(wish).await;
    let bearer = format!("Bearer {}", issued.token(|_| {}));
    let refused = world.refused(TARGET, &[("Authorization", &bearer)]).await;
    refused.is(503, "keys_unavailable");
    assert!(issued.provider.counts().metadata <= fetched.max(1));
}
