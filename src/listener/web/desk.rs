//! Tickets for whoever was admitted: what they want one for is in the body, and the page that asks is in
//! the head.

use std::sync::Arc;

use http::header::ORIGIN;
use http::{StatusCode, request};
use serde::Deserialize;
use serde_json::json;

use crate::admission::Grant;
use crate::admission::ticket::Wish;
use crate::config::{Route, RouteKind, TicketDesk};
use crate::error::Reason;
use crate::label::Label;
use crate::listener::doors::Doors;
use crate::listener::refusal::Refusal;
use crate::telephony::Reply;

/// The largest body: three names of 64 characters, and room.
const BODY_MAX: usize = 1024;

/// A route that hands out tickets.
pub struct Desk(Arc<TicketDesk>);

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    route: Option<String>,
    model: Option<String>,
    agent: Option<String>,
}

impl Desk {
    /// `None`: it is another kind of route.
    pub(super) fn of(route: &Route) -> Option<Desk> {
        let RouteKind::Tickets(desk) = &route.kind else {
            return None;
        };
        Some(Desk(desk.clone()))
    }

    /// A ticket for what the body asks.
    pub(super) fn answer(
        &self,
        doors: &Doors,
        grant: &Grant,
        head: &request::Parts,
        body: &[u8],
    ) -> Result<Reply, Refusal> {
        if body.len() > BODY_MAX {
            return Err(Refusal::new(Reason::TooLarge, "the body exceeds 1 KiB"));
        }
        let asked: Asked = serde_json::from_slice(body).map_err(|_| {
            bad("the body must be an object of route, model and agent, each once and a text")
        })?;
        let route = self.route(doors, asked.route.as_deref())?;
        let label = |text: &Option<String>, wrong| match text {
            Some(text) => Label::new(text).map(Some).ok_or(bad(wrong)),
            None => Ok(None),
        };
        let model = label(&asked.model, "model is not the name of a model")?;
        let agent = label(&asked.agent, "agent is not the name of an agent")?;
        // Admission has seen that it stands once, and that it is on the list.
        let origin = head
            .headers
            .get(ORIGIN)
            .and_then(|origin| origin.to_str().ok());
        let wish = Wish {
            route,
            model: model.as_ref(),
            agent: agent.as_ref(),
            origin,
            life: self.0.life,
        };
        let (ticket, life) = doors
            .admission
            .issue(grant, wish, std::time::SystemTime::now())?;
        Ok(Reply::Said {
            status: StatusCode::CREATED,
            body: json!({
                "ticket": ticket.expose(),
                "expires_in": life.as_secs(),
                "route": route.name.as_str(),
            }),
            location: None,
        })
    }

    /// The route that is named, or the only one.
    fn route<'a>(&self, doors: &'a Doors, named: Option<&str>) -> Result<&'a Route, Refusal> {
        let name = match (named, self.0.opens.as_slice()) {
            (Some(name), opens) => opens.iter().find(|open| open.as_str() == name),
            (None, [only]) => Some(only),
            (None, _) => return Err(bad("route is missing: tickets open several here")),
        };
        let open = doors
            .routes
            .iter()
            .find(|open| Some(&open.route.name) == name);
        let none = "no tickets for that route are handed out here";
        let open = open.ok_or(Refusal::new(Reason::Forbidden, none))?;
        Ok(&open.route)
    }
}

fn bad(detail: &'static str) -> Refusal {
    Refusal::new(Reason::BadRequest, detail)
}
