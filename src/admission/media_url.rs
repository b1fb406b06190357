//! Signed media URLs: what ACS is told to dial for one call, and nobody can make up.
//!
//! `wss://edge.example.com/acs/media/7f0c?s=TOKEN`, where `TOKEN` is a compact JWS (RFC 7515) with
//! HS256 over JSON claims, so that whoever answers calls can make one with any JWT library:
//!
//! | claim | what | |
//! | --- | --- | --- |
//! | `aud` | `tonegate:media-url`, one text: nothing else that is signed with the secret fits | must |
//! | `call` | the call's id, as it stands in the path | must |
//! | `exp` | seconds since 1970; the secret is needed at the upgrade only, and lives as long as a call | must |
//! | `route` | the route that it is for | may |
//! | `ani` | the caller's number, E.164 with `+` | may |
//! | `sip` | the id in the call's SIP headers | may |
//! | `connection` | ACS' connection id, which the upgrade must then name | may |
//!
//! Other claims are ignored. Signatures are compared in constant time (aws-lc), against the secret
//! and the previous one.
//!
//! Not here: whether the call is known, which the store says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::Denied;
use crate::config::{CALL, Calls};
use crate::error::Reason;
use crate::ids::{CallId, ForeignId, PhoneNumber};
use crate::label::Label;
use crate::secret::Secret;

/// The parameter of the query that holds the token.
pub const PARAMETER: &str = "s";
const AUDIENCE: &str = "tonegate:media-url";
/// Longest token: a few hundred bytes are used, and other people's claims have room.
const TOKEN_MAX: usize = 4096;
/// Longest life of a URL. A day of ringing and waiting is no call any more.
pub const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a media URL is signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub call: CallId,
    /// The route that it is for; `None`: any that has calls.
    pub route: Option<Label>,
    /// The caller's number.
    pub ani: Option<PhoneNumber>,
    /// The id in the call's SIP headers.
    pub sip: Option<ForeignId>,
    /// ACS' connection id.
    pub connection: Option<ForeignId>,
}

impl Signed {
    /// For a call of which nothing else is known.
    pub fn of(call: CallId) -> Signed {
        Signed {
            call,
            route: None,
            ani: None,
            sip: None,
            connection: None,
        }
    }
}

/// Why there is no URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    #[error("the base must be wss://host[:port] or ws://host[:port], without a path")]
    Base,
    #[error("the path must end in /{{call}}")]
    Path,
    #[error("a media URL lives for more than 0 and at most 24 hours")]
    Life,
    #[error("the claims cannot be signed")]
    Claims,
}

/// Signs and verifies with the secrets of the settings.
pub struct Signer {
    sign: EncodingKey,
    /// The secret, then the previous one.
    verify: Vec<DecodingKey>,
    validation: Validation,
}

/// As they stand in the token.
#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    call: String,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ani: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
}

impl Signer {
    /// `None` where there is no secret to sign with.
    pub fn new(calls: &Calls) -> Option<Signer> {
        let bytes = |secret: &Secret| secret.expose().as_bytes().to_vec();
        let secrets: Vec<Vec<u8>> = calls.secrets.iter().map(bytes).collect();
        let mut validation = Validation::new(Algorithm::HS256);
        // The times are judged here, by the clock that is given.
        validation.set_required_spec_claims(&["aud"]);
        validation.validate_exp = false;
        validation.set_audience(&[AUDIENCE]);
        Some(Signer {
            sign: EncodingKey::from_secret(secrets.first()?),
            verify: secrets
                .iter()
                .map(|secret| DecodingKey::from_secret(secret))
                .collect(),
            validation,
        })
    }

    /// The URL that ACS is to dial: `base` is a scheme and an authority, `path` one of the route's,
    /// with `{call}` in it. It ends `life` after `now`. Whoever has it may stream the call's audio,
    /// if ACS lets them; it is a secret.
    pub fn url(
        &self,
        base: &str,
        path: &str,
        signed: &Signed,
        now: SystemTime,
        life: Duration,
    ) -> Result<Secret, Unsigned> {
        let folder = path.strip_suffix(CALL).ok_or(Unsigned::Path)?;
        let uri: http::Uri = base.parse().map_err(|_| Unsigned::Base)?;
        let scheme = uri.scheme_str().unwrap_or_default();
        let bare = uri.path() == "/" && uri.query().is_none() && !base.contains(['@', '#']);
        let authority = uri.authority().filter(|_| bare).ok_or(Unsigned::Base)?;
        if !["ws", "wss"].contains(&scheme) {
            return Err(Unsigned::Base);
        }
        let token = self.token(signed, now, life)?;
        let (call, token) = (&signed.call, token.expose());
        let url = format!("{scheme}://{authority}{folder}/{call}?{PARAMETER}={token}");
        Ok(Secret::new(url))
    }

    /// The token alone.
    pub fn token(
        &self,
        signed: &Signed,
        now: SystemTime,
        life: Duration,
    ) -> Result<Secret, Unsigned> {
        if life.is_zero() || life > LIFE_MAX {
            return Err(Unsigned::Life);
        }
        let text = |id: &ForeignId| id.as_str().to_owned();
        let claims = Claims {
            aud: AUDIENCE.to_owned(),
            call: signed.call.as_str().to_owned(),
            exp: seconds(now).saturating_add(life.as_secs()),
            nbf: None,
            route: signed.route.as_ref().map(|route| route.as_str().to_owned()),
            ani: signed.ani.as_ref().map(|ani| ani.expose().to_owned()),
            sip: signed.sip.as_ref().map(text),
            connection: signed.connection.as_ref().map(text),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.sign);
        token.map(Secret::new).map_err(|_| Unsigned::Claims)
    }

    /// What `token` was signed for, if it was signed by us, for this, and has not ended.
    pub fn verify(&self, token: &Secret, now: SystemTime) -> Result<Signed, Denied> {
        let text = token.expose();
        if text.len() > TOKEN_MAX {
            return Err(invalid("the call's secret is too long"));
        }
        // Each key is tried: that the first one fails says nothing that the outcome does not.
        let claims = self
            .verify
            .iter()
            .find_map(|key| jsonwebtoken::decode::<Claims>(text, key, &self.validation).ok())
            .map(|token| token.claims)
            .ok_or(invalid(
                "the call's secret is not one that this edge has signed",
            ))?;
        if claims.exp <= seconds(now) {
            return Err(invalid("the call's secret has expired"));
        }
        if claims.nbf.is_some_and(|nbf| nbf > seconds(now)) {
            return Err(invalid("the call's secret is not valid yet"));
        }
        let broken = || invalid("the call's secret holds what is no id, no name or no number");
        let id = |text: Option<String>| match text {
            Some(text) => ForeignId::new(&text).map(Some).ok_or_else(broken),
            None => Ok(None),
        };
        Ok(Signed {
            call: CallId::new(&claims.call).ok_or_else(broken)?,
            route: match claims.route {
                Some(name) => Some(Label::new(&name).ok_or_else(broken)?),
                None => None,
            },
            ani: match claims.ani {
                Some(number) => Some(PhoneNumber::new(&number).ok_or_else(broken)?),
                None => None,
            },
            sip: id(claims.sip)?,
            connection: id(claims.connection)?,
        })
    }
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn invalid(detail: &'static str) -> Denied {
    Denied::new(Reason::Unauthenticated, detail)
}
