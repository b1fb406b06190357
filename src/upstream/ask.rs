//! What a session asks of an upstream: from validated values only.

use std::fmt;

use crate::config::Model;
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
    /// Whatever serves at the other end of a relay.
    Relay {
        model: Option<Model>,
        /// Parameters that go on, by name.
        parameters: Vec<(Label, Label)>,
    },
    /// A private application, which is asked what the client asks.
    App,
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
}

impl About {
    /// The model, where one is asked for.
    pub fn model(&self) -> Option<&Model> {
        match self {
            About::Model(model) => Some(model),
            About::Relay { model, .. } => model.as_ref(),
            About::Agent { .. } | About::App => None,
        }
    }

    /// The agent, where one is asked for.
    pub fn agent(&self) -> Option<&Label> {
        match self {
            About::Model(_) | About::Relay { .. } | About::App => None,
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
            About::App => f.write_str("a private application"),
            About::Relay { model, parameters } => {
                match model {
                    Some(model) => write!(f, "{model}")?,
                    None => f.write_str("no model")?,
                }
                let mut more = parameters.iter();
                more.try_for_each(|(name, value)| write!(f, ", {name}={value}"))
            }
        }?;
        match self.transport {
            Transport::WebSocket => Ok(()),
            Transport::WebRtc => f.write_str(" by WebRTC"),
        }
    }
}
