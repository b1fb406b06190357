//! What is asked of Azure Voice Live, and its URL: from validated values only.

use std::fmt;

use http::Uri;

use crate::config::{ApiVersions, Model};
use crate::label::Label;

/// What a session asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub about: About,
    pub transport: Transport,
    /// The client's choice of a version, where the route lets it choose.
    pub api_version: Option<Label>,
}

/// Whom it is to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The standard mode: a model.
    Model(Model),
    /// The agent mode: an agent of a project, which brings its own model.
    Agent {
        generation: Generation,
        agent: Label,
        project: Label,
        /// More parameters, by their names upstream.
        more: Vec<(&'static str, Label)>,
    },
}

/// How an agent is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Classic agents: `agent-id`.
    Id,
    /// Foundry agents: `agent-name`.
    Name,
}

/// How media goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// In the WebSocket.
    #[default]
    WebSocket,
    /// Past us, by WebRTC; the WebSocket is its control channel (preview).
    WebRtc,
}

impl Ask {
    /// A model, in the plainest way.
    pub fn model(model: Model) -> Ask {
        Ask {
            about: About::Model(model),
            transport: Transport::default(),
            api_version: None,
        }
    }

    /// Path and query, each parameter once.
    ///
    /// All values are [`Label`]s, whose grammar needs no percent-encoding, so nothing can be
    /// injected. Credentials go in headers: the classic `agent-access-token` is never written.
    pub fn target(&self, versions: &ApiVersions) -> Uri {
        let (path, usual) = match self.transport {
            Transport::WebSocket => ("/voice-live/realtime", &versions.web_socket),
            Transport::WebRtc => ("/voice-live/realtime/calls", &versions.web_rtc),
        };
        let version = self.api_version.as_ref().unwrap_or(usual);
        let query = match &self.about {
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
        };
        format!("{path}?api-version={version}&{query}")
            .parse()
            .expect("labels hold unreserved characters only")
    }
}

impl About {
    /// The model, where one is asked for.
    pub fn model(&self) -> Option<&Model> {
        match self {
            About::Model(model) => Some(model),
            About::Agent { .. } => None,
        }
    }

    /// The agent, where one is asked for.
    pub fn agent(&self) -> Option<&Label> {
        match self {
            About::Model(_) => None,
            About::Agent { agent, .. } => Some(agent),
        }
    }
}

/// For people.
impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.about {
            About::Model(model) => write!(f, "{model}"),
            About::Agent { agent, project, .. } => write!(f, "{project}/{agent}"),
        }?;
        match self.transport {
            Transport::WebSocket => Ok(()),
            Transport::WebRtc => f.write_str(" by WebRTC"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let target = ask.target(&versions).to_string();
            assert_eq!(target, format!("/voice-live/realtime{rest}"));
        }
    }
}
