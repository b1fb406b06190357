//! Tokens (RFC 7519) of the issuers in the settings: Entra, or any OpenID provider.
//!
//! Cheap checks come first, so that a bad token costs little; nothing is believed before the
//! signature. The key is found by its name among those that the issuer publishes: keys and
//! addresses inside a token (`jwk`, `x5c`, `jku`, `x5u`) are never looked at. The algorithm is the
//! issuer's, not the token's choice. Verified tokens are remembered by digest, never beyond their
//! `exp`, and only while the key that signed them is published.

mod claims;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, Header, Validation, dangerous, decode, decode_header};
use moka::Expiry;
use moka::sync::Cache;

use self::claims::Claims;
pub(super) use self::claims::{seconds, some_seconds};
use super::Denied;
use super::bot::Vouched;
use super::jwks::{Key, Keys};
use crate::config::{self, IssuerKind, VOICE_LIVE_AUDIENCES};
use crate::error::Reason;
use crate::label::Label;
use crate::metrics;
use crate::secret::{Digest, Secret};
use crate::upstream::Unusable;

/// Longest token. Entra's have 1 to 3 KiB, with many groups more.
const TOKEN_MAX: usize = 16 * 1024;
/// Verified tokens that are remembered: more than an edge has sessions.
const CACHE: u64 = 20_000;

/// A token that was found good.
pub(super) struct Verified {
    pub(super) issuer: Label,
    /// The issuer's tenant and subject; together they name one identity.
    pub(super) tenant: Option<String>,
    pub(super) subject: String,
    /// Whether that is a person, whom Entra knows.
    pub(super) is_persons: bool,
    /// When it ends, the leeway included.
    pub(super) expires: SystemTime,
    /// It is for Voice Live, too, and may be passed on.
    pub(super) for_voice_live: bool,
    /// What it proves of an activity, if it is the Bot Connector's.
    pub(super) vouched: Option<Arc<Vouched>>,
    /// Which issuer: its place, for those of one bot have one name.
    at: usize,
    /// When it was issued, if it says so, and its end, both in seconds since 1970.
    pub(super) issued: Option<u64>,
    pub(super) ends: u64,
    /// Of its name among all tokens, if it has one.
    pub(super) name: Option<Digest>,
    kid: String,
    key: Key,
}

/// All issuers, and the tokens that were good.
pub(super) struct Tokens {
    issuers: Vec<Issuer>,
    cache: Cache<Digest, Arc<Verified>>,
}

#[derive(Clone)]
struct Issuer {
    settings: config::Issuer,
    keys: Arc<Keys>,
}

/// Whether a bearer credential is a token and not an API key: three parts (RFC 7515, 7.1).
pub(super) fn is_token(secret: &Secret) -> bool {
    secret.expose().bytes().filter(|&byte| byte == b'.').count() == 2
}

/// Names a token by everything but its signature: some algorithms have several good ones for one
/// token.
pub(super) fn signed(token: &Secret) -> Digest {
    let text = token.expose();
    Digest::of(text.rsplit_once('.').map_or(text, |(signed, _)| signed))
}

impl Tokens {
    pub(super) fn new(
        issuers: &[config::Issuer],
        metrics: &metrics::Shared,
    ) -> Result<Tokens, Unusable> {
        let issuers = issuers
            .iter()
            .map(|settings| {
                let keys = Arc::new(Keys::new(settings, metrics.clone())?);
                let settings = settings.clone();
                Ok(Issuer { settings, keys })
            })
            .collect::<Result<_, Unusable>>()?;
        let cache = Cache::builder()
            .max_capacity(CACHE)
            .expire_after(UntilExpired)
            .build();
        Ok(Tokens { issuers, cache })
    }

    /// The same in the place of what was before: what was known of issuers stays known.
    pub(super) fn after(mut self, before: &Tokens) -> Tokens {
        let all_alike = self.issuers.len() == before.issuers.len()
            && self
                .issuers
                .iter()
                .zip(&before.issuers)
                .all(|(issuer, old)| issuer.settings == old.settings);
        if all_alike {
            return Tokens {
                issuers: before.issuers.clone(),
                cache: before.cache.clone(),
            };
        }
        for issuer in &mut self.issuers {
            let mut old = before.issuers.iter();
            if let Some(old) = old.find(|old| has_keys_of(&issuer.settings, &old.settings)) {
                issuer.keys = old.keys.clone();
            }
        }
        self
    }

    /// The keys of all issuers; somebody must run them.
    pub(super) fn keys(&self) -> impl Iterator<Item = Arc<Keys>> {
        self.issuers.iter().map(|issuer| issuer.keys.clone())
    }

    /// Whether there is an issuer of this name.
    pub(super) fn know(&self, name: &Label) -> bool {
        self.issuers
            .iter()
            .any(|issuer| issuer.settings.name == *name)
    }

    /// Whether an issuer's tokens come with activities.
    pub(super) fn are_for_bot(&self, name: &Label) -> bool {
        let mut named = self
            .issuers
            .iter()
            .filter(|issuer| issuer.settings.name == *name);
        named.any(|issuer| is_for_bot(&issuer.settings.kind))
    }

    /// Verifies a token of one of the issuers that are named.
    pub(super) async fn verify(
        &self,
        token: &Secret,
        admitted: &[&Label],
        now: SystemTime,
    ) -> Result<Arc<Verified>, Denied> {
        let text = token.expose();
        if text.len() > TOKEN_MAX {
            return Err(Denied::invalid_token("the token exceeds 16 KiB"));
        }
        let digest = Digest::of(text);
        if let Some(verified) = self.remembered(&digest, admitted, now) {
            return Ok(verified);
        }
        let malformed = |_| Denied::invalid_token("the token is not a signed JWT");
        let header = decode_header(text).map_err(malformed)?;
        let kid = judge_header(&header)?;
        let claims: Claims = dangerous::insecure_decode_claims(text).map_err(|_| {
            Denied::invalid_token("a claim is missing, twice there, or of a wrong type")
        })?;
        let token = Token {
            text,
            header: &header,
            kid: &kid,
            claims: &claims,
        };
        // Two issuers of the settings may be one in the world, with different demands.
        let admitted = self.issuers.iter().enumerate().filter(|(_, issuer)| {
            admitted.contains(&&issuer.settings.name) && claims.are_of(&issuer.settings.kind)
        });
        let nobody = "the token is of no issuer that may enter here";
        let mut denied = Denied::invalid_token(nobody);
        for (at, issuer) in admitted {
            match issuer.verify(token, at, now).await {
                Ok(verified) => {
                    let verified = Arc::new(verified);
                    self.cache.insert(digest, verified.clone());
                    return Ok(verified);
                }
                Err(error) => denied = error,
            }
        }
        Err(denied)
    }

    fn remembered(
        &self,
        digest: &Digest,
        admitted: &[&Label],
        now: SystemTime,
    ) -> Option<Arc<Verified>> {
        let verified = self.cache.get(digest)?;
        let issuer = self.issuers.get(verified.at)?;
        let good = verified.expires > now
            && admitted.contains(&&verified.issuer)
            && issuer.keys.has(&verified.kid, &verified.key);
        good.then_some(verified)
    }
}

/// Whether two issuers are asked for their keys by one name, at one place and in one way.
fn has_keys_of(one: &config::Issuer, other: &config::Issuer) -> bool {
    one.name == other.name
        && one.kind == other.kind
        && one.algorithms == other.algorithms
        && one.keys == other.keys
        && one.roots == other.roots
}

/// A token that is well formed, and not believed yet.
#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    header: &'a Header,
    kid: &'a str,
    claims: &'a Claims,
}

impl Issuer {
    async fn verify(
        &self,
        token: Token<'_>,
        at: usize,
        now: SystemTime,
    ) -> Result<Verified, Denied> {
        let (settings, claims) = (&self.settings, token.claims);
        let algorithm = token.header.alg;
        if !settings.algorithms.contains(&algorithm) {
            return Err(Denied::invalid_token("the algorithm is not its issuer's"));
        }
        claims.judge(settings, since_1970(now))?;
        let key = self.keys.find(token.kid).await?;
        let tenant = claims.tenant(&settings.kind);
        if !key.fits(algorithm) || !tenant.is_none_or(|tenant| key.is_for_tenant(tenant)) {
            return Err(Denied::invalid_token("the key is not for this token"));
        }
        // The library checks the claims once more, as it reads them.
        let validation = validation(settings, algorithm, claims);
        decode::<Claims>(token.text, key.verifier(), &validation)
            .map_err(|_| Denied::invalid_token("the signature is not its issuer's"))?;
        claims.authorise(settings)?;
        Ok(Verified {
            issuer: settings.name.clone(),
            tenant: tenant.map(str::to_owned),
            subject: claims.subject(&settings.kind).to_owned(),
            is_persons: claims.is_persons(&settings.kind),
            expires: UNIX_EPOCH + Duration::from_secs(claims.expires()) + settings.leeway,
            for_voice_live: claims.is_for(&VOICE_LIVE_AUDIENCES)
                && matches!(
                    settings.kind,
                    IssuerKind::Entra { .. } | IssuerKind::Oidc { .. }
                ),
            vouched: vouched(&settings.kind, claims, &key)?,
            at,
            issued: claims.issued(),
            ends: claims.expires(),
            name: claims
                .name()
                .map(|name| Digest::of(&format!("{}\0{name}", claims.issuer()))),
            kid: token.kid.to_owned(),
            key,
        })
    }
}

/// What a token of the Bot Connector proves; of others the same names may mean something else.
fn vouched(kind: &IssuerKind, claims: &Claims, key: &Key) -> Result<Option<Arc<Vouched>>, Denied> {
    match kind {
        IssuerKind::Bot { connector, .. } | IssuerKind::BotTenant { connector, .. } => {
            let service_url = claims.service_url()?;
            let tenant = claims.tenant(kind);
            let vouched = Vouched::new(connector.clone(), service_url, tenant, key);
            Ok(Some(Arc::new(vouched)))
        }
        IssuerKind::Entra { .. }
        | IssuerKind::Oidc { .. }
        | IssuerKind::Acs { .. }
        | IssuerKind::EventGrid { .. } => Ok(None),
    }
}

fn is_for_bot(kind: &IssuerKind) -> bool {
    matches!(kind, IssuerKind::Bot { .. } | IssuerKind::BotTenant { .. })
}

/// The name of the key, if the header asks for nothing that is not done here.
fn judge_header(header: &Header) -> Result<String, Denied> {
    // RFC 7515, 4.1.11: what is critical and not understood makes a token invalid.
    if header.crit.is_some() {
        return Err(Denied::invalid_token("the token has critical extensions"));
    }
    if header.enc.is_some() || header.zip.is_some() {
        return Err(Denied::invalid_token(
            "the token is encrypted or compressed",
        ));
    }
    // RFC 9068, 2.1: access tokens; other types (of logout, of introspection) are no credential.
    let typ = header.typ.as_deref().unwrap_or("JWT");
    if !["jwt", "at+jwt"].contains(&typ.to_ascii_lowercase().as_str()) {
        return Err(Denied::invalid_token(
            "the token is of a type for something else",
        ));
    }
    header
        .kid
        .clone()
        .ok_or(Denied::invalid_token("the token does not name its key"))
}

fn validation(settings: &config::Issuer, algorithm: Algorithm, claims: &Claims) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.set_audience(&settings.audience);
    validation.set_issuer(&[claims.issuer()]);
    validation.validate_nbf = true;
    validation.leeway = settings.leeway.as_secs();
    validation
}

fn since_1970(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A token is forgotten when it ends.
struct UntilExpired;

impl Expiry<Digest, Arc<Verified>> for UntilExpired {
    fn expire_after_create(
        &self,
        _: &Digest,
        verified: &Arc<Verified>,
        _: Instant,
    ) -> Option<Duration> {
        let left = verified.expires.duration_since(SystemTime::now());
        Some(left.unwrap_or_default())
    }
}

impl Verified {
    /// One identity, whatever token it shows, as limits count it.
    pub(super) fn identity(&self) -> Digest {
        identity(self.issuer.as_str(), self.tenant.as_deref(), &self.subject)
    }
}

/// Of whom an issuer names so, in that tenant.
pub(super) fn identity(issuer: &str, tenant: Option<&str>, subject: &str) -> Digest {
    let tenant = tenant.unwrap_or("");
    Digest::of(&format!("{issuer}\0{tenant}\0{subject}"))
}

/// The reason of refusals that no other token would change.
pub(super) fn forbidden(detail: &'static str) -> Denied {
    Denied {
        challenge: Some("error=\"insufficient_scope\""),
        ..Denied::new(Reason::Forbidden, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a07_a_token_is_the_same_with_another_spelling_of_its_signature() {
        let of = |text: &str| signed(&Secret::new(text.to_owned()));
        assert!(of("head.claims.signature").is(&of("head.claims.other")));
        assert!(!of("head.claims.signature").is(&of("head.other.signature")));
        assert!(!of("head.claims.signature").is(&of("other.claims.signature")));
    }
}
