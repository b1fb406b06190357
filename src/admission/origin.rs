//! Which web pages may connect (CWE-1385, cross-site WebSocket hijacking).

use http::HeaderMap;
use http::header::{HOST, ORIGIN};

use super::Denied;
use crate::error::Reason;

/// Lets through a request whose single `Origin` is on the list, byte for byte: nothing is a prefix,
/// a suffix or a pattern here. Whether one without `Origin`, from no browser, passes is the
/// route's choice.
pub(super) fn check(
    headers: &HeaderMap,
    allowed: &[String],
    without: bool,
) -> Result<&'static str, Denied> {
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) if without => Ok("none, as clients that are no browsers have"),
        (None, _) => Err(denied("an Origin is needed here")),
        (Some(origin), None) if allowed.iter().any(|a| a.as_bytes() == origin.as_bytes()) => {
            Ok("on the list of the route")
        }
        _ => Err(denied("the origin is not allowed here")),
    }
}

/// Whether the browser asks for a part of a page that it has from here: the one `Origin` is where the
/// request goes. Good for what anybody may read who may open it, and for nothing that is done: whoever
/// has a name point here chooses both.
pub(super) fn is_own(headers: &HeaderMap) -> bool {
    let one = |name| {
        let mut lines = headers.get_all(name).iter();
        match (lines.next(), lines.next()) {
            (Some(line), None) => line.to_str().ok(),
            _ => None,
        }
    };
    let origin = one(ORIGIN).and_then(|origin| {
        let bare = origin.strip_prefix("https://");
        bare.or_else(|| origin.strip_prefix("http://"))
    });
    origin.is_some_and(|origin| one(HOST).is_some_and(|host| host.eq_ignore_ascii_case(origin)))
}

fn denied(detail: &'static str) -> Denied {
    Denied::new(Reason::Forbidden, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn allows(origins: &[&'static str], without: bool) -> bool {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_static(origin));
        }
        check(&headers, &["https://app.example.com".to_owned()], without).is_ok()
    }

    #[test]
    fn s07_a_page_is_its_own_origin_and_no_other_is() {
        let own = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            is_own(&headers)
        };
        let host = ("host", "edge.example.com:8443");
        assert!(own(&[host, ("origin", "https://edge.example.com:8443")]));
        for lines in [
            &[host][..],
            &[("origin", "https://edge.example.com:8443")],
            &[host, ("origin", "null")],
            &[host, ("origin", "edge.example.com:8443")],
            &[host, ("origin", "https://edge.example.com")],
            &[host, ("origin", "https://evil.example")],
            &[host, host, ("origin", "https://edge.example.com:8443")],
            &[
                host,
                ("origin", "https://edge.example.com:8443"),
                ("origin", "https://evil.example"),
            ],
        ] {
            assert!(!own(lines), "{lines:?}");
        }
    }

    #[test]
    fn s07_only_the_very_origin_passes() {
        assert!(allows(&[], true));
        assert!(!allows(&[], false));
        assert!(allows(&["https://app.example.com"], true));
        assert!(allows(&["https://app.example.com"], false));
        for other in [
            "",
            "null",
            "https://app.example.com.evil.example",
            "https://evil.example/https://app.example.com",
            "https://app.example.com:443",
            "https://app.example.co",
            "https://APP.example.com",
            "http://app.example.com",
            "https://app.example.com/",
            "https://app.example.com, https://evil.example",
        ] {
            assert!(!allows(&[other], true), "{other}");
        }
        assert!(!allows(&["https://app.example.com"; 2], true));
    }
}
