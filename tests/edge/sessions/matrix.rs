//! Who may see and end whose sessions (System C's access matrix), on lists, items and ends.

use std::time::Duration;

use serde_json::json;
use tonegate::ids::{EntraId, SessionId};
use tonegate::secret::Digest;
use tonegate::store::{About, Note, Running};

use super::world::{
    ALL, COLLEAGUE, ENGINEER, MANAGER, MINE, OPERATOR, Office, Opened, STRANGER, TEAM, ids, said,
};
use crate::harness::{KEY, Wish};
use crate::phone::redis::eventually;
use crate::tokens::{OTHER_TENANT, TENANT};

/// Whether somebody sees another's session, and may end it: then it is gone.
async fn row(who: &str, whose: &str, may: bool) {
    let office = Office::usual().await;
    let session = office.opens(whose, 60).await;
    row_in(&office, who, session, may).await;
}

async fn row_in(office: &Office, who: &str, mut session: Opened, may: bool) {
    let wanted = if may { (200, true) } else { (404, false) };
    assert_eq!(office.sees(who, &session.id).await, wanted);
    let line = format!("DELETE {TEAM}/{}", session.id);
    let ended = office.asks(&office.token(who, 60), &line).await;
    if may {
        assert_eq!(ended.status, 204, "{ended:?}");
        session.ends(4441, "revoked").await;
    } else {
        assert_eq!((ended.status, ended.reason().as_str()), (404, "not_found"));
        session.lives().await;
    }
}

#[tokio::test]
async fn c13_engineer_own_sessions_are_seen_and_ended() {
    row(ENGINEER, ENGINEER, true).await;
}

#[tokio::test]
async fn c13_engineer_others_sessions_are_not_there() {
    row(ENGINEER, COLLEAGUE, false).await;
    row(ENGINEER, MANAGER, false).await;
}

#[tokio::test]
async fn c13_manager_team_sessions_are_seen_and_ended() {
    let office = Office::usual().await;
    let (mut one, mut other) = (
        office.opens(ENGINEER, 60).await,
        office.opens(COLLEAGUE, 60).await,
    );
    let own = office.opens(MANAGER, 60).await;
    let strange = office.opens(STRANGER, 60).await;
    let manager = office.token(MANAGER, 60);
    let mut team = [&one, &other, &own].map(|session| session.id.clone());
    let mut listed = office.lists(&manager, TEAM).await;
    team.sort();
    listed.sort();
    assert_eq!(listed, team);
    assert!(!listed.contains(&strange.id));
    for session in [&mut one, &mut other] {
        let line = format!("DELETE {TEAM}/{}", session.id);
        assert_eq!(office.asks(&manager, &line).await.status, 204);
        session.ends(4441, "revoked").await;
    }
    assert_eq!(office.lists(&manager, TEAM).await, [own.id]);
}

#[tokio::test]
async fn c13_manager_named_report_sessions_are_seen_and_ended() {
    row(MANAGER, COLLEAGUE, true).await;
}

#[tokio::test]
async fn c13_manager_non_report_sessions_are_not_there() {
    row(MANAGER, STRANGER, false).await;
}

/// The same five where people are those of Entra, as Graph has them: what it said a moment ago is in
/// the store, so nobody has to ask it.
#[tokio::test]
async fn c12_c13_the_matrix_holds_where_graph_says_who_reports_to_whom() {
    let graph = "[graph]\nmanaged_identity = true\nbase = \"https://localhost:9\"\n\
                 [roles]\nby = \"graph\"\n";
    for (who, whose, may) in [
        (ENGINEER, ENGINEER, true),
        (ENGINEER, COLLEAGUE, false),
        (MANAGER, ENGINEER, true),
        (MANAGER, COLLEAGUE, true),
        (MANAGER, STRANGER, false),
    ] {
        let wish = Wish {
            variables: Some(vec![
                ("IDENTITY_ENDPOINT", "http://127.0.0.1:9/token".to_owned()),
                ("IDENTITY_HEADER", "secret".to_owned()),
            ]),
            ..Wish::default()
        };
        let office = Office::with(graph, wish).await;
        let id = |text| EntraId::new(text).unwrap();
        for (person, role, sees) in [
            (ENGINEER, "engineer", json!([ENGINEER])),
            (MANAGER, "manager", json!([MANAGER, ENGINEER, COLLEAGUE])),
        ] {
            let standing = json!({"role": role, "id": person, "sees": sees});
            let about = About {
                note: Note::Scope,
                tenant: &id(TENANT),
                person: &id(person),
            };
            let kept = Duration::from_secs(60);
            let store = office.world().edge().store();
            let put = store.put_note(about, &standing.to_string(), kept).await;
            put.unwrap();
        }
        let session = office.opens(whose, 60).await;
        row_in(&office, who, session, may).await;
    }
}

#[tokio::test]
async fn c13_a_key_has_sessions_of_its_own_and_of_nobody_else() {
    let office = Office::usual().await;
    let key = format!("api-key: {KEY}\r\n");
    let (of_key, of_person) = (
        office.opens_with(&key).await,
        office.opens(ENGINEER, 60).await,
    );
    for path in [MINE, TEAM] {
        assert_eq!(
            office.lists(&key, path).await,
            std::slice::from_ref(&of_key.id)
        );
        let shown = office
            .asks(&key, &format!("GET {path}/{}", of_person.id))
            .await;
        assert_eq!(shown.status, 404);
    }
    // Whoever runs the edge sees all, by a route of their own only.
    let operator = format!("api-key: {OPERATOR}\r\n");
    let mut all = office.lists(&operator, ALL).await;
    all.sort();
    let mut wanted = [of_key.id.clone(), of_person.id.clone()];
    wanted.sort();
    assert_eq!(all, wanted);
    assert_eq!(office.lists(&operator, MINE).await, [""; 0]);
    let line = format!("GET {ALL}/{}", of_person.id);
    assert_eq!(office.asks(&key, &line).await.status, 403);
    let shown = said(&office.asks(&operator, &line).await);
    assert_eq!(
        (&shown["route"], &shown["own"]),
        (&json!("browser"), &json!(false))
    );
    assert_eq!(
        (&shown["tenant"], &shown["person"]),
        (&json!(TENANT), &json!(ENGINEER))
    );
}

/// A manager here is nobody there, whatever ids people have.
#[tokio::test]
async fn c13_people_of_another_tenant_are_not_there() {
    let office = Office::with("[roles]\nby = \"store\"\n", Wish::default()).await;
    let store = office.world().edge().store();
    let id = |text| EntraId::new(text).unwrap();
    let boss = json!({"id": "boss", "reports": ["eng"]}).to_string();
    let hour = Duration::from_secs(3600);
    let about = |tenant: &'static EntraId, person: &'static EntraId| About {
        note: Note::Person,
        tenant,
        person,
    };
    let [tenant, other, manager, engineer] =
        [TENANT, OTHER_TENANT, MANAGER, ENGINEER].map(|text| &*Box::leak(Box::new(id(text))));
    store
        .put_note(about(tenant, manager), &boss, hour)
        .await
        .unwrap();
    let report = json!({"id": "eng"}).to_string();
    for of in [tenant, other] {
        store
            .put_note(about(of, engineer), &report, hour)
            .await
            .unwrap();
    }
    // Told of by another edge, for no token of that tenant enters here.
    let ours = office.opens(ENGINEER, 60).await;
    let id = SessionId::from_hex(&ours.id).unwrap();
    let told = async || store.running(id).await.unwrap().is_some();
    eventually("what is told", told).await;
    let theirs = Running {
        id: SessionId::random(),
        person: Some((other.clone(), engineer.clone())),
        digest: Digest::of("somebody of another tenant"),
        ..store.running(id).await.unwrap().unwrap()
    };
    store
        .tell_running(std::slice::from_ref(&theirs), hour)
        .await
        .unwrap();
    let credential = office.token(MANAGER, 60);
    let answer = office.asks(&credential, &format!("GET {TEAM}")).await;
    assert_eq!(ids(&answer), std::slice::from_ref(&ours.id));
    for (id, status) in [(ours.id.clone(), 200), (theirs.id.to_string(), 404)] {
        for method in ["GET", "DELETE"] {
            let line = format!("{method} {TEAM}/{id}");
            let status = if status == 200 && method == "DELETE" {
                204
            } else {
                status
            };
            assert_eq!(
                office.asks(&credential, &line).await.status,
                status,
                "{line}"
            );
        }
    }
}
