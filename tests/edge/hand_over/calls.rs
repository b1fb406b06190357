//! From the session that is written to the agent who hears its caller, and the end.

use serde_json::{Value, json};
use tonegate::admission::media_url::Signed;
use tonegate::ids::CallId;
use tonegate::sim::acs::line::Keying;

use super::world::{CONTACT, Centre, SIX, json_of};
use crate::child::Child;
use crate::phone::world::{ANI, CONNECTION, CORRELATION, id};

/// Amazon Connect dials what it was told, pauses and all, as tones on the line.
#[tokio::test]
async fn a09_a10_a11_a_call_is_handed_over_and_told_of_to_its_end() {
    // So many digits that no time and no id has them by chance.
    let gate = "flow = \"pstn\", digits = 12, deadline = \"20s\"";
    let mut centre = Centre::with(gate, "digits = 12").await;
    let child = Child::start(&mut centre.phone.world, "export TONEGATE_LOG=trace");
    let asked = json!({
        "flow": "pstn", "ani": ANI, "ttl": "2m", "context": {"account": "A-17", "vip": true},
    });
    let answer = centre.asks("PUT", CONTACT, Some(&asked)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let written = json_of(&answer);
    let (code, dial) = (
        written["code"].as_str().unwrap(),
        written["dial"].as_str().unwrap(),
    );
    assert_eq!(dial, format!(",,,{code}#"));
    assert!(code.len() == 12 && dial.len() <= 50);
    assert_eq!(centre.looks(CONTACT).await["state"], "waiting");

    let call = centre.arrives("handed-1").await;
    call.dials(dial, &Keying::tones());
    let opened = centre.is(CONTACT, "opened").await;
    for (name, value) in [
        ("session", json!(CONTACT)),
        ("call", json!("handed-1")),
        ("connection", json!(CONNECTION)),
        ("correlation", json!(CORRELATION)),
        ("context", asked["context"].clone()),
        ("expires", written["expires"].clone()),
    ] {
        assert_eq!(opened[name], value, "{name}: {opened}");
    }
    centre.phone.world.upstream_saw(|_| true).await;
    call.hand.hang_up();
    assert_eq!(call.ended().await.violations, []);
    let ended = centre.is(CONTACT, "ended").await;
    assert_eq!(
        (&ended["ended_by"], &ended["reason"]),
        (&json!("client"), &json!("client_closed"))
    );
    assert!(ended["duration_ms"].as_u64().unwrap() >= 2_250, "{ended}");

    let told = centre.hears(2).await;
    for (told, outcome, reason) in [
        (&told[0], "opened", Value::Null),
        (&told[1], "ended", json!("client_closed")),
    ] {
        assert_eq!(told["type"], format!("session.{outcome}"));
        assert_eq!(told["outcome"], outcome);
        assert_eq!(told["session"], CONTACT);
        assert_eq!(told["call"], "handed-1");
        assert_eq!(told["connection"], CONNECTION);
        assert_eq!(told["correlation"], CORRELATION);
        assert_eq!(told["reason"], reason);
    }
    assert_eq!(told[0]["at"], opened["opened"]);
    assert_eq!(told[1]["at"], ended["ended"]);
    assert_eq!(told[1]["duration_ms"], ended["duration_ms"]);

    // One name in both clouds' logs, and in neither a digit or a number.
    for message in ["session handed over", "gate opened", "session ended"] {
        let line = |line: &Value| line["message"] == message && line["contact"] == CONTACT;
        child.until(message, |child| child.logged(line) == 1).await;
    }
    let tells = |text: &str| text.contains(code) || text.contains(&ANI[1..]);
    assert_eq!(child.logged(|line| tells(&line.to_string())), 0);
    for letter in centre.hook.letters() {
        assert!(!tells(std::str::from_utf8(&letter.body).unwrap()));
    }
    let page = child.metrics_page().await;
    assert!(!tells(&page) && !page.contains(CONTACT), "{page}");
}

#[tokio::test]
async fn a09_a_code_of_the_centres_own_opens_the_call_too() {
    let centre = Centre::with("flow = \"pstn\", max_digits = 8", "commas = 0").await;
    let asked = json!({"flow": "pstn", "ani": ANI, "code": "823"});
    let answer = centre.asks("PUT", CONTACT, Some(&asked)).await;
    let written = json_of(&answer);
    assert_eq!(
        (&written["dial"], &written["code"]),
        (&json!("823#"), &Value::Null)
    );
    let call = centre.arrives("c1").await;
    call.dials("823#", &Keying::both());
    assert_eq!(centre.hears(1).await[0]["outcome"], "opened");
    // Once.
    let other = centre.arrives("c2").await;
    other.dials("823#823#823#", &Keying::messages());
    other.closed(4403, "code_wrong").await;
    call.hand.hang_up();
    call.ended().await;
    centre.is(CONTACT, "ended").await;
}

/// A session border controller names the call in a header; nothing is dialled.
#[tokio::test]
async fn a08_a13_a_call_with_its_sip_id_is_handed_over() {
    let mut centre = Centre::with("flow = \"sip-header\", consume = true", "").await;
    let child = Child::start(&mut centre.phone.world, "true");
    let asked = json!({"flow": "sip", "sip_id": "abc-xyz-123"});
    let answer = centre.asks("PUT", "sbc-1", Some(&asked)).await;
    assert_eq!(answer.status, 201);
    let written = json_of(&answer);
    assert!(
        written["code"].is_null() && written["dial"].is_null(),
        "{written}"
    );
    let signed = |call: &str| Signed {
        sip: Some(id("abc-xyz-123")),
        ..Signed::of(CallId::new(call).unwrap())
    };
    let dial = centre.phone.dial(&signed("c1"));
    let call = centre.phone.rings(&dial, Default::default()).await;
    let opened = centre.is("sbc-1", "opened").await;
    assert_eq!(opened["call"], "c1");
    let started = |line: &Value| line["message"] == "session started" && line["contact"] == "sbc-1";
    child
        .until("the start", |child| child.logged(started) == 1)
        .await;
    // It opens one call.
    let other = centre.phone.dial(&signed("c2"));
    assert_eq!(
        centre.phone.refused(&other).await,
        (403, "forbidden".to_owned())
    );
    call.hand.hang_up();
    call.ended().await;
    let told = centre.hears(2).await;
    let outcomes: Vec<_> = told.iter().map(|told| told["outcome"].as_str()).collect();
    assert_eq!(outcomes, [Some("opened"), Some("ended")]);
}

/// A numeric alias is dialled as a code is.
#[tokio::test]
async fn a13_an_alias_is_dialled() {
    let centre = Centre::with("flow = \"sip\", digits = 6", "commas = 1").await;
    let asked = json!({"flow": "sip", "sip_id": "482913"});
    let written = json_of(&centre.asks("PUT", CONTACT, Some(&asked)).await);
    assert_eq!(written["dial"], ",482913#");
    let call = centre.arrives("c1").await;
    call.dials(",482913#", &Keying::tones());
    centre.is(CONTACT, "opened").await;
    call.hand.hang_up();
    call.ended().await;
}

/// ACS dials once more while the call goes on, and the agent's side is told of one call.
#[tokio::test]
async fn a25_a11_a_call_that_is_taken_over_is_told_once() {
    let centre = Centre::usual().await;
    let written = centre.hands_over(CONTACT).await;
    let first = centre.arrives("c1").await;
    first.dials(written["code"].as_str().unwrap(), &Keying::messages());
    centre.hears(1).await;
    let second = centre.arrives("c1").await;
    first.closed(4409, "superseded").await;
    second.hand.hang_up();
    second.ended().await;
    let told = centre.hears(2).await;
    assert_eq!(told[1]["outcome"], "ended");
    assert_eq!(told[1]["reason"], "client_closed");
    // Within the resume window it goes on, and is told of again.
    let third = centre.arrives("c1").await;
    assert_eq!(centre.hears(3).await[2]["outcome"], "opened");
    third.hand.hang_up();
    third.ended().await;
    assert_eq!(centre.hears(4).await[3]["outcome"], "ended");
    centre.webhooks("sent", 4).await;
}

/// A caller who does not know the code opens nothing, and nobody is told of that.
#[tokio::test]
async fn a10_a_session_that_nobody_used_is_expired_and_was_told_to_nobody() {
    let centre = Centre::with(&format!("{SIX}, attempts = 1"), "").await;
    let asked = json!({"flow": "pstn", "ani": ANI, "code": "482913", "ttl": 1});
    centre.asks("PUT", CONTACT, Some(&asked)).await;
    let call = centre.arrives("c1").await;
    call.dials("111111", &Keying::messages());
    call.closed(4403, "code_wrong").await;
    centre.is(CONTACT, "expired").await;
    let late = centre.arrives("c2").await;
    late.dials("482913", &Keying::messages());
    late.closed(4403, "code_wrong").await;
    // The contact may be handed over once more.
    let answer = centre.asks("PUT", CONTACT, Some(&asked)).await;
    assert_eq!(answer.status, 201);
    assert!(centre.hook.letters().is_empty());
}

/// The edge is told to stop in the middle of a call: the other cloud still hears how it ended.
#[tokio::test]
async fn a10_s38_an_edge_that_stops_says_so_first() {
    let mut centre = Centre::usual().await;
    let child = Child::start(&mut centre.phone.world, "true");
    let written = centre.hands_over(CONTACT).await;
    let call = centre.arrives("c1").await;
    call.dials(written["code"].as_str().unwrap(), &Keying::messages());
    centre.hears(1).await;
    // It answers late, and is waited for.
    centre
        .hook
        .next(503, vec![("retry-after", "1".to_owned())], "");
    child.terminate();
    call.closed(1001, "draining").await;
    let told = centre.hears(3).await;
    assert_eq!(told[1], told[2]);
    assert_eq!(
        (&told[2]["outcome"], &told[2]["reason"]),
        (&json!("ended"), &json!("draining"))
    );
}

/// Nothing hears webhooks where they go, and calls do not notice.
#[tokio::test]
async fn a10_a_receiver_that_does_not_answer_delays_no_call() {
    // Connections are taken by the system and never answered.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = deaf.local_addr().unwrap().port();
    let hook = format!(
        "webhook = {{ url = \"http://127.0.0.1:{port}/\", secret = \"{}\", timeout = \"300ms\", attempts = 1 }}",
        super::world::SECRET
    );
    let centre = Centre::with(SIX, &hook).await;
    let written = centre.hands_over(CONTACT).await;
    let call = centre.arrives("c1").await;
    call.dials(written["code"].as_str().unwrap(), &Keying::messages());
    centre.phone.world.upstream_saw(|_| true).await;
    call.hand.hang_up();
    call.ended().await;
    centre.phone.ended("client", "client_closed", 1).await;
    centre.is(CONTACT, "ended").await;
    centre.webhooks("failed", 2).await;
}
