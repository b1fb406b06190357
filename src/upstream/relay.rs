//! Any other WebSocket server: how its URL is built, and how it is told who calls.

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::Caller;
use super::ask::{About, Ask};
use crate::config::Target;

/// The operator's path and query, then the version, the model and what else may go on; `None` for
/// what a relay does not know.
///
/// What is added are [`Label`](crate::label::Label)s, whose grammar needs no percent-encoding.
pub(super) fn target(ask: &Ask, to: &Target) -> Option<Uri> {
    let About::Relay { model, parameters } = &ask.about else {
        return None;
    };
    let version = ask.api_version.as_ref().or(to.api_version.as_ref());
    let mut url = to.path.clone();
    let mut add = |name: &str, value: &str| {
        let join = match url.contains('?') {
            true if url.ends_with(['?', '&']) => "",
            true => "&",
            false => "?",
        };
        url.push_str(&format!("{join}{name}={value}"));
    };
    if let Some(version) = version {
        add("api-version", version.as_str());
    }
    if let Some(model) = model {
        add(to.model_parameter.as_str(), model.as_str());
    }
    for (name, value) in parameters {
        add(name.as_str(), value.as_str());
    }
    url.parse().ok()
}

/// Tells who calls. Headers upstream are built from nothing, so no client can have written these.
pub(super) fn identify(headers: &mut HeaderMap, caller: &Caller<'_>) {
    const ROUTE: HeaderName = HeaderName::from_static("x-tonegate-route");
    const SESSION: HeaderName = HeaderName::from_static("x-tonegate-session");
    const WAY: HeaderName = HeaderName::from_static("x-tonegate-way");
    const TENANT: HeaderName = HeaderName::from_static("x-tonegate-tenant");
    const SUBJECT: HeaderName = HeaderName::from_static("x-tonegate-subject");
    let session = caller.session.to_string();
    let told = [
        (ROUTE, Some(caller.route.as_str())),
        (SESSION, Some(session.as_str())),
        (WAY, Some(caller.way)),
        (TENANT, caller.tenant),
        (SUBJECT, caller.subject),
    ];
    for (name, text) in told {
        if let Some(value) = text.and_then(visible) {
            headers.insert(name, value);
        }
    }
}

/// A text as a header's value: what is no visible ASCII, and `%`, is percent-encoded as UTF-8.
fn visible(text: &str) -> Option<HeaderValue> {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            byte if byte.is_ascii_graphic() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::try_from(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;
    use crate::label::Label;

    fn label(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    fn to(path: &str) -> Target {
        Target {
            path: path.to_owned(),
            model_parameter: label("model"),
            api_version: None,
            subprotocol: None,
            headers: Vec::new(),
            identity_headers: true,
        }
    }

    fn ask(model: Option<&str>, parameters: Vec<(Label, Label)>) -> Ask {
        Ask {
            about: About::Relay {
                model: model.map(label),
                parameters,
            },
            ..Ask::model(label("unused"))
        }
    }

    #[test]
    fn b21_adds_to_what_the_operator_wrote_and_nothing_else() {
        let openai = to("/v1/realtime");
        let azure = Target {
            model_parameter: label("deployment"),
            api_version: Some(label("2025-04-01-preview")),
            ..to("/openai/realtime")
        };
        let intent = || vec![(label("intent"), label("transcription"))];
        let versioned = Ask {
            api_version: Some(label("2024-10-01-preview")),
            ..ask(Some("gpt"), Vec::new())
        };
        let cases = [
            (
                ask(Some("gpt"), Vec::new()),
                &openai,
                "/v1/realtime?model=gpt",
            ),
            (ask(None, Vec::new()), &openai, "/v1/realtime"),
            (
                ask(None, intent()),
                &openai,
                "/v1/realtime?intent=transcription",
            ),
            (
                ask(None, intent()),
                &to("/a?b=c"),
                "/a?b=c&intent=transcription",
            ),
            (ask(None, intent()), &to("/a?"), "/a?intent=transcription"),
            (
                ask(Some("gpt"), Vec::new()),
                &azure,
                "/openai/realtime?api-version=2025-04-01-preview&deployment=gpt",
            ),
            (
                versioned,
                &azure,
                "/openai/realtime?api-version=2024-10-01-preview&deployment=gpt",
            ),
        ];
        for (ask, to, expected) in cases {
            assert_eq!(target(&ask, to).unwrap().to_string(), expected);
        }
        assert_eq!(target(&Ask::model(label("gpt")), &openai), None);
    }

    #[test]
    fn a_name_that_is_no_header_is_encoded() {
        let mut headers = HeaderMap::new();
        let route = label("open");
        identify(
            &mut headers,
            &Caller {
                route: &route,
                session: SessionId::random(),
                way: "users",
                tenant: None,
                subject: Some("jo é\r\nx-evil: 1%"),
            },
        );
        let subject = headers.get("x-tonegate-subject").unwrap();
        assert_eq!(subject, "jo%20%C3%A9%0D%0Ax-evil:%201%25");
        assert!(!headers.contains_key("x-tonegate-tenant"));
        assert_eq!(headers.len(), 4);
    }
}
