//! `[roles]`: who says whom somebody may see.

use std::time::Duration;

use http::{HeaderValue, header};

use super::Problems;
use super::upstream::{is_credential, port};
use crate::config::bot::is_loopback;
use crate::config::file::{self, File};
use crate::config::{Directory, Roles, RolesBy};

const CACHE: Duration = Duration::from_secs(120);
/// Who has lost a report must not see them for the rest of the day.
const CACHE_MAX: Duration = Duration::from_secs(900);
const TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// `None`: nobody says it, or something is wrong with who, which has been told.
pub(super) fn roles(file: &File, problems: &mut Problems) -> Option<Roles> {
    let written = file.roles.as_ref()?;
    let cache = written.cache.unwrap_or(CACHE);
    if cache > CACHE_MAX {
        problems.add("roles.cache", "must be at most 15m");
    }
    let of_directory = [
        ("url", written.url.is_some()),
        ("key", written.key.is_some()),
        ("roots", written.roots.is_some()),
        ("timeout", written.timeout.is_some()),
    ];
    let by = match written.by.as_deref() {
        Some("http") => RolesBy::Directory(directory(written, problems)?),
        Some(word @ ("graph" | "store")) => {
            for (key, _) in of_directory.iter().filter(|(_, is_written)| *is_written) {
                problems.add(format!("roles.{key}"), "has a use with by = \"http\" only");
            }
            if word == "graph" && file.graph.is_none() {
                problems.add(
                    "roles.by",
                    "\"graph\" needs [graph], which says how it is asked",
                );
            }
            match word {
                "graph" => RolesBy::Graph,
                _ => RolesBy::Store,
            }
        }
        Some(_) | None => {
            problems.add("roles.by", "must be \"graph\", \"http\" or \"store\"");
            return None;
        }
    };
    Some(Roles { by, cache })
}

fn directory(written: &file::Roles, problems: &mut Problems) -> Option<Directory> {
    let timeout = written.timeout.unwrap_or(TIMEOUT);
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        problems.add("roles.timeout", "must be more than 0 and at most 30s");
    }
    let credential = match &written.key {
        None => None,
        Some(key) => {
            let value = HeaderValue::try_from(format!("Bearer {key}")).ok();
            if value.is_none() || key.is_empty() {
                problems.add("roles.key", "must be visible ASCII characters");
            }
            let sensitive = |mut value: HeaderValue| {
                value.set_sensitive(true);
                (header::AUTHORIZATION, value)
            };
            value.map(sensitive)
        }
    };
    let roots = problems.roots("roles", written.roots.as_deref());
    const SHAPE: &str = "must be https://host[:port]/path with {person} in its path, such as \
                         \"https://people.example.com/{tenant}/{person}\"";
    let place = written.url.as_deref().and_then(place);
    let Some((secure, host, port, path)) = place else {
        problems.add("roles.url", SHAPE);
        return None;
    };
    if !secure && !is_loopback(&host) {
        problems.add("roles.url", "is plain text and not loopback; use https://");
    }
    Some(Directory {
        host,
        port,
        roots: secure.then_some(roots?),
        path,
        credential,
        timeout,
    })
}

/// Whether it is secure, the host, the port, and path and query.
fn place(url: &str) -> Option<(bool, String, u16, String)> {
    // Braces are no part of a URL; what stands in their place will be.
    let plain = url
        .replace("{tenant}", "tenant")
        .replace("{person}", "person");
    let uri: http::Uri = plain.parse().ok()?;
    let secure = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority = uri.authority()?;
    let port = port(authority, if secure { 443 } else { 80 })?;
    let start = url.find("://")? + 3;
    let path = &url[start + url[start..].find('/')?..];
    let bare = path.split('?').next()?;
    let secret = uri.query().is_some_and(|query| {
        form_urlencoded::parse(query.as_bytes()).any(|(name, _)| is_credential(&name))
    });
    let fits = bare.contains("{person}") && !url.contains(['@', '#']) && !secret;
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    fits.then(|| (secure, host.to_owned(), port, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Roles, Vec<String>> {
        let file: File = toml::from_str(text).unwrap();
        let mut problems = Problems::default();
        let roles = roles(&file, &mut problems);
        match problems.0.is_empty() {
            true => Ok(roles.unwrap()),
            false => Err(problems.0),
        }
    }

    #[test]
    fn c10_who_says_it_is_one_of_three() {
        let graph = resolve("[graph]\nmanaged_identity = true\n[roles]\nby = \"graph\"").unwrap();
        assert!(matches!(graph.by, RolesBy::Graph));
        assert_eq!(graph.cache, CACHE);
        let store = resolve("[roles]\nby = \"store\"\ncache = \"0s\"").unwrap();
        assert!(matches!(store.by, RolesBy::Store));
        let text = "[roles]\nby = \"http\"\nurl = \"https://p.example.com:8443/{tenant}/{person}?v=1\"\n\
                    key = \"abc\"";
        let http = resolve(text).unwrap();
        let RolesBy::Directory(directory) = http.by else {
            panic!("{http:?}");
        };
        assert_eq!(directory.path, "/{tenant}/{person}?v=1");
        assert_eq!(
            (directory.host.as_str(), directory.port),
            ("p.example.com", 8443)
        );
        assert!(!format!("{directory:?}").contains("abc"));
    }

    #[test]
    fn c20_what_is_wrong_is_told_by_its_name() {
        for (text, told) in [
            ("[roles]", "roles.by: must be"),
            ("[roles]\nby = \"entra\"", "roles.by: must be"),
            (
                "[roles]\nby = \"graph\"",
                "roles.by: \"graph\" needs [graph]",
            ),
            (
                "[roles]\nby = \"store\"\ncache = \"1h\"",
                "roles.cache: must be at most 15m",
            ),
            (
                "[roles]\nby = \"store\"\nurl = \"https://x/{person}\"",
                "roles.url: has a use",
            ),
            ("[roles]\nby = \"http\"", "roles.url: must be https://"),
            (
                "[roles]\nby = \"http\"\nurl = \"https://x/people\"",
                "roles.url: must be https://",
            ),
            (
                "[roles]\nby = \"http\"\nurl = \"https://x/p?id={person}\"",
                "roles.url: must be https://",
            ),
            (
                "[roles]\nby = \"http\"\nurl = \"https://x/{person}?token=abc\"",
                "roles.url: must be https://",
            ),
            (
                "[roles]\nby = \"http\"\nurl = \"http://x.example.com/{person}\"",
                "roles.url: is plain text",
            ),
            (
                "[roles]\nby = \"http\"\nurl = \"https://x/{person}\"\ntimeout = \"0s\"",
                "roles.timeout: must be",
            ),
        ] {
            let problems = resolve(text).unwrap_err();
            assert!(
                problems.iter().any(|problem| problem.starts_with(told)),
                "{text}: {problems:?}"
            );
        }
    }
}
