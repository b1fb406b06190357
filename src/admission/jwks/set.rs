//! A published set of keys, and which of them may verify a signature of ours.
//!
//! A set is somebody else's document: what is odd in it is left out, the rest is used. Never used
//! are symmetric keys, keys for encryption, keys of other algorithms than the issuer's, RSA
//! keys below 2048 bits, and keys without a name.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use crate::secret::Digest;

/// Keys that are taken from one document; Microsoft's largest have some tens.
const KEYS_MAX: usize = 500;
/// Longest name of a key.
const KID_MAX: usize = 256;
/// In bytes: 2048 and 8192 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// One key, ready to verify.
#[derive(Clone)]
pub(in crate::admission) struct Key(Arc<Ready>);

struct Ready {
    key: DecodingKey,
    /// Algorithms of the issuer that go with this key.
    algorithms: Vec<Algorithm>,
    /// The issuer that the key is for, where its document says so (Entra).
    issuer: Option<String>,
    /// Channels that the key may sign for, where its document lists some (Bot Framework).
    endorsements: Option<Arc<[String]>>,
    /// Of the key itself and what it is for, whatever its name.
    print: Digest,
}

impl Key {
    pub(in crate::admission) fn verifier(&self) -> &DecodingKey {
        &self.0.key
    }

    /// Whether it is the same key, not only one of the same name.
    pub(in crate::admission) fn is(&self, other: &Key) -> bool {
        self.0.print == other.0.print
    }

    pub(in crate::admission) fn fits(&self, algorithm: Algorithm) -> bool {
        self.0.algorithms.contains(&algorithm)
    }

    /// Channels that the key may sign for; `None`: its document lists none.
    pub(in crate::admission) fn endorsements(&self) -> Option<Arc<[String]>> {
        self.0.endorsements.clone()
    }

    /// Whether the key may sign for `tenant`: Entra publishes keys of single tenants, such as that
    /// of personal accounts, in the document of all.
    pub(in crate::admission) fn is_for_tenant(&self, tenant: &str) -> bool {
        let Some(issuer) = &self.0.issuer else {
            return true;
        };
        let mut path = issuer.splitn(5, '/').skip(3);
        path.next()
            .is_some_and(|of| of == "{tenantid}" || of.eq_ignore_ascii_case(tenant))
    }
}

/// The keys of one document, by name.
pub(super) struct KeySet(HashMap<String, Key>);

/// How many keys of a published document may verify a signature, by whatever algorithm an issuer may be set to.
/// Settings and addresses do not come into it.
pub fn usable_keys(document: &[u8]) -> usize {
    let all = [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];
    KeySet::parse(document, &all).map_or(0, |set| set.len())
}

impl KeySet {
    /// Reads a document; `None` if no key in it is of use.
    pub(super) fn parse(bytes: &[u8], algorithms: &[Algorithm]) -> Option<KeySet> {
        let document: Value = serde_json::from_slice(bytes).ok()?;
        let mut keys = HashMap::new();
        for value in document.get("keys")?.as_array()?.iter().take(KEYS_MAX) {
            if let Some((kid, key)) = read(value, algorithms) {
                // Two keys of one name cannot be told apart; the first one counts.
                keys.entry(kid).or_insert(key);
            }
        }
        (!keys.is_empty()).then_some(KeySet(keys))
    }

    pub(super) fn find(&self, kid: &str) -> Option<Key> {
        self.0.get(kid).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn read(value: &Value, algorithms: &[Algorithm]) -> Option<(String, Key)> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    let kid = jwk.common.key_id.clone();
    let kid = kid.filter(|kid| !kid.is_empty() && kid.len() <= KID_MAX)?;
    let signs = matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    );
    let operations = jwk.common.key_operations.as_ref();
    let verifies = operations.is_none_or(|list| list.contains(&KeyOperations::Verify));
    let of_kind = of_kind(&jwk)?;
    let named = match jwk.common.key_algorithm {
        None => None,
        Some(name) => Some(Algorithm::try_from(name).ok()?),
    };
    let algorithms: Vec<Algorithm> = algorithms
        .iter()
        .copied()
        .filter(|algorithm| of_kind.contains(algorithm))
        .filter(|algorithm| named.is_none_or(|named| named == *algorithm))
        .collect();
    if !signs || !verifies || algorithms.is_empty() {
        return None;
    }
    let issuer = value.get("issuer").and_then(Value::as_str);
    let endorsements = endorsements(value.get("endorsements"));
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let print = serde_json::to_string(&jwk.algorithm).ok()?;
    let ready = Ready {
        print: Digest::of(&format!("{print}\0{endorsements:?}")),
        key,
        algorithms,
        issuer: issuer.map(str::to_owned),
        endorsements,
    };
    Some((kid, Key(Arc::new(ready))))
}

/// What is no list of texts endorses nothing, whatever was meant.
fn endorsements(listed: Option<&Value>) -> Option<Arc<[String]>> {
    let list = match listed {
        None | Some(Value::Null) => return None,
        Some(listed) => listed.as_array(),
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = list.and_then(|list| list.iter().map(text).collect::<Option<Vec<_>>>());
    match list {
        Some(list) if list.is_empty() => None,
        list => Some(list.unwrap_or_default().into()),
    }
}

/// Algorithms for which this kind of key is made; `None` for kinds that are never used.
fn of_kind(jwk: &Jwk) -> Option<&'static [Algorithm]> {
    match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            let modulus = URL_SAFE_NO_PAD.decode(&rsa.n).ok()?;
            let bits = modulus.iter().skip_while(|&&byte| byte == 0).count();
            MODULUS.contains(&bits).then_some(&[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ])
        }
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Some(&[Algorithm::ES256])
        }
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P384 => {
            Some(&[Algorithm::ES384])
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Some(&[Algorithm::EdDSA])
        }
        AlgorithmParameters::OctetKey(_) | AlgorithmParameters::Other(_) | _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ALL: [Algorithm; 4] = [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::EdDSA,
    ];

    fn rsa(bits: usize) -> Value {
        let mut modulus = vec![0xC1; bits / 8];
        modulus[bits / 8 - 1] = 1;
        json!({"kty": "RSA", "kid": "r", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(modulus)})
    }

    fn taken(key: Value) -> Option<Key> {
        let document = json!({ "keys": [key] }).to_string();
        KeySet::parse(document.as_bytes(), &ALL)?.find("r")
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    #[test]
    fn s08_j6_only_keys_that_may_verify_are_taken() {
        assert!(taken(rsa(2048)).is_some());
        assert!(taken(with(rsa(2048), "use", json!("sig"))).is_some());
        assert!(taken(with(rsa(2048), "key_ops", json!(["verify"]))).is_some());
        let curve = URL_SAFE_NO_PAD.encode([7; 32]);
        let ec = json!({"kty": "EC", "kid": "r", "crv": "P-256", "x": curve, "y": curve});
        assert!(taken(ec.clone()).is_some());
        let never = [
            rsa(1024),
            rsa(1024 * 16),
            with(rsa(2048), "use", json!("enc")),
            with(rsa(2048), "key_ops", json!(["encrypt", "wrapKey"])),
            with(rsa(2048), "alg", json!("HS256")),
            with(rsa(2048), "alg", json!("RS512")),
            with(rsa(2048), "alg", json!("RSA-OAEP")),
            with(rsa(2048), "kid", json!("")),
            with(rsa(2048), "kid", json!(7)),
            with(rsa(2048), "n", json!("!!")),
            json!({"kty": "oct", "kid": "r", "k": "c2VjcmV0", "alg": "RS256"}),
            with(ec, "crv", json!("P-521")),
            json!({"kty": "EC", "kid": "r"}),
            json!("key"),
        ];
        for key in never {
            assert!(taken(key.clone()).is_none(), "{key}");
        }
    }

    #[test]
    fn an_algorithm_that_the_document_names_is_the_only_one() {
        let any = taken(rsa(2048)).unwrap();
        assert!(any.fits(Algorithm::RS256) && any.fits(Algorithm::PS256));
        assert!(!any.fits(Algorithm::ES256) && !any.fits(Algorithm::HS256));
        let one = taken(with(rsa(2048), "alg", json!("PS256"))).unwrap();
        assert!(one.fits(Algorithm::PS256) && !one.fits(Algorithm::RS256));
    }

    #[test]
    fn a_key_of_one_tenant_signs_for_no_other() {
        let of = |issuer: &str| taken(with(rsa(2048), "issuer", json!(issuer))).unwrap();
        let host = "https://login.microsoftonline.com";
        assert!(of(&format!("{host}/{{tenantid}}/v2.0")).is_for_tenant("t1"));
        assert!(of(&format!("{host}/T1/v2.0")).is_for_tenant("t1"));
        assert!(!of(&format!("{host}/t2/v2.0")).is_for_tenant("t1"));
        assert!(!of("t1").is_for_tenant("t1"));
        assert!(taken(rsa(2048)).unwrap().is_for_tenant("t1"));
    }

    #[test]
    fn c04_endorsements_are_those_of_the_key_and_what_is_no_list_endorses_nothing() {
        let of = |value: Value| taken(with(rsa(2048), "endorsements", value)).unwrap();
        let list = |key: &Key| key.endorsements().map(|list| list.to_vec());
        assert_eq!(list(&taken(rsa(2048)).unwrap()), None);
        assert_eq!(list(&of(json!([]))), None);
        assert_eq!(list(&of(json!(null))), None);
        let some = of(json!(["msteams", "skype"]));
        assert_eq!(list(&some), Some(vec!["msteams".into(), "skype".into()]));
        for odd in [
            json!("msteams"),
            json!(["msteams", 7]),
            json!({"msteams": true}),
        ] {
            assert_eq!(list(&of(odd)), Some(Vec::new()));
        }
        // A key whose endorsements have changed is another one.
        assert!(some.is(&of(json!(["msteams", "skype"]))) && !some.is(&of(json!(["skype"]))));
    }

    #[test]
    fn what_is_no_set_is_none_and_what_is_odd_in_one_is_left_out() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"keys":7}"#,
            r#"{"keys":[]}"#,
            "{\"keys\":[{}]}",
        ] {
            assert!(KeySet::parse(text.as_bytes(), &ALL).is_none(), "{text}");
        }
        let document = json!({"keys": [7, {}, rsa(1024), rsa(2048)]}).to_string();
        assert_eq!(KeySet::parse(document.as_bytes(), &ALL).unwrap().len(), 1);
    }
}
