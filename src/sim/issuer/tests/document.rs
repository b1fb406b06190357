use super::*;
use crate::sim::issuer::document::is_guid;

#[tokio::test]
async fn each_issuer_has_its_metadata_and_its_keys() {
    let stage = Stage::tls().await;
    let base = stage.provider.base();
    assert_eq!(base, format!("https://localhost:{}", stage.address.port()));
    let documents = [
        (
            format!("/{TENANT}/v2.0/.well-known/openid-configuration"),
            format!("{base}/{TENANT}/v2.0"),
            format!("/{TENANT}/discovery/v2.0/keys"),
        ),
        (
            format!("/{TENANT}/.well-known/openid-configuration"),
            format!("https://sts.windows.net/{TENANT}/"),
            format!("/{TENANT}/discovery/keys"),
        ),
        (
            "/common/v2.0/.well-known/openid-configuration".into(),
            format!("{base}/{{tenantid}}/v2.0"),
            "/common/discovery/v2.0/keys".into(),
        ),
        (
            "/organizations/v2.0/.well-known/openid-configuration".into(),
            format!("{base}/{{tenantid}}/v2.0"),
            "/organizations/discovery/v2.0/keys".into(),
        ),
        (
            "/common/.well-known/openid-configuration".into(),
            "https://sts.windows.net/{tenantid}/".into(),
            "/common/discovery/keys".into(),
        ),
        (
            "/.well-known/openid-configuration".into(),
            base.clone(),
            "/keys".into(),
        ),
        (
            "/calling/.well-known/acsopenidconfiguration".into(),
            "https://acscallautomation.communication.azure.com".into(),
            "/calling/keys".into(),
        ),
    ];
    for (place, issuer, keys) in &documents {
        let answer = stage.get(place).await;
        assert_eq!(answer.status(), 200, "{place}");
        let metadata = answer.json();
        assert_eq!(metadata["issuer"], *issuer, "{place}");
        assert_eq!(metadata["jwks_uri"], format!("{base}{keys}"), "{place}");
        let answer = stage.get(keys).await;
        assert_eq!(answer.json(), stage.provider.keys_document(), "{keys}");
        let kind = answer.head.one("content-type").unwrap();
        assert!(kind.starts_with("application/json"), "{kind}");
    }
    let asked = Counts {
        metadata: 7,
        keys: 7,
        other: 0,
        connections: 14,
    };
    assert_eq!(stage.provider.counts(), asked);
    stage.end().await;
}

#[tokio::test]
async fn keys_of_three_kinds_are_published() {
    let stage = Stage::plain().await;
    let keys = stage.provider.keys_document();
    let keys = keys["keys"].as_array().unwrap();
    let kinds: Vec<_> = keys.iter().map(|key| (&key["kty"], &key["alg"])).collect();
    let expected = [("RSA", "RS256"), ("EC", "ES256"), ("OKP", "EdDSA")];
    assert_eq!(kinds.len(), expected.len());
    for (kind, expected) in kinds.into_iter().zip(expected) {
        assert_eq!((kind.0, kind.1), (&json!(expected.0), &json!(expected.1)));
    }
    for key in keys {
        assert_eq!(key["use"], "sig");
        assert_eq!(key["kid"].as_str().unwrap().len(), 27);
        assert!(key.get("d").is_none());
    }
    let size = |text: &Value| URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap();
    assert_eq!(size(&keys[0]["n"]).len(), 256);
    assert!(size(&keys[0]["n"])[0] >= 0x80);
    assert_eq!(size(&keys[0]["e"]), [1, 0, 1]);
    assert_eq!(size(&keys[1]["x"]).len(), 32);
    assert_eq!(size(&keys[1]["y"]).len(), 32);
    assert_eq!(size(&keys[2]["x"]).len(), 32);
    stage.end().await;
}

#[tokio::test]
async fn a_rotated_key_stays_until_it_is_retired() {
    let stage = Stage::plain().await;
    let provider = &stage.provider;
    let first = provider.kid();
    let old = provider.mint(&Mint::oidc(&provider.base(), AUDIENCE));
    provider.rotate();
    let second = provider.kid();
    assert_ne!(first, second);
    let keys = stage.get("/keys").await.json();
    assert_eq!(kids(&keys)[..2], [first.clone(), second.clone()]);
    assert_eq!(kids(&keys).len(), 4);
    assert_eq!(Token::read(&old).header["kid"], first);
    let new = provider.mint(&Mint::oidc(&provider.base(), AUDIENCE));
    assert_eq!(Token::read(&new).header["kid"], second);
    provider.publish(json!({ "kty": "oct", "kid": "odd" }));
    assert!(jwk(&provider.keys_document(), "odd").is_some());
    provider.retire();
    let keys = stage.get("/keys").await.json();
    assert_eq!(kids(&keys)[0], second);
    assert_eq!(kids(&keys).len(), 3);
    stage.end().await;
}

#[tokio::test]
async fn documents_can_be_dressed_up() {
    let stage = Stage::plain().await;
    let provider = &stage.provider;
    provider.publish(json!({ "kty": "RSA", "kid": "as it is", "alg": "RS256" }));
    provider.dress_keys(json!({ "alg": null, "issuer": "https://x.invalid/{tenantid}" }));
    let keys = stage.get("/keys").await.json();
    let keys = keys["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 4);
    assert_eq!(keys[0]["alg"], "RS256");
    for key in &keys[1..] {
        assert_eq!(key["issuer"], "https://x.invalid/{tenantid}");
        assert!(key.get("alg").is_none());
    }
    provider.dress_metadata(json!({ "issuer": "https://other.invalid" }));
    let metadata = stage.get("/.well-known/openid-configuration").await.json();
    assert_eq!(metadata["issuer"], "https://other.invalid");
    provider.dress_metadata(Value::Null);
    provider.dress_keys(Value::Null);
    let metadata = stage.get("/.well-known/openid-configuration").await.json();
    assert_eq!(metadata["issuer"], provider.base());
    assert_eq!(provider.keys_document()["keys"][1]["alg"], "RS256");
    stage.end().await;
}

#[test]
fn what_is_published_besides_is_bounded() {
    let provider = Provider::new("http://localhost:1".to_owned());
    for number in 0..4100 {
        provider.publish(json!({ "kid": number.to_string() }));
    }
    let keys = kids(&provider.keys_document());
    assert_eq!(keys.len(), 4096 + 3);
    assert_eq!(keys[0], "4");
}

#[test]
fn a_guid_is_five_groups_of_hexadecimal_digits() {
    assert!(is_guid(TENANT));
    assert!(is_guid("ABCDEFab-0000-0000-0000-000000000000"));
    let bad = [
        "",
        "common",
        "11111111222233334444555555555555",
        "1111111-12222-3333-4444-555555555555",
        "11111111-2222-3333-4444-55555555555g",
        "11111111-2222-3333-4444-555555555555-",
        "{11111111-2222-3333-4444-555555555555}",
    ];
    for text in bad {
        assert!(!is_guid(text), "{text}");
    }
}

#[tokio::test]
async fn the_bot_connector_has_metadata_and_keys_that_are_nobody_elses() {
    let stage = Stage::tls().await;
    let base = stage.provider.base();
    let metadata = stage
        .get("/v1/.well-known/openidconfiguration")
        .await
        .json();
    assert_eq!(metadata["issuer"], "https://api.botframework.com");
    let place = format!("{base}/v1/.well-known/keys");
    assert_eq!(metadata["jwks_uri"], place);
    let standard = stage.get("/v1/.well-known/openid-configuration").await;
    assert_eq!(standard.status(), 404);
    let kids = |document: &Value| -> Vec<String> {
        let keys = document["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    };
    let keys = || async { stage.get("/v1/.well-known/keys").await.json() };
    let first = keys().await;
    assert_eq!(first, stage.provider.connector_keys_document());
    let [key] = first["keys"].as_array().unwrap().as_slice() else {
        panic!("one key");
    };
    assert_eq!(key["x5t"], key["kid"]);
    assert_eq!(key["endorsements"][0], "msteams");
    assert_eq!(key.get("alg"), None);
    let others = kids(&stage.provider.keys_document());
    assert!(!others.contains(&kids(&first)[0]));
    // What it was dressed with stays with the key.
    let endorsed = json!({"endorsements": ["webchat"]});
    stage.provider.dress_connector_key(endorsed.clone());
    stage.provider.rotate_connector();
    stage
        .provider
        .dress_connector_key(json!({"endorsements": null}));
    let second = keys().await;
    assert_eq!(second["keys"][0]["endorsements"], endorsed["endorsements"]);
    assert_eq!(second["keys"][1].get("endorsements"), None);
    assert_eq!(kids(&second)[0], kids(&first)[0]);
    stage.provider.retire_connector();
    assert_eq!(kids(&keys().await), kids(&second)[1..]);
    stage.end().await;
}

#[tokio::test]
async fn a_token_of_the_bot_connector_says_what_a_real_one_says() {
    let stage = Stage::plain().await;
    let app = "33333333-2222-3333-4444-555555555555";
    let token = stage
        .provider
        .mint(&Mint::connector(app, "https://s.example/"));
    let part = |at: usize| -> Value {
        let part = token.split('.').nth(at).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let names: Vec<String> = part(1).as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["aud", "exp", "iss", "nbf", "serviceurl"]);
    let published = stage.provider.connector_keys_document();
    assert_eq!(part(0)["kid"], published["keys"][0]["kid"]);
    assert_eq!(part(0)["x5t"], part(0)["kid"]);
    assert!(
        stage
            .provider
            .connector_pem()
            .starts_with("-----BEGIN PUBLIC KEY-----")
    );
    stage.end().await;
}
