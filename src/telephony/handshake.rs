//! The handshake of CloudEvents webhooks ("HTTP 1.1 Web Hooks for Event Delivery", section 4): a
//! publisher asks whether its events are wanted here, before it sends any and with no credential.
//!
//! Origins are compared with a list, and none is said back that is not on it: otherwise anybody
//! could turn any publisher's events on us.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Refused;
use crate::error::Reason;

const ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const RATE: HeaderName = HeaderName::from_static("webhook-request-rate");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// The headers of the leave that a publisher asks for.
pub fn preflight(origins: &[String], asked: &HeaderMap) -> Result<HeaderMap, Refused> {
    let one = |name: &HeaderName, wrong| {
        let mut values = asked.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Ok(Some(value)),
            (Some(_), Some(_)) => Err(Refused::new(Reason::BadRequest, wrong)),
        }
    };
    let origin = one(&ORIGIN, "WebHook-Request-Origin stands twice")?;
    let origin = origin.ok_or(Refused::new(
        Reason::BadRequest,
        "WebHook-Request-Origin is missing",
    ))?;
    let listed = origins.iter().find(|known| *origin == known.as_str());
    let allowed = listed.and_then(|known| HeaderValue::from_str(known).ok());
    let allowed = allowed.ok_or(Refused::new(
        Reason::Forbidden,
        "the publisher is not one whose events are wanted",
    ))?;
    let mut headers = HeaderMap::new();
    headers.insert(ALLOWED_ORIGIN, allowed);
    headers.insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
    if one(&RATE, "WebHook-Request-Rate stands twice")?.is_some() {
        // The route's own limits hold all the same, and answer with 429.
        headers.insert(ALLOWED_RATE, HeaderValue::from_static("*"));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(headers: &[(&'static str, &'static str)]) -> Result<HeaderMap, Refused> {
        let mut asked = HeaderMap::new();
        for (name, value) in headers {
            asked.append(*name, HeaderValue::from_static(value));
        }
        preflight(&["eventgrid.azure.net".to_owned()], &asked)
    }

    #[test]
    fn a04_only_a_listed_origin_is_allowed_and_none_is_reflected() {
        let good = ("webhook-request-origin", "eventgrid.azure.net");
        let headers = ask(&[good]).unwrap();
        assert_eq!(headers[ALLOWED_ORIGIN], "eventgrid.azure.net");
        assert!(!headers.contains_key(ALLOWED_RATE));
        let headers = ask(&[good, ("webhook-request-rate", "120")]).unwrap();
        assert_eq!(headers[ALLOWED_RATE], "*");
        for (bad, reason) in [
            (vec![], Reason::BadRequest),
            (vec![good, good], Reason::BadRequest),
            (
                vec![("webhook-request-origin", "evil.example")],
                Reason::Forbidden,
            ),
            (vec![("webhook-request-origin", "*")], Reason::Forbidden),
            (
                vec![("webhook-request-origin", "eventgrid.azure.net.evil.example")],
                Reason::Forbidden,
            ),
            (vec![("webhook-request-origin", "")], Reason::Forbidden),
        ] {
            assert_eq!(ask(&bad).unwrap_err().reason, reason, "{bad:?}");
        }
    }
}
