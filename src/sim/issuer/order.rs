//! An order for a token, as it comes in the body of `POST /mint`.
//!
//! Owns its form: `{"claims":{…},"header":{…},"algorithm":"RS256","expires_in":600}`, each member
//! optional. Refuses to know keys. Whoever orders is a person with curl or `tonegate token mint`,
//! therefore a mistake is answered with a sentence.

use super::mint::{Algorithm, KeyChoice, LIFETIME, Mint, merge, times};
use serde_json::{Map, Value, json};

/// A year: enough to be long expired, or long valid.
const EXPIRES_IN_MAX: i64 = 365 * 24 * 3600;

/// What may be ordered by name. A secret of one's own needs no issuer.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Ps256,
    Algorithm::Es256,
    Algorithm::EdDsa,
    Algorithm::None,
];

/// What is wrong with an order.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mistake {
    #[error("the order is not a JSON object")]
    Form,
    #[error("{0:?} is not a member of an order: claims, header, algorithm, expires_in")]
    Unknown(String),
    #[error("{0} is not an object")]
    NoObject(&'static str),
    #[error("algorithm is none of RS256, RS384, PS256, ES256, EdDSA, none")]
    Algorithm,
    #[error("expires_in is not a number of seconds within a year, before or after")]
    ExpiresIn,
}

/// Reads an order to an issuer at `base`. The claims are merged over `iss`, `iat`, `nbf` and
/// `exp`, as the header is over its own; null removes a member of either.
pub(super) fn read(body: &[u8], base: &str) -> Result<Mint, Mistake> {
    let order: Value = serde_json::from_slice(body).map_err(|_| Mistake::Form)?;
    let Value::Object(mut order) = order else {
        return Err(Mistake::Form);
    };
    let claims = object(&mut order, "claims")?;
    let header = object(&mut order, "header")?;
    let algorithm = match order.remove("algorithm") {
        None => Algorithm::Rs256,
        Some(name) => ALGORITHMS
            .into_iter()
            .find(|algorithm| name == algorithm.name())
            .ok_or(Mistake::Algorithm)?,
    };
    let expires_in = match order.remove("expires_in") {
        None => LIFETIME,
        Some(seconds) => seconds
            .as_i64()
            .filter(|seconds| (-EXPIRES_IN_MAX..=EXPIRES_IN_MAX).contains(seconds))
            .ok_or(Mistake::ExpiresIn)?,
    };
    if let Some((name, _)) = order.into_iter().next() {
        return Err(Mistake::Unknown(name.chars().take(64).collect()));
    }
    let mut all = times(expires_in);
    merge(&mut all, &json!({ "iss": base }));
    merge(&mut all, &claims);
    Ok(Mint {
        algorithm,
        claims: Value::Object(all),
        header,
        key: KeyChoice::Signing,
    })
}

fn object(order: &mut Map<String, Value>, name: &'static str) -> Result<Value, Mistake> {
    match order.remove(name) {
        None => Ok(json!({})),
        Some(value) if value.is_object() => Ok(value),
        Some(_) => Err(Mistake::NoObject(name)),
    }
}
