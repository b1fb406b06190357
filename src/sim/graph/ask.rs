//! Judges a question, more strictly than Graph would.
//!
//! Owns its form and its token. Refuses to know the people.

use super::{AUDIENCE, Desk, PERMISSION};
use crate::sim::issuer::document::is_guid;
use crate::sim::service::one;
use crate::sim::token;
use http::Method;
use http::request::Parts;

/// The most that may be asked for on one page.
const TOP_MAX: usize = 999;

/// A sound question: who reports to this person.
pub(super) struct Ask {
    pub(super) person: String,
    pub(super) top: usize,
    /// So many were told already.
    pub(super) skip: usize,
    pub(super) token: u64,
    /// Whether the token's application may read everybody.
    pub(super) permitted: bool,
}

/// What is asked, or the status and the rule that was broken.
pub(super) fn judge(desk: &Desk, head: &Parts, body: &[u8]) -> Result<Ask, (u16, &'static str)> {
    if head.method != Method::GET {
        return Err((405, "only GET is allowed here"));
    }
    if !body.is_empty() {
        return Err((400, "a GET has no body"));
    }
    let host = desk.base.split_once("//").map(|(_, host)| host);
    if one(head, "host") != host {
        return Err((400, "one Host is needed, this one's"));
    }
    if one(head, "accept") != Some("application/json") {
        return Err((400, "JSON must be accepted"));
    }
    let shown = one(head, "authorization").ok_or((401, "one Authorization is needed"))?;
    let shown = shown.strip_prefix("Bearer ").ok_or((401, "no Bearer"))?;
    let claims = token::verify(&desk.provider, &desk.tenant, &[AUDIENCE], shown);
    let claims = claims.map_err(|why| (401, why))?;
    let roles = claims["roles"].as_array().into_iter().flatten();
    let permitted = roles.into_iter().any(|role| role == PERMISSION);
    let person = person(head.uri.path()).ok_or((404, "nothing is here"))?;
    let (top, skip) = window(head.uri.query().unwrap_or_default())?;
    Ok(Ask {
        person,
        top,
        skip,
        token: claims["uti"].as_u64().unwrap_or_default(),
        permitted,
    })
}

fn person(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/v1.0/users/")?;
    let person = rest.strip_suffix("/directReports")?;
    is_guid(person).then(|| person.to_owned())
}

/// How many are wanted, and from which on.
fn window(query: &str) -> Result<(usize, usize), (u16, &'static str)> {
    let (mut select, mut top, mut skip) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let slot = match name.as_ref() {
            "$select" => &mut select,
            "$top" => &mut top,
            "$skiptoken" => &mut skip,
            _ => return Err((400, "a parameter is unknown")),
        };
        if slot.replace(value.into_owned()).is_some() {
            return Err((400, "a parameter stands twice"));
        }
    }
    if select.as_deref() != Some("id") {
        return Err((400, "more than ids is selected"));
    }
    let top = top.and_then(|top| top.parse().ok());
    let top = top.filter(|top| (1..=TOP_MAX).contains(top));
    let top = top.ok_or((400, "$top is missing or out of bounds"))?;
    let skip = match skip {
        None => 0,
        Some(skip) => skip
            .strip_prefix("m~")
            .and_then(|skip| skip.parse().ok())
            .ok_or((400, "$skiptoken is none of ours"))?,
    };
    Ok((top, skip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_asked_for_exactly() {
        assert_eq!(window("$select=id&$top=999"), Ok((999, 0)));
        assert_eq!(window("%24top=1&%24select=id&$skiptoken=m~7"), Ok((1, 7)));
        for query in [
            "",
            "$select=id",
            "$select=id&$top=0",
            "$select=id&$top=1000",
            "$select=id,mail&$top=9",
            "$select=id&$select=id&$top=9",
            "$select=id&$top=9&$skiptoken=7",
            "$select=id&$top=9&$expand=x",
        ] {
            assert!(window(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_person_is_named_by_an_id() {
        let id = "0000000a-1111-4222-8333-0123456789ab";
        let path = |person: &str| format!("/v1.0/users/{person}/directReports");
        assert_eq!(person(&path(id)).as_deref(), Some(id));
        for odd in ["me", "a@b.example", "a/b", ""] {
            assert_eq!(person(&path(odd)), None, "{odd}");
        }
        assert_eq!(person(&format!("/beta/users/{id}/directReports")), None);
    }
}
