//! `tonegate doctor`, as an operator runs it: all is well where all is well, and each thing that can be
//! wrong is made wrong, and told in a sentence with what to do.

mod azure;
mod healthy;
mod network;
mod peers;
mod public;
mod store;
mod voice;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::binary::tonegate;
use crate::harness::{KEY, UPSTREAM_KEY, World, within};
use crate::phone::redis::PASSWORD;
use crate::phone::world::SECRET;

/// What no line may hold, whatever went wrong.
const CANARIES: [&str; 5] = [KEY, UPSTREAM_KEY, SECRET, PASSWORD, "canary"];

/// One run with what it found.
pub struct Seen {
    pub code: i32,
    pub text: String,
    pub findings: Vec<Value>,
}

/// Runs it and reads its lines.
pub async fn doctor(settings: &Path, more: &[&str]) -> Seen {
    doctor_in(settings, more, &[]).await
}

/// The same with variables that a platform would set.
pub async fn doctor_in(settings: &Path, more: &[&str], variables: &[(&str, &str)]) -> Seen {
    let mut command = tonegate();
    command.args(["doctor", "--json", "--config"]).arg(settings);
    command.args(more).envs(variables.iter().copied());
    let output = within("doctor", command.output()).await.unwrap();
    let code = output.status.code().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    for canary in CANARIES {
        assert!(
            !out.contains(canary) && !err.contains(canary),
            "{canary}: {out}{err}"
        );
    }
    let findings: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let sum = findings.last().unwrap_or_else(|| panic!("{err}"));
    let failed = sum["fail"].as_u64().unwrap();
    assert_eq!(code, i32::from(failed > 0), "{out}{err}");
    Seen {
        code,
        text: out,
        findings,
    }
}

impl Seen {
    /// The only finding about something.
    pub fn about(&self, group: &str, about: &str) -> &Value {
        let ours = |it: &&Value| {
            it["group"] == group && it["about"].as_str().is_some_and(|it| it.contains(about))
        };
        let all: Vec<&Value> = self.findings.iter().filter(ours).collect();
        let [one] = all[..] else {
            panic!("{group} {about}: {} of {}", all.len(), self.text);
        };
        one
    }

    /// It is so, and this is said of it.
    pub fn is(&self, verdict: &str, (group, about): (&str, &str), says: &str) {
        let one = self.about(group, about);
        let text = one["text"].as_str().unwrap();
        assert!(
            one["verdict"] == verdict && text.contains(says),
            "{says:?}: {one}"
        );
        let needs = matches!(verdict, "fail" | "warn");
        assert_eq!(one["fix"].is_string(), needs, "{one}");
        if needs {
            is_sentence(text);
            is_sentence(one["fix"].as_str().unwrap());
        }
    }

    /// It failed, with this sentence and this fix.
    pub fn fails(&self, about: (&str, &str), says: &str, fix: &str) {
        self.is("fail", about, says);
        let one = self.about(about.0, about.1);
        assert!(one["fix"].as_str().unwrap().contains(fix), "{fix:?}: {one}");
        assert_eq!(self.code, 1);
    }
}

fn is_sentence(text: &str) {
    assert!(text.ends_with('.') && !text.ends_with(".."), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

/// The world's settings with other text in them, in a file of their own.
pub fn changed(world: &World, changes: &[(&str, &str)]) -> PathBuf {
    let mut text = world.settings.clone();
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in {text}");
        text = text.replace(from, to);
    }
    let file = world.folder.join("changed.toml");
    fs::write(&file, text).unwrap();
    file
}

/// How the world's edge is named to doctor.
pub fn dialled(world: &World, port: u16) -> Vec<String> {
    let roots = world.folder.join("ca.pem");
    [
        "--public-url".to_owned(),
        format!("wss://localhost:{port}"),
        "--public-roots".to_owned(),
        roots.display().to_string(),
        "--admin".to_owned(),
        world.edge().admin().to_string(),
    ]
    .to_vec()
}

/// The same with more.
pub fn with<'a>(dialled: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    let mut all: Vec<&str> = dialled.iter().map(String::as_str).collect();
    all.extend_from_slice(more);
    all
}
