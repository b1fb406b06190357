//! The edge's signed word, verified by PyJWT as a private app in Python would.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};
use serde_json::{Value, json};
use tokio::process::Command;
use tonegate::ids::EntraId;
use tonegate::label::Label;
use tonegate::sim::connector::AUDIENCE;
use tonegate::upstream::assertion::{Assertions, Claims};

use super::peers::Peers;
use crate::program::{tells, tool};

const APP: &str = "api://private-app";
const EDGE: &str = "https://edge.example.com";
const BODY: &[u8] = b"{\"type\":\"message\",\"text\":\"hello\"}";

fn key(algorithm: &'static SignatureAlgorithm) -> String {
    KeyPair::generate_for(algorithm).unwrap().serialize_pem()
}

/// Assertions with these keys, read as settings name them.
fn edge(peers: &Peers, keys: &[&str]) -> Assertions {
    let names: Vec<_> = (0..keys.len())
        .map(|i| format!("\"key-{i}.pem\""))
        .collect();
    for (i, key) in keys.iter().enumerate() {
        fs::write(peers.folder.join(format!("key-{i}.pem")), key).unwrap();
    }
    let names = names.join(", ");
    let table = format!("[assertion]\nkeys = [{names}]\nissuer = \"{EDGE}\"\nlife = \"2m\"\n");
    let settings = peers.settings(&table, &[]).live.assertion.unwrap();
    Assertions::new(settings).unwrap()
}

fn sign(edge: &Assertions, now: SystemTime) -> String {
    let (route, oid) = (Label::new("bot").unwrap(), id(1));
    let claims = Claims {
        audience: APP,
        route: &route,
        subject: oid.as_str(),
        oid: Some(&oid),
        tenant: Some(&id(2)),
        roles: &["manager"],
        person: None,
        scope: Some(&[id(1), id(3)].iter().map(EntraId::to_string).collect()),
        conversation: Some("a:1xyz"),
        channel: Some("msteams"),
        body: Some(BODY),
    };
    edge.sign(&claims, now).unwrap().expose().to_owned()
}

fn id(number: usize) -> EntraId {
    EntraId::new(&format!("{number:08x}-1111-4222-8333-0123456789ab")).unwrap()
}

/// What PyJWT makes of each token with the keys that are published: its claims, or what it minds.
async fn verified(peers: &Peers, jwks: &[u8], tokens: &[&str]) -> Value {
    let asked = json!({
        "issuer": EDGE,
        "audience": APP,
        "body": std::str::from_utf8(BODY).unwrap(),
        "jwks": serde_json::from_slice::<Value>(jwks).unwrap(),
        "tokens": tokens,
    });
    let file = peers.folder.join("asked.json");
    fs::write(&file, asked.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/assertion.py");
    let mut python = Command::new(tool("voicelive-py/bin/python"));
    let command = python
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script)
        .arg(file);
    tells(command, Duration::from_secs(20)).await
}

#[tokio::test]
async fn c25_pyjwt_verifies_what_is_signed_while_keys_change_and_nothing_else() {
    let peers = Peers::new(AUDIENCE, false, |_| {}).await;
    let (old, new) = (key(&PKCS_ECDSA_P256_SHA256), key(&PKCS_ED25519));
    let before = edge(&peers, &[&old]);
    let change = edge(&peers, &[&new, &old]);
    let after = edge(&peers, &[&new]);
    let now = SystemTime::now();
    let ago = now - Duration::from_secs(300);
    let tokens = [sign(&before, now), sign(&change, now), sign(&change, ago)];
    let tokens = tokens.each_ref().map(String::as_str);
    let stranger = edge(&peers, &[&key(&PKCS_ECDSA_P256_SHA256)]);
    let strange = sign(&stranger, now);
    let all = [tokens[0], tokens[1], tokens[2], &strange];

    let told = verified(&peers, &change.jwks(), &all).await;
    let [first, second, late, strange] = told["tokens"].as_array().unwrap().as_slice() else {
        panic!("{told}");
    };
    for (said, algorithm) in [(first, "ES256"), (second, "EdDSA")] {
        assert_eq!(said["alg"], algorithm, "{told}");
        assert_eq!(said["body"], true, "{told}");
        let claims = &said["claims"];
        assert_eq!(claims["oid"], id(1).as_str());
        assert_eq!(claims["scope"], json!([id(1).as_str(), id(3).as_str()]));
        let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!(life, 125);
    }
    assert_ne!(first["claims"]["jti"], second["claims"]["jti"]);
    assert_eq!(late["error"], "ExpiredSignatureError", "{told}");
    assert_eq!(strange["error"], "no such key", "{told}");
    // Keys are named by what they are.
    assert_eq!(told["names"], true, "{told}");

    // The old one is gone from what is published.
    let told = verified(&peers, &after.jwks(), &all[..2]).await;
    assert_eq!(told["tokens"][0]["error"], "no such key", "{told}");
    assert_eq!(told["tokens"][1]["alg"], "EdDSA", "{told}");
}
