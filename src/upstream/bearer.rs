//! A request with a token for the edge itself, and once more with another where that was refused.

use http::{HeaderValue, StatusCode};
use tokio::time::{Instant as Deadline, timeout_at};

use super::fetch::{Answer, Failed};
use super::identity::Identity;

/// Why there was no answer.
pub(super) enum Lost {
    /// There is no token to ask with.
    NoToken,
    Failed(Failed),
}

/// Sends by `until` with a token in its header. A second refusal stays: a service that refuses whatever
/// it is shown is not asked without end, nor is the platform, which the identity sees to.
///
/// `exchange` is no `AsyncFn`: what those return is not known to be `Send`, and callers spawn.
pub(super) async fn send<F: Future<Output = Result<Answer, Failed>>>(
    identity: &Identity,
    until: Deadline,
    exchange: impl Fn(HeaderValue) -> F,
) -> Result<Answer, Lost> {
    let token = timeout_at(until, identity.token()).await;
    let token = token.ok().and_then(Result::ok).ok_or(Lost::NoToken)?;
    let answer = exchange(token.header.clone()).await.map_err(Lost::Failed)?;
    if answer.status != StatusCode::UNAUTHORIZED {
        return Ok(answer);
    }
    let another = timeout_at(until, identity.after(token.number)).await;
    match another.ok().flatten() {
        // Platforms keep tokens themselves and may give the same one again.
        Some(another) if another.header != token.header => {
            exchange(another.header).await.map_err(Lost::Failed)
        }
        Some(_) | None => Ok(answer),
    }
}
