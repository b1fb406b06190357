//! Whether an answer is the `101` that was asked for, and what it means if not.

use std::time::SystemTime;

use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;

use super::Failure;
use super::again::retry_after;
use crate::error::Reason;
use crate::ws::handshake;

/// An answer other than a correct `101` is a failure.
pub(super) fn judge(
    response: &Response<Incoming>,
    key: &HeaderValue,
    subprotocol: Option<&str>,
) -> Result<(), Failure> {
    let status = response.status();
    let (reason, detail) = match status {
        StatusCode::SWITCHING_PROTOCOLS => {
            return handshake::verify(response, key, subprotocol).map_err(|_| {
                Failure::new(
                    Reason::UpstreamRefused,
                    "its 101 does not answer our request",
                )
            });
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            (Reason::UpstreamUnauthorized, "it refused the credential")
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            (Reason::UpstreamBusy, "it is at capacity")
        }
        StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => {
            (Reason::UpstreamTimeout, "it ran out of time itself")
        }
        _ => (
            Reason::UpstreamRefused,
            "it answered something else than 101",
        ),
    };
    Err(Failure {
        reason,
        detail,
        status: Some(status),
        by_token: false,
        retry_after: (reason == Reason::UpstreamBusy)
            .then(|| response.headers().get(header::RETRY_AFTER))
            .flatten()
            .and_then(|value| retry_after(value, SystemTime::now())),
    })
}
