//! What the README and the samples say is what the program does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tonegate::error::Reason;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

#[test]
fn the_table_of_endings_is_the_one_in_the_code() {
    let show = |code: Option<u16>| code.map_or("–".to_owned(), |code| code.to_string());
    let text = readme();
    let rows: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("| reason |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(rows.len(), Reason::ALL.len());
    for (line, reason) in rows.iter().zip(Reason::ALL) {
        let row = reason.row();
        let start = format!(
            "| `{}` | {} | {} |",
            row.word,
            show(row.status),
            show(row.close)
        );
        assert!(
            line.starts_with(&start),
            "{line}\nshould begin with {start}"
        );
    }
}

#[test]
fn the_sample_shows_every_setting_and_its_default() {
    let sample = fs::read_to_string(root().join("config/every-setting.toml")).unwrap();
    let read = |name: &str| fs::read_to_string(root().join("src/config/file").join(name)).unwrap();
    let file = ["table.rs", "route.rs"].map(read).concat();
    let mut fields = 0;
    for line in file.lines() {
        let Some(field) = line.strip_prefix("    pub ") else {
            continue;
        };
        let Some((name, _)) = field.split_once(": ") else {
            continue;
        };
        assert!(sample.contains(name), "{name} is not in the sample");
        fields += 1;
    }
    assert!(fields > 30);
    let usual = tonegate::config::Limits::default();
    for said in [
        format!("connections      = {}", usual.connections),
        format!("sessions         = {}", usual.sessions),
        format!("client_message   = \"{}MiB\"", usual.client_message >> 20),
        format!("upstream_message = \"{}MiB\"", usual.upstream_message >> 20),
        format!("handshake        = \"{}s\"", usual.handshake.as_secs()),
        format!("ping             = \"{}s\"", usual.ping.as_secs()),
        format!("idle             = \"{}m\"", usual.idle.as_secs() / 60),
        format!("session          = \"{}m\"", usual.session.as_secs() / 60),
    ] {
        assert!(sample.contains(&said), "{said} is not in the sample");
    }
}

#[test]
fn every_dependency_has_its_line() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let text = readme();
    let told: BTreeSet<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("| package |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .flat_map(|line| {
            line.split('|')
                .nth(1)
                .unwrap()
                .split('`')
                .skip(1)
                .step_by(2)
        })
        .collect();
    let needed: BTreeSet<&str> = manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(told, needed);
}
