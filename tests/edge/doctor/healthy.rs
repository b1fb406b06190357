//! A set-up in which nothing is wrong, of everything that there is to try.

use super::{changed, dialled, doctor, with};
use crate::binary::run;
use crate::harness::within;
use crate::phone::redis::PASSWORD;
use crate::phone::server::{Server, acl_line};
use crate::phone::world::{Line, Phone};
use tonegate::sim::certificate::Authority;
use tonegate::sim::voice_live::record::Record;

/// Phone calls, a Redis with the README's user over TLS, a simulated Voice Live and an issuer.
pub async fn world() -> (Phone, Server) {
    let authority = Authority::new("Redis of doctor");
    let server = Server::tls(&authority, &acl_line());
    server.tell(&["CONFIG", "SET", "appendonly", "yes"]);
    let store = format!(
        "url = \"rediss://localhost:{}\"\nroots = \"{}\"\nusername = \"tonegate\"\n\
         password = \"{PASSWORD}\"\ntimeout = \"5s\"",
        server.port,
        server.roots().unwrap().display()
    );
    let phone = Phone::with(Line {
        store,
        limits: "connections = 300\nsessions = 100".to_owned(),
        ..Line::default()
    });
    (phone.await, server)
}

#[tokio::test]
async fn u9_nothing_is_wrong_where_nothing_is_wrong() {
    let (phone, redis) = world().await;
    let world = &phone.world;
    let own = dialled(world, world.port);
    let settings = world.folder.join("edge.toml");
    let seen = doctor(&settings, &with(&own, &["--strict", "--idle", "1s"])).await;
    assert_eq!(seen.code, 0, "{}", seen.text);
    for (about, says) in [
        (("settings", "settings"), "routes: 2, upstreams: 1"),
        (("machine", "open files"), "the limits need 500"),
        (("dns", "localhost"), "127.0.0.1"),
        (("tls", &world.upstream.port().to_string()), "TLS 1.3 in "),
        (("tls", &redis.port.to_string()), "store: TCP in "),
        (("clock", "clock"), "less than 4s from localhost"),
        (
            ("certificate", "server.tls"),
            "key and chain of 2 fit, good until 2045-01-01",
        ),
        (("issuers", "phone"), "keys that can verify: "),
        (("store", "connect"), "the credential is taken; one server"),
        (("store", "rights"), "all commands of the scripts"),
        (("store", "ttl"), "has one"),
        (("store", "latency"), "99 of 100 within"),
        (("store", "server"), ", role primary"),
        (("store", "eviction"), "noeviction"),
        (("store", "persistence"), "on a disk"),
        (("store", "clock"), "less than 2 s"),
        (("voice", "voice"), "gpt-realtime: session.created came"),
        (("public", "localhost:"), "TLS 1.3 in "),
        (
            ("public", "no token, route phone"),
            "401, from this edge itself",
        ),
        (
            ("public", "a bad token, route phone"),
            "Authorization arrives",
        ),
        (
            ("public", "what arrives"),
            "both x-ms-call headers and the query",
        ),
        (("idle", "upstream voice"), "quiet for 1s, and still there"),
        (("idle", "public url"), "quiet for 1s, and still there"),
        (
            ("admin", &world.edge().admin().to_string()),
            "an edge runs here",
        ),
    ] {
        seen.is("ok", about, says);
    }
    // One connection for the handshake and the quiet, and it ended with 1000.
    let goodbye = Some((Some(1000), String::new()));
    let closed = |record: &Record| {
        let mut all = record.connections().into_iter();
        all.find(|seen| seen.close_received == goodbye)
    };
    let said = world.record.until(|record| closed(record).is_some());
    within("the goodbye", said).await;
    assert_eq!(closed(&world.record).unwrap().violations, []);
    assert_eq!(
        world.upstream_total(),
        2,
        "the other one is that of the line under tls"
    );
    // Nothing of doctor's stays, and nobody else's is touched.
    assert_eq!(redis.tell(&["KEYS", "*doctor*"]), "");
}

#[tokio::test]
async fn u9_only_what_is_asked_for_is_tried_and_people_are_told_in_columns() {
    let phone = Phone::usual().await;
    let settings = phone.world.folder.join("edge.toml");
    let name = settings.to_str().unwrap();
    let (code, out, err) = run(&["doctor", "--config", name, "--only", "dns,machine"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0] == "machine" && lines[1].starts_with("  ok       open files  "),
        "{out}"
    );
    assert!(
        lines[2] == "dns" && lines[3].starts_with("  ok       localhost   "),
        "{out}"
    );
    assert_eq!(lines[5], "2 ok, 0 warned of, 0 failed, 0 skipped");
    assert!(!out.contains('\u{1b}'), "no colour");
    assert_eq!(phone.world.upstream_total(), 0, "nothing else is dialled");
}

#[tokio::test]
async fn u9_settings_that_cannot_be_used_are_told_and_nothing_else_is_tried() {
    let phone = Phone::usual().await;
    let world = &phone.world;
    let file = changed(world, &[("kind = \"acs-media\"", "kind = \"acs-medium\"")]);
    let seen = doctor(&file, &[]).await;
    seen.fails(
        ("settings", "settings"),
        "routes.phone.kind",
        "`tonegate check`",
    );
    assert_eq!(seen.findings.len(), 2);
    // Keys of two certificates.
    let other = world.authority.issue(&["localhost"]).unwrap();
    std::fs::write(world.folder.join("edge.key"), other.key_pem).unwrap();
    let settings = world.folder.join("edge.toml");
    let seen = doctor(&settings, &["--only", "settings,certificate"]).await;
    seen.fails(
        ("settings", "settings"),
        "They cannot be used",
        "`tonegate check`",
    );
    seen.fails(
        ("certificate", "server.tls"),
        "cannot be used together",
        "the two files of one certificate",
    );
}

#[tokio::test]
async fn u9_a_warning_is_no_failure_but_to_the_strict() {
    let redis = Server::plain(&[]);
    let store = format!(
        "url = \"redis://127.0.0.1:{}\"\ntimeout = \"5s\"",
        redis.port
    );
    let phone = Phone::with(Line {
        store,
        ..Line::default()
    })
    .await;
    let settings = phone.world.folder.join("edge.toml");
    let seen = doctor(&settings, &["--only", "store"]).await;
    seen.is("warn", ("store", "persistence"), "keeps nothing on a disk");
    assert_eq!(seen.code, 0);
    let name = settings.to_str().unwrap();
    let strict = ["doctor", "--strict", "--only", "store", "--config", name];
    let (code, out, err) = run(&strict).await;
    assert_eq!(code, 1, "{out}");
    assert!(err.contains("1 of the checks warned"), "{err}");
}

/// What the README shows is what is printed, but for numbers, and for what hangs on the machine.
#[tokio::test]
async fn u9_the_example_of_the_readme_is_what_doctor_says() {
    let (phone, _redis) = world().await;
    let world = &phone.world;
    let settings = world.folder.join("edge.toml");
    let name = settings.to_str().unwrap();
    let own = dialled(world, world.port);
    let args = with(&own, &["doctor", "--config", name]);
    let (code, out, err) = run(&[&args[6..], &args[..6]].concat()).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, section) = readme
        .split_once("\n## Before the first call: doctor\n")
        .unwrap();
    let (_, example) = section.split_once("\n```text\n").unwrap();
    let (example, _) = example.split_once("\n```").unwrap();
    assert_eq!(plain(example), plain(&out), "{out}");
}

/// Lines without their numbers and columns, and without those of groups that differ from machine to
/// machine: how many files may be open, which addresses there are.
fn plain(text: &str) -> Vec<String> {
    let mut group = String::new();
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if !line.starts_with(' ') {
            group = line.to_owned();
        }
        let sum = line.contains(" skipped") && line.contains(" failed");
        if sum || ["machine", "dns", "admin"].contains(&group.as_str()) {
            continue;
        }
        let mut plain = String::new();
        for word in line.split_whitespace() {
            let mut last = ' ';
            for c in word.chars() {
                let c = match c {
                    '0'..='9' | '.' if c != '.' || last == '#' => '#',
                    c => c,
                };
                if c != '#' || last != '#' {
                    plain.push(c);
                }
                last = c;
            }
            plain.push(' ');
        }
        lines.push(plain.trim_end().to_owned());
    }
    lines
}
