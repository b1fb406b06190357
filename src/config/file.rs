//! Settings as the operator writes them: TOML, one file or several, later ones winning.
//!
//! Here the text becomes typed values with every field optional; [`super::resolve`] turns them
//! into what the program needs. A key that does not exist is an error with its place and the
//! nearest key that does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

use super::env;

/// The root of a settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub server: Server,
    pub limits: Limits,
    pub keys: Vec<Key>,
    pub upstreams: BTreeMap<String, Upstream>,
    pub routes: Vec<Route>,
}

/// `[server]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    pub listen: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
    pub workers: Option<usize>,
    pub tls: Option<Tls>,
    pub plain_text: bool,
}

/// `tls = { certificate = "…", key = "…" }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub connections: Option<usize>,
    pub sessions: Option<usize>,
    pub client_message: Option<ByteSize>,
    pub upstream_message: Option<ByteSize>,
    #[serde(deserialize_with = "duration")]
    pub handshake: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub ping: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub idle: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub session: Option<Duration>,
}

/// `[[keys]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub name: String,
    pub sha256: String,
    #[serde(default)]
    pub models: Vec<String>,
    #[serde(default)]
    pub limits: KeyLimits,
}

/// `limits = { sessions = 20 }` of a key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeyLimits {
    pub sessions: Option<usize>,
}

/// `[upstreams.NAME]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    pub kind: String,
    pub resource: Option<String>,
    pub url: Option<String>,
    pub api_version: Option<String>,
    pub credential: Option<Credential>,
    pub roots: Option<String>,
    #[serde(default, deserialize_with = "duration")]
    pub connect: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    pub total: Option<Duration>,
    #[serde(default)]
    pub plain_text: bool,
}

/// `credential = { key = "…" }` or `{ key_file = "…" }`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credential {
    pub key: Option<String>,
    pub key_file: Option<PathBuf>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(***)")
    }
}

/// `[[routes]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub name: String,
    #[serde(default)]
    pub paths: Vec<String>,
    pub kind: Option<String>,
    #[serde(default)]
    pub admit: Vec<String>,
    pub accept: Option<Vec<String>>,
    #[serde(default)]
    pub origins: Vec<String>,
    #[serde(default)]
    pub models: Vec<String>,
    #[serde(default)]
    pub upstreams: Vec<String>,
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text).map(Some).map_err(|error| {
        serde::de::Error::custom(format!("not a duration such as \"30s\": {error}"))
    })
}

/// Why the settings cannot be used. The text is for the operator and holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("cannot read {path}: {error}")]
    Unreadable { path: String, error: std::io::Error },
    #[error("{path}: {text}")]
    Malformed { path: String, text: String },
    #[error("{}", list(.0))]
    Problems(Vec<String>),
}

fn list(problems: &[String]) -> String {
    let mut text = match problems.len() {
        1 => "the settings have a problem:".to_owned(),
        count => format!("the settings have {count} problems:"),
    };
    for problem in problems {
        text.push_str("\n  - ");
        text.push_str(problem);
    }
    text
}

/// Reads the files in order and lays each over those before it.
///
/// Tables are merged key by key, `[[keys]]` and `[[routes]]` by their `name`; anything else is
/// replaced. `${NAME}` in a text is replaced by the environment variable of that name.
pub(super) fn read(paths: &[PathBuf]) -> Result<File, Unusable> {
    let mut merged = Table::new();
    let mut last = String::new();
    for path in paths {
        last = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Unusable::Unreadable {
            path: last.clone(),
            error,
        })?;
        let mut table = parse(&last, &text)?;
        anchor_paths(&mut table, path);
        merge(&mut merged, table);
    }
    finish(&last, merged)
}

/// Reads settings from a text instead of files; relative paths in it are left alone.
pub(super) fn read_text(name: &str, text: &str) -> Result<File, Unusable> {
    let table = parse(name, text)?;
    finish(name, table)
}

fn finish(name: &str, mut table: Table) -> Result<File, Unusable> {
    let mut missing = Vec::new();
    expand(&mut table, "", &mut missing);
    if !missing.is_empty() {
        return Err(Unusable::Problems(missing));
    }
    File::deserialize(table).map_err(|error| Unusable::Malformed {
        path: name.to_owned(),
        text: error.message().to_owned(),
    })
}

/// Checks one file by itself, where the place of a mistake is still known.
fn parse(path: &str, text: &str) -> Result<Table, Unusable> {
    let explain = |error: toml::de::Error| Unusable::Malformed {
        path: path.to_owned(),
        text: explain(&error),
    };
    toml::from_str::<File>(text).map_err(explain)?;
    text.parse::<Table>().map_err(explain)
}

/// The parser's own text (line, column, excerpt), with the nearest key that exists.
fn explain(error: &toml::de::Error) -> String {
    let mut text = error.to_string().trim_end().to_owned();
    if let Some(rest) = error.message().strip_prefix("unknown field `")
        && let Some((wrong, known)) = rest.split_once('`')
    {
        let nearest = known
            .split('`')
            .skip(1)
            .step_by(2)
            .max_by(|a, b| similarity(wrong, a).total_cmp(&similarity(wrong, b)));
        if let Some(nearest) = nearest {
            text.push_str(&format!("\ndid you mean `{nearest}`?"));
        }
    }
    text
}

fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}

/// Makes the paths in a file relative to its folder, as whoever wrote it means them.
fn anchor_paths(table: &mut Table, file: &Path) {
    let folder = file.parent().unwrap_or(Path::new(""));
    let anchor = |table: Option<&mut Value>, key: &str| {
        if let Some(Value::String(path)) = table.and_then(|t| t.as_table_mut()?.get_mut(key))
            && !path.contains("${")
        {
            *path = folder.join(&*path).display().to_string();
        }
    };
    if let Some(Value::Table(server)) = table.get_mut("server") {
        anchor(server.get_mut("tls"), "certificate");
        anchor(server.get_mut("tls"), "key");
    }
    if let Some(Value::Table(upstreams)) = table.get_mut("upstreams") {
        for (_, upstream) in upstreams.iter_mut() {
            let Some(fields) = upstream.as_table_mut() else {
                continue;
            };
            anchor(fields.get_mut("credential"), "key_file");
            let system = fields.get("roots").and_then(Value::as_str) == Some("system");
            if !system {
                anchor(Some(upstream), "roots");
            }
        }
    }
}

fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (Some(Value::Array(old)), Value::Array(new)) if are_named(old) && are_named(&new) => {
                merge_named(old, new);
            }
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

fn are_named(values: &[Value]) -> bool {
    values.iter().all(|value| name_of(value).is_some())
}

fn name_of(value: &Value) -> Option<&str> {
    value.as_table()?.get("name")?.as_str()
}

fn merge_named(under: &mut Vec<Value>, over: Vec<Value>) {
    for value in over {
        let old = under.iter_mut().find(|old| name_of(old) == name_of(&value));
        match (old, value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => under.push(value),
        }
    }
}

/// Replaces `${NAME}` in every text below `table`; `at` is its place for messages.
fn expand(table: &mut Table, at: &str, missing: &mut Vec<String>) {
    for (key, value) in table.iter_mut() {
        let at = if at.is_empty() {
            key.to_owned()
        } else {
            format!("{at}.{key}")
        };
        expand_value(value, &at, missing);
    }
}

fn expand_value(value: &mut Value, at: &str, missing: &mut Vec<String>) {
    match value {
        Value::String(text) => match env::expand(text) {
            Ok(Some(expanded)) => *text = expanded,
            Ok(None) => {}
            Err(problem) => missing.push(format!("{at}: {problem}")),
        },
        Value::Array(values) => {
            for (i, value) in values.iter_mut().enumerate() {
                let name = name_of(value).map_or_else(|| i.to_string(), str::to_owned);
                expand_value(value, &format!("{at}.{name}"), missing);
            }
        }
        Value::Table(table) => expand(table, at, missing),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_the_nearest_key() {
        let error = read_text("edge.toml", "[server]\nlistn = \"127.0.0.1:1\"\n").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("edge.toml") && text.contains("line 2, column 1"),
            "{text}"
        );
        assert!(text.contains("did you mean `listen`?"), "{text}");
    }

    #[test]
    fn a_wrong_value_is_told_with_its_place() {
        let text = "[limits]\nidle = \"soon\"\n";
        let error = read_text("edge.toml", text).unwrap_err().to_string();
        assert!(
            error.contains("line 2") && error.contains("not a duration"),
            "{error}"
        );
    }

    #[test]
    fn later_files_win_key_by_key_and_named_entries_by_name() {
        let folder = std::env::temp_dir().join(format!("tonegate-merge-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let base = folder.join("base.toml");
        let over = folder.join("over.toml");
        std::fs::write(
            &base,
            "[server]\nworkers = 1\nadmin = \"127.0.0.1:1\"\n\
             [[routes]]\nname = \"a\"\npaths = [\"/a\"]\nadmit = [\"key\"]\n\
             [[routes]]\nname = \"b\"\n",
        )
        .unwrap();
        std::fs::write(
            &over,
            "[server]\nworkers = 2\ntls = { certificate = \"c.pem\", key = \"/k.pem\" }\n\
             [[routes]]\nname = \"a\"\npaths = [\"/x\", \"/y\"]\n\
             [[routes]]\nname = \"c\"\n",
        )
        .unwrap();
        let file = read(&[base, over]).unwrap();
        assert_eq!(file.server.workers, Some(2));
        assert_eq!(file.server.admin, Some("127.0.0.1:1".parse().unwrap()));
        let names: Vec<_> = file.routes.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(file.routes[0].paths, ["/x", "/y"]);
        assert_eq!(file.routes[0].admit, ["key"]);
        let tls = file.server.tls.unwrap();
        assert_eq!(tls.certificate, folder.join("c.pem"));
        assert_eq!(tls.key, PathBuf::from("/k.pem"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_missing_variable_is_told_with_its_key() {
        let text = "[upstreams.voice]\nkind = \"voice-live\"\n\
                    credential = { key = \"${TONEGATE_TEST_NO_SUCH}\" }\n";
        let error = read_text("edge.toml", text).unwrap_err().to_string();
        assert!(error.contains("upstreams.voice.credential.key"), "{error}");
        assert!(error.contains("TONEGATE_TEST_NO_SUCH"), "{error}");
    }
}
