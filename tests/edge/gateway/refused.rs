//! Who may not, and what may not: the application sees nothing of it.

use super::app::{App, ask, before, send};
use crate::harness::KEY;

#[tokio::test]
async fn c07_without_a_credential_nothing_goes_on() {
    let (app, address) = App::start(None).await;
    let world = before(address, "", "").await;
    for headers in [
        "",
        "api-key: wrong\r\n",
        "x-ms-client-principal: e30=\r\n",
        "x-tonegate-subject: tester\r\n",
    ] {
        let answer = send(&world, "POST /api/chat", headers, b"{}").await;
        let told = (answer.status, answer.reason());
        assert_eq!(told, (401, "unauthenticated".to_owned()), "{headers:?}");
    }
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test]
async fn c14_a_path_that_can_be_read_in_two_ways_goes_nowhere() {
    let (app, address) = App::start(None).await;
    let world = before(
        address,
        "[[routes]]\nname = \"admin\"\npaths = [\"/api/admin/*\"]\nkind = \"http\"\n\
         admit = [\"key\"]\nallow = [\"203.0.113.0/24\"]\nupstreams = [\"app\"]",
        "",
    )
    .await;
    for (path, status) in [
        ("/api/admin/seed", 403),
        ("/api/x/../admin/seed", 400),
        ("/api/./admin/seed", 400),
        ("/api//admin/seed", 400),
        ("/api/%61dmin/seed", 400),
        ("/api/x/%2e%2e/admin/seed", 400),
        ("/api/x/..;/admin/seed", 400),
        ("/api/x%2f..%2fadmin", 400),
        ("/api\\admin/seed", 400),
        ("/api/..%20/admin/seed", 404),
        ("/api/x/..%20/admin/seed", 400),
        ("/api/x/..;y/admin/seed", 400),
        ("/api/admin;x/seed", 404),
        ("/api/admin./seed", 404),
        ("/api/admin%20/seed", 404),
        ("/api/;x/admin/seed", 404),
        ("/api/admin", 404),
        ("/api/Admin/seed", 404),
        ("/API/admin/seed", 404),
    ] {
        let answer = ask(&world, &format!("GET {path}"), "", b"").await;
        assert_eq!(answer.status, status, "{path}");
    }
    assert_eq!(app.seen().len(), 0);
    assert_eq!(
        ask(&world, "GET /api/administrators", "", b"").await.status,
        200
    );
}

#[tokio::test]
async fn c07_requests_in_another_form_are_refused_by_name() {
    let (app, address) = App::start(None).await;
    let route = "methods = [\"GET\", \"POST\"]\nlimits = { client_message = \"100B\" }";
    let world = before(address, route, "").await;
    let key = format!("api-key: {KEY}\r\n");
    let chunked = format!("{key}Transfer-Encoding: chunked\r\n");
    let announced = format!("{key}Content-Length: 101\r\n");
    let upgrade = format!("{key}Connection: Upgrade\r\nUpgrade: websocket\r\n");
    for (line, headers, body, status) in [
        ("PUT /api/chat", &key, &b"{}"[..], 405),
        ("OPTIONS /api/chat", &key, b"", 405),
        ("CONNECT /api/chat", &key, b"", 405),
        ("TRACE /api/chat", &key, b"", 405),
        ("POST /api/chat", &key, b"", 411),
        ("POST /api/chat", &chunked, b"", 411),
        ("POST /api/chat", &announced, b"", 413),
        ("GET /api/chat", &key, b"{}", 400),
        ("GET /api/chat", &upgrade, b"", 400),
    ] {
        let answer = send(&world, line, headers, body).await;
        assert_eq!(answer.status, status, "{line} {headers}");
        if status == 405 {
            assert_eq!(answer.header("allow").as_deref(), Some("GET, POST"));
        }
    }
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test]
async fn c07_an_application_that_does_not_answer_is_told_as_such() {
    let (app, address) = App::start(None).await;
    let world = before(address, "", "total = \"700ms\"\nconnect = \"500ms\"").await;
    let answer = ask(&world, "GET /hang", "", b"").await;
    let told = (answer.status, answer.reason());
    assert_eq!(told, (504, "upstream_timeout".to_owned()));
    assert_eq!(app.seen().len(), 1, "it is asked once");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = closed.local_addr().unwrap();
    drop(closed);
    let world = before(gone, "", "").await;
    let answer = ask(&world, "POST /api/chat", "", b"{}").await;
    let told = (answer.status, answer.reason());
    assert_eq!(told, (502, "upstream_unreachable".to_owned()));
}

#[tokio::test]
async fn c07_what_the_edge_shows_is_not_the_callers_to_mend() {
    let (app, address) = App::start(None).await;
    let world = before(address, "", "").await;
    // No credential of the edge: the application's own word goes back.
    assert_eq!(ask(&world, "GET /status/401", "", b"").await.status, 401);
    let settings = world.settings.replace(
        "credential = { none = true }",
        "credential = { key = \"k\" }",
    );
    drop(world);
    let port = address.port();
    assert!(settings.contains(&port.to_string()));
    let more = settings.split("[upstreams.app]").nth(1).unwrap();
    let world = crate::harness::World::with(crate::harness::Wish {
        more: format!("[upstreams.app]{more}"),
        ..crate::harness::Wish::default()
    })
    .await;
    let answer = ask(&world, "GET /status/401", "", b"").await;
    let told = (answer.status, answer.reason());
    assert_eq!(told, (502, "upstream_unauthorized".to_owned()));
    let seen = app.seen();
    assert_eq!(seen[1].header("api-key"), Some("k"));
}
