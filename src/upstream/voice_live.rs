//! What is asked of Azure Voice Live, and its URL: from validated values only.

use std::fmt;

use http::Uri;

use crate::config::Model;
use crate::label::Label;

/// What a session asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The standard mode: a model.
    Model(Model),
    /// The agent mode: an agent of a project, which brings its own model.
    Agent {
        generation: Generation,
        agent: Label,
        project: Label,
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

impl Ask {
    /// The model, where one is asked for.
    pub fn model(&self) -> Option<&Model> {
        match self {
            Ask::Model(model) => Some(model),
            Ask::Agent { .. } => None,
        }
    }

    /// The agent, where one is asked for.
    pub fn agent(&self) -> Option<&Label> {
        match self {
            Ask::Model(_) => None,
            Ask::Agent { agent, .. } => Some(agent),
        }
    }

    /// Path and query, each parameter once.
    ///
    /// All values are [`Label`]s, whose grammar needs no percent-encoding, so nothing can be
    /// injected. Credentials go in headers: the classic `agent-access-token` is never written.
    pub fn target(&self, api_version: &Label) -> Uri {
        let query = match self {
            Ask::Model(model) => format!("model={model}"),
            Ask::Agent {
                generation,
                agent,
                project,
            } => {
                let name = match generation {
                    Generation::Id => "agent-id",
                    Generation::Name => "agent-name",
                };
                format!("{name}={agent}&agent-project-name={project}")
            }
        };
        format!("/voice-live/realtime?api-version={api_version}&{query}")
            .parse()
            .expect("labels hold unreserved characters only")
    }
}

/// The model or the agent, for people.
impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ask::Model(model) => write!(f, "{model}"),
            Ask::Agent { agent, project, .. } => write!(f, "{project}/{agent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b08_b11_names_each_parameter_once_and_holds_no_credential() {
        let label = |text| Label::new(text).unwrap();
        let agent = |generation| Ask::Agent {
            generation,
            agent: label("asst_1"),
            project: label("support"),
        };
        let cases = [
            (Ask::Model(label("gpt-realtime")), "model=gpt-realtime"),
            (
                agent(Generation::Id),
                "agent-id=asst_1&agent-project-name=support",
            ),
            (
                agent(Generation::Name),
                "agent-name=asst_1&agent-project-name=support",
            ),
        ];
        for (ask, query) in cases {
            assert_eq!(
                ask.target(&label("2026-07-15")).to_string(),
                format!("/voice-live/realtime?api-version=2026-07-15&{query}")
            );
        }
    }
}
