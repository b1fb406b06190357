//! A refusal before the `101`: its status and its problem document (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::admission::Denied;
use crate::error::Reason;
use crate::telephony::Refused;
use crate::upstream::Failure;
use crate::ws::frame;

/// When to ask again if nobody knows better.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A refusal on its way out.
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) status: StatusCode,
    pub(super) detail: &'static str,
    /// When asking again may help, if that is known better than by its reason.
    pub(super) retry_after: Option<Duration>,
    /// What is wrong with a token (RFC 6750, section 3.1).
    pub(super) challenge: Option<&'static str>,
    /// What is behind the reason, in a word.
    pub(super) why: Option<&'static str>,
    /// What may be asked instead, where the method is what was wrong.
    pub(super) allow: Cow<'static, str>,
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Refusal {
        let refusal = Refusal::new(denied.reason, denied.detail);
        Refusal {
            retry_after: denied.retry_after,
            challenge: denied.challenge,
            status: denied.status.unwrap_or(refusal.status),
            ..refusal
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        let refusal = Refusal::new(refused.reason, refused.detail);
        Refusal {
            status: refused.status.unwrap_or(refusal.status),
            ..refusal
        }
    }
}

/// The upstream's failure, as the client is told it.
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        let refusal = Refusal::new(failure.reason, failure.reason.row().title);
        match failure.status {
            // It was the caller's own token: its refusal is the caller's to mend.
            Some(status) if failure.by_token => Refusal {
                status,
                detail: "the upstream refused the caller's token",
                ..refusal
            },
            Some(_) | None => Refusal {
                retry_after: failure.retry_after,
                ..refusal
            },
        }
    }
}

impl Refusal {
    pub(super) fn new(reason: Reason, detail: &'static str) -> Refusal {
        let status = reason.row().status.unwrap_or(500);
        Refusal {
            reason,
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            detail,
            retry_after: None,
            challenge: None,
            why: None,
            allow: Cow::Borrowed("GET"),
        }
    }

    /// A refusal of a request that is no good upgrade: the status says more than the reason.
    pub(super) fn with_status(status: StatusCode, detail: &'static str) -> Refusal {
        Refusal {
            status,
            ..Refusal::new(Reason::BadRequest, detail)
        }
    }

    /// The code that a client is told where it is refused by a close frame (DESIGN: `refuse`).
    pub(super) fn close_code(&self) -> u16 {
        let mends = self.status.is_client_error() && self.reason != Reason::RateLimited;
        match self.reason.row().close {
            Some(code) if !(self.reason == Reason::UpstreamUnauthorized && mends) => code,
            // Nothing is gained by the same request once more.
            Some(_) | None => 1008,
        }
    }
}

/// The answer that tells a refusal.
pub(super) fn problem(refusal: &Refusal) -> Response<Full<Bytes>> {
    let mut document = serde_json::json!({
        "type": "about:blank",
        "title": refusal.reason.row().title,
        "status": refusal.status.as_u16(),
        "reason": refusal.reason.word(),
        "detail": refusal.detail,
    });
    if let Some(why) = refusal.why {
        document["why"] = why.into();
    }
    let mut response = Response::new(Full::from(format!("{document}\n")));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    match refusal.status {
        StatusCode::UPGRADE_REQUIRED => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static("13"),
            );
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            headers
                .extend(HeaderValue::try_from(&*refusal.allow).map(|allow| (header::ALLOW, allow)));
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let realm = "Bearer realm=\"tonegate\"";
            let challenge = match refusal.challenge {
                Some(error) => Some(format!("{realm}, {error}")),
                None => (refusal.status == StatusCode::UNAUTHORIZED).then(|| realm.to_owned()),
            };
            if let Some(Ok(value)) = challenge.map(HeaderValue::try_from) {
                headers.insert(header::WWW_AUTHENTICATE, value);
            }
        }
        _ => {}
    }
    if refusal.reason.is_later() {
        // Whole seconds, and not a moment too early.
        let wait = refusal.retry_after.unwrap_or(RETRY_AFTER);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

/// A refusal as the old proxy told it: one error message, then a close frame. Browsers show their
/// scripts no status, and try again what closed without a code.
pub(super) fn frames(refusal: &Refusal) -> Vec<u8> {
    let error = serde_json::json!({"type": "error", "error": {"message": refusal.detail}});
    let mut frames = frame::short_text(&error.to_string());
    let mut payload = [0; frame::CONTROL_PAYLOAD_MAX];
    let length = frame::Close::write(refusal.close_code(), refusal.reason.word(), &mut payload);
    let close = frame::control(frame::OpCode::Close, &payload[..length], None);
    frames.extend_from_slice(close.as_bytes());
    frames
}

/// A refusal as it goes onto the wire where hyper has no part in it.
pub(super) fn raw(response: Response<Full<Bytes>>) -> Vec<u8> {
    let (parts, body) = response.into_parts();
    let body = body.into_inner().unwrap_or_default();
    let mut text = format!(
        "HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: {}\r\n",
        parts.status,
        body.len()
    )
    .into_bytes();
    for (name, value) in &parts.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&body);
    text
}
