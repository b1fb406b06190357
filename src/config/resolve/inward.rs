//! What becomes of a request on its way to a private application: who it says that asks, whom it is
//! about, what is taken out of it.

use http::HeaderName;

use super::route::At;
use crate::config::file;
use crate::config::pii::{Pii, PiiKind};
use crate::config::rewrite::{
    Becomes, FIELDS_MAX, Field, FieldName, Known, Names, Part, PathShape, Rewrite, may_pass,
};

/// What becomes of fields and headers.
pub(super) fn rewrite(at: &mut At<'_>) -> Rewrite {
    let written = at.written;
    let mut fields: Vec<Field> = Vec::new();
    for (key, rule) in &written.identity {
        let place = format!("identity.{key}");
        let Some(name) = field(at, &place, key) else {
            continue;
        };
        let (what, add) = match rule {
            file::FieldRule::Word(word) => (word.as_str(), &[][..]),
            file::FieldRule::Table { with, add } => (with.as_str(), add.as_slice()),
        };
        let known = Known::ALL.into_iter().find(|known| known.word() == what);
        let becomes = match (what, known) {
            ("strip", _) if add.is_empty() => Becomes::Stripped,
            (_, Some(with)) => Becomes::Overwritten {
                with,
                add: parts(at, &place, add),
            },
            _ => {
                let what = "must be \"strip\", \"user\", \"tenant\" or \"mapped\", or { with = \
                            \"user\", add = [\"query\", \"header\", \"body\"] }";
                at.add(&place, what);
                continue;
            }
        };
        if fields.iter().any(|other| other.name == name) {
            at.add(&place, "is the same name as another one");
        }
        fields.push(Field { name, becomes });
    }
    Rewrite {
        fields,
        pass: pass(at),
    }
}

fn field(at: &mut At<'_>, place: &str, name: &str) -> Option<FieldName> {
    let field = FieldName::new(name);
    if field.is_none() {
        at.add(
            place,
            format!("{name:?} must be 2 to 64 characters of a-z A-Z 0-9 _ -"),
        );
    }
    field
}

fn parts(at: &mut At<'_>, place: &str, words: &[String]) -> Vec<Part> {
    let mut parts = Vec::new();
    for word in words {
        match Part::ALL.into_iter().find(|part| part.word() == word) {
            Some(part) => parts.push(part),
            None => at.add(
                place,
                format!("{word:?} must be \"query\", \"header\" or \"body\""),
            ),
        }
    }
    parts
}

/// Headers that go on beside the usual ones.
pub(super) fn pass(at: &mut At<'_>) -> Vec<HeaderName> {
    let mut pass = Vec::new();
    for name in &at.written.pass_headers {
        match HeaderName::try_from(name) {
            Ok(header) if may_pass(header.as_str()) => pass.push(header),
            Ok(_) => {
                let what = format!("{name:?} goes no further: it says who asks, or how");
                at.add("pass_headers", what);
            }
            Err(_) => at.add("pass_headers", format!("{name:?} is not a header")),
        }
    }
    pass
}

/// Where requests say whom they are about.
pub(super) fn names(at: &mut At<'_>, rewrite: &Rewrite) -> Option<Names> {
    let written = at.written.about.as_ref()?;
    let mut names = Names {
        required: written.required,
        ..Names::default()
    };
    for name in &written.fields {
        let Some(field) = field(at, "about.fields", name) else {
            continue;
        };
        if rewrite.fields.iter().any(|other| other.name == field) {
            let what = format!("{name:?} is overwritten by identity, so it says nothing");
            at.add("about.fields", what);
        }
        names.fields.push(field);
    }
    for path in &written.paths {
        match PathShape::new(path) {
            Ok(shape) => names.paths.push(shape),
            Err(what) => at.add("about.paths", format!("{path:?} {what}")),
        }
    }
    if names.fields.is_empty() && names.paths.is_empty() {
        at.add(
            "about",
            "names neither fields nor paths, so it says nothing",
        );
    }
    if rewrite.fields.len() + names.fields.len() > FIELDS_MAX {
        let what = format!("identity and about name more than {FIELDS_MAX} fields");
        at.add("identity", what);
    }
    Some(names)
}

/// What is taken out.
pub(super) fn pii(at: &mut At<'_>) -> Option<Pii> {
    let written = at.written.pii.as_ref()?;
    let mut pii = Pii::default();
    for word in &written.kinds {
        match PiiKind::ALL.into_iter().find(|kind| kind.word() == word) {
            Some(kind) => pii.kinds.push(kind),
            None => {
                let known: Vec<_> = PiiKind::ALL.iter().map(|kind| kind.word()).collect();
                let what = format!("{word:?} must be one of {}", known.join(", "));
                at.add("pii.kinds", what);
            }
        }
    }
    if written.kinds.is_empty() {
        pii.kinds = PiiKind::DEFAULT.to_vec();
    }
    for name in &written.fields {
        pii.fields.extend(field(at, "pii.fields", name));
    }
    Some(pii)
}
