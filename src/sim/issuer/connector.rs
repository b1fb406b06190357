//! The Bot Connector as an issuer ("Authentication with the Bot Connector API", Microsoft): keys that
//! are nobody else's, each with the channels that it may sign for.
//!
//! Owns its ring and the form of its documents. Refuses to know who asks.

use super::mint::merge;
use super::ring::{Named, Ring};
use aws_lc_rs::signature::RsaKeyPair;
use serde_json::{Value, json};

/// The connector of the public cloud, as its tokens name it.
pub(super) const ISSUER: &str = "https://api.botframework.com";

/// Where its metadata are, without the hyphen of the standard.
pub(super) const METADATA: &str = "/v1/.well-known/openidconfiguration";
/// Where its keys are.
pub(super) const KEYS: &str = "/v1/.well-known/keys";

/// Some of the channels that keys are endorsed for.
const CHANNELS: [&str; 6] = [
    "msteams",
    "skype",
    "webchat",
    "directline",
    "email",
    "slack",
];

/// The most keys that stay published after they have signed. Arbitrary: more than a test makes.
const FORMER_MAX: usize = 64;

/// The connector's keys.
pub(super) struct Connector {
    pub(super) ring: Ring,
    /// Published as they were while they signed.
    former: Vec<Value>,
    dress: Value,
}

impl Connector {
    pub(super) fn generate() -> Self {
        Self {
            ring: Ring::generate(),
            former: Vec::new(),
            dress: Value::Null,
        }
    }

    /// Members merged over the key that signs, as it is published; null removes one.
    pub(super) fn dress(&mut self, members: Value) {
        self.dress = members;
    }

    /// Signs with a new key. The old one stays published as it was.
    pub(super) fn rotate(&mut self, fresh: Named<RsaKeyPair>) {
        if self.former.len() == FORMER_MAX {
            self.former.remove(0);
        }
        let former = self.jwk();
        self.former.push(former);
        self.ring.rotate(fresh);
        self.dress = Value::Null;
    }

    /// Takes back every key but the one that signs now.
    pub(super) fn retire(&mut self) {
        self.former.clear();
    }

    /// The published keys, the one that signs last.
    pub(super) fn keys(&self) -> Value {
        let keys: Vec<Value> = self.former.iter().cloned().chain([self.jwk()]).collect();
        json!({ "keys": keys })
    }

    /// RSA only, and without the name of its algorithm.
    fn jwk(&self) -> Value {
        let mut jwk = self.ring.rsa_jwk();
        if let Value::Object(members) = &mut jwk {
            let kid = members["kid"].clone();
            merge(
                members,
                &json!({ "alg": null, "x5t": kid, "endorsements": CHANNELS }),
            );
            merge(members, &self.dress);
        }
        jwk
    }
}

/// The metadata, whose other endpoints are nowhere in the original, too.
pub(super) fn metadata(base: &str) -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://invalid.botframework.com",
        "jwks_uri": format!("{base}{KEYS}"),
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
    })
}
