//! Routes by which another cloud hands calls over.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::Roots;

/// Digits of a code, as gates take them: fewer are guessed, more are no code that anybody dials.
pub const CODE_DIGITS: std::ops::RangeInclusive<u8> = 3..=24;

/// What a route of session keys does.
#[derive(Clone, Debug)]
pub struct SessionApi {
    /// Whether a token is good for one request.
    pub single_use: bool,
    /// From the issue of a token to its end, at the most.
    pub token_life: Duration,
    /// How long a session waits for its call where its writer does not say; and at the most.
    pub ttl: Duration,
    pub ttl_max: Duration,
    /// Digits of a code that the edge draws.
    pub digits: u8,
    /// Pauses before a code that is to be dialled.
    pub commas: u8,
    /// Who is told what becomes of sessions.
    pub webhook: Option<Webhook>,
}

/// A receiver of webhooks.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    pub host: String,
    pub port: u16,
    /// Path and query.
    pub target: String,
    /// `None`: plain text, on loopback only.
    pub roots: Option<Roots>,
    pub secret: WebhookSecret,
    /// One request, from its connection to its answer.
    pub timeout: Duration,
    /// Requests that one delivery may take, 1 at the least.
    pub attempts: u32,
}

/// Without its path and query, which may be a credential.
impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("target", &"***")
            .field("roots", &self.roots)
            .field("secret", &self.secret)
            .field("timeout", &self.timeout)
            .field("attempts", &self.attempts)
            .finish()
    }
}

/// What webhooks are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(pub Zeroizing<Vec<u8>>);

impl WebhookSecret {
    /// Takes `whsec_` and 24 to 64 bytes in base64, as the Standard Webhooks specification writes
    /// secrets.
    pub fn new(text: &str) -> Option<WebhookSecret> {
        let bytes = BASE64_STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
        let bytes = Zeroizing::new(bytes);
        (24..=64)
            .contains(&bytes.len())
            .then_some(WebhookSecret(bytes))
    }
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(***)")
    }
}
