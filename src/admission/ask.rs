//! What a session is to be about: the model, or the agent, in the lists of the route and of the key.

use std::sync::Arc;

use super::credential::Shown;
use super::query::{Mode, Query};
use super::{Denied, Entered};
use crate::config::{ApiKey, Kind, Model, Parameter, Pass, Route, RouteKind, Way};
use crate::error::Reason;
use crate::label::Label;
use crate::upstream::{About, Ask, Generation, Transport};

/// A refusal for want of any credential, in the words of the old proxy, which its users look for:
/// to clients that say `mode=`, as only its clients do.
pub(super) fn in_old_words(
    denied: Denied,
    route: &Route,
    query: &Query,
    shown: &Shown<'_>,
) -> Denied {
    let nothing = shown.key.is_none()
        && shown.bearer.is_none()
        && shown.ticket.is_none()
        && shown.certificate.is_none()
        && shown.principal.is_none();
    let asked =
        denied.reason == Reason::Unauthenticated && matches!(route.kind, RouteKind::VoiceLive);
    let detail = match query.mode {
        Some(Mode::Agent) if nothing && asked && route.agents.is_empty() => NO_AGENT,
        Some(Mode::Agent) if nothing && asked => NO_TOKEN,
        // The old one named the operator's own .env here, where the remedy is not any more.
        Some(Mode::Standard) if nothing && asked && route.enter.ways().contains(&Way::Key) => {
            "Standard mode requires token parameter: a key of this edge"
        }
        Some(Mode::Standard) if nothing && asked => "Standard mode requires token parameter (MSAL)",
        _ => denied.detail,
    };
    Denied { detail, ..denied }
}

const NO_AGENT: &str = "Agent mode requires agentId and projectName";
const NO_TOKEN: &str = "Agent mode requires token parameter (MSAL)";

/// Models that the route and the key allow both.
pub(super) fn allowed(route: &Route, key: Option<&ApiKey>) -> Arc<[Model]> {
    let of_key =
        |model: &&Model| key.is_none_or(|key| key.models.is_empty() || key.models.contains(model));
    route.models.iter().filter(of_key).cloned().collect()
}

/// What the session is to be about: what the client names, or the route's first, and allowed by
/// the lists of route and key.
pub(super) fn ask(route: &Route, entered: &Entered<'_>, query: &Query) -> Result<Ask, Denied> {
    let transport = query.transport.unwrap_or_default();
    if transport == Transport::WebRtc && !route.web_rtc {
        return Err(forbidden(
            "the control channel of WebRTC is not offered here",
        ));
    }
    let api_version = match &query.api_version {
        // What a client's library writes there is of no importance where it has no choice.
        Some(_) if route.api_versions.is_empty() => None,
        Some(version) if route.api_versions.contains(version) => Some(version.clone()),
        Some(_) => return Err(forbidden("the api-version is not allowed here")),
        None => None,
    };
    let about = match route.kind.upstream() {
        Some(Kind::VoiceLive) => about(route, entered, query)?,
        Some(Kind::Relay) => relay(route, entered, query)?,
        Some(Kind::Http) => About::App,
        // Nothing goes on to anybody.
        None => About::Relay {
            model: None,
            parameters: Vec::new(),
        },
    };
    Ok(Ask {
        about,
        transport,
        api_version,
    })
}

fn about(route: &Route, entered: &Entered<'_>, query: &Query) -> Result<About, Denied> {
    let agents = !route.agents.is_empty();
    if query.mode == Some(Mode::Agent) && !agents {
        // The old proxy had its agent from the client or from its environment.
        let nothing = query.agent.is_none() && query.project.is_none();
        return Err(if nothing {
            Denied::new(Reason::BadRequest, NO_AGENT)
        } else {
            forbidden("no agents are offered here")
        });
    }
    // Naming an agent is asking for it, as in the successor of the old proxy.
    let wants_agent = match query.mode {
        Some(mode) => mode == Mode::Agent,
        None => {
            let neither = query.agent.is_none() && query.model.is_none();
            query.agent.is_some() || route.models.is_empty() || (neither && route.agent_first)
        }
    };
    if agents && wants_agent {
        return agent(route, entered, query);
    }
    let model = model(route, entered, query.model.as_ref())?;
    Ok(About::Model(model))
}

/// The model that is asked for, or the first.
fn model(route: &Route, entered: &Entered<'_>, asked: Option<&Model>) -> Result<Model, Denied> {
    let allowed = allowed(route, entered.key);
    let model = match asked {
        None => allowed.first(),
        Some(asked) => allowed.iter().find(|model| *model == asked),
    };
    model
        .cloned()
        .ok_or(forbidden("the model is not allowed here"))
}

/// What goes on to the upstream of a relay: a model if the route has some, and parameters that the
/// route names.
fn relay(route: &Route, entered: &Entered<'_>, query: &Query) -> Result<About, Denied> {
    let asked = match (&query.model, &query.deployment) {
        (Some(_), Some(_)) => return Err(bad("model and deployment are named both")),
        (model, deployment) => model.as_ref().or(deployment.as_ref()),
    };
    let model = match route.models.is_empty() {
        true => None,
        false => Some(model(route, entered, asked)?),
    };
    let mut parameters: Vec<(Label, Label)> = Vec::new();
    for (name, value) in &query.others {
        let named = |parameter: &&Parameter| parameter.name.as_str() == name;
        let Some(parameter) = route.parameters.iter().find(named) else {
            continue;
        };
        let value = Label::new(value).ok_or(bad("a parameter has a value that cannot go on"))?;
        if !parameter.values.is_empty() && !parameter.values.contains(&value) {
            return Err(forbidden(
                "a parameter has a value that is not allowed here",
            ));
        }
        if parameters.iter().any(|(other, _)| *other == parameter.name) {
            return Err(bad("a parameter stands twice"));
        }
        parameters.push((parameter.name.clone(), value));
    }
    Ok(About::Relay { model, parameters })
}

fn agent(route: &Route, entered: &Entered<'_>, query: &Query) -> Result<About, Denied> {
    let token = entered.token.as_ref();
    if !route.own_token && !token.is_some_and(|token| token.for_voice_live) {
        return Err(Denied::new(Reason::Unauthenticated, NO_TOKEN));
    }
    let of_key = |agent: &&Label| {
        let key = entered.key;
        key.is_none_or(|key| key.agents.is_empty() || key.agents.contains(agent))
    };
    let mut agents = route.agents.iter().filter(of_key);
    let (generation, agent) = match &query.agent {
        Some((generation, asked)) => (Some(*generation), agents.find(|agent| *agent == asked)),
        None => (None, agents.next()),
    };
    let agent = agent.ok_or(forbidden("the agent is not allowed here"))?;
    let project = match &query.project {
        Some(asked) => route.projects.iter().find(|project| *project == asked),
        None => route.projects.first(),
    };
    let project = project.ok_or(forbidden("the project is not allowed here"))?;
    Ok(About::Agent {
        generation: generation.unwrap_or(usual(agent)),
        agent: agent.clone(),
        project: project.clone(),
        more: more(route, entered, query)?,
    })
}

/// Ids of classic agents begin like this, names of others do not.
pub(super) fn usual(agent: &Label) -> Generation {
    if agent.as_str().starts_with("asst_") {
        Generation::Id
    } else {
        Generation::Name
    }
}

/// What clients may add to an agent: values of a list, or their own where the route passes them.
fn more(
    route: &Route,
    entered: &Entered<'_>,
    query: &Query,
) -> Result<Vec<(&'static str, Label)>, Denied> {
    let passes = |pass, detail| {
        route
            .pass
            .contains(&pass)
            .then_some(())
            .ok_or(forbidden(detail))
    };
    let mut more = Vec::new();
    if let Some(version) = &query.version {
        passes(
            Pass::Version,
            "clients may not choose the agent's version here",
        )?;
        more.push(("agent-version", version.clone()));
    }
    if let Some(conversation) = &query.conversation {
        passes(
            Pass::Conversation,
            "clients may not go on with conversations here",
        )?;
        // With the edge's own token all callers are one to Azure.
        let own = entered.token.as_ref();
        if route.own_token && !own.is_some_and(|token| token.for_voice_live) {
            let detail = "conversations are gone on with by the caller's own token only";
            return Err(forbidden(detail));
        }
        more.push(("conversation-id", conversation.clone()));
    }
    if let Some(identity) = &query.identity {
        if !route.identities.contains(identity) {
            return Err(forbidden("the agent's identity is not allowed here"));
        }
        more.push(("agent-authentication-identity-client-id", identity.clone()));
    }
    if let Some(resource) = &query.resource {
        if !route.resources.contains(resource) {
            return Err(forbidden("the resource is not allowed here"));
        }
        more.push(("foundry-resource-override", resource.clone()));
    }
    Ok(more)
}

fn bad(detail: &'static str) -> Denied {
    Denied::new(Reason::BadRequest, detail)
}

fn forbidden(detail: &'static str) -> Denied {
    Denied::new(Reason::Forbidden, detail)
}
