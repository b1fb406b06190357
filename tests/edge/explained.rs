//! `tonegate explain` and `tonegate token check`: the same checks, told; nothing is dialled.

use std::fs;

use serde_json::{Value, json};

use crate::binary::run;
use crate::harness::{KEY, UPSTREAM_KEY, Wish, World, request};
use crate::tokens::{Issued, VOICE_LIVE};

fn config(world: &World) -> String {
    world.folder.join("edge.toml").display().to_string()
}

#[tokio::test]
async fn explain_tells_each_check_and_what_would_be_asked_upstream() {
    let world = World::usual().await;
    let (config, header) = (config(&world), format!("api-key: {KEY}"));
    let target = "/ws?model=sim-echo&unknown=1";
    let args = ["explain", "--config", &config, target, "-H", &header];
    let (code, out, err) = run(&args).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let checks: Vec<&str> = out
        .lines()
        .filter_map(|line| line.strip_prefix("ok")?.split_whitespace().next())
        .collect();
    let all = [
        "head",
        "client",
        "route",
        "upgrade",
        "network",
        "rate",
        "origin",
        "query",
        "credential",
        "identity",
        "ask",
        "limits",
    ];
    assert_eq!(checks, all);
    let upstream = format!(
        "->  voice: wss://localhost:{}/voice-live/realtime?api-version=2026-07-15&model=sim-echo \
         with api-key: ***",
        world.upstream.port()
    );
    assert_eq!(out.lines().last(), Some(upstream.as_str()));
    assert!(!out.contains(KEY) && !out.contains(UPSTREAM_KEY));
    assert_eq!(world.upstream_total(), 0, "something was dialled");
}

#[tokio::test]
async fn explain_ends_at_the_check_that_refuses_with_the_status_that_the_edge_gives() {
    let world = World::usual().await;
    let config = config(&world);
    let good = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    let cases = [
        (good.replace("Host: localhost\r\n", ""), "head"),
        (good.replace("GET /ws", "GET /nowhere"), "route"),
        (good.replace("Version: 13", "Version: 8"), "upgrade"),
        (
            good.replace("\r\n\r\n", "\r\nOrigin: null\r\n\r\n"),
            "origin",
        ),
        (good.replace("model=", "model=a&model="), "query"),
        (good.replace(KEY, "wrong"), "identity"),
        (good.replace("sim-echo", "other"), "ask"),
    ];
    for (head, check) in &cases {
        let file = world.folder.join("request.http");
        fs::write(&file, head).unwrap();
        let file = file.display().to_string();
        let args = ["explain", "--config", &config, "--request", &file, "--json"];
        let (code, out, err) = run(&args).await;
        assert_eq!(code, 1, "{check}: {out}{err}");
        let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        assert_eq!(
            (&last["check"], &last["passed"]),
            (&json!(check), &json!(false))
        );
        // The edge itself says the same.
        let refused = world.refused_bytes(head.as_bytes()).await;
        assert!(
            err.contains(&format!("status {}", refused.status)),
            "{check}: {err}"
        );
    }
    assert_eq!(world.upstream_total(), 0);
}

#[tokio::test]
async fn token_check_says_whose_a_token_is_or_what_is_wrong_with_it() {
    let wish = Wish {
        credential: format!("{{ caller = true, key = \"{UPSTREAM_KEY}\" }}"),
        ..Wish::default()
    };
    let issued = Issued::with(wish, VOICE_LIVE, "").await;
    let config = config(&issued.world);
    let good = issued.token(|mint| mint.claims["aud"] = json!(VOICE_LIVE));
    let check = ["token", "check", "--config", &config, "--issuer", "users"];
    let (code, out, err) = run(&[&check[..], &[&good]].concat()).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.contains(crate::tokens::TENANT) && out.contains("Voice Live"),
        "{out}"
    );
    assert!(!out.contains(&good));
    let expired = issued.token(|mint| {
        mint.claims["aud"] = json!(VOICE_LIVE);
        mint.claims["exp"] = json!(1);
    });
    for (token, said) in [
        (expired.as_str(), "expired"),
        ("garbage", "not a signed JWT"),
        (&issued.token(|_| {}), "for somebody else"),
    ] {
        let (code, _, err) = run(&[&check[..], &[token]].concat()).await;
        assert_eq!(code, 1);
        assert!(err.contains(said), "{err}");
    }
    let other = [
        "token", "check", "--config", &config, "--issuer", "nobody", "x",
    ];
    let (code, _, err) = run(&other).await;
    assert_eq!(code, 1);
    assert!(
        err.contains("users"),
        "the issuers that there are should be named: {err}"
    );
}

#[tokio::test]
async fn b25_settings_without_an_issuer_are_told_to_have_none() {
    let world = World::usual().await;
    let config = config(&world);
    let check = [
        "token", "check", "--config", &config, "--issuer", "users", "x",
    ];
    let (code, out, err) = run(&check).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("the settings have no [issuers]"), "{err}");
}
