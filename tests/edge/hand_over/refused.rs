//! Whoever may not write sessions, and requests that are none.

use futures_util::future::join_all;
use serde_json::json;
use tonegate::sim::issuer::behaviour::Behaviour;
use tonegate::sim::issuer::mint::{Algorithm, KeyChoice, Mint};

use super::world::{CONTACT, Centre, SIX, now, pstn, request};
use crate::harness::{KEY, read_answer};
use crate::phone::world::{ANI, Line, RESOURCE};

/// A request with this token.
fn with(token: &str, method: &str) -> String {
    let body = (method == "PUT").then(|| pstn().to_string());
    let bearer = format!("Authorization: Bearer {token}\r\n");
    request(method, CONTACT, &bearer, body.as_deref())
}

/// Tokens each of which is wrong in one way.
fn spoilt(centre: &Centre) -> Vec<(&'static str, String)> {
    let long = |mint: Mint, life: u64| mint.with("exp", now() + life);
    vec![
        (
            "expired",
            centre.mint(|m| m.with("exp", now() - 60).with("iat", now() - 120)),
        ),
        ("too long", centre.mint(|m| long(m, 301))),
        ("an hour", centre.mint(|m| long(m, 3600))),
        ("for ever", centre.mint(|m| long(m, 300_000_000))),
        (
            "of tomorrow",
            centre.mint(|m| m.with("iat", now() + 86_400).with("exp", now() + 86_460)),
        ),
        ("no iat", centre.mint(|m| m.without("iat"))),
        ("iat is text", centre.mint(|m| m.with("iat", "now"))),
        ("no jti", centre.mint(|m| m.without("jti"))),
        ("empty jti", centre.mint(|m| m.with("jti", ""))),
        ("jti is a number", centre.mint(|m| m.with("jti", 7))),
        ("long jti", centre.mint(|m| m.with("jti", "x".repeat(256)))),
        ("no sub", centre.mint(|m| m.without("sub"))),
        (
            "another audience",
            centre.mint(|m| m.with("aud", "api://other")),
        ),
        (
            "another issuer",
            centre.mint(|m| m.with("iss", "https://evil.example")),
        ),
        (
            "another key",
            centre.mint(|mut m| {
                m.key = KeyChoice::Unpublished;
                m
            }),
        ),
        (
            "not signed",
            centre.mint(|mut m| {
                m.algorithm = Algorithm::None;
                m
            }),
        ),
        (
            "another algorithm",
            centre.mint(|mut m| {
                m.algorithm = Algorithm::Ps256;
                m
            }),
        ),
        // Of ACS, whose tokens open calls.
        (
            "of ACS",
            centre
                .phone
                .provider
                .mint(&Mint::acs(RESOURCE).with("jti", "a")),
        ),
        ("no token", "a.b".to_owned()),
    ]
}

#[tokio::test]
async fn a10_s09_tokens_that_are_not_young_and_named_are_refused() {
    let centre = Centre::usual().await;
    for (what, token) in spoilt(&centre) {
        for method in ["PUT", "GET", "DELETE"] {
            let answer = centre.sends(with(&token, method).as_bytes()).await;
            assert_eq!(answer.status, 401, "{what}: {}", answer.body);
            assert!(answer.header("www-authenticate").is_some(), "{what}");
        }
    }
    let bare = request("PUT", CONTACT, "", Some(&pstn().to_string()));
    centre
        .sends(bare.as_bytes())
        .await
        .is(401, "unauthenticated");
    let keyed = format!("api-key: {KEY}\r\n");
    let keyed = request("PUT", CONTACT, &keyed, Some(&pstn().to_string()));
    centre
        .sends(keyed.as_bytes())
        .await
        .is(401, "unauthenticated");
    // Nothing came of any of them.
    centre.asks("GET", CONTACT, None).await.is(404, "not_found");
    // The longest that is allowed, and the other algorithm of the list.
    let token = centre.mint(|mut mint| {
        mint.algorithm = Algorithm::Es256;
        mint.with("iat", now()).with("exp", now() + 300)
    });
    assert_eq!(
        centre.sends(with(&token, "PUT").as_bytes()).await.status,
        201
    );
}

#[tokio::test]
async fn a10_a32_a_token_is_good_for_one_request_whatever_that_is() {
    let centre = Centre::usual().await;
    let token = centre.token();
    assert_eq!(
        centre.sends(with(&token, "PUT").as_bytes()).await.status,
        201
    );
    for method in ["PUT", "GET", "DELETE"] {
        let replayed = centre.sends(with(&token, method).as_bytes()).await;
        replayed.is(401, "unauthenticated");
    }
    // Another one with the same name is the same token.
    let again = centre.mint(|mint| mint.with("jti", "a-name"));
    let other = centre.mint(|mint| mint.with("jti", "a-name").with("exp", now() + 100));
    assert_eq!(
        centre.sends(with(&again, "GET").as_bytes()).await.status,
        200
    );
    centre
        .sends(with(&other, "GET").as_bytes())
        .await
        .is(401, "unauthenticated");
    // A request that is refused for what it says has spent its token all the same.
    let token = centre.token();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let bad = request("PUT", "c2", &bearer, Some("{}"));
    centre.sends(bad.as_bytes()).await.is(400, "bad_request");
    centre
        .sends(with(&token, "PUT").as_bytes())
        .await
        .is(401, "unauthenticated");
    // One that came no further than admission has not.
    let token = centre.token();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let post = request("POST", "c2", &bearer, Some("{}"));
    assert_eq!(centre.sends(post.as_bytes()).await.status, 405);
    assert_eq!(
        centre.sends(with(&token, "GET").as_bytes()).await.status,
        200
    );
}

#[tokio::test]
async fn a10_s28_of_thirty_requests_with_one_token_one_is_done() {
    let centre = Centre::usual().await;
    let token = centre.token();
    let body = pstn().to_string();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let all = (0..30).map(async |number| {
        let request = request("PUT", &format!("c{number}"), &bearer, Some(&body));
        centre.sends(request.as_bytes()).await.status
    });
    let mut statuses = join_all(all).await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(
        statuses[1..].iter().all(|status| *status == 401),
        "{statuses:?}"
    );
}

/// Where an issuer's tokens live an hour and have no names, that is said.
#[tokio::test]
async fn a10_longer_tokens_without_names_enter_where_the_route_says_so() {
    let more = "single_use = false\ntoken_life = \"90m\"";
    let centre = Centre::with(SIX, more).await;
    let token = centre.mint(|mint| mint.without("jti").with("exp", now() + 5_400));
    for status in [201, 200, 200] {
        assert_eq!(
            centre.sends(with(&token, "PUT").as_bytes()).await.status,
            status
        );
    }
    let longer = centre.mint(|mint| mint.with("exp", now() + 5_401));
    centre
        .sends(with(&longer, "PUT").as_bytes())
        .await
        .is(401, "unauthenticated");
}

#[tokio::test]
async fn a08_a10_other_networks_are_refused_before_their_tokens_are_looked_at() {
    let centre = Centre::with(SIX, "allow = [\"127.0.0.2/32\"]").await;
    let token = centre.token();
    centre
        .sends(with(&token, "PUT").as_bytes())
        .await
        .is(403, "forbidden");
    // From a network that is listed the same token is good.
    let tcp = centre.phone.world.tcp("127.0.0.2").await;
    let mut io = centre.phone.world.over(tcp).await;
    let request = with(&token, "PUT");
    tokio::io::AsyncWriteExt::write_all(&mut io, request.as_bytes())
        .await
        .unwrap();
    tokio::io::AsyncWriteExt::flush(&mut io).await.unwrap();
    assert_eq!(read_answer(io).await.err().unwrap().status, 201);
}

/// A token and a key, both.
#[tokio::test]
async fn a10_where_two_proofs_are_required_one_is_not_enough() {
    let centre = Centre::with(SIX, "require = [\"centre\", \"key\"]").await;
    let body = pstn().to_string();
    let send = async |headers: String| {
        let request = request("PUT", CONTACT, &headers, Some(&body));
        centre.sends(request.as_bytes()).await.status
    };
    let bearer = || format!("Authorization: Bearer {}\r\n", centre.token());
    assert_eq!(send(bearer()).await, 401);
    assert_eq!(send(format!("api-key: {KEY}\r\n")).await, 401);
    assert_eq!(send(format!("{}api-key: wrong\r\n", bearer())).await, 401);
    assert_eq!(send(format!("{}api-key: {KEY}\r\n", bearer())).await, 201);
}

#[tokio::test]
async fn a09_s04_a_body_that_is_not_as_it_must_be_is_told_by_its_field() {
    let centre = Centre::usual().await;
    let large = "x".repeat(4_100);
    for (body, says) in [
        (json!([]), "JSON object"),
        (json!({}), "flow"),
        (json!({"flow": "api"}), "flow"),
        (json!({"flow": "pstn"}), "ani"),
        (json!({"flow": "pstn", "ani": "15551234567"}), "ani"),
        (json!({"flow": "pstn", "ani": "+1555:1"}), "ani"),
        (json!({"flow": "pstn", "ani": ANI, "code": "1"}), "code"),
        (json!({"flow": "pstn", "ani": ANI, "code": 823}), "code"),
        (json!({"flow": "pstn", "ani": ANI, "code": "8 23"}), "code"),
        (json!({"flow": "pstn", "ani": ANI, "sip_id": "a"}), "sip_id"),
        (json!({"flow": "sip", "sip_id": "a:b"}), "sip_id"),
        (json!({"flow": "sip", "sip_id": "*"}), "sip_id"),
        (json!({"flow": "pstn", "ani": ANI, "ttl": "soon"}), "ttl"),
        (json!({"flow": "pstn", "ani": ANI, "ttl": 3601}), "ttl"),
        (
            json!({"flow": "pstn", "ani": ANI, "context": "x"}),
            "context",
        ),
        (
            json!({"flow": "pstn", "ani": ANI, "context": {"a": large}}),
            "context",
        ),
        (
            json!({"flow": "pstn", "ani": ANI, "number": "1"}),
            "none of flow, ani",
        ),
    ] {
        let answer = centre.asks("PUT", CONTACT, Some(&body)).await;
        answer.is(400, "bad_request");
        assert!(answer.body.contains(says), "{body}: {}", answer.body);
        assert!(!answer.body.contains(&ANI[1..]), "{}", answer.body);
    }
    let twice = format!("{{\"flow\":\"pstn\",\"ani\":\"{ANI}\",\"ani\":\"{ANI}\"}}");
    let bearer = format!("Authorization: Bearer {}\r\n", centre.token());
    let answer = centre
        .sends(request("PUT", CONTACT, &bearer, Some(&twice)).as_bytes())
        .await;
    answer.is(400, "bad_request");
    assert!(answer.body.contains("ani stands twice"), "{}", answer.body);
    centre.asks("GET", CONTACT, None).await.is(404, "not_found");
}

#[tokio::test]
async fn a10_s04_requests_that_are_none_have_their_status() {
    let centre = Centre::usual().await;
    let good = with(&centre.token(), "PUT");
    let length = format!("Content-Length: {}\r\n", pstn().to_string().len());
    let change = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    for (request, status, reason) in [
        (change("PUT", "POST"), 405, "bad_request"),
        (change("PUT", "PATCH"), 405, "bad_request"),
        (change(CONTACT, "a.b"), 404, "not_found"),
        (change(CONTACT, &"x".repeat(65)), 404, "not_found"),
        (change("/sessions/", "/session/"), 404, "not_found"),
        (change(&format!("/{CONTACT}"), ""), 405, "bad_request"),
        (change(&length, ""), 411, "bad_request"),
        (
            change(&length, "Transfer-Encoding: chunked\r\n"),
            411,
            "bad_request",
        ),
        (
            change(&length, &format!("{length}{length}")),
            400,
            "bad_request",
        ),
        (
            change(&length, "Content-Length: 1048577\r\n"),
            413,
            "too_large",
        ),
        (change("application/json", "text/plain"), 415, "bad_request"),
        (
            change("Content-Type", "Content-Encoding: gzip\r\nContent-Type"),
            415,
            "bad_request",
        ),
        (
            change("Authorization", "Origin: https://x\r\nAuthorization"),
            403,
            "forbidden",
        ),
    ] {
        let refused = centre.sends(request.as_bytes()).await;
        assert_eq!(refused.status, status, "{request}{}", refused.body);
        refused.is(status, reason);
        if request.contains(CONTACT) && status == 405 {
            assert_eq!(refused.header("allow").as_deref(), Some("PUT, GET, DELETE"));
        }
    }
    // A body that is longer than any of these need be, and one where there is none.
    let long = format!("{{\"flow\":\"sip\",\"sip_id\":\"{}\"}}", "x".repeat(8_200));
    let bearer = || format!("Authorization: Bearer {}\r\n", centre.token());
    let long = request("PUT", CONTACT, &bearer(), Some(&long));
    centre.sends(long.as_bytes()).await.is(413, "too_large");
    let get = request("GET", CONTACT, &bearer(), Some("{}"));
    centre.sends(get.as_bytes()).await.is(400, "bad_request");
    // After all of that a good one is taken.
    assert_eq!(centre.sends(good.as_bytes()).await.status, 201);
}

#[tokio::test]
async fn a10_s31_a_store_or_keys_out_of_reach_are_503() {
    let line = Line {
        gate: SIX.to_owned(),
        store: "url = \"redis://127.0.0.1:1\"\ntimeout = \"200ms\"".to_owned(),
        ..Line::default()
    };
    let centre = Centre::of(line, "admit = [\"centre\", \"key\"]").await;
    let headers = format!("api-key: {KEY}\r\n");
    let body = pstn().to_string();
    let by_key = |method: &str, body| request(method, CONTACT, &headers, body);
    for request in [
        with(&centre.token(), "PUT"),
        by_key("PUT", Some(body.as_str())),
        by_key("GET", None),
        by_key("DELETE", None),
    ] {
        let answer = centre.sends(request.as_bytes()).await;
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (503, "store_unavailable")
        );
    }
    let centre = Centre::usual().await;
    centre.phone.provider.set_keys(Behaviour::Status(500));
    let refused = centre.sends(with(&centre.token(), "PUT").as_bytes()).await;
    refused.is(503, "keys_unavailable");
}
