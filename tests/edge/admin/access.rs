//! Who is answered, and who is not.

use tonegate::app::Edge;
use tonegate::config::Settings;
use tonegate::secret::Digest;

use super::world::{HERE, JSON, Told, ask, get};
use crate::harness::World;

const TOKEN: &str = "the-operators-token-4Tz";
const SCRAPE: &str = "the-scrapers-token-8Ky";

#[tokio::test]
async fn c17_s37_no_page_of_a_browser_is_answered_whatever_it_asks() {
    let world = World::usual().await;
    let admin = world.edge().admin();
    let mut caller = world.call("sim-echo").await;
    let id = caller.head.one("x-tonegate-session").unwrap().to_owned();
    let one = format!("/sessions/{id}");
    let evil = ("Origin", "https://evil.example");
    let rebound = ("Host", "evil.example:9464");
    for line in [
        "GET /sessions".to_owned(),
        format!("GET {one}"),
        format!("DELETE {one}"),
        format!("GET {one}/tail"),
        "GET /upstreams".to_owned(),
        "GET /settings".to_owned(),
        "GET /status".to_owned(),
        "GET /metrics".to_owned(),
        "GET /nothing".to_owned(),
        "GET /revocations".to_owned(),
        "POST /revoke".to_owned(),
        "POST /lift".to_owned(),
        "POST /drain".to_owned(),
    ] {
        for headers in [
            &[HERE, JSON, evil][..],
            &[HERE, JSON, ("Sec-Fetch-Site", "cross-site")],
            &[rebound, JSON],
            &[JSON],
        ] {
            let told = ask(admin, &line, headers, "{}").await;
            // Without a Host it is no request at all to some parsers.
            assert!(
                matches!(told.status, 400 | 403),
                "{line} {headers:?} {told:?}"
            );
            assert!(!told.body.contains("voice"), "{told:?}");
        }
    }
    // Probes say a word that anybody may hear.
    for path in ["/healthz", "/readyz"] {
        let told = ask(admin, &format!("GET {path}"), &[rebound, evil], "").await;
        assert_eq!(told.status, 200, "{told:?}");
    }
    assert!(world.count("tonegate_admin_refused_total{reason=\"origin\"}") >= 26);
    assert!(world.count("tonegate_admin_refused_total{reason=\"host\"}") >= 13);
    caller.send(crate::harness::text("still here")).await;
    assert!(caller.next().await.is_some());
    assert_eq!(get(admin, "/readyz").await.body, "ready\n");
}

#[tokio::test]
async fn c17_paths_methods_and_bodies_that_are_wrong_are_told_so() {
    let world = World::usual().await;
    let admin = world.edge().admin();
    for (line, status, allow) in [
        ("POST /sessions", 405, "get, head"),
        ("DELETE /sessions", 405, "get, head"),
        (
            "PUT /sessions/0123456789abcdef01234567",
            405,
            "get, head, delete",
        ),
        ("POST /sessions/0123456789abcdef01234567/tail", 405, "get"),
        ("GET /drain", 405, "post"),
        ("DELETE /metrics", 405, "get, head"),
        ("GET /", 404, ""),
        ("GET /sessions/x", 404, ""),
        ("GET /sessions/0123456789abcdef01234567", 404, ""),
        ("DELETE /sessions/0123456789abcdef01234567", 404, ""),
        ("GET /sessions/0123456789abcdef01234567/tail", 404, ""),
        ("GET /sessions?limit=0", 400, ""),
        ("GET /sessions?state=odd", 400, ""),
        ("GET /sessions?rout=a", 400, ""),
    ] {
        let told = ask(admin, line, &[HERE, JSON], "").await;
        assert_eq!(told.status, status, "{line} {told:?}");
        assert!(!told.detail().is_empty());
        let allowed = format!("allow: {allow}\r\n");
        assert_eq!(told.head.contains("allow: "), status == 405, "{told:?}");
        assert!(
            allow.is_empty() || format!("{}\r\n", told.head).contains(&allowed),
            "{told:?}"
        );
    }
    for (kind, body, status) in [
        (("Content-Type", "text/plain"), "{}", 415),
        (("Accept", "x"), "{}", 415),
        (JSON, "", 400),
        (JSON, "{\"grace\": \"soon\"}", 400),
        (JSON, "{\"grace\": \"25h\"}", 400),
        (JSON, "{\"garce\": \"1s\"}", 400),
    ] {
        let told = ask(admin, "POST /drain", &[HERE, kind], body).await;
        assert_eq!(told.status, status, "{body} {told:?}");
    }
    let large = format!("{{\"grace\": \"{}\"}}", "1".repeat(300));
    assert_eq!(
        ask(admin, "POST /drain", &[HERE, JSON], &large)
            .await
            .status,
        413
    );
    assert_eq!(get(admin, "/readyz").await.body, "ready\n");
    world.still_serves().await;
}

/// An edge whose settings are those of the world, with other lines for its operator.
fn edge(world: &World, lines: &str) -> Result<Edge, String> {
    let settings = world.settings.replace("admin = \"127.0.0.1:0\"", lines);
    let path = world.folder.join("operator.toml");
    std::fs::write(&path, settings).unwrap();
    let settings = Settings::read(&[path]).map_err(|error| error.to_string())?;
    Edge::start(&settings).map_err(|error| error.to_string())
}

fn tokens() -> String {
    let digest = |token| Digest::of(token).to_hex();
    format!(
        "admin_token = {{ sha256 = \"{}\" }}\nscrape_token = {{ sha256 = \"{}\" }}",
        digest(TOKEN),
        digest(SCRAPE)
    )
}

#[tokio::test]
async fn c17_s37_where_a_token_is_set_nothing_is_answered_without_it() {
    let world = World::usual().await;
    let edge = edge(&world, &format!("admin = \"127.0.0.1:0\"\n{}", tokens())).unwrap();
    let admin = edge.admin();
    let ask = async |path: &str, shown: &str| -> Told {
        let bearer = format!("Bearer {shown}");
        let headers = [HERE, ("Authorization", bearer.as_str())];
        let headers = if shown.is_empty() {
            &headers[..1]
        } else {
            &headers
        };
        ask(admin, &format!("GET {path}"), headers, "").await
    };
    for path in [
        "/sessions",
        "/status",
        "/settings",
        "/upstreams",
        "/revocations",
        "/metrics",
        "/x",
    ] {
        for shown in ["", "wrong", &TOKEN[1..], &Digest::of(TOKEN).to_hex()] {
            let told = ask(path, shown).await;
            assert_eq!(told.status, 401, "{path} {shown:?} {told:?}");
            assert!(told.head.contains("www-authenticate: bearer"), "{told:?}");
        }
    }
    for (path, token, status) in [
        ("/metrics", TOKEN, 200),
        ("/metrics", SCRAPE, 200),
        ("/sessions", SCRAPE, 403),
        ("/settings", SCRAPE, 403),
        ("/sessions", TOKEN, 200),
        ("/healthz", "", 200),
        ("/readyz", "", 200),
    ] {
        let told = ask(path, token).await;
        assert_eq!(told.status, status, "{path} {told:?}");
    }
    let settings = ask("/settings", TOKEN).await.body;
    assert!(
        !settings.contains(&Digest::of(TOKEN).to_hex()),
        "{settings}"
    );
    let page = edge.metrics_page();
    for line in [
        "tonegate_admin_refused_total{reason=\"no_token\"} 7",
        "tonegate_admin_refused_total{reason=\"wrong_token\"} 21",
        "tonegate_admin_refused_total{reason=\"scope\"} 2",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}");
    }
}

#[tokio::test]
async fn c17_s37_other_machines_reach_it_with_a_token_and_over_tls_or_it_does_not_start() {
    let world = World::usual().await;
    let everywhere = "admin = \"0.0.0.0:0\"";
    let refused = edge(&world, everywhere).map(drop).unwrap_err();
    assert!(refused.contains("an admin token must be set"), "{refused}");
    let edge = edge(&world, &format!("{everywhere}\n{}", tokens())).unwrap();
    let port = edge.admin().port();
    // In plain text it does not speak.
    let mut io = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    io.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = io.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    // As a verb asks, with whichever of the two it has.
    let url = format!("https://localhost:{port}");
    let roots = world.folder.join("ca.pem");
    let file = world.folder.join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let verb = || {
        let mut verb = super::world::tonegate(&["status", "--json", "--admin", &url]);
        verb.arg("--admin-roots").arg(&roots);
        verb
    };
    let (code, out, _) = super::world::run(verb().arg("--admin-token-file").arg(&file)).await;
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["ready"]), (0, &true.into()));
    let (code, ..) = super::world::run(verb().env("TONEGATE_ADMIN_TOKEN", TOKEN)).await;
    assert_eq!(code, 0);
    let (code, out, err) = super::world::run(&mut verb()).await;
    assert_eq!((code, out.as_str()), (6, ""), "{err}");
    assert!(err.contains("--admin-token-file"), "{err}");
    let (code, _, err) = super::world::run(verb().env("TONEGATE_ADMIN_TOKEN", SCRAPE)).await;
    assert_eq!(code, 6, "{err}");
    assert!(!err.contains(SCRAPE), "{err}");
}
