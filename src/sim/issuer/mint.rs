//! What a token is to say and how it is to be signed.
//!
//! Owns the claims of good tokens and the closed list of ways to sign. Refuses to judge: a test
//! makes a good one and spoils the one thing it is about. The keys are the provider's.

use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// How many seconds a good token lives. Entra gives 60 to 90 minutes.
pub(super) const LIFETIME: i64 = 3600;

/// A caller of no account: the object, and the application that asked in its name.
const SUBJECT: &str = "00000000-0000-4000-8000-00000000000a";
const CLIENT: &str = "00000000-0000-4000-8000-00000000000c";

/// A token to be made.
#[derive(Clone, Debug)]
pub struct Mint {
    /// How it is signed, and what the header says of that.
    pub algorithm: Algorithm,
    /// The payload, an object.
    pub claims: Value,
    /// Merged over the default header (`typ`, `alg`, `kid`); null removes a member.
    pub header: Value,
    /// Whose signature it is.
    pub key: KeyChoice,
}

/// Ways to sign (RFC 7518, RFC 8037), sound and unsound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Not signed: `none`, and nothing behind the second dot.
    None,
    /// HMAC with a secret. With the public key's PEM as the secret, it is the confusion attack.
    Hs256 {
        /// Any bytes.
        secret: Vec<u8>,
    },
    /// RSA, PKCS #1 v1.5, SHA-256: what every issuer of Microsoft's uses.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// RSA, PSS, SHA-256.
    Ps256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// Whose signature a token carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChoice {
    /// The key that is announced.
    Signing,
    /// A key of the same kind that is published nowhere, under the name of the announced one.
    Unpublished,
    /// The key that the Bot Connector announces.
    Connector,
}

impl Algorithm {
    /// As a header's `alg` has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Hs256 { .. } => "HS256",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl Mint {
    /// A good access token of Entra's second version, for a user of `tenant`.
    #[must_use]
    pub fn entra_v2(base: &str, tenant: &str, audience: &str) -> Self {
        let issuer = format!("{base}/{tenant}/v2.0");
        Self::good(&issuer, audience).saying(&json!({
            "ver": "2.0",
            "tid": tenant,
            "oid": SUBJECT,
            "azp": CLIENT,
            "azpacr": "0",
            "scp": "user_impersonation",
        }))
    }

    /// The same in the first version. Its issuer is not at the provider's own address.
    #[must_use]
    pub fn entra_v1(tenant: &str, audience: &str) -> Self {
        let issuer = format!("https://sts.windows.net/{tenant}/");
        Self::good(&issuer, audience).saying(&json!({
            "ver": "1.0",
            "tid": tenant,
            "oid": SUBJECT,
            "appid": CLIENT,
            "appidacr": "0",
            "scp": "user_impersonation",
        }))
    }

    /// A good token of a plain OpenID provider.
    #[must_use]
    pub fn oidc(base: &str, audience: &str) -> Self {
        Self::good(base, audience)
    }

    /// A good token as Azure Communication Services sends it with a call. `audience` is the
    /// resource's immutable id.
    #[must_use]
    pub fn acs(audience: &str) -> Self {
        Self::good(super::document::ACS_ISSUER, audience).without("sub")
    }

    /// A good token of the Bot Connector for the bot `app`, with activities of the service at
    /// `service_url`. It names nobody.
    #[must_use]
    pub fn connector(app: &str, service_url: &str) -> Self {
        let good = Self::good(super::connector::ISSUER, app);
        Self {
            key: KeyChoice::Connector,
            ..good
                .without("sub")
                .without("iat")
                .with("serviceurl", service_url)
        }
    }

    /// This token with one claim set; null leaves it out.
    #[must_use]
    pub fn with(self, name: &str, value: impl Into<Value>) -> Self {
        self.saying(&json!({ name: value.into() }))
    }

    /// This token with one claim left out.
    #[must_use]
    pub fn without(self, name: &str) -> Self {
        self.saying(&json!({ name: null }))
    }

    fn good(issuer: &str, audience: &str) -> Self {
        let mut claims = times(LIFETIME);
        let more = json!({ "iss": issuer, "aud": audience, "sub": SUBJECT });
        merge(&mut claims, &more);
        Self {
            algorithm: Algorithm::Rs256,
            claims: Value::Object(claims),
            header: json!({}),
            key: KeyChoice::Signing,
        }
    }

    fn saying(mut self, more: &Value) -> Self {
        if let Value::Object(claims) = &mut self.claims {
            merge(claims, more);
        }
        self
    }
}

/// The claims of a token that is issued now and ends in so many seconds.
pub(super) fn times(expires_in: i64) -> Map<String, Value> {
    let now = now();
    let expiry = now.saturating_add_signed(expires_in);
    let claims = [("iat", now), ("nbf", now), ("exp", expiry)];
    claims
        .map(|(name, time)| (name.to_owned(), Value::from(time)))
        .into_iter()
        .collect()
}

/// Sets the members of `over` in `object`; null removes a member. What is no object changes
/// nothing.
pub(super) fn merge(object: &mut Map<String, Value>, over: &Value) {
    for (name, value) in over.as_object().into_iter().flatten() {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed();
    since.expect("the clock is set after 1970").as_secs()
}
