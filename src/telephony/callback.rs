//! What Call Automation posts of a call: its keys, its end, and what became of its media.
//!
//! Callbacks come more than once and in any order, each to whichever replica, also before the media
//! socket and before the answer that names the connection. What was taken is a success, also if nothing
//! comes of it. A store that cannot be asked is a failure: a key has its place and an end is an end,
//! so that nothing happens twice if ACS brings the callback again. Whether and when it does is not
//! documented, so nothing else counts on it.

use std::sync::Arc;

use super::{Dropped, Refused, Reply, Telephony, incoming};
use crate::error::Reason;
use crate::ids::{CallId, ForeignId, PhoneNumber, SessionId};
use crate::label::Label;
use crate::store::{CallEnded, Facts, Kept, Known};
use crate::upstream::call_automation::Participant;
use crate::wire::cloud_event::{self, CallEvent, Event, Kind, What};

/// A route of callbacks, and what it needs to know of others.
pub struct CallbackRoute {
    pub name: Label,
    /// Whether gates hear what callbacks tell, so that ACS is to be asked for tones.
    pub asks_for_tones: bool,
}

impl Telephony {
    /// Takes a body of what became of `call`.
    pub async fn hear(
        self: &Arc<Telephony>,
        route: &CallbackRoute,
        call: CallId,
        body: &[u8],
    ) -> Result<Reply, Refused> {
        let events = cloud_event::read(body)
            .map_err(|_| Refused::new(Reason::BadRequest, "the body holds no events"))?;
        let known = match self.store.known(&call).await {
            Ok(Some(known)) => known,
            Ok(None) => return self.drop_all(route, &events),
            Err(_) => return Err(unavailable()),
        };
        let mut tones = Vec::new();
        let mut connection = known.facts.connection.clone();
        let mut told = true;
        for event in &events {
            let What::Call(said) = &event.what else {
                self.metrics.event(&route.name, "other");
                continue;
            };
            self.metrics.event(&route.name, said.kind.word());
            match (&connection, &said.connection) {
                (Some(known), Some(said)) if known != said => {
                    self.drop_event(&route.name, Dropped::OtherConnection);
                    continue;
                }
                (None, Some(named)) => {
                    // A call that was made gets in by its connection: that is noted when its session
                    // key is there, by whoever made it.
                    if known.made.is_none() {
                        self.note_early(&call, said).await;
                    }
                    connection = Some(named.clone());
                }
                (Some(_), _) | (None, None) => {}
            }
            if said.kind != Kind::Tone {
                let whose = (&call, &known, &connection);
                told &= self.became(route, whose, event, said).await;
            } else if let Some(tone) = said.tone {
                tones.push((tone.sequence, tone.key.as_char()));
            } else {
                self.drop_event(&route.name, Dropped::Unreadable);
            }
        }
        told &= self.keep(route, &call, &tones).await;
        match told {
            true => Ok(Reply::Done),
            false => Err(unavailable()),
        }
    }

    /// What became of a call; whether the store could be told.
    async fn became(
        self: &Arc<Telephony>,
        route: &CallbackRoute,
        (call, known, connection): (&CallId, &Known, &Option<ForeignId>),
        event: &Event,
        said: &CallEvent,
    ) -> bool {
        let made = known.made.is_some();
        let nobodys = connection.as_ref().filter(|_| is_nobodys(known, said.kind));
        if let Some(connection) = nobodys {
            self.end_nobodys(call, event, connection);
        }
        match said.kind {
            Kind::Disconnected => return self.over(route, call, said).await,
            Kind::Connected if nobodys.is_none() => {
                self.ask_for_tones(route, call, event, &known.facts, connection);
                return !made || self.store.connect_call(call).await.is_ok();
            }
            Kind::MediaFailed => self.media_failed(route, call, said),
            Kind::AnswerFailed | Kind::CreateFailed | Kind::ToneFailed => {
                failed(route, call, said);
                if made && said.kind == Kind::CreateFailed {
                    return self.over(route, call, said).await;
                }
            }
            Kind::Connected
            | Kind::Tone
            | Kind::Participants
            | Kind::MediaStarted
            | Kind::MediaStopped
            | Kind::ToneStopped
            | Kind::Other => {}
        }
        true
    }

    /// Keeps keys for the call's session; whether the store could be asked.
    async fn keep(&self, route: &CallbackRoute, call: &CallId, tones: &[(u32, char)]) -> bool {
        if tones.is_empty() {
            return true;
        }
        match self.store.add_tones(call, tones).await {
            Ok(Kept::All) => {}
            Ok(Kept::Full) => {
                self.metrics.limit_hit("tones");
                self.drop_event(&route.name, Dropped::Full);
            }
            Ok(Kept::Unknown) => self.drop_event(&route.name, Dropped::UnknownCall),
            Err(_) => return false,
        }
        true
    }

    /// Events of a call that nobody knows, or knows any more.
    fn drop_all(&self, route: &CallbackRoute, events: &[Event]) -> Result<Reply, Refused> {
        for event in events {
            let word = match &event.what {
                What::Call(said) => said.kind.word(),
                What::Validation(_) | What::Incoming(_) | What::Other => "other",
            };
            self.metrics.event(&route.name, word);
            self.drop_event(&route.name, Dropped::UnknownCall);
        }
        Ok(Reply::Done)
    }

    /// A callback was faster than the answer that names the connection.
    async fn note_early(&self, call: &CallId, said: &CallEvent) {
        let facts = Facts {
            connection: said.connection.clone(),
            correlation: said.correlation.clone(),
            ..Facts::default()
        };
        if let Err(error) = self.store.note_call(call, &facts).await {
            tracing::debug!(%call, %error, "the connection was not noted");
        }
    }

    /// The call is over: its session ends, here or at another replica. Whether the others will know.
    async fn over(&self, route: &CallbackRoute, call: &CallId, said: &CallEvent) -> bool {
        let here = self.registry.hang_up(call);
        let ended = CallEnded {
            code: said.code,
            sub_code: said.sub_code,
        };
        let told = self.store.end_call(call, ended).await.is_ok();
        tracing::info!(
            route = %route.name,
            %call,
            code = said.code,
            sub_code = said.sub_code,
            session_here = here,
            "call over"
        );
        told
    }

    /// The call is connected, and its gate hears what callbacks tell: ACS is asked for them, once.
    fn ask_for_tones(
        self: &Arc<Telephony>,
        route: &CallbackRoute,
        call: &CallId,
        event: &Event,
        facts: &Facts,
        connection: &Option<ForeignId>,
    ) {
        let asked = (facts.ani.clone(), connection.clone());
        let (true, (Some(caller), Some(connection))) = (route.asks_for_tones, asked) else {
            return;
        };
        let (this, name, call) = (self.clone(), incoming::name(event), call.clone());
        self.begin(async move {
            // Whoever cannot be asked whether it was taken before has it asked for once more.
            if this.store.claim(&name, SessionId::random()).await != Ok(false) {
                this.start_tones(&call, &connection, &caller).await;
            }
        });
    }

    /// Whoever had the call made was told that it is not, and nobody is in it but whom it called.
    fn end_nobodys(self: &Arc<Self>, call: &CallId, event: &Event, connection: &ForeignId) {
        let Some(acs) = self.acs.clone() else {
            return;
        };
        let (this, name) = (self.clone(), incoming::name(event));
        let (call, connection) = (call.clone(), connection.clone());
        self.begin(async move {
            if this.store.claim(&name, SessionId::random()).await != Ok(false) {
                let hung_up = acs.hang_up(&connection).await;
                let result = hung_up.err().map_or("ok", |failure| failure.kind.word());
                tracing::warn!(%call, result, "call of nobody hung up");
            }
        });
    }

    async fn start_tones(&self, call: &CallId, connection: &ForeignId, caller: &PhoneNumber) {
        let Some(acs) = &self.acs else {
            return;
        };
        let caller = Participant::Phone(caller);
        if let Err(failure) = acs.start_dtmf(connection, call, &caller).await {
            tracing::warn!(
                %call,
                failure = failure.kind.word(),
                status = failure.status.map(|status| status.as_u16()),
                detail = failure.detail,
                "tones were not asked for"
            );
        }
    }

    fn media_failed(&self, route: &CallbackRoute, call: &CallId, said: &CallEvent) {
        let detail = said.media.unwrap_or("none");
        self.metrics.media_failed(&route.name, detail);
        tracing::warn!(
            route = %route.name,
            %call,
            detail,
            code = said.code,
            sub_code = said.sub_code,
            "media streaming failed"
        );
    }
}

/// Whether a call was made that is nobody's: it is over for the edge, which gave it up or took it
/// back, and lives all the same; or its media was refused because its connection was never noted.
fn is_nobodys(known: &Known, kind: Kind) -> bool {
    let unbound = known.facts.connection.is_none();
    let lives = match kind {
        Kind::Connected => known.ended.is_some(),
        Kind::MediaFailed => known.ended.is_some() || unbound,
        Kind::Disconnected
        | Kind::AnswerFailed
        | Kind::CreateFailed
        | Kind::ToneFailed
        | Kind::Tone
        | Kind::Participants
        | Kind::MediaStarted
        | Kind::MediaStopped
        | Kind::ToneStopped
        | Kind::Other => false,
    };
    known.made.is_some() && lives
}

fn unavailable() -> Refused {
    let detail = "the session store does not answer";
    Refused::new(Reason::StoreUnavailable, detail)
}

fn failed(route: &CallbackRoute, call: &CallId, said: &CallEvent) {
    tracing::warn!(
        route = %route.name,
        %call,
        event = said.kind.word(),
        code = said.code,
        sub_code = said.sub_code,
        "the call failed at ACS"
    );
}
