//! Webhooks: again where that may help, not where it cannot, and never in another's ear.

use serde_json::json;
use tonegate::sim::acs::line::Keying;

use super::world::{CONTACT, Centre, SECRET, SIX, checked};
use crate::call_control::webhook::Webhook;

/// A call is handed over, opened and ended.
async fn one(centre: &Centre, contact: &str) {
    let written = centre.hands_over(contact).await;
    let call = centre.arrives(&format!("call-{contact}")).await;
    call.dials(written["code"].as_str().unwrap(), &Keying::messages());
    centre.is(contact, "opened").await;
    call.hand.hang_up();
    call.ended().await;
    centre.is(contact, "ended").await;
}

#[tokio::test]
async fn a10_what_fails_for_a_while_is_told_again_under_the_same_id() {
    let centre = Centre::usual().await;
    for (status, headers) in [
        (500, vec![]),
        (503, vec![("retry-after", "0".to_owned())]),
        (429, vec![("retry-after", "1".to_owned())]),
    ] {
        centre.hook.next(status, headers, "");
    }
    let written = centre.hands_over(CONTACT).await;
    let call = centre.arrives("c1").await;
    call.dials(written["code"].as_str().unwrap(), &Keying::messages());
    let letters = centre.hook.came(4).await;
    for letter in &letters {
        assert_eq!(checked(letter), checked(&letters[0]));
        assert_eq!(letter.header("webhook-id"), letters[0].header("webhook-id"));
        assert_eq!(letter.target, "/hook?of=edge");
    }
    // Each is signed for the time when it was sent.
    let at = |number: usize| letters[number].header("webhook-timestamp");
    assert_ne!(at(0), at(3));
    call.hand.hang_up();
    call.ended().await;
    let letters = centre.hook.came(5).await;
    assert_ne!(
        letters[4].header("webhook-id"),
        letters[0].header("webhook-id")
    );
    assert_eq!(checked(&letters[4])["outcome"], "ended");
    centre.webhooks("sent", 2).await;
}

#[tokio::test]
async fn a10_what_is_refused_for_good_is_not_told_again_and_nothing_is_followed() {
    let centre = Centre::usual().await;
    let elsewhere = Webhook::open().await;
    for (number, status) in [302, 307, 308, 400, 401, 404, 410].into_iter().enumerate() {
        let headers = vec![("location", elsewhere.url("/stolen"))];
        centre.hook.next(status, headers, "");
        centre.hook.next(200, vec![], "");
        one(&centre, &format!("c{number}")).await;
        centre.webhooks("failed", number as u64 + 1).await;
        centre.webhooks("sent", number as u64 + 1).await;
    }
    assert_eq!(centre.hook.letters().len(), 14);
    assert!(elsewhere.letters().is_empty());
}

#[tokio::test]
async fn a10_attempts_have_an_end() {
    let hook = Webhook::open().await;
    let more = format!(
        "webhook = {{ url = \"{}\", secret = \"{SECRET}\", attempts = 2 }}",
        hook.url("/")
    );
    let centre = Centre::with(SIX, &more).await;
    for _ in 0..4 {
        hook.next(500, vec![("retry-after", "0".to_owned())], "");
    }
    one(&centre, CONTACT).await;
    centre.webhooks("failed", 2).await;
    assert_eq!(hook.came(4).await.len(), 4);
    assert!(centre.hook.letters().is_empty());
}

/// The receiver is another server with TLS, which takes no letters; what is proven is that it was asked,
/// and that it is not where its certificate is nobody's that the edge knows.
#[tokio::test]
async fn a10_s25_a_receiver_is_told_nothing_before_its_certificate_was_verified() {
    for (roots, asked) in [("ca.pem", true), ("system", false)] {
        let more = format!(
            "webhook = {{ url = \"ISSUER/outcome\", secret = \"{SECRET}\", roots = \"{roots}\", attempts = 1 }}"
        );
        let centre = Centre::with(SIX, &more).await;
        one(&centre, CONTACT).await;
        centre.webhooks("failed", 2).await;
        let others = centre.phone.provider.others();
        assert_eq!(others.contains(&"/outcome".to_owned()), asked, "{others:?}");
    }
}

/// The edge knows by then whom to tell.
#[tokio::test]
async fn a10_s31_the_end_is_told_although_the_store_is_away() {
    let redis = crate::phone::server::Server::plain(&[]);
    let line = crate::phone::world::Line {
        gate: SIX.to_owned(),
        store: format!("url = \"redis://127.0.0.1:{}\"", redis.port),
        ..Default::default()
    };
    let centre = Centre::of(line, "").await;
    centre.phone.world.metrics_say("tonegate_store_up 1").await;
    let written = centre.hands_over(CONTACT).await;
    let call = centre.arrives("c1").await;
    call.dials(written["code"].as_str().unwrap(), &Keying::messages());
    centre.hears(1).await;
    redis.kill();
    call.hand.hang_up();
    call.ended().await;
    // The session is over before that.
    centre.phone.ended("client", "client_closed", 1).await;
    let told = centre.hears(2).await;
    assert_eq!(
        (&told[1]["outcome"], &told[1]["call"]),
        (&json!("ended"), &json!("c1"))
    );
}

/// The call has moved to another edge, and this one has not found that out when its socket ends.
#[tokio::test]
async fn a10_a25_the_end_is_told_by_whoever_has_the_call_and_by_nobody_else() {
    let redis = crate::phone::server::Server::plain(&[]);
    let line = crate::phone::world::Line {
        gate: SIX.to_owned(),
        store: format!("url = \"redis://127.0.0.1:{}\"", redis.port),
        ..Default::default()
    };
    let centre = Centre::of(line, "").await;
    centre.phone.world.metrics_say("tonegate_store_up 1").await;
    let written = centre.hands_over(CONTACT).await;
    let call = centre.arrives("c1").await;
    call.dials(written["code"].as_str().unwrap(), &Keying::messages());
    centre.hears(1).await;
    let record = format!("handoff:{{{CONTACT}}}");
    let other = tonegate::ids::SessionId::random().to_string();
    redis.tell(&["HSET", &record, "owner", &other]);
    call.hand.hang_up();
    call.ended().await;
    centre.phone.ended("client", "client_closed", 1).await;
    let noted = "tonegate_store_operations_total{operation=\"note_over\",result=\"ok\"} 1";
    centre.phone.world.metrics_say(noted).await;
    assert_eq!(centre.looks(CONTACT).await["state"], "opened");
    one(&centre, "another").await;
    let told = centre.hears(3).await;
    let ended = |told: &&serde_json::Value| told["outcome"] == "ended";
    let ended: Vec<_> = told.iter().filter(ended).collect();
    assert_eq!(ended.len(), 1, "{told:?}");
    assert_eq!(ended[0]["session"], "another");
}

/// What other clouds write plainly opens calls as before, and is told to nobody; and what they say in
/// it is believed as far as the log goes, not further.
#[tokio::test]
async fn a11_keys_that_others_write_make_no_webhooks() {
    let redis = crate::phone::server::Server::plain(&[]);
    let line = crate::phone::world::Line {
        gate: SIX.to_owned(),
        store: format!("url = \"redis://127.0.0.1:{}\"", redis.port),
        ..Default::default()
    };
    let mut centre = Centre::of(line, "").await;
    let child = crate::child::Child::start(&mut centre.phone.world, "true");
    child.metrics_say("tonegate_store_up 1").await;
    let ani = crate::phone::world::ANI;
    let asked = json!({"flow": "pstn", "ani": ani, "code": "111111"});
    assert_eq!(centre.asks("PUT", CONTACT, Some(&asked)).await.status, 201);
    let forged = format!("{{\"session\":\"{CONTACT}\"}}");
    let values = [
        ("222222", "1"),
        ("333333", forged.as_str()),
        ("444444", "{\"session\":\"a b\"}"),
        ("555555", "{\"session\":\"named-by-others\"}"),
    ];
    for (code, value) in values {
        let key = format!("pstn:{ani}:{code}");
        redis.tell(&["SET", &key, value, "EX", "600"]);
        let call = centre.arrives(&format!("c{code}")).await;
        call.dials(code, &Keying::messages());
        let opened = |line: &serde_json::Value| {
            line["message"] == "gate opened" && line["call"] == format!("c{code}")
        };
        child.until(code, |child| child.logged(opened) == 1).await;
        let named = |contact: &str| child.logged(|line| opened(line) && line["contact"] == contact);
        assert_eq!(named(CONTACT), usize::from(code == "333333"));
        assert_eq!(named("named-by-others"), usize::from(code == "555555"));
        call.hand.hang_up();
        call.ended().await;
    }
    assert_eq!(centre.looks(CONTACT).await["state"], "waiting");
    assert!(centre.hook.letters().is_empty());
}
