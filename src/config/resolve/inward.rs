//! What becomes of a request on its way to a private application: who it says that asks, whom it is
//! about, what is taken out of it but for personal data.

use http::HeaderName;

use super::route::At;
use crate::config::rewrite::{
    Becomes, FIELDS_MAX, Field, FieldName, Known, Names, Part, PathShape, Rewrite, Segment,
    may_pass,
};
use crate::config::{BELOW, file};

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
        if known == Some(Known::Mapped) && written.scope != Some(true) {
            let what = "\"mapped\" needs scope = true: who somebody is there is known with whom \
                        they may see";
            at.add(&place, what);
        }
        let becomes = match (what, known) {
            ("strip", _) if add.is_empty() => Becomes::Stripped,
            (_, Some(with)) => Becomes::Overwritten {
                with,
                add: parts(at, &place, add, &name),
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

pub(super) fn field(at: &mut At<'_>, place: &str, name: &str) -> Option<FieldName> {
    let field = FieldName::new(name);
    if field.is_none() {
        at.add(
            place,
            format!("{name:?} must be 2 to 64 characters of a-z A-Z 0-9 _ -"),
        );
    }
    field
}

fn parts(at: &mut At<'_>, place: &str, words: &[String], name: &FieldName) -> Vec<Part> {
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
    let header = name.header();
    let passes = header.is_some_and(|header| may_pass(header.as_str()));
    if parts.contains(&Part::Header) && !passes {
        at.add(
            place,
            "is no header that may be added: it goes no further, or the edge writes it",
        );
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
        for header in rewrite.pass.iter().filter(|header| says(header, &field)) {
            let what = format!(
                "{:?} says what about.fields says, and is not judged",
                header.as_str()
            );
            at.add("pass_headers", what);
        }
        names.fields.push(field);
    }
    for path in &written.paths {
        match PathShape::new(path) {
            Ok(shape) => {
                if !at.written.paths.iter().any(|own| lies_in(&shape, own)) {
                    let what = format!("{path:?} lies in none of the route's own paths");
                    at.add("about.paths", what);
                }
                names.paths.push(shape);
            }
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

/// Whether an application may read a header as that field, with or without its `x-`: any of its parts,
/// or several that follow each other.
fn says(header: &HeaderName, field: &FieldName) -> bool {
    let name = header.as_str();
    let bare = name.strip_prefix("x-").unwrap_or(name);
    [name, bare].iter().any(|name| {
        let divides = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-');
        let parts: Vec<String> = name
            .split(divides)
            .map(|part| part.replace(['_', '-'], ""))
            .collect();
        let runs = (0..parts.len()).flat_map(|from| (from..parts.len()).map(move |to| (from, to)));
        let mut runs = runs.map(|(from, to)| parts[from..=to].concat());
        runs.any(|run| run.as_bytes() == field.folded())
    })
}

/// Whether a shape is one of paths that the route has.
fn lies_in(shape: &PathShape, own: &str) -> bool {
    let (folder, below) = match own.strip_suffix(BELOW) {
        Some(folder) => (folder, true),
        None => (own, false),
    };
    let folder: Vec<&str> = folder.split('/').skip(1).collect();
    let same = folder.iter().zip(&shape.segments);
    let mut same = same.map(|(own, segment)| match segment {
        Segment::Literal(literal) => literal == own,
        // Of a path that is whole it can be any one.
        Segment::Id => !below,
    });
    let fits = match below {
        true => shape.segments.len() > folder.len(),
        false => !shape.below && shape.segments.len() == folder.len(),
    };
    fits && same.all(|same| same)
}

#[cfg(test)]
mod tests {
    use crate::config::Settings;

    const GOOD: &str = r#"
        [server]
        listen = "127.0.0.1:0"
        [issuers.users]
        kind = "entra"
        tenants = ["11111111-2222-3333-4444-555555555555"]
        audience = ["api://notify"]
        [roles]
        by = "store"
        [upstreams.app]
        kind = "http"
        url = "http://127.0.0.1:8080"
        credential = { none = true }
        [[routes]]
        name = "api"
        paths = ["/api/*", "/whole/of/it"]
        kind = "http"
        admit = ["users"]
        upstreams = ["app"]
    "#;

    fn read(lines: &str) -> Result<Settings, String> {
        let settings = Settings::read_text("edge.toml", &format!("{GOOD}\n{lines}"));
        settings.map_err(|error| error.to_string())
    }

    #[test]
    fn c14_what_of_a_request_is_judged_is_all_that_goes_on() {
        for good in [
            "scope = true\nidentity = { engineer_id = { with = \"mapped\", add = [\"header\"] } }",
            "identity = { \"X-User-Name\" = { with = \"user\", add = [\"header\"] } }",
            "identity = { authorization = \"strip\" }",
            "scope = true\nabout = { fields = [\"case_owner\"] }\npass_headers = [\"X-Case\", \"X-Owner\"]",
            "scope = true\nabout = { paths = [\"/api/{id}\", \"/api/a/{id}/*\", \"/whole/{id}/it\"] }",
            "web_socket = true\nmethods = [\"GET\"]",
            "web_socket = true",
        ] {
            assert_eq!(read(good).err(), None, "{good}");
        }
    }

    #[test]
    fn c14_what_would_go_past_its_judge_is_told() {
        let about = "scope = true\nabout = { fields = [\"case_owner\"] }";
        let add = |name: &str| {
            format!("identity = {{ {name} = {{ with = \"user\", add = [\"header\"] }} }}")
        };
        let paths = |path: &str| format!("scope = true\nabout = {{ paths = [\"{path}\"] }}");
        for (lines, at) in [
            (
                "identity = { engineer_id = \"mapped\" }".to_owned(),
                "identity.engineer_id",
            ),
            (
                "scope = false\nidentity = { engineer_id = { with = \"mapped\" } }".to_owned(),
                "identity.engineer_id",
            ),
            (add("authorization"), "identity.authorization"),
            (add("x_forwarded_for"), "identity.x_forwarded_for"),
            (add("X-Tonegate-User-Id"), "identity.X-Tonegate-User-Id"),
            (
                format!("{about}\npass_headers = [\"Case-Owner\"]"),
                "pass_headers",
            ),
            (
                format!("{about}\npass_headers = [\"X-CaseOwner\"]"),
                "pass_headers",
            ),
            (
                format!("{about}\npass_headers = [\"x-a.case.owner\"]"),
                "pass_headers",
            ),
            (paths("/apis/{id}"), "about.paths"),
            (paths("/{id}/x"), "about.paths"),
            (paths("/{id}"), "about.paths"),
            (paths("/whole/{id}/*"), "about.paths"),
            (paths("/whole/{id}"), "about.paths"),
            (
                "web_socket = true\nmethods = [\"POST\"]".to_owned(),
                "web_socket",
            ),
        ] {
            let told = read(&lines).map(drop).unwrap_err();
            assert!(
                told.contains(&format!("routes.api.{at}: ")),
                "{lines}: {told}"
            );
        }
    }
}
