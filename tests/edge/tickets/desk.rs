//! `POST /tickets`: for whoever was admitted, from pages that the route lists, and then a session.

use serde_json::{Value, json};
use tonegate::secret::Digest;

use super::*;
use crate::harness::{KEY, Refused};
use crate::revoke::post;
use crate::tokens::{AUDIENCE as API, Issued, TENANT};

const DESK: &str = "[[routes]]\nname = \"desk\"\npaths = [\"/tickets\"]\nkind = \"tickets\"\n\
     admit = [\"key\", \"users\"]\norigins = [\"https://app.example.com\"]\nopens = [\"browser\"]\n\
     limits = { upgrades_per_identity = \"20/m\" }\n";

async fn desk() -> Issued {
    let wish = Wish {
        admit: "\"ticket\"".to_owned(),
        more: format!("{DESK}{}", tables()),
        ..wish()
    };
    Issued::with(wish, API, "").await
}

/// Any request without an upgrade; its answer.
async fn sends(world: &World, method: &str, headers: &str, body: Option<&str>) -> Refused {
    let body = match body {
        Some(body) => format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
        None => "\r\n".to_owned(),
    };
    let request = format!("{method} /tickets HTTP/1.1\r\nHost: localhost\r\n{headers}{body}");
    world.send_request(request.as_bytes()).await.err().unwrap()
}

async fn asks(world: &World, headers: &str, body: &Value) -> Refused {
    sends(world, "POST", headers, Some(&body.to_string())).await
}

fn json_of(answer: &Refused) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{}", answer.body))
}

#[tokio::test]
async fn a32_u9_only_pages_that_are_listed_have_leave_to_ask() {
    let issued = desk().await;
    let world = &issued.world;
    let token = issued.token(|_| {});
    // What a browser asks first.
    let wants = "Access-Control-Request-Method: POST\r\n\
                 Access-Control-Request-Headers: authorization,content-type\r\n";
    let leave = sends(
        world,
        "OPTIONS",
        &format!("Origin: {PAGE}\r\n{wants}"),
        None,
    )
    .await;
    assert_eq!(leave.status, 204, "{}", leave.body);
    assert_eq!(
        leave.header("access-control-allow-origin").as_deref(),
        Some(PAGE)
    );
    assert_eq!(
        leave.header("access-control-allow-methods").as_deref(),
        Some("POST")
    );
    let allowed = leave.header("access-control-allow-headers").unwrap();
    assert!(allowed.contains("authorization") && allowed.contains("content-type"));
    assert_eq!(leave.header("access-control-allow-credentials"), None);
    for origin in [
        "https://evil.example",
        "null",
        "https://app.example.com.evil.example",
    ] {
        let denied = sends(
            world,
            "OPTIONS",
            &format!("Origin: {origin}\r\n{wants}"),
            None,
        )
        .await;
        assert_eq!(denied.status, 403, "{origin}");
        assert_eq!(denied.header("access-control-allow-origin"), None);
        let headers = format!("Origin: {origin}\r\nAuthorization: Bearer {token}\r\n");
        let denied = asks(world, &headers, &json!({"route": "browser"})).await;
        assert_eq!(denied.status, 403, "{origin}");
        assert_eq!(denied.header("access-control-allow-origin"), None);
    }
    assert_eq!(world.upstream_total(), 0);
}

#[tokio::test]
async fn a32_u9_a_page_asks_for_a_ticket_and_opens_a_session_with_it() {
    let issued = desk().await;
    let world = &issued.world;
    let token =
        issued.token(|mint| mint.claims["oid"] = json!("77777777-2222-3333-4444-555555555555"));
    let headers = format!("Origin: {PAGE}\r\nAuthorization: Bearer {token}\r\n");
    let given = asks(
        world,
        &headers,
        &json!({"route": "browser", "model": "sim-echo"}),
    )
    .await;
    assert_eq!(given.status, 201, "{}", given.body);
    assert_eq!(
        given.header("access-control-allow-origin").as_deref(),
        Some(PAGE)
    );
    assert_eq!(given.header("cache-control").as_deref(), Some("no-store"));
    let told = json_of(&given);
    assert_eq!(
        (&told["expires_in"], &told["route"]),
        (&json!(30), &json!("browser"))
    );
    let ticket = told["ticket"].as_str().unwrap();
    // From that page, for that model, once.
    let page = [("Origin", PAGE)];
    let plain = format!("/ws?ticket={ticket}");
    world.refused(&plain, &[]).await.is(403, "forbidden");
    world
        .refused(&format!("/ws?model=gpt-4o&ticket={ticket}"), &page)
        .await
        .is(403, "forbidden");
    let caller = world.ask(&plain, &page).await.unwrap();
    let seen = world
        .upstream_saw(|seen| seen.target.contains("sim-echo"))
        .await;
    assert!(!seen.target.contains(ticket));
    speaks(caller).await;
    world
        .refused(&plain, &page)
        .await
        .is(401, "unauthenticated");
    // The session may last as long as the token, not the ticket; it is that of the same person.
    let claims = ticket.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert!(
        claims["session_exp"].as_u64().unwrap() > now() + 60,
        "{claims}"
    );
    assert_eq!(claims["caller"]["tenant"], TENANT);
    assert_eq!(claims["caller"]["person"], true);
    assert_eq!(claims["origin"], PAGE);
}

#[tokio::test]
async fn a32_nobody_else_gets_a_ticket_nor_one_for_more_than_they_may() {
    let issued = desk().await;
    let world = &issued.world;
    let key = format!("api-key: {KEY}\r\n");
    let good = json!({"route": "browser"});
    for (headers, body, status) in [
        ("", good.clone(), 401),
        ("api-key: wrong\r\n", good.clone(), 401),
        (&key, json!({"route": "elsewhere"}), 403),
        (&key, json!({"route": "desk"}), 403),
        (&key, json!({"model": "not-on-the-list"}), 403),
        (&key, json!({"agent": "not-there"}), 403),
        (&key, json!({"model": "a b"}), 400),
        (&key, json!({"model": 1}), 400),
        (&key, json!({"sub": "somebody"}), 400),
        (&key, json!([]), 400),
        (&key, json!({"model": "x".repeat(2000)}), 413),
    ] {
        let answer = asks(world, headers, &body).await;
        assert_eq!(answer.status, status, "{headers} {body}: {}", answer.body);
        assert!(!answer.body.contains("ticket\":"), "{}", answer.body);
    }
    // A ticket buys no ticket.
    let bearer = format!("Authorization: Bearer {}\r\n", ticket());
    assert_eq!(asks(world, &bearer, &good).await.status, 401);
    for method in ["GET", "PUT", "DELETE", "PATCH", "HEAD"] {
        let answer = sends(world, method, &key, None).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow").as_deref(), Some("POST, OPTIONS"));
    }
    let twice = sends(
        world,
        "POST",
        &key,
        Some("{\"route\":\"browser\",\"route\":\"browser\"}"),
    )
    .await;
    assert_eq!(twice.status, 400);
    // Without a page, a program's, and it names the only route itself.
    let given = asks(world, &key, &json!({})).await;
    assert_eq!(given.status, 201, "{}", given.body);
    let ticket = json_of(&given)["ticket"].as_str().unwrap().to_owned();
    speaks(world.ask(&target(&ticket), &[]).await.unwrap()).await;
    assert_eq!(world.upstream_total(), 1);
    // As often as the route allows.
    let mut last = 201;
    for _ in 0..20 {
        last = asks(world, &key, &json!({})).await.status;
        if last != 201 {
            break;
        }
    }
    assert_eq!(last, 429);
}

/// Whoever has a token could else have tickets of it, and come in by those when it is taken back.
#[tokio::test]
async fn a32_a35_a_ticket_goes_with_the_token_it_was_had_for_and_so_does_its_session() {
    let issued = desk().await;
    let world = &issued.world;
    let page = [("Origin", PAGE)];
    for kind in ["credential", "session"] {
        let token = issued.token(|mint| mint.claims["uti"] = json!(kind));
        let other = issued.token(|mint| mint.claims["uti"] = json!("another"));
        let desk = async |token: &str| {
            let headers = format!("Origin: {PAGE}\r\nAuthorization: Bearer {token}\r\n");
            let body = json!({"route": "browser", "model": "sim-echo"});
            asks(world, &headers, &body).await
        };
        let ticket = async |token: &str| {
            let given = json_of(&desk(token).await);
            format!("/ws?ticket={}", given["ticket"].as_str().expect("a ticket"))
        };
        let (first, second) = (ticket(&token).await, ticket(&token).await);
        let beside = ticket(&other).await;
        let mut caller = world.ask(&first, &page).await.unwrap();
        let order = match kind {
            "session" => json!({"session": caller.head.one("x-tonegate-session").unwrap()}),
            _ => json!({"credential": Digest::of(token.rsplit_once('.').unwrap().0).to_hex()}),
        };
        let (status, told) = post(world.edge().admin(), "/revoke", &order).await;
        assert_eq!((status, &told["written"]), (200, &json!(true)), "{told}");
        assert_eq!(caller.closed().await, (Some(4441), "revoked".to_owned()));
        world.refused(&second, &page).await.is(401, "revoked");
        desk(&token).await.is(401, "revoked");
        // Another token of the same person is another one.
        speaks(world.ask(&beside, &page).await.unwrap()).await;
    }
}
