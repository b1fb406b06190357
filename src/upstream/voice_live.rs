//! Azure Voice Live: how its URL is built.

use http::Uri;

use super::ask::{About, Ask, Generation, Transport};
use crate::config::ApiVersions;

/// Path and query, each parameter once; `None` for what Voice Live does not know.
///
/// All values are [`Label`](crate::label::Label)s, whose grammar needs no percent-encoding, so
/// nothing can be injected. Credentials go in headers: the classic `agent-access-token` is never
/// written.
pub(super) fn target(ask: &Ask, versions: &ApiVersions) -> Option<Uri> {
    let (path, usual) = match ask.transport {
        Transport::WebSocket => ("/voice-live/realtime", &versions.web_socket),
        Transport::WebRtc => ("/voice-live/realtime/calls", &versions.web_rtc),
    };
    let version = ask.api_version.as_ref().unwrap_or(usual);
    let query = match &ask.about {
        About::Model(model) => format!("model={model}"),
        About::Agent {
            generation,
            agent,
            project,
            more,
        } => {
            let name = match generation {
                Generation::Id => "agent-id",
                Generation::Name => "agent-name",
            };
            let mut query = format!("{name}={agent}&agent-project-name={project}");
            for (name, value) in more {
                query.push_str(&format!("&{name}={value}"));
            }
            query
        }
        About::Relay { .. } | About::App => return None,
    };
    format!("{path}?api-version={version}&{query}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Label;

    #[test]
    fn b08_b11_b31_b32_names_each_parameter_once_and_holds_no_credential() {
        let label = |text| Label::new(text).unwrap();
        let versions = ApiVersions {
            web_socket: label("2026-07-15"),
            web_rtc: label("2026-01-01-preview"),
        };
        let agent = |generation, more| Ask {
            about: About::Agent {
                generation,
                agent: label("asst_1"),
                project: label("support"),
                more,
            },
            ..Ask::model(label("unused"))
        };
        let model = || Ask::model(label("gpt-realtime"));
        let cases = [
            (model(), "?api-version=2026-07-15&model=gpt-realtime"),
            (
                Ask {
                    api_version: Some(label("2025-10-01")),
                    ..model()
                },
                "?api-version=2025-10-01&model=gpt-realtime",
            ),
            (
                Ask {
                    transport: Transport::WebRtc,
                    ..model()
                },
                "/calls?api-version=2026-01-01-preview&model=gpt-realtime",
            ),
            (
                agent(Generation::Id, Vec::new()),
                "?api-version=2026-07-15&agent-id=asst_1&agent-project-name=support",
            ),
            (
                agent(Generation::Name, vec![("conversation-id", label("c-1"))]),
                "?api-version=2026-07-15&agent-name=asst_1&agent-project-name=support&\
                 conversation-id=c-1",
            ),
        ];
        for (ask, rest) in cases {
            let built = target(&ask, &versions).unwrap().to_string();
            assert_eq!(built, format!("/voice-live/realtime{rest}"));
        }
    }
}
