//! The map in `src/lib.rs` holds: rows, containment, purity, file sizes, and packages that serve.
//!
//! Every check is a function over a set of files, so that a planted violation can show it to bite.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read the tree must fail"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Source files by path below `src`, without their test modules.
type Tree = BTreeMap<PathBuf, String>;

fn tree() -> Tree {
    let mut files = Tree::new();
    gather(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    assert!(files.len() > 30, "found {} files", files.len());
    files
}

fn gather(folder: &Path, files: &mut Tree) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("tests") {
                gather(&path, files);
            }
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            // A module of tests in a file of its own may be named above code.
            let text = text.replace("\n#[cfg(test)]\nmod tests;", "");
            let production = text.split("\n#[cfg(test)]").next().unwrap().to_owned();
            files.insert(path.strip_prefix(&root).unwrap().to_owned(), production);
        }
    }
}

/// Code lines: comments and documentation may speak of anything.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
}

/// The top-level module that a file belongs to.
fn module(path: &Path) -> String {
    let first = path.iter().next().unwrap().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The rows as the crate documentation gives them.
fn rows(map: &str) -> BTreeMap<String, u32> {
    let mut rows = BTreeMap::new();
    for line in map.lines() {
        let Some(cells) = line.strip_prefix("//! | ") else {
            continue;
        };
        let Some((row, modules)) = cells.split_once(" | ") else {
            continue;
        };
        if let Ok(row) = row.parse() {
            for name in modules.split('`').skip(1).step_by(2) {
                rows.insert(name.to_owned(), row);
            }
        }
    }
    rows
}

/// What a file imports of ours. A file that is a module by itself has the crate above it.
fn imports(path: &Path, text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let top = path.iter().count() == 1;
    for line in code(text) {
        let line = if top {
            line.replace("super::", "crate::")
        } else {
            line.to_owned()
        };
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            found.insert(name);
        }
    }
    found
}

fn row_violations(files: &Tree, rows: &BTreeMap<String, u32>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, text) in files {
        let own = module(path);
        if own == "lib" || own == "main" {
            continue;
        }
        for name in imports(path, text) {
            let allowed = match (own.as_str(), name.as_str()) {
                (own, name) if own == name => true,
                ("cli", "sim") => true,
                // The generator of tones, which the detector never sees.
                ("sim", "dtmf" | "audio") => true,
                (_, "sim") | ("sim", _) => false,
                (own, name) => match (rows.get(own), rows.get(name)) {
                    (Some(own), Some(name)) => name < own,
                    _ => false,
                },
            };
            if !allowed {
                wrong.push(format!("{} imports {name}", path.display()));
            }
        }
    }
    wrong
}

#[test]
fn modules_import_from_lower_rows_only() {
    let files = tree();
    let rows = rows(&files[Path::new("lib.rs")]);
    let modules: BTreeSet<_> = files.keys().map(|path| module(path)).collect();
    for name in &modules {
        let outside = ["lib", "main", "sim"].contains(&name.as_str());
        assert!(outside || rows.contains_key(name), "{name} has no row");
    }
    for name in rows.keys() {
        assert!(modules.contains(name), "the row of {name} is empty");
    }
    assert_eq!(row_violations(&files, &rows), Vec::<String>::new());
}

#[test]
fn a_planted_import_is_seen() {
    let mut files = tree();
    let rows = rows(&files[Path::new("lib.rs")]);
    for (path, line) in [
        ("ws/scan.rs", "use crate::relay::Leg;"),
        ("relay/mod.rs", "use crate::admission::Grant;"),
        ("sim/mod.rs", "use crate::ws::Role;"),
        ("listener/http.rs", "let x = crate::sim::frame::TEXT;"),
        ("label.rs", "use super::relay::Leg;"),
    ] {
        let clean = files[Path::new(path)].clone();
        files.insert(path.into(), format!("{clean}\n{line}\n"));
        assert_eq!(row_violations(&files, &rows).len(), 1, "{line}");
        files.insert(path.into(), clean);
    }
}

/// Where a word may stand in code.
struct Rule {
    word: &'static str,
    allowed: &'static [&'static str],
}

const CONTAINMENT: &[Rule] = &[
    Rule {
        word: "rustls::",
        allowed: &[
            "listener/tls/",
            "listener/expiry.rs",
            "tls/",
            "upstream/",
            "sim/",
        ],
    },
    Rule {
        word: "webpki::",
        allowed: &["listener/tls/", "listener/expiry.rs"],
    },
    Rule {
        word: "unsafe ",
        allowed: &["dtmf/simd.rs", "listener/inherit.rs"],
    },
    Rule {
        word: "env::var",
        allowed: &["config/env.rs"],
    },
    Rule {
        word: "sd_notify::",
        allowed: &["config/env.rs"],
    },
    Rule {
        word: "sendmsg",
        allowed: &["listener/handover/"],
    },
    Rule {
        word: "tungstenite",
        allowed: &["ws/handshake.rs", "sim/"],
    },
    Rule {
        word: "dashmap",
        allowed: &[
            "admission/slot.rs",
            "admission/rate.rs",
            "admission/minutes.rs",
            "session/registry/mod.rs",
        ],
    },
    Rule {
        word: "jsonwebtoken::",
        allowed: &[
            "admission/jwt/",
            "admission/jwks/",
            "admission/media_url.rs",
            "admission/ticket/",
            "config/",
        ],
    },
    Rule {
        word: "ppp::",
        allowed: &["listener/proxy.rs"],
    },
    Rule {
        word: "fred::",
        allowed: &["store/redis/"],
    },
    Rule {
        word: "metrics::with_local_recorder",
        allowed: &["metrics/"],
    },
    Rule {
        word: "std::thread",
        allowed: &[
            "app/threads.rs",
            "audit/",
            "log/mod.rs",
            "config/resolve/server.rs",
        ],
    },
];

fn containment_violations(files: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, text) in files {
        for rule in CONTAINMENT {
            let here = path.to_string_lossy();
            let allowed = rule.allowed.iter().any(|place| here.starts_with(place));
            if !allowed && code(text).any(|line| line.contains(rule.word)) {
                wrong.push(format!("{here} names {}", rule.word));
            }
        }
    }
    wrong
}

#[test]
fn packages_and_powers_stay_where_they_belong() {
    let mut files = tree();
    assert_eq!(containment_violations(&files), Vec::<String>::new());
    for rule in CONTAINMENT {
        let clean = files[Path::new("label.rs")].clone();
        files.insert("label.rs".into(), format!("{clean}\n{};\n", rule.word));
        assert_eq!(containment_violations(&files).len(), 1, "{}", rule.word);
        files.insert("label.rs".into(), clean);
    }
}

const PURE: [&str; 11] = [
    "audio", "dtmf", "wire", "ws", "error", "ids", "label", "secret", "trace", "tap", "gate",
];
/// Folders and files of modules that are not pure as a whole.
const PURE_PARTS: [&str; 4] = ["bot/body", "bot/json", "bot/pii", "bot/rewrite"];
const IMPURE: [&str; 6] = [
    "tokio::",
    "std::net",
    "std::fs",
    "Instant",
    "SystemTime",
    "tracing",
];

fn purity_violations(files: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, text) in files {
        let here = path.to_string_lossy();
        let exempt = here == "ws/handshake.rs";
        let part = PURE_PARTS.iter().any(|part| here.starts_with(part));
        if exempt || !part && !PURE.contains(&module(path).as_str()) {
            continue;
        }
        for word in IMPURE {
            if code(text).any(|line| line.contains(word)) {
                wrong.push(format!("{} names {word}", path.display()));
            }
        }
    }
    wrong
}

#[test]
fn the_lower_rows_are_pure() {
    let mut files = tree();
    assert_eq!(purity_violations(&files), Vec::<String>::new());
    for path in ["ws/scan.rs", "bot/rewrite/mod.rs"] {
        let clean = files[Path::new(path)].clone();
        files.insert(
            path.into(),
            format!("{clean}\nlet now = std::time::Instant::now();\n"),
        );
        assert_eq!(purity_violations(&files).len(), 1);
        files.insert(path.into(), clean);
    }
}

fn long_files(files: &Tree) -> Vec<String> {
    let lines = |(path, text): (&PathBuf, &String)| {
        let lines = text.lines().count();
        (lines > 400).then(|| format!("{} has {lines} lines", path.display()))
    };
    files.iter().filter_map(lines).collect()
}

#[test]
fn files_stay_under_400_production_lines() {
    let mut files = tree();
    assert_eq!(long_files(&files), Vec::<String>::new());
    files.insert("label.rs".into(), "// a line\n".repeat(401));
    assert_eq!(long_files(&files).len(), 1);
}

/// Dependencies of the manifest, with dashes as they appear in code.
fn dependencies() -> Vec<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(manifest).unwrap().parse().unwrap();
    let names = manifest["dependencies"].as_table().unwrap().keys();
    names.map(|name| name.replace('-', "_")).collect()
}

/// Whether code names something of a package, and not of a module of ours with the same name.
fn uses(text: &str, package: &str) -> bool {
    let inside = format!("{package}::");
    code(text).any(|line| {
        line.match_indices(&inside).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':'))
        })
    })
}

/// Dependencies that serve nowhere, or elsewhere than the map says.
fn idle_packages(files: &Tree, names: &[String]) -> Vec<String> {
    let map = &files[Path::new("lib.rs")];
    let serves = |name: &str, sim: bool| {
        files
            .iter()
            .any(|(path, text)| (module(path) == "sim") == sim && uses(text, name))
    };
    let mut idle = Vec::new();
    for name in names {
        let (product, sim) = (serves(name, false), serves(name, true));
        let named = map.contains(&format!("{name} serves only in `sim`"));
        if !(product || (sim && named)) || (product && named) {
            idle.push(name.clone());
        }
    }
    idle
}

#[test]
fn every_dependency_serves_in_the_product_or_is_named() {
    let mut files = tree();
    let mut names = dependencies();
    assert!(names.len() > 20);
    assert_eq!(idle_packages(&files, &names), Vec::<String>::new());
    names.push("unheard_of".to_owned());
    assert_eq!(idle_packages(&files, &names), ["unheard_of"]);
    // A module of ours by the name of a package does not stand in for it.
    files.insert("label.rs".into(), "use crate::unheard_of::X;".to_owned());
    assert_eq!(idle_packages(&files, &names), ["unheard_of"]);
    files.insert("label.rs".into(), "use unheard_of::X;".to_owned());
    assert_eq!(idle_packages(&files, &names), Vec::<String>::new());
    // What serves in the product must not be named as serving elsewhere only.
    let map = files[Path::new("lib.rs")].clone() + "//! unheard_of serves only in `sim`.\n";
    files.insert("lib.rs".into(), map);
    assert_eq!(idle_packages(&files, &names), ["unheard_of"]);
}

/// The card's packages, and a file of the product where each one serves.
const CARD: [(&str, &str); 11] = [
    ("fred", "store/redis/mod.rs"),
    ("hyper::server", "listener/http.rs"),
    ("hyper::client", "upstream/mod.rs"),
    ("tokio::net", "listener/mod.rs"),
    ("tokio_tungstenite", "ws/handshake.rs"),
    ("rustls", "tls/session.rs"),
    ("bytes", "relay/tls.rs"),
    ("jsonwebtoken", "admission/jwt/mod.rs"),
    ("dashmap", "session/registry/mod.rs"),
    ("metrics", "metrics/mod.rs"),
    ("metrics_exporter_prometheus", "metrics/mod.rs"),
];

fn absent(files: &Tree) -> Vec<&'static str> {
    let names =
        |&&(package, place): &&(&'static str, &str)| !uses(&files[Path::new(place)], package);
    let missing = CARD.iter().filter(names);
    missing.map(|(package, _)| *package).collect()
}

#[test]
fn the_cards_packages_serve_in_the_product() {
    let mut files = tree();
    assert_eq!(absent(&files), Vec::<&str>::new());
    let without = files[Path::new("relay/tls.rs")].replace("bytes::", "crate::bytes::");
    files.insert("relay/tls.rs".into(), without);
    assert_eq!(absent(&files), ["bytes"]);
}
