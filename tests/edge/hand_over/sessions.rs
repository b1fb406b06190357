//! Sessions as whoever writes them sees them: written once, looked at, taken back.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tonegate::sim::acs::line::Keying;

use super::world::{CONTACT, Centre, SIX, json_of, pstn, request};
use crate::harness::KEY;
use crate::phone::world::{ANI, Line};

#[tokio::test]
async fn a09_the_same_request_again_is_answered_the_same() {
    let centre = Centre::usual().await;
    let written = centre.hands_over(CONTACT).await;
    // However it is written, and however often.
    let again = json!({"ani": ANI, "flow": "pstn"});
    let all = (0..5).map(|_| centre.asks("PUT", CONTACT, Some(&again)));
    for answer in join_all(all).await {
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(json_of(&answer), written);
    }
    for other in [
        json!({"flow": "pstn", "ani": ANI, "code": "482913"}),
        json!({"flow": "pstn", "ani": ANI, "ttl": "1m"}),
        json!({"flow": "pstn", "ani": ANI, "context": {}}),
        json!({"flow": "pstn", "ani": "+15557654321"}),
        json!({"flow": "sip", "sip_id": "482913"}),
    ] {
        let answer = centre.asks("PUT", CONTACT, Some(&other)).await;
        answer.is(409, "bad_request");
    }
    assert_eq!(centre.looks(CONTACT).await["state"], "waiting");
}

#[tokio::test]
async fn a09_thirty_at_once_write_one_session() {
    let centre = Centre::usual().await;
    let asked = pstn();
    let all = (0..30).map(|_| centre.asks("PUT", CONTACT, Some(&asked)));
    let answers = join_all(all).await;
    let created: Vec<&_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    let [created] = created[..] else {
        panic!("{} are new", created.len());
    };
    for answer in &answers {
        assert!(matches!(answer.status, 200 | 201), "{}", answer.body);
        assert_eq!(json_of(answer), json_of(created));
    }
}

#[tokio::test]
async fn a09_a_code_in_use_is_anothers_and_another_one_is_drawn() {
    let centre = Centre::with("flow = \"pstn\", digits = 3", "digits = 3").await;
    let asked = json!({"flow": "pstn", "ani": ANI, "code": "823"});
    assert_eq!(centre.asks("PUT", "one", Some(&asked)).await.status, 201);
    centre
        .asks("PUT", "two", Some(&asked))
        .await
        .is(409, "bad_request");
    // Another cloud has some of the others, in its own plain way.
    let store = centre.phone.world.edge().store();
    let ani = tonegate::ids::PhoneNumber::new(ANI).unwrap();
    let hour = std::time::Duration::from_secs(3600);
    for code in (0..1000).filter(|code| code % 4 == 0) {
        let key = store.keys().pstn(&ani, &format!("{code:03}")).unwrap();
        store.put_key(&key, hour).await.unwrap();
    }
    let mut codes = Vec::new();
    for number in 0..20 {
        let written = centre.hands_over(&format!("drawn-{number}")).await;
        let code: u32 = written["code"].as_str().unwrap().parse().unwrap();
        assert!(!code.is_multiple_of(4) && code != 823, "somebody else's");
        codes.push(code);
    }
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), 20);
    for code in (0..1000).filter(|code| code % 4 > 0) {
        let key = store.keys().pstn(&ani, &format!("{code:03}")).unwrap();
        store.put_key(&key, hour).await.unwrap();
    }
    centre
        .asks("PUT", "none-left", Some(&pstn()))
        .await
        .is(503, "busy");
}

#[tokio::test]
async fn a10_what_is_taken_back_opens_nothing() {
    let centre = Centre::with(&format!("{SIX}, attempts = 1"), "").await;
    let written = centre.hands_over(CONTACT).await;
    let gone = centre.asks("DELETE", CONTACT, None).await;
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    centre
        .asks("DELETE", CONTACT, None)
        .await
        .is(404, "not_found");
    centre.asks("GET", CONTACT, None).await.is(404, "not_found");
    let call = centre.arrives("c1").await;
    call.dials(written["code"].as_str().unwrap(), &Keying::messages());
    call.closed(4403, "code_wrong").await;
    assert!(centre.hook.letters().is_empty());
}

#[tokio::test]
async fn a10_a_call_that_was_opened_is_not_taken_back() {
    let centre = Centre::usual().await;
    let written = centre.hands_over(CONTACT).await;
    let call = centre.arrives("c1").await;
    call.dials(written["code"].as_str().unwrap(), &Keying::messages());
    centre.is(CONTACT, "opened").await;
    centre
        .asks("DELETE", CONTACT, None)
        .await
        .is(409, "bad_request");
    // The same request, which came late, writes no second key.
    let late = centre.asks("PUT", CONTACT, Some(&pstn())).await;
    assert_eq!((late.status, json_of(&late)), (200, written.clone()));
    let other = json!({"flow": "pstn", "ani": ANI, "ttl": 9});
    centre
        .asks("PUT", CONTACT, Some(&other))
        .await
        .is(409, "bad_request");
    call.hand.hang_up();
    call.ended().await;
    centre.is(CONTACT, "ended").await;
    // The flow goes on in the other cloud, and hands the same contact over once more.
    let anew = centre.hands_over(CONTACT).await;
    assert_ne!(
        (&anew["code"], &anew["expires"]),
        (&written["code"], &written["expires"])
    );
    let second = centre.arrives("c2").await;
    second.dials(anew["code"].as_str().unwrap(), &Keying::messages());
    let opened = centre.is(CONTACT, "opened").await;
    assert_eq!(
        (&opened["call"], &opened["reason"]),
        (&json!("c2"), &Value::Null)
    );
    second.hand.hang_up();
    second.ended().await;
    centre.is(CONTACT, "ended").await;
    assert_eq!(centre.asks("DELETE", CONTACT, None).await.status, 204);
}

/// To all others it does not exist; and nobody's session is another's by its id.
#[tokio::test]
async fn a10_a_session_is_seen_by_its_writer_alone() {
    let centre = Centre::with(SIX, "admit = [\"centre\", \"key\"]").await;
    centre.hands_over(CONTACT).await;
    let other = |method: &str| {
        let token = centre.mint(|mint| mint.with("sub", "another-centre"));
        let bearer = format!("Authorization: Bearer {token}\r\n");
        request(method, CONTACT, &bearer, None)
    };
    let keyed = |method: &str| request(method, CONTACT, &format!("api-key: {KEY}\r\n"), None);
    for foreign in [other("GET"), other("DELETE"), keyed("GET"), keyed("DELETE")] {
        centre.sends(foreign.as_bytes()).await.is(404, "not_found");
    }
    let body = pstn().to_string();
    let headers = format!("api-key: {KEY}\r\n");
    let put = request("PUT", CONTACT, &headers, Some(&body));
    centre.sends(put.as_bytes()).await.is(409, "bad_request");
    assert_eq!(centre.looks(CONTACT).await["state"], "waiting");
    // A key is as good as a token, and is not spent.
    let put = request("PUT", "by-key", &headers, Some(&body));
    assert_eq!(centre.sends(put.as_bytes()).await.status, 201);
    let get = request("GET", "by-key", &headers, None);
    for _ in 0..2 {
        assert_eq!(centre.sends(get.as_bytes()).await.status, 200);
    }
    centre
        .asks("GET", "by-key", None)
        .await
        .is(404, "not_found");
}

#[tokio::test]
async fn a09_a_session_lasts_as_long_as_it_is_asked_for_and_the_route_allows() {
    let centre = Centre::with(SIX, "ttl = \"90s\"\nttl_max = \"3m\"").await;
    for (number, (ttl, lasts)) in [
        (Value::Null, 90),
        (json!("3m"), 180),
        (json!(180), 180),
        (json!("1m 5s"), 65),
    ]
    .into_iter()
    .enumerate()
    {
        let mut asked = pstn();
        if !ttl.is_null() {
            asked["ttl"] = ttl;
        }
        let before = super::world::now();
        let answer = centre
            .asks("PUT", &format!("c{number}"), Some(&asked))
            .await;
        let expires = json_of(&answer)["expires"].as_str().unwrap().to_owned();
        let expires = humantime::parse_rfc3339(&expires).unwrap();
        let expires = expires
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        assert!(
            (before + lasts..=before + lasts + 5).contains(&expires),
            "{asked}"
        );
    }
    for ttl in [json!("3m 1s"), json!(181), json!("1h")] {
        let mut asked = pstn();
        asked["ttl"] = ttl;
        centre
            .asks("PUT", "long", Some(&asked))
            .await
            .is(400, "bad_request");
    }
}

/// Where session keys are hashed, what is kept of a session is legible neither.
#[tokio::test]
async fn a16_with_hashed_keys_the_same_request_is_still_answered_the_same() {
    let line = Line {
        gate: SIX.to_owned(),
        store: "hmac = \"0123456789abcdef0123456789abcdef\"".to_owned(),
        ..Line::default()
    };
    let centre = Centre::of(line, "").await;
    let written = centre.hands_over(CONTACT).await;
    let again = centre.asks("PUT", CONTACT, Some(&pstn())).await;
    assert_eq!(json_of(&again), written);
    let call = centre.arrives("c1").await;
    call.dials(written["code"].as_str().unwrap(), &Keying::messages());
    centre.is(CONTACT, "opened").await;
    call.hand.hang_up();
    call.ended().await;
}
