//! Fields in a query and in a form, which are written alike (WHATWG URL, 5).

use std::borrow::Cow;

use super::name::{Match, Spelling, decode, undo};
use super::{Edit, Fate, OFTEN, OFTEN_MAX, fate};
use crate::bot::body::Denied;
use crate::config::rewrite::{FieldName, Part};

/// One `name=value`.
struct Parameter<'a> {
    raw: &'a str,
    raw_name: &'a str,
    /// Decoded.
    name: Cow<'a, str>,
}

fn parameter<'a, 'n>(
    raw: &'a str,
    names: impl Iterator<Item = &'n FieldName> + Clone,
) -> Result<Parameter<'a>, Denied> {
    let (raw_name, value) = raw.split_once('=').unwrap_or((raw, ""));
    // Some divide at `;` as well (HTML 4, B.2.2).
    for part in value.split(';').skip(1) {
        let name = part.split('=').next().unwrap_or_default();
        let hides = |text: &str| {
            let spelling = Spelling::of(text);
            names
                .clone()
                .any(|name| spelling.stands_to(name) != Match::None)
        };
        let decoded = undo(name).0;
        if hides(name) || hides(&String::from_utf8_lossy(&decoded)) {
            return Err(Denied::bad("a parameter stands behind a semicolon"));
        }
    }
    Ok(Parameter {
        raw,
        raw_name,
        name: decode(raw_name, names)?,
    })
}

/// Rewrites a query or a form; what is not named stays as it is.
pub(super) fn rewrite<'a>(
    raw: &'a str,
    edits: &[Edit<'_>],
    part: Part,
) -> Result<Cow<'a, str>, Denied> {
    let names = edits.iter().map(|edit| edit.name);
    let mut out = Vec::new();
    let mut seen: Vec<Cow<'_, str>> = Vec::new();
    let mut often = 0;
    for pair in raw.split('&') {
        let parameter = parameter(pair, names.clone())?;
        let fate = fate(edits, &parameter.name);
        if let Fate::Stays = fate {
            out.push(Cow::Borrowed(parameter.raw));
            continue;
        }
        often += 1;
        if often > OFTEN_MAX {
            return Err(OFTEN);
        }
        if let Fate::Says(edit) = fate
            && let Some(value) = edit.value
            && !seen.contains(&parameter.name)
        {
            out.push(Cow::Owned(format!(
                "{}={}",
                parameter.raw_name,
                encode(value)
            )));
            seen.push(parameter.name);
        }
    }
    for edit in edits.iter().filter(|edit| edit.add.contains(&part)) {
        let own = edit.name.as_str();
        let there = seen.iter().any(|spelled| spelled == own);
        if let Some(value) = edit.value.filter(|_| !there) {
            if raw.is_empty() {
                out.clear();
            }
            out.push(Cow::Owned(format!("{own}={}", encode(value))));
        }
    }
    // Nothing was changed: the same text.
    if often == 0 && out.iter().all(|part| matches!(part, Cow::Borrowed(_))) {
        return Ok(Cow::Borrowed(raw));
    }
    Ok(Cow::Owned(out.join("&")))
}

/// Everything but what may stand in a query unencoded by every reading (RFC 3986, 2.3).
fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What parameters of these names say, decoded.
///
/// A name in any spelling but the route's own is refused: the application might not read it, and then
/// go by something else.
pub(super) fn values(raw: &str, names: &[FieldName]) -> Result<Vec<String>, Denied> {
    let mut found = Vec::new();
    for raw in raw.split('&') {
        let parameter = parameter(raw, names.iter())?;
        let spelling = Spelling::of(&parameter.name);
        let Some(name) = names
            .iter()
            .find(|name| spelling.stands_to(name) != Match::None)
        else {
            continue;
        };
        // A name that had to be decoded is refused, too: not everybody decodes names.
        if parameter.raw_name != name.as_str() {
            return Err(super::names::SPELLED);
        }
        let value = raw.split_once('=').map_or("", |(_, value)| value);
        let (bytes, whole) = undo(value);
        let value = String::from_utf8(bytes).ok().filter(|_| whole);
        found.push(value.ok_or(super::names::NO_ID)?);
    }
    Ok(found)
}
