//! Who asks: an access key that signs each request, or a token of Entra's.
//!
//! Owns the verification of both, exactly. Refuses to know what is asked for. It shares no signing
//! and no token library with the product.

use super::date;
use crate::sim::issuer::provider::Provider;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::{digest, hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, Method};
use serde_json::Value;
use std::sync::Arc;
use std::time::SystemTime;

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
        let (input, signature) = token.rsplit_once('.').ok_or("the token is no JWS")?;
        let (header, claims) = input.split_once('.').ok_or("the token is no JWS")?;
        let (header, claims) = (part(header)?, part(claims)?);
        if header["alg"] != "RS256" {
            return Err("the token's algorithm is not RS256");
        }
        let keys = self.provider.keys_document();
        let keys = keys["keys"].as_array().into_iter().flatten();
        let mut keys = keys.filter(|key| key["kid"] == header["kid"] && key["kty"] == "RSA");
        let key = keys.next().ok_or("the token's key is not published")?;
        let number = |name: &str| {
            let text = key[name].as_str().unwrap_or_default();
            URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
        };
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| "the token is no JWS")?;
        let key = PublicKeyComponents {
            n: number("n"),
            e: number("e"),
        };
        key.verify(
            &signature::RSA_PKCS1_2048_8192_SHA256,
            input.as_bytes(),
            &signature,
        )
        .map_err(|_| "the token's signature is wrong")?;
        self.judge(&claims)
    }

    fn judge(&self, claims: &Value) -> Result<(), &'static str> {
        let second = format!("{}/{}/v2.0", self.provider.base(), self.tenant);
        let first = format!("https://sts.windows.net/{}/", self.tenant);
        let issuer = claims["iss"].as_str().unwrap_or_default();
        if issuer != first && issuer != second {
            return Err("the token is of another issuer");
        }
        // Entra repeats the resource as it was asked for, with or without its slash.
        let audience = claims["aud"].as_str().unwrap_or_default();
        if audience != AUDIENCE && audience != AUDIENCE.trim_end_matches('/') {
            return Err("the token is for another audience");
        }
        let time = |name: &str| claims[name].as_i64().ok_or("the token has no times");
        let now = now();
        if time("exp")? <= now || time("nbf")? > now {
            return Err("the token is not good now");
        }
        Ok(())
    }
}

fn part(text: &str) -> Result<Value, &'static str> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let value = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    value.ok_or("the token is no JWS")
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
