//! Webhooks: what another cloud is told of what it handed over, signed as the Standard Webhooks
//! specification says (version 1.0.0, symmetric signatures).
//!
//! Whoever tells something never waits: it goes into a queue, and what finds no room there is counted
//! and lost. A delivery is one or more requests under one id, each on a connection of its own and
//! signed for its own time. Redirects are not followed, for what is told is for one receiver.
//!
//! Not here: what is told. Deliveries come at least once and in any order; each says when it was.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::{Instant as Deadline, sleep};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Unusable;
use super::again::{by_lot, retry_after};
use super::fetch::{self, Asking};
use super::host::Host;
use crate::config::{self, Live, Route, RouteKind};
use crate::ids::SessionId;
use crate::label::Label;
use crate::log::Throttle;
use crate::metrics::{self, Work};

/// What waits to be delivered; each holds less than a KiB. A receiver that is away for a minute loses
/// nothing of ten calls a second.
const QUEUE: usize = 1024;
/// Deliveries under way, most of them between two attempts, and requests at a time.
const UNDER_WAY: usize = 256;
const AT_ONCE: usize = 16;
/// Before the second attempt, doubled before each further one, up to the second; half of it by lot.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The webhooks of all routes that have one.
pub struct Webhooks {
    by_route: HashMap<Label, Arc<Webhook>>,
    /// What was told and is not delivered or given up, to whomever.
    open: TaskTracker,
}

/// Something is still to be told, as long as this is there.
pub struct Hold(#[expect(dead_code, reason = "its end is what counts")] TaskTrackerToken);

/// One receiver.
pub struct Webhook {
    route: Label,
    settings: config::Webhook,
    host: Host,
    target: Uri,
    key: hmac::Key,
    queue: mpsc::Sender<Letter>,
    queued: Mutex<mpsc::Receiver<Letter>>,
    requests: Semaphore,
    /// What it was told and has not got.
    open: TaskTracker,
    warnings: Throttle,
    metrics: metrics::Shared,
}

/// One thing that is told.
struct Letter {
    id: String,
    body: Bytes,
    _open: [TaskTrackerToken; 2],
}

/// Why an attempt came to nothing.
struct Failed {
    detail: &'static str,
    status: Option<StatusCode>,
    /// Whether another attempt may do better, and when, if the receiver says so.
    again: bool,
    after: Option<Duration>,
}

impl Webhooks {
    /// Prepares the receivers of all routes.
    pub fn new(live: &Live, metrics: &metrics::Shared) -> Result<Webhooks, Unusable> {
        let of_route = |route: &Route| match &route.kind {
            RouteKind::SessionApi(api) => Some((route.name.clone(), api.webhook.clone()?)),
            RouteKind::VoiceLive
            | RouteKind::Relay
            | RouteKind::AcsMedia(_)
            | RouteKind::EventGrid(_)
            | RouteKind::AcsCallback
            | RouteKind::Http(_)
            | RouteKind::Bot(_)
            | RouteKind::Notify
            | RouteKind::Tickets(_)
            | RouteKind::Sessions(_)
            | RouteKind::Page(_)
            | RouteKind::CallApi(_) => None,
        };
        Webhooks::of(live.routes.iter().filter_map(of_route), metrics)
    }

    fn of(
        of_routes: impl IntoIterator<Item = (Label, config::Webhook)>,
        metrics: &metrics::Shared,
    ) -> Result<Webhooks, Unusable> {
        let prepared = of_routes.into_iter().map(|(route, settings)| {
            let webhook = Webhook::new(route.clone(), settings, metrics.clone())?;
            Ok((route, Arc::new(webhook)))
        });
        Ok(Webhooks {
            by_route: prepared.collect::<Result<_, Unusable>>()?,
            open: TaskTracker::new(),
        })
    }

    /// Tells the receiver of a route, if it has one, at once and without waiting.
    pub fn tell(&self, route: &Label, body: &serde_json::Value) {
        let Some(webhook) = self.by_route.get(route) else {
            return;
        };
        let letter = Letter {
            id: format!("msg_{}", SessionId::random()),
            body: Bytes::from(body.to_string()),
            _open: [self.open.token(), webhook.open.token()],
        };
        if webhook.queue.try_send(letter).is_err() {
            webhook.count("dropped");
            webhook.warn("the queue is full", None);
        }
    }

    /// The same in the place of what was before: receivers that stay keep what is on its way to them.
    pub fn after(mut self, before: &Webhooks) -> Webhooks {
        self.open = before.open.clone();
        for (route, webhook) in &mut self.by_route {
            let old = before.by_route.get(route);
            if let Some(old) = old.filter(|old| old.settings == webhook.settings) {
                *webhook = old.clone();
            }
        }
        self
    }

    /// All receivers; whoever owns this must run them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Webhook>> {
        self.by_route.values()
    }

    /// Something is to be told that cannot be yet: [`Self::settled`] waits for it.
    pub fn hold(&self) -> Hold {
        Hold(self.open.token())
    }

    /// Resolves when nothing that was told waits any more; to be asked when nothing new comes.
    pub async fn settled(&self) {
        self.open.close();
        self.open.wait().await;
    }
}

impl Webhook {
    fn new(
        route: Label,
        settings: config::Webhook,
        metrics: metrics::Shared,
    ) -> Result<Webhook, Unusable> {
        let (queue, queued) = mpsc::channel(QUEUE);
        Ok(Webhook {
            host: Host::new(&settings.host, settings.port, settings.roots.as_ref())?,
            target: settings
                .target
                .parse()
                .map_err(|_| Unusable::Host(settings.host.clone()))?,
            key: hmac::Key::new(hmac::HMAC_SHA256, &settings.secret.0),
            queue,
            queued: Mutex::new(queued),
            requests: Semaphore::new(AT_ONCE),
            open: TaskTracker::new(),
            warnings: Throttle::default(),
            route,
            settings,
            metrics,
        })
    }

    /// Resolves when it has got all that it was told, or that was given up; to be asked when it is told
    /// nothing more.
    pub async fn settled(&self) {
        self.open.close();
        self.open.wait().await;
    }

    /// Delivers, for ever.
    pub async fn run(&self) {
        let mut queued = self.queued.lock().await;
        let mut under_way = FuturesUnordered::new();
        loop {
            // A receiver and a set of futures lose nothing when the other comes first.
            tokio::select! {
                letter = queued.recv(), if under_way.len() < UNDER_WAY => match letter {
                    Some(letter) => under_way.push(self.deliver_apart(letter)),
                    // It holds a sender itself.
                    None => return,
                },
                Some(()) = under_way.next() => {}
            }
        }
    }

    /// A panic costs this letter and no other. It shares counters with them, and what is behind locks of
    /// tokio, which a panic leaves as they are.
    async fn deliver_apart(&self, letter: Letter) {
        let delivering = AssertUnwindSafe(self.deliver(letter));
        if delivering.catch_unwind().await.is_err() {
            self.metrics.panicked(Work::Background);
            self.count("failed");
        }
    }

    async fn deliver(&self, letter: Letter) {
        let mut wait = BACK_OFF[0];
        let mut attempts = self.settings.attempts;
        loop {
            let failed = match self.attempt(&letter).await {
                Ok(()) => return self.count("sent"),
                Err(failed) => failed,
            };
            attempts -= 1;
            if attempts == 0 || !failed.again {
                self.count("failed");
                return self.warn(failed.detail, failed.status);
            }
            let pause = failed.after.unwrap_or_else(|| by_lot(wait));
            wait = (2 * wait).min(BACK_OFF[1]);
            sleep(pause.min(BACK_OFF[1])).await;
        }
    }

    async fn attempt(&self, letter: &Letter) -> Result<(), Failed> {
        let failed = |detail, again| Failed {
            detail,
            status: None,
            again,
            after: None,
        };
        let closed = |_| failed("the edge is at its end", false);
        let _request = self.requests.acquire().await.map_err(closed)?;
        let unsigned = failed("the request cannot be signed", false);
        let now = SystemTime::now();
        let asking = Asking {
            method: Method::POST,
            headers: headers(&self.key, letter, now).ok_or(unsigned)?,
            body: letter.body.clone(),
        };
        let deadline = Deadline::now() + self.settings.timeout;
        // What the receiver says is not read.
        let answer = fetch::send(&self.host, self.target.clone(), asking, |_| None, deadline);
        let answer = answer.await.map_err(|error| match error {
            fetch::Failed::Late => failed("it took too long", true),
            fetch::Failed::Unreachable(detail) => failed(detail, true),
            fetch::Failed::Cut => failed("the answer is not HTTP, or was cut", true),
            fetch::Failed::Status(_) | fetch::Failed::TooLarge => {
                failed("the answer is not as it should be", false)
            }
        })?;
        if answer.status.is_success() {
            return Ok(());
        }
        let busy = answer.status == StatusCode::TOO_MANY_REQUESTS;
        let says = answer.headers.get(header::RETRY_AFTER);
        Err(Failed {
            detail: "it answered otherwise than with a success",
            status: Some(answer.status),
            again: busy || answer.status.is_server_error(),
            after: says.and_then(|value| retry_after(value, now)),
        })
    }

    fn count(&self, result: &'static str) {
        self.metrics.webhook(&self.route, result);
    }

    fn warn(&self, detail: &'static str, status: Option<StatusCode>) {
        if let Some(left_out) = self.warnings.pass(Instant::now()) {
            tracing::warn!(
                route = %self.route,
                detail,
                status = status.map(|status| status.as_u16()),
                left_out,
                "webhook not delivered"
            );
        }
    }
}

/// What says whose it is, and which.
fn headers(
    key: &hmac::Key,
    letter: &Letter,
    now: SystemTime,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let at = now.duration_since(UNIX_EPOCH).ok()?.as_secs().to_string();
    let mut signed = hmac::Context::with_key(key);
    for part in [
        letter.id.as_bytes(),
        b".",
        at.as_bytes(),
        b".",
        &letter.body,
    ] {
        signed.update(part);
    }
    let signature = BASE64_STANDARD.encode(signed.sign().as_ref());
    Some(vec![
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (ID, HeaderValue::try_from(&letter.id).ok()?),
        (TIMESTAMP, HeaderValue::try_from(at).ok()?),
        (
            SIGNATURE,
            HeaderValue::try_from(format!("v1,{signature}")).ok()?,
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Webhook as Settings, WebhookSecret};
    use crate::metrics::Metrics;
    use std::sync::Arc;

    /// The example of the specification's own libraries.
    #[test]
    fn a10_a_letter_is_signed_as_the_specification_says() {
        let secret = WebhookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let letter = Letter {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            body: Bytes::from_static(br#"{"test": 2432232314}"#),
            _open: [TaskTracker::new().token(), TaskTracker::new().token()],
        };
        let at = UNIX_EPOCH + Duration::from_secs(1_614_265_330);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
        let headers = headers(&key, &letter, at).unwrap();
        let value = |name: HeaderName| {
            let found = headers.iter().find(|(known, _)| *known == name);
            found.unwrap().1.to_str().unwrap().to_owned()
        };
        assert_eq!(value(ID), letter.id);
        assert_eq!(value(TIMESTAMP), "1614265330");
        let wanted = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(value(SIGNATURE), wanted);
    }

    fn webhooks(metrics: &metrics::Shared) -> (Label, Webhooks) {
        let route = Label::new("sessions").unwrap();
        let settings = Settings {
            host: "127.0.0.1".to_owned(),
            port: 1,
            target: "/hook".to_owned(),
            roots: None,
            secret: WebhookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap(),
            timeout: Duration::from_secs(1),
            attempts: 1,
        };
        let all = Webhooks::of([(route.clone(), settings)], metrics).unwrap();
        (route, all)
    }

    #[tokio::test]
    async fn a10_what_finds_no_room_is_lost_and_counted_and_nobody_waits() {
        let metrics = Arc::new(Metrics::new());
        let (route, webhooks) = webhooks(&metrics);
        let other = Label::new("other").unwrap();
        for _ in 0..QUEUE + 3 {
            webhooks.tell(&route, &serde_json::json!({}));
            webhooks.tell(&other, &serde_json::json!({}));
        }
        let dropped = r#"tonegate_webhooks_total{route="sessions",result="dropped"} 3"#;
        assert!(metrics.render().contains(dropped));
        // Nothing listens there, so all the others fail, and then nothing is left.
        let webhook = webhooks.all().next().unwrap();
        tokio::select! {
            () = webhook.run() => unreachable!("it runs for ever"),
            () = webhooks.settled() => {}
        }
        let failed =
            format!("tonegate_webhooks_total{{route=\"sessions\",result=\"failed\"}} {QUEUE}");
        assert!(metrics.render().contains(&failed), "{}", metrics.render());
    }
}
