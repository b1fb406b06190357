//! Who is answered, and who is not.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonegate::app::Edge;
use tonegate::config::Settings;
use tonegate::secret::Digest;

use super::world::{HERE, JSON, Told, ask, get};
use crate::harness::{World, within};

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
    let mut io = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
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

#[tokio::test]
async fn c17_s26_healthy_and_other_verbs_ask_over_tls_whoever_shows_the_certificate_of_the_settings()
 {
    let world = World::usual().await;
    let everywhere = format!("admin = \"0.0.0.0:0\"\n{}", tokens());
    let edge = edge(&world, &everywhere).unwrap();
    let port = edge.admin().port();
    // The settings of an edge that listens there.
    let admin = format!("admin = \"0.0.0.0:{port}\"\n{}", tokens());
    let text = world.settings.replace("admin = \"127.0.0.1:0\"", &admin);
    let file = world.folder.join("asked.toml");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let run = async |args: &[&str]| {
        let mut verb = super::world::tonegate(args);
        super::world::run(verb.env("TONEGATE_ADMIN_TOKEN", TOKEN)).await
    };
    let well = (0, "ok\n".to_owned(), String::new());
    assert_eq!(run(&["healthy", "--config", file]).await, well);
    let ready = ["healthy", "--ready", "--config", file];
    assert_eq!(run(&ready).await.0, 0);
    assert_eq!(run(&["status", "--config", file]).await.0, 0);
    let roots = world.folder.join("ca.pem");
    let roots = roots.to_str().unwrap();
    let url = format!("https://localhost:{port}");
    let by_roots = ["healthy", "--admin", &url, "--admin-roots", roots];
    assert_eq!(run(&by_roots).await, well);
    let config_and_roots = ["healthy", "--config", file, "--admin-roots", roots];
    assert_eq!(run(&config_and_roots).await, well);
    let doctor = ["doctor", "--json", "--only", "admin", "--config", file];
    let (_, out, _) = run(&doctor).await;
    assert!(out.contains("an edge runs here"), "{out}");
    // In plain text the token does not leave the machine, and nobody is asked.
    let (code, out, err) = run(&["status", "--admin", "http://192.0.2.7:9464"]).await;
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(
        err.contains("the admin token goes in plain text to this machine only"),
        "{err}"
    );
    // Nobody else is believed: neither without roots, nor by a name that is not in the certificate, nor with
    // another certificate of the same authority in the settings.
    let refused = async |args: &[&str], why: &str| {
        let (code, out, err) = run(args).await;
        assert_eq!((code, out.as_str()), (1, ""), "{args:?} {err}");
        assert!(err.contains(why), "{err}");
    };
    let invalid = "its certificate is not valid for us";
    refused(&["healthy", "--admin", &url], invalid).await;
    let address = format!("https://127.0.0.2:{port}");
    let by_address = ["healthy", "--admin", &address, "--admin-roots", roots];
    refused(&by_address, invalid).await;
    // Roots are not laid aside where there is no certificate.
    let plain = "--admin-roots verify a certificate, and this edge is asked in plain text";
    for (verb, at) in [("healthy", "127.0.0.1"), ("status", "http://127.0.0.1")] {
        let at = format!("{at}:{port}");
        refused(&[verb, "--admin", &at, "--admin-roots", roots], plain).await;
    }
    let other = world.authority.issue(&["localhost"]).unwrap();
    std::fs::write(world.folder.join("edge.pem"), other.chain_pem).unwrap();
    std::fs::write(world.folder.join("edge.key"), other.key_pem).unwrap();
    let other = "it shows another certificate than the settings have";
    refused(&["healthy", "--config", file], other).await;
    let (_, out, _) = run(&doctor).await;
    assert!(!out.contains("an edge runs here"), "{out}");
}

/// Connections that say nothing, from one address.
async fn silent(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(TcpStream::connect(to).await.unwrap());
    }
    all
}

/// One that has a place, as soon as there is one: whoever had it may still be ending.
async fn place(to: SocketAddr) -> TcpStream {
    within("a place", async {
        loop {
            let mut io = silent(to, 1).await.remove(0);
            let closed = timeout(Duration::from_millis(100), io.read(&mut [0])).await;
            if closed.is_err() {
                return io;
            }
        }
    })
    .await
}

async fn is_closed_unheard(to: SocketAddr) {
    let mut io = TcpStream::connect(to).await.unwrap();
    let mut answer = Vec::new();
    let read = within("its end", io.read_to_end(&mut answer)).await;
    assert!(read.is_err() || answer.is_empty(), "{answer:?}");
}

const NO_PLACE: &str = "tonegate_limit_hits_total{limit=\"admin_connections\"}";

#[tokio::test]
async fn c17_s19_who_is_here_has_64_places_at_the_operators_listener_and_gives_one_back_with_each_answer()
 {
    let world = World::usual().await;
    let admin = world.edge().admin();
    let mut held = silent(admin, 64).await;
    is_closed_unheard(admin).await;
    assert_eq!(world.count(NO_PLACE), 1);
    for round in 0..3 {
        // One of them asks, and at once once more: it is answered once, and its place is free.
        let mut asks = held.remove(0);
        let line = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        asks.write_all(line.repeat(2).as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = within("an answer", asks.read_to_string(&mut answer)).await;
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
        drop(asks);
        held.push(place(admin).await);
        is_closed_unheard(admin).await;
        assert!(world.count(NO_PLACE) >= 2 + round);
    }
    drop(held);
    world.still_serves().await;
}

/// An address of this machine's beyond loopback; what is sent there does not leave the machine.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the kernel only says by which address it would be.
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback()).then_some(ip)
}

#[tokio::test]
async fn c17_s19_an_address_beyond_this_machine_has_eight_places_and_takes_none_of_others() {
    let Some(own) = own_address() else {
        eprintln!("this machine has no address but loopback: nothing is tried");
        return;
    };
    let world = World::usual().await;
    let everywhere = format!("admin = \"0.0.0.0:0\"\n{}", tokens());
    let edge = edge(&world, &everywhere).unwrap();
    let port = edge.admin().port();
    let held = silent((own, port).into(), 8).await;
    is_closed_unheard((own, port).into()).await;
    let hits = || {
        let page = edge.metrics_page();
        let hits = page.lines().find_map(|line| line.strip_prefix(NO_PLACE));
        hits.map_or(0, |hits| hits.trim().parse().unwrap())
    };
    assert_eq!(hits(), 1);
    // Whoever is here is another one.
    let url = format!("https://localhost:{port}");
    let roots = world.folder.join("ca.pem");
    let verb = [
        "healthy",
        "--admin",
        &url,
        "--admin-roots",
        roots.to_str().unwrap(),
    ];
    let (code, _, err) = super::world::run(&mut super::world::tonegate(&verb)).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(hits(), 1);
    drop(held);
    // Their places are free again.
    place((own, port).into()).await;
}
