//! Which web pages may connect (CWE-1385, cross-site WebSocket hijacking).

use http::HeaderMap;
use http::header::ORIGIN;

use super::Denied;
use crate::error::Reason;

/// Lets through a request without `Origin`, and one whose single `Origin` is on the list, byte for
/// byte. Nothing is a prefix, a suffix or a pattern here.
pub(super) fn check(headers: &HeaderMap, allowed: &[String]) -> Result<(), Denied> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let listed = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => allowed.iter().any(|a| a.as_bytes() == origin.as_bytes()),
        (Some(_), Some(_)) => false,
    };
    if listed {
        Ok(())
    } else {
        Err(Denied::new(
            Reason::Forbidden,
            "the origin is not allowed here",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn allows(origins: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_static(origin));
        }
        check(&headers, &["https://app.example.com".to_owned()]).is_ok()
    }

    #[test]
    fn s07_only_the_very_origin_passes() {
        assert!(allows(&[]));
        assert!(allows(&["https://app.example.com"]));
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
            assert!(!allows(&[other]), "{other}");
        }
        assert!(!allows(&["https://app.example.com"; 2]));
    }
}
