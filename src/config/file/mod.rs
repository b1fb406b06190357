//! Settings as the operator writes them: TOML, one file or several, later ones winning.
//!
//! Here the text becomes typed values ([`table`], every field optional); [`super::resolve`] turns
//! them into what the program needs. A key that does not exist is an error with its place and the
//! nearest key that does.

mod bot;
mod credential;
mod limits;
mod route;
mod schema;
mod store;
mod table;
mod telemetry;
mod ticket;
mod upstream;

use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::{Table, Value};

pub(super) use self::bot::{Assertion, Bot, PiiDetector, Roles};
pub(super) use self::credential::{Credential, Federated};
pub(super) use self::route::{FieldRule, Gate, Route, Webhook};
pub(super) use self::schema::text as schema;
pub(super) use self::store::Store;
pub(super) use self::table::{Acs, Audit, Calls, File, Issuer};
pub(super) use self::ticket::{TicketKey, Tickets};
pub(super) use self::upstream::Upstream;
use super::env::{self, Environment};

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
pub(super) fn read(paths: &[PathBuf], variables: &Environment) -> Result<File, Unusable> {
    let mut merged = Table::new();
    let mut last = String::new();
    for path in paths {
        last = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Unusable::Unreadable {
            path: last.clone(),
            error,
        })?;
        let mut table = parse(&last, &text, variables)?;
        anchor_paths(&mut table, path);
        merge(&mut merged, table);
    }
    finish(&last, merged, variables)
}

/// Reads settings from a text instead of files; relative paths in it are left alone.
pub(super) fn read_text(name: &str, text: &str, variables: &Environment) -> Result<File, Unusable> {
    let table = parse(name, text, variables)?;
    finish(name, table, variables)
}

/// Takes a table that was not written by hand.
pub(super) fn of_table(
    name: &str,
    table: Table,
    variables: &Environment,
) -> Result<File, Unusable> {
    finish(name, table, variables)
}

fn finish(name: &str, mut table: Table, variables: &Environment) -> Result<File, Unusable> {
    let mut missing = Vec::new();
    expand(&mut table, "", variables, &mut missing);
    if !missing.is_empty() {
        return Err(Unusable::Problems(missing));
    }
    File::deserialize(table).map_err(|error| Unusable::Malformed {
        path: name.to_owned(),
        text: explain(&error, None),
    })
}

/// Checks one file by itself, where the place of a mistake is still known.
fn parse(path: &str, text: &str, variables: &Environment) -> Result<Table, Unusable> {
    let explain = |error: toml::de::Error| Unusable::Malformed {
        path: path.to_owned(),
        text: explain(&error, Some(text)),
    };
    let table = text.parse::<Table>().map_err(explain)?;
    if let Err(error) = toml::from_str::<File>(text) {
        // A number or an address may come out of the environment; then its place is all that is
        // lost. What is missing there is told when all files are together.
        let mut expanded = table.clone();
        expand(&mut expanded, "", variables, &mut Vec::new());
        if !text.contains("${") || File::deserialize(expanded).is_err() {
            return Err(explain(error));
        }
    }
    Ok(table)
}

/// What is wrong and where, with the nearest key that exists. What was written there is not told:
/// it may be a secret.
fn explain(error: &toml::de::Error, text: Option<&str>) -> String {
    let message = error.message();
    let mut told = String::new();
    if let (Some(span), Some(text)) = (error.span(), text) {
        let before = &text[..span.start.min(text.len())];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[start..].chars().count() + 1;
        told.push_str(&format!("line {line}, column {column}: "));
        let written = text[start..].lines().next().unwrap_or("");
        let key = written.split('=').next().unwrap_or("").trim();
        let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if !key.is_empty() && key.bytes().all(bare) && written.contains('=') {
            told.push_str(&format!("{key}: "));
        }
    }
    told.push_str(&without_value(message));
    if let Some(rest) = message.strip_prefix("unknown field `")
        && let Some((wrong, known)) = rest.split_once('`')
    {
        let nearest = known
            .split('`')
            .skip(1)
            .step_by(2)
            .max_by(|a, b| similarity(wrong, a).total_cmp(&similarity(wrong, b)));
        if let Some(nearest) = nearest {
            told.push_str(&format!("\ndid you mean `{nearest}`?"));
        }
    }
    told
}

/// The parser's message, as far as it names keys and types only.
fn without_value(message: &str) -> String {
    const SAFE: [&str; 5] = [
        "unknown field `",
        "missing field `",
        "duplicate ",
        "not a duration",
        "not a rate",
    ];
    if message.starts_with("invalid socket address syntax") {
        return wanted("socket address").to_owned();
    }
    if SAFE.iter().any(|start| message.starts_with(start)) || !message.contains(['"', '`']) {
        return message.to_owned();
    }
    let expected = message
        .rsplit_once(", expected ")
        .map_or("", |(_, expected)| expected);
    wanted(expected).to_owned()
}

/// What a value must be, by what the parser expected.
fn wanted(expected: &str) -> &'static str {
    match expected {
        "usize" | "u32" | "u16" | "u8" | "integer overflow" => "must be a whole number",
        "parsable string" => "must be a size such as \"64KiB\" or \"16MiB\"",
        "socket address" => "must be an address and a port, such as \"0.0.0.0:8443\"",
        "a sequence" => "must be a list, such as [\"key\"]",
        "a string" | "path string" => "must be a text in quotes",
        "a boolean" => "must be true or false",
        "a map" => "must be a table, such as { key = \"…\" }",
        _ => "cannot be used here",
    }
}

fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}

/// Tables of peers by name, and which of their keys are paths.
const PEERS: [(&str, &[&str]); 3] = [
    ("upstreams", &["certificate", "key"]),
    ("issuers", &[]),
    ("pii_detectors", &["key_file"]),
];

/// Makes the paths in a file relative to its folder, as whoever wrote it means them.
fn anchor_paths(table: &mut Table, file: &Path) {
    let folder = file.parent().unwrap_or(Path::new(""));
    let anchor_path = |value: &mut Value| self::anchor_path(value, folder);
    let anchor = |table: Option<&mut Value>, key: &str| {
        if let Some(value) = table.and_then(|t| t.as_table_mut()?.get_mut(key)) {
            anchor_path(value);
        }
    };
    let anchor_roots = |table: &mut Value| {
        if table.get("roots").and_then(Value::as_str) != Some("system") {
            anchor(Some(table), "roots");
        }
    };
    if let Some(Value::Table(server)) = table.get_mut("server") {
        anchor(server.get_mut("tls"), "certificate");
        anchor(server.get_mut("tls"), "key");
        anchor(server.get_mut("tls"), "client_roots");
    }
    anchor(table.get_mut("audit"), "path");
    if let Some(store) = table.get_mut("store") {
        anchor_roots(store);
    }
    if let Some(acs) = table.get_mut("acs") {
        anchor(Some(&mut *acs), "key_file");
        anchor_roots(acs);
    }
    for key in ticket_keys(table) {
        for file in ["secret_file", "public_key", "private_key"] {
            anchor(Some(&mut *key), file);
        }
    }
    if let Some(Value::Array(keys)) = table.get_mut("assertion").and_then(|t| t.get_mut("keys")) {
        keys.iter_mut().for_each(anchor_path);
    }
    for asked in ["graph", "roles"] {
        if let Some(asked) = table.get_mut(asked) {
            anchor_roots(asked);
        }
    }
    if let Some(bot) = table.get_mut("bot") {
        anchor(Some(&mut *bot), "secret_file");
        anchor_roots(bot);
    }
    if let Some(Value::Array(routes)) = table.get_mut("routes") {
        for route in routes {
            let mut gate = route.get_mut("gate");
            for key in ["prompt", "retry", "goodbye"] {
                anchor(gate.as_deref_mut(), key);
            }
            if let Some(webhook) = route.get_mut("webhook") {
                anchor_roots(webhook);
            }
        }
    }
    for (kind, files) in PEERS {
        let Some(Value::Table(peers)) = table.get_mut(kind) else {
            continue;
        };
        for (_, peer) in peers.iter_mut() {
            anchor_roots(peer);
            for key in files {
                anchor(Some(&mut *peer), key);
            }
            if let Some(credential) = peer.get_mut("credential") {
                anchor(Some(credential), "key_file");
                anchor_roots(credential);
            }
        }
    }
}

fn anchor_path(value: &mut Value, folder: &Path) {
    if let Value::String(path) = value
        && !path.contains("${")
    {
        *path = folder.join(&*path).display().to_string();
    }
}

/// `[[tickets.keys]]`.
fn ticket_keys(table: &mut Table) -> &mut [Value] {
    let keys = table.get_mut("tickets");
    let keys = keys.and_then(|tickets| tickets.get_mut("keys")?.as_array_mut());
    keys.map_or(&mut [], |keys| keys.as_mut_slice())
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
fn expand(table: &mut Table, at: &str, variables: &Environment, missing: &mut Vec<String>) {
    for (key, value) in table.iter_mut() {
        let at = if at.is_empty() {
            key.to_owned()
        } else {
            format!("{at}.{key}")
        };
        expand_value(value, &at, variables, missing);
    }
}

fn expand_value(value: &mut Value, at: &str, variables: &Environment, missing: &mut Vec<String>) {
    match value {
        Value::String(text) => match env::expand(text, variables) {
            Ok(Some(expanded)) => *text = expanded,
            Ok(None) => {}
            Err(problem) => missing.push(format!("{at}: {problem}")),
        },
        Value::Array(values) => {
            for (i, value) in values.iter_mut().enumerate() {
                let name = name_of(value).map_or_else(|| i.to_string(), str::to_owned);
                expand_value(value, &format!("{at}.{name}"), variables, missing);
            }
        }
        Value::Table(table) => expand(table, at, variables, missing),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Result<File, Unusable> {
        super::read_text(name, text, &Environment::process())
    }

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
    fn g15_no_mistake_prints_what_was_written_there() {
        let mistakes = [
            "credential = { key = \"CANARY\", kee = 1 }",
            "credential = \"CANARY\"",
            "credential = [\"CANARY\"]",
            "credential = { key = [\"CANARY\"] }",
            "credential = { key = CANARY }",
            "credential = { key = \"CANARY }",
            "kind = { key = \"CANARY\" }",
            "connect = \"CANARY\"",
            "plain_text = \"CANARY\"",
            "url = 5 # CANARY",
        ];
        for mistake in mistakes {
            let text = format!("[upstreams.voice]\n{mistake}\n");
            let error = read_text("edge.toml", &text).unwrap_err().to_string();
            assert!(!error.contains("CANARY"), "{error}");
            assert!(error.contains("line 2"), "{error}");
        }
        let limits = "[limits]\nclient_message = \"CANARY\"\n";
        let error = read_text("edge.toml", limits).unwrap_err().to_string();
        assert!(
            !error.contains("CANARY") && error.contains("line 2"),
            "{error}"
        );
    }

    #[test]
    fn an_overlay_names_only_what_it_changes() {
        let folder = std::env::temp_dir().join(format!("tonegate-over-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (base, over) = (folder.join("base.toml"), folder.join("over.toml"));
        std::fs::write(
            &base,
            "[server]\ntls = { certificate = \"c.pem\", key = \"k.pem\" }\n\
             [upstreams.voice]\nkind = \"voice-live\"\nresource = \"r\"\n\
             [[keys]]\nname = \"kiosk\"\nsha256 = \"00\"\n\
             [issuers.users]\nkind = \"oidc\"\n",
        )
        .unwrap();
        std::fs::write(
            &over,
            "[server]\ntls = { certificate = \"/other.pem\" }\n\
             [upstreams.voice]\nconnect = \"3s\"\n\
             [[keys]]\nname = \"kiosk\"\nmodels = [\"m\"]\n\
             [issuers.users]\naudience = [\"a\"]\n",
        )
        .unwrap();
        let file = read(&[base, over], &Environment::process()).unwrap();
        let tls = file.server.tls.unwrap();
        assert_eq!(tls.certificate, Some(PathBuf::from("/other.pem")));
        assert_eq!(tls.key, Some(folder.join("k.pem")));
        let upstream = &file.upstreams["voice"];
        assert_eq!(upstream.resource.as_deref(), Some("r"));
        assert_eq!(upstream.connect.map(|connect| connect.as_secs()), Some(3));
        assert_eq!(file.keys[0].sha256.as_deref(), Some("00"));
        assert_eq!(file.keys[0].models, ["m"]);
        assert_eq!(file.issuers["users"].kind.as_deref(), Some("oidc"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn b17_a_variable_may_stand_in_every_kind_of_value() {
        // Some variable that every test process has; the escape is not one.
        let text = "[server]\nlisten = \"127.0.0.1:${TONEGATE_TEST_NO_SUCH}\"\n";
        let error = read_text("edge.toml", text).unwrap_err().to_string();
        assert!(
            error.contains("server.listen") || error.contains("listen"),
            "{error}"
        );
        let port = "[server]\nworkers = \"${CARGO_PKG_VERSION_MAJOR}\"\n";
        assert!(read_text("edge.toml", port).is_err());
        let listen = "[server]\nlisten = \"127.0.0.${CARGO_PKG_VERSION_MINOR}:80\"\n";
        let file = read_text("edge.toml", listen).unwrap();
        assert_eq!(file.server.listen, Some("127.0.0.1:80".parse().unwrap()));
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
        let file = read(&[base, over], &Environment::process()).unwrap();
        assert_eq!(file.server.workers, Some(2));
        assert_eq!(file.server.admin, Some("127.0.0.1:1".parse().unwrap()));
        let names: Vec<_> = file.routes.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(file.routes[0].paths, ["/x", "/y"]);
        assert_eq!(file.routes[0].admit, ["key"]);
        let tls = file.server.tls.unwrap();
        assert_eq!(tls.certificate, Some(folder.join("c.pem")));
        assert_eq!(tls.key, Some(PathBuf::from("/k.pem")));
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
