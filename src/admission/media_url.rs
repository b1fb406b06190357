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
//! | `binding` | what binds a call that the edge made to whoever had it made, 64 hexadecimal digits | the edge only |
//!
//! Other claims are ignored. Signatures are compared in constant time (aws-lc), against the secret
//! and the previous one.
//!
//! Not here: whether the call is known, which the store says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::Denied;
use crate::config::{CALL, CALL_SECRET, Calls};
use crate::error::Reason;
use crate::ids::{CallId, ForeignId, PhoneNumber};
use crate::label::Label;
use crate::secret::{Digest, Secret};

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
    /// What a call that the edge made is bound to.
    pub binding: Option<Digest>,
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
            binding: None,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    binding: Option<String>,
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
        let url = format!("{scheme}://{authority}{folder}/{call}?{CALL_SECRET}={token}");
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
            binding: signed.binding.as_ref().map(Digest::to_hex),
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
            binding: match claims.binding {
                Some(text) => Some(Digest::from_hex(&text).ok_or_else(broken)?),
                None => None,
            },
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::config::{KnownBy, Spend};

    const NOW: SystemTime = UNIX_EPOCH;
    const SECRET: &str = "a secret of media URLs, long enough";
    const HOUR: Duration = Duration::from_secs(3600);

    fn signer(secrets: &[&str]) -> Signer {
        let secrets = secrets.iter().map(|text| Secret::new((*text).to_owned()));
        Signer::new(&Calls {
            secrets: secrets.collect(),
            known_by: KnownBy::Url,
            spend: Spend::Token,
            resume: Duration::ZERO,
        })
        .unwrap()
    }

    fn full() -> Signed {
        Signed {
            call: CallId::new("7f0c").unwrap(),
            route: Label::new("phone"),
            ani: PhoneNumber::new("+15551234567"),
            sip: ForeignId::new("abc-xyz-123"),
            connection: ForeignId::new("08002580-0000-0000-0000-000000000001"),
            binding: Some(Digest::of("whoever had it made")),
        }
    }

    fn good() -> Value {
        json!({"aud": AUDIENCE, "call": "7f0c", "exp": 3600})
    }

    /// A token with this header and these claims, signed well with the secret.
    fn signed(header: &Value, claims: &str, algorithm: hmac::Algorithm) -> Secret {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let text = format!(
            "{}.{}",
            part(header.to_string().as_bytes()),
            part(claims.as_bytes())
        );
        let key = hmac::Key::new(algorithm, SECRET.as_bytes());
        let tag = hmac::sign(&key, text.as_bytes());
        Secret::new(format!("{text}.{}", part(tag.as_ref())))
    }

    fn claims(claims: &Value) -> Secret {
        let header = json!({"alg": "HS256"});
        signed(&header, &claims.to_string(), hmac::HMAC_SHA256)
    }

    fn refused(token: &Secret, now: SystemTime) -> bool {
        let verified = signer(&[SECRET]).verify(token, now);
        let unauthenticated = |denied: &Denied| denied.reason == Reason::Unauthenticated;
        verified.as_ref().err().is_some_and(unauthenticated)
    }

    #[test]
    fn a43_what_was_signed_is_what_is_read_until_it_ends() {
        let signer = signer(&[SECRET]);
        for said in [full(), Signed::of(CallId::new("a_b-1").unwrap())] {
            let token = signer.token(&said, NOW, HOUR).unwrap();
            let last = NOW + Duration::from_secs(3599);
            assert_eq!(signer.verify(&token, NOW), Ok(said.clone()));
            assert_eq!(signer.verify(&token, last), Ok(said));
            assert!(refused(&token, NOW + HOUR));
        }
        // Made elsewhere, with claims of its own.
        let mut foreign = good();
        foreign["iat"] = json!(0);
        foreign["iss"] = json!("another cloud");
        let read = signer.verify(&claims(&foreign), NOW);
        assert_eq!(read, Ok(Signed::of(CallId::new("7f0c").unwrap())));
    }

    #[test]
    fn a43_the_previous_secret_verifies_and_never_signs() {
        let old = signer(&["the secret that was before this one"]);
        let both = signer(&[SECRET, "the secret that was before this one"]);
        let by_old = old.token(&full(), NOW, HOUR).unwrap();
        let by_both = both.token(&full(), NOW, HOUR).unwrap();
        assert_eq!(both.verify(&by_old, NOW), Ok(full()));
        assert_eq!(signer(&[SECRET]).verify(&by_both, NOW), Ok(full()));
        assert!(refused(&by_old, NOW));
        assert!(old.verify(&by_both, NOW).is_err());
    }

    #[test]
    fn s08_nothing_else_that_the_secret_signs_is_a_calls_secret() {
        assert!(!refused(&claims(&good()), NOW));
        let with = |name: &str, value: Value| {
            let mut claims = good();
            claims[name] = value;
            claims
        };
        let bad = [
            with("aud", json!("tonegate:ticket")),
            with("aud", json!("tonegate:media-url ")),
            with("aud", json!([AUDIENCE, "x"])),
            with("aud", json!([])),
            with("aud", json!(null)),
            with("call", json!("")),
            with("call", json!("a/b")),
            with("call", json!("a:b")),
            with("call", json!(7)),
            with("call", json!(null)),
            with("exp", json!("3600")),
            with("exp", json!(3600.5)),
            with("exp", json!(-1)),
            with("exp", json!(0)),
            with("exp", json!(null)),
            with("nbf", json!(1)),
            with("nbf", json!("0")),
            with("ani", json!("15551234567")),
            with("ani", json!("+1555:823")),
            with("ani", json!("")),
            with("sip", json!("a:b")),
            with("connection", json!("*")),
            with("route", json!("a b")),
            json!([]),
            json!("7f0c"),
        ];
        for bad in bad {
            assert!(refused(&claims(&bad), NOW), "{bad}");
        }
        let twice = good().to_string().replacen('{', "{\"call\":\"other\",", 1);
        let hs256 = json!({"alg": "HS256"});
        assert!(refused(&signed(&hs256, &twice, hmac::HMAC_SHA256), NOW));
        for missing in ["aud", "call", "exp"] {
            let mut without = good();
            without.as_object_mut().unwrap().remove(missing);
            assert!(refused(&claims(&without), NOW), "{missing}");
        }
    }

    #[test]
    fn s08_the_algorithm_is_ours_and_not_the_tokens_choice() {
        let text = good().to_string();
        for (algorithm, by) in [
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
            ("none", hmac::HMAC_SHA256),
            ("RS256", hmac::HMAC_SHA256),
            ("hs256", hmac::HMAC_SHA256),
        ] {
            let header = json!({ "alg": algorithm });
            assert!(refused(&signed(&header, &text, by), NOW), "{algorithm}");
        }
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let unsigned = format!("{}.{}.", part("{\"alg\":\"none\"}"), part(&text));
        assert!(refused(&Secret::new(unsigned), NOW));
    }

    #[test]
    fn a43_a_token_that_was_touched_anywhere_is_none() {
        let token = signer(&[SECRET]).token(&full(), NOW, HOUR).unwrap();
        let text = token.expose();
        let mut touched = 0;
        for at in 0..text.len() {
            for other in ['A', 'B', '.', '-', '='] {
                let mut changed: Vec<char> = text.chars().collect();
                if changed[at] == other {
                    continue;
                }
                changed[at] = other;
                let changed: String = changed.into_iter().collect();
                assert!(refused(&Secret::new(changed), NOW), "{at} {other}");
                touched += 1;
            }
        }
        assert!(touched > 1000);
        for other in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            format!("{text}."),
            format!("{text}A"),
            format!(" {text}"),
            text[..text.len() - 1].to_owned(),
            format!("{text}{}", "A".repeat(TOKEN_MAX)),
        ] {
            assert!(refused(&Secret::new(other), NOW));
        }
        // A number in it is another one: what was signed is not any more.
        let parts: Vec<&str> = text.split('.').collect();
        let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
        let claims = String::from_utf8(claims).unwrap();
        let tampered = claims.replace("+15551234567", "+15551234568");
        assert_ne!(claims, tampered);
        let tampered = URL_SAFE_NO_PAD.encode(tampered);
        let tampered = format!("{}.{tampered}.{}", parts[0], parts[2]);
        assert!(refused(&Secret::new(tampered), NOW));
    }

    #[test]
    fn a43_the_url_is_the_routes_path_with_the_call_and_its_secret() {
        let signer = signer(&[SECRET]);
        let url = |base: &str, path: &str, life| {
            let url = signer.url(base, path, &full(), NOW, life);
            url.map(|url| url.expose().to_owned())
        };
        let path = "/acs/media/{call}";
        let made = url("wss://edge.example.com:8443", path, HOUR).unwrap();
        let (front, token) = made.split_once("?s=").unwrap();
        assert_eq!(front, "wss://edge.example.com:8443/acs/media/7f0c");
        let token = Secret::new(token.to_owned());
        assert_eq!(signer.verify(&token, NOW), Ok(full()));
        for base in [
            "https://edge.example.com",
            "edge.example.com",
            "wss://edge.example.com/path",
            "wss://edge.example.com?x=1",
            "wss://user@edge.example.com",
            "wss://edge.example.com/#x",
            "wss://",
            "",
        ] {
            assert_eq!(url(base, path, HOUR), Err(Unsigned::Base), "{base}");
        }
        let base = "wss://edge.example.com";
        assert_eq!(url(base, "/acs/media", HOUR), Err(Unsigned::Path));
        let day = Duration::from_secs(24 * 3600);
        assert!(url(base, path, day).is_ok());
        let more = day + Duration::from_secs(1);
        for life in [Duration::ZERO, more] {
            assert_eq!(url(base, path, life), Err(Unsigned::Life));
        }
    }
}
