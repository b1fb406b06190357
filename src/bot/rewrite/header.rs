//! Headers that go inward: built from a list of those that may, never by taking away.

use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Edit;
use super::name::{Match, Spelling};
use crate::bot::body::Denied;
use crate::config::rewrite::{PASSED, Part, may_pass};

pub(super) fn rewrite(
    from: &HeaderMap,
    pass: &[HeaderName],
    edits: &[Edit<'_>],
) -> Result<HeaderMap, Denied> {
    let mut out = HeaderMap::with_capacity(from.len());
    let goes = |name: &HeaderName| {
        let listed = PASSED.contains(&name.as_str()) || pass.contains(name);
        listed && may_pass(name.as_str()) && !is_named(name.as_str(), edits)
    };
    if from.get_all(CONTENT_TYPE).iter().nth(1).is_some() {
        return Err(Denied::bad("Content-Type stands twice"));
    }
    for name in from.keys().filter(|name| goes(name)) {
        if is_of_one_hop(from, name) {
            // Taken out as RFC 9110, 7.6.1, has it, it would change how others read the rest.
            return Err(Denied::bad("Connection names a header of the message"));
        }
        for value in from.get_all(name) {
            out.append(name.clone(), value.clone());
        }
    }
    for edit in edits.iter().filter(|edit| edit.add.contains(&Part::Header)) {
        let value = edit
            .value
            .and_then(|value| HeaderValue::from_str(value).ok());
        if let (Some(name), Some(value)) = (edit.name.header(), value) {
            out.insert(name, value);
        }
    }
    Ok(out)
}

/// Whether a header is one of the fields, with or without the `x-` of headers.
fn is_named(name: &str, edits: &[Edit<'_>]) -> bool {
    [name, name.strip_prefix("x-").unwrap_or(name)]
        .iter()
        .any(|name| {
            let spelling = Spelling::of(name);
            edits
                .iter()
                .any(|edit| spelling.stands_to(edit.name) != Match::None)
        })
}

/// Whether `Connection` names it.
fn is_of_one_hop(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| {
        let mut options = value.as_bytes().split(|&byte| byte == b',');
        options.any(|option| {
            option
                .trim_ascii()
                .eq_ignore_ascii_case(name.as_str().as_bytes())
        })
    })
}
