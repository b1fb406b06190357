//! The query of a request: what is known of it, judged.
//!
//! A known parameter that stands twice, in whatever spelling, or breaks its grammar is refused.
//! Unknown ones are counted and go nowhere.

use super::Denied;
use crate::config::{CALL_SECRET, Kind, Place, Route};
use crate::error::Reason;
use crate::label::Label;
use crate::secret::Secret;
use crate::upstream::{Generation, Transport};

/// The parameters that mean something here.
#[derive(Default)]
pub(super) struct Query {
    pub(super) mode: Option<Mode>,
    pub(super) model: Option<Label>,
    /// The model, as older Azure OpenAI names it.
    pub(super) deployment: Option<Label>,
    pub(super) agent: Option<(Generation, Label)>,
    pub(super) project: Option<Label>,
    /// `conversation-id`, `agent-version`, and so on.
    pub(super) conversation: Option<Label>,
    pub(super) version: Option<Label>,
    pub(super) identity: Option<Label>,
    pub(super) resource: Option<Label>,
    pub(super) api_version: Option<Label>,
    pub(super) transport: Option<Transport>,
    /// `token`, and `authorization` without its scheme.
    pub(super) token: Option<Secret>,
    pub(super) authorization: Option<Secret>,
    pub(super) key: Option<Secret>,
    /// `ticket`, where tickets are taken; a second one that differs is told by where they are.
    pub(super) tickets: Vec<Secret>,
    /// Parameters that nothing here knows; a relay may.
    pub(super) others: Vec<(String, String)>,
}

/// What `mode` asks for; avatars are negotiated inside a standard session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Standard,
    Agent,
}

/// Whether this pair of a raw query is one that credentials are taken from.
pub fn is_credential(pair: &str) -> bool {
    form_urlencoded::parse(pair.as_bytes()).any(|(name, _)| names_credential(&name))
}

fn names_credential(name: &str) -> bool {
    matches!(
        name,
        "token" | "api-key" | "authorization" | "Authorization"
    )
}

impl Query {
    /// What a request on a route says. What is said to a private application is its own business.
    pub(super) fn of(text: &str, route: &Route) -> Result<Query, Denied> {
        if route.kind.upstream() != Some(Kind::Http) {
            let mut query = Query::parse(text)?;
            if route.takes_tickets() {
                query.take_tickets();
            }
            return Ok(query);
        }
        if !route.accept.contains(&Place::Query) {
            return Ok(Query::default());
        }
        let credentials: Vec<_> = text.split('&').filter(|pair| is_credential(pair)).collect();
        Query::parse(&credentials.join("&"))
    }

    fn parse(text: &str) -> Result<Query, Denied> {
        let mut query = Query::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let secret = || Secret::new(value.to_string());
            match &*name {
                "mode" => {
                    let mode = match &*value {
                        "standard" | "avatar" => Mode::Standard,
                        "agent" => Mode::Agent,
                        _ => return Err(bad("mode must be standard, avatar or agent")),
                    };
                    once(&mut query.mode, mode, "mode stands twice")?;
                }
                "model" => {
                    let model = label(&value, "model is not the name of a model")?;
                    once(&mut query.model, model, "model stands twice")?;
                }
                "agentId" | "agent-id" => {
                    let agent = label(&value, "agent-id is not the id of an agent")?;
                    let agent = (Generation::Id, agent);
                    once(&mut query.agent, agent, "two agents are named")?;
                }
                "agentName" | "agent-name" => {
                    let agent = label(&value, "agent-name is not the name of an agent")?;
                    let agent = (Generation::Name, agent);
                    once(&mut query.agent, agent, "two agents are named")?;
                }
                "projectName" | "agent-project-name" => {
                    let project = label(&value, "the project is not the name of one")?;
                    once(&mut query.project, project, "two projects are named")?;
                }
                "token" => once(&mut query.token, secret(), "token stands twice")?,
                "api-key" => once(&mut query.key, secret(), "api-key stands twice")?,
                // The browser build of Microsoft's SDK writes it in lower case, the reference not.
                "authorization" | "Authorization" => {
                    let authorization = secret();
                    once(
                        &mut query.authorization,
                        authorization,
                        "authorization stands twice",
                    )?;
                }
                name if query.more(name, &value)? => {}
                _ => query.others.push((name.into_owned(), value.into_owned())),
            }
        }
        Ok(query)
    }

    /// Elsewhere `ticket` is a name like any other.
    fn take_tickets(&mut self) {
        let (tickets, others) = std::mem::take(&mut self.others)
            .into_iter()
            .partition(|(name, _)| name == "ticket");
        self.others = others;
        let tickets: Vec<(String, String)> = tickets;
        self.tickets = tickets
            .into_iter()
            .map(|(_, ticket)| Secret::new(ticket))
            .collect();
    }

    /// Whether the client names what it wants, a model or an agent.
    pub(super) fn names_something(&self) -> bool {
        self.model.is_some() || self.deployment.is_some() || self.agent.is_some()
    }

    /// What may be said beside a model or an agent; whether `name` is one of these parameters.
    fn more(&mut self, name: &str, value: &str) -> Result<bool, Denied> {
        match name {
            "conversationId" | "conversation-id" => {
                let id = label(value, "conversation-id is not the id of a conversation")?;
                once(&mut self.conversation, id, "two conversations are named")?;
            }
            "agentVersion" | "agent-version" => {
                let version = label(value, "agent-version is not a version")?;
                once(
                    &mut self.version,
                    version,
                    "two versions of an agent are named",
                )?;
            }
            "agentAuthenticationIdentityClientId" | "agent-authentication-identity-client-id" => {
                let id = label(value, "the identity of the agent is not a client id")?;
                once(&mut self.identity, id, "two identities are named")?;
            }
            "foundryResourceOverride" | "foundry-resource-override" => {
                let resource = label(value, "the resource is not the name of one")?;
                once(&mut self.resource, resource, "two resources are named")?;
            }
            "apiVersion" | "api-version" => {
                let version = label(value, "api-version is not a version")?;
                once(&mut self.api_version, version, "api-version stands twice")?;
            }
            "deployment" => {
                let model = label(value, "deployment is not the name of one")?;
                once(&mut self.deployment, model, "deployment stands twice")?;
            }
            "transport" => {
                let transport = match value {
                    "websocket" => Transport::WebSocket,
                    "webrtc" => Transport::WebRtc,
                    _ => {
                        let wrong = "Unsupported transport (expected 'websocket' or 'webrtc')";
                        return Err(bad(wrong));
                    }
                };
                once(&mut self.transport, transport, "transport stands twice")?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Parameters that mean nothing on a route: unknown ones, credentials where the query may hold
    /// none, agents where there are none, what clients may not choose.
    pub(super) fn dropped(&self, route: &Route) -> u64 {
        if route.kind.upstream() == Some(Kind::Http) {
            return 0;
        }
        let count = |some: &[bool]| some.iter().filter(|&&some| some).count() as u64;
        let passed = |name: &String| route.parameters.iter().any(|p| p.name.as_str() == name);
        let secret = |name: &String| route.kind.phone().is_some() && name == CALL_SECRET;
        let others = self.others.iter();
        let others = others.filter(|(name, _)| !passed(name) && !secret(name));
        let mut dropped = others.count() as u64;
        if route.models.is_empty() {
            dropped += u64::from(self.model.is_some());
        }
        if route.models.is_empty() || route.kind.upstream() != Some(Kind::Relay) {
            dropped += u64::from(self.deployment.is_some());
        }
        if !route.accept.contains(&Place::Query) {
            let secrets = [&self.token, &self.key, &self.authorization];
            dropped += count(&secrets.map(Option::is_some));
            if route.kind.phone().is_none() {
                dropped += self.tickets.len() as u64;
            }
        }
        if route.agents.is_empty() {
            let of_agents = [
                &self.project,
                &self.conversation,
                &self.version,
                &self.identity,
                &self.resource,
            ];
            dropped += count(&of_agents.map(Option::is_some)) + u64::from(self.agent.is_some());
        }
        if route.api_versions.is_empty() {
            dropped += u64::from(self.api_version.is_some());
        }
        dropped
    }
}

fn once<T>(place: &mut Option<T>, value: T, twice: &'static str) -> Result<(), Denied> {
    if place.replace(value).is_some() {
        return Err(bad(twice));
    }
    Ok(())
}

fn label(value: &str, wrong: &'static str) -> Result<Label, Denied> {
    Label::new(value).ok_or(bad(wrong))
}

fn bad(detail: &'static str) -> Denied {
    Denied::new(Reason::BadRequest, detail)
}
