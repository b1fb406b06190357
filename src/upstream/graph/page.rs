//! One page of a directory's answer, and the way to the next one. Pure.

use http::Uri;
use http::uri::PathAndQuery;
use serde::Deserialize;

use super::failure::{Failure, Kind};
use crate::ids::EntraId;

/// Longest link to another page. Graph's have a token of some hundred characters.
const LINK_MAX: usize = 8 * 1024;
/// Where the version of the interface that we ask begins.
pub(super) const VERSION: &str = "/v1.0/";
/// People, among contacts, groups and whatever else may report to somebody.
const USER: &str = "#microsoft.graph.user";

/// What is used of it.
pub(super) struct Page {
    pub(super) users: Vec<EntraId>,
    /// As Graph wrote it.
    pub(super) next: Option<String>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
    value: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "@odata.type")]
    kind: Option<String>,
    id: Option<String>,
}

impl Page {
    /// A user without an id makes it none: who is left out of a list must be known to be.
    pub(super) fn read(body: &[u8]) -> Result<Page, Failure> {
        let malformed = Failure::new(Kind::Malformed, "the answer is no list of people");
        let written: Written = serde_json::from_slice(body).map_err(|_| malformed)?;
        let users = written
            .value
            .iter()
            .filter(|entry| entry.kind.as_deref() == Some(USER))
            .map(|entry| EntraId::new(entry.id.as_deref()?))
            .collect::<Option<Vec<_>>>();
        Ok(Page {
            users: users.ok_or(malformed)?,
            next: written.next,
        })
    }
}

/// What to ask the same service for next; a link to any other place is not followed, for it would be
/// shown a token that reads the directory.
pub(super) fn follow(link: &str, host: &str, port: u16) -> Result<PathAndQuery, Failure> {
    let elsewhere = Failure::new(Kind::Malformed, "its next page is elsewhere");
    if link.len() > LINK_MAX || link.contains(['@', '#', '\\']) {
        return Err(elsewhere);
    }
    let uri: Uri = link.parse().map_err(|_| elsewhere)?;
    let authority = uri.authority().ok_or(elsewhere)?;
    let named = authority.host();
    let written = authority.as_str().strip_prefix(named);
    let same_port = match written.and_then(|rest| rest.strip_prefix(':')) {
        Some(written) => written.parse() == Ok(port),
        None => port == 443,
    };
    let named = named.trim_start_matches('[').trim_end_matches(']');
    let path = uri.path();
    let upwards = path.split('/').any(|step| {
        let step = step.to_ascii_lowercase().replace("%2e", ".");
        matches!(step.as_str(), "." | "..")
    });
    let same = uri.scheme_str() == Some("https") && named.eq_ignore_ascii_case(host) && same_port;
    if !same || !path.starts_with(VERSION) || upwards {
        return Err(elsewhere);
    }
    uri.path_and_query().cloned().ok_or(elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0000000a-1111-4222-8333-0123456789ab";
    const B: &str = "0000000b-1111-4222-8333-0123456789ab";

    fn users(body: &str) -> Option<Vec<String>> {
        let page = Page::read(body.as_bytes()).ok()?;
        Some(page.users.iter().map(EntraId::to_string).collect())
    }

    #[test]
    fn c12_only_users_count() {
        let body = format!(
            r##"{{"@odata.context":"c","value":[
                {{"@odata.type":"#microsoft.graph.user","id":"{}","displayName":null}},
                {{"@odata.type":"#microsoft.graph.orgContact","id":"{B}"}},
                {{"@odata.type":"#microsoft.graph.user2","id":"{B}"}},
                {{"id":"{B}"}}, {{}}
            ]}}"##,
            A.to_ascii_uppercase()
        );
        assert_eq!(users(&body).unwrap(), [A]);
        assert_eq!(users(r#"{"value":[]}"#).unwrap(), [""; 0]);
    }

    #[test]
    fn c12_what_is_no_list_is_none() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"value":null}"#,
            r#"{"value":{}}"#,
            r#"{"error":{"code":"x"}}"#,
            r#"{"value":[],"value":[]}"#,
            r#"{"value":[],"@odata.nextLink":7}"#,
            r##"{"value":[{"@odata.type":"#microsoft.graph.user"}]}"##,
            r##"{"value":[{"@odata.type":"#microsoft.graph.user","id":"eng-001"}]}"##,
            r##"{"value":[{"@odata.type":"#microsoft.graph.user","id":"a","id":"b"}]}"##,
            r#"{"value":[]} x"#,
        ] {
            assert_eq!(users(body), None, "{body}");
        }
    }

    #[test]
    fn c12_the_next_page_is_at_the_same_place_or_nowhere() {
        let host = "graph.microsoft.com";
        let start = "https://graph.microsoft.com";
        let path = "/v1.0/users/a/directReports?$skiptoken=m~A";
        for link in [
            format!("{start}{path}"),
            format!("{start}:443{path}"),
            format!("https://GRAPH.microsoft.com{path}"),
        ] {
            assert_eq!(follow(&link, host, 443).unwrap().as_str(), path, "{link}");
        }
        let long = "a".repeat(LINK_MAX);
        for link in [
            String::new(),
            path.to_owned(),
            format!("//graph.microsoft.com{path}"),
            format!("http://graph.microsoft.com{path}"),
            format!("https://graph.microsoft.com.evil.example{path}"),
            format!("https://evil.example{path}"),
            format!("https://graph.microsoft.com@evil.example{path}"),
            format!("https://evil.example\\@graph.microsoft.com{path}"),
            format!("{start}:8443{path}"),
            format!("{start}:{path}"),
            format!("{start}/beta/users"),
            format!("{start}/v1.0"),
            format!("{start}/v1.0/../beta/users"),
            format!("{start}/v1.0/%2E%2e/beta/users"),
            format!("{start}/v1.0/a\r\nx: y"),
            format!("{start}/v1.0/{long}"),
        ] {
            let failure = follow(&link, host, 443).unwrap_err();
            assert_eq!(failure.kind, Kind::Malformed, "{link:?}");
        }
        assert!(follow("https://localhost:8443/v1.0/x", "localhost", 8443).is_ok());
        assert!(follow("https://localhost/v1.0/x", "localhost", 8443).is_err());
        assert!(follow("https://[::1]:8443/v1.0/x", "::1", 8443).is_ok());
    }
}
