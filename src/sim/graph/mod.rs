//! A simulated Microsoft Graph, as far as it tells who reports to whom.
//!
//! It is strict: what its documentation does not know is refused and written down. Owns the people,
//! the pages, and what it was asked. Refuses to know roles and caches.
//!
//! Not here: every other question.

mod ask;

use super::answer::Answer;
use super::certificate::Identity;
use super::issuer::provider::Provider;
use super::service::{Lost, Service};
use ask::Ask;
use bytes::Bytes;
use http::request::Parts;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What tokens for Graph are made out to.
pub const AUDIENCE: &str = "https://graph.microsoft.com";

/// The permission that reads everybody's reports.
pub const PERMISSION: &str = "User.Read.All";

/// The most questions kept, the oldest forgotten first. Arbitrary: more than a test makes.
const ASKED_MAX: usize = 4096;

/// More than any page holds, and than a client should take.
const HUGE: usize = 8 << 20;

/// How it is set up.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// TLS with this identity, which must be good for `localhost`, or plain TCP.
    pub identity: Option<Identity>,
    /// Who signs the tokens that it takes.
    pub provider: Arc<Provider>,
    /// The tenant whose directory it is.
    pub tenant: String,
    /// The most people on one page, whatever is asked for.
    pub page: usize,
}

/// Somebody who reports to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A person with an account.
    User(String),
    /// A contact, who has none.
    Contact(String),
}

/// What becomes of one question that was sound, instead of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is refused with this status.
    Status(u16),
    /// The same, with seconds in `Retry-After`.
    Later(u16, u32),
    /// It is redirected there.
    Redirect(String),
    /// It is answered so much later.
    Held(Duration),
    /// The connection ends without an answer.
    Lost,
    /// Its page leads there next.
    Next(String),
    /// The answer is this text.
    Text(String),
    /// The answer is a page behind more blanks than anybody should take.
    Huge,
}

/// One sound question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Path and query, as they came.
    pub target: String,
    /// The number of the token in it, `uti`.
    pub token: u64,
}

/// A bound Graph, not yet accepting.
pub struct Graph {
    service: Service,
    desk: Arc<Desk>,
}

/// What all connections share.
pub struct Desk {
    base: String,
    provider: Arc<Provider>,
    tenant: String,
    page: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    people: HashMap<String, Vec<Report>>,
    troubles: VecDeque<Trouble>,
    asked: VecDeque<Asked>,
    violations: Vec<&'static str>,
}

impl Graph {
    /// Binds the socket; nothing is accepted until [`Self::serve`].
    pub async fn bind(options: Options) -> io::Result<Self> {
        let service = Service::bind(options.listen, options.identity.as_ref()).await?;
        let desk = Desk {
            base: service.base(),
            provider: options.provider,
            tenant: options.tenant,
            page: options.page,
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

    /// Its people and what it was asked.
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
    /// `https://localhost:PORT`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// From now on these report to `person`, who may be new.
    pub fn employ(&self, person: &str, reports: impl IntoIterator<Item = Report>) {
        let reports = reports.into_iter().collect();
        self.state().people.insert(person.to_owned(), reports);
    }

    /// What goes wrong with the next sound questions, in this order.
    pub fn then(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.state().troubles.extend(troubles);
    }

    /// Sound questions, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.iter().cloned().collect()
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
                return Ok(Answer::refusal(status, "Request_BadRequest", violation));
            }
        };
        let trouble = {
            let mut state = self.state();
            if state.asked.len() == ASKED_MAX {
                state.asked.pop_front();
            }
            state.asked.push_back(Asked {
                target: head.uri.to_string(),
                token: ask.token,
            });
            state.troubles.pop_front()
        };
        let refusal = |status| Answer::refusal(status, "Trouble", "canary of the directory");
        match trouble {
            None => Ok(self.told(&ask, None)),
            Some(Trouble::Status(status)) => Ok(refusal(status)),
            Some(Trouble::Later(status, seconds)) => {
                Ok(refusal(status).with("retry-after", seconds.to_string()))
            }
            Some(Trouble::Redirect(location)) => Ok(refusal(307).with("location", location)),
            Some(Trouble::Held(long)) => {
                tokio::time::sleep(long).await;
                Ok(self.told(&ask, None))
            }
            Some(Trouble::Lost) => Err(Lost),
            Some(Trouble::Next(link)) => Ok(self.told(&ask, Some(link))),
            Some(Trouble::Text(text)) => Ok(Answer::text(200, text)),
            Some(Trouble::Huge) => {
                let mut text = " ".repeat(HUGE);
                text.push_str(r#"{"value":[]}"#);
                Ok(Answer::text(200, text))
            }
        }
    }

    /// A page, and where the next one is if there is one.
    fn told(&self, ask: &Ask, next: Option<String>) -> Answer {
        if !ask.permitted {
            let sentence = "Insufficient privileges to complete the operation.";
            return Answer::refusal(403, "Authorization_RequestDenied", sentence);
        }
        let state = self.state();
        let Some(reports) = state.people.get(&ask.person) else {
            let sentence = "Resource does not exist or one of its queried reference-property \
                            objects are not present.";
            return Answer::refusal(404, "Request_ResourceNotFound", sentence);
        };
        let size = ask.top.min(self.page);
        let page = reports.iter().skip(ask.skip).take(size);
        let end = ask.skip + size;
        let mut said = json!({
            "@odata.context": format!("{}/v1.0/$metadata#directoryObjects(id)", self.base),
            "value": page.map(Report::entry).collect::<Vec<_>>(),
        });
        let follows = || {
            let (base, person, top) = (&self.base, &ask.person, ask.top);
            format!(
                "{base}/v1.0/users/{person}/directReports?$select=id&$top={top}&$skiptoken=m~{end}"
            )
        };
        if let Some(next) = next.or_else(|| (end < reports.len()).then(follows)) {
            said["@odata.nextLink"] = Value::from(next);
        }
        Answer::new(200, said)
    }
}

impl Report {
    fn entry(&self) -> Value {
        let (kind, id) = match self {
            Self::User(id) => ("#microsoft.graph.user", id),
            Self::Contact(id) => ("#microsoft.graph.orgContact", id),
        };
        json!({ "@odata.type": kind, "id": id })
    }
}
