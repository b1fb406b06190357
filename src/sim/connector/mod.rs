//! A simulated Bot Connector, with the conversations of one channel: what bots write arrives here.
//!
//! It is strict: what the protocol does not know is refused and written down. Owns the conversations
//! and what was written to them. Refuses to know who may write to whom.
//!
//! Not here: starting conversations, editing and deleting, files; posting activities to a bot.

mod ask;

use super::answer::Answer;
use super::certificate::Identity;
use super::issuer::provider::Provider;
use super::service::{Lost, Service};
use ask::Ask;
use bytes::Bytes;
use http::request::Parts;
use serde_json::{Value, json};
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What tokens for the connector are made out to.
pub const AUDIENCE: &str = "https://api.botframework.com";

/// The most messages kept, the oldest forgotten first. Arbitrary: more than a test makes.
const TAKEN_MAX: usize = 4096;

/// How it is set up.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// TLS with this identity, which must be good for `localhost`, or plain TCP.
    pub identity: Option<Identity>,
    /// Who signs the tokens that it takes.
    pub provider: Arc<Provider>,
    /// In which tenant they are given.
    pub tenant: String,
    /// The one bot that is registered.
    pub app_id: String,
    /// What its paths begin with, such as `/amer`.
    pub prefix: String,
}

/// What becomes of one message that was sound, instead of its being taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is refused with this status.
    Status(u16),
    /// It is refused with this status and code.
    Code(u16, &'static str),
    /// It is refused with status 403 and this subcode in JSON that is a text in JSON, as Teams does.
    Nested(&'static str),
    /// It is refused with this status, and seconds in `Retry-After`.
    Later(u16, u32),
    /// It is redirected there.
    Redirect(String),
    /// It is taken, and that is said so much later.
    Held(Duration),
    /// It is taken, and the connection ends without an answer.
    Lost,
    /// It is taken, and the answer is this text.
    Text(String),
}

/// A message that was taken.
#[derive(Clone, PartialEq)]
pub struct Taken {
    /// The conversation's id.
    pub conversation: String,
    /// The activity that it answers.
    pub answers: Option<String>,
    /// The whole of it.
    pub body: Value,
    /// The number of the token that it came with, `uti`.
    pub token: u64,
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken")
            .field("conversation", &self.conversation)
            .field("answers", &self.answers)
            .finish_non_exhaustive()
    }
}

/// A bound connector, not yet accepting.
pub struct Connector {
    service: Service,
    desk: Arc<Desk>,
}

/// What all connections share.
pub struct Desk {
    base: String,
    options: Options,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    conversations: HashSet<String>,
    troubles: VecDeque<Trouble>,
    taken: VecDeque<Taken>,
    asked: u64,
    violations: Vec<&'static str>,
}

impl Connector {
    /// Binds the socket; nothing is accepted until [`Self::serve`].
    pub async fn bind(options: Options) -> io::Result<Self> {
        let service = Service::bind(options.listen, options.identity.as_ref()).await?;
        let desk = Desk {
            base: service.base(),
            options,
            state: Mutex::default(),
        };
        Ok(Self {
            service,
            desk: Arc::new(desk),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// Its conversations.
    #[must_use]
    pub fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// Answers until `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) {
        let desk = self.desk;
        let answer = move |head, body| {
            let desk = Arc::clone(&desk);
            async move { desk.answer(head, body).await }
        };
        self.service.serve(shutdown, answer).await;
    }
}

impl Desk {
    /// The origin of [`Self::service_url`].
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// What activities that come from here say in `serviceUrl`.
    #[must_use]
    pub fn service_url(&self) -> String {
        format!("{}{}/", self.base, self.options.prefix)
    }

    /// There is such a conversation from now on.
    pub fn open(&self, conversation: &str) {
        self.state().conversations.insert(conversation.to_owned());
    }

    /// What becomes of the next sound messages, in this order.
    pub fn then(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.state().troubles.extend(troubles);
    }

    /// Messages that were taken, oldest first.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.state().taken.iter().cloned().collect()
    }

    /// Sound messages, taken or not.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.state().asked
    }

    /// Rules that were broken.
    #[must_use]
    pub fn violations(&self) -> Vec<&'static str> {
        self.state().violations.clone()
    }

    /// A panic elsewhere leaves a state that is still worth reading.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, head: Parts, body: Bytes) -> Result<Answer, Lost> {
        let ask = match ask::judge(self, &head, &body) {
            Ok(ask) => ask,
            Err((status, violation)) => {
                self.state().violations.push(violation);
                return Ok(Answer::refusal(status, "BadArgument", violation));
            }
        };
        let trouble = {
            let mut state = self.state();
            state.asked += 1;
            state.troubles.pop_front()
        };
        let refusal = |status, code| Answer::refusal(status, code, "canary of the connector");
        match trouble {
            None => Ok(self.take(ask)),
            Some(Trouble::Status(status)) => Ok(refusal(status, "ServiceError")),
            Some(Trouble::Code(status, code)) => Ok(refusal(status, code)),
            Some(Trouble::Nested(code)) => {
                let inner = json!({ "subCode": code, "details": "canary", "errorCode": null });
                let inner = format!("{inner:#}");
                Ok(Answer::new(
                    403,
                    json!({ "errorCode": 209, "message": inner }),
                ))
            }
            Some(Trouble::Later(status, seconds)) => {
                Ok(refusal(status, "Throttled").with("retry-after", seconds.to_string()))
            }
            Some(Trouble::Redirect(location)) => {
                Ok(refusal(307, "Moved").with("location", location))
            }
            Some(Trouble::Held(long)) => {
                let taken = self.take(ask);
                tokio::time::sleep(long).await;
                Ok(taken)
            }
            Some(Trouble::Lost) => {
                self.take(ask);
                Err(Lost)
            }
            Some(Trouble::Text(text)) => {
                self.take(ask);
                Ok(Answer::text(201, text))
            }
        }
    }

    fn take(&self, ask: Ask) -> Answer {
        let mut state = self.state();
        if !state.conversations.contains(&ask.conversation) {
            let sentence = "Conversation not found.";
            return Answer::refusal(404, "ConversationNotFound", sentence);
        }
        if state.taken.len() == TAKEN_MAX {
            state.taken.pop_front();
        }
        state.taken.push_back(Taken {
            conversation: ask.conversation,
            answers: ask.answers,
            body: ask.body,
            token: ask.token,
        });
        Answer::new(201, json!({ "id": format!("1:{}", state.taken.len()) }))
    }
}
