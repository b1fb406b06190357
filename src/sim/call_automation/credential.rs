//! Who asks: an access key that signs each request, or a token of Entra's.
//!
//! Owns the verification of both, exactly. Refuses to know what is asked for. It shares no signing
//! and no token library with the product.

use super::date;
use crate::sim::issuer::provider::Provider;
use crate::sim::token::{self, now};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method};
use std::sync::Arc;

/// How far `x-ms-date` may be from our clock. Arbitrary: Microsoft tells no number for ACS.
const WINDOW_SECONDS: i64 = 300;

/// What goes into the string to sign besides method and target.
const SIGNED: &str = "x-ms-date;host;x-ms-content-sha256";

/// Who is let in.
#[derive(Clone, Default)]
pub struct Trust {
    /// The resource's access key, base64.
    pub key: Option<String>,
    /// Tokens that are good as they are, such as [`crate::sim::platform`] gives.
    pub tokens: Vec<String>,
    /// Whose tokens are good by their signature.
    pub issuer: Option<Entra>,
}

/// An issuer of access tokens for ACS.
#[derive(Clone)]
pub struct Entra {
    /// The simulated issuer.
    pub provider: Arc<Provider>,
    /// The tenant.
    pub tenant: String,
}

/// What tokens for ACS are made out to: the scope is `https://communication.azure.com//.default`,
/// with two slashes, since the audience ends in one.
pub const AUDIENCE: &str = "https://communication.azure.com/";

/// Which credential was good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A signature with the access key.
    Key,
    /// A token of Entra's.
    Token,
}

/// A request as its credential covers it.
pub(super) struct Covered<'a> {
    pub(super) method: &'a Method,
    /// Path and query as they were sent.
    pub(super) target: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// Whether the connection has TLS.
    pub(super) tls: bool,
}

/// The value of a header that stands once.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

impl Trust {
    /// Who it is, or why it is nobody.
    pub(super) fn verify(&self, request: &Covered<'_>) -> Result<Shown, &'static str> {
        let shown = one(request.headers, "authorization").ok_or("one Authorization is needed")?;
        if let Some(rest) = shown.strip_prefix("HMAC-SHA256 ") {
            let key = self.key.as_deref().ok_or("keys are not taken here")?;
            return signed(key, rest, request).map(|()| Shown::Key);
        }
        let token = shown
            .strip_prefix("Bearer ")
            .ok_or("neither HMAC-SHA256 nor Bearer")?;
        if !request.tls {
            return Err("a token was sent over plain text");
        }
        if self.tokens.iter().any(|good| good == token) {
            return Ok(Shown::Token);
        }
        let issuer = self.issuer.as_ref().ok_or("not a token that is known")?;
        issuer.verify(token).map(|()| Shown::Token)
    }
}

/// Microsoft's "Sign an HTTP request" for ACS.
fn signed(key: &str, parameters: &str, request: &Covered<'_>) -> Result<(), &'static str> {
    let signature = parameters
        .strip_prefix("SignedHeaders=")
        .and_then(|rest| rest.strip_prefix(SIGNED))
        .and_then(|rest| rest.strip_prefix("&Signature="))
        .ok_or("other headers are signed, or in another order")?;
    let signature = STANDARD
        .decode(signature)
        .map_err(|_| "the signature is no base64")?;
    let date = one(request.headers, "x-ms-date").ok_or("one x-ms-date is needed")?;
    let at = date::read(date).ok_or("x-ms-date has another form")?;
    if now().abs_diff(at) > WINDOW_SECONDS.unsigned_abs() {
        return Err("x-ms-date is too far from now");
    }
    let told = one(request.headers, "x-ms-content-sha256").ok_or("one content hash is needed")?;
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, request.body));
    if told != hash {
        return Err("the content hash is another body's");
    }
    let host = one(request.headers, "host").ok_or("one Host is needed")?;
    let text = format!(
        "{}\n{}\n{date};{host};{hash}",
        request.method, request.target
    );
    let key = STANDARD
        .decode(key)
        .map_err(|_| "the simulator's own key is no base64")?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    hmac::verify(&key, text.as_bytes(), &signature).map_err(|_| "the signature is wrong")
}

impl Entra {
    fn verify(&self, token: &str) -> Result<(), &'static str> {
        // Entra repeats the resource as it was asked for, with or without its slash.
        let audiences = [AUDIENCE, AUDIENCE.trim_end_matches('/')];
        token::verify(&self.provider, &self.tenant, &audiences, token).map(drop)
    }
}
