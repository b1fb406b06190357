//! What a session is to be about: the model, or the agent, in the lists of the route and of the key.

use std::sync::Arc;

use super::query::{Mode, Query};
use super::{Denied, Entered};
use crate::config::{ApiKey, Model, Route};
use crate::error::Reason;
use crate::label::Label;
use crate::upstream::Ask;
use crate::upstream::voice_live::Generation;

/// Models that the route and the key allow both.
pub(super) fn allowed(route: &Route, key: Option<&ApiKey>) -> Arc<[Model]> {
    let of_key =
        |model: &&Model| key.is_none_or(|key| key.models.is_empty() || key.models.contains(model));
    route.models.iter().filter(of_key).cloned().collect()
}

/// What the session is to be about: what the client names, or the route's first, and allowed by
/// the lists of route and key.
pub(super) fn ask(route: &Route, entered: &Entered<'_>, query: &Query) -> Result<Ask, Denied> {
    let forbidden = |detail| Denied::new(Reason::Forbidden, detail);
    let agents = !route.agents.is_empty();
    if query.mode == Some(Mode::Agent) && !agents {
        return Err(forbidden("no agents are offered here"));
    }
    // Naming an agent is asking for it, as in the successor of the old proxy.
    let wants_agent = match query.mode {
        Some(mode) => mode == Mode::Agent,
        None => query.agent.is_some() || route.models.is_empty(),
    };
    if agents && wants_agent {
        return agent(route, entered, query);
    }
    let allowed = allowed(route, entered.key);
    let model = match &query.model {
        None => allowed.first(),
        Some(asked) => allowed.iter().find(|model| *model == asked),
    };
    let model = model.ok_or(forbidden("the model is not allowed here"))?;
    Ok(Ask::Model(model.clone()))
}

fn agent(route: &Route, entered: &Entered<'_>, query: &Query) -> Result<Ask, Denied> {
    let token = entered.token.as_ref();
    if !token.is_some_and(|token| token.for_voice_live) {
        // The words of the old proxy, which its users look for.
        return Err(Denied::new(
            Reason::Unauthenticated,
            "Agent mode requires token parameter (MSAL)",
        ));
    }
    let forbidden = |detail| Denied::new(Reason::Forbidden, detail);
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
    // Ids of classic agents begin like this, names of others do not.
    let usual = if agent.as_str().starts_with("asst_") {
        Generation::Id
    } else {
        Generation::Name
    };
    Ok(Ask::Agent {
        generation: generation.unwrap_or(usual),
        agent: agent.clone(),
        project: project.clone(),
    })
}
