//! The edge's signed word to a private app: who asks, what for, and of which body.
//!
//! A compact JWS (RFC 7515) that the app verifies by itself, with keys that the edge publishes as a
//! set (RFC 7517): a header that says who somebody is could be anybody's. It lives for a minute, it
//! is for one app, and where there is a body its digest is in it, so that whoever captures one cannot
//! say anything else with it.
//!
//! | claim | what | |
//! | --- | --- | --- |
//! | `iss`, `aud` | the edge, and the one app | always |
//! | `iat`, `nbf`, `exp`, `jti` | times, and a random GUID | always |
//! | `route` | the route that was taken | always |
//! | `sub` | whom the verified credential names | always |
//! | `oid`, `tid` | the person and the tenant in Entra | where known |
//! | `roles` | what they are | always, or empty |
//! | `person` | who they are to the customer, by its own mapping | where there is one |
//! | `scope` | ids of those whom they may see, a list, themselves among them: `oid`s, or by that mapping | where the route asks for it |
//! | `conversation`, `channel` | of a bot's activity | where there is one |
//! | `bsh` | SHA-256 of the body, base64url | where there is a body |
//!
//! Keys are read once, and signed with by aws-lc: a JWT library would parse one for each signature.
//! That libraries verify what comes of it is tested.
//!
//! Not here: who may do what, and on which path the keys are published.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;

use super::Unusable;
use crate::config;
use crate::ids::{EntraId, random_guid};
use crate::label::Label;
use crate::secret::Secret;

/// What is asserted of one request.
#[derive(Clone, Copy)]
pub struct Claims<'a> {
    /// The app that it is for.
    pub audience: &'a str,
    pub route: &'a Label,
    /// Whom the verified credential names.
    pub subject: &'a str,
    pub oid: Option<&'a EntraId>,
    pub tenant: Option<&'a EntraId>,
    pub roles: &'a [&'a str],
    /// Who they are where ids are compared, if that is not Entra's id.
    pub person: Option<&'a str>,
    /// Ids of those whom they may see; `None`: that is for the app to decide.
    pub scope: Option<&'a BTreeSet<String>>,
    pub conversation: Option<&'a str>,
    pub channel: Option<&'a str>,
    /// All of it, as it goes to the app; `None` where there is none or it is not known beforehand.
    pub body: Option<&'a [u8]>,
}

/// Who it is, whom they may see and what they send is for the app alone.
impl fmt::Debug for Claims<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("audience", &self.audience)
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

/// Why nothing is asserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    #[error("the assertion would be longer than a header may be")]
    TooLong,
    #[error("the key does not sign")]
    Key,
}

/// A key by its place in the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nth(usize);

impl fmt::Display for Nth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "assertion.keys.{}", self.0)
    }
}

/// Longest assertion: 8 KiB is what the strictest of usual servers take as one header line (nginx,
/// Apache), and its name stands in that line, too. Some 130 ids in `scope` fit.
const TOKEN_MAX: usize = 8000;
/// It is good from so long before it is signed: the app's clock may be behind ours, and many
/// libraries forgive nothing. Entra's tokens begin five minutes early.
const EARLY: Duration = Duration::from_secs(5);

/// Signs with the first of the keys in the settings, and publishes all of them.
pub struct Assertions {
    issuer: String,
    life: Duration,
    signs: Key,
    jwks: Bytes,
}

impl Assertions {
    /// Reads the keys.
    pub fn new(settings: config::Assertion) -> Result<Assertions, Unusable> {
        let mut keys: Vec<Key> = Vec::new();
        for (i, pem) in settings.keys.iter().enumerate() {
            let key = Key::read(pem).ok_or(Unusable::Key(Nth(i)))?;
            if keys.iter().any(|other| other.kid == key.kid) {
                return Err(Unusable::SameKey(Nth(i)));
            }
            keys.push(key);
        }
        let shown = KeySet {
            keys: keys.iter().map(Key::shown).collect(),
        };
        let jwks = serde_json::to_vec(&shown).expect("texts can be written as JSON");
        let signs = keys.into_iter().next().ok_or(Unusable::Key(Nth(0)))?;
        Ok(Assertions {
            issuer: settings.issuer,
            life: settings.life,
            signs,
            jwks: jwks.into(),
        })
    }

    /// Signs with a key that was made just now and is never kept, whatever keys the settings have.
    pub fn with_a_key_of_its_own(settings: config::Assertion) -> Result<Assertions, Unusable> {
        let made = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let made = made.and_then(|pair| pair.to_pkcs8v1());
        let der = made.map_err(|_| Unusable::Key(Nth(0)))?;
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            BASE64_STANDARD.encode(der.as_ref())
        );
        Assertions::new(config::Assertion {
            keys: vec![Secret::new(pem)],
            ..settings
        })
    }

    /// The assertion, for a header.
    pub fn sign(&self, claims: &Claims<'_>, now: SystemTime) -> Result<Secret, Unsigned> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let begins = now.saturating_sub(EARLY).as_secs();
        let digest = |body: &[u8]| encode(digest::digest(&digest::SHA256, body));
        let payload = Payload {
            iss: &self.issuer,
            aud: claims.audience,
            iat: begins,
            nbf: begins,
            exp: (now + self.life).as_secs(),
            jti: random_guid(),
            route: claims.route.as_str(),
            sub: claims.subject,
            oid: claims.oid.map(EntraId::as_str),
            tid: claims.tenant.map(EntraId::as_str),
            roles: claims.roles,
            person: claims.person,
            scope: claims.scope,
            conversation: claims.conversation,
            channel: claims.channel,
            bsh: claims.body.map(digest),
        };
        let header = Header {
            alg: self.signs.pair.algorithm(),
            kid: &self.signs.kid,
            typ: "JWT",
        };
        let part = |json: serde_json::Result<Vec<u8>>| {
            let json = json.expect("texts and numbers can be written as JSON");
            encode(json)
        };
        let (header, payload) = (
            part(serde_json::to_vec(&header)),
            part(serde_json::to_vec(&payload)),
        );
        let input = format!("{header}.{payload}");
        let signature = self.signs.pair.sign(input.as_bytes());
        let token = Secret::new(format!("{input}.{}", signature.ok_or(Unsigned::Key)?));
        if token.expose().len() > TOKEN_MAX {
            return Err(Unsigned::TooLong);
        }
        Ok(token)
    }

    /// The public halves of all keys, a JSON Web Key Set.
    pub fn jwks(&self) -> Bytes {
        self.jwks.clone()
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    kid: &'a str,
    typ: &'static str,
}

#[derive(Serialize)]
struct Payload<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    nbf: u64,
    exp: u64,
    jti: String,
    route: &'a str,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    oid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<&'a str>,
    roles: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a BTreeSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bsh: Option<String>,
}

/// A private key and the name that it is published under.
struct Key {
    kid: String,
    public: Public,
    pair: Pair,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// The members that make a key what it is, in the order in which its name is made of them
/// (RFC 7638, section 3.2).
#[derive(Serialize)]
#[serde(untagged)]
enum Public {
    P256 {
        crv: &'static str,
        kty: &'static str,
        x: String,
        y: String,
    },
    Ed25519 {
        crv: &'static str,
        kty: &'static str,
        x: String,
    },
    Rsa {
        e: String,
        kty: &'static str,
        n: String,
    },
}

#[derive(Serialize)]
struct KeySet<'a> {
    keys: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    public: &'a Public,
    kid: &'a str,
    alg: &'static str,
    #[serde(rename = "use")]
    purpose: &'static str,
}

impl Key {
    /// One private key and nothing else that could be meant instead.
    fn read(pem: &Secret) -> Option<Key> {
        let mut all = PrivatePkcs8KeyDer::pem_slice_iter(pem.expose().as_bytes());
        let der = all.next()?.ok()?;
        if all.next().is_some() {
            return None;
        }
        let (pair, public) = Pair::read(der.secret_pkcs8_der())?;
        let members = serde_json::to_vec(&public).ok()?;
        Some(Key {
            kid: encode(digest::digest(&digest::SHA256, &members)),
            public,
            pair,
        })
    }

    fn shown(&self) -> Shown<'_> {
        Shown {
            public: &self.public,
            kid: &self.kid,
            alg: self.pair.algorithm(),
            purpose: "sig",
        }
    }
}

impl Pair {
    /// Which kind it is the key says itself: no other kind can be read of it.
    fn read(der: &[u8]) -> Option<(Pair, Public)> {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            // An uncompressed point: 4, then both coordinates (SEC 1, section 2.3.3).
            let (x, y) = pair.public_key().as_ref().get(1..)?.split_at_checked(32)?;
            let public = Public::P256 {
                crv: "P-256",
                kty: "EC",
                x: encode(x),
                y: encode(y),
            };
            return Some((Pair::P256(pair), public));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            let public = Public::Ed25519 {
                crv: "Ed25519",
                kty: "OKP",
                x: encode(pair.public_key()),
            };
            return Some((Pair::Ed25519(pair), public));
        }
        // aws-lc takes 2048 to 8192 bits.
        let pair = RsaKeyPair::from_pkcs8(der).ok()?;
        let of_key = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let public = Public::Rsa {
            e: encode(of_key.e),
            kty: "RSA",
            n: encode(of_key.n),
        };
        Some((Pair::Rsa(pair), public))
    }

    /// As RFC 7518, section 3.1, and RFC 8037 name it.
    fn algorithm(&self) -> &'static str {
        match self {
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
            Pair::Rsa(_) => "RS256",
        }
    }

    fn sign(&self, input: &[u8]) -> Option<String> {
        let random = SystemRandom::new();
        match self {
            Pair::P256(pair) => pair.sign(&random, input).ok().map(encode),
            Pair::Ed25519(pair) => pair.try_sign(input).ok().map(encode),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, &random, input, &mut signature);
                signed.ok().map(|()| encode(signature))
            }
        }
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING;
    use base64::prelude::BASE64_STANDARD;
    use jsonwebtoken::jwk::{JwkSet, ThumbprintHash};
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
    use serde_json::{Value, json};

    const APP: &str = "api://app";
    const EDGE: &str = "https://edge.example.com";
    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn pem(der: &[u8]) -> Secret {
        let text = BASE64_STANDARD.encode(der);
        Secret::new(format!(
            "-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
        ))
    }

    fn p256() -> Secret {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        pem(pair.to_pkcs8v1().unwrap().as_ref())
    }

    fn ed25519() -> Secret {
        let pair = Ed25519KeyPair::generate().unwrap();
        pem(pair.to_pkcs8().unwrap().as_ref())
    }

    fn rsa() -> Secret {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        pem(pair.as_der().unwrap().as_ref())
    }

    fn with(keys: &[&Secret]) -> Result<Assertions, Unusable> {
        Assertions::new(config::Assertion {
            keys: keys.iter().map(|&key| key.clone()).collect(),
            issuer: EDGE.to_owned(),
            life: Duration::from_secs(60),
        })
    }

    struct Said {
        route: Label,
        oid: EntraId,
        tenant: EntraId,
        team: BTreeSet<String>,
    }

    impl Said {
        fn new(team: usize) -> Said {
            let id = |n: usize| EntraId::new(&format!("{n:08x}-1111-4222-8333-444444444444"));
            Said {
                route: Label::new("bot").unwrap(),
                oid: id(1).unwrap(),
                tenant: id(2).unwrap(),
                team: (3..3 + team).map(|n| id(n).unwrap().to_string()).collect(),
            }
        }

        fn claims(&self) -> Claims<'_> {
            Claims {
                audience: APP,
                route: &self.route,
                subject: self.oid.as_str(),
                oid: Some(&self.oid),
                tenant: Some(&self.tenant),
                roles: &["manager"],
                person: None,
                scope: Some(&self.team),
                conversation: Some("a:1xyz"),
                channel: Some("msteams"),
                body: Some(b"{\"type\":\"message\"}"),
            }
        }
    }

    fn signed(by: &Assertions) -> String {
        let said = Said::new(2);
        let token = by.sign(&said.claims(), UNIX_EPOCH + NOW).unwrap();
        token.expose().to_owned()
    }

    /// What a library makes of it, with a published key by the name that the token says.
    fn verified(token: &str, jwks: &[u8], audience: &str) -> Option<Value> {
        let set: JwkSet = serde_json::from_slice(jwks).unwrap();
        let header = decode_header(token).unwrap();
        let jwk = set.find(&header.kid?)?;
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[audience]);
        validation.set_issuer(&[EDGE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The tests have a time of their own.
        validation.validate_exp = false;
        let key = DecodingKey::from_jwk(jwk).unwrap();
        decode::<Value>(token, &key, &validation)
            .ok()
            .map(|data| data.claims)
    }

    #[test]
    fn c25_a_library_verifies_what_each_kind_of_key_signs() {
        for (key, algorithm) in [
            (p256(), Algorithm::ES256),
            (ed25519(), Algorithm::EdDSA),
            (rsa(), Algorithm::RS256),
        ] {
            let edge = with(&[&key]).unwrap();
            let token = signed(&edge);
            assert_eq!(decode_header(&token).unwrap().alg, algorithm);
            assert!(verified(&token, &edge.jwks(), APP).is_some());
            assert!(verified(&token, &edge.jwks(), "api://other").is_none());
            let other = with(&[&p256()]).unwrap();
            assert!(verified(&token, &other.jwks(), APP).is_none());
            // One bit of the payload.
            let dot = token.find('.').unwrap() + 3;
            let mut bytes = token.clone().into_bytes();
            bytes[dot] ^= 1;
            let spoilt = String::from_utf8(bytes).unwrap();
            assert!(verified(&spoilt, &edge.jwks(), APP).is_none());
        }
    }

    #[test]
    fn c25_it_says_who_asks_what_for_and_of_which_body() {
        let edge = with(&[&p256()]).unwrap();
        let token = signed(&edge);
        let mut said = verified(&token, &edge.jwks(), APP).unwrap();
        let jti = said["jti"].take();
        assert!(crate::ids::is_guid(jti.as_str().unwrap()));
        assert_ne!(
            verified(&signed(&edge), &edge.jwks(), APP).unwrap()["jti"],
            jti
        );
        let begins = NOW.as_secs() - 5;
        let expected = json!({
            "iss": EDGE,
            "aud": APP,
            "iat": begins,
            "nbf": begins,
            "exp": NOW.as_secs() + 60,
            "jti": null,
            "route": "bot",
            "sub": "00000001-1111-4222-8333-444444444444",
            "oid": "00000001-1111-4222-8333-444444444444",
            "tid": "00000002-1111-4222-8333-444444444444",
            "roles": ["manager"],
            "scope": [
                "00000003-1111-4222-8333-444444444444",
                "00000004-1111-4222-8333-444444444444",
            ],
            "conversation": "a:1xyz",
            "channel": "msteams",
            // printf '{"type":"message"}' | openssl dgst -sha256 -binary | basenc --base64url
            "bsh": "HNBNgJJHquC5ozJpmg91v3WrEewTA5vTkxom9Y_JqAU",
        });
        assert_eq!(said, expected);
    }

    #[test]
    fn c16_what_is_asserted_of_whom_is_not_shown() {
        let own = Said::new(3);
        let claims = own.claims();
        let shown = format!("{claims:?}");
        assert_eq!(
            shown,
            format!(
                "Claims {{ audience: {APP:?}, route: {:?}, .. }}",
                claims.route
            )
        );
    }

    /// An empty list is nobody; no list is for the app to decide.
    #[test]
    fn c11_what_is_not_known_is_not_said() {
        let edge = with(&[&p256()]).unwrap();
        let own = Said::new(0);
        let token = edge.sign(&own.claims(), UNIX_EPOCH + NOW).unwrap();
        let said = verified(token.expose(), &edge.jwks(), APP).unwrap();
        assert_eq!(said["scope"], json!([]));
        let bare = Claims {
            oid: None,
            tenant: None,
            roles: &[],
            scope: None,
            conversation: None,
            channel: None,
            body: None,
            ..own.claims()
        };
        let token = edge.sign(&bare, UNIX_EPOCH + NOW).unwrap();
        let said = verified(token.expose(), &edge.jwks(), APP).unwrap();
        let names: Vec<_> = said.as_object().unwrap().keys().collect();
        let expected = [
            "aud", "exp", "iat", "iss", "jti", "nbf", "roles", "route", "sub",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn c25_while_keys_change_both_are_published_and_the_new_one_signs() {
        let (old, new) = (p256(), ed25519());
        let before = with(&[&old]).unwrap();
        let change = with(&[&new, &old]).unwrap();
        let after = with(&[&new]).unwrap();
        let (first, second) = (signed(&before), signed(&change));
        assert!(verified(&first, &change.jwks(), APP).is_some());
        assert!(verified(&second, &change.jwks(), APP).is_some());
        assert!(verified(&second, &after.jwks(), APP).is_some());
        assert!(verified(&first, &after.jwks(), APP).is_none());
        assert_eq!(decode_header(&second).unwrap().alg, Algorithm::EdDSA);
    }

    #[test]
    fn c25_what_is_published_is_public() {
        let keys = [p256(), ed25519(), rsa()];
        let edge = with(&[&keys[0], &keys[1], &keys[2]]).unwrap();
        let set: Value = serde_json::from_slice(&edge.jwks()).unwrap();
        let members =
            |key: &Value| -> Vec<String> { key.as_object().unwrap().keys().cloned().collect() };
        let keys = set["keys"].as_array().unwrap();
        let all: Vec<_> = keys.iter().map(members).collect();
        assert_eq!(all[0], ["alg", "crv", "kid", "kty", "use", "x", "y"]);
        assert_eq!(all[1], ["alg", "crv", "kid", "kty", "use", "x"]);
        assert_eq!(all[2], ["alg", "e", "kid", "kty", "n", "use"]);
        // A library names them alike.
        let read: JwkSet = serde_json::from_value(set.clone()).unwrap();
        for (jwk, key) in read.keys.iter().zip(keys) {
            assert_eq!(jwk.thumbprint(ThumbprintHash::SHA256).unwrap(), key["kid"]);
        }
    }

    /// The key and its thumbprint of RFC 8037, appendices A.1 to A.3, in the envelope of RFC 8410.
    #[test]
    fn c25_a_known_key_has_its_known_name() {
        let start = [
            0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
        ];
        let key = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
        let key = BASE64_URL_SAFE_NO_PAD.decode(key).unwrap();
        let edge = with(&[&pem(&[&start[..], &key].concat())]).unwrap();
        let set: Value = serde_json::from_slice(&edge.jwks()).unwrap();
        let of = |name: &str| set["keys"][0][name].as_str().unwrap();
        assert_eq!(of("x"), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(of("kid"), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn c25_a_key_that_cannot_be_used_is_named_and_not_shown() {
        let good = p256();
        let text = |text: &str| Secret::new(text.to_owned());
        let other_curve = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        let two = Secret::new(format!("{}{}", p256().expose(), p256().expose()));
        let public = good.expose().replace("PRIVATE", "PUBLIC");
        let sec1 = good.expose().replace("PRIVATE", "EC PRIVATE");
        for bad in [
            text(""),
            text("CANARY"),
            pem(b"CANARY"),
            pem(other_curve.to_pkcs8v1().unwrap().as_ref()),
            two,
            Secret::new(public),
            Secret::new(sec1),
        ] {
            let error = with(&[&good, &bad]).err().unwrap().to_string();
            assert!(
                error.starts_with("assertion.keys.1: must be one"),
                "{error}"
            );
            assert!(!error.contains("CANARY"));
        }
        let error = with(&[&good, &p256(), &good]).err().unwrap().to_string();
        assert!(
            error.starts_with("assertion.keys.2: is a key that"),
            "{error}"
        );
    }

    #[test]
    fn c25_one_that_no_header_holds_is_not_made() {
        let edge = with(&[&rsa()]).unwrap();
        let now = UNIX_EPOCH + NOW;
        let fits = edge.sign(&Said::new(120).claims(), now).unwrap();
        assert!(fits.expose().len() <= TOKEN_MAX);
        let large = edge.sign(&Said::new(160).claims(), now);
        assert_eq!(large.err(), Some(Unsigned::TooLong));
    }
}
