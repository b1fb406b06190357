//! How the names of session keys are built: templates that no two sets of parts go through alike.

use super::Problems;
use crate::config::file;
use crate::config::{KeyForms, Piece, Template};
use crate::secret::Secret;

/// Names of the edge's own keys begin so; see the README.
const OWN: [&str; 18] = [
    "call:",
    "live:",
    "tries:",
    "spent:",
    "fails:",
    "used:",
    "event:",
    "tones:",
    "handoff:",
    "orders:",
    "limit:",
    "reference:",
    "quiet:",
    "scope:",
    "person:",
    "running:",
    "running-of:",
    "pace:",
];

pub(super) fn key_forms(
    written: &file::Store,
    hmac: Option<Secret>,
    problems: &mut Problems,
) -> Option<KeyForms> {
    let usual = KeyForms::default();
    let prefix = written.prefix.clone().unwrap_or_default();
    if prefix.len() > 64 || !prefix.bytes().all(is_plain) {
        let what = "must be at most 64 characters of a-z A-Z 0-9 : . _ / -";
        problems.add("store.prefix", what);
    }
    if hmac.as_ref().is_some_and(|key| key.expose().len() < 32) {
        problems.add("store.hmac", "must have 32 bytes at the least");
    }
    let of_caller = [Piece::Ani, Piece::Code];
    let mut form = |key: &str, text: &Option<String>, usual: Template, parts: &[Piece]| {
        let Some(text) = text else {
            return Some(usual);
        };
        let read = template(text, parts);
        read.map_err(|problem| problems.add(format!("store.{key}"), problem))
            .ok()
    };
    let pstn = form("pstn", &written.pstn, usual.pstn, &of_caller);
    let sip = form("sip", &written.sip, usual.sip, &[Piece::Id]);
    let api = form("api", &written.api, usual.api, &[Piece::Id]);
    let keys = KeyForms {
        prefix,
        pstn: pstn?,
        sip: sip?,
        api: api?,
        hmac,
    };
    distinct(&keys, problems);
    Some(keys)
}

/// Characters of a key that are no part: no braces, which mean a slot to a cluster, and nothing
/// that a pattern of Redis would read as more than itself.
fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b':' | b'.' | b'_' | b'/' | b'-')
}

/// Reads a template that holds `parts` once each.
///
/// Two sets of parts build different keys: there is text before the first part, and between two
/// parts stands a character that neither can hold, so that a key falls into its parts one way only.
fn template(text: &str, parts: &[Piece]) -> Result<Template, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        let part = parts.iter().find(|part| after.starts_with(part.word()));
        let Some(part) = part else {
            return Err(format!("may hold {} and no other braces", words(parts)));
        };
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(part.clone());
        rest = &after[part.word().len()..];
    }
    pieces.push(Piece::Text(rest.to_owned()));
    for part in parts {
        if pieces.iter().filter(|piece| *piece == part).count() != 1 {
            return Err(format!("must hold {} exactly once", part.word()));
        }
    }
    let texts = |piece: &Piece| match piece {
        Piece::Text(text) => Some(text.clone()),
        Piece::Ani | Piece::Code | Piece::Id => None,
    };
    let texts: Vec<String> = pieces.iter().filter_map(texts).collect();
    if text.len() > 128 || !texts.iter().all(|text| text.bytes().all(is_plain)) {
        return Err("must be at most 128 characters of a-z A-Z 0-9 : . _ / -".to_owned());
    }
    if texts[0].is_empty() {
        return Err("must begin with a text of its own, such as \"sip:\"".to_owned());
    }
    // What stands between {ani} and {code}, which are digits and a plus.
    let separates = |text: &String| text.bytes().any(|b| !b.is_ascii_digit());
    if !texts[1..texts.len() - 1].iter().all(separates) {
        let what = "must have a character between its parts that is no digit, such as \":\"";
        return Err(what.to_owned());
    }
    Ok(Template(pieces))
}

fn words(parts: &[Piece]) -> String {
    let words: Vec<&str> = parts.iter().map(Piece::word).collect();
    words.join(" and ")
}

/// No key of one kind is one of another kind, nor one of our own.
fn distinct(keys: &KeyForms, problems: &mut Problems) {
    let start = |template: &Template| match template.0.first() {
        Some(Piece::Text(text)) => text.clone(),
        Some(Piece::Ani | Piece::Code | Piece::Id) | None => String::new(),
    };
    let mut before: Vec<String> = OWN.iter().map(|own| (*own).to_owned()).collect();
    let kinds = [("pstn", &keys.pstn), ("sip", &keys.sip), ("api", &keys.api)];
    for (key, template) in kinds {
        let start = start(template);
        let clash = before
            .iter()
            .find(|other| other.starts_with(&start) || start.starts_with(*other));
        if let Some(clash) = clash {
            let what = format!("begins like keys that begin with {clash:?}");
            problems.add(format!("store.{key}"), what);
        }
        before.push(start);
    }
}
