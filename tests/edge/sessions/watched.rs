//! Sessions as they go on and how they ended, on a route for whoever may see them.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::world::{ALL, COLLEAGUE, ENGINEER, MANAGER, MINE, OPERATOR, Office, TEAM, said};
use crate::harness::{text, within};

/// What is told of those that have ended, as soon as this one is among them.
async fn ended(office: &Office, credential: &str, path: &str, id: &str) -> Value {
    let told = async {
        loop {
            let answer = office.asks(credential, &format!("GET {path}/ended")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let all = said(&answer)["ended"].clone();
            let found = all.as_array().unwrap().iter().find(|one| one["id"] == id);
            if let Some(found) = found {
                return found.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    within("an ended session", told).await
}

async fn ids(office: &Office, credential: &str, path: &str) -> Vec<String> {
    let answer = office.asks(credential, &format!("GET {path}/ended")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = said(&answer);
    let ended = told["ended"].as_array().unwrap().iter();
    ended
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn c13_how_a_session_ended_its_owner_and_the_operator_are_told_and_nobody_else() {
    let office = Office::usual().await;
    let mut session = office.opens(ENGINEER, 60).await;
    let operator = format!("api-key: {OPERATOR}\r\n");
    // It runs: it has not ended.
    assert_eq!(ids(&office, &operator, ALL).await, Vec::<String>::new());
    session.caller.close(1000, "bye").await;
    session.ends(1000, "bye").await;
    let owner = office.token(ENGINEER, 60);
    for (credential, path, own) in [(&owner, MINE, true), (&operator, ALL, false)] {
        let told = ended(&office, credential, path, &session.id).await;
        assert_eq!(told["own"], own);
        assert_eq!(told["route"], "browser");
        // Where somebody is, is for who may see all.
        assert_eq!(told["client"].is_null(), own, "{told}");
        assert_eq!(told["end"]["reason"], "client_closed");
        assert_eq!(told["end"]["ended_by"], "client");
    }
    for (person, path) in [(COLLEAGUE, MINE), (COLLEAGUE, TEAM), (MANAGER, TEAM)] {
        let credential = office.token(person, 60);
        assert_eq!(
            ids(&office, &credential, path).await,
            Vec::<String>::new(),
            "{path}"
        );
    }
    for credential in ["", "api-key: wrong\r\n"] {
        let refused = office.asks(credential, &format!("GET {MINE}/ended")).await;
        assert_eq!(refused.status, 401);
    }
    let refused = office.asks(&owner, &format!("DELETE {MINE}/ended")).await;
    assert_eq!(refused.status, 404, "no session has this id");
}

#[tokio::test]
async fn c13_a_session_is_looked_on_at_by_who_may_see_it_in_kinds_and_lengths() {
    let office = Office::usual().await;
    let mut session = office.opens(ENGINEER, 60).await;
    let colleague = office.token(COLLEAGUE, 60);
    let unknown = "0".repeat(24);
    let owner = office.token(ENGINEER, 60);
    for (credential, path, id, status) in [
        (&colleague, MINE, session.id.as_str(), 404),
        (&colleague, TEAM, session.id.as_str(), 404),
        (&owner, MINE, unknown.as_str(), 404),
        (&owner, MINE, "no-id", 404),
        (&String::new(), MINE, session.id.as_str(), 401),
    ] {
        let line = format!("GET {path}/{id}/tail");
        assert_eq!(
            office.asks(credential, &line).await.status,
            status,
            "{line}"
        );
    }
    let line = format!("DELETE {MINE}/{}/tail", session.id);
    assert_eq!(office.asks(&owner, &line).await.status, 405);
    // Their manager, who may see it.
    let world = office.world();
    let mut io = world.over(world.tcp("127.0.0.1").await).await;
    let manager = office.token(MANAGER, 60);
    let head = format!(
        "GET {TEAM}/{}/tail HTTP/1.1\r\nHost: edge.example.com\r\n{manager}\r\n",
        session.id
    );
    io.write_all(head.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    let mut got = Vec::new();
    let begun = async {
        while !String::from_utf8_lossy(&got).contains("\"begin\"") {
            assert_ne!(io.read_buf(&mut got).await.unwrap(), 0);
        }
    };
    within("the first line", begun).await;
    session.caller.send(text("a secret of some length")).await;
    assert_eq!(
        session.caller.next().await,
        Some(text("a secret of some length"))
    );
    session.caller.close(1000, "bye").await;
    session.ends(1000, "bye").await;
    within("the end of the tail", io.read_to_end(&mut got))
        .await
        .unwrap();
    let got = String::from_utf8(got).unwrap();
    assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
    assert!(got.contains("content-type: application/x-ndjson"), "{got}");
    let lines = got
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<Value> = lines.filter(Value::is_object).collect();
    assert_eq!(lines[0]["event"], "begin");
    assert!(lines[0]["client"].is_null(), "{}", lines[0]);
    for direction in ["up", "down"] {
        let is = |line: &&Value| line["event"] == "message" && line["direction"] == direction;
        let line = lines.iter().find(is).unwrap();
        assert_eq!(
            (&line["type"], &line["bytes"]),
            (&json!("other"), &json!(23))
        );
    }
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["event"], &last["reason"]),
        (&json!("ended"), &json!("client_closed"))
    );
    assert!(!got.contains("secret"), "{got}");
}
