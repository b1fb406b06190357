//! The client of the Bot Connector: what the bot writes to a conversation.
//!
//! A message goes to the service that its conversation came from, if that is on the list of the
//! settings: whoever could choose the service would be shown the bot's token. Redirects are not
//! followed.
//!
//! A message is sent once. It is sent again only where the first was certainly not taken: no
//! connection, 401 (once, with another token), 412 and 429. After a 5xx, a cut connection or a
//! deadline it may have been taken, and nobody reads it twice. All of it within one deadline.
//!
//! Not here: whom the bot may write to, whether they want it, and keeping references.

mod activity;
mod failure;
mod reference;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use tokio::time::{Instant as Deadline, sleep};

use super::Unusable;
use super::again::{Pauses, Turns, retry_after};
use super::bearer::{self, Lost};
use super::fetch::{self, Asking};
use super::host::Host;
use super::identity::Identity;
use crate::config::{self, ServiceOrigin};
use crate::label::Label;
use crate::log::Throttle;
use crate::metrics;

pub use self::activity::Activity;
pub use self::failure::{Failure, Forbidden, Kind};
pub use self::reference::{Odd, Reference, Written};

/// The longest answer. Those in use have some hundred bytes.
const BODY_MAX: usize = 16 * 1024;
/// Requests for one message.
const ATTEMPTS: u32 = 3;
/// Messages at a time, each on one socket, and those that wait for that as well.
const SLOTS: usize = 256;
const PLACES: usize = 4096;
/// The name in the metrics of tokens, and in what cannot be used.
const NAME: &str = "bot";

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What the connector calls it, where it says so.
    pub id: Option<String>,
}

/// The bot, towards the services of its channels.
pub struct Connector {
    settings: config::Bot,
    services: Vec<(ServiceOrigin, Host)>,
    identity: Arc<Identity>,
    turns: Turns,
    /// For warnings that a message was not sent.
    warnings: Throttle,
    metrics: metrics::Shared,
}

#[derive(Clone, Copy)]
enum Operation {
    Reply,
    Send,
}

impl Operation {
    /// The word in metrics and logs.
    fn word(self) -> &'static str {
        match self {
            Operation::Reply => "reply",
            Operation::Send => "send",
        }
    }
}

impl Connector {
    /// Prepares to send: roots loaded. Whoever owns it must run its identity.
    pub fn new(settings: config::Bot, metrics: metrics::Shared) -> Result<Connector, Unusable> {
        let name = Label::new(NAME).expect("it fits the grammar");
        let identity = Identity::new(name, settings.identity.clone(), metrics.clone())?;
        let services = settings.services.iter().map(|origin| {
            let roots = origin.secure.then_some(&settings.roots);
            let host = Host::new(&origin.host, origin.port, roots)?;
            Ok((origin.clone(), host))
        });
        Ok(Connector {
            services: services.collect::<Result<_, Unusable>>()?,
            identity: Arc::new(identity),
            turns: Turns::new(SLOTS, PLACES),
            warnings: Throttle::default(),
            settings,
            metrics,
        })
    }

    /// The bot's own identity; whoever owns this must run it.
    pub fn identity(&self) -> Arc<Identity> {
        self.identity.clone()
    }

    /// Answers an activity of the conversation with a text, or writes one to it.
    pub async fn reply(
        &self,
        to: &Reference,
        answers: Option<&str>,
        text: &str,
    ) -> Result<Sent, Failure> {
        // An id that is none of the connector's is left out: the text is what counts.
        let answers = answers.filter(|id| activity::is_id(id));
        let activity = Activity::text(text);
        self.perform(Operation::Reply, to, answers, activity).await
    }

    /// Writes to the conversation of the bot's own accord.
    pub async fn send(&self, to: &Reference, activity: Activity) -> Result<Sent, Failure> {
        self.perform(Operation::Send, to, None, activity).await
    }

    /// Sends one message, counts it, and warns if it was not sent.
    async fn perform(
        &self,
        operation: Operation,
        to: &Reference,
        answers: Option<&str>,
        activity: Activity,
    ) -> Result<Sent, Failure> {
        let started = Instant::now();
        let deadline = Deadline::now() + self.settings.total;
        let said = match self.message(to, answers, activity) {
            Ok(message) => self.in_turn(&message, deadline).await,
            Err(failure) => Err(failure),
        };
        let result = said
            .as_ref()
            .err()
            .map_or("ok", |failure| failure.kind.word());
        self.metrics
            .bot_sent(operation.word(), result, started.elapsed());
        if let Err(failure) = &said {
            self.warn(operation, failure);
        }
        said
    }

    /// The request for a message, if its service may be asked.
    fn message(
        &self,
        to: &Reference,
        answers: Option<&str>,
        activity: Activity,
    ) -> Result<Message<'_>, Failure> {
        let unlisted = Failure::new(Kind::Unlisted, "its service is not in bot.service_urls");
        let (origin, below) = ServiceOrigin::of(to.service_url()).ok_or(unlisted)?;
        let mut services = self.services.iter();
        let (_, host) = services
            .find(|(listed, _)| *listed == origin)
            .ok_or(unlisted)?;
        let path = activity::path(&below, to, answers);
        Ok(Message {
            host,
            target: path.parse().map_err(|_| unlisted)?,
            body: activity.addressed(to, answers),
        })
    }

    async fn in_turn(&self, message: &Message<'_>, deadline: Deadline) -> Result<Sent, Failure> {
        if let Some(_turn) = self.turns.take(deadline).await {
            return self.deliver(message, deadline).await;
        }
        self.metrics.limit_hit(NAME);
        let crowded = "too many other messages are under way";
        Err(Failure::new(Kind::Crowded, crowded))
    }

    fn warn(&self, operation: Operation, failure: &Failure) {
        if let Some(left_out) = self.warnings.pass(Instant::now()) {
            tracing::warn!(
                operation = operation.word(),
                result = failure.kind.word(),
                status = failure.status.map(|status| status.as_u16()),
                detail = failure.detail,
                left_out,
                "a message of the bot's was not sent"
            );
        }
    }

    /// Sends until there is an answer that stays, attempts or time are used up.
    async fn deliver(&self, message: &Message<'_>, deadline: Deadline) -> Result<Sent, Failure> {
        let mut pauses = Pauses::new();
        let mut attempts = ATTEMPTS;
        loop {
            let until = deadline.min(Deadline::now() + self.settings.timeout);
            let failure = match self.attempt(message, until).await {
                Ok(sent) => return Ok(sent),
                Err(failure) => failure,
            };
            attempts -= 1;
            let pause = pauses.next(failure.after);
            if attempts == 0 || !failure.kind.is_passing() || Deadline::now() + pause >= deadline {
                return Err(failure);
            }
            sleep(pause).await;
        }
    }

    async fn attempt(&self, message: &Message<'_>, until: Deadline) -> Result<Sent, Failure> {
        let exchange = |token: HeaderValue| async move {
            let json = HeaderValue::from_static("application/json; charset=utf-8");
            let asking = Asking {
                method: Method::POST,
                headers: vec![(header::AUTHORIZATION, token), (header::CONTENT_TYPE, json)],
                body: message.body.clone(),
            };
            // Of errors those are read that may say why the bot may not write.
            let wanted = |status: StatusCode| {
                let may_tell = [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&status);
                (status.is_success() || may_tell).then_some(BODY_MAX)
            };
            fetch::send(message.host, message.target.clone(), asking, wanted, until).await
        };
        let answer = bearer::send(&self.identity, until, exchange).await;
        let answer = answer.map_err(|lost| match lost {
            Lost::NoToken => {
                Failure::new(Kind::Unauthorized, "there is no token for the edge itself")
            }
            Lost::Failed(failed) => unanswered(failed),
        })?;
        let said = answer.body.unwrap_or_default();
        if answer.status.is_success() {
            // It was taken, whatever else can be read of that.
            return Ok(Sent {
                id: activity::sent(&said),
            });
        }
        let after = answer.headers.get(header::RETRY_AFTER);
        Err(Failure {
            after: after.and_then(|value| retry_after(value, SystemTime::now())),
            ..Failure::of_status(answer.status, activity::why(&said))
        })
    }
}

/// A message on its way.
struct Message<'a> {
    host: &'a Host,
    target: Uri,
    body: Bytes,
}

fn unanswered(failed: fetch::Failed) -> Failure {
    match failed {
        fetch::Failed::Unreachable(detail) => Failure::new(Kind::Unreachable, detail),
        fetch::Failed::Late => Failure::new(Kind::Timeout, "no answer in time"),
        fetch::Failed::Cut => Failure::new(Kind::Lost, "the answer is not HTTP, or was cut"),
        fetch::Failed::TooLarge => Failure::new(Kind::Lost, "the answer is longer than it may be"),
        fetch::Failed::Status(status) => Failure::of_status(status, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{IdentitySource, ManagedIdentity, Roots};
    use crate::ids::EntraId;
    use crate::metrics::Metrics;
    use std::time::Duration;

    /// Nothing is listening where it would write.
    #[tokio::test]
    async fn c24_more_messages_than_there_are_places_are_not_sent_and_counted() {
        let metrics = Arc::new(Metrics::new());
        let to: Reference = serde_json::from_value(reference::tests::written()).unwrap();
        let (origin, _) = ServiceOrigin::of(to.service_url()).unwrap();
        let settings = config::Bot {
            app_id: EntraId::new("99999999-8888-7777-6666-555555555555").unwrap(),
            tenant: None,
            identity: ManagedIdentity {
                source: IdentitySource::Imds {
                    base: "http://127.0.0.1:1".to_owned(),
                },
                client_id: None,
                scope: "https://api.botframework.com/.default".to_owned(),
            },
            services: vec![origin],
            keep: Duration::ZERO,
            roots: Roots::System,
            timeout: Duration::from_millis(50),
            total: Duration::from_millis(50),
        };
        let bot = Connector::new(settings, metrics.clone()).unwrap();
        let hit = r#"tonegate_limit_hits_total{limit="bot"}"#;
        let places = bot.turns.places.try_acquire_many(PLACES as u32).unwrap();
        let failure = bot.reply(&to, None, "No.").await.unwrap_err();
        assert_eq!(failure.kind, Kind::Crowded);
        assert!(metrics.render().contains(&format!("{hit} 1")));
        drop(places);
        // A place, and no slot in time.
        let slots = bot.turns.slots.try_acquire_many(SLOTS as u32).unwrap();
        assert!(bot.reply(&to, None, "No.").await.is_err());
        assert!(metrics.render().contains(&format!("{hit} 2")));
        drop(slots);
        // A turn, and no token, as nobody fetches any.
        let failure = bot.reply(&to, None, "No.").await.unwrap_err();
        assert_eq!(failure.kind, Kind::Unauthorized);
        assert!(metrics.render().contains(&format!("{hit} 2")));
    }
}
