//! Access tokens of the simulated Entra, as a service verifies them.
//!
//! Owns signature, issuer, audience and times. Refuses to know what a service lets whom do. It shares
//! no token library with the product.

use super::issuer::provider::Provider;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::time::SystemTime;

/// The claims of a token that `provider` signed, for `tenant` and one of these audiences.
pub(super) fn verify(
    provider: &Provider,
    tenant: &str,
    audiences: &[&str],
    token: &str,
) -> Result<Value, &'static str> {
    let (input, signature) = token.rsplit_once('.').ok_or("the token is no JWS")?;
    let (header, claims) = input.split_once('.').ok_or("the token is no JWS")?;
    let (header, claims) = (part(header)?, part(claims)?);
    if header["alg"] != "RS256" {
        return Err("the token's algorithm is not RS256");
    }
    let keys = provider.keys_document();
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
    judge(&claims, provider, tenant, audiences)?;
    Ok(claims)
}

fn judge(
    claims: &Value,
    provider: &Provider,
    tenant: &str,
    audiences: &[&str],
) -> Result<(), &'static str> {
    let second = format!("{}/{tenant}/v2.0", provider.base());
    let first = format!("https://sts.windows.net/{tenant}/");
    let issuer = claims["iss"].as_str().unwrap_or_default();
    if issuer != first && issuer != second {
        return Err("the token is of another issuer");
    }
    let audience = claims["aud"].as_str().unwrap_or_default();
    if !audiences.contains(&audience) {
        return Err("the token is for another audience");
    }
    let time = |name: &str| claims[name].as_i64().ok_or("the token has no times");
    let now = now();
    if time("exp")? <= now || time("nbf")? > now {
        return Err("the token is not good now");
    }
    Ok(())
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
