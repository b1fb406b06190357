//! Fields of a JSON text, at any depth. What is not named is not touched, nor written anew.

use std::borrow::Cow;

use super::{Edit, Fate, OFTEN, OFTEN_MAX, fate};
use crate::bot::body::{Denied, Splices};
use crate::bot::json::{Piece, Walk, quoted};
use crate::config::rewrite::{FieldName, Part};

/// An object or a list that is open.
#[derive(Default)]
struct Open<'a> {
    object: bool,
    /// Where the last member that stays ends; `None`: none does so far.
    kept: Option<usize>,
    /// Where the members begin and end that go, behind that one.
    going: Option<(usize, usize)>,
    /// Named keys that stay, unescaped.
    seen: Vec<Cow<'a, str>>,
}

/// Rewrites a text; `None`: it is as it should be.
pub(super) fn rewrite(text: &str, edits: &[Edit<'_>]) -> Result<Option<String>, Denied> {
    let mut walk = Walk::new(text);
    let mut splices = Splices::default();
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut often = 0;
    while let Some(piece) = walk.next()? {
        match piece {
            Piece::Open { object, .. } => open.push(Open {
                object,
                ..Open::default()
            }),
            Piece::Close { at } => {
                let inner = open.pop().unwrap_or_default();
                if inner.object {
                    let add = if open.is_empty() { edits } else { &[] };
                    close(inner, at, add, &mut splices);
                }
                end_value(&mut open, at + 1);
            }
            Piece::Text(place) | Piece::Other(place) => end_value(&mut open, place.end),
            Piece::Key(place) => {
                let key = walk.key(place.clone())?;
                let fate = fate(edits, &key);
                let object = open.last_mut();
                let Some(object) = object.filter(|_| !matches!(fate, Fate::Stays)) else {
                    stay(open.last_mut(), place.start, &mut splices);
                    continue;
                };
                often += 1;
                if often > OFTEN_MAX {
                    return Err(OFTEN);
                }
                let value = walk.skip()?;
                match fate {
                    Fate::Says(edit) if !object.seen.contains(&key) => {
                        stay(Some(object), place.start, &mut splices);
                        let known = edit.value.map(quoted).unwrap_or_default();
                        if text[value.clone()] != known {
                            splices.push(value.clone(), known);
                        }
                        object.seen.push(key);
                        object.kept = Some(value.end);
                    }
                    Fate::Says(_) | Fate::Goes | Fate::Stays => {
                        let from = object.going.map_or(place.start, |(from, _)| from);
                        object.going = Some((from, value.end));
                    }
                }
            }
        }
    }
    let object = text.trim_ascii_start().starts_with('{');
    if !object && edits.iter().any(|edit| edit.add.contains(&Part::Body)) {
        return Err(Denied::bad("the body must be an object"));
    }
    Ok((!splices.is_empty()).then(|| splices.apply(text)))
}

/// A member that stays begins: those before it that go, go with the comma that follows each.
fn stay(object: Option<&mut Open<'_>>, at: usize, splices: &mut Splices) {
    if let Some((from, _)) = object.and_then(|object| object.going.take()) {
        splices.push(from..at, String::new());
    }
}

/// A value has ended, which may be that of a member that stays.
fn end_value(open: &mut [Open<'_>], at: usize) {
    if let Some(outer) = open.last_mut() {
        outer.kept = Some(at);
    }
}

/// An object ends: members that go and have none behind them go with the comma before them. What
/// must stand in it and does not is added.
fn close(object: Open<'_>, at: usize, add: &[Edit<'_>], splices: &mut Splices) {
    if let Some((from, to)) = object.going {
        splices.push(object.kept.unwrap_or(from)..to, String::new());
    }
    let mut members = Vec::new();
    for edit in add.iter().filter(|edit| edit.add.contains(&Part::Body)) {
        let own: &FieldName = edit.name;
        let there = object.seen.iter().any(|key| key == own.as_str());
        if let Some(value) = edit.value.filter(|_| !there) {
            members.push(format!("{}:{}", quoted(own.as_str()), quoted(value)));
        }
    }
    if !members.is_empty() {
        let comma = if object.kept.is_some() { "," } else { "" };
        splices.push(at..at, format!("{comma}{}", members.join(",")));
    }
}
