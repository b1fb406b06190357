//! Sessions that another cloud hands over, in Redis. Record and key lie in two slots, so in a cluster
//! as on one server each of them is asked by itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Redis, Turn, is, ms, words};
use crate::error::{Reason, Side};
use crate::ids::{CallId, ContactId, ForeignId, SessionId};
use crate::label::Label;
use crate::secret::{Digest, Secret};
use crate::store::hand_over::{
    BOOKING, Begun, Ended, HandOver, Handed, HandedOver, Noted, Opened, Outcome, Over, TakenBack,
    value,
};
use crate::store::{Keys, Unavailable};

impl Redis {
    pub(in crate::store) async fn hand_over(
        &self,
        session: &HandOver<'_>,
        keys: &Keys,
    ) -> Result<HandedOver, Unavailable> {
        let turn = self.turn()?;
        let record = keys.handoff(session.contact);
        let booking = SessionId::random().to_string();
        let args = book(session, keys, &booking, self.policy.ttl);
        let told = turn.ask(&self.scripts.book, [record.clone()], args).await?;
        let [word, drawn, expires, laid] = words(told)?;
        match word.as_str() {
            "booked" => {}
            "same" => {
                let drawn = (!drawn.is_empty()).then(|| keys.unveil(&laid, &drawn));
                return Ok(HandedOver::Same {
                    drawn: drawn.map(Secret::new),
                    expires: time(&expires).ok_or(Unavailable::Malformed)?,
                });
            }
            "conflict" => return Ok(HandedOver::Conflict),
            "busy" => return Ok(HandedOver::Busy),
            _ => return Err(Unavailable::Malformed),
        }
        let key = session.key.expose().to_owned();
        let args = [value(session.contact), ms(session.ttl)];
        let laid: String = turn.ask(&self.scripts.lay, [key.clone()], args).await?;
        if laid == "taken" {
            let done: String = turn.ask(&self.scripts.unbook, [record], [booking]).await?;
            return is(&done, "ok").map(|()| HandedOver::Taken);
        }
        is(&laid, "laid")?;
        let args = [booking, ms(session.ttl + self.policy.ttl)];
        let told: String = turn.ask(&self.scripts.laid, [record], args).await?;
        if told == "lost" {
            // It took so long that the place was another's, or nobody's.
            withdraw(&turn, session.contact, key).await?;
            return Err(Unavailable::Timeout);
        }
        is(&told, "ok").map(|()| HandedOver::New)
    }

    pub(in crate::store) async fn handed(
        &self,
        contact: &ContactId,
        keys: &Keys,
    ) -> Result<Option<Handed>, Unavailable> {
        let turn = self.turn()?;
        look(&turn, contact, keys).await
    }

    pub(in crate::store) async fn take_back(
        &self,
        contact: &ContactId,
        writer: Digest,
        keys: &Keys,
    ) -> Result<TakenBack, Unavailable> {
        let turn = self.turn()?;
        let known = look(&turn, contact, keys).await?;
        let Some(known) = known.filter(|known| known.writer == writer) else {
            return Ok(TakenBack::Unknown);
        };
        if matches!(known.outcome, Outcome::Opened(_)) {
            return Ok(TakenBack::Open);
        }
        let gone = withdraw(&turn, contact, known.key.clone()).await?;
        if !gone && known.outcome == Outcome::Waiting {
            // Whoever has used it will say so in a moment.
            return Ok(TakenBack::Open);
        }
        let args = [writer.to_hex(), known.key];
        let done: String = turn
            .ask(&self.scripts.forget, [keys.handoff(contact)], args)
            .await?;
        is(&done, "ok").map(|()| TakenBack::Done)
    }

    pub(in crate::store) async fn unspend(
        &self,
        token: &Digest,
        by: SessionId,
        keys: &Keys,
    ) -> Result<(), Unavailable> {
        let turn = self.turn()?;
        let args = [by.to_string()];
        let done: String = turn
            .ask(&self.scripts.unspend, [keys.spent(token)], args)
            .await?;
        is(&done, "ok")
    }

    pub(in crate::store) async fn spend(
        &self,
        token: &Digest,
        by: SessionId,
        left: Duration,
        keys: &Keys,
    ) -> Result<bool, Unavailable> {
        let turn = self.turn()?;
        let args = [by.to_string(), ms(left)];
        let spent: String = turn
            .ask(&self.scripts.spend, [keys.spent(token)], args)
            .await?;
        match spent.as_str() {
            "ours" => Ok(true),
            "spent" => Ok(false),
            _ => Err(Unavailable::Malformed),
        }
    }

    pub(in crate::store) async fn note_begun(
        &self,
        begun: &Begun<'_>,
        keys: &Keys,
    ) -> Result<Noted, Unavailable> {
        let turn = self.turn()?;
        let key = begun.key.map(|key| key.expose().to_owned());
        let mut args = vec![
            key.unwrap_or_default(),
            begun.call.to_string(),
            begun.owner.to_string(),
            ms(begun.keep + self.policy.ttl),
        ];
        for (name, id) in [
            ("connection", begun.connection),
            ("correlation", begun.correlation),
        ] {
            if let Some(id) = id {
                args.extend([name.to_owned(), id.to_string()]);
            }
        }
        args.extend(["opened".to_owned(), millis(begun.at)]);
        let named = [keys.handoff(begun.contact)];
        let told = turn.ask(&self.scripts.begun, named, args).await?;
        let [word, route] = words(told)?;
        let route = Label::new(&route).ok_or(Unavailable::Malformed);
        match word.as_str() {
            "unknown" => Ok(Noted::Unknown),
            "again" => route.map(Noted::Again),
            "new" => route.map(Noted::New),
            _ => Err(Unavailable::Malformed),
        }
    }

    pub(in crate::store) async fn note_over(
        &self,
        over: &Over<'_>,
        keys: &Keys,
    ) -> Result<bool, Unavailable> {
        let turn = self.turn()?;
        let ended = over.ended;
        let args = [
            over.owner.to_string(),
            ms(self.policy.ttl),
            "ended".to_owned(),
            millis(ended.at),
            "by".to_owned(),
            ended.by.word().to_owned(),
            "reason".to_owned(),
            ended.reason.word().to_owned(),
            "lasted".to_owned(),
            ended.lasted.as_millis().to_string(),
        ];
        let named = [keys.handoff(over.contact)];
        let told: String = turn.ask(&self.scripts.over, named, args).await?;
        match told.as_str() {
            "ok" => Ok(true),
            "none" => Ok(false),
            _ => Err(Unavailable::Malformed),
        }
    }
}

/// What `book` is told.
fn book(session: &HandOver<'_>, keys: &Keys, booking: &str, kept: Duration) -> Vec<String> {
    let mut args = vec![
        booking.to_owned(),
        ms(BOOKING),
        session.writer.to_hex(),
        session.content.to_hex(),
    ];
    let key = session.key.expose();
    let drawn = session.drawn.map(|code| keys.veil(key, code.expose()));
    for (name, text) in [
        ("state", Some("waiting".to_owned())),
        ("route", Some(session.route.to_string())),
        ("key", Some(key.to_owned())),
        ("expires", Some(millis(session.expires))),
        ("kept", Some(ms(kept))),
        ("drawn", drawn),
        ("context", session.context.map(str::to_owned)),
    ] {
        if let Some(text) = text {
            args.extend([name.to_owned(), text]);
        }
    }
    args
}

/// Takes a contact's key back; whether it was there.
async fn withdraw(turn: &Turn<'_>, contact: &ContactId, key: String) -> Result<bool, Unavailable> {
    let told: String = turn
        .ask(&turn.redis.scripts.withdraw, [key], [value(contact)])
        .await?;
    match told.as_str() {
        "gone" => Ok(true),
        "none" => Ok(false),
        _ => Err(Unavailable::Malformed),
    }
}

async fn look(
    turn: &Turn<'_>,
    contact: &ContactId,
    keys: &Keys,
) -> Result<Option<Handed>, Unavailable> {
    let none: [String; 0] = [];
    let told = turn
        .ask(&turn.redis.scripts.handed, [keys.handoff(contact)], none)
        .await?;
    let told: [String; 13] = words(told)?;
    if told[0] == "unknown" {
        return Ok(None);
    }
    read(told).map(Some).ok_or(Unavailable::Malformed)
}

/// The words of `handed`; `None`: they are not as the edge writes them.
fn read(told: [String; 13]) -> Option<Handed> {
    let [
        state,
        writer,
        key,
        expires,
        context,
        call,
        connection,
        correlation,
        opened,
        ended,
        reason,
        by,
        lasted,
    ] = told;
    let id = |text: &str| match text {
        "" => Some(None),
        text => ForeignId::new(text).map(Some),
    };
    let opened = || {
        Some(Opened {
            call: CallId::new(&call)?,
            connection: id(&connection)?,
            correlation: id(&correlation)?,
            at: time(&opened)?,
        })
    };
    let outcome = match state.as_str() {
        "waiting" => Outcome::Waiting,
        "expired" => Outcome::Expired,
        "opened" => Outcome::Opened(opened()?),
        "ended" => {
            let reasons = Reason::ALL.into_iter();
            let sides = [Side::Client, Side::Upstream, Side::Edge].into_iter();
            let ended = Ended {
                at: time(&ended)?,
                by: sides.clone().find(|side| side.word() == by)?,
                reason: reasons.clone().find(|known| known.word() == reason)?,
                lasted: Duration::from_millis(lasted.parse().ok()?),
            };
            Outcome::Ended(opened()?, ended)
        }
        _ => return None,
    };
    Some(Handed {
        writer: Digest::from_hex(&writer)?,
        expires: time(&expires)?,
        context: (!context.is_empty()).then_some(context),
        outcome,
        key,
    })
}

/// Milliseconds since 1970.
fn millis(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().to_string()
}

fn time(text: &str) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(text.parse().ok()?))
}
