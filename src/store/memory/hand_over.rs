//! Sessions that another cloud hands over, kept in this process.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{Memory, Written};
use crate::ids::{ContactId, SessionId};
use crate::label::Label;
use crate::secret::{Digest, Secret};
use crate::store::hand_over::{
    Begun, HandOver, Handed, HandedOver, Noted, Opened, Outcome, Over, TakenBack,
};
use crate::store::{SessionKey, Unavailable};

/// What is kept of one.
pub(super) struct Record {
    route: Label,
    writer: Digest,
    content: Digest,
    key: SessionKey,
    key_ends: Instant,
    drawn: Option<Secret>,
    context: Option<Box<str>>,
    expires: SystemTime,
    owner: Option<SessionId>,
    outcome: Outcome,
}

impl Record {
    fn outcome(&self) -> Outcome {
        let waits = self.outcome == Outcome::Waiting;
        if waits && self.key_ends <= Instant::now() {
            return Outcome::Expired;
        }
        self.outcome.clone()
    }
}

impl Memory {
    pub(in crate::store) fn hand_over(
        &self,
        session: &HandOver<'_>,
    ) -> Result<HandedOver, Unavailable> {
        let mut state = self.state();
        if let Some(known) = state.handed.get(session.contact) {
            let over = matches!(known.outcome(), Outcome::Expired | Outcome::Ended(..));
            if known.writer != session.writer || !over && known.content != session.content {
                return Ok(HandedOver::Conflict);
            }
            if !over {
                return Ok(HandedOver::Same {
                    drawn: known.drawn.clone(),
                    expires: known.expires,
                });
            }
        }
        let key = session.key.expose();
        // That of the same contact is what a session before this one has left, which did not use it up.
        let is_anothers = |written: &Written| written.contact.as_ref() != Some(session.contact);
        if state.keys.get(key).is_some_and(is_anothers) {
            return Ok(HandedOver::Taken);
        }
        state.handed.room(session.contact)?;
        let contact = session.contact.clone();
        let written = Written {
            binding: None,
            contact: Some(contact.clone()),
        };
        state.keys.put(key.to_owned(), written, session.ttl)?;
        let record = Record {
            route: session.route.clone(),
            writer: session.writer,
            content: session.content,
            key: session.key.clone(),
            key_ends: Instant::now() + session.ttl,
            drawn: session.drawn.cloned(),
            context: session.context.map(Into::into),
            expires: session.expires,
            owner: None,
            outcome: Outcome::Waiting,
        };
        let kept = session.ttl + self.policy.ttl;
        state.handed.put(contact, record, kept)?;
        Ok(HandedOver::New)
    }

    pub(in crate::store) fn handed(
        &self,
        contact: &ContactId,
    ) -> Result<Option<Handed>, Unavailable> {
        let state = self.state();
        Ok(state.handed.get(contact).map(|known| Handed {
            writer: known.writer,
            expires: known.expires,
            context: known.context.as_deref().map(str::to_owned),
            outcome: known.outcome(),
            key: known.key.expose().to_owned(),
        }))
    }

    pub(in crate::store) fn take_back(
        &self,
        contact: &ContactId,
        writer: Digest,
    ) -> Result<TakenBack, Unavailable> {
        let mut state = self.state();
        let known = state.handed.get(contact);
        let Some(known) = known.filter(|known| known.writer == writer) else {
            return Ok(TakenBack::Unknown);
        };
        let key = known.key.expose().to_owned();
        match known.outcome() {
            Outcome::Opened(_) => return Ok(TakenBack::Open),
            Outcome::Waiting => {
                let is_there = state.keys.get(key.as_str()).is_some();
                if !is_there {
                    return Ok(TakenBack::Open);
                }
                state.keys.remove(key.as_str());
            }
            Outcome::Expired | Outcome::Ended(..) => {}
        }
        state.handed.remove(contact);
        Ok(TakenBack::Done)
    }

    pub(in crate::store) fn spend(
        &self,
        token: &Digest,
        by: SessionId,
        left: Duration,
    ) -> Result<bool, Unavailable> {
        let mut state = self.state();
        if let Some(before) = state.spent.get(token) {
            return Ok(*before == by);
        }
        state.spent.put(*token, by, left)?;
        Ok(true)
    }

    pub(in crate::store) fn unspend(&self, token: &Digest, by: SessionId) {
        let mut state = self.state();
        if state.spent.get(token) == Some(&by) {
            state.spent.remove(token);
        }
    }

    pub(in crate::store) fn note_begun(&self, begun: &Begun<'_>) -> Result<Noted, Unavailable> {
        let mut state = self.state();
        let Some(known) = state.handed.get_mut(begun.contact) else {
            return Ok(Noted::Unknown);
        };
        let call = match &known.outcome {
            Outcome::Opened(opened) | Outcome::Ended(opened, _) => Some(&opened.call),
            Outcome::Waiting | Outcome::Expired => None,
        };
        let same = call == Some(begun.call);
        if !same && begun.key != Some(&known.key) {
            return Ok(Noted::Unknown);
        }
        let again = same && matches!(known.outcome, Outcome::Opened(_));
        known.owner = Some(begun.owner);
        if !again {
            known.outcome = Outcome::Opened(Opened {
                call: begun.call.clone(),
                connection: begun.connection.cloned(),
                correlation: begun.correlation.cloned(),
                at: begun.at,
            });
        }
        let route = known.route.clone();
        let kept = begun.keep + self.policy.ttl;
        state.handed.keep(begun.contact, kept);
        Ok(match again {
            true => Noted::Again(route),
            false => Noted::New(route),
        })
    }

    pub(in crate::store) fn note_over(&self, over: &Over<'_>) -> Result<bool, Unavailable> {
        let mut state = self.state();
        let known = state.handed.get_mut(over.contact);
        let Some(known) = known.filter(|known| known.owner == Some(over.owner)) else {
            return Ok(false);
        };
        // Nobody is told the code again.
        known.drawn = None;
        if let Outcome::Opened(opened) = &known.outcome {
            known.outcome = Outcome::Ended(opened.clone(), over.ended.clone());
        }
        state.handed.keep(over.contact, self.policy.ttl);
        Ok(true)
    }
}
