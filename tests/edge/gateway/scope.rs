//! Who may see whom (System C's access matrix), and what an application is told of that.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tonegate::ids::EntraId;
use tonegate::store::{About, Note};

use super::app::{Answer, App, send};
use crate::harness::Wish;
use crate::phone::redis::Redis;
use crate::tokens::{AUDIENCE, Issued, TENANT};

/// People of Entra.
const ENGINEER: &str = "00000000-0000-4000-8000-000000000001";
const MANAGER: &str = "00000000-0000-4000-8000-000000000002";
const STRANGER: &str = "00000000-0000-4000-8000-000000000009";

struct Office {
    issued: Issued,
    app: Arc<App>,
    directory: Arc<App>,
}

impl Office {
    /// `roles` is the table; the route overwrites `engineer_id` in bodies and compares what paths and
    /// queries name.
    async fn with(roles: &str, route: &str) -> Office {
        let (app, at) = App::start(None).await;
        let (directory, people) = App::start(None).await;
        for (person, body) in [
            (ENGINEER, json!({"id": "eng-001"})),
            (
                MANAGER,
                json!({"id": "mgr-001", "reports": ["eng-001", "eng-002"]}),
            ),
        ] {
            directory.says(
                &format!("/people/{TENANT}/{person}"),
                200,
                &body.to_string(),
            );
        }
        directory.says(&format!("/people/{TENANT}/{STRANGER}"), 404, "");
        let issued = Issued::with(
            wish(at, &roles.replace("PEOPLE", &people.to_string()), route),
            AUDIENCE,
            "",
        )
        .await;
        Office {
            issued,
            app,
            directory,
        }
    }

    async fn usual() -> Office {
        Office::with(BY_DIRECTORY, ROUTE).await
    }

    async fn asks(&self, person: &str, line: &str, body: &str) -> Answer {
        let token = self.issued.token(|mint| {
            mint.claims["oid"] = json!(person);
        });
        let json = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/json\r\n"
        };
        let headers = format!("Authorization: Bearer {token}\r\n{json}");
        send(&self.issued.world, line, &headers, body.as_bytes()).await
    }

    /// The status, and whether the application heard of it.
    async fn sees(&self, person: &str, whom: &str) -> (u16, bool) {
        let before = self.app.seen().len();
        let line = format!("GET /api/engineer/{whom}/cases");
        let status = self.asks(person, &line, "").await.status;
        (status, self.app.seen().len() > before)
    }
}

const BY_DIRECTORY: &str =
    "[roles]\nby = \"http\"\nurl = \"http://PEOPLE/people/{tenant}/{person}\"\n";
const ROUTE: &str = "scope = true\nabout = { fields = [\"case_owner\"], paths = [\"/api/engineer/{id}/*\"] }\n\
     identity = { engineer_id = { with = \"mapped\", add = [\"body\"] }, role = \"strip\" }\n";

fn wish(app: SocketAddr, roles: &str, route: &str) -> Wish {
    let port = app.port();
    Wish {
        more: format!(
            "{roles}\n[upstreams.app]\nkind = \"http\"\nurl = \"http://127.0.0.1:{port}/app\"\n\
             credential = {{ none = true }}\n\
             [[routes]]\nname = \"api\"\npaths = [\"/api/*\"]\nkind = \"http\"\n\
             admit = [\"users\", \"key\"]\nupstreams = [\"app\"]\n{route}\n"
        ),
        ..Wish::default()
    }
}

#[tokio::test]
async fn c13_engineer_sees_own() {
    assert_eq!(
        Office::usual().await.sees(ENGINEER, "eng-001").await,
        (200, true)
    );
}

#[tokio::test]
async fn c13_engineer_does_not_see_another() {
    assert_eq!(
        Office::usual().await.sees(ENGINEER, "eng-002").await,
        (403, false)
    );
}

#[tokio::test]
async fn c13_manager_sees_the_team() {
    let office = Office::usual().await;
    for whom in ["mgr-001", "eng-001", "eng-002"] {
        assert_eq!(office.sees(MANAGER, whom).await, (200, true), "{whom}");
    }
}

#[tokio::test]
async fn c13_manager_sees_a_named_report() {
    let office = Office::usual().await;
    let line = "POST /api/cases?case_owner=eng-002";
    assert_eq!(office.asks(MANAGER, line, "{}").await.status, 200);
    let body = "{\"filter\":{\"caseOwner\":1}}";
    // In another spelling, or as what is no id, nobody is named.
    assert_eq!(
        office.asks(MANAGER, "POST /api/cases", body).await.status,
        400
    );
    let body = "{\"filter\":{\"case_owner\":\"eng-002\"}}";
    assert_eq!(
        office.asks(MANAGER, "POST /api/cases", body).await.status,
        200
    );
}

#[tokio::test]
async fn c13_manager_does_not_see_a_non_report() {
    let office = Office::usual().await;
    assert_eq!(office.sees(MANAGER, "eng-003").await, (403, false));
    for (line, body) in [
        ("POST /api/cases?case_owner=eng-003", "{}"),
        (
            "POST /api/cases",
            "{\"filter\":{\"case_owner\":\"eng-003\"}}",
        ),
        // One that they may see does not cover for another.
        (
            "POST /api/cases?case_owner=eng-002",
            "{\"case_owner\":\"eng-003\"}",
        ),
        (
            "POST /api/cases?case_owner=eng-002&case_owner=eng-003",
            "{}",
        ),
        ("POST /api/cases?case%5Fowner=eng-003", "{}"),
        ("POST /api/cases?CASE-OWNER=eng-003", "{}"),
    ] {
        let status = office.asks(MANAGER, line, body).await.status;
        assert!(matches!(status, 400 | 403), "{line} {body}: {status}");
    }
    assert_eq!(office.app.seen().len(), 0);
}

#[tokio::test]
async fn c14_nobody_says_who_they_are_but_the_edge() {
    let office = Office::usual().await;
    let body = "{\"message\":\"hi\",\"engineer_id\":\"mgr-001\",\"role\":\"admin\",\"n\":1.50}";
    let line = "POST /api/chat?engineerId=mgr-001&q=1";
    assert_eq!(office.asks(ENGINEER, line, body).await.status, 200);
    let seen = office.app.only();
    assert_eq!(seen.target, "/app/api/chat?engineerId=eng-001&q=1");
    let said: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(said["engineer_id"], "eng-001");
    assert_eq!(said["role"], Value::Null);
    // What is not named is as it was.
    assert!(String::from_utf8_lossy(&seen.body).contains("\"n\":1.50"));
    // Where nothing is said, the edge says it.
    assert_eq!(
        office
            .asks(ENGINEER, "POST /api/chat", "{\"message\":\"hi\"}")
            .await
            .status,
        200
    );
    let said: Value = serde_json::from_slice(&office.app.seen()[1].body).unwrap();
    assert_eq!(said["engineer_id"], "eng-001");
    for (line, body) in [
        ("POST /api/chat?engineer%255fid=mgr-001", "{}"),
        ("POST /api/chat", "{\"engineer_id\":\"mgr-001\""),
        ("POST /api/chat", "\u{feff}{}x"),
    ] {
        assert_eq!(
            office.asks(ENGINEER, line, body).await.status,
            400,
            "{line} {body}"
        );
    }
    assert_eq!(office.app.seen().len(), 2);
}

#[tokio::test]
async fn c20_whoever_is_not_known_or_cannot_be_asked_for_sees_nobody() {
    let office = Office::usual().await;
    assert_eq!(office.sees(STRANGER, "eng-001").await, (403, false));
    // An application that speaks for itself is no person either.
    let token = office.issued.token(|mint| {
        let claims = mint.claims.as_object_mut().unwrap();
        claims.remove("scp");
        claims.insert("oid".to_owned(), json!(ENGINEER));
        claims.insert("roles".to_owned(), json!(["Calls.All"]));
    });
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let line = "GET /api/engineer/eng-001/cases";
    let status = send(&office.issued.world, line, &bearer, b"").await.status;
    assert!(matches!(status, 401 | 403), "{status}");
    // A key is no person.
    let key = format!("api-key: {}\r\n", crate::harness::KEY);
    let line = "GET /api/engineer/eng-001/cases";
    assert_eq!(
        send(&office.issued.world, line, &key, b"").await.status,
        403
    );
    for (status, body, told) in [
        (500, "", 502),
        (503, "", 503),
        (200, "[]", 502),
        (200, "{\"id\":\"\"}", 502),
        (302, "", 502),
    ] {
        office
            .directory
            .says(&format!("/people/{TENANT}/{MANAGER}"), status, body);
        assert_eq!(
            office.sees(MANAGER, "eng-001").await,
            (told, false),
            "{status} {body}"
        );
    }
    assert_eq!(office.app.seen().len(), 0);
}

#[tokio::test]
async fn c12_what_was_found_is_believed_for_a_while_and_no_longer() {
    let office = Office::usual().await;
    for _ in 0..3 {
        assert_eq!(office.sees(MANAGER, "eng-002").await, (200, true));
    }
    assert_eq!(office.directory.seen().len(), 1);
    let forgetful = BY_DIRECTORY.to_owned() + "cache = \"0s\"\n";
    let office = Office::with(&forgetful, ROUTE).await;
    assert_eq!(office.sees(MANAGER, "eng-002").await, (200, true));
    let alone = json!({"id": "mgr-001", "reports": []}).to_string();
    office
        .directory
        .says(&format!("/people/{TENANT}/{MANAGER}"), 200, &alone);
    assert_eq!(office.sees(MANAGER, "eng-002").await, (403, false));
}

/// What is kept is there to save a question; whoever is asked answers without it.
#[tokio::test]
async fn c12_a_store_that_is_away_keeps_nobody_from_what_the_directory_says() {
    let redis = Redis::own();
    let lines = redis.lines();
    let roles = format!("{BY_DIRECTORY}[store]\n{lines}\ntimeout = \"300ms\"\n");
    let office = Office::with(&roles, ROUTE).await;
    crate::phone::redis::is_up(office.issued.world.edge()).await;
    redis.server().signal("-STOP");
    assert_eq!(office.sees(MANAGER, "eng-002").await, (200, true));
    assert_eq!(office.sees(MANAGER, "eng-003").await, (403, false));
    assert_eq!(office.directory.seen().len(), 2);
    redis.server().signal("-CONT");
}

#[tokio::test]
async fn c25_whoever_may_see_more_people_than_are_named_is_told_so() {
    let folder = crate::harness::folder();
    let key = folder.join("first.pem");
    std::fs::write(&key, crate::bot::world::key()).unwrap();
    let signs = format!(
        "[assertion]\nkeys = [{:?}]\nissuer = \"https://edge.example.com\"\n",
        key.to_str().unwrap()
    );
    let route = format!("{ROUTE}assert = \"api://app\"\n");
    let office = Office::with(&format!("{BY_DIRECTORY}{signs}"), &route).await;
    assert_eq!(office.sees(MANAGER, "eng-002").await, (200, true));
    let all: Vec<String> = (0..1000).map(|number| format!("eng-{number:03}")).collect();
    let boss = json!({"id": "eng-001", "reports": all}).to_string();
    let person = format!("/people/{TENANT}/{ENGINEER}");
    office.directory.says(&person, 200, &boss);
    let line = "GET /api/engineer/eng-001/cases";
    let answer = office.asks(ENGINEER, line, "").await;
    assert_eq!((answer.status, answer.reason().as_str()), (500, "internal"));
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let detail = "the caller may see more people than an assertion can name";
    assert_eq!(told["detail"], detail);
    assert_eq!(office.app.seen().len(), 1);
    let hit = "tonegate_limit_hits_total{limit=\"assertion\"} 1";
    office.issued.world.metrics_say(hit).await;
}

#[tokio::test]
async fn c20_the_store_knows_people_too() {
    let office = Office::with("[roles]\nby = \"store\"\n", ROUTE).await;
    assert_eq!(office.sees(ENGINEER, "eng-001").await, (403, false));
    let id = |text| EntraId::new(text).unwrap();
    let about = About {
        note: Note::Person,
        tenant: &id(TENANT),
        person: &id(ENGINEER),
    };
    let store = office.issued.world.edge().store();
    let hour = std::time::Duration::from_secs(3600);
    store
        .put_note(about, "{\"id\":\"eng-001\"}", hour)
        .await
        .unwrap();
    assert_eq!(office.sees(ENGINEER, "eng-001").await, (200, true));
    assert_eq!(office.sees(ENGINEER, "eng-002").await, (403, false));
    store.put_note(about, "eng-001", hour).await.unwrap();
    assert_eq!(office.sees(ENGINEER, "eng-001").await, (500, false));
}

#[tokio::test]
async fn c21_personal_data_goes_no_further() {
    let office = Office::with(BY_DIRECTORY, "scope = true\npii = {}").await;
    let body = "{\"message\":\"I am jo@example.com, card 4111 1111 1111 1111, order 4111-17\"}";
    assert_eq!(
        office.asks(ENGINEER, "POST /api/chat", body).await.status,
        200
    );
    let seen = office.app.only();
    let said = String::from_utf8_lossy(&seen.body).into_owned();
    assert_eq!(
        said,
        "{\"message\":\"I am [email], card [card], order 4111-17\"}"
    );
    assert_eq!(
        seen.header("content-length"),
        Some(said.len().to_string().as_str())
    );
}
