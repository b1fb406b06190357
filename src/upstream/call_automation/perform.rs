//! One operation of Call Automation: its requests, how long it may take, what is tried again.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tokio::time::{Instant as Deadline, sleep, timeout_at};

use super::failure::{Attempt, Failure, Kind};
use super::sign::{Key, Signed};
use super::{CallAutomation, Credential, body};
use crate::ids::random_guid;
use crate::upstream::again::{Pauses, retry_after};
use crate::upstream::fetch::{self, Asking};

/// What can be asked of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Answer,
    Create,
    HangUp,
    StartMedia,
    StopMedia,
    StartDtmf,
    StopDtmf,
}

impl Operation {
    /// The word in metrics and logs.
    fn word(self) -> &'static str {
        match self {
            Operation::Answer => "answer",
            Operation::Create => "create",
            Operation::HangUp => "hang_up",
            Operation::StartMedia => "start_media",
            Operation::StopMedia => "stop_media",
            Operation::StartDtmf => "start_dtmf",
            Operation::StopDtmf => "stop_dtmf",
        }
    }

    /// Whether the interface takes an id by which it knows a request that came before.
    fn is_repeatable(self) -> bool {
        match self {
            Operation::Answer | Operation::Create | Operation::HangUp => true,
            Operation::StartMedia
            | Operation::StopMedia
            | Operation::StartDtmf
            | Operation::StopDtmf => false,
        }
    }
}

/// One request, as often as it is sent.
struct Request {
    operation: Operation,
    target: String,
    body: Bytes,
    /// By which the service's own log has it, and ours.
    id: String,
    /// `Repeatability-Request-ID` and `Repeatability-First-Sent`.
    repeat: Vec<(HeaderName, HeaderValue)>,
}

/// The longest answer. Those in use have 1 to 4 KiB.
const BODY_MAX: usize = 64 * 1024;

impl CallAutomation {
    /// Does one operation, counts it, and warns if it failed; the answer's body.
    pub(super) async fn perform(
        &self,
        operation: Operation,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, Failure> {
        let started = Instant::now();
        let deadline = Deadline::now() + self.settings.total;
        let request = Request {
            operation,
            target: format!("{path}?api-version={}", self.settings.api_version),
            body,
            id: random_guid(),
            repeat: match operation.is_repeatable() {
                true => repeatable(SystemTime::now()),
                false => Vec::new(),
            },
        };
        let said = self.in_turn(&request, deadline).await;
        let result = said
            .as_ref()
            .err()
            .map_or("ok", |failure| failure.kind.word());
        self.metrics
            .call_controlled(operation.word(), result, started.elapsed());
        if let Err(failure) = &said {
            self.warn(operation, &request.id, failure);
        }
        said
    }

    /// Waits for a slot; many operations at once are a burst of calls, or a service that is away.
    async fn in_turn(&self, request: &Request, deadline: Deadline) -> Result<Bytes, Failure> {
        let crowded = Failure::new(Kind::Timeout, "too many other operations are under way");
        if let Some(_turn) = self.turns.take(deadline).await {
            return self.ask(request, deadline).await;
        }
        self.metrics.limit_hit("call_automation");
        Err(crowded)
    }

    fn warn(&self, operation: Operation, request: &str, failure: &Failure) {
        if let Some(left_out) = self.warnings.pass(Instant::now()) {
            tracing::warn!(
                operation = operation.word(),
                client_request_id = request,
                result = failure.kind.word(),
                status = failure.status.map(|status| status.as_u16()),
                detail = failure.detail,
                left_out,
                "call automation failed"
            );
        }
    }

    /// Sends the request until there is an answer that stays, attempts or time are used up.
    async fn ask(&self, request: &Request, deadline: Deadline) -> Result<Bytes, Failure> {
        let mut pauses = Pauses::new();
        // A token that was refused is replaced once; that is no attempt of its own.
        let mut refused = None;
        let mut attempts = self.settings.attempts;
        loop {
            let until = deadline.min(Deadline::now() + self.settings.timeout);
            let attempt = match self.send(request, &mut refused, until).await {
                Ok(body) => return Ok(body),
                Err(attempt) => attempt,
            };
            let failure = attempt.failure;
            attempts -= 1;
            if attempts == 0 || !failure.kind.is_passing() {
                return Err(failure);
            }
            let pause = pauses.next(attempt.after);
            if Deadline::now() + pause >= deadline {
                return Err(failure);
            }
            sleep(pause).await;
        }
    }

    /// Sends it once, or twice where a token was refused and another can be had.
    async fn send(
        &self,
        request: &Request,
        refused: &mut Option<u64>,
        until: Deadline,
    ) -> Result<Bytes, Attempt> {
        let identity = match &self.credential {
            Credential::Key(key) => {
                let headers = self.sign(key, request);
                let unsigned = Failure::new(Kind::Unauthorized, "the request cannot be signed");
                return self
                    .exchange(request, headers.ok_or(unsigned)?, until)
                    .await;
            }
            Credential::Identity(identity) => identity,
        };
        let none = Failure::new(Kind::Unauthorized, "there is no token for the edge itself");
        let token = timeout_at(until, identity.token()).await;
        let token = token.ok().and_then(Result::ok).ok_or(none)?;
        let bearer = |header: &HeaderValue| vec![(header::AUTHORIZATION, header.clone())];
        let said = self.exchange(request, bearer(&token.header), until).await;
        let was_refused = said.as_ref().is_err_and(|attempt| {
            attempt.failure.status == Some(StatusCode::UNAUTHORIZED) && refused.is_none()
        });
        if !was_refused {
            return said;
        }
        *refused = Some(token.number);
        let another = timeout_at(until, identity.after(token.number)).await;
        match another.ok().flatten() {
            Some(another) if another.header != token.header => {
                self.exchange(request, bearer(&another.header), until).await
            }
            Some(_) | None => said,
        }
    }

    fn sign(&self, key: &Key, request: &Request) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let headers = key.headers(&Signed {
            method: &Method::POST,
            target: &request.target,
            host: self.host.authority().to_str().ok()?,
            date: &httpdate::fmt_http_date(SystemTime::now()),
            body: &request.body,
        })?;
        Some(headers.into())
    }

    async fn exchange(
        &self,
        request: &Request,
        credential: Vec<(HeaderName, HeaderValue)>,
        until: Deadline,
    ) -> Result<Bytes, Attempt> {
        let unusual = Failure::new(Kind::Refused, "the request has no such target");
        let target: Uri = request.target.parse().map_err(|_| unusual)?;
        let mut headers = credential;
        headers.extend(request.repeat.iter().cloned());
        let id = HeaderValue::try_from(&request.id).ok();
        headers.extend(id.map(|id| (CLIENT_ID, id)));
        if !request.body.is_empty() {
            headers.push((
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            ));
        }
        let asking = Asking {
            method: Method::POST,
            headers,
            body: request.body.clone(),
        };
        // Of errors those are read that may say that a call has ended.
        let hangs_up = request.operation == Operation::HangUp;
        let wanted = |status: StatusCode| {
            let may_tell = hangs_up && status.is_client_error();
            (status.is_success() || may_tell).then_some(BODY_MAX)
        };
        let answer = fetch::send(&self.host, target, asking, wanted, until).await;
        let answer = answer.map_err(Failure::from)?;
        if answer.status.is_success() {
            return Ok(answer.body.map_err(Failure::from)?);
        }
        let failure = Failure::of_status(answer.status);
        let said = answer.body.unwrap_or_default();
        let refused = matches!(failure.kind, Kind::Refused);
        if hangs_up && (failure.kind == Kind::NotFound || refused && body::has_ended(&said)) {
            return Ok(Bytes::new());
        }
        Err(Attempt {
            failure,
            after: answer
                .headers
                .get(header::RETRY_AFTER)
                .and_then(|value| retry_after(value, SystemTime::now())),
        })
    }
}

/// The headers by which the interface knows a request that it has seen: a random id, and when it
/// was first sent.
fn repeatable(now: SystemTime) -> Vec<(HeaderName, HeaderValue)> {
    let first = httpdate::fmt_http_date(now);
    [(REPEAT_ID, random_guid()), (REPEAT_FIRST, first)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)))
        .collect()
}

/// "Microsoft REST API Guidelines": the client's own name for a request.
const CLIENT_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const REPEAT_ID: HeaderName = HeaderName::from_static("repeatability-request-id");
const REPEAT_FIRST: HeaderName = HeaderName::from_static("repeatability-first-sent");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Acs, AcsCredential, Streaming};
    use crate::label::Label;
    use crate::metrics::Metrics;
    use crate::secret::Secret;
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a05_requests_that_must_not_count_twice_have_an_id_and_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_667_400);
        let [(id, guid), (first, date)] = &repeatable(now)[..] else {
            panic!("two headers");
        };
        assert_eq!(id, "repeatability-request-id");
        assert!(crate::ids::is_guid(guid.to_str().unwrap()));
        assert_eq!(first, "repeatability-first-sent");
        assert_eq!(date, "Thu, 26 Nov 2026 04:30:00 GMT");
    }

    /// Nothing is listening where it would ask.
    #[tokio::test]
    async fn a05_more_operations_than_there_are_places_are_not_done_and_counted() {
        let metrics = Arc::new(Metrics::new());
        let key = "c2VjcmV0IGFjY2VzcyBrZXkgb2YgYSB0ZXN0IHJlc291cmNl";
        let settings = Acs {
            host: "127.0.0.1".to_owned(),
            port: 1,
            roots: None,
            credential: AcsCredential::Key(Secret::new(key.to_owned())),
            api_version: Label::new("2026-03-12").unwrap(),
            callbacks: None,
            media: None,
            streaming: Streaming::default(),
            timeout: Duration::from_millis(50),
            total: Duration::from_millis(50),
            attempts: 1,
        };
        let calls = CallAutomation::new(settings, metrics.clone()).unwrap();
        let connection = crate::ids::ForeignId::new("a").unwrap();
        let hit = r#"tonegate_limit_hits_total{limit="call_automation"}"#;
        let all = calls.turns.places.available_permits();
        let places = calls.turns.places.try_acquire_many(all as u32).unwrap();
        let failure = calls.hang_up(&connection).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Timeout);
        assert!(metrics.render().contains(&format!("{hit} 1")));
        drop(places);
        // A place, and no slot in time.
        let all = calls.turns.slots.available_permits();
        let slots = calls.turns.slots.try_acquire_many(all as u32).unwrap();
        let failure = calls.hang_up(&connection).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Timeout);
        assert!(metrics.render().contains(&format!("{hit} 2")));
        drop(slots);
        let failure = calls.hang_up(&connection).await.unwrap_err();
        assert_ne!(failure.detail, "too many other operations are under way");
        assert!(metrics.render().contains(&format!("{hit} 2")));
    }
}
