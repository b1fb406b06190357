//! What must not enter as the Bot Connector, and what may.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tonegate::error::Reason;
use tonegate::sim::issuer::behaviour::Behaviour;
use tonegate::sim::issuer::mint::{Algorithm, KeyChoice, Mint};

use tonegate::wire::activity::{Field, Flaw};

use super::*;

#[tokio::test]
async fn c02_signatures_that_are_not_the_connectors_do_not_enter() {
    let bot = Bot::usual().await;
    let public = bot.provider.connector_pem().into_bytes();
    let good = bot.token(|_| ());
    for algorithm in [
        Algorithm::None,
        Algorithm::Hs256 { secret: public },
        Algorithm::Rs384,
        Algorithm::Ps256,
        Algorithm::Es256,
        Algorithm::EdDsa,
    ] {
        let what = algorithm.name();
        let token = bot.token(|mint| mint.algorithm = algorithm.clone());
        bot.is_refused(what, &token).await;
        // The same signature under the algorithm that is taken.
        let dressed = bot.token(|mint| {
            mint.algorithm = algorithm.clone();
            mint.header = json!({"alg": "RS256"});
        });
        bot.is_refused(what, &dressed).await;
    }
    let unpublished = bot.provider.mint(&Mint {
        header: header_of(&good),
        ..by(KeyChoice::Unpublished, bot.mint())
    });
    bot.is_refused("a key that nobody publishes", &unpublished)
        .await;
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for other in ["", "AAAA", &signature[1..]] {
        bot.is_refused("another signature", &format!("{signed}.{other}"))
            .await;
    }
    for (what, header) in [
        ("no kid", json!({"kid": null})),
        ("another kid", json!({"kid": "other"})),
        ("critical extensions", json!({"crit": ["b64"], "b64": true})),
        ("another type", json!({"typ": "logout+jwt"})),
    ] {
        bot.is_refused(what, &bot.token(|mint| mint.header = header))
            .await;
    }
    bot.enters("what is good", &good).await;
}

/// The header of a token, as it is.
fn header_of(token: &str) -> Value {
    let header = token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

#[tokio::test]
async fn c02_a_key_signs_for_its_own_issuer_only() {
    let bot = Bot::with(&of_tenant()).await;
    let (connector, entra) = (bot.mint(), of_entra());
    bot.enters("the connector's", &bot.provider.mint(&connector))
        .await;
    bot.enters("Entra's", &bot.provider.mint(&entra)).await;
    let header = |mint: &Mint| header_of(&bot.provider.mint(mint));
    for (what, mint) in [
        (
            "the connector's by Entra's key",
            by(KeyChoice::Signing, connector.clone()),
        ),
        (
            "Entra's by the connector's key",
            by(KeyChoice::Connector, entra.clone()),
        ),
        (
            "the connector's by Entra's key, under the name of its own",
            Mint {
                header: header(&connector),
                ..by(KeyChoice::Signing, connector.clone())
            },
        ),
        (
            "Entra's by the connector's key, under the name of its own",
            Mint {
                header: header(&entra),
                ..by(KeyChoice::Connector, entra.clone())
            },
        ),
    ] {
        bot.is_refused(what, &bot.provider.mint(&mint)).await;
    }
    // Where no application is named, Entra signs for nobody.
    let plain = Bot::usual().await;
    plain
        .is_refused("Entra's", &plain.provider.mint(&of_entra()))
        .await;
}

#[tokio::test]
async fn c02_claims_that_are_nearly_right_do_not_enter() {
    let bot = Bot::usual().await;
    let now = now();
    for (name, value) in [
        ("iss", json!("https://api.botframework.com/")),
        ("iss", json!("https://api.botframework.us")),
        ("iss", json!(["https://api.botframework.com"])),
        ("aud", json!(TENANT)),
        ("aud", json!(APP.to_uppercase())),
        ("aud", json!([APP])),
        ("exp", json!(now - 310)),
        ("exp", json!(null)),
        ("exp", json!("4102444800")),
        ("nbf", json!(now + 310)),
        ("serviceurl", json!(null)),
        ("serviceurl", json!([SERVICE])),
        ("serviceUrl", json!("https://smba.trafficmanager.net/emea/")),
    ] {
        let token = bot.provider.mint(&bot.mint().with(name, value.clone()));
        bot.is_refused(&format!("{name} {value}"), &token).await;
    }
    // Seconds from being refused.
    let now = super::now();
    for (name, value) in [
        ("exp", json!(now - 295)),
        ("nbf", json!(now + 295)),
        ("serviceUrl", json!(SERVICE)),
        ("sub", json!("somebody")),
        ("tid", json!(OTHER_TENANT)),
    ] {
        let token = bot.provider.mint(&bot.mint().with(name, value.clone()));
        bot.enters(&format!("{name} {value}"), &token).await;
    }
}

#[tokio::test]
async fn c02_a_token_of_entra_is_of_the_bots_tenant_and_for_a_named_application() {
    let bot = Bot::with(&of_tenant()).await;
    let issuer = |tenant: &str| format!("https://sts.windows.net/{tenant}/");
    let emulator = "d6d49420-f39b-4df7-a1dc-d59a935871db";
    for (what, mint) in [
        ("another tid", of_entra().with("tid", OTHER_TENANT)),
        ("no tid", of_entra().without("tid")),
        ("another iss", of_entra().with("iss", issuer(OTHER_TENANT))),
        (
            "another tenant",
            of_entra()
                .with("iss", issuer(OTHER_TENANT))
                .with("tid", OTHER_TENANT),
        ),
        (
            "an emulator",
            of_entra()
                .with("iss", issuer(emulator))
                .with("tid", emulator)
                .with("appid", APP),
        ),
        ("no service", of_entra().without("serviceurl")),
        ("a list", of_entra().with("aud", json!([APP]))),
    ] {
        bot.is_refused(what, &bot.provider.mint(&mint)).await;
    }
    for (what, mint) in [
        ("another application", of_entra().with("appid", APP)),
        ("no application", of_entra().without("appid")),
    ] {
        let refused = bot.takes(&bot.provider.mint(&mint)).await.unwrap_err();
        assert_eq!(refused.token().reason, Reason::Forbidden, "{what}");
        assert_eq!(refused.status(), Some(403));
    }
    let second = Mint::entra_v2(&bot.provider.base(), TENANT, APP).with("azp", SENDER);
    let second = second.with("serviceurl", SERVICE);
    bot.enters("version 2.0", &bot.provider.mint(&second)).await;
    let free = Bot::with(&(of_tenant() + "require_service_url = false")).await;
    let bare = free.provider.mint(&of_entra().without("serviceurl"));
    free.enters("no service where none is needed", &bare).await;
    let connectors = free.provider.mint(&free.mint().without("serviceurl"));
    free.is_refused("the connector's without", &connectors)
        .await;
}

#[tokio::test]
async fn c01_without_a_token_it_is_401_and_with_a_bad_one_403() {
    let bot = Bot::usual().await;
    let body = message().to_string();
    for header in [None, Some("Basic dTpw"), Some("Bearer"), Some("Digest x")] {
        let refused = bot.hears(header, &body).await.unwrap_err();
        assert_eq!(refused.status(), Some(401), "{header:?}");
        assert_eq!(refused.token().challenge, None);
    }
    for header in [
        "Bearer x",
        "Bearer a.b.c",
        "Bearer ",
        "bearer ..",
        "Bearer a b.c.d",
    ] {
        let refused = bot.hears(Some(header), &body).await.unwrap_err();
        assert_eq!(refused.status(), Some(403), "{header:?}");
        assert_eq!(refused.token().reason, Reason::Unauthenticated);
    }
    let token = bot.token(|_| ());
    let lower = bot.hears(Some(&format!("bearer {token}")), &body).await;
    assert_eq!(lower.unwrap().user().unwrap().as_str(), USER);
}

#[tokio::test]
async fn c02_a_verified_token_proves_nothing_of_another_activity() {
    let bot = Bot::usual().await;
    let token = bot.token(|_| ());
    bot.enters("the first time", &token).await;
    let header = format!("Bearer {token}");
    let mut other = message();
    other["serviceUrl"] = json!("https://smba.trafficmanager.net/emea/");
    let refused = bot.hears(Some(&header), &other.to_string()).await;
    assert_eq!(refused.unwrap_err().status(), Some(403));
    let twice = message().to_string().replacen('{', "{\"from\":{},", 1);
    let refused = bot.hears(Some(&header), &twice).await.unwrap_err();
    let twice = Wrong::Field(Field::From, Flaw::Twice);
    assert!(matches!(refused, Refused::Body(wrong) if wrong == twice));
    bot.enters("the third time", &token).await;
}

#[tokio::test]
async fn c04_endorsements_are_those_of_the_very_key_as_it_is_published_now() {
    let bot = Bot::usual().await;
    let strict = "require_endorsements = true";
    let endorsed = bot.token(|_| ());
    bot.provider.rotate_connector();
    bot.provider
        .dress_connector_key(json!({"endorsements": ["skype", "webchat"]}));
    let elsewhere = bot.token(|_| ());
    bot.provider.rotate_connector();
    bot.provider
        .dress_connector_key(json!({"endorsements": null}));
    let bare = bot.token(|_| ());
    bot.enters("endorsed for Teams", &endorsed).await;
    bot.enters("not endorsed at all", &bare).await;
    let refused = bot.takes(&elsewhere).await.unwrap_err();
    assert!(matches!(refused, Refused::Bound(_)), "{refused:?}");
    assert_eq!(refused.status(), Some(403));
    // What is taken back counts from the next fetch on, also for tokens that were verified before.
    bot.provider
        .dress_connector_key(json!({"endorsements": ["webchat"]}));
    bot.is_refused(
        "a fetch",
        &bot.token(|mint| mint.header = json!({"kid": "x"})),
    )
    .await;
    let refused = bot.takes(&bare).await.unwrap_err();
    assert!(matches!(refused, Refused::Bound(_)), "{refused:?}");
    bot.enters("endorsed for Teams", &endorsed).await;

    let bot = Bot::with(strict).await;
    bot.enters("endorsed for Teams", &bot.token(|_| ())).await;
    bot.provider.rotate_connector();
    bot.provider
        .dress_connector_key(json!({"endorsements": null}));
    let refused = bot.takes(&bot.token(|_| ())).await.unwrap_err();
    assert!(matches!(refused, Refused::Bound(_)), "{refused:?}");
}

#[tokio::test]
async fn c05_a_new_key_is_found_at_once_and_a_storm_of_unknown_ones_costs_three_fetches() {
    let bot = Bot::usual().await;
    bot.enters("the first key", &bot.token(|_| ())).await;
    let before = bot.provider.counts().keys;
    let last = bot.token(|_| ());
    bot.provider.rotate_connector();
    bot.enters("a new key", &bot.token(|_| ())).await;
    assert_eq!(bot.provider.counts().keys, before + 1);
    bot.enters("the one before", &last).await;
    for number in 0..40 {
        let header = json!({"kid": format!("made-up-{number}")});
        let token = bot.token(|mint| mint.header = header);
        let refused = bot.takes(&token).await.unwrap_err();
        let status = refused.status().unwrap();
        // When there were enough looks, the next one is later.
        assert!(status == 403 || status == 503, "{refused:?}");
    }
    assert!(bot.provider.counts().keys <= before + 3);
    bot.enters("in the storm", &last).await;
}

#[tokio::test]
async fn c05_without_keys_nobody_is_told_that_the_token_is_bad() {
    let away = |provider: &Provider| provider.set(Behaviour::Status(503));
    let of_another = |provider: &Provider| {
        provider.dress_metadata(json!({"issuer": "https://api.botframework.us"}));
    };
    let prepared: [fn(&Provider); 2] = [away, of_another];
    for prepare in prepared {
        let bot = Bot::prepared("", prepare).await;
        let refused = bot.takes(&bot.token(|_| ())).await.unwrap_err();
        assert_eq!(refused.token().reason, Reason::KeysUnavailable);
        assert_eq!(refused.status(), Some(503));
    }
}

#[tokio::test]
async fn c02_the_connector_of_the_us_government_is_another_one() {
    const GOV: &str = "https://api.botframework.us";
    const SERVICE: &str = "https://smba.infra.gov.teams.microsoft.us/teams";
    let bot = Bot::prepared("cloud = \"us-gov\"", |provider| {
        provider.dress_metadata(json!({ "issuer": GOV }));
    });
    let bot = bot.await;
    let mut body = message();
    body["serviceUrl"] = json!(SERVICE);
    let mint = Mint::connector(APP, SERVICE);
    let hear = |mint: Mint| {
        let header = format!("Bearer {}", bot.provider.mint(&mint));
        let body = body.to_string();
        let bot = &bot;
        async move { bot.hears(Some(&header), &body).await }
    };
    let refused = hear(mint.clone()).await.unwrap_err();
    assert_eq!(refused.token().reason, Reason::Unauthenticated);
    let caller = hear(mint.with("iss", GOV)).await.unwrap();
    assert_eq!(caller.reference().service_url, SERVICE);
}
