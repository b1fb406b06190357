//! Every file in `deploy/` and `config/` is read by a program that knows its kind.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::files;
use crate::program::{ends_well, root, tool};

const PATIENCE: Duration = Duration::from_secs(60);

async fn read(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let kind = name.rsplit('.').next().unwrap();
    let shown = path.display();
    match kind {
        "json" => drop(serde_json::from_str::<serde_json::Value>(&text).expect(name)),
        "toml" => drop(text.parse::<toml::Table>().expect(name)),
        "yml" => {
            let mut promtool = Command::new("promtool");
            ends_well(promtool.args(["check", "rules"]).arg(path), PATIENCE).await;
        }
        "bicep" => {
            let mut python = Command::new(tool("deploy/bin/python"));
            python.arg(root().join("tests/deploy/bicep.py")).arg(path);
            ends_well(&mut python, PATIENCE).await;
        }
        "Dockerfile" => {
            let mut hadolint = Command::new(tool("deploy/bin/hadolint"));
            ends_well(hadolint.arg(path), PATIENCE).await;
        }
        "mjs" => {
            let mut node = Command::new(tool("bin/node"));
            ends_well(node.arg("--check").arg(path), PATIENCE).await;
        }
        "sh" => {
            let mut shell = Command::new("sh");
            ends_well(shell.arg("-n").arg(path), PATIENCE).await;
        }
        "py" => {
            // It is run, too, where its result is compared.
            let mut python = crate::program::python();
            let parse = "import ast, sys; ast.parse(open(sys.argv[1]).read())";
            ends_well(python.args(["-c", parse]).arg(path), PATIENCE).await;
        }
        "md" => links(path, &text),
        // `units` has those, `nginx` runs this one, and the variables of the Node proxy are read by
        // `variables`.
        "service" | "socket" | "conf" | "example" => {}
        _ => panic!("nothing here reads {shown}: say what does"),
    }
}

/// Places in a page, as GitHub makes them of its headings.
fn places(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let place = |line: &str| -> String {
        let kept = line.trim_start_matches('#').trim().chars();
        let kept = kept.filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(place).collect()
}

/// Every link to a file leads to one, and to a place in it that there is.
fn links(path: &Path, text: &str) {
    let folder = path.parent().unwrap();
    for piece in text.split("](").skip(1) {
        let target = piece.split(')').next().unwrap();
        if target.contains("://") {
            continue;
        }
        let (file, place) = target.split_once('#').unwrap_or((target, ""));
        let leads = if file.is_empty() {
            path.to_owned()
        } else {
            folder.join(file)
        };
        let shown = path.display();
        assert!(
            leads.exists(),
            "{shown} leads to {target}, which is not there"
        );
        if !place.is_empty() {
            let there = places(&fs::read_to_string(&leads).unwrap());
            assert!(
                there.iter().any(|at| at == place),
                "{shown} leads to {target}, which is no place there"
            );
        }
    }
}

#[tokio::test]
async fn b18_every_file_to_deploy_is_read_by_what_knows_its_kind() {
    let mut all = files(&root().join("deploy"));
    all.extend(files(&root().join("config")));
    all.push(root().join("README.md"));
    assert!(all.len() > 25, "{all:?}");
    for path in &all {
        read(path).await;
    }
}

#[tokio::test]
async fn b18_what_is_planted_in_a_template_or_a_dockerfile_is_found() {
    let folder = std::env::temp_dir().join(format!("tonegate-linted-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let template = super::deployed("azure/main.bicep");
    let plants = [
        ("network::apps.id", "netwrok::apps.id"),
        ("retentionInDays: retentionDays", "retentionInDays: 30"),
        ("uniqueString(", "uniqeString("),
        ("targetScope =", "targetScope"),
    ];
    for (before, after) in plants {
        let planted = template.replacen(before, after, 1);
        assert_ne!(planted, template, "{before}");
        let file = folder.join("planted.bicep");
        fs::write(&file, planted).unwrap();
        let mut python = Command::new(tool("deploy/bin/python"));
        python.arg(root().join("tests/deploy/bicep.py")).arg(&file);
        let done = python.output().await.unwrap();
        assert_eq!(done.status.code(), Some(1), "{after} was not found");
    }
    let planted = super::deployed("Dockerfile").replacen(
        "ARG RUST=rust:1.95.0-slim-bookworm\nFROM ${RUST}",
        "FROM rust",
        1,
    );
    let file = folder.join("Dockerfile");
    fs::write(&file, planted).unwrap();
    let mut hadolint = Command::new(tool("deploy/bin/hadolint"));
    let done = hadolint.arg(&file).output().await.unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    fs::remove_dir_all(&folder).unwrap();
    assert!(told.contains("DL3006"), "{told}");
}
